//! The way from a model to an artifact.

use std::path::Path;
use std::time::Instant;

use beiming_cpu::EmitOptions;
use beiming_ir::target::Target;
use beiming_ir::verify;
use beiming_passes::lower::{LowerErrors, LowerOptions};
use beiming_passes::{OptimizeOptions, PassError};
use thiserror::Error;

use crate::artifact::{self, Sizes, WriteError};
use crate::import::{self, ImportError, ImportOptions};

/// What a compilation is asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Shapes, ranges and trust while reading.
    pub import: ImportOptions,
    /// Rewriting.
    pub optimize: OptimizeOptions,
    /// Lowering.
    pub lower: LowerOptions,
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
    #[error(transparent)]
    Verify(#[from] verify::VerifyErrors),
    /// Code generation.
    #[error(transparent)]
    Emit(#[from] beiming_cpu::EmitError),
    /// Writing the artifact.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What a compilation did.
#[derive(Debug, Default)]
pub struct Summary {
    /// Seconds of each stage, in order.
    pub seconds: Vec<(&'static str, f64)>,
    /// Distinct kernels.
    pub kernels: usize,
    /// Kernel calls.
    pub launches: usize,
    /// Bytes of the arena, and without reuse.
    pub arena: (u64, u64),
    /// Sizes of the artifact.
    pub sizes: Sizes,
}

/// Compiles a model into an artifact at `out`.
///
/// # Errors
/// [`CompileError`], each kind apart: the model, what is not supported, our own faults, the machine.
pub fn compile(model: &Path, target: &Target, options: &Options, out: &Path) -> Result<Summary, CompileError> {
    let mut summary = Summary::default();
    let mut clock = Instant::now();
    let mut lap = |name: &'static str, s: &mut Summary| {
        s.seconds.push((name, clock.elapsed().as_secs_f64()));
        clock = Instant::now();
    };
    let graph = import::read(model, &options.import)?;
    lap("read", &mut summary);
    let (graph, report) = beiming_passes::optimize(graph, target, &options.optimize)?;
    lap("optimize", &mut summary);
    let program = beiming_passes::lower::lower(&graph, target, &options.lower)?;
    drop(graph);
    lap("lower", &mut summary);
    let program = verify::program(program)?;
    lap("verify", &mut summary);
    let code = beiming_cpu::emit(&program, &EmitOptions::default())?;
    lap("emit", &mut summary);
    let name = model.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
    summary.sizes = artifact::write(out, &name, &program, &code, report.to_string().as_bytes())?;
    lap("write", &mut summary);
    summary.kernels = program.kernels.len();
    summary.launches = program.plan.steps.len();
    summary.arena = (program.plan.arena, program.plan.arena_without_reuse);
    Ok(summary)
}
