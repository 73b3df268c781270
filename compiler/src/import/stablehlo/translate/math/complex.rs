//! Complex functions over pairs of formulas, in the precision of their parts.
//!
//! Where a formula loses digits in that precision (logarithms near the unit circle), it takes twice the digits there. Functions of
//! complex numbers of 32-bit parts are computed with 64-bit parts by the converter, so that nothing overflows on the way.

use super::{Ex, double};

/// A complex number: two formulas of one type.
#[derive(Clone, Debug)]
pub struct C {
    /// Real part.
    pub re: Ex,
    /// Imaginary part.
    pub im: Ex,
}

/// A complex number from its parts.
pub fn c(re: Ex, im: Ex) -> C {
    C { re, im }
}

/// `x` where it is not NaN although it should vanish: a zero part stays zero however large the other factor is.
fn zero_or(part: &Ex, product: Ex) -> Ex {
    part.eq(0.0).pick(part, product)
}

impl C {
    /// Sum.
    pub fn plus(&self, o: &C) -> C {
        c(&self.re + &o.re, &self.im + &o.im)
    }

    /// Difference.
    pub fn minus(&self, o: &C) -> C {
        c(&self.re - &o.re, &self.im - &o.im)
    }

    /// Product.
    pub fn times(&self, o: &C) -> C {
        c(&self.re * &o.re - &self.im * &o.im, &self.re * &o.im + &self.im * &o.re)
    }

    /// Quotient, after Smith: by the ratio of the divisor's parts, so that squares do not overflow.
    pub fn over(&self, o: &C) -> C {
        let steep = o.im.abs().gt(o.re.abs());
        let (small, large) = (steep.pick(&o.re, &o.im), steep.pick(&o.im, &o.re));
        let r = small / &large;
        let den = steep.pick(&o.re * &r + &o.im, &o.re + &o.im * &r);
        let re = steep.pick(&self.re * &r + &self.im, &self.re + &self.im * &r) / &den;
        let im = steep.pick(&self.im * &r - &self.re, &self.im - &self.re * &r) / &den;
        // Division by zero and by infinity: as of the parts.
        let zero = o.re.eq(0.0).and(o.im.eq(0.0));
        let far = o.re.is_inf().or(o.im.is_inf()).and(self.re.abs().lt(f64::INFINITY)).and(self.im.abs().lt(f64::INFINITY));
        let re = zero.pick(&self.re / o.re.abs(), far.pick(&self.re * 0.0, re));
        let im = zero.pick(&self.im / o.re.abs(), far.pick(&self.im * 0.0, im));
        c(re, im)
    }

    /// Negation.
    pub fn negated(&self) -> C {
        c(-&self.re, -&self.im)
    }

    /// Conjugate.
    pub fn conj(&self) -> C {
        c(self.re.clone(), -&self.im)
    }

    /// `-i` times the number.
    fn turned_back(&self) -> C {
        c(self.im.clone(), -&self.re)
    }

    /// `i` times the number.
    fn turned(&self) -> C {
        c(-&self.im, self.re.clone())
    }

    /// Absolute value: infinite where a part is, whatever the other.
    pub fn abs(&self) -> Ex {
        let (a, b) = (self.re.abs().max(self.im.abs()), self.re.abs().min(self.im.abs()));
        let r = a.eq(0.0).pick(&a, b / &a);
        let h = &a * (r.square() + 1.0).sqrt();
        self.re.is_inf().or(self.im.is_inf()).pick(f64::INFINITY, h)
    }

    /// Angle.
    pub fn arg(&self) -> Ex {
        self.im.atan2(&self.re)
    }

    /// `z / |z|`; zero and NaN stay.
    pub fn sign(&self) -> C {
        let a = self.abs();
        let zero = a.eq(0.0);
        c(zero.pick(&self.re, &self.re / &a), zero.pick(&self.im, &self.im / &a))
    }

    /// Square. `(x - y) (x + y)` keeps the digits that `x^2 - y^2` loses.
    pub fn square(&self) -> C {
        let (x, y) = (&self.re, &self.im);
        let re = (x - y) * (x + y);
        let level = x.abs().eq(y.abs()).and(x.is_inf().not());
        c(level.pick(0.0, re), (x * y) * 2.0)
    }

