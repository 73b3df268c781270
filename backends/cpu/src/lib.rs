//! Machine code for x86-64 and AArch64 through LLVM.
//!
//! [`emit`] turns the kernels of a verified program into one shared library without dependencies, for `dlopen`. Each kernel is
//! written straight to LLVM IR (`kernel`, `stmt`, `vector`, `mma` for statements; `expr`, `index`, `arith`, `convert`, `math`
//! for values), on vectors of the target's width: `passes` chose tiles and loops, this crate spells them. A short pass
//! pipeline cleans up, LLVM makes an object of each kernel, and `link` joins them.
//!
//! The library exports one symbol, [`TABLE`]:
//! `struct { uint32_t abi; uint32_t count; void (*kernel[count])(void *const *, const int64_t *, int64_t, int64_t, uint8_t *); }`
//! with the kernels in the program's order; the calling convention is written in `beiming_ir::kernel`.

mod arith;
mod convert;
pub mod disasm;
mod disassemble;
mod expr;
mod facts;
mod index;
mod kernel;
mod link;
mod ll;
mod math;
mod mma;
mod module;
mod normal;
mod origin;
mod stmt;
mod target_machine;
mod vector;

use beiming_ir::kernel::Kernel;
use beiming_ir::plan::Program;
use beiming_ir::target::{Family, Target};
use beiming_ir::verify::Verified;
use thiserror::Error;

pub use disassemble::disassemble;
pub use module::{ABI, KernelCode, TABLE};
pub use origin::{Listing, Listings, Origin};

/// What to keep beside the library.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmitOptions {
    /// Threads that generate code; 0: two.
    pub threads: usize,
    /// Keep the optimised LLVM IR of all kernels.
    pub llvm_ir: bool,
    /// Keep the assembly of all kernels.
    pub assembly: bool,
    /// Keep both with the origin of every line. Each kernel is written once more for it; the library stays the same.
    pub origins: bool,
}

/// Machine code of a program.
#[derive(Clone, Debug)]
pub struct Code {
    /// An ELF shared library. The same program gives the same bytes.
    pub library: Vec<u8>,
    /// Symbol of each kernel, local to the library; for profilers and messages.
    pub symbols: Vec<String>,
    /// LLVM IR after the passes, if asked for.
    pub llvm_ir: Option<String>,
    /// Assembly, if asked for.
    pub assembly: Option<String>,
    /// LLVM IR and assembly of each kernel with the origins of their lines, if asked for; else empty.
    pub listings: Vec<Listings>,
}

/// Why no code was made.
#[derive(Debug, Error)]
pub enum EmitError {
    /// The kernel says something that this backend does not write.
    #[error("kernel `{kernel}` cannot be written for {target}: {what}")]
    Unsupported {
        /// Kernel name.
        kernel: String,
        /// Target name.
        target: String,
        /// What is not supported.
        what: String,
    },
    /// LLVM has no such machine, or the target is not a CPU.
    #[error("no code for target {target}: {why}")]
    Target {
        /// Target name.
        target: String,
        /// Reason.
        why: String,
    },
    /// LLVM refused what was written: an error of this crate.
    #[error("kernel `{kernel}` for {target}: LLVM says {message}")]
    Llvm {
        /// Kernel name.
        kernel: String,
        /// Target name.
        target: String,
        /// LLVM's words.
        message: String,
    },
    /// Whoever watched did not want more.
    #[error("stopped")]
    Stopped,
    /// An object holds what kernels do not have: a fault of this crate.
    #[error("linking failed: {0}")]
    Link(String),
}

impl EmitError {
    pub(crate) fn unsupported(k: &Kernel, t: &Target, what: impl Into<String>) -> EmitError {
        EmitError::Unsupported { kernel: k.name.clone(), target: t.name.clone(), what: what.into() }
    }
}

/// Machine code of a verified program.
pub fn emit(program: &Verified<Program>, options: &EmitOptions) -> Result<Code, EmitError> {
    emit_kernels(&program.kernels, &program.target, options)
}

/// As [`emit`]. `watch` hears how many kernels are written after each of them, and ends the work by returning false.
///
/// # Errors
/// As [`emit`]; [`EmitError::Stopped`] where `watch` ended it.
pub fn emit_watched(
    program: &Verified<Program>,
    options: &EmitOptions,
    watch: &mut dyn FnMut(usize) -> bool,
) -> Result<Code, EmitError> {
    library(&program.kernels, &program.target, options, watch)
}

/// Machine code of kernels that are known to be well-formed: as [`emit`], for tests and tools.
pub fn emit_kernels(kernels: &[Kernel], target: &Target, options: &EmitOptions) -> Result<Code, EmitError> {
    library(kernels, target, options, &mut |_| true)
}

fn library(
    kernels: &[Kernel],
    target: &Target,
    options: &EmitOptions,
    watch: &mut dyn FnMut(usize) -> bool,
) -> Result<Code, EmitError> {
    if target.family != Family::Cpu {
        return Err(EmitError::Target { target: target.name.clone(), why: "it is not a CPU".into() });
    }
    let threads = if options.threads == 0 { 2 } else { options.threads };
    let codes = module::all(kernels, target, threads, options, watch)?;
    let table = module::table(&codes, target)?;
    let mut objects: Vec<&[u8]> = codes.iter().map(|c| c.object.as_slice()).collect();
    objects.push(&table);
    let library = link::shared(&objects, module::TABLE, target)?;
    let join = |f: &dyn Fn(&KernelCode) -> &str| codes.iter().map(f).collect::<Vec<_>>().join("\n");
    Ok(Code {
        library,
        llvm_ir: options.llvm_ir.then(|| join(&|c| &c.llvm_ir)),
        assembly: options.assembly.then(|| join(&|c| &c.assembly)),
        listings: codes.iter().filter_map(|c| c.listings.clone()).collect(),
        symbols: codes.into_iter().map(|c| c.symbol).collect(),
    })
}

/// LLVM IR, assembly and object of one kernel.
pub fn emit_kernel(kernel: &Kernel, target: &Target) -> Result<KernelCode, EmitError> {
    module::one(kernel, 0, target, &EmitOptions { llvm_ir: true, assembly: true, origins: false, threads: 1 })
}
