//! Quantisation: `q = round(x / scale) + zero point`, saturated; `x = (q - zero point) * scale`.

use beiming_ir::ops::{BinaryOp, Op, ReduceOp, UnaryOp};
use beiming_ir::types::{DType, Dim};

use super::super::node::{Cx, R, axis_of, bad_arguments, bad_attribute, product, unsupported};
use super::super::tensor;
use super::conv::{channels_first, convolve};
use super::math::to_quantised;
use super::matmul::product_of;
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] = &[
    row("QuantizeLinear", &[10, 13, 19, 21, 23, 24, 25, 28], 3, quantize),
    row("DequantizeLinear", &[10, 13, 19, 21, 23, 24, 25, 28], 3, dequantize),
    row("DynamicQuantizeLinear", &[11], 1, dynamic_quantize),
    row("QLinearMatMul", &[10, 21], 8, |cx| {
        let a = integer(cx, 0, 2, None)?;
        let b = integer(cx, 3, 5, None)?;
        let y = product_of(cx, a, b, DType::I32)?;
        requantize(cx, y, 1, 4, 6)
    }),
    row("QLinearConv", &[10], 9, |cx| {
        let x = integer(cx, 0, 2, None)?;
        let w = integer(cx, 3, 5, Some(0))?;
        let mut y = convolve(cx, x, w)?;
        if let Some(b) = cx.opt(8) {
            y = cx.binary(BinaryOp::Add, y, b)?;
        }
        let y = requantize(cx, y, 1, 4, 6)?[0];
        Ok(vec![channels_first(cx, y)?])
    }),
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

/// Input `x` less its zero point `z`, as i32; a vector of zero points lies along `axis`.
fn integer(cx: &mut Cx<'_, '_>, x: usize, z: usize, axis: Option<usize>) -> R {
    let (x, z) = (cx.input(x)?, cx.input(z)?);
    if !cx.dtype(x).is_int() {
        return unsupported(format!("products of quantised {}", cx.dtype(x)));
    }
    let rank = cx.rank(x);
    let x = cx.cast(x, DType::I32)?;
    let z = cx.cast(z, DType::I32)?;
    let z = if product(&cx.shape(z)).is(1) {
        cx.reshape(z, vec![])?
    } else if let Some(axis) = axis {
        cx.per_channel(z, axis, rank)?
    } else {
        z
    };
    cx.binary(BinaryOp::Sub, x, z)
}

/// An i32 product as a quantised result: times both scales of the arguments, over that of the result, whose zero point
/// follows it. Scales of channels lie along the last axis.
fn requantize(cx: &mut Cx<'_, '_>, y: V, a: usize, b: usize, out: usize) -> R<Vec<V>> {
    let (sa, sb, so, zero) = (cx.input(a)?, cx.input(b)?, cx.input(out)?, cx.input(out + 1)?);
    let to = cx.dtype(zero);
    let mut t = cx.cast(y, DType::F32)?;
    for (op, s) in [(BinaryOp::Mul, sa), (BinaryOp::Mul, sb), (BinaryOp::Div, so)] {
        let s = cx.cast(s, DType::F32)?;
        let s = if product(&cx.shape(s)).is(1) { cx.reshape(s, vec![])? } else { s };
        t = cx.binary(op, t, s)?;
    }
    let t = cx.unary(UnaryOp::Round, t)?;
    let z = cx.cast(zero, DType::F32)?;
    let z = if product(&cx.shape(z)).is(1) { cx.reshape(z, vec![])? } else { z };
    let t = cx.binary(BinaryOp::Add, t, z)?;
    Ok(vec![cx.cast(t, to)?])
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
