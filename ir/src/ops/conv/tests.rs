//! Convolutions against their definition on generated shapes, pooling against values of ONNX's reference implementation.

use proptest::prelude::*;

use super::*;
use crate::eval::{Dims, EvalError, op};
use crate::ops::Op;
use crate::tensor::{Num, Tensor};
use crate::types::{DType, Symbols};

fn run(o: Op, args: &[Tensor]) -> Result<Tensor, EvalError> {
    op(&o, args, &Graph::default(), &Dims::new()).map(|mut t| t.remove(0))
}

fn ty(shape: &str) -> TensorType {
    TensorType::new(DType::F32, shape.split_whitespace().map(|d| d.parse().unwrap()).collect::<Vec<Dim>>())
}

fn inferred(o: Op, inputs: &[&str]) -> Result<String, String> {
    let mut symbols = Symbols::default();
    symbols.declare("N", 1, 64);
    let types: Vec<TensorType> = inputs.iter().map(|s| ty(s)).collect();
    let types: Vec<&TensorType> = types.iter().collect();
    crate::ops::infer(&o, &types, &Graph::new("", symbols)).map(|t| t[0].to_string()).map_err(|e| e.to_string())
}

/// A convolution with equal numbers on every axis.
fn conv(spatial: usize, stride: usize, dilation: usize, pad: i64, groups: usize) -> Conv {
    Conv { strides: vec![stride; spatial], dilations: vec![dilation; spatial], pads: vec![(pad, pad); spatial], groups }
}

fn transpose(spatial: usize, stride: usize, pad: i64, extra: usize, groups: usize) -> ConvTranspose {
    ConvTranspose {
        strides: vec![stride; spatial],
        dilations: vec![1; spatial],
        pads: vec![(pad, pad); spatial],
        extra: vec![extra; spatial],
        groups,
    }
}

#[test]
fn shapes() {
    let c = |c, x, w| inferred(Op::Conv(c), &[x, w]);
    assert_eq!(c(conv(2, 2, 1, 3, 1), "N 224 224 3", "7 7 3 64").as_deref(), Ok("f32[N, 112, 112, 64]"));
    assert_eq!(c(conv(2, 1, 2, 2, 32), "1 56 56 32", "3 3 1 32").as_deref(), Ok("f32[1, 56, 56, 32]"));
    assert_eq!(c(conv(1, 2, 1, 1, 1), "1 T 8", "3 8 16").as_deref(), Ok("f32[1, floordiv(T - 1, 2) + 1, 16]"));
    assert_eq!(c(conv(3, 1, 1, 0, 1), "0 4 4 4 2", "3 3 3 2 5").as_deref(), Ok("f32[0, 2, 2, 2, 5]"));
    let t = |c, x, w| inferred(Op::ConvTranspose(c), &[x, w]);
    assert_eq!(t(transpose(2, 2, 0, 0, 1), "N 40 40 24", "2 2 24 6").as_deref(), Ok("f32[N, 80, 80, 6]"));
    assert_eq!(t(transpose(1, 3, 1, 2, 2), "1 T 4", "5 4 3").as_deref(), Ok("f32[1, 3*T + 2, 6]"));
    for (got, want) in [
        (c(conv(2, 1, 1, 0, 1), "1 8 8 3", "3 3 4 8"), "channels of f32[1, 8, 8, 3], weight f32[3, 3, 4, 8], 1 groups"),
        (c(conv(2, 1, 1, 0, 3), "1 8 8 6", "3 3 2 8"), "8 output channels do not divide into 3 groups"),
        (c(conv(1, 1, 1, 0, 1), "1 8 8 3", "3 3 3 8"), "needs 2 strides"),
        (c(conv(0, 1, 1, 0, 1), "8 3", "3 8"), "one to three spatial axes"),
        (c(conv(1, 0, 1, 0, 1), "1 8 3", "3 3 8"), "stride 0"),
        (c(conv(1, 1, 1, 0, 1), "1 8 3", "0 3 8"), "no taps"),
        (c(conv(1, 1, 1, 0, 0), "1 8 3", "3 3 8"), "0 groups"),
        (c(conv(1, 1, 1, 0, 1), "1 2 3", "5 3 8"), "negative extent `-2`"),
        (c(conv(1, 1, 1, i64::MIN, 1), "1 2 3", "5 3 8"), "past 2^48"),
        (c(conv(1, 1, 1 << 48, 0, 1), "1 8 3", "9223372036854775807 3 8"), "negative extent"),
        (t(transpose(1, 1, 9, 0, 1), "1 4 3", "3 3 8"), "negative extent"),
    ] {
        let e = got.unwrap_err();
        assert!(e.contains(want), "{e}");
    }
}

