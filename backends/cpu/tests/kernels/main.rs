//! Kernels of every kind of statement and expression against `eval::kernel`, on both CPUs.

#[path = "../support/mod.rs"]
mod support;
mod types;

use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::DType;
use support::{Case, check};

const LENGTHS: [i64; 15] = [0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 33, 64, 130, 200];

/// One case for each length.
fn lengths(text: &str) -> Vec<Case> {
    LENGTHS.iter().map(|&n| Case::new(text, &[n])).collect()
}

#[test]
fn elementwise_of_any_length() {
    let mut cases = vec![];
    for d in ["f32", "f64", "f16", "bf16", "i8", "u8", "i16", "i32", "i64"] {
        let c = if d.starts_with(['f', 'b']) { "2.0" } else { "2" };
        let c = if d == "i64" { c.to_string() } else { format!("{c}:{d}") };
        cases.extend(lengths(&format!(
            "kernel add(N) {{
  param %x : {d}[N] read
  param %y : {d}[N] read
  param %z : {d}[N] write
  vector for i0 < dim(N) {{
    %z[i0] = %x[i0] * {c} + %y[i0]
  }}
}}
"
        )));
    }
    check(&cases);
}

#[test]
fn mixed_widths_masks_and_selects() {
    let text = "kernel mixed(N) {
  param %x : f16[N] read
  param %m : bool[N] read
  param %s : f64[] read
  param %y : i8[N] write
  param %b : bool[N] write
  param %z : f64[N] write
  vector for i0 < dim(N) {
    %y[i0] = select(%m[i0], cast(i8, %x[i0] * 3.0:f16), cast(i8, i0))
    %b[i0] = (%x[i0] > 0.0:f16) & not(%m[i0])
    %z[i0] = cast(f64, %x[i0]) * %s[]
  }
}
";
    check(&lengths(text));
}

#[test]
fn reductions() {
    let mut cases = vec![];
    for (d, op) in [
        ("f32", "sum"),
        ("f32", "max"),
        ("f32", "min"),
        ("f64", "sum"),
        ("f64", "max"),
        ("i32", "sum"),
        ("i64", "prod"),
        ("i8", "max"),
        ("u8", "min"),
        ("i64", "min"),
        ("bool", "max"),
        ("bool", "min"),
    ] {
        let init = match (d, op) {
            ("bool", _) => if op == "max" { "false" } else { "true" }.to_string(),
            ("i64", _) => "3".into(),
            (d, _) if d.starts_with('f') => format!("0.25:{d}"),
            (d, _) => format!("5:{d}"),
        };
        cases.extend(lengths(&format!(
            "kernel reduce(N) {{
  param %x : {d}[3, N] read
  param %y : {d}[3] write
  grid (i0 < 3)
  %y[i0] = {init}
  vector for i1 < dim(N) {{
    %y[i0] {op}= %x[i0, i1]
  }}
}}
"
        )));
    }
    // Two at once, one a sum of products; and one guarded in some lanes, one for all.
    cases.extend(lengths(
        "kernel two(N) {
  param %x : f32[N] read
  param %w : f32[N] read
  param %y : f32[4] write
  local %a : f32[4] register
  unroll for i0 < 4 {
    %a[i0] = 0.0:f32
  }
  vector for i1 < dim(N) {
    %a[0] sum= %x[i1] * %w[i1]
    %a[1] max= abs(%x[i1])
    %a[2 where %w[i1] > 0.0:f32] sum= %x[i1]
    if dim(N) > 5 {
      %a[3] sum= %w[i1]
    }
  }
  unroll for i2 < 4 {
    %y[i2] = %a[i2]
  }
}
",
    ));
    check(&cases);
}

#[test]
fn reductions_keep_nan() {
    let text = "kernel nan(N) {
  param %x : f32[N] read
  param %y : f32[2] write
  %y[0] = -inf:f32
  %y[1] = inf:f32
  vector for i0 < dim(N) {
    %y[0] max= %x[i0]
    %y[1] min= %x[i0]
  }
}
";
    let mut cases = vec![];
    for n in [1usize, 5, 40, 200] {
        for at in [0, n / 2, n - 1] {
            let x = Tensor::build(DType::F32, &[n], |i| Num::Float(if i == at { f64::NAN } else { i as f64 }));
            cases.push(Case::new(text, &[n as i64]).with(0, x));
        }
    }
    check(&cases);
}

