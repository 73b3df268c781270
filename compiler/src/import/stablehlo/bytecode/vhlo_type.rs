//! Types of the VHLO dialect.

use std::sync::Arc;

use beiming_ir::types::DType;

use super::cursor::{Cursor, Read};
use super::pool::Pool;
use crate::import::stablehlo::syntax::{Attr, Element, Quantized, TensorType, Type};

/// Element types: code, name in MLIR, name in the IR.
const ELEMENTS: [(u64, &str, &str); 29] = [
    (0, "i1", "bool"),
    (2, "bf16", "bf16"),
    (3, "f16", "f16"),
    (4, "f32", "f32"),
    (5, "f64", "f64"),
    (6, "f8E4M3FN", "f8e4m3fn"),
    (7, "f8E5M2", "f8e5m2"),
    (10, "i4", "i4"),
    (11, "i8", "i8"),
    (12, "i16", "i16"),
    (13, "i32", "i32"),
    (14, "i64", "i64"),
    (15, "ui4", "u4"),
    (16, "ui8", "u8"),
    (17, "ui16", "u16"),
    (18, "ui32", "u32"),
    (19, "ui64", "u64"),
    (27, "f8E4M3FNUZ", "f8e4m3fnuz"),
    (28, "f8E5M2FNUZ", "f8e5m2fnuz"),
    (29, "f8E4M3B11FNUZ", "f8e4m3b11fnuz"),
    (31, "i2", "i2"),
    (32, "ui2", "u2"),
    (34, "tf32", "tf32"),
    (35, "f8E4M3", "f8e4m3"),
    (36, "f8E3M4", "f8e3m4"),
    (37, "f4E2M1FN", "f4e2m1"),
    (38, "f6E2M3FN", "f6e2m3"),
    (39, "f6E3M2FN", "f6e3m2"),
    (40, "f8E8M0FNU", "f8e8m0"),
];

/// Reads a type.
pub(super) fn read(pool: &mut Pool<'_>, c: &mut Cursor<'_>) -> Read<Type> {
    let code = c.varint()?;
    if let Some((_, mlir, ir)) = ELEMENTS.iter().find(|e| e.0 == code) {
        return Ok(element(mlir, ir));
    }
    match code {
        1 => complex(pool, c),
        8 => Ok(Type::Function(pool.type_list(c)?, pool.type_list(c)?)),
        9 => Ok(Type::Scalar(Element::Index)),
        20 => tensor(pool, c, false),
        21 => tensor(pool, c, true),
        22 => Ok(Type::Token),
        23 => Ok(Type::Tuple(pool.type_list(c)?)),
        24 => quantized(pool, c),
        25 => Err(c.problem("tensors without a rank are not supported")),
        26 => Ok(Type::Other("!shape.witness".into())),
        30 => quantized_axis(pool, c),
        33 => Ok(Type::None),
        41 => buffer(pool, c),
        42 => Ok(Type::Future(pool.type_list(c)?)),
        _ => Err(c.problem(format!("unknown VHLO type {code}: the artifact is newer than this reader"))),
    }
}

/// An element type, or its name where the IR does not have it.
pub(super) fn element(mlir: &str, ir: &str) -> Type {
    match ir.parse::<DType>() {
        Ok(dtype) => Type::Scalar(Element::Plain(dtype)),
        Err(_) => Type::Other(mlir.into()),
    }
}

/// `complex<..>`.
pub(super) fn complex(pool: &mut Pool<'_>, c: &mut Cursor<'_>) -> Read<Type> {
    match pool.ty(c)? {
        Type::Scalar(Element::Plain(DType::F32)) => Ok(Type::Scalar(Element::Plain(DType::C64))),
        Type::Scalar(Element::Plain(DType::F64)) => Ok(Type::Scalar(Element::Plain(DType::C128))),
        other => Err(c.problem(format!("complex numbers of {other:?} are not supported"))),
    }
}

/// What kind of type this is, for messages: hostile types can be very long.
pub(super) fn kind(ty: &Type) -> &'static str {
    match ty {
        Type::Tensor(_) => "a tensor",
        Type::Tuple(_) => "a tuple",
        Type::Token => "a token",
        Type::Function(..) => "a function",
        Type::Future(_) => "a future",
        Type::Scalar(Element::Plain(dtype)) => dtype.name(),
        Type::Scalar(Element::Index) => "index",
        Type::Scalar(Element::Quantized(_)) => "a quantized type",
        Type::None => "none",
        Type::Other(_) => "an unknown type",
    }
}

/// Extents: a negative one, of which there is only the least number, is not known.
fn shape(c: &mut Cursor<'_>) -> Read<Vec<Option<u64>>> {
    Ok(c.signed_list()?.into_iter().map(|e| u64::try_from(e).ok()).collect())
}

