//! What a converter sees of its operation: arguments, attributes, declared results, and short ways to emit core ops.

use beiming_ir::graph::Loc;
use beiming_ir::ops::{BinaryOp, ReduceOp};
use beiming_ir::types::{DType, Dim, TensorType};

use super::super::syntax::{self, Attr, Block, Element, Function, Operation, Type};
use super::ops::{in_order, region::step};
use super::value::Val;
use super::walk::Walk;
use crate::import::build::Build;
use crate::import::error::Code;
use crate::import::fail::{Fail, R, bad_arguments, bad_attribute, unsupported};
use crate::import::frame::{Frame, V};

/// One operation in the hands of its converter.
pub struct Cx<'a, 'm> {
    /// The walk.
    pub walk: &'a mut Walk<'m>,
    /// The operation.
    pub op: &'m Operation,
    /// The function it is in, which holds the types of its values.
    pub function: &'m Function,
    /// Arguments.
    pub args: Vec<Val>,
    /// Where emitted nodes come from.
    pub loc: Loc,
}

impl Build for Cx<'_, '_> {
    fn frame(&mut self) -> &mut Frame {
        self.walk.frame()
    }

    fn top(&self) -> &Frame {
        self.walk.top()
    }

    fn loc(&self) -> &Loc {
        &self.loc
    }

    fn fresh_symbol(&mut self, stem: &str, lo: i64, hi: i64) -> Dim {
        self.walk.fresh_symbol(stem, lo, hi)
    }

    fn unequal(&mut self, a: &Dim, b: &Dim) -> bool {
        // Of two that broadcast either may be one.
        !self.walk.learn_equal(a, b) && !self.op.name.starts_with("chlo.broadcast_")
    }
}

