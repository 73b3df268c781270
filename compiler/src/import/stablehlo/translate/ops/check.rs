//! Checks that conformance programs make of their own results.

use super::super::Criterion;
use super::super::cx::Cx;
use super::super::value::Val;
use super::source::dense;
use super::{Row, any};
use crate::import::fail::{R, bad_arguments};
use crate::import::stablehlo::syntax::Attr;

pub const OPS: &[Row] = &[
    any("check.expect_almost_eq", |cx| pair(cx, almost)),
    any("check.expect_almost_eq_const", |cx| constant(cx, almost)),
    any("check.expect_close", |cx| pair(cx, close)),
    any("check.expect_eq", |cx| pair(cx, equal)),
    any("check.expect_eq_const", |cx| constant(cx, equal)),
];

/// The tolerance of the operation `expect_almost_eq` where none is given: `CheckOps.td` of StableHLO.
const TOLERANCE: f64 = 1e-4;

/// The tolerance of a custom call of that name. What judges it is the driver of StableHLO's interpreter
/// (`StablehloTranslateMain.cpp`), which takes one for all and reads no attributes.
const CALLED_TOLERANCE: f64 = 1e-3;

/// Units in the last place of `expect_close` where none are given.
const ULPS: i64 = 3;

type Rule = fn(&Cx<'_, '_>) -> R<Criterion>;

fn equal(_: &Cx<'_, '_>) -> R<Criterion> {
    Ok(Criterion::Equal)
}

fn almost(cx: &Cx<'_, '_>) -> R<Criterion> {
    Ok(Criterion::AlmostEqual(cx.float_opt("tolerance")?.unwrap_or(TOLERANCE)))
}

fn close(cx: &Cx<'_, '_>) -> R<Criterion> {
    // Unsigned numbers of 64 bits, which attributes hold as signed ones.
    let ulps = |name, default| R::Ok(cx.int_opt(name)?.unwrap_or(default) as u64);
    Ok(Criterion::Close { min: ulps("min_ulp_difference", 0)?, max: ulps("max_ulp_difference", ULPS)? })
}

/// As the driver of StableHLO's interpreter judges the custom call.
fn almost_called(_: &Cx<'_, '_>) -> R<Criterion> {
    Ok(Criterion::AlmostEqual(CALLED_TOLERANCE))
}

/// As the driver of StableHLO's interpreter judges the custom call.
fn close_called(_: &Cx<'_, '_>) -> R<Criterion> {
    Ok(Criterion::Close { min: 0, max: ULPS as u64 })
}

fn pair(cx: &mut Cx<'_, '_>, rule: Rule) -> R<Vec<Val>> {
    let criterion = rule(cx)?;
    let (got, want) = (cx.val(0)?, cx.val(1)?);
    let place = cx.loc.place.clone();
    cx.walk.check(criterion, &got, &want, &place)?;
    Ok(vec![])
}

/// `check.eq` of the suite of quantized operations, which writes it with a result that nothing uses.
fn silent(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    pair(cx, equal)?;
    Ok(vec![Val::Token; cx.op.results.len()])
}

fn constant(cx: &mut Cx<'_, '_>, rule: Rule) -> R<Vec<Val>> {
    let criterion = rule(cx)?;
    let got = cx.val(0)?;
    let Some(Attr::Dense(d)) = cx.attr("value") else { return bad_arguments("attribute `value` must be `dense<..>`") };
    let want = dense(cx, d)?;
    let place = cx.loc.place.clone();
    cx.walk.check(criterion, &got, &want, &place)?;
    Ok(vec![])
}

/// The check that a custom call is, by its target.
pub fn custom(target: &str) -> Option<super::Convert> {
    Some(match target {
        "check.expect_eq" => |cx| pair(cx, equal),
        "check.eq" => silent,
        "check.expect_almost_eq" => |cx| pair(cx, almost_called),
        "check.expect_close" => |cx| pair(cx, close_called),
        _ => return None,
    })
}
