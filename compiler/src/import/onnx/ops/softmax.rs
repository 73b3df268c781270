//! Softmax, its logarithm, and the arg-max as a one-hot.

use beiming_ir::ops::{BinaryOp, Op};
use beiming_ir::types::DType;

use super::super::node::{Cx, R, axis_of, product};
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] = &[
    row("Softmax", &[1, 11, 13], 1, |cx| over_axis(cx, |cx, x, axis| softmax(cx, x, axis, false))),
    row("LogSoftmax", &[1, 11, 13], 1, |cx| over_axis(cx, |cx, x, axis| softmax(cx, x, axis, true))),
    row("Hardmax", &[1, 11, 13], 1, |cx| over_axis(cx, hardmax)),
];

/// Before opset 13 the axes from `axis` on were flattened into one; since then `axis` is the one axis.
fn over_axis(cx: &mut Cx<'_, '_>, f: fn(&mut Cx<'_, '_>, V, usize) -> R) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    let axis = cx.int("axis", if cx.since >= 13 { -1 } else { 1 })?;
    if cx.since >= 13 {
        let axis = axis_of(axis, rank)?;
        return Ok(vec![f(cx, x, axis)?]);
    }
    let axis = if axis == rank as i64 { rank } else { axis_of(axis, rank)? };
    if axis + 1 == rank {
        return Ok(vec![f(cx, x, axis)?]);
    }
    let shape = cx.shape(x);
    let flat = cx.reshape(x, vec![product(&shape[..axis]), product(&shape[axis..])])?;
    let y = f(cx, flat, 1)?;
    Ok(vec![cx.reshape(y, shape)?])
}

fn softmax(cx: &mut Cx<'_, '_>, x: V, axis: usize, log: bool) -> R {
    cx.emit(Op::Softmax { axis, log }, &[x])
}

fn hardmax(cx: &mut Cx<'_, '_>, x: V, axis: usize) -> R {
    let at = cx.emit(Op::ArgReduce { max: true, axis, keep: true, last: false }, &[x])?;
    let mut shape = vec![1.into(); cx.rank(x)];
    shape[axis] = cx.shape(x)[axis].clone();
    let index = cx.emit(Op::Iota { dtype: DType::I64, shape, axis }, &[])?;
    let hit = cx.binary(BinaryOp::Eq, at, index)?;
    let dtype = cx.dtype(x);
    cx.cast(hit, dtype)
}
