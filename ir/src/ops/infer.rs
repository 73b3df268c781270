//! Shape inference: dispatch to the families, and the checks all of them share.

use std::cell::RefCell;

use thiserror::Error;

use super::{
    DimRule, Op, channel, collective, control, conv, elementwise, fused, gather, gather_window, matmul, read_dims, recurrent,
    reduce, reducer, resize, select, shape, sort, source,
};
use crate::graph::Graph;
use crate::types::{Dim, Symbols, TensorType};

/// Most elements a tensor may have. Far above any machine's memory, and low enough that sizes in bytes and products of a few
/// such numbers do not overflow.
pub const MAX_ELEMENTS: u64 = 1 << 48;

/// Why an op does not fit its arguments.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{op}: {message}")]
pub struct InferError {
    /// Name of the op.
    pub op: String,
    /// What is wrong and what is allowed.
    pub message: String,
    /// Two extents of which nothing shows that they are equal, where that is all that is wrong.
    pub unequal: Option<Box<(Dim, Dim)>>,
}

impl InferError {
    /// An error with this message. `infer` adds the name of the op.
    pub fn new(message: impl Into<String>) -> InferError {
        InferError { op: String::new(), message: message.into(), unequal: None }
    }

    /// The error as a result.
    pub fn fail<T>(message: impl Into<String>) -> Result<T, InferError> {
        Err(InferError::new(message))
    }

    /// The same error in the words that `say` makes of its message.
    pub fn said(self, say: impl FnOnce(&str) -> String) -> InferError {
        InferError { message: say(&self.message), ..self }
    }

    /// An error where `ok` does not hold.
    pub fn check(ok: bool, message: impl FnOnce() -> String) -> Result<(), InferError> {
        if ok { Ok(()) } else { InferError::fail(message()) }
    }
}

/// Result types of `op`. `graph` gives constants, regions and symbol ranges.
pub fn infer(op: &Op, inputs: &[&TensorType], graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    let named = |e: InferError| if e.op.is_empty() { InferError { op: op.name(), ..e } } else { e };
    let types = dispatch(op, inputs, graph).map_err(named)?;
    for t in &types {
        check_extents(t, &graph.symbols).map_err(named)?;
    }
    Ok(types)
}

fn dispatch(op: &Op, inputs: &[&TensorType], g: &Graph) -> Result<Vec<TensorType>, InferError> {
    match op {
        Op::Constant(c) => source::infer_constant(*c, inputs, g),
        Op::DimValue { dims } => source::infer_dim_value(dims, inputs, g),
        Op::Iota { dtype, shape, axis } => source::infer_iota(*dtype, shape, *axis, inputs, g),
        Op::Unary(u) => elementwise::infer_unary(*u, inputs),
        Op::Binary(b) => elementwise::infer_binary(*b, inputs, g),
        Op::Select => elementwise::infer_select(inputs, g),
        Op::Cast { to } => elementwise::infer_cast(*to, inputs),
        Op::Bitcast { to } => elementwise::infer_bitcast(*to, inputs),
        Op::MatMul { out } => matmul::infer_matmul(*out, inputs, g),
        Op::Conv(p) => conv::infer_conv(p, inputs, g),
        Op::ConvTranspose(p) => conv::infer_conv_transpose(p, inputs, g),
        Op::Pool(p) => conv::infer_pool(p, inputs, g),
        Op::Reduce { op, axes, keep } => reduce::infer_reduce(*op, axes, *keep, inputs),
        Op::ArgReduce { axis, keep, .. } => reduce::infer_arg_reduce(*axis, *keep, inputs),
        Op::Cumulative(p) => reduce::infer_cumulative(p, inputs),
        Op::Softmax { axis, .. } => reduce::infer_softmax(*axis, inputs),
        Op::Norm { axis, .. } => reduce::infer_norm(*axis, inputs),
        Op::Reshape { shape } => shape::infer_reshape(shape, inputs, g),
        Op::Transpose { perm } => shape::infer_transpose(perm, inputs, g),
        Op::Broadcast { shape } => shape::infer_broadcast(shape, inputs, g),
        Op::Slice(p) => shape::infer_slice(p, inputs, g),
        Op::DynamicSlice { shape } => shape::infer_dynamic_slice(shape, inputs, g),
        Op::Pad { lo, hi, mode } => shape::infer_pad(lo, hi, *mode, inputs, g),
        Op::Concat { axis } => shape::infer_concat(*axis, inputs, g),
        Op::Reverse { axes } => shape::infer_reverse(axes, inputs, g),
        Op::Gather { axis } => gather::infer_gather(*axis, inputs, g),
        Op::GatherElements { axis } => gather::infer_gather_elements(*axis, inputs, g),
        Op::GatherNd { batch } => gather::infer_gather_nd(*batch, inputs, g),
        Op::Scatter(p) => gather::infer_scatter(p, inputs, g),
        Op::GatherWindow(p) => gather_window::infer_gather_window(p, inputs, g),
        Op::ScatterWindow(p) => gather_window::infer_scatter_window(p, inputs, g),
        Op::Resize(p) => resize::infer_resize(p, inputs, g),
        Op::TopK(p) => select::infer_topk(p, inputs, g),
        Op::Nms(p) => select::infer_nms(p, inputs, g),
        Op::NonZero { count } => select::infer_nonzero(count, inputs, g),
        Op::ReadDims(p) => read_dims::infer_read_dims(p, inputs, g),
        Op::Lstm(p) => recurrent::infer_lstm(p, inputs, g),
        Op::Gru(p) => recurrent::infer_gru(p, inputs, g),
        Op::ReduceWith { axes, region } => reducer::infer_reduce_with(axes, *region, inputs, g),
        Op::WindowReduce(p) => reducer::infer_window_reduce(p, inputs, g),
        Op::SelectAndScatter(p) => reducer::infer_select_and_scatter(p, inputs, g),
        Op::SortBy { axis, region, .. } => sort::infer_sort(*axis, *region, inputs, g),
        Op::Collective(p) => collective::infer(p, inputs, g),
        Op::Channel(p) => channel::infer(p, inputs),
        Op::If(p) => control::infer_if(p, inputs, g),
        Op::Loop(p) => control::infer_loop(p, inputs, g),
        Op::Fused(body) => fused::infer_fused(body, inputs, g),
        Op::Tiled { body, tile } => fused::infer_tiled(body, tile, inputs, g),
    }
}

