//! Contractions: every dot product becomes one matrix product, or, computed as written, a loop of sums.

use beiming_ir::ops::Op;
use beiming_ir::types::{DType, Dim};

use super::super::cx::{Cx, axes_in};
use super::super::value::Val;
use super::elementwise::one;
use super::{Row, in_order, real};
use crate::import::build::Build;
use crate::import::fail::{R, bad_attribute};
use crate::import::frame::V;
use crate::import::stablehlo::syntax::Attr;

pub const OPS: &[Row] = &[real("stablehlo.dot", dot), real("stablehlo.dot_general", dot_general)];

/// Which axes of the two sides correspond.
#[derive(Clone, Debug, Default)]
pub struct Axes {
    /// Axes that both sides and the result share.
    pub batch: [Vec<usize>; 2],
    /// Axes that are summed over.
    pub contract: [Vec<usize>; 2],
}

/// The axes that `dot_dimension_numbers` names.
pub fn axes(cx: &Cx<'_, '_>, ranks: [usize; 2]) -> R<Axes> {
    let Some(Attr::Struct(_, fields)) = cx.attr("dot_dimension_numbers") else {
        return bad_attribute("attribute `dot_dimension_numbers` is missing");
    };
    let list = |side: &str, what: &str, rank: usize| {
        let name = format!("{side}_{what}_dimensions");
        let l = fields.get(name.as_str()).and_then(Attr::ints).unwrap_or_default();
        axes_in(&name, &l, rank)
    };
    let pair = |what: &str| R::Ok([list("lhs", what, ranks[0])?, list("rhs", what, ranks[1])?]);
    Ok(Axes { batch: pair("batching")?, contract: pair("contracting")? })
}

/// The axes of either product.
pub fn axes_of(cx: &Cx<'_, '_>, ranks: [usize; 2]) -> R<Axes> {
    if &*cx.op.name != "stablehlo.dot" {
        return axes(cx, ranks);
    }
    let (Some(last), true) = (ranks[0].checked_sub(1), ranks[1] > 0) else {
        return bad_attribute("it takes vectors and matrices");
    };
    Ok(Axes { batch: Default::default(), contract: [vec![last], vec![0]] })
}

fn dot(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (x, y) = (cx.plain(0)?, cx.plain(1)?);
    let axes = axes_of(cx, [cx.rank(x), cx.rank(y)])?;
    let to = cx.result_dtype(0)?;
    one(contract(cx, x, y, &axes, to))
}

fn dot_general(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (x, y) = (cx.plain(0)?, cx.plain(1)?);
    let axes = axes(cx, [cx.rank(x), cx.rank(y)])?;
    let to = cx.result_dtype(0)?;
    one(contract(cx, x, y, &axes, to))
}

/// One side as `[batch.., rows, columns]`, and its free extents. `depth_first` says whether the contracted axes are the rows.
pub fn side(cx: &mut Cx<'_, '_>, v: V, batch: &[usize], contract: &[usize], depth_first: bool) -> R<(V, Vec<Dim>)> {
    let shape = cx.shape(v);
    let mut seen = vec![false; shape.len()];
    for a in batch.iter().chain(contract) {
        if std::mem::replace(&mut seen[*a], true) {
            return bad_attribute(format!("axis {a} stands twice among batching and contracting dimensions"));
        }
    }
    let free: Vec<usize> = (0..shape.len()).filter(|a| !seen[*a]).collect();
    let (first, second) = if depth_first { (contract, free.as_slice()) } else { (free.as_slice(), contract) };
    let v = cx.transpose(v, [batch, first, second].concat())?;
    let product = |axes: &[usize]| axes.iter().fold(Dim::from(1), |a, i| a * shape[*i].clone());
    let mut flat: Vec<Dim> = batch.iter().map(|i| shape[*i].clone()).collect();
    flat.extend([product(first), product(second)]);
    Ok((cx.reshape(v, flat)?, free.iter().map(|i| shape[*i].clone()).collect()))
}

/// The product where the right side has no batch axes: the free axes of the left one stay as they are, and no reshape stands
/// between the product and what follows it.
fn rows_by_matrix(cx: &mut Cx<'_, '_>, x: V, y: V, axes: &Axes, out: DType) -> R<Option<V>> {
    let shape = cx.shape(x);
    let [depth] = axes.contract[0][..] else { return Ok(None) };
    if !axes.batch[0].is_empty() || shape.len() < 3 {
        return Ok(None);
    }
    let order: Vec<usize> = (0..shape.len()).filter(|a| *a != depth).chain([depth]).collect();
    let a = cx.transpose(x, order)?;
    let (b, columns) = side(cx, y, &[], &axes.contract[1], true)?;
    let v = cx.emit(Op::MatMul { out }, &[a, b])?;
    let shape = cx.shape(v)[..shape.len() - 1].iter().cloned().chain(columns).collect();
    cx.reshape(v, shape).map(Some)
}

/// The product of `x` and `y`: result axes are batch, free axes of `x`, free axes of `y`.
pub fn contract(cx: &mut Cx<'_, '_>, x: V, y: V, axes: &Axes, to: DType) -> R {
    let same = axes.batch[0].len() == axes.batch[1].len() && axes.contract[0].len() == axes.contract[1].len();
    if !same {
        return bad_attribute("the sides have different numbers of batching or contracting dimensions");
    }
    if cx.walk.as_written && to.is_float() {
        return Ok(in_order::contract(cx, &[x], &[y], axes, to)?[0]);
    }
    let (mut x, mut y) = (x, y);
    let out = accumulator(cx, &mut x, &mut y, to)?;
    if let Some(v) = rows_by_matrix(cx, x, y, axes, out)? {
        return cx.cast(v, to);
    }
    let (a, rows) = side(cx, x, &axes.batch[0], &axes.contract[0], false)?;
    let (b, columns) = side(cx, y, &axes.batch[1], &axes.contract[1], true)?;
    let v = cx.emit(Op::MatMul { out }, &[a, b])?;
    let batch = cx.shape(v)[..axes.batch[0].len()].to_vec();
    let v = cx.reshape(v, [batch, rows, columns].concat())?;
    cx.cast(v, to)
}

/// Brings the sides to types that the core products take, and gives the type to accumulate in.
pub fn accumulator(cx: &mut Cx<'_, '_>, x: &mut V, y: &mut V, to: DType) -> R<DType> {
    let (a, b) = (cx.dtype(*x), cx.dtype(*y));
    if to.is_float() {
        // Sides of two types, or integers multiplied as floats: converted first, which is exact for all narrower types.
        if a != b || !a.is_float() {
            *x = cx.cast(*x, to)?;
            *y = cx.cast(*y, to)?;
        }
        return Ok(to);
    }
    // Booleans count, in 32 bits; narrow integers wrap at the end, which is the same as wrapping on the way.
    for v in [x, y] {
        if !cx.dtype(*v).is_int() {
            *v = cx.cast(*v, DType::I32)?;
        }
    }
    Ok(match to {
        DType::Bool => DType::I32,
        t if t.bits() >= 32 => t,
        _ => DType::I32,
    })
}
