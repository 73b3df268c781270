//! Constants and counters.

use beiming_ir::ops::Op;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim, TensorType};

use super::super::cx::Cx;
use super::super::value::Val;
use super::{Row, any, real};
use crate::import::build::Build;
use crate::import::error::Code;
use crate::import::fail::{Fail, R, bad_arguments};
use crate::import::stablehlo::syntax::{Attr, Dense, Element};

pub const OPS: &[Row] =
    &[any("stablehlo.constant", constant), any("stablehlo.iota", iota), real("stablehlo.create_token", token)];

fn token(_: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    Ok(vec![Val::Token])
}

pub fn constant(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    match cx.attr("value") {
        Some(Attr::Dense(d)) => Ok(vec![dense(cx, d)?]),
        Some(_) => Err(Fail::Invalid(Code::AttributeKind, "attribute `value` must be `dense<..>`".into())),
        None => Err(Fail::Invalid(Code::Missing, "attribute `value` is missing".into())),
    }
}

/// The real and the imaginary parts of complex elements.
pub fn parts(t: &Tensor) -> (Tensor, Tensor) {
    let dtype = if t.dtype == DType::C64 { DType::F32 } else { DType::F64 };
    let part = |imaginary: bool| {
        Tensor::build(dtype, &t.shape, |i| match t.get(i) {
            Num::Complex(re, im) => Num::Float(if imaginary { im } else { re }),
            other => other,
        })
    };
    (part(false), part(true))
}

/// A constant in the graph. A splat is a scalar that is broadcast.
pub fn dense(cx: &mut Cx<'_, '_>, d: &Dense) -> R<Val> {
    let Some(shape) = d.ty.shape.iter().map(|e| e.and_then(|e| i64::try_from(e).ok()).map(Dim::Known)).collect() else {
        return bad_arguments("a constant must have a static shape");
    };
    let shape: Vec<Dim> = shape;
    let mut place = |t: Tensor| -> R {
        let ty = TensorType::new(t.dtype, shape.clone());
        let full = ty.static_shape().unwrap_or_default();
        // Readers give one element for a splat, and need not shape the others.
        let whole = t.reshaped(&full);
        if cx.walk.settings.lift && liftable(cx, &ty) {
            let full = whole.unwrap_or_else(|| Tensor::build(t.dtype, &full, |_| t.get(0)));
            let name = format!("constant{}", cx.walk.lifted.len());
            let v = cx.frame().input(&name, ty);
            cx.walk.lifted.push(full);
            return Ok(v);
        }
        if whole.is_none() && t.len() != 1 {
            return bad_arguments(format!("a constant of {} elements for {ty}", t.len()));
        }
        let v = cx.constant(whole.unwrap_or(t));
        cx.broadcast(v, shape.clone())
    };
    Ok(match &d.ty.element {
        Element::Plain(DType::C64 | DType::C128) => {
            let (re, im) = parts(&d.values);
            Val::Complex(place(re)?, place(im)?)
        }
        Element::Plain(_) | Element::Index => Val::Plain(place(d.values.clone())?),
        Element::Quantized(q) => Val::Quantized(place(d.values.clone())?, q.clone()),
    })
}

/// Constants of which a program can be made to depend: data in the outermost graph that no operation needs to be known.
fn liftable(cx: &Cx<'_, '_>, ty: &TensorType) -> bool {
    let data = ty.rank() > 0 || cx.function.name.contains("inputs");
    data && cx.walk.outermost() && !super::needs_constant(cx)
}

fn iota(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let shape = cx.static_result(0)?;
    let axis = cx.axis("iota_dimension", shape.len())?;
    let v = counter(cx, shape.clone(), axis)?;
    Ok(vec![of_real(cx, v)?])
}

/// Positions along an axis, of the declared element type.
pub fn counter(cx: &mut Cx<'_, '_>, shape: Vec<Dim>, axis: usize) -> R {
    let dtype = cx.result_dtype(0)?;
    // Types of a few values wrap: counting is done in 64 bits.
    let (narrow, last) = (dtype.int_range(), shape[axis].known().unwrap_or(i64::MAX));
    if narrow.is_none_or(|(_, hi)| hi >= i128::from(last)) {
        return cx.emit(Op::Iota { dtype, shape, axis }, &[]);
    }
    let wide = cx.emit(Op::Iota { dtype: DType::I64, shape, axis }, &[])?;
    cx.cast(wide, dtype)
}

/// A real tensor as a value of the declared kind.
pub fn of_real(cx: &mut Cx<'_, '_>, v: crate::import::frame::V) -> R<Val> {
    Ok(match &cx.result_tensor(0)?.element {
        Element::Plain(DType::C64 | DType::C128) => Val::Complex(v, cx.full_like(v, 0.0)?),
        Element::Quantized(q) => Val::Quantized(v, q.clone()),
        _ => Val::Plain(v),
    })
}
