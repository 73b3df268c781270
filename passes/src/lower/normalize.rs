//! Softmax and the normalisations: a few sweeps over each row in one kernel. Where the lanes run along the row, a panel keeps
//! what a later sweep needs again; where they run across rows, it is computed again.

use beiming_ir::kernel::{BufId, ExprId, Space, Stmt};
use beiming_ir::ops::{Arg, BinaryOp, NormKind, Op, ReduceOp, UnaryOp};
use beiming_ir::types::{DType, Dim};

use super::body::BodyCx;
use super::builder::{Operand, accumulate, store};
use super::reduce::{accumulator, finish_row, mean};
use super::rows::{Point, RowKernel, Rows, roles};
use super::traverse::Traversal;

/// What the two families share: a row of inputs, and a result for each.
struct RowOp {
    anchor: usize,
    data: Arg,
    root: Arg,
    dst: Operand,
    /// Shape of the data and of the result.
    shape: Vec<Dim>,
    /// Type computed in.
    acc: DType,
    /// Type of the anchor's result.
    dtype: DType,
}

impl RowOp {
    fn new(cx: &BodyCx, anchor: usize, root: Arg, dst: Operand) -> RowOp {
        let data = cx.body.nodes[anchor].args[0];
        let ty = cx.ty(data);
        RowOp { anchor, data, root, dst, shape: ty.shape.clone(), acc: accumulator(ty.dtype), dtype: ty.dtype }
    }

    fn walk(&self, cx: &BodyCx, roles: &[u8]) -> Result<Traversal, String> {
        let numel = cx.ty(self.root).numel();
        let dtype = cx.ty(self.root).dtype;
        Traversal::find(cx, &self.shape, roles, &|inl, kb, index| {
            let v = inl.value(kb, self.data, index)?;
            let dummy = kb.number(self.dtype, 0.0);
            inl.bind(self.anchor, index, dummy);
            let out = kb.param(self.dst, dtype, std::slice::from_ref(&numel), beiming_ir::kernel::Access::Write);
            let to = kb.linear(index, &self.shape);
            Ok(vec![v, inl.value(kb, self.root, index)?, kb.load(out, &[to])])
        })
    }

    /// The element at a point, in the type computed in.
    fn element(&self, k: &mut RowKernel, p: &Point) -> Result<ExprId, String> {
        let v = k.inl.guarded(&mut k.kb, self.data, &p.index, p.guard)?;
        Ok(k.kb.cast(self.acc, v))
    }

    fn finish(&self, k: &mut RowKernel, p: &Point, v: ExprId) -> Result<Stmt, String> {
        let v = k.kb.cast(self.dtype, v);
        finish_row(k, self.anchor, self.root, &self.shape, self.dst, &p.index, v, p.guard)
    }

    /// True where reading an element again costs more than a load.
    fn costly(&self) -> bool {
        self.acc != self.dtype || matches!(self.data, Arg::Node(_))
    }
}

/// Lowers `Softmax`.
pub fn softmax(cx: &mut BodyCx, anchor: usize, root: Arg, dst: Operand) -> Result<(), String> {
    let Op::Softmax { axis, log } = cx.body.nodes[anchor].op else { return Err("not a softmax".into()) };
    let op = RowOp::new(cx, anchor, root, dst);
    let roles = roles(op.shape.len(), |a| a == axis);
    let walk = op.walk(cx, &roles)?;
    let rows = Rows::choose(cx, &walk, op.acc, false);
    let panel_size = rows.panel(cx);
    let costly = op.costly();
    let name = super::name::kernel(cx, &[]);
    let flops = cx.ty(op.data).numel() * Dim::Known(5) + cx.elementwise_flops();
    let call = rows.build(cx, name, flops, &mut |k| {
        let acc = op.acc;
        let (max, sum) = (k.register("max", acc), k.register("sum", acc));
        let panel = panel_size.map(|n| k.kb.local("row", acc, &[n], Space::Panel));
        let keep = panel.filter(|_| costly);
        let (low, zero) = (k.kb.identity(ReduceOp::Max, acc), k.kb.number(acc, 0.0));
        let mut body = k.once(&mut |_, p| Ok(vec![store(max, &[p.lane], low), store(sum, &[p.lane], zero)]))?;
        body.extend(k.sweep(&mut |k, p| {
            let x = op.element(k, p)?;
            let (mut out, x) = kept(k, keep, p, x);
            out.push(accumulate(ReduceOp::Max, max, &[p.lane], x));
            Ok(out)
        })?);
        // sum += exp(x - max); the panel then holds the exponentials (softmax) or still x (its logarithm).
        body.extend(k.sweep(&mut |k, p| {
            let x = read(k, keep, &op, p)?;
            let e = exponential(k, max, p, x);
            let (mut out, e) = kept(k, panel.filter(|_| !log), p, e);
            out.push(accumulate(ReduceOp::Sum, sum, &[p.lane], e));
            Ok(out)
        })?);
        body.extend(k.once(&mut |k, p| {
            let s = k.kb.load(sum, &[p.lane]);
            let v = if log { k.kb.unary(UnaryOp::Log, s) } else { k.kb.unary(UnaryOp::Recip, s) };
            Ok(vec![store(sum, &[p.lane], v)])
        })?);
        body.extend(k.sweep(&mut |k, p| {
            let s = k.kb.load(sum, &[p.lane]);
            let v = match panel {
                _ if log => {
                    let x = read(k, keep, &op, p)?;
                    let m = k.kb.load(max, &[p.lane]);
                    let d = k.kb.binary(BinaryOp::Sub, x, m);
                    k.kb.binary(BinaryOp::Sub, d, s)
                }
                Some(panel) => {
                    let e = k.kb.load(panel, &[p.place]);
                    k.kb.binary(BinaryOp::Mul, e, s)
                }
                None => {
                    let x = op.element(k, p)?;
                    let e = exponential(k, max, p, x);
                    k.kb.binary(BinaryOp::Mul, e, s)
                }
            };
            Ok(vec![op.finish(k, p, v)?])
        })?);
        Ok(body)
    })?;
    cx.call(call);
    Ok(())
}

