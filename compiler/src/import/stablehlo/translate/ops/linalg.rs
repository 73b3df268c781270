//! Cholesky factors and triangular systems, real and complex, by recursion on blocks: halves of a matrix are solved one after
//! the other, with a matrix product between them, down to blocks that are a loop over rows, or to single elements.
//!
//! LAPACK calls (`lapack_*potrf*`, `lapack_*trsm*`) that JAX writes for a CPU are the same operations.

use beiming_ir::ops::{BinaryOp, Op, UnaryOp};
use beiming_ir::types::Dim;

use super::super::cx::Cx;
use super::super::math::{emit, value};
use super::super::value::Val;
use super::lapack::{chosen, counted, flipped, iterate};
use super::{Row, any};
use crate::import::build::Build;
use crate::import::fail::{R, bad_arguments, bad_attribute, unsupported};
use crate::import::frame::V;

pub const OPS: &[Row] = &[any("stablehlo.cholesky", cholesky), any("stablehlo.triangular_solve", triangular_solve)];

/// Most rows of a matrix, and of a complex one: the recursion emits some operations for each block of [`LOOPED`] rows, and a few
/// for each row of a complex matrix.
const LARGEST: [usize; 2] = [1 << 15, 1024];

/// Blocks up to this are written out.
const UNROLLED: usize = 4;

/// Real blocks up to this are a loop over their rows.
const LOOPED: usize = 128;

/// A batch of matrices, `[.., rows, columns]`; complex ones have an imaginary part.
#[derive(Clone, Copy)]
pub struct M {
    re: V,
    im: Option<V>,
}

impl M {
    /// The matrices of an argument.
    pub fn of(x: &Val) -> R<M> {
        match x {
            Val::Plain(v) => Ok(M { re: *v, im: None }),
            Val::Complex(re, im) => Ok(M { re: *re, im: Some(*im) }),
            other => bad_arguments(format!("it takes matrices, not {}", other.kind())),
        }
    }

    /// As a result.
    pub fn val(self) -> Val {
        self.im.map_or(Val::Plain(self.re), |im| Val::Complex(self.re, im))
    }

    fn map(self, mut f: impl FnMut(V) -> R) -> R<M> {
        Ok(M { re: f(self.re)?, im: self.im.map(&mut f).transpose()? })
    }

    /// Rows and columns.
    fn size(self, cx: &Cx<'_, '_>) -> R<(usize, usize)> {
        let Some(last) = cx.rank(self.re).checked_sub(2) else { return bad_arguments("it takes matrices") };
        Ok((cx.extent(self.re, last, "the number of rows")?, cx.extent(self.re, last + 1, "the number of columns")?))
    }

    /// `rows` from `r` on, `columns` from `c` on.
    fn block(self, cx: &mut Cx<'_, '_>, (r, rows): (usize, usize), (c, columns): (usize, usize)) -> R<M> {
        let axis = cx.rank(self.re) - 2;
        let d = |n: usize| Dim::Known(n as i64);
        self.map(|v| {
            let v = cx.slice_axis(v, axis, d(r), d(rows))?;
            cx.slice_axis(v, axis + 1, d(c), d(columns))
        })
    }

    /// Joined below (0) or to the right (1).
    fn join(cx: &mut Cx<'_, '_>, parts: [M; 2], side: usize) -> R<M> {
        let axis = cx.rank(parts[0].re) - 2 + side;
        let re = cx.concat(&[parts[0].re, parts[1].re], axis)?;
        let im = match (parts[0].im, parts[1].im) {
            (Some(a), Some(b)) => Some(cx.concat(&[a, b], axis)?),
            _ => None,
        };
        Ok(M { re, im })
    }

    /// Transposed.
    fn transposed(self, cx: &mut Cx<'_, '_>) -> R<M> {
        let rank = cx.rank(self.re);
        let mut perm: Vec<usize> = (0..rank).collect();
        perm.swap(rank - 2, rank - 1);
        self.map(|v| cx.transpose(v, perm.clone()))
    }

    /// Conjugated.
    fn conj(self, cx: &mut Cx<'_, '_>) -> R<M> {
        Ok(M { re: self.re, im: self.im.map(|v| cx.unary(UnaryOp::Neg, v)).transpose()? })
    }

    fn with(self, o: M, mut f: impl FnMut(V, V) -> R) -> R<M> {
        let re = f(self.re, o.re)?;
        let im = match (self.im, o.im) {
            (Some(a), Some(b)) => Some(f(a, b)?),
            _ => None,
        };
        Ok(M { re, im })
    }

    fn minus(self, cx: &mut Cx<'_, '_>, o: M) -> R<M> {
        self.with(o, |a, b| cx.binary(BinaryOp::Sub, a, b))
    }

