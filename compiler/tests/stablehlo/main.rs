//! Reading StableHLO.

mod bytecode;
mod canon;
mod hostile;
mod ours;
mod text;
mod text_fuzz;
mod writer;
