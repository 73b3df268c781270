//! The device's half of a session: kernels, weights, an arena laid out as the host's, inputs and outputs, and what is under way
//! between the two sides.
//!
//! A buffer lies at the same place on both sides; a step of the plan copies it over where it is needed. Copies pass through page-locked
//! memory, one block a step, so that they run beside the host. What comes back is put into its place when the stream is waited
//! for, which happens before the next step that runs on the host.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::Arc;

use super::Device;
use super::code::{self, Kernel};
use super::memory::{DeviceMemory, Direction, PinnedMemory, copy};
use crate::error::{Error, Result};
use crate::format::container::WEIGHTS;
use crate::format::manifest::Place;
use crate::module::Module;
use crate::program::{Program, SlotId, Step};

/// Name of the section that holds the kernels' source.
pub const SOURCES: &str = "ascendc";
/// Alignment of weights on the device: a whole line of its L2.
const ALIGN: usize = 512;

/// See the module's text.
pub struct Image {
    kernels: Vec<Option<Kernel>>,
    weights: Option<DeviceMemory>,
    /// First byte of each weight that the device uses.
    offsets: Vec<usize>,
    arena: Option<DeviceMemory>,
    inputs: Vec<Option<DeviceMemory>>,
    outputs: Vec<Option<DeviceMemory>>,
    /// Page-locked memory by step, and whether a copy into the device still reads it.
    staging: Vec<(Option<PinnedMemory>, bool)>,
    /// Values of dimensions, by launch.
    dims: BTreeMap<u32, DeviceMemory>,
    /// What is on its way to the host.
    arriving: Vec<Arriving>,
    /// Whether the stream may hold anything.
    busy: bool,
    // Last: everything above is given back to it.
    device: Arc<Device>,
}

/// A launch at the values of a run.
pub struct Launched<'a> {
    /// Number of the step.
    pub step: u32,
    /// Kernel.
    pub kernel: u32,
    /// Blocks.
    pub blocks: i64,
    /// Buffers: place and bytes.
    pub args: &'a [(Place, usize)],
    /// Values of the kernel's dimensions.
    pub dims: &'a [i64],
}

struct Arriving {
    from: *const u8,
    to: *mut u8,
    len: usize,
}

// SAFETY: the pointers of `arriving` live during a run, and a session is run by one thread at a time.
unsafe impl Send for Image {}

/// What the device's steps touch.
#[derive(Default)]
struct Used {
    kernels: Vec<bool>,
    weights: Vec<bool>,
    arena: bool,
}

impl Used {
    fn walk(&mut self, program: &Program, steps: &[Step]) {
        for s in steps {
            match s {
                Step::Launch(l) if program.on_device[l.kernel as usize] => {
                    self.kernels[l.kernel as usize] = true;
                    l.args.iter().for_each(|a| self.slot(program, *a));
                }
                Step::Transfer { slot, .. } => self.slot(program, *slot),
                Step::If { then, otherwise, .. } => {
                    self.walk(program, then);
                    self.walk(program, otherwise);
                }
                Step::Loop { body, .. } => self.walk(program, body),
                _ => {}
            }
        }
    }

    fn slot(&mut self, program: &Program, s: SlotId) {
        match program.slots[s as usize].place {
            Place::Weight(w) => self.weights[w as usize] = true,
            Place::Arena(_) => self.arena = true,
            Place::Input(_) | Place::Output(_) => {}
        }
    }
}

