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
    // Headings and labels start in the first column; dots stand for zeros between functions.
    for line in listing.lines().filter(|l| l.starts_with(char::is_whitespace) && l.trim() != "...") {
        let line = line.split("//").next().unwrap_or_default().trim_end();
        if line.contains("<unknown>") {
            return Err("bytes that are no instruction".into());
        }
        // `b.ne 0x1234 <kernel+0x34>`: where a jump goes does not matter here, and a bare number may be too far.
        let address = line.strip_suffix('>').and_then(|l| l.rfind(" <")).and_then(|at| line[..at].rfind("0x"));
        out.push_str(address.map_or(line, |at| &line[..at]));
        out.push_str(if address.is_some() { ".\n" } else { "\n" });
    }
    if out.trim().is_empty() { Err("no instructions were found".into()) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_targets_own_instructions_pass() {
        let t = Target::kunpeng920();
        let assemble = |text: &str| disasm::reassemble(text, &t.triple, &t.cpu, &t.features);
        for fine in ["fmla v0.4s, v1.4s, v2.s[1]", "fadd v0.8h, v1.8h, v2.8h", "udot v0.4s, v1.16b, v2.16b", "ldadd w0, w1, [x2]"]
        {
            assert_eq!(assemble(fine), Ok(()), "{fine}");
        }
        for (absent, feature) in
            [("add z0.s, z0.s, z1.s", "sve"), ("bfdot v0.4s, v1.8h, v2.8h", "bf16"), ("smmla v0.4s, v1.16b, v2.16b", "i8mm")]
        {
            let e = assemble(absent).expect_err(absent);
            assert!(e.contains(feature), "{e}");
        }
    }

    #[test]
    fn a_listing_becomes_assembly() {
        let listing = "code.so:\tfile format elf64\n\n0000 <k>:\n\tb.ne\t0x1f8 <k+0x8> // =504\n\tadrp\tx0, 0x5000 <c>\n\tret\n";
        let text = instructions(listing).expect("instructions");
        assert_eq!(text, "\tb.ne\t.\n\tadrp\tx0, .\n\tret\n");
        assert!(instructions("\t<unknown>\n").is_err());
        assert!(instructions("code.so:\n").is_err());
    }
}
