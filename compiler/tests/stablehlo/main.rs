//! Reading StableHLO.
#![allow(clippy::unwrap_used)]

mod bytecode;
mod canon;
mod dynamic;
mod fuzz;
mod hostile;
mod lapack;
mod meaning;
mod ours;
mod participants;
mod text;
mod text_fuzz;
mod writer;
