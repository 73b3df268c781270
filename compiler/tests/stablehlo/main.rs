//! Reading StableHLO.

mod bytecode;
mod canon;
mod dump;
mod hostile;
mod ours;
mod text;
mod writer;
