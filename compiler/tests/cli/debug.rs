//! Finding a wrong op: the kernels of one op are broken on purpose, and must be found; with nothing broken nothing must be.

use beiming::debug::layers::Verdict;
use beiming::debug::{self, Against, GraphSource, Maker, OnnxSource, Source, Tolerance, Values, reference};
use beiming::import::ImportOptions;
use beiming::import::onnx::proto::ModelProto;
use beiming_ir::kernel::Expr;
use beiming_ir::ops::UnaryOp;
use beiming_ir::plan::Program;
use beiming_ir::target::Target;
use beiming_ir::tensor::Tensor;
use beiming_ir::text::parse_graph;

use super::build::*;
use super::{MLP, Place, text};

/// Every kernel that computes `tanh` computes `sqrt` of the absolute value instead, which no test value equals.
fn break_tanh(p: &mut Program) {
    for k in &mut p.kernels {
        for e in &mut k.exprs {
            if let Expr::Unary(op @ UnaryOp::Tanh, _) = e {
                *op = UnaryOp::Abs;
            }
        }
    }
}

/// Two branches and a layer of each kind of kernel: convolutions in ONNX's layout, elementwise ops, a reduction, a product.
fn network(activation: &str) -> ModelProto {
    let weights = |n: usize, scale: f32| -> Vec<f32> { (0..n).map(|i| ((i * 37 % 19) as f32 - 9.0) * scale).collect() };
    let mut nodes = vec![
        node("Conv", "x w0 b0", "c0", vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1, 1, 1, 1])]),
        node("Relu", "c0", "r0", vec![]),
        node("Conv", "r0 w1", "c1", vec![ints("kernel_shape", &[1, 1])]),
        node(activation, "c1", "t1", vec![]),
        node("Add", "t1 r0", "s", vec![]),
        node("GlobalAveragePool", "s", "p", vec![]),
        node("Flatten", "p", "f", vec![]),
        node("MatMul", "f w2", "m", vec![]),
        node("Softmax", "m", "y", vec![]),
    ];
    // onnxruntime wants the names of nodes to be different.
    nodes.iter_mut().enumerate().for_each(|(i, n)| n.name = Some(format!("n{i}")));
    let constants = vec![
        f32s("w0", &[8, 3, 3, 3], &weights(216, 0.03)),
        f32s("b0", &[8], &weights(8, 0.1)),
        f32s("w1", &[8, 8, 1, 1], &weights(64, 0.09)),
        f32s("w2", &[8, 5], &weights(40, 0.2)),
    ];
    simple("2,3,6,6", constants, nodes)
}

fn input() -> Vec<(String, Tensor)> {
    let values: Vec<f32> = (0..216).map(|i| ((i * 29 % 31) as f32 - 15.0) / 9.0).collect();
    vec![("x".into(), Tensor::f32(&[2, 3, 6, 6], &values))]
}

fn source(m: ModelProto) -> OnnxSource {
    OnnxSource::new(m, &ImportOptions::default()).expect("a model")
}

/// Every value by the evaluator.
fn values(source: &dyn Source, inputs: &[(String, Tensor)]) -> Values {
    let mut v = reference::values(Against::Eval, source, &source.all(), inputs).expect("evaluated");
    v.extend(inputs.iter().cloned());
    v
}

/// The evaluator as the reference.
fn evaluated(source: &dyn Source) -> impl FnMut(&[String]) -> Result<Values, debug::DebugError> {
    |names| reference::values(Against::Eval, source, names, &input())
}

#[test]
fn layers_agree_where_nothing_is_wrong() {
    let (s, maker) = (source(network("Tanh")), Maker::new(Target::host()));
    for unfused in [false, true] {
        let l = debug::layers(&s, &input(), &maker, &mut evaluated(&s), Tolerance::default(), unfused).expect("compared");
        assert!(l.agrees() && l.layers.iter().all(|x| x.verdict == Verdict::Agrees), "{l:#?}");
        assert_eq!(l.kernels.0, l.kernels.1, "the kernels are those of the model");
        if unfused {
            let names: Vec<&str> = l.layers.iter().map(|l| l.value.as_str()).collect();
            assert_eq!(names, ["c0", "r0", "c1", "t1", "s", "p", "f", "m", "y"]);
        }
    }
}

