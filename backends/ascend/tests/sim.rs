//! The simulator's own tests: kernels written by hand, right and with one thing wrong at a time.

mod support;

use std::process::Command;

use beiming_ascend::sim::chip_text;
use beiming_ir::target::npu::{ASCEND_TARGETS, Npu};

use support::{compiler, simulator};

/// Builds a test program with the simulator and runs it; what it printed.
fn run(program: &str, args: &[&str]) -> String {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let exe = dir.path().join("test");
    compiler(&[format!("tests/{program}").as_ref(), simulator().as_ref(), "-o".as_ref(), exe.as_ref()]);
    let ran = Command::new(&exe).args(args).output().expect("the test program runs");
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{text}{}", String::from_utf8_lossy(&ran.stderr));
    text
}

#[test]
fn vector_kernels() {
    assert_eq!(run("vector.cpp", &[]), "0 failures\n");
}

#[test]
fn cube_kernels() {
    assert_eq!(run("cube.cpp", &[]), "0 failures\n");
}

/// Every chip of the compiler's table is read by the simulator, number by number.
#[test]
fn chips() {
    let texts: Vec<String> = ASCEND_TARGETS.iter().map(|n| chip_text(&Npu::by_name(n).expect("a known chip"))).collect();
    let args: Vec<&str> = texts.iter().map(String::as_str).collect();
    let got = run("chips.cpp", &args);
    for (name, line) in ASCEND_TARGETS.iter().zip(got.lines()) {
        let npu = Npu::by_name(name).expect("a known chip");
        assert_eq!(
            line,
            format!("{name} {} {} {} {}", npu.core.ub, npu.core.l0c, npu.core.padded_copy as u8, npu.core.bf16 as u8)
        );
    }
    assert_eq!(got.lines().count(), ASCEND_TARGETS.len());
}
