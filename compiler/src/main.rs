//! The command line; see `cli`.

fn main() -> std::process::ExitCode {
    beiming::cli::main()
}
