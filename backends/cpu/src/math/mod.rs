//! Elementary functions as straight-line polynomials over scalars or vectors of `f32` and `f64`: the library calls no libm.
//!
//! Largest errors found, in units in the last place (0.5 is correct rounding), over the whole range of arguments, infinities,
//! NaN and subnormal numbers included, on x86-64-v3, x86-64-v4 and Kunpeng 920. `tests/math.rs` measures them and holds them
//! below their bounds. The `f64` column is in whole units, against a reference that is itself off by up to one.
//!
//! | function | f32 | f64 |
//! |---|---|---|
//! | exp | 0.99 | 1 |
//! | expm1 | 1.38 | 2 |
//! | log | 0.75 | 1 |
//! | log1p | 1.44 | 1 |
//! | sin | 1.48 | 1 below 2^31 |
//! | cos | 1.46 | 1 below 2^31 |
//! | tan | 2.77 | 3 below 2^31 |
//! | asin | 2.38 | 2 |
//! | acos | 1.08 | 1 |
//! | atan | 1.94 | 2 |
//! | atan2 | 3 | 4 |
//! | sinh | 2.06 | 2 |
//! | cosh | 1.42 | 2 |
//! | tanh | 2.17 | 3 |
//! | asinh | 1.84 | 1 |
//! | acosh | 1.74 | 2 |
//! | atanh | 2.01 | 3 |
//! | cbrt | 0.5 | 0.5 |
//! | erf | 1.00 | 1 |
//! | erfc | 3.81 | 5 |
//! | sigmoid | 2.61 | 3 |
//! | rsqrt | 1.46 | 1.5 |
//! | pow | 1 | 8 |
//! | sqrt, recip, mod, rem, floor, ceil, round, round_away, trunc | exact | exact |

mod coef;
mod erf;
mod exp;
mod log;
mod pow;
mod trig;

use beiming_ir::ops::UnaryOp;

use crate::ll::*;

/// Writes functions into a module.
pub struct Math<'a, 'c> {
    /// The module.
    pub ll: &'a Ll<'c>,
}

/// What differs between the two widths.
pub(crate) struct Width {
    /// Bits of the integer of equal size.
    bits: u32,
    /// Mantissa bits.
    mantissa: i64,
    /// Exponent bias.
    bias: i64,
    /// `1.5 * 2^mantissa`: adding it rounds to an integer, which stands in the low bits.
    magic: f64,
}

const F32: Width = Width { bits: 32, mantissa: 23, bias: 127, magic: 12_582_912.0 };
const F64: Width = Width { bits: 64, mantissa: 52, bias: 1023, magic: 6_755_399_441_055_744.0 };

impl Math<'_, '_> {
    /// A function of floats of one argument; `None` for the functions that are none of floats.
    pub fn unary(&self, op: UnaryOp, x: V) -> Option<V> {
        let ll = self.ll;
        let t = ll.ty(x);
        Some(match op {
            UnaryOp::Sqrt => self.sqrt(x),
            UnaryOp::Rsqrt => ll.fdiv(ll.cf(t, 1.0), self.sqrt(x)),
            UnaryOp::Recip => ll.fdiv(ll.cf(t, 1.0), x),
            UnaryOp::Floor => ll.intrinsic("llvm.floor", &[t], &[x]),
            UnaryOp::Ceil => ll.intrinsic("llvm.ceil", &[t], &[x]),
            UnaryOp::Round => ll.intrinsic("llvm.roundeven", &[t], &[x]),
            UnaryOp::RoundAway => ll.intrinsic("llvm.round", &[t], &[x]),
            UnaryOp::Trunc => ll.intrinsic("llvm.trunc", &[t], &[x]),
            UnaryOp::Exp => self.exp(x),
            UnaryOp::Expm1 => self.expm1(x),
            UnaryOp::Log => self.log(x),
            UnaryOp::Log1p => self.log1p(x),
            UnaryOp::Sin => self.sin(x),
            UnaryOp::Cos => self.cos(x),
            UnaryOp::Tan => self.tan(x),
            UnaryOp::Asin => self.asin(x),
            UnaryOp::Acos => self.acos(x),
            UnaryOp::Atan => self.atan(x),
            UnaryOp::Sinh => self.sinh(x),
            UnaryOp::Cosh => self.cosh(x),
            UnaryOp::Tanh => self.tanh(x),
            UnaryOp::Asinh => self.asinh(x),
            UnaryOp::Acosh => self.acosh(x),
            UnaryOp::Atanh => self.atanh(x),
            UnaryOp::Cbrt => self.cbrt(x),
            UnaryOp::Erf => self.erf(x),
            UnaryOp::Erfc => self.erfc(x),
            UnaryOp::Sigmoid => self.sigmoid(x),
            UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Sign | UnaryOp::IsNan | UnaryOp::IsInf => return None,
            UnaryOp::Not | UnaryOp::BitNot | UnaryOp::Popcount | UnaryOp::LeadingZeros => return None,
        })
    }

    fn is64(&self, x: V) -> bool {
        self.ll.elem(self.ll.ty(x)) == self.ll.f64()
    }

    fn width(&self, x: V) -> &'static Width {
        if self.is64(x) { &F64 } else { &F32 }
    }

    /// The type of integers of `x`'s size.
    fn ints(&self, x: V) -> Ty {
        self.ll.vec(self.ll.int(self.width(x).bits), self.ll.lanes(self.ll.ty(x)))
    }

    fn bits(&self, x: V) -> V {
        self.ll.bitcast(x, self.ints(x))
    }

    /// A constant like `x`.
    fn c(&self, x: V, v: f64) -> V {
        self.ll.cf(self.ll.ty(x), v)
    }

    fn sqrt(&self, x: V) -> V {
        self.ll.intrinsic("llvm.sqrt", &[self.ll.ty(x)], &[x])
    }

    /// `p[0] + p[1] x + ..`, for the width of `x` the one or the other.
    fn poly(&self, x: V, p32: &[f64], p64: &[f64]) -> V {
        let p = if self.is64(x) { p64 } else { p32 };
        let (last, rest) = p.split_last().map_or((0.0, &[][..]), |(l, r)| (*l, r));
        rest.iter().rev().fold(self.c(x, last), |a, k| self.ll.fma(a, x, self.c(x, *k)))
    }

    /// `x`, but `bound` where it is larger. NaN stays.
    fn at_most(&self, x: V, bound: f64) -> V {
        let b = self.c(x, bound);
        self.ll.select(self.ll.fcmp(LLVMRealOGT, x, b), b, x)
    }

    /// `x`, but `bound` where it is smaller. NaN stays.
    fn at_least(&self, x: V, bound: f64) -> V {
        let b = self.c(x, bound);
        self.ll.select(self.ll.fcmp(LLVMRealOLT, x, b), b, x)
    }

    /// The integer nearest to `x * scale`, as a float and as an integer. Its magnitude is below `2^(mantissa - 2)`.
    fn nearest(&self, x: V, scale: f64) -> (V, V) {
        let ll = self.ll;
        let magic = self.c(x, self.width(x).magic);
        let z = ll.fma(x, self.c(x, scale), magic);
        (ll.fsub(z, magic), ll.sub(self.bits(z), self.bits(magic)))
    }

    /// `2^k`, for a `k` between the smallest and the largest exponent of a normal number.
    fn power_of_two(&self, like: V, k: V) -> V {
        let ll = self.ll;
        let (w, t) = (self.width(like), ll.ty(k));
        ll.bitcast(ll.shl(ll.add(k, ll.cint(t, w.bias)), ll.cint(t, w.mantissa)), ll.ty(like))
    }
}
