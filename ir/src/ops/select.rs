//! Data-dependent selection: sorting and suppression.

use serde::{Deserialize, Serialize};

use super::InferError;
use crate::eval::{Ctx, EvalError};
use crate::graph::Graph;
use crate::tensor::Tensor;

use crate::types::{Dim, TensorType};

/// The `k` largest or smallest along an axis, ties by lower index. `sorted` is always honoured.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct TopK {
    /// How many.
    pub k: Dim,
    /// Axis.
    pub axis: usize,
    /// Largest first, else smallest first.
    pub largest: bool,
}

/// Non-maximum suppression, as ONNX `NonMaxSuppression`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Nms {
    /// Boxes are `(x_center, y_center, width, height)` instead of two corners `(y1, x1, y2, x2)`.
    pub center: bool,
    /// Name of the dimension that counts the results; its value is known after the op has run.
    pub count: Dim,
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_topk(_p: &TopK, _inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_topk(_p: &TopK, _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_nms(_p: &Nms, _inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_nms(_p: &Nms, _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_nonzero(_count: &Dim, _inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_nonzero(_count: &Dim, _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}
