//! Tensors out of nothing: constants, ranges, masks, windows.

use beiming_ir::ops::{BinaryOp, Op, UnaryOp};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim};

use super::super::node::{Cx, R, bad_arguments, bad_attribute, unsupported};
use super::super::tensor;
use super::{Row, row};
use crate::import::build::Build;
use crate::import::extents;
use crate::import::frame::V;

pub const OPS: &[Row] = &[
    row("Constant", &[1, 9, 11, 12, 13, 19, 21, 23, 24, 25], 0, constant),
    row("ConstantOfShape", &[9, 20, 21, 23, 24, 25], 1, constant_of_shape),
    row("Range", &[11, 27], 3, range),
    row("EyeLike", &[9, 22], 1, eye_like),
    row("Trilu", &[14], 2, trilu),
    row("HannWindow", &[17], 1, |cx| window(cx, &[0.5, -0.5])),
    row("HammingWindow", &[17], 1, |cx| window(cx, &[25.0 / 46.0, -21.0 / 46.0])),
    row("BlackmanWindow", &[17], 1, |cx| window(cx, &[0.42, -0.5, 0.08])),
];

fn constant(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let floats = |shape: &[usize], v: &[f64]| Tensor::build(DType::F32, shape, |i| Num::Float(v[i]));
    let t = if let Some(a) = cx.attribute("value") {
        match &a.t {
            Some(t) => cx.im.tensor(t)?,
            None => return bad_attribute("attribute `value` holds no tensor"),
        }
    } else if let Some(a) = cx.attribute("sparse_value") {
        match &a.sparse_tensor {
            Some(t) => cx.im.sparse(t)?,
            None => return bad_attribute("attribute `sparse_value` holds no tensor"),
        }
    } else if let Some(v) = cx.int_opt("value_int")? {
        Tensor::i64(&[], &[v])
    } else if let Some(v) = cx.int_list("value_ints")? {
        Tensor::i64(&[v.len()], &v)
    } else if let Some(v) = cx.float_opt("value_float")? {
        floats(&[], &[v])
    } else if let Some(v) = cx.float_list("value_floats")? {
        floats(&[v.len()], &v)
    } else if cx.attribute("value_string").is_some() || cx.attribute("value_strings").is_some() {
        return unsupported("tensors of strings");
    } else {
        return bad_attribute("it has no value");
    };
    Ok(vec![cx.constant(t)])
}

fn constant_of_shape(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let shape = cx.extents(0, |_| (0, i64::MAX))?;
    if let Some(d) = shape.iter().find(|d| d.known().is_some_and(|v| v < 0)) {
        return bad_arguments(format!("its shape holds {d}"));
    }
    let value = match cx.attribute("value").and_then(|a| a.t.as_ref()) {
        Some(t) => cx.im.tensor(t)?,
        None => Tensor::scalar(DType::F32, Num::Float(0.0)),
    };
    let Some(value) = value.reshaped(&[]) else { return bad_attribute("attribute `value` must hold one element") };
    let v = cx.constant(value);
    Ok(vec![cx.broadcast(v, shape)?])
}

fn range(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (start, delta) = (cx.input(0)?, cx.input(2)?);
    let dtype = cx.dtype(start);
    let whole = (0..3).all(|i| cx.opt(i).is_some_and(|v| cx.im.top().dims_of(v).is_some()));
    let count = if whole {
        let (s, limit, d) = (cx.dim(0)?, cx.dim(1)?, cx.dim(2)?);
        let distance = limit - s;
        let n = match d.known() {
            Some(0) => return bad_arguments("its delta is 0"),
            Some(k) if k > 0 => distance.ceil_div(&d),
            Some(k) => (Dim::Known(0) - distance).ceil_div(&Dim::Known(k.saturating_neg())),
            None => return unsupported("a delta that depends on the shapes of the inputs"),
        };
        cx.max_dim(&n, &0.into())
    } else if (0..3).any(|i| cx.opt(i).is_some_and(|v| cx.const_of(v).is_none())) {
        let n = steps_between(cx)?;
        extents::read_one(cx, n, 0, i64::MAX)?
    } else {
        let one = |i: usize| -> R<f64> {
            match cx.floats_in(i)?.as_slice() {
                [v] => Ok(*v),
                v => bad_arguments(format!("its input {i} must hold one element, not {}", v.len())),
            }
        };
        let n = ((one(1)? - one(0)?) / one(2)?).ceil();
        if !n.is_finite() || n > (1u64 << 40) as f64 {
            return bad_arguments("its number of elements is not a sensible number");
        }
        Dim::Known(n.max(0.0) as i64)
    };
    let (start, delta) = (cx.reshape(start, vec![])?, cx.reshape(delta, vec![])?);
    let mut y = cx.emit(Op::Iota { dtype, shape: vec![count], axis: 0 }, &[])?;
    let is = |cx: &Cx<'_, '_>, v: V, x: f64| cx.const_of(v).is_some_and(|t| t.to_f64() == [x]);
    if !is(cx, delta, 1.0) {
        y = cx.binary(BinaryOp::Mul, y, delta)?;
    }
    if !is(cx, start, 0.0) {
        y = cx.binary(BinaryOp::Add, y, start)?;
    }
    Ok(vec![y])
}