#[test]
fn rows_through_a_panel() {
    // Softmax and a layer normalisation: several passes over a row, scalars in registers.
    let softmax = "kernel softmax(N) {
  param %x : f32[3, N] read
  param %y : f32[3, N] write
  local %m : f32[2] register
  local %p : f32[256] panel
  grid (i0 < 3)
  %m[0] = -inf:f32
  %m[1] = 0.0:f32
  vector for i1 < dim(N) {
    %m[0] max= %x[i0, i1]
  }
  vector for i2 < dim(N) {
    %p[i2] = exp(%x[i0, i2] - %m[0])
    %m[1] sum= exp(%x[i0, i2] - %m[0])
  }
  vector for i3 < dim(N) {
    %y[i0, i3] = %p[i3] / %m[1]
  }
}
";
    let norm = "kernel norm(N) {
  param %x : f32[3, N] read
  param %g : f32[N] read
  param %y : f32[3, N] write
  local %m : f32[2] register
  grid (i0 < 3)
  %m[0] = 0.0:f32
  %m[1] = 0.0:f32
  vector for i1 < dim(N) {
    %m[0] sum= %x[i0, i1] / cast(f32, dim(N))
  }
  vector for i2 < dim(N) {
    %m[1] sum= (%x[i0, i2] - %m[0]) * (%x[i0, i2] - %m[0])
  }
  vector for i3 < dim(N) {
    %y[i0, i3] = (%x[i0, i3] - %m[0]) * rsqrt(%m[1] / cast(f32, dim(N)) + 0.0009765625:f32) * %g[i3]
  }
}
";
    let cases = lengths(softmax).into_iter().chain(lengths(norm)).map(|c| c.within(1e-5, 1e-4)).collect::<Vec<_>>();
    check(&cases);
}

#[test]
fn guards() {
    let mut cases = vec![];
    for (name, value) in [
        ("shift", "%x[i0 - 3 where i0 >= 3 else -7.5:f32]"),
        ("head", "%x[i0 where i0 + 2 < dim(N) else 0.0:f32]"),
        ("reversed", "%x[dim(N) - 1 - i0]"),
        ("beyond", "%x[dim(N) - i0 where i0 > 0 else 1.0:f32]"),
        ("uniform", "%x[i0 where dim(N) > 16 else 2.0:f32] + %s[0 where dim(N) > 7 else -1.0:f32]"),
        ("never", "%x[i0 + dim(N) where i0 < 0 else 3.0:f32]"),
        ("data", "%x[i0 where %w[i0] < 0.5:f32 else 0.0:f32]"),
        ("same", "%s[0 where i0 > 4 else 9.0:f32]"),
        ("none", "%s[dim(N) + 7 where i0 > dim(N) else 9.0:f32]"),
        ("scattered", "%x[i0 * 5 / 7 where i0 >= 2 else 4.0:f32]"),
        ("strided", "%x[i0 * 2 where i0 * 2 < dim(N) else 4.0:f32]"),
    ] {
        for dst in ["i0", "i0 where i0 != 3", "i0 where i0 < dim(N) - 1", "i0 where %w[i0] > 0.0:f32", "i0 where dim(N) > 9"] {
            let text = format!(
                "kernel {name}(N) {{
  param %x : f32[N] read
  param %w : f32[N] read
  param %s : f32[1] read
  param %y : f32[N] write
  vector for i0 < dim(N) {{
    %y[{dst}] = {value}
  }}
}}
"
            );
            cases.extend([1, 6, 16, 19, 70].iter().map(|&n| Case::new(&text, &[n])));
        }
    }
    check(&cases);
}

