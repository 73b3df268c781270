//! Portable artifacts: those of the conformance suites, and small ones of our own.

use std::fs;
use std::path::{Path, PathBuf};

use beiming::import::stablehlo::bytecode;

/// The conformance cases, where `BEIMING_CONFORMANCE` says they are.
fn conformance() -> Option<PathBuf> {
    let root = std::env::var_os("BEIMING_CONFORMANCE").map(|p| PathBuf::from(p).join("stablehlo"));
    if root.is_none() {
        eprintln!("NOT TRIED: set BEIMING_CONFORMANCE to the unpacked conformance cases");
    }
    root
}

/// All files below a folder with an extension, in order.
fn files(root: &Path, extension: &str, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, extension, out);
        } else if path.extension().is_some_and(|e| e == extension) {
            out.push(path);
        }
    }
}

#[test]
fn every_artifact_of_the_suites_reads() {
    let Some(root) = conformance() else { return };
    let mut all = vec![];
    files(&root, "mlirbc", &mut all);
    files(&root, "bc", &mut all);
    let mut failed = vec![];
    for path in &all {
        let invalid = path.to_string_lossy().contains("invalid");
        let read = bytecode::read(fs::read(path).unwrap().into());
        match read {
            Ok(_) if invalid => failed.push(format!("{}: read although it is invalid", path.display())),
            Err(problems) if !invalid => failed.push(format!("{}: {problems:?}", path.display())),
            _ => {}
        }
    }
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), all.len(), failed[..failed.len().min(20)].join("\n"));
    eprintln!("{} artifacts", all.len());
}