/// Refuses negative extents and tensors past [`MAX_ELEMENTS`]. A symbolic extent is refused where no value of its symbols is
/// good; the run-time checks see to the rest.
pub fn check_extents(t: &TensorType, symbols: &Symbols) -> Result<(), InferError> {
    let mut least = 1u64;
    for d in &t.shape {
        let r = d.range(symbols);
        InferError::check(r.hi >= 0, || format!("the result {t} has the negative extent `{d}`"))?;
        least = least.saturating_mul(r.lo.max(0) as u64);
    }
    InferError::check(least <= MAX_ELEMENTS, || format!("the result {t} has more than 2^48 elements"))
}

/// Checks the number of arguments.
pub(super) fn arity(inputs: &[&TensorType], n: usize) -> Result<(), InferError> {
    InferError::check(inputs.len() == n, || format!("takes {n} arguments, got {}", inputs.len()))
}

/// Checks that `axis` is an axis of `t`.
pub(super) fn check_axis(axis: usize, t: &TensorType) -> Result<(), InferError> {
    InferError::check(axis < t.rank(), || format!("axis {axis} is out of range for {t}, of rank {}", t.rank()))
}

/// What a result type takes for granted of extents that only the run knows: `what` keeps to `rule` (never [`DimRule::Bind`])
/// beside `limit`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Assumed {
    /// An extent, or a position.
    pub what: Dim,
    /// How it has to stand to the limit.
    pub rule: DimRule,
    /// What it is held against.
    pub limit: Dim,
}

thread_local! {
    /// Where the rules of types write what they take for granted, while [`infer_assuming`] asks for it.
    static ASSUMED: RefCell<Option<Vec<Assumed>>> = const { RefCell::new(None) };
}

/// As [`infer`], and what the types take for granted: who builds a graph from a model has the run check that.
pub fn infer_assuming(op: &Op, inputs: &[&TensorType], graph: &Graph) -> Result<(Vec<TensorType>, Vec<Assumed>), InferError> {
    let before = ASSUMED.replace(Some(vec![]));
    let types = infer(op, inputs, graph);
    let assumed = ASSUMED.replace(before).unwrap_or_default();
    Ok((types?, assumed))
}

/// Notes that `what` has to keep to a rule beside `limit`.
pub(super) fn assume(what: &Dim, rule: DimRule, limit: &Dim) {
    ASSUMED.with_borrow_mut(|a| a.iter_mut().for_each(|a| a.push(Assumed { what: what.clone(), rule, limit: limit.clone() })));
}

/// Notes that `what` is at most `limit`, unless the ranges show it.
pub(super) fn assume_at_most(what: &Dim, limit: &Dim, symbols: &Symbols) {
    if (limit.clone() - what.clone()).range(symbols).lo < 0 {
        assume(what, DimRule::AtMost, limit);
    }
}

/// True where two extents have the same value for all values of the symbols: the same expression, or the ranges leave one value.
pub fn same_extent(a: &Dim, b: &Dim, symbols: &Symbols) -> bool {
    if a == b {
        return true;
    }
    let (x, y) = (a.range(symbols), b.range(symbols));
    x.lo == x.hi && x == y
}

