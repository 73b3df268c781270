//! `beiming inspect`: what an artifact, a model or the text of a stage holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use beiming_runtime::format::container::{Artifact, MAGIC, WEIGHTS};
use beiming_runtime::format::manifest::{Manifest, Port, Step};
use serde_json::{Value, json};

use super::failure::{Exit, Failure, Result};
use super::output;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// An artifact, an ONNX model, or the text of a stage.
    pub file: PathBuf,
    /// Shape of an input of a model: `input:1x3x224x224`.
    #[cfg(feature = "compile")]
    #[arg(long, value_name = "NAME:DIMS")]
    pub shape: Vec<String>,
    /// Value or range of a symbol of a model: `N=4`, `N=1..64`.
    #[cfg(feature = "compile")]
    #[arg(long, value_name = "SYMBOL=VALUE")]
    pub dim: Vec<String>,
    /// Value of an input of a model that never changes: `sr=16000`.
    #[cfg(feature = "compile")]
    #[arg(long, value_name = "INPUT=VALUE")]
    pub value: Vec<String>,
    /// Weights for inputs of the same names, from a .safetensors or .npz file.
    #[cfg(feature = "compile")]
    #[arg(long, value_name = "FILE")]
    pub bind: Vec<PathBuf>,
    /// The function of a StableHLO module. [default: `main`, or the only public one]
    #[cfg(feature = "compile")]
    #[arg(long, value_name = "NAME")]
    pub function: Option<String>,
    /// Open external data of a model through links.
    #[cfg(feature = "compile")]
    #[arg(long)]
    pub allow_external_links: bool,
    /// Write a page instead: the graph of kernels, their ops, times and sources, memory, weights. It needs nothing but itself.
    #[cfg(feature = "compile")]
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    pub html: Option<PathBuf>,
    /// Run it, and put the times of its steps into the page: on random inputs, or on those of `--inputs`.
    #[cfg(feature = "compile")]
    #[arg(long, requires = "html")]
    pub measure: bool,
    /// Threads of the measurement; 0 takes every core, which is what predictions are for.
    #[cfg(feature = "compile")]
    #[arg(long, requires = "measure", default_value_t = 0)]
    pub threads: usize,
    #[cfg(feature = "compile")]
    #[command(flatten)]
    pub feed: super::feed::Args,
    /// What the page's model is compiled for. [default: host]
    #[cfg(feature = "compile")]
    #[arg(long, requires = "html")]
    pub target: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Exit> {
    #[cfg(feature = "compile")]
    if let Some(html) = &args.html {
        return super::inspect_html::run(args, html);
    }
    let doc = if is_artifact(&args.file)? { artifact(&args.file)? } else { other(args)? };
    if args.json {
        output::print_json(&doc)?
    } else {
        output::print(&text(&doc))?
    }
    Ok(Exit::Ok)
}

/// Whether a file is an artifact, by its first bytes.
pub fn is_artifact(path: &Path) -> Result<bool> {
    let mut head = vec![];
    let file = std::fs::File::open(path).map_err(|e| Failure::io("open", path, &e))?;
    let read = std::io::Read::read_to_end(&mut std::io::Read::take(file, MAGIC.len() as u64), &mut head);
    read.map_err(|e| Failure::io("read", path, &e))?;
    Ok(head == MAGIC)
}

#[cfg(feature = "compile")]
fn other(args: &Args) -> Result<Value> {
    super::inspect_model::describe(args)
}

/// Without the compiler only artifacts are known, and the runtime says why this is none.
#[cfg(not(feature = "compile"))]
fn other(args: &Args) -> Result<Value> {
    artifact(&args.file)
}

