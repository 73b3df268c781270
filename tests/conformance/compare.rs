//! The criteria of checks.

use beiming::import::stablehlo::translate::Criterion;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::DType;

/// Whether a check holds, or where it does not first and how often.
pub fn holds(criterion: Criterion, got: &Tensor, want: &Tensor) -> Result<(), String> {
    if got.dtype != want.dtype || got.shape != want.shape {
        return Err(format!("{} instead of {}", got.ty(), want.ty()));
    }
    let bad: Vec<usize> = (0..got.len()).filter(|i| !element(criterion, got.dtype, got.get(*i), want.get(*i))).collect();
    let Some(first) = bad.first() else { return Ok(()) };
    let (g, w) = (got.get(*first), want.get(*first));
    Err(format!("{} of {} elements are wrong; element {first} is {}, not {}", bad.len(), got.len(), show(g), show(w)))
}

/// Whether everything that a check finds wrong is at least as near to the exact value as the expected one is. Numbers as wide as
/// the exact ones are never judged.
pub fn nearer(criterion: Criterion, got: &Tensor, want: &Tensor, exact: &Tensor) -> bool {
    let judged = got.dtype.is_float() && got.dtype != DType::F64 && got.dtype == want.dtype;
    if !judged || got.shape != want.shape || got.shape != exact.shape {
        return holds(criterion, got, want).is_ok();
    }
    let distance = |a: Num, e: Num| (a.to_f64() - e.to_f64()).abs();
    (0..got.len()).all(|i| {
        let (g, w, e) = (got.get(i), want.get(i), exact.get(i));
        element(criterion, got.dtype, g, w) || distance(g, e) <= distance(w, e)
    })
}

fn show(n: Num) -> String {
    match n {
        Num::Int(i) => i.to_string(),
        Num::Float(f) => format!("{f:?}"),
        Num::Complex(re, im) => format!("({re:?}, {im:?})"),
    }
}

fn element(criterion: Criterion, dtype: DType, got: Num, want: Num) -> bool {
    let (a, b) = match (got, want) {
        (Num::Float(a), Num::Float(b)) => (a, b),
        _ => return got == want,
    };
    if a.is_nan() && b.is_nan() {
        return true;
    }
    match criterion {
        Criterion::Equal => a == b,
        Criterion::AlmostEqual(tolerance) => a == b || (a - b).abs() <= tolerance,
        Criterion::Close { min, max } => (min..=max).contains(&ulps(dtype, a, b)),
    }
}

/// Position of a finite float among those of its type, counted from zero.
fn rank(dtype: DType, x: f64) -> i128 {
    let t = Tensor::scalar(dtype, Num::Float(x.abs()));
    let bits = t.bytes().iter().rev().fold(0i128, |b, byte| b << 8 | i128::from(*byte));
    if x.is_sign_negative() { -bits } else { bits }
}

/// Representable numbers between two: those of two that are not finite are as many as there can be.
fn ulps(dtype: DType, a: f64, b: f64) -> u64 {
    if a == b {
        return 0;
    }
    if !a.is_finite() || !b.is_finite() {
        return u64::MAX;
    }
    u64::try_from((rank(dtype, a) - rank(dtype, b)).abs()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_in_representable_numbers() {
        let next = |x: f32| f64::from(f32::from_bits(x.to_bits() + 1));
        for (a, b, want) in [
            (1.0, 1.0, 0),
            (1.0, next(1.0), 1),
            (-1.0, -next(1.0), 1),
            (-f64::from(f32::from_bits(2)), f64::from(f32::from_bits(3)), 5),
            (0.0, -0.0, 0),
            (f64::INFINITY, f64::INFINITY, 0),
            (f64::INFINITY, 1.0, u64::MAX),
        ] {
            assert_eq!(ulps(DType::F32, a, b), want, "{a} and {b}");
        }
        assert_eq!(ulps(DType::BF16, 1.0, 1.0078125), 1);
    }

    #[test]
    fn the_nearer_of_two_numbers() {
        let t = |dtype, v: f64| Tensor::from_f64(dtype, &[1], &[v]);
        let (exact, c) = (t(DType::F64, 1.0), Criterion::Equal);
        for (got, want, nearer_) in [(1.25, 0.5, true), (0.5, 1.25, false), (1.5, 0.5, true), (f64::NAN, 0.5, false)] {
            assert_eq!(nearer(c, &t(DType::F32, got), &t(DType::F32, want), &exact), nearer_, "{got} and {want}");
        }
        // An exact value of the same type proves nothing.
        assert!(!nearer(c, &t(DType::F64, 1.0), &t(DType::F64, 1.5), &exact));
    }

    #[test]
    fn not_a_number_is_equal_to_itself() {
        for c in [Criterion::Equal, Criterion::AlmostEqual(0.0), Criterion::Close { min: 0, max: 3 }] {
            assert!(element(c, DType::F32, Num::Float(f64::NAN), Num::Float(f64::NAN)));
            assert!(!element(c, DType::F32, Num::Float(f64::NAN), Num::Float(0.0)));
        }
    }
}
