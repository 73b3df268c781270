//! DLPack, the structures: <https://dmlc.github.io/dlpack/latest/c_api.html>. The version without flags, which every framework
//! reads and writes.

use std::ffi::{CStr, c_void};

use beiming_runtime::DType;

/// Name of a capsule that nobody has taken the tensor out of.
pub const NAME: &CStr = c"dltensor";

/// `kDLCPU`.
pub const CPU: i32 = 1;

/// Kind of device and its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Device {
    pub kind: i32,
    pub id: i32,
}

/// Element type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct DataType {
    pub code: u8,
    pub bits: u8,
    pub lanes: u16,
}

/// A tensor. Strides count elements; null strides are those of a dense row-major tensor.
#[repr(C)]
pub struct DlTensor {
    pub data: *mut c_void,
    pub device: Device,
    pub rank: i32,
    pub dtype: DataType,
    pub shape: *mut i64,
    pub strides: *mut i64,
    pub byte_offset: u64,
}

/// A tensor with its owner.
#[repr(C)]
pub struct Managed {
    pub tensor: DlTensor,
    pub context: *mut c_void,
    pub deleter: Option<unsafe extern "C" fn(*mut Managed)>,
}

/// Element types by code and bits. Types narrower than a byte are packed in DLPack and not here: they have no entry.
const TYPES: [(DType, u8, u8); 21] = [
    (DType::I64, 0, 64),
    (DType::I32, 0, 32),
    (DType::I16, 0, 16),
    (DType::I8, 0, 8),
    (DType::U64, 1, 64),
    (DType::U32, 1, 32),
    (DType::U16, 1, 16),
    (DType::U8, 1, 8),
    (DType::F64, 2, 64),
    (DType::F32, 2, 32),
    (DType::F16, 2, 16),
    (DType::BF16, 4, 16),
    (DType::C128, 5, 128),
    (DType::C64, 5, 64),
    (DType::Bool, 6, 8),
    (DType::F8E4M3FN, 10, 8),
    (DType::F8E4M3FNUZ, 11, 8),
    (DType::F8E5M2, 12, 8),
    (DType::F8E5M2FNUZ, 13, 8),
    (DType::F8E8M0, 14, 8),
    // Some writers give a boolean as an unsigned integer of one bit in a byte.
    (DType::Bool, 1, 1),
];

impl DataType {
    /// DLPack's name for an element type.
    pub fn of(d: DType) -> Option<DataType> {
        TYPES.iter().find(|t| t.0 == d).map(|t| DataType { code: t.1, bits: t.2, lanes: 1 })
    }

    /// The element type.
    pub fn dtype(self) -> Option<DType> {
        TYPES.iter().find(|t| (t.1, t.2, 1) == (self.code, self.bits, self.lanes)).map(|t| t.0)
    }
}
