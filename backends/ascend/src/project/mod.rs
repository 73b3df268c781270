//! The emitted project: a model as Ascend C and host code that people read, change and build where CANN is installed.
//!
//! ```text
//! kernels/NAME.cpp     one kernel a file
//! host/model.h         C interface: open, run, close
//! host/model.cpp       the plan, step by step
//! host/device.h, device_acl.cpp, device_cpu.cpp    the device behind it: AscendCL, or CANN's CPU mode
//! host/main.cpp        inputs from files, outputs to files
//! weights.bin, cpu_kernels.so, CMakeLists.txt, README.md, manifest.json
//! ```
//!
//! Only generated identifiers are used; names of the model stand in comments, with everything but plain letters escaped. The same
//! program gives the same bytes.

mod build;
mod host;
mod readme;

use beiming_ir::kernel::{Kernel, Unit};
use beiming_ir::plan::{Program, Side, Step};
use beiming_ir::target::npu::{Generation, Npu};

use crate::emit::{self, EmitError};

/// Host code as it stands, the same for every model.
const FIXED: [(&str, &str); 4] = [
    ("host/model.h", include_str!("text/model.h")),
    ("host/device.h", include_str!("text/device.h")),
    ("host/device_acl.cpp", include_str!("text/device_acl.cpp")),
    ("host/main.cpp", include_str!("text/main.cpp")),
];

/// A file of the project.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Path within the project, `/` between folders.
    pub path: String,
    /// Contents.
    pub bytes: Vec<u8>,
}

/// What a project is made of.
pub struct Project<'a> {
    /// The model's name.
    pub model: &'a str,
    /// Kernels and plan, with the copies between the sides.
    pub program: &'a Program,
    /// The chip.
    pub npu: &'a Npu,
    /// Library of the CPU's kernels, if there are any.
    pub cpu_kernels: Option<&'a [u8]>,
    /// What runs on the CPU and why, one line each.
    pub on_host: &'a [String],
}

/// The architecture as CANN's compilers spell it.
pub fn arch(npu: &Npu) -> &'static str {
    match npu.core.generation {
        Generation::V2002 => "dav-2002",
        Generation::V2201 => "dav-2201",
        Generation::V3510 => "dav-3510",
    }
}

/// Cores that a kernel's grid points are dealt out to, at most.
pub fn cores(k: &Kernel, npu: &Npu) -> u32 {
    match k.npu.as_ref().map(|n| n.unit) {
        Some(Unit::Cube | Unit::Mix) => npu.cube_cores,
        _ => npu.vector_cores,
    }
}

/// All files, in order of their paths.
///
/// # Errors
/// Kernels that cannot be spelled: a fault of ours.
pub fn files(p: &Project<'_>) -> Result<Vec<File>, EmitError> {
    let mut out: Vec<File> = vec![];
    let mut add = |path: &str, bytes: Vec<u8>| out.push(File { path: path.into(), bytes });
    for k in p.program.kernels.iter().filter(|k| k.side() == Side::Device) {
        add(&format!("kernels/{}.cpp", k.name), emit::kernel(k, p.npu)?.into_bytes());
    }
    let plan = host::Plan::new(p);
    if let Ok(plan) = &plan {
        FIXED.iter().for_each(|(path, text)| add(path, text.as_bytes().to_vec()));
        add("host/model.cpp", plan.model().0.into_bytes());
        add("host/device_cpu.cpp", plan.device_cpu().into_bytes());
        add("weights.bin", plan.weights());
        if let Some(library) = p.cpu_kernels {
            add("cpu_kernels.so", library.to_vec());
        }
    }
    let why_no_host = plan.as_ref().err().map_or(&[][..], Vec::as_slice);
    add("CMakeLists.txt", build::cmake(p, plan.is_ok()).into_bytes());
    add("README.md", readme::text(p, why_no_host).into_bytes());
    add("manifest.json", readme::manifest(p, plan.as_ref().ok()).into_bytes());
    out.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(out)
}

/// What a project's host code says, to be shown.
pub struct Host {
    /// Paths and texts: the code and what builds it.
    pub files: Vec<(String, String)>,
    /// For each step of the plan its lines of `host/model.cpp`: the first (from 1) and the one behind the last.
    pub steps: Vec<[u32; 2]>,
}

/// The host code without the weights and libraries beside it.
///
/// # Errors
/// Every reason why this plan is not spelled but run by the runtime, one a line.
pub fn host(p: &Project<'_>) -> Result<Host, Vec<String>> {
    let plan = host::Plan::new(p)?;
    let (model, steps) = plan.model();
    let mut files = vec![("host/model.cpp".to_string(), model), ("host/device_cpu.cpp".to_string(), plan.device_cpu())];
    files.extend(FIXED.map(|(path, text)| (path.to_string(), text.to_string())));
    files.push(("CMakeLists.txt".to_string(), build::cmake(p, true)));
    Ok(Host { files, steps })
}

/// Text of the model's in a comment: letters, digits and harmless marks as they are, every other byte as `%XX`, so that no name ends
/// a line, joins two or closes a comment.
pub(crate) fn comment(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b" _.,:+-()[]=<>/".contains(&b);
    let mut out = String::new();
    for b in text.bytes() {
        if plain(b) { out.push(b as char) } else { out += &format!("%{b:02X}") }
    }
    // `/` is harmless in a line comment, a pair that opens or closes a block comment needs `*`, which is escaped.
    out
}

/// Every launch of a device's kernel, in order, nested ones too.
pub(crate) fn device_launches(steps: &[Step], program: &Program) -> usize {
    steps
        .iter()
        .map(|s| match s {
            Step::Launch(l) => usize::from(program.kernels[l.kernel as usize].side() == Side::Device),
            Step::If { then, otherwise, .. } => device_launches(then, program) + device_launches(otherwise, program),
            Step::Loop { body, .. } => device_launches(body, program),
            _ => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_comment() {
        for (name, want) in [
            ("encoder/layer.0", "encoder/layer.0"),
            ("a\nint x;", "a%0Aint x%3B"),
            ("end\\", "end%5C"),
            ("*/ x /*", "%2A/ x /%2A"),
            ("??/", "%3F%3F/"),
            ("鲲", "%E9%B2%B2"),
        ] {
            assert_eq!(comment(name), want);
        }
    }
}
