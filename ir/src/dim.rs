//! Symbolic extents: integer polynomials over named symbols, kept in one canonical form so that equal expressions compare
//! equal. `floordiv`, `mod`, `min` and `max` of non-constant arguments are opaque atoms of the polynomial.
//!
//! Arithmetic saturates at the limits of `i64`; a saturated extent is far above every budget and is refused by `verify`.

use std::collections::BTreeMap;
use std::ops::{Add, Mul, Sub};
use std::sync::Arc;

mod text;

pub use text::quote;

/// An extent: a known integer or an expression over symbols.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Dim {
    /// A known value. Extents are non-negative; intermediate expressions may be negative.
    Known(i64),
    /// A polynomial with at least one atom.
    Expr(Arc<Poly>),
}

/// Sum of `coefficient * product of atoms`; sorted by product, coefficients non-zero.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Poly {
    terms: Vec<(Vec<Atom>, i64)>,
}

/// A factor of a term.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Atom {
    /// A named symbol.
    Sym(Arc<str>),
    /// Division rounding towards minus infinity; zero where the divisor is zero.
    FloorDiv(Dim, Dim),
    /// Remainder of `FloorDiv`.
    Mod(Dim, Dim),
    /// The smaller of two.
    Min(Dim, Dim),
    /// The larger of two.
    Max(Dim, Dim),
}

impl Poly {
    /// The terms, each a sorted product of atoms and its coefficient.
    pub fn terms(&self) -> &[(Vec<Atom>, i64)] {
        &self.terms
    }
}

/// Inclusive range of values of a symbol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub struct Range {
    /// Smallest value.
    pub lo: i64,
    /// Largest value; `i64::MAX` when unbounded.
    pub hi: i64,
}

/// The symbols of a model and their ranges, in name order.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub struct Symbols(pub BTreeMap<Arc<str>, Range>);

impl Symbols {
    /// Range of `name`; an undeclared symbol may be any non-negative number.
    pub fn range(&self, name: &str) -> Range {
        self.0.get(name).copied().unwrap_or(Range { lo: 0, hi: i64::MAX })
    }

    /// Declares `name`, replacing an earlier range.
    pub fn declare(&mut self, name: &str, lo: i64, hi: i64) {
        self.0.insert(name.into(), Range { lo, hi });
    }
}

impl Default for Dim {
    fn default() -> Dim {
        Dim::Known(0)
    }
}

impl Dim {
    /// A named symbol.
    pub fn sym(name: &str) -> Dim {
        Dim::from_atom(Atom::Sym(name.into()))
    }

    /// The value, when it does not depend on a symbol.
    pub fn known(&self) -> Option<i64> {
        match self {
            Dim::Known(v) => Some(*v),
            Dim::Expr(_) => None,
        }
    }

    /// True for the known value `v`.
    pub fn is(&self, v: i64) -> bool {
        *self == Dim::Known(v)
    }

    fn from_atom(a: Atom) -> Dim {
        Dim::Expr(Arc::new(Poly { terms: vec![(vec![a], 1)] }))
    }

    fn terms(&self) -> Vec<(Vec<Atom>, i64)> {
        match self {
            Dim::Known(0) => vec![],
            Dim::Known(v) => vec![(vec![], *v)],
            Dim::Expr(p) => p.terms.clone(),
        }
    }

    fn from_terms(mut terms: Vec<(Vec<Atom>, i64)>) -> Dim {
        terms.sort();
        let mut out: Vec<(Vec<Atom>, i64)> = Vec::with_capacity(terms.len());
        for (atoms, c) in terms {
            match out.last_mut() {
                Some(last) if last.0 == atoms => last.1 = last.1.saturating_add(c),
                _ => out.push((atoms, c)),
            }
        }
        out.retain(|t| t.1 != 0);
        match out.as_slice() {
            [] => Dim::Known(0),
            [(atoms, c)] if atoms.is_empty() => Dim::Known(*c),
            _ => Dim::Expr(Arc::new(Poly { terms: out })),
        }
    }

