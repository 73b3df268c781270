//! Sampling at computed positions: `GridSample` and the grids of `AffineGrid`. A position has a few neighbours a axis; each is read by
//! one gather of whole pixels and weighed.

use beiming_ir::ops::{BinaryOp, Op, UnaryOp};
use beiming_ir::types::{DType, Dim};

use super::super::node::{Cx, R, bad_arguments, bad_attribute, product};
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] = &[row("GridSample", &[16, 20, 22], 2, grid_sample), row("AffineGrid", &[20], 2, affine_grid)];

/// The kernel of cubic interpolation, as the standard has it.
const CUBIC: f64 = -0.75;

/// How neighbours are weighed.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Nearest,
    Linear,
    Cubic,
}

/// What lies outside.
#[derive(Clone, Copy, PartialEq)]
enum Outside {
    Zeros,
    Border,
    Reflection,
}

/// A neighbour along one axis: its index (`i64`), its weight, and whether it is inside, where that matters.
#[derive(Clone, Copy)]
struct Tap {
    at: V,
    weight: Option<V>,
    inside: Option<V>,
}

/// An axis that is sampled.
struct Axis {
    extent: V,
    /// The extent less one.
    last: V,
    /// First and last position of the data, by the meaning of `align_corners`.
    ends: (f64, V),
}

/// `x` reflected at the ends until it is between them.
fn reflect(cx: &mut Cx<'_, '_>, x: V, axis: &Axis) -> R {
    let range = cx.with(BinaryOp::Sub, axis.ends.1, axis.ends.0)?;
    // Data of one element has no room to be reflected in.
    let range = cx.with(BinaryOp::Max, range, 1e-6)?;
    let twice = cx.with(BinaryOp::Mul, range, 2.0)?;
    let away = cx.with(BinaryOp::Sub, x, axis.ends.0)?;
    let away = cx.unary(UnaryOp::Abs, away)?;
    let turns = cx.binary(BinaryOp::Div, away, twice)?;
    let turns = cx.unary(UnaryOp::Floor, turns)?;
    let whole = cx.binary(BinaryOp::Mul, turns, twice)?;
    let rest = cx.binary(BinaryOp::Sub, away, whole)?;
    let back = cx.binary(BinaryOp::Sub, twice, rest)?;
    let near = cx.binary(BinaryOp::Min, rest, back)?;
    cx.with(BinaryOp::Add, near, axis.ends.0)
}

fn clamp(cx: &mut Cx<'_, '_>, x: V, axis: &Axis) -> R {
    let x = cx.with(BinaryOp::Max, x, 0.0)?;
    cx.binary(BinaryOp::Min, x, axis.last)
}

/// The neighbour at a whole number `i`.
fn tap(cx: &mut Cx<'_, '_>, i: V, weight: Option<V>, axis: &Axis, outside: Outside) -> R<Tap> {
    let inside = match outside {
        Outside::Zeros => {
            let (low, high) = (cx.with(BinaryOp::Ge, i, 0.0)?, cx.binary(BinaryOp::Le, i, axis.last)?);
            Some(cx.binary(BinaryOp::And, low, high)?)
        }
        _ => None,
    };
    let i = if outside == Outside::Reflection {
        let r = reflect(cx, i, axis)?;
        cx.unary(UnaryOp::Trunc, r)?
    } else {
        i
    };
    let i = clamp(cx, i, axis)?;
    Ok(Tap { at: cx.cast(i, DType::I64)?, weight, inside })
}

/// The weight of a neighbour at distance `t`, by the cubic kernel: within one element, or within two.
fn cubic(cx: &mut Cx<'_, '_>, t: V, far: bool) -> R {
    let coefficients = match far {
        false => [CUBIC + 2.0, -(CUBIC + 3.0), 0.0, 1.0],
        true => [CUBIC, -5.0 * CUBIC, 8.0 * CUBIC, -4.0 * CUBIC],
    };
    let mut sum = cx.scalar_like(t, coefficients[0]);
    for c in &coefficients[1..] {
        sum = cx.binary(BinaryOp::Mul, sum, t)?;
        sum = cx.with(BinaryOp::Add, sum, *c)?;
    }
    Ok(sum)
}

