//! The statements of a window's tile: rows in, taps, the result out.

use beiming_ir::kernel::{Access, BufId, ExprId, Loop, Space, Stmt, VarId};
use beiming_ir::ops::{BinaryOp, ReduceOp};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim};

use super::super::dense;
use super::super::tile::{self, Run};
use super::{Axis, Task, Tiling, Window};
use crate::lower::body::BodyCx;
use crate::lower::builder::{KernelBuilder, Operand, accumulate, repeat, store};

/// The kernel under construction.
pub(super) struct Body<'b, 'k> {
    w: &'b Window,
    t: Tiling,
    kb: &'b mut KernelBuilder<'k>,
    x: (BufId, Dim),
    weight: Option<(BufId, Dim)>,
    out: BufId,
    /// Number of elements at each position of the result, where the edges change it.
    shares: Option<BufId>,
}

impl<'b, 'k> Body<'b, 'k> {
    pub(super) fn new(
        cx: &BodyCx,
        w: &'b Window,
        t: Tiling,
        kb: &'b mut KernelBuilder<'k>,
        data: dense::Dense,
        weight: Option<dense::Dense>,
        (anchor, dst): (usize, Operand),
    ) -> Self {
        let numel = cx.types[anchor].numel();
        let x = (kb.param(data.operand, w.dtype, &data.shape, Access::Read), data.base);
        let base = weight.as_ref().map_or(Dim::Known(0), |s| s.base.clone());
        let weight = weight.map(|s| (kb.param(s.operand, w.dtype, &s.shape, Access::Read), base));
        let shares = match w.task {
            Task::Mean { padded: false } if w.axes.iter().any(Axis::crosses) => {
                let [r, c] = w.axes;
                let share = |i: usize| {
                    let (at_r, at_c) = (i as i64 / c.output, i as i64 % c.output);
                    1.0 / (r.inside(at_r) * c.inside(at_c)).max(1) as f64
                };
                let n = (r.output * c.output) as usize;
                let table = Tensor::build(DType::F32, &[n], |i| beiming_ir::num::round_to(DType::F32, Num::Float(share(i))));
                Some(kb.weight(table, None))
            }
            _ => None,
        };
        let out = kb.param(dst, w.dtype, &[numel], Access::Write);
        Body { w, t, kb, x, weight, out, shares }
    }

    /// A tile in the unified buffer.
    fn tile(&mut self, name: &str, dtype: DType, elements: i64) -> BufId {
        self.kb.local(name, dtype, &[elements as usize], Space::Ub)
    }

    /// `max(e, 0)`.
    fn not_negative(&mut self, e: ExprId) -> ExprId {
        if self.kb.not_below(e, &Dim::Known(0)).is_none() {
            return e;
        }
        let zero = self.kb.int(0);
        if self.kb.below(e, &Dim::Known(1)).is_none() {
            return zero;
        }
        self.kb.binary(BinaryOp::Max, e, zero)
    }

    /// `e / by` of what is not negative.
    fn over(&mut self, e: ExprId, by: i64) -> ExprId {
        if by == 1 {
            return e;
        }
        let by = self.kb.int(by);
        self.kb.binary(BinaryOp::Div, e, by)
    }

    /// A loop, where there is more than one round.
    fn looped(&mut self, var: VarId, rounds: i64, body: Vec<Stmt>) -> Vec<Stmt> {
        if rounds == 1 {
            return body;
        }
        let n = self.kb.int(rounds);
        vec![repeat(var, n, Loop::Serial, body)]
    }

    fn each(&mut self, count: ExprId, most: i64, to: BufId, value: impl FnOnce(&mut KernelBuilder, ExprId) -> ExprId) -> Stmt {
        tile::each(self.kb, Run { from: None, count, most }, to, value)
    }

    /// Rows of a parameter into a tile; rows of the tile are filled up with zeros to whole blocks.
    fn rows(&mut self, to: BufId, param: BufId, from: ExprId, pitch: &Dim, rows: (ExprId, i64), width: i64) -> Stmt {
        let filled = self.w.pitch(width);
        let (zero, n) = (self.kb.int(0), self.kb.int(filled));
        let there = (filled != width).then(|| self.kb.int(width));
        let copy = tile::Rows {
            dst: to,
            to: zero,
            dst_pitch: Dim::Known(filled),
            src: param,
            from,
            src_pitch: pitch.clone(),
            rows: Some(rows),
            width: (n, filled),
            there,
        };
        tile::copy(self.kb, &copy)
    }

