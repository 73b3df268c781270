//! Projects for Ascend: the same files, byte for byte, from every process that writes one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use beiming_ir::target::npu::ASCEND_TARGETS;

use beiming::import::onnx::proto::TensorProto;
use prost::Message;

use super::build::{f32s, node, simple};
use super::{Place, text};

/// Rows that are normalised between two products, with what is elementwise around them, a transposition and rows by index: each
/// family of kernels, and a value that is read twice.
const BLOCK: &str = r#"
graph "block" {
  %0 = input "x" : f32[21, 40]
  %1 = input "ids" : i64[5]
  %2 = Constant(0) : f32[40, 32]
  %3 = MatMul(out:"f32") %0, %2 : f32[21, 32]
  %4 = Softmax(axis:1, log:false) %3 : f32[21, 32]
  %5 = Unary(Exp) %3 : f32[21, 32]
  %6 = Binary(Add) %4, %5 : f32[21, 32]
  %7 = Transpose(perm:[1, 0]) %6 : f32[32, 21]
  %8 = Gather(axis:0) %7, %1 : f32[5, 21]
  output "rows" %8
  output "sum" %6
  const 0 : f32[40, 32] = [WEIGHTS]
}
"#;

/// All files below a folder, by their path in it.
fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).expect("a file");
                files.insert(path.strip_prefix(root).expect("below it").to_path_buf(), bytes);
            }
        }
    }
    files
}

/// Compiles a model twice, in processes of their own, and compares what they have written.
fn twice(p: &Place, model: &str, options: &[&str], target: &str) {
    let [a, b] = ["a", "b"].map(|out| {
        let _ = std::fs::remove_dir_all(p.path(out));
        p.ok(&[&["compile", model, "--target", target, "-o", &format!("{out}/")], options].concat());
        tree(&p.path(out))
    });
    assert!(a.keys().any(|f| f.starts_with("kernels")), "{model} for {target}: {:?}", a.keys());
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{model} for {target}");
    for (path, bytes) in &a {
        assert!(b[path] == *bytes, "{model} for {target}: {} differs: {}", path.display(), text(&b[path]));
    }
}

#[test]
fn the_same_project_from_two_processes() {
    let p = Place::new();
    let weights: Vec<String> = (0..1280).map(|i| format!("{:?}", f64::from(i % 37) / 16.0 - 1.0)).collect();
    p.write("block.txt", BLOCK.replace("WEIGHTS", &weights.join(", ")).as_bytes());
    for target in ASCEND_TARGETS {
        twice(&p, "block.txt", &[], target);
    }
}

/// `BEIMING_MODELS` names the folder of the models.
#[test]
fn the_same_project_of_real_models() {
    let models = std::env::var_os("BEIMING_MODELS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../build/models"), PathBuf::from);
    let p = Place::new();
    for (name, shape) in [("magika", "bytes:1x2048"), ("ppocr_cls", "x:1x3x48x192")] {
        let model = models.join(format!("{name}.onnx"));
        if !model.is_file() {
            println!("NOT RUN: the project of {name} twice; `make setup` brings the model");
            continue;
        }
        let model = model.to_string_lossy().into_owned();
        for target in ASCEND_TARGETS {
            twice(&p, &model, &["--shape", shape], target);
        }
    }
}

/// A product, and a window that no tile of any chip holds.
const SIZES: &str = r#"
graph "sizes" {
  %0 = input "x" : f16[600, 700]
  %1 = input "w" : f16[700, 600]
  %2 = input "line" : f32[1, 1, 70000, 24]
  %3 = MatMul(out:"f16") %0, %1 : f16[600, 600]
  %4 = Pool(kind:Max, window:[1, 60000], strides:[1,1], dilations:[1,1], pads:[(0,0),(0,0)], ceil:false) %2 : f32[1, 1, 10001, 24]
  output "y" %3
  output "most" %4
}
"#;

