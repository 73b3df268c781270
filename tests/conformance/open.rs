//! Programs with arguments of open extents. They check nothing themselves: what the program gives with its extents open, in the
//! evaluator and as machine code, is held against what it gives where the numbers stand in the program.

use std::path::Path;

use beiming::import::stablehlo::{self, translate};
use beiming::import::{ImportError, ImportOptions};
use beiming_ir::eval;
use beiming_ir::graph::Graph;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim};
use beiming_tests::agree::{self, Tolerance};
use translate::{Known, Settings, Translation};

use crate::case::Mode;
use crate::ran;

/// Extents to try: the first with which the program makes sense is taken. JAX has written most for 3.
const EXTENTS: [i64; 4] = [3, 4, 8, 2];

/// Largest extent that code is made for.
const MOST: i64 = 16;

/// The tests of a program: of the evaluator's results, and of the code's.
pub struct Judged {
    /// What is wrong in the evaluator.
    pub eval: Result<(), String>,
    /// What is wrong in the compiled program; `None` where it was not run.
    pub cpu: Option<Result<(), String>>,
}

/// Whether a graph is one of these.
pub fn is_open(g: &Graph) -> bool {
    !g.inputs.is_empty() && !g.symbols.0.is_empty()
}

/// Runs a translated function of the module in `path`.
pub fn run(path: &Path, function: &str, t: &Translation, mode: Mode, only_eval: bool) -> Judged {
    let fail = |why: String| Judged { eval: Err(why), cpu: None };
    let g = &t.graph;
    let mut why = String::new();
    for n in EXTENTS {
        let closed = match closed(path, function, g, n, mode) {
            Ok(c) => c,
            Err(e) => {
                why = e;
                continue;
            }
        };
        let Some(inputs) = inputs(g, n) else { return fail(format!("an input has no extent for {n}")) };
        let named = |names: &Graph| -> Vec<Tensor> {
            let of = |i: usize| g.inputs.iter().position(|v| g.value(*v).name == names.value(names.inputs[i]).name);
            (0..names.inputs.len()).filter_map(|i| Some(inputs[of(i)?].clone())).collect()
        };
        let want = match eval::graph(&closed, &named(&closed)) {
            Ok(w) => w,
            Err(e) => return fail(format!("with the extents {n}: {e}")),
        };
        let open = beiming_ir::verify::graph(g.clone()).map_err(|e| format!("verify: {e}"));
        let eval = open.and_then(|_| eval::graph(g, &inputs).map_err(|e| e.to_string()));
        let eval = eval.and_then(|got| agree::tensors(&want, &got, tolerance(&want)));
        let cpu = (!only_eval).then(|| {
            let got = compiled(g, &inputs, mode)?;
            agree::tensors(&want, &got, tolerance(&want))
        });
        return Judged { eval, cpu };
    }
    fail(format!("none of the extents {EXTENTS:?} fits: {why}"))
}

/// The program with the number `n` for every extent.
fn closed(path: &Path, function: &str, g: &Graph, n: i64, mode: Mode) -> Result<Graph, String> {
    let as_written = mode == Mode::AsWritten;
    let mut options = ImportOptions { function: Some(function.to_string()), as_written, ..ImportOptions::default() };
    for (name, i) in g.valued_symbols() {
        options.values.insert(g.value(g.inputs[i]).name.to_string(), vec![n as f64]);
        debug_assert_eq!(name, g.value(g.inputs[i]).name);
    }
    for v in &g.inputs {
        let (name, ty) = (g.value(*v).name.to_string(), g.ty(*v));
        // An argument that an extent of another gives is one of them still.
        if g.symbols.0.contains_key(name.as_str()) {
            options.values.insert(name.clone(), vec![n as f64]);
        }
        if ty.rank() > 0 {
            let shape: Option<Vec<Dim>> = ty.shape.iter().map(|d| d.eval(&|_| Some(n)).map(Dim::Known)).collect();
            options.shapes.insert(name, shape.ok_or("an extent without a value")?);
        }
    }
    let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let module = stablehlo::module(bytes.into()).map_err(|e| e.to_string())?;
    let said = |e: ImportError| e.to_string();
    Ok(translate::translate(&module, &options, Settings::default(), Known::default()).map_err(said)?.graph)
}

/// Inputs that are always the same; scalars of 64 bits are extents.
fn inputs(g: &Graph, n: i64) -> Option<Vec<Tensor>> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let one = |v: &beiming_ir::graph::ValueId| {
        let ty = g.ty(*v);
        if ty.dtype == DType::I64 && ty.rank() == 0 {
            return Some(Tensor::scalar(DType::I64, Num::Int(n.into())));
        }
        let extent = |d: &Dim| d.eval(&|_| Some(n)).and_then(|e| usize::try_from(e).ok());
        let shape = ty.shape.iter().map(extent).collect::<Option<Vec<usize>>>()?;
        let dtype = ty.dtype;
        Some(Tensor::build(dtype, &shape, |_| match dtype {
            d if d.is_float() => Num::Float((next() % 2001) as f64 / 1000.0 - 1.0),
            DType::Bool => Num::Int((next() % 2).into()),
            _ => Num::Int((next() % 3).into()),
        }))
    };
    let mut one = one;
    g.inputs.iter().map(&mut one).collect()
}

/// Sums in another order, and functions of the vector unit: so many steps of the coarsest type that comes out.
fn tolerance(outputs: &[Tensor]) -> Tolerance {
    let step = |t: &Tensor| match t.dtype {
        DType::F64 => 1e-12,
        DType::F16 | DType::BF16 => 2e-2,
        d if d.is_float() && d.bits() < 16 => 0.3,
        _ => 2e-5,
    };
    let worst = outputs.iter().map(step).fold(1e-12, f64::max);
    Tolerance { relative: worst, absolute: worst }
}

fn compiled(g: &Graph, inputs: &[Tensor], mode: Mode) -> Result<Vec<Tensor>, String> {
    let mut g = g.clone();
    for r in g.symbols.0.values_mut() {
        r.hi = r.hi.min(MOST);
    }
    ran::run(&g, inputs, mode)
}
