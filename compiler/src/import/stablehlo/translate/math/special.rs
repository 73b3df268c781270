//! Special functions of real numbers, as formulas of `f64`: narrower arguments are widened by the caller and the result is
//! rounded once.

use std::f64::consts::PI;

use beiming_ir::types::DType;

use super::tables::{DIGAMMA, I1_LARGE, I1_SMALL, LGAMMA_NEAR, STIRLING, ZETA};
use super::{Ex, number};

/// The constant of Euler and Mascheroni.
const EULER: f64 = 0.577_215_664_901_532_9;
/// `log(2 pi) / 2`.
const HALF_LN_2PI: f64 = 0.918_938_533_204_672_7;
/// From here on the asymptotic series of the logarithm of the gamma function are good to all digits.
const FAR: f64 = 10.0;

/// `|sin(pi x)|` and `x` is an integer, for `x >= 0`: by the distance to the nearest integer, which is exact.
fn sine_of_turns(x: &Ex) -> (Ex, Ex) {
    let f = x - x.floor();
    let near = f.min(1.0 - &f);
    ((&near * PI).sin(), near.eq(0.0))
}

/// Logarithm of the gamma function of `x >= 1/2`.
fn lgamma_right(x: &Ex) -> Ex {
    // About 1 and 2, where it vanishes, by the series at 2.
    let first = x.lt(1.5);
    let near = x.lt(2.5);
    let z = near.pick(first.pick(x - 1.0, x - 2.0), 0.0);
    let series = &z * (&z * z.poly(&LGAMMA_NEAR) + (1.0 - EULER));
    let close = first.pick(&series - z.log1p(), series);
    // Beyond by Stirling's series, moved up eight steps where it is not good yet.
    let short = x.lt(FAR);
    let mut product = x.clone();
    for k in 1..8 {
        product = product * (x + f64::from(k));
    }
    let y = short.pick(x + 8.0, x);
    let t = 1.0 / &y;
    let tail = &t * t.square().poly(&STIRLING);
    let far = (&y - 0.5) * y.ln() - &y + (tail + HALF_LN_2PI);
    let far = far - short.pick(product, 1.0).ln();
    let far = x.eq(f64::INFINITY).pick(f64::INFINITY, far);
    near.pick(close, far)
}

/// Logarithm of the absolute value of the gamma function.
pub fn lgamma(x: &Ex) -> Ex {
    let reflected = x.lt(0.5);
    let y = reflected.pick(1.0 - x, x);
    let right = lgamma_right(&y);
    let (sine, whole) = sine_of_turns(&x.abs());
    let left = number(PI) / sine;
    let left = whole.pick(f64::INFINITY, left.abs().ln() - &right);
    let v = reflected.pick(left, right);
    let v = x.abs().eq(f64::INFINITY).pick(f64::INFINITY, v);
    x.is_nan().pick(x, v)
}

/// Logarithmic derivative of the gamma function; NaN at its poles.
pub fn digamma(x: &Ex) -> Ex {
    let reflected = x.lt(0.5);
    let y = reflected.pick(1.0 - x, x);
    let short = y.lt(FAR);
    let mut lost = 1.0 / &y;
    for k in 1..10 {
        lost = lost + 1.0 / (&y + f64::from(k));
    }
    let z = short.pick(&y + FAR, &y);
    let t = 1.0 / &z;
    let t2 = t.square();
    let far = z.ln() - &t * 0.5 - &t2 * t2.poly(&DIGAMMA);
    let right = far - short.pick(lost, 0.0);
    // psi(x) = psi(1 - x) - pi / tan(pi x); the tangent of the part beyond the nearest integer.
    let part = x - (x + 0.5).floor();
    let left = &right - PI / (part.clone() * PI).tan();
    let pole = x.le(0.0).and(part.eq(0.0));
    let v = pole.pick(f64::NAN, reflected.pick(left, right));
    let v = x.eq(f64::INFINITY).pick(f64::INFINITY, v);
    x.eq(f64::NEG_INFINITY).pick(f64::NAN, v)
}

