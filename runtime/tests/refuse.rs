//! Everything that is wrong is refused with an error that says what: inputs, manifests, code, machines, altered artifacts.
#![allow(clippy::unwrap_used)]

mod common;

use beiming_runtime::{DType, Error, Module, Options, Session, TensorView};
use common::{Model, affine, affine_of, floats, launch, ramp};
use serde_json::{Value, json};

fn refused(bytes: &[u8]) -> Error {
    Module::from_bytes(bytes).err().expect("the artifact is refused")
}

#[test]
fn inputs() {
    let mut m = affine();
    m.input("z", "f32[N, 2*C + 1]");
    m.input("k", "i64[4]");
    let mut s = m.session(2);
    let (f, i) = (vec![0f32; 70000], vec![0i64; 100]);
    let x = |shape: &'static [i64]| ("x", TensorView::new(shape, &f[..shape.iter().product::<i64>().max(0) as usize]));
    let z = ("z", TensorView::new(&[2, 7], &f[..14]));
    let k = ("k", TensorView::new(&[4], &i[..4]));
    let good = vec![x(&[2, 3]), z, k];
    assert!(s.run(&good).is_ok());
    let bytes = floats(&f[..6]);
    let raw = |dtype, shape: &'static [i64], n: usize| ("x", TensorView { dtype, shape, data: &bytes[..n] });
    type Inputs<'a> = Vec<(&'a str, TensorView<'a>)>;
    let cases: Vec<(Inputs, &str, &str)> = vec![
        (vec![], "x", "missing; expected f32[N, C]"),
        (vec![x(&[2, 3]), k], "z", "missing; expected f32[N, 2*C + 1]"),
        (vec![x(&[2, 3]), z, k, ("q", k.1)], "q", "no input of this name; it has: x, z, k"),
        (vec![x(&[2, 3]), z, k, k], "k", "given twice"),
        (vec![("x", k.1), z, k], "x", "wrong element type: expected f32[N, C], got i64[4]"),
        (vec![raw(DType::I32, &[2, 3], 24), z, k], "x", "wrong element type: expected f32[N, C], got i32[2, 3]"),
        (vec![x(&[2, 3, 1]), z, k], "x", "wrong number of axes: expected f32[N, C], got f32[2, 3, 1]"),
        (vec![x(&[]), z, k], "x", "wrong number of axes"),
        (vec![raw(DType::F32, &[2, 3], 20), z, k], "x", "20 bytes do not make f32[2, 3]"),
        (vec![raw(DType::F32, &[2, 2], 20), z, k], "x", "20 bytes do not make f32[2, 2]"),
        (vec![raw(DType::F32, &[-2, 3], 0), z, k], "x", "impossible extent: got f32[-2, 3]"),
        (vec![raw(DType::F32, &[i64::MAX, 0], 0), z, k], "x", "impossible extent"),
        (vec![raw(DType::F32, &[1 << 40, 1 << 40], 0), z, k], "x", "0 bytes do not make"),
        (vec![x(&[65, 3]), z, k], "x", "axis 0 (`N`) is 65, allowed are 1 to 64"),
        (vec![x(&[0, 3]), z, k], "x", "axis 0 (`N`) is 0, allowed are 1 to 64"),
        (vec![x(&[2, 1001]), z, k], "x", "axis 1 (`C`) is 1001, allowed are 0 to 1000"),
        (vec![x(&[3, 3]), z, k], "z", "axis 0 (`N`) is 2, but input `x` has it as 3"),
        (vec![x(&[2, 4]), z, k], "z", "axis 1 is 7, expected 2*C + 1 = 9; the input is f32[N, 2*C + 1], got f32[2, 7]"),
        (
            vec![x(&[2, 3]), z, ("k", TensorView::new(&[5], &i[..5]))],
            "k",
            "axis 0 is 5, expected 4; the input is i64[4], got i64[5]",
        ),
    ];
    for (inputs, name, expected) in cases {
        match s.run(&inputs) {
            Err(Error::Input { name: n, what }) => {
                assert_eq!(n, name, "{what}");
                assert!(what.contains(expected), "{what}\nexpected: {expected}");
            }
            other => panic!("{expected}: {other:?}"),
        }
        // An error leaves the session usable.
        assert!(s.run(&good).is_ok());
    }
}

