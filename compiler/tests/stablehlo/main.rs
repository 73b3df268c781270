//! Reading StableHLO.

mod text;
