//! Elementwise groups: from the graph to kernels to Ascend C on the simulator, against the evaluator, on every generation.

mod support;

use beiming_ir::graph::{Graph, Loc, ValueId};
use beiming_ir::ops::{Arg, BinaryOp, Body, BodyNode, Op, UnaryOp};
use beiming_ir::tensor::Tensor;
use beiming_ir::types::{DType, Dim, Symbols, TensorType};

use DType::{BF16, Bool, F16, F32, I8, I16, I32, I64, U8};
use support::{CHIPS, bin, cast, lowered, random, simulate, un};

/// A fused group: nodes with their arguments; from 100 on an argument is an input, from 200 on a constant.
struct Group {
    name: &'static str,
    inputs: Vec<(DType, Vec<usize>)>,
    constants: Vec<Tensor>,
    nodes: Vec<(Op, Vec<u32>)>,
}

fn group(name: &'static str, inputs: &[(DType, &[usize])], constants: &[f64], nodes: Vec<(Op, Vec<u32>)>) -> Group {
    let dtype = inputs[0].0;
    let inputs = inputs.iter().map(|(d, s)| (*d, s.to_vec())).collect();
    let constants = constants.iter().map(|c| Tensor::from_f64(dtype, &[], &[*c])).collect();
    Group { name, inputs, constants, nodes }
}

fn build(c: &Group, types: &[TensorType], symbols: Symbols) -> Graph {
    let mut g = Graph::new(c.name, symbols);
    let mut values: Vec<ValueId> = types.iter().enumerate().map(|(i, t)| g.add_input(&format!("x{i}"), t.clone())).collect();
    let n = values.len() as u32;
    for t in &c.constants {
        let v = g.constant(t.clone(), &Loc::default());
        values.push(v);
    }
    let arg = |a: u32| match a {
        200.. => Arg::Input(n + a - 200),
        100.. => Arg::Input(a - 100),
        _ => Arg::Node(a),
    };
    let nodes =
        c.nodes.iter().map(|(op, args)| BodyNode { op: op.clone(), args: args.iter().map(|a| arg(*a)).collect() }).collect();
    let op = Op::Fused(Body { inputs: values.len() as u32, nodes }.into());
    let out = g.push1(op, &values, &Loc::default()).unwrap_or_else(|e| panic!("{}: {e}", c.name));
    g.add_output("y", out);
    g
}

fn calls(c: &Group, chip: &str) -> Vec<support::Call> {
    let types: Vec<TensorType> = c.inputs.iter().map(|(d, s)| TensorType::known(*d, s)).collect();
    let g = build(c, &types, Symbols::default());
    let inputs: Vec<Tensor> = c.inputs.iter().enumerate().map(|(i, (d, s))| random(*d, s, i as u64 + 7)).collect();
    let shapes: Vec<_> = c.inputs.iter().map(|(d, s)| format!("{d}{s:?}")).collect();
    lowered(&format!("{} {}", c.name, shapes.join(" ")), &g, chip, &inputs)
}

/// `exp(x + y) * x`.
fn chain(d: DType, x: &[usize], y: &[usize]) -> Group {
    let nodes = vec![bin(BinaryOp::Add, 100, 101), un(UnaryOp::Exp, 0), bin(BinaryOp::Mul, 1, 100)];
    group("chain", &[(d, x), (d, y)], &[], nodes)
}

#[test]
fn lengths_and_types() {
    let mut all = vec![];
    for chip in CHIPS {
        for n in [1, 7, 16, 31, 32, 33, 257, 5000] {
            all.extend(calls(&chain(F32, &[n], &[n]), chip));
        }
        for n in [1, 31, 33, 4099] {
            all.extend(calls(&chain(F16, &[n], &[n]), chip));
        }
        all.extend(calls(
            &group("sum", &[(I32, &[77]), (I32, &[77])], &[], vec![bin(BinaryOp::Add, 100, 101), bin(BinaryOp::Max, 0, 100)]),
            chip,
        ));
        all.extend(calls(&group("sum", &[(I16, &[50]), (I16, &[50])], &[], vec![bin(BinaryOp::Mul, 100, 101)]), chip));
        all.extend(calls(&chain(F32, &[0], &[0]), chip));
    }
    for chip in ["ascend910b1", "ascend950"] {
        all.extend(calls(&chain(BF16, &[1003], &[1003]), chip));
    }
    simulate(&all);
}

