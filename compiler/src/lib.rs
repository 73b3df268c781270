//! The compiler: importers, driver, artifact writer, command line.

pub mod artifact;
pub mod cli;
pub mod driver;
pub mod import;

pub use driver::{CompileError, Options, compile};
