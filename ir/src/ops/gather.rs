//! Indexed reads and writes.

mod eval;
#[cfg(test)]
mod tests;
use serde::{Deserialize, Serialize};

use super::infer::{ShapeText, arity, check_axis, check_shape};
use super::{InferError, ReduceOp, unify_extent};
use crate::graph::Graph;
use crate::types::{DType, Dim, TensorType};

pub(crate) use eval::{eval_gather, eval_gather_elements, eval_gather_nd, eval_scatter};

/// How the indices address `data`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum ScatterMode {
    /// `indices` and `updates` have equal shape; an index replaces the coordinate of this axis (ONNX `ScatterElements`).
    Elements {
        /// Axis.
        axis: usize,
    },
    /// The last axis of `indices` holds index tuples, `updates` holds slices (ONNX `ScatterND`).
    Nd,
}

/// Scatter: `(data, indices, updates) -> data with updates`. Updates are applied in row-major order; `None` overwrites.
/// Updates whose index is out of range are dropped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Scatter {
    /// Addressing.
    pub mode: ScatterMode,
    /// Combination with what is there: `Sum`, `Prod`, `Max`, `Min`, or overwrite.
    pub reduce: Option<ReduceOp>,
}

fn check_indices(t: &TensorType) -> Result<(), InferError> {
    InferError::check(matches!(t.dtype, DType::I32 | DType::I64), || format!("indices must be i32 or i64, got {t}"))
}

/// Checks that the extents of `part` outside `axis` do not surely exceed those of `whole`.
fn check_within(part: &TensorType, whole: &TensorType, axis: usize, graph: &Graph) -> Result<(), InferError> {
    check_axis(axis, whole)?;
    InferError::check(part.rank() == whole.rank(), || format!("indices {part} and data {whole} differ in rank"))?;
    for (i, (p, w)) in part.shape.iter().zip(&whole.shape).enumerate() {
        let room = (w.clone() - p.clone()).range(&graph.symbols);
        InferError::check(i == axis || room.hi >= 0, || format!("axis {i} of the indices {part} exceeds that of data {whole}"))?;
    }
    Ok(())
}

/// The extent `k` of the last axis of index tuples, which address `room` axes.
fn tuple_size(indices: &TensorType, room: usize) -> Result<usize, InferError> {
    let k = indices.shape.last().and_then(Dim::known).and_then(|k| usize::try_from(k).ok());
    match k {
        Some(k) if k <= room => Ok(k),
        _ => InferError::fail(format!("the last axis of the indices {indices} must be a known extent of at most {room}")),
    }
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_gather(axis: usize, inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 2)?;
    let (data, indices) = (inputs[0], inputs[1]);
    check_indices(indices)?;
    check_axis(axis, data)?;
    let shape = [&data.shape[..axis], &indices.shape, &data.shape[axis + 1..]].concat();
    Ok(vec![TensorType::new(data.dtype, shape)])
}

/// Result types; see [`super::infer()`]. The result has the shape of `indices`, which may be smaller than `data`.
pub(super) fn infer_gather_elements(axis: usize, inputs: &[&TensorType], graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 2)?;
    let (data, indices) = (inputs[0], inputs[1]);
    check_indices(indices)?;
    check_within(indices, data, axis, graph)?;
    Ok(vec![TensorType::new(data.dtype, indices.shape.clone())])
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_gather_nd(batch: usize, inputs: &[&TensorType], graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 2)?;
    let (data, indices) = (inputs[0], inputs[1]);
    check_indices(indices)?;
    InferError::check(batch < indices.rank() && batch <= data.rank(), || {
        format!("{batch} batch axes are too many for data {data} and indices {indices}")
    })?;
    let k = tuple_size(indices, data.rank() - batch)?;
    let mut shape = vec![];
    for (d, i) in data.shape.iter().zip(&indices.shape).take(batch) {
        shape.push(unify_extent(d, i, &graph.symbols)?);
    }
    shape.extend_from_slice(&indices.shape[batch..indices.rank() - 1]);
    shape.extend_from_slice(&data.shape[batch + k..]);
    Ok(vec![TensorType::new(data.dtype, shape)])
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_scatter(p: &Scatter, inputs: &[&TensorType], graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 3)?;
    let (data, indices, updates) = (inputs[0], inputs[1], inputs[2]);
    check_indices(indices)?;
    InferError::check(updates.dtype == data.dtype, || format!("updates {updates} and data {data} differ in element type"))?;
    let able = match p.reduce {
        None => true,
        Some(ReduceOp::Sum | ReduceOp::Prod) => data.dtype != DType::Bool,
        Some(ReduceOp::Max | ReduceOp::Min) => !data.dtype.is_complex(),
        Some(_) => false,
    };
    let name = p.reduce.map_or("", ReduceOp::name);
    InferError::check(able, || {
        format!("cannot combine {} by `{name}`: sum, prod, max and min of numbers are allowed", data.dtype)
    })?;
    let want = match p.mode {
        ScatterMode::Elements { axis } => {
            check_within(indices, data, axis, graph)?;
            indices.shape.clone()
        }
        ScatterMode::Nd => {
            InferError::check(indices.rank() > 0, || "indices need a last axis of index tuples".into())?;
            let k = tuple_size(indices, data.rank())?;
            [&indices.shape[..indices.rank() - 1], &data.shape[k..]].concat()
        }
    };
    let wrong = || format!("updates must have the shape {}, got {updates}", ShapeText(&want));
    check_shape(&want, &updates.shape, &graph.symbols, wrong)?;
    Ok(vec![data.clone()])
}