#[test]
fn broadcasts() {
    let mut all = vec![];
    for chip in CHIPS {
        for (x, y) in [
            (&[37usize, 5][..], &[5usize][..]),
            (&[37, 5], &[37, 1]),
            (&[13, 64], &[64]),
            (&[13, 64], &[13, 1]),
            (&[3, 4, 33], &[3, 1, 33]),
            (&[3, 4, 33], &[4, 1]),
            (&[2, 3, 4, 7], &[3, 1, 1]),
            (&[3, 2500], &[2500]),
            (&[3, 2500], &[3, 1]),
            (&[100], &[1]),
        ] {
            all.extend(calls(&chain(F32, x, y), chip));
        }
        all.extend(calls(&chain(F16, &[37, 5], &[5]), chip));
        all.extend(calls(&chain(F16, &[9, 48], &[9, 1]), chip));
    }
    simulate(&all);
}

#[test]
fn functions() {
    let mut all = vec![];
    for chip in CHIPS {
        for op in [
            UnaryOp::Neg,
            UnaryOp::Abs,
            UnaryOp::Exp,
            UnaryOp::Sigmoid,
            UnaryOp::Tanh,
            UnaryOp::Erf,
            UnaryOp::Sign,
            UnaryOp::Recip,
        ] {
            all.extend(calls(&group("unary", &[(F32, &[41])], &[], vec![un(op, 100)]), chip));
            all.extend(calls(&group("unary", &[(F16, &[41])], &[], vec![un(op, 100)]), chip));
        }
        for op in [UnaryOp::Sqrt, UnaryOp::Rsqrt, UnaryOp::Log] {
            let nodes = vec![un(UnaryOp::Abs, 100), bin(BinaryOp::Add, 0, 200), un(op, 1)];
            all.extend(calls(&group("of a positive number", &[(F32, &[41])], &[0.25], nodes), chip));
        }
        let gelu = vec![
            bin(BinaryOp::Div, 100, 200),
            un(UnaryOp::Erf, 0),
            bin(BinaryOp::Add, 1, 201),
            bin(BinaryOp::Mul, 100, 2),
            bin(BinaryOp::Mul, 3, 202),
        ];
        all.extend(calls(&group("gelu", &[(F32, &[3, 45])], &[std::f64::consts::SQRT_2, 1.0, 0.5], gelu), chip));
        let clip = vec![bin(BinaryOp::Max, 100, 200), bin(BinaryOp::Min, 0, 201), bin(BinaryOp::Sub, 202, 1)];
        all.extend(calls(&group("clip", &[(F16, &[130])], &[-0.5, 0.75, 1.0], clip), chip));
    }
    for op in [UnaryOp::Floor, UnaryOp::Ceil, UnaryOp::Round, UnaryOp::Trunc] {
        all.extend(calls(&group("round", &[(F32, &[41])], &[], vec![un(op, 100)]), "ascend910b1"));
    }
    simulate(&all);
}

#[test]
fn masks_and_conversions() {
    let mut all = vec![];
    for chip in CHIPS {
        for (d, n) in [(F32, 70usize), (F16, 33), (F32, 1)] {
            let nodes = vec![bin(BinaryOp::Gt, 100, 101), (Op::Select, vec![0, 100, 101])];
            all.extend(calls(&group("larger", &[(d, &[n]), (d, &[n])], &[], nodes), chip));
            all.extend(calls(&group("compare", &[(d, &[n]), (d, &[n])], &[], vec![bin(BinaryOp::Le, 100, 101)]), chip));
        }
        let nodes = vec![bin(BinaryOp::Lt, 101, 200), (Op::Select, vec![0, 101, 200])];
        let mut c = group("by rows", &[(F32, &[5, 6]), (F32, &[5, 6])], &[0.5], nodes);
        all.extend(calls(&c, chip));
        let mixed =
            group("rows of two widths", &[(F32, &[5, 6]), (F32, &[6])], &[], vec![bin(BinaryOp::Mul, 100, 101), cast(F16, 0)]);
        all.extend(calls(&mixed, chip));
        c.nodes = vec![bin(BinaryOp::Lt, 100, 101), bin(BinaryOp::Gt, 101, 200), bin(BinaryOp::And, 0, 1), un(UnaryOp::Not, 2)];
        all.extend(calls(&c, chip));
        let given = vec![(Op::Select, vec![100, 101, 102])];
        all.extend(calls(&group("a mask given", &[(Bool, &[67]), (F32, &[67]), (F32, &[67])], &[], given), chip));
        for (from, to) in [
            (F32, F16),
            (F16, F32),
            (I32, F32),
            (F32, I32),
            (U8, F32),
            (F32, I8),
            (I8, F16),
            (Bool, F32),
            (F16, Bool),
            (I32, F16),
        ] {
            all.extend(calls(&group("cast", &[(from, &[75])], &[], vec![cast(to, 100)]), chip));
        }
    }
    all.extend(calls(&group("cast", &[(BF16, &[75])], &[], vec![cast(F16, 100)]), "ascend910b1"));
    simulate(&all);
}

