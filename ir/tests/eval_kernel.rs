//! Kernels evaluate to what their loops say, and every bad access is refused with its place.

use beiming_ir::eval;
use beiming_ir::kernel::Kernel;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::text::{normalize_kernel, parse_kernel, print_kernel};
use beiming_ir::types::DType;

fn kernel(text: &str) -> Kernel {
    let k = parse_kernel(text).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(print_kernel(&k), text, "the text is in printed form");
    assert_eq!(normalize_kernel(k.clone()), k);
    k
}

fn run(text: &str, params: &[Tensor], dims: &[i64]) -> Result<Vec<Tensor>, String> {
    let mut params = params.to_vec();
    eval::kernel(&kernel(text), &mut params, dims).map_err(|e| e.0)?;
    Ok(params)
}

fn iota(shape: &[usize]) -> Tensor {
    Tensor::build(DType::F32, shape, |i| Num::Float(i as f64))
}

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::build(DType::F32, shape, |_| Num::Float(0.0))
}

#[test]
fn guarded_load_takes_the_other_value() {
    let text = "\
kernel shift(N) {
  param %x : f32[N] read
  param %y : f32[N] write
  vector for i0 < dim(N) {
    %y[i0] = %x[i0 - 1 where i0 >= 1 else -7.5:f32] * 2.0:f32
  }
}
";
    let out = run(text, &[iota(&[4]), zeros(&[4])], &[4]).unwrap();
    assert_eq!(out[1].to_f64(), [-15.0, 0.0, 2.0, 4.0]);
}

#[test]
fn tiled_matmul_packs_accumulates_and_adds() {
    let text = "\
kernel matmul(M) {
  ops \"MatMul\", \"Add\"
  param %a : f32[M, 5] read
  param %b : f32[5, 6] read
  param %y : f32[M, 6] write
  local %p : f32[5, 8] panel
  local %acc : f32[2, 8] register
  grid (i0 < floordiv(M + 1, 2))
  copy (i1 < 5, i2 < 8) %p[i1, i2] = %b[i1, i2 where i2 < 6 else 0.0:f32]
  unroll for i3 < 2 {
    vector for i4 < 8 {
      %acc[i3, i4] = 1.0:f32
    }
  }
  mma (i5, i6, i7 < 5) %acc += %a[i0 * 2 + i5, i7 where i0 * 2 + i5 < dim(M)] * %p[i7, i6]
  wait %p, %acc \"the panel is used\"
  unroll for i8 < 2 {
    vector for i9 < 6 {
      %y[i0 * 2 + i8, i9 where i0 * 2 + i8 < dim(M)] = max(%acc[i8, i9], 0.0:f32)
    }
  }
}
";
    let (a, b) = (iota(&[3, 5]), iota(&[5, 6]));
    let out = run(text, &[a.clone(), b.clone(), zeros(&[3, 6])], &[3]).unwrap();
    let (a, b) = (a.to_f64(), b.to_f64());
    let want: Vec<f64> = (0..18).map(|e| 1.0 + (0..5).map(|k| a[e / 6 * 5 + k] * b[k * 6 + e % 6]).sum::<f64>()).collect();
    assert_eq!(out[2].to_f64(), want);
}

#[test]
fn narrow_arithmetic_is_rounded_each_time() {
    let text = "\
kernel f16(N) {
  param %x : f16[N] read
  param %s : f16[] write
  %s[] = 2048.0:f16
  vector for i0 < dim(N) {
    %s[] sum= %x[i0]
  }
}
";
    let ones = Tensor::build(DType::F16, &[8], |_| Num::Float(1.0));
    // 2048 + 1 is a tie in f16 and rounds to even, so nothing is ever added.
    let out = run(text, &[ones, Tensor::scalar(DType::F16, Num::Float(0.0))], &[8]).unwrap();
    assert_eq!(out[1].to_f64(), [2048.0]);
}

