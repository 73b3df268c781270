//! Kernels of every kind of statement and expression against `eval::kernel`, on both CPUs.

mod support;

use beiming_ir::types::DType;
use support::{Case, check};

const LENGTHS: [i64; 13] = [0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 33, 64, 200];

#[test]
fn elementwise_of_any_length() {
    let text = "\
kernel add(N) {
  param %x : f32[N] read
  param %y : f32[N] read
  param %z : f32[N] write
  vector for i0 < dim(N) {
    %z[i0] = %x[i0] * 2.0:f32 + %y[i0]
  }
}
";
    let cases: Vec<Case> = LENGTHS.iter().map(|&n| Case::new(text, &[n])).collect();
    check(&cases);
}

#[test]
fn matmul_tiles() {
    let mut cases = vec![];
    for (mr, nr) in [(2, 16), (6, 64), (8, 48), (8, 12), (3, 20), (1, 5)] {
        for k in [1, 3, 4, 13] {
            cases.push(Case::new(&support::matmul(mr, nr, k), &[2 * mr + 1]).within(1e-4, 1e-4));
        }
    }
    check(&cases);
    let _ = DType::F32;
}
