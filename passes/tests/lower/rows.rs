//! Reductions, softmax, normalisations, scans.

use beiming_ir::ops::{BinaryOp, Cumulative, NormKind, Op, ReduceOp, UnaryOp};
use beiming_ir::tensor::Tensor;
use beiming_ir::types::DType::{Bool, F16, F32, I32};

use crate::check::{agree, agree_on, dims, fused, graph, push, ty};

#[test]
fn reductions_over_any_axes() {
    let shapes = ["1", "33", "4 31", "3 5 7", "2 6 5 40", "300 2", "2 3 1 130"];
    for shape in shapes {
        let rank = dims(shape).len();
        for mask in 1..1usize << rank {
            let axes: Vec<usize> = (0..rank).filter(|a| mask >> a & 1 == 1).collect();
            let mut g = graph(&[]);
            let x = g.add_input("x", ty(F32, shape));
            for (i, op) in [ReduceOp::Sum, ReduceOp::Mean, ReduceOp::Max].into_iter().enumerate() {
                let y = push(&mut g, Op::Reduce { op, axes: axes.clone(), keep: i == 0 }, &[x]);
                g.add_output(&format!("o{i}"), y);
            }
            agree(&g, &[]);
        }
    }
}

#[test]
fn reductions_of_other_types_and_symbols() {
    let mut g = graph(&[("N", 0, 64), ("C", 1, 4096)]);
    let x = g.add_input("x", ty(I32, "N C"));
    let b = g.add_input("b", ty(Bool, "N C"));
    let h = g.add_input("h", ty(F16, "C N"));
    let ops = [
        (ReduceOp::Sum, x),
        (ReduceOp::Prod, x),
        (ReduceOp::Min, x),
        (ReduceOp::All, b),
        (ReduceOp::Any, b),
        (ReduceOp::Mean, h),
        (ReduceOp::Min, h),
    ];
    for (i, (op, v)) in ops.into_iter().enumerate() {
        for axes in [vec![0], vec![1], vec![0, 1]] {
            if op == ReduceOp::Prod && axes.len() == 2 {
                continue;
            }
            let y = push(&mut g, Op::Reduce { op, axes: axes.clone(), keep: false }, &[v]);
            g.add_output(&format!("o{i}{axes:?}"), y);
        }
    }
    for (n, c) in [(0, 5), (1, 1), (3, 100)] {
        agree(&g, &[("N", n), ("C", c)]);
    }
}

#[test]
fn a_reduction_with_prologue_and_epilogue() {
    for axes in [vec![1], vec![0], vec![0, 2]] {
        let mut g = graph(&[]);
        let x = g.add_input("x", ty(F32, "6 20 33"));
        let kept = push(&mut g, Op::Reduce { op: ReduceOp::Max, axes: axes.clone(), keep: true }, &[x]);
        let y = fused(
            &mut g,
            vec![
                (Op::Binary(BinaryOp::Mul), vec![100, 100]),
                (Op::Reduce { op: ReduceOp::Mean, axes: axes.clone(), keep: true }, vec![0]),
                (Op::Unary(UnaryOp::Sqrt), vec![1]),
                (Op::Binary(BinaryOp::Add), vec![2, 101]),
            ],
            &[x, kept],
        );
        // An epilogue over a larger shape than the anchor's is lowered in stages.
        let z = fused(
            &mut g,
            vec![
                (Op::Reduce { op: ReduceOp::Sum, axes: axes.clone(), keep: true }, vec![100]),
                (Op::Binary(BinaryOp::Sub), vec![100, 0]),
                (Op::Reduce { op: ReduceOp::Max, axes, keep: false }, vec![1]),
                (Op::Unary(UnaryOp::Neg), vec![2]),
            ],
            &[x],
        );
        g.add_output("y", y);
        g.add_output("z", z);
        agree(&g, &[]);
    }
}

