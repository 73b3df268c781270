//! The model argument, shared by the commands that compile: an ONNX file or any stage that was written out, and what is said
//! about it on the command line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use beiming_ir::plan::Subnormals;
use beiming_ir::target::npu::ASCEND_TARGETS;
use beiming_ir::target::{CPU_TARGETS, Target};
use beiming_ir::tensor::Tensor;

use super::diagnostic::Diagnostic;
use super::failure::{Exit, Failure, Result};
use super::{feed, npz};
use crate::driver::{self, CompileError, Options, Summary, Watch};
use crate::import;
use crate::stage::{self, Ir, Kind, Staged};

/// What is compiled, and how.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Args {
    /// The model: ONNX, StableHLO (text, portable artifact or a file of `jax.export`), or the text of a stage that `--emit` or `--dump` wrote.
    pub model: PathBuf,
    /// What to compile for; see `beiming targets`. [default: host, or the target of the given stage]
    #[arg(long)]
    pub target: Option<String>,
    /// For an NPU: the CPU of its server, which runs what the NPU does not. [default: host]
    #[arg(long, value_name = "TARGET")]
    pub host: Option<String>,
    /// Shape of an input: `input:1x3x224x224`. Extents may be symbols: `input:Nx3x224x224`.
    #[arg(long, value_name = "NAME:DIMS")]
    pub shape: Vec<String>,
    /// Value or range of a symbol: `N=4`, `N=1..64`.
    #[arg(long, value_name = "SYMBOL=VALUE")]
    pub dim: Vec<String>,
    /// Value of an input that never changes: `sr=16000`. The input is then no longer one of the artifact's.
    #[arg(long, value_name = "INPUT=VALUE")]
    pub value: Vec<String>,
    /// Weights for inputs of the same names, from a .safetensors or .npz file. These are then no inputs of the artifact's.
    #[arg(long, value_name = "FILE")]
    pub bind: Vec<PathBuf>,
    /// The function of a StableHLO module to compile. [default: `main`, or the only public one]
    #[arg(long, value_name = "NAME")]
    pub function: Option<String>,
    /// Open external data through links, as model caches have them. Links may point anywhere: only for folders you trust.
    #[arg(long)]
    pub allow_external_links: bool,
    /// Optimisation level, 0 to 3: LLVM's; 0 also leaves every operation a kernel of its own. [default: the target's, 2]
    #[arg(short = 'O', value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(0..=3))]
    pub opt_level: Option<u8>,
    /// Only rewrites that keep every bit: none that change the order of floating-point operations.
    #[arg(long)]
    pub exact: bool,
    /// Compute a StableHLO program as it is written: products and sums of floats one after another, each rounded to the element
    /// type, in the order in which the reference interpreter takes them, and `chlo.sinh` and `chlo.cosh` by their expansions. Slow, and
    /// larger: for comparisons with that interpreter, nearly bit for bit. What else is a single function (`exponential`, `fft`,
    /// `triangular_solve`) is as accurate as ever. Implies `--exact`.
    #[arg(long)]
    pub as_written: bool,
    /// What arithmetic does with subnormal numbers of f32 and f64. [default: keep for StableHLO, which asks for IEEE 754; flush for
    /// ONNX]
    #[arg(long, value_name = "WHAT")]
    pub subnormals: Option<SubnormalsArg>,
    /// Give every buffer memory of its own, to look at values afterwards.
    #[arg(long)]
    pub no_reuse: bool,
    /// Threads that generate code.
    #[arg(long, default_value_t = 0, value_name = "N", hide_default_value = true)]
    pub compile_threads: usize,
}

/// What arithmetic does with subnormal numbers.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubnormalsArg {
    /// They are numbers like others, and may be many times slower.
    Keep,
    /// They are taken as zero, and zero is given for them.
    Flush,
}

/// A model argument, looked at.
pub struct Model {
    /// The file.
    pub path: PathBuf,
    /// What it is compiled for.
    pub target: Target,
    /// How.
    pub options: Options,
    /// The stage, where it is one; a model is read when it is compiled.
    pub staged: Option<Staged>,
}

impl Args {
    /// Looks at the file and the options.
    pub fn open(&self) -> Result<Model> {
        let staged = match stage::kind(&self.model).map_err(|e| Failure::io("read", &self.model, &e))? {
            Kind::Text => Some(stage::read(&self.model).map_err(|e| Failure::stage(&self.model, &e))?),
            Kind::Model => None,
            Kind::Artifact => {
                return Err(wrong_kind(&self.model, "an artifact: it is compiled already", "`beiming run` runs it"));
            }
            Kind::Code => {
                let help = "start from the graph, the fused graph or the program (`--dump` writes them all)";
                return Err(wrong_kind(&self.model, "code without its plan", help));
            }
        };
        if self.as_written && staged.is_some() {
            let message =
                "`--as-written` says how a StableHLO program is read; this is the text of a stage, which is read already";
            return Err(Failure::usage(message));
        }
        let target = self.target(staged.as_ref())?;
        Ok(Model { path: self.model.clone(), options: self.options()?, target, staged })
    }