impl<'m> Cx<'_, 'm> {
    // Arguments.

    /// The n-th argument.
    pub fn val(&self, i: usize) -> R<Val> {
        match self.args.get(i) {
            Some(v) => Ok(v.clone()),
            None => Err(Fail::Invalid(Code::Missing, format!("its argument {i} is missing"))),
        }
    }

    /// The n-th argument, a tensor that is neither complex nor quantized.
    pub fn plain(&self, i: usize) -> R {
        as_plain(&self.val(i)?, i)
    }

    /// All arguments from the n-th on, as [`Cx::plain`].
    pub fn plains(&self, from: usize) -> R<Vec<V>> {
        (from..self.args.len()).map(|i| self.plain(i)).collect()
    }

    /// Applies `f` to each graph value that a tensor consists of: for ops that only move elements.
    pub fn map(&mut self, x: &Val, mut f: impl FnMut(&mut Self, V) -> R) -> R<Val> {
        Ok(match x {
            Val::Plain(v) => Val::Plain(f(self, *v)?),
            Val::Complex(re, im) => Val::Complex(f(self, *re)?, f(self, *im)?),
            Val::Quantized(v, q) => Val::Quantized(f(self, *v)?, q.clone()),
            other => return bad_arguments(format!("it takes tensors, not {}", other.kind())),
        })
    }

    /// Applies `f` to the graph values of several tensors of one kind, plane by plane: for joins and selections.
    pub fn zip(&mut self, xs: &[Val], mut f: impl FnMut(&mut Self, &[V]) -> R) -> R<Val> {
        let Some(first) = xs.first() else { return bad_arguments("it has no arguments") };
        if !xs.iter().all(|x| x.same_structure(first)) {
            return bad_arguments("its arguments are tensors of different kinds");
        }
        let planes: Vec<Vec<V>> = xs.iter().map(|x| super::value::flatten(std::slice::from_ref(x))).collect();
        let out =
            (0..planes[0].len()).map(|k| f(self, &planes.iter().map(|p| p[k]).collect::<Vec<_>>())).collect::<R<Vec<V>>>()?;
        first.rebuilt(&mut out.into_iter()).ok_or(Fail::Poisoned)
    }

    /// Shape of a tensor.
    pub fn shape_of(&self, x: &Val) -> R<Vec<Dim>> {
        match x {
            Val::Plain(v) | Val::Complex(v, _) | Val::Quantized(v, _) => Ok(self.shape(*v)),
            other => bad_arguments(format!("it takes tensors, not {}", other.kind())),
        }
    }

    /// The elements of argument `i`, an integer tensor that the graph's shapes depend on.
    pub fn dims(&mut self, i: usize) -> R<Vec<Dim>> {
        let v = self.plain(i)?;
        if let Some(d) = self.top().dims_of(v) {
            return Ok(d);
        }
        // Read as extents, these arguments of the program may settle it.
        if self.walk.learn_valued(v) {
            return Err(Fail::Poisoned);
        }
        let why = match self.walk.culprit(v) {
            Some(what) => format!("depends on {what}"),
            None => "depends on data".to_string(),
        };
        unsupported(format!("its argument {i} must be a constant or computed from shapes, but {why}"))
    }

    /// The elements of argument `i`, which must be known numbers.
    pub fn known(&mut self, i: usize) -> R<Vec<i64>> {
        match self.dims(i)?.iter().map(Dim::known).collect() {
            Some(k) => Ok(k),
            None => unsupported(format!("its argument {i} must be a constant, but depends on the shapes of the inputs")),
        }
    }

    // Attributes.

    /// An attribute.
    pub fn attr(&self, name: &str) -> Option<&'m Attr> {
        self.op.attrs.get(name)
    }

    fn missing<T>(name: &str) -> R<T> {
        Err(Fail::Invalid(Code::Missing, format!("attribute `{name}` is missing")))
    }

    fn kind<T>(name: &str, want: &str) -> R<T> {
        Err(Fail::Invalid(Code::AttributeKind, format!("attribute `{name}` must be {want}")))
    }

    /// A list of integers, if it is there.
    pub fn ints_opt(&self, name: &str) -> R<Option<Vec<i64>>> {
        match self.attr(name) {
            None => Ok(None),
            Some(a) => match a.ints() {
                Some(l) => Ok(Some(l)),
                None => Self::kind(name, "a list of integers"),
            },
        }
    }

    /// A list of integers, which must be there.
    pub fn ints(&self, name: &str) -> R<Vec<i64>> {
        self.ints_opt(name)?.map_or_else(|| Self::missing(name), Ok)
    }

    /// A list of integers of length `n`, or `default` that often.
    pub fn ints_or(&self, name: &str, n: usize, default: i64) -> R<Vec<i64>> {
        match self.ints_opt(name)? {
            None => Ok(vec![default; n]),
            Some(l) if l.len() == n => Ok(l),
            Some(l) => bad_attribute(format!("attribute `{name}` has {} numbers, not {n}", l.len())),
        }
    }

    /// A list of distinct or repeated axes of a tensor of rank `rank`; none where it is absent.
    pub fn axes(&self, name: &str, rank: usize) -> R<Vec<usize>> {
        axes_in(name, &self.ints_opt(name)?.unwrap_or_default(), rank)
    }

    /// An integer, if it is there.
    pub fn int_opt(&self, name: &str) -> R<Option<i64>> {
        match self.attr(name) {
            None => Ok(None),
            Some(Attr::Int(v, _)) => Ok(Some(*v)),
            Some(_) => Self::kind(name, "an integer"),
        }
    }

    /// An integer, which must be there.
    pub fn int(&self, name: &str) -> R<i64> {
        self.int_opt(name)?.map_or_else(|| Self::missing(name), Ok)
    }

    /// An axis of a tensor of rank `rank`.
    pub fn axis(&self, name: &str, rank: usize) -> R<usize> {
        Ok(axes_in(name, &[self.int(name)?], rank)?[0])
    }

    /// A float, if it is there.
    pub fn float_opt(&self, name: &str) -> R<Option<f64>> {
        match self.attr(name) {
            None => Ok(None),
            Some(Attr::Float(v, _)) => Ok(Some(*v)),
            Some(_) => Self::kind(name, "a float"),
        }
    }

    /// A boolean; false where it is absent.
    pub fn flag(&self, name: &str) -> R<bool> {
        match self.attr(name) {
            None => Ok(false),
            Some(Attr::Unit) => Ok(true),
            Some(Attr::Bool(b)) => Ok(*b),
            Some(_) => Self::kind(name, "a boolean"),
        }
    }

    /// A string, symbol or enumerator, if it is there.
    pub fn text_opt(&self, name: &str) -> R<Option<&'m str>> {
        match self.attr(name) {
            None => Ok(None),
            Some(a) => a.text().map_or_else(|| Self::kind(name, "a name"), |t| Ok(Some(t))),
        }
    }

    /// A string, symbol or enumerator, which must be there.
    pub fn text(&self, name: &str) -> R<&'m str> {
        self.text_opt(name)?.map_or_else(|| Self::missing(name), Ok)
    }

    /// The n-th region.
    pub fn block(&self, i: usize) -> R<&'m Block> {
        match self.op.regions.get(i) {
            Some(b) => Ok(b),
            None => Err(Fail::Invalid(Code::Missing, format!("its region {i} is missing"))),
        }
    }

    // As written.

    /// Whether folds of `v` by a function are to be rounded at each step, in order: where the program is computed as written, and
    /// that makes a difference.
    pub fn stepwise(&self, f: BinaryOp, v: V) -> bool {
        self.walk.as_written && self.dtype(v).is_float() && matches!(f, BinaryOp::Add | BinaryOp::Mul)
    }

    /// As [`Build::reduce`], in order where the program is computed as written.
    pub fn reduce(&mut self, op: ReduceOp, x: V, axes: Vec<usize>, keep: bool) -> R {
        match !axes.is_empty() && self.stepwise(step(op), x) {
            true => in_order::reduce(self, op, x, axes, keep),
            false => Build::reduce(self, op, x, axes, keep),
        }
    }

    // Declared results.

    /// The declared type of the n-th result.
    pub fn result_type(&self, i: usize) -> R<&'m Type> {
        let ty = self.op.results.get(i).and_then(|v| self.function.values.get(v.index()));
        ty.map_or_else(|| Err(Fail::Invalid(Code::Missing, format!("its result {i} is missing"))), Ok)
    }

    /// The declared type of the n-th result, a tensor.
    pub fn result_tensor(&self, i: usize) -> R<&'m syntax::TensorType> {
        match self.result_type(i)? {
            Type::Tensor(t) => Ok(t),
            _ => bad_arguments(format!("its result {i} must be a tensor")),
        }
    }

    /// The declared shape of the n-th result, where it holds no `?`.
    pub fn result_shape(&self, i: usize) -> R<Option<Vec<Dim>>> {
        let t = self.result_tensor(i)?;
        t.shape
            .iter()
            .map(|e| e.map(|e| i64::try_from(e).map(Dim::Known)))
            .collect::<Option<Result<Vec<_>, _>>>()
            .transpose()
            .map_or_else(|_| Err(Fail::Invalid(Code::Dimension, "an extent exceeds 2^63".into())), Ok)
    }

    /// The declared shape of the n-th result, which must be static.
    pub fn static_result(&self, i: usize) -> R<Vec<Dim>> {
        self.result_shape(i)?.map_or_else(|| bad_arguments(format!("its result {i} must have a static shape")), Ok)
    }

    /// The declared element type of the n-th result: for complex results that of the parts, for quantized ones the
    /// type of the numbers they stand for.
    pub fn result_dtype(&self, i: usize) -> R<DType> {
        match &self.result_tensor(i)?.element {
            Element::Plain(DType::C64) => Ok(DType::F32),
            Element::Plain(DType::C128) => Ok(DType::F64),
            Element::Plain(d) => Ok(*d),
            // The size of `index` is the target's; every target here has 64 bits.
            Element::Index => Ok(DType::I64),
            Element::Quantized(q) => Ok(q.expressed),
        }
    }

    /// A constant of one number for every element, of type and shape of `like`.
    pub fn full_like(&mut self, like: V, v: f64) -> R {
        let TensorType { dtype, shape } = self.ty(like).clone();
        let s = self.scalar(dtype, v);
        self.broadcast(s, shape)
    }
}

