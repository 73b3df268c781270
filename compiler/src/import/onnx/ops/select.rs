//! Data-dependent selection.

use beiming_ir::ops::{Nms, Op, TopK};
use beiming_ir::types::{DType, Dim};

use super::super::node::{Cx, R, axis_of, bad_arguments, product};
use super::{Row, row};
use crate::import::build::Build;
use crate::import::extents;
use crate::import::frame::V;

pub const OPS: &[Row] =
    &[row("TopK", &[1, 10, 11, 24], 2, topk), row("NonZero", &[9, 13], 1, nonzero), row("NonMaxSuppression", &[10, 11], 5, nms)];

fn topk(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let axis = axis_of(cx.int("axis", -1)?, cx.rank(x))?;
    let extent = cx.shape(x)[axis].clone();
    let k = if cx.since >= 10 {
        let (k, hi) = (cx.input(1)?, extent.range(cx.symbols()).hi);
        let open = cx.top().dims_of(k).is_none();
        let k = extents::read_one(cx, k, 0, hi)?;
        if open {
            extents::expect_at_most(cx, &k, &extent)?;
        }
        k
    } else {
        Dim::from(cx.int("k", -1)?)
    };
    if k.known().is_some_and(|k| k < 0) {
        return bad_arguments(format!("k is {k}; it cannot be negative"));
    }
    let largest = cx.flag("largest", true)?;
    cx.emit_all(Op::TopK(TopK { k, axis, largest }), &[x])
}

/// Positions of non-zero elements, `i64[rank, count]` with a new symbol for the count.
pub fn positions(cx: &mut Cx<'_, '_>, x: V) -> R {
    let most = product(&cx.shape(x)).range(cx.symbols()).hi;
    let count = cx.im.fresh_symbol("nonzero", 0, most);
    cx.emit(Op::NonZero { count }, &[x])
}

fn nonzero(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    Ok(vec![positions(cx, x)?])
}

fn nms(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (boxes, scores) = (cx.input(0)?, cx.input(1)?);
    let center = cx.flag("center_point_box", false)?;
    let scalar = |cx: &mut Cx<'_, '_>, i: usize, dtype: DType| match cx.opt(i) {
        Some(v) => {
            let v = cx.cast(v, dtype)?;
            cx.reshape(v, vec![])
        }
        None => Ok(cx.scalar(dtype, 0.0)),
    };
    let each = cx.opt(2).and_then(|v| cx.im.top().dims_of(v)).and_then(|d| d.first().cloned());
    let (max_out, iou) = (scalar(cx, 2, DType::I64)?, scalar(cx, 3, DType::F32)?);
    let score = match cx.opt(4) {
        Some(_) => scalar(cx, 4, DType::F32)?,
        None => cx.scalar(DType::F32, f64::NEG_INFINITY),
    };
    // At most `max_out` of the boxes of each class of each batch entry.
    let (b, s) = (cx.shape(boxes), cx.shape(scores));
    if b.len() != 3 || s.len() != 3 {
        return bad_arguments(format!("boxes and scores must have rank 3, not {} and {}", b.len(), s.len()));
    }
    let per_class = match each {
        Some(k) => cx.min_dim(&cx.max_dim(&k, &0.into()), &b[1]),
        None if cx.opt(2).is_none() => 0.into(),
        None => b[1].clone(),
    };
    let most = (per_class * s[0].clone() * s[1].clone()).range(cx.symbols()).hi.max(0);
    let count = cx.im.fresh_symbol("nms", 0, most);
    Ok(vec![cx.emit_all(Op::Nms(Nms { center, count }), &[boxes, scores, max_out, iou, score])?[0]])
}
