//! Dimension expressions: parsed once when a module is opened, evaluated when shapes are known.
//!
//! ```text
//! sum     = ["-"] product { ("+" | "-") product }
//! product = factor { "*" factor }
//! factor  = integer | symbol | "(" sum ")" | ("floordiv" | "mod" | "min" | "max") "(" sum "," sum ")"
//! symbol  = [A-Za-z_][A-Za-z0-9_.]*  |  "`" any characters, "`" and "\" escaped by "\" "`"
//! ```
//! `floordiv` rounds towards minus infinity and is zero for a zero divisor; `mod` is its remainder, with the sign of the divisor. Arithmetic saturates at
//! the limits of `i64`: a saturated extent is far above every memory and is refused as one.

use std::collections::BTreeMap;

/// Number of a distinct expression of a [`Dims`] table.
pub type DimId = u32;
/// Number of a symbol of a [`Dims`] table.
pub type SymbolId = u32;

/// Nesting allowed in an expression.
const MAX_DEPTH: u32 = 64;

/// An expression.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Expr {
    Known(i64),
    Symbol(SymbolId),
    /// Terms, each with whether it is subtracted.
    Sum(Vec<(bool, Expr)>),
    Product(Vec<Expr>),
    Call(Function, Box<(Expr, Expr)>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Function {
    FloorDiv,
    Mod,
    Min,
    Max,
}

/// The distinct expressions of a module and the symbols in them.
#[derive(Default, Debug)]
pub struct Dims {
    exprs: Vec<Expr>,
    texts: Vec<String>,
    by_text: BTreeMap<String, DimId>,
    symbols: Vec<String>,
    by_name: BTreeMap<String, SymbolId>,
    /// For each expression, its symbols.
    needs: Vec<Vec<SymbolId>>,
    /// For each symbol, the expressions that have it.
    users: Vec<Vec<DimId>>,
}

impl Dims {
    /// The number of an expression, given as text.
    pub fn intern(&mut self, text: &str) -> Result<DimId, String> {
        if let Some(&d) = self.by_text.get(text) {
            return Ok(d);
        }
        let mut needs = vec![];
        let mut p = Parser { rest: text, depth: 0, dims: self, needs: &mut needs };
        let e = p.sum()?;
        p.space();
        if !p.rest.is_empty() {
            return Err(format!("unexpected `{}` in dimension `{text}`", p.rest));
        }
        needs.sort_unstable();
        needs.dedup();
        let id = self.exprs.len() as DimId;
        for &s in &needs {
            self.users[s as usize].push(id);
        }
        self.exprs.push(e);
        self.texts.push(text.into());
        self.needs.push(needs);
        self.by_text.insert(text.into(), id);
        Ok(id)
    }

    /// The number of a symbol, given its name.
    pub fn symbol(&mut self, name: &str) -> SymbolId {
        if let Some(&s) = self.by_name.get(name) {
            return s;
        }
        let id = self.symbols.len() as SymbolId;
        self.symbols.push(name.into());
        self.users.push(vec![]);
        self.by_name.insert(name.into(), id);
        id
    }

    /// Text of an expression.
    pub fn text(&self, d: DimId) -> &str {
        &self.texts[d as usize]
    }

    /// Names of the symbols, by number.
    pub fn symbols(&self) -> &[String] {
        &self.symbols
    }

    /// The symbols of an expression.
    pub fn needs(&self, d: DimId) -> &[SymbolId] {
        &self.needs[d as usize]
    }

    /// Whether any expression has the symbol.
    pub fn is_used(&self, s: SymbolId) -> bool {
        !self.users[s as usize].is_empty()
    }

    /// The symbol that an expression consists of, if it is one.
    pub fn bare(&self, d: DimId) -> Option<SymbolId> {
        if let Expr::Symbol(s) = self.exprs[d as usize] { Some(s) } else { None }
    }

    /// `(symbol, a, b)` where an expression is `a*symbol + b`: what an input's extent can bind.
    pub fn linear(&self, d: DimId) -> Option<(SymbolId, i64, i64)> {
        let &[s] = self.needs(d) else { return None };
        let at = |x: i64| {
            let mut values = vec![None; self.symbols.len()];
            values[s as usize] = Some(x);
            self.eval(d, &values)
        };
        let (b, first) = (at(0)?, at(1)?);
        let a = first.checked_sub(b).filter(|a| *a != 0)?;
        // Any other expression differs from its secant at one of these.
        let fits = |x: i64| Some(at(x)? == a.checked_mul(x)?.checked_add(b)?);
        let linear = [2, 3, 5, 64, 1_000_003].into_iter().all(|x| fits(x).unwrap_or(false));
        linear.then_some((s, a, b))
    }

    /// The value of an expression without symbols.
    pub fn known(&self, d: DimId) -> Option<i64> {
        if self.needs(d).is_empty() { self.eval(d, &[]) } else { None }
    }

    /// Value for given symbol values (by number); `None` where a symbol is unbound.
    pub fn eval(&self, d: DimId, symbols: &[Option<i64>]) -> Option<i64> {
        eval(&self.exprs[d as usize], symbols)
    }
}

fn eval(e: &Expr, symbols: &[Option<i64>]) -> Option<i64> {
    Some(match e {
        Expr::Known(v) => *v,
        Expr::Symbol(s) => symbols.get(*s as usize).copied().flatten()?,
        Expr::Sum(terms) => {
            let mut sum = 0i64;
            for (negative, t) in terms {
                let v = eval(t, symbols)?;
                sum = if *negative { sum.saturating_sub(v) } else { sum.saturating_add(v) };
            }
            sum
        }
        Expr::Product(factors) => {
            let mut product = 1i64;
            for f in factors {
                product = product.saturating_mul(eval(f, symbols)?);
            }
            product
        }
        Expr::Call(f, args) => {
            let (a, b) = (eval(&args.0, symbols)?, eval(&args.1, symbols)?);
            match f {
                Function::FloorDiv => floor_div(a, b),
                Function::Mod => floor_mod(a, b),
                Function::Min => a.min(b),
                Function::Max => a.max(b),
            }
        }
    })
}

fn floor_div(a: i64, b: i64) -> i64 {
    if b == 0 {
        return 0;
    }
    let q = a.saturating_div(b);
    if a.wrapping_rem(b) != 0 && (a < 0) != (b < 0) { q - 1 } else { q }
}

fn floor_mod(a: i64, b: i64) -> i64 {
    if b == 0 {
        return a;
    }
    let r = a.wrapping_rem(b);
    if r != 0 && (r < 0) != (b < 0) { r + b } else { r }
}

struct Parser<'a> {
    rest: &'a str,
    depth: u32,
    dims: &'a mut Dims,
    needs: &'a mut Vec<SymbolId>,
}

