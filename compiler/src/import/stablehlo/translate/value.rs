//! What a value of a StableHLO program is in the graph under construction.

use std::sync::Arc;

use super::super::syntax::Quantized;
use crate::import::frame::V;

/// A value of the program. Complex numbers are two graph values of one shape, so nothing after the translation knows them.
#[derive(Clone, Debug, PartialEq)]
pub enum Val {
    /// A tensor of floats, integers or booleans.
    Plain(V),
    /// Real and imaginary part.
    Complex(V, V),
    /// The stored integers, and what they stand for.
    Quantized(V, Arc<Quantized>),
    /// A tuple.
    Tuple(Vec<Val>),
    /// A token: the graph's order is the order of effects.
    Token,
}

impl Val {
    /// Appends the graph values this consists of.
    pub fn planes(&self, out: &mut Vec<V>) {
        match self {
            Val::Plain(v) | Val::Quantized(v, _) => out.push(*v),
            Val::Complex(re, im) => out.extend([*re, *im]),
            Val::Tuple(parts) => parts.iter().for_each(|p| p.planes(out)),
            Val::Token => {}
        }
    }

    /// A value of this structure over other graph values; `None` where there are too few.
    pub fn rebuilt(&self, from: &mut impl Iterator<Item = V>) -> Option<Val> {
        Some(match self {
            Val::Plain(_) => Val::Plain(from.next()?),
            Val::Complex(..) => Val::Complex(from.next()?, from.next()?),
            Val::Quantized(_, q) => Val::Quantized(from.next()?, q.clone()),
            Val::Tuple(parts) => Val::Tuple(parts.iter().map(|p| p.rebuilt(from)).collect::<Option<_>>()?),
            Val::Token => Val::Token,
        })
    }

    /// True where both are the same but for the graph values inside.
    pub fn same_structure(&self, other: &Val) -> bool {
        match (self, other) {
            (Val::Plain(_), Val::Plain(_)) | (Val::Complex(..), Val::Complex(..)) | (Val::Token, Val::Token) => true,
            (Val::Quantized(_, a), Val::Quantized(_, b)) => a == b,
            (Val::Tuple(a), Val::Tuple(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same_structure(b)),
            _ => false,
        }
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Val::Plain(_) => "a tensor",
            Val::Complex(..) => "a complex tensor",
            Val::Quantized(..) => "a quantized tensor",
            Val::Tuple(_) => "a tuple",
            Val::Token => "a token",
        }
    }
}

/// The graph values of several values, in order.
pub fn flatten(vals: &[Val]) -> Vec<V> {
    let mut out = vec![];
    vals.iter().for_each(|v| v.planes(&mut out));
    out
}

/// Values of the structure of `like` over `from`, which holds as many graph values as [`flatten`] gives.
pub fn rebuild(like: &[Val], from: &[V]) -> Option<Vec<Val>> {
    let mut it = from.iter().copied();
    let vals = like.iter().map(|v| v.rebuilt(&mut it)).collect::<Option<Vec<_>>>()?;
    it.next().is_none().then_some(vals)
}
