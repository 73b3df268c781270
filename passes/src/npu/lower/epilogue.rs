//! What follows a product, on parts of its result in the unified buffer: operands come in beside the product's value, one
//! instruction after another works on whole parts, the result goes out. Rows lie one behind the other, each padded to whole
//! blocks; how long they are at the last columns only the run tells.

use std::collections::HashMap;

use beiming_ir::kernel::{Access, BufId, Element, Expr, ExprId, Loop, Space, Stmt};
use beiming_ir::ops::{Arg, BinaryOp};
use beiming_ir::target::npu::Npu;
use beiming_ir::types::{DType, Dim};

use super::coupled::fractals::{Columns, SIDE};
use super::movement::Moved;
use super::program::{Program, V};
use super::slots::{self, Slots};
use super::tile::{self, BLOCK, Run};
use super::translate::{Translator, widens};
use super::writer::{Extent, Geometry, Source, WHOLE_REPEATS, Writer, compares, loads_of, source};
use crate::lower::body::BodyCx;
use crate::lower::builder::{KernelBuilder, Operand, repeat, store};
use crate::lower::families::epilogue_fits;
use crate::lower::inline::Inliner;
use crate::npu::capability;

/// Bytes of the unified buffer kept free for rows that are spread and what is rounded up.
pub const RESERVE: i64 = 16 << 10;

/// What follows a product, as instructions on tiles.
pub struct Epilogue<'a, 'p> {
    kb: KernelBuilder<'a>,
    at: Vec<ExprId>,
    /// Elements it reads; operand 0 of the program is the product's value, these come after.
    loads: Vec<ExprId>,
    program: Program<'p>,
    result: V,
    slots: Slots,
    /// Elements of rows in the unified buffer are padded to a multiple of this.
    pub block: i64,
    /// Type of the product's value.
    pub value: DType,
    out: DType,
    shape: Vec<Dim>,
}

/// The elementwise function `root` of the value that `anchor` has; `wide`: not rounded to its own type, but in f32.
pub fn epilogue<'a, 'p>(cx: &BodyCx<'a>, npu: &'p Npu, anchor: usize, root: Arg, wide: bool) -> Result<Epilogue<'a, 'p>, String> {
    if !epilogue_fits(cx, anchor) {
        return Err("what follows the product is not elementwise on its result".into());
    }
    let (from, to) = (cx.types[anchor].dtype, if wide { DType::F32 } else { cx.ty(root).dtype });
    let mut kb = KernelBuilder::new(cx.symbols, &[]);
    let at: Vec<ExprId> = cx.types[anchor].shape.iter().map(|d| kb.axis(d).1).collect();
    let standing = kb.local("anchor", from, &[1], Space::Ub);
    let zero = kb.int(0);
    let bound = kb.load(standing, &[zero]);
    let mut inl = Inliner::new(cx);
    inl.bind(anchor, &at, bound);
    let value = inl.value(&mut kb, root, &at)?;
    let loads: Vec<ExprId> = loads_of(&kb, value).into_iter().filter(|e| *e != bound).collect();
    let mut program = Program::new(npu);
    let mut operands = HashMap::from([(bound, 0)]);
    operands.extend(loads.iter().enumerate().map(|(i, e)| (*e, i + 1)));
    let widen = wide || widens(&kb, value);
    let mut translator = Translator { kb: &kb, program: &mut program, operands: &operands, widen, memo: HashMap::new() };
    let result = if wide { translator.value(value)? } else { translator.stored(value)? };
    let result = program.cast(to, result)?;
    let slots = slots::assign(&program, result);
    let types: Vec<DType> = loads.iter().map(|e| kb.dtype(*e)).chain([from, to]).collect();
    if let Some(d) = types.iter().find(|d| !capability::moves(npu, **d)) {
        return Err(format!("{d} does not go through the unified buffer of {}", npu.name));
    }
    let shape = cx.types[anchor].shape.clone();
    let narrowest = types.iter().map(|d| d.size()).min().unwrap_or(1);
    Ok(Epilogue { kb, at, loads, program, result, slots, block: (BLOCK / narrowest) as i64, value: from, out: to, shape })
}

impl Epilogue<'_, '_> {
    /// Rows of `columns` elements that fit into `room` bytes of the unified buffer; 0: not even one.
    pub fn rows(&self, room: i64, columns: i64) -> i64 {
        (room - RESERVE).max(0) * 8 / self.bits() / columns
    }

    /// Bits of the unified buffer that an element takes.
    pub fn bits(&self) -> i64 {
        let twice: i64 = self.loads.iter().map(|e| self.kb.dtype(*e).size() as i64).sum::<i64>()
            + (self.value.size() + self.out.size()) as i64;
        let scratch: i64 = self.slots.scratch.iter().map(|d| if *d == DType::Bool { 1 } else { 8 * d.size() as i64 }).sum();
        16 * twice + scratch
    }

