//! Ascend C for NPUs: [`emit`] spells kernels that `passes::npu` has made; a simulator runs what it spells. The simulator,
//! written from public documentation, executes Ascend C with real capacities and alignments, reports what the vendor's
//! checker would, finds accesses that nothing orders (a clock for every pipe of every core), and counts cycles with the
//! constants of `ir::target::npu`.
//!
//! **Calling a kernel.** `extern "C" __global__ __aicore__ void NAME(GM_ADDR p0, .., GM_ADDR dims)`: one address for every entry
//! of `Kernel::params`, in order, each buffer at least 32-byte aligned; `dims` is an array of `int64_t` in global memory, the
//! values of `Kernel::symbols` in order (not read where there are none, and may be null then). Grid points are dealt out to
//! however many cores the launch names: `min(points, cores)` is right, where cores are the vector cores of the chip for
//! `Unit::Vector` and its cube cores for `Unit::Cube` and `Unit::Mix`, the latter each with its two vector cores. The parameter
//! that is the workspace (`OnNpu::workspace`) needs no content and keeps none. A grid of zero points is not launched.
//!
//! The simulator is the C++ under `sim`: kernels include its `kernel_operator.h` instead of CANN's. No line of it has been held
//! against an NPU.

pub mod emit;
pub mod install;
pub mod project;
pub mod sim;
