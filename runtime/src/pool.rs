//! A small pool of threads that start together on one job, many thousand times a second.
//!
//! A worker that finds no job spins for some microseconds, the time between two kernels, and then sleeps. The thread that
//! calls `run` takes part as number 0. With one thread there is no pool and no synchronisation at all.

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread::{JoinHandle, Thread};

use crate::cpu::FlushSubnormals;
use crate::error::{Error, Result};

/// Turns of the waiting loop before a thread sleeps: about 20 to 80 microseconds.
const SPIN: u32 = 1000;

/// A job: called once by each thread that takes part, with the thread's number.
type Job = *const (dyn Fn(usize) + Sync);

struct Shared {
    /// Written by the caller while no worker has an open ticket, read by workers with one.
    job: UnsafeCell<Option<Job>>,
    /// Workers that have not finished the job.
    pending: AtomicUsize,
    /// A worker's part of the job panicked.
    panicked: AtomicBool,
    caller_sleeps: AtomicBool,
    /// The thread that waits; written like `job`.
    caller: UnsafeCell<Option<Thread>>,
    stop: AtomicBool,
    spin: u32,
}

// SAFETY: the two cells are written only by the caller of `run`, which has `&mut Pool`, and only while `pending` is zero;
// workers read them between taking a ticket (acquire) and lowering `pending` (release).
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

/// A worker's mailbox, on cache lines of its own.
#[repr(align(128))]
struct Ticket {
    /// Number of jobs handed to the worker so far.
    count: AtomicU32,
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
    /// A pool for jobs on up to `threads` threads, the caller's among them.
    pub fn new(threads: usize) -> Result<Pool> {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let shared = Arc::new(Shared {
            job: UnsafeCell::new(None),
            pending: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            caller_sleeps: AtomicBool::new(false),
            caller: UnsafeCell::new(None),
            stop: AtomicBool::new(false),
            // With more threads than cores, spinning would take the core from the thread that is waited for.
            spin: if threads <= cores { SPIN } else { 0 },
        });
        let mut pool = Pool { shared, workers: vec![] };
        for n in 1..threads {
            let ticket = Arc::new(Ticket { count: AtomicU32::new(0), sleeps: AtomicBool::new(false) });
            let (s, t) = (pool.shared.clone(), ticket.clone());
            let handle = std::thread::Builder::new()
                .name(format!("beiming-{n}"))
                .spawn(move || work(&s, &t, n))
                .map_err(|e| Error::Internal(format!("cannot start thread {n} of {threads}: {e}")))?;
            pool.workers.push(Worker { ticket, handle });
        }
        Ok(pool)
    }

    /// Number of threads, the caller's among them.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `job` with `0..threads` (at most [`Pool::threads`]) at the same time and returns when all calls have.
    pub fn run(&mut self, threads: usize, job: &(dyn Fn(usize) + Sync)) -> Result<()> {
        let helpers = &self.workers[..threads.clamp(1, self.threads()) - 1];
        // SAFETY: the lifetime is forgotten, but no worker touches the job after `pending` has reached zero, and this call
        // does not end before, not even by a panic.
        let forgotten = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(job) };
        // SAFETY: `pending` is zero: no worker reads the cells.
        unsafe {
            *self.shared.job.get() = Some(forgotten);
            *self.shared.caller.get() = Some(std::thread::current());
        }
        self.shared.panicked.store(false, Ordering::Relaxed);
        self.shared.pending.store(helpers.len(), Ordering::Relaxed);
        for w in helpers {
            w.ticket.hand_over(&w.handle);
        }
        let own = catch_unwind(AssertUnwindSafe(|| job(0)));
        let mut turns = 0;
        while self.shared.pending.load(Ordering::Acquire) != 0 {
            turns += 1;
            if turns < self.shared.spin {
                std::hint::spin_loop();
                continue;
            }
            self.shared.caller_sleeps.store(true, Ordering::SeqCst);
            if self.shared.pending.load(Ordering::SeqCst) != 0 {
                std::thread::park();
            }
            self.shared.caller_sleeps.store(false, Ordering::SeqCst);
        }
        if own.is_err() || self.shared.panicked.load(Ordering::Relaxed) {
            return Err(Error::Internal("a worker thread panicked".into()));
        }
        Ok(())
    }
}

