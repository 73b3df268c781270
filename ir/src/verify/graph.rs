//! Graphs: order of definition, types against `infer`, constants, regions and outputs.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Finding, Report, symbol_ranges};
use crate::graph::{Def, Graph, Node, ValueId};
use crate::ops::{Op, check_extents, infer, same_extent};
use crate::tensor::numel;
use crate::types::{Dim, Symbols, TensorType};

/// Deepest nesting of regions.
const MAX_NEST: usize = 64;

/// Everything that is wrong with a graph and its regions.
pub(super) fn check(g: &Graph) -> Vec<Finding> {
    let mut found = vec![];
    nested(g, format!("graph `{}`", g.name), 0, &mut found);
    found
}

fn nested(g: &Graph, whole: String, depth: usize, found: &mut Vec<Finding>) {
    let mut report = Report::new(whole.clone());
    if depth > MAX_NEST {
        report.add("", format!("regions are nested more than {MAX_NEST} deep"));
        found.append(&mut report.found);
        return;
    }
    // Regions first: `infer` of a control-flow op looks into them and relies on their values.
    let before = found.len();
    for (i, r) in g.regions.iter().enumerate() {
        nested(r, format!("{whole}, region {i} `{}`", r.name), depth + 1, found);
    }
    let regions_right = found.len() == before;
    symbol_ranges(&g.symbols, &mut report);
    for (i, t) in g.consts.iter().enumerate() {
        let want = numel(&t.shape).and_then(|n| n.checked_mul(t.dtype.size()));
        if want != Some(t.bytes().len()) {
            report.add(&format!("constant {i}"), format!("{} bytes for {}{:?}", t.bytes().len(), t.dtype, t.shape));
        }
    }
    values(g, &mut report);
    for (i, n) in g.nodes().iter().enumerate() {
        node(g, i, n, regions_right, &mut report);
    }
    reads(g, &mut report);
    if g.outputs.len() != g.output_names.len() {
        report.add("", format!("{} outputs have {} names", g.outputs.len(), g.output_names.len()));
    }
    for (i, v) in g.outputs.iter().enumerate() {
        if v.index() >= g.values().len() {
            report.add(&format!("output {i}"), format!("%{} does not exist; the graph has {} values", v.0, g.values().len()));
        }
    }
    found.append(&mut report.found);
}

/// Inputs and the values they define name each other; no value has an impossible shape.
fn values(g: &Graph, report: &mut Report) {
    for (i, v) in g.inputs.iter().enumerate() {
        if g.values().get(v.index()).map(|v| v.def) != Some(Def::Input(i as u32)) {
            report.add(&format!("input {i}"), format!("%{} is not defined by it", v.0));
        }
    }
    for (i, v) in g.values().iter().enumerate() {
        if let Def::Input(n) = v.def
            && g.inputs.get(n as usize) != Some(&ValueId(i as u32))
        {
            report.add(&format!("value %{i}"), format!("is input {n}, which is another value"));
        }
        if let Err(e) = check_extents(&v.ty, &g.symbols) {
            report.add(&format!("value %{i}"), e.message);
        }
    }
}

fn node(g: &Graph, i: usize, n: &Node, regions_right: bool, report: &mut Report) {
    let first = n.outputs.first().map(|v| format!("%{} = ", v.0)).unwrap_or_default();
    let source = if n.loc.name.is_empty() { String::new() } else { format!(" ({})", n.loc.name) };
    let place = format!("node {i} `{first}{}`{source}", n.op.name());
    if n.outputs.is_empty() {
        report.add(&place, "has no results");
        return;
    }
    // Values are numbered as they are defined, so everything before the first result is defined already.
    let defined = n.outputs.iter().map(|v| v.index()).min().unwrap_or(0);
    if let Some(v) = n.inputs.iter().find(|v| v.index() >= defined) {
        report.add(&place, format!("argument %{} is not defined before it", v.0));
        return;
    }
    if let Some(v) = n.outputs.iter().find(|v| v.index() >= g.values().len()) {
        report.add(&place, format!("result %{} does not exist", v.0));
        return;
    }
    if !regions_right && !n.op.regions().is_empty() {
        return;
    }
    let inputs: Vec<&TensorType> = n.inputs.iter().map(|v| g.ty(*v)).collect();
    match infer(&n.op, &inputs, g) {
        Err(e) => report.add(&place, e.message),
        Ok(types) if types.len() != n.outputs.len() => {
            report.add(&place, format!("has {} results; its op gives {}", n.outputs.len(), types.len()));
        }
        Ok(types) => {
            for (want, v) in types.iter().zip(&n.outputs) {
                if !same_type(want, g.ty(*v), &g.symbols) {
                    report.add(&place, format!("result %{} is typed {}; its op gives {want}", v.0, g.ty(*v)));
                }
            }
        }
    }
}

/// Symbols that are read off values: each once, none that an input gives, and in no type or payload before.
fn reads(g: &Graph, report: &mut Report) {
    let mut late: BTreeSet<Arc<str>> = BTreeSet::new();
    for n in g.nodes() {
        let Op::ReadDims(p) = &n.op else { continue };
        for s in p.bound().into_iter().filter(|s| !late.insert(s.clone())) {
            report.add("", format!("the symbol `{s}` is read off two values"));
        }
    }
    if late.is_empty() {
        return;
    }
    let shape = |v: &ValueId| g.values().get(v.index()).map_or(&[][..], |v| &v.ty.shape);
    for v in &g.inputs {
        for s in shape(v).iter().flat_map(Dim::symbols).filter(|s| late.contains(s)) {
            report.add("", format!("the symbol `{s}` is read off a value, and is an extent of an input"));
        }
    }
    for (i, n) in g.nodes().iter().enumerate() {
        if let Op::ReadDims(p) = &n.op {
            for s in p.bound() {
                late.remove(&s);
            }
        }
        let early = RefCell::new(BTreeSet::new());
        let note = |d: &Dim| {
            early.borrow_mut().extend(d.symbols().into_iter().filter(|s| late.contains(s)));
            d.clone()
        };
        drop(n.op.map_dims(&note));
        n.outputs.iter().flat_map(shape).for_each(|d| drop(note(d)));
        for s in early.into_inner() {
            report.add(
                &format!("node {i} `{}`", n.op.name()),
                format!("uses the symbol `{s}`, which is read off a value only later"),
            );
        }
    }
}

fn same_type(a: &TensorType, b: &TensorType, symbols: &Symbols) -> bool {
    a.dtype == b.dtype && a.rank() == b.rank() && a.shape.iter().zip(&b.shape).all(|(x, y)| same_extent(x, y, symbols))
}
