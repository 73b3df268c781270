//! A session: the memory and the threads to run a module. It checks what the caller gives and fixes all shapes before the
//! first step.

use std::sync::Arc;

use crate::arena::{ALIGN, AlignedBytes, Arena};
use crate::dims::{SymbolId, Values};
use crate::error::{Error, Result};
use crate::exec::Exec;
use crate::format::manifest::Place;
use crate::module::Module;
use crate::pool::Pool;
use crate::program::{Program, SlotId};
use crate::tensor::{Output, Tensor, TensorView};

/// Largest extent of an input: far above any memory, far below where arithmetic saturates.
const MAX_EXTENT: i64 = 1 << 48;

/// Most threads of a session.
const MAX_THREADS: usize = 1024;

/// How a session runs.
#[derive(Clone, Copy, Default, Debug)]
pub struct Options {
    /// Number of threads, the caller's among them; 0: one for each core this process may use.
    pub threads: usize,
    /// Fill arena, scratch and outputs with bytes 0xFF (NaN) before every run, so that an element that nobody writes shows.
    pub poison: bool,
    /// Measure the time of every step.
    pub profile: bool,
}

/// Time of one step, summed over runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepTime {
    /// Names of the model's nodes, or what the step is (`copy`, `store`).
    pub name: String,
    /// Name of the kernel; empty for other steps.
    pub kernel: String,
    /// How often it ran.
    pub calls: u64,
    /// Nanoseconds.
    pub ns: u64,
    /// Arithmetic operations by the compiler's count.
    pub flops: u64,
    /// Bytes of memory traffic by the compiler's count.
    pub bytes: u64,
}

/// Runs a module. One run at a time: threads that run a model at the same time each have a session, over one shared module.
pub struct Session {
    module: Arc<Module>,
    options: Options,
    pool: Option<Pool>,
    #[cfg(feature = "ascend")]
    image: Option<crate::acl::image::Image>,
    state: State,
}

/// What a run changes.
pub(crate) struct State {
    pub arena: Arena,
    pub scratch: Arena,
    /// Bytes between two threads' scratch.
    pub stride: usize,
    /// Values of symbols and expressions.
    pub values: Values,
    /// Bytes of each buffer, once its shape is known.
    pub bytes: Vec<Option<u64>>,
    /// Extents of the inputs that `values` and `bytes` are for.
    shapes: Vec<i64>,
    /// Copies of inputs that are not aligned to their type.
    staging: Vec<Option<AlignedBytes>>,
    /// Time by step; empty without profiling.
    pub times: Vec<StepTime>,
    pub poison: bool,
}

impl Session {
    /// A session with its own arena and threads. Where the artifact has kernels for an NPU, the first one is opened; see
    /// `Session::on_device` for others.
    pub fn new(module: &Arc<Module>, options: Options) -> Result<Session> {
        if let Some(_device) = &module.manifest().device {
            #[cfg(feature = "ascend")]
            return Session::on_device(module, options, &crate::acl::Device::open(&Default::default())?);
            #[cfg(not(feature = "ascend"))]
            return Err(Error::Target {
                target: _device.target.clone(),
                what: "this runtime was built without support for NPUs (feature `ascend`)".into(),
            });
        }
        Session::on_host(module, options)
    }

    /// A session whose device steps run on `device`, which other sessions may use, too.
    #[cfg(feature = "ascend")]
    pub fn on_device(module: &Arc<Module>, options: Options, device: &Arc<crate::acl::Device>) -> Result<Session> {
        let mut session = Session::on_host(module, options)?;
        if module.manifest().device.is_some() {
            session.image = Some(crate::acl::image::Image::new(module, device)?);
        }
        Ok(session)
    }

