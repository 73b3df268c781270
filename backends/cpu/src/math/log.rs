//! Logarithms and inverse hyperbolic functions. `x = 2^n m` with `sqrt(1/2) <= m < sqrt(2)`; `log(x) = n ln(2) + log(m)`.

use super::{Math, coef};
use crate::ll::*;

/// `ln(2)` with a first part so short that its product with an exponent is exact.
const LN2_32: (f64, f64) = (0.693_145_751_953_125, 1.428_606_765_330_187e-6);
const LN2_64: (f64, f64) = (0.693_147_180_559_663, 2.823_529_056_303_157_7e-13);

impl Math<'_, '_> {
    /// `n` as a float and `m - 1`, for a positive finite `x`.
    fn split(&self, x: V) -> (V, V) {
        let ll = self.ll;
        let (w, wide) = (self.width(x), self.is64(x));
        let c = |v| self.c(x, v);
        // Numbers below the smallest normal one are made normal first.
        let (small, lift) = if wide { (f64::MIN_POSITIVE, 54) } else { (f64::from(f32::MIN_POSITIVE), 25) };
        let tiny = ll.fcmp(LLVMRealOLT, x, c(small));
        let y = ll.select(tiny, ll.fmul(x, c(2f64.powi(lift))), x);
        let t = self.ints(x);
        let bits = self.bits(y);
        let from_root = ll.sub(bits, self.bits(c(std::f64::consts::FRAC_1_SQRT_2)));
        // The exponent; a vector of 64-bit integers has no signed shift on AVX2, so an unsigned one of a positive number.
        let up = ll.cint(t, (w.bias + 1) << w.mantissa);
        let n = ll.sub(ll.lshr(ll.add(from_root, up), ll.cint(t, w.mantissa)), ll.cint(t, w.bias + 1));
        let m = ll.bitcast(ll.sub(bits, ll.shl(n, ll.cint(t, w.mantissa))), ll.ty(x));
        let n = ll.sub(n, ll.select(tiny, ll.cint(t, i64::from(lift)), ll.cint(t, 0)));
        // Small integers become floats by their bits, for the same reason.
        let magic = c(w.magic);
        let n = ll.fsub(ll.bitcast(ll.add(n, self.bits(magic)), ll.ty(x)), magic);
        (n, ll.fsub(m, c(1.0)))
    }

    /// `log(x)` of an `f64` as the sum of two, good to about 60 bits, for a positive finite `x`.
    pub(super) fn log_pair(&self, x: V) -> (V, V) {
        let ll = self.ll;
        let c = |v| self.c(x, v);
        let (n, f) = self.split(x);
        // s = f / (2 + f) and what its rounding and that of 2 + f lost.
        let d = ll.fadd(f, c(2.0));
        let d_low = ll.fsub(f, ll.fsub(d, c(2.0)));
        let s = ll.fdiv(f, d);
        let rest = ll.fma(ll.fneg(s), d_low, ll.fma(ll.fneg(s), d, f));
        let s_low = ll.fdiv(rest, d);
        let s2 = ll.fmul(s, s);
        let cubic = ll.fmul(ll.fmul(s, s2), self.poly(s2, &[], &coef::ATANH_64));
        let (hi, lo) = LN2_64;
        let whole = ll.fmul(n, c(hi));
        let whole_low = ll.fma(n, c(hi), ll.fneg(whole));
        let twice = ll.fadd(s, s);
        let sum = ll.fadd(whole, twice);
        // The exact error of the sum, whichever is larger.
        let b = ll.fsub(sum, whole);
        let lost = ll.fadd(ll.fsub(whole, ll.fsub(sum, b)), ll.fsub(twice, b));
        let tail = ll.fadd(lost, ll.fadd(ll.fma(c(2.0), s_low, cubic), ll.fma(n, c(lo), whole_low)));
        let high = ll.fadd(sum, tail);
        (high, ll.fsub(tail, ll.fsub(high, sum)))
    }

