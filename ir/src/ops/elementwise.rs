//! Elementwise operations: the scalar functions shared by graphs and kernels.

mod scalar;

use serde::{Deserialize, Serialize};

pub use self::scalar::{binary, bitcast, cast, unary};
pub(crate) use self::scalar::{max, min};
use super::InferError;
#[cfg(doc)]
use super::Op;
use super::infer::{arity, broadcast_shapes};
use super::walk::{broadcast_known, broadcast_strides, rows};
use crate::eval::EvalError;
use crate::graph::Graph;
use crate::tensor::Tensor;
use crate::types::{DType, TensorType};

/// Scalar functions of one argument. On floats unless said otherwise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum UnaryOp {
    /// Floats and signed integers.
    Neg,
    /// Floats and integers.
    Abs,
    /// -1, 0 or 1 of floats and integers; NaN stays.
    Sign,
    Exp,
    Expm1,
    Log,
    Log1p,
    Sqrt,
    /// `1 / sqrt(x)`.
    Rsqrt,
    /// `1 / x`.
    Recip,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Asinh,
    Acosh,
    Atanh,
    Cbrt,
    Erf,
    /// `1 - erf(x)`, to all digits also where that is tiny.
    Erfc,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    Floor,
    Ceil,
    /// Nearest, ties to even.
    Round,
    /// Nearest, ties away from zero.
    RoundAway,
    /// Towards zero.
    Trunc,
    IsNan,
    IsInf,
    /// `bool` to `bool`.
    Not,
    /// Bits of an integer.
    BitNot,
    /// Number of ones among the bits of an integer.
    Popcount,
    /// Number of zeros above the highest one of an integer; all its bits for zero.
    LeadingZeros,
}

/// Scalar functions of two arguments.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    /// Integers truncate towards zero; division by zero gives zero, `MIN / -1` wraps: no trap.
    Div,
    /// NaN if either is NaN. `bool`: or / and.
    Max,
    Min,
    Pow,
    /// Remainder with the sign of the divisor (floor). Integer remainder by zero is zero.
    Mod,
    /// Remainder with the sign of the dividend (C `fmod`). Integer remainder by zero is zero.
    Rem,
    Atan2,
    // Comparisons: `bool`.
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    /// Logic on `bool`, bits on integers.
    And,
    Or,
    Xor,
    /// Shifts by the bit width or more give zero (or the sign).
    Shl,
    Shr,
}

impl UnaryOp {
    /// Every function.
    pub const ALL: [UnaryOp; 37] = {
        use UnaryOp::*;
        [
            Neg,
            Abs,
            Sign,
            Exp,
            Expm1,
            Log,
            Log1p,
            Sqrt,
            Rsqrt,
            Recip,
            Sin,
            Cos,
            Tan,
            Asin,
            Acos,
            Atan,
            Sinh,
            Cosh,
            Tanh,
            Asinh,
            Acosh,
            Atanh,
            Cbrt,
            Erf,
            Erfc,
            Sigmoid,
            Floor,
            Ceil,
            Round,
            RoundAway,
            Trunc,
            IsNan,
            IsInf,
            Not,
            BitNot,
            Popcount,
            LeadingZeros,
        ]
    };

    /// Name in the text form.
    pub fn name(self) -> &'static str {
        use UnaryOp::*;
        match self {
            Neg => "neg",
            Abs => "abs",
            Sign => "sign",
            Exp => "exp",
            Expm1 => "expm1",
            Log => "log",
            Log1p => "log1p",
            Sqrt => "sqrt",
            Rsqrt => "rsqrt",
            Recip => "recip",
            Sin => "sin",
            Cos => "cos",
            Tan => "tan",
            Asin => "asin",
            Acos => "acos",
            Atan => "atan",
            Sinh => "sinh",
            Cosh => "cosh",
            Tanh => "tanh",
            Asinh => "asinh",
            Acosh => "acosh",
            Atanh => "atanh",
            Cbrt => "cbrt",
            Erf => "erf",
            Erfc => "erfc",
            Sigmoid => "sigmoid",
            Floor => "floor",
            Ceil => "ceil",
            Round => "round",
            RoundAway => "round_away",
            Trunc => "trunc",
            IsNan => "is_nan",
            IsInf => "is_inf",
            Not => "not",
            BitNot => "bit_not",
            Popcount => "popcount",
            LeadingZeros => "leading_zeros",
        }
    }

    /// Element type of the result for an argument of type `t`; `None` where the op does not take `t`.
    pub fn result(self, t: DType) -> Option<DType> {
        use UnaryOp::*;
        let (takes, gives) = match self {
            Neg => (t.is_float() || t.is_signed_int() || t.is_complex(), t),
            Abs | Sign => (t.is_float() || t.is_int(), t),
            IsNan | IsInf => (t.is_float(), DType::Bool),
            Not => (t == DType::Bool, t),
            BitNot | Popcount | LeadingZeros => (t.is_int(), t),
            _ => (t.is_float(), t),
        };
        takes.then_some(gives)
    }
}

