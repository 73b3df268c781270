//! Reductions as `linalg.reduce`, and what is made of them: softmax and the normalisations. Narrow floats are computed in f32 and
//! rounded once.

use beiming_ir::ops::{NormKind, ReduceOp};
use beiming_ir::types::DType;

use crate::build::{Builder, Val, Why, element};
use crate::elementwise::wide;
use crate::shape::{broadcast, reshape};

/// The op that joins two elements.
fn combiner(op: ReduceOp, d: DType) -> &'static str {
    use ReduceOp::*;
    let (float, signed) = (d.is_float(), d.is_signed_int());
    match op {
        Sum | Mean if float => "arith.addf",
        Sum | Mean => "arith.addi",
        Prod if float => "arith.mulf",
        Prod => "arith.muli",
        Max if float => "arith.maximumf",
        Min if float => "arith.minimumf",
        Max | Any if d == DType::Bool => "arith.ori",
        Min | All if d == DType::Bool => "arith.andi",
        Max if signed => "arith.maxsi",
        Min if signed => "arith.minsi",
        Max | Any => "arith.maxui",
        Min | All => "arith.minui",
    }
}

/// `x` reduced over `axes`, which stay as axes of one element where `keep` says so.
pub fn reduce<'c, 'b>(
    b: &Builder<'c, 'b>,
    op: ReduceOp,
    x: &Val<'c, 'b>,
    axes: &[usize],
    keep: bool,
) -> Result<Val<'c, 'b>, Why> {
    let run = |x: &Val<'c, 'b>| -> Result<Val<'c, 'b>, Why> {
        let shape: Vec<usize> = (0..x.shape.len()).filter(|a| !axes.contains(a)).map(|a| x.shape[a]).collect();
        let init = b.fill(x.dtype, &shape, op.identity(x.dtype))?;
        let ty = element(b.context, x.dtype)?;
        let name = combiner(op, x.dtype);
        let region = b.region(&[ty, ty], |b, a| {
            let joined = b.op(name, &[a[0], a[1]], Some(ty), &[], vec![])?;
            b.yield_(joined.ok_or_else(|| format!("{name} has no result"))?)
        })?;
        let dimensions = b.i64s(axes.iter().map(|&a| a as i64));
        let sum = b.make("linalg.reduce", &[x, &init], x.dtype, &shape, &[("dimensions", dimensions)], vec![region])?;
        if op != ReduceOp::Mean {
            return Ok(sum);
        }
        let count: usize = axes.iter().map(|&a| x.shape[a]).product();
        b.map("arith.divf", &[&sum, &b.real(&sum, count as f64)?], sum.dtype)
    };
    let result = if axes.is_empty() {
        x.clone()
    } else if x.dtype.is_float() {
        wide(b, x, run)?
    } else {
        run(x)?
    };
    if !keep {
        return Ok(result);
    }
    let kept: Vec<usize> = x.shape.iter().enumerate().map(|(a, &d)| if axes.contains(&a) { 1 } else { d }).collect();
    reshape(b, &result, &kept)
}

/// A reduction over `axes`, spread over them again.
fn spread<'c, 'b>(b: &Builder<'c, 'b>, op: ReduceOp, x: &Val<'c, 'b>, axes: &[usize]) -> Result<Val<'c, 'b>, Why> {
    broadcast(b, &reduce(b, op, x, axes, true)?, &x.shape)
}

/// `exp(x - max) / sum` along an axis, or its logarithm.
pub fn softmax<'c, 'b>(b: &Builder<'c, 'b>, x: &Val<'c, 'b>, axis: usize, log: bool) -> Result<Val<'c, 'b>, Why> {
    wide(b, x, |x| {
        let d = x.dtype;
        let centred = b.map("arith.subf", &[x, &spread(b, ReduceOp::Max, x, &[axis])?], d)?;
        let e = b.map("math.exp", &[&centred], d)?;
        if !log {
            return b.map("arith.divf", &[&e, &spread(b, ReduceOp::Sum, &e, &[axis])?], d);
        }
        let sum = b.map("math.log", &[&reduce(b, ReduceOp::Sum, &e, &[axis], true)?], d)?;
        b.map("arith.subf", &[&centred, &broadcast(b, &sum, &x.shape)?], d)
    })
}

/// A normalisation over the axes from `axis` on.
pub fn norm<'c, 'b>(b: &Builder<'c, 'b>, x: &Val<'c, 'b>, kind: NormKind, axis: usize, eps: f64) -> Result<Val<'c, 'b>, Why> {
    wide(b, x, |x| {
        let (d, axes) = (x.dtype, (axis..x.shape.len()).collect::<Vec<_>>());
        let x = &match kind {
            NormKind::Layer => b.map("arith.subf", &[x, &spread(b, ReduceOp::Mean, x, &axes)?], d)?,
            NormKind::Rms => x.clone(),
        };
        let square = b.map("arith.mulf", &[x, x], d)?;
        let mean = reduce(b, ReduceOp::Mean, &square, &axes, true)?;
        let scale = b.map("math.sqrt", &[&b.map("arith.addf", &[&mean, &b.real(&mean, eps)?], d)?], d)?;
        b.map("arith.divf", &[x, &broadcast(b, &scale, &x.shape)?], d)
    })
}
