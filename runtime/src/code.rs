//! Loading an artifact's code: an ELF shared library without dependencies, from memory.
//!
//! The library exports one symbol, `beiming_kernels`: `struct { uint32_t abi, count; kernel *kernels[count]; }` with the
//! kernels of the CPU in the order of the manifest.

use std::ffi::c_void;
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::error::{Error, Result};

/// A kernel: buffers in the order of its parameters, values of its dimensions, grid points `begin..end` of the row-major
/// linear grid, and the calling thread's scratch.
pub type KernelFn = unsafe extern "C" fn(*const *mut c_void, *const i64, i64, i64, *mut u8);

/// Version of the table and of the kernels' signature.
pub const ABI_VERSION: u32 = 1;

/// Name of the exported table.
const TABLE: &[u8] = b"beiming_kernels\0";

#[repr(C)]
struct TableHead {
    abi: u32,
    count: u32,
}

/// Loaded code.
pub struct Code {
    kernels: Vec<KernelFn>,
    // The library before the file: the loader knows the library by the file's name `/proc/self/fd/N`, so the number must not
    // be given to another file while the library is loaded.
    _loaded: Option<(Library, File)>,
}

impl Code {
    /// No code: every kernel runs on a device.
    pub fn none() -> Code {
        Code { kernels: vec![], _loaded: None }
    }

    /// Loads `elf`, which must be for this machine (see [`crate::cpu::check`]) and have `count` kernels.
    ///
    /// # Safety
    /// The bytes become code of this process: they must come from a compiler that is trusted as any program is.
    pub unsafe fn load(elf: &[u8], count: usize) -> Result<Code> {
        // SAFETY: the caller vouches for the bytes.
        let (library, file) = unsafe { open(elf) }?;
        // SAFETY: the address is only read, and only as far as its own count says.
        let table = unsafe { library.get::<*const TableHead>(TABLE) }
            .map_err(|_| Error::Load("it does not export the table `beiming_kernels`".into()))?;
        let table: *const TableHead = *table;
        if table.is_null() || !table.is_aligned() {
            return Err(Error::Load("the table `beiming_kernels` has no valid address".into()));
        }
        // SAFETY: the symbol's type is a promise of the compiler, which writes the version first for this check.
        let head = unsafe { table.read() };
        if head.abi != ABI_VERSION {
            return Err(Error::Load(format!(
                "its kernels follow calling convention {}, this runtime's is {ABI_VERSION}",
                head.abi
            )));
        }
        if head.count as usize != count {
            return Err(Error::Load(format!("it has {} kernels, the manifest has {count}", head.count)));
        }
        // SAFETY: `count` pointers follow the head, aligned as it has their size.
        let kernels = unsafe { std::slice::from_raw_parts(table.add(1).cast::<Option<KernelFn>>(), count) };
        let kernels: Option<Vec<KernelFn>> = kernels.iter().copied().collect();
        let kernels = kernels.ok_or_else(|| Error::Load("its table has a null pointer".into()))?;
        Ok(Code { kernels, _loaded: Some((library, file)) })
    }

    /// A kernel by its position in the table.
    pub fn kernel(&self, i: u32) -> KernelFn {
        self.kernels[i as usize]
    }
}

/// # Safety
/// As [`Code::load`].
unsafe fn open(elf: &[u8]) -> Result<(Library, File)> {
    let mut reasons = vec![];
    #[cfg(target_os = "linux")]
    match memory_file(elf) {
        Ok(file) => {
            use std::os::fd::AsRawFd;
            let name = format!("/proc/self/fd/{}", file.as_raw_fd());
            // SAFETY: the caller vouches for the library; it has no initialisers of its own.
            match unsafe { Library::open(Some(&name), RTLD_NOW | RTLD_LOCAL) } {
                Ok(l) => return Ok((l, file)),
                Err(e) => reasons.push(format!("from memory: {e}")),
            }
        }
        Err(e) => reasons.push(format!("from memory: {e}")),
    }
    // Some systems forbid to execute memory files, or have no /proc.
    match temporary_file(elf) {
        Ok((file, path)) => {
            // SAFETY: as above.
            let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) };
            // The loader has mapped it; the name is not needed any more, and a failure to remove it harms nothing.
            let _ = std::fs::remove_file(&path);
            match library {
                Ok(l) => return Ok((l, file)),
                Err(e) => reasons.push(format!("from {}: {e}", path.display())),
            }
        }
        Err(e) => reasons.push(format!("from a temporary file: {e}")),
    }
    Err(Error::Load(reasons.join("; ")))
}

#[cfg(target_os = "linux")]
fn memory_file(elf: &[u8]) -> std::io::Result<File> {
    use std::os::fd::FromRawFd;
    // The system call, not the C library's function: glibc has that only from 2.27, and a library that refers to it could not be
    // loaded at all where it is missing.
    // SAFETY: a C string and a flag.
    let fd = unsafe { libc::syscall(libc::SYS_memfd_create, c"beiming".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nobody else owns.
    let mut file = unsafe { File::from_raw_fd(fd as std::os::fd::RawFd) };
    file.write_all(elf)?;
    Ok(file)
}

/// A file that only this user can read, under a name that did not exist before and is not used again: the loader knows
/// libraries by their names.
fn temporary_file(elf: &[u8]) -> std::io::Result<(File, std::path::PathBuf)> {
    use std::os::unix::fs::OpenOptionsExt;
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut last = std::io::Error::other("no free name");
    for _ in 0..1000 {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("beiming-{}-{n}.so", std::process::id()));
        match options.open(&path) {
            Ok(mut file) => {
                if let Err(e) = file.write_all(elf) {
                    let _ = std::fs::remove_file(&path);
                    return Err(e);
                }
                return Ok((file, path));
            }
            Err(e) => last = e,
        }
        if last.kind() != std::io::ErrorKind::AlreadyExists {
            break;
        }
    }
    Err(last)
}
