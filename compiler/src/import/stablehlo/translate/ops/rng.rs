//! Random numbers. `rng_bit_generator` is a function of its state, bit for bit that of XLA: Threefry 2x32 (Salmon et al. 2011)
//! and Philox 4x32 with ten rounds. `DEFAULT` is Philox. `rng` has no state: its numbers are those of Threefry with a key that
//! counts the operations of the program, so every run gives the same.

use std::f64::consts::SQRT_2;

use beiming_ir::ops::{Op, Slice};
use beiming_ir::types::{DType, Dim};

use super::super::cx::Cx;
use super::super::math::{Ex, emit, special, value};
use super::super::value::Val;
use super::{Row, real};
use crate::import::build::Build;
use crate::import::extents;
use crate::import::fail::{R, bad_arguments, bad_attribute, unsupported};
use crate::import::frame::V;

pub const OPS: &[Row] = &[real("stablehlo.rng", rng), real("stablehlo.rng_bit_generator", bit_generator)];

/// Rotations of Threefry, four a group.
const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
/// The parity of Threefry's key schedule.
const PARITY: f64 = 0x1bd1_1bda_u32 as f64;
/// Multipliers and key increments of Philox.
const PHILOX: [(f64, f64); 2] =
    [(0xd251_1f53_u32 as f64, 0x9e37_79b9_u32 as f64), (0xcd9e_8d57_u32 as f64, 0xbb67_ae85_u32 as f64)];

/// The low and high half of 64 bits.
fn halves(x: &Ex) -> (Ex, Ex) {
    (x.cast(DType::U32), x.shr(32.0).cast(DType::U32))
}

fn rotated(x: &Ex, by: u32) -> Ex {
    x.shl(f64::from(by)).or(x.shr(f64::from(32 - by)))
}

/// Threefry of two words under a key of two: five groups of four rounds.
fn threefry(key: &(Ex, Ex), counter: (Ex, Ex)) -> (Ex, Ex) {
    let parity = key.0.xor(&key.1).xor(PARITY);
    let keys = [key.0.clone(), key.1.clone(), parity];
    let (mut x, mut y) = (&keys[0] + counter.0, &keys[1] + counter.1);
    for group in 0..5 {
        for r in ROTATIONS[group % 2] {
            x = &x + &y;
            y = x.xor(rotated(&y, r));
        }
        x = x + &keys[(group + 1) % 3];
        y = y + &keys[(group + 2) % 3] + (group + 1) as f64;
    }
    (x, y)
}

/// Philox of four words under a key of two: ten rounds.
fn philox(key: (Ex, Ex), counter: [Ex; 4]) -> [Ex; 4] {
    let (mut k0, mut k1) = key;
    let [mut a, mut b, mut c, mut d] = counter;
    for round in 0..10 {
        if round > 0 {
            k0 = k0 + PHILOX[0].1;
            k1 = k1 + PHILOX[1].1;
        }
        let product = |x: &Ex, m: f64| halves(&(x.cast(DType::U64) * m));
        let ((low0, high0), (low1, high1)) = (product(&a, PHILOX[0].0), product(&c, PHILOX[1].0));
        (a, b, c, d) = (high1.xor(b).xor(&k0), low1, high0.xor(d).xor(&k1), low0);
    }
    [a, b, c, d]
}

/// `0, 1, ..` as u64 in the shape of the result.
fn counts(cx: &mut Cx<'_, '_>, shape: &[usize]) -> R {
    let n = Dim::from(shape.iter().product::<usize>());
    let flat = cx.emit(Op::Iota { dtype: DType::U64, shape: vec![n], axis: 0 }, &[])?;
    cx.reshape(flat, shape.iter().map(|d| Dim::from(*d)).collect())
}

/// Most numbers of one operation.
const MOST: usize = 1 << 32;

fn word(cx: &mut Cx<'_, '_>, state: V, i: i64) -> R {
    let v = cx.slice_axis(state, 0, Dim::Known(i), 1.into())?;
    cx.reshape(v, vec![])
}

fn bit_generator(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let state = cx.plain(0)?;
    let words = cx.extent(state, 0, "the length of the state")?;
    let own = cx.dtype(state);
    if own != DType::U64 {
        return unsupported(format!("a state of {own}; u64 is supported"));
    }
    let shape = known(cx, 1)?;
    let to = cx.result_dtype(1)?;
    let (v, next) = match (cx.text("rng_algorithm")?, words) {
        ("THREE_FRY", 2) => three_fry(cx, state, &shape, to)?,
        ("PHILOX" | "DEFAULT", 2 | 3) => philox_bits(cx, state, words, &shape, to)?,
        ("THREE_FRY" | "PHILOX" | "DEFAULT", n) => return bad_arguments(format!("a state of {n} words")),
        (other, _) => return bad_attribute(format!("algorithm `{other}`; allowed are DEFAULT, THREE_FRY, PHILOX")),
    };
    Ok(vec![Val::Plain(next), Val::Plain(v)])
}