#[test]
fn by_hand() {
    let x = Tensor::f32(&[1, 4, 1], &[1., 2., 3., 4.]);
    let w = Tensor::f32(&[3, 1, 1], &[1., 10., 100.]);
    assert_eq!(run(Op::Conv(conv(1, 1, 1, 1, 1)), &[x.clone(), w.clone()]).unwrap().to_f64(), [210., 321., 432., 43.]);
    assert_eq!(run(Op::Conv(conv(1, 2, 1, 1, 1)), &[x.clone(), w.clone()]).unwrap().to_f64(), [210., 432.]);
    // Cropping one element at each side leaves 2, 3, and one tap.
    let one = Tensor::f32(&[1, 1, 1], &[1.]);
    assert_eq!(run(Op::Conv(conv(1, 1, 1, -1, 1)), &[x, one]).unwrap().to_f64(), [2., 3.]);
    let x = Tensor::f32(&[1, 2, 1], &[1., 2.]);
    let out = |p| run(Op::ConvTranspose(p), &[x.clone(), w.clone()]).unwrap().to_f64();
    assert_eq!(out(transpose(1, 2, 0, 0, 1)), [1., 10., 102., 20., 200.]);
    assert_eq!(out(transpose(1, 2, 1, 1, 1)), [10., 102., 20., 200.]);
    assert_eq!(out(transpose(1, 2, -1, 0, 1)), [0., 1., 10., 102., 20., 200., 0.]);
}

fn pool(kind: PoolKind, [window, stride, dilation]: [usize; 3], pads: (i64, i64), ceil: bool) -> Op {
    let (window, strides, dilations) = (vec![window], vec![stride], vec![dilation]);
    Op::Pool(Pool { kind, window, strides, dilations, pads: vec![pads], ceil })
}

/// Values from the reference evaluator of onnx 1.23 (MaxPool and AveragePool of opset 22) on the squares of 1, 2, .., S.
#[test]
fn pools_agree_with_onnx() {
    type Case = (usize, [usize; 3], (i64, i64), bool, &'static [f64], &'static [f64], &'static [f64]);
    const THIRD: f64 = 1.0 / 3.0;
    const CASES: &[Case] = &[
        (5, [2, 2, 1], (0, 0), true, &[4., 16., 25.], &[2.5, 12.5, 25.], &[2.5, 12.5, 25.]),
        (5, [3, 2, 1], (0, 0), true, &[9., 25.], &[14. * THIRD, 50. * THIRD], &[14. * THIRD, 50. * THIRD]),
        (6, [3, 2, 1], (0, 0), true, &[9., 25., 36.], &[14. * THIRD, 50. * THIRD, 30.5], &[14. * THIRD, 50. * THIRD, 30.5]),
        (
            6,
            [3, 2, 1],
            (1, 1),
            true,
            &[4., 16., 36., 36.],
            &[2.5, 29. * THIRD, 77. * THIRD, 36.],
            &[5. * THIRD, 29. * THIRD, 77. * THIRD, 18.],
        ),
        (7, [3, 3, 1], (1, 1), true, &[4., 25., 49.], &[2.5, 50. * THIRD, 42.5], &[5. * THIRD, 50. * THIRD, 85. * THIRD]),
        (5, [2, 3, 1], (1, 1), true, &[1., 16.], &[1., 12.5], &[0.5, 12.5]),
        (4, [3, 2, 2], (1, 1), false, &[16.], &[10.], &[20. * THIRD]),
        (5, [3, 3, 1], (1, 1), true, &[4., 25.], &[2.5, 50. * THIRD], &[5. * THIRD, 50. * THIRD]),
        (8, [3, 4, 1], (1, 2), true, &[4., 36., 64.], &[2.5, 77. * THIRD, 64.], &[5. * THIRD, 77. * THIRD, 64. * THIRD]),
        (9, [2, 3, 3], (1, 2), true, &[9., 36., 81., 81.], &[9., 22.5, 58.5, 81.], &[4.5, 22.5, 58.5, 81.]),
    ];
    for &(s, window, pads, ceil, max, mean, padded) in CASES {
        let x: Vec<f32> = (1..=s).map(|i| (i * i) as f32).collect();
        let x = Tensor::f32(&[1, s, 1], &x);
        let kinds = [(PoolKind::Max, max), (PoolKind::Avg { padded: false }, mean), (PoolKind::Avg { padded: true }, padded)];
        for (kind, want) in kinds {
            let got = run(pool(kind, window, pads, ceil), std::slice::from_ref(&x)).unwrap().to_f64();
            let near = got.len() == want.len() && got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-5);
            assert!(near, "{s} {window:?} {pads:?} {ceil} {kind:?}: {got:?}, not {want:?}");
        }
    }
}

