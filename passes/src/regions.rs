//! Control flow seen from outside: constants that a region captures move into it, where they can be folded and packed, and a
//! branch whose condition is constant takes the place of its `If`.

use std::collections::BTreeMap;
use std::sync::Arc;

use beiming_ir::graph::{Graph, Loc, Node, ValueId};
use beiming_ir::ops::{If, Loop, Op};
use beiming_ir::tensor::Tensor;
use beiming_ir::types::{Dim, TensorType};

use crate::rebuild::Rebuild;
use crate::{PassError, identities};

/// The graph with constant captures inside the regions and decided branches inlined.
pub fn run(graph: &Graph) -> Result<Graph, PassError> {
    if graph.regions.is_empty() {
        return Ok(graph.clone());
    }
    let mut r = Rebuild::new(graph);
    let mut known = BTreeMap::new();
    for node in graph.nodes() {
        match &node.op {
            Op::If(p) => {
                let inputs = r.inputs(node)?;
                let condition = inputs.first().and_then(|c| identities::splat(&r.new, *c));
                let taken = condition.map(|c| graph.region(if c.to_f64() != 0.0 { p.then_region } else { p.else_region }));
                match taken.and_then(|t| Some((t, extents(graph, node, t)?))) {
                    Some((taken, found)) => {
                        inline(&mut r, taken, &inputs[1..], node)?;
                        known.extend(found);
                    }
                    None => {
                        let (kept, constants) = split(&r.new, &inputs, 1);
                        let mut sink = |id| Ok::<_, PassError>(r.new.add_region(with_constants(graph.region(id), &constants)?));
                        let p = If { then_region: sink(p.then_region)?, else_region: sink(p.else_region)? };
                        copy_control(&mut r, node, Op::If(p), kept);
                    }
                }
            }
            Op::Loop(p) => {
                let inputs = r.inputs(node)?;
                // The body takes the iteration and the condition where the node takes the trip count and the condition, so the
                // positions agree; the state changes from step to step and stays outside.
                let (kept, mut constants) = split(&r.new, &inputs, 2 + p.state);
                constants.splice(0..0, [None, None]);
                let body = r.new.add_region(with_constants(graph.region(p.body), &constants)?);
                let p = Loop { body, ..p.clone() };
                copy_control(&mut r, node, Op::Loop(p), kept);
            }
            _ => r.copy(node)?,
        }
    }
    let graph = r.finish()?;
    if known.is_empty() { Ok(graph) } else { substitute(&graph, &known) }
}

/// What the taken branch says about result extents that the `If` could only name; `None` where its types do not fit.
fn extents(g: &Graph, node: &Node, taken: &Graph) -> Option<BTreeMap<Arc<str>, Dim>> {
    let mut known = BTreeMap::new();
    for (outer, inner) in node.outputs.iter().zip(&taken.outputs) {
        let (outer, inner) = (g.ty(*outer), taken.ty(*inner));
        if outer.dtype != inner.dtype || outer.rank() != inner.rank() {
            return None;
        }
        for (o, i) in outer.shape.iter().zip(&inner.shape).filter(|(o, i)| o != i) {
            let symbols = o.symbols();
            let name = symbols.first().filter(|n| *o == Dim::sym(n))?;
            if known.insert(name.clone(), i.clone()).is_some_and(|before| before != *i) {
                return None;
            }
        }
    }
    Some(known)
}

/// The graph with symbols replaced in every type and payload, regions included.
fn substitute(graph: &Graph, known: &BTreeMap<Arc<str>, Dim>) -> Result<Graph, PassError> {
    let dim = |d: &Dim| d.substitute(&|n| known.get(n).cloned());
    let ty = |t: &TensorType| TensorType::new(t.dtype, t.shape.iter().map(dim).collect::<Vec<_>>());
    let mut out = Graph::new(&graph.name, graph.symbols.clone());
    out.symbols.0.retain(|n, _| !known.contains_key(n));
    out.consts = graph.consts.clone();
    out.regions = graph.regions.iter().map(|r| substitute(r, known)).collect::<Result<_, _>>()?;
    let mut map = vec![None; graph.values().len()];
    for &v in &graph.inputs {
        map[v.index()] = Some(out.add_input(&graph.value(v).name, ty(graph.ty(v))));
    }
    for node in graph.nodes() {
        let inputs = node.inputs.iter().map(|v| get(&map, *v)).collect::<Result<Vec<_>, _>>()?;
        let types = node.outputs.iter().map(|v| ty(graph.ty(*v))).collect();
        let outputs = out.push_typed(node.op.map_dims(&dim), inputs, types, node.loc.clone());
        for (old, new) in node.outputs.iter().zip(outputs) {
            out.value_mut(new).name = graph.value(*old).name.clone();
            map[old.index()] = Some(new);
        }
    }
    for (v, name) in graph.outputs.iter().zip(&graph.output_names) {
        let n = get(&map, *v)?;
        out.add_output(name, n);
    }
    Ok(out)
}

