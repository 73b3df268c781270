//! Contractions against the evaluator: every kernel is run by `eval::kernel`, the whole op by `eval::graph`.

use std::sync::Arc;

use beiming_ir::eval;
use beiming_ir::graph::{Graph, Loc, ValueId};
use beiming_ir::ops::{Arg, BinaryOp, Body, BodyNode, Conv, ConvTranspose, Op, Pool, PoolKind, UnaryOp};
use beiming_ir::target::Target;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim, Symbols, TensorType};

use super::super::body::BodyCx;
use super::super::builder::Operand;

/// Numbers of a fixed sequence, in -1..1.
fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut s = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    Tensor::build(DType::F32, shape, |_| {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        Num::Float((s % 2001) as f64 / 1000.0 - 1.0)
    })
}

/// Lowers the graph's last node for every CPU and compares what its kernels compute with the graph.
fn check(graph: &Graph, inputs: &[Tensor], dims: &[(&str, i64)]) {
    let want = eval::graph(graph, inputs).expect("the graph evaluates").remove(0);
    let node = graph.nodes().last().expect("a node");
    let value = |v: ValueId| -> Tensor {
        match graph.const_of(v) {
            Some(t) => t.clone(),
            None => inputs[graph.inputs.iter().position(|i| *i == v).expect("an input")].clone(),
        }
    };
    for target in [Target::x86_64_v3(), Target::x86_64_v4(), Target::kunpeng920()] {
        let mut cx = BodyCx::new(&target, &graph.symbols, graph, node).expect("the body types");
        super::lower(&mut cx).unwrap_or_else(|e| panic!("{}: {e}", target.name));
        let of = |d: &Dim| d.eval(&|n| dims.iter().find(|x| x.0 == n).map(|x| x.1)).expect("bound symbols");
        let extents = |t: &TensorType| t.shape.iter().map(|d| of(d) as usize).collect::<Vec<_>>();
        let poison = |t: &TensorType| Tensor::build(t.dtype, &extents(t), |_| Num::Float(f64::NAN));
        let mut temps: Vec<Tensor> = cx.temps.iter().map(poison).collect();
        let mut out = poison(&cx.outputs[0]);
        for call in &cx.calls {
            let mut params: Vec<Tensor> = call
                .args
                .iter()
                .zip(&call.kernel.params)
                .map(|(a, p)| {
                    let t = match a {
                        Operand::Input(n) => value(node.inputs[*n as usize]),
                        Operand::Output(_) => out.clone(),
                        Operand::Temp(n) => temps[*n as usize].clone(),
                        Operand::Weight(n) => {
                            let w = &call.weights[*n as usize];
                            Tensor::new(w.source.dtype, w.ty().static_shape().expect("known"), w.data().expect("fits"))
                                .expect("sized")
                        }
                    };
                    let syms = &call.kernel.symbols;
                    let values: Vec<i64> = call.dims.iter().map(of).collect();
                    let at =
                        |d: &Dim| d.eval(&|n| syms.iter().position(|s| &**s == n).map(|i| values[i])).expect("bound") as usize;
                    t.reshaped(&p.shape.iter().map(at).collect::<Vec<_>>()).expect("same elements")
                })
                .collect();
            let values: Vec<i64> = call.dims.iter().map(of).collect();
            eval::kernel(&call.kernel, &mut params, &values)
                .unwrap_or_else(|e| panic!("{}: {e}\n{}", target.name, beiming_ir::text::print_kernel(&call.kernel)));
            for (a, p) in call.args.iter().zip(params) {
                match a {
                    Operand::Output(_) => out = p.reshaped(&out.shape).expect("same elements"),
                    Operand::Temp(n) => temps[*n as usize] = p.reshaped(&temps[*n as usize].shape).expect("same elements"),
                    _ => {}
                }
            }
        }
        assert_eq!(out.shape, want.shape, "{}", target.name);
        for (i, (a, b)) in out.to_f64().iter().zip(want.to_f64()).enumerate() {
            assert!((a - b).abs() <= 1e-5 + 1e-5 * b.abs(), "{}: element {i}: {a} instead of {b}", target.name);
        }
    }
}

