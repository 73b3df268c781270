//! Products on the cube cores, with what is fused around them.

mod support;

use beiming_ir::graph::{Graph, Loc};
use beiming_ir::ops::{BinaryOp, Op, UnaryOp};
use beiming_ir::types::{DType, Dim, Symbols, TensorType};

use DType::{BF16, F16, F32};
use support::{fused as calls, lowered, random, simulate};

const CHIPS: [&str; 2] = ["ascend910b1", "ascend950"];

fn matmul(out: DType) -> (Op, Vec<u32>) {
    (Op::MatMul { out }, vec![100, 101])
}

#[test]
fn shapes_and_types() {
    let mut all = vec![];
    for chip in CHIPS {
        for (m, k, n) in
            [(16usize, 16usize, 16usize), (1, 1, 1), (7, 33, 5), (31, 32, 33), (48, 80, 64), (130, 200, 50), (1, 300, 17)]
        {
            let s = [&[m, k][..], &[k, n][..]];
            all.extend(calls("matmul", &[(F16, s[0]), (F16, s[1])], &[], vec![matmul(F32)], chip));
            all.extend(calls("matmul", &[(F16, s[0]), (F16, s[1])], &[], vec![matmul(F16)], chip));
            // A constant of one element is an immediate, which no load reads.
            if k * n > 1 {
                all.extend(calls("weights of f32", &[(F32, s[0]), (F32, s[1])], &[1], vec![matmul(F32)], chip));
            }
        }
        all.extend(calls("matmul", &[(BF16, &[20, 40]), (BF16, &[40, 20])], &[], vec![matmul(BF16)], chip));
        // Batches, one of them broadcast; an operand seen through a transposition.
        all.extend(calls("batch", &[(F16, &[3, 5, 20]), (F16, &[3, 20, 18])], &[], vec![matmul(F32)], chip));
        all.extend(calls("batch", &[(F16, &[2, 3, 5, 20]), (F16, &[3, 20, 18])], &[], vec![matmul(F32)], chip));
        let turn = |perm: &[usize]| Op::Transpose { perm: perm.to_vec() };
        let right = vec![(turn(&[1, 0]), vec![101]), (Op::MatMul { out: F32 }, vec![100, 0])];
        for d in [F16, F32] {
            all.extend(calls("right turned", &[(d, &[19, 40]), (d, &[21, 40])], &[], right.clone(), chip));
        }
        if chip == "ascend910b1" {
            // 32-bit fractals that are transposed on the way.
            for (m, k, n) in [(7usize, 33usize, 5usize), (16, 16, 16), (33, 130, 50), (20, 270, 40)] {
                all.extend(calls("right as it lies", &[(F32, &[m, k]), (F32, &[k, n])], &[], vec![matmul(F32)], chip));
                let left = vec![(turn(&[1, 0]), vec![100]), (Op::MatMul { out: F32 }, vec![0, 101])];
                all.extend(calls("left turned", &[(F32, &[k, m]), (F32, &[k, n])], &[], left, chip));
            }
        }
        let left = vec![(turn(&[1, 0]), vec![100]), (Op::MatMul { out: F32 }, vec![0, 101])];
        all.extend(calls("left turned", &[(F16, &[40, 19]), (F16, &[40, 21])], &[], left, chip));
    }
    simulate(&all);
}

#[test]
fn with_neighbours() {
    let mut all = vec![];
    for chip in CHIPS {
        // Bias and an activation after; a scale before.
        let nodes = vec![
            (Op::Binary(BinaryOp::Mul), vec![100, 100]),
            (Op::MatMul { out: F32 }, vec![0, 101]),
            (Op::Binary(BinaryOp::Add), vec![1, 102]),
            (Op::Unary(UnaryOp::Sigmoid), vec![2]),
        ];
        all.extend(calls("dense", &[(F32, &[33, 40]), (F32, &[40, 24]), (F32, &[24])], &[1], nodes, chip));
    }
    simulate(&all);
}

/// Rows and columns that only the run knows; none of them, too.
#[test]
fn open_extents() {
    let mut all = vec![];
    for chip in ["ascend910b1", "ascend950", "ascend310p3"] {
        for (rows_open, n) in [(true, 0usize), (true, 1), (true, 70), (false, 0), (false, 1), (false, 37)] {
            let mut symbols = Symbols::default();
            symbols.declare("S", 0, 512);
            let mut g = Graph::new("open", symbols);
            let open = |d: usize, is_open: bool| if is_open { Dim::sym("S") } else { Dim::from(d) };
            let x = g.add_input("x", TensorType::new(F16, vec![open(19, rows_open), Dim::Known(40)]));
            let w = g.add_input("w", TensorType::new(F16, vec![Dim::Known(40), open(33, !rows_open)]));
            let y = g.push1(Op::MatMul { out: F32 }, &[x, w], &Loc::default()).expect("a product");
            g.add_output("y", y);
            let (m, n) = if rows_open { (n, 33) } else { (19, n) };
            all.extend(lowered("open product", &g, chip, &[random(F16, &[m, 40], 3), random(F16, &[40, n], 4)]));
        }
    }
    simulate(&all);
}

/// What a reader of the emitted code sees.
#[test]
fn spelling() {
    for chip in ["ascend910b1", "ascend950", "ascend310p3"] {
        let made = calls("matmul", &[(F16, &[100, 96]), (F16, &[96, 130])], &[], vec![matmul(F16)], chip);
        let npu = beiming_ir::target::npu::Npu::by_name(chip).expect("a known chip");
        let text = beiming_ascend::emit::kernel(&made[0].kernel, &npu).expect("a spelling");
        insta::assert_snapshot!(format!("matmul_f16__{chip}"), text);
    }
}

/// Cores with both units: operands and results go through the unified buffer.
#[test]
fn on_coupled_cores() {
    let mut all = vec![];
    for (m, k, n) in [(1usize, 1usize, 2usize), (7, 33, 5), (31, 32, 33), (48, 80, 64), (70, 150, 50)] {
        for out in [F32, F16] {
            let made = calls("matmul", &[(F16, &[m, k]), (F16, &[k, n])], &[], vec![matmul(out)], "ascend310p3");
            let unit = made[0].kernel.npu.as_ref().map(|n| n.unit);
            assert_eq!(unit, Some(beiming_ir::kernel::Unit::Cube));
            all.extend(made);
        }
    }
    let turn = |perm: &[usize]| Op::Transpose { perm: perm.to_vec() };
    let right = vec![(turn(&[1, 0]), vec![101]), (Op::MatMul { out: F32 }, vec![100, 0])];
    all.extend(calls("right turned", &[(F16, &[19, 40]), (F16, &[21, 40])], &[], right, "ascend310p3"));
    let left = vec![(turn(&[1, 0]), vec![100]), (Op::MatMul { out: F32 }, vec![0, 101])];
    all.extend(calls("left turned", &[(F16, &[40, 19]), (F16, &[40, 21])], &[], left, "ascend310p3"));
    all.extend(calls("batch", &[(F16, &[2, 3, 5, 20]), (F16, &[3, 20, 18])], &[], vec![matmul(F32)], "ascend310p3"));
    simulate(&all);
}
