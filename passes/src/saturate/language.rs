//! The e-graph's language is the IR's own: an e-node is an `Op` with argument classes. No second enum of ops, no attributes
//! as classes. An op of several results has one e-node a result.

use std::mem::Discriminant;
use std::sync::Arc;

use beiming_ir::ops::Op;
use egg::{Id, Language};

/// What an e-node computes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Head {
    /// The graph's n-th input.
    Input(u32),
    /// The n-th result of an op.
    Op(Arc<Op>, u32),
}

/// An e-node.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ENode {
    /// What it computes.
    pub head: Head,
    /// Classes of the arguments.
    pub children: Box<[Id]>,
}

impl ENode {
    /// The first result of an op.
    pub fn op(op: Op, children: &[Id]) -> ENode {
        ENode { head: Head::Op(Arc::new(op), 0), children: children.into() }
    }

    /// The op, where it is one of a single result or the first result.
    pub fn as_op(&self) -> Option<&Op> {
        match &self.head {
            Head::Op(op, 0) => Some(op),
            _ => None,
        }
    }
}

impl Language for ENode {
    type Discriminant = Option<Discriminant<Op>>;

    fn discriminant(&self) -> Self::Discriminant {
        match &self.head {
            Head::Input(_) => None,
            Head::Op(op, _) => Some(std::mem::discriminant(&**op)),
        }
    }

    fn matches(&self, other: &ENode) -> bool {
        self.head == other.head && self.children.len() == other.children.len()
    }

    fn children(&self) -> &[Id] {
        &self.children
    }

    fn children_mut(&mut self) -> &mut [Id] {
        &mut self.children
    }
}
