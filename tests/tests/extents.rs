//! Extents that only a value tells: StableHLO programs with shapes as arguments, evaluated and compiled for this machine, against
//! results written by hand; and what the run says where a value is none that can be.

use beiming::import::stablehlo::{module, translate};
use beiming::import::{ImportError, ImportOptions};
use beiming_ir::eval;
use beiming_ir::graph::Graph;
use beiming_ir::target::Target;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::DType;
use beiming_tests::compiled;
use translate::{Known, Settings};

fn read(text: &str) -> Result<Graph, ImportError> {
    let module = module(text.as_bytes().to_vec().into())?;
    let mut options = ImportOptions::default();
    // Padded data, the sides of a product and joined parts are buffers of the plan: their memory is laid out for the largest extents.
    for (op, symbols) in [
        ("dynamic_conv", &["dynamic_conv_0", "dynamic_conv_1", "dynamic_conv_2", "dynamic_conv_3"][..]),
        ("dot_general", &["dynamic_iota_0", "dynamic_iota_1"]),
        ("concatenate", &["dynamic_iota_0", "dynamic_iota_1", "arg0_d1"]),
    ] {
        for symbol in symbols.iter().filter(|_| text.contains(op)) {
            options.add_dim(&format!("{symbol}=0..8")).expect("a range");
        }
    }
    Ok(translate::translate(&module, &options, Settings::default(), Known::default())?.graph)
}

fn floats(shape: &[usize], v: &[f64]) -> Tensor {
    Tensor::from_f64(DType::F32, shape, v)
}

fn i32s(v: &[i64]) -> Tensor {
    Tensor::build(DType::I32, &[v.len()], |i| Num::Int(v[i].into()))
}

fn i64s(v: &[i64]) -> Tensor {
    Tensor::i64(&[v.len()], v)
}

/// A function of one operation: its arguments' types, the operation, its result type.
fn program(types: &[&str], op: &str, result: &str) -> String {
    let args: Vec<String> = types.iter().enumerate().map(|(i, t)| format!("%arg{i}: tensor<{t}>")).collect();
    let list: Vec<String> = types.iter().map(|t| format!("tensor<{t}>")).collect();
    let body = format!("  %r = {op} : ({}) -> tensor<{result}>\n", list.join(", "));
    format!("func.func @main({}) -> tensor<{result}> {{\n{body}  return %r : tensor<{result}>\n}}\n", args.join(", "))
}

const CONV: &str = "\"stablehlo.dynamic_conv\"(%arg0, %arg1, %arg2) {batch_group_count = 1 : i64, dimension_numbers = #stablehlo.conv<[b, 0, f]x[0, i, o]->[b, 0, f]>, feature_group_count = 1 : i64}";
const GATHER: &str = "\"stablehlo.dynamic_gather\"(%arg0, %arg1, %arg2) {dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>}";

/// A result, by shape and elements, or what the error of the run says.
type Want = Result<(&'static [usize], &'static [f64]), &'static str>;

/// A program, and runs of it: arguments and what they give.
type Case = (String, Vec<(Vec<Tensor>, Want)>);

