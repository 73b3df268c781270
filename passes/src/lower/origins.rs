//! Which nodes of a body the parts of a kernel were made for. The inliner says which node it is at; what is added while it is at
//! none belongs to the anchor, or only drives the loops where the kernel has none.

use std::collections::BTreeMap;
use std::sync::Arc;

use beiming_ir::graph::{Loc, Node};
use beiming_ir::ops::Body;
use beiming_ir::plan::Origin;

use super::body::is_anchor;

/// Stands for the anchor until it is known.
const ANCHOR: u32 = u32::MAX;

/// Nodes of the body, by expression and by buffer.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    /// The node that is being written out.
    pub(super) now: Option<u32>,
    exprs: Vec<Vec<u32>>,
    buffers: BTreeMap<u32, Vec<u32>>,
}

fn insert(set: &mut Vec<u32>, n: u32) {
    if let Err(at) = set.binary_search(&n) {
        set.insert(at, n);
    }
}

impl Origins {
    /// Expression `e` is used now.
    pub(super) fn expr(&mut self, e: usize) {
        let n = self.now.unwrap_or(ANCHOR);
        self.take(e, &[n]);
    }

    /// Expression `e` is also made for the nodes of `from`.
    pub(super) fn take(&mut self, e: usize, from: &[u32]) {
        if self.exprs.len() <= e {
            self.exprs.resize(e + 1, vec![]);
        }
        from.iter().for_each(|n| insert(&mut self.exprs[e], *n));
    }

    /// Buffer `b` is used now.
    pub(super) fn buffer(&mut self, b: u32) {
        let n = self.now.unwrap_or(ANCHOR);
        insert(self.buffers.entry(b).or_default(), n);
    }

    /// Those of expression `e`.
    pub(super) fn of(&self, e: usize) -> &[u32] {
        self.exprs.get(e).map_or(&[], Vec::as_slice)
    }

    /// The last of expression `e`; the anchor is `None`.
    pub(super) fn last(&self, e: usize) -> Option<Option<u32>> {
        self.of(e).last().map(|n| (*n != ANCHOR).then_some(*n))
    }

    /// The buffers under new numbers; those without one are dropped.
    pub(super) fn renumber(&mut self, old: &Origins, new: impl Fn(u32) -> Option<u32>) {
        self.buffers = old.buffers.iter().filter_map(|(b, set)| Some((new(*b)?, set.clone()))).collect();
    }

    /// What was made for no node in particular was made for `anchor`, or for none.
    pub(super) fn settle(&mut self, anchor: Option<usize>) {
        for set in self.exprs.iter_mut().chain(self.buffers.values_mut()) {
            if set.last() == Some(&ANCHOR) {
                set.pop();
                if let Some(a) = anchor {
                    insert(set, a as u32);
                }
            }
        }
    }

    /// For a launch: with the ops of `body`, which `node` holds.
    pub(super) fn of_node(mut self, body: &Body, node: &Node) -> Origin {
        // A lowering may write the body anew, longer (a recurrence): what it adds is the anchor's.
        let anchor = body.nodes.iter().position(|n| is_anchor(&n.op)).map(|a| a as u32);
        for set in self.exprs.iter_mut().chain(self.buffers.values_mut()) {
            let before = set.len();
            set.retain(|n| (*n as usize) < body.nodes.len());
            if let Some(a) = anchor.filter(|_| set.len() < before) {
                insert(set, a);
            }
        }
        let whole = Loc { parts: Arc::default(), ..node.loc.clone() };
        // A node that was fused otherwise than its source tells has only the source of the whole.
        let parts = (node.loc.parts.len() == body.nodes.len()).then_some(&node.loc.parts);
        let source = |i: usize| parts.map_or(&whole, |p| &p[i]).clone();
        let last = self.buffers.keys().last().map_or(0, |b| b + 1);
        Origin {
            ops: body.nodes.iter().enumerate().map(|(i, n)| (n.op.name(), source(i))).collect(),
            exprs: self.exprs.into(),
            buffers: (0..last).map(|b| self.buffers.get(&b).cloned().unwrap_or_default()).collect(),
        }
    }
}