impl BinaryOp {
    /// Every function.
    pub const ALL: [BinaryOp; 21] = {
        use BinaryOp::*;
        [Add, Sub, Mul, Div, Max, Min, Pow, Mod, Rem, Atan2, Eq, Ne, Lt, Le, Gt, Ge, And, Or, Xor, Shl, Shr]
    };

    /// Name in the text form.
    pub fn name(self) -> &'static str {
        use BinaryOp::*;
        match self {
            Add => "add",
            Sub => "sub",
            Mul => "mul",
            Div => "div",
            Max => "max",
            Min => "min",
            Pow => "pow",
            Mod => "mod",
            Rem => "rem",
            Atan2 => "atan2",
            Eq => "eq",
            Ne => "ne",
            Lt => "lt",
            Le => "le",
            Gt => "gt",
            Ge => "ge",
            And => "and",
            Or => "or",
            Xor => "xor",
            Shl => "shl",
            Shr => "shr",
        }
    }

    /// Element type of the result for two arguments of type `t`; `None` where the op does not take `t`.
    pub fn result(self, t: DType) -> Option<DType> {
        use BinaryOp::*;
        let (number, bool) = (t.is_float() || t.is_int(), t == DType::Bool);
        let takes = match self {
            Add | Sub | Mul | Div => number || t.is_complex(),
            Max | Min | Lt | Le | Gt | Ge => number || bool,
            Pow | Mod | Rem => number,
            Atan2 => t.is_float(),
            Eq | Ne => true,
            And | Or | Xor => t.is_int() || bool,
            Shl | Shr => t.is_int(),
        };
        takes.then_some(if self.is_compare() { DType::Bool } else { t })
    }

    /// Gives `bool` from two values of another type.
    pub fn is_compare(self) -> bool {
        use BinaryOp::*;
        matches!(self, Eq | Ne | Lt | Le | Gt | Ge)
    }
}

/// Result type of [`Op::Unary`].
pub(super) fn infer_unary(op: UnaryOp, inputs: &[&TensorType]) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 1)?;
    let t = inputs[0];
    let Some(dtype) = op.result(t.dtype) else {
        return InferError::fail(format!("does not take {}; it takes {}", t.dtype, taken(|d| op.result(d))));
    };
    Ok(vec![TensorType { dtype, shape: t.shape.clone() }])
}

/// Result type of [`Op::Binary`].
pub(super) fn infer_binary(op: BinaryOp, inputs: &[&TensorType], g: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 2)?;
    let (a, b) = (inputs[0], inputs[1]);
    same_dtype(a, b)?;
    let Some(dtype) = op.result(a.dtype) else {
        return InferError::fail(format!("does not take {}; it takes {}", a.dtype, taken(|d| op.result(d))));
    };
    Ok(vec![TensorType { dtype, shape: broadcast_shapes(&a.shape, &b.shape, &g.symbols)? }])
}

/// Result type of [`Op::Select`].
pub(super) fn infer_select(inputs: &[&TensorType], g: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 3)?;
    let (c, a, b) = (inputs[0], inputs[1], inputs[2]);
    InferError::check(c.dtype == DType::Bool, || format!("the condition must be bool, got {c}"))?;
    same_dtype(a, b)?;
    let both = broadcast_shapes(&a.shape, &b.shape, &g.symbols)?;
    Ok(vec![TensorType { dtype: a.dtype, shape: broadcast_shapes(&c.shape, &both, &g.symbols)? }])
}

/// Result type of [`Op::Cast`].
pub(super) fn infer_cast(to: DType, inputs: &[&TensorType]) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 1)?;
    Ok(vec![TensorType { dtype: to, shape: inputs[0].shape.clone() }])
}

/// Result type of [`Op::Bitcast`].
pub(super) fn infer_bitcast(to: DType, inputs: &[&TensorType]) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 1)?;
    let t = inputs[0];
    InferError::check(t.dtype.bits() == to.bits() && t.dtype.is_complex() == to.is_complex(), || {
        format!("{} has {} bits, {to} has {}", t.dtype, t.dtype.bits(), to.bits())
    })?;
    Ok(vec![TensorType { dtype: to, shape: t.shape.clone() }])
}

fn same_dtype(a: &TensorType, b: &TensorType) -> Result<(), InferError> {
    InferError::check(a.dtype == b.dtype, || format!("arguments must have one element type, got {a} and {b}"))
}

/// The element types `result` has an answer for, for a message.
fn taken(result: impl Fn(DType) -> Option<DType>) -> String {
    let names: Vec<&str> = DType::ALL.into_iter().filter(|d| result(*d).is_some()).map(DType::name).collect();
    names.join(", ")
}

