//! Recurrent layers. Shapes: T steps, B batch, I input size, H hidden size, D directions (1 or 2).

use serde::{Deserialize, Serialize};

use crate::eval::{Ctx, EvalError};
use crate::graph::Graph;
use crate::tensor::Tensor;
use crate::types::TensorType;

use super::{InferError, Real};

/// Order of the steps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Direction {
    Forward,
    Reverse,
    Bidirectional,
}

/// `(x [T,B,I], w [D,4H,I], r [D,4H,H], bias [D,8H], lens i32[B], h0 [D,B,H], c0 [D,B,H], peephole [D,3H])
/// -> (y [T,D,B,H], h [D,B,H], c [D,B,H])`. Gate order i, o, f, c. All arguments are present (zeros where the model has none).
/// Activations are sigmoid, tanh, tanh. Steps at or past `lens[b]` give zeros and leave the state.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Lstm {
    /// Order of steps.
    pub direction: Direction,
    /// Hidden size H.
    pub hidden: usize,
    /// Bound of the gate inputs before the activations; none if absent.
    pub clip: Option<Real>,
    /// The forget gate is one minus the input gate.
    pub input_forget: bool,
}

/// `(x [T,B,I], w [D,3H,I], r [D,3H,H], bias [D,6H], lens i32[B], h0 [D,B,H]) -> (y [T,D,B,H], h [D,B,H])`.
/// Gate order z, r, h. Activations are sigmoid, tanh.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Gru {
    /// Order of steps.
    pub direction: Direction,
    /// Hidden size H.
    pub hidden: usize,
    /// Bound of the gate inputs before the activations.
    pub clip: Option<Real>,
    /// Apply the reset gate after the recurrent product (ONNX `linear_before_reset`).
    pub linear_before_reset: bool,
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_lstm(_p: &Lstm, _inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_lstm(_p: &Lstm, _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_gru(_p: &Gru, _inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_gru(_p: &Gru, _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}