#[test]
fn layers_name_the_first_wrong_value() {
    let s = source(network("Tanh"));
    let maker = Maker { edit: Some(&break_tanh), ..Maker::new(Target::host()) };
    for unfused in [false, true] {
        let l = debug::layers(&s, &input(), &maker, &mut evaluated(&s), Tolerance::default(), unfused).expect("compared");
        let first = &l.layers[l.first.expect("a difference")];
        assert!(first.group.iter().any(|op| op == "tanh"), "{first:#?}");
        assert!(l.layers.iter().filter(|l| l.verdict == Verdict::Differs).all(|l| l.difference.different > 0));
        let of = |name: &str| l.layers.iter().find(|x| x.value == name).map(|x| x.verdict);
        assert_eq!(of("r0"), Some(Verdict::Agrees), "before it: {l:#?}");
        assert_eq!(of("y"), Some(Verdict::Differs), "behind it: {l:#?}");
        if unfused {
            assert_eq!((first.value.as_str(), first.place.as_str()), ("t1", "graph/node 3"));
        }
    }
}

#[test]
fn bisection_names_the_wrong_op_and_cuts_it_out() {
    let s = source(network("Tanh"));
    let (input, good) = (input(), Maker::new(Target::host()));
    let all = values(&s, &input);
    let t = Tolerance::default();
    let none = debug::bisect(&s, &input, &all, &good, t).expect("searched");
    assert!(none.ops.is_empty() && none.cut.is_none() && none.runs == 1);

    let bad = Maker { edit: Some(&break_tanh), ..good.clone() };
    let found = debug::bisect(&s, &input, &all, &bad, t).expect("searched");
    assert_eq!(found.ops.iter().map(|o| o.op.as_str()).collect::<Vec<_>>(), ["Tanh"]);
    assert!(found.runs <= 9, "{} runs for 9 ops", found.runs);
    assert_eq!(found.skipped, (0, None));

    // What is written shows it again, and only with the wrong kernel.
    let folder = tempfile::tempdir().expect("a folder");
    let cut = found.cut.expect("a cut");
    let (model, inputs) = debug::save(&cut, &folder.path().join("found")).expect("written");
    assert!(model.ends_with("found.onnx") && inputs.exists());
    let again = OnnxSource::open(&model, &ImportOptions::default()).expect("a model");
    assert_eq!(again.ops().len(), 1);
    let all = values(&again, &cut.inputs);
    assert_eq!(debug::bisect(&again, &cut.inputs, &all, &bad, t).expect("searched").ops.len(), 1);
    assert!(debug::bisect(&again, &cut.inputs, &all, &good, t).expect("searched").ops.is_empty());
}

#[test]
fn a_cut_keeps_the_weights_and_the_shapes_of_its_ops() {
    let s = source(network("Relu"));
    let all = values(&s, &input());
    let t = Tolerance::default();
    let maker = Maker::new(Target::host());
    for keep in [vec![0], vec![0, 1, 2], vec![2, 5, 7], vec![5, 6, 7, 8], (0..9).collect()] {
        let cut = s.cut(&keep, &all).expect("a cut");
        assert!(!debug::bisect::cut_differs(&cut, &all, &maker, t).expect("run"), "{keep:?}");
        // The reference of the cut alone is that of the whole.
        let model = cut.onnx.as_deref().expect("ONNX").clone();
        let own = source(model);
        let alone = reference::values(Against::Eval, &own, &cut.outputs, &cut.inputs).expect("evaluated");
        for (n, t) in &alone {
            assert_eq!(t.bytes(), all[n].bytes(), "{n} of {keep:?}");
        }
    }
}

#[test]
fn reduction_leaves_the_op_that_fails() {
    let s = source(network("Tanh"));
    let all = values(&s, &input());
    let (good, t) = (Maker::new(Target::host()), Tolerance::default());
    let bad = Maker { edit: Some(&break_tanh), ..good.clone() };
    let reduced = debug::reduce(&s, &all, &mut |c| debug::bisect::cut_differs(c, &all, &bad, t)).expect("searched");
    let reduced = reduced.expect("it fails");
    assert_eq!(reduced.cut.ops, [3]);
    assert!(reduced.tried < 20, "{} models tried", reduced.tried);
    let none = debug::reduce(&s, &all, &mut |c| debug::bisect::cut_differs(c, &all, &good, t)).expect("searched");
    assert!(none.is_none());
}

