//! StableHLO programs computed as they are written: every product and every sum of floats by itself, in order, rounded to its type. In
//! the evaluator and as machine code, to the bit, against numbers written by hand; and the same programs as they are computed
//! usually, which sums wider.

use beiming::Options;
use beiming::import::stablehlo::{module, translate};
use beiming::import::{self, ImportOptions};
use beiming_ir::eval;
use beiming_ir::graph::Graph;
use beiming_ir::target::Target;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::DType;
use beiming_tests::compiled;
use translate::{Known, Settings};

fn options(text: &str, as_written: bool) -> Options {
    let mut options = Options::default();
    if as_written {
        options.as_written();
    }
    // The memory of open extents is laid out for the largest.
    if text.contains("%arg0: tensor<?x?x") {
        ["arg0_d0=1..8", "arg0_d1=1..8"].iter().for_each(|d| options.import.add_dim(d).expect("a range"));
    }
    options
}

fn read(text: &str, options: &ImportOptions) -> Graph {
    let module = module(text.as_bytes().to_vec().into()).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let read = translate::translate(&module, options, Settings::default(), Known::default());
    read.unwrap_or_else(|e| panic!("{e}\n{text}")).graph
}

/// The results of the evaluator and of compiled code.
fn run(text: &str, inputs: &[Tensor], as_written: bool) -> [Vec<Tensor>; 2] {
    let options = options(text, as_written);
    let g = read(text, &options.import);
    let evaluated = eval::graph(&g, inputs).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let target = Target::host();
    let c = compiled::compile_with(&g, &target, &options.optimize, &options.lower).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let code = compiled::emit_plain(&c.program).unwrap_or_else(|e| panic!("{e}"));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("case.bm");
    compiled::write(&path, "case", &c.program, &code).unwrap_or_else(|e| panic!("{e}"));
    let names = g.inputs.iter().map(|v| g.value(*v).name.to_string());
    let named: Vec<(String, Tensor)> = names.zip(inputs.iter().cloned()).collect();
    [evaluated, compiled::run_here(&path, &named, 1).unwrap_or_else(|e| panic!("{e}\n{text}"))]
}

fn floats(dtype: DType, shape: &[usize], v: &[f64]) -> Tensor {
    Tensor::from_f64(dtype, shape, v)
}

/// A function of one operation: its arguments' types, the operation, its result type.
fn program(types: &[&str], op: &str, result: &str) -> String {
    let args: Vec<String> = types.iter().enumerate().map(|(i, t)| format!("%arg{i}: tensor<{t}>")).collect();
    let list: Vec<String> = types.iter().map(|t| format!("tensor<{t}>")).collect();
    let body = format!("  %r = {op} : ({}) -> tensor<{result}>\n", list.join(", "));
    format!("func.func @main({}) -> tensor<{result}> {{\n{body}  return %r : tensor<{result}>\n}}\n", args.join(", "))
}

/// The same with an initial value and a reducer that adds; `kind` is `f32` or another element type.
fn summed(op: &str, attributes: &str, (from, to): (&str, &str), kind: &str) -> String {
    let scalar = format!("tensor<{kind}>");
    format!(
        "func.func @main(%x: tensor<{from}x{kind}>) -> tensor<{to}{kind}> {{
  %z = stablehlo.constant dense<0.0> : {scalar}
  %r = \"stablehlo.{op}\"(%x, %z) ({{
  ^bb0(%a: {scalar}, %b: {scalar}):
    %s = stablehlo.add %a, %b : {scalar}
    stablehlo.return %s : {scalar}
  }}) {attributes} : (tensor<{from}x{kind}>, {scalar}) -> tensor<{to}{kind}>
  return %r : tensor<{to}{kind}>\n}}\n"
    )
}

