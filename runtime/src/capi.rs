//! The C interface; `include/beiming.h` is generated from this file.
//!
//! Handles are numbers in a table, never followed as pointers: a null, closed or foreign handle is an error and not a crash.
//! No panic leaves a function: it becomes `BEIMING_STATUS_INTERNAL`.
#![allow(non_camel_case_types)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use crate::error::{Error, Result};
use crate::format::DType;
use crate::module::{Module, PortInfo};
use crate::session::{Options, Session};
use crate::tensor::{Output, Tensor, TensorView};

/// Result of a call. Anything but `OK` leaves a text for `beiming_last_error`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum beiming_status {
    /// Done.
    OK = 0,
    /// A null or closed handle, a null pointer, a wrong count.
    ARGUMENT = 1,
    /// A file cannot be read.
    IO = 2,
    /// Not an artifact.
    FORMAT = 3,
    /// An artifact of another version of the format.
    VERSION = 4,
    /// The artifact ends too early.
    TRUNCATED = 5,
    /// The artifact is not as it was written.
    ALTERED = 6,
    /// The artifact contradicts itself.
    INCONSISTENT = 7,
    /// The artifact is for another machine.
    TARGET = 8,
    /// The code cannot be loaded.
    LOAD = 9,
    /// An input is missing, unknown, or of a wrong type or shape.
    INPUT = 10,
    /// An output's buffer does not suit.
    OUTPUT = 11,
    /// A value computed by the model is outside what the model allows.
    RUN = 12,
    /// Memory cannot be had.
    MEMORY = 13,
    /// The session is running in another thread.
    BUSY = 14,
    /// A fault of the runtime.
    INTERNAL = 15,
    /// A call to the device's driver failed.
    DEVICE = 16,
}

/// An opened artifact. May be used by any thread.
pub struct beiming_module {
    _opaque: [u8; 0],
}

/// Memory and threads to run a module, one run at a time.
pub struct beiming_session {
    _opaque: [u8; 0],
}

/// An input or output of a model. The pointers are valid until the module is closed.
#[repr(C)]
pub struct beiming_port {
    /// Name in the model, UTF-8.
    pub name: *const c_char,
    /// Element type, a `beiming_dtype`.
    pub dtype: u32,
    /// Number of axes.
    pub rank: usize,
    /// Extents; -1 where an extent depends on the inputs.
    pub shape: *const i64,
    /// Extents as text, for example `224` or `2*N + 1`.
    pub dims: *const *const c_char,
}

/// A tensor given to a run: dense, row-major.
#[repr(C)]
pub struct beiming_input {
    /// Name of the input.
    pub name: *const c_char,
    /// Element type, a `beiming_dtype`.
    pub dtype: u32,
    /// Number of axes.
    pub rank: usize,
    /// Extents.
    pub shape: *const i64,
    /// Elements. May be unaligned, at the price of a copy.
    pub data: *const c_void,
    /// Bytes of the elements.
    pub bytes: usize,
}

/// An output of a run, in the model's order. The first two fields are set by the caller, the others by a successful run.
#[repr(C)]
pub struct beiming_output {
    /// Memory for the elements, aligned to their type, or null: then the session's own memory is used, which stays valid until
    /// its next run or its end.
    pub buffer: *mut c_void,
    /// Bytes of `buffer`.
    pub capacity: usize,
    /// The elements: `buffer` where it was given.
    pub data: *const c_void,
    /// Bytes of the elements.
    pub bytes: usize,
    /// Element type, a `beiming_dtype`.
    pub dtype: u32,
    /// Number of axes.
    pub rank: usize,
    /// Extents, valid until the session's next run or its end.
    pub shape: *const i64,
}

