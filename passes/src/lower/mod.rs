//! Graph to program: every node becomes a kernel, the graph becomes a plan.
