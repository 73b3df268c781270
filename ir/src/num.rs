//! Conversion between stored elements and numbers, with the rounding of each element type.

use half::{bf16, f16};

use crate::tensor::Num;
use crate::types::DType;

/// Reads one element. `b` holds exactly `dtype.size()` bytes.
pub fn decode(dtype: DType, b: &[u8]) -> Num {
    let u = |n: usize| b[..n].iter().rev().fold(0u64, |a, &x| a << 8 | u64::from(x));
    match dtype {
        DType::F64 => Num::Float(f64::from_bits(u(8))),
        DType::F32 => Num::Float(f64::from(f32::from_bits(u(4) as u32))),
        DType::F16 => Num::Float(f16::from_bits(u(2) as u16).to_f64()),
        DType::BF16 => Num::Float(bf16::from_bits(u(2) as u16).to_f64()),
        DType::F8E4M3FN
        | DType::F8E4M3FNUZ
        | DType::F8E5M2
        | DType::F8E5M2FNUZ
        | DType::F8E8M0
        | DType::F8E4M3
        | DType::F8E3M4
        | DType::F8E4M3B11FNUZ
        | DType::F6E2M3
        | DType::F6E3M2
        | DType::F4E2M1 => Num::Float(small_float(dtype).decode(b[0])),
        DType::I64 => Num::Int(u(8) as i64 as i128),
        DType::I32 => Num::Int(u(4) as u32 as i32 as i128),
        DType::I16 => Num::Int(u(2) as u16 as i16 as i128),
        DType::I8 | DType::I4 | DType::I2 => Num::Int(b[0] as i8 as i128),
        DType::U64 => Num::Int(u(8) as i128),
        DType::U32 => Num::Int(u(4) as i128),
        DType::U16 => Num::Int(u(2) as i128),
        DType::U8 | DType::U4 | DType::U2 => Num::Int(b[0] as i128),
        DType::Bool => Num::Int(i128::from(b[0] != 0)),
        DType::C64 => {
            Num::Complex(f64::from(f32::from_bits(u(4) as u32)), f64::from(f32::from_le_bytes([b[4], b[5], b[6], b[7]])))
        }
        DType::C128 => {
            Num::Complex(f64::from_bits(u(8)), f64::from_le_bytes([b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]]))
        }
    }
}

/// Appends one element, rounding floats to nearest even and wrapping integers modulo two to the width. Every NaN of a type
/// of 16 bits or more becomes the positive quiet one: which NaN an operation makes depends on the processor.
pub fn encode(dtype: DType, v: Num, out: &mut Vec<u8>) {
    match dtype {
        DType::F64 => out.extend(one_nan(v.to_f64()).to_le_bytes()),
        DType::F32 => out.extend((one_nan(v.to_f64()) as f32).to_le_bytes()),
        DType::F16 => out.extend(f16::from_f32(to_odd_f32(v.to_f64())).to_le_bytes()),
        DType::BF16 => out.extend(bf16::from_f32(to_odd_f32(v.to_f64())).to_le_bytes()),
        DType::F8E4M3FN
        | DType::F8E4M3FNUZ
        | DType::F8E5M2
        | DType::F8E5M2FNUZ
        | DType::F8E8M0
        | DType::F8E4M3
        | DType::F8E3M4
        | DType::F8E4M3B11FNUZ
        | DType::F6E2M3
        | DType::F6E3M2
        | DType::F4E2M1 => {
            out.push(small_float(dtype).encode(v.to_f64()));
        }
        DType::I64 | DType::U64 => out.extend((v.to_i128() as u64).to_le_bytes()),
        DType::I32 | DType::U32 => out.extend((v.to_i128() as u32).to_le_bytes()),
        DType::I16 | DType::U16 => out.extend((v.to_i128() as u16).to_le_bytes()),
        DType::I8 | DType::U8 => out.push(v.to_i128() as u8),
        DType::I4 => out.push((((v.to_i128() as i8) << 4) >> 4) as u8),
        DType::I2 => out.push((((v.to_i128() as i8) << 6) >> 6) as u8),
        DType::U4 => out.push(v.to_i128() as u8 & 15),
        DType::U2 => out.push(v.to_i128() as u8 & 3),
        DType::Bool => out.push(u8::from(match v {
            Num::Float(x) => x != 0.0,
            Num::Int(i) => i != 0,
            Num::Complex(r, i) => r != 0.0 || i != 0.0,
        })),
        DType::C64 | DType::C128 => {
            let (r, i) = if let Num::Complex(r, i) = v { (r, i) } else { (v.to_f64(), 0.0) };
            if dtype == DType::C64 {
                out.extend((r as f32).to_le_bytes());
                out.extend((i as f32).to_le_bytes());
            } else {
                out.extend(r.to_le_bytes());
                out.extend(i.to_le_bytes());
            }
        }
    }
}

