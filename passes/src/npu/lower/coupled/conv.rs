//! Convolutions on cores with both units. Rows of positions come into the unified buffer tap by tap, without what lies in the
//! padding; the vector unit puts them where they belong among the fractals, which were zero before.

use beiming_ir::kernel::{BufId, ExprId, Loop, Space, Stmt};
use beiming_ir::ops::BinaryOp;
use beiming_ir::types::Dim;

use super::fractals::{Edge, SIDE, bring, into_l1};
use super::step;
use crate::lower::builder::{KernelBuilder, repeat};
use crate::npu::lower::conv::{Gather, Line, Window, looped};
use crate::npu::lower::epilogue::{Place as Rows, copy};
use crate::npu::lower::matmul::{Place, Plan, clear, rest};
use crate::npu::lower::operands::param;
use crate::npu::lower::tile::{self, Run};

/// The statements that leave a finished base tile in the accumulators.
pub fn accumulate(kb: &mut KernelBuilder, p: &Plan, w: &Window) -> (Place, Vec<Stmt>) {
    let (t, [left, right], operand) = (&p.tile, &p.sides, p.dtypes[0]);
    let (x, b) = (param(kb, left, operand), param(kb, right, operand));
    let g = Gather::new(kb, w, left);
    let column = kb.scale(g.column_tile, &Dim::Known(t.bn));
    let columns_left = rest(kb, column, &p.dims[1]);
    // Groups of taps, or blocks of the channels of one tap.
    let groups = w.axes[0].taps * w.axes[1].taps / w.taps;
    let (group_var, group) = kb.axis(&Dim::Known(groups));
    let tap = kb.scale(group, &Dim::Known(w.taps));
    let (block_var, block) = kb.axis(&Dim::Known(w.blocks()));
    let channel = kb.scale(block, &Dim::Known(w.block));
    let mut inner = vec![];
    let a1 = gather(kb, &g, w, x, [tap, channel], t.bm, &mut inner);
    let from = {
        let row = kb.scale(tap, &Dim::Known(w.depth));
        kb.add(row, channel)
    };
    let first = right.first(kb, &g.batch, column, from);
    let deep = t.bk * t.steps;
    let depth_left = if w.taps == 1 { rest(kb, channel, &Dim::Known(w.depth)) } else { kb.int(deep) };
    let deep = Edge { most: deep, left: depth_left, whole: w.taps > 1 || w.depth % w.block == 0 };
    let wide = Edge { most: t.bn, left: columns_left, whole: p.dims[1].known().is_some_and(|n| n % t.bn == 0) };
    let edges = if right.depth_inner { [wide, deep] } else { [deep, wide] };
    let b1 = bring(kb, right, b, first, edges, ["b", "bz", "b1"], &mut inner);
    let (step_var, number) = kb.axis(&Dim::Known(t.steps));
    let within = kb.scale(number, &Dim::Known(t.bk));
    let (acc, body) = step(kb, p, [a1, b1], within, [false, right.depth_inner]);
    inner.extend(looped(kb, step_var, t.steps, body));
    let inner = looped(kb, block_var, w.blocks(), inner);
    let mut statements = vec![clear(kb, acc, [t.bm, t.bn])];
    statements.extend(looped(kb, group_var, groups, inner));
    let place = Place { acc, start: [g.position, column], left: [g.count, columns_left], batch: g.batch.clone() };
    (place, statements)
}

/// The taps from `tap` on and their channels from `channel` on, for `bm` positions, in L1.
fn gather(
    kb: &mut KernelBuilder,
    g: &Gather,
    w: &Window,
    x: BufId,
    [tap, channel]: [ExprId; 2],
    bm: i64,
    out: &mut Vec<Stmt>,
) -> BufId {
    let dtype = kb.buffer(x).dtype;
    let size = bm * w.taps * w.block;
    let plain = kb.local("a", dtype, &[size as usize], Space::Ub);
    let fractals = kb.local("az", dtype, &[size as usize], Space::Ub);
    let (wide, side) = (kb.int(w.block), kb.int(SIDE));
    // Taps one behind the other, channels of a position side by side.
    let (come, all) = reached(kb, g, w, tap, |kb, l, [first, row], rows| {
        let by = kb.int(w.axes[1].stride * w.column);
        let start = g.address(kb, l, channel);
        let skipped = kb.scale(first, &Dim::Known(w.axes[1].stride * w.column));
        let from = Rows { buffer: x, first: kb.add(start, skipped), pitch: by };
        let (a, b) = (kb.scale(l.number, &Dim::Known(bm * w.block)), kb.scale(row, &Dim::Known(w.block)));
        let to = Rows { buffer: plain, first: kb.add(a, b), pitch: wide };
        let there = g.channels(kb, channel).map(|left| kb.min_dim(left, &Dim::Known(w.block)));
        copy(kb, to, from, Some((rows, w.columns)), (wide, w.block), there)
    });
    out.extend(come);
    let count = kb.affine(g.count);
    if !all || !count.terms.is_empty() || !count.base.is(bm) {
        let count = kb.int(size);
        out.push(tile::each(kb, Run { from: None, count, most: size }, fractals, |kb, _| kb.number(dtype, 0.0)));
    }
    let (go, _) = reached(kb, g, w, tap, |kb, l, [_, row], rows| {
        let (var, j) = tile::lane(kb, w.block / SIDE);
        let (a, b) = (kb.scale(l.number, &Dim::Known(bm * w.block)), kb.scale(row, &Dim::Known(w.block)));
        let (start, beside) = (kb.add(a, b), kb.scale(j, &Dim::Known(SIDE)));
        let from = Rows { buffer: plain, first: kb.add(start, beside), pitch: wide };
        let (down, beside) = (kb.scale(row, &Dim::Known(SIDE)), kb.scale(j, &Dim::Known(bm * SIDE)));
        let start = kb.add(a, down);
        let to = Rows { buffer: fractals, first: kb.add(start, beside), pitch: side };
        let each = copy(kb, to, from, Some((rows, w.columns)), (side, SIDE), None);
        let n = kb.int(w.block / SIDE);
        repeat(var, n, Loop::Serial, vec![each])
    });
    out.extend(go);
    into_l1(kb, fractals, "a1", [bm, w.taps * w.block], out)
}

/// `body` for every line of positions that the copy's taps reach: it gets the line, its first position that is not in the
/// padding (counted from the line's first and from the tile's), and how many there are. True where all of them always are.
fn reached(
    kb: &mut KernelBuilder,
    g: &Gather,
    w: &Window,
    tap: ExprId,
    body: impl FnOnce(&mut KernelBuilder, &Line, [ExprId; 2], ExprId) -> Stmt,
) -> (Vec<Stmt>, bool) {
    let line = g.line(kb, tap);
    let [from, to] = g.reach(kb, line.at[1]);
    let (first, end) = (from.unwrap_or_else(|| kb.int(0)), to.unwrap_or(g.wide));
    let (row, count) = (kb.add(line.position, first), kb.sub(end, first));
    let done = body(kb, &line, [first, row], count);
    let some = (from.is_some() || end != g.wide).then(|| kb.binary(BinaryOp::Lt, first, end));
    let inside = kb.inside(line.at[0], &Dim::Known(w.axes[0].input));
    let (each, all) = match kb.and(inside, some) {
        Some(cond) => (Stmt::If { cond, then: vec![done] }, false),
        None => (done, true),
    };
    (g.lines(kb, &line, vec![each]), all)
}
