//! Failures of the compiler as exceptions with data.

use beiming::cli::diagnostic::Diagnostic;
use beiming::cli::failure::{Exit, Failure};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::error;

/// A failure as an exception of its class, with the diagnostics as data.
pub fn raise(py: Python<'_>, f: &Failure) -> PyErr {
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
                op.set_item("wants", &p.wants)?;
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
