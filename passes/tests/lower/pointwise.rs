//! Views and elementwise ops.

use beiming_ir::graph::Loc;
use beiming_ir::ops::{BinaryOp, Op, PadMode, Slice, UnaryOp};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::DType::{self, Bool, F16, F32, I32, I64};

use crate::check::{agree, agree_on, dims, fused, graph, push, random, ty};

#[test]
fn elementwise_over_awkward_shapes() {
    for shape in ["", "1", "31", "33", "3 5 7", "2 1 17", "0 4", "100 100", "2 9000", "5000 3"] {
        let mut g = graph(&[]);
        let a = g.add_input("a", ty(F32, shape));
        let b = g.add_input("b", ty(F32, shape));
        let c = push(&mut g, Op::Binary(BinaryOp::Mul), &[a, b]);
        let d = push(&mut g, Op::Unary(UnaryOp::Tanh), &[c]);
        let e = push(&mut g, Op::Binary(BinaryOp::Add), &[d, a]);
        g.add_output("e", e);
        agree(&g, &[]);
    }
}

#[test]
fn broadcasts() {
    for (a, b) in [
        ("4 5 6", "6"),
        ("4 5 6", "5 1"),
        ("4 1 6", "1 5 1"),
        ("7 3", "3"),
        ("600 3", "600 1"),
        ("2 40 40 8", "8"),
        ("2 40 40 8", "2 1 1 8"),
        ("1", "3 3"),
    ] {
        let mut g = graph(&[]);
        let x = g.add_input("x", ty(F32, a));
        let y = g.add_input("y", ty(F32, b));
        let z = push(&mut g, Op::Binary(BinaryOp::Sub), &[x, y]);
        let w = push(&mut g, Op::Binary(BinaryOp::Lt), &[y, z]);
        let s = push(&mut g, Op::Select, &[w, x, z]);
        g.add_output("s", s);
        agree(&g, &[]);
    }
}

#[test]
fn symbolic_extents() {
    let mut g = graph(&[("N", 1, 64), ("H", 1, 4096)]);
    let x = g.add_input("x", ty(F32, "N H 12"));
    let b = g.add_input("b", ty(F32, "H 1"));
    let y = push(&mut g, Op::Binary(BinaryOp::Add), &[x, b]);
    let y = push(&mut g, Op::Reshape { shape: dims("N H*12") }, &[y]);
    let y = push(&mut g, Op::Unary(UnaryOp::Exp), &[y]);
    let t = push(&mut g, Op::Transpose { perm: vec![1, 0] }, &[y]);
    let d = push(&mut g, Op::DimValue { dims: dims("N H N*H+3") }, &[]);
    let i = push(&mut g, Op::Iota { dtype: F32, shape: dims("H 3"), axis: 0 }, &[]);
    g.add_output("y", y);
    g.add_output("t", t);
    g.add_output("d", d);
    g.add_output("i", i);
    for (n, h) in [(1, 1), (3, 7), (2, 1000)] {
        agree(&g, &[("N", n), ("H", h)]);
    }
}

#[test]
fn extents_that_are_multiples_of_a_symbol() {
    let mut g = graph(&[("h", 1, 20)]);
    let x = g.add_input("x", ty(F32, "32*h 3"));
    let y = push(&mut g, Op::Unary(UnaryOp::Exp), &[x]);
    let z = push(&mut g, Op::Reshape { shape: dims("h 96") }, &[y]);
    let z = push(&mut g, Op::Transpose { perm: vec![1, 0] }, &[z]);
    g.add_output("z", z);
    agree(&g, &[("h", 3)]);
}

#[test]
fn fused_views() {
    // Heads of attention: [B, S, H*D] -> [B, H, S, D], scaled.
    let mut g = graph(&[("B", 1, 8), ("S", 1, 512)]);
    let x = g.add_input("x", ty(F32, "B S 36"));
    let half = g.constant(Tensor::f32(&[], &[0.5]), &Loc::default());
    let y = fused(
        &mut g,
        vec![
            (Op::Reshape { shape: dims("B S 3 12") }, vec![100]),
            (Op::Transpose { perm: vec![0, 2, 1, 3] }, vec![0]),
            (Op::Binary(BinaryOp::Mul), vec![1, 101]),
        ],
        &[x, half],
    );
    // And back.
    let z = fused(
        &mut g,
        vec![(Op::Transpose { perm: vec![0, 2, 1, 3] }, vec![100]), (Op::Reshape { shape: dims("B S 36") }, vec![0])],
        &[y],
    );
    g.add_output("y", y);
    g.add_output("z", z);
    agree(&g, &[("B", 2), ("S", 17)]);
}

#[test]
fn transposes() {
    for (shape, perm) in
        [("70 90", vec![1, 0]), ("3 40 50", vec![0, 2, 1]), ("2 3 4 5", vec![3, 1, 0, 2]), ("1 64 7 7", vec![0, 2, 3, 1])]
    {
        let mut g = graph(&[]);
        let x = g.add_input("x", ty(F32, shape));
        let y = push(&mut g, Op::Transpose { perm }, &[x]);
        g.add_output("y", y);
        agree(&g, &[]);
    }
}

