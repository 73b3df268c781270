//! A graph taken apart by the steps of the program that it was imported from: several nodes each, known by what they give.
//!
//! An importer says of a node which op of its file it comes from, but a program that was lowered to that file (a function of JAX)
//! has steps of its own, of one op of the file or of many. The lowered program gives what they compute as further results, and
//! with those values at hand no name or place has to survive the lowering: the nodes of a step are those between its results
//! and the results of the steps before it.

use std::collections::{BTreeMap, BTreeSet};

use beiming_ir::graph::{Def, Graph, Loc, NodeId, ValueId};
use beiming_ir::ops::Op;

use super::DebugError;
use super::graph_source::{GraphSource, Group};

/// A step of the program.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it does, such as `dot_general`.
    pub op: String,
    /// Where in the source of the program, for a reader.
    pub name: String,
    /// How many of the graph's outputs it gives.
    pub results: usize,
}

impl GraphSource {
    /// Of a graph whose first outputs are the model's, called `titles`, and whose others are those of `steps`, in order: its ops
    /// are the steps. What step 7 gives is called `tanh_7` or, where that is several values, `scan_7.0`. Steps that no result of the
    /// model needs, and those that compute nothing (their results are constants, or values that a step before them gives) are left
    /// out.
    ///
    /// # Errors
    /// [`DebugError::Usage`] where the graph has not as many outputs.
    pub fn of_steps(mut graph: Graph, titles: &[String], steps: &[Step]) -> Result<GraphSource, DebugError> {
        let (has, wants) = (graph.outputs.len(), titles.len() + steps.iter().map(|s| s.results).sum::<usize>());
        if has != wants {
            return Err(DebugError::Usage(format!("the graph has {has} outputs, and its steps {wants}")));
        }
        let given = graph.outputs.split_off(titles.len());
        graph.output_names = titles.iter().map(|t| t.as_str().into()).collect();
        let live = needed(&graph);
        let mut names: BTreeMap<ValueId, String> = BTreeMap::new();
        let mut taken: BTreeSet<String> = graph.inputs.iter().map(|v| graph.value(*v).name.to_string()).collect();
        for (title, v) in titles.iter().zip(&graph.outputs) {
            if matches!(graph.value(*v).def, Def::Node(..)) && !names.contains_key(v) && taken.insert(title.clone()) {
                names.insert(*v, title.clone());
            }
        }
        let mut known: BTreeSet<ValueId> = BTreeSet::new();
        let mut groups = vec![];
        let mut rest = given.as_slice();
        for (i, step) in steps.iter().enumerate() {
            let (own, after) = rest.split_at(step.results);
            rest = after;
            let mut outputs: Vec<ValueId> = vec![];
            for (k, v) in own.iter().enumerate() {
                let computed = matches!(graph.value(*v).def, Def::Node(..)) && graph.const_of(*v).is_none();
                if !computed || !live.contains(v) || known.contains(v) || outputs.contains(v) {
                    continue;
                }
                outputs.push(*v);
                let name = if step.results == 1 { format!("{}_{i}", step.op) } else { format!("{}_{i}.{k}", step.op) };
                if !names.contains_key(v) && taken.insert(name.clone()) {
                    names.insert(*v, name);
                }
            }
            let loc = Loc::new(step.name.as_str(), step.op.as_str(), format!("equation {i}"));
            push(&graph, step.op.clone(), loc, outputs, &mut known, &mut groups);
        }
        // Results that are no step's: what the border of the program does to them.
        for v in graph.outputs.clone() {
            if let Some(n) = graph.def(v).filter(|_| graph.const_of(v).is_none() && !known.contains(&v)) {
                push(&graph, n.op.name(), n.loc.clone(), vec![v], &mut known, &mut groups);
            }
        }
        // A node of several steps is the first one's.
        let mut placed = BTreeSet::new();
        for group in &groups {
            group.nodes.iter().filter(|n| placed.insert(**n)).for_each(|n| *graph.loc_mut(*n) = group.loc.clone());
        }
        for (v, name) in names {
            graph.value_mut(v).name = name.as_str().into();
        }
        Ok(GraphSource::grouped(graph, groups))
    }
}

