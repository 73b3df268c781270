//! Fused groups as MLIR, for compilers that read it.
//!
//! A group of the optimised graph becomes one function on tensors: elementwise ops are `arith` and `math` ops on whole tensors,
//! all that crosses elements is `linalg` (`fill`, `broadcast`, `transpose`, `reduce`, `matmul`, `batch_matmul`), and what only
//! moves elements is `tensor`. That is the subset that Huawei's AscendNPU-IR compiler takes: of the two forms an elementwise op has
//! upstream it refuses the other, `linalg.generic`. Upstream's `convert-elementwise-to-linalg` turns the one into the other.
//!
//! Every op is built through melior and every module is verified before it is printed: [`emit::groups`] gives text, or says which op
//! has no form here and why. [`tile`] writes what one core does at one grid point, `product` the matrix products of a group alone.
//! The tour: [`emit`] goes through a graph, `ops` picks the family of an op, `build` holds the block that ops are appended to, and
//! the families are `elementwise`, `cast`, `shape`, `gather`, `reduce`, `matmul` and `conv`.
//!
//! The functions carry the attributes that AscendNPU-IR marks a kernel with (`hacc.entry`, `hacc.function_kind`); other tools take
//! them with `--allow-unregistered-dialect`.
//!
//! Everything is behind the feature `melior`: MLIR, linked statically, is 100 MB that only this form needs.

#[cfg(feature = "melior")]
mod build;
#[cfg(feature = "melior")]
mod cast;
#[cfg(feature = "melior")]
mod conv;
#[cfg(feature = "melior")]
mod elementwise;
#[cfg(feature = "melior")]
pub mod emit;
#[cfg(feature = "melior")]
mod gather;
#[cfg(feature = "melior")]
mod matmul;
#[cfg(feature = "melior")]
mod ops;
#[cfg(feature = "melior")]
mod product;
#[cfg(feature = "melior")]
mod reduce;
#[cfg(feature = "melior")]
mod shape;
#[cfg(feature = "melior")]
pub mod tile;
