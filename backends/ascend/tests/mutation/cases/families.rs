//! The cases by family.

use beiming_ir::ops::{BinaryOp, Conv, NormKind, Op, Pool, PoolKind, ReduceOp, UnaryOp};
use beiming_ir::types::DType;

use DType::{BF16, F16, F32, I8, I32, I64};

use super::{Case, case};
use crate::support::{CHIPS, Node, bin, cast, un};

const ALL: &[&str] = &CHIPS;
const SPLIT: &[&str] = &["ascend910b1", "ascend950"];
const B1: &[&str] = &["ascend910b1"];

/// `exp(x + y) * x`.
fn chain() -> Vec<Node> {
    vec![bin(BinaryOp::Add, 100, 101), un(UnaryOp::Exp, 0), bin(BinaryOp::Mul, 1, 100)]
}

/// Element by element.
pub fn elementwise() -> Vec<Case> {
    let n: &[usize] = &[13_001];
    let select = vec![bin(BinaryOp::Gt, 100, 101), un(UnaryOp::Neg, 101), (Op::Select, vec![0, 100, 1])];
    let limit = vec![bin(BinaryOp::Lt, 100, 200), (Op::Select, vec![0, 100, 101])];
    vec![
        case("chain f32", &[(F32, n), (F32, n)], &[], chain(), ALL, true),
        case("chain f16", &[(F16, n), (F16, n)], &[], chain(), SPLIT, false),
        case("chain bf16", &[(BF16, n), (BF16, n)], &[], chain(), B1, false),
        case("integers", &[(I32, n), (I32, n)], &[], vec![bin(BinaryOp::Add, 100, 101), bin(BinaryOp::Max, 0, 100)], B1, false),
        case(
            "bias",
            &[(F32, &[301, 37]), (F32, &[37])],
            &[0.5],
            vec![bin(BinaryOp::Add, 100, 101), bin(BinaryOp::Max, 0, 200)],
            ALL,
            false,
        ),
        case(
            "column",
            &[(F32, &[301, 48]), (F32, &[301, 1])],
            &[],
            vec![bin(BinaryOp::Sub, 100, 101), un(UnaryOp::Exp, 0)],
            ALL,
            false,
        ),
        case("select", &[(F32, n), (F32, n)], &[], select, ALL, true),
        case("limit f16", &[(F16, n), (F16, n)], &[0.5], limit, SPLIT, false),
        case("to f16", &[(F32, n)], &[], vec![cast(F16, 100)], ALL, false),
        case("to i8", &[(F32, n)], &[], vec![cast(I8, 100)], B1, false),
        case("from i32", &[(I32, n)], &[], vec![cast(F32, 100)], B1, false),
        case(
            "quotient",
            &[(F32, n), (F32, n)],
            &[3.0],
            vec![un(UnaryOp::Abs, 101), bin(BinaryOp::Add, 0, 200), bin(BinaryOp::Div, 100, 1)],
            B1,
            false,
        ),
    ]
}

/// Along rows.
pub fn rows() -> Vec<Case> {
    let softmax = |log| vec![(Op::Softmax { axis: 1, log }, vec![100])];
    let block = vec![
        bin(BinaryOp::Add, 100, 101),
        (Op::Norm { kind: NormKind::Layer, axis: 1, eps: 1e-5.into() }, vec![0]),
        bin(BinaryOp::Mul, 1, 102),
        bin(BinaryOp::Add, 2, 103),
    ];
    let reduce = |op| vec![(Op::Reduce { op, axes: vec![1], keep: false }, vec![100])];
    vec![
        case("softmax", &[(F32, &[250, 45])], &[], softmax(false), ALL, true),
        case("log softmax f16", &[(F16, &[250, 64])], &[], softmax(true), B1, false),
        case("block f16", &[(F16, &[250, 48]), (F16, &[250, 48]), (F16, &[48]), (F16, &[48])], &[], block.clone(), SPLIT, false),
        case(
            "block f32",
            &[(F32, &[250, 45]), (F32, &[250, 45]), (F32, &[45]), (F32, &[45])],
            &[],
            block,
            &["ascend310p3"],
            false,
        ),
        case("sum", &[(F32, &[250, 33])], &[], reduce(ReduceOp::Sum), ALL, false),
        case("max", &[(F32, &[250, 33])], &[], reduce(ReduceOp::Max), B1, false),
        case(
            "across rows",
            &[(F32, &[3, 70, 33])],
            &[],
            vec![(Op::Reduce { op: ReduceOp::Sum, axes: vec![1], keep: true }, vec![100])],
            ALL,
            false,
        ),
    ]
}

