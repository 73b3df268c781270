//! Resampling, as ONNX `Resize` defines it (its reference implementation is the source of every formula here).

mod eval;
#[cfg(test)]
mod tests;
use serde::{Deserialize, Serialize};

use super::infer::arity;
use super::{InferError, Real};
use crate::graph::Graph;
use crate::types::{Dim, TensorType};

pub(crate) use eval::eval_resize;

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
    /// Start and end of the region, one pair an axis, normalised to 0..1; for `TfCropAndResize`, else it may be empty.
    pub roi: Vec<(Real, Real)>,
    /// Widen the filter when shrinking.
    pub antialias: bool,
    /// Leave taps outside the input out and renormalise. `Nearest` has one tap, inside always.
    pub exclude_outside: bool,
    /// Value outside the region, for `TfCropAndResize`.
    pub extrapolation: Real,
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_resize(p: &Resize, inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 1)?;
    let x = inputs[0];
    let rank = x.rank();
    InferError::check([p.shape.len(), p.scales.len()] == [rank; 2], || {
        format!("{x} needs {rank} extents and scales, got {} and {}", p.shape.len(), p.scales.len())
    })?;
    let crop = p.coord == Coord::TfCropAndResize;
    InferError::check(p.roi.len() == rank || (p.roi.is_empty() && !crop), || {
        format!("{x} needs a region of {rank} pairs, got {}", p.roi.len())
    })?;
    for scale in p.scales.iter().flatten() {
        InferError::check(scale.get() > 0.0 && scale.get().is_finite(), || format!("scale {scale:?} is not a positive number"))?;
    }
    if let ResizeMode::Nearest(_) = p.mode {
        InferError::check(!p.antialias, || "antialiasing needs linear or cubic interpolation".into())?;
    } else {
        let numeric = x.dtype.is_float() || x.dtype.is_int();
        InferError::check(numeric, || format!("{x} cannot be interpolated: integers and floats can"))?;
    }
    Ok(vec![TensorType::new(x.dtype, p.shape.clone())])
}
