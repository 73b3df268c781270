//! The last step of building a kernel: drops parameters, locals and expressions that nothing uses (schedules are probed on the
//! same builder), numbers everything in order of use, and names symbols by position, so that kernels that do the same
//! compare equal.

use std::collections::HashMap;
use std::sync::Arc;

use beiming_ir::kernel::{Access, BufId, Buffer, Element, Expr, ExprId, Kernel, OnNpu, Stmt, VarId};
use beiming_ir::text::normalize_kernel_mapped;
use beiming_ir::types::Dim;

use super::builder::symbol;
use super::origins::Origins;

/// Returns the compact kernel, for each parameter its former number, the values of the symbols, and the origins of its parts.
pub(super) fn compact(kernel: Kernel, locals_from: u32, origins: &Origins) -> (Kernel, Vec<usize>, Vec<Dim>, Origins) {
    let mut c = Compactor { old: &kernel, locals_from, marks: Marks::default() };
    c.mark_body(&kernel.body);
    // No statement names the workspace.
    c.marks.buffers.extend(kernel.npu.as_ref().and_then(|n| n.workspace));
    let marks = c.marks;
    let mut params: Vec<usize> = (0..kernel.params.len()).filter(|i| marks.buffers.contains(&(*i as u32))).collect();
    // What is read comes first, what is written last.
    params.sort_by_key(|&i| kernel.params[i].access != Access::Read);
    let locals: Vec<usize> = (0..kernel.locals.len()).filter(|i| marks.buffers.contains(&(locals_from + *i as u32))).collect();
    let mut buffers = HashMap::new();
    for (new, old) in params.iter().map(|i| *i as u32).chain(locals.iter().map(|i| locals_from + *i as u32)).enumerate() {
        buffers.insert(BufId(old), BufId(new as u32));
    }
    let mut vars: HashMap<VarId, VarId> = HashMap::new();
    for v in (0..kernel.grid.len() as u32).map(VarId).chain(marks.vars) {
        let next = VarId(vars.len() as u32);
        vars.entry(v).or_insert(next);
    }
    let mut exprs = HashMap::new();
    let mut kept: Vec<ExprId> = marks.exprs.keys().copied().collect();
    kept.sort();
    for (new, old) in kept.iter().enumerate() {
        exprs.insert(*old, ExprId(new as u32));
    }
    // Symbols in order of first appearance: parameters, grid, expressions.
    let mut symbols: Vec<Arc<str>> = vec![];
    let mut note = |d: &Dim| {
        for s in d.symbols() {
            if !symbols.contains(&s) {
                symbols.push(s);
            }
        }
    };
    params.iter().flat_map(|&i| &kernel.params[i].shape).for_each(&mut note);
    kernel.grid.iter().for_each(&mut note);
    for e in &kept {
        if let Expr::Dim(d) = &kernel.exprs[e.index()] {
            note(d);
        }
    }
    let map = Mapping { vars, exprs, buffers, symbols };
    let out = Kernel {
        name: kernel.name.clone(),
        ops: kernel.ops.clone(),
        params: renamed(params.iter().map(|&i| map.buffer(&kernel.params[i])).collect()),
        locals: locals.iter().map(|&i| kernel.locals[i].clone()).collect(),
        symbols: (0..map.symbols.len()).map(symbol).collect(),
        grid: kernel.grid.iter().map(|d| map.dim(d)).collect(),
        vars: map.vars.len() as u32,
        exprs: kept.iter().map(|e| map.expr(&kernel.exprs[e.index()])).collect(),
        body: kernel.body.iter().map(|s| map.stmt(s)).collect(),
        npu: kernel
            .npu
            .clone()
            .map(|n| OnNpu { workspace: n.workspace.and_then(|w| map.buffers.get(&BufId(w)).map(|b| b.0)), ..n }),
    };
    let dims = map.symbols.iter().map(|s| Dim::sym(s)).collect();
    // In the order of the text form, so that a dump is readable.
    let (out, places) = normalize_kernel_mapped(out);
    let mut moved = Origins::default();
    moved.renumber(origins, |b| map.buffers.get(&BufId(b)).map(|b| b.0));
    for (old, new) in kept.iter().zip(places) {
        if let Some(new) = new {
            moved.take(new.index(), origins.of(old.index()));
        }
    }
    (out, params, dims, moved)
}

/// Parameters named by kind and place among their kind: `in0`, `in1`, `out0`.
fn renamed(mut params: Vec<Buffer>) -> Vec<Buffer> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for p in &mut params {
        let kind = p.name.trim_end_matches(|c: char| c.is_ascii_digit()).to_string();
        let n = counts.entry(kind.clone()).or_default();
        p.name = format!("{kind}{n}");
        *n += 1;
    }
    params
}

#[derive(Default)]
struct Marks {
    exprs: HashMap<ExprId, ()>,
    buffers: std::collections::HashSet<u32>,
    /// In order of binding.
    vars: Vec<VarId>,
}

struct Compactor<'a> {
    old: &'a Kernel,
    locals_from: u32,
    marks: Marks,
}

