//! Matrix product.
//!
//! Floats accumulate in `f64` along the depth, in order, and are rounded once to the result type. Integers accumulate modulo
//! 2^64 and wrap to the result type, which is exact for every result type.

use super::InferError;
#[cfg(doc)]
use super::Op;
use super::infer::{arity, broadcast_shapes, unify_extent};
use super::walk::{broadcast_known, broadcast_strides, rows};
use crate::eval::EvalError;
use crate::graph::Graph;
use crate::tensor::{Num, Tensor};
use crate::types::{DType, TensorType};

/// Result type of [`Op::MatMul`]. Floats: both arguments of one type, any float result. Integers: any two integer types, a
/// result of 32 or 64 bits.
pub(super) fn infer_matmul(out: DType, inputs: &[&TensorType], g: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 2)?;
    let (a, b) = (inputs[0], inputs[1]);
    let floats = a.dtype.is_float() && a.dtype == b.dtype && out.is_float();
    let ints = a.dtype.is_int() && b.dtype.is_int() && out.is_int() && out.bits() >= 32;
    InferError::check(floats || ints, || {
        format!("takes two of one float type to a float, or integers to an integer of 32 or 64 bits, got {a} and {b} to {out}")
    })?;
    InferError::check(a.rank() >= 2 && b.rank() >= 2, || format!("takes arguments of rank two or more, got {a} and {b}"))?;
    let (batch_a, am) = a.shape.split_at(a.rank() - 2);
    let (batch_b, bm) = b.shape.split_at(b.rank() - 2);
    unify_extent(&am[1], &bm[0], &g.symbols)
        .map_err(|e| e.said(|why| format!("the depths of {a} and {b} do not agree: {why}")))?;
    let mut shape = broadcast_shapes(batch_a, batch_b, &g.symbols)?;
    shape.extend([am[0].clone(), bm[1].clone()]);
    Ok(vec![TensorType { dtype: out, shape }])
}

/// Result of [`Op::MatMul`].
pub(crate) fn eval_matmul(out: DType, args: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    let [a, b] = args else { return EvalError::fail("takes 2 arguments") };
    if a.shape.len() < 2 || b.shape.len() < 2 {
        return EvalError::fail("takes arguments of rank two or more");
    }
    let (batch_a, am) = a.shape.split_at(a.shape.len() - 2);
    let (batch_b, bm) = b.shape.split_at(b.shape.len() - 2);
    let Some(batch) = broadcast_known(batch_a, batch_b).filter(|_| am[1] == bm[0]) else {
        return EvalError::fail(format!("shapes {:?} and {:?} do not multiply", a.shape, b.shape));
    };
    let (m, k, n) = (am[0], am[1], bm[1]);
    // Which matrix of each argument every result matrix is the product of.
    let (sa, sb) = (broadcast_strides(batch_a, &batch), broadcast_strides(batch_b, &batch));
    let mut pairs = vec![];
    rows(&batch, [&sa, &sb], |at, step, n| pairs.extend((0..n).map(|i| (at[0] + i * step[0], at[1] + i * step[1]))));
    let shape = [batch.as_slice(), &[m, n]].concat();
    if out.is_float() {
        let c = products(&a.to_f64(), &b.to_f64(), &pairs, [m, k, n], 0.0, |c, a, b| c + a * b);
        return Ok(vec![Tensor::from_f64(out, &shape, &c)]);
    }
    let c = products(&a.to_i64(), &b.to_i64(), &pairs, [m, k, n], 0, wrapping);
    Ok(vec![Tensor::build(out, &shape, |i| Num::Int(c[i].into()))])
}

fn products<T: Copy>(
    a: &[T],
    b: &[T],
    pairs: &[(usize, usize)],
    [m, k, n]: [usize; 3],
    zero: T,
    mad: impl Fn(T, T, T) -> T + Copy,
) -> Vec<T> {
    let mut c = vec![zero; pairs.len() * m * n];
    for (o, &(i, j)) in pairs.iter().enumerate() {
        let c = &mut c[o * m * n..(o + 1) * m * n];
        accumulate(c, &a[i * m * k..(i + 1) * m * k], &b[j * k * n..(j + 1) * k * n], [m, k, n], mad);
    }
    c
}

/// Multiply-accumulate modulo 2^64.
pub(super) fn wrapping(c: i64, a: i64, b: i64) -> i64 {
    c.wrapping_add(a.wrapping_mul(b))
}

/// Columns a block of [`accumulate`] goes over: four rows of them stay in the first-level cache.
const COLUMNS: usize = 512;

