//! Products with what follows them in one kernel: the cube core and its vector cores side by side.

mod support;

use beiming_ir::kernel::Unit;
use beiming_ir::ops::{BinaryOp, Op, UnaryOp};
use beiming_ir::types::DType;

use DType::{F16, F32};
use support::{Call, Node, bin, fused, simulate};

const CHIPS: [&str; 2] = ["ascend910b1", "ascend950"];

fn matmul(out: DType) -> Node {
    (Op::MatMul { out }, vec![100, 101])
}

/// The kernel of a group that must be one on both kinds of cores.
fn one(name: &str, inputs: &[(DType, &[usize])], constant: &[usize], nodes: Vec<Node>, chip: &str) -> Vec<Call> {
    let made = fused(name, inputs, constant, nodes, chip);
    let units: Vec<_> = made.iter().map(|c| c.kernel.npu.as_ref().map(|n| n.unit)).collect();
    assert_eq!(units, [Some(Unit::Mix)], "{name} {inputs:?} on {chip}");
    made
}

/// Awkward extents: one, primes, around the sides of fractals, more than a tile.
const SHAPES: [[usize; 3]; 5] = [[1, 1, 2], [7, 33, 5], [31, 32, 33], [130, 70, 50], [3, 300, 129]];

#[test]
fn bias_and_residual() {
    let mut all = vec![];
    for chip in CHIPS {
        for [m, k, n] in SHAPES {
            for d in [F16, F32] {
                // Bias of a column, sigmoid, residual.
                let nodes = vec![
                    matmul(d),
                    bin(BinaryOp::Add, 0, 102),
                    (Op::Unary(UnaryOp::Sigmoid), vec![1]),
                    bin(BinaryOp::Add, 2, 103),
                ];
                let shapes: [(DType, &[usize]); 4] = [(d, &[m, k]), (d, &[k, n]), (d, &[n]), (d, &[m, n])];
                if k * n > 1 && n > 1 {
                    all.extend(one("dense", &shapes, &[1], nodes, chip));
                }
                // Bias of a row, and a number for all.
                let nodes = vec![matmul(d), bin(BinaryOp::Mul, 0, 102), bin(BinaryOp::Add, 1, 103)];
                let shapes: [(DType, &[usize]); 4] = [(d, &[m, k]), (d, &[k, n]), (d, &[m, 1]), (d, &[1])];
                if m > 1 && k * n > 1 {
                    all.extend(one("rows", &shapes, &[1], nodes, chip));
                }
            }
        }
    }
    simulate(&all);
}

/// Where both units are of one core, what follows goes on in the unified buffer.
#[test]
fn on_coupled_cores() {
    let mut all = vec![];
    let mut one = |name: &str, inputs: &[(DType, &[usize])], nodes: Vec<Node>| {
        let made = fused(name, inputs, &[1], nodes, "ascend310p3");
        let units: Vec<_> = made.iter().map(|c| c.kernel.npu.as_ref().map(|n| n.unit)).collect();
        assert_eq!(units, [Some(Unit::Cube)], "{name} {inputs:?}");
        all.extend(made);
    };
    for [m, k, n] in SHAPES {
        for to in [F16, F32] {
            // Bias of a column, sigmoid, residual, a bound.
            let nodes = vec![
                matmul(to),
                bin(BinaryOp::Add, 0, 102),
                (Op::Unary(UnaryOp::Sigmoid), vec![1]),
                bin(BinaryOp::Add, 2, 103),
                bin(BinaryOp::Max, 3, 104),
            ];
            let shapes: [(DType, &[usize]); 5] = [(F16, &[m, k]), (F16, &[k, n]), (to, &[n]), (to, &[m, n]), (to, &[])];
            one("dense", &shapes, nodes);
        }
        let nodes = vec![matmul(F32), bin(BinaryOp::Mul, 0, 102), (Op::Cast { to: F16 }, vec![1])];
        one("rows", &[(F16, &[m, k]), (F16, &[k, n]), (F32, &[m, 1])], nodes);
    }
    simulate(&all);
}

/// What a reader of the emitted code sees.
#[test]
fn spelling() {
    for chip in CHIPS {
        let nodes = vec![matmul(F32), bin(BinaryOp::Add, 0, 102), bin(BinaryOp::Max, 1, 103), (Op::Cast { to: F16 }, vec![2])];
        let inputs: [(DType, &[usize]); 4] = [(F16, &[300, 96]), (F16, &[96, 400]), (F32, &[400]), (F32, &[1])];
        let made = one("dense", &inputs, &[1], nodes, chip);
        let npu = beiming_ir::target::npu::Npu::by_name(chip).expect("a known chip");
        let text = beiming_ascend::emit::kernel(&made[0].kernel, &npu).expect("a spelling");
        insta::assert_snapshot!(format!("dense_f16__{chip}"), text);
    }
}
