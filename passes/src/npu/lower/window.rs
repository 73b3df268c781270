//! Convolutions and pooling on the vector unit, channels along the lanes: a tile is a run of output positions of one row, a block
//! of channels each. Rows of the input come in as the window moves down; each tap adds its part to the sums, which stay in f32.
//!
//! - Every channel by itself (depthwise convolutions, pooling): `sums[o, c] += x[o * stride + tap, c] * w[tap, c]`.
//! - Channels that mix: `sums[o, c] += x[o * stride + tap, d] * w[tap, d, c]`, one element of the input times a row of weights.
//!
//! A matrix product is a window of one tap over its rows, for chips and types without a cube unit that takes it.
//! Reductions over axes that are not the innermost ones are windows over all there is of them.
//!
//! Taps in the padding are left out by the bounds of the loops, so nothing is filled with zeros and nothing read that is not there.

use beiming_ir::kernel::{Access, BufId, ExprId, Loop, Space, Stmt, VarId};
use beiming_ir::ops::{BinaryOp, Op, PoolKind, ReduceOp};
use beiming_ir::target::npu::Npu;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim, TensorType};

use super::dense;
use super::tile::{self, BLOCK, Run};
use crate::lower::body::BodyCx;
use crate::lower::builder::{KernelBuilder, Operand, accumulate, repeat, store};
use crate::npu::capability;

/// Bytes of the unified buffer that a block of weights of mixing channels may take.
const WEIGHTS: i64 = 40 << 10;
/// Fewest lanes worth a core of its own.
const LANES: i64 = 64;

/// True for the anchors of this family.
pub fn takes(op: &Op) -> bool {
    matches!(op, Op::Conv(_) | Op::Pool(_) | Op::Reduce { .. } | Op::MatMul { .. })
}

/// One axis of the window.
#[derive(Clone, Copy, Debug)]
struct Axis {
    input: i64,
    output: i64,
    taps: i64,
    stride: i64,
    dilation: i64,
    low: i64,
}

/// What a tap does with an element.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Task {
    /// Sum, largest or smallest.
    Fold(ReduceOp),
    /// Sum, then a division by the number of elements, which the edges may change.
    Mean { padded: bool },
    /// Every channel with a weight of its own.
    Each,
    /// Channels of a group mix: input and output channels of one.
    Mix { depth: i64, columns: i64 },
}

impl Task {
    fn op(self) -> ReduceOp {
        if let Task::Fold(op) = self { op } else { ReduceOp::Sum }
    }
}

/// The anchor in numbers.
struct Window {
    task: Task,
    /// Rows and columns; a window of one axis has one row.
    axes: [Axis; 2],
    batch: Dim,
    /// Input and output channels.
    channels: [i64; 2],
    /// Elements from the weights of one image to those of the next: 0 for a convolution.
    weight_apart: i64,
    dtype: DType,
}

/// A tile: output positions, channels of the result, and of the input where they mix.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Tiling {
    positions: i64,
    lanes: i64,
    depth: i64,
}

/// Lowers the window `anchor` into `dst`.
pub fn lower(cx: &mut BodyCx, npu: &Npu, anchor: usize, dst: Operand) -> Result<(), String> {
    let w = window(cx, npu, anchor)?;
    let args = cx.body.nodes[anchor].args.clone();
    let data = dense::source(cx, npu, args[0])?;
    let weight = match w.task {
        Task::Each | Task::Mix { .. } => Some(dense::source(cx, npu, args[1])?),
        _ => None,
    };
    let t = tiling(npu, &w, cx.typical(&w.batch))?;
    let grid = [
        w.batch.clone(),
        Dim::Known(w.axes[0].output),
        Dim::Known((w.axes[1].output + t.positions - 1) / t.positions),
        Dim::Known(w.channels[1] / t.lanes),
    ];
    let mut kb = KernelBuilder::new(cx.symbols, &grid);
    let body = Body::new(cx, &w, t, &mut kb, data, weight, (anchor, dst)).statements();
    let name = crate::lower::name::kernel(&cx.up_to(anchor), &[format!("t{}x{}x{}", t.positions, t.lanes, t.depth)]);
    let depth = if let Task::Mix { depth, .. } = w.task { depth } else { 1 };
    let flops = cx.types[anchor].numel() * Dim::Known(2 * depth * w.axes[0].taps * w.axes[1].taps);
    let ops = vec![cx.body.nodes[anchor].op.name()];
    cx.call(kb.finish(name, ops, body, flops));
    Ok(())
}

