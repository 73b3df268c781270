//! Rows at positions that data say (embeddings, gathers along an axis): the scalar unit reads the position, a copy brings the row.

use beiming_ir::kernel::{Access, BufId, Element, Expr, ExprId, Loop, Space, Stmt};
use beiming_ir::ops::BinaryOp;
use beiming_ir::target::npu::Npu;
use beiming_ir::types::Dim;

use super::movement::{Elements, depends};
use super::tile::{self, BLOCK, Run};
use crate::lower::body::BodyCx;
use crate::lower::builder::{KernelBuilder, Operand, repeat};
use crate::npu::capability;

/// Most bytes of a row that come in at once.
const LONGEST: i64 = 32 << 10;
/// Most rows of a tile.
const ROWS: i64 = 16;

/// Moves `e` into `dst`, dense along the axes that it depends on.
pub fn lower(cx: &mut BodyCx, npu: &Npu, e: &Elements, dst: Operand) -> Result<(), String> {
    let Expr::Load(el, _) = e.kb.expr(e.load).clone() else { return Err("no element".into()) };
    let lane = *e.axes.last().ok_or("an element at a computed position alone is not moved by the vector unit")?;
    let within = e.computed.iter().any(|(c, _)| depends(e.kb, *c, e.at[lane]));
    if within || !e.address.coefficient(e.at[lane]).is(1) {
        return Err("single elements at computed positions are not gathered by the vector unit yet".into());
    }
    if !capability::moves(npu, e.dtype) {
        return Err(format!("rows of {} at computed positions are not moved by the vector unit of {}", e.dtype, npu.name));
    }
    let size = e.dtype.size() as i64;
    let Some(width) = e.extents[lane].known() else {
        return Err("rows of an open extent at computed positions are not moved by the vector unit yet".into());
    };
    let fits = |d: &i64| width % d == 0 && d * size <= LONGEST;
    let (outer, lanes) = (&e.axes[..e.axes.len() - 1], (1..=width).rev().find(fits).unwrap_or(1));
    let pitch = ((lanes * size) as usize).next_multiple_of(BLOCK) as i64 / size;
    let rows_of = outer.last().map_or(Dim::Known(1), |a| e.extents[*a].clone());
    let all: i64 = outer.iter().map(|a| cx.typical(&e.extents[*a]).max(1)).product();
    let share = (all + i64::from(npu.vector_cores) - 1) / i64::from(npu.vector_cores);
    let rows = share.min(ROWS).min(cx.typical(&rows_of).max(1)).min((LONGEST / (pitch * size)).max(1));

    let mut grid: Vec<Dim> = outer.iter().map(|a| e.extents[*a].clone()).collect();
    if let Some(last) = grid.last_mut() {
        *last = last.ceil_div(&Dim::Known(rows));
    }
    grid.push(Dim::Known(width / lanes));
    let mut real = KernelBuilder::new(cx.symbols, &grid);
    let kb = &mut real;
    let mut index = kb.grid.clone();
    let block = index.pop().ok_or("a grid without axes")?;
    let first_lane = kb.scale(block, &Dim::Known(lanes));
    let (var, r) = tile::lane(kb, rows);
    let mut there = kb.int(1);
    let zero = kb.int(0);
    let mut first_row = index.clone();
    if let Some(last) = index.last_mut() {
        let start = kb.scale(*last, &Dim::Known(rows));
        let minus = kb.scale(start, &Dim::Known(-1));
        let left = kb.offset(minus, &rows_of);
        there = kb.min_dim(left, &Dim::Known(rows));
        *last = kb.add(start, r);
        if let Some(f) = first_row.last_mut() {
            *f = start;
        }
    }
    // The row's address: the same expression with this kernel's indices.
    let places: Vec<(ExprId, ExprId)> = outer.iter().map(|a| e.at[*a]).zip(index).collect();
    let mut copier = Copier { from: e.kb, places: &places };
    let mut at = kb.dim(&e.address.base);
    for (atom, c) in e.address.terms.iter().filter(|(a, _)| *a != e.at[lane]) {
        let v = copier.expr(kb, *atom)?;
        let term = kb.scale(v, c);
        at = kb.add(at, term);
    }
    at = kb.add(at, first_lane);
    let param = copier.param(kb, el.buffer)?;
    let numel = e.axes.iter().fold(Dim::Known(1), |n, a| n * e.extents[*a].clone());
    let out = kb.param(dst, e.dtype, &[numel], Access::Write);
    let most = (rows * pitch) as usize;
    let [x, y] = ["x", "y"].map(|n| kb.local(n, e.dtype, &[most], Space::Ub));

    let (lane_var, i) = tile::lane(kb, pitch);
    let row = kb.scale(r, &Dim::Known(pitch));
    let (to, from) = (kb.add(row, i), kb.add(at, i));
    let filled = kb.int(pitch);
    let guard = (pitch != lanes).then(|| {
        let n = kb.int(lanes);
        kb.binary(BinaryOp::Lt, i, n)
    });
    let fill = guard.map(|_| kb.number(e.dtype, 0.0));
    let copy = Stmt::Copy {
        vars: vec![(lane_var, filled)],
        dst: Element { buffer: x, index: vec![to], guard: None },
        src: Element { buffer: param, index: vec![from], guard },
        fill,
    };
    let mut body = vec![repeat(var, there, Loop::Serial, vec![copy])];
    let count = kb.scale(there, &Dim::Known(pitch));
    body.push(tile::each(kb, Run { from: None, count, most: rows * pitch }, y, |kb, at| tile::moved(kb, x, at, e.dtype)));
    first_row.push(first_lane);
    let shape: Vec<Dim> = e.axes.iter().map(|a| e.extents[*a].clone()).collect();
    let first = kb.linear(&first_row, &shape);
    let width_there = kb.int(lanes);
    let leave = tile::Rows {
        dst: out,
        to: first,
        dst_pitch: Dim::Known(width),
        src: y,
        from: zero,
        src_pitch: Dim::Known(pitch),
        rows: Some((there, rows)),
        width: (width_there, lanes),
        there: None,
    };
    body.push(tile::copy(kb, &leave));
    let name = crate::lower::name::map(cx, &[format!("t{rows}x{lanes}")], &[e.dtype], e.dtype, &["gather".into()]);
    let call = real.finish(name, vec!["gather".into()], body, Dim::Known(0));
    cx.call(call);
    Ok(())
}

