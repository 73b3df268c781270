//! When a kernel may write one parameter over another: every element of the read one is loaded in the statement that stores
//! the element at the same address, and nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use crate::kernel::{Expr, ExprId, Kernel, Stmt};
use crate::ops::BinaryOp;
use crate::tensor::Num;
use crate::types::Dim;
use crate::walk::{for_args, for_roots, for_sources, for_stmts};

/// May parameter `written` of a valid kernel lie over parameter `read`, both dense and of equal element size?
pub(super) fn is_safe(k: &Kernel, read: usize, written: usize) -> bool {
    let (mut stores, mut foreign, mut direct) = (vec![], vec![], false);
    for_stmts(&k.body, &mut |s| {
        match s {
            Stmt::Vector { dst, value, reduce: None } if dst.buffer.index() == written => {
                stores.push((dst, *value));
                foreign.extend(dst.index.iter().chain(&dst.guard).copied());
                return;
            }
            // Reductions, copies and products into it: not element by element.
            Stmt::Vector { dst, .. } | Stmt::Copy { dst, .. } => direct |= dst.buffer.index() == written,
            _ => {}
        }
        for_sources(s, &mut |el| direct |= el.buffer.index() == read);
        for_roots(s, &mut |e| foreign.push(e));
    });
    let loads = |e: &ExprId| matches!(&k.exprs[e.index()], Expr::Load(el, _) if el.buffer.index() == read);
    let [(dst, value)] = stores.as_slice() else { return false };
    if direct || k.params[read].shape != k.params[written].shape || reachable(k, foreign).iter().any(loads) {
        return false;
    }
    let mut linear = Linear { k, known: BTreeMap::new() };
    reachable(k, vec![*value]).iter().filter(|e| loads(e)).all(|e| match &k.exprs[e.index()] {
        Expr::Load(el, _) => el.index.iter().zip(&dst.index).all(|(a, b)| linear.form(*a) == linear.form(*b)),
        _ => true,
    })
}

fn reachable(k: &Kernel, mut stack: Vec<ExprId>) -> BTreeSet<ExprId> {
    let mut seen = BTreeSet::new();
    while let Some(e) = stack.pop() {
        if seen.insert(e) {
            for_args(&k.exprs[e.index()], |a| stack.push(a));
        }
    }
    seen
}

/// Sum of products of an expression and a coefficient, and a constant.
type Form = (BTreeMap<ExprId, Dim>, Dim);

/// Linear forms of index expressions, so that equal addresses compare equal however they are written.
struct Linear<'k> {
    k: &'k Kernel,
    known: BTreeMap<ExprId, Form>,
}

impl Linear<'_> {
    fn form(&mut self, root: ExprId) -> Form {
        // Arguments come first in the order of definition.
        for e in reachable(self.k, vec![root]) {
            if !self.known.contains_key(&e) {
                let f = self.step(e);
                self.known.insert(e, f);
            }
        }
        self.known.get(&root).cloned().unwrap_or_default()
    }

    fn step(&self, e: ExprId) -> Form {
        let atom = || (BTreeMap::from([(e, Dim::Known(1))]), Dim::Known(0));
        let arg = |a: &ExprId| self.known.get(a).cloned().unwrap_or_default();
        let scaled = |(terms, c): Form, by: &Dim| {
            let terms = terms.into_iter().map(|(e, x)| (e, x * by.clone())).filter(|(_, x)| !x.is(0)).collect();
            (terms, c * by.clone())
        };
        let sum = |(mut terms, c): Form, (more, d): Form| {
            for (e, x) in more {
                let y = terms.remove(&e).unwrap_or_default() + x;
                if !y.is(0) {
                    terms.insert(e, y);
                }
            }
            (terms, c + d)
        };
        match &self.k.exprs[e.index()] {
            Expr::Const(s) => match s.value {
                Num::Int(v) => i64::try_from(v).map_or_else(|_| atom(), |v| (BTreeMap::new(), Dim::Known(v))),
                _ => atom(),
            },
            Expr::Dim(d) => (BTreeMap::new(), d.clone()),
            Expr::Binary(BinaryOp::Add, a, b) => sum(arg(a), arg(b)),
            Expr::Binary(BinaryOp::Sub, a, b) => sum(arg(a), scaled(arg(b), &Dim::Known(-1))),
            Expr::Binary(BinaryOp::Mul, a, b) => match (arg(a), arg(b)) {
                (x, (t, c)) if t.is_empty() => scaled(x, &c),
                ((t, c), x) if t.is_empty() => scaled(x, &c),
                _ => atom(),
            },
            _ => atom(),
        }
    }
}
