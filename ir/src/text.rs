//! Text form of graphs, kernels and plans: prints, and parses back to the same IR.
