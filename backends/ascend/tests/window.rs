//! Convolutions and pooling, with what follows them, on every generation.

mod support;

use beiming_ir::graph::{Graph, Loc};
use beiming_ir::ops::{BinaryOp, Conv, Op, Pool, PoolKind, ReduceOp};
use beiming_ir::types::{DType, Symbols, TensorType};

use DType::{BF16, F16, F32};
use support::{CHIPS, Call, Node, fused_deep, simulate};

fn calls(name: &str, inputs: &[(DType, &[usize])], nodes: Vec<Node>, chip: &str, depth: usize) -> Vec<Call> {
    fused_deep(name, inputs, &[], nodes, chip, depth)
}

/// A convolution: data, weight, then strides, dilations, padding and groups.
type Case<'a> = (&'a [usize], &'a [usize], &'a [usize], &'a [usize], &'a [(i64, i64)], usize);

fn conv(c: &Case, dtype: DType, chip: &str) -> Vec<Call> {
    let (x, w, strides, dilations, pads, groups) = *c;
    let op = Op::Conv(Conv { strides: strides.into(), dilations: dilations.into(), pads: pads.into(), groups });
    let depth = w[..w.len() - 1].iter().product();
    calls("conv", &[(dtype, x), (dtype, w)], vec![(op, vec![100, 101])], chip, depth)
}

#[test]
fn channels_apart() {
    let mut all = vec![];
    for chip in CHIPS {
        let cases: [Case; 6] = [
            (&[1, 5, 7, 8], &[3, 3, 1, 8], &[1, 1], &[1, 1], &[(1, 1), (1, 1)], 8),
            (&[2, 6, 9, 13], &[3, 3, 1, 13], &[2, 2], &[1, 1], &[(1, 1), (0, 1)], 13),
            (&[1, 7, 33, 31], &[5, 5, 1, 31], &[1, 2], &[1, 1], &[(2, 2), (2, 2)], 31),
            (&[1, 9, 9, 16], &[3, 3, 1, 16], &[1, 1], &[2, 2], &[(2, 2), (2, 2)], 16),
            (&[1, 20, 3], &[4, 1, 3], &[3], &[1], &[(0, 0)], 3),
            (&[1, 1, 1, 1], &[3, 3, 1, 1], &[1, 1], &[1, 1], &[(1, 1), (1, 1)], 1),
        ];
        for c in &cases {
            all.extend(conv(c, F32, chip));
        }
        for c in &cases[..2] {
            all.extend(conv(c, F16, chip));
        }
    }
    all.extend(conv(&(&[1, 5, 7, 9], &[3, 3, 1, 9], &[1, 1], &[1, 1], &[(1, 1), (1, 1)], 9), BF16, "ascend910b1"));
    simulate(&all);
}

#[test]
fn channels_that_mix() {
    let mut all = vec![];
    for chip in CHIPS {
        let cases: [Case; 6] = [
            (&[1, 4, 5, 3], &[3, 3, 3, 8], &[1, 1], &[1, 1], &[(1, 1), (1, 1)], 1),
            (&[2, 7, 6, 5], &[3, 2, 5, 7], &[2, 2], &[1, 1], &[(1, 0), (1, 1)], 1),
            (&[1, 3, 4, 6], &[3, 3, 2, 12], &[1, 1], &[1, 1], &[(1, 1), (1, 1)], 3),
            (&[1, 40, 1], &[16, 1, 10], &[8], &[1], &[(4, 4)], 1),
            (&[1, 9, 17], &[3, 17, 33], &[1], &[2], &[(2, 2)], 1),
            (&[1, 2, 3, 130], &[1, 1, 130, 66], &[1, 1], &[1, 1], &[(0, 0), (0, 0)], 1),
        ];
        for c in &cases {
            all.extend(conv(c, F32, chip));
        }
        all.extend(conv(&cases[0], F16, chip));
    }
    simulate(&all);
}

#[test]
fn pools() {
    let mut all = vec![];
    let pool = |kind, window: &[usize], strides: &[usize], pads: &[(i64, i64)], ceil| {
        let (window, strides, pads) = (window.to_vec(), strides.to_vec(), pads.to_vec());
        Op::Pool(Pool { kind, dilations: vec![1; window.len()], window, strides, pads, ceil })
    };
    for chip in CHIPS {
        for (dtype, shape) in [(F32, [1usize, 6, 7, 5]), (F32, [2, 5, 9, 16]), (F16, [1, 6, 6, 24])] {
            for op in [
                pool(PoolKind::Max, &[2, 2], &[2, 2], &[(0, 0), (0, 0)], false),
                pool(PoolKind::Max, &[3, 3], &[2, 2], &[(1, 1), (1, 1)], true),
                pool(PoolKind::Avg { padded: false }, &[3, 3], &[2, 1], &[(1, 1), (1, 1)], false),
                pool(PoolKind::Avg { padded: true }, &[3, 2], &[1, 1], &[(1, 1), (1, 0)], false),
            ] {
                all.extend(calls("pool", &[(dtype, &shape)], vec![(op, vec![100])], chip, 0));
            }
        }
        let wide = pool(PoolKind::Avg { padded: false }, &[6, 7], &[1, 1], &[(0, 0), (0, 0)], false);
        all.extend(calls("global", &[(F32, &[1, 6, 7, 10])], vec![(wide, vec![100])], chip, 0));
    }
    simulate(&all);
}

