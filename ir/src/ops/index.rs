//! Row-major positions and buffers: what the evaluators of data movement share.

use crate::eval::EvalError;
use crate::tensor::{Num, Tensor, numel};
use crate::types::DType;

pub(super) use super::walk::dense_strides as strides;

/// Calls `f` with every position of `shape` in row-major order.
pub(super) fn for_each(shape: &[usize], mut f: impl FnMut(&[usize]) -> Result<(), EvalError>) -> Result<(), EvalError> {
    if shape.contains(&0) {
        return Ok(());
    }
    let mut at = vec![0; shape.len()];
    loop {
        f(&at)?;
        let mut axis = shape.len();
        loop {
            if axis == 0 {
                return Ok(());
            }
            axis -= 1;
            at[axis] += 1;
            if at[axis] < shape[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
}

/// Position in row-major order of `at` under `strides`.
pub(super) fn flat(at: &[usize], strides: &[usize]) -> usize {
    at.iter().zip(strides).map(|(i, s)| i * s).sum()
}

/// Room for the bytes of a tensor, still empty; an error where memory does not suffice.
pub(super) fn buffer(dtype: DType, shape: &[usize]) -> Result<Vec<u8>, EvalError> {
    room(shape, dtype.size())
}

/// Zero bytes for a tensor; an error where memory does not suffice.
pub(super) fn zeroed(dtype: DType, shape: &[usize]) -> Result<Vec<u8>, EvalError> {
    let mut v = buffer(dtype, shape)?;
    v.resize(count(shape) * dtype.size(), 0);
    Ok(v)
}

/// Zeros to compute a tensor in; an error where memory does not suffice.
pub(super) fn zeros(shape: &[usize]) -> Result<Vec<f64>, EvalError> {
    let mut v = room(shape, 1)?;
    v.resize(count(shape), 0.0);
    Ok(v)
}

/// Number of elements of a shape for which `room` was found, so that the product does not overflow.
fn count(shape: &[usize]) -> usize {
    numel(shape).unwrap_or(0)
}

fn room<T>(shape: &[usize], each: usize) -> Result<Vec<T>, EvalError> {
    let mut v = Vec::new();
    match numel(shape).and_then(|n| n.checked_mul(each)) {
        Some(n) if v.try_reserve_exact(n).is_ok() => Ok(v),
        _ => EvalError::fail(format!("no memory for a result of shape {shape:?}")),
    }
}

/// A tensor of numbers, each rounded to `dtype`.
pub(super) fn rounded(dtype: DType, shape: &[usize], values: impl Iterator<Item = Num>) -> Result<Tensor, EvalError> {
    let mut bytes = buffer(dtype, shape)?;
    values.for_each(|v| crate::num::encode(dtype, v, &mut bytes));
    tensor(dtype, shape, bytes)
}

/// A tensor of bytes that have been filled in.
pub(super) fn tensor(dtype: DType, shape: &[usize], bytes: Vec<u8>) -> Result<Tensor, EvalError> {
    Tensor::new(dtype, shape.to_vec(), bytes.into())
        .ok_or_else(|| EvalError(format!("a result of shape {shape:?} of {dtype} got a wrong number of bytes")))
}
