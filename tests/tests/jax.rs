//! Programs that JAX lowered, held against what JAX computed: each imported, compiled for this machine and run. The files are
//! written by tests/jax/sample.py; `make test-jax` runs many more, with JAX beside.

use std::path::Path;

use beiming::import::{ImportOptions, read};
use beiming_ir::target::Target;
use beiming_ir::tensor::Tensor;
use beiming_tests::agree::{self, Tolerance};
use beiming_tests::{compiled, npz, repository};

/// Allowed difference of f32 results: one order of summation against another.
const TOLERANCE: Tolerance = Tolerance { absolute: 2e-5, relative: 1e-4 };

fn attempt(model: &Path) -> Result<(), String> {
    let graph = read(model, &ImportOptions::default()).map_err(|e| e.to_string())?;
    let arrays = npz::read(&model.with_extension("npz")).map_err(|e| e.to_string())?;
    let (inputs, want): (Vec<_>, Vec<_>) = arrays.into_iter().partition(|(name, _)| name.starts_with("arg"));
    let want: Vec<Tensor> = want.into_iter().map(|(_, t)| t).collect();
    let c = compiled::compile(&graph, &Target::host())?;
    let code = compiled::emit_plain(&c.program)?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path = folder.path().join("model.bmg");
    compiled::write(&path, "model", &c.program, &code)?;
    agree::tensors(&want, &compiled::run_here(&path, &inputs, 1)?, TOLERANCE)
}

#[test]
fn programs_of_jax_agree_with_jax() {
    let mut models: Vec<_> = std::fs::read_dir(repository("tests/jax/sample")).unwrap().map(|e| e.unwrap().path()).collect();
    models.retain(|p| p.extension().is_some_and(|x| x == "mlir"));
    models.sort();
    assert!(models.len() > 30, "{} programs", models.len());
    let failed: Vec<String> =
        models.iter().filter_map(|m| attempt(m).err().map(|e| format!("{}: {e}", m.file_name().unwrap().display()))).collect();
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), models.len(), failed.join("\n"));
}