#[test]
fn manifests() {
    let set = |m: &mut Model, pointer: &str, v: Value| *m.manifest.pointer_mut(pointer).unwrap() = v;
    type Edit = Box<dyn Fn(&mut Model)>;
    let cases: Vec<(&str, Edit)> = vec![
        ("kernel 9", Box::new(move |m| set(m, "/steps/0/launch/kernel", json!(9)))),
        ("does not pass what", Box::new(move |m| set(m, "/steps/0/launch/args", json!([0, 1])))),
        ("does not pass what", Box::new(move |m| set(m, "/steps/0/launch/dims", json!([])))),
        ("passes f32 for i64", Box::new(move |m| set(m, "/kernels/0/params/0/dtype", json!("i64")))),
        ("buffer 99", Box::new(move |m| set(m, "/steps/0/launch/args/0", json!(99)))),
        ("writes to buffer 0", Box::new(move |m| set(m, "/steps/0/launch/args/2", json!(0)))),
        ("writes to buffer 1", Box::new(move |m| set(m, "/steps/0/launch/args/2", json!(1)))),
        ("unexpected", Box::new(move |m| set(m, "/steps/0/launch/grid", json!("N)")))),
        ("binds the symbol `Q`", Box::new(move |m| set(m, "/steps/0/launch/grid", json!("Q")))),
        ("lies at Arena(32)", Box::new(move |m| set(m, "/slots/3/place", json!({"arena": 32})))),
        ("lies at Arena(640000", Box::new(move |m| set(m, "/slots/3/place", json!({"arena": 6_400_000})))),
        ("lies at Weight(2)", Box::new(move |m| set(m, "/slots/1/place", json!({"weight": 2})))),
        ("lies at Input(1)", Box::new(move |m| set(m, "/slots/0/place", json!({"input": 1})))),
        ("lies at Output(1)", Box::new(move |m| set(m, "/slots/4/place", json!({"output": 1})))),
        ("weight 1", Box::new(move |m| set(m, "/weights/1/offset", json!(128)))),
        ("weight 1", Box::new(move |m| set(m, "/weights/1/offset", json!(u64::MAX - 63)))),
        ("weight 0", Box::new(move |m| set(m, "/weights/0/offset", json!(4)))),
        ("input `x` is declared", Box::new(move |m| set(m, "/inputs/0/slot", json!(3)))),
        ("output `y` is declared", Box::new(move |m| set(m, "/outputs/0/slot", json!(77)))),
        ("output `y` is declared", Box::new(|m: &mut Model| m.output_at("y", 0))),
        ("must be a buffer of type bool[]", Box::new(|m| m.step(json!({"if": {"cond": 0, "then": [], "otherwise": []}})))),
        ("must be a buffer of type i64[]", Box::new(|m| m.step(json!({"read_dim": {"symbol": "N", "from": 0}})))),
        ("one axis more", Box::new(|m| m.step(json!({"store": {"src": 0, "dst": 3, "at": 0}})))),
        (
            "axis 2 of a tensor of 2",
            Box::new(|m| {
                let op = json!({"top_k": {"k": "1", "axis": 2, "largest": true}});
                m.step(json!({"host": {"op": op, "args": [0], "results": [3, 3], "name": "t"}}))
            }),
        ),
        (
            "expected element types",
            Box::new(|m| {
                let op = json!({"non_zero": {"count": "1"}});
                m.step(json!({"host": {"op": op, "args": [0], "results": [3, 3], "name": "t"}}))
            }),
        ),
        (
            "arguments",
            Box::new(|m| {
                let op = json!({"non_zero": {"count": "1"}});
                m.step(json!({"host": {"op": op, "args": [], "results": [3, 3], "name": "t"}}))
            }),
        ),
    ];
    for (expected, edit) in cases {
        let mut m = affine();
        edit(&mut m);
        let e = refused(&m.bytes());
        assert!(matches!(&e, Error::Inconsistent(t) if t.contains(expected)), "{e}\nexpected: {expected}");
    }
}

#[test]
fn shapes_that_do_not_fit_their_place() {
    let x = ramp(64 * 1000);
    for (pointer, v, expected) in [
        ("/slots/3/shape/1", json!("C*C"), "its place has"),
        ("/slots/3/shape/1", json!("C - 2000"), "negative"),
        ("/slots/3/shape/1", json!("C*4611686018427387904"), "larger than memory"),
        ("/slots/1/shape/0", json!("3"), "its place has 8"),
    ] {
        let mut m = affine();
        *m.manifest.pointer_mut(pointer).unwrap() = v;
        let e = m.session(1).run(&[("x", TensorView::new(&[64, 1000], &x))]).unwrap_err();
        assert!(matches!(&e, Error::Run { what, .. } if what.contains(expected)), "{e}");
    }
    // A view of an input that is larger than the input.
    let mut m = affine();
    m.manifest["slots"]
        .as_array_mut()
        .unwrap()
        .insert(0, json!({"dtype": "f32", "shape": ["N", "C", "2"], "place": {"input": 0}}));
    let text = m.manifest.to_string().replace("\"slot\":4", "\"slot\":5").replace("\"slot\":0", "\"slot\":1");
    m.manifest = serde_json::from_str(&text).unwrap();
    m.manifest["steps"] = json!([]);
    let e = m.session(1).run(&[("x", TensorView::new(&[2, 3], &x[..6]))]).unwrap_err();
    assert!(e.to_string().contains("needs 48 bytes, its place has 24"), "{e}");
}

