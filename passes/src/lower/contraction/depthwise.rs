//! Depthwise convolution: every channel by itself, channels on the vector lanes, several neighbouring outputs in registers so
//! that a weight is loaded once for all of them and overlapping inputs are loaded once.
//!
//! Padding costs nothing inside the loops: only the taps that lie inside are run over. Columns whose whole window is inside
//! are computed in unrolled tiles, the few at the borders one by one.

use beiming_ir::kernel::{BufId, Expr, ExprId, Loop, Space, Stmt, VarId};
use beiming_ir::ops::{BinaryOp, Conv, ReduceOp};
use beiming_ir::plan::Panels;
use beiming_ir::types::{DType, Dim};

use super::super::body::BodyCx;
use super::super::builder::{KernelBuilder, Operand, accumulate, repeat, store};
use super::super::inline::Inliner;
use super::conv::static_extents;
use super::product::{accumulator, store_result};
use super::source::{Source, materialise, strides};
use super::window::{Axis, channels_source, window_element};

/// Outputs of a tile.
const TILE: usize = 6;
/// Multiply-adds that a grid point should at least make, in vectors.
const POINT: usize = 2048;

/// Whether a convolution is of this kind: as many groups as channels, one output for each, known channels and window.
pub fn applies(cx: &BodyCx, anchor: usize, c: &Conv) -> bool {
    let (x, w) = (cx.ty(cx.body.nodes[anchor].args[0]), cx.ty(cx.body.nodes[anchor].args[1]));
    let rank = c.strides.len();
    c.groups > 1
        && static_extents(&w.shape).is_some_and(|s| s[rank] == 1 && s[rank + 1] == c.groups)
        && x.shape[rank + 1].known() == Some(c.groups as i64)
}

struct Depthwise<'x> {
    axes: &'x [Axis],
    data: &'x Source,
    /// Panels `[1, block, tap, width]`, or the weight in place.
    weight: Weight<'x>,
    width: usize,
    acc_type: DType,
    anchor: usize,
}

enum Weight<'x> {
    Panels(BufId),
    InPlace(&'x Source),
}

/// A block of channels: its number and how many channels it has.
#[derive(Clone, Copy)]
struct Block {
    number: ExprId,
    lanes: usize,
}

/// Position and tap of each outer axis, and the loops over the taps: variable and extent.
type OuterTaps = (Vec<(ExprId, ExprId)>, Vec<(VarId, ExprId)>);

/// Lowers a body around a depthwise convolution.
pub fn lower(cx: &mut BodyCx, anchor: usize, c: &Conv) -> Result<(), String> {
    let (data, weight) = (cx.body.nodes[anchor].args[0], cx.body.nodes[anchor].args[1]);
    let (x, w, out) = (cx.ty(data).clone(), cx.ty(weight).clone(), cx.types[anchor].clone());
    let rank = c.strides.len();
    let taps = static_extents(&w.shape[..rank]).ok_or("the window of a convolution must be known")?;
    let axes = Axis::of((&x, &out), &taps, (&c.strides, &c.dilations), &c.pads);
    let source = channels_source(cx, data)?;
    let acc_type = accumulator(out.dtype);
    let lanes = cx.lanes(acc_type);
    let width = if lanes >= 16 { lanes } else { lanes * 2 };
    let packed = weight_panels(cx, weight, c.groups, width)?;
    let in_place = match packed {
        Some(_) => None,
        None => Some(if strides(cx, weight)?.is_some() { Source::View(weight) } else { materialise(cx, weight)? }),
    };

    let (full, rest) = (c.groups / width, c.groups % width);
    let columns = axes[rank - 1].out.clone();
    let work = cx.typical(&columns).max(1) as usize * taps.iter().product::<usize>();
    let per_point = POINT.div_ceil(work).clamp(1, full.max(1));
    let mut grid = vec![x.shape[0].clone()];
    grid.extend(axes[..rank - 1].iter().map(|a| a.out.clone()));
    let groups = full.div_ceil(per_point).max(1);
    grid.push(Dim::from(groups));
    let flops = out.numel() * Dim::from(2 * taps.iter().product::<usize>());
    let label = super::label(cx, "conv_depthwise", None);
    let names = cx.op_names();

    let call = {
        let mut kb = KernelBuilder::new(cx.symbols, &grid);
        let mut inl = Inliner::new(cx);
        let weight = match (packed, &in_place) {
            (Some((t, p)), _) => Weight::Panels(kb.weight(t, Some(p))),
            (None, Some(s)) => Weight::InPlace(s),
            (None, None) => return Err("a depthwise weight is neither packed nor read".into()),
        };
        let d = Depthwise { axes: &axes, data: &source, weight, width, acc_type, anchor };
        let group = kb.grid[rank];
        let mut body = vec![];
        if full > 0 {
            let first = kb.scale(group, &Dim::from(per_point));
            let (v, i) = kb.axis(&Dim::from(per_point));
            let number = kb.add(first, i);
            let number = kb.bounded(number, &Dim::from(full));
            let all = kb.int(full as i64);
            let left = kb.sub(all, first);
            let count = kb.min_dim(left, &Dim::from(per_point));
            let inner = d.rows(&mut kb, &mut inl, Block { number, lanes: width })?;
            body.push(repeat(v, count, Loop::Serial, inner));
        }
        if rest > 0 {
            let number = kb.int(full as i64);
            let inner = d.rows(&mut kb, &mut inl, Block { number, lanes: rest })?;
            match kb.not_below(group, &Dim::from(groups - 1)) {
                Some(cond) => body.push(Stmt::If { cond, then: inner }),
                None => body.extend(inner),
            }
        }
        kb.finish(label, names, body, flops)
    };
    cx.call(call);
    Ok(())
}

