//! Products on chips whose cores hold both units and have neither copies that make fractals nor a fixpipe (310P). Operands come
//! into the unified buffer row by row, are taken apart into fractals there and go on to L1; the accumulators come back through
//! the vector unit, are rounded and put together to rows again. What follows the product elementwise goes on from there, some
//! rows at a time: both units are of one core, so that no flags pass between them.

use beiming_ir::kernel::{Access, BufId, Element, ExprId, Loop, Space, Stmt};
use beiming_ir::ops::{Arg, BinaryOp};
use beiming_ir::target::npu::Npu;
use beiming_ir::types::{DType, Dim};

use super::epilogue::{Epilogue, Part, Place, RESERVE, Value, copy, epilogue};
use super::matmul::{Plan, Tiling, clear, multiply, plan, rest, to_l0};
use super::mixed;
use super::operands::{Side, param};
use super::tile::{self, Run};
use crate::lower::body::BodyCx;
use crate::lower::builder::{KernelBuilder, Operand, repeat};

/// Elements of 16 bits along each side of a fractal.
const SIDE: i64 = 16;

/// Bytes of the unified buffer that rows of what follows a product may take at least.
const FOLLOWING: i64 = 24 << 10;

/// Lowers the product `anchor`, a conversion of it or an elementwise function of it into `dst`.
pub fn lower(cx: &mut BodyCx, npu: &Npu, anchor: usize, root: Arg, dst: Operand) -> Result<(), String> {
    let own = root == Arg::Node(anchor as u32) || mixed::converts(cx, anchor);
    let out = if own { cx.ty(root).dtype } else { cx.types[anchor].dtype };
    let mut p = plan(cx, npu, anchor, out)?;
    let following = if own { None } else { Some(epilogue(cx, npu, anchor, root, false)?) };
    if p.window.is_some() {
        return Err(format!("convolutions are not written for the cube unit of {} yet", npu.name));
    }
    let spare = if following.is_some() { RESERVE + FOLLOWING } else { 0 };
    p.tile = smaller(npu, &p, i64::from(npu.core.ub) - spare);
    let (t, [m, n, k]) = (p.tile, p.dims.clone());
    let mut kb = KernelBuilder::new(cx.symbols, &p.grid());
    let kb = &mut kb;
    let at = kb.grid.clone();
    let (batch, tiles) = at.split_at(p.batch.len());
    let (row, column) = (kb.scale(tiles[0], &Dim::Known(t.bm)), kb.scale(tiles[1], &Dim::Known(t.bn)));
    let (step_var, step) = kb.axis(&k.ceil_div(&Dim::Known(t.bk)));
    let from = kb.scale(step, &Dim::Known(t.bk));
    let (rows_left, columns_left, depth_left) = (rest(kb, row, &m), rest(kb, column, &n), rest(kb, from, &k));
    let zero = kb.int(0);
    let mut body = vec![];
    let mut operands = vec![];
    for (s, names, start, left, extent, most) in [
        (&p.sides[0], ["a", "az", "a1"], row, rows_left, &m, t.bm),
        (&p.sides[1], ["b", "bz", "b1"], column, columns_left, &n, t.bn),
    ] {
        let source = param(kb, s, p.dtypes[0]);
        let first = s.first(kb, batch, start, from);
        let outer = Edge { most, left, whole: divides(extent, most) };
        let deep = Edge { most: t.bk, left: depth_left, whole: divides(&k, t.bk) };
        let edges = if s.depth_inner { [outer, deep] } else { [deep, outer] };
        operands.push(bring(kb, s, source, first, edges, names, &mut body));
    }
    let a2 = kb.local("a2", p.dtypes[0], &[t.bm as usize, t.bk as usize], Space::L0A);
    let b2 = kb.local("b2", p.dtypes[0], &[t.bk as usize, t.bn as usize], Space::L0B);
    let acc = kb.local("acc", DType::F32, &[t.bm as usize, t.bn as usize], Space::L0C);
    body.push(to_l0(kb, a2, operands[0], [t.bm, t.bk], zero, !p.sides[0].depth_inner, true));
    body.push(to_l0(kb, b2, operands[1], [t.bk, t.bn], zero, p.sides[1].depth_inner, false));
    body.push(multiply(kb, acc, [a2, b2], [t.bm, t.bn, t.bk]));
    let steps = kb.dim(&k.ceil_div(&Dim::Known(t.bk)));
    let mut statements = vec![clear(kb, acc, [t.bm, t.bn]), repeat(step_var, steps, Loop::Serial, body)];

    let rows = kb.min_dim(rows_left, &Dim::Known(t.bm));
    let columns = kb.min_dim(columns_left, &Dim::Known(t.bn));
    let tile = back(kb, acc, out, &t, rows, &mut statements);
    match following {
        Some(e) => {
            let room = i64::from(npu.core.ub) - bytes(&t);
            let at = At { start: batch.iter().copied().chain([row, column]).collect(), rows: rows_left, columns };
            statements.push(follow(cx, kb, &e, &t, tile, room, at, dst)?);
        }
        None => {
            let result = kb.param(dst, out, &[cx.types[anchor].numel()], Access::Write);
            let mut shape = p.batch.clone();
            shape.extend([m, n.clone()]);
            let index: Vec<ExprId> = batch.iter().copied().chain([row, column]).collect();
            let first = kb.linear(&index, &shape);
            let (wide, by) = (kb.dim(&n), kb.int(t.bn));
            let (to, from) = (Place { buffer: result, first, pitch: wide }, Place { buffer: tile, first: zero, pitch: by });
            statements.push(copy(kb, to, from, Some((rows, t.bm)), (columns, t.bn), None));
        }
    }
    let (ops, flops) = super::stream::computed(cx, root);
    let Arg::Node(last) = root else { return Err("a product that is an input".into()) };
    let name = crate::lower::name::kernel(&cx.up_to(last as usize), &[p.tile_name()]);
    let flops = flops + p.flops(cx);
    let done = std::mem::replace(kb, KernelBuilder::new(cx.symbols, &[]));
    cx.call(done.finish(name, ops, statements, flops));
    Ok(())
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
    let rows = e.rows(room, t.bn).min(t.bm);
    if rows < 1 || t.bn % e.block != 0 {
        return Err(format!("rows of {} elements and what is computed of them do not fit beside the product", t.bn));
    }
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
    let from = kb.scale(by, &Dim::Known(t.bn));
    let body = part.write(cx, kb, e, &Value { tile, from, pitch: t.bn }, dst)?;
    Ok(repeat(var, rounds, Loop::Serial, body))
}

