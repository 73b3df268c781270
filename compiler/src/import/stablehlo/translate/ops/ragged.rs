//! Products of matrices in groups: a ragged axis is cut into consecutive parts, each of which has a matrix of its own.
//!
//! A mask says which elements of the ragged axis each group has. What lies in another group, or behind the last, counts as
//! zero, and all groups are one dense product.

use beiming_ir::ops::{BinaryOp, Cumulative, Op, ReduceOp};
use beiming_ir::types::{DType, Dim};

use super::super::cx::{Cx, axes_in};
use super::super::value::Val;
use super::dot::{Axes, contract};
use super::elementwise::one;
use super::{Row, real};
use crate::import::build::Build;
use crate::import::fail::{R, bad_arguments, bad_attribute, unsupported};
use crate::import::frame::V;
use crate::import::stablehlo::syntax::Attr;

pub const OPS: &[Row] = &[real("chlo.ragged_dot", ragged_dot)];

fn ragged_dot(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (x, y, sizes) = (cx.plain(0)?, cx.plain(1)?, cx.plain(2)?);
    let ranks = [cx.rank(x), cx.rank(y)];
    let Some(Attr::Struct(_, fields)) = cx.attr("ragged_dot_dimension_numbers") else {
        return bad_attribute("attribute `ragged_dot_dimension_numbers` is missing");
    };
    let list = |name: &str, rank: usize| {
        let l = fields.get(name).and_then(Attr::ints).unwrap_or_default();
        axes_in(name, &l, rank)
    };
    let mut axes = Axes {
        batch: [list("lhs_batching_dimensions", ranks[0])?, list("rhs_batching_dimensions", ranks[1])?],
        contract: [list("lhs_contracting_dimensions", ranks[0])?, list("rhs_contracting_dimensions", ranks[1])?],
    };
    let (ragged, group) = (list("lhs_ragged_dimensions", ranks[0])?, list("rhs_group_dimensions", ranks[1])?);
    let [ragged] = ragged[..] else { return bad_attribute("there must be one ragged dimension") };
    let to = cx.result_dtype(0)?;
    if axes.batch[0].contains(&ragged) {
        // Groups of whole matrices: each has its own partner anyway.
        return one(contract(cx, x, y, &axes, to));
    }
    let in_group = members(cx, sizes, x, ragged, &axes.batch[0])?;
    if let Some(k) = axes.contract[0].iter().position(|a| *a == ragged) {
        // The sum is cut into groups, each a matrix of the result: `[g, b.., m.., n..]`.
        let Some(&partner) = axes.contract[1].get(k) else {
            return bad_attribute("the sides have different numbers of contracting dimensions");
        };
        let theirs = members(cx, sizes, y, partner, &axes.batch[1])?;
        let (x, y) = (masked(cx, x, in_group)?, masked(cx, y, theirs)?);
        axes.batch[0].insert(0, ranks[0]);
        axes.batch[1].insert(0, ranks[1]);
        return one(contract(cx, x, y, &axes, to));
    }
    // Rows in groups: the group's axis is summed over with the contracted ones, and one group of each row is not zero.
    let [group] = group[..] else {
        return bad_attribute("there must be one group dimension where the ragged one is not summed over");
    };
    let x = masked(cx, x, in_group)?;
    axes.contract[0].push(ranks[0]);
    axes.contract[1].push(group);
    one(contract(cx, x, y, &axes, to))
}

/// Whether an element of axis `ragged` of `x` is in a group: a mask that broadcasts to the shape of `x` with the groups behind.
/// The sizes of the groups are `[groups]`, or such a list for each of the batch.
fn members(cx: &mut Cx<'_, '_>, sizes: V, x: V, ragged: usize, batch: &[usize]) -> R {
    let (shape, listed) = (cx.shape(x), cx.shape(sizes));
    let Some((groups, lists)) = listed.split_last() else { return bad_arguments("the sizes of the groups must be a list") };
    if !lists.is_empty() && lists.len() != batch.len() {
        return unsupported(format!("group sizes of rank {}, with {} batching dimensions", listed.len(), batch.len()));
    }
    let sizes = cx.cast(sizes, DType::I64)?;
    let sums = |exclusive| Op::Cumulative(Cumulative { op: ReduceOp::Sum, axis: lists.len(), exclusive, reverse: false });
    let (first, end) = (cx.emit(sums(true), &[sizes])?, cx.emit(sums(false), &[sizes])?);
    // The lists where the batch is in `x`, then the groups.
    let mut order: Vec<usize> = (0..lists.len()).collect();
    order.sort_by_key(|i| batch[*i]);
    let mut place = vec![Dim::from(1); shape.len()];
    order.iter().for_each(|i| place[batch[*i]] = lists[*i].clone());
    place.push(groups.clone());
    order.push(lists.len());
    let mut spread = |v: V| {
        let v = cx.transpose(v, order.clone())?;
        cx.reshape(v, place.clone())
    };
    let (first, end) = (spread(first)?, spread(end)?);
    let mut along = vec![Dim::from(1); shape.len() + 1];
    along[ragged] = shape[ragged].clone();
    let at = cx.emit(Op::Iota { dtype: DType::I64, shape: along, axis: ragged }, &[])?;
    let (after, before) = (cx.binary(BinaryOp::Ge, at, first)?, cx.binary(BinaryOp::Lt, at, end)?);
    cx.binary(BinaryOp::And, after, before)
}

/// `x` once for each group, behind its own axes; zero outside of the group.
fn masked(cx: &mut Cx<'_, '_>, x: V, mask: V) -> R {
    let mut shape = cx.shape(x);
    shape.push(Dim::from(1));
    let x = cx.reshape(x, shape)?;
    let zero = cx.scalar_like(x, 0.0);
    cx.select(mask, x, zero)
}