fn weight_panels(
    cx: &BodyCx,
    weight: beiming_ir::ops::Arg,
    channels: usize,
    width: usize,
) -> Result<Option<(beiming_ir::tensor::Tensor, Panels)>, String> {
    let ty = cx.ty(weight);
    let Some(s) = strides(cx, weight)?.filter(|s| !s.guarded) else { return Ok(None) };
    let Some(t) = cx.inputs[s.input as usize].constant else { return Ok(None) };
    let count = |d: &Dim| d.known().and_then(|v| usize::try_from(v).ok());
    let rank = ty.rank() - 2;
    let (Some(shape), Some(st), Some(offset)) = (
        static_extents(&ty.shape),
        s.axes.iter().map(|a| a.as_ref().and_then(count)).collect::<Option<Vec<_>>>(),
        count(&s.base),
    ) else {
        return Ok(None);
    };
    // The taps as one row axis.
    if (0..rank.saturating_sub(1)).any(|i| shape[i] > 1 && st[i] != st[i + 1] * shape[i + 1]) {
        return Ok(None);
    }
    let rows = shape[..rank].iter().product();
    let row_stride = st[rank - 1];
    let p = Panels { batch: 1, rows, cols: channels, nr: width, offset, batch_stride: 0, row_stride, col_stride: st[rank + 1] };
    Ok(Some((t.clone(), p)))
}

