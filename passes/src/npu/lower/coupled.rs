//! Products on chips whose cores hold both units and have neither copies that make fractals nor a fixpipe (310P). Operands come
//! into the unified buffer row by row, are taken apart into fractals there and go on to L1; the accumulators come back through
//! the vector unit, are rounded and put together to rows again. What follows the product elementwise goes on from there, some
//! rows at a time: both units are of one core, so that no flags pass between them.

pub mod attention;
mod conv;
pub mod fractals;

use beiming_ir::kernel::{Access, BufId, ExprId, Loop, Space, Stmt};
use beiming_ir::ops::{Arg, BinaryOp};
use beiming_ir::target::npu::Npu;
use beiming_ir::types::{DType, Dim};

use self::fractals::{Edge, SIDE, accumulators, bring, put_together};
use super::epilogue::{Epilogue, Part, Place as Rows, RESERVE, Value, copy, epilogue};
use super::fit::{self, Made};
use super::lines::LINE;
use super::matmul::{Place, Plan, Tiling, clear, multiply, plan, rest, to_l0};
use super::mixed;
use super::operands::param;
use crate::lower::body::BodyCx;
use crate::lower::builder::{KernelBuilder, Operand, repeat};

/// Bytes of the unified buffer that rows of what follows a product may take at least.
const FOLLOWING: i64 = 24 << 10;

/// Lowers the product or convolution `anchor`, a conversion of it or an elementwise function of it into `dst`.
pub fn lower(cx: &mut BodyCx, npu: &Npu, anchor: usize, root: Arg, dst: Operand) -> Result<(), String> {
    fit::product(cx, npu, &mut |cx, want| attempt(cx, npu, anchor, root, dst, want))
}

/// One attempt, with the base tile `want` or the one that is chosen.
fn attempt<'n>(
    cx: &mut BodyCx,
    npu: &'n Npu,
    anchor: usize,
    root: Arg,
    dst: Operand,
    want: Option<[i64; 3]>,
) -> Result<Made<'n>, String> {
    let own = root == Arg::Node(anchor as u32) || mixed::converts(cx, anchor);
    let out = if own { cx.ty(root).dtype } else { cx.types[anchor].dtype };
    let mut p = plan(cx, npu, anchor, out, want)?;
    let following = if own { None } else { Some(epilogue(cx, npu, anchor, root, false)?) };
    if p.window.is_none() {
        let spare = if following.is_some() { RESERVE + FOLLOWING } else { 0 };
        let size = out.size().min(cx.ty(root).dtype.size()) as i64;
        p.tile = match want {
            None => smaller(npu, p.tile, &p.dims, size, i64::from(npu.core.ub) - spare),
            Some(_) => Tiling { steps: 1, ..p.tile },
        };
    }
    let t = p.tile;
    let mut kb = KernelBuilder::new(cx.symbols, &p.grid());
    let kb = &mut kb;
    let (place, mut statements) = match &p.window {
        Some(w) => conv::accumulate(kb, &p, w),
        None => accumulate(kb, &p),
    };
    let rows = kb.min_dim(place.left[0], &Dim::Known(t.bm));
    let columns = kb.min_dim(place.left[1], &Dim::Known(t.bn));
    let tile = accumulators(kb, place.acc, out, [t.bm, t.bn], ["cz", "rounded"], &mut statements);
    let start: Vec<ExprId> = place.batch.iter().copied().chain(place.start).collect();
    match following {
        Some(e) => {
            let room = i64::from(npu.core.ub) - bytes(&t);
            let at = At { start, rows: place.left[0], columns };
            statements.push(follow(cx, kb, &e, &t, tile, room, at, dst)?);
        }
        None => {
            let result = kb.param(dst, out, &[cx.types[anchor].numel()], Access::Write);
            let c = put_together(kb, tile, "c", [t.bm, t.bn], rows, &mut statements);
            let mut shape = p.batch.clone();
            shape.extend([p.dims[0].clone(), p.dims[1].clone()]);
            let first = kb.linear(&start, &shape);
            let (wide, by, zero) = (kb.dim(&p.dims[1]), kb.int(t.bn), kb.int(0));
            let (to, from) = (Rows { buffer: result, first, pitch: wide }, Rows { buffer: c, first: zero, pitch: by });
            statements.push(copy(kb, to, from, Some((rows, t.bm)), (columns, t.bn), None));
        }
    }
    let (ops, flops) = super::stream::computed(cx, root);
    let Arg::Node(last) = root else { return Err("a product that is an input".into()) };
    let name = crate::lower::name::kernel(&cx.up_to(last as usize), &[p.tile_name()]);
    let flops = flops + p.flops(cx);
    let done = std::mem::replace(kb, KernelBuilder::new(cx.symbols, &[]));
    cx.call(done.finish(name, ops, statements, flops));
    // The result is rounded, or it is not.
    let least = move |[bm, bn, bk]: [i64; 3]| OPERANDS * (bm + bn) * bk + bm * bn * (4 + 4);
    Ok(p.made(npu, move |t| least(t) <= i64::from(npu.core.ub)))
}