    /// Matrix product.
    fn product(self, cx: &mut Cx<'_, '_>, o: M) -> R<M> {
        let out = cx.dtype(self.re);
        let mut times = |a: V, b: V| cx.emit(Op::MatMul { out }, &[a, b]);
        let re = times(self.re, o.re)?;
        let (Some(a), Some(b)) = (self.im, o.im) else { return Ok(M { re, im: None }) };
        let (ii, ri, ir) = (times(a, b)?, times(self.re, b)?, times(a, o.re)?);
        Ok(M { re: cx.binary(BinaryOp::Sub, re, ii)?, im: Some(cx.binary(BinaryOp::Add, ri, ir)?) })
    }

    /// Each element over that of `d`, which has one row and one column and is real if `real`.
    fn over(self, cx: &mut Cx<'_, '_>, d: M) -> R<M> {
        use super::super::math::complex::c;
        match (self.im, d.im) {
            (Some(im), Some(d_im)) => {
                let q = c(value(self.re), value(im)).over(&c(value(d.re), value(d_im)));
                let v = emit(cx, &[&q.re, &q.im])?;
                Ok(M { re: v[0], im: Some(v[1]) })
            }
            _ => self.map(|v| cx.binary(BinaryOp::Div, v, d.re)),
        }
    }

    /// Only the triangle; the rest is zero.
    fn triangle(self, cx: &mut Cx<'_, '_>, lower: bool) -> R<M> {
        let (n, _) = self.size(cx)?;
        let (i, c) = (counted(cx, n, true), counted(cx, n, false));
        let mask = if lower { i.ge(&c) } else { i.le(&c) };
        self.map(|v| Ok(emit(cx, &[&mask.pick(value(v), 0.0)])?[0]))
    }
}

fn cholesky(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let a = M::of(&cx.val(0)?)?;
    let lower = cx.flag("lower")?;
    Ok(vec![factor(cx, a, lower)?.val()])
}

/// The Cholesky factor of the triangle of `a` that `lower` names; the other triangle is zero. NaN where `a` is not positive.
pub fn factor(cx: &mut Cx<'_, '_>, a: M, lower: bool) -> R<M> {
    let (n, m) = a.size(cx)?;
    if n != m {
        return bad_arguments(format!("it takes square matrices, not {n} rows of {m}"));
    }
    limit(a, n)?;
    // The upper factor is the adjoint of the lower one of the adjoint.
    let a = if lower { a } else { a.transposed(cx)?.conj(cx)? };
    let l = if n == 0 { a } else { lower_factor(cx, a, n)?.triangle(cx, true)? };
    if lower { Ok(l) } else { l.transposed(cx)?.conj(cx) }
}

fn limit(a: M, n: usize) -> R<()> {
    let most = LARGEST[usize::from(a.im.is_some())];
    if n > most { unsupported(format!("matrices of {n} rows, above {most}")) } else { Ok(()) }
}

fn lower_factor(cx: &mut Cx<'_, '_>, a: M, n: usize) -> R<M> {
    if a.im.is_none() && (UNROLLED + 1..=LOOPED).contains(&n) {
        return factor_loop(cx, a.re, n);
    }
    if n == 1 {
        let re = cx.unary(UnaryOp::Sqrt, a.re)?;
        let im = a.im.map(|v| cx.full_like(v, 0.0)).transpose()?;
        return Ok(M { re, im });
    }
    let (h, r) = (n / 2, n - n / 2);
    let a11 = a.block(cx, (0, h), (0, h))?;
    let l11 = lower_factor(cx, a11, h)?;
    // L21 L11* = A21: the adjoint of a system with L11.
    let a21 = a.block(cx, (h, r), (0, h))?;
    let right = a21.transposed(cx)?.conj(cx)?;
    let adjoint = substitute(cx, l11, right, h, true, false)?;
    let l21 = adjoint.transposed(cx)?.conj(cx)?;
    let taken = l21.product(cx, adjoint)?;
    let a22 = a.block(cx, (h, r), (h, r))?.minus(cx, taken)?;
    let l22 = lower_factor(cx, a22, r)?;
    let corner = a.block(cx, (0, h), (h, r))?;
    let top = M::join(cx, [l11, corner], 1)?;
    let bottom = M::join(cx, [l21, l22], 1)?;
    M::join(cx, [top, bottom], 0)
}

/// [`lower_factor`] of a real block, column by column; each takes its part off the columns behind it.
fn factor_loop(cx: &mut Cx<'_, '_>, a: V, n: usize) -> R<M> {
    let rank = cx.rank(a);
    let done = iterate(cx, n, &[a], |cx, step, state| {
        let (i, c, j) = (counted(cx, n, true), counted(cx, n, false), value(step));
        let a = value(state[0]);
        let column = chosen(cx, &c.eq(&j), &a, rank, 1)?;
        let d = chosen(cx, &i.eq(&j), &column, rank, 0)?.sqrt();
        let l = i.eq(&j).pick(&d, i.gt(&j).pick(&column / &d, 0.0));
        let down = emit(cx, &[&l])?[0];
        let across = value(flipped(cx, down, rank)?);
        let next = c.eq(&j).pick(value(down), &a - value(down) * c.gt(&j).pick(across, 0.0));
        emit(cx, &[&next])
    })?;
    Ok(M { re: done[0], im: None })
}

