//! The inliner: the scalar value of a body's argument at an index, composed through views and elementwise ops down to loads of
//! the body's inputs. Views only change the index; what lies outside a padded or joined part is not touched (guards). A value
//! used at several indices is computed again at each: inside a fused group that is what fusing means.

use std::collections::HashMap;

use beiming_ir::kernel::{Access, BufId, Element, Expr, ExprId};
use beiming_ir::ops::{Arg, BinaryOp, Op, PadMode, UnaryOp};
use beiming_ir::types::{DType, Dim};

use super::body::BodyCx;
use super::builder::{KernelBuilder, Operand};

/// Reads a body's values into one kernel.
pub struct Inliner<'c, 'a> {
    /// The body.
    pub cx: &'c BodyCx<'a>,
    /// Nodes whose value the kernel has in hand: node, index, value there.
    bound: Vec<(u32, Vec<ExprId>, ExprId)>,
    memo: HashMap<(Arg, Vec<ExprId>, Option<ExprId>), ExprId>,
}

impl<'c, 'a> Inliner<'c, 'a> {
    /// An inliner for one kernel.
    pub fn new(cx: &'c BodyCx<'a>) -> Inliner<'c, 'a> {
        Inliner { cx, bound: vec![], memo: HashMap::new() }
    }

    /// States that node `n` has `value` at `index` (an accumulator in an epilogue). It is an error to ask for it elsewhere.
    pub fn bind(&mut self, n: usize, index: &[ExprId], value: ExprId) {
        self.bound.retain(|b| b.0 != n as u32);
        self.bound.push((n as u32, index.to_vec(), value));
        self.memo.clear();
    }

    /// The value of `arg` at `index`, one entry an axis of its type.
    pub fn value(&mut self, kb: &mut KernelBuilder, arg: Arg, index: &[ExprId]) -> Result<ExprId, String> {
        self.guarded(kb, arg, index, None)
    }

    /// As `value`, reading nothing where `guard` is false; what the result is there is open.
    pub fn guarded(
        &mut self,
        kb: &mut KernelBuilder,
        arg: Arg,
        index: &[ExprId],
        guard: Option<ExprId>,
    ) -> Result<ExprId, String> {
        let n = match arg {
            Arg::Input(n) => return Ok(self.input(kb, n, index, guard)),
            Arg::Node(n) => n,
        };
        if let Some((_, at, v)) = self.bound.iter().find(|b| b.0 == n) {
            return if at == index { Ok(*v) } else { Err("the anchor's result is read at another position".into()) };
        }
        if let Some(operand) = self.cx.stored.get(&n) {
            let ty = &self.cx.types[n as usize];
            let buffer = kb.param(*operand, ty.dtype, &[ty.numel()], Access::Read);
            let at = kb.linear(index, &ty.shape);
            let other = kb.number(ty.dtype, 0.0);
            return Ok(kb.load_if(buffer, &[at], guard, other));
        }
        let key = (arg, index.to_vec(), guard);
        if let Some(v) = self.memo.get(&key) {
            return Ok(*v);
        }
        let v = self.node(kb, n as usize, index, guard)?;
        self.memo.insert(key, v);
        Ok(v)
    }

    /// The plain element that `arg` has at `index`, with the value where its guard is false, when it is an element of an input
    /// seen through views only.
    pub fn element(
        &mut self,
        kb: &mut KernelBuilder,
        arg: Arg,
        index: &[ExprId],
    ) -> Result<Option<(Element, Option<ExprId>)>, String> {
        let v = self.value(kb, arg, index)?;
        Ok(match kb.expr(v) {
            Expr::Load(e, other) => Some((e.clone(), *other)),
            _ => None,
        })
    }

    /// The parameter of an input, flat.
    pub fn input_buffer(&self, kb: &mut KernelBuilder, n: u32) -> BufId {
        let ty = &self.cx.inputs[n as usize].ty;
        kb.param(Operand::Input(n), ty.dtype, &[ty.numel()], Access::Read)
    }

