//! Windows over channels-last data: where output positions read, and pooling.

use beiming_ir::kernel::{BufId, Element, ExprId, Loop, Space, Stmt};
use beiming_ir::ops::{BinaryOp, Pool, PoolKind, ReduceOp, UnaryOp};
use beiming_ir::types::{DType, Dim, TensorType};

use super::super::body::BodyCx;
use super::super::builder::{KernelBuilder, Operand, accumulate, repeat, store};
use super::super::inline::Inliner;
use super::product::{accumulator, store_result};
use super::source::{Source, materialise, strides};

/// One spatial axis of a window: output position `o` and tap `t` read input position `o*step + t*spread + first`.
#[derive(Clone, Debug)]
pub struct Axis {
    /// Output positions.
    pub out: Dim,
    /// Taps.
    pub taps: usize,
    /// Input positions between neighbouring outputs.
    pub step: i64,
    /// Input positions between neighbouring taps.
    pub spread: i64,
    /// Input position of output 0, tap 0.
    pub first: i64,
    /// Input positions.
    pub input: Dim,
}

impl Axis {
    /// The spatial axes of a window of `taps` over channels-last data `[N, S.., C]`.
    pub fn of(
        (data, out): (&TensorType, &TensorType),
        taps: &[usize],
        (strides, dilations): (&[usize], &[usize]),
        pads: &[(i64, i64)],
    ) -> Vec<Axis> {
        (0..taps.len())
            .map(|i| Axis {
                out: out.shape[1 + i].clone(),
                taps: taps[i],
                step: strides[i] as i64,
                spread: dilations[i] as i64,
                first: -pads[i].0,
                input: data.shape[1 + i].clone(),
            })
            .collect()
    }

    /// The input position, and the condition under which it exists.
    pub fn position(&self, kb: &mut KernelBuilder, o: ExprId, tap: ExprId) -> (ExprId, Option<ExprId>) {
        let a = kb.scale(o, &Dim::from(self.step));
        let b = kb.scale(tap, &Dim::from(self.spread));
        let x = kb.add(a, b);
        let x = kb.offset(x, &Dim::from(self.first));
        let inside = kb.inside(x, &self.input);
        (x, inside)
    }

    /// The taps of output position `o` that lie in `-pad.0 .. input + pad.1`: first and count.
    pub fn taps_inside(&self, kb: &mut KernelBuilder, o: ExprId, pad: (i64, i64)) -> (ExprId, ExprId) {
        let start = kb.scale(o, &Dim::from(self.step));
        let start = kb.offset(start, &Dim::from(self.first + pad.0));
        // Taps t with 0 <= start + t*spread < limit.
        let limit = self.input.clone() + Dim::from(pad.0 + pad.1);
        let end = kb.offset(start, &Dim::from(self.spread * (self.taps as i64 - 1)));
        if kb.within(&kb.affine(start), &limit) && kb.within(&kb.affine(end), &limit) {
            return (kb.int(0), kb.int(self.taps as i64));
        }
        let (zero, taps, spread, limit) = (kb.int(0), kb.int(self.taps as i64), kb.int(self.spread), kb.dim(&limit));
        let one_less = kb.int(self.spread - 1);
        // ceil(-start / spread) taps lie before, ceil((limit - start) / spread) start before the end.
        let before = kb.binary(BinaryOp::Sub, one_less, start);
        let before = kb.binary(BinaryOp::Max, before, zero);
        let before = kb.binary(BinaryOp::Div, before, spread);
        let room = kb.binary(BinaryOp::Sub, limit, start);
        let room = kb.binary(BinaryOp::Add, room, one_less);
        let room = kb.binary(BinaryOp::Max, room, zero);
        let stop = kb.binary(BinaryOp::Div, room, spread);
        let stop = kb.binary(BinaryOp::Min, stop, taps);
        (before, kb.binary(BinaryOp::Sub, stop, before))
    }
}

