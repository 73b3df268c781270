//! Memory: aligned byte buffers, and the arena that holds a session's intermediate tensors.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use crate::error::{Error, Result};

/// Alignment of every buffer that kernels see, in bytes: a cache line, and the widest vector register.
pub const ALIGN: usize = 64;

/// A fixed number of bytes, aligned to [`ALIGN`].
pub struct AlignedBytes {
    ptr: NonNull<u8>,
    len: usize,
}

// SAFETY: it owns its bytes, as `Box<[u8]>` does.
unsafe impl Send for AlignedBytes {}
// SAFETY: as above.
unsafe impl Sync for AlignedBytes {}

impl AlignedBytes {
    /// `len` zero bytes. `purpose` is for the message where memory is short.
    pub fn zeroed(len: usize, purpose: &'static str) -> Result<AlignedBytes> {
        let out_of_memory = Error::Memory { bytes: len as u64, purpose };
        let Ok(layout) = Layout::from_size_align(len.max(1), ALIGN) else { return Err(out_of_memory) };
        // SAFETY: the layout's size is at least one.
        let ptr = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(out_of_memory)?;
        Ok(AlignedBytes { ptr, len })
    }
}

impl Drop for AlignedBytes {
    fn drop(&mut self) {
        // SAFETY: allocated in `zeroed` with this layout, which was valid there.
        unsafe { dealloc(self.ptr.as_ptr(), Layout::from_size_align_unchecked(self.len.max(1), ALIGN)) }
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `len` initialised bytes, owned.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: `len` initialised bytes, owned and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

/// Bytes of a huge page, from which asking for them pays.
const HUGE_PAGE: usize = 2 << 20;

/// A large block of zero pages that take memory only once they are touched: the arena is planned for the largest shapes, and
/// most runs use less.
pub struct Arena {
    map: Option<memmap2::MmapMut>,
}

impl Arena {
    /// `bytes` of zeros. `purpose` is for the message where the system refuses.
    pub fn new(bytes: u64, purpose: &'static str) -> Result<Arena> {
        if bytes == 0 {
            return Ok(Arena { map: None });
        }
        let error = Error::Memory { bytes, purpose };
        let Ok(len) = usize::try_from(bytes) else { return Err(error) };
        let mut options = memmap2::MmapOptions::new();
        let Ok(map) = options.len(len).no_reserve_swap().map_anon() else { return Err(error) };
        #[cfg(target_os = "linux")]
        if len >= HUGE_PAGE {
            // Advice only: a kernel without huge pages refuses and nothing is lost.
            let _ = map.advise(memmap2::Advice::HugePage);
        }
        Ok(Arena { map: Some(map) })
    }

    /// First byte, aligned to a page; dangling but aligned where the arena is empty.
    pub fn base(&mut self) -> *mut u8 {
        match &mut self.map {
            Some(m) => m.as_mut_ptr(),
            None => std::ptr::without_provenance_mut(ALIGN),
        }
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.map.as_ref().map_or(0, |m| m.len())
    }

    /// No bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_zero() {
        for len in [0, 1, 63, 64, 4097] {
            let mut b = AlignedBytes::zeroed(len, "a test").unwrap();
            assert_eq!((b.len(), b.as_ptr() as usize % ALIGN), (len, 0));
            assert!(b.iter().all(|&x| x == 0));
            b.fill(7);
            assert!(b.iter().all(|&x| x == 7));
        }
        assert!(matches!(AlignedBytes::zeroed(usize::MAX, "a test"), Err(Error::Memory { .. })));
    }

    #[test]
    fn arenas() {
        for len in [0u64, 64, 1 << 22] {
            let mut a = Arena::new(len, "a test").unwrap();
            assert_eq!((a.len() as u64, a.base() as usize % ALIGN, a.is_empty()), (len, 0, len == 0));
        }
        assert!(matches!(Arena::new(u64::MAX, "a test"), Err(Error::Memory { .. })));
    }
}
