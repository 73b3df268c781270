//! The stages of a compilation as files: each is written as text that can be read, changed, and given to `beiming` in place of
//! the model. A file starts with a comment that says which stage it is and what the artifact must know of the stages before,
//! so that resuming gives the same artifact. Large constants lie beside it, in a file of its name with `.weights` added.

use std::path::{Path, PathBuf};

use beiming_ir::graph::Graph;
use beiming_ir::kernel::Kernel;
use beiming_ir::plan::{Program, Subnormals};
use beiming_ir::text::{self, Constants, ParseError};
use beiming_ir::verify::{self, VerifyErrors};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::explanation::{Explanation, Optimizer};

/// First word of the comment.
const MARK: &str = "// beiming stage ";

/// The comment at the start of a stage's text.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Header {
    /// `graph`, `fused`, `program` or `kernels`.
    pub stage: String,
    /// The model's name.
    pub model: String,
    /// Target, from the stage on that depends on it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// What kernels are to do with subnormal numbers: of the stages before `program`, which says it itself.
    #[serde(default, skip_serializing_if = "is_kept")]
    pub subnormals: Subnormals,
    /// What the optimiser did: of `fused`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<Optimizer>,
    /// All decisions: of `program`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
}

/// A compilation between two stages.
#[derive(Debug)]
pub enum Ir {
    /// As imported.
    Graph(Graph),
    /// Optimised.
    Fused(Graph, Optimizer),
    /// Lowered.
    Program(Box<Program>, Box<Explanation>),
    /// Kernels alone, which can be spelled but make no model.
    Kernels(Vec<Kernel>),
}

/// A stage, read.
#[derive(Debug)]
pub struct Staged {
    /// The model's name.
    pub model: String,
    /// The target it was made for; empty where it depends on none.
    pub target: String,
    /// What kernels are to do with subnormal numbers if nobody asks for anything else.
    pub subnormals: Subnormals,
    /// The stage.
    pub ir: Ir,
}

/// Why a stage cannot be read.
#[derive(Debug, Error)]
pub enum StageError {
    /// The file.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It is no text of the IR.
    #[error("{0}")]
    Parse(#[from] ParseError),
    /// The text says something that is not allowed.
    #[error("{0}")]
    Invalid(#[from] VerifyErrors),
}

/// What a file is, by its first bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An artifact.
    Artifact,
    /// The text of a stage.
    Text,
    /// LLVM IR, assembly or an object: results that a compilation cannot start from.
    Code,
    /// Anything else: taken for a model.
    Model,
}

/// What a file is, by its first bytes.
pub fn kind(path: &Path) -> std::io::Result<Kind> {
    let mut head = vec![];
    std::io::Read::read_to_end(&mut std::io::Read::take(std::fs::File::open(path)?, 4096), &mut head)?;
    if head.starts_with(&beiming_runtime::format::container::MAGIC) {
        return Ok(Kind::Artifact);
    }
    if head.starts_with(b"\x7fELF") || head.starts_with(b"; ModuleID") || head.starts_with(b"\t.") {
        return Ok(Kind::Code);
    }
    if head.starts_with(MARK.as_bytes()) {
        return Ok(Kind::Text);
    }
    let head = String::from_utf8_lossy(&head);
    let first = head.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with("//"));
    let word = first.and_then(|l| l.split_whitespace().next());
    Ok(if matches!(word, Some("graph" | "program" | "kernel")) { Kind::Text } else { Kind::Model })
}

/// Where a stage's large constants lie.
pub fn weights_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".weights");
    name.into()
}

/// Reads a stage and verifies it.
pub fn read(path: &Path) -> Result<Staged, StageError> {
    let io = |path: &Path, source| StageError::Io { path: path.into(), source };
    let text = std::fs::read_to_string(path).map_err(|e| io(path, e))?;
    let beside = weights_of(path);
    let side = match std::fs::read(&beside) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => vec![],
        Err(e) => return Err(io(&beside, e)),
    };
    let stem = path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
    parse(&text, &side, &stem)
}

