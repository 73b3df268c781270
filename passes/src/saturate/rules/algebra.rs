//! Arithmetic rules: cheaper forms of an expression.

use beiming_ir::ops::{BinaryOp, Op, ReduceOp, UnaryOp};
use beiming_ir::tensor::{Num, Tensor};
use egg::Id;

use super::Promise::{Exact, Reassociates};
use super::Rule;
use crate::saturate::facts::{Eg, add, add_constant, add_scalar, constant, find_all, splat, ty};

/// The rules.
pub const RULES: &[Rule] = &[
    Rule {
        name: "square",
        promise: Reassociates,
        root: |op| matches!(op, Op::Binary(BinaryOp::Pow)),
        apply: |eg, _, c| {
            if splat(eg, c[1]) != Some(2.0) || !fits(eg, c[0], c[1]) {
                return vec![];
            }
            add(eg, Op::Binary(BinaryOp::Mul), &[c[0], c[0]]).into_iter().collect()
        },
        example: |g| {
            let s = g.shape(2);
            let (x, two) = (g.input(&s), g.scalar(2.0));
            let y = g.binary(BinaryOp::Pow, x, two);
            g.done(y)
        },
    },
    Rule {
        name: "cube",
        promise: Reassociates,
        root: |op| matches!(op, Op::Binary(BinaryOp::Pow)),
        apply: |eg, _, c| {
            if splat(eg, c[1]) != Some(3.0) || !fits(eg, c[0], c[1]) {
                return vec![];
            }
            let square = add(eg, Op::Binary(BinaryOp::Mul), &[c[0], c[0]]);
            square.and_then(|s| add(eg, Op::Binary(BinaryOp::Mul), &[s, c[0]])).into_iter().collect()
        },
        example: |g| {
            let s = g.shape(2);
            let (x, three) = (g.input(&s), g.scalar(3.0));
            let y = g.binary(BinaryOp::Pow, x, three);
            g.done(y)
        },
    },
    Rule {
        name: "divide-by-power-of-two",
        promise: Exact,
        root: |op| matches!(op, Op::Binary(BinaryOp::Div)),
        apply: |eg, _, c| divide(eg, c, |v| v.abs().log2().fract() == 0.0 && (1e-30..1e30).contains(&v.abs())),
        example: |g| {
            let s = g.shape(2);
            let c = g.pick(&[8.0, 0.25, -2.0]);
            let (x, c) = (g.input(&s), g.scalar(c));
            let y = g.binary(BinaryOp::Div, x, c);
            g.done(y)
        },
    },
    Rule {
        name: "divide-by-constant",
        promise: Reassociates,
        root: |op| matches!(op, Op::Binary(BinaryOp::Div)),
        apply: |eg, _, c| divide(eg, c, |v| (1e-30..1e30).contains(&v.abs())),
        example: |g| {
            let s = g.shape(2);
            let c = g.pick(&[3.0, -0.7, 11.313708]);
            let (x, c) = (g.input(&s), g.scalar(c));
            let y = g.binary(BinaryOp::Div, x, c);
            g.done(y)
        },
    },
    Rule {
        name: "reciprocal",
        promise: Exact,
        root: |op| matches!(op, Op::Binary(BinaryOp::Div)),
        apply: |eg, _, c| {
            if splat(eg, c[0]) != Some(1.0) || !ty(eg, c[1]).dtype.is_float() || !fits(eg, c[1], c[0]) {
                return vec![];
            }
            add(eg, Op::Unary(UnaryOp::Recip), &[c[1]]).into_iter().collect()
        },
        example: |g| {
            let s = g.shape(2);
            let (x, one) = (g.input(&s), g.scalar(1.0));
            let y = g.binary(BinaryOp::Div, one, x);
            g.done(y)
        },
    },
    Rule {
        name: "reciprocal-of-root",
        promise: Reassociates,
        root: |op| matches!(op, Op::Unary(UnaryOp::Recip)),
        apply: |eg, _, c| {
            let args = unary_args(eg, c[0], UnaryOp::Sqrt);
            args.into_iter().filter_map(|x| add(eg, Op::Unary(UnaryOp::Rsqrt), &[x])).collect()
        },
        example: |g| {
            let s = g.shape(2);
            let x = g.input(&s);
            let y = g.unary(UnaryOp::Exp, x);
            let y = g.unary(UnaryOp::Sqrt, y);
            let y = g.unary(UnaryOp::Recip, y);
            g.done(y)
        },
    },
    Rule {
        name: "divide-by-root",
        promise: Reassociates,
        root: |op| matches!(op, Op::Binary(BinaryOp::Div)),
        apply: |eg, _, c| {
            let args = unary_args(eg, c[1], UnaryOp::Sqrt);
            let mut out = vec![];
            for x in args {
                let r = add(eg, Op::Unary(UnaryOp::Rsqrt), &[x]);
                out.extend(r.and_then(|r| add(eg, Op::Binary(BinaryOp::Mul), &[c[0], r])));
            }
            out
        },
        example: |g| {
            let s = g.shape(2);
            let x = g.input(&s);
            let y = g.unary(UnaryOp::Exp, x);
            let y = g.unary(UnaryOp::Sqrt, y);
            let y = g.binary(BinaryOp::Div, x, y);
            g.done(y)
        },
    },
    Rule {
        name: "add-negated",
        promise: Exact,
        root: |op| matches!(op, Op::Binary(BinaryOp::Add)),
        apply: |eg, _, c| {
            let mut out = vec![];
            for (x, y) in [(c[0], c[1]), (c[1], c[0])] {
                for n in unary_args(eg, y, UnaryOp::Neg) {
                    out.extend(add(eg, Op::Binary(BinaryOp::Sub), &[x, n]));
                }
            }
            out
        },
        example: |g| {
            let s = g.shape(2);
            let (x, y) = (g.input(&s), g.input(&s));
            let n = g.unary(UnaryOp::Neg, y);
            let z = g.binary(BinaryOp::Add, n, x);
            g.done(z)
        },
    },
    Rule {
        name: "subtract-negated",
        promise: Exact,
        root: |op| matches!(op, Op::Binary(BinaryOp::Sub)),
        apply: |eg, _, c| {
            let args = unary_args(eg, c[1], UnaryOp::Neg);
            args.into_iter().filter_map(|n| add(eg, Op::Binary(BinaryOp::Add), &[c[0], n])).collect()
        },
        example: |g| {
            let s = g.shape(2);
            let (x, y) = (g.input(&s), g.input(&s));
            let n = g.unary(UnaryOp::Neg, y);
            let z = g.binary(BinaryOp::Sub, x, n);
            g.done(z)
        },
    },
    Rule {
        name: "negated-factor",
        promise: Exact,
        root: |op| matches!(op, Op::Binary(BinaryOp::Mul) | Op::Unary(UnaryOp::Neg)),
        apply: negated_factor,
        example: |g| {
            let s = g.shape(2);
            let (x, c) = (g.input(&s), g.scalar(0.3));
            let y = if g.below(2) == 0 {
                let n = g.unary(UnaryOp::Neg, x);
                g.binary(BinaryOp::Mul, n, c)
            } else {
                let p = g.binary(BinaryOp::Mul, c, x);
                g.unary(UnaryOp::Neg, p)
            };
            g.done(y)
        },
    },
    Rule {
        name: "merge-constants",
        promise: Reassociates,
        root: |op| matches!(op, Op::Binary(BinaryOp::Mul | BinaryOp::Add)),
        apply: merge_constants,
        example: |g| {
            let s = g.shape(2);
            let op = g.pick(&[BinaryOp::Mul, BinaryOp::Add]);
            let (x, a, b) = (g.input(&s), g.scalar(1.7), g.scalar(0.3));
            let y = g.binary(op, x, a);
            let y = g.binary(op, b, y);
            g.done(y)
        },
    },
    Rule {
        name: "mean-from-sum",
        promise: Reassociates,
        root: |op| matches!(op, Op::Binary(BinaryOp::Div | BinaryOp::Mul)),
        apply: mean_from_sum,
        example: |g| {
            let x = g.input(&[3, 4, 5]);
            let s = g.reduce(ReduceOp::Sum, &[1, 2], x);
            let n = g.scalar(20.0);
            let y = g.binary(BinaryOp::Div, s, n);
            g.done(y)
        },
    },
    Rule {
        name: "scale-after-matmul",
        promise: Reassociates,
        root: |op| matches!(op, Op::MatMul { .. }),
        apply: |eg, op, c| {
            let mut out = vec![];
            for (k, other) in [(0, c[1]), (1, c[0])] {
                for (x, scale) in scaled(eg, c[k]) {
                    if ty(eg, x) != ty(eg, c[k]) {
                        continue;
                    }
                    let args = if k == 0 { [x, other] } else { [other, x] };
                    let product = add(eg, op.clone(), &args);
                    out.extend(product.and_then(|p| add(eg, Op::Binary(BinaryOp::Mul), &[p, scale])));
                }
            }
            out
        },
        example: |g| {
            let (x, y, s) = (g.input(&[3, 4]), g.input(&[4, 5]), g.scalar(0.125));
            let x = g.binary(BinaryOp::Mul, x, s);
            let y = g.binary(BinaryOp::Mul, s, y);
            let z = g.op(Op::MatMul { out: beiming_ir::types::DType::F32 }, &[x, y]);
            g.done(z)
        },
    },
];

