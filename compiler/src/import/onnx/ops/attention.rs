//! Attention and rotary position embedding, written out in matrix products and softmax. Formulas: the function bodies of the
//! ONNX standard.

use beiming_ir::ops::{BinaryOp, Op, PadMode, ReduceOp, Slice, UnaryOp};
use beiming_ir::types::{DType, Dim};

use super::super::node::{Cx, R, bad_arguments, bad_attribute};
use super::super::tensor;
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] = &[row("Attention", &[23, 24, 25], 7, attention), row("RotaryEmbedding", &[23], 4, rotary_embedding)];

/// `[B, S, H*D]` to `[B, H, S, D]`.
fn split_heads(cx: &mut Cx<'_, '_>, x: V, heads: i64) -> R {
    let [b, s, width]: [Dim; 3] = cx.shape(x).try_into().or_else(|_| bad_arguments("its inputs must have one rank, 3 or 4"))?;
    if heads < 1 || width.known().is_some_and(|w| w % heads != 0) {
        return bad_attribute(format!("{width} elements do not divide into {heads} heads"));
    }
    let size = width.floor_div(&heads.into());
    let t = cx.reshape(x, vec![b, s, heads.into(), size])?;
    cx.transpose(t, vec![0, 2, 1, 3])
}

/// Of the domain `ai.onnx.preview`.
pub const PREVIEW: &[Row] = &[row("FlexAttention", &[1], 3, flex_attention)];

/// Each head of keys or values, repeated for the queries that share it.
fn repeat_heads(cx: &mut Cx<'_, '_>, x: V, heads: &Dim) -> R {
    let [b, have, s, d]: [Dim; 4] = cx.shape(x).try_into().or_else(|_| bad_arguments("its inputs must have rank 4"))?;
    if have == *heads {
        return Ok(x);
    }
    let times = heads.floor_div(&have);
    let t = cx.reshape(x, vec![b.clone(), have.clone(), 1.into(), s.clone(), d.clone()])?;
    let t = cx.broadcast(t, vec![b.clone(), have, times, s.clone(), d.clone()])?;
    cx.reshape(t, vec![b, heads.clone(), s, d])
}

/// 0 where `allowed`, else minus infinity.
fn barrier(cx: &mut Cx<'_, '_>, allowed: V, dtype: DType) -> R {
    let (zero, never) = (cx.scalar(dtype, 0.0), cx.scalar(dtype, f64::NEG_INFINITY));
    cx.select(allowed, zero, never)
}

/// The sum of two biases of which one may be missing.
fn joined(cx: &mut Cx<'_, '_>, a: Option<V>, b: V) -> R {
    match a {
        Some(a) => cx.binary(BinaryOp::Add, a, b),
        None => Ok(b),
    }
}

