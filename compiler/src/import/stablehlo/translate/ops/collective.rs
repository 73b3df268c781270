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
    any("stablehlo.cross-replica-sum", alone),
    any("stablehlo.reduce_scatter", alone),
    any("stablehlo.infeed", elsewhere),
    any("stablehlo.outfeed", elsewhere),
    any("stablehlo.recv", elsewhere),
    any("stablehlo.send", elsewhere),
    real("stablehlo.partition_id", identity),
    real("stablehlo.replica_id", identity),
];

/// Groups that name other participants need them.
fn alone(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let groups = match cx.attr("replica_groups") {
        Some(Attr::Dense(d)) => d.values.to_i64(),
        Some(a) => a.ints().unwrap_or_default(),
        None => vec![],
    };
    if groups.iter().any(|g| *g > 0) {
        return unsupported("groups of several participants; programs run with one");
    }
    Ok(cx.args.clone())
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
