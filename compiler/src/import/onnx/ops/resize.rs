//! Resampling: `Resize` of every opset and its predecessor `Upsample`.

use beiming_ir::ops::{Coord, Nearest, Op, Real, Resize, ResizeMode};
use beiming_ir::types::Dim;

use super::super::node::{Cx, R, axis_of, bad_arguments, bad_attribute, unsupported};
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] = &[row("Resize", &[10, 11, 13, 18, 19], 4, resize), row("Upsample", &[1, 7, 9, 10], 2, upsample)];

/// `floor(d * scale)`. A symbolic extent needs a scale that is a fraction of small numbers.
fn scaled(d: &Dim, scale: f64) -> R<Dim> {
    if let Some(k) = d.known() {
        // Computed in f32, as the reference implementation does.
        return Ok(Dim::Known((k as f32 * scale as f32).floor() as i64));
    }
    for denominator in 1..=64i64 {
        let numerator = (scale * denominator as f64).round();
        if numerator >= 1.0 && ((numerator / denominator as f64) as f32) == scale as f32 {
            return Ok((d.clone() * Dim::Known(numerator as i64)).floor_div(&Dim::Known(denominator)));
        }
    }
    unsupported(format!("the scale {scale} of an extent that is not known"))
}

fn mode(cx: &Cx<'_, '_>, nearest: Nearest) -> R<ResizeMode> {
    Ok(match cx.string("mode", "nearest")?.as_str() {
        "nearest" => ResizeMode::Nearest(nearest),
        "linear" | "bilinear" => ResizeMode::Linear,
        "cubic" => ResizeMode::Cubic(cx.float("cubic_coeff_a", -0.75)?.into()),
        m => return bad_attribute(format!("attribute `mode` is `{m}`; allowed are nearest, linear, cubic")),
    })
}

/// Scales of every axis, checked.
fn whole_scales(scales: Vec<f64>, rank: usize) -> R<Vec<f64>> {
    if scales.len() != rank {
        return bad_arguments(format!("{} scales for data of rank {rank}", scales.len()));
    }
    match scales.iter().find(|s| !s.is_finite() || **s <= 0.0) {
        Some(s) => bad_arguments(format!("the scale {s}; scales are positive numbers")),
        None => Ok(scales),
    }
}

/// Scales as a constant, or where they are quotients of extents as whole numbers.
fn scales(cx: &Cx<'_, '_>, i: usize) -> R<Vec<f64>> {
    match cx.floats_in(i) {
        Ok(s) => Ok(s),
        Err(e) => match cx.ints(i) {
            Ok(v) => Ok(v.into_iter().map(|v| v as f64).collect()),
            Err(_) => Err(e),
        },
    }
}

/// The rule before opset 11: no offsets, nearest rounds down.
fn simple(cx: &mut Cx<'_, '_>, x: V, scales: Vec<f64>) -> R<Vec<V>> {
    let dims = cx.shape(x);
    let scales = whole_scales(scales, dims.len())?;
    let shape = dims.iter().zip(&scales).map(|(d, s)| scaled(d, *s)).collect::<R<_>>()?;
    let op = Resize {
        mode: mode(cx, Nearest::Floor)?,
        coord: Coord::Asymmetric,
        shape,
        scales: scales.into_iter().map(|s| Some(Real::from(s))).collect(),
        roi: vec![],
        antialias: false,
        exclude_outside: false,
        extrapolation: 0.0.into(),
    };
    Ok(vec![cx.emit(Op::Resize(op), &[x])?])
}

fn upsample(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let scales = match cx.since {
        9.. => scales(cx, 1)?,
        7..9 => cx.float_list("scales")?.unwrap_or_default(),
        _ => return unsupported("Upsample of opset 1"),
    };
    simple(cx, x, scales)
}