#[test]
fn pools_at_the_edges() {
    let x = Tensor::f32(&[1, 2, 1], &[-3.0, f32::NAN]);
    let out = |kind, pads| run(pool(kind, [1, 1, 1], pads, false), std::slice::from_ref(&x)).unwrap().to_f64();
    // A window over padding alone.
    let max = out(PoolKind::Max, (1, 0));
    assert!(max[0] == f64::NEG_INFINITY && max[1] == -3.0 && max[2].is_nan());
    assert!(out(PoolKind::Avg { padded: false }, (1, 0))[0].is_nan());
    assert_eq!(out(PoolKind::Avg { padded: true }, (1, 0))[..2], [0.0, -3.0]);
    let x = Tensor::f32(&[1, 2, 1], &[3.0, -4.0]);
    let lp = |p: f64| run(pool(PoolKind::Lp { p: p.into() }, [2, 1, 1], (0, 0), false), std::slice::from_ref(&x)).unwrap();
    assert_eq!((lp(2.0).to_f64(), lp(1.0).to_f64()), (vec![5.0], vec![7.0]));
    let x = Tensor::build(DType::U8, &[1, 3, 1], |i| Num::Int([200, 3, 7][i]));
    assert_eq!(run(pool(PoolKind::Max, [2, 1, 1], (0, 0), false), std::slice::from_ref(&x)).unwrap().to_i64(), [200, 7]);
    assert!(run(pool(PoolKind::Avg { padded: true }, [2, 1, 1], (0, 0), false), &[x]).is_err());
    assert!(inferred(pool(PoolKind::Lp { p: 0.0.into() }, [2, 1, 1], (0, 0), false), &["1 4 3"]).is_err());
    // The extents' expressions: rounding down, up, and up with a window that would start in the padding.
    let extent = |window, pads, ceil| inferred(pool(PoolKind::Max, window, pads, ceil), &["N T 3"]).unwrap();
    assert_eq!(extent([2, 2, 1], (0, 0), false), "f32[N, floordiv(T, 2), 3]");
    assert_eq!(extent([3, 2, 1], (0, 0), true), "f32[N, floordiv(T, 2), 3]");
    assert_eq!(extent([2, 3, 1], (1, 1), true), "f32[N, floordiv(T, 3) + 1, 3]");
}

/// The definition, for any rank, in exact integers.
fn conv_by_definition(p: &Conv, x: &Tensor, w: &Tensor, shape: &[usize]) -> Vec<i64> {
    let spatial = x.shape.len() - 2;
    let at = |t: &Tensor, index: &[usize]| -> i64 {
        let flat = index.iter().zip(&t.shape).fold(0, |a, (i, n)| a * n + i);
        t.get(flat).to_i128() as i64
    };
    let unravel = |mut flat: usize, extents: &[usize]| -> Vec<usize> {
        let mut index = vec![0; extents.len()];
        for i in (0..extents.len()).rev() {
            index[i] = flat % extents[i];
            flat /= extents[i];
        }
        index
    };
    let (cg, out) = (w.shape[spatial], w.shape[spatial + 1]);
    (0..shape.iter().product())
        .map(|flat| {
            let o = unravel(flat, shape);
            let group = o[spatial + 1] / (out / p.groups);
            (0..w.shape[..=spatial].iter().product())
                .map(|tap| {
                    let t = unravel(tap, &w.shape[..=spatial]);
                    let mut from = vec![o[0]];
                    for a in 0..spatial {
                        let i = (o[a + 1] * p.strides[a] + t[a] * p.dilations[a]) as i64 - p.pads[a].0;
                        if i < 0 || i >= x.shape[a + 1] as i64 {
                            return 0;
                        }
                        from.push(i as usize);
                    }
                    from.push(group * cg + t[spatial]);
                    at(x, &from) * at(w, &[t, vec![o[spatial + 1]]].concat())
                })
                .sum()
        })
        .collect()
}

