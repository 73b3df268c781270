//! The C interface: the example in C, compiled and run against the shared library, and calls with wrong arguments.
#![allow(clippy::unwrap_used)]

mod common;

use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::ptr::{null, null_mut};

use beiming_runtime::DType;
use beiming_runtime::capi::*;
use common::{affine, affine_of, ramp};

/// The folder of the test binaries, where cargo puts the shared library too.
fn libraries() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_path_buf()
}

fn compile(source: &Path, out: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let status = Command::new(std::env::var("CC").unwrap_or("cc".into()))
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I"])
        .arg(root.join("include"))
        .arg(source)
        .arg("-L")
        .arg(libraries())
        .args(["-lbeiming_runtime", "-o"])
        .arg(out)
        .status()
        .unwrap();
    assert!(status.success());
}

fn run(program: &Path, args: &[&str]) -> Output {
    Command::new(program).args(args).env("LD_LIBRARY_PATH", libraries()).output().unwrap()
}

#[test]
fn example() {
    let dir = tempfile::tempdir().unwrap();
    let (program, model) = (dir.path().join("run"), dir.path().join("model.bm"));
    compile(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/run.c"), &program);
    std::fs::write(&model, affine().bytes()).unwrap();
    let model = model.to_str().unwrap();
    for threads in ["1", "2"] {
        let out = run(&program, &[model, threads, "N=2", "C=3"]);
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(text, "input x 2x3\noutput y 2x3 -1 2 5 8 11 14\n");
    }
    for (args, expected) in [
        (vec![model, "1", "N=65"], "cannot run: input `x`: axis 0 (`N`) is 65, allowed are 1 to 64"),
        (vec!["/no/such/file"], "cannot open the model: /no/such/file"),
    ] {
        let out = run(&program, &args);
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.code() == Some(1) && text.contains(expected), "{text}");
    }
}

/// The header needs nothing included before it.
#[test]
fn header_compiles_alone() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("only.c");
    std::fs::write(&source, "#include \"beiming.h\"\nint main(void) { return beiming_version()[0] == 0; }\n").unwrap();
    compile(&source, &dir.path().join("only"));
    assert!(run(&dir.path().join("only"), &[]).status.success());
}

fn error() -> String {
    unsafe { CStr::from_ptr(beiming_last_error()) }.to_str().unwrap().to_string()
}

fn open(bytes: &[u8]) -> *mut beiming_module {
    let mut m = null_mut();
    let status = unsafe { beiming_module_open_memory(bytes.as_ptr().cast(), bytes.len(), &mut m) };
    assert_eq!(status, beiming_status::OK, "{}", error());
    m
}

fn output() -> beiming_output {
    beiming_output { buffer: null_mut(), capacity: 0, data: null(), bytes: 0, dtype: 0, rank: 0, shape: null() }
}

#[test]
fn runs_with_either_memory() {
    let module = open(&affine().bytes());
    let mut port = beiming_port { name: null(), dtype: 0, rank: 0, shape: null(), dims: null() };
    unsafe {
        assert_eq!((beiming_module_input_count(module), beiming_module_output_count(module)), (1, 1));
        assert_eq!(beiming_module_input(module, 0, &mut port), beiming_status::OK);
        assert_eq!((CStr::from_ptr(port.name).to_str(), port.dtype, port.rank), (Ok("x"), DType::F32 as u32, 2));
        assert_eq!((*port.shape, CStr::from_ptr(*port.dims).to_str()), (-1, Ok("N")));
        let mut session = null_mut();
        assert_eq!(beiming_session_create(module, 2, &mut session), beiming_status::OK);
        for rows in [2i64, 5, 1] {
            let (x, shape) = (ramp(rows * 3), [rows, 3]);
            let input = beiming_input {
                name: port.name,
                dtype: port.dtype,
                rank: 2,
                shape: shape.as_ptr(),
                data: x.as_ptr().cast(),
                bytes: x.len() * 4,
            };
            let mut memory = [0f32; 15];
            let mut own = output();
            own.buffer = memory.as_mut_ptr().cast();
            own.capacity = 60;
            for mut o in [output(), own] {
                assert_eq!(beiming_session_run(session, &input, 1, &mut o, 1), beiming_status::OK, "{}", error());
                assert!(o.buffer.is_null() || o.data == o.buffer);
                assert_eq!((o.rank, o.bytes, o.dtype), (2, x.len() * 4, DType::F32 as u32));
                assert_eq!(std::slice::from_raw_parts(o.shape, 2), shape);
                assert_eq!(std::slice::from_raw_parts(o.data.cast::<f32>(), x.len()), affine_of(&x));
            }
        }
        // A session outlives its module's handle.
        assert_eq!(beiming_module_close(module), beiming_status::OK);
        let x = [1f32];
        let name = CString::new("x").unwrap();
        let input =
            beiming_input { name: name.as_ptr(), dtype: 2, rank: 2, shape: [1, 1].as_ptr(), data: x.as_ptr().cast(), bytes: 4 };
        let mut o = output();
        assert_eq!(beiming_session_run(session, &input, 1, &mut o, 1), beiming_status::OK);
        assert_eq!(beiming_session_destroy(session), beiming_status::OK);
    }
}

