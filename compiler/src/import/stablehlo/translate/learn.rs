//! What a program takes for granted about the extents of its arguments. Text does not say which `?` are equal, nor which
//! arguments are extents themselves: that shows where an operation needs it. What is met is learned, and the translation starts
//! again with it; at run time it is checked, since types say it then.

use std::collections::BTreeSet;
use std::sync::Arc;

use beiming_ir::dim::Atom;
use beiming_ir::graph::{Def, ValueId};
use beiming_ir::ops::Op;
use beiming_ir::types::Dim;

use super::Known;
use super::walk::Walk;
use crate::import::error::Clean;
use crate::import::frame::V;

/// What one translation has learned.
#[derive(Clone, Default, Debug)]
pub struct Learned {
    /// Meanings of symbols of the inputs.
    extents: Vec<(Arc<str>, Dim)>,
    /// Arguments that are extents.
    valued: BTreeSet<Arc<str>>,
}

impl Learned {
    /// True where nothing was.
    pub fn is_empty(&self) -> bool {
        self.extents.is_empty() && self.valued.is_empty()
    }
}

impl Known {
    /// Adds what a translation has learned.
    pub(super) fn add(&mut self, learned: Learned) {
        for (_, d) in &mut self.extents {
            *d = d.substitute(&|n| learned.extents.iter().find(|(name, _)| &**name == n).map(|(_, d)| d.clone()));
        }
        self.extents.extend(learned.extents);
        self.valued.extend(learned.valued);
    }
}

/// The value of `symbol` where `zero` is nought: `zero` is then `c * symbol + rest`, and `rest` a multiple of `c`.
fn solved(zero: &Dim, symbol: &str) -> Option<Dim> {
    let Dim::Expr(p) = zero else { return None };
    let own = |atoms: &[Atom]| matches!(atoms, [Atom::Sym(s)] if &**s == symbol);
    let factor = p.terms().iter().find(|(atoms, _)| own(atoms))?.1;
    let rest = zero.clone() - Dim::sym(symbol) * factor.into();
    let value = (Dim::from(0) - rest).floor_div(&factor.abs().into()) * factor.signum().into();
    let exact = Dim::sym(symbol) * factor.into() - value.clone() * factor.into() == *zero;
    (exact && !value.symbols().iter().any(|s| &**s == symbol)).then_some(value)
}

impl Walk<'_> {
    /// Learns that two extents are equal, where that gives a symbol of the inputs a meaning; false where it does not.
    pub fn learn_equal(&mut self, a: &Dim, b: &Dim) -> bool {
        let zero = a.clone() - b.clone();
        let graph = &self.levels[0].frame.graph;
        let inputs: BTreeSet<Arc<str>> = graph.inputs.iter().flat_map(|v| &graph.ty(*v).shape).flat_map(Dim::symbols).collect();
        let valued = |s: &Arc<str>| self.valuable.iter().any(|(_, name)| name == s);
        let mut symbols = zero.symbols();
        // Only what the inputs settle can be required of them. An argument that is an extent itself stays one.
        if !symbols.iter().all(|s| inputs.contains(s) || valued(s)) {
            return false;
        }
        // The symbol of a later argument becomes the expression over earlier ones.
        let place = |s: &Arc<str>| graph.inputs.iter().position(|v| graph.ty(*v).shape.iter().any(|d| d.symbols().contains(s)));
        symbols.retain(|s| !valued(s));
        symbols.sort_by_key(|s| std::cmp::Reverse(place(s)));
        let Some((s, value)) = symbols.iter().find_map(|s| Some((s, solved(&zero, s)?))) else { return false };
        if self.learned.extents.iter().all(|(known, _)| known != s) {
            self.learned.extents.push((s.clone(), value));
        }
        true
    }

    /// Learns that the arguments from which `v` is computed are extents, where they can be and nothing else goes into it.
    pub fn learn_valued(&mut self, v: V) -> bool {
        let Ok(from) = self.sources(v) else { return false };
        let names: Option<Vec<Arc<str>>> =
            from.iter().map(|v| self.valuable.iter().find(|(id, _)| id == v).map(|(_, name)| name.clone())).collect();
        let Some(names) = names.filter(|n| !n.is_empty()) else { return false };
        self.learned.valued.extend(names);
        true
    }

    /// Learns that those arguments are extents from which `v` is computed and that can be, whatever else goes into it.
    pub fn learn_partly(&mut self, v: V) -> bool {
        let Ok(from) = self.sources(v) else { return false };
        let names: Vec<Arc<str>> =
            self.valuable.iter().filter(|(id, _)| from.contains(id)).map(|(_, name)| name.clone()).collect();
        self.learned.valued.extend(names.iter().cloned());
        !names.is_empty()
    }

    /// What of the program's values stands in the way of knowing `v`, in words.
    pub fn culprit(&self, v: V) -> Option<String> {
        match self.sources(v) {
            Err(op) => Some(format!("the result of `{op}`")),
            Ok(from) => {
                let graph = &self.levels[0].frame.graph;
                let v = from.into_iter().find(|v| self.valuable.iter().all(|(id, _)| id != v))?;
                Some(format!("the value of `{}`, {}", Clean(&graph.value(v).name), graph.ty(v)))
            }
        }
    }

    /// The inputs from which `v` is computed by arithmetic; or the name of an op that is no arithmetic.
    fn sources(&self, v: V) -> Result<BTreeSet<ValueId>, String> {
        let mut out = BTreeSet::new();
        let mut todo: Vec<(usize, ValueId)> = vec![];
        let top = self.levels.len() - 1;
        todo.extend(self.levels[top].frame.placed(v).map(|id| (top, id)));
        let mut met = BTreeSet::new();
        while let Some((level, id)) = todo.pop() {
            if !met.insert((level, id)) {
                continue;
            }
            let frame = &self.levels[level].frame;
            match frame.graph.value(id).def {
                Def::Node(n, _) => {
                    let node = frame.graph.node(n);
                    let moves = matches!(
                        node.op,
                        Op::Constant(_)
                            | Op::DimValue { .. }
                            | Op::Reshape { .. }
                            | Op::Broadcast { .. }
                            | Op::Transpose { .. }
                            | Op::Slice(_)
                            | Op::Concat { .. }
                    );
                    if !moves && !node.op.is_elementwise() {
                        return Err(node.op.name());
                    }
                    todo.extend(node.inputs.iter().map(|v| (level, *v)));
                }
                Def::Input(_) if level == 0 => {
                    out.insert(id);
                }
                Def::Input(k) => {
                    let own = frame.graph.inputs.len() - self.levels[level].captures.len();
                    let Some(outer) = (k as usize).checked_sub(own) else { return Err("a region's argument".into()) };
                    let outer = self.levels[level].captures[outer];
                    todo.extend(self.levels[level - 1].frame.placed(outer).map(|id| (level - 1, id)));
                }
            }
        }
        Ok(out)
    }
}
