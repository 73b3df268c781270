//! Fused groups: several ops that become one kernel.

use serde::{Deserialize, Serialize};

use crate::eval::{Ctx, EvalError};
use crate::graph::Graph;
use crate::tensor::Tensor;
use crate::types::TensorType;

use super::{InferError, Op};

/// An argument inside a fused group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Arg {
    /// The group's n-th input.
    Input(u32),
    /// The result of the n-th node of the group (the first result, where it has several).
    Node(u32),
}

/// One op of a group.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct BodyNode {
    /// The op; never a constant, control flow, `Fused` or `Tiled`.
    pub op: Op,
    /// Arguments; nodes refer backwards.
    pub args: Vec<Arg>,
}

/// A group: nodes in execution order; the result is the last node's. `passes` keeps to these classes: any number of views
/// and elementwise ops, around at most one anchor (matmul, conv, pool, reduction, softmax, normalisation).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Body {
    /// Number of inputs.
    pub inputs: u32,
    /// The ops.
    pub nodes: Vec<BodyNode>,
}

/// The tile of a contraction, chosen by `passes::tile`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Tile {
    /// Rows of the register tile.
    pub mr: u32,
    /// Columns of the register tile, a multiple of the vector width.
    pub nr: u32,
    /// Rows of a cache block, a multiple of `mr`: one unit of parallel work goes over `mc` rows and `nc` columns.
    pub mc: u32,
    /// Columns of a cache block, a multiple of `nr`.
    pub nc: u32,
    /// Depth of a block of the contraction; at least the depth means no split.
    pub kc: u32,
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_fused(_body: &Body, _inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_fused(_body: &Body, _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_tiled(
    _body: &Body,
    _tile: &Tile,
    _inputs: &[&TensorType],
    _graph: &Graph,
) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_tiled(_body: &Body, _tile: &Tile, _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}
