//! Index arithmetic: every `i64` expression of a kernel under construction has an affine form over *atoms* (loop variables and
//! whatever cannot be taken apart), with coefficients that are expressions over the model's symbols. Sums cancel, quotients and
//! remainders that the atoms' ranges decide vanish, and `(x / d) * d + x % d` is `x` again; so a chain of reshapes, transposes
//! and slices over a buffer ends as one plain linear address.

use beiming_ir::kernel::{Expr, ExprId};
use beiming_ir::ops::BinaryOp;
use beiming_ir::tensor::Num;
use beiming_ir::types::{DType, Dim};

use super::builder::KernelBuilder;

/// `base + sum of coefficient * atom`; the terms are sorted by atom, coefficients are not zero.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Affine {
    /// Constant part.
    pub base: Dim,
    /// Atoms and their coefficients.
    pub terms: Vec<(ExprId, Dim)>,
}

/// What is known of an expression that an affine form does not take apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Atom {
    /// Inclusive bounds.
    pub range: Option<(Dim, Dim)>,
    /// `Some((x, d, true))` for `x / d`, `Some((x, d, false))` for `x % d`; `d` is positive.
    pub part: Option<(ExprId, Dim, bool)>,
}

impl Affine {
    /// A constant.
    pub fn constant(base: Dim) -> Affine {
        Affine { base, terms: vec![] }
    }

    /// Coefficient of an atom, zero where it does not occur.
    pub fn coefficient(&self, atom: ExprId) -> Dim {
        self.terms.iter().find(|t| t.0 == atom).map_or(Dim::Known(0), |t| t.1.clone())
    }

    pub(crate) fn scaled(&self, c: &Dim) -> Affine {
        if c.is(0) {
            return Affine::default();
        }
        Affine {
            base: self.base.clone() * c.clone(),
            terms: self.terms.iter().map(|(a, k)| (*a, k.clone() * c.clone())).collect(),
        }
    }

    pub(crate) fn plus(&self, o: &Affine) -> Affine {
        let mut terms: Vec<(ExprId, Dim)> = Vec::with_capacity(self.terms.len() + o.terms.len());
        let (mut a, mut b) = (self.terms.iter().peekable(), o.terms.iter().peekable());
        while let Some(next) = match (a.peek(), b.peek()) {
            (Some(x), Some(y)) if x.0 <= y.0 => a.next(),
            (Some(_), None) => a.next(),
            _ => b.next(),
        } {
            match terms.last_mut() {
                Some(last) if last.0 == next.0 => last.1 = last.1.clone() + next.1.clone(),
                _ => terms.push(next.clone()),
            }
        }
        terms.retain(|t| !t.1.is(0));
        Affine { base: self.base.clone() + o.base.clone(), terms }
    }
}

/// `c / d` where it is exact for all values of the symbols.
fn exact_quotient(c: &Dim, d: &Dim) -> Option<Dim> {
    let q = c.floor_div(d);
    (q.clone() * d.clone() == *c).then_some(q)
}

