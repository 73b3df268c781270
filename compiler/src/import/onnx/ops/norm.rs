//! Normalisations. The statistics are core ops; scale and bias are ordinary arithmetic behind them.

use beiming_ir::ops::{BinaryOp, NormKind, Op, Pool, PoolKind, ReduceOp, UnaryOp};
use beiming_ir::types::{DType, Dim};

use super::super::node::{Cx, R, axes_of, axis_of, bad_arguments, bad_attribute, product, unsupported};
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] = &[
    row("BatchNormalization", &[1, 6, 7, 9, 14, 15], 5, batch_norm),
    row("LayerNormalization", &[17], 3, layer_norm),
    row("RMSNormalization", &[23], 2, rms_norm),
    row("InstanceNormalization", &[1, 6, 22], 3, instance_norm),
    row("GroupNormalization", &[18, 21], 3, group_norm),
    row("MeanVarianceNormalization", &[9, 13], 1, mean_variance_norm),
    row("LpNormalization", &[1, 22], 1, lp_norm),
    row("LRN", &[1, 13], 1, local_response_norm),
];

/// `x * scale + bias`, with whichever is there.
fn affine(cx: &mut Cx<'_, '_>, mut x: V, scale: Option<V>, bias: Option<V>) -> R {
    if let Some(s) = scale {
        x = cx.binary(BinaryOp::Mul, x, s)?;
    }
    if let Some(b) = bias {
        x = cx.binary(BinaryOp::Add, x, b)?;
    }
    Ok(x)
}

/// Inference: `(x - mean) / sqrt(var + eps) * scale + bias`, as one factor and one summand a channel.
fn batch_norm(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    if cx.since >= 14 && cx.flag("training_mode", false)? {
        return batch_norm_training(cx);
    }
    if cx.wants(1) && cx.since >= 14 {
        return unsupported("statistics as results outside of training mode");
    }
    if cx.since < 9 && !cx.flag("spatial", true)? {
        return unsupported("statistics for each element (attribute `spatial` = 0)");
    }
    let x = cx.input(0)?;
    let (scale, bias, mean, var) = (cx.input(1)?, cx.input(2)?, cx.input(3)?, cx.input(4)?);
    let (rank, dtype) = (cx.rank(x), cx.dtype(x));
    let eps = cx.float("epsilon", 1e-5)?;
    // Parameters may be wider than the data.
    let wide = cx.dtype(var);
    let t = cx.with(BinaryOp::Add, var, eps)?;
    let t = cx.unary(UnaryOp::Sqrt, t)?;
    let scale = cx.cast(scale, wide)?;
    let factor = cx.binary(BinaryOp::Div, scale, t)?;
    let mean = cx.cast(mean, wide)?;
    let bias = cx.cast(bias, wide)?;
    let t = cx.binary(BinaryOp::Mul, mean, factor)?;
    let summand = cx.binary(BinaryOp::Sub, bias, t)?;
    let (factor, summand) = (cx.cast(factor, dtype)?, cx.cast(summand, dtype)?);
    let axis = usize::from(rank > 1);
    let (factor, summand) = (cx.per_channel(factor, axis, rank)?, cx.per_channel(summand, axis, rank)?);
    Ok(vec![affine(cx, x, Some(factor), Some(summand))?])
}

/// The statistics of a normalisation in f32, where the model wants them and the data is narrower.
fn staged(cx: &mut Cx<'_, '_>, x: V, f: impl FnOnce(&mut Cx<'_, '_>, V) -> R) -> R {
    // `stash_type` 1 is f32, the only value the standard defines for narrow data.
    if cx.int("stash_type", 1)? == 1 { cx.in_f32(x, |cx, x| f(cx, x)) } else { f(cx, x) }
}

