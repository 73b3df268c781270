//! The scalar functions: one definition for graphs and kernels. Floats are computed in `f64` and rounded once to the element
//! type; integers are exact and wrap. Nothing here traps, whatever the arguments.
//!
//! Elementary functions are `libm`'s (a port of musl's, below one unit in the last place of `f64`), not the platform's, so
//! that a folded constant has the same bytes everywhere.

use super::{BinaryOp, UnaryOp};
use crate::num::{decode, encode, round_to};
use crate::tensor::Num;
use crate::types::DType;

/// `op` of one element of type `dtype`; the result is of type [`UnaryOp::result`]. For a type the op does not have, some number.
pub fn unary(op: UnaryOp, dtype: DType, x: Num) -> Num {
    use UnaryOp::*;
    match (op, x) {
        (IsNan, _) => Num::Int(matches!(x, Num::Float(v) if v.is_nan()).into()),
        (IsInf, _) => Num::Int(matches!(x, Num::Float(v) if v.is_infinite()).into()),
        (_, Num::Float(v)) => round_to(dtype, Num::Float(float_unary(op)(v))),
        (Neg, Num::Complex(r, i)) => Num::Complex(-r, -i),
        (Neg, Num::Int(i)) => round_to(dtype, Num::Int(i.wrapping_neg())),
        (Abs, Num::Int(i)) => round_to(dtype, Num::Int(i.wrapping_abs())),
        (Sign, Num::Int(i)) => Num::Int(i.signum()),
        (Not, Num::Int(i)) => Num::Int((i == 0).into()),
        (Popcount, Num::Int(i)) => round_to(dtype, Num::Int(low_bits(dtype, i).count_ones().into())),
        (LeadingZeros, Num::Int(i)) => {
            round_to(dtype, Num::Int((low_bits(dtype, i).leading_zeros() + dtype.bits() - 128).into()))
        }
        (BitNot, Num::Int(i)) => round_to(dtype, Num::Int(!i)),
        (_, Num::Int(_) | Num::Complex(..)) => round_to(dtype, Num::Float(float_unary(op)(x.to_f64()))),
    }
}

/// The bits of an element, zeros above them.
fn low_bits(dtype: DType, i: i128) -> u128 {
    i as u128 & ((1 << dtype.bits()) - 1)
}

/// `op` of two elements of type `dtype`; the result is of type [`BinaryOp::result`]. For a type the op does not have, some number.
pub fn binary(op: BinaryOp, dtype: DType, a: Num, b: Num) -> Num {
    match (a, b) {
        (Num::Int(x), Num::Int(y)) if op.is_compare() => Num::Int(compare_ord(op, x.cmp(&y)).into()),
        (Num::Int(x), Num::Int(y)) => match int_binary(op, dtype, x, y) {
            Some(v) => round_to(dtype, Num::Int(v)),
            None => round_to(dtype, Num::Float(float_binary(op)(x as f64, y as f64))),
        },
        (Num::Complex(..), _) | (_, Num::Complex(..)) => complex_binary(op, dtype, a, b),
        _ if op.is_compare() => Num::Int(float_compare(op)(a.to_f64(), b.to_f64()).into()),
        _ => round_to(dtype, Num::Float(float_binary(op)(a.to_f64(), b.to_f64()))),
    }
}

/// `x`, an element of any type, as an element of type `to`.
///
/// Float to integer truncates and saturates, NaN gives 0. Integer to integer keeps the low bits. To `bool` is `!= 0`. To a
/// float rounds once, to nearest even. Complex to real drops the imaginary part.
pub fn cast(to: DType, x: Num) -> Num {
    match (x, to.int_range()) {
        (Num::Float(_) | Num::Complex(..), Some((lo, hi))) if to != DType::Bool => Num::Int(x.to_i128().clamp(lo, hi)),
        (Num::Int(i), None) if to != DType::F64 && to != DType::C128 => round_to(to, Num::Float(int_to_odd_f64(i))),
        _ => round_to(to, x),
    }
}

