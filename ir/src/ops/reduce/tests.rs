//! Reductions against hand-computed values, and against sums over indices on generated shapes.

use proptest::prelude::*;

use super::*;
use crate::eval::{Dims, EvalError, op};
use crate::graph::Graph;
use crate::ops::Op;
use crate::tensor::Tensor;

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

fn run(o: Op, x: &Tensor) -> Result<Tensor, EvalError> {
    op(&o, std::slice::from_ref(x), &Graph::default(), &Dims::new()).map(|mut t| t.remove(0))
}

fn f32s(shape: &[usize], v: &[f64]) -> Tensor {
    Tensor::from_f64(DType::F32, shape, v)
}

fn reduce(op: ReduceOp, axes: &[usize], keep: bool) -> Op {
    Op::Reduce { op, axes: axes.to_vec(), keep }
}

/// Equal up to rounding to f32, NaN equal to NaN.
fn near(a: &[f64], b: &[f64]) -> bool {
    let close = |x: &f64, y: &f64| x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= 1e-6 * y.abs().max(1e-6);
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| close(x, y))
}

#[test]
fn reductions_by_hand() {
    use ReduceOp::*;
    let x = f32s(&[2, 3], &[1., 2., 3., 4., 5., 6.]);
    type Case<'a> = (ReduceOp, &'a [usize], bool, &'a [usize], &'a [f64]);
    let cases: &[Case] = &[
        (Sum, &[0], false, &[3], &[5., 7., 9.]),
        (Sum, &[1], true, &[2, 1], &[6., 15.]),
        (Prod, &[0, 1], false, &[], &[720.]),
        (Max, &[0, 1], true, &[1, 1], &[6.]),
        (Min, &[1], false, &[2], &[1., 4.]),
        (Mean, &[0], false, &[3], &[2.5, 3.5, 4.5]),
        (Mean, &[], false, &[2, 3], &[1., 2., 3., 4., 5., 6.]),
    ];
    for (o, axes, keep, shape, want) in cases {
        let t = run(reduce(*o, axes, *keep), &x).unwrap();
        assert_eq!((t.shape.as_slice(), t.to_f64().as_slice()), (*shape, *want), "{o:?} {axes:?}");
    }
    let scalar = run(reduce(Sum, &[], true), &f32s(&[], &[3.])).unwrap();
    assert_eq!((scalar.shape.len(), scalar.to_f64()), (0, vec![3.]));
}

#[test]
fn over_nothing() {
    use ReduceOp::*;
    let over = |o, dtype| run(reduce(o, &[1], false), &Tensor::from_f64(dtype, &[2, 0], &[])).unwrap();
    for (o, want) in [(Sum, 0.), (Prod, 1.), (Max, -INF), (Min, INF), (Mean, NAN)] {
        assert!(near(&over(o, DType::F32).to_f64(), &[want; 2]), "{o:?}");
    }
    assert_eq!(over(Max, DType::F8E4M3FN).to_f64(), [-448.; 2]);
    assert_eq!(over(Max, DType::I8).to_i64(), [-128; 2]);
    assert_eq!(over(Min, DType::I8).to_i64(), [127; 2]);
    assert_eq!((over(All, DType::Bool).to_i64(), over(Any, DType::Bool).to_i64()), (vec![1; 2], vec![0; 2]));
    assert_eq!(run(reduce(Sum, &[1], false), &f32s(&[0, 2], &[])).unwrap().shape, [0]);
}

#[test]
fn not_a_number_wins_and_sums_are_wide() {
    for v in [[NAN, 1.], [1., NAN]] {
        for o in [ReduceOp::Max, ReduceOp::Min] {
            assert!(run(reduce(o, &[0], false), &f32s(&[2], &v)).unwrap().to_f64()[0].is_nan());
        }
    }
    assert_eq!(run(reduce(ReduceOp::Max, &[0], false), &f32s(&[2], &[-INF, -INF])).unwrap().to_f64(), [-INF]);
    assert_eq!(run(reduce(ReduceOp::Sum, &[0], false), &f32s(&[3], &[1e8, 1., -1e8])).unwrap().to_f64(), [1.]);
    let half = Tensor::from_f64(DType::F16, &[4096], &[1.0; 4096]);
    assert_eq!(run(reduce(ReduceOp::Sum, &[0], false), &half).unwrap().to_f64(), [4096.]);
    let bytes = Tensor::build(DType::I8, &[3], |_| Num::Int(100));
    assert_eq!(run(reduce(ReduceOp::Sum, &[0], false), &bytes).unwrap().to_i64(), [44]);
    let big = Tensor::i64(&[3], &[i64::MAX, 3, 5]);
    let want = i64::MAX.wrapping_mul(15);
    assert_eq!(run(reduce(ReduceOp::Prod, &[0], false), &big).unwrap().to_i64(), [want]);
}

