//! Tests of the op family, by tables and properties.

use super::*;
use crate::ops::Op;
use crate::ops::testing::{count, ints, run, try_run, types};
use crate::tensor::{Num, Tensor};

fn scatter(axis: Option<usize>, reduce: Option<ReduceOp>) -> Op {
    let mode = axis.map_or(ScatterMode::Nd, |axis| ScatterMode::Elements { axis });
    Op::Scatter(Scatter { mode, reduce })
}

#[test]
fn shapes_are_inferred() {
    let cases: Vec<(Op, &[&str], &str)> = vec![
        (Op::Gather { axis: 1 }, &["f32[2, 5, N]", "i64[M, 3]"], "f32[2, M, 3, N]"),
        (Op::Gather { axis: 0 }, &["f32[5]", "i32[]"], "f32[]"),
        (Op::GatherElements { axis: 0 }, &["f32[2, N]", "i64[9, N]"], "f32[9, N]"),
        (Op::GatherNd { batch: 0 }, &["f32[2, 5, N]", "i64[M, 2]"], "f32[M, N]"),
        (Op::GatherNd { batch: 1 }, &["f32[N, 5, 6]", "i64[N, 4, 1]"], "f32[N, 4, 6]"),
        (Op::GatherNd { batch: 1 }, &["f32[N]", "i64[N, 0]"], "f32[N]"),
        (scatter(Some(1), None), &["f32[2, N]", "i64[2, 3]", "f32[2, 3]"], "f32[2, N]"),
        (scatter(None, Some(ReduceOp::Sum)), &["i8[4, N]", "i64[M, 1]", "i8[M, N]"], "i8[4, N]"),
        (scatter(None, Some(ReduceOp::Max)), &["bool[4]", "i32[1]", "bool[]"], "bool[4]"),
    ];
    for (op, inputs, want) in cases {
        assert_eq!(types(&op, inputs), Ok(vec![want.to_string()]), "{op:?}");
    }
}

#[test]
fn wrong_arguments_are_refused() {
    let cases: Vec<(Op, &[&str], &str)> = vec![
        (Op::Gather { axis: 1 }, &["f32[5]", "i64[2]"], "axis 1 is out of range for f32[5], of rank 1"),
        (Op::Gather { axis: 0 }, &["f32[5]", "f32[2]"], "indices must be i32 or i64, got f32[2]"),
        (Op::GatherElements { axis: 0 }, &["f32[5]", "i64[2, 2]"], "indices i64[2, 2] and data f32[5] differ in rank"),
        (
            Op::GatherElements { axis: 0 },
            &["f32[5, 1]", "i64[2, 2]"],
            "axis 1 of the indices i64[2, 2] exceeds that of data f32[5, 1]",
        ),
        (
            Op::GatherNd { batch: 0 },
            &["f32[5]", "i64[2, 2]"],
            "the last axis of the indices i64[2, 2] must be a known extent of at most 1",
        ),
        (
            Op::GatherNd { batch: 0 },
            &["f32[5]", "i64[2, N]"],
            "the last axis of the indices i64[2, N] must be a known extent of at most 1",
        ),
        (Op::GatherNd { batch: 2 }, &["f32[5]", "i64[2, 2]"], "2 batch axes are too many for data f32[5] and indices i64[2, 2]"),
        (scatter(Some(0), None), &["f32[5]", "i64[2]", "i64[2]"], "updates i64[2] and data f32[5] differ in element type"),
        (scatter(Some(0), None), &["f32[5]", "i64[2]", "f32[3]"], "updates must have the shape [2], got f32[3]"),
        (scatter(None, None), &["f32[5, 2]", "i64[4, 1]", "f32[4, 3]"], "updates must have the shape [4, 2], got f32[4, 3]"),
        (
            scatter(Some(0), Some(ReduceOp::Mean)),
            &["f32[5]", "i64[2]", "f32[2]"],
            "cannot combine f32 by `mean`: sum, prod, max and min of numbers are allowed",
        ),
        (
            scatter(Some(0), Some(ReduceOp::Max)),
            &["c64[5]", "i64[2]", "c64[2]"],
            "cannot combine c64 by `max`: sum, prod, max and min of numbers are allowed",
        ),
    ];
    for (op, inputs, want) in cases {
        assert_eq!(types(&op, inputs), Err(want.to_string()), "{op:?}");
    }
}

