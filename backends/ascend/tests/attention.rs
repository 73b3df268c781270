//! Attention in one kernel, key block by key block.

mod support;

use beiming_ir::graph::{Graph, Loc};
use beiming_ir::kernel::Unit;
use beiming_ir::ops::{Arg, BinaryOp, Body, BodyNode, Op};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim, Symbols, TensorType};

use DType::{BF16, F16, F32};
use support::{Call, Node, fused, lowered, random, simulate};

/// Scores of inputs 0 and 1, scaled by input 3, plus input 4 where there is one; weights times input 2.
fn nodes(rank: usize, d: DType, mask: bool, turned: bool) -> Vec<Node> {
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(rank - 2, rank - 1);
    let mut nodes = vec![];
    let mut keys = 101;
    if !turned {
        nodes.push((Op::Transpose { perm }, vec![101]));
        keys = 0;
    }
    let at = |nodes: &Vec<Node>| nodes.len() as u32 - 1;
    nodes.push((Op::MatMul { out: F32 }, vec![100, keys]));
    let n = at(&nodes);
    nodes.push((Op::Binary(BinaryOp::Mul), vec![n, 103]));
    if mask {
        let n = at(&nodes);
        nodes.push((Op::Binary(BinaryOp::Add), vec![n, 104]));
    }
    let n = at(&nodes);
    nodes.push((Op::Softmax { axis: rank - 1, log: false }, vec![n]));
    if d != F32 {
        let n = at(&nodes);
        nodes.push((Op::Cast { to: d }, vec![n]));
    }
    let n = at(&nodes);
    nodes.push((Op::MatMul { out: d }, vec![n, 102]));
    nodes
}

fn one(name: &str, inputs: &[(DType, &[usize])], nodes: Vec<Node>, chip: &str) -> Vec<Call> {
    let made = fused(name, inputs, &[], nodes, chip);
    let units: Vec<_> = made.iter().map(|c| c.kernel.npu.as_ref().map(|n| n.unit)).collect();
    // Both units of one core, or cores beside each other.
    let unit = if chip == COUPLED { Unit::Cube } else { Unit::Mix };
    assert_eq!(units, [Some(unit)], "{name} {inputs:?} on {chip}");
    made
}

const COUPLED: &str = "ascend310p3";

#[test]
fn heads() {
    let mut all = vec![];
    let shapes = [[2, 19, 23, 32], [1, 1, 40, 16], [1, 33, 150, 40], [1, 130, 31, 8]];
    for (chip, d, take) in
        [("ascend910b1", F16, 4), ("ascend910b1", F32, 4), ("ascend910b1", BF16, 1), ("ascend950", F16, 2), (COUPLED, F16, 4)]
    {
        for [b, q, k, w] in &shapes[..take] {
            let inputs: [(DType, &[usize]); 4] = [(d, &[*b, *q, *w]), (d, &[*b, *k, *w]), (d, &[*b, *k, *w]), (F32, &[1])];
            all.extend(one("attention", &inputs, nodes(3, d, false, false), chip));
        }
    }
    simulate(&all);
}

/// Masks of several shapes, keys stored turned, batches of two axes, one of them shared by heads.
#[test]
fn masks_and_batches() {
    let mut all = vec![];
    for (chip, d) in [("ascend910b1", F16), ("ascend910b1", F32), ("ascend950", F16), (COUPLED, F16)] {
        let masks: [&[usize]; 4] = [&[2, 1, 1, 48], &[1, 1, 21, 48], &[2, 3, 21, 48], &[1, 1, 21, 1]];
        for mask in &masks[if chip == "ascend950" { 3 } else { 0 }..] {
            let (q, k): (&[usize], &[usize]) = (&[2, 3, 21, 24], &[2, 3, 48, 24]);
            let inputs: [(DType, &[usize]); 5] = [(d, q), (d, k), (d, k), (F32, &[1]), (F32, mask)];
            all.extend(one("masked", &inputs, nodes(4, d, true, false), chip));
        }
        let inputs: [(DType, &[usize]); 5] =
            [(d, &[2, 3, 5, 24]), (d, &[3, 33, 24]), (d, &[3, 33, 16]), (F32, &[1]), (d, &[5, 33])];
        let mut shared = nodes(3, d, false, false);
        shared[0] = (Op::Transpose { perm: vec![0, 2, 1] }, vec![101]);
        shared[3] = (Op::Softmax { axis: 3, log: false }, vec![2]);
        all.extend(one("shared keys", &inputs[..4], shared, chip));
        if d == F16 {
            let inputs: [(DType, &[usize]); 4] = [(d, &[2, 5, 24]), (d, &[2, 24, 33]), (d, &[2, 33, 16]), (F32, &[1])];
            all.extend(one("keys turned", &inputs, nodes(3, d, false, true), chip));
        }
    }
    simulate(&all);
}

