//! Good runs: threads, shapes, control flow, algorithms of the runtime, outputs of every kind.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use beiming_runtime::{DType, Error, Options, Output, Session, Tensor, TensorView};
use common::{Model, affine, affine_of, floats, launch, ramp};
use serde_json::json;

#[test]
fn threads_and_shapes() {
    let module = affine().open();
    let port = &module.inputs()[0];
    assert_eq!((port.name.as_str(), port.dtype, port.dims.as_slice()), ("x", DType::F32, &["N".to_string(), "C".into()][..]));
    assert_eq!((port.shape.as_slice(), module.output("y").unwrap()), (&[None, None][..], 0));
    for threads in 1..=4 {
        let mut s = Session::new(&module, Options { threads, ..Options::default() }).unwrap();
        assert_eq!(s.threads(), threads);
        // Shapes repeat, grow, shrink and vanish.
        for shape in [[3, 5], [3, 5], [64, 1000], [1, 1], [7, 0], [17, 33], [3, 5]] {
            let x = ramp(shape[0] * shape[1]);
            let out = s.run(&[("x", TensorView::new(&shape, &x))]).unwrap();
            assert_eq!((out[0].shape(), out[0].dtype()), (&shape[..], DType::F32));
            assert_eq!(out[0].as_slice::<f32>().unwrap(), affine_of(&x), "{shape:?} on {threads} threads");
            assert_eq!(out[0].as_slice::<i32>(), None);
        }
    }
}

#[test]
fn memory_of_the_caller() {
    let mut s = affine().session(2);
    let x = ramp(6);
    // An input that is not aligned to its type.
    let mut shifted = [0u8; 25];
    shifted[1..].copy_from_slice(&floats(&x));
    let mut memory = [0f32; 8];
    let (_, bytes, _) = unsafe { memory.align_to_mut::<u8>() };
    for data in [&floats(&x)[..], &shifted[1..]] {
        let mut out = [Output::into_memory(bytes)];
        s.run_into(&[("x", TensorView { dtype: DType::F32, shape: &[2, 3], data })], &mut out).unwrap();
        assert_eq!((out[0].as_slice::<f32>().unwrap(), out[0].shape()), (&affine_of(&x)[..], &[2, 3][..]));
    }
    // Tensors keep their memory from run to run.
    let mut out = [Tensor::new()];
    s.run_into(&[("x", TensorView::new(&[6, 1], &x))], &mut out).unwrap();
    let address = out[0].bytes().as_ptr();
    s.run_into(&[("x", TensorView::new(&[2, 2], &x[..4]))], &mut out).unwrap();
    assert_eq!((out[0].bytes().as_ptr(), out[0].bytes().len()), (address, 16));
    // Too small, not aligned, too few.
    for (range, expected) in [(0..8, "8 bytes, the result needs 24"), (1..26, "not aligned")] {
        let memory = &mut bytes[range];
        let e = s.run_into(&[("x", TensorView::new(&[2, 3], &x))], &mut [Output::into_memory(memory)]).unwrap_err();
        assert!(matches!(e, Error::Output { .. }) && e.to_string().contains(expected), "{e}");
    }
    assert!(matches!(s.run_into(&[("x", TensorView::new(&[2, 3], &x))], &mut []), Err(Error::Argument(_))));
}

#[test]
fn outputs_that_lie_elsewhere() {
    let mut m = Model::new();
    let x = m.input("x", "f32[N, 2]");
    let w = m.weight("f32[2]", floats(&[5.0, 6.0]));
    let y = m.output("y", "f32[N, 2]");
    m.output_at("same", y);
    m.output_at("input", x);
    m.output_at("weight", w);
    m.step(json!({"copy": {"src": x, "dst": y}}));
    let x = ramp(8);
    let out = m.session(1).run(&[("x", TensorView::new(&[4, 2], &x))]).unwrap();
    let values: Vec<&[f32]> = out.iter().map(|o| o.as_slice().unwrap()).collect();
    assert_eq!(values, [&x[..], &x, &x, &[5.0, 6.0]]);
    assert_eq!(out[3].shape(), [2]);
}

