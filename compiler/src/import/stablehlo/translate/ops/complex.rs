//! Complex arithmetic over the planes of real and imaginary parts.
//!
//! Sums and products are computed in the precision of the parts. Every other function of 32-bit parts is computed with 64-bit
//! parts and rounded once, so that it is right to the last digit and nothing overflows on the way.

use beiming_ir::ops::BinaryOp;
use beiming_ir::types::DType;

use super::super::cx::Cx;
use super::super::math::complex::{C, c};
use super::super::math::{Ex, emit, value};
use super::super::value::Val;
use super::elementwise::direction;
use super::{Row, any, complex, dot, in_order};
use crate::import::build::Build;
use crate::import::fail::{R, bad_arguments};
use crate::import::frame::V;

macro_rules! unary {
    ($name:literal, $f:ident) => {
        complex($name, |cx| function(cx, |z| z.$f()))
    };
}

macro_rules! binary {
    ($name:literal, $f:ident) => {
        complex($name, |cx| function2(cx, |z, w| z.$f(w)))
    };
}

pub const OPS: &[Row] = &[
    any("stablehlo.complex", join),
    any("stablehlo.real", real),
    any("stablehlo.imag", imag),
    complex("stablehlo.abs", abs),
    complex("stablehlo.add", |cx| exact2(cx, C::plus)),
    complex("stablehlo.subtract", |cx| exact2(cx, C::minus)),
    complex("stablehlo.multiply", |cx| exact2(cx, C::times)),
    complex("stablehlo.negate", |cx| exact(cx, C::negated)),
    complex("chlo.conj", |cx| exact(cx, C::conj)),
    complex("stablehlo.compare", compare),
    complex("stablehlo.convert", convert),
    complex("stablehlo.dot", dot),
    complex("stablehlo.dot_general", dot),
    complex("stablehlo.is_finite", is_finite),
    complex("stablehlo.maximum", |cx| extreme(cx, BinaryOp::Gt)),
    complex("stablehlo.minimum", |cx| extreme(cx, BinaryOp::Lt)),
    unary!("stablehlo.cbrt", cbrt),
    unary!("stablehlo.cosine", cos),
    unary!("stablehlo.exponential", exp),
    unary!("stablehlo.exponential_minus_one", expm1),
    unary!("stablehlo.log", ln),
    unary!("stablehlo.log_plus_one", log1p),
    unary!("stablehlo.logistic", logistic),
    unary!("stablehlo.rsqrt", rsqrt),
    unary!("stablehlo.sign", sign),
    unary!("stablehlo.sine", sin),
    unary!("stablehlo.sqrt", sqrt),
    unary!("stablehlo.tan", tan),
    unary!("stablehlo.tanh", tanh),
    unary!("chlo.acos", acos),
    unary!("chlo.acosh", acosh),
    unary!("chlo.asin", asin),
    unary!("chlo.asinh", asinh),
    unary!("chlo.atan", atan),
    unary!("chlo.atanh", atanh),
    unary!("chlo.cosh", cosh),
    unary!("chlo.sinh", sinh),
    unary!("chlo.square", square),
    unary!("chlo.tan", tan),
    binary!("stablehlo.atan2", atan2),
    binary!("stablehlo.divide", over),
    binary!("stablehlo.power", pow),
];

fn join(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    Ok(vec![Val::Complex(cx.plain(0)?, cx.plain(1)?)])
}

fn real(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    match cx.val(0)? {
        Val::Complex(re, _) => Ok(vec![Val::Plain(re)]),
        Val::Plain(v) => Ok(vec![Val::Plain(v)]),
        other => bad_arguments(format!("it takes a tensor, not {}", other.kind())),
    }
}

fn imag(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    match cx.val(0)? {
        Val::Complex(_, im) => Ok(vec![Val::Plain(im)]),
        Val::Plain(v) => {
            let zero = cx.full_like(v, 0.0)?;
            Ok(vec![Val::Plain(zero)])
        }
        other => bad_arguments(format!("it takes a tensor, not {}", other.kind())),
    }
}

/// The planes of the n-th argument; a real one has an imaginary part of zero.
pub fn planes(cx: &mut Cx<'_, '_>, i: usize) -> R<(V, V)> {
    match cx.val(i)? {
        Val::Complex(re, im) => Ok((re, im)),
        Val::Plain(v) => Ok((v, cx.full_like(v, 0.0)?)),
        other => bad_arguments(format!("it takes tensors, not {}", other.kind())),
    }
}

fn formula((re, im): (V, V)) -> C {
    c(value(re), value(im))
}

/// Emits both parts; parts made of numbers alone take the shape of the others.
fn emitted(cx: &mut Cx<'_, '_>, z: &C) -> R<Vec<Val>> {
    let v = emit(cx, &[&z.re, &z.im])?;
    let shape = if cx.rank(v[0]) >= cx.rank(v[1]) { cx.shape(v[0]) } else { cx.shape(v[1]) };
    Ok(vec![Val::Complex(cx.broadcast(v[0], shape.clone())?, cx.broadcast(v[1], shape)?)])
}

