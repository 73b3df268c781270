//! Quantisation: `q = round(x / scale) + zero point`, saturated; `x = (q - zero point) * scale`.

use beiming_ir::ops::{BinaryOp, Op, ReduceOp, UnaryOp};
use beiming_ir::types::{DType, Dim};

use super::super::frame::V;
use super::super::node::{Cx, R, axis_of, bad_arguments, bad_attribute, product, unsupported};
use super::super::tensor;
use super::math::to_quantised;
use super::{Row, row};

pub const OPS: &[Row] = &[
    row("QuantizeLinear", &[10, 13, 19, 21, 23, 24, 25, 28], 3, quantize),
    row("DequantizeLinear", &[10, 13, 19, 21, 23, 24, 25, 28], 3, dequantize),
    row("DynamicQuantizeLinear", &[11], 1, dynamic_quantize),
];

/// A scale or zero point, shaped to broadcast against `x`: for the whole tensor, for an axis, or for blocks of an axis.
fn parameter(cx: &mut Cx<'_, '_>, x: V, p: V) -> R {
    let (rank, n) = (cx.rank(x), product(&cx.shape(p)));
    if cx.rank(p) == 0 || (cx.rank(p) == 1 && n.is(1)) {
        return cx.reshape(p, vec![]);
    }
    let axis = cx.int("axis", 1)?;
    let block = cx.int("block_size", 0)?;
    if block < 0 {
        return bad_attribute(format!("attribute `block_size` is {block}; it cannot be negative"));
    }
    if block == 0 {
        if cx.rank(p) != 1 {
            return bad_arguments(format!("a scale of rank {} needs a `block_size`", cx.rank(p)));
        }
        let axis = axis_of(axis, rank)?;
        return cx.per_channel(p, axis, rank);
    }
    // Each element stands for `block` neighbours along the axis: repeat it, and cut what the last block has too many.
    let axis = axis_of(axis, rank)?;
    if cx.rank(p) != rank {
        return bad_arguments(format!("a blocked scale must have rank {rank}, as the data, not {}", cx.rank(p)));
    }
    let mut wide = cx.shape(p);
    wide.insert(axis + 1, 1.into());
    let t = cx.reshape(p, wide.clone())?;
    wide[axis + 1] = Dim::from(block);
    let t = cx.broadcast(t, wide.clone())?;
    let merged = wide.remove(axis + 1) * wide[axis].clone();
    wide[axis] = merged;
    let t = cx.reshape(t, wide)?;
    let want = cx.shape(x)[axis].clone();
    cx.slice_axis(t, axis, 0.into(), want)
}

fn quantize(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, scale) = (cx.input(0)?, cx.input(1)?);
    let to = match (cx.opt(2), cx.int("output_dtype", 0)?) {
        (Some(z), _) => cx.dtype(z),
        (None, 0) => DType::U8,
        (None, code) => tensor::dtype(i32::try_from(code).unwrap_or(-1))?,
    };
    if to == DType::F4E2M1 {
        return unsupported("quantisation to f4e2m1");
    }
    // Computed in the type of the scale, at least f32.
    let wide = if cx.dtype(scale) == DType::F64 { DType::F64 } else { DType::F32 };
    let x = cx.cast(x, wide)?;
    let scale = cx.cast(scale, wide)?;
    let s = parameter(cx, x, scale)?;
    let mut t = cx.binary(BinaryOp::Div, x, s)?;
    if to.is_int() {
        t = cx.unary(UnaryOp::Round, t)?;
    }
    if let Some(z) = cx.opt(2) {
        let z = cx.cast(z, wide)?;
        let z = parameter(cx, x, z)?;
        t = cx.binary(BinaryOp::Add, t, z)?;
    }
    let saturating = cx.flag("saturate", true)?;
    Ok(vec![to_quantised(cx, t, to, saturating)?])
}

fn dequantize(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, scale) = (cx.input(0)?, cx.input(1)?);
    let to = match cx.int("output_dtype", 0)? {
        0 => cx.dtype(scale),
        code => tensor::dtype(i32::try_from(code).unwrap_or(-1))?,
    };
    let wide = if cx.dtype(scale) == DType::F64 { DType::F64 } else { DType::F32 };
    let mut t = if cx.dtype(x) == DType::I32 && cx.opt(2).is_some() { x } else { cx.cast(x, wide)? };
    if let Some(z) = cx.opt(2) {
        let z = cx.cast(z, cx.dtype(t))?;
        let z = parameter(cx, x, z)?;
        t = cx.binary(BinaryOp::Sub, t, z)?;
    }
    let t = cx.cast(t, wide)?;
    let scale = cx.cast(scale, wide)?;
    let s = parameter(cx, x, scale)?;
    let y = cx.binary(BinaryOp::Mul, t, s)?;
    Ok(vec![cx.cast(y, to)?])
}

/// Scale and zero point from the range of the data, which always includes zero.
fn dynamic_quantize(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let axes: Vec<usize> = (0..cx.rank(x)).collect();
    let hi = cx.emit(Op::Reduce { op: ReduceOp::Max, axes: axes.clone(), keep: false }, &[x])?;
    let lo = cx.emit(Op::Reduce { op: ReduceOp::Min, axes, keep: false }, &[x])?;
    let hi = cx.with(BinaryOp::Max, hi, 0.0)?;
    let lo = cx.with(BinaryOp::Min, lo, 0.0)?;
    let range = cx.binary(BinaryOp::Sub, hi, lo)?;
    let scale = cx.with(BinaryOp::Div, range, 255.0)?;
    // All zeros: any scale is right, and one avoids a division by zero.
    let none = cx.with(BinaryOp::Eq, scale, 0.0)?;
    let one = cx.scalar_like(x, 1.0);
    let divisor = cx.select(none, one, scale)?;
    let z = cx.binary(BinaryOp::Div, lo, divisor)?;
    let z = cx.unary(UnaryOp::Neg, z)?;
    let z = cx.unary(UnaryOp::Round, z)?;
    let zero = cx.cast(z, DType::U8)?;
    let t = cx.binary(BinaryOp::Div, x, divisor)?;
    let t = cx.unary(UnaryOp::Round, t)?;
    let z = cx.cast(zero, cx.dtype(x))?;
    let t = cx.binary(BinaryOp::Add, t, z)?;
    Ok(vec![cx.cast(t, DType::U8)?, scale, zero])
}
