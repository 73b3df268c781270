//! `beiming debug`: the first op that is wrong (`bisect`), and a small model that still fails (`reduce`).

use std::path::{Path, PathBuf};
use std::process::Command;

use beiming_ir::tensor::Tensor;
use beiming_runtime::format::manifest::Range;
use serde_json::json;

use super::diagnostic::Diagnostic;
use super::failure::{Exit, Failure, Result};
use super::{checking, feed, output, temp};
use crate::debug::reference::{self, Against};
use crate::debug::{self, Cut, DebugError, GraphSource, Maker, OnnxSource, Source, Values};
use crate::stage::Ir;

/// The subcommands.
#[derive(clap::Subcommand, Debug)]
pub enum Debug {
    /// Name the first op whose result differs when it is given right values, and write it as a model of its own.
    Bisect(BisectArgs),
    /// Leave out ops as long as the model still fails, and write what is left.
    Reduce(ReduceArgs),
}

/// What both take.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Common {
    #[command(flatten)]
    checking: checking::Args,
    /// Name of the files that are written, without extension. [default: the model's with `.bisect` or `.reduced` added]
    #[arg(short, long, value_name = "STEM")]
    output: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `bisect`.
#[derive(clap::Args, Debug)]
pub struct BisectArgs {
    #[command(flatten)]
    common: Common,
}

/// Arguments of `reduce`.
#[derive(clap::Args, Debug)]
pub struct ReduceArgs {
    #[command(flatten)]
    common: Common,
    /// A shell command that fails on the model; `{}` stands for its file, `{inputs}` for its inputs (.npz). What is kept must
    /// fail with the same exit status. Without it: `beiming compare`, for results that differ, errors and crashes alike.
    #[arg(long, value_name = "COMMAND")]
    check: Option<String>,
}

impl Debug {
    /// Whether results are JSON.
    pub fn json(&self) -> bool {
        match self {
            Debug::Bisect(a) => a.common.json,
            Debug::Reduce(a) => a.common.json,
        }
    }
}

/// Runs the command.
pub fn run(command: &Debug) -> Result<Exit> {
    match command {
        Debug::Bisect(a) => bisect(&a.common),
        Debug::Reduce(a) => reduce(a),
    }
}

/// A model that can be taken apart, with inputs and what compiles it.
pub struct Setup {
    /// The model.
    pub source: Box<dyn Source>,
    /// Inputs by name.
    pub inputs: Vec<(String, Tensor)>,
    /// What compiles and runs it.
    pub maker: Maker<'static>,
    /// Whether it is ONNX.
    pub is_onnx: bool,
}

impl Setup {
    /// Of arguments. Without given inputs they are random.
    pub fn new(args: &checking::Args) -> Result<Setup> {
        let path = &args.model.model;
        let mut opened = args.model.open()?;
        let onnx = if opened.staged.is_none() { OnnxSource::detect(path, &opened.options.import) } else { Ok(None) };
        let onnx = onnx.map_err(|e| failure(path, e))?;
        let is_onnx = onnx.is_some();
        let source: Box<dyn Source> = match onnx {
            Some(s) => Box::new(s),
            None => match opened.read()?.ir {
                Ir::Graph(g) | Ir::Fused(g, _) => Box::new(GraphSource::new(g)),
                _ => return Err(Failure::usage("this stage is past graphs").help("give the model or its graph's text")),
            },
        };
        let (ports, ranges) = ports(&*source, path)?;
        let arrays = feed::arrays(&args.feed, &args.shapes(), &ports, &ranges)?;
        let own = |a: &super::npz::Array| Ok((a.name.clone(), reference::tensor(a).map_err(|e| failure(path, e))?));
        let inputs = arrays.iter().map(own).collect::<Result<Vec<_>>>()?;
        let maker = Maker { target: opened.target, options: opened.options, threads: args.threads, edit: None, stop: None };
        Ok(Setup { source, inputs, maker, is_onnx })
    }

    /// Every value of the model.
    fn values(&self, against: Against, path: &Path) -> Result<Values> {
        let mut values =
            reference::values(against, &*self.source, &self.source.all(), &self.inputs).map_err(|e| failure(path, e))?;
        values.extend(self.inputs.iter().cloned());
        Ok(values)
    }
}

