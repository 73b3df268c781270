//! Fused groups: several ops that become one kernel.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::{InferError, Op};
use crate::eval::{self, Ctx, EvalError};
use crate::graph::Graph;
use crate::tensor::Tensor;
use crate::types::TensorType;

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

/// Calls `step` for every node of `body` with its arguments; `T` is what stands for a value. Gives the last node's results.
fn walk<T: Clone>(
    body: &Body,
    inputs: &[T],
    mut step: impl FnMut(&Op, &[T]) -> Result<Vec<T>, String>,
) -> Result<Vec<T>, String> {
    if inputs.len() != body.inputs as usize {
        return Err(format!("the group takes {} arguments, got {}", body.inputs, inputs.len()));
    }
    // The first result of every node so far.
    let mut values: Vec<T> = Vec::with_capacity(body.nodes.len());
    let mut last = Err("the group is empty".to_string());
    for (i, node) in body.nodes.iter().enumerate() {
        if matches!(node.op, Op::Constant(_) | Op::Fused(_) | Op::Tiled { .. }) || !node.op.regions().is_empty() {
            return Err(format!("node {i} of the group is `{}`, which cannot be fused", node.op.name()));
        }
        let value = |a: &Arg| match *a {
            Arg::Input(k) => inputs.get(k as usize).cloned(),
            Arg::Node(k) => values.get(k as usize).cloned(),
        };
        let find = |a: &Arg| value(a).ok_or_else(|| format!("node {i} of the group refers to {a:?}, which is not before it"));
        let args = node.args.iter().map(find).collect::<Result<Vec<T>, String>>()?;
        let results = step(&node.op, &args).map_err(|e| format!("node {i} of the group: {e}"))?;
        let first = results.first().cloned().ok_or_else(|| format!("node {i} of the group has no result"))?;
        values.push(first);
        last = Ok(results);
    }
    last
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_fused(body: &Body, inputs: &[&TensorType], graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    let inputs: Vec<TensorType> = inputs.iter().map(|t| (*t).clone()).collect();
    let step =
        |op: &Op, args: &[TensorType]| super::infer(op, &args.iter().collect::<Vec<_>>(), graph).map_err(|e| e.to_string());
    walk(body, &inputs, step).map_err(InferError::new)
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_fused(body: &Body, args: &[Tensor], ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    walk(body, args, |op, args| eval::op(op, args, ctx.graph, ctx.dims).map_err(|e| e.0)).map_err(EvalError)
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_tiled(
    body: &Body,
    tile: &Tile,
    inputs: &[&TensorType],
    graph: &Graph,
) -> Result<Vec<TensorType>, InferError> {
    let Tile { mr, nr, mc, nc, kc } = *tile;
    InferError::check([mr, nr, mc, nc, kc].iter().all(|n| *n > 0), || format!("{tile:?} has an extent of zero"))?;
    InferError::check(mc % mr == 0 && nc % nr == 0, || format!("{tile:?}: mc must be a multiple of mr, and nc of nr"))?;
    infer_fused(body, inputs, graph)
}

/// Results; see [`crate::eval::op`]. A tile does not change what a group means.
pub(crate) fn eval_tiled(body: &Body, _tile: &Tile, args: &[Tensor], ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    eval_fused(body, args, ctx)
}
