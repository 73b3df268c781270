//! The compiler's errors as diagnostics: your model, not supported yet, our bug, your machine, each with an exit code of its own.

use std::path::Path;

use beiming_cpu::EmitError;
use beiming_ir::graph::Loc;
use beiming_ir::plan::Program;
use beiming_ir::text::Constants;
use beiming_ir::verify::VerifyErrors;
use beiming_passes::lower::{LowerError, LowerErrors};

use super::diagnostic::{Diagnostic, Place};
use super::failure::{Exit, Failure};
use crate::artifact::WriteError;
use crate::driver::CompileError;
use crate::import::{self, Code, ImportError, ModelError, UnsupportedOp};
use crate::stage::{self, StageError};

/// Diagnostics that are shown of one kind; a broken model can have a wrong node on every line.
const SHOWN: usize = 50;

impl Failure {
    /// An error of compiling `model`.
    pub fn compile(model: &Path, e: CompileError) -> Failure {
        match e {
            CompileError::Import(e) => Failure::import(model, &e),
            CompileError::Pass(e) => bug("E9002", format!("a pass stopped: {e}"), model)
                .help("`--emit graph` writes the graph that the passes were given"),
            CompileError::Lower(e) => lower(model, &e),
            CompileError::Verify { errors, program } => refused(model, &errors, &program),
            CompileError::Emit(e) => emit(model, &e),
            // Lowering makes no kernel that has no spelling.
            CompileError::Ascend(e) => bug("E9004", e.to_string(), model),
            CompileError::Write(WriteError::File(e)) => Failure::runtime(model, &e),
            CompileError::Write(WriteError::Io(e)) => Failure::io("write the artifact", model, &e),
            CompileError::Write(e @ WriteError::Program(_)) => bug("E9003", e.to_string(), model),
            CompileError::Stage(what) => Failure::new(Exit::Usage, Diagnostic::error("E0501", what).in_file(model)),
            CompileError::Output { path, source } => Failure::io("write", &path, &source),
        }
    }

    /// An error of reading `model`.
    pub fn import(model: &Path, e: &ImportError) -> Failure {
        match e {
            ImportError::Io { path, source } => Failure::io("read", path, source),
            ImportError::Unsupported { ops } => Failure::new(Exit::Unsupported, unsupported(model, ops)),
            ImportError::Invalid { errors, unsupported: ops } => {
                let exit = if errors.iter().all(|e| e.code == Code::Option) { Exit::Usage } else { Exit::BadModel };
                let mut diagnostics: Vec<Diagnostic> = errors.iter().take(SHOWN).map(|e| model_error(model, e)).collect();
                if errors.len() > SHOWN {
                    let more = format!("{} more errors of this kind are not shown", errors.len() - SHOWN);
                    diagnostics.push(Diagnostic::error(errors[SHOWN].code.as_str(), more).in_file(model));
                }
                if !ops.is_empty() {
                    diagnostics.push(unsupported(model, ops));
                }
                Failure { exit, diagnostics }
            }
        }
    }

    /// An error of reading the text of a stage.
    pub fn stage(file: &Path, e: &StageError) -> Failure {
        match e {
            StageError::Io { path, source } => Failure::io("read", path, source),
            StageError::Parse(e) => {
                // The error's own text starts with the place, which stands elsewhere here.
                let whole = e.to_string();
                let excerpt = whole.split_once('\n').map_or("", |x| x.1).replace("\n  | ", "\n").replace("  | ", "");
                let at = Place {
                    file: file.display().to_string(),
                    at: format!("{}:{}", e.line, e.column),
                    why: excerpt,
                    ..Place::default()
                };
                Failure::new(Exit::BadModel, Diagnostic::error("E1001", e.message.clone()).at(at))
            }
            StageError::Invalid(errors) => Failure::new(Exit::BadModel, findings("E1002", file, errors)),
        }
    }
}

