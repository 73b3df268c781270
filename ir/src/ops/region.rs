//! Regions as scalar functions: what reducers, comparators and update functions share. Checks of their signature, and a
//! compiled form for `eval`, which calls them once an element.

use super::{If, InferError, Loop, Op, ScatterWindow, SelectAndScatter, WindowReduce, elementwise};
use crate::eval::{self, Dims, EvalError};
use crate::graph::{Graph, RegionId};
use crate::tensor::{Num, Tensor};
use crate::types::{DType, TensorType};

impl Op {
    /// The regions an op names, in the order of its payload.
    pub fn regions(&self) -> Vec<RegionId> {
        match self {
            Op::If(p) => vec![p.then_region, p.else_region],
            Op::Loop(p) => vec![p.body],
            Op::ReduceWith { region, .. } | Op::SortBy { region, .. } => vec![*region],
            Op::WindowReduce(p) => vec![p.region],
            Op::SelectAndScatter(p) => vec![p.select, p.scatter],
            Op::ScatterWindow(p) => vec![p.region],
            Op::Collective(p) => p.region().into_iter().collect(),
            _ => vec![],
        }
    }

    /// The op with every region replaced by `f` of it, called in the order of [`Op::regions`].
    pub fn map_regions(&self, f: &mut dyn FnMut(RegionId) -> RegionId) -> Op {
        match self {
            Op::If(p) => {
                let then_region = f(p.then_region);
                Op::If(If { then_region, else_region: f(p.else_region) })
            }
            Op::Loop(p) => Op::Loop(Loop { body: f(p.body), ..p.clone() }),
            Op::ReduceWith { axes, region } => Op::ReduceWith { axes: axes.clone(), region: f(*region) },
            Op::SortBy { axis, stable, region } => Op::SortBy { axis: *axis, stable: *stable, region: f(*region) },
            Op::WindowReduce(p) => Op::WindowReduce(WindowReduce { region: f(p.region), ..p.clone() }),
            Op::SelectAndScatter(p) => {
                let select = f(p.select);
                Op::SelectAndScatter(SelectAndScatter { select, scatter: f(p.scatter), ..p.clone() })
            }
            Op::ScatterWindow(p) => Op::ScatterWindow(ScatterWindow { region: f(p.region), ..p.clone() }),
            Op::Collective(p) => p.map_region(f),
            op => op.clone(),
        }
    }
}

/// Checks that a region takes and gives scalars of these element types.
pub(super) fn check_scalars(what: &str, graph: &Graph, id: RegionId, takes: &[DType], gives: &[DType]) -> Result<(), InferError> {
    let Some(r) = graph.regions.get(id.index()) else {
        return InferError::fail(format!("{what}: region {} does not exist: the graph has {}", id.0, graph.regions.len()));
    };
    for (side, values, want) in [("inputs", &r.inputs, takes), ("results", &r.outputs, gives)] {
        let fits = values.len() == want.len() && values.iter().zip(want).all(|(v, d)| *r.ty(*v) == TensorType::scalar(*d));
        InferError::check(fits, || {
            let got: Vec<String> = values.iter().map(|v| r.ty(*v).to_string()).collect();
            let want: Vec<String> = want.iter().map(|d| format!("{d}[]")).collect();
            format!("the {side} of the {what} are ({}), they must be ({})", got.join(", "), want.join(", "))
        })?;
    }
    Ok(())
}

/// The function of a reducer over `types`: accumulators, then elements, to accumulators.
pub(super) fn check_reducer(what: &str, graph: &Graph, id: RegionId, types: &[DType]) -> Result<(), InferError> {
    check_scalars(what, graph, id, &[types, types].concat(), types)
}

/// One operation on scalars; arguments are positions among the values.
enum Step {
    Unary(super::UnaryOp, DType, usize),
    Binary(super::BinaryOp, DType, usize, usize),
    Select(usize, usize, usize),
    Cast(DType, usize),
    Bitcast(DType, DType, usize),
}

/// A region to be called with scalars.
pub(super) struct Callee<'a> {
    region: &'a Graph,
    dims: &'a Dims,
    /// Inputs, constants, then one value a step; `None` where some op is not a plain scalar one and the region is evaluated
    /// as a graph.
    code: Option<Code>,
}

struct Code {
    /// Values: inputs (to be filled in), then constants.
    start: Vec<Num>,
    steps: Vec<Step>,
    outputs: Vec<usize>,
    values: Vec<Num>,
}

