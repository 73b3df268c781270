//! The meaning of graphs: nodes in order, each by its family's `eval_*`.

use super::{Ctx, Dims, EvalError};
use crate::graph::{Graph, Node, NodeId};
use crate::ops::{
    Op, channel, collective, control, conv, elementwise, fused, gather, gather_window, infer, matmul, read_dims, recurrent,
    reduce, reducer, resize, select, shape, sort, source,
};
use crate::tensor::Tensor;
use crate::types::{Dim, TensorType};

/// What `graph_traced` shows every node's results to.
pub type Trace<'a> = dyn FnMut(NodeId, &[Tensor]) -> Result<(), EvalError> + 'a;

/// Runs a graph. Symbols are bound from the shapes of `inputs`: an input axis whose extent is `a*symbol + b` gives its
/// value, and every other extent must agree with it; [`Graph::valued_symbols`] are bound from the inputs' values. Errors name the node.
pub fn graph(g: &Graph, inputs: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    region(g, inputs, &Dims::new())
}

/// Runs a graph in which the symbols of `dims` already have values, as a region of a control-flow op does.
pub fn region(g: &Graph, inputs: &[Tensor], dims: &Dims) -> Result<Vec<Tensor>, EvalError> {
    walk(g, inputs, dims, &mut |_, _| Ok(()))
}

/// Runs a graph and shows every node's results to `trace`, in order, before values that are not needed any more are freed.
/// An error of `trace` stops the run. Regions run inside their node and are not traced.
pub fn graph_traced(g: &Graph, inputs: &[Tensor], trace: &mut Trace) -> Result<Vec<Tensor>, EvalError> {
    walk(g, inputs, &Dims::new(), trace)
}

fn walk(g: &Graph, inputs: &[Tensor], dims: &Dims, trace: &mut Trace) -> Result<Vec<Tensor>, EvalError> {
    // Graphs are not verified yet when constants are folded: a reference past the arena is an error here.
    let refs = g.nodes().iter().flat_map(|n| &n.inputs).chain(&g.inputs).chain(&g.outputs);
    if let Some(v) = refs.into_iter().find(|v| v.index() >= g.values().len()) {
        return EvalError::fail(format!("the graph refers to value {}, which does not exist", v.0));
    }
    let mut dims = dims.clone();
    let types: Vec<&TensorType> = g.inputs.iter().map(|v| g.ty(*v)).collect();
    let label = |i: usize| format!("input {i} `{}`", g.value(g.inputs[i]).name);
    for (name, i) in g.valued_symbols() {
        let Some(value) = inputs.get(i).filter(|t| t.ty() == *types[i]).map(|t| t.to_i64()[0]) else { continue };
        let range = g.symbols.range(&name);
        if value < range.lo || value > range.hi {
            return EvalError::fail(format!("{} is {value}; allowed are {}..={}", label(i), range.lo, range.hi));
        }
        dims.entry(name).or_insert(value);
    }
    bind(g, &types, inputs, &mut dims, &label)?;

    let mut uses = g.use_counts();
    let mut values: Vec<Option<Tensor>> = vec![None; g.values().len()];
    for (v, t) in g.inputs.iter().zip(inputs) {
        values[v.index()] = Some(t.clone());
    }
    for (i, node) in g.nodes().iter().enumerate() {
        let named = |e: EvalError| EvalError(format!("node {i} `{}` ({}): {}", node.loc.name, node.op.name(), e.0));
        let mut args = Vec::with_capacity(node.inputs.len());
        for v in &node.inputs {
            let Some(t) = values.get(v.index()).cloned().flatten() else {
                return EvalError::fail(format!("an argument, value {}, is not computed yet", v.0)).map_err(named);
            };
            args.push(t);
        }
        if let Op::ReadDims(p) = &node.op {
            // In another iteration of a loop the symbols have other values: the old ones are not put into the op.
            for s in p.bound() {
                dims.remove(&s);
            }
        }
        let at = |e: EvalError| EvalError(format!("node {i} `{}`: {}", source_of(node), e.0));
        let results = op(&node.op, &args, g, &dims).map_err(at)?;
        if let Op::ReadDims(p) = &node.op {
            p.bind(&results[0], &g.symbols, &mut dims).map_err(at)?;
        }
        let types: Vec<&TensorType> = node.outputs.iter().map(|v| g.ty(*v)).collect();
        bind(g, &types, &results, &mut dims, &|k| format!("result {k}")).map_err(named)?;
        trace(NodeId(i as u32), &results)?;
        drop(args);
        for (v, t) in node.outputs.iter().zip(results) {
            if uses[v.index()] > 0 {
                values[v.index()] = Some(t);
            }
        }
        for v in &node.inputs {
            uses[v.index()] -= 1;
            if uses[v.index()] == 0 {
                values[v.index()] = None;
            }
        }
    }
    g.outputs
        .iter()
        .enumerate()
        .map(|(i, v)| values.get(v.index()).cloned().flatten().ok_or_else(|| EvalError(format!("output {i} is not computed"))))
        .collect()
}

