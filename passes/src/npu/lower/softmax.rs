//! The vector unit's part of an attention: a softmax that sees the keys of its rows block by block. For every row it keeps the
//! greatest score `m`, the sum `l` of `exp(score - m)` and the sum of values weighted by that; a new block with a greater score
//! scales both sums down by `exp(old m - new m)` before its own part is added.

use beiming_ir::kernel::{Access, BufId, ExprId, Loop, Space, Stmt};
use beiming_ir::ops::{BinaryOp, ReduceOp, UnaryOp};
use beiming_ir::types::{DType, Dim};

use super::attention::{Block, Plan};
use super::epilogue::{Part, Place, Value, copy, times};
use super::tile::{self, BLOCK, Run};
use super::writer::WHOLE_REPEATS;
use crate::lower::body::BodyCx;
use crate::lower::builder::{KernelBuilder, Operand, accumulate, repeat, store};

/// Where running maxima start: finite, so that rows whose scores are all minus infinity so far do not make NaN of a difference.
const LOWEST: f64 = -3.0e38;

/// The statements of the vector unit, stage by stage.
pub struct Running<'r, 'a, 'p> {
    /// The group.
    pub cx: &'r BodyCx<'a>,
    /// The attention.
    pub p: &'r Plan<'a, 'p>,
    /// The block of queries.
    pub block: &'r Block,
    /// First key, and keys from there on.
    pub keys: [ExprId; 2],
    /// Vector cores that share the rows of a block; one: the cube core's own vector unit.
    pub cores: i64,
    /// What is kept from block to block.
    pub locals: Option<Kept>,
}

/// One number a row each, and the weighted sum.
#[derive(Clone, Copy)]
pub struct Kept {
    greatest: BufId,
    total: BufId,
    /// By how much the last block scaled what was there before.
    scale: BufId,
    sum: BufId,
}

/// The rows of one vector core.
#[derive(Clone, Copy)]
struct Mine {
    /// The first, counted from the block's.
    first: ExprId,
    /// How many there are (none, where not positive), and the most there can be.
    rows: (ExprId, i64),
}

