//! Every case of `cases/` through the whole compiler, for every target: what each stage makes of it is kept as a snapshot, and
//! every stage's result is run and compared with the meaning of the graph.
//!
//! `CASE=softmax cargo test -p beiming-tests --test cases` tries one. `make bless` accepts new snapshots; read the diff.

use std::panic::{AssertUnwindSafe, catch_unwind};

use beiming_ir::eval;
use beiming_ir::target::Target;
use beiming_ir::tensor::Tensor;
use beiming_ir::text::{Constants, parse_program, print_graph, print_program};
use beiming_tests::case::{self, Case};
use beiming_tests::{Named, agree, compiled, disassembly, repository};

fn cases() -> Vec<Case> {
    case::all(&repository("tests/cases"))
}

fn targets() -> [Target; 3] {
    [Target::x86_64_v3(), Target::x86_64_v4(), Target::kunpeng920()]
}

/// Tries all cases, and then fails with everything that went wrong.
fn each(what: impl Fn(&Case) -> Result<(), String>) {
    let wrong: Vec<String> = cases().iter().filter_map(|c| what(c).err().map(|e| format!("{}: {e}", c.name))).collect();
    assert!(wrong.is_empty(), "{} cases failed\n{}", wrong.len(), wrong.join("\n"));
}

/// The inputs of every run of a case and what the graph makes of them.
fn runs(c: &Case) -> Result<Vec<(Named, Vec<Tensor>)>, String> {
    let one = |dims| {
        let inputs = c.inputs(dims);
        let tensors: Vec<Tensor> = inputs.iter().map(|x| x.1.clone()).collect();
        eval::graph(&c.graph, &tensors).map(|want| (inputs, want)).map_err(|e| format!("the graph: {e}"))
    };
    c.dims.iter().map(one).collect()
}

#[test]
fn the_text_is_the_graphs_own() {
    each(|c| {
        let g = beiming_ir::text::parse_graph(&c.text, &[]).map_err(|e| e.to_string())?;
        let printed = print_graph(&g, Constants::Inline);
        if printed == c.text { Ok(()) } else { Err(format!("is not as it prints; it should be\n{printed}")) }
    });
}

#[test]
fn snapshots() {
    each(|c| {
        for target in targets() {
            let at = |e: String| format!("{}: {e}", target.name);
            let done = compiled::compile(&c.graph, &target).map_err(at)?;
            // Weights are random: their bytes are left out.
            let (mut a, mut b) = (vec![], vec![]);
            let fused = print_graph(&done.graph, Constants::External(&mut a));
            let program = print_program(&done.program, Constants::External(&mut b));
            let again = parse_program(&program, &b).map_err(|e| at(format!("the program's text: {e}")))?;
            if print_program(&again, Constants::External(&mut vec![])) != program {
                return Err(at("the program prints otherwise after it is read back".into()));
            }
            snapshot(c, &target, "fused", &fused)?;
            // Nor the target's numbers: where they matter, the kernels differ.
            let kernels: String = program.lines().filter(|l| !l.starts_with("target ")).map(|l| format!("{l}\n")).collect();
            snapshot(c, &target, "kernels", &kernels)?;
            if !c.show.is_empty() {
                let code = compiled::emit(&done.program).map_err(at)?;
                for (stage, text) in [("llvm", &code.llvm_ir), ("assembly", &code.assembly)] {
                    if c.show.iter().any(|s| s == stage) {
                        snapshot(c, &target, stage, text.as_deref().unwrap_or_default())?;
                    }
                }
            }
        }
        Ok(())
    });
}

/// Compares with `snapshots/CASE/STAGE.TARGET.snap`.
fn snapshot(c: &Case, target: &Target, stage: &str, text: &str) -> Result<(), String> {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(format!("../snapshots/{}", c.name));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let name = format!("{stage}.{}", target.name);
    let compare = || settings.bind(|| insta::assert_snapshot!(name.as_str(), text));
    catch_unwind(AssertUnwindSafe(compare)).map_err(|_| format!("{name} is not the snapshot"))
}

#[test]
fn programs_mean_what_the_graph_means() {
    each(|c| {
        let runs = runs(c)?;
        for target in targets() {
            let program = compiled::compile(&c.graph, &target)?.program;
            for (inputs, want) in &runs {
                let tensors: Vec<Tensor> = inputs.iter().map(|x| x.1.clone()).collect();
                let got = eval::program(&program, &tensors).map_err(|e| format!("{}: {e}", target.name))?;
                agree::tensors(want, &got, c.tolerance).map_err(|e| format!("{}: {e}", target.name))?;
            }
        }
        Ok(())
    });
}

#[test]
fn code_runs_on_this_machine() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    each(|c| {
        let runs = runs(c)?;
        for target in compiled::native_targets() {
            let at = |e: String| format!("{}: {e}", target.name);
            let program = compiled::compile(&c.graph, &target)?.program;
            let code = compiled::emit(&program).map_err(at)?;
            let path = folder.path().join(format!("{}.bmg", target.name));
            compiled::write(&path, &c.name, &program, &code).map_err(at)?;
            for (inputs, want) in &runs {
                let one = compiled::run_here(&path, inputs, 1).map_err(at)?;
                agree::tensors(want, &one, c.tolerance).map_err(at)?;
                let two = compiled::run_here(&path, inputs, 2).map_err(at)?;
                if one.iter().zip(&two).any(|(a, b)| a.bytes() != b.bytes()) {
                    return Err(at("two threads compute something else than one".into()));
                }
            }
        }
        Ok(())
    });
}

#[test]
fn code_runs_on_kunpeng_under_qemu() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let target = Target::kunpeng920();
    each(|c| {
        let program = compiled::compile(&c.graph, &target)?.program;
        let code = compiled::emit(&program)?;
        if !program.kernels.is_empty() {
            disassembly::within(&code.library, &target, folder.path())?;
        }
        let path = folder.path().join("kunpeng920.bmg");
        compiled::write(&path, &c.name, &program, &code)?;
        for (inputs, want) in &runs(c)? {
            let got = compiled::run_under_qemu(&path, inputs, folder.path())?;
            agree::tensors(want, &got, c.tolerance)?;
        }
        Ok(())
    });
}
