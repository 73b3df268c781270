//! The verifier: the only key to a backend. It lists everything that is wrong, each finding with its place, so that a bug in
//! a pass is seen where it arises. What it accepts, [`crate::eval`] and the backends may rely on without checking again.
//!
//! A finding is a bug of ours (or of a hand-written text), never the user's model: the importers report that before.

mod bounds;
mod expr;
mod graph;
mod in_place;
mod kernel;
mod lifetime;
mod npu;
mod plan;
mod steps;
mod stmt;

use std::fmt;
use std::ops::Deref;

use crate::graph::Graph;
use crate::plan::Program;
use crate::types::{Dim, Symbols};

pub use self::kernel::kernel;
pub(crate) use self::kernel::well_formed;

/// A `T` that has passed `verify`. It can be read, not changed.
#[derive(Clone, Debug)]
pub struct Verified<T>(T);

impl<T> Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Verified<T> {
    /// Gives the content back, to be changed; it must be verified again.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Where: the graph and node, the kernel and statement, or the step of the plan.
    pub place: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Everything that is wrong, in the order of the IR; never empty.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct VerifyErrors(pub Vec<Finding>);

impl fmt::Display for VerifyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the IR is not valid ({} finding{})", self.0.len(), if self.0.len() == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|x| write!(f, "\n  {x}"))
    }
}

/// Verifies a graph and, within it, every region.
pub fn graph(g: Graph) -> Result<Verified<Graph>, VerifyErrors> {
    seal(graph::check(&g), g)
}

/// Verifies a program: every kernel, the weights, and the plan with its buffers.
pub fn program(p: Program) -> Result<Verified<Program>, VerifyErrors> {
    let mut found: Vec<Finding> = p.kernels.iter().flat_map(kernel).collect();
    found.extend(plan::check(&p));
    seal(found, p)
}

fn seal<T>(found: Vec<Finding>, t: T) -> Result<Verified<T>, VerifyErrors> {
    if found.is_empty() { Ok(Verified(t)) } else { Err(VerifyErrors(found)) }
}

/// Collects findings of one graph, kernel or plan.
struct Report {
    /// First part of every place.
    whole: String,
    found: Vec<Finding>,
}

impl Report {
    fn new(whole: String) -> Report {
        Report { whole, found: vec![] }
    }

    /// A finding at a place within the whole; an empty place is the whole.
    fn add(&mut self, place: &str, message: impl Into<String>) {
        let place = if place.is_empty() { self.whole.clone() } else { format!("{}, {place}", self.whole) };
        self.found.push(Finding { place, message: message.into() });
    }
}

/// Ranges of symbols that make sense: `0 <= lo <= hi`.
fn symbol_ranges(symbols: &Symbols, report: &mut Report) {
    for (name, r) in &symbols.0 {
        if r.lo < 0 || r.lo > r.hi {
            report.add(
                "",
                format!("the range {}..{} of symbol `{name}` is not one of extents: 0 <= lowest <= highest", r.lo, r.hi),
            );
        }
    }
}

/// Do two dimensions have one value wherever the symbols are in range? Equal expressions do; others are compared at some
/// points, so that nothing right is refused and what is wrong is found all but always.
fn same_value(a: &Dim, b: &Dim, symbols: &Symbols) -> bool {
    if a == b {
        return true;
    }
    let mut names = a.symbols();
    names.extend(b.symbols());
    names.sort();
    names.dedup();
    sample(a, &names, symbols) == sample(b, &names, symbols)
}

/// Values of a dimension at a few points in the range of `names`, where each has a value of its own.
fn sample(d: &Dim, names: &[std::sync::Arc<str>], symbols: &Symbols) -> [Option<i64>; 4] {
    [0i64, 1, 2, 3].map(|t| {
        d.eval(&|name| {
            let r = symbols.range(name);
            let i = names.iter().position(|n| &**n == name)? as i64;
            Some(if t == 3 && r.hi < 1 << 20 { r.hi } else { r.lo.saturating_add(t * (5 * i + 3 * t)).min(r.hi) })
        })
    })
}
