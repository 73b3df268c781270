//! What is said, and the exit code, when something is wrong.

use super::{MLP, Place, onnx, text};

/// Folder with every broken file the cases below name.
fn broken() -> Place {
    let p = Place::compiled();
    p.write("garbage.onnx", b"\xff\xff\xff\xff not a model");
    p.write("unsupported.onnx", &onnx("StringConcat", Some("x")));
    p.write("undefined.onnx", &onnx("Add", Some("nowhere")));
    p.write("syntax.txt", MLP.replace("MatMul(out", "MatMul(%out").as_bytes());
    p.write("invalid.txt", MLP.replace("%5 = Binary(Add) %4, %2 : f32[N, 2]", "%5 = Binary(Add) %4, %2 : f32[N, 7]").as_bytes());
    let module = "func.func @main(%a: tensor<2xf32>) -> tensor<2xf32> {\n  %0 = stablehlo.add %a, %b : tensor<2xf32>\n  return %0 : tensor<2xf32>\n}\n";
    p.write("syntax.mlir", module.as_bytes());
    p.write(
        "unknown.mlir",
        module
            .replace("stablehlo.add %a, %b", "stablehlo.custom_call @nobody(%a)")
            .replace(" : tensor<2xf32>\n  r", " : (tensor<2xf32>) -> tensor<2xf32>\n  r")
            .as_bytes(),
    );
    let good = p.read("mlp.bmg");
    p.write("short.bmg", &good[..good.len() - 10]);
    let mut altered = good.clone();
    let last = altered.len() - 10;
    altered[last] ^= 1;
    p.write("altered.bmg", &altered);
    p.write("bad.npz", b"no archive");
    // A second product needs memory for the first one's result, as much as the largest batch takes.
    let two = MLP.replace("1..64", "1..").replace(
        "  output \"y\" %6",
        "  %7 = Constant(3) : f32[2, 2]\n  %8 = MatMul(out:\"f32\") %6, %7 : f32[N, 2]\n  output \"y\" %8",
    );
    let two = two.replace("f32[] = [0.0]", "f32[] = [0.0]\n  const 3 : f32[2, 2] = [1.0, 0.0, 0.0, 1.0]");
    p.write("open.txt", two.as_bytes());
    p.ok(&["compile", "mlp.txt", "--target", "kunpeng920", "-o", "kunpeng.bmg"]);
    p
}

#[test]
fn errors_have_codes_places_and_exit_codes() {
    let p = broken();
    let foreign = if cfg!(target_arch = "x86_64") { "kunpeng.bmg" } else { "altered.bmg" };
    let (foreign_exit, foreign_code) = if cfg!(target_arch = "x86_64") { (4, "E0706") } else { (3, "E0704") };
    // Arguments, exit code, what stderr says.
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&[], 2, &["Usage"]),
        (&["compile"], 2, &["MODEL"]),
        (&["nonsense"], 2, &["nonsense"]),
        (&["compile", "absent.onnx"], 5, &["error[E0001]", "--> absent.onnx"]),
        (&["compile", "garbage.onnx"], 3, &["error[E0101]", "garbage.onnx"]),
        (&["compile", "unsupported.onnx"], 4, &["error[E0002]", "graph/node 0", "\"the_node\"", "(StringConcat, opset 17)"]),
        (&["compile", "undefined.onnx"], 3, &["error[E0302]", "nowhere", "--> undefined.onnx"]),
        (
            &["compile", "syntax.mlir"],
            3,
            &[
                "error[E0104]",
                "`%b` is not defined",
                "--> syntax.mlir: 2:26",
                "|   %0 = stablehlo.add %a, %b :",
                "\n                              ^",
            ],
        ),
        (
            &["compile", "unknown.mlir"],
            4,
            &["error[E0002]", "unknown.mlir: 2:3", "`nobody`", "%0 = stablehlo.custom_call @nobody", "^"],
        ),
        (&["compile", "syntax.txt"], 3, &["error[E1001]", "syntax.txt: 8:"]),
        (&["compile", "invalid.txt"], 3, &["error[E1002]", "invalid.txt"]),
        (&["compile", "open.txt"], 4, &["error[E0604]", "`N` has no largest value", "--> open.txt"]),
        (&["compile", "mlp.txt", "--target", "pdp11"], 2, &["error[E0603]", "kunpeng920"]),
        (&["compile", "mlp.txt", "--shape", "nonsense"], 2, &["error[E0501]", "input:1x3x224x224"]),
        (&["compile", "mlp.txt", "--dim", "N"], 2, &["error[E0501]", "N=1..64"]),
        (&["compile", "mlp.txt", "-O", "7"], 2, &["7"]),
        (&["compile", "mlp.txt", "-o", "no/such/folder/a.bmg"], 5, &["error[E0001]"]),
        (&["compile", "mlp.txt", "--tile", "k=16x16x16"], 2, &["error[E0501]", "kernels for an NPU"]),
        (&["explain", "mlp.bmg", "--tile", "k=16x16x16"], 2, &["error[E0501]", "comes too late"]),
        (
            &["explain", "mlp.txt", "--target", "ascend910b1", "--tile", "k"],
            2,
            &["error[E0501]", "`k` is no kernel and its tile"],
        ),
        (
            &["compile", "mlp.txt", "--target", "ascend910b1", "--tile", "k=16x16x16"],
            2,
            &["error[E0501]", "no such tile for ascend910b1: `k`: there is no such kernel", "--> mlp.txt"],
        ),
        #[cfg(not(feature = "mlir"))]
        (
            &["compile", "mlp.txt", "--target", "ascend910b1", "--emit", "mlir"],
            4,
            &["error[E0502]", "built without MLIR", "--no-default-features --features mlir"],
        ),
        (&["compile", "mlp.bmg"], 2, &["an artifact"]),
        (&["run", "absent.bmg"], 5, &["error[E0001]"]),
        (&["run", "mlp.txt"], 3, &["error[E0701]", "beiming compile"]),
        (&["run", "short.bmg"], 3, &["error[E0703]"]),
        (&["run", "altered.bmg"], 3, &["error[E0704]"]),
        (&["run", foreign], foreign_exit, &[foreign_code]),
        (&["run", "mlp.bmg", "--inputs", "bad.npz"], 2, &["error[E0805]", "bad.npz"]),
        (&["run", "mlp.bmg", "--fill", "z:normal"], 2, &["no input `z`", "x"]),
        (&["run", "mlp.bmg", "--shape", "x:2x5"], 2, &["error[E0801]", "expected 3"]),
        (&["run", "mlp.bmg", "--dim", "N=65"], 2, &["error[E0801]", "1 to 64"]),
        (&["bench", "--count", "mlp.bmg"], 2, &["aarch64"]),
        (&["inspect", "garbage.onnx"], 3, &["error[E0101]"]),
        (&["explain", "altered.bmg"], 3, &["error[E0704]"]),
        (&["compare", "mlp.txt", "--against", "onnxruntime"], 2, &["--against eval"]),
        (&["completions", "csh"], 2, &["csh"]),
    ];
    for (args, exit, says) in cases {
        // Cases for aarch64 only make sense on another machine.
        if *args == ["bench", "--count", "mlp.bmg"] && cfg!(target_arch = "aarch64") {
            continue;
        }
        let out = p.run(args);
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(*exit), "{args:?}\n{said}");
        says.iter().for_each(|s| assert!(said.contains(s), "{args:?}: no `{s}` in\n{said}"));
        assert!(out.stdout.is_empty() || args.is_empty(), "{args:?}: errors go to stderr");
    }
}