/// Rows whose scores are minus infinity but for a few, as a causal mask has them; a first block of keys that is masked whole.
#[test]
fn causal() {
    let n = 70;
    let mask = Tensor::build(F16, &[n, n], |i| {
        let (q, k) = (i / n, i % n);
        Num::Float(if k > q || (q >= 66 && k < 64) { f64::NEG_INFINITY } else { 0.0 })
    });
    masked("causal", mask, &["ascend910b1", "ascend950", COUPLED]);
}

/// Scores so low that an exponential would be infinite if what lies behind the last key were taken for a score of zero.
#[test]
fn low_scores() {
    masked("low", Tensor::build(F32, &[1, 70], |_| Num::Float(-1000.0)), &[COUPLED]);
}

/// Attention of 70 queries over as many keys, with a constant mask and scores of its type.
fn masked(name: &str, mask: Tensor, chips: &[&str]) {
    let mut all = vec![];
    let d = mask.dtype;
    let mut g = Graph::new(name, Symbols::default());
    let x: Vec<_> = ["q", "k", "v"].iter().map(|n| g.add_input(n, TensorType::known(F16, &[2, 70, 32]))).collect();
    let mask = g.constant(mask, &Loc::default());
    let arg = |a: u32| if a >= 100 { Arg::Input(a - 100) } else { Arg::Node(a) };
    let nodes = [
        (Op::Transpose { perm: vec![0, 2, 1] }, vec![101]),
        (Op::MatMul { out: d }, vec![100, 0]),
        (Op::Binary(BinaryOp::Add), vec![1, 103]),
        (Op::Softmax { axis: 2, log: false }, vec![2]),
        (Op::Cast { to: F16 }, vec![3]),
        (Op::MatMul { out: F16 }, vec![4, 102]),
    ];
    let nodes = nodes.into_iter().map(|(op, args)| BodyNode { op, args: args.into_iter().map(arg).collect() }).collect();
    let op = Op::Fused(Body { inputs: 4, nodes }.into());
    let y = g.push1(op, &[x[0], x[1], x[2], mask], &Loc::default()).expect("an attention");
    g.add_output("y", y);
    let given: Vec<_> = (0..3).map(|i| random(F16, &[2, 70, 32], i + 7)).collect();
    for chip in chips {
        all.extend(lowered(name, &g, chip, &given));
    }
    simulate(&all);
}

/// Any number of keys, as a decoder's cache has them; one query.
#[test]
fn an_open_length() {
    let mut all = vec![];
    for keys in [1usize, 70] {
        let mut symbols = Symbols::default();
        symbols.declare("S", 1, 2048);
        let mut g = Graph::new("open", symbols);
        let q = g.add_input("q", TensorType::known(F16, &[2, 1, 32]));
        let kv = TensorType::new(F16, vec![Dim::Known(2), Dim::sym("S"), Dim::Known(32)]);
        let (k, v) = (g.add_input("k", kv.clone()), g.add_input("v", kv));
        let arg = |a: u32| if a >= 100 { Arg::Input(a - 100) } else { Arg::Node(a) };
        let nodes = [
            (Op::Transpose { perm: vec![0, 2, 1] }, vec![101]),
            (Op::MatMul { out: F16 }, vec![100, 0]),
            (Op::Softmax { axis: 2, log: false }, vec![1]),
            (Op::MatMul { out: F16 }, vec![2, 102]),
        ];
        let nodes = nodes.into_iter().map(|(op, args)| BodyNode { op, args: args.into_iter().map(arg).collect() }).collect();
        let op = Op::Fused(Body { inputs: 3, nodes }.into());
        let y = g.push1(op, &[q, k, v], &Loc::default()).expect("an attention");
        g.add_output("y", y);
        let given = [random(F16, &[2, 1, 32], 7), random(F16, &[2, keys, 32], 8), random(F16, &[2, keys, 32], 9)];
        for chip in ["ascend910b1", "ascend950", COUPLED] {
            all.extend(lowered("open", &g, chip, &given));
        }
    }
    simulate(&all);
}

