//! `infer` and `eval` against numpy: random cases of every op family that numpy can express. Rust makes the cases, evaluates
//! them and writes them to a folder; `check.py` computes each again and compares (the tolerances are stated there).

mod cases;

use std::path::{Path, PathBuf};
use std::process::Command;

use beiming_ir::eval;
use beiming_ir::graph::Graph;
use beiming_ir::ops::infer;
use beiming_ir::tensor::Tensor;
use beiming_ir::types::TensorType;
use serde_json::{Value, json};

/// Cases of each family.
const CASES: usize = 250;

/// The interpreter with numpy: `BEIMING_PYTHON`, or the one that `make setup` installs.
fn python() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
    let python = std::env::var_os("BEIMING_PYTHON").map_or(default, PathBuf::from);
    assert!(
        python.exists(),
        "{} does not exist: run `make setup`, or set BEIMING_PYTHON to a Python with numpy",
        python.display()
    );
    python
}

/// Appends a tensor's bytes to `data` and says where they are.
fn store(t: &Tensor, data: &mut Vec<u8>) -> Value {
    let at = data.len();
    data.extend_from_slice(t.bytes());
    json!({"dtype": t.dtype, "shape": t.shape, "at": at})
}

#[test]
fn infer_and_eval_agree_with_numpy() {
    let python = python();
    let graph = Graph::default();
    let (mut data, mut written) = (vec![], vec![]);
    for (i, (family, generate)) in cases::FAMILIES.into_iter().enumerate() {
        let mut rng = cases::Rng(i as u64 + 2026);
        for _ in 0..CASES {
            let (op, args) = generate(&mut rng);
            let types: Vec<TensorType> = args.iter().map(Tensor::ty).collect();
            let inferred =
                infer(&op, &types.iter().collect::<Vec<_>>(), &graph).unwrap_or_else(|e| panic!("{op:?} {types:?}: {e}"));
            let results = eval::op(&op, &args, &graph, &eval::Dims::new()).unwrap_or_else(|e| panic!("{op:?} {types:?}: {e}"));
            // A symbol stands for an extent that only the run tells.
            let shapes: Vec<Vec<Option<i64>>> = inferred.iter().map(|t| t.shape.iter().map(|d| d.known()).collect()).collect();
            let dtypes: Vec<_> = inferred.iter().map(|t| t.dtype).collect();
            written.push(json!({
                "family": family,
                "op": op,
                "args": args.iter().map(|t| store(t, &mut data)).collect::<Vec<_>>(),
                "results": results.iter().map(|t| store(t, &mut data)).collect::<Vec<_>>(),
                "inferred": {"shapes": shapes, "dtypes": dtypes},
            }));
        }
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("data.bin"), data).expect("written");
    std::fs::write(folder.path().join("cases.json"), Value::from(written).to_string()).expect("written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/numpy/check.py");
    let run = Command::new(python).arg(script).arg(folder.path()).output().expect("python starts");
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{out}{err}");
    print!("{out}");
}
