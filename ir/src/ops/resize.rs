//! Resampling, as ONNX `Resize` defines it (its reference implementation is the source of every formula here).

use serde::{Deserialize, Serialize};

use crate::eval::{Ctx, EvalError};
use crate::graph::Graph;
use crate::tensor::Tensor;

use super::{InferError, Real};
use crate::types::{Dim, TensorType};

/// Interpolation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum ResizeMode {
    /// The nearest element, with this rounding.
    Nearest(Nearest),
    /// Linear along each axis.
    Linear,
    /// Cubic along each axis with this coefficient.
    Cubic(Real),
}

/// Rounding of a fractional coordinate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Nearest {
    RoundPreferFloor,
    RoundPreferCeil,
    Floor,
    Ceil,
}

/// Map from an output to an input coordinate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Coord {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    TfHalfPixelForNn,
    /// Uses `roi`; outside it the value is `extrapolation`.
    TfCropAndResize,
}

/// Resize of every axis (axes of scale one are copied).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Resize {
    /// Interpolation.
    pub mode: ResizeMode,
    /// Coordinate map.
    pub coord: Coord,
    /// Output extents, one an axis.
    pub shape: Vec<Dim>,
    /// Scales, one an axis; `None`: output extent over input extent.
    pub scales: Vec<Option<Real>>,
    /// Start and end of the region, one pair an axis, normalised to 0..1; for `TfCropAndResize`.
    pub roi: Vec<(Real, Real)>,
    /// Widen the filter when shrinking.
    pub antialias: bool,
    /// Leave taps outside the input out and renormalise.
    pub exclude_outside: bool,
    /// Value outside the region, for `TfCropAndResize`.
    pub extrapolation: Real,
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_resize(_p: &Resize, _inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_resize(_p: &Resize, _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}
