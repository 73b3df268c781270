//! Vector loops: full vectors, several side by side, then the tail exactly.
//!
//! An iteration of `parts * n` lanes is written statement by statement, each for all parts, so that the parts' instructions
//! interleave. Reductions into one element keep an accumulator for each part, combined once behind the loop. The tail is
//! masked where the machine has masks; else it is single vectors, then one element after another.

use beiming_ir::kernel::{Element, Expr, ExprId, Space, Stmt, VarId};
use beiming_ir::ops::ReduceOp;
use beiming_ir::types::DType;
use beiming_ir::walk::for_stmts;

use crate::EmitError;
use crate::facts::{bit, element_stride};
use crate::kernel::Gen;
use crate::ll::*;

/// The lanes of the current vector iteration.
pub struct Lanes {
    /// The loop's variable.
    pub var: VarId,
    /// Lanes of a part.
    pub n: usize,
    /// The variable's value in the first lane of each part.
    pub bases: Vec<V>,
    /// Active lanes; `None`: all. Only with one part.
    pub mask: Option<V>,
    /// Lanes in which the current statement runs.
    pub statement_mask: Option<V>,
}

/// A loop's plan.
struct Shape {
    n: usize,
    parts: usize,
    /// Accumulators of each reduction, in the order of statements.
    sums: Vec<Vec<V>>,
}

/// Vector instructions an iteration that is written out may have.
const STRAIGHT_LIMIT: i64 = 256;

impl Gen<'_, '_> {
    /// Machines whose loads and stores take masks.
    fn has_masks(&self) -> bool {
        self.t.vector_bytes >= 64
    }

    /// Writes a `Loop::Vector` of `extent` iterations.
    pub fn vector_loop(&mut self, var: VarId, extent: V, body: &[Stmt]) -> Result<(), EmitError> {
        if self.lanes.is_some() {
            return self.unsupported("a vector loop inside another");
        }
        let ll = self.ll;
        let (bytes, cost, regular, register) = self.survey(var, body)?;
        let n = self.t.lanes(bytes);
        let wanted = match cost {
            0..=12 => self.t.unroll.max(1) as usize,
            13..=40 => 2,
            _ => 1,
        };
        let parts = if regular { wanted.next_power_of_two().min(8) } else { 1 };
        let mut shape = Shape { n, parts, sums: vec![] };
        let known = ll.known(extent);
        let vectors = known.map(|e| e.div_euclid(n as i64) + 1);
        let straight = vectors.is_some_and(|v| register || v.saturating_mul(i64::from(cost.max(4))) <= STRAIGHT_LIMIT);
        if let (true, Some(extent)) = (straight, known) {
            self.start(&mut shape, var, body)?;
            return self.straight(var, extent, body, &mut shape);
        }
        if register {
            return self.unsupported("a vector loop of unknown extent over a register buffer");
        }
        // The whole loop stands in a preheader that runs only if there is an iteration.
        let some = ll.icmp(LLVMIntSGT, extent, ll.ci64(0));
        self.branch(some, |g| {
            g.start(&mut shape, var, body)?;
            g.rolled(var, extent, body, &shape)
        })
    }

