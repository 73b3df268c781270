//! Places of instructions in a text: LLVM's debug locations, whose line is one of the kernel's text and whose column is the number
//! of an expression. Nothing of this is written unless [`Ll::describe`] was called.

use std::cell::Cell;
use std::ptr::null_mut;

use inkwell::llvm_sys::LLVMModuleFlagBehavior;
use inkwell::llvm_sys::core::*;
use inkwell::llvm_sys::debuginfo::*;
use inkwell::llvm_sys::prelude::*;

use super::{Ll, V};

/// A place, or none.
#[derive(Clone, Copy)]
pub struct Place(LLVMMetadataRef);

/// The function that is described, and where the code written now comes from; null: none.
pub(super) struct Places {
    scope: Cell<LLVMMetadataRef>,
    now: Cell<LLVMMetadataRef>,
}

impl Default for Places {
    fn default() -> Places {
        Places { scope: Cell::new(null_mut()), now: Cell::new(null_mut()) }
    }
}

impl Ll<'_> {
    /// From here on instructions know where they come from. `f`, called `name`, is the only function that does.
    pub fn describe(&self, f: V, name: &str) {
        let (m, n) = (self.module.as_mut_ptr(), name.len());
        let text = name.as_ptr().cast();
        let none = c"".as_ptr();
        // SAFETY: see the file's comment of `ll`; strings are passed with their lengths, and the builder is finished before it goes.
        unsafe {
            let version = LLVMConstInt(LLVMInt32TypeInContext(self.c()), u64::from(LLVMDebugMetadataVersion()), 0);
            let key = c"Debug Info Version";
            let behavior = LLVMModuleFlagBehavior::LLVMModuleFlagBehaviorWarning;
            LLVMAddModuleFlag(m, behavior, key.as_ptr(), key.count_bytes(), LLVMValueAsMetadata(version));
            let d = LLVMCreateDIBuilder(m);
            let file = LLVMDIBuilderCreateFile(d, text, n, none, 0);
            let c = LLVMDWARFSourceLanguage::LLVMDWARFSourceLanguageC;
            let lines = LLVMDWARFEmissionKind::LLVMDWARFEmissionKindLineTablesOnly;
            LLVMDIBuilderCreateCompileUnit(d, c, file, none, 0, 1, none, 0, 0, none, 0, lines, 0, 0, 0, none, 0, none, 0);
            let ty = LLVMDIBuilderCreateSubroutineType(d, file, null_mut(), 0, 0);
            let sp = LLVMDIBuilderCreateFunction(d, file, text, n, text, n, file, 1, ty, 0, 1, 1, 0, 1);
            LLVMSetSubprogram(f.0, sp);
            LLVMDIBuilderFinalize(d);
            LLVMDisposeDIBuilder(d);
            self.places.scope.set(sp);
        }
    }

    /// What is written from here on comes from a line and a column. Returns what was before.
    pub fn place(&self, line: u32, column: u32) -> Place {
        let scope = self.places.scope.get();
        if scope.is_null() {
            return Place(null_mut());
        }
        // SAFETY: see the file's comment of `ll`; the scope is not null.
        let new = unsafe { LLVMDIBuilderCreateDebugLocation(self.c(), line, column, scope, null_mut()) };
        self.change(new)
    }

    /// What is written from here on comes from nowhere. Returns what was before.
    pub fn no_place(&self) -> Place {
        self.change(null_mut())
    }

    /// Goes back to an earlier place.
    pub fn back_to(&self, p: Place) {
        self.change(p.0);
    }

    fn change(&self, new: LLVMMetadataRef) -> Place {
        let old = self.places.now.replace(new);
        self.keep_place();
        Place(old)
    }

    /// LLVM's builder takes over the place of an instruction that it is set before; this gives it back its own.
    pub(super) fn keep_place(&self) {
        if !self.places.scope.get().is_null() {
            // SAFETY: see the file's comment of `ll`; null is no place.
            unsafe { LLVMSetCurrentDebugLocation2(self.b(), self.places.now.get()) }
        }
    }
}
