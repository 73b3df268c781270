//! Convolutions on the cube cores, as products whose left operand is never laid out in memory (implicit GEMM): rows are output
//! positions, the depth runs over taps and input channels.
//!
//! A base tile covers whole rows of an output image, or a part of one row. For each tap the rows of the input that it meets come
//! into L1 side by side, one copy an image row: positions are `stride` columns apart there, channels dense. Positions whose tap
//! lies in the padding are filled with zeros. In L1 every tap has a multiple of 16 channels; so have the weights, which are
//! laid out anew when the program is made where they do not.
//!
//! Where a row of taps meets no padding, its columns lie one behind the other in the input: they count as one tap.

use beiming_ir::kernel::{BufId, Element, ExprId, Loop, Space, Stmt, VarId};
use beiming_ir::ops::{Arg, BinaryOp, Op};
use beiming_ir::target::npu::{Generation, Npu};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim};

use super::matmul::{Place, Plan, Tiling, clear, multiply, rest, schedule, to_l0, to_l1};
use super::operands::{Side, WIDEST_ROW, param};
use super::window::{self, Axis};
use super::{coupled, dense, lines};
use crate::lower::body::BodyCx;
use crate::lower::builder::{KernelBuilder, Operand, repeat, store};
use crate::npu::matmul::Product;

/// Elements to whose multiple the channels of a tap are filled up in L1.
const SIDE: i64 = 16;

/// How a tile of a convolution is gathered.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Rows and columns.
    pub axes: [Axis; 2],
    /// Elements from one column of the input to the next.
    pub column: i64,
    /// Channels of a tap.
    pub channels: i64,
    /// Rows of the output image in a tile, and positions of each: all of them, or some of one row.
    pub rows: i64,
    /// See `rows`.
    pub columns: i64,
    /// Taps of a copy into L1.
    pub taps: i64,
    /// Channels of a tap in a copy, a multiple of 16.
    pub block: i64,
    /// Rows of the weights' matrix from one tap to the next.
    pub depth: i64,
}

impl Window {
    /// Rows of tiles, and tiles along each.
    pub fn tiles(&self) -> [Dim; 2] {
        let up = |n: i64, by: i64| Dim::Known((n + by - 1) / by);
        [up(self.axes[0].output, self.rows), up(self.axes[1].output, self.columns)]
    }

    /// Blocks of channels of a tap.
    pub fn blocks(&self) -> i64 {
        (self.channels + self.block - 1) / self.block
    }
}

