//! What the plan promises: shared kernels, shared memory, names, and errors that say everything.

use beiming_ir::graph::{Graph, Loc, ValueId};
use beiming_ir::ops::{BinaryOp, Conv, Op, UnaryOp};
use beiming_ir::plan::{Place, Step};
use beiming_ir::target::Target;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::DType::{C64, F32};
use beiming_passes::lower::{LowerOptions, Untiled, lower, lower_reported};

use crate::check::{agree, dims, graph, push, ty};

fn chain(g: &mut Graph, mut v: ValueId, n: usize) -> ValueId {
    for _ in 0..n {
        v = push(g, Op::Unary(UnaryOp::Sin), &[v]);
    }
    v
}

#[test]
fn a_chain_runs_in_place_with_one_kernel() {
    let mut g = graph(&[("N", 1, 8)]);
    let x = g.add_input("x", ty(F32, "N 1000"));
    let y = chain(&mut g, x, 6);
    g.add_output("y", y);
    let p = lower(&g, &Target::x86_64_v4(), &LowerOptions::default()).expect("lowers");
    assert_eq!(p.kernels.len(), 1);
    assert_eq!(p.plan.steps.len(), 6);
    // Five intermediate buffers, each written over the one before.
    assert_eq!((p.plan.arena, p.plan.arena_without_reuse), (32_000, 5 * 32_000));
    let apart = lower(&g, &Target::x86_64_v4(), &LowerOptions { reuse: false, ..Default::default() }).expect("lowers");
    assert_eq!(apart.plan.arena, 5 * 32_000);
    agree(&g, &[("N", 3)]);
}

#[test]
fn a_value_used_again_is_not_overwritten() {
    let mut g = graph(&[]);
    let x = g.add_input("x", ty(F32, "64 64"));
    let a = chain(&mut g, x, 1);
    let b = chain(&mut g, a, 1);
    let t = push(&mut g, Op::Transpose { perm: vec![1, 0] }, &[b]);
    let c = push(&mut g, Op::Binary(BinaryOp::Add), &[b, t]);
    let d = push(&mut g, Op::Binary(BinaryOp::Mul), &[c, a]);
    // Row 0 is read by all rows: an argument of another shape is never overwritten.
    let r = push(&mut g, Op::Reshape { shape: dims("4096") }, &[d]);
    let e = push(&mut g, Op::Unary(UnaryOp::Exp), &[r]);
    g.add_output("e", e);
    agree(&g, &[]);
}

#[test]
fn relabelings_make_no_kernel() {
    let mut g = graph(&[]);
    let x = g.add_input("x", ty(F32, "2 3 4"));
    let n = push(&mut g, Op::Unary(UnaryOp::Neg), &[x]);
    let r = push(&mut g, Op::Reshape { shape: dims("6 4") }, &[n]);
    let t = push(&mut g, Op::Reshape { shape: dims("6 1 4") }, &[r]);
    let t = push(&mut g, Op::Transpose { perm: vec![1, 0, 2] }, &[t]);
    g.add_output("t", t);
    let p = lower(&g, &Target::kunpeng920(), &LowerOptions::default()).expect("lowers");
    assert_eq!(p.kernels.len(), 1);
    agree(&g, &[]);
}

#[test]
fn the_output_is_computed_in_the_callers_memory() {
    let mut g = graph(&[]);
    let x = g.add_input("x", ty(F32, "6"));
    let n = push(&mut g, Op::Unary(UnaryOp::Neg), &[x]);
    let r = push(&mut g, Op::Reshape { shape: dims("2 3") }, &[n]);
    g.add_output("r", r);
    let p = lower(&g, &Target::kunpeng920(), &LowerOptions::default()).expect("lowers");
    let [Step::Launch(l)] = p.plan.steps.as_slice() else { panic!("one step: {:?}", p.plan.steps) };
    assert_eq!(p.plan.slots[l.args[1].index()].place, Place::Output(0));
    assert_eq!(p.plan.arena, 0);
}

