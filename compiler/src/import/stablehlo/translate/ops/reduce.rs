//! Reductions. A reducer that is a known function becomes a core reduction; others run as regions.

use beiming_ir::ops::{BinaryOp, ReduceOp};
use beiming_ir::types::DType;

use super::super::super::super::build::Build;
use super::super::super::super::fail::{R, bad_arguments, unsupported};
use super::super::super::super::frame::V;
use super::super::super::syntax::Block;
use super::super::cx::Cx;
use super::super::value::Val;
use super::{Row, real};

pub const OPS: &[Row] = &[real("stablehlo.reduce", reduce)];

/// The binary function that a block of two arguments is, where it is one operation on them.
pub fn known_function(block: &Block) -> Option<BinaryOp> {
    let [a, b] = block.args[..] else { return None };
    let [op, ret] = block.ops.as_slice() else { return None };
    let own = op.operands.as_slice() == [a, b] || op.operands.as_slice() == [b, a];
    if !own || ret.operands != op.results {
        return None;
    }
    Some(match &*op.name {
        "stablehlo.add" => BinaryOp::Add,
        "stablehlo.multiply" => BinaryOp::Mul,
        "stablehlo.maximum" => BinaryOp::Max,
        "stablehlo.minimum" => BinaryOp::Min,
        "stablehlo.and" => BinaryOp::And,
        "stablehlo.or" => BinaryOp::Or,
        "stablehlo.xor" => BinaryOp::Xor,
        _ => return None,
    })
}

/// The core reduction by a function on elements of a type.
pub fn reducer(f: BinaryOp, dtype: DType) -> Option<ReduceOp> {
    Some(match (f, dtype == DType::Bool) {
        (BinaryOp::And | BinaryOp::Mul | BinaryOp::Min, true) => ReduceOp::All,
        (BinaryOp::Or | BinaryOp::Add | BinaryOp::Max, true) => ReduceOp::Any,
        (BinaryOp::Add, false) => ReduceOp::Sum,
        (BinaryOp::Mul, false) => ReduceOp::Prod,
        (BinaryOp::Max, false) => ReduceOp::Max,
        (BinaryOp::Min, false) => ReduceOp::Min,
        _ => return None,
    })
}

/// The function that a core reduction repeats.
pub fn step(op: ReduceOp) -> BinaryOp {
    match op {
        ReduceOp::Sum | ReduceOp::Mean => BinaryOp::Add,
        ReduceOp::Prod => BinaryOp::Mul,
        ReduceOp::Max => BinaryOp::Max,
        ReduceOp::Min => BinaryOp::Min,
        ReduceOp::All => BinaryOp::And,
        ReduceOp::Any => BinaryOp::Or,
    }
}

/// True where `init` always holds the value that the reduction starts from anyway.
pub fn is_identity(cx: &Cx<'_, '_>, init: V, op: ReduceOp) -> bool {
    let Some(t) = cx.top().const_of(init) else { return false };
    t.len() == 1 && t.get(0) == op.identity(t.dtype)
}

fn reduce(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let n = cx.args.len() / 2;
    if n == 0 || cx.args.len() % 2 == 1 {
        return bad_arguments("it takes pairs of data and initial values");
    }
    let block = cx.block(0)?;
    let all = cx.plains(0)?;
    let (data, inits) = all.split_at(n);
    let mut axes = cx.axes("dimensions", cx.rank(data[0]))?;
    axes.sort_unstable();
    if let ([x], Some(f)) = (data, known_function(block))
        && let Some(op) = reducer(f, cx.dtype(*x))
    {
        let v = cx.reduce(op, *x, axes, false)?;
        let v = if is_identity(cx, inits[0], op) { v } else { cx.binary(step(op), v, inits[0])? };
        return Ok(vec![Val::Plain(v)]);
    }
    unsupported("its reducer is not a known function")
}
