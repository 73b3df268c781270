//! Programs whose shapes come from an argument, as JAX writes functions over symbolic shapes.

use beiming::import::stablehlo::{module, translate};
use beiming::import::{ImportError, ImportOptions};
use beiming_ir::eval;
use beiming_ir::graph::Graph;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::DType;
use translate::{Known, Settings};

fn read(text: &str, options: &ImportOptions) -> Result<Graph, ImportError> {
    let module = module(text.as_bytes().to_vec().into())?;
    Ok(translate::translate(&module, options, Settings::default(), Known::default())?.graph)
}

fn number(v: i64) -> Tensor {
    Tensor::scalar(DType::I64, Num::Int(v.into()))
}

fn floats(shape: &[usize], v: &[f64]) -> Tensor {
    Tensor::from_f64(DType::F32, shape, v)
}

fn integers(shape: &[usize], v: &[i64]) -> Tensor {
    Tensor::build(DType::I32, shape, |i| Num::Int(v[i].into()))
}

/// A program, its arguments, and the shape and the elements that it gives.
type Row = (&'static str, &'static str, Vec<Tensor>, &'static [usize], &'static [f64]);

fn rows() -> Vec<Row> {
    vec![
        (
            "an extent that no input has",
            "func.func @main(%n: tensor<i64>) -> tensor<?xf32> {
  %two = stablehlo.constant dense<2> : tensor<i64>
  %m = stablehlo.multiply %n, %two : tensor<i64>
  %s = stablehlo.reshape %m : (tensor<i64>) -> tensor<1xi64>
  %r = stablehlo.dynamic_iota %s, dim = 0 : (tensor<1xi64>) -> tensor<?xf32>
  return %r : tensor<?xf32>
}",
            vec![number(2)],
            &[4],
            &[0., 1., 2., 3.],
        ),
        (
            "an extent that is an argument's too, through a call",
            "func.func @main(%n: tensor<i64>, %x: tensor<?xf32>, %y: tensor<?xf32>) -> tensor<?xf32> {
  %r = call @inner(%n, %x, %y) : (tensor<i64>, tensor<?xf32>, tensor<?xf32>) -> tensor<?xf32>
  return %r : tensor<?xf32>
}
func.func private @inner(%n: tensor<i64>, %x: tensor<?xf32>, %y: tensor<?xf32>) -> tensor<?xf32> {
  %k = stablehlo.convert %n : (tensor<i64>) -> tensor<i32>
  %s = stablehlo.reshape %k : (tensor<i32>) -> tensor<1xi32>
  %i = stablehlo.dynamic_iota %s, dim = 0 : (tensor<1xi32>) -> tensor<?xf32>
  %a = stablehlo.add %x, %y : tensor<?xf32>
  %r = stablehlo.multiply %i, %a : tensor<?xf32>
  return %r : tensor<?xf32>
}",
            vec![number(3), floats(&[3], &[1., 2., 3.]), floats(&[3], &[1., 1., 1.])],
            &[3],
            &[0., 3., 8.],
        ),
        (
            // -n // 2 in Python's sense, by the quotient towards nought.
            "an extent by a quotient of a negative number",
            "func.func @main(%n: tensor<i64>) -> tensor<?xf32> {
  %zero = stablehlo.constant dense<0> : tensor<i64>
  %one = stablehlo.constant dense<1> : tensor<i64>
  %two = stablehlo.constant dense<2> : tensor<i64>
  %m = stablehlo.negate %n : tensor<i64>
  %q = stablehlo.divide %m, %two : tensor<i64>
  %k = stablehlo.remainder %m, %two : tensor<i64>
  %a = stablehlo.sign %m : tensor<i64>
  %b = stablehlo.sign %two : tensor<i64>
  %c = stablehlo.compare NE, %a, %b : (tensor<i64>, tensor<i64>) -> tensor<i1>
  %d = stablehlo.compare NE, %k, %zero : (tensor<i64>, tensor<i64>) -> tensor<i1>
  %e = stablehlo.and %c, %d : tensor<i1>
  %less = stablehlo.subtract %q, %one : tensor<i64>
  %f = stablehlo.select %e, %less, %q : tensor<i1>, tensor<i64>
  %g = stablehlo.negate %f : tensor<i64>
  %s = stablehlo.reshape %g : (tensor<i64>) -> tensor<1xi64>
  %r = stablehlo.dynamic_iota %s, dim = 0 : (tensor<1xi64>) -> tensor<?xf32>
  return %r : tensor<?xf32>
}",
            vec![number(5)],
            &[3],
            &[0., 1., 2.],
        ),
        (
            "a window of a known size at a place that the data says",
            "func.func @main(%n: tensor<i64>, %x: tensor<?xf32>, %at: tensor<i32>) -> tensor<?xf32> {
  %s = stablehlo.reshape %at : (tensor<i32>) -> tensor<1xi32>
  %t = stablehlo.reshape %at : (tensor<i32>) -> tensor<1xi32>
  %one = stablehlo.constant dense<1> : tensor<1xi32>
  %m = stablehlo.convert %n : (tensor<i64>) -> tensor<i32>
  %k = stablehlo.reshape %m : (tensor<i32>) -> tensor<1xi32>
  %size = stablehlo.subtract %k, %one : tensor<1xi32>
  %end = stablehlo.add %t, %size : tensor<1xi32>
  %r = stablehlo.real_dynamic_slice %x, %s, %end, %one : (tensor<?xf32>, tensor<1xi32>, tensor<1xi32>, tensor<1xi32>) -> tensor<?xf32>
  return %r : tensor<?xf32>
}",
            vec![number(3), floats(&[4], &[1., 2., 3., 4.]), Tensor::scalar(DType::I32, Num::Int(1))],
            &[2],
            &[2., 3.],
        ),
        (
            "padding between elements by an argument",
            "func.func @main(%n: tensor<i64>, %x: tensor<?xf32>) -> tensor<?xf32> {
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %none = stablehlo.constant dense<0> : tensor<1xi64>
  %k = stablehlo.reshape %n : (tensor<i64>) -> tensor<1xi64>
  %r = stablehlo.dynamic_pad %x, %zero, %none, %none, %k : (tensor<?xf32>, tensor<f32>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<?xf32>
  return %r : tensor<?xf32>
}",
            vec![number(2), floats(&[2], &[5., 7.])],
            &[4],
            &[5., 0., 0., 7.],
        ),
        (
            "sizes of windows that only the run knows",
            "func.func @main(%x: tensor<2x4x3xf32>, %i: tensor<1x2x2xi32>, %n: tensor<3xi32>) -> tensor<1x2x2xf32> {
  %r = \"stablehlo.dynamic_gather\"(%x, %i, %n) {dimension_numbers = #stablehlo.gather<offset_dims = [2], collapsed_slice_dims = [0, 1], start_index_map = [0, 1], index_vector_dim = 2>} : (tensor<2x4x3xf32>, tensor<1x2x2xi32>, tensor<3xi32>) -> tensor<1x2x2xf32>
  return %r : tensor<1x2x2xf32>
}",
            vec![
                floats(&[2, 4, 3], &(0..24).map(f64::from).collect::<Vec<_>>()),
                integers(&[1, 2, 2], &[0, 1, 1, 3]),
                integers(&[3], &[1, 1, 2]),
            ],
            &[1, 2, 2],
            &[3., 4., 21., 22.],
        ),
        (
            "a slice whose place only the run knows",
            "func.func @main(%x: tensor<5xf32>, %s: tensor<1xi32>, %e: tensor<1xi32>) -> tensor<2xf32> {
  %one = stablehlo.constant dense<1> : tensor<1xi32>
  %r = stablehlo.real_dynamic_slice %x, %s, %e, %one : (tensor<5xf32>, tensor<1xi32>, tensor<1xi32>, tensor<1xi32>) -> tensor<2xf32>
  return %r : tensor<2xf32>
}",
            vec![floats(&[5], &[0., 1., 2., 3., 4.]), integers(&[1], &[2]), integers(&[1], &[4])],
            &[2],
            &[2., 3.],
        ),
        (
            "a size that only the run knows",
            "func.func @main(%x: tensor<?xf32>, %n: tensor<i32>) -> tensor<2xf32> {
  %r = stablehlo.set_dimension_size %x, %n, dim = 0 : (tensor<?xf32>, tensor<i32>) -> tensor<2xf32>
  return %r : tensor<2xf32>
}",
            vec![floats(&[3], &[5., 6., 7.]), integers(&[], &[2])],
            &[2],
            &[5., 6.],
        ),
    ]
}

