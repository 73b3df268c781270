//! Tests of the op family, by tables and properties.

use proptest::prelude::*;

use super::*;
use crate::ops::Op;
use crate::ops::testing::{count, dim, dims, ints, run, try_run, types};
use crate::tensor::{Num, Tensor};

fn slice(start: &[&str], len: &[&str], step: &[i64]) -> Op {
    Op::Slice(Slice { start: dims(start), len: dims(len), step: step.to_vec() })
}

fn pad(lo: &[&str], hi: &[&str], mode: PadMode) -> Op {
    Op::Pad { lo: dims(lo), hi: dims(hi), mode }
}

#[test]
fn shapes_are_inferred() {
    let reshape = |s: &[&str]| Op::Reshape { shape: dims(s) };
    let broadcast = |s: &[&str]| Op::Broadcast { shape: dims(s) };
    let window = |s: &[&str]| Op::DynamicSlice { shape: dims(s) };
    let cases: Vec<(Op, &[&str], &str)> = vec![
        (reshape(&["6", "4"]), &["f32[2, 3, 4]"], "f32[6, 4]"),
        (reshape(&["8*N", "2"]), &["f32[N, 16]"], "f32[8*N, 2]"),
        (reshape(&["K", "4"]), &["f32[N, 16]"], "f32[K, 4]"),
        (reshape(&[]), &["i8[1, 1]"], "i8[]"),
        (Op::Transpose { perm: vec![2, 0, 1] }, &["f32[2, 3, N]"], "f32[N, 2, 3]"),
        (Op::Transpose { perm: vec![] }, &["f32[]"], "f32[]"),
        (broadcast(&["4", "N", "3"]), &["bool[N, 1]"], "bool[4, N, 3]"),
        (broadcast(&["4", "8"]), &["f32[N]"], "f32[4, 8]"),
        (slice(&["1", "N - 1"], &["2", "N"], &[1, -1]), &["f32[3, N]"], "f32[2, N]"),
        (slice(&["9"], &["0"], &[1]), &["f32[3]"], "f32[0]"),
        (window(&["2", "N"]), &["f32[3, N]", "i64[2]"], "f32[2, N]"),
        (pad(&["1", "-1"], &["2", "0"], PadMode::Edge), &["f32[N, 4]", "f32[]"], "f32[N + 3, 3]"),
        (Op::Concat { axis: 1 }, &["f32[2, N]", "f32[2, 3]", "f32[2, N]"], "f32[2, 2*N + 3]"),
        (Op::Concat { axis: 1 }, &["f32[N, 1]", "f32[4, 3]"], "f32[4, 4]"),
        (Op::Reverse { axes: vec![1, 0] }, &["f32[2, N]"], "f32[2, N]"),
    ];
    for (op, inputs, want) in cases {
        assert_eq!(types(&op, inputs), Ok(vec![want.to_string()]), "{op:?}");
    }
}

