//! Tests of the op family, by tables and properties.

use super::*;
use crate::graph::{Loc, ValueId};
use crate::ops::testing::{dim, graph, ty};
use crate::ops::{BinaryOp, Op};
use crate::tensor::Num;

/// A region with these inputs; `build` adds nodes and gives the outputs.
fn body(inputs: &[&str], build: impl FnOnce(&mut Graph, &[ValueId]) -> Vec<ValueId>) -> Graph {
    let mut g = graph();
    let args: Vec<ValueId> = inputs.iter().map(|t| g.add_input("", ty(t))).collect();
    for v in build(&mut g, &args) {
        g.add_output("", v);
    }
    g
}

fn binary(g: &mut Graph, op: BinaryOp, a: ValueId, b: ValueId) -> ValueId {
    g.push1(Op::Binary(op), &[a, b], &Loc::default()).expect("fits")
}

fn boolean(v: bool) -> Tensor {
    Tensor::scalar(DType::Bool, Num::Int(v.into()))
}

/// A graph of one control-flow op over `regions`; its inputs are the op's arguments.
fn around(op: Op, inputs: &[&str], regions: Vec<Graph>) -> Result<Graph, InferError> {
    let mut g = graph();
    g.regions = regions;
    let args: Vec<ValueId> = inputs.iter().map(|t| g.add_input("", ty(t))).collect();
    for v in g.push(op, &args, &Loc::default())? {
        g.add_output("", v);
    }
    Ok(g)
}

fn branch(then_region: u32, else_region: u32) -> Op {
    Op::If(If { then_region: RegionId(then_region), else_region: RegionId(else_region) })
}

fn repeat(state: usize, trips: &str) -> Op {
    Op::Loop(Loop { body: RegionId(0), state, trips: dim(trips) })
}

#[test]
fn the_taken_region_runs() {
    let add = body(&["f32[N]", "f32[N]"], |g, v| vec![binary(g, BinaryOp::Add, v[0], v[1])]);
    let mul = body(&["f32[N]", "f32[N]"], |g, v| vec![binary(g, BinaryOp::Mul, v[0], v[1])]);
    let g = around(branch(0, 1), &["bool[]", "f32[N]", "f32[N]"], vec![add, mul]).expect("fits");
    assert_eq!(*g.ty(g.outputs[0]), ty("f32[N]"));
    let (a, b) = (Tensor::f32(&[2], &[2., 3.]), Tensor::f32(&[2], &[10., 20.]));
    for (cond, want) in [(true, [12.0, 23.0]), (false, [20.0, 60.0])] {
        let y = eval::graph(&g, &[boolean(cond), a.clone(), b.clone()]).expect("runs");
        assert_eq!(y[0].to_f64(), want);
    }
}

#[test]
fn regions_must_fit() {
    let pass = |t: &str| body(&[t], |_, v| vec![v[0]]);
    let two = body(&["f32[N]"], |_, v| vec![v[0], v[0]]);
    let cases = [
        (&["i64[]", "f32[N]"], vec![pass("f32[N]"), pass("f32[N]")], "the condition must be bool[], got i64[]"),
        (&["bool[]", "f32[N]"], vec![pass("f32[N]"), pass("f32[M]")], "input 0 of the else region is f32[M], but gets f32[N]"),
        (&["bool[]", "f32[N]"], vec![pass("f32[N]")], "region 1 does not exist: the graph has 1"),
        (&["bool[]", "f32[N]"], vec![pass("f32[N]"), two], "the then region has 1 results, the else region 2"),
        (&["bool[]", "f32[N]"], vec![pass("f32[N]"), body(&[], |_, _| vec![])], "the else region takes 0 inputs, but gets 1"),
    ];
    for (inputs, regions, want) in cases {
        let e = around(branch(0, 1), inputs, regions).expect_err(want);
        assert_eq!((e.op.as_str(), e.message.as_str()), ("if", want));
    }
    let narrow = body(&["f32[N]", "f32[4]"], |_, v| vec![v[0]]);
    let wide = body(&["f32[N]", "f32[4]"], |_, v| vec![v[1]]);
    let e = around(branch(0, 1), &["bool[]", "f32[N]", "f32[4]"], vec![narrow, wide]).expect_err("differ");
    assert_eq!(e.message, "result 0 is f32[N] in the then region and f32[4] in the else region: both must be of one type");
}

/// Sums and lists 0, 1, 4, 9, .. while the sum is below the bound.
fn squares() -> Graph {
    body(&["i64[]", "bool[]", "i64[]", "i64[]"], |g, v| {
        let square = binary(g, BinaryOp::Mul, v[0], v[0]);
        let sum = binary(g, BinaryOp::Add, v[2], square);
        vec![binary(g, BinaryOp::Lt, sum, v[3]), sum, square]
    })
}

