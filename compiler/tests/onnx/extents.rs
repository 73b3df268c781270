//! Shapes that only the run knows: operators whose extents are inputs of the model, with results by the operators' definitions.

use beiming::import::onnx::proto::{NodeProto, TensorProto};
use beiming_ir::eval;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::DType;

use super::build::*;

fn i64s_of(v: &[i64]) -> Tensor {
    Tensor::i64(&[v.len()], v)
}

fn floats(shape: &[usize], v: &[f64]) -> Tensor {
    Tensor::from_f64(DType::F32, shape, v)
}

/// Element type code and extents of a port.
type Typed = (i32, &'static str);

/// Values of the inputs, and the result's shape and elements, or what the error of the run says.
type Run = (Vec<Tensor>, Result<(Vec<usize>, Vec<f64>), &'static str>);

/// A model of one node, with these inputs, and its results for these values.
struct Row {
    inputs: Vec<Typed>,
    constants: Vec<TensorProto>,
    node: NodeProto,
    runs: Vec<Run>,
}

fn row(inputs: &[Typed], node: NodeProto, runs: Vec<Run>) -> Row {
    Row { inputs: inputs.to_vec(), constants: vec![], node, runs }
}

fn six() -> Tensor {
    floats(&[2, 3], &[1., 2., 3., 4., 5., 6.])
}

fn six_numbers() -> Vec<f64> {
    vec![1., 2., 3., 4., 5., 6.]
}

fn scalar(v: i64) -> Tensor {
    Tensor::scalar(DType::I64, Num::Int(v.into()))
}

fn shapes() -> Vec<Row> {
    vec![
        row(
            &[(1, "2,3"), (7, "2")],
            node("Reshape", "a b", "y", vec![]),
            vec![
                (vec![six(), i64s_of(&[3, 2])], Ok((vec![3, 2], six_numbers()))),
                (vec![six(), i64s_of(&[-1, 6])], Ok((vec![1, 6], six_numbers()))),
                (vec![six(), i64s_of(&[0, -1])], Ok((vec![2, 3], six_numbers()))),
                (vec![six(), i64s_of(&[6, 0])], Err("extent 0 is 18 at run time, expected 6")),
                (vec![six(), i64s_of(&[-1, -1])], Err("extent 0 is 36 at run time, expected 6")),
                (vec![six(), i64s_of(&[4, -1])], Err("extent 0 is 4 at run time, expected 6")),
                (vec![six(), i64s_of(&[-2, -3])], Err("`reshape_0` is -2")),
            ],
        ),
        row(
            &[(1, "N,3"), (7, "1")],
            node("Reshape", "a b", "y", vec![]),
            vec![
                (vec![six(), i64s_of(&[-1])], Ok((vec![6], six_numbers()))),
                (vec![six(), i64s_of(&[5])], Err("extent 0 is 5 at run time, expected")),
            ],
        ),
        // What an operator takes for granted of an extent of the model's inputs.
        Row {
            inputs: vec![(1, "N")],
            constants: vec![f32s("c", &[3], &[1., 2., 3.])],
            node: node("Add", "a c", "y", vec![]),
            runs: vec![
                (vec![floats(&[3], &[1., 1., 1.])], Ok((vec![3], vec![2., 3., 4.]))),
                (vec![floats(&[1], &[5.])], Ok((vec![3], vec![6., 7., 8.]))),
                (vec![floats(&[2], &[1., 1.])], Err("extent 0 is 2 at run time, expected 1 or 3")),
            ],
        },
        Row {
            inputs: vec![(1, "1,K")],
            constants: vec![f32s("c", &[2, 1], &[3., 4.])],
            node: node("MatMul", "a c", "y", vec![]),
            runs: vec![
                (vec![floats(&[1, 2], &[1., 2.])], Ok((vec![1, 1], vec![11.]))),
                (vec![floats(&[1, 1], &[1.])], Err("extent 0 is 1 at run time, expected 2")),
                (vec![floats(&[1, 3], &[1., 2., 3.])], Err("extent 0 is 3 at run time, expected 2")),
            ],
        },
        Row {
            inputs: vec![(1, "2*N")],
            constants: vec![i64s("to", &[2], &[2, 4])],
            node: node("Expand", "a to", "y", vec![]),
            runs: vec![
                (vec![floats(&[4], &[1., 2., 3., 4.])], Ok((vec![2, 4], vec![1., 2., 3., 4., 1., 2., 3., 4.]))),
                (vec![floats(&[2], &[1., 2.])], Err("extent 0 is 2 at run time, expected 1 or 4")),
            ],
        },
        Row {
            // Also where the shape is a constant that not every extent of the data fits.
            inputs: vec![(1, "N,3")],
            constants: vec![i64s("to", &[2], &[2, -1])],
            node: node("Reshape", "a to", "y", vec![]),
            runs: vec![
                (vec![six()], Ok((vec![2, 3], six_numbers()))),
                (vec![floats(&[1, 3], &[1., 2., 3.])], Err("extent 0 is 2 at run time, expected")),
            ],
        },
        row(
            &[(1, "2,1"), (7, "3")],
            node("Expand", "a b", "y", vec![]),
            vec![
                (vec![floats(&[2, 1], &[1., 2.]), i64s_of(&[1, 1, 2])], Ok((vec![1, 2, 2], vec![1., 1., 2., 2.]))),
                (vec![floats(&[2, 1], &[1., 2.]), i64s_of(&[2, 2, 1])], Ok((vec![2, 2, 1], vec![1., 2., 1., 2.]))),
                (vec![floats(&[2, 1], &[1., 2.]), i64s_of(&[1, 3, 1])], Err("`expand_1` is 3")),
            ],
        ),
        row(
            &[(1, "N"), (7, "1")],
            node("Expand", "a b", "y", vec![]),
            vec![
                (vec![floats(&[1], &[4.]), i64s_of(&[3])], Ok((vec![3], vec![4.; 3]))),
                (vec![floats(&[2], &[4., 5.]), i64s_of(&[1])], Ok((vec![2], vec![4., 5.]))),
                (vec![floats(&[2], &[4., 5.]), i64s_of(&[3])], Err("extent 0 is 2 at run time, expected")),
            ],
        ),
        row(
            &[(7, "2")],
            node("ConstantOfShape", "a", "y", vec![]),
            vec![
                (vec![i64s_of(&[1, 2])], Ok((vec![1, 2], vec![0., 0.]))),
                (vec![i64s_of(&[1, -2])], Err("`constantofshape_1` is -2")),
                (vec![i64s_of(&[1 << 40, 1 << 40])], Err("")),
            ],
        ),
        row(
            &[(1, "2,3"), (7, "2")],
            node("Tile", "a b", "y", vec![]),
            vec![
                (vec![six(), i64s_of(&[2, 1])], Ok((vec![4, 3], [six_numbers(), six_numbers()].concat()))),
                (vec![six(), i64s_of(&[0, 1])], Ok((vec![0, 3], vec![]))),
                (vec![six(), i64s_of(&[1, -1])], Err("`tile_1` is -1")),
            ],
        ),
        row(
            &[(1, "2,3"), (7, "1")],
            node("TopK", "a b", "y z", vec![]),
            vec![
                (vec![six(), i64s_of(&[2])], Ok((vec![2, 2], vec![3., 2., 6., 5.]))),
                (vec![six(), i64s_of(&[4])], Err("`topk_0` is 4")),
            ],
        ),
        row(
            &[(1, "2,3"), (7, "4")],
            node("Pad", "a b", "y", vec![]),
            vec![
                (vec![six(), i64s_of(&[1, 0, 0, -1])], Ok((vec![3, 2], vec![0., 0., 1., 2., 4., 5.]))),
                (vec![six(), i64s_of(&[-3, 0, 0, 0])], Err("position 0 is 1 at run time, at most 0")),
            ],
        ),
        row(
            &[(1, "2,3"), (7, "2")],
            node("Split", "a b", "y z", vec![int("axis", 1)]),
            vec![
                (vec![six(), i64s_of(&[1, 2])], Ok((vec![2, 1], vec![1., 4.]))),
                (vec![six(), i64s_of(&[1, 1])], Err("extent 0 is 2 at run time, expected 3")),
            ],
        ),
        row(
            &[(1, "1,1,2,2"), (7, "4")],
            node("Resize", "a _ _ b", "y", vec![string("mode", "nearest")]),
            vec![(
                vec![floats(&[1, 1, 2, 2], &[1., 2., 3., 4.]), i64s_of(&[1, 1, 4, 2])],
                Ok((vec![1, 1, 4, 2], vec![1., 2., 1., 2., 3., 4., 3., 4.])),
            )],
        ),
    ]
}

fn windows() -> Vec<Row> {
    let five = || floats(&[5], &[0., 1., 2., 3., 4.]);
    let slice = |from: i64, to: i64, want: &[f64]| {
        (vec![five(), i64s_of(&[from]), i64s_of(&[to])], Ok((vec![want.len()], want.to_vec())))
    };
    let step = |s: i64| vec![i64s("axes", &[1], &[0]), i64s("steps", &[1], &[s])];
    let range = |from: i64, to: i64, by: i64, want: &[f64]| {
        (vec![scalar(from), scalar(to), scalar(by)], Ok((vec![want.len()], want.to_vec())))
    };
    vec![
        row(
            &[(1, "5"), (7, "1"), (7, "1")],
            node("Slice", "a b c", "y", vec![]),
            vec![
                slice(1, 3, &[1., 2.]),
                slice(-2, i64::MAX, &[3., 4.]),
                slice(0, -1, &[0., 1., 2., 3.]),
                slice(3, 1, &[]),
                slice(7, 9, &[]),
                slice(-9, 2, &[0., 1.]),
            ],
        ),
        Row {
            inputs: vec![(1, "5"), (7, "1"), (7, "1")],
            constants: step(-2),
            node: node("Slice", "a b c axes steps", "y", vec![]),
            runs: vec![slice(4, 0, &[4., 2.]), slice(9, i64::MIN, &[4., 2., 0.]), slice(-2, -9, &[3., 1.]), slice(1, 3, &[])],
        },
        Row {
            inputs: vec![(1, "N"), (7, "1"), (7, "1")],
            constants: step(3),
            node: node("Slice", "a b c axes steps", "y", vec![]),
            runs: vec![slice(0, 5, &[0., 3.]), slice(1, 9, &[1., 4.]), slice(5, 9, &[])],
        },
        row(
            &[(7, ""), (7, ""), (7, "")],
            node("Range", "a b c", "y", vec![]),
            vec![
                range(1, 8, 3, &[1., 4., 7.]),
                range(5, 0, -2, &[5., 3., 1.]),
                range(0, 5, -1, &[]),
                range(3, 3, 2, &[]),
                (vec![scalar(0), scalar(5), scalar(0)], Err("`range_0` is -1")),
                (vec![scalar(0), scalar(1 << 60), scalar(1)], Err("`range_0` is 1152921504606846976")),
            ],
        ),
        row(
            &[(1, ""), (1, ""), (1, "")],
            node("Range", "a b c", "y", vec![]),
            vec![(
                [0.5, 2.0, 0.5].map(|v| Tensor::scalar(DType::F32, Num::Float(v))).to_vec(),
                Ok((vec![3], vec![0.5, 1.0, 1.5])),
            )],
        ),
    ]
}

#[test]
fn extents_that_inputs_tell() {
    for r in shapes().into_iter().chain(windows()) {
        let op = r.node.op_type().to_string();
        let inputs = r.inputs.iter().zip(["a", "b", "c"]).map(|((code, dims), name)| port(name, *code, dims)).collect();
        // The element type of `y` is checked by hand: Range gives that of its arguments.
        let code = if op == "Range" { r.inputs[0].0 } else { 1 };
        let g = import(&model(graph(inputs, r.constants, vec![r.node], vec![port("y", code, "")])))
            .unwrap_or_else(|e| panic!("{op}: {e}"));
        let g = beiming_ir::verify::graph(g).unwrap_or_else(|e| panic!("{op}: {e}"));
        for (values, want) in r.runs {
            match (eval::graph(&g, &values), want) {
                (Ok(got), Ok((shape, elements))) => {
                    assert_eq!((&got[0].shape, got[0].to_f64()), (&shape, elements), "{op} {values:?}")
                }
                (Err(e), Err(part)) => assert!(
                    e.0.contains(part) && (part.is_empty() || e.0.contains(&format!("{op} the_{op}"))),
                    "{op}: {e}\nexpected: {part}"
                ),
                (got, want) => panic!("{op} {values:?}: {got:?}\nexpected: {want:?}"),
            }
        }
    }
}
