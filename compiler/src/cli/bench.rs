//! `beiming bench`: times an artifact.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use beiming_runtime::{Module, Options, Session, Tensor, TensorView};

use super::npz;

#[derive(clap::Args)]
pub struct Args {
    /// The artifact.
    artifact: PathBuf,
    /// Inputs by the model's names, in a .npz.
    #[arg(long)]
    inputs: PathBuf,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Seconds to measure.
    #[arg(long, default_value_t = 2.0)]
    duration: f64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Print the time of every step.
    #[arg(long)]
    profile: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let module = Arc::new(Module::open(&args.artifact)?);
    let mut session = Session::new(&module, Options { threads: args.threads, profile: args.profile, ..Options::default() })?;
    let arrays = npz::read(&args.inputs)?;
    let views: Vec<(&str, TensorView<'_>)> = arrays.iter().map(|a| (a.name.as_str(), a.view())).collect();
    let mut outputs: Vec<Tensor> = module.outputs().iter().map(|_| Tensor::new()).collect();
    session.run_into(&views, &mut outputs)?;
    session.reset_profile();
    let mut times = vec![];
    let end = Instant::now() + Duration::from_secs_f64(args.duration);
    while Instant::now() < end || times.len() < 3 {
        let t = Instant::now();
        session.run_into(&views, &mut outputs)?;
        times.push(t.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let at = |q: f64| times[((times.len() - 1) as f64 * q).round() as usize];
    if args.json {
        println!("{}", serde_json::json!({"median_ms": at(0.5), "p90_ms": at(0.9), "min_ms": at(0.0), "runs": times.len()}));
    } else {
        println!("median {:.3} ms, p90 {:.3} ms, least {:.3} ms, {} runs", at(0.5), at(0.9), at(0.0), times.len());
    }
    if args.profile {
        let runs = times.len() as f64;
        let mut steps: Vec<_> = session.profile().iter().collect();
        steps.sort_by_key(|s| std::cmp::Reverse(s.ns));
        for s in steps.iter().take(40) {
            println!(
                "{:10.1} us {:8.2} GFLOP/s {:8.2} GB/s  {}  [{}]",
                s.ns as f64 / runs / 1e3,
                s.flops as f64 / s.ns as f64,
                s.bytes as f64 / s.ns as f64,
                s.name,
                s.kernel
            );
        }
    }
    Ok(())
}
