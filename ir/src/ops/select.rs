//! Data-dependent selection: sorting and suppression.

use serde::{Deserialize, Serialize};

use crate::types::Dim;

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
