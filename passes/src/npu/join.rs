//! Attention as one group: a product whose result only a softmax reads, whose result only another product reads, become one
//! fused node where the chip takes them as one kernel. Scores then never go to memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use beiming_ir::graph::{Graph, Loc, Node, ValueId};
use beiming_ir::ops::{Arg, Body, BodyNode, Op};
use beiming_ir::target::npu::Npu;
use beiming_ir::target::{Family, Target};

use super::lower::takes_attention;
use crate::PassError;
use crate::lower::body::{BodyCx, is_anchor};
use crate::rebuild::Rebuild;

/// A group to be: its ops over these values, and the results that are no longer values of their own.
struct Joined {
    body: Body,
    inputs: Vec<ValueId>,
    inner: [ValueId; 2],
    /// The sources of all three.
    loc: Loc,
}

/// The graph with attentions joined that `target` takes whole; the same graph for other targets.
pub fn run(graph: &Graph, target: &Target) -> Result<Graph, PassError> {
    let npu = match target.family {
        Family::Ascend => Npu::by_name(&target.name),
        _ => None,
    };
    let Some(npu) = npu else { return Ok(graph.clone()) };
    let uses = graph.use_counts();
    let mut joined: BTreeMap<ValueId, Joined> = BTreeMap::new();
    let mut gone = BTreeSet::new();
    for node in graph.nodes() {
        let Some(j) = candidate(graph, node, &uses) else { continue };
        if takes(graph, node, &j, target, &npu) {
            gone.extend(j.inner);
            joined.insert(node.outputs[0], j);
        }
    }
    if joined.is_empty() {
        return Ok(graph.clone());
    }
    let mut r = Rebuild::new(graph);
    for node in graph.nodes() {
        let Some(out) = node.outputs.first() else { continue };
        if gone.contains(out) {
            continue;
        }
        let Some(j) = joined.get(out) else {
            r.copy(node)?;
            continue;
        };
        let inputs = j.inputs.iter().map(|v| r.get(*v)).collect::<Result<Vec<_>, _>>()?;
        let fail = |source| PassError::Infer { node: node.loc.name.to_string(), source };
        let v = r.push1(Op::Fused(j.body.clone().into()), &inputs, &j.loc).map_err(fail)?;
        r.set(*out, v);
    }
    r.finish()
}

/// A node's ops over its inputs.
fn body_of(node: &Node) -> Option<Body> {
    match &node.op {
        Op::Fused(b) => Some((**b).clone()),
        Op::MatMul { .. } | Op::Softmax { .. } => {
            let args = (0..node.inputs.len() as u32).map(Arg::Input).collect();
            Some(Body { inputs: node.inputs.len() as u32, nodes: vec![BodyNode { op: node.op.clone(), args }] })
        }
        _ => None,
    }
}

/// The one anchor of a body.
fn anchor(b: &Body) -> Option<usize> {
    let mut anchors = (0..b.nodes.len()).filter(|n| is_anchor(&b.nodes[*n].op));
    let first = anchors.next()?;
    anchors.next().is_none().then_some(first)
}

/// The input that an argument is a conversion of.
fn traced(b: &Body, mut a: Arg) -> Option<u32> {
    loop {
        match a {
            Arg::Input(n) => return Some(n),
            Arg::Node(n) if matches!(b.nodes[n as usize].op, Op::Cast { .. }) => a = b.nodes[n as usize].args[0],
            Arg::Node(_) => return None,
        }
    }
}

/// The node that makes a value which nothing but one argument of one node reads.
fn sole<'g>(graph: &'g Graph, uses: &[u32], v: ValueId) -> Option<&'g Node> {
    (uses[v.index()] == 1 && !graph.outputs.contains(&v)).then(|| graph.def(v)).flatten()
}

/// The group that ends in `last`, if it is the second product of an attention.
fn candidate(graph: &Graph, last: &Node, uses: &[u32]) -> Option<Joined> {
    let c = body_of(last)?;
    let product = anchor(&c).filter(|n| matches!(c.nodes[*n].op, Op::MatMul { .. }))?;
    let weights = last.inputs[traced(&c, c.nodes[product].args[0])? as usize];
    let middle = sole(graph, uses, weights)?;
    let b = body_of(middle)?;
    anchor(&b).filter(|n| matches!(b.nodes[*n].op, Op::Softmax { .. }))?;
    let first = |v: &ValueId| {
        let node = sole(graph, uses, *v)?;
        let a = body_of(node)?;
        anchor(&a).filter(|n| matches!(a.nodes[*n].op, Op::MatMul { .. }))?;
        Some((*v, node, a))
    };
    let (scores, first, a) = middle.inputs.iter().find_map(first)?;
    let mut j = Joined {
        body: Body { inputs: 0, nodes: vec![] },
        inputs: vec![],
        inner: [scores, weights],
        loc: source([first, middle, last]),
    };
    let mut made: BTreeMap<ValueId, Arg> = BTreeMap::new();
    for (node, body) in [(first, a), (middle, b), (last, c)] {
        let base = j.body.nodes.len() as u32;
        for n in body.nodes {
            let mut arg = |a: &Arg| match *a {
                Arg::Node(k) => Arg::Node(base + k),
                Arg::Input(k) => {
                    let v = node.inputs[k as usize];
                    *made.entry(v).or_insert_with(|| {
                        j.inputs.push(v);
                        Arg::Input(j.inputs.len() as u32 - 1)
                    })
                }
            };
            let args = n.args.iter().map(&mut arg).collect();
            j.body.nodes.push(BodyNode { op: n.op, args });
        }
        made.insert(node.outputs[0], Arg::Node(j.body.nodes.len() as u32 - 1));
    }
    j.body.inputs = j.inputs.len() as u32;
    Some(j)
}

/// The sources of several nodes as one.
fn source(nodes: [&Node; 3]) -> Loc {
    let join = |pick: &dyn Fn(&Loc) -> &Arc<str>| {
        let names: Vec<&str> = nodes.iter().map(|n| &**pick(&n.loc)).filter(|s| !s.is_empty()).collect();
        names.join("+")
    };
    let own = |n: &&Node| if n.loc.parts.is_empty() { vec![n.loc.clone()] } else { n.loc.parts.to_vec() };
    let parts = nodes.iter().flat_map(own).collect();
    Loc { parts, ..Loc::new(join(&|l| &l.name), join(&|l| &l.op), join(&|l| &l.place)) }
}

/// True where the group becomes one kernel.
fn takes(graph: &Graph, last: &Node, j: &Joined, target: &Target, npu: &Npu) -> bool {
    let node =
        Node { op: Op::Fused(j.body.clone().into()), inputs: j.inputs.clone(), outputs: last.outputs.clone(), ..last.clone() };
    BodyCx::new(target, &graph.symbols, graph, &node).is_ok_and(|cx| takes_attention(&cx, npu))
}