/// The value of `v` after rounding to `dtype`.
pub fn round_to(dtype: DType, v: Num) -> Num {
    match (dtype, v) {
        // What `encode` and `decode` would give, without the detour.
        (DType::F64, Num::Float(x)) => return Num::Float(one_nan(x)),
        (DType::F32, Num::Float(x)) => return Num::Float(f64::from(one_nan(x) as f32)),
        (DType::I64, Num::Int(i)) => return Num::Int((i as i64).into()),
        (DType::I32, Num::Int(i)) => return Num::Int((i as i32).into()),
        (DType::U8, Num::Int(i)) => return Num::Int((i as u8).into()),
        (DType::Bool, Num::Int(i)) => return Num::Int((i != 0).into()),
        _ => {}
    }
    let mut b = Vec::with_capacity(16);
    encode(dtype, v, &mut b);
    decode(dtype, &b)
}

/// Rounds to `f32` so that a second rounding to a shorter format is as if there had been one: an inexact result takes the odd
/// neighbour (Boldo and Melquiond, "When double rounding is odd"). `half`'s own conversion from `f64` drops the low bits, and
/// on some processors rounds twice.
fn to_odd_f32(x: f64) -> f32 {
    let y = one_nan(x) as f32;
    if f64::from(y) == x || x.is_nan() || y.to_bits() & 1 == 1 {
        return y;
    }
    // `y` is even and not exact, so the odd neighbour is the one on the other side of `x`. Infinity counts as even.
    let up = f64::from(y).abs() < x.abs();
    f32::from_bits(if up { y.to_bits() + 1 } else { y.to_bits() - 1 })
}

fn one_nan(x: f64) -> f64 {
    if x.is_nan() { f64::NAN } else { x }
}

/// The identity of `max`: minus infinity, or the smallest value of a type without one.
pub fn lowest(dtype: DType) -> Num {
    extreme(dtype, f64::NEG_INFINITY, |(lo, _)| lo)
}

/// The identity of `min`: infinity, or the largest value of a type without one.
pub fn highest(dtype: DType) -> Num {
    extreme(dtype, f64::INFINITY, |(_, hi)| hi)
}

fn extreme(dtype: DType, infinity: f64, bound: impl Fn((i128, i128)) -> i128) -> Num {
    if let Some(range) = dtype.int_range() {
        return Num::Int(bound(range));
    }
    if matches!(round_to(dtype, Num::Float(infinity)), Num::Float(x) if x == infinity) {
        return Num::Float(infinity);
    }
    let codes = (0..=u8::MAX).map(|b| decode(dtype, &[b]).to_f64()).filter(|x| x.is_finite());
    Num::Float(if infinity > 0.0 { codes.fold(f64::MIN, f64::max) } else { codes.fold(f64::MAX, f64::min) })
}

/// A float format of 8, 6 or 4 bits. Sources: OCP 8-bit floating point specification 1.0, OCP microscaling formats 1.0, and
/// for the FNUZ variants the ONNX float8 page.
struct SmallFloat {
    exp_bits: u32,
    man_bits: u32,
    bias: i32,
    signed: bool,
    kind: Special,
}

