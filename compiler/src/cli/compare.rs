//! `beiming compare`: a model's or an artifact's results against onnxruntime's or the evaluator's, on the same inputs.

use std::path::{Path, PathBuf};

use beiming_ir::graph::Graph;
use beiming_runtime::format::container::Artifact;
use beiming_runtime::{DType, Options};
use serde::Serialize;
use serde_json::json;

use super::diagnostic::Diagnostic;
use super::failure::{Exit, Failure, Result};
use super::feed::ir_type;
use super::npz::Array;
use super::{debug, emulate, feed, model, npz, output, session, temp};
use crate::debug::layers::Verdict;
use crate::debug::{Against, DebugError, Layers, Tolerance, reference};
use crate::stage::Ir;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    model: model::Args,
    /// An artifact to use instead of compiling the model.
    #[arg(long, value_name = "FILE")]
    artifact: Option<PathBuf>,
    /// What to hold it against. Default: onnxruntime for ONNX models, the evaluator for everything else.
    #[arg(long)]
    against: Option<Against>,
    #[command(flatten)]
    feed: feed::Args,
    /// Value of a symbol that stays open, in random inputs: `N=4`. Else the smallest that is allowed and not zero.
    #[arg(long, value_name = "SYMBOL=N")]
    size: Vec<String>,
    /// Threads that run it.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Allowed difference, as a share of the reference's value.
    #[arg(long, default_value_t = 1e-3)]
    rtol: f64,
    /// Allowed difference, absolute; both are added.
    #[arg(long, default_value_t = 1e-4)]
    atol: f64,
    /// Compare values between the ops too: what every kernel gives.
    #[arg(long, conflicts_with = "artifact")]
    layers: bool,
    /// Compile every op as a kernel of its own and compare them all, instead of the kernels that fusion makes.
    #[arg(long, requires = "layers")]
    unfused: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Exit> {
    if args.layers {
        return by_layer(args);
    }
    let mut model = args.model.open()?;
    let is_onnx = model.is_onnx()?;
    let against = args.against.unwrap_or(if is_onnx { Against::Onnxruntime } else { Against::Eval });
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
    let (inputs, got) = ours(args, &artifact, &folder)?;
    let want = match &graph {
        Some(g) => evaluated(&args.model.model, g, &inputs)?,
        None => onnxruntime(&args.model.model, &folder)?,
    };
    let outputs = got.iter().map(|g| compare(g, want.iter().find(|w| w.name == g.name), args)).collect::<Result<Vec<_>>>()?;
    let same = outputs.iter().all(|o| o.first.is_none() && o.problem.is_none());
    if args.json {
        output::print_json(&json!({ "same": same, "rtol": args.rtol, "atol": args.atol, "outputs": outputs }))?;
    } else {
        outputs.iter().try_for_each(|o| output::print(&o.text()))?;
    }
    Ok(if same { Exit::Ok } else { Exit::Findings })
}

/// Values between the ops.
fn by_layer(args: &Args) -> Result<Exit> {
    let path = &args.model.model;
    let setup = debug::Setup::new(&args.model, &args.feed, &args.size, args.threads)?;
    let tolerance = Tolerance { rtol: args.rtol, atol: args.atol };
    let layers =
        crate::debug::layers(&*setup.source, &setup.inputs, &setup.maker, setup.against(args.against), tolerance, args.unfused);
    let layers = layers.map_err(|e: DebugError| debug::failure(path, e))?;
    if args.json {
        output::print_json(&layers)?;
    } else {
        output::print(&layers_text(&layers))?;
    }
    Ok(if layers.first.is_none() { Exit::Ok } else { Exit::Findings })
}