/// A tile in place of a kernel's own is in `explain` and in the project; one that does not fit is an error with all its buffers and
/// the largest tile that does. What fits no chip is listed where it runs on the CPU.
#[test]
fn tiles_that_are_asked_for() {
    let p = Place::new();
    p.write("sizes.txt", SIZES.as_bytes());
    for (target, large, listed, largest) in [
        (
            "ascend910b1",
            "512x512x256",
            &["a1 1 x ", "b1 1 x ", "a2 1 x 256.0 KiB", "b2 1 x ", "acc 1 x 1024.0 KiB"][..],
            "128x128x256",
        ),
        ("ascend310p3", "128x256x64", &["a 1 x 16.0 KiB", "bz 1 x 32.0 KiB", "cz 1 x 128.0 KiB", "c 1 x 64.0 KiB"], "128x176x64"),
    ] {
        let explain = |more: &[&str]| p.run(&[&["explain", "sizes.txt", "--target", target], more].concat());
        let kernels = |text: &str| -> Vec<String> {
            let names = text.split_whitespace().filter(|w| w.starts_with("matmul_")).map(str::to_string);
            names.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
        };
        let plain = text(&explain(&[]).stdout).to_string();
        let [own] = &kernels(&plain)[..] else { panic!("one kernel: {plain}") };
        for line in [
            "  sums 1 x ",
            "  x 1 x 1875.0 KiB",
            "  no tile fits: this is the smallest, of 1 position x 1 channel x 1 input channel",
        ] {
            assert!(plain.contains(line), "{target}: {line}\n{plain}");
        }
        let out = explain(&["--tile", &format!("{own}={large}")]);
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{said}");
        let [named, asked] = [largest, large].map(|t| {
            let [m, n, k] = t.split('x').collect::<Vec<_>>()[..] else { panic!("three numbers: {t}") };
            format!("{m} rows x {n} columns x {k} of the depth")
        });
        let last = format!("the largest tile that fits has {named} in place of {asked}");
        for part in listed.iter().copied().chain(["error[E0501]", own, &last]) {
            assert!(said.contains(part), "{target}: no `{part}` in\n{said}");
        }
        let tile = format!("{own}={largest}");
        let name = format!("matmul_f16_f16_t{largest}__{target}");
        assert_eq!(kernels(&text(&explain(&["--tile", &tile]).stdout)), [name.as_str()]);
        p.ok(&["compile", "sizes.txt", "--target", target, "--tile", &tile, "-o", "out/"]);
        assert!(p.path(&format!("out/kernels/{name}.cpp")).is_file(), "{target}");
        let readme = p.read("out/README.md");
        assert!(text(&readme).contains("\n  - x 1 x 1875.0 KiB\n"), "{}", text(&readme));
    }
}

/// A constant of 8 bits: i8 (type code 3) or u8 (2).
fn bytes(name: &str, code: i32, dims: &[i64], v: &[u8]) -> TensorProto {
    let (name, raw) = (Some(name.to_string()), Some(v.to_vec().into()));
    TensorProto { name, dims: dims.to_vec(), data_type: Some(code), raw_data: raw, ..Default::default() }
}

/// What quantisers write, as ONNX: all of it runs on the NPU, and the product itself in i8 where the chip's results leave it whole.
#[test]
fn quantised_models_stay_on_the_npu() {
    let weights: Vec<u8> = (0..96 * 40).map(|i| ((i * 97 + 31) % 255) as u8).map(|b| if b == 128 { 0 } else { b }).collect();
    let scales: Vec<f32> = (0..40).map(|i| 0.002 + 0.0003 * i as f32).collect();
    let constants = || {
        vec![
            bytes("w", 3, &[96, 40], &weights),
            bytes("none", 3, &[], &[0]),
            f32s("one", &[], &[0.004]),
            f32s("sx", &[], &[0.017]),
            bytes("zx", 2, &[], &[117]),
        ]
    };
    let quantise = || node("QuantizeLinear", "x sx zx", "q", vec![]);
    let dynamic = vec![
        node("DynamicQuantizeLinear", "x", "q s z", vec![]),
        node("MatMulInteger", "q w z none", "i", vec![]),
        node("Cast", "i", "f", vec![super::build::int("to", 1)]),
        node("Mul", "s one", "both", vec![]),
        node("Mul", "f both", "y", vec![]),
    ];
    let linear = vec![
        quantise(),
        node("QLinearMatMul", "q sx zx w one none sx zx", "r", vec![]),
        node("DequantizeLinear", "r sx zx", "y", vec![]),
    ];
    let between = vec![
        quantise(),
        node("DequantizeLinear", "q sx zx", "data", vec![]),
        node("DequantizeLinear", "w sw", "weights", vec![super::build::int("axis", 1)]),
        node("MatMul", "data weights", "y", vec![]),
    ];
    let p = Place::new();
    for (name, nodes) in [("dynamic", dynamic), ("linear", linear), ("between", between)] {
        let mut initializers = constants();
        initializers.push(f32s("sw", &[40], &scales));
        p.write("q.onnx", &simple("7,96", initializers, nodes).encode_to_vec());
        for (target, product) in [("ascend910b1", "_i8_i32_"), ("ascend950", "_i8_i32_"), ("ascend310p3", "matmul_f16_f32_")] {
            let said = p.json(&["explain", "q.onnx", "--target", target, "--json"]);
            let on_host = said["on_host"].as_array().map_or(0, Vec::len);
            assert_eq!(on_host, 0, "{name} on {target}: {}", said["on_host"]);
            let _ = std::fs::remove_dir_all(p.path("out"));
            p.ok(&["compile", "q.onnx", "--target", target, "-o", "out/"]);
            let kernels: Vec<PathBuf> = tree(&p.path("out/kernels")).into_keys().collect();
            let found =
                kernels.iter().any(|k| k.to_string_lossy().starts_with("matmul_") && k.to_string_lossy().contains(product));
            assert!(found, "{name} on {target}: {kernels:?}");
        }
    }
}
