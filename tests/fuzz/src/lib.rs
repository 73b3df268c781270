//! The readers of StableHLO must not panic, hang or take memory out of proportion, whatever the bytes are.
//!
//! Under `cargo test` these are short random runs. `make fuzz` runs each for an hour of CPU time, guided by coverage, with the open
//! cases as its first corpus. What a run finds becomes a test of `compiler/tests/stablehlo`.

use beiming::import::stablehlo::{bytecode, export, text};
use beiming_ir::tensor::Data;

/// Reads a text, and shows what is wrong with it.
pub fn read_text(source: &[u8]) {
    for piece in text::pieces(source) {
        if let Err(problems) = text::parse(piece) {
            assert!(!problems.is_empty());
            for p in &problems {
                assert!(!text::render(p, piece, "fuzz.mlir").is_empty());
            }
        }
    }
}

/// Reads a portable artifact, or what is no artifact as a file of `jax.export`.
pub fn read_artifact(bytes: &[u8]) {
    let data: Data = bytes.to_vec().into();
    if bytecode::is_bytecode(bytes) {
        let _ = bytecode::read(data);
    } else if let Ok(e) = export::read(data) {
        let _ = e.module();
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn text() {
        bolero::check!().with_iterations(300).for_each(|bytes: &[u8]| super::read_text(bytes));
    }

    #[test]
    fn artifact() {
        bolero::check!().with_iterations(2000).for_each(|bytes: &[u8]| {
            super::read_artifact(bytes);
            super::read_artifact(&[b"ML\xefR\x0dStableHLO_v1.0.0\0", bytes].concat());
        });
    }
}