    /// Extent of its rows.
    pub fn columns(&self) -> &Dim {
        &self.shape[self.shape.len() - 1]
    }

    /// An error where a row of the given extent cannot be padded by one copy.
    pub fn pads(&self, n: &Dim) -> Result<(), String> {
        // What is one number a row is not copied.
        let along = |e: &&ExprId| match (self.kb.expr(**e), self.at.last()) {
            (Expr::Load(el, _), Some(last)) => !self.kb.affine(el.index[0]).coefficient(*last).is(0),
            _ => true,
        };
        let widest = self.loads.iter().filter(along).map(|e| self.kb.dtype(*e).size() as i64).max().unwrap_or(0);
        let pad = |n: i64| (n + self.block - 1) / self.block * self.block - n;
        let most = n.known().map_or(self.block - 1, pad);
        if most * widest > BLOCK as i64 {
            return Err(format!("rows of {n} elements of several widths need more padding than one copy gives"));
        }
        Ok(())
    }
}

/// Where the product's value is.
pub enum Value {
    /// In the workspace, zero behind the last column.
    Rows {
        /// The tile.
        tile: BufId,
        /// First element.
        from: ExprId,
        /// Elements from row to row.
        pitch: i64,
    },
    /// In the unified buffer, in fractals.
    Fractals {
        /// The tile.
        tile: BufId,
        /// First element of the first row.
        from: ExprId,
        /// Elements from one column of fractals to the next.
        apart: i64,
    },
}

/// Rows and columns of the result that are worked on together.
pub struct Part {
    /// Number of rows, and the most there can be.
    pub rows: (ExprId, i64),
    /// Number of columns, and the most there can be: a multiple of 16.
    pub columns: (ExprId, i64),
    /// There are always that many columns.
    pub whole: bool,
    /// Rows are as far apart as there can be columns, whatever there is of them.
    pub fixed: bool,
    /// Index of the first element.
    pub start: Vec<ExprId>,
}

impl Part {
    /// Elements from one row to the next in the unified buffer.
    pub fn pitch(&self, kb: &mut KernelBuilder, e: &Epilogue) -> ExprId {
        if self.whole || self.fixed { kb.int(self.columns.1) } else { tile::round_up(kb, self.columns.0, e.block) }
    }

    /// The statements, the result's way out included.
    pub fn write(
        &self,
        cx: &BodyCx,
        kb: &mut KernelBuilder,
        e: &Epilogue,
        value: &Value,
        dst: Operand,
    ) -> Result<Vec<Stmt>, String> {
        let (mut body, y) = self.compute(cx, kb, e, value)?;
        let pitch = self.pitch(kb, e);
        let out = kb.param(dst, e.out, &[e.shape.iter().fold(Dim::Known(1), |a, d| a * d.clone())], Access::Write);
        let first = kb.linear(&self.start, &e.shape);
        let n = kb.dim(&e.shape[e.shape.len() - 1]);
        let zero = kb.int(0);
        let (to, from) = (Place { buffer: out, first, pitch: n }, Place { buffer: y, first: zero, pitch });
        body.push(copy(kb, to, from, Some(self.rows), self.columns, None));
        Ok(body)
    }

    /// The statements that leave the result in a tile, and the tile.
    pub fn compute(
        &self,
        cx: &BodyCx,
        kb: &mut KernelBuilder,
        e: &Epilogue,
        value: &Value,
    ) -> Result<(Vec<Stmt>, BufId), String> {
        let ((rows, most_rows), (columns, most_columns)) = (self.rows, self.columns);
        let pitch = self.pitch(kb, e);
        let most = ((most_rows * most_columns) as usize).next_multiple_of(WHOLE_REPEATS as usize) as i64;
        let all = &e.shape[e.shape.len() - 2..];
        let g = Geometry { width: all[1].clone(), rows: Some((most_rows, all[0].clone())), pitch: most_columns, most };
        let mut sources = vec![];
        for load in &e.loads {
            sources.push(source(cx, &e.kb, kb, *load, &e.at, &self.start, &g, &Moved::new())?);
        }
        let count = times(kb, rows, pitch);
        let compares = compares(&e.program);
        let whole = if compares { tile::round_up(kb, count, WHOLE_REPEATS) } else { count };
        let extent = Extent { rows: Some(self.rows), width: columns, count, whole, compares };
        let mut w = Writer { g: &g, kb, body: vec![] };
        let mut tiles = vec![self.value(&mut w, e, value, pitch)];
        for (i, s) in sources.iter().enumerate() {
            tiles.push(self.bring(&mut w, i, s, pitch, &extent));
        }
        if compares {
            for t in &tiles {
                let dtype = w.kb.buffer(*t).dtype;
                w.fill(*t, dtype, count, whole);
            }
        }
        let y = w.tile("y", e.out);
        w.run(&e.program, &e.slots, &tiles, e.result, y, "", &extent);
        Ok((std::mem::take(&mut w.body), y))
    }

