//! Normalisation over the batch: of a feature by given or by its own statistics, and its gradient.

use beiming_ir::ops::ReduceOp;
use beiming_ir::types::Dim;

use super::super::cx::Cx;
use super::super::math::{Ex, emit, value};
use super::super::value::Val;
use super::{Row, real};
use crate::import::build::Build;
use crate::import::fail::{R, bad_arguments};
use crate::import::frame::V;

pub const OPS: &[Row] = &[
    real("stablehlo.batch_norm_grad", grad),
    real("stablehlo.batch_norm_inference", inference),
    real("stablehlo.batch_norm_training", training),
];

/// The data and its features.
struct Features {
    x: V,
    axis: usize,
    epsilon: f64,
}

impl Features {
    fn of(cx: &Cx<'_, '_>) -> R<Features> {
        let x = cx.plain(0)?;
        let axis = cx.axis("feature_index", cx.rank(x))?;
        match cx.float_opt("epsilon")? {
            Some(epsilon) => Ok(Features { x, axis, epsilon }),
            None => bad_arguments("attribute `epsilon` is missing"),
        }
    }

    /// A vector of the features that broadcasts to the data.
    fn along(&self, cx: &mut Cx<'_, '_>, v: V) -> R<Ex> {
        let shape = cx.shape(v);
        let [features] = shape.as_slice() else {
            return bad_arguments(format!("a statistic of the features must be a vector, not of rank {}", shape.len()));
        };
        let mut wide = vec![Dim::from(1); cx.rank(self.x)];
        wide[self.axis] = features.clone();
        Ok(value(cx.reshape(v, wide)?))
    }

    /// The n-th argument, as [`Features::along`].
    fn argument(&self, cx: &mut Cx<'_, '_>, i: usize) -> R<Ex> {
        let v = cx.plain(i)?;
        self.along(cx, v)
    }

    /// A sum or mean over everything but the features: a vector.
    fn over(&self, cx: &mut Cx<'_, '_>, op: ReduceOp, e: &Ex) -> R {
        let v = emit(cx, &[e])?[0];
        let axes = (0..cx.rank(self.x)).filter(|a| *a != self.axis).collect();
        cx.reduce(op, v, axes, false)
    }

    /// The square root of a variance, kept away from zero.
    fn deviation(&self, variance: &Ex) -> Ex {
        (variance + self.epsilon).sqrt()
    }
}

/// `(x, scale, offset, mean, variance) -> (x - mean) / sqrt(variance + epsilon) * scale + offset`.
fn inference(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let f = Features::of(cx)?;
    let (scale, offset) = (f.argument(cx, 1)?, f.argument(cx, 2)?);
    let (mean, variance) = (f.argument(cx, 3)?, f.argument(cx, 4)?);
    let y = (value(f.x) - mean) / f.deviation(&variance) * scale + offset;
    Ok(vec![Val::Plain(emit(cx, &[&y])?[0])])
}

/// `(x, scale, offset) -> (y, mean, variance)`, with the statistics of `x` itself.
fn training(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let f = Features::of(cx)?;
    let (scale, offset) = (f.argument(cx, 1)?, f.argument(cx, 2)?);
    let mean = f.over(cx, ReduceOp::Mean, &value(f.x))?;
    let centered = value(f.x) - f.along(cx, mean)?;
    let variance = f.over(cx, ReduceOp::Mean, &centered.square())?;
    let deviation = f.deviation(&f.along(cx, variance)?);
    let y = centered / deviation * scale + offset;
    let y = emit(cx, &[&y])?[0];
    Ok([y, mean, variance].map(Val::Plain).to_vec())
}

/// `(x, scale, mean, variance, g) -> (of x, of scale, of offset)`: the gradients of [`training`]'s first result, given `g` of it.
fn grad(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let f = Features::of(cx)?;
    let scale = f.argument(cx, 1)?;
    let (mean, variance) = (f.argument(cx, 2)?, f.argument(cx, 3)?);
    let g = value(cx.plain(4)?);
    let (centered, deviation) = (value(f.x) - mean, f.deviation(&variance));
    let (mean_g, mean_gc) = (f.over(cx, ReduceOp::Mean, &g)?, f.over(cx, ReduceOp::Mean, &(&g * &centered))?);
    let (mean_g, mean_gc) = (f.along(cx, mean_g)?, f.along(cx, mean_gc)?);
    let own = (&g - mean_g - &centered * mean_gc / (variance + f.epsilon)) * (scale / &deviation);
    let own = emit(cx, &[&own])?[0];
    let of_scale = f.over(cx, ReduceOp::Sum, &(&g * (centered / deviation)))?;
    let of_offset = f.over(cx, ReduceOp::Sum, &g)?;
    Ok([own, of_scale, of_offset].map(Val::Plain).to_vec())
}