    /// Square root in the right half plane.
    pub fn sqrt(&self) -> C {
        let (x, y) = (&self.re, &self.im);
        let (ax, ay) = (x.abs(), y.abs());
        let most = ax.max(&ay);
        // Even powers of two that keep the sum below finite and its digits normal.
        let (huge, tiny) = (most.gt(1e300), most.lt(1e-290));
        let up = huge.pick(2f64.powi(-4), tiny.pick(2f64.powi(108), 1.0));
        let down = huge.pick(4.0, tiny.pick(2f64.powi(-54), 1.0));
        let scaled = c(&ax * &up, &ay * &up);
        let t = ((scaled.abs() + &scaled.re) * 0.5).sqrt();
        let u = zero_or(&scaled.im, &scaled.im / (&t * 2.0));
        let (t, u) = (t * &down, u * &down);
        let right = x.ge(0.0);
        let re = right.pick(&t, &u);
        let im = right.pick(&u, &t).with_sign(y);
        // Infinite parts: the imaginary one wins.
        let re = y.is_inf().pick(f64::INFINITY, x.is_inf().pick(right.pick(f64::INFINITY, y * 0.0).abs(), re));
        let flat = x.is_inf().and(y.abs().lt(f64::INFINITY));
        let im = y.is_inf().pick(y, flat.pick(right.pick(&ay * 0.0, f64::INFINITY).with_sign(y), im));
        let zero = most.eq(0.0);
        c(zero.pick(&ax, re), zero.pick(y, im))
    }

    /// `1 / sqrt(z)`.
    pub fn rsqrt(&self) -> C {
        let one = c(&self.re * 0.0 + 1.0, &self.re * 0.0);
        let s = self.sqrt();
        let zero = self.re.eq(0.0).and(self.im.eq(0.0));
        let q = one.over(&s);
        c(zero.pick(f64::INFINITY, q.re), zero.pick(f64::NAN, q.im))
    }

    /// `log |z|`.
    pub fn log_abs(&self) -> Ex {
        let (a, b) = (self.re.abs().max(self.im.abs()), self.re.abs().min(self.im.abs()));
        let r = a.eq(0.0).or(a.is_inf()).pick(&b * 0.0, &b / &a);
        let far = a.ln() + r.square().log1p() * 0.5;
        // Near the unit circle the sum of squares less one, to twice the digits.
        let near = a.gt(0.3).and(a.lt(3.0));
        let (p, q) = (near.pick(&a, 1.0), near.pick(&b, 0.0 * &a));
        let close = double::beyond_unit_circle(&p, &q).log1p() * 0.5;
        let re = near.pick(close, far);
        self.re.is_inf().or(self.im.is_inf()).pick(f64::INFINITY, re)
    }

    /// Logarithm.
    pub fn ln(&self) -> C {
        c(self.log_abs(), self.arg())
    }

    /// `log(1 + z)`.
    pub fn log1p(&self) -> C {
        let (x, y) = (&self.re, &self.im);
        let one_up = x + 1.0;
        let moved = c(one_up.clone(), y.clone());
        let small = x.abs().lt(1e100).and(y.abs().lt(1e100));
        let (sx, sy) = (small.pick(x, 0.0), small.pick(y, 0.0));
        let (px, py) = (double::square(&sx), double::square(&sy));
        let first = double::sum(&(&sx * 2.0), &py.high);
        let second = double::sum(&first.high, &px.high);
        let s = second.high + ((first.low + second.low) + (px.low + py.low));
        // Far from zero log |1 + z| is no worse.
        let near = small.and(s.abs().lt(0.5));
        let re = near.pick(near.pick(s, 0.0).log1p() * 0.5, moved.log_abs());
        c(re, y.atan2(one_up))
    }

    /// Exponential. In two factors, so that a large one and a small cosine do not make infinity.
    pub fn exp(&self) -> C {
        let (x, y) = (&self.re, &self.im);
        let e = x.exp();
        let large = x.gt(709.0);
        let half = large.pick((x * 0.5).exp(), 1.0);
        let e = large.pick(&half, e);
        let re = (&e * y.cos()) * &half;
        let im = zero_or(y, (&e * y.sin()) * &half);
        c(re, im)
    }

    /// `exp(z) - 1`.
    pub fn expm1(&self) -> C {
        let (x, y) = (&self.re, &self.im);
        let s = (y * 0.5).sin();
        let near = x.expm1() * y.cos() - s.square() * 2.0;
        let e = self.exp();
        let re = x.abs().lt(1.0).pick(near, &e.re - 1.0);
        c(re, e.im)
    }