/// The extent two arguments share: equal, or where one is known and the other symbolic the known one, which the symbol must
/// then equal at run time. Errors where they cannot be equal or nothing shows that they are.
pub fn unify_extent(a: &Dim, b: &Dim, symbols: &Symbols) -> Result<Dim, InferError> {
    if same_extent(a, b, symbols) {
        return Ok(if a.known().is_some() { a.clone() } else { b.clone() });
    }
    let (known, open) = match (a, b) {
        (Dim::Known(k), Dim::Expr(_)) => (*k, b),
        (Dim::Expr(_), Dim::Known(k)) => (*k, a),
        (Dim::Known(_), Dim::Known(_)) => return InferError::fail(format!("extents {a} and {b} differ")),
        _ => {
            let unequal = Some(Box::new((a.clone(), b.clone())));
            return Err(InferError { unequal, ..InferError::new(format!("extents `{a}` and `{b}` are not known to be equal")) });
        }
    };
    let r = open.range(symbols);
    InferError::check(r.lo <= known && known <= r.hi, || format!("extents {a} and {b} differ: `{open}` is {}..={}", r.lo, r.hi))?;
    assume(open, DimRule::Equal, &Dim::Known(known));
    Ok(Dim::Known(known))
}

/// Holds a shape against the one it must have, extent by extent as [`unify_extent`]; `message` says what is wrong.
pub(super) fn check_shape(want: &[Dim], got: &[Dim], symbols: &Symbols, message: impl Fn() -> String) -> Result<(), InferError> {
    InferError::check(want.len() == got.len(), &message)?;
    want.iter().zip(got).try_for_each(|(a, b)| unify_extent(a, b, symbols).map(|_| ()).map_err(|e| e.said(|_| message())))
}

/// The shape both shapes broadcast to by numpy's rules: aligned at the last axis, extents equal or one of them 1.
///
/// A symbolic extent beside a known one other than 1 gives the known one: the symbol is that or 1 at run time. Two different
/// expressions are an error, since either could be the 1.
pub fn broadcast_shapes(a: &[Dim], b: &[Dim], symbols: &Symbols) -> Result<Vec<Dim>, InferError> {
    let rank = a.len().max(b.len());
    let one = Dim::Known(1);
    let at = |s: &[Dim], i: usize| (i + s.len()).checked_sub(rank).map_or_else(|| one.clone(), |j| s[j].clone());
    (0..rank)
        .map(|i| {
            let (x, y) = (at(a, i), at(b, i));
            if x.is(1) {
                return Ok(y);
            }
            if y.is(1) {
                return Ok(x);
            }
            // A symbol that can be nothing but 1.
            for (d, other) in [(&x, &y), (&y, &x)] {
                let r = d.range(symbols);
                if d.known().is_none() && r.lo == 1 && r.hi == 1 {
                    return Ok(other.clone());
                }
            }
            let can_be_one = |d: &Dim| d.known().is_none() && (d.range(symbols).lo..=d.range(symbols).hi).contains(&1);
            match (x.known(), y.known()) {
                (Some(_), None) if can_be_one(&y) => {
                    assume(&y, DimRule::OneOrEqual, &x);
                    return Ok(x);
                }
                (None, Some(_)) if can_be_one(&x) => {
                    assume(&x, DimRule::OneOrEqual, &y);
                    return Ok(y);
                }
                _ => {}
            }
            unify_extent(&x, &y, symbols).map_err(|e| {
                let (a, b) = (ShapeText(a), ShapeText(b));
                e.said(|why| format!("shapes {a} and {b} do not broadcast at axis {i}: {why}"))
            })
        })
        .collect()
}

/// A shape in an error message.
pub(super) struct ShapeText<'a>(pub &'a [Dim]);

impl std::fmt::Display for ShapeText<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<String> = self.0.iter().map(Dim::to_string).collect();
        write!(f, "[{}]", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols() -> Symbols {
        let mut s = Symbols::default();
        s.declare("N", 1, 64);
        s.declare("eight", 8, 8);
        s
    }

    fn dims(text: &str) -> Vec<Dim> {
        text.split_whitespace().map(|d| d.parse().unwrap()).collect()
    }

    #[test]
    fn extents_unify() {
        for (a, b, want) in [
            ("3", "3", Some("3")),
            ("N", "N", Some("N")),
            ("N", "7", Some("7")),
            ("7", "N+1", Some("7")),
            ("eight", "8", Some("8")),
            ("8", "eight", Some("8")),
            ("3", "4", None),
            ("N", "65", None),
            ("N", "0", None),
            ("N", "M", None),
            ("N", "2*N", None),
        ] {
            let (x, y) = (dims(a).remove(0), dims(b).remove(0));
            let got = unify_extent(&x, &y, &symbols()).ok().map(|d| d.to_string());
            assert_eq!(got.as_deref(), want, "{a} and {b}");
        }
        assert!(!same_extent(&Dim::sym("N"), &Dim::from(7), &symbols()));
        assert!(same_extent(&Dim::sym("eight"), &Dim::from(8), &symbols()));
    }

    #[test]
    fn results_past_the_limits_are_refused() {
        let ok = |shape: &str| check_extents(&TensorType::new(crate::types::DType::F32, dims(shape)), &symbols()).is_ok();
        for shape in ["", "0", "N", "281474976710656", "16777216 16777216", "0 281474976710656", "N-1"] {
            assert!(ok(shape), "{shape}");
        }
        for shape in
            ["-1", "281474976710657", "16777216 16777217", "9223372036854775807 9223372036854775807", "N-65", "N 281474976710657"]
        {
            assert!(!ok(shape), "{shape}");
        }
    }
}
