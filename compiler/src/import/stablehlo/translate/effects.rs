//! Effects: values that come from, or go to, others while the program runs. The program's order is their order, whatever tokens
//! it writes: each takes the graph's token of the one before, branches and loops carry the token through, and the last one is
//! a result of the program.

use std::collections::BTreeSet;
use std::sync::Arc;

use beiming_ir::graph::Loc;
use beiming_ir::ops::channel;

use super::super::syntax::{Attr, Block, Operation};
use super::walk::Walk;
use crate::import::fail::R;
use crate::import::frame::V;

/// Operations that are effects.
const EFFECTS: &[&str] = &["stablehlo.infeed", "stablehlo.outfeed", "stablehlo.recv", "stablehlo.send"];

impl Walk<'_> {
    /// The token of what has happened so far.
    pub fn effect(&mut self) -> V {
        let top = self.levels.len() - 1;
        match self.levels[top].effect {
            Some(v) => v,
            None => self.frame().constant(channel::start(), &Loc::default()),
        }
    }

    /// Says what token stands for what has happened so far.
    pub fn set_effect(&mut self, token: Option<V>) {
        let top = self.levels.len() - 1;
        self.levels[top].effect = token;
    }

    /// The last token, to be given back by the graph or region, if there is one.
    pub fn take_effect(&mut self) -> Option<V> {
        let top = self.levels.len() - 1;
        self.levels[top].effect.take()
    }

    /// Builds the results of a branch; after a token of the graph around it, the last is the token of what happened in the branch.
    pub fn with_effect(&mut self, before: Option<V>, body: impl FnOnce(&mut Self) -> R<Vec<V>>) -> R<Vec<V>> {
        let Some(outer) = before else { return body(self) };
        let token = self.capture(outer)?;
        self.set_effect(Some(token));
        let mut results = body(self)?;
        results.extend(self.take_effect());
        Ok(results)
    }

    /// Whether blocks, or what they call, have effects.
    pub fn has_effects(&self, blocks: &[&Block]) -> bool {
        let mut called: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut todo: Vec<&Block> = blocks.to_vec();
        while let Some(b) = todo.pop() {
            for op in &b.ops {
                if EFFECTS.contains(&&*op.name) {
                    return true;
                }
                todo.extend(&op.regions);
                if let Some(name) = callee(op)
                    && called.insert(name.into())
                {
                    todo.extend(self.find(name).map(|f| &f.body));
                }
            }
        }
        false
    }
}

/// The function that an operation calls.
fn callee(op: &Operation) -> Option<&str> {
    let name = match &*op.name {
        "func.call" => "callee",
        "stablehlo.composite" => "decomposition",
        _ => return None,
    };
    op.attrs.get(name).and_then(Attr::text)
}
