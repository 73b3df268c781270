//! Writes the statements of a tile: operands in, instructions, the result out. Shared by all families of the vector unit.

use beiming_ir::kernel::{Access, BufId, Expr, ExprId, Loop, Space, Stmt};
use beiming_ir::ops::BinaryOp;
use beiming_ir::types::{DType, Dim};

use super::movement::Moved;
use super::program::{Program, Step, V};
use super::slots::{Home, Slots};
use super::tile::{self, BLOCK, Run};
use crate::lower::body::BodyCx;
use crate::lower::builder::{KernelBuilder, repeat, store};
use crate::lower::index::Affine;

/// Elements to whose multiples comparisons and selections are rounded up: 256 bytes of the narrowest type they take.
pub const WHOLE_REPEATS: i64 = 128;
/// An element that the group reads, by the axes of the tile.
pub struct Source {
    /// Where it lies.
    pub param: BufId,
    /// Its type.
    pub dtype: DType,
    /// Distance between rows and between elements of a row.
    pub rows: Dim,
    /// See `rows`.
    pub step: Dim,
    /// Address of the tile's first element.
    pub first: ExprId,
}

/// How the result is walked over.
pub struct Geometry {
    /// Extent of the innermost axis.
    pub width: Dim,
    /// Rows of a tile, and of all; `None`: lines.
    pub rows: Option<(i64, Dim)>,
    /// Elements from one row of the tile to the next.
    pub pitch: i64,
    /// Most elements of a tile.
    pub most: i64,
}

/// How much of a tile there is at a grid point.
#[derive(Clone, Copy)]
pub struct Extent {
    /// Rows, and the most there can be; `None`: lines.
    pub rows: Option<(ExprId, i64)>,
    /// Elements of a row.
    pub width: ExprId,
    /// Elements of the tile, the padding of rows included.
    pub count: ExprId,
    /// The same in whole repeats, where comparisons need them.
    pub whole: ExprId,
    /// There are comparisons.
    pub compares: bool,
}

/// True for a program whose instructions go through whole repeats.
pub fn compares(p: &Program) -> bool {
    p.steps.iter().any(|(s, _)| matches!(s, Step::Compare(..) | Step::Select(..)))
}

