//! The compiler: importers, driver, artifact writer, command line.
//!
//! [`compile`] goes the whole way; `driver` has it stage by stage, `stage` writes and reads what lies between, `explanation`
//! keeps what was decided, `debug` finds where a result goes wrong and shows a compiled model on a page. Without the feature
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
#[cfg(feature = "compile")]
pub mod stage;

pub use beiming_ir::{plan, target, tensor, types};
#[cfg(feature = "compile")]
pub use driver::{CompileError, Options, Summary, compile};