#[test]
fn wrong_shapes_are_refused() {
    let reshape = |s: &[&str]| Op::Reshape { shape: dims(s) };
    let cases: Vec<(Op, &[&str], &str)> = vec![
        (reshape(&["5"]), &["f32[2, 3]"], "f32[2, 3] has 6 elements, the shape [5] has 5"),
        (reshape(&["N + 1"]), &["f32[N]"], "f32[N] has N elements, the shape [N + 1] has N + 1"),
        (reshape(&["K"]), &["f32[2]", "f32[2]"], "takes 1 arguments, got 2"),
        (reshape(&["N"]), &["f32[100]"], "f32[100] has 100 elements, the shape [N] has N"),
        (
            Op::Transpose { perm: vec![0, 0] },
            &["f32[2, 3]"],
            "perm [0, 0] does not name each axis of f32[2, 3] once: it must be an order of 0..2",
        ),
        (
            Op::Broadcast { shape: dims(&["4"]) },
            &["f32[3]"],
            "f32[3] does not broadcast to [4]: aligned at the last axis, each extent must be 1 or equal",
        ),
        (
            Op::Broadcast { shape: dims(&["3"]) },
            &["f32[1, 3]"],
            "f32[1, 3] does not broadcast to [3]: aligned at the last axis, each extent must be 1 or equal",
        ),
        (slice(&["0"], &["4"], &[1]), &["f32[3]"], "position `3` is outside axis 0 of f32[3]"),
        (slice(&["0"], &["N + 1"], &[1]), &["f32[N]"], "position `N` is outside axis 0 of f32[N]"),
        (slice(&["1"], &["3"], &[-1]), &["f32[3]"], "position `-1` is outside axis 0 of f32[3]"),
        (slice(&["0"], &["1"], &[0]), &["f32[3]"], "the step of axis 0 is zero"),
        (slice(&["0"], &["-1"], &[1]), &["f32[3]"], "the length `-1` of axis 0 is negative"),
        (slice(&["0"], &["1"], &[1]), &["f32[3, 3]"], "f32[3, 3] needs 2 starts, lengths and steps, got 1, 1 and 1"),
        (Op::DynamicSlice { shape: dims(&["4"]) }, &["f32[3]", "i64[1]"], "the window [4] does not fit into axis 0 of f32[3]"),
        (Op::DynamicSlice { shape: dims(&["2"]) }, &["f32[3]", "i32[1]"], "starts must be i64[1], got i32[1]"),
        (pad(&["0"], &["0"], PadMode::Edge), &["f32[3]", "i64[]"], "the pad value must be f32[], got i64[]"),
        (
            pad(&["-2"], &["-2"], PadMode::Edge),
            &["f32[3]", "f32[]"],
            "padding of -2 and -2 crops more than there is in axis 0 of f32[3]",
        ),
        (pad(&["1"], &["0"], PadMode::Wrap), &["f32[0]", "f32[]"], "axis 0 of f32[0] has no element to pad from"),
        (Op::Concat { axis: 0 }, &[], "takes at least one argument"),
        (Op::Concat { axis: 2 }, &["f32[2, 2]"], "axis 2 is out of range for f32[2, 2], of rank 2"),
        (
            Op::Concat { axis: 0 },
            &["f32[2]", "i64[2]"],
            "i64[2] and f32[2] differ in element type or rank: arguments may differ along axis 0 only",
        ),
        (
            Op::Concat { axis: 0 },
            &["f32[2, 3]", "f32[2, 4]"],
            "f32[2, 4] does not join f32[2, 3] at axis 0: extents 3 and 4 differ",
        ),
        (Op::Reverse { axes: vec![1, 1] }, &["f32[2, 3]"], "axis 1 is named twice in [1, 1]"),
    ];
    for (op, inputs, want) in cases {
        assert_eq!(types(&op, inputs), Err(want.to_string()), "{op:?}");
    }
}

