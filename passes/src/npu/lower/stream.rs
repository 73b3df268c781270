//! Elementwise groups on the vector unit: a tile of every operand comes in, one instruction after another works on whole tiles,
//! the result goes out. Operands that are broadcast are spread on the way; views cost addresses only.
//!
//! Two forms of tiles. *Lines*: a run of the innermost axis. *Rows*: several whole rows of a short innermost axis, each padded to
//! blocks of 32 bytes in the unified buffer.

use std::collections::HashMap;

use beiming_ir::kernel::{Access, BufId, Expr, ExprId, Loop, Space, Stmt};
use beiming_ir::ops::{Arg, BinaryOp};
use beiming_ir::target::npu::Npu;
use beiming_ir::types::{DType, Dim};

use super::program::{Program, Step, V};
use super::slots::{self, Home, Slots};
use super::tile::{self, BLOCK, Run};
use super::translate::{Translator, widens};
use crate::lower::body::BodyCx;
use crate::lower::builder::{Call, KernelBuilder, Operand, repeat, store};
use crate::lower::inline::Inliner;
use crate::lower::traverse::Traversal;
use crate::npu::capability;

/// Elements to whose multiples comparisons and selections are rounded up: 256 bytes of the narrowest type they take.
const WHOLE_REPEATS: i64 = 128;
/// Most elements of a tile: longer copies gain nothing.
const LONGEST: i64 = 16384;
/// Fewest elements of a tile, unless there are no more: a copy of fewer does not reach half of the bandwidth.
const SHORTEST: i64 = 2048;

/// An element that the group reads, by the axes of the tile.
struct Source {
    param: BufId,
    dtype: DType,
    /// Distance between rows and between elements of a row.
    rows: Dim,
    step: Dim,
    /// Address of the tile's first element.
    first: ExprId,
}

/// How the result is walked over.
struct Geometry {
    /// Extent of the innermost axis.
    width: Dim,
    /// Rows of a tile, and of all; `None`: lines.
    rows: Option<(i64, Dim)>,
    /// Elements from one row of the tile to the next.
    pitch: i64,
    /// Most elements of a tile.
    most: i64,
}

/// Lowers the value `root` into `dst`.
pub fn lower(cx: &mut BodyCx, npu: &Npu, root: Arg, dst: Operand) -> Result<(), String> {
    let ty = cx.ty(root).clone();
    let walk = Traversal::find(cx, &ty.shape, &vec![0; ty.rank()], &|inl, kb, index| {
        let out = kb.param(dst, ty.dtype, &[ty.numel()], Access::Write);
        let at = kb.linear(index, &ty.shape);
        Ok(vec![inl.value(kb, root, index)?, kb.load(out, &[at])])
    })?;
    // A first round with any tile finds out what a tile needs.
    let mut needs = None;
    attempt(cx, npu, root, dst, &walk, &mut |bits, sizes| {
        needs = Some((bits, sizes));
        None
    })?;
    let (bits, sizes) = needs.ok_or("a group that computes nothing")?;
    let shape = geometry(cx, npu, &walk, bits, sizes)?;
    let call = attempt(cx, npu, root, dst, &walk, &mut |_, _| Some(&shape))?.ok_or("a group that computes nothing")?;
    cx.call(call);
    Ok(())
}

fn geometry(
    cx: &BodyCx,
    npu: &Npu,
    walk: &Traversal,
    bits: i64,
    (narrowest, widest): (usize, usize),
) -> Result<Geometry, String> {
    let width = walk.axes.last().map_or(Dim::Known(1), |a| a.extent.clone());
    let room = i64::from(npu.core.ub) * 8 / bits.max(1) / WHOLE_REPEATS * WHOLE_REPEATS;
    if room < WHOLE_REPEATS {
        return Err(format!("{} bits of unified buffer an element leave no room for a tile on {}", bits, npu.name));
    }
    let all: i64 = walk.axes.iter().map(|a| cx.typical(&a.extent).max(1)).product();
    let share = all.div_euclid(i64::from(npu.vector_cores)) + 1;
    let most = (share.clamp(SHORTEST, LONGEST).min(room) as usize).next_multiple_of(WHOLE_REPEATS as usize) as i64;
    let most = most.min(room);
    let block = (BLOCK / narrowest) as i64;
    let rows = walk.axes.len().checked_sub(2).map(|i| walk.axes[i].extent.clone());
    if let (Some(all_rows), Some(w)) = (rows, width.known()) {
        let pitch = (w.max(1) as usize).next_multiple_of(block as usize) as i64;
        // One copy pads a row by less than a block, in the widest type as in the narrowest.
        let padded = (pitch - w.max(1)) * (widest as i64) < BLOCK as i64;
        if w > 0 && pitch * 4 <= most && padded {
            let r = (most / pitch).min(cx.typical(&all_rows).max(1)).min(4095);
            let most = ((r * pitch) as usize).next_multiple_of(WHOLE_REPEATS as usize) as i64;
            return Ok(Geometry { width, rows: Some((r, all_rows)), pitch, most });
        }
    }
    Ok(Geometry { width, rows: None, pitch: most, most })
}