    /// The tile in f32. One that is f32 already is moved over where some of its elements may meet no tap: what was copied in has
    /// to be taken up before its place is filled anew.
    fn widened(&mut self, name: &str, tile: BufId, (count, most): (ExprId, i64), skips: bool, out: &mut Vec<Stmt>) -> BufId {
        let f32 = self.w.dtype == DType::F32;
        if f32 && !skips {
            return tile;
        }
        let wide = self.kb.find_local(name).unwrap_or_else(|| self.kb.local(name, DType::F32, &[most as usize], Space::Ub));
        let s = self.each(count, most, wide, |kb, at| {
            let v = kb.load(tile, &[at]);
            let one = kb.number(DType::F32, 1.0);
            if f32 { kb.binary(BinaryOp::Mul, v, one) } else { kb.cast(DType::F32, v) }
        });
        out.push(s);
        wide
    }

    pub(super) fn statements(mut self) -> Vec<Stmt> {
        let (w, t) = (self.w, self.t);
        let [rows, columns] = w.axes;
        let lanes = w.pitch(t.lanes);
        let grid = self.kb.grid.clone();
        let (image, row) = (grid[0], grid[1]);
        let first = self.kb.scale(grid[2], &Dim::Known(t.positions));
        let lane = self.kb.scale(grid[3], &Dim::Known(t.lanes));
        let left = {
            let minus = self.kb.scale(first, &Dim::Known(-1));
            self.kb.offset(minus, &Dim::Known(columns.output))
        };
        let there = self.kb.min_dim(left, &Dim::Known(t.positions));
        let most = t.positions * lanes;
        let sums = self.tile("sums", DType::F32, most);
        let all = self.kb.int(most);
        let start = self.kb.identity(w.task.op(), DType::F32);
        let mut body = vec![];
        let weights = self.weights_of_each(lane, &mut body);
        let shares = self.bring_shares(row, first, there, &mut body);
        let s = self.each(all, most, sums, |_, _| start);
        body.push(s);

        // Columns of the input from the first one that a tap of this run reads.
        let reach = self.kb.scale(first, &Dim::Known(columns.stride));
        let from = self.kb.offset(reach, &Dim::Known(-columns.low));
        let from = self.not_negative(from);
        let span = {
            let ends = self.kb.scale(there, &Dim::Known(columns.stride));
            let last = self.kb.add(reach, ends);
            let far = (columns.taps - 1) * columns.dilation + 1 - columns.stride - columns.low;
            let last = self.kb.offset(last, &Dim::Known(far));
            let last = self.kb.min_dim(last, &Dim::Known(columns.input));
            let minus = self.kb.scale(from, &Dim::Known(-1));
            self.kb.add(last, minus)
        };
        let (tap_var, tap_row) = self.kb.axis(&Dim::Known(rows.taps));
        let input_row = {
            let r = self.kb.scale(row, &Dim::Known(rows.stride));
            let d = self.kb.scale(tap_row, &Dim::Known(rows.dilation));
            let sum = self.kb.add(r, d);
            self.kb.offset(sum, &Dim::Known(-rows.low))
        };
        let group = Run { from: Some(from), count: span, most: w.span(t.positions) };
        let place = Place { image, input_row, tap_row, lane, first, there };
        let mut inner = match w.task {
            Task::Mix { depth, columns } => self.mixing(sums, &place, group, (depth, columns)),
            _ => self.apart(sums, &place, group, weights),
        };
        // With one row of taps that is always inside the condition would be idle.
        let certain = rows.low <= 0 && (rows.output - 1) * rows.stride + (rows.taps - 1) * rows.dilation - rows.low < rows.input;
        if !certain {
            let cond = {
                let (zero, end) = (self.kb.int(0), self.kb.int(rows.input));
                let low = self.kb.binary(BinaryOp::Ge, input_row, zero);
                let high = self.kb.binary(BinaryOp::Lt, input_row, end);
                self.kb.both(low, high)
            };
            inner = vec![Stmt::If { cond, then: inner }];
        }
        body.extend(self.looped(tap_var, rows.taps, inner));
        self.leave(sums, &place, shares, &mut body);
        body
    }

