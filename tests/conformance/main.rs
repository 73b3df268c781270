//! Runs the public StableHLO suites and writes what passes, what does not and why: `make conformance CONFORMANCE=folder`.
//!
//! The suites are not part of the repository. The folder holds some of `testdata`, `dynamic` and `quantized` (folders of
//! testdata), `interpret`, `math` and `vhlo_compat`, each with a folder a case, and in that every encoding of one program:
//! `*.mlir` text, `*.mlirbc` artifacts. Every encoding must import to the same graph. The graph is evaluated, then compiled for
//! this machine and run; the program's own checks judge both. Constants of the programs become inputs, so that the compiler does
//! not compute the answers. All that is done twice: as always, and with the program computed as it is written (`--as-written` of the
//! command line), as the reference interpreter does. Programs over open extents check nothing: see [`open`].
//!
//! Options: `--filter TEXT` keeps cases whose name holds the text, `--only-eval` leaves the backend out, `--table FILE` writes
//! the table, `--failures FILE` writes a line for each failure, `--threads N`; `--mutate N` does none of this, see [`mutate`].

mod case;
mod compare;
mod exact;
mod mutate;
mod open;
mod ran;
mod report;
mod unjudged;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use case::{Case, Outcome};

/// What the command line says.
#[derive(Default)]
struct Args {
    folder: PathBuf,
    filter: String,
    only_eval: bool,
    table: Option<PathBuf>,
    failures: Option<PathBuf>,
    threads: usize,
    mutate: Option<usize>,
}

fn args() -> Result<Args, String> {
    let mut a = Args { threads: 2, ..Args::default() };
    let mut it = std::env::args().skip(1);
    while let Some(arg) = it.next() {
        let mut value = || it.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--filter" => a.filter = value()?,
            "--only-eval" => a.only_eval = true,
            "--table" => a.table = Some(value()?.into()),
            "--failures" => a.failures = Some(value()?.into()),
            "--threads" => a.threads = value()?.parse().map_err(|e| format!("--threads: {e}"))?,
            "--mutate" => a.mutate = Some(value()?.parse().map_err(|e| format!("--mutate: {e}"))?),
            other if other.starts_with("--") => return Err(format!("unknown option {other}")),
            folder => a.folder = folder.into(),
        }
    }
    if a.folder.as_os_str().is_empty() {
        return Err("name the folder that holds the suites".into());
    }
    Ok(a)
}

/// The cases of a folder of suites, in order.
fn cases(folder: &Path, filter: &str) -> std::io::Result<Vec<Case>> {
    let mut all = vec![];
    for suite in ["testdata", "dynamic", "quantized", "interpret", "math", "vhlo_compat"] {
        let Ok(entries) = std::fs::read_dir(folder.join(suite)) else { continue };
        let mut names: Vec<PathBuf> = entries.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
        names.sort();
        for path in names {
            let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
            if name.contains(filter) {
                all.extend(Case::find(suite, &name, &path)?);
            }
        }
    }
    Ok(all)
}

fn main() -> ExitCode {
    let args = match args() {
        Ok(a) => a,
        Err(e) => {
            eprintln!("conformance: {e}");
            return ExitCode::from(2);
        }
    };
    let cases = match cases(&args.folder, &args.filter) {
        Ok(c) if !c.is_empty() => c,
        Ok(_) => {
            eprintln!("conformance: {} holds no cases", args.folder.display());
            return ExitCode::from(2);
        }
        Err(e) => {
            eprintln!("conformance: {}: {e}", args.folder.display());
            return ExitCode::from(2);
        }
    };
    if let Some(times) = args.mutate {
        return if mutate::run(&cases, times, args.threads.max(1)) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    // Panics are results of cases; their messages are in the report.
    std::panic::set_hook(Box::new(|_| {}));
    let started = Instant::now();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::<(usize, Outcome)>::new()));
    std::thread::scope(|s| {
        for _ in 0..args.threads.max(1) {
            // Deep regions are walked by recursion.
            let work = || {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(c) = cases.get(i) else { return };
                    let outcome = case::run(c, args.only_eval);
                    if let Ok(mut done) = done.lock() {
                        done.push((i, outcome));
                    }
                }
            };
            if let Err(e) = std::thread::Builder::new().stack_size(64 << 20).spawn_scoped(s, work) {
                eprintln!("conformance: {e}");
            }
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(i, _)| *i);
    let results: Vec<(&Case, Outcome)> = done.into_iter().map(|(i, o)| (&cases[i], o)).collect();
    let table = report::table(&results, args.only_eval);
    print!("{}", report::brief(&results, args.only_eval, started.elapsed()));
    let write = |path: &Option<PathBuf>, text: String| match path {
        Some(p) => std::fs::write(p, text).map_err(|e| format!("{}: {e}", p.display())),
        None => Ok(()),
    };
    for r in [write(&args.table, table), write(&args.failures, report::failures(&results))] {
        if let Err(e) = r {
            eprintln!("conformance: {e}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
