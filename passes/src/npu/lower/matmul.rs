//! Matrix products on the cube cores. A grid point is one base tile of the result: operands come from global memory into L1
//! (several steps of the depth at once), step by step into the operand buffers, are multiplied into the accumulators, and the
//! finished tile leaves through the fixpipe, which rounds it to the result's type. Tile and copies are the tiler's
//! (`npu::matmul`).
//!
//! Edges: tiles in L1 are filled up with zeros, so that every load and product is whole; only what exists is written back.
//! Operands that are computed inside the group are computed before, into temporaries; so is what follows the product after it.

use beiming_ir::kernel::{Access, BufId, Element, ExprId, Loop, Space, Stmt};
use beiming_ir::ops::{Arg, BinaryOp, Op};
use beiming_ir::target::npu::Npu;
use beiming_ir::tensor::Tensor;
use beiming_ir::types::{DType, Dim};

use super::stream;
use crate::lower::body::BodyCx;
use crate::lower::builder::{KernelBuilder, Operand, repeat, store};
use crate::lower::inline::Inliner;
use crate::npu::matmul::{Product, choose};

/// Most elements from one row of an operand to the next: a field of 16 bits.
const WIDEST_ROW: i64 = 65535;

/// One operand: where its elements are.
struct Side {
    operand: Operand,
    shape: Vec<Dim>,
    /// Constant of this kernel's own, in place of the operand.
    weight: Option<Tensor>,
    /// Distance between neighbours along each batch axis of the result.
    batch: Vec<Dim>,
    base: Dim,
    /// Distance between rows as they lie in memory.
    pitch: Dim,
    /// The depth runs along the rows of memory (for the left operand: not transposed; for the right one: transposed).
    depth_inner: bool,
}

