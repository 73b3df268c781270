//! The compiler: importers, driver, artifact writer, command line.
//!
//! [`compile`] goes the whole way; `driver` has it stage by stage, `stage` writes and reads what lies between, `explanation`
//! keeps what was decided, `debug` finds where a result goes wrong and shows a compiled model on a page. With the feature
//! `mlir`, groups are also written as MLIR. Without the feature
//! `compile` only the commands that run artifacts are built: no LLVM, no passes.

#[cfg(feature = "compile")]
pub mod artifact;
#[cfg(feature = "compile")]
pub mod ascend;
pub mod cli;
#[cfg(feature = "compile")]
pub mod debug;
#[cfg(feature = "compile")]
pub mod driver;
#[cfg(feature = "compile")]
pub mod explanation;
#[cfg(feature = "compile")]
pub mod import;
#[cfg(feature = "mlir")]
pub mod mlir;
#[cfg(feature = "compile")]
pub mod stage;

// MLIR comes with an LLVM of its own, linked statically; a second, shared one in the same process would share its symbols.
#[cfg(all(feature = "mlir", feature = "llvm-shared"))]
compile_error!("the feature `mlir` needs LLVM linked statically: build with `--no-default-features --features mlir`");

pub use beiming_ir::{plan, target, tensor, types};
#[cfg(feature = "compile")]
pub use driver::{CompileError, Options, Summary, compile};
