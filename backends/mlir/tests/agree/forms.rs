//! Ops that cross elements, groups of several ops, and what their modules look like.

use beiming_ir::ops::{Arg, BinaryOp, Body, BodyNode, Conv, NormKind, Op, PadMode, ReduceOp, Slice, UnaryOp};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim};
use beiming_mlir::emit;
use beiming_mlir::tile::Tile;

use crate::engine::Engine;
use crate::{FLOATS, agrees, all, data, graph, only};

fn dims(d: &[i64]) -> Vec<Dim> {
    d.iter().map(|&v| Dim::from(v)).collect()
}

fn fused(inputs: u32, nodes: Vec<(Op, Vec<Arg>)>) -> Op {
    Op::Fused(std::sync::Arc::new(Body { inputs, nodes: nodes.into_iter().map(|(op, args)| BodyNode { op, args }).collect() }))
}

#[test]
fn reductions() {
    use ReduceOp::*;
    let engine = Engine::new();
    let mut results = vec![];
    for op in [Sum, Prod, Max, Min, Mean, All, Any] {
        for d in FLOATS.into_iter().chain([DType::I32, DType::I8, DType::U8, DType::Bool]).filter(|d| op.takes(*d)) {
            for (axes, keep) in [(vec![2], false), (vec![0], true), (vec![0, 2], false), (vec![0, 1, 2], false), (vec![1], true)]
            {
                let r = agrees(&engine, Op::Reduce { op, axes: axes.clone(), keep }, &[data(d, &[3, 4, 5], 5)], &[]);
                results.push((format!("{} of {d} over {axes:?}", op.name()), r));
            }
        }
    }
    for d in FLOATS {
        let x = data(d, &[4, 33], 6);
        for (axis, log) in [(1, false), (0, false), (1, true)] {
            results.push((
                format!("softmax {axis} {log} of {d}"),
                agrees(&engine, Op::Softmax { axis, log }, std::slice::from_ref(&x), &[]),
            ));
        }
        for kind in [NormKind::Layer, NormKind::Rms] {
            let op = Op::Norm { kind, axis: 1, eps: 1e-5.into() };
            results.push((format!("{kind:?} of {d}"), agrees(&engine, op, std::slice::from_ref(&x), &[])));
        }
    }
    all(results);
}

#[test]
fn products() {
    let engine = Engine::new();
    let mut results = vec![];
    let shapes: [(&[usize], &[usize]); 6] = [
        (&[5, 7], &[7, 3]),
        (&[1, 7], &[7, 3]),
        (&[2, 5, 7], &[7, 3]),
        (&[2, 5, 7], &[2, 7, 3]),
        (&[2, 1, 5, 7], &[3, 7, 4]),
        (&[5, 7], &[4, 7, 3]),
    ];
    let types = [
        (DType::F32, DType::F32, DType::F32),
        (DType::F16, DType::F16, DType::F32),
        (DType::F16, DType::F16, DType::F16),
        (DType::BF16, DType::BF16, DType::F32),
        (DType::I8, DType::I8, DType::I32),
        (DType::U8, DType::I8, DType::I32),
    ];
    for (x, y) in shapes {
        for (a, b, out) in types {
            let r = agrees(&engine, Op::MatMul { out }, &[data(a, x, 7), data(b, y, 8)], &[]);
            results.push((format!("{a}{x:?} x {b}{y:?} to {out}"), r));
        }
    }
    let conv = |strides: &[usize], pads: &[(i64, i64)], groups| {
        Op::Conv(Conv { strides: strides.into(), dilations: vec![1; strides.len()], pads: pads.into(), groups })
    };
    let cases: [(Op, &[usize], &[usize]); 4] = [
        (conv(&[1, 1], &[(0, 0), (0, 0)], 1), &[2, 6, 7, 3], &[1, 1, 3, 5]),
        (conv(&[2], &[(1, 1)], 1), &[1, 9, 4], &[3, 4, 6]),
        (conv(&[1, 2], &[(1, 1), (0, 1)], 1), &[2, 6, 7, 3], &[3, 3, 3, 5]),
        (conv(&[1, 1], &[(1, 1), (1, 1)], 4), &[1, 6, 7, 4], &[3, 3, 1, 4]),
    ];
    for (op, x, w) in cases {
        results.push((format!("{op:?}"), agrees(&engine, op, &[data(DType::F32, x, 9), data(DType::F32, w, 10)], &[])));
    }
    all(results);
}

