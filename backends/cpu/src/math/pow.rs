//! Powers, roots and remainders.

use super::Math;
use crate::ll::*;

impl Math<'_, '_> {
    /// `x` to the power `y`, with the special cases of IEEE 754 `pow`. An `f32` power is computed in `f64`.
    pub fn pow(&self, x: V, y: V) -> V {
        let ll = self.ll;
        if !self.is64(x) {
            let (t, wide) = (ll.ty(x), ll.vec(ll.f64(), ll.lanes(ll.ty(x))));
            let r = self.pow(ll.fpext(x, wide), ll.fpext(y, wide));
            return ll.fptrunc(r, t);
        }
        let c = |v| self.c(x, v);
        let a = ll.fabs(x);
        // y log(x) in two parts: an error of it is one of the result, as large as the product is.
        let (h, l) = self.log_pair(a);
        let exact = ll.fmul(y, h);
        let low = ll.fma(y, l, ll.fma(y, h, ll.fneg(exact)));
        let inside = ll.fcmp(LLVMRealOLT, ll.fabs(exact), c(800.0));
        let p = self.exp_pair(ll.select(inside, exact, ll.fmul(y, self.log(a))), ll.select(inside, low, c(0.0)));
        let ends = ll.or(ll.fcmp(LLVMRealOEQ, a, c(0.0)), ll.fcmp(LLVMRealOEQ, a, c(f64::INFINITY)));
        // Zero and infinity have no finite logarithm, and NaN no part of it.
        let p = ll.select(ends, self.exp(ll.fmul(y, self.log(a))), p);
        let p = ll.select(ll.fcmp(LLVMRealUNO, a, y), c(f64::NAN), p);
        let floor = |v| ll.intrinsic("llvm.floor", &[ll.ty(v)], &[v]);
        let half = ll.fmul(y, c(0.5));
        let whole = ll.fcmp(LLVMRealOEQ, floor(y), y);
        let odd = ll.and(whole, ll.fcmp(LLVMRealUNE, floor(half), half));
        let signed = ll.select(odd, ll.copysign(p, x), p);
        // A negative finite number has no power that is no integer.
        let negative = ll.and(ll.fcmp(LLVMRealOLT, x, c(0.0)), ll.fcmp(LLVMRealOGT, x, c(f64::NEG_INFINITY)));
        let bad = ll.and(negative, ll.not(whole));
        let r = ll.select(bad, c(f64::NAN), signed);
        let infinite = ll.fcmp(LLVMRealOEQ, ll.fabs(y), c(f64::INFINITY));
        let minus_one = ll.and(ll.fcmp(LLVMRealOEQ, a, c(1.0)), infinite);
        let one = ll.or(ll.fcmp(LLVMRealOEQ, x, c(1.0)), ll.fcmp(LLVMRealOEQ, y, c(0.0)));
        ll.select(ll.or(one, minus_one), c(1.0), r)
    }

    /// The cube root. An `f32` root is computed in `f64`.
    pub(super) fn cbrt(&self, x: V) -> V {
        let ll = self.ll;
        if !self.is64(x) {
            let (t, wide) = (ll.ty(x), ll.vec(ll.f64(), ll.lanes(ll.ty(x))));
            return ll.fptrunc(self.cbrt(ll.fpext(x, wide)), t);
        }
        let c = |v| self.c(x, v);
        let a = ll.fabs(x);
        // Into the range where neither cubes nor residuals leave the normal numbers; 2^54 and 2^18 are cube and root.
        let (tiny, huge) = (ll.fcmp(LLVMRealOLT, a, c(2f64.powi(-900))), ll.fcmp(LLVMRealOGT, a, c(2f64.powi(900))));
        let pick = |small: i32, large: i32| ll.select(tiny, c(2f64.powi(small)), ll.select(huge, c(2f64.powi(large)), c(1.0)));
        let m = ll.fmul(a, pick(162, -162));
        // A third of the upper half of the bits is a third of the exponent, and a line through the mantissa: 1/20 off at most.
        let t = self.ints(x);
        let third = ll.lshr(ll.mul(ll.lshr(self.bits(m), ll.cint(t, 32)), ll.cint(t, 0x5555_5556)), ll.cint(t, 32));
        let mut y = ll.bitcast(ll.shl(ll.add(third, ll.cint(t, 715_094_163)), ll.cint(t, 32)), ll.ty(x));
        // Halley's step triples the digits.
        for _ in 0..2 {
            let y3 = ll.fmul(ll.fmul(y, y), y);
            let num = ll.fsub(m, y3);
            y = ll.fma(y, ll.fdiv(num, ll.fma(c(2.0), y3, m)), y);
        }
        // Newton's, with the residual to twice the digits.
        let y2 = ll.fmul(y, y);
        let low = ll.fma(y, y, ll.fneg(y2));
        let r = ll.fma(low, y, ll.fma(y2, y, ll.fneg(m)));
        y = ll.fsub(y, ll.fdiv(r, ll.fmul(c(3.0), y2)));
        let y = ll.fmul(y, pick(-54, 54));
        let ends = ll.or(ll.fcmp(LLVMRealOEQ, x, c(0.0)), ll.fcmp(LLVMRealUGE, a, c(f64::INFINITY)));
        ll.select(ends, x, ll.copysign(y, x))
    }

