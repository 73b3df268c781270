//! Small graphs for testing rules: a seeded generator of shapes, and a builder that reads like the pattern it builds.

use beiming_ir::graph::{Graph, Loc, ValueId};
use beiming_ir::ops::{BinaryOp, Op, ReduceOp, UnaryOp};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Symbols, TensorType};

/// A source of choices and the graph they build. Asking it for something that does not type is a fault of the example; the
/// graph then has no output, which the test of the rules reports.
pub struct Gen {
    state: u64,
    g: Graph,
    broken: Option<String>,
}

impl Gen {
    /// A generator; equal seeds make equal graphs.
    pub fn new(seed: u64) -> Gen {
        Gen { state: seed, g: Graph::new("example", Symbols::default()), broken: None }
    }

    /// A number below `n` (splitmix64).
    pub fn below(&mut self, n: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }

    /// One of a list.
    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        let i = self.below(of.len());
        of[i].clone()
    }

    /// Extents of 2 to 5.
    pub fn shape(&mut self, rank: usize) -> Vec<usize> {
        (0..rank).map(|_| 2 + self.below(4)).collect()
    }

    /// A permutation that moves something.
    pub fn perm(&mut self, rank: usize) -> Vec<usize> {
        let mut p: Vec<usize> = (0..rank).collect();
        for i in (1..rank).rev() {
            let j = self.below(i + 1);
            p.swap(i, j);
        }
        if crate::layout::is_identity(&p) && rank > 1 {
            p.swap(0, rank - 1);
        }
        p
    }

    /// Numbers between -2 and 2.
    pub fn numbers(&mut self, shape: &[usize]) -> Tensor {
        Tensor::build(DType::F32, shape, |_| Num::Float(self.below(4001) as f64 / 1000.0 - 2.0))
    }

    /// A graph input of f32.
    pub fn input(&mut self, shape: &[usize]) -> ValueId {
        self.g.add_input("x", TensorType::known(DType::F32, shape))
    }

    /// A constant of random numbers.
    pub fn weights(&mut self, shape: &[usize]) -> ValueId {
        let t = self.numbers(shape);
        self.g.constant(t, &Loc::default())
    }

    /// A scalar constant.
    pub fn scalar(&mut self, v: f64) -> ValueId {
        self.g.constant(Tensor::scalar(DType::F32, Num::Float(v)), &Loc::default())
    }

    /// A node of one result.
    pub fn op(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        match self.g.push1(op, inputs, &Loc::default()) {
            Ok(v) => v,
            Err(e) => {
                self.broken.get_or_insert(e.to_string());
                inputs.first().copied().unwrap_or(ValueId(0))
            }
        }
    }

    /// Shape of a value.
    pub fn shape_of(&self, v: ValueId) -> Vec<usize> {
        self.g.ty(v).static_shape().unwrap_or_default()
    }

    /// An elementwise op of one argument.
    pub fn unary(&mut self, op: UnaryOp, x: ValueId) -> ValueId {
        self.op(Op::Unary(op), &[x])
    }

    /// An elementwise op of two arguments.
    pub fn binary(&mut self, op: BinaryOp, x: ValueId, y: ValueId) -> ValueId {
        self.op(Op::Binary(op), &[x, y])
    }

    /// `x` with its axes in another order.
    pub fn transpose(&mut self, perm: &[usize], x: ValueId) -> ValueId {
        self.op(Op::Transpose { perm: perm.to_vec() }, &[x])
    }

    /// `x` under another shape.
    pub fn reshape(&mut self, shape: &[usize], x: ValueId) -> ValueId {
        self.op(Op::Reshape { shape: shape.iter().map(|&d| d.into()).collect() }, &[x])
    }

    /// A reduction that keeps its axes.
    pub fn reduce(&mut self, op: ReduceOp, axes: &[usize], x: ValueId) -> ValueId {
        self.op(Op::Reduce { op, axes: axes.to_vec(), keep: true }, &[x])
    }

    /// The graph with this output.
    pub fn done(&mut self, v: ValueId) -> Graph {
        let mut g = std::mem::take(&mut self.g);
        match &self.broken {
            Some(why) => g.name = why.as_str().into(),
            None => g.add_output("y", v),
        }
        g
    }
}
