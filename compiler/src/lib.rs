//! The compiler: importers, driver, artifact writer, command line.

pub mod import;
