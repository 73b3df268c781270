//! Equality saturation over the IR's own ops.

pub mod limits;
pub mod rules;
