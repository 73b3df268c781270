//! Matrix products on the cube cores. A grid point is one base tile of the result: operands come from global memory into L1
//! (several steps of the depth at once), step by step into the operand buffers, are multiplied into the accumulators, and the
//! finished tile leaves through the fixpipe, which rounds it to the result's type. Tile and copies are the tiler's
//! (`npu::matmul`).
//!
//! Edges: tiles in L1 are filled up with zeros, so that every load and product is whole; only what exists is written back.

use beiming_ir::kernel::{Access, BufId, Element, ExprId, Loop, Space, Stmt};
use beiming_ir::ops::{Arg, BinaryOp, Op};
use beiming_ir::target::npu::{Generation, Npu};
use beiming_ir::types::{DType, Dim};

use super::conv::{self, Window};
use super::fit::{self, Made};
use super::operands::{Side, materialise, param, side, transposed};
use crate::lower::body::BodyCx;
use crate::lower::builder::{KernelBuilder, Operand, repeat, store};
use crate::npu::matmul::{Product, base_tiles, choose, widest_copy};

/// A product, and how it is tiled.
pub struct Plan {
    /// The product's node.
    pub anchor: usize,
    /// The schedule.
    pub tile: Tiling,
    /// Rows, columns, depth.
    pub dims: [Dim; 3],
    /// Extents of the batch.
    pub batch: Vec<Dim>,
    /// Operands.
    pub sides: [Side; 2],
    /// Type of the operands, of the accumulators and of the result.
    pub dtypes: [DType; 3],
    /// Of a convolution: how its left operand is gathered.
    pub window: Option<Window>,
    /// What the tile was chosen for.
    pub product: Product,
}

/// What the schedule chose: rows, columns and depth of a step, and steps of a copy.
#[derive(Clone, Copy)]
pub struct Tiling {
    /// Rows of a base tile.
    pub bm: i64,
    /// Columns of a base tile.
    pub bn: i64,
    /// Depth of a step.
    pub bk: i64,
    /// Steps of a copy into L1.
    pub steps: i64,
}

impl Plan {
    /// The grid: the batch, then base tiles along rows (of a convolution: along rows and columns of its images) and columns.
    pub fn grid(&self) -> Vec<Dim> {
        let mut grid = self.batch.clone();
        match &self.window {
            Some(w) => grid.extend(w.tiles()),
            None => grid.push(self.dims[0].ceil_div(&Dim::Known(self.tile.bm))),
        }
        grid.push(self.dims[1].ceil_div(&Dim::Known(self.tile.bn)));
        grid
    }

    /// Part of a kernel's name.
    pub fn tile_name(&self) -> String {
        format!("t{}x{}x{}", self.tile.bm, self.tile.bn, self.tile.bk)
    }

    /// What was made with this plan; `may`: false for base tiles that are too large for more than the cube unit's memories.
    pub fn made<'n>(&self, npu: &'n Npu, may: impl Fn([i64; 3]) -> bool + 'n) -> Made<'n> {
        let size = self.dtypes[0].size() as i64;
        let once = move |[bm, bn, bk]: [i64; 3]| {
            let within = |elements: i64, size: i64, most: u32| elements * size <= i64::from(most);
            within(bm * bk, size, npu.core.l0a) && within(bk * bn, size, npu.core.l0b) && within(bm * bn, 4, npu.core.l0c)
        };
        let of_window = self.window.is_some();
        Made {
            tile: [self.tile.bm, self.tile.bn, self.tile.bk],
            of_window,
            product: self.product,
            may: Box::new(move |t| once(t) && may(t)),
        }
    }

    /// Arithmetic operations.
    pub fn flops(&self, cx: &BodyCx) -> Dim {
        cx.types[self.anchor].numel() * self.dims[2].clone() * Dim::Known(2)
    }
}

/// Where a base tile of a kernel stands.
pub struct Place {
    /// The accumulators.
    pub acc: BufId,
    /// First row and column.
    pub start: [ExprId; 2],
    /// Rows and columns from there to the ends.
    pub left: [ExprId; 2],
    /// Coordinates of the batch.
    pub batch: Vec<ExprId>,
}