    fn input(&mut self, kb: &mut KernelBuilder, n: u32, index: &[ExprId], guard: Option<ExprId>) -> ExprId {
        let input = &self.cx.inputs[n as usize];
        if let Some(t) = input.constant.filter(|t| t.len() == 1) {
            return kb.constant(t.dtype, t.get(0));
        }
        let buffer = self.input_buffer(kb, n);
        let at = kb.linear(index, &input.ty.shape);
        let other = kb.number(input.ty.dtype, 0.0);
        kb.load_if(buffer, &[at], guard, other)
    }

    fn node(&mut self, kb: &mut KernelBuilder, n: usize, index: &[ExprId], guard: Option<ExprId>) -> Result<ExprId, String> {
        let around = kb.come_from(Some(n as u32));
        let v = self.op(kb, n, index, guard);
        kb.come_from(around);
        v
    }

    fn op(&mut self, kb: &mut KernelBuilder, n: usize, index: &[ExprId], guard: Option<ExprId>) -> Result<ExprId, String> {
        let body = self.cx.body.clone();
        let node = &body.nodes[n];
        let shape = self.cx.types[n].shape.clone();
        let args = &node.args;
        let arg_shape = |i: usize| self.cx.ty(args[i]).shape.clone();
        match &node.op {
            Op::Unary(op) => {
                let a = self.guarded(kb, args[0], index, guard)?;
                Ok(kb.unary(*op, a))
            }
            Op::Binary(op) => {
                let a = self.spread(kb, args[0], index, &shape, guard)?;
                let b = self.spread(kb, args[1], index, &shape, guard)?;
                Ok(kb.binary(*op, a, b))
            }
            Op::Select => {
                let c = self.spread(kb, args[0], index, &shape, guard)?;
                let a = self.spread(kb, args[1], index, &shape, guard)?;
                let b = self.spread(kb, args[2], index, &shape, guard)?;
                Ok(kb.select(c, a, b))
            }
            Op::Cast { to } => {
                let a = self.guarded(kb, args[0], index, guard)?;
                Ok(kb.cast(*to, a))
            }
            Op::Bitcast { to } => {
                let a = self.guarded(kb, args[0], index, guard)?;
                Ok(if kb.dtype(a) == *to { a } else { kb.raw(Expr::Bitcast(*to, a)) })
            }
            Op::DimValue { dims } => {
                let mut v = match dims.last() {
                    Some(d) => kb.dim(d),
                    None => kb.int(0),
                };
                if let Some(i) = kb.affine(index[0]).base.known().filter(|_| kb.affine(index[0]).terms.is_empty()) {
                    return Ok(dims.get(i as usize).map_or(v, |d| kb.dim(d)));
                }
                for (i, d) in dims.iter().enumerate().rev().skip(1) {
                    let (at, d) = (kb.int(i as i64), kb.dim(d));
                    let hit = kb.binary(BinaryOp::Eq, index[0], at);
                    v = kb.select(hit, d, v);
                }
                Ok(v)
            }
            Op::Iota { dtype, axis, .. } => Ok(kb.cast(*dtype, index[*axis])),
            Op::Reshape { .. } => {
                let at = kb.reshape_index(index, &shape, &arg_shape(0));
                self.guarded(kb, args[0], &at, guard)
            }
            Op::Transpose { perm } => {
                let mut at = index.to_vec();
                for (i, &p) in perm.iter().enumerate() {
                    at[p] = index[i];
                }
                self.guarded(kb, args[0], &at, guard)
            }
            Op::Broadcast { .. } => self.spread(kb, args[0], index, &shape, guard),
            Op::Slice(s) => {
                let at: Vec<ExprId> = (0..index.len())
                    .map(|a| {
                        let i = kb.scale(index[a], &Dim::Known(s.step[a]));
                        kb.offset(i, &s.start[a])
                    })
                    .collect();
                self.guarded(kb, args[0], &at, guard)
            }
            Op::Reverse { axes } => {
                let mut at = index.to_vec();
                for &a in axes {
                    let i = kb.scale(index[a], &Dim::Known(-1));
                    at[a] = kb.offset(i, &(shape[a].clone() - Dim::Known(1)));
                }
                self.guarded(kb, args[0], &at, guard)
            }
            Op::Pad { lo, hi, mode } => self.pad(kb, args, (lo, hi), *mode, index, guard),
            Op::Concat { axis } => self.concat(kb, args, *axis, index, guard),
            Op::Gather { axis } => {
                let rank = self.cx.ty(args[1]).rank();
                let i = self.guarded(kb, args[1], &index[*axis..*axis + rank], guard)?;
                let data = arg_shape(0);
                let (i, guard) = position(kb, i, &data[*axis], guard);
                let mut at = index[..*axis].to_vec();
                at.push(i);
                at.extend(&index[*axis + rank..]);
                self.guarded(kb, args[0], &at, guard)
            }
            Op::GatherElements { axis } => {
                let i = self.guarded(kb, args[1], index, guard)?;
                let (i, guard) = position(kb, i, &arg_shape(0)[*axis], guard);
                let mut at = index.to_vec();
                at[*axis] = i;
                self.guarded(kb, args[0], &at, guard)
            }
            Op::GatherNd { batch } => {
                let (data, indices) = (arg_shape(0), arg_shape(1));
                let lead = indices.len() - 1;
                let tuple = indices[lead].known().ok_or("gather_nd needs a known number of indices in a tuple")?;
                let mut at = index[..*batch].to_vec();
                let mut guard = guard;
                for k in 0..tuple {
                    let mut from = index[..lead].to_vec();
                    from.push(kb.int(k));
                    let i = self.guarded(kb, args[1], &from, guard)?;
                    let (i, g) = position(kb, i, &data[*batch + k as usize], guard);
                    guard = g;
                    at.push(i);
                }
                at.extend(&index[lead..]);
                self.guarded(kb, args[0], &at, guard)
            }
            Op::GatherWindow(p) => super::gather_window::value(self, kb, p, args, index, guard),
            Op::DynamicSlice { .. } => {
                let data = arg_shape(0);
                let mut at = vec![];
                for a in 0..index.len() {
                    let room = data[a].clone() - shape[a].clone() + Dim::Known(1);
                    if room.is(1) {
                        at.push(index[a]);
                        continue;
                    }
                    let k = kb.int(a as i64);
                    let start = self.guarded(kb, args[1], &[k], guard)?;
                    let start = kb.cast(DType::I64, start);
                    let start = kb.clamp_index(start, &room);
                    at.push(kb.add(start, index[a]));
                }
                self.guarded(kb, args[0], &at, guard)
            }
            Op::Resize(r) => super::resize::value(self, kb, n, r, index, guard),
            op => Err(format!("`{}` cannot be computed element by element inside a group", op.name())),
        }
    }

