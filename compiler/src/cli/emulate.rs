//! Running artifacts for aarch64 on another machine: under qemu-aarch64, by the `beiming` that was built for aarch64.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::diagnostic::Diagnostic;
use super::failure::{Exit, Failure, Result};

/// Where a cross build leaves the program, below the target folder.
const CROSS: &str = "cross/aarch64-unknown-linux-gnu/release/beiming";
/// Debian's folder of libraries for aarch64.
const LIBRARIES: &str = "/usr/aarch64-linux-gnu";

/// Whether code for this triple needs qemu here.
pub fn is_foreign(triple: &str) -> bool {
    triple.split('-').next() == Some("aarch64") && !cfg!(target_arch = "aarch64")
}

/// `qemu-aarch64 QEMU_ARGS beiming`, to which the arguments of beiming are added.
pub fn command(qemu_args: &[OsString]) -> Result<Command> {
    let program = program()?;
    let mut c = Command::new("qemu-aarch64");
    if Path::new(LIBRARIES).exists() {
        c.args(["-L", LIBRARIES]);
    }
    c.args(qemu_args).arg(program);
    Ok(c)
}

/// Runs a command of [`command`] and gives its stdout.
pub fn stdout(mut command: Command) -> Result<String> {
    let out = command.output().map_err(|e| {
        let d = Diagnostic::error("E0903", format!("cannot start qemu-aarch64: {e}"));
        Failure::new(Exit::Io, d.help("Debian's package `qemu-user` has it"))
    })?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        let exit = match out.status.code() {
            Some(2) => Exit::Usage,
            Some(3) => Exit::BadModel,
            Some(4) => Exit::Unsupported,
            Some(5) => Exit::Io,
            _ => Exit::Internal,
        };
        let d = Diagnostic::error("E0904", format!("beiming under qemu-aarch64 failed: {}", out.status)).note(said.trim());
        return Err(Failure::new(exit, d));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// `BEIMING_AARCH64`, or the cross build beside this program's own build.
fn program() -> Result<PathBuf> {
    if let Some(p) = std::env::var_os("BEIMING_AARCH64") {
        return Ok(p.into());
    }
    let own = std::env::current_exe().ok();
    // target/release/beiming, or target/release/deps/test.
    let folders = own.iter().flat_map(|p| p.ancestors().skip(2).take(2)).map(Path::to_path_buf).chain([PathBuf::from("target")]);
    let found = folders.map(|f| f.join(CROSS)).find(|p| p.is_file());
    found.ok_or_else(|| {
        let d =
            Diagnostic::error("E0902", "code for aarch64 runs here under qemu, by a `beiming` built for aarch64; there is none");
        Failure::new(Exit::Io, d.help("`make runtime-aarch64` builds it; BEIMING_AARCH64 names it elsewhere"))
    })
}
