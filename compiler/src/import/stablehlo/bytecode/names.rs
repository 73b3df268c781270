//! What the names of operations in an artifact stand for.

use std::sync::Arc;

use super::container::Container;
use super::ops::{self, Op};

/// What an operation is to the reader.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// `builtin.module`.
    Module,
    /// `vhlo.func_v1` or `func.func`.
    Function,
    /// An operation of VHLO.
    Vhlo(&'static Op),
    /// `builtin.unrealized_conversion_cast`.
    Cast,
    /// An operation of another dialect.
    Other,
}

/// The name of an operation.
pub(super) struct Name {
    pub(super) kind: Kind,
    /// As the syntax tree calls it.
    pub(super) full: Arc<str>,
    /// Its properties, in the order in which they are written: by name.
    pub(super) properties: Vec<Arc<str>>,
    /// False where the writer did not know the operation.
    pub(super) registered: bool,
    /// Why the operation cannot be read.
    pub(super) unknown: Option<String>,
}

/// All names of an artifact, by number.
pub(super) struct Names(Vec<Name>);

impl Names {
    /// Looks up the names of an artifact.
    pub(super) fn new(c: &Container<'_>) -> Names {
        let name = |op: &super::container::OpName| {
            let (dialect, name) = (&*c.dialects[op.dialect], &*op.name);
            let mut unknown = None;
            let (kind, full, properties) = match (dialect, name) {
                ("builtin", "module") => {
                    (Kind::Module, "builtin.module".into(), vec!["sym_name".into(), "sym_visibility".into()])
                }
                ("builtin", "unrealized_conversion_cast") => (Kind::Cast, format!("{dialect}.{name}"), vec![]),
                ("vhlo", _) => match ops::find(name) {
                    Some(op) => {
                        let kind = if op.name == "func" { Kind::Function } else { Kind::Vhlo(op) };
                        let full = match op.name {
                            "func" | "call" => format!("func.{}", op.name),
                            other => format!("stablehlo.{other}"),
                        };
                        let mut properties: Vec<Arc<str>> = op.properties().map(Arc::from).collect();
                        properties.sort();
                        (kind, full, properties)
                    }
                    None => {
                        unknown = Some(not_known(name, &c.producer));
                        (Kind::Other, format!("vhlo.{name}"), vec![])
                    }
                },
                ("stablehlo" | "chlo" | "func", _) => {
                    unknown = Some(format!(
                        "`{dialect}.{name}` (by `{}`): this is MLIR bytecode, but not a portable artifact, and only those have an \
                         encoding that lasts; write it with `serialize_portable_artifact`, or as text",
                        c.producer
                    ));
                    (Kind::Other, format!("{dialect}.{name}"), vec![])
                }
                _ => (Kind::Other, format!("{dialect}.{name}"), vec![]),
            };
            Name { kind, full: full.into(), properties, registered: op.registered, unknown }
        };
        Names(c.ops.iter().map(name).collect())
    }

    /// The name of a number.
    pub(super) fn get(&self, index: usize) -> Option<&Name> {
        self.0.get(index)
    }
}

/// Why a name of VHLO is not known: nobody has heard of the operation, or not of this version of it.
fn not_known(name: &str, producer: &str) -> String {
    let base = name.rsplit_once("_v").map_or(name, |n| n.0);
    let known: Vec<String> = ops::versions(base)
        .map(|op| match op.until {
            Some(until) => format!("`{base}_v{}` of StableHLO {} to {until}", op.version, op.since),
            None => format!("`{base}_v{}` of StableHLO {} and newer", op.version, op.since),
        })
        .collect();
    let known = match known[..] {
        [] => format!("there is no such operation in StableHLO up to {}", ops::NEWEST),
        _ => format!("known are {}", known.join(" and ")),
    };
    format!("`vhlo.{name}` of an artifact of `{producer}` is not known: {known}")
}
