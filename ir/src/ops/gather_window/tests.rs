//! Gathers and scatters of windows: the examples of the StableHLO specification, and what numpy says of simple forms.

use super::*;
use crate::eval::{self, Dims};
use crate::graph::Loc;
use crate::ops::testing::{count, dims, graph, ints, ty};
use crate::ops::{BinaryOp, Op, infer};
use crate::tensor::Tensor;
use crate::types::Symbols;

fn run(g: &Graph, op: &Op, args: &[Tensor]) -> Tensor {
    eval::op(op, args, g, &Dims::new()).expect("the op evaluates").remove(0)
}

/// The dimension numbers of the specification's examples.
fn example() -> WindowDims {
    WindowDims {
        offsets: vec![3, 4],
        collapsed: vec![1],
        data_batch: vec![0],
        indices_batch: vec![1],
        map: vec![2, 1],
        index_dim: 3,
    }
}

fn example_indices() -> Tensor {
    ints(DType::I64, &[2, 2, 3, 2], &[0, 0, 1, 0, 2, 1, 0, 1, 1, 1, 0, 9, 0, 0, 2, 1, 2, 2, 1, 2, 0, 1, 1, 0])
}

/// 1, 2, .. as the data of the examples.
fn example_data() -> Tensor {
    Tensor::build(DType::I64, &[2, 3, 4, 2], |i| crate::tensor::Num::Int(i as i128 + 1))
}

fn region(g: &mut Graph, op: Option<BinaryOp>, dtype: DType) -> RegionId {
    let mut r = Graph::new("update", Symbols::default());
    let (a, b) = (r.add_input("", TensorType::scalar(dtype)), r.add_input("", TensorType::scalar(dtype)));
    let v = match op {
        Some(op) => r.push1(Op::Binary(op), &[a, b], &Loc::default()).unwrap(),
        None => b,
    };
    r.add_output("", v);
    g.add_region(r)
}

#[test]
fn gathers_as_in_the_specification() {
    let op = Op::GatherWindow(GatherWindow { dims: example(), sizes: [1, 1, 2, 2].map(Dim::from).to_vec(), sorted: false });
    let got = run(&graph(), &op, &[example_data(), example_indices()]);
    assert_eq!(got.shape, [2, 2, 3, 2, 2]);
    #[rustfmt::skip]
    let want = [
        1, 2, 3, 4, 3, 4, 5, 6, 13, 14, 15, 16, 33, 34, 35, 36, 35, 36, 37, 38, 41, 42, 43, 44,
        1, 2, 3, 4, 13, 14, 15, 16, 21, 22, 23, 24, 43, 44, 45, 46, 33, 34, 35, 36, 27, 28, 29, 30,
    ];
    assert_eq!(got.to_i64(), want);
}

#[test]
fn scatters_as_in_the_specification() {
    let mut g = graph();
    let region = region(&mut g, Some(BinaryOp::Add), DType::I64);
    let op = Op::ScatterWindow(ScatterWindow { dims: example(), sorted: false, unique: false, region });
    let ones = Tensor::build(DType::I64, &[2, 2, 3, 2, 2], |_| crate::tensor::Num::Int(1));
    let got = run(&g, &op, &[example_data(), example_indices(), ones]);
    #[rustfmt::skip]
    let want = [
        3, 4, 6, 7, 6, 7, 7, 8, 9, 10, 11, 12, 15, 16, 17, 18, 17, 18, 19, 20, 22, 23, 24, 25,
        25, 26, 28, 29, 30, 31, 31, 32, 35, 36, 38, 39, 38, 39, 39, 40, 41, 42, 44, 45, 46, 47, 47, 48,
    ];
    assert_eq!(got.to_i64(), want);
}