#[test]
fn a_skipped_statement_reads_nothing() {
    // The scale of rows past the end does not exist; neither do the lanes past the columns.
    let text = "kernel edge(M, N) {
  param %x : f32[M, N] read
  param %s : f32[M] read
  param %y : f32[M, N] write
  grid (i0 < floordiv(M + 3, 4), i1 < floordiv(N + 31, 32))
  unroll for i2 < 4 {
    vector for i3 < 32 {
      %y[i0 * 4 + i2, i1 * 32 + i3 where (i0 * 4 + i2 < dim(M)) & (i1 * 32 + i3 < dim(N))] = %x[i0 * 4 + i2, i1 * 32 + i3] * %s[i0 * 4 + i2]
    }
  }
}
";
    let cases: Vec<Case> = [(1, 1), (4, 32), (5, 33), (7, 100), (3, 31)].iter().map(|&(m, n)| Case::new(text, &[m, n])).collect();
    check(&cases);
}

#[test]
fn addresses() {
    let mut cases = vec![];
    for (name, x, dst, value) in [
        ("transpose", "f32[N, 3]", "i0, i1", "%x[i1, i0]"),
        ("stride", "f32[3, N * 2]", "i0, i1", "%x[i0, i1 * 2 + 1]"),
        ("backwards", "f32[3, N]", "i0, dim(N) - 1 - i1", "%x[i0, i1]"),
        ("reshape", "f32[N, 3]", "i0, i1", "%x[(i0 * dim(N) + i1) / 3, mod(i0 * dim(N) + i1, 3)]"),
        ("gather", "f32[3, N]", "i0, i1", "%x[mod(i1, 3), cast(i64, abs(%w[i1]) * 0.375:f32 * cast(f32, dim(N)))]"),
        ("broadcast", "f32[3]", "i0, i1", "%x[i0]"),
        ("coordinates", "f32[3]", "i0, i1", "%x[i0] * cast(f32, i1 * i1 - 3 * i0)"),
    ] {
        let text = format!(
            "kernel {name}(N) {{
  param %x : {x} read
  param %w : f32[N] read
  param %y : f32[3, N] write
  grid (i0 < 3)
  vector for i1 < dim(N) {{
    %y[{dst}] = {value}
  }}
}}
"
        );
        cases.extend([1, 3, 7, 16, 37, 90].iter().map(|&n| Case::new(&text, &[n])));
    }
    // The vector variable is the outer axis of the store.
    cases.extend(lengths(
        "kernel columns(N) {
  param %x : f32[3, N] read
  param %y : f32[N, 3] write
  for i0 < 3 {
    vector for i1 < dim(N) {
      %y[i1, i0] = %x[i0, i1]
    }
  }
}
",
    ));
    // Several lanes add to one element, in order.
    cases.extend(lengths(
        "kernel histogram(N) {
  param %i : i64[N] read
  param %x : f32[N] read
  param %y : f32[101] readwrite
  vector for i0 < dim(N) {
    %y[abs(%i[i0]) where %x[i0] > -1.0:f32] sum= %x[i0]
  }
}
",
    ));
    cases.extend(lengths(
        "kernel accumulate(N) {
  param %x : f32[5, N] read
  param %y : f32[N] readwrite
  for i0 < 5 {
    vector for i1 < dim(N) {
      %y[i1 where i1 != 2] sum= %x[i0, i1]
    }
  }
}
",
    ));
    check(&cases);
}

#[test]
fn control_and_dimensions() {
    let text = "kernel control(N, M) {
  param %x : i64[N, M + 4] read
  param %y : i64[N, M + 4] write
  param %z : i64[] write
  %z[] = dim(floordiv(N * 7 - M, 3)) * 1000 + dim(mod(N - M, 5)) * 100 + dim(min(N, M)) * 10 + dim(max(N, 2 * M))
  for i0 < dim(N) {
    for i1 < dim(M + 4) {
      %y[i0, i1] = i0
      if i1 > i0 {
        %y[i0, i1] = %x[i0, i1]
        for i2 < i1 - 3 {
          %y[i0, i1] sum= i2
        }
      }
    }
  }
}
";
    let mut cases: Vec<Case> = [(0, 0), (1, 5), (6, 3), (9, 1)].iter().map(|&(n, m)| Case::new(text, &[n, m])).collect();
    let grid = "kernel grid(N) {
  param %y : i32[2, N, 3] write
  grid (i0 < 2, i1 < N, i2 < 3)
  %y[i0, i1, i2] = cast(i32, i0 * 100 + i1 * 10 + i2)
}
";
    cases.extend([1, 4, 9].iter().map(|&n| Case::new(grid, &[n])));
    check(&cases);
}