#[test]
fn slices_pads_and_joins() {
    let mut g = graph(&[("N", 2, 64)]);
    let x = g.add_input("x", ty(F32, "N 10"));
    let fill = g.constant(Tensor::f32(&[], &[7.0]), &Loc::default());
    let s = push(&mut g, Op::Slice(Slice { start: dims("1 8"), len: dims("N-1 3"), step: vec![1, -3] }), &[x]);
    let r = push(&mut g, Op::Reverse { axes: vec![0, 1] }, &[x]);
    let pad = |mode| Op::Pad { lo: dims("1 2"), hi: vec![0.into(), (-1).into()], mode };
    let p = push(&mut g, pad(PadMode::Constant), &[x, fill]);
    let e = push(&mut g, pad(PadMode::Edge), &[x, fill]);
    let f = push(&mut g, pad(PadMode::Reflect), &[x, fill]);
    let w = push(&mut g, pad(PadMode::Wrap), &[x, fill]);
    let c = push(&mut g, Op::Concat { axis: 1 }, &[x, r, x]);
    let inner = fused(
        &mut g,
        vec![
            (Op::Unary(UnaryOp::Exp), vec![100]),
            (pad(PadMode::Constant), vec![0, 102]),
            (Op::Concat { axis: 0 }, vec![1, 1]),
            (Op::Concat { axis: 1 }, vec![2, 2]),
            (Op::Unary(UnaryOp::Neg), vec![3]),
        ],
        &[x, r, fill],
    );
    for (i, v) in [s, r, p, e, f, w, c, inner].into_iter().enumerate() {
        g.add_output(&format!("o{i}"), v);
    }
    for n in [2, 5, 33] {
        agree(&g, &[("N", n)]);
    }
}

#[test]
fn gathers() {
    let mut g = graph(&[("S", 1, 64)]);
    let table = g.add_input("table", ty(F32, "11 20"));
    let ids = g.add_input("ids", ty(I64, "2 S"));
    let wide = g.add_input("wide", ty(I32, "11 3"));
    let tuples = g.add_input("tuples", ty(I64, "5 2"));
    let starts = g.add_input("starts", ty(I64, "2"));
    let a = push(&mut g, Op::Gather { axis: 0 }, &[table, ids]);
    let b = push(&mut g, Op::Gather { axis: 1 }, &[table, ids]);
    let c = push(&mut g, Op::GatherElements { axis: 1 }, &[table, wide]);
    let d = push(&mut g, Op::GatherNd { batch: 0 }, &[table, tuples]);
    let e = push(&mut g, Op::DynamicSlice { shape: dims("4 20") }, &[table, starts]);
    let f = fused(&mut g, vec![(Op::Unary(UnaryOp::Neg), vec![100]), (Op::Gather { axis: 0 }, vec![0, 101])], &[table, ids]);
    for (i, v) in [a, b, c, d, e, f].into_iter().enumerate() {
        g.add_output(&format!("o{i}"), v);
    }
    let inputs = [
        random(F32, &[11, 20], 1),
        random(I64, &[2, 7], 2),
        random(I32, &[11, 3], 3),
        Tensor::i64(&[5, 2], &[0, 0, -1, 19, 10, -20, 5, 5, 3, 2]),
        Tensor::i64(&[2], &[9, 5]),
    ];
    agree_on(&g, &inputs);
}

#[test]
fn other_types() {
    for dtype in [F16, DType::BF16, DType::F64, I32, DType::I8, DType::U8, Bool] {
        let mut g = graph(&[]);
        let x = g.add_input("x", ty(dtype, "3 37"));
        let y = g.add_input("y", ty(dtype, "37"));
        let op = if dtype == Bool { BinaryOp::And } else { BinaryOp::Add };
        let z = push(&mut g, Op::Binary(op), &[x, y]);
        let c = push(&mut g, Op::Cast { to: F32 }, &[z]);
        let m = push(&mut g, Op::Binary(BinaryOp::Max), &[x, y]);
        g.add_output("z", z);
        g.add_output("c", c);
        g.add_output("m", m);
        agree(&g, &[]);
    }
}

#[test]
fn outputs_that_are_inputs_constants_and_twice() {
    let mut g = graph(&[]);
    let x = g.add_input("x", ty(F32, "2 6"));
    let k = g.constant(Tensor::build(F32, &[3], |i| Num::Float(i as f64)), &Loc::default());
    let v = push(&mut g, Op::Reshape { shape: dims("3 4") }, &[x]);
    let n = push(&mut g, Op::Unary(UnaryOp::Neg), &[x]);
    let r = push(&mut g, Op::Reshape { shape: dims("12") }, &[n]);
    let s = push(&mut g, Op::Unary(UnaryOp::Abs), &[r]);
    for (i, o) in [x, k, v, r, r, n, s].into_iter().enumerate() {
        g.add_output(&format!("o{i}"), o);
    }
    agree(&g, &[]);
}
