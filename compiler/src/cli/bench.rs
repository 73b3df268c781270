//! `beiming bench`: times an artifact; or counts the instructions of one for aarch64 under qemu.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use beiming_runtime::{Module, Options, Session, StepTime, TensorView};
use serde_json::json;

use super::failure::{Exit, Failure, Result};
use super::{count, feed, output, peak, session};

/// Fewest runs that make a median.
const LEAST_RUNS: usize = 3;
/// Most runs that are profiled.
const PROFILED_RUNS: usize = 50;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The artifact.
    pub artifact: PathBuf,
    #[command(flatten)]
    pub feed: feed::Args,
    #[command(flatten)]
    pub shapes: feed::ShapeArgs,
    /// Threads; 0 takes every core.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Seconds to measure.
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS")]
    duration: f64,
    /// Exactly this many runs, instead of a duration; 0 only makes ready.
    #[arg(long, conflicts_with = "duration", value_name = "N")]
    runs: Option<usize>,
    /// Runs before the measurement.
    #[arg(long, default_value_t = 2, value_name = "N")]
    warmup: usize,
    /// Do not measure the machine's peak, so that the process does nothing but run the model.
    #[arg(long)]
    no_peak: bool,
    /// Print the time of every step, the longest first.
    #[arg(long)]
    profile: bool,
    /// Count executed instructions instead of time, under qemu: for artifacts of kunpeng920 and aarch64 on another machine.
    #[arg(long, conflicts_with_all = ["profile", "duration"])]
    count: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Exit> {
    if args.count {
        return count::run(args, args.runs.unwrap_or(10));
    }
    let module = session::open(&args.artifact)?;
    let arrays = feed::arrays(&args.feed, &args.shapes, &feed::ports(&module), &module.manifest().symbols)?;
    let views = session::views(&arrays);
    let times = measure(args, &module, &views)?;
    if times.is_empty() {
        return Ok(Exit::Ok);
    }
    let profile = if args.no_peak && !args.profile { None } else { Some(profile(args, &module, &views, times.len())?) };
    let threads = if args.threads == 0 { std::thread::available_parallelism().map_or(1, |n| n.get()) } else { args.threads };
    let peak = if args.no_peak { None } else { peak::measure(threads).map(|p| p / 1e9) };
    let figures = Figures { times, threads, peak, profile };
    if args.json {
        output::print_json(&figures.json(args.profile))?
    } else {
        output::print(&figures.text(args.profile))?
    }
    Ok(Exit::Ok)
}