#[test]
fn copies() {
    let mut cases = vec![];
    for (dst, src) in [
        ("i2, i1", "i0 * 8 + i1, i2"),
        ("i1, i2", "i0 * 8 + i1, i2"),
        ("i2, i1", "i0 * 8 + i1, i2 where i0 * 8 + i1 < dim(N) else 0.0:f32"),
        ("i1, i2", "i0 * 8 + i1, i2 where i0 * 8 + i1 < dim(N) else 7.0:f32"),
        ("i1, i2", "i0 * 8 + i1, i2 - 1 where (i2 > 0) & (i0 * 8 + i1 < dim(N)) else 1.5:f32"),
    ] {
        for n in [8, 16, 11] {
            if n == 11 && !src.contains("where") {
                continue;
            }
            let (a, b) = if dst == "i2, i1" { (13, 8) } else { (8, 13) };
            cases.push(Case::new(
                &format!(
                    "kernel pack(N) {{
  param %x : f32[N, 13] read
  param %y : f32[floordiv(N + 7, 8), {a}, {b}] write
  local %p : f32[{a}, {b}] panel
  grid (i0 < floordiv(N + 7, 8))
  copy (i1 < 8, i2 < 13) %p[{dst}] = %x[{src}]
  wait %p \"the panel is used\"
  for i3 < {a} {{
    vector for i4 < {b} {{
      %y[i0, i3, i4] = %p[i3, i4]
    }}
  }}
}}
"
                ),
                &[n],
            ));
        }
    }
    check(&cases);
}

/// A product of one tile; `a` and `b` are the elements over i (rows), j (columns) and k.
fn product(types: (&str, &str, &str), shapes: (&str, &str), tile: (i64, i64), depth: &str, a: &str, b: &str) -> String {
    let (ta, tb, tc) = types;
    let zero = if tc.starts_with(['f', 'b']) { format!("1.5:{tc}") } else { format!("3:{tc}") };
    let (mr, nr) = tile;
    format!(
        "kernel product(N) {{
  param %a : {ta}[{}] read
  param %b : {tb}[{}] read
  param %y : {tc}[{mr}, {nr}] write
  local %acc : {tc}[{mr}, {nr}] register
  unroll for i0 < {mr} {{
    vector for i1 < {nr} {{
      %acc[i0, i1] = {zero}
    }}
  }}
  mma (i2, i3, i4 < {depth}) %acc += %a[{a}] * %b[{b}]
  unroll for i5 < {mr} {{
    vector for i6 < {nr} {{
      %y[i5, i6] = %acc[i5, i6]
    }}
  }}
}}
",
        shapes.0, shapes.1
    )
}