#[test]
fn single_indices_and_clamping() {
    // `index_dim` past the last axis: one index each. Rows of a table, starts clamped.
    let table = count(DType::I32, &[4, 3]);
    let rows = WindowDims { offsets: vec![1], collapsed: vec![0], map: vec![0], index_dim: 1, ..Default::default() };
    let op = Op::GatherWindow(GatherWindow { dims: rows.clone(), sizes: dims(&["1", "3"]), sorted: false });
    for dtype in [DType::I8, DType::U64, DType::I64] {
        let got = run(&graph(), &op, &[table.clone(), ints(dtype, &[3], &[2, 0, 99])]);
        assert_eq!(got.to_i64(), [6, 7, 8, 0, 1, 2, 9, 10, 11]);
    }
    let got = run(&graph(), &op, &[table.clone(), ints(DType::I32, &[1], &[-1])]);
    assert_eq!(got.to_i64(), [0, 1, 2], "a negative start is clamped, not counted from the end");
    // The index vectors along the first axis; windows of two rows and two columns.
    let windows = WindowDims { offsets: vec![0, 1], collapsed: vec![], map: vec![1, 0], index_dim: 0, ..Default::default() };
    let op = Op::GatherWindow(GatherWindow { dims: windows, sizes: dims(&["2", "2"]), sorted: false });
    let got = run(&graph(), &op, &[table.clone(), ints(DType::I32, &[2, 2], &[0, 5, 1, 2])]);
    // Starts (column, row): (0, 1) and (5, 2), the latter clamped to (1, 2).
    assert_eq!((got.shape.as_slice(), got.to_i64()), ([2, 2, 2].as_slice(), vec![3, 7, 4, 8, 6, 10, 7, 11]));
    // Updates past the end are skipped one by one.
    let mut g = graph();
    let region = region(&mut g, None, DType::I32);
    let two = WindowDims { offsets: vec![1], collapsed: vec![], map: vec![0], index_dim: 1, ..Default::default() };
    let op = Op::ScatterWindow(ScatterWindow { dims: two, sorted: false, unique: false, region });
    let got = run(
        &g,
        &op,
        &[count(DType::I32, &[4]), ints(DType::I32, &[3], &[3, -1, 0]), ints(DType::I32, &[3, 2], &[10, 11, 12, 13, 14, 15])],
    );
    assert_eq!(got.to_i64(), [14, 15, 2, 10]);
}

#[test]
fn dimension_numbers_are_checked() {
    let mut g = graph();
    let update = region(&mut g, None, DType::I64);
    let (data, indices) = (ty("i64[2, 3, 4, 2]"), ty("i64[2, 2, 3, 2]"));
    let gather = |dims: WindowDims, sizes: [i64; 4]| {
        let op = Op::GatherWindow(GatherWindow { dims, sizes: sizes.map(Dim::from).to_vec(), sorted: false });
        infer(&op, &[&data, &indices], &g).map(|t| t[0].to_string()).map_err(|e| e.message)
    };
    assert_eq!(gather(example(), [1, 1, 2, 2]).unwrap(), "i64[2, 2, 3, 2, 2]");
    assert_eq!(gather(WindowDims { offsets: vec![0, 2], ..example() }, [1, 1, 2, 2]).unwrap(), "i64[2, 2, 2, 2, 3]");
    for (dims, sizes, message) in [
        (example(), [1, 2, 2, 2], "must be 1"),
        (example(), [1, 1, 5, 2], "does not fit"),
        (WindowDims { offsets: vec![3, 5], ..example() }, [1, 1, 2, 2], "not axes of windows"),
        (WindowDims { offsets: vec![3], ..example() }, [1, 1, 2, 2], "together"),
        (WindowDims { collapsed: vec![0], ..example() }, [1, 1, 2, 2], "distinct"),
        (WindowDims { indices_batch: vec![3], ..example() }, [1, 1, 2, 2], "index_dim"),
        (WindowDims { indices_batch: vec![2], ..example() }, [1, 1, 2, 2], "differ"),
        (WindowDims { map: vec![2], ..example() }, [1, 1, 2, 2], "entries"),
        (WindowDims { map: vec![2, 0], ..example() }, [1, 1, 2, 2], "distinct"),
        (WindowDims { index_dim: 5, ..example() }, [1, 1, 2, 2], "past the rank"),
    ] {
        let e = gather(dims.clone(), sizes).unwrap_err();
        assert!(e.contains(message), "{dims:?}: {e}");
    }
    let op = Op::ScatterWindow(ScatterWindow { dims: example(), sorted: false, unique: false, region: update });
    let scatter = |u: &str| infer(&op, &[&data, &indices, &ty(u)], &g).map(|t| t[0].to_string()).map_err(|e| e.message);
    assert_eq!(scatter("i64[2, 2, 3, 1, 2]").unwrap(), data.to_string());
    assert!(scatter("i64[2, 3, 3, 1, 2]").unwrap_err().contains("need"));
    assert!(scatter("i64[2, 2, 3, 5, 2]").unwrap_err().contains("does not fit"));
    assert!(scatter("i32[2, 2, 3, 1, 2]").unwrap_err().contains("element type"));
}
