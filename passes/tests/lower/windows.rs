//! Matrix products, convolutions and pooling in their plain form.

use beiming_ir::ops::{BinaryOp, Conv, ConvTranspose, Op, Pool, PoolKind, UnaryOp};
use beiming_ir::types::DType::{F16, F32, I8, I32};

use crate::check::{agree, fused, graph, push, ty};

#[test]
fn matrix_products() {
    for (a, b) in [("3 4", "4 5"), ("1 1", "1 1"), ("17 33", "33 31"), ("2 3 4 5", "5 6"), ("2 1 4 5", "3 5 6"), ("4 0", "0 3")] {
        let mut g = graph(&[]);
        let x = g.add_input("x", ty(F32, a));
        let y = g.add_input("y", ty(F32, b));
        let z = push(&mut g, Op::MatMul { out: F32 }, &[x, y]);
        g.add_output("z", z);
        agree(&g, &[]);
    }
}

#[test]
fn products_of_other_types_with_epilogue() {
    for (dtype, out) in [(F16, F16), (F16, F32), (I8, I32), (I32, I32)] {
        let mut g = graph(&[("M", 1, 64)]);
        let x = g.add_input("x", ty(dtype, "M 9"));
        let y = g.add_input("y", ty(dtype, "20 9"));
        let b = g.add_input("b", ty(out, "20"));
        let z = fused(
            &mut g,
            vec![
                (Op::Transpose { perm: vec![1, 0] }, vec![101]),
                (Op::MatMul { out }, vec![100, 0]),
                (Op::Binary(BinaryOp::Add), vec![1, 102]),
                (Op::Unary(UnaryOp::Abs), vec![2]),
            ],
            &[x, y, b],
        );
        g.add_output("z", z);
        agree(&g, &[("M", 5)]);
    }
}

#[test]
fn convolutions() {
    let cases: [(&str, &str, Conv); 6] = [
        ("2 7 6 3", "3 3 3 5", conv(&[1, 1], &[1, 1], &[(1, 1), (1, 1)], 1)),
        ("1 9 8 4", "3 2 4 6", conv(&[2, 3], &[2, 1], &[(0, 2), (1, 0)], 1)),
        ("1 8 8 24", "3 3 1 24", conv(&[1, 1], &[1, 1], &[(1, 1), (1, 1)], 24)),
        ("1 5 5 6", "1 1 3 8", conv(&[1, 1], &[1, 1], &[(0, 0), (0, 0)], 2)),
        ("2 20 3", "5 3 7", conv(&[2], &[1], &[(2, 2)], 1)),
        ("1 3 4 5 2", "2 2 2 2 3", conv(&[1, 1, 2], &[1, 1, 1], &[(1, 0), (0, 1), (0, 0)], 1)),
    ];
    for (data, weight, c) in cases {
        let mut g = graph(&[]);
        let x = g.add_input("x", ty(F32, data));
        let w = g.add_input("w", ty(F32, weight));
        let y = push(&mut g, Op::Conv(c.clone()), &[x, w]);
        let z = fused(
            &mut g,
            vec![(Op::Unary(UnaryOp::Sigmoid), vec![100]), (Op::Conv(c), vec![0, 101]), (Op::Unary(UnaryOp::Neg), vec![1])],
            &[x, w],
        );
        g.add_output("y", y);
        g.add_output("z", z);
        agree(&g, &[]);
    }
}

fn conv(strides: &[usize], dilations: &[usize], pads: &[(i64, i64)], groups: usize) -> Conv {
    Conv { strides: strides.into(), dilations: dilations.into(), pads: pads.into(), groups }
}

#[test]
fn transposed_convolutions() {
    for (stride, dilation, pad, extra, groups) in [(2, 1, (0, 0), 0, 1), (3, 2, (1, 2), 1, 2), (1, 1, (1, 1), 0, 1)] {
        let mut g = graph(&[("W", 1, 64)]);
        let x = g.add_input("x", ty(F32, "2 5 W 4"));
        let w = g.add_input("w", ty(F32, &format!("3 2 4 {}", 6 / groups)));
        let c = ConvTranspose {
            strides: vec![stride; 2],
            dilations: vec![dilation; 2],
            pads: vec![pad; 2],
            extra: vec![extra; 2],
            groups,
        };
        let y = push(&mut g, Op::ConvTranspose(c), &[x, w]);
        g.add_output("y", y);
        agree(&g, &[("W", 6)]);
    }
}

#[test]
fn pooling() {
    for kind in [PoolKind::Max, PoolKind::Avg { padded: false }, PoolKind::Avg { padded: true }, PoolKind::Lp { p: 2.0.into() }] {
        for (window, stride, dilation, pad, ceil) in
            [(2, 2, 1, (0, 0), false), (3, 2, 1, (1, 1), true), (3, 1, 2, (2, 1), false), (2, 3, 1, (0, 1), true)]
        {
            let mut g = graph(&[("H", 5, 64)]);
            let x = g.add_input("x", ty(F32, "2 H 9 5"));
            let p = Pool {
                kind,
                window: vec![window; 2],
                strides: vec![stride; 2],
                dilations: vec![dilation; 2],
                pads: vec![pad; 2],
                ceil,
            };
            let y = push(&mut g, Op::Pool(p), &[x]);
            g.add_output("y", y);
            agree(&g, &[("H", 8)]);
        }
    }
}