    pub(super) fn log(&self, x: V) -> V {
        let ll = self.ll;
        let wide = self.is64(x);
        let c = |v| self.c(x, v);
        let (n, f) = self.split(x);
        let (hi, lo) = if wide { LN2_64 } else { LN2_32 };
        let r = if wide {
            // s = f / (2 + f): log(1 + f) = 2 atanh(s) = f - s (f - R), R = 2 atanh(s) / s - 2
            let s = ll.fdiv(f, ll.fadd(f, c(2.0)));
            let s2 = ll.fmul(s, s);
            let big = ll.fmul(s2, self.poly(s2, &[], &coef::ATANH_64));
            let tail = ll.fma(n, c(lo), ll.fneg(ll.fmul(s, ll.fsub(f, big))));
            ll.fma(n, c(hi), ll.fadd(f, tail))
        } else {
            let f2 = ll.fmul(f, f);
            let p = self.poly(f, &coef::LOG_32, &[]);
            let tail = ll.fma(ll.fmul(f2, f), p, ll.fmul(n, c(lo)));
            let tail = ll.fma(f2, c(-0.5), tail);
            ll.fma(n, c(hi), ll.fadd(f, tail))
        };
        let r = ll.select(ll.fcmp(LLVMRealOEQ, x, c(f64::INFINITY)), x, r);
        let r = ll.select(ll.fcmp(LLVMRealOEQ, x, c(0.0)), c(f64::NEG_INFINITY), r);
        ll.select(ll.fcmp(LLVMRealULT, x, c(0.0)), c(f64::NAN), r)
    }

    pub(super) fn log1p(&self, x: V) -> V {
        let ll = self.ll;
        let one = self.c(x, 1.0);
        let u = ll.fadd(one, x);
        // What the sum lost: 1 + x = u + e exactly, and log(u + e) = log(u) + e / u to all digits.
        let b = ll.fsub(u, one);
        let e = ll.fadd(ll.fsub(one, ll.fsub(u, b)), ll.fsub(x, b));
        let q = ll.fdiv(e, u);
        let q = ll.select(ll.fcmp(LLVMRealUNO, q, q), self.c(x, 0.0), q);
        let r = ll.fadd(self.log(u), q);
        ll.select(ll.fcmp(LLVMRealOEQ, x, self.c(x, 0.0)), x, r)
    }

    /// Where `x` is so large that its square overflows: `log(2 x)`; else `r`.
    fn or_log_of_twice(&self, x: V, r: V) -> V {
        let ll = self.ll;
        let far = ll.fcmp(LLVMRealOGT, x, self.c(x, if self.is64(x) { 1e100 } else { 1e10 }));
        ll.select(far, ll.fadd(self.log(x), self.c(x, std::f64::consts::LN_2)), r)
    }

    pub(super) fn asinh(&self, x: V) -> V {
        let ll = self.ll;
        let a = ll.fabs(x);
        let one = self.c(x, 1.0);
        let a2 = ll.fmul(a, a);
        let root = self.sqrt(ll.fadd(a2, one));
        let r = self.log1p(ll.fadd(a, ll.fdiv(a2, ll.fadd(root, one))));
        ll.copysign(self.or_log_of_twice(a, r), x)
    }

    pub(super) fn acosh(&self, x: V) -> V {
        let ll = self.ll;
        let t = ll.fsub(x, self.c(x, 1.0));
        let root = self.sqrt(ll.fma(t, t, ll.fadd(t, t)));
        let r = self.or_log_of_twice(x, self.log1p(ll.fadd(t, root)));
        ll.select(ll.fcmp(LLVMRealOLT, x, self.c(x, 1.0)), self.c(x, f64::NAN), r)
    }

    pub(super) fn atanh(&self, x: V) -> V {
        let ll = self.ll;
        let a = ll.fabs(x);
        let q = ll.fdiv(ll.fadd(a, a), ll.fsub(self.c(x, 1.0), a));
        ll.copysign(ll.fmul(self.c(x, 0.5), self.log1p(q)), x)
    }
}
