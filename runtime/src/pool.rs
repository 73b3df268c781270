//! A small pool of threads that start together on one job, many thousand times a second.
//!
//! A worker that finds no job spins for some microseconds, the time between two kernels, and then sleeps. The thread that
//! calls `run` takes part as number 0; a worker that has not begun when it is done is no longer waited for, so a core that is
//! busy with other things costs its share and nothing more. With one thread there is no pool and no synchronisation at all.

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{JoinHandle, Thread};

use crate::cpu::SubnormalMode;
use crate::error::{Error, Result};

/// Turns of the waiting loop before a thread sleeps: about 20 to 80 microseconds.
const SPIN: u32 = 1000;

/// A job: called once by each thread that takes part, with the thread's number.
type Job = *const (dyn Fn(usize) + Sync);

struct Shared {
    /// Written by the caller while every worker is idle, read by workers that run.
    job: UnsafeCell<Option<Job>>,
    /// A worker's part of the job panicked.
    panicked: AtomicBool,
    caller_sleeps: AtomicBool,
    /// The thread that waits; written like `job`.
    caller: UnsafeCell<Option<Thread>>,
    spin: u32,
}

// SAFETY: the two cells are written only by the caller of `run`, which has `&mut Pool`, and only while every ticket is `IDLE`;
// workers read them between making their ticket `RUNNING` (acquire) and `IDLE` again (release).
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

/// Nothing to do.
const IDLE: u32 = 0;
/// The caller has a job; the worker may take it, the caller may take it back.
const OFFERED: u32 = 1;
/// The worker runs the job.
const RUNNING: u32 = 2;
/// The worker is to end.
const STOP: u32 = 3;

/// A worker's mailbox, on cache lines of its own.
#[repr(align(128))]
struct Ticket {
    state: AtomicU32,
    sleeps: AtomicBool,
}

struct Worker {
    ticket: Arc<Ticket>,
    handle: JoinHandle<()>,
}

/// The threads beside the caller.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
}

impl Pool {
    /// A pool for jobs on up to `threads` threads, the caller's among them. Its own threads take subnormal numbers as zero if
    /// `flush`.
    pub fn new(threads: usize, flush: bool) -> Result<Pool> {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let shared = Arc::new(Shared {
            job: UnsafeCell::new(None),
            panicked: AtomicBool::new(false),
            caller_sleeps: AtomicBool::new(false),
            caller: UnsafeCell::new(None),
            // With more threads than cores, spinning would take the core from the thread that is waited for.
            spin: if threads <= cores { SPIN } else { 0 },
        });
        let mut pool = Pool { shared, workers: vec![] };
        for n in 1..threads {
            let ticket = Arc::new(Ticket { state: AtomicU32::new(IDLE), sleeps: AtomicBool::new(false) });
            let (s, t) = (pool.shared.clone(), ticket.clone());
            let handle = std::thread::Builder::new()
                .name(format!("beiming-{n}"))
                .spawn(move || work(&s, &t, n, flush))
                .map_err(|e| Error::Internal(format!("cannot start thread {n} of {threads}: {e}")))?;
            pool.workers.push(Worker { ticket, handle });
        }
        Ok(pool)
    }

    /// Number of threads, the caller's among them.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `job(0)` here and `job(n)` on up to `threads - 1` workers at the same time, each at most once, and returns when all
    /// calls that were begun have ended. A worker that sleeps is woken only if `wake`. The job must be done when `job(0)` and
    /// any of the others have returned: it hands out its parts itself.
    pub fn run(&mut self, threads: usize, wake: bool, job: &(dyn Fn(usize) + Sync)) -> Result<()> {
        let helpers = &self.workers[..threads.clamp(1, self.threads()) - 1];
        // SAFETY: the lifetime is forgotten, but no worker touches the job unless its ticket is `RUNNING`, and this call does
        // not end before every ticket is `IDLE`, not even by a panic.
        let forgotten = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(job) };
        // SAFETY: every ticket is `IDLE`: no worker reads the cells.
        unsafe {
            *self.shared.job.get() = Some(forgotten);
            *self.shared.caller.get() = Some(std::thread::current());
        }
        self.shared.panicked.store(false, Ordering::Relaxed);
        for w in helpers {
            w.ticket.set(OFFERED, &w.handle, wake);
        }
        let own = catch_unwind(AssertUnwindSafe(|| job(0)));
        for w in helpers {
            // Taken back if not begun; else it ends soon.
            let begun = w.ticket.state.compare_exchange(OFFERED, IDLE, Ordering::Relaxed, Ordering::Relaxed).is_err();
            if begun {
                self.shared.wait_for(&w.ticket);
            }
        }
        if own.is_err() || self.shared.panicked.load(Ordering::Relaxed) {
            return Err(Error::Internal("a worker thread panicked".into()));
        }
        Ok(())
    }
}

impl Shared {
    /// Returns when the worker is idle.
    fn wait_for(&self, ticket: &Ticket) {
        for _ in 0..self.spin {
            if ticket.state.load(Ordering::Acquire) == IDLE {
                return;
            }
            std::hint::spin_loop();
        }
        // Sequentially consistent on both sides: either the worker sees that the caller sleeps, or the caller sees `IDLE`.
        self.caller_sleeps.store(true, Ordering::SeqCst);
        while ticket.state.load(Ordering::SeqCst) != IDLE {
            std::thread::park();
        }
        self.caller_sleeps.store(false, Ordering::SeqCst);
    }
}

