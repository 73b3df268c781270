//! Attributes, types and locations of MLIR's own dialect, as far as artifacts use them.

use std::sync::Arc;

use beiming_ir::tensor::Tensor;
use beiming_ir::types::DType;

use super::cursor::{Cursor, Read};
use super::pool::Pool;
use super::vhlo_type::kind;
use super::{elements, vhlo_attr, vhlo_type};
use crate::import::stablehlo::syntax::{Attr, Dense, Element, Type};

/// Reads an attribute. Locations, resources and sparse elements are kept by name.
pub(super) fn attr(pool: &mut Pool<'_>, c: &mut Cursor<'_>) -> Read<Attr> {
    match c.varint()? {
        0 => Ok(Attr::Array(pool.attr_list(c)?)),
        1 => Ok(Attr::Dict(pool.dictionary(c)?)),
        2 => Ok(Attr::Str(pool.string(c)?.into())),
        3 => {
            let text = pool.string(c)?;
            pool.ty(c)?;
            Ok(Attr::Str(text.into()))
        }
        4 => Ok(Attr::Symbol(pool.name(c)?)),
        5 => {
            let mut path = pool.name(c)?.to_string();
            for leaf in pool.attr_list(c)? {
                let Attr::Symbol(leaf) = leaf else {
                    return Err(c.problem("a part of a symbol is no symbol"));
                };
                path = format!("{path}::{leaf}");
                pool.pay(path.len() as u64 / 64)?;
            }
            Ok(Attr::Symbol(path.into()))
        }
        6 => Ok(Attr::Type(pool.ty(c)?)),
        7 => Ok(Attr::Unit),
        8 => {
            let ty = pool.ty(c)?;
            vhlo_attr::integer(c, ty)
        }
        9 => {
            let ty = pool.ty(c)?;
            vhlo_attr::float(c, ty)
        }
        10..=15 | 22 => Ok(Attr::Other("loc".into())),
        16 => Ok(Attr::Other("dense_resource".into())),
        17 => array(pool, c),
        18 => elements::read(pool, c),
        19 => Ok(Attr::Other("dense strings".into())),
        20 => Ok(Attr::Other("sparse".into())),
        21 => Ok(Attr::Other("distinct".into())),
        code => Ok(Attr::Other(format!("builtin attribute {code}").into())),
    }
}

/// `array<..>`: element type, number of elements, bytes; `i1` takes a byte each.
fn array(pool: &mut Pool<'_>, c: &mut Cursor<'_>) -> Read<Attr> {
    let dtype = match pool.ty(c)? {
        Type::Scalar(Element::Plain(dtype)) => dtype,
        other => return Err(c.problem(format!("an array of {}", kind(&other)))),
    };
    let len = c.varint()?;
    let size = c.varint()?;
    let window = c.window(size)?;
    let values = usize::try_from(len)
        .ok()
        .and_then(|n| Tensor::new(dtype, vec![n], pool.data.slice(window.pos(), window.left())?))
        .ok_or_else(|| c.problem(format!("{size} bytes for {len} elements")))?;
    pool.pay(len / 4)?;
    if dtype.is_int() || dtype == DType::Bool {
        return Ok(Attr::Ints(values.to_i64()));
    }
    Ok(Attr::Dense(Dense { ty: elements::list_type(len, dtype), values }))
}

/// Reads a type.
pub(super) fn ty(pool: &mut Pool<'_>, c: &mut Cursor<'_>) -> Read<Type> {
    match c.varint()? {
        0 => {
            // Width, then two bits: signless, signed, unsigned.
            let v = c.varint()?;
            let (width, unsigned) = (v >> 2, v & 3 == 2);
            let mlir = format!("{}{width}", if unsigned { "ui" } else { "i" });
            let ir = if width == 1 { "bool".to_string() } else { mlir.replace("ui", "u") };
            Ok(vhlo_type::element(&mlir, &ir))
        }
        1 => Ok(Type::Scalar(Element::Index)),
        2 => Ok(Type::Function(pool.type_list(c)?, pool.type_list(c)?)),
        3 => Ok(Type::Scalar(Element::Plain(DType::BF16))),
        4 => Ok(Type::Scalar(Element::Plain(DType::F16))),
        5 => Ok(Type::Scalar(Element::Plain(DType::F32))),
        6 => Ok(Type::Scalar(Element::Plain(DType::F64))),
        7 => Ok(Type::Other("f80".into())),
        8 => Ok(Type::Other("f128".into())),
        9 => vhlo_type::complex(pool, c),
        12 => Ok(Type::None),
        13 => vhlo_type::tensor(pool, c, false),
        14 => vhlo_type::tensor(pool, c, true),
        15 => Ok(Type::Tuple(pool.type_list(c)?)),
        18 => Err(c.problem("tensors without a rank are not supported")),
        code => Err(c.problem(format!("builtin type {code} is not supported"))),
    }
}

/// What a location says.
pub(super) enum Place {
    /// A name, or a place in a file.
    Named(Arc<str>),
    /// Another location says it.
    At(u64),
    /// Nothing.
    Unknown,
}

/// Reads a location: its own name, or the place in a file, or where to go on looking: in a stack of calls that is the callee,
/// among fused ones the first.
pub(super) fn location(pool: &mut Pool<'_>, c: &mut Cursor<'_>) -> Read<Place> {
    Ok(match c.varint()? {
        10 => Place::At(c.varint()?),
        11 => {
            let file = pool.name(c)?;
            Place::Named(format!("{file}:{}:{}", c.varint()?, c.varint()?).into())
        }
        12 | 13 if c.count()? > 0 => Place::At(c.varint()?),
        14 => {
            let name = pool.name(c)?;
            if name.is_empty() { Place::At(c.varint()?) } else { Place::Named(name) }
        }
        22 => {
            let file = pool.name(c)?;
            let mut text = file.to_string();
            for _ in 0..c.count()?.min(2) {
                text.push_str(&format!(":{}", c.varint()?));
            }
            Place::Named(text.into())
        }
        _ => Place::Unknown,
    })
}