    /// The weights of the tile's channels, in f32, where every channel has its own.
    fn weights_of_each(&mut self, lane: ExprId, body: &mut Vec<Stmt>) -> Option<BufId> {
        let (param, base) = self.weight.clone().filter(|_| self.w.task == Task::Each)?;
        let lane = self.kb.offset(lane, &base);
        let (taps, lanes) = (self.w.taps(), self.w.pitch(self.t.lanes));
        let tile = self.tile("weights", self.w.dtype, taps * lanes);
        let n = self.kb.int(taps);
        let s = self.rows(tile, param, lane, &Dim::Known(self.w.channels[1]), (n, taps), self.t.lanes);
        body.push(s);
        let count = self.kb.int(taps * lanes);
        Some(self.widened("weightsWide", tile, (count, taps * lanes), true, body))
    }

    fn bring_shares(&mut self, row: ExprId, first: ExprId, there: ExprId, body: &mut Vec<Stmt>) -> Option<BufId> {
        let param = self.shares?;
        let at = self.kb.scale(row, &Dim::Known(self.w.axes[1].output));
        let at = self.kb.add(at, first);
        let most = (self.t.positions + 7) / 8 * 8;
        let tile = self.tile("shares", DType::F32, most);
        let zero = self.kb.int(0);
        let copy = tile::Rows {
            dst: tile,
            to: zero,
            dst_pitch: Dim::Known(0),
            src: param,
            from: at,
            src_pitch: Dim::Known(0),
            rows: None,
            width: (there, most),
            there: None,
        };
        let s = tile::copy(self.kb, &copy);
        body.push(s);
        Some(tile)
    }

    /// Address of the first element of a row of the input, at a column and a channel.
    fn address(&mut self, p: &Place, column: ExprId, channel: ExprId) -> ExprId {
        let [rows, columns] = self.w.axes;
        let c = Dim::Known(self.w.channels[0]);
        let image = self.kb.scale(p.image, &Dim::Known(rows.input));
        let row = self.kb.add(image, p.input_row);
        let row = self.kb.scale(row, &Dim::Known(columns.input));
        let at = self.kb.add(row, column);
        let at = self.kb.scale(at, &c);
        let at = self.kb.add(at, channel);
        self.kb.offset(at, &self.x.1.clone())
    }

    /// For every tap of a row and every output position that it reaches: `statement(tap, sums' position, tile's column)`.
    fn taps(
        &mut self,
        p: &Place,
        from: ExprId,
        before: impl FnOnce(&mut Self, ExprId) -> Vec<Stmt>,
        statement: impl FnOnce(&mut Self, ExprId, ExprId, ExprId) -> Vec<Stmt>,
    ) -> Vec<Stmt> {
        let a = self.w.axes[1];
        let (var, tap) = self.kb.axis(&Dim::Known(a.taps));
        let off = self.kb.scale(tap, &Dim::Known(a.dilation));
        let off = self.kb.offset(off, &Dim::Known(-a.low));
        let start = self.kb.scale(p.first, &Dim::Known(a.stride));
        let at = self.kb.add(start, off);
        // Positions `j` of the run with `0 <= at + j * stride < input`.
        let minus = self.kb.scale(at, &Dim::Known(-1));
        let low = if a.low > 0 {
            let short = self.not_negative(minus);
            let up = self.kb.offset(short, &Dim::Known(a.stride - 1));
            self.over(up, a.stride)
        } else {
            self.kb.int(0)
        };
        let reaches = (a.output - 1) * a.stride + (a.taps - 1) * a.dilation - a.low < a.input;
        let high = if reaches {
            p.there
        } else {
            let room = self.kb.offset(minus, &Dim::Known(a.input - 1 + a.stride));
            let room = self.not_negative(room);
            let n = self.over(room, a.stride);
            self.kb.binary(BinaryOp::Min, n, p.there)
        };
        let minus_low = self.kb.scale(low, &Dim::Known(-1));
        let count = self.kb.add(high, minus_low);
        let mut inner = before(self, tap);
        let single = self.t.positions == 1 && reaches && a.low <= 0;
        let (position, j) = if single { self.kb.axis(&Dim::Known(1)) } else { tile::lane(self.kb, self.t.positions) };
        let j = self.kb.add(low, j);
        let column = self.kb.scale(j, &Dim::Known(a.stride));
        let column = self.kb.add(at, column);
        let minus_from = self.kb.scale(from, &Dim::Known(-1));
        let column = self.kb.add(column, minus_from);
        let s = statement(self, tap, j, column);
        if single {
            inner.extend(s);
        } else {
            inner.push(repeat(position, count, Loop::Serial, s));
        }
        // What is brought in for a tap that reaches nothing would be read by nobody.
        if inner.len() > 1 && !(reaches && a.low <= 0) {
            let zero = self.kb.int(0);
            let cond = self.kb.binary(BinaryOp::Gt, count, zero);
            inner = vec![Stmt::If { cond, then: inner }];
        }
        self.looped(var, a.taps, inner)
    }

