//! Options by name, as Python gives them.

use std::path::PathBuf;

use beiming::Options;
use beiming::cli::failure::Failure;
use beiming::import::{self, DimOverride};
use beiming::plan::Subnormals;
use beiming::target::Target;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::array::Array;
use crate::{failure, tensor};

/// Options by name; see `beiming.compile`.
pub fn read(given: &Bound<'_, PyDict>, target: &mut Target) -> PyResult<Options> {
    let mut o = Options::default();
    // It implies `exact`, whatever is said about that.
    let as_written = given.get_item("as_written")?.map_or(Ok(false), |v| v.extract())?;
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
            "bind" => {
                for (name, v) in value.cast::<PyDict>()?.iter() {
                    let name: String = name.extract()?;
                    let array = Array::dense(&v)?.as_ref().and_then(tensor::own);
                    let array =
                        array.ok_or_else(|| PyTypeError::new_err(format!("bind[{name:?}] is no array the compiler knows")))?;
                    o.import.bind.insert(name, array);
                }
            }
            "safetensors" => {
                let path: PathBuf = value.extract()?;
                o.import
                    .bind
                    .extend(import::safetensors(&path).map_err(|e| failure::raise(value.py(), &Failure::import(&path, &e)))?);
            }
            "function" => o.import.function = Some(value.extract()?),
            "subnormals" => {
                o.subnormals = Some(match value.extract::<String>()?.as_str() {
                    "keep" => Subnormals::Keep,
                    "flush" => Subnormals::Flush,
                    other => return Err(PyValueError::new_err(format!("subnormals is {other:?}; allowed are keep, flush"))),
                });
            }
            // Belongs to the target.
            "host" => {}
            "project" => o.project = Some(value.extract()?),
            "exact" if as_written => {}
            "exact" => o.optimize.reassociate = !value.extract::<bool>()?,
            "as_written" if as_written => o.as_written(),
            "as_written" => {}
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
