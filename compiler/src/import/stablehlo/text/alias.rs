//! Aliases (`#map = ..`, `!t = ..`, `#loc = loc(..)`) may be used before they are defined, so their places are found first and
//! each is read when it is first used.

use std::collections::HashMap;
use std::sync::Arc;

use super::Parser;
use super::cursor::{Bad, Cursor, Result, is_word};
use crate::import::stablehlo::syntax::{Attr, Type};

/// What an alias stands for, once it is known. An alias of aliases multiplies what is written: the sizes are counted.
#[derive(Clone)]
pub(super) enum Meaning {
    /// Not read yet.
    Unread,
    /// Being read: a use now is a cycle.
    Open,
    /// Read, and wrong: reported once.
    Wrong,
    Attr(Attr, usize),
    Type(Type, usize),
    Loc(Arc<str>),
}

/// An alias: where its value is written, and what it is.
pub(super) struct Alias {
    value: usize,
    meaning: Meaning,
}

pub(super) type Aliases<'a> = HashMap<&'a [u8], Alias>;

/// How many attributes and types the aliases of a file may always stand for, taken together. Beyond, it is as many as the file
/// has bytes: a use of an alias takes some.
const EXPANSION: usize = 1 << 18;

/// The aliases of a file by name, with their `#` or `!`, and where its resources (`{-#`) begin. A definition stands at the
/// start of a line; no attribute has `#name =` inside.
pub(super) fn find(src: &[u8]) -> (Aliases<'_>, Option<usize>) {
    let mut aliases = HashMap::new();
    let mut resources = None;
    let starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', src).map(|n| n + 1));
    for line in starts {
        let mut c = Cursor::new(src, line);
        while matches!(c.byte(), b' ' | b'\t') {
            c.pos += 1;
        }
        match c.byte() {
            b'#' | b'!' => {
                let start = c.pos;
                c.pos += 1;
                while is_word(c.byte()) || c.byte() == b'-' {
                    c.pos += 1;
                }
                let name = &src[start..c.pos];
                while matches!(c.byte(), b' ' | b'\t') {
                    c.pos += 1;
                }
                if name.len() > 1 && c.byte() == b'=' {
                    aliases.entry(name).or_insert(Alias { value: c.pos + 1, meaning: Meaning::Unread });
                }
            }
            b'{' if src[c.pos..].starts_with(b"{-#") && resources.is_none() => resources = Some(c.pos),
            _ => {}
        }
    }
    (aliases, resources)
}

impl<'a> Parser<'a> {
    /// An alias of a type; `name` without `!`.
    pub fn type_alias(&mut self, name: &'a str, at: usize) -> Result<Type> {
        match self.alias(at, 1 + name.len())? {
            Meaning::Type(t, size) => {
                self.expand(size, at)?;
                Ok(t)
            }
            _ => Err(Bad { at, message: format!("`!{name}` is not a type") }),
        }
    }

    /// An alias of an attribute; the text from `at` is `#name`.
    pub fn attr_alias(&mut self, name: &'a [u8], at: usize) -> Result<Attr> {
        match self.alias(at, 1 + name.len())? {
            Meaning::Attr(a, size) => {
                self.expand(size, at)?;
                Ok(a)
            }
            Meaning::Loc(name) => Ok(Attr::Other(format!("loc(\"{name}\")").into())),
            _ => Err(Bad { at, message: format!("`#{}` is not an attribute", String::from_utf8_lossy(name)) }),
        }
    }

    /// An alias of a location.
    pub fn loc_alias(&mut self, name: &'a [u8], at: usize) -> Result<Arc<str>> {
        match self.alias(at, 1 + name.len())? {
            Meaning::Loc(name) => Ok(name),
            _ => Err(Bad { at, message: format!("`#{}` is not a location", String::from_utf8_lossy(name)) }),
        }
    }

    /// What the alias written at `at` stands for.
    fn alias(&mut self, at: usize, len: usize) -> Result<Meaning> {
        let key = &self.c.src[at..at + len];
        let shown = || String::from_utf8_lossy(key).into_owned();
        let Some(alias) = self.aliases.get_mut(key) else {
            return Err(Bad { at, message: format!("`{}` is not defined", shown()) });
        };
        let value = alias.value;
        match &alias.meaning {
            Meaning::Open => return Err(Bad { at, message: format!("`{}` is defined by itself", shown()) }),
            Meaning::Wrong => return Err(Bad { at, message: format!("the definition of `{}` is wrong", shown()) }),
            Meaning::Unread => alias.meaning = Meaning::Open,
            known => return Ok(known.clone()),
        }
        let resume = std::mem::replace(&mut self.c.pos, value);
        let before = self.nodes;
        let read = self.nested(|p| {
            if key[0] == b'!' {
                let t = p.ty()?;
                Ok(Meaning::Type(t, p.nodes - before + 1))
            } else if p.c.peek_word() == "loc" {
                p.loc().map(Meaning::Loc)
            } else {
                let a = p.attr()?;
                Ok(Meaning::Attr(a, p.nodes - before + 1))
            }
        });
        self.c.pos = resume;
        let meaning = read.as_ref().map_or(Meaning::Wrong, Clone::clone);
        self.aliases.insert(key, Alias { value, meaning });
        read
    }

    /// Counts what an alias stands for.
    fn expand(&mut self, size: usize, at: usize) -> Result<()> {
        self.nodes += size;
        self.expanded += size;
        let limit = EXPANSION.max(self.c.src.len());
        if self.expanded > limit {
            return Err(Bad { at, message: format!("the aliases of this file stand for more than {limit} attributes") });
        }
        Ok(())
    }

    /// Past a definition; its value is read, so that a wrong one is reported even where nothing uses it.
    pub fn alias_definition(&mut self) -> Result<()> {
        let at = self.c.pos;
        self.c.pos += 1;
        let name = self.c.suffix()?;
        self.c.expect("=")?;
        let value = self.c.pos;
        let key = &self.c.src[at..at + 1 + name.len()];
        match self.aliases.get(key) {
            Some(alias) if alias.value == value => {
                self.alias(at, key.len())?;
            }
            Some(_) => return Err(Bad { at, message: format!("`{}` is defined twice", String::from_utf8_lossy(key)) }),
            None => return Err(Bad { at, message: "an alias must be defined at the start of a line".into() }),
        }
        // Past the value, whatever it is.
        self.c.pos = value;
        if key[0] == b'!' {
            self.ty()?;
        } else if self.c.peek_word() == "loc" {
            self.loc()?;
        } else {
            self.attr()?;
        }
        Ok(())
    }
}
