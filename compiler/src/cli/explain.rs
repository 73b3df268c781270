//! `beiming explain`: what was fused into which kernel, its tile and predicted time; what was not fused, and why.

use std::path::Path;

use beiming_runtime::format::container::Artifact;

use super::diagnostic::Diagnostic;
use super::failure::{Exit, Failure, Result};
use super::{explain_npu, model, output, tiles};
use crate::driver::{CompileError, Next, Product, Watch};
use crate::explanation::Explanation;
use crate::stage::{Kind, kind};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    model: model::Args,
    #[command(flatten)]
    tiles: tiles::Args,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command. An artifact holds its explanation; for a model the decisions are made, and no code.
pub fn run(args: &Args) -> Result<Exit> {
    let path = &args.model.model;
    let e = match kind(path).map_err(|e| Failure::io("read", path, &e))? {
        Kind::Artifact if !args.tiles.is_empty() => {
            return Err(Failure::usage("`--tile` comes too late: an artifact is compiled already").help("give its model"));
        }
        Kind::Artifact => of_artifact(path)?,
        _ => {
            let mut keep = Keep(None);
            let mut model = args.model.open()?;
            args.tiles.apply(&mut model)?;
            model.compile(Path::new(""), &mut keep)?;
            keep.0.unwrap_or_default()
        }
    };
    if args.json {
        output::print_json(&e)?
    } else {
        output::print(&text(&e))?
    }
    Ok(Exit::Ok)
}

fn of_artifact(path: &Path) -> Result<Explanation> {
    let fail = |e| Failure::runtime(path, &e);
    let artifact = Artifact::open(path).map_err(fail)?;
    let report = artifact.required("report").map_err(fail)?;
    serde_json::from_slice(report).map_err(|e| {
        let d = Diagnostic::error("E0705", format!("the artifact's report cannot be read: {e}")).in_file(path);
        Failure::new(Exit::BadModel, d.help("it was written by another version; compile the model again"))
    })
}

/// Keeps the decisions and stops before code is made.
struct Keep(Option<Explanation>);

impl Watch for Keep {
    fn product(&mut self, product: Product<'_>) -> std::result::Result<Next, CompileError> {
        if let Product::Program(_, e) = product {
            self.0 = Some(e.clone());
            return Ok(Next::Stop);
        }
        Ok(Next::Continue)
    }
}

fn text(e: &Explanation) -> String {
    let o = &e.optimizer;
    let kernels = e.groups.iter().filter(|g| !g.kernels.is_empty()).count();
    let total: f64 = e.groups.iter().map(|g| g.predicted_us).sum();
    let mut out = format!(
        "{} nodes, after rewriting and fusion {}; {kernels} become kernels for {}, predicted {}\n",
        o.nodes_before,
        o.nodes_after,
        e.target,
        micros(total),
    );
    for s in &o.saturations {
        let growth: Vec<String> = s.growth.iter().map(usize::to_string).collect();
        let (before, after) = s.predicted_us;
        out += &format!(
            "\n{} `{}`: {}, e-nodes {}; predicted {} -> {}\n",
            s.stage,
            s.graph,
            s.stop,
            growth.join(" -> "),
            micros(before),
            micros(after)
        );
        for r in &s.rules {
            let refused = if r.refused > 0 { format!(", {} refused", r.refused) } else { String::new() };
            out += &format!("  {:<32} {:<12} {} hits{refused}\n", r.name, r.promise, r.hits);
        }
    }
    let row = |g: &&crate::explanation::Group| {
        vec![
            format!("{:.1}", g.predicted_us),
            g.bound.clone(),
            format!("{:.1}", g.flops / 1e6),
            format!("{:.1}", g.bytes / 1024.0),
            g.ops.join(" "),
            g.nodes.clone(),
            g.kernels.join(" "),
        ]
    };
    if !e.npu.is_empty() || !e.on_host.is_empty() {
        out += &explain_npu::text(e);
    }
    // Aliases cost nothing and become nothing.
    let rows: Vec<Vec<String>> =
        e.groups.iter().filter(|g| !g.kernels.is_empty() || g.predicted_us > 0.0).map(|g| row(&g)).collect();
    out += "\nkernels, in order (predicted us, what bounds it, MFLOP, KiB moved, fused ops, nodes, kernel with its tile)\n";
    out += &output::table(&["us", "bound", "MFLOP", "KiB", "ops", "nodes", "kernel"], &rows);
    if o.unfused.is_empty() {
        out += "\nno two neighbouring kernels could have been one\n";
    } else {
        out += "\nnot fused\n";
        o.unfused.iter().for_each(|u| out += &format!("  {} -> {}: {}\n", u.producer, u.consumer, u.why));
    }
    if !e.untiled.is_empty() {
        out += "\nnot tiled: plain loops, one load at a time\n";
        e.untiled.iter().for_each(|u| out += &format!("  {} at {}: {}\n", u.op, u.nodes, u.why));
    }
    let share = e.arena.bytes as f64 * 100.0 / e.arena.without_reuse.max(1) as f64;
    out += &format!(
        "\narena {}, {share:.0} % of the {} its buffers sum up to\n",
        output::bytes(e.arena.bytes),
        output::bytes(e.arena.without_reuse)
    );
    out
}

fn micros(us: f64) -> String {
    if us >= 1e3 { format!("{:.2} ms", us / 1e3) } else { format!("{us:.1} us") }
}
