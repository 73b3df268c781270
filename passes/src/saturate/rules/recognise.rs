//! Recognition: what exporters spell out in many small ops becomes the one op that has a kernel of its own.

use beiming_ir::ops::{BinaryOp, NormKind, Op, ReduceOp, UnaryOp};
use egg::Id;

use super::Promise::Reassociates;
use super::algebra::{binary_args, unary_args};
use super::{Gen, Rule};
use crate::saturate::facts::{Eg, add, find_all, splat, ty};

/// The rules.
pub const RULES: &[Rule] = &[
    Rule {
        name: "layer-norm",
        promise: Reassociates,
        root: |op| matches!(op, Op::Binary(BinaryOp::Div | BinaryOp::Mul)),
        apply: |eg, op, c| norm(eg, op, c, NormKind::Layer),
        example: |g| {
            let x = g.input(&[2, 3, 8]);
            let m = g.reduce(ReduceOp::Mean, &[2], x);
            let d = g.binary(BinaryOp::Sub, x, m);
            let y = normalised(g, d, &[2]);
            g.done(y)
        },
    },
    Rule {
        name: "rms-norm",
        promise: Reassociates,
        root: |op| matches!(op, Op::Binary(BinaryOp::Div | BinaryOp::Mul)),
        apply: |eg, op, c| norm(eg, op, c, NormKind::Rms),
        example: |g| {
            let x = g.input(&[2, 3, 4]);
            let y = normalised(g, x, &[1, 2]);
            g.done(y)
        },
    },
    Rule {
        name: "softmax",
        promise: Reassociates,
        root: |op| matches!(op, Op::Binary(BinaryOp::Div)),
        apply: softmax,
        example: |g| {
            let x = g.input(&[3, 5, 4]);
            let axis = g.below(3);
            let shifted = if g.below(2) == 0 {
                let m = g.reduce(ReduceOp::Max, &[axis], x);
                g.binary(BinaryOp::Sub, x, m)
            } else {
                x
            };
            let e = g.unary(UnaryOp::Exp, shifted);
            let s = g.reduce(ReduceOp::Sum, &[axis], e);
            let y = g.binary(BinaryOp::Div, e, s);
            g.done(y)
        },
    },
    Rule {
        name: "log-softmax",
        promise: Reassociates,
        root: |op| matches!(op, Op::Unary(UnaryOp::Log)),
        apply: |eg, _, c| {
            let found = find_all(eg, c[0], |op, c| match op {
                Op::Softmax { axis, log: false } => Some((*axis, c[0])),
                _ => None,
            });
            found.into_iter().filter_map(|(axis, x)| add(eg, Op::Softmax { axis, log: true }, &[x])).collect()
        },
        example: |g| {
            let x = g.input(&[3, 5]);
            let y = g.op(Op::Softmax { axis: 1, log: false }, &[x]);
            let y = g.unary(UnaryOp::Log, y);
            g.done(y)
        },
    },
    Rule {
        name: "sigmoid",
        promise: Reassociates,
        root: |op| matches!(op, Op::Binary(BinaryOp::Div) | Op::Unary(UnaryOp::Recip)),
        apply: |eg, op, c| {
            let below = match op {
                Op::Binary(_) if splat(eg, c[0]) == Some(1.0) => c[1],
                Op::Unary(_) => c[0],
                _ => return vec![],
            };
            let mut args = vec![];
            for (a, b) in binary_args(eg, below, BinaryOp::Add) {
                for (one, e) in [(a, b), (b, a)].into_iter().filter(|(one, _)| splat(eg, *one) == Some(1.0)) {
                    let _ = one;
                    args.extend(unary_args(eg, e, UnaryOp::Exp).into_iter().flat_map(|n| unary_args(eg, n, UnaryOp::Neg)));
                }
            }
            args.into_iter().filter_map(|x| add(eg, Op::Unary(UnaryOp::Sigmoid), &[x])).collect()
        },
        example: |g| {
            let s = g.shape(2);
            let (x, one) = (g.input(&s), g.scalar(1.0));
            let n = g.unary(UnaryOp::Neg, x);
            let e = g.unary(UnaryOp::Exp, n);
            let d = g.binary(BinaryOp::Add, one, e);
            let y = g.binary(BinaryOp::Div, one, d);
            g.done(y)
        },
    },
];

