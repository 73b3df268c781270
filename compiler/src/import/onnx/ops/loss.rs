//! Losses over classes.

use beiming_ir::ops::{BinaryOp, Op, ReduceOp, UnaryOp};
use beiming_ir::types::{DType, Dim};

use super::super::node::{Cx, R, bad_arguments, bad_attribute, product};
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] = &[
    row("NegativeLogLikelihoodLoss", &[12, 13, 22], 3, |cx| {
        let x = cx.input(0)?;
        Ok(vec![likelihood(cx, x)?])
    }),
    row("SoftmaxCrossEntropyLoss", &[12, 13], 3, |cx| {
        let x = cx.input(0)?;
        let log = cx.emit(Op::Softmax { axis: 1, log: true }, &[x])?;
        Ok(vec![likelihood(cx, log)?, log])
    }),
];

/// Minus the logarithm at the target class, weighted, without ignored targets, reduced as the model wants.
fn likelihood(cx: &mut Cx<'_, '_>, log: V) -> R {
    let target = cx.input(1)?;
    let dtype = cx.dtype(log);
    if cx.rank(log) < 2 || cx.rank(target) + 1 != cx.rank(log) {
        return bad_arguments(format!("scores of rank {} need targets of one rank less, not {}", cx.rank(log), cx.rank(target)));
    }
    let shape = cx.shape(target);
    let mut target = cx.cast(target, DType::I64)?;
    let mut counted = None;
    if let Some(ignored) = cx.int_opt("ignore_index")? {
        let ignored = cx.dim_scalar(ignored.into());
        let kept = cx.binary(BinaryOp::Ne, target, ignored)?;
        let zero = cx.dim_scalar(0.into());
        target = cx.select(kept, target, zero)?;
        counted = Some(kept);
    }
    let mut wide = shape.clone();
    wide.insert(1, 1.into());
    let index = cx.reshape(target, wide)?;
    let at = cx.emit(Op::GatherElements { axis: 1 }, &[log, index])?;
    let at = cx.reshape(at, shape.clone())?;
    let mut loss = cx.unary(UnaryOp::Neg, at)?;
    let mut weight = match cx.opt(2) {
        Some(w) => Some(cx.emit(Op::Gather { axis: 0 }, &[w, target])?),
        None => None,
    };
    if let Some(kept) = counted {
        let zero = cx.scalar(dtype, 0.0);
        let one = cx.scalar(dtype, 1.0);
        weight = Some(cx.select(kept, weight.unwrap_or(one), zero)?);
        loss = cx.select(kept, loss, zero)?;
    }
    if let Some(w) = weight {
        loss = cx.binary(BinaryOp::Mul, loss, w)?;
    }
    let axes: Vec<usize> = (0..shape.len()).collect();
    match cx.string("reduction", "mean")?.as_str() {
        "none" => Ok(loss),
        "sum" => cx.reduce(ReduceOp::Sum, loss, axes, false),
        "mean" => {
            let sum = cx.reduce(ReduceOp::Sum, loss, axes.clone(), false)?;
            let total = match weight {
                Some(w) => cx.reduce(ReduceOp::Sum, w, axes, false)?,
                None => {
                    let n: Dim = product(&shape);
                    let n = cx.dim_scalar(n);
                    cx.cast(n, dtype)?
                }
            };
            cx.binary(BinaryOp::Div, sum, total)
        }
        r => bad_attribute(format!("attribute `reduction` is `{r}`; allowed are none, sum, mean")),
    }
}
