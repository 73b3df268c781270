//! Ascend C from kernels: one readable file a kernel. The emitter decides nothing: tiles, places, copies and every
//! synchronisation are in the kernel; what has no spelling is an error that names the statement.
//!
//! - `text`, `types`: expressions, types and numbers.
//! - `vector`: instructions of the vector unit.
//! - `copy`: copies between global memory and the unified buffer.
//! - `cube`: the matrix path.
//! - `part`: parts of a tile of the matrix path, and zeros around them.
//! - `mixed`: cube core and vector cores of one kernel, and what they hand over.
//! - `prelude`: functions that kernels carry with them.
//! - `file`: the file around the statements.
//! - `listing`: which statement a line comes from.

mod copy;
mod cube;
mod file;
mod listing;
mod mixed;
mod part;
mod prelude;
mod text;
mod types;
mod vector;

use beiming_ir::kernel::Kernel;
use beiming_ir::target::npu::Npu;
use thiserror::Error;

pub use listing::{Listing, Place};

/// Why a kernel cannot be spelled. Lowering makes no such kernels: it is a fault of ours, or of a kernel written by hand.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("kernel `{kernel}`: {why}")]
pub struct EmitError {
    /// Name of the kernel.
    pub kernel: String,
    /// What has no spelling.
    pub why: String,
}

/// The text of a kernel's file. The same kernel gives the same bytes.
///
/// # Errors
/// [`EmitError`] for a statement without spelling, and for a kernel that is none for an NPU.
pub fn kernel(k: &Kernel, npu: &Npu) -> Result<String, EmitError> {
    Ok(located(k, npu)?.text)
}

/// The text of a kernel's file, and which of the kernel's statements each of its lines comes from.
///
/// # Errors
/// As [`kernel`].
pub fn located(k: &Kernel, npu: &Npu) -> Result<Listing, EmitError> {
    file::write(k, npu).map_err(|why| EmitError { kernel: k.name.clone(), why })
}
