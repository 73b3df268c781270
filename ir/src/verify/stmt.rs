//! Statements of a kernel: scopes of loop variables, what loops may hold, and the rules of each statement.

use super::Report;
use super::expr::{Facts, element, expect};
use crate::kernel::{Access, BufId, Element, Expr, ExprId, Kernel, Loop, Space, Stmt};
use crate::ops::ReduceOp;
use crate::tensor::Num;
use crate::types::DType;
use crate::walk::for_args;

/// Deepest nesting of statements.
pub(crate) const MAX_NEST: usize = 64;
/// Most iterations written out by one `Unroll` loop.
pub(crate) const MAX_UNROLL: i64 = 256;

/// How a variable got its values, as far as register indices care.
#[derive(Clone, Copy, PartialEq)]
enum Bound {
    Free,
    /// Grid or serial loop.
    Runtime,
    /// Known when code is written: unrolled, a lane, or a coordinate of a tile.
    Spelled,
}

struct Checker<'a> {
    k: &'a Kernel,
    facts: &'a Facts,
    report: &'a mut Report,
    scope: Vec<Bound>,
    /// A variable is bound once in the whole kernel.
    seen: Vec<bool>,
    /// Variable of the vector loop around, if any.
    lane: Option<u32>,
}

/// Checks the body of a kernel.
pub(super) fn check(k: &Kernel, facts: &Facts, report: &mut Report) {
    let n = k.vars as usize;
    let mut c = Checker { k, facts, report, scope: vec![Bound::Free; n], seen: vec![false; n], lane: None };
    for v in 0..k.grid.len() {
        c.scope[v] = Bound::Runtime;
        c.seen[v] = true;
    }
    c.block(&k.body, "", 0);
}

