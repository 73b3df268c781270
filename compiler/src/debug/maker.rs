//! Compiling a graph and running it, with what lies between to look at.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use beiming_ir::graph::Graph;
use beiming_ir::plan::Program;
use beiming_ir::target::Target;
use beiming_ir::tensor::Tensor;
use beiming_runtime::{Module, Session, TensorView};

use super::DebugError;
use crate::cli::{emulate, npz, temp};
use crate::driver::{self, CompileError, Next, Options, Product, Watch};
use crate::stage::{Ir, Staged};

/// How graphs are compiled and run.
#[derive(Clone)]
pub struct Maker<'a> {
    /// What for. A foreign target runs under qemu.
    pub target: Target,
    /// How.
    pub options: Options,
    /// Threads of a run.
    pub threads: usize,
    /// Changes every program before it becomes code: to try another kernel where one is suspected, or to break one in a test.
    pub edit: Option<&'a (dyn Fn(&mut Program) + Sync)>,
    /// Set by another thread, it ends the compilation under way and those to come.
    pub stop: Option<&'a AtomicBool>,
}

/// Hears whether to go on.
struct Ear<'a>(Option<&'a AtomicBool>);

impl Ear<'_> {
    fn next(&self) -> Next {
        if self.0.is_some_and(|s| s.load(Ordering::Relaxed)) { Next::Stop } else { Next::Continue }
    }
}

impl Watch for Ear<'_> {
    fn product(&mut self, _: Product<'_>) -> Result<Next, CompileError> {
        Ok(self.next())
    }

    fn kernels(&mut self, _: usize, _: usize) -> Next {
        self.next()
    }
}

/// A graph, compiled as far as there are kernels.
pub struct Built {
    /// After optimisation.
    pub fused: Graph,
    /// Kernels and plan.
    pub program: Program,
}

/// A graph that was run.
pub struct Ran {
    /// What ran.
    pub built: Built,
    /// Outputs in order.
    pub outputs: Vec<Tensor>,
}

impl Maker<'_> {
    /// For a target, with default options.
    pub fn new(target: Target) -> Maker<'static> {
        Maker { target, options: Options::default(), threads: 1, edit: None, stop: None }
    }

    /// Optimises and lowers.
    pub fn build(&self, graph: Graph) -> Result<Built, DebugError> {
        let (fused, _) = beiming_passes::optimize(graph, &self.target, &self.options.optimize).map_err(CompileError::from)?;
        self.lower(fused)
    }

    /// Lowers a graph that is optimised already.
    pub fn lower(&self, fused: Graph) -> Result<Built, DebugError> {
        let lowered = beiming_passes::lower::lower(&fused, &self.target, &self.options.lower);
        let mut program = lowered.map_err(CompileError::from)?;
        if let Some(edit) = self.edit {
            edit(&mut program);
        }
        Ok(Built { fused, program })
    }

    /// Compiles and runs. Inputs are found by name; more than the graph has are no fault.
    pub fn run(&self, graph: Graph, inputs: &[(String, Tensor)]) -> Result<Ran, DebugError> {
        let given = given(&graph, inputs)?;
        let built = self.build(graph)?;
        self.finish(built, &given)
    }

    /// As [`Maker::run`], for a graph that is optimised already.
    pub fn run_fused(&self, fused: Graph, inputs: &[(String, Tensor)]) -> Result<Ran, DebugError> {
        let given = given(&fused, inputs)?;
        let built = self.lower(fused)?;
        self.finish(built, &given)
    }

    fn finish(&self, built: Built, given: &[(String, Tensor)]) -> Result<Ran, DebugError> {
        let folder = temp::Folder::new().map_err(DebugError::tool)?;
        let file = folder.file("model.bmg");
        let staged = || {
            let ir = Ir::Program(Box::new(built.program.clone()), Box::default());
            let (target, subnormals) = (self.target.name.clone(), built.program.plan.subnormals);
            Ok(Staged { model: "model".into(), target, subnormals, ir })
        };
        driver::resume(staged, &self.target, &self.options, &file, &mut Ear(self.stop))?;
        let outputs = super::reference::with_views(given, |views| self.launch(&file, &folder, &built.program, views))?;
        Ok(Ran { built, outputs })
    }

    /// Runs an artifact, under qemu where it is another machine's.
    fn launch(
        &self,
        file: &Path,
        folder: &temp::Folder,
        program: &Program,
        views: &[(&str, TensorView<'_>)],
    ) -> Result<Vec<Tensor>, DebugError> {
        if !emulate::is_foreign(&self.target.triple) {
            let module = Arc::new(Module::open(file)?);
            let options = beiming_runtime::Options { threads: self.threads, poison: true, ..Default::default() };
            let outputs = Session::new(&module, options)?.run(views)?;
            return outputs.iter().map(own).collect();
        }
        let (feed, out) = (folder.file("inputs.npz"), folder.file("outputs.npz"));
        npz::write(&feed, views).map_err(DebugError::tool)?;
        let mut c = emulate::command(&[]).map_err(DebugError::tool)?;
        c.arg("run").arg(file).arg("--inputs").arg(&feed).arg("--outputs").arg(&out);
        c.args(["--threads", &self.threads.to_string()]);
        emulate::stdout(c).map_err(DebugError::tool)?;
        let arrays = npz::read(&out).map_err(DebugError::tool)?;
        let find = |p: &beiming_ir::plan::Port| {
            let a = arrays.iter().find(|a| a.name == *p.name);
            a.ok_or_else(|| DebugError::Io(format!("the run gave no output `{}`", p.name))).and_then(super::reference::tensor)
        };
        program.plan.outputs.iter().map(find).collect()
    }
}

/// The inputs of a graph, by name and in its order.
fn given(graph: &Graph, inputs: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>, DebugError> {
    let find = |v: &beiming_ir::graph::ValueId| {
        let name = &graph.value(*v).name;
        let found = inputs.iter().find(|(n, _)| **n == **name).cloned();
        found.ok_or_else(|| DebugError::Usage(format!("input `{name}` is not given")))
    };
    graph.inputs.iter().map(find).collect()
}

/// A tensor of the runtime as one of the IR.
fn own(t: &beiming_runtime::Tensor) -> Result<Tensor, DebugError> {
    let dtype = t.dtype().name().parse().map_err(DebugError::Usage)?;
    let shape = t.shape().iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect();
    let whole = Tensor::new(dtype, shape, t.bytes().to_vec().into());
    whole.ok_or_else(|| DebugError::Io(format!("an output of type {} has not as many bytes as its shape", t.dtype())))
}
