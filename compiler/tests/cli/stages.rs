//! Stages written out and given back; the same bytes every time.

use super::{MLP, Place, onnx, same, text};

#[test]
fn compiling_again_gives_the_same_bytes() {
    let p = Place::with_mlp();
    p.write("relu.onnx", &onnx("Relu", None));
    for model in ["mlp.txt", "relu.onnx"] {
        for target in ["host", "x86-64-v3", "kunpeng920"] {
            p.ok(&["compile", model, "--target", target, "-o", "a.bmg"]);
            p.ok(&["compile", model, "--target", target, "-o", "b.bmg", "--compile-threads", "1"]);
            assert!(same(&p.path("a.bmg"), &p.path("b.bmg")), "{model} for {target}");
        }
    }
}

#[test]
fn every_dumped_stage_leads_to_the_same_artifact() {
    let p = Place::new();
    p.write("relu.onnx", &onnx("Relu", None));
    p.write("mlp.txt", MLP.as_bytes());
    for model in ["relu.onnx", "mlp.txt"] {
        p.ok(&["compile", model, "--target", "x86-64-v3", "--dump", "d", "-o", "a.bmg"]);
        for stage in ["10-graph.txt", "20-fused.txt", "30-program.txt"] {
            let file = format!("d/{stage}");
            // The graph says nothing of the target; later stages know theirs.
            let target: &[&str] = if stage == "10-graph.txt" { &["--target", "x86-64-v3"] } else { &[] };
            p.ok(&[&["compile", &file, "-o", "b.bmg"], target].concat());
            assert!(same(&p.path("a.bmg"), &p.path("b.bmg")), "{model} from {stage}");
        }
        assert!(text(&p.read("d/40-kernels.ll")).contains("define"));
        assert!(text(&p.read("d/50-kernels.s")).contains(".text"));
        assert_eq!(&p.read("d/60-kernels.so")[..4], b"\x7fELF");
    }
}

#[test]
fn large_constants_lie_beside_the_text() {
    let p = Place::new();
    let values: Vec<String> = (0..64).map(|i| format!("{i}.5")).collect();
    let graph = format!(
        "graph \"g\" {{\n  %0 = input \"x\" : f32[64]\n  %1 = Constant(0) : f32[64]\n  %2 = Binary(Add) %0, %1 : f32[64]\n  output \"y\" %2\n  const 0 : f32[64] = [{}]\n}}\n",
        values.join(", ")
    );
    p.write("g.txt", graph.as_bytes());
    p.ok(&["compile", "g.txt", "-o", "a.bmg", "--dump", "d"]);
    assert_eq!(p.read("d/10-graph.txt.weights").len(), 256);
    p.ok(&["compile", "d/30-program.txt", "-o", "b.bmg"]);
    assert!(same(&p.path("a.bmg"), &p.path("b.bmg")));
    // To stdout everything goes into one text.
    p.write("one.txt", p.ok(&["compile", "g.txt", "--emit", "graph"]).as_bytes());
    p.ok(&["compile", "one.txt", "-o", "c.bmg", "--dump", "e"]);
    assert_eq!(p.read("e/10-graph.txt.weights"), p.read("d/10-graph.txt.weights"));
    // An earlier run's constants do not stay behind a stage that has none.
    p.write("mlp.txt", MLP.as_bytes());
    p.ok(&["compile", "mlp.txt", "-o", "m.bmg", "--dump", "d"]);
    assert!(!p.path("d/10-graph.txt.weights").exists());
}

#[test]
fn each_stage_can_be_printed() {
    let p = Place::with_mlp();
    for (stage, says) in [
        ("graph", "MatMul"),
        ("fused", "Fused"),
        ("kernels", "kernel "),
        ("plan", "plan {"),
        ("llvm", "define "),
        ("asm", ".text"),
    ] {
        let out = p.ok(&["compile", "mlp.txt", "--emit", stage]);
        assert!(out.contains(says), "{stage}:\n{out}");
    }
    p.ok(&["compile", "mlp.txt", "--emit", "so", "-o", "k.so"]);
    assert_eq!(&p.read("k.so")[..4], b"\x7fELF");
}

#[test]
fn kernels_alone_become_code() {
    let p = Place::with_mlp();
    p.ok(&["compile", "mlp.txt", "--target", "kunpeng920", "--emit", "kernels", "-o", "k.txt"]);
    let asm = p.ok(&["compile", "k.txt", "--emit", "asm"]);
    assert!(asm.contains("fmla"), "the target is remembered:\n{asm}");
    let out = p.run(&["compile", "k.txt"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("kernels alone"));
}

#[test]
fn the_level_0_leaves_operations_apart() {
    let p = Place::with_mlp();
    let kernels = |args: &[&str]| p.json(&[&["compile", "mlp.txt", "-o", "a.bmg", "--json"], args].concat())["steps"].as_u64();
    assert!(kernels(&["-O0"]) > kernels(&["-O2"]));
}
