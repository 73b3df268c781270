//! The error function: a polynomial up to 1, beyond it one minus the complement.

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
}
