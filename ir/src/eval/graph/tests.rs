//! The driver: symbols, order, lifetimes and errors. What single ops mean is tested beside them.

use super::*;
use crate::graph::{Loc, ValueId};
use crate::ops::{BinaryOp, UnaryOp};
use crate::types::{DType, Symbols};

fn ty(dtype: DType, shape: &str) -> TensorType {
    TensorType::new(dtype, shape.split_whitespace().map(|d| d.parse().unwrap()).collect::<Vec<Dim>>())
}

/// A graph of inputs of f32 with these shapes, `N` in 1..=4.
fn inputs(shapes: &[&str]) -> (Graph, Vec<ValueId>) {
    let mut symbols = Symbols::default();
    symbols.declare("N", 1, 4);
    let mut g = Graph::new("test", symbols);
    let values = shapes.iter().enumerate().map(|(i, s)| g.add_input(&format!("x{i}"), ty(DType::F32, s))).collect();
    (g, values)
}

fn loc(name: &str) -> Loc {
    Loc { name: name.into(), ..Loc::default() }
}

fn ones(shape: &[usize]) -> Tensor {
    Tensor::f32(shape, &vec![1.0; shape.iter().product()])
}

#[test]
fn runs_in_order_and_keeps_what_is_asked_for() {
    let (mut g, x) = inputs(&["N 2"]);
    let two = g.constant(Tensor::f32(&[], &[2.0]), &loc("two"));
    let double = g.push1(Op::Binary(BinaryOp::Mul), &[x[0], two], &loc("double")).unwrap();
    let square = g.push1(Op::Binary(BinaryOp::Mul), &[double, double], &loc("square")).unwrap();
    g.push1(Op::Unary(UnaryOp::Neg), &[square], &loc("unused")).unwrap();
    for (name, v) in [("a", square), ("b", double), ("again", square), ("input", x[0])] {
        g.add_output(name, v);
    }
    let x = Tensor::f32(&[1, 2], &[1.0, -3.0]);
    let mut seen = vec![];
    let out = graph_traced(&g, std::slice::from_ref(&x), &mut |n, results| {
        seen.push((n.0, results[0].to_f64()));
        Ok(())
    })
    .unwrap();
    let values: Vec<Vec<f64>> = out.iter().map(Tensor::to_f64).collect();
    assert_eq!(values, [vec![4.0, 36.0], vec![2.0, -6.0], vec![4.0, 36.0], vec![1.0, -3.0]]);
    assert_eq!(seen, [(0, vec![2.0]), (1, vec![2.0, -6.0]), (2, vec![4.0, 36.0]), (3, vec![-4.0, -36.0])]);
    let stopped = graph_traced(&g, &[x], &mut |n, _| if n.0 == 2 { EvalError::fail("seen enough") } else { Ok(()) });
    assert_eq!(stopped.unwrap_err().0, "seen enough");
}

#[test]
fn symbols_are_bound_from_inputs_and_everything_else_is_checked() {
    let (mut g, x) = inputs(&["2*N", "N 3"]);
    let v = g.push1(Op::DimValue { dims: vec!["5*N - 1".parse().unwrap()] }, &[], &loc("dim")).unwrap();
    g.add_output("dim", v);
    g.add_output("x", x[0]);
    let run = |a: Tensor, b: Tensor| graph(&g, &[a, b]).map(|t| t[0].to_i64()[0]).map_err(|e| e.0);
    assert_eq!(run(ones(&[4]), ones(&[2, 3])), Ok(9));
    for (a, b, want) in [
        (ones(&[5]), ones(&[2, 3]), "input 0 `x0`, f32[2*N]: axis 0 should be 4, got 5"),
        (ones(&[2, 2]), ones(&[2, 3]), "input 0 `x0` is f32[2*N], got f32[2, 2]"),
        (Tensor::i64(&[4], &[0; 4]), ones(&[2, 3]), "input 0 `x0` is f32[2*N], got i64[4]"),
        (ones(&[10]), ones(&[5, 3]), "input 0 `x0`, f32[2*N]: axis 0 is 10; `N` is 1..=4"),
        (ones(&[2]), ones(&[1, 4]), "input 1 `x1`, f32[N, 3]: axis 1 should be 3, got 4"),
    ] {
        assert_eq!(run(a, b).unwrap_err(), want);
    }
    assert_eq!(graph(&g, &[]).unwrap_err().0, "expected 2 tensors, got 0");
    let (g, _) = inputs(&["M*M"]);
    assert!(graph(&g, &[ones(&[2])]).unwrap_err().0.contains("depends on `M`, which has no value here"));
}

