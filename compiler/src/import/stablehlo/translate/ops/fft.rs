//! Fourier transforms of any length, as matrix products.
//!
//! A length is split into factors (Cooley and Tukey): transforms of small length are products with a constant matrix, between
//! them stand twiddle factors and transpositions. A large prime length becomes a convolution of a length that is a power of two
//! (Bluestein). Tables are made in `f64` from angles reduced by integer arithmetic.

use std::f64::consts::PI;

use beiming_ir::ops::{BinaryOp, Op, PadMode};
use beiming_ir::tensor::Tensor;
use beiming_ir::types::{DType, Dim};

use super::super::cx::Cx;
use super::super::value::Val;
use super::complex::planes;
use super::{Row, any};
use crate::import::build::Build;
use crate::import::fail::{R, bad_arguments, bad_attribute};
use crate::import::frame::V;

pub const OPS: &[Row] = &[any("stablehlo.fft", fft)];

/// Lengths up to this are one matrix product.
const DIRECT: usize = 32;
/// Prime lengths up to this are one matrix product too.
const DIRECT_PRIME: usize = 256;
/// Longest transform: its tables are constants of the program.
const LONGEST: usize = 1 << 22;

/// Real and imaginary part, `[batch, n]`.
type Planes = (V, V);

fn fft(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let lengths = cx.ints("fft_length")?;
    let kind = cx.text("fft_type")?;
    let shape = cx.shape_of(&cx.val(0)?)?;
    let (rank, count) = (shape.len(), lengths.len());
    if count == 0 || count > rank {
        return bad_attribute(format!("`fft_length` has {count} axes for an argument of rank {rank}"));
    }
    let lengths: Vec<usize> = super::super::cx::amounts("fft_length", &lengths, 0)?;
    if let Some(n) = lengths.iter().find(|n| **n > LONGEST) {
        return crate::import::fail::unsupported(format!("a transform of length {n}, above {LONGEST}"));
    }
    let (inverse, real) = match kind {
        "FFT" => (false, false),
        "IFFT" => (true, false),
        "RFFT" => (false, true),
        "IRFFT" => (true, true),
        other => return bad_attribute(format!("transform `{other}`; allowed are FFT, IFFT, RFFT, IRFFT")),
    };
    if shape.iter().any(|d| d.is(0)) {
        return empty(cx, real && inverse);
    }
    let mut z = planes(cx, 0)?;
    // Narrow parts are transformed with 64 bits and rounded once.
    let own = cx.dtype(z.0);
    z = (cx.cast(z.0, DType::F64)?, cx.cast(z.1, DType::F64)?);
    let first = rank - count;
    let last = rank - 1;
    let (outer, inner) = lengths.split_at(count - 1);
    if real && !inverse {
        z = along(cx, z, last, inner[0], false)?;
        let half = Dim::Known(inner[0] as i64 / 2 + i64::from(inner[0] > 0));
        z = (cx.slice_axis(z.0, last, 0.into(), half.clone())?, cx.slice_axis(z.1, last, 0.into(), half)?);
    }
    for (i, n) in outer.iter().enumerate() {
        z = along(cx, z, first + i, *n, inverse)?;
    }
    if real && inverse {
        z = mirrored(cx, z, last, inner[0])?;
    }
    if !real || inverse {
        z = along(cx, z, last, inner[0], inverse)?;
    }
    let (re, im) = (cx.cast(z.0, own)?, cx.cast(z.1, own)?);
    Ok(vec![if real && inverse { Val::Plain(re) } else { Val::Complex(re, im) }])
}

/// The transform of nothing.
fn empty(cx: &mut Cx<'_, '_>, real: bool) -> R<Vec<Val>> {
    let (dtype, shape) = (cx.result_dtype(0)?, cx.static_result(0)?);
    let zero = cx.scalar(dtype, 0.0);
    let v = cx.broadcast(zero, shape)?;
    Ok(vec![if real { Val::Plain(v) } else { Val::Complex(v, v) }])
}

/// All `n` coefficients of a real signal from the first half of them: the others are conjugates in reverse order.
fn mirrored(cx: &mut Cx<'_, '_>, (re, im): Planes, axis: usize, n: usize) -> R<Planes> {
    let have = cx.extent(re, axis, "the number of coefficients")?;
    if have != n / 2 + usize::from(n > 0) {
        return bad_arguments(format!("{have} coefficients of a real signal of length {n}, which has {}", n / 2 + 1));
    }
    if n < 3 {
        return Ok((re, im));
    }
    let rest = Dim::Known((n - have) as i64);
    let mut tail = |v: V| {
        let v = cx.slice_axis(v, axis, 1.into(), rest.clone())?;
        cx.emit(Op::Reverse { axes: vec![axis] }, &[v])
    };
    let (tail_re, tail_im) = (tail(re)?, tail(im)?);
    let tail_im = cx.unary(beiming_ir::ops::UnaryOp::Neg, tail_im)?;
    Ok((cx.concat(&[re, tail_re], axis)?, cx.concat(&[im, tail_im], axis)?))
}