impl Error {
    fn status(&self) -> beiming_status {
        match self {
            Error::Io { .. } => beiming_status::IO,
            Error::NotAnArtifact(_) => beiming_status::FORMAT,
            Error::Version { .. } => beiming_status::VERSION,
            Error::Truncated { .. } => beiming_status::TRUNCATED,
            Error::Altered(_) => beiming_status::ALTERED,
            Error::Inconsistent(_) => beiming_status::INCONSISTENT,
            Error::Target { .. } => beiming_status::TARGET,
            Error::Load(_) => beiming_status::LOAD,
            Error::Input { .. } => beiming_status::INPUT,
            Error::Output { .. } => beiming_status::OUTPUT,
            Error::Run { .. } => beiming_status::RUN,
            Error::Memory { .. } => beiming_status::MEMORY,
            Error::Argument(_) => beiming_status::ARGUMENT,
            Error::Busy => beiming_status::BUSY,
            Error::Internal(_) => beiming_status::INTERNAL,
            Error::Device { .. } => beiming_status::DEVICE,
        }
    }
}

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

fn set_error(text: &str) {
    // Up to a NUL that a name in the message may contain.
    let text = text.split('\0').next().unwrap_or_default();
    LAST_ERROR.with(|e| *e.borrow_mut() = CString::new(text).unwrap_or_default());
}

/// Runs the body of a function: errors become a status and a text, and so do panics.
fn guard(body: impl FnOnce() -> Result<()>) -> beiming_status {
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Error::Internal(text.unwrap_or("panic").to_string()))
    });
    match result {
        Ok(()) => beiming_status::OK,
        Err(e) => {
            set_error(&e.to_string());
            e.status()
        }
    }
}

/// A port with memory that C can point to.
struct CPort {
    name: CString,
    dtype: DType,
    shape: Vec<i64>,
    /// Owns what `dim_pointers` point to.
    _dims: Vec<CString>,
    dim_pointers: Vec<*const c_char>,
}

struct ModuleHandle {
    module: Arc<Module>,
    inputs: Vec<CPort>,
    outputs: Vec<CPort>,
}

// SAFETY: the pointers in `CPort` point to its own strings, which nobody changes.
unsafe impl Send for ModuleHandle {}
// SAFETY: as above.
unsafe impl Sync for ModuleHandle {}

struct SessionHandle {
    session: Session,
    /// Outputs for which the caller gave no memory; kept for the next run.
    tensors: Vec<Tensor>,
    /// Extents of the last run's outputs.
    shapes: Vec<Vec<i64>>,
}

/// Open handles, by number. Numbers are never used twice.
struct Handles {
    next: usize,
    modules: BTreeMap<usize, Arc<ModuleHandle>>,
    sessions: BTreeMap<usize, Arc<Mutex<SessionHandle>>>,
}

static HANDLES: Mutex<Handles> = Mutex::new(Handles { next: 0, modules: BTreeMap::new(), sessions: BTreeMap::new() });

fn handles() -> MutexGuard<'static, Handles> {
    // A panic between two changes of the maps leaves them whole.
    HANDLES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Handles {
    /// A number that no handle has had, and that looks like no pointer into memory: pages near zero are never mapped.
    fn fresh(&mut self) -> usize {
        self.next += 1;
        self.next
    }
}

fn module(handle: *const beiming_module) -> Result<Arc<ModuleHandle>> {
    let found = handles().modules.get(&handle.addr()).cloned();
    found.ok_or_else(|| Error::Argument("the module handle is null, closed or not a module".into()))
}

fn session(handle: *const beiming_session) -> Result<Arc<Mutex<SessionHandle>>> {
    let found = handles().sessions.get(&handle.addr()).cloned();
    found.ok_or_else(|| Error::Argument("the session handle is null, destroyed or not a session".into()))
}

fn c_port(p: &PortInfo) -> Result<CPort> {
    let text = |s: &str| CString::new(s).map_err(|_| Error::Inconsistent(format!("the name {s:?} holds a NUL")));
    let dims = p.dims.iter().map(|d| text(d)).collect::<Result<Vec<CString>>>()?;
    Ok(CPort {
        name: text(&p.name)?,
        dtype: p.dtype,
        shape: p.shape.iter().map(|d| d.unwrap_or(-1)).collect(),
        dim_pointers: dims.iter().map(|d| d.as_ptr()).collect(),
        _dims: dims,
    })
}