    /// The value of `arg` at the position that numpy's broadcast gives it in a result of `shape`.
    pub fn spread(
        &mut self,
        kb: &mut KernelBuilder,
        arg: Arg,
        index: &[ExprId],
        shape: &[Dim],
        guard: Option<ExprId>,
    ) -> Result<ExprId, String> {
        let from = self.cx.ty(arg).shape.clone();
        let skip = shape.len() - from.len();
        let mut at = Vec::with_capacity(from.len());
        for (a, d) in from.iter().enumerate() {
            at.push(if d.is(1) {
                kb.int(0)
            } else if *d == shape[a + skip] {
                index[a + skip]
            } else {
                // Known only at run time whether this axis is broadcast: it has the extent of the result, or one.
                kb.min_dim(index[a + skip], &(d.clone() - Dim::Known(1)))
            });
        }
        self.guarded(kb, arg, &at, guard)
    }

    fn pad(
        &mut self,
        kb: &mut KernelBuilder,
        args: &[Arg],
        (lo, hi): (&[Dim], &[Dim]),
        mode: PadMode,
        index: &[ExprId],
        guard: Option<ExprId>,
    ) -> Result<ExprId, String> {
        let data = self.cx.ty(args[0]).shape.clone();
        let mut at: Vec<ExprId> = vec![];
        let mut inside = None;
        for (a, n) in data.iter().enumerate() {
            // Negative amounts crop before anything is padded: what is left is `n` elements from `first` on.
            let cropped = |d: &Dim| if kb.at_least(d, 0) { Dim::Known(0) } else { d.min_of(&Dim::Known(0)) };
            let (front, back) = (cropped(&lo[a]), cropped(&hi[a]));
            let first = front.clone() * Dim::Known(-1);
            let n = &(n.clone() + front.clone() + back);
            let x = kb.offset(index[a], &(front - lo[a].clone()));
            let inner = match mode {
                PadMode::Constant => {
                    let g = kb.inside(x, n);
                    inside = kb.and(inside, g);
                    x
                }
                _ if kb.within(&kb.affine(x), n) => x,
                PadMode::Edge => kb.clamp_index(x, n),
                PadMode::Wrap => kb.remainder(x, n),
                PadMode::Reflect => reflect(kb, x, n),
            };
            at.push(kb.offset(inner, &first));
        }
        let Some(inside) = inside else { return self.guarded(kb, args[0], &at, guard) };
        let both = kb.and(guard, Some(inside));
        let v = self.guarded(kb, args[0], &at, both)?;
        let fill = self.guarded(kb, args[1], &[], guard)?;
        Ok(match kb.expr(v).clone() {
            Expr::Load(e, _) if e.guard == both => kb.raw(Expr::Load(e, Some(fill))),
            _ => kb.select(inside, v, fill),
        })
    }

