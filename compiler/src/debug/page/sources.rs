//! What the compiler wrote for each kernel, with what links its lines: the kernel's own text, LLVM IR and assembly or Ascend C, and for
//! every launch the model's ops behind the expressions of its kernel. Of an artifact, what it still holds: Ascend C as it stands, and
//! machine code as assembly. Packed, since a page may hold hundreds and shows one at a time.

use beiming_ascend::{emit, project};
use beiming_cpu::{Code, Listing, Listings};
use beiming_ir::kernel::{BufId, Expr, Kernel, Stmt};
use beiming_ir::plan::{Launch, Origin, Program, Side, Step};
use beiming_ir::target::npu::Npu;
use beiming_ir::text::{Located, print_kernel_located};
use beiming_ir::walk::for_stmts;
use beiming_runtime::acl::image::SOURCES;
use beiming_runtime::format::container::{Artifact, CODE};
use serde_json::{Value, json};

use super::pack::pack;
use crate::debug::DebugError;
use crate::driver::{CompileError, Next, Product, Watch};

/// Sources of every kernel, by position in the program.
#[derive(Default)]
pub struct Sources {
    kernels: Vec<Written>,
    /// Machine code's texts, of the CPU's kernels in their order.
    code: Vec<Listings>,
    /// An NPU's host code, or why there is none.
    host: Option<Result<project::Host, Vec<String>>>,
    /// The launches among the steps, in the order of the steps, those of branches and loops after their own.
    launches: Vec<Option<Made>>,
    /// Cores that predictions are for.
    pub cores: u32,
}

/// A kernel's text.
#[derive(Default)]
struct Written {
    text: Located,
    /// Ascend C, with the line (from 1) of the kernel and the expression of each of its lines; no line is 0, no expression -1.
    ascend: Option<(String, Vec<i64>)>,
    /// Assembly that was read out of machine code.
    read: Option<String>,
    /// Position among the CPU's kernels.
    on_cpu: Option<usize>,
    /// Ops of the kernel where nothing is known of a launch.
    ops: Vec<String>,
    /// Origins of its launches, each different one once.
    origins: Vec<Value>,
}

/// What a launch is made of.
struct Made {
    /// Op, name of the model's node, its operator, its place.
    parts: Value,
    /// Those of the ops that left something in the kernel.
    does: Vec<u32>,
    /// Position among the origins of its kernel.
    origin: usize,
}

/// Keeps the sources of a compilation that it watches. The compilation must be asked for origins.
impl Watch for Sources {
    fn product(&mut self, product: Product<'_>) -> Result<Next, CompileError> {
        match product {
            Product::Program(p, _) => self.program(p),
            Product::Code(c) => self.code(c),
            _ => {}
        }
        Ok(Next::Continue)
    }
}

impl Sources {
    /// What an artifact holds.
    ///
    /// # Errors
    /// [`DebugError::Run`] where it is damaged.
    pub fn of_artifact(artifact: &Artifact) -> Result<Sources, DebugError> {
        let m = artifact.manifest()?;
        let (library, sources) = (artifact.section(CODE), artifact.section(SOURCES));
        let written = |k: &beiming_runtime::format::manifest::Kernel| {
            let place = |d: &beiming_runtime::format::manifest::DeviceKernel| {
                let from = usize::try_from(d.offset).ok()?;
                sources?.get(from..from.checked_add(usize::try_from(d.bytes).ok()?)?)
            };
            let text = k.device.as_ref().and_then(place).map(|t| String::from_utf8_lossy(t).into_owned());
            let t = &m.target;
            let read = || library.and_then(|l| beiming_cpu::disassemble(l, &k.symbol, &t.triple, &t.cpu, &t.features));
            let read = if k.device.is_none() { read() } else { None };
            let ascend = text.map(|t| {
                let nowhere = t.lines().flat_map(|_| [0, -1]).collect();
                (t, nowhere)
            });
            Written { ascend, read, ..Written::default() }
        };
        Ok(Sources { kernels: m.kernels.iter().map(written).collect(), ..Sources::default() })
    }

