//! Elementwise arithmetic, comparison, logic and conversion.

use beiming_ir::ops::{BinaryOp, Op, UnaryOp};
use beiming_ir::types::DType;

use super::super::node::{Cx, R, axis_of, bad_attribute, unsupported};
use super::super::tensor;
use super::{MANY, Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] = &[
    row("Abs", &[1, 6, 13], 1, |cx| unary(cx, UnaryOp::Abs)),
    row("Neg", &[1, 6, 13], 1, |cx| unary(cx, UnaryOp::Neg)),
    row("Sign", &[9, 13], 1, |cx| unary(cx, UnaryOp::Sign)),
    row("Exp", &[1, 6, 13], 1, |cx| unary(cx, UnaryOp::Exp)),
    row("Log", &[1, 6, 13], 1, |cx| unary(cx, UnaryOp::Log)),
    row("Sqrt", &[1, 6, 13], 1, |cx| unary(cx, UnaryOp::Sqrt)),
    row("Reciprocal", &[1, 6, 13], 1, |cx| unary(cx, UnaryOp::Recip)),
    row("Sin", &[7, 22], 1, |cx| unary(cx, UnaryOp::Sin)),
    row("Cos", &[7, 22], 1, |cx| unary(cx, UnaryOp::Cos)),
    row("Tan", &[7, 22], 1, |cx| unary(cx, UnaryOp::Tan)),
    row("Asin", &[7, 22], 1, |cx| unary(cx, UnaryOp::Asin)),
    row("Acos", &[7, 22], 1, |cx| unary(cx, UnaryOp::Acos)),
    row("Atan", &[7, 22], 1, |cx| unary(cx, UnaryOp::Atan)),
    row("Sinh", &[9, 22], 1, |cx| unary(cx, UnaryOp::Sinh)),
    row("Cosh", &[9, 22], 1, |cx| unary(cx, UnaryOp::Cosh)),
    row("Asinh", &[9, 22], 1, |cx| unary(cx, UnaryOp::Asinh)),
    row("Acosh", &[9, 22], 1, |cx| unary(cx, UnaryOp::Acosh)),
    row("Atanh", &[9, 22], 1, |cx| unary(cx, UnaryOp::Atanh)),
    row("Erf", &[9, 13], 1, |cx| unary(cx, UnaryOp::Erf)),
    row("Floor", &[1, 6, 13], 1, |cx| unary(cx, UnaryOp::Floor)),
    row("Ceil", &[1, 6, 13], 1, |cx| unary(cx, UnaryOp::Ceil)),
    row("Round", &[11, 22], 1, |cx| unary(cx, UnaryOp::Round)),
    row("IsNaN", &[9, 13, 20], 1, |cx| unary(cx, UnaryOp::IsNan)),
    row("IsInf", &[10, 20], 1, is_inf),
    row("Not", &[1], 1, |cx| unary(cx, UnaryOp::Not)),
    row("BitwiseNot", &[18], 1, |cx| unary(cx, UnaryOp::BitNot)),
    row("Add", &[1, 6, 7, 13, 14], 2, |cx| binary(cx, BinaryOp::Add)),
    row("Sub", &[1, 6, 7, 13, 14], 2, |cx| binary(cx, BinaryOp::Sub)),
    row("Mul", &[1, 6, 7, 13, 14], 2, |cx| binary(cx, BinaryOp::Mul)),
    row("Div", &[1, 6, 7, 13, 14], 2, |cx| binary(cx, BinaryOp::Div)),
    row("Mod", &[10, 13, 28], 2, modulo),
    row("Pow", &[1, 7, 12, 13, 15], 2, pow),
    row("Equal", &[1, 7, 11, 13, 19], 2, |cx| binary(cx, BinaryOp::Eq)),
    row("Less", &[1, 7, 9, 13], 2, |cx| binary(cx, BinaryOp::Lt)),
    row("LessOrEqual", &[12, 16], 2, |cx| binary(cx, BinaryOp::Le)),
    row("Greater", &[1, 7, 9, 13], 2, |cx| binary(cx, BinaryOp::Gt)),
    row("GreaterOrEqual", &[12, 16], 2, |cx| binary(cx, BinaryOp::Ge)),
    row("And", &[1, 7], 2, |cx| binary(cx, BinaryOp::And)),
    row("Or", &[1, 7], 2, |cx| binary(cx, BinaryOp::Or)),
    row("Xor", &[1, 7], 2, |cx| binary(cx, BinaryOp::Xor)),
    row("BitwiseAnd", &[18], 2, |cx| binary(cx, BinaryOp::And)),
    row("BitwiseOr", &[18], 2, |cx| binary(cx, BinaryOp::Or)),
    row("BitwiseXor", &[18], 2, |cx| binary(cx, BinaryOp::Xor)),
    row("BitShift", &[11, 28], 2, bit_shift),
    row("Sum", &[1, 6, 8, 13], MANY, |cx| variadic(cx, BinaryOp::Add)),
    row("Mean", &[1, 6, 8, 13], MANY, mean),
    row("Max", &[1, 6, 8, 12, 13], MANY, |cx| variadic(cx, BinaryOp::Max)),
    row("Min", &[1, 6, 8, 12, 13], MANY, |cx| variadic(cx, BinaryOp::Min)),
    row("Where", &[9, 16], 3, choose),
    row("Clip", &[1, 6, 11, 12, 13], 3, clip),
    row("Cast", &[1, 6, 9, 13, 19, 21, 23, 24, 25, 28], 1, cast),
    row("CastLike", &[15, 19, 21, 23, 24, 25], 2, cast_like),
    row("BitCast", &[26], 1, bit_cast),
];

