//! Element types and numbers in Ascend C.

use beiming_ir::kernel::Scalar;
use beiming_ir::tensor::Num;
use beiming_ir::types::DType;

/// Name of an element type in kernel code; truth values are bytes.
pub fn name(d: DType) -> Option<&'static str> {
    Some(match d {
        DType::F32 => "float",
        DType::F16 => "half",
        DType::BF16 => "bfloat16_t",
        DType::I64 => "int64_t",
        DType::I32 => "int32_t",
        DType::I16 => "int16_t",
        DType::I8 => "int8_t",
        DType::U32 => "uint32_t",
        DType::U16 => "uint16_t",
        DType::U8 | DType::Bool => "uint8_t",
        _ => return None,
    })
}

/// A number of a type; not finite ones by their bits.
pub fn number(s: &Scalar) -> Option<String> {
    let ty = name(s.dtype)?;
    Some(match s.value {
        Num::Int(v) if s.dtype == DType::I32 && v == i128::from(i32::MIN) => "INT32_MIN".into(),
        Num::Int(v) if s.dtype == DType::I32 => v.to_string(),
        Num::Int(v) => format!("{ty}({v})"),
        Num::Float(x) => {
            let x = x as f32;
            let f = if x.is_finite() { format!("{x:?}f") } else { format!("FloatOf({:#010x}u)", x.to_bits()) };
            if s.dtype == DType::F32 { f } else { format!("{ty}({f})") }
        }
        Num::Complex(..) => return None,
    })
}