/// The tensor of a value that is neither complex nor quantized; `i` is the argument's number.
pub fn as_plain(x: &Val, i: usize) -> R {
    match x {
        Val::Plain(v) => Ok(*v),
        Val::Complex(..) => unsupported(format!("its argument {i} is complex")),
        Val::Quantized(..) => unsupported(format!("its argument {i} is quantized")),
        other => bad_arguments(format!("its argument {i} must be a tensor, not {}", other.kind())),
    }
}

/// Axes out of attribute numbers, checked.
pub fn axes_in(name: &str, list: &[i64], rank: usize) -> R<Vec<usize>> {
    list.iter()
        .map(|a| match usize::try_from(*a) {
            Ok(a) if a < rank => Ok(a),
            _ => bad_attribute(format!("`{name}` names axis {a}, which a tensor of rank {rank} does not have")),
        })
        .collect()
}

/// Positions out of attribute numbers: not negative, and far from overflow.
pub fn amounts(name: &str, list: &[i64], least: usize) -> R<Vec<usize>> {
    list.iter()
        .map(|a| match usize::try_from(*a) {
            Ok(a) if a >= least && a <= 1 << 48 => Ok(a),
            _ => bad_attribute(format!("`{name}` holds {a}, which must be at least {least}")),
        })
        .collect()
}
