//! Recurrent layers. Shapes: T steps, B batch, I input size, H hidden size, D directions (1 or 2).

mod eval;
#[cfg(test)]
mod tests;
use serde::{Deserialize, Serialize};

use super::infer::{ShapeText, arity};
use super::{InferError, Real, unify_extent};
use crate::graph::Graph;
use crate::types::{DType, Dim, TensorType};

pub(crate) use eval::{eval_gru, eval_lstm};

/// Order of the steps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Direction {
    Forward,
    Reverse,
    Bidirectional,
}

/// `(x [T,B,I], w [D,4H,I], r [D,4H,H], bias [D,8H], lens i32[B], h0 [D,B,H], c0 [D,B,H], peephole [D,3H])
/// -> (y [T,D,B,H], h [D,B,H], c [D,B,H])`. Gate order i, o, f, c. All arguments are present (zeros where the model has none).
/// Activations are sigmoid, tanh, tanh. Steps at or past `lens[b]` give zeros and leave the state.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Lstm {
    /// Order of steps.
    pub direction: Direction,
    /// Hidden size H.
    pub hidden: usize,
    /// Bound of the gate inputs before the activations; none if absent.
    pub clip: Option<Real>,
    /// The forget gate is one minus the input gate.
    pub input_forget: bool,
}

/// `(x [T,B,I], w [D,3H,I], r [D,3H,H], bias [D,6H], lens i32[B], h0 [D,B,H]) -> (y [T,D,B,H], h [D,B,H])`.
/// Gate order z, r, h. Activations are sigmoid, tanh.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Gru {
    /// Order of steps.
    pub direction: Direction,
    /// Hidden size H.
    pub hidden: usize,
    /// Bound of the gate inputs before the activations.
    pub clip: Option<Real>,
    /// Apply the reset gate after the recurrent product (ONNX `linear_before_reset`).
    pub linear_before_reset: bool,
}

impl Direction {
    /// Number of directions D.
    pub fn count(self) -> usize {
        if self == Direction::Bidirectional { 2 } else { 1 }
    }
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_lstm(p: &Lstm, inputs: &[&TensorType], graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 8)?;
    let (y, state) = infer_layer(p.direction, p.hidden, 4, p.clip, inputs, graph)?;
    check("c0", inputs[6], state.dtype, &state.shape, graph)?;
    check("peephole", inputs[7], state.dtype, &[p.direction.count().into(), times(3, p.hidden)], graph)?;
    Ok(vec![y, state.clone(), state])
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_gru(p: &Gru, inputs: &[&TensorType], graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 6)?;
    let (y, state) = infer_layer(p.direction, p.hidden, 3, p.clip, inputs, graph)?;
    Ok(vec![y, state])
}

/// Checks the arguments up to `h0`, and gives the types of `y` and of a state.
fn infer_layer(
    direction: Direction,
    hidden: usize,
    gates: i64,
    clip: Option<Real>,
    inputs: &[&TensorType],
    graph: &Graph,
) -> Result<(TensorType, TensorType), InferError> {
    let x = inputs[0];
    let [steps, batch, size] = x.shape.as_slice() else {
        return InferError::fail(format!("x must be [T, B, I], got {x}"));
    };
    let dtype = x.dtype;
    InferError::check(dtype.is_float(), || format!("x must be of a float type, got {x}"))?;
    InferError::check(hidden > 0, || "the hidden size is zero".into())?;
    InferError::check(clip.is_none_or(|c| c.get() > 0.0), || format!("clip must be positive, got {clip:?}"))?;
    let (d, h) = (Dim::from(direction.count()), Dim::from(hidden));
    let state = [d.clone(), batch.clone(), h.clone()];
    check("w", inputs[1], dtype, &[d.clone(), times(gates, hidden), size.clone()], graph)?;
    check("r", inputs[2], dtype, &[d.clone(), times(gates, hidden), h.clone()], graph)?;
    check("bias", inputs[3], dtype, &[d.clone(), times(2 * gates, hidden)], graph)?;
    check("lens", inputs[4], DType::I32, std::slice::from_ref(batch), graph)?;
    check("h0", inputs[5], dtype, &state, graph)?;
    let y = TensorType::new(dtype, [steps.clone(), d, batch.clone(), h]);
    Ok((y, TensorType::new(dtype, state)))
}

fn times(n: i64, hidden: usize) -> Dim {
    Dim::from(n) * Dim::from(hidden)
}

fn check(name: &str, got: &TensorType, dtype: DType, shape: &[Dim], graph: &Graph) -> Result<(), InferError> {
    let fits = got.dtype == dtype
        && got.rank() == shape.len()
        && got.shape.iter().zip(shape).all(|(a, b)| unify_extent(a, b, &graph.symbols).is_ok());
    InferError::check(fits, || format!("{name} must be {dtype}{}, got {got}", ShapeText(shape)))
}
