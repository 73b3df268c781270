//! Discrete Fourier transforms as products with the matrix of the roots of unity: exact to rounding, and quick for the frame lengths of
//! speech and sound. The length must be known.

use beiming_ir::ops::{BinaryOp, Op};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim};

use super::super::node::{Cx, R, axis_of, bad_arguments, unsupported};
use super::super::tensor;
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] =
    &[row("DFT", &[17, 20], 3, dft), row("STFT", &[17], 4, stft), row("MelWeightMatrix", &[17], 5, mel_weights)];

/// Most elements of a matrix of roots.
const MAX_MATRIX: usize = 1 << 24;

/// Cosine and sine of `2 pi n k / length`, for `rows` values of n and `columns` of k, times `factor` of k.
fn roots(
    cx: &mut Cx<'_, '_>,
    dtype: DType,
    length: usize,
    [rows, columns]: [usize; 2],
    factor: impl Fn(usize) -> f64,
) -> R<[V; 2]> {
    if rows.saturating_mul(columns) > MAX_MATRIX {
        return unsupported(format!("a transform of length {length}: its matrix has more than {MAX_MATRIX} elements"));
    }
    let table = |f: fn(f64) -> f64| {
        let at = |i: usize| {
            // Whole turns are taken away before the angle is rounded.
            let (n, k) = (i / columns.max(1), i % columns.max(1));
            let turn = (n * k % length.max(1)) as f64 / length.max(1) as f64;
            Num::Float(f(2.0 * std::f64::consts::PI * turn) * factor(n))
        };
        Tensor::build(dtype, &[rows, columns], at)
    };
    Ok([cx.constant(table(libm::cos)), cx.constant(table(libm::sin))])
}

/// The transform along `axis` of data whose last axis holds one part or two. `length`: zeros are put behind the data or its end is cut
/// off.
fn transform(cx: &mut Cx<'_, '_>, x: V, axis: usize, length: Option<usize>, inverse: bool, onesided: bool) -> R {
    let (dtype, rank) = (cx.dtype(x), cx.rank(x));
    let parts = cx.extent(x, rank - 1, "the number of parts")?;
    if !dtype.is_float() || !(1..=2).contains(&parts) || axis + 1 >= rank {
        return bad_arguments(format!("{} has no real or complex numbers along axis {axis}", cx.ty(x)));
    }
    let extent = cx.extent(x, axis, "the extent that is transformed")?;
    let to_real = inverse && onesided;
    let length = length.unwrap_or(if to_real { 2 * extent.saturating_sub(1) } else { extent });
    if length == 0 {
        return bad_arguments("a transform of no elements");
    }
    // The axis in front of the parts, then the parts in front of it.
    let mut perm: Vec<usize> = (0..rank).filter(|a| *a != axis && *a + 1 != rank).collect();
    perm.extend([rank - 1, axis]);
    let mut t = cx.transpose(x, perm.clone())?;
    let used = if to_real { length / 2 + 1 } else { length };
    let given = extent.min(used);
    t = cx.slice_axis(t, rank - 1, 0.into(), given.into())?;
    let mut pieces = vec![];
    for p in 0..parts {
        pieces.push(cx.slice_axis(t, rank - 2, p.into(), 1.into())?);
    }
    let columns = if onesided && !inverse { length / 2 + 1 } else { length };
    let scale = if inverse { 1.0 / length as f64 } else { 1.0 };
    // Of a transform to real numbers every frequency but the first and, of an even length, the last stands for two.
    let factor = |n: usize| if to_real && n != 0 && 2 * n != length { 2.0 * scale } else { scale };
    let [cos, sin] = roots(cx, dtype, length, [given, columns], factor)?;
    let times = |cx: &mut Cx<'_, '_>, x: V, m: V| cx.emit(Op::MatMul { out: dtype }, &[x, m]);
    let zero = cx.scalar(dtype, 0.0);
    // Forward turns are clockwise.
    let (plus, minus) = if inverse { (BinaryOp::Sub, BinaryOp::Add) } else { (BinaryOp::Add, BinaryOp::Sub) };
    let (rc, rs) = (times(cx, pieces[0], cos)?, times(cx, pieces[0], sin)?);
    let (re, im) = match pieces.get(1) {
        Some(i) => {
            let (ic, is) = (times(cx, *i, cos)?, times(cx, *i, sin)?);
            (cx.binary(plus, rc, is)?, cx.binary(minus, ic, rs)?)
        }
        None => (rc, cx.binary(minus, zero, rs)?),
    };
    let y = if to_real { re } else { cx.concat(&[re, im], rank - 2)? };
    let mut back = vec![0; rank];
    perm.iter().enumerate().for_each(|(i, p)| back[*p] = i);
    cx.transpose(y, back)
}