/// What errors call a node: by its name, and what reads extents, of which the source says nothing, by the operator it stands for.
fn source_of(node: &Node) -> String {
    match &node.op {
        Op::ReadDims(_) => format!("{} {}", node.loc.op, node.loc.label()),
        _ => node.loc.name.to_string(),
    }
}

/// Holds tensors against their types: binds symbols that have no value yet, checks everything else and the ranges.
fn bind(
    g: &Graph,
    types: &[&TensorType],
    tensors: &[Tensor],
    dims: &mut Dims,
    label: &dyn Fn(usize) -> String,
) -> Result<(), EvalError> {
    if types.len() != tensors.len() {
        return EvalError::fail(format!("expected {} tensors, got {}", types.len(), tensors.len()));
    }
    for (i, (ty, t)) in types.iter().zip(tensors).enumerate() {
        if ty.dtype != t.dtype || ty.rank() != t.shape.len() {
            return EvalError::fail(format!("{} is {ty}, got {}", label(i), t.ty()));
        }
        for (axis, (d, &extent)) in ty.shape.iter().zip(&t.shape).enumerate() {
            let Some((name, value)) = d.solve(extent as i64) else { continue };
            if dims.contains_key(&name) {
                continue;
            }
            let range = g.symbols.range(&name);
            if value < range.lo || value > range.hi {
                let at = label(i);
                return EvalError::fail(format!("{at}, {ty}: axis {axis} is {extent}; `{name}` is {}..={}", range.lo, range.hi));
            }
            dims.insert(name, value);
        }
    }
    let ctx = Ctx { graph: g, dims };
    for (i, (ty, t)) in types.iter().zip(tensors).enumerate() {
        for (axis, (d, &extent)) in ty.shape.iter().zip(&t.shape).enumerate() {
            let want = ctx.extent(d).map_err(|e| EvalError(format!("{}, {ty}: {}", label(i), e.0)))?;
            if want != extent {
                return EvalError::fail(format!("{}, {ty}: axis {axis} should be {want}, got {extent}", label(i)));
            }
        }
    }
    Ok(())
}

/// Most elements of one result: past this an allocation may fail, and a failed allocation ends the process.
const MAX_EVALUATED: i64 = 1 << 32;

/// Evaluates one op: what constant folding and the tests of rules call. `graph` holds the constants and regions the op names,
/// `dims` the values of the symbols in its payload.
///
/// The arguments pass `infer` first, so the families' functions may rely on their shape rules; the results' types are held
/// against it. (Control flow has types over its regions' own symbols; the graph's value types are its check.)
pub fn op(op: &Op, args: &[Tensor], graph: &Graph, dims: &Dims) -> Result<Vec<Tensor>, EvalError> {
    let ctx = Ctx { graph, dims };
    if matches!(op, Op::If(_) | Op::Loop(_)) {
        return dispatch(op, args, &ctx).map_err(|e| EvalError(format!("{}: {}", op.name(), e.0)));
    }
    let op = &op.map_dims(&|d| d.substitute(&|n| dims.get(n).map(|v| Dim::Known(*v))));
    let types: Vec<TensorType> = args.iter().map(Tensor::ty).collect();
    let types: Vec<&TensorType> = types.iter().collect();
    let want = infer(op, &types, graph).map_err(|e| EvalError(e.to_string()))?;
    if want.iter().any(|t| t.numel().known().is_some_and(|n| n > MAX_EVALUATED)) {
        return EvalError::fail(format!("{}: the result {} is too large to evaluate", op.name(), want[0]));
    }
    let results = dispatch(op, args, &ctx).map_err(|e| EvalError(format!("{}: {}", op.name(), e.0)))?;
    let fits = |(w, r): (&TensorType, &Tensor)| {
        let extent = |(d, &e): (&Dim, &usize)| d.known().is_none_or(|k| k == e as i64);
        w.dtype == r.dtype && w.rank() == r.shape.len() && w.shape.iter().zip(&r.shape).all(extent)
    };
    if want.len() != results.len() || !want.iter().zip(&results).all(fits) {
        let name = |t: &Tensor| t.ty().to_string();
        let want: Vec<_> = want.iter().map(TensorType::to_string).collect();
        let got: Vec<_> = results.iter().map(name).collect();
        return EvalError::fail(format!("{}: inferred {}, evaluated to {}", op.name(), want.join(", "), got.join(", ")));
    }
    Ok(results)
}

