//! What the optimiser did, in counts: printed by `explain`, compared by tests. No times, so that it is the same every time.

use std::fmt;

use crate::saturate::rules::Promise;

/// Everything `optimize` did to a graph and its regions.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Nodes before.
    pub nodes_before: usize,
    /// Nodes after.
    pub nodes_after: usize,
    /// Saturations in the order they ran; a region's carry its name.
    pub saturations: Vec<Saturation>,
    /// Edges between two kernels, and why they are there.
    pub unfused: Vec<Unfused>,
}

/// One saturation.
#[derive(Clone, Debug)]
pub struct Saturation {
    /// Name of the graph or region.
    pub graph: String,
    /// `rewrite` or `fuse`.
    pub stage: &'static str,
    /// Rules that did something.
    pub rules: Vec<RuleUse>,
    /// E-nodes at the start and after every iteration.
    pub growth: Vec<usize>,
    /// Why it stopped.
    pub stop: Stop,
    /// Cost of the graph as it came, in seconds.
    pub cost_before: f64,
    /// Cost of the graph that was extracted, in seconds.
    pub cost_after: f64,
}

/// How often a rule found something new.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleUse {
    /// Name.
    pub name: &'static str,
    /// Numeric promise.
    pub promise: Promise,
    /// Applications that added or joined something.
    pub hits: usize,
    /// Results that were turned away because their type had another form than the original's.
    pub refused: usize,
}

/// Why a saturation stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// No rule finds anything new.
    Saturated,
    /// The limit on iterations.
    Iterations(usize),
    /// The limit on e-nodes.
    Nodes(usize),
}

/// An edge that stayed an edge between kernels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unfused {
    /// Name and op of the producer.
    pub producer: String,
    /// Name and op of the consumer.
    pub consumer: String,
    /// Why they are two kernels.
    pub why: String,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Saturated => f.write_str("saturated"),
            Stop::Iterations(n) => write!(f, "limit of {n} iterations"),
            Stop::Nodes(n) => write!(f, "limit of {n} nodes"),
        }
    }
}

impl fmt::Display for Saturation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let growth: Vec<String> = self.growth.iter().map(usize::to_string).collect();
        writeln!(f, "{} `{}`: {}, e-nodes {}", self.stage, self.graph, self.stop, growth.join(" -> "))?;
        writeln!(f, "  cost {:.3} us -> {:.3} us", self.cost_before * 1e6, self.cost_after * 1e6)?;
        for r in &self.rules {
            write!(f, "  {:<28} {:?}, {} hits", r.name, r.promise, r.hits)?;
            if r.refused > 0 {
                write!(f, ", {} refused", r.refused)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} nodes -> {} nodes", self.nodes_before, self.nodes_after)?;
        for s in &self.saturations {
            write!(f, "{s}")?;
        }
        for u in &self.unfused {
            writeln!(f, "not fused: {} -> {}: {}", u.producer, u.consumer, u.why)?;
        }
        Ok(())
    }
}
