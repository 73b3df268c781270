//! `beiming run`: an artifact on arrays from a file, or on random ones.

use std::path::PathBuf;

use beiming_runtime::{Options, TensorView};
use serde_json::json;

use super::failure::{Exit, Failure, Result};
use super::{device, feed, npz, output, session};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The artifact.
    artifact: PathBuf,
    #[command(flatten)]
    feed: feed::Args,
    #[command(flatten)]
    shapes: feed::ShapeArgs,
    /// Where the outputs go: a .npz by the model's names. Without it a summary of each is printed.
    #[arg(long, value_name = "FILE")]
    outputs: Option<PathBuf>,
    /// Where the inputs go too, a .npz: to keep random ones.
    #[arg(long, value_name = "FILE")]
    save_inputs: Option<PathBuf>,
    #[command(flatten)]
    device: device::Args,
    /// Threads; 0 takes every core.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Exit> {
    let module = session::open(&args.artifact)?;
    // Memory that the model does not write is NaN, not what happened to be there.
    let options = Options { threads: args.threads, poison: true, ..Options::default() };
    let mut s = args.device.start(&args.artifact, &module, options)?;
    let arrays = feed::arrays(&args.feed, &args.shapes, &feed::ports(&module), &module.manifest().symbols)?;
    let views = session::views(&arrays);
    if let Some(path) = &args.save_inputs {
        npz::write(path, &views)?;
    }
    #[cfg(feature = "compile")]
    let started = std::time::Instant::now();
    let outputs = s.run(&views).map_err(|e| Failure::runtime(&args.artifact, &e))?;
    #[cfg(feature = "compile")]
    let seconds = started.elapsed().as_secs_f64();
    let names = module.outputs().iter().map(|p| p.name.as_str());
    let named: Vec<(&str, TensorView<'_>)> = names.zip(outputs.iter().map(|t| t.view())).collect();
    if let Some(path) = &args.outputs {
        npz::write(path, &named)?;
    }
    if args.json {
        let list: Vec<_> = named.iter().map(|(n, t)| summary(n, t)).collect::<Result<_>>()?;
        #[cfg_attr(not(feature = "compile"), expect(unused_mut))]
        let mut document = json!({ "outputs": list });
        #[cfg(feature = "compile")]
        if let Some(kernels) = simulated(args, &module)? {
            document["simulator"] = json!({ "kernels": kernels, "seconds": seconds });
        }
        return output::print_json(&document).map(|()| Exit::Ok);
    }
    if args.outputs.is_none() {
        for (n, t) in &named {
            let s = summary(n, t)?;
            let first: Vec<String> = s["first"].as_array().into_iter().flatten().map(ToString::to_string).collect();
            let stats = format!("min {} max {} mean {}, {} NaN", s["min"], s["max"], s["mean"], s["nan"]);
            output::print(&format!("{n}: {}{:?}\n  {stats}\n  [{}, ..]\n", t.dtype, t.shape, first.join(", ")))?;
        }
    }
    #[cfg(feature = "compile")]
    if let Some(kernels) = simulated(args, &module)? {
        output::print(&super::simulated::text(&kernels, seconds))?;
    }
    Ok(Exit::Ok)
}

/// What the simulator says of its kernels, if it was the device.
#[cfg(feature = "compile")]
fn simulated(
    args: &Args,
    module: &beiming_runtime::Module,
) -> Result<Option<std::collections::BTreeMap<String, super::simulated::Kernel>>> {
    let root = args.device.simulator(module)?;
    Ok(root.and_then(|r| super::simulated::report(&r)).map(|r| super::simulated::kernels(&r, &args.artifact)))
}

/// What an output holds, in a few numbers.
fn summary(name: &str, t: &TensorView<'_>) -> Result<serde_json::Value> {
    let dtype = feed::ir_type(t.dtype)?;
    let values: Vec<f64> = t.data.chunks_exact(t.dtype.size()).map(|b| beiming_ir::num::decode(dtype, b).to_f64()).collect();
    let numbers = values.iter().copied().filter(|v| !v.is_nan());
    let (count, sum) = numbers.clone().fold((0usize, 0.0), |(n, s), v| (n + 1, s + v));
    Ok(json!({
        "name": name,
        "dtype": t.dtype.name(),
        "shape": t.shape,
        "min": numbers.clone().reduce(f64::min),
        "max": numbers.reduce(f64::max),
        "mean": (count > 0).then(|| sum / count as f64),
        "nan": values.len() - count,
        "first": &values[..values.len().min(6)],
    }))
}
