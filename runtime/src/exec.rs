//! Executing the steps of a program.

use std::ffi::c_void;
use std::time::Instant;

use crate::dims::DimId;
use crate::error::{Error, Result};
use crate::format::manifest::{Place, Side};
use crate::host::{self, Array, Count};
use crate::launch::{Call, share};
use crate::module::Module;
use crate::pool::Pool;
use crate::program::{Launch, Program, SlotId, Step};
use crate::session::{State, byte_size};
use crate::tensor::Output;

/// What a launch is asked for.
struct Numbers {
    dims: Vec<i64>,
    grid: i64,
    flops: i64,
    bytes: i64,
}

/// One run.
pub(crate) struct Exec<'a, 'o> {
    pub module: &'a Module,
    pub program: &'a Program,
    pub pool: Option<&'a mut Pool>,
    pub state: &'a mut State,
    #[cfg(feature = "ascend")]
    pub image: Option<&'a mut crate::acl::image::Image>,
    /// Elements of the inputs, aligned to their types and as many as their shapes say.
    pub inputs: Vec<*const u8>,
    pub outputs: &'a mut [Output<'o>],
}

impl Exec<'_, '_> {
    /// Makes room for what outputs are known to need.
    pub fn prepare_outputs(&mut self) -> Result<()> {
        for slot in 0..self.program.slots.len() as SlotId {
            self.reserve(slot)?;
        }
        for (port, out) in self.program.outputs.iter().zip(self.outputs.iter_mut()) {
            let dtype = self.program.slots[port.slot as usize].dtype;
            if !(out.as_mut_ptr() as usize).is_multiple_of(dtype.align()) {
                return Err(Error::output(&port.name, format!("its buffer is not aligned to {} bytes", dtype.align())));
            }
        }
        Ok(())
    }

    /// States what the outputs hold; copies those that lie elsewhere.
    pub fn finish_outputs(&mut self) -> Result<()> {
        for (i, port) in self.program.outputs.iter().enumerate() {
            let slot = &self.program.slots[port.slot as usize];
            let bytes = self.bytes(port.slot, &port.name)?;
            if slot.place != Place::Output(i as u32) {
                self.outputs[i].reserve(&port.name, bytes, false)?;
                let (src, dst) = (self.ptr(port.slot), self.outputs[i].as_mut_ptr());
                // SAFETY: both have `bytes` bytes; the output is a buffer of its own.
                unsafe { std::ptr::copy(src, dst, bytes) };
            }
            let shape = self.shape(port.slot, &port.name)?.iter().map(|&d| d as i64).collect();
            self.outputs[i].set(slot.dtype, shape, bytes);
        }
        Ok(())
    }

    /// Runs steps in order.
    pub fn steps(&mut self, steps: &[Step]) -> Result<()> {
        steps.iter().try_for_each(|s| self.step(s))
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        if !self.is_device_step(step) {
            self.settle()?;
        }
        match step {
            Step::Launch(l) if self.program.on_device[l.kernel as usize] => self.timed(l.id, |e| e.launch_on_device(l)),
            Step::Transfer { id, slot, to } => self.timed(*id, |e| e.transfer(*id, *slot, *to)),
            Step::Launch(l) => self.timed(l.id, |e| e.launch(l)),
            Step::Host { id, op, args, results } => self.timed(*id, |e| e.host(*id, op, args, results)),
            Step::Copy { id, src, dst } => self.timed(*id, |e| {
                let (from, to) = (e.bytes(*src, "copy")?, e.bytes(*dst, "copy")?);
                if from != to {
                    return Err(Error::run("copy", format!("{from} bytes to a buffer of {to}")));
                }
                // SAFETY: both buffers have these many bytes.
                unsafe { std::ptr::copy(e.ptr(*src), e.ptr(*dst), from) };
                Ok(())
            }),
            Step::Store { id, src, dst, at } => self.timed(*id, |e| e.store(*src, *dst, *at)),
            Step::ReadDim { symbol, from } => {
                let value = self.read_i64(*from)?;
                self.bind(*symbol, value, "reading a dimension")
            }
            Step::If { cond, then, otherwise } => {
                let branch = if self.read_bool(*cond)? { then } else { otherwise };
                self.steps(branch)
            }
            Step::Loop { trip, cond, iteration, trips, body } => {
                let trip = self.read_i64(*trip)?;
                if let Some(s) = trips {
                    // The number of an earlier run of this loop says nothing about the results of this one.
                    self.state.unbind(self.program, *s);
                }
                let mut n = 0;
                while n < trip && self.read_bool(*cond)? {
                    self.write_i64(*iteration, n)?;
                    self.steps(body)?;
                    n += 1;
                }
                trips.map_or(Ok(()), |s| self.bind(s, n, "loop"))
            }
        }
    }

