//! Dead code: nodes, constants and regions that no output needs are left out.

use beiming_ir::graph::{Def, Graph};

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
    for i in (0..graph.nodes().len()).rev() {
        if live[i] {
            for &v in &graph.nodes()[i].inputs {
                mark(&mut live, v);
            }
        }
    }
    live
}