fn null(what: &str) -> Error {
    Error::Argument(format!("`{what}` is null"))
}

/// # Safety
/// `p` is null or points to `n` readable elements.
unsafe fn slice<'a, T>(p: *const T, n: usize, what: &str) -> Result<&'a [T]> {
    if n == 0 {
        return Ok(&[]);
    }
    if p.is_null() || !p.is_aligned() {
        return Err(Error::Argument(format!("`{what}` is null or not aligned")));
    }
    if n.checked_mul(size_of::<T>().max(1)).is_none_or(|b| b > isize::MAX as usize) {
        return Err(Error::Argument(format!("`{what}`: {n} elements are more than memory holds")));
    }
    // SAFETY: not null, aligned; the rest is required of the caller.
    Ok(unsafe { std::slice::from_raw_parts(p, n) })
}

/// # Safety
/// `p` is null or a C string.
unsafe fn text<'a>(p: *const c_char, what: &str) -> Result<&'a str> {
    if p.is_null() {
        return Err(null(what));
    }
    // SAFETY: not null; the rest is required of the caller.
    unsafe { CStr::from_ptr(p) }.to_str().map_err(|_| Error::Argument(format!("`{what}` is not UTF-8")))
}

/// # Safety
/// `out` is null or may be written.
unsafe fn register(module: Module, out: *mut *mut beiming_module) -> Result<()> {
    let inputs = module.inputs().iter().map(c_port).collect::<Result<_>>()?;
    let outputs = module.outputs().iter().map(c_port).collect::<Result<_>>()?;
    let handle = Arc::new(ModuleHandle { module: Arc::new(module), inputs, outputs });
    let mut h = handles();
    let id = h.fresh();
    h.modules.insert(id, handle);
    // SAFETY: callers have checked that `out` is not null.
    unsafe { out.write(std::ptr::without_provenance_mut(id)) };
    Ok(())
}

/// Version of the runtime, for example `0.1.0`.
#[unsafe(no_mangle)]
pub extern "C" fn beiming_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Text of the last error in this thread; empty if there was none. Valid until the next call in this thread.
#[unsafe(no_mangle)]
pub extern "C" fn beiming_last_error() -> *const c_char {
    LAST_ERROR.try_with(|e| e.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

/// Opens an artifact file. Its every byte is checked before anything is used. An artifact holds machine code: open only what
/// you would run as a program. The file must not be changed while it is open; replace it by renaming another over it.
///
/// # Safety
/// `path` is a C string, `out` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn beiming_module_open(path: *const c_char, out: *mut *mut beiming_module) -> beiming_status {
    guard(|| {
        if path.is_null() || out.is_null() {
            return Err(null("path or out"));
        }
        // SAFETY: a C string, as required of the caller.
        let path = OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes());
        let module = Module::open(Path::new(path))?;
        // SAFETY: not null; may be written, as required of the caller.
        unsafe { register(module, out) }
    })
}

/// Opens an artifact of `size` bytes in memory. The bytes are copied. See `beiming_module_open`.
///
/// # Safety
/// `data` points to `size` bytes, `out` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn beiming_module_open_memory(
    data: *const c_void,
    size: usize,
    out: *mut *mut beiming_module,
) -> beiming_status {
    guard(|| {
        if out.is_null() {
            return Err(null("out"));
        }
        // SAFETY: as required of the caller.
        let module = Module::from_bytes(unsafe { slice(data.cast::<u8>(), size, "data") }?)?;
        // SAFETY: not null; may be written, as required of the caller.
        unsafe { register(module, out) }
    })
}

/// Closes a module. Its sessions go on and keep what they need. Null is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn beiming_module_close(module: *mut beiming_module) -> beiming_status {
    guard(|| {
        // Taken out of the table first, dropped after the table is unlocked.
        let closed = handles().modules.remove(&module.addr());
        if closed.is_none() && !module.is_null() {
            return Err(Error::Argument("the module handle is closed or not a module".into()));
        }
        Ok(())
    })
}