/// A tensor type; an encoding comes first and holds upper bounds of the extents.
pub(super) fn tensor(pool: &mut Pool<'_>, c: &mut Cursor<'_>, encoded: bool) -> Read<Type> {
    let bounds = match encoded.then(|| pool.attr(c)).transpose()? {
        Some(Attr::Struct(name, fields)) if &*name == "type_extensions" => {
            let list = fields.get("bounds").and_then(Attr::ints).unwrap_or_default();
            list.into_iter().map(|e| u64::try_from(e).ok()).collect()
        }
        _ => vec![],
    };
    let shape = shape(c)?;
    pool.pay(shape.len() as u64 / 4)?;
    if !bounds.is_empty() && bounds.len() != shape.len() {
        return Err(c.problem(format!("{} bounds for {} axes", bounds.len(), shape.len())));
    }
    match pool.ty(c)? {
        Type::Scalar(element) => Ok(Type::Tensor(TensorType { shape, bounds, element })),
        Type::Other(name) => Ok(Type::Other(written("tensor", &shape, &name))),
        other => Err(c.problem(format!("tensors of {}", kind(&other)))),
    }
}

/// A buffer is not a value of ours: it is kept as it would be written.
fn buffer(pool: &mut Pool<'_>, c: &mut Cursor<'_>) -> Read<Type> {
    let shape = shape(c)?;
    let name: Arc<str> = match pool.ty(c)? {
        Type::Scalar(Element::Plain(dtype)) => ELEMENTS.iter().find(|e| e.2 == dtype.name()).map_or(dtype.name(), |e| e.1).into(),
        Type::Other(name) => name,
        other => return Err(c.problem(format!("buffers of {}", kind(&other)))),
    };
    Ok(Type::Other(written("memref", &shape, &name)))
}

/// A shaped type as it is written.
fn written(kind: &str, shape: &[Option<u64>], element: &str) -> Arc<str> {
    let extents: String = shape.iter().map(|e| e.map_or("?x".into(), |e| format!("{e}x"))).collect();
    format!("{kind}<{extents}{element}>").into()
}

/// The plain type of a part of a quantized type.
fn plain(pool: &mut Pool<'_>, c: &mut Cursor<'_>) -> Read<DType> {
    match pool.ty(c)? {
        Type::Scalar(Element::Plain(dtype)) => Ok(dtype),
        other => Err(c.problem(format!("a quantized type over {}", kind(&other)))),
    }
}

/// The storage type of a quantized type: the flag says whether it is signed, whatever the type says.
fn storage(flags: u64, dtype: DType) -> DType {
    let name = dtype.name();
    match (flags & 1, name.as_bytes().first()) {
        (1, Some(b'u')) => format!("i{}", &name[1..]).parse().unwrap_or(dtype),
        (0, Some(b'i')) => format!("u{}", &name[1..]).parse().unwrap_or(dtype),
        _ => dtype,
    }
}

/// One scale for all elements: flags, storage, expressed, scale, zero point, minimum, maximum.
fn quantized(pool: &mut Pool<'_>, c: &mut Cursor<'_>) -> Read<Type> {
    let flags = c.varint()?;
    let (stored, expressed) = (plain(pool, c)?, plain(pool, c)?);
    let (scales, zero_points) = (vec![c.bits(64)?], vec![c.signed()?]);
    let (min, max) = (c.signed()?, c.signed()?);
    let q = Quantized { storage: storage(flags, stored), min, max, expressed, axis: None, scales, zero_points };
    Ok(Type::Scalar(Element::Quantized(Arc::new(q))))
}

/// A scale for each position along an axis: flags, storage, expressed, axis, minimum, maximum, scales, zero points.
fn quantized_axis(pool: &mut Pool<'_>, c: &mut Cursor<'_>) -> Read<Type> {
    let flags = c.varint()?;
    let (stored, expressed) = (plain(pool, c)?, plain(pool, c)?);
    let axis = usize::try_from(c.varint()?).map_err(|_| c.problem("the quantized axis is out of range"))?;
    let (min, max) = (c.signed()?, c.signed()?);
    let n = c.count()?;
    let scales = (0..n).map(|_| c.bits(64)).collect::<Read<Vec<u64>>>()?;
    let zero_points = c.signed_list()?;
    if scales.len() != zero_points.len() {
        return Err(c.problem(format!("{} scales and {} zero points", scales.len(), zero_points.len())));
    }
    let q = Quantized { storage: storage(flags, stored), min, max, expressed, axis: Some(axis), scales, zero_points };
    Ok(Type::Scalar(Element::Quantized(Arc::new(q))))
}