#[test]
fn a_result_may_bind_a_symbol() {
    let (mut g, x) = inputs(&["N"]);
    let found = g.push(Op::NonZero { count: Dim::sym("found") }, &x, &loc("find")).unwrap();
    let count = g.push1(Op::DimValue { dims: vec![Dim::sym("found")] }, &[], &loc("count")).unwrap();
    g.add_output("found", found[0]);
    g.add_output("count", count);
    let out = graph(&g, &[Tensor::f32(&[4], &[0.0, 3.0, 0.0, 1.0])]).unwrap();
    assert_eq!((out[0].to_i64(), out[1].to_i64()), (vec![1, 3], vec![2]));
}

#[test]
fn errors_name_the_node() {
    // The verifier refuses this graph; the evaluator must not trust it either.
    let (mut g, x) = inputs(&["2", "3"]);
    let out = g.push_typed(Op::Binary(BinaryOp::Add), x, vec![ty(DType::F32, "3")], loc("sum"));
    g.add_output("y", out[0]);
    let e = graph(&g, &[ones(&[2]), ones(&[3])]).unwrap_err();
    assert_eq!(e.0, "node 0 `sum`: add: shapes [2] and [3] do not broadcast at axis 0: extents 2 and 3 differ");

    let (mut g, x) = inputs(&["2"]);
    let out = g.push_typed(Op::Unary(UnaryOp::Neg), x, vec![ty(DType::F32, "3")], loc("wrong type"));
    g.add_output("y", out[0]);
    let e = graph(&g, &[ones(&[2])]).unwrap_err();
    assert_eq!(e.0, "node 0 `wrong type` (neg): result 0, f32[3]: axis 0 should be 3, got 2");

    let (mut g, x) = inputs(&["2"]);
    g.push_typed(Op::Unary(UnaryOp::Neg), vec![ValueId(7)], vec![ty(DType::F32, "2")], loc("undefined"));
    g.add_output("y", x[0]);
    assert!(graph(&g, &[ones(&[2])]).unwrap_err().0.contains("refers to value 7"));
}

#[test]
fn one_op() {
    let run = |o: &Op, args: &[Tensor]| op(o, args, &Graph::default(), &Dims::from([("N".into(), 2)]));
    let reshape = Op::Reshape { shape: vec![Dim::sym("N"), 3.into()] };
    assert_eq!(run(&reshape, &[ones(&[6])]).unwrap()[0].shape, [2, 3]);
    assert!(run(&reshape, &[ones(&[7])]).is_err());
    assert!(run(&reshape, &[]).is_err());
    assert!(run(&Op::Reshape { shape: vec![Dim::sym("M")] }, &[ones(&[7])]).is_err());
    let huge = Op::Broadcast { shape: vec![Dim::from(1usize << 40)] };
    assert!(run(&huge, &[ones(&[1])]).unwrap_err().0.contains("too large to evaluate"));
}

/// `(s: i64[1]) -> iota of s elements`, for `s` at most 5.
fn counted(rule: crate::ops::DimRule, d: &str) -> Graph {
    let mut symbols = Symbols::default();
    symbols.declare("s", 0, 5);
    let mut g = Graph::new("test", symbols);
    let n = g.add_input("n", ty(DType::I64, "1"));
    let read = Loc { op: "Range".into(), ..loc("the_range") };
    let bind = crate::ops::ReadDims { dims: vec![Dim::sym("s")], rule: crate::ops::DimRule::Bind };
    let read_again = crate::ops::ReadDims { dims: vec![d.parse().unwrap()], rule };
    g.push1(Op::ReadDims(bind), &[n], &read).unwrap();
    g.push1(Op::ReadDims(read_again), &[n], &read).unwrap();
    let y = g.push1(Op::Iota { dtype: DType::I64, shape: vec![Dim::sym("s")], axis: 0 }, &[], &loc("count")).unwrap();
    g.add_output("y", y);
    g
}

#[test]
fn values_tell_extents() {
    use crate::ops::DimRule::{AtMost, Equal};
    let run = |g: &Graph, n: i64| graph(g, &[Tensor::i64(&[1], &[n])]).map(|t| t[0].to_i64()).map_err(|e| e.0);
    let g = counted(AtMost, "4");
    assert_eq!(run(&g, 3), Ok(vec![0, 1, 2]));
    assert_eq!(run(&g, 0), Ok(vec![]));
    for (n, why) in [
        (-1, "node 0 `Range the_range`: `s` is -1; allowed are 0..=5"),
        (6, "node 0 `Range the_range`: `s` is 6; allowed are 0..=5"),
        (i64::MAX, "node 0 `Range the_range`: `s` is 9223372036854775807; allowed are 0..=5"),
        (5, "node 1 `Range the_range`: read_dims: position 0 is 5 at run time, at most 4 is allowed"),
    ] {
        assert_eq!(run(&g, n), Err(why.to_string()));
    }
    let g = counted(Equal, "2*s - 3");
    assert_eq!(run(&g, 3), Ok(vec![0, 1, 2]));
    assert_eq!(run(&g, 4).unwrap_err(), "node 1 `Range the_range`: read_dims: extent 0 is 4 at run time, expected 5");
}