/// What is added to the scores: mask, causality, windows, padding of the cache. `past` is the length of the cached keys.
fn bias(cx: &mut Cx<'_, '_>, dtype: DType, queries: &Dim, keys: &Dim, past: Dim) -> R<Option<V>> {
    let mut total = None;
    if let Some(mut mask) = cx.opt(3) {
        if cx.dtype(mask) == DType::Bool {
            mask = barrier(cx, mask, dtype)?;
        }
        let rank = cx.rank(mask);
        if rank == 0 {
            return bad_arguments("its mask has rank 0");
        }
        let missing = keys.clone() - cx.shape(mask)[rank - 1].clone();
        // An extent of 1 is a broadcast, not a short mask.
        if missing.known().is_some_and(|m| m > 0) && !cx.shape(mask)[rank - 1].is(1) {
            let lo = vec![Dim::Known(0); rank];
            let mut hi = lo.clone();
            hi[rank - 1] = missing;
            let never = cx.scalar(dtype, f64::NEG_INFINITY);
            mask = cx.emit(Op::Pad { lo, hi, mode: PadMode::Constant }, &[mask, never])?;
        }
        total = Some(mask);
    }
    let (left, right) = (cx.int("left_window_size", -1)?, cx.int("right_window_size", -1)?);
    if left < -1 || right < -1 {
        return bad_attribute(format!("the windows are {left} and {right}; allowed are -1 and numbers that are not negative"));
    }
    let causal = cx.flag("is_causal", false)?;
    let lengths = match cx.opt(6) {
        Some(l) => {
            let l = cx.cast(l, DType::I64)?;
            Some(cx.reshape(l, vec![cx.shape(l)[0].clone(), 1.into(), 1.into(), 1.into()])?)
        }
        None => None,
    };
    let column = cx.emit(Op::Iota { dtype: DType::I64, shape: vec![1.into(), keys.clone()], axis: 1 }, &[])?;
    if causal || left >= 0 || right >= 0 {
        let line = cx.emit(Op::Iota { dtype: DType::I64, shape: vec![queries.clone(), 1.into()], axis: 0 }, &[])?;
        // Position of a query among the keys.
        let offset = match lengths {
            Some(l) => {
                let q = cx.dim_scalar(queries.clone());
                cx.binary(BinaryOp::Sub, l, q)?
            }
            None => cx.dim_scalar(past),
        };
        let at = cx.binary(BinaryOp::Add, line, offset)?;
        let behind = cx.binary(BinaryOp::Sub, at, column)?;
        let mut allowed = vec![];
        if causal {
            allowed.push(cx.with(BinaryOp::Ge, behind, 0.0)?);
        }
        if left >= 0 {
            allowed.push(cx.with(BinaryOp::Le, behind, left as f64)?);
        }
        if right >= 0 {
            allowed.push(cx.with(BinaryOp::Ge, behind, -(right as f64))?);
        }
        let mut all = allowed[0];
        for a in &allowed[1..] {
            all = cx.binary(BinaryOp::And, all, *a)?;
        }
        let b = barrier(cx, all, dtype)?;
        total = Some(joined(cx, total, b)?);
    }
    if let Some(l) = lengths {
        let inside = cx.binary(BinaryOp::Lt, column, l)?;
        let b = barrier(cx, inside, dtype)?;
        total = Some(joined(cx, total, b)?);
    }
    Ok(total)
}