/// Products, with what goes before and after them.
pub fn products() -> Vec<Case> {
    let product = |out| vec![(Op::MatMul { out }, vec![100, 101])];
    let turn = || Op::Transpose { perm: vec![1, 0] };
    let epilogue = vec![(Op::MatMul { out: F32 }, vec![100, 101]), bin(BinaryOp::Add, 0, 102), un(UnaryOp::Abs, 1), cast(F16, 2)];
    let dense = vec![
        bin(BinaryOp::Mul, 100, 100),
        (Op::MatMul { out: F32 }, vec![0, 101]),
        bin(BinaryOp::Add, 1, 102),
        un(UnaryOp::Sigmoid, 2),
    ];
    vec![
        case("matmul f16", &[(F16, &[70, 300]), (F16, &[300, 700])], &[], product(F16), SPLIT, true),
        case(
            "right turned f32",
            &[(F32, &[70, 200]), (F32, &[700, 200])],
            &[],
            vec![(turn(), vec![101]), (Op::MatMul { out: F32 }, vec![100, 0])],
            SPLIT,
            false,
        ),
        case("matmul bf16", &[(BF16, &[70, 300]), (BF16, &[300, 700])], &[], product(F32), B1, false),
        case(
            "right turned",
            &[(F16, &[70, 300]), (F16, &[700, 300])],
            &[],
            vec![(turn(), vec![101]), (Op::MatMul { out: F32 }, vec![100, 0])],
            SPLIT,
            false,
        ),
        case(
            "left turned",
            &[(F16, &[300, 70]), (F16, &[300, 700])],
            &[],
            vec![(turn(), vec![100]), (Op::MatMul { out: F32 }, vec![0, 101])],
            B1,
            false,
        ),
        case(
            "bytes",
            &[(I8, &[70, 300]), (I8, &[200, 300])],
            &[],
            vec![(turn(), vec![101]), (Op::MatMul { out: I32 }, vec![100, 0])],
            SPLIT,
            false,
        ),
        case(
            "bytes scaled",
            &[(I8, &[70, 300]), (I8, &[200, 300]), (I32, &[200]), (F32, &[200])],
            &[],
            vec![
                (turn(), vec![101]),
                (Op::MatMul { out: I32 }, vec![100, 0]),
                bin(BinaryOp::Sub, 1, 102),
                cast(F32, 2),
                bin(BinaryOp::Mul, 3, 103),
            ],
            SPLIT,
            false,
        ),
        case("wide f16", &[(F16, &[130, 140]), (F16, &[140, 1300])], &[], product(F16), SPLIT, false),
        case("batches", &[(F16, &[3, 40, 300]), (F16, &[3, 300, 200])], &[], product(F32), B1, false),
        case("dense", &[(F16, &[70, 300]), (F16, &[300, 256]), (F32, &[256])], &[], dense, SPLIT, false),
        case("mixed", &[(F16, &[130, 100]), (F16, &[100, 700]), (F32, &[700])], &[], epilogue, SPLIT, true),
        case(
            "attention",
            &[(F16, &[2, 19, 32]), (F16, &[2, 150, 32]), (F16, &[2, 150, 32]), (F32, &[1])],
            &[],
            vec![
                (Op::Transpose { perm: vec![0, 2, 1] }, vec![101]),
                (Op::MatMul { out: F32 }, vec![100, 0]),
                bin(BinaryOp::Mul, 1, 103),
                (Op::Softmax { axis: 2, log: false }, vec![2]),
                cast(F16, 3),
                (Op::MatMul { out: F16 }, vec![4, 102]),
            ],
            ALL,
            false,
        ),
    ]
}

/// Windows that slide: convolutions and pooling.
pub fn windows() -> Vec<Case> {
    let conv = |strides: [usize; 2], groups| {
        Op::Conv(Conv { strides: strides.into(), dilations: vec![1, 1], pads: vec![(1, 1), (1, 1)], groups })
    };
    let pool = |kind| {
        let (window, strides, dilations) = (vec![3, 3], vec![2, 2], vec![1, 1]);
        Op::Pool(Pool { kind, window, strides, dilations, pads: vec![(1, 1), (1, 1)], ceil: false })
    };
    vec![
        case(
            "depthwise",
            &[(F32, &[1, 17, 19, 13]), (F32, &[3, 3, 1, 13])],
            &[],
            vec![(conv([1, 1], 13), vec![100, 101])],
            ALL,
            false,
        ),
        case(
            "depthwise f16",
            &[(F16, &[1, 17, 19, 40]), (F16, &[3, 3, 1, 40])],
            &[],
            vec![(conv([2, 2], 40), vec![100, 101])],
            B1,
            false,
        ),
        case(
            "convolution",
            &[(F32, &[1, 14, 15, 5]), (F32, &[3, 3, 5, 24]), (F32, &[24])],
            &[],
            vec![(conv([2, 1], 1), vec![100, 101]), bin(BinaryOp::Add, 0, 102)],
            ALL,
            false,
        ),
        case(
            "convolution f16",
            &[(F16, &[1, 14, 15, 20]), (F16, &[3, 3, 20, 24]), (F16, &[24])],
            &[],
            vec![(conv([2, 1], 1), vec![100, 101]), bin(BinaryOp::Add, 0, 102)],
            &["ascend310p3"],
            false,
        ),
        case("max pool", &[(F32, &[1, 18, 21, 13])], &[], vec![(pool(PoolKind::Max), vec![100])], ALL, false),
    ]
}

/// Elements that change their places.
pub fn moves() -> Vec<Case> {
    let turn = || (Op::Transpose { perm: vec![1, 0] }, vec![100]);
    vec![
        case("transpose", &[(F32, &[133, 130])], &[], vec![turn()], ALL, false),
        case("transpose f16", &[(F16, &[133, 65])], &[], vec![turn()], SPLIT, false),
        case("turned sum", &[(F32, &[121, 110]), (F32, &[110, 121])], &[], vec![turn(), bin(BinaryOp::Add, 0, 101)], ALL, false),
        case("rows by index", &[(F32, &[7, 33]), (I64, &[91])], &[], vec![(Op::Gather { axis: 0 }, vec![100, 101])], ALL, false),
        case(
            "embedding",
            &[(F16, &[7, 40]), (I64, &[91]), (F16, &[91, 40])],
            &[],
            vec![(Op::Gather { axis: 0 }, vec![100, 101]), bin(BinaryOp::Add, 0, 102)],
            B1,
            false,
        ),
    ]
}
