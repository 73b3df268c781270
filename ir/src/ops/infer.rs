//! Shape inference: dispatch to the families.

use thiserror::Error;

use super::Op;
use crate::graph::Graph;
use crate::types::TensorType;

/// Why an op does not fit its arguments.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{op}: {message}")]
pub struct InferError {
    /// Name of the op.
    pub op: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

/// Result types of `op`. `graph` gives constants, regions and symbol ranges.
pub fn infer(op: &Op, _inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    Err(InferError { op: op.name(), message: "not written yet".into() })
}
