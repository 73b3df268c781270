//! Regions as scalar functions inside a kernel: reducers, comparators and update functions are written out where they are called.

use beiming_ir::graph::{Graph, RegionId};
use beiming_ir::kernel::{Expr, ExprId};
use beiming_ir::ops::{BinaryOp, Op};
use beiming_ir::types::DType;

use super::body::BodyCx;
use super::builder::KernelBuilder;

/// Deepest nesting of branches that is written out; each doubles the code at most.
const MAX_BRANCHES: usize = 8;

/// The region of an op of this body.
pub fn find<'a>(cx: &BodyCx<'a>, id: RegionId) -> Result<&'a Graph, String> {
    cx.graph.regions.get(id.index()).ok_or_else(|| format!("region {} does not exist", id.0))
}

/// The region's results for these arguments. Both sides of a branch are computed, which is safe: scalar ops do not trap.
pub fn call(kb: &mut KernelBuilder, region: &Graph, args: &[ExprId]) -> Result<Vec<ExprId>, String> {
    nested(kb, region, args, 0)
}

fn nested(kb: &mut KernelBuilder, region: &Graph, args: &[ExprId], depth: usize) -> Result<Vec<ExprId>, String> {
    let refuse = |op: &Op, why: &str| format!("the region `{}` of the op holds `{}`, {why}", region.name, op.name());
    let mut values: Vec<Option<ExprId>> = vec![None; region.values().len()];
    for (v, a) in region.inputs.iter().zip(args) {
        values[v.index()] = Some(*a);
    }
    for n in region.nodes() {
        if n.outputs.iter().any(|v| !region.ty(*v).numel().is(1)) {
            return Err(refuse(&n.op, "whose result is not a scalar: scalar functions are lowered"));
        }
        let a: Vec<ExprId> = n.inputs.iter().map(|v| values[v.index()]).collect::<Option<_>>().ok_or("a region out of order")?;
        let found = match (&n.op, a.as_slice()) {
            (Op::Constant(c), _) => {
                let t = region.consts.get(c.index()).ok_or("a region without its constant")?;
                vec![kb.constant(t.dtype, t.get(0))]
            }
            (Op::Unary(op), [x]) => vec![kb.unary(*op, *x)],
            (Op::Binary(op), [x, y]) => vec![kb.binary(*op, *x, *y)],
            (Op::Select, [c, x, y]) => vec![kb.select(*c, *x, *y)],
            (Op::Cast { to }, [x]) => vec![kb.cast(*to, *x)],
            (Op::Bitcast { to }, [x]) => vec![if kb.dtype(*x) == *to { *x } else { kb.raw(Expr::Bitcast(*to, *x)) }],
            (Op::Iota { dtype, .. }, _) => vec![kb.number(*dtype, 0.0)],
            (Op::Reshape { .. } | Op::Broadcast { .. } | Op::Transpose { .. } | Op::Reverse { .. }, [x]) => vec![*x],
            (Op::If(p), [c, captures @ ..]) if depth < MAX_BRANCHES => {
                let branch = |id: RegionId| region.regions.get(id.index()).ok_or("a branch that does not exist");
                let yes = nested(kb, branch(p.then_region)?, captures, depth + 1)?;
                let no = nested(kb, branch(p.else_region)?, captures, depth + 1)?;
                yes.into_iter().zip(no).map(|(x, y)| kb.select(*c, x, y)).collect()
            }
            (op, _) => return Err(refuse(op, "which is not an operation on scalars")),
        };
        for (v, e) in n.outputs.iter().zip(found) {
            values[v.index()] = Some(e);
        }
    }
    region.outputs.iter().map(|v| values[v.index()].ok_or_else(|| "a region without its result".into())).collect()
}

/// What a region of one pair of scalars does, where that is a single plain step.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Simple {
    /// Gives its second argument.
    Second,
    /// A commutative function of both.
    Binary(BinaryOp),
}

/// Recognises the region of a reducer of one value (accumulator, element).
pub fn simple(region: &Graph) -> Option<Simple> {
    let ([a, b], [out]) = (region.inputs.as_slice(), region.outputs.as_slice()) else { return None };
    if out == b {
        return Some(Simple::Second);
    }
    let n = region.def(*out)?;
    match (&n.op, n.inputs.as_slice()) {
        (
            Op::Binary(op @ (BinaryOp::Add | BinaryOp::Mul | BinaryOp::Max | BinaryOp::Min | BinaryOp::And | BinaryOp::Or)),
            [x, y],
        ) if (x, y) == (a, b) || (x, y) == (b, a) => Some(Simple::Binary(*op)),
        _ => None,
    }
}

/// An index as `i64`, so that clamping it to a range of `i64` gives what clamping the index itself would.
pub fn index(kb: &mut KernelBuilder, i: ExprId) -> ExprId {
    let mut i = i;
    if kb.dtype(i) == DType::U64 {
        let most = kb.constant(DType::U64, beiming_ir::tensor::Num::Int(i64::MAX.into()));
        i = kb.binary(BinaryOp::Min, i, most);
    }
    kb.cast(DType::I64, i)
}
