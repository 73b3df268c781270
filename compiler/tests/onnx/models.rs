//! Real models, imported as they are and under the user's options.
//!
//! The models are not part of the repository. `BEIMING_MODELS` names a folder of `.onnx` files.

use std::time::Instant;

use beiming::import::{ImportOptions, read};

#[test]
fn real_models_import() {
    let Ok(root) = std::env::var("BEIMING_MODELS") else {
        eprintln!("BEIMING_MODELS is not set: no real models were read");
        return;
    };
    let filter = std::env::var("BEIMING_ONNX_FILTER").unwrap_or_default();
    let mut paths: Vec<_> = std::fs::read_dir(root)
        .expect("the folder exists")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "onnx") && p.to_string_lossy().contains(&filter))
        .collect();
    paths.sort();
    let mut failed = vec![];
    for p in paths {
        let start = Instant::now();
        let name = p.file_name().expect("a file").to_string_lossy().into_owned();
        match read(&p, &ImportOptions::default()) {
            Ok(g) => {
                let ty = |v: &beiming_ir::graph::ValueId| g.ty(*v).to_string();
                let (i, o): (Vec<_>, Vec<_>) = (g.inputs.iter().map(ty).collect(), g.outputs.iter().map(ty).collect());
                println!("{name}: {} nodes in {:?}: {i:?} -> {o:?}", g.nodes().len(), start.elapsed());
            }
            Err(e) => {
                println!("{name}: FAILED {e}");
                failed.push(name);
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}
