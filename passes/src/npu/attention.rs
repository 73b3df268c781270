//! Fused attention: scores, running softmax and the weighted sum in one kernel, a block of queries on one cube core and its
//! vector cores. Where accumulators cannot go to the unified buffer, scores and weights pass through L2.

use beiming_ir::target::npu::Npu;
use beiming_ir::types::DType;

use super::streaming::Work;
use super::{Estimate, Pipes};

/// An attention without mask: `heads` times `[queries, width] x [width, keys]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attention {
    /// Heads, over the whole batch.
    pub heads: usize,
    /// Queries.
    pub queries: usize,
    /// Keys.
    pub keys: usize,
    /// Elements of a head.
    pub width: usize,
    /// Queries a block holds.
    pub block: usize,
}

/// Scale, running maximum, difference, exponential, running sum, conversion of a score; on f32.
const SOFTMAX: Work = Work { simple: 4.0, slow: 1.0, reduce: 2.0 };

/// Microseconds.
pub fn estimate(npu: &Npu, a: &Attention) -> Option<Estimate> {
    let mode = npu.core.cube_mode(DType::F16)?;
    let blocks = a.heads * a.queries.div_ceil(a.block);
    let cores = blocks.min(npu.cube_cores as usize).max(1);
    let busiest = blocks.div_ceil(cores) as f64;
    let scores = (a.block * a.keys) as f64;
    let per_core = npu.vector_cores as f64 / npu.cube_cores as f64;
    let products = 2.0 * scores * a.width as f64 / (256.0 * f64::from(mode.k_per_cycle));
    // Both products read one operand of `keys x width` through L1.
    let operands = 2.0 * (a.keys * a.width * 2) as f64;
    let through_l2 = if npu.core.l0c_to_ub { 0.0 } else { scores * (4.0 + 2.0) };
    let pipes = Pipes {
        mte2: busiest * (operands + through_l2 / 3.0) / npu.core.gm_to_l1_streaming,
        mte1: busiest * (operands / npu.core.l1_to_l0b + scores * 2.0 / npu.core.l1_to_l0a),
        cube: busiest * products,
        vector: busiest * SOFTMAX.cycles(npu, scores / per_core, DType::F32),
        fixpipe: busiest * through_l2 * 2.0 / 3.0 / npu.core.l0c_to_gm,
        ..Pipes::default()
    };
    let balance = blocks as f64 / (busiest * cores as f64);
    let io = (a.heads * (2 * a.queries + 2 * a.keys) * a.width * 2) as f64;
    // Every score is written and read once as f32 and once as f16.
    let l2 = blocks as f64 * (2.0 * through_l2 + operands);
    Some(Estimate::of(npu, pipes, pipes.overlapped(), balance, io, l2))
}