fn attention(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (mut q, mut k, mut v) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let flat = cx.rank(q) == 3;
    if flat {
        let (Some(qh), Some(kh)) = (cx.int_opt("q_num_heads")?, cx.int_opt("kv_num_heads")?) else {
            return bad_attribute("inputs of rank 3 need `q_num_heads` and `kv_num_heads`");
        };
        q = split_heads(cx, q, qh)?;
        k = split_heads(cx, k, kh)?;
        v = split_heads(cx, v, kh)?;
    }
    let mut past = Dim::Known(0);
    if let (Some(pk), Some(pv)) = (cx.opt(4), cx.opt(5)) {
        past = cx.shape(pk).get(2).cloned().unwrap_or_default();
        k = cx.concat(&[pk, k], 2)?;
        v = cx.concat(&[pv, v], 2)?;
    }
    let (present_k, present_v) = (k, v);
    let dims = [q, k, v].map(|x| cx.rank(x));
    if dims != [4; 3] {
        return bad_arguments("its inputs must have one rank, 3 or 4");
    }
    let (dtype, heads) = (cx.dtype(q), cx.shape(q)[1].clone());
    let (queries, keys) = (cx.shape(q)[2].clone(), cx.shape(k)[2].clone());
    let bias = bias(cx, dtype, &queries, &keys, past)?;
    k = repeat_heads(cx, k, &heads)?;
    v = repeat_heads(cx, v, &heads)?;
    let scale = match cx.float_opt("scale")? {
        Some(s) => s,
        None => 1.0 / (cx.extent(q, 3, "the size of a head")? as f64).sqrt(),
    };
    // Narrow floats share the scale between both sides, which keeps the product in range.
    if dtype.size() < 4 && scale > 0.0 {
        q = cx.with(BinaryOp::Mul, q, scale.sqrt())?;
        k = cx.with(BinaryOp::Mul, k, scale.sqrt())?;
    } else {
        q = cx.with(BinaryOp::Mul, q, scale)?;
    }
    let k = cx.transpose(k, vec![0, 1, 3, 2])?;
    let mut scores = cx.emit(Op::MatMul { out: dtype }, &[q, k])?;
    let cap = cx.float("softcap", 0.0)?;
    if cap > 0.0 {
        scores = cx.with(BinaryOp::Div, scores, cap)?;
        scores = cx.unary(UnaryOp::Tanh, scores)?;
        scores = cx.with(BinaryOp::Mul, scores, cap)?;
    }
    let mut shown = scores;
    let mode = cx.int("qk_matmul_output_mode", 0)?;
    if let Some(b) = bias {
        scores = cx.binary(BinaryOp::Add, scores, b)?;
    }
    if mode == 2 {
        shown = scores;
    }
    if let Some(code) = cx.int_opt("softmax_precision")?.filter(|c| *c != 0) {
        let wide = tensor::dtype(i32::try_from(code).unwrap_or(-1))?;
        scores = cx.cast(scores, wide)?;
    }
    let mut weights = cx.emit(Op::Softmax { axis: 3, log: false }, &[scores])?;
    // A query that may look at nothing gives zeros. Causality alone always leaves it a key.
    if let Some(b) = bias
        && (cx.opt(3).is_some() || cx.opt(6).is_some() || cx.int("left_window_size", -1)? >= 0)
    {
        let rank = cx.rank(b);
        let best = cx.reduce(ReduceOp::Max, b, vec![rank - 1], true)?;
        let blind = cx.with(BinaryOp::Eq, best, f64::NEG_INFINITY)?;
        let zero = cx.scalar_like(weights, 0.0);
        weights = cx.select(blind, zero, weights)?;
    }
    if mode == 3 {
        shown = weights;
    }
    let shown = cx.cast(shown, dtype)?;
    let weights = cx.cast(weights, dtype)?;
    let mut y = cx.emit(Op::MatMul { out: dtype }, &[weights, v])?;
    if flat {
        y = cx.transpose(y, vec![0, 2, 1, 3])?;
        let [b, s, h, d]: [Dim; 4] = cx.shape(y).try_into().or_else(|_| bad_arguments("its result must have rank 4"))?;
        y = cx.reshape(y, vec![b, s, h * d])?;
    }
    Ok(vec![y, present_k, present_v, shown])
}

/// Attention with functions of the model on the scores and on the weights.
fn flex_attention(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (mut q, mut k, mut v) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    if [q, k, v].map(|x| cx.rank(x)) != [4; 3] {
        return bad_arguments("its inputs must have rank 4");
    }
    let (dtype, heads) = (cx.dtype(q), cx.shape(q)[1].clone());
    let precision = match cx.int_opt("softmax_precision")?.filter(|c| *c != 0) {
        Some(code) => tensor::dtype(i32::try_from(code).unwrap_or(-1))?,
        None if dtype == DType::F64 => DType::F64,
        None => DType::F32,
    };
    k = repeat_heads(cx, k, &heads)?;
    v = repeat_heads(cx, v, &heads)?;
    let scale = match cx.float_opt("scale")? {
        Some(s) => s,
        None => 1.0 / (cx.extent(q, 3, "the size of a head")? as f64).sqrt(),
    };
    (q, k) = (cx.cast(q, precision)?, cx.cast(k, precision)?);
    let k = cx.transpose(k, vec![0, 1, 3, 2])?;
    let scores = cx.emit(Op::MatMul { out: precision }, &[q, k])?;
    let scores = cx.with(BinaryOp::Mul, scores, scale)?;
    let scores = modified(cx, "score_mod", scores)?;
    let weights = cx.emit(Op::Softmax { axis: 3, log: false }, &[scores])?;
    let weights = modified(cx, "prob_mod", weights)?;
    let v = cx.cast(v, precision)?;
    let y = cx.emit(Op::MatMul { out: precision }, &[weights, v])?;
    Ok(vec![cx.cast(y, dtype)?])
}