/// Looks the convolution over and chooses its tile, unless that is to be `want` or the nearest to it of whole rows.
pub fn plan(
    cx: &mut BodyCx,
    npu: &Npu,
    anchor: usize,
    out: DType,
    [operand, accumulator]: [DType; 2],
    want: Option<[i64; 3]>,
) -> Result<Plan, String> {
    let node = cx.body.nodes[anchor].clone();
    let Op::Conv(c) = &node.op else { return Err("no convolution".into()) };
    let (x, w) = (cx.ty(node.args[0]).clone(), cx.ty(node.args[1]).clone());
    let spatial = x.rank() - 2;
    let taps = w.shape[..spatial].iter().map(|d| window::known(d, "taps")).collect::<Result<Vec<_>, _>>()?;
    let y = beiming_ir::ops::infer(&node.op, &[&x, &w], cx.graph).map_err(|e| e.to_string())?;
    let axes = window::axes(&x, &y[0], &taps, [&c.strides, &c.dilations], &c.pads)?;
    let (channels, n) = (window::known(&w.shape[spatial], "channels")?, window::known(&w.shape[spatial + 1], "channels")?);
    if axes.iter().any(|a| a.output < 1 || a.input < 1) || channels < 1 || n < 1 {
        return Err("a convolution of no elements is not tiled for the cube unit".into());
    }
    let mut window = Window { axes, column: channels, channels, rows: 1, columns: 1, taps: 1, block: 0, depth: channels };
    let across = &mut window.axes[1];
    if !across.crosses() && across.low == 0 && across.dilation == 1 {
        window.channels *= across.taps;
        window.depth = window.channels;
        across.taps = 1;
    }
    let (all_taps, m) = (window.axes[0].taps * window.axes[1].taps, axes[0].output * axes[1].output);
    let padded = (window.channels + SIDE - 1) / SIDE * SIDE;
    if axes[1].stride * window.column > WIDEST_ROW || n > WIDEST_ROW {
        return Err(format!("rows of more than {WIDEST_ROW} elements: the copy into L1 does not count further"));
    }
    let product = Product {
        batch: cx.typical(&x.shape[0]).max(1) as usize,
        m: m as usize,
        n: n as usize,
        k: (all_taps * padded) as usize,
        operand,
        result: out,
    };
    let tile = schedule(npu, &product, want)?;
    // What is written may be a conversion of the result.
    let size = out.size().min(cx.out().dtype.size()) as i64;
    let tile = match want {
        None if !npu.core.fixpipe => coupled::beside_others(npu, tile, [m, n, product.k as i64], size),
        Some(_) if !npu.core.fixpipe => Tiling { steps: 1, ..tile },
        _ => tile,
    };
    let even = |n: i64, most: i64| {
        let parts = (n + most - 1) / most;
        (n + parts - 1) / parts
    };
    let up = |n: i64| (n + SIDE - 1) / SIDE * SIDE;
    let (most, [high, wide]) = (tile.bm, axes.map(|a| a.output));
    let bm = if most >= wide {
        let rows = even(high, most / wide);
        let rows = if npu.core.padded_copy { rows } else { on_lines(rows, high, wide * n * size) };
        (window.rows, window.columns) = (rows, wide);
        up(window.rows * wide)
    } else {
        window.columns = up(even(wide, most));
        window.columns
    };
    // What a copy holds of the depth: some taps whole, or a part of one.
    let deepest = tile.bk * tile.steps / SIDE * SIDE;
    let turned = operand.size() == 4 && npu.core.generation != Generation::V2201;
    let constant = match node.args[1] {
        Arg::Input(i) => cx.inputs[i as usize].constant,
        Arg::Node(_) => None,
    };
    window.block = if padded <= deepest { padded } else { up(even(padded, deepest.max(SIDE))) };
    if window.block == padded && (window.channels == padded || constant.is_some()) {
        window.depth = padded;
        window.taps = (1..=all_taps).rev().find(|t| all_taps % t == 0 && t * padded <= deepest).unwrap_or(1);
    }
    let source = dense::source(cx, npu, node.args[1])?;
    let right = weights(&window, n, constant, source, turned)
        .ok_or_else(|| format!("weights that the cube unit of {} would have to transpose on the way", npu.name))?;
    let x = dense::source(cx, npu, node.args[0])?;
    let left = Side {
        operand: x.operand,
        shape: x.shape,
        weight: None,
        batch: vec![Dim::Known(axes[0].input * axes[1].input * window.column)],
        shared: vec![],
        base: x.base,
        pitch: Dim::Known(axes[1].stride * window.column),
        depth_inner: true,
    };
    let deep = window.taps * window.block;
    let size = operand.size() as i64;
    let bn = tile.bn;
    let room = (i64::from(npu.core.l0a) / (2 * bm * size)).min(i64::from(npu.core.l0b) / (2 * bn * size));
    let room = want.map_or(room, |t| t[2]);
    let bk = (1..=deep / SIDE).map(|i| i * SIDE).rev().find(|b| deep % b == 0 && *b <= room).unwrap_or(SIDE);
    Ok(Plan {
        anchor,
        tile: Tiling { bm, bn, bk, steps: deep / bk },
        dims: [m, n, all_taps * window.channels].map(Dim::Known),
        batch: vec![cx.types[anchor].shape[0].clone()],
        sides: [left, right],
        dtypes: [operand, accumulator, out],
        window: Some(window),
        product,
    })
}

/// Rows of an image in a tile, at most `most`, so that tiles of `bytes` a row start on lines of the data cache.
fn on_lines(most: i64, all: i64, bytes: i64) -> i64 {
    let starts = |rows: &i64| rows * bytes % lines::LINE == 0;
    if most >= all { most } else { (1..=most).rev().find(starts).unwrap_or(most) }
}