    fn is_device_step(&self, step: &Step) -> bool {
        match step {
            Step::Launch(l) => self.program.on_device[l.kernel as usize],
            Step::Transfer { .. } => true,
            _ => false,
        }
    }

    fn timed(&mut self, id: u32, f: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        if self.state.times.is_empty() {
            return f(self);
        }
        let start = Instant::now();
        let result = f(self);
        let ns = start.elapsed().as_nanos() as u64;
        if let Some(t) = self.state.times.get_mut(id as usize) {
            t.calls += 1;
            t.ns += ns;
        }
        result
    }

    fn launch(&mut self, l: &Launch) -> Result<()> {
        let name = &self.program.names[l.id as usize];
        let Numbers { dims, grid, flops, bytes } = self.numbers(l)?;
        let mut params: Vec<*mut c_void> = Vec::with_capacity(l.args.len());
        for &a in &l.args {
            // The size is known: the kernel's view of the buffer lies in its place.
            self.bytes(a, name)?;
            params.push(self.ptr(a).cast());
        }
        let share = share(grid, flops, bytes, self.pool.as_ref().map_or(1, |p| p.threads()));
        let call = Call {
            kernel: self.module.code.kernel(self.program.code_index[l.kernel as usize]),
            params: &params,
            dims: &dims,
            grid,
            scratch: self.state.scratch.base(),
            stride: self.state.stride,
            flush: self.program.flush,
        };
        // SAFETY: every buffer has the bytes of its shape at these dimension values, aligned to its type; scratch has
        // `stride` bytes, the most any kernel needs, for every thread of the pool. The rest is the compiler's promise.
        unsafe { call.run(self.pool.as_deref_mut(), share) }
    }

    /// A launch's numbers at the values of this run; its work is counted.
    fn numbers(&mut self, l: &Launch) -> Result<Numbers> {
        let name = &self.program.names[l.id as usize];
        let dims = l.dims.iter().map(|&d| self.dim(d, name)).collect::<Result<Vec<i64>>>()?;
        let grid = self.dim(l.grid, name)?;
        let (flops, bytes) = (self.dim(l.flops, name)?, self.dim(l.bytes, name)?);
        if let Some(t) = self.state.times.get_mut(l.id as usize) {
            t.flops += flops.max(0) as u64;
            t.bytes += bytes.max(0) as u64;
            if t.kernel.is_empty() {
                t.kernel.clone_from(&self.module.manifest().kernels[l.kernel as usize].symbol);
            }
        }
        Ok(Numbers { dims, grid, flops, bytes })
    }

    fn store(&mut self, src: SlotId, dst: SlotId, at: SlotId) -> Result<()> {
        let row = self.read_i64(at)?;
        let len = self.bytes(src, "store")? as u64;
        let end = u64::try_from(row).ok().and_then(|r| r.checked_add(1)).and_then(|r| r.checked_mul(len));
        let Some(end) = end.filter(|&e| e <= isize::MAX as u64) else {
            return Err(Error::run("store", format!("row {row} does not exist")));
        };
        // The number of rows may be known only after the loop that stores them.
        let room = match self.state.bytes[dst as usize] {
            Some(b) => b,
            None => self.room(dst, end)?,
        };
        if end > room {
            return Err(Error::run("store", format!("row {row} lies outside a buffer of {room} bytes, with rows of {len}")));
        }
        // SAFETY: `end` is within the buffer.
        unsafe { std::ptr::copy(self.ptr(src), self.ptr(dst).add((end - len) as usize), len as usize) };
        Ok(())
    }

