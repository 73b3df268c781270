//! Layout rules: transposes sink towards the outputs, through everything that does not care about the order of axes, until
//! they meet their inverse and vanish; reshapes sink through elementwise ops. An importer wraps every channels-first
//! convolution in two transposes; after these rules a chain of convolutions has none inside.

use beiming_ir::ops::{BinaryOp, Conv, Cumulative, NormKind, Op, PadMode, ReduceOp, Resize, ResizeMode, Slice, UnaryOp};
use beiming_ir::types::{DType, Dim};
use egg::Id;

use super::Promise::{Exact, Reassociates};
use super::{Gen, Rule};
use crate::layout::{
    besides_ones, compose, inverse, is_identity, is_relabeling, permute, reshape_before_transpose, without_axes,
};
use crate::saturate::facts::{Eg, SMALL_CONSTANT, add, add_rank, add_reshape, add_transpose, constant, find_all, splat, ty};

/// The rules.
pub const RULES: &[Rule] = &[
    Rule {
        name: "transpose-compose",
        promise: Exact,
        root: |op| matches!(op, Op::Transpose { .. }),
        apply: transpose_compose,
        example: |g| {
            let (s, p, q) = (g.shape(4), g.perm(4), g.perm(4));
            let x = g.input(&s);
            let y = g.transpose(&p, x);
            let z = g.transpose(&q, y);
            g.done(z)
        },
    },
    Rule {
        name: "sink-transpose-unary",
        promise: Exact,
        root: |op| matches!(op, Op::Unary(_) | Op::Cast { .. } | Op::Bitcast { .. }),
        apply: |eg, op, c| sink(eg, c[0], |_, _, _| Some(op.clone())),
        example: |g| {
            let t = transposed_input(g, 3);
            let y = g.unary(UnaryOp::Abs, t);
            let y = g.op(Op::Cast { to: DType::F64 }, &[y]);
            g.done(y)
        },
    },
    Rule {
        name: "sink-transpose-elementwise",
        promise: Exact,
        root: |op| matches!(op, Op::Binary(_) | Op::Select),
        apply: sink_elementwise,
        example: |g| {
            let t = transposed_input(g, 4);
            let mut s = g.shape_of(t);
            let keep = g.below(4);
            s.iter_mut().take(keep).for_each(|d| *d = 1);
            let lead = g.below(keep + 1);
            let other = g.weights(&s[lead..]);
            let y = g.binary(BinaryOp::Sub, other, t);
            let c = g.binary(BinaryOp::Lt, t, y);
            let y = g.op(Op::Select, &[c, y, t]);
            g.done(y)
        },
    },
    Rule {
        name: "sink-transpose-broadcast",
        promise: Exact,
        root: |op| matches!(op, Op::Broadcast { .. }),
        apply: |eg, op, c| {
            let Op::Broadcast { shape } = op else { return vec![] };
            sink(eg, c[0], |_, p, _| (p.len() == shape.len()).then(|| Op::Broadcast { shape: permute(&inverse(p), shape) }))
        },
        example: |g| {
            let x = g.input(&[3, 1, 4]);
            let t = g.transpose(&[2, 0, 1], x);
            let y = g.op(Op::Broadcast { shape: vec![4.into(), 3.into(), 5.into()] }, &[t]);
            g.done(y)
        },
    },
    Rule {
        name: "sink-transpose-concat",
        promise: Exact,
        root: |op| matches!(op, Op::Concat { .. }),
        apply: sink_concat,
        example: |g| {
            let t = transposed_input(g, 3);
            let s = g.shape_of(t);
            let other = g.weights(&s);
            let axis = g.below(3);
            let y = g.op(Op::Concat { axis }, &[other, t, other]);
            g.done(y)
        },
    },
    Rule {
        name: "sink-transpose-slice",
        promise: Exact,
        root: |op| matches!(op, Op::Slice(_)),
        apply: |eg, op, c| {
            let Op::Slice(s) = op else { return vec![] };
            sink(eg, c[0], |_, p, _| {
                let q = inverse(p);
                Some(Op::Slice(Slice { start: permute(&q, &s.start), len: permute(&q, &s.len), step: permute(&q, &s.step) }))
            })
        },
        example: |g| {
            let t = transposed_input(g, 3);
            let s = g.shape_of(t);
            let start = vec![1.into(), 0.into(), Dim::from(s[2]) - 1.into()];
            let len = vec![1.into(), s[1].into(), s[2].into()];
            let y = g.op(Op::Slice(Slice { start, len, step: vec![1, 1, -1] }), &[t]);
            g.done(y)
        },
    },
    Rule {
        name: "sink-transpose-reverse",
        promise: Exact,
        root: |op| matches!(op, Op::Reverse { .. }),
        apply: |eg, op, c| {
            let Op::Reverse { axes } = op else { return vec![] };
            sink(eg, c[0], |_, p, _| Some(Op::Reverse { axes: mapped(p, axes) }))
        },
        example: |g| {
            let t = transposed_input(g, 3);
            let y = g.op(Op::Reverse { axes: vec![0, 2] }, &[t]);
            g.done(y)
        },
    },
    Rule {
        name: "sink-transpose-pad",
        promise: Exact,
        root: |op| matches!(op, Op::Pad { .. }),
        apply: |eg, op, c| {
            let Op::Pad { lo, hi, mode } = op else { return vec![] };
            let value = c[1];
            sink_with(eg, c[0], &[value], |_, p, _| {
                let q = inverse(p);
                Some(Op::Pad { lo: permute(&q, lo), hi: permute(&q, hi), mode: *mode })
            })
        },
        example: |g| {
            let t = transposed_input(g, 3);
            let v = g.scalar(0.5);
            let (lo, hi) = (vec![1.into(), 0.into(), (-1).into()], vec![0.into(), 1.into(), 2.into()]);
            let mode = g.pick(&[PadMode::Constant, PadMode::Edge]);
            let y = g.op(Op::Pad { lo, hi, mode }, &[t, v]);
            g.done(y)
        },
    },
    Rule {
        name: "sink-transpose-reduce",
        promise: Reassociates,
        root: |op| matches!(op, Op::Reduce { .. }),
        apply: sink_reduce,
        example: |g| {
            let t = transposed_input(g, 4);
            let axes = g.pick(&[vec![0], vec![1, 3], vec![2, 3], vec![0, 1, 2, 3]]);
            let keep = g.below(2) == 0;
            let op = g.pick(&[ReduceOp::Sum, ReduceOp::Mean, ReduceOp::Max]);
            let y = g.op(Op::Reduce { op, axes, keep }, &[t]);
            g.done(y)
        },
    },
    Rule {
        name: "sink-transpose-along-axis",
        promise: Exact,
        root: |op| matches!(op, Op::Softmax { .. } | Op::Cumulative(_) | Op::ArgReduce { keep: true, .. }),
        apply: |eg, op, c| {
            sink(eg, c[0], |_, p, _| match op {
                Op::Softmax { axis, log } => Some(Op::Softmax { axis: p[*axis], log: *log }),
                Op::Cumulative(k) => Some(Op::Cumulative(Cumulative { axis: p[k.axis], ..k.clone() })),
                Op::ArgReduce { max, axis, keep, last } => {
                    Some(Op::ArgReduce { max: *max, axis: p[*axis], keep: *keep, last: *last })
                }
                _ => None,
            })
        },
        example: |g| {
            let t = transposed_input(g, 3);
            let axis = g.below(3);
            let y = g.op(Op::Softmax { axis, log: false }, &[t]);
            let k = Cumulative { op: ReduceOp::Sum, axis, exclusive: false, reverse: true };
            let y = g.op(Op::Cumulative(k), &[y]);
            let y = g.op(Op::ArgReduce { max: true, axis, keep: true, last: false }, &[y]);
            g.done(y)
        },
    },
    Rule {
        name: "sink-transpose-norm",
        promise: Reassociates,
        root: |op| matches!(op, Op::Norm { .. }),
        apply: |eg, op, c| {
            let Op::Norm { axis, .. } = op else { return vec![] };
            // Only where the normalised axes stay the trailing ones.
            sink(eg, c[0], |_, p, _| p[*axis..].iter().all(|a| a >= axis).then(|| op.clone()))
        },
        example: |g| {
            let s = g.shape(4);
            let x = g.input(&s);
            let t = g.transpose(&[1, 0, 3, 2], x);
            let y = g.op(Op::Norm { kind: NormKind::Layer, axis: 2, eps: 1e-5.into() }, &[t]);
            g.done(y)
        },
    },
    Rule {
        name: "sink-transpose-resize",
        promise: Reassociates,
        root: |op| matches!(op, Op::Resize(_)),
        apply: |eg, op, c| {
            let Op::Resize(r) = op else { return vec![] };
            sink(eg, c[0], |_, p, _| {
                let q = inverse(p);
                let roi = if r.roi.is_empty() { vec![] } else { permute(&q, &r.roi) };
                Some(Op::Resize(Resize { shape: permute(&q, &r.shape), scales: permute(&q, &r.scales), roi, ..r.clone() }))
            })
        },
        example: |g| {
            let x = g.input(&[1, 3, 4, 2]);
            let t = g.transpose(&[0, 3, 1, 2], x);
            let mode = g.pick(&[ResizeMode::Linear, ResizeMode::Nearest(beiming_ir::ops::Nearest::Floor)]);
            let y = g.op(
                Op::Resize(Resize {
                    mode,
                    coord: beiming_ir::ops::Coord::Asymmetric,
                    shape: vec![1.into(), 2.into(), 6.into(), 4.into()],
                    scales: vec![None; 4],
                    roi: vec![(0.0.into(), 1.0.into()); 4],
                    antialias: false,
                    exclude_outside: false,
                    extrapolation: 0.0.into(),
                }),
                &[t],
            );
            g.done(y)
        },
    },
    Rule {
        name: "sink-transpose-reshape",
        promise: Exact,
        root: |op| matches!(op, Op::Reshape { .. }),
        apply: |eg, op, c| {
            let Op::Reshape { shape } = op else { return vec![] };
            let mut out = vec![];
            for (p, x) in transposed(eg, c[0]) {
                let Some((inner, q)) = reshape_before_transpose(&ty(eg, x).shape, &p, shape) else { continue };
                out.extend(add_reshape(eg, inner, x).and_then(|y| add_transpose(eg, &q, y)));
            }
            out
        },
        example: |g| {
            let x = g.input(&[2, 3, 4, 6]);
            let t = g.transpose(&[0, 3, 1, 2], x);
            let shape = g.pick(&[vec![2, 6, 12], vec![2, 2, 3, 3, 4], vec![2, 3, 2, 12]]);
            let y = g.reshape(&shape, t);
            g.done(y)
        },
    },
    Rule {
        name: "reshape-compose",
        promise: Exact,
        root: |op| matches!(op, Op::Reshape { .. }),
        apply: |eg, op, c| {
            let Op::Reshape { shape } = op else { return vec![] };
            reshaped(eg, c[0]).into_iter().filter_map(|x| add_reshape(eg, shape.clone(), x)).collect()
        },
        example: |g| {
            let x = g.input(&[2, 3, 4]);
            let y = g.reshape(&[6, 4], x);
            let z = g.reshape(&[24], y);
            g.done(z)
        },
    },
    Rule {
        name: "sink-reshape-unary",
        promise: Exact,
        root: |op| matches!(op, Op::Unary(_) | Op::Cast { .. }),
        apply: |eg, op, c| {
            let shape = ty(eg, c[0]).shape.clone();
            let sources = reshaped(eg, c[0]);
            sources
                .into_iter()
                .filter_map(|x| add(eg, op.clone(), &[x]).and_then(|y| add_reshape(eg, shape.clone(), y)))
                .collect()
        },
        example: |g| {
            let x = g.input(&[2, 3, 4]);
            let y = g.reshape(&[6, 4], x);
            let z = g.unary(UnaryOp::Tanh, y);
            g.done(z)
        },
    },
    Rule {
        name: "sink-reshape-elementwise",
        promise: Exact,
        root: |op| matches!(op, Op::Binary(_) | Op::Select),
        apply: sink_reshape,
        example: |g| {
            let x = g.input(&[2, 3, 4]);
            let r = g.reshape(&[6, 4], x);
            let (w, other) = (g.weights(&[4]), g.input(&[6, 4]));
            let y = g.binary(BinaryOp::Mul, r, w);
            let y = g.binary(BinaryOp::Add, other, y);
            let one = g.scalar(1.0);
            let y = g.binary(BinaryOp::Div, one, y);
            // Only an axis of extent one is new; the other argument repeats along the last.
            let y = g.reshape(&[6, 1, 4], y);
            let row = g.input(&[6, 1, 1]);
            let y = g.binary(BinaryOp::Sub, y, row);
            g.done(y)
        },
    },
    Rule {
        name: "sink-reshape-rows",
        promise: Exact,
        root: |op| matches!(op, Op::Softmax { .. } | Op::Norm { .. }),
        apply: sink_reshape_rows,
        example: |g| {
            let x = g.input(&[2, 3, 4]);
            let r = g.reshape(&[6, 4], x);
            let y = g.op(Op::Norm { kind: NormKind::Rms, axis: 1, eps: 1e-5.into() }, &[r]);
            let y = g.op(Op::Softmax { axis: 1, log: true }, &[y]);
            g.done(y)
        },
    },
    Rule {
        name: "pad-into-conv",
        promise: Exact,
        root: |op| matches!(op, Op::Conv(_)),
        apply: pad_into_conv,
        example: |g| {
            let (x, w, zero) = (g.input(&[1, 5, 6, 2]), g.weights(&[3, 3, 2, 4]), g.scalar(0.0));
            let (lo, hi) = (vec![0.into(), 1.into(), 2.into(), 0.into()], vec![0.into(), 0.into(), 1.into(), 0.into()]);
            let p = g.op(Op::Pad { lo, hi, mode: PadMode::Constant }, &[x, zero]);
            let conv = Conv { strides: vec![1, 2], dilations: vec![1, 1], pads: vec![(1, 0), (0, 1)], groups: 1 };
            let y = g.op(Op::Conv(conv), &[p, w]);
            g.done(y)
        },
    },
];

