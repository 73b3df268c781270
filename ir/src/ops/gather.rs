//! Indexed reads and writes.

use serde::{Deserialize, Serialize};

use super::InferError;
use crate::eval::{Ctx, EvalError};
use crate::graph::Graph;
use crate::tensor::Tensor;
use crate::types::TensorType;

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
    pub reduce: Option<super::ReduceOp>,
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_gather(_axis: usize, _inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_gather(_axis: usize, _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_gather_elements(
    _axis: usize,
    _inputs: &[&TensorType],
    _graph: &Graph,
) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_gather_elements(_axis: usize, _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_gather_nd(_batch: usize, _inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_gather_nd(_batch: usize, _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_scatter(_p: &Scatter, _inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_scatter(_p: &Scatter, _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}
