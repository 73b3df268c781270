//! Reading MLIR text: the generic form of any operation, the pretty forms of StableHLO, CHLO and `func`, mixed as one likes.
//!
//! The text is read once, byte by byte, without tokens ahead. Everything wrong with it is reported at once: after an error the
//! reader goes on with the next operation. Nesting, ranks, aliases and what is reserved for constants are bounded, so that
//! no text makes it overflow the stack or reserve much more than its own size.

mod alias;
mod attr;
mod cursor;
mod custom;
mod dense;
mod dialect;
mod element;
mod form;
mod forms;
mod func;
mod loc;
mod number;
mod op;
mod recover;
mod region;
mod render;
mod resource;
mod scope;
mod sdy;
mod show;
mod types;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use beiming_ir::tensor::Data;
use beiming_ir::types::DType;

use self::cursor::{Bad, Cursor, Result};
use super::syntax::{Loc, Module, Problem, Type};

pub use self::render::{excerpt, render};

/// Regions, lists and types nest no deeper.
const MAX_DEPTH: usize = 200;
/// Problems beyond these are not reported.
const MAX_PROBLEMS: usize = 100;

/// Reads a module from MLIR text.
///
/// Constants are copied once, from their text to their bytes; a constant of equal elements is kept as one element.
///
/// # Errors
/// Everything that is wrong, in the order of the text, each with its line and column; after a hundred it stops.
pub fn parse(source: &[u8]) -> std::result::Result<Module, Vec<Problem>> {
    let mut parser = Parser::new(source);
    let module = parser.file();
    if parser.problems.is_empty() { Ok(module) } else { Err(parser.finish()) }
}

/// The pieces of a file of several modules, between lines of `// -----`.
pub fn pieces(source: &[u8]) -> Vec<&[u8]> {
    let mut out = vec![];
    let mut start = 0;
    let mut line = 0;
    for end in memchr::memchr_iter(b'\n', source).chain([source.len()]) {
        if source[line..end].trim_ascii() == b"// -----" {
            out.push(&source[start..line]);
            start = (end + 1).min(source.len());
        }
        line = end + 1;
    }
    out.push(&source[start.min(source.len())..]);
    out
}

/// The state of reading a text.
struct Parser<'a> {
    c: Cursor<'a>,
    /// What was wrong so far, by offset.
    problems: Vec<Bad>,
    /// A brace is missing somewhere: errors end at their line from now on.
    unbalanced: bool,
    /// A problem was reported at the end of the text.
    ended: bool,
    depth: usize,
    /// Attributes and types read so far, those behind aliases included; and of these only those behind aliases.
    nodes: usize,
    expanded: usize,
    aliases: alias::Aliases<'a>,
    resources_at: Option<usize>,
    resources: Option<resource::Resources<'a>>,
    /// Resources as constants: one that is used often is kept once.
    blobs: HashMap<(Vec<u8>, DType, usize), Data>,
    names: HashMap<Box<str>, Arc<str>>,
    empty: Arc<str>,
    scope: scope::Scope<'a>,
    /// Names of the functions so far.
    functions: HashSet<Arc<str>>,
    /// Types of the values of the function that is being read.
    values: Vec<Type>,
    /// How far lines are counted: an offset, its line, and where that line starts.
    counted: (usize, u32, usize),
}

impl<'a> Parser<'a> {
    fn new(source: &'a [u8]) -> Parser<'a> {
        let (aliases, resources_at) = alias::find(source);
        Parser {
            c: Cursor::new(source, 0),
            problems: vec![],
            unbalanced: false,
            ended: false,
            depth: 0,
            nodes: 0,
            expanded: 0,
            aliases,
            resources_at,
            resources: None,
            blobs: HashMap::new(),
            names: HashMap::new(),
            empty: Arc::from(""),
            scope: scope::Scope::default(),
            functions: HashSet::new(),
            values: vec![],
            counted: (0, 1, 0),
        }
    }

    /// Runs `f` one level deeper.
    fn nested<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return self.c.bad(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        self.depth += 1;
        let out = f(self);
        self.depth -= 1;
        out
    }

    /// One shared string for each name.
    fn intern(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return known.clone();
        }
        let shared: Arc<str> = Arc::from(name);
        self.names.insert(Box::from(name), shared.clone());
        shared
    }

    /// A name that may not be UTF-8.
    fn name_of(&mut self, bytes: &[u8]) -> Arc<str> {
        self.intern(&String::from_utf8_lossy(bytes))
    }

    /// The text from `start` to here.
    fn text(&self, start: usize) -> Arc<str> {
        String::from_utf8_lossy(&self.c.src[start..self.c.pos]).into()
    }

    /// Line and column of an offset; cheap where offsets go up.
    fn place(&mut self, at: usize) -> Loc {
        let at = at.min(self.c.src.len());
        if at < self.counted.2 {
            self.counted = (0, 1, 0);
        }
        let (from, mut line, mut start) = self.counted;
        if at > from {
            let passed = &self.c.src[from..at];
            line = line.saturating_add(u32::try_from(memchr::memchr_iter(b'\n', passed).count()).unwrap_or(u32::MAX));
            if let Some(n) = memchr::memrchr(b'\n', passed) {
                start = from + n + 1;
            }
            self.counted = (at, line, start);
        }
        Loc { line, column: u32::try_from(at - start + 1).unwrap_or(u32::MAX), name: self.empty.clone() }
    }

    fn report(&mut self, bad: Bad) {
        // Where the end is missing once, everything that is open has no end.
        let at_end = self.c.done();
        if self.hopeless() || at_end && self.ended {
            return;
        }
        self.ended = at_end;
        if !self.problems.iter().rev().take(4).any(|p| p.at == bad.at && p.message == bad.message) {
            self.problems.push(bad);
        }
    }

    /// True where so much is wrong that the rest is not read.
    fn hopeless(&self) -> bool {
        self.problems.len() >= MAX_PROBLEMS
    }

    /// The problems with their places.
    fn finish(&mut self) -> Vec<Problem> {
        let mut all = std::mem::take(&mut self.problems);
        all.sort_by_key(|p| p.at);
        all.into_iter().map(|p| Problem { loc: self.place(p.at), message: p.message }).collect()
    }
}