/// An input of any shape, with its axes in another order.
fn transposed_input(g: &mut Gen, rank: usize) -> beiming_ir::graph::ValueId {
    let (s, p) = (g.shape(rank), g.perm(rank));
    let x = g.input(&s);
    g.transpose(&p, x)
}

/// What a class is a transpose of.
pub(super) fn transposed(eg: &Eg, id: Id) -> Vec<(Vec<usize>, Id)> {
    find_all(eg, id, |op, c| match op {
        Op::Transpose { perm } => Some((perm.clone(), c[0])),
        _ => None,
    })
}

/// What a class is a reshape of.
pub(super) fn reshaped(eg: &Eg, id: Id) -> Vec<Id> {
    find_all(eg, id, |op, c| matches!(op, Op::Reshape { .. }).then(|| c[0]))
}

/// Axes of the result as axes of the argument, sorted.
fn mapped(perm: &[usize], axes: &[usize]) -> Vec<usize> {
    let mut v: Vec<usize> = axes.iter().map(|&a| perm[a]).collect();
    v.sort_unstable();
    v
}

/// `op(Transpose(p, x))` as `Transpose(p, op'(x))`, for every way in which the argument is a transpose.
fn sink(eg: &mut Eg, arg: Id, inner: impl Fn(&Eg, &[usize], Id) -> Option<Op>) -> Vec<Id> {
    sink_with(eg, arg, &[], inner)
}

