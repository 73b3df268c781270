//! Reductions by a region: whole axes, windows, and the scatter along selected window elements.

mod eval;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub(crate) use self::eval::{eval_reduce_with, eval_select_and_scatter, eval_window_reduce};
use super::infer::{ShapeText, arity, unify_extent};
use super::region::{check_reducer, check_scalars};
use super::{InferError, MAX_ELEMENTS};
use crate::graph::{Graph, RegionId};
use crate::types::{DType, Dim, Symbols, TensorType};

/// Reduction of windows: `(data.. n, init.. n) -> n results`, all data of one shape, every list one entry an axis.
///
/// Between neighbouring elements of the data lie `base_dilations - 1` holes; `pads` are put around (negative ones crop), holes
/// included. Pads and holes hold `init` and take part. The window's taps are `window_dilations` apart. A result element is
/// the region folded over its window in row-major order, starting from `init`:
/// `S' = floor((S_padded - ((K - 1) * window_dilation + 1)) / stride) + 1`, at least 0.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct WindowReduce {
    /// Taps.
    pub window: Vec<usize>,
    /// Step of the window.
    pub strides: Vec<usize>,
    /// Distance of the data's elements.
    pub base_dilations: Vec<usize>,
    /// Distance of taps.
    pub window_dilations: Vec<usize>,
    /// Before and after.
    pub pads: Vec<(i64, i64)>,
    /// `(accumulator.. n, element.. n) -> n`, scalars.
    pub region: RegionId,
}

/// `(operand, source, init: scalar) -> operand's shape`. For every window over the padded operand (in the order of `source`,
/// which has one element a window) the element is chosen that `select` prefers: going row-major through the window, the
/// chosen one is kept where `select(chosen, next)`. Pads are never chosen; a window of pads only is skipped. The window's
/// element of `source` is combined into the result at the chosen place, which starts from `init`: `scatter(result, source)`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct SelectAndScatter {
    /// Taps, one entry an axis.
    pub window: Vec<usize>,
    /// Step of the window.
    pub strides: Vec<usize>,
    /// Padding before and after; negative crops.
    pub pads: Vec<(i64, i64)>,
    /// `(a, b) -> bool`.
    pub select: RegionId,
    /// `(a, b) -> a`.
    pub scatter: RegionId,
}

/// Halves of the arguments: data and initial values.
fn halves<'a, 't>(inputs: &'a [&'t TensorType]) -> Result<(&'a [&'t TensorType], Vec<DType>), InferError> {
    let n = inputs.len() / 2;
    InferError::check(n > 0 && inputs.len().is_multiple_of(2), || {
        format!("takes n data tensors and n initial values, got {} arguments", inputs.len())
    })?;
    let (data, init) = inputs.split_at(n);
    for (d, i) in data.iter().zip(init) {
        InferError::check(**i == TensorType::scalar(d.dtype), || {
            format!("the initial value of {d} must be {}[], got {i}", d.dtype)
        })?;
    }
    Ok((data, data.iter().map(|t| t.dtype).collect()))
}

/// The extents that tensors share.
pub(super) fn common_shape(data: &[&TensorType], symbols: &Symbols) -> Result<Vec<Dim>, InferError> {
    let mut shape = data.first().map(|t| t.shape.clone()).unwrap_or_default();
    for t in data {
        InferError::check(t.rank() == shape.len(), || format!("{} and {} differ in rank", ShapeText(&shape), t))?;
        for (a, b) in shape.iter_mut().zip(&t.shape) {
            *a = unify_extent(a, b, symbols)?;
        }
    }
    Ok(shape)
}

/// Result types of [`super::Op::ReduceWith`].
pub(super) fn infer_reduce_with(
    axes: &[usize],
    region: RegionId,
    inputs: &[&TensorType],
    graph: &Graph,
) -> Result<Vec<TensorType>, InferError> {
    let (data, types) = halves(inputs)?;
    let shape = common_shape(data, &graph.symbols)?;
    InferError::check(axes.is_sorted_by(|a, b| a < b), || format!("axes {axes:?} are not sorted and distinct"))?;
    InferError::check(axes.iter().all(|a| *a < shape.len()), || format!("axes {axes:?} are not all axes of {}", data[0]))?;
    check_reducer("reducer", graph, region, &types)?;
    let kept: Vec<Dim> = (0..shape.len()).filter(|i| !axes.contains(i)).map(|i| shape[i].clone()).collect();
    Ok(types.into_iter().map(|d| TensorType::new(d, kept.clone())).collect())
}

/// One axis of a window's walk, checked: all steps at least one and far from overflow.
#[derive(Clone, Copy)]
pub(super) struct WindowAxis {
    pub(super) window: i64,
    pub(super) stride: i64,
    pub(super) base: i64,
    pub(super) dilation: i64,
    pub(super) lo: i64,
    pub(super) hi: i64,
}

