//! One kernel call: its grid split over threads.

use std::ffi::c_void;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::code::KernelFn;
use crate::cpu::FlushSubnormals;
use crate::error::Result;
use crate::pool::Pool;

/// Chunks for each thread. Several, so that a thread that was delayed leaves its share to the others; few, because each
/// starts the kernel anew.
const CHUNKS: i64 = 4;
/// Work worth waking another thread for, in nanoseconds of one thread: some times what waking costs.
const MIN_WORK_NS: i64 = 4000;
/// Arithmetic operations and bytes that one thread does in a nanosecond, roughly, on the machines we know.
const FLOPS_PER_NS: i64 = 16;
/// See [`FLOPS_PER_NS`].
const BYTES_PER_NS: i64 = 8;

/// A kernel with its arguments.
pub struct Call<'a> {
    /// Code.
    pub kernel: KernelFn,
    /// Buffers.
    pub params: &'a [*mut c_void],
    /// Dimension values.
    pub dims: &'a [i64],
    /// Number of grid points.
    pub grid: i64,
    /// Scratch of the first thread; that of the others follows, `stride` bytes apart.
    pub scratch: *mut u8,
    /// Bytes between two threads' scratch.
    pub stride: usize,
}

// SAFETY: the pointers are shared by the threads as the kernels' contract allows: grid points write to different elements, and
// scratch is not shared.
unsafe impl Sync for Call<'_> {}

/// How many threads a call is worth.
pub fn threads_for(grid: i64, flops: i64, bytes: i64, available: usize) -> usize {
    let ns = (flops / FLOPS_PER_NS).max(bytes / BYTES_PER_NS);
    let worth = (ns / MIN_WORK_NS).saturating_add(1).min(grid).max(1);
    usize::try_from(worth).unwrap_or(usize::MAX).min(available)
}

impl Call<'_> {
    /// Runs all grid points, on `threads` threads of the pool.
    ///
    /// # Safety
    /// The buffers must be as the kernel expects them for these dimension values, and the scratch large enough for all threads.
    pub unsafe fn run(&self, pool: Option<&mut Pool>, threads: usize) -> Result<()> {
        if self.grid <= 0 {
            return Ok(());
        }
        let Some(pool) = pool.filter(|_| threads > 1) else {
            let _mode = FlushSubnormals::new();
            // SAFETY: as required of the caller.
            unsafe { self.range(0, 0, self.grid) };
            return Ok(());
        };
        let parts = (threads as i64).saturating_mul(CHUNKS);
        let chunk = (self.grid / parts).saturating_add(i64::from(self.grid % parts != 0));
        let next = AtomicI64::new(0);
        let _mode = FlushSubnormals::new();
        pool.run(threads, &|thread| {
            loop {
                // Chunk numbers, not grid points: their sum cannot overflow.
                let begin = next.fetch_add(1, Ordering::Relaxed).saturating_mul(chunk);
                if begin >= self.grid {
                    return;
                }
                // SAFETY: as required of the caller; chunks do not overlap.
                unsafe { self.range(thread, begin, begin.saturating_add(chunk).min(self.grid)) };
            }
        })
    }

    /// # Safety
    /// As [`Call::run`].
    unsafe fn range(&self, thread: usize, begin: i64, end: i64) {
        let scratch = self.scratch.wrapping_add(thread * self.stride);
        // SAFETY: as required of the caller.
        unsafe { (self.kernel)(self.params.as_ptr(), self.dims.as_ptr(), begin, end, scratch) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Adds 1 to every point it is given, and a mark to its scratch.
    unsafe extern "C" fn count(params: *const *mut c_void, dims: *const i64, begin: i64, end: i64, scratch: *mut u8) {
        // SAFETY: called below with one buffer of `dims[0]` counters and some scratch.
        unsafe {
            let counters = (*params).cast::<u32>();
            assert!(begin < end && end <= *dims && FlushSubnormals::active());
            (begin..end).for_each(|i| *counters.add(i as usize) += 1);
            *scratch += 1;
        }
    }

    #[test]
    fn every_point_runs_once() {
        let mut pool = Pool::new(4).unwrap();
        for grid in [0i64, 1, 2, 3, 7, 16, 17, 100, 1001] {
            for threads in 1..=4 {
                let mut counters = vec![0u32; grid as usize];
                let mut scratch = vec![0u8; 4 * 64];
                let call = Call {
                    kernel: count,
                    params: &[counters.as_mut_ptr().cast()],
                    dims: &[grid],
                    grid,
                    scratch: scratch.as_mut_ptr(),
                    stride: 64,
                };
                // SAFETY: what `count` expects.
                unsafe { call.run(Some(&mut pool), threads) }.unwrap();
                assert!(counters.iter().all(|&c| c == 1), "{grid} points on {threads} threads");
                let calls: u32 = scratch.iter().map(|&s| u32::from(s)).sum();
                assert!(calls as i64 <= threads as i64 * CHUNKS && (calls > 0) == (grid > 0));
                assert!(!FlushSubnormals::active());
            }
        }
    }

    #[test]
    fn small_work_stays_on_one_thread() {
        assert_eq!(threads_for(100, 1000, 1000, 8), 1);
        assert_eq!(threads_for(1, 1 << 40, 0, 8), 1);
        assert_eq!(threads_for(100, 1 << 40, 0, 8), 8);
        assert_eq!(threads_for(3, 0, 1 << 40, 8), 3);
        assert_eq!(threads_for(i64::MAX, i64::MAX, i64::MAX, 8), 8);
        assert_eq!(threads_for(-5, -5, -5, 8), 1);
    }
}
