//! A group of ops as the NPU would run it, before anything is tiled: what saturation and fusion are weighed by on these targets.
//! Coarser than [`super::account`], which counts a finished kernel, and from the same numbers.

use beiming_ir::target::npu::Npu;
use beiming_ir::types::DType;

/// Share of the cube units' peak that products reach: the vendor's best 8192 x 8192 x 8192 reaches three quarters.
const CUBE_EFFICIENCY: f64 = 0.75;

/// Seconds it takes to move `bytes` between global memory and the cores, of a working set of `footprint` bytes: from L2 what fits
/// there.
pub fn traffic(npu: &Npu, bytes: f64, footprint: f64) -> f64 {
    let (read, _) = npu.core.gm_vector;
    let memory = npu.stream_bytes_per_cycle();
    let cores = f64::from(npu.vector_cores.max(npu.cube_cores).max(1)) * read;
    let rate = match npu.l2_tbps {
        Some(tbps) if footprint <= npu.l2 as f64 => (tbps * 1e6 / npu.clock_mhz).min(cores),
        _ => memory.min(cores),
    };
    npu.us(bytes / rate) * 1e-6
}

/// Seconds of products on all cube cores. A type that the cube units lack is multiplied by the vector cores.
pub fn products(npu: &Npu, operand: DType, flops: f64) -> f64 {
    match npu.cube_flops(operand) {
        Some(peak) => flops / (peak * CUBE_EFFICIENCY),
        None => vector(npu, operand, flops / 2.0, 0.0),
    }
}

/// Seconds of `elements` instructions at the full rate on all vector cores, and of `slow` ones at that of exponentials.
pub fn vector(npu: &Npu, dtype: DType, elements: f64, slow: f64) -> f64 {
    let cores = f64::from(npu.vector_cores.max(1));
    let simple = npu.core.vector.simple_16 * 2.0 / dtype.size().max(2) as f64;
    npu.us((elements / simple + slow / npu.core.vector.slow) / cores) * 1e-6
}
