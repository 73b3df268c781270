//! Locations: only the name that a reader of messages wants is kept, such as `jit(f)/dot_general` or `model.py:3:5`.

use std::sync::Arc;

use super::Parser;
use super::cursor::Result;

impl<'a> Parser<'a> {
    /// A trailing `loc(..)`; empty where none stands next.
    pub fn maybe_loc(&mut self) -> Result<Arc<str>> {
        if self.c.peek_word() == "loc" { self.loc() } else { Ok(self.empty.clone()) }
    }

    /// `loc(..)`.
    pub fn loc(&mut self) -> Result<Arc<str>> {
        self.c.expect_keyword("loc")?;
        self.c.expect("(")?;
        let name = self.nested(Self::loc_inner)?;
        self.c.expect(")")?;
        Ok(name)
    }

    /// What stands inside `loc(..)`, and inside `callsite` and `fused`.
    fn loc_inner(&mut self) -> Result<Arc<str>> {
        match self.c.peek() {
            b'"' => {
                let text = self.c.string()?;
                if self.c.eat(":") {
                    let (line, column) = self.file_range()?;
                    return Ok(format!("{}:{line}:{column}", String::from_utf8_lossy(&text)).into());
                }
                let name = self.name_of(&text);
                if self.c.eat("(") {
                    // Where the named thing stands: the name says more.
                    self.c.skip_balanced(b')')?;
                }
                Ok(name)
            }
            b'#' => {
                let at = self.c.pos;
                self.c.pos += 1;
                let name = self.c.suffix()?;
                self.loc_alias(name, at)
            }
            _ => match self.c.peek_word() {
                "unknown" => {
                    self.c.word();
                    Ok(self.empty.clone())
                }
                "loc" => self.loc(),
                "callsite" => {
                    self.c.word();
                    self.c.expect("(")?;
                    let callee = self.nested(Self::loc_inner)?;
                    self.c.expect_keyword("at")?;
                    self.c.skip_balanced(b')')?;
                    Ok(callee)
                }
                "fused" => {
                    self.c.word();
                    if self.c.eat("<") {
                        self.c.skip_balanced(b'>')?;
                    }
                    self.c.expect("[")?;
                    let mut first = self.empty.clone();
                    if self.c.eat("]") {
                        return Ok(first);
                    }
                    loop {
                        let name = self.nested(Self::loc_inner)?;
                        if first.is_empty() {
                            first = name;
                        }
                        if !self.c.eat(",") {
                            break;
                        }
                    }
                    self.c.expect("]")?;
                    Ok(first)
                }
                _ => self.c.expected("a location"),
            },
        }
    }

    /// What follows `"file":` : `3:5`, `3:5 to 4:6`, `3:5 to :6`. The start is kept.
    fn file_range(&mut self) -> Result<(i64, i64)> {
        let line = self.c.integer()?;
        self.c.expect(":")?;
        let column = self.c.integer()?;
        if self.c.keyword("to") {
            if self.c.peek() != b':' {
                self.c.integer()?;
            }
            self.c.expect(":")?;
            self.c.integer()?;
        }
        Ok((line, column))
    }
}