impl Ticket {
    fn set(&self, state: u32, handle: &JoinHandle<()>, wake: bool) {
        // Sequentially consistent, and so is the sleeper's store of `sleeps` before it looks at `state` again: one of the two
        // sees the other.
        self.state.store(state, Ordering::SeqCst);
        if wake && self.sleeps.load(Ordering::SeqCst) {
            handle.thread().unpark();
        }
    }

    /// Returns when there is a job, which is then `RUNNING` (true), or when the worker is to end (false).
    fn take(&self, spin: u32) -> bool {
        let mut turns = 0;
        loop {
            match self.state.load(Ordering::SeqCst) {
                STOP => return false,
                OFFERED if self.claim() => return true,
                _ => {}
            }
            turns += 1;
            if turns < spin {
                std::hint::spin_loop();
                continue;
            }
            self.sleeps.store(true, Ordering::SeqCst);
            if matches!(self.state.load(Ordering::SeqCst), IDLE) {
                std::thread::park();
            }
            self.sleeps.store(false, Ordering::SeqCst);
        }
    }

    fn claim(&self) -> bool {
        self.state.compare_exchange(OFFERED, RUNNING, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }
}

fn work(shared: &Shared, ticket: &Ticket, number: usize, flush: bool) {
    // The thread runs nothing but kernels, so the mode stays for its life.
    let _mode = SubnormalMode::new(flush);
    while ticket.take(shared.spin) {
        // SAFETY: the ticket is `RUNNING`: the cells do not change before it is `IDLE`.
        let (job, caller) = unsafe { (*shared.job.get(), (*shared.caller.get()).clone()) };
        if let Some(job) = job {
            // SAFETY: `run` keeps the job alive until the ticket is `IDLE`.
            let done = catch_unwind(AssertUnwindSafe(|| unsafe { (*job)(number) }));
            if done.is_err() {
                shared.panicked.store(true, Ordering::Relaxed);
            }
        }
        ticket.state.store(IDLE, Ordering::SeqCst);
        if shared.caller_sleeps.load(Ordering::SeqCst)
            && let Some(c) = caller
        {
            c.unpark();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for w in &self.workers {
            w.ticket.set(STOP, &w.handle, true);
        }
        for w in self.workers.drain(..) {
            // A worker catches the panics of jobs; there is nothing else in it to report.
            let _ = w.handle.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, AtomicUsize};

    use super::*;

    /// A job of `parts` parts, handed out one by one.
    fn parts(pool: &mut Pool, threads: usize, wake: bool, parts: usize) -> Vec<u64> {
        let calls: Vec<AtomicU64> = (0..parts).map(|_| AtomicU64::new(0)).collect();
        let next = AtomicUsize::new(0);
        pool.run(threads, wake, &|_| {
            while let Some(c) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
                c.fetch_add(1, Ordering::Relaxed);
            }
        })
        .unwrap();
        calls.into_iter().map(AtomicU64::into_inner).collect()
    }

    #[test]
    fn every_part_is_done_once() {
        for threads in [1, 2, 3, 7] {
            let mut pool = Pool::new(threads, true).unwrap();
            assert_eq!(pool.threads(), threads);
            for job in 0..2000 {
                let done = parts(&mut pool, 1 + job % (threads + 1), job % 3 != 0, job % 50);
                assert!(done.iter().all(|&c| c == 1), "job {job} on {threads} threads: {done:?}");
            }
        }
    }

    #[test]
    fn workers_wake_after_sleep_and_flush_subnormals() {
        for flush in [true, false] {
            let mut pool = Pool::new(3, flush).unwrap();
            (0..3).for_each(|_| wakes(&mut pool, if flush { 2 } else { 0 }));
        }
    }

    /// Sends all three threads to sleep and wakes them; so many of them flush.
    fn wakes(pool: &mut Pool, flushing: usize) {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let (begun, flush) = (AtomicUsize::new(0), AtomicUsize::new(0));
        pool.run(3, true, &|n| {
            begun.fetch_add(1, Ordering::SeqCst);
            // Here until all are, so that none is taken back.
            while begun.load(Ordering::SeqCst) < 3 {
                std::thread::yield_now();
            }
            if n == 2 {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            flush.fetch_add(usize::from(SubnormalMode::flushes()), Ordering::Relaxed);
        })
        .unwrap();
        assert_eq!(flush.load(Ordering::Relaxed), flushing);
    }

    #[test]
    fn sleepers_are_left_alone_unless_woken() {
        let mut pool = Pool::new(2, true).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        let on_worker = AtomicUsize::new(0);
        pool.run(2, false, &|n| {
            on_worker.fetch_add(n, Ordering::Relaxed);
        })
        .unwrap();
        assert_eq!(on_worker.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn panics_become_errors() {
        let mut pool = Pool::new(2, true).unwrap();
        for culprit in 0..2 {
            let begun = AtomicUsize::new(0);
            let r = pool.run(2, true, &|n| {
                begun.fetch_add(1, Ordering::SeqCst);
                while begun.load(Ordering::SeqCst) < 2 {
                    std::thread::yield_now();
                }
                assert_ne!(n, culprit);
            });
            assert!(matches!(r, Err(Error::Internal(_))));
        }
        assert!(pool.run(2, true, &|_| ()).is_ok());
    }
}
