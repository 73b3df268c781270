//! Convolutions of very few channels (a model's first): the window's last axis and the channels are one contiguous run of the
//! data once its rows are padded, so they become the depth together and the sum is long enough for the registers.

use beiming_ir::kernel::{Access, Element, ExprId, Loop};
use beiming_ir::ops::{Arg, Conv};
use beiming_ir::plan::Panels;
use beiming_ir::tensor::Tensor;
use beiming_ir::types::{Dim, TensorType};

use super::super::body::BodyCx;
use super::super::builder::{KernelBuilder, Operand, repeat, store_if};
use super::super::inline::Inliner;
use super::conv::static_extents;
use super::gemm::{Cell, Extents, Point};
use super::product::{Operands, Product, RightOperand, accumulator};
use super::source::{Source, strides};
use super::window::{Axis, window_element};

/// Most channels for which this pays.
const CHANNELS: i64 = 8;

/// Whether a convolution is of this kind.
pub fn applies(cx: &BodyCx, data: Arg, c: &Conv, weight: &TensorType) -> bool {
    let rank = c.strides.len();
    let taps = weight.shape[rank - 1].known().unwrap_or(1);
    c.groups == 1
        && c.dilations[rank - 1] == 1
        && taps > 1
        && weight.shape[rank].known().is_some_and(|n| n <= CHANNELS)
        && cx.ty(data).shape[rank].known().is_some()
        && packed_weight(
            cx,
            cx.body.nodes.iter().find_map(|n| matches!(n.op, beiming_ir::ops::Op::Conv(_)).then(|| n.args[1])),
            rank,
        )
        .is_some()
}

/// The weight as one matrix `[taps and channels, O]`, if it is a constant that can be packed so.
fn packed_weight(cx: &BodyCx, weight: Option<Arg>, rank: usize) -> Option<(Tensor, Panels)> {
    let weight = weight?;
    let ty = cx.ty(weight);
    let s = strides(cx, weight).ok()??;
    let t = cx.inputs[s.input as usize].constant.filter(|_| !s.guarded)?;
    let shape = static_extents(&ty.shape)?;
    let st: Vec<usize> =
        s.axes.iter().map(|a| a.as_ref().and_then(|d| d.known()).and_then(|v| usize::try_from(v).ok())).collect::<Option<_>>()?;
    if (0..rank).any(|i| shape[i] > 1 && shape[i + 1] > 1 && st[i] != st[i + 1] * shape[i + 1])
        || shape[rank] == 1 && st[rank - 1] != shape[rank + 1]
    {
        return None;
    }
    let rows: usize = shape[..=rank].iter().product();
    let row_stride = if shape[rank] > 1 { st[rank] } else { st[rank - 1] };
    let offset = usize::try_from(s.base.known()?).ok()?;
    Some((
        t.clone(),
        Panels { batch: 1, rows, cols: shape[rank + 1], nr: 0, offset, batch_stride: 0, row_stride, col_stride: st[rank + 1] },
    ))
}

struct Stem {
    data: Source,
    outer: Vec<Axis>,
    last: Axis,
}

/// Lowers the convolution: padded rows first, then the product.
pub fn lower(cx: &mut BodyCx, anchor: usize, c: &Conv, axes: Vec<Axis>) -> Result<(), String> {
    let rank = c.strides.len();
    let (data, weight) = (cx.body.nodes[anchor].args[0], cx.body.nodes[anchor].args[1]);
    let (x, w, out) = (cx.ty(data).clone(), cx.ty(weight).clone(), cx.types[anchor].clone());
    let (tensor, panels) = packed_weight(cx, Some(weight), rank).ok_or("the weight of a first convolution cannot be packed")?;
    let mut outer = axes;
    let last = outer.pop().ok_or("a convolution without spatial axes")?;
    let channels = x.shape[rank + 1].clone();
    let data = pad_rows(cx, data, &x, &last)?;
    let depth = channels.clone() * Dim::from(last.taps);
    let m = outer.iter().chain([&last]).fold(x.shape[0].clone(), |a, s| a * s.out.clone());
    let product = Product {
        extents: Extents {
            batch: vec![],
            m,
            n: w.shape[rank + 1].clone(),
            taps: outer.iter().map(|a| Dim::from(a.taps)).collect(),
            depth,
        },
        right: RightOperand::Weight(tensor, panels),
        left_dtype: x.dtype,
        right_dtype: w.dtype,
        acc: accumulator(out.dtype),
        anchor,
        to: Operand::Output(0),
        epilogue: true,
    };
    product.build(cx, &Stem { data, outer, last })
}

