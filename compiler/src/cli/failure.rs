//! Why a command ended, as diagnostics and an exit code. Everything that can go wrong below is turned into this here or, for
//! the compiler's own errors, in `failure_compile`.

use std::path::Path;

use beiming_runtime::Error as RuntimeError;

use super::diagnostic::Diagnostic;

/// What the process ends with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// All went well.
    Ok = 0,
    /// The command worked and found something: results that differ.
    #[cfg_attr(not(feature = "compile"), allow(dead_code))]
    Findings = 1,
    /// The command line, or an input that does not suit the model.
    Usage = 2,
    /// The model or artifact is not valid.
    BadModel = 3,
    /// The model is valid; this version, target or machine cannot do it.
    Unsupported = 4,
    /// A file, a tool or memory that cannot be had.
    Io = 5,
    /// A fault of this program.
    Internal = 70,
}

/// The exit codes, for `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0   success
  1   findings: results differ
  2   usage: the command line, or inputs that do not suit the model
  3   the model or artifact is not valid
  4   not supported: an operator, a target, this machine
  5   a file, a tool or memory that cannot be had
  70  a bug in beiming

Environment:
  BEIMING_PYTHON   Python with onnxruntime, for `compare` (default .venv/bin/python)
  BEIMING_AARCH64  beiming built for aarch64, which runs under qemu-aarch64
  NO_COLOR, CLICOLOR_FORCE";

/// Why a command ended.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What to say.
    pub diagnostics: Vec<Diagnostic>,
}

/// Result of a command or a part of it.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// One diagnostic.
    pub fn new(exit: Exit, d: Diagnostic) -> Failure {
        Failure { exit, diagnostics: vec![d] }
    }

    /// The command line is wrong.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, Diagnostic::error("E0501", message))
    }

    /// This build cannot do it.
    #[cfg(feature = "compile")]
    pub fn unsupported(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Unsupported, Diagnostic::error("E0502", message))
    }

    /// A file cannot be read or written.
    pub fn io(what: &str, path: &Path, e: &std::io::Error) -> Failure {
        Failure::new(Exit::Io, Diagnostic::error("E0001", format!("cannot {what}: {e}")).in_file(path))
    }

    /// With advice at the last diagnostic.
    pub fn help(mut self, text: impl Into<String>) -> Failure {
        if let Some(d) = self.diagnostics.pop() {
            self.diagnostics.push(d.help(text));
        }
        self
    }

    /// An error of the runtime on an artifact.
    pub fn runtime(artifact: &Path, e: &RuntimeError) -> Failure {
        use RuntimeError as E;
        let (exit, code, help) = match e {
            E::Io { .. } => (Exit::Io, "E0001", ""),
            E::NotAnArtifact(_) => (Exit::BadModel, "E0701", "`beiming compile` makes an artifact of a model"),
            E::Version { .. } => (Exit::BadModel, "E0702", ""),
            E::Truncated { .. } => (Exit::BadModel, "E0703", "copy or compile it again"),
            E::Altered(_) => (Exit::BadModel, "E0704", "copy or compile it again"),
            E::Inconsistent(_) => (Exit::BadModel, "E0705", ""),
            E::Target { .. } => (Exit::Unsupported, "E0706", "`beiming targets` lists what this machine runs"),
            E::Load(_) => (Exit::Io, "E0707", ""),
            E::Input { .. } => (Exit::Usage, "E0801", "`beiming inspect` shows the inputs; `--inputs` takes an .npz by name"),
            E::Output { .. } | E::Argument(_) => (Exit::Usage, "E0802", ""),
            E::Run { .. } => (Exit::Usage, "E0803", ""),
            E::Memory { .. } => (Exit::Io, "E0804", ""),
            E::Device { .. } => (Exit::Io, "E0805", "`beiming doctor` says what there is; `--device sim` needs no NPU"),
            _ => (Exit::Internal, "E9001", ""),
        };
        // The runtime's words for a file start with its path; the place says it again.
        let message = match e {
            E::Io { source, .. } => format!("cannot open: {source}"),
            e => e.to_string(),
        };
        let mut d = Diagnostic::error(code, message).in_file(artifact);
        if !help.is_empty() {
            d = d.help(help);
        }
        Failure::new(exit, d)
    }
}
