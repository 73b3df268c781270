//! Words of the text form, and errors that show where they are.
//!
//! A word is an identifier, a number, a string in double quotes, a symbol name in backquotes, or punctuation. `//` starts a
//! comment that ends with the line. The cursor looks one word ahead and reads the text once.

use std::fmt;

use thiserror::Error;

/// A text that is not IR, with the place.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What was expected, and what is there.
    pub message: String,
    /// The line, or the part of a long one around the place, and the place's column in it.
    excerpt: (String, usize),
}

/// Characters of a line shown before and after the place.
const EXCERPT: usize = 60;

impl ParseError {
    fn at(text: &str, pos: usize, message: String) -> ParseError {
        let pos = (0..=pos.min(text.len())).rev().find(|p| text.is_char_boundary(*p)).unwrap_or(0);
        let start = text[..pos].rfind('\n').map_or(0, |p| p + 1);
        let end = text[pos..].find('\n').map_or(text.len(), |p| pos + p);
        let line = text[..pos].bytes().filter(|b| *b == b'\n').count() + 1;
        let column = text[start..pos].chars().count() + 1;
        let skip = (column - 1).saturating_sub(EXCERPT);
        let excerpt = text[start..end].chars().skip(skip).take(2 * EXCERPT).collect();
        ParseError { line, column, message, excerpt: (excerpt, column - 1 - skip) }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        writeln!(f, "  | {}", self.excerpt.0)?;
        write!(f, "  | {}^", " ".repeat(self.excerpt.1))
    }
}

/// Result of parsing.
pub type Parsed<T> = Result<T, ParseError>;

/// Kind of a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Ident,
    Number,
    Str,
    /// A name in backquotes, part of a dimension.
    Quoted,
    Punct,
    /// What no word starts with.
    Bad,
    End,
}

/// Punctuation of two characters.
const PAIRS: [&str; 8] = [":=", "<=", ">=", "==", "!=", "..", "->", "+="];

/// A reader of words.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    kind: Kind,
    start: usize,
    end: usize,
    /// End of the word before.
    last: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Cursor<'a> {
        let mut c = Cursor { text, kind: Kind::End, start: 0, end: 0, last: 0 };
        c.advance();
        c
    }

    /// Kind of the word ahead.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Text of the word ahead.
    pub fn word(&self) -> &'a str {
        &self.text[self.start..self.end]
    }

    /// Byte position of the word ahead.
    pub fn pos(&self) -> usize {
        self.start
    }

    /// Steps over the word ahead.
    pub fn advance(&mut self) {
        self.last = self.end;
        let bytes = self.text.as_bytes();
        let mut p = self.end;
        loop {
            while p < bytes.len() && bytes[p].is_ascii_whitespace() {
                p += 1;
            }
            if !self.text[p..].starts_with("//") {
                break;
            }
            p = self.text[p..].find('\n').map_or(bytes.len(), |n| p + n);
        }
        self.start = p;
        let while_ = |mut q: usize, f: fn(u8) -> bool| {
            while q < bytes.len() && f(bytes[q]) {
                q += 1;
            }
            q
        };
        let Some(&b) = bytes.get(p) else {
            (self.kind, self.end) = (Kind::End, p);
            return;
        };
        (self.kind, self.end) = match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => (Kind::Ident, while_(p, |b| b.is_ascii_alphanumeric() || b == b'_')),
            b'0'..=b'9' => (Kind::Number, number(bytes, p)),
            b'"' => quoted(bytes, p, b'"').map_or((Kind::Bad, bytes.len()), |e| (Kind::Str, e)),
            b'`' => quoted(bytes, p, b'`').map_or((Kind::Bad, bytes.len()), |e| (Kind::Quoted, e)),
            0x80.. => (Kind::Bad, p + self.text[p..].chars().next().map_or(1, char::len_utf8)),
            _ => {
                let pair = PAIRS.iter().any(|t| self.text[p..].starts_with(t));
                (Kind::Punct, if pair { p + 2 } else { p + 1 })
            }
        };
    }

    /// An error at the word ahead.
    pub fn error<T>(&self, message: impl Into<String>) -> Parsed<T> {
        self.error_at(self.start, message)
    }

    /// An error at a byte position.
    pub fn error_at<T>(&self, pos: usize, message: impl Into<String>) -> Parsed<T> {
        Err(ParseError::at(self.text, pos, message.into()))
    }

    /// An error that names what is ahead.
    pub fn expected<T>(&self, what: &str) -> Parsed<T> {
        match self.kind {
            Kind::End => self.error(format!("expected {what}, found the end")),
            Kind::Bad if self.word().starts_with(['"', '`']) => self.error("unterminated quotes"),
            _ => self.error(format!("expected {what}, found `{}`", self.word().chars().take(40).collect::<String>())),
        }
    }

    /// Takes the word ahead if it is this punctuation or identifier.
    pub fn eat(&mut self, t: &str) -> bool {
        let hit = matches!(self.kind, Kind::Punct | Kind::Ident) && self.word() == t;
        if hit {
            self.advance();
        }
        hit
    }

    /// Takes this punctuation or identifier.
    pub fn expect(&mut self, t: &str) -> Parsed<()> {
        if self.eat(t) { Ok(()) } else { self.expected(&format!("`{t}`")) }
    }

    /// Is the word ahead this one?
    pub fn sees(&self, t: &str) -> bool {
        matches!(self.kind, Kind::Punct | Kind::Ident) && self.word() == t
    }

    /// Takes an identifier.
    pub fn ident(&mut self, what: &str) -> Parsed<&'a str> {
        if self.kind != Kind::Ident {
            return self.expected(what);
        }
        let w = self.word();
        self.advance();
        Ok(w)
    }

    /// Takes an integer, with or without a sign.
    pub fn int<T: std::str::FromStr>(&mut self, what: &str) -> Parsed<T> {
        let (at, minus) = (self.start, self.eat("-"));
        if self.kind != Kind::Number {
            return self.expected(what);
        }
        let text = format!("{}{}", if minus { "-" } else { "" }, self.word());
        match text.parse() {
            Ok(v) => {
                self.advance();
                Ok(v)
            }
            Err(_) => self.error_at(at, format!("`{text}` is not {what}")),
        }
    }

    /// Takes a string.
    pub fn string(&mut self) -> Parsed<String> {
        if self.kind != Kind::Str {
            return self.expected("a string");
        }
        let at = self.start;
        let w = self.word();
        match unescape(&w[1..w.len() - 1]) {
            Some(s) => {
                self.advance();
                Ok(s)
            }
            None => self.error_at(at, "a string with an unknown escape; there are \\\" \\\\ \\n \\r \\t \\u{hex}"),
        }
    }

    /// Takes everything up to one of `stops` outside brackets, or to the end; gives the source and its position.
    pub fn until(&mut self, stops: &[&str]) -> Parsed<(&'a str, usize)> {
        let from = self.start;
        let mut depth = 0usize;
        self.last = from;
        loop {
            match (self.kind, self.word()) {
                (Kind::End, _) => break,
                (Kind::Bad, _) => return self.expected("a word"),
                (Kind::Punct | Kind::Ident, w) if depth == 0 && stops.contains(&w) => break,
                (Kind::Punct, "(" | "[" | "{") => depth += 1,
                (Kind::Punct, ")" | "]" | "}") if depth == 0 => break,
                (Kind::Punct, ")" | "]" | "}") => depth -= 1,
                _ => {}
            }
            self.advance();
        }
        Ok((&self.text[from..self.last.max(from)], from))
    }

    /// Takes a group in brackets that starts ahead, brackets included, or nothing where none starts.
    pub fn group(&mut self) -> Parsed<()> {
        let close = match self.word() {
            "(" => ")",
            "[" => "]",
            _ => return Ok(()),
        };
        self.advance();
        self.until(&[])?;
        self.expect(close)
    }

    /// The source from a position up to the word ahead.
    pub fn since(&self, from: usize) -> &'a str {
        &self.text[from..self.last.max(from)]
    }
}