    /// Widest element in bytes, instructions of an iteration, whether all accesses are contiguous or uniform, and whether a
    /// register buffer is indexed by the variable.
    fn survey(&self, var: VarId, body: &[Stmt]) -> Result<(usize, u32, bool, bool), EmitError> {
        let (mut bytes, mut cost, mut regular, mut register) = (1usize, 0u32, true, false);
        let mut bad = false;
        let mut see = |el: &Element| {
            bytes = bytes.max(reg_bytes(self.k.buffer(el.buffer).dtype));
            let stride = element_stride(self.k, &self.facts, el, var);
            regular &= matches!(stride, Some(0 | 1));
            let moves = el.index.iter().any(|i| !self.uniform(*i, var));
            register |= moves && self.k.buffer(el.buffer).space == Space::Register;
        };
        let mut seen = vec![];
        for_stmts(body, &mut |s| match s {
            Stmt::Vector { dst, value, .. } => {
                see(dst);
                cost = cost.saturating_add(1).saturating_add(self.facts[value.index()].cost);
                let mut stack = vec![*value];
                while let Some(e) = stack.pop() {
                    if self.uniform(e, var) || seen.contains(&e) {
                        continue;
                    }
                    seen.push(e);
                    match &self.k.exprs[e.index()] {
                        Expr::Load(el, other) => {
                            see(el);
                            stack.extend(*other);
                        }
                        Expr::Unary(_, a) => stack.push(*a),
                        Expr::Cast(_, a) | Expr::Bitcast(_, a) => stack.push(*a),
                        Expr::Binary(_, a, b) => stack.extend([*a, *b]),
                        Expr::Select(c, a, b) => stack.extend([*c, *a, *b]),
                        Expr::Const(_) | Expr::Var(_) | Expr::Dim(_) => {}
                    }
                }
            }
            Stmt::If { cond, .. } => bad |= !self.uniform(*cond, var),
            _ => bad = true,
        });
        for e in &seen {
            let d = self.k.dtype(*e);
            if d.is_float() {
                bytes = bytes.max(reg_bytes(d));
            }
        }
        if bad {
            return self.unsupported("a vector loop over something other than stores");
        }
        Ok((bytes, cost, regular, register))
    }

    /// True for a reduction whose target is one element for all lanes.
    fn is_sum(&self, s: &Stmt, var: VarId) -> bool {
        matches!(s, Stmt::Vector { dst, reduce: Some(_), .. } if dst.index.iter().all(|&i| self.uniform(i, var)))
    }

    /// Reserves and clears the accumulators.
    fn start(&mut self, shape: &mut Shape, var: VarId, body: &[Stmt]) -> Result<(), EmitError> {
        let mut ops = vec![];
        for_stmts(body, &mut |s| {
            if let Stmt::Vector { dst, reduce: Some(op), .. } = s
                && self.is_sum(s, var)
            {
                ops.push((*op, self.k.buffer(dst.buffer).dtype));
            }
        });
        for (op, d) in ops {
            let t = self.ll.vec(self.reg_ty(d)?, shape.n);
            let identity = self.identity(op, d, t)?;
            let sums: Vec<V> = (0..shape.parts).map(|_| self.stack(t)).collect();
            for &s in &sums {
                self.ll.store(identity, s, 1);
            }
            shape.sums.push(sums);
        }
        Ok(())
    }

    fn rolled(&mut self, var: VarId, extent: V, body: &[Stmt], shape: &Shape) -> Result<(), EmitError> {
        let ll = self.ll;
        let (n, parts) = (shape.n as i64, shape.parts as i64);
        let zero = ll.ci64(0);
        let round = |step: i64| ll.and(extent, ll.ci64(-step));
        let main = round(n * parts);
        self.vectors(var, (zero, main), body, shape, shape.parts, None)?;
        if self.has_masks() {
            self.vectors(var, (main, extent), body, shape, 1, Some(extent))?;
            return self.finish(body, var, shape);
        }
        let whole = round(n);
        if parts > 1 {
            self.vectors(var, (main, whole), body, shape, 1, None)?;
        }
        self.finish(body, var, shape)?;
        if n == 1 {
            return Ok(());
        }
        self.counted(
            var,
            whole,
            extent,
            1,
            &mut |g, i| {
                g.bind(var, i);
                Ok(())
            },
            &mut |g| g.body(body),
        )
    }

    /// A loop of `parts` full vectors an iteration, or of one masked at `end`.
    fn vectors(
        &mut self,
        var: VarId,
        (from, to): (V, V),
        body: &[Stmt],
        shape: &Shape,
        parts: usize,
        end: Option<V>,
    ) -> Result<(), EmitError> {
        let n = shape.n;
        self.counted(
            var,
            from,
            to,
            (n * parts) as i64,
            &mut |g, i| {
                g.bind(var, i);
                let bases = (0..parts).map(|p| g.ll.nadd(i, g.ll.ci64((p * n) as i64))).collect();
                let mask = end.map(|e| g.mask(g.ll.sub(e, i), n));
                g.lanes = Some(Lanes { var, n, bases, mask, statement_mask: None });
                Ok(())
            },
            &mut |g| {
                let mut next = 0;
                g.lane_body(body, shape, &mut next)?;
                g.lanes = None;
                Ok(())
            },
        )
    }