#[test]
fn indices_are_clamped() {
    let far = [0, -1, 2, -3, 3, -4, i64::MAX, i64::MIN];
    let want = [0, 2, 2, 0, 2, 0, 2, 0];
    let x = count(DType::I32, &[3]);
    assert_eq!(run(&Op::Gather { axis: 0 }, &[x.clone(), Tensor::i64(&[8], &far)])[0].to_i64(), want);
    assert_eq!(run(&Op::GatherElements { axis: 0 }, &[x.clone(), Tensor::i64(&[8], &far)])[0].to_i64(), want);
    assert_eq!(run(&Op::GatherNd { batch: 0 }, &[x, Tensor::i64(&[8, 1], &far)])[0].to_i64(), want);
}

#[test]
fn nothing_is_gathered_from_nothing() {
    let (none, at) = (count(DType::F32, &[0, 2]), Tensor::i64(&[1, 2], &[0, 0]));
    assert!(try_run(&Op::Gather { axis: 0 }, &[none.clone(), at.clone()]).is_err());
    assert!(try_run(&Op::GatherElements { axis: 0 }, &[none.clone(), at.clone()]).is_err());
    assert!(try_run(&Op::GatherNd { batch: 0 }, &[none.clone(), at]).is_err());
    let no_index = Tensor::i64(&[0, 3], &[]);
    assert_eq!(run(&Op::Gather { axis: 0 }, &[none, no_index])[0].shape, [0, 3, 2]);
}

#[test]
fn updates_out_of_range_are_dropped() {
    let x = count(DType::I64, &[3]);
    let (at, new) = ([1, 3, -1, -4], [10, 20, 30, 40]);
    let y = run(&scatter(Some(0), None), &[x.clone(), Tensor::i64(&[4], &at), Tensor::i64(&[4], &new)]);
    assert_eq!(y[0].to_i64(), [0, 10, 30]);
    let y = run(&scatter(None, None), &[x, Tensor::i64(&[4, 1], &at), Tensor::i64(&[4], &new)]);
    assert_eq!(y[0].to_i64(), [0, 10, 30]);
    let empty = run(&scatter(None, None), &[count(DType::I64, &[0]), Tensor::i64(&[1, 1], &[0]), Tensor::i64(&[1], &[1])]);
    assert_eq!(empty[0].shape, [0]);
}

#[test]
fn the_last_of_several_writes_stays() {
    let y =
        run(&scatter(Some(0), None), &[count(DType::U8, &[2]), Tensor::i64(&[3], &[0, 0, 0]), ints(DType::U8, &[3], &[5, 6, 7])]);
    assert_eq!(y[0].to_i64(), [7, 1]);
}

#[test]
fn combinations_keep_to_the_element_type() {
    let at = Tensor::i64(&[2], &[0, 0]);
    let cases: [(DType, ReduceOp, i64, [i64; 2], i64); 6] = [
        (DType::I8, ReduceOp::Sum, 127, [1, 1], -127),
        (DType::U64, ReduceOp::Prod, -1, [-1, 1], 1),
        (DType::I64, ReduceOp::Prod, i64::MIN, [-1, 1], i64::MIN),
        (DType::U8, ReduceOp::Max, 3, [2, 9], 9),
        (DType::I4, ReduceOp::Min, 3, [-8, 7], -8),
        (DType::Bool, ReduceOp::Min, 1, [1, 0], 0),
    ];
    for (dtype, op, x, new, want) in cases {
        let y = run(&scatter(Some(0), Some(op)), &[ints(dtype, &[1], &[x]), at.clone(), ints(dtype, &[2], &new)]);
        assert_eq!(y[0].to_i64(), [want], "{dtype} {op:?}");
    }
    for op in [ReduceOp::Max, ReduceOp::Min, ReduceOp::Sum, ReduceOp::Prod] {
        for new in [[f32::NAN, 1.0], [1.0, f32::NAN]] {
            let y = run(&scatter(Some(0), Some(op)), &[Tensor::f32(&[1], &[0.5]), at.clone(), Tensor::f32(&[2], &new)]);
            assert!(y[0].to_f64()[0].is_nan(), "{op:?}: NaN wins");
        }
    }
    let c = |r: f64, i: f64| Tensor::build(DType::C64, &[1], |_| Num::Complex(r, i));
    let y = run(&scatter(Some(0), Some(ReduceOp::Prod)), &[c(1.0, 2.0), Tensor::i64(&[1], &[0]), c(3.0, -1.0)]);
    assert_eq!(y[0].get(0), Num::Complex(5.0, 5.0));
}
