//! Windows put back where they came from: `Col2Im` adds overlapping blocks up, `MaxUnpool` puts maxima back.

use beiming_ir::ops::{Op, ReduceOp, Scatter, ScatterMode};
use beiming_ir::tensor::Tensor;
use beiming_ir::types::Dim;

use super::super::node::{Cx, R, bad_arguments, bad_attribute, product, unsupported};
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] = &[row("Col2Im", &[18], 3, col2im), row("MaxUnpool", &[9, 11, 22], 3, max_unpool)];

/// Most elements of the table of positions.
const MAX_PLACES: usize = 1 << 24;

/// A list of numbers that are at least `least`, one an axis.
fn per_axis(cx: &Cx<'_, '_>, name: &str, count: usize, default: i64, least: i64) -> R<Vec<i64>> {
    let list = cx.int_list(name)?.unwrap_or(vec![default; count]);
    match list.len() == count && list.iter().all(|n| *n >= least) {
        true => Ok(list),
        false => bad_attribute(format!("attribute `{name}` is {list:?}; it must hold {count} numbers from {least} on")),
    }
}

/// `[N, C * block, L]` to `[N, C, image]`: every block is added where its elements came from.
fn col2im(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let (image, block) = (cx.ints(1)?, cx.ints(2)?);
    let axes = image.len();
    if cx.rank(x) != 3 || axes == 0 || block.len() != axes || image.iter().chain(&block).any(|n| *n < 1) {
        return bad_arguments(format!("blocks {block:?} of an image {image:?} out of {}", cx.ty(x)));
    }
    let strides = per_axis(cx, "strides", axes, 1, 1)?;
    let dilations = per_axis(cx, "dilations", axes, 1, 1)?;
    let pads = per_axis(cx, "pads", 2 * axes, 0, 0)?;
    let (mut padded, mut blocks) = (vec![], vec![]);
    for a in 0..axes {
        let whole = image[a].checked_add(pads[a]).and_then(|n| n.checked_add(pads[axes + a]));
        let window = block[a].checked_sub(1).and_then(|n| n.checked_mul(dilations[a])).and_then(|n| n.checked_add(1));
        match (whole, window) {
            (Some(whole), Some(window)) if window <= whole => {
                padded.push(whole);
                blocks.push((whole - window) / strides[a] + 1);
            }
            _ => return bad_arguments(format!("a block of {block:?} does not fit into an image of {image:?}")),
        }
    }
    let count = |list: &[i64]| list.iter().try_fold(1usize, |n, d| n.checked_mul(usize::try_from(*d).ok()?));
    let (Some(size), Some(number), Some(room)) = (count(&block), count(&blocks), count(&padded)) else {
        return unsupported(format!("blocks {block:?} of an image {image:?}"));
    };
    let places = match size.checked_mul(number) {
        Some(n) if n <= MAX_PLACES && room <= MAX_PLACES => n,
        _ => return unsupported(format!("an image of {image:?}: more than {MAX_PLACES} positions")),
    };
    let [batch, columns, length]: [Dim; 3] = cx.shape(x).try_into().or_else(|_| bad_arguments("its data must have rank 3"))?;
    if length != Dim::from(number) || columns.known().is_some_and(|c| c % size as i64 != 0) {
        return bad_arguments(format!("{number} blocks of {size} elements are not {}", cx.ty(x)));
    }
    // The position of each element of each block in the padded image.
    let digits = |mut n: usize, of: &[i64]| -> Vec<i64> {
        let mut out = vec![0; of.len()];
        for (a, d) in of.iter().enumerate().rev() {
            out[a] = n as i64 % d;
            n /= *d as usize;
        }
        out
    };
    let mut at = Vec::with_capacity(places);
    for e in 0..size {
        let e = digits(e, &block);
        for b in 0..number {
            let b = digits(b, &blocks);
            at.push((0..axes).fold(0, |n, a| n * padded[a] + b[a] * strides[a] + e[a] * dilations[a]));
        }
    }
    let channels = columns.floor_div(&size.into());
    let planes = batch.clone() * channels.clone();
    let values = cx.reshape(x, vec![planes.clone(), places.into()])?;
    let values = cx.transpose(values, vec![1, 0])?;
    let at = cx.constant(Tensor::i64(&[places, 1], &at));
    let zero = cx.scalar_like(x, 0.0);
    let empty = cx.broadcast(zero, vec![room.into(), planes])?;
    let scatter = Scatter { mode: ScatterMode::Nd, reduce: Some(ReduceOp::Sum) };
    let y = cx.emit(Op::Scatter(scatter), &[empty, at, values])?;
    let y = cx.transpose(y, vec![1, 0])?;
    let whole: Vec<Dim> = padded.iter().map(|d| Dim::from(*d)).collect();
    let mut y = cx.reshape(y, [&[batch, channels], &whole[..]].concat())?;
    for a in 0..axes {
        y = cx.slice_axis(y, 2 + a, pads[a].into(), image[a].into())?;
    }
    Ok(vec![y])
}

/// Zeros, but for the maxima at the positions they were found at.
fn max_unpool(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, indices) = (cx.input(0)?, cx.input(1)?);
    let shape = cx.shape(x);
    let axes = shape.len().saturating_sub(2);
    let Some(kernel) = cx.int_list("kernel_shape")?.filter(|k| k.len() == axes && axes > 0) else {
        return bad_attribute(format!("attribute `kernel_shape` must hold {axes} numbers"));
    };
    let strides = per_axis(cx, "strides", axes, 1, 1)?;
    let pads = per_axis(cx, "pads", 2 * axes, 0, 0)?;
    let mut inferred = shape[..2].to_vec();
    for a in 0..axes {
        let d = (shape[2 + a].clone() - 1.into()) * strides[a].into();
        inferred.push(d + (kernel[a] - pads[a] - pads[axes + a]).into());
    }
    let count = product(&shape);
    let values = cx.reshape(x, vec![count.clone()])?;
    let at = cx.reshape(indices, vec![count, 1.into()])?;
    let zero = cx.scalar_like(x, 0.0);
    let empty = cx.broadcast(zero, vec![product(&inferred)])?;
    let y = cx.emit(Op::Scatter(Scatter { mode: ScatterMode::Nd, reduce: None }), &[empty, at, values])?;
    let y = cx.reshape(y, inferred.clone())?;
    let Some(_) = cx.opt(2) else { return Ok(vec![y]) };
    // A larger result has the same in its first corner.
    let wanted = cx.dims(2)?;
    if wanted.len() != inferred.len() {
        return bad_arguments(format!("its result has {} axes, its data {}", wanted.len(), inferred.len()));
    }
    let hi: Vec<Dim> = wanted.iter().zip(&inferred).map(|(w, i)| w.clone() - i.clone()).collect();
    let lo = vec![Dim::from(0); hi.len()];
    Ok(vec![cx.emit(Op::Pad { lo, hi, mode: beiming_ir::ops::PadMode::Constant }, &[y, zero])?])
}
