//! Recognition of scalar functions: a reducer, window or comparator that an op of its own stands for becomes that op, which has
//! better kernels and fuses. Importers translate regions as they are; both gain here.
//!
//! - `ReduceWith` by a plain function: `Reduce`. By a choice of the larger (smaller) of value and index: `ArgReduce`.
//! - `WindowReduce` over everything before (behind) an element: `Cumulative`; over a whole axis: `Reduce`; a maximum over up
//!   to three axes: `Pool`.
//! - `SortBy` keys that are functions of one side each: `TopK` of all elements, key after key.
//!
//! Sums and products of floats change their order, which StableHLO leaves open, and are rounded less often: they are recognised only
//! where that is allowed.

mod choice;
mod order;

use beiming_ir::graph::{Graph, Loc, Node, ValueId};
use beiming_ir::ops::{BinaryOp, Cumulative, Op, Pool, PoolKind, ReduceOp, WindowReduce};
use beiming_ir::tensor::Num;
use beiming_ir::types::{DType, Dim};

use crate::rebuild::Rebuild;
use crate::{Budget, PassError, identities, simplify};

/// The graph with recognised regions replaced; regions nested in control flow are not entered. `reassociate`: sums and products of
/// floats may be done in another order.
pub fn run(graph: &Graph, budget: &mut Budget, reassociate: bool) -> Result<Graph, PassError> {
    let mut r = Rebuild::new(graph);
    for node in graph.nodes() {
        let inputs = r.inputs(node)?;
        let found = match &node.op {
            Op::ReduceWith { axes, region } => {
                let region = simplify::run(graph.region(*region).clone(), budget)?;
                reduce(&mut r, axes, &region, &inputs, &node.loc, reassociate)
                    .or_else(|| choice::arg_reduce(&mut r, axes, &region, &inputs, &node.loc))
            }
            Op::WindowReduce(p) => {
                let region = simplify::run(graph.region(p.region).clone(), budget)?;
                window(&mut r, p, &region, &inputs, &node.loc, reassociate)
            }
            Op::SortBy { axis, region, .. } => {
                let region = simplify::run(graph.region(*region).clone(), budget)?;
                order::sort(&mut r, *axis, &region, &inputs, &node.loc)
            }
            _ => None,
        };
        match found.filter(|found| same_types(&r, node, found)) {
            Some(found) => node.outputs.iter().zip(found).for_each(|(old, new)| r.set(*old, new)),
            None => r.copy_with(node, inputs)?,
        }
    }
    r.finish()
}

fn same_types(r: &Rebuild, node: &Node, found: &[ValueId]) -> bool {
    found.len() == node.outputs.len() && node.outputs.iter().zip(found).all(|(old, new)| r.old.ty(*old) == r.new.ty(*new))
}

/// The reducer that a region of two scalars is, and the function that joins two partial results; without `reassociate` only
/// where the order of elements changes nothing.
fn plain(region: &Graph, reassociate: bool) -> Option<(ReduceOp, BinaryOp)> {
    let ([a, b], [out]) = (region.inputs.as_slice(), region.outputs.as_slice()) else { return None };
    let dtype = region.ty(*a).dtype;
    let n = region.def(*out)?;
    let Op::Binary(op) = n.op else { return None };
    if n.inputs != [*a, *b] && n.inputs != [*b, *a] {
        return None;
    }
    let reduce = match op {
        BinaryOp::Add => ReduceOp::Sum,
        BinaryOp::Mul => ReduceOp::Prod,
        BinaryOp::Max if dtype == DType::Bool => ReduceOp::Any,
        BinaryOp::Min if dtype == DType::Bool => ReduceOp::All,
        BinaryOp::Max => ReduceOp::Max,
        BinaryOp::Min => ReduceOp::Min,
        BinaryOp::Or => ReduceOp::Any,
        BinaryOp::And => ReduceOp::All,
        _ => return None,
    };
    (reduce.takes(dtype) && (reassociate || !rounds(reduce, dtype))).then_some((reduce, op))
}

/// Whether the result depends on the order of the elements.
fn rounds(op: ReduceOp, dtype: DType) -> bool {
    matches!(op, ReduceOp::Sum | ReduceOp::Prod) && !dtype.is_int()
}

