//! Exceptions. Their classes are written in Python (`exceptions.py`), where they have types and documentation; this raises them
//! with their data.

use beiming_runtime::Error;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyModule};

static EXCEPTIONS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// Tells where the exceptions' classes are; the package does so when it is imported.
#[pyfunction]
pub fn bind_exceptions(py: Python<'_>, module: Py<PyModule>) {
    // A second import of the same package brings the same module.
    let _ = EXCEPTIONS.set(py, module);
}

/// An exception of `beiming.exceptions` with data as attributes.
pub fn raise<'py>(py: Python<'py>, class: &str, message: &str, data: &Bound<'py, PyDict>) -> PyErr {
    let make = || -> PyResult<PyErr> {
        let module = EXCEPTIONS.get(py).ok_or_else(|| PyRuntimeError::new_err(message.to_string()))?;
        let value = module.bind(py).getattr(class)?.call((message,), Some(data))?;
        Ok(PyErr::from_value(value))
    };
    make().unwrap_or_else(|e| e)
}

/// As [`raise`], without data.
pub fn plain(py: Python<'_>, class: &str, message: &str) -> PyErr {
    raise(py, class, message, &PyDict::new(py))
}

/// What is wrong with an input, by its name.
pub fn input(py: Python<'_>, name: &str, what: &str) -> PyErr {
    named(py, "InputError", "input", name, &format!("input `{name}`: {what}"))
}

/// What is wrong with an input's extents.
#[cfg(feature = "compile")]
pub fn shape(py: Python<'_>, name: &str, what: &str) -> PyErr {
    named(py, "ShapeError", "input", name, &format!("input `{name}`: {what}"))
}

fn named(py: Python<'_>, class: &str, key: &str, name: &str, message: &str) -> PyErr {
    let data = PyDict::new(py);
    match data.set_item(key, name) {
        Ok(()) => raise(py, class, message, &data),
        Err(e) => e,
    }
}

/// An error of the runtime. `path` is the artifact's, where it has one.
pub fn runtime(py: Python<'_>, e: &Error, path: Option<&str>) -> PyErr {
    let message = e.to_string();
    match e {
        Error::Io { source, .. } => match source.raw_os_error() {
            // The class that Python has for the reason: FileNotFoundError, PermissionError.
            Some(code) => pyo3::exceptions::PyOSError::new_err((code, source.to_string(), path.map(str::to_string))),
            None => pyo3::exceptions::PyOSError::new_err(message),
        },
        // Names and types have been looked at before; what is left is extents.
        Error::Input { name, .. } => named(py, "ShapeError", "input", name, &message),
        Error::Output { name, .. } => named(py, "ShapeError", "output", name, &message),
        Error::Run { .. } => plain(py, "RunError", &message),
        Error::Memory { .. } => pyo3::exceptions::PyMemoryError::new_err(message),
        Error::Target { target, .. } => named(py, "TargetError", "target", target, &message),
        Error::Argument(_) => pyo3::exceptions::PyValueError::new_err(message),
        Error::NotAnArtifact(_)
        | Error::Version { .. }
        | Error::Truncated { .. }
        | Error::Altered(_)
        | Error::Inconsistent(_) => named(py, "ArtifactError", "path", path.unwrap_or_default(), &message),
        Error::Load(_) => named(py, "ArtifactError", "path", path.unwrap_or_default(), &message),
        _ => plain(py, "CompilerBug", &message),
    }
}