impl Ticket {
    fn hand_over(&self, handle: &JoinHandle<()>) {
        // Sequentially consistent, and so is the sleeper's store of `sleeps` before it looks at `count` again: one of the two
        // sees the other.
        self.count.fetch_add(1, Ordering::SeqCst);
        if self.sleeps.load(Ordering::SeqCst) {
            handle.thread().unpark();
        }
    }

    /// Returns when the count differs from `seen`, with the count.
    fn wait(&self, seen: u32, spin: u32) -> u32 {
        for _ in 0..spin {
            let now = self.count.load(Ordering::Acquire);
            if now != seen {
                return now;
            }
            std::hint::spin_loop();
        }
        self.sleeps.store(true, Ordering::SeqCst);
        let now = loop {
            let now = self.count.load(Ordering::SeqCst);
            if now != seen {
                break now;
            }
            std::thread::park();
        };
        self.sleeps.store(false, Ordering::SeqCst);
        now
    }
}

fn work(shared: &Shared, ticket: &Ticket, number: usize) {
    // The thread runs nothing but kernels, so the mode stays for its life.
    let _mode = FlushSubnormals::new();
    let mut seen = 0;
    loop {
        seen = ticket.wait(seen, shared.spin);
        if shared.stop.load(Ordering::Acquire) {
            return;
        }
        // SAFETY: written before the ticket's count was raised; not written again before `pending` is lowered below.
        let (job, caller) = unsafe { (*shared.job.get(), (*shared.caller.get()).clone()) };
        if let Some(job) = job {
            // SAFETY: `run` keeps the job alive until `pending` is zero.
            let done = catch_unwind(AssertUnwindSafe(|| unsafe { (*job)(number) }));
            if done.is_err() {
                shared.panicked.store(true, Ordering::Relaxed);
            }
        }
        if shared.pending.fetch_sub(1, Ordering::SeqCst) == 1
            && shared.caller_sleeps.load(Ordering::SeqCst)
            && let Some(c) = caller
        {
            c.unpark();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for w in &self.workers {
            w.ticket.hand_over(&w.handle);
        }
        for w in self.workers.drain(..) {
            // A worker catches the panics of jobs; there is nothing else in it to report.
            let _ = w.handle.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn every_thread_runs_every_job_once() {
        for threads in [1, 2, 3, 7] {
            let mut pool = Pool::new(threads).unwrap();
            assert_eq!(pool.threads(), threads);
            for job in 0..300u64 {
                let want = 1 + job as usize % (threads + 1);
                let calls: Vec<AtomicU64> = (0..threads).map(|_| AtomicU64::new(0)).collect();
                pool.run(want, &|n| {
                    calls[n].fetch_add(job + 1, Ordering::Relaxed);
                })
                .unwrap();
                for (n, c) in calls.iter().enumerate() {
                    let expected = if n < want { job + 1 } else { 0 };
                    assert_eq!(c.load(Ordering::Relaxed), expected, "thread {n} of {threads}, job {job}");
                }
            }
        }
    }

    #[test]
    fn workers_wake_after_sleep_and_flush_subnormals() {
        let mut pool = Pool::new(3).unwrap();
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let flushing = AtomicUsize::new(0);
            pool.run(3, &|n| {
                // A slow part, so that the caller sleeps too.
                if n == 2 {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                flushing.fetch_add(usize::from(FlushSubnormals::active()), Ordering::Relaxed);
            })
            .unwrap();
            assert_eq!(flushing.load(Ordering::Relaxed), 2);
        }
    }

    #[test]
    fn panics_become_errors() {
        let mut pool = Pool::new(2).unwrap();
        for culprit in 0..2 {
            let r = pool.run(2, &|n| assert_ne!(n, culprit));
            assert!(matches!(r, Err(Error::Internal(_))));
        }
        assert!(pool.run(2, &|_| ()).is_ok());
    }
}
