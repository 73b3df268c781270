//! Convolutions on the cube cores, with what is fused around them.

mod support;

use beiming_ir::graph::{Graph, Loc};
use beiming_ir::kernel::Unit;
use beiming_ir::ops::{BinaryOp, Conv, Op};
use beiming_ir::types::{DType, Dim, Symbols, TensorType};

use DType::{BF16, F16, F32};
use support::{Call, Node, bin, fused_deep, simulate};

const CHIPS: [&str; 2] = ["ascend910b1", "ascend950"];

/// Data, weights, strides, dilations, padding.
type Case<'a> = (&'a [usize], &'a [usize], &'a [usize], &'a [usize], &'a [(i64, i64)]);

fn op(c: &Case) -> Op {
    Op::Conv(Conv { strides: c.2.into(), dilations: c.3.into(), pads: c.4.into(), groups: 1 })
}

/// The kernels of a convolution with what follows it. `rest` counts from node 1; inputs from 102 on.
fn calls(c: &Case, dtype: DType, more: &[&[usize]], rest: Vec<Node>, constant: bool, chip: &str) -> Vec<Call> {
    let mut inputs: Vec<(DType, &[usize])> = vec![(dtype, c.0), (dtype, c.1)];
    inputs.extend(more.iter().map(|s| (dtype, *s)));
    let mut nodes = vec![(op(c), vec![100, 101])];
    nodes.extend(rest);
    let depth = c.1[..c.1.len() - 1].iter().product();
    fused_deep("conv", &inputs, if constant { &[1] } else { &[] }, nodes, chip, depth)
}

fn on_cube(made: &[Call]) -> bool {
    made.iter().any(|c| c.kernel.npu.as_ref().is_some_and(|n| n.unit != Unit::Vector))
}

/// Awkward shapes: channels that are no multiple of a fractal, strides, dilations, padding on one side, tiles that end inside an
/// image and within one of its rows, several images, windows larger than the image.
const CASES: [Case; 10] = [
    (&[1, 7, 6, 16], &[3, 3, 16, 32], &[1, 1], &[1, 1], &[(1, 1), (1, 1)]),
    (&[2, 9, 5, 17], &[3, 3, 17, 33], &[2, 2], &[1, 1], &[(1, 1), (1, 1)]),
    (&[1, 6, 31, 5], &[5, 5, 5, 66], &[1, 2], &[1, 1], &[(2, 2), (2, 1)]),
    (&[3, 5, 7, 24], &[3, 2, 24, 16], &[1, 1], &[2, 2], &[(2, 2), (1, 1)]),
    (&[1, 2, 100, 16], &[2, 3, 16, 16], &[1, 1], &[1, 1], &[(1, 0), (1, 1)]),
    (&[1, 8, 8, 20], &[4, 4, 20, 34], &[4, 4], &[1, 1], &[(0, 0), (0, 0)]),
    (&[2, 129, 1], &[32, 1, 20], &[16], &[1], &[(0, 0)]),
    (&[1, 20, 33], &[3, 33, 35], &[1], &[2], &[(2, 2)]),
    (&[1, 12, 2, 48], &[3, 7, 48, 80], &[1, 1], &[1, 1], &[(1, 1), (3, 3)]),
    (&[1, 5, 6, 32], &[3, 3, 32, 48], &[1, 1], &[1, 1], &[(0, 0), (0, 0)]),
];

/// The same, so deep that the cube unit pays where every operand passes through the unified buffer.
const DEEP: [Case; 10] = [
    (&[1, 17, 16, 64], &[3, 3, 64, 64], &[1, 1], &[1, 1], &[(1, 1), (1, 1)]),
    (&[2, 9, 15, 49], &[3, 3, 49, 65], &[2, 2], &[1, 1], &[(1, 1), (1, 1)]),
    (&[1, 6, 31, 37], &[5, 5, 37, 66], &[1, 2], &[1, 1], &[(2, 2), (2, 1)]),
    (&[3, 5, 7, 40], &[3, 2, 40, 48], &[1, 1], &[2, 2], &[(2, 2), (1, 1)]),
    (&[1, 2, 100, 16], &[2, 3, 16, 16], &[1, 1], &[1, 1], &[(1, 0), (1, 1)]),
    (&[1, 24, 24, 20], &[4, 4, 20, 98], &[4, 4], &[1, 1], &[(0, 0), (0, 0)]),
    (&[2, 129, 1], &[32, 1, 20], &[16], &[1], &[(0, 0)]),
    (&[1, 40, 33], &[3, 33, 35], &[1], &[2], &[(2, 2)]),
    (&[1, 12, 6, 48], &[3, 7, 48, 80], &[1, 1], &[1, 1], &[(1, 1), (3, 3)]),
    (&[1, 15, 16, 32], &[3, 3, 32, 48], &[1, 1], &[1, 1], &[(0, 0), (0, 0)]),
];

#[test]
fn shapes_and_types() {
    let mut all = vec![];
    for chip in CHIPS {
        for (i, c) in CASES.iter().enumerate() {
            for (dtype, constant) in [(F16, i % 2 == 0), (F32, true), (BF16, true)] {
                if dtype != BF16 || i < 2 {
                    let made = calls(c, dtype, &[], vec![], constant, chip);
                    // Launches are cheap there, and small convolutions in f32 predicted to be as fast on the vector unit.
                    let either = dtype == F32 && chip == "ascend950";
                    assert!(either || on_cube(&made), "{c:?} in {dtype} on {chip} is not on the cube unit");
                    all.extend(made);
                }
            }
        }
    }
    simulate(&all);
}

