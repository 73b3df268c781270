//! Extents told by a value: a shape that the program computes, or gets as an argument, and that only the run knows. A node that
//! binds gives symbols their values; one that checks holds a value against what the graph takes for granted.

use serde::{Deserialize, Serialize};

use super::infer::arity;
use super::{InferError, Op, unify_extent};
use crate::eval::{Ctx, Dims, EvalError};
use crate::graph::Graph;
use crate::tensor::Tensor;
use crate::types::{DType, Dim, Symbols, TensorType};

/// `i64[n] -> i64[n]`: reads the elements of its argument and gives them on. What does not keep to the rule, or to the range of a
/// symbol, ends the run with an error. The nodes after it in the graph may use the symbols it binds, and rely on what it checks.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ReadDims {
    /// For every element, what it is held against.
    pub dims: Vec<Dim>,
    /// How.
    pub rule: DimRule,
}

/// What [`ReadDims`] does with an element and its dimension.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum DimRule {
    /// The dimension is a symbol, which gets the element as its value. No two elements name one symbol.
    Bind,
    /// The element is equal to the dimension.
    Equal,
    /// The element is one, or equal to the dimension.
    OneOrEqual,
    /// The element is at most the dimension.
    AtMost,
}

impl DimRule {
    /// What is wrong with element `i`, `got`, where the dimension `d` has the value `want`; `None` where nothing is.
    pub fn breach(self, i: usize, got: i64, d: &str, want: i64) -> Option<String> {
        let value = if d.parse() == Ok(want) { format!("{want}") } else { format!("{d}, which is {want}") };
        match self {
            DimRule::Equal if got != want => Some(format!("extent {i} is {got} at run time, expected {value}")),
            DimRule::OneOrEqual if got != want && got != 1 => {
                Some(format!("extent {i} is {got} at run time, expected 1 or {value}"))
            }
            DimRule::AtMost if got > want => Some(format!("position {i} is {got} at run time, at most {value} is allowed")),
            _ => None,
        }
    }
}

impl ReadDims {
    /// The symbols that get a value, in the order of the elements.
    pub fn bound(&self) -> Vec<std::sync::Arc<str>> {
        match self.rule {
            DimRule::Bind => self.dims.iter().filter_map(bare).collect(),
            DimRule::Equal | DimRule::OneOrEqual | DimRule::AtMost => vec![],
        }
    }

    /// Gives the symbols the values that the argument holds.
    pub fn bind(&self, x: &Tensor, symbols: &Symbols, dims: &mut Dims) -> Result<(), EvalError> {
        for (name, value) in self.bound().into_iter().zip(x.to_i64()) {
            let range = symbols.range(&name);
            if value < range.lo || value > range.hi {
                return EvalError::fail(format!("`{name}` is {value}; allowed are {}..={}", range.lo, range.hi));
            }
            dims.insert(name, value);
        }
        Ok(())
    }
}

/// The symbol that a dimension is.
fn bare(d: &Dim) -> Option<std::sync::Arc<str>> {
    d.symbols().into_iter().next().filter(|name| *d == Dim::sym(name))
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_read_dims(p: &ReadDims, inputs: &[&TensorType], graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 1)?;
    let (x, n) = (inputs[0], p.dims.len());
    let vector = x.rank() == 1 && unify_extent(&x.shape[0], &n.into(), &graph.symbols).is_ok();
    InferError::check(x.dtype == DType::I64 && vector, || format!("takes i64[{n}], one element a dimension, got {x}"))?;
    if p.rule == DimRule::Bind {
        let mut names = vec![];
        for d in &p.dims {
            let Some(name) = bare(d) else { return InferError::fail(format!("`{d}` is no symbol, and gets no value")) };
            InferError::check(!names.contains(&name), || format!("the symbol `{name}` gets two values"))?;
            names.push(name);
        }
    }
    Ok(vec![TensorType::known(DType::I64, &[n])])
}

/// Results; see [`crate::eval::op`]. What is bound is for who runs the graph to note.
pub(crate) fn eval_read_dims(p: &ReadDims, args: &[Tensor], ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    if p.rule != DimRule::Bind {
        for (i, (d, got)) in p.dims.iter().zip(args[0].to_i64()).enumerate() {
            if let Some(why) = p.rule.breach(i, got, &d.to_string(), ctx.value(d)?) {
                return EvalError::fail(why);
            }
        }
    }
    Ok(vec![args[0].clone()])
}

impl Op {
    /// The symbols that the op gives values to while the graph runs.
    pub fn binds(&self) -> Vec<std::sync::Arc<str>> {
        match self {
            Op::ReadDims(p) => p.bound(),
            Op::NonZero { count } => bare(count).into_iter().collect(),
            Op::Nms(p) => bare(&p.count).into_iter().collect(),
            Op::Loop(p) => bare(&p.trips).into_iter().collect(),
            _ => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval;
    use crate::ops::testing::{dims, graph, try_run, types};

    fn op(names: &[&str], rule: DimRule) -> Op {
        Op::ReadDims(ReadDims { dims: dims(names), rule })
    }

    #[test]
    fn types_are_inferred() {
        use DimRule::{AtMost, Bind, Equal};
        let two = Ok(vec!["i64[2]".to_string()]);
        for rule in [Bind, Equal, AtMost] {
            assert_eq!(types(&op(&["a", "b"], rule), &["i64[2]"]), two);
        }
        assert_eq!(types(&op(&["2*N", "3"], Equal), &["i64[2]"]), two);
        for (op, input, why) in [
            (op(&["a"], Bind), "i32[1]", "takes i64[1], one element a dimension, got i32[1]"),
            (op(&["a"], Bind), "i64[]", "takes i64[1], one element a dimension, got i64[]"),
            (op(&["3"], Equal), "i64[2]", "takes i64[1], one element a dimension, got i64[2]"),
            (op(&["a", "3"], Bind), "i64[2]", "`3` is no symbol, and gets no value"),
            (op(&["2*a"], Bind), "i64[1]", "`2*a` is no symbol, and gets no value"),
            (op(&["a", "a"], Bind), "i64[2]", "the symbol `a` gets two values"),
        ] {
            assert_eq!(types(&op, &[input]), Err(why.to_string()));
        }
    }

    #[test]
    fn values_are_held_against_the_dimensions() {
        let x = [Tensor::i64(&[2], &[3, -4])];
        assert_eq!(try_run(&op(&["a", "b"], DimRule::Bind), &x).expect("bind")[0].to_i64(), [3, -4]);
        assert_eq!(try_run(&op(&["3", "-4"], DimRule::Equal), &x).expect("equal")[0].to_i64(), [3, -4]);
        assert_eq!(try_run(&op(&["3", "0"], DimRule::AtMost), &x).expect("at most")[0].to_i64(), [3, -4]);
        let e = try_run(&op(&["3", "4"], DimRule::Equal), &x).expect_err("differs");
        assert_eq!(e, "read_dims: extent 1 is -4 at run time, expected 4");
        let e = try_run(&op(&["2", "4"], DimRule::AtMost), &x).expect_err("too large");
        assert_eq!(e, "read_dims: position 0 is 3 at run time, at most 2 is allowed");
        let known = [("K".into(), 5)].into_iter().collect();
        let e = eval::op(&op(&["K+1", "-4"], DimRule::Equal), &x, &graph(), &known).expect_err("differs");
        assert!(e.0.contains("extent 0 is 3 at run time, expected"), "{e}");
        assert!(try_run(&op(&["K", "-4"], DimRule::Equal), &x).expect_err("unknown").contains("no value here"));
    }
}
