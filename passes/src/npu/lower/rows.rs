//! Softmax, normalisations and reductions along rows, with what is fused before and after them: whole rows lie in the unified
//! buffer, in f32, and never go back to memory in between. A tile is several short rows or one long one; a row that does not fit
//! is walked in chunks (`long`).

mod long;

use std::collections::HashMap;

use beiming_ir::kernel::{Access, BufId, ExprId, Loop, Space, Stmt};
use beiming_ir::ops::{BinaryOp, NormKind, Op, ReduceOp, UnaryOp};
use beiming_ir::target::npu::Npu;
use beiming_ir::types::{DType, Dim};

use super::movement::{self, Moved};
use super::program::{Program, V};
use super::slots::{self, Slots};
use super::tile::{self, BLOCK, Run};
use super::translate::Translator;
use super::writer::{Extent, Geometry, WHOLE_REPEATS, Writer, compares, loads_of, source};
use crate::lower::body::BodyCx;
use crate::lower::builder::{Call, KernelBuilder, Operand, accumulate, repeat, store};
use crate::lower::families::epilogue_fits;
use crate::lower::inline::Inliner;
use crate::lower::traverse::Traversal;
use crate::npu::capability;

/// Bytes kept free for what is one number a row.
const STATISTICS: i64 = 8 << 10;
/// Most elements of a tile of several rows.
const LONGEST: i64 = 16384;

/// True for the anchors of this family.
pub fn takes(op: &Op) -> bool {
    matches!(op, Op::Softmax { .. } | Op::Norm { .. } | Op::Reduce { .. })
}

/// What is computed from a row.
#[derive(Clone, Copy)]
enum Task {
    Softmax { log: bool },
    Norm { kind: NormKind, eps: f64 },
    Reduce(ReduceOp),
}

