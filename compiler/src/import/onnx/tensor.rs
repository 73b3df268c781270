//! `TensorProto` to [`Tensor`]. Raw and external payloads become windows into mapped memory; only values in typed fields
//! and packed sub-byte types are copied.

use std::sync::Arc;

use beiming_ir::num;
use beiming_ir::tensor::{Data, Num, Tensor};
use beiming_ir::types::DType;

use super::super::error::{Clean, Code, ModelError};
use super::external::Folder;
use super::proto::{SparseTensorProto, TensorProto, tensor_proto};

/// Most elements of a tensor; the bound of `ops::infer`.
const MAX_ELEMENTS: u64 = 1 << 48;

/// Why a tensor could not be read.
#[derive(Debug)]
pub enum TensorError {
    /// Malformed.
    Invalid(ModelError),
    /// Of a type that the IR does not have.
    Unsupported(String),
}

impl From<ModelError> for TensorError {
    fn from(e: ModelError) -> TensorError {
        TensorError::Invalid(e)
    }
}

fn invalid<T>(code: Code, message: String) -> Result<T, TensorError> {
    Err(TensorError::Invalid(ModelError::new(code, message)))
}

/// Element type of an ONNX type code.
pub fn dtype(code: i32) -> Result<DType, TensorError> {
    use tensor_proto::DataType as T;
    Ok(match T::try_from(code) {
        Ok(T::Float) => DType::F32,
        Ok(T::Uint8) => DType::U8,
        Ok(T::Int8) => DType::I8,
        Ok(T::Uint16) => DType::U16,
        Ok(T::Int16) => DType::I16,
        Ok(T::Int32) => DType::I32,
        Ok(T::Int64) => DType::I64,
        Ok(T::Bool) => DType::Bool,
        Ok(T::Float16) => DType::F16,
        Ok(T::Double) => DType::F64,
        Ok(T::Uint32) => DType::U32,
        Ok(T::Uint64) => DType::U64,
        Ok(T::Complex64) => DType::C64,
        Ok(T::Complex128) => DType::C128,
        Ok(T::Bfloat16) => DType::BF16,
        Ok(T::Float8e4m3fn) => DType::F8E4M3FN,
        Ok(T::Float8e4m3fnuz) => DType::F8E4M3FNUZ,
        Ok(T::Float8e5m2) => DType::F8E5M2,
        Ok(T::Float8e5m2fnuz) => DType::F8E5M2FNUZ,
        Ok(T::Float8e8m0) => DType::F8E8M0,
        Ok(T::Float4e2m1) => DType::F4E2M1,
        Ok(T::Uint4) => DType::U4,
        Ok(T::Int4) => DType::I4,
        Ok(T::Uint2) => DType::U2,
        Ok(T::Int2) => DType::I2,
        Ok(T::String | T::Float6e2m3 | T::Float6e3m2) => {
            let name = T::try_from(code).map(|t| t.as_str_name()).unwrap_or_default();
            return Err(TensorError::Unsupported(format!("tensors of type {name}")));
        }
        Ok(T::Undefined) | Err(_) => return invalid(Code::ElementType, format!("{code} is not an element type")),
    })
}

/// The ONNX code of an element type.
pub fn code(d: DType) -> i32 {
    // Every type of the IR came from one of these codes.
    (1..=32).find(|c| dtype(*c).is_ok_and(|x| x == d)).unwrap_or(0)
}

/// Puts a payload that lies in another file inside.
pub fn inline(t: &mut TensorProto, folder: &mut Folder) -> Result<(), ModelError> {
    if t.data_location() == tensor_proto::DataLocation::External {
        let r = External::read(t)?;
        t.raw_data = Some(folder.window(&r.location, r.offset, r.length)?);
        t.external_data.clear();
        t.data_location = None;
    }
    Ok(())
}

/// The elements as raw data has them: several to the byte for types of two and four bits.
pub fn pack(t: &Tensor) -> Vec<u8> {
    let bits = t.dtype.bits() as usize;
    if t.dtype == DType::Bool || bits >= 8 {
        return t.bytes().to_vec();
    }
    let per_byte = 8 / bits;
    let mask = (1u16 << bits) as u8 - 1;
    let byte = |c: &[u8]| c.iter().enumerate().fold(0u8, |b, (i, x)| b | (x & mask) << (i * bits));
    t.bytes().chunks(per_byte).map(byte).collect()
}