/// Rows `x * (i + 1)` while `i + 1 < limit` and `i < trip`; the number of rows is known afterwards only.
fn looping(place: &str) -> Model {
    let mut m = Model::new();
    m.symbol("T", 0, 10);
    let (x, trip, limit) = (m.input("x", "f32[C]"), m.input("trip", "i64[]"), m.input("limit", "i64[]"));
    let go = m.input("go", "bool[]");
    let (cond, i, row) = (m.arena("bool[]", 1), m.arena("i64[]", 8), m.arena("f32[C]", 4000));
    m.symbol("C", 1, 1000);
    let rows = if place == "arena" { m.arena("f32[T, C]", 10 * 4000) } else { m.output("rows", "f32[T, C]") };
    if place == "arena" {
        m.output_at("rows", rows);
    }
    m.step(json!({"copy": {"src": go, "dst": cond}}));
    m.step(json!({"loop": {"trip": trip, "cond": cond, "iteration": i, "trips": "T", "body": [
        launch(1, &[x, i, row], &[], "C"),
        {"store": {"src": row, "dst": rows, "at": i}},
        launch(2, &[i, limit, cond], &[], "1"),
    ]}}));
    m
}

#[test]
fn loops() {
    for place in ["arena", "output"] {
        for threads in [1, 3] {
            let mut s = looping(place).session(threads);
            let x = ramp(5);
            for (trip, limit, go, expected) in
                [(3, 100, 1, 3), (100, 7, 1, 7), (10, 10, 1, 10), (0, 5, 1, 0), (-4, 5, 1, 0), (5, 5, 0, 0), (1, 1, 1, 1)]
            {
                let (trip, limit) = ([trip as i64], [limit as i64]);
                let go = TensorView { dtype: DType::Bool, shape: &[], data: &[go as u8] };
                let inputs = [
                    ("go", go),
                    ("limit", TensorView::new(&[], &limit)),
                    ("trip", TensorView::new(&[], &trip)),
                    ("x", TensorView::new(&[5], &x)),
                ];
                let out = s.run(&inputs).unwrap();
                let rows: Vec<f32> = (0..expected).flat_map(|i| x.iter().map(move |v| v * (i + 1) as f32)).collect();
                assert_eq!(out[0].shape(), [expected as i64, 5], "{place}, {trip:?}, {limit:?}");
                assert_eq!(out[0].as_slice::<f32>().unwrap(), rows);
            }
            // More rows than the plan allows: an error, and the session goes on.
            let n = [11i64];
            let go = TensorView { dtype: DType::Bool, shape: &[], data: &[1] };
            let n = TensorView::new(&[], &n);
            let e = s.run(&[("x", TensorView::new(&[5], &x)), ("trip", n), ("limit", n), ("go", go)]).unwrap_err();
            assert!(matches!(e, Error::Run { .. }), "{e}");
        }
    }
}

#[test]
fn branches() {
    let mut m = Model::new();
    let (c, x) = (m.input("c", "bool[]"), m.input("x", "i64[N]"));
    let y = m.output("y", "i64[N]");
    m.step(json!({"if": {"cond": c,
        "then": [launch(3, &[x, y], &[], "N")],
        "otherwise": [{"copy": {"src": x, "dst": y}}]}}));
    let mut s = m.session(2);
    let x = [1i64, 2, 3];
    for (c, expected) in [(1, [101, 102, 103]), (0, [1, 2, 3])] {
        let c = TensorView { dtype: DType::Bool, shape: &[], data: &[c] };
        assert_eq!(s.run(&[("c", c), ("x", TensorView::new(&[3], &x))]).unwrap()[0].as_slice::<i64>().unwrap(), expected);
    }
}

#[test]
fn top_k() {
    let mut m = Model::new();
    let x = m.input("x", "f32[N, C]");
    let (v, i) = (m.output("values", "f32[N, min(C,2)]"), m.output("indices", "i64[N, min(C,2)]"));
    let op = json!({"top_k": {"k": "min(C, 2)", "axis": 1, "largest": true}});
    m.step(json!({"host": {"op": op, "args": [x], "results": [v, i], "name": "best"}}));
    let mut s = m.session(1);
    let x = [1f32, 5.0, 3.0, 9.0, -1.0, 9.0];
    let out = s.run(&[("x", TensorView::new(&[2, 3], &x))]).unwrap();
    assert_eq!(out[0].as_slice::<f32>().unwrap(), [5.0, 3.0, 9.0, 9.0]);
    assert_eq!(out[1].as_slice::<i64>().unwrap(), [1, 2, 0, 2]);
    let out = s.run(&[("x", TensorView::new(&[6, 1], &x))]).unwrap();
    assert_eq!((out[0].shape(), out[1].as_slice::<i64>().unwrap()), (&[6, 1][..], &[0; 6][..]));
}

