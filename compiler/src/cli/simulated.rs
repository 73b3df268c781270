//! What the simulator says after a run: cycles of each kernel by pipe beside the estimate, findings, and how fast it went.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::path::Path;

use beiming_runtime::format::container::Artifact;
use serde::{Deserialize, Serialize};

use super::output;
use crate::explanation::Explanation;

/// A launch, as the simulator writes it: a line of JSON.
#[derive(Deserialize)]
struct Launch {
    kernel: String,
    blocks: u32,
    cycles: f64,
    /// Cycles that the pipes of the slowest core were busy.
    busy: BTreeMap<String, f64>,
    findings: usize,
}

/// A kernel's launches together.
#[derive(Default, Serialize)]
pub struct Kernel {
    launches: usize,
    /// Cores of the last launch.
    blocks: u32,
    /// Of the slowest core, summed over launches.
    cycles: f64,
    busy: BTreeMap<String, f64>,
    /// By the cost model, for as many launches.
    estimated: BTreeMap<String, f64>,
    findings: usize,
}

/// Everything the simulator under `root` has launched in this process; `None` where it cannot be asked.
pub fn report(root: &Path) -> Option<String> {
    // SAFETY: the library is the simulator's and loaded already by the runtime, which never unloads it; it runs nothing when it is
    // opened once more.
    let library = unsafe { libloading::Library::new(root.join("lib64/libascendcl.so")) }.ok()?;
    // SAFETY: the simulator's function of this name takes nothing and gives a string that lives as long as the library.
    let text = unsafe {
        let ask = library.get::<unsafe extern "C" fn() -> *const c_char>(b"beimingSimReport\0").ok()?;
        let text = ask();
        (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
    };
    std::mem::forget(library);
    text
}

/// By kernel, with the estimates that an artifact carries.
pub fn kernels(report: &str, artifact: &Path) -> BTreeMap<String, Kernel> {
    let explained: Explanation = Artifact::open(artifact)
        .ok()
        .and_then(|a| a.section("report").and_then(|r| serde_json::from_slice(r).ok()))
        .unwrap_or_default();
    let mut out: BTreeMap<String, Kernel> = BTreeMap::new();
    for l in report.lines().filter_map(|l| serde_json::from_str::<Launch>(l).ok()) {
        let k = out.entry(l.kernel).or_default();
        k.launches += 1;
        k.blocks = l.blocks;
        k.cycles += l.cycles;
        k.findings += l.findings;
        l.busy.into_iter().filter(|b| b.1 > 0.0).for_each(|(p, c)| *k.busy.entry(p).or_default() += c);
    }
    for (name, k) in &mut out {
        for (pipe, cycles) in explained.npu.iter().filter(|n| n.name == *name).flat_map(|n| &n.pipes) {
            k.estimated.insert(pipe_name(pipe).into(), cycles * k.launches as f64);
        }
    }
    out
}

/// The simulator's name of a pipe of the cost model.
fn pipe_name(pipe: &str) -> &str {
    match pipe {
        "vector" => "V",
        "cube" => "M",
        "fixpipe" => "FIX",
        "scalar" => "S",
        other => other,
    }
}

/// The report as a table; `seconds` is what the run took.
pub fn text(kernels: &BTreeMap<String, Kernel>, seconds: f64) -> String {
    let row = |(name, k): (&String, &Kernel)| {
        let pipe = |(p, c): (&String, &f64)| match k.estimated.get(p) {
            Some(e) => format!("{p} {c:.0}/{e:.0}"),
            None => format!("{p} {c:.0}"),
        };
        vec![
            k.launches.to_string(),
            k.blocks.to_string(),
            format!("{:.0}", k.cycles),
            k.busy.iter().map(pipe).collect::<Vec<_>>().join(", "),
            k.findings.to_string(),
            name.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = kernels.iter().map(row).collect();
    let cycles: f64 = kernels.values().map(|k| k.cycles).sum();
    let findings: usize = kernels.values().map(|k| k.findings).sum();
    format!(
        "\nsimulated, not run on an NPU: cycles of the slowest core, and of its pipes beside the cost model's\n{}{cycles:.0} cycles in {seconds:.2} s, {:.2e} a second; findings: {findings}\n",
        output::table(&["launches", "cores", "cycles", "pipes, simulated/estimated", "findings", "kernel"], &rows),
        cycles / seconds.max(1e-9)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_are_summed() {
        let line = r#"{"kernel":"k","blocks":2,"cycles":10.5,"busy":{"S":0,"MTE2":7.5},"findings":1}"#;
        let all = kernels(&format!("{line}\n{line}\n"), Path::new("/nothing"));
        let shown = text(&all, 2.0);
        assert!(shown.contains("MTE2 15") && shown.contains("21 cycles in 2.00 s") && shown.contains("findings: 2"), "{shown}");
    }
}
