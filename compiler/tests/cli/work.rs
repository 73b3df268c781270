//! What the commands do when all is well.

use super::{MLP, Place, onnx, text};

#[test]
fn running_gives_the_right_numbers() {
    let p = Place::compiled();
    // 1 + 3 + 5 + 0.5, and 2 + 4 - 6 + 0.25.
    let doc = p.json(&["run", "mlp.bmg", "--fill", "x:1", "--dim", "N=2", "--json"]);
    let y = &doc["outputs"][0];
    assert_eq!((&y["name"], &y["dtype"]), (&"y".into(), &"f32".into()));
    assert_eq!(y["shape"], serde_json::json!([2, 2]));
    assert_eq!(y["first"], serde_json::json!([9.5, 0.25, 9.5, 0.25]));
    assert_eq!(y["nan"], 0);
    // The symbol follows from a shape as well.
    let other = p.json(&["run", "mlp.bmg", "--fill", "x:1", "--shape", "x:2x3", "--json"]);
    assert_eq!(doc, other);
}

#[test]
fn inputs_and_outputs_travel_through_npz() {
    let p = Place::compiled();
    let random =
        p.json(&["run", "mlp.bmg", "--seed", "7", "--dim", "N=4", "--save-inputs", "in.npz", "--outputs", "a.npz", "--json"]);
    let again = p.json(&["run", "mlp.bmg", "--inputs", "in.npz", "--outputs", "b.npz", "--json", "--threads", "2"]);
    assert_eq!(random, again);
    assert_eq!(p.read("a.npz"), p.read("b.npz"), "the same arrays make the same file");
    assert_eq!(&p.read("a.npz")[..2], b"PK");
    let other = p.json(&["run", "mlp.bmg", "--seed", "8", "--dim", "N=4", "--json"]);
    assert_ne!(random["outputs"][0]["first"], other["outputs"][0]["first"]);
}

#[test]
fn bench_reports_figures() {
    let p = Place::compiled();
    let doc = p.json(&["bench", "mlp.bmg", "--duration", "0.05", "--profile", "--json"]);
    for field in ["median_ms", "p90_ms", "min_ms", "runs", "gflops", "peak_share", "flops"] {
        assert!(doc[field].as_f64().is_some_and(|v| v > 0.0), "{field}: {doc}");
    }
    assert!(doc["min_ms"].as_f64() <= doc["median_ms"].as_f64() && doc["median_ms"].as_f64() <= doc["p90_ms"].as_f64());
    assert!(doc["steps"].as_array().is_some_and(|s| !s.is_empty()));
    assert_eq!(p.json(&["bench", "mlp.bmg", "--runs", "5", "--no-peak", "--json"])["runs"], 5);
    assert!(p.ok(&["bench", "mlp.bmg", "--runs", "3", "--profile"]).contains("median"));
}

#[test]
fn inspect_shows_every_kind_of_file() {
    let p = Place::compiled();
    p.write("relu.onnx", &onnx("Relu", None));
    p.ok(&["compile", "mlp.txt", "--emit", "plan", "-o", "program.txt"]);
    for (file, kind) in [("mlp.bmg", "artifact"), ("relu.onnx", "graph"), ("mlp.txt", "graph"), ("program.txt", "program")] {
        let doc = p.json(&["inspect", file, "--json"]);
        assert_eq!(doc["kind"], kind, "{file}");
        assert_eq!(doc["outputs"][0]["name"], "y", "{file}");
        assert!(p.ok(&["inspect", file]).contains("output y: f32["), "{file}");
    }
    let artifact = p.json(&["inspect", "mlp.bmg", "--json"]);
    assert_eq!(artifact["symbols"]["N"], serde_json::json!({ "lo": 1, "hi": 64 }));
    let names: Vec<&str> = artifact["sections"].as_array().expect("sections").iter().filter_map(|s| s["name"].as_str()).collect();
    assert_eq!(names, ["weights", "code", "manifest", "report"]);
    let model = p.json(&["inspect", "relu.onnx", "--json"]);
    assert_eq!(model["source_ops"], serde_json::json!({ "Relu": 1 }));
}

