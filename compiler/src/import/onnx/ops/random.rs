//! Random numbers: drawn when the model is compiled, so that a compiled model is a function and gives the same for the same. They are
//! those of numpy's older generator (the Mersenne Twister), as for ONNX's reference. Without a seed the compiler chooses one, by the
//! node's place. How many there are must be known.

use beiming_ir::ops::{BinaryOp, Cumulative, Op, ReduceOp};
use beiming_ir::tensor::Tensor;
use beiming_ir::types::{DType, Dim};

use super::super::node::{Cx, R, bad_arguments, bad_attribute, unsupported};
use super::super::tensor;
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] = &[
    row("RandomUniform", &[1, 22], 0, |cx| random(cx, uniform, ("low", 0.0), ("high", 1.0))),
    row("RandomUniformLike", &[1, 22], 1, |cx| random(cx, uniform, ("low", 0.0), ("high", 1.0))),
    row("RandomNormal", &[1, 22], 0, |cx| random(cx, normal, ("mean", 0.0), ("scale", 1.0))),
    row("RandomNormalLike", &[1, 22], 1, |cx| random(cx, normal, ("mean", 0.0), ("scale", 1.0))),
    row("Bernoulli", &[15, 22], 1, bernoulli),
    row("Multinomial", &[7, 22], 1, multinomial),
    row("Dropout", &[1, 6, 7, 10, 12, 13, 22], 3, dropout),
];

/// Most numbers that one node draws.
const MAX_DRAWN: usize = 1 << 24;

/// The words of the generator's state.
const WORDS: usize = 624;

/// MT19937 of M. Matsumoto and T. Nishimura (1998), seeded by one number.
struct Twister {
    words: [u32; WORDS],
    at: usize,
    /// The second of two normal numbers that are drawn at once.
    spare: Option<f64>,
}

impl Twister {
    fn new(seed: u32) -> Twister {
        let mut words = [seed; WORDS];
        for i in 1..WORDS {
            let before = words[i - 1];
            words[i] = 1_812_433_253u32.wrapping_mul(before ^ before >> 30).wrapping_add(i as u32);
        }
        Twister { words, at: WORDS, spare: None }
    }

    fn word(&mut self) -> u32 {
        if self.at == WORDS {
            for i in 0..WORDS {
                let y = self.words[i] & 0x8000_0000 | self.words[(i + 1) % WORDS] & 0x7fff_ffff;
                let twist = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.words[i] = self.words[(i + 397) % WORDS] ^ y >> 1 ^ twist;
            }
            self.at = 0;
        }
        let mut y = self.words[self.at];
        self.at += 1;
        y ^= y >> 11;
        y ^= y << 7 & 0x9d2c_5680;
        y ^= y << 15 & 0xefc6_0000;
        y ^ y >> 18
    }

    /// From 0 up to 1, in steps of 2^-53.
    fn uniform(&mut self) -> f64 {
        let (high, low) = (self.word() >> 5, self.word() >> 6);
        (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
    }

    /// Of mean 0 and variance 1, by G. Marsaglia's polar method.
    fn normal(&mut self) -> f64 {
        if let Some(v) = self.spare.take() {
            return v;
        }
        loop {
            let (a, b) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = a * a + b * b;
            if square < 1.0 && square != 0.0 {
                let f = (-2.0 * libm::log(square) / square).sqrt();
                self.spare = Some(f * a);
                return f * b;
            }
        }
    }
}

fn uniform(g: &mut Twister, low: f64, high: f64) -> f64 {
    low + (high - low) * g.uniform()
}

fn normal(g: &mut Twister, mean: f64, scale: f64) -> f64 {
    mean + scale * g.normal()
}

/// The generator that a node means.
fn generator(cx: &Cx<'_, '_>, seed: Option<f64>) -> R<Twister> {
    match seed {
        Some(s) if (0.0..=f64::from(u32::MAX)).contains(&s) => Ok(Twister::new(s as u32)),
        Some(s) => bad_attribute(format!("attribute `seed` is {s}; it must be from 0 to {}", u32::MAX)),
        // FNV-1a.
        None => Ok(Twister::new(cx.loc.place.bytes().fold(0x811c_9dc5, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193)))),
    }
}

/// A constant of drawn numbers.
fn drawn(cx: &mut Cx<'_, '_>, dtype: DType, shape: &[Dim], mut draw: impl FnMut() -> f64) -> R {
    let known: Option<Vec<usize>> = shape.iter().map(|d| usize::try_from(d.known()?).ok()).collect();
    let Some(shape) = known else { return unsupported("random numbers of a shape that is not known") };
    match shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)) {
        Some(n) if n <= MAX_DRAWN => {
            let values: Vec<f64> = (0..n).map(|_| draw()).collect();
            Ok(cx.constant(Tensor::from_f64(dtype, &shape, &values)))
        }
        _ => unsupported(format!("more than {MAX_DRAWN} random numbers of one node")),
    }
}

/// The type by attribute `dtype`, or `default`.
fn wanted(cx: &Cx<'_, '_>, default: DType) -> R<DType> {
    match cx.int_opt("dtype")? {
        Some(code) => Ok(tensor::dtype(i32::try_from(code).unwrap_or(-1))?),
        None => Ok(default),
    }
}

