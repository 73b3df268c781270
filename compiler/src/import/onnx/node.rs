//! What a converter sees of its node: arguments, attributes, and short ways to emit core ops.

use beiming_ir::graph::Loc;
use beiming_ir::ops::{BinaryOp, Op, ReduceOp, Slice, UnaryOp};
use beiming_ir::tensor::Tensor;
use beiming_ir::types::{DType, Dim, Symbols, TensorType};

use super::super::error::{Clean, Code};
use super::content;
use super::frame::V;
use super::importer::{Fail, Importer};
use super::ops::Row;
use super::proto::{AttributeProto, GraphProto, NodeProto, attribute_proto::AttributeType};

/// One node in the hands of its converter.
pub struct Cx<'a, 'm> {
    /// The walk.
    pub im: &'a mut Importer<'m>,
    /// The node.
    pub node: &'m NodeProto,
    /// The version of the operator that the model means.
    pub since: i64,
    /// Arguments; `None` for optional ones that are not given. Trailing ones are cut off.
    pub ins: Vec<Option<V>>,
    /// Where emitted nodes come from.
    pub loc: Loc,
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

/// The axis that `axis` means for `rank`; negative ones count from the end.
pub fn axis_of(axis: i64, rank: usize) -> R<usize> {
    let r = rank as i64;
    if (-r..r).contains(&axis) {
        return Ok(if axis < 0 { axis + r } else { axis } as usize);
    }
    bad_attribute(format!("axis {axis} is out of range for rank {rank}"))
}

/// Distinct axes in ascending order.
pub fn axes_of(axes: &[i64], rank: usize) -> R<Vec<usize>> {
    let mut out = axes.iter().map(|a| axis_of(*a, rank)).collect::<R<Vec<_>>>()?;
    out.sort_unstable();
    if out.windows(2).any(|w| w[0] == w[1]) {
        return bad_attribute(format!("axes {axes:?} hold one axis twice (rank {rank})"));
    }
    Ok(out)
}

/// Product of extents.
pub fn product(dims: &[Dim]) -> Dim {
    dims.iter().fold(Dim::from(1), |a, d| a * d.clone())
}

impl<'m> Cx<'_, 'm> {
    // Arguments.

    /// Checks the number of inputs and outputs against the table.
    pub fn check_inputs(&self, row: &Row) -> R<()> {
        let n = self.node.input.len();
        if n > row.max_inputs && self.ins.len() > row.max_inputs {
            return Err(Fail::Invalid(Code::Missing, format!("it has {n} inputs, at most {} are allowed", row.max_inputs)));
        }
        if self.node.output.is_empty() {
            return Err(Fail::Invalid(Code::Missing, "it has no outputs".into()));
        }
        Ok(())
    }

    /// The n-th argument, which must be there.
    pub fn input(&self, i: usize) -> R {
        match self.opt(i) {
            Some(v) => Ok(v),
            None => Err(Fail::Invalid(Code::Missing, format!("its input {i} is missing"))),
        }
    }

    /// The n-th argument, if it is there.
    pub fn opt(&self, i: usize) -> Option<V> {
        self.ins.get(i).copied().flatten()
    }

    /// All arguments, of which there must be at least one and no gaps.
    pub fn all(&self) -> R<Vec<V>> {
        if self.ins.is_empty() {
            self.input(0)?;
        }
        (0..self.ins.len()).map(|i| self.input(i)).collect()
    }

    /// True where the n-th result is used.
    pub fn wants(&self, i: usize) -> bool {
        self.node.output.get(i).is_some_and(|o| !o.is_empty())
    }

    /// Type of a value.
    pub fn ty(&self, v: V) -> &TensorType {
        self.im.top().ty(v)
    }

    /// Element type of a value.
    pub fn dtype(&self, v: V) -> DType {
        self.ty(v).dtype
    }

    /// Shape of a value.
    pub fn shape(&self, v: V) -> Vec<Dim> {
        self.ty(v).shape.clone()
    }

