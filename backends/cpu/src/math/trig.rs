//! Trigonometric functions and their inverses.
//!
//! An `f32` angle is reduced with integers: the bits of `2 / pi` from the angle's exponent on, times its mantissa, are the
//! number of quarter turns modulo four to 62 binary places, for every exponent (after Payne and Hanek). An `f64` angle below
//! 2^30 is reduced with `pi / 2` in three parts; larger ones are rare, and reduced one by one as those of `f32`, to 126 places.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

use super::{Math, coef};
use crate::ll::*;

/// `2 / pi`: 1280 bits behind the binary point.
const TWO_OVER_PI: [u64; 20] = [
    0xa2f9_836e_4e44_1529,
    0xfc27_57d1_f534_ddc0,
    0xdb62_9599_3c43_9041,
    0xfe51_63ab_debb_c561,
    0xb724_6e3a_424d_d2e0,
    0x0649_2eea_09d1_921c,
    0xfe1d_eb1c_b129_a73e,
    0xe882_35f5_2ebb_4484,
    0xe99c_7026_b45f_7e41,
    0x3991_d639_8353_39f4,
    0x9c84_5f8b_bdf9_283b,
    0x1ff8_97ff_de05_980f,
    0xef2f_118b_5a0a_6d1f,
    0x6d36_7ecf_27cb_09b7,
    0x4f46_3f66_9e5f_ea2d,
    0x7527_bac7_ebe5_f17b,
    0x3d07_39f7_8a52_92ea,
    0x6bfb_5fb1_1f8d_5d08,
    0x5603_3046_fc7b_6bab,
    0xf0cf_bc20_9af4_361d,
];
/// Second and third part of `pi / 2` behind [`FRAC_PI_2`].
const PIO2_LO: f64 = 6.123_233_995_736_766e-17;
const PIO2_LO2: f64 = -1.497_384_904_859_169_8e-33;
/// The smallest `f64` angle that is reduced by itself.
const FAR: f64 = 1_073_741_824.0;
/// Exponent field of the smallest `f32` angle that is reduced: 1/2.
const FIRST: i64 = 126;
const LAST: i64 = 254;

/// 64 bits of `2 / pi` from bit `at` behind the binary point on (negative: from before it).
fn window(at: i64) -> u64 {
    let bit = |i: i64| u64::from((0..1280).contains(&i) && TWO_OVER_PI[(i / 64) as usize] >> (63 - i % 64) & 1 == 1);
    (0..64).fold(0, |a, i| a << 1 | bit(at + i))
}

