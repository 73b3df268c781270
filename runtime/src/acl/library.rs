//! `libascendcl.so` and `libacl_rtc.so`: where they are found, the functions that are used, what their errors mean.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use libloading::os::unix::{Library as Loaded, RTLD_LOCAL, RTLD_NOW};

use crate::error::{Error, Result};

/// Folders where toolkits of the last years are installed.
const USUAL_ROOTS: [&str; 3] = ["/usr/local/Ascend/cann", "/usr/local/Ascend/ascend-toolkit/latest", "/usr/local/Ascend/latest"];

/// `aclError`.
pub type AclError = c_int;

/// `ACL_MEM_MALLOC_HUGE_FIRST`.
pub const HUGE_FIRST: c_int = 0;
/// `ACL_MEMCPY_HOST_TO_DEVICE`.
pub const HOST_TO_DEVICE: c_int = 1;
/// `ACL_MEMCPY_DEVICE_TO_HOST`.
pub const DEVICE_TO_HOST: c_int = 2;
/// `ACL_ERROR_REPEAT_INITIALIZE`: another part of this process uses AscendCL, too.
const REPEAT_INITIALIZE: AclError = 100_002;
/// `ACL_ERROR_RT_MEMORY_ALLOCATION`, `ACL_ERROR_RT_DEVICE_OOM`, `ACL_ERROR_BAD_ALLOC`.
const OUT_OF_MEMORY: [AclError; 3] = [207_001, 207_018, 200_000];

/// `ACL_RT_BINARY_LOAD_OPT_MAGIC`.
pub const LOAD_MAGIC: c_int = 2;

/// `aclrtBinaryLoadOption` for the kind of core a binary is for.
#[repr(C)]
pub struct LoadOption {
    /// [`LOAD_MAGIC`].
    pub kind: c_int,
    /// The magic, in the first place of a union of four.
    pub value: [u32; 4],
}

/// `aclrtBinaryLoadOptions`.
#[repr(C)]
pub struct LoadOptions {
    /// Array.
    pub options: *const LoadOption,
    /// Its length.
    pub count: usize,
}

