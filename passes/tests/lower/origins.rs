//! Where the parts of kernels come from: each expression and buffer names the ops it was made for, with their places in the model.

use std::collections::BTreeSet;

use beiming_ir::graph::{Graph, Loc, ValueId};
use beiming_ir::kernel::{Expr, Kernel, Stmt};
use beiming_ir::ops::{BinaryOp, Conv, Op, UnaryOp};
use beiming_ir::plan::{Launch, Origin, Program, Step};
use beiming_ir::target::Target;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::DType::F32;
use beiming_passes::lower::{LowerOptions, lower};
use beiming_passes::{OptimizeOptions, optimize};

use crate::check::{dims, graph, ty};

fn named(g: &mut Graph, name: &str, op: Op, args: &[ValueId]) -> ValueId {
    g.push1(op, args, &Loc::new(name, "", "")).expect("types")
}

fn compiled(g: Graph) -> Program {
    let t = Target::x86_64_v4();
    let (g, _) = optimize(g, &t, &OptimizeOptions::default()).expect("optimises");
    lower(&g, &t, &LowerOptions::default()).expect("lowers")
}

fn launches(p: &Program) -> Vec<(&Kernel, &Launch)> {
    let mut out = vec![];
    for s in &p.plan.steps {
        let Step::Launch(l) = s else { panic!("a step that is no launch") };
        out.push((&p.kernels[l.kernel as usize], l));
    }
    out
}

/// Names of the nodes that the expressions of a kind were made for.
fn of(k: &Kernel, o: &Origin, is: impl Fn(&Expr) -> bool) -> BTreeSet<String> {
    let found = k.exprs.iter().zip(&*o.exprs).filter(|(e, _)| is(e)).flat_map(|(_, set)| set);
    found.map(|i| o.ops[*i as usize].1.name.to_string()).collect()
}

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(ToString::to_string).collect()
}

fn accumulators(body: &[Stmt], out: &mut Vec<usize>) {
    for s in body {
        match s {
            Stmt::For { body, .. } => accumulators(body, out),
            Stmt::If { then, .. } => accumulators(then, out),
            Stmt::Mma { acc, .. } => out.push(acc.index()),
            _ => {}
        }
    }
}

#[test]
fn a_fused_product_keeps_its_ops_apart() {
    let mut g = graph(&[]);
    let x = g.add_input("x", ty(F32, "32 64"));
    let w = g.add_input("w", ty(F32, "64 64"));
    let r = g.add_input("r", ty(F32, "32 64"));
    let y = named(&mut g, "product", Op::MatMul { out: F32 }, &[x, w]);
    let y = named(&mut g, "bend", Op::Unary(UnaryOp::Tanh), &[y]);
    let y = named(&mut g, "sum", Op::Binary(BinaryOp::Add), &[y, r]);
    g.add_output("y", y);
    let p = compiled(g);
    let all = launches(&p);
    let (k, l) = all.last().expect("a launch");
    let o = &l.origin;
    assert_eq!(
        o.ops.iter().map(|(op, loc)| (op.as_str(), &*loc.name)).collect::<Vec<_>>(),
        [("matmul", "product"), ("tanh", "bend"), ("add", "sum")]
    );
    assert_eq!(of(k, o, |e| matches!(e, Expr::Unary(UnaryOp::Tanh, _))), names(&["bend"]));
    // The residual is read for the sum.
    let residual = k.params.iter().zip(&*o.buffers).filter(|(b, _)| b.shape == dims("2048") && b.name.starts_with("in"));
    assert!(residual.clone().any(|(_, set)| set.iter().any(|i| &*o.ops[*i as usize].1.name == "sum")), "{:?}", o.buffers);
    let mut found = vec![];
    accumulators(&k.body, &mut found);
    assert!(!found.is_empty());
    for acc in found {
        assert_eq!(*o.buffers[acc], [0], "the accumulator is the product's");
    }
}

#[test]
fn elementwise_kernels_have_parts_of_no_op() {
    let mut g = graph(&[("N", 1, 1 << 20)]);
    let x = g.add_input("x", ty(F32, "N"));
    let y = named(&mut g, "first", Op::Unary(UnaryOp::Exp), &[x]);
    let y = named(&mut g, "second", Op::Unary(UnaryOp::Sin), &[y]);
    g.add_output("y", y);
    let p = compiled(g);
    let all = launches(&p);
    let [(k, l)] = all.as_slice() else { panic!("{} launches", all.len()) };
    assert_eq!(of(k, &l.origin, |e| matches!(e, Expr::Unary(UnaryOp::Exp, _))), names(&["first"]));
    assert_eq!(of(k, &l.origin, |e| matches!(e, Expr::Unary(UnaryOp::Sin, _))), names(&["second"]));
    // What the first reads was loaded for it.
    assert_eq!(of(k, &l.origin, |e| matches!(e, Expr::Load(..))), names(&["first"]));
}

#[test]
fn ops_that_a_layout_rule_writes_anew_keep_their_sources() {
    // Both convolutions want their channels last: transposes move over what lies between them.
    let mut g = graph(&[]);
    let mut x = g.add_input("x", ty(F32, "1 16 14 14"));
    let nhwc = Op::Transpose { perm: vec![0, 2, 3, 1] };
    let nchw = Op::Transpose { perm: vec![0, 3, 1, 2] };
    for i in 0..3 {
        let t = Tensor::build(F32, &[3, 3, 16, 16], |n| Num::Float((n % 7) as f64 * 0.1));
        let w = g.constant(t, &Loc::default());
        let t = named(&mut g, &format!("conv{i}"), nhwc.clone(), &[x]);
        let conv = Conv { strides: vec![1, 1], dilations: vec![1, 1], pads: vec![(1, 1), (1, 1)], groups: 1 };
        let y = named(&mut g, &format!("conv{i}"), Op::Conv(conv), &[t, w]);
        let y = named(&mut g, &format!("conv{i}"), nchw.clone(), &[y]);
        x = named(&mut g, &format!("bend{i}"), Op::Unary(UnaryOp::Tanh), &[y]);
    }
    g.add_output("y", x);
    let p = compiled(g);
    let mut seen = vec![];
    for (k, l) in launches(&p) {
        for (op, loc) in l.origin.ops.iter().filter(|(op, _)| op == "tanh" || op == "conv") {
            assert!(loc.name.starts_with(if op == "tanh" { "bend" } else { "conv" }), "{op} comes from {}", loc.name);
            seen.push(loc.name.to_string());
        }
        let of_tanh = of(k, &l.origin, |e| matches!(e, Expr::Unary(UnaryOp::Tanh, _)));
        assert!(of_tanh.iter().all(|n| n.starts_with("bend")), "{of_tanh:?}");
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["bend0", "bend1", "bend2", "conv0", "conv1", "conv2"]);
}
