//! Recognition: what exporters spell out in many small ops becomes the one op that has a kernel of its own.

use beiming_ir::graph::ValueId;
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
            if g.below(2) == 0 {
                let y = normalised(g, d, &[2]);
                return g.done(y);
            }
            // As some write it: the variance by way of the squares, and the scale on the root.
            let squares = g.binary(BinaryOp::Mul, x, x);
            let (a, b) = (g.reduce(ReduceOp::Mean, &[2], squares), g.binary(BinaryOp::Mul, m, m));
            let v = g.binary(BinaryOp::Sub, a, b);
            let (zero, eps, scale) = (g.scalar(0.0), g.scalar(1e-5), g.weights(&[8]));
            let v = g.binary(BinaryOp::Max, zero, v);
            let v = g.binary(BinaryOp::Add, v, eps);
            let r = g.unary(UnaryOp::Rsqrt, v);
            let r = g.binary(BinaryOp::Mul, r, scale);
            let y = g.binary(BinaryOp::Mul, d, r);
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
            let (_, e, s) = exponentials(g);
            let y = g.binary(BinaryOp::Div, e, s);
            g.done(y)
        },
    },
    Rule {
        name: "softmax-of-shifted",
        promise: Reassociates,
        root: |op| matches!(op, Op::Softmax { .. }),
        apply: |eg, op, c| {
            let Op::Softmax { axis, .. } = op else { return vec![] };
            let source = unshifted(eg, c[0], &[*axis]);
            if source == c[0] { vec![] } else { add(eg, op.clone(), &[source]).into_iter().collect() }
        },
        example: |g| {
            let (shifted, _, _) = exponentials(g);
            let axis = g.below(3);
            let log = g.below(2) == 0;
            let y = g.op(Op::Softmax { axis, log }, &[shifted]);
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
        name: "log-softmax-written-out",
        promise: Reassociates,
        root: |op| matches!(op, Op::Binary(BinaryOp::Sub)),
        apply: log_softmax,
        example: |g| {
            let (shifted, _, s) = exponentials(g);
            let l = g.unary(UnaryOp::Log, s);
            let y = g.binary(BinaryOp::Sub, shifted, l);
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

/// A random input, with or without its largest values taken off, its exponentials, and their sums along one axis.
fn exponentials(g: &mut Gen) -> (ValueId, ValueId, ValueId) {
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
    (shifted, e, s)
}

/// `d / sqrt(mean(d^2) + eps)`, in one of the ways exporters write it.
fn normalised(g: &mut Gen, d: ValueId, axes: &[usize]) -> ValueId {
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

/// `d / sqrt(v)` as `(d, v, g)`, with a factor `g` that some multiply the root by first.
fn over_root(eg: &Eg, op: &Op, c: &[Id]) -> Vec<(Id, Id, Option<Id>)> {
    if *op == Op::Binary(BinaryOp::Div) {
        return unary_args(eg, c[1], UnaryOp::Sqrt).into_iter().map(|v| (c[0], v, None)).collect();
    }
    let inverse_root = |r: Id| {
        let inverted = unary_args(eg, r, UnaryOp::Recip).into_iter().flat_map(|s| unary_args(eg, s, UnaryOp::Sqrt));
        unary_args(eg, r, UnaryOp::Rsqrt).into_iter().chain(inverted).collect::<Vec<Id>>()
    };
    let mut roots = vec![];
    for (d, r) in [(c[0], c[1]), (c[1], c[0])] {
        roots.extend(inverse_root(r).into_iter().map(|v| (d, v, None)));
        for (a, b) in binary_args(eg, r, BinaryOp::Mul) {
            for (r, g) in [(a, b), (b, a)] {
                roots.extend(inverse_root(r).into_iter().map(|v| (d, v, Some(g))));
            }
        }
    }
    roots
}

fn norm(eg: &mut Eg, op: &Op, c: &[Id], kind: NormKind) -> Vec<Id> {
    let mut found = vec![];
    for (d, v, g) in over_root(eg, op, c) {
        let d = eg.find(d);
        for (a, b) in binary_args(eg, v, BinaryOp::Add) {
            for (v, e) in [(a, b), (b, a)] {
                let Some(eps) = splat(eg, e).filter(|_| ty(eg, e).shape.iter().all(|d| d.is(1))) else { continue };
                let sources = if kind == NormKind::Rms { squares_of(eg, v, d) } else { variance_of(eg, v, d) };
                found.extend(sources.into_iter().map(|(axes, x)| (x, axes, eps, g)));
            }
        }
    }
    let mut out = vec![];
    for (x, axes, eps, g) in found {
        let rank = ty(eg, x).rank();
        if axes.is_empty() || !axes.iter().copied().eq(rank - axes.len()..rank) {
            continue;
        }
        let y = add(eg, Op::Norm { kind, axis: axes[0], eps: eps.into() }, &[x]);
        out.extend(match g {
            Some(g) => y.and_then(|y| add(eg, Op::Binary(BinaryOp::Mul), &[y, g])),
            None => y,
        });
    }
    out
}

/// Where `v` is the mean of the squares of `d`: the axes, and `d`.
fn squares_of(eg: &Eg, v: Id, d: Id) -> Vec<(Vec<usize>, Id)> {
    let means = reductions(eg, v, ReduceOp::Mean);
    means.into_iter().filter(|(_, squares)| is_square_of(eg, *squares, d)).map(|(axes, _)| (axes, d)).collect()
}

/// Where `d` is `x` without its mean, and `v` its variance: the axes, and `x`. The variance is the mean of the squares of `d`, or
/// that of the squares of `x` less the square of the mean (at least zero), which rounds worse.
fn variance_of(eg: &Eg, v: Id, d: Id) -> Vec<(Vec<usize>, Id)> {
    let centred = binary_args(eg, d, BinaryOp::Sub);
    let is_mean = |m: Id, x: Id, axes: &[usize]| {
        reductions(eg, m, ReduceOp::Mean).iter().any(|(a, y)| a == axes && eg.find(*y) == eg.find(x))
    };
    let mut found: Vec<(Vec<usize>, Id)> = vec![];
    for (axes, _) in squares_of(eg, v, d) {
        found.extend(centred.iter().filter(|(x, m)| is_mean(*m, *x, &axes)).map(|(x, _)| (axes.clone(), *x)));
    }
    let clamped = binary_args(eg, v, BinaryOp::Max).into_iter().flat_map(|(a, b)| [(a, b), (b, a)]);
    let clamped = clamped.filter(|(zero, _)| splat(eg, *zero) == Some(0.0)).map(|(_, v)| v);
    for v in clamped.chain([v]) {
        for (of_squares, square) in binary_args(eg, v, BinaryOp::Sub) {
            for &(x, m) in &centred {
                let axes = squares_of(eg, of_squares, eg.find(x)).into_iter().map(|(axes, _)| axes);
                let fits = axes.filter(|a| is_mean(m, x, a) && is_square_of(eg, square, eg.find(m)));
                found.extend(fits.map(|a| (a, x)));
            }
        }
    }
    found
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
            let source = unshifted(eg, x, &axes);
            out.extend(add(eg, Op::Softmax { axis, log: false }, &[source]));
        }
    }
    out
}

/// `d - log(sum(exp(d)))` for `d = x` or `x - max(x)`.
fn log_softmax(eg: &mut Eg, _: &Op, c: &[Id]) -> Vec<Id> {
    let d = eg.find(c[0]);
    let mut out = vec![];
    for s in unary_args(eg, c[1], UnaryOp::Log) {
        for (axes, e) in reductions(eg, s, ReduceOp::Sum) {
            let ([axis], true) = (&axes[..], unary_args(eg, e, UnaryOp::Exp).iter().any(|x| eg.find(*x) == d)) else { continue };
            let source = unshifted(eg, d, &axes);
            out.extend(add(eg, Op::Softmax { axis: *axis, log: true }, &[source]));
        }
    }
    out
}

/// `x` of `x - max(x)` over `axes`; else the value itself.
fn unshifted(eg: &Eg, d: Id, axes: &[usize]) -> Id {
    let is_max = |m: Id, x: Id| reductions(eg, m, ReduceOp::Max).iter().any(|(a, z)| a == axes && eg.find(*z) == eg.find(x));
    binary_args(eg, d, BinaryOp::Sub).into_iter().find(|(x, m)| is_max(*m, *x)).map_or(d, |(x, _)| x)
}
