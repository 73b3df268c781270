//! The arrows between our crates are those of the design and no others; the manifests are read, not believed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// Crate, and the crates of ours that it may depend on.
const ARROWS: [(&str, &[&str]); 10] = [
    ("beiming-ir", &[]),
    ("beiming-passes", &["beiming-ir"]),
    ("beiming-cpu", &["beiming-ir"]),
    ("beiming-ascend", &["beiming-ir"]),
    ("beiming-mlir", &["beiming-ir"]),
    ("beiming-runtime", &[]),
    // The runtime: `beiming run` runs artifacts in its own process, and what an artifact is, is said in one place.
    ("beiming", &["beiming-ir", "beiming-passes", "beiming-ascend", "beiming-cpu", "beiming-mlir", "beiming-runtime"]),
    // A caller like the command line: a model in, an artifact out, an artifact run.
    ("beiming-python", &["beiming-runtime", "beiming"]),
    ("beiming-tests", &["beiming-ir", "beiming-passes", "beiming-cpu", "beiming-runtime", "beiming"]),
    ("beiming-fuzz", &["beiming-ir", "beiming"]),
];

/// Arrows of tests alone: the crate itself keeps to those above. Ascend kernels are taken from a graph to the simulator, which
/// needs neither LLVM nor the compiler.
const OF_TESTS: [(&str, &str); 1] = [("beiming-ascend", "beiming-passes")];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace's folder").to_path_buf()
}

fn read(path: &Path) -> Table {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.parse().unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every dependency of a manifest of these kinds, for any target. A rename is seen through.
fn dependencies(manifest: &Table, kinds: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut sections = vec![manifest];
    sections
        .extend(manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values).filter_map(Value::as_table));
    for section in sections {
        for kind in kinds {
            for (name, spec) in section.get(*kind).and_then(Value::as_table).into_iter().flatten() {
                let package = spec.get("package").and_then(Value::as_str).unwrap_or(name);
                found.insert(package.to_string());
            }
        }
    }
    found
}

fn members() -> Vec<(String, Table)> {
    let workspace = read(&root().join("Cargo.toml"));
    let members = workspace["workspace"]["members"].as_array().expect("a list of members").clone();
    let member = |m: &Value| {
        let manifest = read(&root().join(m.as_str().expect("a path")).join("Cargo.toml"));
        (manifest["package"]["name"].as_str().expect("a name").to_string(), manifest)
    };
    members.iter().map(member).collect()
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let members = members();
    let names: BTreeSet<&str> = members.iter().map(|m| m.0.as_str()).collect();
    assert_eq!(names, ARROWS.iter().map(|a| a.0).collect(), "a crate came or went: draw its arrows here and in README.md");
    let mut wrong = vec![];
    for (name, manifest) in &members {
        let allowed = ARROWS.iter().find(|a| a.0 == name).expect("drawn, as asserted").1;
        let of_tests = |d: &str| OF_TESTS.contains(&(name.as_str(), d));
        for (kinds, tests) in [(&["dependencies", "build-dependencies"][..], false), (&["dev-dependencies"][..], true)] {
            let ours = dependencies(manifest, kinds).into_iter().filter(|d| names.contains(d.as_str()));
            let wrong_ones = ours.filter(|d| !(allowed.contains(&d.as_str()) || tests && of_tests(d)));
            wrong.extend(wrong_ones.map(|d| format!("{name} -> {d}")));
        }
    }
    assert!(wrong.is_empty(), "arrows that the design does not draw: {}", wrong.join(", "));
}

/// Names of everything that a crate, its tests and its build depend on, directly or not, as the lock file resolves it.
fn reach(name: &str) -> BTreeSet<String> {
    let lock = read(&root().join("Cargo.lock"));
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for p in lock["package"].as_array().expect("a list of packages") {
        let first_word = |d: &Value| d.as_str().and_then(|s| s.split(' ').next()).expect("a name").to_string();
        let deps = p.get("dependencies").and_then(Value::as_array).into_iter().flatten().map(first_word);
        // Versions of one name are taken together, which can only find more.
        graph.entry(p["name"].as_str().expect("a name").to_string()).or_default().extend(deps);
    }
    let (mut seen, mut next) = (BTreeSet::new(), vec![name.to_string()]);
    while let Some(n) = next.pop() {
        for d in graph.get(&n).unwrap_or_else(|| panic!("{n} is not in Cargo.lock")) {
            if seen.insert(d.clone()) {
                next.push(d.clone());
            }
        }
    }
    seen
}

#[test]
fn ir_passes_and_runtime_know_no_llvm() {
    for name in ["beiming-ir", "beiming-passes", "beiming-runtime"] {
        let llvm: Vec<_> = reach(name).into_iter().filter(|d| d.contains("llvm") || d == "inkwell").collect();
        assert!(llvm.is_empty(), "{name} depends on {llvm:?}");
    }
    assert!(reach("beiming-cpu").contains("llvm-sys"), "the check looks for the wrong names");
}

#[test]
fn the_runtime_knows_none_of_our_crates() {
    let ours: Vec<_> = reach("beiming-runtime").into_iter().filter(|d| d.starts_with("beiming")).collect();
    assert!(ours.is_empty(), "the runtime depends on {ours:?}");
}
