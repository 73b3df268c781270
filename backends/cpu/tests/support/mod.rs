//! Runs kernels on this machine and, under qemu, on a Kunpeng 920, and holds both against `eval::kernel`.
//!
//! Kernels are written in the IR's text. Buffers end at a page without access and outputs start poisoned, so that a read or
//! write past the end, or an element forgotten, is seen.

#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use beiming_cpu::{Code, EmitOptions, emit_kernels};
use beiming_ir::eval;
use beiming_ir::kernel::{Access, Kernel};
use beiming_ir::target::Target;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::text::parse_kernel;
use beiming_ir::types::{DType, Dim};

/// One kernel on given inputs.
pub struct Case {
    /// The kernel.
    pub kernel: Kernel,
    /// One tensor a parameter; those of `write` parameters are replaced by poison.
    pub params: Vec<Tensor>,
    /// Values of the kernel's symbols.
    pub dims: Vec<i64>,
    /// Allowed difference: absolute, and relative to the expected value.
    pub tolerance: (f64, f64),
}

impl Case {
    /// A case with random inputs of small numbers.
    pub fn new(text: &str, dims: &[i64]) -> Case {
        let kernel = parse_kernel(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let value = |d: &Dim| {
            let lookup = |n: &str| kernel.symbols.iter().position(|s| &**s == n).map(|i| dims[i]);
            d.eval(&lookup).expect("symbols have values") as usize
        };
        let params = kernel
            .params
            .iter()
            .enumerate()
            .map(|(i, b)| random(b.dtype, &b.shape.iter().map(value).collect::<Vec<_>>(), i as u64 + 1))
            .collect();
        let mut c = Case { kernel, params, dims: dims.to_vec(), tolerance: (1e-5, 1e-5) };
        c.poison();
        c
    }

    /// Replaces a parameter.
    pub fn with(mut self, i: usize, t: Tensor) -> Case {
        self.params[i] = t;
        self
    }

    /// Sets the tolerance.
    pub fn within(mut self, absolute: f64, relative: f64) -> Case {
        self.tolerance = (absolute, relative);
        self
    }

    fn poison(&mut self) {
        for (b, t) in self.kernel.params.iter().zip(&mut self.params) {
            if b.access == Access::Write {
                let byte = if b.dtype == DType::Bool { 1 } else { 0xff };
                t.data = vec![byte; t.bytes().len()].into();
            }
        }
    }

    fn grid(&self) -> i64 {
        let lookup = |n: &str| self.kernel.symbols.iter().position(|s| &**s == n).map(|i| self.dims[i]);
        self.kernel.grid.iter().map(|d| d.eval(&lookup).expect("symbols have values")).product()
    }
}

/// Deterministic numbers in about -2..2, or small integers.
pub fn random(dtype: DType, shape: &[usize], seed: u64) -> Tensor {
    let mut s = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        (s >> 11) as f64 / (1u64 << 53) as f64
    };
    Tensor::build(dtype, shape, |_| {
        let u = next();
        if dtype.is_float() {
            Num::Float(u * 4.0 - 2.0)
        } else if dtype == DType::Bool {
            Num::Int(i128::from(u < 0.5))
        } else {
            let (lo, hi) = dtype.int_range().unwrap_or((0, 1));
            let (lo, hi) = (lo.max(-100), hi.min(100));
            Num::Int(lo + ((hi - lo + 1) as f64 * u) as i128)
        }
    })
}

/// Targets that run here: two levels of x86-64 and Kunpeng under qemu.
pub fn targets() -> Vec<Target> {
    let mut t = vec![Target::x86_64_v3()];
    if Target::host().vector_bytes == 64 {
        t.push(Target::x86_64_v4());
    }
    t.push(Target::kunpeng920());
    t
}

/// Runs every case on every target and compares with `eval::kernel`.
pub fn check(cases: &[Case]) {
    let want: Vec<Vec<Tensor>> = cases
        .iter()
        .map(|c| {
            let mut p = c.params.clone();
            eval::kernel(&c.kernel, &mut p, &c.dims).unwrap_or_else(|e| panic!("{e}"));
            p
        })
        .collect();
    for t in targets() {
        let got = run(cases, &t);
        for ((c, want), got) in cases.iter().zip(&want).zip(&got) {
            for ((b, w), g) in c.kernel.params.iter().zip(want).zip(got) {
                compare(&t.name, c, &b.name, w, g);
            }
        }
    }
}

fn compare(target: &str, c: &Case, name: &str, want: &Tensor, got: &Tensor) {
    for i in 0..want.len() {
        let (w, g) = (want.get(i), got.get(i));
        let ok = match (w, g) {
            (Num::Float(w), Num::Float(g)) => {
                w == g || (w.is_nan() && g.is_nan()) || (w - g).abs() <= c.tolerance.0 + c.tolerance.1 * w.abs()
            }
            _ => w == g,
        };
        assert!(ok, "{target}: kernel `{}` {:?}, %{name}[{i}]: {g:?}, should be {w:?}", c.kernel.name, c.dims);
    }
}

