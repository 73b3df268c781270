//! Kernels on a device: compiled from their source when a session is made, or loaded from what the emitted project built.

use std::ffi::{CString, c_void};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use super::Device;
use super::library::{Compiler, LOAD_MAGIC, LoadOption, LoadOptions};
use crate::error::{Error, Result};
use crate::format::manifest::{self, Unit};

/// A loaded binary and the kernel in it.
pub struct Kernel {
    device: Arc<Device>,
    binary: *mut c_void,
    function: *mut c_void,
}

// SAFETY: handles that any thread may use.
unsafe impl Send for Kernel {}

/// A kernel's source as the artifact holds it.
pub struct Source<'a> {
    /// The kernel's name in the code.
    pub symbol: &'a str,
    /// Ascend C.
    pub text: &'a str,
    /// The cores it runs on.
    pub unit: Unit,
}

/// `ACL_RT_BINARY_MAGIC_ELF_*`: the cores that a binary is for. On 310P one kind of core does everything.
fn magic(unit: Unit, arch: &str) -> u32 {
    match unit {
        _ if arch == "dav-2002" => 0x4355_4245,
        Unit::Vector => 0x4141_5246,
        Unit::Cube => 0x4149_4343,
        Unit::Mix => 0x4355_4245,
    }
}

impl Kernel {
    /// Makes a kernel ready for launches.
    pub fn load(device: &Arc<Device>, arch: &str, source: &Source<'_>) -> Result<Kernel> {
        device.enter()?;
        let mut kernel = Kernel { device: device.clone(), binary: null_mut(), function: null_mut() };
        let option = LoadOption { kind: LOAD_MAGIC, value: [magic(source.unit, arch), 0, 0, 0] };
        let options = LoadOptions { options: &option, count: 1 };
        let (l, name) = (device.library(), c_string(source.symbol)?);
        let f = l.functions();
        match &device.options().kernels {
            Some(folder) => {
                let path = folder.join(source.symbol).join(format!("{}.o", source.symbol));
                if !path.is_file() {
                    return Err(Error::Io { path, source: std::io::ErrorKind::NotFound.into() });
                }
                let path = c_string(&path.to_string_lossy())?;
                // SAFETY: strings, options and a place for the handle.
                let code = unsafe { (f.aclrtBinaryLoadFromFile)(path.as_ptr(), &options, &mut kernel.binary) };
                l.check("aclrtBinaryLoadFromFile", code)?;
            }
            None => {
                let elf = compile(device, arch, source)?;
                // SAFETY: the bytes, options and a place for the handle.
                let code = unsafe { (f.aclrtBinaryLoadFromData)(elf.as_ptr().cast(), elf.len(), &options, &mut kernel.binary) };
                l.check("aclrtBinaryLoadFromData", code)?;
            }
        }
        // SAFETY: the binary just loaded, a string, a place for the handle.
        let code = unsafe { (f.aclrtBinaryGetFunction)(kernel.binary, name.as_ptr(), &mut kernel.function) };
        l.check("aclrtBinaryGetFunction", code)?;
        Ok(kernel)
    }

    /// Puts a launch on the stream. Parameters are the buffers' addresses, then that of the values of dimensions, null where it
    /// has none.
    ///
    /// # Safety
    /// The buffers must be as the kernel expects them, and stay so until the stream has been waited for.
    pub unsafe fn launch(&self, blocks: u32, params: &[*mut c_void]) -> Result<()> {
        let l = self.device.library();
        let f = l.functions();
        let mut args = null_mut();
        // SAFETY: our function, and places for handles; every argument is copied from a live value of its size.
        unsafe {
            l.check("aclrtKernelArgsInit", (f.aclrtKernelArgsInit)(self.function, &mut args))?;
            let append = |value: *const c_void, size: usize| {
                let mut place = null_mut();
                l.check("aclrtKernelArgsAppend", (f.aclrtKernelArgsAppend)(args, value, size, &mut place))
            };
            for p in params {
                append((&raw const *p).cast(), size_of::<*mut c_void>())?;
            }
            l.check("aclrtKernelArgsFinalize", (f.aclrtKernelArgsFinalize)(args))?;
            let stream = self.device.stream();
            let code = (f.aclrtLaunchKernelWithConfig)(self.function, blocks, stream, null(), args, null());
            l.check("aclrtLaunchKernelWithConfig", code)
        }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        if self.binary.is_null() {
            return;
        }
        let _ = self.device.enter();
        // SAFETY: loaded by `load`, and nothing that uses it is on the stream any more.
        unsafe { (self.device.library().functions().aclrtBinaryUnLoad)(self.binary) };
    }
}

