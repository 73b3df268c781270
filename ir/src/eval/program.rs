//! The meaning of a program: its steps in order on the evaluators of kernels and ops, over an arena laid out as planned. The
//! arena starts poisoned (every float a NaN), so that a buffer read before it is written, or two that share bytes while both
//! are alive, show in the results. Host and device have memories of their own: a copy that the plan forgot shows, too.

use super::{Dims, EvalError, kernel, op};
use crate::graph::Graph;
use crate::kernel::Access;
use crate::ops::Op;
use crate::plan::{Launch, Place, Program, Side, Slot, SlotId, Step};
use crate::tensor::{Data, Num, Tensor};
use crate::types::{DType, Dim};

/// What unwritten memory holds: NaN in every float type, -1 in every signed integer.
const POISON: u8 = 0xff;

/// Most iterations of one loop, against programs that never end.
const MAX_ITERATIONS: i64 = 1 << 20;

/// Runs a program. Symbols are bound from the shapes of `inputs`, in the order of the plan's inputs.
pub fn program(p: &Program, inputs: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    let mut m = Machine::new(p, inputs)?;
    m.steps(&p.plan.steps)?;
    let mut out = vec![];
    for port in &p.plan.outputs {
        out.push(m.read(port.slot).map_err(|e| EvalError(format!("output `{}`: {}", port.name, e.0)))?);
    }
    Ok(out)
}

struct Machine<'a> {
    p: &'a Program,
    inputs: &'a [Tensor],
    dims: Dims,
    /// Of the host and of the device.
    memories: [Memory; 2],
    /// Whose memory the current step uses.
    side: Side,
    weights: Vec<Data>,
}

/// What one side holds.
#[derive(Default)]
struct Memory {
    arena: Vec<u8>,
    outputs: Vec<Vec<u8>>,
    /// On the device: the inputs copied there.
    inputs: Vec<Option<Vec<u8>>>,
}

