//! Random cases of every op that numpy can express.

use beiming_ir::ops::*;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim};

use DType::*;

/// Element types that numpy has.
const TYPES: [DType; 13] = [F64, F32, F16, I64, I32, I16, I8, U64, U32, U16, U8, Bool, C64];

/// A fixed sequence of random numbers (splitmix64).
pub struct Rng(pub u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn within(&mut self, lo: i64, hi: i64) -> i64 {
        lo + self.below((hi - lo + 1) as usize) as i64
    }

    fn flag(&mut self) -> bool {
        self.next() & 1 == 1
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Some of `0..n`, in order.
    fn subset(&mut self, n: usize) -> Vec<usize> {
        (0..n).filter(|_| self.flag()).collect()
    }

    fn shape(&mut self, rank: std::ops::RangeInclusive<usize>, least: usize) -> Vec<usize> {
        let rank = rank.start() + self.below(rank.end() - rank.start() + 1);
        (0..rank).map(|_| self.within(least as i64, 4) as usize).collect()
    }

    /// A shape that broadcasts to `to`.
    fn narrower(&mut self, to: &[usize]) -> Vec<usize> {
        let from = self.below(to.len() + 1);
        to[from..].iter().map(|&n| if self.below(3) == 0 { 1 } else { n }).collect()
    }

    /// One element. Floats are moderate, or, with `wild`, now and then infinite, NaN or at a border.
    fn number(&mut self, dtype: DType, wild: bool) -> Num {
        let moderate = |r: &mut Rng| (r.below(8001) as f64 - 4000.0) / 1000.0;
        match dtype.int_range() {
            Some((lo, hi)) if wild && self.below(6) == 0 => Num::Int([lo, lo + 1, hi - 1, hi][self.below(4)]),
            Some((lo, hi)) => Num::Int(i128::from(self.within(-9, 9)).clamp(lo, hi)),
            None if dtype.is_complex() => Num::Complex(moderate(self), moderate(self)),
            None if wild && self.below(4) == 0 => {
                let hard = [0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -3.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e-7, 6e4, -3e9];
                Num::Float(self.pick(&hard))
            }
            None => Num::Float(moderate(self)),
        }
    }

    fn tensor(&mut self, dtype: DType, shape: &[usize], wild: bool) -> Tensor {
        Tensor::build(dtype, shape, |_| self.number(dtype, wild))
    }

    /// Indices into an axis of `n`, from either end.
    fn indices(&mut self, shape: &[usize], n: usize) -> Tensor {
        let dtype = self.pick(&[I32, I64]);
        Tensor::build(dtype, shape, |_| Num::Int(self.within(-(n as i64), n as i64 - 1).into()))
    }
}

fn dims(shape: &[usize]) -> Vec<Dim> {
    shape.iter().map(|&n| n.into()).collect()
}

pub type Case = (Op, Vec<Tensor>);

/// A generator of cases of one family.
pub type Family = (&'static str, fn(&mut Rng) -> Case);

/// Every family, by the name that failures are reported under.
pub const FAMILIES: [Family; 12] = [
    ("unary", unary),
    ("binary", binary),
    ("select and casts", convert),
    ("matmul", matmul),
    ("conv", conv),
    ("pool", pool),
    ("reduce", reduce),
    ("running and normalising", rows),
    ("shape", shape),
    ("gather", gather),
    ("scatter", scatter),
    ("select and sources", select),
];

fn unary(r: &mut Rng) -> Case {
    loop {
        let (op, dtype) = (r.pick(&UnaryOp::ALL), r.pick(&TYPES));
        if op.result(dtype).is_some() && !dtype.is_complex() {
            let shape = r.shape(0..=3, 0);
            return (Op::Unary(op), vec![r.tensor(dtype, &shape, true)]);
        }
    }
}

fn binary(r: &mut Rng) -> Case {
    loop {
        let (op, dtype) = (r.pick(&BinaryOp::ALL), r.pick(&TYPES));
        if op.result(dtype).is_some() && !(dtype.is_complex() && op == BinaryOp::Div) {
            let to = r.shape(0..=3, 0);
            let (a, b) = (r.narrower(&to), r.narrower(&to));
            return (Op::Binary(op), vec![r.tensor(dtype, &a, true), r.tensor(dtype, &b, true)]);
        }
    }
}

fn convert(r: &mut Rng) -> Case {
    let dtype = r.pick(&TYPES);
    let to = r.shape(0..=3, 0);
    let real: Vec<DType> = TYPES.into_iter().filter(|t| !t.is_complex()).collect();
    match r.below(3) {
        0 => {
            let (a, b, c) = (r.narrower(&to), r.narrower(&to), r.narrower(&to));
            (Op::Select, vec![r.tensor(Bool, &a, false), r.tensor(dtype, &b, true), r.tensor(dtype, &c, true)])
        }
        1 => {
            let (from, into) = (r.pick(&real), r.pick(&real));
            (Op::Cast { to: into }, vec![r.tensor(from, &to, true)])
        }
        _ => {
            let (from, into) = r.pick(&[(F32, I32), (U32, F32), (F64, U64), (I16, F16), (U8, I8), (I64, U64)]);
            (Op::Bitcast { to: into }, vec![r.tensor(from, &to, true)])
        }
    }
}

fn matmul(r: &mut Rng) -> Case {
    let (from, out) = r.pick(&[(F32, F32), (F64, F64), (F16, F32), (F16, F16), (I8, I32), (U8, I32), (I64, I64), (I32, I32)]);
    let batch = r.shape(0..=2, 0);
    let [m, k, n] = [0; 3].map(|_| r.below(6));
    let (a, b) = ([r.narrower(&batch), vec![m, k]].concat(), [r.narrower(&batch), vec![k, n]].concat());
    (Op::MatMul { out }, vec![r.tensor(from, &a, false), r.tensor(from, &b, false)])
}

/// Extents, window, strides, dilations and pads of one to three spatial axes, such that a window fits.
struct Windows {
    extent: Vec<usize>,
    window: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    pads: Vec<(i64, i64)>,
}

fn windows(r: &mut Rng, least_pad: i64) -> Windows {
    let n = 1 + r.below(3);
    let mut list = |lo: i64, hi: i64| (0..n).map(|_| r.within(lo, hi) as usize).collect::<Vec<_>>();
    let (window, strides, dilations) = (list(1, 3), list(1, 3), list(1, 2));
    let extent =
        (0..n).map(|i| dilations[i] * (window[i] - 1) + 1 + r.below(4) + least_pad.unsigned_abs() as usize * 2).collect();
    let pads = (0..n).map(|i| (r.within(least_pad, window[i] as i64 - 1), r.within(least_pad, window[i] as i64 - 1))).collect();
    Windows { extent, window, strides, dilations, pads }
}

fn conv(r: &mut Rng) -> Case {
    let w = windows(r, -1);
    let (batch, groups, per_in, per_out) = (r.below(3), 1 + r.below(3), 1 + r.below(3), 1 + r.below(3));
    let dtype = r.pick(&[F32, F64, I32]);
    let data = [vec![batch], w.extent.clone(), vec![groups * per_in]].concat();
    let data = r.tensor(dtype, &data, false);
    let Windows { extent, window, strides, dilations, pads } = w;
    if r.flag() {
        let weight = r.tensor(dtype, &[window, vec![per_in, groups * per_out]].concat(), false);
        return (Op::Conv(Conv { strides, dilations, pads, groups }), vec![data, weight]);
    }
    let extra = strides.iter().map(|&s| r.below(s)).collect();
    let weight = r.tensor(dtype, &[window, vec![groups * per_in, per_out]].concat(), false);
    // Crop no more than there is.
    let pads = pads.iter().zip(&extent).map(|(p, s)| if *s > 2 { *p } else { (p.0.min(0), p.1.min(0)) }).collect();
    (Op::ConvTranspose(ConvTranspose { strides, dilations, pads, extra, groups }), vec![data, weight])
}

fn pool(r: &mut Rng) -> Case {
    let Windows { extent, window, strides, dilations, pads } = windows(r, 0);
    let (batch, channels) = (r.below(3), 1 + r.below(3));
    let kinds = [PoolKind::Max, PoolKind::Avg { padded: true }, PoolKind::Avg { padded: false }, PoolKind::Lp { p: 2.0.into() }];
    let kind = r.pick(&kinds);
    let dtype = if kind == PoolKind::Max { r.pick(&[F32, F64, I32, U8]) } else { r.pick(&[F32, F64]) };
    let x = r.tensor(dtype, &[vec![batch], extent, vec![channels]].concat(), false);
    (Op::Pool(Pool { kind, window, strides, dilations, pads, ceil: r.flag() }), vec![x])
}

fn reduce(r: &mut Rng) -> Case {
    use ReduceOp::*;
    if r.below(3) == 0 {
        let dtype = r.pick(&[F32, F64, I32, U8, Bool]);
        let shape = r.shape(1..=3, 1);
        let (max, axis, keep, last) = (r.flag(), r.below(shape.len()), r.flag(), r.flag());
        return (Op::ArgReduce { max, axis, keep, last }, vec![r.tensor(dtype, &shape, true)]);
    }
    loop {
        let (op, dtype) = (r.pick(&[Sum, Prod, Max, Min, Mean, All, Any]), r.pick(&TYPES));
        if op.takes(dtype) && !dtype.is_complex() {
            let shape = r.shape(0..=4, usize::from(matches!(op, Max | Min | Mean)));
            let (axes, keep) = (r.subset(shape.len()), r.flag());
            return (Op::Reduce { op, axes, keep }, vec![r.tensor(dtype, &shape, matches!(op, Max | Min))]);
        }
    }
}

fn rows(r: &mut Rng) -> Case {
    use ReduceOp::*;
    let shape = r.shape(1..=3, 1);
    let axis = r.below(shape.len());
    let float = r.pick(&[F32, F64, F16]);
    let op = match r.below(3) {
        0 => {
            let (op, dtype) = (r.pick(&[Sum, Prod, Max, Min]), r.pick(&[F32, F64, I64, I8, U16]));
            let exclusive = r.flag() && matches!(op, Sum | Prod);
            let op = Op::Cumulative(Cumulative { op, axis, exclusive, reverse: r.flag() });
            return (op, vec![r.tensor(dtype, &shape, false)]);
        }
        1 => Op::Softmax { axis, log: r.flag() },
        _ => Op::Norm { kind: r.pick(&[NormKind::Layer, NormKind::Rms]), axis, eps: 1e-3.into() },
    };
    (op, vec![r.tensor(float, &shape, false)])
}

fn shape(r: &mut Rng) -> Case {
    let dtype = r.pick(&TYPES);
    let shape = r.shape(0..=4, 0);
    let x = r.tensor(dtype, &shape, true);
    let rank = shape.len();
    let op = match r.below(8) {
        0 => Op::Reshape { shape: dims(&[shape.iter().rev().copied().collect(), vec![1]].concat()) },
        1 => {
            let mut perm: Vec<usize> = (0..rank).collect();
            (1..rank).rev().for_each(|i| perm.swap(i, r.below(i + 1)));
            Op::Transpose { perm }
        }
        2 => {
            let from = r.narrower(&shape);
            return (Op::Broadcast { shape: dims(&shape) }, vec![r.tensor(dtype, &from, true)]);
        }
        3 => {
            let mut p = Slice { start: vec![], len: vec![], step: vec![] };
            for &n in &shape {
                let (step, start) = (r.pick(&[1i64, 1, 2, -1, -3]), if n == 0 { 0 } else { r.below(n) });
                let room = if step > 0 { n - start } else { (start + 1).min(n) };
                p.len.push(r.below(room.div_ceil(step.unsigned_abs() as usize) + 1).into());
                p.start.push(start.into());
                p.step.push(step);
            }
            Op::Slice(p)
        }
        4 => {
            let window: Vec<usize> = shape.iter().map(|&n| r.below(n + 1)).collect();
            let starts: Vec<i64> = shape.iter().map(|_| r.within(-3, 6)).collect();
            return (Op::DynamicSlice { shape: dims(&window) }, vec![x, Tensor::i64(&[rank], &starts)]);
        }
        5 => {
            let mode = r.pick(&[PadMode::Constant, PadMode::Reflect, PadMode::Edge, PadMode::Wrap]);
            let shape = if mode == PadMode::Constant { shape } else { shape.iter().map(|&n| n.max(1)).collect() };
            // Crop at most what leaves an element.
            let least: Vec<i64> = shape.iter().map(|&n| -((n as i64 - 1) / 2).max(0)).collect();
            let mut amounts = || least.iter().map(|&l| r.within(l, 5).into()).collect::<Vec<Dim>>();
            let (lo, hi) = (amounts(), amounts());
            return (Op::Pad { lo, hi, mode }, vec![r.tensor(dtype, &shape, true), r.tensor(dtype, &[], false)]);
        }
        6 if rank > 0 => {
            let axis = r.below(rank);
            let mut args = vec![x];
            for _ in 0..r.below(3) {
                let mut other = shape.clone();
                other[axis] = r.below(4);
                args.push(r.tensor(dtype, &other, true));
            }
            return (Op::Concat { axis }, args);
        }
        _ => Op::Reverse { axes: r.subset(rank) },
    };
    (op, vec![x])
}

fn gather(r: &mut Rng) -> Case {
    let dtype = r.pick(&TYPES);
    let shape = r.shape(1..=4, 1);
    let x = r.tensor(dtype, &shape, true);
    let axis = r.below(shape.len());
    match r.below(3) {
        0 => {
            let at = r.shape(0..=2, 0);
            (Op::Gather { axis }, vec![x, r.indices(&at, shape[axis])])
        }
        1 => {
            let mut at = shape.clone();
            at[axis] = r.below(5);
            (Op::GatherElements { axis }, vec![x, r.indices(&at, shape[axis])])
        }
        _ => {
            let batch = r.below(shape.len());
            let k = 1 + r.below(shape.len() - batch);
            let lead = [shape[..batch].to_vec(), r.shape(0..=2, 1)].concat();
            (Op::GatherNd { batch }, vec![x, tuples(r, &lead, &shape[batch..batch + k])])
        }
    }
}

/// Index tuples of shape `lead`, each into axes of the extents `into`.
fn tuples(r: &mut Rng, lead: &[usize], into: &[usize]) -> Tensor {
    let mut next = 0;
    Tensor::build(I64, &[lead, &[into.len()]].concat(), |_| {
        let n = into[next % into.len()] as i64;
        next += 1;
        Num::Int(r.within(-n, n - 1).into())
    })
}

fn scatter(r: &mut Rng) -> Case {
    let dtype = r.pick(&[F32, F64, I64, I8, U16]);
    let shape = r.shape(1..=3, 1);
    let reduce = r.pick(&[None, Some(ReduceOp::Sum), Some(ReduceOp::Prod), Some(ReduceOp::Max), Some(ReduceOp::Min)]);
    let x = r.tensor(dtype, &shape, false);
    if r.flag() {
        let axis = r.below(shape.len());
        let part: Vec<usize> = shape.iter().map(|&n| r.below(n + 1)).collect();
        let (at, new) = (r.indices(&part, shape[axis]), r.tensor(dtype, &part, false));
        return (Op::Scatter(Scatter { mode: ScatterMode::Elements { axis }, reduce }), vec![x, at, new]);
    }
    let k = 1 + r.below(shape.len());
    let lead = r.shape(0..=2, 0);
    let new = r.tensor(dtype, &[&lead, &shape[k..]].concat(), false);
    (Op::Scatter(Scatter { mode: ScatterMode::Nd, reduce }), vec![x, tuples(r, &lead, &shape[..k]), new])
}

fn select(r: &mut Rng) -> Case {
    let shape = r.shape(1..=3, 1);
    let axis = r.below(shape.len());
    match r.below(3) {
        0 => {
            let dtype = r.pick(&[F32, F64, I32, U8]);
            let (k, largest) = (r.below(shape[axis] + 1).into(), r.flag());
            (Op::TopK(TopK { k, axis, largest }), vec![r.tensor(dtype, &shape, false)])
        }
        1 => {
            let dtype = r.pick(&TYPES);
            (Op::NonZero { count: Dim::sym("count") }, vec![r.tensor(dtype, &shape, true)])
        }
        _ => (Op::Iota { dtype: r.pick(&[F32, F64, I64, U8]), shape: dims(&shape), axis }, vec![]),
    }
}
