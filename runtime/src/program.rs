//! A manifest made ready to run: dimensions parsed, names turned into numbers, and everything checked that can be checked
//! without shapes, so that the steps need not look again.

use std::collections::BTreeSet;

use crate::arena::ALIGN;
use crate::dims::{DimId, Dims, SymbolId};
use crate::error::{Error, Result};
use crate::format::DType;
use crate::format::manifest::{self as m, Manifest, Place, Range, Side};
use crate::host;

/// Number of a buffer.
pub type SlotId = u32;

/// A checked manifest.
pub struct Program {
    /// Dimension expressions.
    pub dims: Dims,
    /// Ranges of the symbols, by number.
    pub ranges: Vec<Range>,
    /// Inputs.
    pub inputs: Vec<Port>,
    /// Outputs.
    pub outputs: Vec<Port>,
    /// Buffers.
    pub slots: Vec<Slot>,
    /// For each symbol, the buffers whose shapes have it.
    pub slots_of: Vec<Vec<SlotId>>,
    /// Symbols that steps bind, not inputs.
    pub late: Vec<SymbolId>,
    /// First byte and number of bytes of each weight in its section.
    pub weights: Vec<(u64, u64)>,
    /// Bytes of the arena.
    pub arena: u64,
    /// Kernels take subnormal numbers as zero.
    pub flush: bool,
    /// Bytes of scratch for each kernel.
    pub scratch: Vec<u64>,
    /// Whether each kernel runs on the device.
    pub on_device: Vec<bool>,
    /// Position of each kernel of the CPU in the code's table.
    pub code_index: Vec<u32>,
    /// What to do.
    pub steps: Vec<Step>,
    /// Names of the steps that do work, for messages and profiles: of the model's nodes, or of what the step is.
    pub names: Vec<String>,
}

/// An input or output.
#[derive(Clone, Debug)]
pub struct Port {
    /// Name in the model.
    pub name: String,
    /// Buffer.
    pub slot: SlotId,
}

/// A buffer.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Element type.
    pub dtype: DType,
    /// Extents.
    pub shape: Vec<DimId>,
    /// Where it lies.
    pub place: Place,
}

/// A step. `id` is its number in [`Program::names`].
pub enum Step {
    /// A kernel call.
    Launch(Launch),
    /// An algorithm of the runtime.
    Host {
        /// Name.
        id: u32,
        /// Which.
        op: host::Op,
        /// Arguments.
        args: Vec<SlotId>,
        /// Results.
        results: Vec<SlotId>,
    },
    /// A copy of a whole buffer.
    Copy {
        /// Name.
        id: u32,
        /// From.
        src: SlotId,
        /// To.
        dst: SlotId,
    },
    /// A copy of a buffer to the same place on the other side.
    Transfer {
        /// Name.
        id: u32,
        /// Which.
        slot: SlotId,
        /// Where to.
        to: Side,
    },
    /// A copy to a row of a buffer.
    Store {
        /// Name.
        id: u32,
        /// From.
        src: SlotId,
        /// To.
        dst: SlotId,
        /// Row.
        at: SlotId,
    },
    /// Binding of a symbol.
    ReadDim {
        /// Symbol.
        symbol: SymbolId,
        /// Its value.
        from: SlotId,
    },
    /// A choice.
    If {
        /// Condition.
        cond: SlotId,
        /// When true.
        then: Vec<Step>,
        /// When false.
        otherwise: Vec<Step>,
    },
    /// A loop.
    Loop {
        /// Largest number of iterations.
        trip: SlotId,
        /// Condition.
        cond: SlotId,
        /// Iteration number.
        iteration: SlotId,
        /// Symbol for the number of iterations.
        trips: Option<SymbolId>,
        /// One iteration.
        body: Vec<Step>,
    },
}

/// A kernel call.
pub struct Launch {
    /// Number in [`Program::names`].
    pub id: u32,
    /// Kernel.
    pub kernel: u32,
    /// Buffers.
    pub args: Vec<SlotId>,
    /// Values for the kernel's symbols.
    pub dims: Vec<DimId>,
    /// Number of grid points.
    pub grid: DimId,
    /// Arithmetic operations.
    pub flops: DimId,
    /// Bytes of memory traffic.
    pub bytes: DimId,
}

