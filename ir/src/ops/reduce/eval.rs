//! Reductions on known extents. Floats accumulate in `f64` in row-major order and are rounded once; integers wrap.

use std::cmp::Ordering;

use super::{Cumulative, NormKind, ReduceOp};
use crate::eval::EvalError;
use crate::ops::elementwise::{max, min};
use crate::ops::walk::{dense_strides, rows};
use crate::tensor::{Num, Tensor};
use crate::types::DType;

/// One step of a reduction of floats.
fn float_step(op: ReduceOp) -> fn(f64, f64) -> f64 {
    match op {
        ReduceOp::Sum | ReduceOp::Mean => |a, b| a + b,
        ReduceOp::Prod => |a, b| a * b,
        ReduceOp::Max | ReduceOp::Any => max,
        ReduceOp::Min | ReduceOp::All => min,
    }
}

/// One step of a reduction of integers, or of `bool` as 0 and 1. Modulo 2^128, hence right modulo every narrower width.
fn int_step(op: ReduceOp) -> fn(i128, i128) -> i128 {
    match op {
        ReduceOp::Sum | ReduceOp::Mean => i128::wrapping_add,
        ReduceOp::Prod => i128::wrapping_mul,
        ReduceOp::Max | ReduceOp::Any => i128::max,
        ReduceOp::Min | ReduceOp::All => i128::min,
    }
}

fn to_i128(t: &Tensor) -> Vec<i128> {
    (0..t.len()).map(|i| t.get(i).to_i128()).collect()
}

/// Result of [`crate::ops::Op::Reduce`].
pub(crate) fn eval_reduce(op: ReduceOp, axes: &[usize], keep: bool, args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    let [x] = args else { return EvalError::fail("takes 1 argument") };
    if !op.takes(x.dtype) || axes.iter().any(|a| *a >= x.shape.len()) {
        return EvalError::fail(format!("does not take {} with axes {axes:?}", x.ty()));
    }
    let kept: Vec<usize> = x.shape.iter().enumerate().map(|(i, &d)| if axes.contains(&i) { 1 } else { d }).collect();
    let shape = match keep {
        true => kept.clone(),
        false => (0..kept.len()).filter(|i| !axes.contains(i)).map(|i| kept[i]).collect(),
    };
    let strides = dense_strides(&kept);
    let to: Vec<usize> = (0..kept.len()).map(|i| if axes.contains(&i) { 0 } else { strides[i] }).collect();
    let start = op.identity(x.dtype);
    if !x.dtype.is_float() {
        let out = fold(&to_i128(x), &x.shape, &kept, &to, start.to_i128(), int_step(op));
        return Ok(vec![Tensor::build(x.dtype, &shape, |i| Num::Int(out[i]))]);
    }
    let mut out = fold(&x.to_f64(), &x.shape, &kept, &to, start.to_f64(), float_step(op));
    if op == ReduceOp::Mean {
        let count: usize = axes.iter().map(|a| x.shape[*a]).product();
        out.iter_mut().for_each(|v| *v /= count as f64);
    }
    Ok(vec![Tensor::from_f64(x.dtype, &shape, &out)])
}

/// Folds every element into the result element at strides `to`.
fn fold<T: Copy>(x: &[T], from: &[usize], kept: &[usize], to: &[usize], start: T, f: impl Fn(T, T) -> T) -> Vec<T> {
    let mut out = vec![start; kept.iter().product()];
    rows(from, [&dense_strides(from), to], |at, step, n| {
        for i in 0..n {
            let o = &mut out[at[1] + i * step[1]];
            *o = f(*o, x[at[0] + i * step[0]]);
        }
    });
    out
}

/// A tensor seen as lines along one axis: element `i` of line `(outer, inner)` is at `(outer * len + i) * inner count + inner`.
struct Lines {
    outer: usize,
    len: usize,
    inner: usize,
}

impl Lines {
    fn new(t: &Tensor, axis: usize) -> Result<Lines, EvalError> {
        match t.shape.get(axis) {
            Some(&len) => Ok(Lines { outer: t.shape[..axis].iter().product(), len, inner: t.shape[axis + 1..].iter().product() }),
            None => EvalError::fail(format!("axis {axis} is out of range for {}", t.ty())),
        }
    }

    /// Position of the first element of every line, row-major; steps along a line are `inner`.
    fn starts(&self) -> impl Iterator<Item = usize> {
        let (len, inner) = (self.len, self.inner);
        (0..self.outer).flat_map(move |o| (0..inner).map(move |i| o * len * inner + i))
    }
}

