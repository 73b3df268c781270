//! Ops without arguments.

use super::InferError;
use crate::eval::{Ctx, EvalError};
use crate::graph::{ConstId, Graph};
use crate::tensor::Tensor;
use crate::types::{DType, Dim, TensorType};

/// Result types; see [`super::infer()`].
pub(super) fn infer_constant(_id: ConstId, _inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_constant(_id: ConstId, _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_dim_value(_dims: &[Dim], _inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_dim_value(_dims: &[Dim], _args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_iota(
    _dtype: DType,
    _shape: &[Dim],
    _axis: usize,
    _inputs: &[&TensorType],
    _graph: &Graph,
) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_iota(
    _dtype: DType,
    _shape: &[Dim],
    _axis: usize,
    _args: &[Tensor],
    _ctx: &Ctx,
) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}
