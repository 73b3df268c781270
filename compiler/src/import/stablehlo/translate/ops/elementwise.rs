//! Elementwise operations on real numbers, integers and booleans.

use beiming_ir::ops::{BinaryOp, Op, UnaryOp};
use beiming_ir::types::DType;

use super::super::cx::Cx;
use super::super::value::Val;
use super::{Row, any, real};
use crate::import::build::Build;
use crate::import::fail::{R, bad_attribute, unsupported};
use crate::import::frame::V;

macro_rules! unary {
    ($name:literal, $op:ident) => {
        real($name, |cx| {
            let x = cx.plain(0)?;
            one(cx.unary(UnaryOp::$op, x))
        })
    };
}

macro_rules! binary {
    ($name:literal, $op:ident) => {
        real($name, |cx| {
            let (x, y) = (cx.plain(0)?, cx.plain(1)?);
            one(cx.binary(BinaryOp::$op, x, y))
        })
    };
}

pub const OPS: &[Row] = &[
    unary!("stablehlo.abs", Abs),
    unary!("stablehlo.cbrt", Cbrt),
    unary!("stablehlo.ceil", Ceil),
    unary!("stablehlo.count_leading_zeros", LeadingZeros),
    unary!("stablehlo.popcnt", Popcount),
    unary!("stablehlo.round_nearest_afz", RoundAway),
    unary!("stablehlo.cosine", Cos),
    unary!("stablehlo.exponential", Exp),
    unary!("stablehlo.exponential_minus_one", Expm1),
    unary!("stablehlo.floor", Floor),
    unary!("stablehlo.log", Log),
    unary!("stablehlo.log_plus_one", Log1p),
    unary!("stablehlo.logistic", Sigmoid),
    unary!("stablehlo.round_nearest_even", Round),
    unary!("stablehlo.rsqrt", Rsqrt),
    unary!("stablehlo.sign", Sign),
    unary!("stablehlo.sine", Sin),
    unary!("stablehlo.sqrt", Sqrt),
    unary!("stablehlo.tan", Tan),
    unary!("stablehlo.tanh", Tanh),
    binary!("stablehlo.and", And),
    binary!("stablehlo.atan2", Atan2),
    binary!("stablehlo.divide", Div),
    binary!("stablehlo.maximum", Max),
    binary!("stablehlo.minimum", Min),
    binary!("stablehlo.or", Or),
    binary!("stablehlo.power", Pow),
    binary!("stablehlo.remainder", Rem),
    binary!("stablehlo.shift_left", Shl),
    binary!("stablehlo.subtract", Sub),
    binary!("stablehlo.xor", Xor),
    real("stablehlo.add", |cx| arithmetic(cx, BinaryOp::Add, BinaryOp::Or)),
    real("stablehlo.clamp", clamp),
    real("stablehlo.compare", compare),
    real("stablehlo.convert", convert),
    real("stablehlo.is_finite", |cx| with(cx, is_finite)),
    real("stablehlo.multiply", |cx| arithmetic(cx, BinaryOp::Mul, BinaryOp::And)),
    real("stablehlo.negate", |cx| with(cx, negate)),
    real("stablehlo.not", |cx| with(cx, not)),
    any("stablehlo.select", select),
    real("stablehlo.shift_right_arithmetic", |cx| shift_right(cx, true)),
    real("stablehlo.shift_right_logical", |cx| shift_right(cx, false)),
];

/// The only result.
pub fn one(v: R) -> R<Vec<Val>> {
    Ok(vec![Val::Plain(v?)])
}

fn with(cx: &mut Cx<'_, '_>, f: fn(&mut Cx<'_, '_>, V) -> R) -> R<Vec<Val>> {
    let x = cx.plain(0)?;
    one(f(cx, x))
}

/// `|x| < inf`: false for NaN.
pub fn is_finite(cx: &mut Cx<'_, '_>, x: V) -> R {
    let a = cx.unary(UnaryOp::Abs, x)?;
    cx.with(BinaryOp::Lt, a, f64::INFINITY)
}

/// Sums and products of booleans are disjunctions and conjunctions.
fn arithmetic(cx: &mut Cx<'_, '_>, numbers: BinaryOp, booleans: BinaryOp) -> R<Vec<Val>> {
    let (x, y) = (cx.plain(0)?, cx.plain(1)?);
    let op = if cx.dtype(x) == DType::Bool { booleans } else { numbers };
    one(cx.binary(op, x, y))
}

/// Unsigned integers wrap.
fn negate(cx: &mut Cx<'_, '_>, x: V) -> R {
    if !cx.dtype(x).is_unsigned_int() {
        return cx.unary(UnaryOp::Neg, x);
    }
    let zero = cx.scalar_like(x, 0.0);
    cx.binary(BinaryOp::Sub, zero, x)
}