#[test]
fn integers_widen_into_the_accumulator() {
    let text = "\
kernel dot() {
  param %a : i8[1, 4] read
  param %b : u8[4, 1] read
  param %y : i32[] write
  local %acc : i32[1, 1] register
  %acc[0, 0] = 0:i32
  mma (i0, i1, i2 < 4) %acc += %a[i0, i2] * %b[i2, i1]
  %y[] = %acc[0, 0]
}
";
    let a = Tensor::build(DType::I8, &[1, 4], |i| Num::Int([-128, 127, -1, 5][i]));
    let b = Tensor::build(DType::U8, &[4, 1], |_| Num::Int(255));
    let out = run(text, &[a, b, Tensor::scalar(DType::I32, Num::Int(0))], &[]).unwrap();
    assert_eq!(out[2].to_i64(), [3 * 255]);
}

/// Bodies over `%x : f32[4] read`, `%y : f32[4] write`, `%z : f32[4] readwrite`, a local panel and a grid of two points, and
/// what the message says.
#[test]
fn bad_accesses_are_refused() {
    let table = [
        ("%y[i0] = %x[i0 * 4]", "index out of range on axis 0: `%x`[4] of shape [4], at grid point 1, i0 = 1"),
        ("%y[i0 - 1] = 1.0:f32", "index out of range on axis 0: `%y`[-1] of shape [4], at grid point 0, i0 = 0"),
        ("%y[i0] = %p[i0]", "read of an element that was never written: `%p`[0]"),
        ("%y[i0] = %y[3]", "read of an element that was never written: `%y`[3]"),
        ("%y[0] = 1.0:f32", "write of an element that grid point 0 also writes: `%y`[0] of shape [4], at grid point 1, i0 = 1"),
        (
            "if i0 == 0 {\n    %y[i0] = %z[1]\n  }\n  if i0 == 1 {\n    %z[1] = 0.0:f32\n  }",
            "write of an element that grid point 0 reads: `%z`[1]",
        ),
        ("%z[i0] = %z[0]", "read of an element that grid point 0 writes: `%z`[0] of shape [4], at grid point 1, i0 = 1"),
        ("%x[i0] = 1.0:f32", "writes `%x`, which the kernel only reads"),
        (
            "%p[0] = 0.0:f32\n  vector for i1 < 3 {\n    %p[i1 + 1] = %p[i1]\n  }",
            "read of an element that another iteration of the vector loop writes: `%p`[1] of shape [4], at grid point 0, i0 = 0, i1 = 1",
        ),
        (
            "copy (i1 < 5) %p[i1] = %x[i1 where i1 < 4 else 0.0:f32]",
            "out of range on axis 0: `%p`[4] of shape [4], at grid point 0, i0 = 0, i1 = 4",
        ),
    ];
    for (body, want) in table {
        let text = format!(
            "\
kernel bad() {{
  param %x : f32[4] read
  param %y : f32[4] write
  param %z : f32[4] readwrite
  local %p : f32[4] panel
  grid (i0 < 2)
  {body}
}}
"
        );
        let e = run(&text, &[iota(&[4]), zeros(&[4]), iota(&[4])], &[]).unwrap_err();
        assert!(e.contains(want) && e.starts_with("kernel `bad`"), "{body}: {e}");
    }
}

#[test]
fn arguments_must_match() {
    let text = "kernel id(N) {\n  param %x : f32[N] read\n}\n";
    let e = |params: &[Tensor], dims: &[i64]| run(text, params, dims).unwrap_err();
    assert!(e(&[iota(&[3])], &[4]).contains("parameter `%x` is f32[4]; the argument is f32[3]"));
    assert!(e(&[], &[4]).contains("0 arguments for 1 parameters"));
    assert!(e(&[iota(&[3])], &[]).contains("0 symbol values for 1 symbols"));
}

#[test]
fn a_million_statements_take_about_a_second() {
    let text = "\
kernel many() {
  param %y : f32[1000] write
  grid (i0 < 1000)
  %y[i0] = 0.0:f32
  for i1 < 1000 {
    %y[i0] sum= cast(f32, i0 * 3 + i1) * 0.5:f32
  }
}
";
    let start = std::time::Instant::now();
    let out = run(text, &[zeros(&[1000])], &[]).unwrap();
    assert_eq!(out[0].to_f64()[1], (0..1000).map(|i| f64::from(3 + i) / 2.0).sum::<f64>());
    // Generous: the machine may be busy.
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}
