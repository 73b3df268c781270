//! Objects to a shared library, by lld. Nothing of the machine (paths, time, build identity) gets into the bytes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use beiming_ir::target::Target;

use crate::EmitError;

/// The linker: `BEIMING_LLD` if set, else the first of `ld.lld-22` and `ld.lld` on the path.
pub fn linker() -> Result<PathBuf, EmitError> {
    if let Some(p) = std::env::var_os("BEIMING_LLD").filter(|p| !p.is_empty()) {
        return Ok(p.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = |name: &str| std::env::split_paths(&path).map(|d| d.join(name)).find(|f| f.is_file());
    found("ld.lld-22").or_else(|| found("ld.lld")).ok_or_else(|| {
        EmitError::Link("neither ld.lld-22 nor ld.lld is on PATH; install the package lld-22 or set BEIMING_LLD".into())
    })
}

/// Links objects, in order, into a library that needs no other.
pub fn shared(objects: &[&[u8]], t: &Target) -> Result<Vec<u8>, EmitError> {
    let io = |what: &str, e: std::io::Error| EmitError::Link(format!("{what}: {e}"));
    let dir = tempfile::tempdir().map_err(|e| io("temporary folder", e))?;
    let mut list = String::new();
    for (i, o) in objects.iter().enumerate() {
        let name = format!("{i:05}.o");
        std::fs::write(dir.path().join(&name), o).map_err(|e| io("writing an object", e))?;
        // Writing to a string cannot fail.
        let _ = writeln!(list, "{name}");
    }
    std::fs::write(dir.path().join("objects"), list).map_err(|e| io("writing the list of objects", e))?;
    let emulation = if t.triple.starts_with("aarch64") { "aarch64linux" } else { "elf_x86_64" };
    let tool = linker()?;
    let out = Command::new(&tool)
        .args(["-m", emulation, "-shared", "-nostdlib", "--no-undefined", "--build-id=none", "--hash-style=gnu"])
        .args(["-z", "noexecstack", "-z", "now", "-z", "relro", "-soname", "beiming_kernels.so", "-o", "library.so", "@objects"])
        .current_dir(dir.path())
        .output()
        .map_err(|e| io(&format!("running {}", Path::new(&tool).display()), e))?;
    if !out.status.success() {
        return Err(EmitError::Link(String::from_utf8_lossy(&out.stderr).trim().to_string()));
    }
    std::fs::read(dir.path().join("library.so")).map_err(|e| io("reading the library", e))
}
