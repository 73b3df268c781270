//! Constant elements: a window into the artifact wherever whole bytes allow it.

use beiming_ir::tensor::{Data, Tensor};
use beiming_ir::types::DType;

use super::cursor::{Cursor, Read};
use super::pool::Pool;
use crate::import::stablehlo::syntax::{Attr, Dense, Element, TensorType, Type};

/// The elements of a tensor: the type, the size in bytes, the bytes. One element alone is a splat. `i1` comes as bits, lowest
/// first, from the writers that exist; whole bytes are understood as well.
pub(super) fn read(pool: &mut Pool<'_>, c: &mut Cursor<'_>) -> Read<Attr> {
    let ty = match pool.ty(c)? {
        Type::Tensor(ty) => ty,
        Type::Other(name) => return Ok(Attr::Other(format!("dense<..> : {name}").into())),
        _ => return Err(c.problem("constant elements have a type that is no tensor")),
    };
    let size = c.varint()?;
    let window = c.window(size)?;
    let at = window.pos();
    let bytes = window.left();
    let mut shape = Vec::with_capacity(ty.shape.len());
    for extent in &ty.shape {
        match extent.and_then(|e| usize::try_from(e).ok()) {
            Some(e) => shape.push(e),
            None => return Err(c.problem("constant elements have a shape that is not known")),
        }
    }
    // No number of elements overflows as long as one extent is zero.
    let count = if shape.contains(&0) { Some(0) } else { shape.iter().try_fold(1usize, |n, &e| n.checked_mul(e)) };
    let Some(count) = count else {
        return Err(c.problem("constant elements have a shape that is too large"));
    };
    let dtype = storage(&ty.element);
    let data = pool.data.slice(at, bytes).ok_or_else(|| c.problem("constant elements lie outside the artifact"))?;
    let wrong = || {
        let message = format!("{bytes} bytes for {count} elements of {} bytes", dtype.size());
        c.problem(message)
    };
    let values = if count == 0 {
        Tensor::new(dtype, shape, Data::from(vec![]))
    } else if dtype == DType::Bool && bytes != count {
        bits(data, count, shape)
    } else if bytes == dtype.size() && count > 1 {
        Tensor::new(dtype, vec![], data)
    } else {
        Tensor::new(dtype, shape, data)
    };
    let values = normal(values.ok_or_else(wrong)?);
    pool.pay(ty.shape.len() as u64)?;
    Ok(Attr::Dense(Dense { ty, values }))
}

/// The type in which elements are stored.
fn storage(element: &Element) -> DType {
    match element {
        Element::Plain(dtype) => *dtype,
        Element::Index => DType::I64,
        Element::Quantized(q) => q.storage,
    }
}

/// Packed booleans; one byte of all zeros or all ones stands for any number of them.
fn bits(data: Data, count: usize, shape: Vec<usize>) -> Option<Tensor> {
    match data.as_bytes() {
        [0] => Some(Tensor { dtype: DType::Bool, shape: vec![], data: Data::from(vec![0]) }),
        [0xFF] => Some(Tensor { dtype: DType::Bool, shape: vec![], data: Data::from(vec![1]) }),
        packed if packed.len() == count.div_ceil(8) => {
            let bytes: Vec<u8> = (0..count).map(|i| packed[i / 8] >> (i % 8) & 1).collect();
            Tensor::new(DType::Bool, shape, bytes.into())
        }
        _ => None,
    }
}

/// The form that tensors of the IR have: booleans are 0 or 1, and signed elements of less than a byte are sign-extended, which
/// only the bytes of those types can lack.
fn normal(t: Tensor) -> Tensor {
    let width = t.dtype.bits();
    if t.dtype.is_float() && width == 8 || width > 8 || t.dtype.is_int() && width == 8 {
        return t;
    }
    let fix = |b: u8| match t.dtype {
        DType::Bool => u8::from(b != 0),
        _ if t.dtype.is_signed_int() => ((b << (8 - width)) as i8 >> (8 - width)) as u8,
        _ => b & (0xFF >> (8 - width)),
    };
    if t.bytes().iter().all(|&b| fix(b) == b) {
        return t;
    }
    let bytes: Vec<u8> = t.bytes().iter().map(|&b| fix(b)).collect();
    Tensor { data: bytes.into(), ..t }
}

/// The elements of a list of integers or booleans, as far as it is one and not longer than `most`.
pub(super) fn list(dense: &Dense, most: usize) -> Option<Vec<i64>> {
    let [extent] = dense.ty.shape[..] else { return None };
    let count = usize::try_from(extent?).ok().filter(|n| *n <= most)?;
    if !(dense.values.dtype.is_int() || dense.values.dtype == DType::Bool) {
        return None;
    }
    let each = dense.values.to_i64();
    Some(if each.len() == 1 { each.repeat(count) } else { each })
}

/// A type of a list of integers.
pub(super) fn list_type(len: u64, dtype: DType) -> TensorType {
    TensorType { shape: vec![Some(len)], bounds: vec![], element: Element::Plain(dtype) }
}