/// A graph of one op on inputs and constants.
fn single(op: Op, inputs: &[&Tensor], constants: &[&Tensor]) -> Graph {
    let mut g = Graph::new("t", Symbols::default());
    let mut args: Vec<ValueId> = inputs.iter().map(|t| g.add_input("x", t.ty())).collect();
    args.extend(constants.iter().map(|t| g.constant((*t).clone(), &Loc::default())));
    let y = g.push1(op, &args, &Loc::default()).expect("the op types");
    g.add_output("y", y);
    g
}

fn matmul() -> Op {
    Op::MatMul { out: DType::F32 }
}

#[test]
fn products_of_awkward_extents() {
    for (m, k, n) in
        [(1, 1, 1), (1, 7, 100), (5, 3, 1), (17, 31, 33), (13, 64, 64), (40, 5, 130), (3, 0, 5), (0, 3, 5), (8, 16, 200)]
    {
        let (a, b) = (random(&[m, k], 1), random(&[k, n], 2));
        check(&single(matmul(), &[&a], &[&b]), std::slice::from_ref(&a), &[]);
        check(&single(matmul(), &[&a, &b], &[]), &[a, b], &[]);
    }
}

#[test]
fn batched_products() {
    for (sa, sb) in [
        (vec![3, 5, 7], vec![3, 7, 20]),
        (vec![2, 3, 5, 7], vec![7, 9]),
        (vec![2, 1, 5, 7], vec![3, 7, 9]),
        (vec![5, 7], vec![2, 7, 17]),
        (vec![1, 4, 7], vec![1, 7, 8]),
    ] {
        let (a, b) = (random(&sa, 3), random(&sb, 4));
        check(&single(matmul(), &[&a], &[&b]), std::slice::from_ref(&a), &[]);
        check(&single(matmul(), &[&a, &b], &[]), &[a, b], &[]);
    }
}

/// `relu(x @ transpose(w) + bias + residual)` with a transposed left view as well.
#[test]
fn views_and_epilogue_are_fused() {
    let (x, w, bias, res) = (random(&[2, 6, 3, 5], 5), random(&[33, 15], 6), random(&[33], 7), random(&[2, 6, 33], 8));
    let body = Body {
        inputs: 4,
        nodes: vec![
            BodyNode { op: Op::Reshape { shape: vec![2.into(), 6.into(), 15.into()] }, args: vec![Arg::Input(0)] },
            BodyNode { op: Op::Transpose { perm: vec![1, 0] }, args: vec![Arg::Input(1)] },
            BodyNode { op: matmul(), args: vec![Arg::Node(0), Arg::Node(1)] },
            BodyNode { op: Op::Binary(BinaryOp::Add), args: vec![Arg::Node(2), Arg::Input(2)] },
            BodyNode { op: Op::Binary(BinaryOp::Add), args: vec![Arg::Node(3), Arg::Input(3)] },
            BodyNode { op: Op::Unary(UnaryOp::Tanh), args: vec![Arg::Node(4)] },
        ],
    };
    let mut g = Graph::new("t", Symbols::default());
    let a = g.add_input("x", x.ty());
    let c: Vec<ValueId> = [&w, &bias].iter().map(|t| g.constant((*t).clone(), &Loc::default())).collect();
    let r = g.add_input("r", res.ty());
    let y = g.push1(Op::Fused(Arc::new(body)), &[a, c[0], c[1], r], &Loc::default()).expect("types");
    g.add_output("y", y);
    check(&g, &[x, res], &[]);
}

