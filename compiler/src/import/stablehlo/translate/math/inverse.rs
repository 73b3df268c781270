//! Inverse sine, cosine and tangent of complex numbers and their hyperbolic kin, after Hull, Fairgrieve and Tang,
//! "Implementing the complex arcsine and arccosine functions using exception handling" (1997).

use std::f64::consts::{FRAC_PI_2, LN_2, PI};

use super::complex::{C, c};
use super::{Ex, double};

/// Where the inverse sine of `x / a` begins to lose digits.
const CROSS_B: f64 = 0.6417;
/// Where the logarithm is better than `log1p`.
const CROSS_A: f64 = 1.5;
/// Beyond, squares may overflow.
const HUGE: f64 = 1e150;
/// Below this part of the distance to the branch point, the imaginary part is taken to first order.
const FINE: f64 = 1e-16;

/// For the first quadrant: real parts of the inverse sine and cosine, and the imaginary part of both.
fn quadrant(x: &Ex, y: &Ex) -> (Ex, Ex, Ex) {
    let huge = x.max(y).gt(HUGE);
    let (sx, sy) = (huge.pick(1.0, x), huge.pick(1.0, y));
    let (right, left) = (&sx + 1.0, &sx - 1.0);
    let r = c(right.clone(), sy.clone()).abs();
    let s = c(left.clone(), sy.clone()).abs();
    let a = (&r + &s) * 0.5;
    let b = &sx / &a;
    let inside = sx.le(1.0);
    let apx = &a + &sx;
    let y2 = sy.square();
    let d = inside.pick(&y2 / (&r + &right) + (&s - &left), &apx / (&r + &right) + &apx / (&s + &left));
    let root = inside.pick((&apx * 0.5 * &d).sqrt(), &sy * (d * 0.5).sqrt());
    let near = b.le(CROSS_B);
    let asin_re = near.pick(b.min(1.0).asin(), sx.atan2(&root));
    let acos_re = near.pick(b.min(1.0).acos(), root.atan2(&sx));
    let first = &y2 / (&r + &right);
    let am1 = sx.lt(1.0).pick((&first + &y2 / (&s - &left)) * 0.5, (first + (&s + &left)) * 0.5);
    let im = a.le(CROSS_A).pick((&am1 + (&am1 * (&a + 1.0)).sqrt()).log1p(), (&a + (a.square() - 1.0).sqrt()).ln());

    // Very close to the real axis.
    let flat = sy.le(left.abs() * FINE);
    let under = flat.and(sx.lt(1.0));
    let beyond = flat.and(sx.gt(1.0));
    let spread = (left.abs() * &right).sqrt();
    let asin_re = under.pick(sx.min(1.0).asin(), beyond.pick(FRAC_PI_2, asin_re));
    let acos_re = under.pick(sx.min(1.0).acos(), beyond.pick(&sy / &spread, acos_re));
    let over = (left.abs() + &spread).log1p();
    let im = under.pick(&sy / spread, beyond.pick(over, im));
    // At the branch point itself.
    let at = sx.eq(1.0).and(sy.lt(1e-30));
    let asin_re = at.pick(FRAC_PI_2 - sy.sqrt(), asin_re);
    let acos_re = at.pick(sy.sqrt(), acos_re);
    let im = at.pick(sy.sqrt(), im);

    // Far away: the angle and the logarithm of twice the distance.
    let far = c(x.clone(), y.clone());
    let far_im = far.log_abs() + LN_2;
    (huge.pick(x.atan2(y), asin_re), huge.pick(y.atan2(x), acos_re), huge.pick(far_im, im))
}

impl C {
    /// Inverse sine.
    pub fn asin(&self) -> C {
        let (re, _, im) = quadrant(&self.re.abs(), &self.im.abs());
        // A NaN in one part leaves what the other alone determines.
        let re = self.re.eq(0.0).pick(&self.re, re);
        let im = self.im.is_inf().or(self.re.is_inf()).pick(f64::INFINITY, im);
        c(re.with_sign(&self.re), im.with_sign(&self.im))
    }

    /// Inverse cosine.
    pub fn acos(&self) -> C {
        let (_, re, im) = quadrant(&self.re.abs(), &self.im.abs());
        let re = self.re.is_negative().pick(PI - &re, re);
        let im = self.im.is_inf().or(self.re.is_inf()).pick(f64::INFINITY, im);
        c(re, -(im.with_sign(&self.im)))
    }

    /// Inverse hyperbolic sine: the inverse sine with the parts exchanged.
    pub fn asinh(&self) -> C {
        let w = c(self.im.clone(), self.re.clone()).asin();
        c(w.im, w.re)
    }

    /// Inverse hyperbolic cosine, with a real part that is not negative.
    pub fn acosh(&self) -> C {
        let w = self.acos();
        c(w.im.abs(), w.re.with_sign(&self.im))
    }

    /// Inverse hyperbolic tangent.
    pub fn atanh(&self) -> C {
        let (x, y) = (self.re.abs(), self.im.abs());
        let most = x.max(&y);
        let far = most.gt(1e8);
        let (sx, sy) = (far.pick(0.5, &x), far.pick(0.5, &y));
        let gap = 1.0 - &sx;
        let near = (&sx * 4.0 / (gap.square() + sy.square())).log1p() * 0.25;
        // At 1 + i y with a tiny y.
        let at = x.eq(1.0).and(y.lt(1e-100));
        let near = at.pick((LN_2 - y.ln()) * 0.5, near);
        let twice = -double::beyond_unit_circle(&sx, &sy);
        let angle = (&sy * 2.0).atan2(twice) * 0.5;
        // x / (x^2 + y^2), and a quarter turn less that of y.
        let least = x.min(&y);
        let ratio = &least / &most;
        let far_re = x.ge(&y).pick(1.0 / &most, &ratio / &most) / (ratio.square() + 1.0);
        let far_re = x.is_inf().or(y.is_inf()).pick(0.0, far_re);
        let flat = y.eq(0.0).and(x.gt(1.0));
        let im = far.pick(FRAC_PI_2, flat.pick(FRAC_PI_2, angle));
        let im = y.is_nan().pick(f64::NAN, im);
        let re = x.eq(0.0).pick(&x, far.pick(far_re, near));
        c(re.with_sign(&self.re), im.with_sign(&self.im))
    }

    /// Inverse tangent: `-i atanh(i z)`.
    pub fn atan(&self) -> C {
        let w = c(-&self.im, self.re.clone()).atanh();
        c(w.im, -&w.re)
    }
}