fn window(cx: &BodyCx, npu: &Npu, anchor: usize) -> Result<Window, String> {
    let node = &cx.body.nodes[anchor];
    let (x, y) = (cx.ty(node.args[0]).clone(), cx.types[anchor].clone());
    if !matches!(x.dtype, DType::F32 | DType::F16 | DType::BF16) || y.dtype != x.dtype || !capability::moves(npu, x.dtype) {
        return Err(format!("windows over {} are not computed by the vector unit of {}", x.dtype, npu.name));
    }
    if let Op::Reduce { op, axes, .. } = &node.op {
        return reduction(npu, &x, *op, axes);
    }
    if let Op::MatMul { .. } = &node.op {
        return product(&x, cx.ty(node.args[1]), &y);
    }
    let rank = x.rank() - 2;
    let known =
        |d: &Dim, what: &str| d.known().ok_or(format!("a window over an open extent ({what} {d}) is not tiled for the NPU"));
    let of = |taps: Vec<i64>, strides: &[usize], dilations: &[usize], pads: &[(i64, i64)]| -> Result<[Axis; 2], String> {
        let mut axes = vec![Axis { input: 1, output: 1, taps: 1, stride: 1, dilation: 1, low: 0 }; 2 - rank.min(2)];
        for a in 0..rank {
            axes.push(Axis {
                input: known(&x.shape[1 + a], "rows")?,
                output: known(&y.shape[1 + a], "rows")?,
                taps: taps[a],
                stride: strides[a] as i64,
                dilation: dilations[a] as i64,
                low: pads[a].0,
            });
        }
        <[Axis; 2]>::try_from(axes).map_err(|_| "windows over three axes are not tiled for the NPU".to_string())
    };
    let channels = [known(&x.shape[rank + 1], "channels")?, known(&y.shape[rank + 1], "channels")?];
    let (task, axes) = match &node.op {
        Op::Pool(p) => {
            let task = match p.kind {
                PoolKind::Max => Task::Fold(ReduceOp::Max),
                PoolKind::Avg { padded } => {
                    // Where a last window ends behind the padded range, padding does not count there either.
                    Task::Mean { padded: padded && !p.ceil }
                }
                PoolKind::Lp { .. } => return Err("a mean of powers is not written for the vector unit".into()),
            };
            if matches!(p.kind, PoolKind::Avg { padded: true }) && p.ceil {
                return Err("a mean that counts padding, rounded up, is not written for the vector unit".into());
            }
            (task, of(p.window.iter().map(|w| *w as i64).collect(), &p.strides, &p.dilations, &p.pads)?)
        }
        Op::Conv(c) => {
            let w = cx.ty(node.args[1]).clone();
            let taps = w.shape[..rank].iter().map(|d| known(d, "taps")).collect::<Result<_, _>>()?;
            let depth = known(&w.shape[rank], "channels")?;
            let columns = channels[1] / c.groups as i64;
            let task = if depth == 1 && columns == 1 { Task::Each } else { Task::Mix { depth, columns } };
            (task, of(taps, &c.strides, &c.dilations, &c.pads)?)
        }
        op => return Err(format!("`{}` has no window", op.name())),
    };
    Ok(Window { task, axes, batch: x.shape[0].clone(), channels, weight_apart: 0, dtype: x.dtype })
}

