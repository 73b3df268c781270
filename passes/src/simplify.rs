//! The ordinary cleaning walk: one pass over the nodes in order that folds constants, sinks broadcasts, applies identities and shares equal
//! nodes, then drops dead code; repeated while something changes.

use beiming_ir::graph::Graph;

use crate::fold::Budget;
use crate::rebuild::Rebuild;
use crate::{PassError, broadcasts, dce, fold, identities};

/// Walks at most; each walk already sees the results of its own rewrites on arguments, so two usually suffice.
const ROUNDS: usize = 4;

/// The graph simplified; regions are left as they are.
pub fn run(mut graph: Graph, budget: &mut Budget) -> Result<Graph, PassError> {
    for _ in 0..ROUNDS {
        let before = graph.nodes().len();
        let (next, rewrites) = walk(&graph, budget)?;
        graph = dce::run(&next)?;
        if rewrites == 0 && graph.nodes().len() == before {
            break;
        }
    }
    Ok(graph)
}

fn walk(graph: &Graph, budget: &mut Budget) -> Result<(Graph, usize), PassError> {
    let live = dce::live_nodes(graph);
    let users = fold::users(graph);
    let mut r = Rebuild::new(graph);
    let mut rewrites = 0;
    for (node, _) in graph.nodes().iter().zip(live).filter(|(_, live)| *live) {
        let inputs = r.inputs(node)?;
        let users = users[node.outputs[0].index()];
        if let Some(tensors) = fold::node(graph, node, &r.new, &inputs, users, budget) {
            for (v, t) in node.outputs.iter().zip(&tensors) {
                let c = r.constant(t, &node.loc);
                r.set(*v, c);
            }
            rewrites += 1;
        } else if let [out] = node.outputs.as_slice()
            && let Some(v) =
                broadcasts::node(&mut r, &node.op, &inputs, graph.ty(*out), &node.loc).filter(|v| r.new.ty(*v) == graph.ty(*out))
        {
            r.set(*out, v);
            rewrites += 1;
        } else if let [out] = node.outputs.as_slice()
            && let Some(v) = identities::node(&mut r, &node.op, &inputs, graph.ty(*out), &node.loc)
        {
            r.set(*out, v);
            rewrites += 1;
        } else {
            r.copy_with(node, inputs)?;
        }
    }
    Ok((r.finish()?, rewrites))
}
