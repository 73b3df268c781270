//! Matrices of a core with both units, between the unified buffer and the memories of the cube unit. In the unified buffer they
//! lie row by row, in L1 and in the accumulators in fractals, column by column of them: the vector unit takes them apart and
//! puts them together again, 16 elements of every row at a time.

use beiming_ir::kernel::{BufId, Element, ExprId, Loop, Space, Stmt};
use beiming_ir::ops::BinaryOp;
use beiming_ir::types::{DType, Dim};

use crate::lower::builder::{KernelBuilder, repeat};
use crate::npu::lower::epilogue::{Place, copy};
use crate::npu::lower::operands::Side;
use crate::npu::lower::tile::{self, Run};

/// Elements of 16 bits along each side of a fractal.
pub const SIDE: i64 = 16;

/// How far a tile reaches along an axis.
pub struct Edge {
    /// Elements of the tile.
    pub most: i64,
    /// Elements from its first to the end of the operand.
    pub left: ExprId,
    /// It never reaches beyond that end.
    pub whole: bool,
}

/// An operand's tile to L1, by way of the unified buffer; zero beyond the edges.
pub fn bring(
    kb: &mut KernelBuilder,
    s: &Side,
    source: BufId,
    first: ExprId,
    [rows, columns]: [Edge; 2],
    [plain, fractals, l1]: [&str; 3],
    out: &mut Vec<Stmt>,
) -> BufId {
    let dtype = kb.buffer(source).dtype;
    let plain = kb.local(plain, dtype, &[(rows.most * columns.most) as usize], Space::Ub);
    let there = if rows.whole { kb.int(rows.most) } else { kb.min_dim(rows.left, &Dim::Known(rows.most)) };
    let wide = kb.int(columns.most);
    let filled = (!columns.whole).then(|| kb.min_dim(columns.left, &Dim::Known(columns.most)));
    let (zero, by) = (kb.int(0), kb.dim(&s.pitch));
    let (to, from) = (Place { buffer: plain, first: zero, pitch: wide }, Place { buffer: source, first, pitch: by });
    out.push(copy(kb, to, from, Some((there, rows.most)), (wide, columns.most), filled));
    take_apart(kb, plain, [fractals, l1], [rows.most, columns.most], there, out)
}

/// A matrix that lies row by row in the unified buffer to L1. `there`: its rows; those behind them are zero.
pub fn take_apart(
    kb: &mut KernelBuilder,
    plain: BufId,
    [fractals, l1]: [&str; 2],
    [rows, columns]: [i64; 2],
    there: ExprId,
    out: &mut Vec<Stmt>,
) -> BufId {
    let dtype = kb.buffer(plain).dtype;
    let fractals = kb.local(fractals, dtype, &[(rows * columns) as usize], Space::Ub);
    let (var, j) = tile::lane(kb, columns / SIDE);
    let (at, start) = (kb.scale(j, &Dim::Known(rows * SIDE)), kb.scale(j, &Dim::Known(SIDE)));
    let (side, wide) = (kb.int(SIDE), kb.int(columns));
    let to = Place { buffer: fractals, first: at, pitch: side };
    let from = Place { buffer: plain, first: start, pitch: wide };
    let mut each = vec![copy(kb, to, from, Some((there, rows)), (side, SIDE), None)];
    let known = Dim::known(&kb.affine(there).base).filter(|_| kb.affine(there).terms.is_empty());
    if known.is_none_or(|n| n < rows) {
        let done = kb.scale(there, &Dim::Known(SIDE));
        let behind = kb.add(at, done);
        let minus = kb.scale(there, &Dim::Known(-SIDE));
        let count = kb.offset(minus, &Dim::Known(rows * SIDE));
        let run = Run { from: Some(behind), count, most: rows * SIDE };
        let fill = tile::each(kb, run, fractals, |kb, _| kb.number(dtype, 0.0));
        let most = kb.int(rows);
        each.push(match known {
            Some(_) => fill,
            None => Stmt::If { cond: kb.binary(BinaryOp::Lt, there, most), then: vec![fill] },
        });
    }
    let n = kb.int(columns / SIDE);
    out.push(repeat(var, n, Loop::Serial, each));
    into_l1(kb, fractals, l1, [rows, columns], out)
}