/// The transform along one axis of extent `n`; the inverse one is divided by `n`.
fn along(cx: &mut Cx<'_, '_>, z: Planes, axis: usize, n: usize, inverse: bool) -> R<Planes> {
    let shape = cx.shape(z.0);
    if !shape[axis].is(n as i64) {
        return bad_arguments(format!("axis {axis} has extent {}, but the transform is of length {n}", shape[axis]));
    }
    if n < 2 {
        return Ok(z);
    }
    let last = shape.len() - 1;
    let mut perm: Vec<usize> = (0..shape.len()).collect();
    perm.swap(axis, last);
    let moved: Vec<Dim> = perm.iter().map(|i| shape[*i].clone()).collect();
    let batch = moved[..last].iter().fold(Dim::Known(1), |a, d| a * d.clone());
    let flat = vec![batch, Dim::Known(n as i64)];
    let mut flatten = |v: V| {
        let v = cx.transpose(v, perm.clone())?;
        cx.reshape(v, flat.clone())
    };
    let z = (flatten(z.0)?, flatten(z.1)?);
    let z = transform(cx, z, n, inverse)?;
    let scale = 1.0 / n as f64;
    let mut back = |v: V| {
        let v = if inverse { cx.with(BinaryOp::Mul, v, scale)? } else { v };
        let v = cx.reshape(v, moved.clone())?;
        cx.transpose(v, perm.clone())
    };
    Ok((back(z.0)?, back(z.1)?))
}

/// `exp(-+2 pi i k / n)`; the angle is brought within an eighth turn by integers, so that the table has its symmetries exactly.
fn root(k: usize, n: usize, inverse: bool) -> (f64, f64) {
    let k = k % n;
    // Eighths of a turn that are whole, and what remains, in units of 1 / (8 n).
    let (octant, rest) = (8 * k / n, 8 * k % n);
    let (part, swap) = if octant % 2 == 0 { (rest, false) } else { (n - rest, true) };
    let angle = PI / 4.0 * part as f64 / n as f64;
    let (s, c) = (libm::sin(angle), libm::cos(angle));
    let (c, s) = if swap { (s, c) } else { (c, s) };
    let (c, s) = match octant / 2 {
        0 => (c, s),
        1 => (-s, c),
        2 => (-c, -s),
        _ => (s, -c),
    };
    (c, if inverse { s } else { -s })
}

/// Smallest and largest divisor worth splitting off: the largest up to [`DIRECT`].
fn factor(n: usize) -> Option<usize> {
    (2..=DIRECT).rev().find(|d| n.is_multiple_of(*d) && *d < n)
}

/// The unscaled transform of the rows of `[batch, n]`.
fn transform(cx: &mut Cx<'_, '_>, z: Planes, n: usize, inverse: bool) -> R<Planes> {
    if n <= DIRECT {
        return direct(cx, z, n, inverse);
    }
    match factor(n) {
        Some(a) => split(cx, z, a, n / a, inverse),
        None if n <= DIRECT_PRIME => direct(cx, z, n, inverse),
        None => bluestein(cx, z, n, inverse),
    }
}

/// A product of `[re | im]` with the matrix of the transform.
fn direct(cx: &mut Cx<'_, '_>, (re, im): Planes, n: usize, inverse: bool) -> R<Planes> {
    let mut m = vec![0.0; 4 * n * n];
    for (j, k) in (0..n).flat_map(|j| (0..n).map(move |k| (j, k))) {
        let (c, s) = root(j * k, n, inverse);
        m[j * 2 * n + k] = c;
        m[j * 2 * n + n + k] = s;
        m[(n + j) * 2 * n + k] = -s;
        m[(n + j) * 2 * n + n + k] = c;
    }
    let m = cx.constant(Tensor::from_f64(DType::F64, &[2 * n, 2 * n], &m));
    let both = cx.concat(&[re, im], 1)?;
    let y = cx.emit(Op::MatMul { out: DType::F64 }, &[both, m])?;
    let len = Dim::Known(n as i64);
    Ok((cx.slice_axis(y, 1, 0.into(), len.clone())?, cx.slice_axis(y, 1, len.clone(), len)?))
}

/// The product of two complex tensors, of which the second is a table.
fn twiddled(cx: &mut Cx<'_, '_>, (re, im): Planes, table: Planes) -> R<Planes> {
    let mut times = |x: V, y: V| cx.binary(BinaryOp::Mul, x, y);
    let (rr, ii, ri, ir) = (times(re, table.0)?, times(im, table.1)?, times(re, table.1)?, times(im, table.0)?);
    Ok((cx.binary(BinaryOp::Sub, rr, ii)?, cx.binary(BinaryOp::Add, ri, ir)?))
}