/// The bits of `x`, an element of type `from`, read as an element of type `to` of equal width.
pub fn bitcast(from: DType, to: DType, x: Num) -> Num {
    let mut b = Vec::with_capacity(16);
    encode(from, x, &mut b);
    b.resize(to.size(), 0);
    rebits(to, &mut b);
    decode(to, &b)
}

/// Brings one element's byte into the stored form of a type below 8 bits: sign extended, or zero extended.
pub(super) fn rebits(to: DType, b: &mut [u8]) {
    match to {
        DType::I4 => b[0] = (((b[0] << 4) as i8) >> 4) as u8,
        DType::I2 => b[0] = (((b[0] << 6) as i8) >> 6) as u8,
        DType::F6E2M3 | DType::F6E3M2 => b[0] &= 63,
        DType::U4 | DType::F4E2M1 => b[0] &= 15,
        DType::U2 => b[0] &= 3,
        _ => {}
    }
}

/// An integer as a float that rounds to a shorter format as the integer itself would (rounded to odd).
fn int_to_odd_f64(i: i128) -> f64 {
    let x = i as f64;
    let back = x as i128;
    if back == i || x.to_bits() & 1 == 1 {
        return x;
    }
    let up = back.unsigned_abs() < i.unsigned_abs();
    f64::from_bits(if up { x.to_bits() + 1 } else { x.to_bits() - 1 })
}

/// The function of `f64` an op is, before rounding. Ops on other types give NaN.
pub(super) fn float_unary(op: UnaryOp) -> fn(f64) -> f64 {
    use UnaryOp::*;
    match op {
        Neg => |x| -x,
        Abs => f64::abs,
        Sign => |x| {
            if x > 0.0 {
                1.0
            } else if x < 0.0 {
                -1.0
            } else {
                x.abs()
            }
        },
        Exp => libm::exp,
        Expm1 => libm::expm1,
        Log => libm::log,
        Log1p => libm::log1p,
        Sqrt => f64::sqrt,
        Rsqrt => |x| 1.0 / x.sqrt(),
        Recip => |x| 1.0 / x,
        Sin => libm::sin,
        Cos => libm::cos,
        Tan => libm::tan,
        Asin => libm::asin,
        Acos => libm::acos,
        Atan => libm::atan,
        Sinh => libm::sinh,
        Cosh => libm::cosh,
        Tanh => libm::tanh,
        Asinh => libm::asinh,
        Acosh => |x| if x < 1.0 { f64::NAN } else { libm::acosh(x) },
        Atanh => libm::atanh,
        Cbrt => libm::cbrt,
        Erf => libm::erf,
        Erfc => libm::erfc,
        Sigmoid => |x| 1.0 / (1.0 + libm::exp(-x)),
        Floor => f64::floor,
        Ceil => f64::ceil,
        Round => f64::round_ties_even,
        RoundAway => f64::round,
        Trunc => f64::trunc,
        IsNan | IsInf | Not | BitNot | Popcount | LeadingZeros => |_| f64::NAN,
    }
}

/// The function of `f64` an op is, before rounding. Ops on other types and comparisons give NaN.
pub(super) fn float_binary(op: BinaryOp) -> fn(f64, f64) -> f64 {
    use BinaryOp::*;
    match op {
        Add => |a, b| a + b,
        Sub => |a, b| a - b,
        Mul => |a, b| a * b,
        Div => |a, b| a / b,
        Max => max,
        Min => min,
        Pow => libm::pow,
        Mod => float_mod,
        Rem => |a, b| a % b,
        Atan2 => libm::atan2,
        Eq | Ne | Lt | Le | Gt | Ge | And | Or | Xor | Shl | Shr => |_, _| f64::NAN,
    }
}

/// The larger; NaN if either is NaN; `+0` over `-0`.
pub(crate) fn max(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b || (a == b && a.is_sign_positive()) { a } else { b }
}

/// The smaller; NaN if either is NaN; `-0` under `+0`.
pub(crate) fn min(a: f64, b: f64) -> f64 {
    if a.is_nan() || a < b || (a == b && a.is_sign_negative()) { a } else { b }
}

