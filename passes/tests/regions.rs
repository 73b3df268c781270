//! Control flow through `optimize`: constants sink into regions, decided branches go, bodies are optimised like models.
#![allow(clippy::unwrap_used)]

use beiming_ir::eval;
use beiming_ir::graph::{Graph, Loc, ValueId};
use beiming_ir::ops::{BinaryOp, If, Loop, Op, UnaryOp};
use beiming_ir::target::Target;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim, Symbols, TensorType};
use beiming_passes::{OptimizeOptions, optimize};

fn f32s(n: usize) -> TensorType {
    TensorType::known(DType::F32, &[n, n])
}

fn weights(n: usize) -> Tensor {
    Tensor::build(DType::F32, &[n, n], |i| Num::Float((i * 7 % 11) as f64 / 11.0 - 0.5))
}

fn push(g: &mut Graph, op: Op, inputs: &[ValueId]) -> ValueId {
    g.push1(op, inputs, &Loc::default()).unwrap()
}

/// `act(x . w)`, a region that captures both.
fn branch(act: UnaryOp) -> Graph {
    let mut g = Graph::new("branch", Symbols::default());
    let (x, w) = (g.add_input("x", f32s(4)), g.add_input("w", f32s(4)));
    let y = push(&mut g, Op::MatMul { out: DType::F32 }, &[x, w]);
    let y = push(&mut g, Op::Unary(act), &[y]);
    g.add_output("y", y);
    g
}

fn model(condition: Option<bool>) -> Graph {
    let mut g = Graph::new("model", Symbols::default());
    let x = g.add_input("x", f32s(4));
    let c = match condition {
        Some(c) => g.constant(Tensor::scalar(DType::Bool, Num::Int(c.into())), &Loc::default()),
        None => g.add_input("c", TensorType::scalar(DType::Bool)),
    };
    let w = g.constant(weights(4), &Loc::default());
    let (then_region, else_region) = (g.add_region(branch(UnaryOp::Tanh)), g.add_region(branch(UnaryOp::Exp)));
    let y = push(&mut g, Op::If(If { then_region, else_region }), &[c, x, w]);
    let y = push(&mut g, Op::Unary(UnaryOp::Neg), &[y]);
    g.add_output("y", y);
    g
}

fn same(g: &Graph, h: &Graph, inputs: &[Tensor]) {
    let (want, got) = (eval::graph(g, inputs).unwrap(), eval::graph(h, inputs).unwrap());
    for (w, g) in want.iter().zip(&got) {
        assert_eq!((w.ty(), w.bytes()), (g.ty(), g.bytes()));
    }
}

fn run(g: &Graph) -> Graph {
    optimize(g.clone(), &Target::x86_64_v3(), &OptimizeOptions::default()).unwrap().0
}

#[test]
fn a_decided_branch_is_inlined_and_fuses() {
    for c in [true, false] {
        let g = model(Some(c));
        let h = run(&g);
        assert!(h.regions.is_empty());
        assert_eq!(h.nodes().iter().filter(|n| !matches!(n.op, Op::Constant(_))).count(), 1);
        same(&g, &h, &[weights(4)]);
    }
}

#[test]
fn captured_constants_move_into_branches() {
    let g = model(None);
    let h = run(&g);
    assert_eq!(h.regions.len(), 2);
    for r in &h.regions {
        assert_eq!(r.inputs.len(), 1, "only the value that changes is captured");
        assert!(r.nodes().iter().any(|n| matches!(n.op, Op::Fused(_))));
    }
    for c in [0, 1] {
        same(&g, &h, &[weights(4), Tensor::scalar(DType::Bool, Num::Int(c))]);
    }
}

#[test]
fn loop_bodies_keep_their_state() {
    let mut body = Graph::new("body", Symbols::default());
    let _i = body.add_input("i", TensorType::scalar(DType::I64));
    let c = body.add_input("c", TensorType::scalar(DType::Bool));
    let (s, w) = (body.add_input("s", f32s(4)), body.add_input("w", f32s(4)));
    let y = push(&mut body, Op::MatMul { out: DType::F32 }, &[s, w]);
    let y = push(&mut body, Op::Binary(BinaryOp::Add), &[y, s]);
    let scan = push(&mut body, Op::Unary(UnaryOp::Tanh), &[y]);
    for v in [c, y, scan] {
        body.add_output("", v);
    }
    let mut g = Graph::new("model", Symbols::default());
    let x = g.add_input("x", f32s(4));
    let trip = g.constant(Tensor::scalar(DType::I64, Num::Int(3)), &Loc::default());
    let cond = g.constant(Tensor::scalar(DType::Bool, Num::Int(1)), &Loc::default());
    let w = g.constant(weights(4), &Loc::default());
    let body = g.add_region(body);
    let op = Op::Loop(Loop { body, state: 1, trips: Dim::from(3) });
    let out = g.push(op, &[trip, cond, x, w], &Loc::default()).unwrap();
    for v in out {
        g.add_output("", v);
    }
    let h = run(&g);
    assert_eq!(h.regions.len(), 1);
    assert_eq!(h.regions[0].inputs.len(), 3, "iteration, condition and state; the weights moved in");
    same(&g, &h, &[weights(4)]);
}