#[test]
fn positions_of_extremes() {
    let at = |v: &[f64], max, last| {
        let o = Op::ArgReduce { max, axis: 0, keep: false, last };
        run(o, &f32s(&[v.len()], v)).unwrap().to_i64()[0]
    };
    for (v, max, last, want) in [
        (&[1., 3., 3., 2.][..], true, false, 1),
        (&[1., 3., 3., 2.], true, true, 2),
        (&[1., 3., 1.], false, false, 0),
        (&[1., 3., 1.], false, true, 2),
        (&[1., NAN, INF, NAN], true, false, 1),
        (&[1., NAN, INF, NAN], true, true, 3),
        (&[1., NAN, -INF, NAN], false, false, 1),
        (&[-INF, -INF], true, false, 0),
        (&[0., -0.], true, true, 1),
    ] {
        assert_eq!(at(v, max, last), want, "{v:?} {max} {last}");
    }
    let x = Tensor::build(DType::U64, &[2, 2], |i| Num::Int([u64::MAX, 1, 0, 2][i].into()));
    let t = run(Op::ArgReduce { max: true, axis: 1, keep: true, last: false }, &x).unwrap();
    assert_eq!((t.shape.as_slice(), t.to_i64()), ([2, 1].as_slice(), vec![0, 1]));
    let e = run(Op::ArgReduce { max: true, axis: 0, keep: false, last: false }, &f32s(&[0, 2], &[])).unwrap_err();
    assert!(e.0.contains("no elements to choose from"), "{e}");
}

#[test]
fn running_reductions_by_hand() {
    use ReduceOp::*;
    let cases: &[(ReduceOp, bool, bool, [f64; 4])] = &[
        (Sum, false, false, [1., 4., 6., 7.]),
        (Sum, true, false, [0., 1., 4., 6.]),
        (Sum, false, true, [7., 6., 3., 1.]),
        (Sum, true, true, [6., 3., 1., 0.]),
        (Prod, true, false, [1., 1., 3., 6.]),
        (Max, false, false, [1., 3., 3., 3.]),
        (Max, true, false, [-INF, 1., 3., 3.]),
        (Min, true, true, [1., 1., 1., INF]),
    ];
    for &(o, exclusive, reverse, want) in cases {
        let op = Op::Cumulative(Cumulative { op: o, axis: 1, exclusive, reverse });
        assert_eq!(run(op, &f32s(&[1, 4, 1], &[1., 3., 2., 1.])).unwrap().to_f64(), want, "{o:?} {exclusive} {reverse}");
    }
    let op = Op::Cumulative(Cumulative { op: Sum, axis: 0, exclusive: false, reverse: false });
    let bytes = Tensor::build(DType::U8, &[3], |_| Num::Int(100));
    assert_eq!(run(op.clone(), &bytes).unwrap().to_i64(), [100, 200, 44]);
    assert_eq!(run(op, &f32s(&[2, 2], &[1., 2., 3., 4.])).unwrap().to_f64(), [1., 2., 4., 6.]);
}

