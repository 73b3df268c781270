//! Kernels on the vector unit that stream through the unified buffer: copy a tile in, compute, copy a tile out.

use beiming_ir::target::npu::Npu;
use beiming_ir::types::DType;

use super::{Estimate, Pipes};

/// Vector instructions on one element, by how fast the unit does them.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Work {
    /// Additions, products, comparisons, selections, conversions.
    pub simple: f64,
    /// Exponentials, logarithms, roots, quotients.
    pub slow: f64,
    /// Reductions to one element for 32 bytes.
    pub reduce: f64,
}

impl Work {
    /// Cycles of one vector core for `elements` of `dtype`.
    pub fn cycles(&self, npu: &Npu, elements: f64, dtype: DType) -> f64 {
        let r = &npu.core.vector;
        let simple = r.simple_16 * 2.0 / dtype.size().max(2) as f64;
        elements * (self.simple / simple + self.slow / r.slow + self.reduce / r.reduce_32)
    }
}

/// An elementwise or row-wise pass over global memory.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Stream {
    /// Elements of the result.
    pub elements: f64,
    /// Type that is computed in.
    pub dtype: DType,
    /// Bytes read from global memory.
    pub read: f64,
    /// Bytes written to it.
    pub written: f64,
    /// Arithmetic on each element.
    pub work: Work,
    /// Vector cores used.
    pub cores: usize,
    /// Two buffers for every operand.
    pub double_buffer: bool,
    /// Reads pass L2 by, so that what is written stays in it.
    pub bypass_l2: bool,
}

/// Microseconds of a pass.
pub fn estimate(npu: &Npu, s: &Stream) -> Estimate {
    let cores = s.cores.clamp(1, npu.vector_cores as usize) as f64;
    let (read_rate, write_rate) = npu.core.gm_vector;
    let pipes = Pipes {
        mte2: s.read / cores / read_rate,
        mte3: s.written / cores / write_rate,
        vector: s.work.cycles(npu, s.elements / cores, s.dtype),
        ..Pipes::default()
    };
    let core = if s.double_buffer {
        pipes.overlapped()
    } else {
        let sum = pipes.mte2 + pipes.mte3 + pipes.vector;
        (sum, pipes.overlapped().1)
    };
    let memory = if s.bypass_l2 { s.read + (s.written - npu.l2 as f64).max(0.0) } else { s.read + s.written };
    Estimate::of(npu, pipes, core, 1.0, memory, s.read + s.written)
}
