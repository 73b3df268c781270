//! Softmax, normalisations and reductions along rows, with what is fused around them, on every generation.

mod support;

use beiming_ir::graph::{Graph, Loc};
use beiming_ir::ops::{BinaryOp, NormKind, Op, ReduceOp, UnaryOp};
use beiming_ir::types::{DType, Dim, Symbols, TensorType};

use DType::{BF16, F16, F32};
use support::{CHIPS, Call, Node, bin, fused_deep, lowered, random, simulate};

fn calls(name: &str, inputs: &[(DType, &[usize])], nodes: Vec<Node>, chip: &str) -> Vec<Call> {
    fused_deep(name, inputs, &[], nodes, chip, 0)
}

fn softmax(log: bool, rank: usize) -> Op {
    Op::Softmax { axis: rank - 1, log }
}

fn norm(kind: NormKind, axis: usize) -> Op {
    Op::Norm { kind, axis, eps: 1e-5.into() }
}

fn reduce(op: ReduceOp, axes: &[usize], keep: bool) -> Op {
    Op::Reduce { op, axes: axes.to_vec(), keep }
}

#[test]
fn softmax_and_norms() {
    let mut all = vec![];
    for chip in CHIPS {
        for shape in [&[3usize, 2][..], &[5, 31], &[130, 32], &[2, 3, 33], &[1000], &[2, 700]] {
            all.extend(calls("softmax", &[(F32, shape)], vec![(softmax(false, shape.len()), vec![100])], chip));
            all.extend(calls("layer", &[(F32, shape)], vec![(norm(NormKind::Layer, shape.len() - 1), vec![100])], chip));
        }
        all.extend(calls("log softmax", &[(F16, &[6, 37])], vec![(softmax(true, 2), vec![100])], chip));
        all.extend(calls("rms", &[(F16, &[6, 64])], vec![(norm(NormKind::Rms, 1), vec![100])], chip));
        all.extend(calls("layer over two axes", &[(F32, &[4, 3, 7])], vec![(norm(NormKind::Layer, 1), vec![100])], chip));
        // A residual before, scale and bias after.
        let nodes = vec![
            bin(BinaryOp::Add, 100, 101),
            (norm(NormKind::Layer, 1), vec![0]),
            bin(BinaryOp::Mul, 1, 102),
            bin(BinaryOp::Add, 2, 103),
        ];
        for d in [F32, F16] {
            all.extend(calls("block", &[(d, &[7, 48]), (d, &[7, 48]), (d, &[48]), (d, &[48])], nodes.clone(), chip));
            all.extend(calls("block", &[(d, &[3, 45]), (d, &[3, 45]), (d, &[45]), (d, &[45])], nodes.clone(), chip));
        }
        // A mask before, as attention has it.
        let nodes = vec![bin(BinaryOp::Add, 100, 101), (softmax(false, 4), vec![0])];
        all.extend(calls("scores", &[(F32, &[2, 3, 4, 17]), (F32, &[2, 1, 1, 17])], nodes, chip));
    }
    all.extend(calls("softmax", &[(BF16, &[5, 40])], vec![(softmax(false, 2), vec![100])], "ascend910b1"));
    simulate(&all);
}

#[test]
fn reductions() {
    let mut all = vec![];
    for chip in CHIPS {
        for op in [ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min, ReduceOp::Mean] {
            all.extend(calls(op.name(), &[(F32, &[9, 33])], vec![(reduce(op, &[1], false), vec![100])], chip));
            all.extend(calls(op.name(), &[(F16, &[2, 5, 6])], vec![(reduce(op, &[1, 2], true), vec![100])], chip));
        }
        all.extend(calls("all", &[(F32, &[300])], vec![(reduce(ReduceOp::Sum, &[0], false), vec![100])], chip));
        // A root of a mean of squares, with an operand that has one number a row.
        let nodes = vec![
            bin(BinaryOp::Mul, 100, 100),
            (reduce(ReduceOp::Mean, &[1], false), vec![0]),
            (Op::Unary(UnaryOp::Sqrt), vec![1]),
            bin(BinaryOp::Add, 2, 101),
        ];
        all.extend(calls("length", &[(F32, &[50, 24]), (F32, &[50])], nodes, chip));
    }
    simulate(&all);
}

#[test]
fn an_open_extent() {
    let mut all = vec![];
    for n in [1usize, 3, 40] {
        let mut symbols = Symbols::default();
        symbols.declare("S", 2, 2048);
        let mut g = Graph::new("open", symbols);
        let x = g.add_input("x", TensorType::new(F32, vec![Dim::Known(3), Dim::sym("S")]));
        let y = g.push1(softmax(false, 2), &[x], &Loc::default()).expect("a softmax");
        g.add_output("y", y);
        for chip in CHIPS {
            all.extend(lowered("softmax", &g, chip, &[random(F32, &[3, n + 1], 5)]));
        }
    }
    simulate(&all);
}