/// Result of [`crate::ops::Op::ArgReduce`].
pub(crate) fn eval_arg_reduce(
    largest: bool,
    axis: usize,
    keep: bool,
    last: bool,
    args: &[Tensor],
) -> Result<Vec<Tensor>, EvalError> {
    let [x] = args else { return EvalError::fail("takes 1 argument") };
    let lines = Lines::new(x, axis)?;
    let mut shape = x.shape.clone();
    match keep {
        true => shape[axis] = 1,
        false => drop(shape.remove(axis)),
    }
    let index = if x.dtype.is_float() {
        // NaN counts as the one looked for.
        let above = |a: &f64, b: &f64| a.is_nan().cmp(&b.is_nan()).then(a.partial_cmp(b).unwrap_or(Ordering::Equal));
        let below = |a: &f64, b: &f64| a.is_nan().cmp(&b.is_nan()).then(b.partial_cmp(a).unwrap_or(Ordering::Equal));
        positions(&lines, &x.to_f64(), last, |a, b| if largest { above(a, b) } else { below(a, b) })
    } else {
        positions(&lines, &to_i128(x), last, |a, b| if largest { a.cmp(b) } else { b.cmp(a) })
    };
    Ok(vec![Tensor::build(DType::I64, &shape, |i| Num::Int(index[i] as i128))])
}

/// Position along every line of the first (or last) element that no other is greater than.
fn positions<T>(lines: &Lines, x: &[T], last: bool, order: impl Fn(&T, &T) -> Ordering) -> Vec<usize> {
    let pick = |start: usize| {
        (1..lines.len).fold(0, |best, i| match order(&x[start + i * lines.inner], &x[start + best * lines.inner]) {
            Ordering::Greater => i,
            Ordering::Equal if last => i,
            _ => best,
        })
    };
    if lines.len == 0 { vec![] } else { lines.starts().map(pick).collect() }
}

/// Result of [`Cumulative`].
pub(crate) fn eval_cumulative(p: &Cumulative, args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    let [x] = args else { return EvalError::fail("takes 1 argument") };
    let lines = Lines::new(x, p.axis)?;
    let start = p.op.identity(x.dtype);
    if x.dtype.is_float() {
        let out = running(p, &lines, &x.to_f64(), start.to_f64(), float_step(p.op));
        return Ok(vec![Tensor::from_f64(x.dtype, &x.shape, &out)]);
    }
    let out = running(p, &lines, &to_i128(x), start.to_i128(), int_step(p.op));
    Ok(vec![Tensor::build(x.dtype, &x.shape, |i| Num::Int(out[i]))])
}

fn running<T: Copy>(p: &Cumulative, lines: &Lines, x: &[T], start: T, f: impl Fn(T, T) -> T) -> Vec<T> {
    let mut out = x.to_vec();
    for first in lines.starts() {
        let mut sum = start;
        for i in 0..lines.len {
            let at = first + if p.reverse { lines.len - 1 - i } else { i } * lines.inner;
            let next = f(sum, x[at]);
            out[at] = if p.exclusive { sum } else { next };
            sum = next;
        }
    }
    out
}

/// Result of [`crate::ops::Op::Softmax`].
pub(crate) fn eval_softmax(axis: usize, log: bool, args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    let [x] = args else { return EvalError::fail("takes 1 argument") };
    let lines = Lines::new(x, axis)?;
    let mut v = x.to_f64();
    for first in lines.starts() {
        let line = || (0..lines.len).map(|i| first + i * lines.inner);
        let top = line().fold(f64::NEG_INFINITY, |m, i| max(m, v[i]));
        let mut sum = 0.0;
        for i in line() {
            v[i] -= top;
            let e = libm::exp(v[i]);
            sum += e;
            if !log {
                v[i] = e;
            }
        }
        let log_sum = libm::log(sum);
        line().for_each(|i| if log { v[i] -= log_sum } else { v[i] /= sum });
    }
    Ok(vec![Tensor::from_f64(x.dtype, &x.shape, &v)])
}

/// Result of [`crate::ops::Op::Norm`].
pub(crate) fn eval_norm(kind: NormKind, axis: usize, eps: f64, args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    let [x] = args else { return EvalError::fail("takes 1 argument") };
    if axis >= x.shape.len() {
        return EvalError::fail(format!("axis {axis} is out of range for {}", x.ty()));
    }
    let mut v = x.to_f64();
    let len: usize = x.shape[axis..].iter().product();
    if len > 0 {
        for row in v.chunks_exact_mut(len) {
            if kind == NormKind::Layer {
                let mean = row.iter().sum::<f64>() / len as f64;
                row.iter_mut().for_each(|e| *e -= mean);
            }
            let square = row.iter().map(|e| e * e).sum::<f64>() / len as f64;
            let scale = (square + eps).sqrt();
            row.iter_mut().for_each(|e| *e /= scale);
        }
    }
    Ok(vec![Tensor::from_f64(x.dtype, &x.shape, &v)])
}
