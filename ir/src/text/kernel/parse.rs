//! Parsing of kernels.

use std::collections::HashMap;

use super::{ACCESSES, PIPES, SPACES, UNITS, by_name};
use crate::kernel::{Access, BufId, Buffer, Element, Expr, ExprId, Handover, Kernel, Loop, OnNpu, Pipe, Space, Stmt, VarId};
use crate::ops::ReduceOp;
use crate::text::lexer::{Cursor, Kind, Parsed};
use crate::text::{parse_dim, parse_symbol, parse_type};

/// Deepest nesting of statements, and of brackets in an expression.
const MAX_DEPTH: u32 = 128;

/// Reads a kernel from its first word to its closing brace.
pub(in crate::text) fn kernel(c: &mut Cursor<'_>) -> Parsed<Kernel> {
    let mut p = Parser {
        c,
        k: Kernel::default(),
        raw: false,
        names: HashMap::new(),
        buffers: HashMap::new(),
        shared: HashMap::new(),
        highest: 0,
        depth: 0,
    };
    p.header()?;
    p.k.body = p.block()?;
    p.k.vars = p.k.vars.max(p.highest);
    Ok(p.k)
}

/// State of parsing one kernel.
pub(super) struct Parser<'c, 'a> {
    pub c: &'c mut Cursor<'a>,
    pub k: Kernel,
    /// Equal expressions are kept apart.
    pub raw: bool,
    /// Named expressions.
    pub names: HashMap<&'a str, ExprId>,
    buffers: HashMap<String, BufId>,
    /// Expressions made so far, unless `raw`.
    pub shared: HashMap<Expr, ExprId>,
    /// Highest bound variable plus one.
    highest: u32,
    pub depth: u32,
}