impl Running<'_, '_, '_> {
    /// `body` on every vector core that has rows.
    fn cores(
        &self,
        kb: &mut KernelBuilder,
        body: impl FnOnce(&Self, &mut KernelBuilder, Mine) -> Result<Vec<Stmt>, String>,
    ) -> Result<Vec<Stmt>, String> {
        let (var, core) = kb.axis(&Dim::Known(self.cores));
        let most = self.most();
        let first = kb.scale(core, &Dim::Known(most));
        let left = {
            let minus = kb.scale(first, &Dim::Known(-1));
            kb.add(self.block.query[1], minus)
        };
        let rows = kb.min_dim(left, &Dim::Known(most));
        let then = body(self, kb, Mine { first, rows: (rows, most) })?;
        if self.cores == 1 {
            return Ok(then);
        }
        let zero = kb.int(0);
        let some = kb.binary(BinaryOp::Lt, zero, rows);
        let cores = kb.int(self.cores);
        Ok(vec![repeat(var, cores, Loop::Cores, vec![Stmt::If { cond: some, then }])])
    }

    /// The most rows of a core.
    fn most(&self) -> i64 {
        self.block.extents[0] / self.cores
    }

    fn kept(&self) -> Result<Kept, String> {
        self.locals.ok_or_else(|| "an attention whose sums were not begun".to_string())
    }

    /// Elements from row to row of the weighted sum: whole blocks of the result's type; whole fractals where they come as those.
    fn pitch(&self) -> i64 {
        if self.cores == 1 {
            return self.p.widths[1];
        }
        let block = (BLOCK / self.p.dtypes[2].size()) as i64;
        let columns = self.p.dims[3].known().unwrap_or(self.p.widths[1]);
        (columns + block - 1) / block * block
    }

    fn statistic(&self, kb: &mut KernelBuilder, name: &str) -> BufId {
        let rows = self.most().max(WHOLE_REPEATS);
        kb.local(name, DType::F32, &[rows as usize], Space::Ub)
    }

    /// Before the first block of keys.
    pub fn begin(&mut self, kb: &mut KernelBuilder) -> Result<Vec<Stmt>, String> {
        let rows = self.most();
        let kept = Kept {
            greatest: self.statistic(kb, "greatest"),
            total: self.statistic(kb, "total"),
            scale: self.statistic(kb, "scale"),
            sum: kb.local("sum", DType::F32, &[(rows * self.pitch()) as usize], Space::Ub),
        };
        self.locals = Some(kept);
        let pitch = self.pitch();
        self.cores(kb, |_, kb, mine| {
            let all = kb.scale(mine.rows.0, &Dim::Known(pitch));
            let set = |kb: &mut KernelBuilder, b: BufId, count: ExprId, most: i64, x: f64| {
                tile::each(kb, Run { from: None, count, most }, b, |kb, _| kb.number(DType::F32, x))
            };
            Ok(vec![
                set(kb, kept.greatest, mine.rows.0, rows, LOWEST),
                set(kb, kept.total, mine.rows.0, rows, 0.0),
                set(kb, kept.sum, all, rows * pitch, 0.0),
            ])
        })
    }

    /// A block of scores becomes one of weights, both of them in the workspace.
    pub fn scores(&mut self, kb: &mut KernelBuilder, scores: BufId, weights: BufId) -> Result<Vec<Stmt>, String> {
        let (bk, statistics) = (self.block.extents[1], self.here_and_next(kb));
        self.cores(kb, |r, kb, mine| {
            let first = kb.scale(mine.first, &Dim::Known(bk));
            let value = Value::Rows { tile: scores, from: first, pitch: bk };
            let (mut body, tile, pitch) = r.weigh(kb, mine, &value, statistics)?;
            let (zero, by, columns) = (kb.int(0), kb.int(bk), kb.min_dim(r.keys[1], &Dim::Known(bk)));
            let (to, from) = (Place { buffer: weights, first, pitch: by }, Place { buffer: tile, first: zero, pitch });
            body.push(copy(kb, to, from, Some(mine.rows), (columns, bk), None));
            Ok(body)
        })
    }

    /// A block of scores becomes one of weights in the unified buffer, rows as far apart as there can be keys in the block.
    pub fn weights(&mut self, kb: &mut KernelBuilder, scores: &Value) -> Result<(Vec<Stmt>, BufId), String> {
        let statistics = self.here_and_next(kb);
        let mut weights = None;
        let body = self.cores(kb, |r, kb, mine| {
            let (body, tile, _) = r.weigh(kb, mine, scores, statistics)?;
            weights = Some(tile);
            Ok(body)
        })?;
        Ok((body, weights.ok_or("an attention without weights")?))
    }

    fn here_and_next(&self, kb: &mut KernelBuilder) -> [BufId; 2] {
        ["here", "next"].map(|name| self.statistic(kb, name))
    }

    /// The statements that make weights of scores, the weights and how far apart their rows are.
    fn weigh(
        &self,
        kb: &mut KernelBuilder,
        mine: Mine,
        scores: &Value,
        [here, next]: [BufId; 2],
    ) -> Result<(Vec<Stmt>, BufId, ExprId), String> {
        let kept = self.kept()?;
        let bk = self.block.extents[1];
        let columns = kb.min_dim(self.keys[1], &Dim::Known(bk));
        let whole = self.p.dims[1].known().is_some_and(|n| n % bk == 0);
        let row = kb.add(self.block.query[0], mine.first);
        let start = self.block.batch.iter().copied().chain([row, self.keys[0]]).collect();
        let alone = self.cores == 1;
        let part = Part { rows: mine.rows, columns: (columns, bk), whole, fixed: alone, start };
        let pitch = part.pitch(kb, &self.p.scores);
        let (mut body, x) = part.compute(self.cx, kb, &self.p.scores, scores)?;
        let count = times(kb, mine.rows.0, pitch);
        let elements = Run { from: None, count, most: mine.rows.1 * bk };
        let numbers = Run { from: None, count: mine.rows.0, most: mine.rows.1 };
        let rows = Rows { rows: mine.rows, pitch, columns: (columns, bk) };
        if alone && !whole {
            body.extend(self.edge(kb, &rows, x));
        }
        body.push(rows.reduce(kb, ReduceOp::Max, here, x));
        body.push(apply(kb, numbers, next, BinaryOp::Max, kept.greatest, here));
        body.push(apply(kb, numbers, kept.scale, BinaryOp::Sub, kept.greatest, next));
        body.push(map(kb, numbers, kept.scale, kept.scale, UnaryOp::Exp));
        body.push(scaled(kb, numbers, kept.greatest, next, 1.0));
        body.push(rows.with(kb, BinaryOp::Sub, x, x, next));
        body.push(map(kb, elements, x, x, UnaryOp::Exp));
        body.push(rows.reduce(kb, ReduceOp::Sum, here, x));
        body.push(apply(kb, numbers, kept.total, BinaryOp::Mul, kept.total, kept.scale));
        body.push(apply(kb, numbers, kept.total, BinaryOp::Add, kept.total, here));
        let weight = self.p.dtypes[1];
        if weight == DType::F32 {
            return Ok((body, x, pitch));
        }
        let size = ((mine.rows.1 * bk) as usize).next_multiple_of(WHOLE_REPEATS as usize);
        let y = kb.local("weights", weight, &[size], Space::Ub);
        body.push(convert(kb, elements, y, x));
        Ok((body, y, pitch))
    }

    /// Scores behind the last key, whose weights are multiplied with zeros: so low that those weights are finite.
    fn edge(&self, kb: &mut KernelBuilder, rows: &Rows, x: BufId) -> Vec<Stmt> {
        let (columns, most) = rows.columns;
        let edge = kb.local("edge", DType::F32, &[most as usize], Space::Ub);
        let all = kb.int(most);
        let set = |kb: &mut KernelBuilder, count: ExprId, to: f64| {
            tile::each(kb, Run { from: None, count, most }, edge, |kb, _| kb.number(DType::F32, to))
        };
        let low = vec![set(kb, all, LOWEST), set(kb, columns, 0.0)];
        let add = rows.each(kb, |kb, _, base| {
            let (var, c) = tile::lane(kb, most);
            let at = kb.add(base, c);
            let (v, e) = (kb.load(x, &[at]), kb.load(edge, &[c]));
            let v = kb.binary(BinaryOp::Add, v, e);
            vec![repeat(var, all, Loop::Vector, vec![store(x, &[at], v)])]
        });
        let cond = kb.binary(BinaryOp::Lt, columns, all);
        vec![Stmt::If { cond, then: low.into_iter().chain([add]).collect() }]
    }

    /// The weighted sum of a block, which lies in the workspace, is added.
    pub fn sum(&mut self, kb: &mut KernelBuilder, products: BufId) -> Result<Vec<Stmt>, String> {
        let (pitch, wide) = (self.pitch(), self.p.widths[1]);
        self.cores(kb, |r, kb, mine| {
            let part = kb.local("part", DType::F32, &[(mine.rows.1 * pitch) as usize], Space::Ub);
            let (width, by, zero) = (kb.int(pitch), kb.int(wide), kb.int(0));
            let first = kb.scale(mine.first, &Dim::Known(wide));
            let (to, from) = (Place { buffer: part, first: zero, pitch: width }, Place { buffer: products, first, pitch: by });
            let mut body = vec![copy(kb, to, from, Some(mine.rows), (width, pitch), None)];
            body.extend(r.add(kb, mine, part)?);
            Ok(body)
        })
    }

    /// The weighted sum of a block, in rows in the unified buffer, is added.
    pub fn sum_here(&mut self, kb: &mut KernelBuilder, part: BufId) -> Result<Vec<Stmt>, String> {
        self.cores(kb, |r, kb, mine| r.add(kb, mine, part))
    }

    fn add(&self, kb: &mut KernelBuilder, mine: Mine, part: BufId) -> Result<Vec<Stmt>, String> {
        let (kept, pitch) = (self.kept()?, self.pitch());
        let width = kb.int(pitch);
        let rows = Rows { rows: mine.rows, pitch: width, columns: (width, pitch) };
        let count = kb.scale(mine.rows.0, &Dim::Known(pitch));
        let all = Run { from: None, count, most: mine.rows.1 * pitch };
        let scale = rows.with(kb, BinaryOp::Mul, kept.sum, kept.sum, kept.scale);
        Ok(vec![scale, apply(kb, all, kept.sum, BinaryOp::Add, kept.sum, part)])
    }

    /// After the last block: the sum of the weights divides, the result goes out.
    pub fn end(&mut self, kb: &mut KernelBuilder, dst: Operand) -> Result<Vec<Stmt>, String> {
        let kept = self.kept()?;
        let ones = self.statistic(kb, "ones");
        let (pitch, dtype, shape) = (self.pitch(), self.p.dtypes[2], self.cx.out().shape.clone());
        let columns = self.p.dims[3].known().unwrap_or(pitch);
        self.cores(kb, |r, kb, mine| {
            let numbers = Run { from: None, count: mine.rows.0, most: mine.rows.1 };
            let width = kb.int(pitch);
            let rows = Rows { rows: mine.rows, pitch: width, columns: (width, pitch) };
            let one = tile::each(kb, numbers, ones, |kb, _| kb.number(DType::F32, 1.0));
            let share = apply(kb, numbers, ones, BinaryOp::Div, ones, kept.total);
            let y = kb.local("y", dtype, &[(mine.rows.1 * pitch) as usize], Space::Ub);
            let last = if dtype == DType::F32 { y } else { kept.sum };
            let mut body = vec![one, share, rows.with(kb, BinaryOp::Mul, last, kept.sum, ones)];
            if dtype != DType::F32 {
                let count = kb.scale(mine.rows.0, &Dim::Known(pitch));
                body.push(convert(kb, Run { from: None, count, most: mine.rows.1 * pitch }, y, kept.sum));
            }
            let out = kb.param(dst, dtype, &[r.cx.out().numel()], Access::Write);
            let (zero, n) = (kb.int(0), kb.int(columns));
            let row = kb.add(r.block.query[0], mine.first);
            let index: Vec<ExprId> = r.block.batch.iter().copied().chain([row, zero]).collect();
            let first = kb.linear(&index, &shape);
            let (to, from) = (Place { buffer: out, first, pitch: n }, Place { buffer: y, first: zero, pitch: width });
            body.push(copy(kb, to, from, Some(mine.rows), (n, columns), None));
            Ok(body)
        })
    }
}

