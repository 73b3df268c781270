//! Activation functions, written out in elementwise ops. Formulas: the operators' definitions in the ONNX standard.

use beiming_ir::ops::{BinaryOp, UnaryOp};

use super::super::node::{Cx, R, bad_attribute};
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] = &[
    row("Relu", &[1, 6, 13, 14], 1, |cx| each(cx, |cx, x| cx.with(BinaryOp::Max, x, 0.0))),
    row("LeakyRelu", &[1, 6, 16], 1, leaky_relu),
    row("PRelu", &[1, 6, 7, 9, 16], 2, prelu),
    row("Elu", &[1, 6, 22], 1, elu),
    row("Selu", &[1, 6, 22], 1, selu),
    row("Celu", &[12, 28], 1, celu),
    row("Gelu", &[20], 1, gelu),
    row("Sigmoid", &[1, 6, 13], 1, |cx| each(cx, |cx, x| cx.unary(UnaryOp::Sigmoid, x))),
    row("Tanh", &[1, 6, 13], 1, |cx| each(cx, |cx, x| cx.unary(UnaryOp::Tanh, x))),
    row("HardSigmoid", &[1, 6, 22], 1, hard_sigmoid),
    row("HardSwish", &[14, 22], 1, |cx| each(cx, hard_swish)),
    row("Mish", &[18, 22], 1, |cx| each(cx, mish)),
    row("Softplus", &[1, 22], 1, |cx| each(cx, softplus)),
    row("Softsign", &[1, 22], 1, |cx| each(cx, softsign)),
    row("Swish", &[24], 1, swish),
    row("SwiGLU", &[28], 2, swiglu),
    row("ThresholdedRelu", &[10, 22], 1, thresholded_relu),
    row("Shrink", &[9], 1, shrink),
];

fn each(cx: &mut Cx<'_, '_>, f: fn(&mut Cx<'_, '_>, V) -> R) -> R<Vec<V>> {
    let x = cx.input(0)?;
    Ok(vec![f(cx, x)?])
}

fn leaky_relu(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, alpha) = (cx.input(0)?, cx.float("alpha", 0.01)?);
    let negative = cx.with(BinaryOp::Lt, x, 0.0)?;
    let scaled = cx.with(BinaryOp::Mul, x, alpha)?;
    Ok(vec![cx.select(negative, scaled, x)?])
}

fn prelu(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, mut slope) = (cx.input(0)?, cx.input(1)?);
    // Before opset 7 a vector was one slope a channel.
    if cx.since < 7 && cx.rank(slope) == 1 && cx.rank(x) > 2 && !cx.shape(slope)[0].is(1) {
        slope = cx.per_channel(slope, 1, cx.rank(x))?;
    }
    let negative = cx.with(BinaryOp::Lt, x, 0.0)?;
    let scaled = cx.binary(BinaryOp::Mul, x, slope)?;
    Ok(vec![cx.select(negative, scaled, x)?])
}

fn elu(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, alpha) = (cx.input(0)?, cx.float("alpha", 1.0)?);
    let negative = cx.with(BinaryOp::Lt, x, 0.0)?;
    let e = cx.unary(UnaryOp::Expm1, x)?;
    let e = cx.with(BinaryOp::Mul, e, alpha)?;
    Ok(vec![cx.select(negative, e, x)?])
}

fn selu(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let alpha = cx.float("alpha", 1.673_263_192_176_818_8)?;
    let gamma = cx.float("gamma", 1.050_701_022_148_132_3)?;
    let positive = cx.with(BinaryOp::Gt, x, 0.0)?;
    let e = cx.unary(UnaryOp::Expm1, x)?;
    let e = cx.with(BinaryOp::Mul, e, alpha)?;
    let y = cx.select(positive, x, e)?;
    Ok(vec![cx.with(BinaryOp::Mul, y, gamma)?])
}

fn celu(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, alpha) = (cx.input(0)?, cx.float("alpha", 1.0)?);
    let positive = cx.with(BinaryOp::Max, x, 0.0)?;
    let e = cx.with(BinaryOp::Div, x, alpha)?;
    let e = cx.unary(UnaryOp::Expm1, e)?;
    let e = cx.with(BinaryOp::Mul, e, alpha)?;
    let e = cx.with(BinaryOp::Min, e, 0.0)?;
    Ok(vec![cx.binary(BinaryOp::Add, positive, e)?])
}