    /// Bytes that a buffer of yet unknown size may take; an output is made large enough for `want`.
    fn room(&mut self, slot: SlotId, want: u64) -> Result<u64> {
        let s = &self.program.slots[slot as usize];
        match s.place {
            Place::Output(n) => {
                let name = &self.program.outputs[n as usize].name;
                self.outputs[n as usize].reserve(name, want as usize, self.state.poison)?;
                Ok(want)
            }
            Place::Arena(at) => {
                // As much as it has at the upper ends of the ranges of what is not known yet.
                let known = |s: usize| self.state.values.symbol(s as u32).or(Some(self.program.ranges[s].hi));
                let symbols: Vec<Option<i64>> = (0..self.program.ranges.len()).map(known).collect();
                let most = byte_size(s.shape.iter().map(|&d| self.program.dims.eval(d, &symbols)), s.dtype.size());
                Ok(most.unwrap_or(u64::MAX).min(self.program.arena.saturating_sub(at)))
            }
            Place::Input(_) | Place::Weight(_) => Ok(0),
        }
    }

    fn host(&mut self, id: u32, op: &host::Op, args: &[SlotId], results: &[SlotId]) -> Result<()> {
        let program = self.program;
        let name = program.names[id as usize].as_str();
        let fail = |what: String| Error::run(name, what);
        match op {
            host::Op::TopK { k, axis, largest } => {
                let k = usize::try_from(self.dim(*k, name)?).map_err(|_| fail("k is negative".into()))?;
                let shape = self.shape(args[0], name)?;
                self.disjoint(args, results, name)?;
                // SAFETY: the results do not overlap the argument or each other.
                let (values, positions) = unsafe { (self.bytes_mut(results[0], name)?, self.i64s_mut(results[1], name)?) };
                let data = self.array(args[0], &shape, name)?;
                host::topk(data, k, *axis, *largest, values, positions).map_err(fail)
            }
            host::Op::NonZero { count } => {
                let shape = self.shape(args[0], name)?;
                let found = host::nonzero(self.array(args[0], &shape, name)?);
                let extent = self.count(*count, results[0], 1, found.len(), name)?;
                self.disjoint(args, results, name)?;
                // SAFETY: as above; nothing borrows the argument any more.
                let out = unsafe { self.i64s_mut(results[0], name)? };
                if out.len() != shape.len() * extent {
                    return Err(fail(format!("the result has {} elements for {} axes of {extent}", out.len(), shape.len())));
                }
                host::write_coordinates(&shape, &found, extent, out);
                self.write_i64(results[1], found.len() as i64)
            }
            host::Op::ReadDims { dims } => {
                self.disjoint(args, results, name)?;
                // SAFETY: the results do not overlap the argument.
                let out = unsafe { self.i64s_mut(results[0], name)? };
                // SAFETY: as above; the argument is only read.
                let given = unsafe { self.i64s_mut(args[0], name)? };
                if given.len() != dims.len() || out.len() != dims.len() {
                    return Err(fail(format!("{} elements for {} dimensions", given.len(), dims.len())));
                }
                out.copy_from_slice(given);
                for (i, (d, &got)) in dims.iter().zip(out.iter()).enumerate() {
                    match *d {
                        host::Against::Symbol(s) => self.bind(s, got, name)?,
                        host::Against::Equal(e) | host::Against::OneOrEqual(e) | host::Against::AtMost(e) => {
                            let breach = d.breach(i, got, program.dims.text(e), self.dim(e, name)?);
                            breach.map_or(Ok(()), |why| Err(fail(why)))?;
                        }
                    }
                }
                Ok(())
            }
            host::Op::Nms { center, count } => {
                let (boxes, scores) = (self.shape(args[0], name)?, self.shape(args[1], name)?);
                let (max_out, iou, score) = (self.read_i64(args[2])?, self.read_f32(args[3])?, self.read_f32(args[4])?);
                let (b, s) = (self.array(args[0], &boxes, name)?, self.array(args[1], &scores, name)?);
                let found = host::nms(b, s, max_out, iou, score, *center).map_err(fail)?;
                let extent = self.count(*count, results[0], 0, found.len(), name)?;
                self.disjoint(args, results, name)?;
                // SAFETY: as above.
                let out = unsafe { self.i64s_mut(results[0], name)? };
                if out.len() != extent * 3 {
                    return Err(fail(format!("the result has {} elements for {extent} rows of 3", out.len())));
                }
                let (rows, rest) = out.split_at_mut(found.len() * 3);
                rows.copy_from_slice(found.as_flattened());
                rest.fill(0);
                self.write_i64(results[1], found.len() as i64)
            }
        }
    }