/// Lowers `root`, the product `anchor` itself or a conversion of it that the fixpipe does, into `dst`.
pub fn lower(cx: &mut BodyCx, npu: &Npu, anchor: usize, root: Arg, dst: Operand) -> Result<(), String> {
    if !npu.core.fixpipe {
        return super::coupled::lower(cx, npu, anchor, root, dst);
    }
    fit::product(cx, npu, &mut |cx, want| attempt(cx, npu, anchor, root, dst, want))
}

/// One attempt, with the tile `want` or the one that is chosen.
fn attempt<'n>(
    cx: &mut BodyCx,
    npu: &'n Npu,
    anchor: usize,
    root: Arg,
    dst: Operand,
    want: Option<[i64; 3]>,
) -> Result<Made<'n>, String> {
    let out = cx.ty(root).dtype;
    let p = plan(cx, npu, anchor, out, want)?;
    let mut kb = KernelBuilder::new(cx.symbols, &p.grid());
    let (place, mut statements) = accumulate(&mut kb, &p);
    let result = kb.param(dst, out, &[cx.types[anchor].numel()], Access::Write);
    statements.push(leave(&mut kb, &p, &place, result));
    let ops = super::stream::computed(cx, root).0;
    let Arg::Node(last) = root else { return Err("a product that is an input".into()) };
    let name = crate::lower::name::kernel(&cx.up_to(last as usize), &[p.tile_name()]);
    let call = kb.finish(name, ops, statements, p.flops(cx));
    cx.call(call);
    Ok(p.made(npu, |_| true))
}

/// The fastest schedule, or the one of the base tile `want`. Where none fits it is the smallest, so that its kernel tells what is
/// too large.
pub fn schedule(npu: &Npu, p: &Product, want: Option<[i64; 3]>) -> Result<Tiling, String> {
    if let (None, Some((t, _))) = (want, choose(npu, p)) {
        return Ok(Tiling { bm: t.bm as i64, bn: t.bn as i64, bk: t.bk as i64, steps: t.steps as i64 });
    }
    let smallest = || base_tiles(npu, p).and_then(|mut all| all.next()).map(|t| t.map(|n| n as i64));
    let [bm, bn, bk] = want.or_else(smallest).ok_or_else(|| format!("the cube unit of {} lacks {}", npu.name, p.operand))?;
    let steps = widest_copy(npu, p, [bm, bn, bk].map(|n| n as usize)).map_or(1, |t| t.steps);
    Ok(Tiling { bm, bn, bk, steps: steps as i64 })
}

