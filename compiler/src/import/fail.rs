//! Why a piece of a model was not converted; shared by the importers.

use super::error::{Code, ModelError};
use super::frame::V;

/// Why a node was not converted.
#[derive(Debug)]
pub enum Fail {
    /// Correct, but not supported.
    Unsupported(String),
    /// Not supported, since it must be known what this value will be.
    Wants(String, V),
    /// Wrong.
    Invalid(Code, String),
    /// It needs a value that an earlier failure left undefined.
    Poisoned,
}

impl From<ModelError> for Fail {
    fn from(e: ModelError) -> Fail {
        Fail::Invalid(e.code, e.message)
    }
}

/// Shorthand for results of converters.
pub type R<T = V> = Result<T, Fail>;

/// What may help where a symbol stands in the way.
pub const SETTLE: &str = "more about the symbols may settle this, as in --shape x:1x3x640x640, --dim N=4 or --dim H=32*h";

/// Not supported, and why.
pub fn unsupported<T>(why: impl Into<String>) -> R<T> {
    Err(Fail::Unsupported(why.into()))
}

/// Wrong arguments, and what is allowed.
pub fn bad_arguments<T>(message: impl Into<String>) -> R<T> {
    Err(Fail::Invalid(Code::Arguments, message.into()))
}

/// A wrong attribute, and what is allowed.
pub fn bad_attribute<T>(message: impl Into<String>) -> R<T> {
    Err(Fail::Invalid(Code::AttributeValue, message.into()))
}
