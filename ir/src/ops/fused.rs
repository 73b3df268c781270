//! Fused groups: several ops that become one kernel.

use serde::{Deserialize, Serialize};

use super::Op;

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