/// Looks the product over and chooses its tile, unless it is to be `want`; operands that are no elements of inputs are computed by
/// kernels before it.
pub fn plan(cx: &mut BodyCx, npu: &Npu, anchor: usize, out: DType, want: Option<[i64; 3]>) -> Result<Plan, String> {
    let node = cx.body.nodes[anchor].clone();
    if !matches!(node.op, Op::MatMul { .. } | Op::Conv(_)) {
        return Err("no matrix product".into());
    }
    let (operand, other) = (cx.ty(node.args[0]).dtype, cx.ty(node.args[1]).dtype);
    // Numbers of 8 bits leave L0C as they are: through a fixpipe, which 310P lacks.
    let whole = operand == DType::I8 && npu.core.fixpipe && !matches!(node.op, Op::Conv(_));
    let written = whole || matches!(operand, DType::F16 | DType::BF16 | DType::F32);
    let Some(mode) = npu.core.cube_mode(operand).copied().filter(|_| written && operand == other) else {
        return Err(format!("products of {operand} by {other} are not written for the cube unit of {}", npu.name));
    };
    let leaves = if whole { out == DType::I32 } else { matches!(out, DType::F32 | DType::F16 | DType::BF16) };
    if !leaves {
        return Err(format!("a product of {operand} with a result of {out} is not written for the cube unit"));
    }
    if let Op::Conv(_) = node.op {
        return conv::plan(cx, npu, anchor, out, [operand, mode.accumulator], want);
    }
    for arg in [node.args[0], node.args[1]] {
        materialise(cx, npu, arg)?;
    }
    let shape = cx.types[anchor].shape.clone();
    let rank = shape.len();
    let (m, n) = (shape[rank - 2].clone(), shape[rank - 1].clone());
    let from = cx.ty(node.args[0]).shape.clone();
    let k = from[from.len() - 1].clone();
    if k.range(cx.symbols).lo < 1 {
        return Err("a product whose depth may be zero is not tiled for the cube unit".into());
    }
    let left = side(cx, node.args[0], &shape, &k, true)?;
    let mut right = side(cx, node.args[1], &shape, &k, false)?;
    if operand.size() == 1 || (operand.size() == 4 && npu.core.generation != Generation::V2201) {
        // Fractals of these elements are not transposed on the way.
        if !left.depth_inner {
            return Err(format!("a transposed left operand of {operand} is not loaded by the cube unit"));
        }
        if !right.depth_inner {
            right = transposed(cx, npu, node.args[1], right)?;
        }
    }
    let batch = shape[..rank - 2].to_vec();
    let typical = |d: &Dim| cx.typical(d).max(1) as usize;
    let product = Product {
        batch: batch.iter().map(typical).product(),
        m: typical(&m),
        n: typical(&n),
        k: typical(&k),
        operand,
        result: out,
    };
    let tile = schedule(npu, &product, want)?;
    // Both L0 buffers and L1 hold two copies of what the tile says; the depth of a copy need not pass the product's.
    let k0 = mode.k0 as usize;
    // What is transposed on the way comes in squares of 16.
    let least = if left.depth_inner && right.depth_inner { k0 } else { 16 };
    let bk = (tile.bk as usize).min(product.k.next_multiple_of(k0.max(16))).max(least);
    let steps = if k.known().is_some() { tile.steps.min(product.k.div_ceil(bk) as i64) } else { tile.steps };
    let tile = Tiling { bk: bk as i64, steps, ..tile };
    Ok(Plan {
        anchor,
        tile,
        dims: [m, n, k],
        batch,
        sides: [left, right],
        dtypes: [operand, mode.accumulator, out],
        window: None,
        product,
    })
}

