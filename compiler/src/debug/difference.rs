//! How far two tensors are apart.

use beiming_ir::num::decode;
use beiming_ir::tensor::{Num, Tensor};
use serde::Serialize;

/// What difference is allowed: `atol + rtol * |expected|` for floats, none for integers and `bool`.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Tolerance {
    /// Share of the expected value.
    pub rtol: f64,
    /// Absolute.
    pub atol: f64,
}

impl Default for Tolerance {
    fn default() -> Tolerance {
        Tolerance { rtol: 1e-3, atol: 1e-4 }
    }
}

/// How a tensor compares with what was expected.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Difference {
    /// Elements.
    pub elements: usize,
    /// Elements past the tolerance.
    pub different: usize,
    /// Largest absolute difference of finite values.
    pub max_abs: f64,
    /// Largest difference in units of what is allowed, infinite where one side is not a number or infinite.
    pub max_error: f64,
    /// NaN in the result and in the expected values.
    pub nan: (usize, usize),
    /// Infinities in the result and in the expected values.
    pub inf: (usize, usize),
    /// The first element past the tolerance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<First>,
    /// Why elements could not be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// An element that differs.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct First {
    /// Its index.
    pub index: Vec<usize>,
    /// What was computed; JSON has no NaN and no infinities, so text.
    pub got: String,
    /// What was expected.
    pub expected: String,
}

impl Difference {
    /// Of `got` from `want`. Equal infinities agree, and so do two NaNs.
    pub fn of(got: &Tensor, want: &Tensor, tolerance: Tolerance) -> Difference {
        let mut d = Difference { elements: got.len(), ..Difference::default() };
        if got.dtype.size() != want.dtype.size() || got.shape != want.shape {
            d.problem = Some(format!("computed {}, expected {}", got.ty(), want.ty()));
            return d;
        }
        let size = got.dtype.size();
        for (i, (g, w)) in got.bytes().chunks_exact(size).zip(want.bytes().chunks_exact(size)).enumerate() {
            let (g, w) = (decode(got.dtype, g), decode(got.dtype, w));
            let error = d.element(g, w, tolerance);
            d.max_error = d.max_error.max(error);
            if error > 1.0 {
                d.different += 1;
                if d.first.is_none() {
                    d.first = Some(First { index: index(i, &got.shape), got: text(g), expected: text(w) });
                }
            }
        }
        d
    }

    /// Error of one element in units of what is allowed.
    fn element(&mut self, got: Num, want: Num, t: Tolerance) -> f64 {
        let (g, w) = match (got, want) {
            (Num::Int(g), Num::Int(w)) => {
                self.max_abs = self.max_abs.max((g - w).abs() as f64);
                return if g == w { 0.0 } else { f64::INFINITY };
            }
            (Num::Complex(a, b), Num::Complex(c, d)) => {
                let (x, y) = (self.element(Num::Float(a), Num::Float(c), t), self.element(Num::Float(b), Num::Float(d), t));
                return x.max(y);
            }
            (g, w) => (g.to_f64(), w.to_f64()),
        };
        self.nan = (self.nan.0 + usize::from(g.is_nan()), self.nan.1 + usize::from(w.is_nan()));
        self.inf = (self.inf.0 + usize::from(g.is_infinite()), self.inf.1 + usize::from(w.is_infinite()));
        if g == w || g.is_nan() && w.is_nan() {
            return 0.0;
        }
        let abs = (g - w).abs();
        if !abs.is_finite() {
            return f64::INFINITY;
        }
        self.max_abs = self.max_abs.max(abs);
        let allowed = t.atol + t.rtol * w.abs();
        if allowed == 0.0 { f64::INFINITY } else { abs / allowed }
    }

    /// Whether all is within the tolerance.
    pub fn agrees(&self) -> bool {
        self.problem.is_none() && self.different == 0
    }
}

fn text(n: Num) -> String {
    match n {
        Num::Float(v) => format!("{v:?}"),
        Num::Int(v) => v.to_string(),
        Num::Complex(re, im) => format!("{re:?}{im:+?}i"),
    }
}

/// Index of the `i`-th element in row-major order.
fn index(mut i: usize, shape: &[usize]) -> Vec<usize> {
    let mut out = vec![0; shape.len()];
    for (o, d) in out.iter_mut().zip(shape).rev() {
        *o = i % (*d).max(1);
        i /= (*d).max(1);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use beiming_ir::types::DType;

    #[test]
    fn elements_are_held_against_the_tolerance() {
        let t = Tolerance { rtol: 0.1, atol: 0.0 };
        let want = Tensor::f32(&[2, 2], &[1.0, f32::INFINITY, f32::NAN, -10.0]);
        let same = Difference::of(&Tensor::f32(&[2, 2], &[1.05, f32::INFINITY, f32::NAN, -10.5]), &want, t);
        assert!(same.agrees(), "{same:?}");
        assert_eq!((same.nan, same.inf), ((1, 1), (1, 1)));
        for (got, index) in [
            ([1.2, f32::INFINITY, f32::NAN, -10.0], [0, 0]),
            ([1.0, f32::NEG_INFINITY, f32::NAN, -10.0], [0, 1]),
            ([1.0, f32::INFINITY, 0.0, -10.0], [1, 0]),
            ([1.0, f32::INFINITY, f32::NAN, f32::NAN], [1, 1]),
        ] {
            let d = Difference::of(&Tensor::f32(&[2, 2], &got), &want, t);
            assert_eq!((d.different, d.first.map(|f| f.index)), (1, Some(index.to_vec())), "{got:?}");
        }
    }

    #[test]
    fn integers_must_be_equal_and_shapes_too() {
        let t = Tolerance { rtol: 1.0, atol: 1e9 };
        let d = Difference::of(&Tensor::i64(&[2], &[1, i64::MIN]), &Tensor::i64(&[2], &[1, i64::MAX]), t);
        assert_eq!((d.different, d.agrees()), (1, false));
        let d = Difference::of(&Tensor::f32(&[1], &[0.0]), &Tensor::f32(&[], &[0.0]), t);
        assert!(!d.agrees() && d.problem.is_some());
        let c = |v: &[f64]| Tensor::from_f64(DType::F64, &[v.len()], v);
        assert!(Difference::of(&c(&[]), &c(&[]), t).agrees());
    }
}
