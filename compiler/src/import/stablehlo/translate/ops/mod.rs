//! Operations: one file a family, one small converter an operation, and a table of them all.
//!
//! A converter reads arguments and attributes and emits core ops. It does not infer shapes: the core ops' own `infer` does,
//! and is the judge of arguments that do not fit.

pub mod approximate;
pub mod arity;
pub mod batch_norm;
pub mod bits;
pub mod channel;
pub mod check;
pub mod collective;
pub mod complex;
pub mod control;
pub mod convolution;
pub mod custom_call;
pub mod dot;
pub mod dynamic;
pub mod einsum;
pub mod elementwise;
pub mod fft;
pub mod gather;
pub mod in_order;
pub mod lapack;
pub mod linalg;
pub mod numbers;
pub mod parts;
pub mod precision;
pub mod quantized;
pub mod ragged;
pub mod real_schur;
pub mod reduce;
pub mod reflections;
pub mod region;
pub mod rng;
pub mod scan;
pub mod schur;
pub mod shape;
pub mod source;
pub mod special;
pub mod standard;
pub mod tridiagonal;
pub mod window;

use std::collections::HashMap;
use std::sync::OnceLock;

use beiming_ir::types::DType;

use super::super::syntax::{Element, Type};
use super::cx::Cx;
use super::value::Val;
use crate::import::fail::{Fail, R};

/// Converts one operation.
pub type Convert = fn(&mut Cx<'_, '_>) -> R<Vec<Val>>;

/// What a converter is for. An operation may have one converter for each kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Real numbers, integers and booleans only.
    Real,
    /// Any argument or result is complex.
    Complex,
    /// Any argument or result is quantized.
    Quantized,
    /// All kinds: the converter moves elements, or looks for itself.
    Any,
}

/// An operation.
pub struct Row {
    /// Full name.
    pub name: &'static str,
    /// What the converter is for.
    pub kind: Kind,
    /// The converter.
    pub convert: Convert,
}

/// A row for real numbers.
pub const fn real(name: &'static str, convert: Convert) -> Row {
    Row { name, kind: Kind::Real, convert }
}

/// A row for complex numbers.
pub const fn complex(name: &'static str, convert: Convert) -> Row {
    Row { name, kind: Kind::Complex, convert }
}

/// A row for every kind.
pub const fn any(name: &'static str, convert: Convert) -> Row {
    Row { name, kind: Kind::Any, convert }
}

/// The operations of every family.
const FAMILIES: &[&[Row]] = &[
    batch_norm::OPS,
    bits::OPS,
    check::OPS,
    channel::OPS,
    collective::OPS,
    complex::OPS,
    control::OPS,
    convolution::OPS,
    custom_call::OPS,
    dot::OPS,
    dynamic::OPS,
    einsum::OPS,
    elementwise::OPS,
    fft::OPS,
    gather::OPS,
    linalg::OPS,
    precision::OPS,
    quantized::OPS,
    ragged::OPS,
    reduce::OPS,
    rng::OPS,
    scan::OPS,
    shape::OPS,
    source::OPS,
    special::OPS,
    window::OPS,
];

type Table = HashMap<&'static str, Vec<(Kind, Convert)>>;

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = Table::new();
        for r in FAMILIES.iter().flat_map(|f| f.iter()) {
            table.entry(r.name).or_default().push((r.kind, r.convert));
        }
        table
    })
}

/// Whether there is an operation of this name at all.
pub fn known(name: &str) -> R<()> {
    match table().contains_key(name) {
        true => Ok(()),
        false => Err(Fail::Unsupported("the operation is not supported".into())),
    }
}

/// The converter of an operation for one kind.
pub fn converter(name: &str, kind: Kind) -> Option<Convert> {
    let rows = table().get(name)?;
    rows.iter().find(|r| r.0 == kind).or_else(|| rows.iter().find(|r| r.0 == Kind::Any)).map(|r| r.1)
}

/// The converter for an operation and its arguments.
pub fn find(cx: &Cx<'_, '_>) -> R<Convert> {
    let element = |t: &Type| match t {
        Type::Tensor(t) => match t.element {
            Element::Plain(DType::C64 | DType::C128) => Kind::Complex,
            Element::Quantized(_) => Kind::Quantized,
            _ => Kind::Real,
        },
        _ => Kind::Real,
    };
    let results = cx.op.results.iter().filter_map(|v| cx.function.values.get(v.index())).map(element);
    let args = cx.args.iter().map(|a| match a {
        Val::Complex(..) => Kind::Complex,
        Val::Quantized(..) => Kind::Quantized,
        _ => Kind::Real,
    });
    let kind = args.chain(results).max().unwrap_or(Kind::Real);
    let rows = table().get(&*cx.op.name).map_or(&[][..], Vec::as_slice);
    match rows.iter().find(|r| r.0 == kind).or_else(|| rows.iter().find(|r| r.0 == Kind::Any)) {
        Some(r) => Ok(r.1),
        None => Err(Fail::Unsupported(match kind {
            Kind::Complex => "it is not supported on complex numbers".into(),
            Kind::Quantized => "it is not supported on quantized tensors".into(),
            Kind::Real | Kind::Any => "it takes complex or quantized tensors only".into(),
        })),
    }
}

/// True where the value of a constant has to be known: a shape, an amount or a limit is read from it.
pub fn needs_constant(cx: &Cx<'_, '_>) -> bool {
    let Some(result) = cx.op.results.first() else { return false };
    // Operands from this one on are read while the graph is built.
    let from = |name: &str| match name {
        "stablehlo.dynamic_reshape" | "stablehlo.dynamic_broadcast_in_dim" | "stablehlo.dynamic_gather" => Some(1),
        "stablehlo.dynamic_pad" | "stablehlo.dynamic_conv" => Some(2),
        "stablehlo.dynamic_iota" => Some(0),
        "stablehlo.real_dynamic_slice" => Some(1),
        _ => None,
    };
    let uses =
        |op: &super::super::syntax::Operation| from(&op.name).is_some_and(|k| op.operands.iter().skip(k).any(|v| v == result));
    cx.function.body.ops.iter().any(uses)
}

/// Names of the operations that are supported, sorted.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = table().keys().copied().collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_has_one_converter_a_kind() {
        let mut rows: Vec<_> = FAMILIES.iter().flat_map(|f| f.iter()).map(|r| (r.name, r.kind)).collect();
        rows.sort_unstable();
        assert!(rows.windows(2).all(|w| w[0] != w[1]), "an operation stands twice: {rows:?}");
    }
}
