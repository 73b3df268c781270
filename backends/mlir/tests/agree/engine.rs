//! Runs a printed module on this machine: MLIR's own passes lower it to LLVM, its execution engine compiles and calls it.

use beiming_ir::tensor::Tensor;
use melior::dialect::DialectRegistry;
use melior::ir::Module;
use melior::pass::PassManager;
use melior::utility::{parse_pass_pipeline, register_all_dialects, register_all_llvm_translations, register_all_passes};
use melior::{Context, ExecutionEngine};

/// From tensors to LLVM. Results become arguments; bf16 is computed in f32, for which no machine needs help.
const PIPELINE: &str = "builtin.module(
    func.func(convert-elementwise-to-linalg),
    one-shot-bufferize{bufferize-function-boundaries=true function-boundary-type-conversion=identity-layout-map},
    buffer-results-to-out-params{modify-public-functions=true},
    func.func(convert-linalg-to-loops, llvm-request-c-wrappers),
    expand-strided-metadata,
    lower-affine,
    arith-emulate-unsupported-floats{source-types=bf16,f16 target-type=f32},
    func.func(math-extend-to-supported-types, arith-expand{include-bf16=true}),
    convert-scf-to-cf,
    convert-math-to-llvm,
    convert-math-to-libm,
    convert-arith-to-llvm,
    finalize-memref-to-llvm,
    convert-func-to-llvm,
    convert-cf-to-llvm,
    convert-index-to-llvm,
    reconcile-unrealized-casts)";

/// Everything that lowering and calling need.
pub struct Engine {
    context: Context,
}

impl Engine {
    pub fn new() -> Engine {
        let registry = DialectRegistry::new();
        register_all_dialects(&registry);
        let context = Context::new_with_registry(&registry, false);
        context.load_all_available_dialects();
        register_all_llvm_translations(&context);
        context.set_allow_unregistered_dialects(true);
        register_all_passes();
        Engine { context }
    }

    /// Calls a module's function on tensors; `result` has the type of the result.
    pub fn call(&self, text: &str, name: &str, inputs: &[&Tensor], result: &Tensor) -> Result<Tensor, String> {
        let mut module = Module::parse(&self.context, text).ok_or("does not parse")?;
        let passes = PassManager::new(&self.context);
        parse_pass_pipeline(passes.as_operation_pass_manager(), PIPELINE).map_err(|e| e.to_string())?;
        passes.run(&mut module).map_err(|e| e.to_string())?;
        let engine = ExecutionEngine::new(&module, 0, &[], false, true);
        // SAFETY: the function has the signature that lowered code calls it by.
        unsafe { engine.register_symbol("memrefCopy", copy as *mut ()) };
        let mut memory: Vec<Vec<u64>> = inputs.iter().map(|t| words(t.bytes())).collect();
        memory.push(vec![0; result.bytes().len().div_ceil(8) + 1]);
        let types: Vec<&Tensor> = inputs.iter().copied().chain([result]).collect();
        let mut descriptors: Vec<Vec<u64>> =
            memory.iter_mut().zip(&types).map(|(m, t)| descriptor(m.as_mut_ptr() as u64, &t.shape)).collect();
        let mut pointers: Vec<*mut ()> = descriptors.iter_mut().map(|d| d.as_mut_ptr().cast()).collect();
        let mut arguments: Vec<*mut ()> = pointers.iter_mut().map(|p| std::ptr::from_mut(p).cast()).collect();
        // SAFETY: every argument points to a pointer to a descriptor of memory that is large enough for its type.
        unsafe { engine.invoke_packed(name, &mut arguments) }.map_err(|e| e.to_string())?;
        let bytes: Vec<u8> = memory[inputs.len()].iter().flat_map(|w| w.to_ne_bytes()).take(result.bytes().len()).collect();
        Tensor::new(result.dtype, result.shape.clone(), bytes.into()).ok_or("the result has another size".into())
    }
}

/// Bytes, aligned for every element type.
fn words(bytes: &[u8]) -> Vec<u64> {
    let word = |c: &[u8]| {
        let mut w = [0; 8];
        w[..c.len()].copy_from_slice(c);
        u64::from_ne_bytes(w)
    };
    bytes.chunks(8).map(word).chain([0]).collect()
}

/// What a function of MLIR's C interface takes for a memref: two pointers, the offset, extents and strides.
fn descriptor(at: u64, shape: &[usize]) -> Vec<u64> {
    let strides = (0..shape.len()).map(|a| shape[a + 1..].iter().product::<usize>() as u64);
    [at, at, 0].into_iter().chain(shape.iter().map(|&d| d as u64)).chain(strides).collect()
}

/// A memref of any rank, as lowered code passes it: its rank, and its descriptor.
#[repr(C)]
struct Unranked {
    rank: i64,
    descriptor: *const i64,
}

impl Unranked {
    /// The first element, extents and strides.
    ///
    /// # Safety
    /// The descriptor is one of `rank` axes.
    unsafe fn parts(&self) -> (*mut u8, i64, &[i64], &[i64]) {
        let n = self.rank as usize;
        // SAFETY: by the promise above: two pointers and the offset lie before the extents and strides.
        let d = unsafe { std::slice::from_raw_parts(self.descriptor, 3 + 2 * n) };
        (d[1] as *mut u8, d[2], &d[3..3 + n], &d[3 + n..])
    }
}

/// What lowered code calls where a `memref.copy` has strides; MLIR has it in a library of its runner.
extern "C" fn copy(size: i64, from: &Unranked, to: &Unranked) {
    // SAFETY: lowered code passes descriptors of memrefs of one shape.
    let ((from, f, shape, fs), (to, t, _, ts)) = unsafe { (from.parts(), to.parts()) };
    for flat in 0..shape.iter().product::<i64>() {
        let (mut left, mut a, mut b) = (flat, f, t);
        for axis in (0..shape.len()).rev() {
            let i = left % shape[axis];
            left /= shape[axis];
            a += i * fs[axis];
            b += i * ts[axis];
        }
        // SAFETY: both elements lie in their memrefs, which do not overlap in one element.
        unsafe { std::ptr::copy(from.offset((a * size) as isize), to.offset((b * size) as isize), size as usize) };
    }
}
