//! A position in the text and the lexical rules of MLIR: white space, comments, words, numbers, strings.

use std::borrow::Cow;

/// What is wrong, and where: an offset into the text.
#[derive(Clone, Debug)]
pub(super) struct Bad {
    pub at: usize,
    pub message: String,
}

pub(super) type Result<T> = std::result::Result<T, Bad>;

/// A position in the text. Nothing is tokenised ahead: large constants are read by loops of their own.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub src: &'a [u8],
    pub pos: usize,
}

/// Letters, digits and what else may stand inside a bare word.
pub(super) fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'$')
}

impl<'a> Cursor<'a> {
    pub fn new(src: &'a [u8], pos: usize) -> Cursor<'a> {
        Cursor { src, pos }
    }

    /// The byte here; 0 at the end.
    pub fn byte(&self) -> u8 {
        self.src.get(self.pos).copied().unwrap_or(0)
    }

    /// True at the end of the text.
    pub fn done(&self) -> bool {
        self.pos >= self.src.len()
    }

    /// Skips white space and comments.
    pub fn space(&mut self) {
        loop {
            match self.byte() {
                b' ' | b'\n' | b'\t' | b'\r' => self.pos += 1,
                b'/' if self.src.get(self.pos + 1) == Some(&b'/') => {
                    self.pos = memchr::memchr(b'\n', &self.src[self.pos..]).map_or(self.src.len(), |n| self.pos + n);
                }
                _ => return,
            }
        }
    }

    /// The next byte that is not white space; 0 at the end.
    pub fn peek(&mut self) -> u8 {
        self.space();
        self.byte()
    }

    /// An error here.
    pub fn bad<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(Bad { at: self.pos, message: message.into() })
    }

    /// An error that names what was expected and what stands here instead.
    pub fn expected<T>(&mut self, what: &str) -> Result<T> {
        self.space();
        if self.done() {
            return self.bad(format!("expected {what}, found the end of the file"));
        }
        let rest = &self.src[self.pos..];
        let n = rest.iter().position(|&b| !is_word(b)).unwrap_or(rest.len()).clamp(1, 40);
        let found = String::from_utf8_lossy(&rest[..n]).into_owned();
        self.bad(format!("expected {what}, found `{}`", found.escape_debug()))
    }

    /// True, past it, where this punctuation stands next.
    pub fn eat(&mut self, token: &str) -> bool {
        self.space();
        let hit = self.src[self.pos..].starts_with(token.as_bytes());
        if hit {
            self.pos += token.len();
        }
        hit
    }

    pub fn expect(&mut self, token: &str) -> Result<()> {
        if self.eat(token) { Ok(()) } else { self.expected(&format!("`{token}`")) }
    }