    /// Makes the number of results known and gives the result's extent along `axis`.
    fn count(&mut self, count: Count, result: SlotId, axis: usize, found: usize, name: &str) -> Result<usize> {
        if let Count::Symbol(s) = count {
            self.bind(s, found as i64, name)?;
        }
        let extent = self.shape(result, name)?.get(axis).copied().unwrap_or(0);
        if found > extent {
            return Err(Error::run(name, format!("{found} results for an extent of {extent}")));
        }
        Ok(extent)
    }

    fn bind(&mut self, symbol: u32, value: i64, step: &str) -> Result<()> {
        self.state.bind_late(self.program, symbol, value, step)?;
        // Not a field access through `self` below: the list belongs to the program.
        let slots = &self.program.slots_of[symbol as usize];
        slots.iter().try_for_each(|&slot| self.reserve(slot))
    }

    /// Makes room for a buffer that lies in an output, if its size is known.
    fn reserve(&mut self, slot: SlotId) -> Result<()> {
        let Place::Output(n) = self.program.slots[slot as usize].place else { return Ok(()) };
        let Some(bytes) = self.state.bytes[slot as usize] else { return Ok(()) };
        let name = &self.program.outputs[n as usize].name;
        self.outputs[n as usize].reserve(name, bytes as usize, self.state.poison)
    }

    /// First byte of a buffer. Inputs and weights are only read: the program has been checked for that.
    fn ptr(&mut self, slot: SlotId) -> *mut u8 {
        match self.program.slots[slot as usize].place {
            Place::Input(i) => self.inputs[i as usize].cast_mut(),
            Place::Output(i) => self.outputs[i as usize].as_mut_ptr(),
            Place::Arena(at) => self.state.arena.base().wrapping_add(at as usize),
            Place::Weight(i) => self.module.weight(i).cast_mut(),
        }
    }

    /// Bytes of a buffer, once known.
    fn bytes(&self, slot: SlotId, step: &str) -> Result<usize> {
        match self.state.bytes[slot as usize] {
            Some(b) => Ok(b as usize),
            None => Err(Error::run(step, format!("the shape {} is not known yet", self.program.type_text(slot)))),
        }
    }

    fn dim(&self, d: DimId, step: &str) -> Result<i64> {
        let unknown = || Error::run(step, format!("the dimension {} is not known yet", self.program.dims.text(d)));
        self.state.values.get(d).ok_or_else(unknown)
    }

    fn shape(&self, slot: SlotId, step: &str) -> Result<Vec<usize>> {
        let negative = || Error::run(step, format!("the shape {} is negative", self.program.type_text(slot)));
        let dims = &self.program.slots[slot as usize].shape;
        dims.iter().map(|&d| usize::try_from(self.dim(d, step)?).map_err(|_| negative())).collect()
    }