/// How many numbers there are from input 0 on before input 1, in steps of input 2: computed by the run. Where the step is nought the
/// number is negative, which the run refuses.
fn steps_between(cx: &mut Cx<'_, '_>) -> R {
    let mut v = vec![];
    for i in 0..3 {
        let x = cx.input(i)?;
        v.push(cx.reshape(x, vec![])?);
    }
    let wide = if cx.dtype(v[0]).is_float() { DType::F64 } else { DType::I64 };
    for x in &mut v {
        *x = cx.cast(*x, wide)?;
    }
    let (distance, delta) = (cx.binary(BinaryOp::Sub, v[1], v[0])?, v[2]);
    let count = if wide == DType::F64 {
        let n = cx.binary(BinaryOp::Div, distance, delta)?;
        let n = cx.unary(UnaryOp::Ceil, n)?;
        cx.cast(n, DType::I64)?
    } else {
        // Rounded up, for steps of either sign.
        let (size, sign) = (cx.unary(UnaryOp::Abs, delta)?, cx.unary(UnaryOp::Sign, delta)?);
        let there = cx.binary(BinaryOp::Mul, distance, sign)?;
        let there = cx.binary(BinaryOp::Add, there, size)?;
        let there = cx.with(BinaryOp::Sub, there, 1.0)?;
        cx.binary(BinaryOp::Div, there, size)?
    };
    let count = cx.with(BinaryOp::Max, count, 0.0)?;
    let still = cx.with(BinaryOp::Eq, delta, 0.0)?;
    let none = cx.scalar(DType::I64, -1.0);
    cx.select(still, none, count)
}

/// `column - row` of the last two axes, in `i64[rows, columns]`.
fn diagonal(cx: &mut Cx<'_, '_>, rows: &Dim, columns: &Dim) -> R {
    let r = cx.emit(Op::Iota { dtype: DType::I64, shape: vec![rows.clone(), 1.into()], axis: 0 }, &[])?;
    let c = cx.emit(Op::Iota { dtype: DType::I64, shape: vec![1.into(), columns.clone()], axis: 1 }, &[])?;
    cx.binary(BinaryOp::Sub, c, r)
}

fn eye_like(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let [rows, columns] = cx.shape(x).try_into().or_else(|_| bad_arguments("its data must be a matrix"))?;
    let dtype = match cx.int_opt("dtype")? {
        Some(code) => tensor::dtype(i32::try_from(code).unwrap_or(-1))?,
        None => cx.dtype(x),
    };
    let k = cx.int("k", 0)?;
    let d = diagonal(cx, &rows, &columns)?;
    let k = cx.dim_scalar(k.into());
    let hit = cx.binary(BinaryOp::Eq, d, k)?;
    Ok(vec![cx.cast(hit, dtype)?])
}

fn trilu(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let shape = cx.shape(x);
    let [.., rows, columns] = shape.as_slice() else { return bad_arguments("its data must have rank 2 or more") };
    let k = match cx.opt(1) {
        Some(k) => {
            let k = cx.cast(k, DType::I64)?;
            cx.reshape(k, vec![])?
        }
        None => cx.dim_scalar(0.into()),
    };
    let d = diagonal(cx, rows, columns)?;
    let op = if cx.flag("upper", true)? { BinaryOp::Ge } else { BinaryOp::Le };
    let kept = cx.binary(op, d, k)?;
    let zero = cx.scalar_like(x, 0.0);
    Ok(vec![cx.select(kept, x, zero)?])
}

/// A sum of cosines `c[0] + c[1] cos(2 pi n / N) + c[2] cos(4 pi n / N)`.
fn window(cx: &mut Cx<'_, '_>, c: &[f64]) -> R<Vec<V>> {
    let dtype = tensor::dtype(i32::try_from(cx.int("output_datatype", 1)?).unwrap_or(-1))?;
    let size = cx.dim(0)?;
    let period = if cx.flag("periodic", true)? { size.clone() } else { size.clone() - 1.into() };
    let wide = if dtype == DType::F64 { dtype } else { DType::F32 };
    let n = cx.emit(Op::Iota { dtype: wide, shape: vec![size], axis: 0 }, &[])?;
    let period = cx.dim_scalar(period);
    let period = cx.cast(period, wide)?;
    let angle = cx.with(BinaryOp::Mul, n, std::f64::consts::TAU)?;
    let angle = cx.binary(BinaryOp::Div, angle, period)?;
    let mut y = cx.scalar(wide, c[0]);
    for (k, c) in c.iter().enumerate().skip(1) {
        let t = cx.with(BinaryOp::Mul, angle, k as f64)?;
        let t = cx.unary(UnaryOp::Cos, t)?;
        let t = cx.with(BinaryOp::Mul, t, *c)?;
        y = cx.binary(BinaryOp::Add, y, t)?;
    }
    Ok(vec![cx.cast(y, dtype)?])
}
