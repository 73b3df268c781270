//! Comparators that order by keys. `less(a, b)` is `f(a) < f(b)` for a function of one side, or several such in turn: keys are
//! computed for all elements at once and sorted by the runtime. Where a key is a float compared as it is, a NaN has no place
//! in the order that the comparator defines; it goes last (first in a descending order).

use std::collections::{HashMap, HashSet};

use beiming_ir::graph::{Graph, Loc, ValueId};
use beiming_ir::ops::{BinaryOp, Op, TopK};
use beiming_ir::types::DType;

use crate::rebuild::Rebuild;

/// A key: the region's value for the left side, and the direction.
struct Key {
    left: ValueId,
    descending: bool,
}

/// A sort by keys, the first counting most.
pub(super) fn sort(r: &mut Rebuild, axis: usize, region: &Graph, inputs: &[ValueId], loc: &Loc) -> Option<Vec<ValueId>> {
    let mut found = vec![];
    keys(region, *region.outputs.first()?, &mut found)?;
    let extent = r.new.ty(inputs[0]).shape[axis].clone();
    // Checked before anything is added to the graph.
    if found.iter().any(|k| region.ty(k.left).dtype.is_complex()) {
        return None;
    }
    let gather = Op::GatherElements { axis };
    let mut order: Option<ValueId> = None;
    let mut sorted: Option<(ValueId, ValueId)> = None;
    let several = found.len() > 1;
    for key in found.iter().rev() {
        let mut memo = HashMap::new();
        let plain = on_tensors(r, region, key.left, inputs, &mut memo, loc)?;
        let mut v = plain;
        let dtype = r.new.ty(v).dtype;
        if dtype.size() == 1 && dtype.is_float() {
            // The runtime orders the usual types; every value of the small ones is an f32.
            v = r.push1(Op::Cast { to: DType::F32 }, &[v], loc).ok()?;
        }
        if let Some(o) = order {
            v = r.push1(gather.clone(), &[v, o], loc).ok()?;
        }
        let top = r.push(Op::TopK(TopK { k: extent.clone(), axis, largest: key.descending }), &[v], loc).ok()?;
        if !several && v == plain {
            sorted = Some((plain, top[0]));
        }
        order = Some(match order {
            Some(o) => r.push1(gather.clone(), &[o, top[1]], loc).ok()?,
            None => top[1],
        });
    }
    let order = order?;
    let moved = |x: &ValueId| match sorted {
        Some((key, values)) if key == *x => Some(values),
        _ => r.push1(gather.clone(), &[*x, order], loc).ok(),
    };
    inputs.iter().map(moved).collect()
}

/// The keys of a comparator whose result is `v`.
fn keys(g: &Graph, v: ValueId, found: &mut Vec<Key>) -> Option<()> {
    if let Some((left, right, op)) = compare(g, v) {
        let descending = match op {
            BinaryOp::Lt => false,
            BinaryOp::Gt => true,
            _ => return None,
        };
        mirrored(g, left, right).then(|| found.push(Key { left, descending }))?;
        return Some(());
    }
    let n = g.def(v)?;
    // The first key decides, or where it is equal what follows.
    let (first, equal, rest) = match (&n.op, n.inputs.as_slice()) {
        (Op::Select, &[c, yes, no]) => (no, c, yes),
        (Op::Binary(BinaryOp::Or), &[x, y]) => {
            let (first, both) = if compare(g, x).is_some() { (x, y) } else { (y, x) };
            let b = g.def(both).filter(|b| matches!(b.op, Op::Binary(BinaryOp::And)))?;
            let is_equal = |v: ValueId| matches!(compare(g, v), Some((.., BinaryOp::Eq)));
            let (equal, rest) = if is_equal(b.inputs[0]) { (b.inputs[0], b.inputs[1]) } else { (b.inputs[1], b.inputs[0]) };
            (first, equal, rest)
        }
        _ => return None,
    };
    let (l, r, op) = compare(g, first)?;
    let (el, er, eq) = compare(g, equal)?;
    let same = (same(g, l, el) && same(g, r, er)) || (same(g, l, er) && same(g, r, el));
    // A float that is not equal to itself would end the comparison here, and go on below.
    if !same || eq != BinaryOp::Eq || !matches!(op, BinaryOp::Lt | BinaryOp::Gt) {
        return None;
    }
    keys(g, first, found)?;
    keys(g, rest, found)
}

