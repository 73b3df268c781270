//! The simulator set up as a CANN toolkit's root: headers, `libascendcl.so` and `libacl_rtc.so` over the simulator, and the chip.
//! Whoever is given this root (or finds it in `ASCEND_HOME_PATH`) takes the same way as with CANN. The sources travel in this
//! crate; a C++ compiler (`CXX`, or g++) builds them once.

use std::path::{Path, PathBuf};
use std::process::Command;

use beiming_ir::target::npu::Npu;
use thiserror::Error;

use crate::sim::chip_text;

/// Every source, by its path under `sim`.
pub const FILES: &[(&str, &str)] = &[
    ("acl/ascendcl.cpp", include_str!("../sim/acl/ascendcl.cpp")),
    ("acl/fault.h", include_str!("../sim/acl/fault.h")),
    ("acl/include/acl/acl.h", include_str!("../sim/acl/include/acl/acl.h")),
    ("acl/rtc.cpp", include_str!("../sim/acl/rtc.cpp")),
    ("include/kernel_operator.h", include_str!("../sim/include/kernel_operator.h")),
    ("include/sim/chip.h", include_str!("../sim/include/sim/chip.h")),
    ("include/sim/clocks.h", include_str!("../sim/include/sim/clocks.h")),
    ("include/sim/copy.h", include_str!("../sim/include/sim/copy.h")),
    ("include/sim/cube.h", include_str!("../sim/include/sim/cube.h")),
    ("include/sim/machine.h", include_str!("../sim/include/sim/machine.h")),
    ("include/sim/memory.h", include_str!("../sim/include/sim/memory.h")),
    ("include/sim/queue.h", include_str!("../sim/include/sim/queue.h")),
    ("include/sim/report.h", include_str!("../sim/include/sim/report.h")),
    ("include/sim/sync.h", include_str!("../sim/include/sim/sync.h")),
    ("include/sim/tensor.h", include_str!("../sim/include/sim/tensor.h")),
    ("include/sim/types.h", include_str!("../sim/include/sim/types.h")),
    ("include/sim/vector.h", include_str!("../sim/include/sim/vector.h")),
    ("include/sim/vector_impl.h", include_str!("../sim/include/sim/vector_impl.h")),
    ("src/chip.cpp", include_str!("../sim/src/chip.cpp")),
    ("src/clocks.cpp", include_str!("../sim/src/clocks.cpp")),
    ("src/copy.cpp", include_str!("../sim/src/copy.cpp")),
    ("src/cube.cpp", include_str!("../sim/src/cube.cpp")),
    ("src/machine.cpp", include_str!("../sim/src/machine.cpp")),
    ("src/memory.cpp", include_str!("../sim/src/memory.cpp")),
    ("src/queue.cpp", include_str!("../sim/src/queue.cpp")),
    ("src/report.cpp", include_str!("../sim/src/report.cpp")),
    ("src/types.cpp", include_str!("../sim/src/types.cpp")),
    ("src/vector.cpp", include_str!("../sim/src/vector.cpp")),
];