/// Lowers the product `anchor` into `dst`.
pub fn lower(cx: &mut BodyCx, npu: &Npu, anchor: usize, dst: Operand) -> Result<(), String> {
    let node = cx.body.nodes[anchor].clone();
    let Op::MatMul { out } = node.op else { return Err("no matrix product".into()) };
    let operand = cx.ty(node.args[0]).dtype;
    if !npu.core.fixpipe {
        return Err(format!("results of the cube unit of {} leave through the vector unit, which is not written yet", npu.name));
    }
    let mode = npu.core.cube_mode(operand).filter(|m| m.accumulator == DType::F32);
    let Some(mode) = mode.copied().filter(|_| matches!(operand, DType::F16 | DType::BF16 | DType::F32)) else {
        return Err(format!("products of {operand} are not written for the cube unit of {}", npu.name));
    };
    if !(out == DType::F32 || (out == operand && out.size() == 2)) {
        return Err(format!("a product of {operand} with a result of {out} is not written for the cube unit"));
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
    if operand.size() == 4 {
        // Fractals of 32-bit elements are not transposed on the way.
        if !left.depth_inner {
            return Err("a transposed left operand of f32 is not loaded by the cube unit".into());
        }
        if !right.depth_inner {
            right = transposed(cx, node.args[1], right)?;
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
    let (tile, _) = choose(npu, &product).ok_or_else(|| format!("no tile fits the cube unit of {}", npu.name))?;
    // Both L0 buffers and L1 hold two copies of what the tile says; the depth of a copy need not pass the product's.
    let k0 = mode.k0 as usize;
    let bk = tile.bk.min(product.k.next_multiple_of(k0.max(16)));
    let steps = if k.known().is_some() { tile.steps.min(product.k.div_ceil(bk)) } else { tile.steps };
    let t = Tiling { bm: tile.bm as i64, bn: tile.bn as i64, bk: bk as i64, steps: steps as i64 };
    let call = kernel(cx, anchor, &t, [m, n, k], &batch, &left, &right, dst, operand, out)?;
    cx.call(call);
    Ok(())
}

/// Computes an argument into a temporary where it is not an element of an input seen through views.
fn materialise(cx: &mut BodyCx, npu: &Npu, arg: Arg) -> Result<(), String> {
    let Arg::Node(node) = arg else { return Ok(()) };
    if cx.stored.contains_key(&node) {
        return Ok(());
    }
    let mut kb = KernelBuilder::new(cx.symbols, &[]);
    let index: Vec<ExprId> = cx.ty(arg).shape.iter().map(|d| kb.axis(d).1).collect();
    if let Some((el, _)) = Inliner::new(cx).element(&mut kb, arg, &index)?
        && el.guard.is_none()
        && kb.affine(el.index[0]).terms.iter().all(|(a, _)| index.contains(a))
    {
        return Ok(());
    }
    let dst = cx.temp(cx.ty(arg).clone());
    stream::lower(cx, npu, arg, dst)?;
    cx.stored.insert(node, dst);
    Ok(())
}

fn side(cx: &BodyCx, arg: Arg, result: &[Dim], k: &Dim, left: bool) -> Result<Side, String> {
    let shape = cx.ty(arg).shape.clone();
    let (rank, batch) = (shape.len(), result.len() - 2);
    let mut kb = KernelBuilder::new(cx.symbols, &[]);
    let zero = kb.int(0);
    let axes: Vec<ExprId> = result[..batch].iter().map(|d| kb.axis(d).1).collect();
    let outer = kb.axis(&if left { result[batch].clone() } else { result[batch + 1].clone() }).1;
    let depth = kb.axis(k).1;
    let mut index: Vec<ExprId> = vec![];
    for (a, d) in shape[..rank - 2].iter().enumerate() {
        let at = batch - (rank - 2) + a;
        index.push(if d.is(1) {
            zero
        } else if *d == result[at] {
            axes[at]
        } else {
            return Err("a product that may broadcast, which only its run will tell".into());
        });
    }
    index.extend(if left { [outer, depth] } else { [depth, outer] });
    let element = Inliner::new(cx).element(&mut kb, arg, &index)?;
    let Some((el, _)) = element.filter(|(el, _)| el.guard.is_none()) else {
        return Err("an operand of the product that is no plain element".into());
    };
    let address = kb.affine(el.index[0]);
    if address.terms.iter().any(|(a, _)| !axes.contains(a) && *a != outer && *a != depth) {
        return Err("an operand of the product that is read by computed positions".into());
    }
    let (along_outer, along_depth) = (address.coefficient(outer), address.coefficient(depth));
    let single = |d: &Dim, e: &Dim| d.is(1) || e.is(1);
    let extent = if left { &result[batch] } else { &result[batch + 1] };
    let (depth_inner, pitch) = if single(&along_depth, k) && !(k.is(1) && along_outer.is(1) && !left) {
        (true, along_outer)
    } else if single(&along_outer, extent) {
        (false, along_depth)
    } else {
        return Err("an operand of the product whose rows are not dense".into());
    };
    // A single row has any pitch.
    let pitch = if pitch.is(0) { Dim::Known(1) } else { pitch };
    let r = pitch.range(cx.symbols);
    if r.lo < 0 || r.hi > WIDEST_ROW {
        return Err(format!("rows {pitch} elements apart: the copy into L1 counts up to {WIDEST_ROW}"));
    }
    Ok(Side {
        operand: kb.operand(el.buffer.0).ok_or("a parameter that is bound to nothing")?,
        shape: kb.buffer(el.buffer).shape.clone(),
        weight: None,
        batch: axes.iter().map(|a| address.coefficient(*a)).collect(),
        base: address.base,
        pitch,
        depth_inner,
    })
}

/// A constant right operand, transposed when the program is made.
fn transposed(cx: &BodyCx, arg: Arg, side: Side) -> Result<Side, String> {
    let refuse = "a right operand of f32 must be constant, or transposed in memory, to be loaded by the cube unit";
    let Arg::Input(i) = arg else { return Err(refuse.into()) };
    let constant = cx.inputs[i as usize].constant.filter(|t| t.shape.len() == 2).ok_or(refuse)?;
    let [k, n] = constant.shape[..] else { return Err(refuse.into()) };
    let turned = Tensor::build(constant.dtype, &[n, k], |i| constant.get(i % k * n + i / k));
    Ok(Side {
        operand: Operand::Weight(0),
        shape: vec![Dim::from(n), Dim::from(k)],
        weight: Some(turned),
        pitch: Dim::from(k),
        depth_inner: true,
        ..side
    })
}

/// What the schedule chose: rows, columns and depth of a step, and steps of a copy.
struct Tiling {
    bm: i64,
    bn: i64,
    bk: i64,
    steps: i64,
}

#[allow(clippy::too_many_arguments)]
fn kernel(
    cx: &BodyCx,
    anchor: usize,
    t: &Tiling,
    [m, n, k]: [Dim; 3],
    batch: &[Dim],
    left: &Side,
    right: &Side,
    dst: Operand,
    operand: DType,
    out: DType,
) -> Result<crate::lower::builder::Call, String> {
    let mut grid = batch.to_vec();
    grid.push(m.ceil_div(&Dim::Known(t.bm)));
    grid.push(n.ceil_div(&Dim::Known(t.bn)));
    let mut kb = KernelBuilder::new(cx.symbols, &grid);
    let at = kb.grid.clone();
    let (batch_at, tiles) = at.split_at(batch.len());
    let (row, column) = (kb.scale(tiles[0], &Dim::Known(t.bm)), kb.scale(tiles[1], &Dim::Known(t.bn)));
    let a = param(&mut kb, left, operand);
    let b = param(&mut kb, right, operand);
    let result = kb.param(dst, out, &[cx.types[anchor].numel()], Access::Write);
    let deep = t.bk * t.steps;
    let size = |n: i64| n as usize;
    let shape = |s: &Side, outer: i64| if s.depth_inner { [size(outer), size(deep)] } else { [size(deep), size(outer)] };
    let a1 = kb.local("a1", operand, &shape(left, t.bm), Space::L1);
    let b1 = kb.local("b1", operand, &shape(right, t.bn), Space::L1);
    let a2 = kb.local("a2", operand, &[size(t.bm), size(t.bk)], Space::L0A);
    let b2 = kb.local("b2", operand, &[size(t.bk), size(t.bn)], Space::L0B);
    let acc = kb.local("acc", DType::F32, &[size(t.bm), size(t.bn)], Space::L0C);

    // Copies of `deep` along the depth; steps of `bk` within.
    let (copy_var, copy) = kb.axis(&k.ceil_div(&Dim::Known(deep)));
    let from = kb.scale(copy, &Dim::Known(deep));
    let rest = |kb: &mut KernelBuilder, start: ExprId, extent: &Dim| {
        let minus = kb.scale(start, &Dim::Known(-1));
        kb.offset(minus, extent)
    };
    let (rows_left, columns_left, depth_left) = (rest(&mut kb, row, &m), rest(&mut kb, column, &n), rest(&mut kb, from, &k));
    let divides = |d: &Dim, by: i64| d.known().is_some_and(|v| v % by == 0);
    let mut inner = vec![];
    for (s, local, param, start, left_over, outer, whole) in
        [(left, a1, a, row, rows_left, t.bm, divides(&m, t.bm)), (right, b1, b, column, columns_left, t.bn, divides(&n, t.bn))]
    {
        let mut first = kb.dim(&s.base);
        for (x, c) in batch_at.iter().zip(&s.batch) {
            let term = kb.scale(*x, c);
            first = kb.add(first, term);
        }
        let (outer_pitch, depth_pitch) =
            if s.depth_inner { (s.pitch.clone(), Dim::Known(1)) } else { (Dim::Known(1), s.pitch.clone()) };
        for (x, p) in [(start, &outer_pitch), (from, &depth_pitch)] {
            let term = kb.scale(x, p);
            first = kb.add(first, term);
        }
        let extents = if s.depth_inner { [outer, deep] } else { [deep, outer] };
        let limits = [(left_over, whole), (depth_left, divides(&k, deep))];
        let limits = if s.depth_inner { limits } else { [limits[1], limits[0]] };
        inner.push(to_l1(&mut kb, local, param, first, &s.pitch, extents, limits));
    }
    // One step: into the operand buffers, and multiplied.
    let (step_var, step) = kb.axis(&Dim::Known(t.steps.max(2)));
    let within = kb.scale(step, &Dim::Known(t.bk));
    let mut body = vec![
        to_l0(&mut kb, a2, a1, [t.bm, t.bk], within, !left.depth_inner, true),
        to_l0(&mut kb, b2, b1, [t.bk, t.bn], within, right.depth_inner, false),
    ];
    let vars = [kb.axis(&Dim::Known(t.bm)), kb.axis(&Dim::Known(t.bn)), kb.axis(&Dim::Known(t.bk))];
    let element = |buffer: BufId, index: [ExprId; 2]| Element { buffer, index: index.to_vec(), guard: None };
    let depth = kb.int(t.bk);
    let [(vi, i), (vj, j), (vk, kk)] = vars;
    body.push(Stmt::Mma { acc, i: vi, j: vj, k: vk, depth, a: element(a2, [i, kk]), b: element(b2, [kk, j]) });
    // The last copy may have fewer steps.
    let left_steps = {
        let up = kb.offset(depth_left, &Dim::Known(t.bk - 1));
        let by = kb.int(t.bk);
        let n = kb.binary(BinaryOp::Div, up, by);
        if divides(&k, deep) { kb.int(t.steps) } else { kb.min_dim(n, &Dim::Known(t.steps)) }
    };
    inner.push(repeat(step_var, left_steps, Loop::Serial, body));
    let copies = kb.dim(&k.ceil_div(&Dim::Known(deep)));

    let mut statements = vec![start(&mut kb, acc, t)];
    statements.push(repeat(copy_var, copies, Loop::Serial, inner));
    statements.push(leave(&mut kb, acc, result, t, [rows_left, columns_left], [row, column], batch_at, batch, [&m, &n], out));
    let name = crate::lower::name::kernel(&cx.up_to(anchor), &[format!("t{}x{}x{}", t.bm, t.bn, t.bk)]);
    let flops = cx.types[anchor].numel() * k * Dim::Known(2);
    Ok(kb.finish(name, vec![cx.body.nodes[anchor].op.name()], statements, flops))
}

fn param(kb: &mut KernelBuilder, s: &Side, dtype: DType) -> BufId {
    match &s.weight {
        Some(t) => {
            let flat = t.reshaped(&[t.len()]).unwrap_or_else(|| t.clone());
            kb.weight(flat, None)
        }
        None => kb.param(s.operand, dtype, &s.shape, Access::Read),
    }
}

/// Global memory to L1, filled up with zeros where a limit may lie inside the tile.
fn to_l1(
    kb: &mut KernelBuilder,
    local: BufId,
    param: BufId,
    first: ExprId,
    pitch: &Dim,
    extents: [i64; 2],
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
    let [er, ec] = extents.map(|e| kb.int(e));
    Stmt::Copy {
        vars: vec![(vr, er), (vc, ec)],
        dst: Element { buffer: local, index: vec![r, c], guard: None },
        src: Element { buffer: param, index: vec![at], guard },
        fill,
    }
}

/// L1 to an operand buffer: `dst[i, j] = src[..]`, the depth `within` on. `turned`: the axes of L1 are the other way round.
fn to_l0(kb: &mut KernelBuilder, dst: BufId, src: BufId, extents: [i64; 2], within: ExprId, turned: bool, left: bool) -> Stmt {
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
fn start(kb: &mut KernelBuilder, acc: BufId, t: &Tiling) -> Stmt {
    let [(vi, i), (vj, j)] = [t.bm, t.bn].map(|e| kb.axis(&Dim::Known(e.max(2))));
    let zero = kb.number(DType::F32, 0.0);
    let (ei, ej) = (kb.int(t.bm), kb.int(t.bn));
    repeat(vi, ei, Loop::Serial, vec![repeat(vj, ej, Loop::Vector, vec![store(acc, &[i, j], zero)])])
}

/// The finished tile to global memory, rounded to the result's type.
#[allow(clippy::too_many_arguments)]
fn leave(
    kb: &mut KernelBuilder,
    acc: BufId,
    result: BufId,
    t: &Tiling,
    [rows_left, columns_left]: [ExprId; 2],
    [row, column]: [ExprId; 2],
    batch_at: &[ExprId],
    batch: &[Dim],
    [m, n]: [&Dim; 2],
    out: DType,
) -> Stmt {
    let rows = kb.min_dim(rows_left, &Dim::Known(t.bm));
    let columns = kb.min_dim(columns_left, &Dim::Known(t.bn));
    let [(vi, i), (vj, j)] = [t.bm, t.bn].map(|e| kb.axis(&Dim::Known(e.max(2))));
    let mut shape = batch.to_vec();
    shape.extend([m.clone(), n.clone()]);
    let mut index = batch_at.to_vec();
    index.extend([row, column]);
    let first = kb.linear(&index, &shape);
    let by = kb.scale(i, n);
    let at = kb.add(first, by);
    let at = kb.add(at, j);
    let v = kb.load(acc, &[i, j]);
    let v = kb.cast(out, v);
    repeat(vi, rows, Loop::Serial, vec![repeat(vj, columns, Loop::Vector, vec![store(result, &[at], v)])])
}
