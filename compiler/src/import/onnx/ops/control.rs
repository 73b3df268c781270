//! Control flow. A condition known at import takes its branch; otherwise branches and bodies become regions whose captures
//! are explicit inputs.

use beiming_ir::ops::{If, Loop, Op, Slice};
use beiming_ir::types::{DType, Dim, TensorType};

use super::super::importer::Region;
use super::super::node::{Cx, R, SETTLE, axis_of, bad_arguments, unsupported};
use super::super::proto::GraphProto;
use super::{MANY, Row, row};
use crate::import::build::Build;
use crate::import::fail::Fail;
use crate::import::frame::V;

pub const OPS: &[Row] = &[
    row("If", &[1, 11, 13, 16, 19, 21, 23, 24, 25], 1, branch),
    row("Loop", &[1, 11, 13, 16, 19, 21, 23, 24, 25], MANY, loops),
    row("Scan", &[8, 9, 11, 16, 19, 21, 23, 24, 25], MANY, scan),
];

/// A scalar of the given type out of a tensor of one element.
fn scalar(cx: &mut Cx<'_, '_>, v: V, dtype: DType) -> R {
    let v = cx.cast(v, dtype)?;
    cx.reshape(v, vec![])
}

fn branch(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let cond = cx.input(0)?;
    let (yes, no) = (cx.graph("then_branch")?, cx.graph("else_branch")?);
    let known = cx.im.top().dims_of(cond).and_then(|d| d.first().and_then(Dim::known));
    if let Some(c) = known {
        let (label, g) = if c != 0 { ("then_branch", yes) } else { ("else_branch", no) };
        return cx.im.inline(label, g, &[]);
    }
    // `x.squeeze(axis)` as PyTorch writes it: whether the axis goes depends on its extent. Where the extent is not known, the
    // rank of the result would not be either; the axis is taken to go, which the run checks (the reshape's element count).
    let only = |g: &GraphProto, ops: &[&str]| g.node.iter().all(|n| ops.contains(&n.op_type()));
    if only(yes, &["Constant", "Squeeze"]) && only(no, &["Identity"]) && cx.im.top().is_extent_test(cond) {
        return cx.im.inline("then_branch", yes, &[]);
    }
    let cond = scalar(cx, cond, DType::Bool)?;
    let mut then_side = cx.im.region("then_branch", &[], |im, _| im.inline("then_branch", yes, &[]))?;
    let mut else_side = cx.im.region("else_branch", &[], |im, _| im.inline("else_branch", no, &[]))?;
    for (a, b) in then_side.results.iter().zip(&else_side.results) {
        if a != b {
            let why = format!("its condition is not known, and its branches give different types, {a} and {b}; {SETTLE}");
            return Err(Fail::Wants(why, cond));
        }
    }
    if then_side.results.len() != else_side.results.len() {
        return bad_arguments("its branches give different numbers of values");
    }
    let mut captures = then_side.captures.clone();
    captures.extend(else_side.captures.iter().filter(|v| !then_side.captures.contains(v)));
    let order: Vec<(V, TensorType)> = captures.iter().map(|v| (*v, cx.ty(*v).clone())).collect();
    for side in [&mut then_side, &mut else_side] {
        side.frame.align_captures(0, &side.captures, &order);
    }
    let graph = &mut cx.im.frame().graph;
    let then_region = graph.add_region(then_side.frame.graph);
    let else_region = graph.add_region(else_side.frame.graph);
    let args: Vec<V> = std::iter::once(cond).chain(captures).collect();
    cx.emit_all(Op::If(If { then_region, else_region }), &args)
}

/// Checks that a body leaves the types of its state as they are.
fn same_state(before: &[TensorType], after: &[TensorType]) -> R<()> {
    for (i, (a, b)) in before.iter().zip(after).enumerate() {
        if a != b {
            return unsupported(format!("its state {i} changes its type from {a} to {b} in the loop"));
        }
    }
    Ok(())
}

/// Adds the loop over a finished body.
fn emit_loop(cx: &mut Cx<'_, '_>, trip: V, cond: V, state: &[V], trips: Dim, body: Region) -> R<Vec<V>> {
    let region = cx.im.frame().graph.add_region(body.frame.graph);
    let args: Vec<V> = [trip, cond].into_iter().chain(state.iter().copied()).chain(body.captures).collect();
    cx.emit_all(Op::Loop(Loop { body: region, state: state.len(), trips }), &args)
}