impl<'a> Parser<'_, 'a> {
    fn header(&mut self) -> Parsed<()> {
        self.c.expect("kernel")?;
        self.k.name = self.name("the kernel's name")?;
        self.c.expect("(")?;
        while !self.c.eat(")") {
            if !self.k.symbols.is_empty() {
                self.c.expect(",")?;
            }
            let s = parse_symbol(self.c, &[","])?;
            self.k.symbols.push(s);
        }
        self.c.expect("{")?;
        if self.c.eat("ops") {
            loop {
                let s = self.c.string()?;
                self.k.ops.push(s);
                if !self.c.eat(",") {
                    break;
                }
            }
        }
        while self.c.eat("param") {
            let b = self.buffer(Space::Memory)?;
            self.k.params.push(b);
        }
        while self.c.eat("local") {
            let b = self.buffer(Space::Memory)?;
            self.k.locals.push(b);
        }
        if self.c.eat("grid") {
            self.c.expect("(")?;
            while !self.c.eat(")") {
                if !self.k.grid.is_empty() {
                    self.c.expect(",")?;
                }
                let (at, v) = (self.c.pos(), self.var()?);
                if v.index() != self.k.grid.len() {
                    let want = self.k.grid.len();
                    return self.c.error_at(at, format!("the coordinates of the grid are i0, i1, ..; expected i{want}"));
                }
                self.c.expect("<")?;
                let d = parse_dim(self.c, &[","])?;
                self.k.grid.push(d);
            }
        }
        if self.c.eat("npu") {
            let Some(unit) = by_name(&UNITS, self.c.word()) else { return self.c.error("expected `vector`, `cube` or `mix`") };
            self.c.advance();
            let mut copies = vec![];
            self.c.expect("(")?;
            while !self.c.eat(")") {
                if !copies.is_empty() {
                    self.c.expect(",")?;
                }
                copies.push(self.c.int("a number of copies")?);
            }
            let workspace = if self.c.eat("workspace") { Some(self.c.int("the position of a parameter")?) } else { None };
            self.k.npu = Some(OnNpu { unit, copies, workspace });
        }
        self.highest = self.k.grid.len() as u32;
        if self.c.eat("vars") {
            self.k.vars = self.c.int("a number of variables")?;
        }
        self.raw = self.c.eat("raw");
        Ok(())
    }

    /// An identifier, or a string for a name that is none.
    fn name(&mut self, what: &str) -> Parsed<String> {
        if self.c.kind() == Kind::Str { self.c.string() } else { Ok(self.c.ident(what)?.to_string()) }
    }

    fn pipe(&mut self) -> Parsed<Pipe> {
        let Some(p) = by_name(&PIPES, self.c.word()) else { return self.c.error("expected the name of a pipe") };
        self.c.advance();
        Ok(p)
    }

    fn buffer(&mut self, mut space: Space) -> Parsed<Buffer> {
        self.c.expect("%")?;
        let at = self.c.pos();
        let name = self.name("the buffer's name")?;
        let id = BufId((self.k.params.len() + self.k.locals.len()) as u32);
        if self.buffers.insert(name.clone(), id).is_some() {
            return self.c.error_at(at, format!("buffer `%{name}` exists already"));
        }
        self.c.expect(":")?;
        let ty = parse_type(self.c)?;
        let mut access = Access::ReadWrite;
        if let Some(s) = by_name(&SPACES, self.c.word()) {
            space = s;
            self.c.advance();
        }
        if let Some(a) = by_name(&ACCESSES, self.c.word()) {
            access = a;
            self.c.advance();
        }
        Ok(Buffer { name, dtype: ty.dtype, shape: ty.shape, space, access })
    }

    /// Statements up to the closing brace, which is taken.
    fn block(&mut self) -> Parsed<Vec<Stmt>> {
        self.nest()?;
        let mut body = vec![];
        while !self.c.eat("}") {
            if let Some(s) = self.stmt()? {
                body.push(s);
            }
        }
        self.depth -= 1;
        Ok(body)
    }

    pub(super) fn nest(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { self.c.error(format!("nested more than {MAX_DEPTH} deep")) } else { Ok(()) }
    }

    /// A statement, or nothing for the naming of an expression.
    fn stmt(&mut self) -> Parsed<Option<Stmt>> {
        if self.c.sees("%") {
            let dst = self.element()?.0;
            let reduce = match self.c.word() {
                "sum" => Some(ReduceOp::Sum),
                "prod" => Some(ReduceOp::Prod),
                "max" => Some(ReduceOp::Max),
                "min" => Some(ReduceOp::Min),
                "mean" => Some(ReduceOp::Mean),
                "all" => Some(ReduceOp::All),
                "any" => Some(ReduceOp::Any),
                _ => None,
            };
            if reduce.is_some() {
                self.c.advance();
            }
            self.c.expect("=")?;
            let value = self.expr()?;
            return Ok(Some(Stmt::Vector { dst, value, reduce }));
        }
        let at = self.c.pos();
        let word = self.c.ident("a statement")?;
        if self.c.eat(":=") {
            let e = self.expr()?;
            return match self.names.insert(word, e) {
                Some(_) => self.c.error_at(at, format!("`{word}` is named already")),
                None => Ok(None),
            };
        }
        Ok(Some(match word {
            "for" => self.for_loop(Loop::Serial)?,
            "vector" => {
                self.c.expect("for")?;
                self.for_loop(Loop::Vector)?
            }
            "cores" => {
                self.c.expect("for")?;
                self.for_loop(Loop::Cores)?
            }
            "unroll" => {
                self.c.expect("for")?;
                self.for_loop(Loop::Unroll)?
            }
            "if" => {
                let cond = self.expr()?;
                self.c.expect("{")?;
                Stmt::If { cond, then: self.block()? }
            }
            "copy" => {
                let mut vars = vec![];
                self.c.expect("(")?;
                while !self.c.eat(")") {
                    if !vars.is_empty() {
                        self.c.expect(",")?;
                    }
                    let v = self.bind()?;
                    self.c.expect("<")?;
                    vars.push((v, self.expr()?));
                }
                let dst = self.element()?.0;
                self.c.expect("=")?;
                let (src, fill) = self.element()?;
                Stmt::Copy { vars, dst, src, fill }
            }
            "mma" => {
                self.c.expect("(")?;
                let i = self.bind()?;
                self.c.expect(",")?;
                let j = self.bind()?;
                self.c.expect(",")?;
                let k = self.bind()?;
                self.c.expect("<")?;
                let depth = self.expr()?;
                self.c.expect(")")?;
                let acc = self.buffer_ref()?;
                self.c.expect("+=")?;
                let a = self.element()?.0;
                self.c.expect("*")?;
                Stmt::Mma { acc, i, j, k, depth, a, b: self.element()?.0 }
            }
            "wait" | "signal" | "await" => {
                let handover = if word == "wait" {
                    None
                } else {
                    let (from, to) = (self.pipe()?, self.pipe()?);
                    let flag = if self.c.eat("flag") { Some(self.c.int("the number of a flag")?) } else { None };
                    Some(Handover { from, to, signal: word == "signal", flag })
                };
                let mut buffers = vec![];
                while self.c.sees("%") {
                    buffers.push(self.buffer_ref()?);
                    if !self.c.eat(",") {
                        break;
                    }
                }
                Stmt::Wait { buffers, handover, reason: self.c.string()? }
            }
            _ => return self.c.error_at(at, format!("expected a statement, found `{word}`")),
        }))
    }

    fn for_loop(&mut self, kind: Loop) -> Parsed<Stmt> {
        let var = self.bind()?;
        self.c.expect("<")?;
        let extent = self.expr()?;
        self.c.expect("{")?;
        Ok(Stmt::For { var, extent, kind, body: self.block()? })
    }

    fn bind(&mut self) -> Parsed<VarId> {
        let v = self.var()?;
        self.highest = self.highest.max(v.0.saturating_add(1));
        Ok(v)
    }

    fn var(&mut self) -> Parsed<VarId> {
        match variable(self.c.word()) {
            Some(v) => {
                self.c.advance();
                Ok(v)
            }
            None => self.c.expected("a loop variable: i0, i1, .."),
        }
    }

    fn buffer_ref(&mut self) -> Parsed<BufId> {
        self.c.expect("%")?;
        let at = self.c.pos();
        let name = self.name("a buffer's name")?;
        match self.buffers.get(&name) {
            Some(b) => Ok(*b),
            None => self.c.error_at(at, format!("there is no buffer `%{name}`")),
        }
    }

    /// `%x[i0, 4 where guard else other]`.
    pub(super) fn element(&mut self) -> Parsed<(Element, Option<ExprId>)> {
        let buffer = self.buffer_ref()?;
        self.c.expect("[")?;
        let mut index = vec![];
        while !self.c.sees("]") && !self.c.sees("where") && !self.c.sees("else") {
            if !index.is_empty() {
                self.c.expect(",")?;
            }
            index.push(self.expr()?);
        }
        let guard = if self.c.eat("where") { Some(self.expr()?) } else { None };
        let other = if self.c.eat("else") { Some(self.expr()?) } else { None };
        self.c.expect("]")?;
        Ok((Element { buffer, index, guard }, other))
    }
}

/// `i7` is variable 7.
pub(super) fn variable(word: &str) -> Option<VarId> {
    let digits = word.strip_prefix('i')?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|_| plain).map(VarId)
}