fn bad<T>(what: impl Into<String>) -> Result<T> {
    Err(Error::Inconsistent(what.into()))
}

impl Program {
    /// Checks a manifest; `weights` is the number of bytes of the weights section.
    pub fn new(manifest: &Manifest, weights: u64) -> Result<Program> {
        let mut b = Builder { manifest, dims: Dims::default(), late: BTreeSet::new(), names: vec![] };
        for name in manifest.symbols.keys() {
            b.dims.symbol(name);
        }
        for (i, w) in manifest.weights.iter().enumerate() {
            if w.offset % m::BUFFER_ALIGN != 0 || w.offset.checked_add(w.bytes).is_none_or(|end| end > weights) {
                return bad(format!("weight {i} lies outside its section of {weights} bytes or is not aligned"));
            }
        }
        let slots = b.slots()?;
        let inputs = b.ports("input", &manifest.inputs, &slots)?;
        let outputs = b.ports("output", &manifest.outputs, &slots)?;
        let steps = b.steps(&manifest.steps, &slots)?;
        let Builder { dims, late, names, .. } = b;

        let mut bound: BTreeSet<SymbolId> = late.clone();
        for p in &inputs {
            bound.extend(slots[p.slot as usize].shape.iter().filter_map(|&d| Some(dims.linear(d)?.0)));
        }
        let symbols = dims.symbols();
        if let Some(s) = (0..symbols.len() as SymbolId).find(|s| !bound.contains(s) && dims.is_used(*s)) {
            return bad(format!("no input and no step binds the symbol `{}`", symbols[s as usize]));
        }
        for p in &inputs {
            let shape = &slots[p.slot as usize].shape;
            if shape.iter().any(|&d| dims.needs(d).iter().any(|s| late.contains(s))) {
                return bad(format!("the shape of input `{}` depends on a step", p.name));
            }
        }
        let unbounded = Range { lo: 0, hi: i64::MAX };
        let ranges = symbols.iter().map(|s| manifest.symbols.get(s).copied().unwrap_or(unbounded)).collect();
        let mut slots_of = vec![vec![]; symbols.len()];
        for (i, s) in slots.iter().enumerate() {
            let used: BTreeSet<SymbolId> = s.shape.iter().flat_map(|&d| dims.needs(d)).copied().collect();
            used.into_iter().for_each(|u| slots_of[u as usize].push(i as SlotId));
        }
        Ok(Program {
            ranges,
            inputs,
            outputs,
            slots,
            slots_of,
            late: late.into_iter().collect(),
            weights: manifest.weights.iter().map(|w| (w.offset, w.bytes)).collect(),
            arena: manifest.arena,
            flush: manifest.subnormals == m::Subnormals::Flush,
            scratch: manifest.kernels.iter().map(|k| k.scratch).collect(),
            code_index: manifest
                .kernels
                .iter()
                .scan(0, |next, k| Some(std::mem::replace(next, *next + u32::from(k.device.is_none()))))
                .collect(),
            on_device: manifest.kernels.iter().map(|k| k.device.is_some()).collect(),
            steps,
            names,
            dims,
        })
    }

    /// Text of a buffer's type: `f32[N, 3, 224]`.
    pub fn type_text(&self, slot: SlotId) -> String {
        let s = &self.slots[slot as usize];
        let dims: Vec<&str> = s.shape.iter().map(|&d| self.dims.text(d)).collect();
        format!("{}[{}]", s.dtype, dims.join(", "))
    }
}

struct Builder<'a> {
    manifest: &'a Manifest,
    dims: Dims,
    late: BTreeSet<SymbolId>,
    names: Vec<String>,
}