fn conv(reversed: &str) -> String {
    format!(
        "\"stablehlo.convolution\"(%arg0, %arg1) {{batch_group_count = 1 : i64, dimension_numbers = \
         #stablehlo.conv<[b, 0, f]x[0, i, o]->[b, 0, f]>, feature_group_count = 1 : i64, window_reversal = array<i1: {reversed}>}}"
    )
}

/// A program, its arguments, what it gives as it is written, and what the evaluator gives usually.
type Case = (&'static str, String, Vec<Tensor>, &'static [f64], &'static [f64]);

fn cases() -> Vec<Case> {
    use DType::{BF16, F32};
    // 1.0 + 2^-12, whose square is 1.0 + 2^-11 + 2^-24: in f32 without the last term.
    let (x, square, lost, least) = (1.0 + 2f64.powi(-12), 1.0 + 2f64.powi(-11), 2f64.powi(-24), 2f64.powi(-30));
    const LEAST: f64 = 1.0 / (1u64 << 30) as f64;
    const BOTH: f64 = 1.0 / (1u64 << 24) as f64 + LEAST;
    assert_eq!(lost + least, BOTH);
    let running = "{base_dilations = array<i64: 1>, padding = dense<[[3, 0]]> : tensor<1x2xi64>, window_dilations = \
                   array<i64: 1>, window_dimensions = array<i64: 4>, window_strides = array<i64: 1>}";
    let dots = "contracting_dims = [0] x [0]";
    let three = || vec![floats(F32, &[3], &[-square, x, least]), floats(F32, &[3], &[1.0, x, 1.0])];
    let near = || floats(F32, &[1, 3, 1], &[1.0, 1e8, -1e8]);
    let ones = || floats(F32, &[3, 1, 1], &[1.0; 3]);
    let conv_types = ["1x3x1xf32", "3x1x1xf32"];
    vec![
        (
            // From 256 on every second integer is a bf16.
            "a running sum in bf16",
            summed("reduce_window", running, ("4", "4x"), "bf16"),
            vec![floats(BF16, &[4], &[256.0, 1.0, 1.0, 1.0])],
            &[256.0, 256.0, 256.0, 256.0],
            &[256.0, 256.0, 258.0, 260.0],
        ),
        (
            "a sum in bf16",
            summed("reduce", "{dimensions = array<i64: 0>}", ("4", ""), "bf16"),
            vec![floats(BF16, &[4], &[256.0, 1.0, 1.0, 1.0])],
            &[256.0],
            &[260.0],
        ),
        (
            "a sum in f32",
            summed("reduce", "{dimensions = array<i64: 1>}", ("2x3", "2x"), "f32"),
            vec![floats(F32, &[2, 3], &[1e8, 1.0, -1e8, -1e8, 1e8, 1.0])],
            &[0.0, 1.0],
            &[1.0, 1.0],
        ),
        (
            "a dot product",
            program(&["3xf32", "3xf32"], &format!("stablehlo.dot_general %arg0, %arg1, {dots}"), "f32"),
            three(),
            &[LEAST],
            &[BOTH],
        ),
        ("a convolution", program(&conv_types, &conv("false"), "1x1x1xf32"), vec![near(), ones()], &[0.0], &[1.0]),
        // The window is read from its end, and the first tap comes first.
        ("the other way round", program(&conv_types, &conv("true"), "1x1x1xf32"), vec![near(), ones()], &[1.0], &[1.0]),
    ]
}

#[test]
fn products_and_sums_are_rounded_one_by_one() {
    for (what, text, inputs, want, usual) in cases() {
        for (side, got) in ["eval", "cpu"].into_iter().zip(run(&text, &inputs, true)) {
            assert_eq!(got[0].to_f64(), want, "{what}, {side}");
        }
        assert_eq!(run(&text, &inputs, false)[0][0].to_f64(), usual, "{what}, usually");
    }
}

/// The reference interpreter does not rely on the promise that indices differ.
#[test]
fn updates_are_applied_one_after_another() {
    let text = "func.func @main(%x: tensor<2xf32>, %u: tensor<3xf32>) -> tensor<2xf32> {
  %i = stablehlo.constant dense<[[1], [1], [1]]> : tensor<3x1xi32>
  %r = \"stablehlo.scatter\"(%x, %i, %u) ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %s = stablehlo.add %a, %b : tensor<f32>
    stablehlo.return %s : tensor<f32>
  }) {scatter_dimension_numbers = #stablehlo.scatter<inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], \
                index_vector_dim = 1>, unique_indices = true} : (tensor<2xf32>, tensor<3x1xi32>, tensor<3xf32>) -> tensor<2xf32>
  return %r : tensor<2xf32>\n}\n";
    let inputs = [floats(DType::F32, &[2], &[3.0, 1.0]), floats(DType::F32, &[3], &[1e8, -1e8, 4.0])];
    for got in run(text, &inputs, true) {
        assert_eq!(got[0].to_f64(), [3.0, 4.0]);
    }
}

