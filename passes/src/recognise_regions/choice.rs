//! Reducers that choose one of two (value, index) pairs. A region of comparisons, selections and logic alone depends on its
//! arguments only by their order, so a table of all orders decides what it is.

use beiming_ir::eval;
use beiming_ir::graph::{Graph, Loc, ValueId};
use beiming_ir::ops::{Op, ReduceOp, UnaryOp};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim, TensorType};

use super::neutral;
use crate::identities;
use crate::rebuild::Rebuild;

/// A reduction to the largest or smallest value and its index along one axis.
pub(super) fn arg_reduce(r: &mut Rebuild, axes: &[usize], region: &Graph, inputs: &[ValueId], loc: &Loc) -> Option<Vec<ValueId>> {
    let (&[axis], &[a, b, init_a, init_b]) = (axes, inputs) else { return None };
    if !by_order_only(region) {
        return None;
    }
    // Which of the two is the index.
    let second = counts(&r.new, b, axis) && r.new.ty(b).dtype.is_int();
    let (value, init, index_type, index_init) = match second {
        true => (a, init_a, r.new.ty(b).dtype, init_b),
        false if counts(&r.new, a, axis) && r.new.ty(a).dtype.is_int() => (b, init_b, r.new.ty(a).dtype, init_a),
        false => return None,
    };
    let (max, last) = [(true, false), (true, true), (false, false), (false, true)]
        .into_iter()
        .find(|(max, last)| chooses(region, second, *max, *last))?;
    let op = if max { ReduceOp::Max } else { ReduceOp::Min };
    let from_zero = identities::splat(&r.new, index_init).is_some_and(|v| v == Num::Int(0));
    if !neutral(&r.new, init, op) || !from_zero || last {
        return None;
    }
    let best = r.push1(Op::Reduce { op, axes: vec![axis], keep: false }, &[value], loc).ok()?;
    let mut place = r.push1(Op::ArgReduce { max, axis, keep: false, last }, &[value], loc).ok()?;
    if index_type != DType::I64 {
        place = r.push1(Op::Cast { to: index_type }, &[place], loc).ok()?;
    }
    Some(if second { vec![best, place] } else { vec![place, best] })
}

/// Whether all results follow from how arguments compare: nothing is computed.
fn by_order_only(region: &Graph) -> bool {
    region.nodes().iter().all(|n| match &n.op {
        Op::Binary(b) => b.is_compare() || region.ty(n.outputs[0]).dtype == DType::Bool,
        Op::Unary(UnaryOp::IsNan | UnaryOp::Not) | Op::Select => true,
        _ => false,
    })
}

/// Whether the elements of `v` are their positions along `axis`.
fn counts(g: &Graph, v: ValueId, axis: usize) -> bool {
    let ty = g.ty(v);
    if let Some(t) = g.const_of(v) {
        // Folded already.
        let inner: usize = t.shape[axis + 1..].iter().product();
        let n = t.shape[axis];
        return !t.is_empty() && (0..t.len()).all(|i| t.get(i) == Num::Int((i / inner % n) as i128));
    }
    let Some(n) = g.def(v) else { return false };
    match &n.op {
        Op::Iota { axis: along, .. } => *along == axis,
        Op::Broadcast { .. } => {
            let from: &TensorType = g.ty(n.inputs[0]);
            let Some(inner) = (axis + from.rank()).checked_sub(ty.rank()) else { return false };
            from.shape[inner] == ty.shape[axis] && counts(g, n.inputs[0], inner)
        }
        Op::Reshape { .. } => {
            // Axes of extent one put in or left out.
            let from = g.ty(n.inputs[0]);
            let wide = |t: &TensorType| t.shape.iter().filter(|d| !d.is(1)).cloned().collect::<Vec<Dim>>();
            if wide(from) != wide(ty) || ty.shape[axis].is(1) {
                return false;
            }
            let before = ty.shape[..axis].iter().filter(|d| !d.is(1)).count();
            let mut axes = (0..from.rank()).filter(|a| !from.shape[*a].is(1));
            axes.nth(before).is_some_and(|a| counts(g, n.inputs[0], a))
        }
        Op::Cast { to } if to.is_int() => counts(g, n.inputs[0], axis),
        _ => false,
    }
}

/// Whether the region takes, of a left pair of lower index and a right one, the one with the larger (smaller) value, NaN
/// before all, and of equal values the left (right).
fn chooses(region: &Graph, index_second: bool, max: bool, last: bool) -> bool {
    let (v, i) = if index_second { (0, 1) } else { (1, 0) };
    let types = region.inputs.iter().map(|x| region.ty(*x).dtype).collect::<Vec<DType>>();
    let value_type = types[v];
    let mut numbers = vec![Num::Int(0), Num::Int(1)];
    if value_type.is_float() {
        numbers = vec![Num::Float(0.0), Num::Float(1.0), Num::Float(f64::NAN)];
    }
    let nan = |x: Num| matches!(x, Num::Float(f) if f.is_nan());
    for &a in &numbers {
        for &b in &numbers {
            let left = match (nan(a), nan(b)) {
                (true, true) => !last,
                (true, false) => true,
                (false, true) => false,
                _ if a == b => !last,
                _ => (a.to_f64() > b.to_f64()) == max,
            };
            let mut args = [Num::Int(0); 4];
            (args[v], args[v + 2], args[i], args[i + 2]) = (a, b, Num::Int(0), Num::Int(1));
            let tensors: Vec<Tensor> = args.iter().zip(&types).map(|(x, d)| Tensor::scalar(*d, *x)).collect();
            let Ok(got) = eval::graph(region, &tensors) else { return false };
            let (value, index) = (got[v].get(0), got[i].get(0));
            let want = if left { a } else { b };
            let same = value == want || (nan(value) && nan(want));
            if !same || index != Num::Int((!left).into()) {
                return false;
            }
        }
    }
    true
}