/// Number of inputs; 0 for an invalid handle.
#[unsafe(no_mangle)]
pub extern "C" fn beiming_module_input_count(module: *const beiming_module) -> usize {
    count(module, |m| m.inputs.len())
}

/// Number of outputs; 0 for an invalid handle.
#[unsafe(no_mangle)]
pub extern "C" fn beiming_module_output_count(module: *const beiming_module) -> usize {
    count(module, |m| m.outputs.len())
}

fn count(handle: *const beiming_module, of: impl FnOnce(&ModuleHandle) -> usize) -> usize {
    let mut n = 0;
    // The status is in the text of the last error; the value says 0.
    let _ = guard(|| {
        n = of(&*module(handle)?);
        Ok(())
    });
    n
}

/// Describes an input.
///
/// # Safety
/// `out` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn beiming_module_input(
    module: *const beiming_module,
    index: usize,
    out: *mut beiming_port,
) -> beiming_status {
    // SAFETY: as required of the caller.
    unsafe { port(module, index, out, |m| &m.inputs) }
}

/// Describes an output.
///
/// # Safety
/// `out` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn beiming_module_output(
    module: *const beiming_module,
    index: usize,
    out: *mut beiming_port,
) -> beiming_status {
    // SAFETY: as required of the caller.
    unsafe { port(module, index, out, |m| &m.outputs) }
}

/// # Safety
/// `out` is null or may be written.
unsafe fn port(
    handle: *const beiming_module,
    index: usize,
    out: *mut beiming_port,
    of: impl FnOnce(&ModuleHandle) -> &Vec<CPort>,
) -> beiming_status {
    guard(|| {
        let m = module(handle)?;
        let ports = of(&m);
        let Some(p) = ports.get(index) else {
            return Err(Error::Argument(format!("index {index} of {}", ports.len())));
        };
        if out.is_null() {
            return Err(null("out"));
        }
        let info = beiming_port {
            name: p.name.as_ptr(),
            dtype: p.dtype as u32,
            rank: p.shape.len(),
            shape: p.shape.as_ptr(),
            dims: p.dim_pointers.as_ptr(),
        };
        // SAFETY: not null; may be written, as required of the caller. The pointers live as long as the table has the module.
        unsafe { out.write(info) };
        Ok(())
    })
}

/// Makes a session with `threads` threads, the caller's among them; 0: one for each core this process may use.
///
/// # Safety
/// `out` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn beiming_session_create(
    module: *const beiming_module,
    threads: usize,
    out: *mut *mut beiming_session,
) -> beiming_status {
    guard(|| {
        if out.is_null() {
            return Err(null("out"));
        }
        let m = self::module(module)?;
        let session = Session::new(&m.module, Options { threads, ..Options::default() })?;
        let tensors = m.outputs.iter().map(|_| Tensor::new()).collect();
        let handle = Arc::new(Mutex::new(SessionHandle { session, tensors, shapes: vec![] }));
        let mut h = handles();
        let id = h.fresh();
        h.sessions.insert(id, handle);
        // SAFETY: not null; may be written, as required of the caller.
        unsafe { out.write(std::ptr::without_provenance_mut(id)) };
        Ok(())
    })
}

/// Ends a session; a run in another thread goes on to its end. Null is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn beiming_session_destroy(session: *mut beiming_session) -> beiming_status {
    guard(|| {
        let gone = handles().sessions.remove(&session.addr());
        if gone.is_none() && !session.is_null() {
            return Err(Error::Argument("the session handle is destroyed or not a session".into()));
        }
        Ok(())
    })
}