/// `d / sqrt(mean(d^2) + eps)`, in one of the ways exporters write it.
fn normalised(g: &mut Gen, d: beiming_ir::graph::ValueId, axes: &[usize]) -> beiming_ir::graph::ValueId {
    let squares = if g.below(2) == 0 {
        let two = g.scalar(2.0);
        g.binary(BinaryOp::Pow, d, two)
    } else {
        g.binary(BinaryOp::Mul, d, d)
    };
    let (m, eps) = (g.reduce(ReduceOp::Mean, axes, squares), g.scalar(1e-5));
    let v = g.binary(BinaryOp::Add, m, eps);
    match g.below(3) {
        0 => {
            let r = g.unary(UnaryOp::Rsqrt, v);
            g.binary(BinaryOp::Mul, r, d)
        }
        1 => {
            let s = g.unary(UnaryOp::Sqrt, v);
            g.binary(BinaryOp::Div, d, s)
        }
        _ => {
            let s = g.unary(UnaryOp::Sqrt, v);
            let r = g.unary(UnaryOp::Recip, s);
            g.binary(BinaryOp::Mul, d, r)
        }
    }
}

/// Reductions that keep their axes, in a class.
fn reductions(eg: &Eg, id: Id, want: ReduceOp) -> Vec<(Vec<usize>, Id)> {
    find_all(eg, id, |op, c| match op {
        Op::Reduce { op, axes, keep: true } if *op == want => Some((axes.clone(), c[0])),
        _ => None,
    })
}

fn norm(eg: &mut Eg, op: &Op, c: &[Id], kind: NormKind) -> Vec<Id> {
    // The value under the root, with what it divides.
    let mut roots: Vec<(Id, Id)> = vec![];
    if *op == Op::Binary(BinaryOp::Div) {
        roots.extend(unary_args(eg, c[1], UnaryOp::Sqrt).into_iter().map(|v| (c[0], v)));
    } else {
        for (d, r) in [(c[0], c[1]), (c[1], c[0])] {
            roots.extend(unary_args(eg, r, UnaryOp::Rsqrt).into_iter().map(|v| (d, v)));
            let inverted = unary_args(eg, r, UnaryOp::Recip).into_iter().flat_map(|s| unary_args(eg, s, UnaryOp::Sqrt));
            roots.extend(inverted.map(|v| (d, v)).collect::<Vec<_>>());
        }
    }
    let mut found = vec![];
    for (d, v) in roots {
        let d = eg.find(d);
        for (a, b) in binary_args(eg, v, BinaryOp::Add) {
            for (m, e) in [(a, b), (b, a)] {
                let Some(eps) = splat(eg, e).filter(|_| ty(eg, e).shape.iter().all(|d| d.is(1))) else { continue };
                for (axes, squares) in reductions(eg, m, ReduceOp::Mean) {
                    let trailing = axes.iter().rev().zip((0..ty(eg, d).rank()).rev()).all(|(a, b)| *a == b) && !axes.is_empty();
                    if trailing && is_square_of(eg, squares, d) {
                        found.push((d, axes, eps));
                    }
                }
            }
        }
    }
    let mut out = vec![];
    for (d, axes, eps) in found {
        let axis = axes[0];
        let sources = match kind {
            NormKind::Rms => vec![d],
            NormKind::Layer => {
                let centred = binary_args(eg, d, BinaryOp::Sub).into_iter().filter(|(x, m)| {
                    reductions(eg, *m, ReduceOp::Mean).iter().any(|(a, y)| *a == axes && eg.find(*y) == eg.find(*x))
                });
                centred.map(|(x, _)| x).collect()
            }
        };
        out.extend(sources.into_iter().filter_map(|x| add(eg, Op::Norm { kind, axis, eps: eps.into() }, &[x])));
    }
    out
}

fn is_square_of(eg: &Eg, squares: Id, d: Id) -> bool {
    let is = |x: Id| eg.find(x) == d;
    binary_args(eg, squares, BinaryOp::Mul).iter().any(|(a, b)| is(*a) && is(*b))
        || binary_args(eg, squares, BinaryOp::Pow).iter().any(|(a, b)| is(*a) && splat(eg, *b) == Some(2.0))
}

/// `e / sum(e)` for `e = exp(x)` or `exp(x - max(x))`; without the maximum the op is only safer.
fn softmax(eg: &mut Eg, _: &Op, c: &[Id]) -> Vec<Id> {
    let mut out = vec![];
    for (axes, e) in reductions(eg, c[1], ReduceOp::Sum) {
        let [axis] = axes[..] else { continue };
        if eg.find(e) != eg.find(c[0]) {
            continue;
        }
        for x in unary_args(eg, e, UnaryOp::Exp) {
            let shifted = binary_args(eg, x, BinaryOp::Sub)
                .into_iter()
                .find(|(y, m)| reductions(eg, *m, ReduceOp::Max).iter().any(|(a, z)| *a == axes && eg.find(*z) == eg.find(*y)));
            let source = shifted.map_or(x, |(y, _)| y);
            out.extend(add(eg, Op::Softmax { axis, log: false }, &[source]));
        }
    }
    out
}
