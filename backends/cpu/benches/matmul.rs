//! Speed of matrix products on this machine: tiles against each other, in GFLOP/s of one core.

#[path = "../tests/support/mod.rs"]
mod support;

use beiming_ir::target::Target;
use support::{Case, time};

fn main() {
    let repeat = 15;
    for (name, tiles) in [("x86-64-v4", vec![(6, 64), (8, 48), (12, 32), (14, 32)]), ("x86-64-v3", vec![(6, 16), (4, 24)])] {
        let Some(t) = Target::by_name(name).filter(|t| t.vector_bytes <= Target::host().vector_bytes) else { continue };
        for (m, n, k) in [(128, 768, 768), (128, 3072, 768), (128, 768, 3072), (3136, 64, 576), (48, 96, 64)] {
            for &(mr, nr) in &tiles {
                if n % nr != 0 {
                    continue;
                }
                let c = Case::new(&support::matmul_panels(mr, nr, n / nr, k), &[m]);
                let s = time(&[c], &t, repeat)[0];
                println!("{name} {m}x{n}x{k} tile {mr}x{nr}: {:.1} GFLOP/s", 2.0 * (m * n * k) as f64 / s * 1e-9);
            }
        }
    }
}
