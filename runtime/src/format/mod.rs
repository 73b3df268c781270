//! The artifact: what the compiler writes and the runtime opens. One file, all of it data:
//!
//! ```text
//! 0      magic "BEIMING\0", format version, number of sections, file length, BLAKE3 of the header and the section table
//! 64     section table, 64 bytes an entry: name, offset, length, BLAKE3
//! 4096   sections, each aligned to 64 bytes (weights to 4096), zeros between them
//! ```
//!
//! [`container`] is the file, [`manifest`] the schema of the section that describes the model. Integers are little-endian.

pub mod container;
pub mod dtype;
mod hash;
pub mod manifest;

pub use container::{Artifact, SectionWriter, Writer};
pub use dtype::DType;
pub use manifest::Manifest;