/// Result of [`Op::Unary`].
pub(crate) fn eval_unary(op: UnaryOp, args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    let [x] = args else { return EvalError::fail("takes 1 argument") };
    let Some(dtype) = op.result(x.dtype) else { return EvalError::fail(format!("does not take {}", x.dtype)) };
    if x.dtype.is_float() && dtype == x.dtype {
        let f = scalar::float_unary(op);
        let mut v = x.to_f64();
        v.iter_mut().for_each(|e| *e = f(*e));
        return Ok(vec![Tensor::from_f64(dtype, &x.shape, &v)]);
    }
    Ok(vec![Tensor::build(dtype, &x.shape, |i| unary(op, x.dtype, x.get(i)))])
}

/// Result of [`Op::Binary`].
pub(crate) fn eval_binary(op: BinaryOp, args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    let [a, b] = args else { return EvalError::fail("takes 2 arguments") };
    let Some(dtype) = op.result(a.dtype).filter(|_| a.dtype == b.dtype) else {
        return EvalError::fail(format!("does not take {} and {}", a.dtype, b.dtype));
    };
    let shape = broadcast_of(&a.shape, &b.shape)?;
    let (sa, sb) = (broadcast_strides(&a.shape, &shape), broadcast_strides(&b.shape, &shape));
    let n = shape.iter().product();
    let float = a.dtype.is_float();
    let (x, y) = if float { (a.to_f64(), b.to_f64()) } else { (vec![], vec![]) };
    if float && !op.is_compare() {
        let f = scalar::float_binary(op);
        let mut out = Vec::with_capacity(n);
        rows(&shape, [&sa, &sb], |at, step, n| out.extend((0..n).map(|i| f(x[at[0] + i * step[0]], y[at[1] + i * step[1]]))));
        return Ok(vec![Tensor::from_f64(dtype, &shape, &out)]);
    }
    let mut bytes = Vec::with_capacity(n * dtype.size());
    if float {
        let f = scalar::float_compare(op);
        rows(&shape, [&sa, &sb], |at, step, n| {
            bytes.extend((0..n).map(|i| u8::from(f(x[at[0] + i * step[0]], y[at[1] + i * step[1]]))));
        });
    } else {
        rows(&shape, [&sa, &sb], |at, step, n| {
            for i in 0..n {
                let v = binary(op, a.dtype, a.get(at[0] + i * step[0]), b.get(at[1] + i * step[1]));
                crate::num::encode(dtype, v, &mut bytes);
            }
        });
    }
    Ok(vec![Tensor { dtype, shape, data: bytes.into() }])
}

/// Result of [`Op::Select`]: elements are moved as they are.
pub(crate) fn eval_select(args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    let [c, a, b] = args else { return EvalError::fail("takes 3 arguments") };
    if c.dtype != DType::Bool || a.dtype != b.dtype {
        return EvalError::fail(format!("takes bool and two of one type, got {}, {} and {}", c.dtype, a.dtype, b.dtype));
    }
    let shape = broadcast_of(&c.shape, &broadcast_of(&a.shape, &b.shape)?)?;
    let strides = [c, a, b].map(|t| broadcast_strides(&t.shape, &shape));
    let size = a.dtype.size();
    let (cond, x, y) = (c.bytes(), a.bytes(), b.bytes());
    let mut out = Vec::with_capacity(shape.iter().product::<usize>() * size);
    rows(&shape, [&strides[0], &strides[1], &strides[2]], |at, step, n| {
        for i in 0..n {
            let p = |t: usize| at[t] + i * step[t];
            let (from, k) = if cond[p(0)] != 0 { (x, p(1)) } else { (y, p(2)) };
            out.extend_from_slice(&from[k * size..(k + 1) * size]);
        }
    });
    Ok(vec![Tensor { dtype: a.dtype, shape, data: out.into() }])
}

/// Result of [`Op::Cast`].
pub(crate) fn eval_cast(to: DType, args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    let [x] = args else { return EvalError::fail("takes 1 argument") };
    if to == x.dtype {
        return Ok(vec![x.clone()]);
    }
    if x.dtype.is_float() && to.is_float() {
        return Ok(vec![Tensor::from_f64(to, &x.shape, &x.to_f64())]);
    }
    Ok(vec![Tensor::build(to, &x.shape, |i| cast(to, x.get(i)))])
}

/// Result of [`Op::Bitcast`].
pub(crate) fn eval_bitcast(to: DType, args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    let [x] = args else { return EvalError::fail("takes 1 argument") };
    if to.bits() >= 8 {
        return Tensor::new(to, x.shape.clone(), x.data.clone())
            .map_or_else(|| EvalError::fail(format!("{} and {to} differ in size", x.dtype)), |t| Ok(vec![t]));
    }
    let mut bytes = x.bytes().to_vec();
    bytes.chunks_exact_mut(1).for_each(|b| scalar::rebits(to, b));
    Ok(vec![Tensor { dtype: to, shape: x.shape.clone(), data: bytes.into() }])
}

fn broadcast_of(a: &[usize], b: &[usize]) -> Result<Vec<usize>, EvalError> {
    broadcast_known(a, b).ok_or_else(|| EvalError(format!("shapes {a:?} and {b:?} do not broadcast")))
}

#[cfg(test)]
mod tests;
