//! Graphs through the compiler, and artifacts run in this process or, for Kunpeng, under qemu.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use beiming::artifact;
use beiming_cpu::{Code, EmitOptions};
use beiming_ir::graph::Graph;
use beiming_ir::plan::Program;
use beiming_ir::target::Target;
use beiming_ir::tensor::Tensor;
use beiming_ir::types::DType;
use beiming_ir::verify::{self, Verified};
use beiming_passes::lower::{LowerOptions, lower};
use beiming_passes::{OptimizeOptions, optimize};
use beiming_runtime::{Module, Options, Session, TensorView};

use crate::{npz, repository};

/// A graph after rewriting, and what it was lowered to.
pub struct Compiled {
    /// Rewritten and fused.
    pub graph: Graph,
    /// Kernels and plan.
    pub program: Verified<Program>,
}

/// Rewrites, lowers and verifies.
pub fn compile(graph: &Graph, target: &Target) -> Result<Compiled, String> {
    compile_with(graph, target, &OptimizeOptions::default(), &LowerOptions::default())
}

/// As [`compile`], with these options.
pub fn compile_with(
    graph: &Graph,
    target: &Target,
    rewriting: &OptimizeOptions,
    lowering: &LowerOptions,
) -> Result<Compiled, String> {
    verify::graph(graph.clone()).map_err(|e| e.to_string())?;
    let (graph, _) = optimize(graph.clone(), target, rewriting).map_err(|e| e.to_string())?;
    let graph = verify::graph(graph).map_err(|e| format!("after rewriting: {e}"))?.into_inner();
    let program = lower(&graph, target, lowering).map_err(|e| e.to_string())?;
    Ok(Compiled { program: verify::program(program).map_err(|e| e.to_string())?, graph })
}

/// Machine code of a program, with its LLVM IR and assembly.
pub fn emit(program: &Verified<Program>) -> Result<Code, String> {
    let keep = EmitOptions { threads: 1, llvm_ir: true, assembly: true, origins: false };
    beiming_cpu::emit(program, &keep).map_err(|e| e.to_string())
}

/// Machine code of a program.
pub fn emit_plain(program: &Verified<Program>) -> Result<Code, String> {
    let options = EmitOptions { threads: 1, ..EmitOptions::default() };
    beiming_cpu::emit(program, &options).map_err(|e| e.to_string())
}

/// Writes the artifact of a program.
pub fn write(path: &Path, name: &str, program: &Verified<Program>, code: &Code) -> Result<(), String> {
    artifact::write(path, name, program, code, None, b"").map(drop).map_err(|e| e.to_string())
}

/// Runs an artifact in this process, on poisoned memory.
pub fn run_here(artifact: &Path, inputs: &[(String, Tensor)], threads: usize) -> Result<Vec<Tensor>, String> {
    let module = Arc::new(Module::open(artifact).map_err(|e| e.to_string())?);
    let options = Options { threads, poison: true, ..Options::default() };
    let mut session = Session::new(&module, options).map_err(|e| e.to_string())?;
    let shapes: Vec<Vec<i64>> = inputs.iter().map(|(_, t)| t.shape.iter().map(|d| *d as i64).collect()).collect();
    let mut views = vec![];
    for ((name, t), shape) in inputs.iter().zip(&shapes) {
        let dtype = t.dtype.name().parse().map_err(|_| format!("the runtime has no {}", t.dtype))?;
        views.push((name.as_str(), TensorView { dtype, shape, data: t.bytes() }));
    }
    let outputs = session.run(&views).map_err(|e| e.to_string())?;
    outputs.iter().map(|o| from_runtime(o).ok_or_else(|| format!("an output of {o:?} is no tensor"))).collect()
}

fn from_runtime(o: &beiming_runtime::Tensor) -> Option<Tensor> {
    let dtype: DType = o.dtype().name().parse().ok()?;
    Tensor::new(dtype, o.shape().iter().map(|d| *d as usize).collect(), o.bytes().to_vec().into())
}

/// Runs an artifact for aarch64 under qemu, by the `beiming run` that `make runtime-aarch64` builds (it poisons memory too).
/// Outputs are in the order of the file it writes, which is the model's.
pub fn run_under_qemu(artifact: &Path, inputs: &[(String, Tensor)], folder: &Path) -> Result<Vec<Tensor>, String> {
    let (feed, result) = (folder.join("in.npz"), folder.join("out.npz"));
    npz::write(&feed, inputs).map_err(|e| e.to_string())?;
    let mut c = Command::new("qemu-aarch64");
    c.args(["-L", "/usr/aarch64-linux-gnu"]).arg(runner()?).arg("run").arg(artifact);
    let out = c.arg("--inputs").arg(&feed).arg("--outputs").arg(&result).output().map_err(|e| format!("qemu-aarch64: {e}"))?;
    if !out.status.success() {
        return Err(format!("under qemu: {}: {}", out.status, String::from_utf8_lossy(&out.stderr)));
    }
    Ok(npz::read(&result).map_err(|e| e.to_string())?.into_iter().map(|x| x.1).collect())
}

/// The command line built for aarch64.
fn runner() -> Result<PathBuf, String> {
    let named = std::env::var_os("BEIMING_AARCH64").map(PathBuf::from);
    let path = named.unwrap_or_else(|| repository("target/cross/aarch64-unknown-linux-gnu/release/beiming"));
    if path.is_file() { Ok(path) } else { Err(format!("{} is absent: `make runtime-aarch64` builds it", path.display())) }
}

/// Targets whose code this machine runs.
pub fn native_targets() -> Vec<Target> {
    let all = [Target::x86_64_v3(), Target::x86_64_v4()];
    all.into_iter().filter(|t| cfg!(target_arch = "x86_64") && t.vector_bytes <= Target::host().vector_bytes).collect()
}
