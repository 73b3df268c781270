//! Control flow. Regions see only their own inputs, so captures are ordinary arguments.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::{InferError, index, same_extent};
use crate::eval::{self, Ctx, EvalError};
use crate::graph::{Graph, RegionId};
use crate::tensor::Tensor;
use crate::types::{DType, Symbols, TensorType};

/// How deep regions may nest.
const MAX_NESTING: usize = 64;

/// How many iterations `eval` runs of one loop.
const MAX_ITERATIONS: i64 = 1 << 24;

/// `(cond: bool[], captures..) -> results of the taken region`. Both regions take the captures and give the same types.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct If {
    /// Taken when true.
    pub then_region: RegionId,
    /// Taken when false.
    pub else_region: RegionId,
}

/// `(trip: i64[], cond: bool[], state.., captures..) -> (state.., scans..)`.
/// The body takes `(iteration: i64[], cond: bool[], state.., captures..)` and gives `(cond: bool[], state.., scan element..)`.
/// Runs while `iteration < trip` and `cond`. Scan results are stacked along a new first axis, of extent `trips`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Loop {
    /// Body.
    pub body: RegionId,
    /// Number of state values.
    pub state: usize,
    /// Extent of the scan results; a fresh symbol where it is not known.
    pub trips: crate::types::Dim,
}

/// The region `id`, unless it does not exist or regions nest too deeply.
fn region(graph: &Graph, id: RegionId) -> Result<&Graph, InferError> {
    let Some(r) = graph.regions.get(id.index()) else {
        return InferError::fail(format!("region {} does not exist: the graph has {}", id.0, graph.regions.len()));
    };
    let deep = nests_deeper(r, MAX_NESTING - 1);
    InferError::check(!deep, || format!("regions nest more than {MAX_NESTING} deep"))?;
    Ok(r)
}

/// True where there are more than `levels` levels of regions in `g`.
fn nests_deeper(g: &Graph, levels: usize) -> bool {
    match levels.checked_sub(1) {
        None => !g.regions.is_empty(),
        Some(below) => g.regions.iter().any(|r| nests_deeper(r, below)),
    }
}

/// Equal for all values of the symbols.
fn same_type(a: &TensorType, b: &TensorType, symbols: &Symbols) -> bool {
    a.dtype == b.dtype && a.rank() == b.rank() && a.shape.iter().zip(&b.shape).all(|(x, y)| same_extent(x, y, symbols))
}

/// Checks the types of arguments against those of a region's inputs.
fn check_arguments(what: &str, r: &Graph, args: &[&TensorType], graph: &Graph) -> Result<(), InferError> {
    InferError::check(r.inputs.len() == args.len(), || {
        format!("the {what} takes {} inputs, but gets {}", r.inputs.len(), args.len())
    })?;
    for (i, (v, got)) in r.inputs.iter().zip(args).enumerate() {
        let want = r.ty(*v);
        InferError::check(same_type(want, got, &graph.symbols), || format!("input {i} of the {what} is {want}, but gets {got}"))?;
    }
    Ok(())
}