#[test]
fn softmax_by_hand() {
    let soft = |v: &[f64], log| run(Op::Softmax { axis: 0, log }, &f32s(&[v.len()], v)).unwrap().to_f64();
    let (e, s) = (std::f64::consts::E, 1.0 + std::f64::consts::E);
    assert!(near(&soft(&[0., 1.], false), &[1. / s, e / s]));
    assert!(near(&soft(&[0., 1.], true), &[-s.ln(), 1. - s.ln()]));
    assert!(near(&soft(&[1e30, 1e30, -1e30], false), &[0.5, 0.5, 0.]));
    assert!(near(&soft(&[-INF, 3.], false), &[0., 1.]));
    assert!(near(&soft(&[-INF, -INF], false), &[NAN, NAN]));
    assert!(near(&soft(&[1., NAN], false), &[NAN, NAN]));
    assert!(soft(&[], false).is_empty());
    // Along an axis that is not the last.
    let t = run(Op::Softmax { axis: 0, log: false }, &f32s(&[2, 2], &[0., 5., 1., 5.])).unwrap();
    assert!(near(&t.to_f64(), &[1. / s, 0.5, e / s, 0.5]));
}

#[test]
fn normalisations_by_hand() {
    let norm =
        |kind, eps: f64, v: &[f64]| run(Op::Norm { kind, axis: 1, eps: eps.into() }, &f32s(&[1, v.len()], v)).unwrap().to_f64();
    let root = (2.0f64 / 3.0).sqrt();
    assert!(near(&norm(NormKind::Layer, 0.0, &[1., 2., 3.]), &[-1. / root, 0., 1. / root]));
    assert!(near(&norm(NormKind::Rms, 0.5, &[3., 4.]), &[3. / 13f64.sqrt(), 4. / 13f64.sqrt()]));
    assert!(near(&norm(NormKind::Layer, 1.0, &[7., 7.]), &[0., 0.]));
    assert!(near(&norm(NormKind::Layer, 0.0, &[7., 7.]), &[NAN, NAN]));
    // A mean far from the deviations: one pass in f32 would lose them.
    assert!(near(&norm(NormKind::Layer, 0.0, &[1e6, 1e6 + 2.]), &[-1., 1.]));
}

#[test]
fn misuse_is_refused() {
    let infer = |o: Op, dtype, shape: &[usize]| {
        crate::ops::infer(&o, &[&TensorType::known(dtype, shape)], &Graph::default()).map_err(|e| e.to_string())
    };
    for (o, dtype, want) in [
        (reduce(ReduceOp::Mean, &[0], true), DType::I32, "reduce_mean: does not take i32"),
        (reduce(ReduceOp::All, &[0], true), DType::I32, "reduce_all: does not take i32"),
        (reduce(ReduceOp::Sum, &[0], true), DType::Bool, "reduce_sum: does not take bool"),
        (reduce(ReduceOp::Sum, &[1, 0], true), DType::F32, "reduce_sum: axes [1, 0] are not sorted"),
        (reduce(ReduceOp::Sum, &[0, 0], true), DType::F32, "reduce_sum: axes [0, 0] are not sorted"),
        (reduce(ReduceOp::Sum, &[2], true), DType::F32, "reduce_sum: axis 2 is out of range for f32[2, 3], of rank 2"),
        (Op::Softmax { axis: 2, log: true }, DType::F32, "log_softmax: axis 2 is out of range"),
        (Op::Softmax { axis: 0, log: false }, DType::I8, "softmax: takes floats"),
        (
            Op::Cumulative(Cumulative { op: ReduceOp::Mean, axis: 0, exclusive: false, reverse: false }),
            DType::F32,
            "cumulative: runs sum, prod, max or min, not mean",
        ),
    ] {
        let e = infer(o, dtype, &[2, 3]).unwrap_err();
        assert!(e.starts_with(want), "{e}");
    }
}

