//! What a converter sees of its node: arguments, attributes, and short ways to emit core ops.

use beiming_ir::graph::{Loc, RegionId};
use beiming_ir::ops::Op;
use beiming_ir::types::{DType, Dim, TensorType};

use super::super::build::Build;
use super::super::error::{Clean, Code};
use super::super::extents;
use super::super::fail::Fail;
pub use super::super::fail::{R, SETTLE, bad_arguments, bad_attribute, unsupported};
use super::super::frame::{Frame, V};
use super::importer::Importer;
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

impl Build for Cx<'_, '_> {
    fn frame(&mut self) -> &mut Frame {
        self.im.frame()
    }

    fn top(&self) -> &Frame {
        self.im.top()
    }

    fn loc(&self) -> &Loc {
        &self.loc
    }

    fn fresh_symbol(&mut self, stem: &str, lo: i64, hi: i64) -> Dim {
        self.im.fresh_symbol(stem, lo, hi)
    }
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

    /// It must be known what input `i` will be.
    fn lacks<T>(&self, i: usize, v: V, why: &str) -> R<T> {
        let name = Clean(self.node.input.get(i).map_or("", String::as_str));
        Err(Fail::Wants(format!("its input {i}, `{name}`, {why}"), v))
    }

    /// The elements of input `i`, an integer tensor that the payload needs.
    pub fn dims(&self, i: usize) -> R<Vec<Dim>> {
        let v = self.input(i)?;
        match self.im.top().dims_of(v) {
            Some(d) => Ok(d),
            None => self.lacks(i, v, "must be a constant or computed from shapes, but depends on data"),
        }
    }

    /// Input `i` as a vector of `i64`, where nothing but the run tells its elements.
    pub fn told_by_data(&mut self, i: usize) -> R<Option<V>> {
        let v = self.input(i)?;
        if self.im.top().dims_of(v).is_some() {
            return Ok(None);
        }
        if self.rank(v) != 1 || !self.dtype(v).is_int() || self.shape(v)[0].known().is_none() {
            return self.lacks(
                i,
                v,
                "must be a constant or computed from shapes where it is no vector of integers of known length",
            );
        }
        self.cast(v, DType::I64).map(Some)
    }

    /// The elements of input `i`, extents in the range that `range` gives for each where only the run knows them.
    pub fn extents(&mut self, i: usize, range: impl Fn(usize) -> (i64, i64)) -> R<Vec<Dim>> {
        let v = self.input(i)?;
        if !self.dtype(v).is_int() && self.im.top().dims_of(v).is_none() {
            return self.lacks(i, v, "must be a constant or computed from shapes");
        }
        extents::read(self, v, &[], range)
    }

    /// The elements of input `i` as numbers.
    pub fn ints(&self, i: usize) -> R<Vec<i64>> {
        let dims = self.dims(i)?;
        let known: Option<Vec<i64>> = dims.iter().map(Dim::known).collect();
        match known {
            Some(k) => Ok(k),
            None => self.lacks(i, self.input(i)?, "must be a constant, but depends on the shapes of the inputs"),
        }
    }

    /// The elements of input `i` as floats.
    pub fn floats_in(&self, i: usize) -> R<Vec<f64>> {
        let v = self.input(i)?;
        match self.const_of(v) {
            Some(t) => Ok(t.to_f64()),
            None => self.lacks(i, v, "must be a constant, but depends on data"),
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

    // Emission beyond [`Build`].

    /// Adds a region: `body` gets values of the types of `inputs` and gives the results. Values of the enclosing frame reach it by
    /// [`Cx::capture`]; with the region comes what was so captured, in the order of its further inputs.
    pub fn region(
        &mut self,
        label: &str,
        inputs: &[(&str, TensorType)],
        body: impl FnOnce(&mut Cx<'_, 'm>, &[V]) -> R<Vec<V>>,
    ) -> R<(RegionId, Vec<V>)> {
        let (loc, since, node) = (self.loc.clone(), self.since, self.node);
        let region = self.im.region(label, inputs, |im, formals| body(&mut Cx { im, node, since, ins: vec![], loc }, formals))?;
        Ok((self.im.frame().graph.add_region(region.frame.graph), region.captures))
    }

    /// A value of the frame around the region being built, inside it.
    pub fn capture(&mut self, outer: V) -> V {
        self.im.capture(outer)
    }

    /// Positions `0..extent` along `axis` of `rank` axes, the others of extent 1.
    pub fn line(&mut self, dtype: DType, extent: Dim, axis: usize, rank: usize) -> R {
        let mut shape = vec![Dim::from(1); rank];
        shape[axis] = extent;
        self.emit(Op::Iota { dtype, shape, axis }, &[])
    }

    /// The same elements with an axis of extent 1 before axis `axis`.
    pub fn unsqueeze(&mut self, x: V, axis: usize) -> R {
        let mut shape = self.shape(x);
        shape.insert(axis, 1.into());
        self.reshape(x, shape)
    }

    /// A vector of one element per channel, reshaped to broadcast over axis 1 of rank `rank`.
    pub fn per_channel(&mut self, v: V, axis: usize, rank: usize) -> R {
        let mut shape = vec![Dim::from(1); rank];
        shape[axis] = product(&self.shape(v));
        self.reshape(v, shape)
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
