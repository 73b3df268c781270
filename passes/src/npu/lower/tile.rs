//! Statements on tiles: each is one instruction of the vector unit or one copy, written as the loops that it stands for.

use beiming_ir::kernel::{BufId, Element, ExprId, Loop, Stmt};
use beiming_ir::ops::BinaryOp;
use beiming_ir::types::{DType, Dim};

use super::program::{Program, Right, Step, V};
use crate::lower::builder::{KernelBuilder, repeat, store};

/// Bytes of a block, the unit of every transfer to and from the unified buffer.
pub const BLOCK: usize = 32;

/// A run of elements of a flat tile.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Place of the first.
    pub from: Option<ExprId>,
    /// Number of them.
    pub count: ExprId,
    /// Most there can be.
    pub most: i64,
}

/// One instruction: `dst[from + i] = value(from + i)` for every element of the run.
pub fn each(kb: &mut KernelBuilder, run: Run, dst: BufId, value: impl FnOnce(&mut KernelBuilder, ExprId) -> ExprId) -> Stmt {
    let (var, i) = lane(kb, run.most);
    let at = match run.from {
        Some(f) => kb.add(f, i),
        None => i,
    };
    let v = value(kb, at);
    repeat(var, run.count, Loop::Vector, vec![store(dst, &[at], v)])
}

/// A lane variable. Of a run of one element it is a variable all the same, so that the statement keeps its form.
pub fn lane(kb: &mut KernelBuilder, most: i64) -> (beiming_ir::kernel::VarId, ExprId) {
    kb.axis(&Dim::Known(most.max(2)))
}

/// The instruction of a value: reads and writes the tiles that `place` names.
pub fn instruction(kb: &mut KernelBuilder, p: &Program, v: V, run: Run, place: &dyn Fn(V) -> BufId) -> Stmt {
    let (step, dtype) = p.steps[v];
    each(kb, run, place(v), |kb, at| {
        let load = |kb: &mut KernelBuilder, a: V| kb.load(place(a), &[at]);
        let right = |kb: &mut KernelBuilder, r: Right| match r {
            Right::Tile(b) => kb.load(place(b), &[at]),
            Right::Number(s) => kb.constant(s.dtype, s.value),
        };
        match step {
            Step::Operand(_) => load(kb, v),
            Step::Splat(s) => kb.constant(s.dtype, s.value),
            Step::Unary(op, a) => {
                let a = load(kb, a);
                kb.unary(op, a)
            }
            Step::Binary(op, a, b) | Step::Compare(op, a, b) => {
                let a = load(kb, a);
                let b = right(kb, b);
                kb.binary(op, a, b)
            }
            Step::Select(m, a, b) => {
                let m = load(kb, m);
                let a = load(kb, a);
                let b = right(kb, b);
                kb.raw(beiming_ir::kernel::Expr::Select(m, a, b))
            }
            Step::Cast(_, a) => {
                let a = load(kb, a);
                kb.cast(dtype, a)
            }
        }
    })
}

/// `x` rounded up to a multiple of `to`.
pub fn round_up(kb: &mut KernelBuilder, x: ExprId, to: i64) -> ExprId {
    let sum = kb.offset(x, &Dim::Known(to - 1));
    let to = kb.int(to);
    let parts = kb.binary(BinaryOp::Div, sum, to);
    kb.binary(BinaryOp::Mul, parts, to)
}

/// A copy of rows: `dst[r * dst_pitch + c] = src[from + r * src_pitch + c]`.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The tile, or global memory.
    pub dst: BufId,
    /// First element there.
    pub to: ExprId,
    /// Distance between its rows.
    pub dst_pitch: Dim,
    /// Global memory, or the tile.
    pub src: BufId,
    /// First element there.
    pub from: ExprId,
    /// Distance between its rows.
    pub src_pitch: Dim,
    /// Number of rows, and the most there can be; `None`: one.
    pub rows: Option<(ExprId, i64)>,
    /// Elements of a row that are written, and the most there can be.
    pub width: (ExprId, i64),
    /// Elements of a row that there are, where that is fewer: the rest of what is written is zero.
    pub there: Option<ExprId>,
}

/// The statement of a copy.
pub fn copy(kb: &mut KernelBuilder, c: &Rows) -> Stmt {
    let (mut to, mut from) = (c.to, c.from);
    let mut vars = vec![];
    if let Some((n, most)) = c.rows {
        let (var, r) = lane(kb, most);
        vars.push((var, n));
        let (a, b) = (kb.scale(r, &c.dst_pitch), kb.scale(r, &c.src_pitch));
        (to, from) = (kb.add(to, a), kb.add(from, b));
    }
    let (var, i) = lane(kb, c.width.1);
    vars.push((var, c.width.0));
    (to, from) = (kb.add(to, i), kb.add(from, i));
    let guard = c.there.map(|n| kb.binary(BinaryOp::Lt, i, n));
    let fill = guard.map(|_| {
        let dtype = kb.buffer(c.src).dtype;
        kb.number(dtype, 0.0)
    });
    let dst = Element { buffer: c.dst, index: vec![to], guard: None };
    Stmt::Copy { vars, dst, src: Element { buffer: c.src, index: vec![from], guard }, fill }
}

/// An element as it is. Where the unit computes, a product or sum moves any number of them; else whole blocks are moved.
pub fn moved(kb: &mut KernelBuilder, x: BufId, at: ExprId, dtype: DType) -> ExprId {
    let v = kb.load(x, &[at]);
    let (op, c) = match dtype {
        DType::F32 | DType::F16 => (BinaryOp::Mul, 1.0),
        DType::I32 | DType::I16 => (BinaryOp::Add, 0.0),
        _ => return v,
    };
    let c = kb.number(dtype, c);
    kb.binary(op, v, c)
}