#[test]
fn wrong_arguments_are_errors() {
    let bytes = affine().bytes();
    let module = open(&bytes);
    let mut session = null_mut();
    let name = CString::new("x").unwrap();
    let latin = CString::new([0xe9u8]).unwrap();
    let x = ramp(6);
    let shape = [2i64, 3];
    let input =
        || beiming_input { name: name.as_ptr(), dtype: 2, rank: 2, shape: shape.as_ptr(), data: x.as_ptr().cast(), bytes: 24 };
    let mut o = output();
    let mut port = beiming_port { name: null(), dtype: 0, rank: 0, shape: null(), dims: null() };
    let garbage = [1u8; 64];
    let mut m = null_mut();
    unsafe {
        assert_eq!(beiming_session_create(module, 1, &mut session), beiming_status::OK);
        let stray = garbage.as_ptr().cast_mut();
        let run = |i: &beiming_input, o: &mut beiming_output| beiming_session_run(session, i, 1, o, 1);
        let mut with = |edit: &dyn Fn(&mut beiming_input)| {
            let mut i = input();
            edit(&mut i);
            run(&i, &mut o)
        };
        use beiming_status::*;
        let cases = [
            ("no element type", INPUT, with(&|i| i.dtype = 99)),
            ("null", ARGUMENT, with(&|i| i.name = null())),
            ("UTF-8", ARGUMENT, with(&|i| i.name = latin.as_ptr())),
            ("null", ARGUMENT, with(&|i| i.shape = null())),
            ("null", ARGUMENT, with(&|i| i.data = null())),
            ("not aligned", ARGUMENT, with(&|i| i.shape = i.shape.cast::<u8>().add(1).cast())),
            ("more than memory", ARGUMENT, with(&|i| i.rank = usize::MAX)),
            ("20 bytes", INPUT, with(&|i| i.bytes = 20)),
        ];
        let texts: Vec<_> = cases.iter().map(|c| (c.1, c.2)).collect();
        assert!(texts.iter().all(|(want, got)| want == got), "{texts:?}");
        assert_eq!(run(&input(), &mut o), OK);

        let check = |expected: &str, want: beiming_status, got: beiming_status| {
            assert_eq!(got, want, "{expected}");
            assert!(error().contains(expected), "{}", error());
        };
        check("null", ARGUMENT, beiming_module_open(null(), &mut m));
        check("null", ARGUMENT, beiming_module_open(name.as_ptr(), null_mut()));
        check("x: ", IO, beiming_module_open(name.as_ptr(), &mut m));
        check("null", ARGUMENT, beiming_module_open_memory(null(), 5, &mut m));
        check("not a Beiming artifact", FORMAT, beiming_module_open_memory(garbage.as_ptr().cast(), 64, &mut m));
        check("not a Beiming artifact", FORMAT, beiming_module_open_memory(null(), 0, &mut m));
        check("truncated", TRUNCATED, beiming_module_open_memory(bytes.as_ptr().cast(), bytes.len() - 1, &mut m));
        let mut altered = bytes.clone();
        altered[5000] ^= 1;
        check("altered", ALTERED, beiming_module_open_memory(altered.as_ptr().cast(), bytes.len(), &mut m));
        altered[8] ^= 2;
        check("version 3", VERSION, beiming_module_open_memory(altered.as_ptr().cast(), bytes.len(), &mut m));
        assert!(m.is_null());
        check("index 1 of 1", ARGUMENT, beiming_module_input(module, 1, &mut port));
        check("null", ARGUMENT, beiming_module_output(module, 0, null_mut()));
        check("null", ARGUMENT, beiming_session_create(module, 1, null_mut()));
        check("at most", ARGUMENT, beiming_session_create(module, usize::MAX, &mut session));
        check("2 outputs", ARGUMENT, beiming_session_run(session, &input(), 1, [output(), output()].as_mut_ptr(), 2));
        check("null", ARGUMENT, beiming_session_run(session, null(), 1, &mut o, 1));
        check("null", ARGUMENT, beiming_session_run(session, &input(), 1, null_mut(), 1));
        let mut memory = [0f32; 2];
        let mut small = output();
        small.buffer = memory.as_mut_ptr().cast();
        small.capacity = 8;
        check("8 bytes", OUTPUT, beiming_session_run(session, &input(), 1, &mut small, 1));

        // Handles that are none: null, of the other kind, stray, closed.
        for h in [null_mut(), session.cast(), stray.cast()] {
            check("not a module", ARGUMENT, beiming_module_input(h, 0, &mut port));
            check("not a module", ARGUMENT, beiming_session_create(h, 1, &mut session.clone()));
            assert_eq!(beiming_module_input_count(h), 0);
        }
        for h in [null_mut(), module.cast(), stray.cast()] {
            check("not a session", ARGUMENT, beiming_session_run(h, &input(), 1, &mut o, 1));
        }
        assert_eq!((beiming_module_close(null_mut()), beiming_session_destroy(null_mut())), (OK, OK));
        check("not a module", ARGUMENT, beiming_module_close(session.cast()));
        check("not a session", ARGUMENT, beiming_session_destroy(module.cast()));
        assert_eq!((beiming_session_destroy(session), beiming_module_close(module)), (OK, OK));
        check("destroyed", ARGUMENT, beiming_session_destroy(session));
        check("closed", ARGUMENT, beiming_module_close(module));
        check("destroyed", ARGUMENT, beiming_session_run(session, &input(), 1, &mut o, 1));
        // Each thread has its own text.
        std::thread::spawn(|| assert_eq!(error(), "")).join().unwrap();
        assert_eq!(CStr::from_ptr(beiming_version()).to_str().unwrap(), env!("CARGO_PKG_VERSION"));
    }
}