    fn value(&self, w: &mut Writer, e: &Epilogue, value: &Value, pitch: ExprId) -> BufId {
        let x = w.tile("x", e.value);
        let to = Place { buffer: x, first: w.kb.int(0), pitch };
        let s = match *value {
            Value::Rows { tile, from, pitch: apart } => {
                let from = Place { buffer: tile, first: from, pitch: w.kb.int(apart) };
                copy(w.kb, to, from, Some(self.rows), (pitch, self.columns.1), None)
            }
            Value::Fractals { tile, from, apart } => {
                let part = Columns { buffer: tile, first: from, apart, count: self.columns.1 / SIDE };
                part.rows(w.kb, to, self.rows)
            }
        };
        w.body.push(s);
        x
    }

    /// Brings an operand's elements in, spread where it has fewer axes.
    fn bring(&self, w: &mut Writer, n: usize, s: &Source, pitch: ExprId, extent: &Extent) -> BufId {
        let t = w.tile(&format!("x{n}"), s.dtype);
        let ((rows, most_rows), (columns, most)) = (self.rows, self.columns);
        let zero = w.kb.int(0);
        let there = (!self.whole).then_some(columns);
        if s.step.is(0) && s.rows.is(0) {
            let (param, first) = (s.param, s.first);
            let run = Run { from: None, count: extent.count, most: w.g.most };
            let st = tile::each(w.kb, run, t, |kb, _| kb.load(param, &[first]));
            w.body.push(st);
            return t;
        }
        if s.step.is(1) && !s.rows.is(0) {
            let by = w.kb.dim(&s.rows);
            let (to, from) = (Place { buffer: t, first: zero, pitch }, Place { buffer: s.param, first: s.first, pitch: by });
            let st = copy(w.kb, to, from, Some(self.rows), (pitch, most), there);
            w.body.push(st);
            return t;
        }
        // One number a row, or one row for all: spread within the unified buffer.
        let stage = s.step.is(1).then(|| {
            let b = w.kb.local(&format!("row{n}"), s.dtype, &[most as usize], Space::Ub);
            let (to, from) = (Place { buffer: b, first: zero, pitch }, Place { buffer: s.param, first: s.first, pitch });
            let st = copy(w.kb, to, from, None, (pitch, most), there);
            w.body.push(st);
            b
        });
        let (row_var, row) = tile::lane(w.kb, most_rows);
        let at = times(w.kb, row, pitch);
        let (lane, c) = tile::lane(w.kb, most);
        let to = w.kb.add(at, c);
        let value = match stage {
            Some(b) => w.kb.load(b, &[c]),
            None => {
                let by = w.kb.scale(row, &s.rows);
                let from = w.kb.add(s.first, by);
                w.kb.load(s.param, &[from])
            }
        };
        let line = repeat(lane, pitch, Loop::Vector, vec![store(t, &[to], value)]);
        w.body.push(repeat(row_var, rows, Loop::Serial, vec![line]));
        t
    }
}

/// `a * b`, where either may be known only when the kernel runs.
pub fn times(kb: &mut KernelBuilder, a: ExprId, b: ExprId) -> ExprId {
    let (x, y) = (kb.affine(a), kb.affine(b));
    if y.terms.is_empty() {
        kb.scale(a, &y.base)
    } else if x.terms.is_empty() {
        kb.scale(b, &x.base)
    } else {
        kb.binary(BinaryOp::Mul, a, b)
    }
}

/// Rows in a buffer.
#[derive(Clone, Copy)]
pub struct Place {
    /// The buffer, of one axis.
    pub buffer: BufId,
    /// First element.
    pub first: ExprId,
    /// Elements from row to row.
    pub pitch: ExprId,
}

/// A copy of rows (`None`: one): `width` elements of each and the most there can be; `there`: of those, how many the source
/// has; the rest is zero.
pub fn copy(
    kb: &mut KernelBuilder,
    to: Place,
    from: Place,
    rows: Option<(ExprId, i64)>,
    width: (ExprId, i64),
    there: Option<ExprId>,
) -> Stmt {
    let (mut at, mut src) = (to.first, from.first);
    let mut vars = vec![];
    if let Some((n, most)) = rows {
        let (var, r) = tile::lane(kb, most);
        vars.push((var, n));
        let (a, b) = (times(kb, r, to.pitch), times(kb, r, from.pitch));
        (at, src) = (kb.add(at, a), kb.add(src, b));
    }
    let (var, i) = tile::lane(kb, width.1);
    vars.push((var, width.0));
    (at, src) = (kb.add(at, i), kb.add(src, i));
    let guard = there.map(|n| kb.binary(BinaryOp::Lt, i, n));
    let fill = guard.map(|_| {
        let dtype = kb.buffer(from.buffer).dtype;
        kb.number(dtype, 0.0)
    });
    let dst = Element { buffer: to.buffer, index: vec![at], guard: None };
    Stmt::Copy { vars, dst, src: Element { buffer: from.buffer, index: vec![src], guard }, fill }
}
