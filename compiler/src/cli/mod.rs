//! The command line: one file a subcommand. A command gives an exit code or a `Failure`, which is diagnostics and an exit code;
//! nothing else ends the process.
//!
//! `model`, `feed` and `session` are what commands share about models, inputs and artifacts; `diagnostic`, `failure` and
//! `output` are how they speak.

mod bench;
mod completions;
mod count;
mod device;
pub mod diagnostic;
mod doctor;
mod doctor_probe;
pub(crate) mod emulate;
pub mod failure;
mod feed;
mod inspect;
pub(crate) mod npz;
mod output;
mod peak;
mod run;
mod session;
mod targets;
pub(crate) mod temp;

#[cfg(feature = "compile")]
mod checking;
#[cfg(feature = "compile")]
mod compare;
#[cfg(feature = "compile")]
mod compare_layers;
#[cfg(feature = "compile")]
mod compile;
#[cfg(feature = "compile")]
pub mod debug;
#[cfg(feature = "compile")]
mod explain;
#[cfg(feature = "compile")]
mod explain_npu;
#[cfg(feature = "compile")]
mod failure_compile;
#[cfg(feature = "compile")]
mod inspect_html;
#[cfg(feature = "compile")]
mod inspect_model;
#[cfg(feature = "compile")]
mod model;
#[cfg(feature = "compile")]
mod progress;
#[cfg(feature = "compile")]
mod simulated;
#[cfg(feature = "compile")]
mod tiles;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::{ColorChoice, Parser, Subcommand};

use diagnostic::Diagnostic;
use failure::{EXIT_CODES, Exit, Result};

/// Compiles machine-learning models for Kunpeng and x86-64, and runs them.
#[derive(Parser, Debug)]
#[command(name = "beiming", version, after_help = EXIT_CODES)]
struct Cli {
    /// When to write in colour.
    #[arg(long, global = true, default_value = "auto", value_name = "WHEN")]
    color: ColorChoice,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Compile a model into an artifact, or into any stage on the way.
    #[cfg(feature = "compile")]
    Compile(compile::Args),
    /// Run an artifact.
    Run(run::Args),
    /// Time an artifact, or count its instructions.
    Bench(bench::Args),
    /// Show what an artifact, a model or a stage holds.
    Inspect(inspect::Args),
    /// Hold a model's or an artifact's results against onnxruntime's or the evaluator's.
    #[cfg(feature = "compile")]
    Compare(compare::Args),
    /// Find the op that is wrong, or a small model that shows it.
    #[cfg(feature = "compile")]
    #[command(subcommand)]
    Debug(debug::Debug),
    /// List what can be compiled for.
    Targets(targets::Args),
    /// Say what was fused and what was not, and why.
    #[cfg(feature = "compile")]
    Explain(explain::Args),
    /// Say what there is of NPUs, driver and CANN, and what fits together.
    Doctor(doctor::Args),
    /// Print a shell's completion script.
    Completions(completions::Args),
}

impl Command {
    /// Whether results, and with them errors, are JSON.
    fn json(&self) -> bool {
        match self {
            Command::Run(a) => a.json,
            Command::Bench(a) => a.json,
            Command::Inspect(a) => a.json,
            Command::Targets(a) => a.json,
            Command::Doctor(a) => a.json,
            Command::Completions(_) => false,
            #[cfg(feature = "compile")]
            Command::Compile(a) => a.json,
            #[cfg(feature = "compile")]
            Command::Compare(a) => a.json,
            #[cfg(feature = "compile")]
            Command::Debug(a) => a.json(),
            #[cfg(feature = "compile")]
            Command::Explain(a) => a.json,
        }
    }

    fn run(&self) -> Result<Exit> {
        match self {
            Command::Run(a) => run::run(a),
            Command::Bench(a) => bench::run(a),
            Command::Inspect(a) => inspect::run(a),
            Command::Targets(a) => targets::run(a),
            Command::Doctor(a) => doctor::run(a),
            Command::Completions(a) => completions::run(a),
            #[cfg(feature = "compile")]
            Command::Compile(a) => compile::run(a),
            #[cfg(feature = "compile")]
            Command::Compare(a) => compare::run(a),
            #[cfg(feature = "compile")]
            Command::Debug(a) => debug::run(a),
            #[cfg(feature = "compile")]
            Command::Explain(a) => explain::run(a),
        }
    }
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.color {
        ColorChoice::Auto => {}
        ColorChoice::Always => anstream::ColorChoice::Always.write_global(),
        ColorChoice::Never => anstream::ColorChoice::Never.write_global(),
    }
    let json = cli.command.json();
    // A panic is a bug: it is told as one, and only here.
    std::panic::set_hook(Box::new(move |info| {
        let d = Diagnostic::error("E9000", format!("internal error: {info}"));
        output::report(&d.note("this is a bug in beiming; please report it with the command and the model"), json);
    }));
    let exit = match catch_unwind(AssertUnwindSafe(|| cli.command.run())) {
        Ok(Ok(exit)) => exit,
        Ok(Err(failure)) => {
            failure.diagnostics.iter().for_each(|d| output::report(d, json));
            failure.exit
        }
        Err(_) => Exit::Internal,
    };
    ExitCode::from(exit as u8)
}
