//! Operations that move elements: they work on each plane of a complex tensor alike.

use beiming_ir::ops::{BinaryOp, Op, PadMode, Slice};
use beiming_ir::types::{DType, Dim};

use super::super::cx::{Cx, amounts, axes_in};
use super::super::value::Val;
use super::{Row, any, real};
use crate::import::build::Build;
use crate::import::fail::{R, bad_arguments, bad_attribute};
use crate::import::frame::V;

pub const OPS: &[Row] = &[
    any("stablehlo.broadcast", broadcast),
    any("stablehlo.broadcast_in_dim", broadcast_in_dim),
    any("stablehlo.concatenate", concatenate),
    any("stablehlo.dynamic_slice", dynamic_slice),
    any("stablehlo.pad", pad),
    any("stablehlo.reshape", reshape),
    any("stablehlo.reverse", reverse),
    any("stablehlo.slice", slice),
    any("stablehlo.transpose", transpose),
    real("stablehlo.get_dimension_size", dimension_size),
];

fn reshape(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let shape = cx.static_result(0)?;
    let x = cx.val(0)?;
    Ok(vec![cx.map(&x, |cx, v| cx.reshape(v, shape.clone()))?])
}

fn transpose(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let x = cx.val(0)?;
    let perm = cx.axes("permutation", cx.shape_of(&x)?.len())?;
    Ok(vec![cx.map(&x, |cx, v| cx.transpose(v, perm.clone()))?])
}

fn reverse(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let x = cx.val(0)?;
    let mut axes = cx.axes("dimensions", cx.shape_of(&x)?.len())?;
    axes.sort_unstable();
    Ok(vec![cx.map(&x, |cx, v| if axes.is_empty() { Ok(v) } else { cx.emit(Op::Reverse { axes: axes.clone() }, &[v]) })?])
}

fn broadcast(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let x = cx.val(0)?;
    let mut shape: Vec<Dim> = amounts("broadcast_sizes", &cx.ints("broadcast_sizes")?, 0)?.into_iter().map(Dim::from).collect();
    shape.extend(cx.shape_of(&x)?);
    Ok(vec![cx.map(&x, |cx, v| cx.broadcast(v, shape.clone()))?])
}

fn broadcast_in_dim(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let shape = cx.static_result(0)?;
    let x = cx.val(0)?;
    let axes = axes_in("broadcast_dimensions", &cx.ints("broadcast_dimensions")?, shape.len())?;
    Ok(vec![cx.map(&x, |cx, v| spread(cx, v, &axes, shape.clone()))?])
}

/// Brings axis `i` of `v` to axis `axes[i]` of `shape` and repeats it along the others.
pub fn spread(cx: &mut Cx<'_, '_>, v: V, axes: &[usize], shape: Vec<Dim>) -> R {
    let own = cx.shape(v);
    if axes.len() != own.len() {
        return bad_attribute(format!("{} broadcast dimensions for a tensor of rank {}", axes.len(), own.len()));
    }
    let mut order: Vec<usize> = (0..axes.len()).collect();
    order.sort_by_key(|i| axes[*i]);
    if order.windows(2).any(|w| axes[w[0]] == axes[w[1]]) {
        return bad_attribute(format!("broadcast dimensions {axes:?} name one axis twice"));
    }
    let v = cx.transpose(v, order.clone())?;
    let mut with_ones = vec![Dim::from(1); shape.len()];
    for i in &order {
        with_ones[axes[*i]] = own[*i].clone();
    }
    // Leading ones are implied.
    let lead = with_ones.len() - axes.iter().min().map_or(0, |first| with_ones.len() - first);
    let v = cx.reshape(v, with_ones.split_off(lead))?;
    cx.broadcast(v, shape)
}

fn concatenate(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let first = cx.val(0)?;
    let axis = cx.axis("dimension", cx.shape_of(&first)?.len())?;
    let all = cx.args.clone();
    Ok(vec![cx.zip(&all, |cx, parts| cx.concat(parts, axis))?])
}

fn slice(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let x = cx.val(0)?;
    let shape = cx.shape_of(&x)?;
    let rank = shape.len();
    let (start, limit) = (cx.ints("start_indices")?, cx.ints("limit_indices")?);
    let step = cx.ints_or("strides", rank, 1)?;
    if [start.len(), limit.len()] != [rank; 2] {
        return bad_attribute(format!("bounds of {} and {} axes for a tensor of rank {rank}", start.len(), limit.len()));
    }
    let mut s = Slice { start: vec![], len: vec![], step };
    for i in 0..rank {
        let sound = 0 <= start[i] && start[i] <= limit[i] && s.step[i] > 0 && shape[i].known().is_none_or(|e| limit[i] <= e);
        if !sound {
            return bad_attribute(format!("slice {}:{}:{} of axis {i}, of extent {}", start[i], limit[i], s.step[i], shape[i]));
        }
        s.start.push(start[i].into());
        s.len.push(((limit[i] - start[i]).div_euclid(s.step[i]) + i64::from((limit[i] - start[i]) % s.step[i] != 0)).into());
    }
    Ok(vec![cx.map(&x, |cx, v| sliced(cx, v, &s))?])
}

/// A slice; nothing where it takes everything.
pub fn sliced(cx: &mut Cx<'_, '_>, v: V, s: &Slice) -> R {
    let whole = s.len == cx.shape(v) && s.step.iter().all(|k| *k == 1) && s.start.iter().all(|d| d.is(0));
    if whole { Ok(v) } else { cx.emit(Op::Slice(s.clone()), &[v]) }
}

