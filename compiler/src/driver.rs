//! The way from a model to an artifact: read, optimise, lower, verify, emit, write. It can start from any stage that was
//! written out, and whoever watches sees every stage's result and may stop after it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use beiming_cpu::{Code, EmitOptions};
use beiming_ir::graph::Graph;
use beiming_ir::kernel::Kernel;
use beiming_ir::plan::{Program, Side, Subnormals};
use beiming_ir::target::{Family, Target};
use beiming_ir::verify;
use beiming_passes::lower::{LowerErrors, LowerOptions, lower_reported};
use beiming_passes::{OptimizeOptions, PassError};
use bytes::Bytes;
use thiserror::Error;

use crate::artifact::{self, Sizes, WriteError};
use crate::ascend::Ascend;
use crate::explanation::{Explanation, Optimizer};
use crate::import::{self, ImportError, ImportOptions};
use crate::stage::{Ir, Staged};

/// What a compilation is asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Shapes, ranges and trust while reading.
    pub import: ImportOptions,
    /// Rewriting.
    pub optimize: OptimizeOptions,
    /// Lowering.
    pub lower: LowerOptions,
    /// Code generation.
    pub emit: EmitOptions,
    /// What kernels do with subnormal numbers; where it is not said, what the model's format stands for: [`import::Format::subnormals`].
    pub subnormals: Option<Subnormals>,
    /// For an NPU: the folder that the project of kernels and host code is written to.
    pub project: Option<PathBuf>,
}

impl Options {
    /// Has a StableHLO program computed as it is written: translated step by step, with no rewriting and no lowering that rounds
    /// in another order or less often.
    pub fn as_written(&mut self) {
        self.import.as_written = true;
        self.optimize.reassociate = false;
        self.lower.in_order = true;
    }
}

