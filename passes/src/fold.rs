//! Constant folding: nodes whose arguments are constants become constants, computed by the IR's own evaluator.
//!
//! Memory and time are bounded by counts, so a model cannot make the compiler allocate more than its options allow: results
//! that grow (a broadcast, an iota, a widening cast) are charged to a budget, contractions only fold while small.

use beiming_ir::eval::{self, Dims};
use beiming_ir::graph::{Graph, Node, ValueId};
use beiming_ir::ops::Op;
use beiming_ir::tensor::{Data, Tensor};

use crate::{broadcasts, layout};

/// Element operations a folded contraction, pool or recurrent layer may take; the evaluator does some tens of millions a second.
const MAX_WORK: u64 = 1 << 25;
/// Transposed constants up to this size are folded even where a matmul would read them as a view.
const SMALL: usize = 16 << 10;

/// Bytes that folding may add.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Bytes a single result may take more than its arguments.
    pub per_result: u64,
    /// Bytes that all results may take more than their arguments, together.
    pub total: u64,
}

/// Folds one node of `old` whose arguments in `new` are `inputs`; `None` where it is not a constant or not worth it.
pub(crate) fn node(
    old: &Graph,
    node: &Node,
    new: &Graph,
    inputs: &[ValueId],
    users: Users,
    budget: &mut Budget,
) -> Option<Vec<Tensor>> {
    if !can_fold(&node.op) {
        return None;
    }
    let args: Vec<&Tensor> = inputs.iter().map(|v| new.const_of(*v)).collect::<Option<_>>()?;
    let arg_bytes: u64 = args.iter().map(|t| t.bytes().len() as u64).sum();
    match &node.op {
        Op::Reshape { .. } => {
            let shape = old.ty(node.outputs[0]).static_shape()?;
            return Some(vec![args[0].reshaped(&shape)?]);
        }
        Op::Transpose { perm } => {
            // A matmul packs its operand through any strides: turning the weight around beforehand would only copy it.
            if users.only_matmul && args[0].bytes().len() > SMALL {
                return None;
            }
            return transpose(args[0], perm).map(|t| vec![t]);
        }
        // As a broadcast it is small, and the users take it as such.
        Op::Broadcast { .. } if users.look_through => return None,
        _ => {}
    }
    let mut result_bytes = 0u64;
    for v in &node.outputs {
        let ty = old.ty(*v);
        let bytes = ty.bytes().known().and_then(|b| u64::try_from(b).ok())?;
        result_bytes = result_bytes.saturating_add(bytes);
    }
    let growth = result_bytes.saturating_sub(arg_bytes);
    if growth > budget.per_result || growth > budget.total || work(&node.op, old, node)? > MAX_WORK {
        return None;
    }
    let args: Vec<Tensor> = args.into_iter().cloned().collect();
    // An op the evaluator refuses (an index out of range, a dimension without value) stays and is reported where it runs.
    let results = eval::op(&node.op, &args, old, &Dims::new()).ok()?;
    budget.total -= growth;
    Some(results)
}

/// Who uses the value that is folded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Users {
    /// All are matmuls.
    pub only_matmul: bool,
    /// All look through broadcasts.
    pub look_through: bool,
}

/// For every value of the graph, what its users are.
pub(crate) fn users(graph: &Graph) -> Vec<Users> {
    let mut users = vec![None; graph.values().len()];
    let mut add = |v: &ValueId, only_matmul: bool, look_through: bool| {
        let u: &mut Users = users[v.index()].get_or_insert(Users { only_matmul: true, look_through: true });
        u.only_matmul &= only_matmul;
        u.look_through &= look_through;
    };
    for node in graph.nodes() {
        for v in &node.inputs {
            let source = graph.def(*v).and_then(|n| n.inputs.first()).map_or(graph.ty(*v), |x| graph.ty(*x));
            add(v, matches!(node.op, Op::MatMul { .. }), broadcasts::looks_through(&node.op, source));
        }
    }
    graph.outputs.iter().for_each(|v| add(v, false, false));
    users.into_iter().map(|u| u.unwrap_or(Users { only_matmul: false, look_through: false })).collect()
}

