//! Recurrent layers.

use beiming_ir::ops::{BinaryOp, Direction, Gru, Loop, Lstm, Op, Real, UnaryOp};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim, TensorType};

use super::super::node::{Cx, R, bad_arguments, bad_attribute, unsupported};
use super::control::first_axis;
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] =
    &[row("LSTM", &[1, 7, 14, 22], 8, lstm), row("GRU", &[1, 3, 7, 14, 22], 6, gru), row("RNN", &[1, 7, 14, 22], 6, rnn)];

/// What the three layers share.
struct Layer {
    direction: Direction,
    hidden: usize,
    clip: Option<Real>,
    /// Data has the batch axis first.
    batch_first: bool,
    x: V,
    w: V,
    r: V,
    bias: V,
    lens: V,
    h0: V,
    dtype: DType,
    directions: usize,
    steps: Dim,
    batch: Dim,
}

/// Zeros of a shape, as a broadcast scalar.
fn zeros(cx: &mut Cx<'_, '_>, dtype: DType, shape: Vec<Dim>) -> R {
    let z = cx.scalar(dtype, 0.0);
    cx.broadcast(z, shape)
}

/// Reads the arguments of a layer of `gates` gates; `bias` counts the vectors of the bias.
fn layer(cx: &mut Cx<'_, '_>, gates: usize, bias: usize) -> R<Layer> {
    let direction = match cx.string("direction", "forward")?.as_str() {
        "forward" => Direction::Forward,
        "reverse" => Direction::Reverse,
        "bidirectional" => Direction::Bidirectional,
        d => return bad_attribute(format!("attribute `direction` is `{d}`; allowed are forward, reverse, bidirectional")),
    };
    let directions = if direction == Direction::Bidirectional { 2 } else { 1 };
    let (mut x, w, r) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    if cx.rank(x) != 3 || cx.rank(w) != 3 || cx.rank(r) != 3 {
        return bad_arguments("its data and weights must have rank 3");
    }
    let hidden = cx.extent(r, 2, "the hidden size")?;
    if cx.int_opt("hidden_size")?.is_some_and(|h| h != hidden as i64) {
        return bad_attribute(format!("attribute `hidden_size` does not fit the weights, which have {hidden}"));
    }
    if cx.extent(w, 0, "the number of directions")? != directions || cx.extent(w, 1, "the extent of the gates")? != gates * hidden
    {
        return bad_arguments(format!("its weights are {}, expected [{directions}, {}, input]", cx.ty(w), gates * hidden));
    }
    let batch_first = cx.flag("layout", false)?;
    if batch_first {
        x = cx.transpose(x, vec![1, 0, 2])?;
    }
    let dtype = cx.dtype(x);
    let (steps, batch) = (cx.shape(x)[0].clone(), cx.shape(x)[1].clone());
    let d = Dim::from(directions);
    let bias = match cx.opt(3) {
        Some(b) => b,
        None => zeros(cx, dtype, vec![d.clone(), (bias * hidden).into()])?,
    };
    let lens = match cx.opt(4) {
        Some(l) => cx.cast(l, DType::I32)?,
        None => {
            let t = cx.dim_scalar(steps.clone());
            let t = cx.cast(t, DType::I32)?;
            cx.broadcast(t, vec![batch.clone()])?
        }
    };
    let h0 = match cx.opt(5) {
        Some(h) if batch_first => cx.transpose(h, vec![1, 0, 2])?,
        Some(h) => h,
        None => zeros(cx, dtype, vec![d, batch.clone(), hidden.into()])?,
    };
    let clip = cx.float_opt("clip")?.map(Real::from);
    Ok(Layer { direction, hidden, clip, batch_first, x, w, r, bias, lens, h0, dtype, directions, steps, batch })
}

/// Activations other than the usual ones are not in the IR's layers.
fn usual_activations(cx: &Cx<'_, '_>, usual: &[&str]) -> R<()> {
    let given = cx.string_list("activations")?.unwrap_or_default();
    let fits = given.iter().zip(usual.iter().cycle()).all(|(g, u)| g.eq_ignore_ascii_case(u));
    if fits { Ok(()) } else { unsupported(format!("activations {given:?}; supported are {usual:?}")) }
}

/// Brings results into the layout of the model.
fn results(cx: &mut Cx<'_, '_>, l: &Layer, mut outs: Vec<V>) -> R<Vec<V>> {
    if l.batch_first {
        outs[0] = cx.transpose(outs[0], vec![2, 0, 1, 3])?;
        for o in &mut outs[1..] {
            *o = cx.transpose(*o, vec![1, 0, 2])?;
        }
    }
    Ok(outs)
}

fn lstm(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    usual_activations(cx, &["sigmoid", "tanh", "tanh"])?;
    let l = layer(cx, 4, 8)?;
    let d = Dim::from(l.directions);
    let c0 = match cx.opt(6) {
        Some(c) if l.batch_first => cx.transpose(c, vec![1, 0, 2])?,
        Some(c) => c,
        None => zeros(cx, l.dtype, vec![d.clone(), l.batch.clone(), l.hidden.into()])?,
    };
    let peephole = match cx.opt(7) {
        Some(p) => p,
        None => zeros(cx, l.dtype, vec![d, (3 * l.hidden).into()])?,
    };
    let input_forget = cx.flag("input_forget", false)?;
    let op = Lstm { direction: l.direction, hidden: l.hidden, clip: l.clip, input_forget };
    let outs = cx.emit_all(Op::Lstm(op), &[l.x, l.w, l.r, l.bias, l.lens, l.h0, c0, peephole])?;
    results(cx, &l, outs)
}