/// A table of roots of unity.
fn table(cx: &mut Cx<'_, '_>, shape: &[usize], f: impl Fn(usize) -> (f64, f64)) -> Planes {
    let v: Vec<(f64, f64)> = (0..shape.iter().product()).map(f).collect();
    let (re, im): (Vec<f64>, Vec<f64>) = v.into_iter().unzip();
    (cx.constant(Tensor::from_f64(DType::F64, shape, &re)), cx.constant(Tensor::from_f64(DType::F64, shape, &im)))
}

/// `n = a b`: transforms of length `a` of every b-th element, twiddles, transforms of length `b`.
fn split(cx: &mut Cx<'_, '_>, z: Planes, a: usize, b: usize, inverse: bool) -> R<Planes> {
    let n = a * b;
    let batch = cx.shape(z.0)[0].clone();
    let (da, db) = (Dim::Known(a as i64), Dim::Known(b as i64));
    let mut shaped = |z: Planes, shape: Vec<Dim>, perm: Vec<usize>, flat: Vec<Dim>| -> R<Planes> {
        let mut one = |v: V| {
            let v = cx.reshape(v, shape.clone())?;
            let v = cx.transpose(v, perm.clone())?;
            cx.reshape(v, flat.clone())
        };
        Ok((one(z.0)?, one(z.1)?))
    };
    let swap = vec![0, 2, 1];
    let rows = |outer: &Dim, inner: &Dim| vec![batch.clone() * outer.clone(), inner.clone()];
    let cube = |x: &Dim, y: &Dim| vec![batch.clone(), x.clone(), y.clone()];
    let z = shaped(z, cube(&da, &db), swap.clone(), rows(&db, &da))?;
    let z = transform(cx, z, a, inverse)?;
    let t = table(cx, &[b, a], |i| root((i / a) * (i % a), n, inverse));
    let z = (cx.reshape(z.0, cube(&db, &da))?, cx.reshape(z.1, cube(&db, &da))?);
    let z = twiddled(cx, z, t)?;
    let mut shaped = |z: Planes, shape: Vec<Dim>, flat: Vec<Dim>| -> R<Planes> {
        let mut one = |v: V| {
            let v = cx.reshape(v, shape.clone())?;
            let v = cx.transpose(v, swap.clone())?;
            cx.reshape(v, flat.clone())
        };
        Ok((one(z.0)?, one(z.1)?))
    };
    let z = shaped(z, cube(&db, &da), rows(&da, &db))?;
    let z = transform(cx, z, b, inverse)?;
    let mut shaped = |z: Planes| -> R<Planes> {
        let mut one = |v: V| {
            let v = cx.reshape(v, cube(&da, &db))?;
            let v = cx.transpose(v, vec![0, 2, 1])?;
            cx.reshape(v, vec![batch.clone(), Dim::Known(n as i64)])
        };
        Ok((one(z.0)?, one(z.1)?))
    };
    shaped(z)
}

/// A transform of any length as a convolution with a chirp, by transforms of a power of two.
fn bluestein(cx: &mut Cx<'_, '_>, z: Planes, n: usize, inverse: bool) -> R<Planes> {
    let m = (2 * n - 1).next_power_of_two();
    // exp(-+ pi i k^2 / n), with the square reduced modulo 2 n.
    let chirp = |k: usize| root(k * k % (2 * n), 2 * n, inverse);
    let t = table(cx, &[n], chirp);
    let z = twiddled(cx, z, t)?;
    let zero = cx.scalar(DType::F64, 0.0);
    let mut padded = |v: V| {
        let (lo, hi) = (vec![Dim::Known(0); 2], vec![Dim::Known(0), Dim::Known((m - n) as i64)]);
        cx.emit(Op::Pad { lo, hi, mode: PadMode::Constant }, &[v, zero])
    };
    let z = (padded(z.0)?, padded(z.1)?);
    let z = transform(cx, z, m, false)?;
    // The conjugate chirp, wrapped around; its transform is a constant that folding computes.
    let filter = table(cx, &[1, m], |k| {
        let k = if k < n { Some(k) } else { Some(m - k).filter(|k| *k < n) };
        k.map_or((0.0, 0.0), |k| (chirp(k).0, -chirp(k).1))
    });
    let filter = transform(cx, filter, m, false)?;
    let z = twiddled(cx, z, filter)?;
    let z = transform(cx, z, m, true)?;
    let len = Dim::Known(n as i64);
    let z = (cx.slice_axis(z.0, 1, 0.into(), len.clone())?, cx.slice_axis(z.1, 1, 0.into(), len)?);
    let z = (cx.with(BinaryOp::Mul, z.0, 1.0 / m as f64)?, cx.with(BinaryOp::Mul, z.1, 1.0 / m as f64)?);
    twiddled(cx, z, t)
}