fn can_fold(op: &Op) -> bool {
    !matches!(
        op,
        Op::Constant(_)
            | Op::If(_)
            | Op::Loop(_)
            | Op::Nms(_)
            | Op::NonZero { .. }
            | Op::ReadDims(_)
            | Op::Fused(_)
            | Op::Tiled { .. }
    )
}

/// Element operations of a node, roughly; `None` where it is not known.
fn work(op: &Op, g: &Graph, node: &Node) -> Option<u64> {
    let elements = |v: ValueId| g.ty(v).numel().known().map(|n| n.unsigned_abs());
    let out = elements(node.outputs[0])?;
    Some(match op {
        Op::MatMul { .. } => {
            let k = g.ty(node.inputs[0]).shape.last()?.known()?;
            out.saturating_mul(k.unsigned_abs())
        }
        Op::Conv(_) | Op::ConvTranspose(_) => {
            let weight = g.ty(node.inputs[1]);
            let o = weight.shape.last()?.known()?.max(1);
            out.saturating_mul(elements(node.inputs[1])? / o.unsigned_abs())
        }
        // A call of a region is several operations, none of them fast.
        Op::ReduceWith { .. } | Op::SortBy { .. } => elements(node.inputs[0])?.saturating_mul(16),
        Op::ScatterWindow(_) => elements(*node.inputs.last()?)?.saturating_mul(16),
        Op::WindowReduce(p) => out.saturating_mul(p.window.iter().product::<usize>() as u64).saturating_mul(16),
        Op::SelectAndScatter(p) => {
            elements(node.inputs[1])?.saturating_mul(p.window.iter().product::<usize>() as u64).saturating_mul(16)
        }
        Op::Pool(p) => out.saturating_mul(p.window.iter().product::<usize>() as u64),
        Op::Lstm(_) | Op::Gru(_) => elements(node.inputs[0])?.saturating_mul(elements(node.inputs[1])?),
        // Bounded by the bytes moved, which the budget and the arguments bound.
        _ => 0,
    })
}

/// A constant with its axes in the order of `perm`. `None` where `perm` does not fit.
pub fn transpose(t: &Tensor, perm: &[usize]) -> Option<Tensor> {
    if perm.len() != t.shape.len() || perm.iter().any(|&p| p >= t.shape.len()) {
        return None;
    }
    let shape = layout::permute(perm, &t.shape);
    let size = t.dtype.size();
    let mut strides = vec![size; t.shape.len()];
    for i in (0..t.shape.len().saturating_sub(1)).rev() {
        strides[i] = strides[i + 1] * t.shape[i + 1];
    }
    let strides = layout::permute(perm, &strides);
    let src = t.bytes();
    let mut out = Vec::with_capacity(src.len());
    if !src.is_empty() {
        let (inner, inner_stride) = shape.last().zip(strides.last()).map_or((1, size), |(n, s)| (*n, *s));
        let mut index = vec![0usize; shape.len().saturating_sub(1)];
        let mut base = 0;
        'rows: loop {
            if inner_stride == size {
                out.extend_from_slice(&src[base..base + inner * size]);
            } else {
                for i in 0..inner {
                    let at = base + i * inner_stride;
                    out.extend_from_slice(&src[at..at + size]);
                }
            }
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                base += strides[axis];
                if index[axis] < shape[axis] {
                    continue 'rows;
                }
                base -= strides[axis] * shape[axis];
                index[axis] = 0;
            }
            break;
        }
    }
    Tensor::new(t.dtype, shape, Data::from(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposes_like_the_evaluator() {
        let t = Tensor::f32(&[2, 3, 4], &(0..24).map(|i| i as f32).collect::<Vec<_>>());
        for perm in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1], [2, 0, 1], [1, 2, 0]] {
            let mine = transpose(&t, &perm).unwrap();
            let op = Op::Transpose { perm: perm.to_vec() };
            let want = eval::op(&op, std::slice::from_ref(&t), &Graph::default(), &Dims::new()).unwrap();
            assert_eq!((mine.shape.as_slice(), mine.bytes()), (want[0].shape.as_slice(), want[0].bytes()));
        }
        assert_eq!(transpose(&Tensor::f32(&[], &[3.0]), &[]).unwrap().to_f64(), [3.0]);
        assert!(transpose(&t, &[0, 1]).is_none());
    }
}
