//! Reading StableHLO, in the three forms in which it is written: MLIR text (pretty, generic, mixed), portable artifacts (VHLO
//! bytecode) and files of `jax.export`.
//!
//! Every form is read into the same [`syntax::Module`]; one translation makes a graph of that.

pub mod bytecode;
pub mod syntax;
pub mod text;
pub mod translate;
