//! What the emitted modules compute is what the evaluator computes: they are lowered by MLIR's own passes and run on this machine.

mod engine;
mod forms;

use beiming_ir::eval;
use beiming_ir::graph::{Graph, Loc};
use beiming_ir::num::round_to;
use beiming_ir::ops::{BinaryOp, Op, UnaryOp};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Symbols, TensorType};
use beiming_mlir::emit::{Group, groups};

use engine::Engine;

const FLOATS: [DType; 3] = [DType::F32, DType::F16, DType::BF16];
const INTS: [DType; 6] = [DType::I64, DType::I32, DType::I16, DType::I8, DType::U8, DType::U32];

/// Numbers by a fixed sequence: small ones of both signs, zeros, and the ends of an integer type's range.
pub fn data(dtype: DType, shape: &[usize], seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    Tensor::build(dtype, shape, |i| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let r = (state >> 33) as i64;
        match dtype.int_range() {
            Some((lo, hi)) if i % 13 == 5 => Num::Int(if r % 2 == 0 { lo } else { hi }),
            Some((lo, hi)) => Num::Int(i128::from(r % 19 - 9).clamp(lo, hi)),
            None => round_to(dtype, Num::Float((r % 4001 - 2000) as f64 / 500.0)),
        }
    })
}

/// Units of relative and absolute error that a type is allowed.
fn tolerance(d: DType) -> f64 {
    match d {
        DType::F16 => 3e-3,
        DType::BF16 => 2e-2,
        DType::F32 => 2e-5,
        _ => 0.0,
    }
}

/// The first element that is off.
fn differs(got: &Tensor, want: &Tensor) -> Option<String> {
    let t = tolerance(want.dtype);
    (0..want.len()).find_map(|i| {
        let (g, w) = (got.get(i), want.get(i));
        let close = match (g, w) {
            (Num::Float(g), Num::Float(w)) => g == w || (g.is_nan() && w.is_nan()) || (g - w).abs() <= t * (1.0 + w.abs()),
            _ => g.to_i128() == w.to_i128(),
        };
        (!close).then(|| format!("element {i}: {g:?} where the evaluator has {w:?}"))
    })
}

/// A graph of one node on these tensors; those of `constant` are constants.
pub fn graph(op: Op, inputs: &[Tensor], constant: &[usize]) -> Graph {
    let mut g = Graph::new("case", Symbols::default());
    let mut args = vec![];
    for (i, t) in inputs.iter().enumerate() {
        args.push(match constant.contains(&i) {
            true => g.constant(t.clone(), &Loc::default()),
            false => g.add_input(&format!("x{i}"), TensorType::known(t.dtype, &t.shape)),
        });
    }
    let y = g.push1(op, &args, &Loc::default()).expect("the case is well typed");
    g.add_output("y", y);
    g
}

/// The one group of a graph of one node.
pub fn only(g: &Graph) -> Group {
    let mut all = groups(g, &|_| None);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// Runs one op both ways. `Err` says what is wrong, or why it is not expressed.
pub fn agrees(engine: &Engine, op: Op, inputs: &[Tensor], constant: &[usize]) -> Result<(), String> {
    let g = graph(op, inputs, constant);
    let group = only(&g);
    let text = group.text.map_err(|e| e.to_string())?;
    let passed: Vec<Tensor> = (0..inputs.len()).filter(|i| !constant.contains(i)).map(|i| inputs[i].clone()).collect();
    let want = eval::graph(&g, &passed).map_err(|e| e.to_string())?.remove(0);
    // Constants of one element are in the function; the others are arguments like inputs.
    let given: Vec<&Tensor> =
        (0..inputs.len()).filter(|i| !constant.contains(i) || inputs[*i].len() != 1).map(|i| &inputs[i]).collect();
    let got = engine.call(&text, &group.name, &given, &want).map_err(|e| format!("{e}\n{text}"))?;
    differs(&got, &want).map_or(Ok(()), |d| Err(format!("{d}\n{text}")))
}

/// Everything that went wrong, at once.
fn all(results: impl IntoIterator<Item = (String, Result<(), String>)>) {
    let wrong: Vec<String> = results.into_iter().filter_map(|(name, r)| Some(format!("{name}: {}", r.err()?))).collect();
    assert!(wrong.is_empty(), "{} are wrong\n{}", wrong.len(), wrong.join("\n"));
}

/// Ops that have no op of theirs in `arith` or `math`, and say so.
fn absent(op: &str, d: DType) -> bool {
    op == "pow" && !d.is_float()
}

#[test]
fn functions_of_one_argument() {
    let engine = Engine::new();
    let mut results = vec![];
    for op in UnaryOp::ALL {
        for d in FLOATS.into_iter().chain(INTS).chain([DType::Bool]).filter(|d| op.result(*d).is_some()) {
            let mut x = data(d, &[3, 17], 1);
            if d.is_float() {
                let v = x.to_f64();
                // Some functions have a narrow domain; outside of it both must give NaN.
                let special = [0.0, -0.0, 1.0, -1.0, 0.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
                x = Tensor::from_f64(d, &[3, 17], &[&special[..], &v[special.len()..]].concat());
            }
            results.push((format!("{} of {d}", op.name()), agrees(&engine, Op::Unary(op), &[x], &[])));
        }
    }
    all(results);
}

#[test]
fn functions_of_two_arguments() {
    let engine = Engine::new();
    let mut results = vec![];
    for op in BinaryOp::ALL {
        for d in FLOATS.into_iter().chain(INTS).chain([DType::Bool]).filter(|d| op.result(*d).is_some()) {
            let (x, y) = (data(d, &[3, 17], 2), data(d, &[17], 3));
            let r = agrees(&engine, Op::Binary(op), &[x, y], &[]);
            let r = match (absent(op.name(), d), r) {
                (false, r) => r,
                (true, Err(e)) if e.contains("has no op in arith or math") => Ok(()),
                (true, r) => Err(format!("should be refused with a reason, got {r:?}")),
            };
            results.push((format!("{} of {d}", op.name()), r));
        }
    }
    all(results);
}

#[test]
fn conversions() {
    let engine = Engine::new();
    let types: Vec<DType> = FLOATS.into_iter().chain(INTS).chain([DType::Bool]).collect();
    let mut results = vec![];
    for &from in &types {
        for &to in &types {
            let mut x = data(from, &[40], 4);
            if from.is_float() {
                let ends = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 300.0, -300.0, 3e9, -3e9, 60000.0, 0.0, -0.5];
                let v = x.to_f64();
                x = Tensor::from_f64(from, &[40], &[&ends[..], &v[ends.len()..]].concat());
            }
            results.push((format!("{from} to {to}"), agrees(&engine, Op::Cast { to }, &[x], &[])));
        }
    }
    all(results);
}