fn sink_with(eg: &mut Eg, arg: Id, more: &[Id], inner: impl Fn(&Eg, &[usize], Id) -> Option<Op>) -> Vec<Id> {
    let mut out = vec![];
    for (p, x) in transposed(eg, arg) {
        let Some(op) = inner(eg, &p, x) else { continue };
        let args: Vec<Id> = std::iter::once(x).chain(more.iter().copied()).collect();
        out.extend(add(eg, op, &args).and_then(|y| add_transpose(eg, &p, y)));
    }
    out
}

fn transpose_compose(eg: &mut Eg, op: &Op, c: &[Id]) -> Vec<Id> {
    let Op::Transpose { perm } = op else { return vec![] };
    let found = transposed(eg, c[0]);
    let mut out: Vec<Id> = found.into_iter().filter_map(|(q, x)| add_transpose(eg, &compose(perm, &q), x)).collect();
    // A relabeling, or a small constant.
    out.extend(add_transpose(eg, perm, c[0]));
    out
}

/// `x`, of rank `rank` after leading ones, with its axes in the order of `q`, where that costs nothing: a small constant, an
/// undone transpose, axes of extent one. Moving a transpose from one large argument to another gains nothing by itself, and
/// offered everywhere it would double the e-graph at every join.
fn turned(eg: &mut Eg, q: &[usize], x: Id, rank: usize) -> Option<Id> {
    if ty(eg, x).rank() == 0 {
        return Some(x);
    }
    let x = add_rank(eg, x, rank)?;
    let free = constant(eg, x).is_some_and(|t| t.bytes().len() <= SMALL_CONSTANT)
        || is_relabeling(q, &ty(eg, x).shape)
        || transposed(eg, x).iter().any(|(p, _)| is_identity(&compose(q, p)));
    if free { add_transpose(eg, q, x) } else { None }
}

