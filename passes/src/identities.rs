//! Identities that hold for every value, bit for bit: a node that changes nothing gives way to its argument, and runs of
//! shape ops become one. Nothing here reorders arithmetic; that is for the rules of `saturate`, which say so.

use beiming_ir::graph::{Graph, Loc, ValueId};
use beiming_ir::ops::{BinaryOp, Op, ReduceOp, Slice, UnaryOp};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim, TensorType};

use crate::layout;
use crate::rebuild::Rebuild;

/// Elements looked at to see whether a constant holds one value only.
const SPLAT_LIMIT: usize = 1 << 16;

/// What stands for `op(inputs)`, of type `ty`, in the new graph; `None` where nothing simpler is known.
pub(crate) fn node(r: &mut Rebuild, op: &Op, inputs: &[ValueId], ty: &TensorType, loc: &Loc) -> Option<ValueId> {
    let x = *inputs.first()?;
    let same = r.new.ty(x) == ty;
    let found = match op {
        Op::Reshape { .. } | Op::Broadcast { .. } if same => Some(x),
        Op::Cast { .. } | Op::Bitcast { .. } => cast(r, op, x, ty, loc),
        Op::Unary(u) => unary(&r.new, *u, x),
        Op::Binary(b) => binary(&r.new, *b, x, inputs[1], ty),
        Op::Select => select(&r.new, inputs, ty),
        Op::Reshape { shape } => reshape(r, x, shape, loc),
        Op::Transpose { perm } => transpose(r, x, perm, ty, loc),
        Op::Broadcast { shape } => match r.new.def(x)? {
            n if matches!(n.op, Op::Broadcast { .. }) && r.new.ty(n.inputs[0]).rank() <= r.new.ty(x).rank() => {
                let inner = n.inputs[0];
                r.push1(Op::Broadcast { shape: shape.clone() }, &[inner], loc).ok()
            }
            _ => None,
        },
        Op::Slice(s) => slice(r, x, s, ty, loc),
        Op::DynamicSlice { shape } => dynamic_slice(r, x, inputs[1], shape, loc),
        // Also reflections and the like: there is nothing outside to fill.
        Op::Pad { lo, hi, .. } if lo.iter().chain(hi).all(|d| d.is(0)) => Some(x),
        Op::Concat { axis } => concat(r, inputs, *axis, loc),
        Op::Reverse { axes } if axes.iter().all(|&a| ty.shape[a].is(1)) => Some(x),
        Op::Reduce { op: ReduceOp::Max | ReduceOp::Min | ReduceOp::All | ReduceOp::Any, axes, .. } if axes.is_empty() => Some(x),
        // One element is its own reduction; a float sum may start from a zero of the other sign.
        Op::Reduce { op, axes, .. } if axes.iter().all(|&a| r.new.ty(x).shape[a].is(1)) && one_is_all(*op, ty.dtype) => {
            r.push1(Op::Reshape { shape: ty.shape.clone() }, &[x], loc).ok()
        }
        Op::Reduce { op, axes, keep } => {
            reduced_already(r, Op::Reduce { op: *op, axes: axes.clone(), keep: !keep }, inputs, ty, loc)
        }
        Op::Gather { axis } => gather(r, x, inputs[1], *axis, ty, loc),
        _ => None,
    }?;
    // A replacement never changes the type; where symbols keep two forms of one extent apart, the node stays.
    (r.new.ty(found) == ty).then_some(found)
}

/// Whether reducing one element gives that element, to the bit.
fn one_is_all(op: ReduceOp, dtype: DType) -> bool {
    match op {
        ReduceOp::Max | ReduceOp::Min => true,
        ReduceOp::All | ReduceOp::Any => dtype == DType::Bool,
        ReduceOp::Sum | ReduceOp::Prod => dtype.int_range().is_some(),
        _ => false,
    }
}

/// The same reduction with or without its axes, under the other shape.
fn reduced_already(r: &mut Rebuild, other: Op, inputs: &[ValueId], ty: &TensorType, loc: &Loc) -> Option<ValueId> {
    let found = r.existing(&other, inputs)?;
    r.push1(Op::Reshape { shape: ty.shape.clone() }, &[found], loc).ok()
}

/// The one value all elements of a constant have; seen through broadcasts and reshapes.
pub(crate) fn splat(g: &Graph, v: ValueId) -> Option<Num> {
    let mut v = v;
    while let Some(n) = g.def(v).filter(|n| matches!(n.op, Op::Broadcast { .. } | Op::Reshape { .. })) {
        v = n.inputs[0];
    }
    splat_of(g.const_of(v)?)
}

/// The one value all elements of `t` have.
pub(crate) fn splat_of(t: &Tensor) -> Option<Num> {
    let n = t.len();
    if n == 0 || n > SPLAT_LIMIT {
        return None;
    }
    let size = t.dtype.size();
    let first = &t.bytes()[..size];
    t.bytes().chunks_exact(size).all(|c| c == first).then(|| t.get(0))
}

