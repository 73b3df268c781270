//! Pooling, over windows and over everything.

use beiming_ir::ops::{BinaryOp, Op, Pool, PoolKind, ReduceOp, UnaryOp};

use super::super::node::{Cx, R, bad_arguments, bad_attribute, unsupported};
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
        return unsupported("the output `Indices`");
    }
    let dtype = cx.dtype(cx.input(0)?);
    let lowest = dtype.int_range().map_or(f64::NEG_INFINITY, |r| r.0 as f64);
    pool(cx, PoolKind::Max, Some(lowest))
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
