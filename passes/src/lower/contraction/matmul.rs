//! Matrix products: `[.., M, K] x [.., K, N]`, leading axes broadcast.

use beiming_ir::kernel::{Element, ExprId};
use beiming_ir::ops::Arg;
use beiming_ir::plan::Panels;
use beiming_ir::types::Dim;

use super::super::body::BodyCx;
use super::super::builder::{KernelBuilder, Operand};
use super::super::inline::Inliner;
use super::gemm::{Cell, Extents, Point};
use super::product::{Operands, Product, RightOperand, accumulator};
use super::source::{Source, Strides, materialise, strides};

/// Most bytes of a panel packed into a thread's scratch.
const SCRATCH_PANEL: i64 = 512 << 10;
/// Rows from which packing the right operand pays.
const ROWS_TO_PACK: i64 = 4;

struct MatMul {
    left: Source,
    right: Source,
    /// Axes of the operands that the loops' batch coordinates run over; `None` where the operand is broadcast.
    left_axes: Vec<Option<usize>>,
    right_axes: Vec<Option<usize>>,
    left_rank: usize,
    right_rank: usize,
    /// The leading axes are folded into the rows: the right operand has none.
    folded: Option<Vec<Dim>>,
    /// Extents of the result's leading axes.
    lead: Vec<Dim>,
}

/// Lowers a body around a matrix product.
pub fn lower(cx: &mut BodyCx, anchor: usize) -> Result<(), String> {
    let (a, b) = (cx.body.nodes[anchor].args[0], cx.body.nodes[anchor].args[1]);
    let out = cx.types[anchor].clone();
    let (at, bt) = (cx.ty(a).clone(), cx.ty(b).clone());
    let (ra, rb, ro) = (at.rank(), bt.rank(), out.rank());
    let (k, n) = (at.shape[ra - 1].clone(), bt.shape[rb - 1].clone());
    let lead = out.shape[..ro - 2].to_vec();

    let left = left_source(cx, a)?;
    let (right_source, right) = right_source(cx, b, &k, &n, &out.shape)?;

    // One right matrix for all: the leading axes are rows too.
    let fold = bt.shape[..rb - 2].iter().all(|d| d.is(1)) && !lead.is_empty() && at.shape[..ra - 2] == lead[..];
    let map = |shape: &[Dim], rank: usize| -> Vec<Option<usize>> {
        (0..lead.len())
            .map(|i| {
                let axis = (i + rank).checked_sub(ro)?;
                (!shape[axis].is(1)).then_some(axis)
            })
            .collect()
    };
    let op = MatMul {
        left,
        right: right_source,
        left_axes: map(&at.shape, ra),
        right_axes: map(&bt.shape, rb),
        left_rank: ra,
        right_rank: rb,
        folded: fold.then(|| out.shape[..ro - 1].to_vec()),
        lead: lead.clone(),
    };
    let m = out.shape[ro - 2].clone();
    let (batch, m) = if fold { (vec![], lead.iter().fold(m, |x, d| x * d.clone())) } else { (lead, m) };
    let product = Product {
        extents: Extents { batch, m, n, taps: vec![], depth: k },
        right,
        left_dtype: at.dtype,
        right_dtype: bt.dtype,
        acc: accumulator(out.dtype),
        anchor,
        to: Operand::Output(0),
        epilogue: true,
    };
    product.build(cx, &op)
}

/// True for few rows times a matrix that lies with its depth contiguous, each column a run of memory (the keys of a decoder's
/// cache): the sum along the depth in place costs less than turning the matrix around for so few rows.
pub fn runs_along_depth(cx: &BodyCx, anchor: usize) -> Result<bool, String> {
    let (a, b) = (cx.body.nodes[anchor].args[0], cx.body.nodes[anchor].args[1]);
    let few_rows = cx.types[anchor].shape.iter().rev().nth(1).and_then(Dim::known).is_some_and(|m| m < ROWS_TO_PACK);
    let long = cx.ty(a).shape.last().and_then(Dim::known).is_some_and(|k| k >= cx.lanes(cx.ty(a).dtype) as i64);
    if !few_rows || !long {
        return Ok(false);
    }
    let contiguous =
        |s: &Strides, axis: usize| s.axes.iter().rev().nth(axis).is_some_and(|x| x.as_ref().is_some_and(|c| c.is(1)));
    let Some(right) = strides(cx, b)?.filter(|s| !s.guarded) else { return Ok(false) };
    let left = strides(cx, a)?.filter(|s| !s.guarded);
    let constant = cx.inputs[right.input as usize].constant.is_some();
    let turned = contiguous(&right, 1) && !contiguous(&right, 0);
    Ok(!constant && turned && left.is_some_and(|s| contiguous(&s, 0)))
}

