//! Checks on finished code: the features it uses, judged by LLVM's own tools.

use std::io::Write;
use std::process::{Command, Stdio};

/// Assembles `assembly` for exactly `cpu`; an instruction outside its features is an error, with the assembler's words.
/// Needs `llvm-mc-22`.
pub fn reassemble(assembly: &str, triple: &str, cpu: &str, features: &str) -> Result<(), String> {
    let mut c = Command::new("llvm-mc-22");
    c.args([&format!("-triple={triple}"), &format!("-mcpu={cpu}"), "-filetype=null"]);
    if !features.is_empty() {
        c.arg(format!("-mattr={features}"));
    }
    let mut child =
        c.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(|e| format!("llvm-mc-22: {e}"))?;
    // The text is small and the tool reads all of it before it writes, so the pipe cannot block.
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(assembly.as_bytes()).map_err(|e| format!("llvm-mc-22: {e}"))?;
    }
    let out = child.wait_with_output().map_err(|e| format!("llvm-mc-22: {e}"))?;
    if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
}
