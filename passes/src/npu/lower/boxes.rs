//! Joins and padding on the vector unit: which part an element comes from depends on its position. The space is cut into boxes,
//! in each of which every element comes from the same part, and each box becomes a kernel without conditions.

use std::collections::HashMap;

use beiming_ir::kernel::{Element, Expr, ExprId};
use beiming_ir::ops::{BinaryOp, UnaryOp};
use beiming_ir::types::{DType, Dim};

use crate::lower::builder::KernelBuilder;
use crate::lower::index::Affine;

/// Most boxes that a space is cut into.
pub const MOST: usize = 32;

/// A part of a space, along each of its axes.
#[derive(Clone, PartialEq, Debug)]
pub struct Cut {
    /// Position of its first element.
    pub start: Vec<Dim>,
    /// Extent.
    pub extent: Vec<Dim>,
}

/// Rewrites values by what is known of the positions: conditions that always hold, or never, are gone.
pub struct Settler<'s, 'k> {
    /// Where the expressions are.
    pub kb: &'s mut KernelBuilder<'k>,
    memo: HashMap<ExprId, ExprId>,
}

impl<'s, 'k> Settler<'s, 'k> {
    /// One for expressions of `kb`.
    pub fn new(kb: &'s mut KernelBuilder<'k>) -> Self {
        Settler { kb, memo: HashMap::new() }
    }

    /// A value without the conditions that are decided.
    pub fn value(&mut self, e: ExprId) -> ExprId {
        if let Some(v) = self.memo.get(&e) {
            return *v;
        }
        let v = match self.kb.expr(e).clone() {
            Expr::Load(el, other) => match el.guard.map(|g| self.truth(g)) {
                Some(Some(false)) if other.is_some() => self.value(other.unwrap_or(e)),
                state => {
                    let index = el.index.iter().map(|i| self.index(*i)).collect();
                    let open = el.guard.filter(|_| state == Some(None));
                    self.kb.raw(Expr::Load(Element { buffer: el.buffer, index, guard: open }, open.and(other)))
                }
            },
            Expr::Select(c, a, b) => match self.truth(c) {
                Some(true) => self.value(a),
                Some(false) => self.value(b),
                None => {
                    let (c, a, b) = (self.value(c), self.value(a), self.value(b));
                    self.kb.select(c, a, b)
                }
            },
            Expr::Unary(op, a) => {
                let a = self.value(a);
                self.kb.unary(op, a)
            }
            Expr::Binary(op, a, b) if self.kb.dtype(e) != DType::I64 => {
                let (a, b) = (self.value(a), self.value(b));
                self.kb.binary(op, a, b)
            }
            Expr::Cast(to, a) => {
                let a = self.value(a);
                self.kb.cast(to, a)
            }
            _ => e,
        };
        self.memo.insert(e, v);
        v
    }

    /// An index, its mirrors and limits taken away where the bounds decide them.
    pub fn index(&mut self, e: ExprId) -> ExprId {
        let a = self.affine(e);
        self.kb.index(&a)
    }

    fn affine(&mut self, e: ExprId) -> Affine {
        let whole = self.kb.affine(e);
        let mut sum = Affine::constant(whole.base.clone());
        for (atom, c) in &whole.terms {
            let part = self.atom(*atom);
            sum = sum.plus(&part.scaled(c));
        }
        sum
    }

    fn atom(&mut self, e: ExprId) -> Affine {
        let own = Affine { base: Dim::Known(0), terms: vec![(e, Dim::Known(1))] };
        match self.kb.expr(e).clone() {
            Expr::Unary(UnaryOp::Abs, a) => {
                let a = self.affine(a);
                match self.sign(&a) {
                    Some(true) => a,
                    Some(false) => a.scaled(&Dim::Known(-1)),
                    None => own,
                }
            }
            Expr::Binary(op @ (BinaryOp::Add | BinaryOp::Sub), a, b) => {
                let (a, b) = (self.affine(a), self.affine(b));
                a.plus(&if op == BinaryOp::Sub { b.scaled(&Dim::Known(-1)) } else { b })
            }
            Expr::Binary(op @ (BinaryOp::Min | BinaryOp::Max), a, b) => {
                let (a, b) = (self.affine(a), self.affine(b));
                let d = a.plus(&b.scaled(&Dim::Known(-1)));
                match (self.sign(&d), op) {
                    (Some(true), BinaryOp::Max) | (Some(false), BinaryOp::Min) => a,
                    (Some(_), _) => b,
                    (None, _) => own,
                }
            }
            _ => own,
        }
    }

    /// `Some(true)`: never negative; `Some(false)`: never positive.
    fn sign(&self, a: &Affine) -> Option<bool> {
        let (lo, hi) = self.kb.bounds(a)?;
        if self.kb.at_least(&lo, 0) {
            return Some(true);
        }
        self.kb.at_least(&(hi * Dim::Known(-1)), 0).then_some(false)
    }

