//! Which computed integers are the bits of floats. Sorts are rewritten to compare floats as integers of the same bits; such a value
//! stands for nothing in the model, and looks like a wrong one beside the model's own integers.

use std::collections::BTreeSet;

use beiming_ir::graph::{Graph, ValueId};
use beiming_ir::ops::{Arg, BinaryOp, Body, Op};

/// The values of a graph that hold the bits of floats, as they are or changed.
pub fn of_floats(g: &Graph) -> BTreeSet<ValueId> {
    let mut found = BTreeSet::new();
    for n in g.nodes() {
        let float = n.inputs.first().is_some_and(|v| g.ty(*v).dtype.is_float());
        let given: Vec<bool> = n.inputs.iter().map(|v| found.contains(v)).collect();
        for (k, v) in n.outputs.iter().enumerate() {
            let carried = match &n.op {
                Op::Fused(body) | Op::Tiled { body, .. } => through(body, &given),
                Op::Bitcast { .. } => float || given.contains(&true),
                op => carries(op, &given, k),
            };
            if carried && g.ty(*v).dtype.is_int() {
                found.insert(*v);
            }
        }
    }
    found
}

/// Whether result `k` of an op holds bits where the arguments do so that say so.
fn carries(op: &Op, given: &[bool], k: usize) -> bool {
    use BinaryOp::{Eq, Ge, Gt, Le, Lt, Ne};
    match op {
        Op::Cast { .. } | Op::Binary(Eq | Ne | Lt | Le | Gt | Ge) | Op::ArgReduce { .. } => false,
        Op::SortBy { .. } => given.get(k).copied().unwrap_or(false),
        Op::TopK(_) => k == 0 && given.contains(&true),
        _ => given.contains(&true),
    }
}

/// The same of a group's result.
fn through(body: &Body, given: &[bool]) -> bool {
    let mut values: Vec<bool> = vec![];
    for n in &body.nodes {
        let args = n.args.iter().map(|a| match a {
            Arg::Input(i) => given.get(*i as usize).copied().unwrap_or(false),
            Arg::Node(i) => values.get(*i as usize).copied().unwrap_or(false),
        });
        let args: Vec<bool> = args.collect();
        values.push(match &n.op {
            Op::Bitcast { to } => to.is_int(),
            op => carries(op, &args, 0),
        });
    }
    values.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use beiming_ir::graph::Loc;
    use beiming_ir::types::{DType, TensorType};

    use super::*;

    #[test]
    fn bits_are_followed_until_they_are_compared() {
        let mut g = Graph::default();
        let x = g.add_input("x", TensorType::known(DType::F32, &[4]));
        let i = g.add_input("i", TensorType::known(DType::I32, &[4]));
        let mut push = |op: Op, args: &[ValueId]| g.push(op, args, &Loc::default()).expect("types")[0];
        let bits = push(Op::Bitcast { to: DType::I32 }, &[x]);
        let changed = push(Op::Binary(BinaryOp::Xor), &[bits, i]);
        let less = push(Op::Binary(BinaryOp::Lt), &[changed, i]);
        let chosen = push(Op::Select, &[less, i, i]);
        let back = push(Op::Bitcast { to: DType::F32 }, &[changed]);
        let found = of_floats(&g);
        assert_eq!([bits, changed, less, chosen, back, i].map(|v| found.contains(&v)), [true, true, false, false, false, false]);
    }
}
