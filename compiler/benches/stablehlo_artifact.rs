//! How fast portable artifacts are read: 100 MB of constants, and many small operations.
//!
//!   cargo bench -p beiming --bench stablehlo_artifact [file.mlirbc | file.jax ..]

use std::hint::black_box;
use std::time::Instant;

use beiming::import::stablehlo::{bytecode, export};
use beiming_ir::tensor::Data;

#[allow(dead_code)]
#[path = "../tests/stablehlo/writer.rs"]
mod writer;

/// Reads a file several times and prints the best.
fn measure(name: &str, bytes: Vec<u8>) {
    let size = bytes.len() as f64 / 1e6;
    let data: Data = bytes.into();
    let mut best = f64::MAX;
    let mut ops = 0;
    for _ in 0..7 {
        let start = Instant::now();
        let artifact = match export::read(data.clone()) {
            Ok(exported) => exported.artifact,
            Err(_) => data.clone(),
        };
        match black_box(bytecode::read(artifact)) {
            Ok(module) => ops = module.functions.iter().map(|f| f.body.ops.len()).sum(),
            Err(problems) => {
                println!("{name}: {problems:?}");
                return;
            }
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    let rate = size / best;
    println!("{name}: {size:.1} MB, {ops} operations outside regions, {:.2} ms, {rate:.0} MB/s", best * 1e3);
}

fn main() {
    measure("100 constants", writer::constants(100, 1 << 18));
    measure("200,000 constants", writer::constants(200_000, 4));
    for path in std::env::args().skip(1).filter(|a| !a.starts_with('-')) {
        match std::fs::read(&path) {
            Ok(bytes) => measure(&path, bytes),
            Err(e) => println!("{path}: {e}"),
        }
    }
}