fn exponential(k: &mut RowKernel, max: BufId, p: &Point, x: ExprId) -> ExprId {
    let m = k.kb.load(max, &[p.lane]);
    let d = k.kb.binary(BinaryOp::Sub, x, m);
    k.kb.unary(UnaryOp::Exp, d)
}

/// Stores `v` in the panel, if there is one, and reads it from there.
fn kept(k: &mut RowKernel, panel: Option<BufId>, p: &Point, v: ExprId) -> (Vec<Stmt>, ExprId) {
    match panel {
        Some(b) => (vec![store(b, &[p.place], v)], k.kb.load(b, &[p.place])),
        None => (vec![], v),
    }
}

/// The element again: from the panel, or computed.
fn read(k: &mut RowKernel, panel: Option<BufId>, op: &RowOp, p: &Point) -> Result<ExprId, String> {
    match panel {
        Some(b) => Ok(k.kb.load(b, &[p.place])),
        None => op.element(k, p),
    }
}

/// Lowers `Norm`.
pub fn norm(cx: &mut BodyCx, anchor: usize, root: Arg, dst: Operand) -> Result<(), String> {
    let Op::Norm { kind, axis, eps } = cx.body.nodes[anchor].op else { return Err("not a normalisation".into()) };
    let op = RowOp::new(cx, anchor, root, dst);
    let roles = roles(op.shape.len(), |a| a >= axis);
    let walk = op.walk(cx, &roles)?;
    let rows = Rows::choose(cx, &walk, op.acc, false);
    let panel_size = rows.panel(cx).filter(|_| op.costly());
    let count = op.shape[axis..].iter().fold(Dim::Known(1), |a, d| a * d.clone());
    let name = super::name::kernel(cx, &[]);
    let flops = cx.ty(op.data).numel() * Dim::Known(if kind == NormKind::Layer { 6 } else { 4 }) + cx.elementwise_flops();
    let call = rows.build(cx, name, flops, &mut |k| {
        let acc = op.acc;
        let layer = kind == NormKind::Layer;
        let square = k.register("scale", acc);
        let mean = layer.then(|| k.register("mean", acc));
        let panel = panel_size.map(|n| k.kb.local("row", acc, &[n], Space::Panel));
        let zero = k.kb.number(acc, 0.0);
        let mut body = k.once(&mut |_, p| {
            let clear = [Some(square), mean].into_iter().flatten();
            Ok(clear.map(|b| store(b, &[p.lane], zero)).collect())
        })?;
        if let Some(mean) = mean {
            body.extend(k.sweep(&mut |k, p| {
                let x = op.element(k, p)?;
                let (mut out, x) = kept(k, panel, p, x);
                out.push(accumulate(ReduceOp::Sum, mean, &[p.lane], x));
                Ok(out)
            })?);
            body.extend(k.once(&mut |k, p| {
                let s = k.kb.load(mean, &[p.lane]);
                let v = divided(k, s, &count, acc);
                Ok(vec![store(mean, &[p.lane], v)])
            })?);
        }
        body.extend(k.sweep(&mut |k, p| {
            let (mut out, d) = match mean {
                Some(mean) => {
                    let x = read(k, panel, &op, p)?;
                    let m = k.kb.load(mean, &[p.lane]);
                    (vec![], k.kb.binary(BinaryOp::Sub, x, m))
                }
                None => {
                    let x = op.element(k, p)?;
                    kept(k, panel, p, x)
                }
            };
            let v = k.kb.binary(BinaryOp::Mul, d, d);
            out.push(accumulate(ReduceOp::Sum, square, &[p.lane], v));
            Ok(out)
        })?);
        body.extend(k.once(&mut |k, p| {
            let s = k.kb.load(square, &[p.lane]);
            let v = divided(k, s, &count, acc);
            let e = k.kb.number(acc, eps.get());
            let v = k.kb.binary(BinaryOp::Add, v, e);
            let v = k.kb.unary(UnaryOp::Sqrt, v);
            let v = k.kb.unary(UnaryOp::Recip, v);
            Ok(vec![store(square, &[p.lane], v)])
        })?);
        body.extend(k.sweep(&mut |k, p| {
            let mut x = read(k, panel, &op, p)?;
            if let Some(mean) = mean {
                let m = k.kb.load(mean, &[p.lane]);
                x = k.kb.binary(BinaryOp::Sub, x, m);
            }
            let s = k.kb.load(square, &[p.lane]);
            let v = k.kb.binary(BinaryOp::Mul, x, s);
            Ok(vec![op.finish(k, p, v)?])
        })?);
        Ok(body)
    })?;
    cx.call(call);
    Ok(())
}

fn divided(k: &mut RowKernel, sum: ExprId, count: &Dim, acc: DType) -> ExprId {
    let n = k.kb.dim(count);
    mean(&mut k.kb, sum, n, acc)
}