fn divides(d: &Dim, by: i64) -> bool {
    d.known().is_some_and(|n| n % by == 0)
}

/// Bytes of the unified buffer: rows and fractals of both operands, the accumulators, the result in fractals and in rows.
fn bytes(t: &Tiling) -> i64 {
    2 * 2 * (t.bm + t.bn) * t.bk + t.bm * t.bn * (4 + 2 + 4)
}

/// The schedule's tile made smaller until all of it fits `room` in the unified buffer, too.
fn smaller(npu: &Npu, p: &Plan, room: i64) -> Tiling {
    let mut t = Tiling { steps: 1, ..p.tile };
    let half = |n: i64| (n / 2 + SIDE - 1) / SIDE * SIDE;
    while bytes(&t) > room && (t.bm > SIDE || t.bn > SIDE || t.bk > SIDE) {
        if t.bn >= t.bm && t.bn > SIDE {
            t.bn = half(t.bn);
        } else if t.bm > SIDE {
            t.bm = half(t.bm);
        } else {
            t.bk = half(t.bk);
        }
    }
    // All pipes meet for every step: the deeper the better.
    let fits = |t: &Tiling| {
        2 * bytes(t) <= room && 4 * t.bm * t.bk <= i64::from(npu.core.l0a) && 4 * t.bn * t.bk <= i64::from(npu.core.l0b)
    };
    let deeper = |t: &Tiling| Tiling { bk: 2 * t.bk, ..*t };
    while fits(&deeper(&t)) && p.dims[2].known().is_none_or(|k| t.bk < k) {
        t = deeper(&t);
    }
    t
}

/// How far a tile reaches along an axis.
struct Edge {
    /// Elements of the tile.
    most: i64,
    /// Elements from its first to the end of the operand.
    left: ExprId,
    /// It never reaches beyond that end.
    whole: bool,
}

