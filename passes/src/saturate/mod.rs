//! Equality saturation over the IR's own ops, in two small parts: `rewrite` applies the directional rules of algebra, layout
//! and recognition to the whole graph; `fuse` adds the fused groups and lets the cost choose between them and the bare ops.
//! Both extract on the DAG cost of the target's roofline.

pub mod extract;
pub mod facts;
pub mod group;
pub mod language;
pub mod limits;
pub mod rules;
pub mod run;
mod source;

use beiming_ir::graph::Graph;
use beiming_ir::ops::Op;
use beiming_ir::target::Target;
use beiming_ir::types::TensorType;
use egg::Id;

use crate::cost::{Cost, CostModel};
use crate::report::{Report, Saturation};
use crate::{OptimizeOptions, PassError};
use facts::{Eg, ty};
use language::ENode;
use rules::Promise;

/// Share of an elementwise op's memory traffic that counts before fusion: most of them will be part of a kernel that runs
/// anyway, which is also why starting them costs nothing.
const FUSED_SHARE: f64 = 0.1;
/// What an op that reads a shape op costs more, in seconds. It only decides ties: shape ops go after arithmetic, where they do
/// not stand between a contraction and its epilogue.
const BEHIND_A_VIEW: f64 = 1e-10;

/// Rewrites a graph by rules.
pub fn rewrite(graph: &Graph, target: &Target, options: &OptimizeOptions, report: &mut Report) -> Result<Graph, PassError> {
    let model = CostModel { target, symbols: &graph.symbols };
    let (mut eg, ids) = run::load(graph)?;
    let roots = roots(graph, &ids);
    let cost_before = cost_of(&eg, &roots, &|eg, id, n| rewrite_cost(&model, eg, id, n)).cost;
    let rules: Vec<_> = rules::rewrites();
    let rules: Vec<_> = rules.into_iter().filter(|r| options.reassociate || r.promise == Promise::Exact).collect();
    let (uses, growth, stop) = run::saturate(&mut eg, &rules, &options.limits)?;
    let chosen = cost_of(&eg, &roots, &|eg, id, n| rewrite_cost(&model, eg, id, n));
    report.saturations.push(Saturation {
        graph: graph.name.to_string(),
        stage: "rewrite",
        rules: uses,
        growth,
        stop,
        cost_before,
        cost_after: chosen.cost,
    });
    run::graph(&eg, &chosen, graph, &roots)
}

/// Joins ops into fused groups.
pub fn fuse(graph: &Graph, target: &Target, report: &mut Report) -> Result<Graph, PassError> {
    let model = CostModel { target, symbols: &graph.symbols };
    let (mut eg, ids) = run::load(graph)?;
    let roots = roots(graph, &ids);
    let cost_before = cost_of(&eg, &roots, &|eg, id, n| node_cost(&model, eg, id, n)).cost;
    let before = eg.total_size();
    let (uses, unfused) = group::apply(&mut eg, &roots, &model);
    eg.rebuild();
    let chosen = cost_of(&eg, &roots, &|eg, id, n| node_cost(&model, eg, id, n));
    report.saturations.push(Saturation {
        graph: graph.name.to_string(),
        stage: "fuse",
        rules: uses,
        growth: vec![before, eg.total_size()],
        stop: crate::report::Stop::Saturated,
        cost_before,
        cost_after: chosen.cost,
    });
    report.unfused.extend(unfused);
    run::graph(&eg, &chosen, graph, &roots)
}

/// The classes that are needed: of the nodes that must run first, in their order, then of the outputs.
fn roots(graph: &Graph, ids: &[Id]) -> Vec<Id> {
    let first = crate::dce::first_nodes(graph).into_iter().map(|n| graph.node(n).outputs[0]);
    first.chain(graph.outputs.iter().copied()).map(|v| ids[v.index()]).collect()
}

fn cost_of(eg: &Eg, roots: &[Id], cost: &dyn Fn(&Eg, Id, &ENode) -> f64) -> extract::Extraction {
    extract::extract(eg, roots, &|id, n| cost(eg, id, n))
}

/// Cost of the kernel a node becomes; nothing for inputs and for the other results of an op that is paid for by its first.
fn kernel_cost(model: &CostModel, eg: &Eg, class: Id, node: &ENode) -> Cost {
    let Some(op) = node.as_op() else { return Cost::default() };
    let inputs: Vec<&TensorType> = node.children.iter().map(|c| ty(eg, *c)).collect();
    model.op(op, &inputs, std::slice::from_ref(ty(eg, class)), &eg.analysis.shell)
}

/// Its seconds.
fn node_cost(model: &CostModel, eg: &Eg, class: Id, node: &ENode) -> f64 {
    kernel_cost(model, eg, class, node).seconds
}

/// As `node_cost`, for ops that are not fused yet: the arithmetic of an elementwise op counts whole, its traffic as the share
/// that is left after fusion.
fn rewrite_cost(model: &CostModel, eg: &Eg, class: Id, node: &ENode) -> f64 {
    let cost = kernel_cost(model, eg, class, node);
    let Some(op) = node.as_op().filter(|op| !matches!(op, Op::Reshape { .. } | Op::Transpose { .. })) else {
        return cost.seconds;
    };
    let view = |c: &Id| eg[*c].nodes.iter().all(|n| matches!(n.as_op(), Some(Op::Reshape { .. } | Op::Transpose { .. })));
    let behind = node.children.iter().filter(|c| view(c)).count() as f64 * BEHIND_A_VIEW;
    let fused = op.is_elementwise() || matches!(op, Op::Broadcast { .. });
    behind + if fused { cost.arithmetic + FUSED_SHARE * cost.traffic } else { cost.seconds }
}
