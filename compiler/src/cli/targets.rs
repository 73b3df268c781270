//! `beiming targets`: what can be compiled for.

use beiming_ir::target::{CPU_TARGETS, Target};
use serde_json::json;

use super::failure::{Exit, Result};
use super::{emulate, output};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// How an artifact for a target runs on this machine.
pub(super) fn runs_here(t: &Target) -> &'static str {
    let arch = t.triple.split('-').next().unwrap_or_default();
    if arch == std::env::consts::ARCH {
        let host = Target::host();
        // The levels of x86-64 and the Arm CPUs are ordered by what they need.
        let has = t.name == "host" || t.cpu == host.cpu || t.vector_bytes <= host.vector_bytes && t.cpu != "tsv110";
        return if has { "yes" } else { "depends" };
    }
    if emulate::is_foreign(&t.triple) { "qemu" } else { "no" }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Exit> {
    let targets: Vec<Target> = CPU_TARGETS.into_iter().filter_map(Target::by_name).collect();
    if args.json {
        let describe = |t: &Target| json!({ "target": t, "peak_gflops": t.peak_flops() / 1e9, "runs_here": runs_here(t) });
        output::print_json(&targets.iter().map(describe).collect::<Vec<_>>())?;
        return Ok(Exit::Ok);
    }
    let row = |t: &Target| {
        vec![
            t.name.clone(),
            t.triple.split('-').next().unwrap_or_default().to_string(),
            t.cpu.clone(),
            (t.vector_bytes * 8).to_string(),
            t.cores.to_string(),
            format!("{:.1}", t.clock_ghz),
            format!("{:.0}", t.peak_flops() / 1e9),
            (t.memory("L1") >> 10).to_string(),
            (t.memory("L2") >> 10).to_string(),
            runs_here(t).to_string(),
        ]
    };
    let head = ["target", "arch", "cpu", "vector bits", "cores", "GHz", "GFLOP/s a core", "L1 KiB", "L2 KiB", "runs here"];
    output::print(&output::table(&head, &targets.iter().map(row).collect::<Vec<_>>()))?;
    Ok(Exit::Ok)
}
