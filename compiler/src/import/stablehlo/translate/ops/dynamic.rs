//! Operations whose amounts are arguments. What they depend on is known as expressions over the symbols of the inputs.

use beiming_ir::ops::{Op, Slice};
use beiming_ir::types::Dim;

use super::super::cx::{Cx, axes_in};
use super::super::value::Val;
use super::shape::{index, padded, sliced, spread};
use super::source::{counter, of_real};
use super::{Row, any};
use crate::import::build::Build;
use crate::import::fail::{Fail, R, bad_arguments, unsupported};

pub const OPS: &[Row] = &[
    any("stablehlo.dynamic_broadcast_in_dim", broadcast),
    any("stablehlo.dynamic_iota", iota),
    any("stablehlo.dynamic_pad", pad),
    any("stablehlo.dynamic_reshape", reshape),
    any("stablehlo.real_dynamic_slice", slice),
    any("stablehlo.set_dimension_size", set_size),
];

/// The shape in argument `i`, where the declared result says more if that is a number.
fn shape(cx: &mut Cx<'_, '_>, i: usize) -> R<Vec<Dim>> {
    // What the result is declared to be needs no computing.
    if let Some(declared) = cx.result_shape(0)? {
        return Ok(declared);
    }
    let dims = cx.dims(i)?;
    let declared = cx.result_tensor(0)?;
    if declared.shape.len() != dims.len() {
        return bad_arguments(format!("the shape has {} extents, the result {}", dims.len(), declared.shape.len()));
    }
    let pick = |(d, e): (Dim, &Option<u64>)| match (d.known(), e) {
        (None, Some(e)) => Dim::from(*e as i64),
        _ => d,
    };
    Ok(dims.into_iter().zip(&declared.shape).map(pick).collect())
}

fn reshape(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (x, shape) = (cx.val(0)?, shape(cx, 1)?);
    Ok(vec![cx.map(&x, |cx, v| cx.reshape(v, shape.clone()))?])
}

fn broadcast(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (x, shape) = (cx.val(0)?, shape(cx, 1)?);
    let axes = axes_in("broadcast_dimensions", &cx.ints("broadcast_dimensions")?, shape.len())?;
    Ok(vec![cx.map(&x, |cx, v| spread(cx, v, &axes, shape.clone()))?])
}

fn iota(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let shape = shape(cx, 0)?;
    let axis = cx.axis("iota_dimension", shape.len())?;
    let v = counter(cx, shape, axis)?;
    Ok(vec![of_real(cx, v)?])
}

fn pad(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let both = [cx.val(0)?, cx.val(1)?];
    let rank = cx.shape_of(&both[0])?.len();
    let (lo, hi) = (cx.dims(2)?, cx.dims(3)?);
    let between = cx.dims(4)?;
    if let Some(n) = between.iter().find(|n| n.range(cx.symbols()).lo < 0) {
        return bad_arguments(format!("`{n}` elements between two, which may be less than none"));
    }
    if [lo.len(), hi.len(), between.len()] != [rank; 3] {
        return bad_arguments(format!("it needs {rank} amounts, one an axis"));
    }
    Ok(vec![cx.zip(&both, |cx, v| padded(cx, v[0], v[1], &lo, &hi, &between))?])
}

fn slice(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let x = cx.val(0)?;
    let rank = cx.shape_of(&x)?.len();
    let step = cx.known(3)?;
    let (from, to) = (cx.plain(1)?, cx.plain(2)?);
    if cx.top().dims_of(from).is_none()
        && step.iter().all(|s| *s == 1)
        && let Some(len) = cx.top().distance(from, to)
    {
        let at = index(cx, from)?;
        return Ok(vec![cx.map(&x, |cx, v| cx.emit(Op::DynamicSlice { shape: len.clone() }, &[v, at]))?]);
    }
    // How long it is the declared result says as well, where it holds no `?`.
    if cx.top().dims_of(from).is_none()
        && step.iter().all(|s| *s == 1)
        && let Some(shape) = cx.result_shape(0)?
    {
        let at = index(cx, from)?;
        return Ok(vec![cx.map(&x, |cx, v| cx.emit(Op::DynamicSlice { shape: shape.clone() }, &[v, at]))?]);
    }
    if cx.top().dims_of(from).is_none() && cx.walk.learn_partly(to) {
        return Err(Fail::Poisoned);
    }
    let (start, limit) = (cx.dims(1)?, cx.dims(2)?);
    if [start.len(), limit.len(), step.len()] != [rank; 3] || step.iter().any(|s| *s <= 0) {
        return bad_arguments(format!("it needs {rank} bounds and positive steps, one an axis"));
    }
    let len = (0..rank).map(|i| (limit[i].clone() - start[i].clone()).ceil_div(&step[i].into())).collect();
    let s = Slice { start, len, step };
    Ok(vec![cx.map(&x, |cx, v| sliced(cx, v, &s))?])
}

/// The first `size` elements of an axis.
fn set_size(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let x = cx.val(0)?;
    let axis = cx.axis("dimension", cx.shape_of(&x)?.len())?;
    let given = cx.plain(1)?;
    // A size that only the run knows is the declared one, where that is a number.
    let declared = cx.result_shape(0)?.and_then(|d| d.get(axis).cloned()).filter(|_| cx.top().dims_of(given).is_none());
    let size = match declared {
        Some(size) => size,
        None => match cx.dims(1)?.first() {
            Some(size) => size.clone(),
            None => return unsupported("a size without a value"),
        },
    };
    Ok(vec![cx.map(&x, |cx, v| cx.slice_axis(v, axis, 0.into(), size.clone()))?])
}
