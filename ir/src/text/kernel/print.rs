//! Printing of kernels.

use std::collections::HashMap;
use std::fmt::Write;

use super::expr::{COMPARE, constant, infix};
use super::located::{CLOSE, NUMBERED, OPEN, STATEMENT};
use super::{ACCESSES, PIPES, SPACES, UNITS, name_of};
use crate::dim::quote;
use crate::kernel::{Access, BufId, Element, Expr, ExprId, Kernel, Loop, Space, Stmt};
use crate::text::lexer::escape;
use crate::text::list;
use crate::walk::{for_args, for_args_mut, for_roots, for_roots_mut, for_stmts};

/// An expression used more than once is named from this size (in nodes) up; smaller ones are repeated.
const NAMED_SIZE: u32 = 10;
/// An expression is named where its text would nest deeper.
const NAMED_DEPTH: u32 = 24;

/// Are all references in range, and those of expressions backwards? Only then can expressions be printed as trees.
pub(super) fn is_sound(k: &Kernel) -> bool {
    let buffers = k.params.len() + k.locals.len();
    let in_range = |el: &Element| el.buffer.index() < buffers;
    let mut ok = k.exprs.iter().enumerate().all(|(i, e)| {
        let mut back = !matches!(e, Expr::Load(el, _) if !in_range(el));
        for_args(e, |a| back &= a.index() < i);
        back
    });
    for_stmts(&k.body, &mut |s| {
        for_roots(s, &mut |e| ok &= e.index() < k.exprs.len());
        ok &= match s {
            Stmt::Vector { dst, .. } => in_range(dst),
            Stmt::Copy { dst, src, .. } => in_range(dst) && in_range(src),
            Stmt::Mma { acc, a, b, .. } => acc.index() < buffers && in_range(a) && in_range(b),
            Stmt::Wait { buffers: w, .. } => w.iter().all(|b| b.index() < buffers),
            _ => true,
        }
    });
    ok
}

/// A sound kernel with equal expressions made one.
pub(super) fn deduplicated(k: &Kernel) -> Kernel {
    let mut out = Kernel { exprs: vec![], ..k.clone() };
    let mut seen: HashMap<Expr, ExprId> = HashMap::new();
    let mut new: Vec<ExprId> = Vec::with_capacity(k.exprs.len());
    for e in &k.exprs {
        let mut e = e.clone();
        for_args_mut(&mut e, |a| *a = new[a.index()]);
        let id = *seen.entry(e.clone()).or_insert_with(|| {
            out.exprs.push(e);
            ExprId(out.exprs.len() as u32 - 1)
        });
        new.push(id);
    }
    out.body.iter_mut().for_each(|s| for_roots_mut(s, &|e| *e = new[e.index()]));
    out
}

/// Which expressions get a name: `true` where shared and large, or deep. Counts only what statements reach.
fn named(k: &Kernel) -> Vec<bool> {
    let n = k.exprs.len();
    let mut uses = vec![0u32; n];
    for_stmts(&k.body, &mut |s| for_roots(s, &mut |e| uses[e.index()] += 1));
    for (i, e) in k.exprs.iter().enumerate().rev() {
        if uses[i] > 0 {
            for_args(e, |a| uses[a.index()] += 1);
        }
    }
    let (mut size, mut depth, mut named) = (vec![1u32; n], vec![1u32; n], vec![false; n]);
    for (i, e) in k.exprs.iter().enumerate() {
        let (mut s, mut d) = (1u32, 0u32);
        for_args(e, |a| {
            s = s.saturating_add(size[a.index()]);
            d = d.max(depth[a.index()]);
        });
        named[i] = uses[i] > 1 && s >= NAMED_SIZE || d >= NAMED_DEPTH;
        (size[i], depth[i]) = if named[i] { (1, 1) } else { (s, d + 1) };
    }
    named
}

/// The text of a kernel. Unless `raw`, it must be sound.
pub(super) fn kernel(k: &Kernel, raw: bool) -> String {
    print(k, raw, false)
}

/// As [`kernel`], with the marks of `located` around expressions and before statements.
pub(super) fn marked(k: &Kernel, raw: bool) -> String {
    print(k, raw, true)
}

