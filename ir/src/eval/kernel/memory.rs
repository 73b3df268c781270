//! Buffers of a kernel under evaluation: their bytes, and for each element which grid point wrote and read it.

use crate::kernel::{Access, Buffer};
use crate::num::{decode, encode};
use crate::tensor::{Data, Num, Tensor};
use crate::types::DType;

/// What an access broke. Grid points are linear, from 0.
pub(super) enum Fault {
    OutOfRange(usize),
    Uninitialised,
    ReadOnly,
    WrittenByPoint(u32),
    ReadOfPoint(u32),
    ReadByPoint(Option<u32>),
    ReadOfLane,
}

impl Fault {
    pub fn message(&self) -> String {
        match self {
            Fault::OutOfRange(axis) => format!("index out of range on axis {axis}"),
            Fault::Uninitialised => "read of an element that was never written".into(),
            Fault::ReadOnly => "write to a parameter that the kernel only reads".into(),
            Fault::WrittenByPoint(p) => format!("write of an element that grid point {p} also writes"),
            Fault::ReadOfPoint(p) => format!("read of an element that grid point {p} writes"),
            Fault::ReadByPoint(Some(p)) => format!("write of an element that grid point {p} reads"),
            Fault::ReadByPoint(None) => "write of an element that several grid points read".into(),
            Fault::ReadOfLane => "read of an element that another iteration of the vector loop writes".into(),
        }
    }
}

/// Readers of an element: none, several, or the point `r - 1`.
const NO_READER: u32 = 0;
const SEVERAL: u32 = u32::MAX;

/// Now: the grid point, and the iteration of the innermost vector loop (0 outside of one).
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub point: u32,
    /// Number of the vector loop's execution in the high bits, of its iteration in the low [`LANE_BITS`].
    pub lane: u64,
}

/// Low bits of [`Now::lane`]. Iterations beyond wrap around; the check then misses some conflicts and invents none.
pub(super) const LANE_BITS: u32 = 24;

enum Bytes {
    Shared(Data),
    Owned(Vec<u8>),
}

/// One buffer.
pub(super) struct Memory {
    dtype: DType,
    pub shape: Vec<usize>,
    bytes: Bytes,
    /// Grid point plus one that wrote the element last; 0: none. Empty where nothing is written.
    writer: Vec<u32>,
    /// Readers of elements, where the caller's content may be read and replaced (`ReadWrite` parameters).
    reader: Vec<u32>,
    /// Vector iteration that wrote the element last.
    lane: Vec<u64>,
    /// Content from before the grid point may be read.
    initialised: bool,
    local: bool,
    scratch: Vec<u8>,
}

impl Memory {
    /// A parameter with the caller's content.
    pub fn param(b: &Buffer, t: &Tensor, lanes: bool) -> Memory {
        let n = t.len();
        let (written, read) = (b.access != Access::Read, b.access != Access::Write);
        Memory {
            dtype: t.dtype,
            shape: t.shape.clone(),
            bytes: if written { Bytes::Owned(t.bytes().to_vec()) } else { Bytes::Shared(t.data.clone()) },
            writer: vec![0; if written { n } else { 0 }],
            reader: vec![NO_READER; if written && read { n } else { 0 }],
            lane: vec![0; if written && lanes { n } else { 0 }],
            initialised: read,
            local: false,
            scratch: vec![],
        }
    }

    /// A local buffer; every grid point finds it unwritten.
    pub fn local(dtype: DType, shape: Vec<usize>, lanes: bool) -> Memory {
        let n = shape.iter().product::<usize>();
        Memory {
            dtype,
            shape,
            bytes: Bytes::Owned(vec![0; n * dtype.size()]),
            writer: vec![0; n],
            reader: vec![],
            lane: vec![0; if lanes { n } else { 0 }],
            initialised: false,
            local: true,
            scratch: vec![],
        }
    }

    /// A second local like this one.
    pub fn another(&self) -> Memory {
        Memory::local(self.dtype, self.shape.clone(), !self.lane.is_empty())
    }

    /// The content, where it may have changed.
    pub fn into_written(self) -> Option<Vec<u8>> {
        match self.bytes {
            Bytes::Owned(v) => Some(v),
            Bytes::Shared(_) => None,
        }
    }

    /// Row-major position of an element.
    pub fn position(&self, index: impl Iterator<Item = i64>) -> Result<usize, Fault> {
        let mut at = 0usize;
        for ((axis, i), &n) in index.enumerate().zip(&self.shape) {
            match usize::try_from(i) {
                Ok(i) if i < n => at = at * n + i,
                _ => return Err(Fault::OutOfRange(axis)),
            }
        }
        Ok(at)
    }

    /// Reads an element. A reduction's own read does not count against other vector iterations.
    pub fn read(&mut self, at: usize, now: Now, reduction: bool) -> Result<Num, Fault> {
        if let Some(&w) = self.writer.get(at) {
            if w != now.point + 1 {
                if self.local || !self.initialised && w == 0 {
                    return Err(Fault::Uninitialised);
                }
                if w != 0 {
                    return Err(Fault::ReadOfPoint(w - 1));
                }
            }
            if let Some(&l) = self.lane.get(at)
                && !reduction
                && now.lane != 0
                && l != now.lane
                && l >> LANE_BITS == now.lane >> LANE_BITS
                && w == now.point + 1
            {
                return Err(Fault::ReadOfLane);
            }
            if let Some(r) = self.reader.get_mut(at) {
                *r = if *r == NO_READER || *r == now.point + 1 { now.point + 1 } else { SEVERAL };
            }
        }
        let bytes = match &self.bytes {
            Bytes::Shared(d) => d.as_bytes(),
            Bytes::Owned(v) => v,
        };
        let s = self.dtype.size();
        Ok(decode(self.dtype, &bytes[at * s..(at + 1) * s]))
    }

    /// Writes an element, rounding to the buffer's type.
    pub fn write(&mut self, at: usize, v: Num, now: Now) -> Result<(), Fault> {
        let Bytes::Owned(bytes) = &mut self.bytes else { return Err(Fault::ReadOnly) };
        let w = &mut self.writer[at];
        if !self.local && *w != 0 && *w != now.point + 1 {
            return Err(Fault::WrittenByPoint(*w - 1));
        }
        *w = now.point + 1;
        match self.reader.get(at) {
            Some(&SEVERAL) => return Err(Fault::ReadByPoint(None)),
            Some(&r) if r != NO_READER && r != now.point + 1 => return Err(Fault::ReadByPoint(Some(r - 1))),
            _ => {}
        }
        if let Some(l) = self.lane.get_mut(at) {
            *l = now.lane;
        }
        let s = self.dtype.size();
        match (self.dtype, v) {
            (DType::F32, Num::Float(x)) => bytes[at * 4..at * 4 + 4].copy_from_slice(&(x as f32).to_le_bytes()),
            _ => {
                self.scratch.clear();
                encode(self.dtype, v, &mut self.scratch);
                bytes[at * s..(at + 1) * s].copy_from_slice(&self.scratch);
            }
        }
        Ok(())
    }
}