    /// `floor(self / d)`. Exact where every coefficient is divisible by a known `d`.
    pub fn floor_div(&self, d: &Dim) -> Dim {
        if let (Some(a), Some(b)) = (self.known(), d.known()) {
            return Dim::Known(floor_div(a, b));
        }
        if d.is(1) {
            return self.clone();
        }
        if self == d {
            return Dim::Known(1);
        }
        if let Some(k) = d.known().filter(|k| *k > 0) {
            // Split off the part that divides exactly: floor((k*q + r)/k) = q + floor(r/k).
            let (whole, rest): (Vec<_>, Vec<_>) = self.terms().into_iter().partition(|t| t.1 % k == 0);
            if !whole.is_empty() {
                let q = Dim::from_terms(whole.into_iter().map(|(a, c)| (a, c / k)).collect());
                return q + Dim::from_terms(rest).floor_div(d);
            }
        } else if let (Dim::Expr(n), Dim::Expr(p)) = (self, d)
            && let ([(na, nc)], [(da, dc)]) = (n.terms.as_slice(), p.terms.as_slice())
        {
            // One product over another: cancel common factors.
            let mut left = na.clone();
            let cancelled = da.iter().all(|f| left.iter().position(|g| g == f).map(|i| left.remove(i)).is_some());
            if cancelled && nc.wrapping_rem(*dc) == 0 {
                return Dim::from_terms(vec![(left, nc.saturating_div(*dc))]);
            }
        } else if let Dim::Expr(p) = d
            && let [(da, dc)] = p.terms.as_slice()
            && *dc == 1
        {
            // A sum over a product: exact when every term holds the product.
            let mut out = vec![];
            for (atoms, c) in self.terms() {
                let mut left = atoms;
                if !da.iter().all(|f| left.iter().position(|g| g == f).map(|i| left.remove(i)).is_some()) {
                    return Dim::from_atom(Atom::FloorDiv(self.clone(), d.clone()));
                }
                out.push((left, c));
            }
            return Dim::from_terms(out);
        }
        Dim::from_atom(Atom::FloorDiv(self.clone(), d.clone()))
    }

    /// `ceil(self / d)`.
    pub fn ceil_div(&self, d: &Dim) -> Dim {
        (self.clone() + d.clone() - Dim::Known(1)).floor_div(d)
    }

    /// Remainder of `floor_div`, with the sign of the divisor.
    pub fn modulo(&self, d: &Dim) -> Dim {
        match (self.known(), d.known()) {
            (Some(a), Some(b)) => Dim::Known(a - floor_div(a, b).saturating_mul(b)),
            _ if d.is(1) || self == d => Dim::Known(0),
            _ => Dim::from_atom(Atom::Mod(self.clone(), d.clone())),
        }
    }

    /// The smaller of two.
    pub fn min_of(&self, o: &Dim) -> Dim {
        match (self.known(), o.known()) {
            (Some(a), Some(b)) => Dim::Known(a.min(b)),
            _ if self == o => self.clone(),
            _ if self <= o => Dim::from_atom(Atom::Min(self.clone(), o.clone())),
            _ => Dim::from_atom(Atom::Min(o.clone(), self.clone())),
        }
    }

    /// The larger of two.
    pub fn max_of(&self, o: &Dim) -> Dim {
        match (self.known(), o.known()) {
            (Some(a), Some(b)) => Dim::Known(a.max(b)),
            _ if self == o => self.clone(),
            _ if self <= o => Dim::from_atom(Atom::Max(self.clone(), o.clone())),
            _ => Dim::from_atom(Atom::Max(o.clone(), self.clone())),
        }
    }

    /// Value for given symbol values; `None` when a symbol is missing.
    pub fn eval(&self, lookup: &dyn Fn(&str) -> Option<i64>) -> Option<i64> {
        let p = match self {
            Dim::Known(v) => return Some(*v),
            Dim::Expr(p) => p,
        };
        let mut sum = 0i64;
        for (atoms, c) in &p.terms {
            let mut prod = *c;
            for a in atoms {
                prod = prod.saturating_mul(match a {
                    Atom::Sym(n) => lookup(n)?,
                    Atom::FloorDiv(x, y) => floor_div(x.eval(lookup)?, y.eval(lookup)?),
                    Atom::Mod(x, y) => {
                        let (x, y) = (x.eval(lookup)?, y.eval(lookup)?);
                        x - floor_div(x, y).saturating_mul(y)
                    }
                    Atom::Min(x, y) => x.eval(lookup)?.min(y.eval(lookup)?),
                    Atom::Max(x, y) => x.eval(lookup)?.max(y.eval(lookup)?),
                });
            }
            sum = sum.saturating_add(prod);
        }
        Some(sum)
    }