impl<'a> Machine<'a> {
    fn new(p: &'a Program, inputs: &'a [Tensor]) -> Result<Machine<'a>, EvalError> {
        if inputs.len() != p.plan.inputs.len() {
            return EvalError::fail(format!("the program takes {} inputs, got {}", p.plan.inputs.len(), inputs.len()));
        }
        let weights = p
            .weights
            .iter()
            .enumerate()
            .map(|(i, w)| w.data().ok_or_else(|| EvalError(format!("weight {i}: its panels reach outside its source"))))
            .collect::<Result<_, _>>()?;
        let arena = usize::try_from(p.plan.arena).ok().filter(|n| *n < 1 << 40);
        let arena = arena.ok_or_else(|| EvalError(format!("an arena of {} bytes", p.plan.arena)))?;
        let both = p.kernels.iter().any(|k| k.side() == Side::Device);
        let host = Memory { arena: vec![POISON; arena], ..Memory::default() };
        let device =
            Memory { arena: vec![POISON; if both { arena } else { 0 }], inputs: vec![None; inputs.len()], ..Memory::default() };
        let mut m = Machine { p, inputs, dims: Dims::new(), memories: [host, device], side: Side::Host, weights };
        for (port, t) in p.plan.inputs.iter().zip(inputs) {
            m.bind(&port.name, port.slot, t)?;
        }
        for (port, t) in p.plan.inputs.iter().zip(inputs) {
            let want = m.shape(&m.slot(port.slot)?.ty.shape)?;
            if want != t.shape || m.slot(port.slot)?.ty.dtype != t.dtype {
                return EvalError::fail(format!("input `{}` is {}, got {}", port.name, m.slot(port.slot)?.ty, t.ty()));
            }
        }
        Ok(m)
    }

    fn bind(&mut self, name: &str, slot: SlotId, t: &Tensor) -> Result<(), EvalError> {
        let ty = &self.slot(slot)?.ty;
        if ty.rank() != t.shape.len() {
            return EvalError::fail(format!("input `{name}` is {ty}, got {}", t.ty()));
        }
        let found: Vec<_> = ty.shape.iter().zip(&t.shape).filter_map(|(d, n)| d.solve(*n as i64)).collect();
        for (s, v) in found {
            let r = self.p.plan.symbols.range(&s);
            if v < r.lo || v > r.hi {
                return EvalError::fail(format!("input `{name}`: `{s}` is {v}, outside {}..={}", r.lo, r.hi));
            }
            self.dims.entry(s).or_insert(v);
        }
        Ok(())
    }

    fn slot(&self, s: SlotId) -> Result<&'a Slot, EvalError> {
        self.p.plan.slots.get(s.index()).ok_or_else(|| EvalError(format!("slot {} does not exist", s.0)))
    }

    fn dim(&self, d: &Dim) -> Result<i64, EvalError> {
        d.eval(&|n| self.dims.get(n).copied()).ok_or_else(|| EvalError(format!("`{d}` has no value yet")))
    }

    fn shape(&self, dims: &[Dim]) -> Result<Vec<usize>, EvalError> {
        dims.iter()
            .map(|d| usize::try_from(self.dim(d)?).map_err(|_| EvalError(format!("the extent `{d}` is negative"))))
            .collect()
    }

    /// The memory a slot lies in, from its first byte.
    fn memory(&mut self, s: SlotId, bytes: usize) -> Result<&mut [u8], EvalError> {
        let slot = self.slot(s)?;
        let outside = || EvalError(format!("slot {}, {}, reaches outside its memory", s.0, slot.ty));
        match slot.place {
            Place::Arena(at) => {
                let at = usize::try_from(at).map_err(|_| outside())?;
                self.memories[self.side as usize].arena.get_mut(at..at.saturating_add(bytes)).ok_or_else(outside)
            }
            Place::Output(n) => {
                let n = n as usize;
                let outputs = &mut self.memories[self.side as usize].outputs;
                if outputs.len() <= n {
                    outputs.resize(n + 1, vec![]);
                }
                if outputs[n].len() < bytes {
                    outputs[n].resize(bytes, POISON);
                }
                Ok(&mut outputs[n][..bytes])
            }
            Place::Input(_) | Place::Weight(_) => EvalError::fail(format!("writes slot {}, which is an input or a weight", s.0)),
        }
    }

    fn bytes(&mut self, s: SlotId, n: usize) -> Result<Vec<u8>, EvalError> {
        let of = |b: Option<&[u8]>| {
            let b = b.and_then(|b| b.get(..n)).map(<[u8]>::to_vec);
            b.ok_or_else(|| EvalError(format!("slot {} reaches outside its memory", s.0)))
        };
        match self.slot(s)?.place {
            Place::Input(i) if self.side == Side::Device => match self.memories[1].inputs.get(i as usize) {
                Some(Some(copied)) => of(Some(copied)),
                _ => EvalError::fail(format!("input {i} was not copied to the device")),
            },
            Place::Input(i) => of(self.inputs.get(i as usize).map(Tensor::bytes)),
            Place::Weight(w) => of(self.weights.get(w as usize).map(Data::as_bytes)),
            _ => Ok(self.memory(s, n)?.to_vec()),
        }
    }

    fn tensor(&mut self, s: SlotId, dtype: DType, shape: Vec<usize>) -> Result<Tensor, EvalError> {
        let n = crate::tensor::numel(&shape).and_then(|n| n.checked_mul(dtype.size()));
        let n = n.ok_or_else(|| EvalError(format!("slot {} is too large", s.0)))?;
        let data = self.bytes(s, n)?;
        Tensor::new(dtype, shape, data.into()).ok_or_else(|| EvalError("a tensor's bytes do not fit its type".into()))
    }

    fn read(&mut self, s: SlotId) -> Result<Tensor, EvalError> {
        let slot = self.slot(s)?;
        let shape = self.shape(&slot.ty.shape)?;
        self.tensor(s, slot.ty.dtype, shape)
    }

    fn write(&mut self, s: SlotId, data: &[u8]) -> Result<(), EvalError> {
        self.memory(s, data.len())?.copy_from_slice(data);
        Ok(())
    }

    fn scalar(&mut self, s: SlotId, dtype: DType) -> Result<i64, EvalError> {
        Ok(self.tensor(s, dtype, vec![])?.get(0).to_i128() as i64)
    }

    fn steps(&mut self, steps: &[Step]) -> Result<(), EvalError> {
        steps.iter().try_for_each(|s| self.step(s))
    }

    fn step(&mut self, step: &Step) -> Result<(), EvalError> {
        match step {
            Step::Launch(l) => {
                self.side = self.p.kernels.get(l.kernel as usize).map_or(Side::Host, |k| k.side());
                let done = self.launch(l).map_err(|e| EvalError(format!("launch `{}`: {}", l.name, e.0)));
                self.side = Side::Host;
                done
            }
            Step::Transfer { slot, to } => self.transfer(*slot, *to),
            Step::Host { op: what, args, results, name } => {
                let args = args.iter().map(|a| self.read(*a)).collect::<Result<Vec<_>, _>>()?;
                if let Op::ReadDims(p) = what {
                    // Another iteration of a loop gives other values.
                    for s in p.bound() {
                        self.dims.remove(&s);
                    }
                }
                let got = op(what, &args, &Graph::default(), &self.dims)
                    .map_err(|e| EvalError(format!("host step `{name}`: {}", e.0)))?;
                if let Op::ReadDims(p) = what {
                    let done = p.bind(&got[0], &self.p.plan.symbols, &mut self.dims);
                    done.map_err(|e| EvalError(format!("host step `{name}`: {}", e.0)))?;
                }
                for (s, t) in results.iter().zip(&got) {
                    self.write(*s, t.bytes())?;
                }
                Ok(())
            }
            Step::Copy { src, dst } => {
                let t = self.read(*src)?;
                self.write(*dst, t.bytes())
            }
            Step::Store { src, dst, at } => {
                let t = self.read(*src)?;
                let (row, n) = (self.scalar(*at, DType::I64)?, t.bytes().len());
                let start = usize::try_from(row).ok().and_then(|r| r.checked_mul(n));
                let start = start.ok_or_else(|| EvalError(format!("store to row {row}")))?;
                self.memory(*dst, start + n)?[start..].copy_from_slice(t.bytes());
                Ok(())
            }
            Step::ReadDim { symbol, from } => {
                let v = self.scalar(*from, DType::I64)?;
                let r = self.p.plan.symbols.range(symbol);
                if v < r.lo || v > r.hi {
                    return EvalError::fail(format!("`{symbol}` is {v}, outside {}..={}", r.lo, r.hi));
                }
                self.dims.insert(symbol.clone(), v);
                Ok(())
            }
            Step::If { cond, then, otherwise } => {
                let taken = if self.scalar(*cond, DType::Bool)? != 0 { then } else { otherwise };
                self.steps(taken)
            }
            Step::Loop { trip, cond, iteration, trips, body } => {
                let trip = self.scalar(*trip, DType::I64)?;
                let mut i = 0;
                while i < trip && self.scalar(*cond, DType::Bool)? != 0 {
                    if i == MAX_ITERATIONS {
                        return EvalError::fail(format!("a loop runs for more than {MAX_ITERATIONS} iterations"));
                    }
                    let mut b = vec![];
                    crate::num::encode(DType::I64, Num::Int(i.into()), &mut b);
                    self.write(*iteration, &b)?;
                    self.steps(body)?;
                    i += 1;
                }
                if let Some(s) = trips {
                    self.dims.insert(s.clone(), i);
                }
                Ok(())
            }
        }
    }

    fn transfer(&mut self, slot: SlotId, to: Side) -> Result<(), EvalError> {
        self.side = to.other();
        let got = self.read(slot);
        self.side = to;
        let done = got.and_then(|t| match (self.slot(slot)?.place, to) {
            (Place::Input(i), Side::Device) => {
                self.memories[1].inputs[i as usize] = Some(t.bytes().to_vec());
                Ok(())
            }
            _ => self.write(slot, t.bytes()),
        });
        self.side = Side::Host;
        done
    }

    fn launch(&mut self, l: &Launch) -> Result<(), EvalError> {
        let k = self.p.kernels.get(l.kernel as usize);
        let k = k.ok_or_else(|| EvalError(format!("kernel {} does not exist", l.kernel)))?;
        if k.params.len() != l.args.len() || k.symbols.len() != l.dims.len() {
            return EvalError::fail(format!("kernel `{}` is called with the wrong number of arguments", k.name));
        }
        let dims = l.dims.iter().map(|d| self.dim(d)).collect::<Result<Vec<_>, _>>()?;
        let value = |d: &Dim| d.eval(&|n| k.symbols.iter().position(|s| **s == *n).map(|i| dims[i]));
        let grid = k.grid.iter().try_fold(1i64, |a, d| Some(a * value(d)?));
        if grid != Some(self.dim(&l.grid)?) {
            return EvalError::fail(format!("kernel `{}` has {grid:?} grid points, the plan says {}", k.name, l.grid));
        }
        let mut params = vec![];
        for (b, s) in k.params.iter().zip(&l.args) {
            let shape: Option<Vec<usize>> = b.shape.iter().map(|d| usize::try_from(value(d)?).ok()).collect();
            let shape = shape.ok_or_else(|| EvalError(format!("`{}` has an extent without a value", b.name)))?;
            let slot = self.slot(*s)?;
            let want: usize = self.shape(&slot.ty.shape)?.iter().product();
            if slot.ty.dtype != b.dtype || want != shape.iter().product::<usize>() {
                return EvalError::fail(format!("`{}` of kernel `{}` is {shape:?}, slot {} is {}", b.name, k.name, s.0, slot.ty));
            }
            params.push(self.tensor(*s, b.dtype, shape)?);
        }
        kernel(k, &mut params, &dims).map_err(|e| EvalError(format!("kernel `{}`: {}", k.name, e.0)))?;
        for ((b, s), t) in k.params.iter().zip(&l.args).zip(&params) {
            if b.access != Access::Read {
                self.write(*s, t.bytes())?;
            }
        }
        Ok(())
    }
}
