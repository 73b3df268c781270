//! Ascend C for NPUs. Nothing is emitted yet; what is here is what emitted kernels will be run on: a simulator of the cores,
//! written from public documentation, that executes Ascend C with real capacities and alignments, reports what the vendor's
//! checker would, finds accesses that nothing orders (a clock for every pipe of every core), and counts cycles with the
//! constants of `ir::target::npu`.
//!
//! The simulator is the C++ under `sim`: kernels include its `kernel_operator.h` instead of CANN's. No line of it has been held
//! against an NPU.

pub mod sim;