fn not(cx: &mut Cx<'_, '_>, x: V) -> R {
    let op = if cx.dtype(x) == DType::Bool { UnaryOp::Not } else { UnaryOp::BitNot };
    cx.unary(op, x)
}

fn clamp(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (lo, x, hi) = (cx.plain(0)?, cx.plain(1)?, cx.plain(2)?);
    let x = cx.binary(BinaryOp::Max, x, lo)?;
    one(cx.binary(BinaryOp::Min, x, hi))
}

/// The core comparison that a direction names.
pub fn direction(name: &str) -> R<BinaryOp> {
    Ok(match name {
        "EQ" => BinaryOp::Eq,
        "NE" => BinaryOp::Ne,
        "LT" => BinaryOp::Lt,
        "LE" => BinaryOp::Le,
        "GT" => BinaryOp::Gt,
        "GE" => BinaryOp::Ge,
        other => return bad_attribute(format!("comparison direction `{other}`; allowed are EQ, NE, LT, LE, GT, GE")),
    })
}

fn compare(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let op = direction(cx.text("comparison_direction")?)?;
    let (mut x, mut y) = (cx.plain(0)?, cx.plain(1)?);
    let extents = (cx.top().dims_of(x), cx.top().dims_of(y));
    if cx.text_opt("compare_type")? == Some("TOTALORDER") && cx.dtype(x).is_float() {
        (x, y) = (total_order(cx, x)?, total_order(cx, y)?);
    }
    let v = cx.binary(op, x, y)?;
    // What an assertion about extents may turn out to be about.
    if let (Some(a), Some(b)) = extents
        && let ([a], [b]) = (a.as_slice(), b.as_slice())
        && cx.top().const_of(v).is_none()
    {
        cx.walk.comparisons.insert(v, (op, a.clone(), b.clone()));
    }
    Ok(vec![Val::Plain(v)])
}

/// Signed integers in the total order of floats: -NaN < -inf < .. < -0 < +0 < .. < inf < NaN. The bits of a negative float
/// count backwards.
pub fn total_order(cx: &mut Cx<'_, '_>, x: V) -> R {
    let (int, bits) = match cx.dtype(x).bits() {
        64 => (DType::I64, 63),
        32 => (DType::I32, 31),
        16 => (DType::I16, 15),
        8 => (DType::I8, 7),
        n => return unsupported(format!("total order of floats of {n} bits")),
    };
    let i = cx.emit(Op::Bitcast { to: int }, &[x])?;
    let sign = cx.with(BinaryOp::Shr, i, f64::from(bits))?;
    // The greatest integer: `MIN` as bits, inverted.
    let one = cx.scalar(int, 1.0);
    let top = cx.with(BinaryOp::Shl, one, f64::from(bits))?;
    let most = cx.unary(UnaryOp::BitNot, top)?;
    let flip = cx.binary(BinaryOp::And, sign, most)?;
    cx.binary(BinaryOp::Xor, i, flip)
}

fn convert(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (x, to) = (cx.plain(0)?, cx.result_dtype(0)?);
    one(cx.cast(x, to))
}

fn select(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let cond = cx.plain(0)?;
    let sides = [cx.val(1)?, cx.val(2)?];
    Ok(vec![cx.zip(&sides, |cx, v| cx.select(cond, v[0], v[1]))?])
}

/// The unsigned type of the width of an integer type.
pub fn unsigned(t: DType) -> DType {
    match t {
        DType::I64 => DType::U64,
        DType::I32 => DType::U32,
        DType::I16 => DType::U16,
        DType::I8 => DType::U8,
        DType::I4 => DType::U4,
        DType::I2 => DType::U2,
        other => other,
    }
}

/// The signed type of the width of an integer type.
fn signed(t: DType) -> DType {
    match t {
        DType::U64 => DType::I64,
        DType::U32 => DType::I32,
        DType::U16 => DType::I16,
        DType::U8 => DType::I8,
        DType::U4 => DType::I4,
        DType::U2 => DType::I2,
        other => other,
    }
}

fn bitcast(cx: &mut Cx<'_, '_>, x: V, to: DType) -> R {
    if cx.dtype(x) == to { Ok(x) } else { cx.emit(Op::Bitcast { to }, &[x]) }
}

/// The kind of shift is the operation's, whatever the type; the core op goes by the type.
fn shift_right(cx: &mut Cx<'_, '_>, arithmetic: bool) -> R<Vec<Val>> {
    let (x, y) = (cx.plain(0)?, cx.plain(1)?);
    let own = cx.dtype(x);
    let to = if arithmetic { signed(own) } else { unsigned(own) };
    let (x, y) = (bitcast(cx, x, to)?, bitcast(cx, y, to)?);
    let v = cx.binary(BinaryOp::Shr, x, y)?;
    one(bitcast(cx, v, own))
}
