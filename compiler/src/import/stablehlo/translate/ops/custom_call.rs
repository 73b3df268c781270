//! Custom calls, by target.

use super::super::cx::Cx;
use super::super::value::Val;
use super::{Convert, Row, any, approximate, check, lapack};
use crate::import::error::Clean;
use crate::import::fail::{Fail, R, unsupported};
use crate::import::frame::V;
use beiming_ir::ops::BinaryOp;

use crate::import::build::Build;
use crate::import::error::Code;

pub const OPS: &[Row] = &[any("stablehlo.custom_call", custom_call)];

/// Targets that say where data lives, or annotate it: with one participant they give their arguments.
const IDENTITIES: &[&str] = &[
    "Sharding",
    "SPMDFullToShardShape",
    "SPMDShardToFullShape",
    "LayoutConstraint",
    "annotate_device_placement",
    "annotate_bfloat16",
    "mhlo.sharding",
    "sdy.sharding_constraint",
    "xla.sdy.FuncResultSharding",
    "xla.sdy.GlobalToLocalShape",
    "xla.sdy.LocalToGlobalShape",
    "xla.sdy.ShardingGroup",
    "tpu_custom_call.sharding",
];

/// Converters of other families, by target.
fn target(name: &str) -> Option<Convert> {
    if let Some(c) = check::custom(name) {
        return Some(c);
    }
    if IDENTITIES.contains(&name) {
        return Some(|cx| Ok(cx.args[..cx.op.results.len().min(cx.args.len())].to_vec()));
    }
    match name {
        "ApproxTopK" => Some(approximate::top_k),
        "shape_assertion" => Some(shape_assertion),
        _ => lapack::target(name),
    }
}

fn custom_call(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let name = cx.text("call_target_name")?;
    match target(name) {
        Some(convert) => convert(cx),
        None => unsupported(format!("custom call of `{}`: nothing of this name is known", Clean(name))),
    }
}

/// What the program requires of the extents of its arguments. Equalities of a symbol are learned; what the ranges of the
/// symbols leave open is for the run.
fn shape_assertion(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let v: V = cx.plain(0)?;
    match cx.top().dims_of(v).and_then(|d| d.first().and_then(beiming_ir::types::Dim::known)) {
        Some(0) => {
            let message = cx.text_opt("error_message")?.unwrap_or("the shapes of the arguments do not fit");
            return Err(Fail::Invalid(Code::Option, format!("a shape assertion does not hold: {}", Clean(message))));
        }
        Some(_) => return Ok(vec![]),
        None => {}
    }
    if let Some((BinaryOp::Eq, a, b)) = cx.walk.comparisons.get(&v).cloned() {
        cx.walk.learn_equal(&a, &b);
    }
    Ok(vec![])
}
