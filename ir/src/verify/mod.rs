//! The verifier: the only key to a backend. It lists everything that is wrong, each finding with its place, so that a bug in
//! a pass is seen where it arises. What it accepts, [`crate::eval`] and the backends may rely on without checking again.
//!
//! A finding is a bug of ours (or of a hand-written text), never the user's model: the importers report that before.

mod expr;
mod kernel;
mod stmt;

use std::fmt;
use std::ops::Deref;

pub(crate) use self::expr::for_args;
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
