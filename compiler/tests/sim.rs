//! A whole model on the simulator of an Ascend chip: compiled, run by the command line, and held against onnxruntime, with no
//! finding of the checker. All named models and chips: `make sim-models`.

use std::path::PathBuf;
use std::process::Command;

#[test]
fn a_model_on_the_simulator() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let python = std::env::var_os("BEIMING_PYTHON").map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
    if !python.exists() || !root.join("build/models/silero_vad_16k_op15.onnx").exists() {
        println!("NOT RUN: silero_vad_16k_op15 on the simulator; `make setup` brings Python and the model");
        return;
    }
    let mut c = Command::new(python);
    c.arg(root.join("tests/models/sim.py")).arg(env!("CARGO_BIN_EXE_beiming"));
    c.args(["silero_vad_16k_op15", "--target", "ascend910b1", "--no-table"]);
    let done = c.output().expect("Python runs");
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    print!("{out}");
    assert!(done.status.success(), "{out}{err}");
}