/// The statements that leave a finished base tile in the accumulators.
pub fn accumulate(kb: &mut KernelBuilder, p: &Plan) -> (Place, Vec<Stmt>) {
    if let Some(w) = &p.window {
        return conv::accumulate(kb, p, w);
    }
    let (t, [m, n, k], [left, right], operand) = (&p.tile, &p.dims, &p.sides, p.dtypes[0]);
    let at = kb.grid.clone();
    let (batch_at, tiles) = at.split_at(p.batch.len());
    let (row, column) = (kb.scale(tiles[0], &Dim::Known(t.bm)), kb.scale(tiles[1], &Dim::Known(t.bn)));
    let a = param(kb, left, operand);
    let b = param(kb, right, operand);
    let deep = t.bk * t.steps;
    let size = |n: i64| n as usize;
    let shape = |s: &Side, outer: i64| if s.depth_inner { [size(outer), size(deep)] } else { [size(deep), size(outer)] };
    let a1 = kb.local("a1", operand, &shape(left, t.bm), Space::L1);
    let b1 = kb.local("b1", operand, &shape(right, t.bn), Space::L1);
    let a2 = kb.local("a2", operand, &[size(t.bm), size(t.bk)], Space::L0A);
    let b2 = kb.local("b2", operand, &[size(t.bk), size(t.bn)], Space::L0B);
    let acc = kb.local("acc", p.dtypes[1], &[size(t.bm), size(t.bn)], Space::L0C);

    // Copies of `deep` along the depth; steps of `bk` within.
    let (copy_var, copy) = kb.axis(&k.ceil_div(&Dim::Known(deep)));
    let from = kb.scale(copy, &Dim::Known(deep));
    let (rows_left, columns_left, depth_left) = (rest(kb, row, m), rest(kb, column, n), rest(kb, from, k));
    let divides = |d: &Dim, by: i64| d.known().is_some_and(|v| v % by == 0);
    // The last copy may have fewer steps.
    let left_steps = {
        let up = kb.offset(depth_left, &Dim::Known(t.bk - 1));
        let by = kb.int(t.bk);
        let n = kb.binary(BinaryOp::Div, up, by);
        if divides(k, deep) { kb.int(t.steps) } else { kb.min_dim(n, &Dim::Known(t.steps)) }
    };
    // What those steps read of a copy.
    let read = if divides(k, deep) || k.known().is_some_and(|k| k <= deep) {
        kb.int(deep)
    } else {
        kb.scale(left_steps, &Dim::Known(t.bk))
    };
    let mut inner = vec![];
    for (s, local, param, start, left_over, outer, whole) in
        [(left, a1, a, row, rows_left, t.bm, divides(m, t.bm)), (right, b1, b, column, columns_left, t.bn, divides(n, t.bn))]
    {
        let first = s.first(kb, batch_at, start, from);
        let extents = if s.depth_inner { [outer, deep] } else { [deep, outer] };
        let limits = [(left_over, whole), (depth_left, divides(k, deep))];
        let limits = if s.depth_inner { limits } else { [limits[1], limits[0]] };
        let outer = kb.int(outer);
        let filled = if s.depth_inner { [outer, read] } else { [read, outer] };
        inner.push(to_l1(kb, local, param, first, &s.pitch, extents, filled, limits));
    }
    // One step: into the operand buffers, and multiplied.
    let (step_var, step) = kb.axis(&Dim::Known(t.steps.max(2)));
    let within = kb.scale(step, &Dim::Known(t.bk));
    let body = vec![
        to_l0(kb, a2, a1, [t.bm, t.bk], within, !left.depth_inner, true),
        to_l0(kb, b2, b1, [t.bk, t.bn], within, right.depth_inner, false),
        multiply(kb, acc, [a2, b2], [t.bm, t.bn, t.bk]),
    ];
    inner.push(repeat(step_var, left_steps, Loop::Serial, body));
    let copies = kb.dim(&k.ceil_div(&Dim::Known(deep)));
    let statements = vec![clear(kb, acc, [t.bm, t.bn]), repeat(copy_var, copies, Loop::Serial, inner)];
    let place = Place { acc, start: [row, column], left: [rows_left, columns_left], batch: batch_at.to_vec() };
    (place, statements)
}

/// `extent - start`.
pub fn rest(kb: &mut KernelBuilder, start: ExprId, extent: &Dim) -> ExprId {
    let minus = kb.scale(start, &Dim::Known(-1));
    kb.offset(minus, extent)
}

/// `acc[i, j] += a[i, k] * b[k, j]` on whole buffers.
pub fn multiply(kb: &mut KernelBuilder, acc: BufId, [a, b]: [BufId; 2], [rows, columns, depth]: [i64; 3]) -> Stmt {
    let [(vi, i), (vj, j), (vk, k)] = [rows, columns, depth].map(|n| kb.axis(&Dim::Known(n)));
    let element = |buffer: BufId, index: [ExprId; 2]| Element { buffer, index: index.to_vec(), guard: None };
    let depth = kb.int(depth);
    Stmt::Mma { acc, i: vi, j: vj, k: vk, depth, a: element(a, [i, k]), b: element(b, [k, j]) }
}