/// Random inputs by a seed, the same on every machine; open extents are the smallest that are allowed and not zero.
///
/// # Errors
/// Where the inputs have no usable type, or would be too large.
pub fn random(source: &dyn Source, path: &Path, seed: u64) -> Result<Vec<(String, Tensor)>> {
    let (ports, ranges) = ports(source, path)?;
    let args = feed::Args { seed, ..feed::Args::default() };
    let arrays = feed::arrays(&args, &feed::ShapeArgs::default(), &ports, &ranges)?;
    arrays.iter().map(|a| Ok((a.name.clone(), reference::tensor(a).map_err(|e| failure(path, e))?))).collect()
}

/// The inputs that a run must have, and ranges of their symbols.
fn ports(source: &dyn Source, path: &Path) -> Result<(Vec<feed::Port>, std::collections::BTreeMap<String, Range>)> {
    let types = source.inputs().map_err(|e| failure(path, e))?;
    let port = |(name, ty): &(String, beiming_ir::types::TensorType)| {
        let dtype = ty.dtype.name().parse().map_err(Failure::usage)?;
        Ok(feed::Port { name: name.clone(), dtype, dims: ty.shape.iter().map(ToString::to_string).collect() })
    };
    let ports = types.0.iter().map(port).collect::<Result<Vec<_>>>()?;
    let ranges = types.1.0.iter().map(|(n, r)| (n.to_string(), Range { lo: r.lo, hi: r.hi })).collect();
    Ok((ports, ranges))
}

fn bisect(args: &Common) -> Result<Exit> {
    let checking = &args.checking;
    let path = &checking.model.model;
    let setup = Setup::new(checking)?;
    let values = setup.values(checking.reference(setup.is_onnx), path)?;
    let tolerance = checking.tolerance();
    let found = debug::bisect(&*setup.source, &setup.inputs, &values, &setup.maker, tolerance).map_err(|e| failure(path, e))?;
    let files = match &found.cut {
        Some(cut) => Some(debug::save(cut, &stem(args, "bisect")).map_err(|e| failure(path, e))?),
        None => None,
    };
    if args.json {
        let files = files.as_ref().map(|(m, i)| json!({ "model": m, "inputs": i }));
        output::print_json(&json!({ "found": &found, "files": files }))?;
    } else {
        output::print(&bisect_text(&found, files.as_ref()))?;
    }
    let whole = found.whole.iter().all(|c| c.difference.agrees());
    Ok(if found.ops.is_empty() && whole { Exit::Ok } else { Exit::Findings })
}

fn bisect_text(found: &debug::Bisected, files: Option<&(PathBuf, PathBuf)>) -> String {
    let mut out = match found.ops.as_slice() {
        [] if found.whole.iter().all(|c| c.difference.agrees()) => "all results agree\n".to_string(),
        [] => "the results differ, but no stretch of ops does when it is given the reference's values\n".to_string(),
        [one] => format!("first to differ: {}\n", plain(&one.title())),
        many => {
            let list: String = many.iter().map(|o| format!("  {}\n", plain(&o.title()))).collect();
            format!("these {} ops differ together, and no half of them alone:\n{list}", many.len())
        }
    };
    for r in found.results.iter().filter(|r| !r.difference.agrees()) {
        let d = &r.difference;
        out += &format!("  `{}` in {} of {} elements", plain(&r.value), d.different, d.elements);
        out += &d.first.as_ref().map_or("\n".into(), |f| format!(": at {:?} got {}, expected {}\n", f.index, f.got, f.expected));
        out += &d.problem.as_ref().map_or(String::new(), |p| format!("    {p}\n"));
    }
    if !found.group.is_empty() {
        out += &format!("  its kernel: {}\n", found.group.join(" "));
    }
    out += &format!("{} stretches were run", found.runs);
    if let (n @ 1.., Some(why)) = &found.skipped {
        out += &format!("; {n} could not be, the first because: {}", plain(why));
    }
    out.push('\n');
    if let Some((model, inputs)) = files {
        out += &format!("written: {} and its inputs {}\n", model.display(), inputs.display());
    }
    out
}

