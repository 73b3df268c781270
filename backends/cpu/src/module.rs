//! Objects: a module for each kernel, and one for the table of kernels. Modules are independent, so threads take them in any
//! order and the result is the same.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use beiming_ir::kernel::Kernel;
use beiming_ir::target::Target;
use inkwell::context::Context;
use inkwell::targets::{FileType, TargetMachine};

use crate::ll::{Ll, V};
use crate::normal::normalise;
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
    let ll = Ll::new(&ctx, &symbol);
    prepare(&ll, &m);
    let k = normalise(k);
    kernel::emit(&ll, &k, t, &symbol)?;
    let fail = |message: String| EmitError::Llvm { kernel: k.name.clone(), target: t.name.clone(), message };
    ll.verify().map_err(fail)?;
    optimise(&ll, &m, t).map_err(fail)?;
    let llvm_ir = if options.llvm_ir { ll.module.print_to_string().to_string() } else { String::new() };
    let assembly = if options.assembly {
        // Code generation changes the module: the object is made of the same one with or without assembly.
        let text = m.write_to_memory_buffer(&ll.module.clone(), FileType::Assembly).map_err(|e| fail(e.to_string()))?;
        String::from_utf8_lossy(text.as_slice()).trim_end_matches('\0').to_string()
    } else {
        String::new()
    };
    Ok(KernelCode { symbol, llvm_ir, assembly, object: object(&ll, &m).map_err(fail)? })
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