/// Everything about the group that does not depend on the tile.
struct Plan<'a, 'p> {
    task: Task,
    walk: Traversal,
    /// Number of axes that are kept; the one after them is reduced.
    kept: usize,
    /// Axes of the anchor's argument that its result lacks.
    dropped: Vec<usize>,
    /// Elements of a row, and the most there can be.
    width: Dim,
    most: i64,
    kb: KernelBuilder<'a>,
    at: Vec<ExprId>,
    /// Elements read before the anchor and after it; a program's operands are both, in this order, then the anchor's value.
    loads: [Vec<ExprId>; 2],
    /// Those that were moved before.
    moved: Moved,
    before: (Program<'p>, V, Slots),
    after: (Program<'p>, V, Slots),
}

/// What each element of a row counts in its mean.
fn share(width: &Dim) -> Result<f64, String> {
    let n = width.known().ok_or("a mean over an open extent is not written for the vector unit")?;
    Ok(1.0 / n as f64)
}

/// Lowers a body around `anchor` into `dst`.
pub fn lower(cx: &mut BodyCx, npu: &Npu, anchor: usize, dst: Operand) -> Result<(), String> {
    if !epilogue_fits(cx, anchor) {
        return Err("what follows the anchor is not elementwise on its result".into());
    }
    let mut p = plan(cx, npu, anchor, dst)?;
    let extents: Vec<Dim> = p.walk.axes.iter().map(|a| a.extent.clone()).collect();
    for (loads, axes) in [(&p.loads[0], extents.len()), (&p.loads[1], if reduces(&p) { p.kept } else { extents.len() })] {
        let loads: Vec<ExprId> = loads.iter().copied().filter(|e| !p.moved.contains_key(e)).collect();
        let more = movement::run(cx, npu, &p.kb, &loads, &p.at[..axes], &extents[..axes], None)?.0;
        p.moved.extend(more);
    }
    let (g, room) = geometry(cx, npu, &p);
    if g.most <= room {
        cx.call(whole(cx, &p, &g, anchor, dst)?);
        return Ok(());
    }
    let Err(chunks) = long::lower(cx, npu, &p, anchor, dst) else { return Ok(()) };
    if room < WHOLE_REPEATS {
        return Err(chunks);
    }
    let mut call = whole(cx, &p, &g, anchor, dst)?;
    super::finish_tile(&mut call, npu, Some(&format!("the largest row that fits has {room} elements, and in chunks: {chunks}")))
        .and(Err(chunks))
}

/// The kernel with whole rows in a tile.
fn whole(cx: &BodyCx, p: &Plan, g: &Geometry, anchor: usize, dst: Operand) -> Result<Call, String> {
    let (ty, step) = (cx.out().clone(), g.rows.as_ref().map_or(1, |r| r.0));
    let cut = p.kept.checked_sub(1);
    let mut grid: Vec<Dim> = p.walk.axes[..p.kept].iter().map(|a| a.extent.clone()).collect();
    if let Some(last) = grid.last_mut() {
        *last = last.ceil_div(&Dim::Known(step));
    }
    let mut kb = KernelBuilder::new(cx.symbols, &grid);
    let zero = kb.int(0);
    let mut start = vec![zero; p.walk.axes.len()];
    for (a, c) in kb.grid.clone().into_iter().enumerate() {
        start[a] = if Some(a) == cut { kb.scale(c, &Dim::Known(step)) } else { c };
    }
    let rows = match (&g.rows, cut) {
        (Some((r, all)), Some(c)) => {
            let minus = kb.scale(start[c], &Dim::Known(-1));
            let left = kb.offset(minus, all);
            Some((kb.min_dim(left, &Dim::Known(*r)), *r))
        }
        _ => None,
    };
    let out = kb.param(dst, ty.dtype, &[ty.numel()], Access::Write);
    let mut index = p.walk.index(&mut kb, &start);
    if matches!(p.task, Task::Reduce(_)) {
        index = index.into_iter().enumerate().filter(|(a, _)| !p.dropped.contains(a)).map(|(_, i)| i).collect();
    }
    let tile = Tile { cx, p, g, rows, start: &start, out, index: &index };
    let body = match p.task {
        Task::Reduce(op) => reduction(&tile, &mut kb, op)?,
        _ => along(&tile, &mut kb)?,
    };
    let name = crate::lower::name::kernel(cx, &[format!("t{step}x{}", p.width.known().unwrap_or(p.most))]);
    let flops = cx.elementwise_flops() + cx.types[anchor].numel() * Dim::Known(4);
    Ok(kb.finish(name, cx.op_names(), body, flops))
}

fn reduces(p: &Plan) -> bool {
    matches!(p.task, Task::Reduce(_))
}

/// A tile at a grid point.
struct Tile<'t, 'a, 'p> {
    cx: &'t BodyCx<'a>,
    p: &'t Plan<'a, 'p>,
    g: &'t Geometry,
    rows: Option<(ExprId, i64)>,
    start: &'t [ExprId],
    out: BufId,
    /// Where the tile's first result goes.
    index: &'t [ExprId],
}

fn plan<'a, 'p>(cx: &BodyCx<'a>, npu: &'p Npu, anchor: usize, dst: Operand) -> Result<Plan<'a, 'p>, String> {
    let node = &cx.body.nodes[anchor];
    let arg = node.args[0];
    let from = cx.ty(arg).clone();
    let (task, reduced, keep) = match &node.op {
        Op::Softmax { axis, log } => (Task::Softmax { log: *log }, vec![*axis], true),
        Op::Norm { kind, axis, eps } => (Task::Norm { kind: *kind, eps: eps.get() }, (*axis..from.rank()).collect(), true),
        Op::Reduce { op, axes, keep } => (Task::Reduce(*op), axes.clone(), *keep),
        op => return Err(format!("`{}` is none of this family", op.name())),
    };
    for dtype in [from.dtype, cx.types[anchor].dtype, cx.out().dtype] {
        if !capability::moves(npu, dtype) {
            return Err(format!("{dtype} does not go through the unified buffer of {}", npu.name));
        }
    }
    if !matches!(from.dtype, DType::F32 | DType::F16 | DType::BF16) {
        return Err(format!("rows of {} are not reduced on the vector unit", from.dtype));
    }
    if let Task::Reduce(op) = task
        && !matches!(op, ReduceOp::Sum | ReduceOp::Max | ReduceOp::Min | ReduceOp::Mean)
    {
        return Err(format!("the vector unit has no reduction by {}", op.name()));
    }
    let roles: Vec<u8> = (0..from.rank()).map(|a| u8::from(reduced.contains(&a))).collect();
    let dropped = if keep { vec![] } else { reduced.clone() };
    let root = cx.result();
    let ty = cx.out().clone();
    let result_index = |kb: &mut KernelBuilder, index: &[ExprId]| -> Vec<ExprId> {
        let whole = matches!(task, Task::Softmax { .. } | Task::Norm { .. });
        let zero = kb.int(0);
        let kept = index.iter().enumerate().filter(|(a, _)| !dropped.contains(a));
        kept.map(|(a, i)| if !whole && reduced.contains(&a) { zero } else { *i }).collect()
    };
    let walk = Traversal::find(cx, &from.shape, &roles, &|inl, kb, index| {
        let v = inl.value(kb, arg, index)?;
        let at = result_index(kb, index);
        let dummy = kb.number(cx.types[anchor].dtype, 0.0);
        inl.bind(anchor, &at, dummy);
        let out = kb.param(dst, ty.dtype, &[ty.numel()], Access::Write);
        let to = kb.linear(&at, &ty.shape);
        Ok(vec![v, inl.value(kb, root, &at)?, kb.load(out, &[to])])
    })?;
    let kept = walk.axes.iter().take_while(|a| a.role == 0).count();
    if kept + 1 != walk.axes.len() || walk.axes[kept].role != 1 {
        return Err(
            "only reductions along the innermost axes, and of more than one element, are tiled for the vector unit".into()
        );
    }
    let width = walk.axes[kept].extent.clone();
    let most = width.range(cx.symbols).hi;
    if matches!(task, Task::Norm { .. } | Task::Reduce(ReduceOp::Mean)) {
        share(&width)?;
    }

    let mut kb = KernelBuilder::new(cx.symbols, &[]);
    let at: Vec<ExprId> = walk.axes.iter().map(|a| kb.axis(&a.extent).1).collect();
    let index = walk.index(&mut kb, &at);
    let mut inl = Inliner::new(cx);
    let value = inl.value(&mut kb, arg, &index)?;
    let standing = kb.local("anchor", cx.types[anchor].dtype, &[1], Space::Ub);
    let zero = kb.int(0);
    let bound = kb.load(standing, &[zero]);
    let to = result_index(&mut kb, &index);
    inl.bind(anchor, &to, bound);
    let result = inl.value(&mut kb, root, &to)?;
    let loads = [loads_of(&kb, value), loads_of(&kb, result).into_iter().filter(|e| *e != bound).collect::<Vec<_>>()];
    for e in loads.iter().flatten() {
        if !capability::moves(npu, kb.dtype(*e)) {
            return Err(format!("{} does not go through the unified buffer of {}", kb.dtype(*e), npu.name));
        }
    }
    let operands: [HashMap<ExprId, usize>; 2] = [
        loads[0].iter().enumerate().map(|(i, e)| (*e, i)).collect(),
        loads[1].iter().enumerate().map(|(i, e)| (*e, loads[0].len() + i)).collect(),
    ];
    let mut before = Program::new(npu);
    let x =
        Translator { kb: &kb, program: &mut before, operands: &operands[0], widen: true, memo: HashMap::new() }.value(value)?;
    let x = before.cast(DType::F32, x)?;
    let mut after = Program::new(npu);
    let anchored = after.operand(loads[0].len() + loads[1].len(), DType::F32);
    let memo = HashMap::from([(bound, anchored)]);
    let y = Translator { kb: &kb, program: &mut after, operands: &operands[1], widen: true, memo }.stored(result)?;
    let (homes_before, homes_after) = (slots::assign(&before, x), slots::assign(&after, y));
    Ok(Plan {
        task,
        walk,
        kept,
        dropped,
        width,
        most,
        kb,
        at,
        loads,
        moved: Moved::new(),
        before: (before, x, homes_before),
        after: (after, y, homes_after),
    })
}

/// Tiles of whole rows, and the elements of the longest row that there is room for.
fn geometry(cx: &BodyCx, npu: &Npu, p: &Plan) -> (Geometry, i64) {
    // Operands and the result twice, the row, its deviation and its square once.
    let size = |e: &ExprId| p.kb.dtype(*e).size() as i64;
    let out = cx.out().dtype.size() as i64;
    let moved: i64 = p.loads.iter().flatten().map(size).sum::<i64>() + out;
    let scratch =
        p.before.2.scratch.iter().chain(&p.after.2.scratch).map(|d| if *d == DType::Bool { 1 } else { 8 * d.size() as i64 });
    let bits = 16 * moved + scratch.sum::<i64>() + 3 * 32;
    let room = (i64::from(npu.core.ub) - STATISTICS) * 8 / bits / WHOLE_REPEATS * WHOLE_REPEATS;
    let up = |n: i64| n.saturating_add(WHOLE_REPEATS - 1) / WHOLE_REPEATS * WHOLE_REPEATS;
    let one = Geometry { width: p.width.clone(), rows: None, pitch: up(p.most.min(1 << 30)), most: up(p.most.min(1 << 30)) };
    if one.most > room {
        return (one, room);
    }
    let loads = || p.loads.iter().flatten().map(size);
    let (narrowest, widest) = (loads().fold(out, i64::min), loads().fold(out, i64::max));
    if let (Some(w), Some(last)) = (p.width.known(), p.kept.checked_sub(1)) {
        let all_rows = p.walk.axes[last].extent.clone();
        let block = BLOCK as i64 / narrowest;
        let pitch = (w + block - 1) / block * block;
        let rows: i64 = p.walk.axes[..p.kept].iter().map(|a| cx.typical(&a.extent).max(1)).product();
        let share = rows.div_euclid(i64::from(npu.vector_cores)) + 1;
        let r = (room.min(LONGEST) / pitch).min(cx.typical(&all_rows).max(1)).min(share).min(512);
        if r > 1 && (pitch - w) * widest < BLOCK as i64 {
            return (Geometry { width: p.width.clone(), rows: Some((r, all_rows)), pitch, most: up(r * pitch) }, room);
        }
    }
    (one, room)
}

/// Brings operands in, in the order of `loads`, and gives their tiles.
fn bring(t: &Tile, w: &mut Writer, loads: &[ExprId], axes: usize, prefix: &str, extent: &Extent) -> Result<Vec<BufId>, String> {
    let mut tiles = vec![];
    for (i, e) in loads.iter().enumerate() {
        let s = source(t.cx, &t.p.kb, w.kb, *e, &t.p.at[..axes], &t.start[..axes], w.g, &t.p.moved)?;
        let around = w.kb.come_from(t.p.kb.node_of(*e).flatten());
        tiles.push(w.bring(&format!("{prefix}{i}"), &s, extent));
        w.kb.come_from(around);
    }
    Ok(tiles)
}

/// The rows as they enter the anchor, in f32.
fn entering(t: &Tile, w: &mut Writer, tiles: &[BufId], extent: &Extent) -> BufId {
    let (program, value, homes) = &t.p.before;
    if let super::program::Step::Operand(n) = program.steps[*value].0 {
        return tiles[n];
    }
    let x = w.tile("row", DType::F32);
    w.run(program, homes, tiles, *value, x, "p", extent);
    x
}

/// Brings in what is read before the anchor and after it, each element once, and gives the tiles in this order.
fn operands(t: &Tile, w: &mut Writer, extent: &Extent) -> Result<Vec<BufId>, String> {
    let (p, axes) = (t.p, t.p.walk.axes.len());
    let mut tiles = bring(t, w, &p.loads[0], axes, "", extent)?;
    let later: Vec<ExprId> = p.loads[1].iter().copied().filter(|e| !p.loads[0].contains(e)).collect();
    let fresh = bring(t, w, &later, axes, "e", extent)?;
    for e in &p.loads[1] {
        let shared = p.loads[0].iter().position(|x| x == e).map(|i| tiles[i]);
        let own = later.iter().position(|x| x == e).map(|i| fresh[i]);
        tiles.extend(shared.or(own));
    }
    Ok(tiles)
}

/// Softmax and normalisations: the result has the shape of the argument.
fn along(t: &Tile, kb: &mut KernelBuilder) -> Result<Vec<Stmt>, String> {
    let p = t.p;
    let width = kb.dim(&p.width);
    let mut w = Writer { g: t.g, kb, body: vec![] };
    let extent = w.extent(t.rows, width, compares(&p.before.0) || compares(&p.after.0));
    let mut tiles = operands(t, &mut w, &extent)?;
    let x = entering(t, &mut w, &tiles, &extent);
    let (program, value, homes) = &p.after;
    let y = w.tile("y", t.cx.out().dtype);
    // Without an epilogue, in f32, the last step writes the result itself.
    let direct = matches!(program.steps[*value].0, super::program::Step::Operand(n) if n == tiles.len());
    let deviation = w.tile("t", DType::F32);
    let last = if direct { y } else { deviation };
    let rows = t.g.rows.as_ref().map_or(1, |r| r.0);
    let mut s = Sweep { w: &mut w, extent, rows };
    match p.task {
        Task::Softmax { log } => s.softmax(x, deviation, last, log),
        Task::Norm { kind, eps } => s.norm(x, deviation, last, kind, eps, share(&p.width)?),
        Task::Reduce(_) => {}
    }
    tiles.push(last);
    w.run(program, homes, &tiles, *value, y, "e", &extent);
    let first = w.kb.linear(t.index, &t.cx.out().shape);
    w.copy_out(y, t.out, first, &extent);
    Ok(w.body)
}

/// Reductions: one number a row.
fn reduction(t: &Tile, kb: &mut KernelBuilder, op: ReduceOp) -> Result<Vec<Stmt>, String> {
    let p = t.p;
    let width = kb.dim(&p.width);
    let rows = t.g.rows.as_ref().map_or(1, |r| r.0);
    let mut w = Writer { g: t.g, kb, body: vec![] };
    let extent = w.extent(t.rows, width, compares(&p.before.0));
    let tiles = bring(t, &mut w, &p.loads[0], p.walk.axes.len(), "", &extent)?;
    let x = entering(t, &mut w, &tiles, &extent);
    let mut s = Sweep { w: &mut w, extent, rows };
    let stat = s.statistic("s");
    s.reduce(if op == ReduceOp::Mean { ReduceOp::Sum } else { op }, stat, x);
    let body = std::mem::take(&mut w.body);
    finish(t, kb, op, stat, tiles, body)
}

/// What follows a reduction, and the way out. `operands`: tiles of what is read before the anchor.
fn finish(
    t: &Tile,
    kb: &mut KernelBuilder,
    op: ReduceOp,
    stat: BufId,
    mut operands: Vec<BufId>,
    mut body: Vec<Stmt>,
) -> Result<Vec<Stmt>, String> {
    let p = t.p;
    let rows = t.g.rows.as_ref().map_or(1, |r| r.0);
    let count = match t.rows {
        Some((n, _)) => n,
        None => kb.int(1),
    };
    if op == ReduceOp::Mean {
        let share = share(&p.width)?;
        body.push(tile::each(kb, Run { from: None, count, most: rows }, stat, |kb, at| {
            let (v, n) = (kb.load(stat, &[at]), kb.number(DType::F32, share));
            kb.binary(BinaryOp::Mul, v, n)
        }));
    }
    if compares(&p.after.0) {
        return Err("comparisons of what a reduction gives are not tiled for the vector unit".into());
    }
    // What follows works on one number a row: a line of them.
    let line = Geometry { width: Dim::Known(rows), rows: None, pitch: rows, most: WHOLE_REPEATS.max(rows) };
    let mut w = Writer { g: &line, kb, body };
    let extent = w.extent(None, count, false);
    // A row at a time, the one number of each operand is its element there.
    operands.extend(bring(t, &mut w, &p.loads[1], p.kept, "e", &extent)?);
    operands.push(stat);
    let y = w.tile("y", t.cx.out().dtype);
    let (program, value, homes) = &p.after;
    w.run(program, homes, &operands, *value, y, "e", &extent);
    let first = w.kb.linear(t.index, &t.cx.out().shape);
    w.copy_out(y, t.out, first, &extent);
    Ok(w.body)
}

/// Statements over the rows of a tile.
struct Sweep<'s, 'w, 'k> {
    w: &'s mut Writer<'w, 'k>,
    extent: Extent,
    /// Most rows.
    rows: i64,
}

