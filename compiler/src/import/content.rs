//! Symbolic contents: what an op makes of integer tensors whose elements are known as dimension expressions.
//!
//! Elementwise arithmetic works on expressions, with the ranges of the symbols deciding comparisons and clamps. Ops that
//! only move elements are run by the evaluator on the positions of the elements.

use beiming_ir::eval;
use beiming_ir::graph::Graph;
use beiming_ir::ops::{BinaryOp, Op, ReduceOp, UnaryOp};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim, Range, Symbols, TensorType};

/// Contents of the result of `op`, where they are known. `args` are the arguments' types (of known extents) and contents. With
/// `truths`, what the ranges do not decide is known too: as an expression that is 0 or 1.
pub fn fold(op: &Op, ty: &TensorType, args: &[(TensorType, Vec<Dim>)], graph: &Graph, truths: bool) -> Option<Vec<Dim>> {
    let s = &graph.symbols;
    let shape = ty.static_shape()?;
    match op {
        Op::Unary(u) => args[0].1.iter().map(|d| unary(*u, args[0].0.dtype, d, s)).collect(),
        Op::Cast { to } => args[0].1.iter().map(|d| cast(args[0].0.dtype, *to, d, s)).collect(),
        Op::Binary(b) => {
            let (x, y) = (spread(&args[0], &shape)?, spread(&args[1], &shape)?);
            let dtype = args[0].0.dtype;
            let each = |x, y| binary(*b, dtype, x, y, s).or_else(|| truths.then(|| test(*b, dtype, x, y, s)).flatten());
            x.iter().zip(&y).map(|(x, y)| each(x, y)).collect()
        }
        Op::Select => {
            let v: Vec<Vec<Dim>> = args.iter().map(|a| spread(a, &shape)).collect::<Option<_>>()?;
            (0..v[0].len())
                .map(|i| match v[0][i].known() {
                    Some(c) => Some(v[if c != 0 { 1 } else { 2 }][i].clone()),
                    None if v[1][i] == v[2][i] => Some(v[1][i].clone()),
                    None => truths.then(|| v[2][i].clone() + v[0][i].clone() * (v[1][i].clone() - v[2][i].clone())),
                })
                .collect()
        }
        Op::Reshape { .. } => Some(args[0].1.clone()),
        Op::Transpose { .. } | Op::Broadcast { .. } | Op::Slice(_) | Op::Concat { .. } | Op::Reverse { .. } => {
            moved(op, args, graph)
        }
        Op::Gather { .. } | Op::GatherElements { .. } | Op::GatherNd { .. } => {
            // Only the data may be symbolic.
            let index: Option<Vec<i64>> = args[1].1.iter().map(Dim::known).collect();
            let index = index?;
            let index = Tensor::build(DType::I64, &args[1].0.static_shape()?, |i| Num::Int(index[i].into()));
            let positions = positions(&args[0], 0)?;
            pick(op, &[positions, index], &[&args[0].1], graph)
        }
        Op::Reduce { op: r, axes, .. } => {
            let f: fn(&Dim, &Dim, &Symbols) -> Dim = match r {
                ReduceOp::Sum => |a, b, _| a.clone() + b.clone(),
                ReduceOp::Prod => |a, b, _| a.clone() * b.clone(),
                ReduceOp::Max => max,
                ReduceOp::Min => min,
                _ => return None,
            };
            // Whole reductions only: nothing else is met in shape arithmetic.
            if axes.len() != args[0].0.rank() {
                return None;
            }
            let (first, rest) = args[0].1.split_first()?;
            Some(vec![rest.iter().fold(first.clone(), |a, b| f(&a, b, s))])
        }
        _ => None,
    }
}

/// Positions of the elements of an argument, counted from `base`, in its shape.
fn positions(arg: &(TensorType, Vec<Dim>), base: usize) -> Option<Tensor> {
    Some(Tensor::build(DType::I64, &arg.0.static_shape()?, |i| Num::Int((base + i) as i128)))
}

