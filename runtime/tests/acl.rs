//! NPUs: the runtime's own path through AscendCL, on the stand-in for that library over the project's simulator. Nothing here says
//! anything about a real NPU but that the calls are made, in order, with the right arguments.
#![allow(clippy::unwrap_used)]

mod common;

use std::ffi::c_long;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use beiming_runtime::acl::{Device, DeviceOptions};
use beiming_runtime::{Error, Options, Session, TensorView};
use common::{Model, floats, launch};
use serde_json::json;
use tempfile::TempDir;

const COUNT: usize = 5000;
const KERNEL: &str = include_str!("common/exp_add.cpp");

/// The root of a toolkit: the simulator's headers and the two libraries over it, built once. A child process is given its parent's.
fn root() -> &'static Path {
    static ROOT: OnceLock<(Option<TempDir>, PathBuf)> = OnceLock::new();
    let (_, path) = ROOT.get_or_init(|| {
        if let Some(given) = std::env::var_os("BEIMING_TEST_ROOT") {
            return (None, given.into());
        }
        let dir = tempfile::tempdir().unwrap();
        let sim = Path::new(env!("CARGO_MANIFEST_DIR")).join("../backends/ascend/sim");
        let lib = dir.path().join("lib64");
        std::fs::create_dir(&lib).unwrap();
        std::os::unix::fs::symlink(sim.join("include").canonicalize().unwrap(), dir.path().join("include")).unwrap();
        std::fs::write(dir.path().join("chip.txt"), "name Ascend910B1\ngeneration 2201\n").unwrap();
        let mut sources: Vec<PathBuf> = std::fs::read_dir(sim.join("src")).unwrap().map(|e| e.unwrap().path()).collect();
        sources.sort();
        let all: String = sources.iter().map(|s| format!("#include \"{}\"\n", s.canonicalize().unwrap().display())).collect();
        std::fs::write(dir.path().join("all.cpp"), all).unwrap();
        let build = |name: &str, files: &[&Path]| {
            let flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-Iinclude", "-Isrc"];
            let mut c = Command::new("g++");
            c.args(flags).arg(format!("-Wl,-soname,{name}")).args(files).arg("-o").arg(lib.join(name)).current_dir(&sim);
            assert!(c.status().unwrap().success(), "{name}");
        };
        build("libascendcl.so", &[&dir.path().join("all.cpp"), Path::new("acl/ascendcl.cpp")]);
        build("libacl_rtc.so", &[Path::new("acl/rtc.cpp")]);
        let path = dir.path().to_path_buf();
        (Some(dir), path)
    });
    path
}

fn options() -> DeviceOptions {
    DeviceOptions { root: Some(root().into()), ..DeviceOptions::default() }
}

/// What the stand-in says is not given back.
fn live() -> c_long {
    let path = root().join("lib64/libascendcl.so");
    // SAFETY: the stand-in's own function.
    unsafe {
        let library = libloading::Library::new(path).unwrap();
        let count: libloading::Symbol<'_, unsafe extern "C" fn() -> c_long> = library.get(b"beimingSimLive\0").unwrap();
        count()
    }
}

fn on(slot: usize, to: &str) -> serde_json::Value {
    json!({"transfer": {"slot": slot, "to": to}})
}

/// `t = exp(x + y)` on the device, `u = t * 0.01 - 2` on the host, `z = exp(u + w)` on the device, and `t` is a result, too.
fn model(source: &str) -> Model {
    let mut m = Model::new();
    let ty = format!("f32[{COUNT}]");
    let p = |write: bool| json!({"dtype": "f32", "write": write});
    let k = m.device_kernel("exp_add", "vector", json!([p(false), p(false), p(true)]), source) as u32;
    let (x, y) = (m.input("x", &ty), m.input("y", &ty));
    let w = m.weight(&ty, floats(&weights()));
    let affine = m.weight("f32[2]", floats(&[0.01, -2.0]));
    let (t, u) = (m.arena(&ty, COUNT as u64 * 4), m.arena(&ty, COUNT as u64 * 4));
    let z = m.output("z", &ty);
    m.output_at("t", t);
    for step in [
        on(x, "device"),
        on(y, "device"),
        launch(k, &[x, y, t], &[], "3"),
        on(t, "host"),
        launch(0, &[t, affine, u], &["1000"], "5"),
        on(u, "device"),
        launch(k, &[u, w, z], &[], "5000"),
        on(z, "host"),
    ] {
        m.step(step);
    }
    m
}

fn weights() -> Vec<f32> {
    (0..COUNT).map(|i| (i % 7) as f32 * 0.125).collect()
}

fn ramp(step: f32) -> Vec<f32> {
    (0..COUNT).map(|i| (i as f32 * step).sin()).collect()
}

/// One run from nothing.
fn run(device: &Arc<Device>, source: &str) -> Result<(), Error> {
    let (x, y) = (ramp(0.01), ramp(0.03));
    let mut s = Session::on_device(&model(source).open(), Options { threads: 1, ..Options::default() }, device)?;
    for _ in 0..2 {
        let shape = [COUNT as i64];
        let out = s.run(&[("x", TensorView::new(&shape, &x)), ("y", TensorView::new(&shape, &y))])?;
        let t: Vec<f32> = x.iter().zip(&y).map(|(a, b)| (a + b).exp()).collect();
        let z: Vec<f32> = t.iter().zip(weights()).map(|(t, w)| (t * 0.01 - 2.0 + w).exp()).collect();
        for (name, got, want) in [("t", &out[1], &t), ("z", &out[0], &z)] {
            let got = got.as_slice::<f32>().unwrap();
            let worst = got.iter().zip(want).map(|(g, w)| (g - w).abs() / w.abs()).fold(0.0, f32::max);
            assert!(worst < 1e-5, "{name}: {worst}");
        }
    }
    Ok(())
}