/// The scalar `c` does not change the shape of `x`.
fn fits(eg: &Eg, x: Id, c: Id) -> bool {
    ty(eg, c).rank() <= ty(eg, x).rank() && ty(eg, c).shape.iter().all(|d| d.is(1))
}

/// Arguments of the unary `u` in a class.
pub(super) fn unary_args(eg: &Eg, id: Id, u: UnaryOp) -> Vec<Id> {
    find_all(eg, id, |op, c| (*op == Op::Unary(u)).then(|| c[0]))
}

/// Arguments of the binary `b` in a class.
pub(super) fn binary_args(eg: &Eg, id: Id, b: BinaryOp) -> Vec<(Id, Id)> {
    find_all(eg, id, |op, c| (*op == Op::Binary(b)).then(|| (c[0], c[1])))
}

/// `x * c` with a constant scalar `c` of the same type, in either order.
fn scaled(eg: &Eg, id: Id) -> Vec<(Id, Id)> {
    let mut out = vec![];
    for (a, b) in binary_args(eg, id, BinaryOp::Mul) {
        for (x, c) in [(a, b), (b, a)] {
            if splat(eg, c).is_some() && fits(eg, x, c) && constant(eg, x).is_none() && ty(eg, c).dtype.is_float() {
                out.push((x, c));
            }
        }
    }
    out
}

