//! Models that are wrong give a coded error that names what is wrong; they never panic, hang or read elsewhere.

use std::time::{Duration, Instant};

use beiming::import::onnx::proto::{
    FunctionProto, ModelProto, OperatorSetIdProto, SparseTensorProto, StringStringEntryProto, TensorProto,
};
use beiming::import::{ImportError, ImportOptions, onnx};
use bytes::Bytes;
use prost::Message;

use super::build::*;

fn relu(i: &str, o: &str) -> beiming::import::onnx::proto::NodeProto {
    node("Relu", i, o, vec![])
}

fn conv(attributes: Vec<beiming::import::onnx::proto::AttributeProto>) -> ModelProto {
    simple("1,4,8,8", vec![f32s("w", &[4, 4, 3, 3], &[0.5; 144])], vec![node("Conv", "x w", "y", attributes)])
}

fn shaped(op: &str, list: &[i64]) -> ModelProto {
    simple("2,6", vec![i64s("s", &[list.len() as i64], list)], vec![node(op, "x s", "y", vec![])])
}

fn external(pairs: &[(&str, &str)]) -> ModelProto {
    let entry = |(k, v): &(&str, &str)| StringStringEntryProto { key: Some(k.to_string()), value: Some(v.to_string()) };
    let w = TensorProto {
        name: Some("w".into()),
        dims: vec![4],
        data_type: Some(1),
        data_location: Some(1),
        external_data: pairs.iter().map(entry).collect(),
        ..Default::default()
    };
    simple("4", vec![w], vec![node("Add", "x w", "y", vec![])])
}

/// A call of function 0, whose function `i` calls `i + 1` twice.
fn doubling(depth: usize) -> ModelProto {
    let mut m = simple("4", vec![], vec![]);
    let call = |i: usize, a: &str, b: &str| {
        let mut n = node(&format!("f{i}"), a, b, vec![]);
        n.domain = Some("my".into());
        n
    };
    for i in 0..depth {
        let node = if i + 1 == depth {
            vec![relu("a", "t"), relu("t", "b")]
        } else {
            vec![call(i + 1, "a", "t"), call(i + 1, "t", "b")]
        };
        m.functions.push(FunctionProto {
            name: Some(format!("f{i}")),
            domain: Some("my".into()),
            input: vec!["a".into()],
            output: vec!["b".into()],
            node,
            ..Default::default()
        });
    }
    m.opset_import.push(OperatorSetIdProto { domain: Some("my".into()), version: Some(1) });
    m.graph.as_mut().expect("a graph").node.push(call(0, "x", "y"));
    m
}

/// `If` in `If` in `If` ...
fn nested(depth: usize) -> ModelProto {
    let mut g = graph(vec![], vec![], vec![relu("x", "o")], vec![port("o", 1, "")]);
    for i in 0..depth {
        let o = format!("o{i}");
        // One branch grows; the other stays small.
        let small = graph(vec![], vec![], vec![relu("x", "p")], vec![port("p", 1, "")]);
        let branch = node("If", "c", &o, vec![body("then_branch", g), body("else_branch", small)]);
        g = graph(vec![], vec![], vec![branch], vec![port(&o, 1, "")]);
    }
    g.input = vec![port("x", 1, "4"), port("c", 9, "")];
    model(g)
}

fn with(mut m: ModelProto, f: impl FnOnce(&mut ModelProto)) -> ModelProto {
    f(&mut m);
    m
}