fn artifact(path: &Path) -> Result<Value> {
    let fail = |e| Failure::runtime(path, &e);
    let file = Artifact::open(path).map_err(fail)?;
    let m = file.manifest().map_err(fail)?;
    let hex = |h: &[u8]| h.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let sections: Vec<Value> = file
        .sections()
        .iter()
        .map(|s| json!({ "name": s.name, "offset": s.offset, "bytes": s.length, "blake3": hex(&s.hash) }))
        .collect();
    let compiled = Compiled {
        kind: "artifact",
        name: &m.model,
        target: json!(m.target),
        symbols: symbols(m.symbols.iter().map(|(n, r)| (n.as_str(), r.lo, r.hi))),
        inputs: ports(&m, &m.inputs),
        outputs: ports(&m, &m.outputs),
        kernels: m.kernels.iter().map(|k| (k.symbol.as_str(), k.scratch)).collect(),
        weights: (m.weights.len(), file.section(WEIGHTS).map_or(0, <[u8]>::len)),
        subnormals: json!(m.subnormals),
        arena: (m.arena, m.arena_without_reuse),
    };
    let mut doc = compiled.document(&m.steps, &kind);
    (doc["compiler"], doc["sections"]) = (json!(m.compiler), json!(sections));
    Ok(doc)
}

/// What is known of a compiled model, be it an artifact or the program that becomes one.
pub struct Compiled<'a> {
    /// What the file is.
    pub kind: &'static str,
    /// The model's name.
    pub name: &'a str,
    /// What it is compiled for.
    pub target: Value,
    /// Ranges of symbols.
    pub symbols: Value,
    /// Inputs.
    pub inputs: Vec<Value>,
    /// Outputs.
    pub outputs: Vec<Value>,
    /// Names, and bytes of scratch of a thread.
    pub kernels: Vec<(&'a str, u64)>,
    /// Number and bytes.
    pub weights: (usize, usize),
    /// What subnormal numbers become.
    pub subnormals: Value,
    /// Bytes of the arena, and without reuse.
    pub arena: (u64, u64),
}

/// A step as it is counted: what it is, the kernel it calls, the steps within it.
pub struct Kind<'a, S> {
    /// Name.
    pub name: &'static str,
    /// Kernel.
    pub kernel: Option<u32>,
    /// Branches or a body.
    pub within: [&'a [S]; 2],
}

impl<'a, S> Kind<'a, S> {
    /// A step that holds no others.
    pub fn plain(name: &'static str) -> Kind<'a, S> {
        Kind { name, kernel: None, within: [&[], &[]] }
    }
}

impl Compiled<'_> {
    /// As JSON, with the steps counted.
    pub fn document<S>(self, steps: &[S], kind: &impl Fn(&S) -> Kind<'_, S>) -> Value {
        let (mut calls, mut counts) = (vec![0usize; self.kernels.len()], BTreeMap::new());
        count(steps, kind, &mut calls, &mut counts);
        let kernel =
            |((name, scratch), calls): (&(&str, u64), &usize)| json!({ "name": name, "calls": calls, "scratch": scratch });
        json!({
            "kind": self.kind,
            "name": self.name,
            "target": self.target,
            "symbols": self.symbols,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "steps": counts,
            "kernels": self.kernels.iter().zip(&calls).map(kernel).collect::<Vec<_>>(),
            "weights": { "count": self.weights.0, "bytes": self.weights.1 },
            "subnormals": self.subnormals,
            "arena": { "bytes": self.arena.0, "without_reuse": self.arena.1 },
        })
    }
}

fn count<S>(list: &[S], kind: &impl Fn(&S) -> Kind<'_, S>, calls: &mut [usize], counts: &mut BTreeMap<&'static str, usize>) {
    for s in list {
        let k = kind(s);
        if let Some(n) = k.kernel.and_then(|k| calls.get_mut(k as usize)) {
            *n += 1;
        }
        *counts.entry(k.name).or_default() += 1;
        k.within.into_iter().for_each(|steps| count(steps, kind, calls, counts));
    }
}

fn kind(s: &Step) -> Kind<'_, Step> {
    match s {
        Step::Launch { kernel, .. } => Kind { kernel: Some(*kernel), ..Kind::plain("launch") },
        Step::Host { .. } => Kind::plain("host"),
        Step::Copy { .. } => Kind::plain("copy"),
        Step::Transfer { .. } => Kind::plain("transfer"),
        Step::Store { .. } => Kind::plain("store"),
        Step::ReadDim { .. } => Kind::plain("read_dim"),
        Step::If { then, otherwise, .. } => Kind { within: [then, otherwise], ..Kind::plain("if") },
        Step::Loop { body, .. } => Kind { within: [body, &[]], ..Kind::plain("loop") },
    }
}

