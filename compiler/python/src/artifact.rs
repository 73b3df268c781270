//! A compiled model: the bytes of an artifact, checked, for any target. Running it takes a module.

use std::path::PathBuf;
use std::sync::Arc;

use beiming_runtime::format::container;
use beiming_runtime::{self as rt, Options};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error;
use crate::module::Module;

/// A compiled model.
#[pyclass(frozen, subclass, module = "beiming")]
pub struct Artifact {
    pub artifact: Arc<container::Artifact>,
}

impl Artifact {
    /// Loads the code.
    pub fn load(&self, py: Python<'_>, options: Options) -> PyResult<Module> {
        let artifact = self.artifact.clone();
        let module = py.detach(|| rt::Module::new(artifact)).map_err(|e| error::runtime(py, &e, None))?;
        Module::of(py, module, options)
    }
}

#[pymethods]
impl Artifact {
    /// Opens an artifact: the path of a file, its bytes, or another one.
    #[new]
    fn new(py: Python<'_>, source: &Bound<'_, PyAny>) -> PyResult<Artifact> {
        if let Ok(other) = source.cast::<Artifact>() {
            return Ok(Artifact { artifact: other.get().artifact.clone() });
        }
        let (opened, path) = if let Ok(bytes) = source.cast::<PyBytes>() {
            let bytes = bytes.as_bytes();
            (py.detach(|| container::Artifact::from_bytes(bytes)), None)
        } else {
            let path: PathBuf = source.extract()?;
            (py.detach(|| container::Artifact::open(&path)), path.to_str().map(str::to_string))
        };
        let artifact = opened.map_err(|e| error::runtime(py, &e, path.as_deref()))?;
        Ok(Artifact { artifact: Arc::new(artifact) })
    }

    /// Writes the file. It appears under its name only when it is whole.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{}.partial", std::process::id()));
        let partial = path.with_file_name(name);
        py.detach(|| {
            std::fs::write(&partial, self.artifact.bytes()).and_then(|()| std::fs::rename(&partial, &path)).inspect_err(|_| {
                // The first error is the one to report.
                let _ = std::fs::remove_file(&partial);
            })
        })?;
        Ok(())
    }

    /// The bytes of the file.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.artifact.bytes())
    }

    /// Sections: name and number of bytes.
    fn sections(&self) -> Vec<(String, u64)> {
        self.artifact.sections().iter().map(|s| (s.name.clone(), s.length)).collect()
    }

    /// The bytes of a section.
    fn section<'py>(&self, py: Python<'py>, name: &str) -> Option<Bound<'py, PyBytes>> {
        self.artifact.section(name).map(|s| PyBytes::new(py, s))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyAny>, (Bound<'py, PyBytes>,)) {
        (slf.get_type().into_any(), (slf.get().to_bytes(slf.py()),))
    }
}
