//! Transpositions within the unified buffer. Rows come in as they lie in memory, along the axis that is dense there; the unit's
//! gather reads each of them across, by a table of offsets; rows go out along the axis that is dense in the result.
//!
//! Slices with a step, backwards or not, are the same without turning: a run comes in, and every n-th element is gathered.

use beiming_ir::kernel::{Access, BufId, Expr, ExprId, Loop, Space, Stmt};
use beiming_ir::ops::BinaryOp;
use beiming_ir::target::npu::Npu;
use beiming_ir::types::{DType, Dim};

use super::movement::Elements;
use super::tile::{self, BLOCK, Run};
use crate::lower::body::BodyCx;
use crate::lower::builder::{KernelBuilder, Operand, repeat, store};

/// Most rows and columns of a tile of 32-bit elements.
const SIDES: [i64; 2] = [64, 128];
/// Longest run that every n-th element is taken from.
const RUN: i64 = 8192;

/// Moves `e` into `dst`, dense along the axes that it depends on.
pub fn lower(cx: &mut BodyCx, npu: &Npu, e: &Elements, dst: Operand) -> Result<(), String> {
    if !matches!(e.dtype, DType::F32 | DType::F16 | DType::BF16 | DType::I32 | DType::I16 | DType::U32 | DType::U16) {
        return Err(format!("{} is not gathered by the vector unit of {}", e.dtype, npu.name));
    }
    let Expr::Load(el, _) = e.kb.expr(e.load).clone() else { return Err("no element".into()) };
    let strides: Vec<Dim> = e.axes.iter().map(|a| e.address.coefficient(e.at[*a])).collect();
    let extents: Vec<Dim> = e.axes.iter().map(|a| e.extents[*a].clone()).collect();
    let lane = e.axes.len().checked_sub(1).ok_or("nothing to move")?;
    let dense = (0..lane).find(|i| strides[*i].is(1));
    let step = strides[lane].known();
    // Rows of the result, and how many elements of memory a tile takes of each lane.
    let (rows, [most_rows, most_lanes], span) = match (dense, step) {
        (Some(r), _) => (Some(r), SIDES, 1),
        (None, Some(s)) if s == -1 || (2..=64).contains(&s.abs()) => (None, [1, RUN / s.abs()], s),
        _ => return Err("elements that lie far apart in memory are not moved by the vector unit yet".into()),
    };
    if dense.is_some() && strides[lane].range(cx.symbols).lo < 0 {
        return Err("rows in reverse order are not turned by the vector unit".into());
    }
    let size = |d: &Dim, most: i64| d.known().map_or(most, |n| n.clamp(1, most));
    let wide = if e.dtype.size() == 4 { 1 } else { 2 };
    let (ti, tj) = (rows.map_or(1, |r| size(&extents[r], most_rows * wide)), size(&extents[lane], most_lanes));
    let mut grid: Vec<Dim> = vec![];
    for (i, d) in extents.iter().enumerate() {
        grid.push(if i == lane {
            d.ceil_div(&Dim::Known(tj))
        } else if Some(i) == rows {
            d.ceil_div(&Dim::Known(ti))
        } else {
            d.clone()
        });
    }
    let mut real = KernelBuilder::new(cx.symbols, &grid);
    let kb = &mut real;
    let start: Vec<ExprId> = kb
        .grid
        .clone()
        .into_iter()
        .enumerate()
        .map(|(i, c)| {
            kb.scale(
                c,
                &Dim::Known(if i == lane {
                    tj
                } else if Some(i) == rows {
                    ti
                } else {
                    1
                }),
            )
        })
        .collect();
    let left = |kb: &mut KernelBuilder, axis: usize, most: i64| {
        let minus = kb.scale(start[axis], &Dim::Known(-1));
        let rest = kb.offset(minus, &extents[axis]);
        kb.min_dim(rest, &Dim::Known(most))
    };
    let lanes = left(kb, lane, tj);
    let high = rows.map(|r| left(kb, r, ti));
    let from = e.kb.buffer(el.buffer).clone();
    let operand = e.kb.operand(el.buffer.0).ok_or("a parameter that is bound to nothing")?;
    let param = kb.param(operand, e.dtype, &from.shape, Access::Read);
    let numel = extents.iter().fold(Dim::Known(1), |a, d| a * d.clone());
    let out = kb.param(dst, e.dtype, &[numel], Access::Write);
    let mut first = kb.dim(&e.address.base);
    for (s, c) in start.iter().zip(&strides) {
        let term = kb.scale(*s, c);
        first = kb.add(first, term);
    }
    let to = kb.linear(&start, &extents);
    let pitch_out = extents[rows.map_or(lane, |r| r + 1)..].iter().fold(Dim::Known(1), |a, d| a * d.clone());
    let t = Tile { dtype: e.dtype, lanes, tj, first, to, param, out };
    let body = match high {
        Some(high) => t.turned(kb, (high, ti), &strides[lane], &pitch_out),
        None => t.picked(kb, span),
    };
    let name = crate::lower::name::map(cx, &[format!("t{ti}x{tj}")], &[e.dtype], e.dtype, &["transpose".into()]);
    let call = real.finish(name, vec!["transpose".into()], body, Dim::Known(0));
    cx.call(call);
    Ok(())
}

