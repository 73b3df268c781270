//! The operations of the CHLO dialect on real numbers: special functions, `top_k`, and shorthands with implicit broadcasting.
//!
//! Functions that are no core op are computed in `f64` and rounded once to the type of the argument.

use beiming_ir::ops::{BinaryOp, Op, TopK, UnaryOp};
use beiming_ir::types::{DType, Dim};

use super::super::cx::{Cx, axes_in};
use super::super::math::{Ex, emit, special, value};
use super::super::value::Val;
use super::elementwise::{direction, one, unsigned};
use super::{Row, any, in_order, real};
use crate::import::build::Build;
use crate::import::fail::{R, bad_arguments, bad_attribute, unsupported};
use crate::import::frame::V;
use crate::import::stablehlo::syntax::Attr;

macro_rules! core {
    ($name:literal, $op:ident) => {
        real($name, |cx| {
            let x = cx.plain(0)?;
            one(cx.unary(UnaryOp::$op, x))
        })
    };
}

macro_rules! broadcast {
    ($name:literal, $op:ident) => {
        real($name, |cx| {
            let (x, y) = aligned(cx)?;
            one(cx.binary(BinaryOp::$op, x, y))
        })
    };
}

pub const OPS: &[Row] = &[
    core!("chlo.acos", Acos),
    core!("chlo.acosh", Acosh),
    core!("chlo.asin", Asin),
    core!("chlo.asinh", Asinh),
    core!("chlo.atan", Atan),
    core!("chlo.atanh", Atanh),
    real("chlo.cosh", |cx| expanded(cx, UnaryOp::Cosh, in_order::cosh)),
    core!("chlo.erf", Erf),
    core!("chlo.erfc", Erfc),
    core!("chlo.is_inf", IsInf),
    real("chlo.sinh", |cx| expanded(cx, UnaryOp::Sinh, in_order::sinh)),
    core!("chlo.tan", Tan),
    real("chlo.bessel_i1e", |cx| function(cx, special::bessel_i1e)),
    real("chlo.digamma", |cx| function(cx, special::digamma)),
    real("chlo.erf_inv", |cx| function(cx, |x| special::erf_inv(x, 2))),
    real("chlo.lgamma", |cx| function(cx, special::lgamma)),
    real("chlo.polygamma", |cx| function2(cx, special::polygamma)),
    real("chlo.zeta", |cx| function2(cx, special::zeta)),
    real("chlo.is_neg_inf", |cx| formula(cx, |x| x.eq(f64::NEG_INFINITY))),
    real("chlo.is_pos_inf", |cx| formula(cx, |x| x.eq(f64::INFINITY))),
    real("chlo.square", |cx| formula(cx, Ex::square)),
    real("chlo.conj", |cx| one(cx.plain(0))),
    real("chlo.mulhi", mulhi),
    real("chlo.next_after", next_after),
    real("chlo.top_k", top_k),
    any("chlo.constant", super::source::constant),
    real("chlo.constant_like", constant_like),
    broadcast!("chlo.broadcast_add", Add),
    broadcast!("chlo.broadcast_and", And),
    broadcast!("chlo.broadcast_atan2", Atan2),
    broadcast!("chlo.broadcast_divide", Div),
    broadcast!("chlo.broadcast_maximum", Max),
    broadcast!("chlo.broadcast_minimum", Min),
    broadcast!("chlo.broadcast_multiply", Mul),
    broadcast!("chlo.broadcast_or", Or),
    broadcast!("chlo.broadcast_power", Pow),
    broadcast!("chlo.broadcast_remainder", Rem),
    broadcast!("chlo.broadcast_shift_left", Shl),
    broadcast!("chlo.broadcast_subtract", Sub),
    broadcast!("chlo.broadcast_xor", Xor),
    real("chlo.broadcast_compare", compare),
    real("chlo.broadcast_complex", complex),
    real("chlo.broadcast_polygamma", |cx| wide2(cx, special::polygamma)),
    real("chlo.broadcast_zeta", |cx| wide2(cx, special::zeta)),
    real("chlo.broadcast_select", |cx| {
        let (c, x, y) = (cx.plain(0)?, cx.plain(1)?, cx.plain(2)?);
        one(cx.select(c, x, y))
    }),
];

/// A formula in the type of the argument.
fn formula(cx: &mut Cx<'_, '_>, f: impl Fn(&Ex) -> Ex) -> R<Vec<Val>> {
    let x = cx.plain(0)?;
    let e = f(&value(x));
    Ok(vec![Val::Plain(emit(cx, &[&e])?[0])])
}

/// A core function; computed as written, the formula that the dialect expands it to, in `f32` at least.
fn expanded(cx: &mut Cx<'_, '_>, op: UnaryOp, f: impl Fn(&Ex) -> Ex) -> R<Vec<Val>> {
    let x = cx.plain(0)?;
    let own = cx.dtype(x);
    if !cx.walk.as_written {
        return one(cx.unary(op, x));
    }
    let e = f(&value(x).cast(if own.bits() < 32 { DType::F32 } else { own })).cast(own);
    one(emit(cx, &[&e]).map(|v| v[0]))
}

/// A function of `f64`, rounded once to the type of the argument.
fn function(cx: &mut Cx<'_, '_>, f: impl Fn(&Ex) -> Ex) -> R<Vec<Val>> {
    let x = cx.plain(0)?;
    let own = cx.dtype(x);
    let e = f(&value(x).cast(DType::F64)).cast(own);
    Ok(vec![Val::Plain(emit(cx, &[&e])?[0])])
}

