//! One case: its encodings, and what becomes of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use beiming::import::stablehlo::{self, translate};
use beiming::import::{ImportError, ImportOptions};
use beiming_ir::graph::{Graph, Loc};
use beiming_ir::text::{Constants, print_graph};
use translate::{Settings, Translation};

use crate::ran::{self, Ran};
use crate::unjudged;

/// A program in its encodings.
pub struct Case {
    /// The suite.
    pub suite: String,
    /// Name in the suite.
    pub name: String,
    /// Files, in order of name.
    pub files: Vec<PathBuf>,
}

/// How far a case came.
#[derive(Default)]
pub struct Outcome {
    /// Why it does not take part, such as several processes.
    pub apart: Option<&'static str>,
    /// Encodings read, and those that are there.
    pub read: (usize, usize),
    /// Functions translated, of those there are.
    pub functions: (usize, usize),
    /// What went wrong at import: the first message.
    pub import: Option<String>,
    /// Why functions of the first encoding do not translate, one message a function.
    pub refused: Vec<String>,
    /// Encodings import to different graphs.
    pub differ: Option<String>,
    /// What came of running it.
    pub usual: Ran,
    /// What came of running it as it is written.
    pub as_written: Ran,
    /// Why StableHLO's own interpreter does not judge it.
    pub unjudged: Option<&'static str>,
    /// How long it took.
    pub took: Duration,
}

impl Case {
    /// The case of a folder, or of an artifact that lies with its texts.
    pub fn find(suite: &str, name: &str, path: &Path) -> std::io::Result<Vec<Case>> {
        let case = |name: &str, files: Vec<PathBuf>| Case { suite: suite.into(), name: name.into(), files };
        if path.is_file() {
            // An artifact beside the texts that were read out of it.
            let Some(stem) = name.strip_suffix(".mlirbc") else { return Ok(vec![]) };
            let mut files = vec![path.to_path_buf()];
            files.extend(["mlir", "generic.mlir"].map(|x| path.with_file_name(format!("{stem}.{x}"))));
            files.retain(|f| f.exists());
            return Ok(vec![case(stem, files)]);
        }
        let mut files = std::fs::read_dir(path)?.map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>()?;
        files.retain(|f| f.extension().is_some_and(|x| x == "mlir" || x == "mlirbc"));
        // The text as it was written comes first: its messages are the ones to read.
        files.sort_by_key(|f| (f.file_name().is_none_or(|n| n != "orig.mlir"), f.clone()));
        Ok(if files.is_empty() { vec![] } else { vec![case(name, files)] })
    }
}

/// How a program is computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// As always.
    Usual,
    /// As it is written, step by step: [`ImportOptions::as_written`].
    AsWritten,
}

/// The text of what a panic said.
fn panicked(e: Box<dyn std::any::Any + Send>) -> String {
    let text = e.downcast_ref::<String>().cloned().or_else(|| e.downcast_ref::<&str>().map(|s| s.to_string()));
    format!("panic: {}", text.unwrap_or_default())
}

/// Runs `f`; a panic is an error.
pub fn guarded<T, E: From<String>>(f: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|e| Err(panicked(e).into()))
}

/// A module: each function that stands for a program, or why it does not translate.
pub type Programs = Vec<(String, Result<Translation, String>)>;

/// Reads a module and translates `main`, or where there is none every public function.
fn read(path: &Path, mode: Mode) -> Result<Programs, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let settings = Settings { checks: true, lift: true };
    let module = stablehlo::module(bytes.into()).map_err(|e| e.to_string())?;
    let one = |f: Option<&str>| {
        let as_written = mode == Mode::AsWritten;
        let options = ImportOptions { function: f.map(str::to_string), as_written, ..ImportOptions::default() };
        translate::translate(&module, &options, settings, translate::Known::default()).map_err(|e: ImportError| e.to_string())
    };
    let public: Vec<&str> = module.functions.iter().filter(|f| f.public).map(|f| &*f.name).collect();
    if public.len() < 2 || public.contains(&"main") {
        return Ok(vec![("main".into(), one(None))]);
    }
    Ok(public.into_iter().map(|f| (f.to_string(), one(Some(f)))).collect())
}

