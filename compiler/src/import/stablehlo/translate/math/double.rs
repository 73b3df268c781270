//! Sums and products to twice the digits: a number and what its rounding lost (Dekker 1971, Knuth).

use super::Ex;

/// The unevaluated sum of two floats, the second not above half a unit in the last place of the first.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The rounded sum.
    pub high: Ex,
    /// What rounding lost.
    pub low: Ex,
}

/// `a + b`, exactly.
pub fn sum(a: &Ex, b: &Ex) -> Pair {
    let high = a + b;
    let part = &high - a;
    let low = (a - (&high - &part)) + (b - part);
    Pair { high, low }
}

/// The upper and lower half of the digits of an `f64` of less than 2^990.
fn halves(a: &Ex) -> (Ex, Ex) {
    let c = a * 134_217_729.0;
    let high = &c - (&c - a);
    (high.clone(), a - high)
}

/// `a * a`, exactly, for an `f64` between about 2^-480 and 2^480.
pub fn square(a: &Ex) -> Pair {
    let high = a * a;
    let (h, l) = halves(a);
    let low = ((&h * &h - &high) + (&h * &l) * 2.0) + &l * &l;
    Pair { high, low }
}

/// `a^2 + b^2 - 1` of `f64` to nearly twice the digits of the squares, for a point not far from the unit circle.
pub fn beyond_unit_circle(a: &Ex, b: &Ex) -> Ex {
    let (a, b) = (square(a), square(b));
    let first = sum(&a.high, &super::number(-1.0));
    let second = sum(&first.high, &b.high);
    second.high + ((first.low + second.low) + (a.low + b.low))
}