fn print(k: &Kernel, raw: bool, marks: bool) -> String {
    let mut p = Printer {
        k,
        raw,
        marks,
        named: if raw { vec![true; k.exprs.len()] } else { named(k) },
        names: vec![None; k.exprs.len()],
        next: 0,
        out: String::new(),
    };
    p.header();
    if raw {
        for i in 0..k.exprs.len() {
            let text = p.node(ExprId(i as u32), 0);
            let _ = writeln!(p.out, "  e{i} := {text}");
        }
    }
    p.block(&k.body, 1);
    p.out.push_str("}\n");
    p.out
}

struct Printer<'a> {
    k: &'a Kernel,
    raw: bool,
    marks: bool,
    named: Vec<bool>,
    /// Numbers of the names given so far.
    names: Vec<Option<u32>>,
    next: u32,
    out: String,
}

impl Printer<'_> {
    fn header(&mut self) {
        let k = self.k;
        let symbols = list(&k.symbols, |s| quote(s));
        let _ = writeln!(self.out, "kernel {}({symbols}) {{", name(&k.name));
        if !k.ops.is_empty() {
            let _ = writeln!(self.out, "  ops {}", list(&k.ops, |o| escape(o)));
        }
        for (i, b) in k.params.iter().chain(&k.locals).enumerate() {
            let param = i < k.params.len();
            let shape = list(&b.shape, |d| d.to_string());
            let _ = write!(self.out, "  {} %{} : {}[{shape}]", if param { "param" } else { "local" }, name(&b.name), b.dtype);
            if !param || b.space != Space::Memory {
                let _ = write!(self.out, " {}", name_of(&SPACES, b.space));
            }
            if param || b.access != Access::ReadWrite {
                let _ = write!(self.out, " {}", name_of(&ACCESSES, b.access));
            }
            self.out.push('\n');
        }
        if !k.grid.is_empty() {
            let grid = list(k.grid.iter().enumerate(), |(i, d)| format!("i{i} < {d}"));
            let _ = writeln!(self.out, "  grid ({grid})");
        }
        if let Some(npu) = &k.npu {
            let _ = write!(self.out, "  npu {} ({})", name_of(&UNITS, npu.unit), list(&npu.copies, |c| c.to_string()));
            let _ = npu.workspace.map_or(Ok(()), |w| write!(self.out, " workspace {w}"));
            self.out.push('\n');
        }
        let mut highest = k.grid.len() as u32;
        for_stmts(&k.body, &mut |s| {
            let mut bind = |v: crate::kernel::VarId| highest = highest.max(v.0.saturating_add(1));
            match s {
                Stmt::For { var, .. } => bind(*var),
                Stmt::Copy { vars, .. } => vars.iter().for_each(|(v, _)| bind(*v)),
                Stmt::Mma { i, j, k, .. } => [i, j, k].into_iter().for_each(|v| bind(*v)),
                _ => {}
            }
        });
        if highest != k.vars {
            let _ = writeln!(self.out, "  vars {}", k.vars);
        }
        if self.raw {
            self.out.push_str("  raw\n");
        }
    }

    fn block(&mut self, body: &[Stmt], depth: usize) {
        let pad = "  ".repeat(depth);
        for s in body {
            if !self.raw {
                for_roots(s, &mut |e| self.introduce(e, &pad));
            }
            self.stmt(s, &pad, depth);
        }
    }

    /// Prints the named expressions that `root` needs and that have no number yet, arguments first.
    fn introduce(&mut self, root: ExprId, pad: &str) {
        // Named expressions cut the depth, but their chain may be long: no recursion.
        let mut stack = vec![(root, false)];
        while let Some((e, ready)) = stack.pop() {
            let i = e.index();
            if self.names[i].is_some() {
                continue;
            }
            if ready {
                let text = self.node(e, 0);
                let _ = writeln!(self.out, "{pad}t{} := {text}", self.next);
                self.names[i] = Some(self.next);
                self.next += 1;
                continue;
            }
            if self.named[i] {
                stack.push((e, true));
            }
            let at = stack.len();
            for_args(&self.k.exprs[i], |a| stack.push((a, false)));
            stack[at..].reverse();
        }
    }

    fn stmt(&mut self, s: &Stmt, pad: &str, depth: usize) {
        if self.marks {
            self.out.push(STATEMENT);
        }
        let line = match s {
            Stmt::For { var, extent, kind, body } => {
                let kind = match kind {
                    Loop::Serial => "",
                    Loop::Unroll => "unroll ",
                    Loop::Vector => "vector ",
                    Loop::Cores => "cores ",
                };
                let extent = self.expr(*extent, 0);
                let _ = writeln!(self.out, "{pad}{kind}for i{} < {extent} {{", var.0);
                self.block(body, depth + 1);
                "}".to_string()
            }
            Stmt::If { cond, then } => {
                let cond = self.expr(*cond, 0);
                let _ = writeln!(self.out, "{pad}if {cond} {{");
                self.block(then, depth + 1);
                "}".to_string()
            }
            Stmt::Vector { dst, value, reduce } => {
                let reduce = reduce.map_or("", |r| r.name());
                format!("{} {reduce}= {}", self.element(dst, None), self.expr(*value, 0))
            }
            Stmt::Copy { vars, dst, src, fill } => {
                let vars = list(vars, |(v, e)| format!("i{} < {}", v.0, self.expr(*e, 0)));
                format!("copy ({vars}) {} = {}", self.element(dst, None), self.element(src, *fill))
            }
            Stmt::Mma { acc, i, j, k, depth, a, b } => format!(
                "mma (i{}, i{}, i{} < {}) {} += {} * {}",
                i.0,
                j.0,
                k.0,
                self.expr(*depth, 0),
                self.buffer(*acc),
                self.element(a, None),
                self.element(b, None)
            ),
            Stmt::Wait { buffers, handover, reason } => {
                let gap = if buffers.is_empty() { "" } else { " " };
                let word = match handover {
                    None => "wait".to_string(),
                    Some(h) => {
                        let end = if h.signal { "signal" } else { "await" };
                        let flag = h.flag.map_or(String::new(), |n| format!(" flag {n}"));
                        format!("{end} {} {}{flag}", name_of(&PIPES, h.from), name_of(&PIPES, h.to))
                    }
                };
                format!("{word} {}{gap}{}", list(buffers, |b| self.buffer(*b)), escape(reason))
            }
        };
        let _ = writeln!(self.out, "{pad}{line}");
    }

    fn buffer(&self, b: BufId) -> String {
        match self.k.params.iter().chain(&self.k.locals).nth(b.index()) {
            Some(b) => format!("%{}", name(&b.name)),
            None => format!("%?{}", b.0),
        }
    }

    fn element(&self, el: &Element, other: Option<ExprId>) -> String {
        let mut s = format!("{}[{}", self.buffer(el.buffer), list(&el.index, |e| self.expr(*e, 0)));
        for (word, e) in [("where", el.guard), ("else", other)] {
            if let Some(e) = e {
                let gap = if s.ends_with('[') { "" } else { " " };
                s += &format!("{gap}{word} {}", self.expr(e, 0));
            }
        }
        s + "]"
    }

    /// An expression where operators that bind weaker than `min` need parentheses.
    fn expr(&self, e: ExprId, min: u8) -> String {
        if self.raw {
            return format!("e{}", e.0);
        }
        match self.names[e.index()] {
            Some(n) => format!("t{n}"),
            None => self.node(e, min),
        }
    }

    fn node(&self, e: ExprId, min: u8) -> String {
        let text = self.plain_node(e, min);
        if self.marks { format!("{OPEN}{}{NUMBERED}{text}{CLOSE}", e.0) } else { text }
    }

    fn plain_node(&self, e: ExprId, min: u8) -> String {
        match &self.k.exprs[e.index()] {
            Expr::Const(s) => constant(s),
            Expr::Var(v) => format!("i{}", v.0),
            Expr::Dim(d) => format!("dim({d})"),
            Expr::Load(el, other) => self.element(el, *other),
            Expr::Unary(op, a) => format!("{}({})", op.name(), self.expr(*a, 0)),
            Expr::Binary(op, a, b) => match infix(*op) {
                Some((sign, strength)) => {
                    let left = self.expr(*a, strength + u8::from(strength == COMPARE));
                    let s = format!("{left} {sign} {}", self.expr(*b, strength + 1));
                    if strength < min { format!("({s})") } else { s }
                }
                None => format!("{}({}, {})", op.name(), self.expr(*a, 0), self.expr(*b, 0)),
            },
            Expr::Select(c, a, b) => format!("select({}, {}, {})", self.expr(*c, 0), self.expr(*a, 0), self.expr(*b, 0)),
            Expr::Cast(to, a) => format!("cast({to}, {})", self.expr(*a, 0)),
            Expr::Bitcast(to, a) => format!("bitcast({to}, {})", self.expr(*a, 0)),
        }
    }
}

/// A name as it is printed: bare where it is an identifier, else a string.
pub(in crate::text) fn name(s: &str) -> String {
    let bare =
        s.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && s.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if bare { s.into() } else { escape(s) }
}