fn known(cx: &Cx<'_, '_>, i: usize) -> R<Option<i64>> {
    match cx.opt(i) {
        Some(_) => match cx.ints(i)?.as_slice() {
            [n] => Ok(Some(*n)),
            n => bad_arguments(format!("its input {i} must hold one element, not {}", n.len())),
        },
        None => Ok(None),
    }
}

fn dft(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let length = match known(cx, 1)? {
        Some(n) if n < 1 => return bad_arguments(format!("its length is {n}")),
        n => n.map(|n| n as usize),
    };
    let axis = if cx.since >= 20 { known(cx, 2)?.unwrap_or(-2) } else { cx.int("axis", 1)? };
    let axis = axis_of(axis, cx.rank(x))?;
    let (inverse, onesided) = (cx.flag("inverse", false)?, cx.flag("onesided", false)?);
    Ok(vec![transform(cx, x, axis, length, inverse, onesided)?])
}

/// Frames of the signal `[B, L, 1 or 2]`, weighed and transformed: `[B, frames, bins, 2]`.
fn stft(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let signal = cx.input(0)?;
    if cx.rank(signal) != 3 {
        return bad_arguments(format!("its signal is {}, expected [batch, length, 1 or 2]", cx.ty(signal)));
    }
    let dtype = cx.dtype(signal);
    let step = known(cx, 1)?;
    let frame = match (known(cx, 3)?, cx.opt(2)) {
        (Some(n), _) => usize::try_from(n).unwrap_or(0),
        (None, Some(w)) => cx.extent(w, 0, "the length of the window")?,
        (None, None) => return bad_arguments("it has neither a window nor the length of a frame"),
    };
    let length = cx.extent(signal, 1, "the length of the signal")?;
    let Some(step) = step.and_then(|s| usize::try_from(s).ok()).filter(|s| *s > 0) else {
        return bad_arguments("its step must be a positive number");
    };
    if frame == 0 || frame > length {
        return bad_arguments(format!("frames of {frame} elements of a signal of {length}"));
    }
    let frames = (length - frame) / step + 1;
    let at: Vec<i64> = (0..frames).flat_map(|f| (0..frame).map(move |i| (f * step + i) as i64)).collect();
    let at = cx.constant(Tensor::i64(&[frames, frame], &at));
    let mut x = cx.emit(Op::Gather { axis: 1 }, &[signal, at])?;
    if let Some(w) = cx.opt(2) {
        let w = cx.cast(w, dtype)?;
        let w = cx.reshape(w, vec![Dim::from(1), 1.into(), frame.into(), 1.into()])?;
        x = cx.binary(BinaryOp::Mul, x, w)?;
    }
    let onesided = cx.flag("onesided", true)?;
    Ok(vec![transform(cx, x, 2, None, false, onesided)?])
}

/// The weights that take a spectrum `[.., bins]` to bands of equal width on the mel scale, `[bins, bands]`: each is a triangle over the
/// frequencies between the middles of its neighbours. All inputs must be known.
fn mel_weights(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let one = |i: usize| -> R<f64> {
        match cx.floats_in(i)?.as_slice() {
            [v] if v.is_finite() => Ok(*v),
            v => bad_arguments(format!("its input {i} must hold one number, not {v:?}")),
        }
    };
    let (bands, length, rate, low, high) = (one(0)?, one(1)?, one(2)?, one(3)?, one(4)?);
    let bins = (length / 2.0).floor() + 1.0;
    if bands < 1.0 || length < 1.0 || rate <= 0.0 || low < 0.0 || high < low || bands * bins > MAX_MATRIX as f64 {
        return bad_arguments(format!("{bands} bands from {low} to {high} Hz, of {length} samples at {rate} Hz"));
    }
    let mel = |hertz: f64| 2595.0 * libm::log1p(hertz / 700.0) / std::f64::consts::LN_10;
    let step = (mel(high) - mel(low)) / (bands + 2.0);
    let edge = |i: usize| {
        let hertz = 700.0 * libm::expm1((i as f64 * step + mel(low)) / 2595.0 * std::f64::consts::LN_10);
        ((length + 1.0) * hertz / rate).floor()
    };
    let (bands, bins) = (bands as usize, bins as usize);
    let edges: Vec<f64> = (0..bands + 2).map(edge).collect();
    let weight = |at: usize| {
        let (bin, band) = ((at / bands) as f64, at % bands);
        let (left, middle, right) = (edges[band], edges[band + 1], edges[band + 2]);
        Num::Float(if bin >= middle && bin < right {
            (right - bin) / (right - middle)
        } else if bin == middle {
            1.0
        } else if bin >= left && bin < middle {
            (bin - left) / (middle - left)
        } else {
            0.0
        })
    };
    let dtype = tensor::dtype(i32::try_from(cx.int("output_datatype", 1)?).unwrap_or(-1))?;
    Ok(vec![cx.constant(Tensor::build(dtype, &[bins, bands], weight))])
}
