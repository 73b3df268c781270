//! `beiming inspect --html`: one page about an artifact or a model.

use std::path::Path;

use beiming_runtime::StepTime;
use beiming_runtime::format::container::Artifact;

use super::failure::{Exit, Failure, Result};
use super::inspect::Args;
use super::{emulate, feed, output, session, temp};
use crate::debug::page::{Measured, Sources, page};

/// Runs that are measured, after one that is not.
const RUNS: usize = 21;

/// Writes the page.
pub fn run(args: &Args, html: &Path) -> Result<Exit> {
    let folder = temp::Folder::new()?;
    let (file, compiled) = match super::inspect::is_artifact(&args.file)? {
        true => (args.file.clone(), None),
        false => {
            let out = folder.file("model.bmg");
            let mut model = super::inspect_model::model_args(args).open()?;
            model.options.emit.origins = true;
            let mut sources = Sources::default();
            model.compile(&out, &mut sources)?;
            (out, Some(sources))
        }
    };
    let fail = |e| Failure::runtime(&args.file, &e);
    let artifact = Artifact::open(&file).map_err(fail)?;
    let measured = if args.measure { Some(measure(args, &file, &artifact)?) } else { None };
    let debug = |e| super::debug::failure(&args.file, e);
    let sources = match compiled {
        Some(sources) => sources,
        None => Sources::of_artifact(&artifact).map_err(debug)?,
    };
    let text = page(&artifact, &sources, measured.as_ref()).map_err(debug)?;
    std::fs::write(html, &text).map_err(|e| Failure::io("write", html, &e))?;
    output::note(&format!("{}: {}", html.display(), output::bytes(text.len() as u64)));
    Ok(Exit::Ok)
}

/// Time of every step.
fn measure(args: &Args, file: &Path, artifact: &Artifact) -> Result<Measured> {
    let fail = |e| Failure::runtime(file, &e);
    let manifest = artifact.manifest().map_err(fail)?;
    if emulate::is_foreign(&manifest.target.triple) {
        return Err(Failure::usage(format!("code for {} cannot be measured on this machine", manifest.target.name))
            .help("measure where it runs, or leave `--measure` out"));
    }
    let module = session::open(file)?;
    let ports = feed::ports(&module);
    // A model was compiled for the shapes that were said; of an artifact they are those of the inputs.
    let compiled = file == args.file;
    let shapes =
        if compiled { feed::ShapeArgs { shape: args.shape.clone(), dim: args.dim.clone() } } else { feed::ShapeArgs::default() };
    let inputs = feed::arrays(&args.feed, &shapes, &ports, &manifest.symbols)?;
    let views = session::views(&inputs);
    let options = beiming_runtime::Options { threads: args.threads, profile: true, ..Default::default() };
    let mut s = session::start(file, &module, options)?;
    let mut outputs = session::outputs(&module);
    // Of every step the median: one run that was interrupted shall not count.
    let mut all: Vec<Vec<u64>> = vec![];
    for run in 0..=RUNS {
        s.reset_profile();
        s.run_into(&views, &mut outputs).map_err(fail)?;
        if run > 0 {
            all.push(s.profile().iter().map(|t| t.ns).collect());
        }
    }
    let median = |(i, t): (usize, &StepTime)| {
        let mut ns: Vec<u64> = all.iter().map(|run| run[i]).collect();
        ns.sort_unstable();
        StepTime { ns: ns[ns.len() / 2], ..t.clone() }
    };
    let cores = || std::thread::available_parallelism().map_or(1, |n| n.get());
    let threads = if args.threads == 0 { cores() } else { args.threads };
    Ok(Measured { times: s.profile().iter().enumerate().map(median).collect(), threads })
}