fn cases() -> Vec<Case> {
    let six = || floats(&[6], &[1., 2., 3., 4., 5., 6.]);
    let five = || floats(&[5], &[0., 1., 2., 3., 4.]);
    let row = || floats(&[1, 3], &[7., 8., 9.]);
    let slice = "stablehlo.real_dynamic_slice %arg0, %arg1, %arg2, %arg3";
    vec![
        (
            program(&["1xindex"], "stablehlo.dynamic_iota %arg0, dim = 0", "?xf32"),
            vec![
                (vec![i64s(&[3])], Ok((&[3], &[0., 1., 2.]))),
                (vec![i64s(&[0])], Ok((&[0], &[]))),
                (vec![i64s(&[-1])], Err("`dynamic_iota_0` is -1")),
                (vec![i64s(&[1 << 47])], Err("")),
                (vec![i64s(&[i64::MAX])], Err("`dynamic_iota_0` is 9223372036854775807")),
            ],
        ),
        (
            program(&["6xf32", "2xi32"], "stablehlo.dynamic_reshape %arg0, %arg1", "?x?xf32"),
            vec![
                (vec![six(), i32s(&[2, 3])], Ok((&[2, 3], &[1., 2., 3., 4., 5., 6.]))),
                (vec![six(), i32s(&[6, 1])], Ok((&[6, 1], &[1., 2., 3., 4., 5., 6.]))),
                (vec![six(), i32s(&[2, 4])], Err("extent 0 is 8 at run time, expected 6")),
                (vec![six(), i32s(&[-2, -3])], Err("is -2")),
                (vec![six(), i32s(&[0, 0])], Err("extent 0 is 0 at run time, expected 6")),
            ],
        ),
        (
            program(&["6xf32", "2xi32"], "stablehlo.dynamic_reshape %arg0, %arg1", "2x?xf32"),
            vec![
                (vec![six(), i32s(&[2, 3])], Ok((&[2, 3], &[1., 2., 3., 4., 5., 6.]))),
                (vec![six(), i32s(&[3, 2])], Err("`dynamic_reshape_0` is 3")),
            ],
        ),
        (
            // What the result is declared to be is not taken on trust.
            program(&["6xf32", "2xi32"], "stablehlo.dynamic_reshape %arg0, %arg1", "2x3xf32"),
            vec![
                (vec![six(), i32s(&[2, 3])], Ok((&[2, 3], &[1., 2., 3., 4., 5., 6.]))),
                (vec![six(), i32s(&[3, 2])], Err("extent 0 is 3 at run time, expected 2")),
            ],
        ),
        (
            program(&["?xf32", "1xi32"], "stablehlo.dynamic_reshape %arg0, %arg1", "?xf32"),
            vec![
                (vec![six(), i32s(&[6])], Ok((&[6], &[1., 2., 3., 4., 5., 6.]))),
                (vec![six(), i32s(&[5])], Err("extent 0 is 5 at run time, expected")),
            ],
        ),
        (
            program(&["1x3xf32", "2xindex"], "stablehlo.dynamic_broadcast_in_dim %arg0, %arg1, dims = [0, 1]", "?x?xf32"),
            vec![
                (vec![row(), i64s(&[2, 3])], Ok((&[2, 3], &[7., 8., 9., 7., 8., 9.]))),
                (vec![row(), i64s(&[0, 3])], Ok((&[0, 3], &[]))),
                (vec![row(), i64s(&[2, 6])], Err("`dynamic_broadcast_in_dim_1` is 6")),
            ],
        ),
        (
            program(&["?x?xf32", "2xindex"], "stablehlo.dynamic_broadcast_in_dim %arg0, %arg1, dims = [0, 1]", "?x?xf32"),
            vec![
                (vec![row(), i64s(&[2, 3])], Ok((&[2, 3], &[7., 8., 9., 7., 8., 9.]))),
                (vec![row(), i64s(&[1, 3])], Ok((&[1, 3], &[7., 8., 9.]))),
                (vec![row(), i64s(&[2, 2])], Err("extent 0 is 3 at run time, expected")),
                (vec![row(), i64s(&[2, 6])], Err("extent 0 is 3 at run time, expected")),
            ],
        ),
        (
            program(
                &["?x?xf32", "2xindex"],
                "stablehlo.dynamic_broadcast_in_dim %arg0, %arg1, dims = [0, 1] {known_expanding_dimensions = array<i64: 0>, known_nonexpanding_dimensions = array<i64: 1>}",
                "?x?xf32",
            ),
            vec![
                (vec![row(), i64s(&[2, 3])], Ok((&[2, 3], &[7., 8., 9., 7., 8., 9.]))),
                (vec![row(), i64s(&[2, 6])], Err("extent 0 is 6 at run time, expected")),
            ],
        ),
        (
            program(&["?xf32", "1xindex"], "stablehlo.dynamic_broadcast_in_dim %arg0, %arg1, dims = [0]", "4xf32"),
            vec![
                (vec![floats(&[1], &[5.]), i64s(&[4])], Ok((&[4], &[5., 5., 5., 5.]))),
                (vec![floats(&[1], &[5.]), i64s(&[3])], Err("extent 0 is 3 at run time, expected 4")),
                (vec![floats(&[2], &[5., 6.]), i64s(&[4])], Err("extent 0 is 2 at run time, expected 1 or 4")),
            ],
        ),
        (
            program(&["2xf32", "f32", "1xindex", "1xindex", "1xindex"], "stablehlo.dynamic_pad %arg0, %arg1, %arg2, %arg3, %arg4", "?xf32"),
            [(2, 1, 0), (0, 0, 2), (-1, 2, 1), (-1, -1, 0), (-2, -1, 0)]
                .map(|(lo, hi, between)| {
                    let args =
                        vec![floats(&[2], &[5., 7.]), floats(&[], &[1.5]), i64s(&[lo]), i64s(&[hi]), i64s(&[between])];
                    let want: Want = match (lo, hi) {
                        (2, 1) => Ok((&[5], &[1.5, 1.5, 5., 7., 1.5])),
                        (0, 0) => Ok((&[4], &[5., 1.5, 1.5, 7.])),
                        (-1, 2) => Ok((&[4], &[1.5, 7., 1.5, 1.5])),
                        (-1, -1) => Ok((&[0], &[])),
                        // By the check that follows, or since no buffer is so large.
                        _ => Err("stablehlo.dynamic_pad"),
                    };
                    (args, want)
                })
                .to_vec(),
        ),
        (
            program(&["5xf32", "1xindex", "1xindex", "1xindex"], slice, "?xf32"),
            vec![
                (vec![five(), i64s(&[1]), i64s(&[4]), i64s(&[1])], Ok((&[3], &[1., 2., 3.]))),
                (vec![five(), i64s(&[0]), i64s(&[5]), i64s(&[2])], Ok((&[3], &[0., 2., 4.]))),
                (vec![five(), i64s(&[5]), i64s(&[5]), i64s(&[3])], Ok((&[0], &[]))),
                (vec![five(), i64s(&[1]), i64s(&[6]), i64s(&[1])], Err("position 0 is 6 at run time, at most 5 is allowed")),
                (vec![five(), i64s(&[-1]), i64s(&[2]), i64s(&[1])], Err("position 0 is 1 at run time, at most 0")),
                (vec![five(), i64s(&[3]), i64s(&[2]), i64s(&[2])], Err("is -1")),
                (vec![five(), i64s(&[0]), i64s(&[2]), i64s(&[0])], Err("`real_dynamic_slice_0` is 0")),
            ],
        ),
        (
            program(&["?xf32", "1xi32", "1xi32", "1xi32"], slice, "3xf32"),
            vec![
                (vec![five(), i32s(&[1]), i32s(&[4]), i32s(&[1])], Ok((&[3], &[1., 2., 3.]))),
                (vec![five(), i32s(&[1]), i32s(&[5]), i32s(&[1])], Err("extent 0 is 4 at run time, expected 3")),
                (vec![five(), i32s(&[3]), i32s(&[6]), i32s(&[1])], Err("position 0 is 6 at run time, at most")),
            ],
        ),
        (
            program(&["1x4x1xf32", "2x1x1xf32", "1x2xi64"], CONV, "1x?x1xf32"),
            [[0, 0], [1, 2], [-1, 0]]
                .map(|pads| {
                    let args = vec![
                        floats(&[1, 4, 1], &[1., 2., 3., 4.]),
                        floats(&[2, 1, 1], &[10., 1.]),
                        Tensor::i64(&[1, 2], &pads),
                    ];
                    let want: Want = match pads[0] {
                        0 => Ok((&[1, 3, 1], &[12., 23., 34.])),
                        1 => Ok((&[1, 6, 1], &[1., 12., 23., 34., 40., 0.])),
                        _ => Ok((&[1, 2, 1], &[23., 34.])),
                    };
                    (args, want)
                })
                .to_vec(),
        ),
        (
            program(&["3x2xf32", "2x1xi32", "2xi32"], GATHER, "2x2xf32"),
            vec![
                (
                    vec![floats(&[3, 2], &[1., 2., 3., 4., 5., 6.]), Tensor::build(DType::I32, &[2, 1], |i| Num::Int(2 - i as i128)), i32s(&[1, 2])],
                    Ok((&[2, 2], &[5., 6., 3., 4.])),
                ),
                (
                    vec![floats(&[3, 2], &[1., 2., 3., 4., 5., 6.]), Tensor::build(DType::I32, &[2, 1], |i| Num::Int(2 - i as i128)), i32s(&[1, 1])],
                    Err("extent 1 is 1 at run time, expected 2"),
                ),
            ],
        ),
        (
            "func.func @main(%arg0: tensor<4xf32>, %arg1: tensor<i32>) -> tensor<?xf32> {
  %r = stablehlo.set_dimension_size %arg0, %arg1, dim = 0 : (tensor<4xf32>, tensor<i32>) -> tensor<?xf32>
  %s = stablehlo.add %r, %r : tensor<?xf32>
  return %s : tensor<?xf32>
}"
            .into(),
            [3i128, 0, 5]
                .map(|n| {
                    let args = vec![floats(&[4], &[1., 2., 3., 4.]), Tensor::scalar(DType::I32, Num::Int(n))];
                    let want: Want = match n {
                        3 => Ok((&[3], &[2., 4., 6.])),
                        0 => Ok((&[0], &[])),
                        _ => Err("`set_dimension_size_0` is 5"),
                    };
                    (args, want)
                })
                .to_vec(),
        ),
        (
            // What a static shape takes for granted of an open argument.
            "func.func @main(%arg0: tensor<?x3xf32>) -> tensor<6xf32> {
  %r = stablehlo.reshape %arg0 : (tensor<?x3xf32>) -> tensor<6xf32>
  return %r : tensor<6xf32>
}"
            .into(),
            vec![
                (vec![floats(&[2, 3], &[1., 2., 3., 4., 5., 6.])], Ok((&[6], &[1., 2., 3., 4., 5., 6.]))),
                (vec![floats(&[1, 3], &[1., 2., 3.])], Err("extent 0 is 6 at run time, expected")),
                (vec![floats(&[3, 3], &[0.; 9])], Err("extent 0 is 6 at run time, expected")),
            ],
        ),
        (
            "func.func @main(%arg0: tensor<?xf32>) -> tensor<2xf32> {
  %r = stablehlo.slice %arg0 [1:5:2] : (tensor<?xf32>) -> tensor<2xf32>
  return %r : tensor<2xf32>
}"
            .into(),
            vec![
                (vec![floats(&[4], &[1., 2., 3., 4.])], Ok((&[2], &[2., 4.]))),
                (vec![floats(&[3], &[1., 2., 3.])], Err("position 0 is 3 at run time, at most")),
            ],
        ),
        (
            // One shape for several operations, and a sum over what it makes.
            "func.func @main(%arg0: tensor<6xf32>, %arg1: tensor<3xf32>, %arg2: tensor<2xi32>) -> tensor<?xf32> {
  %z = stablehlo.constant dense<0.0> : tensor<f32>
  %a = stablehlo.dynamic_reshape %arg0, %arg2 : (tensor<6xf32>, tensor<2xi32>) -> tensor<?x3xf32>
  %b = stablehlo.dynamic_broadcast_in_dim %arg1, %arg2, dims = [1] : (tensor<3xf32>, tensor<2xi32>) -> tensor<?x3xf32>
  %c = stablehlo.multiply %a, %b : tensor<?x3xf32>
  %r = stablehlo.reduce(%c init: %z) applies stablehlo.add across dimensions = [1] : (tensor<?x3xf32>, tensor<f32>) -> tensor<?xf32>
  return %r : tensor<?xf32>
}"
            .into(),
            vec![
                (vec![six(), floats(&[3], &[1., 10., 100.]), i32s(&[2, 3])], Ok((&[2], &[321., 654.]))),
                (vec![six(), floats(&[3], &[1., 10., 100.]), i32s(&[3, 3])], Err("extent 0 is 9 at run time, expected 6")),
            ],
        ),
    ]
}