fn unary(cx: &mut Cx<'_, '_>, op: UnaryOp) -> R<Vec<V>> {
    let x = cx.input(0)?;
    Ok(vec![cx.unary(op, x)?])
}

fn binary(cx: &mut Cx<'_, '_>, op: BinaryOp) -> R<Vec<V>> {
    let (x, mut y) = (cx.input(0)?, cx.input(1)?);
    // Before opset 7 the second argument was aligned at the attribute `axis`, if at all.
    if cx.since < 7 && cx.flag("broadcast", false)? {
        let (rank, mut shape) = (cx.rank(x), cx.shape(y));
        if let Some(axis) = cx.int_opt("axis")? {
            let axis = axis_of(axis, rank)?;
            shape.resize((rank - axis).max(shape.len()), 1.into());
            y = cx.reshape(y, shape)?;
        }
    }
    Ok(vec![cx.binary(op, x, y)?])
}

fn variadic(cx: &mut Cx<'_, '_>, op: BinaryOp) -> R<Vec<V>> {
    let args = cx.all()?;
    let mut acc = args[0];
    for x in &args[1..] {
        acc = cx.binary(op, acc, *x)?;
    }
    Ok(vec![acc])
}

fn mean(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let sum = variadic(cx, BinaryOp::Add)?[0];
    let n = cx.ins.len() as f64;
    Ok(vec![if n == 1.0 { sum } else { cx.with(BinaryOp::Div, sum, n)? }])
}

fn is_inf(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let inf = cx.unary(UnaryOp::IsInf, x)?;
    let side = match (cx.flag("detect_negative", true)?, cx.flag("detect_positive", true)?) {
        (true, true) => return Ok(vec![inf]),
        (false, true) => cx.with(BinaryOp::Gt, x, 0.0)?,
        (true, false) => cx.with(BinaryOp::Lt, x, 0.0)?,
        (false, false) => cx.scalar(DType::Bool, 0.0),
    };
    Ok(vec![cx.binary(BinaryOp::And, inf, side)?])
}

fn modulo(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let op = if cx.flag("fmod", false)? { BinaryOp::Rem } else { BinaryOp::Mod };
    binary(cx, op)
}

/// The result has the type of the base, whatever the exponent's.
fn pow(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    if cx.since < 7 {
        return binary(cx, BinaryOp::Pow);
    }
    let (x, y) = (cx.input(0)?, cx.input(1)?);
    let (base, exponent) = (cx.dtype(x), cx.dtype(y));
    if base.is_int() && exponent.is_float() {
        let x = cx.cast(x, exponent)?;
        let p = cx.binary(BinaryOp::Pow, x, y)?;
        return Ok(vec![cx.cast(p, base)?]);
    }
    let y = cx.cast(y, base)?;
    Ok(vec![cx.binary(BinaryOp::Pow, x, y)?])
}