proptest! {
    /// Convolution is its definition; the transposed one is its adjoint: `<conv(x), y> = <x, transposed(y)>`.
    #[test]
    fn follow_the_definition(
        spatial in 1usize..4, batch in 0usize..3, (groups, cg, og) in (1usize..4, 1usize..3, 1usize..3),
        s in prop::collection::vec(1usize..6, 3), k in prop::collection::vec(1usize..4, 3),
        strides in prop::collection::vec(1usize..4, 3), dilations in prop::collection::vec(1usize..3, 3),
        pads in prop::collection::vec((0i64..3, 0i64..3), 3), seed in any::<u32>(),
    ) {
        let p = Conv {
            strides: strides[..spatial].to_vec(),
            dilations: dilations[..spatial].to_vec(),
            pads: pads[..spatial].to_vec(),
            groups,
        };
        let value = |i: usize, s: u32| Num::Int(((i as u32).wrapping_mul(2654435761).wrapping_add(s) >> 24) as i128 - 128);
        let data = [&[batch], &s[..spatial], &[groups * cg]].concat();
        let weight = [&k[..spatial], &[cg, groups * og]].concat();
        for dtype in [DType::I64, DType::F64] {
            let x = Tensor::build(dtype, &data, |i| value(i, seed));
            let w = Tensor::build(dtype, &weight, |i| value(i, !seed));
            // Windows larger than the padded data have no result.
            let Ok(out) = run(Op::Conv(p.clone()), &[x.clone(), w.clone()]) else { return Ok(()) };
            prop_assert_eq!(out.to_i64(), conv_by_definition(&p, &x, &w, &out.shape));

            if out.shape[1..=spatial].contains(&0) {
                continue;
            }
            let y = Tensor::build(dtype, &out.shape, |i| value(i, seed ^ 77));
            // [K.., cg, groups * og] becomes [K.., groups * og, cg].
            let (depth, width) = (cg, groups * og);
            let back = Tensor::build(dtype, &[&k[..spatial], &[width, depth]].concat(), |i| {
                let (tap, o, c) = (i / (width * depth), i / depth % width, i % depth);
                w.get((tap * depth + c) * width + o)
            });
            let extra = (0..spatial).map(|a| {
                let full = strides[a] * (out.shape[a + 1] - 1) + dilations[a] * (k[a] - 1) + 1;
                s[a] + (pads[a].0 + pads[a].1) as usize - full
            });
            let t = ConvTranspose {
                strides: p.strides.clone(), dilations: p.dilations.clone(), pads: p.pads.clone(), extra: extra.collect(), groups,
            };
            let adjoint = run(Op::ConvTranspose(t), &[y.clone(), back]).unwrap();
            prop_assert_eq!(&adjoint.shape, &x.shape);
            let dot = |a: &Tensor, b: &Tensor| -> i64 { a.to_i64().iter().zip(b.to_i64()).map(|(x, y)| x * y).sum() };
            prop_assert_eq!(dot(&out, &y), dot(&x, &adjoint));
        }
    }

    /// The extents of windows rounded up are ONNX's two-step rule.
    #[test]
    fn rounding_up_follows_onnx(s in 1i64..40, k in 1i64..6, stride in 1i64..6, dilation in 1i64..3, lo in 0i64..4, hi in 0i64..4) {
        prop_assume!(lo < k && hi < k && dilation * (k - 1) < s + lo + hi);
        let mut want = (s + lo + hi - dilation * (k - 1) - 1 + stride - 1).div_euclid(stride) + 1;
        if (want - 1) * stride >= s + lo {
            want -= 1;
        }
        let o = pool(PoolKind::Max, [k as usize, stride as usize, dilation as usize], (lo, hi), true);
        // The second, symbolic, is held against the known one.
        prop_assert_eq!(inferred(o.clone(), &[&format!("1 {s} 1")]).unwrap(), format!("f32[1, {want}, 1]"));
        let t = crate::ops::infer(&o, &[&ty("1 T 1")], &Graph::default()).unwrap();
        prop_assert_eq!(t[0].shape[1].eval(&|_| Some(s)), Some(want));
    }
}