/// Copies index expressions from one kernel to another.
struct Copier<'c, 'k> {
    from: &'c KernelBuilder<'k>,
    places: &'c [(ExprId, ExprId)],
}

impl Copier<'_, '_> {
    fn param(&mut self, kb: &mut KernelBuilder, b: BufId) -> Result<BufId, String> {
        let buffer = self.from.buffer(b).clone();
        let operand = self.from.operand(b.0).ok_or("a parameter that is bound to nothing")?;
        Ok(kb.param(operand, buffer.dtype, &buffer.shape, Access::Read))
    }

    fn expr(&mut self, kb: &mut KernelBuilder, e: ExprId) -> Result<ExprId, String> {
        if let Some((_, to)) = self.places.iter().find(|p| p.0 == e) {
            return Ok(*to);
        }
        Ok(match self.from.expr(e).clone() {
            Expr::Const(s) => kb.constant(s.dtype, s.value),
            Expr::Dim(d) => kb.dim(&d),
            Expr::Load(el, _) if el.guard.is_none() => {
                let buffer = self.param(kb, el.buffer)?;
                let index = el.index.iter().map(|i| self.expr(kb, *i)).collect::<Result<Vec<_>, _>>()?;
                kb.load(buffer, &index)
            }
            Expr::Binary(BinaryOp::Add, a, b) => {
                let (a, b) = (self.expr(kb, a)?, self.expr(kb, b)?);
                kb.add(a, b)
            }
            Expr::Binary(BinaryOp::Mul, a, b) if matches!(self.from.expr(b), Expr::Const(_) | Expr::Dim(_)) => {
                let by = self.from.affine(b).base;
                let a = self.expr(kb, a)?;
                kb.scale(a, &by)
            }
            Expr::Binary(op, a, b) => {
                let (a, b) = (self.expr(kb, a)?, self.expr(kb, b)?);
                kb.binary(op, a, b)
            }
            Expr::Select(c, a, b) => {
                let (c, a, b) = (self.expr(kb, c)?, self.expr(kb, a)?, self.expr(kb, b)?);
                kb.select(c, a, b)
            }
            Expr::Cast(to, a) => {
                let a = self.expr(kb, a)?;
                kb.cast(to, a)
            }
            _ => return Err("a position that is computed in a way the scalar unit does not do".into()),
        })
    }
}
