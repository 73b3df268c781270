//! Assembly out of a finished library: what an artifact still says of its kernels when the compilation is over.

use std::ffi::{CStr, CString, c_char};

use inkwell::llvm_sys::disassembler::*;

use crate::target_machine;

/// Sizes of an ELF file's header, of a section's, and of a symbol, in bytes.
const HEADER: usize = 64;
const SECTION: usize = 64;
const SYMBOL: usize = 24;
/// Type of the section that holds all symbols.
const SYMTAB: u32 = 2;
/// No line of assembly is longer.
const LINE: usize = 256;

/// The assembly of a function of a library that [`crate::emit`] made, each line with its distance from the first, in hexadecimal.
/// `features` are spelled as LLVM does (`+fullfp16,+dotprod`). `None` where the library is damaged or has no such function, and where
/// LLVM has no such machine. Bytes that are no instruction stand as `.byte`.
pub fn disassemble(library: &[u8], symbol: &str, triple: &str, cpu: &str, features: &str) -> Option<String> {
    let (address, code) = function(library, symbol)?;
    target_machine::initialize();
    let (triple, cpu, features) = (CString::new(triple).ok()?, CString::new(cpu).ok()?, CString::new(features).ok()?);
    let decoder = Decoder::new(&triple, &cpu, &features)?;
    let mut out = format!("{symbol}:\n");
    let mut at = 0;
    while at < code.len() {
        let (size, text) =
            decoder.instruction(&code[at..], address + at as u64).unwrap_or_else(|| (1, format!("\t.byte\t{:#04x}", code[at])));
        out += &format!("{at:>6x}:{}\n", text.replace('\n', " "));
        at += size;
    }
    Some(out)
}

/// Address and code of a function, by the table of symbols.
fn function<'a>(library: &'a [u8], symbol: &str) -> Option<(u64, &'a [u8])> {
    let bytes = |at: usize, n: usize| library.get(at..at.checked_add(n)?);
    let u16_at = |at: usize| Some(u16::from_le_bytes(bytes(at, 2)?.try_into().ok()?));
    let u32_at = |at: usize| Some(u32::from_le_bytes(bytes(at, 4)?.try_into().ok()?));
    let u64_at = |at: usize| Some(u64::from_le_bytes(bytes(at, 8)?.try_into().ok()?));
    let usize_at = |at: usize| usize::try_from(u64_at(at)?).ok();
    // 64 bits, little-endian: what the linker here writes.
    if bytes(0, 6)? != b"\x7fELF\x02\x01" || library.len() < HEADER {
        return None;
    }
    let (table, count) = (usize_at(40)?, u16_at(60)?);
    // A section's header, if all of it is there.
    let section = |i: usize| {
        let at = table.checked_add(i.checked_mul(SECTION)?)?;
        bytes(at, SECTION).map(|_| at)
    };
    for i in 0..usize::from(count) {
        let s = section(i)?;
        if u32_at(s + 4)? != SYMTAB {
            continue;
        }
        let symbols = bytes(usize_at(s + 24)?, usize_at(s + 32)?)?;
        let from = usize_at(s + 24)?;
        let names = usize_at(section(u32_at(s + 40)? as usize)? + 24)?;
        for k in 0..symbols.len() / SYMBOL {
            let e = from + k * SYMBOL;
            let name = library.get(names.checked_add(u32_at(e)? as usize)?..)?;
            if name.get(..symbol.len()) != Some(symbol.as_bytes()) || name.get(symbol.len()) != Some(&0) {
                continue;
            }
            let code = section(usize::from(u16_at(e + 6)?))?;
            let address = u64_at(e + 8)?;
            let within = usize::try_from(address.checked_sub(u64_at(code + 16)?)?).ok()?;
            return Some((address, bytes(usize_at(code + 24)?.checked_add(within)?, usize_at(e + 16)?)?));
        }
    }
    None
}

/// LLVM's decoder.
struct Decoder(LLVMDisasmContextRef);

impl Decoder {
    fn new(triple: &CStr, cpu: &CStr, features: &CStr) -> Option<Decoder> {
        let (triple, cpu, features, none) = (triple.as_ptr(), cpu.as_ptr(), features.as_ptr(), std::ptr::null_mut());
        // SAFETY: three strings that end with a zero, and no callbacks, which LLVM allows.
        let d = unsafe { LLVMCreateDisasmCPUFeatures(triple, cpu, features, none, 0, None, None) };
        (!d.is_null()).then_some(Decoder(d))
    }

    /// The first instruction: its bytes, and its text.
    fn instruction(&self, code: &[u8], address: u64) -> Option<(usize, String)> {
        let mut text: [c_char; LINE] = [0; LINE];
        let (from, length) = (code.as_ptr().cast_mut(), code.len() as u64);
        // SAFETY: the decoder lives as long as `self`; LLVM only reads the code, whatever its pointer's type says, and writes at most
        // `LINE` bytes of text with a zero behind them.
        let size = unsafe { LLVMDisasmInstruction(self.0, from, length, address, text.as_mut_ptr(), text.len()) };
        // SAFETY: the text ends with a zero: LLVM's, or one of those it began with.
        let text = unsafe { CStr::from_ptr(text.as_ptr()) };
        (size > 0).then(|| (size, text.to_string_lossy().into_owned()))
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: made by LLVM, given back once.
        unsafe { LLVMDisasmDispose(self.0) }
    }
}