/// Reads a stage from its text. `side` holds large constants that are not in it; `name` is the model's where the text has none.
pub fn parse(text: &str, side: &[u8], name: &str) -> Result<Staged, StageError> {
    let head = text.strip_prefix(MARK).and_then(|t| serde_json::from_str::<Header>(t.lines().next()?).ok());
    let head = head.unwrap_or_else(|| Header { model: name.into(), ..Header::default() });
    let word = text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with("//")).unwrap_or_default();
    let ir = if word.starts_with("program") {
        let p = verify::program(text::parse_program(text, side)?)?.into_inner();
        Ir::Program(Box::new(p), Box::new(head.explanation.unwrap_or_default()))
    } else if word.starts_with("kernel") {
        Ir::Kernels(kernels(text)?)
    } else {
        let g = verify::graph(text::parse_graph(text, side)?)?.into_inner();
        if head.stage == "fused" { Ir::Fused(g, head.optimizer.unwrap_or_default()) } else { Ir::Graph(g) }
    };
    let (target, subnormals) = match &ir {
        Ir::Program(p, _) => (p.target.name.clone(), p.plan.subnormals),
        _ => (head.target, head.subnormals),
    };
    Ok(Staged { model: head.model, target, subnormals, ir })
}

/// Kernels one after the other, each starting on a line of its own.
fn kernels(text: &str) -> Result<Vec<Kernel>, StageError> {
    let starts: Vec<usize> = std::iter::once(text.starts_with("kernel").then_some(0))
        .flatten()
        .chain(text.match_indices("\nkernel").map(|(p, _)| p + 1))
        .collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let one = |(start, end): (usize, usize)| {
        // The lines before stay, as empty ones, so that an error tells the line of the file.
        let padded = "\n".repeat(text[..start].matches('\n').count()) + &text[start..end];
        let k = text::parse_kernel(&padded)?;
        let findings = verify::kernel(&k);
        if findings.is_empty() { Ok(k) } else { Err(VerifyErrors(findings).into()) }
    };
    starts.iter().copied().zip(ends).map(one).collect()
}

/// What needs no word.
fn is_kept(s: &Subnormals) -> bool {
    *s == Subnormals::Keep
}

fn headed(head: &Header, body: &str) -> String {
    // A header is strings and numbers, which always serialise.
    format!("{MARK}{}\n{body}", serde_json::to_string(head).unwrap_or_default())
}

/// Text of the imported graph.
pub fn graph_text(model: &str, subnormals: Subnormals, g: &Graph, constants: Constants<'_>) -> String {
    let head = Header { stage: "graph".into(), model: model.into(), subnormals, ..Header::default() };
    headed(&head, &text::print_graph(g, constants))
}

/// Text of the optimised graph.
pub fn fused_text(
    model: &str,
    target: &str,
    subnormals: Subnormals,
    g: &Graph,
    optimizer: &Optimizer,
    constants: Constants<'_>,
) -> String {
    let head = Header {
        stage: "fused".into(),
        model: model.into(),
        target: target.into(),
        subnormals,
        optimizer: Some(optimizer.clone()),
        explanation: None,
    };
    headed(&head, &text::print_graph(g, constants))
}

/// Text of the program.
pub fn program_text(model: &str, p: &Program, explanation: &Explanation, constants: Constants<'_>) -> String {
    let head = Header {
        stage: "program".into(),
        model: model.into(),
        target: p.target.name.clone(),
        explanation: Some(explanation.clone()),
        ..Header::default()
    };
    headed(&head, &text::print_program(p, constants))
}

/// Text of the kernels.
pub fn kernels_text(model: &str, p: &Program) -> String {
    let head = Header { stage: "kernels".into(), model: model.into(), target: p.target.name.clone(), ..Header::default() };
    let texts: Vec<String> = p.kernels.iter().map(text::print_kernel).collect();
    headed(&head, &texts.join("\n"))
}
