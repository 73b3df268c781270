//! Convolutions and pooling, channels last: data `[N, spatial.., C]`. One, two or three spatial axes.

use serde::{Deserialize, Serialize};

use crate::eval::EvalError;
use crate::graph::Graph;
use crate::tensor::Tensor;
use crate::types::TensorType;

use super::{InferError, Real};

/// Convolution: `(data [N, S.., C], weight [K.., C/groups, O]) -> [N, S'.., O]`.
/// Out-of-range elements are zero. `S' = floor((S + lo + hi - dilation*(K-1) - 1) / stride) + 1`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Conv {
    /// Step of the window, one a spatial axis.
    pub strides: Vec<usize>,
    /// Distance of taps, one a spatial axis.
    pub dilations: Vec<usize>,
    /// Zeros before and after, one pair a spatial axis; negative crops.
    pub pads: Vec<(i64, i64)>,
    /// Groups of channels that do not mix.
    pub groups: usize,
}

/// Transposed convolution: `(data [N, S.., C], weight [K.., C, O/groups]) -> [N, S'.., O]`.
/// `S' = stride*(S-1) + dilation*(K-1) + 1 - lo - hi + extra`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ConvTranspose {
    /// Distance of input elements in the output, one a spatial axis.
    pub strides: Vec<usize>,
    /// Distance of taps.
    pub dilations: Vec<usize>,
    /// Elements cropped from the full output, before and after.
    pub pads: Vec<(i64, i64)>,
    /// Elements added at the end.
    pub extra: Vec<usize>,
    /// Groups of channels.
    pub groups: usize,
}

/// How a window becomes one element.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum PoolKind {
    /// Largest; out-of-range elements do not take part.
    Max,
    /// Mean over the elements in range, or (`padded`) over the window clipped to the padded range.
    Avg {
        /// Count padding.
        padded: bool,
    },
    /// `(sum |x|^p)^(1/p)`.
    Lp {
        /// The exponent.
        p: Real,
    },
}

/// Window reduction: `[N, S.., C] -> [N, S'.., C]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Pool {
    /// Reduction.
    pub kind: PoolKind,
    /// Extent of the window, one a spatial axis.
    pub window: Vec<usize>,
    /// Step of the window.
    pub strides: Vec<usize>,
    /// Distance of taps.
    pub dilations: Vec<usize>,
    /// Padding before and after.
    pub pads: Vec<(i64, i64)>,
    /// Round the output extent up: a last window may start inside and end past the padded range (ONNX `ceil_mode`), but
    /// never starts past the input plus the padding before.
    pub ceil: bool,
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_conv(_p: &Conv, _inputs: &[&TensorType], _g: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_conv(_p: &Conv, _args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_conv_transpose(
    _p: &ConvTranspose,
    _inputs: &[&TensorType],
    _g: &Graph,
) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_conv_transpose(_p: &ConvTranspose, _args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_pool(_p: &Pool, _inputs: &[&TensorType], _g: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_pool(_p: &Pool, _args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}
