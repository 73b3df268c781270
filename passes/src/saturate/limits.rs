//! Limits of a saturation, in counts: a limit in seconds would make generated code depend on the load of the machine.

/// What a saturation may use. Where a limit stops it, extraction is still legal, and the report says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Nodes of the e-graph, as a multiple of the graph's own, counted while rules apply and not only between iterations.
    pub growth: usize,
    /// Walks over the e-graph.
    pub iterations: usize,
    /// New results of one rule in one iteration, as a multiple of the graph's own nodes.
    pub matches: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { growth: 16, iterations: 12, matches: 4 }
    }
}
