//! Operations whose amounts are arguments. What they depend on is known as expressions over the symbols of the inputs, or read by
//! the run; what the declared result says of it is checked by the run.

use beiming_ir::ops::{BinaryOp, Op, Slice};
use beiming_ir::types::{DType, Dim};

use super::super::cx::{Cx, axes_in};
use super::super::value::Val;
use super::shape::{index, padded, sliced, spread};
use super::source::{counter, of_real};
use super::{Row, any};
use crate::import::build::Build;
use crate::import::extents;
use crate::import::fail::{Fail, R, bad_arguments};
use crate::import::frame::V;

pub const OPS: &[Row] = &[
    any("stablehlo.dynamic_broadcast_in_dim", broadcast),
    any("stablehlo.dynamic_iota", iota),
    any("stablehlo.dynamic_pad", pad),
    any("stablehlo.dynamic_reshape", reshape),
    any("stablehlo.real_dynamic_slice", slice),
    any("stablehlo.set_dimension_size", set_size),
];

/// Largest value of a dimension in its range.
fn most(cx: &Cx<'_, '_>, d: &Dim) -> i64 {
    d.range(cx.symbols()).hi
}

/// A value whose elements nothing tells, not even what a value that it is computed from may be learned to be.
fn only_the_run_knows(cx: &mut Cx<'_, '_>, v: V) -> R<bool> {
    if cx.top().dims_of(v).is_some() {
        return Ok(false);
    }
    // Read as extents, these arguments of the program may settle it.
    if cx.walk.learn_valued(v) { Err(Fail::Poisoned) } else { Ok(true) }
}

/// The elements of argument `i` as extents, each at most `hi`; those in `hints` are what they must be.
fn extents_of(cx: &mut Cx<'_, '_>, i: usize, hints: &[Option<Dim>], range: impl Fn(usize) -> (i64, i64)) -> R<Vec<Dim>> {
    let v = cx.plain(i)?;
    only_the_run_knows(cx, v)?;
    extents::read(cx, v, hints, range)
}

/// The elements of argument `i`, which may be negative.
pub fn amounts_of(cx: &mut Cx<'_, '_>, i: usize) -> R<Vec<Dim>> {
    let v = cx.plain(i)?;
    only_the_run_knows(cx, v)?;
    extents::read_signed(cx, v)
}

/// The shape in argument `i`, where the declared result says more if that is a number; `hints` are extents that the shape must
/// have for another reason. The run checks that both say the same.
fn shape(cx: &mut Cx<'_, '_>, i: usize, hints: &[Option<Dim>], hi: i64) -> R<Vec<Dim>> {
    let v = cx.plain(i)?;
    let declared: Vec<Option<Dim>> = cx.result_tensor(0)?.shape.iter().map(|e| e.map(|e| Dim::from(e as i64))).collect();
    if let Some(whole) = cx.result_shape(0)?
        && cx.top().dims_of(v).is_none()
    {
        // What the result is declared to be needs no computing.
        extents::expect(cx, v, &whole)?;
        return Ok(whole);
    }
    let told: Vec<Option<Dim>> = declared.iter().enumerate().map(|(k, d)| d.clone().or_else(|| hints.get(k)?.clone())).collect();
    let dims = extents_of(cx, i, &told, |_| (0, hi))?;
    if declared.len() != dims.len() {
        return bad_arguments(format!("the shape has {} extents, the result {}", dims.len(), declared.len()));
    }
    let mut out = vec![];
    for (d, told) in dims.into_iter().zip(told) {
        out.push(match (d.known(), told) {
            (None, Some(e)) => {
                extents::expect_equal(cx, &d, &e)?;
                e
            }
            (Some(k), Some(e)) if e.known().is_some_and(|e| e != k) => {
                return bad_arguments(format!("its shape holds {k} for an extent of {e}"));
            }
            _ => d,
        });
    }
    Ok(out)
}

fn product(dims: &[Dim]) -> Dim {
    dims.iter().fold(Dim::from(1), |a, d| a * d.clone())
}

fn reshape(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let x = cx.val(0)?;
    let have = product(&cx.shape_of(&x)?);
    let given = cx.plain(1)?;
    let open = cx.result_shape(0)?.is_none() && only_the_run_knows(cx, given)?;
    let r = have.range(cx.symbols());
    let mut shape = shape(cx, 1, &[], if r.lo > 0 { r.hi } else { i64::MAX })?;
    let want = product(&shape);
    if have.known().is_none() || want.known().is_none() {
        extents::expect_equal(cx, &want, &have)?;
    }
    if open
        && r.lo > 0
        && let Some(last) = shape.iter().rposition(|d| d.known().is_none())
    {
        // What has been checked, said so that sizes are bounded by that of the argument.
        shape[last] = Dim::from(1);
        shape[last] = have.floor_div(&product(&shape));
        cx.frame().tell(given, &shape);
    }
    Ok(vec![cx.map(&x, |cx, v| cx.reshape(v, shape.clone()))?])
}

