//! Ascend NPUs, through AscendCL opened at run time: nothing of it is linked, so one program runs with and without CANN.
//!
//! - [`library`] finds `libascendcl.so` and holds its functions; [`Device`] is one NPU: a context and a stream on it.
//! - [`memory`] is memory of the device and page-locked memory of the host, each freed with its owner.
//! - [`code`] turns the kernels' source into binaries (`libacl_rtc.so`) or loads what was built before.
//! - [`image`] is the device's half of a session: weights, arena, inputs and outputs there, copies, launches.
//!
//! A plan's steps say on which side they run and what is copied between the sides; nothing here decides that. Everything goes to one
//! stream in the order of the steps; the host waits only where it needs results.
//!
//! None of this has been run on an NPU. The tests run it on a stand-in for `libascendcl` over the simulator; the types of the
//! functions were read from the headers that Huawei ships in the Python package torch-npu 2.14.

pub mod code;
pub mod image;
pub mod library;
pub mod memory;

use std::ffi::c_void;
use std::path::PathBuf;
use std::ptr::null_mut;
use std::sync::Arc;

use crate::error::Result;
use library::Library;

/// Which NPU, and how to reach it.
#[derive(Clone, Debug)]
pub struct DeviceOptions {
    /// Number of the device as AscendCL counts them.
    pub id: i32,
    /// Root of the CANN toolkit, the folder that holds `lib64`. `None`: `ASCEND_HOME_PATH`, then the loader's own search, then
    /// the usual places.
    pub root: Option<PathBuf>,
    /// Folder with `KERNEL/KERNEL.o` for every kernel, as the emitted project builds them. `None`: they are compiled when a session is
    /// made.
    pub kernels: Option<PathBuf>,
    /// Milliseconds after which a run that does not end is an error.
    pub timeout_ms: i32,
}

impl Default for DeviceOptions {
    fn default() -> DeviceOptions {
        DeviceOptions { id: 0, root: None, kernels: None, timeout_ms: 600_000 }
    }
}

/// An opened NPU. Sessions share it; what they put on its one stream runs in turns.
pub struct Device {
    library: Arc<Library>,
    options: DeviceOptions,
    context: *mut c_void,
    stream: *mut c_void,
}

// SAFETY: contexts and streams may be used by any thread; `enter` makes the context the calling thread's first.
unsafe impl Send for Device {}
// SAFETY: as above; AscendCL's functions on streams are safe to call from several threads.
unsafe impl Sync for Device {}

impl Device {
    /// Opens a device.
    ///
    /// # Errors
    /// Without CANN, without such a device, or where the driver refuses.
    pub fn open(options: &DeviceOptions) -> Result<Arc<Device>> {
        let library = Library::open(options.root.as_deref())?;
        let mut device = Device { library, options: options.clone(), context: null_mut(), stream: null_mut() };
        let f = device.library.functions();
        // SAFETY: a place for the handle; what was made is destroyed in `drop`, also where the next call fails.
        device.library.check("aclrtCreateContext", unsafe { (f.aclrtCreateContext)(&mut device.context, options.id) })?;
        // SAFETY: as above; the new context is this thread's.
        device.library.check("aclrtCreateStream", unsafe { (f.aclrtCreateStream)(&mut device.stream) })?;
        Ok(Arc::new(device))
    }

    /// The library it was opened with.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// How it was opened.
    pub fn options(&self) -> &DeviceOptions {
        &self.options
    }

    /// The chip's name as the driver spells it: `Ascend910B1`.
    pub fn soc(&self) -> String {
        // SAFETY: a string of the library's own, or null.
        let name = unsafe { (self.library.functions().aclrtGetSocName)() };
        // SAFETY: as above.
        unsafe { library::text(name) }
    }

    /// Makes the device the calling thread's. Every other call on it must be preceded by this one.
    pub(crate) fn enter(&self) -> Result<()> {
        // SAFETY: the context lives as long as `self`.
        self.library.check("aclrtSetCurrentContext", unsafe { (self.library.functions().aclrtSetCurrentContext)(self.context) })
    }

    /// Waits until everything on the stream is done. This is where failures of kernels show.
    pub(crate) fn wait(&self) -> Result<()> {
        let f = self.library.functions();
        // SAFETY: our stream.
        let code = unsafe { (f.aclrtSynchronizeStreamWithTimeout)(self.stream, self.options.timeout_ms) };
        self.library.check("aclrtSynchronizeStreamWithTimeout", code)
    }

    pub(crate) fn stream(&self) -> *mut c_void {
        self.stream
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let f = self.library.functions();
        // SAFETY: handles of ours that nobody uses any more: sessions hold the device. Failures are of no use to anyone now, and each
        // handle is given back whatever happened to the others.
        unsafe {
            if !self.context.is_null() {
                (f.aclrtSetCurrentContext)(self.context);
            }
            if !self.stream.is_null() {
                (f.aclrtDestroyStream)(self.stream);
            }
            if !self.context.is_null() {
                (f.aclrtDestroyContext)(self.context);
            }
        }
    }
}