/// The statements that leave a finished base tile of a product in the accumulators.
fn accumulate(kb: &mut KernelBuilder, p: &Plan) -> (Place, Vec<Stmt>) {
    let (t, [m, n, k]) = (p.tile, &p.dims);
    let at = kb.grid.clone();
    let (batch, tiles) = at.split_at(p.batch.len());
    let (row, column) = (kb.scale(tiles[0], &Dim::Known(t.bm)), kb.scale(tiles[1], &Dim::Known(t.bn)));
    let (step_var, number) = kb.axis(&k.ceil_div(&Dim::Known(t.bk)));
    let from = kb.scale(number, &Dim::Known(t.bk));
    let (rows_left, columns_left, depth_left) = (rest(kb, row, m), rest(kb, column, n), rest(kb, from, k));
    let mut body = vec![];
    let mut operands = vec![];
    for (s, names, start, left, extent, most) in [
        (&p.sides[0], ["a", "az", "a1"], row, rows_left, m, t.bm),
        (&p.sides[1], ["b", "bz", "b1"], column, columns_left, n, t.bn),
    ] {
        let source = param(kb, s, p.dtypes[0]);
        let first = s.first(kb, batch, start, from);
        let outer = Edge { most, left, whole: divides(extent, most) };
        let deep = Edge { most: t.bk, left: depth_left, whole: divides(k, t.bk) };
        let edges = if s.depth_inner { [outer, deep] } else { [deep, outer] };
        operands.push(bring(kb, s, source, first, edges, names, &mut body));
    }
    let turned = [!p.sides[0].depth_inner, p.sides[1].depth_inner];
    let zero = kb.int(0);
    let (acc, multiplied) = step(kb, p, [operands[0], operands[1]], zero, turned);
    body.extend(multiplied);
    let steps = kb.dim(&k.ceil_div(&Dim::Known(t.bk)));
    let statements = vec![clear(kb, acc, [t.bm, t.bn]), repeat(step_var, steps, Loop::Serial, body)];
    let place = Place { acc, start: [row, column], left: [rows_left, columns_left], batch: batch.to_vec() };
    (place, statements)
}

/// One step of the depth, `within` the tiles in L1: into the operand buffers, and multiplied. Gives the accumulators, too.
fn step(kb: &mut KernelBuilder, p: &Plan, [a1, b1]: [BufId; 2], within: ExprId, turned: [bool; 2]) -> (BufId, Vec<Stmt>) {
    let t = p.tile;
    let a2 = kb.local("a2", p.dtypes[0], &[t.bm as usize, t.bk as usize], Space::L0A);
    let b2 = kb.local("b2", p.dtypes[0], &[t.bk as usize, t.bn as usize], Space::L0B);
    let acc = kb.local("acc", DType::F32, &[t.bm as usize, t.bn as usize], Space::L0C);
    let body = vec![
        to_l0(kb, a2, a1, [t.bm, t.bk], within, turned[0], true),
        to_l0(kb, b2, b1, [t.bk, t.bn], within, turned[1], false),
        multiply(kb, acc, [a2, b2], [t.bm, t.bn, t.bk]),
    ];
    (acc, body)
}

/// Where a base tile stands: its first element, the rows from there on, and the columns that there are of it.
struct At {
    start: Vec<ExprId>,
    rows: ExprId,
    columns: ExprId,
}