    /// Whether the sources are all that was written: those of a compilation are.
    pub fn whole(&self) -> bool {
        self.kernels.iter().all(|k| !k.text.text.is_empty())
    }

    fn program(&mut self, p: &Program) {
        let npu = Npu::by_name(&p.target.name);
        let mut on_cpu = 0;
        let written = |k: &Kernel| {
            let text = print_kernel_located(k);
            let device = k.side() == Side::Device;
            let ascend = npu.as_ref().filter(|_| device).and_then(|npu| ascend(k, npu, &text));
            on_cpu += usize::from(!device);
            let on_cpu = (!device).then(|| on_cpu - 1);
            Written { text, ascend, on_cpu, ops: k.ops.clone(), ..Written::default() }
        };
        self.kernels = p.kernels.iter().map(written).collect();
        self.host = npu.map(|npu| {
            // Whether there are kernels of the CPU decides what the host code says, not what they are.
            let cpu_kernels = (on_cpu > 0).then_some(&[][..]);
            project::host(&project::Project { model: "model", program: p, npu: &npu, cpu_kernels, on_host: &[] })
        });
        self.cores = p.target.cores;
        self.steps(p, &p.plan.steps);
    }

    fn steps(&mut self, p: &Program, list: &[Step]) {
        for s in list {
            let made = if let Step::Launch(l) = s { self.launch(p, l) } else { None };
            self.launches.push(made);
            match s {
                Step::If { then, otherwise, .. } => {
                    self.steps(p, then);
                    self.steps(p, otherwise);
                }
                Step::Loop { body, .. } => self.steps(p, body),
                _ => {}
            }
        }
    }

    fn launch(&mut self, p: &Program, l: &Launch) -> Option<Made> {
        let (k, written) = (p.kernels.get(l.kernel as usize)?, self.kernels.get_mut(l.kernel as usize)?);
        // A program that was read from its text has no origins.
        if l.origin.ops.is_empty() {
            return None;
        }
        let origins = origins(k, &l.origin);
        let origin = written.origins.iter().position(|o| *o == origins).unwrap_or_else(|| {
            written.origins.push(origins);
            written.origins.len() - 1
        });
        let part = |(op, loc): &(String, beiming_ir::graph::Loc)| json!([op, *loc.name, *loc.op, *loc.place]);
        let mut does: Vec<u32> = l.origin.exprs.iter().chain(&*l.origin.buffers).flatten().copied().collect();
        does.sort_unstable();
        does.dedup();
        Some(Made { parts: l.origin.ops.iter().map(part).collect(), does, origin })
    }

    fn code(&mut self, c: &Code) {
        self.code.clone_from(&c.listings);
    }

    /// Number of kernels.
    pub fn kernels(&self) -> usize {
        self.kernels.len()
    }

    /// The ops of kernel `i`, as it names them.
    pub fn ops(&self, i: usize) -> Option<&[String]> {
        self.kernels.get(i).map(|k| k.ops.as_slice()).filter(|o| !o.is_empty())
    }

    /// What step `i` is made of: its ops with their sources, those with code in the kernel, and which of the origins of its kernel
    /// are its.
    pub fn made(&self, i: usize) -> Option<Value> {
        let m = self.launches.get(i)?.as_ref()?;
        Some(json!({ "parts": m.parts, "does": m.does, "origin": m.origin }))
    }

    fn listings(&self, k: &Written) -> Option<&Listings> {
        self.code.get(k.on_cpu?)
    }

