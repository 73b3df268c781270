//! Tests of the op family, by tables and properties.

use super::*;
use crate::ops::Op;
use crate::ops::testing::{count, dim, ints, run, try_run, types};
use crate::tensor::Tensor;

fn topk(k: &str, axis: usize, largest: bool) -> Op {
    Op::TopK(TopK { k: dim(k), axis, largest })
}

fn nms(center: bool) -> Op {
    Op::Nms(Nms { center, count: dim("kept") })
}

#[test]
fn shapes_are_inferred() {
    let found = |s: &[&str]| Ok(s.iter().map(|t| t.to_string()).collect::<Vec<_>>());
    assert_eq!(types(&topk("3", 1, true), &["f16[N, 5]"]), found(&["f16[N, 3]", "i64[N, 3]"]));
    assert_eq!(types(&topk("N", 0, true), &["f32[N]"]), found(&["f32[N]", "i64[N]"]));
    let args = ["f32[N, 8, 4]", "f32[N, 2, 8]", "i64[]", "f32[]", "f32[]"];
    assert_eq!(types(&nms(false), &args), found(&["i64[kept, 3]", "i64[]"]));
    assert_eq!(types(&Op::NonZero { count: dim("n") }, &["bool[2, N]"]), found(&["i64[2, n]", "i64[]"]));
    let refused: Vec<(Op, Vec<&str>, &str)> = vec![
        (topk("6", 0, true), vec!["f32[5]"], "k is 6, more than axis 0 of f32[5] has"),
        (topk("N + 1", 0, true), vec!["f32[N]"], "k is N + 1, more than axis 0 of f32[N] has"),
        (topk("1", 1, true), vec!["f32[5]"], "axis 1 is out of range for f32[5], of rank 1"),
        (topk("1", 0, true), vec!["c64[5]"], "c64 has no order"),
        (topk("-1", 0, true), vec!["f32[5]"], "the result f32[-1] has the negative extent `-1`"),
        (
            nms(false),
            vec!["f32[1, 8, 4]", "f32[1, 2, 7]", "i64[]", "f32[]", "f32[]"],
            "takes boxes f32[B, N, 4] and scores f32[B, C, N], got f32[1, 8, 4] and f32[1, 2, 7]",
        ),
        (nms(false), vec!["f32[1, 8, 4]", "f32[1, 2, 8]", "i64[1]", "f32[]", "f32[]"], "max_out must be i64[], got i64[1]"),
    ];
    for (op, inputs, want) in refused {
        assert_eq!(types(&op, &inputs), Err(want.to_string()), "{op:?}");
    }
}

#[test]
fn nan_counts_as_largest_and_ties_go_by_index() {
    let x = Tensor::f32(&[5], &[1.0, f32::NAN, -0.0, 0.0, 1.0]);
    let order = |largest| run(&topk("5", 0, largest), std::slice::from_ref(&x))[1].to_i64();
    assert_eq!(order(true), [1, 0, 4, 2, 3]);
    assert_eq!(order(false), [2, 3, 0, 4, 1]);
    let y = run(&topk("2", 0, true), &[ints(DType::U64, &[3], &[5, -1, 7])]);
    assert_eq!(y[0].to_i64(), [-1, 7], "u64 above the range of i64");
    assert_eq!(run(&topk("0", 1, true), &[count(DType::F32, &[2, 3])])[0].shape, [2, 0]);
    assert_eq!(run(&topk("2", 1, true), &[count(DType::F32, &[0, 3])])[1].shape, [0, 2]);
}

#[test]
fn nonzero_positions_are_in_row_major_order() {
    let op = Op::NonZero { count: dim("n") };
    let y = run(&op, &[Tensor::f32(&[2, 2], &[f32::NAN, -0.0, 0.0, 2.0])]);
    assert_eq!((y[0].to_i64(), y[1].to_i64()), (vec![0, 1, 0, 1], vec![2]));
    let y = run(&op, &[ints(DType::I32, &[], &[3])]);
    assert_eq!((y[0].shape.as_slice(), y[1].to_i64()), (&[0, 1][..], vec![1]));
    let y = run(&op, &[count(DType::Bool, &[0, 4])]);
    assert_eq!((y[0].shape.as_slice(), y[1].to_i64()), (&[2, 0][..], vec![0]));
}

#[test]
fn suppression_stops_at_its_limits() {
    let boxes = Tensor::f32(&[1, 3, 4], &[0., 0., 1., 1., 0., 0., 1., 1., 5., 5., 6., 6.]);
    let scores = Tensor::f32(&[1, 1, 3], &[0.5, 0.9, f32::NAN]);
    let keep = |max_out: i64, iou: f32, score: f32| {
        let (iou, score) = (Tensor::f32(&[], &[iou]), Tensor::f32(&[], &[score]));
        run(&nms(false), &[boxes.clone(), scores.clone(), Tensor::i64(&[], &[max_out]), iou, score])[0].to_i64()
    };
    assert_eq!(keep(10, 0.5, 0.0), [0, 0, 1]);
    assert_eq!(keep(10, 1.0, f32::NEG_INFINITY), [0, 0, 1, 0, 0, 0], "an overlap must exceed the bound");
    assert_eq!(keep(1, 1.0, 0.0), [0, 0, 1]);
    assert_eq!(keep(-1, 1.0, 0.0), [0i64; 0]);
    assert_eq!(keep(9, 1.0, 0.9), [0i64; 0], "a score must exceed the threshold");
    assert!(try_run(&nms(true), &[boxes]).is_err());
}