fn broadcast(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let x = cx.val(0)?;
    let own = cx.shape_of(&x)?;
    let rank = cx.result_tensor(0)?.shape.len();
    let axes = axes_in("broadcast_dimensions", &cx.ints("broadcast_dimensions")?, rank)?;
    let equal =
        axes_in("known_nonexpanding_dimensions", &cx.ints_opt("known_nonexpanding_dimensions")?.unwrap_or_default(), own.len())?;
    // An extent other than one is that of the result.
    let mut hints = vec![None; rank];
    for (i, (axis, d)) in axes.iter().zip(&own).enumerate() {
        if equal.contains(&i) || d.known().is_some_and(|k| k != 1) {
            hints[*axis] = Some(d.clone());
        }
    }
    let given = cx.plain(1)?;
    let open = cx.result_shape(0)?.is_none() && only_the_run_knows(cx, given)?;
    let shape = shape(cx, 1, if open { &hints } else { &[] }, i64::MAX)?;
    Ok(vec![cx.map(&x, |cx, v| {
        let mut v = v;
        for (i, axis) in axes.iter().enumerate().take(own.len()) {
            if own[i].known().is_none() && (open || shape[*axis].known().is_some()) {
                v = extents::stretch(cx, v, i, &shape[*axis])?;
            }
        }
        spread(cx, v, &axes, shape.clone())
    })?])
}

fn iota(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let shape = shape(cx, 0, &[], i64::MAX)?;
    let axis = cx.axis("iota_dimension", shape.len())?;
    let v = counter(cx, shape, axis)?;
    Ok(vec![of_real(cx, v)?])
}

fn pad(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let both = [cx.val(0)?, cx.val(1)?];
    let own = cx.shape_of(&both[0])?;
    let rank = own.len();
    let (lo, hi) = (amounts_of(cx, 2)?, amounts_of(cx, 3)?);
    let between = extents_of(cx, 4, &[], |_| (0, i64::MAX))?;
    if let Some(n) = between.iter().find(|n| n.range(cx.symbols()).lo < 0) {
        return bad_arguments(format!("`{n}` elements between two, which may be less than none"));
    }
    if [lo.len(), hi.len(), between.len()] != [rank; 3] {
        return bad_arguments(format!("it needs {rank} amounts, one an axis"));
    }
    let declared = cx.result_tensor(0)?.shape.clone();
    for i in 0..rank {
        let inner = cx.max_dim(&(own[i].clone() + (own[i].clone() - 1.into()) * between[i].clone()), &0.into());
        let extent = inner + lo[i].clone() + hi[i].clone();
        if let Some(want) = declared.get(i).copied().flatten() {
            extents::expect_equal(cx, &extent, &Dim::from(want as i64))?;
        } else if lo[i].known().is_none() || hi[i].known().is_none() {
            // More may be cropped than there is.
            extents::expect_at_most(cx, &(Dim::from(0) - extent), &0.into())?;
        }
    }
    Ok(vec![cx.zip(&both, |cx, v| padded(cx, v[0], v[1], &lo, &hi, &between))?])
}

