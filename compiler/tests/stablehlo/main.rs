//! Reading StableHLO.

mod bytecode;
mod canon;
mod dump;
mod ours;
mod text;
