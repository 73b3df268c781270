//! Small artifacts made by hand, with kernels compiled from C: the runtime's tests need no compiler of ours.
#![allow(dead_code, clippy::unwrap_used)]

use std::io::{Cursor, Write};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use beiming_runtime::format::{Manifest, Writer};
use beiming_runtime::{Module, Options, Session};
use serde_json::{Value, json};

/// The code section: `kernels.c` as a shared library.
pub fn code() -> &'static [u8] {
    static CODE: OnceLock<Vec<u8>> = OnceLock::new();
    CODE.get_or_init(|| compile(&[]))
}

/// `kernels.c` with further flags.
pub fn compile(flags: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("kernels.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/kernels.c");
    let cc = std::env::var("CC").unwrap_or("cc".into());
    let args = ["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-nostdlib", "-fPIC", "-fvisibility=hidden", "-o"];
    let status = Command::new(cc).args(args).arg(&out).arg(source).args(flags).status().unwrap();
    assert!(status.success());
    std::fs::read(out).unwrap()
}

/// Buffers, weights and steps of a model; the rest of the manifest is the same for all.
pub struct Model {
    pub manifest: Value,
    pub weights: Vec<Vec<u8>>,
    /// Ascend C of the device's kernels, one after the other.
    pub sources: Vec<u8>,
}

impl Model {
    pub fn new() -> Model {
        let param = |dtype: &str, write: bool| json!({"dtype": dtype, "write": write});
        let (f, i, b) = (param("f32", false), param("i64", false), param("bool", true));
        let (fw, iw) = (param("f32", true), param("i64", true));
        let kernel = |symbol: &str, scratch: u64, params: Value, symbols: Value| json!({"symbol": symbol, "scratch": scratch, "params": params, "symbols": symbols, "grid": ["N"]});
        let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let manifest = json!({
            "model": "test", "compiler": "by hand",
            "target": {"name": "host", "triple": triple, "cpu": "generic", "features": "", "required": []},
            "symbols": {}, "inputs": [], "outputs": [], "slots": [], "weights": [], "arena": 0, "arena_without_reuse": 0,
            "kernels": [
                kernel("affine", 4096, json!([f, f, fw]), json!(["C"])),
                kernel("scale", 0, json!([f, i, fw]), json!([])),
                kernel("below", 0, json!([i, i, b]), json!([])),
                kernel("shift", 0, json!([i, iw]), json!([])),
                kernel("holes", 0, json!([f, fw]), json!([])),
            ],
            "steps": [],
        });
        Model { manifest, weights: vec![], sources: vec![] }
    }

    fn push(&mut self, list: &str, v: Value) -> usize {
        let l = self.manifest[list].as_array_mut().unwrap();
        l.push(v);
        l.len() - 1
    }

    pub fn symbol(&mut self, name: &str, lo: i64, hi: i64) {
        self.manifest["symbols"][name] = json!({"lo": lo, "hi": hi});
    }

    fn slot(&mut self, ty: &str, place: Value) -> usize {
        let (dtype, shape) = ty.trim_end_matches(']').split_once('[').unwrap();
        let shape: Vec<&str> = if shape.is_empty() { vec![] } else { shape.split(", ").collect() };
        self.push("slots", json!({"dtype": dtype, "shape": shape, "place": place}))
    }

    /// An input, by name and a type like `f32[N, 4]`.
    pub fn input(&mut self, name: &str, ty: &str) -> usize {
        let n = self.manifest["inputs"].as_array().unwrap().len();
        let slot = self.slot(ty, json!({"input": n}));
        self.push("inputs", json!({"name": name, "slot": slot}));
        slot
    }

    pub fn output(&mut self, name: &str, ty: &str) -> usize {
        let n = self.manifest["outputs"].as_array().unwrap().len();
        let slot = self.slot(ty, json!({"output": n}));
        self.output_at(name, slot);
        slot
    }

    /// An output that lies in some other buffer.
    pub fn output_at(&mut self, name: &str, slot: usize) {
        self.push("outputs", json!({"name": name, "slot": slot}));
    }