impl Math<'_, '_> {
    /// The angle within a quarter turn, in the type of `x`, and the number of the quarter, for `x >= 0`.
    fn reduce(&self, x: V) -> (V, V) {
        let ll = self.ll;
        if self.is64(x) {
            return self.reduce64(x);
        }
        let t = self.ints(x);
        let n = ll.lanes(t);
        let wide = ll.vec(ll.i64(), n);
        let bits = self.bits(x);
        let field = ll.lshr(bits, ll.cint(t, 23));
        // x = m 2^(field - 150). The quarter turns' last two whole bits and 62 bits behind the point, and 40 bits more.
        let m = ll.zext(ll.or(ll.and(bits, ll.cint(t, 0x7f_ffff)), ll.cint(t, 0x80_0000)), wide);
        let words: Vec<V> = (FIRST..=LAST)
            .flat_map(|f| {
                let at = f - 152;
                [window(at), window(at + 64) >> 24]
            })
            .map(|w| ll.ci64(w as i64))
            .collect();
        let table = ll.shared_constant("quarter_turns", ll.const_array(ll.i64(), &words), 16);
        let low = ll.select(ll.icmp(LLVMIntULT, field, ll.cint(t, FIRST)), ll.cint(t, FIRST), field);
        let at = ll.select(ll.icmp(LLVMIntUGT, low, ll.cint(t, LAST)), ll.cint(t, LAST), low);
        let at = ll.shl(ll.sub(ll.zext(at, wide), ll.cint(wide, FIRST)), ll.cint(wide, 1));
        let (mut high, mut rest) = (ll.poison(wide), ll.poison(wide));
        for lane in 0..n {
            let p = ll.gep(ll.i64(), table, ll.extract(at, lane));
            let (h, l) = (ll.load(ll.i64(), p, 8), ll.load(ll.i64(), ll.gep(ll.i64(), p, ll.ci64(1)), 8));
            (high, rest) = if n == 1 { (h, l) } else { (ll.insert(high, h, lane), ll.insert(rest, l, lane)) };
        }
        let turns = ll.add(ll.mul(m, high), ll.lshr(ll.mul(m, rest), ll.cint(wide, 40)));
        let q = ll.lshr(ll.add(turns, ll.cint(wide, 1 << 61)), ll.cint(wide, 62));
        let part = ll.sub(turns, ll.shl(q, ll.cint(wide, 62)));
        let d = ll.vec(ll.f64(), n);
        let r = ll.fmul(ll.sitofp(part, d), ll.cf(d, FRAC_PI_2 * 2f64.powi(-62)));
        let r = ll.fptrunc(r, ll.ty(x));
        let small = ll.icmp(LLVMIntULT, field, ll.cint(t, FIRST));
        let r = ll.select(small, x, r);
        let r = ll.select(ll.icmp(LLVMIntUGT, field, ll.cint(t, LAST)), self.c(x, f64::NAN), r);
        (r, ll.select(small, ll.cint(t, 0), ll.trunc(q, t)))
    }

    /// [`Math::reduce`] of f64, in a function of its own: it branches.
    fn reduce64(&self, x: V) -> (V, V) {
        let ll = self.ll;
        let n = ll.lanes(ll.ty(x));
        let both = ll.vec(ll.f64(), 2 * n);
        let both = ll.outlined(&format!("bm_angle{n}"), both, &[x], &|f| self.write_reduce64(f));
        let part = |first: usize| match n {
            1 => ll.extract(both, first),
            _ => ll.shuffle(both, both, &(first..first + n).collect::<Vec<_>>()),
        };
        (part(0), ll.bitcast(part(n), self.ints(x)))
    }

    /// The rests of all lanes, then the bits of their quarters' numbers.
    fn write_reduce64(&self, f: V) {
        let ll = self.ll;
        let x = ll.param(f, 0);
        let (t, n) = (ll.ty(x), ll.lanes(ll.ty(x)));
        let (turns, q) = self.nearest(x, 1.0 / FRAC_PI_2);
        let r = ll.fma(turns, self.c(x, -FRAC_PI_2), x);
        let r = ll.fma(turns, self.c(x, -PIO2_LO), r);
        let r = ll.fma(turns, self.c(x, -PIO2_LO2), r);
        let q = ll.bitcast(q, t);
        // NaN and infinity come out as NaN already.
        let far = ll.and(ll.fcmp(LLVMRealOGE, x, self.c(x, FAR)), ll.fcmp(LLVMRealOLT, x, self.c(x, f64::INFINITY)));
        let any = if n == 1 { far } else { ll.intrinsic("llvm.vector.reduce.or", &[ll.ty(far)], &[far]) };
        let (each, done, entry) = (ll.block(f), ll.block(f), ll.here());
        ll.cond_br(any, each, done);
        ll.at(each);
        let (mut rests, mut quarters) = (ll.poison(t), ll.poison(t));
        for lane in 0..n {
            let pair = ll.vec(ll.f64(), 2);
            let pair = ll.outlined("bm_far_angle", pair, &[ll.extract(x, lane)], &|f| self.write_far_angle(f));
            let (a, b) = (ll.extract(pair, 0), ll.extract(pair, 1));
            (rests, quarters) = if n == 1 { (a, b) } else { (ll.insert(rests, a, lane), ll.insert(quarters, b, lane)) };
        }
        let (far_r, far_q) = (ll.select(far, rests, r), ll.select(far, quarters, q));
        let last = ll.here();
        ll.br(done);
        ll.at(done);
        let merged = [(r, far_r), (q, far_q)].map(|(near, far)| {
            let v = ll.phi(t);
            ll.incoming(v, near, entry);
            ll.incoming(v, far, last);
            v
        });
        let both = if n == 1 {
            let pair = ll.poison(ll.vec(ll.f64(), 2));
            ll.insert(ll.insert(pair, merged[0], 0), merged[1], 1)
        } else {
            ll.shuffle(merged[0], merged[1], &(0..2 * n).collect::<Vec<_>>())
        };
        ll.ret(Some(both));
    }

