//! Lowering: from an optimised graph to kernels and a plan.
//!
//! [`lower`] walks the graph in node order (`walk`). A node that only relabels a buffer (a reshape) becomes another slot at the
//! same place; control flow becomes nested step lists (`control`); sorting and suppression become host steps; everything else
//! is a *body* (`body`): views and elementwise ops around at most one anchor, which its family turns into kernels:
//! `pointwise` (no anchor), `reduce`, `normalize`, `scan`, `window`, `scatter`, `recurrent`; those whose ops hold regions are `fold_region`,
//! `gather_window`, `select_scatter` and `sort`, which write the scalar functions out with `region`.
//!
//! All families share four tools. `index` keeps indices in affine form, so that views cost nothing. `inline` reads a body
//! element by element down to its inputs. `traverse` finds the axes along which memory is linear. `rows` makes the loops
//! of everything that sweeps over rows. Last, `place` lays the buffers out in the arena.

pub mod body;
pub mod builder;
mod compact;
pub mod contraction;
mod control;
pub(crate) mod families;
mod fold_region;
mod gather_window;
pub mod index;
pub mod inline;
pub mod name;
mod normalize;
mod origins;
pub mod place;
mod pointwise;
mod recurrent;
mod reduce;
mod region;
mod resize;
mod rows;
mod scan;
mod scatter;
mod select_scatter;
mod sort;
mod state;
pub mod traverse;
mod walk;
pub mod wanted;
mod window;

use std::collections::BTreeMap;

use beiming_ir::graph::{Graph, Loc};
use beiming_ir::plan::Program;
use beiming_ir::target::Target;
use thiserror::Error;

/// How a graph is lowered.
#[derive(Clone, Debug)]
pub struct LowerOptions {
    /// Let buffers whose lives do not overlap share memory. Without it every buffer has its own, to look at values afterwards.
    pub reuse: bool,
    /// For an NPU: tiles in place of those that the tiler chooses, by the names that the kernels have with those.
    pub tiles: BTreeMap<String, Vec<i64>>,
    /// Fold regions in the order in which `eval` folds them, rounding at each step, also where the region is a plain sum or product
    /// of floats. Without it those are summed in a wider type and in the order that is fastest.
    pub in_order: bool,
}

impl Default for LowerOptions {
    fn default() -> LowerOptions {
        LowerOptions { reuse: true, tiles: BTreeMap::new(), in_order: false }
    }
}

/// Why one node, or the plan as a whole, cannot be lowered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LowerError {
    /// Source of the node; empty for the plan.
    pub node: Loc,
    /// The op, `plan` for the plan, `tile` for a tile that was asked for.
    pub op: String,
    /// The target.
    pub target: String,
    /// What stands in the way, and what can be done.
    pub why: String,
    /// Names of inputs whose values, were they known, would settle it.
    pub wants: Vec<String>,
}

impl std::fmt::Display for LowerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} for {}: {}", self.op, self.target, self.why)?;
        if !self.node.name.is_empty() {
            write!(f, "\n  at node `{}`", self.node.name)?;
        }
        if !self.node.op.is_empty() {
            write!(f, " ({})", self.node.op)?;
        }
        if !self.node.place.is_empty() {
            write!(f, ", {}", self.node.place)?;
        }
        Ok(())
    }
}

/// Everything that stands in the way, at least one entry.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub struct LowerErrors(pub Vec<LowerError>);

impl std::fmt::Display for LowerErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, e) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{e}")?;
        }
        Ok(())
    }
}

/// A contraction that runs as plain loops, one load at a time, because the tiled kernels do not take it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Untiled {
    /// Source of the node.
    pub node: Loc,
    /// The contraction.
    pub op: String,
    /// Why it is not tiled.
    pub why: String,
}

/// A node that runs on the host's CPU although the target is an NPU.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OnHost {
    /// Source of the node.
    pub node: Loc,
    /// Its ops.
    pub ops: Vec<String>,
    /// What the chip, or the lowering for it, lacks.
    pub why: String,
}

/// What lowering did that is worth knowing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LowerReport {
    /// In the order of the graph; a region's where its node stands.
    pub untiled: Vec<Untiled>,
    /// In the same order; empty for a CPU.
    pub on_host: Vec<OnHost>,
}

/// Lowers a graph (and its regions) for a target. Errors name every node that cannot be lowered, not just the first.
pub fn lower(graph: &Graph, target: &Target, options: &LowerOptions) -> Result<Program, LowerErrors> {
    lower_reported(graph, target, options).map(|(program, _)| program)
}

/// As [`lower`], with a report.
pub fn lower_reported(graph: &Graph, target: &Target, options: &LowerOptions) -> Result<(Program, LowerReport), LowerErrors> {
    walk::program(graph, target, options)
}