fn known(cx: &Cx<'_, '_>, result: usize) -> R<Vec<usize>> {
    let shape = cx.static_result(result)?;
    let shape: Vec<usize> = shape.iter().filter_map(|d| d.known().and_then(|k| usize::try_from(k).ok())).collect();
    let n = beiming_ir::tensor::numel(&shape).filter(|n| *n <= MOST);
    if n.is_some() { Ok(shape) } else { unsupported(format!("more than {MOST} random numbers at once")) }
}

/// Threefry's two words for each counter. 64-bit results take both; narrower ones have them side by side along the first
/// even axis (else the longest).
fn three_fry(cx: &mut Cx<'_, '_>, state: V, shape: &[usize], to: DType) -> R<(V, V)> {
    let (k, s) = (word(cx, state, 0)?, word(cx, state, 1)?);
    let key = halves(&value(k));
    if to.bits() == 64 {
        let n = counts(cx, shape)?;
        let (x, y) = threefry(&key, halves(&(value(n) + value(s))));
        let bits = x.cast(DType::U64).or(y.cast(DType::U64).shl(32.0)).bitcast(to);
        let v = emit(cx, &[&bits])?[0];
        return Ok((v, advanced(cx, k, s, shape.iter().product())?));
    }
    let scalar = shape.is_empty();
    let full = if scalar { vec![1] } else { shape.to_vec() };
    let longest = (0..full.len()).rev().max_by_key(|i| full[*i]).unwrap_or(0);
    let axis = (0..full.len()).find(|i| full[*i].is_multiple_of(2)).unwrap_or(longest);
    let mut half = full.clone();
    half[axis] = full[axis].div_ceil(2);
    let n = counts(cx, &half)?;
    let (x, y) = threefry(&key, halves(&(value(n) + value(s))));
    let v = emit(cx, &[&x, &y])?;
    let mut paired: Vec<Dim> = half.iter().map(|d| Dim::from(*d)).collect();
    paired.insert(axis + 1, 1.into());
    let v = v.iter().map(|v| cx.reshape(*v, paired.clone())).collect::<R<Vec<V>>>()?;
    let both = cx.concat(&v, axis + 1)?;
    let mut joined: Vec<Dim> = half.iter().map(|d| Dim::from(*d)).collect();
    joined[axis] = Dim::from(2 * half[axis]);
    let both = cx.reshape(both, joined)?;
    let both = cx.slice_axis(both, axis, 0.into(), Dim::Known(full[axis] as i64))?;
    let both = cx.reshape(both, shape.iter().map(|d| Dim::from(*d)).collect())?;
    Ok((narrowed(cx, both, to)?, advanced(cx, k, s, half.iter().product())?))
}

/// The state after `n` counters.
fn advanced(cx: &mut Cx<'_, '_>, key: V, counter: V, n: usize) -> R {
    let counter = cx.with(beiming_ir::ops::BinaryOp::Add, counter, n as f64)?;
    let words = [cx.reshape(key, vec![1.into()])?, cx.reshape(counter, vec![1.into()])?];
    cx.concat(&words, 0)
}

/// 32 random bits as elements of at most 32 bits: the low ones.
fn narrowed(cx: &mut Cx<'_, '_>, v: V, to: DType) -> R {
    let unsigned = match to.bits() {
        32 => DType::U32,
        16 => DType::U16,
        8 => DType::U8,
        n => return unsupported(format!("random elements of {n} bits")),
    };
    let v = cx.cast(v, unsigned)?;
    if unsigned == to { Ok(v) } else { cx.emit(Op::Bitcast { to }, &[v]) }
}