/// The elements that an expression reads, each once, in order.
pub fn loads_of(kb: &KernelBuilder, root: ExprId) -> Vec<ExprId> {
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
#[allow(clippy::too_many_arguments)]
pub fn source(
    cx: &BodyCx,
    plan: &KernelBuilder,
    kb: &mut KernelBuilder,
    load: ExprId,
    at: &[ExprId],
    start: &[ExprId],
    g: &Geometry,
    moved: &Moved,
) -> Result<Source, String> {
    let Expr::Load(el, _) = plan.expr(load).clone() else { return Err("an operand that is no element".into()) };
    let from = plan.buffer(el.buffer).clone();
    if el.guard.is_some() {
        return Err("reads that depend on the position (padding, joins) are not tiled for the vector unit yet".into());
    }
    let mut address = plan.affine(el.index[0]);
    if let Some((_, strides)) = moved.get(&load) {
        let terms = at.iter().zip(strides).filter(|(_, d)| !d.is(0)).map(|(a, d)| (*a, d.clone()));
        address = Affine { base: Dim::Known(0), terms: terms.collect() };
    }
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
    if step.is(0) && dtype == DType::I64 {
        return Err(format!("broadcast of {dtype} is not written for the vector unit"));
    }
    let negative = |d: &Dim| d.range(cx.symbols).lo < 0;
    if step.is(1) && negative(&rows) {
        return Err("rows in reverse order are not tiled for the vector unit yet".into());
    }
    if g.rows.is_some() && step.is(1) && !rows.is(0) && negative(&(rows.clone() - g.width.clone())) {
        return Err("rows that overlap are not tiled for the vector unit".into());
    }
    let operand = plan.operand(el.buffer.0).ok_or("a parameter that is bound to nothing")?;
    let param = match moved.get(&load) {
        Some((temp, _)) => kb.param(*temp, dtype, &[cx.temp_numel(*temp)], Access::Read),
        None => kb.param(operand, dtype, &from.shape, Access::Read),
    };
    let mut first = kb.dim(&address.base);
    for (a, s) in start.iter().enumerate() {
        let term = kb.scale(*s, &along(Some(a)));
        first = kb.add(first, term);
    }
    Ok(Source { param, dtype, rows, step, first })
}

/// Writes the statements of a tile.
pub struct Writer<'w, 'k> {
    /// The tile.
    pub g: &'w Geometry,
    /// The kernel.
    pub kb: &'w mut KernelBuilder<'k>,
    /// The statements so far.
    pub body: Vec<Stmt>,
}

impl Writer<'_, '_> {
    /// A tile in the unified buffer.
    pub fn tile(&mut self, name: &str, dtype: DType) -> BufId {
        self.kb.local(name, dtype, &[self.g.most as usize], Space::Ub)
    }

    /// What there is of the tile.
    pub fn extent(&mut self, rows: Option<(ExprId, i64)>, width: ExprId, compares: bool) -> Extent {
        let count = match rows {
            Some((r, _)) => self.kb.scale(r, &Dim::Known(self.g.pitch)),
            None => width,
        };
        let whole = if compares { tile::round_up(self.kb, count, WHOLE_REPEATS) } else { count };
        Extent { rows, width, count, whole, compares }
    }

    /// Runs a program: its operands lie in `tiles`, its result goes to `y`; names of scratch tiles start with `prefix`.
    #[allow(clippy::too_many_arguments)]
    pub fn run(&mut self, program: &Program, slots: &Slots, tiles: &[BufId], result: V, y: BufId, prefix: &str, extent: &Extent) {
        let most = self.g.most;
        let mut scratch = vec![];
        for (i, d) in slots.scratch.iter().enumerate() {
            let name = if *d == DType::Bool { "mask" } else { "t" };
            scratch.push(self.tile(&format!("{prefix}{name}{i}"), *d));
        }
        let operand_of = |v: V| match program.steps[v].0 {
            Step::Operand(n) => Some(n),
            _ => None,
        };
        let place = |v: V| match (slots.homes[v], operand_of(v)) {
            (Home::Scratch(s), _) => scratch[s],
            (_, Some(n)) => tiles[n],
            _ => y,
        };
        let run = |count| Run { from: None, count, most };
        for (v, _) in program.needed(&[result]).iter().enumerate().filter(|(_, n)| **n) {
            if operand_of(v).is_some() {
                continue;
            }
            let around = self.kb.come_from(program.nodes[v]);
            let narrow =
                program.steps[v].0.args().iter().any(|a| operand_of(*a).is_some() && matches!(program.dtype(*a).size(), 1 | 8));
            if narrow && extent.compares {
                // Bytes and 64-bit numbers cannot be filled: what lies behind them is zero in their converted form.
                let dtype = program.dtype(v);
                let s = tile::each(self.kb, run(extent.whole), place(v), |kb, _| kb.number(dtype, 0.0));
                self.body.push(s);
                let s = tile::instruction(self.kb, program, v, run(extent.count), &place);
                self.body.push(s);
            } else {
                let s = tile::instruction(self.kb, program, v, run(extent.whole), &place);
                self.body.push(s);
            }
            self.kb.come_from(around);
        }
        if let Some(n) = operand_of(result).filter(|n| tiles[*n] != y) {
            let dtype = self.kb.buffer(y).dtype;
            let s = tile::each(self.kb, run(extent.count), y, |kb, at| tile::moved(kb, tiles[n], at, dtype));
            self.body.push(s);
        }
    }

    /// Copies the result out, dense from `first` on.
    pub fn copy_out(&mut self, y: BufId, out: BufId, first: ExprId, extent: &Extent) {
        self.copy_out_apart(y, out, first, extent, self.g.width.clone());
    }

    /// Copies the result out, its rows `apart` elements from one to the next.
    pub fn copy_out_apart(&mut self, y: BufId, out: BufId, first: ExprId, extent: &Extent, apart: Dim) {
        let most = self.g.most;
        let width = (extent.width, if extent.rows.is_some() { self.g.width.known().unwrap_or(most) } else { most });
        let zero = self.kb.int(0);
        let copy = tile::Rows {
            dst: out,
            to: first,
            dst_pitch: apart,
            src: y,
            from: zero,
            src_pitch: Dim::Known(self.g.pitch),
            rows: extent.rows,
            width,
            there: None,
        };
        let s = tile::copy(self.kb, &copy);
        self.body.push(s);
    }

    /// Brings an operand's tile in.
    pub fn bring(&mut self, name: &str, s: &Source, extent: &Extent) -> BufId {
        let t = self.tile(&format!("x{name}"), s.dtype);
        let Extent { rows, width, count, whole, compares } = *extent;
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
                return t;
            }
            Some((r, many)) if s.step.is(0) || s.rows.is(0) => {
                // One number a row, or one row for all: spread within the unified buffer.
                let stage = s.step.is(1).then(|| {
                    let b = self.kb.local(&format!("row{name}"), s.dtype, &[pitch as usize], Space::Ub);
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
        if compares && matches!(s.dtype.size(), 2 | 4) {
            // Comparisons read whole repeats: what lies behind the tile's elements is zero.
            let behind = if rows.is_some() { count } else { tile::round_up(self.kb, count, block) };
            self.fill(t, s.dtype, behind, whole);
        }
        t
    }

    /// Zeros from `behind` to `whole`.
    pub fn fill(&mut self, t: BufId, dtype: DType, behind: ExprId, whole: ExprId) {
        let minus = self.kb.scale(behind, &Dim::Known(-1));
        let rest = self.kb.add(whole, minus);
        let run = Run { from: Some(behind), count: rest, most: WHOLE_REPEATS };
        let st = tile::each(self.kb, run, t, |kb, _| kb.number(dtype, 0.0));
        let some = self.kb.binary(BinaryOp::Lt, behind, whole);
        self.body.push(Stmt::If { cond: some, then: vec![st] });
    }
}
