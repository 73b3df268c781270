//! What can go wrong while a model is read: your file, your options, your model, or something not supported yet.

use std::fmt;
use std::path::PathBuf;

use beiming_ir::graph::Loc;
use thiserror::Error;

/// Stable codes of diagnostics. A code keeps its meaning for ever; new ones are added at the end of their group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Code {
    /// E0101: not an ONNX file, or cut off.
    NotOnnx,
    /// E0102: the model has no graph.
    NoGraph,
    /// E0103: the operator set is missing, or outside what is supported.
    Opset,
    /// E0104: the text or the bytecode of a StableHLO module is malformed.
    Syntax,
    /// E0201: the bytes of a tensor do not fit its type and dims.
    TensorSize,
    /// E0202: an element type that does not exist or cannot stand here.
    ElementType,
    /// E0203: a negative or overflowing dimension.
    Dimension,
    /// E0204: an external path that could leave the model's folder.
    ExternalPath,
    /// E0205: external data behind a link.
    ExternalLink,
    /// E0206: external data outside its file.
    ExternalRange,
    /// E0207: external data that is missing or not a regular file.
    ExternalFile,
    /// E0208: a malformed entry of an external reference.
    ExternalKey,
    /// E0209: a malformed sparse tensor.
    Sparse,
    /// E0301: a name defined twice.
    Duplicate,
    /// E0302: a name that nothing defines.
    Undefined,
    /// E0303: nodes that depend on themselves.
    Cycle,
    /// E0304: an input or output without a usable type.
    BorderType,
    /// E0305: nesting or inlining past the limits.
    Limit,
    /// E0401: a missing attribute, input or output, or too many.
    Missing,
    /// E0402: an attribute of the wrong kind.
    AttributeKind,
    /// E0403: an attribute value that is not allowed.
    AttributeValue,
    /// E0404: arguments that do not fit the operator.
    Arguments,
    /// E0501: an option that names nothing in the model, or does not fit what it names.
    Option,
}

impl Code {
    /// The code as it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::NotOnnx => "E0101",
            Code::NoGraph => "E0102",
            Code::Opset => "E0103",
            Code::Syntax => "E0104",
            Code::TensorSize => "E0201",
            Code::ElementType => "E0202",
            Code::Dimension => "E0203",
            Code::ExternalPath => "E0204",
            Code::ExternalLink => "E0205",
            Code::ExternalRange => "E0206",
            Code::ExternalFile => "E0207",
            Code::ExternalKey => "E0208",
            Code::Sparse => "E0209",
            Code::Duplicate => "E0301",
            Code::Undefined => "E0302",
            Code::Cycle => "E0303",
            Code::BorderType => "E0304",
            Code::Limit => "E0305",
            Code::Missing => "E0401",
            Code::AttributeKind => "E0402",
            Code::AttributeValue => "E0403",
            Code::Arguments => "E0404",
            Code::Option => "E0501",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is wrong with a model.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{code}: {}{message}", Prefix(loc))]
pub struct ModelError {
    /// What kind of error.
    pub code: Code,
    /// The node, where one is to blame; all fields empty otherwise.
    pub loc: Loc,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl ModelError {
    /// An error that no single node is to blame for.
    pub fn new(code: Code, message: impl Into<String>) -> ModelError {
        ModelError { code, loc: Loc::default(), message: message.into() }
    }
}

/// An operator that the importer does not support, or not in the form in which it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnsupportedOp {
    /// Name of the node; may be empty.
    pub name: String,
    /// Operator.
    pub op: String,
    /// Domain; empty for `ai.onnx`.
    pub domain: String,
    /// Version of the domain's operator set that the model imports.
    pub opset: i64,
    /// Place in the model, for example `graph/node 17`.
    pub place: String,
    /// Why.
    pub why: String,
    /// Names of inputs of the model with whose values known it would be supported; empty where that is not what it lacks.
    pub wants: Vec<String>,
}

impl fmt::Display for UnsupportedOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domain = if self.domain.is_empty() { "ai.onnx" } else { &self.domain };
        write!(f, "{} ({domain} {}) `{}` at {}: {}", Clean(&self.op), self.opset, Clean(&self.name), self.place, self.why)
    }
}

/// Why a model was not imported. Everything found is in one value.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The file cannot be opened or mapped.
    #[error("E0001: cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Only unsupported operators stand in the way.
    #[error("E0002: {} operator(s) of the model are not supported{}", ops.len(), List(ops))]
    Unsupported {
        /// Every one of them, in the order of the model.
        ops: Vec<UnsupportedOp>,
    },
    /// The model, or an option, is wrong.
    #[error("the model is not valid{}{}", List(errors), List(unsupported))]
    Invalid {
        /// What is wrong, in the order of the model.
        errors: Vec<ModelError>,
        /// What is not supported besides.
        unsupported: Vec<UnsupportedOp>,
    },
}

impl ImportError {
    /// The first code: what scripts may match on.
    pub fn code(&self) -> &'static str {
        match self {
            ImportError::Io { .. } => "E0001",
            ImportError::Unsupported { .. } => "E0002",
            ImportError::Invalid { errors, .. } => errors.first().map_or("E0101", |e| e.code.as_str()),
        }
    }
}

impl From<ModelError> for ImportError {
    fn from(e: ModelError) -> ImportError {
        ImportError::Invalid { errors: vec![e], unsupported: vec![] }
    }
}

/// The node before a message, or nothing.
struct Prefix<'a>(&'a Loc);

impl fmt::Display for Prefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.place.is_empty() && self.0.op.is_empty() {
            return Ok(());
        }
        write!(f, "{} `{}` at {}: ", Clean(&self.0.op), Clean(&self.0.name), self.0.place)
    }
}

/// Items on lines of their own; long lists are cut, since a broken model can have a wrong node on every line.
struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 50;
        for item in self.0.iter().take(SHOWN) {
            write!(f, "\n  {item}")?;
        }
        if self.0.len() > SHOWN {
            write!(f, "\n  and {} more", self.0.len() - SHOWN)?;
        }
        Ok(())
    }
}

/// A name from a model, safe to print: control characters (terminal escapes, line breaks) are written as escapes, and a name
/// that fills the screen is cut.
pub(crate) struct Clean<'a>(pub &'a str);

impl fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, c) in self.0.chars().enumerate() {
            if i == 200 {
                return f.write_str("...");
            }
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
        }
        Ok(())
    }
}