#[test]
fn a_missing_python_is_told() {
    let p = Place::new();
    p.write("relu.onnx", &onnx("Relu", None));
    let out = p.command(&["compare", "relu.onnx"]).env("BEIMING_PYTHON", "no-such-python").output().expect("started");
    assert_eq!(out.status.code(), Some(5));
    let said = text(&out.stderr);
    assert!(said.contains("error[E0906]") && said.contains("BEIMING_PYTHON"), "{said}");
}

#[test]
fn with_json_errors_are_json() {
    let p = broken();
    for (args, code) in
        [(["compile", "unsupported.onnx"], "E0002"), (["run", "altered.bmg"], "E0704"), (["compile", "syntax.txt"], "E1001")]
    {
        let out = p.run(&[&args[..], &["--json"]].concat());
        let lines: Vec<serde_json::Value> =
            text(&out.stderr).lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect();
        assert_eq!(lines[0]["code"], code);
        assert_eq!(lines[0]["level"], "error");
        assert!(lines[0]["places"][0]["file"].as_str().is_some_and(|f| f == args[1]));
    }
}

#[test]
fn colour_only_where_it_is_wanted() {
    let p = Place::new();
    let escapes = |args: &[&str], env: &[(&str, &str)]| {
        let out = p.command(args).envs(env.iter().copied()).output().expect("started");
        assert_eq!(out.status.code(), Some(5));
        text(&out.stderr).contains('\x1b')
    };
    let args = ["compile", "absent.onnx"];
    assert!(!escapes(&args, &[]), "a pipe is no terminal");
    assert!(escapes(&args, &[("CLICOLOR_FORCE", "1")]));
    assert!(!escapes(&args, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "0")]));
    assert!(escapes(&[&args[..], &["--color", "always"]].concat(), &[]));
    assert!(!escapes(&[&args[..], &["--color", "never"]].concat(), &[("CLICOLOR_FORCE", "1")]));
}

#[test]
fn help_documents_the_exit_codes() {
    let help = Place::new().ok(&["--help"]);
    for line in ["0   success", "1   findings", "2   usage", "3   the model", "4   not supported", "5   a file", "70  a bug"] {
        assert!(help.contains(line), "{help}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let p = Place::new();
    let mut c = p.command(&["completions", "bash"]);
    let mut child = c.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().expect("started");
    drop(child.stdout.take());
    let out = child.wait_with_output().expect("ended");
    assert!(out.status.success(), "{}", text(&out.stderr));
}
