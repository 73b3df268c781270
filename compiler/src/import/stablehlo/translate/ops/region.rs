//! Scalar functions: reducers, comparators and combiners as regions of core ops, and those that are known.

use beiming_ir::graph::RegionId;
use beiming_ir::ops::{BinaryOp, ReduceOp};
use beiming_ir::types::{DType, TensorType};

use super::super::cx::Cx;
use super::super::value::{Val, flatten, rebuild};
use super::super::walk::Walk;
use crate::import::build::Build;
use crate::import::fail::{Fail, R, bad_arguments, unsupported};
use crate::import::frame::V;
use crate::import::stablehlo::syntax::{Attr, Block};

/// A region over scalars, with one argument for each of `like` (a value of any shape of the argument's kind and element type).
/// `order` arranges the inputs: entry `k` is the input that the k-th graph value of the arguments is.
pub fn scalars<'m>(cx: &mut Cx<'_, 'm>, block: &'m Block, like: &[Val], order: Option<&[usize]>) -> R<RegionId> {
    scalars_by(cx, like, order, |walk, args| walk.block(block, args))
}

/// As [`scalars`], of what `body` gives for its arguments.
pub fn scalars_by<'m>(
    cx: &mut Cx<'_, 'm>,
    like: &[Val],
    order: Option<&[usize]>,
    body: impl FnOnce(&mut Walk<'m>, &[Val]) -> R<Vec<Val>>,
) -> R<RegionId> {
    let planes: Vec<TensorType> = flatten(like).iter().map(|v| TensorType::scalar(cx.dtype(*v))).collect();
    let at = |k: usize| order.map_or(k, |o| o[k]);
    let mut types = planes.clone();
    for (k, ty) in planes.iter().enumerate() {
        types[at(k)] = ty.clone();
    }
    let region = cx.walk.region("scalars", &types, |walk, formals| {
        let inputs: Vec<V> = (0..formals.len()).map(|k| formals[at(k)]).collect();
        let args = rebuild(like, &inputs).ok_or(Fail::Poisoned)?;
        let results = body(walk, &args)?;
        Ok(flatten(&results))
    })?;
    if !region.captures.is_empty() {
        return unsupported("a scalar function that uses values from around it");
    }
    if region.results.iter().any(|t| t.rank() > 0) {
        return bad_arguments("its region must give scalars");
    }
    Ok(cx.frame().graph.add_region(region.frame.graph))
}

/// The region of a reducer of `data`: accumulators, then elements.
pub fn reducer<'m>(cx: &mut Cx<'_, 'm>, block: &'m Block, data: &[Val]) -> R<RegionId> {
    scalars(cx, block, &[data, data].concat(), None)
}

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
        _ => return None,
    })
}

/// The core reduction by a function on elements of a type.
pub fn reduction(f: BinaryOp, dtype: DType) -> Option<ReduceOp> {
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

/// The operands of an op that reduces: so many tensors, and then an initial value of each.
pub fn data_and_inits(all: &[Val]) -> R<(&[Val], &[Val])> {
    if all.is_empty() || all.len() % 2 == 1 {
        return bad_arguments("it takes pairs of data and initial values");
    }
    Ok(all.split_at(all.len() / 2))
}

/// What a block computes, in a form that is the same for all programs that write it alike: operations with the numbers of
/// their arguments (the block's own arguments first), and their enumerators.
pub fn signature(block: &Block) -> String {
    let mut numbers: Vec<crate::import::stablehlo::syntax::Value> = block.args.clone();
    let mut out = vec![];
    for op in &block.ops {
        let args: Vec<String> =
            op.operands.iter().map(|v| numbers.iter().position(|n| n == v).map_or("?".to_string(), |i| i.to_string())).collect();
        let name = match op.attrs.get("comparison_direction").and_then(Attr::text) {
            Some(d) => d,
            None => op.name.rsplit('.').next().unwrap_or(&op.name),
        };
        out.push(format!("{name} {}", args.join(" ")));
        numbers.extend(&op.results);
    }
    out.join("; ")
}