/// The left operand in place where its depth is contiguous (or there are few rows), else made so.
fn left_source(cx: &mut BodyCx, a: Arg) -> Result<Source, String> {
    let ty = cx.ty(a).clone();
    let few_rows = ty.shape[ty.rank() - 2].known().is_some_and(|m| m < ROWS_TO_PACK);
    let usable = strides(cx, a)?.is_some_and(|s| {
        let along = s.axes.last().and_then(|x| x.clone());
        !s.guarded && along.is_some_and(|c| c.is(1) || c.is(0) || (few_rows && c.known().is_some()))
    });
    if usable { Ok(Source::View(a)) } else { materialise(cx, a) }
}

/// How the right operand is read: constants are packed now, contiguous columns in place, the rest packed on the way.
fn right_source(cx: &mut BodyCx, b: Arg, k: &Dim, n: &Dim, out: &[Dim]) -> Result<(Source, RightOperand), String> {
    let ty = cx.ty(b).clone();
    let found = strides(cx, b)?.filter(|s| !s.guarded);
    if let Some(s) = &found
        && let Some(t) = cx.inputs[s.input as usize].constant
        && let Some(panels) = panels(s, &ty.shape, k, n, out.len())
    {
        let t = t.clone();
        return Ok((Source::View(b), RightOperand::Weight(t, panels)));
    }
    let along = found.as_ref().and_then(|s| s.axes.last().cloned().flatten());
    if along.is_some_and(|c| c.is(1)) || n.is(1) && found.is_some() {
        return Ok((Source::View(b), RightOperand::InPlace));
    }
    let fits = k.known().is_some_and(|k| k * 128 * ty.dtype.size() as i64 <= SCRATCH_PANEL);
    let pays = out[out.len() - 2].known().is_none_or(|m| m >= ROWS_TO_PACK);
    if found.is_some() && fits && pays {
        return Ok((Source::View(b), RightOperand::PackHere));
    }
    Ok((materialise(cx, b)?, RightOperand::InPlace))
}

/// The packing of a constant seen through views, if all of it is affine and it has at most one leading axis.
fn panels(s: &Strides, shape: &[Dim], k: &Dim, n: &Dim, rank: usize) -> Option<Panels> {
    let count = |d: &Dim| d.known().and_then(|v| usize::try_from(v).ok());
    let stride = |i: usize| s.axes[i].as_ref().and_then(count);
    let lead: Vec<usize> = (0..shape.len() - 2).filter(|&i| !shape[i].is(1)).collect();
    let (batch, batch_stride) = match lead.as_slice() {
        [] => (1, 0),
        // The grid's first coordinate must be this axis.
        [0] if shape.len() == rank => (count(&shape[0])?, stride(0)?),
        _ => return None,
    };
    let r = shape.len();
    Some(Panels {
        batch,
        rows: count(k)?,
        cols: count(n)?,
        nr: 0,
        offset: count(&s.base)?,
        batch_stride,
        row_stride: stride(r - 2)?,
        col_stride: stride(r - 1)?,
    })
}

impl MatMul {
    fn index(
        &self,
        kb: &mut KernelBuilder,
        axes: &[Option<usize>],
        rank: usize,
        batch: &[ExprId],
        tail: [ExprId; 2],
    ) -> Vec<ExprId> {
        let mut index = vec![kb.int(0); rank - 2];
        for (i, axis) in axes.iter().enumerate() {
            if let Some(axis) = axis {
                index[*axis] = batch[i];
            }
        }
        index.extend(tail);
        index
    }

    /// Leading coordinates and row of a folded row.
    fn unfold(&self, kb: &mut KernelBuilder, row: ExprId) -> Option<(Vec<ExprId>, ExprId)> {
        let shape = self.folded.as_ref()?;
        let mut index = vec![];
        let mut rest = row;
        for (i, d) in shape.iter().enumerate().rev() {
            if i == 0 {
                index.push(rest);
            } else {
                index.push(kb.remainder(rest, d));
                rest = kb.quotient(rest, d);
            }
        }
        index.reverse();
        let row = index.pop()?;
        Some((index, row))
    }
}

impl Operands for MatMul {
    fn left(&self, inl: &mut Inliner, kb: &mut KernelBuilder, at: &Point, row: ExprId, k: ExprId) -> Result<Element, String> {
        let index = match self.unfold(kb, row) {
            Some((lead, row)) => self.index(kb, &self.left_axes, self.left_rank, &lead, [row, k]),
            None => self.index(kb, &self.left_axes, self.left_rank, at.batch, [row, k]),
        };
        self.left.element(inl, kb, &index, None)
    }

    fn right(&self, inl: &mut Inliner, kb: &mut KernelBuilder, at: &Point, k: ExprId, column: ExprId) -> Result<Element, String> {
        let zero = vec![kb.int(0); self.lead.len()];
        let batch = if self.folded.is_some() { &zero } else { at.batch };
        let index = self.index(kb, &self.right_axes, self.right_rank, batch, [k, column]);
        self.right.element(inl, kb, &index, None)
    }

    fn result(&self, kb: &mut KernelBuilder, to: &Cell) -> Vec<ExprId> {
        let (mut index, row) = match self.unfold(kb, to.row) {
            Some(x) => x,
            None => (to.batch.to_vec(), to.row),
        };
        index.push(row);
        index.push(to.column);
        index
    }
}