    fn target(&self, staged: Option<&Staged>) -> Result<Target> {
        let mut target = match (&self.target, staged) {
            (name, Some(Staged { ir: Ir::Program(p, _), .. })) => {
                if let Some(n) = name.as_ref().filter(|n| **n != p.target.name) {
                    let message = format!("the program is lowered for `{}` and cannot become code for `{n}`", p.target.name);
                    return Err(Failure::usage(message).help("start from an earlier stage"));
                }
                p.target.clone()
            }
            (Some(name), _) => self.by_name(name)?,
            (None, Some(s)) if !s.target.is_empty() => self.by_name(&s.target)?,
            (None, _) => Target::host(),
        };
        if let Some(level) = self.opt_level {
            target.opt_level = level;
        }
        Ok(target)
    }

    fn by_name(&self, name: &str) -> Result<Target> {
        let unknown = |name: &str| {
            let d = Diagnostic::error("E0603", format!("unknown target `{name}`"));
            let all: Vec<&str> = CPU_TARGETS.into_iter().chain(ASCEND_TARGETS).collect();
            Failure::new(Exit::Usage, d.help(format!("targets are: {}", all.join(", "))))
        };
        if let Some(cpu) = Target::by_name(name) {
            return Ok(cpu);
        }
        let host = self.host.as_deref().unwrap_or("host");
        let host = Target::by_name(host).ok_or_else(|| unknown(host))?;
        Target::ascend(name, host).ok_or_else(|| unknown(name))
    }

    fn options(&self) -> Result<Options> {
        let mut o = Options::default();
        self.shape.iter().try_for_each(|s| o.import.add_shape(s)).map_err(Failure::usage)?;
        self.dim.iter().try_for_each(|d| o.import.add_dim(d)).map_err(Failure::usage)?;
        self.value.iter().try_for_each(|v| o.import.add_value(v)).map_err(Failure::usage)?;
        for path in &self.bind {
            o.import.bind.extend(weights(path)?);
        }
        o.import.function = self.function.clone();
        o.import.allow_external_links = self.allow_external_links;
        o.optimize.reassociate = !self.exact;
        if self.as_written {
            o.as_written();
        }
        o.optimize.fuse = self.opt_level != Some(0);
        o.lower.reuse = !self.no_reuse;
        o.emit.threads = self.compile_threads;
        o.subnormals = self.subnormals.map(|s| match s {
            SubnormalsArg::Keep => Subnormals::Keep,
            SubnormalsArg::Flush => Subnormals::Flush,
        });
        Ok(o)
    }
}

impl Model {
    /// Reads the model, or hands out the stage.
    pub fn read(&mut self) -> Result<Staged> {
        match self.staged.take() {
            Some(s) => Ok(s),
            None => driver::read(&self.path, &self.options).map_err(|e| Failure::import(&self.path, &e)),
        }
    }

    /// Whether it is an ONNX model, rather than the text of a stage or StableHLO.
    pub fn is_onnx(&self) -> Result<bool> {
        let stablehlo = || import::is_stablehlo(&self.path).map_err(|e| Failure::import(&self.path, &e));
        Ok(self.staged.is_none() && !stablehlo()?)
    }

    /// Compiles it into an artifact at `out`.
    pub fn compile(self, out: &Path, watch: &mut dyn Watch) -> Result<Summary> {
        let Model { path, target, options, staged } = self;
        let from = || match staged {
            Some(mut s) => {
                // The level of a stage that is lowered already stands in its target.
                if let Ir::Program(p, _) = &mut s.ir {
                    p.target.opt_level = target.opt_level;
                }
                Ok(s)
            }
            None => driver::read(&path, &options).map_err(CompileError::Import),
        };
        driver::resume(from, &target, &options, out, watch).map_err(|e| Failure::compile(&path, e))
    }
}

/// The tensors of a file of weights, by name.
fn weights(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    if path.extension().is_none_or(|e| e != "npz" && e != "npy") {
        return import::safetensors(path).map_err(|e| Failure::import(path, &e));
    }
    let tensor = |a: npz::Array| {
        let shape = a.shape.iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect();
        let t = Tensor::new(feed::ir_type(a.dtype)?, shape, a.bytes.into());
        t.map(|t| (a.name.clone(), t)).ok_or_else(|| Failure::usage(format!("array `{}` is cut off", a.name)))
    };
    npz::read(path)?.into_iter().map(tensor).collect()
}

fn wrong_kind(path: &Path, what: &str, help: &str) -> Failure {
    Failure::new(Exit::Usage, Diagnostic::error("E0501", format!("this is {what}")).in_file(path).help(help))
}
