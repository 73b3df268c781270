//! Lowering: from an optimised graph to kernels and a plan.

pub mod body;
pub mod builder;
mod compact;
pub mod contraction;
pub mod index;
pub mod inline;
