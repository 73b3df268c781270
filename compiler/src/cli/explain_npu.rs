//! The part of `beiming explain` that is about an NPU: its kernels by pipe, what fills its memories, what stays on the host.
//! Everything is predicted from the chip's published numbers; nothing here has run on one.

use super::output;
use crate::explanation::Explanation;
use crate::explanation::npu::NpuKernel;

/// See the module's text.
pub fn text(e: &Explanation) -> String {
    let mut out = String::new();
    let launches: usize = e.npu.iter().map(|k| k.launches).sum();
    let sum = |f: &dyn Fn(&NpuKernel) -> f64| e.npu.iter().map(|k| f(k) * k.launches as f64).fold(0.0, |a, b| a + b);
    let (predicted, roofline, moved) = (sum(&|k| k.predicted_us), sum(&|k| k.roofline_us), sum(&|k| k.moved));
    let ops = sum(&|k| k.ops.len() as f64);
    let unfused: f64 = e.groups.iter().filter(|g| !g.kernels.is_empty()).map(|g| g.unfused_bytes).sum();
    out += &format!(
        "\n{}: {} kernels in {launches} launches, {:.1} ops each; predicted {predicted:.1} us, roofline {roofline:.1} us without launches\n",
        e.target,
        e.npu.len(),
        ops / launches.max(1) as f64
    );
    out += &format!(
        "global memory: {} moved, {} if every op were a kernel of its own\n",
        output::bytes(moved as u64),
        output::bytes(unfused as u64)
    );
    let rows: Vec<Vec<String>> = e.npu.iter().map(row).collect();
    out += "\nNPU kernels (microseconds of a launch, its bound, the roofline, cycles of the busiest core's pipes)\n";
    out += &output::table(
        &["us", "bound", "roofline", "points", "cores", "balance", "pipes", "memories", "launches", "ops", "lines", "kernel"],
        &rows,
    );
    if !e.on_host.is_empty() {
        out += "\non the host's CPU\n";
        for o in &e.on_host {
            // What does not fit is a list.
            out += &format!("  {} ({}): {}\n", o.nodes, o.ops.join(" "), o.why.replace('\n', "\n    "));
        }
    }
    out
}

fn row(k: &NpuKernel) -> Vec<String> {
    let kib = |b: u64| b as f64 / 1024.0;
    let memory = |m: &crate::explanation::npu::Memory| format!("{} {:.1}/{:.1} KiB", m.name, kib(m.bytes), kib(m.capacity));
    vec![
        format!("{:.1}", k.predicted_us),
        k.bound.clone(),
        format!("{:.1}", k.roofline_us),
        k.points.to_string(),
        k.cores.to_string(),
        format!("{:.2}", k.balance),
        k.pipes.iter().map(|(p, c)| format!("{p} {c}")).collect::<Vec<_>>().join(", "),
        k.memories.iter().map(memory).collect::<Vec<_>>().join(", "),
        k.launches.to_string(),
        k.ops.len().to_string(),
        k.lines.to_string(),
        k.name.clone(),
    ]
}
