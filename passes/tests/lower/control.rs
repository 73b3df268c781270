//! Branches, loops and host steps.

use beiming_ir::graph::{Graph, Loc, ValueId};
use beiming_ir::ops::{BinaryOp, DimRule, If, Loop, Op, ReadDims, ReduceOp, ScatterWindow, TopK, UnaryOp, WindowDims};
use beiming_ir::plan::Step;
use beiming_ir::target::Target;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::DType::{Bool, F32, I64};

use beiming_passes::lower::{LowerOptions, lower};

use crate::check::{agree, agree_on, dims, graph, push, random, ty};

fn flag(v: bool) -> Tensor {
    Tensor::scalar(Bool, Num::Int(v.into()))
}

fn count(v: i64) -> Tensor {
    Tensor::i64(&[], &[v])
}

/// `x -> op(x)` as a region; with `None` the region gives its input back.
fn region(op: Option<UnaryOp>) -> Graph {
    let mut r = graph(&[("N", 1, 64)]);
    let x = r.add_input("x", ty(F32, "N 5"));
    let y = match op {
        Some(op) => push(&mut r, Op::Unary(op), &[x]),
        None => x,
    };
    r.add_output("y", y);
    r
}

#[test]
fn branches() {
    for nested in [false, true] {
        let mut g = graph(&[("N", 1, 64)]);
        let c = g.add_input("c", ty(Bool, ""));
        let x = g.add_input("x", ty(F32, "N 5"));
        let then_region = g.add_region(region(None));
        let else_region = if nested {
            let mut outer = graph(&[("N", 1, 64)]);
            let x = outer.add_input("x", ty(F32, "N 5"));
            let s = push(&mut outer, Op::Reduce { op: ReduceOp::Sum, axes: vec![0, 1], keep: false }, &[x]);
            let zero = outer.constant(Tensor::f32(&[], &[0.0]), &Loc::default());
            let positive = push(&mut outer, Op::Binary(BinaryOp::Gt), &[s, zero]);
            let p = If {
                then_region: outer.add_region(region(Some(UnaryOp::Exp))),
                else_region: outer.add_region(region(Some(UnaryOp::Neg))),
            };
            let y = push(&mut outer, Op::If(p), &[positive, x]);
            outer.add_output("y", y);
            g.add_region(outer)
        } else {
            g.add_region(region(Some(UnaryOp::Exp)))
        };
        let a = push(&mut g, Op::Unary(UnaryOp::Abs), &[x]);
        let y = push(&mut g, Op::If(If { then_region, else_region }), &[c, a]);
        let z = push(&mut g, Op::Binary(BinaryOp::Add), &[y, a]);
        g.add_output("y", y);
        g.add_output("z", z);
        for taken in [true, false] {
            agree_on(&g, &[flag(taken), random(F32, &[3, 5], 1)]);
        }
    }
}

#[test]
fn loops_carry_states_and_stack_results() {
    // (a, b) -> (b, a + b * w): the states trade places; the stacked result is their sum.
    let mut body = graph(&[("N", 1, 64), ("K", 0, 32)]);
    let i = body.add_input("i", ty(I64, ""));
    let go = body.add_input("go", ty(Bool, ""));
    let a = body.add_input("a", ty(F32, "N"));
    let b = body.add_input("b", ty(F32, "N"));
    let w = body.add_input("w", ty(F32, "N"));
    let p = push(&mut body, Op::Binary(BinaryOp::Mul), &[b, w]);
    let next = push(&mut body, Op::Binary(BinaryOp::Add), &[a, p]);
    let sum = push(&mut body, Op::Binary(BinaryOp::Add), &[next, b]);
    let f = push(&mut body, Op::Cast { to: F32 }, &[i]);
    let sum = push(&mut body, Op::Binary(BinaryOp::Sub), &[sum, f]);
    for (n, v) in [("go", go), ("a", b), ("b", next), ("s", sum)] {
        body.add_output(n, v);
    }
    let mut g = graph(&[("N", 1, 64), ("K", 0, 32)]);
    let trip = g.add_input("trip", ty(I64, ""));
    let x = g.add_input("x", ty(F32, "N"));
    let w = g.add_input("w", ty(F32, "N"));
    let go = g.constant(flag(true), &Loc::default());
    let e = push(&mut g, Op::Unary(UnaryOp::Tanh), &[x]);
    let half = push(&mut g, Op::Unary(UnaryOp::Sin), &[w]);
    let l = Loop { body: g.add_region(body), state: 2, trips: "K".parse().expect("a symbol") };
    let loc = Loc { name: "loop".into(), ..Loc::default() };
    let out = g.push(Op::Loop(l), &[trip, go, e, x, half], &loc).expect("a loop");
    let s = push(&mut g, Op::Reduce { op: ReduceOp::Sum, axes: vec![0], keep: false }, &[out[2]]);
    for v in [out[0], out[1], out[2], s, e] {
        g.add_output("o", v);
    }
    for n in [1, 3, 7] {
        agree_on(&g, &[count(n), random(F32, &[6], 1), random(F32, &[6], 2)]);
    }
}

