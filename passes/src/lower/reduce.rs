//! Reductions in general: `result[kept] = finish(op over reduced of value[kept, reduced])`. `Reduce` itself, pooling, and the plain
//! form of every contraction are this with different values.

use beiming_ir::kernel::{Access, Element, ExprId, Stmt};
use beiming_ir::ops::{Arg, BinaryOp, Op, ReduceOp};
use beiming_ir::types::{DType, Dim};

use super::body::BodyCx;
use super::builder::{KernelBuilder, Operand, accumulate, store, store_if};
use super::inline::Inliner;
use super::rows::{Rows, roles};
use super::traverse::Traversal;

/// A reduction: what is reduced and how the result is made of it.
pub struct Reduction<'f> {
    /// The anchor: the result of `finish` is its value.
    pub anchor: usize,
    /// Shape walked over: kept and reduced axes in any order.
    pub shape: Vec<Dim>,
    /// `KEPT` or `REDUCED`, one an axis.
    pub roles: Vec<u8>,
    /// Index of the anchor's result for an index of the walked shape.
    pub result: &'f dyn Fn(&mut KernelBuilder, &[ExprId]) -> Vec<ExprId>,
    /// Element to reduce, of type `acc`.
    pub value: &'f Value<'f>,
    /// Type of the accumulator.
    pub acc: DType,
    /// Reducer: `Sum`, `Prod`, `Max` or `Min`.
    pub op: ReduceOp,
    /// Result (of the anchor's type) from the accumulator.
    pub finish: &'f dyn Fn(&mut KernelBuilder, ExprId, &[ExprId]) -> ExprId,
    /// Arithmetic operations.
    pub flops: Dim,
}

/// The element at an index; nothing may be read where the guard is false, and the value there does not count.
pub type Value<'f> = dyn Fn(&mut Inliner, &mut KernelBuilder, &[ExprId], Option<ExprId>) -> Result<ExprId, String> + 'f;

/// Type to accumulate `dtype` in.
pub fn accumulator(dtype: DType) -> DType {
    match dtype {
        DType::F64 | DType::F32 => dtype,
        d if d.is_float() => DType::F32,
        d => d,
    }
}

/// Lowers a reduction; `root` is the anchor's value or an epilogue on it.
pub fn reduction(cx: &mut BodyCx, r: &Reduction, root: Arg, dst: Operand) -> Result<(), String> {
    let ty = cx.ty(root).clone();
    let result_type = cx.types[r.anchor].dtype;
    let walk = Traversal::find(cx, &r.shape, &r.roles, &|inl, kb, index| {
        let v = (r.value)(inl, kb, index, None)?;
        let at = (r.result)(kb, index);
        let dummy = kb.number(result_type, 0.0);
        inl.bind(r.anchor, &at, dummy);
        let out = kb.param(dst, ty.dtype, &[ty.numel()], Access::Write);
        let to = kb.linear(&at, &ty.shape);
        Ok(vec![v, inl.value(kb, root, &at)?, kb.load(out, &[to])])
    })?;
    let rows = Rows::choose(cx, &walk, r.acc, false);
    let name = super::name::kernel(cx, &[]);
    let flops = r.flops.clone();
    let call = rows.build(cx, name, flops, &mut |k| {
        let acc = k.register("acc", r.acc);
        let start = k.kb.identity(r.op, r.acc);
        let mut body = k.once(&mut |_, p| Ok(vec![store(acc, &[p.lane], start)]))?;
        body.extend(k.sweep(&mut |k, p| {
            let v = (r.value)(&mut k.inl, &mut k.kb, &p.index, p.guard)?;
            Ok(vec![accumulate(r.op, acc, &[p.lane], v)])
        })?);
        body.extend(k.once(&mut |k, p| {
            let at = (r.result)(&mut k.kb, &p.index);
            let sum = k.kb.load(acc, &[p.lane]);
            let v = (r.finish)(&mut k.kb, sum, &p.index);
            Ok(vec![finish_row(k, r.anchor, root, &ty.shape, dst, &at, v, p.guard)?])
        })?);
        Ok(body)
    })?;
    cx.call(call);
    Ok(())
}

/// The statement that stores `root` at `at`, given that the anchor's value there is `v`.
#[allow(clippy::too_many_arguments)]
pub fn finish_row(
    k: &mut super::rows::RowKernel,
    anchor: usize,
    root: Arg,
    shape: &[Dim],
    dst: Operand,
    at: &[ExprId],
    v: ExprId,
    guard: Option<ExprId>,
) -> Result<Stmt, String> {
    k.inl.bind(anchor, at, v);
    let value = k.inl.guarded(&mut k.kb, root, at, guard)?;
    let numel = shape.iter().fold(Dim::Known(1), |a, d| a * d.clone());
    let dtype = k.kb.dtype(value);
    let out = k.kb.param(dst, dtype, &[numel], Access::Write);
    let to = k.kb.linear(at, shape);
    Ok(store_if(out, &[to], guard, value))
}

/// Lowers `Reduce`.
pub fn lower(cx: &mut BodyCx, anchor: usize, root: Arg, dst: Operand) -> Result<(), String> {
    let node = cx.body.nodes[anchor].clone();
    let Op::Reduce { op, axes, keep } = &node.op else { return Err("not a reduction".into()) };
    let data = cx.ty(node.args[0]).clone();
    let shape = data.shape.clone();
    let roles = roles(shape.len(), |a| axes.contains(&a));
    let acc = accumulator(data.dtype);
    let count = axes.iter().fold(Dim::Known(1), |n, &a| n * shape[a].clone());
    let flops = data.numel() + cx.elementwise_flops();
    let scalar_op = match op {
        ReduceOp::Mean => ReduceOp::Sum,
        ReduceOp::All => ReduceOp::Min,
        ReduceOp::Any => ReduceOp::Max,
        op => *op,
    };
    let r = Reduction {
        anchor,
        shape,
        roles,
        result: &|kb, index| {
            let zero = kb.int(0);
            let kept = (0..index.len()).filter(|a| *keep || !axes.contains(a));
            kept.map(|a| if axes.contains(&a) { zero } else { index[a] }).collect()
        },
        value: &|inl, kb, index, guard| {
            let v = inl.guarded(kb, node.args[0], index, guard)?;
            Ok(kb.cast(acc, v))
        },
        acc,
        op: scalar_op,
        finish: &|kb, sum, _| {
            let v = if *op == ReduceOp::Mean {
                let n = kb.dim(&count);
                mean(kb, sum, n, acc)
            } else {
                sum
            };
            kb.cast(data.dtype, v)
        },
        flops,
    };
    reduction(cx, &r, root, dst)
}

/// `sum / count` in `acc`; `count` may be of another type.
pub fn mean(kb: &mut KernelBuilder, sum: ExprId, count: ExprId, acc: DType) -> ExprId {
    let n = kb.cast(acc, count);
    kb.binary(BinaryOp::Div, sum, n)
}

/// `guard ? value : other`, for a value whose reads are guarded already.
pub fn otherwise(kb: &mut KernelBuilder, guard: Option<ExprId>, value: ExprId, other: ExprId) -> ExprId {
    let Some(g) = guard else { return value };
    match kb.expr(value).clone() {
        beiming_ir::kernel::Expr::Load(Element { guard: Some(h), index, buffer }, _) if h == g => {
            kb.load_if(buffer, &index, guard, other)
        }
        _ => kb.select(g, value, other),
    }
}