#[test]
fn ops_that_are_wrong_only_together_are_found_together() {
    // Wrong only where both are in one kernel.
    let both = |p: &mut Program| {
        for k in p.kernels.iter_mut().filter(|k| k.ops.iter().any(|o| o == "exp") && k.ops.iter().any(|o| o == "tanh")) {
            for e in &mut k.exprs {
                if let Expr::Unary(op @ UnaryOp::Exp, _) = e {
                    *op = UnaryOp::Abs;
                }
            }
        }
    };
    let nodes = vec![
        node("Neg", "x", "a", vec![]),
        node("Tanh", "a", "b", vec![]),
        node("Exp", "b", "c", vec![]),
        node("Neg", "c", "d", vec![]),
        node("Softmax", "d", "y", vec![]),
    ];
    let s = source(simple("2,3", vec![], nodes));
    let input = vec![("x".to_string(), Tensor::f32(&[2, 3], &[0.5, -1.0, 2.0, 0.1, -0.3, 1.5]))];
    let maker = Maker { edit: Some(&both), ..Maker::new(Target::host()) };
    let found = debug::bisect(&s, &input, &values(&s, &input), &maker, Tolerance::default()).expect("searched");
    assert_eq!(found.ops.iter().map(|o| o.op.as_str()).collect::<Vec<_>>(), ["Tanh", "Exp"]);
}

#[test]
fn graphs_are_cut_with_open_extents() {
    let s = GraphSource::new(parse_graph(MLP, &[]).expect("a graph"));
    let x = vec![("x".to_string(), Tensor::f32(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))];
    let all = values(&s, &x);
    let cut = s.cut(&[1, 2], &all).expect("a cut");
    assert_eq!(cut.graph.ty(cut.graph.inputs[0]).to_string(), "f32[N, 2]");
    assert!(!debug::bisect::cut_differs(&cut, &all, &Maker::new(Target::host()), Tolerance::default()).expect("run"));
    // Where no input of the cut says how long an axis is, it has the length of the run.
    let text = r#"
graph "g" {
  dim N = 1..64
  %0 = input "x" : f32[2*N]
  %1 = Unary(Neg) %0 : f32[2*N]
  %2 = Reshape(shape:["N","2"]) %1 : f32[N, 2]
  %3 = Unary(Abs) %2 : f32[N, 2]
  output "y" %3
}
"#;
    let s = GraphSource::new(parse_graph(text, &[]).expect("a graph"));
    let x = vec![("x".to_string(), Tensor::f32(&[4], &[1.0, -2.0, 3.0, 4.0]))];
    let all = values(&s, &x);
    let cut = s.cut(&[1, 2], &all).expect("a cut");
    assert_eq!(cut.graph.ty(cut.graph.inputs[0]).to_string(), "f32[4]");
    assert!(!debug::bisect::cut_differs(&cut, &all, &Maker::new(Target::host()), Tolerance::default()).expect("run"));
}

/// By the command line, with a difference that is really there: a product in f32 against one in f64.
#[test]
fn the_commands_tell_what_they_found() {
    let p = Place::with_mlp();
    let out = p.ok(&["compare", "mlp.txt", "--layers", "--against", "eval", "--size", "N=5"]);
    assert!(out.contains("all values agree") && out.contains("graph/node 2"), "{out}");
    let exact = ["--rtol", "0", "--atol", "1e-30", "--size", "N=40"];
    let differs = p.run(&[&["compare", "mlp.txt", "--layers", "--unfused", "--against", "eval"], &exact[..]].concat());
    let said = text(&differs.stdout);
    assert_eq!(differs.status.code(), Some(1), "{said}");
    assert!(said.contains("first to differ: `%4` of matmul `fc` (graph/node 0)"), "{said}");
    let found = p.run(&[&["debug", "bisect", "mlp.txt", "--json"], &exact[..]].concat());
    assert_eq!(found.status.code(), Some(1), "{}", text(&found.stderr));
    let doc: serde_json::Value = serde_json::from_slice(&found.stdout).expect("JSON");
    assert_eq!(doc["found"]["ops"][0]["name"], "fc");
    assert_eq!(doc["files"]["model"], "mlp.bisect.txt");
    // What was written is a model that shows it again.
    let again = p.run(&[
        "compare",
        "mlp.bisect.txt",
        "--inputs",
        "mlp.bisect.npz",
        "--against",
        "eval",
        "--rtol",
        "0",
        "--atol",
        "1e-30",
    ]);
    assert_eq!(again.status.code(), Some(1), "{}", text(&again.stdout));
}