/// What a function of the model makes of `x`: a tensor of the same type.
fn modified(cx: &mut Cx<'_, '_>, name: &str, x: V) -> R {
    if cx.attribute(name).is_none() {
        return Ok(x);
    }
    let g = cx.graph(name)?;
    match cx.im.inline(name, g, &[x])?[..] {
        [y] if cx.ty(y) == cx.ty(x) => Ok(y),
        _ => bad_arguments(format!("its `{name}` does not give one tensor of the type it takes, {}", cx.ty(x))),
    }
}

/// Every second element of the last axis, from `start`.
fn every_second(cx: &mut Cx<'_, '_>, x: V, start: i64) -> R {
    let shape = cx.shape(x);
    let n = shape.len();
    let half = shape[n - 1].floor_div(&2.into());
    let mut s = Slice { start: vec![Dim::Known(0); n], len: shape, step: vec![1; n] };
    (s.start[n - 1], s.len[n - 1], s.step[n - 1]) = (start.into(), half, 2);
    cx.emit(Op::Slice(s), &[x])
}

/// Pairs of elements, turned by the angles of their position.
fn rotary_embedding(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (input, mut cos, mut sin) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let flat = cx.rank(input) == 3;
    let x = if flat {
        let heads = cx.int("num_heads", 0)?;
        split_heads(cx, input, heads)?
    } else {
        input
    };
    let [_, _, _, size]: [Dim; 4] = cx.shape(x).try_into().or_else(|_| bad_arguments("its input must have rank 3 or 4"))?;
    let turned = match cx.int("rotary_embedding_dim", 0)? {
        0 => size.clone(),
        d if d > 0 && d % 2 == 0 => Dim::from(d),
        d => return bad_attribute(format!("attribute `rotary_embedding_dim` is {d}; it must be even and positive")),
    };
    if let Some(ids) = cx.opt(3) {
        cos = cx.emit(Op::Gather { axis: 0 }, &[cos, ids])?;
        sin = cx.emit(Op::Gather { axis: 0 }, &[sin, ids])?;
    }
    // [B, S, D/2] to [B, 1, S, D/2].
    let mut angles = vec![];
    for t in [cos, sin] {
        let mut shape = cx.shape(t);
        if shape.len() != 3 {
            return bad_arguments("its caches must have rank 3, or rank 2 with position ids");
        }
        shape.insert(1, 1.into());
        angles.push(cx.reshape(t, shape)?);
    }
    let (cos, sin) = (angles[0], angles[1]);
    let part = cx.slice_axis(x, 3, 0.into(), turned.clone())?;
    let half = turned.floor_div(&2.into());
    let interleaved = cx.flag("interleaved", false)?;
    let (a, b) = if interleaved {
        (every_second(cx, part, 0)?, every_second(cx, part, 1)?)
    } else {
        (cx.slice_axis(part, 3, 0.into(), half.clone())?, cx.slice_axis(part, 3, half.clone(), half)?)
    };
    let term = |cx: &mut Cx<'_, '_>, c: V, s: V, op: BinaryOp| -> R {
        let x = cx.binary(BinaryOp::Mul, c, a)?;
        let y = cx.binary(BinaryOp::Mul, s, b)?;
        cx.binary(op, x, y)
    };
    let real = term(cx, cos, sin, BinaryOp::Sub)?;
    let imaginary = term(cx, sin, cos, BinaryOp::Add)?;
    let whole = cx.shape(part);
    let mut y = if interleaved {
        let mut shape = cx.shape(real);
        shape.push(1.into());
        let real = cx.reshape(real, shape.clone())?;
        let imaginary = cx.reshape(imaginary, shape)?;
        let pairs = cx.concat(&[real, imaginary], 4)?;
        cx.reshape(pairs, whole)?
    } else {
        cx.concat(&[real, imaginary], 3)?
    };
    if turned != size {
        let rest = cx.slice_axis(x, 3, turned.clone(), size - turned)?;
        y = cx.concat(&[y, rest], 3)?;
    }
    if flat {
        let shape = cx.shape(input);
        y = cx.transpose(y, vec![0, 2, 1, 3])?;
        y = cx.reshape(y, shape)?;
    }
    Ok(vec![y])
}