    /// The texts that there are of kernel `i`.
    pub fn forms(&self, i: usize) -> Vec<&'static str> {
        let Some(k) = self.kernels.get(i) else { return vec![] };
        let code = self.listings(k);
        let there = [
            ("ir", !k.text.text.is_empty()),
            ("ascend", k.ascend.is_some()),
            ("llvm", code.is_some_and(|c| !c.llvm_ir.text.is_empty())),
            ("asm", k.read.is_some() || code.is_some_and(|c| !c.assembly.text.is_empty())),
        ];
        there.iter().filter(|t| t.1).map(|t| t.0).collect()
    }

    /// The sources of kernel `i`, packed.
    ///
    /// # Errors
    /// Those of packing.
    pub fn packed(&self, i: usize) -> Result<String, DebugError> {
        let Some(k) = self.kernels.get(i) else { return Ok(String::new()) };
        let spans: Vec<u32> = k.text.spans.iter().flat_map(|s| [s.line, s.from, s.to, s.expr.0]).collect();
        let code = self.listings(k);
        let listing = |l: Option<&Listing>| {
            // Lines count from 1; an expression of its own that the kernel does not have belongs to its statement.
            let at = l.iter().flat_map(|l| &l.origins).flat_map(|o| match o {
                Some(o) => [i64::from(o.line), o.expr.map_or(-1, |e| i64::from(e.0))],
                None => [0, -1],
            });
            json!({ "text": l.map_or("", |l| l.text.trim_end()), "at": at.collect::<Vec<i64>>() })
        };
        let assembly = match &k.read {
            Some(text) => json!({ "text": text.trim_end(), "at": text.lines().flat_map(|_| [0, -1]).collect::<Vec<i64>>() }),
            None => listing(code.map(|c| &c.assembly)),
        };
        let (ascend, at) = k.ascend.as_ref().map_or(("", &[][..]), |(text, at)| (text.trim_end(), at));
        let doc = json!({
            "ir": { "text": k.text.text.trim_end(), "statements": k.text.statements, "spans": spans },
            "ascend": { "text": ascend, "at": at },
            "llvm": listing(code.map(|c| &c.llvm_ir)), "asm": assembly,
            "origins": k.origins,
        });
        pack(&doc)
    }

    /// An NPU's host code: its files, packed, and the lines of each step; or why there is none.
    ///
    /// # Errors
    /// Those of packing.
    pub fn project(&self) -> Result<Option<Value>, DebugError> {
        Ok(match &self.host {
            None => None,
            Some(Err(why)) => Some(json!({ "why": why })),
            Some(Ok(host)) => {
                let paths: Vec<&String> = host.files.iter().map(|f| &f.0).collect();
                let files = host.files.iter().map(|f| pack(&json!(f.1))).collect::<Result<Vec<_>, _>>()?;
                Some(json!({ "paths": paths, "files": files, "steps": host.steps }))
            }
        })
    }
}

/// The Ascend C of a kernel; none where it has no spelling, which the compilation says.
fn ascend(k: &Kernel, npu: &Npu, text: &Located) -> Option<(String, Vec<i64>)> {
    let listing = emit::located(k, npu).ok()?;
    let at = listing.lines.iter().flat_map(|place| {
        let line = place.and_then(|p| text.statements.get(p.statement as usize)).map_or(0, |l| i64::from(*l));
        [line, place.and_then(|p| p.expr).map_or(-1, |e| i64::from(e.0))]
    });
    let at = at.collect();
    Some((listing.text, at))
}

/// For every expression and every statement (outer before inner) the ops it was made for, as positions among the launch's.
fn origins(k: &Kernel, o: &Origin) -> Value {
    let of = |e: usize| o.exprs.get(e).map_or(&[][..], Vec::as_slice);
    // Loop variables, extents and constants are shared by all that are alike: they go with what uses them.
    let neutral = |e: &Expr| matches!(e, Expr::Var(_) | Expr::Dim(_) | Expr::Const(_));
    let exprs: Vec<&[u32]> = k.exprs.iter().enumerate().map(|(i, e)| if neutral(e) { &[][..] } else { of(i) }).collect();
    let buffer = |b: &BufId| o.buffers.get(b.index()).map_or(&[][..], Vec::as_slice);
    let mut statements = vec![];
    for_stmts(&k.body, &mut |s| {
        statements.push(match s {
            Stmt::Vector { dst, value, reduce } => {
                let value = exprs.get(value.index()).copied().unwrap_or_default();
                if reduce.is_some() || value.is_empty() { buffer(&dst.buffer) } else { value }
            }
            Stmt::Copy { dst, .. } => buffer(&dst.buffer),
            Stmt::Mma { acc, .. } => buffer(acc),
            _ => &[],
        });
    });
    json!({ "exprs": exprs, "statements": statements })
}