    fn array<'s>(&mut self, slot: SlotId, shape: &'s [usize], step: &str) -> Result<Array<'s>> {
        let (len, p) = (self.bytes(slot, step)?, self.ptr(slot));
        // SAFETY: `len` bytes that no kernel writes now; callers use the array before they run anything else, and write only to
        // buffers that `disjoint` has compared.
        Ok(Array { dtype: self.program.slots[slot as usize].dtype, shape, data: unsafe { std::slice::from_raw_parts(p, len) } })
    }

    /// # Safety
    /// No other reference to the buffer may be alive.
    unsafe fn bytes_mut<'s>(&mut self, slot: SlotId, step: &str) -> Result<&'s mut [u8]> {
        let (len, p) = (self.bytes(slot, step)?, self.ptr(slot));
        // SAFETY: `len` bytes of ours; the rest is required of the caller.
        Ok(unsafe { std::slice::from_raw_parts_mut(p, len) })
    }

    /// # Safety
    /// As [`Exec::bytes_mut`]; the buffer's type is i64.
    unsafe fn i64s_mut<'s>(&mut self, slot: SlotId, step: &str) -> Result<&'s mut [i64]> {
        let (len, p) = (self.bytes(slot, step)? / 8, self.ptr(slot));
        // SAFETY: as above; every place is aligned to its type.
        Ok(unsafe { std::slice::from_raw_parts_mut(p.cast(), len) })
    }

    /// Fails where a result overlaps an argument or another result.
    fn disjoint(&mut self, args: &[SlotId], results: &[SlotId], step: &str) -> Result<()> {
        let mut spans = vec![];
        for &s in results.iter().chain(args) {
            let start = self.ptr(s) as usize;
            spans.push((start, start + self.bytes(s, step)?));
        }
        for (i, a) in spans[..results.len()].iter().enumerate() {
            if spans[i + 1..].iter().any(|b| a.0 < b.1 && b.0 < a.1) {
                return Err(Error::run(step, "a result overlaps another buffer of the step"));
            }
        }
        Ok(())
    }

    // Scalars: the program has been checked to have the type, and a scalar's bytes are always known and in their place.

    fn read_i64(&mut self, slot: SlotId) -> Result<i64> {
        // SAFETY: eight bytes, see above.
        Ok(unsafe { self.ptr(slot).cast::<i64>().read_unaligned() })
    }

    fn read_f32(&mut self, slot: SlotId) -> Result<f32> {
        // SAFETY: four bytes, see above.
        Ok(unsafe { self.ptr(slot).cast::<f32>().read_unaligned() })
    }

    fn read_bool(&mut self, slot: SlotId) -> Result<bool> {
        // SAFETY: one byte, see above; any byte is a number.
        Ok(unsafe { self.ptr(slot).read() } != 0)
    }

    fn write_i64(&mut self, slot: SlotId, value: i64) -> Result<()> {
        // SAFETY: eight bytes, see above.
        unsafe { self.ptr(slot).cast::<i64>().write_unaligned(value) };
        Ok(())
    }
}

#[cfg(feature = "ascend")]
impl Exec<'_, '_> {
    /// Waits for the device before the host goes on.
    pub fn settle(&mut self) -> Result<()> {
        self.image.as_mut().map_or(Ok(()), |i| i.settle())
    }

    fn launch_on_device(&mut self, l: &Launch) -> Result<()> {
        let name = &self.program.names[l.id as usize];
        let numbers = self.numbers(l)?;
        let place = |&a: &SlotId| Ok((self.program.slots[a as usize].place, self.bytes(a, name)?));
        let args = l.args.iter().map(place).collect::<Result<Vec<(Place, usize)>>>()?;
        let timed = !self.state.times.is_empty();
        let cores = self.module.manifest().kernels[l.kernel as usize].device.map_or(0, |d| d.cores);
        let Some(image) = self.image.as_mut() else { return Err(Error::Internal("no device was opened".into())) };
        let blocks = numbers.grid.clamp(0, cores.into());
        let call = crate::acl::image::Launched { step: l.id, kernel: l.kernel, blocks, args: &args, dims: &numbers.dims };
        // SAFETY: the plan's steps have put the buffers there, of the bytes of their shapes; the rest is the compiler's promise.
        unsafe { image.launch(&call) }?;
        if timed { image.settle() } else { Ok(()) }
    }

    fn transfer(&mut self, id: u32, slot: SlotId, to: Side) -> Result<()> {
        let (bytes, host) = (self.bytes(slot, "transfer")?, self.ptr(slot));
        let place = self.program.slots[slot as usize].place;
        if let Some(t) = self.state.times.get_mut(id as usize) {
            t.bytes += bytes as u64;
        }
        let Some(image) = self.image.as_mut() else { return Err(Error::Internal("no device was opened".into())) };
        // SAFETY: the buffer has these many bytes, and no step of the host runs before `settle`.
        match to {
            Side::Device => unsafe { image.bring(id, place, host, bytes) },
            Side::Host => unsafe { image.fetch(id, place, host, bytes) },
        }
    }
}

/// Without the feature a session refuses such plans before it runs them.
#[cfg(not(feature = "ascend"))]
impl Exec<'_, '_> {
    pub fn settle(&mut self) -> Result<()> {
        Ok(())
    }

    fn launch_on_device(&mut self, _: &Launch) -> Result<()> {
        Err(Error::Internal("a kernel of a device".into()))
    }

    fn transfer(&mut self, _: u32, _: SlotId, _: Side) -> Result<()> {
        Err(Error::Internal("a copy to a device".into()))
    }
}