    /// What a condition on positions always is.
    fn truth(&mut self, e: ExprId) -> Option<bool> {
        match self.kb.expr(e).clone() {
            Expr::Binary(BinaryOp::And, a, b) => match (self.truth(a), self.truth(b)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Expr::Binary(BinaryOp::Or, a, b) => match (self.truth(a), self.truth(b)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Expr::Binary(op, a, b) if op.is_compare() && self.kb.dtype(a) == DType::I64 => {
                let (a, b) = (self.affine(a), self.affine(b));
                let (lo, hi) = self.kb.bounds(&a.plus(&b.scaled(&Dim::Known(-1))))?;
                let least = |d: &Dim, v| self.kb.at_least(d, v);
                let minus = |d: &Dim| d.clone() * Dim::Known(-1);
                // `below`: a < b for certain; `above`: a >= b for certain.
                let (below, above) = (least(&minus(&hi), 1), least(&lo, 0));
                let (most, more) = (least(&minus(&hi), 0), least(&lo, 1));
                match op {
                    BinaryOp::Lt => below.then_some(true).or(above.then_some(false)),
                    BinaryOp::Ge => above.then_some(true).or(below.then_some(false)),
                    BinaryOp::Le => most.then_some(true).or(more.then_some(false)),
                    BinaryOp::Gt => more.then_some(true).or(most.then_some(false)),
                    BinaryOp::Eq if below || more => Some(false),
                    BinaryOp::Ne if below || more => Some(true),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Where to cut so that the first condition that is open gets decided: an axis, and the first position of the upper half.
    /// `Err`: a condition that no cut decides.
    pub fn cut(&mut self, value: ExprId, at: &[ExprId]) -> Result<Option<(usize, Dim)>, String> {
        let (mut stack, mut seen) = (vec![value], std::collections::BTreeSet::new());
        while let Some(e) = stack.pop() {
            if !seen.insert(e) {
                continue;
            }
            match self.kb.expr(e).clone() {
                Expr::Load(el, other) => {
                    stack.extend(other);
                    if let Some(g) = el.guard {
                        let refuse = "a part that depends on several positions at once is not cut out for the vector unit";
                        return self.of_condition(g, at).map(Some).ok_or_else(|| refuse.into());
                    }
                    for i in el.index {
                        if let Some(c) = self.of_index(i, at) {
                            return Ok(Some(c));
                        }
                    }
                }
                Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => stack.push(a),
                Expr::Binary(_, a, b) => stack.extend([a, b]),
                Expr::Select(c, a, b) => stack.extend([c, a, b]),
                Expr::Const(_) | Expr::Var(_) | Expr::Dim(_) => {}
            }
        }
        Ok(None)
    }

    fn of_condition(&mut self, e: ExprId, at: &[ExprId]) -> Option<(usize, Dim)> {
        match self.kb.expr(e).clone() {
            Expr::Binary(BinaryOp::And | BinaryOp::Or, a, b) => {
                let first = if self.truth(a).is_none() { self.of_condition(a, at) } else { None };
                first.or_else(|| if self.truth(b).is_none() { self.of_condition(b, at) } else { None })
            }
            Expr::Binary(BinaryOp::Lt | BinaryOp::Ge, a, b) => {
                let (a, b) = (self.affine(a), self.affine(b));
                self.crossing(&a.plus(&b.scaled(&Dim::Known(-1))), at)
            }
            _ => None,
        }
    }

    /// A mirror or limit within an index.
    fn of_index(&mut self, e: ExprId, at: &[ExprId]) -> Option<(usize, Dim)> {
        for (atom, _) in self.kb.affine(e).terms {
            let inner = match self.kb.expr(atom).clone() {
                Expr::Unary(UnaryOp::Abs, a) => {
                    if let Some(c) = self.of_index(a, at) {
                        return Some(c);
                    }
                    self.affine(a)
                }
                Expr::Binary(BinaryOp::Min | BinaryOp::Max, a, b) => {
                    let (a, b) = (self.affine(a), self.affine(b));
                    a.plus(&b.scaled(&Dim::Known(-1)))
                }
                Expr::Binary(BinaryOp::Add | BinaryOp::Sub, a, b) => {
                    match self.of_index(a, at).or_else(|| self.of_index(b, at)) {
                        Some(c) => return Some(c),
                        None => continue,
                    }
                }
                _ => continue,
            };
            if self.sign(&inner).is_none()
                && let Some(c) = self.crossing(&inner, at)
            {
                return Some(c);
            }
        }
        None
    }

    /// Where `a` crosses from below zero to zero and above along its only axis.
    fn crossing(&self, a: &Affine, at: &[ExprId]) -> Option<(usize, Dim)> {
        let [(atom, c)] = &a.terms[..] else { return None };
        let axis = at.iter().position(|x| x == atom)?;
        // c * x + base >= 0
        if c.is(1) {
            return Some((axis, a.base.clone() * Dim::Known(-1)));
        }
        let (c, base) = (c.known()?, a.base.known()?);
        Some((axis, Dim::Known(if c > 0 { (-base + c - 1).div_euclid(c) } else { base.div_euclid(-c) + 1 })))
    }
}
