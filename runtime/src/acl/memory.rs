//! Memory of a device, and page-locked memory of the host, from which copies run beside the program.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;

use super::Device;
use super::library::{DEVICE_TO_HOST, HOST_TO_DEVICE, HUGE_FIRST};
use crate::error::Result;

/// Memory is had in multiples of this; a copy may go to the end of the last one.
const GRAIN: usize = 32;

/// Bytes on a device, in huge pages where there are any.
pub struct DeviceMemory {
    device: Arc<Device>,
    ptr: *mut c_void,
    len: usize,
}

/// Page-locked bytes of the host.
pub struct PinnedMemory {
    device: Arc<Device>,
    ptr: *mut c_void,
    len: usize,
}

// SAFETY: both own their bytes; any thread may use and free them.
unsafe impl Send for DeviceMemory {}
// SAFETY: as above.
unsafe impl Send for PinnedMemory {}

impl DeviceMemory {
    /// At least `len` bytes of no particular contents.
    pub fn new(device: &Arc<Device>, len: usize, purpose: &'static str) -> Result<DeviceMemory> {
        device.enter()?;
        let len = len.max(1).next_multiple_of(GRAIN);
        let mut ptr = null_mut();
        let l = device.library();
        // SAFETY: a place for the address.
        let code = unsafe { (l.functions().aclrtMalloc)(&mut ptr, len, HUGE_FIRST) };
        l.check_memory("aclrtMalloc", code, len, purpose)?;
        Ok(DeviceMemory { device: device.clone(), ptr, len })
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: memory has at least one byte.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Address on the device.
    pub fn at(&self, offset: usize) -> *mut c_void {
        self.ptr.wrapping_byte_add(offset)
    }

    /// Copies to the device and waits for it.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.device.enter()?;
        let l = self.device.library();
        let room = self.len.saturating_sub(offset);
        // SAFETY: `bytes.len()` bytes here; the library compares them with the room there.
        let code =
            unsafe { (l.functions().aclrtMemcpy)(self.at(offset), room, bytes.as_ptr().cast(), bytes.len(), HOST_TO_DEVICE) };
        l.check("aclrtMemcpy", code)
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        // Nothing can be done about memory that cannot be given back: the device is lost.
        let _ = self.device.enter();
        // SAFETY: allocated by `new`, and nobody uses it any more.
        unsafe { (self.device.library().functions().aclrtFree)(self.ptr) };
    }
}

impl PinnedMemory {
    /// `len` bytes.
    pub fn new(device: &Arc<Device>, len: usize) -> Result<PinnedMemory> {
        device.enter()?;
        let len = len.max(1);
        let mut ptr = null_mut();
        let l = device.library();
        // SAFETY: a place for the address.
        let code = unsafe { (l.functions().aclrtMallocHost)(&mut ptr, len) };
        l.check_memory("aclrtMallocHost", code, len, "copies to and from the device")?;
        Ok(PinnedMemory { device: device.clone(), ptr, len })
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never, as above.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// First byte.
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.ptr.cast()
    }
}

impl Drop for PinnedMemory {
    fn drop(&mut self) {
        let _ = self.device.enter();
        // SAFETY: allocated by `new`, and nobody uses it any more.
        unsafe { (self.device.library().functions().aclrtFreeHost)(self.ptr) };
    }
}

/// Direction of a copy on the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    In,
    Out,
}

/// Puts a copy on the device's stream.
///
/// # Safety
/// Both sides have `len` bytes, and the host's side is page-locked and neither freed nor changed until the stream has been waited for.
pub(crate) unsafe fn copy(device: &Device, dst: *mut c_void, src: *const c_void, len: usize, d: Direction) -> Result<()> {
    if len == 0 {
        return Ok(());
    }
    let kind = match d {
        Direction::In => HOST_TO_DEVICE,
        Direction::Out => DEVICE_TO_HOST,
    };
    let l = device.library();
    // SAFETY: as required of the caller.
    let code = unsafe { (l.functions().aclrtMemcpyAsync)(dst, len, src, len, kind, device.stream()) };
    l.check("aclrtMemcpyAsync", code)
}
