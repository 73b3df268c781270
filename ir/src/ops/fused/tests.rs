//! Tests of the op family, by tables and properties.

use super::*;
use crate::ops::testing::{dims, run, try_run, types};
use crate::ops::{BinaryOp, UnaryOp};
use crate::types::{DType, Dim};

fn node(op: Op, args: &[Arg]) -> BodyNode {
    BodyNode { op, args: args.to_vec() }
}

/// `transpose(a + b) * -a`, the second factor reshaped.
fn group() -> Body {
    use Arg::{Input, Node};
    Body {
        inputs: 2,
        nodes: vec![
            node(Op::Binary(BinaryOp::Add), &[Input(0), Input(1)]),
            node(Op::Transpose { perm: vec![1, 0] }, &[Node(0)]),
            node(Op::Unary(UnaryOp::Neg), &[Input(0)]),
            node(Op::Reshape { shape: dims(&["2", "1"]) }, &[Node(2)]),
            node(Op::Binary(BinaryOp::Mul), &[Node(1), Node(3)]),
        ],
    }
}

const TILE: Tile = Tile { mr: 6, nr: 16, mc: 72, nc: 256, kc: 128 };

#[test]
fn a_group_means_its_nodes_in_order() {
    let inputs = ["f32[2]", "f32[N, 2]"];
    let (a, b) = (Tensor::f32(&[2], &[1., 2.]), Tensor::f32(&[3, 2], &[0., 1., 2., 3., 4., 5.]));
    for op in [Op::Fused(group().into()), Op::Tiled { body: group().into(), tile: TILE }] {
        assert_eq!(types(&op, &inputs), Ok(vec!["f32[2, N]".to_string()]));
        let y = &run(&op, &[a.clone(), b.clone()])[0];
        assert_eq!((y.shape.as_slice(), y.to_f64()), (&[2, 3][..], vec![-1., -3., -5., -6., -10., -14.]));
    }
}

#[test]
fn symbols_reach_into_groups() {
    let shape = vec![Dim::sym("N"), 2.into()];
    let body = Body { inputs: 1, nodes: vec![node(Op::Reshape { shape }, &[Arg::Input(0)])] };
    let values = eval::Dims::from([("N".into(), 3)]);
    let x = Tensor::f32(&[6], &[0.0; 6]);
    let y = eval::op(&Op::Fused(body.into()), &[x], &Graph::default(), &values).expect("runs");
    assert_eq!(y[0].shape, [3, 2]);
}

#[test]
fn malformed_groups_are_refused() {
    let change = |change: fn(&mut Body)| {
        let mut b = group();
        change(&mut b);
        Op::Fused(b.into())
    };
    let tiled = |tile| Op::Tiled { body: group().into(), tile };
    let cases = [
        (change(|b| b.nodes.clear()), "the group is empty"),
        (change(|b| b.inputs = 3), "the group takes 3 arguments, got 2"),
        (change(|b| b.nodes[1].args = vec![Arg::Node(1)]), "node 1 of the group refers to Node(1), which is not before it"),
        (change(|b| b.nodes[1].args = vec![Arg::Input(2)]), "node 1 of the group refers to Input(2), which is not before it"),
        (
            change(|b| b.nodes[0].op = Op::Constant(crate::graph::ConstId(0))),
            "node 0 of the group is `constant`, which cannot be fused",
        ),
        (
            change(|b| b.nodes[0] = node(Op::Fused(group().into()), &[Arg::Input(0), Arg::Input(1)])),
            "node 0 of the group is `fused`, which cannot be fused",
        ),
        (
            change(|b| b.nodes[1].op = Op::Transpose { perm: vec![0] }),
            "node 1 of the group: transpose: perm [0] does not name each axis of f32[3, 2] once: it must be an order of 0..2",
        ),
        (tiled(Tile { kc: 0, ..TILE }), "Tile { mr: 6, nr: 16, mc: 72, nc: 256, kc: 0 } has an extent of zero"),
        (
            tiled(Tile { mc: 7, ..TILE }),
            "Tile { mr: 6, nr: 16, mc: 7, nc: 256, kc: 128 }: mc must be a multiple of mr, and nc of nr",
        ),
    ];
    for (op, want) in cases {
        assert_eq!(types(&op, &["f32[2]", "f32[3, 2]"]), Err(want.to_string()));
        assert!(
            try_run(&op, &[Tensor::f32(&[2], &[0.0; 2]), Tensor::build(DType::F32, &[3, 2], |_| crate::tensor::Num::Int(0))])
                .is_err()
        );
    }
}
