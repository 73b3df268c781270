//! Reductions, arg-reductions and running reductions.

use beiming_ir::ops::{BinaryOp, Cumulative, Op, ReduceOp, UnaryOp};
use beiming_ir::types::DType;

use super::super::node::{Cx, R, axes_of, axis_of, bad_arguments, product};
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

/// Versions of most reductions; since 18 the axes are an input.
const SINCE: &[i64] = &[1, 11, 13, 18];

pub const OPS: &[Row] = &[
    row("ReduceSum", &[1, 11, 13], 2, |cx| reduction(cx, sum)),
    row("ReduceProd", SINCE, 2, |cx| reduction(cx, |cx, x, a| cx.reduce(ReduceOp::Prod, x, a, true))),
    row("ReduceMean", SINCE, 2, |cx| reduction(cx, mean)),
    row("ReduceMax", &[1, 11, 12, 13, 18, 20], 2, |cx| reduction(cx, |cx, x, a| extreme(cx, x, a, ReduceOp::Max))),
    row("ReduceMin", &[1, 11, 12, 13, 18, 20], 2, |cx| reduction(cx, |cx, x, a| extreme(cx, x, a, ReduceOp::Min))),
    row("ReduceL1", SINCE, 2, |cx| reduction(cx, l1)),
    row("ReduceL2", SINCE, 2, |cx| reduction(cx, l2)),
    row("ReduceSumSquare", SINCE, 2, |cx| reduction(cx, sum_square)),
    row("ReduceLogSum", &[1, 11, 13, 18, 28], 2, |cx| reduction(cx, log_sum)),
    row("ReduceLogSumExp", &[1, 11, 13, 18, 28], 2, |cx| reduction(cx, log_sum_exp)),
    row("ArgMax", &[1, 11, 12, 13], 1, |cx| arg_reduce(cx, true)),
    row("ArgMin", &[1, 11, 12, 13], 1, |cx| arg_reduce(cx, false)),
    row("CumSum", &[11, 14], 2, |cx| cumulative(cx, ReduceOp::Sum)),
    row("CumProd", &[26], 2, |cx| cumulative(cx, ReduceOp::Prod)),
];

/// Reads axes and flags, reduces with `f` (which keeps the axes), and drops the axes where the model wants so.
fn reduction(cx: &mut Cx<'_, '_>, f: fn(&mut Cx<'_, '_>, V, Vec<usize>) -> R) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    let input = cx.since >= if cx.node.op_type() == "ReduceSum" { 13 } else { 18 };
    let given = if input { cx.opt(1).map(|_| cx.ints(1)).transpose()? } else { cx.int_list("axes")? };
    let axes = match given.filter(|a| !a.is_empty()) {
        Some(a) => axes_of(&a, rank)?,
        None if input && cx.flag("noop_with_empty_axes", false)? => vec![],
        None => (0..rank).collect(),
    };
    let y = f(cx, x, axes.clone())?;
    if cx.flag("keepdims", true)? {
        return Ok(vec![y]);
    }
    let kept = cx.shape(y).into_iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, d)| d).collect();
    Ok(vec![cx.reshape(y, kept)?])
}

fn sum(cx: &mut Cx<'_, '_>, x: V, axes: Vec<usize>) -> R {
    cx.reduce(ReduceOp::Sum, x, axes, true)
}

fn mean(cx: &mut Cx<'_, '_>, x: V, axes: Vec<usize>) -> R {
    if cx.dtype(x).is_float() {
        return cx.reduce(ReduceOp::Mean, x, axes, true);
    }
    let shape = cx.shape(x);
    let n = product(&axes.iter().map(|a| shape[*a].clone()).collect::<Vec<_>>());
    let total = sum(cx, x, axes)?;
    let n = cx.dim_scalar(n);
    let n = cx.cast(n, cx.dtype(x))?;
    cx.binary(BinaryOp::Div, total, n)
}

fn extreme(cx: &mut Cx<'_, '_>, x: V, axes: Vec<usize>, op: ReduceOp) -> R {
    let op = match (cx.dtype(x), op) {
        (DType::Bool, ReduceOp::Max) => ReduceOp::Any,
        (DType::Bool, _) => ReduceOp::All,
        (_, op) => op,
    };
    cx.reduce(op, x, axes, true)
}

fn l1(cx: &mut Cx<'_, '_>, x: V, axes: Vec<usize>) -> R {
    let t = cx.unary(UnaryOp::Abs, x)?;
    sum(cx, t, axes)
}

fn sum_square(cx: &mut Cx<'_, '_>, x: V, axes: Vec<usize>) -> R {
    let t = cx.binary(BinaryOp::Mul, x, x)?;
    sum(cx, t, axes)
}

/// A float function of an integer reduction: through f64, which holds the sums of the standard's tests exactly.
fn through_float(cx: &mut Cx<'_, '_>, x: V, op: UnaryOp) -> R {
    let dtype = cx.dtype(x);
    if dtype.is_float() {
        return cx.unary(op, x);
    }
    let t = cx.cast(x, DType::F64)?;
    let t = cx.unary(op, t)?;
    cx.cast(t, dtype)
}

fn l2(cx: &mut Cx<'_, '_>, x: V, axes: Vec<usize>) -> R {
    let t = sum_square(cx, x, axes)?;
    through_float(cx, t, UnaryOp::Sqrt)
}

fn log_sum(cx: &mut Cx<'_, '_>, x: V, axes: Vec<usize>) -> R {
    let t = sum(cx, x, axes)?;
    through_float(cx, t, UnaryOp::Log)
}

/// `max + log(sum(exp(x - max)))`; the maximum is taken as zero where it is infinite.
fn log_sum_exp(cx: &mut Cx<'_, '_>, x: V, axes: Vec<usize>) -> R {
    let dtype = cx.dtype(x);
    let x = if dtype.is_float() { x } else { cx.cast(x, DType::F64)? };
    let max = cx.reduce(ReduceOp::Max, x, axes.clone(), true)?;
    let infinite = cx.unary(UnaryOp::IsInf, max)?;
    let zero = cx.scalar_like(x, 0.0);
    let max = cx.select(infinite, zero, max)?;
    let t = cx.binary(BinaryOp::Sub, x, max)?;
    let t = cx.unary(UnaryOp::Exp, t)?;
    let t = sum(cx, t, axes)?;
    let t = cx.unary(UnaryOp::Log, t)?;
    let y = cx.binary(BinaryOp::Add, t, max)?;
    cx.cast(y, dtype)
}

fn arg_reduce(cx: &mut Cx<'_, '_>, max: bool) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let axis = axis_of(cx.int("axis", 0)?, cx.rank(x))?;
    let (keep, last) = (cx.flag("keepdims", true)?, cx.flag("select_last_index", false)?);
    Ok(vec![cx.emit(Op::ArgReduce { max, axis, keep, last }, &[x])?])
}

fn cumulative(cx: &mut Cx<'_, '_>, op: ReduceOp) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let axis = match cx.ints(1)?.as_slice() {
        [a] => axis_of(*a, cx.rank(x))?,
        a => return bad_arguments(format!("its axis must hold one element, not {}", a.len())),
    };
    let (exclusive, reverse) = (cx.flag("exclusive", false)?, cx.flag("reverse", false)?);
    Ok(vec![cx.emit(Op::Cumulative(Cumulative { op, axis, exclusive, reverse }), &[x])?])
}