impl Parser<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, token: char) -> bool {
        self.space();
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, token: char) -> Result<(), String> {
        if self.eat(token) { Ok(()) } else { Err(format!("expected `{token}` at `{}` of a dimension", self.rest)) }
    }

    fn sum(&mut self) -> Result<Expr, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("a dimension is nested more than {MAX_DEPTH} deep"));
        }
        let negative = self.eat('-');
        let mut terms = vec![(negative, self.product()?)];
        loop {
            let negative = self.eat('-');
            if !negative && !self.eat('+') {
                break;
            }
            terms.push((negative, self.product()?));
        }
        self.depth -= 1;
        Ok(match terms.as_slice() {
            [(false, _)] => terms.swap_remove(0).1,
            _ => Expr::Sum(terms),
        })
    }

    fn product(&mut self) -> Result<Expr, String> {
        let mut factors = vec![self.factor()?];
        while self.eat('*') {
            factors.push(self.factor()?);
        }
        Ok(if factors.len() == 1 { factors.swap_remove(0) } else { Expr::Product(factors) })
    }

    fn factor(&mut self) -> Result<Expr, String> {
        if self.eat('(') {
            let e = self.sum()?;
            self.expect(')')?;
            return Ok(e);
        }
        if self.eat('`') {
            let name = self.quoted()?;
            return Ok(self.named(&name));
        }
        let rest = self.rest;
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.')).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        if word.is_empty() || word.starts_with('.') {
            return Err(format!("expected a dimension at `{rest}`"));
        }
        self.rest = rest;
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            return word.parse().map(Expr::Known).map_err(|_| format!("`{word}` is no integer of 64 bits"));
        }
        let function = match word {
            "floordiv" => Function::FloorDiv,
            "mod" => Function::Mod,
            "min" => Function::Min,
            "max" => Function::Max,
            _ => return Ok(self.named(word)),
        };
        self.expect('(')?;
        let a = self.sum()?;
        self.expect(',')?;
        let b = self.sum()?;
        self.expect(')')?;
        Ok(Expr::Call(function, Box::new((a, b))))
    }

    /// The rest of a name after its opening backquote.
    fn quoted(&mut self) -> Result<String, String> {
        let mut name = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                '`' => {
                    self.rest = &self.rest[i + 1..];
                    return Ok(name);
                }
                '\\' => name.extend(chars.next().map(|x| x.1)),
                c => name.push(c),
            }
        }
        Err("a symbol's name lacks its closing backquote".into())
    }

    fn named(&mut self, name: &str) -> Expr {
        let s = self.dims.symbol(name);
        self.needs.push(s);
        Expr::Symbol(s)
    }
}

/// Values of the symbols and of all expressions whose symbols have one.
#[derive(Clone, Default, Debug)]
pub struct Values {
    symbols: Vec<Option<i64>>,
    dims: Vec<Option<i64>>,
}

impl Values {
    /// Everything unbound, for a table.
    pub fn new(dims: &Dims) -> Values {
        let mut v = Values { symbols: vec![None; dims.symbols.len()], dims: vec![None; dims.exprs.len()] };
        v.update_all(dims);
        v
    }

    /// Value of an expression, if its symbols are bound.
    #[inline]
    pub fn get(&self, d: DimId) -> Option<i64> {
        self.dims[d as usize]
    }

