//! `Unique`: rows sorted, compared with the one before, and counted. How many there are is known at run time only.

use beiming_ir::ops::{BinaryOp, Cumulative, Loop, Op, ReduceOp, Scatter, ScatterMode, UnaryOp};
use beiming_ir::types::{DType, Dim, TensorType};

use super::super::node::{Cx, R, axis_of, product};
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] = &[row("Unique", &[11, 28], 1, unique)];

/// Distinct elements, or distinct slices along an axis: themselves, where each is first, which of them each is, and how often. NaNs
/// are all one and come last, as for numpy.
fn unique(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let mut x = cx.input(0)?;
    let axis = match cx.int_opt("axis")? {
        Some(a) => axis_of(a, cx.rank(x))?,
        None => {
            let n = product(&cx.shape(x));
            x = cx.reshape(x, vec![n])?;
            0
        }
    };
    // One row for each element or slice.
    let perm = std::iter::once(axis).chain((0..cx.rank(x)).filter(|a| *a != axis)).collect();
    let rows = cx.transpose(x, perm)?;
    let shape = cx.shape(rows);
    let (n, m) = (shape[0].clone(), product(&shape[1..]));
    let mut rows = cx.reshape(rows, vec![n.clone(), m])?;
    if cx.dtype(rows) == DType::Bool {
        rows = cx.cast(rows, DType::U8)?;
    }
    let order = order_of_rows(cx, rows)?;
    let sorted = cx.emit(Op::Gather { axis: 0 }, &[rows, order])?;
    let at = cx.line(DType::I64, n.clone(), 0, 1)?;
    let before = cx.with(BinaryOp::Sub, at, 1.0)?;
    let before = cx.with(BinaryOp::Max, before, 0.0)?;
    let before = cx.emit(Op::Gather { axis: 0 }, &[sorted, before])?;
    let mut same = cx.binary(BinaryOp::Eq, sorted, before)?;
    if cx.dtype(sorted).is_float() {
        let nan = [cx.unary(UnaryOp::IsNan, sorted)?, cx.unary(UnaryOp::IsNan, before)?];
        let nan = cx.binary(BinaryOp::And, nan[0], nan[1])?;
        same = cx.binary(BinaryOp::Or, same, nan)?;
    }
    let same = cx.reduce(ReduceOp::All, same, vec![1], false)?;
    let differs = cx.unary(UnaryOp::Not, same)?;
    let zeroth = cx.with(BinaryOp::Eq, at, 0.0)?;
    let first = cx.binary(BinaryOp::Or, zeroth, differs)?;
    let zeros = cx.scalar(DType::I64, 0.0);
    let zeros = cx.broadcast(zeros, vec![n.clone()])?;
    // By place among the sorted rows: which of the distinct ones it is.
    let (indices, group) = if cx.flag("sorted", true)? {
        let heads = positions(cx, first)?;
        (cx.emit(Op::Gather { axis: 0 }, &[order, heads])?, numbered(cx, first)?)
    } else {
        // Numbered in the order in which they first occur.
        let marks = cx.cast(first, DType::I64)?;
        let occurs = scatter(cx, zeros, order, marks, None)?;
        let number = numbered(cx, occurs)?;
        let start = cx.select(first, at, zeros)?;
        let start =
            cx.emit(Op::Cumulative(Cumulative { op: ReduceOp::Max, axis: 0, exclusive: false, reverse: false }), &[start])?;
        let owner = cx.emit(Op::Gather { axis: 0 }, &[order, start])?;
        (positions(cx, occurs)?, cx.emit(Op::Gather { axis: 0 }, &[number, owner])?)
    };
    let mut out = vec![cx.emit(Op::Gather { axis }, &[x, indices])?, indices];
    if cx.wants(2) || cx.wants(3) {
        let inverse = scatter(cx, zeros, order, group, None)?;
        let one = cx.scalar(DType::I64, 1.0);
        let ones = cx.broadcast(one, vec![n])?;
        let zero = cx.scalar(DType::I64, 0.0);
        let none = cx.broadcast(zero, cx.shape(indices))?;
        out.extend([inverse, scatter(cx, none, inverse, ones, Some(ReduceOp::Sum))?]);
    }
    Ok(out)
}