    /// The rest and the bits of the quarter's number of one finite angle of at least [`FAR`].
    fn write_far_angle(&self, f: V) {
        let ll = self.ll;
        let x = ll.param(f, 0);
        let (c, word, wide) = (|v: i64| ll.ci64(v), ll.i64(), ll.int(128));
        // x = m 2^(field - 1075). The window of `2 / pi` begins with the bit whose product with m's last bit is worth two
        // quarter turns: all before it are multiples of four.
        let bits = self.bits(x);
        let m = ll.or(ll.and(bits, c((1 << 52) - 1)), c(1 << 52));
        let at = ll.sub(ll.lshr(bits, c(52)), c(1077 - 64));
        // Lanes that are not far come here too; what they get is not used.
        let at = ll.select(ll.icmp(LLVMIntSLT, at, c(0)), c(0), at);
        let (first, shift) = (ll.lshr(at, c(6)), ll.and(at, c(63)));
        let words: Vec<V> = std::iter::once(0).chain(TWO_OVER_PI).map(|w| c(w as i64)).collect();
        let table = ll.shared_constant("two_over_pi", ll.const_array(word, &words), 8);
        let w = [0, 1, 2, 3].map(|k| ll.load(word, ll.gep(word, table, ll.add(first, c(k))), 8));
        let join = |a: V, b: V| ll.or(ll.shl(a, shift), ll.lshr(ll.lshr(b, c(1)), ll.xor(shift, c(63))));
        let product = |i: usize| ll.mul(ll.zext(m, wide), ll.zext(join(w[i], w[i + 1]), wide));
        let big = |v: i64| ll.cint(wide, v);
        let turns = ll.add(ll.shl(product(0), big(64)), ll.add(product(1), ll.lshr(product(2), big(64))));
        let q = ll.lshr(ll.add(turns, ll.shl(big(1), big(125))), big(126));
        let part = ll.sub(turns, ll.shl(q, big(126)));
        // Its magnitude in two floats: the upper 32 bits, and the 96 others.
        let d = ll.f64();
        let minus = ll.icmp(LLVMIntSLT, part, big(0));
        let size = ll.select(minus, ll.neg(part), part);
        let upper = ll.trunc(ll.lshr(size, big(64)), word);
        let lower = ll.fmul(ll.sitofp(ll.lshr(ll.trunc(size, word), c(1)), d), ll.cf(d, 2f64.powi(-63)));
        let a = ll.fmul(ll.sitofp(ll.lshr(upper, c(32)), d), ll.cf(d, 2f64.powi(32)));
        let b = ll.fadd(ll.sitofp(ll.and(upper, c(0xffff_ffff)), d), lower);
        let s = ll.fadd(a, b);
        let lost = ll.fsub(b, ll.fsub(s, a));
        let unit = 2f64.powi(-62);
        let quarter = ll.cf(d, FRAC_PI_2 * unit);
        let r = ll.fmul(s, quarter);
        let e = ll.fma(s, quarter, ll.fneg(r));
        let e = ll.fma(lost, quarter, ll.fma(s, ll.cf(d, PIO2_LO * unit), e));
        let r = ll.fadd(r, e);
        let pair = ll.insert(ll.poison(ll.vec(d, 2)), ll.select(minus, ll.fneg(r), r), 0);
        let q = ll.bitcast(ll.and(ll.trunc(q, word), c(3)), d);
        ll.ret(Some(ll.insert(pair, q, 1)));
    }

