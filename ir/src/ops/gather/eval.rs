//! What indexed reads and writes mean. The arguments have passed `infer`.

use super::super::{ReduceOp, index};
use super::{Scatter, ScatterMode};
use crate::eval::{Ctx, EvalError};
use crate::num::{decode, encode};
use crate::tensor::{Num, Tensor};

/// The element that `i` names in an axis of `n`: negative ones count from the end, out of range ones are clamped.
fn clamped(i: i64, n: usize) -> Result<usize, EvalError> {
    match n.checked_sub(1) {
        None => EvalError::fail(format!("index {i} into an axis without elements")),
        Some(last) => Ok(from_end(i, n).clamp(0, last as i128) as usize),
    }
}

fn from_end(i: i64, n: usize) -> i128 {
    i128::from(i) + if i < 0 { n as i128 } else { 0 }
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_gather(axis: usize, args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let (data, indices) = (&args[0], &args[1]);
    let shape = [&data.shape[..axis], &indices.shape, &data.shape[axis + 1..]].concat();
    let mut out = index::buffer(data.dtype, &shape)?;
    if !shape.contains(&0) {
        let n = data.shape[axis];
        let run = index::strides(&data.shape)[axis] * data.dtype.size();
        let places = indices.to_i64().into_iter().map(|i| clamped(i, n)).collect::<Result<Vec<_>, _>>()?;
        for block in data.bytes().chunks_exact(n * run) {
            for i in &places {
                out.extend_from_slice(&block[i * run..(i + 1) * run]);
            }
        }
    }
    Ok(vec![index::tensor(data.dtype, &shape, out)?])
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_gather_elements(axis: usize, args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let (data, indices) = (&args[0], &args[1]);
    check_within(&indices.shape, &data.shape, axis)?;
    let (strides, size) = (index::strides(&data.shape), data.dtype.size());
    let mut out = index::buffer(data.dtype, &indices.shape)?;
    let places = indices.to_i64();
    let mut next = 0;
    index::for_each(&indices.shape, |at| {
        let mut at = at.to_vec();
        at[axis] = clamped(places[next], data.shape[axis])?;
        next += 1;
        let i = index::flat(&at, &strides) * size;
        out.extend_from_slice(&data.bytes()[i..i + size]);
        Ok(())
    })?;
    Ok(vec![index::tensor(data.dtype, &indices.shape, out)?])
}

fn check_within(part: &[usize], whole: &[usize], axis: usize) -> Result<(), EvalError> {
    match (0..part.len()).find(|&i| i != axis && part[i] > whole[i]) {
        Some(i) => EvalError::fail(format!("axis {i} of the indices {part:?} exceeds that of data {whole:?}")),
        None => Ok(()),
    }
}

/// The leading axes of index tuples, and the size of a tuple.
fn split_tuples(indices: &Tensor) -> (&[usize], usize) {
    match indices.shape.split_last() {
        Some((k, lead)) => (lead, *k),
        None => (&[], 0),
    }
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_gather_nd(batch: usize, args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let (data, indices) = (&args[0], &args[1]);
    let (tuples, k) = split_tuples(indices);
    let shape = [tuples, &data.shape[batch + k..]].concat();
    let mut out = index::buffer(data.dtype, &shape)?;
    if !shape.contains(&0) {
        let strides = index::strides(&data.shape);
        let run = data.shape[batch + k..].iter().product::<usize>() * data.dtype.size();
        let places = indices.to_i64();
        let mut next = 0;
        index::for_each(tuples, |at| {
            let mut full = at[..batch].to_vec();
            for (i, n) in places[next..next + k].iter().zip(&data.shape[batch..]) {
                full.push(clamped(*i, *n)?);
            }
            next += k;
            let start = index::flat(&full, &strides) * data.dtype.size();
            out.extend_from_slice(&data.bytes()[start..start + run]);
            Ok(())
        })?;
    }
    Ok(vec![index::tensor(data.dtype, &shape, out)?])
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_scatter(p: &Scatter, args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let (data, indices, updates) = (&args[0], &args[1], &args[2]);
    let strides = index::strides(&data.shape);
    let mut out = index::buffer(data.dtype, &data.shape)?;
    out.extend_from_slice(data.bytes());
    let places = indices.to_i64();
    // The coordinate that `i` names in `axis`; `None` where the update is to be dropped.
    let named = |i: i64, axis: usize| usize::try_from(from_end(i, data.shape[axis])).ok().filter(|j| *j < data.shape[axis]);
    let mut next = 0;
    match p.mode {
        ScatterMode::Elements { axis } => {
            check_within(&indices.shape, &data.shape, axis)?;
            index::for_each(&indices.shape, |at| {
                let mut at = at.to_vec();
                if let Some(i) = named(places[next], axis) {
                    at[axis] = i;
                    update(&mut out, index::flat(&at, &strides), updates, next, p.reduce);
                }
                next += 1;
                Ok(())
            })?;
        }
        ScatterMode::Nd => {
            let (tuples, k) = split_tuples(indices);
            let run = if data.is_empty() { 0 } else { data.shape[k..].iter().product() };
            index::for_each(tuples, |_| {
                let tuple = &places[next * k..(next + 1) * k];
                let at: Option<Vec<usize>> = tuple.iter().enumerate().map(|(axis, i)| named(*i, axis)).collect();
                if let Some(at) = at {
                    let start = index::flat(&at, &strides);
                    (0..run).for_each(|j| update(&mut out, start + j, updates, next * run + j, p.reduce));
                }
                next += 1;
                Ok(())
            })?;
        }
    }
    Ok(vec![index::tensor(data.dtype, &data.shape, out)?])
}

/// Applies element `from` of `updates` to element `to` of `out`.
fn update(out: &mut [u8], to: usize, updates: &Tensor, from: usize, reduce: Option<ReduceOp>) {
    let size = updates.dtype.size();
    let place = &mut out[to * size..(to + 1) * size];
    let Some(op) = reduce else {
        place.copy_from_slice(&updates.bytes()[from * size..(from + 1) * size]);
        return;
    };
    let mut bytes = Vec::with_capacity(size);
    encode(updates.dtype, combine(op, decode(updates.dtype, place), updates.get(from)), &mut bytes);
    place.copy_from_slice(&bytes);
}

/// `a op b`, still to be rounded. Wrapping modulo 2^128 is wrapping modulo the width of every integer type. NaN wins.
fn combine(op: ReduceOp, a: Num, b: Num) -> Num {
    match (op, a, b) {
        (ReduceOp::Sum, Num::Int(a), Num::Int(b)) => Num::Int(a.wrapping_add(b)),
        (ReduceOp::Sum, Num::Complex(r, i), Num::Complex(s, j)) => Num::Complex(r + s, i + j),
        (ReduceOp::Sum, a, b) => Num::Float(a.to_f64() + b.to_f64()),
        (ReduceOp::Prod, Num::Int(a), Num::Int(b)) => Num::Int(a.wrapping_mul(b)),
        (ReduceOp::Prod, Num::Complex(r, i), Num::Complex(s, j)) => Num::Complex(r * s - i * j, r * j + i * s),
        (ReduceOp::Prod, a, b) => Num::Float(a.to_f64() * b.to_f64()),
        (ReduceOp::Max, Num::Int(a), Num::Int(b)) => Num::Int(a.max(b)),
        (_, Num::Int(a), Num::Int(b)) => Num::Int(a.min(b)),
        _ => {
            let (x, y) = (a.to_f64(), b.to_f64());
            let first = x.is_nan() || if op == ReduceOp::Max { x >= y } else { x <= y };
            if first && !y.is_nan() || x.is_nan() { a } else { b }
        }
    }
}