fn gelu(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let gate = match cx.string("approximate", "none")?.as_str() {
        "none" => {
            let t = cx.with(BinaryOp::Mul, x, std::f64::consts::FRAC_1_SQRT_2)?;
            cx.unary(UnaryOp::Erf, t)?
        }
        "tanh" => {
            let square = cx.binary(BinaryOp::Mul, x, x)?;
            let cube = cx.binary(BinaryOp::Mul, square, x)?;
            let t = cx.with(BinaryOp::Mul, cube, 0.044_715)?;
            let t = cx.binary(BinaryOp::Add, x, t)?;
            let t = cx.with(BinaryOp::Mul, t, (2.0 / std::f64::consts::PI).sqrt())?;
            cx.unary(UnaryOp::Tanh, t)?
        }
        other => return bad_attribute(format!("attribute `approximate` is `{other}`; allowed are none and tanh")),
    };
    let gate = cx.with(BinaryOp::Add, gate, 1.0)?;
    let y = cx.binary(BinaryOp::Mul, x, gate)?;
    Ok(vec![cx.with(BinaryOp::Mul, y, 0.5)?])
}

/// `max(0, min(1, alpha x + beta))`.
fn ramp(cx: &mut Cx<'_, '_>, x: V, alpha: f64, beta: f64) -> R {
    let t = cx.with(BinaryOp::Mul, x, alpha)?;
    let t = cx.with(BinaryOp::Add, t, beta)?;
    let t = cx.with(BinaryOp::Max, t, 0.0)?;
    cx.with(BinaryOp::Min, t, 1.0)
}

fn hard_sigmoid(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, alpha, beta) = (cx.input(0)?, cx.float("alpha", 0.2)?, cx.float("beta", 0.5)?);
    Ok(vec![ramp(cx, x, alpha, beta)?])
}

fn hard_swish(cx: &mut Cx<'_, '_>, x: V) -> R {
    let gate = ramp(cx, x, 1.0 / 6.0, 0.5)?;
    cx.binary(BinaryOp::Mul, x, gate)
}

/// `log(1 + exp(x))` as `max(x, 0) + log1p(exp(-|x|))`, which does not overflow.
pub fn softplus(cx: &mut Cx<'_, '_>, x: V) -> R {
    let positive = cx.with(BinaryOp::Max, x, 0.0)?;
    let t = cx.unary(UnaryOp::Abs, x)?;
    let t = cx.unary(UnaryOp::Neg, t)?;
    let t = cx.unary(UnaryOp::Exp, t)?;
    let t = cx.unary(UnaryOp::Log1p, t)?;
    cx.binary(BinaryOp::Add, positive, t)
}

fn mish(cx: &mut Cx<'_, '_>, x: V) -> R {
    let t = softplus(cx, x)?;
    let t = cx.unary(UnaryOp::Tanh, t)?;
    cx.binary(BinaryOp::Mul, x, t)
}

fn softsign(cx: &mut Cx<'_, '_>, x: V) -> R {
    let t = cx.unary(UnaryOp::Abs, x)?;
    let t = cx.with(BinaryOp::Add, t, 1.0)?;
    cx.binary(BinaryOp::Div, x, t)
}

fn swish(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, alpha) = (cx.input(0)?, cx.float("alpha", 1.0)?);
    let t = if alpha == 1.0 { x } else { cx.with(BinaryOp::Mul, x, alpha)? };
    let t = cx.unary(UnaryOp::Sigmoid, t)?;
    Ok(vec![cx.binary(BinaryOp::Mul, x, t)?])
}

fn swiglu(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (gate, y) = (swish(cx)?[0], cx.input(1)?);
    Ok(vec![cx.binary(BinaryOp::Mul, gate, y)?])
}

fn thresholded_relu(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, alpha) = (cx.input(0)?, cx.float("alpha", 1.0)?);
    let above = cx.with(BinaryOp::Gt, x, alpha)?;
    let zero = cx.scalar_like(x, 0.0);
    Ok(vec![cx.select(above, x, zero)?])
}

fn shrink(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, lambda, bias) = (cx.input(0)?, cx.float("lambd", 0.5)?, cx.float("bias", 0.0)?);
    let dtype = cx.dtype(x);
    // Integers are compared and shifted as floats.
    let wide = if dtype.is_float() { x } else { cx.cast(x, beiming_ir::types::DType::F32)? };
    let low = cx.with(BinaryOp::Lt, wide, -lambda)?;
    let high = cx.with(BinaryOp::Gt, wide, lambda)?;
    let up = cx.with(BinaryOp::Add, wide, bias)?;
    let down = cx.with(BinaryOp::Sub, wide, bias)?;
    let zero = cx.scalar_like(wide, 0.0);
    let y = cx.select(high, down, zero)?;
    let y = cx.select(low, up, y)?;
    Ok(vec![cx.cast(y, dtype)?])
}
