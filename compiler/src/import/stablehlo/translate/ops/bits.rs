//! The same bits as elements of another type. Where the widths differ, narrow elements of a wide one lie along a last axis, the
//! low bits first; a complex number is its real part, then its imaginary one.

use beiming_ir::ops::{BinaryOp, Op};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim};

use super::super::cx::Cx;
use super::super::value::Val;
use super::{Row, any};
use crate::import::build::Build;
use crate::import::fail::{R, bad_arguments, unsupported};
use crate::import::frame::V;
use crate::import::stablehlo::syntax::Element;

pub const OPS: &[Row] = &[any("stablehlo.bitcast_convert", bitcast_convert)];

fn bitcast_convert(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let to = match &cx.result_tensor(0)?.element {
        Element::Quantized(q) => q.storage,
        _ => cx.result_dtype(0)?,
    };
    let complex = matches!(cx.result_tensor(0)?.element, Element::Plain(DType::C64 | DType::C128));
    let x = match cx.val(0)? {
        Val::Complex(re, im) => pairs(cx, re, im)?,
        Val::Plain(v) => v,
        // A quantized tensor's bits are those of its storage.
        Val::Quantized(v, _) => v,
        other => return bad_arguments(format!("it takes a tensor, not {}", other.kind())),
    };
    let mut shape = match cx.result_shape(0)? {
        Some(shape) => shape,
        // The extents stay where the widths are equal.
        None if cx.dtype(x).bits() == to.bits() => cx.shape(x),
        None => return unsupported("elements of another width over extents that are not known"),
    };
    if complex {
        shape.push(2.into());
    }
    let v = recast(cx, x, to, &shape)?;
    if !complex {
        return Ok(vec![match &cx.result_tensor(0)?.element {
            Element::Quantized(q) => Val::Quantized(v, q.clone()),
            _ => Val::Plain(v),
        }]);
    }
    let last = shape.len() - 1;
    let part = |cx: &mut Cx<'_, '_>, k: usize| {
        let v = cx.slice_axis(v, last, k.into(), 1.into())?;
        cx.reshape(v, shape[..last].to_vec())
    };
    Ok(vec![Val::Complex(part(cx, 0)?, part(cx, 1)?)])
}

/// Real and imaginary parts along a last axis.
fn pairs(cx: &mut Cx<'_, '_>, re: V, im: V) -> R {
    let shape = [cx.shape(re), vec![1.into()]].concat();
    let (re, im) = (cx.reshape(re, shape.clone())?, cx.reshape(im, shape.clone())?);
    cx.concat(&[re, im], shape.len() - 1)
}

/// The bits of `x`, in row-major order, as elements of `to` in a tensor of `shape`.
fn recast(cx: &mut Cx<'_, '_>, x: V, to: DType, shape: &[Dim]) -> R {
    let from = cx.dtype(x);
    if from.bits() == to.bits() {
        let x = same_width(cx, x, to)?;
        return cx.reshape(x, shape.to_vec());
    }
    let (narrow, wide) = (bits_type(from.bits().min(to.bits()))?, bits_type(from.bits().max(to.bits()))?);
    let count = (wide.bits() / narrow.bits()) as usize;
    let shifts = cx.constant(Tensor::build(wide, &[count], |i| Num::Int(i as i128 * i128::from(narrow.bits()))));
    if from.bits() > to.bits() {
        let x = same_width(cx, x, wide)?;
        let column = [cx.shape(x), vec![1.into()]].concat();
        let x = cx.reshape(x, column)?;
        let mut parts = cx.binary(BinaryOp::Shr, x, shifts)?;
        if narrow == DType::Bool {
            // To `bool` is not to be the question whether any bit is set.
            let one = cx.scalar(wide, 1.0);
            parts = cx.binary(BinaryOp::And, parts, one)?;
        }
        let parts = cx.cast(parts, narrow)?;
        let parts = same_width(cx, parts, to)?;
        return cx.reshape(parts, shape.to_vec());
    }
    let x = same_width(cx, x, narrow)?;
    let x = cx.reshape(x, [shape, &[count.into()]].concat())?;
    let x = cx.cast(x, wide)?;
    let x = cx.binary(BinaryOp::Shl, x, shifts)?;
    // The parts have no bit in common.
    let x = cx.reduce(beiming_ir::ops::ReduceOp::Sum, x, vec![shape.len()], false)?;
    same_width(cx, x, to)
}

fn same_width(cx: &mut Cx<'_, '_>, x: V, to: DType) -> R {
    if cx.dtype(x) == to { Ok(x) } else { cx.emit(Op::Bitcast { to }, &[x]) }
}

/// The unsigned integer of so many bits.
fn bits_type(bits: u32) -> R<DType> {
    Ok(match bits {
        64 => DType::U64,
        32 => DType::U32,
        16 => DType::U16,
        8 => DType::U8,
        4 => DType::U4,
        2 => DType::U2,
        1 => DType::Bool,
        n => return unsupported(format!("bits of elements of {n} bits")),
    })
}