#[test]
fn softmax_along_every_axis() {
    for shape in ["1", "77", "5 33", "40 3", "2 3 9 17", "2 12 1"] {
        for axis in 0..dims(shape).len() {
            let mut g = graph(&[]);
            let x = g.add_input("x", ty(F32, shape));
            let m = g.add_input("m", ty(F32, shape));
            let a = push(&mut g, Op::Softmax { axis, log: false }, &[x]);
            let b = push(&mut g, Op::Softmax { axis, log: true }, &[x]);
            let c = fused(
                &mut g,
                vec![
                    (Op::Binary(BinaryOp::Add), vec![100, 101]),
                    (Op::Softmax { axis, log: false }, vec![0]),
                    (Op::Binary(BinaryOp::Mul), vec![1, 101]),
                ],
                &[x, m],
            );
            for (i, v) in [a, b, c].into_iter().enumerate() {
                g.add_output(&format!("o{i}"), v);
            }
            agree(&g, &[]);
        }
    }
}

#[test]
fn softmax_of_symbolic_rows_and_half_floats() {
    for dtype in [F32, F16] {
        let mut g = graph(&[("B", 1, 4), ("S", 1, 512)]);
        let x = g.add_input("x", ty(dtype, "B 2 S S"));
        let y = push(&mut g, Op::Softmax { axis: 3, log: false }, &[x]);
        let z = push(&mut g, Op::Softmax { axis: 2, log: true }, &[x]);
        g.add_output("y", y);
        g.add_output("z", z);
        for s in [1, 5, 33] {
            agree(&g, &[("B", 1), ("S", s)]);
        }
    }
}

#[test]
fn normalisations() {
    for kind in [NormKind::Layer, NormKind::Rms] {
        for (shape, axis) in [("4 37", 1), ("2 3 64", 2), ("2 3 5 7", 2), ("6", 0), ("3 5", 0)] {
            let mut g = graph(&[]);
            let x = g.add_input("x", ty(F32, shape));
            let r = g.add_input("r", ty(F32, shape));
            let last = dims(shape).last().cloned().expect("an axis");
            let w = g.add_input("w", ty(F32, &last.to_string()));
            let norm = Op::Norm { kind, axis, eps: 1e-5.into() };
            let a = push(&mut g, norm.clone(), &[x]);
            let b = fused(
                &mut g,
                vec![
                    (Op::Binary(BinaryOp::Add), vec![100, 101]),
                    (norm, vec![0]),
                    (Op::Binary(BinaryOp::Mul), vec![1, 102]),
                    (Op::Binary(BinaryOp::Add), vec![2, 102]),
                ],
                &[x, r, w],
            );
            g.add_output("a", a);
            g.add_output("b", b);
            agree(&g, &[]);
        }
    }
}

#[test]
fn positions_of_extremes() {
    for axis in 0..3 {
        for (max, last) in [(true, false), (false, true)] {
            let mut g = graph(&[]);
            let x = g.add_input("x", ty(I32, "3 5 70"));
            let f = push(&mut g, Op::Cast { to: F32 }, &[x]);
            let a = push(&mut g, Op::ArgReduce { max, axis, keep: true, last }, &[x]);
            let b = push(&mut g, Op::ArgReduce { max, axis, keep: false, last }, &[f]);
            g.add_output("a", a);
            g.add_output("b", b);
            agree(&g, &[]);
        }
    }
    let mut g = graph(&[]);
    let x = g.add_input("x", ty(F32, "4"));
    let a = push(&mut g, Op::ArgReduce { max: true, axis: 0, keep: false, last: false }, &[x]);
    g.add_output("a", a);
    agree_on(&g, &[Tensor::f32(&[4], &[1.0, f32::NAN, 5.0, f32::NAN])]);
}

#[test]
fn running_reductions() {
    for axis in 0..2 {
        for (exclusive, reverse) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut g = graph(&[]);
            let x = g.add_input("x", ty(F32, "7 40"));
            for (i, op) in [ReduceOp::Sum, ReduceOp::Prod, ReduceOp::Max].into_iter().enumerate() {
                let y = push(&mut g, Op::Cumulative(Cumulative { op, axis, exclusive, reverse }), &[x]);
                g.add_output(&format!("o{i}"), y);
            }
            agree(&g, &[]);
        }
    }
}
