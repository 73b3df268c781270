//! A model side by side with a reference: its results, its values between the ops, and the first op that is wrong.
//!
//! What the values should be is said by the evaluator, by a function of Python (which asks onnxruntime or JAX), or by both: what
//! the function does not know comes from the evaluator.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use beiming::Options;
use beiming::cli::debug as cli;
use beiming::cli::diagnostic::Diagnostic;
use beiming::cli::failure::{Exit, Failure};
use beiming::debug::reference::{self, Reference};
use beiming::debug::{self, Against, DebugError, GraphSource, Maker, OnnxSource, Step, Tolerance, Values};
use beiming::stage::{self, Ir, Kind};
use beiming::target::Target;
use beiming::tensor::Tensor;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use serde_json::{Value, json};

use crate::array::Array;
use crate::compile::{Data, Source, find_target};
use crate::tensor::own;
use crate::{dtype, options, work};

/// An array without numpy: name, element type, extents, bytes.
type Raw<'py> = (String, &'static str, Vec<usize>, Bound<'py, PyBytes>);
type Shared = Arc<dyn debug::Source + Send + Sync>;

/// Of a function that was lowered with its intermediate values as further results: names of its own results, and for each step the
/// op, where it stands in the source, and how many of those values it gives.
type Steps = (Vec<String>, Vec<(String, String, usize)>);

/// A model that is looked at.
#[pyclass(frozen, module = "beiming")]
pub struct Subject {
    source: Shared,
    /// Names of what the model gives, in order.
    outputs: Vec<String>,
    is_onnx: bool,
    name: PathBuf,
    target: Target,
    options: Options,
}

/// What a comparison is made with; see the methods of [`Subject`].
struct Setup {
    source: Shared,
    inputs: Vec<(String, Tensor)>,
    target: Target,
    options: Options,
    /// Of Python: from the model for onnxruntime (or nothing) and names, arrays by name.
    ask: Option<Py<PyAny>>,
    evaluate: bool,
    tolerance: Tolerance,
    /// What the function of Python raised.
    raised: Arc<Mutex<Option<PyErr>>>,
}

#[pymethods]
impl Subject {
    #[new]
    #[pyo3(signature = (model, name, folder, target, options, steps=None))]
    fn new(
        py: Python<'_>,
        model: &Bound<'_, PyAny>,
        name: String,
        folder: Option<PathBuf>,
        target: &str,
        options: &Bound<'_, PyDict>,
        steps: Option<Steps>,
    ) -> PyResult<Subject> {
        let source = Source::new(model, name, folder)?;
        let mut target = find_target(py, target, options)?;
        let options = options::read(options, &mut target)?;
        let name = source.shown();
        let (source, outputs, is_onnx) = work::run(py, name.clone(), None, {
            let options = options.clone();
            move |_| open(source, steps, &options)
        })?;
        Ok(Subject { source, outputs, is_onnx, name, target, options })
    }

    /// Whether onnxruntime can run it.
    #[getter]
    fn is_onnx(&self) -> bool {
        self.is_onnx
    }

    /// Names of the values that the model gives, in order; one may be there twice.
    #[getter]
    fn outputs(&self) -> Vec<String> {
        self.outputs.clone()
    }

    /// For each input: name, element type, extents.
    fn input_ports(&self, py: Python<'_>) -> PyResult<Vec<(String, &'static str, Vec<String>)>> {
        let (ports, _) = self.source.inputs().map_err(|e| self.raise(py, e))?;
        let one = |(name, ty): &(String, beiming::types::TensorType)| {
            let dtype = ty.dtype.name().parse().map_or("?", dtype::name);
            (name.clone(), dtype, ty.shape.iter().map(ToString::to_string).collect())
        };
        Ok(ports.iter().map(one).collect())
    }