fn check_scalar(name: &str, got: &TensorType, dtype: DType) -> Result<(), InferError> {
    InferError::check(*got == TensorType::scalar(dtype), || format!("{name} must be {dtype}[], got {got}"))
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_if(p: &If, inputs: &[&TensorType], graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    let Some((cond, captures)) = inputs.split_first() else {
        return InferError::fail("takes a condition");
    };
    check_scalar("the condition", cond, DType::Bool)?;
    let (a, b) = (region(graph, p.then_region)?, region(graph, p.else_region)?);
    check_arguments("then region", a, captures, graph)?;
    check_arguments("else region", b, captures, graph)?;
    InferError::check(a.outputs.len() == b.outputs.len(), || {
        format!("the then region has {} results, the else region {}", a.outputs.len(), b.outputs.len())
    })?;
    let pairs = a.outputs.iter().zip(&b.outputs).map(|(x, y)| (a.ty(*x), b.ty(*y)));
    for (i, (x, y)) in pairs.clone().enumerate() {
        InferError::check(same_type(x, y, &graph.symbols), || {
            format!("result {i} is {x} in the then region and {y} in the else region: both must be of one type")
        })?;
    }
    Ok(pairs.map(|(x, _)| x.clone()).collect())
}

/// Results; see [`crate::eval::op`]. The types of the region's inputs are checked as it starts.
pub(crate) fn eval_if(p: &If, args: &[Tensor], ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let Some((cond, captures)) = args.split_first() else {
        return EvalError::fail("takes a condition");
    };
    let (id, name) = if truth(cond)? { (p.then_region, "then") } else { (p.else_region, "else") };
    let r = region(ctx.graph, id).map_err(|e| EvalError(e.message))?;
    eval::region(r, captures, ctx.dims).map_err(|e| EvalError(format!("{name} region: {}", e.0)))
}

fn truth(t: &Tensor) -> Result<bool, EvalError> {
    if t.dtype != DType::Bool || t.len() != 1 {
        return EvalError::fail(format!("a condition must be bool[], got {}", t.ty()));
    }
    Ok(t.get(0).to_i128() != 0)
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_loop(p: &Loop, inputs: &[&TensorType], graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::check(inputs.len() >= 2 && inputs.len() - 2 >= p.state, || {
        format!("takes a trip count, a condition and {} states, got {} arguments", p.state, inputs.len())
    })?;
    check_scalar("the trip count", inputs[0], DType::I64)?;
    check_scalar("the condition", inputs[1], DType::Bool)?;
    let body = region(graph, p.body)?;
    check_arguments("body", body, inputs, graph)?;
    InferError::check(body.outputs.len() > p.state, || {
        format!("the body gives {} results: a condition and {} states are needed", body.outputs.len(), p.state)
    })?;
    let results: Vec<&TensorType> = body.outputs.iter().map(|v| body.ty(*v)).collect();
    check_scalar("the condition that the body gives", results[0], DType::Bool)?;
    let (states, scans) = results[1..].split_at(p.state);
    for (i, (before, after)) in inputs[2..].iter().zip(states).enumerate() {
        InferError::check(same_type(before, after, &graph.symbols), || {
            format!("state {i} is {before} before an iteration and {after} after it: its type must not change")
        })?;
    }
    let stacked = |t: &TensorType| TensorType::new(t.dtype, [std::slice::from_ref(&p.trips), &t.shape].concat());
    let states = inputs[2..2 + p.state].iter().map(|t| (*t).clone());
    Ok(states.chain(scans.iter().map(|t| stacked(t))).collect())
}

/// Elements of a scan result, one after the other.
struct Scan {
    first: Tensor,
    bytes: Vec<u8>,
}

/// Results; see [`crate::eval::op`]. The types of the region's inputs are checked as it starts.
pub(crate) fn eval_loop(p: &Loop, args: &[Tensor], ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let body = region(ctx.graph, p.body).map_err(|e| EvalError(e.message))?;
    if args.len() < 2 + p.state || body.outputs.len() <= p.state || args[0].dtype != DType::I64 || args[0].len() != 1 {
        return EvalError::fail("the arguments or the body's results do not fit the number of states");
    }
    let trip = args[0].get(0).to_i128();
    let mut go = truth(&args[1])?;
    let (mut state, captures) = (args[2..2 + p.state].to_vec(), &args[2 + p.state..]);
    let mut scans: Vec<Scan> = vec![];
    let mut i = 0i64;
    while go && i128::from(i) < trip {
        if i == MAX_ITERATIONS {
            return EvalError::fail(format!("the loop runs for more than {MAX_ITERATIONS} iterations"));
        }
        let head = [Tensor::i64(&[], &[i]), Tensor::build(DType::Bool, &[], |_| crate::tensor::Num::Int(1))];
        let inputs = [&head, state.as_slice(), captures].concat();
        let at = |e: EvalError| EvalError(format!("iteration {i}: {}", e.0));
        let mut results = eval::region(body, &inputs, ctx.dims).map_err(at)?.into_iter();
        go = results.next().map_or(Ok(false), |t| truth(&t)).map_err(at)?;
        state = results.by_ref().take(p.state).collect();
        for (k, t) in results.enumerate() {
            match scans.get_mut(k) {
                None => scans.push(Scan { bytes: t.bytes().to_vec(), first: t }),
                Some(s) if s.first.shape == t.shape && s.first.dtype == t.dtype => s.bytes.extend_from_slice(t.bytes()),
                Some(s) => {
                    let (t, first) = (t.ty(), s.first.ty());
                    return EvalError::fail(format!("scan {k} is {first} at first and {t} now: its type must not change"))
                        .map_err(at);
                }
            }
        }
        i += 1;
    }
    if i == 0 {
        return Ok([state, empty_scans(p, body, ctx)?].concat());
    }
    for s in scans {
        let shape = [&[i as usize], s.first.shape.as_slice()].concat();
        state.push(index::tensor(s.first.dtype, &shape, s.bytes)?);
    }
    Ok(state)
}

/// The scan results of a loop that does not run: no elements, of the body's types.
fn empty_scans(p: &Loop, body: &Graph, ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let types = body.outputs[1 + p.state..].iter().map(|v| body.ty(*v));
    types.map(|t| index::tensor(t.dtype, &[&[0], ctx.shape(&t.shape)?.as_slice()].concat(), vec![])).collect()
}
