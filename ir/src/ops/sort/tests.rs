//! Sorting by a comparator.

use super::*;
use crate::eval::{self, Dims};
use crate::graph::Loc;
use crate::ops::testing::{graph, ints};
use crate::ops::{BinaryOp, Op};
use crate::types::Symbols;

/// Compares the first of several pairs.
fn first(op: BinaryOp, types: &[DType]) -> Graph {
    let mut r = Graph::new("first", Symbols::default());
    let inputs: Vec<_> = types.iter().flat_map(|d| [*d, *d]).map(|d| r.add_input("", TensorType::scalar(d))).collect();
    let v = r.push1(Op::Binary(op), &inputs[..2], &Loc::default()).unwrap();
    r.add_output("", v);
    r
}

#[test]
fn sorts_tuples_and_keeps_equal_ones_in_order() {
    let mut g = graph();
    let less = g.add_region(first(BinaryOp::Lt, &[DType::I32, DType::I64]));
    let more = g.add_region(first(BinaryOp::Gt, &[DType::I32, DType::I64]));
    let keys = ints(DType::I32, &[2, 5], &[3, 1, 2, 1, 3, 5, 4, 5, 4, 0]);
    let values = ints(DType::I64, &[2, 5], &[0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
    let sort = |axis, region| {
        let op = Op::SortBy { axis, stable: true, region };
        let got = eval::op(&op, &[keys.clone(), values.clone()], &g, &Dims::new()).unwrap();
        (got[0].to_i64(), got[1].to_i64())
    };
    assert_eq!(sort(1, less), (vec![1, 1, 2, 3, 3, 0, 4, 4, 5, 5], vec![1, 3, 2, 0, 4, 4, 1, 3, 0, 2]));
    assert_eq!(sort(1, more), (vec![3, 3, 2, 1, 1, 5, 5, 4, 4, 0], vec![0, 4, 2, 1, 3, 0, 2, 1, 3, 4]));
    assert_eq!(sort(0, less), (vec![3, 1, 2, 1, 0, 5, 4, 5, 4, 3], vec![0, 1, 2, 3, 4, 0, 1, 2, 3, 4]));
}

#[test]
fn a_comparator_that_is_no_order_still_gives_a_result() {
    let mut g = graph();
    let less = g.add_region(first(BinaryOp::Lt, &[DType::F32]));
    let op = Op::SortBy { axis: 0, stable: false, region: less };
    let x = Tensor::f32(&[4], &[2.0, f32::NAN, 1.0, 0.0]);
    let got = eval::op(&op, &[x], &g, &Dims::new()).unwrap()[0].to_f64();
    // Pairs [2, NaN] and [0, 1]: 0 and 1 go before 2, then 2, NaN.
    assert_eq!(got[..3], [0.0, 1.0, 2.0]);
    assert!(got[3].is_nan());
    for shape in [vec![0], vec![0, 3], vec![3, 0]] {
        let op = Op::SortBy { axis: 0, stable: false, region: less };
        let got = eval::op(&op, &[Tensor::f32(&shape, &[])], &g, &Dims::new()).unwrap();
        assert_eq!(got[0].shape, shape);
    }
}

#[test]
fn arguments_are_checked() {
    let mut g = graph();
    let less = g.add_region(first(BinaryOp::Lt, &[DType::F32]));
    let try_sort = |axis, region, args: &[Tensor]| {
        eval::op(&Op::SortBy { axis, stable: true, region }, args, &g, &Dims::new()).unwrap_err().0
    };
    let x = Tensor::f32(&[2], &[1.0, 0.0]);
    assert!(try_sort(1, less, std::slice::from_ref(&x)).contains("axis 1"));
    assert!(try_sort(0, less, &[]).contains("one tensor"));
    assert!(try_sort(0, less, &[x.clone(), x.clone()]).contains("comparator"));
    assert!(try_sort(0, less, &[x, Tensor::f32(&[3], &[0.0; 3])]).contains("differ"));
}
