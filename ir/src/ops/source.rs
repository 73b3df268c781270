//! Ops without arguments.
