//! Running reductions and positions of extremes: sweeps whose order counts, and sweeps that find an index.

use beiming_ir::kernel::{Access, ExprId};
use beiming_ir::ops::{Arg, BinaryOp, Op, ReduceOp, UnaryOp};
use beiming_ir::types::{DType, Dim};

use super::body::BodyCx;
use super::builder::{Operand, accumulate, store};
use super::reduce::{accumulator, finish_row};
use super::rows::{Rows, roles};
use super::traverse::Traversal;

/// Lowers `ArgReduce` in two sweeps: the extreme, then the first (or last) place that has it. A NaN is the extreme where
/// there is one, and equal to nothing, so the second sweep looks for NaN as well.
pub fn arg_reduce(cx: &mut BodyCx, anchor: usize, root: Arg, dst: Operand) -> Result<(), String> {
    let node = cx.body.nodes[anchor].clone();
    let Op::ArgReduce { max, axis, keep, last } = node.op else { return Err("not an arg reduction".into()) };
    let data = cx.ty(node.args[0]).clone();
    let ty = cx.ty(root).clone();
    let shape = data.shape.clone();
    let roles = roles(shape.len(), |a| a == axis);
    let result = |zero: ExprId, index: &[ExprId]| -> Vec<ExprId> {
        let mut at = index.to_vec();
        if keep {
            at[axis] = zero;
        } else {
            at.remove(axis);
        }
        at
    };
    let walk = Traversal::find(cx, &shape, &roles, &|inl, kb, index| {
        let v = inl.value(kb, node.args[0], index)?;
        let zero = kb.int(0);
        let at = result(zero, index);
        inl.bind(anchor, &at, zero);
        let out = kb.param(dst, ty.dtype, &[ty.numel()], Access::Write);
        let to = kb.linear(&at, &ty.shape);
        Ok(vec![v, inl.value(kb, root, &at)?, kb.load(out, &[to])])
    })?;
    let acc = accumulator(data.dtype);
    let rows = Rows::choose(cx, &walk, acc, false);
    let name = super::name::kernel(cx, &[]);
    let flops = data.numel() * Dim::Known(3) + cx.elementwise_flops();
    let (op, pick) = (if max { ReduceOp::Max } else { ReduceOp::Min }, if last { ReduceOp::Max } else { ReduceOp::Min });
    let call = rows.build(cx, name, flops, &mut |k| {
        let (best, place) = (k.register("best", acc), k.register("place", DType::I64));
        let (start, none) = (k.kb.identity(op, acc), k.kb.identity(pick, DType::I64));
        let mut body = k.once(&mut |_, p| Ok(vec![store(best, &[p.lane], start), store(place, &[p.lane], none)]))?;
        body.extend(k.sweep(&mut |k, p| {
            let v = k.inl.guarded(&mut k.kb, node.args[0], &p.index, p.guard)?;
            let v = k.kb.cast(acc, v);
            Ok(vec![accumulate(op, best, &[p.lane], v)])
        })?);
        body.extend(k.sweep(&mut |k, p| {
            let v = k.inl.guarded(&mut k.kb, node.args[0], &p.index, p.guard)?;
            let v = k.kb.cast(acc, v);
            let b = k.kb.load(best, &[p.lane]);
            let mut hit = k.kb.binary(BinaryOp::Eq, v, b);
            if acc.is_float() {
                let nan = k.kb.unary(UnaryOp::IsNan, v);
                hit = k.kb.binary(BinaryOp::Or, hit, nan);
            }
            let i = k.kb.select(hit, p.index[axis], none);
            Ok(vec![accumulate(pick, place, &[p.lane], i)])
        })?);
        body.extend(k.once(&mut |k, p| {
            let zero = k.kb.int(0);
            let at = result(zero, &p.index);
            let v = k.kb.load(place, &[p.lane]);
            Ok(vec![finish_row(k, anchor, root, &ty.shape, dst, &at, v, p.guard)?])
        })?);
        Ok(body)
    })?;
    cx.call(call);
    Ok(())
}

/// Lowers `Cumulative`: lanes across rows, one element after another along the axis.
pub fn cumulative(cx: &mut BodyCx, anchor: usize, root: Arg, dst: Operand) -> Result<(), String> {
    let node = cx.body.nodes[anchor].clone();
    let Op::Cumulative(c) = &node.op else { return Err("not a running reduction".into()) };
    let data = cx.ty(node.args[0]).clone();
    let ty = cx.ty(root).clone();
    let shape = data.shape.clone();
    let roles = roles(shape.len(), |a| a == c.axis);
    let walk = Traversal::find(cx, &shape, &roles, &|inl, kb, index| {
        let v = inl.value(kb, node.args[0], index)?;
        let dummy = kb.number(data.dtype, 0.0);
        inl.bind(anchor, index, dummy);
        let out = kb.param(dst, ty.dtype, &[ty.numel()], Access::Write);
        let to = kb.linear(index, &ty.shape);
        Ok(vec![v, inl.value(kb, root, index)?, kb.load(out, &[to])])
    })?;
    let acc = accumulator(data.dtype);
    let rows = Rows::choose(cx, &walk, acc, true);
    let name = super::name::kernel(cx, &[]);
    let flops = data.numel() + cx.elementwise_flops();
    let call = rows.build(cx, name, flops, &mut |k| {
        let run = k.register("run", acc);
        let start = k.kb.identity(c.op, acc);
        let mut body = k.once(&mut |_, p| Ok(vec![store(run, &[p.lane], start)]))?;
        body.extend(k.sweep(&mut |k, p| {
            let mut at = p.index.clone();
            if c.reverse {
                let i = k.kb.scale(at[c.axis], &Dim::Known(-1));
                at[c.axis] = k.kb.offset(i, &(shape[c.axis].clone() - Dim::Known(1)));
            }
            let v = k.inl.guarded(&mut k.kb, node.args[0], &at, p.guard)?;
            let v = k.kb.cast(acc, v);
            let now = k.kb.load(run, &[p.lane]);
            let now = k.kb.cast(data.dtype, now);
            let add = accumulate(c.op, run, &[p.lane], v);
            let out = finish_row(k, anchor, root, &ty.shape, dst, &at, now, p.guard)?;
            Ok(if c.exclusive { vec![out, add] } else { vec![add, out] })
        })?);
        Ok(body)
    })?;
    cx.call(call);
    Ok(())
}
