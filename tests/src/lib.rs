//! Cases as data, real models, snapshots and conformance.
//!
//! What the tests share: [`case`] reads the ten-line graphs of `cases/`, [`compiled`] takes them through the compiler and runs
//! the result in this process or under qemu, [`agree`] compares tensors, [`npz`] is numpy's file format as far
//! as the tests need it, [`disassembly`] looks at finished code.

pub mod agree;
pub mod case;
pub mod compiled;
pub mod disassembly;
pub mod npz;

use std::path::{Path, PathBuf};

use beiming_ir::tensor::Tensor;

/// Tensors by name: inputs, or the arrays of a file.
pub type Named = Vec<(String, Tensor)>;

/// A path in the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
