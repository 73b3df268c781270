//! Scalar arithmetic of kernels: the graph's elementwise functions, with short ways for the commonest types.

use crate::num::round_to;
use crate::ops::elementwise;
use crate::ops::{BinaryOp, UnaryOp};
use crate::tensor::Num;
use crate::types::DType;

/// The type that arithmetic on `d` is done in: `f32` for narrower floats.
fn wide(d: DType) -> DType {
    if d.is_float() && d.size() < 4 { DType::F32 } else { d }
}

/// A function of one argument of type `d`.
pub(super) fn unary(op: UnaryOp, d: DType, a: Num) -> Num {
    let r = elementwise::unary(op, wide(d), a);
    if wide(d) != d && !matches!(op, UnaryOp::IsNan | UnaryOp::IsInf) { round_to(d, r) } else { r }
}

/// A function of two arguments of type `d`.
pub(super) fn binary(op: BinaryOp, d: DType, a: Num, b: Num) -> Num {
    use BinaryOp::*;
    match (d, a, b) {
        (DType::I64, Num::Int(x), Num::Int(y)) => {
            let (x, y) = (x as i64, y as i64);
            match op {
                Add => return Num::Int(x.wrapping_add(y).into()),
                Sub => return Num::Int(x.wrapping_sub(y).into()),
                Mul => return Num::Int(x.wrapping_mul(y).into()),
                Min => return Num::Int(x.min(y).into()),
                Max => return Num::Int(x.max(y).into()),
                Lt => return Num::Int((x < y).into()),
                Le => return Num::Int((x <= y).into()),
                Gt => return Num::Int((x > y).into()),
                Ge => return Num::Int((x >= y).into()),
                Eq => return Num::Int((x == y).into()),
                _ => {}
            }
        }
        // A sum or product of two f32 is the f64 one, rounded: 53 bits are more than twice 24 plus two.
        (DType::F32, Num::Float(x), Num::Float(y)) => match op {
            Add => return Num::Float(f64::from((x + y) as f32)),
            Sub => return Num::Float(f64::from((x - y) as f32)),
            Mul => return Num::Float(f64::from((x * y) as f32)),
            _ => {}
        },
        _ => {}
    }
    let r = elementwise::binary(op, wide(d), a, b);
    if wide(d) != d && !op.is_compare() { round_to(d, r) } else { r }
}

/// `acc + a * b`. The product is exact (f32 and narrower) or fused (f64), and the sum is rounded to `d` once: what a machine's
/// fused multiply-add gives. Narrower accumulators than `f32` add in `f32` first, like all arithmetic on them.
pub(super) fn multiply_add(d: DType, acc: Num, a: Num, b: Num) -> Num {
    match (acc, a, b) {
        (Num::Float(c), Num::Float(a), Num::Float(b)) if d == DType::F32 => Num::Float(f64::from((c + a * b) as f32)),
        (Num::Float(c), Num::Float(a), Num::Float(b)) if d == DType::F64 => Num::Float(a.mul_add(b, c)),
        (Num::Float(c), Num::Float(a), Num::Float(b)) => round_to(d, Num::Float(f64::from((c + a * b) as f32))),
        _ => binary(BinaryOp::Add, d, acc, binary(BinaryOp::Mul, d, a, b)),
    }
}