    fn on_host(module: &Arc<Module>, options: Options) -> Result<Session> {
        let program = &module.program;
        let cores = || std::thread::available_parallelism().map_or(1, |n| n.get());
        let threads = if options.threads == 0 { cores().min(MAX_THREADS) } else { options.threads };
        if threads > MAX_THREADS {
            return Err(Error::Argument(format!("{threads} threads; at most {MAX_THREADS} are possible")));
        }
        // A page between threads' scratch, so that they share neither lines nor pages.
        let most = program.scratch.iter().copied().max().unwrap_or(0);
        let stride = most.checked_next_multiple_of(4096).and_then(|s| usize::try_from(s).ok()).unwrap_or(usize::MAX);
        let total = (stride as u64).saturating_mul(threads as u64);
        let mut state = State {
            arena: Arena::new(program.arena, "the arena")?,
            scratch: Arena::new(total, "the threads' scratch")?,
            stride,
            values: Values::new(&program.dims),
            bytes: vec![None; program.slots.len()],
            shapes: vec![],
            staging: program.inputs.iter().map(|_| None).collect(),
            times: vec![],
            poison: options.poison,
        };
        // No inputs have been seen: no shape equals this one.
        state.shapes.push(-1);
        let pool = if threads > 1 { Some(Pool::new(threads, program.flush)?) } else { None };
        let mut session = Session {
            module: module.clone(),
            options,
            pool,
            #[cfg(feature = "ascend")]
            image: None,
            state,
        };
        session.reset_profile();
        Ok(session)
    }

    /// The module.
    pub fn module(&self) -> &Arc<Module> {
        &self.module
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.pool.as_ref().map_or(1, Pool::threads)
    }

