//! Reductions. A reducer that is a known function becomes a core reduction; others run as regions.

use beiming_ir::ops::{Op, ReduceOp};
use beiming_ir::tensor::Num;
use beiming_ir::types::DType;

use super::super::cx::Cx;
use super::super::value::{Val, flatten, rebuild};
use super::region::{data_and_inits, is_identity, known_function, reducer, reduction, signature, step};
use super::{Row, any};
use crate::import::build::Build;
use crate::import::fail::{Fail, R, bad_arguments};
use crate::import::frame::V;

pub const OPS: &[Row] = &[any("stablehlo.map", map), any("stablehlo.reduce", reduce)];

fn reduce(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let all = cx.args.clone();
    let (data, inits) = data_and_inits(&all)?;
    let block = cx.block(0)?;
    let mut axes = cx.axes("dimensions", cx.shape_of(&data[0])?.len())?;
    axes.sort_unstable();
    if let ([x], Some(f)) = (data, known_function(block)) {
        let planes = flatten(data);
        let whole = matches!(x, Val::Plain(_)) || f == beiming_ir::ops::BinaryOp::Add && matches!(x, Val::Complex(..));
        let whole = whole && planes.first().is_some_and(|v| !cx.stepwise(f, *v));
        if let (true, Some(op)) = (whole, planes.first().and_then(|v| reduction(f, cx.dtype(*v)))) {
            let pair = [x.clone(), inits[0].clone()];
            return Ok(vec![cx.zip(&pair, |cx, v| {
                let out = cx.reduce(op, v[0], axes.clone(), false)?;
                if is_identity(cx, v[1], op) { Ok(out) } else { cx.binary(step(op), out, v[1]) }
            })?]);
        }
    }
    if let Some(found) = arg_reduce(cx, &axes)? {
        return Ok(found);
    }
    let region = reducer(cx, block, data)?;
    let args = flatten(&all);
    let outs = cx.emit_all(Op::ReduceWith { axes, region }, &args)?;
    rebuild(data, &outs).ok_or(Fail::Poisoned)
}

/// Reducers that keep the larger or smaller of two values together with its position, the first of equal ones: of floats,
/// where NaN wins, and of integers.
const ARG_REDUCERS: &[(bool, &str)] = &[
    (true, "GT 0 2; NE 0 0; or 4 5; EQ 0 2; LT 1 3; and 7 8; or 6 9; select 6 0 2; select 10 1 3; return 11 12"),
    (false, "LT 0 2; NE 0 0; or 4 5; EQ 0 2; LT 1 3; and 7 8; or 6 9; select 6 0 2; select 10 1 3; return 11 12"),
    (true, "GT 0 2; EQ 0 2; LT 1 3; and 5 6; or 4 7; select 4 0 2; select 8 1 3; return 9 10"),
    (false, "LT 0 2; EQ 0 2; LT 1 3; and 5 6; or 4 7; select 4 0 2; select 8 1 3; return 9 10"),
];

fn arg_reduce(cx: &mut Cx<'_, '_>, axes: &[usize]) -> R<Option<Vec<Val>>> {
    let ([Val::Plain(x), Val::Plain(i), Val::Plain(x0), Val::Plain(i0)], [axis]) = (cx.args.as_slice(), axes) else {
        return Ok(None);
    };
    let (x, i, x0, i0, axis) = (*x, *i, *x0, *i0, *axis);
    let written = signature(cx.block(0)?);
    let Some((max, _)) = ARG_REDUCERS.iter().find(|(_, s)| *s == written) else { return Ok(None) };
    let op = if *max { ReduceOp::Max } else { ReduceOp::Min };
    let starts_low = is_identity(cx, x0, op) && cx.top().const_of(i0).is_some_and(|t| t.get(0) == Num::Int(0));
    // Over no elements the initial values are the result, which the core op does not have.
    let some = cx.shape(x)[axis].known().is_some_and(|e| e > 0);
    if !starts_low || !some || !counts_along(cx, i, axis) || cx.dtype(x) == DType::Bool {
        return Ok(None);
    }
    let value = cx.reduce(op, x, vec![axis], false)?;
    let at = cx.emit(Op::ArgReduce { max: *max, axis, keep: false, last: false }, &[x])?;
    let at = cx.cast(at, cx.dtype(i))?;
    Ok(Some(vec![Val::Plain(value), Val::Plain(at)]))
}

/// True where `v` holds the position along `axis` everywhere.
pub fn counts_along(cx: &Cx<'_, '_>, v: V, axis: usize) -> bool {
    if let Some(t) = cx.top().const_of(v) {
        let inner: usize = t.shape[axis + 1..].iter().product();
        return (0..t.len()).all(|k| t.get(k) == Num::Int((k / inner % t.shape[axis]) as i128));
    }
    cx.top().is_iota(v, axis)
}

/// An elementwise function given as a region of scalars: it is inlined over the whole tensors.
fn map(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let block = cx.block(0)?;
    let args = cx.args.clone();
    let Some(first) = args.first() else { return bad_arguments("it has no arguments") };
    let shape = cx.shape_of(first)?;
    let results = cx.walk.block(block, &args)?;
    results.iter().map(|r| cx.map(r, |cx, v| cx.broadcast(v, shape.clone()))).collect()
}