#[test]
fn a_loop_that_stops_itself() {
    let mut body = graph(&[]);
    let _ = body.add_input("i", ty(I64, ""));
    let _ = body.add_input("go", ty(Bool, ""));
    let a = body.add_input("a", ty(F32, ""));
    let one = body.constant(Tensor::f32(&[], &[1.0]), &Loc::default());
    let three = body.constant(Tensor::f32(&[], &[3.5]), &Loc::default());
    let a = push(&mut body, Op::Binary(BinaryOp::Add), &[a, one]);
    let go = push(&mut body, Op::Binary(BinaryOp::Lt), &[a, three]);
    body.add_output("go", go);
    body.add_output("a", a);
    let mut g = graph(&[]);
    let x = g.add_input("x", ty(F32, ""));
    let trip = g.constant(count(100), &Loc::default());
    let go = g.constant(flag(true), &Loc::default());
    let l = Loop { body: g.add_region(body), state: 1, trips: "K".parse().expect("a symbol") };
    let y = push(&mut g, Op::Loop(l), &[trip, go, x]);
    g.add_output("y", y);
    agree_on(&g, &[Tensor::f32(&[], &[0.25])]);
}

#[test]
fn a_loop_over_an_axis_of_an_input_does_not_bind_its_extent() {
    let mut body = graph(&[("N", 1, 64)]);
    let i = body.add_input("i", ty(I64, ""));
    let go = body.add_input("go", ty(Bool, ""));
    let a = body.add_input("a", ty(F32, "5"));
    let x = body.add_input("x", ty(F32, "N 5"));
    let row = push(&mut body, Op::Gather { axis: 0 }, &[x, i]);
    let a = push(&mut body, Op::Binary(BinaryOp::Add), &[a, row]);
    body.add_output("go", go);
    body.add_output("a", a);
    body.add_output("each", a);
    let mut g = graph(&[("N", 1, 64)]);
    let x = g.add_input("x", ty(F32, "N 5"));
    let trip = push(&mut g, Op::DimValue { dims: dims("N") }, &[]);
    let trip = push(&mut g, Op::Reshape { shape: vec![] }, &[trip]);
    let go = g.constant(flag(true), &Loc::default());
    let start = g.constant(Tensor::f32(&[5], &[0.0; 5]), &Loc::default());
    let body = g.add_region(body);
    let op = Op::Loop(Loop { body, state: 1, trips: "N".parse().expect("a symbol") });
    let found = g.push(op, &[trip, go, start, x], &Loc::default()).expect("types");
    found.iter().for_each(|v| g.add_output("", *v));
    agree_on(&g, &[random(F32, &[7, 5], 3)]);
    let p = lower(&g, &Target::x86_64_v4(), &LowerOptions::default()).expect("lowers");
    assert!(p.plan.steps.iter().any(|s| matches!(s, Step::Loop { trips: None, .. })));
}

#[test]
fn host_steps() {
    let mut g = graph(&[]);
    let x = g.add_input("x", ty(F32, "3 9"));
    let loc = Loc { name: "top".into(), ..Loc::default() };
    let top = g.push(Op::TopK(TopK { k: 4.into(), axis: 1, largest: true }), &[x], &loc).expect("types");
    let zero = g.constant(Tensor::f32(&[], &[0.0]), &loc);
    let mask = push(&mut g, Op::Binary(BinaryOp::Gt), &[x, zero]);
    let some = g.push(Op::NonZero { count: "some".parse().expect("a symbol") }, &[mask], &loc).expect("types");
    let places = push(&mut g, Op::Cast { to: F32 }, &[some[0]]);
    let sum = push(&mut g, Op::Reduce { op: ReduceOp::Sum, axes: vec![1], keep: false }, &[places]);
    for v in [top[0], top[1], places, sum, some[1]] {
        g.add_output("o", v);
    }
    agree_on(&g, &[random(F32, &[3, 9], 4)]);
}

