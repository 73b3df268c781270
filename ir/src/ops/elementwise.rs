//! Elementwise operations: the scalar functions shared by graphs and kernels.

use serde::{Deserialize, Serialize};

use super::InferError;
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
    Erf,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    Floor,
    Ceil,
    /// Nearest, ties to even.
    Round,
    /// Towards zero.
    Trunc,
    IsNan,
    IsInf,
    /// `bool` to `bool`.
    Not,
    /// Bits of an integer.
    BitNot,
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
    pub const ALL: [UnaryOp; 32] = {
        use UnaryOp::*;
        [
            Neg, Abs, Sign, Exp, Expm1, Log, Log1p, Sqrt, Rsqrt, Recip, Sin, Cos, Tan, Asin, Acos, Atan, Sinh, Cosh, Tanh, Asinh,
            Acosh, Atanh, Erf, Sigmoid, Floor, Ceil, Round, Trunc, IsNan, IsInf, Not, BitNot,
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
            Erf => "erf",
            Sigmoid => "sigmoid",
            Floor => "floor",
            Ceil => "ceil",
            Round => "round",
            Trunc => "trunc",
            IsNan => "is_nan",
            IsInf => "is_inf",
            Not => "not",
            BitNot => "bit_not",
        }
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

    /// Gives `bool` from two values of another type.
    pub fn is_compare(self) -> bool {
        use BinaryOp::*;
        matches!(self, Eq | Ne | Lt | Le | Gt | Ge)
    }
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_unary(_op: UnaryOp, _inputs: &[&TensorType]) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_unary(_op: UnaryOp, _args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_binary(_op: BinaryOp, _inputs: &[&TensorType], _g: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_binary(_op: BinaryOp, _args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_select(_inputs: &[&TensorType], _g: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_select(_args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_cast(_to: DType, _inputs: &[&TensorType]) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_cast(_to: DType, _args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_bitcast(_to: DType, _inputs: &[&TensorType]) -> Result<Vec<TensorType>, InferError> {
    InferError::fail("not written yet")
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_bitcast(_to: DType, _args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    EvalError::fail("not written yet")
}
