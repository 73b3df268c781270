//! Arithmetic as StableHLO's reference interpreter does it, for programs that are computed as written: every product and every sum
//! is rounded to the element type, one after another in row-major order, and nothing is fused or widened.
//!
//! What is here is made of ordinary ops: a contraction is a loop over its depth that multiplies and adds, a reduction a region.
//! Integers need none of it, as they wrap to the same numbers in any order.

use beiming_ir::ops::{BinaryOp, Op, ReduceOp, unify_extent};
use beiming_ir::types::{DType, Dim};

use super::super::cx::Cx;
use super::super::math::complex::{C, c};
use super::super::math::{Ex, emit, value};
use super::super::value::Val;
use super::dot::{Axes, side};
use super::lapack::repeated;
use super::region::{scalars_by, step};
use crate::import::build::Build;
use crate::import::error::Code;
use crate::import::extents::expect_equal;
use crate::import::fail::{Fail, R, SETTLE, bad_attribute};
use crate::import::frame::V;

/// The product of two tensors, each one plane (real) or two (complex), in the type `to`: result axes are batch, free axes of
/// `x`, free axes of `y`. The sum starts from zero and takes the contracted axes in the order in which they are named.
pub fn contract(cx: &mut Cx<'_, '_>, x: &[V], y: &[V], axes: &Axes, to: DType) -> R<Vec<V>> {
    let (xs, ys) = (cx.shape(x[0]), cx.shape(y[0]));
    let mut depth = Dim::from(1);
    for (i, k) in axes.contract[0].iter().zip(&axes.contract[1]) {
        depth = depth * agreed(cx, &xs[*i], &ys[*k])?;
    }
    for (i, k) in axes.batch[0].iter().zip(&axes.batch[1]) {
        agreed(cx, &xs[*i], &ys[*k])?;
    }
    let batch = axes.batch[0].len();
    // Both sides as [batch.., depth, rows, columns], the one with a single column and the other with a single row.
    let (mut planes, mut rows, mut columns) = (vec![], vec![], vec![]);
    for (from, which) in [(x, 0), (y, 1)] {
        for v in from {
            let v = cx.cast(*v, to)?;
            let (v, free) = side(cx, v, &axes.batch[which], &axes.contract[which], true)?;
            let mut shape = cx.shape(v);
            shape.insert(batch + 1 + (1 - which), 1.into());
            planes.push(cx.reshape(v, shape)?);
            if which == 0 { rows = free } else { columns = free }
        }
    }
    let product = |free: &[Dim]| free.iter().fold(Dim::from(1), |n, d| n * d.clone());
    let shared = axes.batch[0].iter().map(|i| xs[*i].clone()).collect::<Vec<_>>();
    let zero = cx.scalar(to, 0.0);
    let zero = cx.broadcast(zero, [shared.as_slice(), &[product(&rows), product(&columns)]].concat())?;
    let trips = cx.dim_scalar(depth.clone());
    let sums = repeated(cx, trips, depth, &vec![zero; x.len()], |cx, at, sums| {
        let mut here = vec![];
        for v in &planes {
            let v = cx.walk.capture(*v)?;
            here.push(value(cx.emit(Op::Gather { axis: batch }, &[v, at])?));
        }
        let (a, b) = here.split_at(x.len());
        let next: Vec<Ex> = match (a, b) {
            ([ar, ai], [br, bi]) => {
                let C { re, im } = c(ar.clone(), ai.clone()).times(&c(br.clone(), bi.clone()));
                vec![value(sums[0]) + re, value(sums[1]) + im]
            }
            _ => vec![value(sums[0]) + &a[0] * &b[0]],
        };
        emit(cx, &next.iter().collect::<Vec<_>>())
    })?;
    let shape = [shared, rows, columns].concat();
    sums[..x.len()].iter().map(|v| cx.reshape(*v, shape.clone())).collect()
}

/// The extent that two axes share; the run checks what nothing shows before.
fn agreed(cx: &mut Cx<'_, '_>, a: &Dim, b: &Dim) -> R<Dim> {
    let shared = match unify_extent(a, b, cx.symbols()) {
        Ok(d) => d,
        Err(e) => match e.unequal {
            Some(pair) if cx.unequal(&pair.0, &pair.1) => a.clone(),
            _ if a.known().is_some() && b.known().is_some() => return Err(Fail::Invalid(Code::Arguments, e.message)),
            _ => return Err(Fail::Unsupported(format!("{}; {SETTLE}", e.message))),
        },
    };
    expect_equal(cx, a, b)?;
    Ok(shared)
}