/// `(-1, 1) (square, 0) + (x, 2^-12) (x, 2^-12)`, whose parts a fused multiply-add rounds otherwise.
#[test]
fn complex_products_are_rounded_one_by_one() {
    let text = "func.func @main(%a: tensor<2xf32>, %b: tensor<2xf32>, %c: tensor<2xf32>, %d: tensor<2xf32>) -> tensor<f32> {
  %x = stablehlo.complex %a, %b : tensor<2xcomplex<f32>>
  %y = stablehlo.complex %c, %d : tensor<2xcomplex<f32>>
  %p = stablehlo.dot %x, %y : (tensor<2xcomplex<f32>>, tensor<2xcomplex<f32>>) -> tensor<complex<f32>>
  %r = stablehlo.real %p : (tensor<complex<f32>>) -> tensor<f32>
  return %r : tensor<f32>\n}\n";
    let (x, square) = (1.0 + 2f64.powi(-12), 1.0 + 2f64.powi(-11));
    let v = |v: [f64; 2]| floats(DType::F32, &[2], &v);
    let inputs = [v([-1.0, x]), v([1.0, 0.0]), v([square, x]), v([0.0, 0.0])];
    for got in run(text, &inputs, true) {
        assert_eq!(got[0].to_f64(), [0.0]);
    }
    assert_eq!(run(text, &inputs, false)[0][0].to_f64(), [2f64.powi(-24)]);
}

/// With small whole numbers nothing is rounded: both ways give the same, in every arrangement of axes.
#[test]
fn arrangements_mean_the_same() {
    let whole = |shape: &[usize], seed: u64| {
        let mut s = seed;
        Tensor::build(DType::F32, shape, |_| {
            s = s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            Num::Float(((s >> 40) % 9) as f64 - 4.0)
        })
    };
    let conv = |numbers: &str, groups: (usize, usize), window: &str| {
        format!(
            "\"stablehlo.convolution\"(%arg0, %arg1) {{batch_group_count = {} : i64, dimension_numbers = \
             #stablehlo.conv<{numbers}>, feature_group_count = {} : i64{window}}}",
            groups.0, groups.1
        )
    };
    let wide = ", window_strides = array<i64: 2, 1>, padding = dense<[[1, 2], [-1, 0]]> : tensor<2x2xi64>, \
                lhs_dilation = array<i64: 1, 2>, rhs_dilation = array<i64: 2, 1>, window_reversal = array<i1: true, false>";
    let cases: [(&[&str], String, &str); 6] = [
        (
            &["3x2x4x5xf32", "5x2x6x3xf32"],
            "stablehlo.dot_general %arg0, %arg1, batching_dims = [1] x [1], contracting_dims = [0, 3] x [3, 0]".into(),
            "2x4x6xf32",
        ),
        (&["2xf32", "3xf32"], "stablehlo.dot_general %arg0, %arg1, contracting_dims = [] x []".into(), "2x3xf32"),
        (&["2x0xf32", "0x3xf32"], "stablehlo.dot_general %arg0, %arg1, contracting_dims = [1] x [0]".into(), "2x3xf32"),
        (&["2x5x6x4xf32", "2x3x4x3xf32"], conv("[b, 0, 1, f]x[0, 1, i, o]->[b, f, 0, 1]", (1, 1), wide), "2x3x3x8xf32"),
        (&["4x5x2xf32", "6x4x3xf32"], conv("[f, 0, b]x[o, i, 0]->[0, b, f]", (2, 1), ""), "3x1x6xf32"),
        (&["4x5x2xf32", "3x1x6xf32"], conv("[b, 0, f]x[0, i, o]->[b, 0, f]", (1, 2), ""), "4x3x6xf32"),
    ];
    for (types, op, result) in cases {
        let shape = |t: &str| t.split('x').filter_map(|n| n.parse().ok()).collect::<Vec<usize>>();
        let inputs: Vec<Tensor> = types.iter().enumerate().map(|(i, t)| whole(&shape(t), i as u64 + 3)).collect();
        let text = program(types, &op, result);
        let [usual, _] = run(&text, &inputs, false);
        for (side, got) in ["eval", "cpu"].into_iter().zip(run(&text, &inputs, true)) {
            assert_eq!((&got[0].shape, got[0].to_f64()), (&usual[0].shape, usual[0].to_f64()), "{op}, {side}");
        }
    }
}

