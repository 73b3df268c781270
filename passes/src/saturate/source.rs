//! Where a node that a rule adds really comes from. The class has the source of the node that the rule was applied to, which is what
//! reports and kernels are named after. But a rule that moves a transpose over a `min` is applied to the transpose, and the `min` it
//! writes anew is still the model's `min`: a node takes the source of the node of the same op that the rule looked at.

use std::collections::HashMap;
use std::mem::{Discriminant, discriminant};

use beiming_ir::graph::Loc;
use beiming_ir::ops::Op;
use egg::Id;

use super::facts::Eg;
use super::language::{ENode, Head};

/// An op without its attributes.
type Kind = Discriminant<Op>;

/// Sources of single nodes. Classes are joined, and then have only one of theirs.
#[derive(Default)]
pub struct Sources {
    /// In the order of creation.
    list: Vec<(Id, Kind, Loc)>,
    index: HashMap<(Id, Kind), usize>,
}

impl Sources {
    /// Node `op` that founded class `id`.
    pub fn insert(&mut self, id: Id, op: Kind, loc: Loc) {
        self.index.insert((id, op), self.list.len());
        self.list.push((id, op, loc));
    }

    fn get(&self, id: Id, op: Kind) -> Option<&Loc> {
        self.index.get(&(id, op)).map(|i| &self.list[*i].2)
    }

    /// All of them by the classes as they are now; of several the first.
    pub fn settled(&self, eg: &Eg) -> HashMap<(Id, Kind), Loc> {
        let mut out = HashMap::new();
        for (id, op, loc) in &self.list {
            out.entry((eg.find(*id), *op)).or_insert_with(|| loc.clone());
        }
        out
    }
}

/// The kind of a node's op; none for inputs.
pub fn kind(node: &ENode) -> Option<Kind> {
    match &node.head {
        Head::Op(op, _) => Some(discriminant(&**op)),
        Head::Input(_) => None,
    }
}

/// The source of a node that is being added: that of the class the rule is applied to, or of a node of the same op below it.
pub fn of(eg: &Eg, node: &ENode) -> Option<(Kind, Loc)> {
    let kind_of = kind(node)?;
    let here = || Some((kind_of, eg.analysis.loc().clone()));
    let Some(root) = eg.analysis.root() else { return here() };
    let has = |id: Id| eg[id].nodes.iter().any(|n| kind(n) == Some(kind_of));
    let below = || eg[root].nodes.iter().flat_map(|n| n.children.iter()).map(|c| eg.find(*c));
    let Some(from) = (if has(root) { Some(eg.find(root)) } else { below().find(|c| has(*c)) }) else { return here() };
    let loc = eg.analysis.sources().get(from, kind_of).unwrap_or(&eg[from].data.loc);
    if loc.is_empty() { here() } else { Some((kind_of, loc.clone())) }
}

/// `loc`, the source of a class, for its node whose own source is `own`, which becomes the one part.
pub fn with_own(loc: &Loc, own: Option<&Loc>) -> Loc {
    let Some(own) = own.filter(|own| *own != loc && !own.is_empty()) else { return loc.clone() };
    let part = own.parts.first().unwrap_or(own);
    let part = Loc { parts: Default::default(), ..part.clone() };
    Loc { parts: [part].into(), ..loc.clone() }
}
