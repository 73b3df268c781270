//! Every element type: conversions, functions and bits at the ends of its range.

use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::DType;

use crate::support::{Case, check};

/// Element types in whose form a value can be stored, complex excluded.
fn types() -> Vec<DType> {
    DType::ALL.into_iter().filter(|d| !d.is_complex()).collect()
}

/// Numbers at the ends of every type, and ordinary ones.
fn extremes(d: DType) -> Tensor {
    let values: Vec<Num> = if d.is_float() {
        [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.5,
            1.5,
            2.5,
            -2.5,
            3.7,
            127.5,
            128.0,
            -129.0,
            255.0,
            300.0,
            7.49,
            65504.0,
            65519.9,
            65520.0,
            1e9,
            3e9,
            -3e9,
            9.3e18,
            -9.3e18,
            2e19,
            1e38,
            -1e38,
            448.0,
            464.0,
            465.0,
            57344.0,
            61440.0,
            240.0,
            248.0,
            0.0009765,
            0.002,
            1e-8,
            -1e-8,
            6e-39,
            1e-45,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            1.0000001,
            1.00048828125,
            1.00048828126,
        ]
        .map(Num::Float)
        .to_vec()
    } else {
        let (lo, hi) = d.int_range().unwrap_or((0, 1));
        [
            lo,
            lo + 1,
            hi,
            hi - 1,
            0,
            1,
            -1,
            2,
            3,
            7,
            8,
            100,
            65_519,
            65_520,
            16_777_217,
            16_842_753,
            1 << 40,
            (1 << 53) + 1,
            hi / 2,
            hi / 3,
        ]
        .map(|v| Num::Int(v.clamp(lo, hi)))
        .to_vec()
    };
    Tensor::build(d, &[values.len()], |i| values[i])
}

#[test]
fn every_cast() {
    let mut cases = vec![];
    for to in types() {
        let mut params = String::new();
        let mut body = String::new();
        let mut tensors = vec![];
        for from in types() {
            let x = extremes(from);
            let n = x.len();
            params += &format!("  param %x_{from} : {from}[{n}] read\n  param %y_{from} : {to}[{n}] write\n");
            let v = tensors.len();
            body += &format!("  vector for i{v} < {n} {{\n    %y_{from}[i{v}] = cast({to}, %x_{from}[i{v}])\n  }}\n");
            tensors.push(x);
        }
        let mut c = Case::new(&format!("kernel cast_{to}() {{\n{params}{body}}}\n"), &[]).within(0.0, 0.0);
        for (i, x) in tensors.into_iter().enumerate() {
            c = c.with(2 * i, x);
        }
        cases.push(c);
    }
    check(&cases);
}

#[test]
fn every_function() {
    let unary = "neg abs sign sqrt rsqrt recip floor ceil round trunc is_nan is_inf not bit_not exp tanh";
    let binary = "add sub mul div max min mod rem eq ne lt le gt ge and or xor shl shr pow";
    let mut cases = vec![];
    for d in types() {
        let e = extremes(d);
        let n = e.len();
        let pair = |first: bool| Tensor::build(d, &[n * n], |i| e.get(if first { i / n } else { i % n }));
        let mut params = format!("  param %a : {d}[{}] read\n  param %b : {d}[{}] read\n", n * n, n * n);
        let mut body = String::new();
        let mut v = 0;
        for f in unary.split(' ') {
            let op = beiming_ir::ops::UnaryOp::ALL.into_iter().find(|o| o.name() == f).expect("a function");
            // The power of elementary functions is measured in `math`.
            if let Some(r) = op.result(d) {
                params += &format!("  param %u_{f} : {r}[{}] write\n", n * n);
                body += &format!("  vector for i{v} < {} {{\n    %u_{f}[i{v}] = {f}(%a[i{v}])\n  }}\n", n * n);
                v += 1;
            }
        }
        for f in binary.split(' ') {
            let op = beiming_ir::ops::BinaryOp::ALL.into_iter().find(|o| o.name() == f).expect("a function");
            if d.is_float() && f == "pow" {
                continue;
            }
            if let Some(r) = op.result(d) {
                let e = match f {
                    "add" => "%a[V] + %b[V]",
                    "sub" => "%a[V] - %b[V]",
                    "mul" => "%a[V] * %b[V]",
                    "div" => "%a[V] / %b[V]",
                    "eq" => "%a[V] == %b[V]",
                    "ne" => "%a[V] != %b[V]",
                    "lt" => "%a[V] < %b[V]",
                    "le" => "%a[V] <= %b[V]",
                    "gt" => "%a[V] > %b[V]",
                    "ge" => "%a[V] >= %b[V]",
                    "and" => "%a[V] & %b[V]",
                    "or" => "%a[V] | %b[V]",
                    "xor" => "%a[V] ^ %b[V]",
                    _ => "F(%a[V], %b[V])",
                };
                let e = e.replace('F', f).replace('V', &format!("i{v}"));
                params += &format!("  param %b_{f} : {r}[{}] write\n", n * n);
                body += &format!("  vector for i{v} < {} {{\n    %b_{f}[i{v}] = {e}\n  }}\n", n * n);
                v += 1;
            }
        }
        let tolerance = if d == DType::F64 { 1e-14 } else { 1e-6 };
        let c = Case::new(&format!("kernel functions_{d}() {{\n{params}{body}}}\n"), &[]).within(0.0, tolerance);
        cases.push(c.with(0, pair(true)).with(1, pair(false)));
    }
    check(&cases);
}

#[test]
fn bits() {
    let mut cases = vec![];
    for (a, b) in
        [("f32", "i32"), ("i32", "f32"), ("f64", "u64"), ("f16", "u16"), ("u16", "bf16"), ("i8", "u8"), ("u8", "f8e4m3fn")]
    {
        cases.push(Case::new(
            &format!(
                "kernel bits(N) {{\n  param %x : {a}[N] read\n  param %y : {b}[N] write\n  vector for i0 < dim(N) {{\n    %y[i0] = bitcast({b}, %x[i0])\n  }}\n}}\n"
            ),
            &[37],
        ));
    }
    check(&cases);
}