/// Programs that take extents to be equal which two values tell apart from each other.
fn pairs() -> Vec<Case> {
    let two = "%x: tensor<1xindex>, %y: tensor<1xindex>";
    let counts = "  %a = stablehlo.dynamic_iota %x, dim = 0 : (tensor<1xindex>) -> tensor<?xf32>
  %b = stablehlo.dynamic_iota %y, dim = 0 : (tensor<1xindex>) -> tensor<?xf32>\n";
    let program = |args: &str, body: &str, result: &str| -> String {
        format!("func.func @main({args}) -> tensor<{result}> {{\n{body}  return %r : tensor<{result}>\n}}\n")
    };
    let args = |a: i64, b: i64| vec![i64s(&[a]), i64s(&[b])];
    let table = || floats(&[2, 3], &[1., 2., 3., 4., 5., 6.]);
    vec![
        (
            program(two, &format!("{counts}  %r = stablehlo.add %a, %b : tensor<?xf32>\n"), "?xf32"),
            vec![
                (args(3, 3), Ok((&[3], &[0., 2., 4.]))),
                (args(0, 0), Ok((&[0], &[]))),
                (args(3, 4), Err("extent 0 is 4 at run time, expected")),
                // One is no extent that repeats.
                (args(3, 1), Err("stablehlo.add")),
            ],
        ),
        (
            // Three of them, of which each pair stands in an operation.
            program(
                &format!("{two}, %z: tensor<1xindex>"),
                &format!(
                    "{counts}  %c = stablehlo.dynamic_iota %z, dim = 0 : (tensor<1xindex>) -> tensor<?xf32>
  %p = stablehlo.compare LT, %a, %b : (tensor<?xf32>, tensor<?xf32>) -> tensor<?xi1>
  %r = stablehlo.select %p, %a, %c : tensor<?xi1>, tensor<?xf32>\n"
                ),
                "?xf32",
            ),
            vec![
                ([args(2, 2), vec![i64s(&[2])]].concat(), Ok((&[2], &[0., 1.]))),
                ([args(2, 2), vec![i64s(&[3])]].concat(), Err("stablehlo.select")),
                ([args(2, 3), vec![i64s(&[2])]].concat(), Err("stablehlo.compare")),
            ],
        ),
        (
            program(
                two,
                &format!(
                    "{counts}  %r = stablehlo.dot_general %a, %b, contracting_dims = [0] x [0] : (tensor<?xf32>, tensor<?xf32>) -> tensor<f32>\n"
                ),
                "f32",
            ),
            vec![(args(4, 4), Ok((&[], &[14.]))), (args(4, 3), Err("stablehlo.dot_general"))],
        ),
        (
            // One told by a value beside one of an argument.
            program(
                "%t: tensor<2x?xf32>, %x: tensor<2xi32>",
                "  %b = stablehlo.dynamic_iota %x, dim = 1 : (tensor<2xi32>) -> tensor<?x?xf32>
  %r = stablehlo.concatenate %t, %b, dim = 0 : (tensor<2x?xf32>, tensor<?x?xf32>) -> tensor<?x?xf32>\n",
                "?x?xf32",
            ),
            vec![
                (vec![table(), i32s(&[1, 3])], Ok((&[3, 3], &[1., 2., 3., 4., 5., 6., 0., 1., 2.]))),
                (vec![table(), i32s(&[1, 2])], Err("stablehlo.concatenate")),
            ],
        ),
    ]
}

