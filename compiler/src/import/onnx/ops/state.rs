//! Layers that hand a state from call to call: linear attention, causal convolution, and writing into a cache.

use beiming_ir::ops::{BinaryOp, Conv, Loop, Op, Scatter, ScatterMode, UnaryOp};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim, TensorType};

use super::super::node::{Cx, R, axis_of, bad_arguments, bad_attribute};
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] = &[
    row("LinearAttention", &[27], 6, linear_attention),
    row("CausalConvWithState", &[27], 4, causal_conv),
    row("TensorScatter", &[24], 3, tensor_scatter),
];

/// `[B, T, H*D]` as `[T, B, H, G, D]` in f32, `G` of the heads in a group.
fn by_step(cx: &mut Cx<'_, '_>, x: V, heads: i64, group: i64) -> R {
    let [b, t, width]: [Dim; 3] = cx.shape(x).try_into().or_else(|_| bad_arguments("its inputs must have rank 3"))?;
    if width.known().is_some_and(|w| w % (heads * group) != 0) {
        return bad_arguments(format!("{width} elements do not divide into {} heads", heads * group));
    }
    let x = cx.cast(x, DType::F32)?;
    let x = cx.reshape(x, vec![b, t, heads.into(), group.into(), width.floor_div(&(heads * group).into())])?;
    cx.transpose(x, vec![1, 0, 2, 3, 4])
}

/// The recurrence of the standard, step by step over the state `[B, H, Dk, Dv]`, which is f32.
fn linear_attention(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (query, key, value) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let (heads, queries) = (cx.int("kv_num_heads", 0)?, cx.int("q_num_heads", 0)?);
    if heads < 1 || queries < 1 || queries % heads != 0 {
        return bad_attribute(format!("{queries} heads of queries do not divide into {heads} groups"));
    }
    let (gated, delta) = match cx.string("update_rule", "gated_delta")?.as_str() {
        "linear" => (false, false),
        "gated" => (true, false),
        "delta" => (false, true),
        "gated_delta" => (true, true),
        r => return bad_attribute(format!("attribute `update_rule` is `{r}`; allowed are linear, gated, delta, gated_delta")),
    };
    let (out, group) = (cx.dtype(query), queries / heads);
    let q = by_step(cx, query, heads, group)?;
    let k = by_step(cx, key, heads, 1)?;
    let v = by_step(cx, value, heads, 1)?;
    let [steps, batch, _, _, size]: [Dim; 5] = cx.shape(k).try_into().or_else(|_| bad_arguments("its keys must have rank 3"))?;
    let width = cx.shape(v)[4].clone();
    let scale = match cx.float("scale", 0.0)? {
        0.0 => 1.0 / (cx.extent(k, 4, "the size of a head")? as f64).sqrt(),
        s => s,
    };
    // exp(decay) as [T, B, H, Dk or 1, 1], beta as [T, B, H or 1, 1, 1].
    let decay = match (gated, cx.opt(4)) {
        (true, Some(g)) => {
            let g = by_step(cx, g, heads, 1)?;
            let g = cx.transpose(g, vec![0, 1, 2, 4, 3])?;
            Some(cx.unary(UnaryOp::Exp, g)?)
        }
        (true, None) => return bad_arguments("its update rule needs the input `decay`"),
        (false, _) => None,
    };
    let beta = match (delta, cx.opt(5)) {
        (true, Some(b)) => {
            let given = cx.extent(b, 2, "the number of update rates")? as i64;
            Some(by_step(cx, b, given, 1)?)
        }
        (true, None) => return bad_arguments("its update rule needs the input `beta`"),
        (false, _) => None,
    };
    let (state, kept) = match cx.opt(3) {
        Some(s) => (cx.cast(s, DType::F32)?, cx.dtype(s)),
        None => {
            let zero = cx.scalar(DType::F32, 0.0);
            (cx.broadcast(zero, vec![batch.clone(), heads.into(), size, width.clone()])?, out)
        }
    };
    let (loc, since, node) = (cx.loc.clone(), cx.since, cx.node);
    let inputs = [("", TensorType::scalar(DType::I64)), ("", TensorType::scalar(DType::Bool)), ("state", cx.ty(state).clone())];
    let body = cx.im.region("linear_attention", &inputs, |im, formals| {
        let (t, mut state) = (formals[0], formals[2]);
        let mut at = |x: V| {
            let x = im.capture(x);
            let mut cx = Cx { im: &mut *im, node, since, ins: vec![], loc: loc.clone() };
            cx.emit(Op::Gather { axis: 0 }, &[x, t])
        };
        let (q, k, mut v) = (at(q)?, at(k)?, at(v)?);
        let (decay, beta) = (decay.map(&mut at).transpose()?, beta.map(&mut at).transpose()?);
        let mut cx = Cx { im, node, since, ins: vec![], loc: loc.clone() };
        if let Some(d) = decay {
            state = cx.binary(BinaryOp::Mul, state, d)?;
        }
        if let Some(b) = beta {
            let known = cx.emit(Op::MatMul { out: DType::F32 }, &[k, state])?;
            v = cx.binary(BinaryOp::Sub, v, known)?;
            v = cx.binary(BinaryOp::Mul, v, b)?;
        }
        let column = cx.transpose(k, vec![0, 1, 3, 2])?;
        let written = cx.binary(BinaryOp::Mul, column, v)?;
        state = cx.binary(BinaryOp::Add, state, written)?;
        let read = cx.emit(Op::MatMul { out: DType::F32 }, &[q, state])?;
        Ok(vec![formals[1], state, read])
    })?;
    let trip = cx.dim_scalar(steps.clone());
    let go = cx.constant(Tensor::scalar(DType::Bool, Num::Int(1)));
    let region = cx.im.frame().graph.add_region(body.frame.graph);
    let args: Vec<V> = [trip, go, state].into_iter().chain(body.captures).collect();
    let outs = cx.emit_all(Op::Loop(Loop { body: region, state: 1, trips: steps.clone() }), &args)?;
    // [T, B, H, G, Dv]
    let y = cx.with(BinaryOp::Mul, outs[1], scale)?;
    let y = cx.transpose(y, vec![1, 0, 2, 3, 4])?;
    let y = cx.reshape(y, vec![batch, steps, Dim::from(queries) * width])?;
    Ok(vec![cx.cast(y, out)?, cx.cast(outs[0], kept)?])
}

