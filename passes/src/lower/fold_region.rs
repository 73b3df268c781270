//! Reductions by a region: `ReduceWith` over axes, `WindowReduce` over windows. A row (see `rows`) is what becomes one element; lanes
//! run across rows, and each row is folded in order, so that any region gives what `eval` gives. A window reduction by a
//! plain sum, product, maximum or minimum is an ordinary reduction.

use beiming_ir::graph::Graph;
use beiming_ir::kernel::{Access, ExprId};
use beiming_ir::ops::{Arg, BinaryOp, Op, ReduceOp, WindowReduce};
use beiming_ir::types::{DType, Dim, TensorType};

use super::body::BodyCx;
use super::builder::{KernelBuilder, Operand, store, store_if};
use super::inline::Inliner;
use super::reduce::{Reduction, accumulator, otherwise, reduction};
use super::region::{self, Simple};
use super::rows::{Rows, roles};
use super::traverse::Traversal;

/// A fold: what is walked over, and which element a place of it reads.
struct Fold<'f> {
    /// Shape walked over.
    shape: Vec<Dim>,
    roles: Vec<u8>,
    /// Index of the result.
    result: &'f dyn Fn(&[ExprId]) -> Vec<ExprId>,
    /// Element `k` at an index of the walked shape.
    value: &'f Value<'f>,
}

/// The element of the n-th data tensor at an index; nothing may be read where the guard is false.
type Value<'f> = dyn Fn(&mut Inliner, &mut KernelBuilder, usize, &[ExprId], Option<ExprId>) -> Result<ExprId, String> + 'f;

/// Lowers `ReduceWith`.
pub fn reduce_with(cx: &mut BodyCx, anchor: usize) -> Result<(), String> {
    let node = cx.body.nodes[anchor].clone();
    let Op::ReduceWith { axes, region } = &node.op else { return Err("not a reduction by a region".into()) };
    let region = region::find(cx, *region)?;
    let shape = cx.ty(node.args[0]).shape.clone();
    let f = Fold {
        roles: roles(shape.len(), |a| axes.contains(&a)),
        shape,
        result: &|index| (0..index.len()).filter(|a| !axes.contains(a)).map(|a| index[a]).collect(),
        value: &|inl, kb, k, index, guard| inl.guarded(kb, node.args[k], index, guard),
    };
    fold(cx, &node.args, region, &f)
}

/// Lowers `WindowReduce`.
pub fn window_reduce(cx: &mut BodyCx, anchor: usize, root: Arg, dst: Operand) -> Result<(), String> {
    let node = cx.body.nodes[anchor].clone();
    let Op::WindowReduce(p) = &node.op else { return Err("not a window reduction".into()) };
    let region = region::find(cx, p.region)?;
    let data = cx.ty(node.args[0]).clone();
    let out = cx.types[anchor].shape.clone();
    let rank = data.rank();
    let shape = [out.clone(), p.window.iter().map(|w| Dim::from(*w)).collect()].concat();
    let roles = roles(2 * rank, |a| a >= rank);
    let init = |k: usize| node.args[node.args.len() / 2 + k];
    let value = |inl: &mut Inliner, kb: &mut KernelBuilder, k: usize, index: &[ExprId], guard: Option<ExprId>| {
        let (at, inside) = source(kb, p, &data.shape, index);
        let both = kb.and(guard, inside);
        let v = inl.guarded(kb, node.args[k], &at, both)?;
        let pad = inl.value(kb, init(k), &[])?;
        Ok(otherwise(kb, inside, v, pad))
    };
    let reducer = match region::simple(region) {
        Some(Simple::Binary(op)) => reducer(cx, op, data.dtype),
        _ => None,
    };
    let Some((binary, op)) = reducer else {
        return fold(cx, &node.args, region, &Fold { shape, roles, result: &|index| index[..rank].to_vec(), value: &value });
    };
    let acc = accumulator(data.dtype);
    let flops = shape.iter().fold(Dim::Known(1), |n, d| n * d.clone());
    let constant = match init(0) {
        Arg::Input(n) => cx.inputs[n as usize].constant.filter(|t| t.len() == 1).map(|t| t.get(0)),
        Arg::Node(_) => None,
    };
    let neutral = constant.is_some_and(|c| c == op.identity(data.dtype));
    let (into, plain) = match neutral {
        true => (dst, root),
        false => (cx.temp(TensorType::new(data.dtype, out.clone())), Arg::Node(anchor as u32)),
    };
    let r = Reduction {
        anchor,
        shape,
        roles,
        result: &|_, index| index[..rank].to_vec(),
        value: &|inl, kb, index, guard| {
            let v = value(inl, kb, 0, index, guard)?;
            Ok(kb.cast(acc, v))
        },
        acc,
        op,
        finish: &|kb, sum, _| kb.cast(data.dtype, sum),
        flops,
    };
    reduction(cx, &r, plain, into)?;
    if !neutral {
        start_from(cx, anchor, init(0), binary, into, dst)?;
    }
    Ok(())
}

/// `dst = op(init, folded)`, for an initial value that is not the reducer's neutral element.
fn start_from(cx: &mut BodyCx, anchor: usize, init: Arg, op: BinaryOp, folded: Operand, dst: Operand) -> Result<(), String> {
    let ty = cx.types[anchor].clone();
    let call = {
        let mut kb = KernelBuilder::new(cx.symbols, &ty.shape);
        let index = kb.grid.clone();
        let (from, to) =
            (kb.param(folded, ty.dtype, &[ty.numel()], Access::Read), kb.param(dst, ty.dtype, &[ty.numel()], Access::Write));
        let at = kb.linear(&index, &ty.shape);
        let v = kb.load(from, &[at]);
        let start = Inliner::new(cx).value(&mut kb, init, &[])?;
        let v = kb.binary(op, start, v);
        let body = vec![store(to, &[at], v)];
        kb.finish(super::name::kernel(cx, &["start".into()]), cx.op_names(), body, ty.numel())
    };
    cx.call(call);
    Ok(())
}