fn get(map: &[Option<ValueId>], v: ValueId) -> Result<ValueId, PassError> {
    map[v.index()].ok_or_else(|| PassError::Malformed(format!("value {} is used before it is defined", v.0)))
}

/// Arguments that stay, and for the region inputs the constants that replace them. The first `fixed` arguments stay; what
/// the returned list says of them is for the region inputs that follow `If`'s condition or stand beside `Loop`'s own.
fn split(g: &Graph, inputs: &[ValueId], fixed: usize) -> (Vec<ValueId>, Vec<Option<Tensor>>) {
    let mut kept = inputs[..fixed].to_vec();
    // An If's regions do not take the condition; a Loop's caller puts its two leading inputs back.
    let leading = if fixed == 1 { 0 } else { fixed - 2 };
    let mut constants = vec![None; leading];
    for v in &inputs[fixed..] {
        let t = g.const_of(*v).cloned();
        if t.is_none() {
            kept.push(*v);
        }
        constants.push(t);
    }
    (kept, constants)
}

fn copy_control(r: &mut Rebuild, node: &Node, op: Op, inputs: Vec<ValueId>) {
    let types = node.outputs.iter().map(|v| r.old.ty(*v).clone()).collect();
    let outputs = r.new.push_typed(op, inputs, types, node.loc.clone());
    for (old, new) in node.outputs.iter().zip(outputs) {
        r.set(*old, new);
    }
}

/// A region in which some inputs are constants of its own.
fn with_constants(region: &Graph, constants: &[Option<Tensor>]) -> Result<Graph, PassError> {
    let mut r = Rebuild::without_inputs(region);
    for (i, &v) in region.inputs.iter().enumerate() {
        let n = match constants.get(i).and_then(Option::as_ref) {
            Some(t) => r.constant(t, &Loc::default()),
            None => r.new.add_input(&region.value(v).name, region.ty(v).clone()),
        };
        r.set(v, n);
    }
    for node in region.nodes() {
        r.copy(node)?;
    }
    r.finish()
}

/// Puts the nodes of the region that is always taken in place of the branch.
fn inline(r: &mut Rebuild, region: &Graph, captures: &[ValueId], node: &Node) -> Result<(), PassError> {
    let mut map: Vec<Option<ValueId>> = vec![None; region.values().len()];
    for (v, c) in region.inputs.iter().zip(captures) {
        map[v.index()] = Some(*c);
    }
    for n in region.nodes() {
        let inputs = n.inputs.iter().map(|v| get(&map, *v)).collect::<Result<Vec<_>, _>>()?;
        let mut bring = |id| r.new.add_region(Graph::clone(region.region(id)));
        let op = match &n.op {
            Op::Constant(c) => {
                let t = region.consts.get(c.index()).ok_or_else(|| PassError::Malformed(format!("no constant {}", c.0)))?;
                map[n.outputs[0].index()] = Some(r.constant(t, &n.loc));
                continue;
            }
            op => op.map_regions(&mut bring),
        };
        let types = n.outputs.iter().map(|v| region.ty(*v).clone()).collect();
        let outputs = r.new.push_typed(op, inputs, types, n.loc.clone());
        for (old, new) in n.outputs.iter().zip(outputs) {
            map[old.index()] = Some(new);
        }
    }
    for (old, inner) in node.outputs.iter().zip(&region.outputs) {
        let v = get(&map, *inner)?;
        r.set(*old, v);
    }
    // Ranges of symbols that only the branch knew.
    for (name, range) in &region.symbols.0 {
        r.new.symbols.0.entry(name.clone()).or_insert(*range);
    }
    Ok(())
}
