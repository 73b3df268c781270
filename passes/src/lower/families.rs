//! From a body to its calls: which family lowers the anchor, and what is kept in the same kernel.

use beiming_ir::ops::{Arg, Op};

use super::body::{BodyCx, is_anchor};
use super::builder::Operand;
use super::{
    contraction, fold_region, gather_window, normalize, pointwise, recurrent, reduce, scan, scatter, select_scatter, sort, window,
};

/// Lowers the whole body into the node's result.
///
/// A body of the usual classes takes one round. One with several anchors, or with an epilogue that is not elementwise over the
/// anchor's own shape, is lowered in stages through temporaries: slower, and right.
pub fn lower(cx: &mut BodyCx) -> Result<(), String> {
    let result = cx.result();
    let anchors: Vec<usize> = (0..cx.body.nodes.len()).filter(|&i| is_anchor(&cx.body.nodes[i].op)).collect();
    for (i, &anchor) in anchors.iter().enumerate() {
        let last = i + 1 == anchors.len();
        if last && epilogue_fits(cx, anchor) {
            return one(cx, anchor, result, Operand::Output(0));
        }
        let dst = cx.temp(cx.types[anchor].clone());
        one(cx, anchor, Arg::Node(anchor as u32), dst)?;
        cx.stored.insert(anchor as u32, dst);
    }
    pointwise::lower(cx, result, Operand::Output(0))
}

fn one(cx: &mut BodyCx, anchor: usize, root: Arg, dst: Operand) -> Result<(), String> {
    match &cx.body.nodes[anchor].op {
        Op::MatMul { .. } | Op::Conv(_) | Op::ConvTranspose(_) | Op::Pool(_) => product(cx, anchor, root, dst),
        Op::Reduce { .. } => reduce::lower(cx, anchor, root, dst),
        Op::Softmax { .. } => normalize::softmax(cx, anchor, root, dst),
        Op::Norm { .. } => normalize::norm(cx, anchor, root, dst),
        Op::ArgReduce { .. } => scan::arg_reduce(cx, anchor, root, dst),
        Op::Cumulative(_) => scan::cumulative(cx, anchor, root, dst),
        Op::Scatter(_) => scatter::lower(cx, anchor, dst),
        Op::ReduceWith { .. } => fold_region::reduce_with(cx, anchor),
        Op::WindowReduce(_) => fold_region::window_reduce(cx, anchor, root, dst),
        Op::ScatterWindow(_) => gather_window::scatter(cx, anchor),
        Op::SelectAndScatter(_) => select_scatter::lower(cx, anchor),
        Op::SortBy { .. } => sort::lower(cx, anchor),
        Op::Lstm(_) | Op::Gru(_) => recurrent::lower(cx, anchor),
        op => Err(format!("`{}` has no lowering", op.name())),
    }
}

/// A contraction: by the tiled kernels, which take a whole body, or in the plain form where those do not apply.
fn product(cx: &mut BodyCx, anchor: usize, root: Arg, dst: Operand) -> Result<(), String> {
    if narrows(cx, anchor) || contraction::runs_along_depth(cx, anchor) {
        return window::lower(cx, anchor, root, dst);
    }
    let whole = root == cx.result();
    let mut sub = if whole { cx.clone() } else { cx.up_to(anchor) };
    if let Err(why) = contraction::lower(&mut sub) {
        cx.untiled.push((anchor, why));
        return window::lower(cx, anchor, root, dst);
    }
    cx.temps = sub.temps;
    cx.calls = sub.calls;
    for call in cx.calls.iter_mut().filter(|_| !whole) {
        call.args.iter_mut().filter(|a| **a == Operand::Output(0)).for_each(|a| *a = dst);
    }
    Ok(())
}

/// True for a matrix product whose arguments are wider than what it sums in: `Mma` widens only.
fn narrows(cx: &BodyCx, anchor: usize) -> bool {
    let node = &cx.body.nodes[anchor];
    let Op::MatMul { out } = node.op else { return false };
    let acc = reduce::accumulator(out);
    node.args.iter().any(|a| cx.ty(*a).dtype.size() > acc.size())
}

/// True where the body's result is an elementwise function of the anchor's, position by position.
pub(crate) fn epilogue_fits(cx: &BodyCx, anchor: usize) -> bool {
    let shape = &cx.types[anchor].shape;
    let nodes = &cx.body.nodes;
    if anchor + 1 < nodes.len() && matches!(nodes[anchor].op, Op::Scatter(_)) {
        return false;
    }
    let mut depends = vec![false; nodes.len()];
    depends[anchor] = true;
    for (i, n) in nodes.iter().enumerate().skip(anchor + 1) {
        let from_anchor = n.args.iter().any(|a| matches!(a, Arg::Node(k) if depends[*k as usize]));
        if from_anchor {
            depends[i] = true;
            if !n.op.is_elementwise() || cx.types[i].shape != *shape {
                return false;
            }
        }
    }
    depends.last() == Some(&true)
}