/// An operand's tile to L1, by way of the unified buffer; zero beyond the edges.
fn bring(
    kb: &mut KernelBuilder,
    s: &Side,
    source: BufId,
    first: ExprId,
    [rows, columns]: [Edge; 2],
    [plain, fractals, l1]: [&str; 3],
    out: &mut Vec<Stmt>,
) -> BufId {
    let dtype = kb.buffer(source).dtype;
    let size = (rows.most * columns.most) as usize;
    let plain = kb.local(plain, dtype, &[size], Space::Ub);
    let fractals = kb.local(fractals, dtype, &[size], Space::Ub);
    let l1 = kb.local(l1, dtype, &[rows.most as usize, columns.most as usize], Space::L1);
    let there = if rows.whole { kb.int(rows.most) } else { kb.min_dim(rows.left, &Dim::Known(rows.most)) };
    let wide = kb.int(columns.most);
    let filled = (!columns.whole).then(|| kb.min_dim(columns.left, &Dim::Known(columns.most)));
    let (zero, by) = (kb.int(0), kb.dim(&s.pitch));
    let (to, from) = (Place { buffer: plain, first: zero, pitch: wide }, Place { buffer: source, first, pitch: by });
    out.push(copy(kb, to, from, Some((there, rows.most)), (wide, columns.most), filled));
    // Column by column of fractals.
    let (var, j) = tile::lane(kb, columns.most / SIDE);
    let (at, start) = (kb.scale(j, &Dim::Known(rows.most * SIDE)), kb.scale(j, &Dim::Known(SIDE)));
    let side = kb.int(SIDE);
    let to = Place { buffer: fractals, first: at, pitch: side };
    let from = Place { buffer: plain, first: start, pitch: wide };
    let mut each = vec![copy(kb, to, from, Some((there, rows.most)), (side, SIDE), None)];
    if !rows.whole {
        let done = kb.scale(there, &Dim::Known(SIDE));
        let behind = kb.add(at, done);
        let minus = kb.scale(there, &Dim::Known(-SIDE));
        let count = kb.offset(minus, &Dim::Known(rows.most * SIDE));
        let run = Run { from: Some(behind), count, most: rows.most * SIDE };
        let fill = tile::each(kb, run, fractals, |kb, _| kb.number(dtype, 0.0));
        let most = kb.int(rows.most);
        let cond = kb.binary(BinaryOp::Lt, there, most);
        each.push(Stmt::If { cond, then: vec![fill] });
    }
    let n = kb.int(columns.most / SIDE);
    out.push(repeat(var, n, Loop::Serial, each));
    out.push(apart(kb, [rows.most, columns.most], |flat, whole| {
        (Element { buffer: l1, index: whole, guard: None }, Element { buffer: fractals, index: vec![flat], guard: None })
    }));
    l1
}

/// A copy between a matrix and its fractals, column by column: `make` gets the place among fractals, and row and column.
fn apart(
    kb: &mut KernelBuilder,
    [rows, columns]: [i64; 2],
    make: impl FnOnce(ExprId, Vec<ExprId>) -> (Element, Element),
) -> Stmt {
    let [(vj, j), (vr, r), (vc, c)] = [columns / SIDE, rows, SIDE].map(|n| tile::lane(kb, n));
    let (a, b) = (kb.scale(j, &Dim::Known(rows * SIDE)), kb.scale(r, &Dim::Known(SIDE)));
    let flat = kb.add(a, b);
    let flat = kb.add(flat, c);
    let first = kb.scale(j, &Dim::Known(SIDE));
    let column = kb.add(first, c);
    let (dst, src) = make(flat, vec![r, column]);
    let [ej, er, ec] = [columns / SIDE, rows, SIDE].map(|n| kb.int(n));
    Stmt::Copy { vars: vec![(vj, ej), (vr, er), (vc, ec)], dst, src, fill: None }
}

/// The accumulators as rows in the unified buffer, of the result's type.
fn back(kb: &mut KernelBuilder, acc: BufId, out: DType, t: &Tiling, rows: ExprId, to: &mut Vec<Stmt>) -> BufId {
    let size = (t.bm * t.bn) as usize;
    let cz = kb.local("cz", DType::F32, &[size], Space::Ub);
    to.push(apart(kb, [t.bm, t.bn], |flat, whole| {
        (Element { buffer: cz, index: vec![flat], guard: None }, Element { buffer: acc, index: whole, guard: None })
    }));
    let mut fractals = cz;
    if out != DType::F32 {
        fractals = kb.local("rounded", out, &[size], Space::Ub);
        let count = kb.int(t.bm * t.bn);
        let run = Run { from: None, count, most: t.bm * t.bn };
        to.push(tile::each(kb, run, fractals, |kb, at| {
            let v = kb.load(cz, &[at]);
            kb.cast(out, v)
        }));
    }
    let c = kb.local("c", out, &[size], Space::Ub);
    let (var, j) = tile::lane(kb, t.bn / SIDE);
    let (at, start) = (kb.scale(j, &Dim::Known(t.bm * SIDE)), kb.scale(j, &Dim::Known(SIDE)));
    let (side, wide) = (kb.int(SIDE), kb.int(t.bn));
    let (into, from) = (Place { buffer: c, first: start, pitch: wide }, Place { buffer: fractals, first: at, pitch: side });
    let each = vec![copy(kb, into, from, Some((rows, t.bm)), (side, SIDE), None)];
    let n = kb.int(t.bn / SIDE);
    to.push(repeat(var, n, Loop::Serial, each));
    c
}
