//! Shorthand for the tests of op families.

use super::{Op, infer};
use crate::eval::{self, Dims};
use crate::graph::Graph;
use crate::tensor::{Num, Tensor};
use crate::types::{DType, Dim, Symbols, TensorType};

/// A type from its text, for example `f32[2, N]`.
pub fn ty(s: &str) -> TensorType {
    let (dtype, shape) = s.strip_suffix(']').and_then(|s| s.split_once('[')).expect("a type is written dtype[extents]");
    let dims = shape.split(',').map(str::trim).filter(|d| !d.is_empty());
    TensorType::new(dtype.parse::<DType>().expect("an element type"), dims.map(dim).collect::<Vec<_>>())
}

/// A dimension from its text.
pub fn dim(s: &str) -> Dim {
    s.parse().expect("a dimension")
}

/// Dimensions from their texts.
pub fn dims(s: &[&str]) -> Vec<Dim> {
    s.iter().map(|d| dim(d)).collect()
}

/// A graph without nodes in which `N` is 1..=64 and `M` is 0..=8.
pub fn graph() -> Graph {
    let mut symbols = Symbols::default();
    symbols.declare("N", 1, 64);
    symbols.declare("M", 0, 8);
    Graph::new("test", symbols)
}

/// Result types as text, or the message of the error.
pub fn types(op: &Op, inputs: &[&str]) -> Result<Vec<String>, String> {
    let inputs: Vec<TensorType> = inputs.iter().map(|s| ty(s)).collect();
    let found = infer(op, &inputs.iter().collect::<Vec<_>>(), &graph()).map_err(|e| e.message)?;
    Ok(found.iter().map(TensorType::to_string).collect())
}

/// Results for concrete arguments.
pub fn run(op: &Op, args: &[Tensor]) -> Vec<Tensor> {
    try_run(op, args).expect("the op evaluates")
}

/// Results for concrete arguments, or the message of the error.
pub fn try_run(op: &Op, args: &[Tensor]) -> Result<Vec<Tensor>, String> {
    eval::op(op, args, &graph(), &Dims::new()).map_err(|e| e.0)
}

/// The numbers 0, 1, .. as a tensor.
pub fn count(dtype: DType, shape: &[usize]) -> Tensor {
    Tensor::build(dtype, shape, |i| Num::Int(i as i128))
}

/// A tensor of integers of any type.
pub fn ints(dtype: DType, shape: &[usize], v: &[i64]) -> Tensor {
    assert_eq!(shape.iter().product::<usize>(), v.len());
    Tensor::build(dtype, shape, |i| Num::Int(v[i].into()))
}

/// Asserts equal shape and values that differ by at most `tolerance`, NaN equal to NaN.
pub fn assert_close(what: &str, got: &Tensor, shape: &[usize], want: &[f64], tolerance: f64) {
    assert_eq!(got.shape, shape, "{what}");
    let got = got.to_f64();
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (a, b)) in got.iter().zip(want).enumerate() {
        let same = a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance;
        assert!(same, "{what}: element {i} is {a}, expected {b}");
    }
}