/// Where f32 is not transposed on the way values are turned before.
#[test]
fn values_turned_before() {
    let inputs: [(DType, &[usize]); 4] = [(F32, &[2, 9, 24]), (F32, &[2, 33, 24]), (F32, &[2, 33, 40]), (F32, &[1])];
    let made = fused("attention", &inputs, &[], nodes(3, F32, false, false), "ascend950");
    let units: Vec<_> = made.iter().map(|c| c.kernel.npu.as_ref().map(|n| n.unit)).collect();
    assert_eq!(units, [Some(Unit::Vector), Some(Unit::Mix)]);
    simulate(&made);
}

/// Heads of keys and values that several heads of queries share: read where they lie, not repeated in memory.
#[test]
fn shared_heads() {
    let mut all = vec![];
    for (chip, d) in [("ascend910b1", F16), ("ascend910b1", F32), ("ascend950", F16), (COUPLED, F16)] {
        for [heads, have] in [[6usize, 2usize], [3, 1]] {
            let (q, kv): (&[usize], &[usize]) = (&[2, heads, 21, 24], &[2, have, 33, 24]);
            let shape = |s: &[usize]| s.iter().map(|n| Dim::from(*n)).collect::<Vec<_>>();
            let mut nodes: Vec<Node> = vec![];
            for input in [101, 102] {
                let at = nodes.len() as u32;
                nodes.push((Op::Reshape { shape: shape(&[2, have, 1, 33, 24]) }, vec![input]));
                nodes.push((Op::Broadcast { shape: shape(&[2, have, heads / have, 33, 24]) }, vec![at]));
                nodes.push((Op::Reshape { shape: shape(&[2, heads, 33, 24]) }, vec![at + 1]));
            }
            nodes.push((Op::Transpose { perm: vec![0, 1, 3, 2] }, vec![2]));
            nodes.push((Op::MatMul { out: F32 }, vec![100, 6]));
            nodes.push((Op::Binary(BinaryOp::Mul), vec![7, 103]));
            nodes.push((Op::Softmax { axis: 3, log: false }, vec![8]));
            if d != F32 {
                nodes.push((Op::Cast { to: d }, vec![9]));
            }
            nodes.push((Op::MatMul { out: d }, vec![nodes.len() as u32 - 1, 5]));
            let inputs: [(DType, &[usize]); 4] = [(d, q), (d, kv), (d, kv), (F32, &[1])];
            all.extend(one("shared heads", &inputs, nodes, chip));
        }
    }
    simulate(&all);
}

/// What a reader of the emitted code sees.
#[test]
fn spelling() {
    for chip in ["ascend910b1", "ascend950", COUPLED] {
        let s: [&[usize]; 2] = [&[1, 12, 128, 64], &[1, 1, 1, 128]];
        let inputs: [(DType, &[usize]); 5] = [(F16, s[0]), (F16, s[0]), (F16, s[0]), (F32, &[1]), (F32, s[1])];
        let made = one("attention", &inputs, nodes(4, F16, true, false), chip);
        let npu = beiming_ir::target::npu::Npu::by_name(chip).expect("a known chip");
        let text = beiming_ascend::emit::kernel(&made[0].kernel, &npu).expect("a spelling");
        insta::assert_snapshot!(format!("attention_f16__{chip}"), text);
    }
}