/// What is wrong with a run, if anything.
fn judge(how: &str, text: &str, got: Result<Vec<Tensor>, String>, want: &Want) -> Option<String> {
    let same = match (&got, want) {
        (Ok(out), Ok((shape, elements))) => (out[0].shape.as_slice(), out[0].to_f64().as_slice()) == (*shape, *elements),
        (Err(e), Err(part)) => e.contains(part),
        _ => false,
    };
    let got = got.map(|out| (out[0].shape.clone(), out[0].to_f64()));
    (!same).then(|| format!("{how}: {got:?}\nexpected: {want:?}\n{text}"))
}

#[test]
fn programs_with_shapes_as_arguments() {
    hold(cases());
}

#[test]
fn extents_of_two_values_are_held_against_each_other() {
    hold(pairs());
}

fn hold(cases: Vec<Case>) {
    let folder = tempfile::tempdir().expect("a folder");
    let target = Target::host();
    let mut wrong = vec![];
    for (i, (text, runs)) in cases.into_iter().enumerate() {
        let graph = read(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let graph = beiming_ir::verify::graph(graph).unwrap_or_else(|e| panic!("{e}\n{text}")).into_inner();
        let path = folder.path().join(format!("{i}.bm"));
        let compiled = compiled::compile(&graph, &target).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let code = compiled::emit_plain(&compiled.program).unwrap_or_else(|e| panic!("{e}\n{text}"));
        compiled::write(&path, "extents", &compiled.program, &code).expect("written");
        for (inputs, want) in runs {
            wrong.extend(judge("eval", &text, eval::graph(&graph, &inputs).map_err(|e| e.0), &want));
            let named: Vec<(String, Tensor)> =
                graph.inputs.iter().map(|v| graph.value(*v).name.to_string()).zip(inputs).collect();
            wrong.extend(judge("cpu", &text, compiled::run_here(&path, &named, 1), &want));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