impl Depthwise<'_> {
    /// One row of outputs for one block of channels.
    fn rows(&self, kb: &mut KernelBuilder, inl: &mut Inliner, block: Block) -> Result<Vec<Stmt>, String> {
        let last = self.axes.last().ok_or("a convolution without spatial axes")?;
        // Columns whose whole window is inside, where the extents are known.
        let (lo, hi) = match (last.out.known(), last.input.known()) {
            (Some(out), Some(input)) => {
                let reach = last.spread * (last.taps as i64 - 1);
                let lo = (((-last.first).max(0) + last.step - 1) / last.step).min(out);
                let hi = (input - 1 - reach - last.first).div_euclid(last.step) + 1;
                (lo, hi.clamp(lo, out))
            }
            _ => (0, 0),
        };
        let inner = (hi - lo) as usize;
        let tile = if inner == 0 { 1 } else { best_tile(inner) };
        let mut out = self.single(kb, inl, block, &Dim::from(0), &Dim::from(lo))?;
        let count = inner / tile;
        if count > 0 {
            let (v, i) = kb.axis(&Dim::from(count));
            let first = kb.scale(i, &Dim::from(tile));
            let first = kb.offset(first, &Dim::from(lo));
            let extent = kb.int(count as i64);
            let body = self.tile(kb, inl, block, first, tile)?;
            out.push(repeat(v, extent, Loop::Serial, body));
        }
        if !inner.is_multiple_of(tile) {
            let first = kb.int(lo + (count * tile) as i64);
            out.extend(self.tile(kb, inl, block, first, inner % tile)?);
        }
        let rest = last.out.clone() - Dim::from(hi);
        out.extend(self.single(kb, inl, block, &Dim::from(hi), &rest)?);
        Ok(out)
    }

    /// Loops over the taps of the outer axes that lie inside.
    fn outer(&self, kb: &mut KernelBuilder) -> OuterTaps {
        let mut at = vec![];
        let mut loops = vec![];
        for (i, a) in self.axes[..self.axes.len() - 1].iter().enumerate() {
            let o = kb.grid[1 + i];
            let (first, count) = a.taps_inside(kb, o, (0, 0));
            let (v, t) = kb.axis(&Dim::from(a.taps));
            let tap = kb.add(first, t);
            at.push((o, kb.bounded(tap, &Dim::from(a.taps))));
            loops.push((v, count));
        }
        (at, loops)
    }

    /// `count` neighbouring outputs whose windows are inside along the last axis.
    fn tile(
        &self,
        kb: &mut KernelBuilder,
        inl: &mut Inliner,
        block: Block,
        first: ExprId,
        count: usize,
    ) -> Result<Vec<Stmt>, String> {
        let last = &self.axes[self.axes.len() - 1];
        let acc = kb.local("acc", self.acc_type, &[count, block.lanes], Space::Register);
        let mut out = self.clear(kb, acc, count, block.lanes);
        let (at, loops) = self.outer(kb);
        let (tv, tap) = kb.axis(&Dim::from(last.taps));
        let (iv, i) = kb.axis(&Dim::from(count));
        let o = kb.add(first, i);
        let o = kb.bounded(o, &last.out);
        let inner = self.multiply(kb, inl, block, acc, i, &at, (o, tap))?;
        let (taps, n) = (kb.int(last.taps as i64), kb.int(count as i64));
        let mut body = vec![repeat(tv, taps, Loop::Unroll, vec![repeat(iv, n, Loop::Unroll, inner)])];
        for (v, extent) in loops.into_iter().rev() {
            body = vec![repeat(v, extent, Loop::Serial, body)];
        }
        out.extend(body);
        let (iv, i) = kb.axis(&Dim::from(count));
        let o = kb.add(first, i);
        let o = kb.bounded(o, &last.out);
        let fin = self.finish(kb, inl, block, acc, i, o)?;
        let n = kb.int(count as i64);
        out.push(repeat(iv, n, Loop::Unroll, fin));
        Ok(out)
    }

    /// Outputs `start .. start + count` one by one, over the taps that lie inside.
    fn single(
        &self,
        kb: &mut KernelBuilder,
        inl: &mut Inliner,
        block: Block,
        start: &Dim,
        count: &Dim,
    ) -> Result<Vec<Stmt>, String> {
        if count.is(0) {
            return Ok(vec![]);
        }
        let last = &self.axes[self.axes.len() - 1];
        let acc = kb.local("acc", self.acc_type, &[1, block.lanes], Space::Register);
        let (ov, i) = kb.axis(count);
        let o = kb.offset(i, start);
        let zero = kb.int(0);
        let mut body = self.clear(kb, acc, 1, block.lanes);
        let (at, mut loops) = self.outer(kb);
        let (first, taps) = last.taps_inside(kb, o, (0, 0));
        let (tv, t) = kb.axis(&Dim::from(last.taps));
        let tap = kb.add(first, t);
        let tap = kb.bounded(tap, &Dim::from(last.taps));
        let mut inner = self.multiply(kb, inl, block, acc, zero, &at, (o, tap))?;
        loops.push((tv, taps));
        for (v, extent) in loops.into_iter().rev() {
            inner = vec![repeat(v, extent, Loop::Serial, inner)];
        }
        body.extend(inner);
        body.extend(self.finish(kb, inl, block, acc, zero, o)?);
        let extent = kb.dim(count);
        Ok(vec![repeat(ov, extent, Loop::Serial, body)])
    }

    fn clear(&self, kb: &mut KernelBuilder, acc: BufId, count: usize, lanes: usize) -> Vec<Stmt> {
        let zero = kb.identity(ReduceOp::Sum, self.acc_type);
        let ((iv, i), (cv, c)) = (kb.axis(&Dim::from(count)), kb.axis(&Dim::from(lanes)));
        let (n, l) = (kb.int(count as i64), kb.int(lanes as i64));
        vec![repeat(iv, n, Loop::Unroll, vec![repeat(cv, l, Loop::Vector, vec![store(acc, &[i, c], zero)])])]
    }

    /// `acc[i, c] += data * weight` for the lanes of a block; positions and taps lie inside.
    #[allow(clippy::too_many_arguments)]
    fn multiply(
        &self,
        kb: &mut KernelBuilder,
        inl: &mut Inliner,
        block: Block,
        acc: BufId,
        i: ExprId,
        outer: &[(ExprId, ExprId)],
        last: (ExprId, ExprId),
    ) -> Result<Vec<Stmt>, String> {
        let (cv, c) = kb.axis(&Dim::from(block.lanes));
        let channel = self.channel(kb, block, c);
        let all: Vec<(ExprId, ExprId)> = outer.iter().copied().chain([last]).collect();
        let mut places = vec![];
        for (a, (o, t)) in self.axes.iter().zip(&all) {
            let (x, _) = a.position(kb, *o, *t);
            places.push((x, None, a.input.clone()));
        }
        let image = kb.grid[0];
        let e = window_element(self.data, inl, kb, image, places, channel)?;
        let x = kb.raw(Expr::Load(e, None));
        let taps: Vec<ExprId> = all.iter().map(|p| p.1).collect();
        let w = match &self.weight {
            Weight::Panels(buffer) => {
                let shape: Vec<Dim> = self.axes.iter().map(|a| Dim::from(a.taps)).collect();
                let tap = kb.linear(&taps, &shape);
                let zero = kb.int(0);
                kb.load(*buffer, &[zero, block.number, tap, c])
            }
            Weight::InPlace(s) => {
                let mut index = taps;
                index.extend([kb.int(0), channel]);
                let e = s.element(inl, kb, &index, None)?;
                kb.raw(Expr::Load(e, None))
            }
        };
        let (x, w) = (kb.cast(self.acc_type, x), kb.cast(self.acc_type, w));
        let product = kb.binary(BinaryOp::Mul, x, w);
        let lanes = kb.int(block.lanes as i64);
        Ok(vec![repeat(cv, lanes, Loop::Vector, vec![accumulate(ReduceOp::Sum, acc, &[i, c], product)])])
    }

    fn channel(&self, kb: &mut KernelBuilder, block: Block, c: ExprId) -> ExprId {
        let first = kb.scale(block.number, &Dim::from(self.width));
        kb.add(first, c)
    }

    fn finish(
        &self,
        kb: &mut KernelBuilder,
        inl: &mut Inliner,
        block: Block,
        acc: BufId,
        i: ExprId,
        o: ExprId,
    ) -> Result<Vec<Stmt>, String> {
        let (cv, c) = kb.axis(&Dim::from(block.lanes));
        let channel = self.channel(kb, block, c);
        let value = kb.load(acc, &[i, c]);
        let mut index = kb.grid[..self.axes.len()].to_vec();
        index.extend([o, channel]);
        let stmt = store_result(inl, kb, self.anchor, (Operand::Output(0), true), &index, value, None)?;
        let lanes = kb.int(block.lanes as i64);
        Ok(vec![repeat(cv, lanes, Loop::Vector, vec![stmt])])
    }
}

/// The tile that leaves the least rest.
fn best_tile(n: usize) -> usize {
    (1..=TILE.min(n)).rev().min_by_key(|t| (n / t + n % t, usize::MAX - t)).unwrap_or(1)
}
