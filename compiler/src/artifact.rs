//! From a program and its code to an artifact: the manifest says in the runtime's words what the plan says in the IR's, and
//! the weights are packed and written one at a time.

use std::path::Path;

use beiming_cpu::Code;
use beiming_ir::kernel::Access;
use beiming_ir::ops::{DimRule, Op};
use beiming_ir::plan::{Place, Plan, Program, Side, SlotId, Step, Subnormals};
use beiming_ir::target::Target;
use beiming_ir::types::Dim;
use beiming_runtime::acl::image::SOURCES;
use beiming_runtime::format::{self as format, container, manifest};
use thiserror::Error;

use crate::ascend::Ascend;

/// Why an artifact could not be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The file.
    #[error(transparent)]
    File(#[from] beiming_runtime::Error),
    /// Writing.
    #[error("cannot write the artifact: {0}")]
    Io(#[from] std::io::Error),
    /// The program holds what the manifest cannot say: our fault.
    #[error("the program cannot be put into an artifact: {0}")]
    Program(String),
}

/// Sizes of what was written, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sizes {
    /// Weights, after packing.
    pub weights: u64,
    /// Machine code, and the text of an NPU's kernels.
    pub code: u64,
    /// The whole file.
    pub file: u64,
}

/// Writes the artifact. `report` becomes a section of its own.
pub fn write(
    path: &Path,
    model: &str,
    program: &Program,
    code: &Code,
    ascend: Option<&Ascend>,
    report: &[u8],
) -> Result<Sizes, WriteError> {
    let mut manifest = describe(model, program, code, ascend)?;
    let mut sizes = Sizes { code: code.library.len() as u64, ..Sizes::default() };
    if let Some(a) = ascend {
        let sources = a.sources.iter().flatten().map(|s| s.len() as u64).sum::<u64>();
        sizes.code = sources + if code.symbols.is_empty() { 0 } else { sizes.code };
    }
    container::write_file(path, |w| -> Result<(), WriteError> {
        let placed = w.section(container::WEIGHTS, |out| {
            let mut placed = Vec::with_capacity(program.weights.len());
            for weight in &program.weights {
                let offset = out.align(manifest::BUFFER_ALIGN)?;
                let data = weight.data().ok_or_else(|| std::io::Error::other("a weight's panels reach past its source"))?;
                std::io::Write::write_all(out, data.as_bytes())?;
                placed.push(manifest::Weight { offset, bytes: data.as_bytes().len() as u64 });
            }
            Ok(placed)
        })?;
        sizes.weights = placed.last().map_or(0, |p| p.offset + p.bytes);
        manifest.weights = placed;
        if ascend.is_none() || !code.symbols.is_empty() {
            w.section(container::CODE, |out| std::io::Write::write_all(out, &code.library))?;
        }
        if let Some(a) = ascend {
            w.section(SOURCES, |out| a.sources.iter().flatten().try_for_each(|s| std::io::Write::write_all(out, s.as_bytes())))?;
        }
        let bytes = manifest.to_bytes().map_err(|e| WriteError::Program(e.to_string()))?;
        w.section(container::MANIFEST, |out| std::io::Write::write_all(out, &bytes))?;
        w.section("report", |out| std::io::Write::write_all(out, report))?;
        Ok(())
    })?;
    sizes.file = std::fs::metadata(path)?.len();
    Ok(sizes)
}

fn describe(model: &str, program: &Program, code: &Code, ascend: Option<&Ascend>) -> Result<manifest::Manifest, WriteError> {
    let plan = &program.plan;
    let port = |p: &beiming_ir::plan::Port| manifest::Port { name: p.name.to_string(), slot: p.slot.0 };
    let mut symbols = code.symbols.iter();
    let mut device_kernels = ascend.map(|a| a.kernels(program)).unwrap_or_default().into_iter();
    let kernels = program.kernels.iter().map(|k| {
        let device = device_kernels.next().flatten();
        let symbol = if device.is_some() { Some(&k.name) } else { symbols.next() };
        let symbol = symbol.ok_or_else(|| WriteError::Program(format!("there is no code for kernel `{}`", k.name)))?;
        let params = k.params.iter().map(|p| Ok(manifest::Param { dtype: dtype(p.dtype)?, write: p.access != Access::Read }));
        Ok(manifest::Kernel {
            symbol: symbol.clone(),
            device,
            scratch: k.scratch(),
            params: params.collect::<Result<_, WriteError>>()?,
            symbols: k.symbols.iter().map(ToString::to_string).collect(),
            grid: k.grid.iter().map(ToString::to_string).collect(),
        })
    });
    Ok(manifest::Manifest {
        model: model.into(),
        compiler: format!("beiming {}", env!("CARGO_PKG_VERSION")),
        target: target(&program.target),
        device: ascend.map(Ascend::describe),
        symbols: plan.symbols.0.iter().map(|(n, r)| (n.to_string(), manifest::Range { lo: r.lo, hi: r.hi })).collect(),
        inputs: plan.inputs.iter().map(port).collect(),
        outputs: plan.outputs.iter().map(port).collect(),
        slots: slots(plan)?,
        weights: vec![],
        arena: plan.arena,
        arena_without_reuse: plan.arena_without_reuse,
        subnormals: match plan.subnormals {
            Subnormals::Keep => manifest::Subnormals::Keep,
            Subnormals::Flush => manifest::Subnormals::Flush,
        },
        kernels: kernels.collect::<Result<_, WriteError>>()?,
        steps: steps(&plan.steps)?,
    })
}

