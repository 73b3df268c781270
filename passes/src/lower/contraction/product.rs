//! From a body and its place in the loops to a finished call: the parts that matrix products and convolutions share.

use beiming_ir::kernel::{Access, Element, ExprId, Stmt};
use beiming_ir::ops::Tile;
use beiming_ir::plan::Panels;
use beiming_ir::tensor::Tensor;
use beiming_ir::types::{DType, Dim};

use super::super::body::BodyCx;
use super::super::builder::{KernelBuilder, Operand};
use super::super::inline::Inliner;
use super::gemm::{self, Extents, Gemm, Right};
use crate::tile;

/// A right operand, decided.
pub enum RightOperand {
    /// A constant to be packed into panels of the tile's columns.
    Weight(Tensor, Panels),
    /// Packed by every grid point.
    PackHere,
    /// Read in place.
    InPlace,
}

/// A product ready to be built.
pub struct Product {
    /// Extents.
    pub extents: Extents,
    /// Right operand; the panels' `nr` is filled in from the tile.
    pub right: RightOperand,
    /// Element type of the left operand.
    pub left_dtype: DType,
    /// Element type of the right operand.
    pub right_dtype: DType,
    /// Accumulator type.
    pub acc: DType,
    /// The body's node that is the product.
    pub anchor: usize,
    /// Where the result goes: the body's output, or a temporary.
    pub to: Operand,
    /// Whether the fused ops after the anchor are applied (not when the result goes to a temporary).
    pub epilogue: bool,
}

/// The operands' places, without the result's: what `matmul` and `conv` define.
pub trait Operands {
    /// Left element, see [`gemm::Contraction::left`].
    fn left(
        &self,
        inl: &mut Inliner,
        kb: &mut KernelBuilder,
        at: &gemm::Point,
        row: ExprId,
        k: ExprId,
    ) -> Result<Element, String>;
    /// Right element, see [`gemm::Contraction::right`].
    fn right(
        &self,
        inl: &mut Inliner,
        kb: &mut KernelBuilder,
        at: &gemm::Point,
        k: ExprId,
        column: ExprId,
    ) -> Result<Element, String>;
    /// Index of an element of the result.
    fn result(&self, kb: &mut KernelBuilder, to: &gemm::Cell) -> Vec<ExprId>;
}

impl Product {
    /// The tile: the one chosen before, or the tiler's choice now.
    pub fn tile(&self, cx: &BodyCx) -> Tile {
        cx.tile.unwrap_or_else(|| tile::choose(&cx.body.nodes[self.anchor].op, &self.typical(cx), cx.target).tile)
    }

    fn typical(&self, cx: &BodyCx) -> tile::Extents {
        let v = |d: &Dim| cx.typical(d).max(0) as usize;
        let e = &self.extents;
        tile::Extents {
            batch: e.batch.iter().map(v).product(),
            m: v(&e.m),
            n: v(&e.n),
            k: e.taps.iter().map(v).product::<usize>() * v(&e.depth),
            bytes: self.right_dtype.size(),
            packed: matches!(self.right, RightOperand::Weight(..)),
        }
    }

    /// Builds the kernel and appends its call.
    pub fn build(self, cx: &mut BodyCx, operands: &dyn Operands) -> Result<(), String> {
        let tile = self.tile(cx);
        let flops = self.flops();
        let label = super::label(cx, self.kind(), Some((tile, self.acc)));
        let ops = cx.op_names();
        let call = {
            let mut kb = KernelBuilder::new(cx.symbols, &gemm::grid(&self.extents, &tile));
            let right = match &self.right {
                RightOperand::Weight(t, p) => Right::Panels(kb.weight(t.clone(), Some(Panels { nr: tile.nr as usize, ..*p }))),
                RightOperand::PackHere => Right::PackHere,
                RightOperand::InPlace => Right::InPlace,
            };
            let total = self.extents.taps.iter().fold(self.extents.depth.clone(), |a, t| a * t.clone());
            // Packing rows pays where several panels pass over them; it needs a known depth.
            let several = self.extents.n.known().is_none_or(|n| n > i64::from(tile.nr));
            let pack_left = !cx.target.broadcast_from_memory
                && right != Right::PackHere
                && several
                && tile.mr > 1
                && total.known().is_some_and(|k| k > 0);
            let gemm = Gemm {
                extents: &self.extents,
                tile,
                acc: self.acc,
                right,
                pack_left,
                left_dtype: self.left_dtype,
                right_dtype: self.right_dtype,
            };
            let mut full = Full { p: &self, operands, inliner: Inliner::new(cx) };
            let body = gemm.body(&mut kb, &mut full)?;
            kb.finish(label, ops, body, flops)
        };
        cx.call(call);
        Ok(())
    }

    fn kind(&self) -> &'static str {
        if self.extents.taps.is_empty() { "matmul" } else { "conv" }
    }

    fn flops(&self) -> Dim {
        let e = &self.extents;
        let outer = e.batch.iter().chain(&e.taps).fold(Dim::from(2), |a, d| a * d.clone());
        outer * e.m.clone() * e.n.clone() * e.depth.clone()
    }
}

/// Operands with the result's store.
struct Full<'p, 'c, 'a> {
    p: &'p Product,
    operands: &'p dyn Operands,
    inliner: Inliner<'c, 'a>,
}

impl gemm::Contraction for Full<'_, '_, '_> {
    fn left(&mut self, kb: &mut KernelBuilder, at: &gemm::Point, row: ExprId, k: ExprId) -> Result<Element, String> {
        self.operands.left(&mut self.inliner, kb, at, row, k)
    }

    fn right(&mut self, kb: &mut KernelBuilder, at: &gemm::Point, k: ExprId, column: ExprId) -> Result<Element, String> {
        self.operands.right(&mut self.inliner, kb, at, k, column)
    }

    fn store(&mut self, kb: &mut KernelBuilder, to: &gemm::Cell, value: ExprId, guard: Option<ExprId>) -> Result<Stmt, String> {
        let index = self.operands.result(kb, to);
        store_result(&mut self.inliner, kb, self.p.anchor, (self.p.to, self.p.epilogue), &index, value, guard)
    }
}

/// Stores the anchor's value at `index`: through the fused ops to the body's output, or as it is to a temporary.
pub fn store_result(
    inliner: &mut Inliner,
    kb: &mut KernelBuilder,
    anchor: usize,
    (to, epilogue): (Operand, bool),
    index: &[ExprId],
    value: ExprId,
    guard: Option<ExprId>,
) -> Result<Stmt, String> {
    let cx = inliner.cx;
    let anchor_ty = &cx.types[anchor];
    let value = kb.cast(anchor_ty.dtype, value);
    let (ty, value) = if epilogue {
        inliner.bind(anchor, index, value);
        (cx.out().clone(), inliner.guarded(kb, cx.result(), index, guard)?)
    } else {
        (anchor_ty.clone(), value)
    };
    let out = kb.param(to, ty.dtype, &[ty.numel()], Access::Write);
    let at = kb.linear(index, &ty.shape);
    Ok(Stmt::Vector { dst: Element { buffer: out, index: vec![at], guard }, value, reduce: None })
}

/// Type that products and sums are held in.
pub fn accumulator(out: DType) -> DType {
    match out {
        DType::F64 | DType::F32 => out,
        d if d.is_float() => DType::F32,
        d => d,
    }
}