fn is_number(n: Num, v: f64) -> bool {
    match n {
        // The sign of zero matters.
        Num::Float(x) => x.to_bits() == v.to_bits(),
        Num::Int(i) => i as f64 == v,
        Num::Complex(..) => false,
    }
}

fn cast(r: &mut Rebuild, op: &Op, x: ValueId, ty: &TensorType, loc: &Loc) -> Option<ValueId> {
    if r.new.ty(x) == ty {
        return Some(x);
    }
    let inner = r.new.def(x)?;
    let (Op::Cast { to }, Op::Cast { .. }) = (op, &inner.op) else { return None };
    let (source, middle) = (inner.inputs[0], r.new.ty(x).dtype);
    if !holds_all(middle, r.new.ty(source).dtype) {
        return None;
    }
    if r.new.ty(source) == ty {
        return Some(source);
    }
    r.push1(Op::Cast { to: *to }, &[source], loc).ok()
}

/// Every value of `small` is a value of `large`, so a conversion through `large` is no conversion at all.
fn holds_all(large: DType, small: DType) -> bool {
    if let (Some(l), Some(s)) = (large.int_range(), small.int_range()) {
        return l.0 <= s.0 && s.1 <= l.1 && large != DType::Bool;
    }
    match (large, small) {
        (DType::F64, s) if s.is_float() => true,
        (DType::F64, s) => s.int_range().is_some_and(|(lo, hi)| lo >= -(1 << 53) && hi <= 1 << 53),
        (DType::F32, DType::F16 | DType::BF16 | DType::F32) => true,
        (DType::F32, s) => s.int_range().is_some_and(|(lo, hi)| lo >= -(1 << 24) && hi <= 1 << 24),
        (l, s) => l == s,
    }
}

fn unary(g: &Graph, u: UnaryOp, x: ValueId) -> Option<ValueId> {
    use UnaryOp::*;
    let inner = g.def(x)?;
    let Op::Unary(i) = inner.op else { return None };
    match (u, i) {
        (Neg, Neg) | (Not, Not) | (BitNot, BitNot) => Some(inner.inputs[0]),
        // Once is enough.
        (Abs, Abs) => Some(x),
        (Floor | Ceil | Round | RoundAway | Trunc, Floor | Ceil | Round | RoundAway | Trunc) => Some(x),
        _ => None,
    }
}

fn binary(g: &Graph, b: BinaryOp, x: ValueId, y: ValueId, ty: &TensorType) -> Option<ValueId> {
    use BinaryOp::*;
    let fits = |v: ValueId| (g.ty(v) == ty).then_some(v);
    let float = ty.dtype.is_float();
    let right = |v: f64| splat(g, y).is_some_and(|n| is_number(n, v));
    let left = |v: f64| splat(g, x).is_some_and(|n| is_number(n, v));
    match b {
        Mul | Div if right(1.0) => fits(x),
        Mul if left(1.0) => fits(y),
        Pow if right(1.0) && float => fits(x),
        // x - (+0) and x + (-0) keep every bit; x + (+0) turns -0 into +0.
        Sub if right(0.0) => fits(x),
        Add if right(if float { -0.0 } else { 0.0 }) => fits(x),
        Add if left(if float { -0.0 } else { 0.0 }) => fits(y),
        Or | Xor | Shl | Shr if right(0.0) => fits(x),
        Or | Xor if left(0.0) => fits(y),
        And if ty.dtype == DType::Bool && right(1.0) => fits(x),
        And if ty.dtype == DType::Bool && left(1.0) => fits(y),
        Max | Min | And | Or if x == y => fits(x),
        // NaN stays NaN on both sides.
        Max if float && right(f64::NEG_INFINITY) => fits(x),
        Max if float && left(f64::NEG_INFINITY) => fits(y),
        Min if float && right(f64::INFINITY) => fits(x),
        Min if float && left(f64::INFINITY) => fits(y),
        _ => None,
    }
}

fn select(g: &Graph, inputs: &[ValueId], ty: &TensorType) -> Option<ValueId> {
    let [c, x, y] = inputs else { return None };
    let chosen = match splat(g, *c) {
        Some(Num::Int(0)) => *y,
        Some(Num::Int(_)) => *x,
        _ if x == y => *x,
        _ => return None,
    };
    (g.ty(chosen) == ty).then_some(chosen)
}

fn reshape(r: &mut Rebuild, x: ValueId, shape: &[Dim], loc: &Loc) -> Option<ValueId> {
    let inner = r.new.def(x)?;
    if !matches!(inner.op, Op::Reshape { .. }) {
        return None;
    }
    let source = inner.inputs[0];
    if r.new.ty(source).shape == shape {
        return Some(source);
    }
    r.push1(Op::Reshape { shape: shape.to_vec() }, &[source], loc).ok()
}

