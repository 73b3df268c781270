//! The languages everything in Beiming is said in.
//!
//! A model is read into a [`graph::Graph`]: typed values, core [`ops`], regions for control flow, and for every node where it
//! comes from. Passes rewrite graphs and lower them to a [`plan::Program`]: [`kernel::Kernel`]s (loops over buffers in named
//! memories) and a [`plan::Plan`] (calls, buffers, weights, control flow), for a [`target::Target`].
//!
//! Four things hold everything together. [`ops::infer`] is the only place that knows an op's shape rule. [`eval`] says what
//! graphs and kernels mean: slow, obvious, and the judge of every pass and backend. [`text`] prints all of it and reads it
//! back. [`verify`] turns a `T` into a [`verify::Verified`]`<T>`, the only thing a backend accepts.

pub mod dim;
pub mod eval;
pub mod graph;
pub mod kernel;
pub mod num;
pub mod ops;
mod pack;
pub mod plan;
pub mod target;
pub mod tensor;
pub mod text;
pub mod types;
pub mod verify;
pub mod walk;