/// What cannot be lowered: nodes in one diagnostic, the plan as a whole in one of its own.
fn lower(model: &Path, e: &LowerErrors) -> Failure {
    let (tiles, others): (Vec<&LowerError>, Vec<_>) = e.0.iter().partition(|x| x.op == "tile");
    if others.is_empty() {
        let one =
            |x: &&LowerError| Diagnostic::error("E0501", format!("no such tile for {}: {}", x.target, x.why)).in_file(model);
        return Failure { exit: Exit::Usage, diagnostics: tiles.iter().map(one).collect() };
    }
    let (plan, nodes): (Vec<&LowerError>, Vec<_>) = others.into_iter().partition(|x| x.op == "plan");
    let whole = |x: &&LowerError| {
        let at = Place { file: model.display().to_string(), wants: x.wants.clone(), ..Place::default() };
        Diagnostic::error("E0604", format!("no plan for {}: {}", x.target, x.why)).at(at)
    };
    let mut diagnostics: Vec<Diagnostic> = plan.iter().map(whole).collect();
    if let Some(first) = nodes.first() {
        let what = count(nodes.len(), "operation");
        let mut d = Diagnostic::error("E0601", format!("{what} cannot be compiled for {}", first.target));
        d.places = nodes.iter().take(SHOWN).map(|x| place(model, &x.node, format!("`{}`: {}", x.op, x.why))).collect();
        let more = nodes.len().saturating_sub(SHOWN);
        diagnostics.push(if more > 0 { d.note(format!("and {more} more")) } else { d });
    }
    Failure { exit: Exit::Unsupported, diagnostics }
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn place(model: &Path, loc: &Loc, why: String) -> Place {
    Place {
        file: model.display().to_string(),
        at: loc.place.to_string(),
        node: loc.name.to_string(),
        op: loc.op.to_string(),
        why,
        wants: vec![],
    }
}

/// The line of a text at a place and its caret, without the gutter that diagnostics draw themselves.
fn excerpt(model: &Path, place: &str) -> String {
    let lines = import::excerpt(model, place).unwrap_or_default();
    let inner = |l: &str| l.split_once('|').map_or("", |x| x.1).strip_prefix(' ').unwrap_or_default().to_string();
    lines.lines().skip(1).map(inner).collect::<Vec<_>>().join("\n")
}

fn model_error(model: &Path, e: &ModelError) -> Diagnostic {
    let d = Diagnostic::error(e.code.as_str(), e.message.clone()).at(place(model, &e.loc, excerpt(model, &e.loc.place)));
    match e.code {
        Code::NotOnnx => d.help("beiming reads ONNX and StableHLO models, the text of its own stages, and artifacts"),
        Code::Opset => d.help("export the model with an opset of that range"),
        Code::Undefined | Code::Cycle | Code::Duplicate => d.help("onnx.checker.check_model checks the whole model"),
        Code::BorderType | Code::Dimension => d.help("`--shape NAME:1x3x224x224` and `--dim N=1..64` say what shapes may be"),
        _ => d,
    }
}

fn unsupported(model: &Path, ops: &[UnsupportedOp]) -> Diagnostic {
    let op = |o: &UnsupportedOp| {
        let domain = if o.domain.is_empty() { String::new() } else { format!("{}.", o.domain) };
        Place {
            file: model.display().to_string(),
            at: o.place.clone(),
            node: o.name.clone(),
            // StableHLO has no operator sets.
            op: if o.opset == 0 { format!("{domain}{}", o.op) } else { format!("{domain}{}, opset {}", o.op, o.opset) },
            why: [o.why.clone(), excerpt(model, &o.place)].join("\n").trim_end().to_string(),
            wants: o.wants.clone(),
        }
    };
    let (noun, verb) = if ops.len() == 1 { ("operator", "is") } else { ("operators", "are") };
    let message = format!("{} {noun} of the model {verb} not supported", ops.len());
    let mut d = Diagnostic::error("E0002", message);
    d.places = ops.iter().take(SHOWN).map(op).collect();
    if ops.len() > SHOWN { d.note(format!("and {} more", ops.len() - SHOWN)) } else { d }
}

fn emit(model: &Path, e: &EmitError) -> Failure {
    match e {
        EmitError::Stopped => Failure::new(Exit::Usage, Diagnostic::error("E0902", e.to_string()).in_file(model)),
        EmitError::Unsupported { .. } => {
            Failure::new(Exit::Unsupported, Diagnostic::error("E0602", e.to_string()).in_file(model))
        }
        EmitError::Target { .. } => {
            Failure::new(Exit::Unsupported, Diagnostic::error("E0603", e.to_string())).help("`beiming targets` lists the targets")
        }
        EmitError::Llvm { .. } | EmitError::Link(_) => bug("E9004", e.to_string(), model),
    }
}

/// A fault of ours.
fn bug(code: &'static str, message: String, model: &Path) -> Failure {
    let d = Diagnostic::error(code, message).in_file(model);
    Failure::new(Exit::Internal, d.note("this is a bug in beiming; please report it with the model, or the part that shows it"))
}

fn findings(code: &'static str, file: &Path, errors: &VerifyErrors) -> Diagnostic {
    let mut d = Diagnostic::error(code, format!("the IR is not valid: {}", count(errors.0.len(), "finding")));
    let one = |f: &beiming_ir::verify::Finding| Place {
        file: file.display().to_string(),
        at: f.place.clone(),
        why: f.message.clone(),
        ..Place::default()
    };
    d.places = errors.0.iter().take(SHOWN).map(one).collect();
    if errors.0.len() > SHOWN { d.note(format!("and {} more", errors.0.len() - SHOWN)) } else { d }
}

/// What our passes made and our verifier refused, with the file that shows it.
fn refused(model: &Path, errors: &VerifyErrors, program: &Program) -> Failure {
    let mut d = findings("E9001", model, errors);
    d.message = format!("the compiler made a program that is not valid: {}", count(errors.0.len(), "finding"));
    // Constants are not needed to see what is wrong.
    let text = stage::program_text("", program, &Default::default(), Constants::External(&mut vec![]));
    let path = std::env::temp_dir().join(format!("beiming-bug-{}.txt", std::process::id()));
    let written = std::fs::OpenOptions::new().write(true).create_new(true).open(&path);
    if written.and_then(|mut f| std::io::Write::write_all(&mut f, text.as_bytes())).is_ok() {
        d = d.note(format!("the program is in {}", path.display()));
        d.dump = Some(path);
    }
    Failure::new(Exit::Internal, d.note("this is a bug in beiming; please report it with that file"))
}