impl Image {
    /// Compiles and loads the kernels, and uploads the weights.
    pub fn new(module: &Module, device: &Arc<Device>) -> Result<Image> {
        let (program, manifest) = (&module.program, module.manifest());
        let Some(about) = &manifest.device else {
            return Err(Error::Inconsistent("steps for a device, and no device in the manifest".into()));
        };
        let mut used =
            Used { kernels: vec![false; manifest.kernels.len()], weights: vec![false; program.weights.len()], arena: false };
        used.walk(program, &program.steps);
        let mut image = Image {
            kernels: vec![],
            weights: None,
            offsets: vec![0; program.weights.len()],
            arena: None,
            inputs: program.inputs.iter().map(|_| None).collect(),
            outputs: program.outputs.iter().map(|_| None).collect(),
            staging: program.names.iter().map(|_| (None, false)).collect(),
            dims: BTreeMap::new(),
            arriving: vec![],
            busy: false,
            device: device.clone(),
        };
        let sources = module.artifact().section(SOURCES).unwrap_or_default();
        for (k, used) in manifest.kernels.iter().zip(&used.kernels) {
            let loaded = match &k.device {
                Some(d) if *used => Some(Kernel::load(device, &about.arch, &code::source(k, d, sources)?)?),
                _ => None,
            };
            image.kernels.push(loaded);
        }
        let mut total = 0;
        for (i, &(_, bytes)) in program.weights.iter().enumerate().filter(|(i, _)| used.weights[*i]) {
            image.offsets[i] = total;
            total = (total + bytes as usize).next_multiple_of(ALIGN);
        }
        if total > 0 {
            let memory = DeviceMemory::new(device, total, "the weights on the device")?;
            let section = module.artifact().section(WEIGHTS).unwrap_or_default();
            for (i, &(at, bytes)) in program.weights.iter().enumerate().filter(|(i, _)| used.weights[*i]) {
                // `Program::new` has checked that it lies inside.
                memory.write(image.offsets[i], &section[at as usize..(at + bytes) as usize])?;
            }
            image.weights = Some(memory);
        }
        if used.arena {
            let bytes = usize::try_from(program.arena).unwrap_or(usize::MAX - ALIGN);
            image.arena = Some(DeviceMemory::new(device, bytes, "the arena on the device")?);
        }
        Ok(image)
    }

    /// Starts a run on the calling thread.
    pub fn begin(&mut self) -> Result<()> {
        self.device.enter()
    }

    /// Address of a buffer of so many bytes. The caller's memory is mirrored as large as it is needed.
    fn address(&mut self, place: Place, bytes: usize) -> Result<*mut c_void> {
        let (list, n) = match place {
            Place::Arena(at) => return self.arena.as_ref().map(|m| m.at(at as usize)).ok_or_else(|| lost("the arena")),
            Place::Weight(w) => {
                return self.weights.as_ref().map(|m| m.at(self.offsets[w as usize])).ok_or_else(|| lost("a weight"));
            }
            Place::Input(n) => (&mut self.inputs, n as usize),
            Place::Output(n) => (&mut self.outputs, n as usize),
        };
        if list[n].as_ref().is_none_or(|m| m.len() < bytes) {
            if self.busy {
                self.device.wait()?;
            }
            // The old one first: both together may be too much.
            list[n] = None;
            list[n] = Some(DeviceMemory::new(&self.device, bytes, "inputs and outputs on the device")?);
        }
        list[n].as_ref().map(|m| m.at(0)).ok_or_else(|| lost("an input or output"))
    }

    /// Puts a launch on the stream.
    ///
    /// # Safety
    /// The buffers are as the kernel expects them for these dimension values.
    pub unsafe fn launch(&mut self, call: &Launched<'_>) -> Result<()> {
        let &Launched { step, kernel, blocks, args, dims } = call;
        let blocks = u32::try_from(blocks).map_err(|_| Error::Internal(format!("a launch of {blocks} blocks")))?;
        if blocks == 0 {
            return Ok(());
        }
        let mut params = args.iter().map(|&(place, bytes)| self.address(place, bytes)).collect::<Result<Vec<_>>>()?;
        params.push(self.bring_dims(step, dims)?);
        let Some(k) = &self.kernels[kernel as usize] else { return Err(lost("a kernel")) };
        self.busy = true;
        // SAFETY: as required of the caller.
        unsafe { k.launch(blocks, &params) }
    }