/// Runs the model. Inputs are given by name in any order, outputs in the model's order. A session runs once at a time; for
/// runs at the same time make a session for each thread.
///
/// # Safety
/// `inputs` and `outputs` point to as many structures as stated, and the pointers in them to what their comments say. The
/// outputs' buffers overlap neither each other nor the inputs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn beiming_session_run(
    session: *mut beiming_session,
    inputs: *const beiming_input,
    input_count: usize,
    outputs: *mut beiming_output,
    output_count: usize,
) -> beiming_status {
    guard(|| {
        let handle = self::session(session)?;
        let mut handle = match handle.try_lock() {
            Ok(h) => h,
            Err(TryLockError::WouldBlock) => return Err(Error::Busy),
            Err(TryLockError::Poisoned(_)) => {
                return Err(Error::Internal("an earlier run of this session failed; make a new one".into()));
            }
        };
        // SAFETY: as required of the caller.
        let given = unsafe { slice(inputs, input_count, "inputs") }?;
        let views = given.iter().map(|i| unsafe { view(i) }).collect::<Result<Vec<_>>>()?;
        // SAFETY: as required of the caller; checked to be readable here, written below.
        let places = unsafe { slice(outputs, output_count, "outputs") }?;
        let SessionHandle { session, tensors, shapes } = &mut *handle;
        if output_count != tensors.len() {
            return Err(Error::Argument(format!("{output_count} outputs given, the model has {}", tensors.len())));
        }
        // The session's own tensors move into the list of outputs and back, so that their memory is used again.
        let mut list: Vec<Output<'_>> = vec![];
        for (p, own) in places.iter().zip(tensors.iter_mut()) {
            list.push(if p.buffer.is_null() {
                std::mem::take(own)
            } else if p.capacity > isize::MAX as usize {
                return Err(Error::Argument("an output's capacity is more than memory holds".into()));
            } else {
                // SAFETY: `capacity` bytes that nobody else uses during the call, as required of the caller.
                Output::into_memory(unsafe { std::slice::from_raw_parts_mut(p.buffer.cast::<u8>(), p.capacity) })
            });
        }
        let result = session.run_into(&views, &mut list);
        if result.is_ok() {
            *shapes = list.iter().map(|o| o.shape().to_vec()).collect();
            for (n, (o, shape)) in list.iter().zip(shapes.iter()).enumerate() {
                // SAFETY: `outputs` has `output_count` structures, which `places` read and nobody reads any more.
                unsafe {
                    let to = outputs.add(n);
                    (*to).data = o.bytes().as_ptr().cast();
                    (*to).bytes = o.bytes().len();
                    (*to).dtype = o.dtype() as u32;
                    (*to).rank = shape.len();
                    (*to).shape = shape.as_ptr();
                }
            }
        }
        for (own, o) in tensors.iter_mut().zip(list) {
            if let Some(t) = o.into_owned() {
                *own = t;
            }
        }
        result
    })
}

/// # Safety
/// The pointers are as the comments of [`beiming_input`] say.
unsafe fn view<'a>(i: &beiming_input) -> Result<(&'a str, TensorView<'a>)> {
    // SAFETY: as required of the caller.
    let name = unsafe { text(i.name, "name of an input") }?;
    let Some(dtype) = DType::from_number(i.dtype) else {
        return Err(Error::input(name, format!("{} is no element type", i.dtype)));
    };
    // SAFETY: as required of the caller.
    let (shape, data) = unsafe { (slice(i.shape, i.rank, "shape of an input")?, slice(i.data.cast(), i.bytes, "data")?) };
    Ok((name, TensorView { dtype, shape, data }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_stop_here() {
        type Body = fn() -> Result<()>;
        let bodies: [(Body, &str); 3] = [
            (|| std::panic::panic_any("a text"), "a text"),
            (|| std::panic::panic_any(String::from("number 7")), "number 7"),
            (|| std::panic::panic_any(7), "panic"),
        ];
        for (body, expected) in bodies {
            assert_eq!(guard(body), beiming_status::INTERNAL);
            let text = LAST_ERROR.with(|e| e.borrow().to_string_lossy().into_owned());
            assert!(text.contains(expected), "{text}");
        }
        set_error("up to here\0not this");
        assert!(LAST_ERROR.with(|e| e.borrow().as_c_str() == c"up to here"));
    }
}
