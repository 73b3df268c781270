//! Reductions, running reductions, softmax and normalisations.

mod eval;

use serde::{Deserialize, Serialize};

pub(crate) use self::eval::{eval_arg_reduce, eval_cumulative, eval_norm, eval_reduce, eval_softmax};
use super::InferError;
#[cfg(doc)]
use super::Op;
use super::infer::{arity, check_axis};
use crate::num::{highest, lowest};
use crate::tensor::Num;
use crate::types::{DType, Dim, TensorType};

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

    /// True where elements of type `t` can be reduced.
    pub fn takes(self, t: DType) -> bool {
        match self {
            ReduceOp::Sum | ReduceOp::Prod => t.is_float() || t.is_int(),
            ReduceOp::Max | ReduceOp::Min => !t.is_complex(),
            ReduceOp::Mean => t.is_float(),
            ReduceOp::All | ReduceOp::Any => t == DType::Bool,
        }
    }

    /// The result over no elements of type `t`, which the reduction starts from. (A mean starts from 0; over nothing it is NaN.)
    pub fn identity(self, t: DType) -> Num {
        let number = |v: u8| if t.is_float() { Num::Float(v.into()) } else { Num::Int(v.into()) };
        match self {
            ReduceOp::Sum | ReduceOp::Mean | ReduceOp::Any => number(0),
            ReduceOp::Prod | ReduceOp::All => number(1),
            ReduceOp::Max => lowest(t),
            ReduceOp::Min => highest(t),
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

/// The axes of a reduced shape: 1 or nothing in place of `axes`.
fn reduced(t: &TensorType, axes: &[usize], keep: bool, dtype: DType) -> Vec<TensorType> {
    let extent = |(i, d): (usize, &Dim)| match axes.contains(&i) {
        true => keep.then(|| Dim::from(1)),
        false => Some(d.clone()),
    };
    vec![TensorType { dtype, shape: t.shape.iter().enumerate().filter_map(extent).collect() }]
}

/// Result type of [`Op::Reduce`].
pub(super) fn infer_reduce(
    op: ReduceOp,
    axes: &[usize],
    keep: bool,
    inputs: &[&TensorType],
) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 1)?;
    let t = inputs[0];
    InferError::check(op.takes(t.dtype), || format!("does not take {}", t.dtype))?;
    InferError::check(axes.is_sorted_by(|a, b| a < b), || format!("axes {axes:?} are not sorted and distinct"))?;
    axes.iter().try_for_each(|a| check_axis(*a, t))?;
    Ok(reduced(t, axes, keep, t.dtype))
}

/// Result type of [`Op::ArgReduce`].
pub(super) fn infer_arg_reduce(axis: usize, keep: bool, inputs: &[&TensorType]) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 1)?;
    let t = inputs[0];
    InferError::check(!t.dtype.is_complex(), || format!("does not take {}", t.dtype))?;
    check_axis(axis, t)?;
    InferError::check(!t.shape[axis].is(0), || format!("axis {axis} of {t} has no elements to choose from"))?;
    Ok(reduced(t, &[axis], keep, DType::I64))
}

/// Result type of [`Op::Cumulative`].
pub(super) fn infer_cumulative(p: &Cumulative, inputs: &[&TensorType]) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 1)?;
    let t = inputs[0];
    let running = matches!(p.op, ReduceOp::Sum | ReduceOp::Prod | ReduceOp::Max | ReduceOp::Min);
    InferError::check(running, || format!("runs sum, prod, max or min, not {}", p.op.name()))?;
    InferError::check(p.op.takes(t.dtype), || format!("{} does not take {}", p.op.name(), t.dtype))?;
    check_axis(p.axis, t)?;
    Ok(vec![t.clone()])
}

/// Result type of [`Op::Softmax`].
pub(super) fn infer_softmax(axis: usize, inputs: &[&TensorType]) -> Result<Vec<TensorType>, InferError> {
    floats_with_axis(axis, inputs)
}

/// Result type of [`Op::Norm`].
pub(super) fn infer_norm(axis: usize, inputs: &[&TensorType]) -> Result<Vec<TensorType>, InferError> {
    floats_with_axis(axis, inputs)
}

fn floats_with_axis(axis: usize, inputs: &[&TensorType]) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 1)?;
    let t = inputs[0];
    InferError::check(t.dtype.is_float(), || format!("takes floats, got {t}"))?;
    check_axis(axis, t)?;
    Ok(vec![t.clone()])
}

#[cfg(test)]
mod tests;