/// Start indices of `rank` axes, given as scalars from argument `from` on: numbers where they are known.
pub enum Starts {
    /// Expressions.
    Known(Vec<Dim>),
    /// `i64[rank]`.
    Computed(V),
}

/// Reads start indices. They are clamped by whoever uses them.
pub fn starts(cx: &mut Cx<'_, '_>, from: usize, rank: usize) -> R<Starts> {
    let scalars = cx.plains(from)?;
    if scalars.len() != rank {
        return bad_arguments(format!("{} start indices for a tensor of rank {rank}", scalars.len()));
    }
    let known: Option<Vec<Dim>> = scalars.iter().map(|v| cx.top().dims_of(*v)?.first().cloned()).collect();
    if let Some(k) = known {
        return Ok(Starts::Known(k));
    }
    let mut parts = vec![];
    for v in scalars {
        let v = index(cx, v)?;
        parts.push(cx.reshape(v, vec![1.into()])?);
    }
    Ok(Starts::Computed(cx.concat(&parts, 0)?))
}

/// Indices as `i64`. Unsigned ones past its range stay past every extent.
pub fn index(cx: &mut Cx<'_, '_>, v: V) -> R {
    let v = match cx.dtype(v) {
        DType::U64 => cx.with(BinaryOp::Min, v, (1u64 << 62) as f64)?,
        _ => v,
    };
    cx.cast(v, DType::I64)
}

fn dynamic_slice(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let x = cx.val(0)?;
    let shape = cx.shape_of(&x)?;
    let len: Vec<Dim> = amounts("slice_sizes", &cx.ints("slice_sizes")?, 0)?.into_iter().map(Dim::from).collect();
    if len.len() != shape.len() {
        return bad_attribute(format!("{} slice sizes for a tensor of rank {}", len.len(), shape.len()));
    }
    match starts(cx, 1, shape.len())? {
        Starts::Known(at) => {
            let start = at.iter().zip(shape.iter().zip(&len)).map(|(s, (e, l))| clamped(cx, s, e, l)).collect();
            let s = Slice { start, step: vec![1; len.len()], len };
            Ok(vec![cx.map(&x, |cx, v| sliced(cx, v, &s))?])
        }
        Starts::Computed(at) => Ok(vec![cx.map(&x, |cx, v| cx.emit(Op::DynamicSlice { shape: len.clone() }, &[v, at]))?]),
    }
}

/// A start index brought into `0..=extent - len`.
pub fn clamped(cx: &Cx<'_, '_>, start: &Dim, extent: &Dim, len: &Dim) -> Dim {
    let most = extent.clone() - len.clone();
    cx.max_dim(&cx.min_dim(start, &most), &0.into())
}

fn pad(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let both = [cx.val(0)?, cx.val(1)?];
    let rank = cx.shape_of(&both[0])?.len();
    let lo = cx.ints_or("edge_padding_low", rank, 0)?.into_iter().map(Dim::from).collect::<Vec<_>>();
    let hi = cx.ints_or("edge_padding_high", rank, 0)?.into_iter().map(Dim::from).collect::<Vec<_>>();
    let between = amounts("interior_padding", &cx.ints_or("interior_padding", rank, 0)?, 0)?;
    let between: Vec<Dim> = between.into_iter().map(Dim::from).collect();
    Ok(vec![cx.zip(&both, |cx, v| padded(cx, v[0], v[1], &lo, &hi, &between))?])
}

/// Padding around and between elements; negative amounts crop.
pub fn padded(cx: &mut Cx<'_, '_>, v: V, value: V, lo: &[Dim], hi: &[Dim], between: &[Dim]) -> R {
    let mut v = v;
    let shape = cx.shape(v);
    if between.iter().any(|n| !n.is(0)) {
        // Each element becomes a row of itself and its padding; the last row's padding goes again.
        let split: Vec<Dim> = shape.iter().flat_map(|e| [e.clone(), 1.into()]).collect();
        let after: Vec<Dim> = between.iter().flat_map(|n| [Dim::from(0), n.clone()]).collect();
        let joined: Vec<Dim> = shape.iter().zip(between).map(|(e, n)| e.clone() * (n.clone() + 1.into())).collect();
        v = cx.reshape(v, split)?;
        v = cx.emit(Op::Pad { lo: vec![0.into(); after.len()], hi: after, mode: PadMode::Constant }, &[v, value])?;
        v = cx.reshape(v, joined.clone())?;
        let len = joined.iter().zip(between).map(|(e, n)| cx.max_dim(&(e.clone() - n.clone()), &0.into())).collect();
        v = sliced(cx, v, &Slice { start: vec![0.into(); shape.len()], len, step: vec![1; shape.len()] })?;
    }
    if lo.iter().chain(hi).all(|d| d.is(0)) {
        return Ok(v);
    }
    cx.emit(Op::Pad { lo: lo.to_vec(), hi: hi.to_vec(), mode: PadMode::Constant }, &[v, value])
}

fn dimension_size(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let x = cx.val(0)?;
    let shape = cx.shape_of(&x)?;
    let axis = cx.axis("dimension", shape.len())?;
    let v = cx.dim_scalar(shape[axis].clone());
    let to = cx.result_dtype(0)?;
    Ok(vec![Val::Plain(cx.cast(v, to)?)])
}