/// A sum, product or mean over axes, element by element.
pub fn reduce(cx: &mut Cx<'_, '_>, op: ReduceOp, x: V, axes: Vec<usize>, keep: bool) -> R {
    let shape = cx.shape(x);
    let count = axes.iter().fold(Dim::from(1), |n, a| n * shape[*a].clone());
    let like = [Val::Plain(x), Val::Plain(x)];
    let (op_of, op, function, loc) = (step(op), op, cx.op, cx.loc.clone());
    let around = cx.function;
    let region = scalars_by(cx, &like, None, |walk, args| {
        let mut cx = Cx { walk, op: function, function: around, args: args.to_vec(), loc };
        let (a, b) = (cx.plain(0)?, cx.plain(1)?);
        Ok(vec![Val::Plain(cx.binary(op_of, a, b)?)])
    })?;
    let start = cx.scalar_like(x, if op == ReduceOp::Prod { 1.0 } else { 0.0 });
    let mut v = cx.emit(Op::ReduceWith { axes: axes.clone(), region }, &[x, start])?;
    if op == ReduceOp::Mean {
        let count = cx.dim_scalar(count);
        let count = cx.cast(count, cx.dtype(x))?;
        v = cx.binary(BinaryOp::Div, v, count)?;
    }
    if !keep {
        return Ok(v);
    }
    let kept = (0..shape.len()).map(|a| if axes.contains(&a) { 1.into() } else { shape[a].clone() }).collect();
    cx.reshape(v, kept)
}

/// How a window moves along each spatial axis.
pub struct Windows<'a> {
    /// Step of the window.
    pub strides: &'a [usize],
    /// Distance of taps.
    pub dilations: &'a [usize],
    /// Whether the first tap reads the last element of the window.
    pub reversed: &'a [bool],
}

/// A convolution of padded data `[N, S.., groups * C]` and weights `[K.., C, O]` as products of windows, which take a window's taps
/// in the order of the weights and of each its features: `[N, S'.., O]`.
pub fn convolve(cx: &mut Cx<'_, '_>, x: V, w: V, groups: usize, geometry: &Windows) -> R {
    let n = geometry.strides.len();
    let taps = cx.shape(w)[..n].to_vec();
    let mut x = x;
    // From the last axis to the first, so that those still to come keep their places.
    for i in (0..n).rev() {
        let (k, dilation) = (taps[i].clone(), geometry.dilations[i]);
        let span = (k.clone() - 1.into()) * Dim::from(dilation);
        let places = (cx.shape(x)[1 + i].clone() - span - 1.into()).floor_div(&Dim::from(geometry.strides[i])) + 1.into();
        let shape = vec![places, k.clone()];
        let at = cx.emit(Op::Iota { dtype: DType::I64, shape: shape.clone(), axis: 0 }, &[])?;
        let tap = cx.emit(Op::Iota { dtype: DType::I64, shape, axis: 1 }, &[])?;
        let tap = if geometry.reversed[i] {
            let last = cx.dim_scalar(k - 1.into());
            cx.binary(BinaryOp::Sub, last, tap)?
        } else {
            tap
        };
        let (at, tap) = (cx.with(BinaryOp::Mul, at, geometry.strides[i] as f64)?, cx.with(BinaryOp::Mul, tap, dilation as f64)?);
        let at = cx.binary(BinaryOp::Add, at, tap)?;
        x = cx.emit(Op::Gather { axis: 1 + i }, &[x, at])?;
    }
    // [N, S0', K0, S1', K1, .., C]
    let split = |v: V, cx: &mut Cx<'_, '_>, axis: usize, first: bool| {
        let mut shape = cx.shape(v);
        let whole = shape[axis].clone();
        let (g, each) = (Dim::from(groups), whole.floor_div(&Dim::from(groups)));
        if each.clone() * g.clone() != whole {
            return bad_attribute(format!("{whole} features do not divide into {groups} groups"));
        }
        shape.splice(axis..=axis, if first { [g, each] } else { [each, g] });
        cx.reshape(v, shape)
    };
    let channels = 2 * n + 1;
    let x = split(x, cx, channels, true)?;
    let w = split(w, cx, n + 1, true)?;
    let axes = Axes {
        batch: [vec![channels], vec![n + 1]],
        contract: [(0..n).map(|i| 2 + 2 * i).chain([channels + 1]).collect(), (0..=n).collect()],
    };
    let to = cx.dtype(x);
    let y = contract(cx, &[x], &[w], &axes, to)?[0];
    // [groups, N, S'.., O / groups]
    let y = cx.transpose(y, (1..n + 2).chain([0, n + 2]).collect())?;
    let mut shape = cx.shape(y);
    let each = shape.split_off(n + 1).into_iter().fold(Dim::from(1), |a, d| a * d);
    shape.push(each);
    cx.reshape(y, shape)
}

/// `e^(x + log 1/2) - e^(log 1/2 - x)`, and for small `x` by `e^x - 1`, as the CHLO dialect expands its `sinh`.
pub fn sinh(x: &Ex) -> Ex {
    let half = 0.5f64.ln();
    let large = (x + half).exp() - (half - x).exp();
    let e = x.expm1();
    let small = 0.5 * (&e + &e / (&e + 1.0));
    x.abs().lt(1.0).pick(small, large)
}

/// `e^(x + log 1/2) + e^(log 1/2 - x)`, as the CHLO dialect expands its `cosh`.
pub fn cosh(x: &Ex) -> Ex {
    let half = 0.5f64.ln();
    (x + half).exp() + (half - x).exp()
}
