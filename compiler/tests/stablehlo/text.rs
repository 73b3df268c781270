//! Reading text: the files of this folder, and every case of the open suites where they are at hand.

use std::path::{Path, PathBuf};

use beiming::import::stablehlo::text;

use super::canon::lines;

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
        let read = |p: &Path| std::fs::read(p).ok().and_then(|s| text::parse(&s).ok()).map(|m| lines(&m));
        let (Some(a), Some(b)) = (read(pretty), read(generic)) else {
            wrong.push(format!("{} or its generic form is not read\n", pretty.display()));
            continue;
        };
        if let Some((a, b)) = a.iter().zip(&b).find(|(a, b)| a != b) {
            wrong.push(format!("{}\n  pretty:  {a}\n  generic: {b}\n", pretty.display()));
        } else if a.len() != b.len() {
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

/// The folder of this test.
fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stablehlo/forms")
}

#[test]
fn our_own_files_are_read() {
    let all = files(&here(), ".mlir");
    assert!(all.len() >= 10, "{all:?}");
    for path in &all {
        let source = std::fs::read(path).unwrap();
        let problems = text::parse(&source).err().unwrap_or_default();
        let shown: String = problems.iter().map(|p| text::render(p, &source, &path.to_string_lossy())).collect();
        assert!(problems.is_empty(), "{shown}");
    }
}

#[test]
fn programs_of_jax_are_one_module_in_each_form() {
    let pairs: Vec<_> = files(&here(), ".generic.mlir")
        .into_iter()
        .flat_map(|g| {
            let stem = g.to_string_lossy().replace(".generic.mlir", "");
            [".pretty.mlir", ".debug.mlir"].map(|e| (PathBuf::from(format!("{stem}{e}")), g.clone()))
        })
        .collect();
    assert!(pairs.len() >= 6, "{pairs:?}");
    let wrong = compare_forms(&pairs);
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

/// Constants are read faster than 100 MB/s in a release build; a debug build only shows that nothing is quadratic.
#[test]
fn constants_are_read_fast() {
    let count = 400_000;
    let hex = format!("\"0x{}\"", "0000803F00000040".repeat(count / 2));
    let decimal = format!("[{}1.25]", "1.23456789, ".repeat(count - 1));
    for (form, literal) in [("hexadecimal", hex), ("decimal", decimal)] {
        let source =
            format!("func.func @f() {{\n  %0 = stablehlo.constant dense<{literal}> : tensor<{count}xf32>\n  return\n}}\n");
        let start = std::time::Instant::now();
        assert!(text::parse(source.as_bytes()).is_ok());
        let speed = source.len() as f64 / 1e6 / start.elapsed().as_secs_f64();
        eprintln!("{form} constants: {speed:.0} MB/s");
        assert!(speed > 0.5, "{form} constants: {speed:.1} MB/s");
    }
}