/// One argument of full rank is a transpose, and so are the others, or they are turned back for nothing.
fn sink_elementwise(eg: &mut Eg, op: &Op, c: &[Id]) -> Vec<Id> {
    let rank = c.iter().map(|&x| ty(eg, x).rank()).max().unwrap_or(0);
    let mut out = vec![];
    for &arg in c {
        if ty(eg, arg).rank() != rank {
            continue;
        }
        for (p, _) in transposed(eg, arg) {
            let q = inverse(&p);
            let args: Option<Vec<Id>> = c.iter().map(|&x| turned(eg, &q, x, rank)).collect();
            out.extend(args.and_then(|args| add(eg, op.clone(), &args)).and_then(|y| add_transpose(eg, &p, y)));
        }
    }
    out
}

/// At least half of the parts are transposes; the others are turned back.
fn sink_concat(eg: &mut Eg, op: &Op, c: &[Id]) -> Vec<Id> {
    let Op::Concat { axis } = op else { return vec![] };
    let mut perms: Vec<Vec<usize>> = c.iter().flat_map(|&x| transposed(eg, x)).map(|(p, _)| p).collect();
    perms.sort();
    perms.dedup();
    let mut out = vec![];
    for p in perms {
        let q = inverse(&p);
        let rank = p.len();
        let free: Vec<Option<Id>> = c.iter().map(|&x| turned(eg, &q, x, rank)).collect();
        if 2 * free.iter().flatten().count() < c.len() {
            continue;
        }
        let args: Option<Vec<Id>> = c.iter().zip(free).map(|(&x, f)| f.or_else(|| add_transpose(eg, &q, x))).collect();
        let inner = args.and_then(|args| add(eg, Op::Concat { axis: p[*axis] }, &args));
        out.extend(inner.and_then(|y| add_transpose(eg, &p, y)));
    }
    out
}