impl WindowAxis {
    /// Number of windows over `n` elements.
    fn extent(&self, n: &Dim, symbols: &Symbols) -> Dim {
        let holes = Dim::Known(self.base - 1);
        let mut spread = n.clone() * Dim::Known(self.base) - holes;
        if n.range(symbols).lo < 1 {
            // No elements have no holes between them.
            spread = spread.max_of(&Dim::Known(0));
        }
        let free = spread + Dim::Known(self.lo + self.hi - ((self.window - 1) * self.dilation + 1));
        let count = free.floor_div(&Dim::Known(self.stride)) + Dim::Known(1);
        if count.range(symbols).lo >= 0 { count } else { count.max_of(&Dim::Known(0)) }
    }

    /// The element that tap `t` of window `o` reads; `None` for a pad or a hole.
    pub(super) fn source(&self, o: usize, t: usize, n: usize) -> Option<usize> {
        let p = o as i64 * self.stride + t as i64 * self.dilation - self.lo;
        (p >= 0 && p % self.base == 0 && p / self.base < n as i64).then_some((p / self.base) as usize)
    }
}

/// The axes of a window's walk over data of rank `rank`.
fn window_axes(
    rank: usize,
    [window, strides, base, dilations]: [&[usize]; 4],
    pads: &[(i64, i64)],
) -> Result<Vec<WindowAxis>, InferError> {
    let lists = [window.len(), strides.len(), base.len(), dilations.len(), pads.len()];
    InferError::check(lists == [rank; 5], || {
        format!("needs {rank} entries in the window, its strides, dilations and pads, one an axis of the data; got {lists:?}")
    })?;
    let amount = |v: usize, what: &str| match i64::try_from(v) {
        Ok(v) if (1..=1 << 24).contains(&v) => Ok(v),
        _ => InferError::fail(format!("{what} {v} is not in 1..=2^24")),
    };
    let axis = |i: usize| {
        let (lo, hi) = pads[i];
        InferError::check(lo.unsigned_abs() <= MAX_ELEMENTS && hi.unsigned_abs() <= MAX_ELEMENTS, || {
            format!("pads ({lo}, {hi}) are past 2^48")
        })?;
        Ok(WindowAxis {
            window: amount(window[i], "window")?,
            stride: amount(strides[i], "stride")?,
            base: amount(base[i], "base dilation")?,
            dilation: amount(dilations[i], "window dilation")?,
            lo,
            hi,
        })
    };
    (0..rank).map(axis).collect()
}

impl WindowReduce {
    /// The walk over data of rank `rank`.
    pub(super) fn axes(&self, rank: usize) -> Result<Vec<WindowAxis>, InferError> {
        window_axes(rank, [&self.window, &self.strides, &self.base_dilations, &self.window_dilations], &self.pads)
    }
}

impl SelectAndScatter {
    /// The walk over an operand of rank `rank`.
    pub(super) fn axes(&self, rank: usize) -> Result<Vec<WindowAxis>, InferError> {
        let ones = vec![1; rank];
        window_axes(rank, [&self.window, &self.strides, &ones, &ones], &self.pads)
    }
}

/// Result types of [`super::Op::WindowReduce`].
pub(super) fn infer_window_reduce(
    p: &WindowReduce,
    inputs: &[&TensorType],
    graph: &Graph,
) -> Result<Vec<TensorType>, InferError> {
    let (data, types) = halves(inputs)?;
    let shape = common_shape(data, &graph.symbols)?;
    let axes = p.axes(shape.len())?;
    check_reducer("reducer", graph, p.region, &types)?;
    let shape: Vec<Dim> = axes.iter().zip(&shape).map(|(a, n)| a.extent(n, &graph.symbols)).collect();
    Ok(types.into_iter().map(|d| TensorType::new(d, shape.clone())).collect())
}

/// Result types of [`super::Op::SelectAndScatter`].
pub(super) fn infer_select_and_scatter(
    p: &SelectAndScatter,
    inputs: &[&TensorType],
    graph: &Graph,
) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 3)?;
    let (operand, source, init) = (inputs[0], inputs[1], inputs[2]);
    let d = operand.dtype;
    InferError::check(source.dtype == d && *init == TensorType::scalar(d), || {
        format!("operand {operand}, source {source} and initial value {init} must have one element type, the last be a scalar")
    })?;
    let axes = p.axes(operand.rank())?;
    InferError::check(source.rank() == operand.rank(), || format!("{source} and {operand} differ in rank"))?;
    for (i, (a, n)) in axes.iter().zip(&operand.shape).enumerate() {
        unify_extent(&a.extent(n, &graph.symbols), &source.shape[i], &graph.symbols)
            .map_err(|e| e.said(|why| format!("axis {i} of {source} must be the number of windows: {why}")))?;
    }
    check_scalars("select function", graph, p.select, &[d, d], &[DType::Bool])?;
    check_reducer("scatter function", graph, p.scatter, &[d])?;
    Ok(vec![operand.clone()])
}
