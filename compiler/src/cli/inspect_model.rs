//! `beiming inspect` on models and on the text of stages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use beiming_ir::graph::{Graph, ValueId};
use beiming_ir::ops::{Body, Op};
use beiming_ir::plan::{Program, Step};
use beiming_ir::types::TensorType;
use serde_json::{Value, json};

use super::failure::{Failure, Result};
use super::inspect::{Args, Compiled, Kind, symbols};
use super::model;
use crate::stage::Ir;

/// The model, with what is said about it.
pub fn model_args(args: &Args) -> model::Args {
    model::Args {
        host: None,
        model: args.file.clone(),
        target: args.target.clone(),
        shape: args.shape.clone(),
        dim: args.dim.clone(),
        value: args.value.clone(),
        bind: args.bind.clone(),
        function: args.function.clone(),
        allow_external_links: args.allow_external_links,
        opt_level: None,
        exact: false,
        as_written: false,
        no_reuse: false,
        subnormals: None,
        compile_threads: 0,
    }
}

/// What the file holds.
pub fn describe(args: &Args) -> Result<Value> {
    let staged = model_args(args).open()?.read()?;
    Ok(match &staged.ir {
        Ir::Graph(g) => graph("graph", &staged.model, g),
        Ir::Fused(g, _) => graph("fused graph", &staged.model, g),
        Ir::Program(p, _) => program(&staged.model, p)?,
        Ir::Kernels(list) => {
            let kernel = |k: &beiming_ir::kernel::Kernel| json!({ "name": k.name, "calls": 0, "scratch": k.scratch() });
            json!({ "kind": "kernels", "name": staged.model, "kernels": list.iter().map(kernel).collect::<Vec<_>>() })
        }
    })
}

fn port(name: &str, ty: &TensorType) -> Value {
    super::inspect::port(name, Some(ty.dtype.name()), &ty.shape.iter().map(ToString::to_string).collect::<Vec<_>>())
}

fn graph(kind: &str, name: &str, g: &Graph) -> Value {
    let (mut ops, mut source, mut seen, mut weights) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new(), (0usize, 0usize));
    count(g, &mut ops, &mut source, &mut seen, &mut weights);
    if kind != "graph" {
        // Fused nodes stand for several of the source.
        source.clear();
    }
    let outputs = g.outputs.iter().zip(&g.output_names).map(|(v, n)| port(n, g.ty(*v)));
    let input = |v: &ValueId| port(&g.value(*v).name, g.ty(*v));
    json!({
        "kind": kind,
        "name": name,
        "symbols": symbols(g.symbols.0.iter().map(|(n, r)| (&**n, r.lo, r.hi))),
        "inputs": g.inputs.iter().map(input).collect::<Vec<_>>(),
        "outputs": outputs.collect::<Vec<_>>(),
        "source_ops": source,
        "ops": ops,
        "weights": { "count": weights.0, "bytes": weights.1 },
    })
}

/// Ops of a graph and its regions: core ops, those of the source (each node once), and constants.
fn count(
    g: &Graph,
    ops: &mut BTreeMap<String, usize>,
    source: &mut BTreeMap<Arc<str>, usize>,
    seen: &mut BTreeSet<(Arc<str>, Arc<str>)>,
    weights: &mut (usize, usize),
) {
    for n in g.nodes() {
        match &n.op {
            Op::Constant(c) => {
                weights.0 += 1;
                weights.1 += g.consts.get(c.index()).map_or(0, |t| t.bytes().len());
                continue;
            }
            Op::Fused(body) | Op::Tiled { body, .. } => body_ops(body, ops),
            op => *ops.entry(op.name()).or_default() += 1,
        }
        if !n.loc.op.is_empty() && seen.insert((n.loc.place.clone(), n.loc.name.clone())) {
            *source.entry(n.loc.op.clone()).or_default() += 1;
        }
    }
    g.regions.iter().for_each(|r| count(r, ops, source, seen, weights));
}

fn body_ops(body: &Body, ops: &mut BTreeMap<String, usize>) {
    body.nodes.iter().for_each(|n| *ops.entry(n.op.name()).or_default() += 1);
}

fn program(name: &str, p: &Program) -> Result<Value> {
    let plan = &p.plan;
    let slot = |s: beiming_ir::plan::SlotId| plan.slots.get(s.index()).map(|s| &s.ty);
    let ports = |list: &[beiming_ir::plan::Port]| -> Vec<Value> {
        list.iter().filter_map(|x| Some(port(&x.name, slot(x.slot)?))).collect()
    };
    let compiled = Compiled {
        kind: "program",
        name,
        target: serde_json::to_value(&p.target).map_err(|e| Failure::usage(e.to_string()))?,
        symbols: symbols(plan.symbols.0.iter().map(|(n, r)| (&**n, r.lo, r.hi))),
        inputs: ports(&plan.inputs),
        outputs: ports(&plan.outputs),
        kernels: p.kernels.iter().map(|k| (k.name.as_str(), k.scratch())).collect(),
        weights: (p.weights.len(), p.weights.iter().map(|w| w.source.bytes().len()).sum()),
        subnormals: serde_json::to_value(plan.subnormals).map_err(|e| Failure::usage(e.to_string()))?,
        arena: (plan.arena, plan.arena_without_reuse),
    };
    Ok(compiled.document(&plan.steps, &kind))
}

fn kind(s: &Step) -> Kind<'_, Step> {
    match s {
        Step::Launch(l) => Kind { kernel: Some(l.kernel), ..Kind::plain("launch") },
        Step::Host { .. } => Kind::plain("host"),
        Step::Copy { .. } => Kind::plain("copy"),
        Step::Transfer { .. } => Kind::plain("transfer"),
        Step::Store { .. } => Kind::plain("store"),
        Step::ReadDim { .. } => Kind::plain("read_dim"),
        Step::If { then, otherwise, .. } => Kind { within: [then, otherwise], ..Kind::plain("if") },
        Step::Loop { body, .. } => Kind { within: [body, &[]], ..Kind::plain("loop") },
    }
}
