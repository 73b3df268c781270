//! Portable artifacts: StableHLO programs in MLIR's bytecode, written in the versioned dialect VHLO. Read without MLIR.
//!
//! [`container`] takes the file apart, [`pool`] reads attributes and types on demand ([`builtin`], [`vhlo_attr`], [`vhlo_type`],
//! [`elements`]), [`ops`] says which properties an operation has, [`ir`] reads the operations, and [`legal`] makes the
//! attributes of VHLO those of the StableHLO specification.
//!
//! Constants are windows into the artifact. Input is not trusted: every size is checked against the bytes that remain, and
//! nothing recurses without a bound.

mod builtin;
mod container;
mod cursor;
mod elements;
mod function;
mod ir;
mod legal;
mod names;
mod ops;
mod pool;
mod vhlo_attr;
mod vhlo_type;

use beiming_ir::tensor::Data;

use super::syntax::{Module, Problem};

/// True where the bytes are MLIR bytecode.
pub fn is_bytecode(bytes: &[u8]) -> bool {
    bytes.starts_with(container::MAGIC)
}

/// Reads a portable artifact of StableHLO 0.9 or newer.
///
/// # Errors
/// The bytes are not MLIR bytecode, or damaged; an operation, or its version, is not known, or the artifact holds what StableHLO
/// does not have. Unknown operations are all reported, damage ends the reading.
pub fn read(bytes: Data) -> Result<Module, Vec<Problem>> {
    let all = |p: Problem| vec![p];
    let container = container::read(bytes.as_bytes()).map_err(all)?;
    let mut pool = pool::Pool::new(&bytes, &container).map_err(all)?;
    let names = names::Names::new(&container);
    ir::Reader::new(&container, &names, &mut pool).run()
}
