//! Long work runs in a thread of its own; the calling thread waits, shows progress, and hears Ctrl-C.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use beiming::cli::diagnostic::Diagnostic;
use beiming::cli::failure::{Exit, Failure};
use beiming::driver::{CompileError, Next, Product, STAGES, Watch};
use pyo3::prelude::*;

use crate::{error, failure};

/// Where the work is.
#[derive(Default)]
pub struct State {
    /// Stage, kernels written, kernels in all.
    at: Mutex<(&'static str, usize, usize)>,
    /// Whether it is to stop.
    pub cancelled: AtomicBool,
}

impl State {
    fn next(&self) -> Next {
        if self.cancelled.load(Ordering::Relaxed) { Next::Stop } else { Next::Continue }
    }

    fn set(&self, at: (&'static str, usize, usize)) {
        *self.at.lock().unwrap_or_else(|e| e.into_inner()) = at;
    }
}

/// Follows a compilation.
pub struct Watcher(pub Arc<State>);

impl Watch for Watcher {
    fn begin(&mut self, stage: &'static str) {
        self.0.set((stage, 0, 0));
    }

    fn product(&mut self, _: Product<'_>) -> Result<Next, CompileError> {
        Ok(self.0.next())
    }

    fn kernels(&mut self, done: usize, total: usize) -> Next {
        self.0.set(("emit", done, total));
        self.0.next()
    }
}

/// Threads that were told to stop and have not ended yet.
static STOPPING: Mutex<Vec<JoinHandle<()>>> = Mutex::new(vec![]);

/// Does `f`, which works on the model called `shown`. `progress` is called with stage, number of the stage, number of stages,
/// kernels written, kernels in all.
///
/// # Errors
/// Failures and panics of `f` as exceptions, `KeyboardInterrupt`, and what `progress` raises.
pub fn run<T: Send + 'static>(
    py: Python<'_>,
    shown: PathBuf,
    progress: Option<&Bound<'_, PyAny>>,
    f: impl FnOnce(&Arc<State>) -> Result<T, Failure> + Send + 'static,
) -> PyResult<T> {
    let state = Arc::new(State::default());
    let (send, done) = channel();
    let work = {
        let state = state.clone();
        move || {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| f(&state)));
            // Nobody listens where the caller was interrupted.
            let _ = send.send(result.unwrap_or_else(|panic| Err(panicked(&shown, panic.as_ref()))));
        }
    };
    // LLVM and the saturation recurse deeper than a thread's usual 2 MiB.
    let thread = std::thread::Builder::new().name("beiming-compile".into()).stack_size(64 << 20).spawn(work)?;
    match wait(py, done, &state, progress) {
        Ok(outcome) => {
            // It has sent its last word.
            let _ = thread.join();
            outcome.map_err(|f| failure::raise(py, &f))
        }
        Err(e) => {
            state.cancelled.store(true, Ordering::Relaxed);
            STOPPING.lock().unwrap_or_else(|e| e.into_inner()).push(thread);
            Err(e)
        }
    }
}

/// Waits for compilations that were interrupted: LLVM must not be taken down under a thread that uses it.
#[pyfunction]
pub fn finish(py: Python<'_>) {
    let threads = std::mem::take(&mut *STOPPING.lock().unwrap_or_else(|e| e.into_inner()));
    py.detach(|| threads.into_iter().for_each(|t| drop(t.join())));
}

/// Panics where a compilation would, for the tests. No wheel has it.
#[cfg(debug_assertions)]
#[pyfunction]
pub fn provoke_panic(py: Python<'_>, message: String) -> PyResult<()> {
    run(py, "a model".into(), None, move |_| -> Result<(), Failure> { std::panic::panic_any(message) })
}

/// Until the thread is done, Ctrl-C is pressed, or `progress` raises.
fn wait<T: Send>(py: Python<'_>, done: Receiver<T>, state: &State, progress: Option<&Bound<'_, PyAny>>) -> PyResult<T> {
    // Receivers are of one thread; the lock lets it be used where the interpreter's lock is not held.
    let done = Mutex::new(done);
    loop {
        let result = py.detach(|| {
            let done = done.lock().unwrap_or_else(|e| e.into_inner());
            done.recv_timeout(Duration::from_millis(50))
        });
        match result {
            Ok(outcome) => return Ok(outcome),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(error::plain(py, "CompilerBug", "the compiling thread ended without a word"));
            }
        }
        py.check_signals()?;
        if let Some(p) = progress {
            let (stage, kernels, total) = *state.at.lock().unwrap_or_else(|e| e.into_inner());
            let number = STAGES.iter().position(|s| *s == stage).unwrap_or(0);
            p.call1((stage, number, STAGES.len(), kernels, total))?;
        }
    }
}

/// A panic is a bug: with what it said, in a file.
fn panicked(model: &Path, panic: &(dyn std::any::Any + Send)) -> Failure {
    let text =
        panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    let mut d = Diagnostic::error("E9000", format!("internal error: {text}")).in_file(model);
    let path = std::env::temp_dir().join(format!("beiming-panic-{}.txt", std::process::id()));
    let report = format!("beiming {}\nmodel: {}\npanic: {text}\n", env!("CARGO_PKG_VERSION"), model.display());
    if std::fs::write(&path, report).is_ok() {
        d.dump = Some(path);
    }
    Failure::new(Exit::Internal, d.note("this is a bug in beiming; please report it with the model"))
}