fn gru(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    usual_activations(cx, &["sigmoid", "tanh"])?;
    let l = layer(cx, 3, 6)?;
    let linear_before_reset = cx.flag("linear_before_reset", false)?;
    let op = Gru { direction: l.direction, hidden: l.hidden, clip: l.clip, linear_before_reset };
    let outs = cx.emit_all(Op::Gru(op), &[l.x, l.w, l.r, l.bias, l.lens, l.h0])?;
    results(cx, &l, outs)
}

/// `h' = tanh(x w^T + h r^T + wb + rb)`, one loop a direction.
fn rnn(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    usual_activations(cx, &["tanh"])?;
    let l = layer(cx, 1, 2)?;
    let (mut ys, mut hs) = (vec![], vec![]);
    for d in 0..l.directions {
        let back = l.direction == Direction::Reverse || d == 1;
        let (y, h) = rnn_direction(cx, &l, d, back)?;
        let mut shape = cx.shape(y);
        shape.insert(1, 1.into());
        ys.push(cx.reshape(y, shape)?);
        let mut shape = cx.shape(h);
        shape.insert(0, 1.into());
        hs.push(cx.reshape(h, shape)?);
    }
    let (y, h) = (cx.concat(&ys, 1)?, cx.concat(&hs, 0)?);
    results(cx, &l, vec![y, h])
}

/// One direction: results `[T, B, H]` and the last state `[B, H]`.
fn rnn_direction(cx: &mut Cx<'_, '_>, l: &Layer, d: usize, back: bool) -> R<(V, V)> {
    let hidden = Dim::from(l.hidden);
    let w = first_axis(cx, l.w, d)?;
    let w = cx.transpose(w, vec![1, 0])?;
    let r = first_axis(cx, l.r, d)?;
    let r = cx.transpose(r, vec![1, 0])?;
    let bias = first_axis(cx, l.bias, d)?;
    let wb = cx.slice_axis(bias, 0, 0.into(), hidden.clone())?;
    let rb = cx.slice_axis(bias, 0, hidden.clone(), hidden.clone())?;
    let bias = cx.binary(BinaryOp::Add, wb, rb)?;
    // The part that does not depend on the state, for all steps at once.
    let xw = cx.emit(Op::MatMul { out: l.dtype }, &[l.x, w])?;
    let xw = cx.binary(BinaryOp::Add, xw, bias)?;
    let h0 = first_axis(cx, l.h0, d)?;
    let lens = cx.cast(l.lens, DType::I64)?;
    let lens = cx.reshape(lens, vec![l.batch.clone(), 1.into()])?;
    let (loc, since, node) = (cx.loc.clone(), cx.since, cx.node);
    let state = TensorType::new(l.dtype, vec![l.batch.clone(), hidden]);
    let inputs = [("", TensorType::scalar(DType::I64)), ("", TensorType::scalar(DType::Bool)), ("h", state.clone())];
    let (dtype, steps, clip) = (l.dtype, l.steps.clone(), l.clip);
    let body = cx.im.region("rnn", &inputs, |im, formals| {
        let (xw, r, lens) = (im.capture(xw), im.capture(r), im.capture(lens));
        let mut cx = Cx { im, node, since, ins: vec![], loc };
        let mut t = formals[0];
        if back {
            let last = cx.dim_scalar(steps - 1.into());
            t = cx.binary(BinaryOp::Sub, last, t)?;
        }
        let x = cx.emit(Op::Gather { axis: 0 }, &[xw, t])?;
        let h = cx.emit(Op::MatMul { out: dtype }, &[formals[2], r])?;
        let mut s = cx.binary(BinaryOp::Add, x, h)?;
        if let Some(c) = clip {
            s = cx.with(BinaryOp::Max, s, -c.get())?;
            s = cx.with(BinaryOp::Min, s, c.get())?;
        }
        let s = cx.unary(UnaryOp::Tanh, s)?;
        let runs = cx.binary(BinaryOp::Lt, t, lens)?;
        let zero = cx.scalar(dtype, 0.0);
        let shown = cx.select(runs, s, zero)?;
        let next = cx.select(runs, s, formals[2])?;
        Ok(vec![formals[1], next, shown])
    })?;
    let trip = cx.dim_scalar(l.steps.clone());
    let go = cx.constant(Tensor::scalar(DType::Bool, Num::Int(1)));
    let region = cx.im.frame().graph.add_region(body.frame.graph);
    let args: Vec<V> = [trip, go, h0].into_iter().chain(body.captures).collect();
    let outs = cx.emit_all(Op::Loop(Loop { body: region, state: 1, trips: l.steps.clone() }), &args)?;
    let mut y = outs[1];
    if back {
        y = cx.emit(Op::Reverse { axes: vec![0] }, &[y])?;
    }
    Ok((y, outs[0]))
}