/// End of the number at `p`: digits, a fraction, an exponent, or hexadecimal digits after `0x`.
fn number(b: &[u8], p: usize) -> usize {
    let digits = |mut q: usize, f: fn(&u8) -> bool| {
        while b.get(q).is_some_and(f) {
            q += 1;
        }
        q
    };
    if b[p] == b'0' && b.get(p + 1) == Some(&b'x') {
        return digits(p + 2, u8::is_ascii_hexdigit);
    }
    let mut q = digits(p, u8::is_ascii_digit);
    if b.get(q) == Some(&b'.') && b.get(q + 1).is_some_and(u8::is_ascii_digit) {
        q = digits(q + 1, u8::is_ascii_digit);
    }
    if matches!(b.get(q), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(b.get(q + 1), Some(b'+' | b'-')));
        if b.get(q + 1 + sign).is_some_and(u8::is_ascii_digit) {
            q = digits(q + 1 + sign, u8::is_ascii_digit);
        }
    }
    q
}

/// End of the quotes that open at `p`; `None` where the text ends first, or the line: strings escape line ends.
fn quoted(b: &[u8], p: usize, quote: u8) -> Option<usize> {
    let mut q = p + 1;
    loop {
        match b.get(q)? {
            b'\n' if quote == b'"' => return None,
            b'\\' => q += 2,
            c if *c == quote => return Some(q + 1),
            _ => q += 1,
        }
    }
}

/// A string in the text form.
pub(super) fn escape(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn unescape(s: &str) -> Option<String> {
    let mut out = String::with_capacity(s.len());
    let mut it = s.chars();
    while let Some(c) = it.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match it.next()? {
            c @ ('"' | '\\') => out.push(c),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'u' => {
                let hex = it.as_str().strip_prefix('{')?;
                let (hex, _) = hex.split_once('}')?;
                out.push(char::from_u32(u32::from_str_radix(hex, 16).ok()?)?);
                it = it.as_str()[hex.len() + 2..].chars();
            }
            _ => return None,
        }
    }
    Some(out)
}
