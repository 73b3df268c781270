//! The error of every elementary function, in units in the last place of the correctly rounded result, over the whole range
//! of arguments on every target. `cargo test -p beiming-cpu --test math -- --nocapture` prints the table of `math/mod.rs`.

mod support;

use beiming_ir::ops::UnaryOp;
use beiming_ir::target::Target;
use beiming_ir::tensor::Tensor;
use beiming_ir::types::DType;
use support::{Case, run, targets};

// The C library's functions of `f64` are good to about one unit: the reference. Those of `f32` are checked against `f64`.
unsafe extern "C" {
    safe fn exp(x: f64) -> f64;
    safe fn expm1(x: f64) -> f64;
    safe fn log(x: f64) -> f64;
    safe fn log1p(x: f64) -> f64;
    safe fn sin(x: f64) -> f64;
    safe fn cos(x: f64) -> f64;
    safe fn tan(x: f64) -> f64;
    safe fn asin(x: f64) -> f64;
    safe fn acos(x: f64) -> f64;
    safe fn atan(x: f64) -> f64;
    safe fn sinh(x: f64) -> f64;
    safe fn cosh(x: f64) -> f64;
    safe fn tanh(x: f64) -> f64;
    safe fn asinh(x: f64) -> f64;
    safe fn acosh(x: f64) -> f64;
    safe fn atanh(x: f64) -> f64;
    safe fn erf(x: f64) -> f64;
    safe fn erfc(x: f64) -> f64;
    safe fn cbrt(x: f64) -> f64;
    safe fn pow(x: f64, y: f64) -> f64;
    safe fn fmod(x: f64, y: f64) -> f64;
    safe fn atan2(y: f64, x: f64) -> f64;
}

type Function = fn(f64) -> f64;

/// Function, reference, and the largest error allowed in `f32` and in `f64`.
const TABLE: [(UnaryOp, Function, f64, f64); 24] = [
    (UnaryOp::Exp, |x| exp(x), 2.0, 2.0),
    (UnaryOp::Expm1, |x| expm1(x), 2.0, 3.0),
    (UnaryOp::Log, |x| log(x), 2.0, 2.0),
    (UnaryOp::Log1p, |x| log1p(x), 2.0, 3.0),
    (UnaryOp::Sin, |x| sin(x), 2.0, 2.0),
    (UnaryOp::Cos, |x| cos(x), 2.0, 2.0),
    (UnaryOp::Tan, |x| tan(x), 4.0, 4.0),
    (UnaryOp::Asin, |x| asin(x), 3.0, 3.0),
    (UnaryOp::Acos, |x| acos(x), 2.0, 3.0),
    (UnaryOp::Atan, |x| atan(x), 2.0, 3.0),
    (UnaryOp::Sinh, |x| sinh(x), 3.0, 4.0),
    (UnaryOp::Cosh, |x| cosh(x), 3.0, 3.0),
    (UnaryOp::Tanh, |x| tanh(x), 4.0, 4.0),
    (UnaryOp::Asinh, |x| asinh(x), 4.0, 4.0),
    (UnaryOp::Acosh, |x| acosh(x), 4.0, 4.0),
    (UnaryOp::Atanh, |x| atanh(x), 4.0, 4.0),
    (UnaryOp::Erf, |x| erf(x), 2.0, 2.0),
    (UnaryOp::Erfc, |x| erfc(x), 4.0, 6.0),
    (UnaryOp::Cbrt, |x| cbrt(x), 1.0, 2.0),
    (UnaryOp::Sigmoid, |x| if x < 0.0 { exp(x) / (1.0 + exp(x)) } else { 1.0 / (1.0 + exp(-x)) }, 3.0, 4.0),
    (UnaryOp::Rsqrt, |x| 1.0 / x.sqrt(), 2.0, 2.0),
    (UnaryOp::Recip, |x| 1.0 / x, 1.0, 1.0),
    (UnaryOp::RoundAway, |x| x.round(), 0.0, 0.0),
    (UnaryOp::Round, |x| x.round_ties_even(), 0.0, 0.0),
];