/// Runs a moving op on positions and takes the elements from there.
fn pick(op: &Op, args: &[Tensor], contents: &[&Vec<Dim>], graph: &Graph) -> Option<Vec<Dim>> {
    let out = eval::op(op, args, graph, &Default::default()).ok()?;
    let all: Vec<&Dim> = contents.iter().flat_map(|c| c.iter()).collect();
    out.first()?.to_i64().iter().map(|&i| all.get(usize::try_from(i).ok()?).map(|d| (*d).clone())).collect()
}

fn moved(op: &Op, args: &[(TensorType, Vec<Dim>)], graph: &Graph) -> Option<Vec<Dim>> {
    let mut base = 0;
    let mut tensors = vec![];
    for a in args {
        tensors.push(positions(a, base)?);
        base += a.1.len();
    }
    pick(op, &tensors, &args.iter().map(|a| &a.1).collect::<Vec<_>>(), graph)
}

/// The elements of an argument, broadcast to `shape`.
fn spread(arg: &(TensorType, Vec<Dim>), shape: &[usize]) -> Option<Vec<Dim>> {
    let own = arg.0.static_shape()?;
    if own == shape {
        return Some(arg.1.clone());
    }
    let lead = shape.len().checked_sub(own.len())?;
    let count: usize = shape.iter().product();
    (0..count)
        .map(|mut i| {
            let (mut at, mut stride) = (0, 1);
            for axis in (0..shape.len()).rev() {
                let c = i % shape[axis];
                i /= shape[axis];
                if axis >= lead {
                    let d = own[axis - lead];
                    at += if d == 1 { 0 } else { c * stride };
                    stride *= d;
                }
            }
            arg.1.get(at).cloned()
        })
        .collect()
}

fn unary(op: UnaryOp, dtype: DType, d: &Dim, s: &Symbols) -> Option<Dim> {
    let r = d.range(s);
    match op {
        UnaryOp::Neg => Some(Dim::Known(0) - d.clone()),
        UnaryOp::Abs if r.lo >= 0 => Some(d.clone()),
        UnaryOp::Abs if r.hi <= 0 => Some(Dim::Known(0) - d.clone()),
        UnaryOp::Sign if r.lo > 0 => Some(1.into()),
        UnaryOp::Sign if r.hi < 0 => Some((-1).into()),
        // Contents are whole numbers.
        UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round | UnaryOp::Trunc => Some(d.clone()),
        UnaryOp::IsNan | UnaryOp::IsInf => Some(0.into()),
        UnaryOp::Not if dtype == DType::Bool => Some(Dim::Known(1) - d.clone()),
        _ => None,
    }
}

fn cast(from: DType, to: DType, d: &Dim, s: &Symbols) -> Option<Dim> {
    match to {
        DType::Bool if from != to => truth(d, s).map(|b| Dim::Known(b.into())),
        // An extent fits 64 bits, and in practice 32; a float holds it exactly up to 2^24, as in the models' own arithmetic.
        DType::I64 | DType::I32 | DType::F64 | DType::F32 => Some(d.clone()),
        _ if from == to => Some(d.clone()),
        _ => None,
    }
}

/// Whether `d` is not zero, where that is certain.
fn truth(d: &Dim, s: &Symbols) -> Option<bool> {
    let r = d.range(s);
    match (r.lo, r.hi) {
        (0, 0) => Some(false),
        (lo, hi) if lo > 0 || hi < 0 => Some(true),
        _ => None,
    }
}