#[test]
fn moves() {
    let engine = Engine::new();
    let i = |v: &[i64]| Tensor::i64(&[v.len()], v);
    let zero = |d: DType| Tensor::build(d, &[], |_| if d.is_float() { Num::Float(0.5) } else { Num::Int(1) });
    let slice =
        |start: &[i64], len: &[i64], step: &[i64]| Op::Slice(Slice { start: dims(start), len: dims(len), step: step.into() });
    let mut results = vec![];
    for d in [DType::F32, DType::F16, DType::I8, DType::Bool] {
        let x = data(d, &[2, 1, 3, 4], 11);
        let cases: Vec<(Op, Vec<Tensor>, &[usize])> = vec![
            (Op::Reshape { shape: dims(&[2, 12]) }, vec![x.clone()], &[]),
            (Op::Reshape { shape: dims(&[4, 6]) }, vec![x.clone()], &[]),
            (Op::Transpose { perm: vec![3, 0, 1, 2] }, vec![x.clone()], &[]),
            (Op::Transpose { perm: vec![1, 0, 2, 3] }, vec![x.clone()], &[]),
            (Op::Broadcast { shape: dims(&[5, 2, 6, 3, 4]) }, vec![x.clone()], &[]),
            (slice(&[0, 0, 2, 1], &[2, 1, 1, 2], &[1, 1, 1, 2]), vec![x.clone()], &[]),
            (Op::Concat { axis: 2 }, vec![x.clone(), data(d, &[2, 1, 5, 4], 12)], &[]),
            (
                Op::Pad { lo: dims(&[0, 1, -1, 0]), hi: dims(&[0, 0, 2, 3]), mode: PadMode::Constant },
                vec![x.clone(), zero(d)],
                &[1],
            ),
            (Op::Gather { axis: 2 }, vec![x.clone(), i(&[2, -1, 7, 0, 1])], &[]),
            (Op::Gather { axis: 0 }, vec![x.clone(), Tensor::i64(&[], &[-1])], &[1]),
            (Op::Select, vec![data(DType::Bool, &[3, 1], 13), x.clone(), data(d, &[4], 14)], &[]),
        ];
        for (op, inputs, constant) in cases {
            // A reshape alone is an alias, which needs no function; in a group it is an op.
            let op = if matches!(op, Op::Reshape { .. }) { fused(1, vec![(op, vec![Arg::Input(0)])]) } else { op };
            results.push((format!("{op:?} of {d}"), agrees(&engine, op, &inputs, constant)));
        }
    }
    all(results);
}

/// A product with bias and GELU behind it; scores with a mask, scaled, and their softmax; a layer norm with scale and shift.
fn groups() -> Vec<(&'static str, Op, Vec<Tensor>, &'static [usize])> {
    let f = |shape: &[usize], seed| data(DType::F32, shape, seed);
    let number = |v: f64| Tensor::build(DType::F32, &[], |_| Num::Float(v));
    let (input, node) = (Arg::Input, Arg::Node);
    let binary = |op, a, b| (Op::Binary(op), vec![a, b]);
    vec![
        (
            "matmul_bias_gelu",
            fused(
                6,
                vec![
                    (Op::MatMul { out: DType::F32 }, vec![input(0), input(1)]),
                    binary(BinaryOp::Add, node(0), input(2)),
                    binary(BinaryOp::Mul, node(1), input(3)),
                    (Op::Unary(UnaryOp::Erf), vec![node(2)]),
                    binary(BinaryOp::Add, node(3), input(4)),
                    binary(BinaryOp::Mul, node(1), node(4)),
                    binary(BinaryOp::Mul, node(5), input(5)),
                ],
            ),
            vec![
                f(&[6, 8], 15),
                f(&[8, 10], 16),
                f(&[10], 17),
                number(std::f64::consts::FRAC_1_SQRT_2),
                number(1.0),
                number(0.5),
            ],
            &[3, 4, 5],
        ),
        (
            "masked_softmax",
            fused(
                3,
                vec![
                    binary(BinaryOp::Mul, input(0), input(2)),
                    binary(BinaryOp::Add, node(0), input(1)),
                    (Op::Softmax { axis: 2, log: false }, vec![node(1)]),
                ],
            ),
            vec![f(&[2, 5, 7], 18), f(&[2, 1, 7], 19), number(0.125)],
            &[2],
        ),
        (
            "layer_norm_scaled",
            fused(
                3,
                vec![
                    (Op::Norm { kind: NormKind::Layer, axis: 1, eps: 1e-5.into() }, vec![input(0)]),
                    binary(BinaryOp::Mul, node(0), input(1)),
                    binary(BinaryOp::Add, node(1), input(2)),
                ],
            ),
            vec![f(&[5, 12], 20), f(&[12], 21), f(&[12], 22)],
            &[],
        ),
        (
            "half_add_cast",
            fused(2, vec![binary(BinaryOp::Add, input(0), input(1)), (Op::Cast { to: DType::F32 }, vec![node(0)])]),
            vec![data(DType::F16, &[4, 9], 23), data(DType::F16, &[4, 1], 24)],
            &[],
        ),
        ("integer_division", Op::Binary(BinaryOp::Div), vec![data(DType::I32, &[20], 25), data(DType::I32, &[20], 26)], &[]),
    ]
}

