//! `ApproxTopK`, the call that `jax.lax.approx_max_k` and `approx_min_k` are: the first so many by a comparator, of which
//! some may be missed. Here none is.

use beiming_ir::ops::Op;
use beiming_ir::types::Dim;

use super::super::cx::{Cx, axes_in};
use super::super::value::Val;
use super::region::scalars_by;
use crate::import::build::Build;
use crate::import::error::{Clean, Code};
use crate::import::fail::{Fail, R, bad_arguments, bad_attribute};
use crate::import::frame::V;
use crate::import::stablehlo::syntax::{Attr, Attrs};

/// `(data.. n, initial values.. n) -> n`. The comparator `(a0, b0, a1, b1, ..) -> bool` is the function that it calls.
pub fn top_k(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let n = cx.op.results.len();
    if n == 0 || cx.args.len() != 2 * n {
        return bad_arguments(format!("it has {} arguments: {n} tensors and as many initial values are needed", cx.args.len()));
    }
    let data: Vec<V> = cx.plains(0)?[..n].to_vec();
    let axis = axes_in("reduction_dim", &[number(config(cx)?, "reduction_dim")?], cx.rank(data[0]))?[0];
    let k = number(config(cx)?, "top_k")?;
    let called = match cx.attr("called_computations") {
        Some(Attr::Array(list)) => list.first().and_then(Attr::text),
        _ => None,
    };
    let Some(name) = called else { return bad_attribute("`called_computations` must name its comparator") };
    let Some(less) = cx.walk.find(name) else {
        return Err(Fail::Invalid(Code::Undefined, format!("the module has no function @{}", Clean(name))));
    };
    let like: Vec<Val> = data.iter().flat_map(|v| [Val::Plain(*v), Val::Plain(*v)]).collect();
    let region = scalars_by(cx, &like, None, |walk, args| walk.call(less, args))?;
    let sorted = cx.emit_all(Op::SortBy { axis, stable: true, region }, &data)?;
    // Without `aggregate_to_topk` the result is longer than `k`: candidates among which the first `k` are.
    let count = match cx.result_shape(0)? {
        Some(declared) => declared.get(axis).cloned().unwrap_or(Dim::Known(k)),
        None => Dim::Known(k),
    };
    if count.known().is_some_and(|c| c < k) {
        return bad_arguments(format!("its result has `{count}` elements along axis {axis}, fewer than the {k} that it selects"));
    }
    sorted.into_iter().map(|v| cx.slice_axis(v, axis, 0.into(), count.clone()).map(Val::Plain)).collect()
}

/// What the call is told.
fn config<'m>(cx: &Cx<'_, 'm>) -> R<&'m Attrs> {
    match cx.attr("mhlo.backend_config").or_else(|| cx.attr("backend_config")) {
        Some(Attr::Dict(fields)) => Ok(fields),
        _ => bad_attribute("`backend_config` must be a dictionary"),
    }
}

fn number(fields: &Attrs, name: &str) -> R<i64> {
    match fields.get(name) {
        Some(Attr::Int(v, _)) => Ok(*v),
        _ => bad_attribute(format!("`backend_config` must have the integer `{name}`")),
    }
}