#[test]
fn malformed_models_are_refused() {
    let id = || simple("4", vec![], vec![relu("x", "y")]);
    let raw = |n: usize| TensorProto {
        name: Some("w".into()),
        dims: vec![4],
        data_type: Some(1),
        raw_data: Some(Bytes::from(vec![0u8; n])),
        ..Default::default()
    };
    let add = |t: TensorProto| simple("4", vec![t], vec![node("Add", "x w", "y", vec![])]);
    let sparse = |index: &[i64], dims: &[i64]| {
        with(simple("4", vec![], vec![node("Add", "x w", "y", vec![])]), |m| {
            m.graph.as_mut().unwrap().sparse_initializer.push(SparseTensorProto {
                values: Some(f32s("w", &[1], &[1.0])),
                indices: Some(i64s("", &[index.len() as i64], index)),
                dims: dims.to_vec(),
            });
        })
    };
    let big = "1".repeat(30);
    let cases: Vec<(&str, &str, &str, ModelProto)> = vec![
        // what, code, a part of the message, model
        ("no graph", "E0102", "no graph", with(id(), |m| m.graph = None)),
        ("opset too new", "E0103", "opset 999", with(id(), |m| m.opset_import[0].version = Some(999))),
        ("opset negative", "E0103", "opset -1", with(id(), |m| m.opset_import[0].version = Some(-1))),
        ("no opset", "E0103", "imports no operator set", with(id(), |m| m.opset_import.clear())),
        (
            "op of a later opset",
            "E0103",
            "came with opset 17",
            with(simple("4", vec![f32s("w", &[4], &[1.0; 4])], vec![node("LayerNormalization", "x w", "y", vec![])]), |m| {
                m.opset_import[0].version = Some(9)
            }),
        ),
        ("raw too short", "E0201", "takes 16 bytes", add(raw(15))),
        ("raw too long", "E0201", "takes 16 bytes", add(raw(17))),
        ("typed too short", "E0201", "has 2 elements", add(TensorProto { dims: vec![3], ..i64s("w", &[2], &[1, 2]) })),
        ("element type 0", "E0202", "element type", add(TensorProto { data_type: Some(0), ..raw(16) })),
        ("element type 99", "E0202", "element type", add(TensorProto { data_type: Some(99), ..raw(16) })),
        ("negative dims", "E0203", "negative", add(TensorProto { dims: vec![-4], ..raw(16) })),
        ("overflowing dims", "E0203", "too large", add(TensorProto { dims: vec![1 << 62, 4], ..raw(16) })),
        ("dims that wrap to 0", "E0203", "too large", add(TensorProto { dims: vec![1 << 32, 1 << 32], ..raw(0) })),
        ("negative input", "E0203", "negative", simple("-7", vec![], vec![relu("x", "y")])),
        ("huge input", "E0203", "too large", simple("4611686018427387904,4", vec![], vec![relu("x", "y")])),
        ("path up", "E0204", "`..`", external(&[("location", "../w.bin")])),
        ("path up inside", "E0204", "`..`", external(&[("location", "a/../w.bin")])),
        ("absolute path", "E0204", "absolute", external(&[("location", "/etc/passwd")])),
        ("device", "E0204", "absolute", external(&[("location", "/dev/zero")])),
        ("missing file", "E0207", "cannot open", external(&[("location", "nothing.bin")])),
        ("no location", "E0208", "location", external(&[("offset", "0")])),
        ("unknown key", "E0208", "unknown key", external(&[("location", "w.bin"), ("__class__", "x")])),
        ("key twice", "E0208", "twice", external(&[("location", "w.bin"), ("location", "v.bin")])),
        ("offset past the end", "E0206", "16 bytes", external(&[("location", "w.bin"), ("offset", "17")])),
        ("window past the end", "E0206", "16 bytes", external(&[("location", "w.bin"), ("offset", "4"), ("length", "16")])),
        ("length too short", "E0201", "takes 16", external(&[("location", "w.bin"), ("length", "8")])),
        ("negative offset", "E0208", "number of bytes", external(&[("location", "w.bin"), ("offset", "-1")])),
        ("overflowing length", "E0208", "number of bytes", external(&[("location", "w.bin"), ("length", &big)])),
        ("sparse index outside", "E0209", "outside", sparse(&[4], &[4])),
        ("sparse index negative", "E0209", "outside", sparse(&[-1], &[4])),
        ("sparse of a wrong form", "E0209", "[n, rank]", sparse(&[0, 1], &[4])),
        ("value twice", "E0301", "twice", simple("4", vec![], vec![relu("x", "y"), relu("x", "y")])),
        ("undefined input", "E0302", "`z`", simple("4", vec![], vec![relu("z", "y")])),
        ("undefined output", "E0302", "defines it", simple("4", vec![], vec![relu("x", "z")])),
        ("cycle", "E0303", "cycle", simple("4", vec![], vec![node("Add", "x b", "a", vec![]), relu("a", "b"), relu("b", "y")])),
        ("self", "E0303", "cycle", simple("4", vec![], vec![relu("y", "y")])),
        ("no outputs", "E0304", "no outputs", with(id(), |m| m.graph.as_mut().unwrap().output.clear())),
        ("lying output type", "E0304", "i64", with(id(), |m| m.graph.as_mut().unwrap().output[0] = port("y", 7, "4"))),
        ("input without a type", "E0304", "no type", with(id(), |m| m.graph.as_mut().unwrap().input[0].r#type = None)),
        (
            "function recursion",
            "E0305",
            "calls itself",
            with(doubling(2), |m| {
                m.functions[1].node[0].op_type = Some("f0".into());
                m.functions[1].node[0].domain = Some("my".into());
            }),
        ),
        ("function doubling", "E0305", "exceed", doubling(30)),
        ("missing input", "E0401", "input 1", simple("4", vec![], vec![node("Add", "x", "y", vec![])])),
        ("too many inputs", "E0401", "at most 1", simple("4", vec![], vec![node("Relu", "x x", "y", vec![])])),
        ("attribute of another kind", "E0402", "STRING", conv(vec![string("group", "1")])),
        ("group 0", "E0403", "`group` is 0", conv(vec![int("group", 0)])),
        ("group -1", "E0403", "`group` is -1", conv(vec![int("group", -1)])),
        ("group 3", "E0404", "conv", conv(vec![int("group", 3)])),
        ("stride 0", "E0403", "strides", conv(vec![ints("strides", &[0, 1])])),
        ("stride of another rank", "E0403", "strides", conv(vec![ints("strides", &[1])])),
        ("negative dilation", "E0403", "dilations", conv(vec![ints("dilations", &[-1, 1])])),
        ("dilation past the data", "E0404", "conv", conv(vec![ints("dilations", &[1 << 30, 1])])),
        ("huge pads", "E0403", "pads", conv(vec![ints("pads", &[1 << 62, 0, 0, 0])])),
        ("kernel that is not the weights'", "E0403", "kernel_shape", conv(vec![ints("kernel_shape", &[5, 5])])),
        ("unknown padding", "E0403", "auto_pad", conv(vec![string("auto_pad", "EVIL")])),
        (
            "perm outside",
            "E0403",
            "out of range",
            simple("2,3", vec![], vec![node("Transpose", "x", "y", vec![ints("perm", &[0, 5])])]),
        ),
        ("perm twice", "E0403", "once", simple("2,3", vec![], vec![node("Transpose", "x", "y", vec![ints("perm", &[0, 0])])])),
        ("axis outside", "E0403", "out of range", simple("2,3", vec![], vec![node("Softmax", "x", "y", vec![int("axis", 9)])])),
        ("two open extents", "E0404", "twice", shaped("Reshape", &[-1, -1])),
        ("extent -2", "E0404", "-2", shaped("Reshape", &[-2, 6])),
        ("another element count", "E0404", "reshape", shaped("Reshape", &[5])),
        ("indivisible", "E0404", "do not fit", shaped("Reshape", &[5, -1])),
        ("overflowing shape", "E0404", "elements", shaped("Reshape", &[1 << 62, 4])),
        ("expand bomb", "E0404", "2^48", shaped("Expand", &[1 << 40, 1 << 40, 2, 6])),
        ("negative repeats", "E0404", "-1 times", shaped("Tile", &[-1, 1])),
        (
            "step 0",
            "E0404",
            "step",
            simple("6", vec![i64s("b", &[1], &[0]), i64s("e", &[1], &[6])], vec![node("Slice", "x b e b b", "y", vec![])]),
        ),
        (
            "blocksize 0",
            "E0403",
            "blocksize",
            simple("1,4,2,2", vec![], vec![node("DepthToSpace", "x", "y", vec![int("blocksize", 0)])]),
        ),
        (
            "shapes that do not broadcast",
            "E0404",
            "broadcast",
            simple("4", vec![f32s("w", &[3], &[1.0; 3])], vec![node("Add", "x w", "y", vec![])]),
        ),
        ("types that differ", "E0404", "add", simple("4", vec![i64s("w", &[4], &[1; 4])], vec![node("Add", "x w", "y", vec![])])),
    ];
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("w.bin"), [0u8; 16]).unwrap();
    for (what, code, part, m) in &cases {
        let start = Instant::now();
        match import_at(m, folder.path(), false) {
            Ok(_) => panic!("{what}: accepted"),
            Err(e) => {
                let text = e.to_string();
                assert_eq!(e.code(), *code, "{what}: {text}");
                assert!(text.contains(part), "{what}: {text}");
            }
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{what} took {:?}", start.elapsed());
    }
}

#[test]
fn good_external_data_is_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("w.bin"), [0u8; 24]).unwrap();
    let m = external(&[("location", "w.bin"), ("offset", "8"), ("length", "16"), ("checksum", "x")]);
    assert_eq!(import_at(&m, folder.path(), false).unwrap().consts[0].shape, [4]);
    // A model that is not in a file has no folder.
    assert_eq!(import(&m).unwrap_err().code(), "E0207");
    std::os::unix::fs::symlink("w.bin", folder.path().join("link.bin")).unwrap();
    let m = external(&[("location", "link.bin"), ("offset", "8")]);
    let e = import_at(&m, folder.path(), false).unwrap_err();
    assert!(e.code() == "E0205" && e.to_string().contains("--allow-external-links"), "{e}");
    import_at(&m, folder.path(), true).unwrap();
}