impl Compactor<'_> {
    fn mark_body(&mut self, body: &[Stmt]) {
        for s in body {
            match s {
                Stmt::For { var, extent, body, .. } => {
                    self.marks.vars.push(*var);
                    self.mark(*extent);
                    self.mark_body(body);
                }
                Stmt::If { cond, then } => {
                    self.mark(*cond);
                    self.mark_body(then);
                }
                Stmt::Vector { dst, value, .. } => {
                    self.mark_element(dst);
                    self.mark(*value);
                }
                Stmt::Copy { vars, dst, src, fill } => {
                    for (v, e) in vars {
                        self.marks.vars.push(*v);
                        self.mark(*e);
                    }
                    self.mark_element(dst);
                    self.mark_element(src);
                    if let Some(f) = fill {
                        self.mark(*f);
                    }
                }
                Stmt::Mma { acc, i, j, k, depth, a, b } => {
                    self.marks.buffers.insert(acc.0);
                    self.marks.vars.extend([*i, *j, *k]);
                    self.mark(*depth);
                    self.mark_element(a);
                    self.mark_element(b);
                }
                Stmt::Wait { buffers, .. } => self.marks.buffers.extend(buffers.iter().map(|b| b.0)),
            }
        }
    }

    fn mark_element(&mut self, e: &Element) {
        debug_assert!(e.buffer.0 < self.locals_from + self.old.locals.len() as u32);
        self.marks.buffers.insert(e.buffer.0);
        e.index.iter().for_each(|i| self.mark(*i));
        if let Some(g) = e.guard {
            self.mark(g);
        }
    }

    fn mark(&mut self, e: ExprId) {
        // Expressions refer backwards only, but may be shared: visit each once, with an own stack.
        let mut stack = vec![e];
        while let Some(e) = stack.pop() {
            if self.marks.exprs.insert(e, ()).is_some() {
                continue;
            }
            match &self.old.exprs[e.index()] {
                Expr::Const(_) | Expr::Var(_) | Expr::Dim(_) => {}
                Expr::Load(el, other) => {
                    self.marks.buffers.insert(el.buffer.0);
                    stack.extend(el.index.iter().chain(&el.guard).chain(other));
                }
                Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => stack.push(*a),
                Expr::Binary(_, a, b) => stack.extend([*a, *b]),
                Expr::Select(c, a, b) => stack.extend([*c, *a, *b]),
            }
        }
    }
}

struct Mapping {
    vars: HashMap<VarId, VarId>,
    exprs: HashMap<ExprId, ExprId>,
    buffers: HashMap<BufId, BufId>,
    symbols: Vec<Arc<str>>,
}

impl Mapping {
    fn dim(&self, d: &Dim) -> Dim {
        d.substitute(&|s| self.symbols.iter().position(|x| **x == *s).map(|i| Dim::sym(&symbol(i))))
    }

    fn buffer(&self, b: &Buffer) -> Buffer {
        Buffer { shape: b.shape.iter().map(|d| self.dim(d)).collect(), ..b.clone() }
    }

    fn element(&self, e: &Element) -> Element {
        Element {
            buffer: self.buffers[&e.buffer],
            index: e.index.iter().map(|i| self.exprs[i]).collect(),
            guard: e.guard.map(|g| self.exprs[&g]),
        }
    }

    fn expr(&self, e: &Expr) -> Expr {
        match e {
            Expr::Const(s) => Expr::Const(*s),
            Expr::Var(v) => Expr::Var(self.vars[v]),
            Expr::Dim(d) => Expr::Dim(self.dim(d)),
            Expr::Load(el, other) => Expr::Load(self.element(el), other.map(|o| self.exprs[&o])),
            Expr::Unary(op, a) => Expr::Unary(*op, self.exprs[a]),
            Expr::Binary(op, a, b) => Expr::Binary(*op, self.exprs[a], self.exprs[b]),
            Expr::Select(c, a, b) => Expr::Select(self.exprs[c], self.exprs[a], self.exprs[b]),
            Expr::Cast(d, a) => Expr::Cast(*d, self.exprs[a]),
            Expr::Bitcast(d, a) => Expr::Bitcast(*d, self.exprs[a]),
        }
    }

    fn stmt(&self, s: &Stmt) -> Stmt {
        match s {
            Stmt::For { var, extent, kind, body } => Stmt::For {
                var: self.vars[var],
                extent: self.exprs[extent],
                kind: *kind,
                body: body.iter().map(|s| self.stmt(s)).collect(),
            },
            Stmt::If { cond, then } => Stmt::If { cond: self.exprs[cond], then: then.iter().map(|s| self.stmt(s)).collect() },
            Stmt::Vector { dst, value, reduce } => {
                Stmt::Vector { dst: self.element(dst), value: self.exprs[value], reduce: *reduce }
            }
            Stmt::Copy { vars, dst, src, fill } => Stmt::Copy {
                vars: vars.iter().map(|(v, e)| (self.vars[v], self.exprs[e])).collect(),
                dst: self.element(dst),
                src: self.element(src),
                fill: fill.map(|f| self.exprs[&f]),
            },
            Stmt::Mma { acc, i, j, k, depth, a, b } => Stmt::Mma {
                acc: self.buffers[acc],
                i: self.vars[i],
                j: self.vars[j],
                k: self.vars[k],
                depth: self.exprs[depth],
                a: self.element(a),
                b: self.element(b),
            },
            Stmt::Wait { buffers, handover, reason } => Stmt::Wait {
                buffers: buffers.iter().map(|b| self.buffers[b]).collect(),
                handover: *handover,
                reason: reason.clone(),
            },
        }
    }
}
