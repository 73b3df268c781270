//! A thin layer over LLVM's builder in which scalars and vectors are spelled alike.
//!
//! inkwell gives every kind of value its own Rust type; a generator whose every line works on a scalar or on a vector of it
//! wants one. `V`, `Ty` and `Bb` are LLVM's own handles. All unsafe code of value building is in this file, and rests on one
//! thing: handles never leave the [`Ll`] whose context they belong to, and they are only combined with others of it.
//! LLVM aborts on an ill-typed instruction only in its debug builds, so [`Ll::verify`] runs before code is generated.

mod memory;
mod place;

use std::ffi::{CString, c_char, c_uint};

use inkwell::builder::Builder;
use inkwell::context::Context;
use inkwell::llvm_sys::core::*;
use inkwell::llvm_sys::prelude::*;
use inkwell::llvm_sys::{LLVMIntPredicate, LLVMLinkage, LLVMRealPredicate, LLVMVisibility};
use inkwell::module::Module;

pub use LLVMIntPredicate::*;
pub use LLVMRealPredicate::*;

/// A value: scalar, vector, pointer or function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct V(LLVMValueRef);

/// A type.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ty(LLVMTypeRef);

/// A basic block.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Bb(LLVMBasicBlockRef);

const NONAME: *const c_char = c"".as_ptr();

/// A module under construction.
pub struct Ll<'c> {
    ctx: &'c Context,
    /// The module.
    pub module: Module<'c>,
    builder: Builder<'c>,
    places: place::Places,
}

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident => $f:ident;)*) => {
        $($(#[$doc])*
        pub fn $name(&self, a: V, b: V) -> V {
            // SAFETY: see the file's comment.
            V(unsafe { $f(self.b(), a.0, b.0, NONAME) })
        })*
    };
}

macro_rules! convert {
    ($($name:ident => $f:ident;)*) => {
        $(pub fn $name(&self, a: V, to: Ty) -> V {
            // SAFETY: see the file's comment.
            V(unsafe { $f(self.b(), a.0, to.0, NONAME) })
        })*
    };
}