    /// Channels each by itself.
    fn apart(&mut self, sums: BufId, p: &Place, columns: Run, weights: Option<BufId>) -> Vec<Stmt> {
        let (lanes, width) = (self.w.pitch(self.t.lanes), self.t.lanes);
        let from = columns.from.unwrap_or(p.first);
        let tile = self.tile("x", self.w.dtype, columns.most * lanes);
        let address = self.address(p, from, p.lane);
        let pitch = Dim::Known(self.w.channels[0]);
        let mut out = vec![self.rows(tile, self.x.0, address, &pitch, (columns.count, columns.most), width)];
        let count = self.kb.scale(columns.count, &Dim::Known(lanes));
        let x = self.widened("xWide", tile, (count, columns.most * lanes), self.w.axes[1].skips(), &mut out);
        let op = self.w.task.op();
        let tap_row = self.kb.scale(p.tap_row, &Dim::Known(self.w.axes[1].taps));
        out.extend(self.taps(
            p,
            from,
            |_, _| vec![],
            |b, tap, j, column| {
                let kb = &mut *b.kb;
                let (var, c) = tile::lane(kb, width);
                let [to, at] = [j, column].map(|i| {
                    let i = kb.scale(i, &Dim::Known(lanes));
                    kb.add(i, c)
                });
                let mut v = kb.load(x, &[at]);
                if let Some(weights) = weights {
                    let t = kb.add(tap_row, tap);
                    let t = kb.scale(t, &Dim::Known(lanes));
                    let at = kb.add(t, c);
                    let f = kb.load(weights, &[at]);
                    v = kb.binary(BinaryOp::Mul, v, f);
                }
                let n = kb.int(width);
                vec![repeat(var, n, Loop::Vector, vec![accumulate(op, sums, &[to], v)])]
            },
        ));
        out
    }

    /// Channels of a group mix: an element of the input times a row of weights.
    fn mixing(&mut self, sums: BufId, p: &Place, columns: Run, (depth, of_group): (i64, i64)) -> Vec<Stmt> {
        let (w, t) = (self.w, self.t);
        let (lanes, deep) = (w.pitch(t.lanes), w.pitch(t.depth));
        let from = columns.from.unwrap_or(p.first);
        let (block_var, block) = self.kb.axis(&Dim::Known(depth / t.depth));
        let channel = self.kb.scale(block, &Dim::Known(t.depth));
        let of_input = if w.channels[1] == of_group {
            channel
        } else {
            let group = self.over(p.lane, of_group);
            let first = self.kb.scale(group, &Dim::Known(depth));
            self.kb.add(first, channel)
        };
        let tile = self.tile("x", w.dtype, columns.most * deep);
        let address = self.address(p, from, of_input);
        let pitch = Dim::Known(w.channels[0]);
        let mut body = vec![self.rows(tile, self.x.0, address, &pitch, (columns.count, columns.most), t.depth)];
        let count = self.kb.scale(columns.count, &Dim::Known(deep));
        let x = self.widened("xWide", tile, (count, columns.most * deep), w.axes[1].skips(), &mut body);
        let weights = self.tile("weights", w.dtype, t.depth * lanes);
        let mut factors = weights;
        let (param, base) = self.weight.clone().unwrap_or((self.x.0, Dim::Known(0)));
        let before = |b: &mut Self, tap: ExprId| {
            let t0 = b.kb.scale(p.tap_row, &Dim::Known(w.axes[1].taps));
            let t0 = b.kb.add(t0, tap);
            let row = b.kb.scale(t0, &Dim::Known(depth));
            let row = b.kb.add(row, channel);
            let at = b.kb.scale(row, &Dim::Known(w.channels[1]));
            let at = b.kb.add(at, p.lane);
            let of_image = b.kb.scale(p.image, &Dim::Known(w.weight_apart));
            let at = b.kb.add(at, of_image);
            let at = b.kb.offset(at, &base);
            let n = b.kb.int(t.depth);
            let mut out = vec![b.rows(weights, param, at, &Dim::Known(w.channels[1]), (n, t.depth), t.lanes)];
            let count = b.kb.int(t.depth * lanes);
            factors = b.widened("weightsWide", weights, (count, t.depth * lanes), false, &mut out);
            out
        };
        // The closure above names the tile of factors before the one below reads it: found again by name.
        let s = self.taps(p, from, before, |b, _, j, column| {
            let factors = b.kb.find_local("weightsWide").unwrap_or(weights);
            let kb = &mut *b.kb;
            let (deep_var, d) = tile::lane(kb, t.depth);
            let (var, c) = tile::lane(kb, t.lanes);
            let to = kb.scale(j, &Dim::Known(lanes));
            let to = kb.add(to, c);
            let at = kb.scale(column, &Dim::Known(deep));
            let at = kb.add(at, d);
            let row = kb.scale(d, &Dim::Known(lanes));
            let row = kb.add(row, c);
            let (f, v) = (kb.load(factors, &[row]), kb.load(x, &[at]));
            let v = kb.binary(BinaryOp::Mul, f, v);
            let (n, deep) = (kb.int(t.lanes), kb.int(t.depth));
            let lanes = repeat(var, n, Loop::Vector, vec![accumulate(ReduceOp::Sum, sums, &[to], v)]);
            vec![repeat(deep_var, deep, Loop::Serial, vec![lanes])]
        });
        body.extend(s);
        self.looped(block_var, depth / t.depth, body)
    }

