//! Between graphs and e-graphs, and the loop that applies rules.

use std::collections::HashMap;
use std::sync::Arc;

use beiming_ir::graph::{Graph, Loc, ValueId};
use beiming_ir::ops::Op;
use egg::Id;

use super::extract::Extraction;
use super::facts::{Eg, Facts, add_typed, ty};
use super::language::{ENode, Head};
use super::limits::Limits;
use super::rules::Rule;
use super::source;
use crate::PassError;
use crate::rebuild::Consts;
use crate::report::{RuleUse, Stop};

/// The e-graph of a graph, and the class of every value.
pub fn load(graph: &Graph) -> Result<(Eg, Vec<Id>), PassError> {
    let mut eg = Eg::new(Facts::new(graph));
    let mut ids: Vec<Option<Id>> = vec![None; graph.values().len()];
    let mut consts = HashMap::new();
    for (i, &v) in graph.inputs.iter().enumerate() {
        let node = ENode { head: Head::Input(i as u32), children: [].into() };
        ids[v.index()] = Some(add_typed(&mut eg, node, graph.ty(v).clone()));
    }
    for node in graph.nodes() {
        eg.analysis.come_from(&node.loc);
        let op = match &node.op {
            Op::Constant(c) => {
                let t = graph.consts.get(c.index()).ok_or_else(|| PassError::Malformed(format!("no constant {}", c.0)))?;
                let id = *consts.entry(*c).or_insert_with(|| super::facts::add_constant(&mut eg, t));
                ids[node.outputs[0].index()] = Some(id);
                continue;
            }
            op => Arc::new(op.clone()),
        };
        let children: Option<Box<[Id]>> = node.inputs.iter().map(|v| ids[v.index()]).collect();
        let children =
            children.ok_or_else(|| PassError::Malformed(format!("`{}` uses a value before it is defined", node.loc.name)))?;
        for (k, v) in node.outputs.iter().enumerate() {
            let node = ENode { head: Head::Op(op.clone(), k as u32), children: children.clone() };
            ids[v.index()] = Some(add_typed(&mut eg, node, graph.ty(*v).clone()));
        }
    }
    eg.rebuild();
    let ids = ids.into_iter().map(|id| id.unwrap_or(Id::from(0))).collect();
    Ok((eg, ids))
}

/// Applies `rules` until nothing new is found or a limit is met. Classes are visited in the order of the graph, so one walk
/// carries a transpose down a whole chain; limits are looked at after every application, not only after a rule's last.
pub fn saturate(eg: &mut Eg, rules: &[&Rule], limits: &Limits) -> Result<(Vec<RuleUse>, Vec<usize>, Stop), PassError> {
    let size = eg.total_size().max(256);
    let (max_nodes, max_matches) = (size * limits.growth, size * limits.matches);
    let mut uses: Vec<RuleUse> =
        rules.iter().map(|r| RuleUse { name: r.name, promise: r.promise, hits: 0, refused: 0 }).collect();
    let mut growth = vec![eg.total_size()];
    let mut stop = Stop::Iterations(limits.iterations);
    'iterations: for _ in 0..limits.iterations {
        let before = eg.total_size();
        let mut joined = 0;
        let mut matches = vec![0usize; rules.len()];
        let mut ids: Vec<Id> = eg.classes().map(|c| c.id).collect();
        ids.sort_unstable();
        for id in ids {
            let nodes = eg[id].nodes.clone();
            let loc = eg[id].data.loc.clone();
            eg.analysis.apply_to(id, &loc);
            for node in nodes {
                let Head::Op(op, 0) = &node.head else { continue };
                for (k, rule) in rules.iter().enumerate() {
                    if !(rule.root)(op) || matches[k] >= max_matches {
                        continue;
                    }
                    for other in (rule.apply)(eg, op, &node.children) {
                        if ty(eg, other) != ty(eg, id) {
                            uses[k].refused += 1;
                        } else if eg.union(id, other) {
                            uses[k].hits += 1;
                            matches[k] += 1;
                            joined += 1;
                        }
                    }
                    if eg.total_size() > max_nodes {
                        eg.rebuild();
                        growth.push(eg.total_size());
                        stop = Stop::Nodes(max_nodes);
                        break 'iterations;
                    }
                }
            }
        }
        eg.rebuild();
        growth.push(eg.total_size());
        if let Some(fault) = eg.analysis.fault.take() {
            return Err(PassError::Fault(fault));
        }
        if joined == 0 && eg.total_size() == before {
            stop = Stop::Saturated;
            break;
        }
    }
    uses.retain(|u| u.hits + u.refused > 0);
    Ok((uses, growth, stop))
}