impl KernelBuilder<'_> {
    /// The affine form of an `i64` expression.
    pub fn affine(&self, e: ExprId) -> Affine {
        if let Some(a) = self.affine.get(&e) {
            return a.clone();
        }
        match self.expr(e) {
            Expr::Const(s) => Affine::constant(Dim::Known(s.value.to_i128() as i64)),
            Expr::Dim(d) => Affine::constant(d.clone()),
            _ => Affine { base: Dim::Known(0), terms: vec![(e, Dim::Known(1))] },
        }
    }

    /// The expression of an affine form.
    pub fn index(&mut self, a: &Affine) -> ExprId {
        let a = self.recombined(a.clone());
        if let ([(e, c)], true) = (a.terms.as_slice(), a.base.is(0))
            && c.is(1)
        {
            return *e;
        }
        let mut sum = None;
        for (atom, c) in &a.terms {
            let term = if c.is(1) {
                *atom
            } else {
                let c = self.dim(c);
                self.raw(Expr::Binary(BinaryOp::Mul, *atom, c))
            };
            sum = Some(match sum {
                None => term,
                Some(s) => self.raw(Expr::Binary(BinaryOp::Add, s, term)),
            });
        }
        let e = match sum {
            None => return self.dim(&a.base),
            Some(s) if a.base.is(0) => s,
            Some(s) => {
                let b = self.dim(&a.base);
                self.raw(Expr::Binary(BinaryOp::Add, s, b))
            }
        };
        // An index declared `bounded` stays an atom.
        self.affine.entry(e).or_insert(a);
        e
    }

    /// Joins quotients and remainders of one division back into the dividend.
    fn recombined(&self, mut a: Affine) -> Affine {
        'again: loop {
            for (atom, c) in &a.terms {
                let Some(Atom { part: Some((x, d, true)), .. }) = self.atoms.get(atom) else { continue };
                let Some(q) = exact_quotient(c, d) else { continue };
                let rest = a.terms.iter().find(|(other, k)| {
                    *k == q && matches!(self.atoms.get(other), Some(Atom { part: Some((y, e, false)), .. }) if y == x && e == d)
                });
                if let Some(rest) = rest {
                    let (div, rem) = (*atom, rest.0);
                    let kept = a.terms.iter().filter(|t| t.0 != div && t.0 != rem).cloned().collect();
                    a = Affine { base: a.base.clone(), terms: kept }.plus(&self.affine(*x).scaled(&q));
                    continue 'again;
                }
            }
            return a;
        }
    }

    /// An index that is a known number.
    pub fn int(&mut self, v: i64) -> ExprId {
        self.constant(DType::I64, Num::Int(v.into()))
    }

    /// An expression over the symbols.
    pub fn dim(&mut self, d: &Dim) -> ExprId {
        match d.known() {
            Some(v) => self.int(v),
            None => self.raw(Expr::Dim(d.clone())),
        }
    }

    /// `a + b`.
    pub fn add(&mut self, a: ExprId, b: ExprId) -> ExprId {
        let s = self.affine(a).plus(&self.affine(b));
        self.index(&s)
    }

    /// `a - b`.
    pub fn sub(&mut self, a: ExprId, b: ExprId) -> ExprId {
        let s = self.affine(a).plus(&self.affine(b).scaled(&Dim::Known(-1)));
        self.index(&s)
    }

    /// `a * c`.
    pub fn scale(&mut self, a: ExprId, c: &Dim) -> ExprId {
        let s = self.affine(a).scaled(c);
        self.index(&s)
    }

    /// `a + c`.
    pub fn offset(&mut self, a: ExprId, c: &Dim) -> ExprId {
        let s = self.affine(a).plus(&Affine::constant(c.clone()));
        self.index(&s)
    }

    /// `floor(a / d)` for a positive `d`.
    pub fn quotient(&mut self, a: ExprId, d: &Dim) -> ExprId {
        let a = self.affine(a);
        self.divide(&a, d).0
    }

    /// `a - d * floor(a / d)` for a positive `d`.
    pub fn remainder(&mut self, a: ExprId, d: &Dim) -> ExprId {
        let a = self.affine(a);
        self.divide(&a, d).1
    }

    fn divide(&mut self, a: &Affine, d: &Dim) -> (ExprId, ExprId) {
        if d.is(0) {
            // An empty axis: nothing runs, any index will do.
            let zero = self.int(0);
            return (zero, zero);
        }
        // a = d * whole + rest.
        let (mut whole, mut rest) = (Affine::default(), Affine::default());
        for (atom, c) in &a.terms {
            match exact_quotient(c, d) {
                Some(q) => whole.terms.push((*atom, q)),
                None => rest.terms.push((*atom, c.clone())),
            }
        }
        match (exact_quotient(&a.base, d), a.base.known(), d.known()) {
            (Some(q), ..) => whole.base = q,
            (None, Some(b), Some(k)) => {
                whole.base = Dim::Known(b.div_euclid(k));
                rest.base = Dim::Known(b.rem_euclid(k));
            }
            _ => rest.base = a.base.clone(),
        }
        if self.within(&rest, d) {
            return (self.index(&whole), self.index(&rest));
        }
        // rest = g * high + low with 0 <= low < g and g a divisor of d: low does not touch the quotient.
        let steps: Vec<Dim> = rest.terms.iter().map(|t| t.1.clone()).collect();
        for g in steps {
            let Some(small) = exact_quotient(d, &g).filter(|_| !g.is(1) && self.at_least(&g, 1)) else { continue };
            let (mut high, mut low) = (Affine::default(), Affine::default());
            for (atom, c) in &rest.terms {
                match exact_quotient(c, &g) {
                    Some(q) => high.terms.push((*atom, q)),
                    None => low.terms.push((*atom, c.clone())),
                }
            }
            match (rest.base.known(), g.known()) {
                (Some(b), Some(k)) => {
                    high.base = Dim::Known(b.div_euclid(k));
                    low.base = Dim::Known(b.rem_euclid(k));
                }
                _ => match exact_quotient(&rest.base, &g) {
                    Some(q) => high.base = q,
                    None => low.base = rest.base.clone(),
                },
            }
            if !self.within(&low, &g) || high == rest {
                continue;
            }
            let (q, r) = self.divide(&high, &small);
            let q = whole.plus(&self.affine(q));
            let r = self.affine(r).scaled(&g).plus(&low);
            return (self.index(&q), self.index(&r));
        }
        let x = self.index(&rest);
        let (lo, hi) = self.bounds(&rest).unzip();
        let positive = lo.as_ref().is_some_and(|l| self.at_least(l, 0));
        let de = self.dim(d);
        let q = if positive {
            self.raw(Expr::Binary(BinaryOp::Div, x, de))
        } else {
            // `Div` truncates: (x - (x mod d)) / d is the floor.
            let m = self.raw(Expr::Binary(BinaryOp::Mod, x, de));
            let t = self.raw(Expr::Binary(BinaryOp::Sub, x, m));
            self.raw(Expr::Binary(BinaryOp::Div, t, de))
        };
        let r = self.raw(Expr::Binary(if positive { BinaryOp::Rem } else { BinaryOp::Mod }, x, de));
        let range = lo.zip(hi).map(|(l, h)| (l.floor_div(d), h.floor_div(d)));
        self.atoms.insert(q, Atom { range, part: Some((x, d.clone(), true)) });
        let range = Some((Dim::Known(0), d.clone() - Dim::Known(1)));
        self.atoms.insert(r, Atom { range, part: Some((x, d.clone(), false)) });
        let one = |e| Affine { base: Dim::Known(0), terms: vec![(e, Dim::Known(1))] };
        let q = whole.plus(&one(q));
        (self.index(&q), r)
    }

    /// `x` as an indivisible index known to lie in `0..extent`: for an index put together from a block and a place in the block,
    /// whose parts alone do not show the bound.
    pub fn bounded(&mut self, x: ExprId, extent: &Dim) -> ExprId {
        if let Some(v) = self.affine(x).terms.is_empty().then_some(x) {
            return v;
        }
        let one = Affine { base: Dim::Known(0), terms: vec![(x, Dim::Known(1))] };
        self.affine.insert(x, one);
        self.atoms.entry(x).or_default().range = Some((Dim::Known(0), extent.clone() - Dim::Known(1)));
        x
    }

    /// Gives an expression that no affine form takes apart (a loaded index) its inclusive bounds.
    pub fn assume(&mut self, x: ExprId, lo: Dim, hi: Dim) {
        self.atoms.entry(x).or_default().range = Some((lo, hi));
    }

    /// Inclusive bounds of an affine form, where its atoms have bounds and its coefficients a sign.
    pub fn bounds(&self, a: &Affine) -> Option<(Dim, Dim)> {
        let (mut lo, mut hi) = (a.base.clone(), a.base.clone());
        for (atom, c) in &a.terms {
            let (l, h) = self.atoms.get(atom)?.range.clone()?;
            let (l, h) = if self.at_least(c, 0) {
                (l, h)
            } else if self.at_least(&(c.clone() * Dim::Known(-1)), 0) {
                (h, l)
            } else {
                return None;
            };
            lo = lo + l * c.clone();
            hi = hi + h * c.clone();
        }
        Some((lo, hi))
    }

    /// Whether `0 <= a < d` is certain.
    pub fn within(&self, a: &Affine, d: &Dim) -> bool {
        self.bounds(a).is_some_and(|(lo, hi)| self.at_least(&lo, 0) && self.at_least(&(d.clone() - Dim::Known(1) - hi), 0))
    }

    /// Whether `d >= v` for every value of the symbols.
    pub fn at_least(&self, d: &Dim, v: i64) -> bool {
        d.range(self.symbols).lo >= v
    }

    /// The condition `0 <= x < extent`; `None` where it always holds.
    pub fn inside(&mut self, x: ExprId, extent: &Dim) -> Option<ExprId> {
        let low = self.not_below(x, &Dim::Known(0));
        let high = self.below(x, extent);
        match (low, high) {
            (Some(a), Some(b)) => Some(self.both(a, b)),
            (a, b) => a.or(b),
        }
    }

    /// The condition `x < d`; `None` where it always holds.
    pub fn below(&mut self, x: ExprId, d: &Dim) -> Option<ExprId> {
        let known = self.bounds(&self.affine(x)).is_some_and(|(_, hi)| self.at_least(&(d.clone() - Dim::Known(1) - hi), 0));
        (!known).then(|| {
            let d = self.dim(d);
            self.raw(Expr::Binary(BinaryOp::Lt, x, d))
        })
    }

    /// The condition `x >= d`; `None` where it always holds.
    pub fn not_below(&mut self, x: ExprId, d: &Dim) -> Option<ExprId> {
        let known = self.bounds(&self.affine(x)).is_some_and(|(lo, _)| self.at_least(&(lo - d.clone()), 0));
        (!known).then(|| {
            let d = self.dim(d);
            self.raw(Expr::Binary(BinaryOp::Ge, x, d))
        })
    }

    /// The smaller of an index and an extent, for the last block of an axis.
    pub fn min_dim(&mut self, x: ExprId, d: &Dim) -> ExprId {
        if let Some((_, hi)) = self.bounds(&self.affine(x))
            && self.at_least(&(d.clone() - hi), 0)
        {
            return x;
        }
        let d = self.dim(d);
        self.raw(Expr::Binary(BinaryOp::Min, x, d))
    }

    /// `x` forced into `0..extent` (`extent` at least one), with the bounds recorded.
    pub fn clamp_index(&mut self, x: ExprId, extent: &Dim) -> ExprId {
        if self.within(&self.affine(x), extent) {
            return x;
        }
        let (zero, top) = (self.int(0), self.dim(&(extent.clone() - Dim::Known(1))));
        let low = if self.not_below(x, &Dim::Known(0)).is_some() { self.raw(Expr::Binary(BinaryOp::Max, x, zero)) } else { x };
        let e = self.raw(Expr::Binary(BinaryOp::Min, low, top));
        self.assume(e, Dim::Known(0), extent.clone() - Dim::Known(1));
        e
    }

    /// Row-major position of `index` in `shape`.
    pub fn linear(&mut self, index: &[ExprId], shape: &[Dim]) -> ExprId {
        let mut stride = Dim::Known(1);
        let mut sum = Affine::default();
        for (i, d) in index.iter().zip(shape).rev() {
            sum = sum.plus(&self.affine(*i).scaled(&stride));
            stride = stride * d.clone();
        }
        self.index(&sum)
    }

    /// The index in a tensor of shape `to` of the element that lies at `index` in its reshape to `from`. Axes that line up pass
    /// through; only where axes are split differently do quotients and remainders appear.
    pub fn reshape_index(&mut self, index: &[ExprId], from: &[Dim], to: &[Dim]) -> Vec<ExprId> {
        let zero = self.int(0);
        let mut out = vec![zero; to.len()];
        let src: Vec<usize> = (0..from.len()).filter(|&i| !from[i].is(1)).collect();
        let dst: Vec<usize> = (0..to.len()).filter(|&i| !to[i].is(1)).collect();
        let (mut i, mut j) = (0, 0);
        while i < src.len() || j < dst.len() {
            let (a, b) = next_group(&src[i..], &dst[j..], from, to);
            let (group_from, group_to) = (&src[i..i + a], &dst[j..j + b]);
            if let ([f], [t]) = (group_from, group_to) {
                out[*t] = index[*f];
            } else {
                let shape: Vec<Dim> = group_from.iter().map(|&x| from[x].clone()).collect();
                let idx: Vec<ExprId> = group_from.iter().map(|&x| index[x]).collect();
                let mut rest = self.linear(&idx, &shape);
                for (n, &t) in group_to.iter().enumerate().rev() {
                    if n == 0 {
                        out[t] = rest;
                    } else {
                        out[t] = self.remainder(rest, &to[t]);
                        rest = self.quotient(rest, &to[t]);
                    }
                }
            }
            (i, j) = (i + a, j + b);
        }
        out
    }
}