/// Numbers of a shape, or of that of the input.
fn random(cx: &mut Cx<'_, '_>, draw: fn(&mut Twister, f64, f64) -> f64, first: (&str, f64), second: (&str, f64)) -> R<Vec<V>> {
    let (shape, dtype) = match cx.opt(0) {
        Some(x) => (cx.shape(x), wanted(cx, cx.dtype(x))?),
        None => match cx.int_list("shape")? {
            Some(s) if s.iter().all(|d| *d >= 0) => (s.into_iter().map(Dim::from).collect(), wanted(cx, DType::F32)?),
            _ => return bad_attribute("attribute `shape` must hold extents"),
        },
    };
    if !dtype.is_float() {
        return bad_attribute(format!("random numbers of type {dtype}; they must be floats"));
    }
    let (a, b) = (cx.float(first.0, first.1)?, cx.float(second.0, second.1)?);
    let mut g = generator(cx, cx.float_opt("seed")?)?;
    Ok(vec![drawn(cx, dtype, &shape, || draw(&mut g, a, b))?])
}

/// 1 with the given probabilities, else 0.
fn bernoulli(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let dtype = wanted(cx, cx.dtype(x))?;
    let mut g = generator(cx, cx.float_opt("seed")?)?;
    let shape = cx.shape(x);
    let u = drawn(cx, DType::F64, &shape, || g.uniform())?;
    let x = cx.cast(x, DType::F64)?;
    let hit = cx.binary(BinaryOp::Lt, u, x)?;
    Ok(vec![cx.cast(hit, dtype)?])
}

/// `[B, classes]` of logarithms of probabilities, which need no common sum, to `[B, samples]` of classes.
fn multinomial(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let dtype = wanted(cx, DType::I32)?;
    if cx.rank(x) != 2 || !matches!(dtype, DType::I32 | DType::I64) {
        return bad_arguments(format!("its data is {}, its result of type {dtype}", cx.ty(x)));
    }
    let samples = match cx.int("sample_size", 1)? {
        n @ 1.. => Dim::from(n),
        n => return bad_attribute(format!("attribute `sample_size` is {n}; it must be positive")),
    };
    let mut g = generator(cx, cx.float_opt("seed")?)?;
    let batch = cx.shape(x)[0].clone();
    let u = drawn(cx, DType::F64, &[batch, samples, 1.into()], || g.uniform())?;
    // The class is the number of those that end, in the sum of the probabilities so far, at or before the drawn number.
    let x = cx.cast(x, DType::F64)?;
    let p = cx.emit(Op::Softmax { axis: 1, log: false }, &[x])?;
    let sums = cx.emit(Op::Cumulative(Cumulative { op: ReduceOp::Sum, axis: 1, exclusive: false, reverse: false }), &[p])?;
    let last = cx.shape(x)[1].clone() - 1.into();
    let sums = cx.slice_axis(sums, 1, 0.into(), last)?;
    let sums = cx.unsqueeze(sums, 1)?;
    let past = cx.binary(BinaryOp::Le, sums, u)?;
    let past = cx.cast(past, dtype)?;
    Ok(vec![cx.reduce(ReduceOp::Sum, past, vec![2], false)?])
}

/// The data and a mask of ones; where the model says that it is training, elements are dropped and the others made larger.
fn dropout(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    if cx.since >= 12 && cx.opt(2).is_some() && cx.ints(2)? != [0] {
        return trained_dropout(cx, x);
    }
    let mut out = vec![x];
    if cx.wants(1) {
        let dtype = if cx.since >= 10 { DType::Bool } else { cx.dtype(x) };
        let one = cx.scalar(dtype, 1.0);
        let shape = cx.shape(x);
        out.push(cx.broadcast(one, shape)?);
    }
    Ok(out)
}

fn trained_dropout(cx: &mut Cx<'_, '_>, x: V) -> R<Vec<V>> {
    let ratio = match cx.opt(1) {
        Some(r) => {
            let r = cx.cast(r, DType::F64)?;
            cx.reshape(r, vec![])?
        }
        None => cx.scalar(DType::F64, 0.5),
    };
    let mut g = generator(cx, cx.int_opt("seed")?.map(|s| s as f64))?;
    let shape = cx.shape(x);
    let u = drawn(cx, DType::F64, &shape, || g.uniform())?;
    let mask = cx.binary(BinaryOp::Ge, u, ratio)?;
    let one = cx.scalar_like(ratio, 1.0);
    let kept = cx.binary(BinaryOp::Sub, one, ratio)?;
    let scale = cx.binary(BinaryOp::Div, one, kept)?;
    let scale = cx.cast(scale, cx.dtype(x))?;
    let scaled = cx.binary(BinaryOp::Mul, x, scale)?;
    let zero = cx.scalar_like(x, 0.0);
    Ok(vec![cx.select(mask, scaled, zero)?, mask])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_published_generator() {
        // The first and the ten-thousandth word for the seed 5489, as C++'s standard has them for its mt19937.
        let mut g = Twister::new(5489);
        assert_eq!(g.word(), 3_499_211_612);
        assert_eq!((1..10_000).map(|_| g.word()).last(), Some(4_123_659_995));
        // numpy.random.RandomState(0).rand(2) and .randn(3).
        let mut g = Twister::new(0);
        assert_eq!([g.uniform(), g.uniform()], [0.5488135039273248, 0.7151893663724195]);
        let mut g = Twister::new(0);
        assert_eq!([g.normal(), g.normal(), g.normal()], [1.764052345967664, 0.4001572083672233, 0.9787379841057392]);
    }
}
