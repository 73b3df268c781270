//! The compiler: importers, driver, artifact writer, command line.
