//! The emitted project: built here against the stand-in for AscendCL and run, byte for byte the same at each emission, and its host
//! code held against the ACL headers that torch-npu ships where they are at hand (`make test-acl` fetches them).

use std::path::{Path, PathBuf};
use std::process::Command;

use beiming_ascend::{emit, install, project};
use beiming_ir::eval;
use beiming_ir::graph::Graph;
use beiming_ir::kernel::{Expr, Stmt, Unit};
use beiming_ir::ops::UnaryOp;
use beiming_ir::plan::{Program, Side, Step};
use beiming_ir::target::Target;
use beiming_ir::target::npu::Npu;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::DType;
use beiming_ir::verify;
use beiming_passes::lower::{LowerOptions, lower_reported};
use beiming_passes::transfer;

const CHIP: &str = "ascend910b1";

/// Elementwise ops of several shapes, with a weight, names that would be code, and more than one kernel.
const MODEL: &str = r#"
graph "g" {
  %0 = input "x*/ int a;" : f32[64, 37]
  %1 = input "y" : f32[37]
  %2 = Binary(Add) %0, %1 : f32[64, 37] @ "first\nsecond \\" "Add" ""
  %3 = Unary(Exp) %2 : f32[64, 37]
  output "z" %3
}
"#;

fn graph() -> Graph {
    beiming_ir::text::parse_graph(MODEL, &[]).unwrap_or_else(|e| panic!("{e}"))
}

fn program(g: &Graph) -> (Program, Vec<String>) {
    let target = Target::ascend(CHIP, Target::kunpeng920()).expect("a known chip");
    let (mut program, report) = lower_reported(g, &target, &LowerOptions::default()).unwrap_or_else(|e| panic!("{e}"));
    transfer::run(&mut program);
    let program = verify::program(program).unwrap_or_else(|e| panic!("{e}")).into_inner();
    (program, report.on_host.iter().map(|o| format!("{}: {}", o.ops.join(", "), o.why)).collect())
}

fn files(program: &Program, on_host: &[String]) -> Vec<project::File> {
    let npu = Npu::by_name(CHIP).expect("a known chip");
    let p = project::Project { model: "a model // \\", program, npu: &npu, cpu_kernels: None, on_host };
    project::files(&p).unwrap_or_else(|e| panic!("{e}"))
}

fn write(dir: &Path, files: &[project::File]) {
    for f in files {
        let path = dir.join(&f.path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, &f.bytes).expect("a file");
    }
}

fn run(c: &mut Command) {
    let done = c.output().unwrap_or_else(|e| panic!("{c:?}: {e}"));
    assert!(done.status.success(), "{c:?}: {}", String::from_utf8_lossy(&done.stderr));
}

const WARNINGS: [&str; 5] = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-Wpedantic"];

