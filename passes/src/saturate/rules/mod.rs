//! The rewrite rules. Each is directional and declared with a name, a numeric promise, and an example: a generator of small
//! graphs that its left side matches, on which a test runs both sides through `eval`.

pub mod algebra;
pub mod example;
pub mod fusion;
pub mod layout;
pub mod products;
pub mod recognise;
pub mod reductions;

use beiming_ir::graph::Graph;
use beiming_ir::ops::Op;
use egg::Id;

use super::facts::Eg;
use example::Gen;

/// What a rule promises about numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promise {
    /// Both sides give the same bits.
    Exact,
    /// Floating-point operations are done in another order or another form: results differ by rounding.
    Reassociates,
}

/// A rewrite: what else an e-node may be.
pub struct Rule {
    /// Name, as reported.
    pub name: &'static str,
    /// Numeric promise.
    pub promise: Promise,
    /// True for ops at the root of the left side; cheap, asked of every node.
    pub root: fn(&Op) -> bool,
    /// Classes that equal `op(children)`, added by the rule. The pattern below the root is looked up in the children's classes.
    pub apply: fn(&mut Eg, &Op, &[Id]) -> Vec<Id>,
    /// A graph in which the left side occurs; its inputs, if any, take any normal numbers.
    pub example: fn(&mut Gen) -> Graph,
}

/// Every rule of the first saturation, in the order in which they are tried.
pub fn rewrites() -> Vec<&'static Rule> {
    [layout::RULES, products::RULES, reductions::RULES, algebra::RULES, recognise::RULES].into_iter().flatten().collect()
}
