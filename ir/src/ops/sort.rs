//! Sorting by a comparator.

#[cfg(test)]
mod tests;

use super::InferError;
use super::infer::check_axis;
use super::reducer::common_shape;
use super::region::{Callee, check_scalars};
use crate::eval::{Ctx, EvalError};
use crate::graph::{Graph, RegionId};
use crate::ops::index;
use crate::tensor::{Num, Tensor};
use crate::types::{DType, TensorType};

/// Result types of [`super::Op::SortBy`].
pub(super) fn infer_sort(
    axis: usize,
    region: RegionId,
    inputs: &[&TensorType],
    graph: &Graph,
) -> Result<Vec<TensorType>, InferError> {
    let Some(first) = inputs.first() else { return InferError::fail("takes one tensor or more") };
    check_axis(axis, first)?;
    let shape = common_shape(inputs, &graph.symbols)?;
    let types: Vec<DType> = inputs.iter().flat_map(|t| [t.dtype, t.dtype]).collect();
    check_scalars("comparator", graph, region, &types, &[DType::Bool])?;
    Ok(inputs.iter().map(|t| TensorType::new(t.dtype, shape.clone())).collect())
}

/// Results; see [`crate::eval::op`]. Runs of one element are merged in pairs, neighbours first, until one run is left; of two
/// heads the right one goes first only where the comparator says that it is less. So the order is stable, and defined even
/// for a comparator that is not an order (NaN under `<`).
pub(crate) fn eval_sort(axis: usize, region: RegionId, args: &[Tensor], ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let mut less = Callee::new(ctx.graph, region, ctx.dims)?;
    let shape = &args[0].shape;
    let (n, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    let total: usize = shape.iter().product();
    let mut place: Vec<usize> = (0..total).collect();
    let (mut values, mut results) = (Vec::<Num>::new(), vec![]);
    for line in 0..total.checked_div(n).unwrap_or(0) {
        let first = line / inner * n * inner + line % inner;
        let mut order: Vec<usize> = (0..n).map(|i| first + i * inner).collect();
        let mut width = 1;
        while width < n {
            let mut merged = Vec::with_capacity(n);
            for run in order.chunks(2 * width) {
                let (left, right) = run.split_at(width.min(run.len()));
                let (mut l, mut r) = (left.iter().peekable(), right.iter().peekable());
                while let (Some(&&a), Some(&&b)) = (l.peek(), r.peek()) {
                    values.clear();
                    values.extend(args.iter().flat_map(|t| [t.get(b), t.get(a)]));
                    merged.push(if less.holds(&values, &mut results)? {
                        *r.next().unwrap_or(&b)
                    } else {
                        *l.next().unwrap_or(&a)
                    });
                }
                merged.extend(l.chain(r));
            }
            order = merged;
            width *= 2;
        }
        for (i, from) in order.into_iter().enumerate() {
            place[first + i * inner] = from;
        }
    }
    let moved = |t: &Tensor| {
        let size = t.dtype.size();
        let mut out = index::buffer(t.dtype, shape)?;
        place.iter().for_each(|&i| out.extend_from_slice(&t.bytes()[i * size..(i + 1) * size]));
        index::tensor(t.dtype, shape, out)
    };
    args.iter().map(moved).collect()
}