    /// The symbol and its value where this is `a*symbol + b` and must equal `value`: how the extents of an input bind symbols.
    /// `None` for other expressions, and where no whole number fits.
    pub fn solve(&self, value: i64) -> Option<(Arc<str>, i64)> {
        let symbols = self.symbols();
        let [name] = symbols.as_slice() else { return None };
        let at = |x: i64| self.eval(&|_| Some(x));
        let (b, ab) = (at(0)?, at(1)?);
        let a = ab.checked_sub(b).filter(|a| *a != 0)?;
        let rest = value.checked_sub(b)?;
        let linear = *self == Dim::sym(name) * Dim::Known(a) + Dim::Known(b);
        (linear && rest % a == 0).then(|| (name.clone(), rest / a))
    }

    /// Replaces symbols; a symbol for which `f` gives `None` stays.
    pub fn substitute(&self, f: &dyn Fn(&str) -> Option<Dim>) -> Dim {
        let p = match self {
            Dim::Known(_) => return self.clone(),
            Dim::Expr(p) => p,
        };
        let mut sum = Dim::Known(0);
        for (atoms, c) in &p.terms {
            let mut prod = Dim::Known(*c);
            for a in atoms {
                prod = prod
                    * match a {
                        Atom::Sym(n) => f(n).unwrap_or_else(|| Dim::sym(n)),
                        Atom::FloorDiv(x, y) => x.substitute(f).floor_div(&y.substitute(f)),
                        Atom::Mod(x, y) => x.substitute(f).modulo(&y.substitute(f)),
                        Atom::Min(x, y) => x.substitute(f).min_of(&y.substitute(f)),
                        Atom::Max(x, y) => x.substitute(f).max_of(&y.substitute(f)),
                    };
            }
            sum = sum + prod;
        }
        sum
    }

    /// Names of the symbols it depends on, sorted, without repetition.
    pub fn symbols(&self) -> Vec<Arc<str>> {
        let mut out = vec![];
        self.collect_symbols(&mut out);
        out.sort();
        out.dedup();
        out
    }

    fn collect_symbols(&self, out: &mut Vec<Arc<str>>) {
        if let Dim::Expr(p) = self {
            for a in p.terms.iter().flat_map(|t| &t.0) {
                match a {
                    Atom::Sym(n) => out.push(n.clone()),
                    Atom::FloorDiv(x, y) | Atom::Mod(x, y) | Atom::Min(x, y) | Atom::Max(x, y) => {
                        x.collect_symbols(out);
                        y.collect_symbols(out);
                    }
                }
            }
        }
    }

    /// Inclusive bounds by interval arithmetic over the symbols' ranges.
    pub fn range(&self, symbols: &Symbols) -> Range {
        let p = match self {
            Dim::Known(v) => return Range { lo: *v, hi: *v },
            Dim::Expr(p) => p,
        };
        let mut sum = Range { lo: 0, hi: 0 };
        for (atoms, c) in &p.terms {
            let mut prod = Range { lo: *c, hi: *c };
            let (whole, rest) = quotients(atoms, symbols);
            for r in whole {
                prod = prod.combine(r, i64::saturating_mul);
            }
            for a in rest {
                let r = match a {
                    Atom::Sym(n) => symbols.range(n),
                    Atom::FloorDiv(x, y) => x.range(symbols).floor_div(y.range(symbols)),
                    Atom::Mod(x, y) => x.range(symbols).modulo(y.range(symbols)),
                    Atom::Min(x, y) => x.range(symbols).combine(y.range(symbols), i64::min),
                    Atom::Max(x, y) => x.range(symbols).combine(y.range(symbols), i64::max),
                };
                prod = prod.combine(r, i64::saturating_mul);
            }
            sum = Range { lo: sum.lo.saturating_add(prod.lo), hi: sum.hi.saturating_add(prod.hi) };
        }
        match self.without_quotient() {
            Some(same) => {
                let r = same.range(symbols);
                Range { lo: sum.lo.max(r.lo), hi: sum.hi.min(r.hi) }
            }
            None => sum,
        }
    }

    /// The same value with `k * floor(a / k)` as `a - a mod k`, where that takes terms away: bounds of `a - k * floor(a / k)`
    /// need it, since its terms vary together.
    fn without_quotient(&self) -> Option<Dim> {
        let Dim::Expr(p) = self else { return None };
        p.terms.iter().find_map(|(atoms, c)| {
            let [Atom::FloorDiv(a, k)] = atoms.as_slice() else { return None };
            let n = k.known().filter(|n| *n > 1 && c % n == 0)?;
            let rest = self.clone() - Dim::from_terms(vec![(atoms.clone(), *c)]);
            let same = rest + (a.clone() - a.modulo(k)) * Dim::Known(c / n);
            (same.terms().len() < p.terms.len() + usize::from(matches!(a, Dim::Expr(_)))).then_some(same)
        })
    }
}

