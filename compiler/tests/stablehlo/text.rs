//! Reading text: the files of this folder, and every case of the open suites where they are at hand.

use std::path::{Path, PathBuf};

use beiming::import::stablehlo::text;

use super::dump::dump;

/// `stablehlo/` of the unpacked suites, from `BEIMING_CONFORMANCE`.
pub fn suites() -> Option<PathBuf> {
    let root = std::env::var_os("BEIMING_CONFORMANCE").map(PathBuf::from)?;
    Some(root.join("stablehlo")).filter(|p| p.is_dir())
}

/// Files with this ending below a folder, in order.
pub fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut out = vec![];
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).expect("the folder can be listed") {
            let path = entry.expect("the folder can be listed").path();
            if path.is_dir() {
                open.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                out.push(path);
            }
        }
    }
    out.sort();
    out
}

#[test]
fn every_text_of_the_open_suites_is_read() {
    let Some(root) = suites() else {
        eprintln!("NOT TRIED: BEIMING_CONFORMANCE names no folder with the open suites");
        return;
    };
    // A check's attributes stand behind its types there, which is no MLIR.
    let malformed = ["interpret/check__5/norm.mlir", "interpret/check__6/norm.mlir"];
    let mut wrong = vec![];
    let all = files(&root, ".mlir");
    for path in &all {
        let source = std::fs::read(path).expect("the case can be read");
        let read = text::parse(&source);
        if malformed.iter().any(|m| path.ends_with(m)) {
            assert!(read.is_err(), "{} is read", path.display());
        } else if let Err(problems) = read {
            let first = problems.iter().take(3).map(|p| text::render(p, &source, &path.to_string_lossy()));
            wrong.push(first.collect::<String>());
        }
    }
    assert!(all.len() > 4000, "{} texts", all.len());
    assert!(wrong.is_empty(), "{} of {} texts are not read\n{}", wrong.len(), all.len(), wrong[..wrong.len().min(30)].concat());
}

/// The pairs of a pretty and a generic text in these folders read to the same module.
fn compare_forms(pairs: &[(PathBuf, PathBuf)]) -> Vec<String> {
    let mut wrong = vec![];
    for (pretty, generic) in pairs {
        let read = |p: &Path| std::fs::read(p).ok().and_then(|s| text::parse(&s).ok()).map(|m| dump(&m));
        let (Some(a), Some(b)) = (read(pretty), read(generic)) else {
            wrong.push(format!("{} or its generic form is not read\n", pretty.display()));
            continue;
        };
        if let Some((a, b)) = a.lines().zip(b.lines()).find(|(a, b)| a != b) {
            wrong.push(format!("{}\n  pretty:  {a}\n  generic: {b}\n", pretty.display()));
        } else if a.lines().count() != b.lines().count() {
            wrong.push(format!("{}: one form is longer\n", pretty.display()));
        }
    }
    wrong
}

#[test]
fn pretty_and_generic_form_of_a_case_are_one_module() {
    let Some(root) = suites() else {
        eprintln!("NOT TRIED: BEIMING_CONFORMANCE names no folder with the open suites");
        return;
    };
    // `orig.mlir` of `interpret` has operations of `check`, which `norm.mlir` has as calls.
    let mut pairs = vec![];
    for generic in files(&root, "generic.mlir") {
        let name = generic.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let pretty = match name.strip_suffix(".generic.mlir") {
            Some(stem) => generic.with_file_name(format!("{stem}.mlir")),
            None if root.join("interpret").as_path() == generic.parent().and_then(Path::parent).unwrap_or(&root) => {
                generic.with_file_name("norm.mlir")
            }
            None => generic.with_file_name("orig.mlir"),
        };
        if pretty.exists() {
            pairs.push((pretty, generic));
        }
    }
    let wrong = compare_forms(&pairs);
    assert!(pairs.len() > 1900, "{} pairs", pairs.len());
    assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), pairs.len(), wrong[..wrong.len().min(20)].concat());
}