fn function2(cx: &mut Cx<'_, '_>, f: impl Fn(&Ex, &Ex) -> Ex) -> R<Vec<Val>> {
    let (x, y) = (cx.plain(0)?, cx.plain(1)?);
    both(cx, x, y, f)
}

fn wide2(cx: &mut Cx<'_, '_>, f: impl Fn(&Ex, &Ex) -> Ex) -> R<Vec<Val>> {
    let (x, y) = aligned(cx)?;
    both(cx, x, y, f)
}

fn both(cx: &mut Cx<'_, '_>, x: V, y: V, f: impl Fn(&Ex, &Ex) -> Ex) -> R<Vec<Val>> {
    let own = cx.dtype(x);
    let e = f(&value(x).cast(DType::F64), &value(y).cast(DType::F64)).cast(own);
    Ok(vec![Val::Plain(emit(cx, &[&e])?[0])])
}

/// The arguments of a `broadcast_` operation: the smaller one's axes are those that `broadcast_dimensions` names, or the last.
fn aligned(cx: &mut Cx<'_, '_>) -> R<(V, V)> {
    let (x, y) = (cx.plain(0)?, cx.plain(1)?);
    let (rx, ry) = (cx.rank(x), cx.rank(y));
    let Some(list) = cx.ints_opt("broadcast_dimensions")? else { return Ok((x, y)) };
    if rx == ry {
        return Ok((x, y));
    }
    let (small, rank) = if rx < ry { (x, ry) } else { (y, rx) };
    let axes = axes_in("broadcast_dimensions", &list, rank)?;
    let from = cx.shape(small);
    if axes.len() != from.len() {
        return bad_attribute(format!("`broadcast_dimensions` has {} axes for an argument of rank {}", axes.len(), from.len()));
    }
    let mut shape = vec![Dim::Known(1); rank];
    for (a, d) in axes.iter().zip(from) {
        shape[*a] = d;
    }
    let small = cx.reshape(small, shape)?;
    Ok(if rx < ry { (small, y) } else { (x, small) })
}

fn compare(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let op = direction(cx.text("comparison_direction")?)?;
    let (x, y) = aligned(cx)?;
    one(cx.binary(op, x, y))
}

fn complex(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (x, y) = aligned(cx)?;
    let shape = match cx.result_shape(0)? {
        Some(s) => s,
        None => return unsupported("a complex result of a shape that is not known"),
    };
    Ok(vec![Val::Complex(cx.broadcast(x, shape.clone())?, cx.broadcast(y, shape)?)])
}

fn constant_like(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let x = cx.plain(0)?;
    let v = match cx.attr("value") {
        Some(Attr::Float(v, _)) => *v,
        Some(Attr::Int(v, _)) => *v as f64,
        _ => return bad_attribute("attribute `value` must be a number"),
    };
    one(cx.full_like(x, v))
}

fn next_after(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (x, y) = (cx.plain(0)?, cx.plain(1)?);
    let own = cx.dtype(x);
    let ints = match own {
        DType::F64 => DType::I64,
        DType::F32 => DType::I32,
        DType::F16 | DType::BF16 => DType::I16,
        other => return bad_arguments(format!("it takes f64, f32, f16 and bf16, not {other}")),
    };
    let e = special::next_after(&value(x), &value(y), own, ints);
    Ok(vec![Val::Plain(emit(cx, &[&e])?[0])])
}

/// The upper half of the digits of a product of integers.
fn mulhi(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (x, y) = (cx.plain(0)?, cx.plain(1)?);
    let own = cx.dtype(x);
    if !own.is_int() {
        return bad_arguments(format!("it takes integers, not {own}"));
    }
    let bits = f64::from(own.bits());
    let e = if own.bits() < 64 {
        let wide = if own.is_signed_int() { DType::I64 } else { DType::U64 };
        (value(x).cast(wide) * value(y).cast(wide)).shr(bits).cast(own)
    } else {
        // Schoolbook multiplication of halves, unsigned; a negative factor counts 2^64 too much of the other.
        let (a, b) = (value(x).bitcast(unsigned(own)), value(y).bitcast(unsigned(own)));
        let low = |v: &Ex| v.shl(32.0).shr(32.0);
        let (ah, al, bh, bl) = (a.shr(32.0), low(&a), b.shr(32.0), low(&b));
        let middle = (&al * &bl).shr(32.0) + &ah * &bl;
        let other = &al * &bh + low(&middle);
        let high = (&ah * &bh + middle.shr(32.0) + other.shr(32.0)).bitcast(own);
        if own.is_signed_int() {
            let (s, t) = (value(x), value(y));
            high - s.lt(0.0).pick(&t, 0.0) - t.lt(0.0).pick(&s, 0.0)
        } else {
            high
        }
    };
    Ok(vec![Val::Plain(emit(cx, &[&e])?[0])])
}

/// The `k` largest along the last axis, in order, and their positions.
pub fn top_k(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let x = cx.plain(0)?;
    let Some(axis) = cx.rank(x).checked_sub(1) else { return bad_arguments("it takes a tensor with an axis") };
    let k = cx.int("k")?;
    let float = cx.dtype(x).is_float();
    // Floats in their total order: NaN above infinity, NaN with a sign below its negative.
    let keys = if float { super::elementwise::total_order(cx, x)? } else { x };
    let mut v = cx.emit_all(Op::TopK(TopK { k: Dim::Known(k), axis, largest: true }), &[keys])?;
    if float {
        v[0] = cx.emit(Op::GatherElements { axis }, &[x, v[1]])?;
    }
    let to = cx.result_dtype(1)?;
    let at = cx.cast(v[1], to)?;
    Ok(vec![Val::Plain(v[0]), Val::Plain(at)])
}
