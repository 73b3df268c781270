//! Control flow and host steps. A region becomes a step list of its own over slots of the same plan; what it captures is an
//! ordinary argument.

use beiming_ir::graph::{Graph, Node};
use beiming_ir::ops::{self, Op};
use beiming_ir::plan::{SlotId, Step};
use beiming_ir::types::{DType, Dim, Range, Symbols, TensorType};

use super::walk::{Scope, Walk};

/// The symbols of a graph and its regions. A count that is known only when a host step has run is bounded by its arguments.
pub(super) fn collect_symbols(graph: &Graph, into: &mut Symbols) {
    for (name, r) in &graph.symbols.0 {
        let known = into.range(name);
        into.declare(name, known.lo.max(r.lo), known.hi.min(r.hi));
    }
    for node in graph.nodes() {
        let bound = match &node.op {
            Op::NonZero { count } => Some((count, graph.ty(node.inputs[0]).numel())),
            Op::Nms(n) => Some((&n.count, graph.ty(node.inputs[1]).numel())),
            _ => None,
        };
        if let Some((count, most)) = bound
            && let Some(name) = bare(count)
        {
            let Range { lo, hi } = into.range(&name);
            let most = most.range(into).hi;
            into.declare(&name, lo, hi.min(most));
        }
    }
    for r in &graph.regions {
        collect_symbols(r, into);
    }
}

/// The name of a dimension that is just a symbol.
fn bare(d: &Dim) -> Option<std::sync::Arc<str>> {
    let name = d.symbols().into_iter().next()?;
    (*d == Dim::sym(&name)).then_some(name)
}

impl Walk<'_> {
    /// Lowers a control-flow or host node.
    pub(super) fn control(&mut self, scope: &mut Scope, node: &Node, steps: &mut Vec<Step>) {
        match &node.op {
            Op::If(p) => {
                let args: Vec<SlotId> = node.inputs.iter().map(|v| self.value(scope, *v)).collect();
                let results: Vec<SlotId> = node.outputs.iter().map(|v| self.result(scope, *v)).collect();
                let wants: Vec<Option<SlotId>> = results.iter().map(|s| Some(*s)).collect();
                let mut branch = |id| {
                    let (mut steps, got) = self.region(scope.graph.region(id), &args[1..], &wants);
                    for (src, dst) in got.iter().zip(&results) {
                        self.copy(*src, *dst, &mut steps);
                    }
                    steps
                };
                let then = branch(p.then_region);
                let otherwise = branch(p.else_region);
                steps.push(Step::If { cond: args[0], then, otherwise });
            }
            Op::Loop(p) => self.repeat(scope, node, p, steps),
            Op::TopK(_)
                if scope.graph.ty(node.inputs[0]).dtype.is_float() && scope.graph.ty(node.inputs[0]).dtype.size() == 1 =>
            {
                let dtype = scope.graph.ty(node.inputs[0]).dtype;
                self.fail(node, format!("the runtime does not order {dtype}: convert to f32, which holds all its values"));
            }
            op => {
                let args: Vec<SlotId> = node.inputs.iter().map(|v| self.value(scope, *v)).collect();
                let results: Vec<SlotId> = node.outputs.iter().map(|v| self.result(scope, *v)).collect();
                let count = match op {
                    Op::Nms(n) => bare(&n.count),
                    Op::NonZero { count } => bare(count),
                    _ => None,
                };
                let name = match op {
                    // It stands for part of an op of the source, which errors should name.
                    Op::ReadDims(_) if !node.loc.op.is_empty() => format!("{} {}", node.loc.op, node.loc.label()).into(),
                    _ => node.loc.label().clone(),
                };
                steps.push(Step::Host { op: op.clone(), args, results: results.clone(), name });
                if let (Some(symbol), Some(from)) = (count, results.get(1)) {
                    steps.push(Step::ReadDim { symbol, from: *from });
                }
            }
        }
    }

    fn repeat(&mut self, scope: &mut Scope, node: &Node, p: &ops::Loop, steps: &mut Vec<Step>) {
        let args: Vec<SlotId> = node.inputs.iter().map(|v| self.value(scope, *v)).collect();
        let results: Vec<SlotId> = node.outputs.iter().map(|v| self.result(scope, *v)).collect();
        let (states, scans) = results.split_at(p.state);
        let cond = self.fresh(TensorType::scalar(DType::Bool));
        let iteration = self.fresh(TensorType::scalar(DType::I64));
        self.copy(args[1], cond, steps);
        for (src, dst) in args[2..].iter().zip(states) {
            self.copy(*src, *dst, steps);
        }
        let mut inputs = vec![iteration, cond];
        inputs.extend(states);
        inputs.extend(&args[2 + p.state..]);
        let body = scope.graph.region(p.body);
        // A next state is computed over the old one where nothing reads that any more (`state`), else copied there.
        let over = super::state::candidates(body, &body.outputs[1..=p.state], states);
        let (mut inner, got) = self.region_with(body, &inputs, &vec![None; body.outputs.len()], over);
        for (src, dst) in got[1 + p.state..].iter().zip(scans) {
            inner.push(Step::Store { src: *src, dst: *dst, at: iteration });
        }
        // All next states at once: one that lies in another state's memory is moved out of the way first.
        let targets: Vec<SlotId> = std::iter::once(cond).chain(states.iter().copied()).collect();
        let mut next = vec![];
        for (i, &src) in got[..=p.state].iter().enumerate() {
            let from = self.storage(src);
            if targets.iter().enumerate().any(|(j, t)| j != i && self.storage(*t) == from) {
                let ty = self.slots[src.index()].0.clone();
                let aside = self.fresh(ty);
                inner.push(Step::Copy { src, dst: aside });
                next.push(aside);
            } else {
                next.push(src);
            }
        }
        for (src, dst) in next.iter().zip(&targets) {
            self.copy(*src, *dst, &mut inner);
        }
        // The extents of the inputs are known before the loop runs: it has nothing to say about theirs.
        let given = |s: &std::sync::Arc<str>| self.input_types().any(|ty| ty.shape.iter().any(|d| d.symbols().contains(s)));
        let trips = bare(&p.trips).filter(|s| !given(s));
        steps.push(Step::Loop { trip: args[0], cond, iteration, trips, body: inner });
    }
}
