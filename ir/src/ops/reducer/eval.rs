//! What reductions by a region mean. The arguments have passed `infer`.

use super::{SelectAndScatter, WindowAxis, WindowReduce};
use crate::eval::{Ctx, EvalError};
use crate::graph::RegionId;
use crate::ops::region::Callee;
use crate::ops::{InferError, index};
use crate::tensor::{Num, Tensor};

/// Results; see [`crate::eval::op`]. Elements are folded in row-major order.
pub(crate) fn eval_reduce_with(axes: &[usize], region: RegionId, args: &[Tensor], ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let (data, init) = args.split_at(args.len() / 2);
    let mut callee = Callee::new(ctx.graph, region, ctx.dims)?;
    let shape = &data[0].shape;
    let kept: Vec<usize> = (0..shape.len()).filter(|i| !axes.contains(i)).collect();
    let out: Vec<usize> = kept.iter().map(|&i| shape[i]).collect();
    let strides = index::strides(&out);
    let start: Vec<Num> = init.iter().map(|t| t.get(0)).collect();
    let mut sums = states(&start, &out)?;
    let (mut values, mut results) = (vec![], vec![]);
    let mut next = 0;
    index::for_each(shape, |at| {
        let to: usize = kept.iter().zip(&strides).map(|(&i, s)| at[i] * s).sum();
        values.clear();
        values.extend_from_slice(&sums[to]);
        values.extend(data.iter().map(|t| t.get(next)));
        next += 1;
        callee.call(&values, &mut results)?;
        sums[to].copy_from_slice(&results);
        Ok(())
    })?;
    tensors(data, &out, &sums)
}

/// One state for every element of a result.
fn states(start: &[Num], shape: &[usize]) -> Result<Vec<Vec<Num>>, EvalError> {
    // Bounds the memory first: an absurd shape is an error here.
    index::zeros(shape)?;
    Ok(vec![start.to_vec(); shape.iter().product()])
}

fn tensors(data: &[Tensor], shape: &[usize], states: &[Vec<Num>]) -> Result<Vec<Tensor>, EvalError> {
    data.iter().enumerate().map(|(k, t)| index::rounded(t.dtype, shape, states.iter().map(|s| s[k]))).collect()
}

/// Calls `f` with every tap of the window at `o`, row-major: the position it reads, `None` for a pad or a hole.
fn taps(
    axes: &[WindowAxis],
    shape: &[usize],
    strides: &[usize],
    o: &[usize],
    mut f: impl FnMut(Option<usize>) -> Result<(), EvalError>,
) -> Result<(), EvalError> {
    let window: Vec<usize> = axes.iter().map(|a| a.window as usize).collect();
    index::for_each(&window, |t| {
        let mut at = 0;
        for i in 0..axes.len() {
            match axes[i].source(o[i], t[i], shape[i]) {
                Some(p) => at += p * strides[i],
                None => return f(None),
            }
        }
        f(Some(at))
    })
}

fn fail(e: InferError) -> EvalError {
    EvalError(e.message)
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_window_reduce(p: &WindowReduce, args: &[Tensor], ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let (data, init) = args.split_at(args.len() / 2);
    let mut callee = Callee::new(ctx.graph, p.region, ctx.dims)?;
    let shape = &data[0].shape;
    let axes = p.axes(shape.len()).map_err(fail)?;
    let types: Vec<_> = args.iter().map(Tensor::ty).collect();
    let types = super::infer_window_reduce(p, &types.iter().collect::<Vec<_>>(), ctx.graph).map_err(fail)?;
    let Some(out) = types[0].static_shape() else { return EvalError::fail("the result has a negative extent") };
    let strides = index::strides(shape);
    let start: Vec<Num> = init.iter().map(|t| t.get(0)).collect();
    let mut sums = states(&start, &out)?;
    let (mut values, mut results) = (vec![], vec![]);
    let mut next = 0;
    index::for_each(&out, |o| {
        let sum = &mut sums[next];
        next += 1;
        taps(&axes, shape, &strides, o, |at| {
            values.clear();
            values.extend_from_slice(sum);
            match at {
                Some(at) => values.extend(data.iter().map(|t| t.get(at))),
                None => values.extend_from_slice(&start),
            }
            callee.call(&values, &mut results)?;
            sum.copy_from_slice(&results);
            Ok(())
        })
    })?;
    tensors(data, &out, &sums)
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_select_and_scatter(p: &SelectAndScatter, args: &[Tensor], ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let (operand, source, init) = (&args[0], &args[1], args[2].get(0));
    let mut select = Callee::new(ctx.graph, p.select, ctx.dims)?;
    let mut scatter = Callee::new(ctx.graph, p.scatter, ctx.dims)?;
    let axes = p.axes(operand.shape.len()).map_err(fail)?;
    let strides = index::strides(&operand.shape);
    let mut out = vec![init; operand.len()];
    let mut results = vec![];
    let mut next = 0;
    index::for_each(&source.shape, |o| {
        let mut chosen: Option<usize> = None;
        taps(&axes, &operand.shape, &strides, o, |at| {
            let Some(at) = at else { return Ok(()) };
            let keep = match chosen {
                Some(c) => select.holds(&[operand.get(c), operand.get(at)], &mut results)?,
                None => false,
            };
            if !keep {
                chosen = Some(at);
            }
            Ok(())
        })?;
        if let Some(c) = chosen {
            scatter.call(&[out[c], source.get(next)], &mut results)?;
            out[c] = results[0];
        }
        next += 1;
        Ok(())
    })?;
    Ok(vec![index::rounded(operand.dtype, &operand.shape, out.into_iter())?])
}
