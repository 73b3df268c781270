//! Opens an artifact and runs it; knows nothing of the IR and holds no LLVM.
//!
//! [`format`] is the artifact: the schema and the file, shared with the compiler that writes them.

pub mod arena;
pub mod dims;
pub mod error;
pub mod format;

pub use error::{Error, Result};