/// `c[m, n] += a[m, k] * b[k, n]`, all dense; every element adds its products in order of the depth.
pub(super) fn accumulate<T: Copy>(c: &mut [T], a: &[T], b: &[T], [m, k, n]: [usize; 3], mad: impl Fn(T, T, T) -> T + Copy) {
    for left in (0..n).step_by(COLUMNS) {
        let width = COLUMNS.min(n - left);
        let mut i = 0;
        // Four rows at a time read each row of `b` once for the four.
        while i + 4 <= m {
            let mut it = c[i * n..(i + 4) * n].chunks_exact_mut(n).map(|row| &mut row[left..left + width]);
            let (Some(c0), Some(c1), Some(c2), Some(c3)) = (it.next(), it.next(), it.next(), it.next()) else { break };
            for p in 0..k {
                let b = &b[p * n + left..p * n + left + width];
                let [a0, a1, a2, a3] = [a[i * k + p], a[(i + 1) * k + p], a[(i + 2) * k + p], a[(i + 3) * k + p]];
                for j in 0..width {
                    c0[j] = mad(c0[j], a0, b[j]);
                    c1[j] = mad(c1[j], a1, b[j]);
                    c2[j] = mad(c2[j], a2, b[j]);
                    c3[j] = mad(c3[j], a3, b[j]);
                }
            }
            i += 4;
        }
        for i in i..m {
            let c = &mut c[i * n + left..i * n + left + width];
            for p in 0..k {
                let a = a[i * k + p];
                for (c, b) in c.iter_mut().zip(&b[p * n + left..p * n + left + width]) {
                    *c = mad(*c, a, *b);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::eval::{Dims, op};
    use crate::ops::Op;
    use crate::types::{Dim, Symbols};

    fn run(out: DType, a: &Tensor, b: &Tensor) -> Result<Tensor, EvalError> {
        op(&Op::MatMul { out }, &[a.clone(), b.clone()], &Graph::default(), &Dims::new()).map(|mut t| t.remove(0))
    }

    #[test]
    fn products_by_hand() {
        let a = Tensor::f32(&[2, 3], &[1., 2., 3., 4., 5., 6.]);
        let b = Tensor::f32(&[3, 2], &[7., 8., 9., 10., 11., 12.]);
        let c = run(DType::F32, &a, &b).unwrap();
        assert_eq!((c.shape.as_slice(), c.to_f64()), ([2, 2].as_slice(), vec![58., 64., 139., 154.]));
        // No depth: sums of nothing. No rows: nothing.
        let c = run(DType::F32, &Tensor::f32(&[2, 0], &[]), &Tensor::f32(&[0, 3], &[])).unwrap();
        assert_eq!((c.shape.as_slice(), c.to_f64()), ([2, 3].as_slice(), vec![0.; 6]));
        let c = run(DType::F32, &Tensor::f32(&[0, 3], &[]), &b).unwrap();
        assert_eq!(c.shape, [0, 2]);
    }

    #[test]
    fn accumulation_is_wide() {
        // In f16 the sum of 4096 ones stops at 2048.
        let one = |shape: &[usize]| Tensor::build(DType::F16, shape, |_| Num::Float(1.0));
        assert_eq!(run(DType::F16, &one(&[1, 4096]), &one(&[4096, 1])).unwrap().to_f64(), [4096.0]);
        let c = run(DType::F32, &Tensor::f32(&[1, 3], &[1e8, 1.0, -1e8]), &Tensor::f32(&[3, 1], &[1.0; 3])).unwrap();
        assert_eq!(c.to_f64(), [1.0]);
        let (a, b) =
            (Tensor::build(DType::U8, &[1, 3], |_| Num::Int(255)), Tensor::build(DType::I8, &[3, 1], |_| Num::Int(-128)));
        assert_eq!(run(DType::I32, &a, &b).unwrap().to_i64(), [-97920]);
        let big = |v: i64| Tensor::i64(&[1, 1], &[v]);
        assert_eq!(run(DType::I64, &big(i64::MAX), &big(3)).unwrap().to_i64(), [i64::MAX.wrapping_mul(3)]);
        let u = |v: u64| Tensor::build(DType::U64, &[1, 1], |_| Num::Int(v.into()));
        assert_eq!(run(DType::U64, &u(u64::MAX), &u(2)).unwrap().get(0), Num::Int((u64::MAX - 1).into()));
    }

    #[test]
    fn not_a_number_is_not_skipped() {
        let c = run(DType::F32, &Tensor::f32(&[1, 2], &[0.0, 1.0]), &Tensor::f32(&[2, 1], &[f32::INFINITY, 1.0])).unwrap();
        assert!(c.to_f64()[0].is_nan());
    }

    #[test]
    fn shapes() {
        let mut symbols = Symbols::default();
        symbols.declare("N", 1, 64);
        let g = Graph::new("", symbols);
        let ty = |dtype, s: &str| TensorType::new(dtype, s.split_whitespace().map(|d| d.parse().unwrap()).collect::<Vec<Dim>>());
        let at = |out, a: &TensorType, b: &TensorType| {
            crate::ops::infer(&Op::MatMul { out }, &[a, b], &g).map(|t| t[0].to_string()).map_err(|e| e.to_string())
        };
        let f32s = |a, b| at(DType::F32, &ty(DType::F32, a), &ty(DType::F32, b));
        for (a, b, want) in [
            ("2 3", "3 4", "f32[2, 4]"),
            ("N 12 5 64", "N 12 64 5", "f32[N, 12, 5, 5]"),
            ("7 1 2 3", "5 3 4", "f32[7, 5, 2, 4]"),
            ("N M", "8 4", "f32[N, 4]"),
        ] {
            assert_eq!(f32s(a, b).as_deref(), Ok(want));
        }
        for (a, b, want) in [
            ("3", "3 4", "rank two or more"),
            ("2 3", "4 5", "the depths of f32[2, 3] and f32[4, 5] do not agree: extents 3 and 4 differ"),
            ("2 2 3", "3 3 4", "do not broadcast"),
            ("2 N", "65 4", "`N` is 1..=64"),
        ] {
            let e = f32s(a, b).unwrap_err();
            assert!(e.starts_with("matmul: ") && e.contains(want), "{e}");
        }
        let (i, f) = (ty(DType::I8, "2 2"), ty(DType::F32, "2 2"));
        assert_eq!(at(DType::I32, &i, &ty(DType::U8, "2 2")).as_deref(), Ok("i32[2, 2]"));
        assert!(at(DType::I8, &i, &i).is_err() && at(DType::F32, &i, &i).is_err() && at(DType::F32, &f, &i).is_err());
    }

    proptest! {
        /// Against sums over indices, in exact arithmetic, for broadcast batches.
        #[test]
        fn follows_the_definition(
            batch in prop::collection::vec(0usize..3, 0..3), a_ones in any::<u8>(), b_ones in any::<u8>(), drop in 0usize..3,
            (m, k, n) in (0usize..10, 0usize..6, 0usize..6), seed in any::<u32>(),
        ) {
            let side = |ones: u8, skip: usize, tail: [usize; 2]| -> Vec<usize> {
                let lead = batch.iter().enumerate().map(|(i, &d)| if ones >> i & 1 == 1 { 1 } else { d });
                lead.skip(skip.min(batch.len())).chain(tail).collect()
            };
            let (sa, sb) = (side(a_ones & !b_ones, 0, [m, k]), side(b_ones, drop, [k, n]));
            let value = |i: usize, s: u32| Num::Int(((i as u32).wrapping_mul(2654435761).wrapping_add(s) >> 20) as i128 - 2048);
            for (dtype, out) in [(DType::F32, DType::F64), (DType::I32, DType::I64), (DType::I16, DType::I32)] {
                let a = Tensor::build(dtype, &sa, |i| value(i, seed));
                let b = Tensor::build(dtype, &sb, |i| value(i, !seed));
                let c = run(out, &a, &b).unwrap();
                let (da, db) = (sa[..sa.len() - 2].to_vec(), sb[..sb.len() - 2].to_vec());
                let full = broadcast_known(&da, &db).unwrap();
                let (ta, tb) = (broadcast_strides(&da, &full), broadcast_strides(&db, &full));
                let dense = crate::ops::walk::dense_strides(&full);
                for (flat, got) in c.to_i64().into_iter().enumerate() {
                    let (mat, i, j) = (flat / (m * n), flat / n % m, flat % n);
                    let at = |t: &[usize]| -> usize { (0..full.len()).map(|x| mat / dense[x] % full[x] * t[x]).sum() };
                    let want: i128 = (0..k)
                        .map(|p| a.get((at(&ta) * m + i) * k + p).to_i128() * b.get((at(&tb) * k + p) * n + j).to_i128())
                        .sum();
                    prop_assert_eq!(i128::from(got), want);
                }
            }
        }
    }

    #[test]
    fn wide_results_cross_the_column_block() {
        let (m, k, n) = (6, 3, COLUMNS + 3);
        let a = Tensor::build(DType::F32, &[m, k], |i| Num::Float(i as f64));
        let b = Tensor::build(DType::F32, &[k, n], |i| Num::Float((i % 7) as f64));
        let c = run(DType::F32, &a, &b).unwrap().to_f64();
        for (i, j) in (0..m).flat_map(|i| [0, 1, COLUMNS - 1, COLUMNS, n - 1].map(|j| (i, j))) {
            let want: f64 = (0..k).map(|p| ((i * k + p) * ((p * n + j) % 7)) as f64).sum();
            assert_eq!(c[i * n + j], want);
        }
    }
}