#[test]
fn fused_groups() {
    let engine = Engine::new();
    all(groups().into_iter().map(|(name, op, inputs, constant)| (name.to_string(), agrees(&engine, op, &inputs, constant))));
}

#[test]
fn modules_as_they_print() {
    for (name, op, inputs, constant) in groups() {
        let group = only(&graph(op, &inputs, constant));
        insta::assert_snapshot!(name, group.text.expect("expressed"));
    }
}

#[test]
fn tiles_as_they_print() {
    let cases = [
        ("tile_of_layer_norm", 2, Tile { rows: Some(3), width: 12 }),
        ("tile_of_half_add_cast", 3, Tile { rows: Some(2), width: 9 }),
        ("tile_of_a_line", 4, Tile { rows: None, width: 16 }),
    ];
    for (name, at, tile) in cases {
        let (_, op, inputs, constant) = groups().swap_remove(at);
        let all = emit::groups(&graph(op, &inputs, constant), &|_| Some(tile));
        insta::assert_snapshot!(name, all[0].tile.clone().expect("asked for").expect("expressed"));
    }
    let (_, op, inputs, constant) = groups().swap_remove(0);
    let all = emit::groups(&graph(op, &inputs, constant), &|_| Some(Tile { rows: Some(2), width: 10 }));
    let why = all[0].tile.clone().expect("asked for").expect_err("no rows of a product").to_string();
    assert!(why.contains("`matmul` is not cut into rows"), "{why}");
}

#[test]
fn what_is_not_expressed_says_why() {
    let x = data(DType::F32, &[2, 3], 27);
    let cases: [(Op, &str); 3] = [
        (Op::ArgReduce { max: true, axis: 1, keep: false, last: false }, "`argmax`: the op has no form"),
        (
            Op::Slice(Slice { start: dims(&[1, 0]), len: dims(&[2, 3]), step: vec![-1, 1] }),
            "`slice`: a slice that goes backwards has no form in tensor",
        ),
        (
            fused(1, vec![(Op::Unary(UnaryOp::Exp), vec![Arg::Input(0)]), (Op::Reverse { axes: vec![0] }, vec![Arg::Node(0)])]),
            "`reverse`: the op has no form",
        ),
    ];
    for (op, want) in cases {
        let said = only(&graph(op, std::slice::from_ref(&x), &[])).text.expect_err("not expressed").to_string();
        assert!(said.starts_with(want), "{said}");
    }
}

#[test]
fn products_of_a_group_stand_alone() {
    // A batch with a bias, of which every matrix is multiplied alike: one product, of one matrix of each operand.
    let group = fused(
        3,
        vec![
            (Op::MatMul { out: DType::F16 }, vec![Arg::Input(0), Arg::Input(1)]),
            (Op::Binary(BinaryOp::Add), vec![Arg::Node(0), Arg::Input(2)]),
        ],
    );
    let inputs = [data(DType::F16, &[2, 5, 7], 1), data(DType::F16, &[2, 7, 3], 2), data(DType::F16, &[3], 3)];
    let all = emit::groups(&graph(group, &inputs, &[]), &|_| None);
    let [product] = &all[0].products[..] else { panic!("{:?}", all[0].products) };
    insta::assert_snapshot!("product_of_a_batch", product.clone().expect("expressed"));
    let all = emit::groups(&graph(Op::Binary(BinaryOp::Add), &[inputs[2].clone(), inputs[2].clone()], &[]), &|_| None);
    assert!(all[0].products.is_empty());
}