proptest! {
    /// Every reduction against a fold over all indices, any axes, f32 and integers.
    #[test]
    fn reductions_follow_the_definition(shape in prop::collection::vec(0usize..4, 0..5), pick in any::<u8>(), keep in any::<bool>(),
        v in prop::collection::vec(-50i32..50, 256)) {
        let axes: Vec<usize> = (0..shape.len()).filter(|i| pick >> i & 1 == 1).collect();
        for o in [ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min, ReduceOp::Mean, ReduceOp::Prod] {
            for dtype in [DType::F32, DType::I64] {
                if !o.takes(dtype) {
                    continue;
                }
                let x = Tensor::build(dtype, &shape, |i| Num::Int(v[i].into()));
                let got = run(reduce(o, &axes, keep), &x).unwrap();
                let outer: Vec<usize> = (0..shape.len()).filter(|i| !axes.contains(i)).map(|i| shape[i]).collect();
                let mut groups: Vec<Vec<f64>> = vec![vec![]; outer.iter().product()];
                for (flat, element) in v[..x.len()].iter().enumerate() {
                    let (mut rest, mut to, mut scale) = (flat, 0, 1);
                    for i in (0..shape.len()).rev() {
                        if !axes.contains(&i) {
                            to += rest % shape[i] * scale;
                            scale *= shape[i];
                        }
                        rest /= shape[i];
                    }
                    groups[to].push((*element).into());
                }
                let want: Vec<f64> = groups.iter().map(|g| match o {
                    ReduceOp::Sum => g.iter().sum(),
                    ReduceOp::Prod => g.iter().product(),
                    ReduceOp::Mean => g.iter().sum::<f64>() / g.len() as f64,
                    ReduceOp::Max if g.is_empty() => o.identity(dtype).to_f64(),
                    ReduceOp::Max => g.iter().copied().fold(-INF, f64::max),
                    _ if g.is_empty() => o.identity(dtype).to_f64(),
                    _ => g.iter().copied().fold(INF, f64::min),
                }).collect();
                // Products past the integers' width wrap; they are tested by hand.
                if o == ReduceOp::Prod && want.iter().any(|w| w.abs() > 9e15) {
                    continue;
                }
                prop_assert!(near(&got.to_f64(), &want), "{:?} {} {:?}: {:?} {:?}", o, dtype, axes, got.to_f64(), want);
            }
        }
    }

    /// Rows of a softmax sum to one, its logarithm is the logarithm, and it does not move with its argument.
    #[test]
    fn softmax_laws(v in prop::collection::vec(-30f64..30.0, 1..20), shift in -1e3f64..1e3) {
        let at = |v: &[f64], log| run(Op::Softmax { axis: 0, log }, &Tensor::from_f64(DType::F64, &[v.len()], v)).unwrap().to_f64();
        let p = at(&v, false);
        prop_assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let moved: Vec<f64> = v.iter().map(|x| x + shift).collect();
        for ((p, l), q) in p.iter().zip(at(&v, true)).zip(at(&moved, false)) {
            prop_assert!((p.ln() - l).abs() < 1e-9 && (p - q).abs() < 1e-9);
        }
    }

    /// The last element of an inclusive run is the reduction; a reversed run is a run of the reverse.
    #[test]
    fn running_laws(v in prop::collection::vec(-9i64..9, 1..12), exclusive in any::<bool>()) {
        let at = |op, v: &[i64], exclusive, reverse| {
            run(Op::Cumulative(Cumulative { op, axis: 0, exclusive, reverse }), &Tensor::i64(&[v.len()], v)).unwrap().to_i64()
        };
        for o in [ReduceOp::Sum, ReduceOp::Prod, ReduceOp::Max, ReduceOp::Min] {
            let total = run(reduce(o, &[0], false), &Tensor::i64(&[v.len()], &v)).unwrap().to_i64()[0];
            prop_assert_eq!(at(o, &v, false, false).last().copied(), Some(total));
            let mut back = v.clone();
            back.reverse();
            let mut run_back = at(o, &back, exclusive, false);
            run_back.reverse();
            prop_assert_eq!(at(o, &v, exclusive, true), run_back);
        }
    }

    /// A normalised row has mean zero and mean square one, up to eps.
    #[test]
    fn norm_laws(v in prop::collection::vec(-100f64..100.0, 2..20)) {
        let mean = v.iter().sum::<f64>() / v.len() as f64;
        prop_assume!(v.iter().any(|x| (x - mean).abs() > 1e-3));
        for kind in [NormKind::Layer, NormKind::Rms] {
            let o = Op::Norm { kind, axis: 0, eps: 0.0.into() };
            let y = run(o, &Tensor::from_f64(DType::F64, &[v.len()], &v)).unwrap().to_f64();
            let n = y.len() as f64;
            prop_assert!((y.iter().map(|e| e * e).sum::<f64>() / n - 1.0).abs() < 1e-9);
            prop_assert!(kind == NormKind::Rms || (y.iter().sum::<f64>() / n).abs() < 1e-9);
        }
    }
}