#[test]
fn explain_tells_the_same_of_a_model_and_its_artifact() {
    let p = Place::compiled();
    let of_model = p.json(&["explain", "mlp.txt", "--json"]);
    assert_eq!(of_model, p.json(&["explain", "mlp.bmg", "--json"]));
    let groups = of_model["groups"].as_array().expect("groups");
    let group = groups.iter().find(|g| g["ops"] == serde_json::json!(["matmul", "add", "max"])).expect("one kernel for all");
    assert!(group["nodes"].as_str().is_some_and(|n| n.starts_with("fc")), "{group}");
    assert_eq!(group["kernels"].as_array().map(Vec::len), Some(1));
    assert!(group["predicted_us"].as_f64() > Some(0.0));
    let said = p.ok(&["explain", "mlp.bmg"]);
    assert!(said.contains("matmul add max") && said.contains("arena"), "{said}");
}

#[test]
fn explain_says_what_is_not_tiled_and_why() {
    let p = Place::new();
    let graph = r#"graph "open_window" {
  dim K = 1..5
  %0 = input "x" : f32[1, 20, 3]
  %1 = input "w" : f32[K, 3, 8]
  %2 = Conv(strides:[1],dilations:[1],pads:[(0,0)],groups:1) %0, %1 : f32[1, 21 - K, 8] @ "c1" "Conv" "graph/node 0"
  output "y" %2
}
"#;
    p.write("open_window.txt", graph.as_bytes());
    let doc = p.json(&["explain", "open_window.txt", "--json"]);
    let why = "the window of a convolution must be known";
    assert_eq!(doc["untiled"], serde_json::json!([{ "nodes": "c1", "op": "conv", "why": why }]));
    let said = p.ok(&["explain", "open_window.txt"]);
    assert!(said.contains(&format!("not tiled: plain loops, one load at a time\n  conv at c1: {why}\n")), "{said}");
}

#[test]
fn compare_names_the_first_value_that_differs() {
    let p = Place::compiled();
    let same = p.json(&["compare", "mlp.txt", "--against", "eval", "--size", "N=7", "--json"]);
    assert_eq!((&same["same"], &same["outputs"][0]["elements"]), (&true.into(), &14.into()));
    p.write("other.txt", MLP.replace("0.25]", "0.75]").as_bytes());
    p.ok(&["compile", "other.txt", "-o", "other.bmg"]);
    let args = ["compare", "mlp.txt", "--artifact", "other.bmg", "--against", "eval", "--fill", "x:1"];
    let out = p.run(&args);
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
    let said = text(&out.stdout);
    assert!(said.contains("first at [0, 1]: got 0.75, expected 0.25"), "{said}");
    let out = p.run(&[&args[..], &["--json"]].concat());
    let doc: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!(doc["outputs"][0]["first"], serde_json::json!({ "index": [0, 1], "got": "0.75", "expected": "0.25" }));
}

#[test]
fn targets_and_completions() {
    let p = Place::new();
    let targets = p.json(&["targets", "--json"]);
    let names: Vec<&str> = targets.as_array().expect("a list").iter().filter_map(|t| t["target"]["name"].as_str()).collect();
    assert_eq!(names, ["host", "x86-64-v3", "x86-64-v4", "kunpeng920", "aarch64"]);
    assert!(p.ok(&["targets"]).contains("tsv110"));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(p.ok(&["completions", shell]).contains("compile"), "{shell}");
    }
}

/// With the runtime built for aarch64 (`make runtime-aarch64`) instructions are counted; without it the error says what to do.
#[test]
fn instructions_for_kunpeng_are_counted() {
    let p = Place::with_mlp();
    p.ok(&["compile", "mlp.txt", "--target", "kunpeng920", "-o", "k.bmg"]);
    let out = p.run(&["bench", "--count", "k.bmg", "--json", "--dim", "N=16"]);
    if out.status.success() {
        let doc: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
        let count = |kind: &str| doc["instructions"][kind].as_u64().expect("a number");
        assert!(count("total") > count("loads") && count("loads") > 0 && count("vector_fma") > 0, "{doc}");
        let args = ["compare", "mlp.txt", "--target", "kunpeng920", "--against", "eval", "--size", "N=5", "--json"];
        assert_eq!(p.json(&args)["outputs"][0]["shape"], serde_json::json!([5, 2]));
        return;
    }
    let said = text(&out.stderr);
    assert_eq!(out.status.code(), Some(5), "{said}");
    assert!(said.contains("E0902") && said.contains("make runtime-aarch64"), "{said}");
}