/// A matrix product: rows are output positions.
fn product(x: &TensorType, w: &TensorType, y: &TensorType) -> Result<Window, String> {
    let of_batch = |t: &TensorType| t.shape[..t.rank() - 2].iter().fold(Dim::Known(1), |n, d| n * d.clone());
    let open = "a product of open extents is not tiled for the vector unit";
    let [depth, columns] = [&w.shape[w.rank() - 2], &w.shape[w.rank() - 1]].map(|d| d.known().filter(|n| *n > 0));
    let (Some(depth), Some(columns)) = (depth, columns) else { return Err(open.into()) };
    let rows = x.shape[x.rank() - 2].clone();
    let (images, rows, weight_apart) = if of_batch(w).is(1) {
        let all = of_batch(x) * rows;
        if all.known().is_some() { (Dim::Known(1), all, 0) } else { (all, Dim::Known(1), 0) }
    } else if of_batch(w) == of_batch(x) && of_batch(x) == of_batch(y) {
        (of_batch(x), rows, depth * columns)
    } else {
        return Err("a product that broadcasts is not tiled for the vector unit".into());
    };
    let rows = rows.known().ok_or(open)?;
    let axis = |n| Axis { input: n, output: n, taps: 1, stride: 1, dilation: 1, low: 0 };
    let task = Task::Mix { depth, columns };
    Ok(Window { task, axes: [axis(1), axis(rows)], batch: images, channels: [depth, columns], weight_apart, dtype: x.dtype })
}

/// Bytes of a row of the window of a reduction.
const ROW: i64 = 24 << 10;

/// A reduction over neighbouring axes: one window over them.
fn reduction(npu: &Npu, x: &TensorType, op: ReduceOp, axes: &[usize]) -> Result<Window, String> {
    let task = match op {
        ReduceOp::Sum | ReduceOp::Max | ReduceOp::Min => Task::Fold(op),
        ReduceOp::Mean => Task::Mean { padded: true },
        op => return Err(format!("the vector unit of {} has no reduction by {}", npu.name, op.name())),
    };
    let wide: Vec<usize> = axes.iter().copied().filter(|a| !x.shape[*a].is(1)).collect();
    let (first, end) = (wide.first().copied().unwrap_or(x.rank()), wide.last().map_or(x.rank(), |a| a + 1));
    if (first..end).any(|a| !axes.contains(&a) && !x.shape[a].is(1)) {
        return Err("a reduction over axes that are not neighbours is not tiled for the NPU".into());
    }
    let product = |s: &[Dim]| s.iter().fold(Dim::Known(1), |a, d| a * d.clone());
    let open = "a reduction across rows over an open extent is not tiled for the NPU";
    let (taps, channels) = (product(&x.shape[first..end]).known().ok_or(open)?, product(&x.shape[end..]).known().ok_or(open)?);
    let fits = |d: &i64| taps % d == 0 && d * channels * x.dtype.size() as i64 <= ROW;
    let row = (1..=taps).rev().find(fits).unwrap_or(1);
    let axis = |taps| Axis { input: taps, output: 1, taps, stride: 1, dilation: 1, low: 0 };
    Ok(Window {
        task,
        axes: [axis(taps / row), axis(row)],
        batch: product(&x.shape[..first]),
        channels: [channels; 2],
        weight_apart: 0,
        dtype: x.dtype,
    })
}

impl Window {
    /// Elements to whose multiples rows of channels are filled up: a block of what is moved.
    fn pitch(&self, lanes: i64) -> i64 {
        let block = (BLOCK / self.dtype.size()) as i64;
        (lanes + block - 1) / block * block
    }

    /// Columns of the input that a run of output positions reads.
    fn span(&self, positions: i64) -> i64 {
        let a = &self.axes[1];
        ((positions - 1) * a.stride + (a.taps - 1) * a.dilation + 1).min(a.input)
    }

