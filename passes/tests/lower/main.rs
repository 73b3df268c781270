//! Lowering against the meaning of graphs: every case is lowered, its program run on the evaluators, and the results compared
//! with those of the graph.

mod check;
mod control;
mod origins;
mod plan;
mod pointwise;
mod recurrent;
mod regions;
mod resample;
mod rows;
mod snapshots;
mod windows;
