//! Matrices under work as formulas, real or complex by one way of writing: what the factorisations are made of.

use beiming_ir::ops::{Op, ReduceOp};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim};

use super::super::cx::Cx;
use super::super::math::complex::c;
use super::super::math::{Ex, emit, value};
use super::super::value::Val;
use super::lapack::{flipped, total};
use crate::import::build::Build;
use crate::import::fail::R;
use crate::import::frame::V;

/// A number or a matrix of them: one formula, or two.
#[derive(Clone, Debug)]
pub struct Z {
    /// Real part.
    pub re: Ex,
    /// Imaginary part; none for real numbers.
    pub im: Option<Ex>,
}

impl Z {
    /// The numbers of one graph value, or of two.
    pub fn from(planes: &[V]) -> Z {
        Z { re: value(planes[0]), im: planes.get(1).map(|v| value(*v)) }
    }

    /// A real number.
    pub fn real(re: Ex) -> Z {
        Z { re, im: None }
    }

    /// The graph values.
    pub fn emit(&self, cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
        let parts: Vec<&Ex> = std::iter::once(&self.re).chain(&self.im).collect();
        emit(cx, &parts)
    }

    fn with(&self, o: &Z, f: impl Fn(&Ex, &Ex) -> Ex) -> Z {
        let zero = |e: &Ex| e * 0.0;
        let im = match (&self.im, &o.im) {
            (Some(a), Some(b)) => Some(f(a, b)),
            (Some(a), None) => Some(f(a, &zero(&o.re))),
            (None, Some(b)) => Some(f(&zero(&self.re), b)),
            (None, None) => None,
        };
        Z { re: f(&self.re, &o.re), im }
    }

    /// Sum.
    pub fn plus(&self, o: &Z) -> Z {
        self.with(o, |a, b| a + b)
    }

    /// Difference.
    pub fn minus(&self, o: &Z) -> Z {
        self.with(o, |a, b| a - b)
    }

    /// Product.
    pub fn times(&self, o: &Z) -> Z {
        match (&self.im, &o.im) {
            (Some(a), Some(b)) => {
                let z = c(self.re.clone(), a.clone()).times(&c(o.re.clone(), b.clone()));
                Z { re: z.re, im: Some(z.im) }
            }
            (Some(_), None) => self.scaled(&o.re),
            _ => o.scaled(&self.re),
        }
    }

    /// Quotient.
    pub fn over(&self, o: &Z) -> Z {
        match (&self.im, &o.im) {
            (_, None) => Z { re: &self.re / &o.re, im: self.im.as_ref().map(|i| i / &o.re) },
            (im, Some(b)) => {
                let own = c(self.re.clone(), im.clone().unwrap_or_else(|| &self.re * 0.0));
                let z = own.over(&c(o.re.clone(), b.clone()));
                Z { re: z.re, im: Some(z.im) }
            }
        }
    }

    /// Times a real number.
    pub fn scaled(&self, s: &Ex) -> Z {
        Z { re: &self.re * s, im: self.im.as_ref().map(|i| i * s) }
    }

    /// Conjugate.
    pub fn conj(&self) -> Z {
        Z { re: self.re.clone(), im: self.im.as_ref().map(|i| -i) }
    }

    /// Square of the absolute value.
    pub fn norm(&self) -> Ex {
        self.im.as_ref().map_or_else(|| self.re.square(), |i| self.re.square() + i.square())
    }

    /// Absolute value, of complex numbers without overflow.
    pub fn abs(&self) -> Ex {
        self.im.as_ref().map_or_else(|| self.re.abs(), |i| c(self.re.clone(), i.clone()).abs())
    }

    /// Elements where the mask holds, zero elsewhere.
    pub fn within(&self, mask: &Ex) -> Z {
        Z { re: mask.pick(&self.re, 0.0), im: self.im.as_ref().map(|i| mask.pick(i, 0.0)) }
    }

    /// These where the mask holds, else the others.
    pub fn unless(mask: &Ex, a: &Z, b: &Z) -> Z {
        a.with(b, |a, b| mask.pick(a, b))
    }