    /// Rank of a value.
    pub fn rank(&self, v: V) -> usize {
        self.ty(v).rank()
    }

    /// Ranges of the symbols.
    pub fn symbols(&self) -> &Symbols {
        &self.im.top().graph.symbols
    }

    /// The known extent of an axis, or why it must be known.
    pub fn extent(&self, v: V, axis: usize, what: &str) -> R<usize> {
        match self.ty(v).shape.get(axis) {
            Some(d) => match d.known().and_then(|k| usize::try_from(k).ok()) {
                Some(k) => Ok(k),
                None => unsupported(format!("{what} is `{d}`, but must be a known number")),
            },
            None => bad_arguments(format!("{what} is axis {axis} of an argument of rank {}", self.rank(v))),
        }
    }

    /// The tensor that a value always holds.
    pub fn const_of(&self, v: V) -> Option<&Tensor> {
        self.im.top().const_of(v)
    }

    /// The elements of input `i`, an integer tensor that the payload needs.
    pub fn dims(&self, i: usize) -> R<Vec<Dim>> {
        let v = self.input(i)?;
        match self.im.top().dims_of(v) {
            Some(d) => Ok(d),
            None => unsupported(format!(
                "its input {i}, `{}`, must be a constant or computed from shapes, but depends on data",
                Clean(self.node.input.get(i).map_or("", String::as_str))
            )),
        }
    }

    /// The elements of input `i` as numbers.
    pub fn ints(&self, i: usize) -> R<Vec<i64>> {
        let dims = self.dims(i)?;
        let known: Option<Vec<i64>> = dims.iter().map(Dim::known).collect();
        match known {
            Some(k) => Ok(k),
            None => unsupported(format!(
                "its input {i}, `{}`, must be a constant, but depends on the shapes of the inputs",
                Clean(self.node.input.get(i).map_or("", String::as_str))
            )),
        }
    }

    /// The elements of input `i` as floats.
    pub fn floats_in(&self, i: usize) -> R<Vec<f64>> {
        let v = self.input(i)?;
        match self.const_of(v) {
            Some(t) => Ok(t.to_f64()),
            None => unsupported(format!(
                "its input {i}, `{}`, must be a constant, but depends on data",
                Clean(self.node.input.get(i).map_or("", String::as_str))
            )),
        }
    }

    /// The single element of input `i`.
    pub fn dim(&self, i: usize) -> R<Dim> {
        match self.dims(i)?.as_slice() {
            [d] => Ok(d.clone()),
            d => bad_arguments(format!("its input {i} must hold one element, not {}", d.len())),
        }
    }

    // Attributes.

