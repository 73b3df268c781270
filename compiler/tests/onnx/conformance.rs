//! The node tests of the ONNX backend suite, imported and run by the evaluator.
//!
//! The suite is not part of the repository. `BEIMING_ONNX_SUITE` names a folder that holds it: `index.tsv` (kind, name, opset,
//! rtol, atol, ops) and `kind/name/{model.onnx, test_data_set_0/*.pb}`. `BEIMING_ONNX_FILTER` keeps the cases whose name
//! holds a text; a file `options` beside a model holds lines `shape x:1x3`, `dim N=4`, `value sr=16000`; `BEIMING_ONNX_REPORT` names a file for the reasons of failure.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use beiming::import::onnx::proto::{ModelProto, TensorProto, type_proto};
use beiming::import::{ImportOptions, onnx};
use beiming_ir::tensor::{Num, Tensor};
use bytes::Bytes;
use prost::Message;

struct Case {
    kind: String,
    name: String,
    rtol: f64,
    atol: f64,
    ops: Vec<String>,
}

fn index(root: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(root.join("index.tsv")).expect("the suite has an index");
    let case = |l: &str| {
        let f: Vec<&str> = l.split('\t').collect();
        Case {
            kind: f[0].into(),
            name: f[1].into(),
            rtol: f[3].parse().expect("rtol"),
            atol: f[4].parse().expect("atol"),
            ops: f[5].split([',', ' ']).filter(|o| !o.is_empty()).map(String::from).collect(),
        }
    };
    text.lines().skip(1).map(case).collect()
}

fn tensors(folder: &Path, stem: &str) -> Result<Vec<TensorProto>, String> {
    let mut out = vec![];
    loop {
        let path = folder.join(format!("{stem}_{}.pb", out.len()));
        let Ok(bytes) = std::fs::read(&path) else { return Ok(out) };
        out.push(TensorProto::decode(Bytes::from(bytes)).map_err(|e| format!("data is not a tensor: {e}"))?);
    }
}

fn options(folder: &Path) -> Result<ImportOptions, String> {
    let mut options = ImportOptions::default();
    for line in std::fs::read_to_string(folder.join("options")).unwrap_or_default().lines() {
        match line.split_once(' ') {
            Some(("shape", s)) => options.add_shape(s)?,
            Some(("dim", s)) => options.add_dim(s)?,
            Some(("value", s)) => options.add_value(s)?,
            _ => return Err(format!("`{line}` is not an option")),
        }
    }
    Ok(options)
}

fn run(folder: &Path, model: &ModelProto, inputs: &[TensorProto], expected: &[TensorProto], case: &Case) -> Result<(), String> {
    let g = onnx::read_model(model, Some(folder), &options(folder)?).map_err(|e| format!("import: {e}"))?;
    let read = |t: &TensorProto| onnx::read_tensor(t).map_err(|e| format!("data: {e}"));
    let inputs = inputs.iter().map(read).collect::<Result<Vec<Tensor>, _>>()?;
    let outputs = beiming_ir::eval::graph(&g, &inputs).map_err(|e| format!("eval: {e}"))?;
    let expected = expected.iter().map(read).collect::<Result<Vec<Tensor>, _>>()?;
    if outputs.len() != expected.len() {
        return Err(format!("{} outputs, expected {}", outputs.len(), expected.len()));
    }
    for (i, (got, want)) in outputs.iter().zip(&expected).enumerate() {
        if got.dtype != want.dtype || got.shape != want.shape {
            return Err(format!("output {i}: {} instead of {}", got.ty(), want.ty()));
        }
        for k in 0..got.len() {
            let close = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= case.atol + case.rtol * b.abs();
            let same = match (got.get(k), want.get(k)) {
                (Num::Int(a), Num::Int(b)) => a == b || close(a as f64, b as f64),
                (Num::Complex(a, b), Num::Complex(c, d)) => close(a, c) && close(b, d),
                (a, b) => close(a.to_f64(), b.to_f64()),
            };
            if !same {
                return Err(format!("output {i}, element {k}: {:?} instead of {:?}", got.get(k), want.get(k)));
            }
        }
    }
    Ok(())
}

enum Outcome {
    Pass,
    /// With every input but the first as a constant.
    PassConst,
    Fail(String),
}

