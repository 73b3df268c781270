//! Artifacts of our own, in `artifacts`: files of `jax.export` and one program as a portable artifact of several versions, each
//! with the text that JAX has for its module.
//!
//! They were made with JAX 0.10.2: `export(jit(f))(..).serialize()` and `serialize_portable_artifact_str(text, version)`.

use std::fs;
use std::path::{Path, PathBuf};

use beiming::import::stablehlo::export::{self, Aval, DisabledCheck};
use beiming::import::stablehlo::syntax::Module;
use beiming::import::stablehlo::{bytecode, text};

use crate::canon;
use crate::text::files;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stablehlo/artifacts")
}

/// Both kinds of binary files.
pub fn binaries() -> Vec<PathBuf> {
    let mut all = files(&folder(), ".jax");
    all.extend(files(&folder(), ".mlirbc"));
    assert!(all.len() >= 17, "{} files", all.len());
    all
}

fn open(name: &str) -> export::Exported {
    export::read(fs::read(folder().join(name)).unwrap().into()).unwrap()
}

fn array(shape: &[&str], dtype: &'static str) -> Aval {
    Aval::Array { shape: shape.iter().map(|s| (*s).into()).collect(), dtype }
}

#[track_caller]
fn same(name: &str, module: &Module) {
    let want = canon::lines(&text::parse(&fs::read(folder().join(name)).unwrap()).unwrap());
    let got = canon::lines(module);
    let first = want.iter().zip(&got).find(|(a, b)| a != b);
    assert!(want == got, "{name}: {first:#?}");
}

#[test]
fn every_file_is_the_module_of_its_text() {
    for path in binaries() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(export::is_export(&bytes), name.ends_with(".jax"), "{name}");
        assert_eq!(bytecode::is_bytecode(&bytes), name.ends_with(".mlirbc"), "{name}");
        match name.strip_suffix(".jax") {
            Some(stem) => same(&format!("{stem}.mlir"), &export::read(bytes.into()).unwrap().module().unwrap()),
            None => same("program.mlir", &bytecode::read(bytes.into()).unwrap()),
        }
    }
}

#[test]
fn what_an_export_says() {
    let e = open("batch.jax");
    assert_eq!((&*e.function, e.calling_convention, e.devices), ("mlp", 10, 1));
    assert_eq!(e.platforms, ["cpu"]);
    assert_eq!(e.inputs, [array(&["b", "8"], "f32"), array(&["8", "16"], "f32"), array(&["16"], "f32")]);
    assert_eq!(e.outputs, [array(&["b", "16"], "f32")]);
    assert_eq!(e.kept, [0, 1, 2]);

    let e = open("symbols.jax");
    assert_eq!(e.outputs, [array(&["2*m*n"], "f32"), array(&["n"], "f32")]);

    let e = open("unused.jax");
    assert_eq!((e.inputs.len(), e.kept), (2, vec![0]));

    assert_eq!(open("platforms.jax").platforms, ["cpu", "cuda", "tpu"]);
    assert_eq!(open("sharded.jax").devices, 2);

    let e = open("effects.jax");
    assert_eq!((e.ordered_effects.len(), e.unordered_effects.len()), (1, 1));
    assert_eq!(e.disabled_checks, [DisabledCheck::CustomCall("foo".into()), DisabledCheck::Platform]);
}

#[test]
fn constants_are_windows_into_the_file() {
    let artifact = open("static.jax").artifact;
    let range = artifact.as_bytes().as_ptr_range();
    let module = bytecode::read(artifact.clone()).unwrap();
    let mut inside = 0;
    for op in module.functions.iter().flat_map(|f| &f.body.ops) {
        if let Some(beiming::import::stablehlo::syntax::Attr::Dense(d)) = op.attrs.get("value") {
            assert!(range.contains(&d.values.bytes().as_ptr()), "{:?} is a copy", op.name);
            inside += 1;
        }
    }
    assert!(inside > 0);
}

/// Reads a damaged file, in whichever form it still seems to be.
pub fn read_damaged(bytes: &[u8]) {
    let data: beiming_ir::tensor::Data = bytes.to_vec().into();
    if bytecode::is_bytecode(bytes) {
        let _ = bytecode::read(data);
    } else if let Ok(e) = export::read(data) {
        let _ = e.module();
    }
}

/// One of each kind: a container before properties, one with them, a small and a large export.
fn to_damage() -> Vec<PathBuf> {
    ["program_0_9_0.mlirbc", "program_1_17_0.mlirbc", "effects.jax", "symbols.jax"].iter().map(|n| folder().join(n)).collect()
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    for path in to_damage() {
        let bytes = fs::read(&path).unwrap();
        for n in 0..bytes.len() {
            let cut: beiming_ir::tensor::Data = bytes[..n].to_vec().into();
            if path.extension().is_some_and(|e| e == "mlirbc") {
                assert!(bytecode::read(cut).is_err(), "{} cut at {n} is read", path.display());
            } else {
                read_damaged(&bytes[..n]);
            }
        }
    }
}

#[test]
fn bits_flipped_anywhere_do_no_harm() {
    for path in to_damage() {
        let mut bytes = fs::read(&path).unwrap();
        for i in 0..bytes.len() {
            let bit = 1 << (i % 8);
            bytes[i] ^= bit;
            read_damaged(&bytes);
            bytes[i] ^= bit;
        }
    }
}
