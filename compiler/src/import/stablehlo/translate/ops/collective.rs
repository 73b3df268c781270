//! Operations among participants. There is one here: a group is this participant, so sums are its own values.

use super::super::cx::Cx;
use super::super::value::Val;
use super::{Row, any, real};
use crate::import::build::Build;
use crate::import::fail::{R, bad_arguments, unsupported};
use crate::import::stablehlo::syntax::Attr;

pub const OPS: &[Row] = &[
    any("stablehlo.all_gather", alone),
    any("stablehlo.all_reduce", alone),
    any("stablehlo.all_to_all", alone),
    any("stablehlo.collective_broadcast", alone),
    any("stablehlo.collective_permute", permute),
    any("stablehlo.collective_reduce", root),
    any("stablehlo.cross-replica-sum", alone),
    any("stablehlo.reduce_scatter", alone),
    any("stablehlo.infeed", elsewhere),
    any("stablehlo.outfeed", elsewhere),
    any("stablehlo.recv", elsewhere),
    any("stablehlo.send", elsewhere),
    real("stablehlo.partition_id", identity),
    real("stablehlo.replica_id", identity),
];

/// A group that names other participants needs them; groups of one each do not.
fn alone(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (groups, size) = match cx.attr("replica_groups") {
        // `[groups, participants of each]`
        Some(Attr::Dense(d)) => (d.values.to_i64(), d.ty.shape.get(1).copied().flatten()),
        Some(a) => (a.ints().unwrap_or_default(), None),
        None => (vec![], None),
    };
    if groups.iter().any(|g| *g > 0) && size != Some(1) {
        return unsupported("groups of several participants; programs run with one");
    }
    for (i, x) in cx.args.iter().enumerate().take(cx.op.results.len()) {
        let (Some(declared), shape) = (cx.result_shape(i)?, cx.shape_of(x)?) else { continue };
        if declared != shape && shape.iter().all(|d| d.known().is_some()) {
            return bad_arguments(format!("a group of one gives its argument, but result {i} is declared with another shape"));
        }
    }
    Ok(cx.args.clone())
}

/// As [`alone`]; the last argument may say which participant of each group gets the result, which is this one.
fn root(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let mut all = alone(cx)?;
    all.truncate(cx.op.results.len());
    Ok(all)
}

/// Nobody sends to this participant unless it does itself.
fn permute(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let pairs = cx.ints("source_target_pairs")?;
    if pairs.iter().any(|p| *p > 0) {
        return unsupported("pairs of several participants; programs run with one");
    }
    let x = cx.val(0)?;
    match pairs.is_empty() {
        false => Ok(vec![x]),
        true => Ok(vec![cx.map(&x, |cx, v| cx.full_like(v, 0.0))?]),
    }
}

fn identity(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let to = cx.result_dtype(0)?;
    Ok(vec![Val::Plain(cx.scalar(to, 0.0))])
}

fn elsewhere(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    match cx.args.last() {
        Some(Val::Token) => unsupported("values that come from or go to other programs while this one runs"),
        _ => bad_arguments("its last argument must be a token"),
    }
}
