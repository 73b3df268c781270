//! Reading StableHLO, in the three forms in which it is written: MLIR text (pretty, generic, mixed), portable artifacts (VHLO
//! bytecode) and files of `jax.export`.
//!
//! Every form is read into the same [`syntax::Module`]; one translation makes a graph of that.

pub mod bytecode;
pub mod export;
pub mod syntax;
pub mod text;
pub mod translate;

use std::sync::Arc;

use beiming_ir::graph::{Graph, Loc};
use beiming_ir::tensor::Data;
use beiming_ir::types::Dim;

use super::{Code, ImportError, ImportOptions, ModelError};
use syntax::{Module, Problem};

/// True where the bytes are StableHLO in one of its forms.
pub fn is_stablehlo(bytes: &[u8]) -> bool {
    bytecode::is_bytecode(bytes) || looks_like_text(bytes) || export::is_export(bytes)
}

/// What MLIR text can begin with, after blanks and comments.
const OPENINGS: &[&[u8]] = &[b"module", b"builtin.module", b"func", b"\"builtin.module\"", b"\"func.func\"", b"#", b"!", b"{-#"];

fn looks_like_text(bytes: &[u8]) -> bool {
    let mut rest = bytes.trim_ascii_start();
    while rest.starts_with(b"//") {
        let end = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
        rest = rest[end..].trim_ascii_start();
    }
    OPENINGS.iter().any(|o| rest.starts_with(o))
}

/// The line of a module's text with a caret under the column; `None` where the module is no text.
pub fn excerpt(source: &[u8], line: u32, column: u32) -> Option<String> {
    let loc = syntax::Loc { line, column, name: "".into() };
    looks_like_text(source).then(|| text::excerpt(&Problem { loc, message: String::new() }, source))
}

/// Reads a module, in whatever form it is.
///
/// # Errors
/// Everything that is wrong with the form.
pub fn module(data: Data) -> Result<Module, ImportError> {
    if bytecode::is_bytecode(data.as_bytes()) {
        return bytecode::read(data).map_err(malformed);
    }
    if export::is_export(data.as_bytes()) {
        return export::read(data).and_then(|e| e.module()).map_err(malformed);
    }
    text::parse(data.as_bytes()).map_err(malformed)
}

/// The problems of a reader as errors of a model.
fn malformed(problems: Vec<Problem>) -> ImportError {
    let error = |p: Problem| {
        let place = match p.loc.line {
            0 => p.loc.name.clone(),
            line => format!("{line}:{}", p.loc.column).into(),
        };
        let loc = Loc::new("", "", place);
        ModelError { code: Code::Syntax, loc, message: p.message }
    };
    ImportError::Invalid { errors: problems.into_iter().map(error).collect(), unsupported: vec![] }
}

/// Reads a module and translates its entry function.
///
/// # Errors
/// As [`super::read`].
pub fn read(data: Data, options: &ImportOptions) -> Result<Graph, ImportError> {
    let mut known = translate::Known::default();
    if export::is_export(data.as_bytes()) {
        let file = export::read(data.clone()).map_err(malformed)?;
        known.extents = extents(&file);
        known.platform = platform(&file)?;
    }
    let module = module(data)?;
    Ok(translate::translate(&module, options, translate::Settings::default(), known)?.graph)
}

/// The number of the CPU among the platforms that a function was exported for; nothing where there is one platform, whatever it
/// is: its module is run as it stands.
fn platform(file: &export::Exported) -> Result<Option<i64>, ImportError> {
    if file.platforms.len() < 2 {
        return Ok(None);
    }
    match file.platforms.iter().position(|p| p == "cpu") {
        Some(i) => Ok(Some(i as i64)),
        None => {
            let message = format!("it was exported for {}: `cpu` is not among them", file.platforms.join(", "));
            Err(ModelError::new(Code::Option, message).into())
        }
    }
}

/// What an exported function says about the extents that its module leaves open, by the names that those get.
fn extents(file: &export::Exported) -> Vec<(Arc<str>, Dim)> {
    let mut out = vec![];
    // Before the inputs stands a token for each ordered effect. (The index of the platform does not count.)
    let first = file.ordered_effects.len();
    for (i, input) in file.kept.iter().enumerate() {
        let i = first + i;
        let Some(export::Aval::Array { shape, .. }) = file.inputs.get(*input) else { continue };
        for (axis, extent) in shape.iter().enumerate() {
            if let Ok(d @ Dim::Expr(_)) = extent.parse::<Dim>() {
                out.push((format!("arg{i}_d{axis}").into(), d));
            }
        }
    }
    out
}
