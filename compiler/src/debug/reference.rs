//! What values should be: by the IR's evaluator, or by onnxruntime in Python.

use std::path::Path;
use std::process::Command;

use beiming_ir::tensor::Tensor;
use beiming_runtime::TensorView;
use prost::Message;

use super::{DebugError, Source, Values};
use crate::cli::{npz, temp};

/// The script that runs onnxruntime.
const SCRIPT: &str = include_str!("../cli/reference.py");
/// Where the Python with onnxruntime is looked for.
const PYTHON: &str = ".venv/bin/python";
/// Largest protobuf that its readers take.
const MAX_MODEL: usize = i32::MAX as usize;

/// What to hold results against.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Against {
    /// onnxruntime, in Python.
    Onnxruntime,
    /// The meaning of the imported graph: slow, and needs nothing.
    Eval,
}

/// Gives the values of these names. It may lack some.
pub type Reference<'a> = dyn FnMut(&[String]) -> Result<Values, DebugError> + 'a;

/// The values called `names`. The reference may lack some: onnxruntime those that are no tensors.
///
/// # Errors
/// [`DebugError::NoReference`] where there is no onnxruntime, [`DebugError::Reference`] and [`DebugError::Eval`] where it
/// cannot run the model.
pub fn values(
    against: Against,
    source: &dyn Source,
    names: &[String],
    inputs: &[(String, Tensor)],
) -> Result<Values, DebugError> {
    match against {
        Against::Eval => evaluated(source, names, inputs),
        Against::Onnxruntime => onnxruntime(source, names, inputs),
    }
}

fn evaluated(source: &dyn Source, names: &[String], inputs: &[(String, Tensor)]) -> Result<Values, DebugError> {
    let g = source.whole(names)?;
    let arg = |v: &beiming_ir::graph::ValueId| {
        let name = &g.value(*v).name;
        let found = inputs.iter().find(|(n, _)| **n == **name);
        found.map(|(_, t)| t.clone()).ok_or_else(|| DebugError::Usage(format!("input `{name}` is not given")))
    };
    let args = g.inputs.iter().map(arg).collect::<Result<Vec<_>, _>>()?;
    let results = beiming_ir::eval::graph(&g, &args)?;
    Ok(g.output_names.iter().map(|n| n.to_string()).zip(results).collect())
}

fn onnxruntime(source: &dyn Source, names: &[String], inputs: &[(String, Tensor)]) -> Result<Values, DebugError> {
    let model = onnx_bytes(source)?;
    let folder = temp::Folder::new().map_err(DebugError::tool)?;
    let (file, feed, out, list) =
        (folder.file("model.onnx"), folder.file("inputs.npz"), folder.file("values.npz"), folder.file("names.json"));
    let write = |path: &Path, bytes: Vec<u8>| std::fs::write(path, bytes).map_err(|e| DebugError::io("write", path, &e));
    write(&file, model)?;
    // The archive's own names are numbers: what a value is called may be no file name.
    write(&list, serde_json::to_vec(&names).unwrap_or_default())?;
    save_arrays(&feed, inputs)?;
    run_script(&[&file, &feed, &out, &list])?;
    let arrays = npz::read(&out).map_err(DebugError::tool)?;
    let mut values = Values::new();
    for a in &arrays {
        let name = a.name.parse::<usize>().ok().and_then(|i| names.get(i));
        if let Some(name) = name {
            values.insert(name.clone(), tensor(a)?);
        }
    }
    Ok(values)
}

/// The model for onnxruntime, its weights inside.
///
/// # Errors
/// [`DebugError::Usage`] where it is no ONNX model, or larger than onnxruntime reads.
pub fn onnx_bytes(source: &dyn Source) -> Result<Vec<u8>, DebugError> {
    let Some(model) = source.onnx(&source.results()) else {
        return Err(DebugError::Usage("onnxruntime reads ONNX models, and this is none; the evaluator runs any graph".into()));
    };
    let size = model.encoded_len();
    if size > MAX_MODEL {
        return Err(DebugError::Usage(format!("a model of {size} bytes is too large for onnxruntime with its weights inside")));
    }
    Ok(model.encode_to_vec())
}

/// Runs the script in Python.
pub(crate) fn run_script(args: &[&Path]) -> Result<(), DebugError> {
    let python = std::env::var_os("BEIMING_PYTHON").unwrap_or(PYTHON.into());
    let none = |why: String| DebugError::NoReference(format!("`{}` {why}", python.display()));
    let mut c = Command::new(&python);
    let done = c.args(["-c", SCRIPT]).args(args).output().map_err(|e| none(format!("cannot be started: {e}")))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let last = said.trim().lines().last().unwrap_or("no message").to_string();
    let missing = last.strip_prefix("missing: ").map(|m| none(format!("cannot run the reference: {m}")));
    Err(missing.unwrap_or(DebugError::Reference(last)))
}

/// An array of numpy as a tensor.
pub(crate) fn tensor(a: &npz::Array) -> Result<Tensor, DebugError> {
    let dtype = a.dtype.name().parse().map_err(DebugError::Usage)?;
    let shape = a.shape.iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect();
    let t = Tensor::new(dtype, shape, a.bytes.clone().into());
    t.ok_or_else(|| DebugError::Usage(format!("`{}` has not as many bytes as its shape", a.name)))
}

/// Calls `f` with the tensors as the runtime takes them.
pub(crate) fn with_views<T>(
    list: &[(String, Tensor)],
    f: impl FnOnce(&[(&str, TensorView<'_>)]) -> Result<T, DebugError>,
) -> Result<T, DebugError> {
    let shapes: Vec<Vec<i64>> = list.iter().map(|(_, t)| t.shape.iter().map(|d| *d as i64).collect()).collect();
    let mut views = vec![];
    for ((n, t), shape) in list.iter().zip(&shapes) {
        let dtype = t.dtype.name().parse().map_err(DebugError::Usage)?;
        views.push((n.as_str(), TensorView { dtype, shape, data: t.bytes() }));
    }
    f(&views)
}

/// Writes tensors to an `.npz`.
pub(crate) fn save_arrays(path: &Path, list: &[(String, Tensor)]) -> Result<(), DebugError> {
    with_views(list, |views| npz::write(path, views).map_err(DebugError::tool))
}
