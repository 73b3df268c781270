//! The command line: one file a subcommand.

mod bench;
mod compile;
mod npz;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Compiles machine-learning models for Kunpeng and x86-64, and runs them.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compile a model into an artifact.
    Compile(compile::Args),
    /// Run an artifact.
    Run(run::Args),
    /// Time an artifact.
    Bench(bench::Args),
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Compile(a) => compile::run(&a),
        Command::Run(a) => run::run(&a),
        Command::Bench(a) => bench::run(&a),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