#[test]
fn values_at_run_time() {
    // A dimension out of range, one that is used before it is known, rows outside, copies of different sizes.
    let mut m = Model::new();
    m.symbol("K", 0, 5);
    let (k, x) = (m.input("k", "i64[]"), m.input("x", "i64[4]"));
    let y = m.output("y", "i64[K]");
    let base = m.manifest.clone();
    let read = json!({"read_dim": {"symbol": "K", "from": k}});
    let store = json!({"store": {"src": k, "dst": y, "at": k}});
    let copy = json!({"copy": {"src": x, "dst": y}});
    for (steps, k, expected) in [
        (vec![read.clone(), copy.clone()], 4, ""),
        (vec![read.clone(), copy.clone()], 3, "32 bytes to a buffer of 24"),
        (vec![read.clone()], 6, "`K` is 6, allowed are 0 to 5"),
        (vec![read.clone()], -1, "`K` is -1"),
        (vec![launch(3, &[x, y], &[], "K"), read.clone()], 4, "not known yet"),
        (vec![copy, read.clone()], 4, "not known yet"),
        (vec![json!({"if": {"cond": 0, "then": [], "otherwise": []}})], 1, "-"),
        (vec![read.clone(), store.clone()], 3, "row 3 lies outside"),
        (vec![store.clone(), read.clone()], -1, "row -1 does not exist"),
        (vec![store.clone(), read.clone()], i64::MAX, "does not exist"),
        (vec![store, read], 3, ""),
    ] {
        let mut m = Model { manifest: base.clone(), weights: vec![], sources: vec![] };
        m.manifest["steps"] = json!(steps);
        if expected == "-" {
            assert!(matches!(refused(&m.bytes()), Error::Inconsistent(_)));
            continue;
        }
        let mut s = m.session(1);
        let k = [k];
        // Twice: what the first run learned must not leak into the second.
        for _ in 0..2 {
            match s.run(&[("k", TensorView::new(&[], &k)), ("x", TensorView::new(&[4], &[1i64, 2, 3, 4]))]) {
                Ok(out) => assert!(expected.is_empty() && out[0].shape() == k, "{expected}"),
                Err(e) => assert!(!expected.is_empty() && e.to_string().contains(expected), "{e}\nexpected: {expected}"),
            }
        }
    }
}

#[test]
fn extents_that_values_tell() {
    let mut m = Model::new();
    m.symbol("S", 0, 5);
    m.symbol("T", 0, i64::MAX);
    let n = m.input("n", "i64[2]");
    let kept = m.arena("i64[2]", 16);
    let (y, z) = (m.output("y", "i64[S]"), m.output("z", "i64[T]"));
    let read = |dims: &[&str], rule: &str| {
        let op = json!({"read_dims": {"dims": dims, "rule": rule}});
        json!({"host": {"op": op, "args": [n], "results": [kept], "name": "Range told"}})
    };
    let bind = read(&["S", "T"], "bind");
    let base = m.manifest.clone();
    let _ = (y, z);
    for (steps, n, expected) in [
        (vec![bind.clone()], [5, 3], ""),
        (vec![bind.clone()], [0, 0], ""),
        (vec![bind.clone()], [6, 3], "Range told: `S` is 6, allowed are 0 to 5"),
        (vec![bind.clone()], [-1, 3], "Range told: `S` is -1, allowed are 0 to 5"),
        (vec![bind.clone()], [5, -3], "Range told: `T` is -3, allowed are 0 and more"),
        (vec![bind.clone()], [5, i64::MAX], "larger than memory"),
        // No machine has the address space.
        (vec![bind.clone()], [5, 1 << 58], "cannot allocate"),
        (vec![bind.clone(), read(&["5", "S - 2"], "equal")], [5, 3], ""),
        (vec![bind.clone(), read(&["5", "S - 2"], "equal")], [5, 4], "extent 1 is 4 at run time, expected S - 2, which is 3"),
        (vec![bind.clone(), read(&["4", "3"], "equal")], [5, 3], "extent 0 is 5 at run time, expected 4"),
        (vec![bind.clone(), read(&["5", "S"], "at_most")], [5, 3], ""),
        (
            vec![bind.clone(), read(&["5", "S"], "at_most")],
            [1, 3],
            "position 1 is 3 at run time, at most S, which is 1 is allowed",
        ),
        (vec![read(&["S"], "bind")], [5, 3], "no step binds the symbol `T`"),
        (vec![read(&["S", "2*T"], "bind")], [5, 3], "`2*T` is no symbol"),
    ] {
        let mut m = Model { manifest: base.clone(), weights: vec![], sources: vec![] };
        m.manifest["steps"] = json!(steps);
        if expected.contains("symbol") {
            assert!(refused(&m.bytes()).to_string().contains(expected));
            continue;
        }
        let mut s = m.session(1);
        // Twice: what the first run learned must not leak into the second.
        for _ in 0..2 {
            match s.run(&[("n", TensorView::new(&[2], &n))]) {
                Ok(out) => assert!(expected.is_empty() && (out[0].shape(), out[1].shape()) == (&n[..1], &n[1..]), "{expected}"),
                Err(e) => assert!(!expected.is_empty() && e.to_string().contains(expected), "{e}\nexpected: {expected}"),
            }
        }
    }
}