/// A table of the values, and the first that is past the tolerance.
fn layers_text(all: &Layers) -> String {
    let row = |l: &crate::debug::layers::Layer| {
        let d = &l.difference;
        let pair = |(a, b): (usize, usize)| if (a, b) == (0, 0) { String::new() } else { format!("{a} / {b}") };
        let error = match &d.problem {
            Some(p) => p.clone(),
            None if d.max_error.is_finite() => format!("{:.3}", d.max_error),
            None => "past any".into(),
        };
        let first = d.first.as_ref().map_or_else(String::new, |f| format!("{:?}", f.index));
        let mark = match l.verdict {
            Verdict::Agrees => "",
            Verdict::Absorbed => "~",
            Verdict::Differs => "x",
        };
        let cells = [mark, &l.value, &l.op, &l.place, &l.r#type, &error, &first, &pair(d.nan), &pair(d.inf)];
        cells.map(debug::plain).to_vec()
    };
    let head = ["", "value", "op", "place", "type", "error", "first", "NaN", "inf"];
    let rows: Vec<Vec<String>> = all.layers.iter().map(row).collect();
    let (same, plain) = all.kernels;
    let mut out = output::table(&head, &rows);
    out += "\nerror: the largest, in units of what is allowed; NaN, inf: how many, ours / the reference's\n";
    if all.layers.iter().any(|l| l.verdict == Verdict::Absorbed) {
        out += "~: past the tolerance, but what is computed from it agrees, so rewriting made a value that the model does not have\n";
    }
    out += &format!("{same} of the model's {plain} kernels are those that ran");
    if all.alone > 0 {
        out += &format!("; {} values have no counterpart", all.alone);
    }
    out.push('\n');
    match all.first.and_then(|i| all.layers.get(i)) {
        None => out + "all values agree\n",
        Some(l) => {
            let d = &l.difference;
            out += &format!("first to differ: `{}` of {}", debug::plain(&l.value), debug::plain(&l.op));
            out += &format!(" `{}` ({})", debug::plain(&l.node), debug::plain(&l.place));
            if let Some(f) = &d.first {
                out += &format!(", in {} of {} elements", d.different, d.elements);
                out += &format!("\n  first at {:?}: got {}, expected {}", f.index, f.got, f.expected);
            }
            out += &format!("\n  its kernel: {}", l.group.join(" "));
            if !l.group_nodes.is_empty() {
                out += &format!("\n  of the nodes {}", debug::plain(&l.group_nodes));
            }
            out + "\n"
        }
    }
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
fn ours(args: &Args, artifact: &Path, folder: &temp::Folder) -> Result<(Vec<Array>, Vec<Array>)> {
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
    // Shapes that the command line fixes are those of the inputs, whether the artifact was compiled with them or before.
    let is_known = |s: &&String| {
        s.rsplit_once(':').is_some_and(|x| x.1.split(['x', ',']).all(|d| d.is_empty() || d.trim().parse::<i64>().is_ok()))
    };
    let is_value = |d: &&String| d.split_once('=').is_some_and(|x| x.1.trim().parse::<i64>().is_ok());
    let shapes = feed::ShapeArgs {
        shape: args.model.shape.iter().filter(is_known).cloned().collect(),
        dim: args.size.iter().chain(args.model.dim.iter().filter(is_value)).cloned().collect(),
    };
    let inputs = feed::arrays(&args.feed, &shapes, &ports, &manifest.symbols)?;
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

fn evaluated(path: &Path, g: &Graph, inputs: &[Array]) -> Result<Vec<Array>> {
    let fail = |what: String| Failure::new(Exit::Unsupported, Diagnostic::error("E0806", what).in_file(path));
    let tensor = |v: &beiming_ir::graph::ValueId| {
        let name = &g.value(*v).name;
        let a = inputs.iter().find(|a| a.name == **name).ok_or_else(|| fail(format!("no input `{name}`")))?;
        let shape = a.shape.iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect();
        let t = beiming_ir::tensor::Tensor::new(ir_type(a.dtype)?, shape, a.bytes.clone().into());
        t.ok_or_else(|| fail(format!("input `{name}` has not as many bytes as its shape")))
    };
    let args = g.inputs.iter().map(tensor).collect::<Result<Vec<_>>>()?;
    let results = beiming_ir::eval::graph(g, &args).map_err(|e| fail(format!("the evaluator stopped: {e}")))?;
    let array = |(name, t): (&std::sync::Arc<str>, beiming_ir::tensor::Tensor)| {
        let dtype: DType = t.dtype.name().parse().map_err(fail)?;
        let shape = t.shape.iter().map(|d| *d as i64).collect();
        Ok(Array { name: name.to_string(), dtype, shape, bytes: t.bytes().to_vec() })
    };
    g.output_names.iter().zip(results).map(array).collect()
}

fn onnxruntime(model: &Path, folder: &temp::Folder) -> Result<Vec<Array>> {
    let (feed, out) = (folder.file("inputs.npz"), folder.file("reference.npz"));
    reference::run_script(&[model, &feed, &out]).map_err(|e| debug::failure(model, e))?;
    npz::read(&out)
}

/// How one output compares.
#[derive(Debug, Serialize)]
struct Compared {
    name: String,
    dtype: String,
    shape: Vec<i64>,
    /// Why elements could not be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// Elements that differ by more than allowed.
    different: usize,
    elements: usize,
    /// Largest difference.
    max_abs: f64,
    /// Largest difference in units of what is allowed.
    max_error: f64,
    /// The first that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<First>,
}

/// The first element that differs.
#[derive(Debug, PartialEq, Serialize)]
struct First {
    index: Vec<i64>,
    got: f64,
    expected: f64,
}

fn compare(got: &Array, want: Option<&Array>, args: &Args) -> Result<Compared> {
    let mut c = Compared {
        name: got.name.clone(),
        dtype: got.dtype.name().into(),
        shape: got.shape.clone(),
        problem: None,
        different: 0,
        elements: got.bytes.len() / got.dtype.size(),
        max_abs: 0.0,
        max_error: 0.0,
        first: None,
    };
    let Some(want) = want else {
        c.problem = Some("the reference has no output of this name".into());
        return Ok(c);
    };
    let mut want = want.clone();
    want.read_as(got.dtype);
    if (got.dtype, &got.shape) != (want.dtype, &want.shape) {
        c.problem = Some(format!("the reference is {}{:?}", want.dtype, want.shape));
        return Ok(c);
    }
    let dtype = ir_type(got.dtype)?;
    let size = got.dtype.size();
    let value = |b: &[u8]| beiming_ir::num::decode(dtype, b).to_f64();
    for (i, (g, w)) in got.bytes.chunks_exact(size).zip(want.bytes.chunks_exact(size)).enumerate() {
        let (g, w) = (value(g), value(w));
        // Equal infinities and two NaNs agree.
        if g == w || g.is_nan() && w.is_nan() {
            continue;
        }
        let abs = (g - w).abs();
        let error = abs / (args.atol + args.rtol * w.abs());
        let bad = !dtype.is_float() && !dtype.is_complex() || error.is_nan() || error > 1.0;
        c.max_abs = if abs.is_nan() { f64::INFINITY } else { c.max_abs.max(abs) };
        c.max_error = if error.is_nan() { f64::INFINITY } else { c.max_error.max(error) };
        if bad {
            c.different += 1;
            c.first.get_or_insert_with(|| First { index: index(i, &got.shape), got: g, expected: w });
        }
    }
    Ok(c)
}

/// Position in each axis of a row-major element.
fn index(mut i: usize, shape: &[i64]) -> Vec<i64> {
    let mut out = vec![0; shape.len()];
    for (o, d) in out.iter_mut().zip(shape).rev() {
        let d = (*d).max(1) as usize;
        *o = (i % d) as i64;
        i /= d;
    }
    out
}

impl Compared {
    fn text(&self) -> String {
        let head = format!("{}: {}{:?}", self.name, self.dtype, self.shape);
        if let Some(p) = &self.problem {
            return format!("{head} cannot be compared: {p}\n");
        }
        match &self.first {
            None => format!("{head} agrees: largest difference {:.3e}, {:.3} of what is allowed\n", self.max_abs, self.max_error),
            Some(f) => format!(
                "{head} differs in {} of {} elements, by {:.3e} at most\n  first at {:?}: got {:?}, expected {:?}\n",
                self.different, self.elements, self.max_abs, f.index, f.got, f.expected
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_count_in_rows() {
        assert_eq!(index(0, &[2, 3]), [0, 0]);
        assert_eq!(index(5, &[2, 3]), [1, 2]);
        assert_eq!(index(0, &[]), Vec::<i64>::new());
    }
}
