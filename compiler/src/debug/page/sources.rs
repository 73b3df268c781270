//! What the compiler wrote for each kernel: the kernel's own text, LLVM IR, assembly. Packed, since a page may hold hundreds
//! and shows one at a time.

use std::io::{Cursor, Read, Write};

use beiming_cpu::Code;
use beiming_ir::plan::Program;
use beiming_ir::text::print_kernel;
use serde_json::json;

use crate::debug::DebugError;
use crate::driver::{CompileError, Next, Product, Watch};

/// Sources of every kernel, by position in the program.
#[derive(Default)]
pub struct Sources {
    /// The kernel in the IR's text.
    pub text: Vec<String>,
    /// LLVM IR after LLVM's passes.
    pub llvm: Vec<String>,
    /// Assembly.
    pub assembly: Vec<String>,
    /// Ops of each kernel.
    pub ops: Vec<Vec<String>>,
}

/// Keeps the sources of a compilation that it watches. The compilation must be asked for LLVM IR and assembly.
impl Watch for Sources {
    fn product(&mut self, product: Product<'_>) -> Result<Next, CompileError> {
        match product {
            Product::Program(p, _) => self.program(p),
            Product::Code(c) => self.code(c),
            _ => {}
        }
        Ok(Next::Continue)
    }
}

impl Sources {
    fn program(&mut self, p: &Program) {
        self.text = p.kernels.iter().map(print_kernel).collect();
        self.ops = p.kernels.iter().map(|k| k.ops.clone()).collect();
    }

    fn code(&mut self, c: &Code) {
        let llvm = c.llvm_ir.as_deref().unwrap_or_default();
        let assembly = c.assembly.as_deref().unwrap_or_default();
        // A function runs from its head to a brace at the start of a line, or to the directive that tells its size.
        let between = |text: &str, head: String, end: &str| {
            let start = text.find(&head)?;
            let stop = text[start..].find(end).map_or(text.len(), |e| start + e + end.len());
            Some(text[start..stop].trim_end().to_string())
        };
        let of = |s: &String| between(llvm, format!("define hidden void @{s}("), "\n}\n").unwrap_or_default();
        self.llvm = c.symbols.iter().map(of).collect();
        let of = |s: &String| between(assembly, format!("\n{s}:"), "\n\t.size").unwrap_or_default();
        self.assembly =
            c.symbols.iter().map(of).map(|t| t.trim_start().trim_end_matches(".size").trim_end().to_string()).collect();
    }

    /// The sources of kernel `i`, packed: a JSON object, deflated, in base 64.
    pub fn packed(&self, i: usize) -> Result<String, DebugError> {
        let get = |v: &Vec<String>| v.get(i).cloned().unwrap_or_default();
        let doc = json!({ "ir": get(&self.text), "llvm": get(&self.llvm), "asm": get(&self.assembly) }).to_string();
        Ok(base64(&deflate(doc.as_bytes())?))
    }
}

/// The raw deflate stream, taken out of an archive of one file.
fn deflate(bytes: &[u8]) -> Result<Vec<u8>, DebugError> {
    let fail = |e: zip::result::ZipError| DebugError::Io(format!("cannot pack: {e}"));
    let io = |e: std::io::Error| DebugError::Io(format!("cannot pack: {e}"));
    let mut zip = zip::ZipWriter::new(Cursor::new(vec![]));
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated)
        .last_modified_time(zip::DateTime::default());
    zip.start_file("x", options).map_err(fail)?;
    zip.write_all(bytes).map_err(io)?;
    let mut archive = zip::ZipArchive::new(zip.finish().map_err(fail)?).map_err(fail)?;
    let mut out = vec![];
    archive.by_index_raw(0).map_err(fail)?.read_to_end(&mut out).map_err(io)?;
    Ok(out)
}

/// Base 64 (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for c in bytes.chunks(3) {
        let word = (0..3).fold(0u32, |w, k| w << 8 | u32::from(c.get(k).copied().unwrap_or(0)));
        for k in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * k) & 63) as usize] as char;
            out.push(if k <= c.len() { digit } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_standard_s() {
        for (plain, want) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), want);
        }
    }

    #[test]
    fn functions_are_found_in_the_texts() {
        let mut s = Sources::default();
        s.code(&Code {
            library: vec![],
            symbols: vec!["k0".into(), "k1".into()],
            llvm_ir: Some("x\ndefine hidden void @k0(ptr) {\n  ret\n}\n\ndefine hidden void @k1(ptr) {\n  no\n}\n".into()),
            assembly: Some("\t.type\tk0\nk0:\n\tret\n.L:\n\t.size\tk0, .L-k0\nk1:\n\tnop\n\t.size\tk1\n".into()),
        });
        assert_eq!(s.llvm, ["define hidden void @k0(ptr) {\n  ret\n}", "define hidden void @k1(ptr) {\n  no\n}"]);
        assert_eq!(s.assembly, ["k0:\n\tret\n.L:", "k1:\n\tnop"]);
    }
}
