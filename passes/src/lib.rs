//! Graph in, program out; never sees a backend.
//!
//! `optimize` rewrites a graph: ordinary passes, then equality saturation that fuses. `lower` turns every node of the
//! result into a kernel and the whole into a plan.

mod broadcasts;
pub mod cost;
pub mod dce;
pub mod fold;
pub mod fold_weights;
mod identities;
pub mod layout;
pub mod lower;
pub mod merge_siblings;
pub mod npu;
mod rebuild;
mod recognise_functions;
mod recognise_regions;
mod regions;
pub mod report;
pub mod saturate;
mod simplify;
pub mod tile;
pub mod transfer;

use std::collections::BTreeSet;

use beiming_ir::graph::Graph;
use beiming_ir::ops::Op;
use beiming_ir::target::Target;
use thiserror::Error;

pub use fold::Budget;
pub use report::Report;
pub use saturate::limits::Limits;

/// Why a pass stopped. All of these say that the graph it was given is not one that `verify` accepts, or a fault of ours.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum PassError {
    /// The graph refers to something that is not there.
    #[error("malformed graph: {0}")]
    Malformed(String),
    /// An op does not fit its arguments.
    #[error("{node}: {source}")]
    Infer {
        /// Name of the node.
        node: String,
        /// What does not fit.
        source: beiming_ir::ops::InferError,
    },
    /// A rule or the extraction broke a promise.
    #[error("fault in a rewrite: {0}")]
    Fault(String),
}

/// What `optimize` may do.
#[derive(Clone, Debug)]
pub struct OptimizeOptions {
    /// Bytes that constant folding may add.
    pub fold: Budget,
    /// Limits of a saturation.
    pub limits: Limits,
    /// Allow rewrites that change the order of floating-point operations (results differ by rounding).
    pub reassociate: bool,
    /// Join ops into fused groups; without it every op is a kernel of its own.
    pub fuse: bool,
}

impl Default for OptimizeOptions {
    fn default() -> OptimizeOptions {
        let fold = Budget { per_result: 64 << 20, total: 512 << 20 };
        OptimizeOptions { fold, limits: Limits::default(), reassociate: true, fuse: true }
    }
}

/// Rewrites a graph, its regions included, into an equivalent one that costs less on `target`.
pub fn optimize(graph: Graph, target: &Target, options: &OptimizeOptions) -> Result<(Graph, Report), PassError> {
    let mut report = Report { nodes_before: graph.nodes().len(), ..Report::default() };
    let mut budget = options.fold;
    let graph = rewrite(graph, target, options, &mut budget, &mut report)?;
    report.nodes_after = graph.nodes().len();
    Ok((graph, report))
}

/// The order of the passes, for a model or a region.
fn rewrite(
    graph: Graph,
    target: &Target,
    options: &OptimizeOptions,
    budget: &mut Budget,
    report: &mut Report,
) -> Result<Graph, PassError> {
    let graph = npu::integers::run(graph, target, options.reassociate)?;
    let mut graph = simplify::run(graph, budget)?;
    if !graph.regions.is_empty() {
        graph = recognise_regions::run(&graph, budget, options.reassociate)?;
        graph = simplify::run(regions::run(&graph)?, budget)?;
        let functions = scalar_functions(&graph);
        for (i, region) in std::mem::take(&mut graph.regions).into_iter().enumerate() {
            // A scalar function becomes part of its op's kernel: there is nothing to fuse in it.
            let region = match functions.contains(&i) {
                true => simplify::run(region, budget)?,
                false => rewrite(region, target, options, budget, report)?,
            };
            graph.regions.push(region);
        }
    }
    if options.reassociate
        && let Some(found) = recognise_functions::run(&graph)?
    {
        graph = simplify::run(found, budget)?;
    }
    let graph = saturate::rewrite(&graph, target, options, report)?;
    let mut graph = simplify::run(graph, budget)?;
    if options.reassociate {
        graph = fold_weights::run(&graph)?;
    }
    let graph = merge_siblings::run(&graph, target)?;
    if options.fuse { npu::join::run(&saturate::fuse(&graph, target, report)?, target) } else { Ok(graph) }
}

/// The regions that are scalar functions of their op: those of every op but control flow.
fn scalar_functions(graph: &Graph) -> BTreeSet<usize> {
    let ops = graph.nodes().iter().map(|n| &n.op).filter(|op| !matches!(op, Op::If(_) | Op::Loop(_)));
    ops.flat_map(Op::regions).map(|r| r.index()).collect()
}
