//! Compiling. The work runs in a thread of its own; the calling thread waits, shows progress, and hears Ctrl-C.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use beiming::Options;
use beiming::cli::diagnostic::Diagnostic;
use beiming::cli::failure::{Exit, Failure};
use beiming::driver::{self, CompileError, Next, Product, STAGES, Summary, Watch};
use beiming::import::DimOverride;
use beiming::stage::{self, Kind};
use beiming::target::{CPU_TARGETS, Target};
use beiming_runtime::format::container;
use bytes::Bytes;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use crate::artifact::Artifact;
use crate::error;

/// Where the work is.
#[derive(Default)]
struct State {
    /// Stage, kernels written, kernels in all.
    at: Mutex<(&'static str, usize, usize)>,
    cancelled: AtomicBool,
}

impl State {
    fn next(&self) -> Next {
        if self.cancelled.load(Ordering::Relaxed) { Next::Stop } else { Next::Continue }
    }

    fn set(&self, at: (&'static str, usize, usize)) {
        *self.at.lock().unwrap_or_else(|e| e.into_inner()) = at;
    }
}

struct Watcher(Arc<State>);

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

/// The model, as it is given.
enum Source {
    File(PathBuf),
    Memory(Bytes, Option<PathBuf>),
}

/// What the thread gives back.
type Outcome = Result<(container::Artifact, Summary), Failure>;

/// Threads that were told to stop and have not ended yet.
static STOPPING: Mutex<Vec<JoinHandle<()>>> = Mutex::new(vec![]);

/// Compiles a model, a path or bytes. `folder` holds external data of a model in memory; `output` is where the artifact goes, or
/// it stays in memory. `progress` is called with stage, number of the stage, number of stages, kernels written, kernels in all.
#[pyfunction]
#[pyo3(signature = (model, name, folder, target, options, output, progress))]
#[allow(clippy::too_many_arguments)]
pub fn compile<'py>(
    py: Python<'py>,
    model: &Bound<'py, PyAny>,
    name: String,
    folder: Option<PathBuf>,
    target: &str,
    options: &Bound<'py, PyDict>,
    output: Option<PathBuf>,
    progress: Option<Bound<'py, PyAny>>,
) -> PyResult<(Artifact, String)> {
    let source = if model.is_instance_of::<PyBytes>() {
        Source::Memory(Bytes::from_owner(model.extract::<PyBackedBytes>()?), folder)
    } else {
        Source::File(model.extract()?)
    };
    let Some(mut target) = Target::by_name(target) else {
        let message = format!("unknown target `{target}`; targets are: {}", CPU_TARGETS.join(", "));
        return Err(error::plain(py, "TargetError", &message));
    };
    let options = read_options(options, &mut target)?;
    let state = Arc::new(State::default());
    let (send, done) = channel::<Outcome>();
    let work = {
        let state = state.clone();
        move || {
            let shown = match &source {
                Source::File(p) => p.clone(),
                Source::Memory(..) => PathBuf::from(&name),
            };
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                run(source, &name, &target, &options, output.as_deref(), &mut Watcher(state))
            }));
            // Nobody listens where the caller was interrupted.
            let _ = send.send(result.unwrap_or_else(|panic| Err(panicked(&shown, panic.as_ref()))));
        }
    };
    // LLVM and the saturation recurse deeper than a thread's usual 2 MiB.
    let thread = std::thread::Builder::new().name("beiming-compile".into()).stack_size(64 << 20).spawn(work)?;
    match wait(py, done, &state, progress.as_ref()) {
        Ok(outcome) => {
            // It has sent its last word.
            let _ = thread.join();
            let (artifact, summary) = outcome.map_err(|f| failed(py, &f))?;
            Ok((Artifact { artifact: Arc::new(artifact) }, summary.to_json().to_string()))
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

/// Names of the targets.
#[pyfunction]
pub fn targets() -> Vec<&'static str> {
    CPU_TARGETS.to_vec()
}

/// Until the thread is done, Ctrl-C is pressed, or `progress` raises.
fn wait(py: Python<'_>, done: Receiver<Outcome>, state: &State, progress: Option<&Bound<'_, PyAny>>) -> PyResult<Outcome> {
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

fn run(source: Source, name: &str, target: &Target, options: &Options, output: Option<&Path>, watch: &mut Watcher) -> Outcome {
    let shown = match &source {
        Source::File(p) => p.clone(),
        Source::Memory(..) => PathBuf::from(name),
    };
    let io = |what: &str, path: &Path, e: &std::io::Error| Failure::io(what, path, e);
    let from = || match source {
        Source::File(path) => match stage::kind(&path) {
            Ok(Kind::Text) => stage::read(&path).map_err(|e| Failure::stage(&path, &e)),
            _ => driver::read(&path, options).map_err(|e| Failure::import(&path, &e)),
        },
        Source::Memory(bytes, folder) => {
            driver::read_bytes(bytes, name, folder.as_deref(), options).map_err(|e| Failure::import(Path::new(name), &e))
        }
    };
    watch.begin("read");
    let staged = from()?;
    // The artifact is mapped, not held: weights may be larger than memory. A temporary file has no name once it is open.
    let scratch;
    let path = match output {
        Some(p) => p,
        None => {
            let dir = tempfile::Builder::new().prefix("beiming-").tempdir();
            scratch = dir.map_err(|e| io("make a temporary folder", &std::env::temp_dir(), &e))?;
            &scratch.path().join("model.bmg")
        }
    };
    let summary = driver::resume(|| Ok(staged), target, options, path, watch).map_err(|e| Failure::compile(&shown, e))?;
    let artifact = container::Artifact::open(path).map_err(|e| Failure::runtime(path, &e))?;
    Ok((artifact, summary))
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

/// Options by name; see `beiming.compile`.
fn read_options(given: &Bound<'_, PyDict>, target: &mut Target) -> PyResult<Options> {
    let mut o = Options::default();
    for (key, value) in given.iter() {
        let key: String = key.extract()?;
        match key.as_str() {
            "shapes" => {
                for (name, dims) in value.cast::<PyDict>()?.iter() {
                    let dims: Vec<Bound<'_, PyAny>> = dims.extract()?;
                    let name: String = name.extract()?;
                    let dims = dims.iter().map(|d| extent(d, &name)?.parse().map_err(PyValueError::new_err));
                    o.import.shapes.insert(name.clone(), dims.collect::<PyResult<_>>()?);
                }
            }
            "dims" => {
                for (name, v) in value.cast::<PyDict>()?.iter() {
                    let name: String = name.extract()?;
                    let spec = match v.extract::<(i64, i64)>() {
                        Ok((lo, hi)) if 0 <= lo && lo <= hi => DimOverride::Range(lo, hi),
                        Ok((lo, hi)) => return Err(PyValueError::new_err(format!("dims[{name:?}]: ({lo}, {hi}) is no range"))),
                        Err(_) => {
                            let text = extent(&v, &name)?;
                            match text.contains("..") {
                                true => {
                                    o.import.add_dim(&format!("{name}={text}")).map_err(PyValueError::new_err)?;
                                    continue;
                                }
                                false => DimOverride::Is(text.parse().map_err(PyValueError::new_err)?),
                            }
                        }
                    };
                    o.import.dims.insert(name, spec);
                }
            }
            "values" => {
                for (name, v) in value.cast::<PyDict>()?.iter() {
                    // Numbers in row-major order, or one for all.
                    let flat = v.py().import("numpy")?.call_method1("ravel", (&v,))?.call_method1("astype", ("float64",))?;
                    o.import.values.insert(name.extract()?, flat.call_method0("tolist")?.extract()?);
                }
            }
            "exact" => o.optimize.reassociate = !value.extract::<bool>()?,
            "opt_level" => {
                let level: u8 = value.extract()?;
                if level > 3 {
                    return Err(PyValueError::new_err("opt_level is 0 to 3"));
                }
                target.opt_level = level;
                o.optimize.fuse = level != 0;
            }
            "reuse_memory" => o.lower.reuse = value.extract()?,
            "threads" => o.emit.threads = value.extract()?,
            "allow_external_links" => o.import.allow_external_links = value.extract()?,
            _ => return Err(PyTypeError::new_err(format!("there is no option `{key}`"))),
        }
    }
    Ok(o)
}

/// An extent as text: a number that is not negative, a symbol, or an expression.
fn extent(v: &Bound<'_, PyAny>, name: &str) -> PyResult<String> {
    if v.is_instance_of::<PyString>() {
        return v.extract();
    }
    let n: i64 = v.extract()?;
    if n < 0 {
        return Err(PyValueError::new_err(format!("`{name}`: the extent {n} is negative")));
    }
    Ok(n.to_string())
}

/// A failure as an exception of its class, with the diagnostics as data.
fn failed(py: Python<'_>, f: &Failure) -> PyErr {
    make_exception(py, f).unwrap_or_else(|e| e)
}

fn make_exception(py: Python<'_>, f: &Failure) -> PyResult<PyErr> {
    let first = f.diagnostics.first();
    let code = first.map_or("E9000", |d| d.code);
    let text: Vec<String> = f.diagnostics.iter().map(|d| anstream::adapter::strip_str(&d.render()).to_string()).collect();
    let data = PyDict::new(py);
    data.set_item("code", code)?;
    let json: Vec<String> = f.diagnostics.iter().map(Diagnostic::json).collect();
    let loads = py.import("json")?.getattr("loads")?;
    data.set_item("diagnostics", loads.call1((format!("[{}]", json.join(",")),))?)?;
    let unsupported = |d: &&Diagnostic| matches!(d.code, "E0002" | "E0601" | "E0602" | "E0604");
    let class = match f.exit {
        _ if f.diagnostics.iter().any(|d| unsupported(&d)) => {
            let ops = PyList::empty(py);
            for p in f.diagnostics.iter().filter(unsupported).flat_map(|d| &d.places) {
                let op = PyDict::new(py);
                for (key, value) in [("op", &p.op), ("node", &p.node), ("place", &p.at), ("why", &p.why)] {
                    op.set_item(key, value)?;
                }
                ops.append(op)?;
            }
            data.set_item("ops", ops)?;
            "UnsupportedOpsError"
        }
        Exit::Unsupported => "TargetError",
        Exit::BadModel => "ModelError",
        Exit::Usage => "OptionError",
        Exit::Internal => {
            data.set_item("dump", first.and_then(|d| d.dump.as_ref()))?;
            "CompilerBug"
        }
        _ => "BeimingError",
    };
    Ok(error::raise(py, class, text.join("\n").trim_end(), &data))
}
