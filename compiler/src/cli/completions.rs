//! `beiming completions`: the shell's completion script.

use clap::CommandFactory;
use clap_complete::Shell;

use super::failure::{Exit, Result};
use super::{Cli, output};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The shell.
    shell: Shell,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Exit> {
    let mut script = vec![];
    clap_complete::generate(args.shell, &mut Cli::command(), "beiming", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