fn divide(eg: &mut Eg, c: &[Id], allowed: impl Fn(f64) -> bool) -> Vec<Id> {
    let t = ty(eg, c[1]).clone();
    match splat(eg, c[1]) {
        Some(v) if t.dtype.is_float() && allowed(v) && constant(eg, c[0]).is_none() => {
            let Some(shape) = t.static_shape() else { return vec![] };
            let inverse = Tensor::build(t.dtype, &shape, |_| Num::Float(1.0 / v));
            let inverse = add_constant(eg, &inverse);
            add(eg, Op::Binary(BinaryOp::Mul), &[c[0], inverse]).into_iter().collect()
        }
        _ => vec![],
    }
}

/// `-x * c` and `-(x * c)` as `x * -c`.
fn negated_factor(eg: &mut Eg, op: &Op, c: &[Id]) -> Vec<Id> {
    let found: Vec<(Id, Id)> = match op {
        Op::Unary(_) => scaled(eg, c[0]),
        _ => {
            let pairs = [(c[0], c[1]), (c[1], c[0])].into_iter().filter(|(x, k)| splat(eg, *k).is_some() && fits(eg, *x, *k));
            pairs.flat_map(|(x, k)| unary_args(eg, x, UnaryOp::Neg).into_iter().map(move |x| (x, k))).collect()
        }
    };
    let mut out = vec![];
    for (x, k) in found {
        let dtype = ty(eg, x).dtype;
        let Some(v) = splat(eg, k).filter(|_| dtype.is_float() && constant(eg, x).is_none()) else { continue };
        let negated = add_scalar(eg, dtype, -v);
        out.extend(add(eg, Op::Binary(BinaryOp::Mul), &[x, negated]));
    }
    out
}

/// `(x . a) . b` as `x . (a . b)` for scalar constants.
fn merge_constants(eg: &mut Eg, op: &Op, c: &[Id]) -> Vec<Id> {
    let Op::Binary(b) = *op else { return vec![] };
    let mut out = vec![];
    for (y, outer) in [(c[0], c[1]), (c[1], c[0])] {
        let Some(v) = splat(eg, outer) else { continue };
        for (p, q) in binary_args(eg, y, b) {
            for (x, inner) in [(p, q), (q, p)] {
                let dtype = ty(eg, x).dtype;
                let Some(u) = splat(eg, inner) else { continue };
                if !dtype.is_float() || constant(eg, x).is_some() || !fits(eg, x, inner) || !fits(eg, x, outer) {
                    continue;
                }
                let both = add_scalar(eg, dtype, if b == BinaryOp::Mul { u * v } else { u + v });
                out.extend(add(eg, op.clone(), &[x, both]));
            }
        }
    }
    out
}

/// A sum divided by the number of its terms.
fn mean_from_sum(eg: &mut Eg, op: &Op, c: &[Id]) -> Vec<Id> {
    let pairs = if *op == Op::Binary(BinaryOp::Div) { vec![(c[0], c[1])] } else { vec![(c[0], c[1]), (c[1], c[0])] };
    let mut out = vec![];
    for (sum, n) in pairs {
        let (Some(v), true) = (splat(eg, n), fits(eg, sum, n)) else { continue };
        let sums = find_all(eg, sum, |op, c| match op {
            Op::Reduce { op: ReduceOp::Sum, axes, keep } => Some((axes.clone(), *keep, c[0])),
            _ => None,
        });
        for (axes, keep, x) in sums {
            let t = ty(eg, x);
            let count: Option<i64> = axes.iter().map(|&a| t.shape[a].known()).product();
            let Some(count) = count.filter(|_| t.dtype.is_float()) else { continue };
            let expected = if *op == Op::Binary(BinaryOp::Div) { count as f64 } else { 1.0 / count as f64 };
            if (v - expected).abs() <= expected * 1e-7 {
                out.extend(add(eg, Op::Reduce { op: ReduceOp::Mean, axes, keep }, &[x]));
            }
        }
    }
    out
}
