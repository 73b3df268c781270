//! Graphs of the IR, taken apart: what every importer makes, and what a stage's text holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use beiming_ir::eval::Dims;
use beiming_ir::graph::{Graph, Loc, NodeId, ValueId};
use beiming_ir::ops::Op;
use beiming_ir::types::{Dim, Symbols, TensorType};

use super::source::{Cut, OpInfo, Source, border};
use super::{DebugError, Values};
use crate::import::onnx::proto::ModelProto;

/// Nodes that are one op.
pub(super) struct Group {
    /// What the op is called.
    pub op: String,
    /// Its name and place.
    pub loc: Loc,
    /// In ascending order; constants are none of them.
    pub nodes: Vec<NodeId>,
    /// What it gives.
    pub outputs: Vec<ValueId>,
}

/// A graph.
pub struct GraphSource {
    graph: Graph,
    /// Nodes of every op.
    groups: Vec<Group>,
    ops: Vec<OpInfo>,
    names: Vec<String>,
    values: BTreeMap<String, ValueId>,
}

impl GraphSource {
    /// Of a graph, each node an op. Values are called what the graph calls them or, where it has no name or the same one twice, `%7`.
    pub fn new(graph: Graph) -> GraphSource {
        let is_op = |n: &NodeId| !matches!(graph.node(*n).op, Op::Constant(_));
        let group = |n: NodeId| {
            let node = graph.node(n);
            Group { op: node.op.name(), loc: node.loc.clone(), nodes: vec![n], outputs: node.outputs.clone() }
        };
        let groups = (0..graph.nodes().len() as u32).map(NodeId).filter(is_op).map(group).collect();
        GraphSource::grouped(graph, groups)
    }

    /// Of a graph, each group of nodes an op; the groups are in an order in which they can run.
    pub(super) fn grouped(graph: Graph, groups: Vec<Group>) -> GraphSource {
        let mut values = BTreeMap::new();
        let mut names = vec![];
        for (i, v) in graph.values().iter().enumerate() {
            let taken = v.name.is_empty() || values.contains_key(&*v.name);
            let name = if taken { format!("%{i}") } else { v.name.to_string() };
            values.insert(name.clone(), ValueId(i as u32));
            names.push(name);
        }
        let name = |v: &ValueId| names[v.index()].clone();
        let info = |g: &Group| {
            let nodes = || g.nodes.iter().map(|n| graph.node(*n));
            let made: BTreeSet<ValueId> = nodes().flat_map(|n| n.outputs.iter().copied()).collect();
            let around = |v: &&ValueId| !made.contains(v) && graph.const_of(**v).is_none();
            OpInfo {
                name: g.loc.name.to_string(),
                op: g.op.clone(),
                place: g.loc.place.to_string(),
                inputs: nodes().flat_map(|n| &n.inputs).filter(around).map(name).collect(),
                outputs: g.outputs.iter().map(name).collect(),
            }
        };
        let ops = groups.iter().map(info).collect();
        GraphSource { ops, groups, names, values, graph }
    }

    /// Names of the values that the graph gives, in order; one that it gives twice is there twice.
    pub fn outputs(&self) -> Vec<String> {
        self.graph.outputs.iter().map(|v| self.names[v.index()].clone()).collect()
    }

    /// The ops as a graph, with the types of the whole model.
    fn part(&self, keep: &[usize], inputs: &[String], outputs: &[String]) -> Graph {
        let mut new = Graph::new(&self.graph.name, self.graph.symbols.clone());
        let mut map: BTreeMap<ValueId, ValueId> = BTreeMap::new();
        for name in inputs {
            let v = self.values[name];
            map.insert(v, new.add_input(name, self.graph.ty(v).clone()));
        }
        for n in keep.iter().flat_map(|i| &self.groups[*i].nodes) {
            let node = self.graph.node(*n);
            // Another group's as well, or given from around.
            if node.outputs.iter().all(|v| map.contains_key(v)) {
                continue;
            }
            let args = node.inputs.iter().map(|v| self.value(&mut new, &mut map, *v)).collect();
            let op = node.op.map_regions(&mut |r| new.add_region(self.graph.region(r).clone()));
            let types = node.outputs.iter().map(|v| self.graph.ty(*v).clone()).collect();
            let results = new.push_typed(op, args, types, node.loc.clone());
            for (old, v) in node.outputs.iter().zip(results) {
                new.value_mut(v).name = self.names[old.index()].as_str().into();
                map.insert(*old, v);
            }
        }
        for name in outputs {
            let v = self.value(&mut new, &mut map, self.values[name]);
            new.add_output(name, v);
        }
        new
    }

    /// What a value is in the new graph. Those not there yet are constants: inputs and ops came before.
    fn value(&self, new: &mut Graph, map: &mut BTreeMap<ValueId, ValueId>, v: ValueId) -> ValueId {
        if let Some(v) = map.get(&v) {
            return *v;
        }
        let loc = self.graph.def(v).map(|n| n.loc.clone()).unwrap_or_default();
        let c = match self.graph.const_of(v) {
            Some(t) => new.constant(t.clone(), &loc),
            None => new.add_input(&self.names[v.index()], self.graph.ty(v).clone()),
        };
        map.insert(v, c);
        c
    }

