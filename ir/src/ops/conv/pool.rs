//! Window reductions.

use super::window::{Axis, axes, coordinates, known_shape, source};
use super::{Pool, PoolKind, axis_rules, window_extent};
use crate::eval::EvalError;
use crate::graph::Graph;
use crate::num::lowest;
use crate::ops::elementwise::max;
use crate::ops::infer::arity;
use crate::ops::{InferError, MAX_ELEMENTS};
use crate::tensor::{Num, Tensor};
use crate::types::{Dim, TensorType};

/// Result type of [`Pool`].
pub(in crate::ops) fn infer_pool(p: &Pool, inputs: &[&TensorType], _g: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 1)?;
    let data = inputs[0];
    let taken = data.dtype.is_float() || (p.kind == PoolKind::Max && data.dtype.is_int());
    InferError::check(taken, || format!("takes floats, and integers for the maximum, got {data}"))?;
    if let PoolKind::Lp { p } = p.kind {
        InferError::check(p.get() > 0.0 && p.get().is_finite(), || format!("the exponent {p:?} is not a positive number"))?;
    }
    let rules = axis_rules(data, &p.strides, &p.dilations, &p.pads)?;
    InferError::check(
        p.window.len() == rules.len() && p.window.iter().all(|k| (1..=MAX_ELEMENTS).contains(&(*k as u64))),
        || format!("needs {} window extents in 1..=2^48, got {:?}", rules.len(), p.window),
    )?;
    let mut shape = data.shape.clone();
    for (i, a) in rules.iter().enumerate() {
        let (s, k) = (&data.shape[i + 1], p.window[i] as i64);
        shape[i + 1] = if p.ceil {
            // The smaller of ceil((S + lo + hi - dilation*(K-1) - 1) / stride) + 1 and the number of windows that start before
            // the end of the data, ceil((S + lo) / stride): the same rounding of two sums that differ by a number.
            let past = a.hi.saturating_sub(a.dilation.saturating_mul(k - 1)) - 1 + a.stride;
            (s.clone() + Dim::from(a.lo.saturating_add(past.min(0)))).ceil_div(&Dim::from(a.stride))
        } else {
            window_extent(s, &Dim::from(k), a)
        };
    }
    Ok(vec![TensorType { dtype: data.dtype, shape }])
}

/// Result of [`Pool`].
pub(crate) fn eval_pool(p: &Pool, args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    let [x] = args else { return EvalError::fail("takes 1 argument") };
    let shape = known_shape(infer_pool(p, &[&x.ty()], &Graph::default()))?;
    let axes = axes(&x.shape, &shape, &p.window, (&p.strides, &p.dilations), &p.pads);
    let batch_and_channels = (shape[0], shape[shape.len() - 1]);
    if !x.dtype.is_float() {
        let data: Vec<i128> = (0..x.len()).map(|i| x.get(i).to_i128()).collect();
        let out = fold(&data, batch_and_channels, &axes, lowest(x.dtype).to_i128(), i128::max, |_, _| {});
        return Ok(vec![Tensor::build(x.dtype, &shape, |i| Num::Int(out[i]))]);
    }
    let data = x.to_f64();
    let out = match p.kind {
        PoolKind::Max => fold(&data, batch_and_channels, &axes, lowest(x.dtype).to_f64(), max, |_, _| {}),
        PoolKind::Avg { padded } => fold(
            &data,
            batch_and_channels,
            &axes,
            0.0,
            |a, b| a + b,
            |sums, o| {
                let count = count(&axes, o, padded) as f64;
                sums.iter_mut().for_each(|s| *s /= count);
            },
        ),
        PoolKind::Lp { p } => {
            let p = p.get();
            fold(
                &data,
                batch_and_channels,
                &axes,
                0.0,
                |a, b| a + libm::pow(b.abs(), p),
                |sums, _| {
                    sums.iter_mut().for_each(|s| *s = libm::pow(*s, 1.0 / p));
                },
            )
        }
    };
    Ok(vec![Tensor::from_f64(x.dtype, &shape, &out)])
}

/// Elements an average divides by: taps in range, or taps within the padded range.
fn count(axes: &[Axis; 3], o: [usize; 3], padded: bool) -> usize {
    let taps = |(a, o): (&Axis, usize)| {
        let end = a.input as i64 + a.hi;
        (0..a.window).filter(|&t| if padded { a.coordinate(o, t) < end } else { a.source(o, t).is_some() }).count()
    };
    axes.iter().zip(o).map(taps).product()
}

/// Folds the elements in range of every window, channel by channel; `finish` gets the channels of one window.
fn fold<T: Copy>(
    x: &[T],
    (batch, channels): (usize, usize),
    axes: &[Axis; 3],
    start: T,
    f: impl Fn(T, T) -> T,
    finish: impl Fn(&mut [T], [usize; 3]),
) -> Vec<T> {
    let (window, output) = (axes.map(|a| a.window), axes.map(|a| a.output));
    let points: usize = axes.iter().map(|a| a.input).product();
    let mut out = vec![start; batch * output.iter().product::<usize>() * channels];
    if out.is_empty() {
        return out;
    }
    let windows = (0..batch).flat_map(|n| coordinates(output).map(move |o| (n, o)));
    for ((n, o), out) in windows.zip(out.chunks_exact_mut(channels)) {
        for p in coordinates(window).filter_map(|t| source(axes, o, t)) {
            for (out, x) in out.iter_mut().zip(&x[(n * points + p) * channels..][..channels]) {
                *out = f(*out, *x);
            }
        }
        finish(out, o);
    }
    out
}
