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

mod body;

use beiming_ir::ops::{Op, PoolKind, ReduceOp};
use beiming_ir::target::npu::Npu;
use beiming_ir::types::{DType, Dim, TensorType};

use self::body::Body;
use super::tile::BLOCK;
use super::{dense, fit};
use crate::lower::body::BodyCx;
use crate::lower::builder::{Call, KernelBuilder, Operand};
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
pub struct Axis {
    /// Extent of the input.
    pub input: i64,
    /// Extent of the result.
    pub output: i64,
    /// Taps.
    pub taps: i64,
    /// Elements from one position to the next.
    pub stride: i64,
    /// Elements from one tap to the next.
    pub dilation: i64,
    /// Padding before the first element.
    pub low: i64,
}

/// Rows and columns of a window over `x` whose result is `y`; one of a single axis has one row. `taps`, strides, dilations and
/// padding by axis; an error where an extent is open.
pub fn axes(
    x: &TensorType,
    y: &TensorType,
    taps: &[i64],
    [strides, dilations]: [&[usize]; 2],
    pads: &[(i64, i64)],
) -> Result<[Axis; 2], String> {
    let rank = x.rank() - 2;
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
}

/// An extent that a window needs to know.
pub fn known(d: &Dim, what: &str) -> Result<i64, String> {
    d.known().ok_or(format!("a window over an open extent ({what} {d}) is not tiled for the NPU"))
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
    // Where no tile fits the kernel of the smallest tells what is too large.
    let smallest = Tiling { positions: 1, lanes: 1, depth: 1 };
    let own = tiling(npu, &w, cx.typical(&w.batch)).unwrap_or(smallest);
    let may = |t: &[i64; 3]| w.bytes(&Tiling::from(*t)) <= 2 * i64::from(npu.core.ub);
    let own = [own.positions, own.lanes, own.depth];
    let made = fit::of_sides(cx, npu, fit::WINDOW, own, &w.sides(), &may, &mut |t| {
        let mut tried = cx.clone();
        let call = kernel(&mut tried, &w, Tiling::from(*t), (data.clone(), weight.clone()), (anchor, dst))?;
        tried.call(call);
        Ok(tried)
    })?;
    *cx = made;
    Ok(())
}

/// The kernel of a tile.
fn kernel(
    cx: &mut BodyCx,
    w: &Window,
    t: Tiling,
    (data, weight): (dense::Dense, Option<dense::Dense>),
    (anchor, dst): (usize, Operand),
) -> Result<Call, String> {
    let grid = [
        w.batch.clone(),
        Dim::Known(w.axes[0].output),
        Dim::Known((w.axes[1].output + t.positions - 1) / t.positions),
        Dim::Known(w.channels[1] / t.lanes),
    ];
    let mut kb = KernelBuilder::new(cx.symbols, &grid);
    let body = Body::new(cx, w, t, &mut kb, data, weight, (anchor, dst)).statements();
    let name = crate::lower::name::kernel(&cx.up_to(anchor), &[format!("t{}x{}x{}", t.positions, t.lanes, t.depth)]);
    let depth = if let Task::Mix { depth, .. } = w.task { depth } else { 1 };
    let flops = cx.types[anchor].numel() * Dim::Known(2 * depth * w.axes[0].taps * w.axes[1].taps);
    let ops = vec![cx.body.nodes[anchor].op.name()];
    Ok(kb.finish(name, ops, body, flops))
}

impl From<[i64; 3]> for Tiling {
    fn from([positions, lanes, depth]: [i64; 3]) -> Tiling {
        Tiling { positions, lanes, depth }
    }
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
            let taps: Vec<i64> = p.window.iter().map(|w| *w as i64).collect();
            (task, self::axes(&x, &y, &taps, [&p.strides, &p.dilations], &p.pads)?)
        }
        Op::Conv(c) => {
            let w = cx.ty(node.args[1]).clone();
            let taps = w.shape[..rank].iter().map(|d| known(d, "taps")).collect::<Result<Vec<_>, _>>()?;
            let depth = known(&w.shape[rank], "channels")?;
            let columns = channels[1] / c.groups as i64;
            let task = if depth == 1 && columns == 1 { Task::Each } else { Task::Mix { depth, columns } };
            (task, self::axes(&x, &y, &taps, [&c.strides, &c.dilations], &c.pads)?)
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

/// The divisors of a number, the largest first.
fn divisors(n: i64) -> impl Iterator<Item = i64> {
    (1..=n).rev().filter(move |d| n % d == 0)
}

impl Window {
    /// Channels that a tile's divide.
    fn lanes(&self) -> i64 {
        match self.task {
            Task::Mix { columns, .. } => columns,
            _ => self.channels[1],
        }
    }

    /// What the tiler chooses from along each axis of a tile.
    fn sides(&self) -> [Vec<i64>; 3] {
        let halves = |n: &i64| (*n > 1).then_some((n + 1) / 2);
        let depth = if let Task::Mix { depth, .. } = self.task { depth } else { 1 };
        let positions = std::iter::successors(Some(self.axes[1].output.max(1)), halves).collect();
        [positions, divisors(self.lanes()).collect(), divisors(depth).collect()]
    }

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

/// The largest tile that fits and leaves every core something to do; `None` where none fits.
fn tiling(npu: &Npu, w: &Window, batch: i64) -> Option<Tiling> {
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
    let first = divisors(w.lanes()).find_map(fitting)?;
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
    Some(t)
}

impl Axis {
    /// Elements between the first and the last that a run reads may meet no tap.
    fn skips(&self) -> bool {
        self.dilation > 1 || self.taps < self.stride
    }

    /// A window reaches over an edge.
    pub fn crosses(&self) -> bool {
        self.low > 0 || (self.output - 1) * self.stride + (self.taps - 1) * self.dilation - self.low >= self.input
    }

    /// Taps inside at an output position.
    fn inside(&self, at: i64) -> i64 {
        (0..self.taps).filter(|t| (0..self.input).contains(&(at * self.stride + t * self.dilation - self.low))).count() as i64
    }
}
