//! The error function: a polynomial up to 1, beyond it one minus the complement. The complement: one minus the same polynomial
//! up to 1/2, beyond it `exp(-x^2)` times a polynomial in `2 / (x + 2)`.

use super::{Math, coef};
use crate::ll::*;

impl Math<'_, '_> {
    pub(super) fn erf(&self, x: V) -> V {
        let ll = self.ll;
        let a = ll.fabs(x);
        let near = ll.fmul(a, a);
        let near = ll.fma(a, self.poly(near, &coef::ERF_32, &coef::ERF_64), a);
        let far = if self.is64(x) {
            // erfc(x) = exp(-x^2) P((x - 2.5) / (x + 2.5))
            let b = self.at_least(self.at_most(a, 6.0), 1.0);
            let u = ll.fdiv(ll.fsub(b, self.c(x, 2.5)), ll.fadd(b, self.c(x, 2.5)));
            ll.fmul(self.exp_normal(ll.fneg(ll.fmul(b, b))), self.poly(u, &[], &coef::ERFCX_64))
        } else {
            let b = self.at_least(self.at_most(a, 4.0), 1.0);
            self.exp_normal(self.poly(b, &coef::LOG_ERFC_32, &[]))
        };
        let far = ll.fsub(self.c(x, 1.0), far);
        ll.copysign(ll.select(ll.fcmp(LLVMRealOLT, a, self.c(x, 1.0)), near, far), x)
    }

    pub(super) fn erfc(&self, x: V) -> V {
        let ll = self.ll;
        let c = |v| self.c(x, v);
        let a = ll.fabs(x);
        let square = ll.fmul(a, a);
        let near = ll.fsub(c(1.0), ll.fma(x, self.poly(square, &coef::ERF_32, &coef::ERF_64), x));
        // Beyond, the result is zero.
        let b = self.at_least(self.at_most(a, if self.is64(x) { 27.3 } else { 10.1 }), 0.5);
        let d = ll.fadd(b, c(2.0));
        let t = ll.fdiv(c(2.0), d);
        let p = ll.fmul(t, self.poly(t, &coef::ERFC_32, &coef::ERFC_64));
        // What the roundings of d and t lost of t, relative to it; `t P` grows with about the 1.8th power of t.
        let d_low = ll.fsub(b, ll.fsub(d, c(2.0)));
        let t_low = ll.fma(ll.fneg(t), d_low, ll.fma(ll.fneg(t), d, c(2.0)));
        let p = ll.fma(p, ll.fmul(t_low, c(0.9)), p);
        // exp(-b^2) with the rounding of the square made good.
        let square = ll.fmul(b, b);
        let lost = ll.fma(b, b, ll.fneg(square));
        let (e, k) = self.exp_unscaled(ll.fneg(square));
        let e = ll.fma(ll.fneg(e), lost, e);
        let far = self.scale(ll.fmul(e, p), k);
        let far = ll.select(ll.fcmp(LLVMRealOLT, x, c(0.0)), ll.fsub(c(2.0), far), far);
        let far = ll.select(ll.fcmp(LLVMRealUNO, x, x), x, far);
        let middle = ll.fcmp(LLVMRealOLT, ll.select(ll.fcmp(LLVMRealOLT, x, c(0.0)), ll.fmul(a, c(0.5)), a), c(0.5));
        ll.select(middle, near, far)
    }
}