/// Ranges of symbols; no upper end where there is none.
pub fn symbols<'a>(list: impl Iterator<Item = (&'a str, i64, i64)>) -> Value {
    let range = |(name, lo, hi): (&str, i64, i64)| (name.to_string(), json!({ "lo": lo, "hi": (hi != i64::MAX).then_some(hi) }));
    Value::Object(list.map(range).collect())
}

/// An input or output.
pub fn port(name: &str, dtype: Option<&str>, shape: &[String]) -> Value {
    json!({ "name": name, "dtype": dtype, "shape": shape })
}

fn ports(m: &Manifest, list: &[Port]) -> Vec<Value> {
    let one = |p: &Port| {
        let s = m.slots.get(p.slot as usize);
        port(&p.name, s.map(|s| s.dtype.name()), s.map_or(&[], |s| s.shape.as_slice()))
    };
    list.iter().map(one).collect()
}

/// The document for people: the same fields for every kind of file.
fn text(doc: &Value) -> String {
    let word = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_string);
    let size = |v: &Value| output::bytes(v.as_u64().unwrap_or(0));
    let mut out = format!("{} `{}`", word(&doc["kind"]), word(&doc["name"]));
    if let Some(t) = doc["target"].as_object() {
        out += &format!(" for {} ({}, {})", word(&t["name"]), word(&t["triple"]), word(&t["cpu"]));
    }
    if let Some(c) = doc["compiler"].as_str() {
        out += &format!(", by {c}");
    }
    out.push('\n');
    for (name, r) in doc["symbols"].as_object().into_iter().flatten() {
        out += &format!("  dim {name} = {}..{}\n", r["lo"], if r["hi"].is_null() { String::new() } else { r["hi"].to_string() });
    }
    for (key, one) in [("inputs", "input "), ("outputs", "output")] {
        for p in doc[key].as_array().into_iter().flatten() {
            let dims: Vec<String> = p["shape"].as_array().into_iter().flatten().map(&word).collect();
            out += &format!("  {one} {}: {}[{}]\n", word(&p["name"]), word(&p["dtype"]), dims.join(", "));
        }
    }
    let rows = |v: &Value, cells: &dyn Fn(&String, &Value) -> Vec<String>| -> Vec<Vec<String>> {
        v.as_object().into_iter().flatten().map(|(k, v)| cells(k, v)).collect()
    };
    for (key, head) in [("source_ops", "operator"), ("ops", "core op"), ("steps", "step")] {
        let mut cells = rows(&doc[key], &|k, n| vec![k.clone(), n.to_string()]);
        cells.sort_by_key(|r| std::cmp::Reverse(r[1].parse::<u64>().unwrap_or(0)));
        if !cells.is_empty() {
            out += &format!("\n{}", output::table(&[head, "count"], &cells));
        }
    }
    let kernels: Vec<Vec<String>> =
        doc["kernels"].as_array().into_iter().flatten().map(|k| vec![word(&k["name"]), k["calls"].to_string()]).collect();
    if !kernels.is_empty() {
        out += &format!("\n{}", output::table(&["kernel", "calls"], &kernels));
    }
    let sections: Vec<Vec<String>> = doc["sections"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|s| vec![word(&s["name"]), s["bytes"].to_string(), word(&s["blake3"]).chars().take(16).collect()])
        .collect();
    if !sections.is_empty() {
        out += &format!("\n{}", output::table(&["section", "bytes", "BLAKE3"], &sections));
    }
    out.push('\n');
    if let Some(w) = doc["weights"].as_object() {
        out += &format!("{} weights of {}\n", w["count"], size(&w["bytes"]));
    }
    if let Some(a) = doc["arena"].as_object() {
        let (bytes, sum) = (a["bytes"].as_u64().unwrap_or(0), a["without_reuse"].as_u64().unwrap_or(0));
        let percent = bytes as f64 * 100.0 / sum.max(1) as f64;
        out += &format!("arena {}, {percent:.0} % of the {} its buffers sum up to\n", size(&a["bytes"]), output::bytes(sum));
    }
    out
}
