//! What the library is, beside what its kernels compute: reproducible, alone, within the target's features, and tight in the
//! loop that matters.

mod support;

use std::process::Command;

use beiming_cpu::{EmitError, EmitOptions, disasm, emit_kernel, emit_kernels};
use beiming_ir::kernel::Kernel;
use beiming_ir::target::Target;
use beiming_ir::text::parse_kernel;

fn elementwise(name: &str, value: &str) -> Kernel {
    let text = format!(
        "kernel {name}(N) {{
  param %x : f32[N] read
  param %h : f16[N] read
  param %y : f32[N] write
  vector for i0 < dim(N) {{
    %y[i0] = {value}
  }}
}}
"
    );
    parse_kernel(&text).expect("a kernel")
}

fn kernels() -> Vec<Kernel> {
    let mut k: Vec<Kernel> = ["exp", "tanh", "erf", "sigmoid", "log", "sin"]
        .iter()
        .map(|f| elementwise(f, &format!("{f}(%x[i0]) + cast(f32, %h[i0])")))
        .collect();
    k.push(elementwise("power", "pow(%x[i0], cast(f32, %h[i0]))"));
    k.push(elementwise("copy", "%x[i0]"));
    k.push(elementwise("zero", "0.0:f32"));
    for (mr, nr) in [(6, 64), (8, 12), (4, 16)] {
        k.push(parse_kernel(&support::matmul(mr, nr, 33)).expect("a kernel"));
    }
    k
}

#[test]
fn the_same_kernels_give_the_same_bytes() {
    for t in [Target::x86_64_v4(), Target::x86_64_v3(), Target::kunpeng920(), Target::aarch64()] {
        let emit = |threads| emit_kernels(&kernels(), &t, &EmitOptions { threads, ..Default::default() }).expect("code");
        let (a, b) = (emit(1), emit(3));
        assert!(a.library == b.library, "{}", t.name);
        assert_eq!(a.symbols, b.symbols);
        assert!(a.symbols[0] == "k0000_exp" && a.symbols.len() == kernels().len());
    }
}

#[test]
fn the_library_exports_its_table_and_needs_nothing() {
    for t in [Target::x86_64_v4(), Target::kunpeng920()] {
        let code = emit_kernels(&kernels(), &t, &EmitOptions::default()).expect("code");
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("lib.so");
        std::fs::write(&file, &code.library).expect("written");
        let tool = |args: &[&str]| {
            let out = Command::new("llvm-readelf-22").args(args).arg(&file).output().expect("llvm-readelf-22 runs");
            String::from_utf8_lossy(&out.stdout).into_owned()
        };
        let symbols = tool(&["--dyn-symbols"]);
        let named: Vec<&str> = symbols.lines().filter_map(|l| l.split_whitespace().nth(7)).filter(|n| *n != "Name").collect();
        assert_eq!(named, ["beiming_kernels"], "{symbols}");
        let dynamic = tool(&["--dynamic"]);
        assert!(!dynamic.contains("NEEDED"), "{dynamic}");
        assert!(!tool(&["-S"]).contains("build-id"));
    }
}

#[test]
fn kunpeng_code_stays_within_tsv110() {
    let t = Target::kunpeng920();
    for k in kernels() {
        let code = emit_kernel(&k, &t).expect("code");
        disasm::reassemble(&code.assembly, &t.triple, &t.cpu, &t.features).unwrap_or_else(|e| panic!("{}: {e}", k.name));
    }
    // The check sees what is not there.
    assert!(disasm::reassemble("ptrue p0.s\n", &t.triple, &t.cpu, "").is_err());
    assert!(disasm::reassemble("bfdot v0.4s, v1.8h, v2.8h\n", &t.triple, &t.cpu, "").is_err());
}

/// Blocks of the assembly with multiply-adds: how many, how many instructions touch the stack, and how many of these move a
/// vector.
fn product_loops(assembly: &str, add: &str, stack: &str, vector: &str) -> Vec<(usize, usize, usize)> {
    let mut blocks = vec![(0, 0, 0)];
    for l in assembly.lines() {
        if l.starts_with(".LBB") {
            blocks.push((0, 0, 0));
        } else if let Some(b) = blocks.last_mut() {
            b.0 += usize::from(l.contains(add));
            b.1 += usize::from(l.contains(stack));
            b.2 += usize::from(l.contains(stack) && l.contains(vector));
        }
    }
    blocks.retain(|b| b.0 >= 12);
    blocks
}

#[test]
fn the_product_loop_does_not_touch_the_stack() {
    for (t, tiles, add, stack, vector) in [
        (Target::x86_64_v4(), vec![(6, 64), (8, 48), (12, 32), (14, 32)], "vfmadd", "(%rsp", "mm"),
        (Target::x86_64_v3(), vec![(6, 16), (4, 24)], "vfmadd", "(%rsp", "mm"),
        (Target::kunpeng920(), vec![(7, 12), (5, 16)], "fmla", "[sp", "\tq"),
    ] {
        for (mr, nr) in tiles {
            let k = parse_kernel(&support::matmul(mr, nr, 768)).expect("a kernel");
            let code = emit_kernel(&k, &t).expect("code");
            let loops = product_loops(&code.assembly, add, stack, vector);
            // Four steps at once, with rows at constant distances. Where rows are guarded each has a pointer of its own, which
            // may be more than there are registers; vectors never are.
            let full = 4 * (mr * nr) as usize / t.lanes(4);
            assert!(loops.iter().any(|l| l.0 >= full && l.1 == 0), "{} {mr}x{nr}: {loops:?}", t.name);
            assert!(loops.iter().all(|l| l.2 == 0), "{} {mr}x{nr}: {loops:?}", t.name);
        }
    }
}

#[test]
fn what_is_not_supported_is_an_error_with_its_place() {
    let text = "kernel c(N) {
  param %x : c64[N] read
  param %y : c64[N] write
  vector for i0 < dim(N) {
    %y[i0] = %x[i0]
  }
}
";
    let e = emit_kernel(&parse_kernel(text).expect("a kernel"), &Target::kunpeng920()).expect_err("complex");
    assert!(matches!(e, EmitError::Unsupported { .. }));
    assert_eq!(e.to_string(), "kernel `c` cannot be written for kunpeng920: element type c64");
}

#[test]
fn symbols_are_plain() {
    let mut k = elementwise("copy", "%x[i0]");
    k.name = "a\"; .globl x\n\u{5317}".into();
    let code = emit_kernels(&[k], &Target::x86_64_v3(), &EmitOptions::default()).expect("code");
    assert_eq!(code.symbols, ["k0000_a____globl_x__"]);
}