/// [`substitute`] of a real block, row by row; each solved row is taken off the rows behind it.
fn substitute_loop(cx: &mut Cx<'_, '_>, a: V, b: V, n: usize, lower: bool, unit: bool) -> R<M> {
    let rank = cx.rank(a);
    let done = iterate(cx, n, &[a, b], |cx, step, state| {
        let (i, c) = (counted(cx, n, true), counted(cx, n, false));
        let j = if lower { value(step) } else { (n - 1) as f64 - value(step) };
        let (a, b) = (value(state[0]), value(state[1]));
        let column = chosen(cx, &c.eq(&j), &a, rank, 1)?;
        let row = chosen(cx, &i.eq(&j), &b, rank, 0)?;
        let row = if unit { row } else { row / chosen(cx, &i.eq(&j), &column, rank, 0)? };
        let behind = if lower { i.gt(&j) } else { i.lt(&j) };
        let next = i.eq(&j).pick(&row, &b - behind.pick(column, 0.0) * &row);
        Ok(vec![state[0], emit(cx, &[&next])?[0]])
    })?;
    Ok(M { re: done[1], im: None })
}

/// `X` of `A X = B` for a triangular `A` of `n` rows; the other triangle is not read.
pub fn substitute(cx: &mut Cx<'_, '_>, a: M, b: M, n: usize, lower: bool, unit: bool) -> R<M> {
    if a.im.is_none() && (UNROLLED + 1..=LOOPED).contains(&n) {
        return substitute_loop(cx, a.re, b.re, n, lower, unit);
    }
    if n == 1 {
        return if unit { Ok(b) } else { b.over(cx, a) };
    }
    let columns = b.size(cx)?.1;
    let (h, r) = (n / 2, n - n / 2);
    let (b1, b2) = (b.block(cx, (0, h), (0, columns))?, b.block(cx, (h, r), (0, columns))?);
    let (a1, a2) = (a.block(cx, (0, h), (0, h))?, a.block(cx, (h, r), (h, r))?);
    let (x1, x2) = if lower {
        let x1 = substitute(cx, a1, b1, h, lower, unit)?;
        let known = a.block(cx, (h, r), (0, h))?.product(cx, x1)?;
        let rest = b2.minus(cx, known)?;
        (x1, substitute(cx, a2, rest, r, lower, unit)?)
    } else {
        let x2 = substitute(cx, a2, b2, r, lower, unit)?;
        let known = a.block(cx, (0, h), (h, r))?.product(cx, x2)?;
        let rest = b1.minus(cx, known)?;
        (substitute(cx, a1, rest, h, lower, unit)?, x2)
    };
    M::join(cx, [x1, x2], 0)
}

/// A triangular system as it is asked for.
pub struct System {
    /// `A X = B`, else `X A = B`.
    pub left: bool,
    /// Which triangle of `A`.
    pub lower: bool,
    /// The diagonal is ones.
    pub unit: bool,
    /// `A` is transposed, and conjugated.
    pub transposed: (bool, bool),
}

/// Solves a triangular system.
pub fn solve(cx: &mut Cx<'_, '_>, a: M, b: M, s: &System) -> R<M> {
    let (n, m) = a.size(cx)?;
    if n != m {
        return bad_arguments(format!("it takes square matrices, not {n} rows of {m}"));
    }
    limit(a, n)?;
    let (rows, columns) = b.size(cx)?;
    if n == 0 || rows == 0 || columns == 0 {
        return Ok(b);
    }
    let a = if s.transposed.1 { a.conj(cx)? } else { a };
    // X A = B is A' X' = B'; each transposition exchanges the triangles.
    let turn = s.transposed.0 == s.left;
    let (a, lower) = if turn { (a.transposed(cx)?, !s.lower) } else { (a, s.lower) };
    if s.left {
        return substitute(cx, a, b, n, lower, s.unit);
    }
    let b = b.transposed(cx)?;
    substitute(cx, a, b, n, lower, s.unit)?.transposed(cx)
}

fn triangular_solve(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (a, b) = (M::of(&cx.val(0)?)?, M::of(&cx.val(1)?)?);
    let transposed = match cx.text_opt("transpose_a")?.unwrap_or("NO_TRANSPOSE") {
        "NO_TRANSPOSE" => (false, false),
        "TRANSPOSE" => (true, false),
        "ADJOINT" => (true, true),
        other => return bad_attribute(format!("`{other}`; allowed are NO_TRANSPOSE, TRANSPOSE, ADJOINT")),
    };
    let s = System { left: cx.flag("left_side")?, lower: cx.flag("lower")?, unit: cx.flag("unit_diagonal")?, transposed };
    Ok(vec![solve(cx, a, b, &s)?.val()])
}