#[test]
fn products() {
    let f = ("f32", "f32", "f32");
    let mut cases = vec![];
    for tile in [(4, 16), (3, 20), (8, 12), (1, 1), (2, 7), (6, 64)] {
        let (m, n) = tile;
        let (row_a, col_b) = (format!("{m}, N"), format!("N, {n}"));
        for d in [0, 1, 4, 6, 19] {
            // In place, packed, with a stride, both transposed, of unknown stride, guarded columns.
            let mut add = |t: String| cases.push(Case::new(&t, &[d]).within(1e-4, 1e-4));
            add(product(f, (&row_a, &col_b), tile, "dim(N)", "i2, i4", "i4, i3"));
            add(product(f, (&format!("N, {m}"), &col_b), tile, "dim(N)", "i4, i2", "i4, i3"));
            add(product(f, (&row_a, &format!("{n}, N")), tile, "dim(N)", "i2, i4", "i3, i4"));
            add(product(f, (&format!("{m}, 2 * N"), &col_b), tile, "dim(N)", "i2, i4 * 2 + 1", "i4, i3"));
            add(product(
                f,
                (&row_a, &format!("N, {}", n - 1)),
                tile,
                "dim(N)",
                "i2, i4",
                &format!("i4, i3 where i3 < {}", n - 1),
            ));
            // Rows that are absent: of any depth, and of a depth with a bound.
            add(product(f, (&format!("{m} - 1, N"), &col_b), tile, "dim(N)", &format!("i2, i4 where i2 < {}", m - 1), "i4, i3"));
            add(product(
                f,
                (&format!("{m} - 1, N"), &col_b),
                tile,
                "min(dim(N), 6)",
                &format!("i2, i4 where i2 < {}", m - 1),
                "i4, i3",
            ));
            add(product(f, (&row_a, &col_b), tile, "dim(N)", "i2, i4 where dim(N) > 4", "i4, i3"));
            // Rows at any place, each with its own guard.
            add(product(
                f,
                (&row_a, &col_b),
                tile,
                "min(dim(N), 6)",
                &format!("mod(i2 * 5, {m}), i4 where mod(i2, 3) != 1"),
                "i4, i3",
            ));
            add(product(f, (&row_a, &col_b), tile, "dim(N)", &format!("i2, mod(i4 * 2, {}) where i2 != 1", 1.max(d)), "i4, i3"));
        }
    }
    for (types, tile) in [
        (("f16", "f16", "f32"), (4, 16)),
        (("bf16", "bf16", "f32"), (3, 24)),
        (("f16", "f32", "f32"), (2, 8)),
        (("f64", "f64", "f64"), (4, 8)),
        (("i8", "i8", "i32"), (4, 16)),
        (("u8", "i8", "i32"), (3, 12)),
        (("f16", "f16", "f16"), (2, 16)),
        (("i64", "i64", "i64"), (2, 4)),
    ] {
        let (m, n) = tile;
        for d in [0, 1, 5, 16] {
            let t = product(types, (&format!("{m}, N"), &format!("N, {n}")), tile, "dim(N)", "i2, i4", "i4, i3");
            cases.push(Case::new(&t, &[d]).within(1e-4, 1e-4));
            let t = product(types, (&format!("N, {m}"), &format!("N, {n}")), tile, "dim(N)", "i4, i2", "i4, i3");
            cases.push(Case::new(&t, &[d]).within(1e-4, 1e-4));
        }
    }
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
}

#[test]
fn convolution_as_a_product() {
    // 3 x 3, padding 1: rows of the tile are pixels, absent ones are zero; depth is cut in blocks.
    let text = "kernel conv(H) {
  param %x : f32[H, H, 6] read
  param %w : f32[3, 3, 6, 16] read
  param %y : f32[H * H, 16] write
  local %acc : f32[4, 16] register
  grid (i0 < floordiv(H * H + 3, 4))
  unroll for i1 < 4 {
    vector for i2 < 16 {
      %acc[i1, i2] = 0.0:f32
    }
  }
  for i3 < 3 {
    for i4 < 3 {
      for i5 < 2 {
        r := (i0 * 4 + i6) / dim(H) + i3 - 1
        c := mod(i0 * 4 + i6, dim(H)) + i4 - 1
        mma (i6, i7, i8 < min(4, 6 - i5 * 4)) %acc += %x[r, c, i5 * 4 + i8 where (r >= 0) & (r < dim(H)) & (c >= 0) & (c < dim(H))] * %w[i3, i4, i5 * 4 + i8, i7]
      }
    }
  }
  unroll for i9 < 4 {
    vector for i10 < 16 {
      %y[i0 * 4 + i9, i10 where i0 * 4 + i9 < dim(H * H)] = max(%acc[i9, i10], 0.0:f32)
    }
  }
}
";
    let cases: Vec<Case> = [1, 2, 5].iter().map(|&h| Case::new(text, &[h]).within(1e-4, 1e-4)).collect();
    check(&cases);
}

#[test]
fn depthwise_in_registers() {
    let text = "kernel depthwise(W) {
  param %x : f32[W, 40] read
  param %w : f32[3, 40] read
  param %y : f32[W, 40] write
  local %acc : f32[40] register
  grid (i0 < W)
  vector for i1 < 40 {
    %acc[i1] = 0.0:f32
  }
  for i2 < 3 {
    if (i0 + i2 > 0) & (i0 + i2 <= dim(W)) {
      vector for i3 < 40 {
        %acc[i3] sum= %x[i0 + i2 - 1, i3] * %w[i2, i3]
      }
    }
  }
  vector for i4 < 40 {
    %y[i0, i4] = %acc[i4]
  }
}
";
    let cases: Vec<Case> = [1, 2, 6].iter().map(|&w| Case::new(text, &[w])).collect();
    check(&cases);
}