fn loops(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let g = cx.graph("body")?;
    let state: Vec<V> = (2..cx.ins.len()).map(|i| cx.input(i)).collect::<R<_>>()?;
    if g.input.len() != state.len() + 2 || g.output.len() < state.len() + 1 {
        let (i, o) = (g.input.len(), g.output.len());
        return bad_arguments(format!("its body has {i} inputs and {o} outputs, for {} values of state", state.len()));
    }
    let known = |cx: &Cx<'_, '_>, i: usize| cx.opt(i).and_then(|v| cx.im.top().dims_of(v)?.first()?.known());
    let (most, enters) = (known(cx, 0), known(cx, 1));
    let trip = match cx.opt(0) {
        Some(v) => scalar(cx, v, DType::I64)?,
        None => cx.dim_scalar(i64::MAX.into()),
    };
    let cond = match cx.opt(1) {
        Some(v) => scalar(cx, v, DType::Bool)?,
        None => cx.scalar(DType::Bool, 1.0),
    };
    let types: Vec<TensorType> = state.iter().map(|v| cx.ty(*v).clone()).collect();
    let mut inputs =
        vec![(g.input[0].name(), TensorType::scalar(DType::I64)), (g.input[1].name(), TensorType::scalar(DType::Bool))];
    inputs.extend(g.input[2..].iter().zip(&types).map(|(i, t)| (i.name(), t.clone())));
    let (loc, since, node) = (cx.loc.clone(), cx.since, cx.node);
    let mut always = false;
    let body = cx.im.region("body", &inputs, |im, formals| {
        let mut outs = im.inline("body", g, formals)?;
        // The condition that the body passes through is true in every iteration that runs.
        always = outs[0] == formals[1] || im.top().dims_of(outs[0]).is_some_and(|d| d.first().is_some_and(|d| d.is(1)));
        let mut inner = Cx { im, node, since, ins: vec![], loc };
        outs[0] = scalar(&mut inner, outs[0], DType::Bool)?;
        Ok(outs)
    })?;
    same_state(&types, &body.results[1..])?;
    let runs_all = always && cx.opt(1).is_none_or(|_| enters == Some(1));
    let trips = match most {
        Some(n) if runs_all => Dim::Known(n.max(0)),
        _ => {
            let from_shape = cx.opt(0).and_then(|v| cx.im.top().dims_of(v)).and_then(|d| d.first().cloned());
            match from_shape {
                Some(d) if runs_all => cx.max_dim(&d, &0.into()),
                _ => {
                    let most = most.unwrap_or(i64::MAX);
                    cx.im.fresh_symbol("trips", 0, most.max(0))
                }
            }
        }
    };
    emit_loop(cx, trip, cond, &state, trips, body)
}

/// A loop whose body takes the next slice of each scanned input and whose last results are stacked.
fn scan(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    if cx.since < 9 {
        return unsupported("Scan of opset 8");
    }
    let g = cx.graph("body")?;
    let args = cx.all()?;
    let scanned = match cx.int("num_scan_inputs", 0)? {
        n if n >= 1 && n as usize <= args.len() => n as usize,
        n => return bad_arguments(format!("`num_scan_inputs` is {n}, for {} inputs", args.len())),
    };
    let (state, sequences) = args.split_at(args.len() - scanned);
    if g.input.len() != args.len() || g.output.len() < state.len() {
        return bad_arguments(format!("its body has {} inputs and {} outputs", g.input.len(), g.output.len()));
    }
    let per_output = g.output.len() - state.len();
    let list = |name: &str, n: usize| -> R<Vec<i64>> {
        let l = cx.int_list(name)?.unwrap_or(vec![0; n]);
        if l.len() == n { Ok(l) } else { bad_arguments(format!("attribute `{name}` must hold {n} numbers")) }
    };
    let in_axes = list("scan_input_axes", scanned)?;
    let in_back = list("scan_input_directions", scanned)?;
    let out_axes = list("scan_output_axes", per_output)?;
    let out_back = list("scan_output_directions", per_output)?;
    // Sequences with time first, in the order in which they are read.
    let mut ready = vec![];
    let mut steps = None;
    for (k, x) in sequences.iter().enumerate() {
        let rank = cx.rank(*x);
        let axis = axis_of(in_axes[k], rank)?;
        let mut perm: Vec<usize> = (0..rank).filter(|a| *a != axis).collect();
        perm.insert(0, axis);
        let mut t = cx.transpose(*x, perm)?;
        if in_back[k] != 0 {
            t = cx.emit(Op::Reverse { axes: vec![0] }, &[t])?;
        }
        steps = Some(cx.shape(t)[0].clone());
        ready.push(t);
    }
    let Some(steps) = steps else { return bad_arguments("it scans nothing") };
    let types: Vec<TensorType> = state.iter().map(|v| cx.ty(*v).clone()).collect();
    let mut inputs = vec![("", TensorType::scalar(DType::I64)), ("", TensorType::scalar(DType::Bool))];
    inputs.extend(g.input.iter().zip(&types).map(|(i, t)| (i.name(), t.clone())));
    let (loc, since, node) = (cx.loc.clone(), cx.since, cx.node);
    let body = cx.im.region("body", &inputs, |im, formals| {
        let mut given = formals[2..].to_vec();
        for x in &ready {
            let x = im.capture(*x);
            let mut inner = Cx { im, node, since, ins: vec![], loc: loc.clone() };
            given.push(inner.emit(Op::Gather { axis: 0 }, &[x, formals[0]])?);
        }
        let mut outs = im.inline("body", g, &given)?;
        outs.insert(0, formals[1]);
        Ok(outs)
    })?;
    same_state(&types, &body.results[1..])?;
    let trip = cx.dim_scalar(steps.clone());
    let cond = cx.scalar(DType::Bool, 1.0);
    let mut outs = emit_loop(cx, trip, cond, state, steps, body)?;
    for k in 0..per_output {
        let at = state.len() + k;
        let rank = cx.rank(outs[at]);
        if out_back[k] != 0 {
            outs[at] = cx.emit(Op::Reverse { axes: vec![0] }, &[outs[at]])?;
        }
        let axis = axis_of(out_axes[k], rank)?;
        let mut perm: Vec<usize> = (1..rank).collect();
        perm.insert(axis, 0);
        outs[at] = cx.transpose(outs[at], perm)?;
    }
    Ok(outs)
}

/// The part of a tensor at one index of its first axis, which is known; used where a loop is written out.
pub fn first_axis(cx: &mut Cx<'_, '_>, x: V, at: usize) -> R {
    let mut shape = cx.shape(x);
    let n = shape.len();
    let mut s = Slice { start: vec![Dim::Known(0); n], len: shape.clone(), step: vec![1; n] };
    s.start[0] = at.into();
    s.len[0] = 1.into();
    let t = cx.emit(Op::Slice(s), &[x])?;
    shape.remove(0);
    cx.reshape(t, shape)
}
