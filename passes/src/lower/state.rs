//! The states of a loop in place: a next state is computed over the old one where that is read no more, so that a loop that
//! updates a few elements of a large tensor moves those elements only.

use std::collections::HashMap;

use beiming_ir::graph::{Graph, Node, ValueId};
use beiming_ir::kernel::{Expr, Kernel, Stmt};
use beiming_ir::plan::SlotId;

use super::builder::{Call, Operand};
use super::walk::{Scope, Walk};

/// The next states that may be computed over the old ones: each the result of a node, and of one state only.
pub(super) fn candidates(body: &Graph, next: &[ValueId], slots: &[SlotId]) -> HashMap<ValueId, SlotId> {
    let once = |v: &ValueId| body.outputs.iter().filter(|o| *o == v).count() == 1 && body.def(*v).is_some();
    next.iter().zip(slots).filter(|(v, _)| once(v)).map(|(v, s)| (*v, *s)).collect()
}

impl Walk<'_> {
    /// Whether result `k` of the node that is being lowered may lie in the slot of the old state: no value that lies there is
    /// an argument of a later node or a result of the body, and the calls read it only where they write over it.
    pub(super) fn over_state(&self, scope: &Scope, node: &Node, calls: &[Call], k: u32, state: SlotId) -> bool {
        let home = self.storage(state);
        let v = node.outputs[k as usize];
        let there = |v: &ValueId| scope.slots[v.index()].is_some_and(|s| self.storage(s) == home);
        let graph = scope.graph;
        let later = graph.nodes()[scope.at + 1..].iter().flat_map(|n| &n.inputs).chain(&graph.outputs);
        if self.slots[state.index()].0 != *graph.ty(v) || later.into_iter().any(there) {
            return false;
        }
        let mut begun = false;
        for call in calls {
            let written = call.args.iter().position(|a| *a == Operand::Output(k));
            let reads = |a: &Operand| matches!(a, Operand::Input(n) if there(&node.inputs[*n as usize]));
            let fresh = !begun;
            let over = |i: usize| fresh && written.is_some_and(|w| call.in_place.contains(&(i, w)));
            begun |= written.is_some();
            if begun && (0..call.args.len()).any(|i| reads(&call.args[i]) && !over(i)) {
                return false;
            }
        }
        true
    }
}

/// Whether a call copies a buffer, element by element, to where it lies.
pub(super) fn copies_to_itself(k: &Kernel, args: &[SlotId]) -> bool {
    let mut body = k.body.as_slice();
    while let [Stmt::For { body: inner, .. }] = body {
        body = inner;
    }
    let [Stmt::Vector { dst, value, reduce: None }] = body else { return false };
    let Expr::Load(from, None) = &k.exprs[value.index()] else { return false };
    let same = from.index == dst.index && from.guard.is_none() && dst.guard.is_none();
    same && args[from.buffer.index()] == args[dst.buffer.index()]
}
