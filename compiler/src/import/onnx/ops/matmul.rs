//! Matrix products.

use beiming_ir::ops::{BinaryOp, Op};
use beiming_ir::types::DType;

use super::super::node::{Cx, R, bad_arguments, product};
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] = &[
    row("MatMul", &[1, 9, 13], 2, matmul),
    row("Gemm", &[1, 6, 7, 9, 11, 13], 3, gemm),
    row("MatMulInteger", &[10], 4, matmul_integer),
];

/// Numpy's `matmul`: a vector on the left is a row, on the right a column, and that axis vanishes from the result.
pub fn product_of(cx: &mut Cx<'_, '_>, mut a: V, mut b: V, out: DType) -> R {
    let (ra, rb) = (cx.rank(a), cx.rank(b));
    if ra == 0 || rb == 0 {
        return bad_arguments("a scalar cannot stand in a matrix product");
    }
    if ra == 1 {
        let k = cx.shape(a)[0].clone();
        a = cx.reshape(a, vec![1.into(), k])?;
    }
    if rb == 1 {
        let k = cx.shape(b)[0].clone();
        b = cx.reshape(b, vec![k, 1.into()])?;
    }
    let y = cx.emit(Op::MatMul { out }, &[a, b])?;
    let mut shape = cx.shape(y);
    if rb == 1 {
        shape.pop();
    }
    if ra == 1 {
        shape.remove(shape.len() - if rb == 1 { 1 } else { 2 });
    }
    cx.reshape(y, shape)
}

fn matmul(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let out = cx.dtype(a);
    Ok(vec![product_of(cx, a, b, out)?])
}

fn gemm(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (mut a, mut b) = (cx.input(0)?, cx.input(1)?);
    if cx.rank(a) != 2 || cx.rank(b) != 2 {
        return bad_arguments(format!("its matrices must have rank 2, not {} and {}", cx.rank(a), cx.rank(b)));
    }
    if cx.flag("transA", false)? {
        a = cx.transpose(a, vec![1, 0])?;
    }
    if cx.flag("transB", false)? {
        b = cx.transpose(b, vec![1, 0])?;
    }
    let dtype = cx.dtype(a);
    let mut y = cx.emit(Op::MatMul { out: dtype }, &[a, b])?;
    let (alpha, beta) = (cx.float("alpha", 1.0)?, cx.float("beta", 1.0)?);
    if alpha != 1.0 {
        y = cx.with(BinaryOp::Mul, y, alpha)?;
    }
    if let Some(mut c) = cx.opt(2).filter(|_| beta != 0.0) {
        if beta != 1.0 {
            c = cx.with(BinaryOp::Mul, c, beta)?;
        }
        y = cx.binary(BinaryOp::Add, y, c)?;
    }
    Ok(vec![y])
}

/// `x - zero point` as i32. A vector of zero points is one a row (axis `rank - 2`) of the left side or a column of the right.
pub fn centred(cx: &mut Cx<'_, '_>, x: V, zero: Option<V>, row: bool) -> R {
    let x32 = cx.cast(x, DType::I32)?;
    let Some(z) = zero else { return Ok(x32) };
    if cx.const_of(z).is_some_and(|t| t.to_i64().iter().all(|v| *v == 0)) {
        return Ok(x32);
    }
    let mut z = cx.cast(z, DType::I32)?;
    if cx.rank(z) == 1 {
        let n = product(&cx.shape(z));
        z = if n.is(1) {
            cx.reshape(z, vec![])?
        } else if row && cx.rank(x) > 1 {
            cx.reshape(z, vec![n, 1.into()])?
        } else {
            z
        };
    }
    cx.binary(BinaryOp::Sub, x32, z)
}

fn matmul_integer(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let a = centred(cx, a, cx.opt(2), true)?;
    let b = centred(cx, b, cx.opt(3), false)?;
    Ok(vec![product_of(cx, a, b, DType::I32)?])
}