    /// Copies the values of dimensions to the device; null where there are none.
    fn bring_dims(&mut self, step: u32, dims: &[i64]) -> Result<*mut c_void> {
        if dims.is_empty() {
            return Ok(std::ptr::null_mut());
        }
        let bytes = size_of_val(dims);
        if let std::collections::btree_map::Entry::Vacant(v) = self.dims.entry(step) {
            v.insert(DeviceMemory::new(&self.device, bytes, "values of dimensions on the device")?);
        }
        if self.staging[step as usize].1 {
            self.settle()?;
        }
        let staged = self.staged(step, bytes)?;
        let to = self.dims[&step].at(0);
        self.staging[step as usize].1 = true;
        self.busy = true;
        // SAFETY: as in `bring`.
        unsafe {
            std::ptr::copy_nonoverlapping(dims.as_ptr().cast(), staged, bytes);
            copy(&self.device, to, staged.cast(), bytes, Direction::In)?;
        }
        Ok(to)
    }

    /// Copies a buffer to the device.
    ///
    /// # Safety
    /// `from` has `bytes` bytes.
    pub unsafe fn bring(&mut self, step: u32, place: Place, from: *const u8, bytes: usize) -> Result<()> {
        let to = self.address(place, bytes)?;
        if self.staging[step as usize].1 {
            // The step runs again, in a loop, while its last copy may still be under way.
            self.settle()?;
        }
        let staged = self.staged(step, bytes)?;
        self.staging[step as usize].1 = true;
        self.busy = true;
        // SAFETY: both blocks have as many bytes, and the page-locked one is kept until `settle`.
        unsafe {
            std::ptr::copy_nonoverlapping(from, staged, bytes);
            copy(&self.device, to, staged.cast(), bytes, Direction::In)
        }
    }

    /// Copies a buffer from the device; it is in its place after the next [`Image::settle`].
    ///
    /// # Safety
    /// `to` has `bytes` bytes and is not used before.
    pub unsafe fn fetch(&mut self, step: u32, place: Place, to: *mut u8, bytes: usize) -> Result<()> {
        let from = self.address(place, bytes)?;
        if self
            .arriving
            .iter()
            .any(|a| Some(a.from) == self.staging[step as usize].0.as_ref().map(|m| m.as_mut_ptr().cast_const()))
        {
            self.settle()?;
        }
        let staged = self.staged(step, bytes)?;
        self.busy = true;
        // SAFETY: both blocks have as many bytes, and the page-locked one is kept until `settle`.
        unsafe { copy(&self.device, staged.cast(), from, bytes, Direction::Out) }?;
        self.arriving.push(Arriving { from: staged, to, len: bytes });
        Ok(())
    }

    /// Page-locked memory of a step.
    fn staged(&mut self, step: u32, bytes: usize) -> Result<*mut u8> {
        let place = &mut self.staging[step as usize].0;
        if place.as_ref().is_none_or(|m| m.len() < bytes) {
            *place = None;
        }
        let memory = match place {
            Some(m) => m,
            None => place.insert(PinnedMemory::new(&self.device, bytes)?),
        };
        Ok(memory.as_mut_ptr())
    }

    /// Waits for the stream, if there is anything on it, and puts what arrived into its place.
    pub fn settle(&mut self) -> Result<()> {
        if !self.busy {
            return Ok(());
        }
        let done = self.device.wait();
        self.busy = false;
        self.staging.iter_mut().for_each(|s| s.1 = false);
        for a in self.arriving.drain(..) {
            if done.is_ok() {
                // SAFETY: page-locked memory of ours, and a place that `fetch` was promised.
                unsafe { std::ptr::copy_nonoverlapping(a.from, a.to, a.len) };
            }
        }
        done
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // After an error the stream may still use what is freed now.
        if self.busy && self.device.enter().is_ok() {
            let _ = self.device.wait();
        }
    }
}

fn lost(what: &str) -> Error {
    Error::Internal(format!("{what} is used on the device and was not put there"))
}