#[test]
fn loops_carry_states_and_stack_scans() {
    let g = around(repeat(1, "trips"), &["i64[]", "bool[]", "i64[]", "i64[]"], vec![squares()]).expect("fits");
    assert_eq!(g.outputs.iter().map(|v| g.ty(*v).to_string()).collect::<Vec<_>>(), ["i64[]", "i64[trips]"]);
    let cases: [(i64, bool, i64, i64, &[i64]); 5] = [
        (4, true, 1000, 14, &[0, 1, 4, 9]),
        (1000, true, 14, 14, &[0, 1, 4, 9]),
        (1000, true, 15, 30, &[0, 1, 4, 9, 16]),
        (0, true, 1000, 0, &[]),
        (9, false, 1000, 0, &[]),
    ];
    for (trip, cond, bound, sum, list) in cases {
        let scalar = |v: i64| Tensor::i64(&[], &[v]);
        let y = eval::graph(&g, &[scalar(trip), boolean(cond), scalar(0), scalar(bound)]).expect("runs");
        assert_eq!((y[0].to_i64(), y[1].to_i64().as_slice()), (vec![sum], list), "{trip} {cond} {bound}");
    }
}

#[test]
fn loop_bodies_must_fit() {
    let inputs = ["i64[]", "bool[]", "i64[]", "i64[]"];
    let cases = [
        (repeat(3, "t"), "takes a trip count, a condition and 3 states, got 4 arguments"),
        (Op::Loop(Loop { body: RegionId(1), state: 1, trips: dim("t") }), "region 1 does not exist: the graph has 1"),
        (repeat(1, "-1"), "the result i64[-1] has the negative extent `-1`"),
    ];
    for (op, want) in cases {
        assert_eq!(around(op, &inputs, vec![squares()]).expect_err(want).message, want);
    }
    let grows = body(&["i64[]", "bool[]", "f32[N]"], |g, v| {
        vec![v[1], g.push1(Op::Concat { axis: 0 }, &[v[2], v[2]], &Loc::default()).expect("fits")]
    });
    let e = around(repeat(1, "t"), &["i64[]", "bool[]", "f32[N]"], vec![grows]).expect_err("grows");
    assert_eq!(e.message, "state 0 is f32[N] before an iteration and f32[2*N] after it: its type must not change");
    let silent = body(&["i64[]", "bool[]"], |_, _| vec![]);
    let e = around(repeat(0, "t"), &["i64[]", "bool[]"], vec![silent]).expect_err("no condition");
    assert_eq!(e.message, "the body gives 0 results: a condition and 0 states are needed");
}

#[test]
fn regions_see_the_symbols_outside() {
    let there = body(&[], |g, _| g.push(Op::DimValue { dims: vec![dim("N")] }, &[], &Loc::default()).expect("fits"));
    let mut g = around(branch(0, 0), &["bool[]"], vec![there]).expect("fits");
    g.add_input("x", ty("f32[N]"));
    let y = eval::graph(&g, &[boolean(true), Tensor::f32(&[3], &[0.0; 3])]).expect("runs");
    assert_eq!(y[0].to_i64(), [3]);
}

/// `depth` levels of `If` around the identity.
fn nested(depth: usize) -> Result<Graph, InferError> {
    let mut g = body(&["bool[]"], |_, v| vec![v[0]]);
    for _ in 0..depth {
        let inner = std::mem::replace(&mut g, graph());
        g.regions = vec![inner];
        let v = g.add_input("", ty("bool[]"));
        for out in g.push(branch(0, 0), &[v, v], &Loc::default())? {
            g.add_output("", out);
        }
    }
    Ok(g)
}

#[test]
fn regions_nest_to_a_limit() {
    let g = nested(MAX_NESTING).expect("the limit itself");
    assert_eq!(eval::graph(&g, &[boolean(true)]).expect("runs")[0].to_i64(), [1]);
    let e = nested(MAX_NESTING + 1).expect_err("too deep");
    assert_eq!(e.message, "regions nest more than 64 deep");
}

#[test]
fn errors_say_which_iteration() {
    let fails = body(&["i64[]", "bool[]", "i64[4]"], |g, v| {
        let shape = vec![dim("3 + K")];
        let row = g.push1(Op::Reshape { shape }, &[v[2]], &Loc::default()).expect("fits");
        vec![v[1], v[2], row]
    });
    let g = around(repeat(1, "t"), &["i64[]", "bool[]", "i64[4]"], vec![fails]).expect("fits");
    let state = Tensor::i64(&[4], &[0; 4]);
    let e = eval::graph(&g, &[Tensor::i64(&[], &[2]), boolean(true), state]).expect_err("K has no value");
    assert!(e.0.contains("iteration 0"), "{e}");
}