    /// `1 / (1 + exp(-z))`.
    pub fn logistic(&self) -> C {
        // On the side where the exponential does not overflow.
        let right = self.re.ge(0.0);
        let z = c(right.pick(-&self.re, &self.re), right.pick(-&self.im, &self.im));
        let e = z.exp();
        let den = c(&e.re + 1.0, e.im.clone());
        let num = c(right.pick(1.0, &e.re), right.pick(&e.im * 0.0, &e.im));
        num.over(&den)
    }

    /// Hyperbolic cosine and sine of the real part's magnitude, halved where they would overflow, and the factor that is
    /// missing: `(cosh, sinh, factor)`.
    fn hyperbolic(x: &Ex) -> (Ex, Ex, Ex) {
        let large = x.abs().gt(709.0);
        let half = large.pick((x.abs() * 0.5).exp(), 1.0);
        let quarter = &half * 0.5;
        (large.pick(&quarter, x.cosh()), large.pick(quarter.with_sign(x), x.sinh()), half)
    }

    /// Hyperbolic sine.
    pub fn sinh(&self) -> C {
        let (ch, sh, f) = C::hyperbolic(&self.re);
        let re = zero_or(&self.re, (sh * self.im.cos()) * &f);
        c(re, zero_or(&self.im, (ch * self.im.sin()) * f))
    }

    /// Hyperbolic cosine.
    pub fn cosh(&self) -> C {
        let (ch, sh, f) = C::hyperbolic(&self.re);
        let im = (sh * self.im.sin()) * &f;
        let flat = self.re.eq(0.0).or(self.im.eq(0.0));
        c((ch * self.im.cos()) * f, flat.pick(&self.im * self.re.sign(), im))
    }

    /// Hyperbolic tangent, after Kahan (1987).
    pub fn tanh(&self) -> C {
        let (x, y) = (&self.re, &self.im);
        let large = x.abs().gt(22.0);
        let inner = large.pick(0.0, x);
        let t = y.tan();
        let beta = t.square() + 1.0;
        let s = inner.sinh();
        let rho = (s.square() + 1.0).sqrt();
        let d = &beta * s.square() + 1.0;
        // At a pole of the tangent the limit.
        let pole = t.is_inf();
        let re = pole.pick(&rho / &s, (beta * rho * &s) / &d);
        let im = pole.pick(0.0, &t / d);
        let far = (y.sin() * y.cos()) * 4.0 * (x.abs() * -2.0).exp();
        let far = x.is_inf().pick(y * 0.0, far);
        let far = far.is_nan().and(y.is_nan().not()).pick(0.0, far);
        let one = x.sign();
        c(large.pick(one, re), zero_or(y, large.pick(far, im)))
    }

    /// Sine: `-i sinh(i z)`.
    pub fn sin(&self) -> C {
        self.turned().sinh().turned_back()
    }

    /// Cosine: `cosh(i z)`.
    pub fn cos(&self) -> C {
        self.turned().cosh()
    }

    /// Tangent: `-i tanh(i z)`.
    pub fn tan(&self) -> C {
        self.turned().tanh().turned_back()
    }

    /// `exp(w log z)`; zero to any power but zero is zero.
    pub fn pow(&self, w: &C) -> C {
        let l = self.ln();
        let p = w.times(&l).exp();
        let zero = self.re.eq(0.0).and(self.im.eq(0.0));
        let none = w.re.eq(0.0).and(w.im.eq(0.0));
        // A real power of a positive real number is real, also where the logarithm is infinite.
        let re = zero.pick(w.re.gt(0.0).pick(0.0, f64::NAN), p.re);
        let im = zero.pick(w.re.gt(0.0).pick(0.0, f64::NAN), p.im);
        c(none.pick(1.0, re), none.pick(0.0, im))
    }

    /// The cube root of least angle.
    pub fn cbrt(&self) -> C {
        let r = self.abs().apply(beiming_ir::ops::UnaryOp::Cbrt);
        let a = self.arg() / 3.0;
        c(&r * a.cos(), zero_or(&self.im, r * a.sin()))
    }

    /// The complex angle of the point `(x, self)`: `-i log((x + i y) / sqrt(x^2 + y^2))`.
    pub fn atan2(&self, x: &C) -> C {
        let z = x.plus(&self.turned());
        let r = x.times(x).plus(&self.times(self)).sqrt();
        z.over(&r).ln().turned_back()
    }

    /// True where both parts are equal.
    pub fn equals(&self, o: &C) -> Ex {
        self.re.eq(&o.re).and(self.im.eq(&o.im))
    }
}
