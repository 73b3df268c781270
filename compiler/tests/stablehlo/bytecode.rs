//! Portable artifacts: those of the conformance suites, and small ones of our own.

use std::fs;
use std::path::{Path, PathBuf};

use beiming::import::stablehlo::{bytecode, text};

use crate::canon;
use crate::text::{files, suites};

/// The artifacts of the open suites; `None` where they are not at hand.
fn artifacts() -> Option<Vec<PathBuf>> {
    let Some(root) = suites() else {
        eprintln!("NOT TRIED: BEIMING_CONFORMANCE names no folder with the open suites");
        return None;
    };
    let mut all = files(&root, ".mlirbc");
    all.extend(files(&root, ".bc"));
    assert!(all.len() > 1900, "{} artifacts", all.len());
    Some(all)
}

/// The texts of the same program: of an interpreter case not the original, whose checks are ops of a dialect of the suite.
fn texts(artifact: &Path) -> Vec<PathBuf> {
    let name = artifact.to_string_lossy();
    if name.contains("vhlo_compat") {
        return ["mlir", "generic.mlir"].iter().map(|e| artifact.with_extension(e)).filter(|p| p.exists()).collect();
    }
    let names = if name.contains("interpret") { ["norm.mlir", "generic.mlir"] } else { ["orig.mlir", "generic.mlir"] };
    names.iter().map(|n| artifact.with_file_name(n)).filter(|p| p.exists()).collect()
}

#[test]
fn every_artifact_reads_as_its_texts() {
    let Some(all) = artifacts() else { return };
    let mut wrong = vec![];
    let mut compared = 0;
    for path in &all {
        let invalid = path.to_string_lossy().contains("invalid");
        let module = match bytecode::read(fs::read(path).unwrap().into()) {
            Ok(_) if invalid => {
                wrong.push(format!("{}: read although it is invalid", path.display()));
                continue;
            }
            Ok(module) => canon::lines(&module),
            Err(problems) => {
                if !invalid {
                    wrong.push(format!("{}: {problems:?}", path.display()));
                }
                continue;
            }
        };
        for path in texts(path) {
            let Ok(text) = text::parse(&fs::read(&path).unwrap()) else { continue };
            let text = canon::lines(&text);
            compared += 1;
            if text != module {
                let first = text.iter().zip(&module).find(|(a, b)| a != b);
                wrong.push(format!("{}: {first:#?}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong[..wrong.len().min(20)].join("\n"));
    assert!(compared > 3800, "{compared} texts");
    eprintln!("{} artifacts, {compared} texts of them", all.len());
}

#[test]
fn a_newer_version_of_an_operation_is_named() {
    let Some(all) = artifacts() else { return };
    let path = all.iter().find(|p| p.to_string_lossy().contains("invalid_vhlo_future")).expect("the case is there");
    let problems = bytecode::read(fs::read(path).unwrap().into()).unwrap_err();
    let message = &problems[0].message;
    for part in ["vhlo.constant_v99", "StableHLO_v2.0.0", "constant_v1"] {
        assert!(message.contains(part), "{message}");
    }
}
