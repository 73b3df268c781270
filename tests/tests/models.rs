//! Real models: compiled, run and held against onnxruntime, on this machine and for Kunpeng 920 under qemu.
//!
//! `models.toml` lists them. Those that Python packages carry must be there (`make setup`); those that torch exports are tried
//! where they are (`make models`), and the test says how many were not. `MODEL=magika` tries one.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use beiming::{Options, compile};
use beiming_ir::target::Target;
use beiming_ir::tensor::Tensor;
use beiming_runtime::format::container::{Artifact, CODE};
use beiming_tests::agree::{self, Tolerance};
use beiming_tests::{Named, compiled, disassembly, npz, repository};
use toml::{Table, Value};

struct Model {
    name: String,
    file: PathBuf,
    shapes: Vec<String>,
    dims: Vec<String>,
}

impl Model {
    /// Exported by torch, not carried by a package.
    fn is_exported(&self) -> bool {
        self.name.ends_with("_script") || self.name.ends_with("_dynamo")
    }

    fn compile(&self, target: &Target, artifact: &Path) -> Result<(), String> {
        let mut options = Options::default();
        self.shapes.iter().try_for_each(|s| options.import.add_shape(s))?;
        self.dims.iter().try_for_each(|d| options.import.add_dim(d))?;
        compile(&self.file, target, &options, artifact).map(drop).map_err(|e| e.to_string())
    }
}

fn models() -> Vec<Model> {
    let text = std::fs::read_to_string(repository("tests/models/models.toml")).expect("the table of models");
    let table: Table = text.parse().expect("a table");
    let only = std::env::var("MODEL").ok();
    let rows = table.into_iter().filter(|(name, _)| only.as_ref().is_none_or(|n| n == name));
    rows.map(|(name, row)| {
        let file = repository("build/models").join(row["file"].as_str().expect("a file"));
        let list = |key| {
            let items = row.get(key).and_then(Value::as_array).into_iter().flatten();
            items.map(|s| s.as_str().expect("a text").to_string()).collect()
        };
        Model { file, name, shapes: list("shape"), dims: list("dim") }
    })
    .collect()
}

/// Inputs, and what onnxruntime makes of them.
fn reference(name: &str, folder: &Path) -> Result<(Named, Vec<Tensor>), String> {
    let python = std::env::var_os("BEIMING_PYTHON").map_or_else(|| repository(".venv/bin/python"), PathBuf::from);
    let mut c = Command::new(&python);
    c.arg(repository("tests/models/reference.py")).arg(folder).arg(name);
    let out = c.output().map_err(|e| format!("{}: {e}; `make setup` makes it", python.display()))?;
    if !out.status.success() {
        return Err(format!("onnxruntime: {}", String::from_utf8_lossy(&out.stderr)));
    }
    let read = |end: &str| npz::read(&folder.join(format!("{name}.{end}.npz"))).map_err(|e| e.to_string());
    Ok((read("in")?, read("out")?.into_iter().map(|x| x.1).collect()))
}

/// Tries models one after the other, and then fails with everything that went wrong.
fn each(models: &[Model], what: impl Fn(&Model, &Path) -> Result<String, String>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut wrong = vec![];
    for m in models {
        let start = Instant::now();
        let done = if m.file.is_file() {
            what(m, folder.path())
        } else {
            Err(format!("{} is absent: `make setup` gets it", m.file.display()))
        };
        match done {
            Ok(says) => println!("{:26} {says} in {:.1} s", m.name, start.elapsed().as_secs_f64()),
            Err(e) => wrong.push(format!("{}: {e}", m.name)),
        }
    }
    assert!(wrong.is_empty(), "{} models failed\n{}", wrong.len(), wrong.join("\n"));
}

/// Compiles twice, runs on one thread and on two, compares.
fn agrees_here(m: &Model, folder: &Path) -> Result<String, String> {
    let (artifact, again) = (folder.join("a.bmg"), folder.join("b.bmg"));
    m.compile(&Target::host(), &artifact)?;
    m.compile(&Target::host(), &again)?;
    if std::fs::read(&artifact).map_err(|e| e.to_string())? != std::fs::read(&again).map_err(|e| e.to_string())? {
        return Err("compiled twice, the artifacts differ".into());
    }
    let (inputs, want) = reference(&m.name, folder)?;
    let one = compiled::run_here(&artifact, &inputs, 1)?;
    let two = compiled::run_here(&artifact, &inputs, 2)?;
    agree::tensors(&want, &one, Tolerance::MODEL)?;
    agree::tensors(&want, &two, Tolerance::MODEL).map_err(|e| format!("on two threads: {e}"))?;
    Ok(largest_error(&want, &two))
}

fn largest_error(want: &[Tensor], got: &[Tensor]) -> String {
    format!("largest error {:.3} of what is allowed", agree::largest_error(want, got, Tolerance::MODEL))
}

#[test]
fn models_of_packages_agree_with_onnxruntime() {
    let models: Vec<Model> = models().into_iter().filter(|m| !m.is_exported()).collect();
    each(&models, agrees_here);
}

#[test]
fn exported_models_agree_with_onnxruntime() {
    let (here, absent): (Vec<Model>, Vec<Model>) =
        models().into_iter().filter(Model::is_exported).partition(|m| m.file.is_file());
    if !absent.is_empty() {
        let names: Vec<&str> = absent.iter().map(|m| m.name.as_str()).collect();
        // Not by a macro: of passing tests the harness keeps what those print.
        let _ =
            writeln!(std::io::stderr(), "\nNOT TRIED: {} models that `make models` exports: {}", names.len(), names.join(", "));
    }
    each(&here, agrees_here);
}

/// Running them under qemu takes hours: `make kunpeng` does. Their code is compiled and held against the CPU's features here.
#[test]
fn exported_models_keep_to_the_instructions_of_kunpeng() {
    let here: Vec<Model> = models().into_iter().filter(|m| m.is_exported() && m.file.is_file()).collect();
    let target = Target::kunpeng920();
    each(&here, |m, folder| {
        let artifact = folder.join("kunpeng920.bmg");
        m.compile(&target, &artifact)?;
        let opened = Artifact::open(&artifact).map_err(|e| e.to_string())?;
        disassembly::within(opened.section(CODE).ok_or("no code")?, &target, folder)?;
        Ok("keeps to tsv110".into())
    });
}

#[test]
fn models_of_packages_agree_for_kunpeng_under_qemu() {
    let models: Vec<Model> = models().into_iter().filter(|m| !m.is_exported()).collect();
    let target = Target::kunpeng920();
    each(&models, |m, folder| {
        let artifact = folder.join("kunpeng920.bmg");
        m.compile(&target, &artifact)?;
        let opened = Artifact::open(&artifact).map_err(|e| e.to_string())?;
        disassembly::within(opened.section(CODE).ok_or("no code")?, &target, folder)?;
        let (inputs, want) = reference(&m.name, folder)?;
        let got = compiled::run_under_qemu(&artifact, &inputs, folder)?;
        agree::tensors(&want, &got, Tolerance::MODEL)?;
        Ok(largest_error(&want, &got))
    });
}
