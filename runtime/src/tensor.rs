//! Tensors at the border of the runtime: inputs are borrowed, outputs are owned or written to the caller's memory.

use crate::arena::AlignedBytes;
use crate::error::{Error, Result};
use crate::format::DType;

/// A dense row-major tensor of the caller.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// Element type.
    pub dtype: DType,
    /// Extents, outermost first.
    pub shape: &'a [i64],
    /// Elements, as many bytes as the shape says. Copied once where they are not aligned to their type.
    pub data: &'a [u8],
}

/// A Rust type that is an element type, bit by bit.
///
/// # Safety
/// Every pattern of [`DType::size`] bytes of `DTYPE` is a value of the type, and the sizes agree.
pub unsafe trait Element: Copy + 'static {
    /// The element type.
    const DTYPE: DType;
}

macro_rules! elements {
    ($($t:ty = $d:ident),*) => { $(
        // SAFETY: a plain number of the same size.
        unsafe impl Element for $t { const DTYPE: DType = DType::$d; }
    )* };
}
elements!(f64 = F64, f32 = F32, i64 = I64, i32 = I32, i16 = I16, i8 = I8, u64 = U64, u32 = U32, u16 = U16, u8 = U8);
elements!(half::f16 = F16, half::bf16 = BF16);

impl<'a> TensorView<'a> {
    /// A tensor over a slice.
    pub fn new<T: Element>(shape: &'a [i64], data: &'a [T]) -> TensorView<'a> {
        // SAFETY: plain numbers without padding, of the slice's length.
        let data = unsafe { std::slice::from_raw_parts(data.as_ptr().cast::<u8>(), std::mem::size_of_val(data)) };
        TensorView { dtype: T::DTYPE, shape, data }
    }
}

enum Buffer<'a> {
    /// Grows as needed and is kept from run to run.
    Owned(Option<AlignedBytes>),
    Borrowed(&'a mut [u8]),
}

/// An output of a run: a place for it before, a tensor after.
pub struct Output<'a> {
    buffer: Buffer<'a>,
    dtype: DType,
    shape: Vec<i64>,
    len: usize,
}

/// A tensor that owns its elements.
pub type Tensor = Output<'static>;

impl Default for Tensor {
    fn default() -> Tensor {
        Tensor::new()
    }
}

impl Tensor {
    /// An empty tensor, for which the runtime allocates. Given to several runs, its memory is used again.
    pub fn new() -> Tensor {
        Output { buffer: Buffer::Owned(None), dtype: DType::U8, shape: vec![0], len: 0 }
    }
}

impl std::fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.shape)
    }
}

impl<'a> Output<'a> {
    /// The caller's memory. It must be aligned to the output's type; a run fails if it is too small.
    pub fn into_memory(memory: &'a mut [u8]) -> Output<'a> {
        Output { buffer: Buffer::Borrowed(memory), dtype: DType::U8, shape: vec![0], len: 0 }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Extents.
    pub fn shape(&self) -> &[i64] {
        &self.shape
    }

    /// Elements as bytes.
    pub fn bytes(&self) -> &[u8] {
        match &self.buffer {
            Buffer::Owned(b) => b.as_deref().map_or(&[], |b| &b[..self.len]),
            Buffer::Borrowed(b) => &b[..self.len],
        }
    }

    /// Elements as bytes, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.buffer {
            Buffer::Owned(b) => b.as_deref_mut().map_or(&mut [], |b| &mut b[..self.len]),
            Buffer::Borrowed(b) => &mut b[..self.len],
        }
    }

    /// Elements, or `None` if they are of another type.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        let bytes = self.bytes();
        if bytes.is_empty() {
            return (self.dtype == T::DTYPE).then_some(&[]);
        }
        let matches = self.dtype == T::DTYPE && bytes.as_ptr().cast::<T>().is_aligned();
        // SAFETY: aligned, initialised, and any bits are a value of the type.
        matches.then(|| unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / size_of::<T>()) })
    }

    /// A view of it, to give as an input.
    pub fn view(&self) -> TensorView<'_> {
        TensorView { dtype: self.dtype, shape: &self.shape, data: self.bytes() }
    }

    /// The tensor, if it owns its elements.
    pub(crate) fn into_owned(self) -> Option<Tensor> {
        match self.buffer {
            Buffer::Owned(b) => Some(Output { buffer: Buffer::Owned(b), dtype: self.dtype, shape: self.shape, len: self.len }),
            Buffer::Borrowed(_) => None,
        }
    }

    /// First byte of the buffer. An empty one has an aligned address too.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        match &mut self.buffer {
            Buffer::Owned(Some(b)) => b.as_mut_ptr(),
            Buffer::Owned(None) => std::ptr::without_provenance_mut(crate::arena::ALIGN),
            Buffer::Borrowed(b) => b.as_mut_ptr(),
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        match &self.buffer {
            Buffer::Owned(b) => b.as_ref().map_or(0, |b| b.len()),
            Buffer::Borrowed(b) => b.len(),
        }
    }

    /// Makes room for `bytes`; what has been written stays. `poison` fills the new room.
    pub(crate) fn reserve(&mut self, name: &str, bytes: usize, poison: bool) -> Result<()> {
        if bytes <= self.capacity() {
            return Ok(());
        }
        match &mut self.buffer {
            Buffer::Owned(old) => {
                let have = old.as_ref().map_or(0, |b| b.len());
                // Rows that arrive one by one (a loop's results) are copied a constant number of times.
                let grown = if have == 0 { bytes } else { bytes.max(have.saturating_mul(2)) };
                let mut new = AlignedBytes::zeroed(grown, "an output")?;
                if poison {
                    new.fill(0xff);
                }
                if let Some(old) = old {
                    new[..have].copy_from_slice(old);
                }
                *old = Some(new);
                Ok(())
            }
            Buffer::Borrowed(b) => {
                Err(Error::output(name, format!("its buffer has {} bytes, the result needs {bytes}", b.len())))
            }
        }
    }

    /// Fills the whole buffer, so that a missing write shows.
    pub(crate) fn poison(&mut self) {
        match &mut self.buffer {
            Buffer::Owned(Some(b)) => b.fill(0xff),
            Buffer::Owned(None) => {}
            Buffer::Borrowed(b) => b.fill(0xff),
        }
    }

    /// States what the buffer holds; `len` is within its capacity.
    pub(crate) fn set(&mut self, dtype: DType, shape: Vec<i64>, len: usize) {
        (self.dtype, self.shape, self.len) = (dtype, shape, len.min(self.capacity()));
    }
}
