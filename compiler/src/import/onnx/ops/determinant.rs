//! `Det`: Gaussian elimination with the largest element of a column as its pivot, a column at a time.

use beiming_ir::ops::{BinaryOp, Loop, Op, UnaryOp};
use beiming_ir::types::{DType, Dim, TensorType};

use super::super::node::{Cx, R, bad_arguments, product};
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] = &[row("Det", &[11, 22], 1, det)];

/// `[.., M, M]` to `[..]`.
fn det(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let shape = cx.shape(x);
    let [outer @ .., rows, columns] = shape.as_slice() else { return bad_arguments("its data must have rank 2 or more") };
    if rows.known().zip(columns.known()).is_some_and(|(a, b)| a != b) {
        return bad_arguments(format!("its matrices are not square: {}", cx.ty(x)));
    }
    let (kind, size, count) = (cx.dtype(x), rows.clone(), product(outer));
    let float = if kind == DType::F64 { DType::F64 } else { DType::F32 };
    let x = cx.cast(x, float)?;
    let x = cx.reshape(x, vec![count.clone(), size.clone(), size.clone()])?;
    let one = cx.scalar(float, 1.0);
    let ones = cx.broadcast(one, vec![count])?;
    let inputs = [
        ("column", TensorType::scalar(DType::I64)),
        ("", TensorType::scalar(DType::Bool)),
        ("matrix", cx.ty(x).clone()),
        ("product", cx.ty(ones).clone()),
    ];
    let (body, captures) = cx.region("column", &inputs, |cx, v| {
        let (matrix, product) = eliminate(cx, v[0], v[2], v[3], &size)?;
        Ok(vec![v[1], matrix, product])
    })?;
    let (trips, go) = (cx.dim_scalar(size.clone()), cx.scalar(DType::Bool, 1.0));
    let args: Vec<V> = [trips, go, x, ones].into_iter().chain(captures).collect();
    let y = cx.emit_all(Op::Loop(Loop { body, state: 2, trips: size }), &args)?[1];
    let y = cx.reshape(y, outer.to_vec())?;
    Ok(vec![cx.cast(y, kind)?])
}

/// Clears column `t` of `[B, M, M]` below the diagonal; `[B]` gets its pivot as a factor, with the sign of the exchange of rows.
fn eliminate(cx: &mut Cx<'_, '_>, t: V, matrix: V, product: V, size: &Dim) -> R<(V, V)> {
    let rows = cx.line(DType::I64, size.clone(), 1, 2)?;
    let column = cx.emit(Op::Gather { axis: 2 }, &[matrix, t])?;
    let weight = cx.unary(UnaryOp::Abs, column)?;
    let open = cx.binary(BinaryOp::Ge, rows, t)?;
    let done = cx.scalar_like(weight, -1.0);
    let weight = cx.select(open, weight, done)?;
    let chosen = cx.emit(Op::ArgReduce { max: true, axis: 1, keep: true, last: false }, &[weight])?;
    let upper = cx.emit(Op::Gather { axis: 1 }, &[matrix, t])?;
    let lower = cx.emit(Op::GatherNd { batch: 1 }, &[matrix, chosen])?;
    // The two rows change places.
    let mut exchanged = matrix;
    for (at, with) in [(t, lower), (chosen, upper)] {
        let here = cx.binary(BinaryOp::Eq, rows, at)?;
        let here = cx.unsqueeze(here, 2)?;
        let with = cx.unsqueeze(with, 1)?;
        exchanged = cx.select(here, with, exchanged)?;
    }
    let pivot = cx.emit(Op::Gather { axis: 1 }, &[lower, t])?;
    // Where the pivot is zero so is all below it, and the product from here on.
    let none = cx.with(BinaryOp::Eq, pivot, 0.0)?;
    let one = cx.scalar_like(pivot, 1.0);
    let divisor = cx.select(none, one, pivot)?;
    let divisor = cx.unsqueeze(divisor, 1)?;
    let column = cx.emit(Op::Gather { axis: 2 }, &[exchanged, t])?;
    let factor = cx.binary(BinaryOp::Div, column, divisor)?;
    let below = cx.binary(BinaryOp::Gt, rows, t)?;
    let zero = cx.scalar_like(factor, 0.0);
    let factor = cx.select(below, factor, zero)?;
    let factor = cx.unsqueeze(factor, 2)?;
    let row = cx.unsqueeze(lower, 1)?;
    let taken = cx.binary(BinaryOp::Mul, factor, row)?;
    let matrix = cx.binary(BinaryOp::Sub, exchanged, taken)?;
    let count = cx.shape(product);
    let chosen = cx.reshape(chosen, count)?;
    let stays = cx.binary(BinaryOp::Eq, chosen, t)?;
    let turned = cx.unary(UnaryOp::Neg, pivot)?;
    let pivot = cx.select(stays, pivot, turned)?;
    Ok((matrix, cx.binary(BinaryOp::Mul, product, pivot)?))
}
