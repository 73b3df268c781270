//! Running the functions of a module: evaluated, and as machine code, each held against the program's own checks.

use std::path::Path;

use beiming::Options;
use beiming::import::stablehlo::translate::Translation;
use beiming_ir::graph::Graph;
use beiming_ir::target::Target;
use beiming_ir::tensor::Tensor;
use beiming_tests::compiled;

use crate::case::{Mode, Programs, guarded};
use crate::{compare, exact, open};

/// What came of running the functions of a module.
#[derive(Default)]
pub struct Ran {
    /// What went wrong in the evaluator.
    pub eval: Option<String>,
    /// What went wrong in the compiled program.
    pub cpu: Option<String>,
    /// All that the evaluator's checks found wrong is nearer to the exact values than what the suite expects.
    pub eval_nearer: bool,
    /// The same of the compiled program.
    pub cpu_nearer: bool,
    /// Checks that the program makes.
    pub checks: usize,
}

/// A program that did not give what it should.
struct Miss {
    message: String,
    nearer: bool,
}

impl From<String> for Miss {
    fn from(message: String) -> Miss {
        Miss { message, nearer: false }
    }
}

/// Runs the functions that were translated from the module in `path`.
pub fn programs(path: &Path, programs: &Programs, mode: Mode, only_eval: bool) -> Ran {
    let mut ran = Ran::default();
    for (name, t) in programs.iter().filter_map(|(n, p)| Some((n, p.as_ref().ok()?))) {
        if t.checks.is_empty() && t.lifted.is_empty() && open::is_open(&t.graph) {
            ran.checks += 1;
            match guarded(|| Ok::<_, String>(open::run(path, name, t, mode, only_eval))) {
                Ok(judged) => {
                    ran.eval = ran.eval.take().or(judged.eval.err());
                    ran.cpu = ran.cpu.take().or(judged.cpu.and_then(Result::err));
                }
                Err(e) => ran.eval = Some(e),
            }
            continue;
        }
        // Others that take arguments are not run: there are none. (Artifacts for compatibility have no checks either.)
        if t.checks.is_empty() || t.graph.inputs.len() != t.lifted.len() {
            continue;
        }
        ran.checks += t.checks.len();
        if ran.eval.is_none()
            && let Err(miss) = guarded(|| evaluate(t))
        {
            (ran.eval, ran.eval_nearer) = (Some(miss.message), miss.nearer);
        }
        if !only_eval
            && ran.cpu.is_none()
            && let Err(miss) = guarded(|| compile_and_run(t, mode))
        {
            (ran.cpu, ran.cpu_nearer) = (Some(miss.message), miss.nearer);
        }
    }
    ran
}

fn judge(t: &Translation, outputs: &[Tensor]) -> Result<(), String> {
    for c in &t.checks {
        for k in 0..c.count {
            let (got, want) = (outputs.get(c.first + k), outputs.get(c.first + c.count + k));
            let (Some(got), Some(want)) = (got, want) else { return Err("an output is missing".into()) };
            compare::holds(c.criterion, got, want).map_err(|e| format!("check at {}: {e}", c.place))?;
        }
    }
    Ok(())
}

/// Whether all that checks find wrong is nearer to the exact values than what they expect.
fn nearer(t: &Translation, outputs: &[Tensor]) -> bool {
    let Some(exact) = exact::outputs(&t.graph, &t.lifted) else { return false };
    let at = |of: &[Tensor], k: usize| of.get(k).cloned();
    t.checks.iter().flat_map(|c| (c.first..c.first + c.count).map(move |k| (c, k))).all(|(c, k)| {
        match (at(outputs, k), at(outputs, k + c.count), at(&exact, k)) {
            (Some(got), Some(want), Some(e)) => compare::nearer(c.criterion, &got, &want, &e),
            _ => false,
        }
    })
}

/// What is wrong, and whether that is nearer to the exact values.
fn judged(t: &Translation, outputs: &[Tensor]) -> Result<(), Miss> {
    judge(t, outputs).map_err(|message| Miss { message, nearer: nearer(t, outputs) })
}

fn evaluate(t: &Translation) -> Result<(), Miss> {
    beiming_ir::verify::graph(t.graph.clone()).map_err(|e| format!("verify: {e}"))?;
    let outputs = beiming_ir::eval::graph(&t.graph, &t.lifted).map_err(|e| e.to_string())?;
    judged(t, &outputs)
}

fn compile_and_run(t: &Translation, mode: Mode) -> Result<(), Miss> {
    judged(t, &run(&t.graph, &t.lifted, mode)?)
}

/// A graph as machine code of this machine's CPU, run.
pub fn run(g: &Graph, inputs: &[Tensor], mode: Mode) -> Result<Vec<Tensor>, String> {
    let mut options = Options::default();
    if mode == Mode::AsWritten {
        options.as_written();
    }
    let c = compiled::compile_with(g, &Target::host(), &options.optimize, &options.lower)?;
    let code = compiled::emit_plain(&c.program)?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path = folder.path().join("case.bm");
    compiled::write(&path, "case", &c.program, &code)?;
    let names = g.inputs.iter().map(|v| g.value(*v).name.to_string());
    let inputs: Vec<(String, Tensor)> = names.zip(inputs.iter().cloned()).collect();
    compiled::run_here(&path, &inputs, 1)
}
