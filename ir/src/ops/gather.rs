//! Indexed reads and writes.

use serde::{Deserialize, Serialize};

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
