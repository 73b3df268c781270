//! Convolutions as products: rows are output positions, columns output channels, the depth input channels, and the taps of the
//! window outer sums. Rows whose tap lies in the padding read zeros.
//!
//! A transposed convolution is one product for each phase of its stride: the outputs at `phase + stride*i` see only every
//! stride-th tap, so nothing is multiplied with zeros that the stride put in.

use beiming_ir::kernel::{Element, ExprId};
use beiming_ir::ops::{Arg, Conv, ConvTranspose};
use beiming_ir::plan::Panels;
use beiming_ir::tensor::Tensor;
use beiming_ir::types::Dim;

use super::super::body::BodyCx;
use super::super::builder::{KernelBuilder, Operand};
use super::super::inline::Inliner;
use super::gemm::{Cell, Extents, Point};
use super::product::{Operands, Product, RightOperand, accumulator};
use super::source::{Source, materialise, strides};
use super::stem;
use super::window::{Axis, channels_source, window_element};

/// A convolution in the terms of a product.
pub struct Window {
    /// Data.
    pub data: Source,
    /// Weights, `[K.., C/groups, O]` or what stands for it.
    pub weight: Source,
    /// Spatial axes.
    pub axes: Vec<Axis>,
    /// Output positions: `o*out_step + out_first` of the real output, an axis each.
    pub out_step: Vec<i64>,
    pub out_first: Vec<i64>,
    /// Taps in the weight: `t*tap_step + tap_first`, an axis each.
    pub tap_step: Vec<i64>,
    pub tap_first: Vec<i64>,
    /// Groups.
    pub groups: usize,
    /// Input channels of a group.
    pub depth: Dim,
    /// Output channels of a group.
    pub columns: Dim,
    /// The group is an axis of the weight's input channels (transposed) instead of its output channels.
    pub group_in_depth: bool,
}

/// Lowers a body around a convolution.
pub fn lower(cx: &mut BodyCx, anchor: usize, c: &Conv) -> Result<(), String> {
    let (data, weight) = (cx.body.nodes[anchor].args[0], cx.body.nodes[anchor].args[1]);
    let (x, w, out) = (cx.ty(data).clone(), cx.ty(weight).clone(), cx.types[anchor].clone());
    let rank = c.strides.len();
    let taps = static_extents(&w.shape[..rank]).ok_or("the window of a convolution must be known")?;
    let axes = Axis::of((&x, &out), &taps, (&c.strides, &c.dilations), &c.pads);
    if stem::applies(cx, data, c, &w) {
        return stem::lower(cx, anchor, c, axes);
    }
    let window = Window {
        data: channels_source(cx, data)?,
        weight: Source::View(weight),
        axes,
        out_step: vec![1; rank],
        out_first: vec![0; rank],
        tap_step: vec![1; rank],
        tap_first: vec![0; rank],
        groups: c.groups,
        depth: w.shape[rank].clone(),
        columns: w.shape[rank + 1].floor_div(&Dim::from(c.groups)),
        group_in_depth: false,
    };
    window.build(cx, anchor, weight, Operand::Output(0), true)
}

/// Lowers a body around a transposed convolution.
pub fn lower_transposed(cx: &mut BodyCx, anchor: usize, c: &ConvTranspose) -> Result<(), String> {
    let (data, weight) = (cx.body.nodes[anchor].args[0], cx.body.nodes[anchor].args[1]);
    let (x, w, out) = (cx.ty(data).clone(), cx.ty(weight).clone(), cx.types[anchor].clone());
    let rank = c.strides.len();
    let taps = static_extents(&w.shape[..rank]).ok_or("the window of a convolution must be known")?;
    let source = channels_source(cx, data)?;
    let phases: Vec<usize> = c.strides.clone();
    for flat in 0..phases.iter().product::<usize>() {
        let mut rest = flat;
        let mut phase = vec![0; rank];
        for i in (0..rank).rev() {
            phase[i] = rest % phases[i];
            rest /= phases[i];
        }
        let parts: Vec<PhaseAxis> =
            (0..rank).map(|i| phase_axis(c, i, phase[i], taps[i], &out.shape[1 + i], &x.shape[1 + i])).collect();
        let window = Window {
            data: source.clone(),
            weight: Source::View(weight),
            axes: parts.iter().map(|p| p.axis.clone()).collect(),
            out_step: c.strides.iter().map(|s| *s as i64).collect(),
            out_first: phase.iter().map(|p| *p as i64).collect(),
            tap_step: parts.iter().map(|p| p.tap_step).collect(),
            tap_first: parts.iter().map(|p| p.tap_first).collect(),
            groups: c.groups,
            depth: w.shape[rank].floor_div(&Dim::from(c.groups)),
            columns: w.shape[rank + 1].clone(),
            group_in_depth: true,
        };
        window.build(cx, anchor, weight, Operand::Output(0), true)?;
    }
    Ok(())
}