/// The weights as a matrix of taps and channels by output channels, or the other way round. `None` where that needs a constant.
fn weights(w: &Window, n: i64, constant: Option<&Tensor>, source: dense::Dense, turned: bool) -> Option<Side> {
    let taps = w.axes[0].taps * w.axes[1].taps;
    let side = |operand, shape, weight, base, pitch| Side {
        operand,
        shape,
        weight,
        batch: vec![Dim::Known(0)],
        shared: vec![],
        base,
        pitch: Dim::Known(pitch),
        depth_inner: turned,
    };
    if !turned && w.depth == w.channels {
        return Some(side(source.operand, source.shape, None, source.base, n));
    }
    let (constant, deep, zero) = (constant?, (taps * w.depth) as usize, Num::Float(0.0));
    let (n, depth, channels) = (n as usize, w.depth as usize, w.channels as usize);
    let at = |k: usize, column: usize| {
        let (tap, channel) = (k / depth, k % depth);
        if channel < channels { constant.get((tap * channels + channel) * n + column) } else { zero }
    };
    let shape = if turned { [n, deep] } else { [deep, n] };
    let laid = Tensor::build(constant.dtype, &shape, |i| {
        let (r, c) = (i / shape[1], i % shape[1]);
        if turned { at(c, r) } else { at(r, c) }
    });
    Some(side(Operand::Weight(0), shape.map(Dim::from).to_vec(), Some(laid), Dim::Known(0), shape[1] as i64))
}

/// The statements that leave a finished base tile in the accumulators.
pub fn accumulate(kb: &mut KernelBuilder, p: &Plan, w: &Window) -> (Place, Vec<Stmt>) {
    let (t, [left, right], operand) = (&p.tile, &p.sides, p.dtypes[0]);
    let x = param(kb, left, operand);
    let b = param(kb, right, operand);
    let deep = t.bk * t.steps;
    let size = |n: i64| n as usize;
    let a1 = kb.local("a1", operand, &[size(t.bm), size(deep)], Space::L1);
    let b1_shape = if right.depth_inner { [t.bn, deep] } else { [deep, t.bn] };
    let b1 = kb.local("b1", operand, &b1_shape.map(size), Space::L1);
    let a2 = kb.local("a2", operand, &[size(t.bm), size(t.bk)], Space::L0A);
    let b2 = kb.local("b2", operand, &[size(t.bk), size(t.bn)], Space::L0B);
    let acc = kb.local("acc", p.dtypes[1], &[size(t.bm), size(t.bn)], Space::L0C);
    let g = Gather::new(kb, w, left);
    let column = kb.scale(g.column_tile, &Dim::Known(t.bn));
    let columns_left = rest(kb, column, &p.dims[1]);

    // Groups of taps, or blocks of the channels of one tap.
    let (group_var, group) = kb.axis(&Dim::Known(w.axes[0].taps * w.axes[1].taps / w.taps));
    let tap = kb.scale(group, &Dim::Known(w.taps));
    let (block_var, block) = kb.axis(&Dim::Known(w.blocks()));
    let channel = kb.scale(block, &Dim::Known(w.block));
    let mut inner = g.fill(kb, a1, x, [tap, channel], t.bm);
    let from = {
        let row = kb.scale(tap, &Dim::Known(w.depth));
        kb.add(row, channel)
    };
    let first = right.first(kb, &g.batch, column, from);
    let depth_left = if w.taps == 1 { rest(kb, channel, &Dim::Known(w.depth)) } else { kb.int(deep) };
    let limits =
        [(columns_left, p.dims[1].known().is_some_and(|n| n % t.bn == 0)), (depth_left, w.taps > 1 || w.depth % w.block == 0)];
    let filled = b1_shape.map(|n| kb.int(n));
    let limits = if right.depth_inner { limits } else { [limits[1], limits[0]] };
    inner.push(to_l1(kb, b1, b, first, &right.pitch, b1_shape, filled, limits));

    let (step_var, step) = kb.axis(&Dim::Known(t.steps));
    let within = kb.scale(step, &Dim::Known(t.bk));
    let body = vec![
        to_l0(kb, a2, a1, [t.bm, t.bk], within, false, true),
        to_l0(kb, b2, b1, [t.bk, t.bn], within, right.depth_inner, false),
        multiply(kb, acc, [a2, b2], [t.bm, t.bn, t.bk]),
    ];
    inner.extend(looped(kb, step_var, t.steps, body));
    let inner = looped(kb, block_var, w.blocks(), inner);
    let mut statements = vec![clear(kb, acc, [t.bm, t.bn])];
    statements.extend(looped(kb, group_var, w.axes[0].taps * w.axes[1].taps / w.taps, inner));
    let place = Place { acc, start: [g.position, column], left: [g.count, columns_left], batch: g.batch.clone() };
    (place, statements)
}

