//! The comparison that all cases use.

use beiming_ir::graph::{Graph, Loc, ValueId};
use beiming_ir::ops::{Arg, Body, BodyNode, Op};
use beiming_ir::target::Target;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim, Symbols, TensorType};
use beiming_ir::{eval, verify};
use beiming_passes::lower::{LowerOptions, lower};

/// A graph with these symbols, `(name, lowest, highest)`.
pub fn graph(symbols: &[(&str, i64, i64)]) -> Graph {
    let mut s = Symbols::default();
    for (n, lo, hi) in symbols {
        s.declare(n, *lo, *hi);
    }
    Graph::new("case", s)
}

/// A type from its text, for example `ty(F32, "N 3 4")`.
pub fn ty(dtype: DType, shape: &str) -> TensorType {
    let dims: Vec<Dim> = shape.split_whitespace().map(|d| d.parse().expect("a dimension")).collect();
    TensorType::new(dtype, dims)
}

/// Extents from their text.
pub fn dims(shape: &str) -> Vec<Dim> {
    ty(DType::F32, shape).shape
}

/// Adds a node with one result.
pub fn push(g: &mut Graph, op: Op, inputs: &[ValueId]) -> ValueId {
    let loc = Loc { name: op.name().into(), ..Loc::default() };
    g.push1(op, inputs, &loc).unwrap_or_else(|e| panic!("{e}"))
}

/// A fused node of `nodes`; arguments from 100 on are inputs, others are nodes.
pub fn fused(g: &mut Graph, nodes: Vec<(Op, Vec<u32>)>, inputs: &[ValueId]) -> ValueId {
    let arg = |a: u32| if a >= 100 { Arg::Input(a - 100) } else { Arg::Node(a) };
    let nodes = nodes.into_iter().map(|(op, args)| BodyNode { op, args: args.into_iter().map(arg).collect() }).collect();
    push(g, Op::Fused(Body { inputs: inputs.len() as u32, nodes }.into()), inputs)
}

/// Pseudo-random elements: floats in -2..2, integers in -3..=3 (unsigned in 0..=3).
pub fn random(dtype: DType, shape: &[usize], seed: u64) -> Tensor {
    let mut s = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    Tensor::build(dtype, shape, |_| {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        let u = (s >> 40) as f64 / (1u64 << 24) as f64;
        match dtype.int_range() {
            None => Num::Float(u * 4.0 - 2.0),
            Some((0, 1)) => Num::Int(i128::from(u > 0.5)),
            Some((lo, _)) => Num::Int((u * 7.0) as i128 + if lo < 0 { -3 } else { 0 }),
        }
    })
}

/// Lowers `g` for two targets and compares the programs' results with the graph's on random inputs for these symbol values.
pub fn agree(g: &Graph, values: &[(&str, i64)]) {
    let inputs: Vec<Tensor> = g
        .inputs
        .iter()
        .enumerate()
        .map(|(i, v)| {
            let t = g.ty(*v);
            let lookup = |n: &str| values.iter().find(|x| x.0 == n).map(|x| x.1);
            let shape: Vec<usize> = t.shape.iter().map(|d| d.eval(&lookup).expect("a value") as usize).collect();
            random(t.dtype, &shape, i as u64 + 7)
        })
        .collect();
    agree_on(g, &inputs);
}

/// As [`agree`], on these inputs.
pub fn agree_on(g: &Graph, inputs: &[Tensor]) {
    // Borders of a program have distinct names; the cases do not care.
    let g = &mut g.clone();
    for (i, v) in g.inputs.clone().into_iter().enumerate() {
        g.value_mut(v).name = format!("input{i}").into();
    }
    g.output_names = (0..g.outputs.len()).map(|i| format!("output{i}").into()).collect();
    let g = &*g;
    let want = eval::graph(g, inputs).unwrap_or_else(|e| panic!("the graph: {e}"));
    for target in [Target::x86_64_v4(), Target::kunpeng920()] {
        let program = lower(g, &target, &LowerOptions::default()).unwrap_or_else(|e| panic!("{e}"));
        if let Err(e) = verify::program(program.clone()) {
            panic!("{}: {e}", target.name);
        }
        let got = eval::program(&program, inputs).unwrap_or_else(|e| panic!("{}: {e}\n{:#?}", target.name, program.kernels));
        assert_eq!(want.len(), got.len());
        for (n, (w, g)) in want.iter().zip(&got).enumerate() {
            close(w, g, &format!("{} output {n}", target.name));
        }
        let again = lower(g, &target, &LowerOptions::default()).expect("as before");
        assert_eq!((&again.kernels, &again.plan), (&program.kernels, &program.plan), "the same graph, another program");
    }
}

fn close(want: &Tensor, got: &Tensor, what: &str) {
    assert_eq!((want.dtype, &want.shape), (got.dtype, &got.shape), "{what}");
    let slack = match want.dtype {
        DType::F16 => 4e-3,
        DType::BF16 => 3e-2,
        _ => 2e-4,
    };
    for i in 0..want.len() {
        let (w, g) = (want.get(i), got.get(i));
        let ok = match (w, g) {
            (Num::Float(a), Num::Float(b)) => a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= slack * (1.0 + a.abs()),
            _ => w == g,
        };
        assert!(ok, "{what}: element {i} of {:?} is {g:?}, not {w:?}", want.shape);
    }
}
