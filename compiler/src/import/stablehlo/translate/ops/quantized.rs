//! Uniform quantization: `real = (stored - zero_point) * scale`, with one scale or one for each position of an axis.
//!
//! An operation on quantized tensors means: dequantize, compute, quantize. The converter of the real operation computes.

use beiming_ir::ops::{BinaryOp, UnaryOp};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::DType;

use super::super::cx::Cx;
use super::super::value::Val;
use super::{Kind, Row, any};
use crate::import::build::Build;
use crate::import::fail::{Fail, R, bad_arguments};
use crate::import::frame::V;
use crate::import::stablehlo::syntax::{Element, Quantized, Type};

macro_rules! computed {
    ($($name:literal)*) => { &[
        any("stablehlo.uniform_quantize", quantize),
        any("stablehlo.uniform_dequantize", dequantize),
        $(Row { name: $name, kind: Kind::Quantized, convert: |cx| through(cx, $name) },)*
    ] };
}

pub const OPS: &[Row] = computed! {
    "stablehlo.abs" "stablehlo.add" "stablehlo.atan2" "stablehlo.cbrt" "stablehlo.ceil" "stablehlo.clamp" "stablehlo.compare"
    "stablehlo.cosine" "stablehlo.divide" "stablehlo.exponential" "stablehlo.exponential_minus_one" "stablehlo.floor"
    "stablehlo.log" "stablehlo.log_plus_one" "stablehlo.logistic" "stablehlo.maximum" "stablehlo.minimum" "stablehlo.multiply"
    "stablehlo.negate" "stablehlo.power" "stablehlo.remainder" "stablehlo.round_nearest_afz" "stablehlo.round_nearest_even"
    "stablehlo.rsqrt" "stablehlo.sign" "stablehlo.sine" "stablehlo.sqrt" "stablehlo.subtract" "stablehlo.tan" "stablehlo.tanh"
    "stablehlo.dot" "stablehlo.dot_general" "stablehlo.convolution" "stablehlo.is_finite"
};

/// A table of one number, or of one for each position of the quantized axis, that broadcasts over a tensor of rank `rank`.
fn table(cx: &mut Cx<'_, '_>, q: &Quantized, dtype: DType, rank: usize, values: &[f64]) -> R {
    let shape = match q.axis {
        Some(a) if a < rank => {
            let mut shape = vec![1; rank];
            shape[a] = values.len();
            shape
        }
        Some(a) => return bad_arguments(format!("quantized along axis {a}, which a tensor of rank {rank} does not have")),
        None => vec![],
    };
    if values.len() != shape.iter().product::<usize>() {
        return bad_arguments(format!("{} scales or zero points", values.len()));
    }
    Ok(cx.constant(Tensor::build(dtype, &shape, |i| Num::Float(values[i]))))
}

fn parts(cx: &mut Cx<'_, '_>, q: &Quantized, rank: usize) -> R<(V, V)> {
    let scales: Vec<f64> = q.scales.iter().map(|b| f64::from_bits(*b)).collect();
    let zeros: Vec<f64> = q.zero_points.iter().map(|z| *z as f64).collect();
    Ok((table(cx, q, q.expressed, rank, &scales)?, table(cx, q, q.expressed, rank, &zeros)?))
}

/// The real numbers that stored ones stand for. The difference is taken in the expressed type, as the specification says.
fn to_real(cx: &mut Cx<'_, '_>, v: V, q: &Quantized) -> R {
    let (scale, zero) = parts(cx, q, cx.rank(v))?;
    let v = cx.cast(v, q.expressed)?;
    let v = cx.binary(BinaryOp::Sub, v, zero)?;
    cx.binary(BinaryOp::Mul, v, scale)
}

/// The stored numbers of real ones: rounded to nearest even, clamped to the storage range.
fn to_stored(cx: &mut Cx<'_, '_>, v: V, q: &Quantized) -> R {
    let (scale, zero) = parts(cx, q, cx.rank(v))?;
    let v = cx.cast(v, q.expressed)?;
    let v = cx.binary(BinaryOp::Div, v, scale)?;
    let v = cx.unary(UnaryOp::Round, v)?;
    let v = cx.binary(BinaryOp::Add, v, zero)?;
    let v = cx.with(BinaryOp::Max, v, q.min as f64)?;
    let v = cx.with(BinaryOp::Min, v, q.max as f64)?;
    cx.cast(v, q.storage)
}

fn real_of(cx: &mut Cx<'_, '_>, x: &Val) -> R<Val> {
    Ok(match x {
        Val::Quantized(v, q) => Val::Plain(to_real(cx, *v, q)?),
        other => other.clone(),
    })
}

/// Quantizes where the declared result is quantized.
fn as_declared(cx: &mut Cx<'_, '_>, i: usize, x: Val) -> R<Val> {
    let Type::Tensor(t) = cx.result_type(i)? else { return Ok(x) };
    match (&t.element, &x) {
        (Element::Quantized(q), Val::Plain(v)) => Ok(Val::Quantized(to_stored(cx, *v, q)?, q.clone())),
        _ => Ok(x),
    }
}

/// Quantizes real numbers, or quantizes stored ones anew.
fn quantize(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let x = cx.val(0)?;
    let x = real_of(cx, &x)?;
    Ok(vec![as_declared(cx, 0, x)?])
}

fn dequantize(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let x = cx.val(0)?;
    Ok(vec![real_of(cx, &x)?])
}

/// Dequantizes the arguments, converts the operation on real numbers, quantizes the results.
fn through(cx: &mut Cx<'_, '_>, name: &str) -> R<Vec<Val>> {
    let Some(convert) = super::converter(name, Kind::Real) else { return Err(Fail::Poisoned) };
    let args = cx.args.clone();
    let args = args.iter().map(|x| real_of(cx, x)).collect::<R<Vec<_>>>()?;
    let own = std::mem::replace(&mut cx.args, args);
    let results = convert(cx);
    cx.args = own;
    results?.into_iter().enumerate().map(|(i, x)| as_declared(cx, i, x)).collect()
}