/// The neighbours of positions `g` (from -1 to 1) along an axis.
fn taps(cx: &mut Cx<'_, '_>, g: V, axis: &Axis, mode: Mode, outside: Outside, align: bool) -> R<Vec<Tap>> {
    let x = cx.with(BinaryOp::Add, g, 1.0)?;
    let span = if align { axis.last } else { axis.extent };
    let x = cx.binary(BinaryOp::Mul, x, span)?;
    let x = cx.with(BinaryOp::Mul, x, 0.5)?;
    let mut x = if align { x } else { cx.with(BinaryOp::Sub, x, 0.5)? };
    if mode == Mode::Nearest {
        x = cx.unary(UnaryOp::Round, x)?;
    }
    x = match outside {
        Outside::Zeros => x,
        Outside::Border => clamp(cx, x, axis)?,
        Outside::Reflection => reflect(cx, x, axis)?,
    };
    if mode == Mode::Nearest {
        // A reflection at the edge of a pixel ends between two.
        let i = cx.unary(UnaryOp::Round, x)?;
        return Ok(vec![tap(cx, i, None, axis, outside)?]);
    }
    let first = cx.unary(UnaryOp::Floor, x)?;
    let t = cx.binary(BinaryOp::Sub, x, first)?;
    let one = cx.scalar_like(t, 1.0);
    let rest = cx.binary(BinaryOp::Sub, one, t)?;
    let weights = match mode {
        Mode::Linear => vec![(0.0, rest), (1.0, t)],
        _ => {
            let (before, after) = (cx.with(BinaryOp::Add, t, 1.0)?, cx.with(BinaryOp::Add, rest, 1.0)?);
            let w = [cubic(cx, before, true)?, cubic(cx, t, false)?, cubic(cx, rest, false)?, cubic(cx, after, true)?];
            w.into_iter().enumerate().map(|(k, w)| (k as f64 - 1.0, w)).collect()
        }
    };
    weights
        .into_iter()
        .map(|(step, w)| {
            let i = cx.with(BinaryOp::Add, first, step)?;
            tap(cx, i, Some(w), axis, outside)
        })
        .collect()
}

/// Data `[N, C, S..]`, positions `[N, P.., r]` with the last axis of the data first.
fn grid_sample(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, grid) = (cx.input(0)?, cx.input(1)?);
    let (shape, places) = (cx.shape(x), cx.shape(grid));
    let axes = shape.len().saturating_sub(2);
    if axes == 0 || places.len() != shape.len() || places[axes + 1] != Dim::from(axes) {
        return bad_arguments(format!("its grid is {}, for data {}", cx.ty(grid), cx.ty(x)));
    }
    let mode = match cx.string("mode", "linear")?.as_str() {
        "linear" | "bilinear" => Mode::Linear,
        "nearest" => Mode::Nearest,
        "cubic" | "bicubic" => Mode::Cubic,
        m => return bad_attribute(format!("attribute `mode` is `{m}`; allowed are linear, nearest, cubic")),
    };
    let outside = match cx.string("padding_mode", "zeros")?.as_str() {
        "zeros" => Outside::Zeros,
        "border" => Outside::Border,
        "reflection" => Outside::Reflection,
        m => return bad_attribute(format!("attribute `padding_mode` is `{m}`; allowed are zeros, border, reflection")),
    };
    let align = cx.flag("align_corners", false)?;
    let kind = cx.dtype(x);
    let float = if kind == DType::F64 { DType::F64 } else { DType::F32 };
    // Pixels side by side: [N, S, C].
    let (batch, channels) = (shape[0].clone(), shape[1].clone());
    let mut perm: Vec<usize> = (2..shape.len()).collect();
    perm.insert(0, 0);
    perm.push(1);
    let pixels = cx.transpose(x, perm)?;
    let pixels = cx.reshape(pixels, vec![batch.clone(), product(&shape[2..]), channels.clone()])?;
    let count = product(&places[1..=axes]);
    let grid = cx.cast(grid, float)?;
    let grid = cx.reshape(grid, vec![batch.clone(), count.clone(), axes.into()])?;
    let mut by_axis = vec![];
    for a in 0..axes {
        let g = cx.slice_axis(grid, 2, (axes - 1 - a).into(), 1.into())?;
        let extent = cx.dim_scalar(shape[2 + a].clone());
        let extent = cx.cast(extent, float)?;
        let last = cx.with(BinaryOp::Sub, extent, 1.0)?;
        let ends = if align { (0.0, last) } else { (-0.5, cx.with(BinaryOp::Sub, extent, 0.5)?) };
        let axis = Axis { extent, last, ends };
        by_axis.push(taps(cx, g, &axis, mode, outside, align)?);
    }
    let mut total: Option<V> = None;
    let combinations: usize = by_axis.iter().map(Vec::len).product();
    for n in 0..combinations {
        // One neighbour of every axis.
        let (mut rest, mut at, mut weight, mut inside): (usize, Option<V>, Option<V>, Option<V>) = (n, None, None, None);
        for (a, list) in by_axis.iter().enumerate() {
            let t = list[rest % list.len()];
            rest /= list.len();
            at = Some(match at {
                None => t.at,
                Some(i) => {
                    let extent = cx.dim_scalar(shape[2 + a].clone());
                    let i = cx.binary(BinaryOp::Mul, i, extent)?;
                    cx.binary(BinaryOp::Add, i, t.at)?
                }
            });
            weight = joined(cx, BinaryOp::Mul, weight, t.weight)?;
            inside = joined(cx, BinaryOp::And, inside, t.inside)?;
        }
        let Some(at) = at else { return bad_arguments("its data has no axes to be sampled") };
        let mut value = cx.emit(Op::GatherNd { batch: 1 }, &[pixels, at])?;
        if weight.is_some() {
            value = cx.cast(value, float)?;
        }
        if let Some(i) = inside {
            let zero = cx.scalar_like(value, 0.0);
            value = cx.select(i, value, zero)?;
        }
        if let Some(w) = weight {
            value = cx.binary(BinaryOp::Mul, value, w)?;
        }
        total = Some(match total {
            Some(sum) => cx.binary(BinaryOp::Add, sum, value)?,
            None => value,
        });
    }
    let Some(y) = total else { return bad_arguments("its data has no axes to be sampled") };
    let y = cx.cast(y, kind)?;
    let y = cx.transpose(y, vec![0, 2, 1])?;
    let result = [&[batch, channels], &places[1..=axes]].concat();
    Ok(vec![cx.reshape(y, result)?])
}