/// The number of results is known when the algorithm has run; a kernel then works on as many.
#[test]
fn non_zero_with_a_kernel_after_it() {
    let mut m = Model::new();
    m.symbol("N", 0, 10);
    m.symbol("K", 0, 40);
    let x = m.input("x", "i64[N, 4]");
    let (at, count) = (m.arena("i64[2, K]", 2 * 40 * 8), m.arena("i64[]", 8));
    let y = m.output("y", "i64[2, K]");
    let op = json!({"non_zero": {"count": "K"}});
    m.step(json!({"host": {"op": op, "args": [x], "results": [at, count], "name": "find"}}));
    m.step(json!({"read_dim": {"symbol": "K", "from": count}}));
    m.step(launch(3, &[at, y], &[], "2*K"));
    for threads in [1, 2] {
        let mut s = m.session(threads);
        for (x, expected) in [
            (vec![0i64, 7, 0, 0, 0, 0, 0, 8], vec![100, 101, 101, 103]),
            (vec![0; 8], vec![]),
            (vec![1; 40], (0..10).flat_map(|r| [100 + r; 4]).chain((0..10).flat_map(|_| 100..104)).collect()),
            (vec![], vec![]),
        ] {
            let out = s.run(&[("x", TensorView::new(&[x.len() as i64 / 4, 4], &x))]).unwrap();
            assert_eq!(out[0].shape(), [2, expected.len() as i64 / 2]);
            assert_eq!(out[0].as_slice::<i64>().unwrap(), expected);
        }
    }
}

#[test]
fn suppression() {
    // The same, with a number of results that the step binds and with room for five, the rest zero.
    for count in ["K", "5"] {
        let mut m = Model::new();
        m.symbol("K", 0, 100);
        let (boxes, scores) = (m.input("boxes", "f32[1, N, 4]"), m.input("scores", "f32[1, 1, N]"));
        let max = m.input("max", "i64[]");
        let (iou, score) = (m.weight("f32[]", floats(&[0.5])), m.weight("f32[]", floats(&[0.0])));
        let (rows, found) = (m.output("rows", &format!("i64[{count}, 3]")), m.output("count", "i64[]"));
        let op = json!({"nms": {"center": false, "count": count}});
        m.step(json!({"host": {"op": op, "args": [boxes, scores, max, iou, score], "results": [rows, found], "name": "nms"}}));
        let b = [0.0f32, 0.0, 1.0, 1.0, 0.0, 0.1, 1.0, 1.1, 5.0, 5.0, 6.0, 6.0];
        let mut s = m.session(1);
        for (max, expected) in [(10, vec![2i64, 1]), (1, vec![2]), (0, vec![])] {
            let max = [max as i64];
            let out = s
                .run(&[
                    ("boxes", TensorView::new(&[1, 3, 4], &b)),
                    ("scores", TensorView::new(&[1, 1, 3], &[0.1f32, 0.2, 0.3])),
                    ("max", TensorView::new(&[], &max)),
                ])
                .unwrap();
            let mut want: Vec<i64> = expected.iter().flat_map(|&i| [0, 0, i]).collect();
            if count == "5" {
                want.resize(15, 0);
            }
            assert_eq!(out[0].as_slice::<i64>().unwrap(), want);
            assert_eq!(out[1].as_slice::<i64>().unwrap(), [expected.len() as i64]);
        }
    }
}

