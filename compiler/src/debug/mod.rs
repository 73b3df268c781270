//! Finding where a result goes wrong: values side by side with a reference ([`layers()`]), the first op that differs
//! ([`bisect()`]), and a small model that still shows it ([`reduce()`]).
//!
//! All three see a model as a [`Source`]: ops in order, values by name, and two things that can be made of it: the whole model
//! with chosen values as outputs, and a *cut*, some of its ops alone, fed with the reference's values. [`OnnxSource`] cuts ONNX
//! files (so that what is found can be shown to others as an ONNX file), [`GraphSource`] cuts graphs of the IR, whatever they
//! were imported from, by their nodes or by the steps of the program behind them. [`Maker`] compiles and runs what they give; [`reference`] says what the values should be.

pub mod bisect;
mod bits;
mod counterpart;
pub mod difference;
mod equations;
mod graph_source;
pub mod layers;
mod maker;
mod onnx_source;
pub mod page;
pub mod reduce;
pub mod reference;
mod save;
pub mod source;

use std::collections::BTreeMap;

use beiming_ir::tensor::Tensor;
use thiserror::Error;

use crate::driver::CompileError;
use crate::import::ImportError;

pub use bisect::{Bisected, bisect};
pub use difference::{Difference, Tolerance};
pub use equations::Step;
pub use graph_source::GraphSource;
pub use layers::{Layers, layers};
pub use maker::{Built, Maker, Ran};
pub use onnx_source::OnnxSource;
pub use reduce::{Reduced, reduce};
pub use reference::Against;
pub use save::save;
pub use source::{Cut, OpInfo, Source};

/// Tensors by the name of the value.
pub type Values = BTreeMap<String, Tensor>;

/// Why nothing could be found out.
#[derive(Debug, Error)]
pub enum DebugError {
    /// The model, or a part of it that was cut out, cannot be read.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// It cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It cannot be run.
    #[error(transparent)]
    Run(#[from] beiming_runtime::Error),
    /// The evaluator stopped.
    #[error("the evaluator stopped: {0}")]
    Eval(#[from] beiming_ir::eval::EvalError),
    /// Python or onnxruntime cannot be had.
    #[error("{0}")]
    NoReference(String),
    /// onnxruntime refuses the model.
    #[error("onnxruntime cannot run the model: {0}")]
    Reference(String),
    /// What was asked does not fit the model.
    #[error("{0}")]
    Usage(String),
    /// A file or a program.
    #[error("{0}")]
    Io(String),
}

impl DebugError {
    /// A file cannot be read or written.
    pub(crate) fn io(what: &str, path: &std::path::Path, e: &std::io::Error) -> DebugError {
        DebugError::Io(format!("cannot {what} {}: {e}", path.display()))
    }

    /// What a part of the command line could not do.
    pub(crate) fn tool(f: crate::cli::failure::Failure) -> DebugError {
        DebugError::Io(f.diagnostics.iter().map(|d| d.message.clone()).collect::<Vec<_>>().join("; "))
    }
}