/// The order `i64[n]` in which the rows of `[n, m]` are sorted; equal ones stay in order.
fn order_of_rows(cx: &mut Cx<'_, '_>, rows: V) -> R {
    let [n, m]: [Dim; 2] = [cx.shape(rows)[0].clone(), cx.shape(rows)[1].clone()];
    let order = cx.line(DType::I64, n.clone(), 0, 1)?;
    if m.is(1) {
        let keys = cx.reshape(rows, vec![n])?;
        return sorted_by(cx, keys, order);
    }
    // By the last column first: a stable sort by each column before it keeps what the later ones decided.
    let inputs = [("", TensorType::scalar(DType::I64)), ("", TensorType::scalar(DType::Bool)), ("order", cx.ty(order).clone())];
    let (body, captures) = cx.region("columns", &inputs, |cx, v| {
        let rows = cx.capture(rows);
        let last = cx.dim_scalar(m.clone() - 1.into());
        let column = cx.binary(BinaryOp::Sub, last, v[0])?;
        let keys = cx.emit(Op::Gather { axis: 1 }, &[rows, column])?;
        let keys = cx.emit(Op::Gather { axis: 0 }, &[keys, v[2]])?;
        Ok(vec![v[1], sorted_by(cx, keys, v[2])?])
    })?;
    let (trips, go) = (cx.dim_scalar(m.clone()), cx.scalar(DType::Bool, 1.0));
    let args: Vec<V> = [trips, go, order].into_iter().chain(captures).collect();
    cx.emit(Op::Loop(Loop { body, state: 1, trips: m }), &args)
}

/// `values` in the order that sorts `keys`, NaNs last.
fn sorted_by(cx: &mut Cx<'_, '_>, keys: V, values: V) -> R {
    let (key, value) = (TensorType::scalar(cx.dtype(keys)), TensorType::scalar(cx.dtype(values)));
    let inputs = [("a", key.clone()), ("b", key.clone()), ("a_at", value.clone()), ("b_at", value)];
    let (region, _) = cx.region("before", &inputs, |cx, v| {
        let mut less = cx.binary(BinaryOp::Lt, v[0], v[1])?;
        if key.dtype.is_float() {
            let nan = [cx.unary(UnaryOp::IsNan, v[0])?, cx.unary(UnaryOp::IsNan, v[1])?];
            let number = cx.unary(UnaryOp::Not, nan[0])?;
            let nan = cx.binary(BinaryOp::And, number, nan[1])?;
            less = cx.binary(BinaryOp::Or, less, nan)?;
        }
        Ok(vec![less])
    })?;
    Ok(cx.emit_all(Op::SortBy { axis: 0, stable: true, region }, &[keys, values])?[1])
}

/// Positions of the elements of a vector that are not zero.
fn positions(cx: &mut Cx<'_, '_>, x: V) -> R {
    let at = super::select::positions(cx, x)?;
    let count = cx.shape(at)[1].clone();
    cx.reshape(at, vec![count])
}

/// How many elements before and at each place are not zero, less one.
fn numbered(cx: &mut Cx<'_, '_>, x: V) -> R {
    let x = cx.cast(x, DType::I64)?;
    let sum = Cumulative { op: ReduceOp::Sum, axis: 0, exclusive: false, reverse: false };
    let x = cx.emit(Op::Cumulative(sum), &[x])?;
    cx.with(BinaryOp::Sub, x, 1.0)
}

fn scatter(cx: &mut Cx<'_, '_>, data: V, at: V, updates: V, reduce: Option<ReduceOp>) -> R {
    cx.emit(Op::Scatter(Scatter { mode: ScatterMode::Elements { axis: 0 }, reduce }), &[data, at, updates])
}