/// One round: without a geometry it only says how many bits of unified buffer an element of the tile takes, and the sizes of
/// the narrowest and the widest type.
fn attempt<'g>(
    cx: &BodyCx,
    npu: &Npu,
    root: Arg,
    dst: Operand,
    walk: &Traversal,
    choose: &mut dyn FnMut(i64, (usize, usize)) -> Option<&'g Geometry>,
) -> Result<Option<Call>, String> {
    let ty = cx.ty(root).clone();
    let n = walk.axes.len();
    // Indices along the axes, as yet without a value: the addresses' coefficients are read off them.
    let mut kb = KernelBuilder::new(cx.symbols, &[]);
    let at: Vec<ExprId> = walk.axes.iter().map(|a| kb.axis(&a.extent).1).collect();
    let index = walk.index(&mut kb, &at);
    let value = Inliner::new(cx).value(&mut kb, root, &index)?;
    let loads = loads_of(&kb, value);
    let mut program = Program::new(npu);
    let operands: HashMap<ExprId, usize> = loads.iter().enumerate().map(|(i, e)| (*e, i)).collect();
    let widen = widens(&kb, value);
    let result = Translator { kb: &kb, program: &mut program, operands: &operands, widen, memo: HashMap::new() }.stored(value)?;
    let slots = slots::assign(&program, result);
    let (mut narrowest, mut widest) = (ty.dtype.size(), ty.dtype.size());
    let mut bits = 2 * 8 * ty.dtype.size() as i64;
    for e in &loads {
        let dtype = kb.dtype(*e);
        if !capability::moves(npu, dtype) {
            return Err(format!("{dtype} does not go through the unified buffer of {}", npu.name));
        }
        (narrowest, widest) = (narrowest.min(dtype.size()), widest.max(dtype.size()));
        bits += 2 * 8 * dtype.size() as i64;
    }
    if !capability::moves(npu, ty.dtype) {
        return Err(format!("{} does not go through the unified buffer of {}", ty.dtype, npu.name));
    }
    bits += slots.scratch.iter().map(|d| if *d == DType::Bool { 1 } else { 8 * d.size() as i64 }).sum::<i64>();
    let Some(g) = choose(bits, (narrowest, widest)) else { return Ok(None) };

    // The grid: every outer axis, and blocks of the one that tiles cut.
    let cut = if g.rows.is_some() { n.checked_sub(2) } else { n.checked_sub(1) };
    let step = g.rows.as_ref().map_or(g.most, |r| r.0);
    let mut grid: Vec<Dim> = walk.axes[..cut.unwrap_or(0)].iter().map(|a| a.extent.clone()).collect();
    if let Some(c) = cut {
        grid.push(walk.axes[c].extent.ceil_div(&Dim::Known(step)));
    }
    let mut real = KernelBuilder::new(cx.symbols, &grid);
    let kb2 = &mut real;
    let zero = kb2.int(0);
    let mut start = vec![zero; n];
    let coordinates = kb2.grid.clone();
    for (a, c) in coordinates.iter().enumerate() {
        start[a] = if Some(a) == cut { kb2.scale(*c, &Dim::Known(step)) } else { *c };
    }
    let left = |kb: &mut KernelBuilder, a: usize| {
        let minus = kb.scale(start[a], &Dim::Known(-1));
        kb.offset(minus, &walk.axes[a].extent)
    };
    let mut sources = vec![];
    for e in &loads {
        sources.push(source(cx, &kb, kb2, *e, &at, &start, g)?);
    }
    let out = kb2.param(dst, ty.dtype, &[ty.numel()], Access::Write);
    let mut w =
        Writer { program: &program, slots: &slots, g, kb: kb2, body: vec![], tiles: vec![], scratch: vec![], result: out };
    // Rows and elements of this tile.
    let rows = match (&g.rows, cut) {
        (Some((r, _)), Some(c)) => {
            let l = left(w.kb, c);
            Some((w.kb.min_dim(l, &Dim::Known(*r)), *r))
        }
        _ => None,
    };
    let count = match (rows, cut) {
        (Some(_), _) => w.kb.dim(&g.width),
        (None, Some(c)) => {
            let l = left(w.kb, c);
            w.kb.min_dim(l, &Dim::Known(g.most))
        }
        (None, None) => w.kb.int(1),
    };
    let first = {
        let index = walk.index(w.kb, &start);
        w.kb.linear(&index, &ty.shape)
    };
    w.write(&sources, result, rows, count, out, first);
    let body = std::mem::take(&mut w.body);
    let name = crate::lower::name::kernel(cx, &[format!("t{}", tile_name(g))]);
    Ok(Some(real.finish(name, cx.op_names(), body, cx.elementwise_flops())))
}