/// Remainder with the sign of the divisor, as Python's `%`: exact, where `a - floor(a / b) * b` is not.
fn float_mod(a: f64, b: f64) -> f64 {
    let r = a % b;
    if r == 0.0 {
        0f64.copysign(b)
    } else if (r < 0.0) != (b < 0.0) {
        r + b
    } else {
        r
    }
}

/// The comparison of floats an op is; every one but `Ne` is false where either is NaN.
pub(super) fn float_compare(op: BinaryOp) -> fn(f64, f64) -> bool {
    use BinaryOp::*;
    match op {
        Eq => |a, b| a == b,
        Ne => |a, b| a != b,
        Lt => |a, b| a < b,
        Le => |a, b| a <= b,
        Gt => |a, b| a > b,
        Ge => |a, b| a >= b,
        _ => |_, _| false,
    }
}

fn compare_ord(op: BinaryOp, o: std::cmp::Ordering) -> bool {
    use BinaryOp::*;
    match op {
        Eq => o.is_eq(),
        Ne => o.is_ne(),
        Lt => o.is_lt(),
        Le => o.is_le(),
        Gt => o.is_gt(),
        Ge => o.is_ge(),
        _ => false,
    }
}

/// Integers of up to 64 bits, and `bool` as 0 and 1; the caller wraps the result to `dtype`. `None` for ops of floats only.
fn int_binary(op: BinaryOp, dtype: DType, a: i128, b: i128) -> Option<i128> {
    use BinaryOp::*;
    let bits = i128::from(dtype.bits());
    Some(match op {
        Add => a.wrapping_add(b),
        Sub => a.wrapping_sub(b),
        Mul => a.wrapping_mul(b),
        Div => a.checked_div(b).unwrap_or(0),
        Max => a.max(b),
        Min => a.min(b),
        Pow => int_pow(a, b),
        Mod if b == 0 => 0,
        // The remainder is smaller than the divisor and of the other sign, so the sum does not overflow.
        Mod => match a.wrapping_rem(b) {
            r if r != 0 && (r < 0) != (b < 0) => r + b,
            r => r,
        },
        Rem => a.checked_rem(b).unwrap_or(0),
        And => a & b,
        Or => a | b,
        Xor => a ^ b,
        // A count that is negative is a large one without its sign.
        Shl if !(0..bits).contains(&b) => 0,
        Shl => a << b,
        Shr if !(0..bits).contains(&b) => -i128::from(a < 0),
        Shr => a >> b,
        Atan2 | Eq | Ne | Lt | Le | Gt | Ge => return None,
    })
}

/// `a` to the power `b`, wrapping. A negative power is the quotient `1 / a^-b`, truncated: zero but for `a` of -1 and 1.
fn int_pow(a: i128, b: i128) -> i128 {
    if b < 0 {
        return match a {
            1 => 1,
            -1 if b % 2 == 0 => 1,
            -1 => -1,
            _ => 0,
        };
    }
    let (mut result, mut square, mut left) = (1i128, a, b);
    while left > 0 {
        if left & 1 == 1 {
            result = result.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        left >>= 1;
    }
    result
}

fn complex_binary(op: BinaryOp, dtype: DType, a: Num, b: Num) -> Num {
    let parts = |n: Num| if let Num::Complex(r, i) = n { (r, i) } else { (n.to_f64(), 0.0) };
    let ((ar, ai), (br, bi)) = (parts(a), parts(b));
    let v = match op {
        BinaryOp::Eq => return Num::Int((ar == br && ai == bi).into()),
        BinaryOp::Ne => return Num::Int((ar != br || ai != bi).into()),
        BinaryOp::Add => Num::Complex(ar + br, ai + bi),
        BinaryOp::Sub => Num::Complex(ar - br, ai - bi),
        BinaryOp::Mul => Num::Complex(ar * br - ai * bi, ar * bi + ai * br),
        BinaryOp::Div => {
            let d = br * br + bi * bi;
            Num::Complex((ar * br + ai * bi) / d, (ai * br - ar * bi) / d)
        }
        _ => Num::Complex(f64::NAN, f64::NAN),
    };
    round_to(dtype, v)
}