#[test]
fn views_move_elements() {
    let x = |shape: &[usize]| count(DType::I32, shape);
    let cases: Vec<(Op, Tensor, &[usize], &[i64])> = vec![
        (Op::Transpose { perm: vec![1, 0] }, x(&[2, 3]), &[3, 2], &[0, 3, 1, 4, 2, 5]),
        (Op::Transpose { perm: vec![2, 0, 1] }, x(&[2, 2, 2]), &[2, 2, 2], &[0, 2, 4, 6, 1, 3, 5, 7]),
        (Op::Transpose { perm: vec![1, 0] }, x(&[0, 3]), &[3, 0], &[]),
        (Op::Broadcast { shape: dims(&["2", "3"]) }, x(&[3]), &[2, 3], &[0, 1, 2, 0, 1, 2]),
        (Op::Broadcast { shape: dims(&["2", "3"]) }, x(&[2, 1]), &[2, 3], &[0, 0, 0, 1, 1, 1]),
        (Op::Broadcast { shape: dims(&["2", "0"]) }, x(&[]), &[2, 0], &[]),
        (Op::Broadcast { shape: dims(&["0"]) }, x(&[1]), &[0], &[]),
        (slice(&["1", "2"], &["2", "2"], &[1, -2]), x(&[3, 4]), &[2, 2], &[6, 4, 10, 8]),
        (slice(&["4"], &["5"], &[-1]), x(&[5]), &[5], &[4, 3, 2, 1, 0]),
        (slice(&["7", "1"], &["0", "1"], &[1, 1]), x(&[3, 4]), &[0, 1], &[]),
        (Op::Reverse { axes: vec![0, 1] }, x(&[2, 3]), &[2, 3], &[5, 4, 3, 2, 1, 0]),
        (Op::Reverse { axes: vec![1] }, x(&[2, 3]), &[2, 3], &[2, 1, 0, 5, 4, 3]),
        (Op::Reverse { axes: vec![0] }, x(&[0]), &[0], &[]),
        (Op::Reshape { shape: dims(&["3", "2"]) }, x(&[2, 3]), &[3, 2], &[0, 1, 2, 3, 4, 5]),
    ];
    for (op, x, shape, want) in cases {
        let y = &run(&op, &[x])[0];
        assert_eq!((y.shape.as_slice(), y.to_i64().as_slice()), (shape, want), "{op:?}");
    }
}

#[test]
fn every_element_size_moves_whole() {
    for dtype in DType::ALL {
        let x = Tensor::build(dtype, &[2, 2], |i| Num::Int(i as i128 % 2));
        let y = &run(&Op::Transpose { perm: vec![1, 0] }, std::slice::from_ref(&x))[0];
        let want: Vec<Num> = [0, 2, 1, 3].map(|i| x.get(i)).to_vec();
        assert_eq!(format!("{:?}", (0..4).map(|i| y.get(i)).collect::<Vec<_>>()), format!("{want:?}"), "{dtype}");
    }
}

#[test]
fn dynamic_slices_are_clamped() {
    for (starts, want) in [([0, 1], [1, 2, 4, 5]), ([1, 9], [4, 5, 7, 8]), ([-5, i64::MIN], [0, 1, 3, 4])] {
        let op = Op::DynamicSlice { shape: dims(&["2", "2"]) };
        let y = &run(&op, &[count(DType::U8, &[3, 3]), Tensor::i64(&[2], &starts)])[0];
        assert_eq!(y.to_i64(), want, "{starts:?}");
    }
}

/// Expected rows are `numpy.pad` of `[0, 1, 2, 3]`, after slicing where an amount is negative.
#[test]
fn every_mode_pads() {
    use PadMode::*;
    let cases: &[(PadMode, &str, &str, &[i64])] = &[
        (Constant, "2", "1", &[9, 9, 0, 1, 2, 3, 9]),
        (Reflect, "2", "1", &[2, 1, 0, 1, 2, 3, 2]),
        (Reflect, "8", "7", &[2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2]),
        (Edge, "2", "1", &[0, 0, 0, 1, 2, 3, 3]),
        (Wrap, "2", "1", &[2, 3, 0, 1, 2, 3, 0]),
        (Wrap, "5", "6", &[3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1]),
        (Constant, "-1", "2", &[1, 2, 3, 9, 9]),
        (Reflect, "-1", "2", &[1, 2, 3, 2, 1]),
        (Edge, "3", "-3", &[0, 0, 0, 0]),
        (Wrap, "1", "-1", &[2, 0, 1, 2]),
        (Constant, "-2", "-2", &[]),
        (Reflect, "-3", "2", &[3, 3, 3]),
        (Constant, "3", "-4", &[9, 9, 9]),
    ];
    for (mode, lo, hi, want) in cases {
        let x = count(DType::I64, &[4]);
        let y = &run(&pad(&[lo], &[hi], *mode), &[x, ints(DType::I64, &[], &[9])])[0];
        assert_eq!(y.to_i64(), *want, "{mode:?} {lo} {hi}");
    }
    let none = try_run(&pad(&["0", "1"], &["0", "0"], Edge), &[count(DType::I64, &[2, 0]), ints(DType::I64, &[], &[9])]);
    assert!(none.is_err());
}

