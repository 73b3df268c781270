//! Reading models into graphs.
//!
//! [`read`] takes a file and gives a [`Graph`] of core ops whose extents are known numbers or expressions over symbols with
//! ranges. Weights are windows into the mapped file. Whatever is wrong with the model, or not supported, is collected and
//! reported at once; see [`ImportError`].

mod border;
mod build;
mod content;
mod error;
mod fail;
mod frame;
pub mod onnx;
mod options;
pub mod stablehlo;

use std::path::Path;

use beiming_ir::graph::Graph;
use bytes::Bytes;

pub use error::{Code, ImportError, ModelError, UnsupportedOp};
pub use options::{DimOverride, ImportOptions};

/// Reads an ONNX model.
///
/// # Errors
/// [`ImportError`]: the file cannot be read or is not a model, the options do not fit it, or it holds something that is wrong
/// or not supported; each with a stable code.
pub fn read(path: &Path, options: &ImportOptions) -> Result<Graph, ImportError> {
    onnx::read(path, options)
}

/// Reads a model from memory. `folder` is where external data lies, if there may be any.
///
/// # Errors
/// As [`read`].
pub fn read_bytes(bytes: Bytes, folder: Option<&Path>, options: &ImportOptions) -> Result<Graph, ImportError> {
    onnx::read_bytes(bytes, folder, options)
}