/// Why a compilation failed.
#[derive(Debug, Error)]
pub enum CompileError {
    /// The model.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A pass: our fault.
    #[error(transparent)]
    Pass(#[from] PassError),
    /// Ops that cannot be lowered for the target.
    #[error(transparent)]
    Lower(#[from] LowerErrors),
    /// The verifier refused what the passes made: our fault.
    #[error("{errors}")]
    Verify {
        /// What is wrong.
        errors: verify::VerifyErrors,
        /// What was refused, to be printed.
        program: Box<Program>,
    },
    /// Code generation.
    #[error(transparent)]
    Emit(#[from] beiming_cpu::EmitError),
    /// Ascend C.
    #[error(transparent)]
    Ascend(#[from] beiming_ascend::emit::EmitError),
    /// Writing the artifact.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A stage cannot do what was asked of it.
    #[error("{0}")]
    Stage(String),
    /// Writing what a watcher wanted.
    #[error("cannot write {path}: {source}")]
    Output {
        /// The file.
        path: std::path::PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// The result of a stage.
#[derive(Clone, Copy, Debug)]
pub enum Product<'a> {
    /// The graph as imported.
    Graph(&'a Graph, Subnormals),
    /// The graph after optimisation.
    Fused(&'a Graph, &'a Optimizer, Subnormals),
    /// Kernels and plan, verified.
    Program(&'a Program, &'a Explanation),
    /// Machine code.
    Code(&'a Code),
}

/// Whether to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// To the next stage.
    Continue,
    /// No further.
    Stop,
}

/// Sees a compilation pass by.
pub trait Watch {
    /// A stage begins.
    fn begin(&mut self, _stage: &'static str) {}

    /// A stage's result.
    ///
    /// # Errors
    /// Where it cannot be written; the compilation ends.
    fn product(&mut self, _product: Product<'_>) -> Result<Next, CompileError> {
        Ok(Next::Continue)
    }

    /// `done` of `total` kernels have been written.
    fn kernels(&mut self, _done: usize, _total: usize) -> Next {
        Next::Continue
    }
}

/// Sees nothing.
impl Watch for () {}

/// Names of the stages, in order; those before the one a compilation resumes from are left out.
pub const STAGES: [&str; 6] = ["read", "optimize", "lower", "verify", "emit", "write"];

/// What a compilation did.
#[derive(Debug, Default)]
pub struct Summary {
    /// Seconds of each stage, in order.
    pub seconds: Vec<(&'static str, f64)>,
    /// Distinct kernels.
    pub kernels: usize,
    /// Steps of the plan.
    pub launches: usize,
    /// Bytes of the arena, and without reuse.
    pub arena: (u64, u64),
    /// Sizes of the artifact; zero where the watcher stopped before.
    pub sizes: Sizes,
}

impl Summary {
    /// As an object: `stages` in seconds with their sum, counts, and sizes in bytes.
    pub fn to_json(&self) -> serde_json::Value {
        let stages: serde_json::Map<String, serde_json::Value> =
            self.seconds.iter().map(|(stage, t)| (stage.to_string(), (*t).into())).collect();
        serde_json::json!({
            "seconds": self.seconds.iter().map(|x| x.1).sum::<f64>(),
            "stages": stages,
            "kernels": self.kernels,
            "steps": self.launches,
            "arena_bytes": self.arena.0,
            "arena_bytes_without_reuse": self.arena.1,
            "weight_bytes": self.sizes.weights,
            "code_bytes": self.sizes.code,
            "file_bytes": self.sizes.file,
        })
    }
}

/// Tells the watcher and the summary when stages begin and end.
struct Clock<'a> {
    watch: &'a mut dyn Watch,
    summary: Summary,
}

impl Clock<'_> {
    fn time<T>(&mut self, stage: &'static str, f: impl FnOnce() -> T) -> T {
        self.watch.begin(stage);
        let start = Instant::now();
        let result = f();
        self.summary.seconds.push((stage, start.elapsed().as_secs_f64()));
        result
    }

    fn emit(&mut self, program: &verify::Verified<Program>, options: &EmitOptions) -> Result<Code, beiming_cpu::EmitError> {
        self.watch.begin("emit");
        let (start, total) = (Instant::now(), program.kernels.len());
        let watch = &mut *self.watch;
        if program.target.family == Family::Ascend {
            // The kernels that stay on the server's CPU.
            let host: Vec<Kernel> = program.kernels.iter().filter(|k| k.side() == Side::Host).cloned().collect();
            let target = Target { family: Family::Cpu, ..program.target.clone() };
            let result = beiming_cpu::emit_kernels(&host, &target, options);
            self.summary.seconds.push(("emit", start.elapsed().as_secs_f64()));
            return result;
        }
        let result = beiming_cpu::emit_watched(program, options, &mut |done| watch.kernels(done, total) == Next::Continue);
        self.summary.seconds.push(("emit", start.elapsed().as_secs_f64()));
        result
    }
}

/// Reads an ONNX model; its name is the file's.
///
/// # Errors
/// See [`import::read`].
pub fn read(model: &Path, options: &Options) -> Result<Staged, ImportError> {
    let (graph, format) = import::read_as(model, &options.import)?;
    let name = model.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
    Ok(Staged { model: name, target: String::new(), subnormals: format.subnormals(), ir: Ir::Graph(graph) })
}

/// Reads a model from memory. `folder` is where external data lies, if there may be any.
///
/// # Errors
/// See [`import::read_bytes`].
pub fn read_bytes(bytes: Bytes, name: &str, folder: Option<&Path>, options: &Options) -> Result<Staged, ImportError> {
    let subnormals = import::Format::of(&bytes).subnormals();
    let graph = import::read_bytes(bytes, folder, &options.import)?;
    Ok(Staged { model: name.to_string(), target: String::new(), subnormals, ir: Ir::Graph(graph) })
}

/// Compiles a model into an artifact at `out`.
///
/// # Errors
/// [`CompileError`], each kind apart: the model, what is not supported, our own faults, the machine.
pub fn compile(model: &Path, target: &Target, options: &Options, out: &Path) -> Result<Summary, CompileError> {
    resume(|| Ok(read(model, options)?), target, options, out, &mut ())
}

/// Compiles what `from` reads, be it a model or a later stage, into an artifact at `out`.
///
/// # Errors
/// As [`compile`]; kernels alone make no artifact.
pub fn resume(
    from: impl FnOnce() -> Result<Staged, CompileError>,
    target: &Target,
    options: &Options,
    out: &Path,
    watch: &mut dyn Watch,
) -> Result<Summary, CompileError> {
    let mut clock = Clock { watch, summary: Summary::default() };
    let Staged { model, ir, subnormals, .. } = clock.time("read", from)?;
    let subnormals = options.subnormals.unwrap_or(subnormals);
    let Some((mut program, explanation)) = to_program(ir, subnormals, target, options, &mut clock)? else {
        return Ok(clock.summary);
    };
    program.plan.subnormals = subnormals;
    let program = clock.time("verify", || verified(program))?;
    clock.summary.kernels = program.kernels.len();
    clock.summary.launches = program.plan.steps.len();
    clock.summary.arena = (program.plan.arena, program.plan.arena_without_reuse);
    if clock.watch.product(Product::Program(&program, &explanation))? == Next::Stop {
        return Ok(clock.summary);
    }
    let code = clock.emit(&program, &options.emit)?;
    if clock.watch.product(Product::Code(&code))? == Next::Stop {
        return Ok(clock.summary);
    }
    // Strings and numbers always serialise.
    let report = serde_json::to_vec(&explanation).unwrap_or_default();
    let ascend = Ascend::new(&program)?;
    if let (Some(folder), Some(a)) = (&options.project, &ascend) {
        clock.time("write", || a.project(folder, &model, &program, &code, &explanation))?;
    }
    clock.summary.sizes = clock.time("write", || artifact::write(out, &model, &program, &code, ascend.as_ref(), &report))?;
    Ok(clock.summary)
}

/// Optimises and lowers; `None` where the watcher stops.
fn to_program(
    ir: Ir,
    subnormals: Subnormals,
    target: &Target,
    options: &Options,
    clock: &mut Clock<'_>,
) -> Result<Option<(Program, Explanation)>, CompileError> {
    let (graph, optimizer) = match ir {
        Ir::Program(program, explanation) => return Ok(Some((*program, *explanation))),
        Ir::Kernels(_) => {
            return Err(CompileError::Stage("kernels alone make no artifact; `--emit llvm`, `asm` or `so` spells them".into()));
        }
        Ir::Fused(graph, optimizer) => (graph, optimizer),
        Ir::Graph(graph) => {
            if clock.watch.product(Product::Graph(&graph, subnormals))? == Next::Stop {
                return Ok(None);
            }
            let (graph, report) = clock.time("optimize", || beiming_passes::optimize(graph, target, &options.optimize))?;
            (graph, Optimizer::from(&report))
        }
    };
    if clock.watch.product(Product::Fused(&graph, &optimizer, subnormals))? == Next::Stop {
        return Ok(None);
    }
    let mut explanation = Explanation::new(optimizer, &graph, target);
    let (mut program, report) = clock.time("lower", || lower_reported(&graph, target, &options.lower))?;
    beiming_passes::transfer::run(&mut program);
    explanation.lowered(&program, &report);
    Ok(Some((program, explanation)))
}

fn verified(program: Program) -> Result<verify::Verified<Program>, CompileError> {
    // Only structure is copied: weights are shared.
    let copy = program.clone();
    verify::program(program).map_err(|errors| CompileError::Verify { errors, program: Box::new(copy) })
}

/// Machine code of kernels that belong to no model.
///
/// # Errors
/// [`CompileError::Emit`].
pub fn spell(kernels: &[Kernel], target: &Target, options: &Options) -> Result<Code, CompileError> {
    Ok(beiming_cpu::emit_kernels(kernels, target, &options.emit)?)
}