fn sink_reduce(eg: &mut Eg, op: &Op, c: &[Id]) -> Vec<Id> {
    let Op::Reduce { op: reducer, axes, keep } = op else { return vec![] };
    let mut out = vec![];
    for (p, x) in transposed(eg, c[0]) {
        let inner = mapped(&p, axes);
        let outer = if *keep { p.clone() } else { without_axes(&p, &inner) };
        let y = add(eg, Op::Reduce { op: *reducer, axes: inner, keep: *keep }, &[x]);
        out.extend(y.and_then(|y| add_transpose(eg, &outer, y)));
    }
    out
}

/// The shape of what broadcasts along axes of `outer`, with all of them, where the two shapes differ in axes of extent one only.
fn narrow(shape: &[Dim], outer: &[Dim], inner: &[Dim]) -> Option<Vec<Dim>> {
    let axes = besides_ones(outer, inner).filter(|_| shape.len() == outer.len())?;
    let repeats = shape.iter().zip(outer).all(|(d, whole)| d.is(1) || d == whole);
    repeats.then(|| axes.into_iter().map(|a| a.map_or(Dim::from(1), |a| shape[a].clone())).collect())
}

/// `f(Reshape(x), y)` as `Reshape(f(x, y'))`, where `y` has the same shape and is reshaped back, or spans only trailing axes
/// that the reshape leaves alone, or the reshape only adds and drops axes of extent one.
fn sink_reshape(eg: &mut Eg, op: &Op, c: &[Id]) -> Vec<Id> {
    let mut out = vec![];
    for (i, &arg) in c.iter().enumerate() {
        let outer = ty(eg, arg).shape.clone();
        for x in reshaped(eg, arg) {
            let inner = ty(eg, x).shape.clone();
            let suffix = outer.iter().rev().zip(inner.iter().rev()).take_while(|(a, b)| a == b).count();
            let fit = |eg: &mut Eg, k: usize, y: Id| -> Option<Id> {
                let shape = ty(eg, y).shape.clone();
                if k == i {
                    Some(x)
                } else if shape == outer {
                    add_reshape(eg, inner.clone(), y)
                } else {
                    let lead = shape.iter().take_while(|d| d.is(1)).count();
                    if shape.len() > outer.len() {
                        return None;
                    }
                    // Of full rank it stays so: what made it has axes in the same places.
                    if let Some(full) = narrow(&shape, &outer, &inner) {
                        return add_reshape(eg, full, y);
                    }
                    if shape.len() - lead > suffix {
                        return None;
                    }
                    // Drop leading ones that the inner rank has no room for.
                    add_reshape(eg, shape[lead..].to_vec(), y)
                }
            };
            let args: Option<Vec<Id>> = c.iter().enumerate().map(|(k, &y)| fit(eg, k, y)).collect();
            out.extend(args.and_then(|a| add(eg, op.clone(), &a)).and_then(|y| add_reshape(eg, outer.clone(), y)));
        }
    }
    out
}