/// A distance that no extent reaches.
const OUTSIDE: i64 = 1 << 40;

struct PhaseAxis {
    axis: Axis,
    tap_step: i64,
    tap_first: i64,
}

/// The taps that reach outputs `o = phase + stride*i`: those with `(o + pad - t*dilation)` divisible by the stride.
/// They are an arithmetic sequence. Where there is none the outputs are what the epilogue makes of zero: one tap that is
/// always outside.
fn phase_axis(c: &ConvTranspose, i: usize, phase: usize, taps: usize, out: &Dim, input: &Dim) -> PhaseAxis {
    let (s, d, pad) = (c.strides[i] as i64, c.dilations[i] as i64, c.pads[i].0);
    let hit: Vec<i64> = (0..taps as i64).filter(|t| (phase as i64 + pad - t * d).rem_euclid(s) == 0).collect();
    let count = (out.clone() - Dim::from(phase)).ceil_div(&Dim::from(s));
    let Some(&first) = hit.first() else {
        let axis = Axis { out: count, taps: 1, step: 1, spread: 1, first: -OUTSIDE, input: input.clone() };
        return PhaseAxis { axis, tap_step: 1, tap_first: 0 };
    };
    let step = hit.get(1).map_or(1, |t| t - first);
    // Output positions of this phase: i with phase + s*i < out.
    let axis = Axis {
        out: count,
        taps: hit.len(),
        step: 1,
        spread: -(step * d) / s,
        first: (phase as i64 + pad - first * d).div_euclid(s),
        input: input.clone(),
    };
    PhaseAxis { axis, tap_step: step, tap_first: first }
}

/// Known extents.
pub fn static_extents(shape: &[Dim]) -> Option<Vec<usize>> {
    shape.iter().map(|d| d.known().and_then(|v| usize::try_from(v).ok())).collect()
}

impl Window {
    /// Builds the product and its call.
    pub fn build(mut self, cx: &mut BodyCx, anchor: usize, weight: Arg, to: Operand, epilogue: bool) -> Result<(), String> {
        let (x, w) = (cx.ty(cx.body.nodes[anchor].args[0]).clone(), cx.ty(weight).clone());
        let right = match self.packed(cx, weight)? {
            Some((t, p)) => RightOperand::Weight(t, p),
            None => {
                let plain = strides(cx, weight)?.is_some_and(|s| {
                    !s.guarded && s.axes.last().and_then(|c| c.clone()).is_some_and(|c| c.is(1) || self.columns.is(1))
                });
                if !plain {
                    self.weight = materialise(cx, weight)?;
                }
                RightOperand::InPlace
            }
        };
        let rows = self.axes.iter().fold(x.shape[0].clone(), |a, s| a * s.out.clone());
        let product = Product {
            extents: Extents {
                batch: if self.groups > 1 { vec![Dim::from(self.groups)] } else { vec![] },
                m: rows,
                n: self.columns.clone(),
                // One tap in all is a plain product.
                taps: if self.axes.iter().all(|a| a.taps == 1) {
                    vec![]
                } else {
                    self.axes.iter().map(|a| Dim::from(a.taps)).collect()
                },
                depth: self.depth.clone(),
            },
            right,
            left_dtype: x.dtype,
            right_dtype: w.dtype,
            acc: accumulator(cx.types[anchor].dtype),
            anchor,
            to,
            epilogue,
        };
        product.build(cx, &self)
    }