#[test]
fn steps_on_both_sides() {
    let device = Device::open(&options()).unwrap();
    assert_eq!((device.soc().as_str(), device.library().devices().unwrap()), ("Ascend910B1", 1));
    run(&device, KERNEL).unwrap();
    // Two sessions over one device, one after the other and at once.
    std::thread::scope(|s| {
        let other = device.clone();
        s.spawn(move || run(&other, KERNEL).unwrap()).join().unwrap();
    });
}

#[test]
fn a_kernel_that_does_not_compile() {
    let device = Device::open(&options()).unwrap();
    let e = run(&device, &KERNEL.replace("Exp(c, c", "Exq(c, c")).unwrap_err().to_string();
    assert!(e.contains("kernel `exp_add` does not compile") && e.contains("Exq"), "{e}");
}

#[test]
fn what_the_checker_finds_ends_the_run() {
    let device = Device::open(&options()).unwrap();
    // The last tile's tail is rounded up.
    let wrong = KERNEL.replace("DataCopyPad(z[at], c, whole)", "DataCopy(z[at], c, TILE)");
    let e = run(&device, &wrong).unwrap_err();
    assert!(matches!(&e, Error::Device { code: 507_015, .. }), "{e}");
    let e = e.to_string();
    assert!(e.contains("findings in exp_add"), "{e}");
}

#[test]
fn a_missing_device_and_a_wrong_chip() {
    let e = Device::open(&DeviceOptions { id: 7, ..options() }).map(|_| ()).unwrap_err().to_string();
    assert!(e.contains("there is no device of this number"), "{e}");
    let device = Device::open(&options()).unwrap();
    let mut m = model(KERNEL);
    m.manifest["device"]["arch"] = json!("dav-2002");
    let e = Session::on_device(&m.open(), Options::default(), &device).map(|_| ()).unwrap_err().to_string();
    assert!(e.contains("dav-2002") && e.contains("dav-2201"), "{e}");
    m.manifest["device"]["arch"] = json!("dav-2201");
    let folder = DeviceOptions { kernels: Some("/nowhere".into()), ..options() };
    let device = Device::open(&folder).unwrap();
    let e = Session::on_device(&m.open(), Options::default(), &device).map(|_| ()).unwrap_err().to_string();
    assert!(e.contains("/nowhere/exp_add/exp_add.o"), "{e}");
}

#[test]
fn plans_that_need_a_device_say_so() {
    let mut m = model(KERNEL);
    m.manifest.as_object_mut().unwrap().remove("device");
    let e = beiming_runtime::Module::from_bytes(&m.bytes()).map(|_| ()).unwrap_err().to_string();
    assert!(e.contains("for a device, and there is none") || e.contains("no device in the manifest"), "{e}");
}

/// What a child does: `BEIMING_SIM_FAULT` is set, and a failure is expected. As a test of its own it has nothing to do.
#[test]
fn child() {
    if std::env::var_os("BEIMING_TEST_ROOT").is_none() {
        return;
    }
    let result = Device::open(&options()).and_then(|d| run(&d, KERNEL));
    println!("\nresult: {}", result.map_or_else(|e| e.to_string().replace('\n', " "), |()| "done".into()));
    println!("live: {}", live());
}

/// Runs the child with failures; its result. It must end, and give back everything.
fn with_fault(fault: &str) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env("BEIMING_TEST_ROOT", root())
        .env("BEIMING_SIM_FAULT", fault)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
            panic!("{fault}: hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let out = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let line =
        |key: &str| text.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_else(|| panic!("{fault}: {text}")).to_string();
    assert_eq!(line("live: "), "0", "{fault}: {text}");
    line("result: ")
}

#[test]
fn failures_are_told_and_leave_nothing_behind() {
    // The kernel is compiled before, and kept: children only load it.
    run(&Device::open(&options()).unwrap(), KERNEL).unwrap();
    for (fault, want) in [
        ("init:1", "aclInit (500000): an internal error of CANN: asked to fail"),
        ("malloc_host:1", "bytes for copies to and from the device"),
        ("launch:1", "aclrtLaunchKernelWithConfig (107000): a wrong call: asked to refuse the launch of exp_add"),
        ("launch:2", "asked to refuse the launch of exp_add"),
        ("kernel:1", "(507015): a kernel failed: asked to fail in exp_add"),
        ("kernel:2", "(507015): a kernel failed: asked to fail in exp_add"),
        ("hang:1", "aclrtSynchronizeStreamWithTimeout (507046): the stream did not finish in time"),
        ("hang:2", "(507046): the stream did not finish in time"),
    ] {
        let got = with_fault(fault);
        assert!(got.contains(want), "{fault}: {got}");
    }
    // Wherever memory runs out or the device is lost, up to where nothing fails any more.
    for (word, want) in [("malloc", "cannot allocate"), ("lost", "the device is lost")] {
        let mut n = 0;
        loop {
            n += 1;
            let got = with_fault(&format!("{word}:{n}"));
            if got == "done" {
                break;
            }
            assert!(got.contains(want) && n < 100, "{word}:{n}: {got}");
        }
        assert!(n > if word == "malloc" { 4 } else { 15 }, "{word} struck {n} times only");
    }
}