    /// The attribute `name`, if it is there; one that refers to the enclosing function's stands for that one's value.
    pub fn attribute(&self, name: &str) -> Option<&'m AttributeProto> {
        let a = self.node.attribute.iter().find(|a| a.name() == name)?;
        if a.ref_attr_name().is_empty() { Some(a) } else { self.im.outer_attribute(a.ref_attr_name()) }
    }

    fn typed(&self, name: &str, want: AttributeType) -> R<Option<&'m AttributeProto>> {
        let Some(a) = self.attribute(name) else { return Ok(None) };
        // Files older than IR version 2 leave the type out.
        if a.r#type.is_some() && a.r#type() != AttributeType::Undefined && a.r#type() != want {
            let (have, want) = (a.r#type().as_str_name(), want.as_str_name());
            return Err(Fail::Invalid(Code::AttributeKind, format!("attribute `{name}` is of type {have}; it must be {want}")));
        }
        Ok(Some(a))
    }

    /// An integer attribute.
    pub fn int_opt(&self, name: &str) -> R<Option<i64>> {
        Ok(self.typed(name, AttributeType::Int)?.map(|a| a.i()))
    }

    /// An integer attribute or its default.
    pub fn int(&self, name: &str, default: i64) -> R<i64> {
        Ok(self.int_opt(name)?.unwrap_or(default))
    }

    /// An attribute that is 0 or 1.
    pub fn flag(&self, name: &str, default: bool) -> R<bool> {
        Ok(self.int(name, default.into())? != 0)
    }

    /// A float attribute.
    pub fn float_opt(&self, name: &str) -> R<Option<f64>> {
        Ok(self.typed(name, AttributeType::Float)?.map(|a| a.f().into()))
    }

    /// A float attribute or its default, which is rounded to f32 as attributes are.
    pub fn float(&self, name: &str, default: f64) -> R<f64> {
        Ok(self.float_opt(name)?.unwrap_or(f64::from(default as f32)))
    }

    /// A string attribute or its default.
    pub fn string(&self, name: &str, default: &str) -> R<String> {
        let a = self.typed(name, AttributeType::String)?;
        Ok(a.map_or(default.to_string(), |a| String::from_utf8_lossy(a.s()).into_owned()))
    }

    /// A list of integers, if it is there.
    pub fn int_list(&self, name: &str) -> R<Option<Vec<i64>>> {
        Ok(self.typed(name, AttributeType::Ints)?.map(|a| a.ints.clone()))
    }

    /// A list of floats, if it is there.
    pub fn float_list(&self, name: &str) -> R<Option<Vec<f64>>> {
        Ok(self.typed(name, AttributeType::Floats)?.map(|a| a.floats.iter().map(|x| f64::from(*x)).collect()))
    }

    /// A list of strings, if it is there.
    pub fn string_list(&self, name: &str) -> R<Option<Vec<String>>> {
        let text = |s: &bytes::Bytes| String::from_utf8_lossy(s).into_owned();
        Ok(self.typed(name, AttributeType::Strings)?.map(|a| a.strings.iter().map(text).collect()))
    }

    /// A graph attribute, which must be there.
    pub fn graph(&self, name: &str) -> R<&'m GraphProto> {
        match self.typed(name, AttributeType::Graph)?.and_then(|a| a.g.as_ref()) {
            Some(g) => Ok(g),
            None => Err(Fail::Invalid(Code::Missing, format!("attribute `{name}` is missing"))),
        }
    }

    // Emission.

    /// Adds an op of one result.
    pub fn emit(&mut self, op: Op, args: &[V]) -> R {
        Ok(self.emit_all(op, args)?[0])
    }

    /// Adds an op.
    pub fn emit_all(&mut self, op: Op, args: &[V]) -> R<Vec<V>> {
        let loc = self.loc.clone();
        self.im.frame().emit(op, args, &loc).map_err(|e| {
            // With symbols in play the model may be right for the values it is meant for.
            match args.iter().flat_map(|v| self.ty(*v).shape.iter()).any(|d| d.known().is_none()) {
                true => Fail::Unsupported(format!("{e}; {SETTLE}")),
                false => Fail::Invalid(Code::Arguments, e.to_string()),
            }
        })
    }

    /// A constant.
    pub fn constant(&mut self, t: Tensor) -> V {
        let loc = self.loc.clone();
        self.im.frame().constant(t, &loc)
    }

    /// A rank-0 constant, rounded to `dtype`.
    pub fn scalar(&mut self, dtype: DType, v: f64) -> V {
        let loc = self.loc.clone();
        self.im.frame().scalar(dtype, v, &loc)
    }

    /// A rank-0 constant of the type of `like`.
    pub fn scalar_like(&mut self, like: V, v: f64) -> V {
        self.scalar(self.dtype(like), v)
    }

    /// A list of dimension expressions as an `i64` vector.
    pub fn dim_vector(&mut self, dims: Vec<Dim>) -> V {
        let ty = TensorType::known(DType::I64, &[dims.len()]);
        let loc = self.loc.clone();
        self.im.frame().contents(ty, dims, &loc)
    }

    /// One dimension expression as an `i64` scalar.
    pub fn dim_scalar(&mut self, d: Dim) -> V {
        let loc = self.loc.clone();
        self.im.frame().contents(TensorType::scalar(DType::I64), vec![d], &loc)
    }

    /// A function of one argument.
    pub fn unary(&mut self, op: UnaryOp, x: V) -> R {
        self.emit(Op::Unary(op), &[x])
    }

    /// A function of two arguments.
    pub fn binary(&mut self, op: BinaryOp, x: V, y: V) -> R {
        self.emit(Op::Binary(op), &[x, y])
    }

    /// A function of an argument and a number.
    pub fn with(&mut self, op: BinaryOp, x: V, y: f64) -> R {
        let y = self.scalar_like(x, y);
        self.binary(op, x, y)
    }

    /// `c ? x : y`.
    pub fn select(&mut self, c: V, x: V, y: V) -> R {
        self.emit(Op::Select, &[c, x, y])
    }

    /// Conversion; nothing where the type is right already.
    pub fn cast(&mut self, x: V, to: DType) -> R {
        if self.dtype(x) == to { Ok(x) } else { self.emit(Op::Cast { to }, &[x]) }
    }

    /// Another shape; nothing where it is right already.
    pub fn reshape(&mut self, x: V, shape: Vec<Dim>) -> R {
        if self.ty(x).shape == shape { Ok(x) } else { self.emit(Op::Reshape { shape }, &[x]) }
    }

    /// Another order of axes; nothing where it is the same.
    pub fn transpose(&mut self, x: V, perm: Vec<usize>) -> R {
        if perm.iter().enumerate().all(|(i, p)| i == *p) { Ok(x) } else { self.emit(Op::Transpose { perm }, &[x]) }
    }

    /// A larger shape; nothing where it is right already.
    pub fn broadcast(&mut self, x: V, shape: Vec<Dim>) -> R {
        if self.ty(x).shape == shape { Ok(x) } else { self.emit(Op::Broadcast { shape }, &[x]) }
    }

    /// A reduction; nothing without axes.
    pub fn reduce(&mut self, op: ReduceOp, x: V, axes: Vec<usize>, keep: bool) -> R {
        if axes.is_empty() { Ok(x) } else { self.emit(Op::Reduce { op, axes, keep }, &[x]) }
    }

    /// Elements `start..start + len` of one axis.
    pub fn slice_axis(&mut self, x: V, axis: usize, start: Dim, len: Dim) -> R {
        let shape = self.shape(x);
        let mut s = Slice { start: vec![Dim::Known(0); shape.len()], len: shape.clone(), step: vec![1; shape.len()] };
        s.start[axis] = start;
        s.len[axis] = len;
        if s.len == shape { Ok(x) } else { self.emit(Op::Slice(s), &[x]) }
    }

    /// Elements joined along an axis; nothing where there is one.
    pub fn concat(&mut self, parts: &[V], axis: usize) -> R {
        if let [one] = parts { Ok(*one) } else { self.emit(Op::Concat { axis }, parts) }
    }

    /// A vector of one element per channel, reshaped to broadcast over axis 1 of rank `rank`.
    pub fn per_channel(&mut self, v: V, axis: usize, rank: usize) -> R {
        let mut shape = vec![Dim::from(1); rank];
        shape[axis] = product(&self.shape(v));
        self.reshape(v, shape)
    }

    /// The larger of two extents.
    pub fn max_dim(&self, a: &Dim, b: &Dim) -> Dim {
        content::max(a, b, self.symbols())
    }

    /// The smaller of two extents.
    pub fn min_dim(&self, a: &Dim, b: &Dim) -> Dim {
        content::min(a, b, self.symbols())
    }

    /// Computes `f` in f32 where the argument is a narrower float, as the standard asks of normalisations.
    pub fn in_f32(&mut self, x: V, f: impl FnOnce(&mut Self, V) -> R) -> R {
        let dtype = self.dtype(x);
        if dtype.is_float() && dtype.size() < 4 {
            let wide = self.cast(x, DType::F32)?;
            let y = f(self, wide)?;
            return self.cast(y, dtype);
        }
        f(self, x)
    }
}
