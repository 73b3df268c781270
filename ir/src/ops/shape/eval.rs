//! What the shape ops mean. The arguments have passed `infer`, with every symbol of the payload that has a value replaced.

use super::super::index::{strides, tensor, zeroed};
use super::view::{View, copy_by_tables};
use super::{PadMode, Slice};
use crate::eval::{Ctx, EvalError};
use crate::tensor::{Tensor, numel};
use crate::types::Dim;

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_reshape(shape: &[Dim], args: &[Tensor], ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let to = ctx.shape(shape)?;
    match args[0].reshaped(&to) {
        Some(t) => Ok(vec![t]),
        None => {
            EvalError::fail(format!("a tensor of shape {:?} cannot have the shape {to:?}: not as many elements", args[0].shape))
        }
    }
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_transpose(perm: &[usize], args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let from = View::of(&args[0].shape);
    let view = View { offset: 0, axes: perm.iter().map(|&p| from.axes[p]).collect() };
    Ok(vec![view.copy(&args[0])?])
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_broadcast(shape: &[Dim], args: &[Tensor], ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let to = ctx.shape(shape)?;
    let from = View::of(&args[0].shape);
    let lead = to.len() - from.axes.len();
    let mut axes = Vec::with_capacity(to.len());
    for (i, &n) in to.iter().enumerate() {
        let (have, stride) = if i < lead { (1, 0) } else { from.axes[i - lead] };
        if have != n && have != 1 {
            return EvalError::fail(format!("shape {:?} does not broadcast to {to:?}", args[0].shape));
        }
        axes.push((n, if have == n { stride } else { 0 }));
    }
    Ok(vec![View { offset: 0, axes }.copy(&args[0])?])
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_slice(p: &Slice, args: &[Tensor], ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let to = ctx.shape(&p.len)?;
    let empty = to.contains(&0);
    let mut view = View::of(&args[0].shape);
    for (axis, (&n, &have)) in to.iter().zip(&args[0].shape).enumerate() {
        let (start, step) = (i128::from(ctx.value(&p.start[axis])?), i128::from(p.step[axis]));
        let last = start + (n as i128 - 1) * step;
        let inside = |i: i128| (0..have as i128).contains(&i);
        if n > 0 && !(inside(start) && inside(last)) {
            return EvalError::fail(format!("positions {start} to {last} of axis {axis} are asked for, of {have}"));
        }
        let stride = view.axes[axis].1;
        // Where nothing is read, the start need not be a position and strides mean nothing.
        view.axes[axis] = if empty { (n, 0) } else { (n, stride * step) };
        view.offset += if empty { 0 } else { start * stride };
    }
    Ok(vec![view.copy(&args[0])?])
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_dynamic_slice(shape: &[Dim], args: &[Tensor], ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let to = ctx.shape(shape)?;
    let mut view = View::of(&args[0].shape);
    for (axis, start) in args[1].to_i64().into_iter().enumerate() {
        let (n, have) = (to[axis], args[0].shape[axis]);
        let Some(room) = have.checked_sub(n) else {
            return EvalError::fail(format!("a window of {n} does not fit into axis {axis}, of {have}"));
        };
        view.axes[axis].0 = n;
        if !to.contains(&0) {
            view.offset += view.axes[axis].1 * i128::from(start).clamp(0, room as i128);
        }
    }
    Ok(vec![view.copy(&args[0])?])
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_pad(lo: &[Dim], hi: &[Dim], mode: PadMode, args: &[Tensor], ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let mut tables = vec![];
    for (axis, &have) in args[0].shape.iter().enumerate() {
        let n = ctx.extent(&(Dim::from(have) + lo[axis].clone() + hi[axis].clone()))?;
        let (before, after) = (i128::from(ctx.value(&lo[axis])?), i128::from(ctx.value(&hi[axis])?));
        // What is left after cropping is `first..first + left`.
        let (first, left) = (-before.min(0), have as i128 + before.min(0) + after.min(0));
        if left < 0 {
            return EvalError::fail(format!("padding of {before} and {after} crops more than the {have} of axis {axis}"));
        }
        if left == 0 && n > 0 && mode != PadMode::Constant {
            return EvalError::fail(format!("axis {axis} has no element to pad from"));
        }
        let source = |j: usize| source_position(j as i128 - before.max(0), left, mode).map(|i| (first + i) as usize);
        tables.push((0..n).map(source).collect());
    }
    Ok(vec![copy_by_tables(&args[0], &tables, args[1].bytes())?])
}

/// Which of `0..n` position `i` of the padded axis shows, if any. `n` is positive except for `Constant`.
fn source_position(i: i128, n: i128, mode: PadMode) -> Option<i128> {
    if (0..n).contains(&i) {
        return Some(i);
    }
    match mode {
        PadMode::Constant => None,
        PadMode::Edge => Some(i.clamp(0, n - 1)),
        PadMode::Wrap => Some(i.rem_euclid(n)),
        PadMode::Reflect if n == 1 => Some(0),
        PadMode::Reflect => {
            // A mirrored axis repeats after going there and back.
            let i = i.rem_euclid(2 * (n - 1));
            Some(i.min(2 * (n - 1) - i))
        }
    }
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_concat(axis: usize, args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let mut to = args[0].shape.clone();
    to[axis] = args.iter().fold(0, |n, x| n.saturating_add(x.shape[axis]));
    let dtype = args[0].dtype;
    let mut out = zeroed(dtype, &to)?;
    if !out.is_empty() {
        let inner = strides(&to)[axis] * dtype.size();
        let row = inner * to[axis];
        let mut start = 0;
        for x in args {
            let run = x.shape[axis] * inner;
            if run > 0 {
                for (from, to) in x.bytes().chunks_exact(run).zip(out.chunks_exact_mut(row)) {
                    to[start..start + run].copy_from_slice(from);
                }
            }
            start += run;
        }
    }
    Ok(vec![tensor(dtype, &to, out)?])
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_reverse(axes: &[usize], args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let mut view = View::of(&args[0].shape);
    if numel(&args[0].shape) != Some(0) {
        for &axis in axes {
            let (n, stride) = view.axes[axis];
            view.offset += stride * (n as i128 - 1);
            view.axes[axis].1 = -stride;
        }
    }
    Ok(vec![view.copy(&args[0])?])
}
