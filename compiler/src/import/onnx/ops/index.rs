//! Indexed reads and writes.

use beiming_ir::ops::{BinaryOp, Op, ReduceOp, Scatter, ScatterMode};
use beiming_ir::types::{DType, Dim};

use super::super::node::{Cx, R, axis_of, bad_arguments, bad_attribute, product};
use super::{Row, row};
use crate::import::build::Build;
use crate::import::extents;
use crate::import::frame::V;

pub const OPS: &[Row] = &[
    row("Gather", &[1, 11, 13], 2, gather),
    row("GatherElements", &[11, 13], 2, gather_elements),
    row("GatherND", &[11, 12, 13], 2, gather_nd),
    row("Scatter", &[9, 11], 3, scatter_elements),
    row("ScatterElements", &[11, 13, 16, 18], 3, scatter_elements),
    row("ScatterND", &[11, 13, 16, 18], 3, scatter_nd),
    row("OneHot", &[9, 11, 28], 3, one_hot),
    row("Compress", &[9, 11, 28], 2, compress),
    row("ReverseSequence", &[10, 28], 2, reverse_sequence),
];

fn gather(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, i) = (cx.input(0)?, cx.input(1)?);
    let axis = axis_of(cx.int("axis", 0)?, cx.rank(x))?;
    Ok(vec![cx.emit(Op::Gather { axis }, &[x, i])?])
}

fn gather_elements(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, i) = (cx.input(0)?, cx.input(1)?);
    let axis = axis_of(cx.int("axis", 0)?, cx.rank(x))?;
    Ok(vec![cx.emit(Op::GatherElements { axis }, &[x, i])?])
}

fn gather_nd(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, i) = (cx.input(0)?, cx.input(1)?);
    let batch = match cx.int("batch_dims", 0)? {
        b if b >= 0 && b < cx.rank(x).max(1) as i64 => b as usize,
        b => return bad_attribute(format!("attribute `batch_dims` is {b}, for data of rank {}", cx.rank(x))),
    };
    Ok(vec![cx.emit(Op::GatherNd { batch }, &[x, i])?])
}

fn reduction(cx: &Cx<'_, '_>) -> R<Option<ReduceOp>> {
    Ok(match cx.string("reduction", "none")?.as_str() {
        "none" => None,
        "add" => Some(ReduceOp::Sum),
        "mul" => Some(ReduceOp::Prod),
        "max" => Some(ReduceOp::Max),
        "min" => Some(ReduceOp::Min),
        r => return bad_attribute(format!("attribute `reduction` is `{r}`; allowed are none, add, mul, max, min")),
    })
}

fn scatter_elements(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, i, u) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let axis = axis_of(cx.int("axis", 0)?, cx.rank(x))?;
    let reduce = reduction(cx)?;
    Ok(vec![cx.emit(Op::Scatter(Scatter { mode: ScatterMode::Elements { axis }, reduce }), &[x, i, u])?])
}

fn scatter_nd(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, i, u) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let reduce = reduction(cx)?;
    Ok(vec![cx.emit(Op::Scatter(Scatter { mode: ScatterMode::Nd, reduce }), &[x, i, u])?])
}

/// `indices == 0..depth` along a new axis, chosen between the two values. Negative indices count from the end; indices
/// out of range give no hit.
fn one_hot(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (i, values) = (cx.input(0)?, cx.input(2)?);
    let depth = cx.input(1)?;
    let depth = match cx.dtype(depth).is_int() {
        true => extents::read_one(cx, depth, 0, i64::MAX)?,
        false => cx.dim(1)?,
    };
    let rank = cx.rank(i);
    let axis = axis_of(cx.int("axis", -1)?, rank + 1)?;
    let i = cx.cast(i, DType::I64)?;
    let n = cx.dim_scalar(depth.clone());
    let wrapped = cx.binary(BinaryOp::Add, i, n)?;
    let negative = cx.with(BinaryOp::Lt, i, 0.0)?;
    let i = cx.select(negative, wrapped, i)?;
    let mut shape = cx.shape(i);
    shape.insert(axis, 1.into());
    let i = cx.reshape(i, shape)?;
    let mut line = vec![Dim::from(1); rank + 1];
    line[axis] = depth;
    let positions = cx.emit(Op::Iota { dtype: DType::I64, shape: line, axis }, &[])?;
    let hit = cx.binary(BinaryOp::Eq, i, positions)?;
    let mut pair = vec![];
    for k in 0..2i64 {
        let v = cx.slice_axis(values, 0, k.into(), 1.into())?;
        pair.push(cx.reshape(v, vec![])?);
    }
    Ok(vec![cx.select(hit, pair[1], pair[0])?])
}

/// Slices where the condition holds: how many is known at run time only.
fn compress(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (mut x, c) = (cx.input(0)?, cx.input(1)?);
    let axis = match cx.int_opt("axis")? {
        Some(a) => axis_of(a, cx.rank(x))?,
        None => {
            let n = product(&cx.shape(x));
            x = cx.reshape(x, vec![n])?;
            0
        }
    };
    if cx.rank(c) != 1 {
        return bad_arguments(format!("its condition must have rank 1, not {}", cx.rank(c)));
    }
    let indices = super::select::positions(cx, c)?;
    let count = cx.shape(indices)[1].clone();
    let indices = cx.reshape(indices, vec![count])?;
    Ok(vec![cx.emit(Op::Gather { axis }, &[x, indices])?])
}

/// Element `t` of sequence `b` is element `len[b] - 1 - t` where `t < len[b]`, else itself.
fn reverse_sequence(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, lens) = (cx.input(0)?, cx.input(1)?);
    let rank = cx.rank(x);
    let (time, batch) = (axis_of(cx.int("time_axis", 0)?, rank)?, axis_of(cx.int("batch_axis", 1)?, rank)?);
    if time == batch {
        return bad_attribute("time and batch are one axis");
    }
    let shape = cx.shape(x);
    let mut line = vec![Dim::from(1); rank];
    line[time] = shape[time].clone();
    let t = cx.emit(Op::Iota { dtype: DType::I64, shape: line, axis: time }, &[])?;
    let lens = cx.cast(lens, DType::I64)?;
    let lens = cx.per_channel(lens, batch, rank)?;
    let inside = cx.binary(BinaryOp::Lt, t, lens)?;
    let back = cx.binary(BinaryOp::Sub, lens, t)?;
    let back = cx.with(BinaryOp::Sub, back, 1.0)?;
    let index = cx.select(inside, back, t)?;
    let index = cx.broadcast(index, shape)?;
    Ok(vec![cx.emit(Op::GatherElements { axis: time }, &[x, index])?])
}
