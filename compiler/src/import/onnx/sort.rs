//! Order of nodes. The standard wants them sorted; files in the wild are not always.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::proto::{GraphProto, NodeProto};

/// Positions of `nodes` such that each comes after those it takes values from, close to the given order; or, where there is
/// no such order, the positions of the nodes on or behind a cycle.
pub fn order(nodes: &[NodeProto]) -> Result<Vec<usize>, Vec<usize>> {
    let mut producer = HashMap::with_capacity(nodes.len());
    for (i, n) in nodes.iter().enumerate() {
        for name in n.output.iter().filter(|o| !o.is_empty()) {
            producer.entry(name.as_str()).or_insert(i);
        }
    }
    let mut users: Vec<Vec<usize>> = vec![vec![]; nodes.len()];
    let mut waits = vec![0usize; nodes.len()];
    let mut sorted = true;
    let mut names = vec![];
    for (i, n) in nodes.iter().enumerate() {
        names.clear();
        names.extend(n.input.iter().map(String::as_str));
        for g in subgraphs(n) {
            free_names(g, &mut names);
        }
        for name in &names {
            if let Some(&p) = producer.get(name) {
                users[p].push(i);
                waits[i] += 1;
                sorted &= p < i;
            }
        }
    }
    if sorted {
        return Ok((0..nodes.len()).collect());
    }
    let mut ready: BinaryHeap<Reverse<usize>> = (0..nodes.len()).filter(|i| waits[*i] == 0).map(Reverse).collect();
    let mut out = Vec::with_capacity(nodes.len());
    while let Some(Reverse(i)) = ready.pop() {
        out.push(i);
        for &u in &users[i] {
            waits[u] -= 1;
            if waits[u] == 0 {
                ready.push(Reverse(u));
            }
        }
    }
    if out.len() == nodes.len() { Ok(out) } else { Err((0..nodes.len()).filter(|i| waits[*i] > 0).collect()) }
}

/// The graphs among a node's attributes.
pub fn subgraphs(n: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    n.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs))
}

/// Appends the names that a graph takes from around it. The depth of the recursion is bounded by the protobuf decoder's.
pub fn free_names<'m>(g: &'m GraphProto, out: &mut Vec<&'m str>) {
    let mut own: HashSet<&str> = g.input.iter().map(|i| i.name()).collect();
    own.extend(g.initializer.iter().map(|t| t.name()));
    own.extend(g.node.iter().flat_map(|n| n.output.iter().map(String::as_str)));
    let start = out.len();
    for n in &g.node {
        out.extend(n.input.iter().map(String::as_str));
        for s in subgraphs(n) {
            free_names(s, out);
        }
    }
    out.extend(g.output.iter().map(|o| o.name()));
    let mut kept = start;
    for i in start..out.len() {
        if !own.contains(out[i]) {
            out.swap(kept, i);
            kept += 1;
        }
    }
    out.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(inputs: &[&str], outputs: &[&str]) -> NodeProto {
        let own = |v: &[&str]| v.iter().map(|s| s.to_string()).collect();
        NodeProto { input: own(inputs), output: own(outputs), ..NodeProto::default() }
    }

    #[test]
    fn nodes_are_sorted() {
        let sorted = [node(&["x"], &["a"]), node(&["a"], &["b"])];
        assert_eq!(order(&sorted), Ok(vec![0, 1]));
        let mixed = [node(&["b"], &["c"]), node(&["x"], &["a"]), node(&["a", ""], &["b"])];
        assert_eq!(order(&mixed), Ok(vec![1, 2, 0]));
        let cycle = [node(&["x"], &["y"]), node(&["b"], &["a"]), node(&["a"], &["b"])];
        assert_eq!(order(&cycle), Err(vec![1, 2]));
        assert_eq!(order(&[node(&["a"], &["a"])]), Err(vec![0]));
    }
}