fn dispatch(op: &Op, args: &[Tensor], ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    match op {
        Op::Constant(c) => source::eval_constant(*c, args, ctx),
        Op::DimValue { dims } => source::eval_dim_value(dims, args, ctx),
        Op::Iota { dtype, shape, axis } => source::eval_iota(*dtype, shape, *axis, args, ctx),
        Op::Unary(u) => elementwise::eval_unary(*u, args),
        Op::Binary(b) => elementwise::eval_binary(*b, args),
        Op::Select => elementwise::eval_select(args),
        Op::Cast { to } => elementwise::eval_cast(*to, args),
        Op::Bitcast { to } => elementwise::eval_bitcast(*to, args),
        Op::MatMul { out } => matmul::eval_matmul(*out, args),
        Op::Conv(p) => conv::eval_conv(p, args),
        Op::ConvTranspose(p) => conv::eval_conv_transpose(p, args),
        Op::Pool(p) => conv::eval_pool(p, args),
        Op::Reduce { op, axes, keep } => reduce::eval_reduce(*op, axes, *keep, args),
        Op::ArgReduce { max, axis, keep, last } => reduce::eval_arg_reduce(*max, *axis, *keep, *last, args),
        Op::Cumulative(p) => reduce::eval_cumulative(p, args),
        Op::Softmax { axis, log } => reduce::eval_softmax(*axis, *log, args),
        Op::Norm { kind, axis, eps } => reduce::eval_norm(*kind, *axis, eps.get(), args),
        Op::Reshape { shape } => shape::eval_reshape(shape, args, ctx),
        Op::Transpose { perm } => shape::eval_transpose(perm, args, ctx),
        Op::Broadcast { shape } => shape::eval_broadcast(shape, args, ctx),
        Op::Slice(p) => shape::eval_slice(p, args, ctx),
        Op::DynamicSlice { shape } => shape::eval_dynamic_slice(shape, args, ctx),
        Op::Pad { lo, hi, mode } => shape::eval_pad(lo, hi, *mode, args, ctx),
        Op::Concat { axis } => shape::eval_concat(*axis, args, ctx),
        Op::Reverse { axes } => shape::eval_reverse(axes, args, ctx),
        Op::Gather { axis } => gather::eval_gather(*axis, args, ctx),
        Op::GatherElements { axis } => gather::eval_gather_elements(*axis, args, ctx),
        Op::GatherNd { batch } => gather::eval_gather_nd(*batch, args, ctx),
        Op::Scatter(p) => gather::eval_scatter(p, args, ctx),
        Op::GatherWindow(p) => gather_window::eval_gather_window(p, args, ctx),
        Op::ScatterWindow(p) => gather_window::eval_scatter_window(p, args, ctx),
        Op::Resize(p) => resize::eval_resize(p, args, ctx),
        Op::TopK(p) => select::eval_topk(p, args, ctx),
        Op::Nms(p) => select::eval_nms(p, args, ctx),
        Op::NonZero { count } => select::eval_nonzero(count, args, ctx),
        Op::ReadDims(p) => read_dims::eval_read_dims(p, args, ctx),
        Op::Lstm(p) => recurrent::eval_lstm(p, args, ctx),
        Op::Gru(p) => recurrent::eval_gru(p, args, ctx),
        Op::ReduceWith { axes, region } => reducer::eval_reduce_with(axes, *region, args, ctx),
        Op::WindowReduce(p) => reducer::eval_window_reduce(p, args, ctx),
        Op::SelectAndScatter(p) => reducer::eval_select_and_scatter(p, args, ctx),
        Op::SortBy { axis, region, .. } => sort::eval_sort(*axis, *region, args, ctx),
        Op::Collective(p) => collective::eval(p),
        Op::Channel(p) => channel::eval(p),
        Op::If(p) => control::eval_if(p, args, ctx),
        Op::Loop(p) => control::eval_loop(p, args, ctx),
        Op::Fused(body) => fused::eval_fused(body, args, ctx),
        Op::Tiled { body, tile } => fused::eval_tiled(body, tile, args, ctx),
    }
}

#[cfg(test)]
mod tests;
