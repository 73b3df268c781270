//! Matrix product.

use super::InferError;
use crate::eval::EvalError;
use crate::graph::Graph;
use crate::tensor::Tensor;
use crate::types::{DType, TensorType};

/// Result types; see [`super::infer()`].
pub(super) fn infer_matmul(_out: DType, _inputs: &[&TensorType], _g: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_matmul(_out: DType, _args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}
