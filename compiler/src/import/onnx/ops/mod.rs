//! Operators: one file a family, one small converter an operator, and a table of them all.
//!
//! A converter reads arguments and attributes of the operator's version that the model means and emits core ops. It does not
//! infer shapes: the core ops' own `infer` does, and is the judge of arguments that do not fit.

mod activation;
mod attention;
mod bilinear;
mod control;
mod conv;
mod create;
mod determinant;
mod einsum;
mod fourier;
mod index;
mod layout;
mod loss;
mod math;
mod matmul;
mod ml;
mod ngram;
mod norm;
mod optional;
mod pool;
mod quant;
mod random;
mod recurrent;
mod reduce;
mod resize;
mod sample;
mod scattered;
mod select;
mod shape;
mod slice;
mod softmax;
mod state;
mod training;
mod unique;

use std::collections::HashMap;
use std::sync::OnceLock;

use super::super::frame::V;
use super::node::{Cx, R};

/// Converts one node.
pub type Convert = fn(&mut Cx<'_, '_>) -> R<Vec<V>>;

/// An operator of the standard.
pub struct Row {
    /// Name.
    pub name: &'static str,
    /// The operator-set versions that changed it, ascending.
    pub since: &'static [i64],
    /// Most inputs it may have.
    pub max_inputs: usize,
    /// The converter.
    pub convert: Convert,
}

/// A row of a family's table.
const fn row(name: &'static str, since: &'static [i64], max_inputs: usize, convert: Convert) -> Row {
    Row { name, since, max_inputs, convert }
}

/// Any number of inputs.
const MANY: usize = usize::MAX;

/// The operators of every family.
const FAMILIES: &[&[Row]] = &[
    activation::OPS,
    attention::OPS,
    bilinear::OPS,
    control::OPS,
    conv::OPS,
    create::OPS,
    determinant::OPS,
    einsum::OPS,
    fourier::OPS,
    index::OPS,
    layout::OPS,
    loss::OPS,
    math::OPS,
    matmul::OPS,
    ngram::OPS,
    norm::OPS,
    optional::OPS,
    pool::OPS,
    quant::OPS,
    random::OPS,
    recurrent::OPS,
    reduce::OPS,
    resize::OPS,
    sample::OPS,
    scattered::OPS,
    select::OPS,
    shape::OPS,
    slice::OPS,
    softmax::OPS,
    state::OPS,
    unique::OPS,
];

/// Operators of other domains.
const DOMAINS: &[(&str, &[Row])] =
    &[("ai.onnx.ml", ml::OPS), ("ai.onnx.preview", attention::PREVIEW), ("ai.onnx.preview.training", training::OPS)];

/// The row of an operator.
pub fn find(domain: &str, name: &str) -> Option<&'static Row> {
    static TABLE: OnceLock<HashMap<&'static str, &'static Row>> = OnceLock::new();
    if !domain.is_empty() {
        return DOMAINS.iter().find(|d| d.0 == domain)?.1.iter().find(|r| r.name == name);
    }
    TABLE.get_or_init(|| FAMILIES.iter().flat_map(|f| f.iter()).map(|r| (r.name, r)).collect()).get(name).copied()
}

/// Names of the operators of the domain `ai.onnx` that are supported, sorted.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = FAMILIES.iter().flat_map(|f| f.iter()).map(|r| r.name).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sound() {
        let names = names();
        assert!(names.windows(2).all(|w| w[0] != w[1]), "an operator stands twice");
        for r in FAMILIES.iter().flat_map(|f| f.iter()).chain(DOMAINS.iter().flat_map(|d| d.1)) {
            assert!(r.since.is_sorted() && !r.since.is_empty(), "{}", r.name);
        }
    }
}
