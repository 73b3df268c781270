//! What can go wrong, in words for the user and in codes for the C interface.

use std::path::PathBuf;

/// An error of the runtime.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is something else.
    #[error("not a Beiming artifact: {0}")]
    NotAnArtifact(String),
    /// The artifact is of another version of the format.
    #[error("artifact format version {found}; this runtime reads version {supported}: compile the model again")]
    Version {
        /// In the file.
        found: u32,
        /// By this runtime.
        supported: u32,
    },
    /// The file ends too early.
    #[error("artifact is truncated: {found} bytes of {expected}")]
    Truncated {
        /// Bytes there are.
        found: u64,
        /// Bytes there should be.
        expected: u64,
    },
    /// The bytes are not those that were written.
    #[error("artifact is altered: {0}")]
    Altered(String),
    /// The artifact is whole but says something impossible: a fault of the writer.
    #[error("artifact is inconsistent: {0}")]
    Inconsistent(String),
    /// The code is for another machine.
    #[error("artifact is for target `{target}`: {what}")]
    Target {
        /// The artifact's target.
        target: String,
        /// What this machine lacks.
        what: String,
    },
    /// The code cannot be loaded.
    #[error("cannot load the artifact's code: {0}")]
    Load(String),
    /// An input is missing, unknown, or of another type or shape than the model's.
    #[error("input `{name}`: {what}")]
    Input {
        /// Name of the input.
        name: String,
        /// What was expected, and what was given.
        what: String,
    },
    /// An output buffer does not suit.
    #[error("output `{name}`: {what}")]
    Output {
        /// Name of the output.
        name: String,
        /// What was expected, and what was given.
        what: String,
    },
    /// A step met a value that the plan does not allow.
    #[error("{step}: {what}")]
    Run {
        /// The step, by the model's node where it has a name.
        step: String,
        /// What happened.
        what: String,
    },
    /// Memory cannot be had.
    #[error("cannot allocate {bytes} bytes for {purpose}")]
    Memory {
        /// How much.
        bytes: u64,
        /// What for.
        purpose: &'static str,
    },
    /// A call to the device's driver failed.
    #[error("{call}{}: {what}", code_text(*code))]
    Device {
        /// The function.
        call: String,
        /// Its result; 0 where it was not called at all.
        code: i32,
        /// What that means, and what the driver says.
        what: String,
    },
    /// A call of the C interface is wrong.
    #[error("invalid argument: {0}")]
    Argument(String),
    /// The session is running in another thread.
    #[error("the session is in use by another thread; create one session for each thread that runs the model")]
    Busy,
    /// A fault of the runtime itself.
    #[error("internal error of the runtime: {0}")]
    Internal(String),
}

fn code_text(code: i32) -> String {
    if code == 0 { String::new() } else { format!(" ({code})") }
}

/// Result of the runtime.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn input(name: &str, what: impl Into<String>) -> Error {
        Error::Input { name: name.into(), what: what.into() }
    }

    pub(crate) fn output(name: &str, what: impl Into<String>) -> Error {
        Error::Output { name: name.into(), what: what.into() }
    }

    pub(crate) fn run(step: &str, what: impl Into<String>) -> Error {
        Error::Run { step: step.into(), what: what.into() }
    }
}