    /// A buffer in the arena, after all others there.
    pub fn arena(&mut self, ty: &str, bytes: u64) -> usize {
        let at = self.manifest["arena"].as_u64().unwrap();
        self.manifest["arena"] = json!((at + bytes).next_multiple_of(64));
        self.slot(ty, json!({"arena": at}))
    }

    pub fn weight(&mut self, ty: &str, bytes: Vec<u8>) -> usize {
        let end = self.weights.iter().map(|w| w.len().next_multiple_of(64)).sum::<usize>();
        let n = self.push("weights", json!({"offset": end, "bytes": bytes.len()}));
        self.weights.push(bytes);
        self.slot(ty, json!({"weight": n}))
    }

    /// A kernel of the device; its number.
    pub fn device_kernel(&mut self, symbol: &str, unit: &str, params: Value, source: &str) -> usize {
        self.manifest["device"] = json!({"target": "ascend910b1", "soc": "Ascend910B1", "arch": "dav-2201"});
        let device = json!({"unit": unit, "cores": 48, "offset": self.sources.len(), "bytes": source.len()});
        self.sources.extend_from_slice(source.as_bytes());
        self.push(
            "kernels",
            json!({"symbol": symbol, "device": device, "scratch": 0, "params": params, "symbols": [], "grid": []}),
        )
    }

    pub fn step(&mut self, step: Value) {
        self.push("steps", step);
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.bytes_with(code())
    }

    pub fn bytes_with(&self, code: &[u8]) -> Vec<u8> {
        let manifest: Manifest = serde_json::from_value(self.manifest.clone()).unwrap();
        let mut w = Writer::new(Cursor::new(vec![])).unwrap();
        w.section("weights", |s| {
            for bytes in &self.weights {
                s.align(64)?;
                s.write_all(bytes)?;
            }
            Ok(())
        })
        .unwrap();
        w.section("code", |s| s.write_all(code)).unwrap();
        if !self.sources.is_empty() {
            w.section("ascendc", |s| s.write_all(&self.sources)).unwrap();
        }
        w.section("manifest", |s| s.write_all(&manifest.to_bytes().unwrap())).unwrap();
        w.finish().unwrap().into_inner()
    }

    pub fn open(&self) -> Arc<Module> {
        Arc::new(Module::from_bytes(&self.bytes()).unwrap())
    }

    pub fn session(&self, threads: usize) -> Session {
        Session::new(&self.open(), Options { threads, ..Options::default() }).unwrap()
    }
}

/// A kernel call. `work` is said to be large, so that threads take part.
pub fn launch(kernel: u32, args: &[usize], dims: &[&str], grid: &str) -> Value {
    let name = format!("node{kernel}");
    json!({"launch": {"kernel": kernel, "args": args, "dims": dims, "grid": grid, "name": name,
        "flops": "1000000000", "bytes": "64"}})
}

pub fn floats(v: &[f32]) -> Vec<u8> {
    v.iter().flat_map(|x| x.to_ne_bytes()).collect()
}

/// `y = (x * 2 + 1) * 3 - 4` on `f32[N, C]`, in two kernels with a buffer between.
pub fn affine() -> Model {
    let mut m = Model::new();
    m.symbol("N", 1, 64);
    m.symbol("C", 0, 1000);
    let x = m.input("x", "f32[N, C]");
    let w = [m.weight("f32[2]", floats(&[2.0, 1.0])), m.weight("f32[2]", floats(&[3.0, -4.0]))];
    let t = m.arena("f32[N, C]", 64 * 1000 * 4);
    let y = m.output("y", "f32[N, C]");
    m.step(launch(0, &[x, w[0], t], &["C"], "N"));
    m.step(launch(0, &[t, w[1], y], &["C"], "N"));
    m
}

pub fn affine_of(x: &[f32]) -> Vec<f32> {
    x.iter().map(|v| (v * 2.0 + 1.0) * 3.0 - 4.0).collect()
}

pub fn ramp(n: i64) -> Vec<f32> {
    (0..n).map(|i| i as f32 * 0.25 - 3.0).collect()
}