#[test]
fn machines_and_code() {
    let mut m = affine();
    let other = if cfg!(target_arch = "x86_64") { "aarch64" } else { "x86_64" };
    m.manifest["target"]["triple"] = json!(format!("{other}-unknown-linux-gnu"));
    assert!(matches!(refused(&m.bytes()), Error::Target { what, .. } if what.contains(other)));
    let mut m = affine();
    m.manifest["target"]["required"] = json!(["flux-capacitor"]);
    assert!(matches!(refused(&m.bytes()), Error::Target { what, .. } if what.contains("flux-capacitor")));
    let m = affine();
    let mut elf = common::code().to_vec();
    elf[18] ^= 1;
    assert!(matches!(refused(&m.bytes_with(&elf)), Error::Target { what, .. } if what.contains("ELF machine")));
    assert!(matches!(refused(&m.bytes_with(b"no library")), Error::Inconsistent(_)));
    let cut = &common::code()[..200];
    assert!(matches!(refused(&m.bytes_with(cut)), Error::Load(_)));
    let renamed = common::compile(&["-Dbeiming_kernels=something_else"]);
    assert!(matches!(refused(&m.bytes_with(&renamed)), Error::Load(t) if t.contains("beiming_kernels")));
    let mut m = affine();
    m.manifest["kernels"].as_array_mut().unwrap().pop();
    assert!(matches!(refused(&m.bytes()), Error::Load(t) if t.contains("5 kernels, the manifest has 4")));
}

#[test]
fn sections_that_are_missing_or_no_manifest() {
    use std::io::Write;
    let build = |sections: &[(&str, &[u8])]| {
        let mut w = beiming_runtime::format::Writer::new(std::io::Cursor::new(vec![])).unwrap();
        for (name, bytes) in sections {
            w.section(name, |s| s.write_all(bytes)).unwrap();
        }
        w.finish().unwrap().into_inner()
    };
    let deep = "[".repeat(100_000);
    let manifest = serde_json::to_vec(&Model::new().manifest).unwrap();
    for (sections, expected) in [
        (vec![], "no section `manifest`"),
        (vec![("manifest", &b"{}"[..])], "manifest: missing field"),
        (vec![("manifest", b"\xff\xfe")], "manifest: "),
        (vec![("manifest", deep.as_bytes())], "manifest: "),
        (vec![("manifest", &manifest)], "no section `code`"),
    ] {
        let e = refused(&build(&sections));
        assert!(matches!(&e, Error::Inconsistent(t) if t.contains(expected)), "{e}");
    }
}

#[test]
fn options() {
    let module = affine().open();
    let e = Session::new(&module, Options { threads: 1 << 20, ..Options::default() }).err().unwrap();
    assert!(matches!(e, Error::Argument(_)));
    let mut m = affine();
    m.manifest["arena"] = json!(1u64 << 60);
    assert!(matches!(Session::new(&m.open(), Options::default()), Err(Error::Memory { .. })));
    let mut m = affine();
    m.manifest["kernels"][0]["scratch"] = json!(u64::MAX);
    assert!(matches!(Session::new(&m.open(), Options::default()), Err(Error::Memory { .. })));
}

/// A whole artifact, cut at every 64th byte, and with single bits flipped all over.
#[test]
fn altered_artifacts() {
    let bytes = affine().bytes();
    let x = ramp(6);
    let mut s = affine().session(1);
    assert_eq!(s.run(&[("x", TensorView::new(&[2, 3], &x))]).unwrap()[0].as_slice::<f32>().unwrap(), affine_of(&x));
    for n in (0..bytes.len()).step_by(64) {
        let e = refused(&bytes[..n]);
        assert!(matches!(e, Error::Truncated { .. } | Error::NotAnArtifact(_)), "{n} bytes: {e}");
    }
    let mut copy = bytes.clone();
    for bit in (0..bytes.len() * 8).step_by(61) {
        copy[bit / 8] ^= 1 << (bit % 8);
        let e = refused(&copy);
        assert!(matches!(e, Error::Altered(_) | Error::Version { .. } | Error::NotAnArtifact(_)), "bit {bit}: {e}");
        copy[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(copy, bytes);
}
