//! Bounds of indices, as far as they follow from the extents: an access that leaves its buffer whatever the symbols' values
//! is refused. What cannot be decided (relations between symbols, data) is left to `eval`, which checks every access.
//!
//! An index is bounded by expressions over the kernel's symbols. Refused is only what really happens: the bounds are values
//! that the index takes, in a statement that is reached, where no guard stands before the access.

use std::collections::{BTreeMap, BTreeSet};

use super::Report;
use super::expr::Facts;
use crate::kernel::{Element, Expr, ExprId, Kernel, Stmt};
use crate::ops::BinaryOp;
use crate::tensor::Num;
use crate::types::{Dim, Symbols};
use crate::walk::for_args;

/// Smallest and largest value of an index, both taken while the loop variables run independently over their ranges.
#[derive(Clone)]
struct Interval {
    lo: Dim,
    hi: Dim,
}

struct Checker<'a> {
    k: &'a Kernel,
    facts: &'a Facts,
    report: &'a mut Report,
    /// Ranges of the variables in scope.
    vars: Vec<Option<Interval>>,
    /// Kernels name symbols without ranges: any non-negative number.
    symbols: Symbols,
}

/// Checks the accesses of a kernel that is right otherwise.
pub(super) fn check(k: &Kernel, facts: &Facts, report: &mut Report) {
    let mut c = Checker { k, facts, report, vars: vec![None; k.vars as usize], symbols: Symbols::default() };
    for (v, d) in k.grid.iter().enumerate() {
        c.vars[v] = Some(Interval { lo: Dim::Known(0), hi: d.clone() - Dim::Known(1) });
    }
    // With an empty grid nothing is accessed.
    let reached = k.grid.iter().all(|d| c.positive(d));
    c.block(&k.body, "", reached);
}

