//! `beiming compare`: a model's or an artifact's results against onnxruntime's or the evaluator's, on the same inputs.

use std::path::{Path, PathBuf};

use beiming_ir::graph::{Graph, ValueId};
use beiming_ir::tensor::Tensor;
use beiming_runtime::Options;
use beiming_runtime::format::container::Artifact;
use serde::Serialize;
use serde_json::json;

use super::diagnostic::Diagnostic;
use super::failure::{Exit, Failure, Result};
use super::npz::Array;
use super::{checking, compare_layers, debug, emulate, feed, model, npz, output, session, temp};
use crate::debug::{Against, Difference, reference};
use crate::stage::Ir;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    pub checking: checking::Args,
    /// An artifact to use instead of compiling the model.
    #[arg(long, value_name = "FILE")]
    artifact: Option<PathBuf>,
    /// Compare values between the ops too: what every kernel gives.
    #[arg(long, conflicts_with = "artifact")]
    layers: bool,
    /// Compile every op as a kernel of its own and compare them all, instead of the kernels that fusion makes.
    #[arg(long, requires = "layers")]
    pub unfused: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Exit> {
    if args.layers {
        return compare_layers::run(args);
    }
    let checking = &args.checking;
    let path = &checking.model.model;
    let mut model = checking.model.open()?;
    let is_onnx = model.is_onnx()?;
    let against = checking.reference(is_onnx);
    if against == Against::Onnxruntime && !is_onnx {
        let e = Failure::usage("onnxruntime reads ONNX models, and this is another");
        return Err(e.help("`--against eval` compares with the meaning of the graph"));
    }
    let graph = if against == Against::Eval { Some(graph(&mut model)?) } else { None };
    let folder = temp::Folder::new()?;
    let artifact = match &args.artifact {
        Some(a) => a.clone(),
        None => {
            let out = folder.file("model.bmg");
            model.compile(&out, &mut ())?;
            out
        }
    };
    let (inputs, got) = ours(checking, &artifact, &folder)?;
    let want = match &graph {
        Some(g) => evaluated(path, g, &inputs)?,
        None => onnxruntime(path, &folder, &got)?,
    };
    let tolerance = checking.tolerance();
    let compare = |g: &Array| {
        let tensor = tensor(path, g)?;
        let want = want.iter().find(|(name, _)| *name == g.name);
        let difference = want.map_or_else(
            || Difference { problem: Some("the reference has no output of this name".into()), ..Difference::default() },
            |(_, w)| Difference::of(&tensor, w, tolerance),
        );
        Ok(Compared { name: g.name.clone(), dtype: g.dtype.name().into(), shape: g.shape.clone(), difference })
    };
    let outputs = got.iter().map(compare).collect::<Result<Vec<_>>>()?;
    let same = outputs.iter().all(|o| o.difference.agrees());
    if args.json {
        output::print_json(&json!({ "same": same, "rtol": tolerance.rtol, "atol": tolerance.atol, "outputs": outputs }))?;
    } else {
        outputs.iter().try_for_each(|o| output::print(&o.text()))?;
    }
    Ok(if same { Exit::Ok } else { Exit::Findings })
}

/// The graph that the evaluator runs: the one that is compiled, read once.
fn graph(model: &mut model::Model) -> Result<Graph> {
    let staged = model.read()?;
    let graph = match &staged.ir {
        Ir::Graph(g) | Ir::Fused(g, _) => g.clone(),
        _ => return Err(Failure::usage("the evaluator runs graphs; this stage is past them").help("give the graph's text")),
    };
    model.staged = Some(staged);
    Ok(graph)
}

