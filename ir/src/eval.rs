//! The meaning of the IR: slow, obviously right interpreters for graphs and kernels.

use thiserror::Error;

use crate::graph::Graph;
use crate::kernel::Kernel;
use crate::tensor::Tensor;

/// Why evaluation stopped.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{0}")]
pub struct EvalError(pub String);

/// Runs a graph. Symbols are bound from the shapes of `inputs`.
pub fn graph(_g: &Graph, _inputs: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    Err(EvalError("not written yet".into()))
}

/// Runs a kernel over its whole grid. `params` are replaced by their contents afterwards; `dims` are the symbols' values.
pub fn kernel(_k: &Kernel, _params: &mut [Tensor], _dims: &[i64]) -> Result<(), EvalError> {
    Err(EvalError("not written yet".into()))
}