fn transpose(r: &mut Rebuild, x: ValueId, perm: &[usize], ty: &TensorType, loc: &Loc) -> Option<ValueId> {
    if layout::is_identity(perm) {
        return Some(x);
    }
    if layout::is_relabeling(perm, &r.new.ty(x).shape) {
        return r.push1(Op::Reshape { shape: ty.shape.clone() }, &[x], loc).ok();
    }
    let inner = r.new.def(x)?;
    let Op::Transpose { perm: first } = &inner.op else { return None };
    let (both, source) = (layout::compose(perm, first), inner.inputs[0]);
    if layout::is_identity(&both) {
        return Some(source);
    }
    r.push1(Op::Transpose { perm: both }, &[source], loc).ok()
}

fn slice(r: &mut Rebuild, x: ValueId, s: &Slice, ty: &TensorType, loc: &Loc) -> Option<ValueId> {
    let shape = r.new.ty(x).shape.clone();
    let whole = |i: usize| s.start[i].is(0) && s.step[i] == 1 && s.len[i] == shape[i];
    if (0..shape.len()).all(whole) && r.new.ty(x) == ty {
        return Some(x);
    }
    let inner = r.new.def(x)?;
    match &inner.op {
        Op::Slice(f) => {
            // start + i*step of an axis that is itself first + j*stride.
            let scaled = |d: &Dim, k: i64| d.clone() * Dim::from(k);
            let start = (0..shape.len()).map(|i| f.start[i].clone() + scaled(&s.start[i], f.step[i])).collect();
            let step = (0..shape.len()).map(|i| f.step[i].checked_mul(s.step[i])).collect::<Option<Vec<_>>>()?;
            let source = inner.inputs[0];
            r.push1(Op::Slice(Slice { start, len: s.len.clone(), step }), &[source], loc).ok()
        }
        Op::Concat { axis } => {
            let (axis, parts) = (*axis, inner.inputs.clone());
            if s.step[axis] != 1 {
                return None;
            }
            let (first, len) = (s.start[axis].known()?, s.len[axis].known()?);
            let mut at = 0i64;
            for part in parts {
                let n = r.new.ty(part).shape[axis].known()?;
                if first >= at && first + len <= at + n {
                    let mut start = s.start.clone();
                    start[axis] = Dim::from(first - at);
                    let inside = Slice { start, len: s.len.clone(), step: s.step.clone() };
                    if r.new.ty(part).shape == s.len && inside.start.iter().all(|d| d.is(0)) && s.step.iter().all(|&k| k == 1) {
                        return Some(part);
                    }
                    return r.push1(Op::Slice(inside), &[part], loc).ok();
                }
                at += n;
            }
            None
        }
        _ => None,
    }
}

/// A window whose starts are constants; they are clamped as the op clamps them.
fn dynamic_slice(r: &mut Rebuild, x: ValueId, starts: ValueId, shape: &[Dim], loc: &Loc) -> Option<ValueId> {
    let starts = r.new.const_of(starts)?.to_i64();
    let from = r.new.ty(x).static_shape()?;
    let mut start = vec![];
    for ((s, n), len) in starts.iter().zip(&from).zip(shape) {
        let room = (*n as i64).checked_sub(len.known()?)?;
        start.push(Dim::from((*s).clamp(0, room.max(0))));
    }
    let step = vec![1; shape.len()];
    r.push1(Op::Slice(Slice { start, len: shape.to_vec(), step }), &[x], loc).ok()
}

fn concat(r: &mut Rebuild, inputs: &[ValueId], axis: usize, loc: &Loc) -> Option<ValueId> {
    let kept: Vec<ValueId> = inputs.iter().copied().filter(|v| !r.new.ty(*v).shape[axis].is(0)).collect();
    match kept.as_slice() {
        [] => None,
        [one] => Some(*one),
        _ if kept.len() < inputs.len() => r.push1(Op::Concat { axis }, &kept, loc).ok(),
        _ => None,
    }
}

/// A gather whose indices are constants that step evenly is a slice, which kernels read as a view.
fn gather(r: &mut Rebuild, x: ValueId, indices: ValueId, axis: usize, ty: &TensorType, loc: &Loc) -> Option<ValueId> {
    let t = r.new.const_of(indices)?;
    let shape = r.new.ty(x).shape.clone();
    let extent = shape[axis].known()?;
    if t.is_empty() || t.len() > SPLAT_LIMIT || extent == 0 {
        return None;
    }
    let at: Vec<i64> = t.to_i64().into_iter().map(|i| (if i < 0 { i + extent } else { i }).clamp(0, extent - 1)).collect();
    let step = at.windows(2).next().map_or(1, |w| w[1] - w[0]);
    if step == 0 || at.windows(2).any(|w| w[1] - w[0] != step) {
        return None;
    }
    let mut s = Slice { start: vec![Dim::from(0); shape.len()], len: shape, step: vec![1; ty.rank() + 1 - t.shape.len()] };
    s.start[axis] = Dim::from(at[0]);
    s.len[axis] = Dim::from(at.len());
    s.step[axis] = step;
    let sliced = r.push1(Op::Slice(s), &[x], loc).ok()?;
    if r.new.ty(sliced).shape == ty.shape {
        return Some(sliced);
    }
    r.push1(Op::Reshape { shape: ty.shape.clone() }, &[sliced], loc).ok()
}
