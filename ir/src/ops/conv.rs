//! Convolutions and pooling, channels last: data `[N, spatial.., C]`. One, two or three spatial axes.

mod eval;
mod pool;
mod window;

use serde::{Deserialize, Serialize};

pub(crate) use self::eval::{eval_conv, eval_conv_transpose};
pub(crate) use self::pool::eval_pool;
pub(super) use self::pool::infer_pool;
use super::infer::{arity, unify_extent};
use super::{InferError, MAX_ELEMENTS, Real};
use crate::graph::Graph;
use crate::types::{Dim, TensorType};

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

/// The payload's numbers for one spatial axis, checked.
struct AxisRule {
    stride: i64,
    dilation: i64,
    lo: i64,
    hi: i64,
}

/// Checks what convolutions and pools share: rank, the lengths of the payload's lists, steps of at least one, amounts far from
/// overflow. One rule a spatial axis.
fn axis_rules(
    data: &TensorType,
    strides: &[usize],
    dilations: &[usize],
    pads: &[(i64, i64)],
) -> Result<Vec<AxisRule>, InferError> {
    let spatial = data.rank().saturating_sub(2);
    InferError::check((1..=3).contains(&spatial), || {
        format!("takes data [N, spatial.., C] with one to three spatial axes, got {data}")
    })?;
    InferError::check([strides.len(), dilations.len(), pads.len()] == [spatial; 3], || {
        format!("needs {spatial} strides, dilations and pads, one a spatial axis of {data}")
    })?;
    let amount = |v: usize, what: &str| match i64::try_from(v) {
        Ok(v) if v >= 1 && v as u64 <= MAX_ELEMENTS => Ok(v),
        _ => InferError::fail(format!("{what} {v} is not in 1..=2^48")),
    };
    (0..spatial)
        .map(|i| {
            let (lo, hi) = pads[i];
            InferError::check(lo.unsigned_abs() <= MAX_ELEMENTS && hi.unsigned_abs() <= MAX_ELEMENTS, || {
                format!("pads ({lo}, {hi}) are past 2^48")
            })?;
            Ok(AxisRule { stride: amount(strides[i], "stride")?, dilation: amount(dilations[i], "dilation")?, lo, hi })
        })
        .collect()
}

/// Checks a weight `[K.., in, out]` against `data`: element types, rank, and windows of at least one tap.
fn check_weight(data: &TensorType, weight: &TensorType, groups: usize) -> Result<(), InferError> {
    InferError::check(data.dtype == weight.dtype && (data.dtype.is_float() || data.dtype.is_int()), || {
        format!("takes floats or integers of one type, got {data} and {weight}")
    })?;
    InferError::check(data.rank() == weight.rank(), || format!("data {data} and weight {weight} differ in rank"))?;
    InferError::check(weight.shape[..weight.rank() - 2].iter().all(|k| k.known().is_none_or(|k| k >= 1)), || {
        format!("the window of weight {weight} has no taps")
    })?;
    InferError::check(groups >= 1 && groups as u64 <= MAX_ELEMENTS, || format!("{groups} groups are not in 1..=2^48"))
}

fn check_multiple(channels: &Dim, groups: usize, what: &str) -> Result<(), InferError> {
    InferError::check(channels.known().is_none_or(|c| c % groups as i64 == 0), || {
        format!("{channels} {what} channels do not divide into {groups} groups")
    })
}

/// `floor((S + lo + hi - dilation*(K-1) - 1) / stride) + 1`.
fn window_extent(s: &Dim, k: &Dim, a: &AxisRule) -> Dim {
    let span = Dim::from(a.dilation) * (k.clone() - Dim::from(1));
    (s.clone() + Dim::from(a.lo + a.hi - 1) - span).floor_div(&Dim::from(a.stride)) + Dim::from(1)
}

/// Result type of [`Conv`].
pub(super) fn infer_conv(p: &Conv, inputs: &[&TensorType], g: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 2)?;
    let (data, weight) = (inputs[0], inputs[1]);
    let rules = axis_rules(data, &p.strides, &p.dilations, &p.pads)?;
    check_weight(data, weight, p.groups)?;
    let last = data.rank() - 1;
    let (channels, per_group, out) = (&data.shape[last], &weight.shape[last - 1], &weight.shape[last]);
    unify_extent(channels, &(per_group.clone() * Dim::from(p.groups)), &g.symbols)
        .map_err(|e| e.said(|why| format!("channels of {data}, weight {weight}, {} groups: {why}", p.groups)))?;
    check_multiple(out, p.groups, "output")?;
    let mut shape = vec![data.shape[0].clone()];
    shape.extend(rules.iter().enumerate().map(|(i, a)| window_extent(&data.shape[i + 1], &weight.shape[i], a)));
    shape.push(out.clone());
    Ok(vec![TensorType { dtype: data.dtype, shape }])
}

/// Result type of [`ConvTranspose`].
pub(super) fn infer_conv_transpose(p: &ConvTranspose, inputs: &[&TensorType], g: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 2)?;
    let (data, weight) = (inputs[0], inputs[1]);
    let rules = axis_rules(data, &p.strides, &p.dilations, &p.pads)?;
    check_weight(data, weight, p.groups)?;
    InferError::check(p.extra.len() == rules.len() && p.extra.iter().all(|e| *e as u64 <= MAX_ELEMENTS), || {
        format!("needs {} extra extents of at most 2^48", rules.len())
    })?;
    let last = data.rank() - 1;
    unify_extent(&data.shape[last], &weight.shape[last - 1], &g.symbols)
        .map_err(|e| e.said(|why| format!("channels of {data} and weight {weight}: {why}")))?;
    check_multiple(&data.shape[last], p.groups, "input")?;
    let mut shape = vec![data.shape[0].clone()];
    shape.extend(rules.iter().enumerate().map(|(i, a)| {
        let one = || Dim::from(1);
        let steps = Dim::from(a.stride) * (data.shape[i + 1].clone() - one());
        let span = Dim::from(a.dilation) * (weight.shape[i].clone() - one());
        steps + span + Dim::from(p.extra[i]) + Dim::from(1 - a.lo - a.hi)
    }));
    shape.push(weight.shape[last].clone() * Dim::from(p.groups));
    Ok(vec![TensorType { dtype: data.dtype, shape }])
}

#[cfg(test)]
mod tests;
