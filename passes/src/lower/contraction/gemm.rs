//! The tiled product: loops over blocks, panels and register tiles around `Mma`, with the fused epilogue on the accumulators.
//!
//! What is multiplied is behind [`Contraction`]: a matrix product, or a convolution seen as one (rows are output positions,
//! the depth is the input channels, and the outer sums over the window are `taps`). The right operand is packed into panels of
//! `nr` columns at compile time, packed into scratch per grid point, or read in place where its columns are contiguous.
//!
//! Loop order: with scalars broadcast from memory (x86) a panel stays near while row tiles pass over it; with lanes of
//! vectors (NEON) a packed row tile stays near while panels pass.

use beiming_ir::kernel::{BufId, Element, ExprId, Loop, Space, Stmt, VarId};
use beiming_ir::ops::{ReduceOp, Tile};
use beiming_ir::types::{DType, Dim};

use super::super::builder::{KernelBuilder, repeat, store};

/// Extents of a product.
pub struct Extents {
    /// Independent products, outermost first; they become the first axes of the grid.
    pub batch: Vec<Dim>,
    /// Rows.
    pub m: Dim,
    /// Columns.
    pub n: Dim,
    /// Outer sums.
    pub taps: Vec<Dim>,
    /// Depth of the inner sum.
    pub depth: Dim,
}

/// Where a product's operands and result lie.
pub trait Contraction {
    /// Left element at a row and a depth. `row` lies in range wherever `guard` holds; the element is zero elsewhere.
    fn left(&mut self, kb: &mut KernelBuilder, at: &Point, row: ExprId, k: ExprId) -> Result<Element, String>;
    /// Right element at a depth and a column, unpacked.
    fn right(&mut self, kb: &mut KernelBuilder, at: &Point, k: ExprId, column: ExprId) -> Result<Element, String>;
    /// Stores what becomes of the sum `value` at a row and a column; touches nothing where `guard` is false.
    fn store(&mut self, kb: &mut KernelBuilder, to: &Cell, value: ExprId, guard: Option<ExprId>) -> Result<Stmt, String>;
}

/// A place in the outer loops.
pub struct Point<'a> {
    /// Batch coordinates.
    pub batch: &'a [ExprId],
    /// Position in the outer sums.
    pub taps: &'a [ExprId],
}

/// An element of the result.
pub struct Cell<'a> {
    /// Batch coordinates.
    pub batch: &'a [ExprId],
    /// Row.
    pub row: ExprId,
    /// Column.
    pub column: ExprId,
}

/// How the right operand is read.
#[derive(Clone, Copy, PartialEq)]
pub enum Right {
    /// From panels `[batch, panel, depth of all taps, nr]`, zero in the columns past the end; the batch is the first axis of
    /// `Extents::batch`, or one for all.
    Panels(BufId),
    /// From where it is; columns are contiguous.
    InPlace,
    /// Packed into scratch by every grid point; the depth is known and there are no taps.
    PackHere,
}

/// Columns of a tile that exist.
#[derive(Clone, Copy, PartialEq)]
enum Columns {
    All,
    First(usize),
    Guarded,
}

/// The statements of one grid point. `kb`'s grid is `batch.., column blocks, row blocks` ([`grid`]).
pub struct Gemm<'x> {
    /// Extents.
    pub extents: &'x Extents,
    /// Tile.
    pub tile: Tile,
    /// Accumulator type.
    pub acc: DType,
    /// Right operand.
    pub right: Right,
    /// Row tiles are packed into scratch.
    pub pack_left: bool,
    /// Element type of the left operand.
    pub left_dtype: DType,
    /// Element type of the right operand.
    pub right_dtype: DType,
}

/// The grid of a product.
pub fn grid(e: &Extents, t: &Tile) -> Vec<Dim> {
    let mut g = e.batch.clone();
    g.push(e.n.ceil_div(&Dim::from(i64::from(t.nc))));
    g.push(e.m.ceil_div(&Dim::from(i64::from(t.mc))));
    g
}