fn resize(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    if cx.since == 10 {
        let s = scales(cx, 1)?;
        return simple(cx, x, s);
    }
    let dims = cx.shape(x);
    let rank = dims.len();
    let nearest = match cx.string("nearest_mode", "round_prefer_floor")?.as_str() {
        "round_prefer_floor" => Nearest::RoundPreferFloor,
        "round_prefer_ceil" => Nearest::RoundPreferCeil,
        "floor" => Nearest::Floor,
        "ceil" => Nearest::Ceil,
        m => return bad_attribute(format!("attribute `nearest_mode` is `{m}`")),
    };
    let coord = match cx.string("coordinate_transformation_mode", "half_pixel")?.as_str() {
        "half_pixel" => Coord::HalfPixel,
        "half_pixel_symmetric" => Coord::HalfPixelSymmetric,
        "pytorch_half_pixel" => Coord::PytorchHalfPixel,
        "align_corners" => Coord::AlignCorners,
        "asymmetric" => Coord::Asymmetric,
        "tf_half_pixel_for_nn" => Coord::TfHalfPixelForNn,
        "tf_crop_and_resize" => Coord::TfCropAndResize,
        m => return bad_attribute(format!("attribute `coordinate_transformation_mode` is `{m}`")),
    };
    let axes = match cx.int_list("axes")?.filter(|_| cx.since >= 18) {
        Some(a) => a.iter().map(|a| axis_of(*a, rank)).collect::<R<Vec<_>>>()?,
        None => (0..rank).collect(),
    };
    let given = |cx: &Cx<'_, '_>, i: usize| cx.opt(i).filter(|v| !cx.ty(*v).numel().is(0)).is_some();
    let mut shape = dims.clone();
    let mut all: Vec<Option<Real>> = vec![Some(1.0.into()); rank];
    if given(cx, 3) {
        let policy = cx.string("keep_aspect_ratio_policy", "stretch")?;
        let stretch = policy == "stretch" || cx.since < 18;
        // A ratio, and the width of a filter, are computed from numbers.
        let sizes = if stretch && !cx.flag("antialias", false)? { cx.extents(3, |_| (1, i64::MAX))? } else { cx.dims(3)? };
        if sizes.len() != axes.len() {
            return bad_arguments(format!("{} sizes for {} axes", sizes.len(), axes.len()));
        }
        if stretch {
            for (axis, size) in axes.iter().zip(sizes) {
                shape[*axis] = size;
                all[*axis] = None;
            }
        } else {
            let ratio = |(axis, size): (&usize, &Dim)| Some(size.known()? as f64 / dims[*axis].known()? as f64);
            let ratios: Option<Vec<f64>> = axes.iter().zip(&sizes).map(ratio).collect();
            let Some(ratios) = ratios else { return unsupported("keeping the aspect ratio of extents that are not known") };
            let scale = match policy.as_str() {
                "not_larger" => ratios.iter().copied().fold(f64::INFINITY, f64::min),
                "not_smaller" => ratios.iter().copied().fold(0.0, f64::max),
                p => return bad_attribute(format!("attribute `keep_aspect_ratio_policy` is `{p}`")),
            };
            for axis in &axes {
                let extent = dims[*axis].known().unwrap_or_default() as f64;
                shape[*axis] = Dim::Known((scale * extent + 0.5).floor() as i64);
                all[*axis] = Some(scale.into());
            }
        }
    } else if given(cx, 2) {
        let scales = whole_scales(scales(cx, 2)?, axes.len())?;
        for (axis, s) in axes.iter().zip(scales) {
            shape[*axis] = scaled(&dims[*axis], s)?;
            all[*axis] = Some(s.into());
        }
    } else {
        return bad_arguments("it has neither scales nor sizes");
    }
    let mut roi = vec![];
    if coord == Coord::TfCropAndResize {
        let r = cx.floats_in(1)?;
        if r.len() != 2 * axes.len() {
            return bad_arguments(format!("{} numbers of the region for {} axes; each takes two", r.len(), axes.len()));
        }
        roi = vec![(Real::from(0.0), Real::from(1.0)); rank];
        for (i, axis) in axes.iter().enumerate() {
            roi[*axis] = (r[i].into(), r[axes.len() + i].into());
        }
    }
    let op = Resize {
        mode: mode(cx, nearest)?,
        coord,
        shape,
        scales: all,
        roi,
        antialias: cx.flag("antialias", false)?,
        exclude_outside: cx.flag("exclude_outside", false)?,
        extrapolation: cx.float("extrapolation_value", 0.0)?.into(),
    };
    Ok(vec![cx.emit(Op::Resize(op), &[x])?])
}