    /// Random inputs: for each name, element type, extents and bytes.
    fn random<'py>(&self, py: Python<'py>, seed: u64) -> PyResult<Vec<Raw<'py>>> {
        let made = cli::random(&*self.source, &self.name, seed).map_err(|f| crate::failure::raise(py, &f))?;
        let one = |(name, t): &(String, Tensor)| {
            let dtype = t.dtype.name().parse().map_or("?", dtype::name);
            (name.clone(), dtype, t.shape.clone(), PyBytes::new(py, t.bytes()))
        };
        Ok(made.iter().map(one).collect())
    }

    /// Compares results, and with `layers` the values between the ops (`unfused`: of every op). JSON.
    #[pyo3(signature = (inputs, ask, evaluate, tolerance, layers, unfused))]
    #[allow(clippy::too_many_arguments)]
    fn compare(
        &self,
        py: Python<'_>,
        inputs: &Bound<'_, PyDict>,
        ask: Option<Py<PyAny>>,
        evaluate: bool,
        tolerance: (f64, f64),
        layers: bool,
        unfused: bool,
    ) -> PyResult<String> {
        let setup = self.setup(py, inputs, ask, evaluate, tolerance)?;
        self.work(py, setup, move |s, maker| {
            let (source, names) = (&*s.source, s.source.results());
            let mut values = s.values(&names, layers)?;
            values.extend(s.inputs.iter().cloned());
            let results = debug::bisect::results(source, &s.inputs, &values, maker, s.tolerance)?;
            let layers = match layers {
                true => {
                    let mut wants = |names: &[String]| s.values(names, true);
                    let wants: &mut Reference<'_> = &mut wants;
                    Some(debug::layers(source, &s.inputs, maker, wants, s.tolerance, unfused)?)
                }
                false => None,
            };
            Ok(json!({ "results": results, "layers": layers }))
        })
    }

    /// Finds the first op whose result differs, and writes it to files whose names begin with `stem`. JSON.
    #[pyo3(signature = (inputs, ask, evaluate, tolerance, stem))]
    fn bisect(
        &self,
        py: Python<'_>,
        inputs: &Bound<'_, PyDict>,
        ask: Option<Py<PyAny>>,
        evaluate: bool,
        tolerance: (f64, f64),
        stem: PathBuf,
    ) -> PyResult<String> {
        let setup = self.setup(py, inputs, ask, evaluate, tolerance)?;
        self.work(py, setup, move |s, maker| {
            let mut values = s.values(&s.source.all(), true)?;
            values.extend(s.inputs.iter().cloned());
            let found = debug::bisect(&*s.source, &s.inputs, &values, maker, s.tolerance)?;
            let files = found.cut.as_ref().map(|cut| debug::save(cut, &stem)).transpose()?;
            let files = files.map(|(model, inputs)| json!({ "model": model, "inputs": inputs }));
            Ok(json!({ "found": found, "files": files }))
        })
    }
}

impl Subject {
    fn raise(&self, py: Python<'_>, e: DebugError) -> PyErr {
        crate::failure::raise(py, &cli::failure(&self.name, e))
    }

    fn setup(
        &self,
        py: Python<'_>,
        given: &Bound<'_, PyDict>,
        ask: Option<Py<PyAny>>,
        evaluate: bool,
        (rtol, atol): (f64, f64),
    ) -> PyResult<Setup> {
        let (ports, _) = self.source.inputs().map_err(|e| self.raise(py, e))?;
        let mut inputs = Vec::with_capacity(ports.len());
        for (name, ty) in &ports {
            let Some(value) = given.get_item(name)? else {
                return Err(crate::error::input(py, name, &format!("missing; expected {ty}")));
            };
            let expected = ty.dtype.name().parse().map_err(|e: String| crate::error::input(py, name, &e))?;
            let (array, _) = Array::input(&value, name, expected)?;
            let fits = |(d, n): (&beiming::types::Dim, &i64)| d.known().is_none_or(|d| d == *n);
            if array.shape().len() != ty.shape.len() || !ty.shape.iter().zip(array.shape()).all(fits) {
                let what = format!("the model takes {ty}, the array given has shape {:?}", array.shape());
                return Err(crate::error::shape(py, name, &what));
            }
            inputs.push((name.clone(), own(&array).ok_or_else(|| crate::error::input(py, name, "its type cannot be compared"))?));
        }
        let (target, options) = (self.target.clone(), self.options.clone());
        let (source, tolerance) = (self.source.clone(), Tolerance { rtol, atol });
        Ok(Setup { source, inputs, target, options, ask, evaluate, tolerance, raised: Arc::default() })
    }