fn bit_shift(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let op = match cx.string("direction", "")?.as_str() {
        "LEFT" => BinaryOp::Shl,
        "RIGHT" => BinaryOp::Shr,
        d => return bad_attribute(format!("attribute `direction` is `{d}`; allowed are LEFT and RIGHT")),
    };
    binary(cx, op)
}

fn choose(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (c, x, y) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    Ok(vec![cx.select(c, x, y)?])
}

fn clip(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let mut x = cx.input(0)?;
    for (i, name, op) in [(1, "min", BinaryOp::Max), (2, "max", BinaryOp::Min)] {
        let bound = if cx.since >= 11 {
            cx.opt(i)
        } else {
            let v = cx.float_opt(name)?;
            v.map(|v| cx.scalar_like(x, v))
        };
        if let Some(b) = bound {
            let b = cx.reshape(b, vec![])?;
            x = cx.binary(op, x, b)?;
        }
    }
    Ok(vec![x])
}

fn cast(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let Some(to) = cx.int_opt("to")? else { return bad_attribute("attribute `to` is missing") };
    let to = tensor::dtype(i32::try_from(to).unwrap_or(-1))?;
    let x = cx.input(0)?;
    Ok(vec![convert(cx, x, to)?])
}

fn cast_like(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, like) = (cx.input(0)?, cx.input(1)?);
    let to = cx.dtype(like);
    Ok(vec![convert(cx, x, to)?])
}

/// Largest finite value of the 8-bit floats that saturate by default.
fn largest(to: DType) -> Option<f64> {
    Some(match to {
        DType::F8E4M3FN => 448.0,
        DType::F8E4M3FNUZ => 240.0,
        DType::F8E5M2 | DType::F8E5M2FNUZ => 57344.0,
        _ => return None,
    })
}

/// Value conversion with the standard's saturation of 8-bit floats (attribute `saturate`).
fn convert(cx: &mut Cx<'_, '_>, x: V, to: DType) -> R {
    let from = cx.dtype(x);
    if to == DType::F8E8M0 && from != to && cx.string("round_mode", "up")? != "nearest" {
        return unsupported("conversion to f8e8m0 rounds to nearest only");
    }
    if to == from || (from.is_complex() != to.is_complex()) && !to.is_complex() {
        return if to == from { Ok(x) } else { unsupported(format!("conversion of {from} to {to}")) };
    }
    match largest(to) {
        Some(max) if cx.flag("saturate", true)? => saturate(cx, x, to, max),
        // Integers below 8 bits keep the low bits of the truncated value, as in the reference implementation.
        None if from.is_float() && to.is_int() && to.bits() < 8 => {
            let wide = cx.cast(x, DType::I32)?;
            cx.cast(wide, to)
        }
        _ => cx.cast(x, to),
    }
}

/// Conversion to an 8-bit float with values past the largest finite one brought to it; NaN stays.
fn saturate(cx: &mut Cx<'_, '_>, x: V, to: DType, max: f64) -> R {
    let from = cx.dtype(x);
    // A type that holds the limits; conversion to it is exact for every float of 32 bits or fewer.
    let wide = if from == DType::F64 { from } else { DType::F32 };
    let x = cx.cast(x, wide)?;
    let high = cx.with(BinaryOp::Min, x, max)?;
    let both = cx.with(BinaryOp::Max, high, -max)?;
    cx.cast(both, to)
}

/// Conversion of quantised values: [`saturate`] for 8-bit floats, a plain conversion (which saturates) for integers.
pub fn to_quantised(cx: &mut Cx<'_, '_>, x: V, to: DType, saturating: bool) -> R {
    match largest(to) {
        Some(max) if saturating => saturate(cx, x, to, max),
        _ => cx.cast(x, to),
    }
}

fn bit_cast(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let Some(to) = cx.int_opt("to")? else { return bad_attribute("attribute `to` is missing") };
    let to = tensor::dtype(i32::try_from(to).unwrap_or(-1))?;
    let x = cx.input(0)?;
    let from = cx.dtype(x);
    // A bool is a byte of 0 or 1.
    if (from == DType::Bool || to == DType::Bool) && from.size() == to.size() {
        return Ok(vec![cx.cast(x, to)?]);
    }
    Ok(vec![if from == to { x } else { cx.emit(Op::Bitcast { to }, &[x])? }])
}