fn dtype(d: beiming_ir::types::DType) -> Result<format::DType, WriteError> {
    d.name().parse().map_err(|_| WriteError::Program(format!("the runtime has no element type `{d}`")))
}

/// What the code needs of a machine. The generic levels name their features; a CPU's own are listed with it.
fn target(t: &Target) -> manifest::Target {
    let required: &[&str] = match t.cpu.as_str() {
        "x86-64-v3" => &["avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"],
        "x86-64-v4" => &[
            "avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "avx512f", "avx512bw", "avx512cd", "avx512dq",
            "avx512vl",
        ],
        "tsv110" => &["neon", "fullfp16", "dotprod", "lse", "rdm"],
        _ => &[],
    };
    manifest::Target {
        name: t.name.clone(),
        triple: t.triple.clone(),
        cpu: t.cpu.clone(),
        features: t.features.clone(),
        required: required.iter().map(ToString::to_string).collect(),
    }
}

fn texts(dims: &[Dim]) -> Vec<String> {
    dims.iter().map(ToString::to_string).collect()
}

fn slots(plan: &Plan) -> Result<Vec<manifest::Slot>, WriteError> {
    let place = |p: Place| match p {
        Place::Input(n) => manifest::Place::Input(n),
        Place::Output(n) => manifest::Place::Output(n),
        Place::Arena(at) => manifest::Place::Arena(at),
        Place::Weight(n) => manifest::Place::Weight(n),
    };
    plan.slots
        .iter()
        .map(|s| Ok(manifest::Slot { dtype: dtype(s.ty.dtype)?, shape: texts(&s.ty.shape), place: place(s.place) }))
        .collect()
}

fn steps(list: &[Step]) -> Result<Vec<manifest::Step>, WriteError> {
    let ids = |v: &[SlotId]| v.iter().map(|s| s.0).collect::<Vec<u32>>();
    list.iter()
        .map(|s| {
            Ok(match s {
                Step::Launch(l) => manifest::Step::Launch {
                    kernel: l.kernel,
                    args: ids(&l.args),
                    dims: texts(&l.dims),
                    grid: l.grid.to_string(),
                    name: l.name.to_string(),
                    flops: l.flops.to_string(),
                    bytes: l.bytes.to_string(),
                },
                Step::Host { op, args, results, name } => {
                    manifest::Step::Host { op: host_op(op)?, args: ids(args), results: ids(results), name: name.to_string() }
                }
                Step::Copy { src, dst } => manifest::Step::Copy { src: src.0, dst: dst.0 },
                Step::Transfer { slot, to } => manifest::Step::Transfer {
                    slot: slot.0,
                    to: match to {
                        Side::Host => manifest::Side::Host,
                        Side::Device => manifest::Side::Device,
                    },
                },
                Step::Store { src, dst, at } => manifest::Step::Store { src: src.0, dst: dst.0, at: at.0 },
                Step::ReadDim { symbol, from } => manifest::Step::ReadDim { symbol: symbol.to_string(), from: from.0 },
                Step::If { cond, then, otherwise } => {
                    manifest::Step::If { cond: cond.0, then: steps(then)?, otherwise: steps(otherwise)? }
                }
                Step::Loop { trip, cond, iteration, trips, body } => manifest::Step::Loop {
                    trip: trip.0,
                    cond: cond.0,
                    iteration: iteration.0,
                    trips: trips.as_ref().map(ToString::to_string),
                    body: steps(body)?,
                },
            })
        })
        .collect()
}

fn host_op(op: &Op) -> Result<manifest::HostOp, WriteError> {
    Ok(match op {
        Op::TopK(t) => manifest::HostOp::TopK { k: t.k.to_string(), axis: t.axis as u32, largest: t.largest },
        Op::Nms(n) => manifest::HostOp::Nms { center: n.center, count: n.count.to_string() },
        Op::NonZero { count } => manifest::HostOp::NonZero { count: count.to_string() },
        Op::ReadDims(p) => manifest::HostOp::ReadDims {
            dims: texts(&p.dims),
            rule: match p.rule {
                DimRule::Bind => manifest::DimRule::Bind,
                DimRule::Equal => manifest::DimRule::Equal,
                DimRule::OneOrEqual => manifest::DimRule::OneOrEqual,
                DimRule::AtMost => manifest::DimRule::AtMost,
            },
        },
        op => return Err(WriteError::Program(format!("`{}` is no algorithm of the runtime", op.name()))),
    })
}
