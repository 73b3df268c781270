//! Cases as data, real models, snapshots and conformance.