    /// The sums as the result, and out.
    fn leave(&mut self, sums: BufId, p: &Place, shares: Option<BufId>, body: &mut Vec<Stmt>) {
        let (w, t) = (self.w, self.t);
        let [rows, columns] = w.axes;
        let (lanes, most) = (w.pitch(t.lanes), t.positions * w.pitch(t.lanes));
        let count = self.kb.scale(p.there, &Dim::Known(lanes));
        if let (Task::Mean { .. }, None) = (w.task, shares) {
            let s = self.each(count, most, sums, |kb, at| {
                let v = kb.load(sums, &[at]);
                let share = kb.number(DType::F32, 1.0 / w.taps() as f64);
                kb.binary(BinaryOp::Mul, v, share)
            });
            body.push(s);
        }
        if let Some(shares) = shares {
            let kb = &mut *self.kb;
            let (position, j) = tile::lane(kb, t.positions);
            let (var, c) = tile::lane(kb, lanes);
            let at = kb.scale(j, &Dim::Known(lanes));
            let at = kb.add(at, c);
            let (v, s) = (kb.load(sums, &[at]), kb.load(shares, &[j]));
            let v = kb.binary(BinaryOp::Mul, v, s);
            let n = kb.int(lanes);
            let line = repeat(var, n, Loop::Vector, vec![store(sums, &[at], v)]);
            body.push(repeat(position, p.there, Loop::Serial, vec![line]));
        }
        let y = self.tile("y", w.dtype, most);
        let dtype = w.dtype;
        let s = self.each(count, most, y, |kb, at| {
            let v = kb.load(sums, &[at]);
            let one = kb.number(DType::F32, 1.0);
            if dtype == DType::F32 { kb.binary(BinaryOp::Mul, v, one) } else { kb.cast(dtype, v) }
        });
        body.push(s);
        let at = self.kb.scale(p.image, &Dim::Known(rows.output));
        let at = self.kb.add(at, self.kb.grid[1]);
        let at = self.kb.scale(at, &Dim::Known(columns.output));
        let at = self.kb.add(at, p.first);
        let at = self.kb.scale(at, &Dim::Known(w.channels[1]));
        let at = self.kb.add(at, p.lane);
        let (zero, n) = (self.kb.int(0), self.kb.int(t.lanes));
        let copy = tile::Rows {
            dst: self.out,
            to: at,
            dst_pitch: Dim::Known(w.channels[1]),
            src: y,
            from: zero,
            src_pitch: Dim::Known(lanes),
            rows: Some((p.there, t.positions)),
            width: (n, t.lanes),
            there: None,
        };
        let s = tile::copy(self.kb, &copy);
        body.push(s);
    }
}

/// Where a grid point, and a row of taps in it, is.
struct Place {
    image: ExprId,
    input_row: ExprId,
    tap_row: ExprId,
    lane: ExprId,
    first: ExprId,
    there: ExprId,
}