impl Checker<'_> {
    fn block(&mut self, body: &[Stmt], path: &str, reached: bool) {
        for (i, s) in body.iter().enumerate() {
            let at = if path.is_empty() { format!("statement {i}") } else { format!("{path}.{i}") };
            self.stmt(s, &at, reached);
        }
    }

    /// Binds a variable; false where its loop may not run.
    fn bind(&mut self, v: u32, extent: ExprId) -> bool {
        // Where the extent varies, so do the values the variable takes: nothing is known.
        let extent = self.interval(extent).filter(|r| r.lo == r.hi).map(|r| r.hi);
        let runs = extent.as_ref().is_some_and(|d| self.positive(d));
        self.vars[v as usize] = extent.map(|d| Interval { lo: Dim::Known(0), hi: d - Dim::Known(1) });
        runs
    }

    /// A known extent that is positive, or a symbolic one that may be: kernels are not made for empty tensors.
    fn positive(&self, d: &Dim) -> bool {
        d.range(&self.symbols).hi > 0
    }

    fn stmt(&mut self, s: &Stmt, at: &str, reached: bool) {
        match s {
            Stmt::For { var, extent, body, .. } => {
                self.value(*extent, at, reached);
                let runs = self.bind(var.0, *extent);
                self.block(body, at, reached && runs);
                self.vars[var.index()] = None;
            }
            Stmt::If { cond, then } => {
                self.value(*cond, at, reached);
                self.block(then, at, false);
            }
            Stmt::Vector { dst, value, .. } => {
                self.access(dst, at, reached);
                self.value(*value, at, reached && dst.guard.is_none());
            }
            Stmt::Copy { vars, dst, src, fill } => {
                let mut runs = reached;
                for (v, e) in vars {
                    runs &= self.bind(v.0, *e);
                }
                self.access(dst, at, runs);
                self.access(src, at, runs && dst.guard.is_none());
                fill.iter().for_each(|f| self.value(*f, at, false));
                vars.iter().for_each(|(v, _)| self.vars[v.index()] = None);
            }
            Stmt::Mma { acc, i, j, k, depth, a, b } => {
                let runs = self.bind(k.0, *depth) && reached;
                for (v, d) in [i, j].into_iter().zip(&self.k.buffer(*acc).shape) {
                    self.vars[v.index()] = Some(Interval { lo: Dim::Known(0), hi: d.clone() - Dim::Known(1) });
                }
                self.access(a, at, runs);
                self.access(b, at, runs);
                [i, j, k].into_iter().for_each(|v| self.vars[v.index()] = None);
            }
            Stmt::Wait { .. } => {}
        }
    }

    /// The loads within an expression.
    fn value(&mut self, root: ExprId, at: &str, reached: bool) {
        let (mut stack, mut seen) = (vec![root], BTreeSet::new());
        while let Some(e) = stack.pop() {
            if !self.facts.loads[e.index()] || !seen.insert(e) {
                continue;
            }
            if let Expr::Load(el, _) = &self.k.exprs[e.index()] {
                self.element(el, at, reached);
            }
            for_args(&self.k.exprs[e.index()], |a| stack.push(a));
        }
    }

    fn access(&mut self, el: &Element, at: &str, reached: bool) {
        for e in el.index.iter().chain(&el.guard) {
            self.value(*e, at, reached);
        }
        self.element(el, at, reached);
    }

    fn element(&mut self, el: &Element, at: &str, reached: bool) {
        if !reached || el.guard.is_some() {
            return;
        }
        let b = self.k.buffer(el.buffer);
        for (axis, (e, extent)) in el.index.iter().zip(&b.shape).enumerate() {
            let Some(r) = self.interval(*e) else { continue };
            let above = (extent.clone() - Dim::Known(1) - r.hi.clone()).range(&self.symbols).hi < 0;
            let below = r.lo.range(&self.symbols).hi < 0;
            if above || below {
                let m = format!("index {axis} of `%{}` goes from {} to {}; the extent is {extent}", b.name, r.lo, r.hi);
                self.report.add(at, m);
            }
        }
    }

    /// Bounds of an integer expression; `None` where they do not follow from extents.
    fn interval(&self, root: ExprId) -> Option<Interval> {
        // Arguments before users; index arithmetic is small.
        let mut order = vec![];
        let mut stack = vec![root];
        let mut seen = BTreeSet::new();
        while let Some(e) = stack.pop() {
            if seen.insert(e) {
                order.push(e);
                for_args(&self.k.exprs[e.index()], |a| stack.push(a));
            }
        }
        order.sort_unstable();
        let mut known = BTreeMap::new();
        for e in order {
            let r = self.step(e, &known);
            known.insert(e, r);
        }
        known.remove(&root).flatten()
    }

    fn step(&self, e: ExprId, known: &BTreeMap<ExprId, Option<Interval>>) -> Option<Interval> {
        let arg = |a: &ExprId| known.get(a).cloned().flatten();
        let point = |d: Dim| Interval { lo: d.clone(), hi: d };
        match &self.k.exprs[e.index()] {
            Expr::Const(s) => match s.value {
                Num::Int(v) => i64::try_from(v).ok().map(|v| point(Dim::Known(v))),
                _ => None,
            },
            Expr::Dim(d) => Some(point(d.clone())),
            Expr::Var(v) => self.vars[v.index()].clone(),
            Expr::Binary(op, a, b) => {
                let (x, y) = (arg(a)?, arg(b)?);
                let constant = |i: &Interval| i.lo.known().filter(|_| i.lo == i.hi);
                let apart = || self.facts.vars_of(*a).all(|v| !self.facts.uses(*b, v));
                let scale = |i: Interval, c: i64| {
                    let (p, q) = (i.lo * Dim::Known(c), i.hi * Dim::Known(c));
                    if c < 0 { Interval { lo: q, hi: p } } else { Interval { lo: p, hi: q } }
                };
                let positive = |i: &Interval| i.lo.range(&self.symbols).lo >= 0;
                match (op, constant(&x), constant(&y)) {
                    (BinaryOp::Add, ..) if apart() => Some(Interval { lo: x.lo + y.lo, hi: x.hi + y.hi }),
                    (BinaryOp::Sub, ..) if apart() => Some(Interval { lo: x.lo - y.hi, hi: x.hi - y.lo }),
                    (BinaryOp::Mul, _, Some(c)) => Some(scale(x, c)),
                    (BinaryOp::Mul, Some(c), _) => Some(scale(y, c)),
                    (BinaryOp::Div, _, Some(c)) if c > 0 && positive(&x) => {
                        Some(Interval { lo: x.lo.floor_div(&Dim::Known(c)), hi: x.hi.floor_div(&Dim::Known(c)) })
                    }
                    (BinaryOp::Mod | BinaryOp::Rem, _, Some(c)) if positive(&x) && x.hi.known().is_some_and(|h| h < c) => Some(x),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}