/// Rows that the unified buffer does not hold go through it in chunks.
#[test]
fn long_rows() {
    let mut all = vec![];
    let long = 24_003;
    let of = |name: &str, inputs: &[(DType, &[usize])], nodes: Vec<Node>, chip: &str| {
        let made = fused_deep(name, inputs, &[], nodes, chip, 64);
        assert_eq!(made.len(), 1, "{name} in one kernel");
        made
    };
    for chip in CHIPS {
        let x = (F32, &[2, long][..]);
        all.extend(of("softmax", &[x], vec![(softmax(false, 2), vec![100])], chip));
        let nodes = vec![bin(BinaryOp::Mul, 100, 101), (softmax(true, 2), vec![0])];
        all.extend(of("log softmax", &[(F16, &[1, long]), (F16, &[long])], nodes, chip));
        all.extend(of("rms", &[x], vec![(norm(NormKind::Rms, 1), vec![100])], chip));
        let nodes = vec![
            bin(BinaryOp::Add, 100, 101),
            (norm(NormKind::Layer, 1), vec![0]),
            bin(BinaryOp::Mul, 1, 102),
            bin(BinaryOp::Add, 2, 103),
        ];
        all.extend(of("layer", &[x, x, (F32, &[long]), (F32, &[long])], nodes, chip));
        let longer = (F32, &[2, 60_001][..]);
        all.extend(of("max", &[longer], vec![(reduce(ReduceOp::Max, &[1], false), vec![100])], chip));
        let nodes = vec![
            bin(BinaryOp::Mul, 100, 100),
            (reduce(ReduceOp::Mean, &[1], false), vec![0]),
            (Op::Unary(UnaryOp::Sqrt), vec![1]),
            bin(BinaryOp::Add, 2, 101),
        ];
        all.extend(of("length", &[longer, (F32, &[2])], nodes, chip));
    }
    // As long as the run says.
    let mut symbols = Symbols::default();
    symbols.declare("S", 1, 1 << 20);
    let mut g = Graph::new("open", symbols);
    let x = g.add_input("x", TensorType::new(F32, vec![Dim::Known(2), Dim::sym("S")]));
    let y = g.push1(softmax(false, 2), &[x], &Loc::default()).expect("a softmax");
    g.add_output("y", y);
    for (chip, n) in CHIPS.into_iter().flat_map(|c| [(c, 5), (c, 9001)]) {
        all.extend(lowered("softmax", &g, chip, &[random(F32, &[2, n], 5)]));
    }
    simulate(&all);
}

#[test]
fn what_is_not_computed_is_said() {
    let target = beiming_ir::target::Target::ascend("ascend310p3", beiming_ir::target::Target::kunpeng920()).expect("a chip");
    let mut g = Graph::new("product", Symbols::default());
    let x = g.add_input("x", TensorType::known(F32, &[4, 100]));
    let y = g.push1(reduce(ReduceOp::Prod, &[1], false), &[x], &Loc::default()).expect("a reduction");
    g.add_output("y", y);
    let (_, report) = beiming_passes::lower::lower_reported(&g, &target, &Default::default()).expect("a program");
    let [refused] = &report.on_host[..] else { panic!("{:?}", report.on_host) };
    assert_eq!(refused.why, "the vector unit has no reduction by prod");
}

/// What a reader of the emitted code sees.
#[test]
fn spelling() {
    let nodes = vec![
        bin(BinaryOp::Add, 100, 101),
        (norm(NormKind::Layer, 1), vec![0]),
        bin(BinaryOp::Mul, 1, 102),
        bin(BinaryOp::Add, 2, 103),
    ];
    let made = calls("block", &[(F16, &[512, 768]), (F16, &[512, 768]), (F16, &[768]), (F16, &[768])], nodes, "ascend910b1");
    let npu = beiming_ir::target::npu::Npu::by_name("ascend910b1").expect("a known chip");
    insta::assert_snapshot!("block_f16__ascend910b1", beiming_ascend::emit::kernel(&made[0].kernel, &npu).expect("a spelling"));
    let mut g = Graph::new("long", Symbols::default());
    let x = g.add_input("x", TensorType::known(F32, &[40, 6625]));
    let y = g.push1(softmax(false, 2), &[x], &Loc::default()).expect("a softmax");
    g.add_output("y", y);
    insta::assert_snapshot!("long_softmax_f32__ascend910b1", support::spelled(&g, "ascend910b1"));
}