/// What must be equal in all encodings of a module.
fn meaning(programs: &Programs) -> String {
    let mut out = String::new();
    for (name, p) in programs {
        out += &match p {
            Ok(t) => format!("@{name} {}", canonical(&t.graph)),
            Err(_) => format!("@{name} is not translated\n"),
        };
    }
    out
}

/// The graph without what differs between encodings by nature: places in the source, and the program's name.
fn canonical(g: &Graph) -> String {
    fn strip(g: &Graph) -> Graph {
        let mut out = Graph::new("", g.symbols.clone());
        out.consts = g.consts.clone();
        out.regions = g.regions.iter().map(strip).collect();
        let mut inputs = g.inputs.iter().peekable();
        let mut add_inputs = |out: &mut Graph, before: u32| {
            while let Some(v) = inputs.next_if(|v| v.0 < before) {
                out.add_input("", g.ty(*v).clone());
            }
        };
        for n in g.nodes() {
            add_inputs(&mut out, n.outputs.first().map_or(0, |v| v.0));
            let types = n.outputs.iter().map(|v| g.ty(*v).clone()).collect();
            out.push_typed(n.op.clone(), n.inputs.clone(), types, Loc::default());
        }
        add_inputs(&mut out, u32::MAX);
        for v in &g.outputs {
            out.add_output("", *v);
        }
        out
    }
    print_graph(&strip(g), Constants::Inline)
}

/// The first line in which two texts differ.
fn first_difference(a: &str, b: &str) -> String {
    let (mut x, mut y) = (a.lines(), b.lines());
    loop {
        match (x.next(), y.next()) {
            (Some(p), Some(q)) if p == q => {}
            (p, q) => {
                let cut = |l: Option<&str>| l.unwrap_or("the end").chars().take(120).collect::<String>();
                return format!("`{}` and `{}`", cut(p), cut(q));
            }
        }
    }
}

/// Why a program is for others than this compiler, by its text.
fn apart(c: &Case) -> Option<&'static str> {
    let text = std::fs::read_to_string(c.files.first()?).ok()?;
    if text.contains("interpreter.run_parallel") {
        return Some("several processes");
    }
    text.contains("interpreter.probe").then_some("instruments of the reference interpreter")
}

/// Runs a case as far as it goes.
pub fn run(c: &Case, only_eval: bool) -> Outcome {
    let started = Instant::now();
    let unjudged = if c.suite == "testdata" { unjudged::why(&c.name) } else { None };
    let mut o = Outcome { apart: apart(c), read: (0, c.files.len()), unjudged, ..Outcome::default() };
    if o.apart.is_none() {
        attempt(c, only_eval, &mut o);
    }
    o.took = started.elapsed();
    o
}

fn attempt(c: &Case, only_eval: bool, o: &mut Outcome) {
    let mut first: Option<(&Path, Programs, String)> = None;
    for path in &c.files {
        let file = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let programs = match guarded(|| read(path, Mode::Usual)) {
            Ok(p) => p,
            Err(e) => {
                o.import.get_or_insert(format!("{file}: {e}"));
                continue;
            }
        };
        for (name, p) in &programs {
            if let Err(e) = p {
                o.import.get_or_insert(format!("{file} @{name}: {e}"));
            }
        }
        o.read.0 += 1;
        let text = meaning(&programs);
        match &first {
            None => first = Some((path, programs, text)),
            Some((_, _, have)) if *have == text => {}
            Some((_, _, have)) => {
                o.differ.get_or_insert(format!("{file}: {}", first_difference(have, &text)));
            }
        }
    }
    let Some((path, programs, _)) = first else { return };
    let refused = programs.iter().filter_map(|(name, p)| Some(format!("@{name}: {}", p.as_ref().err()?)));
    o.refused = refused.collect();
    o.functions = (programs.iter().filter(|(_, p)| p.is_ok()).count(), programs.len());
    o.usual = ran::programs(path, &programs, Mode::Usual, only_eval);
    o.as_written = match guarded(|| read(path, Mode::AsWritten)) {
        Ok(p) => ran::programs(path, &p, Mode::AsWritten, only_eval),
        Err(e) => Ran { eval: Some(e.clone()), cpu: Some(e), ..Ran::default() },
    };
}