/// Rows in the unified buffer, one behind the other.
struct Rows {
    rows: (ExprId, i64),
    pitch: ExprId,
    columns: (ExprId, i64),
}

impl Rows {
    fn each(&self, kb: &mut KernelBuilder, body: impl FnOnce(&mut KernelBuilder, ExprId, ExprId) -> Vec<Stmt>) -> Stmt {
        let (var, r) = tile::lane(kb, self.rows.1);
        let base = times(kb, r, self.pitch);
        let body = body(kb, r, base);
        repeat(var, self.rows.0, Loop::Serial, body)
    }

    /// `to[r] = op over the columns of row r`.
    fn reduce(&self, kb: &mut KernelBuilder, op: ReduceOp, to: BufId, x: BufId) -> Stmt {
        let (columns, most) = self.columns;
        self.each(kb, |kb, r, base| {
            let start = kb.identity(op, DType::F32);
            let (var, c) = tile::lane(kb, most);
            let at = kb.add(base, c);
            let v = kb.load(x, &[at]);
            vec![store(to, &[r], start), repeat(var, columns, Loop::Vector, vec![accumulate(op, to, &[r], v)])]
        })
    }

    /// `y = op(x, number[r])` for every element, the padding of rows included.
    fn with(&self, kb: &mut KernelBuilder, op: BinaryOp, y: BufId, x: BufId, number: BufId) -> Stmt {
        let (pitch, most) = (self.pitch, self.columns.1);
        self.each(kb, |kb, r, base| {
            let (var, c) = tile::lane(kb, most);
            let at = kb.add(base, c);
            let (v, n) = (kb.load(x, &[at]), kb.load(number, &[r]));
            let v = kb.binary(op, v, n);
            vec![repeat(var, pitch, Loop::Vector, vec![store(y, &[at], v)])]
        })
    }
}

fn apply(kb: &mut KernelBuilder, run: Run, to: BufId, op: BinaryOp, a: BufId, b: BufId) -> Stmt {
    tile::each(kb, run, to, |kb, at| {
        let (x, y) = (kb.load(a, &[at]), kb.load(b, &[at]));
        kb.binary(op, x, y)
    })
}

fn map(kb: &mut KernelBuilder, run: Run, to: BufId, from: BufId, op: UnaryOp) -> Stmt {
    tile::each(kb, run, to, |kb, at| {
        let x = kb.load(from, &[at]);
        kb.unary(op, x)
    })
}

fn scaled(kb: &mut KernelBuilder, run: Run, to: BufId, from: BufId, by: f64) -> Stmt {
    tile::each(kb, run, to, |kb, at| {
        let (x, c) = (kb.load(from, &[at]), kb.number(DType::F32, by));
        kb.binary(BinaryOp::Mul, x, c)
    })
}

fn convert(kb: &mut KernelBuilder, run: Run, to: BufId, from: BufId) -> Stmt {
    let dtype = kb.buffer(to).dtype;
    tile::each(kb, run, to, |kb, at| {
        let x = kb.load(from, &[at]);
        kb.cast(dtype, x)
    })
}