/// Checks a list of extents: none negative, and a number of elements that can be.
pub fn extents(dims: &[i64]) -> Result<Vec<usize>, ModelError> {
    let shape: Option<Vec<usize>> = dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    let count = |s: &Vec<usize>| s.iter().try_fold(1u64, |a, &d| a.checked_mul(d as u64)).is_some_and(|n| n <= MAX_ELEMENTS);
    match shape.filter(count) {
        Some(s) => Ok(s),
        None => Err(ModelError::new(Code::Dimension, format!("dims {dims:?} are negative or too large (at most 2^48 elements)"))),
    }
}

/// Reads a tensor; `folder` serves external data.
pub fn read(t: &TensorProto, folder: &mut Folder) -> Result<Tensor, TensorError> {
    let name = Clean(t.name());
    let dtype = dtype(t.data_type())?;
    let shape = extents(&t.dims).map_err(|e| ModelError::new(e.code, format!("tensor `{name}`: {}", e.message)))?;
    let count: usize = shape.iter().product();
    if t.segment.is_some() {
        return Err(TensorError::Unsupported("tensors in segments".into()));
    }
    // Two, four or one elements to the byte; each tensor starts on a byte.
    let packed = (count as u64 * u64::from(if dtype == DType::Bool { 8 } else { dtype.bits() })).div_ceil(8);
    let raw = if t.data_location() == tensor_proto::DataLocation::External {
        let r = External::read(t)?;
        Some(folder.window(&r.location, r.offset, r.length.or((count == 0).then_some(0)))?)
    } else {
        t.raw_data.clone()
    };
    if let Some(raw) = raw {
        if raw.len() as u64 != packed {
            let why = format!("tensor `{name}` of {dtype} and dims {:?} takes {packed} bytes, but has {}", t.dims, raw.len());
            return invalid(Code::TensorSize, why);
        }
        let data = match dtype.bits() {
            1 if raw.iter().any(|b| *b > 1) => raw.iter().map(|b| u8::from(*b != 0)).collect::<Vec<u8>>().into(),
            2 | 4 => unpack(dtype, &raw, count).into(),
            _ => Data::new(Arc::new(super::super::mapped::Shared(raw))),
        };
        return Ok(Tensor { dtype, shape, data });
    }
    let (have, data) = typed(t, dtype);
    match Tensor::new(dtype, shape, data.into()) {
        Some(t) => Ok(t),
        None => invalid(Code::TensorSize, format!("tensor `{name}` of dims {:?} has {have} elements", t.dims)),
    }
}

/// The elements of the typed field for `dtype`, and how many there are.
fn typed(t: &TensorProto, dtype: DType) -> (usize, Vec<u8>) {
    let mut out = vec![];
    match dtype {
        DType::F32 | DType::C64 => t.float_data.iter().for_each(|x| out.extend(x.to_le_bytes())),
        DType::F64 | DType::C128 => t.double_data.iter().for_each(|x| out.extend(x.to_le_bytes())),
        DType::I64 => t.int64_data.iter().for_each(|x| out.extend(x.to_le_bytes())),
        DType::U64 => t.uint64_data.iter().for_each(|x| out.extend(x.to_le_bytes())),
        DType::U32 => t.uint64_data.iter().for_each(|x| out.extend((*x as u32).to_le_bytes())),
        // The schema stores the bits of these.
        DType::F16 | DType::BF16 => t.int32_data.iter().for_each(|x| out.extend((*x as u16).to_le_bytes())),
        // A field of four elements or fewer in the low byte, in the order of the packed form.
        DType::I4 | DType::U4 | DType::F4E2M1 | DType::I2 | DType::U2 => {
            let count = t.dims.iter().product::<i64>() as usize;
            let bytes: Vec<u8> = t.int32_data.iter().map(|x| *x as u8).collect();
            let fits = bytes.len() == (count * dtype.bits() as usize).div_ceil(8);
            return (bytes.len() * 8 / dtype.bits() as usize, if fits { unpack(dtype, &bytes, count) } else { vec![] });
        }
        d if d.is_float() => t.int32_data.iter().for_each(|x| out.push(*x as u8)),
        d => t.int32_data.iter().for_each(|x| num::encode(d, Num::Int(i128::from(*x)), &mut out)),
    }
    (out.len() / dtype.size(), out)
}

