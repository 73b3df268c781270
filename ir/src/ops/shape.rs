//! Ops that move elements without computing.

use serde::{Deserialize, Serialize};

use super::InferError;
use crate::eval::{Ctx, EvalError};
use crate::graph::Graph;
use crate::tensor::Tensor;

use crate::types::{Dim, TensorType};

/// Static slice: result element `i` of an axis is argument element `start + i*step`. All three have one entry an axis.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Slice {
    /// First element taken.
    pub start: Vec<Dim>,
    /// Number of elements.
    pub len: Vec<Dim>,
    /// Step, not zero; may be negative.
    pub step: Vec<i64>,
}

/// What is outside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum PadMode {
    /// The pad value.
    Constant,
    /// Mirror without repeating the border element.
    Reflect,
    /// The border element.
    Edge,
    /// From the other side.
    Wrap,
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_reshape(_shape: &[Dim], _inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_reshape(_shape: &[Dim], _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_transpose(_perm: &[usize], _inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_transpose(_perm: &[usize], _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_broadcast(_shape: &[Dim], _inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_broadcast(_shape: &[Dim], _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_slice(_p: &Slice, _inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_slice(_p: &Slice, _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_dynamic_slice(
    _shape: &[Dim],
    _inputs: &[&TensorType],
    _graph: &Graph,
) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_dynamic_slice(_shape: &[Dim], _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_pad(
    _lo: &[Dim],
    _hi: &[Dim],
    _mode: PadMode,
    _inputs: &[&TensorType],
    _graph: &Graph,
) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_pad(_lo: &[Dim], _hi: &[Dim], _mode: PadMode, _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_concat(_axis: usize, _inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_concat(_axis: usize, _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_reverse(_axes: &[usize], _inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_reverse(_axes: &[usize], _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}