    /// Sine and cosine of an angle within an eighth turn on either side of zero.
    fn sin_cos(&self, r: V) -> (V, V) {
        let ll = self.ll;
        let w = ll.fmul(r, r);
        let s = ll.fma(ll.fmul(w, r), self.poly(w, &coef::SIN_32, &coef::SIN_64), r);
        let c = self.poly(w, &coef::COS_32, &coef::COS_64);
        // 1 - w / 2 + w^2 C, with the rounding of the first difference made good.
        let half = ll.fmul(w, self.c(r, 0.5));
        let one = self.c(r, 1.0);
        let first = ll.fsub(one, half);
        let lost = ll.fsub(ll.fsub(one, first), half);
        (s, ll.fadd(first, ll.fma(ll.fmul(w, w), c, lost)))
    }

    fn odd(&self, q: V) -> V {
        let ll = self.ll;
        let t = ll.ty(q);
        ll.icmp(LLVMIntNE, ll.and(q, ll.cint(t, 1)), ll.cint(t, 0))
    }

    /// `v` with its sign changed where bit 1 of `q` is set.
    fn half_turn(&self, v: V, q: V) -> V {
        let ll = self.ll;
        let t = ll.ty(q);
        let up = i64::from(self.width(v).bits) - 2;
        let sign = ll.shl(ll.and(q, ll.cint(t, 2)), ll.cint(t, up));
        ll.bitcast(ll.xor(self.bits(v), sign), ll.ty(v))
    }

    pub(super) fn sin(&self, x: V) -> V {
        let ll = self.ll;
        let (r, q) = self.reduce(ll.fabs(x));
        let (s, c) = self.sin_cos(r);
        let v = self.half_turn(ll.select(self.odd(q), c, s), q);
        self.with_sign_of(v, x)
    }

    pub(super) fn cos(&self, x: V) -> V {
        let ll = self.ll;
        let (r, q) = self.reduce(ll.fabs(x));
        let q = ll.add(q, ll.cint(ll.ty(q), 1));
        let (s, c) = self.sin_cos(r);
        self.half_turn(ll.select(self.odd(q), c, s), q)
    }

    pub(super) fn tan(&self, x: V) -> V {
        let ll = self.ll;
        let (r, q) = self.reduce(ll.fabs(x));
        let (s, c) = self.sin_cos(r);
        let odd = self.odd(q);
        let v = ll.fdiv(ll.select(odd, ll.fneg(c), s), ll.select(odd, s, c));
        self.with_sign_of(v, x)
    }

    /// `v`, its sign changed where `x` is negative.
    fn with_sign_of(&self, v: V, x: V) -> V {
        let ll = self.ll;
        let t = self.ints(x);
        let mask = ll.shl(ll.cint(t, 1), ll.cint(t, i64::from(self.width(x).bits) - 1));
        ll.bitcast(ll.xor(self.bits(v), ll.and(self.bits(x), mask)), ll.ty(v))
    }

    /// `asin` of `0 <= x <= 1/2`.
    fn asin_near(&self, x: V) -> V {
        let ll = self.ll;
        let w = ll.fmul(x, x);
        ll.fma(ll.fmul(w, x), self.poly(w, &coef::ASIN_32, &coef::ASIN_64), x)
    }

    /// `asin` at `x` where that is at most 1/2, else at `sqrt((1 - x) / 2)`, whose double is the rest to a quarter turn.
    fn asin_parts(&self, a: V) -> (V, V) {
        let ll = self.ll;
        let near = ll.fcmp(LLVMRealOLE, a, self.c(a, 0.5));
        let root = self.sqrt(ll.fmul(self.c(a, 0.5), ll.fsub(self.c(a, 1.0), a)));
        (self.asin_near(ll.select(near, a, root)), near)
    }

