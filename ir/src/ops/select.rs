//! Data-dependent selection: sorting and suppression.

mod eval;
#[cfg(test)]
mod tests;
use serde::{Deserialize, Serialize};

use super::infer::{arity, check_axis};
use super::{InferError, unify_extent};
use crate::graph::Graph;
use crate::types::{DType, Dim, TensorType};

pub(crate) use eval::{eval_nms, eval_nonzero, eval_topk};

/// The `k` largest or smallest along an axis, ties by lower index, NaN above every number. `sorted` is always honoured.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct TopK {
    /// How many.
    pub k: Dim,
    /// Axis.
    pub axis: usize,
    /// Largest first, else smallest first.
    pub largest: bool,
}

/// Non-maximum suppression, as ONNX `NonMaxSuppression`: of the boxes of a class whose score exceeds the threshold, the best
/// first (ties by lower index), those stay that overlap no better one by more than `iou`, at most `max_out` of them. Boxes and
/// scores are `f32`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Nms {
    /// Boxes are `(x_center, y_center, width, height)` instead of two corners `(y1, x1, y2, x2)`.
    pub center: bool,
    /// Name of the dimension that counts the results; its value is known after the op has run.
    pub count: Dim,
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_topk(p: &TopK, inputs: &[&TensorType], graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 1)?;
    let x = inputs[0];
    check_axis(p.axis, x)?;
    InferError::check(!x.dtype.is_complex(), || format!("{} has no order", x.dtype))?;
    let room = (x.shape[p.axis].clone() - p.k.clone()).range(&graph.symbols);
    InferError::check(room.hi >= 0, || format!("k is {}, more than axis {} of {x} has", p.k, p.axis))?;
    let mut shape = x.shape.clone();
    shape[p.axis] = p.k.clone();
    Ok(vec![TensorType::new(x.dtype, shape.clone()), TensorType::new(DType::I64, shape)])
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_nms(p: &Nms, inputs: &[&TensorType], graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 5)?;
    let (boxes, scores) = (inputs[0], inputs[1]);
    let same = |a: &Dim, b: &Dim| unify_extent(a, b, &graph.symbols).is_ok();
    let fits = boxes.dtype == DType::F32
        && scores.dtype == DType::F32
        && boxes.rank() == 3
        && scores.rank() == 3
        && same(&boxes.shape[2], &4.into())
        && same(&boxes.shape[0], &scores.shape[0])
        && same(&boxes.shape[1], &scores.shape[2]);
    InferError::check(fits, || format!("takes boxes f32[B, N, 4] and scores f32[B, C, N], got {boxes} and {scores}"))?;
    for (t, name, dtype) in [(inputs[2], "max_out", DType::I64), (inputs[3], "iou", DType::F32), (inputs[4], "score", DType::F32)]
    {
        InferError::check(*t == TensorType::scalar(dtype), || format!("{name} must be {dtype}[], got {t}"))?;
    }
    Ok(vec![TensorType::new(DType::I64, [p.count.clone(), 3.into()]), TensorType::scalar(DType::I64)])
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_nonzero(count: &Dim, inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 1)?;
    let shape = [inputs[0].rank().into(), count.clone()];
    Ok(vec![TensorType::new(DType::I64, shape), TensorType::scalar(DType::I64)])
}