impl Sweep<'_, '_, '_> {
    /// One number for each row.
    fn statistic(&mut self, name: &str) -> BufId {
        self.w.kb.local(name, DType::F32, &[self.rows.max(WHOLE_REPEATS) as usize], Space::Ub)
    }

    /// `body` for every row, given its number and its first element.
    fn each_row(&mut self, body: impl FnOnce(&mut KernelBuilder, ExprId, ExprId) -> Vec<Stmt>) {
        let kb = &mut *self.w.kb;
        match self.extent.rows {
            Some((n, most)) => {
                let (var, r) = tile::lane(kb, most);
                let base = kb.scale(r, &Dim::Known(self.w.g.pitch));
                let body = body(kb, r, base);
                self.w.body.push(repeat(var, n, Loop::Serial, body));
            }
            None => {
                let zero = kb.int(0);
                let body = body(kb, zero, zero);
                self.w.body.extend(body);
            }
        }
    }

    /// Elements of a row that elementwise steps go over: its padding, too, where rows lie one after the other.
    fn filled(&mut self) -> ExprId {
        match self.extent.rows {
            Some(_) => self.w.kb.int(self.w.g.pitch),
            None => self.extent.width,
        }
    }

    /// `stat[r] = op over the row of x`.
    fn reduce(&mut self, op: ReduceOp, stat: BufId, x: BufId) {
        let (width, most) = (self.extent.width, self.w.g.most);
        self.each_row(|kb, r, base| {
            let start = kb.identity(op, DType::F32);
            let (var, c) = tile::lane(kb, most);
            let at = kb.add(base, c);
            let v = kb.load(x, &[at]);
            vec![store(stat, &[r], start), repeat(var, width, Loop::Vector, vec![accumulate(op, stat, &[r], v)])]
        });
    }

    /// `y = op(x, stat[r])` for every element.
    fn with_statistic(&mut self, op: BinaryOp, y: BufId, x: BufId, stat: BufId) {
        let (filled, most) = (self.filled(), self.w.g.most);
        self.each_row(|kb, r, base| {
            let (var, c) = tile::lane(kb, most);
            let at = kb.add(base, c);
            let (v, s) = (kb.load(x, &[at]), kb.load(stat, &[r]));
            let v = kb.binary(op, v, s);
            vec![repeat(var, filled, Loop::Vector, vec![store(y, &[at], v)])]
        });
    }

    /// An instruction on the numbers of all rows.
    fn on_statistics(&mut self, to: BufId, from: BufId, f: impl FnOnce(&mut KernelBuilder, ExprId) -> ExprId) {
        let count = match self.extent.rows {
            Some((n, _)) => n,
            None => self.w.kb.int(1),
        };
        let run = Run { from: None, count, most: self.rows };
        let s = tile::each(self.w.kb, run, to, |kb, at| {
            let v = kb.load(from, &[at]);
            f(kb, v)
        });
        self.w.body.push(s);
    }

    /// An instruction on all elements.
    fn on_elements(&mut self, to: BufId, from: BufId, f: impl FnOnce(&mut KernelBuilder, ExprId) -> ExprId) {
        let run = Run { from: None, count: self.extent.count, most: self.w.g.most };
        let s = tile::each(self.w.kb, run, to, |kb, at| {
            let v = kb.load(from, &[at]);
            f(kb, v)
        });
        self.w.body.push(s);
    }

    /// `stat = 1 / stat`.
    fn reciprocal(&mut self, stat: BufId) {
        let ones = self.statistic("ones");
        self.on_statistics(ones, stat, |kb, _| kb.number(DType::F32, 1.0));
        let count = match self.extent.rows {
            Some((n, _)) => n,
            None => self.w.kb.int(1),
        };
        let run = Run { from: None, count, most: self.rows };
        let quotient = tile::each(self.w.kb, run, stat, |kb, at| {
            let (one, v) = (kb.load(ones, &[at]), kb.load(stat, &[at]));
            kb.binary(BinaryOp::Div, one, v)
        });
        self.w.body.push(quotient);
    }

    fn softmax(&mut self, x: BufId, t: BufId, y: BufId, log: bool) {
        let m = self.statistic("m");
        let s = self.statistic("s");
        self.reduce(ReduceOp::Max, m, x);
        self.with_statistic(BinaryOp::Sub, t, x, m);
        if log {
            let e = self.w.tile("e", DType::F32);
            self.on_elements(e, t, |kb, v| kb.unary(UnaryOp::Exp, v));
            self.reduce(ReduceOp::Sum, s, e);
            self.on_statistics(s, s, |kb, v| kb.unary(UnaryOp::Log, v));
            self.with_statistic(BinaryOp::Sub, y, t, s);
            return;
        }
        self.on_elements(t, t, |kb, v| kb.unary(UnaryOp::Exp, v));
        self.reduce(ReduceOp::Sum, s, t);
        self.reciprocal(s);
        self.with_statistic(BinaryOp::Mul, y, t, s);
    }

    fn norm(&mut self, x: BufId, t: BufId, y: BufId, kind: NormKind, eps: f64, share: f64) {
        let mean = |kb: &mut KernelBuilder, v| {
            let c = kb.number(DType::F32, share);
            kb.binary(BinaryOp::Mul, v, c)
        };
        let centred = match kind {
            NormKind::Layer => {
                let m = self.statistic("m");
                self.reduce(ReduceOp::Sum, m, x);
                self.on_statistics(m, m, mean);
                self.with_statistic(BinaryOp::Sub, t, x, m);
                t
            }
            _ => x,
        };
        let q = self.w.tile("q", DType::F32);
        self.on_elements(q, centred, |kb, v| kb.binary(BinaryOp::Mul, v, v));
        let s = self.statistic("s");
        self.reduce(ReduceOp::Sum, s, q);
        self.on_statistics(s, s, mean);
        self.on_statistics(s, s, |kb, v| {
            let e = kb.number(DType::F32, eps);
            kb.binary(BinaryOp::Add, v, e)
        });
        self.on_statistics(s, s, |kb, v| kb.unary(UnaryOp::Sqrt, v));
        self.reciprocal(s);
        self.with_statistic(BinaryOp::Mul, y, centred, s);
    }
}