fn outcome(root: &Path, case: &Case) -> Outcome {
    let folder = root.join(&case.kind).join(&case.name);
    let attempt = || -> Result<Outcome, String> {
        let bytes = std::fs::read(folder.join("model.onnx")).map_err(|e| e.to_string())?;
        let model = ModelProto::decode(Bytes::from(bytes)).map_err(|e| e.to_string())?;
        let graph = model.graph.as_ref().ok_or("no graph")?;
        let whole = |v: &beiming::import::onnx::proto::ValueInfoProto| {
            matches!(v.r#type.as_ref().and_then(|t| t.value.as_ref()), Some(type_proto::Value::TensorType(_)))
        };
        if !graph.input.iter().chain(&graph.output).all(whole) {
            return Err("sequence, map or optional at the border".into());
        }
        let data = folder.join("test_data_set_0");
        let (inputs, expected) = (tensors(&data, "input")?, tensors(&data, "output")?);
        let plain = match run(&folder, &model, &inputs, &expected, case) {
            Ok(()) => return Ok(Outcome::Pass),
            Err(e) => e,
        };
        let fed: Vec<String> = graph
            .input
            .iter()
            .filter(|i| !graph.initializer.iter().any(|t| t.name() == i.name()))
            .map(|i| i.name().to_string())
            .collect();
        if inputs.len() < 2 || fed.len() != inputs.len() {
            return Err(plain);
        }
        let mut baked = model.clone();
        if let Some(g) = &mut baked.graph {
            g.input.retain(|i| !fed[1..].iter().any(|f| f == i.name()));
            for (name, t) in fed.iter().zip(&inputs).skip(1) {
                g.initializer.push(TensorProto { name: Some(name.clone()), ..t.clone() });
            }
        }
        match run(&folder, &baked, &inputs[..1], &expected, case) {
            Ok(()) => Ok(Outcome::PassConst),
            Err(e) => Err(if plain == e { plain } else { format!("{plain} || with constants: {e}") }),
        }
    };
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(attempt)) {
        Ok(Ok(o)) => o,
        Ok(Err(e)) => Outcome::Fail(e),
        Err(p) => {
            let text = p.downcast_ref::<String>().cloned().or(p.downcast_ref::<&str>().map(|s| s.to_string()));
            Outcome::Fail(format!("PANIC: {}", text.unwrap_or_default()))
        }
    }
}

#[test]
fn backend_suite() {
    let Ok(root) = std::env::var("BEIMING_ONNX_SUITE") else {
        eprintln!("BEIMING_ONNX_SUITE is not set: the backend suite was not run");
        return;
    };
    let filter = std::env::var("BEIMING_ONNX_FILTER").unwrap_or_default();
    let cases: Vec<Case> = index(Path::new(&root)).into_iter().filter(|c| c.name.contains(&filter)).collect();
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<BTreeMap<usize, Outcome>> = Mutex::default();
    std::thread::scope(|s| {
        for _ in 0..2 {
            // Deep expansions need more stack than a test thread has in a debug build.
            let work = || {
                while let Some(c) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let i = cases.iter().position(|d| std::ptr::eq(c, d)).expect("a case of the list");
                    let o = outcome(Path::new(&root), c);
                    outcomes.lock().expect("no panic under the lock").insert(i, o);
                }
            };
            std::thread::Builder::new().stack_size(64 << 20).spawn_scoped(s, work).expect("a thread");
        }
    });
    let outcomes = outcomes.into_inner().expect("no panic under the lock");
    let mut per_op: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let mut report = String::new();
    let mut total = [0; 3];
    for (i, o) in &outcomes {
        let c = &cases[*i];
        let slot = match o {
            Outcome::Pass => 0,
            Outcome::PassConst => 1,
            Outcome::Fail(why) => {
                report.push_str(&format!("{}\t{}\t{}\n", c.name, c.ops.join(","), why.replace('\n', " ")));
                2
            }
        };
        total[slot] += 1;
        if c.ops.len() == 1 {
            per_op.entry(&c.ops[0]).or_default()[slot] += 1;
        }
    }
    println!("{:<28} {:>5} {:>6} {:>5}", "single-op cases of", "pass", "const", "fail");
    for (op, [p, k, f]) in &per_op {
        println!("{op:<28} {p:>5} {k:>6} {f:>5}");
    }
    println!("{:<28} {:>5} {:>6} {:>5}", "all", total[0], total[1], total[2]);
    if let Ok(path) = std::env::var("BEIMING_ONNX_REPORT") {
        std::fs::write(path, &report).expect("the report can be written");
    }
    assert!(!report.contains("PANIC"), "the importer or the evaluator panicked:\n{report}");
}