    /// All iterations written out: full vectors, then the rest in smaller ones or masked.
    fn straight(&mut self, var: VarId, extent: i64, body: &[Stmt], shape: &mut Shape) -> Result<(), EmitError> {
        let mut at = 0i64;
        let full = shape.n as i64;
        while extent - at >= full {
            let parts = ((extent - at) / full).min(shape.parts as i64) as usize;
            self.piece(var, at, shape.n, parts, None, body, shape)?;
            at += full * parts as i64;
        }
        if at < extent && self.has_masks() && full > 1 {
            let mask = self.mask(self.ll.ci64(extent - at), shape.n);
            self.piece(var, at, shape.n, 1, Some(mask), body, shape)?;
            at = extent;
        }
        self.finish(body, var, shape)?;
        // Smaller vectors: their reductions have accumulators of their own.
        let mut n = shape.n / 2;
        while at < extent {
            while n as i64 > extent - at {
                n /= 2;
            }
            if n <= 1 {
                self.scope(false);
                self.bind(var, self.ll.ci64(at));
                self.body(body)?;
                self.close();
                at += 1;
                continue;
            }
            let mut small = Shape { n, parts: 1, sums: vec![] };
            self.start(&mut small, var, body)?;
            self.piece(var, at, n, 1, None, body, &small)?;
            self.finish(body, var, &small)?;
            at += n as i64;
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn piece(
        &mut self,
        var: VarId,
        at: i64,
        n: usize,
        parts: usize,
        mask: Option<V>,
        body: &[Stmt],
        shape: &Shape,
    ) -> Result<(), EmitError> {
        self.scope(false);
        self.bind(var, self.ll.ci64(at));
        let bases = (0..parts).map(|p| self.ll.ci64(at + (p * n) as i64)).collect();
        self.lanes = Some(Lanes { var, n, bases, mask, statement_mask: None });
        let mut next = 0;
        self.lane_body(body, shape, &mut next)?;
        self.lanes = None;
        self.close();
        Ok(())
    }

    /// Lanes `0..count` of `n`.
    pub fn mask(&self, count: V, n: usize) -> V {
        let ll = self.ll;
        let bits = (self.t.vector_bytes * 8 / n as u32).clamp(8, 64);
        let t = ll.vec(ll.int(bits), n);
        let (lo, hi) = (ll.ci64(0), ll.ci64(n as i64));
        let c = ll.select(ll.icmp(LLVMIntSLT, count, hi), count, hi);
        let c = ll.select(ll.icmp(LLVMIntSLT, c, lo), lo, c);
        let c = if bits == 64 { c } else { ll.trunc(c, ll.int(bits)) };
        ll.icmp(LLVMIntULT, ll.iota(t), ll.splat(c, n))
    }

    fn lane_body(&mut self, body: &[Stmt], shape: &Shape, next: &mut usize) -> Result<(), EmitError> {
        let around = self.line();
        for s in body {
            self.statement.clear();
            self.at_statement(s);
            match s {
                Stmt::If { cond, then } => {
                    let c = self.scalar(*cond)?;
                    let mut inner = *next;
                    self.branch(c, |g| g.lane_body(then, shape, &mut inner))?;
                    let Some(var) = self.lanes.as_ref().map(|l| l.var) else { return Ok(()) };
                    for_stmts(then, &mut |s| *next += usize::from(self.is_sum(s, var)));
                }
                Stmt::Vector { dst, value, reduce } => {
                    let Some(var) = self.lanes.as_ref().map(|l| l.var) else { return Ok(()) };
                    let sums = if self.is_sum(s, var) {
                        *next += 1;
                        shape.sums.get(*next - 1).cloned()
                    } else {
                        None
                    };
                    self.lane_statement(var, dst, *value, *reduce, sums.as_deref())?;
                }
                _ => return self.unsupported("a vector loop over something other than stores"),
            }
        }
        self.at_line(around);
        self.statement.clear();
        Ok(())
    }

    fn lane_statement(
        &mut self,
        var: VarId,
        dst: &Element,
        value: ExprId,
        reduce: Option<ReduceOp>,
        sums: Option<&[V]>,
    ) -> Result<(), EmitError> {
        let parts = self.lanes.as_ref().map_or(0, |l| l.bases.len());
        match dst.guard {
            None => (0..parts).try_for_each(|p| self.lane_assign(var, dst, value, reduce, sums, p)),
            Some(g) if self.uniform(g, var) => {
                let c = self.scalar(g)?;
                self.branch(c, |s| (0..parts).try_for_each(|p| s.lane_assign(var, dst, value, reduce, sums, p)))
            }
            Some(g) => {
                for p in 0..parts {
                    self.statement.clear();
                    let mask = self.lanes_of(g, p)?;
                    let masked = |s: &mut Self| {
                        if let Some(l) = &mut s.lanes {
                            l.statement_mask = Some(mask);
                        }
                        let r = s.lane_assign(var, dst, value, reduce, sums, p);
                        if let Some(l) = &mut s.lanes {
                            l.statement_mask = None;
                        }
                        s.statement.clear();
                        r
                    };
                    if self.has_masks() && !self.needs_lane(value, var) {
                        masked(self)?;
                        continue;
                    }
                    let outer = self.lanes.as_ref().and_then(|l| l.mask);
                    let active = outer.map_or(mask, |m| self.ll.and(m, mask));
                    if self.has_masks() {
                        let any = self.any(active);
                        self.branch(any, masked)?;
                        continue;
                    }
                    // Without masks in the machine, the common case of all lanes is written apart.
                    let all = self.all(active);
                    self.branch(all, |s| s.lane_assign(var, dst, value, reduce, sums, p))?;
                    let any = self.any(active);
                    let some = self.ll.and(any, self.ll.not(all));
                    self.branch(some, masked)?;
                }
                Ok(())
            }
        }
    }

    /// True where a value reads, without a guard, an element that is the same for all lanes: it may be read only if some
    /// lane is active.
    fn needs_lane(&self, e: ExprId, var: VarId) -> bool {
        let f = self.facts[e.index()];
        if !f.unguarded {
            return false;
        }
        if f.vars & bit(var) == 0 {
            return true;
        }
        let all = |ids: &[ExprId]| ids.iter().any(|i| self.needs_lane(*i, var));
        match &self.k.exprs[e.index()] {
            Expr::Load(el, other) => {
                el.index.iter().any(|i| self.needs_lane(*i, var))
                    || el.guard.is_some_and(|g| self.needs_lane(g, var))
                    || other.is_some_and(|o| self.needs_lane(o, var))
                    || el.index.iter().all(|i| self.uniform(*i, var))
            }
            Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => all(&[*a]),
            Expr::Binary(_, a, b) => all(&[*a, *b]),
            Expr::Select(c, a, b) => all(&[*c, *a, *b]),
            _ => false,
        }
    }

    fn lane_assign(
        &mut self,
        var: VarId,
        dst: &Element,
        value: ExprId,
        reduce: Option<ReduceOp>,
        sums: Option<&[V]>,
        part: usize,
    ) -> Result<(), EmitError> {
        let ll = self.ll;
        let d = self.k.buffer(dst.buffer).dtype;
        let plain = Element { guard: None, ..dst.clone() };
        let Some(op) = reduce else {
            let v = self.lanes_of(value, part)?;
            return self.store_lanes(&plain, v, part);
        };
        if let Some(sum) = sums.and_then(|s| s.get(part)) {
            let n = self.lanes.as_ref().map_or(1, |l| l.n);
            let t = ll.vec(self.reg_ty(d)?, n);
            let old = ll.load(t, *sum, 1);
            let mut new = self.accumulate(op, d, old, value, Some(part))?;
            if let Some(m) = self.outer_mask() {
                new = ll.select(m, new, old);
            }
            ll.store(new, *sum, 1);
            return Ok(());
        }
        if matches!(element_stride(self.k, &self.facts, &plain, var), Some(s) if s != 0) {
            // Lanes fall on different elements.
            let old = self.load(&plain, None, Some(part))?;
            let new = self.accumulate(op, d, old, value, Some(part))?;
            return self.store_lanes(&plain, new, part);
        }
        let v = self.lanes_of(value, part)?;
        self.update_lanes(&plain, v, part, &mut |g, old, x| g.reduce(op, d, old, x))
    }

    /// Combines the accumulators of every reduction into its element.
    fn finish(&mut self, body: &[Stmt], var: VarId, shape: &Shape) -> Result<(), EmitError> {
        let mut next = 0;
        if shape.sums.is_empty() { Ok(()) } else { self.finish_body(body, var, shape, &mut next) }
    }

    fn finish_body(&mut self, body: &[Stmt], var: VarId, shape: &Shape, next: &mut usize) -> Result<(), EmitError> {
        let (ll, around) = (self.ll, self.line());
        for s in body {
            self.statement.clear();
            self.at_statement(s);
            match s {
                Stmt::If { cond, then } => {
                    let c = self.scalar(*cond)?;
                    let mut inner = *next;
                    self.branch(c, |g| g.finish_body(then, var, shape, &mut inner))?;
                    for_stmts(then, &mut |s| *next += usize::from(self.is_sum(s, var)));
                }
                Stmt::Vector { dst, reduce: Some(op), .. } if self.is_sum(s, var) => {
                    let sums = &shape.sums[*next];
                    *next += 1;
                    let d = self.k.buffer(dst.buffer).dtype;
                    let t = ll.vec(self.reg_ty(d)?, shape.n);
                    let mut v: Vec<V> = sums.iter().map(|s| ll.load(t, *s, 1)).collect();
                    while v.len() > 1 {
                        let half = v.len() / 2;
                        let high = v.split_off(half);
                        v = v.iter().zip(high).map(|(a, b)| self.reduce(*op, d, *a, b)).collect::<Result<_, _>>()?;
                    }
                    let total = self.horizontal(*op, d, v[0])?;
                    let plain = Element { guard: None, ..dst.clone() };
                    let op = *op;
                    let write = |g: &mut Self| {
                        let old = g.load(&plain, None, None)?;
                        let new = g.reduce(op, d, old, total)?;
                        g.store_scalar(&plain, new)
                    };
                    match dst.guard {
                        Some(g) if self.uniform(g, var) => {
                            let c = self.scalar(g)?;
                            self.branch(c, write)?;
                        }
                        _ => write(self)?,
                    }
                }
                _ => {}
            }
        }
        self.at_line(around);
        self.statement.clear();
        Ok(())
    }

    /// All lanes combined, halves with halves.
    fn horizontal(&mut self, op: ReduceOp, d: DType, v: V) -> Result<V, EmitError> {
        let ll = self.ll;
        let mut v = v;
        let mut n = ll.lanes(ll.ty(v));
        while n > 1 {
            let half = n / 2;
            let none = ll.poison(ll.ty(v));
            let (a, b): (Vec<usize>, Vec<usize>) = ((0..half).collect(), (half..n).collect());
            let (lo, hi) =
                if half == 1 { (ll.extract(v, 0), ll.extract(v, 1)) } else { (ll.shuffle(v, none, &a), ll.shuffle(v, none, &b)) };
            v = self.reduce(op, d, lo, hi)?;
            n = half;
        }
        Ok(v)
    }
}

/// Bytes a value of the type takes in registers: narrow floats are computed in `f32`.
fn reg_bytes(d: DType) -> usize {
    if d.is_float() { d.size().max(4) } else { d.size() }
}
