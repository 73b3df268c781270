//! What the reader accepts, and what it says about what it does not.

use super::*;
use crate::import::stablehlo::syntax::{Attr, Operation};

/// A function of these lines.
fn body(lines: &str) -> String {
    format!("func.func @f(%a: tensor<4xf32>, %i: tensor<i32>) {{\n{lines}\n  return\n}}\n")
}

/// The first operation of a function of these lines.
fn op(lines: &str) -> Operation {
    let source = body(lines);
    match parse(source.as_bytes()) {
        Ok(m) => m.functions[0].body.ops[0].clone(),
        Err(p) => panic!("{}", p.iter().map(|p| render(p, source.as_bytes(), "t.mlir")).collect::<String>()),
    }
}

/// The elements of a constant, and whether they are kept as one.
fn constant(text: &str) -> (Vec<f64>, bool) {
    match &op(&format!("  %c = stablehlo.constant {text}")).attrs["value"] {
        Attr::Dense(d) => (d.values.to_f64(), d.values.shape.len() < d.ty.shape.len()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn constants() {
    let inf = f64::INFINITY;
    let cases: &[(&str, &[f64])] = &[
        ("dense<[1.0, -2.5, 1.e2, 1.5e-1]> : tensor<4xf32>", &[1.0, -2.5, 100.0, 0.15000000596046448]),
        ("dense<[0x7F800000, 0xFF800000]> : tensor<2xf32>", &[inf, -inf]),
        ("dense<[[1, 2], [3, 4]]> : tensor<2x2xi8>", &[1.0, 2.0, 3.0, 4.0]),
        ("dense<[255, -128]> : tensor<2xi8>", &[-1.0, -128.0]),
        ("dense<[15, 0xF]> : tensor<2xui4>", &[15.0]),
        ("dense<[7, -8]> : tensor<2xi4>", &[7.0, -8.0]),
        ("dense<\"0x0F08\"> : tensor<2xi4>", &[-1.0, -8.0]),
        ("dense<\"0x0000803F\"> : tensor<3xf32>", &[1.0]),
        ("dense<\"0x0000803F00000040\"> : tensor<2xf32>", &[1.0, 2.0]),
        ("dense<\"0x0100\"> : tensor<2xi1>", &[1.0, 0.0]),
        ("dense<\"0x05\"> : tensor<3xi1>", &[1.0]),
        ("dense<\"0x0502\"> : tensor<10xi1>", &[1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]),
        ("dense<[true, false]> : tensor<2xi1>", &[1.0, 0.0]),
        ("dense<> : tensor<0x2xf32>", &[]),
        ("dense<2> : tensor<2x0x3xi4>", &[2.0]),
        ("dense<[[], []]> : tensor<2x0xf32>", &[]),
        ("dense<(1.0, 2.0)> : tensor<complex<f32>>", &[1.0]),
        ("dense<[(1.0,2.0), ( -3.0 , 4.0 )]> : tensor<2xcomplex<f64>>", &[1.0, -3.0]),
        ("dense<[ // >\n 1, \n2]> : tensor<2xindex>", &[1.0, 2.0]),
        ("dense<[4.9406564584124654E-324, 1.7976931348623157E+308]> : tensor<2xf64>", &[5e-324, f64::MAX]),
        ("dense<[1.0, 448.0]> : tensor<2xf8E4M3FN>", &[1.0, 448.0]),
        ("dense<1.0e5> : tensor<f8E5M2>", &[inf]),
        ("dense<8.0> : tensor<f4E2M1FN>", &[6.0]),
        ("dense<1.0e40> : tensor<f32>", &[inf]),
        ("dense<[0.5, 0x38]> : tensor<2xf8E4M3FN>", &[0.5, 1.0]),
    ];
    for (text, want) in cases {
        assert_eq!(constant(text).0, *want, "{text}");
    }
    assert!(constant("dense<500.0> : tensor<f8E4M3FN>").0[0].is_nan(), "no infinity, so that overflow is NaN");
    assert!(constant("dense<1.0> : tensor<1000000x1000000xf32>").1, "a splat stays one");
    assert!(constant("dense<[1, 1, 1]> : tensor<3xi32>").1, "equal elements are one");
}

#[test]
fn integers_are_exact() {
    let all = op("  %c = stablehlo.constant dense<[18446744073709551615, 9223372036854775808]> : tensor<2xui64>");
    let Attr::Dense(d) = &all.attrs["value"] else { panic!() };
    assert_eq!(d.values.bytes(), [[0xFF; 8], [0, 0, 0, 0, 0, 0, 0, 0x80]].concat());
    let call = op("  stablehlo.custom_call @f() {a = 18446744073709551615 : ui64, b = -9223372036854775808 : i64} : () -> ()");
    assert!(matches!(call.attrs["a"], Attr::Int(-1, _)) && matches!(call.attrs["b"], Attr::Int(i64::MIN, _)));
}

#[test]
fn floats_round_as_one_conversion_through_f64() {
    // Digits, exponents, and what takes the general way: compared with the standard library.
    let mut x = 0x9E37_79B9_7F4A_7C15u64;
    for _ in 0..2000 {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let v = f64::from_bits(x);
        if !v.is_finite() {
            continue;
        }
        let text = format!("{v:e}");
        let text = if text.contains('.') { text } else { text.replace('e', ".0e") };
        let (read, _) = constant(&format!("dense<[{text}, 0.5]> : tensor<2xf64>"));
        assert_eq!(read[0].to_bits(), v.to_bits(), "{text}");
        let short = format!("{:.3}", v % 1e6);
        let (read, _) = constant(&format!("dense<[{short}, 0.5]> : tensor<2xf32>"));
        assert_eq!(read[0] as f32, short.parse::<f64>().unwrap() as f32, "{short}");
    }
}

#[test]
fn problems_have_their_place_and_the_rest_is_read() {
    let source = body(
        "  %0 = stablehlo.add %a, %b : tensor<4xf32>\n  %1 = stablehlo.abs %0 : tensor<4xf32>\n  %2 = stablehlo.abs %a : tensor<5xf32>\n  %3 = \"x.y\"(%a) ({\n    wrong {\n    }\n  }) : (tensor<4xf32>) -> tensor<4xf32>\n  %4 = stablehlo.frobnicate %3 : tensor<4xf32>",
    );
    let problems = parse(source.as_bytes()).unwrap_err();
    let places: Vec<(u32, u32)> = problems.iter().map(|p| (p.loc.line, p.loc.column)).collect();
    assert_eq!(places, [(2, 26), (4, 22), (6, 5), (9, 8)], "{problems:#?}");
    let shown = render(&problems[0], source.as_bytes(), "m.mlir");
    let want = "error: `%b` is not defined before it is used\n  --> m.mlir:2:26\n   |\n 2 |   %0 = stablehlo.add %a, %b : tensor<4xf32>\n   |                          ^\n";
    assert_eq!(shown, want);
}

#[test]
fn what_is_wrong_is_said() {
    let cases = [
        ("  %c = stablehlo.constant dense<[1, 2]> : tensor<3xi32>", "a list of 2 where the type has an extent of 3"),
        ("  %c = stablehlo.constant dense<[[1], 2]> : tensor<2x1xi32>", "since the type has more axes"),
        ("  %c = stablehlo.constant dense<256> : tensor<i8>", "`256` is no value of type i8"),
        ("  %c = stablehlo.constant dense<-1> : tensor<ui8>", "`-1` is no value of type u8"),
        ("  %c = stablehlo.constant dense<1> : tensor<f32>", "`1` is no value of type f32"),
        ("  %c = stablehlo.constant dense<1.5> : tensor<i32>", "`1.5` is no value of type i32"),
        ("  %c = stablehlo.constant dense<\"0x00\"> : tensor<2xf32>", "1 bytes for 2 elements of 4 bytes"),
        ("  %c = stablehlo.constant dense<\"0x0\"> : tensor<1xi8>", "an odd number of hexadecimal digits"),
        ("  %c = stablehlo.constant dense<1.0 : tensor<f32>", "expected `:` and the type"),
        ("  %c = stablehlo.constant dense_resource<w> : tensor<2xf32>", "no resource `w`"),
        ("  %c = stablehlo.abs %a : tensor<*xf32>", "a tensor without rank"),
        ("  %c = stablehlo.abs %a : tensor<4xf31>", "elements of type f31 are not supported"),
        ("  %c = stablehlo.abs %a#1 : tensor<4xf32>", "has 1 values, there is no #1"),
        ("  %a = stablehlo.abs %a : tensor<4xf32>", "`%a` is defined twice"),
        ("  %c, %d = stablehlo.abs %a : tensor<4xf32>", "2 results are named, the operation has 1"),
        ("  %c:0 = stablehlo.abs %a : tensor<4xf32>", "a pack of 0 results"),
        ("  %c = \"x.y\"(%a) : (tensor<4xf32>, i32) -> i32", "1 operands and 2 types"),
        ("  %c = stablehlo.transpose %a, dim = [0] : (tensor<4xf32>) -> tensor<4xf32>", "expected `dims`, found `dim`"),
        ("  \"x.y\"() {a = 1, a = 2} : () -> ()", "the attribute `a` stands twice"),
        ("  \"x.y\"() {a = #nowhere} : () -> ()", "`#nowhere` is not defined"),
        ("  \"x.y\"() {a = \"no end} : () -> ()", "the string has no end"),
        ("  \"x.y\"()[^bb1] : () -> ()", "successors are not supported"),
        ("  \"x.y\"() {a = #stablehlo.conv<[b, 0]x[0, i, o]->[b, 0, f]>} : () -> ()", "must both be named"),
    ];
    for (lines, want) in cases {
        let problems = parse(body(lines).as_bytes()).expect_err(lines);
        assert!(problems[0].message.contains(want), "{lines}: {}", problems[0].message);
    }
}

#[test]
fn nothing_grows_without_bound() {
    let aliases: String = (1..60).map(|i| format!("#a{i} = [#a{0}, #a{0}]\n", i - 1)).collect();
    let deep = |open: &str, n: usize| body(&format!("  \"x.y\"() {{a = {}", open.repeat(n)));
    let cases = [
        format!("#a0 = 1\n{aliases}{}", body("  \"x.y\"() {a = #a59} : () -> ()")),
        format!("#a = [#b]\n#b = [#a]\n{}", body("  \"x.y\"() {a = #a} : () -> ()")),
        deep("[", 100_000),
        deep("{a = ", 100_000),
        body(&"  \"x.y\"() ({\n".repeat(10_000)),
        body(&format!("  %c = stablehlo.abs %a : {}", "tuple<".repeat(100_000))),
        body("  %c:4294967295 = \"x.y\"() : () -> ()"),
        body("  %c = stablehlo.constant dense<[1.0]> : tensor<99999999999999xf32>"),
        body(
            "  %c = stablehlo.abs %a : tensor<1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1xf32>",
        ),
        body(&"  }{(\n".repeat(20_000)),
    ];
    for source in &cases {
        let problems = parse(source.as_bytes()).expect_err("too much");
        assert!(problems.len() <= MAX_PROBLEMS);
    }
}

#[test]
fn a_function_stands_once() {
    let problems = parse(b"module {\n  func.func @f() {\n    return\n  }\n  func.func private @f()\n}\n").unwrap_err();
    assert_eq!((problems.len(), problems[0].loc.line, problems[0].loc.column), (1, 5, 21));
}

#[test]
fn aliases_and_locations() {
    let source = "#s = #stablehlo<comparison_direction LT>\n#l1 = loc(\"jit(f)/add\"(#l0))\n!v = tensor<4xi1>\nfunc.func @f(%a: tensor<4xf32> loc(\"a\")) -> !v {\n  %0 = \"stablehlo.compare\"(%a, %a) {comparison_direction = #s} : (tensor<4xf32>, tensor<4xf32>) -> !v loc(#l1)\n  return %0 : !v loc(callsite(\"g\" at \"m.py\":1:2))\n} loc(fused<\"x\">[unknown, \"m.py\":7:1 to :9])\n#l0 = loc(\"m.py\":3:4)\n";
    let module = parse(source.as_bytes()).unwrap();
    let f = &module.functions[0];
    let names: Vec<&str> = f.body.ops.iter().map(|op| &*op.loc.name).chain([&*f.loc.name]).collect();
    assert_eq!(names, ["jit(f)/add", "g", "m.py:7:1"]);
    assert!(matches!(&f.body.ops[0].attrs["comparison_direction"], Attr::Enum(e) if &**e == "LT"));
    assert_eq!((f.body.ops[0].loc.line, f.body.ops[0].loc.column), (5, 3));
    assert_eq!(f.results[0].to_string(), "tensor<4xi1>");
}

#[test]
fn types_are_shown_as_they_are_written() {
    let types = [
        "tensor<4x?xf32, #stablehlo.bounds<?, 8>>",
        "tensor<0x1xcomplex<f64>>",
        "tuple<tensor<f8E4M3FN>, !stablehlo.token, tuple<>>",
        "!stablehlo.future<tensor<2xui4>>",
        "tensor<2x!quant.uniform<i8<-128:127>:f32:0, {1.0e-1:-3,5.0e-1:0}>>",
        "tensor<!quant.uniform<u4<0:15>:f32, 3.4e1:7>>",
        "tensor<2xf6E3M2FN>",
        "tensor<f4E2M1FN>",
        "tensor<f8E8M0FNU>",
        "tensor<f8E4M3B11FNUZ>",
        "memref<2xf32>",
        "tensor<3xindex>",
    ];
    for ty in types {
        let source = format!("func.func private @f() -> {ty}");
        let module = parse(source.as_bytes()).unwrap_or_else(|e| panic!("{ty}: {e:?}"));
        assert_eq!(module.functions[0].results[0].to_string(), ty);
    }
}

#[test]
fn a_file_of_several_modules_has_pieces() {
    let source = "module {\n}\n// -----\nmodule @b {\n}\n  // -----\n";
    let all: Vec<_> = pieces(source.as_bytes()).into_iter().map(|p| parse(p).unwrap().name.to_string()).collect();
    assert_eq!(all, ["", "b", ""]);
}