/// What follows the product, from its tile in the unified buffer to the result, as many rows at a time as there is room for.
#[allow(clippy::too_many_arguments)]
fn follow(
    cx: &BodyCx,
    kb: &mut KernelBuilder,
    e: &Epilogue,
    t: &Tiling,
    tile: BufId,
    room: i64,
    at: At,
    dst: Operand,
) -> Result<Stmt, String> {
    if t.bn % e.block != 0 {
        return Err(format!("rows of {} elements, of which the narrowest are moved {} at a time", t.bn, e.block));
    }
    // Where there is no room for one the kernel is made all the same: whether it fits is seen on it.
    let rows = e.rows(room, t.bn).clamp(1, t.bm);
    let (var, round) = kb.axis(&Dim::Known(((t.bm + rows - 1) / rows).max(2)));
    let by = kb.scale(round, &Dim::Known(rows));
    let there = kb.min_dim(at.rows, &Dim::Known(t.bm));
    let count = {
        let minus = kb.scale(by, &Dim::Known(-1));
        let left = kb.add(there, minus);
        kb.min_dim(left, &Dim::Known(rows))
    };
    let rounds = {
        let (up, by) = (kb.offset(there, &Dim::Known(rows - 1)), kb.int(rows));
        kb.binary(BinaryOp::Div, up, by)
    };
    let mut start = at.start;
    let row = start.len() - 2;
    start[row] = kb.add(start[row], by);
    let whole = e.columns().known().is_some_and(|n| n % t.bn == 0);
    let part = Part { rows: (count, rows), columns: (at.columns, t.bn), whole, fixed: true, start };
    let from = kb.scale(by, &Dim::Known(SIDE));
    let value = Value::Fractals { tile, from, apart: t.bm * SIDE };
    let body = part.write(cx, kb, e, &value, dst)?;
    Ok(repeat(var, rounds, Loop::Serial, body))
}

fn divides(d: &Dim, by: i64) -> bool {
    d.known().is_some_and(|n| n % by == 0)
}

/// Bytes of an operand's element in the unified buffer: in rows and in fractals.
const OPERANDS: i64 = 2 * 2;

/// Bytes of the unified buffer: operands, the accumulators, the result in fractals and in rows.
fn bytes(t: &Tiling) -> i64 {
    OPERANDS * (t.bm + t.bn) * t.bk * t.steps + t.bm * t.bn * (4 + 2 + 4)
}

/// True for a tile that does not fit: the unified buffer, or two steps of an operand its buffer.
fn full(npu: &Npu, t: &Tiling, room: i64) -> bool {
    bytes(t) > room || 4 * t.bm * t.bk > i64::from(npu.core.l0a) || 4 * t.bn * t.bk > i64::from(npu.core.l0b)
}

/// A convolution's tile beside what may follow it; `size`: bytes of an element of the result.
pub fn beside_others(npu: &Npu, t: Tiling, dims: [i64; 3], size: i64) -> Tiling {
    smaller(npu, t, &dims.map(Dim::Known), size, i64::from(npu.core.ub) - RESERVE - FOLLOWING)
}

/// The schedule's tile made smaller until all of it fits `room` in the unified buffer, too, and such that tiles of the result
/// start on lines of the data cache where that can be: else one core has to write them all.
fn smaller(npu: &Npu, t: Tiling, [_, columns, depth]: &[Dim; 3], size: i64, room: i64) -> Tiling {
    let mut t = Tiling { steps: 1, ..t };
    let up = |n: i64, to: i64| (n + to - 1) / to * to;
    let half = |n: i64| up(n / 2, SIDE);
    let full = |t: &Tiling| full(npu, t, room);
    let line = LINE / size;
    let mut wide = t;
    if let Some(n) = columns.known() {
        wide.bn = if n % line == 0 { up(t.bn, line).min(n) } else { up(n, SIDE) };
        while full(&wide) && (wide.bm > SIDE || wide.bk > SIDE) {
            if wide.bm >= wide.bk && wide.bm > SIDE {
                wide.bm = half(wide.bm);
            } else {
                wide.bk = half(wide.bk);
            }
        }
        // Rows of an odd number of elements meet a line every `line` rows.
        if n % 2 == 1 && wide.bm % line != 0 {
            wide.bm = if wide.bm > line { wide.bm / line * line } else { line };
        }
    }
    if full(&wide) || wide.bm > t.bm.max(line) {
        while full(&t) && (t.bm > SIDE || t.bn > SIDE || t.bk > SIDE) {
            if t.bn >= t.bm && t.bn > SIDE {
                t.bn = half(t.bn);
            } else if t.bm > SIDE {
                t.bm = half(t.bm);
            } else {
                t.bk = half(t.bk);
            }
        }
    } else {
        t = wide;
    }
    // All pipes meet for every step: the deeper the better, as long as two copies of the operands and of the result fit.
    let twice = |t: &Tiling| 2 * OPERANDS * (t.bm + t.bn) * t.bk + 12 * t.bm * t.bn;
    let fits = |t: &Tiling| twice(t) <= room && !full(t);
    let deeper = |t: &Tiling| Tiling { bk: 2 * t.bk, ..*t };
    while fits(&deeper(&t)) && depth.known().is_none_or(|k| t.bk < k) {
        t = deeper(&t);
    }
    t
}
