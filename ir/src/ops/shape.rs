//! Ops that move elements without computing.

mod eval;
#[cfg(test)]
mod tests;
mod view;

use serde::{Deserialize, Serialize};

use super::infer::{ShapeText, arity, assume, assume_at_most, check_axis};
use super::{DimRule, InferError, same_extent, unify_extent};
use crate::graph::Graph;
use crate::types::{DType, Dim, Symbols, TensorType};

pub(crate) use eval::{
    eval_broadcast, eval_concat, eval_dynamic_slice, eval_pad, eval_reshape, eval_reverse, eval_slice, eval_transpose,
};
pub(super) use view::copy_by_tables;

/// Static slice: result element `i` of an axis is argument element `start + i*step`. All three have one entry an axis.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Slice {
    /// First element taken.
    pub start: Vec<Dim>,
    /// Number of elements.
    pub len: Vec<Dim>,
    /// Step, not zero; may be negative.
    pub step: Vec<i64>,
}

/// What is outside. Negative amounts crop first; the mode sees what is left.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum PadMode {
    /// The pad value.
    Constant,
    /// Mirror without repeating the border element; there and back again where the padding is longer than the axis.
    Reflect,
    /// The border element.
    Edge,
    /// From the other side.
    Wrap,
}

/// True where `d` is negative for all values of the symbols.
fn surely_negative(d: &Dim, symbols: &Symbols) -> bool {
    d.range(symbols).hi < 0
}

