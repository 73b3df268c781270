//! The kernels that are changed: families by targets, each with several tiles a core, tails, and equal elements among its
//! numbers, so that what goes wrong can show.

mod families;

use beiming_ir::graph::{Graph, Loc};
use beiming_ir::ops::{Arg, Body, BodyNode, Op, Pool, PoolKind, ReduceOp};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Symbols, TensorType};

use DType::{F32, I64};

use crate::support::{Call, Node, lowered_deep};

/// A fused group on some chips. In `nodes` an argument from 100 on is an input, from 200 on a constant.
pub struct Case {
    pub name: &'static str,
    inputs: Vec<(DType, Vec<usize>)>,
    constants: Vec<f64>,
    nodes: Vec<Node>,
    numbers: Numbers,
    pub chips: &'static [&'static str],
    /// In the fixed subset that every test run goes through.
    pub quick: bool,
}

fn case(
    name: &'static str,
    inputs: &[(DType, &[usize])],
    constants: &[f64],
    nodes: Vec<Node>,
    chips: &'static [&'static str],
    quick: bool,
) -> Case {
    Case {
        name,
        numbers: match &nodes[..] {
            [(Op::Softmax { .. }, _)] => Numbers::Steep,
            [(Op::Reduce { op: ReduceOp::Max, .. } | Op::Pool(Pool { kind: PoolKind::Max, .. }), _)] => Numbers::Negative,
            [(Op::Cast { to: F32 }, _)] => Numbers::Large,
            n if n.iter().any(|n| matches!(n.0, Op::Norm { .. })) => Numbers::Flat,
            n if n.iter().any(|n| matches!(n.0, Op::Softmax { .. })) => Numbers::Mild,
            n if n.iter().any(|n| matches!(n.0, Op::MatMul { .. } | Op::Conv(_) | Op::Select)) => Numbers::Exact,
            _ => Numbers::Between,
        },
        inputs: inputs.iter().map(|(d, s)| (*d, s.to_vec())).collect(),
        constants: constants.to_vec(),
        nodes,
        chips,
        quick,
    }
}

/// All of them.
pub fn all() -> Vec<Case> {
    use families::{elementwise, moves, products, rows, windows};
    elementwise().into_iter().chain(rows()).chain(products()).chain(windows()).chain(moves()).collect()
}

/// What the elements of a case's arguments are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Numbers {
    /// Multiples of a sixteenth: sums of their products are exact in any order, and some are equal.
    Exact,
    /// A little more than those, so that conversions round.
    Between,
    /// So large, and different from row to row, that only the right maximum keeps exponentials finite.
    Steep,
    /// Below zero, so that a padding of zeros would be the maximum.
    Negative,
    /// Some rows of equal elements, whose variance is zero.
    Flat,
    /// So small that every score counts in the softmax between two products.
    Mild,
    /// Integers that f32 does not hold.
    Large,
}

/// Elements in -2..2 (integers in -32..32), and what the kind makes of them.
fn elements(dtype: DType, shape: &[usize], seed: u64, kind: Numbers) -> Tensor {
    let mut s = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let width = shape.last().copied().unwrap_or(1).max(1);
    Tensor::build(dtype, shape, |i| {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        let u = ((s >> 40) % 64) as f64 - 32.0;
        let (x, row) = (u / 16.0, (i / width) as f64);
        if !dtype.is_float() {
            return Num::Int(match (kind, dtype) {
                (Numbers::Large, _) => u as i128 * 67_108_859,
                // Indices of rows, from either end: cases that gather have seven.
                (_, I64) => (u as i128).rem_euclid(14) - 7,
                _ => u as i128,
            });
        }
        Num::Float(match kind {
            Numbers::Exact | Numbers::Large => x,
            Numbers::Mild => x / 4.0,
            Numbers::Between => x + 0.7 / 1024.0,
            Numbers::Steep => 40.0 * x + 100.0 * (row % 7.0 - 3.0),
            Numbers::Negative => x - 5.0,
            Numbers::Flat => {
                if shape.len() > 1 && row % 5.0 == 0.0 {
                    1.0
                } else {
                    x
                }
            }
        })
    })
}

impl Case {
    /// The kernels for a chip, with arguments and results.
    pub fn calls(&self, chip: &str) -> Vec<Call> {
        let mut g = Graph::new(self.name, Symbols::default());
        let types: Vec<TensorType> = self.inputs.iter().map(|(d, s)| TensorType::known(*d, s)).collect();
        let mut values: Vec<_> = types.iter().enumerate().map(|(i, t)| g.add_input(&format!("x{i}"), t.clone())).collect();
        let inputs = values.len() as u32;
        let dtype = self.inputs[0].0;
        values.extend(self.constants.iter().map(|c| g.constant(Tensor::from_f64(dtype, &[], &[*c]), &Loc::default())));
        let arg = |a: u32| match a {
            200.. => Arg::Input(inputs + a - 200),
            100.. => Arg::Input(a - 100),
            _ => Arg::Node(a),
        };
        let nodes = self.nodes.iter().map(|(op, args)| BodyNode { op: op.clone(), args: args.iter().map(|a| arg(*a)).collect() });
        let op = Op::Fused(Body { inputs: values.len() as u32, nodes: nodes.collect() }.into());
        let out = g.push1(op, &values, &Loc::default()).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        g.add_output("y", out);
        let product = self.nodes.iter().any(|n| matches!(n.0, Op::MatMul { .. } | Op::Conv(_)));
        let one = |(i, (d, s)): (usize, &(DType, Vec<usize>))| elements(*d, s, i as u64 + 7, self.numbers);
        let tensors: Vec<Tensor> = self.inputs.iter().enumerate().map(one).collect();
        let depth = if product { self.inputs[0].1.iter().copied().max().unwrap_or(0) } else { 0 };
        lowered_deep(self.name, &g, chip, &tensors, depth)
    }
}