impl Checker<'_> {
    fn block(&mut self, body: &[Stmt], path: &str, depth: usize) {
        if depth > MAX_NEST {
            self.report.add(path, format!("statements are nested more than {MAX_NEST} deep"));
            return;
        }
        for (i, s) in body.iter().enumerate() {
            let at = if path.is_empty() { format!("statement {i}") } else { format!("{path}.{i}") };
            self.stmt(s, &at, depth);
        }
    }

    fn stmt(&mut self, s: &Stmt, at: &str, depth: usize) {
        if self.lane.is_some() && !matches!(s, Stmt::Vector { .. } | Stmt::If { .. }) {
            self.report.add(at, "a vector loop holds only assignments and ifs");
        }
        match s {
            Stmt::For { var, extent, kind, body } => self.for_loop(*var, *extent, *kind, body, at, depth),
            Stmt::If { cond, then } => {
                self.value(*cond, DType::Bool, "the condition", at);
                if let Some(v) = self.lane.filter(|v| self.facts.uses(*cond, *v)) {
                    self.report.add(at, format!("an if in a vector loop may not depend on its variable i{v}; guard the element"));
                }
                self.block(then, at, depth + 1);
            }
            Stmt::Vector { dst, value, reduce } => {
                let Some(t) = self.destination(dst, at) else { return };
                self.value(*value, t, "the value", at);
                match reduce {
                    None => {}
                    Some(ReduceOp::Max | ReduceOp::Min) if t == DType::Bool => {}
                    Some(ReduceOp::Sum | ReduceOp::Prod | ReduceOp::Max | ReduceOp::Min) if t.is_float() || t.is_int() => {}
                    Some(r) => self.report.add(at, format!("`{}` does not reduce elements of {t}", r.name())),
                }
            }
            Stmt::Copy { vars, dst, src, fill } => self.copy(vars, dst, src, *fill, at),
            Stmt::Mma { acc, i, j, k, depth, a, b } => self.mma(*acc, [i.0, j.0, k.0], *depth, a, b, at),
            Stmt::Wait { buffers, .. } => {
                if let Some(b) = buffers.iter().find(|b| self.buffer_missing(**b)) {
                    self.report.add(at, format!("buffer {} does not exist", b.0));
                }
            }
        }
    }

    fn for_loop(&mut self, var: crate::kernel::VarId, extent: ExprId, kind: Loop, body: &[Stmt], at: &str, depth: usize) {
        self.value(extent, DType::I64, "the extent", at);
        if kind == Loop::Unroll {
            match known(self.k, extent) {
                Some(n) if n <= MAX_UNROLL => {}
                Some(n) => self.report.add(at, format!("{n} iterations to unroll; {MAX_UNROLL} are allowed")),
                None => self.report.add(at, "the extent of an unrolled loop must be a constant"),
            }
        }
        let how = if kind == Loop::Serial { Bound::Runtime } else { Bound::Spelled };
        let bound = self.bind(var.0, how, at);
        let outer = self.lane;
        if kind == Loop::Vector {
            self.lane = Some(var.0);
        }
        self.block(body, at, depth + 1);
        self.lane = outer;
        self.unbind(bound);
    }

    fn copy(&mut self, vars: &[(crate::kernel::VarId, ExprId)], dst: &Element, src: &Element, fill: Option<ExprId>, at: &str) {
        for (_, extent) in vars {
            self.value(*extent, DType::I64, "the extent", at);
        }
        let bound: Vec<_> = vars
            .iter()
            .map(|(v, e)| {
                let how = if known(self.k, *e).is_some() { Bound::Spelled } else { Bound::Runtime };
                self.bind(v.0, how, at)
            })
            .collect();
        if let Some(t) = self.destination(dst, at) {
            self.source(src, at);
            if self.k.params.len() + self.k.locals.len() > src.buffer.index() && self.k.buffer(src.buffer).dtype != t {
                self.report
                    .add(at, format!("a copy from {} to {t}; it moves elements as they are", self.k.buffer(src.buffer).dtype));
            }
            match fill {
                Some(f) => self.value(f, t, "the fill value", at),
                None if src.guard.is_some() => self.report.add(at, "a copy with a guarded source needs a fill value"),
                None => {}
            }
        }
        bound.into_iter().for_each(|b| self.unbind(b));
    }

    fn mma(&mut self, acc: BufId, [i, j, k]: [u32; 3], depth: ExprId, a: &Element, b: &Element, at: &str) {
        self.value(depth, DType::I64, "the depth", at);
        if self.buffer_missing(acc) {
            self.report.add(at, format!("buffer {} does not exist", acc.0));
            return;
        }
        let buffer = self.k.buffer(acc);
        let t = buffer.dtype;
        if buffer.shape.len() != 2 || !matches!(buffer.space, Space::Register | Space::L0C) {
            self.report.add(at, format!("the accumulator `%{}` must have two axes and lie in Register or L0C", buffer.name));
        }
        if !(t.is_float() || t.is_int()) {
            self.report.add(at, format!("an accumulator of {t}"));
        }
        let bound = [i, j, k].map(|v| self.bind(v, Bound::Spelled, at));
        for (el, side) in [(a, "left"), (b, "right")] {
            self.source(el, at);
            let from = if self.buffer_missing(el.buffer) { t } else { self.k.buffer(el.buffer).dtype };
            let widens = from == t || from.is_float() == t.is_float() && from.is_int() == t.is_int() && from.size() <= t.size();
            if !widens {
                self.report.add(at, format!("the {side} element is {from}, which does not widen to the accumulator's {t}"));
            }
        }
        let depends = |el: &Element, v: u32| el.index.iter().chain(&el.guard).any(|e| self.facts.uses(*e, v));
        let wrong = [
            (depends(a, j), "the left element depends on the column variable"),
            (depends(b, i), "the right element depends on the row variable"),
            (a.guard.is_some_and(|g| self.facts.uses(g, k)), "the guard of the left element depends on the depth variable"),
        ];
        wrong.iter().filter(|w| w.0).for_each(|w| self.report.add(at, w.1));
        bound.into_iter().for_each(|b| self.unbind(b));
    }

    fn buffer_missing(&self, b: BufId) -> bool {
        b.index() >= self.k.params.len() + self.k.locals.len()
    }

    /// Binds a variable; gives it back where that was right.
    fn bind(&mut self, v: u32, how: Bound, at: &str) -> Option<u32> {
        match self.seen.get_mut(v as usize) {
            None => self.report.add(at, format!("loop variable i{v} does not exist; the kernel has {}", self.k.vars)),
            Some(true) => self.report.add(at, format!("loop variable i{v} is bound a second time")),
            Some(seen) => {
                *seen = true;
                self.scope[v as usize] = how;
                return Some(v);
            }
        }
        None
    }

    fn unbind(&mut self, v: Option<u32>) {
        if let Some(v) = v {
            self.scope[v as usize] = Bound::Free;
        }
    }

    /// An expression used here: its type, and that the variables it depends on are bound.
    fn value(&mut self, e: ExprId, want: DType, what: &str, at: &str) {
        if let Err(m) = expect(self.facts, e, want, what) {
            self.report.add(at, m);
        }
        self.scoped(e, at);
    }

    fn scoped(&mut self, e: ExprId, at: &str) {
        if let Some(v) = self.facts.vars_of(e).find(|v| self.scope[*v as usize] == Bound::Free) {
            self.report.add(at, format!("loop variable i{v} is used where it is not bound"));
        }
        self.registers_in(e, at);
    }

    /// Elements of `Register` buffers loaded within `e` have spelled indices.
    fn registers_in(&mut self, root: ExprId, at: &str) {
        if !self.facts.loads.get(root.index()).copied().unwrap_or(false) || !self.has_registers() {
            return;
        }
        let (mut stack, mut seen) = (vec![root], std::collections::BTreeSet::new());
        while let Some(e) = stack.pop() {
            if !self.facts.loads[e.index()] || !seen.insert(e) {
                continue;
            }
            if let Expr::Load(el, _) = &self.k.exprs[e.index()] {
                self.register_index(el, at);
            }
            for_args(&self.k.exprs[e.index()], |a| {
                if a < e {
                    stack.push(a);
                }
            });
        }
    }

    fn has_registers(&self) -> bool {
        self.k.locals.iter().any(|b| b.space == Space::Register)
    }

    fn register_index(&mut self, el: &Element, at: &str) {
        if self.buffer_missing(el.buffer) || self.k.buffer(el.buffer).space != Space::Register {
            return;
        }
        for e in &el.index {
            let i = e.index();
            let fixed = i < self.facts.types.len()
                && !self.facts.loads[i]
                && !self.facts.symbolic[i]
                && self.facts.vars_of(*e).all(|v| self.scope[v as usize] != Bound::Runtime);
            if !fixed {
                let name = &self.k.buffer(el.buffer).name;
                let m = format!(
                    "an index of register buffer `%{name}` is not made of constants and variables of unrolled, vector, copy and mma loops"
                );
                self.report.add(at, m);
            }
        }
    }

    fn source(&mut self, el: &Element, at: &str) -> Option<DType> {
        match element(self.k, el, self.facts) {
            Err(m) => {
                self.report.add(at, m);
                None
            }
            Ok(t) => {
                for e in el.index.iter().chain(&el.guard) {
                    self.scoped(*e, at);
                }
                self.register_index(el, at);
                t
            }
        }
    }

    fn destination(&mut self, el: &Element, at: &str) -> Option<DType> {
        let t = self.source(el, at)?;
        let b = self.k.buffer(el.buffer);
        if b.access == Access::Read {
            let m = format!("writes `%{}`, which the kernel only reads", b.name);
            self.report.add(at, m);
        }
        Some(t)
    }
}

/// Value of a constant integer expression.
pub(super) fn known(k: &Kernel, e: ExprId) -> Option<i64> {
    match k.exprs.get(e.index())? {
        Expr::Const(s) => match s.value {
            Num::Int(v) => i64::try_from(v).ok(),
            _ => None,
        },
        Expr::Dim(d) => d.known(),
        _ => None,
    }
}