/// With the statistics of the data itself, and what they make of those that are kept.
fn batch_norm_training(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let (scale, bias, mean, var) = (cx.input(1)?, cx.input(2)?, cx.input(3)?, cx.input(4)?);
    let (rank, dtype, wide) = (cx.rank(x), cx.dtype(x), cx.dtype(var));
    let (eps, momentum) = (cx.float("epsilon", 1e-5)?, cx.float("momentum", 0.9)?);
    let axis = usize::from(rank > 1);
    let over: Vec<usize> = (0..rank).filter(|a| *a != axis).collect();
    let t = cx.cast(x, wide)?;
    let center = cx.reduce(ReduceOp::Mean, t, over.clone(), true)?;
    let away = cx.binary(BinaryOp::Sub, t, center)?;
    let square = cx.binary(BinaryOp::Mul, away, away)?;
    let spread = cx.reduce(ReduceOp::Mean, square, over, true)?;
    let root = cx.with(BinaryOp::Add, spread, eps)?;
    let root = cx.unary(UnaryOp::Sqrt, root)?;
    let y = cx.binary(BinaryOp::Div, away, root)?;
    let (scale, bias) = (cx.cast(scale, wide)?, cx.cast(bias, wide)?);
    let (scale, bias) = (cx.per_channel(scale, axis, rank)?, cx.per_channel(bias, axis, rank)?);
    let y = affine(cx, y, Some(scale), Some(bias))?;
    let mut out = vec![cx.cast(y, dtype)?];
    for (kept, new) in [(mean, center), (var, spread)] {
        let channels = cx.shape(kept);
        let new = cx.reshape(new, channels)?;
        let new = cx.with(BinaryOp::Mul, new, 1.0 - momentum)?;
        let old = cx.with(BinaryOp::Mul, kept, momentum)?;
        out.push(cx.binary(BinaryOp::Add, old, new)?);
    }
    Ok(out)
}

fn layer_norm(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    let axis = axis_of(cx.int("axis", -1)?, rank)?;
    let eps = cx.float("epsilon", 1e-5)?;
    let y = staged(cx, x, |cx, x| cx.emit(Op::Norm { kind: NormKind::Layer, axis, eps: eps.into() }, &[x]))?;
    let y = affine(cx, y, cx.opt(1), cx.opt(2))?;
    if !cx.wants(1) && !cx.wants(2) {
        return Ok(vec![y]);
    }
    let wide = if cx.dtype(x).size() < 4 { cx.cast(x, DType::F32)? } else { x };
    let axes: Vec<usize> = (axis..rank).collect();
    let mean = cx.reduce(ReduceOp::Mean, wide, axes.clone(), true)?;
    let d = cx.binary(BinaryOp::Sub, wide, mean)?;
    let d = cx.binary(BinaryOp::Mul, d, d)?;
    let var = cx.reduce(ReduceOp::Mean, d, axes, true)?;
    let t = cx.with(BinaryOp::Add, var, eps)?;
    Ok(vec![y, mean, cx.unary(UnaryOp::Rsqrt, t)?])
}

fn rms_norm(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let axis = axis_of(cx.int("axis", -1)?, cx.rank(x))?;
    let eps = cx.float("epsilon", 1e-5)?;
    let y = staged(cx, x, |cx, x| cx.emit(Op::Norm { kind: NormKind::Rms, axis, eps: eps.into() }, &[x]))?;
    let scale = cx.input(1)?;
    let scale = cx.cast(scale, cx.dtype(x))?;
    Ok(vec![affine(cx, y, Some(scale), None)?])
}

fn instance_norm(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    if rank < 3 {
        return bad_arguments(format!("its data must have rank 3 or more, not {rank}"));
    }
    let eps = cx.float("epsilon", 1e-5)?;
    let y = cx.in_f32(x, |cx, x| cx.emit(Op::Norm { kind: NormKind::Layer, axis: 2, eps: eps.into() }, &[x]))?;
    let (scale, bias) = (cx.input(1)?, cx.input(2)?);
    let (scale, bias) = (cx.per_channel(scale, 1, rank)?, cx.per_channel(bias, 1, rank)?);
    Ok(vec![affine(cx, y, Some(scale), Some(bias))?])
}

