//! Rows that do not fit the unified buffer, one a grid point, in chunks: one sweep over the row or two gather what is one number
//! of it, and a last one computes the result, reading the row again.
//!
//! A softmax keeps the greatest element `m` so far and the sum `s` of `exp(x - m)`; a chunk with a greater element scales the sum
//! by `exp(old m - new m)` before its own part is added. A layer normalisation takes the mean first, then the squares of the
//! deviations from it. Reductions put the chunks' numbers together.

use beiming_ir::kernel::{Access, BufId, ExprId, Loop, Stmt};
use beiming_ir::ops::{BinaryOp, NormKind, ReduceOp, UnaryOp};
use beiming_ir::target::npu::Npu;
use beiming_ir::types::{DType, Dim};

use super::super::fit;
use super::super::tile::{self, Run};
use super::super::writer::{Geometry, WHOLE_REPEATS, Writer, compares};
use super::{LONGEST, Plan, STATISTICS, Sweep, Task, Tile, bring, entering, finish, operands, share};
use crate::lower::body::BodyCx;
use crate::lower::builder::{KernelBuilder, Operand, repeat};

/// Where running maxima start: finite, so that chunks of minus infinity do not make NaN of a difference.
const LOWEST: f64 = -3.0e38;

/// Lowers the group into `dst`; an error where even a short chunk does not fit.
pub fn lower(cx: &mut BodyCx, npu: &Npu, p: &Plan, anchor: usize, dst: Operand) -> Result<(), String> {
    let g = geometry(cx, npu, p);
    let grid: Vec<Dim> = p.walk.axes[..p.kept].iter().map(|a| a.extent.clone()).collect();
    let mut kb = KernelBuilder::new(cx.symbols, &grid);
    let ty = cx.out().clone();
    let out = kb.param(dst, ty.dtype, &[ty.numel()], Access::Write);
    let zero = kb.int(0);
    let start: Vec<ExprId> = kb.grid.iter().copied().chain([zero]).collect();
    let mut chunks = Chunks { cx, p, g: &g, start, out, body: vec![] };
    match p.task {
        Task::Reduce(op) => chunks.reduction(&mut kb, op)?,
        Task::Softmax { log } => chunks.softmax(&mut kb, log)?,
        Task::Norm { kind, eps } => chunks.norm(&mut kb, kind, eps)?,
    }
    let body = chunks.body;
    let name = crate::lower::name::kernel(cx, &[format!("t1x{}", g.most)]);
    let flops = cx.elementwise_flops() + cx.types[anchor].numel() * Dim::Known(4);
    let call = kb.finish(name, cx.op_names(), body, flops);
    if g.most == WHOLE_REPEATS {
        fit::smallest(&call, npu, &[g.most], fit::ELEMENTS)?;
    }
    cx.call(call);
    Ok(())
}

/// The longest chunk whose tiles fit, those of all sweeps together.
fn geometry(cx: &BodyCx, npu: &Npu, p: &Plan) -> Geometry {
    let moved = |i: usize| p.loads[i].iter().map(|e| 16 * p.kb.dtype(*e).size() as i64).sum::<i64>();
    let scratch =
        |s: &super::Slots| -> i64 { s.scratch.iter().map(|d| if *d == DType::Bool { 1 } else { 8 * d.size() as i64 }).sum() };
    // Operands twice, the row, its deviation and its square.
    let sweep = moved(0) + scratch(&p.before.2) + 3 * 32;
    let last = sweep + moved(1) + scratch(&p.after.2) + 16 * cx.out().dtype.size() as i64;
    let bits = match p.task {
        Task::Reduce(_) => sweep,
        Task::Softmax { .. } | Task::Norm { kind: NormKind::Rms, .. } => sweep + last,
        Task::Norm { .. } => 2 * sweep + last,
    };
    let room = (i64::from(npu.core.ub) - STATISTICS) * 8 / bits / WHOLE_REPEATS * WHOLE_REPEATS;
    let room = room.min(LONGEST);
    // Where there is no room for the smallest chunk its kernel tells what is too large.
    let room = room.max(WHOLE_REPEATS);
    let up = |n: i64, to: i64| n.saturating_add(to - 1) / to;
    let most = p.width.known().map_or(room, |n| up(up(n, up(n, room)), WHOLE_REPEATS) * WHOLE_REPEATS);
    Geometry { width: p.width.clone(), rows: None, pitch: most, most }
}

/// The statements so far.
struct Chunks<'t, 'a, 'p> {
    cx: &'t BodyCx<'a>,
    p: &'t Plan<'a, 'p>,
    g: &'t Geometry,
    /// The row.
    start: Vec<ExprId>,
    out: BufId,
    body: Vec<Stmt>,
}

