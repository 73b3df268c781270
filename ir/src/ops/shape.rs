//! Ops that move elements without computing.

use serde::{Deserialize, Serialize};

use crate::types::Dim;

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
