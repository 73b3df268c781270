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
mod mapped;
pub mod onnx;
mod options;
pub mod stablehlo;

use std::path::Path;

use beiming_ir::graph::Graph;
use bytes::Bytes;

pub use error::{Code, ImportError, ModelError, UnsupportedOp};
pub use mapped::safetensors;
pub use options::{DimOverride, ImportOptions};

/// Reads a model: ONNX, or StableHLO in any of its forms, which the content tells.
///
/// # Errors
/// [`ImportError`]: the file cannot be read or is not a model, the options do not fit it, or it holds something that is wrong
/// or not supported; each with a stable code.
pub fn read(path: &Path, options: &ImportOptions) -> Result<Graph, ImportError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    read_bytes(mapped::file(path)?, Some(folder), options)
}

/// True where a file is StableHLO, in any of its forms.
///
/// # Errors
/// Where it cannot be read.
pub fn is_stablehlo(path: &Path) -> Result<bool, ImportError> {
    Ok(stablehlo::is_stablehlo(&mapped::file(path)?))
}

/// The line of a text that a place of a diagnostic (`3:22`) names, with a caret under the column; `None` where the model is no
/// text or the place no line of it.
pub fn excerpt(path: &Path, place: &str) -> Option<String> {
    let (line, column) = place.split_once(':')?;
    let (line, column) = (line.parse().ok()?, column.parse().ok()?);
    let source = mapped::file(path).ok()?;
    stablehlo::excerpt(&source, line, column)
}

/// Reads a model from memory. `folder` is where external data of ONNX lies, if there may be any.
///
/// # Errors
/// As [`read`].
pub fn read_bytes(bytes: Bytes, folder: Option<&Path>, options: &ImportOptions) -> Result<Graph, ImportError> {
    if stablehlo::is_stablehlo(&bytes) {
        return stablehlo::read(mapped::data(bytes), options);
    }
    onnx::read_bytes(bytes, folder, options)
}
