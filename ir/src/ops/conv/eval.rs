//! Convolutions on known extents. Floats accumulate in `f64` and are rounded once; integers accumulate modulo 2^64.

use super::window::{Axis, axes, coordinates, flat, known_shape, source};
use super::{Conv, ConvTranspose, infer_conv, infer_conv_transpose};
use crate::eval::EvalError;
use crate::graph::Graph;
use crate::ops::matmul::{accumulate, wrapping};
use crate::tensor::{Num, Tensor};

/// Result of [`Conv`].
pub(crate) fn eval_conv(p: &Conv, args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    let [x, w] = args else { return EvalError::fail("takes 2 arguments") };
    let shape = known_shape(infer_conv(p, &[&x.ty(), &w.ty()], &Graph::default()))?;
    let axes = axes(&x.shape, &shape, &w.shape, (&p.strides, &p.dilations), &p.pads);
    let problem = Problem::new(axes, &x.shape, &shape, p.groups);
    if x.dtype.is_float() {
        let out = convolve(&x.to_f64(), &w.to_f64(), &problem, 0.0, |c, a, b| c + a * b);
        return Ok(vec![Tensor::from_f64(x.dtype, &shape, &out)]);
    }
    let out = convolve(&x.to_i64(), &w.to_i64(), &problem, 0, wrapping);
    Ok(vec![Tensor::build(x.dtype, &shape, |i| Num::Int(out[i].into()))])
}

/// Extents of a convolution.
struct Problem {
    axes: [Axis; 3],
    batch: usize,
    channels: usize,
    out_channels: usize,
    groups: usize,
}

impl Problem {
    fn new(axes: [Axis; 3], data: &[usize], result: &[usize], groups: usize) -> Problem {
        Problem { axes, batch: data[0], channels: data[data.len() - 1], out_channels: result[result.len() - 1], groups }
    }
}

/// Windows a block of [`convolve`] goes over.
const BLOCK: usize = 64;

/// Gathers a block of windows and multiplies them with the weight, group by group: a product adds taps, then channels, in order.
fn convolve<T: Copy>(x: &[T], w: &[T], p: &Problem, zero: T, mad: impl Fn(T, T, T) -> T + Copy) -> Vec<T> {
    let Problem { ref axes, batch, channels, out_channels, groups } = *p;
    let (cg, og) = (channels / groups, out_channels / groups);
    let (window, input, output) = (axes.map(|a| a.window), axes.map(|a| a.input), axes.map(|a| a.output));
    let (taps, points) = (window.iter().product::<usize>(), input.iter().product::<usize>());
    let mut out = vec![zero; batch * output.iter().product::<usize>() * out_channels];
    if out.is_empty() {
        return out;
    }
    let windows: Vec<[usize; 3]> = coordinates(output).collect();
    let depthwise = cg == 1 && og == 1;
    // Weight by group: [groups][taps * cg][og].
    let depth = taps * cg;
    let mut by_group = Vec::with_capacity(w.len());
    for g in 0..groups {
        (0..depth).for_each(|k| by_group.extend_from_slice(&w[k * out_channels + g * og..][..og]));
    }
    let mut patches = vec![zero; if depthwise { 0 } else { BLOCK * groups * depth }];
    let mut sums = vec![zero; BLOCK * og];
    for n in 0..batch {
        let x = &x[n * points * channels..(n + 1) * points * channels];
        let out = &mut out[n * windows.len() * out_channels..(n + 1) * windows.len() * out_channels];
        for (block, out) in windows.chunks(BLOCK).zip(out.chunks_mut(BLOCK * out_channels)) {
            if depthwise {
                for (o, out) in block.iter().zip(out.chunks_exact_mut(channels)) {
                    for (t, w) in coordinates(window).zip(w.chunks_exact(channels)) {
                        let x = source(axes, *o, t).map(|p| &x[p * channels..][..channels]);
                        for c in 0..channels {
                            out[c] = mad(out[c], x.map_or(zero, |x| x[c]), w[c]);
                        }
                    }
                }
                continue;
            }
            let rows = block.len();
            for (r, o) in block.iter().enumerate() {
                for (k, t) in coordinates(window).enumerate() {
                    let from = source(axes, *o, t);
                    for g in 0..groups {
                        let to = &mut patches[(g * rows + r) * depth + k * cg..][..cg];
                        match from {
                            Some(p) => to.copy_from_slice(&x[p * channels + g * cg..][..cg]),
                            None => to.fill(zero),
                        }
                    }
                }
            }
            for g in 0..groups {
                let sums = &mut sums[..rows * og];
                sums.fill(zero);
                accumulate(
                    sums,
                    &patches[g * rows * depth..][..rows * depth],
                    &by_group[g * depth * og..][..depth * og],
                    [rows, depth, og],
                    mad,
                );
                for (out, sum) in out.chunks_exact_mut(out_channels).zip(sums.chunks_exact(og)) {
                    out[g * og..(g + 1) * og].copy_from_slice(sum);
                }
            }
        }
    }
    out
}

/// Result of [`ConvTranspose`].
pub(crate) fn eval_conv_transpose(p: &ConvTranspose, args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    let [x, w] = args else { return EvalError::fail("takes 2 arguments") };
    let shape = known_shape(infer_conv_transpose(p, &[&x.ty(), &w.ty()], &Graph::default()))?;
    let axes = axes(&x.shape, &shape, &w.shape, (&p.strides, &p.dilations), &p.pads);
    let problem = Problem::new(axes, &x.shape, &shape, p.groups);
    if x.dtype.is_float() {
        let out = scatter(&x.to_f64(), &w.to_f64(), &problem, 0.0, |c, a, b| c + a * b);
        return Ok(vec![Tensor::from_f64(x.dtype, &shape, &out)]);
    }
    let out = scatter(&x.to_i64(), &w.to_i64(), &problem, 0, wrapping);
    Ok(vec![Tensor::build(x.dtype, &shape, |i| Num::Int(out[i].into()))])
}

/// Adds every data element, times the weight of every tap, to the result element the tap is over.
fn scatter<T: Copy>(x: &[T], w: &[T], p: &Problem, zero: T, mad: impl Fn(T, T, T) -> T + Copy) -> Vec<T> {
    let Problem { ref axes, batch, channels, out_channels, groups } = *p;
    let (cg, og) = (channels / groups, out_channels / groups);
    let (window, input, output) = (axes.map(|a| a.window), axes.map(|a| a.input), axes.map(|a| a.output));
    let points: usize = output.iter().product();
    let mut out = vec![zero; batch * output.iter().product::<usize>() * out_channels];
    for n in 0..batch {
        for i in coordinates(input) {
            let x = &x[(n * input.iter().product::<usize>() + flat(i, input)) * channels..][..channels];
            for (k, t) in coordinates(window).enumerate() {
                // The window of result elements around a data element is where a convolution of the same numbers reads.
                let at = [0, 1, 2].map(|a| axes[a].coordinate(i[a], t[a]));
                if (0..3).any(|a| !(0..output[a] as i64).contains(&at[a])) {
                    continue;
                }
                let to = n * points + flat(at.map(|v| v as usize), output);
                for g in 0..groups {
                    let c = &mut out[to * out_channels + g * og..][..og];
                    accumulate(c, &x[g * cg..][..cg], &w[(k * channels + g * cg) * og..][..cg * og], [1, cg, og], mad);
                }
            }
        }
    }
    out
}
