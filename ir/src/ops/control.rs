//! Control flow. Regions see only their own inputs, so captures are ordinary arguments.

use serde::{Deserialize, Serialize};

use super::InferError;
use crate::eval::{Ctx, EvalError};
use crate::tensor::Tensor;
use crate::types::TensorType;

use crate::graph::{Graph, RegionId};

/// `(cond: bool[], captures..) -> results of the taken region`. Both regions take the captures and give the same types.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct If {
    /// Taken when true.
    pub then_region: RegionId,
    /// Taken when false.
    pub else_region: RegionId,
}

/// `(trip: i64[], cond: bool[], state.., captures..) -> (state.., scans..)`.
/// The body takes `(iteration: i64[], cond: bool[], state.., captures..)` and gives `(cond: bool[], state.., scan element..)`.
/// Runs while `iteration < trip` and `cond`. Scan results are stacked along a new first axis, of extent `trips`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Loop {
    /// Body.
    pub body: RegionId,
    /// Number of state values.
    pub state: usize,
    /// Extent of the scan results; a fresh symbol where it is not known.
    pub trips: crate::types::Dim,
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_if(_p: &If, _inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_if(_p: &If, _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_loop(_p: &Loop, _inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_loop(_p: &Loop, _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}