fn group_norm(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let (rank, shape) = (cx.rank(x), cx.shape(x));
    if rank < 2 {
        return bad_arguments(format!("its data must have rank 2 or more, not {rank}"));
    }
    let groups = match cx.int("num_groups", 0)? {
        g @ 1.. => Dim::from(g),
        g => return bad_attribute(format!("attribute `num_groups` is {g}; it must be positive")),
    };
    let eps = cx.float("epsilon", 1e-5)?;
    let per_group = shape[1].floor_div(&groups);
    if per_group.clone() * groups.clone() != shape[1] {
        return bad_arguments(format!("{} channels do not divide into {groups} groups", shape[1]));
    }
    let mut split = vec![shape[0].clone(), groups.clone(), per_group.clone()];
    split.extend_from_slice(&shape[2..]);
    let x = cx.reshape(x, split.clone())?;
    let y = staged(cx, x, |cx, x| cx.emit(Op::Norm { kind: NormKind::Layer, axis: 2, eps: eps.into() }, &[x]))?;
    let (scale, bias) = (cx.input(1)?, cx.input(2)?);
    if cx.since >= 21 {
        let y = cx.reshape(y, shape)?;
        let (scale, bias) = (cx.per_channel(scale, 1, rank)?, cx.per_channel(bias, 1, rank)?);
        return Ok(vec![affine(cx, y, Some(scale), Some(bias))?]);
    }
    // Before opset 21 there was one scale a group.
    let (scale, bias) = (cx.per_channel(scale, 1, rank + 1)?, cx.per_channel(bias, 1, rank + 1)?);
    let y = affine(cx, y, Some(scale), Some(bias))?;
    Ok(vec![cx.reshape(y, shape)?])
}

/// `(x - mean) / (sqrt(mean(x^2) - mean(x)^2) + 1e-9)`.
fn mean_variance_norm(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let axes = axes_of(&cx.int_list("axes")?.unwrap_or(vec![0, 2, 3]), cx.rank(x))?;
    let mean = cx.reduce(ReduceOp::Mean, x, axes.clone(), true)?;
    let d = cx.binary(BinaryOp::Sub, x, mean)?;
    let square = cx.binary(BinaryOp::Mul, d, d)?;
    let var = cx.reduce(ReduceOp::Mean, square, axes, true)?;
    let std = cx.unary(UnaryOp::Sqrt, var)?;
    let std = cx.with(BinaryOp::Add, std, 1e-9)?;
    Ok(vec![cx.binary(BinaryOp::Div, d, std)?])
}

fn lp_norm(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let axis = axis_of(cx.int("axis", -1)?, cx.rank(x))?;
    let norm = match cx.int("p", 2)? {
        1 => {
            let t = cx.unary(UnaryOp::Abs, x)?;
            cx.reduce(ReduceOp::Sum, t, vec![axis], true)?
        }
        2 => {
            let t = cx.binary(BinaryOp::Mul, x, x)?;
            let t = cx.reduce(ReduceOp::Sum, t, vec![axis], true)?;
            cx.unary(UnaryOp::Sqrt, t)?
        }
        p => return bad_attribute(format!("attribute `p` is {p}; allowed are 1 and 2")),
    };
    // A zero vector stays zero.
    let zero = cx.with(BinaryOp::Eq, norm, 0.0)?;
    let one = cx.scalar_like(x, 1.0);
    let norm = cx.select(zero, one, norm)?;
    Ok(vec![cx.binary(BinaryOp::Div, x, norm)?])
}

/// `x / (bias + alpha/size * sum of squares over size channels)^beta`. The sum is an average pool over the channels as the
/// one spatial axis, times the size.
fn local_response_norm(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let shape = cx.shape(x);
    let size = match cx.int("size", 0)? {
        s @ 1..=0xffff => s as usize,
        s => return bad_attribute(format!("attribute `size` is {s}; it must be positive")),
    };
    if shape.len() < 2 {
        return bad_arguments(format!("its data must have rank 2 or more, not {}", shape.len()));
    }
    let (alpha, beta, bias) = (cx.float("alpha", 0.0001)?, cx.float("beta", 0.75)?, cx.float("bias", 1.0)?);
    let square = cx.binary(BinaryOp::Mul, x, x)?;
    let flat = cx.reshape(square, vec![shape[0].clone(), shape[1].clone(), product(&shape[2..])])?;
    let pads = vec![((size as i64 - 1) / 2, size as i64 / 2)];
    let kind = PoolKind::Avg { padded: true };
    let pool = Pool { kind, window: vec![size], strides: vec![1], dilations: vec![1], pads, ceil: false };
    let mean = cx.emit(Op::Pool(pool), &[flat])?;
    let mean = cx.reshape(mean, shape)?;
    let t = cx.with(BinaryOp::Mul, mean, alpha)?;
    let t = cx.with(BinaryOp::Add, t, bias)?;
    let t = cx.with(BinaryOp::Pow, t, beta)?;
    Ok(vec![cx.binary(BinaryOp::Div, x, t)?])
}
