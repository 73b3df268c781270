//! What the kernels look like: a change of schedule shows here.

use beiming_ir::graph::Graph;
use beiming_ir::ops::{BinaryOp, NormKind, Op, ReduceOp, UnaryOp};
use beiming_ir::target::Target;
use beiming_ir::text::print_kernel;
use beiming_ir::types::DType::{F16, F32, I64};
use beiming_passes::lower::{LowerOptions, lower};

use crate::check::{dims, fused, graph, push, ty};

fn kernels(g: &Graph) -> String {
    let p = lower(g, &Target::x86_64_v4(), &LowerOptions::default()).expect("lowers");
    p.kernels.iter().map(print_kernel).collect::<Vec<_>>().join("\n")
}

#[test]
fn contiguous() {
    let mut g = graph(&[("N", 1, 64)]);
    let a = g.add_input("a", ty(F32, "N 56 56 8"));
    let b = g.add_input("b", ty(F32, "N 56 56 8"));
    let y = fused(&mut g, vec![(Op::Binary(BinaryOp::Add), vec![100, 101]), (Op::Unary(UnaryOp::Sigmoid), vec![0])], &[a, b]);
    g.add_output("y", y);
    insta::assert_snapshot!(kernels(&g));
}

#[test]
fn short_inner_axis() {
    let mut g = graph(&[]);
    let a = g.add_input("a", ty(F32, "4096 3"));
    let b = g.add_input("b", ty(F32, "3"));
    let y = push(&mut g, Op::Binary(BinaryOp::Mul), &[a, b]);
    g.add_output("y", y);
    insta::assert_snapshot!(kernels(&g));
}

#[test]
fn heads() {
    let mut g = graph(&[("S", 1, 512)]);
    let x = g.add_input("x", ty(F32, "1 S 768"));
    let nodes = vec![(Op::Reshape { shape: dims("1 S 12 64") }, vec![100]), (Op::Transpose { perm: vec![0, 2, 3, 1] }, vec![0])];
    let y = fused(&mut g, nodes, &[x]);
    g.add_output("y", y);
    insta::assert_snapshot!(kernels(&g));
}

#[test]
fn embedding_with_layer_norm() {
    let mut g = graph(&[("S", 1, 512)]);
    let ids = g.add_input("ids", ty(I64, "1 S"));
    let table = g.add_input("table", ty(F32, "30522 384"));
    let scale = g.add_input("scale", ty(F32, "384"));
    let norm = Op::Norm { kind: NormKind::Layer, axis: 2, eps: 1e-12.into() };
    let nodes = vec![(Op::Gather { axis: 0 }, vec![101, 100]), (norm, vec![0]), (Op::Binary(BinaryOp::Mul), vec![1, 102])];
    let y = fused(&mut g, nodes, &[ids, table, scale]);
    g.add_output("y", y);
    insta::assert_snapshot!(kernels(&g));
}

#[test]
fn masked_softmax() {
    let mut g = graph(&[("S", 1, 512)]);
    let x = g.add_input("x", ty(F16, "1 12 S S"));
    let m = g.add_input("m", ty(F16, "1 1 S S"));
    let nodes = vec![(Op::Binary(BinaryOp::Add), vec![100, 101]), (Op::Softmax { axis: 3, log: false }, vec![0])];
    let y = fused(&mut g, nodes, &[x, m]);
    g.add_output("y", y);
    insta::assert_snapshot!(kernels(&g));
}

#[test]
fn global_average() {
    let mut g = graph(&[]);
    let x = g.add_input("x", ty(F32, "1 56 56 96"));
    let y = push(&mut g, Op::Reduce { op: ReduceOp::Mean, axes: vec![1, 2], keep: true }, &[x]);
    g.add_output("y", y);
    insta::assert_snapshot!(kernels(&g));
}