    /// Does `f` in another thread.
    fn work(
        &self,
        py: Python<'_>,
        setup: Setup,
        f: impl FnOnce(&Setup, &Maker<'_>) -> Result<Value, DebugError> + Send + 'static,
    ) -> PyResult<String> {
        let (raised, name) = (setup.raised.clone(), self.name.clone());
        let done = work::run(py, name.clone(), None, move |state| {
            let new = Maker::new(setup.target.clone());
            let maker = Maker { options: setup.options.clone(), stop: Some(&state.cancelled), ..new };
            f(&setup, &maker).map(|v| v.to_string()).map_err(|e| cli::failure(&name, e))
        });
        let raised = raised.lock().unwrap_or_else(|e| e.into_inner()).take();
        done.map_err(|e| raised.unwrap_or(e))
    }
}

impl Setup {
    /// What values should be. `all`: the evaluator fills in what the function of Python does not know.
    fn values(&self, names: &[String], all: bool) -> Result<Values, DebugError> {
        let mut values = match self.evaluate && (all || self.ask.is_none()) {
            true => reference::values(Against::Eval, &*self.source, names, &self.inputs)?,
            false => Values::new(),
        };
        if let Some(ask) = &self.ask {
            let model = self.source.onnx(&[]).is_some().then(|| reference::onnx_bytes(&*self.source)).transpose()?;
            let told = Python::attach(|py| told(py, ask, model, names));
            values.extend(told.map_err(|e| {
                let what = e.to_string();
                *self.raised.lock().unwrap_or_else(|e| e.into_inner()) = Some(e);
                DebugError::Reference(what)
            })?);
        }
        Ok(values)
    }
}

/// Asks the function of Python. Values that are no tensors are left out.
fn told(py: Python<'_>, ask: &Py<PyAny>, model: Option<Vec<u8>>, names: &[String]) -> PyResult<Values> {
    let model = model.map(|m| PyBytes::new(py, &m));
    let result = ask.bind(py).call1((model, names))?;
    let mut values = Values::new();
    for (name, value) in result.cast::<PyDict>()?.iter() {
        if let Some(t) = Array::dense(&value)?.as_ref().and_then(own) {
            values.insert(name.extract()?, t);
        }
    }
    Ok(values)
}

/// The model, to be taken apart, the names of what it gives, and whether it is ONNX.
fn open(source: Source, steps: Option<Steps>, options: &Options) -> Result<(Shared, Vec<String>, bool), Failure> {
    let shown = source.shown();
    let text = |p: &Path| matches!(stage::kind(p), Ok(Kind::Text));
    let onnx = match &source.data {
        Data::File(path) if text(path) => Ok(None),
        Data::File(path) => OnnxSource::detect(path, &options.import),
        Data::Memory(bytes, folder) => OnnxSource::detect_bytes(bytes.clone(), folder.as_deref(), &options.import),
    };
    if let Some(s) = onnx.map_err(|e| cli::failure(&shown, e))? {
        let outputs = debug::Source::results(&s);
        return Ok((Arc::new(s), outputs, true));
    }
    match source.read(options)?.ir {
        Ir::Graph(g) | Ir::Fused(g, _) => {
            let source = match steps {
                None => GraphSource::new(g),
                Some((results, steps)) => {
                    let steps = steps.into_iter().map(|(op, name, results)| Step { op, name, results }).collect::<Vec<_>>();
                    GraphSource::of_steps(g, &results, &steps).map_err(|e| cli::failure(&shown, e))?
                }
            };
            let outputs = source.outputs();
            Ok((Arc::new(source), outputs, false))
        }
        _ => {
            let d = Diagnostic::error("E0501", "this stage is past graphs; give the model or its graph's text");
            Err(Failure::new(Exit::Usage, d.in_file(&shown)))
        }
    }
}