    fn concat(
        &mut self,
        kb: &mut KernelBuilder,
        args: &[Arg],
        axis: usize,
        index: &[ExprId],
        guard: Option<ExprId>,
    ) -> Result<ExprId, String> {
        // Parts from the last to the first: `x < end of part ? part : what follows`.
        let mut start = Dim::Known(0);
        let mut parts = vec![];
        for &a in args {
            let extent = self.cx.ty(a).shape[axis].clone();
            if !extent.is(0) {
                parts.push((a, start.clone(), start.clone() + extent.clone()));
            }
            start = start + extent;
        }
        let mut value = None;
        for (i, (arg, start, end)) in parts.iter().enumerate().rev() {
            let low = if i == 0 { None } else { kb.not_below(index[axis], start) };
            let high = if i + 1 == parts.len() { None } else { kb.below(index[axis], end) };
            let mut at = index.to_vec();
            at[axis] = kb.offset(index[axis], &(start.clone() * Dim::Known(-1)));
            let here = kb.and(low, high);
            let here = kb.and(guard, here);
            let v = self.guarded(kb, *arg, &at, here)?;
            value = Some(match (value, high) {
                (Some(next), Some(c)) => kb.select(c, v, next),
                _ => v,
            });
        }
        value.ok_or_else(|| "a join of empty tensors only".into())
    }
}

/// A loaded index as a position in `0..extent`: negative ones count from the end, the rest is clamped. The guard is narrowed
/// where the axis may be empty.
fn position(kb: &mut KernelBuilder, i: ExprId, extent: &Dim, guard: Option<ExprId>) -> (ExprId, Option<ExprId>) {
    let mut i = kb.cast(DType::I64, i);
    if kb.not_below(i, &Dim::Known(0)).is_some() {
        let (zero, n) = (kb.int(0), kb.dim(extent));
        let negative = kb.binary(BinaryOp::Lt, i, zero);
        let from_end = kb.binary(BinaryOp::Add, i, n);
        i = kb.select(negative, from_end, i);
    }
    let i = kb.clamp_index(i, extent);
    if kb.at_least(extent, 1) {
        return (i, guard);
    }
    let (zero, n) = (kb.int(0), kb.dim(extent));
    let some = kb.binary(BinaryOp::Gt, n, zero);
    (i, kb.and(guard, Some(some)))
}

/// The mirror image of `x` in `0..n` without repeating the borders.
fn reflect(kb: &mut KernelBuilder, x: ExprId, n: &Dim) -> ExprId {
    if n.is(1) {
        return kb.int(0);
    }
    let last = n.clone() - Dim::Known(1);
    let once = kb
        .bounds(&kb.affine(x))
        .is_some_and(|(lo, hi)| kb.at_least(&(lo + last.clone()), 0) && kb.at_least(&(last.clone() * Dim::Known(2) - hi), 0));
    let top = kb.dim(&last);
    let folded = if once {
        kb.unary(UnaryOp::Abs, x)
    } else {
        // Longer padding than the tensor reflects again and again, with period 2 (n - 1).
        kb.remainder(x, &(last.clone() * Dim::Known(2)))
    };
    let back = kb.binary(BinaryOp::Sub, top, folded);
    let back = kb.unary(UnaryOp::Abs, back);
    let e = kb.binary(BinaryOp::Sub, top, back);
    kb.assume(e, Dim::Known(0), last);
    e
}
