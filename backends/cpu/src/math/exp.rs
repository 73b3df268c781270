//! `exp` and what is made of it. `x = n ln(2) + r` with `|r| <= ln(2) / 2`; `exp(x) = 2^n exp(r)`.

use super::{Math, coef};
use crate::ll::*;

/// `ln(2)` in two parts of each width.
const LN2_32: (f64, f64) = (0.693_147_182_464_599_6, -1.904_654_212_125_933_6e-9);
const LN2_64: (f64, f64) = (std::f64::consts::LN_2, 2.319_046_813_846_299_6e-17);

impl Math<'_, '_> {
    /// `exp(r) - 1` and `n`.
    fn exp_parts(&self, x: V) -> (V, V) {
        let ll = self.ll;
        let (n, i) = self.nearest(x, std::f64::consts::LOG2_E);
        let (hi, lo) = if self.is64(x) { LN2_64 } else { LN2_32 };
        let r = ll.fma(n, self.c(x, -hi), x);
        let r = ll.fma(n, self.c(x, -lo), r);
        let p = self.poly(r, &coef::EXP_32, &coef::EXP_64);
        (ll.fma(ll.fmul(r, r), p, r), i)
    }

    /// `v 2^k` in two steps, so that results below the smallest normal number are right.
    pub(super) fn scale(&self, v: V, k: V) -> V {
        let ll = self.ll;
        let t = ll.ty(k);
        // Half of k, rounded down, by an unsigned shift: vectors of 64 bits have no signed one on AVX2.
        let half = ll.sub(ll.lshr(ll.add(k, ll.cint(t, 4096)), ll.cint(t, 1)), ll.cint(t, 2048));
        ll.fmul(ll.fmul(v, self.power_of_two(v, half)), self.power_of_two(v, ll.sub(k, half)))
    }

    /// `exp(x) 2^by`.
    fn exp_scaled(&self, x: V, by: i64) -> V {
        let ll = self.ll;
        let (top, bottom) = if self.is64(x) { (711.0, -746.0) } else { (90.0, -105.0) };
        let x = self.at_least(self.at_most(x, top), bottom);
        let (e, n) = self.exp_parts(x);
        let n = if by == 0 { n } else { ll.add(n, ll.cint(ll.ty(n), by)) };
        self.scale(ll.fadd(e, self.c(x, 1.0)), n)
    }

    /// `exp(x + low)` for a `low` that is far below the digits of `x`.
    pub(super) fn exp_pair(&self, x: V, low: V) -> V {
        let ll = self.ll;
        let (e, n) = self.exp_parts(self.at_least(self.at_most(x, 711.0), -746.0));
        let e = ll.fadd(e, ll.fma(e, low, low));
        self.scale(ll.fadd(e, self.c(x, 1.0)), n)
    }

    pub(super) fn exp(&self, x: V) -> V {
        self.exp_scaled(x, 0)
    }

    /// `exp(x)` for an `x` whose result is a normal number.
    pub(super) fn exp_normal(&self, x: V) -> V {
        let (e, n) = self.exp_parts(x);
        self.ll.fmul(self.ll.fadd(e, self.c(x, 1.0)), self.power_of_two(x, n))
    }

    /// `exp(x)` as `v` and `k` with `exp(x) = v 2^k`, for an `x` that is not positive and whose result is not far below the
    /// smallest number.
    pub(super) fn exp_unscaled(&self, x: V) -> (V, V) {
        let (e, k) = self.exp_parts(x);
        (self.ll.fadd(e, self.c(x, 1.0)), k)
    }

    pub(super) fn expm1(&self, x: V) -> V {
        let ll = self.ll;
        let (top, bottom, tiny) = if self.is64(x) { (709.9, -50.0, 2f64.powi(-54)) } else { (88.9, -30.0, 2f64.powi(-25)) };
        let (e, n) = self.exp_parts(self.at_least(self.at_most(x, top), bottom));
        // With half of 2^n, which is finite where the result is.
        let s = self.power_of_two(x, ll.sub(n, ll.cint(ll.ty(n), 1)));
        let r = ll.fma(s, e, ll.fsub(s, self.c(x, 0.5)));
        let r = ll.fadd(r, r);
        ll.select(ll.fcmp(LLVMRealOLT, ll.fabs(x), self.c(x, tiny)), x, r)
    }

    pub(super) fn tanh(&self, x: V) -> V {
        let ll = self.ll;
        // Beyond, the result is 1 to all digits.
        let a = self.at_most(ll.fabs(x), if self.is64(x) { 22.0 } else { 10.0 });
        let t = self.expm1(ll.fadd(a, a));
        ll.copysign(ll.fdiv(t, ll.fadd(t, self.c(x, 2.0))), x)
    }

    pub(super) fn sigmoid(&self, x: V) -> V {
        let ll = self.ll;
        let e = self.exp(ll.fneg(ll.fabs(x)));
        let r = ll.fdiv(self.c(x, 1.0), ll.fadd(e, self.c(x, 1.0)));
        ll.select(ll.fcmp(LLVMRealOLT, x, self.c(x, 0.0)), ll.fmul(e, r), r)
    }

    pub(super) fn sinh(&self, x: V) -> V {
        let ll = self.ll;
        let a = ll.fabs(x);
        let t = self.expm1(self.at_most(a, 2.0));
        let small = ll.fmul(self.c(x, 0.5), ll.fadd(t, ll.fdiv(t, ll.fadd(t, self.c(x, 1.0)))));
        let h = self.exp_scaled(a, -1);
        let large = ll.fsub(h, ll.fdiv(self.c(x, 0.25), h));
        ll.copysign(ll.select(ll.fcmp(LLVMRealOLT, a, self.c(x, 1.0)), small, large), x)
    }

    pub(super) fn cosh(&self, x: V) -> V {
        let ll = self.ll;
        let h = self.exp_scaled(ll.fabs(x), -1);
        ll.fadd(h, ll.fdiv(self.c(x, 0.25), h))
    }
}