/// A loop over `[N, 4]` that overwrites a row an iteration, and what else `more` makes of the old state in its body.
fn row_loop(more: impl Fn(&mut Graph, ValueId, ValueId) -> Vec<ValueId>) -> Graph {
    let mut body = graph(&[]);
    let i = body.add_input("i", ty(I64, ""));
    let go = body.add_input("go", ty(Bool, ""));
    let s = body.add_input("s", ty(F32, "6 4"));
    let mut update = graph(&[]);
    let (_, b) = (update.add_input("", ty(F32, "")), update.add_input("", ty(F32, "")));
    update.add_output("", b);
    let region = body.add_region(update);
    let at = push(&mut body, Op::Reshape { shape: dims("1") }, &[i]);
    let picked = push(&mut body, Op::Gather { axis: 0 }, &[s, at]);
    let row = push(&mut body, Op::Unary(UnaryOp::Exp), &[picked]);
    let d = WindowDims { offsets: vec![1], collapsed: vec![0], map: vec![0], index_dim: 1, ..Default::default() };
    let op = Op::ScatterWindow(ScatterWindow { dims: d, sorted: true, unique: true, region });
    let next = push(&mut body, op, &[s, at, row]);
    body.add_output("go", go);
    body.add_output("s", next);
    for v in more(&mut body, s, next) {
        body.add_output("scan", v);
    }
    let scans = body.outputs.len() > 2;
    let mut g = graph(&[]);
    let x = g.add_input("x", ty(F32, "6 4"));
    let loc = Loc::default();
    let trip = g.constant(Tensor::i64(&[], &[5]), &loc);
    let yes = g.constant(Tensor::scalar(Bool, Num::Int(1)), &loc);
    let body = g.add_region(body);
    let found = g.push(Op::Loop(Loop { body, state: 1, trips: 5.into() }), &[trip, yes, x], &loc).expect("types");
    assert_eq!(found.len(), 1 + usize::from(scans));
    found.iter().for_each(|v| g.add_output("", *v));
    g
}

/// Copies of whole states, and launches, in one iteration.
fn steps_of_iteration(g: &Graph) -> (usize, usize) {
    let p = lower(g, &Target::x86_64_v4(), &LowerOptions::default()).expect("lowers");
    let body = p.plan.steps.iter().find_map(|s| match s {
        Step::Loop { body, .. } => Some(body.clone()),
        _ => None,
    });
    let body = body.expect("a loop");
    let count = |f: &dyn Fn(&Step) -> bool| body.iter().filter(|s| f(s)).count();
    (count(&|s| matches!(s, Step::Copy { .. })), count(&|s| matches!(s, Step::Launch(_))))
}

#[test]
fn a_state_is_updated_in_place() {
    // The row in two kernels, and its store: neither the state nor the scatter's data are copied.
    let g = row_loop(|_, _, _| vec![]);
    agree(&g, &[]);
    assert_eq!(steps_of_iteration(&g), (0, 3));
    // The old state is a result: it must not be written over.
    let g = row_loop(|_, s, _| vec![s]);
    agree(&g, &[]);
    assert_eq!(steps_of_iteration(&g).0, 1);
    // It is read later; and through another shape.
    let g = row_loop(|b, s, _| vec![push(b, Op::Unary(UnaryOp::Neg), &[s])]);
    agree(&g, &[]);
    assert_eq!(steps_of_iteration(&g).0, 1);
    let g = row_loop(|b, s, _| {
        let flat = push(b, Op::Reshape { shape: dims("24") }, &[s]);
        vec![push(b, Op::Unary(UnaryOp::Neg), &[flat])]
    });
    agree(&g, &[]);
    assert_eq!(steps_of_iteration(&g).0, 1);
    // The new state may be read later.
    let g = row_loop(|b, _, next| vec![push(b, Op::Unary(UnaryOp::Neg), &[next])]);
    agree(&g, &[]);
    assert_eq!(steps_of_iteration(&g).0, 0);
}