    pub(super) fn asin(&self, x: V) -> V {
        let ll = self.ll;
        let (s, near) = self.asin_parts(ll.fabs(x));
        let rest = ll.fma(self.c(x, -2.0), s, self.pio2_lo(x));
        let far = ll.fadd(self.c(x, FRAC_PI_2), rest);
        ll.copysign(ll.select(near, s, far), x)
    }

    pub(super) fn acos(&self, x: V) -> V {
        let ll = self.ll;
        let (s, near) = self.asin_parts(ll.fabs(x));
        let signed = ll.copysign(s, x);
        let low = ll.fadd(self.c(x, FRAC_PI_2), ll.fsub(self.pio2_lo(x), signed));
        let twice = ll.fadd(s, s);
        let minus = ll.fadd(self.c(x, PI), ll.fsub(ll.fmul(self.c(x, 2.0), self.pio2_lo(x)), twice));
        let far = ll.select(ll.fcmp(LLVMRealOLT, x, self.c(x, 0.0)), minus, twice);
        ll.select(near, low, far)
    }

    /// What `pi / 2`, rounded to the type of `x`, lost.
    fn pio2_lo(&self, x: V) -> V {
        self.c(x, if self.is64(x) { PIO2_LO } else { FRAC_PI_2 - f64::from(FRAC_PI_2 as f32) })
    }

    pub(super) fn atan(&self, x: V) -> V {
        let ll = self.ll;
        let c = |v| self.c(x, v);
        let a = ll.fabs(x);
        // An eighth or a quarter turn is taken off, so that the rest is small.
        let far = ll.fcmp(LLVMRealOGT, a, c(1.0 + std::f64::consts::SQRT_2));
        let middle = ll.fcmp(LLVMRealOGT, a, c(std::f64::consts::SQRT_2 - 1.0));
        let num = ll.select(far, c(-1.0), ll.select(middle, ll.fsub(a, c(1.0)), a));
        let den = ll.select(far, a, ll.select(middle, ll.fadd(a, c(1.0)), c(1.0)));
        let base = ll.select(far, c(FRAC_PI_2), ll.select(middle, c(FRAC_PI_4), c(0.0)));
        let lo = self.pio2_lo(x);
        let low = ll.select(far, lo, ll.select(middle, ll.fmul(lo, c(0.5)), c(0.0)));
        let z = ll.fdiv(num, den);
        let w = ll.fmul(z, z);
        let y = ll.fma(ll.fmul(w, z), self.poly(w, &coef::ATAN_32, &coef::ATAN_64), ll.fadd(z, low));
        ll.copysign(ll.fadd(base, y), x)
    }

    /// The angle of the point `(x, y)`.
    pub fn atan2(&self, y: V, x: V) -> V {
        let ll = self.ll;
        let c = |v| self.c(x, v);
        let (ax, ay) = (ll.fabs(x), ll.fabs(y));
        let steep = ll.fcmp(LLVMRealOGT, ay, ax);
        let (num, den) = (ll.select(steep, ax, ay), ll.select(steep, ay, ax));
        let q = ll.fdiv(num, den);
        let origin = ll.and(ll.fcmp(LLVMRealOEQ, num, c(0.0)), ll.fcmp(LLVMRealOEQ, den, c(0.0)));
        let q = ll.select(origin, c(0.0), q);
        let inf = c(f64::INFINITY);
        let both = ll.and(ll.fcmp(LLVMRealOEQ, num, inf), ll.fcmp(LLVMRealOEQ, den, inf));
        let q = ll.select(both, c(1.0), q);
        let r = self.atan(q);
        let r = ll.select(steep, ll.fadd(c(FRAC_PI_2), ll.fsub(self.pio2_lo(x), r)), r);
        // By the sign bit: a negative zero lies to the left as well.
        let left = ll.icmp(LLVMIntSLT, self.bits(x), ll.zero(self.ints(x)));
        let across = ll.fadd(c(PI), ll.fsub(ll.fmul(c(2.0), self.pio2_lo(x)), r));
        ll.copysign(ll.select(left, across, r), y)
    }
}
