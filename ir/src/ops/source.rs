//! Ops without arguments.

use super::infer::arity;
use super::{InferError, index};
use crate::eval::{Ctx, EvalError};
use crate::graph::{ConstId, Graph};
use crate::tensor::{Num, Tensor};
use crate::types::{DType, Dim, TensorType};

/// Result types; see [`super::infer()`].
pub(super) fn infer_constant(id: ConstId, inputs: &[&TensorType], graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 0)?;
    match graph.consts.get(id.index()) {
        Some(t) => Ok(vec![t.ty()]),
        None => InferError::fail(format!("constant {} does not exist: the graph has {}", id.0, graph.consts.len())),
    }
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_constant(id: ConstId, _args: &[Tensor], ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    match ctx.graph.consts.get(id.index()) {
        Some(t) => Ok(vec![t.clone()]),
        None => EvalError::fail(format!("constant {} does not exist", id.0)),
    }
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_dim_value(dims: &[Dim], inputs: &[&TensorType], _graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 0)?;
    Ok(vec![TensorType::known(DType::I64, &[dims.len()])])
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_dim_value(dims: &[Dim], _args: &[Tensor], ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let values = dims.iter().map(|d| ctx.value(d)).collect::<Result<Vec<_>, _>>()?;
    Ok(vec![Tensor::i64(&[values.len()], &values)])
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_iota(
    dtype: DType,
    shape: &[Dim],
    axis: usize,
    inputs: &[&TensorType],
    _graph: &Graph,
) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 0)?;
    InferError::check(dtype.is_float() || dtype.is_int(), || format!("positions are integers or floats, not {dtype}"))?;
    let ty = TensorType::new(dtype, shape);
    super::infer::check_axis(axis, &ty)?;
    Ok(vec![ty])
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_iota(dtype: DType, shape: &[Dim], axis: usize, _args: &[Tensor], ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let shape = ctx.shape(shape)?;
    let inner = index::strides(&shape)[axis];
    let n = if shape.contains(&0) { 0 } else { shape.iter().product() };
    Ok(vec![index::rounded(dtype, &shape, (0..n).map(|i| Num::Int((i / inner % shape[axis]) as i128)))?])
}

#[cfg(test)]
mod tests {
    use crate::eval;
    use crate::graph::{ConstId, Graph};
    use crate::ops::{Op, infer};
    use crate::tensor::Tensor;
    use crate::types::{DType, Dim};

    fn run(op: &Op, g: &Graph) -> Tensor {
        let dims = [("N".into(), 3)].into_iter().collect();
        eval::op(op, &[], g, &dims).expect("evaluates").remove(0)
    }

    #[test]
    fn constants_come_from_the_table() {
        let mut g = Graph::default();
        g.consts.push(Tensor::i64(&[2], &[5, 6]));
        assert_eq!(run(&Op::Constant(ConstId(0)), &g).to_i64(), [5, 6]);
        let e = infer(&Op::Constant(ConstId(1)), &[], &g).expect_err("no such constant");
        assert_eq!(e.to_string(), "constant: constant 1 does not exist: the graph has 1");
    }

    #[test]
    fn dim_values_follow_the_symbols() {
        let n = Dim::sym("N");
        let op = Op::DimValue { dims: vec![n.clone(), n.clone() * n - 1.into(), 7.into()] };
        assert_eq!(run(&op, &Graph::default()).to_i64(), [3, 8, 7]);
        assert_eq!(run(&Op::DimValue { dims: vec![] }, &Graph::default()).shape, [0]);
        let unknown = Op::DimValue { dims: vec![Dim::sym("K")] };
        assert!(eval::op(&unknown, &[], &Graph::default(), &Default::default()).is_err());
    }

    #[test]
    fn iota_counts_along_its_axis() {
        let (n, two) = (Dim::sym("N"), Dim::from(2));
        let cases: [(DType, Vec<Dim>, usize, &[i64]); 4] = [
            (DType::I64, vec![two.clone(), n.clone()], 0, &[0, 0, 0, 1, 1, 1]),
            (DType::F32, vec![two.clone(), n.clone()], 1, &[0, 1, 2, 0, 1, 2]),
            (DType::U8, vec![two.clone(), two.clone(), two.clone()], 1, &[0, 0, 1, 1, 0, 0, 1, 1]),
            (DType::I32, vec![0.into(), two], 1, &[]),
        ];
        for (dtype, shape, axis, want) in cases {
            let t = run(&Op::Iota { dtype, shape, axis }, &Graph::default());
            assert_eq!((t.dtype, t.to_i64().as_slice()), (dtype, want));
        }
        for (dtype, axis) in [(DType::Bool, 0), (DType::C64, 0), (DType::I64, 1)] {
            assert!(infer(&Op::Iota { dtype, shape: vec![4.into()], axis }, &[], &Graph::default()).is_err());
        }
    }
}
