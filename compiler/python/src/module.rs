//! An opened artifact that runs. Any number of threads may call one module: each call takes a session (memory and threads) that
//! no other call has, and makes one where all are taken.

use std::sync::{Arc, Mutex, MutexGuard};

use beiming_runtime::{self as rt, Options, Output, Session, StepTime, TensorView};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::array::{Array, Framework};
use crate::{dtype, error, tensor};

/// A loaded model that can be called.
#[pyclass(frozen, subclass, module = "beiming")]
pub struct Module {
    module: Arc<rt::Module>,
    options: Options,
    /// Sessions that no call has now.
    idle: Mutex<Idle>,
    /// Names of the inputs and outputs, as Python's own strings.
    input_names: Vec<Py<PyString>>,
    output_names: Vec<Py<PyString>>,
}

/// Sessions, and the process whose threads are theirs.
#[derive(Default)]
struct Idle {
    process: u32,
    sessions: Vec<Session>,
}

/// Time of one step: names, kernel, calls, nanoseconds, operations, bytes.
type Step = (String, String, u64, u64, u64, u64);

impl Module {
    /// Of an artifact that is open.
    pub fn of(py: Python<'_>, module: rt::Module, options: Options) -> PyResult<Module> {
        let names = |ports: &[rt::PortInfo]| ports.iter().map(|p| PyString::intern(py, &p.name).unbind()).collect();
        let (input_names, output_names) = (names(module.inputs()), names(module.outputs()));
        let module = Module { module: Arc::new(module), options, idle: Mutex::default(), input_names, output_names };
        // What a session needs (memory, threads) is wanted now, not at the first call.
        let first = module.session(py, options)?;
        module.give_back(first);
        Ok(module)
    }

    fn session(&self, py: Python<'_>, options: Options) -> PyResult<Session> {
        Session::new(&self.module, options).map_err(|e| error::runtime(py, &e, None))
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        // A thread that panicked while it held the lock left a list that is whole.
        let mut idle = self.idle.lock().unwrap_or_else(|e| e.into_inner());
        let process = std::process::id();
        if idle.process != process {
            // After a fork the threads of these sessions are the parent's: to end them would wait for ever.
            std::mem::take(&mut idle.sessions).into_iter().for_each(std::mem::forget);
            idle.process = process;
        }
        idle
    }

    fn take(&self, py: Python<'_>) -> PyResult<Session> {
        let idle = self.idle().sessions.pop();
        idle.map_or_else(|| self.session(py, self.options), Ok)
    }

    fn give_back(&self, session: Session) {
        self.idle().sessions.push(session);
    }