fn reduce(args: &ReduceArgs) -> Result<Exit> {
    let common = &args.common;
    let checking = &common.checking;
    let path = &checking.model.model;
    let setup = Setup::new(checking)?;
    let against = checking.reference(setup.is_onnx);
    let values = match setup.values(against, path) {
        // What fails may be the reading; any reference that can run the model serves to feed the parts.
        Err(e) if checking.against.is_none() && setup.is_onnx => setup.values(Against::Eval, path).map_err(|_| e)?,
        r => r?,
    };
    let folder = temp::Folder::new()?;
    let stem_in = folder.file("candidate");
    let mut want = None;
    let mut fails = |cut: &Cut| -> std::result::Result<bool, DebugError> {
        let (model, inputs) = debug::save(cut, &stem_in)?;
        let mut c = check(args, against, &model, &inputs);
        let done = c.output().map_err(|e| DebugError::Io(format!("cannot start the check: {e}")))?;
        // A process that a signal ends has no code: the signal's number stands for it.
        let status = std::os::unix::process::ExitStatusExt::signal(&done.status).map(|s| -s).or(done.status.code());
        Ok(match want {
            None => {
                want = Some(status);
                status != Some(0)
            }
            Some(w) => status == w,
        })
    };
    let reduced = debug::reduce(&*setup.source, &values, &mut fails).map_err(|e| failure(path, e))?;
    let Some(reduced) = reduced else {
        let d = Diagnostic::error("E0808", "the check does not fail on the whole model: there is nothing to reduce");
        return Err(Failure::new(Exit::Usage, d.in_file(path)));
    };
    let (model, inputs) = debug::save(&reduced.cut, &stem(common, "reduced")).map_err(|e| failure(path, e))?;
    let ops: Vec<_> = reduced.cut.ops.iter().map(|i| &setup.source.ops()[*i]).collect();
    if common.json {
        let (tried, invalid, of) = (reduced.tried, reduced.invalid, setup.source.ops().len());
        let files = json!({ "model": model, "inputs": inputs });
        output::print_json(&json!({ "ops": ops, "of": of, "tried": tried, "invalid": invalid, "files": files }))?;
    } else {
        let mut out = format!("{} of {} ops are left:\n", ops.len(), setup.source.ops().len());
        ops.iter().for_each(|o| out += &format!("  {}\n", plain(&o.title())));
        out += &format!("{} models were tried, {} of them were none\n", reduced.tried, reduced.invalid);
        out += &format!("written: {} and its inputs {}\n", model.display(), inputs.display());
        output::print(&out)?;
    }
    Ok(Exit::Findings)
}

/// What must fail on a model.
fn check(args: &ReduceArgs, against: Against, model: &Path, inputs: &Path) -> Command {
    if let Some(text) = &args.check {
        let quoted = |p: &Path| format!("'{}'", p.display().to_string().replace('\'', "'\\''"));
        let mut c = Command::new("sh");
        c.arg("-c").arg(text.replace("{inputs}", &quoted(inputs)).replace("{}", &quoted(model)));
        return c;
    }
    let mut c = Command::new(std::env::current_exe().unwrap_or_else(|_| "beiming".into()));
    c.arg("compare").arg(model).arg("--inputs").arg(inputs).arg("--json").args(args.common.checking.again(against));
    c
}

/// Where results are written.
fn stem(args: &Common, what: &str) -> PathBuf {
    args.output.clone().unwrap_or_else(|| {
        let name = args.checking.model.model.file_stem().map_or_else(|| "model".into(), |s| s.to_string_lossy().into_owned());
        format!("{name}.{what}").into()
    })
}

/// A name of the model as it may be printed: control characters could do things to a terminal.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Why nothing could be found out, for the user.
pub fn failure(path: &Path, e: DebugError) -> Failure {
    let help =
        "BEIMING_PYTHON names a Python that has onnx and onnxruntime (`make setup` makes .venv); `--against eval` needs none";
    let new = |exit, code, what: String| Failure::new(exit, Diagnostic::error(code, what).in_file(path));
    match e {
        DebugError::Import(e) => Failure::import(path, &e),
        DebugError::Compile(e) => Failure::compile(path, e),
        DebugError::Run(e) => Failure::runtime(path, &e),
        e @ DebugError::Eval(_) => new(Exit::Unsupported, "E0806", e.to_string()),
        DebugError::NoReference(what) => Failure::new(Exit::Io, Diagnostic::error("E0906", what)).help(help),
        e @ DebugError::Reference(_) => new(Exit::Unsupported, "E0907", e.to_string()),
        DebugError::Usage(what) => new(Exit::Usage, "E0501", what),
        DebugError::Io(what) => Failure::new(Exit::Io, Diagnostic::error("E0001", what)),
    }
}