    /// Lane by lane through a scalar function.
    fn each(&self, a: V, b: V, f: &dyn Fn(V, V) -> V) -> V {
        let ll = self.ll;
        let t = ll.ty(a);
        let n = ll.lanes(t);
        if n == 1 {
            return f(a, b);
        }
        (0..n).fold(ll.poison(t), |v, i| ll.insert(v, f(ll.extract(a, i), ll.extract(b, i)), i))
    }

    /// The exact remainder: of the dividend's sign (C), or of the divisor's (floor).
    pub fn fmod(&self, a: V, b: V, floor: bool) -> V {
        let ll = self.ll;
        let t = ll.ty(a);
        if !self.is64(a) {
            let wide = ll.vec(ll.f64(), ll.lanes(t));
            let r = self.fmod(ll.fpext(a, wide), ll.fpext(b, wide), false);
            let r = ll.fptrunc(r, t);
            return if floor { self.floored(r, b) } else { r };
        }
        let r = self.each(a, b, &|x, y| self.fmod_scalar(x, y));
        if floor { self.floored(r, b) } else { r }
    }

    /// A remainder brought to the divisor's sign.
    fn floored(&self, r: V, b: V) -> V {
        let ll = self.ll;
        let zero = self.c(r, 0.0);
        let differ = ll.xor(ll.fcmp(LLVMRealOLT, r, zero), ll.fcmp(LLVMRealOLT, b, zero));
        let v = ll.select(differ, ll.fadd(r, b), r);
        ll.select(ll.fcmp(LLVMRealOEQ, r, zero), ll.copysign(zero, b), v)
    }

    fn fmod_scalar(&self, x: V, y: V) -> V {
        let ll = self.ll;
        let (a, b) = (ll.fabs(x), ll.fabs(y));
        // A tiny divisor is first scaled up: a multiple of it leaves the same remainder.
        let tiny = ll.fcmp(LLVMRealOLT, b, self.c(b, 2f64.powi(-900)));
        let up = ll.select(tiny, self.c(b, 2f64.powi(200)), self.c(b, 1.0));
        let down = ll.select(tiny, self.c(b, 2f64.powi(-200)), self.c(b, 1.0));
        let big = ll.fmul(b, up);
        let call = |a: V| ll.outlined("bm_remainder", ll.f64(), &[a, big], &|f| self.write_remainder(f));
        let r = call(a);
        let r = ll.fmul(call(ll.fmul(r, up)), down);
        let bad = ll.or(ll.fcmp(LLVMRealUNO, a, b), ll.fcmp(LLVMRealOEQ, a, self.c(a, f64::INFINITY)));
        let bad = ll.or(bad, ll.fcmp(LLVMRealOEQ, b, self.c(b, 0.0)));
        let r = ll.select(ll.fcmp(LLVMRealOEQ, b, self.c(b, f64::INFINITY)), a, r);
        ll.select(bad, self.c(a, f64::NAN), ll.copysign(r, x))
    }