    /// The arrays in the model's order, and the framework of the first.
    fn order<'py>(
        &self,
        py: Python<'py>,
        positional: &[Bound<'py, PyAny>],
        named: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<(Vec<Array<'py>>, Framework)> {
        let ports = self.module.inputs();
        let count = positional.len() + named.map_or(0, |n| n.len());
        if positional.len() > ports.len() {
            return Err(PyTypeError::new_err(format!("the model takes {} inputs, {} are given", ports.len(), positional.len())));
        }
        let mut arrays = Vec::with_capacity(ports.len());
        let mut framework = Framework::Numpy;
        for (i, (port, name)) in ports.iter().zip(&self.input_names).enumerate() {
            let by_name = match named {
                Some(n) => n.get_item(name)?,
                None => None,
            };
            let given = match (positional.get(i), by_name) {
                (Some(_), Some(_)) => return Err(error::input(py, &port.name, "given by position and by name")),
                (Some(p), None) => p.clone(),
                (None, Some(n)) => n,
                (None, None) => {
                    let what = format!("missing; expected {} of shape [{}]", dtype::name(port.dtype), port.dims.join(", "));
                    return Err(error::input(py, &port.name, &what));
                }
            };
            let (array, f) = Array::input(&given, &port.name, port.dtype)?;
            if framework == Framework::Numpy {
                framework = f;
            }
            arrays.push(array);
        }
        if count != ports.len() {
            for name in named.into_iter().flat_map(|n| n.keys()) {
                let name: String = name.extract()?;
                if !ports.iter().any(|p| p.name == name) {
                    let has: Vec<&str> = ports.iter().map(|p| p.name.as_str()).collect();
                    let what = format!("the model has no input of this name; it has: {}", has.join(", "));
                    return Err(error::input(py, &name, &what));
                }
            }
        }
        Ok((arrays, framework))
    }

    /// One run, without the interpreter's lock.
    fn execute(&self, py: Python<'_>, session: &mut Session, arrays: &[Array<'_>], out: &mut [Output<'_>]) -> PyResult<()> {
        let ports = self.module.inputs();
        let views: Vec<(&str, TensorView<'_>)> = ports.iter().zip(arrays).map(|(p, a)| (p.name.as_str(), a.view())).collect();
        py.detach(|| session.run_into(&views, out)).map_err(|e| error::runtime(py, &e, None))
    }

    /// Runs and hands out fresh results.
    fn run_fresh<'py>(
        &self,
        py: Python<'py>,
        positional: &[Bound<'py, PyAny>],
        named: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let (arrays, framework) = self.order(py, positional, named)?;
        let mut out: Vec<rt::Tensor> = self.output_names.iter().map(|_| rt::Tensor::new()).collect();
        let mut session = self.take(py)?;
        let result = self.execute(py, &mut session, &arrays, &mut out);
        self.give_back(session);
        result?;
        out.into_iter().map(|t| tensor::export(py, t, framework)).collect()
    }

    /// Runs into the caller's arrays.
    fn run_into<'py>(
        &self,
        py: Python<'py>,
        positional: &[Bound<'py, PyAny>],
        named: Option<&Bound<'py, PyDict>>,
        into: &[Bound<'py, PyAny>],
    ) -> PyResult<()> {
        let (arrays, _) = self.order(py, positional, named)?;
        let ports = self.module.outputs();
        let fail = |port: &rt::PortInfo, what: &str| {
            let data = PyDict::new(py);
            let _ = data.set_item("output", &port.name);
            error::raise(py, "ShapeError", &format!("output `{}`: {what}", port.name), &data)
        };
        let mut places: Vec<Array<'py>> = Vec::with_capacity(ports.len());
        for (port, given) in ports.iter().zip(into) {
            let Some(a) = Array::output(given)? else {
                return Err(fail(port, "the memory given must be a dense row-major array"));
            };
            let shape = a.shape();
            let fits = shape.len() == port.shape.len() && shape.iter().zip(&port.shape).all(|(a, p)| p.is_none_or(|p| *a == p));
            if a.dtype != port.dtype || !fits {
                let (want, got) = (dtype::name(port.dtype), dtype::name(a.dtype));
                let what = format!("the result is {want} [{}], the array given is {got} {shape:?}", port.dims.join(", "));
                return Err(fail(port, &what));
            }
            let (begin, end) = a.span();
            let overlaps = |o: &Array<'_>| begin < o.span().1 && o.span().0 < end;
            if places.iter().any(overlaps) || arrays.iter().any(overlaps) {
                return Err(fail(port, "its memory is also another output's or an input's"));
            }
            places.push(a);
        }
        let mut out = Vec::with_capacity(ports.len());
        for (port, place) in ports.iter().zip(&places) {
            // SAFETY: compared with all others above; the arrays are not touched until the run is over.
            let memory = unsafe { place.memory() }.ok_or_else(|| fail(port, "the array given is read-only"))?;
            out.push(Output::into_memory(memory));
        }
        let mut session = self.take(py)?;
        let result = self.execute(py, &mut session, &arrays, &mut out);
        self.give_back(session);
        result?;
        for ((port, place), o) in ports.iter().zip(&places).zip(&out) {
            if place.shape() != o.shape() {
                return Err(fail(port, &format!("the result has shape {:?}, the array given {:?}", o.shape(), place.shape())));
            }
        }
        Ok(())
    }
}

#[pymethods]
impl Module {
    /// Opens an artifact: the path of a file, or its bytes.
    #[new]
    #[pyo3(signature = (artifact, *, threads = 0, poison = false))]
    fn new(py: Python<'_>, artifact: &Bound<'_, PyAny>, threads: usize, poison: bool) -> PyResult<Module> {
        let options = Options { threads, poison, profile: false };
        if let Ok(bytes) = artifact.cast::<PyBytes>() {
            let bytes = bytes.as_bytes();
            let module = py.detach(|| rt::Module::from_bytes(bytes)).map_err(|e| error::runtime(py, &e, None))?;
            return Module::of(py, module, options);
        }
        if let Ok(artifact) = artifact.cast::<crate::artifact::Artifact>() {
            return artifact.get().load(py, options);
        }
        let path: std::path::PathBuf = artifact.extract()?;
        let module = py.detach(|| rt::Module::open(&path));
        Module::of(py, module.map_err(|e| error::runtime(py, &e, path.to_str()))?, options)
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let positional: Vec<Bound<'py, PyAny>> = args.iter().collect();
        let mut results = self.run_fresh(py, &positional, kwargs)?;
        match results.len() {
            1 => Ok(results.remove(0)),
            _ => Ok(PyTuple::new(py, results)?.into_any()),
        }
    }

    /// Runs on inputs by name and returns the results by name.
    fn run<'py>(&self, py: Python<'py>, inputs: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyDict>> {
        let results = self.run_fresh(py, &[], Some(inputs))?;
        let named = PyDict::new(py);
        for (name, r) in self.output_names.iter().zip(results) {
            named.set_item(name, r)?;
        }
        Ok(named)
    }

    /// Runs on inputs by name and returns the results as a list, in the order of `names` or the model's.
    #[pyo3(signature = (names, inputs))]
    fn run_list<'py>(
        &self,
        py: Python<'py>,
        names: Option<Vec<String>>,
        inputs: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyList>> {
        let wanted = match names {
            None => None,
            Some(names) => {
                let at = |n: &String| self.module.output(n).map_err(|e| error::plain(py, "InputError", &e.to_string()));
                Some(names.iter().map(at).collect::<PyResult<Vec<usize>>>()?)
            }
        };
        let results = self.run_fresh(py, &[], Some(inputs))?;
        match wanted {
            None => PyList::new(py, results),
            Some(w) => PyList::new(py, w.into_iter().map(|i| &results[i])),
        }
    }

    /// Runs on inputs by name and writes the results to arrays by name.
    fn run_to<'py>(&self, py: Python<'py>, inputs: &Bound<'py, PyDict>, outputs: &Bound<'py, PyDict>) -> PyResult<()> {
        let mut into = Vec::with_capacity(self.output_names.len());
        for (name, port) in self.output_names.iter().zip(self.module.outputs()) {
            let Some(place) = outputs.get_item(name)? else {
                return Err(error::plain(py, "InputError", &format!("no array is given for the output `{}`", port.name)));
            };
            into.push(place);
        }
        if outputs.len() != into.len() {
            return Err(error::plain(py, "InputError", "an array is given for an output that the model does not have"));
        }
        self.run_into(py, &[], Some(inputs), &into)
    }

    /// Runs `runs` times on inputs by name in a session of its own that measures every step. For each run: nanoseconds of all
    /// of it, and of each step.
    fn measure<'py>(&self, py: Python<'py>, inputs: &Bound<'py, PyDict>, runs: usize) -> PyResult<Vec<(u64, Vec<Step>)>> {
        let (arrays, _) = self.order(py, &[], Some(inputs))?;
        let mut session = self.session(py, Options { profile: true, ..self.options })?;
        let mut out: Vec<rt::Tensor> = self.output_names.iter().map(|_| rt::Tensor::new()).collect();
        // The first run binds shapes and touches memory for the first time.
        self.execute(py, &mut session, &arrays, &mut out)?;
        let mut all = Vec::with_capacity(runs);
        for _ in 0..runs {
            session.reset_profile();
            let start = std::time::Instant::now();
            self.execute(py, &mut session, &arrays, &mut out)?;
            let ns = start.elapsed().as_nanos() as u64;
            let step = |s: &StepTime| (s.name.clone(), s.kernel.clone(), s.calls, s.ns, s.flops, s.bytes);
            all.push((ns, session.profile().iter().filter(|s| s.calls > 0).map(step).collect()));
            py.check_signals()?;
        }
        Ok(all)
    }

    /// For each input: name, element type, extents (numbers, or expressions over the model's symbols).
    fn input_ports(&self) -> Vec<(String, &'static str, Vec<String>)> {
        ports(self.module.inputs())
    }

    /// As `input_ports`, of the outputs.
    fn output_ports(&self) -> Vec<(String, &'static str, Vec<String>)> {
        ports(self.module.outputs())
    }

    /// Name of the model.
    #[getter]
    fn name(&self) -> &str {
        &self.module.manifest().model
    }

    /// Name of the target that it is compiled for.
    #[getter]
    fn target(&self) -> &str {
        &self.module.manifest().target.name
    }

    /// Threads of a call, the caller's among them.
    #[getter]
    fn threads(&self) -> usize {
        self.idle().sessions.first().map_or(self.options.threads, Session::threads)
    }

    /// Sessions that no call uses now: as many as calls have run at once.
    #[getter]
    fn idle_sessions(&self) -> usize {
        self.idle().sessions.len()
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err(
            "a module is loaded machine code and cannot be pickled; pickle the Artifact, or pass its path and load it there",
        ))
    }
}

fn ports(list: &[rt::PortInfo]) -> Vec<(String, &'static str, Vec<String>)> {
    list.iter().map(|p| (p.name.clone(), dtype::name(p.dtype), p.dims.clone())).collect()
}