/// Code of the cases' kernels, in order.
pub fn code(cases: &[Case], t: &Target) -> Code {
    let kernels: Vec<Kernel> = cases.iter().map(|c| c.kernel.clone()).collect();
    emit_kernels(&kernels, t, &EmitOptions::default()).unwrap_or_else(|e| panic!("{}: {e}", t.name))
}

/// Parameters after each case.
pub fn run(cases: &[Case], t: &Target) -> Vec<Vec<Tensor>> {
    let (bytes, _) = execute(cases, t, 0);
    let mut at = 0;
    cases
        .iter()
        .map(|c| {
            c.params
                .iter()
                .map(|p| {
                    let n = p.bytes().len();
                    at += n;
                    Tensor::new(p.dtype, p.shape.clone(), bytes[at - n..at].to_vec().into()).expect("as many bytes")
                })
                .collect()
        })
        .collect()
}

/// Shortest time of each case in seconds, of `repeat` runs.
pub fn time(cases: &[Case], t: &Target, repeat: u32) -> Vec<f64> {
    let (_, text) = execute(cases, t, repeat);
    text.lines().filter_map(|l| l.split(' ').nth(1)?.parse().ok()).collect()
}

fn execute(cases: &[Case], t: &Target, repeat: u32) -> (Vec<u8>, String) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = |n: &str| dir.path().join(n);
    std::fs::write(file("lib.so"), code(cases, t).library).expect("writing the library");
    let mut b = vec![];
    for (i, c) in cases.iter().enumerate() {
        for v in [i as u32, c.params.len() as u32, c.dims.len() as u32, repeat] {
            b.extend(v.to_le_bytes());
        }
        b.extend(c.grid().to_le_bytes());
        b.extend(c.kernel.scratch().to_le_bytes());
        c.dims.iter().for_each(|d| b.extend(d.to_le_bytes()));
        for p in &c.params {
            b.extend((p.bytes().len() as u64).to_le_bytes());
            b.extend(p.bytes());
        }
    }
    std::fs::write(file("cases"), b).expect("writing the cases");
    let arm = t.triple.starts_with("aarch64");
    let mut cmd = if arm {
        let mut c = Command::new("qemu-aarch64");
        c.args(["-L", "/usr/aarch64-linux-gnu", "-cpu", "max"]).arg(harness(true));
        c
    } else {
        Command::new(harness(false))
    };
    let out = cmd.args([file("lib.so"), file("cases"), file("out")]).output().expect("running the harness");
    if !out.status.success() {
        let log = String::from_utf8_lossy(&out.stderr).into_owned();
        let last = log.lines().rev().find_map(|l| l.strip_prefix("case ")?.parse::<usize>().ok());
        let name = last.map(|i| format!("{} {:?}", cases[i].kernel.name, cases[i].dims));
        panic!("{}: {} in case {name:?}\n{log}", t.name, out.status);
    }
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    (std::fs::read(file("out")).expect("reading the output"), text)
}

/// The harness, compiled once a process.
fn harness(arm: bool) -> &'static Path {
    static HOST: OnceLock<PathBuf> = OnceLock::new();
    static ARM: OnceLock<PathBuf> = OnceLock::new();
    let (cell, cc) = if arm { (&ARM, "aarch64-linux-gnu-gcc") } else { (&HOST, "cc") };
    cell.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/harness.c");
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("harness-{cc}-{}", std::process::id()));
        let s = Command::new(cc).args(["-O1", "-o"]).arg(&out).arg(source).arg("-ldl").status().expect("a C compiler");
        assert!(s.success());
        out
    })
}

/// `[M, k] x [k, 2 * nr] + bias`, on tiles of `mr x nr`, with `b` packed in panels.
pub fn matmul(mr: i64, nr: i64, k: i64) -> String {
    matmul_panels(mr, nr, 2, k)
}

/// As [`matmul`] with `panels * nr` columns.
pub fn matmul_panels(mr: i64, nr: i64, panels: i64, k: i64) -> String {
    format!(
        "\
kernel matmul(M) {{
  param %a : f32[M, {k}] read
  param %b : f32[{panels}, {k}, {nr}] read
  param %c : f32[{n}] read
  param %y : f32[M, {n}] write
  local %acc : f32[{mr}, {nr}] register
  grid (i0 < {panels}, i1 < floordiv(M + {m1}, {mr}))
  unroll for i2 < {mr} {{
    vector for i3 < {nr} {{
      %acc[i2, i3] = 0.0:f32
    }}
  }}
  mma (i4, i5, i6 < {k}) %acc += %a[i1 * {mr} + i4, i6 where i1 * {mr} + i4 < dim(M)] * %b[i0, i6, i5]
  unroll for i7 < {mr} {{
    vector for i8 < {nr} {{
      %y[i1 * {mr} + i7, i0 * {nr} + i8 where i1 * {mr} + i7 < dim(M)] = max(%acc[i7, i8] + %c[i0 * {nr} + i8], 0.0:f32)
    }}
  }}
}}
",
        n = panels * nr,
        m1 = mr - 1,
    )
}