    /// Runs the model on inputs given by name, in any order. Outputs are in the model's order ([`Module::outputs`]).
    pub fn run(&mut self, inputs: &[(&str, TensorView<'_>)]) -> Result<Vec<Tensor>> {
        let mut outputs: Vec<Tensor> = self.module.outputs().iter().map(|_| Tensor::new()).collect();
        self.run_into(inputs, &mut outputs)?;
        Ok(outputs)
    }

    /// As [`Session::run`], with a place for each output in the model's order. Tensors of an earlier run keep their memory.
    pub fn run_into(&mut self, inputs: &[(&str, TensorView<'_>)], outputs: &mut [Output<'_>]) -> Result<()> {
        let module = self.module.clone();
        let program = &module.program;
        if outputs.len() != program.outputs.len() {
            return Err(Error::Argument(format!("{} outputs given, the model has {}", outputs.len(), program.outputs.len())));
        }
        let views = self.state.order(program, inputs)?;
        self.state.bind(program, &views)?;
        let pointers = self.state.stage(&views)?;
        if self.options.poison {
            self.state.poison(program);
            outputs.iter_mut().for_each(Output::poison);
        }
        #[cfg(feature = "ascend")]
        self.image.as_mut().map_or(Ok(()), |i| i.begin())?;
        let mut exec = Exec {
            module: &module,
            program,
            pool: self.pool.as_mut(),
            #[cfg(feature = "ascend")]
            image: self.image.as_mut(),
            state: &mut self.state,
            inputs: pointers,
            outputs,
        };
        exec.prepare_outputs()?;
        // Also after a failure: what is on the stream uses memory of this run.
        let done = exec.steps(&program.steps);
        let settled = exec.settle();
        done.and(settled)?;
        exec.finish_outputs()
    }

    /// Times since the session was made or the last [`Session::reset_profile`], in step order; empty without profiling.
    pub fn profile(&self) -> &[StepTime] {
        &self.state.times
    }

    /// Sets all times to zero.
    pub fn reset_profile(&mut self) {
        self.state.times.clear();
        if self.options.profile {
            let zero =
                |name: &String| StepTime { name: name.clone(), kernel: String::new(), calls: 0, ns: 0, flops: 0, bytes: 0 };
            self.state.times = self.module.program.names.iter().map(zero).collect();
        }
    }
}

impl State {
    /// The inputs in the model's order, each of the right type and with as many bytes as its shape says.
    fn order<'a>(&self, program: &Program, given: &[(&str, TensorView<'a>)]) -> Result<Vec<TensorView<'a>>> {
        for (i, (name, _)) in given.iter().enumerate() {
            if !program.inputs.iter().any(|p| p.name == *name) {
                let names: Vec<&str> = program.inputs.iter().map(|p| p.name.as_str()).collect();
                return Err(Error::input(name, format!("the model has no input of this name; it has: {}", names.join(", "))));
            }
            if given[..i].iter().any(|(n, _)| n == name) {
                return Err(Error::input(name, "given twice"));
            }
        }
        let mut out = Vec::with_capacity(program.inputs.len());
        for p in &program.inputs {
            let expected = || format!("expected {}", program.type_text(p.slot));
            let Some((_, v)) = given.iter().find(|(n, _)| *n == p.name) else {
                return Err(Error::input(&p.name, format!("missing; {}", expected())));
            };
            let slot = &program.slots[p.slot as usize];
            let got = || format!("{}{:?}", v.dtype, v.shape);
            if v.dtype != slot.dtype || v.shape.len() != slot.shape.len() {
                let what = if v.dtype != slot.dtype { "element type" } else { "number of axes" };
                return Err(Error::input(&p.name, format!("wrong {what}: {}, got {}", expected(), got())));
            }
            if v.shape.iter().any(|d| !(0..=MAX_EXTENT).contains(d)) {
                return Err(Error::input(&p.name, format!("impossible extent: got {}", got())));
            }
            let bytes = byte_size(v.shape.iter().map(|&d| Some(d)), v.dtype.size());
            if bytes != Some(v.data.len() as u64) {
                return Err(Error::input(&p.name, format!("{} bytes do not make {}", v.data.len(), got())));
            }
            out.push(*v);
        }
        Ok(out)
    }

    /// Binds the symbols from the inputs' extents, checks every extent and the place of every buffer. All that is kept for
    /// the next run with the same extents.
    fn bind(&mut self, program: &Program, inputs: &[TensorView<'_>]) -> Result<()> {
        if self.shapes.iter().eq(inputs.iter().flat_map(|v| v.shape)) {
            for &s in &program.late {
                self.unbind(program, s);
            }
            return Ok(());
        }
        self.shapes.clear();
        self.shapes.push(-1);
        let mut symbols: Vec<Option<i64>> = vec![None; program.dims.symbols().len()];
        let mut source: Vec<&str> = vec![""; symbols.len()];
        // Extents that are a symbol first; then `a*symbol + b` where nothing else gives the symbol.
        let ports = || program.inputs.iter().zip(inputs);
        for ((p, v), bare) in ports().map(|p| (p, true)).chain(ports().map(|p| (p, false))) {
            for (axis, (&d, &got)) in program.slots[p.slot as usize].shape.iter().zip(v.shape).enumerate() {
                let Some((s, a, b)) = program.dims.linear(d) else { continue };
                if bare != program.dims.bare(d).is_some() || (!bare && symbols[s as usize].is_some()) {
                    continue;
                }
                let name = &program.dims.symbols()[s as usize];
                let range = program.ranges[s as usize];
                // No whole number fits: the second pass says so.
                let Some(got) = got.checked_sub(b).filter(|r| r % a == 0).map(|r| r / a) else { continue };
                if !(range.lo..=range.hi).contains(&got) {
                    let what = format!("axis {axis} (`{name}`) is {got}, allowed are {}", range_text(range.lo, range.hi));
                    return Err(Error::input(&p.name, what));
                }
                if let Some(other) = symbols[s as usize].filter(|&o| o != got) {
                    let from = source[s as usize];
                    let what = format!("axis {axis} (`{name}`) is {got}, but input `{from}` has it as {other}");
                    return Err(Error::input(&p.name, what));
                }
                symbols[s as usize] = Some(got);
                source[s as usize] = &p.name;
            }
        }
        self.values.rebind(&program.dims, symbols);
        for (p, v) in program.inputs.iter().zip(inputs) {
            for (axis, (&d, &got)) in program.slots[p.slot as usize].shape.iter().zip(v.shape).enumerate() {
                let expected = self.values.get(d);
                if expected != Some(got) {
                    let text = program.dims.text(d);
                    let value = match expected {
                        Some(e) if e.to_string() != text => format!("{text} = {e}"),
                        _ => text.to_string(),
                    };
                    let what = format!("axis {axis} is {got}, expected {value}; {}", type_pair(program, p.slot, v));
                    return Err(Error::input(&p.name, what));
                }
            }
        }
        // The inputs first: other buffers may be views of them and are measured against them.
        let ports = program.inputs.iter().map(|p| p.slot);
        ports.chain(0..program.slots.len() as SlotId).try_for_each(|slot| self.size(program, slot))?;
        self.shapes = inputs.iter().flat_map(|v| v.shape).copied().collect();
        Ok(())
    }

    /// Computes the bytes of a buffer and checks that its place has them. An output's place is made later.
    fn size(&mut self, program: &Program, slot: SlotId) -> Result<()> {
        let s = &program.slots[slot as usize];
        if s.shape.iter().any(|&d| self.values.get(d).is_none()) {
            self.bytes[slot as usize] = None;
            return Ok(());
        }
        let name = || format!("buffer {slot} of type {}", program.type_text(slot));
        let Some(bytes) = byte_size(s.shape.iter().map(|&d| self.values.get(d)), s.dtype.size()) else {
            return Err(Error::run(&name(), "its shape is negative or larger than memory for these inputs"));
        };
        let room = match s.place {
            Place::Arena(at) => program.arena.saturating_sub(at),
            Place::Weight(w) => program.weights[w as usize].1,
            Place::Input(i) if program.inputs[i as usize].slot == slot => bytes,
            Place::Input(i) => self.bytes[program.inputs[i as usize].slot as usize].unwrap_or(0),
            Place::Output(_) => u64::MAX,
        };
        if bytes > room {
            return Err(Error::run(&name(), format!("it needs {bytes} bytes, its place has {room}")));
        }
        self.bytes[slot as usize] = Some(bytes);
        Ok(())
    }

    /// Binds a symbol that a step knows.
    pub fn bind_late(&mut self, program: &Program, s: SymbolId, value: i64, step: &str) -> Result<()> {
        let range = program.ranges[s as usize];
        if !(range.lo..=range.hi).contains(&value) {
            let name = &program.dims.symbols()[s as usize];
            return Err(Error::run(step, format!("`{name}` is {value}, allowed are {}", range_text(range.lo, range.hi))));
        }
        if self.values.bind(&program.dims, s, value) {
            for &slot in &program.slots_of[s as usize] {
                self.size(program, slot).map_err(|e| match e {
                    Error::Run { step: buffer, what } => {
                        let name = &program.dims.symbols()[s as usize];
                        Error::run(step, format!("`{name}` is {value}: {buffer}: {what}"))
                    }
                    other => other,
                })?;
            }
        }
        Ok(())
    }

    /// Takes the value of a symbol away, and with it the sizes that depend on it.
    pub fn unbind(&mut self, program: &Program, s: SymbolId) {
        self.values.unbind(&program.dims, s);
        for &slot in &program.slots_of[s as usize] {
            self.bytes[slot as usize] = None;
        }
    }

    /// Addresses of the inputs' elements, aligned to their types.
    fn stage(&mut self, inputs: &[TensorView<'_>]) -> Result<Vec<*const u8>> {
        let mut out = Vec::with_capacity(inputs.len());
        for (v, copy) in inputs.iter().zip(&mut self.staging) {
            let p = v.data.as_ptr();
            if (p as usize).is_multiple_of(v.dtype.align()) {
                out.push(p);
                continue;
            }
            if copy.as_ref().is_none_or(|c| c.len() < v.data.len()) {
                *copy = Some(AlignedBytes::zeroed(v.data.len(), "the copy of an unaligned input")?);
            }
            if let Some(c) = copy {
                c[..v.data.len()].copy_from_slice(v.data);
                out.push(c.as_ptr());
            }
        }
        Ok(out)
    }

    /// Fills what kernels may write, as far as buffers of known size reach.
    fn poison(&mut self, program: &Program) {
        let end = |(s, b): (&crate::program::Slot, &Option<u64>)| match (s.place, b) {
            (Place::Arena(at), Some(b)) => at + b,
            _ => 0,
        };
        let used = program.slots.iter().zip(&self.bytes).map(end).max().unwrap_or(0);
        let (arena, scratch) = ((used as usize).min(self.arena.len()), self.scratch.len());
        // SAFETY: both blocks have at least these many bytes and nobody else uses them between runs.
        unsafe {
            self.arena.base().write_bytes(0xff, arena);
            self.scratch.base().write_bytes(0xff, scratch);
        }
    }
}

/// Bytes of a tensor; `None` if an extent is unknown or negative, or the product too large for memory.
pub(crate) fn byte_size(shape: impl Iterator<Item = Option<i64>>, element: usize) -> Option<u64> {
    let mut bytes = element as u64;
    let mut empty = false;
    for d in shape {
        let d = u64::try_from(d?).ok()?;
        empty |= d == 0;
        bytes = bytes.checked_mul(d.max(1))?;
    }
    // Alignment is taken off so that rounding up an address cannot overflow.
    (bytes <= (isize::MAX as u64) - ALIGN as u64).then_some(if empty { 0 } else { bytes })
}

fn range_text(lo: i64, hi: i64) -> String {
    match hi {
        i64::MAX => format!("{lo} and more"),
        hi if hi == lo => format!("only {lo}"),
        hi => format!("{lo} to {hi}"),
    }
}

fn type_pair(program: &Program, slot: SlotId, v: &TensorView<'_>) -> String {
    format!("the input is {}, got {}{:?}", program.type_text(slot), v.dtype, v.shape)
}
