//! The kernels that are changed: families by targets, each with several tiles a core, tails, and equal elements among its
//! numbers, so that what goes wrong can show.

use beiming_ir::graph::{Graph, Loc};
use beiming_ir::ops::{Arg, BinaryOp, Body, BodyNode, NormKind, Op, ReduceOp, UnaryOp};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Symbols, TensorType};

use DType::{BF16, F16, F32, I8, I32};

use crate::support::{CHIPS, Call, bin, cast, lowered_deep, un};

/// A fused group on some chips. In `nodes` an argument from 100 on is an input, from 200 on a constant.
pub struct Case {
    pub name: &'static str,
    inputs: Vec<(DType, Vec<usize>)>,
    constants: Vec<f64>,
    nodes: Vec<(Op, Vec<u32>)>,
    numbers: Numbers,
    pub chips: &'static [&'static str],
    /// In the fixed subset that every test run goes through.
    pub quick: bool,
}

const ALL: &[&str] = &CHIPS;
const SPLIT: &[&str] = &["ascend910b1", "ascend950"];
const B1: &[&str] = &["ascend910b1"];

/// `exp(x + y) * x`.
fn chain() -> Vec<(Op, Vec<u32>)> {
    vec![bin(BinaryOp::Add, 100, 101), un(UnaryOp::Exp, 0), bin(BinaryOp::Mul, 1, 100)]
}

/// All of them.
pub fn all() -> Vec<Case> {
    let case =
        |name: &'static str, inputs: &[(DType, &[usize])], constants: &[f64], nodes: Vec<(Op, Vec<u32>)>, chips, quick| Case {
            name,
            numbers: match &nodes[..] {
                [(Op::Softmax { .. }, _)] => Numbers::Steep,
                [(Op::Reduce { op: ReduceOp::Max, .. }, _)] => Numbers::Negative,
                [(Op::Cast { to: F32 }, _)] => Numbers::Large,
                n if n.iter().any(|n| matches!(n.0, Op::Norm { .. })) => Numbers::Flat,
                n if n.iter().any(|n| matches!(n.0, Op::MatMul { .. } | Op::Select)) => Numbers::Exact,
                _ => Numbers::Between,
            },
            inputs: inputs.iter().map(|(d, s)| (*d, s.to_vec())).collect(),
            constants: constants.to_vec(),
            nodes,
            chips,
            quick,
        };
    let n: &[usize] = &[13_001];
    let product = |out| vec![(Op::MatMul { out }, vec![100, 101])];
    let turn = || Op::Transpose { perm: vec![1, 0] };
    let select = vec![bin(BinaryOp::Gt, 100, 101), un(UnaryOp::Neg, 101), (Op::Select, vec![0, 100, 1])];
    let limit = vec![bin(BinaryOp::Lt, 100, 200), (Op::Select, vec![0, 100, 101])];
    let softmax = |log| vec![(Op::Softmax { axis: 1, log }, vec![100])];
    let block = vec![
        bin(BinaryOp::Add, 100, 101),
        (Op::Norm { kind: NormKind::Layer, axis: 1, eps: 1e-5.into() }, vec![0]),
        bin(BinaryOp::Mul, 1, 102),
        bin(BinaryOp::Add, 2, 103),
    ];
    let reduce = |op| vec![(Op::Reduce { op, axes: vec![1], keep: false }, vec![100])];
    let epilogue = vec![(Op::MatMul { out: F32 }, vec![100, 101]), bin(BinaryOp::Add, 0, 102), un(UnaryOp::Abs, 1), cast(F16, 2)];
    let dense = vec![
        bin(BinaryOp::Mul, 100, 100),
        (Op::MatMul { out: F32 }, vec![0, 101]),
        bin(BinaryOp::Add, 1, 102),
        un(UnaryOp::Sigmoid, 2),
    ];
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
        case("wide f16", &[(F16, &[130, 140]), (F16, &[140, 1300])], &[], product(F16), SPLIT, false),
        case("batches", &[(F16, &[3, 40, 300]), (F16, &[3, 300, 200])], &[], product(F32), B1, false),
        case("dense", &[(F16, &[70, 300]), (F16, &[300, 256]), (F32, &[256])], &[], dense, SPLIT, false),
        case("mixed", &[(F16, &[130, 100]), (F16, &[100, 700]), (F32, &[700])], &[], epilogue, SPLIT, true),
    ]
}

/// What the elements of a case's arguments are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Numbers {
    /// Multiples of a sixteenth: sums of their products are exact in any order, and some are equal.
    Exact,
    /// A little more than those, so that conversions round.
    Between,
    /// So large, and different from row to row, that only the right maximum keeps exponentials finite.
    Steep,
    /// Below zero, so that a padding of zeros would be the maximum.
    Negative,
    /// Some rows of equal elements, whose variance is zero.
    Flat,
    /// Integers that f32 does not hold.
    Large,
}

/// Elements in -2..2 (integers in -32..32), and what the kind makes of them.
fn elements(dtype: DType, shape: &[usize], seed: u64, kind: Numbers) -> Tensor {
    let mut s = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let width = shape.last().copied().unwrap_or(1).max(1);
    Tensor::build(dtype, shape, |i| {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        let u = ((s >> 40) % 64) as f64 - 32.0;
        let (x, row) = (u / 16.0, (i / width) as f64);
        if !dtype.is_float() {
            return Num::Int(if kind == Numbers::Large { u as i128 * 67_108_859 } else { u as i128 });
        }
        Num::Float(match kind {
            Numbers::Exact | Numbers::Large => x,
            Numbers::Between => x + 0.7 / 1024.0,
            Numbers::Steep => 40.0 * x + 100.0 * (row % 7.0 - 3.0),
            Numbers::Negative => x - 5.0,
            Numbers::Flat => {
                if shape.len() > 1 && row % 5.0 == 0.0 {
                    1.0
                } else {
                    x
                }
            }
        })
    })
}

impl Case {
    /// The kernels for a chip, with arguments and results.
    pub fn calls(&self, chip: &str) -> Vec<Call> {
        let mut g = Graph::new(self.name, Symbols::default());
        let types: Vec<TensorType> = self.inputs.iter().map(|(d, s)| TensorType::known(*d, s)).collect();
        let mut values: Vec<_> = types.iter().enumerate().map(|(i, t)| g.add_input(&format!("x{i}"), t.clone())).collect();
        let inputs = values.len() as u32;
        let dtype = self.inputs[0].0;
        values.extend(self.constants.iter().map(|c| g.constant(Tensor::from_f64(dtype, &[], &[*c]), &Loc::default())));
        let arg = |a: u32| match a {
            200.. => Arg::Input(inputs + a - 200),
            100.. => Arg::Input(a - 100),
            _ => Arg::Node(a),
        };
        let nodes = self.nodes.iter().map(|(op, args)| BodyNode { op: op.clone(), args: args.iter().map(|a| arg(*a)).collect() });
        let op = Op::Fused(Body { inputs: values.len() as u32, nodes: nodes.collect() }.into());
        let out = g.push1(op, &values, &Loc::default()).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        g.add_output("y", out);
        let product = self.nodes.iter().any(|n| matches!(n.0, Op::MatMul { .. }));
        let one = |(i, (d, s)): (usize, &(DType, Vec<usize>))| elements(*d, s, i as u64 + 7, self.numbers);
        let tensors: Vec<Tensor> = self.inputs.iter().enumerate().map(one).collect();
        let depth = if product { self.inputs[0].1.iter().copied().max().unwrap_or(0) } else { 0 };
        lowered_deep(self.name, &g, chip, &tensors, depth)
    }
}