    /// Value of a symbol, if it is bound.
    pub fn symbol(&self, s: SymbolId) -> Option<i64> {
        self.symbols[s as usize]
    }

    /// Binds several symbols at once and unbinds all others.
    pub fn rebind(&mut self, dims: &Dims, symbols: Vec<Option<i64>>) {
        self.symbols = symbols;
        self.update_all(dims);
    }

    /// Binds one symbol; true if that changes anything.
    pub fn bind(&mut self, dims: &Dims, s: SymbolId, value: i64) -> bool {
        if self.symbols[s as usize] == Some(value) {
            return false;
        }
        self.symbols[s as usize] = Some(value);
        self.update(dims, s);
        true
    }

    /// Takes a symbol's value away.
    pub fn unbind(&mut self, dims: &Dims, s: SymbolId) {
        if self.symbols[s as usize].take().is_some() {
            self.update(dims, s);
        }
    }

    fn update(&mut self, dims: &Dims, s: SymbolId) {
        for &d in &dims.users[s as usize] {
            self.dims[d as usize] = dims.eval(d, &self.symbols);
        }
    }

    fn update_all(&mut self, dims: &Dims) {
        for (d, v) in self.dims.iter_mut().enumerate() {
            *v = dims.eval(d as DimId, &self.symbols);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, symbols: &[(&str, i64)]) -> Result<Option<i64>, String> {
        let mut dims = Dims::default();
        let d = dims.intern(text)?;
        let mut v = Values::new(&dims);
        for (name, value) in symbols {
            let s = dims.symbol(name);
            if (s as usize) < v.symbols.len() {
                v.bind(&dims, s, *value);
            }
        }
        Ok(v.get(d))
    }

    #[test]
    fn values() {
        let symbols = [("N", 7), ("M", -3), ("batch size", 5), ("x.y_1", 2), ("a`b\\c", 9), ("min", 4)];
        for (text, expected) in [
            ("0", 0),
            ("N", 7),
            (" 2 * N + 1 ", 15),
            ("-N", -7),
            ("-2*N + 3", -11),
            ("N*N*2 - 3*M - 1", 106),
            ("(N + 1)*(N - 1)", 48),
            ("floordiv(N, 2)", 3),
            ("floordiv(M, 2)", -2),
            ("floordiv(N, 0)", 0),
            ("mod(M, 5)", 2),
            ("mod(N, M)", -2),
            ("mod(N, 0)", 7),
            ("min(N, M) + max(N, M)", 4),
            ("`batch size`*x.y_1", 10),
            ("`a\\`b\\\\c`", 9),
            ("`min` + 1", 5),
            ("9223372036854775807 + N", i64::MAX),
            ("-9223372036854775807 - N", i64::MIN),
            ("9223372036854775807*N*N", i64::MAX),
            ("floordiv(-9223372036854775807 - 1, -1)", i64::MAX),
            ("mod(-9223372036854775807 - 1, -1)", 0),
        ] {
            assert_eq!(value(text, &symbols).unwrap(), Some(expected), "{text}");
        }
        assert_eq!(value("N + Q", &symbols).unwrap(), None);
    }

    #[test]
    fn errors() {
        let deep = "(".repeat(10_000) + "1" + &")".repeat(10_000);
        let deep_call = "min(1, ".repeat(10_000) + "1";
        for (text, part) in [
            ("", "expected a dimension"),
            ("N +", "expected a dimension"),
            ("N N", "unexpected `N`"),
            ("(N", "expected `)`"),
            ("min(N)", "expected `,`"),
            ("min", "expected `(`"),
            ("`N", "closing backquote"),
            ("99999999999999999999", "no integer of 64 bits"),
            ("1x", "no integer"),
            (".5", "expected a dimension"),
            ("N % 2", "unexpected"),
            (&deep, "nested"),
            (&deep_call, "nested"),
        ] {
            let e = value(text, &[]).unwrap_err();
            assert!(e.contains(part), "{text:.40}: {e}");
        }
    }

    #[test]
    fn binding_updates_what_depends_on_it() {
        let mut dims = Dims::default();
        let (a, b, c) = (dims.intern("N").unwrap(), dims.intern("N + M").unwrap(), dims.intern("4").unwrap());
        assert_eq!(dims.intern("N + M").unwrap(), b);
        let (n, m) = (dims.symbol("N"), dims.symbol("M"));
        assert_eq!((dims.bare(a), dims.bare(b), dims.known(c)), (Some(n), None, Some(4)));
        let mut v = Values::new(&dims);
        assert_eq!((v.get(a), v.get(b), v.get(c)), (None, None, Some(4)));
        assert!(v.bind(&dims, n, 3));
        assert!(!v.bind(&dims, n, 3));
        assert_eq!((v.get(a), v.get(b)), (Some(3), None));
        v.bind(&dims, m, 5);
        assert_eq!(v.get(b), Some(8));
        v.unbind(&dims, m);
        assert_eq!((v.get(a), v.get(b)), (Some(3), None));
        v.rebind(&dims, vec![Some(1), None]);
        assert_eq!((v.get(a), v.get(b), v.symbol(m)), (Some(1), None, None));
    }
}