/// Sorted times of single runs, in milliseconds.
fn measure(args: &Args, module: &Arc<Module>, views: &[(&str, TensorView<'_>)]) -> Result<Vec<f64>> {
    let fail = |e| Failure::runtime(&args.artifact, &e);
    let mut s = session::start(&args.artifact, module, Options { threads: args.threads, ..Options::default() })?;
    let mut outputs = session::outputs(module);
    for _ in 0..args.warmup {
        s.run_into(views, &mut outputs).map_err(fail)?;
    }
    let mut times = vec![];
    let end = Instant::now() + Duration::try_from_secs_f64(args.duration).unwrap_or(Duration::from_secs(2));
    let more = |n: usize| args.runs.map_or(n < LEAST_RUNS || Instant::now() < end, |runs| n < runs);
    while more(times.len()) {
        let t = Instant::now();
        s.run_into(views, &mut outputs).map_err(fail)?;
        times.push(t.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// Times of steps, summed over runs.
struct Profile {
    steps: Vec<StepTime>,
    runs: usize,
}

/// Profiles in a session of its own, so that reading the clock at every step does not disturb the measurement.
fn profile(args: &Args, module: &Arc<Module>, views: &[(&str, TensorView<'_>)], runs: usize) -> Result<Profile> {
    let options = Options { threads: args.threads, profile: true, ..Options::default() };
    let mut s = session::start(&args.artifact, module, options)?;
    let mut outputs = session::outputs(module);
    let mut run = |s: &mut Session| s.run_into(views, &mut outputs).map_err(|e| Failure::runtime(&args.artifact, &e));
    // Without a table only the counts are wanted, and one run has them.
    let runs = if args.profile { runs.clamp(1, PROFILED_RUNS) } else { 1 };
    if args.profile {
        run(&mut s)?;
        s.reset_profile();
    }
    (0..runs).try_for_each(|_| run(&mut s))?;
    Ok(Profile { steps: s.profile().to_vec(), runs })
}

/// What was measured.
struct Figures {
    /// Milliseconds of single runs, sorted.
    times: Vec<f64>,
    threads: usize,
    /// GFLOP/s of the machine with as many threads.
    peak: Option<f64>,
    profile: Option<Profile>,
}

impl Figures {
    fn quantile(&self, q: f64) -> f64 {
        self.times[((self.times.len() - 1) as f64 * q).round() as usize]
    }

    /// Operations of one run.
    fn flops(&self) -> Option<f64> {
        self.profile.as_ref().map(|p| p.steps.iter().map(|s| s.flops).sum::<u64>() as f64 / p.runs as f64)
    }

    fn gflops(&self) -> Option<f64> {
        self.flops().map(|f| f / self.quantile(0.5) / 1e6)
    }

    fn share(&self) -> Option<f64> {
        Some(self.gflops()? / self.peak?)
    }

    fn json(&self, steps: bool) -> serde_json::Value {
        let mut doc = json!({
            "median_ms": self.quantile(0.5),
            "p90_ms": self.quantile(0.9),
            "min_ms": self.quantile(0.0),
            "runs": self.times.len(),
            "threads": self.threads,
            "flops": self.flops(),
            "gflops": self.gflops(),
            "peak_gflops": self.peak,
            "peak_share": self.share(),
        });
        if let Some(p) = self.profile.as_ref().filter(|_| steps) {
            let n = p.runs as f64;
            let step = |s: &StepTime| {
                json!({
                    "name": s.name,
                    "kernel": s.kernel,
                    "calls": s.calls as f64 / n,
                    "us": s.ns as f64 / n / 1e3,
                    "flops": s.flops as f64 / n,
                    "bytes": s.bytes as f64 / n,
                })
            };
            doc["steps"] = p.steps.iter().map(step).collect();
        }
        doc
    }

    fn text(&self, steps: bool) -> String {
        let (median, p90, least) = (self.quantile(0.5), self.quantile(0.9), self.quantile(0.0));
        let plural = if self.threads == 1 { "" } else { "s" };
        let mut out = format!(
            "median {median:.3} ms, p90 {p90:.3} ms, least {least:.3} ms ({} runs, {} thread{plural})\n",
            self.times.len(),
            self.threads,
        );
        if let (Some(flops), Some(gflops)) = (self.flops(), self.gflops()) {
            out += &format!("{:.3} GFLOP a run: {gflops:.1} GFLOP/s", flops / 1e9);
            if let (Some(peak), Some(share)) = (self.peak, self.share()) {
                out += &format!(", {:.1} % of the {peak:.1} GFLOP/s measured here", share * 100.0);
            }
            out += "\n";
        }
        if let Some(p) = self.profile.as_ref().filter(|_| steps) {
            out += "\n";
            out += &self.table(p);
        }
        out
    }

    fn table(&self, p: &Profile) -> String {
        let mut steps: Vec<&StepTime> = p.steps.iter().filter(|s| s.calls > 0).collect();
        steps.sort_by_key(|s| std::cmp::Reverse(s.ns));
        let total = steps.iter().map(|s| s.ns).sum::<u64>().max(1) as f64;
        let row = |s: &&StepTime| {
            let ns = s.ns.max(1) as f64;
            let rate = |x: u64| if x == 0 { String::new() } else { format!("{:.1}", x as f64 / ns) };
            vec![
                format!("{:.1}", ns / p.runs as f64 / 1e3),
                format!("{:.1}", ns / total * 100.0),
                format!("{}", s.calls as f64 / p.runs as f64),
                rate(s.flops),
                rate(s.bytes),
                if s.kernel.is_empty() { "-".into() } else { s.kernel.clone() },
                s.name.clone(),
            ]
        };
        let rows: Vec<Vec<String>> = steps.iter().map(row).collect();
        output::table(&["us", "%", "calls", "GFLOP/s", "GB/s", "kernel", "nodes"], &rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_add_up() {
        let step = |name: &str, ns, flops| StepTime { name: name.into(), kernel: "k".into(), calls: 4, ns, flops, bytes: 0 };
        let profile = Profile { steps: vec![step("a", 1000, 4_000_000), step("b", 3000, 0)], runs: 2 };
        let f = Figures { times: vec![1.0, 2.0, 3.0, 4.0, 5.0], threads: 1, peak: Some(2.0), profile: Some(profile) };
        let doc = f.json(true);
        assert_eq!(
            (doc["median_ms"].as_f64(), doc["p90_ms"].as_f64(), doc["min_ms"].as_f64()),
            (Some(3.0), Some(5.0), Some(1.0))
        );
        assert_eq!(doc["flops"].as_f64(), Some(2e6));
        let gflops = 2e6 / 3e-3 / 1e9;
        assert!((doc["gflops"].as_f64().unwrap_or(0.0) - gflops).abs() < 1e-9);
        assert!((doc["peak_share"].as_f64().unwrap_or(0.0) - gflops / 2.0).abs() < 1e-9);
        let table = f.text(true);
        let (a, b) = (table.find(" a\n").expect("a"), table.find(" b\n").expect("b"));
        assert!(b < a, "the longest comes first:\n{table}");
    }
}