#[test]
fn equal_constants_are_one_weight() {
    let mut g = graph(&[]);
    let x = g.add_input("x", ty(F32, "3"));
    let mut v = x;
    for _ in 0..3 {
        let k = g.constant(Tensor::build(F32, &[3], |i| Num::Float(i as f64)), &Loc::default());
        v = push(&mut g, Op::Binary(BinaryOp::Add), &[v, k]);
    }
    g.add_output("v", v);
    let p = lower(&g, &Target::x86_64_v3(), &LowerOptions::default()).expect("lowers");
    assert_eq!((p.weights.len(), p.kernels.len()), (1, 1));
    assert_eq!(p.kernels[0].name, "map_f32_f32_add__x86_64_v3");
}

#[test]
fn every_problem_is_reported() {
    let mut g = graph(&[]);
    let x = g.add_input("x", ty(F32, "batch 3"));
    let a = push(&mut g, Op::Unary(UnaryOp::Neg), &[x]);
    let b = push(&mut g, Op::Unary(UnaryOp::Exp), &[a]);
    let b = push(&mut g, Op::Transpose { perm: vec![1, 0] }, &[b]);
    g.add_output("b", b);
    let e = lower(&g, &Target::x86_64_v3(), &LowerOptions::default()).expect_err("no bound");
    assert!(e.to_string().contains("--dim batch=1..64"), "{e}");
    assert!(e.to_string().contains("`batch`"), "{e}");

    let mut g = graph(&[]);
    let x = g.add_input("x", ty(C64, "4"));
    let mut last = x;
    for name in ["first", "second"] {
        let loc = Loc::new(name, "ScatterND", "graph/node 3");
        // A tuple of unknown length has no lowering.
        let i = g.add_input("i", ty(beiming_ir::types::DType::I64, "2 1"));
        let u = g.add_input("u", ty(C64, "2"));
        let op = Op::Scatter(beiming_ir::ops::Scatter { mode: beiming_ir::ops::ScatterMode::Nd, reduce: None });
        last = g.push1(op, &[last, i, u], &loc).expect("types");
    }
    g.add_output("y", last);
    lower(&g, &Target::x86_64_v3(), &LowerOptions::default()).expect("complex numbers move like others");
}

#[test]
fn a_contraction_that_is_not_tiled_is_reported_with_the_reason() {
    let mut g = graph(&[("K", 1, 5)]);
    let x = g.add_input("x", ty(F32, "1 20 3"));
    let w = g.add_input("w", ty(F32, "K 3 8"));
    let conv = Op::Conv(Conv { strides: vec![1], dilations: vec![1], pads: vec![(0, 0)], groups: 1 });
    let y = push(&mut g, conv, &[x, w]);
    let v = g.add_input("v", ty(F32, "8 16"));
    let z = push(&mut g, Op::MatMul { out: F32 }, &[y, v]);
    g.add_output("z", z);
    let (_, report) = lower_reported(&g, &Target::kunpeng920(), &LowerOptions::default()).expect("lowers");
    let loc = Loc { name: "conv".into(), ..Loc::default() };
    let why = "the window of a convolution must be known".into();
    assert_eq!(report.untiled, [Untiled { node: loc, op: "conv".into(), why }]);
    agree(&g, &[("K", 3)]);
}

#[test]
fn nothing_computes_results_without_elements() {
    use beiming_ir::ops::ReduceOp;
    let mut g = graph(&[]);
    let (x, w) = (g.add_input("x", ty(F32, "2 9 10 3")), g.add_input("w", ty(F32, "10 5 3 3")));
    let conv = Conv { strides: vec![1; 2], dilations: vec![1; 2], pads: vec![(0, 0); 2], groups: 1 };
    let c = push(&mut g, Op::Conv(conv), &[x, w]);
    assert_eq!(g.ty(c).to_string(), "f32[2, 0, 6, 3]");
    let t = push(&mut g, Op::Transpose { perm: vec![0, 3, 1, 2] }, &[c]);
    g.add_output("t", t);
    // A sum of nothing is computed.
    let sum = push(&mut g, Op::Reduce { op: ReduceOp::Sum, axes: vec![2], keep: false }, &[t]);
    g.add_output("sum", sum);
    let p = lower(&g, &Target::x86_64_v4(), &LowerOptions::default()).expect("lowers");
    assert_eq!(p.plan.steps.len(), 1);
    agree(&g, &[]);
}
