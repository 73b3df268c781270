//! Axes of reductions: kept where they are reduced, and not counted where they have an extent of one. Then the reductions of a written-out
//! softmax or normalisation are of the same form as what they are subtracted from. Reductions of everything do not mind the shape.

use beiming_ir::ops::{Op, ReduceOp, UnaryOp};
use beiming_ir::types::Dim;
use egg::Id;

use super::Promise::{Exact, Reassociates};
use super::Rule;
use super::layout::reshaped;
use crate::layout::besides_ones;
use crate::saturate::facts::{Eg, add, add_reshape, ty};

/// The rules.
pub const RULES: &[Rule] = &[
    Rule {
        name: "sink-reshape-reduce",
        promise: Exact,
        root: |op| matches!(op, Op::Reduce { keep: true, .. }),
        apply: sink_reshape_reduce,
        example: |g| {
            let x = g.input(&[2, 3, 4]);
            let x = g.reshape(&[2, 1, 3, 1, 4], x);
            let axes = g.pick(&[vec![4], vec![0, 2]]);
            let y = g.reduce(ReduceOp::Sum, &axes, x);
            g.done(y)
        },
    },
    Rule {
        name: "sink-reshape-whole-reduce",
        promise: Reassociates,
        root: |op| matches!(op, Op::Reduce { .. }),
        apply: sink_whole,
        example: |g| {
            let x = g.input(&[2, 3, 4]);
            let x = g.reshape(&[6, 4], x);
            let op = g.pick(&[ReduceOp::Sum, ReduceOp::Max]);
            let keep = g.below(2) == 0;
            let y = g.op(Op::Reduce { op, axes: vec![0, 1], keep }, &[x]);
            let y = g.unary(UnaryOp::Abs, y);
            g.done(y)
        },
    },
    Rule {
        name: "keep-axes",
        promise: Exact,
        root: |op| matches!(op, Op::Reduce { keep: false, .. } | Op::ArgReduce { keep: false, .. }),
        apply: keep_axes,
        example: |g| {
            let x = g.input(&[2, 3, 4]);
            let axes = g.pick(&[vec![1], vec![0, 2]]);
            let op = g.pick(&[ReduceOp::Sum, ReduceOp::Max]);
            let y = g.op(Op::Reduce { op, axes, keep: false }, &[x]);
            let y = g.unary(UnaryOp::Abs, y);
            g.done(y)
        },
    },
];

/// A reduction of what only got or lost axes of extent one, over others, as that of the value before.
fn sink_reshape_reduce(eg: &mut Eg, op: &Op, c: &[Id]) -> Vec<Id> {
    let Op::Reduce { op: reducer, axes, keep: true } = op else { return vec![] };
    let outer = ty(eg, c[0]).shape.clone();
    let mut result = outer.clone();
    axes.iter().for_each(|&a| result[a] = 1.into());
    let mut out = vec![];
    for x in reshaped(eg, c[0]) {
        let places = besides_ones(&ty(eg, x).shape, &outer);
        let Some(axes) = places.and_then(|p| axes.iter().map(|&a| p[a]).collect::<Option<Vec<usize>>>()) else { continue };
        let y = add(eg, Op::Reduce { op: *reducer, axes, keep: true }, &[x]);
        out.extend(y.and_then(|y| add_reshape(eg, result.clone(), y)));
    }
    out
}

/// A reduction of all elements as that of the value before a reshape, whose axes may then be in any order: ranges of whole tensors,
/// which quantisation at run time asks for, do not wait for a move.
fn sink_whole(eg: &mut Eg, op: &Op, c: &[Id]) -> Vec<Id> {
    let Op::Reduce { op: reducer, axes, keep } = op else { return vec![] };
    let rank = ty(eg, c[0]).shape.len();
    if axes.len() != rank {
        return vec![];
    }
    let result: Vec<Dim> = vec![1.into(); if *keep { rank } else { 0 }];
    let mut out = vec![];
    for x in reshaped(eg, c[0]) {
        let axes = (0..ty(eg, x).shape.len()).collect();
        let y = add(eg, Op::Reduce { op: *reducer, axes, keep: false }, &[x]);
        out.extend(y.and_then(|y| add_reshape(eg, result.clone(), y)));
    }
    out
}

/// A reduction that drops its axes as one that keeps them, under the shape without them: what stands behind often brings the
/// axes back, and the reshape sinks until it meets that.
fn keep_axes(eg: &mut Eg, op: &Op, c: &[Id]) -> Vec<Id> {
    let kept = match op {
        Op::Reduce { op, axes, .. } => Op::Reduce { op: *op, axes: axes.clone(), keep: true },
        Op::ArgReduce { max, axis, last, .. } => Op::ArgReduce { max: *max, axis: *axis, keep: true, last: *last },
        _ => return vec![],
    };
    let gone = |a: usize| match &kept {
        Op::Reduce { axes, .. } => axes.contains(&a),
        kept => matches!(kept, Op::ArgReduce { axis, .. } if *axis == a),
    };
    let shape = &ty(eg, c[0]).shape;
    let shape: Vec<Dim> = (0..shape.len()).filter(|a| !gone(*a)).map(|a| shape[a].clone()).collect();
    let y = add(eg, kept, &[c[0]]);
    y.and_then(|y| add_reshape(eg, shape, y)).into_iter().collect()
}