macro_rules! functions {
    ($(#[$doc:meta])* $table:ident { $($name:ident($($arg:ty),*) -> $ret:ty;)* }) => {
        $(#[$doc])*
        #[allow(non_snake_case, missing_docs)]
        pub struct $table {
            $(pub $name: unsafe extern "C" fn($($arg),*) -> $ret,)*
        }

        impl $table {
            /// Names of the functions, in order.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];

            /// # Safety
            /// The library's functions of these names must have these types.
            unsafe fn load(library: &Loaded, path: &str) -> Result<$table> {
                Ok($table { $($name: {
                    // SAFETY: as required of the caller.
                    let found = unsafe { library.get(concat!(stringify!($name), "\0").as_bytes()) };
                    *found.map_err(|_| Error::Device {
                        call: "dlsym".into(),
                        code: 0,
                        what: format!("{path} has no function `{}`: a newer CANN is needed", stringify!($name)),
                    })?
                },)* })
            }
        }
    };
}

type Handle = *mut c_void;

functions! {
    /// What is used of `libascendcl.so`.
    Functions {
        aclInit(*const c_char) -> AclError;
        aclGetRecentErrMsg() -> *const c_char;
        aclrtGetSocName() -> *const c_char;
        aclrtGetDeviceCount(*mut u32) -> AclError;
        aclrtCreateContext(*mut Handle, i32) -> AclError;
        aclrtDestroyContext(Handle) -> AclError;
        aclrtSetCurrentContext(Handle) -> AclError;
        aclrtCreateStream(*mut Handle) -> AclError;
        aclrtDestroyStream(Handle) -> AclError;
        aclrtSynchronizeStreamWithTimeout(Handle, i32) -> AclError;
        aclrtMalloc(*mut *mut c_void, usize, c_int) -> AclError;
        aclrtFree(*mut c_void) -> AclError;
        aclrtMallocHost(*mut *mut c_void, usize) -> AclError;
        aclrtFreeHost(*mut c_void) -> AclError;
        aclrtMemcpy(*mut c_void, usize, *const c_void, usize, c_int) -> AclError;
        aclrtMemcpyAsync(*mut c_void, usize, *const c_void, usize, c_int, Handle) -> AclError;
        aclrtBinaryLoadFromFile(*const c_char, *const LoadOptions, *mut Handle) -> AclError;
        aclrtBinaryLoadFromData(*const c_void, usize, *const LoadOptions, *mut Handle) -> AclError;
        aclrtBinaryUnLoad(Handle) -> AclError;
        aclrtBinaryGetFunction(Handle, *const c_char, *mut Handle) -> AclError;
        aclrtKernelArgsInit(Handle, *mut Handle) -> AclError;
        aclrtKernelArgsAppend(Handle, *const c_void, usize, *mut Handle) -> AclError;
        aclrtKernelArgsFinalize(Handle) -> AclError;
        aclrtLaunchKernelWithConfig(Handle, u32, Handle, *const c_void, Handle, *const c_void) -> AclError;
    }
}

functions! {
    /// What is used of `libacl_rtc.so`, the run-time compiler of Ascend C.
    Compiler {
        aclrtcCreateProg(*mut Handle, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char) -> AclError;
        aclrtcDestroyProg(*mut Handle) -> AclError;
        aclrtcCompileProg(Handle, c_int, *const *const c_char) -> AclError;
        aclrtcGetBinDataSize(Handle, *mut usize) -> AclError;
        aclrtcGetBinData(Handle, *mut c_char) -> AclError;
        aclrtcGetCompileLogSize(Handle, *mut usize) -> AclError;
        aclrtcGetCompileLog(Handle, *mut c_char) -> AclError;
    }
}

/// The opened libraries, initialised.
pub struct Library {
    functions: Functions,
    root: Option<PathBuf>,
    path: String,
    compiler: OnceLock<std::result::Result<Compiler, String>>,
}

/// Libraries by the path they were asked for. They stay loaded until the process ends: CANN runs threads of its own, and a process
/// may initialise it only once.
static OPENED: Mutex<Vec<(Option<PathBuf>, Arc<Library>)>> = Mutex::new(vec![]);

impl Library {
    /// Opens and initialises AscendCL, once for each root.
    pub fn open(root: Option<&Path>) -> Result<Arc<Library>> {
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, l)) = opened.iter().find(|(r, _)| r.as_deref() == root) {
            return Ok(l.clone());
        }
        let (loaded, path, found_root) = find("libascendcl.so", root)?;
        // SAFETY: a library of this name has these functions.
        let functions = unsafe { Functions::load(&loaded, &path) }?;
        // Never unloaded, see above.
        std::mem::forget(loaded);
        let library = Library { functions, root: found_root, path, compiler: OnceLock::new() };
        // SAFETY: no configuration file.
        let code = unsafe { (library.functions.aclInit)(std::ptr::null()) };
        if code != REPEAT_INITIALIZE {
            library.check("aclInit", code)?;
        }
        let library = Arc::new(library);
        opened.push((root.map(Path::to_path_buf), library.clone()));
        Ok(library)
    }

    /// The functions.
    pub fn functions(&self) -> &Functions {
        &self.functions
    }

    /// File it was loaded from, as far as known.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The run-time compiler, loaded when it is first needed.
    pub fn compiler(&self) -> Result<&Compiler> {
        let load = || {
            let (loaded, path, _) = find("libacl_rtc.so", self.root.as_deref()).map_err(|e| e.to_string())?;
            // SAFETY: a library of this name has these functions.
            let functions = unsafe { Compiler::load(&loaded, &path) }.map_err(|e| e.to_string())?;
            std::mem::forget(loaded);
            Ok(functions)
        };
        self.compiler.get_or_init(load).as_ref().map_err(|e| Error::Device {
            call: "dlopen".into(),
            code: 0,
            what: format!("{e}; build the emitted project and give its folder of kernels instead"),
        })
    }

    /// Number of devices.
    pub fn devices(&self) -> Result<u32> {
        let mut n = 0;
        // SAFETY: a place for the number.
        self.check("aclrtGetDeviceCount", unsafe { (self.functions.aclrtGetDeviceCount)(&mut n) })?;
        Ok(n)
    }

    /// The result of a call, with what the library says about it.
    pub fn check(&self, call: &str, code: AclError) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: a string of the library's own, or null.
        let said = unsafe { text((self.functions.aclGetRecentErrMsg)()) };
        Err(Error::Device { call: call.into(), code, what: explain(code, &said) })
    }

    /// The result of an allocation of `bytes` for `purpose`.
    pub fn check_memory(&self, call: &str, code: AclError, bytes: usize, purpose: &'static str) -> Result<()> {
        if OUT_OF_MEMORY.contains(&code) {
            return Err(Error::Memory { bytes: bytes as u64, purpose });
        }
        self.check(call, code)
    }
}