impl Builder<'_> {
    fn dim(&mut self, text: &str) -> Result<DimId> {
        self.dims.intern(text).or_else(bad)
    }

    fn dim_list(&mut self, texts: &[String]) -> Result<Vec<DimId>> {
        texts.iter().map(|t| self.dim(t)).collect()
    }

    fn slots(&mut self) -> Result<Vec<Slot>> {
        let m = self.manifest;
        let mut slots = Vec::with_capacity(m.slots.len());
        for (i, s) in m.slots.iter().enumerate() {
            let ok = match s.place {
                Place::Input(n) => (n as usize) < m.inputs.len(),
                Place::Output(n) => (n as usize) < m.outputs.len(),
                Place::Weight(n) => (n as usize) < m.weights.len(),
                Place::Arena(at) => at % ALIGN as u64 == 0 && at <= m.arena,
            };
            if !ok {
                return bad(format!("buffer {i} lies at {:?}, which does not exist", s.place));
            }
            let shape = self.dim_list(&s.shape)?;
            slots.push(Slot { dtype: s.dtype, shape, place: s.place });
        }
        Ok(slots)
    }

    /// Every input has a buffer of its own in the caller's memory. An output may lie anywhere and is copied where it does not
    /// lie in its own.
    fn ports(&self, kind: &str, ports: &[m::Port], slots: &[Slot]) -> Result<Vec<Port>> {
        let mut names = BTreeSet::new();
        let mut out = vec![];
        for (i, p) in ports.iter().enumerate() {
            let place = slots.get(p.slot as usize).map(|s| s.place);
            let right = if kind == "input" { place == Some(Place::Input(i as u32)) } else { place.is_some() };
            if !right || !names.insert(&p.name) {
                return bad(format!("{kind} `{}` is declared twice or has the wrong buffer", p.name));
            }
            out.push(Port { name: p.name.clone(), slot: p.slot });
        }
        Ok(out)
    }

    fn name(&mut self, name: &str) -> u32 {
        self.names.push(name.into());
        self.names.len() as u32 - 1
    }

    fn late(&mut self, name: &str) -> SymbolId {
        let s = self.dims.symbol(name);
        self.late.insert(s);
        s
    }

    fn steps(&mut self, steps: &[m::Step], slots: &[Slot]) -> Result<Vec<Step>> {
        steps.iter().map(|s| self.step(s, slots)).collect()
    }

    fn step(&mut self, step: &m::Step, slots: &[Slot]) -> Result<Step> {
        let scalar = |what: &str, s: SlotId, dtype: DType| match slots.get(s as usize) {
            Some(x) if x.dtype == dtype && x.shape.is_empty() => Ok(()),
            _ => bad(format!("{what} must be a buffer of type {dtype}[]")),
        };
        Ok(match step {
            m::Step::Launch { kernel, args, dims, grid, name, flops, bytes } => {
                self.check_launch(*kernel, args, dims, name, slots)?;
                Step::Launch(Launch {
                    id: self.name(name),
                    kernel: *kernel,
                    args: args.clone(),
                    dims: self.dim_list(dims)?,
                    grid: self.dim(grid)?,
                    flops: self.dim(flops)?,
                    bytes: self.dim(bytes)?,
                })
            }
            m::Step::Host { op, args, results, name } => {
                let op = match op {
                    m::HostOp::TopK { k, axis, largest } => {
                        host::Op::TopK { k: self.dim(k)?, axis: *axis as usize, largest: *largest }
                    }
                    m::HostOp::Nms { center, count } => host::Op::Nms { center: *center, count: self.count(count)? },
                    m::HostOp::NonZero { count } => host::Op::NonZero { count: self.count(count)? },
                    m::HostOp::ReadDims { dims, rule } => {
                        host::Op::ReadDims { dims: dims.iter().map(|d| self.against(d, *rule)).collect::<Result<_>>()? }
                    }
                };
                let types = |ids: &[SlotId], write: bool| -> Result<Vec<(DType, usize)>> {
                    ids.iter().map(|&i| access(slots, i, write, name).map(|s| (s.dtype, s.shape.len()))).collect()
                };
                host::check(&op, &types(args, false)?, &types(results, true)?)
                    .or_else(|what| bad(format!("step `{name}`: {what}")))?;
                Step::Host { id: self.name(name), op, args: args.clone(), results: results.clone() }
            }
            m::Step::Copy { src, dst } => {
                access(slots, *src, false, "copy")?;
                access(slots, *dst, true, "copy")?;
                Step::Copy { id: self.name("copy"), src: *src, dst: *dst }
            }
            m::Step::Transfer { slot, to } => {
                if self.manifest.device.is_none() {
                    return bad("a copy to or from a device, and no device in the manifest");
                }
                access(slots, *slot, *to == Side::Host, "transfer")?;
                Step::Transfer { id: self.name("transfer"), slot: *slot, to: *to }
            }
            m::Step::Store { src, dst, at } => {
                let (s, d) = (access(slots, *src, false, "store")?, access(slots, *dst, true, "store")?);
                if s.dtype != d.dtype || s.shape.len() + 1 != d.shape.len() {
                    return bad("store: the destination must have one axis more than the source");
                }
                scalar("the row of a store", *at, DType::I64)?;
                Step::Store { id: self.name("store"), src: *src, dst: *dst, at: *at }
            }
            m::Step::ReadDim { symbol, from } => {
                scalar("the source of a dimension", *from, DType::I64)?;
                Step::ReadDim { symbol: self.late(symbol), from: *from }
            }
            m::Step::If { cond, then, otherwise } => {
                scalar("the condition of an if", *cond, DType::Bool)?;
                Step::If { cond: *cond, then: self.steps(then, slots)?, otherwise: self.steps(otherwise, slots)? }
            }
            m::Step::Loop { trip, cond, iteration, trips, body } => {
                scalar("the trip count of a loop", *trip, DType::I64)?;
                scalar("the condition of a loop", *cond, DType::Bool)?;
                scalar("the iteration of a loop", *iteration, DType::I64)?;
                access(slots, *iteration, true, "loop")?;
                let trips = trips.as_deref().map(|t| self.late(t));
                Step::Loop { trip: *trip, cond: *cond, iteration: *iteration, trips, body: self.steps(body, slots)? }
            }
        })
    }

    /// The extent that counts results; a symbol becomes one that this step binds.
    fn count(&mut self, text: &str) -> Result<host::Count> {
        let d = self.dim(text)?;
        Ok(match self.dims.bare(d) {
            Some(s) => {
                self.late.insert(s);
                host::Count::Symbol(s)
            }
            None => host::Count::Extent,
        })
    }

    /// What an element that is read is held against; a symbol becomes one that this step binds.
    fn against(&mut self, text: &str, rule: m::DimRule) -> Result<host::Against> {
        let d = self.dim(text)?;
        Ok(match rule {
            m::DimRule::Equal => host::Against::Equal(d),
            m::DimRule::OneOrEqual => host::Against::OneOrEqual(d),
            m::DimRule::AtMost => host::Against::AtMost(d),
            m::DimRule::Bind => match self.dims.bare(d) {
                Some(s) => {
                    self.late.insert(s);
                    host::Against::Symbol(s)
                }
                None => return bad(format!("`{text}` is no symbol, and gets no value")),
            },
        })
    }

    fn check_launch(&self, kernel: u32, args: &[SlotId], dims: &[String], name: &str, slots: &[Slot]) -> Result<()> {
        let Some(k) = self.manifest.kernels.get(kernel as usize) else {
            return bad(format!("step `{name}` calls kernel {kernel}, which does not exist"));
        };
        if k.device.is_some() && self.manifest.device.is_none() {
            return bad(format!("kernel `{}` is for a device, and there is none in the manifest", k.symbol));
        }
        if k.params.len() != args.len() || k.symbols.len() != dims.len() {
            return bad(format!("step `{name}` does not pass what kernel `{}` takes", k.symbol));
        }
        for (p, &a) in k.params.iter().zip(args) {
            let s = access(slots, a, p.write, name)?;
            if s.dtype != p.dtype {
                return bad(format!("step `{name}` passes {} for {} to kernel `{}`", s.dtype, p.dtype, k.symbol));
            }
        }
        Ok(())
    }
}

/// The buffer, if it may be read, or written, by the step.
fn access<'a>(slots: &'a [Slot], i: SlotId, write: bool, step: &str) -> Result<&'a Slot> {
    match slots.get(i as usize) {
        None => bad(format!("step `{step}` uses buffer {i}, which does not exist")),
        Some(s) if write && matches!(s.place, Place::Input(_) | Place::Weight(_)) => {
            bad(format!("step `{step}` writes to buffer {i}, an input or a weight"))
        }
        Some(s) => Ok(s),
    }
}