fn binary(op: BinaryOp, dtype: DType, a: &Dim, b: &Dim, s: &Symbols) -> Option<Dim> {
    use BinaryOp::*;
    let (ra, rb) = (a.range(s), b.range(s));
    let flag = |b: bool| Some(Dim::Known(b.into()));
    let compare = |f: fn(Range) -> Option<bool>| f(difference(a, b, s)).and_then(flag);
    match op {
        Add => Some(a.clone() + b.clone()),
        Sub => Some(a.clone() - b.clone()),
        Mul => Some(a.clone() * b.clone()),
        Div if dtype.is_float() => {
            let q = a.floor_div(b);
            (!b.is(0) && q.clone() * b.clone() == *a).then_some(q)
        }
        // Truncation is flooring where both are positive.
        Div if ra.lo >= 0 && rb.lo > 0 => Some(a.floor_div(b)),
        Div if ra.hi <= 0 && rb.lo > 0 => Some(Dim::Known(0) - (Dim::Known(0) - a.clone()).floor_div(b)),
        Div => match (a.known()?, b.known()?) {
            (_, 0) => None,
            (x, y) => Some(x.wrapping_div(y).into()),
        },
        Mod if rb.lo > 0 => Some(a.modulo(b)),
        Rem if ra.lo >= 0 && rb.lo > 0 => Some(a.modulo(b)),
        Rem if ra.hi <= 0 && rb.lo > 0 => Some(Dim::Known(0) - (Dim::Known(0) - a.clone()).modulo(b)),
        Max => Some(max(a, b, s)),
        Min => Some(min(a, b, s)),
        Eq => compare(|d| if d.lo == 0 && d.hi == 0 { Some(true) } else { (d.lo > 0 || d.hi < 0).then_some(false) }),
        Ne => binary(Eq, dtype, a, b, s)?.known().and_then(|v| flag(v == 0)),
        Lt => compare(|d| if d.hi < 0 { Some(true) } else { (d.lo >= 0).then_some(false) }),
        Le => compare(|d| if d.hi <= 0 { Some(true) } else { (d.lo > 0).then_some(false) }),
        Gt => binary(Lt, dtype, b, a, s),
        Ge => binary(Le, dtype, b, a, s),
        And if dtype == DType::Bool => match (a.known(), b.known()) {
            (Some(0), _) | (_, Some(0)) => flag(false),
            (Some(x), Some(y)) => flag(x != 0 && y != 0),
            _ => None,
        },
        Or if dtype == DType::Bool => match (a.known(), b.known()) {
            (Some(1), _) | (_, Some(1)) => flag(true),
            (Some(x), Some(y)) => flag(x != 0 || y != 0),
            _ => None,
        },
        _ => None,
    }
}

/// What the ranges do not decide, as an expression that is 0 or 1.
fn test(op: BinaryOp, dtype: DType, a: &Dim, b: &Dim, s: &Symbols) -> Option<Dim> {
    use BinaryOp::*;
    let (zero, one) = (Dim::Known(0), Dim::Known(1));
    let not = |d: Dim| one.clone() - d;
    Some(match op {
        And if dtype == DType::Bool => min(a, b, s),
        Or if dtype == DType::Bool => max(a, b, s),
        // `a < b` is `b - a`, cut to 0..=1.
        Lt => max(&zero, &min(&one, &(b.clone() - a.clone()), s), s),
        Gt => test(Lt, dtype, b, a, s)?,
        Le => not(test(Lt, dtype, b, a, s)?),
        Ge => not(test(Lt, dtype, a, b, s)?),
        Ne => {
            let d = a.clone() - b.clone();
            min(&one, &max(&d, &(zero - d.clone()), s), s)
        }
        Eq => not(test(Ne, dtype, a, b, s)?),
        _ => return None,
    })
}

/// Range of `a - b`.
fn difference(a: &Dim, b: &Dim, s: &Symbols) -> Range {
    let direct = (a.clone() - b.clone()).range(s);
    let (ra, rb) = (a.range(s), b.range(s));
    Range { lo: direct.lo.max(ra.lo.saturating_sub(rb.hi)), hi: direct.hi.min(ra.hi.saturating_sub(rb.lo)) }
}

/// The larger of two, without a `max` where the ranges decide.
pub fn max(a: &Dim, b: &Dim, s: &Symbols) -> Dim {
    let d = difference(a, b, s);
    if d.lo >= 0 {
        a.clone()
    } else if d.hi <= 0 {
        b.clone()
    } else {
        a.max_of(b)
    }
}

/// The smaller of two, without a `min` where the ranges decide.
pub fn min(a: &Dim, b: &Dim, s: &Symbols) -> Dim {
    let d = difference(a, b, s);
    if d.lo >= 0 {
        b.clone()
    } else if d.hi <= 0 {
        a.clone()
    } else {
        a.min_of(b)
    }
}