#[test]
fn padding_goes_along_every_axis() {
    let x = count(DType::F32, &[2, 2]);
    let y = &run(&pad(&["1", "0"], &["0", "1"], PadMode::Reflect), &[x.clone(), Tensor::f32(&[], &[7.0])])[0];
    assert_eq!((y.shape.as_slice(), y.to_i64().as_slice()), (&[3, 3][..], &[2, 3, 2, 0, 1, 0, 2, 3, 2][..]));
    let y = &run(&pad(&["1", "0"], &["0", "1"], PadMode::Constant), &[x, Tensor::f32(&[], &[7.0])])[0];
    assert_eq!(y.to_i64(), [7, 7, 7, 0, 1, 7, 2, 3, 7]);
}

#[test]
fn concatenation_joins_in_order() {
    let (a, b) = (count(DType::I16, &[2, 1]), count(DType::I16, &[2, 2]));
    let empty = count(DType::I16, &[2, 0]);
    let y = &run(&Op::Concat { axis: 1 }, &[a.clone(), empty.clone(), b.clone()])[0];
    assert_eq!((y.shape.as_slice(), y.to_i64().as_slice()), (&[2, 3][..], &[0, 0, 1, 1, 2, 3][..]));
    assert_eq!(run(&Op::Concat { axis: 0 }, &[b.clone(), b])[0].shape, [4, 2]);
    assert_eq!(run(&Op::Concat { axis: 1 }, &[empty.clone(), empty])[0].shape, [2, 0]);
}

#[test]
fn symbols_are_checked_when_they_have_values() {
    use crate::eval::{Dims, op};
    let g = crate::ops::testing::graph();
    let dims_of = |n: i64| Dims::from([("N".into(), n)]);
    let reshape = Op::Reshape { shape: vec![dim("N"), dim("2")] };
    assert_eq!(op(&reshape, &[count(DType::F32, &[6])], &g, &dims_of(3)).expect("fits")[0].shape, [3, 2]);
    assert!(op(&reshape, &[count(DType::F32, &[6])], &g, &dims_of(4)).is_err());
    assert!(op(&reshape, &[count(DType::F32, &[6])], &g, &Dims::new()).is_err());
}

/// 100 MB of weights must move in well below a second in every order, or compiling a large model crawls. The bound is loose,
/// for slow and busy machines.
#[test]
fn large_transpositions_are_fast() {
    let x = Tensor::new(DType::F32, vec![50, 512, 1024], vec![1u8; 50 * 512 * 1024 * 4].into()).expect("bytes fit");
    for perm in [vec![2, 1, 0], vec![0, 2, 1], vec![1, 2, 0]] {
        let start = std::time::Instant::now();
        run(&Op::Transpose { perm: perm.clone() }, std::slice::from_ref(&x));
        assert!(start.elapsed().as_secs() < 3, "{perm:?} took {:?}", start.elapsed());
    }
}

/// A shape of up to four axes of 0 to 4, and a permutation of them.
fn shapes() -> impl Strategy<Value = (Vec<usize>, Vec<usize>)> {
    proptest::collection::vec(0usize..5, 0..5).prop_flat_map(|shape| {
        let perm: Vec<usize> = (0..shape.len()).collect();
        (Just(shape), Just(perm).prop_shuffle())
    })
}