/// The graph that an extraction describes: nodes in the order in which `roots` need them, and nothing else. The last of the roots are
/// the outputs.
pub fn graph(eg: &Eg, chosen: &Extraction, old: &Graph, roots: &[Id]) -> Result<Graph, PassError> {
    let mut b = Builder {
        eg,
        new: Graph::new(&old.name, old.symbols.clone()),
        consts: Consts::default(),
        values: HashMap::new(),
        done: HashMap::new(),
        sources: eg.analysis.sources().settled(eg),
    };
    for (i, &v) in old.inputs.iter().enumerate() {
        let n = b.new.add_input(&old.value(v).name, old.ty(v).clone());
        // An input may be the same class as another value, but only if a rule says so.
        let node = ENode { head: Head::Input(i as u32), children: [].into() };
        if let Some(id) = eg.lookup(node.clone()) {
            b.done.insert(node, vec![n]);
            b.values.entry(id).or_insert(n);
        }
    }
    // Depth first without recursion: chains may be long.
    let mut stack: Vec<(Id, bool)> = roots.iter().rev().map(|o| (eg.find(*o), false)).collect();
    while let Some((id, ready)) = stack.pop() {
        if b.values.contains_key(&id) {
            continue;
        }
        let node = chosen.node(eg, id).ok_or_else(|| PassError::Fault("an output has no extracted node".into()))?;
        if ready {
            let v = b.add(node, id)?;
            b.values.insert(id, v);
        } else {
            stack.push((id, true));
            stack.extend(node.children.iter().rev().map(|c| (eg.find(*c), false)));
        }
    }
    for (id, name) in roots[roots.len() - old.outputs.len()..].iter().zip(&old.output_names) {
        let v = b.values[&eg.find(*id)];
        b.new.add_output(name, v);
    }
    Ok(b.new)
}

struct Builder<'a> {
    eg: &'a Eg,
    new: Graph,
    consts: Consts,
    values: HashMap<Id, ValueId>,
    /// Results of a node, by its first result.
    done: HashMap<ENode, Vec<ValueId>>,
    /// Sources of nodes that are not those of their class.
    sources: HashMap<(Id, std::mem::Discriminant<Op>), Loc>,
}

impl Builder<'_> {
    fn add(&mut self, node: &ENode, id: Id) -> Result<ValueId, PassError> {
        let Head::Op(op, k) = &node.head else {
            return self.done.get(node).map(|v| v[0]).ok_or_else(|| PassError::Fault("an input without a value".into()));
        };
        let loc = &self.eg[id].data.loc;
        if let Op::Constant(c) = **op {
            let t = &self.eg.analysis.shell.consts[c.index()];
            let c = self.consts.intern(&mut self.new.consts, t);
            return Ok(self.new.push_typed(Op::Constant(c), vec![], vec![t.ty()], loc.clone())[0]);
        }
        let first = ENode { head: Head::Op(op.clone(), 0), children: node.children.clone() };
        if let Some(v) = self.done.get(&first) {
            return Ok(v[*k as usize]);
        }
        let inputs: Vec<ValueId> = node.children.iter().map(|c| self.values[&self.eg.find(*c)]).collect();
        // Every result of an op was loaded, so the types of all are known.
        let mut types = vec![];
        while let Some(id) = {
            let result = ENode { head: Head::Op(op.clone(), types.len() as u32), children: node.children.clone() };
            self.eg.lookup(result)
        } {
            types.push(ty(self.eg, id).clone());
        }
        let (shell, new) = (&self.eg.analysis.shell, &mut self.new);
        let op = op.map_regions(&mut |r| new.add_region(Graph::clone(shell.region(r))));
        let own = source::kind(node).and_then(|kind| self.sources.get(&(self.eg.find(id), kind)));
        let loc: Loc = source::with_own(loc, own);
        let outputs = self.new.push_typed(op, inputs, types, loc);
        self.done.insert(first, outputs.clone());
        outputs.get(*k as usize).copied().ok_or_else(|| PassError::Fault("an op lost a result".into()))
    }
}