impl Chunks<'_, '_, '_> {
    /// A loop over the chunks: `each` gets the tile, and the sweep over what there is of it.
    fn sweep(
        &mut self,
        kb: &mut KernelBuilder,
        after: bool,
        each: impl FnOnce(&Tile, &mut Sweep) -> Result<(), String>,
    ) -> Result<(), String> {
        let p = self.p;
        let most = Dim::Known(self.g.most);
        let (var, chunk) = kb.axis(&p.width.ceil_div(&most));
        let first = kb.scale(chunk, &most);
        let mut start = self.start.clone();
        start[p.kept] = first;
        let left = {
            let minus = kb.scale(first, &Dim::Known(-1));
            kb.offset(minus, &p.width)
        };
        let width = kb.min_dim(left, &most);
        let index = p.walk.index(kb, &start);
        let tile = Tile { cx: self.cx, p, g: self.g, rows: None, start: &start, out: self.out, index: &index };
        let mut w = Writer { g: self.g, kb, body: vec![] };
        let extent = w.extent(None, width, compares(&p.before.0) || after && compares(&p.after.0));
        each(&tile, &mut Sweep { w: &mut w, extent, rows: 1 })?;
        let body = w.body;
        let rounds = kb.dim(&p.width.ceil_div(&most));
        self.body.push(repeat(var, rounds, Loop::Serial, body));
        Ok(())
    }

    /// Statements on what is one number of the row.
    fn numbers<R>(&mut self, kb: &mut KernelBuilder, f: impl FnOnce(&mut Sweep) -> R) -> R {
        let one = kb.int(1);
        let mut w = Writer { g: self.g, kb, body: vec![] };
        let extent = w.extent(None, one, false);
        let done = f(&mut Sweep { w: &mut w, extent, rows: 1 });
        self.body.extend(w.body);
        done
    }

    /// The row as it enters the anchor.
    fn row(t: &Tile, s: &mut Sweep) -> Result<BufId, String> {
        let tiles = bring(t, s.w, &t.p.loads[0], t.p.walk.axes.len(), "", &s.extent)?;
        Ok(entering(t, s.w, &tiles, &s.extent))
    }

    /// The last sweep: `each` makes the anchor's value of a chunk, what follows it and the way out are added.
    fn result(&mut self, kb: &mut KernelBuilder, each: impl FnOnce(&mut Sweep, BufId, BufId)) -> Result<(), String> {
        self.sweep(kb, true, |t, s| {
            let mut tiles = operands(t, s.w, &s.extent)?;
            let x = entering(t, s.w, &tiles, &s.extent);
            let (program, value, homes) = &t.p.after;
            let (y, last) = (s.w.tile("y", t.cx.out().dtype), s.w.tile("t", DType::F32));
            each(s, x, last);
            tiles.push(last);
            s.w.run(program, homes, &tiles, *value, y, "e", &s.extent);
            let first = s.w.kb.linear(t.index, &t.cx.out().shape);
            let extent = s.extent;
            s.w.copy_out(y, t.out, first, &extent);
            Ok(())
        })
    }

    fn softmax(&mut self, kb: &mut KernelBuilder, log: bool) -> Result<(), String> {
        let [m, s, here, next, scale] = self.numbers(kb, |w| {
            let all = ["m", "s", "here", "next", "scale"].map(|n| w.statistic(n));
            w.set(all[0], LOWEST);
            w.set(all[1], 0.0);
            all
        });
        self.sweep(kb, false, |t, w| {
            let x = Self::row(t, w)?;
            let deviation = w.w.tile("t", DType::F32);
            w.reduce(ReduceOp::Max, here, x);
            w.apply(next, BinaryOp::Max, m, here);
            w.apply(scale, BinaryOp::Sub, m, next);
            w.on_statistics(scale, scale, |kb, v| kb.unary(UnaryOp::Exp, v));
            w.on_statistics(m, next, |kb, v| {
                let one = kb.number(DType::F32, 1.0);
                kb.binary(BinaryOp::Mul, v, one)
            });
            w.with_statistic(BinaryOp::Sub, deviation, x, next);
            w.on_elements(deviation, deviation, |kb, v| kb.unary(UnaryOp::Exp, v));
            w.reduce(ReduceOp::Sum, here, deviation);
            w.apply(s, BinaryOp::Mul, s, scale);
            w.apply(s, BinaryOp::Add, s, here);
            Ok(())
        })?;
        self.numbers(kb, |w| match log {
            true => w.on_statistics(s, s, |kb, v| kb.unary(UnaryOp::Log, v)),
            false => w.reciprocal(s),
        });
        self.result(kb, |w, x, t| {
            w.with_statistic(BinaryOp::Sub, t, x, m);
            if log {
                w.with_statistic(BinaryOp::Sub, t, t, s);
            } else {
                w.on_elements(t, t, |kb, v| kb.unary(UnaryOp::Exp, v));
                w.with_statistic(BinaryOp::Mul, t, t, s);
            }
        })
    }

    fn norm(&mut self, kb: &mut KernelBuilder, kind: NormKind, eps: f64) -> Result<(), String> {
        let share = share(&self.p.width)?;
        let mean = |w: &mut Sweep, stat| {
            w.on_statistics(stat, stat, |kb, v| {
                let c = kb.number(DType::F32, share);
                kb.binary(BinaryOp::Mul, v, c)
            });
        };
        let [m, s, here] = self.numbers(kb, |w| {
            let all = ["m", "s", "here"].map(|n| w.statistic(n));
            w.set(all[0], 0.0);
            w.set(all[1], 0.0);
            all
        });
        let centred = kind == NormKind::Layer;
        if centred {
            self.sweep(kb, false, |t, w| {
                let x = Self::row(t, w)?;
                w.reduce(ReduceOp::Sum, here, x);
                w.apply(m, BinaryOp::Add, m, here);
                Ok(())
            })?;
            self.numbers(kb, |w| mean(w, m));
        }
        self.sweep(kb, false, |t, w| {
            let mut x = Self::row(t, w)?;
            let q = w.w.tile("q", DType::F32);
            if centred {
                w.with_statistic(BinaryOp::Sub, q, x, m);
                x = q;
            }
            w.on_elements(q, x, |kb, v| kb.binary(BinaryOp::Mul, v, v));
            w.reduce(ReduceOp::Sum, here, q);
            w.apply(s, BinaryOp::Add, s, here);
            Ok(())
        })?;
        self.numbers(kb, |w| {
            mean(w, s);
            w.on_statistics(s, s, |kb, v| {
                let e = kb.number(DType::F32, eps);
                kb.binary(BinaryOp::Add, v, e)
            });
            w.on_statistics(s, s, |kb, v| kb.unary(UnaryOp::Sqrt, v));
            w.reciprocal(s);
        });
        self.result(kb, |w, x, t| {
            if centred {
                w.with_statistic(BinaryOp::Sub, t, x, m);
            }
            w.with_statistic(BinaryOp::Mul, t, if centred { t } else { x }, s);
        })
    }

    fn reduction(&mut self, kb: &mut KernelBuilder, op: ReduceOp) -> Result<(), String> {
        let (by, join) = match op {
            ReduceOp::Max => (op, BinaryOp::Max),
            ReduceOp::Min => (op, BinaryOp::Min),
            _ => (ReduceOp::Sum, BinaryOp::Add),
        };
        let start = by.identity(DType::F32).to_f64();
        let [s, here] = self.numbers(kb, |w| {
            let all = ["s", "here"].map(|n| w.statistic(n));
            w.set(all[0], start);
            all
        });
        self.sweep(kb, false, |t, w| {
            let x = Self::row(t, w)?;
            w.reduce(by, here, x);
            w.apply(s, join, s, here);
            Ok(())
        })?;
        let index = {
            let whole = self.p.walk.index(kb, &self.start);
            whole.into_iter().enumerate().filter(|(a, _)| !self.p.dropped.contains(a)).map(|(_, i)| i).collect::<Vec<_>>()
        };
        let tile = Tile { cx: self.cx, p: self.p, g: self.g, rows: None, start: &self.start, out: self.out, index: &index };
        let body = std::mem::take(&mut self.body);
        // Operands before the anchor are none of what follows it.
        let before = vec![s; self.p.loads[0].len()];
        self.body = finish(&tile, kb, op, s, before, body)?;
        Ok(())
    }
}

impl Sweep<'_, '_, '_> {
    fn set(&mut self, stat: BufId, x: f64) {
        let one = self.w.kb.int(1);
        let s = tile::each(self.w.kb, Run { from: None, count: one, most: 1 }, stat, |kb, _| kb.number(DType::F32, x));
        self.w.body.push(s);
    }

    /// `to = op(a, b)` of what is one number of the row.
    fn apply(&mut self, to: BufId, op: BinaryOp, a: BufId, b: BufId) {
        let one = self.w.kb.int(1);
        let s = tile::each(self.w.kb, Run { from: None, count: one, most: 1 }, to, |kb, at| {
            let (x, y) = (kb.load(a, &[at]), kb.load(b, &[at]));
            kb.binary(op, x, y)
        });
        self.w.body.push(s);
    }
}