    /// Taps of the window.
    fn taps(&self) -> i64 {
        self.axes[0].taps * self.axes[1].taps
    }

    /// Bytes of the unified buffer, all that is moved twice.
    fn bytes(&self, t: &Tiling) -> i64 {
        let moved = self.dtype.size() as i64;
        let skips = matches!(self.task, Task::Each) || self.axes[1].skips();
        let wide = if self.dtype == DType::F32 && !skips { 0 } else { 4 };
        let (lanes, depth) = (self.pitch(t.lanes), self.pitch(t.depth));
        let sums = t.positions * lanes * (4 + 2 * moved);
        let row = self.span(t.positions);
        let (x, w) = match self.task {
            Task::Fold(_) => (row * lanes, 0),
            Task::Mean { .. } => (row * lanes, self.pitch(t.positions)),
            Task::Each => (row * lanes, self.taps() * lanes),
            Task::Mix { .. } => (row * depth, t.depth * lanes),
        };
        sums + (x + w) * (2 * moved + wide) + 256
    }
}

/// The largest tile that fits and leaves every core something to do.
fn tiling(npu: &Npu, w: &Window, batch: i64) -> Result<Tiling, String> {
    let divisors = |n: i64| (1..=n).rev().filter(move |d| n % d == 0);
    let whole = match w.task {
        Task::Mix { columns, .. } => columns,
        _ => w.channels[1],
    };
    let room = i64::from(npu.core.ub);
    let width = w.axes[1].output;
    let fitting = |lanes: i64| -> Option<Tiling> {
        let depths: Vec<i64> = match w.task {
            Task::Mix { depth, .. } => divisors(depth).filter(|d| *d == 1 || d * w.pitch(lanes) * 4 <= WEIGHTS).collect(),
            _ => vec![1],
        };
        let mut positions = width;
        loop {
            for depth in &depths {
                let t = Tiling { positions, lanes, depth: *depth };
                if w.bytes(&t) <= room && (*depth == depths[0] || positions == 1 || *depth * 8 >= depths[0]) {
                    return Some(t);
                }
            }
            if positions == 1 {
                return None;
            }
            positions = (positions + 1) / 2;
        }
    };
    let first = divisors(whole).find_map(fitting).ok_or_else(|| {
        format!("a window over {} channels does not fit into the unified buffer of {}", w.channels[0], npu.name)
    })?;
    // Fewer lanes, then fewer positions, while cores have nothing to do.
    let points =
        |t: &Tiling| batch.max(1) * w.axes[0].output * ((width + t.positions - 1) / t.positions) * (w.channels[1] / t.lanes);
    let mut t = first;
    while points(&t) < i64::from(npu.vector_cores) {
        let fewer = divisors(t.lanes).skip(1).find(|d| *d >= LANES && d % (BLOCK / w.dtype.size()) as i64 == 0);
        if let Some(next) = fewer.and_then(fitting) {
            t = Tiling { positions: next.positions.min(t.positions), ..next };
        } else if t.positions > 4 {
            t.positions = (t.positions + 1) / 2;
        } else {
            break;
        }
    }
    Ok(t)
}

/// The kernel under construction.
struct Body<'b, 'k> {
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
    fn new(
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

    fn statements(mut self) -> Vec<Stmt> {
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

impl Axis {
    /// Elements between the first and the last that a run reads may meet no tap.
    fn skips(&self) -> bool {
        self.dilation > 1 || self.taps < self.stride
    }

    /// A window reaches over an edge.
    fn crosses(&self) -> bool {
        self.low > 0 || (self.output - 1) * self.stride + (self.taps - 1) * self.dilation - self.low >= self.input
    }

    /// Taps inside at an output position.
    fn inside(&self, at: i64) -> i64 {
        (0..self.taps).filter(|t| (0..self.input).contains(&(at * self.stride + t * self.dilation - self.low))).count() as i64
    }
}