/// Which codes are not finite numbers.
#[derive(PartialEq)]
enum Special {
    /// Infinity and NaN as in IEEE 754.
    Ieee,
    /// No infinity; all ones is NaN.
    Fn,
    /// No infinity, no negative zero; 0x80 is NaN.
    Fnuz,
    /// Every code is finite.
    Finite,
}

fn small_float(dtype: DType) -> SmallFloat {
    let (exp_bits, man_bits, bias, signed, kind) = match dtype {
        DType::F8E4M3FN => (4, 3, 7, true, Special::Fn),
        DType::F8E4M3FNUZ => (4, 3, 8, true, Special::Fnuz),
        DType::F8E5M2 => (5, 2, 15, true, Special::Ieee),
        DType::F8E5M2FNUZ => (5, 2, 16, true, Special::Fnuz),
        DType::F8E8M0 => (8, 0, 127, false, Special::Fn),
        DType::F8E4M3 => (4, 3, 7, true, Special::Ieee),
        DType::F8E3M4 => (3, 4, 3, true, Special::Ieee),
        DType::F8E4M3B11FNUZ => (4, 3, 11, true, Special::Fnuz),
        DType::F6E2M3 => (2, 3, 1, true, Special::Finite),
        DType::F6E3M2 => (3, 2, 3, true, Special::Finite),
        _ => (2, 1, 1, true, Special::Finite),
    };
    SmallFloat { exp_bits, man_bits, bias, signed, kind }
}

impl SmallFloat {
    fn decode(&self, b: u8) -> f64 {
        let width = self.exp_bits + self.man_bits;
        let mag = u32::from(b) & ((1 << width) - 1);
        let neg = self.signed && (b >> width) & 1 == 1;
        let (exp, man) = (mag >> self.man_bits, mag & ((1 << self.man_bits) - 1));
        let top = (1 << self.exp_bits) - 1;
        match self.kind {
            Special::Fn if mag == (1 << width) - 1 => return f64::NAN,
            Special::Fnuz if neg && mag == 0 => return f64::NAN,
            Special::Ieee if exp == top => {
                return if man != 0 {
                    f64::NAN
                } else if neg {
                    f64::NEG_INFINITY
                } else {
                    f64::INFINITY
                };
            }
            _ => {}
        }
        let frac = f64::from(man) / f64::from(1u32 << self.man_bits);
        let v = if !self.signed {
            2f64.powi(exp as i32 - self.bias)
        } else if exp == 0 {
            frac * 2f64.powi(1 - self.bias)
        } else {
            (1.0 + frac) * 2f64.powi(exp as i32 - self.bias)
        };
        if neg { -v } else { v }
    }