#[test]
fn attention_reads_heads_in_place() {
    // [B, S, H, D] -> heads: q k^T and p v through transposed views.
    let (q, k) = (random(&[2, 9, 3, 8], 9), random(&[2, 11, 3, 8], 10));
    let heads = |n: u32| BodyNode { op: Op::Transpose { perm: vec![0, 2, 1, 3] }, args: vec![Arg::Input(n)] };
    let scores = Body {
        inputs: 2,
        nodes: vec![
            heads(0),
            BodyNode { op: Op::Transpose { perm: vec![0, 2, 3, 1] }, args: vec![Arg::Input(1)] },
            BodyNode { op: matmul(), args: vec![Arg::Node(0), Arg::Node(1)] },
        ],
    };
    let mut g = Graph::new("t", Symbols::default());
    let args = [g.add_input("q", q.ty()), g.add_input("k", k.ty())];
    let y = g.push1(Op::Fused(Arc::new(scores)), &args, &Loc::default()).expect("types");
    g.add_output("y", y);
    check(&g, &[q, k.clone()], &[]);
    let p = random(&[2, 3, 9, 11], 11);
    let values = Body { inputs: 2, nodes: vec![heads(1), BodyNode { op: matmul(), args: vec![Arg::Input(0), Arg::Node(0)] }] };
    let mut g = Graph::new("t", Symbols::default());
    let args = [g.add_input("p", p.ty()), g.add_input("v", k.ty())];
    let y = g.push1(Op::Fused(Arc::new(values)), &args, &Loc::default()).expect("types");
    g.add_output("y", y);
    check(&g, &[p, k], &[]);
}

#[test]
fn symbolic_rows_and_columns() {
    for (s, t) in [(1, 1), (7, 16), (13, 33), (0, 4)] {
        let mut g = Graph::new("t", Symbols::default());
        g.symbols.declare("S", 0, 64);
        g.symbols.declare("T", 0, 64);
        let (ds, dt) = (Dim::sym("S"), Dim::sym("T"));
        let a = g.add_input("a", TensorType::new(DType::F32, vec![2.into(), ds, 8.into()]));
        let b = g.add_input("b", TensorType::new(DType::F32, vec![2.into(), 8.into(), dt]));
        let y = g.push1(matmul(), &[a, b], &Loc::default()).expect("types");
        g.add_output("y", y);
        check(&g, &[random(&[2, s, 8], 1), random(&[2, 8, t], 2)], &[("S", s as i64), ("T", t as i64)]);
    }
}

fn conv(strides: &[usize], dilations: &[usize], pads: &[(i64, i64)], groups: usize) -> Op {
    Op::Conv(Conv { strides: strides.to_vec(), dilations: dilations.to_vec(), pads: pads.to_vec(), groups })
}

#[test]
fn convolutions() {
    let p1 = [(1, 1), (1, 1)];
    for (x, w, op) in [
        (vec![1, 7, 9, 5], vec![3, 3, 5, 18], conv(&[1, 1], &[1, 1], &p1, 1)),
        (vec![2, 8, 8, 16], vec![1, 1, 16, 40], conv(&[1, 1], &[1, 1], &[(0, 0), (0, 0)], 1)),
        (vec![1, 9, 9, 9], vec![3, 3, 9, 7], conv(&[2, 2], &[1, 1], &p1, 1)),
        (vec![1, 11, 11, 3], vec![7, 7, 3, 16], conv(&[2, 2], &[1, 1], &[(3, 3), (3, 3)], 1)),
        (vec![1, 8, 8, 1], vec![3, 3, 1, 8], conv(&[1, 1], &[1, 1], &[(0, 2), (1, 0)], 1)),
        (vec![1, 12, 10, 8], vec![3, 3, 8, 4], conv(&[1, 2], &[2, 3], &[(2, 2), (3, 3)], 1)),
        (vec![1, 6, 6, 12], vec![3, 3, 4, 9], conv(&[1, 1], &[1, 1], &p1, 3)),
        (vec![2, 20, 6], vec![5, 6, 33], conv(&[2], &[1], &[(2, 1)], 1)),
        (vec![1, 4, 5, 6, 3], vec![2, 3, 2, 3, 5], conv(&[1, 1, 2], &[1, 1, 1], &[(0, 1), (1, 1), (1, 0)], 1)),
    ] {
        let (x, w) = (random(&x, 21), random(&w, 22));
        check(&single(op.clone(), &[&x], &[&w]), std::slice::from_ref(&x), &[]);
        check(&single(op, &[&x, &w], &[]), &[x, w], &[]);
    }
}

