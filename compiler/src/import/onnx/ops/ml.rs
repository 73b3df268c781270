//! What is numeric of the domain `ai.onnx.ml`.

use beiming_ir::ops::{BinaryOp, Op};

use super::super::node::{Cx, R, bad_arguments};
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] = &[row("ArrayFeatureExtractor", &[1], 2, array_feature_extractor), row("Binarizer", &[1], 1, binarizer)];

/// Chosen elements of the last axis; a vector counts as one row.
fn array_feature_extractor(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (mut x, at) = (cx.input(0)?, cx.input(1)?);
    if cx.rank(x) == 0 {
        return bad_arguments("its data has rank 0");
    }
    if cx.rank(x) == 1 {
        let shape = [&[1.into()], &cx.shape(x)[..]].concat();
        x = cx.reshape(x, shape)?;
    }
    let count = super::super::node::product(&cx.shape(at));
    let at = cx.reshape(at, vec![count])?;
    let axis = cx.rank(x) - 1;
    Ok(vec![cx.emit(Op::Gather { axis }, &[x, at])?])
}

/// 1 above the threshold, else 0.
fn binarizer(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let threshold = cx.float("threshold", 0.0)?;
    let above = cx.with(BinaryOp::Gt, x, threshold)?;
    Ok(vec![cx.cast(above, cx.dtype(x))?])
}