fn tile_name(g: &Geometry) -> String {
    match &g.rows {
        Some((r, _)) => format!("{r}x{}", g.width.known().unwrap_or(g.pitch)),
        None => g.most.to_string(),
    }
}

/// The elements that an expression reads, each once, in order.
fn loads_of(kb: &KernelBuilder, root: ExprId) -> Vec<ExprId> {
    let (mut stack, mut seen, mut loads) = (vec![root], std::collections::BTreeSet::new(), vec![]);
    while let Some(e) = stack.pop() {
        if !seen.insert(e) {
            continue;
        }
        match kb.expr(e) {
            Expr::Load(..) => loads.push(e),
            Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => stack.push(*a),
            Expr::Binary(_, a, b) => stack.extend([*a, *b]),
            Expr::Select(c, a, b) => stack.extend([*c, *a, *b]),
            Expr::Const(_) | Expr::Var(_) | Expr::Dim(_) => {}
        }
    }
    loads.sort_unstable();
    loads
}

/// What a load is to the tile; an error where its address is not linear along the tile's axes.
fn source(
    cx: &BodyCx,
    plan: &KernelBuilder,
    kb: &mut KernelBuilder,
    load: ExprId,
    at: &[ExprId],
    start: &[ExprId],
    g: &Geometry,
) -> Result<Source, String> {
    let Expr::Load(el, _) = plan.expr(load).clone() else { return Err("an operand that is no element".into()) };
    let from = plan.buffer(el.buffer).clone();
    if el.guard.is_some() {
        return Err("reads that depend on the position (padding, joins) are not tiled for the vector unit yet".into());
    }
    let address = plan.affine(el.index[0]);
    if address.terms.iter().any(|(atom, _)| !at.contains(atom)) {
        return Err("reads by computed positions are not tiled for the vector unit yet".into());
    }
    let n = at.len();
    let along = |a: Option<usize>| a.map_or(Dim::Known(0), |a| address.coefficient(at[a]));
    let step = along(n.checked_sub(1));
    let rows = if g.rows.is_some() { along(n.checked_sub(2)) } else { Dim::Known(0) };
    if !step.is(0) && !step.is(1) {
        return Err("reads across rows (transpositions) are not tiled for the vector unit yet".into());
    }
    let dtype = from.dtype;
    if step.is(0) && matches!(dtype, DType::Bool | DType::I8 | DType::U8) {
        return Err(format!("broadcast of {dtype} is not written for the vector unit"));
    }
    let negative = |d: &Dim| d.range(cx.symbols).lo < 0;
    if step.is(1) && negative(&rows) {
        return Err("rows in reverse order are not tiled for the vector unit yet".into());
    }
    let operand = plan.operand(el.buffer.0).ok_or("a parameter that is bound to nothing")?;
    let param = kb.param(operand, dtype, &from.shape, Access::Read);
    let mut first = kb.dim(&address.base);
    for (a, s) in start.iter().enumerate() {
        let term = kb.scale(*s, &along(Some(a)));
        first = kb.add(first, term);
    }
    Ok(Source { param, dtype, rows, step, first })
}