    /// The bare word that stands next, without moving.
    pub fn peek_word(&mut self) -> &'a str {
        self.space();
        let rest = &self.src[self.pos.min(self.src.len())..];
        if !rest.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_') {
            return "";
        }
        let n = rest.iter().position(|&b| !is_word(b)).unwrap_or(rest.len());
        // ASCII by construction.
        std::str::from_utf8(&rest[..n]).unwrap_or("")
    }

    /// A bare word, past it; empty where none stands next.
    pub fn word(&mut self) -> &'a str {
        let w = self.peek_word();
        self.pos += w.len();
        w
    }

    /// True, past it, where exactly this word stands next.
    pub fn keyword(&mut self, word: &str) -> bool {
        let hit = self.peek_word() == word;
        if hit {
            self.pos += word.len();
        }
        hit
    }

    pub fn expect_keyword(&mut self, word: &str) -> Result<()> {
        if self.keyword(word) { Ok(()) } else { self.expected(&format!("`{word}`")) }
    }

    /// A run of decimal digits, past it; empty where none stands here.
    pub fn digits(&mut self) -> &'a [u8] {
        let start = self.pos;
        while self.byte().is_ascii_digit() {
            self.pos += 1;
        }
        &self.src[start..self.pos]
    }

    /// An integer that fits 64 bits, with a sign.
    pub fn integer(&mut self) -> Result<i64> {
        self.space();
        let at = self.pos;
        let negative = self.byte() == b'-';
        self.pos += usize::from(negative);
        let digits = self.digits();
        if digits.is_empty() {
            self.pos = at;
            return self.expected("an integer");
        }
        let value = digits.iter().try_fold(0i64, |a, d| {
            let d = i64::from(d - b'0');
            a.checked_mul(10).and_then(|a| if negative { a.checked_sub(d) } else { a.checked_add(d) })
        });
        value.ok_or_else(|| Bad { at, message: "the integer does not fit 64 bits".into() })
    }

    /// The name after `%`, `^`, `#` or `!`: digits, or letters, digits and `$._-`.
    pub fn suffix(&mut self) -> Result<&'a [u8]> {
        let start = self.pos;
        if self.byte().is_ascii_digit() {
            self.digits();
        } else {
            while is_word(self.byte()) || self.byte() == b'-' {
                // `%a->` does not occur, but `loc1->` would read the arrow as a part of the name.
                if self.byte() == b'-' && self.src.get(self.pos + 1) == Some(&b'>') {
                    break;
                }
                self.pos += 1;
            }
        }
        if start == self.pos { self.expected("a name") } else { Ok(&self.src[start..self.pos]) }
    }

    /// A string in quotes, its escapes resolved.
    pub fn string(&mut self) -> Result<Cow<'a, [u8]>> {
        let raw = self.raw_string()?;
        if !raw.contains(&b'\\') {
            return Ok(Cow::Borrowed(raw));
        }
        let at = self.pos;
        let mut out = Vec::with_capacity(raw.len());
        let mut it = raw.iter().copied();
        while let Some(b) = it.next() {
            if b != b'\\' {
                out.push(b);
                continue;
            }
            let escape = it.next();
            out.push(match escape {
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(c @ (b'"' | b'\\')) => c,
                Some(h) => match (hex_digit(h), it.next().and_then(hex_digit)) {
                    (Some(h), Some(l)) => h << 4 | l,
                    _ => {
                        return Err(Bad {
                            at,
                            message: "unknown escape in a string; known are \\n, \\t, \\\\, \\\" and two hex digits".into(),
                        });
                    }
                },
                None => b'\\',
            });
        }
        Ok(Cow::Owned(out))
    }

    /// What stands between quotes, as it is written.
    pub fn raw_string(&mut self) -> Result<&'a [u8]> {
        self.space();
        if self.byte() != b'"' {
            return self.expected("a string");
        }
        let start = self.pos + 1;
        let mut i = start;
        loop {
            let Some(n) = memchr::memchr3(b'"', b'\\', b'\n', &self.src[i.min(self.src.len())..]) else {
                return self.bad("the string has no end");
            };
            i += n;
            match self.src[i] {
                b'"' => break,
                b'\\' => i += 2,
                _ => return self.bad("the string has no end on its line"),
            }
        }
        self.pos = i + 1;
        Ok(&self.src[start..i])
    }

    /// Skips to the end of what is open: past the `close` that belongs to an `open` before this position. Strings are stepped
    /// over; the arrow `->` closes nothing.
    pub fn skip_balanced(&mut self, close: u8) -> Result<()> {
        let from = self.pos;
        let mut open = vec![close];
        while let Some(&want) = open.last() {
            self.space();
            match self.byte() {
                b'"' => {
                    self.raw_string()?;
                    continue;
                }
                b'-' if self.src.get(self.pos + 1) == Some(&b'>') => self.pos += 1,
                b'(' => open.push(b')'),
                b'[' => open.push(b']'),
                b'{' => open.push(b'}'),
                b'<' => open.push(b'>'),
                b if b == want => {
                    open.pop();
                }
                b')' | b']' | b'}' | b'>' => return self.expected(&format!("`{}`", want as char)),
                0 if self.done() => {
                    return Err(Bad { at: from, message: format!("`{}` that closes this is missing", close as char) });
                }
                _ => {}
            }
            self.pos += 1;
        }
        Ok(())
    }
}

/// The value of a hexadecimal digit.
pub(super) const fn hex_digit(b: u8) -> Option<u8> {
    match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    }
}
