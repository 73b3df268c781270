//! Pooling, over windows and over everything.

use beiming_ir::ops::{BinaryOp, Op, Pool, PoolKind, ReduceOp, UnaryOp, WindowReduce};
use beiming_ir::types::{DType, TensorType};

use super::super::node::{Cx, R, bad_arguments, bad_attribute, product, unsupported};
use super::conv::{Window, channels_first, channels_last, fixed_pads};
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] = &[
    row("MaxPool", &[1, 8, 10, 11, 12, 22], 1, max_pool),
    row("AveragePool", &[1, 7, 10, 11, 19, 22], 1, average_pool),
    row("LpPool", &[1, 2, 11, 18, 22], 1, lp_pool),
    row("GlobalMaxPool", &[1, 22], 1, |cx| global(cx, ReduceOp::Max)),
    row("GlobalAveragePool", &[1, 22], 1, |cx| global(cx, ReduceOp::Mean)),
    row("GlobalLpPool", &[1, 2, 22], 1, global_lp),
];

/// A pool over windows; `outside` is what padding counts as, where it counts.
fn pool(cx: &mut Cx<'_, '_>, kind: PoolKind, outside: Option<f64>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    if cx.rank(x) < 3 {
        return bad_arguments(format!("its data must have rank 3 or more, not {}", cx.rank(x)));
    }
    let window = Window::read(cx, cx.rank(x) - 2, None)?;
    let ceil = cx.flag("ceil_mode", false)?;
    let pads = window.pads(cx, &cx.shape(x)[2..])?;
    if outside.is_none() && pads.iter().any(|(a, b)| a.known().is_none() || b.known().is_none()) {
        return unsupported("automatic padding over spatial extents that are not known");
    }
    let x = channels_last(cx, x)?;
    let (x, pads) = fixed_pads(cx, x, pads, outside.unwrap_or(0.0))?;
    if let Some((i, p)) = pads.iter().enumerate().find(|(_, p)| p.0 < 0 || p.1 < 0) {
        return bad_attribute(format!("attribute `pads` is {p:?} on spatial axis {i}; a pool's padding cannot be negative"));
    }
    let op = Pool { kind, window: window.kernel, strides: window.strides, dilations: window.dilations, pads, ceil };
    let y = cx.emit(Op::Pool(op), &[x])?;
    Ok(vec![channels_first(cx, y)?])
}

fn max_pool(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    if cx.wants(1) {
        return with_indices(cx);
    }
    let dtype = cx.dtype(cx.input(0)?);
    let lowest = dtype.int_range().map_or(f64::NEG_INFINITY, |r| r.0 as f64);
    pool(cx, PoolKind::Max, Some(lowest))
}

/// Maxima and where they are found: positions in the whole data, counted row by row, or column by column in each channel. A window
/// of padding alone has the position -1.
fn with_indices(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let (shape, rank) = (cx.shape(x), cx.rank(x));
    if rank < 3 {
        return bad_arguments(format!("its data must have rank 3 or more, not {rank}"));
    }
    let window = Window::read(cx, rank - 2, None)?;
    let ceil = cx.flag("ceil_mode", false)?;
    let mut pads = vec![(0, 0); 2];
    for (i, pad) in window.pads(cx, &shape[2..])?.iter().enumerate() {
        let (Some(lo), Some(mut hi)) = (pad.0.known(), pad.1.known()) else {
            return unsupported("positions of maxima with padding over spatial extents that are not known");
        };
        if lo < 0 || hi < 0 {
            return bad_attribute(format!(
                "attribute `pads` is ({lo}, {hi}) on spatial axis {i}; a pool's padding cannot be negative"
            ));
        }
        if ceil {
            // As much more padding as the last window wants that starts inside.
            let size = cx.extent(x, 2 + i, "with `ceil_mode` and positions, a spatial extent")? as i64;
            let (step, span) = (window.strides[i] as i64, window.span(i));
            let mut last = ((size + lo + hi - span).max(0) + step - 1) / step * step;
            if last >= size + lo {
                last -= step;
            }
            hi = last + span - size - lo;
        }
        pads.push((lo, hi));
    }
    // Counted column by column, positions are those of the data with its spatial axes turned round.
    let turned: Vec<usize> = if cx.flag("storage_order", false)? { (2..rank).rev().collect() } else { (2..rank).collect() };
    let perm: Vec<usize> = [0, 1].into_iter().chain(turned).collect();
    let places = cx.line(DType::I64, product(&shape), 0, 1)?;
    let places = cx.reshape(places, perm.iter().map(|a| shape[*a].clone()).collect())?;
    let places = cx.transpose(places, perm)?;
    let dtype = cx.dtype(x);
    let lowest = dtype.int_range().map_or(f64::NEG_INFINITY, |r| r.0 as f64);
    let start = [cx.scalar(dtype, lowest), cx.scalar(DType::I64, -1.0)];
    let (value, place) = (TensorType::scalar(dtype), TensorType::scalar(DType::I64));
    let inputs = [("best", value.clone()), ("best_at", place.clone()), ("next", value), ("next_at", place)];
    // Padding has the place -1: it is never taken. Of equal elements the first stays.
    let (region, _) = cx.region("largest", &inputs, |cx, v| {
        let none = cx.with(BinaryOp::Lt, v[1], 0.0)?;
        let larger = cx.binary(BinaryOp::Gt, v[2], v[0])?;
        let better = cx.binary(BinaryOp::Or, none, larger)?;
        let inside = cx.with(BinaryOp::Ge, v[3], 0.0)?;
        let take = cx.binary(BinaryOp::And, inside, better)?;
        Ok(vec![cx.select(take, v[2], v[0])?, cx.select(take, v[3], v[1])?])
    })?;
    let each = |of: &[usize]| [&[1, 1], of].concat();
    let op = WindowReduce {
        window: each(&window.kernel),
        strides: each(&window.strides),
        base_dilations: vec![1; rank],
        window_dilations: each(&window.dilations),
        pads,
        region,
    };
    cx.emit_all(Op::WindowReduce(op), &[x, places, start[0], start[1]])
}

fn average_pool(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let padded = cx.flag("count_include_pad", false)?;
    pool(cx, PoolKind::Avg { padded }, padded.then_some(0.0))
}

fn lp_pool(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let p = exponent(cx)?;
    pool(cx, PoolKind::Lp { p: p.into() }, Some(0.0))
}

fn exponent(cx: &Cx<'_, '_>) -> R<f64> {
    match cx.int("p", 2)? {
        p @ 1.. => Ok(p as f64),
        p => bad_attribute(format!("attribute `p` is {p}; it must be positive")),
    }
}

/// The spatial axes.
fn spatial(cx: &Cx<'_, '_>, x: V) -> R<Vec<usize>> {
    match cx.rank(x) {
        r @ 3.. => Ok((2..r).collect()),
        r => bad_arguments(format!("its data must have rank 3 or more, not {r}")),
    }
}

fn global(cx: &mut Cx<'_, '_>, op: ReduceOp) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let axes = spatial(cx, x)?;
    Ok(vec![cx.reduce(op, x, axes, true)?])
}

fn global_lp(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, p) = (cx.input(0)?, exponent(cx)?);
    let axes = spatial(cx, x)?;
    let t = cx.unary(UnaryOp::Abs, x)?;
    let t = cx.with(BinaryOp::Pow, t, p)?;
    let t = cx.reduce(ReduceOp::Sum, t, axes, true)?;
    Ok(vec![cx.with(BinaryOp::Pow, t, 1.0 / p)?])
}