/// The reducer that a commutative function is on elements of a type; `None` where only the region itself rounds as it must.
pub(super) fn reducer(cx: &BodyCx, op: BinaryOp, dtype: DType) -> Option<(BinaryOp, ReduceOp)> {
    if cx.in_order && dtype.is_float() && matches!(op, BinaryOp::Add | BinaryOp::Mul) {
        return None;
    }
    let r = match op {
        BinaryOp::Add => ReduceOp::Sum,
        BinaryOp::Mul => ReduceOp::Prod,
        BinaryOp::Max => ReduceOp::Max,
        BinaryOp::Min => ReduceOp::Min,
        BinaryOp::And if dtype == DType::Bool => ReduceOp::Min,
        BinaryOp::Or if dtype == DType::Bool => ReduceOp::Max,
        _ => return None,
    };
    r.takes(dtype).then_some((op, r))
}

/// The element that a place in the walk over results and taps reads, and the condition that it is no pad or hole.
fn source(kb: &mut KernelBuilder, p: &WindowReduce, data: &[Dim], index: &[ExprId]) -> (Vec<ExprId>, Option<ExprId>) {
    let rank = data.len();
    let (mut at, mut inside) = (vec![], None);
    for a in 0..rank {
        let o = kb.scale(index[a], &Dim::from(p.strides[a]));
        let t = kb.scale(index[rank + a], &Dim::from(p.window_dilations[a]));
        let x = kb.add(o, t);
        let mut x = kb.offset(x, &Dim::Known(-p.pads[a].0));
        if p.base_dilations[a] > 1 {
            let step = Dim::from(p.base_dilations[a]);
            let (rest, zero) = (kb.remainder(x, &step), kb.int(0));
            let hole = kb.binary(BinaryOp::Eq, rest, zero);
            inside = kb.and(inside, Some(hole));
            x = kb.quotient(x, &step);
        }
        let g = kb.inside(x, &data[a]);
        inside = kb.and(inside, g);
        at.push(x);
    }
    (at, inside)
}

/// Folds rows in order with any region.
fn fold(cx: &mut BodyCx, args: &[Arg], region: &Graph, f: &Fold) -> Result<(), String> {
    let n = args.len() / 2;
    let types = cx.outputs.clone();
    let walk = Traversal::find(cx, &f.shape, &f.roles, &|inl, kb, index| {
        let at = (f.result)(index);
        let mut roots = vec![];
        for (k, ty) in types.iter().enumerate() {
            roots.push((f.value)(inl, kb, k, index, None)?);
            let out = kb.param(Operand::Output(k as u32), ty.dtype, &[ty.numel()], Access::Write);
            let to = kb.linear(&at, &ty.shape);
            roots.push(kb.load(out, &[to]));
        }
        Ok(roots)
    })?;
    let widest = types.iter().map(|t| t.dtype).max_by_key(|d| d.size()).unwrap_or(DType::F32);
    let rows = Rows::choose(cx, &walk, widest, true);
    let flops = f.shape.iter().fold(Dim::from(region.nodes().len()), |a, d| a * d.clone());
    let call = rows.build(cx, super::name::kernel(cx, &[]), flops, &mut |k| {
        let state: Vec<_> = types.iter().map(|t| k.register("state", t.dtype)).collect();
        // All new values are computed before any old one is lost.
        let next: Vec<_> = if n == 1 { vec![] } else { types.iter().map(|t| k.register("next", t.dtype)).collect() };
        let mut body = k.once(&mut |k, p| {
            let mut all = vec![];
            for (i, s) in state.iter().enumerate() {
                let v = k.inl.value(&mut k.kb, args[n + i], &[])?;
                all.push(store(*s, &[p.lane], v));
            }
            Ok(all)
        })?;
        body.extend(k.sweep(&mut |k, p| {
            let mut values: Vec<ExprId> = state.iter().map(|s| k.kb.load(*s, &[p.lane])).collect();
            for i in 0..n {
                values.push((f.value)(&mut k.inl, &mut k.kb, i, &p.index, p.guard)?);
            }
            let results = region::call(&mut k.kb, region, &values)?;
            if n == 1 {
                return Ok(vec![store(state[0], &[p.lane], results[0])]);
            }
            let mut all: Vec<_> = next.iter().zip(&results).map(|(b, v)| store(*b, &[p.lane], *v)).collect();
            for (s, b) in state.iter().zip(&next) {
                let v = k.kb.load(*b, &[p.lane]);
                all.push(store(*s, &[p.lane], v));
            }
            Ok(all)
        })?);
        body.extend(k.once(&mut |k, p| {
            let at = (f.result)(&p.index);
            let mut all = vec![];
            for (i, (s, ty)) in state.iter().zip(&types).enumerate() {
                let v = k.kb.load(*s, &[p.lane]);
                let out = k.kb.param(Operand::Output(i as u32), ty.dtype, &[ty.numel()], Access::Write);
                let to = k.kb.linear(&at, &ty.shape);
                all.push(store_if(out, &[to], p.guard, v));
            }
            Ok(all)
        })?);
        Ok(body)
    })?;
    cx.call(call);
    Ok(())
}
