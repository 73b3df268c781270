//! Every op with loops of its own, in every element type that the op takes, as code on this machine against the meaning of the
//! graph. (Elementwise ops in every type are tested in the CPU backend.)

use beiming_ir::eval;
use beiming_ir::graph::{Graph, Loc, RegionId, ValueId};
use beiming_ir::ops::{BinaryOp, Cumulative, Op, Pool, PoolKind, ReduceOp, Scatter, ScatterMode, TopK, WindowReduce};
use beiming_ir::target::Target;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Symbols, TensorType};
use beiming_tests::agree::Tolerance;
use beiming_tests::{agree, compiled};

/// Numbers with repeats, both zeros and NaN.
fn numbers(dtype: DType, shape: &[usize], seed: u64, nan: bool) -> Tensor {
    let mut s = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let (lo, hi) = dtype.int_range().map_or((-4, 4), |(lo, hi)| (lo.max(-4), hi.min(4)));
    Tensor::build(dtype, shape, |_| {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        let n = lo + ((s >> 33) as i128) % (hi - lo + 1);
        match (s >> 20) % 16 {
            _ if !dtype.is_float() => Num::Int(n),
            0 if nan => Num::Float(f64::NAN),
            1 => Num::Float(-0.0),
            _ => Num::Float(n as f64 / 2.0),
        }
    })
}

fn region(g: &mut Graph, types: &[DType], make: impl Fn(&mut Graph, &[ValueId]) -> Option<ValueId>) -> Option<RegionId> {
    let mut r = Graph::new("f", Symbols::default());
    let inputs: Vec<ValueId> = types.iter().map(|d| r.add_input("", TensorType::scalar(*d))).collect();
    let v = make(&mut r, &inputs)?;
    r.add_output("", v);
    Some(g.add_region(r))
}

/// Adds an op where it takes the type; its results become outputs.
fn add(g: &mut Graph, names: &mut Vec<String>, op: Op, inputs: &[ValueId]) {
    let name = format!("{op:?}");
    if let Ok(found) = g.push(op, inputs, &Loc::default()) {
        for v in found {
            g.add_output(&format!("o{}", names.len()), v);
            names.push(name.clone());
        }
    }
}

/// Ops whose floats are compared, not computed with, so that NaN shows.
fn ordering(g: &mut Graph, names: &mut Vec<String>, d: DType) {
    let x = g.add_input("x", TensorType::known(d, &[5, 40]));
    for axis in 0..2 {
        for op in [ReduceOp::Max, ReduceOp::Min, ReduceOp::All, ReduceOp::Any] {
            add(g, names, Op::Reduce { op, axes: vec![axis], keep: false }, &[x]);
        }
        for (max, last) in [(true, false), (false, false), (true, true), (false, true)] {
            add(g, names, Op::ArgReduce { max, axis, keep: false, last }, &[x]);
        }
        for op in [ReduceOp::Max, ReduceOp::Min] {
            add(g, names, Op::Cumulative(Cumulative { op, axis, exclusive: false, reverse: axis == 0 }), &[x]);
        }
        // The runtime orders no float of eight bits or less.
        for largest in [true, false].into_iter().filter(|_| d.size() > 1 || !d.is_float()) {
            add(g, names, Op::TopK(TopK { k: 4.into(), axis, largest }), &[x]);
        }
        // Not by keys of one side, so that the comparator itself is compiled.
        let less = region(g, &[d, d], |r, v| {
            let lt = r.push1(Op::Binary(BinaryOp::Lt), v, &Loc::default()).ok()?;
            let ne = r.push1(Op::Binary(BinaryOp::Ne), v, &Loc::default()).ok()?;
            r.push1(Op::Binary(BinaryOp::And), &[lt, ne], &Loc::default()).ok()
        });
        if let Some(region) = less {
            add(g, names, Op::SortBy { axis, stable: true, region }, &[x]);
        }
    }
}

