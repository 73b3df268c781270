//! Blocks of pixels to channels and back.

use beiming_ir::types::Dim;

use super::super::node::{Cx, R, bad_arguments, bad_attribute};
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] =
    &[row("DepthToSpace", &[1, 11, 13, 28], 1, depth_to_space), row("SpaceToDepth", &[1, 13, 28], 1, space_to_depth)];

/// The `[N, C, H, W]` of the data and the block size.
fn parts(cx: &Cx<'_, '_>) -> R<(V, [Dim; 4], Dim)> {
    let x = cx.input(0)?;
    let block = match cx.int("blocksize", 0)? {
        b @ 1..=0xffff => Dim::from(b),
        b => return bad_attribute(format!("attribute `blocksize` is {b}; it must be positive")),
    };
    let dims: [Dim; 4] = cx.shape(x).try_into().or_else(|_| bad_arguments("its data must have rank 4"))?;
    Ok((x, dims, block))
}

/// `d / by`, which must be exact where it is known.
fn divided(d: &Dim, by: &Dim) -> R<Dim> {
    let q = d.floor_div(by);
    match (d.known(), by.known()) {
        (Some(a), Some(b)) if a % b != 0 => bad_arguments(format!("the extent {a} is not a multiple of {b}")),
        _ => Ok(q),
    }
}

fn depth_to_space(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, [n, c, h, w], b) = parts(cx)?;
    let depth = divided(&c, &(b.clone() * b.clone()))?;
    let (h, w, b) = (|| h.clone(), || w.clone(), || b.clone());
    let (split, perm) = match cx.string("mode", "DCR")?.as_str() {
        "DCR" => (vec![n.clone(), b(), b(), depth.clone(), h(), w()], vec![0, 3, 4, 1, 5, 2]),
        "CRD" => (vec![n.clone(), depth.clone(), b(), b(), h(), w()], vec![0, 1, 4, 2, 5, 3]),
        m => return bad_attribute(format!("attribute `mode` is `{m}`; allowed are DCR and CRD")),
    };
    let t = cx.reshape(x, split)?;
    let t = cx.transpose(t, perm)?;
    Ok(vec![cx.reshape(t, vec![n, depth, h() * b(), w() * b()])?])
}

fn space_to_depth(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, [n, c, h, w], b) = parts(cx)?;
    let (h, w) = (divided(&h, &b)?, divided(&w, &b)?);
    let t = cx.reshape(x, vec![n.clone(), c.clone(), h.clone(), b.clone(), w.clone(), b.clone()])?;
    let perm = match cx.string("mode", "DCR")?.as_str() {
        "DCR" => vec![0, 3, 5, 1, 2, 4],
        "CRD" => vec![0, 1, 3, 5, 2, 4],
        m => return bad_attribute(format!("attribute `mode` is `{m}`; allowed are DCR and CRD")),
    };
    let t = cx.transpose(t, perm)?;
    Ok(vec![cx.reshape(t, vec![n, b.clone() * b * c, h, w])?])
}