/// Philox's four words for each counter of 128 bits, in order.
fn philox_bits(cx: &mut Cx<'_, '_>, state: V, words: usize, shape: &[usize], to: DType) -> R<(V, V)> {
    let n: usize = shape.iter().product();
    let per = if to.bits() == 64 { 2 } else { 4 };
    let blocks = n.div_ceil(per);
    let (k, low) = (word(cx, state, 0)?, word(cx, state, 1)?);
    // Of a state of two words the key is the counter's upper half as well, as XLA has it.
    let high = if words == 3 { value(word(cx, state, 2)?) } else { value(k) };
    let count = counts(cx, &[blocks])?;
    let first = value(low) + value(count);
    let second = &high + first.lt(value(low)).cast(DType::U64);
    let ((c0, c1), (c2, c3)) = (halves(&first), halves(&second));
    let out = philox(halves(&value(k)), [c0, c1, c2, c3]);
    let parts: Vec<Ex> = if per == 2 {
        let joined = |a: &Ex, b: &Ex| a.cast(DType::U64).or(b.cast(DType::U64).shl(32.0));
        vec![joined(&out[0], &out[1]), joined(&out[2], &out[3])]
    } else {
        out.to_vec()
    };
    let parts = emit(cx, &parts.iter().collect::<Vec<_>>())?;
    let column = vec![Dim::from(blocks), 1.into()];
    let parts = parts.iter().map(|v| cx.reshape(*v, column.clone())).collect::<R<Vec<V>>>()?;
    let flat = cx.concat(&parts, 1)?;
    let flat = cx.reshape(flat, vec![Dim::from(blocks * per)])?;
    let flat = if blocks * per == n {
        flat
    } else {
        cx.emit(Op::Slice(Slice { start: vec![0.into()], len: vec![Dim::from(n)], step: vec![1] }), &[flat])?
    };
    let v = cx.reshape(flat, shape.iter().map(|d| Dim::from(*d)).collect())?;
    let v = if to.bits() == 64 {
        if to == DType::U64 { v } else { cx.emit(Op::Bitcast { to }, &[v])? }
    } else {
        narrowed(cx, v, to)?
    };
    let next_low = value(low) + blocks as f64;
    let next_high = &high + next_low.lt(value(low)).cast(DType::U64);
    let mut next = vec![k, emit(cx, &[&next_low])?[0]];
    if words == 3 {
        next.push(emit(cx, &[&next_high])?[0]);
    }
    let next = next.iter().map(|v| cx.reshape(*v, vec![1.into()])).collect::<R<Vec<V>>>()?;
    Ok((v, cx.concat(&next, 0)?))
}

/// Numbers of a distribution, `UNIFORM` between `a` and `b` or `NORMAL` about `a` with deviation `b`.
fn rng(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (a, b) = (cx.plain(0)?, cx.plain(1)?);
    let own = cx.dtype(a);
    let shape: Vec<usize> = match cx.result_shape(0)? {
        Some(declared) => {
            // A shape that only the run knows is the declared one.
            let given = cx.plain(2)?;
            if cx.top().dims_of(given).is_none() {
                extents::expect(cx, given, &declared)?;
            }
            known(cx, 0)?
        }
        None => cx.known(2)?.iter().filter_map(|d| usize::try_from(*d).ok()).collect(),
    };
    // Another key for every operation: by its result, and by the values that the graph has so far.
    let result = cx.op.results.first().map_or(0, |v| v.0);
    let number = f64::from(result) * 4096.0 + cx.top().graph.values().len() as f64;
    let n = counts(cx, &shape)?;
    let key = value(n) * 0.0;
    let key = (key.cast(DType::U32) + 0x5eed as f64, key.cast(DType::U32) + (number % f64::from(u32::MAX)));
    let (x, y) = threefry(&key, halves(&value(n)));
    let bits = x.cast(DType::U64).shl(21.0).xor(y.cast(DType::U64)).shl(11.0).shr(11.0);
    let (a, b) = (value(a), value(b));
    let normal = cx.text("rng_distribution")? == "NORMAL";
    let e = if own.is_float() {
        // In the middle of 2^53 equal steps: neither zero nor one.
        let u = (bits.cast(DType::F64) + 0.5) * 2f64.powi(-53);
        let (wa, wb) = (a.cast(DType::F64), b.cast(DType::F64));
        let v = if normal { special::erf_inv(&(u * 2.0 - 1.0), 2) * SQRT_2 * wb + wa } else { (&wb - &wa) * u + &wa };
        let v = v.cast(own);
        if normal { v } else { v.lt(&b).pick(&v, &a) }
    } else if own == DType::Bool {
        x.shr(31.0).ne(0.0)
    } else {
        let span = &b - &a;
        let r = bits.join(beiming_ir::ops::BinaryOp::Rem, span.cast(DType::U64));
        r.cast(own) + a
    };
    Ok(vec![Val::Plain(emit(cx, &[&e])?[0])])
}