/// The smallest runs of axes with equal products; all that is left where there are none.
fn next_group(src: &[usize], dst: &[usize], from: &[Dim], to: &[Dim]) -> (usize, usize) {
    let products = |axes: &[usize], shape: &[Dim]| -> Vec<Dim> {
        let mut p = Dim::Known(1);
        axes.iter()
            .map(|&a| {
                p = p.clone() * shape[a].clone();
                p.clone()
            })
            .collect()
    };
    let (ps, pd) = (products(src, from), products(dst, to));
    for total in 2..=ps.len() + pd.len() {
        for a in 1..total {
            if a <= ps.len() && total - a <= pd.len() && ps[a - 1] == pd[total - a - 1] {
                return (a, total - a);
            }
        }
    }
    (src.len(), dst.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use beiming_ir::types::Symbols;

    fn dims(s: &[&str]) -> Vec<Dim> {
        s.iter().map(|d| d.parse().expect("a dimension")).collect()
    }

    #[test]
    fn axes_that_line_up_need_no_division() {
        let mut s = Symbols::default();
        s.declare("B", 1, 8);
        let mut kb = KernelBuilder::new(&s, &dims(&["B", "12", "128", "64"]));
        let g = kb.grid.clone();
        // [B, 12, 128, 64] -> transposed [B, 128, 12, 64] -> [B, 128, 768]: the address over the original is linear.
        let merged = kb.reshape_index(&[g[0], g[2], g[1], g[3]], &dims(&["B", "128", "12", "64"]), &dims(&["B", "128", "768"]));
        let back = kb.reshape_index(&merged, &dims(&["B", "128", "768"]), &dims(&["B", "128", "12", "64"]));
        assert_eq!(back, vec![g[0], g[2], g[1], g[3]]);
    }

    #[test]
    fn quotient_and_remainder_join_again() {
        let s = Symbols::default();
        let mut kb = KernelBuilder::new(&s, &dims(&["N*768"]));
        let x = kb.grid[0];
        for shape in [["N", "12", "64"], ["N", "768", "1"], ["2", "N", "384"]] {
            let to = dims(&shape);
            let at = kb.reshape_index(&[x], &dims(&["N*768"]), &to);
            assert_eq!(kb.linear(&at, &to), x, "{shape:?}");
        }
    }

    #[test]
    fn a_common_divisor_is_split_off() {
        let s = Symbols::default();
        let mut kb = KernelBuilder::new(&s, &dims(&["7", "6"]));
        let (i, j) = (kb.grid[0], kb.grid[1]);
        let x = kb.linear(&[i, j], &dims(&["7", "6"]));
        let (q, half) = (kb.quotient(x, &Dim::Known(12)), kb.quotient(i, &Dim::Known(2)));
        assert_eq!(q, half);
    }
}
