//! Tiles that are asked for in place of those that the tiler chooses: kernels with one copy of what is moved, of a whole memory,
//! and of a fractal.

mod support;

use beiming_ir::graph::{Graph, Loc};
use beiming_ir::ops::{Arg, BinaryOp, Body, BodyNode, Conv, Op, Pool, PoolKind, ReduceOp, UnaryOp};
use beiming_ir::target::Target;
use beiming_ir::tensor::Tensor;
use beiming_ir::types::{DType, Symbols, TensorType};
use beiming_passes::lower::{LowerOptions, lower};

use DType::{F16, F32};
use support::{Call, Node, lowered_with, random, simulate};

/// A fused group of f16 with the tile `tile` in its kernel on the cube unit.
fn with(what: &str, inputs: &[&[usize]], nodes: &[Node], chip: &str, tile: &[i64]) -> Vec<Call> {
    let mut g = Graph::new(what, Symbols::default());
    let given: Vec<Tensor> = inputs.iter().enumerate().map(|(i, s)| random(F16, s, i as u64 + 7)).collect();
    let values: Vec<_> =
        given.iter().enumerate().map(|(i, t)| g.add_input(&format!("x{i}"), TensorType::known(t.dtype, &t.shape))).collect();
    let arg = |a: &u32| if *a >= 100 { Arg::Input(a - 100) } else { Arg::Node(*a) };
    let nodes = nodes.iter().map(|(op, args)| BodyNode { op: op.clone(), args: args.iter().map(arg).collect() }).collect();
    let op = Op::Fused(Body { inputs: values.len() as u32, nodes }.into());
    let out = g.push1(op, &values, &Loc::default()).unwrap_or_else(|e| panic!("{what}: {e}"));
    g.add_output("y", out);
    let depth = inputs.iter().flat_map(|s| s.iter().copied()).max().unwrap_or(0);
    let target = Target::ascend(chip, Target::kunpeng920()).expect("a known chip");
    let program = lower(&g, &target, &LowerOptions::default()).unwrap_or_else(|e| panic!("{what}: {e}"));
    let cube = |mut names: Vec<&str>| {
        names.retain(|n| !n.starts_with("map_"));
        let [name] = names[..] else { panic!("{what} on {chip}: {names:?}") };
        name.to_string()
    };
    let own = cube(program.kernels.iter().map(|k| k.name.as_str()).collect());
    let options = LowerOptions { tiles: [(own, tile.to_vec())].into(), ..LowerOptions::default() };
    let calls = lowered_with(what, &g, chip, &given, depth, &options);
    let name = cube(calls.iter().map(|c| c.kernel.name.as_str()).collect());
    let text = tile.iter().map(i64::to_string).collect::<Vec<_>>().join("x");
    // Of an attention the width of its heads follows.
    assert!(["_", "x"].iter().any(|end| name.contains(&format!("_t{text}{end}"))), "{what} on {chip}: {name}");
    calls
}

#[test]
fn tiles_of_each_family() {
    let product = vec![(Op::MatMul { out: F16 }, vec![100, 101])];
    let mut more = product.clone();
    more.extend([(Op::Binary(BinaryOp::Add), vec![0, 102]), (Op::Unary(UnaryOp::Abs), vec![1])]);
    let c = Conv { strides: vec![1, 1], dilations: vec![1, 1], pads: vec![(1, 1), (1, 1)], groups: 1 };
    let conv = vec![(Op::Conv(c), vec![100, 101])];
    let attention = vec![
        (Op::Transpose { perm: vec![0, 2, 1] }, vec![101]),
        (Op::MatMul { out: F32 }, vec![100, 0]),
        (Op::Softmax { axis: 2, log: false }, vec![1]),
        (Op::Cast { to: F16 }, vec![2]),
        (Op::MatMul { out: F16 }, vec![3, 102]),
    ];
    let p = Pool {
        kind: PoolKind::Max,
        window: vec![3, 3],
        strides: vec![2, 2],
        dilations: vec![1, 1],
        pads: vec![(1, 1), (1, 1)],
        ceil: false,
    };
    let pool = vec![(Op::Pool(p), vec![100])];
    let across = vec![(Op::Reduce { op: ReduceOp::Sum, axes: vec![1], keep: false }, vec![100])];
    let mut all = vec![];
    // Tiles of which no second copy fits, and small ones.
    for (chip, large) in [
        ("ascend910b1", ([116, 250, 20], [128, 32, 256])),
        ("ascend950", ([116, 250, 20], [128, 32, 256])),
        ("ascend310p3", ([116, 60, 150], [128, 160, 64])),
    ] {
        for ([m, k, n], tile) in [large, ([37, 45, 30], [16, 16, 16]), ([37, 45, 30], [48, 32, 32])] {
            all.extend(with("product", &[&[m, k], &[k, n]], &product, chip, &tile));
            all.extend(with("and more", &[&[m, k], &[k, n], &[n]], &more, chip, &tile));
        }
        for tile in [[16, 16, 16], [32, 32, 32]] {
            all.extend(with("conv", &[&[2, 7, 8, 20], &[3, 3, 20, 24]], &conv, chip, &tile));
        }
        for tile in [[7, 8, 1], [2, 24, 1], [1, 3, 1]] {
            all.extend(with("pool", &[&[2, 9, 13, 24]], &pool, chip, &tile));
        }
        all.extend(with("across", &[&[3, 14, 40]], &across, chip, &[1, 20, 1]));
        for tile in [[16, 16], [32, 64]] {
            all.extend(with("attention", &[&[2, 37, 20], &[2, 70, 20], &[2, 70, 20]], &attention, chip, &tile));
        }
    }
    simulate(&all);
}