fn slice(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let x = cx.val(0)?;
    let own = cx.shape_of(&x)?;
    let rank = own.len();
    let (from, to, by) = (cx.plain(1)?, cx.plain(2)?, cx.plain(3)?);
    let unit = cx.top().dims_of(by).is_some_and(|s| s.iter().all(|s| s.is(1)));
    let open_start = cx.top().dims_of(from).is_none();
    if open_start
        && unit
        && let Some(len) = cx.top().distance(from, to)
    {
        let at = index(cx, from)?;
        return Ok(vec![cx.map(&x, |cx, v| cx.emit(Op::DynamicSlice { shape: len.clone() }, &[v, at]))?]);
    }
    let rank_of = |v: V| cx.ty(v).numel().known() == Some(rank as i64);
    if !rank_of(from) || !rank_of(to) || !rank_of(by) {
        return bad_arguments(format!("it needs {rank} bounds and steps, one an axis"));
    }
    // How long it is the declared result says as well, where it holds no `?`.
    if open_start
        && unit
        && let Some(shape) = cx.result_shape(0)?
    {
        let (at, end) = (index(cx, from)?, index(cx, to)?);
        let len = cx.binary(BinaryOp::Sub, end, at)?;
        extents::expect(cx, len, &shape)?;
        within(cx, at, end, &own)?;
        return Ok(vec![cx.map(&x, |cx, v| cx.emit(Op::DynamicSlice { shape: shape.clone() }, &[v, at]))?]);
    }
    if open_start && cx.walk.learn_partly(to) {
        return Err(Fail::Poisoned);
    }
    // What only the run knows is read: steps first, then starts, then how far the ends are from them.
    let step = extents_of(cx, 3, &[], |_| (1, i64::MAX))?;
    if step.iter().any(|s| s.range(cx.symbols()).lo <= 0) {
        return bad_arguments(format!("it needs {rank} bounds and positive steps, one an axis"));
    }
    let limits: Vec<i64> = own.iter().map(|d| most(cx, d)).collect();
    let settled = !only_the_run_knows(cx, from)? && !only_the_run_knows(cx, to)?;
    let (start, distance) = if settled {
        let (start, limit) = (cx.dims(1)?, cx.dims(2)?);
        let distance = limit.into_iter().zip(&start).map(|(l, s)| l - s.clone()).collect();
        (start, distance)
    } else {
        let (at, end) = (index(cx, from)?, index(cx, to)?);
        within(cx, at, end, &own)?;
        let start = extents::read(cx, at, &[], |i| (0, limits[i]))?;
        let distance = cx.binary(BinaryOp::Sub, end, at)?;
        (start, extents::read(cx, distance, &[], |i| (0, limits[i]))?)
    };
    let mut len: Vec<Dim> = distance.iter().zip(&step).map(|(d, s)| d.ceil_div(s)).collect();
    for (l, declared) in len.iter_mut().zip(&cx.result_tensor(0)?.shape) {
        if let Some(want) = declared {
            let want = Dim::from(*want as i64);
            extents::expect_equal(cx, l, &want)?;
            *l = want;
        }
    }
    let known: Option<Vec<i64>> = step.iter().map(Dim::known).collect();
    match known {
        Some(step) => {
            let s = Slice { start, len, step };
            Ok(vec![cx.map(&x, |cx, v| sliced(cx, v, &s))?])
        }
        None => Ok(vec![cx.map(&x, |cx, v| strided(cx, v, &start, &len, &step))?]),
    }
}

/// Has the run check that a window from `at` to `end` lies within a tensor.
fn within(cx: &mut Cx<'_, '_>, at: V, end: V, own: &[Dim]) -> R<()> {
    let zero = cx.scalar(DType::I64, 0.0);
    let before = cx.binary(BinaryOp::Sub, zero, at)?;
    extents::expect_within(cx, before, &vec![0.into(); own.len()])?;
    extents::expect_within(cx, end, own)
}

/// Every `step`-th element from `start` on, for steps that only the run knows.
fn strided(cx: &mut Cx<'_, '_>, x: V, start: &[Dim], len: &[Dim], step: &[Dim]) -> R {
    let mut x = x;
    for axis in 0..len.len() {
        let at = cx.emit(Op::Iota { dtype: DType::I64, shape: vec![len[axis].clone()], axis: 0 }, &[])?;
        let (by, from) = (cx.dim_scalar(step[axis].clone()), cx.dim_scalar(start[axis].clone()));
        let at = cx.binary(BinaryOp::Mul, at, by)?;
        let at = cx.binary(BinaryOp::Add, at, from)?;
        x = cx.emit(Op::Gather { axis }, &[x, at])?;
    }
    Ok(x)
}

/// The first `size` elements of an axis.
fn set_size(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let x = cx.val(0)?;
    let own = cx.shape_of(&x)?;
    let axis = cx.axis("dimension", own.len())?;
    let given = cx.plain(1)?;
    // A size that only the run knows is the declared one, where that is a number.
    let declared = cx.result_shape(0)?.and_then(|d| d.get(axis).cloned()).filter(|_| cx.top().dims_of(given).is_none());
    let size = match declared {
        Some(size) => {
            extents::expect(cx, given, std::slice::from_ref(&size))?;
            size
        }
        None => {
            only_the_run_knows(cx, given)?;
            let hi = most(cx, &own[axis]);
            extents::read_one(cx, given, 0, hi)?
        }
    };
    if size.known().is_none() || own[axis].known().is_none() {
        extents::expect_at_most(cx, &size, &own[axis])?;
    }
    Ok(vec![cx.map(&x, |cx, v| cx.slice_axis(v, axis, 0.into(), size.clone()))?])
}
