//! Loads, stores, stack memory and constants. The safety of building values is stated in the parent's comment.

use std::ffi::c_uint;

use inkwell::llvm_sys::LLVMLinkage;
use inkwell::llvm_sys::core::*;

use super::{Ll, NONAME, Ty, V, c_name};

#[allow(missing_docs)]
impl Ll<'_> {
    pub fn gep(&self, of: Ty, p: V, index: V) -> V {
        let mut i = [index.0];
        // SAFETY: see the file's comment.
        V(unsafe { LLVMBuildGEP2(self.b(), of.0, p.0, i.as_mut_ptr(), 1, NONAME) })
    }

    pub fn load(&self, t: Ty, p: V, align: u32) -> V {
        // SAFETY: see the file's comment.
        unsafe {
            let v = LLVMBuildLoad2(self.b(), t.0, p.0, NONAME);
            LLVMSetAlignment(v, align);
            V(v)
        }
    }

    pub fn store(&self, v: V, p: V, align: u32) {
        // SAFETY: see the file's comment.
        unsafe {
            let s = LLVMBuildStore(self.b(), v.0, p.0);
            LLVMSetAlignment(s, align);
        }
    }

    /// A masked load; lanes whose mask is false are not touched and give `other`.
    pub fn masked_load(&self, t: Ty, p: V, align: u32, mask: V, other: V) -> V {
        let v = self.intrinsic("llvm.masked.load", &[t, self.ptr()], &[p, mask, other]);
        self.call_align(v, 1, align);
        v
    }

    pub fn masked_store(&self, v: V, p: V, align: u32, mask: V) {
        let c = self.intrinsic("llvm.masked.store", &[self.ty(v), self.ptr()], &[v, p, mask]);
        self.call_align(c, 2, align);
    }

    /// Loads through a vector of pointers.
    pub fn masked_gather(&self, t: Ty, p: V, align: u32, mask: V, other: V) -> V {
        let v = self.intrinsic("llvm.masked.gather", &[t, self.ty(p)], &[p, mask, other]);
        self.call_align(v, 1, align);
        v
    }

    pub fn masked_scatter(&self, v: V, p: V, align: u32, mask: V) {
        let c = self.intrinsic("llvm.masked.scatter", &[self.ty(v), self.ty(p)], &[v, p, mask]);
        self.call_align(c, 2, align);
    }

    fn call_align(&self, call: V, arg: c_uint, align: u32) {
        // SAFETY: see the file's comment.
        unsafe {
            let a = LLVMCreateEnumAttribute(self.c(), self.attribute("align"), u64::from(align));
            LLVMAddCallSiteAttribute(call.0, arg, a);
        }
    }

    pub(super) fn attribute(&self, name: &str) -> c_uint {
        // SAFETY: the name is passed with its length.
        unsafe { LLVMGetEnumAttributeKindForName(name.as_ptr().cast(), name.len()) }
    }

    /// Reserves stack memory; the builder must stand in the entry block.
    pub fn alloca(&self, t: Ty, align: u32) -> V {
        // SAFETY: see the file's comment.
        unsafe {
            let v = LLVMBuildAlloca(self.b(), t.0, NONAME);
            LLVMSetAlignment(v, align);
            V(v)
        }
    }

    /// Prefetches the line at `p` for reading into all cache levels.
    pub fn prefetch(&self, p: V) {
        let c = |v| self.cint(self.i32(), v);
        self.intrinsic("llvm.prefetch", &[self.ptr()], &[p, c(0), c(3), c(1)]);
    }

    /// A constant that no other module sees.
    pub fn private_constant(&self, init: V, align: u32) -> V {
        // SAFETY: see the file's comment.
        unsafe {
            let g = LLVMAddGlobal(self.module.as_mut_ptr(), LLVMTypeOf(init.0), c"c".as_ptr());
            LLVMSetInitializer(g, init.0);
            LLVMSetGlobalConstant(g, 1);
            LLVMSetLinkage(g, LLVMLinkage::LLVMPrivateLinkage);
            LLVMSetAlignment(g, align);
            V(g)
        }
    }

    /// As [`Ll::private_constant`], one for the module.
    pub fn shared_constant(&self, name: &str, init: V, align: u32) -> V {
        let n = c_name(name);
        // SAFETY: see the file's comment; a global that is absent comes back null.
        unsafe {
            let g = LLVMGetNamedGlobal(self.module.as_mut_ptr(), n.as_ptr());
            if !g.is_null() {
                return V(g);
            }
            let V(g) = self.private_constant(init, align);
            LLVMSetValueName2(g, n.as_ptr(), n.as_bytes().len());
            V(g)
        }
    }

    /// A constant that the library exports.
    pub fn exported_constant(&self, name: &str, init: V, align: u32) -> V {
        let n = c_name(name);
        // SAFETY: see the file's comment.
        unsafe {
            let g = LLVMAddGlobal(self.module.as_mut_ptr(), LLVMTypeOf(init.0), n.as_ptr());
            LLVMSetInitializer(g, init.0);
            LLVMSetGlobalConstant(g, 1);
            LLVMSetAlignment(g, align);
            V(g)
        }
    }
}