/// A temporary with the rows of the data, zeros where windows reach past them: `[N, S.., (out-1)*step + taps, C]`.
fn pad_rows(cx: &mut BodyCx, data: Arg, x: &TensorType, last: &Axis) -> Result<Source, String> {
    let rank = x.rank() - 2;
    let width = (last.out.clone() - Dim::from(1)) * Dim::from(last.step) + Dim::from(last.taps);
    let mut shape = x.shape.clone();
    shape[rank] = width.clone();
    let ty = TensorType::new(x.dtype, shape);
    let temp = cx.temp(ty.clone());
    let label = super::label(cx, "pad_rows", None);
    let call = {
        let mut kb = KernelBuilder::new(cx.symbols, &x.shape[..rank]);
        let mut inl = Inliner::new(cx);
        let ((cv, c), (wv, w)) = (kb.axis(&x.shape[rank + 1]), kb.axis(&width));
        let at = kb.offset(w, &Dim::from(last.first));
        let inside = kb.inside(at, &last.input);
        let grid = kb.grid.clone();
        let index = |p: ExprId| grid.iter().copied().chain([p, c]).collect::<Vec<_>>();
        let from = kb.bounded(at, &last.input);
        let value = inl.guarded(&mut kb, data, &index(from), inside)?;
        let zero = kb.number(x.dtype, 0.0);
        let value = match inside {
            Some(g) => kb.select(g, value, zero),
            None => value,
        };
        let out = kb.param(temp, ty.dtype, &[ty.numel()], Access::Write);
        let to = kb.linear(&index(w), &ty.shape);
        let (channels, extent) = (kb.dim(&x.shape[rank + 1]), kb.dim(&width));
        let inner = repeat(wv, extent, Loop::Vector, vec![store_if(out, &[to], None, value)]);
        kb.finish(label, vec!["pad".into()], vec![repeat(cv, channels, Loop::Serial, vec![inner])], Dim::from(0))
    };
    cx.call(call);
    Ok(Source::Temp(temp, ty))
}

impl Operands for Stem {
    fn left(&self, inl: &mut Inliner, kb: &mut KernelBuilder, at: &Point, row: ExprId, k: ExprId) -> Result<Element, String> {
        let o = kb.remainder(row, &self.last.out);
        let mut rest = kb.quotient(row, &self.last.out);
        let mut place = vec![];
        for a in self.outer.iter().rev() {
            place.push(kb.remainder(rest, &a.out));
            rest = kb.quotient(rest, &a.out);
        }
        place.reverse();
        let mut places = vec![];
        for (i, (a, o)) in self.outer.iter().zip(&place).enumerate() {
            let tap = at.taps.get(i).copied().unwrap_or_else(|| kb.int(0));
            let (x, g) = a.position(kb, *o, tap);
            places.push((x, g, a.input.clone()));
        }
        let column = kb.scale(o, &Dim::from(self.last.step));
        let Source::Temp(_, ty) = &self.data else { return Err("the padded rows are not in a temporary".into()) };
        let width = ty.shape[ty.rank() - 2].clone();
        places.push((column, None, width));
        // The run of taps and channels continues over the channels' axis: `k` counts along it.
        window_element(&self.data, inl, kb, rest, places, k)
    }

    fn right(&self, _: &mut Inliner, _: &mut KernelBuilder, _: &Point, _: ExprId, _: ExprId) -> Result<Element, String> {
        Err("the weight of a first convolution is always packed".into())
    }

    fn result(&self, kb: &mut KernelBuilder, to: &Cell) -> Vec<ExprId> {
        let mut rest = to.row;
        let mut index = vec![to.column];
        for a in self.outer.iter().chain([&self.last]).rev() {
            index.push(kb.remainder(rest, &a.out));
            rest = kb.quotient(rest, &a.out);
        }
        index.push(rest);
        index.reverse();
        index
    }
}