    /// Values of the symbols in a run that gave `values`.
    fn dims(&self, values: &Values) -> Dims {
        let mut dims = Dims::new();
        for (name, t) in values {
            let Some(v) = self.values.get(name) else { continue };
            for (d, n) in self.graph.ty(*v).shape.iter().zip(&t.shape) {
                if let Some((s, n)) = d.solve(*n as i64) {
                    dims.entry(s).or_insert(n);
                }
            }
        }
        dims
    }
}

impl Source for GraphSource {
    fn ops(&self) -> &[OpInfo] {
        &self.ops
    }

    fn results(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        self.graph.outputs.iter().filter(|v| seen.insert(**v)).map(|v| self.names[v.index()].clone()).collect()
    }

    fn whole(&self, outputs: &[String]) -> Result<Graph, DebugError> {
        let mut g = self.graph.clone();
        (g.outputs, g.output_names) = (vec![], vec![]);
        for name in outputs {
            let v = self.values.get(name).ok_or_else(|| DebugError::Usage(format!("the graph has no value `{name}`")))?;
            g.add_output(name, *v);
        }
        Ok(g)
    }

    fn inputs(&self) -> Result<(Vec<(String, TensorType)>, Symbols), DebugError> {
        let one = |v: &ValueId| (self.graph.value(*v).name.to_string(), self.graph.ty(*v).clone());
        Ok((self.graph.inputs.iter().map(one).collect(), self.graph.symbols.clone()))
    }

    fn onnx(&self, _outputs: &[String]) -> Option<ModelProto> {
        None
    }

    fn cut(&self, keep: &[usize], values: &Values) -> Result<Cut, DebugError> {
        let (inputs, outputs) = border(&self.ops, &self.results(), keep);
        let mut graph = self.part(keep, &inputs, &outputs);
        // Extents stay open where the inputs of the cut still bind all of them.
        let made = made_symbols(&graph);
        let bound = |s: &Arc<str>| made.contains(s) || is_axis(&graph, s);
        if !used_symbols(&graph).iter().all(bound) {
            let dims = self.dims(values);
            let known = |n: &str| if made.contains(n) { None } else { dims.get(n).map(|v| Dim::Known(*v)) };
            graph = with_dims(&graph, &|d| d.substitute(&known));
        }
        let feed = |n: &String| {
            let t = values.get(n).ok_or_else(|| DebugError::Usage(format!("the reference has no value `{n}`")))?;
            Ok((n.clone(), t.clone()))
        };
        let inputs = inputs.iter().map(feed).collect::<Result<Vec<_>, DebugError>>()?;
        Ok(Cut { ops: keep.to_vec(), graph, inputs, outputs, onnx: None })
    }
}

/// Whether an input has an axis whose extent is just this symbol.
fn is_axis(g: &Graph, s: &str) -> bool {
    g.inputs.iter().flat_map(|v| &g.ty(*v).shape).any(|d| *d == Dim::sym(s))
}

/// Symbols that ops of the graph give values to while it runs.
fn made_symbols(g: &Graph) -> BTreeSet<Arc<str>> {
    g.nodes().iter().flat_map(|n| n.op.binds()).collect()
}

/// Symbols in types and payloads.
fn used_symbols(g: &Graph) -> BTreeSet<Arc<str>> {
    let mut all: BTreeSet<Arc<str>> = g.values().iter().flat_map(|v| &v.ty.shape).flat_map(Dim::symbols).collect();
    let payload = std::cell::RefCell::new(BTreeSet::new());
    let note = |d: &Dim| {
        payload.borrow_mut().extend(d.symbols());
        d.clone()
    };
    g.nodes().iter().for_each(|n| drop(n.op.map_dims(&note)));
    all.extend(payload.into_inner());
    g.regions.iter().for_each(|r| {
        // What a region gives values to is its own affair.
        let made = made_symbols(r);
        all.extend(used_symbols(r).into_iter().filter(|s| !made.contains(s)));
    });
    all
}

/// The graph with every dimension replaced by `f` of it, regions too.
fn with_dims(g: &Graph, f: &dyn Fn(&Dim) -> Dim) -> Graph {
    let ty = |v: &ValueId| {
        let t = g.ty(*v);
        TensorType::new(t.dtype, t.shape.iter().map(f).collect::<Vec<_>>())
    };
    let mut new = Graph::new(&g.name, g.symbols.clone());
    new.consts.clone_from(&g.consts);
    new.regions = g.regions.iter().map(|r| with_dims(r, f)).collect();
    // Inputs keep their order; values are numbered anew, inputs and nodes as they come.
    let mut map: Vec<Option<ValueId>> = vec![None; g.values().len()];
    for v in &g.inputs {
        map[v.index()] = Some(new.add_input(&g.value(*v).name, ty(v)));
    }
    for n in g.nodes() {
        // Arguments point backwards: what they are is known.
        let args = n.inputs.iter().filter_map(|v| map[v.index()]).collect();
        let results = new.push_typed(n.op.map_dims(f), args, n.outputs.iter().map(ty).collect(), n.loc.clone());
        for (old, v) in n.outputs.iter().zip(results) {
            new.value_mut(v).name = g.value(*old).name.clone();
            map[old.index()] = Some(v);
        }
    }
    for (name, v) in g.output_names.iter().zip(&g.outputs) {
        if let Some(v) = map[v.index()] {
            new.add_output(name, v);
        }
    }
    new
}
