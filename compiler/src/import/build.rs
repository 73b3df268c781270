//! Short ways to emit core ops into the frame being filled; shared by the converters of all importers.

use beiming_ir::graph::Loc;
use beiming_ir::ops::{BinaryOp, InferError, Op, ReduceOp, Slice, UnaryOp};
use beiming_ir::tensor::Tensor;
use beiming_ir::types::{DType, Dim, Symbols, TensorType};

use super::error::Code;
use super::fail::{Fail, R, SETTLE, bad_arguments, unsupported};
use super::frame::{Frame, V};
use super::{content, extents};

/// A converter's view of the graph under construction.
pub trait Build: Sized {
    /// The frame being filled.
    fn frame(&mut self) -> &mut Frame;

    /// The frame being filled, to read.
    fn top(&self) -> &Frame;

    /// Where emitted nodes come from.
    fn loc(&self) -> &Loc;

    /// A symbol that nothing else uses, with a range; for extents that only the run knows.
    fn fresh_symbol(&mut self, stem: &str, lo: i64, hi: i64) -> Dim;

    /// Hears of two extents of which nothing shows that they are equal, where an op needs them to be. True where the op is to be
    /// added all the same, and the run is to check it.
    fn unequal(&mut self, _a: &Dim, _b: &Dim) -> bool {
        false
    }

    /// Type of a value.
    fn ty(&self, v: V) -> &TensorType {
        self.top().ty(v)
    }

    /// Element type of a value.
    fn dtype(&self, v: V) -> DType {
        self.ty(v).dtype
    }

    /// Shape of a value.
    fn shape(&self, v: V) -> Vec<Dim> {
        self.ty(v).shape.clone()
    }

    /// Rank of a value.
    fn rank(&self, v: V) -> usize {
        self.ty(v).rank()
    }

    /// Ranges of the symbols.
    fn symbols(&self) -> &Symbols {
        &self.top().graph.symbols
    }

    /// The known extent of an axis, or why it must be known.
    fn extent(&self, v: V, axis: usize, what: &str) -> R<usize> {
        match self.ty(v).shape.get(axis) {
            Some(d) => match d.known().and_then(|k| usize::try_from(k).ok()) {
                Some(k) => Ok(k),
                None => unsupported(format!("{what} is `{d}`, but must be a known number")),
            },
            None => bad_arguments(format!("{what} is axis {axis} of an argument of rank {}", self.rank(v))),
        }
    }

    /// The tensor that a value always holds.
    fn const_of(&self, v: V) -> Option<&Tensor> {
        self.top().const_of(v)
    }

    /// Adds an op of one result.
    fn emit(&mut self, op: Op, args: &[V]) -> R {
        Ok(self.emit_all(op, args)?[0])
    }

    /// Adds an op.
    fn emit_all(&mut self, op: Op, args: &[V]) -> R<Vec<V>> {
        let loc = self.loc().clone();
        let first = self.frame().emit(op.clone(), args, &loc);
        if let Err(InferError { unequal: Some(_), .. }) = &first
            && let Some(args) = extents::made_to_fit(self, &op, args)?
        {
            return self.emit_all(op, &args);
        }
        first.map_err(|e| {
            // With symbols in play the model may be right for the values it is meant for.
            match args.iter().flat_map(|v| self.ty(*v).shape.iter()).any(|d| d.known().is_none()) {
                true => Fail::Unsupported(format!("{e}; {SETTLE}")),
                false => Fail::Invalid(Code::Arguments, e.to_string()),
            }
        })
    }

    /// A constant.
    fn constant(&mut self, t: Tensor) -> V {
        let loc = self.loc().clone();
        self.frame().constant(t, &loc)
    }

    /// A rank-0 constant, rounded to `dtype`.
    fn scalar(&mut self, dtype: DType, v: f64) -> V {
        let loc = self.loc().clone();
        self.frame().scalar(dtype, v, &loc)
    }

    /// A rank-0 constant of the type of `like`.
    fn scalar_like(&mut self, like: V, v: f64) -> V {
        self.scalar(self.dtype(like), v)
    }

    /// A list of dimension expressions as an `i64` vector.
    fn dim_vector(&mut self, dims: Vec<Dim>) -> V {
        let ty = TensorType::known(DType::I64, &[dims.len()]);
        let loc = self.loc().clone();
        self.frame().contents(ty, dims, &loc)
    }

    /// One dimension expression as an `i64` scalar.
    fn dim_scalar(&mut self, d: Dim) -> V {
        let loc = self.loc().clone();
        self.frame().contents(TensorType::scalar(DType::I64), vec![d], &loc)
    }

    /// A function of one argument.
    fn unary(&mut self, op: UnaryOp, x: V) -> R {
        self.emit(Op::Unary(op), &[x])
    }

    /// A function of two arguments.
    fn binary(&mut self, op: BinaryOp, x: V, y: V) -> R {
        self.emit(Op::Binary(op), &[x, y])
    }

    /// A function of an argument and a number.
    fn with(&mut self, op: BinaryOp, x: V, y: f64) -> R {
        let y = self.scalar_like(x, y);
        self.binary(op, x, y)
    }

    /// `c ? x : y`.
    fn select(&mut self, c: V, x: V, y: V) -> R {
        self.emit(Op::Select, &[c, x, y])
    }

    /// Conversion; nothing where the type is right already.
    fn cast(&mut self, x: V, to: DType) -> R {
        if self.dtype(x) == to { Ok(x) } else { self.emit(Op::Cast { to }, &[x]) }
    }

    /// Another shape; nothing where it is right already.
    fn reshape(&mut self, x: V, shape: Vec<Dim>) -> R {
        if self.ty(x).shape == shape { Ok(x) } else { self.emit(Op::Reshape { shape }, &[x]) }
    }

    /// Another order of axes; nothing where it is the same.
    fn transpose(&mut self, x: V, perm: Vec<usize>) -> R {
        if perm.iter().enumerate().all(|(i, p)| i == *p) { Ok(x) } else { self.emit(Op::Transpose { perm }, &[x]) }
    }

    /// A larger shape; nothing where it is right already.
    fn broadcast(&mut self, x: V, shape: Vec<Dim>) -> R {
        if self.ty(x).shape == shape { Ok(x) } else { self.emit(Op::Broadcast { shape }, &[x]) }
    }

    /// A reduction; nothing without axes.
    fn reduce(&mut self, op: ReduceOp, x: V, axes: Vec<usize>, keep: bool) -> R {
        if axes.is_empty() { Ok(x) } else { self.emit(Op::Reduce { op, axes, keep }, &[x]) }
    }

    /// Elements `start..start + len` of one axis.
    fn slice_axis(&mut self, x: V, axis: usize, start: Dim, len: Dim) -> R {
        let shape = self.shape(x);
        let mut s = Slice { start: vec![Dim::Known(0); shape.len()], len: shape.clone(), step: vec![1; shape.len()] };
        s.start[axis] = start;
        s.len[axis] = len;
        if s.len == shape { Ok(x) } else { self.emit(Op::Slice(s), &[x]) }
    }

    /// Elements joined along an axis; nothing where there is one.
    fn concat(&mut self, parts: &[V], axis: usize) -> R {
        if let [one] = parts { Ok(*one) } else { self.emit(Op::Concat { axis }, parts) }
    }

    /// The larger of two extents.
    fn max_dim(&self, a: &Dim, b: &Dim) -> Dim {
        content::max(a, b, self.symbols())
    }

    /// The smaller of two extents.
    fn min_dim(&self, a: &Dim, b: &Dim) -> Dim {
        content::min(a, b, self.symbols())
    }
}
