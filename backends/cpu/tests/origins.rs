//! The origins of lines: that they change nothing, and that they are right.

mod support;

use std::collections::BTreeSet;

use beiming_cpu::{EmitOptions, Listings, emit_kernels};
use beiming_ir::kernel::{Expr, Kernel};
use beiming_ir::ops::UnaryOp;
use beiming_ir::target::Target;
use beiming_ir::text::{parse_kernel, print_kernel};

const LOOPS: &str = "kernel loops(N) {
  param %x : f32[N, 8] read
  param %y : f32[N] write
  local %panel : f32[8] panel
  local %sum : f32[1] register
  grid (i0 < N)
  copy (i1 < 8) %panel[i1] = %x[i0, i1]
  wait %panel \"packed\"
  %sum[0] = 0.0:f32
  vector for i2 < 8 {
    %sum[0] sum= tanh(%panel[i2])
  }
  if i0 > 3 {
    %sum[0] = exp(%sum[0])
  }
  %y[i0] = %sum[0]
}
";

fn kernels() -> Vec<Kernel> {
    let texts = [LOOPS.to_string(), support::matmul(6, 64, 33), support::matmul(8, 12, 768)];
    texts.iter().map(|t| parse_kernel(t).unwrap_or_else(|e| panic!("{e}\n{t}"))).collect()
}

fn listings(t: &Target) -> Vec<Listings> {
    let options = EmitOptions { origins: true, threads: 1, llvm_ir: true, assembly: true };
    emit_kernels(&kernels(), t, &options).expect("code").listings
}

/// Instructions of an assembly: what is neither label nor directive nor comment.
fn instructions(text: &str) -> Vec<&str> {
    text.lines().filter(|l| l.starts_with('\t') && !l.trim_start().starts_with(['.', '#', '/'])).collect()
}

#[test]
fn asking_for_origins_changes_neither_the_library_nor_the_code() {
    for t in [Target::x86_64_v4(), Target::x86_64_v3(), Target::kunpeng920()] {
        let emit = |origins| {
            let options = EmitOptions { origins, threads: 1, llvm_ir: true, assembly: true };
            emit_kernels(&kernels(), &t, &options).expect("code")
        };
        let (plain, asked) = (emit(false), emit(true));
        assert!(plain.library == asked.library && plain.llvm_ir == asked.llvm_ir && plain.assembly == asked.assembly);
        assert!(plain.listings.is_empty() && asked.listings.len() == kernels().len());
        // The texts that know their origins are those of the code that is shipped.
        let of_listings: Vec<&str> = asked.listings.iter().flat_map(|l| instructions(&l.assembly.text)).collect();
        let assembly = plain.assembly.unwrap_or_default();
        let shipped = instructions(&assembly);
        let first = of_listings.iter().zip(&shipped).position(|(a, b)| a != b);
        assert!(first.is_none() && of_listings.len() == shipped.len(), "{}: {first:?}", t.name);
        let llvm = plain.llvm_ir.unwrap_or_default();
        for l in &asked.listings {
            let body = |text: &str| text.lines().skip(1).map(str::to_string).collect::<Vec<_>>().join("\n");
            assert!(llvm.contains(&body(&l.llvm_ir.text)), "{}:\n{}", t.name, l.llvm_ir.text);
        }
    }
}

#[test]
fn every_line_names_a_statement_and_an_expression_of_the_kernel() {
    for t in [Target::x86_64_v4(), Target::kunpeng920()] {
        for (k, l) in kernels().iter().zip(listings(&t)) {
            let text = print_kernel(k);
            let lines: Vec<&str> = text.lines().collect();
            for listing in [&l.llvm_ir, &l.assembly] {
                assert_eq!(listing.text.lines().count(), listing.origins.len());
                let code: Vec<_> =
                    listing.text.lines().zip(&listing.origins).filter(|(l, _)| l.starts_with(['\t', ' '])).collect();
                let known = code.iter().filter(|(_, o)| o.is_some()).count();
                // What LLVM moves out of loops or merges (constants, addresses) has no one place any more.
                assert!(known * 2 >= code.len(), "{} {}: {known} of {}", t.name, k.name, code.len());
                for o in listing.origins.iter().flatten() {
                    assert!(o.line as usize <= lines.len(), "{o:?}");
                    assert!(o.expr.is_none_or(|e| e.index() < k.exprs.len() + 8), "{o:?}");
                }
            }
        }
    }
}

#[test]
fn functions_and_products_come_from_their_statements() {
    let t = Target::x86_64_v4();
    let all = listings(&t);
    let k = &kernels()[0];
    let text = print_kernel(k);
    let line_of = |part: &str| text.lines().position(|l| l.contains(part)).expect("a line") as u32 + 1;
    let tanh = k.exprs.iter().position(|e| matches!(e, Expr::Unary(UnaryOp::Tanh, _))).expect("tanh");
    let llvm = &all[0].llvm_ir;
    let of_tanh: BTreeSet<u32> =
        llvm.origins.iter().flatten().filter(|o| o.expr.is_some_and(|e| e.index() == tanh)).map(|o| o.line).collect();
    assert_eq!(of_tanh, BTreeSet::from([line_of("tanh")]));
    // The branch of the `if`, and what stands in it.
    let lines: BTreeSet<u32> = llvm.origins.iter().flatten().map(|o| o.line).collect();
    for part in ["copy", "if i0", "exp(", "%y[i0] ="] {
        assert!(lines.contains(&line_of(part)), "{part}: {lines:?}");
    }
    let product = print_kernel(&kernels()[1]);
    let mma = product.lines().position(|l| l.contains("mma")).expect("a product") as u32 + 1;
    for l in all[1].assembly.text.lines().zip(&all[1].assembly.origins).filter(|(l, _)| l.contains("vfmadd")) {
        assert_eq!(l.1.map(|o| o.line), Some(mma), "{}", l.0);
    }
}
