//! `beiming run`: an artifact on arrays from a file.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use beiming_runtime::{Module, Options, Session, TensorView};

use super::npz;

#[derive(clap::Args)]
pub struct Args {
    /// The artifact.
    artifact: PathBuf,
    /// Inputs by the model's names, in a .npz.
    #[arg(long)]
    inputs: PathBuf,
    /// Where the outputs go, a .npz.
    #[arg(long)]
    outputs: Option<PathBuf>,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

pub fn run(args: &Args) -> Result<()> {
    let module = Arc::new(Module::open(&args.artifact)?);
    let options = Options { threads: args.threads, poison: true, ..Options::default() };
    let mut session = Session::new(&module, options)?;
    let arrays = npz::read(&args.inputs)?;
    let views: Vec<(&str, TensorView<'_>)> = arrays.iter().map(|a| (a.name.as_str(), a.view())).collect();
    let outputs = session.run(&views)?;
    let named: Vec<(&str, &beiming_runtime::Tensor)> = module.outputs().iter().map(|p| p.name.as_str()).zip(&outputs).collect();
    match &args.outputs {
        Some(path) => npz::write(path, &named).context("cannot write the outputs")?,
        None => named.iter().for_each(|(n, t)| println!("{n}: {} {:?}", t.dtype(), t.shape())),
    }
    Ok(())
}
