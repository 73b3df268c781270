//! Ops whose meaning follows ONNX, held against results of ONNX's reference evaluator and of onnxruntime
//! (`onnx_reference.ron`, written by `onnx_reference.py`).

use beiming_ir::eval;
use beiming_ir::graph::Graph;
use beiming_ir::ops::Op;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::DType;

/// Element type, shape, elements.
type Written = (DType, Vec<usize>, Vec<f64>);

#[derive(serde::Deserialize)]
struct Case {
    op: Op,
    args: Vec<Written>,
    results: Vec<Written>,
    tolerance: f64,
}

fn tensor((dtype, shape, data): &Written) -> Tensor {
    assert_eq!(shape.iter().product::<usize>(), data.len());
    Tensor::build(*dtype, shape, |i| if dtype.is_float() { Num::Float(data[i]) } else { Num::Int(data[i] as i128) })
}

#[test]
fn eval_agrees_with_onnx() {
    let cases: Vec<Case> = ron::from_str(include_str!("onnx_reference.ron")).expect("the cases parse");
    assert!(cases.len() > 400, "{} cases", cases.len());
    let mut wrong = vec![];
    for (n, case) in cases.iter().enumerate() {
        let args: Vec<Tensor> = case.args.iter().map(tensor).collect();
        let got = match eval::op(&case.op, &args, &Graph::default(), &eval::Dims::new()) {
            Ok(got) => got,
            Err(e) => {
                wrong.push(format!("case {n}, {:?}: {e}", case.op));
                continue;
            }
        };
        assert_eq!(got.len(), case.results.len(), "case {n}, {:?}", case.op);
        for (k, (got, want)) in got.iter().zip(&case.results).enumerate() {
            let same = got.dtype == want.0
                && got.shape == want.1
                && got.to_f64().iter().zip(&want.2).all(|(a, b)| (a - b).abs() <= case.tolerance * (1.0 + b.abs()));
            if !same {
                let want = tensor(want);
                wrong.push(format!(
                    "case {n}, {:?}, result {k}:\n  got  {} {:?}\n  want {} {:?}",
                    case.op,
                    got.ty(),
                    got.to_f64(),
                    want.ty(),
                    want.to_f64()
                ));
            }
        }
    }
    let shown: Vec<&String> = wrong.iter().take(10).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} cases differ:\n{}",
        wrong.len(),
        cases.len(),
        shown.iter().map(|s| s.as_str()).collect::<Vec<_>>().join("\n")
    );
}
