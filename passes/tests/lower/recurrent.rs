//! Recurrent layers.

use beiming_ir::graph::{Graph, Loc, ValueId};
use beiming_ir::ops::{Direction, Gru, Lstm, Op};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::DType::{F32, I32};

use crate::check::{agree_on, graph, random, ty};

/// Steps, batch, input and hidden size of the cases.
const CASES: [(usize, usize, usize, usize); 3] = [(1, 1, 3, 16), (5, 3, 4, 7), (4, 2, 1, 33)];

struct Case {
    g: Graph,
    inputs: Vec<Tensor>,
}

impl Case {
    /// An argument, as an input of the graph or a constant.
    fn arg(&mut self, t: Tensor, symbolic: Option<&str>, constant: bool) -> ValueId {
        if constant {
            return self.g.constant(t, &Loc::default());
        }
        let shape = symbolic.map_or_else(|| t.shape.iter().map(|d| format!("{d} ")).collect(), String::from);
        let v = self.g.add_input("a", ty(t.dtype, &shape));
        self.inputs.push(t);
        v
    }

    fn args(&mut self, (t, b, i, h): (usize, usize, usize, usize), d: usize, gates: usize, constant: bool) -> Vec<ValueId> {
        let x = self.arg(random(F32, &[t, b, i], 1), Some(&format!("T B {i}")), false);
        let w = self.arg(random(F32, &[d, gates * h, i], 2), None, constant);
        let r = self.arg(random(F32, &[d, gates * h, h], 3), None, constant);
        let bias = self.arg(random(F32, &[d, 2 * gates * h], 4), None, constant);
        // One sequence is whole, the others are shorter.
        let lens = Tensor::build(I32, &[b], |n| Num::Int((t - n.min(t)) as i128));
        let lens = self.arg(lens, Some("B"), false);
        let h0 = self.arg(random(F32, &[d, b, h], 5), Some(&format!("{d} B {h}")), false);
        vec![x, w, r, bias, lens, h0]
    }

    fn check(mut self, op: Op, args: &[ValueId]) {
        let loc = Loc { name: "layer".into(), ..Loc::default() };
        let out = self.g.push(op, args, &loc).unwrap_or_else(|e| panic!("{e}"));
        for v in out {
            self.g.add_output("o", v);
        }
        agree_on(&self.g, &self.inputs);
    }
}

fn case() -> Case {
    Case { g: graph(&[("T", 1, 64), ("B", 1, 64)]), inputs: vec![] }
}

#[test]
fn lstm() {
    for (n, size) in CASES.into_iter().enumerate() {
        for direction in [Direction::Forward, Direction::Reverse, Direction::Bidirectional] {
            let d = if direction == Direction::Bidirectional { 2 } else { 1 };
            let mut c = case();
            let mut args = c.args(size, d, 4, n != 1);
            let (b, h) = (size.1, size.3);
            args.push(c.arg(random(F32, &[d, b, h], 6), Some(&format!("{d} B {h}")), false));
            args.push(c.arg(random(F32, &[d, 3 * h], 7), None, n == 0));
            let clip = (n == 1).then(|| 0.8.into());
            c.check(Op::Lstm(Lstm { direction, hidden: h, clip, input_forget: n == 2 }), &args);
        }
    }
}

#[test]
fn gru() {
    for (n, size) in CASES.into_iter().enumerate() {
        for direction in [Direction::Forward, Direction::Reverse, Direction::Bidirectional] {
            for linear_before_reset in [false, true] {
                let d = if direction == Direction::Bidirectional { 2 } else { 1 };
                let mut c = case();
                let args = c.args(size, d, 3, n != 1);
                let clip = (n == 1).then(|| 0.8.into());
                c.check(Op::Gru(Gru { direction, hidden: size.3, clip, linear_before_reset }), &args);
            }
        }
    }
}
