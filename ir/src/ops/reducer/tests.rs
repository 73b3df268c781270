//! Reductions by a region against values worked out by hand or by numpy (sources beside the cases).

use super::*;
use crate::eval::{self, Dims};
use crate::graph::Loc;
use crate::ops::testing::{count, graph, ints, ty};
use crate::ops::{BinaryOp, Op, infer};
use crate::tensor::Tensor;

/// A region of two scalars and one op.
pub(in crate::ops) fn pair(op: BinaryOp, dtype: DType) -> Graph {
    let mut r = Graph::new("pair", Symbols::default());
    let (a, b) = (r.add_input("a", TensorType::scalar(dtype)), r.add_input("b", TensorType::scalar(dtype)));
    let v = r.push1(Op::Binary(op), &[a, b], &Loc::default()).unwrap();
    r.add_output("", v);
    r
}

/// Keeps the larger value and its index; of equal ones the smaller index.
fn arg_max() -> Graph {
    let mut r = Graph::new("arg_max", Symbols::default());
    let input = |r: &mut Graph, d| r.add_input("", TensorType::scalar(d));
    let (a, i, b, j) =
        (input(&mut r, DType::F32), input(&mut r, DType::I32), input(&mut r, DType::F32), input(&mut r, DType::I32));
    let l = Loc::default();
    let gt = r.push1(Op::Binary(BinaryOp::Gt), &[a, b], &l).unwrap();
    let eq = r.push1(Op::Binary(BinaryOp::Eq), &[a, b], &l).unwrap();
    let lt = r.push1(Op::Binary(BinaryOp::Lt), &[i, j], &l).unwrap();
    let tie = r.push1(Op::Binary(BinaryOp::And), &[eq, lt], &l).unwrap();
    let keep = r.push1(Op::Binary(BinaryOp::Or), &[gt, tie], &l).unwrap();
    let v = r.push1(Op::Select, &[gt, a, b], &l).unwrap();
    let k = r.push1(Op::Select, &[keep, i, j], &l).unwrap();
    r.add_output("", v);
    r.add_output("", k);
    r
}

fn run(g: &Graph, op: &Op, args: &[Tensor]) -> Vec<Tensor> {
    eval::op(op, args, g, &Dims::new()).expect("the op evaluates")
}

#[test]
fn reduces_with_a_region() {
    let mut g = graph();
    let add = g.add_region(pair(BinaryOp::Add, DType::I64));
    let op = Op::ReduceWith { axes: vec![1], region: add };
    let got = run(&g, &op, &[count(DType::I64, &[2, 3]), ints(DType::I64, &[], &[10])]);
    assert_eq!(got[0].to_i64(), [13, 22]);
    // Not associative: the order is row-major, from the initial value.
    let sub = g.add_region(pair(BinaryOp::Sub, DType::I64));
    let op = Op::ReduceWith { axes: vec![0, 1], region: sub };
    assert_eq!(run(&g, &op, &[count(DType::I64, &[2, 3]), ints(DType::I64, &[], &[100])])[0].to_i64(), [85]);
    // No elements: the initial value; no axes: one element each.
    let op = Op::ReduceWith { axes: vec![0], region: sub };
    assert_eq!(run(&g, &op, &[count(DType::I64, &[0, 2]), ints(DType::I64, &[], &[7])])[0].to_i64(), [7, 7]);
    let op = Op::ReduceWith { axes: vec![], region: sub };
    assert_eq!(run(&g, &op, &[count(DType::I64, &[2]), ints(DType::I64, &[], &[7])])[0].to_i64(), [7, 6]);
}

#[test]
fn reduces_tuples() {
    let mut g = graph();
    let region = g.add_region(arg_max());
    let x = Tensor::f32(&[2, 4], &[3.0, 9.0, 9.0, 1.0, -1.0, -2.0, -3.0, -1.0]);
    let i = ints(DType::I32, &[2, 4], &[0, 1, 2, 3, 0, 1, 2, 3]);
    let start = [Tensor::f32(&[], &[f32::NEG_INFINITY]), ints(DType::I32, &[], &[0])];
    let got = run(&g, &Op::ReduceWith { axes: vec![1], region }, &[x, i, start[0].clone(), start[1].clone()]);
    assert_eq!((got[0].to_f64(), got[1].to_i64()), (vec![9.0, -1.0], vec![1, 0]));
}