/// In the precision of the parts.
fn exact(cx: &mut Cx<'_, '_>, f: impl Fn(&C) -> C) -> R<Vec<Val>> {
    let z = formula(planes(cx, 0)?);
    emitted(cx, &f(&z))
}

/// In the precision of the parts.
fn exact2(cx: &mut Cx<'_, '_>, f: impl Fn(&C, &C) -> C) -> R<Vec<Val>> {
    let (z, w) = (formula(planes(cx, 0)?), formula(planes(cx, 1)?));
    emitted(cx, &f(&z, &w))
}

fn widened(z: &C) -> C {
    c(z.re.cast(DType::F64), z.im.cast(DType::F64))
}

fn narrowed(z: &C, to: DType) -> C {
    c(z.re.cast(to), z.im.cast(to))
}

/// With 64-bit parts.
fn function(cx: &mut Cx<'_, '_>, f: impl Fn(&C) -> C) -> R<Vec<Val>> {
    let parts = planes(cx, 0)?;
    let own = cx.dtype(parts.0);
    let z = f(&widened(&formula(parts)));
    emitted(cx, &narrowed(&z, own))
}

/// With 64-bit parts.
fn function2(cx: &mut Cx<'_, '_>, f: impl Fn(&C, &C) -> C) -> R<Vec<Val>> {
    let (x, y) = (planes(cx, 0)?, planes(cx, 1)?);
    let own = cx.dtype(x.0);
    let z = f(&widened(&formula(x)), &widened(&formula(y)));
    emitted(cx, &narrowed(&z, own))
}

fn abs(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let parts = planes(cx, 0)?;
    let own = cx.dtype(parts.0);
    let a: Ex = widened(&formula(parts)).abs().cast(own);
    Ok(vec![Val::Plain(emit(cx, &[&a])?[0])])
}

fn is_finite(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let z = formula(planes(cx, 0)?);
    let f = z.re.abs().lt(f64::INFINITY).and(z.im.abs().lt(f64::INFINITY));
    Ok(vec![Val::Plain(emit(cx, &[&f])?[0])])
}

/// Pairs of parts are compared as words are: the imaginary parts count where the real ones are equal.
fn ordered(z: &C, w: &C, op: BinaryOp) -> Ex {
    let first = match op {
        BinaryOp::Eq => return z.equals(w),
        BinaryOp::Ne => return z.equals(w).not(),
        BinaryOp::Ge | BinaryOp::Gt => BinaryOp::Gt,
        _ => BinaryOp::Lt,
    };
    z.re.join(first, &w.re).or(z.re.eq(&w.re).and(z.im.join(op, &w.im)))
}

fn compare(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let op = direction(cx.text("comparison_direction")?)?;
    let v = ordered(&formula(planes(cx, 0)?), &formula(planes(cx, 1)?), op);
    Ok(vec![Val::Plain(emit(cx, &[&v])?[0])])
}

/// The first where it comes after (`Gt`) or before the second.
fn extreme(cx: &mut Cx<'_, '_>, op: BinaryOp) -> R<Vec<Val>> {
    exact2(cx, |z, w| {
        let first = ordered(z, w, op);
        c(first.pick(&z.re, &w.re), first.pick(&z.im, &w.im))
    })
}

/// Real to complex, complex to complex of another precision, and complex to real, which drops the imaginary part.
fn convert(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    use crate::import::stablehlo::syntax::Element;
    let complex_result = matches!(cx.result_tensor(0)?.element, Element::Plain(d) if d.is_complex());
    let to = cx.result_dtype(0)?;
    let (re, im) = planes(cx, 0)?;
    let re = cx.cast(re, to)?;
    if !complex_result {
        return Ok(vec![Val::Plain(re)]);
    }
    Ok(vec![Val::Complex(re, cx.cast(im, to)?)])
}

fn dot(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (a, b) = (planes(cx, 0)?, planes(cx, 1)?);
    let to = cx.result_dtype(0)?;
    let axes = dot::axes_of(cx, [cx.rank(a.0), cx.rank(b.0)])?;
    Ok(vec![product(cx, &Val::Complex(a.0, a.1), &Val::Complex(b.0, b.1), &axes, to)?])
}

/// The product of two complex tensors as four real ones, or, computed as written, of complex numbers one by one.
pub fn product(cx: &mut Cx<'_, '_>, x: &Val, y: &Val, axes: &dot::Axes, to: DType) -> R<Val> {
    let (Val::Complex(a, b), Val::Complex(c, d)) = (x, y) else { return bad_arguments("it takes complex tensors") };
    if cx.walk.as_written {
        let v = in_order::contract(cx, &[*a, *b], &[*c, *d], axes, to)?;
        return Ok(Val::Complex(v[0], v[1]));
    }
    let mut product = |x: &V, y: &V| dot::contract(cx, *x, *y, axes, to);
    let (rr, ii) = (product(a, c)?, product(b, d)?);
    let (ri, ir) = (product(a, d)?, product(b, c)?);
    let re = cx.binary(BinaryOp::Sub, rr, ii)?;
    Ok(Val::Complex(re, cx.binary(BinaryOp::Add, ri, ir)?))
}