/// `s` and `t` read off a vector that is computed; a count of `s`, and the data under another shape.
fn told() -> Graph {
    let mut g = graph(&[("s", 0, 6), ("t", 1, 24)]);
    let n = g.add_input("n", ty(I64, "2"));
    let x = g.add_input("x", ty(F32, "4 6"));
    let loc = Loc { name: "told".into(), op: "Range".into(), ..Loc::default() };
    let two = g.constant(Tensor::i64(&[2], &[2, 2]), &loc);
    let m = push(&mut g, Op::Binary(BinaryOp::Mul), &[n, two]);
    g.push(Op::ReadDims(ReadDims { dims: dims("s t"), rule: DimRule::Bind }), &[m], &loc).expect("types");
    let all =
        push(&mut g, Op::DimValue { dims: vec![dims("t").remove(0) * "floordiv(24, t)".parse().expect("a dimension")] }, &[]);
    g.push(Op::ReadDims(ReadDims { dims: dims("24"), rule: DimRule::Equal }), &[all], &loc).expect("types");
    let count = push(&mut g, Op::Iota { dtype: F32, shape: dims("s"), axis: 0 }, &[]);
    let shape = vec![dims("t").remove(0), "floordiv(24, t)".parse().expect("a dimension")];
    let turned = push(&mut g, Op::Reshape { shape }, &[x]);
    let e = push(&mut g, Op::Unary(UnaryOp::Exp), &[turned]);
    let sum = push(&mut g, Op::Reduce { op: ReduceOp::Sum, axes: vec![1], keep: false }, &[e]);
    for v in [count, e, sum] {
        g.add_output("o", v);
    }
    g
}

#[test]
fn extents_that_values_tell() {
    let g = told();
    for n in [[3, 2], [0, 6], [1, 12]] {
        agree_on(&g, &[Tensor::i64(&[2], &n), random(F32, &[4, 6], 7)]);
    }
    let p = lower(&g, &Target::x86_64_v4(), &LowerOptions::default()).expect("lowers");
    let named = |s: &Step| matches!(s, Step::Host { op: Op::ReadDims(_), name, .. } if &**name == "Range told");
    assert_eq!(p.plan.steps.iter().filter(|s| named(s)).count(), 2);
    // The data under its other shape takes no more room than the data, whatever `t` is.
    assert!(p.plan.arena < 2048, "an arena of {} bytes", p.plan.arena);
    for (n, why) in [([4, 2], "`s` is 8"), ([-1, 2], "`s` is -2"), ([0, 5], "extent 0 is 20"), ([0, 0], "`t` is 0")] {
        let e = beiming_ir::eval::program(&p, &[Tensor::i64(&[2], &n), random(F32, &[4, 6], 7)]).expect_err(why);
        assert!(e.0.contains("Range told") && e.0.contains(why), "{e}");
    }
}

#[test]
fn a_loop_reads_extents_anew() {
    // In iteration i: the sum of 0..i.
    let mut body = graph(&[("s", 0, 9)]);
    let i = body.add_input("i", ty(I64, ""));
    let go = body.add_input("go", ty(Bool, ""));
    let a = body.add_input("a", ty(I64, ""));
    let v = push(&mut body, Op::Reshape { shape: dims("1") }, &[i]);
    push(&mut body, Op::ReadDims(ReadDims { dims: dims("s"), rule: DimRule::Bind }), &[v]);
    let line = push(&mut body, Op::Iota { dtype: I64, shape: dims("s"), axis: 0 }, &[]);
    let sum = push(&mut body, Op::Reduce { op: ReduceOp::Sum, axes: vec![0], keep: false }, &[line]);
    let a = push(&mut body, Op::Binary(BinaryOp::Add), &[a, sum]);
    body.add_output("go", go);
    body.add_output("a", a);
    let mut g = graph(&[]);
    let x = g.add_input("x", ty(I64, ""));
    let trip = g.constant(count(6), &Loc::default());
    let go = g.constant(flag(true), &Loc::default());
    let body = g.add_region(body);
    let y = push(&mut g, Op::Loop(Loop { body, state: 1, trips: "K".parse().expect("a symbol") }), &[trip, go, x]);
    g.add_output("a", y);
    agree_on(&g, &[count(5)]);
}