#[test]
fn a_region_may_hold_a_graph() {
    // A branch: evaluated as a graph, not as straight-line code.
    let mut r = Graph::new("branch", Symbols::default());
    let (a, b) = (r.add_input("", TensorType::scalar(DType::I32)), r.add_input("", TensorType::scalar(DType::I32)));
    let branch = |op| {
        let mut g = pair(op, DType::I32);
        g.name = "".into();
        g
    };
    let (then_region, else_region) = (r.add_region(branch(BinaryOp::Add)), r.add_region(branch(BinaryOp::Mul)));
    let less = r.push1(Op::Binary(BinaryOp::Lt), &[b, a], &Loc::default()).unwrap();
    let v = r.push1(Op::If(crate::ops::If { then_region, else_region }), &[less, a, b], &Loc::default()).unwrap();
    r.add_output("", v);
    let mut g = graph();
    let region = g.add_region(r);
    let got =
        run(&g, &Op::ReduceWith { axes: vec![0], region }, &[ints(DType::I32, &[3], &[2, 5, 3]), ints(DType::I32, &[], &[1])]);
    // 1 * 2 = 2, 2 * 5 = 10, 10 + 3 = 13.
    assert_eq!(got[0].to_i64(), [13]);
}

fn window(region: RegionId, rank: usize) -> WindowReduce {
    let ones = vec![1; rank];
    WindowReduce {
        window: ones.clone(),
        strides: ones.clone(),
        base_dilations: ones.clone(),
        window_dilations: ones,
        pads: vec![(0, 0); rank],
        region,
    }
}

#[test]
fn windows() {
    let mut g = graph();
    let add = g.add_region(pair(BinaryOp::Add, DType::I32));
    let max = g.add_region(pair(BinaryOp::Max, DType::I32));
    let x = |v: &[i64]| ints(DType::I32, &[v.len()], v);
    let zero = ints(DType::I32, &[], &[0]);
    let base = window(add, 1);
    let cases: Vec<(&str, WindowReduce, Vec<i64>, Vec<i64>)> = vec![
        ("plain", WindowReduce { window: vec![2], ..base.clone() }, vec![1, 2, 3, 4], vec![3, 5, 7]),
        ("stride", WindowReduce { window: vec![2], strides: vec![2], ..base.clone() }, vec![1, 2, 3, 4, 5], vec![3, 7]),
        ("cumsum", WindowReduce { window: vec![4], pads: vec![(3, 0)], ..base.clone() }, vec![1, 2, 3, 4], vec![1, 3, 6, 10]),
        // 1 _ 2 _ 3 with holes of zero.
        ("base", WindowReduce { window: vec![2], base_dilations: vec![2], ..base.clone() }, vec![1, 2, 3], vec![1, 2, 2, 3]),
        ("taps", WindowReduce { window: vec![2], window_dilations: vec![2], ..base.clone() }, vec![1, 2, 3, 4], vec![4, 6]),
        ("crop", WindowReduce { pads: vec![(-1, -1)], ..base.clone() }, vec![1, 2, 3, 4], vec![2, 3]),
        ("crop a hole", WindowReduce { base_dilations: vec![2], pads: vec![(-1, 0)], ..base.clone() }, vec![1, 2], vec![0, 2]),
        ("too wide", WindowReduce { window: vec![5], ..base.clone() }, vec![1, 2, 3], vec![]),
        ("pads take part", WindowReduce { pads: vec![(1, 1)], ..window(max, 1) }, vec![-5, 7], vec![0, 0, 7, 0]),
    ];
    for (name, p, data, want) in cases {
        let got = run(&g, &Op::WindowReduce(p), &[x(&data), zero.clone()]);
        assert_eq!(got[0].to_i64(), want, "{name}");
    }
    // Two axes: sums of 2 x 2 of 0..12 as 3 x 4 with step (1, 2).
    let p = WindowReduce { window: vec![2, 2], strides: vec![1, 2], ..window(add, 2) };
    assert_eq!(run(&g, &Op::WindowReduce(p), &[count(DType::I32, &[3, 4]), zero])[0].to_i64(), [10, 18, 26, 34]);
}

