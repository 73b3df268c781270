//! Reductions, running reductions, softmax and normalisations.

use serde::{Deserialize, Serialize};

use super::InferError;
use crate::eval::EvalError;
use crate::graph::Graph;
use crate::tensor::Tensor;
use crate::types::TensorType;

/// Reducers. Over no elements: 0, 1, lowest, highest, NaN, true, false.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ReduceOp {
    Sum,
    Prod,
    /// NaN wins.
    Max,
    Min,
    /// Floats only.
    Mean,
    /// `bool`.
    All,
    Any,
}

impl ReduceOp {
    /// Name in the text form.
    pub fn name(self) -> &'static str {
        match self {
            ReduceOp::Sum => "sum",
            ReduceOp::Prod => "prod",
            ReduceOp::Max => "max",
            ReduceOp::Min => "min",
            ReduceOp::Mean => "mean",
            ReduceOp::All => "all",
            ReduceOp::Any => "any",
        }
    }
}

/// Running reduction along `axis`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Cumulative {
    /// `Sum`, `Prod`, `Max` or `Min`.
    pub op: ReduceOp,
    /// Axis.
    pub axis: usize,
    /// The element itself does not count.
    pub exclusive: bool,
    /// From the end.
    pub reverse: bool,
}

/// Normalisations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum NormKind {
    /// `(x - mean) / sqrt(mean((x - mean)^2) + eps)`.
    Layer,
    /// `x / sqrt(mean(x^2) + eps)`.
    Rms,
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_reduce(
    _op: ReduceOp,
    _axes: &[usize],
    _keep: bool,
    _inputs: &[&TensorType],
) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_reduce(_op: ReduceOp, _axes: &[usize], _keep: bool, _args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_arg_reduce(
    _axis: usize,
    _keep: bool,
    _inputs: &[&TensorType],
    _g: &Graph,
) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_arg_reduce(
    _max: bool,
    _axis: usize,
    _keep: bool,
    _last: bool,
    _args: &[Tensor],
) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_cumulative(_p: &Cumulative, _inputs: &[&TensorType]) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_cumulative(_p: &Cumulative, _args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_softmax(_axis: usize, _inputs: &[&TensorType]) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_softmax(_axis: usize, _log: bool, _args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_norm(_axis: usize, _inputs: &[&TensorType]) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_norm(_kind: NormKind, _axis: usize, _eps: f64, _args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}