/// The zeta function of Hurwitz, `sum 1 / (q + k)^s`, by nine terms and the corrections of Euler and Maclaurin.
pub fn zeta(s: &Ex, q: &Ex) -> Ex {
    let minus = -s;
    let power = |b: &Ex| b.join(beiming_ir::ops::BinaryOp::Pow, &minus);
    let mut sum = power(q);
    for k in 1..9 {
        sum = sum + power(&(q + f64::from(k)));
    }
    let a = q + 9.0;
    let p = power(&a);
    sum = sum + &p * &a / (s - 1.0) + &p * 0.5;
    // s (s + 1) .. (s + 2k - 2) a^(-s - 2k + 1) B(2k) / (2k)!
    let step = 1.0 / a.square();
    let mut factor = s * &p / &a;
    for (k, b) in ZETA.iter().enumerate() {
        sum = sum + &factor * *b;
        let n = 2.0 * k as f64;
        factor = factor * (s + (n + 1.0)) * (s + (n + 2.0)) * &step;
    }
    let whole = q.floor().eq(q);
    let even = (s * 0.5).floor().eq(s * 0.5);
    let left = whole.pick(even.pick(f64::INFINITY, f64::NAN), s.floor().eq(s).pick(&sum, f64::NAN));
    let v = q.le(0.0).pick(left, sum);
    let v = s.eq(1.0).pick(f64::INFINITY, s.lt(1.0).pick(f64::NAN, v));
    s.is_nan().or(q.is_nan()).pick(f64::NAN, v)
}

/// The n-th derivative of the digamma function.
pub fn polygamma(n: &Ex, x: &Ex) -> Ex {
    let order = n + 1.0;
    let size = lgamma(&order).exp() * zeta(&order, x);
    let odd = (n * 0.5).floor().ne(n * 0.5);
    let v = odd.pick(&size, -&size);
    let bad = n.lt(0.0).or(n.floor().ne(n)).or(n.is_nan());
    bad.pick(f64::NAN, n.eq(0.0).pick(digamma(x), v))
}

/// `exp(-|x|) I1(x)`.
pub fn bessel_i1e(x: &Ex) -> Ex {
    let a = x.abs();
    let small = a.le(8.0);
    let h = small.pick(&a, 0.0) * 0.5;
    let near = &h * h.square().poly(&I1_SMALL) * (-&a).exp();
    let b = a.max(8.0);
    let far = (16.0 / &b - 1.0).poly(&I1_LARGE) / b.sqrt();
    let v = small.pick(near, far);
    v.with_sign(x)
}

/// Inverse of the error function: a rough form (Winitzki), made right by `steps` steps of Halley's method, each of which
/// triples the digits. The complement is inverted where the argument is near one.
pub fn erf_inv(x: &Ex, steps: usize) -> Ex {
    let a = x.abs();
    let rest = 1.0 - &a;
    let l = (&rest * (1.0 + &a)).ln();
    let k = 0.147;
    let m = &l * 0.5 + 2.0 / (PI * k);
    let mut y = ((m.square() - &l * (1.0 / k)).sqrt() - m).sqrt();
    let tail = a.gt(0.5);
    let scale = 0.5 * PI.sqrt();
    for _ in 0..steps {
        let off = tail.pick(&rest - y.erfc(), y.erf() - &a);
        // f / f' and Halley's correction by f'' / f' = -2 y.
        let step = off * y.square().exp() * scale;
        y = &y - &step / (1.0 + &y * &step);
    }
    let y = a.lt(1e-9).pick(&a * scale, y);
    let y = a.eq(1.0).pick(f64::INFINITY, a.gt(1.0).pick(f64::NAN, y));
    y.with_sign(x)
}

/// The float after `x` in the direction of `y`, by its bits: `ints` is the signed integer type of the width.
pub fn next_after(x: &Ex, y: &Ex, own: DType, ints: DType) -> Ex {
    let bits = x.bitcast(ints);
    // From zero to the least number of the sign of `y`; else one bit towards or away from zero.
    let least = y.lt(0.0).pick(sign_bit(ints) + 1.0, 1.0);
    let outward = x.gt(0.0).eq(y.gt(x));
    let moved = outward.pick(&bits + 1.0, &bits - 1.0);
    let next = x.eq(0.0).pick(least, moved).bitcast(own);
    let v = x.eq(y).pick(y, next);
    x.is_nan().or(y.is_nan()).pick(f64::NAN, v)
}

fn sign_bit(ints: DType) -> f64 {
    ints.int_range().map_or(0.0, |(lo, _)| lo as f64)
}