fn kernel(d: DType, expression: &str, params: usize) -> String {
    let inputs: String = ["x", "w"][..params].iter().map(|p| format!("  param %{p} : {d}[N] read\n")).collect();
    format!(
        "kernel f(N) {{\n{inputs}  param %y : {d}[N] write\n  vector for i0 < dim(N) {{\n    %y[i0] = {expression}\n  }}\n}}\n"
    )
}

/// Every so manieth `f32`, and many about zero.
fn arguments(step: usize) -> Vec<f32> {
    let all = (0..=u32::MAX).step_by(step).map(f32::from_bits);
    let near = (0..300_000 / (step / 10_007).max(1)).map(|i| (i as f32 / 150_000.0 - 1.0) * 12.0);
    let special = [0.0, -0.0, 1.0, -1.0, 0.5, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::MIN_POSITIVE, 1e-45];
    all.chain(near).chain(special).collect()
}

/// Distance in units in the last place of the value rounded to 24 or 53 bits.
fn error(d: DType, got: f64, want: f64) -> f64 {
    let (bits, least) = if d == DType::F32 { (23, -149) } else { (52, -1074) };
    let rounded = if d == DType::F32 { f64::from(want as f32) } else { want };
    if got.is_nan() || rounded.is_nan() {
        return if got.is_nan() && rounded.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if got == rounded {
        return if got == 0.0 && want == 0.0 && got.is_sign_negative() != want.is_sign_negative() { f64::INFINITY } else { 0.0 };
    }
    if got.is_infinite() || rounded.is_infinite() {
        // The largest finite number is next to infinity.
        let max = if d == DType::F32 { f64::from(f32::MAX) } else { f64::MAX };
        return if got.abs().min(rounded.abs()) == max && (got > 0.0) == (rounded > 0.0) { 1.0 } else { f64::INFINITY };
    }
    let exponent = if want == 0.0 { least } else { want.abs().log2().floor() as i32 };
    let power = (exponent - bits).max(least);
    (got - want).abs() / 2f64.powi(power / 2) / 2f64.powi(power - power / 2)
}

fn measure(d: DType, t: &Target, xs: &Tensor) -> Vec<(f64, f64)> {
    let cases: Vec<Case> = TABLE
        .iter()
        .map(|(op, ..)| Case::new(&kernel(d, &format!("{}(%x[i0])", op.name()), 1), &[xs.len() as i64]).with(0, xs.clone()))
        .collect();
    let x = xs.to_f64();
    run(&cases, t)
        .iter()
        .zip(TABLE)
        .map(|(p, (_, f, ..))| {
            let got = p[1].to_f64();
            x.iter().zip(got).map(|(&x, g)| (error(d, g, f(x)), x)).fold((0.0, 0.0), |a, b| if b.0 > a.0 { b } else { a })
        })
        .collect()
}

#[test]
fn errors_are_within_their_bounds() {
    let mut bad = vec![];
    for t in targets() {
        let arm = t.triple.starts_with("aarch64");
        let a = arguments(if arm { 100_003 } else { 10_007 });
        let f32s = Tensor::f32(&[a.len()], &a);
        // The same arguments, with bits below those of an f32; and some far beyond them, where only angles are of interest.
        let far = (0..997).map(|i| 2f64.powf(30.0 + f64::from(i) * (993.9 / 997.0)) * if i % 2 == 0 { 1.0 } else { -1.0 });
        let far = far.chain([f64::MAX, -f64::MAX]);
        let b: Vec<f64> = a.iter().map(|&x| f64::from(x) * (1.0 + 1e-9)).chain(far).collect();
        let f64s = Tensor::from_f64(DType::F64, &[b.len()], &b);
        for (d, xs) in [(DType::F32, f32s), (DType::F64, f64s)] {
            for ((op, _, e32, e64), (e, at)) in TABLE.iter().zip(measure(d, &t, &xs)) {
                println!("{} {d} {}: {e:.2} at {at:e}", t.name, op.name());
                if e > if d == DType::F32 { *e32 } else { *e64 } {
                    bad.push(format!("{} {d} {}: {e:.2} at {at:e}", t.name, op.name()));
                }
            }
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

/// No double is nearer to a multiple of a quarter turn (J.-M. Muller, Elementary Functions, 2006, table 11.1). Not every C library
/// gets it right, so the value is written here.
#[test]
fn the_hardest_angle() {
    let x = 6_381_956_970_095_103.0 * 2f64.powi(797);
    let xs = Tensor::from_f64(DType::F64, &[3], &[x, -x, 1.0]);
    for t in targets() {
        let case = |f: &str| Case::new(&kernel(DType::F64, &format!("{f}(%x[i0])"), 1), &[3]).with(0, xs.clone());
        let got: Vec<Vec<f64>> = run(&[case("cos"), case("sin")], &t).iter().map(|p| p[1].to_f64()).collect();
        let want = -4.687_165_924_254_628e-19;
        for (g, w) in got.iter().zip([[want, want, 1f64.cos()], [1.0, -1.0, 1f64.sin()]]) {
            assert!(g.iter().zip(w).all(|(g, w)| error(DType::F64, *g, w) <= 2.0), "{}: {g:?}, not {w:?}", t.name);
        }
    }
}

#[test]
fn functions_of_two_arguments() {
    let special = [0.0f32, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, 3.0, -3.0, 1e30, 1e-40, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    let mut x: Vec<f32> = vec![];
    let mut w: Vec<f32> = vec![];
    for &a in &special {
        for &b in &special {
            x.push(a);
            w.push(b);
        }
    }
    for i in 0..5000 {
        x.push(((i * 7919) % 1000) as f32 * 0.0373 - 11.0);
        w.push(((i * 104_729) % 1000) as f32 * 0.0171 - 8.0);
    }
    let n = x.len();
    let floor_mod = |a: f64, b: f64| {
        let r = fmod(a, b);
        if r == 0.0 {
            0f64.copysign(b)
        } else if (r < 0.0) != (b < 0.0) {
            r + b
        } else {
            r
        }
    };
    type Binary<'a> = (&'a str, &'a dyn Fn(f64, f64) -> f64, f64, f64);
    let table: [Binary<'_>; 4] = [
        ("pow(%x[i0], %w[i0])", &|a, b| pow(a, b), 1.0, 2.0),
        ("atan2(%x[i0], %w[i0])", &|a, b| atan2(a, b), 3.0, 4.0),
        ("rem(%x[i0], %w[i0])", &|a, b| fmod(a, b), 0.5, 0.0),
        ("mod(%x[i0], %w[i0])", &floor_mod, 0.51, 0.0),
    ];
    for t in targets() {
        for d in [DType::F32, DType::F64] {
            let tensor = |v: &[f32]| Tensor::build(d, &[v.len()], |i| beiming_ir::tensor::Num::Float(f64::from(v[i])));
            let cases: Vec<Case> = table
                .iter()
                .map(|(e, ..)| Case::new(&kernel(d, e, 2), &[n as i64]).with(0, tensor(&x)).with(1, tensor(&w)))
                .collect();
            for (p, (name, f, e32, e64)) in run(&cases, &t).iter().zip(&table) {
                let bound = if d == DType::F32 { *e32 } else { *e64 };
                for (i, g) in p[2].to_f64().into_iter().enumerate() {
                    let (a, b) = (f64::from(x[i]), f64::from(w[i]));
                    let e = error(d, g, f(a, b));
                    assert!(e <= bound, "{} {d} {name} of {a:e}, {b:e}: {g:e}, should be {:e}", t.name, f(a, b));
                }
            }
        }
    }
}
