//! Dead code: nodes, constants and regions that no output needs are left out.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use beiming_ir::graph::{Def, Graph, NodeId};
use beiming_ir::ops::Op;

use crate::PassError;
use crate::rebuild::Rebuild;

/// The graph without what its outputs do not depend on. Inputs stay: they are the model's signature.
pub fn run(graph: &Graph) -> Result<Graph, PassError> {
    let live = live_nodes(graph);
    let mut r = Rebuild::new(graph);
    for (node, _) in graph.nodes().iter().zip(live).filter(|(_, live)| *live) {
        r.copy(node)?;
    }
    r.finish()
}

/// For every node, whether an output depends on it.
pub(crate) fn live_nodes(graph: &Graph) -> Vec<bool> {
    let mut live = vec![false; graph.nodes().len()];
    let mark = |live: &mut Vec<bool>, v| {
        if let Def::Node(n, _) = graph.value(v).def {
            live[n.index()] = true;
        }
    };
    for &v in &graph.outputs {
        mark(&mut live, v);
    }
    // What is read off a value may end the run: it is always needed.
    for (i, node) in graph.nodes().iter().enumerate() {
        live[i] |= matches!(node.op, Op::ReadDims(_));
    }
    let (mut named, given) = (BTreeSet::new(), given(graph));
    for i in (0..graph.nodes().len()).rev() {
        let node = &graph.nodes()[i];
        live[i] |= node.op.binds().iter().any(|s| named.contains(s) && !given.contains(s));
        if live[i] {
            for &v in &node.inputs {
                mark(&mut live, v);
            }
            named.extend(symbols_of(graph, &node.op));
        }
    }
    live
}

/// Symbols in the payload of an op and in its regions, but for those that it gives values to itself.
fn symbols_of(graph: &Graph, op: &Op) -> BTreeSet<Arc<str>> {
    let found = RefCell::new(BTreeSet::new());
    drop(op.map_dims(&|d| {
        found.borrow_mut().extend(d.symbols());
        d.clone()
    }));
    let mut found = found.into_inner();
    for r in op.regions() {
        let region = graph.region(r);
        found.extend(region.nodes().iter().flat_map(|n| symbols_of(region, &n.op)));
    }
    for s in op.binds() {
        found.remove(&s);
    }
    found
}

/// Symbols that have a value before the first node runs.
fn given(graph: &Graph) -> BTreeSet<Arc<str>> {
    let extents = graph.inputs.iter().flat_map(|v| &graph.ty(*v).shape).flat_map(|d| d.symbols());
    extents.chain(graph.valued_symbols().into_iter().map(|(name, _)| name)).collect()
}

/// The nodes that must run although no output is computed from them, in their order: those that read extents, and those that give
/// values to symbols which the payload of a live node names. Whatever builds a graph in an order of its own begins with these.
pub(crate) fn first_nodes(graph: &Graph) -> Vec<NodeId> {
    let live = live_nodes(graph);
    let alive = || graph.nodes().iter().enumerate().filter(|(i, _)| live[*i]);
    let named: BTreeSet<Arc<str>> = alive().flat_map(|(_, n)| symbols_of(graph, &n.op)).collect();
    let given = given(graph);
    let binds = |op: &Op| op.binds().iter().any(|s| named.contains(s) && !given.contains(s));
    let first = alive().filter(|(_, n)| matches!(n.op, Op::ReadDims(_)) || binds(&n.op));
    first.map(|(i, _)| NodeId(i as u32)).collect()
}