/// Fractals of the unified buffer to L1, as they are.
pub fn into_l1(kb: &mut KernelBuilder, fractals: BufId, l1: &str, [rows, columns]: [i64; 2], out: &mut Vec<Stmt>) -> BufId {
    let dtype = kb.buffer(fractals).dtype;
    let l1 = kb.local(l1, dtype, &[rows as usize, columns as usize], Space::L1);
    out.push(unchanged(kb, [rows, columns], |flat, whole| {
        (Element { buffer: l1, index: whole, guard: None }, Element { buffer: fractals, index: vec![flat], guard: None })
    }));
    l1
}

/// The accumulators in the unified buffer, in fractals, rounded to the type `out`; `names` of both steps.
pub fn accumulators(
    kb: &mut KernelBuilder,
    acc: BufId,
    out: DType,
    [rows, columns]: [i64; 2],
    [name, rounded]: [&str; 2],
    to: &mut Vec<Stmt>,
) -> BufId {
    let size = (rows * columns) as usize;
    let fractals = kb.local(name, DType::F32, &[size], Space::Ub);
    to.push(unchanged(kb, [rows, columns], |flat, whole| {
        (Element { buffer: fractals, index: vec![flat], guard: None }, Element { buffer: acc, index: whole, guard: None })
    }));
    if out == DType::F32 {
        return fractals;
    }
    let rounded = kb.local(rounded, out, &[size], Space::Ub);
    let count = kb.int(rows * columns);
    let run = Run { from: None, count, most: rows * columns };
    to.push(tile::each(kb, run, rounded, |kb, at| {
        let v = kb.load(fractals, &[at]);
        kb.cast(out, v)
    }));
    rounded
}

/// A matrix of fractals put together to rows.
pub fn put_together(
    kb: &mut KernelBuilder,
    fractals: BufId,
    name: &str,
    [rows, columns]: [i64; 2],
    there: ExprId,
    to: &mut Vec<Stmt>,
) -> BufId {
    let dtype = kb.buffer(fractals).dtype;
    let plain = kb.local(name, dtype, &[(rows * columns) as usize], Space::Ub);
    let (zero, wide) = (kb.int(0), kb.int(columns));
    let into = Place { buffer: plain, first: zero, pitch: wide };
    let part = Columns { buffer: fractals, first: zero, apart: rows * SIDE, count: columns / SIDE };
    to.push(part.rows(kb, into, (there, rows)));
    plain
}

/// Rows of a matrix of fractals.
pub struct Columns {
    /// Where it lies.
    pub buffer: BufId,
    /// First element of the first row.
    pub first: ExprId,
    /// Elements from one column of fractals to the next.
    pub apart: i64,
    /// Columns of fractals.
    pub count: i64,
}

impl Columns {
    /// Those rows, put together.
    pub fn rows(&self, kb: &mut KernelBuilder, into: Place, rows: (ExprId, i64)) -> Stmt {
        let (var, j) = tile::lane(kb, self.count);
        let (at, start) = (kb.scale(j, &Dim::Known(self.apart)), kb.scale(j, &Dim::Known(SIDE)));
        let (at, start, side) = (kb.add(self.first, at), kb.add(into.first, start), kb.int(SIDE));
        let from = Place { buffer: self.buffer, first: at, pitch: side };
        let each = vec![copy(kb, Place { first: start, ..into }, from, Some(rows), (side, SIDE), None)];
        let n = kb.int(self.count);
        repeat(var, n, Loop::Serial, each)
    }
}

/// A copy between a matrix and its fractals, column by column: `make` gets the place among fractals, and row and column.
fn unchanged(
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