    /// `a mod b` of non-negative numbers, `b` normal: the largest `b 2^k` not above the rest is taken off until it is below
    /// `b`. Every step is exact.
    fn write_remainder(&self, f: V) {
        let ll = self.ll;
        let (a, b) = (ll.param(f, 0), ll.param(f, 1));
        let (head, body, exit) = (ll.block(f), ll.block(f), ll.block(f));
        let entry = ll.here();
        let field = |v: V| ll.lshr(self.bits(v), ll.ci64(52));
        let from = field(b);
        // What is not a finite positive pair is settled by the caller.
        let inf = self.c(a, f64::INFINITY);
        let fine = ll.and(ll.fcmp(LLVMRealOLT, a, inf), ll.fcmp(LLVMRealOLT, b, inf));
        let fine = ll.and(fine, ll.fcmp(LLVMRealOGT, b, self.c(b, 0.0)));
        ll.cond_br(fine, head, exit);
        ll.at(head);
        let r = ll.phi(ll.f64());
        ll.incoming(r, a, entry);
        ll.cond_br(ll.fcmp(LLVMRealOGE, r, b), body, exit);
        ll.at(body);
        // The rest is at least b, which is normal, so its exponent field is too.
        let k = ll.shl(ll.sub(field(r), from), ll.ci64(52));
        let times = |k: V| ll.bitcast(ll.add(self.bits(b), k), ll.f64());
        let t = times(k);
        let over = ll.fcmp(LLVMRealOGT, t, r);
        let t = ll.select(over, times(ll.sub(k, ll.ci64(1 << 52))), t);
        let next = ll.fsub(r, t);
        ll.incoming(r, next, ll.here());
        ll.br(head);
        ll.at(exit);
        let out = ll.phi(ll.f64());
        ll.incoming(out, a, entry);
        ll.incoming(out, r, head);
        ll.ret(Some(out));
    }

    /// Integer power, wrapping. A negative exponent gives the truncated quotient: zero but for bases of 1 and -1.
    pub fn int_pow(&self, a: V, b: V, signed: bool) -> V {
        let ll = self.ll;
        let (t, e) = (ll.ty(a), ll.elem(ll.ty(a)));
        let wide = |v: V| {
            if e == ll.i64() {
                v
            } else if signed {
                ll.sext(v, ll.i64())
            } else {
                ll.zext(v, ll.i64())
            }
        };
        let zero = ll.zero(t);
        let negative = if signed { ll.icmp(LLVMIntSLT, b, zero) } else { ll.zero(ll.ty(ll.icmp(LLVMIntEQ, b, zero))) };
        let r = self.each(a, ll.select(negative, ll.neg(b), b), &|x, y| {
            let r = ll.outlined("bm_power", ll.i64(), &[wide(x), wide(y)], &|f| self.write_power(f));
            if e == ll.i64() { r } else { ll.trunc(r, e) }
        });
        if !signed {
            return r;
        }
        let unit = ll.or(ll.icmp(LLVMIntEQ, a, ll.cint(t, 1)), ll.icmp(LLVMIntEQ, a, ll.cint(t, -1)));
        ll.select(ll.and(negative, ll.not(unit)), zero, r)
    }

    /// `a^b` modulo `2^64`, `b` unsigned, by squaring.
    fn write_power(&self, f: V) {
        let ll = self.ll;
        let (a, b) = (ll.param(f, 0), ll.param(f, 1));
        let (head, body, exit) = (ll.block(f), ll.block(f), ll.block(f));
        let entry = ll.here();
        ll.br(head);
        ll.at(head);
        let (r, s, n) = (ll.phi(ll.i64()), ll.phi(ll.i64()), ll.phi(ll.i64()));
        ll.incoming(r, ll.ci64(1), entry);
        ll.incoming(s, a, entry);
        ll.incoming(n, b, entry);
        ll.cond_br(ll.icmp(LLVMIntNE, n, ll.ci64(0)), body, exit);
        ll.at(body);
        let odd = ll.icmp(LLVMIntNE, ll.and(n, ll.ci64(1)), ll.ci64(0));
        ll.incoming(r, ll.select(odd, ll.mul(r, s), r), body);
        ll.incoming(s, ll.mul(s, s), body);
        ll.incoming(n, ll.lshr(n, ll.ci64(1)), body);
        ll.br(head);
        ll.at(exit);
        ll.ret(Some(r));
    }
}