/// The operand of a window that is read along its channels: in place where they are contiguous.
pub fn channels_source(cx: &mut BodyCx, arg: beiming_ir::ops::Arg) -> Result<Source, String> {
    let usable = strides(cx, arg)?
        .is_some_and(|s| !s.guarded && s.axes.last().and_then(|c| c.clone()).is_some_and(|c| c.is(1) || c.is(0)));
    if usable { Ok(Source::View(arg)) } else { materialise(cx, arg) }
}

/// Vectors of channels that one pass of a window loop holds in registers.
const CHANNEL_VECTORS: usize = 4;

/// Lowers a body around a pooling: a grid over output rows, channels on the lanes, taps one after another.
pub fn lower_pool(cx: &mut BodyCx, anchor: usize, p: &Pool) -> Result<(), String> {
    let data = cx.body.nodes[anchor].args[0];
    let (ty, out) = (cx.ty(data).clone(), cx.types[anchor].clone());
    let rank = p.window.len();
    let axes = Axis::of((&ty, &out), &p.window, (&p.strides, &p.dilations), &p.pads);
    let source = channels_source(cx, data)?;
    let channels = ty.shape[rank + 1].clone();
    let acc_type = if matches!(p.kind, PoolKind::Max) { ty.dtype } else { accumulator(ty.dtype) };
    let width = cx.lanes(acc_type) * CHANNEL_VECTORS;
    let blocks = channels.ceil_div(&Dim::from(width));

    // Grid: image, all spatial axes but the last, the last, blocks of channels.
    let mut grid = vec![ty.shape[0].clone()];
    grid.extend(axes.iter().map(|a| a.out.clone()));
    grid.push(blocks.clone());
    let flops = out.numel() * Dim::from(p.window.iter().product::<usize>());
    let label = super::label(cx, "pool", None);
    let names = cx.op_names();
    let call = {
        let mut kb = KernelBuilder::new(cx.symbols, &grid);
        let mut inl = Inliner::new(cx);
        let at = kb.grid.clone();
        let (image, place, block) = (at[0], at[1..=rank].to_vec(), at[rank + 1]);
        let acc = kb.local("acc", acc_type, &[width], Space::Register);
        let first = kb.scale(block, &Dim::from(width));
        let mut body = vec![];
        let pooling =
            Pooling { p, axes: &axes, source: &source, acc, acc_type, image, place: &place, first, channels: &channels };
        let rest = channels.modulo(&Dim::from(width));
        match rest.known() {
            Some(0) => body.extend(pooling.block(&mut kb, &mut inl, anchor, width, false)?),
            Some(r) => {
                let (not_last, last) =
                    (kb.below(block, &(blocks.clone() - Dim::from(1))), kb.not_below(block, &(blocks - Dim::from(1))));
                if let Some(cond) = not_last.filter(|_| last.is_some()) {
                    body.push(Stmt::If { cond, then: pooling.block(&mut kb, &mut inl, anchor, width, false)? });
                }
                let tail = pooling.block(&mut kb, &mut inl, anchor, r as usize, false)?;
                match last {
                    Some(cond) => body.push(Stmt::If { cond, then: tail }),
                    None => body.extend(tail),
                }
            }
            None => body.extend(pooling.block(&mut kb, &mut inl, anchor, width, true)?),
        }
        kb.finish(label, names, body, flops)
    };
    cx.call(call);
    Ok(())
}

struct Pooling<'x> {
    p: &'x Pool,
    axes: &'x [Axis],
    source: &'x Source,
    acc: BufId,
    acc_type: DType,
    image: ExprId,
    place: &'x [ExprId],
    first: ExprId,
    channels: &'x Dim,
}