/// Softmax and normalisations see only the trailing axes: leading ones may be joined or split around them.
fn sink_reshape_rows(eg: &mut Eg, op: &Op, c: &[Id]) -> Vec<Id> {
    let outer = ty(eg, c[0]).shape.clone();
    let (Op::Softmax { axis, .. } | Op::Norm { axis, .. }) = op else { return vec![] };
    let trailing = outer.len() - axis;
    let mut out = vec![];
    for x in reshaped(eg, c[0]) {
        let inner = ty(eg, x).shape.clone();
        if inner.len() < trailing || inner[inner.len() - trailing..] != outer[*axis..] {
            continue;
        }
        let axis = inner.len() - trailing;
        let moved = match op {
            Op::Softmax { log, .. } => Op::Softmax { axis, log: *log },
            Op::Norm { kind, eps, .. } => Op::Norm { kind: *kind, axis, eps: *eps },
            _ => continue,
        };
        out.extend(add(eg, moved, &[x]).and_then(|y| add_reshape(eg, outer.clone(), y)));
    }
    out
}

/// Zeros around the spatial axes are what a convolution reads outside its argument anyway.
fn pad_into_conv(eg: &mut Eg, op: &Op, c: &[Id]) -> Vec<Id> {
    let Op::Conv(conv) = op else { return vec![] };
    let padded = find_all(eg, c[0], |op, c| match op {
        Op::Pad { lo, hi, mode: PadMode::Constant } => Some((lo.clone(), hi.clone(), c[0], c[1])),
        _ => None,
    });
    let mut out = vec![];
    for (lo, hi, x, value) in padded {
        let last = lo.len() - 1;
        let outside = |i: usize| lo[i].is(0) && hi[i].is(0);
        if splat(eg, value) != Some(0.0) || !outside(0) || !outside(last) {
            continue;
        }
        let amount = |v: &[Dim]| v[1..last].iter().map(|d| d.known().filter(|k| *k >= 0)).collect::<Option<Vec<i64>>>();
        let (Some(lo), Some(hi)) = (amount(&lo), amount(&hi)) else { continue };
        // A crop of the padded tensor is not a crop of the argument.
        if conv.pads.iter().any(|p| p.0 < 0 || p.1 < 0) {
            continue;
        }
        let pads = conv.pads.iter().zip(lo.iter().zip(&hi)).map(|(p, (l, h))| (p.0 + l, p.1 + h)).collect();
        out.extend(add(eg, Op::Conv(Conv { pads, ..conv.clone() }), &[x, c[1]]));
    }
    out
}