proptest! {
    #[test]
    fn a_transposition_and_its_inverse_cancel((shape, perm) in shapes()) {
        let x = count(DType::U16, &shape);
        let mut inverse = vec![0; perm.len()];
        perm.iter().enumerate().for_each(|(i, &p)| inverse[p] = i);
        let y = run(&Op::Transpose { perm: perm.clone() }, std::slice::from_ref(&x));
        let strides = crate::ops::index::strides(&shape);
        let mut at = 0;
        crate::ops::index::for_each(&y[0].shape, |place| {
            let from: usize = perm.iter().zip(place).map(|(&p, i)| strides[p] * i).sum();
            assert_eq!(y[0].get(at), x.get(from));
            at += 1;
            Ok(())
        }).expect("walks");
        let z = run(&Op::Transpose { perm: inverse }, &y);
        prop_assert_eq!(z[0].bytes(), x.bytes());
        prop_assert_eq!(&z[0].shape, &x.shape);
    }

    #[test]
    fn reshapes_compose((shape, perm) in shapes()) {
        let x = count(DType::U16, &shape);
        let flat = run(&Op::Reshape { shape: vec![x.len().into()] }, std::slice::from_ref(&x));
        let shuffled: Vec<Dim> = perm.iter().map(|&p| shape[p].into()).collect();
        let there = run(&Op::Reshape { shape: shuffled }, &flat);
        let back = run(&Op::Reshape { shape: shape.iter().map(|&n| n.into()).collect() }, &there);
        prop_assert_eq!(&back[0].shape, &shape);
        prop_assert_eq!(back[0].bytes(), x.bytes());
    }

    #[test]
    fn a_slice_of_a_padding_is_the_argument(
        (shape, _) in shapes(),
        mode in prop::sample::select(vec![PadMode::Constant, PadMode::Reflect, PadMode::Edge, PadMode::Wrap]),
        seed in any::<u32>(),
    ) {
        prop_assume!(mode == PadMode::Constant || !shape.contains(&0));
        let x = count(DType::U16, &shape);
        let amount = |i: usize, k: u32| Dim::from((seed >> (4 * i as u32 + 2 * k)) as i64 & 3);
        let lo: Vec<Dim> = (0..shape.len()).map(|i| amount(i, 0)).collect();
        let hi: Vec<Dim> = (0..shape.len()).map(|i| amount(i, 1)).collect();
        let padded = run(&Op::Pad { lo: lo.clone(), hi, mode }, &[x.clone(), ints(DType::U16, &[], &[7])]);
        let len = shape.iter().map(|&n| n.into()).collect();
        let back = run(&Op::Slice(Slice { start: lo, len, step: vec![1; shape.len()] }), &padded);
        prop_assert_eq!(back[0].bytes(), x.bytes());
    }

    #[test]
    fn slices_join_to_the_argument(len in 1usize..12, cut in 0usize..12, inner in 1usize..4) {
        let cut = cut.min(len);
        let x = count(DType::U32, &[2, len, inner]);
        let part = |start: usize, n: usize| {
            let start = [0, start, 0].map(Dim::from).to_vec();
            let len = [2, n, inner].map(Dim::from).to_vec();
            run(&Op::Slice(Slice { start, len, step: vec![1; 3] }), std::slice::from_ref(&x)).remove(0)
        };
        let joined = run(&Op::Concat { axis: 1 }, &[part(0, cut), part(cut, len - cut)]);
        prop_assert_eq!(joined[0].bytes(), x.bytes());
    }

    #[test]
    fn a_reversal_is_a_slice_with_negative_steps((shape, perm) in shapes(), n in 0usize..5) {
        let axes = &perm[..n.min(perm.len())];
        prop_assume!(!shape.contains(&0));
        let x = count(DType::U8, &shape);
        let mut p = Slice { start: vec![0.into(); shape.len()], len: vec![], step: vec![1; shape.len()] };
        p.len = shape.iter().map(|&n| n.into()).collect();
        for &axis in axes {
            p.start[axis] = (shape[axis] - 1).into();
            p.step[axis] = -1;
        }
        let reversed = run(&Op::Reverse { axes: axes.to_vec() }, std::slice::from_ref(&x));
        let sliced = run(&Op::Slice(p), &[x]);
        prop_assert_eq!(reversed[0].bytes(), sliced[0].bytes());
    }
}
