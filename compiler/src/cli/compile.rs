//! `beiming compile`: a model, or a stage of one, into an artifact or into any stage on the way.

use std::path::{Path, PathBuf};

use beiming_cpu::Code;
use beiming_ir::target::{Family, Target};
use beiming_ir::text::Constants;
use clap::ValueEnum;
use serde_json::json;

use super::failure::{Exit, Failure, Result};
use super::progress::Progress;
use super::{model, output, tiles};
use crate::driver::{self, CompileError, Next, Product, STAGES, Summary, Watch};
use crate::stage::{self, Ir};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    model: model::Args,
    #[command(flatten)]
    tiles: tiles::Args,
    /// Where the result goes. For an NPU a folder: a project of kernels and host code, and the artifact. [default: MODEL.bmg here; stages other than `artifact` and `so` to stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Stop at a stage and write it. Graphs and programs can be given again in place of the model.
    #[arg(long, value_name = "STAGE", default_value = "artifact")]
    emit: Emit,
    /// Write every stage into this folder, numbered.
    #[arg(long, value_name = "DIR")]
    dump: Option<PathBuf>,
    /// Print what was done as JSON.
    #[arg(long)]
    pub json: bool,
    /// With `--emit mlir`: tiles so many times as large as the kernels' own, to see where another compiler's memory ends.
    #[cfg(feature = "mlir")]
    #[arg(long, value_name = "N", default_value = "1", hide = true)]
    mlir_tiles: std::num::NonZeroUsize,
}

/// What is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Emit {
    /// The graph as imported.
    Graph,
    /// The graph after rewriting and fusion.
    Fused,
    /// The fused groups as linalg-on-tensors MLIR, for Huawei's AscendNPU-IR compiler: a module each, verified.
    Mlir,
    /// The kernels.
    Kernels,
    /// The program: kernels, buffers and calls.
    #[value(alias = "program")]
    Plan,
    /// LLVM IR after its passes.
    Llvm,
    /// Assembly.
    Asm,
    /// The shared library of all kernels.
    #[value(alias = "obj")]
    So,
    /// The artifact.
    Artifact,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Exit> {
    let mut model = args.model.open()?;
    args.tiles.apply(&mut model)?;
    if args.emit == Emit::Mlir {
        mlir_can_be_written(&model.target)?;
    }
    let mut out = args.output.clone().or_else(|| default_output(&args.model.model, args.emit));
    if let Some(folder) =
        out.as_ref().filter(|o| model.target.family == Family::Ascend && args.emit == Emit::Artifact && is_folder(o))
    {
        std::fs::create_dir_all(folder).map_err(|e| Failure::io("make the folder", folder, &e))?;
        model.options.project = Some(folder.clone());
        let name = default_output(&args.model.model, args.emit).unwrap_or_else(|| "model.bmg".into());
        out = Some(folder.join(name));
    }
    if args.json && out.is_none() {
        return Err(Failure::usage("--json and the stage would both go to stdout").help("-o FILE writes the stage"));
    }
    if let Some(dir) = &args.dump {
        std::fs::create_dir_all(dir).map_err(|e| Failure::io("make the folder", dir, &e))?;
    }
    model.options.emit.llvm_ir = args.emit == Emit::Llvm || args.dump.is_some();
    model.options.emit.assembly = args.emit == Emit::Asm || args.dump.is_some();
    let name = match &model.staged {
        Some(s) => s.model.clone(),
        None => args.model.model.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned()),
    };
    let mut writer = Writer {
        name,
        target: model.target.name.clone(),
        emit: args.emit,
        out: out.as_deref(),
        dump: args.dump.as_deref(),
        #[cfg(feature = "mlir")]
        tiles: args.mlir_tiles.get(),
    };
    if matches!(&model.staged, Some(s) if matches!(s.ir, Ir::Kernels(_))) {
        return kernels(model, &mut writer);
    }
    let bar = Progress::new(STAGES.len(), !args.json);
    let target = model.target.name.clone();
    let mut watcher = Watcher {
        writer: &mut writer,
        bar: &bar,
        #[cfg(feature = "mlir")]
        fused: None,
    };
    let summary = model.compile(out.as_deref().unwrap_or(Path::new("")), &mut watcher)?;
    drop(bar);
    if args.json {
        output::print_json(&summary_json(&summary, &writer.name, &target, out.as_deref()))?;
    } else if let Some(path) = &out {
        summary_text(&summary, &writer.name, &target, path);
    }
    Ok(Exit::Ok)
}