/// Whole numbers are compared in f32 where the chip compares no others: exactly, with numbers of up to 24 bits.
#[test]
fn comparisons_of_integers() {
    let mut all = vec![];
    for chip in CHIPS {
        for (op, n) in [(BinaryOp::Eq, 45usize), (BinaryOp::Lt, 257), (BinaryOp::Ne, 1)] {
            all.extend(calls(&group("i32", &[(I32, &[n])], &[2.0], vec![bin(op, 100, 200)]), chip));
        }
    }
    for chip in ["ascend910b1", "ascend950"] {
        for (op, n) in [(BinaryOp::Eq, 45usize), (BinaryOp::Ge, 257), (BinaryOp::Ne, 3)] {
            all.extend(calls(&group("i64", &[(I64, &[n])], &[1.0], vec![bin(op, 100, 200)]), chip));
        }
        let nodes = vec![cast(Bool, 100), (Op::Select, vec![0, 101, 102])];
        all.extend(calls(&group("by i64", &[(I64, &[1, 77]), (F32, &[1, 77]), (F32, &[1, 77])], &[], nodes), chip));
    }
    simulate(&all);
}

/// Of any two whole numbers of 32 or 16 bits: the ends of the range, neighbours that f32 does not tell apart, differences that
/// wrap.
#[test]
fn comparisons_over_the_whole_range() {
    const EDGES: [i64; 14] = [
        i32::MIN as i64,
        i32::MIN as i64 + 1,
        -(1 << 30) - 1,
        -(1 << 24) - 1,
        -(1 << 24),
        -1,
        0,
        1,
        1 << 24,
        (1 << 24) + 1,
        (1 << 30) + 1,
        i32::MAX as i64 - 64,
        i32::MAX as i64 - 1,
        i32::MAX as i64,
    ];
    let n = EDGES.len();
    let mut all = vec![];
    for chip in CHIPS {
        for op in [BinaryOp::Eq, BinaryOp::Ne, BinaryOp::Lt, BinaryOp::Le, BinaryOp::Gt, BinaryOp::Ge] {
            let pairs = |pick: &dyn Fn(usize) -> usize| {
                Tensor::build(I32, &[n * n], |i| beiming_ir::tensor::Num::Int(EDGES[pick(i)].into()))
            };
            let inputs = [pairs(&|i| i / n), pairs(&|i| i % n)];
            let g = build(
                &group("pairs", &[(I32, &[n * n]), (I32, &[n * n])], &[], vec![bin(op, 100, 101)]),
                &[inputs[0].ty(), inputs[1].ty()],
                Symbols::default(),
            );
            all.extend(lowered(&format!("{op:?} of i32"), &g, chip, &inputs));
            for edge in [i32::MIN, (1 << 24) + 1, i32::MAX] {
                let c = group("a number", &[(I32, &[n * n])], &[f64::from(edge)], vec![bin(op, 100, 200)]);
                let g = build(&c, &[inputs[0].ty()], Symbols::default());
                all.extend(lowered(&format!("{op:?} of i32 and {edge}"), &g, chip, &inputs[..1]));
            }
            let inputs = [0, 1].map(|s| {
                Tensor::build(I16, &[91], |i| beiming_ir::tensor::Num::Int((i as i128 * (7 + s) * 977) % 65536 - 32768))
            });
            let c = group("i16", &[(I16, &[91]), (I16, &[91])], &[], vec![bin(op, 100, 101)]);
            let g = build(&c, &[inputs[0].ty(), inputs[1].ty()], Symbols::default());
            all.extend(lowered(&format!("{op:?} of i16"), &g, chip, &inputs));
        }
    }
    simulate(&all);
}

