//! `beiming compile`.

use std::path::PathBuf;

use anyhow::Context as _;

use beiming_ir::target::Target;

use crate::driver::{Options, compile};

#[derive(clap::Args)]
pub struct Args {
    /// The model.
    model: PathBuf,
    /// What to compile for.
    #[arg(long, default_value = "host")]
    target: String,
    /// Where the artifact goes.
    #[arg(short, long)]
    output: PathBuf,
    /// Shape of an input, `name:1x3x224x224`.
    #[arg(long)]
    shape: Vec<String>,
}

pub fn run(args: &Args) -> Result<(), anyhow::Error> {
    let target = Target::by_name(&args.target).with_context(|| format!("unknown target `{}`", args.target))?;
    let mut options = Options::default();
    for s in &args.shape {
        options.import.add_shape(s).map_err(anyhow::Error::msg)?;
    }
    let summary = compile(&args.model, &target, &options, &args.output)?;
    for (stage, seconds) in &summary.seconds {
        eprintln!("{stage:10} {seconds:8.3} s");
    }
    eprintln!(
        "{} kernels, {} steps, arena {} KiB ({} without reuse), {} bytes",
        summary.kernels,
        summary.launches,
        summary.arena.0 >> 10,
        summary.arena.1 >> 10,
        summary.sizes.file
    );
    Ok(())
}