/// Global memory to L1, filled up with zeros where a limit may lie inside what is `filled` of the tile.
#[allow(clippy::too_many_arguments)]
pub fn to_l1(
    kb: &mut KernelBuilder,
    local: BufId,
    param: BufId,
    first: ExprId,
    pitch: &Dim,
    extents: [i64; 2],
    filled: [ExprId; 2],
    limits: [(ExprId, bool); 2],
) -> Stmt {
    let [(vr, r), (vc, c)] = extents.map(|e| kb.axis(&Dim::Known(e.max(2))));
    let by = kb.scale(r, pitch);
    let at = kb.add(first, by);
    let at = kb.add(at, c);
    let mut guard = None;
    for (x, (limit, whole)) in [r, c].into_iter().zip(limits) {
        if !whole {
            let inside = kb.binary(BinaryOp::Lt, x, limit);
            guard = kb.and(guard, Some(inside));
        }
    }
    let dtype = kb.buffer(local).dtype;
    let fill = guard.map(|_| kb.number(dtype, 0.0));
    Stmt::Copy {
        vars: vec![(vr, filled[0]), (vc, filled[1])],
        dst: Element { buffer: local, index: vec![r, c], guard: None },
        src: Element { buffer: param, index: vec![at], guard },
        fill,
    }
}

/// L1 to an operand buffer: `dst[i, j] = src[..]`, the depth `within` on. `turned`: the axes of L1 are the other way round.
pub fn to_l0(
    kb: &mut KernelBuilder,
    dst: BufId,
    src: BufId,
    extents: [i64; 2],
    within: ExprId,
    turned: bool,
    left: bool,
) -> Stmt {
    let [(vi, i), (vj, j)] = extents.map(|e| kb.axis(&Dim::Known(e.max(2))));
    let mut at = [i, j];
    let depth = usize::from(left);
    at[depth] = kb.add(at[depth], within);
    if turned {
        at.swap(0, 1);
    }
    let [ei, ej] = extents.map(|e| kb.int(e));
    Stmt::Copy {
        vars: vec![(vi, ei), (vj, ej)],
        dst: Element { buffer: dst, index: vec![i, j], guard: None },
        src: Element { buffer: src, index: at.to_vec(), guard: None },
        fill: None,
    }
}

/// Accumulators at zero.
pub fn clear(kb: &mut KernelBuilder, acc: BufId, extents: [i64; 2]) -> Stmt {
    let [(vi, i), (vj, j)] = extents.map(|e| kb.axis(&Dim::Known(e.max(2))));
    let dtype = kb.buffer(acc).dtype;
    let zero = kb.number(dtype, 0.0);
    let [ei, ej] = extents.map(|e| kb.int(e));
    repeat(vi, ei, Loop::Serial, vec![repeat(vj, ej, Loop::Vector, vec![store(acc, &[i, j], zero)])])
}

/// The finished tile to global memory, rounded to the result's type.
fn leave(kb: &mut KernelBuilder, p: &Plan, place: &Place, result: BufId) -> Stmt {
    let ([m, n], t) = ([&p.dims[0], &p.dims[1]], &p.tile);
    let rows = kb.min_dim(place.left[0], &Dim::Known(t.bm));
    let columns = kb.min_dim(place.left[1], &Dim::Known(t.bn));
    let mut shape = p.batch.to_vec();
    shape.extend([m.clone(), n.clone()]);
    let mut index = place.batch.clone();
    index.extend(place.start);
    let first = kb.linear(&index, &shape);
    leave_to(kb, place.acc, result, [rows, columns], [t.bm, t.bn], first, n)
}

/// `to[first + i * pitch + j] = acc[i, j]`, rounded to the type of `to`; `most`: the most rows and columns.
pub fn leave_to(
    kb: &mut KernelBuilder,
    acc: BufId,
    to: BufId,
    [rows, columns]: [ExprId; 2],
    most: [i64; 2],
    first: ExprId,
    pitch: &Dim,
) -> Stmt {
    let [(vi, i), (vj, j)] = most.map(|e| kb.axis(&Dim::Known(e.max(2))));
    let by = kb.scale(i, pitch);
    let at = kb.add(first, by);
    let at = kb.add(at, j);
    let v = kb.load(acc, &[i, j]);
    let out = kb.buffer(to).dtype;
    let v = kb.cast(out, v);
    repeat(vi, rows, Loop::Serial, vec![repeat(vj, columns, Loop::Vector, vec![store(to, &[at], v)])])
}