#[test]
fn a_check_of_ones_own_decides_what_is_kept() {
    let p = Place::with_mlp();
    let args = ["debug", "reduce", "mlp.txt", "--check", "grep -q 'Binary(Add)' {} && test -s {inputs} && exit 3", "--json"];
    let out = p.run(&args);
    let doc: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&out.stderr)));
    assert_eq!((doc["ops"].as_array().map(Vec::len), &doc["ops"][0]["name"]), (Some(1), &"bias".into()));
    assert!(text(&p.read("mlp.reduced.txt")).contains("Binary(Add)"));
    let out = p.run(&["debug", "reduce", "mlp.txt", "--check", "true"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("does not fail"), "{}", text(&out.stderr));
}

/// Without a check of one's own the command compares, in a process of its own, and what is left must fail in the same way.
#[test]
fn reduction_compares_where_no_check_is_given() {
    let p = Place::with_mlp();
    let out = p.run(&["debug", "reduce", "mlp.txt", "--rtol", "0", "--atol", "1e-30", "--size", "N=40", "-o", "small", "--json"]);
    let doc: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&out.stderr)));
    assert_eq!((doc["ops"].as_array().map(Vec::len), &doc["ops"][0]["name"]), (Some(1), &"fc".into()), "{doc}");
    let compare = ["compare", "small.txt", "--inputs", "small.npz", "--against", "eval"];
    p.ok(&compare);
    let strict = p.run(&[&compare[..], &["--rtol", "0", "--atol", "1e-30"]].concat());
    assert_eq!(strict.status.code(), Some(1), "{}", text(&strict.stderr));
}

/// Against onnxruntime: all agrees; and with a tolerance that no two products pass, one is found and shows alone too.
#[test]
fn onnxruntime_is_a_reference_for_every_value() {
    let default = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
    let python = std::env::var_os("BEIMING_PYTHON").map_or(default, std::path::PathBuf::from);
    assert!(python.exists(), "{} does not exist: run `make setup`, or set BEIMING_PYTHON", python.display());
    let p = Place::new();
    p.write("net.onnx", &prost::Message::encode_to_vec(&network("Tanh")));
    let run = |args: &[&str]| p.command(args).env("BEIMING_PYTHON", &python).output().expect("started");
    for more in [&[][..], &["--unfused"]] {
        let out = run(&[&["compare", "net.onnx", "--layers", "--json"], more].concat());
        let doc: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&out.stderr)));
        assert_eq!((out.status.code(), &doc["first"]), (Some(0), &serde_json::Value::Null), "{doc}");
        assert!(doc["layers"].as_array().is_some_and(|l| l.len() >= 5 && l.iter().all(|l| l["verdict"] == "agrees")), "{doc}");
    }
    let strict = ["--rtol", "0", "--atol", "1e-12"];
    let out = run(&[&["debug", "bisect", "net.onnx", "--json"], &strict[..]].concat());
    let doc: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&out.stderr)));
    assert_eq!(doc["found"]["ops"].as_array().map(Vec::len), Some(1), "{doc}");
    assert_eq!(doc["files"]["model"], "net.bisect.onnx");
    let out = run(&[&["compare", "net.bisect.onnx", "--inputs", "net.bisect.npz"], &strict[..]].concat());
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
    assert_eq!(run(&["compare", "net.bisect.onnx", "--inputs", "net.bisect.npz"]).status.code(), Some(0));
}