impl Gemm<'_> {
    /// Builds the body of a grid point.
    pub fn body(&self, kb: &mut KernelBuilder, c: &mut dyn Contraction) -> Result<Vec<Stmt>, String> {
        let batch = kb.grid[..self.extents.batch.len()].to_vec();
        let (nb, mb) = (kb.grid[batch.len()], kb.grid[batch.len() + 1]);
        let t = self.tile;
        let (mr, nr) = (i64::from(t.mr), i64::from(t.nr));
        let per_block = i64::from(t.nc / t.nr);
        let panels = self.extents.n.ceil_div(&Dim::from(nr));
        let first_panel = kb.scale(nb, &Dim::from(per_block));
        let panel_of = |kb: &mut KernelBuilder| {
            let (v, p) = kb.axis(&Dim::from(per_block));
            let panel = kb.add(first_panel, p);
            (v, kb.bounded(panel, &panels))
        };
        let panel_count = self.left_in_block(kb, first_panel, per_block, &panels, true);

        let tiles_per_block = i64::from(t.mc / t.mr);
        let rest = self.extents.m.modulo(&Dim::from(mr));
        let full = self.extents.m.floor_div(&Dim::from(mr));
        let first_tile = kb.scale(mb, &Dim::from(tiles_per_block));
        let (tv, i) = kb.axis(&Dim::from(tiles_per_block));
        let tile = kb.add(first_tile, i);
        let tile = kb.bounded(tile, &full);
        let tile_count = self.left_in_block(kb, first_tile, tiles_per_block, &full, rest.is(0));
        let row0 = kb.scale(tile, &Dim::from(mr));
        let rest_row = kb.dim(&(full.clone() * Dim::from(mr)));

        let outside = (!self.pack_left).then(|| panel_of(kb));
        let one_tile = |kb: &mut KernelBuilder, c: &mut dyn Contraction, row0, rows, guarded| -> Result<Vec<Stmt>, String> {
            let rows = Rows { first: row0, count: rows, guarded };
            if let Some((_, panel)) = outside {
                return self.tile_of(kb, c, &batch, &rows, panel, None);
            }
            let (packed, mut out) = self.pack_rows(kb, c, &batch, &rows)?;
            let (pv, panel) = panel_of(kb);
            let inner = self.tile_of(kb, c, &batch, &rows, panel, Some(packed))?;
            out.push(repeat(pv, panel_count, Loop::Serial, inner));
            Ok(out)
        };

        let mut body = vec![];
        if !full.is(0) {
            let inner = one_tile(kb, c, row0, mr as usize, false)?;
            body.push(repeat(tv, tile_count, Loop::Serial, inner));
        }
        if !rest.is(0) {
            let (rows, guarded) = match rest.known() {
                Some(r) => (r as usize, false),
                None => (mr as usize, true),
            };
            let inner = one_tile(kb, c, rest_row, rows, guarded)?;
            // The last block of rows; with an unknown number of rows there may be no rest.
            let blocks = self.extents.m.ceil_div(&Dim::from(i64::from(t.mc)));
            let mut cond = kb.not_below(mb, &(blocks - Dim::from(1)));
            if guarded {
                let (r, zero) = (kb.dim(&rest), kb.int(0));
                let some = kb.binary(beiming_ir::ops::BinaryOp::Gt, r, zero);
                cond = kb.and(cond, Some(some));
            }
            match cond {
                Some(cond) => body.push(Stmt::If { cond, then: inner }),
                None => body.extend(inner),
            }
        }
        if let Some((pv, panel)) = outside {
            let mut inside = vec![];
            if self.right == Right::PackHere {
                inside.push(self.pack_panel(kb, c, &batch, panel)?);
            }
            inside.append(&mut body);
            body.push(repeat(pv, panel_count, Loop::Serial, inside));
        }
        Ok(body)
    }

    /// How many of a block's units exist: `min(per_block, all - first)`. A block past the last unit (`only_full` is false: it
    /// holds a rest) has none.
    fn left_in_block(&self, kb: &mut KernelBuilder, first: ExprId, per_block: i64, all: &Dim, only_full: bool) -> ExprId {
        if only_full && all.modulo(&Dim::from(per_block)).is(0) {
            return kb.int(per_block);
        }
        let all = kb.dim(all);
        let left = kb.sub(all, first);
        kb.min_dim(left, &Dim::from(per_block))
    }

    /// One register tile: clear, sum, finish.
    fn tile_of(
        &self,
        kb: &mut KernelBuilder,
        c: &mut dyn Contraction,
        batch: &[ExprId],
        rows: &Rows,
        panel: ExprId,
        packed_left: Option<BufId>,
    ) -> Result<Vec<Stmt>, String> {
        let nr = self.tile.nr as usize;
        let rest = self.extents.n.modulo(&Dim::from(nr));
        let panels = self.extents.n.ceil_div(&Dim::from(nr));
        let partial = match rest.known() {
            Some(0) => None,
            Some(r) => Some(Columns::First(r as usize)),
            None => Some(Columns::Guarded),
        };
        let acc = kb.local("acc", self.acc, &[rows.count, nr], Space::Register);
        let sums = |kb: &mut KernelBuilder, c: &mut dyn Contraction, columns| {
            self.sums(kb, c, batch, rows, panel, acc, packed_left, columns)
        };
        let finish =
            |kb: &mut KernelBuilder, c: &mut dyn Contraction, columns| self.finish(kb, c, batch, rows, panel, acc, columns);
        let mut out = self.clear(kb, acc, rows.count);
        let Some(partial) = partial else {
            out.extend(sums(kb, c, Columns::All)?);
            out.extend(finish(kb, c, Columns::All)?);
            return Ok(out);
        };
        // Only reading in place cares where the columns end; panels are padded.
        let in_place = self.right == Right::InPlace;
        let last = kb.not_below(panel, &(panels.clone() - Dim::from(1)));
        let Some(last) = last else {
            out.extend(sums(kb, c, if in_place { partial } else { Columns::All })?);
            out.extend(finish(kb, c, partial)?);
            return Ok(out);
        };
        let before = kb.below(panel, &(panels - Dim::from(1)));
        let Some(before) = before else { return Err("a panel is both last and not".into()) };
        if !in_place {
            out.extend(sums(kb, c, Columns::All)?);
        }
        for (cond, columns) in [(before, Columns::All), (last, partial)] {
            let mut then = if in_place { sums(kb, c, columns)? } else { vec![] };
            then.extend(finish(kb, c, columns)?);
            out.push(Stmt::If { cond, then });
        }
        Ok(out)
    }

    fn clear(&self, kb: &mut KernelBuilder, acc: BufId, rows: usize) -> Vec<Stmt> {
        let zero = kb.identity(ReduceOp::Sum, self.acc);
        let (iv, i) = kb.axis(&Dim::from(rows));
        let (jv, j) = kb.axis(&Dim::from(self.tile.nr as usize));
        let (rows, cols) = (kb.int(rows as i64), kb.int(i64::from(self.tile.nr)));
        let inner = repeat(jv, cols, Loop::Vector, vec![store(acc, &[i, j], zero)]);
        vec![repeat(iv, rows, Loop::Unroll, vec![inner])]
    }

    /// The sum over all taps and the depth.
    #[allow(clippy::too_many_arguments)]
    fn sums(
        &self,
        kb: &mut KernelBuilder,
        c: &mut dyn Contraction,
        batch: &[ExprId],
        rows: &Rows,
        panel: ExprId,
        acc: BufId,
        packed_left: Option<BufId>,
        columns: Columns,
    ) -> Result<Vec<Stmt>, String> {
        let (taps, depth) = (&self.extents.taps, &self.extents.depth);
        let all = taps.iter().fold(depth.clone(), |a, t| a * t.clone());
        // Both packed: the taps are one long depth.
        let joined = packed_left.is_some() && matches!(self.right, Right::Panels(_));
        let loops: Vec<(VarId, ExprId, Dim)> = if joined {
            vec![]
        } else {
            taps.iter()
                .map(|t| {
                    let (v, e) = kb.axis(t);
                    (v, e, t.clone())
                })
                .collect()
        };
        let place: Vec<ExprId> = loops.iter().map(|l| l.1).collect();
        let at = Point { batch, taps: &place };
        let depth = if joined { &all } else { depth };
        let (iv, i) = kb.axis(&Dim::from(rows.count));
        let (jv, j) = kb.axis(&Dim::from(self.tile.nr as usize));
        let (kv, k) = kb.axis(depth);

        let a = match packed_left {
            Some(buffer) => {
                let k = self.tap_depth(kb, &place, k);
                Element { buffer, index: vec![k, i], guard: None }
            }
            None => {
                let (row, guard) = rows.at(kb, i, &self.extents.m);
                let mut a = c.left(kb, &at, row, k)?;
                a.guard = kb.and(a.guard, guard);
                a
            }
        };
        let b = match self.right {
            Right::Panels(buffer) => {
                let k = self.tap_depth(kb, &place, k);
                let first = match batch.first() {
                    Some(b) if !kb.buffer(buffer).shape[0].is(1) => *b,
                    _ => kb.int(0),
                };
                Element { buffer, index: vec![first, panel, k, j], guard: None }
            }
            Right::PackHere => {
                let buffer = self.panel_buffer(kb)?;
                Element { buffer, index: vec![k, j], guard: None }
            }
            Right::InPlace => {
                let (column, guard) = self.column(kb, panel, j, columns);
                let mut b = c.right(kb, &at, k, column)?;
                b.guard = kb.and(b.guard, guard);
                b
            }
        };
        let depth = kb.dim(depth);
        let mut body = vec![Stmt::Mma { acc, i: iv, j: jv, k: kv, depth, a, b }];
        for (v, _, extent) in loops.into_iter().rev() {
            let extent = kb.dim(&extent);
            body = vec![repeat(v, extent, Loop::Serial, body)];
        }
        Ok(body)
    }

    /// Position in the depth of all taps.
    fn tap_depth(&self, kb: &mut KernelBuilder, place: &[ExprId], k: ExprId) -> ExprId {
        if place.is_empty() {
            return k;
        }
        let mut index = place.to_vec();
        index.push(k);
        let mut shape = self.extents.taps.clone();
        shape.push(self.extents.depth.clone());
        kb.linear(&index, &shape)
    }

    /// The column `j` of a panel, and the condition under which it exists.
    fn column(&self, kb: &mut KernelBuilder, panel: ExprId, j: ExprId, columns: Columns) -> (ExprId, Option<ExprId>) {
        let first = kb.scale(panel, &Dim::from(i64::from(self.tile.nr)));
        let column = kb.add(first, j);
        match columns {
            Columns::All => (kb.bounded(column, &self.extents.n), None),
            Columns::First(count) => {
                let guard = kb.below(j, &Dim::from(count));
                (kb.bounded(column, &self.extents.n), guard)
            }
            Columns::Guarded => {
                let guard = kb.below(column, &self.extents.n);
                (kb.bounded(column, &self.extents.n), guard)
            }
        }
    }

    /// The epilogue: every accumulator through the fused elementwise ops to its place.
    #[allow(clippy::too_many_arguments)]
    fn finish(
        &self,
        kb: &mut KernelBuilder,
        c: &mut dyn Contraction,
        batch: &[ExprId],
        rows: &Rows,
        panel: ExprId,
        acc: BufId,
        columns: Columns,
    ) -> Result<Vec<Stmt>, String> {
        let width = match columns {
            Columns::First(n) => n,
            _ => self.tile.nr as usize,
        };
        let (iv, i) = kb.axis(&Dim::from(rows.count));
        let (jv, j) = kb.axis(&Dim::from(width));
        let (row, row_guard) = rows.at(kb, i, &self.extents.m);
        let (column, column_guard) = self.column(kb, panel, j, columns);
        let value = kb.load(acc, &[i, j]);
        let guard = kb.and(row_guard, column_guard);
        let stmt = c.store(kb, &Cell { batch, row, column }, value, guard)?;
        let (count, extent) = (kb.int(rows.count as i64), kb.int(width as i64));
        Ok(vec![repeat(iv, count, Loop::Unroll, vec![repeat(jv, extent, Loop::Vector, vec![stmt])])])
    }

    /// Copies a row tile into scratch, depth by row: `[depth of all taps, rows]`.
    fn pack_rows(
        &self,
        kb: &mut KernelBuilder,
        c: &mut dyn Contraction,
        batch: &[ExprId],
        rows: &Rows,
    ) -> Result<(BufId, Vec<Stmt>), String> {
        let all = self.extents.taps.iter().fold(self.extents.depth.clone(), |a, t| a * t.clone());
        let depth = all.known().ok_or("packing needs a known depth")? as usize;
        let buffer = kb.local("rows", self.left_dtype, &[depth, rows.count], Space::Panel);
        // Row by row: where a row lies is found once, and its depth is contiguous.
        let (iv, i) = kb.axis(&Dim::from(rows.count));
        let mut vars = vec![(iv, kb.int(rows.count as i64))];
        let mut place = vec![];
        for t in &self.extents.taps {
            let (v, e) = kb.axis(t);
            vars.push((v, kb.dim(t)));
            place.push(e);
        }
        let (kv, k) = kb.axis(&self.extents.depth);
        let (row, guard) = rows.at(kb, i, &self.extents.m);
        let mut src = c.left(kb, &Point { batch, taps: &place }, row, k)?;
        src.guard = kb.and(src.guard, guard);
        vars.push((kv, kb.dim(&self.extents.depth)));
        let d = self.tap_depth(kb, &place, k);
        let fill = src.guard.map(|_| kb.number(self.left_dtype, 0.0));
        let dst = Element { buffer, index: vec![d, i], guard: None };
        Ok((buffer, vec![Stmt::Copy { vars, dst, src, fill }]))
    }

    fn panel_buffer(&self, kb: &mut KernelBuilder) -> Result<BufId, String> {
        if let Some(b) = kb.find_local("panel") {
            return Ok(b);
        }
        let depth = self.extents.depth.known().ok_or("packing needs a known depth")? as usize;
        Ok(kb.local("panel", self.right_dtype, &[depth, self.tile.nr as usize], Space::Panel))
    }

    /// Copies a panel of the right operand into scratch, zero past the last column.
    fn pack_panel(
        &self,
        kb: &mut KernelBuilder,
        c: &mut dyn Contraction,
        batch: &[ExprId],
        panel: ExprId,
    ) -> Result<Stmt, String> {
        let buffer = self.panel_buffer(kb)?;
        let (kv, k) = kb.axis(&self.extents.depth);
        let (jv, j) = kb.axis(&Dim::from(self.tile.nr as usize));
        let whole = self.extents.n.modulo(&Dim::from(self.tile.nr as usize)).is(0);
        let (column, guard) = self.column(kb, panel, j, if whole { Columns::All } else { Columns::Guarded });
        let mut src = c.right(kb, &Point { batch, taps: &[] }, k, column)?;
        src.guard = kb.and(src.guard, guard);
        let fill = src.guard.map(|_| kb.number(self.right_dtype, 0.0));
        let vars = vec![(kv, kb.dim(&self.extents.depth)), (jv, kb.int(i64::from(self.tile.nr)))];
        Ok(Stmt::Copy { vars, dst: Element { buffer, index: vec![k, j], guard: None }, src, fill })
    }
}

/// The rows of a register tile.
struct Rows {
    first: ExprId,
    count: usize,
    /// Some may lie past the last row.
    guarded: bool,
}

impl Rows {
    /// The `i`-th row, and the condition under which it exists.
    fn at(&self, kb: &mut KernelBuilder, i: ExprId, m: &Dim) -> (ExprId, Option<ExprId>) {
        let row = kb.add(self.first, i);
        let guard = if self.guarded { kb.below(row, m) } else { None };
        (kb.bounded(row, m), guard)
    }
}
