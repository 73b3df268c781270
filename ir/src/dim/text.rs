//! Extents as text: how they are printed, parsed and stored.

use std::fmt;
use std::str::FromStr;

use super::{Atom, Dim};

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p = match self {
            Dim::Known(v) => return write!(f, "{v}"),
            Dim::Expr(p) => p,
        };
        for (i, (atoms, c)) in p.terms.iter().rev().enumerate() {
            let mag = c.unsigned_abs();
            match (i, *c < 0) {
                (0, false) => {}
                (0, true) => f.write_str("-")?,
                (_, false) => f.write_str(" + ")?,
                (_, true) => f.write_str(" - ")?,
            }
            if atoms.is_empty() || mag != 1 {
                write!(f, "{mag}")?;
            }
            for (j, a) in atoms.iter().enumerate() {
                if j > 0 || mag != 1 {
                    f.write_str("*")?;
                }
                match a {
                    Atom::Sym(n) => f.write_str(&crate::dim::quote(n))?,
                    Atom::FloorDiv(x, y) => write!(f, "floordiv({x}, {y})")?,
                    Atom::Mod(x, y) => write!(f, "mod({x}, {y})")?,
                    Atom::Min(x, y) => write!(f, "min({x}, {y})")?,
                    Atom::Max(x, y) => write!(f, "max({x}, {y})")?,
                }
            }
        }
        Ok(())
    }
}

/// A symbol name as it is printed: bare where it is an identifier, else in backquotes with `\` escapes.
pub fn quote(name: &str) -> String {
    let bare = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
        && !matches!(name, "floordiv" | "mod" | "min" | "max");
    if bare {
        return name.to_string();
    }
    let mut s = String::from("`");
    for c in name.chars() {
        if c == '`' || c == '\\' {
            s.push('\\');
        }
        s.push(c);
    }
    s.push('`');
    s
}

impl FromStr for Dim {
    type Err = String;
    fn from_str(s: &str) -> Result<Dim, String> {
        let mut p = Parser { s, depth: 0 };
        let d = p.sum()?;
        p.space();
        if p.s.is_empty() { Ok(d) } else { Err(format!("unexpected `{}` in dimension `{s}`", p.s)) }
    }
}

/// Nesting allowed in a parsed dimension.
const MAX_DEPTH: u32 = 64;

struct Parser<'a> {
    s: &'a str,
    depth: u32,
}

impl Parser<'_> {
    fn space(&mut self) {
        self.s = self.s.trim_start();
    }

    fn eat(&mut self, t: &str) -> bool {
        self.space();
        match self.s.strip_prefix(t) {
            Some(r) => {
                self.s = r;
                true
            }
            None => false,
        }
    }

    fn sum(&mut self) -> Result<Dim, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("dimension expression is nested too deeply".into());
        }
        let mut d = if self.eat("-") { Dim::Known(-1) * self.product()? } else { self.product()? };
        loop {
            if self.eat("+") {
                d = d + self.product()?;
            } else if self.eat("-") {
                d = d - self.product()?;
            } else {
                self.depth -= 1;
                return Ok(d);
            }
        }
    }

    fn product(&mut self) -> Result<Dim, String> {
        let mut d = self.factor()?;
        while self.eat("*") {
            d = d * self.factor()?;
        }
        Ok(d)
    }

    fn factor(&mut self) -> Result<Dim, String> {
        self.space();
        if self.eat("(") {
            let d = self.sum()?;
            return if self.eat(")") { Ok(d) } else { Err("missing `)` in dimension".into()) };
        }
        if self.eat("`") {
            let mut name = String::new();
            let mut it = self.s.char_indices();
            while let Some((i, c)) = it.next() {
                match c {
                    '`' => {
                        self.s = &self.s[i + 1..];
                        return Ok(Dim::sym(&name));
                    }
                    '\\' => name.extend(it.next().map(|x| x.1)),
                    c => name.push(c),
                }
            }
            return Err("unterminated symbol name".into());
        }
        let end = self.s.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.')).unwrap_or(self.s.len());
        let (word, rest) = self.s.split_at(end);
        if word.is_empty() || word.starts_with('.') {
            return Err(format!("expected a dimension at `{}`", self.s));
        }
        self.s = rest;
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            return word.parse().map(Dim::Known).map_err(|_| format!("`{word}` is not an integer of 64 bits"));
        }
        if matches!(word, "floordiv" | "mod" | "min" | "max") {
            if !self.eat("(") {
                return Err(format!("`{word}` takes two arguments; a symbol of this name is written in backquotes"));
            }
            let a = self.sum()?;
            if !self.eat(",") {
                return Err(format!("`{word}` takes two arguments"));
            }
            let b = self.sum()?;
            if !self.eat(")") {
                return Err("missing `)` in dimension".into());
            }
            return Ok(match word {
                "floordiv" => a.floor_div(&b),
                "mod" => a.modulo(&b),
                "min" => a.min_of(&b),
                _ => a.max_of(&b),
            });
        }
        Ok(Dim::sym(word))
    }
}

impl serde::Serialize for Dim {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Dim {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Dim, D::Error> {
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        s.parse().map_err(serde::de::Error::custom)
    }
}