impl Pooling<'_> {
    /// One block of `width` channels; `guarded` where some may not exist.
    fn block(
        &self,
        kb: &mut KernelBuilder,
        inl: &mut Inliner,
        anchor: usize,
        width: usize,
        guarded: bool,
    ) -> Result<Vec<Stmt>, String> {
        let op = if matches!(self.p.kind, PoolKind::Max) { ReduceOp::Max } else { ReduceOp::Sum };
        let lanes = kb.int(width as i64);
        let channel = |kb: &mut KernelBuilder| {
            let (v, c) = kb.axis(&Dim::from(width));
            let x = kb.add(self.first, c);
            let guard = if guarded { kb.below(x, self.channels) } else { None };
            (v, c, kb.bounded(x, self.channels), guard)
        };

        let start = kb.identity(op, self.acc_type);
        let (v, c, ..) = channel(kb);
        let mut out = vec![repeat(v, lanes, Loop::Vector, vec![store(self.acc, &[c], start)])];

        // Taps: a tap outside is skipped as a whole, for all channels.
        let mut loops = vec![];
        let mut index = vec![self.image];
        let mut inside = None;
        for (a, o) in self.axes.iter().zip(self.place) {
            let (tv, t) = kb.axis(&Dim::from(a.taps));
            let (x, g) = a.position(kb, *o, t);
            inside = kb.and(inside, g);
            index.push(kb.bounded(x, &a.input));
            loops.push((tv, kb.int(a.taps as i64)));
        }
        let (v, c, ch, guard) = channel(kb);
        index.push(ch);
        let e = self.source.element(inl, kb, &index, guard)?;
        let dtype = kb.buffer(e.buffer).dtype;
        let other = e.guard.map(|_| kb.number(dtype, 0.0));
        let x = kb.raw(beiming_ir::kernel::Expr::Load(e, other));
        let x = kb.cast(self.acc_type, x);
        let x = self.term(kb, x);
        let mut inner = vec![repeat(v, lanes, Loop::Vector, vec![accumulate(op, self.acc, &[c], x)])];
        if let Some(cond) = inside {
            inner = vec![Stmt::If { cond, then: inner }];
        }
        for (v, extent) in loops.into_iter().rev() {
            inner = vec![repeat(v, extent, Loop::Serial, inner)];
        }
        out.extend(inner);

        let (v, c, ch, guard) = channel(kb);
        let sum = kb.load(self.acc, &[c]);
        let value = self.finish(kb, sum);
        let mut at = vec![self.image];
        at.extend(self.place);
        at.push(ch);
        let stmt = store_result(inl, kb, anchor, (Operand::Output(0), true), &at, value, guard)?;
        out.push(repeat(v, lanes, Loop::Vector, vec![stmt]));
        Ok(out)
    }

    fn term(&self, kb: &mut KernelBuilder, x: ExprId) -> ExprId {
        match self.p.kind {
            PoolKind::Max | PoolKind::Avg { .. } => x,
            PoolKind::Lp { p } => {
                let a = kb.unary(UnaryOp::Abs, x);
                let p = kb.number(self.acc_type, p.get());
                kb.binary(BinaryOp::Pow, a, p)
            }
        }
    }

    fn finish(&self, kb: &mut KernelBuilder, sum: ExprId) -> ExprId {
        match self.p.kind {
            PoolKind::Max => sum,
            PoolKind::Lp { p } => {
                let p = kb.number(self.acc_type, 1.0 / p.get());
                kb.binary(BinaryOp::Pow, sum, p)
            }
            PoolKind::Avg { padded } => {
                let mut count = kb.int(1);
                for (i, (a, o)) in self.axes.iter().zip(self.place).enumerate() {
                    let (_, n) = a.taps_inside(kb, *o, if padded { self.p.pads[i] } else { (0, 0) });
                    count = kb.binary(BinaryOp::Mul, count, n);
                }
                let count = kb.cast(self.acc_type, count);
                kb.binary(BinaryOp::Div, sum, count)
            }
        }
    }
}

/// The element a window reads at an image, positions with their conditions, and a channel.
pub fn window_element(
    source: &Source,
    inl: &mut Inliner,
    kb: &mut KernelBuilder,
    image: ExprId,
    places: Vec<(ExprId, Option<ExprId>, Dim)>,
    channel: ExprId,
) -> Result<Element, String> {
    let mut index = vec![image];
    let mut inside = None;
    for (x, g, extent) in places {
        inside = kb.and(inside, g);
        index.push(kb.bounded(x, &extent));
    }
    index.push(channel);
    let mut e = source.element(inl, kb, &index, None)?;
    e.guard = kb.and(e.guard, inside);
    Ok(e)
}