/// A convolution of every channel with its own kernel over what came before: `[B, C, L]`.
fn causal_conv(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, weight) = (cx.input(0)?, cx.input(1)?);
    if cx.rank(x) != 3 || cx.rank(weight) != 3 {
        return bad_arguments(format!("its data is {} and its kernels are {}; both must have rank 3", cx.ty(x), cx.ty(weight)));
    }
    let channels = cx.extent(weight, 0, "the number of channels")?;
    let taps = cx.extent(weight, 2, "the length of a kernel")?;
    let before = Dim::from(taps) - 1.into();
    let (dtype, shape) = (cx.dtype(x), cx.shape(x));
    let padded = match cx.opt(3) {
        Some(p) => cx.concat(&[p, x], 2)?,
        None => {
            let zero = cx.scalar(dtype, 0.0);
            let pad = cx.broadcast(zero, vec![shape[0].clone(), shape[1].clone(), before.clone()])?;
            cx.concat(&[pad, x], 2)?
        }
    };
    let data = cx.transpose(padded, vec![0, 2, 1])?;
    let kernel = cx.transpose(weight, vec![2, 1, 0])?;
    let conv = Conv { strides: vec![1], dilations: vec![1], pads: vec![(0, 0)], groups: channels };
    let y = cx.emit(Op::Conv(conv), &[data, kernel])?;
    let mut y = cx.transpose(y, vec![0, 2, 1])?;
    if let Some(b) = cx.opt(2) {
        let b = cx.per_channel(b, 1, 3)?;
        y = cx.binary(BinaryOp::Add, y, b)?;
    }
    match cx.string("activation", "none")?.as_str() {
        "none" => {}
        "silu" | "swish" => {
            y = cx.in_f32(y, |cx, y| {
                let s = cx.unary(UnaryOp::Sigmoid, y)?;
                cx.binary(BinaryOp::Mul, y, s)
            })?;
        }
        a => return bad_attribute(format!("attribute `activation` is `{a}`; allowed are none, silu, swish")),
    }
    let state = cx.slice_axis(padded, 2, shape[2].clone(), before)?;
    Ok(vec![y, state])
}

/// The update written into the cache, for every sample from its own position on.
fn tensor_scatter(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (cache, update) = (cx.input(0)?, cx.input(1)?);
    let rank = cx.rank(cache);
    let axis = axis_of(cx.int("axis", -2)?, rank)?;
    if axis == 0 || cx.rank(update) != rank {
        return bad_arguments(format!("it writes {} into {} along axis {axis}", cx.ty(update), cx.ty(cache)));
    }
    let (batch, room, count) = (cx.shape(cache)[0].clone(), cx.shape(cache)[axis].clone(), cx.shape(update)[axis].clone());
    // The positions behind the batch.
    let mut perm: Vec<usize> = (1..rank).filter(|a| *a != axis).collect();
    perm.splice(0..0, [0, axis]);
    let mut back = vec![0; rank];
    perm.iter().enumerate().for_each(|(i, p)| back[*p] = i);
    let places = vec![batch.clone(), count.clone(), 1.into()];
    let sample = cx.emit(Op::Iota { dtype: DType::I64, shape: places.clone(), axis: 0 }, &[])?;
    let mut at = cx.emit(Op::Iota { dtype: DType::I64, shape: places.clone(), axis: 1 }, &[])?;
    if let Some(first) = cx.opt(2) {
        let first = cx.cast(first, DType::I64)?;
        let first = cx.reshape(first, vec![batch, 1.into(), 1.into()])?;
        at = cx.binary(BinaryOp::Add, at, first)?;
    }
    match cx.string("mode", "linear")?.as_str() {
        "linear" => {}
        "circular" => {
            let room = cx.dim_scalar(room);
            let turns = cx.binary(BinaryOp::Div, at, room)?;
            let whole = cx.binary(BinaryOp::Mul, turns, room)?;
            at = cx.binary(BinaryOp::Sub, at, whole)?;
        }
        m => return bad_attribute(format!("attribute `mode` is `{m}`; allowed are linear, circular")),
    }
    let at = cx.broadcast(at, places)?;
    let indices = cx.concat(&[sample, at], 2)?;
    let (cache, update) = (cx.transpose(cache, perm.clone())?, cx.transpose(update, perm)?);
    let y = cx.emit(Op::Scatter(Scatter { mode: ScatterMode::Nd, reduce: None }), &[cache, indices, update])?;
    Ok(vec![cx.transpose(y, back)?])
}
