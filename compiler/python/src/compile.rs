//! Compiling a model into an artifact.

use std::path::{Path, PathBuf};

use beiming::Options;
use beiming::cli::failure::Failure;
use beiming::driver::{self, Summary, Watch};
use beiming::stage::{self, Kind, Staged};
use beiming::target::npu::ASCEND_TARGETS;
use beiming::target::{CPU_TARGETS, Target};
use beiming_runtime::format::container;
use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict};

use crate::artifact::Artifact;
use crate::work::{self, Watcher};
use crate::{error, options};

/// A model, as it is given.
pub struct Source {
    /// The file or the bytes.
    pub data: Data,
    /// What to call it.
    pub name: String,
}

/// Where a model is.
pub enum Data {
    /// In a file.
    File(PathBuf),
    /// In memory; its external data is in the folder, if there may be any.
    Memory(Bytes, Option<PathBuf>),
}

impl Source {
    /// Of a path or bytes.
    pub fn new(model: &Bound<'_, PyAny>, name: String, folder: Option<PathBuf>) -> PyResult<Source> {
        let data = if model.is_instance_of::<PyBytes>() {
            Data::Memory(Bytes::from_owner(model.extract::<PyBackedBytes>()?), folder)
        } else {
            Data::File(model.extract()?)
        };
        Ok(Source { data, name })
    }

    /// What messages call it.
    pub fn shown(&self) -> PathBuf {
        match &self.data {
            Data::File(p) => p.clone(),
            Data::Memory(..) => PathBuf::from(&self.name),
        }
    }

    /// The model, or the stage that the file holds.
    pub fn read(self, options: &Options) -> Result<Staged, Failure> {
        let shown = self.shown();
        match self.data {
            Data::File(path) => match stage::kind(&path) {
                Ok(Kind::Text) => stage::read(&path).map_err(|e| Failure::stage(&path, &e)),
                _ => driver::read(&path, options).map_err(|e| Failure::import(&path, &e)),
            },
            Data::Memory(bytes, folder) => {
                driver::read_bytes(bytes, &self.name, folder.as_deref(), options).map_err(|e| Failure::import(&shown, &e))
            }
        }
    }
}

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
    let source = Source::new(model, name, folder)?;
    let mut target = find_target(py, target, options)?;
    let options = options::read(options, &mut target)?;
    let (artifact, summary) = work::run(py, source.shown(), progress.as_ref(), move |state| {
        run(source, &target, &options, output.as_deref(), &mut Watcher(state.clone()))
    })?;
    Ok((Artifact { artifact: artifact.into() }, summary.to_json().to_string()))
}

/// The target of a name; of an NPU with the CPU beside it that the option `host` names.
pub fn find_target(py: Python<'_>, name: &str, options: &Bound<'_, PyDict>) -> PyResult<Target> {
    let unknown = |name: &str| {
        let message = format!("unknown target `{name}`; targets are: {}", targets().join(", "));
        error::plain(py, "TargetError", &message)
    };
    if let Some(cpu) = Target::by_name(name) {
        return Ok(cpu);
    }
    let host = options.get_item("host")?.map_or(Ok("host".into()), |h| h.extract::<String>())?;
    let host = Target::by_name(&host).ok_or_else(|| unknown(&host))?;
    Target::ascend(name, host).ok_or_else(|| unknown(name))
}

/// Names of the targets.
#[pyfunction]
pub fn targets() -> Vec<&'static str> {
    CPU_TARGETS.into_iter().chain(ASCEND_TARGETS).collect()
}

/// Compiles into a file, or into one that nobody sees.
fn run(
    source: Source,
    target: &Target,
    options: &Options,
    output: Option<&Path>,
    watch: &mut Watcher,
) -> Result<(container::Artifact, Summary), Failure> {
    let shown = source.shown();
    watch.begin("read");
    let staged = source.read(options)?;
    // The artifact is mapped, not held: weights may be larger than memory. A temporary file has no name once it is open.
    let scratch;
    let path = match output {
        Some(p) => p,
        None => {
            let dir = tempfile::Builder::new().prefix("beiming-").tempdir();
            scratch = dir.map_err(|e| Failure::io("make a temporary folder", &std::env::temp_dir(), &e))?;
            &scratch.path().join("model.bmg")
        }
    };
    let summary = driver::resume(|| Ok(staged), target, options, path, watch).map_err(|e| Failure::compile(&shown, e))?;
    let artifact = container::Artifact::open(path).map_err(|e| Failure::runtime(path, &e))?;
    Ok((artifact, summary))
}