/// Both, or the one there is.
fn joined(cx: &mut Cx<'_, '_>, op: BinaryOp, a: Option<V>, b: Option<V>) -> R<Option<V>> {
    match (a, b) {
        (Some(a), Some(b)) => Ok(Some(cx.binary(op, a, b)?)),
        (a, b) => Ok(a.or(b)),
    }
}

/// Positions from -1 to 1 on every axis, the last axis first, with a one behind them, times the matrices.
fn affine_grid(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let theta = cx.input(0)?;
    let size = cx.dims(1)?;
    let axes = size.len().saturating_sub(2);
    if !(2..=3).contains(&axes) || cx.rank(theta) != 3 {
        return bad_arguments(format!("its size has {} elements and its matrices are {}", size.len(), cx.ty(theta)));
    }
    let align = cx.flag("align_corners", false)?;
    let dtype = cx.dtype(theta);
    let places = size[2..].to_vec();
    let mut columns = vec![];
    for a in (0..axes).rev() {
        let mut line = vec![Dim::from(1); axes];
        line[a] = places[a].clone();
        let i = cx.emit(Op::Iota { dtype: DType::I64, shape: line, axis: a }, &[])?;
        let i = cx.cast(i, dtype)?;
        let extent = cx.dim_scalar(places[a].clone());
        let extent = cx.cast(extent, dtype)?;
        let twice = cx.with(BinaryOp::Mul, i, 2.0)?;
        let p = if align {
            let last = cx.with(BinaryOp::Sub, extent, 1.0)?;
            cx.binary(BinaryOp::Div, twice, last)?
        } else {
            let middle = cx.with(BinaryOp::Add, twice, 1.0)?;
            cx.binary(BinaryOp::Div, middle, extent)?
        };
        let p = cx.with(BinaryOp::Sub, p, 1.0)?;
        let p = cx.broadcast(p, places.clone())?;
        columns.push(cx.reshape(p, vec![1.into(), product(&places), 1.into()])?);
    }
    let one = cx.scalar(dtype, 1.0);
    columns.push(cx.broadcast(one, vec![1.into(), product(&places), 1.into()])?);
    let points = cx.concat(&columns, 2)?;
    let matrices = cx.transpose(theta, vec![0, 2, 1])?;
    let y = cx.emit(Op::MatMul { out: dtype }, &[points, matrices])?;
    let shape = [&[size[0].clone()], &places[..], &[Dim::from(axes)]].concat();
    Ok(vec![cx.reshape(y, shape)?])
}
