//! When two tensors agree.

use beiming_ir::tensor::{Num, Tensor};

/// Allowed difference of floats: absolute, and relative to the expected value.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Absolute.
    pub absolute: f64,
    /// Relative.
    pub relative: f64,
}

impl Tolerance {
    /// What real models in f32 are held to.
    pub const MODEL: Tolerance = Tolerance { absolute: 1e-4, relative: 1e-3 };
}

/// Compares lists of outputs; the error names the first element that differs. Floats agree within the tolerance, infinities
/// and NaNs with themselves only; everything else must be equal.
pub fn tensors(want: &[Tensor], got: &[Tensor], t: Tolerance) -> Result<(), String> {
    if want.len() != got.len() {
        return Err(format!("{} outputs, should be {}", got.len(), want.len()));
    }
    want.iter().zip(got).enumerate().try_for_each(|(i, (w, g))| tensor(w, g, t).map_err(|e| format!("output {i}: {e}")))
}

fn tensor(want: &Tensor, got: &Tensor, t: Tolerance) -> Result<(), String> {
    if (want.dtype, &want.shape) != (got.dtype, &got.shape) {
        return Err(format!("is {}, should be {}", got.ty(), want.ty()));
    }
    for i in 0..want.len() {
        let (w, g) = (want.get(i), got.get(i));
        let ok = match (w, g) {
            (Num::Float(w), Num::Float(g)) => {
                w == g || (w.is_nan() && g.is_nan()) || (w.is_finite() && (w - g).abs() <= t.absolute + t.relative * w.abs())
            }
            _ => w == g,
        };
        if !ok {
            return Err(format!("element {i} of {} is {g:?}, should be {w:?}", want.ty()));
        }
    }
    Ok(())
}

/// Largest `|a-b| / (absolute + relative * |b|)` of two lists of outputs that agree in shape; at most 1 where they agree.
pub fn largest_error(want: &[Tensor], got: &[Tensor], t: Tolerance) -> f64 {
    let pairs = want.iter().zip(got).flat_map(|(w, g)| w.to_f64().into_iter().zip(g.to_f64()));
    pairs.map(|(w, g)| (w - g).abs() / (t.absolute + t.relative * w.abs())).filter(|e| !e.is_nan()).fold(0.0, f64::max)
}