/// A comparison whose sides depend on the left (even) and the right (odd) inputs alone, left first.
fn compare(g: &Graph, v: ValueId) -> Option<(ValueId, ValueId, BinaryOp)> {
    let n = g.def(v)?;
    let Op::Binary(op) = n.op else { return None };
    if !op.is_compare() {
        return None;
    }
    let (a, b) = (n.inputs[0], n.inputs[1]);
    match (side(g, a), side(g, b)) {
        (Some(0), Some(1)) => Some((a, b, op)),
        (Some(1), Some(0)) => {
            let turned = match op {
                BinaryOp::Lt => BinaryOp::Gt,
                BinaryOp::Gt => BinaryOp::Lt,
                BinaryOp::Le => BinaryOp::Ge,
                BinaryOp::Ge => BinaryOp::Le,
                op => op,
            };
            Some((b, a, turned))
        }
        _ => None,
    }
}

/// The side whose inputs a value depends on; `None` for both or neither.
fn side(g: &Graph, v: ValueId) -> Option<usize> {
    let (mut stack, mut seen, mut done) = (vec![v], [false; 2], HashSet::new());
    while let Some(v) = stack.pop() {
        if !done.insert(v) {
            continue;
        }
        match g.def(v) {
            None => seen[g.inputs.iter().position(|i| *i == v)? % 2] = true,
            Some(n) => stack.extend(&n.inputs),
        }
    }
    match seen {
        [true, false] => Some(0),
        [false, true] => Some(1),
        _ => None,
    }
}

/// Whether `right` is what `left` is with the sides changed.
fn mirrored(g: &Graph, left: ValueId, right: ValueId) -> bool {
    matching(g, left, right, &|i| i ^ 1, &mut HashSet::new())
}

/// Whether two values are computed alike from the same inputs.
fn same(g: &Graph, a: ValueId, b: ValueId) -> bool {
    matching(g, a, b, &|i| i, &mut HashSet::new())
}

/// `done` holds pairs that are known to match, so that shared values are looked at once.
fn matching(g: &Graph, a: ValueId, b: ValueId, input: &dyn Fn(usize) -> usize, done: &mut HashSet<(ValueId, ValueId)>) -> bool {
    if done.contains(&(a, b)) {
        return true;
    }
    let place = |v: ValueId| g.inputs.iter().position(|i| *i == v);
    let found = match (g.def(a), g.def(b)) {
        (None, None) => place(a).map(input) == place(b),
        (Some(x), Some(y)) => {
            let alike = match (g.const_of(a), g.const_of(b)) {
                (Some(s), Some(t)) => s.dtype == t.dtype && s.bytes() == t.bytes(),
                _ => x.op == y.op,
            };
            let mut args = x.inputs.iter().zip(&y.inputs);
            alike && x.inputs.len() == y.inputs.len() && args.all(|(s, t)| matching(g, *s, *t, input, done))
        }
        _ => false,
    };
    if found {
        done.insert((a, b));
    }
    found
}

/// The region's value `v`, a function of one side, computed for whole tensors.
fn on_tensors(
    r: &mut Rebuild,
    g: &Graph,
    v: ValueId,
    inputs: &[ValueId],
    memo: &mut HashMap<ValueId, ValueId>,
    loc: &Loc,
) -> Option<ValueId> {
    if let Some(at) = g.inputs.iter().position(|i| *i == v) {
        return Some(inputs[at / 2]);
    }
    if let Some(done) = memo.get(&v) {
        return Some(*done);
    }
    let n = g.def(v)?;
    let made = if let Some(t) = g.const_of(v).filter(|t| t.len() == 1) {
        r.constant(&t.reshaped(&[])?, loc)
    } else {
        if !n.op.is_elementwise() {
            return None;
        }
        let args = n.inputs.iter().map(|a| on_tensors(r, g, *a, inputs, memo, loc)).collect::<Option<Vec<ValueId>>>()?;
        r.push1(n.op.clone(), &args, loc).ok()?
    };
    memo.insert(v, made);
    Some(made)
}
