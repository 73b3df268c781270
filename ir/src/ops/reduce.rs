//! Reductions, running reductions, softmax and normalisations.

use serde::{Deserialize, Serialize};

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