/// Channels that one copy does not hold, and more of the result than one tile.
#[test]
fn deep_and_wide() {
    let mut all = vec![];
    for chip in CHIPS {
        let c: Case = (&[1, 3, 5, 700], &[1, 3, 700, 40], &[1, 1], &[1, 1], &[(0, 0), (1, 1)]);
        all.extend(calls(&c, F16, &[], vec![], true, chip));
        all.extend(calls(&c, F16, &[], vec![], false, chip));
        all.extend(calls(&c, F32, &[], vec![], true, chip));
    }
    simulate(&all);
}

/// Bias, activation, residual: in the same kernel.
#[test]
fn with_what_follows() {
    let mut all = vec![];
    for chip in CHIPS {
        let rest = || vec![bin(BinaryOp::Add, 0, 102), bin(BinaryOp::Add, 1, 103), bin(BinaryOp::Max, 2, 104)];
        let more: [&[usize]; 3] = [&[24], &[2, 5, 7, 24], &[]];
        let c: Case = (&[2, 5, 7, 16], &[3, 3, 16, 24], &[1, 1], &[1, 1], &[(1, 1), (1, 1)]);
        for dtype in [F32, F16] {
            let made = calls(&c, dtype, &more, rest(), true, chip);
            assert_eq!(made.len(), 1, "one kernel");
            all.extend(made);
        }
        // One tap: a scale an image and channel, and a residual.
        let more: [&[usize]; 2] = [&[1, 1, 1, 20], &[1, 5, 7, 20]];
        let c: Case = (&[1, 5, 7, 16], &[1, 1, 16, 20], &[1, 1], &[1, 1], &[(0, 0), (0, 0)]);
        let made = calls(&c, F32, &more, vec![bin(BinaryOp::Mul, 0, 102), bin(BinaryOp::Add, 1, 103)], true, chip);
        assert_eq!(made.len(), 1, "one kernel");
        all.extend(made);
    }
    simulate(&all);
}

/// As many images as the run says; none, too.
#[test]
fn an_open_batch() {
    let mut all = vec![];
    for (chip, n) in CHIPS.into_iter().chain(["ascend310p3"]).flat_map(|c| [(c, 0), (c, 1), (c, 3)]) {
        let mut symbols = Symbols::default();
        symbols.declare("N", 0, 16);
        let mut g = Graph::new("open", symbols);
        let shape = [Dim::sym("N"), Dim::Known(6), Dim::Known(5), Dim::Known(16)];
        let x = g.add_input("x", TensorType::new(F16, shape.to_vec()));
        let w = g.constant(support::random(F16, &[3, 3, 16, 32], 1), &Loc::default());
        let c: Case = (&[], &[], &[1, 1], &[1, 1], &[(1, 1), (1, 1)]);
        let y = g.push1(op(&c), &[x, w], &Loc::default()).expect("a convolution");
        g.add_output("y", y);
        let made = support::lowered_deep("open batch", &g, chip, &[support::random(F16, &[n, 6, 5, 16], 2)], 144);
        assert!(on_cube(&made));
        all.extend(made);
    }
    simulate(&all);
}

/// Where both units are of one core: through the unified buffer, with what follows in the same kernel.
#[test]
fn on_coupled_cores() {
    let chip = "ascend310p3";
    let mut all = vec![];
    for (i, c) in DEEP.iter().enumerate() {
        let made = calls(c, F16, &[], vec![], i % 2 == 0, chip);
        if !on_cube(&made) {
            eprintln!("{c:?} is not on the cube unit");
        }
        all.extend(made);
    }
    let deep: Case = (&[1, 3, 5, 700], &[1, 3, 700, 40], &[1, 1], &[1, 1], &[(0, 0), (1, 1)]);
    for constant in [true, false] {
        all.extend(calls(&deep, F16, &[], vec![], constant, chip));
    }
    let rest = || vec![bin(BinaryOp::Add, 0, 102), bin(BinaryOp::Add, 1, 103), bin(BinaryOp::Max, 2, 104)];
    for c in [
        (&[2, 5, 7, 16], &[3, 3, 16, 24], &[1, 1], &[1, 1], &[(1, 1), (1, 1)]),
        (&[2, 31, 33, 32], &[3, 3, 32, 32], &[1, 1], &[1, 1], &[(1, 1), (1, 1)]),
    ] as [Case; 2]
    {
        let (n, y) = (c.1[3], [c.0[0], c.0[1], c.0[2], c.1[3]]);
        let made = calls(&c, F16, &[&[n], &y, &[]], rest(), true, chip);
        assert_eq!(made.len(), 1, "one kernel");
        assert!(on_cube(&made));
        all.extend(made);
    }
    // The cube unit has no f32.
    assert!(!on_cube(&calls(&CASES[0], F32, &[], vec![], true, chip)));
    simulate(&all);
}

/// What a reader of the emitted code sees.
#[test]
fn spelling() {
    for chip in CHIPS.into_iter().chain(["ascend310p3"]) {
        let mut g = Graph::new("conv", Symbols::default());
        let x = g.add_input("x", TensorType::known(F16, &[1, 28, 28, 64]));
        let w = g.constant(support::random(F16, &[3, 3, 64, 64], 1), &Loc::default());
        let c: Case = (&[], &[], &[1, 1], &[1, 1], &[(1, 1), (1, 1)]);
        let y = g.push1(op(&c), &[x, w], &Loc::default()).expect("a convolution");
        g.add_output("y", y);
        insta::assert_snapshot!(format!("conv_f16__{chip}"), support::spelled(&g, chip));
    }
}