/// Spreads packed 2- and 4-bit elements, lowest bits first, over whole bytes; signed ones are sign-extended.
fn unpack(dtype: DType, packed: &[u8], count: usize) -> Vec<u8> {
    let bits = dtype.bits() as usize;
    let per_byte = 8 / bits;
    let up = 8 - bits;
    (0..count)
        .map(|i| {
            let b = packed[i / per_byte] >> (i % per_byte * bits) << up;
            if dtype.is_signed_int() { ((b as i8) >> up) as u8 } else { b >> up }
        })
        .collect()
}

/// The reference of a tensor whose payload lies in another file.
struct External {
    location: String,
    offset: u64,
    length: Option<u64>,
}

impl External {
    fn read(t: &TensorProto) -> Result<External, ModelError> {
        let (mut location, mut offset, mut length) = (None, None, None);
        let bad = |why: String| ModelError::new(Code::ExternalKey, format!("external data of `{}`: {why}", Clean(t.name())));
        for e in &t.external_data {
            let number = || {
                let n = e.value().parse::<u64>();
                n.map_err(|_| bad(format!("`{}` is not a number of bytes: `{}`", Clean(e.key()), Clean(e.value()))))
            };
            let twice = match e.key() {
                "location" => location.replace(e.value().to_string()).is_some(),
                "offset" => offset.replace(number()?).is_some(),
                "length" => length.replace(number()?).is_some(),
                // A SHA-1 that no known writer fills in.
                "checksum" => false,
                k => return Err(bad(format!("unknown key `{}`; allowed are location, offset, length, checksum", Clean(k)))),
            };
            if twice {
                return Err(bad(format!("`{}` stands twice", e.key())));
            }
        }
        let location = location.ok_or_else(|| bad("`location` is missing".into()))?;
        Ok(External { location, offset: offset.unwrap_or(0), length })
    }
}

/// Most bytes a sparse tensor may take once it is dense: it can name a huge shape in a few bytes.
const MAX_DENSE: usize = 1 << 30;

/// Reads a sparse tensor as a dense one.
pub fn read_sparse(s: &SparseTensorProto, folder: &mut Folder) -> Result<Tensor, TensorError> {
    let (Some(values), Some(indices)) = (&s.values, &s.indices) else {
        return invalid(Code::Sparse, "a sparse tensor lacks values or indices".into());
    };
    let (values, indices) = (read(values, folder)?, read(indices, folder)?);
    let shape = extents(&s.dims)?;
    let size = values.dtype.size();
    let count: usize = shape.iter().product();
    let n = values.len();
    let linear = indices.shape == [n];
    if values.shape.len() != 1 || indices.dtype != DType::I64 || !(linear || indices.shape == [n, shape.len()]) {
        return invalid(Code::Sparse, "indices of a sparse tensor are i64 of shape [n] or [n, rank] for n values".into());
    }
    if count.saturating_mul(size) > MAX_DENSE {
        return Err(TensorError::Unsupported(format!("sparse tensors of more than {MAX_DENSE} bytes")));
    }
    let mut out = vec![0u8; count * size];
    let index = indices.to_i64();
    for i in 0..n {
        let at = if linear {
            usize::try_from(index[i]).ok()
        } else {
            let tuple = &index[i * shape.len()..][..shape.len()];
            tuple.iter().zip(&shape).try_fold(0usize, |a, (&x, &d)| {
                let x = usize::try_from(x).ok().filter(|x| *x < d)?;
                Some(a * d + x)
            })
        };
        let Some(at) = at.filter(|a| *a < count) else {
            return invalid(Code::Sparse, format!("index {i} of a sparse tensor is outside its dims {:?}", s.dims));
        };
        out[at * size..][..size].copy_from_slice(&values.bytes()[i * size..][..size]);
    }
    Ok(Tensor { dtype: values.dtype, shape, data: out.into() })
}