/// Whether a project is asked for: a folder that is there, or a name that ends in `/` or has no extension.
fn is_folder(path: &Path) -> bool {
    path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/") || path.extension().is_none()
}

/// Whether this build has MLIR, and the target is one whose compiler reads it.
fn mlir_can_be_written(target: &Target) -> Result<()> {
    if !cfg!(feature = "mlir") {
        let how = "build it with `cargo build --release -p beiming --no-default-features --features mlir`, which needs Debian's \
                   libmlir-22-dev and libclang1-22";
        return Err(Failure::unsupported("this beiming was built without MLIR").help(how));
    }
    if target.family != Family::Ascend {
        let what = format!("`--emit mlir` is the form for Ascend's MLIR compiler, and {} is no Ascend chip", target.name);
        return Err(Failure::usage(what).help("`beiming targets` lists the chips"));
    }
    Ok(())
}

/// `MODEL.bmg`, `MODEL.so`, or stdout.
fn default_output(model: &Path, emit: Emit) -> Option<PathBuf> {
    let extension = match emit {
        Emit::Artifact => "bmg",
        Emit::So => "so",
        _ => return None,
    };
    let stem = model.file_stem().unwrap_or(model.as_os_str());
    Some(format!("{}.{extension}", stem.to_string_lossy()).into())
}

/// Kernels without a plan: code is all that can be made of them.
fn kernels(mut model: model::Model, writer: &mut Writer<'_>) -> Result<Exit> {
    let fail = |e| Failure::compile(&model.path, e);
    let Ir::Kernels(list) = model.staged.take().map_or(Ir::Kernels(vec![]), |s| s.ir) else { return Ok(Exit::Ok) };
    if !matches!(writer.emit, Emit::Llvm | Emit::Asm | Emit::So) {
        let what = "kernels alone make no model; `--emit llvm`, `asm` or `so` spells them".to_string();
        return Err(fail(CompileError::Stage(what)));
    }
    let code = driver::spell(&list, &model.target, &model.options).map_err(fail)?;
    writer.code(&code).map_err(fail)?;
    Ok(Exit::Ok)
}

/// Writes what was asked for.
struct Writer<'a> {
    name: String,
    target: String,
    emit: Emit,
    /// `None`: stdout.
    out: Option<&'a Path>,
    dump: Option<&'a Path>,
    /// How many times as large as the kernels' the tiles in MLIR are.
    #[cfg(feature = "mlir")]
    tiles: usize,
}

impl Writer<'_> {
    fn file(path: &Path, bytes: &[u8]) -> std::result::Result<(), CompileError> {
        std::fs::write(path, bytes).map_err(|source| CompileError::Output { path: path.into(), source })
    }

    /// A stage's text, its large constants beside it where there are any.
    fn text(path: &Path, print: &dyn Fn(Constants<'_>) -> String) -> std::result::Result<(), CompileError> {
        let mut side = vec![];
        let text = print(Constants::External(&mut side));
        Self::file(path, text.as_bytes())?;
        let beside = stage::weights_of(path);
        if side.is_empty() {
            // Constants of an earlier run would be taken for this one's.
            return match std::fs::remove_file(&beside) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(CompileError::Output { path: beside, source: e }),
                _ => Ok(()),
            };
        }
        Self::file(&beside, &side)
    }

    /// A stage that goes to `--dump` under this number, and to the output if it is the one asked for.
    fn stage(
        &self,
        number: Option<&str>,
        emit: Emit,
        print: &dyn Fn(Constants<'_>) -> String,
    ) -> std::result::Result<Next, CompileError> {
        if let (Some(dir), Some(number)) = (self.dump, number) {
            Self::text(&dir.join(number), print)?;
        }
        if self.emit != emit {
            return Ok(Next::Continue);
        }
        match self.out {
            Some(path) => Self::text(path, print)?,
            None => self.stdout(&print(Constants::Inline))?,
        }
        Ok(Next::Stop)
    }

    fn stdout(&self, text: &str) -> std::result::Result<(), CompileError> {
        let mut out = std::io::stdout().lock();
        match std::io::Write::write_all(&mut out, text.as_bytes()) {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(CompileError::Output { path: "stdout".into(), source: e })
            }
            _ => Ok(()),
        }
    }

    fn code(&self, code: &Code) -> std::result::Result<Next, CompileError> {
        let (ir, asm) = (code.llvm_ir.as_deref().unwrap_or_default(), code.assembly.as_deref().unwrap_or_default());
        let all: [(Emit, &str, &[u8]); 3] = [
            (Emit::Llvm, "40-kernels.ll", ir.as_bytes()),
            (Emit::Asm, "50-kernels.s", asm.as_bytes()),
            (Emit::So, "60-kernels.so", &code.library),
        ];
        for (emit, name, bytes) in all {
            if let Some(dir) = self.dump {
                Self::file(&dir.join(name), bytes)?;
            }
            if self.emit == emit {
                match self.out {
                    Some(path) => Self::file(path, bytes)?,
                    None => self.stdout(&String::from_utf8_lossy(bytes))?,
                }
            }
        }
        Ok(if self.emit == Emit::Artifact { Next::Continue } else { Next::Stop })
    }
}