#[test]
fn reductions_across_rows() {
    let mut all = vec![];
    for chip in CHIPS {
        for (op, shape, axes, keep) in [
            (ReduceOp::Sum, &[2usize, 3, 5, 7][..], &[1usize, 2][..], true),
            (ReduceOp::Mean, &[31, 33], &[0], false),
            (ReduceOp::Max, &[3, 1, 17, 16], &[2], true),
            (ReduceOp::Min, &[3, 6, 8], &[1], false),
            (ReduceOp::Mean, &[1, 1], &[1], true),
            (ReduceOp::Sum, &[2, 3000, 3], &[1], false),
        ] {
            let op = Op::Reduce { op, axes: axes.to_vec(), keep };
            all.extend(calls("reduce", &[(F32, shape)], vec![(op, vec![100])], chip, 3000));
        }
        let op = Op::Reduce { op: ReduceOp::Mean, axes: vec![0], keep: false };
        all.extend(calls("reduce", &[(F16, &[9, 21])], vec![(op, vec![100])], chip, 0));
    }
    simulate(&all);
}

#[test]
fn products_without_a_cube_unit() {
    let mut all = vec![];
    for (dtype, a, b) in [
        (F32, &[5usize, 7][..], &[7usize, 9][..]),
        (F32, &[1, 33], &[33, 1]),
        (F32, &[2, 3, 17, 8], &[2, 3, 8, 31]),
        (F32, &[2, 4, 16], &[16, 40]),
    ] {
        let op = Op::MatMul { out: dtype };
        all.extend(calls("product", &[(dtype, a), (dtype, b)], vec![(op, vec![100, 101])], "ascend310p3", 40));
    }
    let nodes = vec![(Op::Transpose { perm: vec![1, 0] }, vec![101]), (Op::MatMul { out: F32 }, vec![100, 0])];
    all.extend(calls("turned", &[(F32, &[3, 10]), (F32, &[6, 10])], nodes, "ascend310p3", 40));
    simulate(&all);
}

/// One tap, no padding: a product on the cube unit.
#[test]
fn convolutions_that_are_products() {
    let mut all = vec![];
    for chip in ["ascend910b1", "ascend950"] {
        let op = || Op::Conv(Conv { strides: vec![1, 1], dilations: vec![1, 1], pads: vec![(0, 0); 2], groups: 1 });
        let bias = (Op::Binary(BinaryOp::Add), vec![0, 102]);
        let inputs: [(DType, &[usize]); 3] = [(F32, &[1, 5, 7, 19]), (F32, &[1, 1, 19, 33]), (F32, &[33])];
        all.extend(calls("of one tap", &inputs[..2], vec![(op(), vec![100, 101])], chip, 19));
        all.extend(calls("of one tap, with bias", &inputs, vec![(op(), vec![100, 101]), bias], chip, 19));
        let inputs: [(DType, &[usize]); 2] = [(F16, &[2, 3, 3, 32]), (F16, &[1, 1, 32, 16])];
        all.extend(calls("of one tap", &inputs, vec![(op(), vec![100, 101])], chip, 32));
    }
    simulate(&all);
}

#[test]
fn with_bias_and_activation() {
    let mut all = vec![];
    for chip in CHIPS {
        let op = Op::Conv(Conv { strides: vec![1, 1], dilations: vec![1, 1], pads: vec![(1, 1), (1, 1)], groups: 11 });
        let nodes =
            vec![(op, vec![100, 101]), (Op::Binary(BinaryOp::Add), vec![0, 102]), (Op::Binary(BinaryOp::Max), vec![1, 103])];
        let inputs: [(DType, &[usize]); 4] = [(F32, &[1, 5, 6, 11]), (F32, &[3, 3, 1, 11]), (F32, &[11]), (F32, &[])];
        all.extend(calls("bias and activation", &inputs, nodes, chip, 9));
    }
    simulate(&all);
}

/// What a reader of the emitted code sees.
#[test]
fn spelling() {
    for (name, c, chip) in [
        ("depthwise_f32", (&[1, 56, 56, 48][..], &[3, 3, 1, 48][..], [2, 2], [(1, 1), (1, 1)], 48), "ascend910b1"),
        ("depthwise_f16", (&[1, 56, 56, 48], &[3, 3, 1, 48], [1, 1], [(1, 1), (1, 1)], 48), "ascend310p3"),
        ("stem_f32", (&[1, 48, 192, 3], &[3, 3, 3, 8], [2, 2], [(1, 1), (1, 1)], 1), "ascend950"),
    ] {
        let (x, w, strides, pads, groups) = c;
        let dtype = if name.ends_with("f16") { F16 } else { F32 };
        let mut g = Graph::new(name, Symbols::default());
        let values = [x, w].map(|s| g.add_input("x", TensorType::known(dtype, s)));
        let op = Op::Conv(Conv { strides: strides.to_vec(), dilations: vec![1, 1], pads: pads.to_vec(), groups });
        let out = g.push1(op, &values, &Loc::default()).expect("a convolution");
        g.add_output("y", out);
        insta::assert_snapshot!(format!("{name}__{chip}"), support::spelled(&g, chip));
    }
}
