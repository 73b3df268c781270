//! Reading models into graphs.
//!
//! [`read`] takes a file and gives a [`Graph`] of core ops whose extents are known numbers or expressions over symbols with
//! ranges. Weights are windows into the mapped file. Whatever is wrong with the model, or not supported, is collected and
//! reported at once; see [`ImportError`].

mod border;
mod build;
mod content;
mod error;
mod extents;
mod fail;
mod frame;
mod mapped;
pub mod onnx;
mod options;
pub mod stablehlo;

use std::path::Path;

use beiming_ir::graph::Graph;
use beiming_ir::plan::Subnormals;
use bytes::Bytes;

pub use error::{Code, ImportError, ModelError, UnsupportedOp};
pub use mapped::safetensors;
pub use options::{DimOverride, ImportOptions};

/// What a model is written in, which its content tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// ONNX.
    Onnx,
    /// StableHLO, in any of its forms.
    StableHlo,
}

impl Format {
    /// The format of a model.
    pub fn of(bytes: &[u8]) -> Format {
        if stablehlo::is_stablehlo(bytes) { Format::StableHlo } else { Format::Onnx }
    }

    /// What kernels do with subnormal numbers if nobody asks for anything else. StableHLO specifies IEEE 754, and training
    /// programs count on gradual underflow. ONNX specifies nothing; its models are inference, where a subnormal number is
    /// noise that can make a layer many times slower.
    pub fn subnormals(self) -> Subnormals {
        match self {
            Format::Onnx => Subnormals::Flush,
            Format::StableHlo => Subnormals::Keep,
        }
    }
}

/// Reads a model: ONNX, or StableHLO in any of its forms, which the content tells.
///
/// # Errors
/// [`ImportError`]: the file cannot be read or is not a model, the options do not fit it, or it holds something that is wrong
/// or not supported; each with a stable code.
pub fn read(path: &Path, options: &ImportOptions) -> Result<Graph, ImportError> {
    Ok(read_as(path, options)?.0)
}

/// As [`read`], with the format.
///
/// # Errors
/// As [`read`].
pub fn read_as(path: &Path, options: &ImportOptions) -> Result<(Graph, Format), ImportError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let bytes = mapped::file(path)?;
    let format = Format::of(&bytes);
    Ok((read_bytes(bytes, Some(folder), options)?, format))
}

/// True where a file is StableHLO, in any of its forms.
///
/// # Errors
/// Where it cannot be read.
pub fn is_stablehlo(path: &Path) -> Result<bool, ImportError> {
    Ok(Format::of(&mapped::file(path)?) == Format::StableHlo)
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
    match Format::of(&bytes) {
        Format::StableHlo => stablehlo::read(mapped::data(bytes), options),
        Format::Onnx if options.as_written => {
            let message = "`as_written` is for StableHLO, whose reference interpreter it follows; this is ONNX";
            Err(ModelError::new(Code::Option, message).into())
        }
        Format::Onnx => onnx::read_bytes(bytes, folder, options),
    }
}