/// Numbers and truth values of 8 bits that are one for all, one a row or one row for all.
#[test]
fn bytes_are_spread() {
    let mut all = vec![];
    for chip in CHIPS {
        for shape in [&[1usize, 1][..], &[5, 1], &[1, 37]] {
            for d in [I8, U8] {
                let nodes = vec![cast(F32, 101), bin(BinaryOp::Mul, 100, 0)];
                all.extend(calls(&group("spread", &[(F32, &[5, 37]), (d, shape)], &[], nodes), chip));
            }
            let chosen = vec![(Op::Select, vec![101, 100, 102])];
            all.extend(calls(&group("chosen", &[(F32, &[5, 37]), (Bool, shape), (F32, &[5, 37])], &[], chosen), chip));
        }
    }
    simulate(&all);
}

/// To the nearest whole number, ties to even, of whatever f32 holds.
#[test]
fn rounding() {
    let mut all = vec![];
    let numbers: Vec<f32> =
        [0.0, 0.25, 0.5, 0.75, 1.5, 2.5, 3.5, 1e-30, 4_194_303.5, 4_194_304.5, 8_388_607.5, 8_388_609.0, 3e9, 1e38]
            .into_iter()
            .flat_map(|x| [x, -x])
            .chain([f32::INFINITY, f32::NEG_INFINITY, f32::NAN])
            .collect();
    for chip in CHIPS {
        let input = Tensor::f32(&[numbers.len()], &numbers);
        let g = build(
            &group("round", &[(F32, &[numbers.len()])], &[], vec![un(UnaryOp::Round, 100)]),
            &[input.ty()],
            Symbols::default(),
        );
        all.extend(lowered("rounding", &g, chip, &[input]));
    }
    simulate(&all);
}

/// What a reader of the emitted code sees.
#[test]
fn spelling() {
    let nodes = vec![bin(BinaryOp::Add, 100, 101), bin(BinaryOp::Max, 0, 200)];
    let bias = group("bias", &[(F32, &[37, 5]), (F32, &[5])], &[0.0], nodes);
    let nodes = vec![bin(BinaryOp::Gt, 100, 200), (Op::Select, vec![0, 100, 101])];
    let select = group("select", &[(F16, &[40000]), (F16, &[40000])], &[0.5], nodes);
    for (name, c, chip) in [
        ("chain_f32", chain(F32, &[100_000], &[100_000]), "ascend910b1"),
        ("chain_bf16", chain(BF16, &[100_000], &[100_000]), "ascend910b1"),
        ("bias_rows", bias, "ascend910b1"),
        ("chain_f32", chain(F32, &[1003], &[1003]), "ascend310p3"),
        ("select_f16", select, "ascend950"),
    ] {
        let npu = beiming_ir::target::npu::Npu::by_name(chip).expect("a known chip");
        let made = calls(&c, chip);
        let [call] = &made[..] else { panic!("{name}: {} kernels", made.len()) };
        let text = beiming_ascend::emit::kernel(&call.kernel, &npu).expect("a spelling");
        assert_eq!(text, beiming_ascend::emit::kernel(&call.kernel, &npu).expect("a spelling"), "the same bytes each time");
        insta::assert_snapshot!(format!("{name}__{chip}"), text);
    }
}

#[test]
fn an_open_extent() {
    let c = chain(F32, &[0, 0], &[0]);
    let mut all = vec![];
    for (n, m) in [(1i64, 33i64), (3, 5000), (7, 16)] {
        let mut symbols = Symbols::default();
        symbols.declare("N", 1, 64);
        symbols.declare("M", 1, 8192);
        let types = [TensorType::new(F32, vec![Dim::sym("N"), Dim::sym("M")]), TensorType::new(F32, vec![Dim::sym("M")])];
        let g = build(&c, &types, symbols);
        let inputs = [random(F32, &[n as usize, m as usize], 7), random(F32, &[m as usize], 8)];
        for chip in CHIPS {
            all.extend(lowered("an open extent", &g, chip, &inputs));
        }
    }
    simulate(&all);
}
