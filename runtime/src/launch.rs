//! One kernel call: its grid split over threads.

use std::ffi::c_void;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::code::KernelFn;
use crate::cpu::SubnormalMode;
use crate::error::Result;
use crate::pool::Pool;

/// Chunks for each thread. Several, so that a thread that was delayed leaves its share to the others; few, because each
/// starts the kernel anew.
const CHUNKS: i64 = 4;
/// Work for each thread that is worth the synchronisation, in nanoseconds of one thread.
const MIN_WORK_NS: i64 = 8000;
/// Work that is worth waking a sleeping thread for: some times what waking costs.
const WAKE_WORK_NS: i64 = 40_000;
/// Arithmetic operations and bytes that one thread does in a nanosecond, roughly, on the machines we know.
const FLOPS_PER_NS: i64 = 32;
/// See [`FLOPS_PER_NS`].
const BYTES_PER_NS: i64 = 12;

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
    /// Subnormal numbers are taken as zero; the pool's threads must do the same.
    pub flush: bool,
}

// SAFETY: the pointers are shared by the threads as the kernels' contract allows: grid points write to different elements, and
// scratch is not shared.
unsafe impl Sync for Call<'_> {}

/// How a call is shared out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    /// Threads it is worth, the caller's among them.
    pub threads: usize,
    /// Whether sleeping threads are woken for it.
    pub wake: bool,
}

/// How many threads a call is worth, by the compiler's count of its work.
pub fn share(grid: i64, flops: i64, bytes: i64, available: usize) -> Share {
    let ns = (flops / FLOPS_PER_NS).max(bytes / BYTES_PER_NS);
    let worth = (ns / MIN_WORK_NS).min(grid).max(1);
    Share { threads: usize::try_from(worth).unwrap_or(usize::MAX).min(available), wake: ns >= WAKE_WORK_NS }
}

impl Call<'_> {
    /// Runs all grid points, shared out over the pool.
    ///
    /// # Safety
    /// The buffers must be as the kernel expects them for these dimension values, and the scratch large enough for all threads.
    pub unsafe fn run(&self, pool: Option<&mut Pool>, share: Share) -> Result<()> {
        if self.grid <= 0 {
            return Ok(());
        }
        let _mode = SubnormalMode::new(self.flush);
        let Some(pool) = pool.filter(|_| share.threads > 1) else {
            // SAFETY: as required of the caller.
            unsafe { self.range(0, 0, self.grid) };
            return Ok(());
        };
        let parts = (share.threads as i64).saturating_mul(CHUNKS);
        let chunk = (self.grid / parts).saturating_add(i64::from(self.grid % parts != 0));
        let next = AtomicI64::new(0);
        pool.run(share.threads, share.wake, &|thread| {
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
            assert!(begin < end && end <= *dims && SubnormalMode::flushes());
            (begin..end).for_each(|i| *counters.add(i as usize) += 1);
            *scratch += 1;
        }
    }

    #[test]
    fn every_point_runs_once() {
        let mut pool = Pool::new(4, true).unwrap();
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
                    flush: true,
                };
                // SAFETY: what `count` expects.
                unsafe { call.run(Some(&mut pool), Share { threads, wake: true }) }.unwrap();
                assert!(counters.iter().all(|&c| c == 1), "{grid} points on {threads} threads");
                let calls: u32 = scratch.iter().map(|&s| u32::from(s)).sum();
                assert!(calls as i64 <= threads as i64 * CHUNKS && (calls > 0) == (grid > 0));
                assert!(!SubnormalMode::flushes());
            }
        }
    }

    #[test]
    fn small_work_stays_on_one_thread() {
        let threads = |grid, flops, bytes| share(grid, flops, bytes, 8).threads;
        assert_eq!(threads(100, 1000, 1000), 1);
        assert_eq!(threads(1, 1 << 40, 0), 1);
        assert_eq!(threads(100, 1 << 40, 0), 8);
        assert_eq!(threads(3, 0, 1 << 40), 3);
        assert_eq!(threads(i64::MAX, i64::MAX, i64::MAX), 8);
        assert_eq!(threads(-5, -5, -5), 1);
        assert_eq!(share(100, 20_000 * FLOPS_PER_NS, 0, 8), Share { threads: 2, wake: false });
        assert!(share(100, 100_000 * FLOPS_PER_NS, 0, 8).wake);
    }
}
