//! Whether finished code stays within a CPU's instructions: disassembled with every extension known, assembled for that CPU alone.

use std::path::Path;
use std::process::Command;

use beiming_cpu::disasm;
use beiming_ir::target::Target;

/// Checks a shared library for aarch64. The error names the first instructions that `target` does not have.
pub fn within(library: &[u8], target: &Target, folder: &Path) -> Result<(), String> {
    let file = folder.join("code.so");
    std::fs::write(&file, library).map_err(|e| e.to_string())?;
    let mut c = Command::new("llvm-objdump-22");
    c.args(["--disassemble", "--mattr=+all", "--no-show-raw-insn", "--no-leading-addr"]).arg(&file);
    let out = c.output().map_err(|e| format!("llvm-objdump-22: {e}"))?;
    if !out.status.success() {
        return Err(String::from_utf8_lossy(&out.stderr).into_owned());
    }
    let text = instructions(&String::from_utf8_lossy(&out.stdout))?;
    disasm::reassemble(&text, &target.triple, &target.cpu, &target.features)
}

/// The instructions of a listing in the assembler's form.
fn instructions(listing: &str) -> Result<String, String> {
    let mut out = String::new();
    // Headings and labels start in the first column.
    for line in listing.lines().filter(|l| l.starts_with(char::is_whitespace)) {
        let line = line.split("//").next().unwrap_or_default().trim_end();
        if line.contains("<unknown>") {
            return Err("bytes that are no instruction".into());
        }
        // `b.ne 0x1234 <kernel+0x34>`: where a jump goes does not matter here, and a bare number may be too far.
        let address = line.rfind("0x").filter(|_| line.ends_with('>'));
        out.push_str(address.map_or(line, |at| &line[..at]));
        out.push_str(if address.is_some() { ".\n" } else { "\n" });
    }
    if out.trim().is_empty() { Err("no instructions were found".into()) } else { Ok(out) }
}