#[test]
fn subnormals_are_kept_or_flushed_on_every_thread_and_the_mode_restored() {
    let mut m = Model::new();
    let x = m.input("x", "f32[N]");
    let y = m.output("y", "f32[N]");
    m.step(launch(4, &[x, y], &[], "N"));
    let tiny = std::hint::black_box(f32::MIN_POSITIVE);
    // Artifacts of the first days do not say, and mean that they are flushed.
    for (says, flushed) in [(None, true), (Some("flush"), true), (Some("keep"), false)] {
        if let Some(s) = says {
            m.manifest["subnormals"] = json!(s);
        }
        for threads in 1..=3 {
            let out = m.session(threads).run(&[("x", TensorView::new(&[64], &[tiny; 64]))]).unwrap();
            // The kernel halves every other element.
            let halves = out[0].as_slice::<f32>().unwrap().iter().step_by(2);
            assert!(halves.map(|v| v.to_bits()).all(|v| v == if flushed { 0 } else { 1 << 22 }), "{says:?}");
            assert!(std::hint::black_box(tiny * std::hint::black_box(0.5)) > 0.0);
        }
    }
}

#[test]
fn poison_shows_what_nobody_writes() {
    let mut m = Model::new();
    m.symbol("N", 0, 16);
    let (x, t) = (m.input("x", "f32[N]"), m.arena("f32[N]", 64));
    let (y, z) = (m.output("y", "f32[N]"), m.output("z", "f32[N]"));
    m.step(launch(4, &[x, t], &[], "N"));
    m.step(json!({"copy": {"src": t, "dst": y}}));
    m.step(launch(4, &[x, z], &[], "N"));
    let mut s = Session::new(&m.open(), Options { threads: 1, poison: true, profile: true }).unwrap();
    let mut out = [Tensor::new(), Tensor::new()];
    for _ in 0..2 {
        s.run_into(&[("x", TensorView::new(&[4], &[2f32, 4.0, 6.0, 8.0]))], &mut out).unwrap();
        for o in &out {
            let v = o.as_slice::<f32>().unwrap();
            assert!(v[0] == 1.0 && v[1].is_nan() && v[2] == 3.0 && v[3].is_nan(), "{v:?}");
        }
    }
    let profile = s.profile();
    let summary: Vec<_> = profile.iter().map(|p| (p.name.as_str(), p.kernel.as_str(), p.calls, p.flops)).collect();
    assert_eq!(summary, [("node4", "holes", 2, 2_000_000_000), ("copy", "", 2, 0), ("node4", "holes", 2, 2_000_000_000)]);
    assert!(profile[0].ns > 0 && profile[0].bytes == 128);
    s.reset_profile();
    assert!(s.profile().iter().all(|p| p.calls == 0));
}

#[test]
fn sessions_run_at_the_same_time() {
    let module = affine().open();
    std::thread::scope(|scope| {
        for t in 0..4i64 {
            let module = &module;
            scope.spawn(move || {
                let mut s = Session::new(module, Options { threads: 1 + t as usize % 3, ..Options::default() }).unwrap();
                for i in 0..60 {
                    let shape = [1 + (i * 7 + t) % 64, 1 + (i + t * 11) % 50];
                    let x: Vec<f32> = ramp(shape[0] * shape[1]).iter().map(|v| v + t as f32).collect();
                    let out = s.run(&[("x", TensorView::new(&shape, &x))]).unwrap();
                    assert_eq!(out[0].as_slice::<f32>().unwrap(), affine_of(&x));
                }
            });
        }
    });
}

/// Modules are opened from files and closed again in any order; a new one is never confused with an old one.
#[test]
fn many_modules() {
    let dir = tempfile::tempdir().unwrap();
    let mut open: Vec<(f32, Session)> = vec![];
    for i in 0..12 {
        let mut m = affine();
        m.weights[1] = floats(&[1.0, i as f32]);
        let code = common::code();
        let path = dir.path().join(format!("{i}.bm"));
        std::fs::write(&path, m.bytes_with(code)).unwrap();
        let module = Arc::new(beiming_runtime::Module::open(&path).unwrap());
        open.push((i as f32, Session::new(&module, Options { threads: 1, ..Options::default() }).unwrap()));
        if i % 3 == 2 {
            open.remove(i / 3);
        }
        for (shift, s) in &mut open {
            let out = s.run(&[("x", TensorView::new(&[1, 1], &[1f32]))]).unwrap();
            assert_eq!(out[0].as_slice::<f32>().unwrap(), [3.0 + *shift]);
        }
    }
}