#[test]
fn bytes_that_are_no_model_are_refused() {
    let good = conv(vec![]).encode_to_vec();
    let read = |b: &[u8]| onnx::read_bytes(Bytes::copy_from_slice(b), None, &ImportOptions::default());
    read(&good).unwrap();
    assert_eq!(read(b"").unwrap_err().code(), "E0102");
    assert_eq!(read(b"\x80\x04\x95garbage").unwrap_err().code(), "E0101");
    // A length prefix past the end of the file.
    assert_eq!(read(&[0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f]).unwrap_err().code(), "E0101");
    for cut in 1..good.len() {
        if let Err(e) = read(&good[..cut]) {
            assert!(e.code().starts_with('E'), "cut at {cut}");
        }
    }
    // Every single byte changed: an error or a model, never a panic.
    for at in 0..good.len() {
        for x in [0x00, 0x7f, 0xff] {
            let mut bad = good.clone();
            bad[at] = x;
            let _ = read(&bad);
        }
    }
}

#[test]
fn depth_is_bounded() {
    // Work grows with the depth, not with its power.
    import(&nested(20)).unwrap();
    let e = import(&nested(60)).unwrap_err();
    assert_eq!(e.code(), "E0305", "{e}");
    // As bytes, the decoder refuses it first.
    let bytes = Bytes::from(nested(60).encode_to_vec());
    assert_eq!(onnx::read_bytes(bytes, None, &ImportOptions::default()).unwrap_err().code(), "E0101");
}

