//! Graph in, program out; never sees a backend.
//!
//! `optimize` rewrites a graph: ordinary passes, then equality saturation that fuses. `lower` turns every node of the
//! result into a kernel and the whole into a plan.

pub mod lower;
pub mod saturate;
