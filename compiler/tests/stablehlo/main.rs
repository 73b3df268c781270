//! Reading StableHLO.

mod bytecode;
mod canon;
mod text;