#[allow(missing_docs)]
impl<'c> Ll<'c> {
    /// An empty module; `name` becomes the object's file symbol.
    pub fn new(ctx: &'c Context, name: &str) -> Ll<'c> {
        Ll { ctx, module: ctx.create_module(name), builder: ctx.create_builder(), places: place::Places::default() }
    }

    fn b(&self) -> LLVMBuilderRef {
        self.builder.as_mut_ptr()
    }

    fn c(&self) -> LLVMContextRef {
        self.ctx.raw()
    }

    /// Checks the module's well-formedness.
    pub fn verify(&self) -> Result<(), String> {
        self.module.verify().map_err(|e| e.to_string())
    }

    // Types.

    pub fn int(&self, bits: u32) -> Ty {
        // SAFETY: see the file's comment.
        Ty(unsafe { LLVMIntTypeInContext(self.c(), bits) })
    }

    pub fn i1(&self) -> Ty {
        self.int(1)
    }

    pub fn i8(&self) -> Ty {
        self.int(8)
    }

    pub fn i32(&self) -> Ty {
        self.int(32)
    }

    pub fn i64(&self) -> Ty {
        self.int(64)
    }

    pub fn half(&self) -> Ty {
        // SAFETY: see the file's comment.
        Ty(unsafe { LLVMHalfTypeInContext(self.c()) })
    }

    pub fn f32(&self) -> Ty {
        // SAFETY: see the file's comment.
        Ty(unsafe { LLVMFloatTypeInContext(self.c()) })
    }

    pub fn f64(&self) -> Ty {
        // SAFETY: see the file's comment.
        Ty(unsafe { LLVMDoubleTypeInContext(self.c()) })
    }

    pub fn ptr(&self) -> Ty {
        // SAFETY: see the file's comment.
        Ty(unsafe { LLVMPointerTypeInContext(self.c(), 0) })
    }

    pub fn void(&self) -> Ty {
        // SAFETY: see the file's comment.
        Ty(unsafe { LLVMVoidTypeInContext(self.c()) })
    }

    pub fn array(&self, of: Ty, n: u64) -> Ty {
        // SAFETY: see the file's comment.
        Ty(unsafe { LLVMArrayType2(of.0, n) })
    }

    /// A vector of `n` elements, or the scalar itself for `n == 1`.
    pub fn vec(&self, of: Ty, n: usize) -> Ty {
        // SAFETY: see the file's comment.
        if n == 1 { of } else { Ty(unsafe { LLVMVectorType(of.0, n as c_uint) }) }
    }

    pub fn ty(&self, v: V) -> Ty {
        // SAFETY: see the file's comment.
        Ty(unsafe { LLVMTypeOf(v.0) })
    }

    fn is_vec(&self, t: Ty) -> bool {
        // SAFETY: see the file's comment.
        unsafe { LLVMGetTypeKind(t.0) == inkwell::llvm_sys::LLVMTypeKind::LLVMVectorTypeKind }
    }

    /// Lanes of a type; 1 for a scalar.
    pub fn lanes(&self, t: Ty) -> usize {
        // SAFETY: see the file's comment.
        if self.is_vec(t) { unsafe { LLVMGetVectorSize(t.0) as usize } } else { 1 }
    }

    /// Element type of a vector, or the type itself.
    pub fn elem(&self, t: Ty) -> Ty {
        // SAFETY: see the file's comment.
        if self.is_vec(t) { Ty(unsafe { LLVMGetElementType(t.0) }) } else { t }
    }

    // Constants. `t` may be a vector type: the constant is splat.

    fn splat_const(&self, t: Ty, c: V) -> V {
        let n = self.lanes(t);
        if n == 1 { c } else { self.const_vec(&vec![c; n]) }
    }

    pub fn const_vec(&self, v: &[V]) -> V {
        let mut raw: Vec<LLVMValueRef> = v.iter().map(|v| v.0).collect();
        // SAFETY: see the file's comment.
        if v.len() == 1 { v[0] } else { V(unsafe { LLVMConstVector(raw.as_mut_ptr(), raw.len() as c_uint) }) }
    }

    pub fn const_array(&self, of: Ty, v: &[V]) -> V {
        let mut raw: Vec<LLVMValueRef> = v.iter().map(|v| v.0).collect();
        // SAFETY: see the file's comment.
        V(unsafe { LLVMConstArray2(of.0, raw.as_mut_ptr(), raw.len() as u64) })
    }

    pub fn const_struct(&self, v: &[V]) -> V {
        let mut raw: Vec<LLVMValueRef> = v.iter().map(|v| v.0).collect();
        // SAFETY: see the file's comment.
        V(unsafe { LLVMConstStructInContext(self.c(), raw.as_mut_ptr(), raw.len() as c_uint, 0) })
    }

    pub fn cint(&self, t: Ty, v: i64) -> V {
        // SAFETY: see the file's comment.
        let c = V(unsafe { LLVMConstInt(self.elem(t).0, v as u64, 1) });
        self.splat_const(t, c)
    }

    /// A float constant: `v` rounded to the type.
    pub fn cf(&self, t: Ty, v: f64) -> V {
        // SAFETY: see the file's comment.
        let c = V(unsafe { LLVMConstReal(self.elem(t).0, v) });
        self.splat_const(t, c)
    }

    pub fn ci64(&self, v: i64) -> V {
        self.cint(self.i64(), v)
    }

    pub fn zero(&self, t: Ty) -> V {
        // SAFETY: see the file's comment.
        V(unsafe { LLVMConstNull(t.0) })
    }

    pub fn poison(&self, t: Ty) -> V {
        // SAFETY: see the file's comment.
        V(unsafe { LLVMGetPoison(t.0) })
    }

    /// `0, 1, 2, ..` of a vector type of integers.
    pub fn iota(&self, t: Ty) -> V {
        let e = self.elem(t);
        self.const_vec(&(0..self.lanes(t)).map(|i| self.cint(e, i as i64)).collect::<Vec<_>>())
    }

    /// The value of a constant integer scalar.
    pub fn known(&self, v: V) -> Option<i64> {
        // SAFETY: see the file's comment.
        unsafe { (!LLVMIsAConstantInt(v.0).is_null()).then(|| LLVMConstIntGetSExtValue(v.0)) }
    }

    /// The value of a float constant; of a vector its first lane.
    pub fn known_float(&self, v: V) -> Option<f64> {
        let v = if self.is_constant(v) && self.is_vec(self.ty(v)) { self.constant_lane(v) } else { v };
        // SAFETY: see the file's comment.
        unsafe {
            let mut lost = 0;
            (!LLVMIsAConstantFP(v.0).is_null()).then(|| LLVMConstRealGetDouble(v.0, &mut lost))
        }
    }

    fn constant_lane(&self, v: V) -> V {
        // SAFETY: see the file's comment; an element that cannot be named comes back null.
        let e = unsafe { LLVMGetAggregateElement(v.0, 0) };
        if e.is_null() { v } else { V(e) }
    }

    // Arithmetic.

    binary! {
        add => LLVMBuildAdd; sub => LLVMBuildSub; mul => LLVMBuildMul; and => LLVMBuildAnd; or => LLVMBuildOr;
        xor => LLVMBuildXor; shl => LLVMBuildShl; lshr => LLVMBuildLShr; ashr => LLVMBuildAShr; sdiv => LLVMBuildSDiv;
        udiv => LLVMBuildUDiv; srem => LLVMBuildSRem; urem => LLVMBuildURem; fadd => LLVMBuildFAdd; fsub => LLVMBuildFSub;
        fmul => LLVMBuildFMul; fdiv => LLVMBuildFDiv;
        /// Addition that is known not to overflow: address arithmetic.
        nadd => LLVMBuildNSWAdd;
        /// Multiplication that is known not to overflow: address arithmetic.
        nmul => LLVMBuildNSWMul;
    }

    convert! {
        trunc => LLVMBuildTrunc; zext => LLVMBuildZExt; sext => LLVMBuildSExt; fptrunc => LLVMBuildFPTrunc; fpext => LLVMBuildFPExt;
        sitofp => LLVMBuildSIToFP; uitofp => LLVMBuildUIToFP; bitcast => LLVMBuildBitCast;
    }

    pub fn fneg(&self, a: V) -> V {
        // SAFETY: see the file's comment.
        V(unsafe { LLVMBuildFNeg(self.b(), a.0, NONAME) })
    }

    pub fn neg(&self, a: V) -> V {
        self.sub(self.zero(self.ty(a)), a)
    }

    pub fn not(&self, a: V) -> V {
        // SAFETY: see the file's comment.
        V(unsafe { LLVMBuildNot(self.b(), a.0, NONAME) })
    }

    pub fn icmp(&self, p: LLVMIntPredicate, a: V, b: V) -> V {
        // SAFETY: see the file's comment.
        V(unsafe { LLVMBuildICmp(self.b(), p, a.0, b.0, NONAME) })
    }

    pub fn fcmp(&self, p: LLVMRealPredicate, a: V, b: V) -> V {
        // SAFETY: see the file's comment.
        V(unsafe { LLVMBuildFCmp(self.b(), p, a.0, b.0, NONAME) })
    }

    /// `c ? a : b`; `c` may be a scalar where `a` and `b` are vectors.
    pub fn select(&self, c: V, a: V, b: V) -> V {
        match self.known(c) {
            Some(0) => b,
            Some(_) => a,
            // SAFETY: see the file's comment.
            None => V(unsafe { LLVMBuildSelect(self.b(), c.0, a.0, b.0, NONAME) }),
        }
    }

    /// Calls an intrinsic overloaded on `over`.
    pub fn intrinsic(&self, name: &str, over: &[Ty], args: &[V]) -> V {
        let mut over: Vec<LLVMTypeRef> = over.iter().map(|t| t.0).collect();
        let mut args: Vec<LLVMValueRef> = args.iter().map(|v| v.0).collect();
        // SAFETY: see the file's comment; `name` is passed with its length.
        unsafe {
            let id = LLVMLookupIntrinsicID(name.as_ptr().cast(), name.len());
            debug_assert_ne!(id, 0, "unknown intrinsic {name}");
            let f = LLVMGetIntrinsicDeclaration(self.module.as_mut_ptr(), id, over.as_mut_ptr(), over.len());
            let ty = LLVMGlobalGetValueType(f);
            V(LLVMBuildCall2(self.b(), ty, f, args.as_mut_ptr(), args.len() as c_uint, NONAME))
        }
    }

    /// `a * b + c` with one rounding.
    pub fn fma(&self, a: V, b: V, c: V) -> V {
        self.intrinsic("llvm.fma", &[self.ty(a)], &[a, b, c])
    }

    pub fn fabs(&self, a: V) -> V {
        self.intrinsic("llvm.fabs", &[self.ty(a)], &[a])
    }

    pub fn copysign(&self, mag: V, sign: V) -> V {
        self.intrinsic("llvm.copysign", &[self.ty(mag)], &[mag, sign])
    }

    // Vectors.

    /// All `n` lanes equal to the scalar `v`.
    pub fn splat(&self, v: V, n: usize) -> V {
        if n == 1 {
            return v;
        }
        let t = self.vec(self.ty(v), n);
        let one = self.insert(self.poison(t), v, 0);
        self.shuffle(one, self.poison(t), &vec![0; n])
    }

    pub fn extract(&self, v: V, lane: usize) -> V {
        if self.lanes(self.ty(v)) == 1 {
            return v;
        }
        // SAFETY: see the file's comment.
        V(unsafe { LLVMBuildExtractElement(self.b(), v.0, self.ci64(lane as i64).0, NONAME) })
    }

    pub fn insert(&self, v: V, x: V, lane: usize) -> V {
        // SAFETY: see the file's comment.
        V(unsafe { LLVMBuildInsertElement(self.b(), v.0, x.0, self.ci64(lane as i64).0, NONAME) })
    }

    /// Lanes `mask` of `a` followed by `b`.
    pub fn shuffle(&self, a: V, b: V, mask: &[usize]) -> V {
        let m = self.const_vec(&mask.iter().map(|&i| self.cint(self.i32(), i as i64)).collect::<Vec<_>>());
        // SAFETY: see the file's comment.
        V(unsafe { LLVMBuildShuffleVector(self.b(), a.0, b.0, m.0, NONAME) })
    }

    // Functions and control flow.

    pub fn function_type(&self, ret: Ty, params: &[Ty]) -> Ty {
        let mut p: Vec<LLVMTypeRef> = params.iter().map(|t| t.0).collect();
        // SAFETY: see the file's comment.
        Ty(unsafe { LLVMFunctionType(ret.0, p.as_mut_ptr(), p.len() as c_uint, 0) })
    }

    /// Declares a function with hidden visibility; `private`: seen in this module only.
    pub fn function(&self, name: &str, ty: Ty, private: bool) -> V {
        let n = c_name(name);
        // SAFETY: see the file's comment.
        unsafe {
            let f = LLVMAddFunction(self.module.as_mut_ptr(), n.as_ptr(), ty.0);
            if private {
                LLVMSetLinkage(f, LLVMLinkage::LLVMInternalLinkage);
            } else {
                LLVMSetVisibility(f, LLVMVisibility::LLVMHiddenVisibility);
            }
            for name in ["nounwind", "nofree", "willreturn"] {
                let a = LLVMCreateEnumAttribute(self.c(), self.attribute(name), 0);
                LLVMAddAttributeAtIndex(f, inkwell::llvm_sys::LLVMAttributeFunctionIndex, a);
            }
            // Loops that look like memset or memcpy stay loops: the library has no dependencies.
            let (k, v) = (c"no-builtins", c"");
            let a = LLVMCreateStringAttribute(self.c(), k.as_ptr(), k.count_bytes() as c_uint, v.as_ptr(), 0);
            LLVMAddAttributeAtIndex(f, inkwell::llvm_sys::LLVMAttributeFunctionIndex, a);
            V(f)
        }
    }

    /// Gives a parameter (from 0) an attribute without a value.
    pub fn param_attribute(&self, f: V, param: u32, name: &str) {
        // SAFETY: see the file's comment.
        unsafe {
            let a = LLVMCreateEnumAttribute(self.c(), self.attribute(name), 0);
            LLVMAddAttributeAtIndex(f.0, param + 1, a);
        }
    }

    pub fn param(&self, f: V, i: u32) -> V {
        // SAFETY: see the file's comment.
        V(unsafe { LLVMGetParam(f.0, i) })
    }

    /// Calls the function `name` of this module, writing it first with `write` if it is not there: code too long to repeat.
    pub fn outlined(&self, name: &str, ret: Ty, args: &[V], write: &dyn Fn(V)) -> V {
        let n = c_name(name);
        // SAFETY: see the file's comment; a function that is absent comes back null.
        unsafe {
            let mut f = LLVMGetNamedFunction(self.module.as_mut_ptr(), n.as_ptr());
            if f.is_null() {
                let types: Vec<Ty> = args.iter().map(|a| self.ty(*a)).collect();
                let (back, place) = (self.here(), self.no_place());
                let new = self.function(name, self.function_type(ret, &types), true);
                self.at(self.block(new));
                write(new);
                self.back_to(place);
                self.at(back);
                f = new.0;
            }
            let mut args: Vec<LLVMValueRef> = args.iter().map(|v| v.0).collect();
            let ty = LLVMGlobalGetValueType(f);
            V(LLVMBuildCall2(self.b(), ty, f, args.as_mut_ptr(), args.len() as c_uint, NONAME))
        }
    }

    pub fn block(&self, f: V) -> Bb {
        // SAFETY: see the file's comment.
        Bb(unsafe { LLVMAppendBasicBlockInContext(self.c(), f.0, NONAME) })
    }

    pub fn here(&self) -> Bb {
        // SAFETY: see the file's comment.
        Bb(unsafe { LLVMGetInsertBlock(self.b()) })
    }

    /// Continues at the end of a block: before its terminator if it has one.
    pub fn at(&self, b: Bb) {
        // SAFETY: see the file's comment.
        unsafe {
            let t = LLVMGetBasicBlockTerminator(b.0);
            if t.is_null() {
                LLVMPositionBuilderAtEnd(self.b(), b.0);
            } else {
                LLVMPositionBuilderBefore(self.b(), t);
            }
        }
        self.keep_place();
    }

    pub fn br(&self, to: Bb) {
        // SAFETY: see the file's comment.
        unsafe {
            LLVMBuildBr(self.b(), to.0);
        }
    }

    pub fn cond_br(&self, c: V, then: Bb, otherwise: Bb) {
        // SAFETY: see the file's comment.
        unsafe {
            LLVMBuildCondBr(self.b(), c.0, then.0, otherwise.0);
        }
    }

    pub fn ret(&self, v: Option<V>) {
        // SAFETY: see the file's comment.
        unsafe {
            match v {
                Some(v) => LLVMBuildRet(self.b(), v.0),
                None => LLVMBuildRetVoid(self.b()),
            };
        }
    }

    pub fn phi(&self, t: Ty) -> V {
        // SAFETY: see the file's comment.
        V(unsafe { LLVMBuildPhi(self.b(), t.0, NONAME) })
    }

    pub fn incoming(&self, phi: V, v: V, from: Bb) {
        // SAFETY: see the file's comment.
        unsafe { LLVMAddIncoming(phi.0, [v.0].as_mut_ptr(), [from.0].as_mut_ptr(), 1) }
    }

    /// True for a value that is no instruction: usable from every block.
    pub fn is_constant(&self, v: V) -> bool {
        // SAFETY: see the file's comment.
        unsafe { LLVMIsConstant(v.0) != 0 }
    }
}

/// Names come from [`crate::module::symbol`] and this crate's literals: never a NUL.
fn c_name(name: &str) -> CString {
    CString::new(name.replace('\0', "_")).unwrap_or_default()
}