/// Adds the group that gives these values, if there are any, and makes them known.
fn push(graph: &Graph, op: String, loc: Loc, outputs: Vec<ValueId>, known: &mut BTreeSet<ValueId>, groups: &mut Vec<Group>) {
    if outputs.is_empty() {
        return;
    }
    let nodes = between(graph, &outputs, known);
    known.extend(&outputs);
    groups.push(Group { op, loc, nodes, outputs });
}

/// Nodes that compute `outputs` of values that are known, in order.
fn between(graph: &Graph, outputs: &[ValueId], known: &BTreeSet<ValueId>) -> Vec<NodeId> {
    let mut nodes = BTreeSet::new();
    let mut open = outputs.to_vec();
    while let Some(v) = open.pop() {
        if let Def::Node(n, _) = graph.value(v).def
            && !known.contains(&v)
            && !matches!(graph.node(n).op, Op::Constant(_))
            && nodes.insert(n)
        {
            open.extend(&graph.node(n).inputs);
        }
    }
    nodes.into_iter().collect()
}

/// Values that the graph's outputs are computed from, and they themselves.
fn needed(graph: &Graph) -> BTreeSet<ValueId> {
    let mut live: BTreeSet<ValueId> = graph.outputs.iter().copied().collect();
    for n in graph.nodes().iter().rev() {
        if n.outputs.iter().any(|v| live.contains(v)) {
            live.extend(&n.inputs);
        }
    }
    live
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debug::{Against, Source, Tolerance, Values, reference};
    use beiming_ir::tensor::Tensor;
    use beiming_ir::text::parse_graph;

    /// Steps: a fold of two nodes, one that gives the same again, a dead one, a tanh; and a result that is no step's.
    const PROGRAM: &str = r#"
graph "g" {
  %0 = input "x" : f32[3]
  %1 = Unary(Abs) %0 : f32[3]
  %2 = Unary(Neg) %1 : f32[3]
  %3 = Unary(Exp) %0 : f32[3]
  %4 = Unary(Tanh) %2 : f32[3]
  %5 = Unary(Neg) %4 : f32[3]
  output "result[0]" %5
  output "result[1][0]" %2
  output "result[1][1]" %2
  output "result[1][2]" %3
  output "result[1][3]" %4
}
"#;

    fn step(op: &str) -> Step {
        Step { op: op.into(), name: format!("f.py:{}", op.len()), results: 1 }
    }

    #[test]
    fn ops_are_the_steps_that_compute() {
        let graph = || parse_graph(PROGRAM, &[]).expect("a graph");
        let steps = [step("fold"), step("again"), step("dead"), step("tanh")];
        let s = GraphSource::of_steps(graph(), &["y".into()], &steps).expect("steps");
        let shown: Vec<String> =
            s.ops().iter().map(|o| format!("{} {} {:?} -> {:?}", o.op, o.place, o.inputs, o.outputs)).collect();
        let border = format!("neg {} [\"tanh_3\"] -> [\"y\"]", graph().nodes()[4].loc.place);
        let want = [r#"fold equation 0 ["x"] -> ["fold_0"]"#, r#"tanh equation 3 ["fold_0"] -> ["tanh_3"]"#];
        assert_eq!(shown[..2], want);
        assert_eq!(shown[2..], [border]);
        assert_eq!(s.results(), ["y"]);
        // A step alone takes what the steps before it give.
        let x = vec![("x".to_string(), Tensor::f32(&[3], &[1.0, -2.0, 0.5]))];
        let mut all: Values = reference::values(Against::Eval, &s, &s.all(), &x).expect("evaluated");
        all.extend(x.iter().cloned());
        let cut = s.cut(&[0], &all).expect("a cut");
        assert_eq!((cut.graph.nodes().len(), cut.outputs.as_slice()), (2, ["fold_0".to_string()].as_slice()));
        let cut = s.cut(&[1, 2], &all).expect("a cut");
        assert_eq!(cut.inputs[0].0, "fold_0");
        let got = beiming_ir::eval::graph(&cut.graph, &[cut.inputs[0].1.clone()]).expect("evaluated");
        assert!(crate::debug::Difference::of(&got[0], &all["y"], Tolerance::default()).agrees());
        assert!(GraphSource::of_steps(graph(), &["y".into()], &steps[..2]).is_err());
    }
}