#[test]
fn depthwise_convolutions() {
    for (x, w, op) in [
        (vec![1, 9, 10, 40], vec![3, 3, 1, 40], conv(&[1, 1], &[1, 1], &[(1, 1), (1, 1)], 40)),
        (vec![2, 7, 7, 33], vec![5, 5, 1, 33], conv(&[2, 2], &[1, 1], &[(2, 2), (2, 2)], 33)),
        (vec![1, 3, 3, 16], vec![7, 7, 1, 16], conv(&[1, 1], &[1, 1], &[(3, 3), (3, 3)], 16)),
        (vec![1, 12, 5], vec![3, 1, 5], conv(&[1], &[2], &[(2, 2)], 5)),
    ] {
        let groups = x[x.len() - 1];
        let (x, w, bias) = (random(&x, 31), random(&w, 32), random(&[groups], 33));
        check(&single(op.clone(), &[&x], &[&w]), std::slice::from_ref(&x), &[]);
        check(&single(op.clone(), &[&x, &w], &[]), &[x.clone(), w.clone()], &[]);
        let body = Body {
            inputs: 3,
            nodes: vec![
                BodyNode { op, args: vec![Arg::Input(0), Arg::Input(1)] },
                BodyNode { op: Op::Binary(BinaryOp::Add), args: vec![Arg::Node(0), Arg::Input(2)] },
            ],
        };
        check(&single(Op::Fused(Arc::new(body)), &[&x], &[&w, &bias]), &[x], &[]);
    }
}

#[test]
fn transposed_convolutions() {
    let t = |strides: &[usize], dilations: &[usize], pads: &[(i64, i64)], extra: &[usize], groups| {
        Op::ConvTranspose(ConvTranspose {
            strides: strides.to_vec(),
            dilations: dilations.to_vec(),
            pads: pads.to_vec(),
            extra: extra.to_vec(),
            groups,
        })
    };
    for (x, w, op) in [
        (vec![1, 5, 6, 24], vec![2, 2, 24, 17], t(&[2, 2], &[1, 1], &[(0, 0), (0, 0)], &[0, 0], 1)),
        (vec![1, 4, 4, 5], vec![3, 3, 5, 6], t(&[2, 2], &[1, 1], &[(1, 1), (1, 1)], &[1, 1], 1)),
        (vec![2, 7, 6], vec![4, 6, 3], t(&[3], &[1], &[(1, 0)], &[0], 1)),
        (vec![1, 5, 4], vec![2, 4, 3], t(&[3], &[1], &[(0, 0)], &[1], 1)),
        (vec![1, 4, 4, 6], vec![3, 3, 6, 2], t(&[1, 2], &[2, 1], &[(1, 1), (0, 1)], &[0, 0], 2)),
    ] {
        let (x, w) = (random(&x, 41), random(&w, 42));
        check(&single(op.clone(), &[&x], &[&w]), std::slice::from_ref(&x), &[]);
        check(&single(op, &[&x, &w], &[]), &[x, w], &[]);
    }
}

#[test]
fn pooling() {
    let pool = |kind, window: &[usize], strides: &[usize], pads: &[(i64, i64)], ceil| {
        Op::Pool(Pool {
            kind,
            window: window.to_vec(),
            strides: strides.to_vec(),
            dilations: vec![1; window.len()],
            pads: pads.to_vec(),
            ceil,
        })
    };
    let p1 = [(1, 1), (1, 1)];
    for (x, op) in [
        (vec![1, 8, 9, 70], pool(PoolKind::Max, &[3, 3], &[2, 2], &p1, false)),
        (vec![1, 8, 9, 5], pool(PoolKind::Avg { padded: false }, &[3, 3], &[2, 2], &p1, true)),
        (vec![1, 8, 9, 16], pool(PoolKind::Avg { padded: true }, &[3, 3], &[2, 2], &p1, true)),
        (vec![2, 6, 6, 3], pool(PoolKind::Lp { p: 2.0.into() }, &[2, 2], &[2, 2], &[(0, 0), (0, 0)], false)),
        (vec![1, 13, 4], pool(PoolKind::Avg { padded: false }, &[5], &[3], &[(2, 1)], false)),
    ] {
        let x = random(&x, 51);
        check(&single(op, &[&x], &[]), &[x], &[]);
    }
}