/// Bounds of the factors of a term that are `y * floor(x / y)`, which is at most `x` however large `y` is, and the other factors.
fn quotients<'a>(atoms: &'a [Atom], symbols: &Symbols) -> (Vec<Range>, Vec<&'a Atom>) {
    let mut rest: Vec<&Atom> = atoms.iter().collect();
    let mut whole = vec![];
    for a in atoms {
        let Atom::FloorDiv(x, Dim::Expr(y)) = a else { continue };
        let [(factors, 1)] = y.terms.as_slice() else { continue };
        let (divisor, most) = (Dim::Expr(y.clone()).range(symbols), x.range(symbols));
        let mut left = rest.clone();
        let mut take = |f: &Atom| left.iter().position(|g| *g == f).map(|i| left.remove(i)).is_some();
        if divisor.lo >= 0 && most.lo >= 0 && take(a) && factors.iter().all(take) {
            whole.push(Range { lo: 0, hi: most.hi });
            rest = left;
        }
    }
    (whole, rest)
}

impl Range {
    /// A quotient is largest and smallest at the ends of the dividend and, on each side of zero, of the divisor.
    fn floor_div(self, d: Range) -> Range {
        let ends = [d.lo, d.hi, -1, 0, 1].into_iter().filter(|y| d.lo <= *y && *y <= d.hi);
        ends.map(|y| self.combine(Range { lo: y, hi: y }, floor_div))
            .reduce(|a, b| Range { lo: a.lo.min(b.lo), hi: a.hi.max(b.hi) })
            .unwrap_or(self)
    }

    /// A remainder is between zero and the divisor; by zero it is the dividend.
    fn modulo(self, d: Range) -> Range {
        let r = Range { lo: d.lo.saturating_add(1).min(0), hi: d.hi.saturating_sub(1).max(0) };
        if d.lo <= 0 && d.hi >= 0 { Range { lo: r.lo.min(self.lo), hi: r.hi.max(self.hi) } } else { r }
    }

    fn combine(self, o: Range, f: impl Fn(i64, i64) -> i64) -> Range {
        let all = [f(self.lo, o.lo), f(self.lo, o.hi), f(self.hi, o.lo), f(self.hi, o.hi)];
        Range { lo: *all.iter().min().unwrap_or(&0), hi: *all.iter().max().unwrap_or(&0) }
    }
}

fn floor_div(a: i64, b: i64) -> i64 {
    if b == 0 {
        return 0;
    }
    let q = a.saturating_div(b);
    if (a.wrapping_rem(b) != 0) && ((a < 0) != (b < 0)) { q - 1 } else { q }
}

impl From<usize> for Dim {
    fn from(v: usize) -> Dim {
        Dim::Known(i64::try_from(v).unwrap_or(i64::MAX))
    }
}

impl From<i64> for Dim {
    fn from(v: i64) -> Dim {
        Dim::Known(v)
    }
}

impl From<i32> for Dim {
    fn from(v: i32) -> Dim {
        Dim::Known(v.into())
    }
}

impl Add for Dim {
    type Output = Dim;
    fn add(self, o: Dim) -> Dim {
        if let (Dim::Known(a), Dim::Known(b)) = (&self, &o) {
            return Dim::Known(a.saturating_add(*b));
        }
        let mut t = self.terms();
        t.extend(o.terms());
        Dim::from_terms(t)
    }
}

impl Sub for Dim {
    type Output = Dim;
    fn sub(self, o: Dim) -> Dim {
        self + o * Dim::Known(-1)
    }
}

impl Mul for Dim {
    type Output = Dim;
    fn mul(self, o: Dim) -> Dim {
        if let (Dim::Known(a), Dim::Known(b)) = (&self, &o) {
            return Dim::Known(a.saturating_mul(*b));
        }
        let mut out = vec![];
        for (a, c) in self.terms() {
            for (b, d) in o.terms() {
                let mut atoms = a.clone();
                atoms.extend(b);
                atoms.sort();
                out.push((atoms, c.saturating_mul(d)));
            }
        }
        Dim::from_terms(out)
    }
}

#[cfg(test)]
mod tests;