#[test]
fn shapes_come_from_arguments() {
    for (what, text, inputs, shape, want) in rows() {
        let graph = read(text, &ImportOptions::default()).unwrap_or_else(|e| panic!("{what}: {e}"));
        let graph = beiming_ir::verify::graph(graph).unwrap_or_else(|e| panic!("{what}: {e}"));
        let out = eval::graph(&graph, &inputs).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!((out[0].shape.as_slice(), out[0].to_f64().as_slice()), (shape, want), "{what}");
    }
}

#[test]
fn an_argument_that_is_an_extent_is_named_like_one() {
    let (_, text, inputs, ..) = &rows()[0];
    let mut options = ImportOptions::default();
    options.add_dim("arg0=1..8").unwrap();
    let graph = read(text, &options).unwrap();
    assert_eq!(graph.symbols.range("arg0"), beiming_ir::types::Range { lo: 1, hi: 8 });
    let e = eval::graph(&graph, &[number(9)]).unwrap_err().to_string();
    assert!(e.contains("input 0 `arg0` is 9; allowed are 1..=8"), "{e}");
    assert_eq!(eval::graph(&graph, inputs).unwrap()[0].shape, [4]);
    // As a number it is fixed.
    let mut options = ImportOptions::default();
    options.add_dim("arg0=3").unwrap();
    assert_eq!(read(text, &options).unwrap().ty(read(text, &options).unwrap().outputs[0]).to_string(), "f32[6]");
}

#[test]
fn what_no_value_tells_is_refused() {
    let text = "func.func @main(%x: tensor<?xf32>, %n: tensor<?xi32>) -> tensor<?xf32> {
  %r = stablehlo.dynamic_reshape %x, %n : (tensor<?xf32>, tensor<?xi32>) -> tensor<?xf32>
  return %r : tensor<?xf32>
}";
    let e = read(text, &ImportOptions::default()).unwrap_err().to_string();
    assert!(e.contains("extents that a value of type i32[") && e.contains("at most 64 can be read"), "{e}");
}

#[test]
fn what_the_run_reads_is_read_once() {
    let text = "func.func @main(%n: tensor<2xi32>) -> (tensor<?x?xf32>, tensor<?x?xi32>) {
  %a = stablehlo.dynamic_iota %n, dim = 0 : (tensor<2xi32>) -> tensor<?x?xf32>
  %b = stablehlo.dynamic_iota %n, dim = 1 : (tensor<2xi32>) -> tensor<?x?xi32>
  return %a, %b : tensor<?x?xf32>, tensor<?x?xi32>
}";
    let g = read(text, &ImportOptions::default()).unwrap();
    let reads = g.nodes().iter().filter(|n| n.op.name() == "read_dims").count();
    let shape = |i: usize| g.ty(g.outputs[i]).shape.clone();
    assert_eq!((reads, shape(0)), (1, shape(1)));
}
