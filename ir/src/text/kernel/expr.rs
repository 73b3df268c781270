//! Operators of the text form, and the form of constants.

use crate::kernel::Scalar;
use crate::ops::BinaryOp;
use crate::tensor::Num;
use crate::types::DType;

/// Binding strength of an infix operator and its sign; all are left-associative, comparisons do not chain. The other
/// functions of two arguments are written as calls.
pub(super) fn infix(op: BinaryOp) -> Option<(&'static str, u8)> {
    use BinaryOp::*;
    Some(match op {
        Or => ("|", 1),
        Xor => ("^", 2),
        And => ("&", 3),
        Eq => ("==", 4),
        Ne => ("!=", 4),
        Lt => ("<", 4),
        Le => ("<=", 4),
        Gt => (">", 4),
        Ge => (">=", 4),
        Add => ("+", 5),
        Sub => ("-", 5),
        Mul => ("*", 6),
        Div => ("/", 6),
        Max | Min | Pow | Mod | Rem | Atan2 | Shl | Shr => return None,
    })
}

/// Binding strength of comparisons.
pub(super) const COMPARE: u8 = 4;

/// A constant: integers of `i64` bare, `true` and `false`, everything else with its type behind a colon.
pub(super) fn constant(s: &Scalar) -> String {
    let d = s.dtype;
    match s.value {
        Num::Int(v) if d == DType::I64 => v.to_string(),
        Num::Int(v @ (0 | 1)) if d == DType::Bool => if v == 1 { "true" } else { "false" }.into(),
        Num::Int(v) => format!("{v}:{d}"),
        Num::Float(x) => format!("{}:{d}", float(x)),
        Num::Complex(r, i) => format!("complex({}, {}):{d}", float(r), float(i)),
    }
}

/// A float with all its bits: shortest decimal digits, `inf`, `nan`, or `nan(bits)`.
fn float(x: f64) -> String {
    if x.is_nan() {
        return if x.to_bits() == f64::NAN.to_bits() { "nan".into() } else { format!("nan({:#x})", x.to_bits()) };
    }
    format!("{x:?}")
}