/// Ops that compute, and those that move.
fn arithmetic(g: &mut Graph, names: &mut Vec<String>, d: DType) {
    let x = g.add_input("x", TensorType::known(d, &[5, 40]));
    let y = g.add_input("y", TensorType::known(d, &[40, 6]));
    let at = g.add_input("at", TensorType::known(DType::I64, &[7]));
    let tuple = g.add_input("tuple", TensorType::known(DType::I64, &[7, 1]));
    let u = g.add_input("u", TensorType::known(d, &[7, 40]));
    let map = g.add_input("map", TensorType::known(d, &[1, 9, 9, 3]));
    let zero = g.add_input("zero", TensorType::known(d, &[]));
    for axes in [vec![0], vec![1], vec![0, 1]] {
        for op in [ReduceOp::Sum, ReduceOp::Prod, ReduceOp::Mean] {
            add(g, names, Op::Reduce { op, axes: axes.clone(), keep: false }, &[x]);
        }
    }
    for op in [ReduceOp::Sum, ReduceOp::Prod] {
        add(g, names, Op::Cumulative(Cumulative { op, axis: 1, exclusive: true, reverse: false }), &[x]);
    }
    // `f8e8m0` has no zero to sum from.
    if d == DType::F8E8M0 {
        return;
    }
    for out in [d, DType::F32, DType::I32] {
        add(g, names, Op::MatMul { out }, &[x, y]);
    }
    let pool =
        |kind| Pool { kind, window: vec![3, 3], strides: vec![2, 2], dilations: vec![1, 1], pads: vec![(1, 0); 2], ceil: false };
    for kind in [PoolKind::Max, PoolKind::Avg { padded: false }] {
        add(g, names, Op::Pool(pool(kind)), &[map]);
    }
    add(g, names, Op::Gather { axis: 0 }, &[x, at]);
    for reduce in [None, Some(ReduceOp::Sum), Some(ReduceOp::Prod), Some(ReduceOp::Max), Some(ReduceOp::Min)] {
        add(g, names, Op::Scatter(Scatter { mode: ScatterMode::Nd, reduce }), &[x, tuple, u]);
    }
    let odd = region(g, &[d, d], |r, v| {
        let twice = r.push1(Op::Binary(BinaryOp::Max), &[v[0], v[1]], &Loc::default()).ok()?;
        r.push1(Op::Binary(BinaryOp::Sub), &[twice, v[1]], &Loc::default()).ok()
    });
    if let Some(region) = odd {
        add(g, names, Op::ReduceWith { axes: vec![1], region }, &[x, zero]);
    }
    // Kernels round such a sum once, the evaluator at every step: in a type this coarse they differ.
    let coarse = d.is_float() && d.size() == 1;
    if let Some(region) = region_of(g, d, BinaryOp::Add).filter(|_| !coarse) {
        let p = WindowReduce {
            window: vec![2, 3],
            strides: vec![1, 2],
            base_dilations: vec![2, 1],
            window_dilations: vec![1, 1],
            pads: vec![(1, 0), (0, 1)],
            region,
        };
        add(g, names, Op::WindowReduce(p), &[x, zero]);
    }
}

fn region_of(g: &mut Graph, d: DType, op: BinaryOp) -> Option<RegionId> {
    region(g, &[d, d], |r, v| r.push1(Op::Binary(op), v, &Loc::default()).ok())
}

fn slack(d: DType) -> Tolerance {
    let slack = match d {
        DType::F16 => 4e-3,
        DType::BF16 => 3e-2,
        _ => 2e-5,
    };
    Tolerance { absolute: slack, relative: slack }
}

type Build = fn(&mut Graph, &mut Vec<String>, DType);

fn check(d: DType, build: Build, nan: bool, target: &Target, folder: &std::path::Path) -> Vec<String> {
    let mut g = Graph::new("types", Symbols::default());
    let mut names = vec![];
    build(&mut g, &mut names, d);
    if names.is_empty() {
        return vec![];
    }
    let inputs: Vec<(String, Tensor)> = g
        .inputs
        .iter()
        .enumerate()
        .map(|(i, v)| {
            let (ty, name) = (g.ty(*v), g.value(*v).name.to_string());
            let shape = ty.static_shape().expect("known");
            let index = matches!(name.as_str(), "at" | "tuple");
            let t = if index {
                Tensor::build(ty.dtype, &shape, |i| Num::Int((i * 3 % 5) as i128))
            } else {
                numbers(d, &shape, i as u64 + 1, nan)
            };
            (name, t)
        })
        .collect();
    let run = || -> Result<(Vec<Tensor>, Vec<Tensor>), String> {
        let tensors: Vec<Tensor> = inputs.iter().map(|x| x.1.clone()).collect();
        let want = eval::graph(&g, &tensors).map_err(|e| e.to_string())?;
        let program = compiled::compile(&g, target)?.program;
        let code = compiled::emit(&program)?;
        let path = folder.join(format!("{d}{nan}.bmg"));
        compiled::write(&path, "types", &program, &code)?;
        Ok((want, compiled::run_here(&path, &inputs, 1)?))
    };
    match run() {
        Err(e) => vec![format!("{d}: {e}")],
        Ok((want, got)) => (0..want.len())
            .filter_map(|i| {
                let one = |t: &[Tensor]| t[i..=i].to_vec();
                agree::tensors(&one(&want), &one(&got), slack(want[i].dtype)).err().map(|e| format!("{d}: {}: {e}", names[i]))
            })
            .collect(),
    }
}

#[test]
fn every_op_in_every_type() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let target = compiled::native_targets().pop().expect("this machine is a target");
    let mut wrong = vec![];
    for d in DType::ALL.into_iter().filter(|d| !d.is_complex()) {
        wrong.extend(check(d, ordering, true, &target, folder.path()));
        wrong.extend(check(d, arithmetic, false, &target, folder.path()));
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}