#[test]
fn built_and_run_on_the_stand_in() {
    let g = graph();
    let (program, on_host) = program(&g);
    assert_eq!((on_host.len(), program.kernels.iter().all(|k| k.side() == Side::Device)), (0, true));
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().join("out");
    write(&out, &files(&program, &on_host));
    let npu = Npu::by_name(CHIP).expect("a known chip");
    let root = install::root(dir.path(), &npu).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(install::root(dir.path(), &npu).unwrap_or_else(|e| panic!("{e}")), root, "built once");
    for k in &program.kernels {
        let folder = out.join("fatbin").join(&k.name);
        std::fs::create_dir_all(&folder).expect("a folder");
        assert_eq!(k.npu.as_ref().map(|n| n.unit), Some(Unit::Vector), "the default kind of the stand-in");
        let mut c = Command::new("g++");
        c.args(["-std=c++17", "-O1", "-fPIC", "-shared"]).arg(format!("-I{}/include", root.display()));
        c.arg(out.join(format!("kernels/{}.cpp", k.name))).arg("-o").arg(folder.join(format!("{}.o", k.name)));
        c.arg(format!("-L{}/lib64", root.display())).args(["-lascendcl", &format!("-Wl,-rpath,{}/lib64", root.display())]);
        run(&mut c);
    }
    let mut c = Command::new("g++");
    c.args(WARNINGS).args(["host/model.cpp", "host/device_acl.cpp", "host/main.cpp", "-o", "main"]).current_dir(&out);
    c.args([format!("-I{}/include", root.display()), format!("-L{}/lib64", root.display())]);
    c.args(["-lascendcl", &format!("-Wl,-rpath,{}/lib64", root.display())]);
    run(&mut c);
    let ramp = |shape: &[usize], step: f64| Tensor::build(DType::F32, shape, |i| Num::Float((i as f64 * step).sin()));
    let inputs = [ramp(&[64, 37], 0.1), ramp(&[37], 0.7)];
    for (i, t) in inputs.iter().enumerate() {
        std::fs::write(out.join(format!("in{i}")), t.bytes()).expect("a file");
    }
    run(Command::new("./main").args(["in0", "in1", "out0"]).current_dir(&out));
    let want = &eval::graph(&g, &inputs).unwrap_or_else(|e| panic!("{e}"))[0];
    let got = std::fs::read(out.join("out0")).expect("the result");
    let got = Tensor::new(DType::F32, want.shape.clone(), got.into()).expect("as many bytes");
    let worst = got.to_f64().iter().zip(want.to_f64()).map(|(g, w)| (g - w).abs() / w.abs().max(1.0)).fold(0.0, f64::max);
    assert!(worst < 1e-5, "{worst}");
    // A file that is too short, and a device that is not there.
    std::fs::write(out.join("short"), [0; 4]).expect("a file");
    for args in [&["short", "in1", "out0"][..], &["-d", "3", "in0", "in1", "out0"], &["in0"]] {
        let done = Command::new("./main").args(args).current_dir(&out).output().expect("it runs");
        assert!(!done.status.success() && !done.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn the_same_bytes_each_time_and_no_name_of_the_model_as_code() {
    let (p, on_host) = program(&graph());
    let first = files(&p, &on_host);
    let (p, on_host) = program(&graph());
    assert_eq!(first, files(&p, &on_host));
    for f in first.iter().filter(|f| f.path.ends_with(".cpp") || f.path == "CMakeLists.txt") {
        let text = String::from_utf8(f.bytes.clone()).expect("text");
        assert!(!text.contains("*/ int a;") && !text.contains("second \\"), "{}", f.path);
    }
    let paths: Vec<&str> = first.iter().map(|f| f.path.as_str()).filter(|p| !p.starts_with("kernels/")).collect();
    let want = [
        "CMakeLists.txt",
        "README.md",
        "host/device.h",
        "host/device_acl.cpp",
        "host/device_cpu.cpp",
        "host/main.cpp",
        "host/model.cpp",
        "host/model.h",
        "manifest.json",
        "weights.bin",
    ];
    assert_eq!(paths, want);
    assert!(p.kernels.iter().all(|k| emit::kernel(k, &Npu::by_name(CHIP).expect("a known chip")).is_ok()));
}

#[test]
fn lines_are_known_by_what_they_spell() {
    let (p, _) = program(&graph());
    let npu = Npu::by_name(CHIP).expect("a known chip");
    for k in p.kernels.iter().filter(|k| k.side() == Side::Device) {
        let listing = emit::located(k, &npu).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(listing.text, emit::kernel(k, &npu).unwrap_or_else(|e| panic!("{e}")));
        assert_eq!(listing.text.lines().count(), listing.lines.len());
        let mut statements = vec![];
        beiming_ir::walk::for_stmts(&k.body, &mut |s| statements.push(s));
        for (n, s) in statements.iter().enumerate() {
            let lines = listing.text.lines().zip(&listing.lines);
            let of: Vec<&str> = lines.filter(|l| l.1.is_some_and(|p| p.statement as usize == n)).map(|l| l.0.trim()).collect();
            let good = match s {
                Stmt::Copy { .. } => of.iter().any(|l| l.contains("DataCopy")),
                Stmt::Vector { value, .. } if matches!(k.exprs[value.index()], Expr::Unary(UnaryOp::Exp, _)) => {
                    matches!(of[..], [l] if l.starts_with("Exp("))
                }
                Stmt::Vector { .. } => of.len() == 1,
                Stmt::Wait { .. } => of.iter().all(|l| l.contains("Queue") || l.contains("PipeBarrier")) && !of.is_empty(),
                _ => true,
            };
            assert!(good, "{}: {s:?}: {of:?}", k.name);
        }
    }
    let project = project::Project { model: "m", program: &p, npu: &npu, cpu_kernels: None, on_host: &[] };
    let host = project::host(&project).unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(host.steps.len(), p.plan.steps.len());
    let (path, text) = &host.files[0];
    assert_eq!(path, "host/model.cpp");
    let lines: Vec<&str> = text.lines().collect();
    for (s, [first, behind]) in p.plan.steps.iter().zip(&host.steps) {
        let of = lines[*first as usize - 1..*behind as usize - 1].join("\n");
        let want = match s {
            Step::Launch(l) => &p.kernels[l.kernel as usize].name,
            _ => "device.to_",
        };
        assert!(of.contains(want), "{s:?}: {of}");
    }
}

/// `BEIMING_ACL_HEADERS`, or where `make test-acl` puts them.
fn headers() -> PathBuf {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build/acl-headers");
    std::env::var_os("BEIMING_ACL_HEADERS").map_or(fetched, PathBuf::from)
}

#[test]
fn host_code_suits_the_headers_that_torch_npu_ships() {
    let headers = headers();
    if !headers.join("acl/acl.h").is_file() {
        // Loud, and counted by whoever reads the output: the package has 44 MB and is not fetched for every test run.
        eprintln!("NOT RUN (1): no ACL headers of torch-npu in {}; `make test-acl` fetches them", headers.display());
        return;
    }
    let (p, on_host) = program(&graph());
    let dir = tempfile::tempdir().expect("a temporary folder");
    write(dir.path(), &files(&p, &on_host));
    for file in ["host/model.cpp", "host/device_acl.cpp", "host/main.cpp"] {
        let mut c = Command::new("g++");
        c.args(["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-isystem"]).arg(&headers).arg(file);
        run(c.current_dir(dir.path()));
    }
    eprintln!("run: 3 files of host code against the headers in {}", headers.display());
}
