//! The meaning of the IR: slow, obviously right interpreters for graphs and kernels.

mod graph;
mod kernel;
mod program;

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

pub use self::graph::{Trace, graph, graph_traced, op, region};
pub use self::kernel::kernel;
pub use self::program::program;
use crate::graph::Graph;
use crate::types::Dim;

/// Why evaluation stopped.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{0}")]
pub struct EvalError(pub String);

impl EvalError {
    /// An error with this message.
    pub fn fail<T>(message: impl Into<String>) -> Result<T, EvalError> {
        Err(EvalError(message.into()))
    }
}

/// Values of the symbols.
pub type Dims = BTreeMap<Arc<str>, i64>;

/// What an op is evaluated in, besides its arguments.
pub struct Ctx<'a> {
    /// Holds the constants and regions the op may name.
    pub graph: &'a Graph,
    /// Values of the symbols known so far.
    pub dims: &'a Dims,
}

impl Ctx<'_> {
    /// Value of an extent; an error where a symbol has no value or the extent is negative.
    pub fn extent(&self, d: &Dim) -> Result<usize, EvalError> {
        let v = self.value(d)?;
        usize::try_from(v).map_err(|_| EvalError(format!("the extent `{d}` has the value {v}; extents are not negative")))
    }

    /// Value of a dimension expression, which may be negative (a slice start).
    pub fn value(&self, d: &Dim) -> Result<i64, EvalError> {
        d.eval(&|n| self.dims.get(n).copied()).ok_or_else(|| {
            let missing: Vec<_> = d.symbols().into_iter().filter(|n| !self.dims.contains_key(n)).collect();
            EvalError(format!("the dimension `{d}` depends on `{}`, which has no value here", missing.join("`, `")))
        })
    }

    /// Values of extents; an error also where their product is past the budget.
    pub fn shape(&self, dims: &[Dim]) -> Result<Vec<usize>, EvalError> {
        let shape = dims.iter().map(|d| self.extent(d)).collect::<Result<Vec<_>, _>>()?;
        match crate::tensor::numel(&shape) {
            Some(n) if n as u64 <= crate::ops::MAX_ELEMENTS => Ok(shape),
            _ => EvalError::fail(format!("shape {shape:?} has more than 2^48 elements")),
        }
    }
}