    /// The packing of constant weights: rows are taps and channels in one stride, which holds when every tap is used.
    fn packed(&self, cx: &BodyCx, weight: Arg) -> Result<Option<(Tensor, Panels)>, String> {
        let ty = cx.ty(weight);
        let rank = self.axes.len();
        let Some(s) = strides(cx, weight)?.filter(|s| !s.guarded) else { return Ok(None) };
        let Some(t) = cx.inputs[s.input as usize].constant else { return Ok(None) };
        let count = |d: &Dim| d.known().and_then(|v| usize::try_from(v).ok());
        let (Some(shape), Some(st)) =
            (static_extents(&ty.shape), s.axes.iter().map(|a| a.as_ref().and_then(count)).collect::<Option<Vec<_>>>())
        else {
            return Ok(None);
        };
        // Strides of the rows from the innermost: channels, then taps; each must continue the one before.
        let whole = (0..rank).all(|i| self.tap_first[i] == 0 && self.tap_step[i] == 1 && self.axes[i].taps == shape[i]);
        let one_tap = self.axes.iter().all(|a| a.taps == 1);
        let dense = |i: usize| shape[i] == 1 || st[i] == st[i + 1] * shape[i + 1];
        let lined = whole && (0..rank).all(dense) && (shape[rank] > 1 || st[rank] == shape[rank + 1]);
        if !(one_tap || lined && !(self.group_in_depth && self.groups > 1)) {
            return Ok(None);
        }
        let (Some(depth), Some(cols), Some(base)) = (count(&self.depth), count(&self.columns), count(&s.base)) else {
            return Ok(None);
        };
        let taps: usize = self.axes.iter().map(|a| a.taps).product();
        let first: usize = (0..rank).map(|i| self.tap_first[i] as usize * st[i]).sum();
        let panels = Panels {
            batch: self.groups,
            rows: taps * depth,
            cols,
            nr: 0,
            offset: base + first,
            batch_stride: if self.group_in_depth { depth * st[rank] } else { cols * st[rank + 1] },
            row_stride: st[rank],
            col_stride: st[rank + 1],
        };
        Ok(Some((t.clone(), panels)))
    }

    /// Image and output position of a row.
    fn place(&self, kb: &mut KernelBuilder, row: ExprId) -> (ExprId, Vec<ExprId>) {
        let mut rest = row;
        let mut place = vec![];
        for a in self.axes.iter().rev() {
            place.push(kb.remainder(rest, &a.out));
            rest = kb.quotient(rest, &a.out);
        }
        place.reverse();
        (rest, place)
    }

    /// Tap of each axis; no loops run over a window of one tap.
    fn tap(&self, kb: &mut KernelBuilder, taps: &[ExprId], i: usize) -> ExprId {
        taps.get(i).copied().unwrap_or_else(|| kb.int(0))
    }
}

impl Operands for Window {
    fn left(&self, inl: &mut Inliner, kb: &mut KernelBuilder, at: &Point, row: ExprId, k: ExprId) -> Result<Element, String> {
        let (image, place) = self.place(kb, row);
        let mut places = vec![];
        for (i, (a, o)) in self.axes.iter().zip(&place).enumerate() {
            let tap = self.tap(kb, at.taps, i);
            let (x, g) = a.position(kb, *o, tap);
            places.push((x, g, a.input.clone()));
        }
        let channel = match at.batch.first() {
            Some(g) => {
                let first = kb.scale(*g, &self.depth);
                kb.add(first, k)
            }
            None => k,
        };
        window_element(&self.data, inl, kb, image, places, channel)
    }

    fn right(&self, inl: &mut Inliner, kb: &mut KernelBuilder, at: &Point, k: ExprId, column: ExprId) -> Result<Element, String> {
        let mut index = vec![];
        for i in 0..self.axes.len() {
            let tap = self.tap(kb, at.taps, i);
            let t = kb.scale(tap, &Dim::from(self.tap_step[i]));
            index.push(kb.offset(t, &Dim::from(self.tap_first[i])));
        }
        let group = at.batch.first().copied();
        let part = |kb: &mut KernelBuilder, x: ExprId, extent: &Dim, on: bool| match group.filter(|_| on) {
            Some(g) => {
                let first = kb.scale(g, extent);
                kb.add(first, x)
            }
            None => x,
        };
        index.push(part(kb, k, &self.depth, self.group_in_depth));
        index.push(part(kb, column, &self.columns, !self.group_in_depth));
        self.weight.element(inl, kb, &index, None)
    }

    fn result(&self, kb: &mut KernelBuilder, to: &Cell) -> Vec<ExprId> {
        let (image, place) = self.place(kb, to.row);
        let mut index = vec![image];
        for (i, o) in place.into_iter().enumerate() {
            let o = kb.scale(o, &Dim::from(self.out_step[i]));
            index.push(kb.offset(o, &Dim::from(self.out_first[i])));
        }
        let channel = match to.batch.first() {
            Some(g) => {
                let first = kb.scale(*g, &self.columns);
                kb.add(first, to.column)
            }
            None => to.column,
        };
        index.push(channel);
        index
    }
}