#[test]
fn open_extents_are_taken_from_the_arguments() {
    let dot = "stablehlo.dot_general %arg0, %arg1, contracting_dims = [1] x [0]";
    let text = program(&["?x?xf32", "3x2xf32"], dot, "?x2xf32");
    let inputs = [floats(DType::F32, &[1, 3], &[1e8, 1.0, -1e8]), floats(DType::F32, &[3, 2], &[1.0; 6])];
    for got in run(&text, &inputs, true) {
        assert_eq!((&got[0].shape[..], got[0].to_f64()), (&[1, 2][..], vec![0.0, 0.0]));
    }
    // A depth that is not the other side's.
    let g = read(&text, &options(&text, true).import);
    let short = [floats(DType::F32, &[1, 2], &[1.0; 2]), inputs[1].clone()];
    let e = eval::graph(&g, &short).expect_err("two are not three").to_string();
    assert!(e.contains('3') && e.contains('2'), "{e}");
}

#[test]
fn hyperbolic_functions_follow_their_expansions() {
    let round = |v: f64| f64::from(v as f32);
    for (name, sign) in [("sinh", -1.0), ("cosh", 1.0)] {
        let text = program(&["1xf32"], &format!("\"chlo.{name}\"(%arg0)"), "1xf32");
        let mut differs = false;
        for i in 0..40 {
            let x = round(1.0 + f64::from(i) * 0.217);
            let half = round(0.5f64.ln());
            let (a, b) = (round(round(x + half).exp()), round(round(half - x).exp()));
            let input = [floats(DType::F32, &[1], &[x])];
            let g = read(&text, &options(&text, true).import);
            let got = eval::graph(&g, &input).unwrap_or_else(|e| panic!("{e}"))[0].to_f64()[0];
            assert_eq!(got, round(a + sign * b), "{name}({x})");
            let usual = eval::graph(&read(&text, &options(&text, false).import), &input).unwrap_or_else(|e| panic!("{e}"));
            differs |= usual[0].to_f64()[0] != got;
        }
        assert!(differs, "{name}: nothing tells one from the other");
    }
}

#[test]
fn only_stablehlo_is_read_as_it_is_written() {
    let as_written = ImportOptions { as_written: true, ..ImportOptions::default() };
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), b"\x08\x0a").expect("written");
    let e = import::read(file.path(), &as_written).expect_err("no StableHLO").to_string();
    assert!(e.contains("E0501") && e.contains("`as_written` is for StableHLO"), "{e}");
}