#[test]
fn everything_wrong_is_in_one_report() {
    let mut custom = node("Frobnicate", "x", "b", vec![]);
    custom.domain = Some("com.example".into());
    let nodes =
        vec![node("StringSplit", "x", "a", vec![]), custom, node("Add", "a b", "c", vec![]), node("Loupe", "c", "y", vec![])];
    let m = simple("4", vec![], nodes);
    let e = import(&m).unwrap_err();
    let ImportError::Unsupported { ops } = &e else { panic!("{e}") };
    let seen: Vec<_> = ops.iter().map(|o| (o.name.as_str(), o.op.as_str(), o.domain.as_str(), o.place.as_str())).collect();
    assert_eq!(
        seen,
        [
            ("the_StringSplit", "StringSplit", "", "graph/node 0"),
            ("the_Frobnicate", "Frobnicate", "com.example", "graph/node 1"),
            ("the_Loupe", "Loupe", "", "graph/node 3"),
        ]
    );
    assert_eq!(ops[0].opset, 17);
}

#[test]
fn names_are_shown_harmlessly() {
    let mut n = node("Relu", "x", "y", vec![int("axis", 1)]);
    n.name = Some("*/\n\u{1b}[2J#include \"/etc/passwd\"".into());
    n.op_type = Some("Evil\u{7}".into());
    let text = import(&simple("4", vec![], vec![n])).unwrap_err().to_string();
    assert!(!text.contains('\u{1b}') && !text.contains('\u{7}') && text.contains("\\u{1b}"), "{text:?}");
}

#[test]
fn many_nodes_take_linear_time() {
    let count = 200_000;
    let chain = |order: &mut dyn Iterator<Item = usize>| {
        let name = |i: usize| {
            if i == 0 {
                "x".to_string()
            } else if i == count {
                "y".into()
            } else {
                format!("v{i}")
            }
        };
        simple("4", vec![], order.map(|i| relu(&name(i), &name(i + 1))).collect())
    };
    for m in [chain(&mut (0..count)), chain(&mut (0..count).rev())] {
        let start = Instant::now();
        let g = import(&m).unwrap();
        assert_eq!(g.nodes().len(), count + 1, "a maximum each, and one zero");
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    }
}
