//! Attributes of the VHLO dialect, in the form that the StableHLO specification gives them.

use std::sync::Arc;

use beiming_ir::num;
use beiming_ir::tensor::Num;
use beiming_ir::types::DType;

use super::cursor::{Cursor, Read};
use super::elements;
use super::pool::Pool;
use super::vhlo_type::kind;
use crate::import::stablehlo::syntax::{Attr, Attrs, Element, Type};

/// The enumerations: code of the attribute, values of the enumerators, their names.
const ENUMS: &[(u64, &[(u64, &str)])] = &[
    (3, &[(0, "EQ"), (1, "NE"), (2, "GE"), (3, "GT"), (4, "LE"), (5, "LT")]),
    (4, &[(0, "NOTYPE"), (1, "FLOAT"), (2, "TOTALORDER"), (3, "SIGNED"), (4, "UNSIGNED")]),
    (7, &[(0, "FFT"), (1, "IFFT"), (2, "RFFT"), (3, "IRFFT")]),
    (11, &[(0, "DEFAULT"), (1, "HIGH"), (2, "HIGHEST")]),
    (12, &[(0, "DEFAULT"), (1, "THREE_FRY"), (2, "PHILOX")]),
    (13, &[(1, "UNIFORM"), (2, "NORMAL")]),
    (16, &[(0, "TRANSPOSE_INVALID"), (1, "NO_TRANSPOSE"), (2, "TRANSPOSE"), (3, "ADJOINT")]),
    (19, &[(0, "DEFAULT"), (1, "HIGHEST"), (2, "TOLERANCE")]),
];

/// Reads an attribute.
pub(super) fn read(pool: &mut Pool<'_>, c: &mut Cursor<'_>) -> Read<Attr> {
    let code = c.varint()?;
    if let Some((_, names)) = ENUMS.iter().find(|e| e.0 == code) {
        let value = c.varint()?;
        return match names.iter().find(|n| n.0 == value) {
            Some((_, name)) => Ok(Attr::Enum((*name).into())),
            None => Err(c.problem(format!("{value} is no enumerator of VHLO attribute {code}"))),
        };
    }
    match code {
        1 => Ok(Attr::Array(pool.attr_list(c)?)),
        2 => match c.varint()? {
            v @ 0..=1 => Ok(Attr::Bool(v == 1)),
            v => Err(c.problem(format!("{v} is no boolean"))),
        },
        // The API version of a custom call is an enumeration that StableHLO writes as a number.
        5 => match c.varint()? {
            v @ 0..=4 => Ok(Attr::Int(v as i64, Type::Scalar(Element::Plain(DType::I32)))),
            v => Err(c.problem(format!("{v} is no API version of custom calls"))),
        },
        6 => Ok(Attr::Dict(pool.dictionary(c)?)),
        8 => {
            let ty = pool.ty(c)?;
            float(c, ty)
        }
        9 => {
            let ty = pool.ty(c)?;
            integer(c, ty)
        }
        10 => {
            let output = ints(pool, c)?;
            let operand = index(c.signed()?);
            let inside = ints(pool, c)?;
            let fields = [("output_tuple_indices", output), ("operand_index", operand), ("operand_tuple_indices", inside)];
            Ok(structure("output_operand_alias", fields))
        }
        14 => Ok(Attr::Str(pool.string(c)?.into())),
        15 => elements::read(pool, c),
        17 => Ok(Attr::Type(pool.ty(c)?)),
        18 => Ok(structure("type_extensions", [("bounds", ints(pool, c)?)])),
        20 => {
            // Zero is what nobody writes.
            let tolerance = |v: f64| (v != 0.0).then_some(Attr::Float(v, Type::Scalar(Element::Plain(DType::F64))));
            let atol = tolerance(f64::from_bits(c.bits(64)?)).map(|v| ("atol", v));
            let rtol = tolerance(f64::from_bits(c.bits(64)?)).map(|v| ("rtol", v));
            let ulps = Some(c.signed()?).filter(|v| *v != 0).map(|v| ("ulps", index(v)));
            let mode = Some(("mode", pool.attr(c)?));
            Ok(structure("result_accuracy", [atol, rtol, ulps, mode].into_iter().flatten()))
        }
        21 => Ok(structure("sub_axis_info", [("pre_size", index(c.signed()?)), ("size", index(c.signed()?))])),
        22 => {
            let name = pool.attr(c)?;
            let sub = if c.varint()? == 0 { None } else { Some(("sub_axis_info", pool.attr(c)?)) };
            Ok(structure("axis_ref", [("name", name)].into_iter().chain(sub)))
        }
        23 => {
            let mesh = match pool.attr(c)? {
                Attr::Str(name) => Attr::Symbol(String::from_utf8_lossy(&name).into()),
                mesh => mesh,
            };
            Ok(structure("replica_group_mesh_axes", [("mesh", mesh), ("axes", pool.attr(c)?)]))
        }
        24 => Ok(structure("mesh_axis", [("name", pool.attr(c)?), ("size", index(c.signed()?))])),
        25 => {
            let axes = pool.attr(c)?;
            let (ids, present) = c.flagged()?;
            let ids = if present { Some(("device_ids", pool.attr_at(c, ids)?)) } else { None };
            Ok(structure("mesh", [("axes", axes)].into_iter().chain(ids)))
        }
        _ => Err(c.problem(format!("unknown VHLO attribute {code}: the artifact is newer than this reader"))),
    }
}

/// A list of integers.
fn ints(pool: &mut Pool<'_>, c: &mut Cursor<'_>) -> Read<Attr> {
    let list = c.signed_list()?;
    pool.pay(list.len() as u64 / 4)?;
    Ok(Attr::Ints(list))
}

/// A structure with named fields.
pub(super) fn structure(name: &str, fields: impl IntoIterator<Item = (&'static str, Attr)>) -> Attr {
    let fields: Attrs = fields.into_iter().map(|(k, v)| (Arc::from(k), v)).collect();
    Attr::Struct(name.into(), fields)
}

/// An integer of 64 bits.
pub(super) fn index(v: i64) -> Attr {
    Attr::Int(v, Type::Scalar(Element::Plain(DType::I64)))
}

/// An integer of a known type.
pub(super) fn integer(c: &mut Cursor<'_>, ty: Type) -> Read<Attr> {
    let (width, signed) = match &ty {
        Type::Scalar(Element::Index) => (64, true),
        Type::Scalar(Element::Plain(dtype)) if dtype.is_int() => (dtype.bits(), dtype.is_signed_int()),
        Type::Scalar(Element::Plain(DType::Bool)) => (1, false),
        other => return Err(c.problem(format!("an integer of type {}", kind(other)))),
    };
    let v = c.bits(width)? << (64 - width);
    let v = if signed { v as i64 >> (64 - width) } else { (v >> (64 - width)) as i64 };
    Ok(if width == 1 { Attr::Bool(v == 1) } else { Attr::Int(v, ty) })
}

/// A floating-point number of a known type.
pub(super) fn float(c: &mut Cursor<'_>, ty: Type) -> Read<Attr> {
    let dtype = match &ty {
        Type::Scalar(Element::Plain(dtype)) if dtype.is_float() => *dtype,
        other => return Err(c.problem(format!("a floating-point number of type {}", kind(other)))),
    };
    let bits = c.bits(dtype.bits())?.to_le_bytes();
    match num::decode(dtype, &bits[..dtype.size()]) {
        Num::Float(v) => Ok(Attr::Float(v, ty)),
        _ => Err(c.problem("a floating-point number of another kind")),
    }
}