/// A loop, where there is more than one round.
pub fn looped(kb: &mut KernelBuilder, var: VarId, rounds: i64, body: Vec<Stmt>) -> Vec<Stmt> {
    if rounds == 1 {
        return body;
    }
    let n = kb.int(rounds);
    vec![repeat(var, n, Loop::Serial, body)]
}

/// Where a tile stands, in images.
pub struct Gather<'w> {
    w: &'w Window,
    /// Coordinates of the batch.
    pub batch: Vec<ExprId>,
    /// Number of the tile along the columns of the result.
    pub column_tile: ExprId,
    /// First output position, counted within its image.
    pub position: ExprId,
    /// Output positions of the tile.
    pub count: ExprId,
    /// First row and column of the output image.
    top: ExprId,
    left: ExprId,
    /// Rows there are, and positions in each.
    high: ExprId,
    /// See `high`.
    pub wide: ExprId,
    /// Address of the first element of the tile's image.
    image: ExprId,
}

impl<'w> Gather<'w> {
    /// At the grid point of the kernel.
    pub fn new(kb: &mut KernelBuilder, w: &'w Window, data: &Side) -> Gather<'w> {
        let at = kb.grid.clone();
        let [rows, columns] = w.axes;
        let batch = vec![at[0]];
        let (top, left) = (kb.scale(at[1], &Dim::Known(w.rows)), kb.scale(at[2], &Dim::Known(w.columns)));
        let below = rest(kb, top, &Dim::Known(rows.output));
        let high = kb.min_dim(below, &Dim::Known(w.rows));
        let beside = rest(kb, left, &Dim::Known(columns.output));
        let wide = kb.min_dim(beside, &Dim::Known(w.columns));
        let start = kb.scale(top, &Dim::Known(columns.output));
        let position = kb.add(start, left);
        let count = if w.columns == columns.output { kb.scale(high, &Dim::Known(columns.output)) } else { wide };
        let zero = kb.int(0);
        let image = data.first(kb, &batch, zero, zero);
        Gather { w, batch, column_tile: at[3], position, count, top, left, high, wide, image }
    }

    /// One row of positions of one tap, of those from `tap` on.
    pub fn line(&self, kb: &mut KernelBuilder, tap: ExprId) -> Line {
        let w = self.w;
        let [rows, columns] = w.axes;
        let (tap_var, number) = kb.axis(&Dim::Known(w.taps));
        let tap = kb.add(tap, number);
        let (tap_row, tap_column) = {
            let by = Dim::Known(columns.taps);
            (kb.quotient(tap, &by), kb.remainder(tap, &by))
        };
        let (row_var, row) = kb.axis(&Dim::Known(w.rows));
        let position = kb.scale(row, &Dim::Known(columns.output));
        let input = |kb: &mut KernelBuilder, a: &Axis, at: ExprId, tap: ExprId| {
            let (at, tap) = (kb.scale(at, &Dim::Known(a.stride)), kb.scale(tap, &Dim::Known(a.dilation)));
            let sum = kb.add(at, tap);
            kb.offset(sum, &Dim::Known(-a.low))
        };
        let down = kb.add(self.top, row);
        let at = [input(kb, &rows, down, tap_row), input(kb, &columns, self.left, tap_column)];
        Line { tap_var, number, row_var, position, at }
    }

    /// Address of a line's element, `channel` channels on.
    pub fn address(&self, kb: &mut KernelBuilder, line: &Line, channel: ExprId) -> ExprId {
        let address = kb.scale(line.at[0], &Dim::Known(self.w.axes[1].input));
        let address = kb.add(address, line.at[1]);
        let address = kb.scale(address, &Dim::Known(self.w.column));
        let address = kb.add(address, channel);
        kb.add(self.image, address)
    }

    /// `body` for every line of a copy.
    pub fn lines(&self, kb: &mut KernelBuilder, line: &Line, body: Vec<Stmt>) -> Vec<Stmt> {
        let body = if self.w.rows > 1 { vec![repeat(line.row_var, self.high, Loop::Serial, body)] } else { body };
        looped(kb, line.tap_var, self.w.taps, body)
    }

    /// Fills `to`, of `bm` rows, with the taps from `tap` on and their channels from `channel` on.
    pub fn fill(&self, kb: &mut KernelBuilder, to: BufId, x: BufId, [tap, channel]: [ExprId; 2], bm: i64) -> Vec<Stmt> {
        let w = self.w;
        let [rows, columns] = w.axes;
        let line = self.line(kb, tap);
        let input_row = line.at[0];
        let first_column = kb.scale(line.number, &Dim::Known(w.block));
        let most = [if w.rows == 1 { bm } else { columns.output }, w.block];
        let part = Part { to, at: [line.position, first_column], extents: most.map(|n| kb.int(n)), most };
        let there = {
            let first = self.address(kb, &line, channel);
            self.copy(kb, x, &part, first, [line.at[1], channel])
        };
        // Rows of taps in the padding above and below.
        let mut each = vec![there];
        if let Some(inside) = kb.inside(input_row, &Dim::Known(rows.input)) {
            each = vec![Stmt::If { cond: inside, then: each }];
            let (zero, end) = (kb.int(0), kb.int(rows.input));
            let above = kb.not_below(input_row, &Dim::Known(0)).map(|_| kb.binary(BinaryOp::Lt, input_row, zero));
            let below = kb.below(input_row, &Dim::Known(rows.input)).map(|_| kb.binary(BinaryOp::Ge, input_row, end));
            let outside = match (above, below) {
                (Some(a), Some(b)) => Some(kb.binary(BinaryOp::Or, a, b)),
                (a, b) => a.or(b),
            };
            each.extend(outside.map(|cond| Stmt::If { cond, then: vec![part.zeros(kb)] }));
        }
        let mut out = self.lines(kb, &line, each);
        // Rows of the tile behind the last position.
        if w.rows > 1 && kb.affine(self.count).base != Dim::Known(bm) {
            let minus = kb.scale(self.count, &Dim::Known(-1));
            let behind = kb.offset(minus, &Dim::Known(bm));
            let (zero, deep) = (kb.int(0), w.taps * w.block);
            let part = Part { to, at: [self.count, zero], extents: [behind, kb.int(deep)], most: [bm, deep] };
            out.push(part.zeros(kb));
        }
        out
    }

    /// The positions of a line whose tap is neither left nor right of the image: from the first (`None`: the line's first) to
    /// before the last (`None`: as many as there can be).
    pub fn reach(&self, kb: &mut KernelBuilder, input_column: ExprId) -> [Option<ExprId>; 2] {
        let a = self.w.axes[1];
        let minus = kb.scale(input_column, &Dim::Known(-1));
        let (stride, zero) = (kb.int(a.stride), kb.int(0));
        let mut from = None;
        if kb.not_below(input_column, &Dim::Known(0)).is_some() {
            let up = kb.offset(minus, &Dim::Known(a.stride - 1));
            let up = kb.binary(BinaryOp::Max, up, zero);
            let mut first = if a.stride == 1 { up } else { kb.binary(BinaryOp::Div, up, stride) };
            if (a.low + a.stride - 1) / a.stride > 1 {
                first = kb.binary(BinaryOp::Min, first, self.wide);
            }
            from = Some(first);
        }
        let all = kb.affine(self.wide).terms.is_empty() && self.w.rows > 1;
        let last = {
            let by = kb.scale(self.wide, &Dim::Known(a.stride));
            let last = kb.add(input_column, by);
            kb.offset(last, &Dim::Known(-a.stride))
        };
        if kb.below(last, &Dim::Known(a.input)).is_some() {
            let mut room = kb.offset(minus, &Dim::Known(a.input - 1 + a.stride));
            if kb.not_below(room, &Dim::Known(0)).is_some() {
                room = kb.binary(BinaryOp::Max, room, zero);
            }
            let n = if a.stride == 1 { room } else { kb.binary(BinaryOp::Div, room, stride) };
            return [from, Some(kb.binary(BinaryOp::Min, n, self.wide))];
        }
        [from, (!all).then_some(self.wide)]
    }

    /// Channels of a copy from `channel` on that there are, where that may be fewer than it holds.
    pub fn channels(&self, kb: &mut KernelBuilder, channel: ExprId) -> Option<ExprId> {
        let w = self.w;
        (w.channels % w.block != 0).then(|| rest(kb, channel, &Dim::Known(w.channels)))
    }

    /// One image row of a tap; zeros where the tap is left or right of the image, and behind the last channel.
    fn copy(&self, kb: &mut KernelBuilder, x: BufId, part: &Part, first: ExprId, [input_column, channel]: [ExprId; 2]) -> Stmt {
        let w = self.w;
        let [(vr, r), (vc, c)] = part.most.map(|n| kb.axis(&Dim::Known(n.max(2))));
        let [from, end] = self.reach(kb, input_column);
        let mut guard = from.map(|from| kb.binary(BinaryOp::Ge, r, from));
        if let Some(end) = end {
            let inside = kb.binary(BinaryOp::Lt, r, end);
            guard = kb.and(guard, Some(inside));
        }
        if let Some(left) = self.channels(kb, channel) {
            let inside = kb.binary(BinaryOp::Lt, c, left);
            guard = kb.and(guard, Some(inside));
        }
        let by = kb.scale(r, &Dim::Known(w.axes[1].stride * w.column));
        let at = kb.add(first, by);
        let at = kb.add(at, c);
        let to = [kb.add(part.at[0], r), kb.add(part.at[1], c)];
        let dtype = kb.buffer(part.to).dtype;
        let fill = guard.map(|_| kb.number(dtype, 0.0));
        Stmt::Copy {
            vars: vec![(vr, part.extents[0]), (vc, part.extents[1])],
            dst: Element { buffer: part.to, index: to.to_vec(), guard: None },
            src: Element { buffer: x, index: vec![at], guard },
            fill,
        }
    }
}

/// One row of positions of one tap.
pub struct Line {
    tap_var: VarId,
    row_var: VarId,
    /// The tap, counted from the copy's first.
    pub number: ExprId,
    /// The row's first position, counted from the tile's.
    pub position: ExprId,
    /// Row and column of the input that the first position meets.
    pub at: [ExprId; 2],
}

/// A part of a tile in L1.
struct Part {
    to: BufId,
    at: [ExprId; 2],
    extents: [ExprId; 2],
    /// The most that the extents can be.
    most: [i64; 2],
}

impl Part {
    /// Zeros in it.
    fn zeros(&self, kb: &mut KernelBuilder) -> Stmt {
        let [(vr, r), (vc, c)] = self.most.map(|n| kb.axis(&Dim::Known(n.max(2))));
        let index = [kb.add(self.at[0], r), kb.add(self.at[1], c)];
        let dtype = kb.buffer(self.to).dtype;
        let zero = kb.number(dtype, 0.0);
        let line = repeat(vc, self.extents[1], Loop::Vector, vec![store(self.to, &index, zero)]);
        repeat(vr, self.extents[0], Loop::Serial, vec![line])
    }
}