impl<'a> Callee<'a> {
    /// Prepares a region.
    pub(super) fn new(graph: &'a Graph, id: RegionId, dims: &'a Dims) -> Result<Callee<'a>, EvalError> {
        let Some(region) = graph.regions.get(id.index()) else {
            return EvalError::fail(format!("region {} does not exist", id.0));
        };
        Ok(Callee { region, dims, code: compile(region) })
    }

    /// Results for these arguments, of the region's input types.
    pub(super) fn call(&mut self, args: &[Num], results: &mut Vec<Num>) -> Result<(), EvalError> {
        results.clear();
        if let Some(code) = &mut self.code {
            code.run(args, results);
            return Ok(());
        }
        let r = self.region;
        let args: Vec<Tensor> = args.iter().zip(&r.inputs).map(|(x, v)| Tensor::scalar(r.ty(*v).dtype, *x)).collect();
        let found = eval::region(r, &args, self.dims).map_err(|e| EvalError(format!("region `{}`: {}", r.name, e.0)))?;
        results.extend(found.iter().map(|t| t.get(0)));
        Ok(())
    }

    /// The result of a predicate.
    pub(super) fn holds(&mut self, args: &[Num], results: &mut Vec<Num>) -> Result<bool, EvalError> {
        self.call(args, results)?;
        Ok(results.first().is_some_and(|x| x.to_i128() != 0))
    }
}

/// The region as straight-line scalar code.
fn compile(r: &Graph) -> Option<Code> {
    let one = |v: &crate::graph::ValueId| r.ty(*v).numel().is(1);
    if !r.inputs.iter().chain(&r.outputs).all(one) {
        return None;
    }
    let mut at: Vec<Option<usize>> = vec![None; r.values().len()];
    let mut start = vec![Num::Int(0); r.inputs.len()];
    for (i, v) in r.inputs.iter().enumerate() {
        at[v.index()] = Some(i);
    }
    let constants = r.nodes().iter().filter_map(|n| match n.op {
        Op::Constant(c) => Some((n.outputs[0], c)),
        _ => None,
    });
    for (v, c) in constants {
        let t = r.consts.get(c.index()).filter(|t| t.len() == 1)?;
        at[v.index()] = Some(start.len());
        start.push(t.get(0));
    }
    let mut steps = vec![];
    for n in r.nodes().iter().filter(|n| !matches!(n.op, Op::Constant(_))) {
        if n.outputs.len() != 1 || !n.outputs.iter().all(one) {
            return None;
        }
        let a = n.inputs.iter().map(|v| at[v.index()]).collect::<Option<Vec<usize>>>()?;
        let ty = |i: usize| r.ty(n.inputs[i]).dtype;
        let step = match (&n.op, a.as_slice()) {
            (Op::Unary(op), [x]) => Step::Unary(*op, ty(0), *x),
            (Op::Binary(op), [x, y]) => Step::Binary(*op, ty(0), *x, *y),
            (Op::Select, [c, x, y]) => Step::Select(*c, *x, *y),
            (Op::Cast { to }, [x]) => Step::Cast(*to, *x),
            (Op::Bitcast { to }, [x]) => Step::Bitcast(ty(0), *to, *x),
            (Op::Reshape { .. } | Op::Broadcast { .. } | Op::Transpose { .. }, [x]) => {
                at[n.outputs[0].index()] = Some(*x);
                continue;
            }
            _ => return None,
        };
        at[n.outputs[0].index()] = Some(start.len() + steps.len());
        steps.push(step);
    }
    let outputs = r.outputs.iter().map(|v| at[v.index()]).collect::<Option<Vec<usize>>>()?;
    Some(Code { start, steps, outputs, values: vec![] })
}

impl Code {
    fn run(&mut self, args: &[Num], results: &mut Vec<Num>) {
        let v = &mut self.values;
        v.clear();
        v.extend_from_slice(&self.start);
        v[..args.len()].copy_from_slice(args);
        for s in &self.steps {
            let x = match *s {
                Step::Unary(op, dtype, a) => elementwise::unary(op, dtype, v[a]),
                Step::Binary(op, dtype, a, b) => elementwise::binary(op, dtype, v[a], v[b]),
                Step::Select(c, a, b) => v[if v[c].to_i128() != 0 { a } else { b }],
                Step::Cast(to, a) => elementwise::cast(to, v[a]),
                Step::Bitcast(from, to, a) => elementwise::bitcast(from, to, v[a]),
            };
            v.push(x);
        }
        results.extend(self.outputs.iter().map(|i| v[*i]));
    }
}