    /// Nearest even; values past the largest finite become infinity, NaN or the largest finite, as the format has them
    /// (without saturation where the format can say so).
    fn encode(&self, x: f64) -> u8 {
        let width = self.exp_bits + self.man_bits;
        let nan = match self.kind {
            Special::Fnuz => 1u8 << width,
            Special::Finite => 0,
            _ => ((1u32 << width) - 1) as u8,
        };
        if x.is_nan() || (!self.signed && x < 0.0) {
            return nan;
        }
        let neg = x.is_sign_negative();
        let count = 1u32 << width;
        let (mut lo, mut hi) = (0u32, count - 1);
        let finite = |m: u32| {
            let v = self.decode(m as u8);
            v.is_finite()
        };
        while !finite(hi) {
            hi -= 1;
        }
        let max = hi;
        let a = x.abs();
        while lo < hi {
            let mid = (lo + hi).div_ceil(2);
            if self.decode(mid as u8) <= a { lo = mid } else { hi = mid - 1 }
        }
        let mut mag = lo;
        if lo < max {
            let (d, u) = (a - self.decode(lo as u8), self.decode((lo + 1) as u8) - a);
            if u < d || (u == d && lo % 2 == 1) {
                mag = lo + 1;
            }
        } else {
            let top = self.decode(max as u8);
            let step = if max > 0 { top - self.decode((max - 1) as u8) } else { top };
            // A tie rounds to even: up where the largest finite code is odd.
            let over = a > top + step / 2.0 || (a == top + step / 2.0 && max % 2 == 1);
            if a > top && over {
                match self.kind {
                    Special::Ieee => mag = ((1 << self.exp_bits) - 1) << self.man_bits,
                    Special::Fn | Special::Fnuz => return if self.kind == Special::Fn && neg { nan | 1 << width } else { nan },
                    Special::Finite => {}
                }
            }
        }
        if self.kind == Special::Fnuz && mag == 0 {
            return 0;
        }
        mag as u8 | if neg && self.signed { 1 << width } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(dtype: DType, x: f64) -> f64 {
        round_to(dtype, Num::Float(x)).to_f64()
    }

    #[test]
    fn halves_are_rounded_once() {
        // Just past the middle of two neighbours, by less than a unit of f32: rounding by way of f32 would see a tie.
        let tie = 1.0 + 2f64.powi(-11);
        assert_eq!(rounded(DType::F16, tie), 1.0);
        assert_eq!(rounded(DType::F16, tie + 2f64.powi(-40)), 1.0 + 2f64.powi(-10));
        assert_eq!(rounded(DType::F16, -tie - 2f64.powi(-40)), -1.0 - 2f64.powi(-10));
        assert_eq!(rounded(DType::F16, tie + 2f64.powi(-10) - 2f64.powi(-40)), 1.0 + 2f64.powi(-10));
        let tie = 1.0 + 2f64.powi(-8);
        assert_eq!(rounded(DType::BF16, tie), 1.0);
        assert_eq!(rounded(DType::BF16, tie + 2f64.powi(-40)), 1.0 + 2f64.powi(-7));
        assert_eq!(rounded(DType::F16, 65519.999999999), 65504.0);
        assert_eq!(rounded(DType::F16, 65520.0), f64::INFINITY);
        assert_eq!(rounded(DType::F16, 1e300), f64::INFINITY);
        assert_eq!(rounded(DType::F16, 2f64.powi(-25)), 0.0);
        assert_eq!(rounded(DType::F16, 2f64.powi(-25) * (1.0 + 2f64.powi(-40))), 2f64.powi(-24));
        assert_eq!(rounded(DType::BF16, f64::NEG_INFINITY), f64::NEG_INFINITY);
    }

    #[test]
    fn every_half_survives() {
        for bits in 0..=u16::MAX {
            for (dtype, x) in [(DType::F16, f16::from_bits(bits).to_f64()), (DType::BF16, bf16::from_bits(bits).to_f64())] {
                let y = rounded(dtype, x);
                assert!(y.to_bits() == x.to_bits() || (x.is_nan() && y.is_nan()), "{dtype} {bits:#x}");
            }
        }
    }

    #[test]
    fn nan_has_one_form() {
        let mut b = vec![];
        for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
            encode(dtype, Num::Float(-f64::NAN), &mut b);
        }
        assert_eq!(b, [0, 0, 0, 0, 0, 0, 0xf8, 0x7f, 0, 0, 0xc0, 0x7f, 0, 0x7e, 0xc0, 0x7f]);
    }

    #[test]
    fn extremes() {
        assert_eq!(lowest(DType::F32), Num::Float(f64::NEG_INFINITY));
        assert_eq!(highest(DType::F8E5M2), Num::Float(f64::INFINITY));
        assert_eq!(highest(DType::F8E4M3FN), Num::Float(448.0));
        assert_eq!(lowest(DType::F8E4M3FNUZ), Num::Float(-240.0));
        assert_eq!(lowest(DType::F4E2M1), Num::Float(-6.0));
        assert_eq!((lowest(DType::I4), highest(DType::U64)), (Num::Int(-8), Num::Int(u64::MAX.into())));
        assert_eq!((lowest(DType::Bool), highest(DType::Bool)), (Num::Int(0), Num::Int(1)));
    }
}