fn c_string(s: &str) -> Result<CString> {
    CString::new(s).map_err(|_| Error::Inconsistent(format!("`{s}` holds a zero byte")))
}

/// A program of the run-time compiler.
struct Prog<'a> {
    compiler: &'a Compiler,
    handle: *mut c_void,
}

impl Drop for Prog<'_> {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: made below, used by nobody else.
            unsafe { (self.compiler.aclrtcDestroyProg)(&mut self.handle) };
        }
    }
}

/// The kernel as a device's ELF file.
fn compile(device: &Device, arch: &str, source: &Source<'_>) -> Result<Vec<u8>> {
    let l = device.library();
    let compiler = l.compiler()?;
    let mut prog = Prog { compiler, handle: null_mut() };
    let (text, name, option) = (c_string(source.text)?, c_string(source.symbol)?, c_string(&format!("--npu-arch={arch}"))?);
    // SAFETY: strings that live to the end, no further headers, places for handles and sizes, a buffer of the size that was asked for.
    unsafe {
        let code = (compiler.aclrtcCreateProg)(&mut prog.handle, text.as_ptr(), name.as_ptr(), 0, null(), null());
        l.check("aclrtcCreateProg", code)?;
        let code = (compiler.aclrtcCompileProg)(prog.handle, 1, &option.as_ptr());
        if code != 0 {
            let log = log(&prog);
            return Err(Error::Device {
                call: "aclrtcCompileProg".into(),
                code,
                what: format!("kernel `{}` does not compile:\n{log}", source.symbol),
            });
        }
        let mut size = 0;
        l.check("aclrtcGetBinDataSize", (compiler.aclrtcGetBinDataSize)(prog.handle, &mut size))?;
        let mut elf = vec![0u8; size];
        l.check("aclrtcGetBinData", (compiler.aclrtcGetBinData)(prog.handle, elf.as_mut_ptr().cast()))?;
        Ok(elf)
    }
}

/// What the compiler said.
fn log(prog: &Prog<'_>) -> String {
    let mut size = 0;
    // SAFETY: a place for the size.
    if unsafe { (prog.compiler.aclrtcGetCompileLogSize)(prog.handle, &mut size) } != 0 || size == 0 {
        return "(the compiler left no log)".into();
    }
    let mut text = vec![0u8; size];
    // SAFETY: a buffer of the size that was asked for.
    unsafe { (prog.compiler.aclrtcGetCompileLog)(prog.handle, text.as_mut_ptr().cast()) };
    String::from_utf8_lossy(&text).trim_end_matches('\0').trim_end().to_string()
}

/// The part of the sources section that belongs to a kernel.
pub(super) fn source<'a>(k: &'a manifest::Kernel, d: &manifest::DeviceKernel, section: &'a [u8]) -> Result<Source<'a>> {
    let bad = |what: &str| Error::Inconsistent(format!("the source of kernel `{}` {what}", k.symbol));
    let end = d.offset.checked_add(d.bytes).ok_or_else(|| bad("ends nowhere"))?;
    let bytes = section.get(d.offset as usize..end as usize).ok_or_else(|| bad("lies outside its section"))?;
    let text = std::str::from_utf8(bytes).map_err(|_| bad("is no text"))?;
    Ok(Source { symbol: &k.symbol, text, unit: d.unit })
}