    /// The sum along the rows' axis (0) or the columns' (1), which stays with extent one.
    pub fn total(&self, cx: &mut Cx<'_, '_>, rank: usize, side: usize) -> R<Z> {
        let im = self.im.as_ref().map(|i| total(cx, i, rank, side)).transpose()?;
        Ok(Z { re: total(cx, &self.re, rank, side)?, im })
    }

    /// The element, one a row or column, where the mask holds.
    pub fn chosen(&self, cx: &mut Cx<'_, '_>, mask: &Ex, rank: usize, side: usize) -> R<Z> {
        self.within(mask).total(cx, rank, side)
    }

    /// Rows as columns.
    pub fn turned(&self, cx: &mut Cx<'_, '_>, rank: usize) -> R<Z> {
        let planes = self.emit(cx)?.into_iter().map(|v| flipped(cx, v, rank)).collect::<R<Vec<V>>>()?;
        Ok(Z::from(&planes))
    }
}

/// As a value of the program, in an element type.
pub fn val(cx: &mut Cx<'_, '_>, planes: &[V], dtype: DType) -> R<Val> {
    let cast = planes.iter().map(|v| cx.cast(*v, dtype)).collect::<R<Vec<V>>>()?;
    Ok(match cast[..] {
        [re, im] => Val::Complex(re, im),
        _ => Val::Plain(cast[0]),
    })
}

/// The product of matrices of one kind.
pub fn product(cx: &mut Cx<'_, '_>, a: &[V], b: &[V]) -> R<Vec<V>> {
    let out = cx.dtype(a[0]);
    let mut times = |x: V, y: V| cx.emit(Op::MatMul { out }, &[x, y]);
    let re = times(a[0], b[0])?;
    let (Some(x), Some(y)) = (a.get(1), b.get(1)) else { return Ok(vec![re]) };
    let (ii, ri, ir) = (times(*x, *y)?, times(a[0], *y)?, times(*x, b[0])?);
    emit(cx, &[&(value(re) - value(ii)), &(value(ri) + value(ir))])
}

/// The adjoint: rows as columns, conjugated.
pub fn adjoint(cx: &mut Cx<'_, '_>, a: &[V]) -> R<Vec<V>> {
    let rank = cx.rank(a[0]);
    Z::from(a).conj().turned(cx, rank)?.emit(cx)
}

/// Ones on the diagonal of `[.., rows, columns]`, batched as `like` and of its kind.
pub fn identity(cx: &mut Cx<'_, '_>, like: &[V], rows: usize, columns: usize) -> R<Vec<V>> {
    let dtype = cx.dtype(like[0]);
    let shape = cx.shape(like[0]);
    let shape = [&shape[..shape.len() - 2], &[Dim::from(rows), Dim::from(columns)]].concat();
    let one = |i: usize| Num::Float(f64::from(i / columns.max(1) == i % columns.max(1)));
    let eye = cx.constant(Tensor::build(dtype, &[rows, columns], one));
    let mut out = vec![cx.broadcast(eye, shape.clone())?];
    if like.len() == 2 {
        let zero = cx.scalar(dtype, 0.0);
        out.push(cx.broadcast(zero, shape)?);
    }
    Ok(out)
}

/// The elements on a diagonal, `offset` rows below the main one: `[.., n]`.
pub fn diagonal(cx: &mut Cx<'_, '_>, a: V, n: usize, offset: usize) -> R {
    let rank = cx.rank(a);
    let (i, c) = (
        super::lapack::counted(cx, cx.extent(a, rank - 2, "the number of rows")?, true),
        super::lapack::counted(cx, cx.extent(a, rank - 1, "the number of columns")?, false),
    );
    let on = emit(cx, &[&i.eq(&(c + offset as f64)).pick(value(a), 0.0)])?[0];
    let d = cx.reduce(ReduceOp::Sum, on, vec![rank - 2], false)?;
    cx.slice_axis(d, rank - 2, 0.into(), n.into())
}