/// Why the simulator could not be set up.
#[derive(Debug, Error)]
pub enum InstallError {
    /// A file.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// No C++ compiler.
    #[error("the simulator needs a C++ compiler: `{program}` cannot be run ({source}); set CXX")]
    Compiler {
        /// What was tried.
        program: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It does not compile.
    #[error("{program} cannot build the simulator:\n{said}")]
    Build {
        /// The compiler.
        program: String,
        /// Its messages.
        said: String,
    },
}

/// The root for a chip in the folder `cache`, built where it is not there yet. Another version of the sources has another root.
///
/// # Errors
/// Files that cannot be written, a compiler that is missing or fails.
pub fn root(cache: &Path, npu: &Npu) -> Result<PathBuf, InstallError> {
    let chip = chip_text(npu);
    let hash = FILES.iter().flat_map(|(n, t)| [*n, *t]).chain([chip.as_str()]).fold(0xcbf2_9ce4_8422_2325, fnv);
    let root = cache.join(format!("sim-{}-{hash:016x}", npu.name));
    if root.join("lib64/libacl_rtc.so").is_file() {
        return Ok(root);
    }
    // Built beside its place and moved there whole: two processes may build at once, and a broken build leaves nothing.
    let partial = cache.join(format!("sim-{}-{hash:016x}.{}", npu.name, std::process::id()));
    let built = build(&partial, &chip);
    let moved = built.and_then(|()| match std::fs::rename(&partial, &root) {
        Err(_) if root.is_dir() => Ok(()),
        done => done.map_err(|source| InstallError::Io { path: root.clone(), source }),
    });
    // Gone where it was moved; else of no use.
    let _ = std::fs::remove_dir_all(&partial);
    moved.map(|()| root)
}

/// FNV-1a.
fn fnv(hash: u64, text: &str) -> u64 {
    text.bytes().fold(hash, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

fn write(path: &Path, text: &str) -> Result<(), InstallError> {
    let folder = path.parent().unwrap_or(path);
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(path, text));
    written.map_err(|source| InstallError::Io { path: path.into(), source })
}

fn build(root: &Path, chip: &str) -> Result<(), InstallError> {
    for (name, text) in FILES {
        write(&root.join(name.strip_prefix("acl/include/").map_or(name.to_string(), |n| format!("include/{n}"))), text)?;
    }
    write(&root.join("chip.txt"), chip)?;
    // One file of includes compiles faster than a dozen that each read the headers.
    let simulator: String =
        FILES.iter().filter(|(n, _)| n.starts_with("src/")).map(|(n, _)| format!("#include \"{n}\"\n")).collect();
    write(&root.join("all.cpp"), &simulator)?;
    write(&root.join("lib64/README"), "libascendcl and libacl_rtc over Beiming's simulator; not Huawei's.\n")?;
    library(root, "libascendcl.so", &["all.cpp", "acl/ascendcl.cpp"])?;
    library(root, "libacl_rtc.so", &["acl/rtc.cpp"])?;
    // Read once in compiled form instead of with every kernel; the options are those that kernels are compiled with.
    let header = ["-x", "c++-header", "include/kernel_operator.h", "-o", "include/kernel_operator.h.gch", "-w"];
    compile(root, &[&["-O1", "-fPIC", "-Iinclude"], &header[..]].concat())
}

fn library(root: &Path, name: &str, sources: &[&str]) -> Result<(), InstallError> {
    let (soname, to) = (format!("-Wl,-soname,{name}"), format!("lib64/{name}"));
    let mut args = vec!["-O1", "-fPIC", "-shared", "-Iinclude", &soname];
    args.extend(sources);
    args.extend(["-o", &to, "-ldl"]);
    compile(root, &args)
}

fn compile(root: &Path, args: &[&str]) -> Result<(), InstallError> {
    let program = std::env::var("CXX").unwrap_or_else(|_| "g++".into());
    let done = Command::new(&program).arg("-std=c++17").args(args).current_dir(root).output();
    let done = done.map_err(|source| InstallError::Compiler { program: program.clone(), source })?;
    if done.status.success() {
        return Ok(());
    }
    Err(InstallError::Build { program, said: String::from_utf8_lossy(&done.stderr).into_owned() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// No file of the folder is forgotten in the list.
    #[test]
    fn every_source_travels() {
        let sim = Path::new(env!("CARGO_MANIFEST_DIR")).join("sim");
        let mut found = vec![];
        for folder in ["include", "include/sim", "src", "acl", "acl/include/acl"] {
            for e in std::fs::read_dir(sim.join(folder)).unwrap().map(|e| e.unwrap()) {
                if e.path().is_file() {
                    found.push(format!("{folder}/{}", e.file_name().to_string_lossy()));
                }
            }
        }
        found.sort();
        let mut listed: Vec<&str> = FILES.iter().map(|f| f.0).collect();
        listed.sort_unstable();
        assert_eq!(found, listed);
    }
}