/// Shows progress and writes stages.
struct Watcher<'a, 'b> {
    writer: &'a mut Writer<'b>,
    bar: &'a Progress,
    /// The optimised graph, kept until it is known which kernels its groups become.
    #[cfg(feature = "mlir")]
    fused: Option<beiming_ir::graph::Graph>,
}

impl Watch for Watcher<'_, '_> {
    fn begin(&mut self, name: &'static str) {
        self.bar.step(name, STAGES.iter().position(|s| *s == name).unwrap_or(0));
    }

    fn product(&mut self, product: Product<'_>) -> std::result::Result<Next, CompileError> {
        let w = &self.writer;
        match product {
            Product::Graph(g, s) => w.stage(Some("10-graph.txt"), Emit::Graph, &|c| stage::graph_text(&w.name, s, g, c)),
            Product::Fused(g, o, s) => {
                #[cfg(feature = "mlir")]
                if w.emit == Emit::Mlir {
                    self.fused = Some(g.clone());
                }
                w.stage(Some("20-fused.txt"), Emit::Fused, &|c| stage::fused_text(&w.name, &w.target, s, g, o, c))
            }
            Product::Program(p, e) => {
                #[cfg(feature = "mlir")]
                if w.emit == Emit::Mlir {
                    let none =
                        || CompileError::Stage("a program has no groups any more; give the model, or its fused graph".into());
                    let g = self.fused.as_ref().ok_or_else(none)?;
                    return w.stage(None, Emit::Mlir, &|_| crate::mlir::text(&w.name, g, e, w.tiles));
                }
                let next = w.stage(Some("30-program.txt"), Emit::Plan, &|c| stage::program_text(&w.name, p, e, c))?;
                if next == Next::Stop { Ok(next) } else { w.stage(None, Emit::Kernels, &|_| stage::kernels_text(&w.name, p)) }
            }
            Product::Code(code) => w.code(code),
        }
    }
}

/// Most memory this process has had at once, in bytes, by the kernel's count.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

/// The summary, with what only the command knows.
fn summary_json(s: &Summary, model: &str, target: &str, out: Option<&Path>) -> serde_json::Value {
    let mut doc = s.to_json();
    doc["model"] = json!(model);
    doc["target"] = json!(target);
    doc["output"] = json!(out);
    doc["peak_memory_bytes"] = json!(peak_memory());
    doc
}

fn summary_text(s: &Summary, model: &str, target: &str, out: &Path) {
    let total: f64 = s.seconds.iter().map(|x| x.1).sum();
    let stages: Vec<String> = s.seconds.iter().map(|(stage, t)| format!("{stage} {t:.2}")).collect();
    output::note(&format!("{model} for {target} -> {} in {total:.2} s ({})", out.display(), stages.join(", ")));
    if s.sizes.file > 0 {
        output::note(&format!(
            "{} kernels, {} steps; arena {} ({} without reuse); weights {}, code {}, file {}",
            s.kernels,
            s.launches,
            output::bytes(s.arena.0),
            output::bytes(s.arena.1),
            output::bytes(s.sizes.weights),
            output::bytes(s.sizes.code),
            output::bytes(s.sizes.file),
        ));
    }
}