#[test]
fn extents_of_windows() {
    let mut g = graph();
    let region = g.add_region(pair(BinaryOp::Add, DType::F32));
    let infer = |p: WindowReduce, data: &str| {
        let (x, init) = (ty(data), ty("f32[]"));
        infer(&Op::WindowReduce(p), &[&x, &init], &g).map(|t| t[0].clone()).map_err(|e| e.message)
    };
    let p = WindowReduce { window: vec![3], strides: vec![2], ..window(region, 1) };
    assert_eq!(infer(p.clone(), "f32[7]").unwrap(), ty("f32[3]"));
    // N is 1..=64: a window of three may not fit.
    let symbolic = infer(p.clone(), "f32[N]").unwrap();
    for (n, windows) in [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (64, 31)] {
        assert_eq!(symbolic.shape[0].eval(&|_| Some(n)), Some(windows), "{n}");
    }
    let cumsum = WindowReduce { window: vec![1], pads: vec![(0, 0)], ..window(region, 1) };
    assert_eq!(infer(cumsum, "f32[N]").unwrap(), ty("f32[N]"));
    assert!(infer(WindowReduce { window: vec![0], ..p.clone() }, "f32[7]").unwrap_err().contains("window 0"));
    assert!(infer(WindowReduce { strides: vec![], ..p.clone() }, "f32[7]").unwrap_err().contains("one an axis"));
    assert!(infer(p, "f64[7]").unwrap_err().contains("initial value"));
}

#[test]
fn selects_and_scatters() {
    // The example of the StableHLO specification.
    let mut g = graph();
    let (select, scatter) = (g.add_region(pair(BinaryOp::Ge, DType::I64)), g.add_region(pair(BinaryOp::Add, DType::I64)));
    let p = SelectAndScatter { window: vec![3, 1], strides: vec![2, 1], pads: vec![(0, 1), (0, 0)], select, scatter };
    let x = ints(DType::I64, &[4, 2], &[1, 5, 2, 5, 3, 6, 4, 4]);
    let source = ints(DType::I64, &[2, 2], &[5, 6, 7, 8]);
    let got = run(&g, &Op::SelectAndScatter(p.clone()), &[x.clone(), source.clone(), ints(DType::I64, &[], &[0])]);
    assert_eq!(got[0].to_i64(), [0, 0, 0, 0, 5, 14, 7, 0]);
    let wrong = eval::op(&Op::SelectAndScatter(p), &[x.clone(), x, ints(DType::I64, &[], &[0])], &g, &Dims::new());
    assert!(wrong.unwrap_err().0.contains("number of windows"));
}

#[test]
fn signatures_are_checked() {
    let mut g = graph();
    let region = g.add_region(pair(BinaryOp::Lt, DType::F32));
    let (x, init) = (ty("f32[4]"), ty("f32[]"));
    let e = infer(&Op::ReduceWith { axes: vec![0], region }, &[&x, &init], &g).unwrap_err();
    assert!(e.message.contains("results of the reducer are (bool[]), they must be (f32[])"), "{e}");
    let e = infer(&Op::ReduceWith { axes: vec![0], region: RegionId(9) }, &[&x, &init], &g).unwrap_err();
    assert!(e.message.contains("region 9 does not exist"), "{e}");
    let e = infer(&Op::ReduceWith { axes: vec![1], region }, &[&x, &init], &g).unwrap_err();
    assert!(e.message.contains("axes [1]"), "{e}");
    let e = infer(&Op::ReduceWith { axes: vec![0], region }, &[&x], &g).unwrap_err();
    assert!(e.message.contains("initial values"), "{e}");
}