/// Writes the statements of a tile.
struct Writer<'w, 'p, 'k> {
    program: &'w Program<'p>,
    slots: &'w Slots,
    g: &'w Geometry,
    kb: &'w mut KernelBuilder<'k>,
    body: Vec<Stmt>,
    /// Tiles of the operands.
    tiles: Vec<BufId>,
    scratch: Vec<BufId>,
    result: BufId,
}

impl Writer<'_, '_, '_> {
    fn write(&mut self, sources: &[Source], result: V, rows: Option<(ExprId, i64)>, width: ExprId, out: BufId, first: ExprId) {
        let compares = self.program.steps.iter().any(|(s, _)| matches!(s, Step::Compare(..) | Step::Select(..)));
        let most = self.g.most as usize;
        // Elements of the whole tile, the padding of rows included.
        let count = match rows {
            Some((r, _)) => self.kb.scale(r, &Dim::Known(self.g.pitch)),
            None => width,
        };
        let whole = if compares { tile::round_up(self.kb, count, WHOLE_REPEATS) } else { count };
        for (i, s) in sources.iter().enumerate() {
            let t = self.kb.local(&format!("x{i}"), s.dtype, &[most], Space::Ub);
            self.tiles.push(t);
        }
        for (i, d) in self.slots.scratch.clone().into_iter().enumerate() {
            let name = if d == DType::Bool { format!("mask{i}") } else { format!("t{i}") };
            let t = self.kb.local(&name, d, &[most], Space::Ub);
            self.scratch.push(t);
        }
        self.result = self.kb.local("y", self.kb.buffer(out).dtype, &[most], Space::Ub);
        for (i, s) in sources.iter().enumerate() {
            self.bring(i, s, rows, width, count, whole, compares);
        }
        let need = self.program.needed(&[result]);
        let (tiles, scratch, homes, y) = (self.tiles.clone(), self.scratch.clone(), self.slots.homes.clone(), self.result);
        let operand_of = |v: V| match self.program.steps[v].0 {
            Step::Operand(n) => Some(n),
            _ => None,
        };
        let place = |v: V| match (homes[v], operand_of(v)) {
            (Home::Scratch(s), _) => scratch[s],
            (_, Some(n)) => tiles[n],
            _ => y,
        };
        for v in need.iter().enumerate().filter(|(_, n)| **n).map(|(v, _)| v) {
            if operand_of(v).is_some() {
                continue;
            }
            let narrow =
                self.program.steps[v].0.args().iter().any(|a| operand_of(*a).is_some() && self.program.dtype(*a).size() == 1);
            let run = |count| Run { from: None, count, most: most as i64 };
            if narrow && compares {
                // Bytes cannot be filled: what lies behind them is zero in their converted form.
                let dtype = self.program.dtype(v);
                let s = tile::each(self.kb, run(whole), place(v), |kb, _| kb.number(dtype, 0.0));
                self.body.push(s);
                let s = tile::instruction(self.kb, self.program, v, run(count), &place);
                self.body.push(s);
                continue;
            }
            let s = tile::instruction(self.kb, self.program, v, run(whole), &place);
            self.body.push(s);
        }
        if let Some(n) = operand_of(result) {
            let run = Run { from: None, count, most: most as i64 };
            let s = tile::each(self.kb, run, y, |kb, at| kb.load(tiles[n], &[at]));
            self.body.push(s);
        }
        let width = (width, if rows.is_some() { self.g.width.known().unwrap_or(most as i64) } else { most as i64 });
        let zero = self.kb.int(0);
        let copy = tile::Rows {
            dst: out,
            to: first,
            dst_pitch: self.g.width.clone(),
            src: y,
            from: zero,
            src_pitch: Dim::Known(self.g.pitch),
            rows,
            width,
            there: None,
        };
        let s = tile::copy(self.kb, &copy);
        self.body.push(s);
    }

    /// Brings an operand's tile in.
    #[allow(clippy::too_many_arguments)]
    fn bring(
        &mut self,
        i: usize,
        s: &Source,
        rows: Option<(ExprId, i64)>,
        width: ExprId,
        count: ExprId,
        whole: ExprId,
        compares: bool,
    ) {
        let t = self.tiles[i];
        let most = self.g.most;
        let pitch = self.g.pitch;
        let block = (BLOCK / s.dtype.size()) as i64;
        let zero = self.kb.int(0);
        let run = |count, most| Run { from: None, count, most };
        let param = s.param;
        match rows {
            _ if s.step.is(0) && s.rows.is(0) => {
                let first = s.first;
                let st = tile::each(self.kb, run(whole, most), t, |kb, _| kb.load(param, &[first]));
                self.body.push(st);
                return;
            }
            Some((r, many)) if s.step.is(0) || s.rows.is(0) => {
                // One number a row, or one row for all: spread within the unified buffer.
                let stage = s.step.is(1).then(|| {
                    let b = self.kb.local(&format!("row{i}"), s.dtype, &[pitch as usize], Space::Ub);
                    let filled = self.kb.int(pitch);
                    let copy = tile::Rows {
                        dst: b,
                        to: zero,
                        dst_pitch: Dim::Known(0),
                        src: param,
                        from: s.first,
                        src_pitch: Dim::Known(0),
                        rows: None,
                        width: (filled, pitch),
                        there: (self.g.width != Dim::Known(pitch)).then_some(width),
                    };
                    let st = tile::copy(self.kb, &copy);
                    self.body.push(st);
                    b
                });
                let (var, row) = tile::lane(self.kb, many);
                let at = self.kb.scale(row, &Dim::Known(pitch));
                let filled = self.kb.int(pitch);
                let (lane, c) = tile::lane(self.kb, pitch);
                let to = self.kb.add(at, c);
                let value = match stage {
                    Some(b) => self.kb.load(b, &[c]),
                    None => {
                        let by = self.kb.scale(row, &s.rows);
                        let from = self.kb.add(s.first, by);
                        self.kb.load(param, &[from])
                    }
                };
                let line = repeat(lane, filled, Loop::Vector, vec![store(t, &[to], value)]);
                self.body.push(repeat(var, r, Loop::Serial, vec![line]));
            }
            Some((r, many)) => {
                let filled = self.kb.int(pitch);
                let copy = tile::Rows {
                    dst: t,
                    to: zero,
                    dst_pitch: Dim::Known(pitch),
                    src: param,
                    from: s.first,
                    src_pitch: s.rows.clone(),
                    rows: Some((r, many)),
                    width: (filled, pitch),
                    there: (self.g.width != Dim::Known(pitch)).then_some(width),
                };
                let st = tile::copy(self.kb, &copy);
                self.body.push(st);
            }
            None => {
                let filled = if compares { tile::round_up(self.kb, width, block) } else { width };
                let copy = tile::Rows {
                    dst: t,
                    to: zero,
                    dst_pitch: Dim::Known(0),
                    src: param,
                    from: s.first,
                    src_pitch: Dim::Known(0),
                    rows: None,
                    width: (filled, most),
                    there: compares.then_some(width),
                };
                let st = tile::copy(self.kb, &copy);
                self.body.push(st);
            }
        }
        if compares && s.dtype.size() > 1 {
            // Comparisons read whole repeats: what lies behind the tile's elements is zero.
            let behind = if rows.is_some() { count } else { tile::round_up(self.kb, count, block) };
            self.fill(t, s.dtype, behind, whole);
        }
    }

    /// Zeros from `behind` to `whole`.
    fn fill(&mut self, t: BufId, dtype: DType, behind: ExprId, whole: ExprId) {
        let minus = self.kb.scale(behind, &Dim::Known(-1));
        let rest = self.kb.add(whole, minus);
        let run = Run { from: Some(behind), count: rest, most: WHOLE_REPEATS };
        let st = tile::each(self.kb, run, t, |kb, _| kb.number(dtype, 0.0));
        let some = self.kb.binary(BinaryOp::Lt, behind, whole);
        self.body.push(Stmt::If { cond: some, then: vec![st] });
    }
}