/// Result types; see [`super::infer()`]. Element counts must be equal; where symbols leave that open, they must be able to be.
pub(super) fn infer_reshape(shape: &[Dim], inputs: &[&TensorType], graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 1)?;
    let x = inputs[0];
    let to = TensorType::new(x.dtype, shape);
    let (have, want) = (x.numel(), to.numel());
    let apart = (have.clone() - want.clone()).range(&graph.symbols);
    let (a, b) = (have.range(&graph.symbols), want.range(&graph.symbols));
    let possible = apart.lo <= 0 && apart.hi >= 0 && a.lo <= b.hi && b.lo <= a.hi;
    let same = same_extent(&have, &want, &graph.symbols);
    InferError::check(same || possible, || format!("{x} has {have} elements, the shape {} has {want}", ShapeText(shape)))?;
    if !same {
        assume(&want, DimRule::Equal, &have);
    }
    Ok(vec![to])
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_transpose(perm: &[usize], inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 1)?;
    let x = inputs[0];
    let mut sorted = perm.to_vec();
    sorted.sort_unstable();
    InferError::check(sorted.iter().copied().eq(0..x.rank()), || {
        format!("perm {perm:?} does not name each axis of {x} once: it must be an order of 0..{}", x.rank())
    })?;
    Ok(vec![TensorType::new(x.dtype, perm.iter().map(|&p| x.shape[p].clone()).collect::<Vec<_>>())])
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_broadcast(shape: &[Dim], inputs: &[&TensorType], graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 1)?;
    let x = inputs[0];
    let wrong =
        || format!("{x} does not broadcast to {}: aligned at the last axis, each extent must be 1 or equal", ShapeText(shape));
    InferError::check(x.rank() <= shape.len(), wrong)?;
    for (have, want) in x.shape.iter().rev().zip(shape.iter().rev()) {
        let r = have.range(&graph.symbols);
        let may_be_one = have.known().is_none() && want.known().is_some() && r.lo <= 1 && 1 <= r.hi;
        if may_be_one {
            assume(have, DimRule::OneOrEqual, want);
        } else if !have.is(1) {
            unify_extent(have, want, &graph.symbols).map_err(|e| e.said(|_| wrong()))?;
        }
    }
    Ok(vec![TensorType::new(x.dtype, shape)])
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_slice(p: &Slice, inputs: &[&TensorType], graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 1)?;
    let (x, symbols) = (inputs[0], &graph.symbols);
    InferError::check([p.start.len(), p.len.len(), p.step.len()] == [x.rank(); 3], || {
        let (a, b, c) = (p.start.len(), p.len.len(), p.step.len());
        format!("{x} needs {} starts, lengths and steps, got {a}, {b} and {c}", x.rank())
    })?;
    for (axis, have) in x.shape.iter().enumerate() {
        let (start, len, step) = (&p.start[axis], &p.len[axis], p.step[axis]);
        InferError::check(step != 0, || format!("the step of axis {axis} is zero"))?;
        InferError::check(!surely_negative(len, symbols), || format!("the length `{len}` of axis {axis} is negative"))?;
        if len.range(symbols).lo < 1 {
            continue;
        }
        let last = start.clone() + (len.clone() - 1.into()) * step.into();
        for i in [start, &last] {
            let outside = surely_negative(i, symbols) || surely_negative(&(have.clone() - i.clone() - 1.into()), symbols);
            InferError::check(!outside, || format!("position `{i}` is outside axis {axis} of {x}"))?;
            assume_at_most(&(Dim::Known(0) - i.clone()), &0.into(), symbols);
            assume_at_most(i, &(have.clone() - 1.into()), symbols);
        }
    }
    Ok(vec![TensorType::new(x.dtype, p.len.clone())])
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_dynamic_slice(shape: &[Dim], inputs: &[&TensorType], graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 2)?;
    let (x, starts) = (inputs[0], inputs[1]);
    InferError::check(shape.len() == x.rank(), || format!("the window {} needs {} extents", ShapeText(shape), x.rank()))?;
    let vector = starts.rank() == 1 && unify_extent(&starts.shape[0], &x.rank().into(), &graph.symbols).is_ok();
    InferError::check(starts.dtype == DType::I64 && vector, || format!("starts must be i64[{}], got {starts}", x.rank()))?;
    for (axis, (have, want)) in x.shape.iter().zip(shape).enumerate() {
        InferError::check(!surely_negative(&(have.clone() - want.clone()), &graph.symbols), || {
            format!("the window {} does not fit into axis {axis} of {x}", ShapeText(shape))
        })?;
        assume_at_most(want, have, &graph.symbols);
    }
    Ok(vec![TensorType::new(x.dtype, shape)])
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_pad(
    lo: &[Dim],
    hi: &[Dim],
    mode: PadMode,
    inputs: &[&TensorType],
    graph: &Graph,
) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 2)?;
    let (x, value) = (inputs[0], inputs[1]);
    InferError::check(*value == TensorType::scalar(x.dtype), || format!("the pad value must be {}[], got {value}", x.dtype))?;
    InferError::check([lo.len(), hi.len()] == [x.rank(); 2], || {
        format!("{x} needs {} amounts on either side, got {} and {}", x.rank(), lo.len(), hi.len())
    })?;
    let mut shape = vec![];
    for (axis, have) in x.shape.iter().enumerate() {
        let (before, after) = (&lo[axis], &hi[axis]);
        let zero = Dim::Known(0);
        let left = have.clone() + before.min_of(&zero) + after.min_of(&zero);
        InferError::check(!surely_negative(&left, &graph.symbols), || {
            format!("padding of {before} and {after} crops more than there is in axis {axis} of {x}")
        })?;
        assume_at_most(&(Dim::Known(0) - left.clone()), &0.into(), &graph.symbols);
        let out = have.clone() + before.clone() + after.clone();
        let empty = left.is(0) && out.range(&graph.symbols).lo > 0 && mode != PadMode::Constant;
        InferError::check(!empty, || format!("axis {axis} of {x} has no element to pad from"))?;
        shape.push(out);
    }
    Ok(vec![TensorType::new(x.dtype, shape)])
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_concat(axis: usize, inputs: &[&TensorType], graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    let Some((first, rest)) = inputs.split_first() else {
        return InferError::fail("takes at least one argument");
    };
    check_axis(axis, first)?;
    let mut out = (*first).clone();
    for x in rest {
        InferError::check(x.dtype == out.dtype && x.rank() == out.rank(), || {
            format!("{x} and {first} differ in element type or rank: arguments may differ along axis {axis} only")
        })?;
        for (i, (d, have)) in out.shape.iter_mut().zip(&x.shape).enumerate() {
            *d = if i == axis {
                d.clone() + have.clone()
            } else {
                let why = |e: InferError| e.said(|why| format!("{x} does not join {first} at axis {axis}: {why}"));
                unify_extent(d, have, &graph.symbols).map_err(why)?
            };
        }
    }
    Ok(vec![out])
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_reverse(axes: &[usize], inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 1)?;
    for (i, &axis) in axes.iter().enumerate() {
        check_axis(axis, inputs[0])?;
        InferError::check(!axes[..i].contains(&axis), || format!("axis {axis} is named twice in {axes:?}"))?;
    }
    Ok(vec![inputs[0].clone()])
}