/// A tile of the result.
struct Tile {
    dtype: DType,
    /// Elements of a row, and the most there can be.
    lanes: ExprId,
    tj: i64,
    /// Addresses of its first element in memory and in the result.
    first: ExprId,
    to: ExprId,
    param: BufId,
    out: BufId,
}

impl Tile {
    fn pitch(&self, n: i64) -> i64 {
        let block = (BLOCK / self.dtype.size()) as i64;
        (n + block - 1) / block * block
    }

    /// Offsets in bytes of elements `step` apart, from the element `start` on.
    fn offsets(&self, kb: &mut KernelBuilder, start: ExprId, step: i64, body: &mut Vec<Stmt>) -> BufId {
        let table = kb.local("offsets", DType::I32, &[self.tj as usize], Space::Ub);
        let size = Dim::from(self.dtype.size());
        let s = tile::each(kb, Run { from: None, count: self.lanes, most: self.tj }, table, |kb, at| {
            let by = kb.scale(at, &Dim::Known(step));
            let v = kb.add(start, by);
            let v = kb.scale(v, &size);
            kb.cast(DType::I32, v)
        });
        body.push(s);
        table
    }

    /// `dst[at + c] = src[base + offsets[c] / size]` for the lanes.
    fn gather(&self, kb: &mut KernelBuilder, (dst, at): (BufId, ExprId), (src, base): (BufId, ExprId), offsets: BufId) -> Stmt {
        let (var, c) = tile::lane(kb, self.tj);
        let to = kb.add(at, c);
        let offset = kb.load(offsets, &[c]);
        let offset = kb.cast(DType::I64, offset);
        let size = kb.int(self.dtype.size() as i64);
        let element = kb.binary(BinaryOp::Div, offset, size);
        let index = kb.raw(Expr::Binary(BinaryOp::Add, base, element));
        let v = kb.load(src, &[index]);
        repeat(var, self.lanes, Loop::Vector, vec![store(dst, &[to], v)])
    }

    /// Rows of memory run across the rows of the result.
    fn turned(&self, kb: &mut KernelBuilder, (high, ti): (ExprId, i64), between: &Dim, pitch_out: &Dim) -> Vec<Stmt> {
        let (pi, pj) = (self.pitch(ti), self.pitch(self.tj));
        let mut body = vec![];
        let zero = kb.int(0);
        let offsets = self.offsets(kb, zero, pi, &mut body);
        let x = kb.local("x", self.dtype, &[(self.tj * pi) as usize], Space::Ub);
        let y = kb.local("y", self.dtype, &[(ti * pj) as usize], Space::Ub);
        let copy = tile::Rows {
            dst: x,
            to: zero,
            dst_pitch: Dim::Known(pi),
            src: self.param,
            from: self.first,
            src_pitch: between.clone(),
            rows: Some((self.lanes, self.tj)),
            width: (high, ti),
            there: None,
        };
        body.push(tile::copy(kb, &copy));
        let (var, i) = tile::lane(kb, ti);
        let at = kb.scale(i, &Dim::Known(pj));
        let line = self.gather(kb, (y, at), (x, i), offsets);
        body.push(repeat(var, high, Loop::Serial, vec![line]));
        let copy = tile::Rows {
            dst: self.out,
            to: self.to,
            dst_pitch: pitch_out.clone(),
            src: y,
            from: zero,
            src_pitch: Dim::Known(pj),
            rows: Some((high, ti)),
            width: (self.lanes, self.tj),
            there: None,
        };
        body.push(tile::copy(kb, &copy));
        body
    }

    /// Every `step`-th element of a run, from its end where the step is negative.
    fn picked(&self, kb: &mut KernelBuilder, step: i64) -> Vec<Stmt> {
        let mut body = vec![];
        let span = (self.tj - 1) * step.abs() + 1;
        let x = kb.local("x", self.dtype, &[self.pitch(span) as usize], Space::Ub);
        let y = kb.local("y", self.dtype, &[self.pitch(self.tj) as usize], Space::Ub);
        let last = kb.offset(self.lanes, &Dim::Known(-1));
        let reach = kb.scale(last, &Dim::Known(step.abs()));
        let width = kb.offset(reach, &Dim::Known(1));
        let zero = kb.int(0);
        let (from, start) = if step > 0 {
            (self.first, zero)
        } else {
            let back = kb.scale(reach, &Dim::Known(-1));
            (kb.add(self.first, back), reach)
        };
        let offsets = self.offsets(kb, start, step, &mut body);
        let run = |dst, to, src, from, width| tile::Rows {
            dst,
            to,
            dst_pitch: Dim::Known(0),
            src,
            from,
            src_pitch: Dim::Known(0),
            rows: None,
            width,
            there: None,
        };
        body.push(tile::copy(kb, &run(x, zero, self.param, from, (width, span))));
        body.push(self.gather(kb, (y, zero), (x, zero), offsets));
        body.push(tile::copy(kb, &run(self.out, self.to, y, zero, (self.lanes, self.tj))));
        body
    }
}
