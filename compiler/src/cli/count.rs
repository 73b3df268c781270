//! `beiming bench --count`: executed instructions of an artifact for aarch64, so that code for Kunpeng can be compared on a
//! machine that is none. The runtime built for aarch64 runs it under qemu with a plugin of our own that counts; what starting
//! costs is counted apart and taken away: with the first of several runs, which binds a few addresses more than the others, or
//! without any where a single one is asked for.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use beiming_runtime::format::container::Artifact;

use super::bench::Args;
use super::diagnostic::Diagnostic;
use super::failure::{Exit, Failure, Result};
use super::{emulate, output, temp};

/// The plugin, compiled when it is needed.
const PLUGIN: &str = include_str!("../../qemu/count.c");

/// Counts by kind, as the plugin names them.
type Counts = BTreeMap<String, u64>;

/// Runs the command.
pub fn run(args: &Args, runs: usize) -> Result<Exit> {
    let fail = |e| Failure::runtime(&args.artifact, &e);
    let manifest = Artifact::open(&args.artifact).and_then(|a| a.manifest()).map_err(fail)?;
    if !manifest.target.triple.starts_with("aarch64-") {
        let message = format!("--count runs code for aarch64; this artifact is for `{}`", manifest.target.name);
        return Err(Failure::usage(message).help("compile with `--target kunpeng920`"));
    }
    let folder = temp::Folder::new()?;
    let plugin = build(&folder)?;
    let runs = runs.max(1) as u64;
    let first = u64::from(runs > 1);
    let start = count(args, &plugin, &folder, first)?;
    let all = count(args, &plugin, &folder, runs)?;
    let share = |k: &String, n: u64| n.saturating_sub(start.get(k).copied().unwrap_or(0)) / (runs - first);
    let one = all.iter().map(|(k, n)| (k.clone(), share(k, *n))).collect();
    if args.json {
        output::print_json(&serde_json::json!({ "runs": runs, "target": manifest.target.name, "instructions": one }))?;
    } else {
        output::print(&text(&one, &manifest.target.name))?;
    }
    Ok(Exit::Ok)
}

fn text(one: &Counts, target: &str) -> String {
    let total = one.get("total").copied().unwrap_or(0);
    let share = |n: u64| format!("{:.1}", n as f64 * 100.0 / total.max(1) as f64);
    let mut kinds: Vec<(&String, &u64)> = one.iter().collect();
    kinds.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
    let rows: Vec<Vec<String>> = kinds.iter().map(|(k, n)| vec![k.replace('_', " "), n.to_string(), share(**n)]).collect();
    let mut out = format!("instructions of one inference, {target} under qemu-aarch64\n");
    out += &output::table(&["kind", "executed", "%"], &rows);
    let fma = one.get("vector_fma").copied().unwrap_or(0);
    if fma > 0 {
        out += &format!("{:.3} instructions per vector multiply-add\n", total as f64 / fma as f64);
    }
    out
}

fn build(folder: &temp::Folder) -> Result<std::path::PathBuf> {
    let (source, library) = (folder.file("count.c"), folder.file("count.so"));
    std::fs::write(&source, PLUGIN).map_err(|e| Failure::io("write", &source, &e))?;
    let cc = std::env::var_os("CC").unwrap_or("cc".into());
    let out =
        Command::new(&cc).args(["-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-o"]).arg(&library).arg(&source).output();
    let problem = match out {
        Ok(o) if o.status.success() => return Ok(library),
        Ok(o) => String::from_utf8_lossy(&o.stderr).into_owned(),
        Err(e) => e.to_string(),
    };
    let d = Diagnostic::error("E0905", format!("cannot compile the counting plugin with `{}`", cc.display()));
    Err(Failure::new(Exit::Io, d.note(problem).help("any C compiler will do; CC names it")))
}

/// Instructions of a process that runs the model `runs` times.
fn count(args: &Args, plugin: &Path, folder: &temp::Folder, runs: u64) -> Result<Counts> {
    let file = folder.file("counts");
    let mut plugin_arg = OsString::from(plugin);
    plugin_arg.push(",out=");
    plugin_arg.push(&file);
    let mut c = emulate::command(&["-plugin".into(), plugin_arg])?;
    c.arg("bench").arg(&args.artifact).args(["--warmup", "0", "--no-peak", "--threads", "1", "--runs", &runs.to_string()]);
    if let Some(inputs) = &args.feed.inputs {
        c.arg("--inputs").arg(inputs);
    } else {
        c.args(["--seed", &args.feed.seed.to_string()]);
    }
    for (flag, values) in [("--fill", &args.feed.fill), ("--shape", &args.shapes.shape), ("--dim", &args.shapes.dim)] {
        values.iter().for_each(|v| {
            c.args([flag, v]);
        });
    }
    emulate::stdout(c)?;
    let text = std::fs::read_to_string(&file).map_err(|e| Failure::io("read the counts in", &file, &e))?;
    Ok(text.lines().filter_map(|l| l.split_once(' ')).filter_map(|(k, n)| Some((k.to_string(), n.parse().ok()?))).collect())
}
