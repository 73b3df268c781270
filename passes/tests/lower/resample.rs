//! Resizing and scattering.

use beiming_ir::ops::{Coord, Nearest, Op, ReduceOp, Resize, ResizeMode, Scatter, ScatterMode, UnaryOp};
use beiming_ir::tensor::Tensor;
use beiming_ir::types::DType::{F32, I32, I64, U8};

use crate::check::{agree, agree_on, dims, fused, graph, push, random, ty};

fn resize(mode: ResizeMode, coord: Coord, shape: &str) -> Resize {
    let shape = dims(shape);
    Resize {
        mode,
        coord,
        scales: vec![None; shape.len()],
        roi: vec![(0.0.into(), 1.0.into()); shape.len()],
        shape,
        antialias: false,
        exclude_outside: false,
        extrapolation: 9.0.into(),
    }
}

const COORDS: [Coord; 7] = [
    Coord::HalfPixel,
    Coord::HalfPixelSymmetric,
    Coord::PytorchHalfPixel,
    Coord::AlignCorners,
    Coord::Asymmetric,
    Coord::TfHalfPixelForNn,
    Coord::TfCropAndResize,
];

const ROUNDINGS: [Nearest; 4] = [Nearest::RoundPreferFloor, Nearest::RoundPreferCeil, Nearest::Floor, Nearest::Ceil];

#[test]
fn known_extents() {
    for coord in COORDS {
        let mut g = graph(&[]);
        let x = g.add_input("x", ty(F32, "1 4 5 3"));
        let mut modes: Vec<ResizeMode> = ROUNDINGS.into_iter().map(ResizeMode::Nearest).collect();
        modes.extend([ResizeMode::Linear, ResizeMode::Cubic((-0.75).into())]);
        for mode in modes {
            for shape in ["1 8 10 3", "1 7 3 3", "1 1 12 3"] {
                let mut r = resize(mode, coord, shape);
                if coord == Coord::TfCropAndResize {
                    r.roi[1] = (0.25.into(), 1.2.into());
                }
                let y = push(&mut g, Op::Resize(r.clone()), &[x]);
                g.add_output("y", y);
                if !matches!(mode, ResizeMode::Nearest(_)) {
                    r.antialias = true;
                    r.exclude_outside = true;
                    let z = push(&mut g, Op::Resize(r), &[x]);
                    g.add_output("z", z);
                }
            }
        }
        agree(&g, &[]);
    }
}

#[test]
fn symbolic_extents() {
    for coord in COORDS {
        let mut g = graph(&[("H", 1, 64), ("W", 1, 64)]);
        let x = g.add_input("x", ty(F32, "1 H W 3"));
        let mut modes: Vec<ResizeMode> = ROUNDINGS.into_iter().map(ResizeMode::Nearest).collect();
        modes.extend([ResizeMode::Linear, ResizeMode::Cubic((-0.5).into())]);
        for mode in modes {
            let mut r = resize(mode, coord, "1 2*H 3*W 3");
            let a = push(&mut g, Op::Resize(r.clone()), &[x]);
            r.scales = vec![None, Some(2.0.into()), Some(3.0.into()), None];
            let b = push(&mut g, Op::Resize(r.clone()), &[x]);
            r.shape = dims("1 H+1 5 3");
            r.scales = vec![None; 4];
            r.exclude_outside = !matches!(mode, ResizeMode::Nearest(_));
            let c = push(&mut g, Op::Resize(r), &[x]);
            for v in [a, b, c] {
                g.add_output("o", v);
            }
        }
        agree(&g, &[("H", 4), ("W", 3)]);
    }
}

#[test]
fn resizing_inside_a_group() {
    let mut g = graph(&[]);
    let x = g.add_input("x", ty(U8, "1 6 6 2"));
    let r = resize(ResizeMode::Linear, Coord::HalfPixel, "1 9 4 2");
    let y = fused(
        &mut g,
        vec![(Op::Resize(r), vec![100]), (Op::Cast { to: F32 }, vec![0]), (Op::Unary(UnaryOp::Neg), vec![1])],
        &[x],
    );
    g.add_output("y", y);
    agree(&g, &[]);
}

#[test]
fn scatters() {
    for reduce in [None, Some(ReduceOp::Sum), Some(ReduceOp::Prod), Some(ReduceOp::Max), Some(ReduceOp::Min)] {
        let mut g = graph(&[("K", 1, 64)]);
        let data = g.add_input("data", ty(F32, "6 5 20"));
        let elements = g.add_input("elements", ty(I64, "4 K 3"));
        let updates = g.add_input("updates", ty(F32, "4 K 3"));
        let tuples = g.add_input("tuples", ty(I32, "K 2"));
        let slices = g.add_input("slices", ty(F32, "K 20"));
        let full = g.add_input("full", ty(I64, "7 3"));
        let points = g.add_input("points", ty(F32, "7"));
        for axis in 0..3 {
            let s = Scatter { mode: ScatterMode::Elements { axis }, reduce };
            let y = push(&mut g, Op::Scatter(s), &[data, elements, updates]);
            g.add_output("e", y);
        }
        let nd = Op::Scatter(Scatter { mode: ScatterMode::Nd, reduce });
        let y = push(&mut g, nd.clone(), &[data, tuples, slices]);
        let z = push(&mut g, nd.clone(), &[data, full, points]);
        let w = fused(
            &mut g,
            vec![(Op::Unary(UnaryOp::Exp), vec![100]), (nd, vec![0, 101, 102]), (Op::Unary(UnaryOp::Neg), vec![1])],
            &[data, full, points],
        );
        for v in [y, z, w] {
            g.add_output("n", v);
        }
        agree(&g, &[("K", 5)]);
    }
}

#[test]
fn a_scatter_into_a_dying_value() {
    let mut g = graph(&[]);
    let x = g.add_input("x", ty(F32, "4 8"));
    let i = g.add_input("i", ty(I64, "2 1"));
    let u = g.add_input("u", ty(F32, "2 8"));
    let e = push(&mut g, Op::Unary(UnaryOp::Exp), &[x]);
    let s = push(&mut g, Op::Scatter(Scatter { mode: ScatterMode::Nd, reduce: None }), &[e, i, u]);
    let n = push(&mut g, Op::Unary(UnaryOp::Neg), &[s]);
    g.add_output("n", n);
    agree_on(&g, &[random(F32, &[4, 8], 1), Tensor::i64(&[2, 1], &[3, -4]), random(F32, &[2, 8], 2)]);
}