/// A C string, empty for null.
///
/// # Safety
/// A pointer to a string that lives now, or null.
pub unsafe fn text(p: *const c_char) -> String {
    if p.is_null() {
        return String::new();
    }
    // SAFETY: as required of the caller.
    unsafe { CStr::from_ptr(p) }.to_string_lossy().trim().to_string()
}

/// Where `name` is looked for, in order.
fn candidates(name: &str, root: Option<&Path>, home: Option<PathBuf>) -> Vec<(PathBuf, Option<PathBuf>)> {
    let inside = |r: &Path| (r.join("lib64").join(name), Some(r.to_path_buf()));
    if let Some(r) = root {
        return vec![inside(r)];
    }
    let mut out: Vec<_> = home.iter().map(|h| inside(h)).collect();
    // By its bare name: as the loader searches, `LD_LIBRARY_PATH` among it.
    out.push((name.into(), home));
    out.extend(USUAL_ROOTS.iter().map(|r| inside(Path::new(r))));
    out
}

fn find(name: &str, root: Option<&Path>) -> Result<(Loaded, String, Option<PathBuf>)> {
    let home = std::env::var_os("ASCEND_HOME_PATH").map(PathBuf::from);
    let mut reasons = vec![];
    for (path, root) in candidates(name, root, home) {
        // SAFETY: CANN's library, which this process is asked to use; its initialisers are its own business.
        match unsafe { Loaded::open(Some(&path), RTLD_NOW | RTLD_LOCAL) } {
            Ok(l) => return Ok((l, path.display().to_string(), root)),
            // A file that is there and does not load is the one worth hearing of.
            Err(e) if path.exists() => reasons.insert(0, told(&e)),
            Err(e) => reasons.push(told(&e)),
        }
    }
    let reason = reasons.first().cloned().unwrap_or_default();
    let what = format!("{name} cannot be loaded ({reason}); `beiming doctor` says what is missing");
    Err(Error::Device { call: "dlopen".into(), code: 0, what })
}

/// The loader's own words, where there are any.
fn told(e: &dyn std::error::Error) -> String {
    e.source().map_or_else(|| e.to_string(), ToString::to_string)
}

/// What a code means, and what the library said, in one line each.
fn explain(code: AclError, said: &str) -> String {
    let meaning = match code {
        107_001 => "there is no device of this number",
        107_002 => "no context",
        107_020 | 507_014 | 507_034 => "a kernel ran too long",
        207_001 | 207_018 => "out of device memory",
        207_004 => "no device",
        207_006 => "no permission to use the device",
        507_010 | 507_901 => "the device is lost",
        507_015 | 507_035 => "a kernel failed",
        507_016 | 507_036 => "a kernel trapped",
        507_042..=507_045 => "a kernel accessed memory outside its buffers",
        507_046 => "the stream did not finish in time",
        507_053..=507_055 => "a fault of the device's memory",
        507_899 => "the driver failed",
        500_000..=599_999 => "an internal error of CANN",
        200_000..=299_999 => "a resource is missing",
        100_000..=199_999 => "a wrong call",
        _ => "an unknown error",
    };
    if said.is_empty() { meaning.to_string() } else { format!("{meaning}: {said}") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn search_order() {
        let names = |root: Option<&str>, home: Option<&str>| -> Vec<String> {
            let all = candidates("l.so", root.map(Path::new), home.map(PathBuf::from));
            all.iter().map(|(p, _)| p.display().to_string()).collect()
        };
        assert_eq!(names(Some("/a"), Some("/b")), ["/a/lib64/l.so"], "a given root is the only place");
        assert_eq!(names(None, Some("/b"))[..2], ["/b/lib64/l.so", "l.so"]);
        assert_eq!(names(None, None)[..2], ["l.so", "/usr/local/Ascend/cann/lib64/l.so"]);
    }

    #[test]
    fn a_missing_library_is_an_error_that_says_so() {
        let e = Library::open(Some(Path::new("/nowhere"))).map(|_| ()).unwrap_err().to_string();
        assert!(e.contains("libascendcl.so cannot be loaded") && e.contains("/nowhere/lib64"), "{e}");
    }

    #[test]
    fn errors_are_explained() {
        assert_eq!(explain(207_001, ""), "out of device memory");
        assert_eq!(explain(507_015, "EZ9999: x"), "a kernel failed: EZ9999: x");
        assert_eq!(explain(-5, ""), "an unknown error");
    }
}