/// Whether starting from `init` is starting from nothing. A sum may start from either zero.
fn neutral(g: &Graph, init: ValueId, op: ReduceOp) -> bool {
    let identity = op.identity(g.ty(init).dtype);
    identities::splat(g, init).is_some_and(|v| match (v, identity) {
        (Num::Float(a), Num::Float(b)) => a == b,
        (a, b) => a == b,
    })
}

fn reduce(
    r: &mut Rebuild,
    axes: &[usize],
    region: &Graph,
    inputs: &[ValueId],
    loc: &Loc,
    reassociate: bool,
) -> Option<Vec<ValueId>> {
    let [x, init] = *inputs else { return None };
    let (op, join) = plain(region, reassociate)?;
    let v = r.push1(Op::Reduce { op, axes: axes.to_vec(), keep: false }, &[x], loc).ok()?;
    if neutral(&r.new, init, op) {
        return Some(vec![v]);
    }
    r.push1(Op::Binary(join), &[init, v], loc).ok().map(|v| vec![v])
}

fn window(
    r: &mut Rebuild,
    p: &WindowReduce,
    region: &Graph,
    inputs: &[ValueId],
    loc: &Loc,
    reassociate: bool,
) -> Option<Vec<ValueId>> {
    let [x, init] = *inputs else { return None };
    let (op, _) = plain(region, reassociate)?;
    let dense = [&p.strides, &p.base_dilations, &p.window_dilations].iter().all(|v| v.iter().all(|s| *s == 1));
    if !neutral(&r.new, init, op) {
        return None;
    }
    let ty = r.new.ty(x).clone();
    let moving: Vec<usize> = (0..ty.rank()).filter(|&a| p.window[a] != 1 || p.pads[a] != (0, 0) || p.strides[a] != 1).collect();
    if let ([axis], true) = (moving.as_slice(), dense) {
        let n = p.window[*axis];
        let before = i64::try_from(n).ok()? - 1;
        let running = matches!(op, ReduceOp::Sum | ReduceOp::Prod | ReduceOp::Max | ReduceOp::Min);
        if ty.shape[*axis] == Dim::from(n) && running && (p.pads[*axis] == (before, 0) || p.pads[*axis] == (0, before)) {
            let reverse = p.pads[*axis].0 == 0;
            let c = Cumulative { op, axis: *axis, exclusive: false, reverse };
            return r.push1(Op::Cumulative(c), &[x], loc).ok().map(|v| vec![v]);
        }
    }
    let whole = |a: &usize| ty.shape[*a] == Dim::from(p.window[*a]) && p.pads[*a] == (0, 0);
    if dense && moving.iter().all(whole) {
        return r.push1(Op::Reduce { op, axes: moving, keep: true }, &[x], loc).ok().map(|v| vec![v]);
    }
    pool(r, p, op, &moving, x, loc)
}

/// A maximum over windows of up to three axes, the two others being batch and channels.
fn pool(r: &mut Rebuild, p: &WindowReduce, op: ReduceOp, moving: &[usize], x: ValueId, loc: &Loc) -> Option<Vec<ValueId>> {
    let ty = r.new.ty(x).clone();
    let others: Vec<usize> = (0..ty.rank()).filter(|a| !moving.contains(a)).collect();
    let fits = op == ReduceOp::Max && ty.dtype.is_float() && (1..=3).contains(&moving.len()) && others.len() == 2;
    if !fits || p.base_dilations.iter().any(|d| *d != 1) {
        return None;
    }
    let perm: Vec<usize> = [&others[..1], moving, &others[1..]].concat();
    let mut back = vec![0; perm.len()];
    perm.iter().enumerate().for_each(|(to, from)| back[*from] = to);
    let turn = !perm.is_sorted();
    let of = |v: &[usize]| moving.iter().map(|a| v[*a]).collect::<Vec<usize>>();
    let pool = Pool {
        kind: PoolKind::Max,
        window: of(&p.window),
        strides: of(&p.strides),
        dilations: of(&p.window_dilations),
        pads: moving.iter().map(|a| p.pads[*a]).collect(),
        ceil: false,
    };
    let mut v = if turn { r.push1(Op::Transpose { perm }, &[x], loc).ok()? } else { x };
    v = r.push1(Op::Pool(pool), &[v], loc).ok()?;
    if turn {
        v = r.push1(Op::Transpose { perm: back }, &[v], loc).ok()?;
    }
    Some(vec![v])
}