/// Inputs and our outputs. The inputs are also in the folder, for the reference.
fn ours(args: &checking::Args, artifact: &Path, folder: &temp::Folder) -> Result<(Vec<Array>, Vec<Array>)> {
    let fail = |e| Failure::runtime(artifact, &e);
    let manifest = Artifact::open(artifact).and_then(|a| a.manifest()).map_err(fail)?;
    let ports: Vec<feed::Port> = manifest
        .inputs
        .iter()
        .filter_map(|p| {
            let s = manifest.slots.get(p.slot as usize)?;
            Some(feed::Port { name: p.name.clone(), dtype: s.dtype, dims: s.shape.clone() })
        })
        .collect();
    let inputs = feed::arrays(&args.feed, &args.shapes(), &ports, &manifest.symbols)?;
    let views = session::views(&inputs);
    let feed_file = folder.file("inputs.npz");
    npz::write(&feed_file, &views)?;
    if emulate::is_foreign(&manifest.target.triple) {
        let out = folder.file("outputs.npz");
        let mut c = emulate::command(&[])?;
        c.arg("run").arg(artifact).arg("--inputs").arg(&feed_file).arg("--outputs").arg(&out);
        c.args(["--threads", &args.threads.to_string()]);
        emulate::stdout(c)?;
        return Ok((inputs, npz::read(&out)?));
    }
    let module = session::open(artifact)?;
    let options = Options { threads: args.threads, poison: true, ..Options::default() };
    let outputs = session::start(artifact, &module, options)?.run(&views).map_err(fail)?;
    let own = |(p, t): (&beiming_runtime::PortInfo, &beiming_runtime::Tensor)| Array {
        name: p.name.clone(),
        dtype: t.dtype(),
        shape: t.shape().to_vec(),
        bytes: t.bytes().to_vec(),
    };
    let outputs = module.outputs().iter().zip(&outputs).map(own).collect();
    Ok((inputs, outputs))
}

fn tensor(path: &Path, a: &Array) -> Result<Tensor> {
    reference::tensor(a).map_err(|e| debug::failure(path, e))
}

fn evaluated(path: &Path, g: &Graph, inputs: &[Array]) -> Result<Vec<(String, Tensor)>> {
    let fail = |what: String| Failure::new(Exit::Unsupported, Diagnostic::error("E0806", what).in_file(path));
    let argument = |v: &ValueId| {
        let name = &g.value(*v).name;
        let a = inputs.iter().find(|a| a.name == **name).ok_or_else(|| fail(format!("no input `{name}`")))?;
        tensor(path, a)
    };
    let args = g.inputs.iter().map(argument).collect::<Result<Vec<_>>>()?;
    let results = beiming_ir::eval::graph(g, &args).map_err(|e| fail(format!("the evaluator stopped: {e}")))?;
    Ok(g.output_names.iter().map(ToString::to_string).zip(results).collect())
}

/// onnxruntime's outputs, of the types that ours say where numpy has no such type.
fn onnxruntime(model: &Path, folder: &temp::Folder, got: &[Array]) -> Result<Vec<(String, Tensor)>> {
    let (feed, out) = (folder.file("inputs.npz"), folder.file("reference.npz"));
    reference::run_script(&[model, &feed, &out]).map_err(|e| debug::failure(model, e))?;
    let named = |mut a: Array| {
        if let Some(g) = got.iter().find(|g| g.name == a.name) {
            a.read_as(g.dtype);
        }
        Ok((a.name.clone(), tensor(model, &a)?))
    };
    npz::read(&out)?.into_iter().map(named).collect()
}

/// How one output compares.
#[derive(Debug, Serialize)]
struct Compared {
    name: String,
    dtype: String,
    shape: Vec<i64>,
    #[serde(flatten)]
    difference: Difference,
}

impl Compared {
    fn text(&self) -> String {
        let d = &self.difference;
        let head = format!("{}: {}{:?}", self.name, self.dtype, self.shape);
        if let Some(p) = &d.problem {
            return format!("{head} cannot be compared: {p}\n");
        }
        match &d.first {
            None => format!("{head} agrees: largest difference {:.3e}, {:.3} of what is allowed\n", d.max_abs, d.max_error),
            Some(f) => format!(
                "{head} differs in {} of {} elements, by {:.3e} at most\n  first at {:?}: got {}, expected {}\n",
                d.different, d.elements, d.max_abs, f.index, f.got, f.expected
            ),
        }
    }
}
