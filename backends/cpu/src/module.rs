//! Objects: a module for each kernel, and one for the table of kernels. Modules are independent, so threads take them in any
//! order and the result is the same.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use beiming_ir::kernel::Kernel;
use beiming_ir::target::Target;
use inkwell::context::Context;
use inkwell::module::Module;
use inkwell::targets::{FileType, TargetMachine};

use crate::ll::{Ll, V};
use crate::normal::normalise;
use crate::origin::{self, Lines, Listings};
use crate::target_machine::{machine, optimise};
use crate::{EmitError, EmitOptions, kernel};

/// Version of the table's layout and of the kernels' calling convention.
pub const ABI: u32 = 1;

/// The library's one exported symbol.
pub const TABLE: &str = "beiming_kernels";

/// Code of one kernel.
#[derive(Clone, Debug, Default)]
pub struct KernelCode {
    /// Its symbol.
    pub symbol: String,
    /// LLVM IR after the passes, if asked for.
    pub llvm_ir: String,
    /// Assembly, if asked for.
    pub assembly: String,
    /// A relocatable ELF object.
    pub object: Vec<u8>,
    /// Both texts with the origins of their lines, if asked for.
    pub listings: Option<Listings>,
}

/// The symbol of kernel `index`: its number and what is plain of its name. Nothing of a model's names reaches a symbol
/// unchecked.
pub fn symbol(index: usize, name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(120).collect();
    format!("k{index:04}_{plain}")
}

/// Code of all kernels, in order. `watch` hears the number written after each; no more are begun once it returns false.
pub fn all(
    kernels: &[Kernel],
    t: &Target,
    threads: usize,
    options: &EmitOptions,
    watch: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<KernelCode>, EmitError> {
    let next = AtomicUsize::new(0);
    let (send, done) = channel();
    let mut codes: Vec<Option<Result<KernelCode, EmitError>>> = kernels.iter().map(|_| None).collect();
    std::thread::scope(|s| {
        for _ in 0..threads.clamp(1, kernels.len().max(1)) {
            let (next, send) = (&next, send.clone());
            s.spawn(move || {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(k) = kernels.get(i) else { break };
                    // Nobody listens any more: the work is not wanted.
                    if send.send((i, one(k, i, t, options))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        // Moved in here, so that it is closed when this thread stops listening.
        for (n, (i, code)) in done.into_iter().enumerate() {
            codes[i] = Some(code);
            if !watch(n + 1) {
                break;
            }
        }
    });
    codes.into_iter().map(|c| c.unwrap_or(Err(EmitError::Stopped))).collect()
}

/// Code of one kernel.
pub fn one(k: &Kernel, index: usize, t: &Target, options: &EmitOptions) -> Result<KernelCode, EmitError> {
    let m = machine(t)?;
    let ctx = Context::create();
    let symbol = symbol(index, &k.name);
    let ll = written(&ctx, &normalise(k), &symbol, t, &m, &Lines::default())?;
    let fail = |message: String| failed(k, t, message);
    let llvm_ir = if options.llvm_ir { ll.module.print_to_string().to_string() } else { String::new() };
    let mut text = String::new();
    if options.assembly || options.origins {
        // Code generation changes the module: the object is made of the same one with or without assembly.
        text = assembly(&ll.module.clone(), &m).map_err(fail)?;
    }
    let listings = if options.origins { Some(listings(k, &symbol, t, &m, &text)?) } else { None };
    let assembly = if options.assembly { text } else { String::new() };
    Ok(KernelCode { symbol, llvm_ir, assembly, object: object(&ll, &m).map_err(fail)?, listings })
}

fn failed(k: &Kernel, t: &Target, message: String) -> EmitError {
    EmitError::Llvm { kernel: k.name.clone(), target: t.name.clone(), message }
}

/// The optimised module of a kernel without copies.
fn written<'c>(
    ctx: &'c Context,
    k: &Kernel,
    symbol: &str,
    t: &Target,
    m: &TargetMachine,
    lines: &Lines,
) -> Result<Ll<'c>, EmitError> {
    let ll = Ll::new(ctx, symbol);
    prepare(&ll, m);
    kernel::emit(&ll, k, t, symbol, lines)?;
    ll.verify().and_then(|()| optimise(&ll, m, t)).map_err(|message| failed(k, t, message))?;
    Ok(ll)
}

/// The kernel written once more, with debug locations, and read back onto the assembly that is shipped.
fn listings(k: &Kernel, symbol: &str, t: &Target, m: &TargetMachine, shipped: &str) -> Result<Listings, EmitError> {
    let ctx = Context::create();
    let normal = normalise(k);
    let ll = written(&ctx, &normal, symbol, t, m, &Lines::new(k, &normal))?;
    let llvm_ir = origin::of_llvm(&ll.module.print_to_string().to_string(), symbol);
    let located = assembly(&ll.module, m).map_err(|message| failed(k, t, message))?;
    Ok(Listings { llvm_ir, assembly: origin::of_shipped(shipped, &located, symbol) })
}

fn assembly(module: &Module<'_>, m: &TargetMachine) -> Result<String, String> {
    let text = m.write_to_memory_buffer(module, FileType::Assembly).map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(text.as_slice()).trim_end_matches('\0').to_string())
}

fn prepare(ll: &Ll<'_>, m: &TargetMachine) {
    ll.module.set_triple(&m.get_triple());
    ll.module.set_data_layout(&m.get_target_data().get_data_layout());
}

fn object(ll: &Ll<'_>, m: &TargetMachine) -> Result<Vec<u8>, String> {
    m.write_to_memory_buffer(&ll.module, FileType::Object).map(|b| b.as_slice().to_vec()).map_err(|e| e.to_string())
}

/// The object of the exported table.
pub fn table(codes: &[KernelCode], t: &Target) -> Result<Vec<u8>, EmitError> {
    let m = machine(t)?;
    let ctx = Context::create();
    let ll = Ll::new(&ctx, TABLE);
    prepare(&ll, &m);
    let ty = ll.function_type(ll.void(), &[]);
    let pointers: Vec<V> = codes.iter().map(|c| ll.function(&c.symbol, ty, false)).collect();
    let count = ll.cint(ll.i32(), codes.len() as i64);
    let head = ll.cint(ll.i32(), i64::from(ABI));
    ll.exported_constant(TABLE, ll.const_struct(&[head, count, ll.const_array(ll.ptr(), &pointers)]), 16);
    object(&ll, &m).map_err(|message| EmitError::Llvm { kernel: TABLE.into(), target: t.name.clone(), message })
}
