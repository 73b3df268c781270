//! The graph being built, with values that are not in it yet.
//!
//! Importing computes two things beside nodes: constants, and the contents of integer tensors as dimension expressions (what
//! `Shape` gives and what is computed from it). Neither becomes a node until an op needs it as data, so a graph holds no
//! remains of the shape arithmetic that its importer has already done.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use beiming_ir::graph::{Graph, Loc, ValueId};
use beiming_ir::ops::{Assumed, BinaryOp, InferError, Op, ReadDims, infer_assuming};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim, Range, Symbols, TensorType};

use super::content;

/// A value of the frame on top of the importer's stack.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct V(u32);

/// What is known of a value.
#[derive(Clone, Debug)]
enum Known {
    /// Nothing; the value is in the graph.
    No,
    /// Everything.
    Const(Tensor),
    /// Elements in row-major order, as expressions; every extent is known.
    Dims(Arc<[Dim]>),
}

#[derive(Clone, Debug)]
struct Val {
    ty: TensorType,
    known: Known,
    /// Its place in the graph, once it has one.
    id: Option<ValueId>,
    loc: Loc,
}

/// Most elements of a tensor whose contents are tracked as expressions.
const MAX_CONTENT: usize = 4096;

/// Most bytes that the arguments and results of a folded op may have together.
const FOLD_BYTES: usize = 1 << 20;

/// Most bytes of a folded result that is larger than its arguments: a broadcast is better as a view.
const GROW_BYTES: usize = 1 << 14;

/// How deep two computations are compared: the start and the end of a window are often computed apart.
const MAX_SAME: usize = 8;

/// A graph under construction.
pub struct Frame {
    /// The nodes so far.
    pub graph: Graph,
    vals: Vec<Val>,
    /// Scalar constants made so far, by type and bits: most elementwise formulas need one.
    scalars: HashMap<(DType, u64), V>,
    /// Of the outermost graph: ranges that the user gives to symbols that are yet to be made.
    pub asked: BTreeMap<String, Range>,
    /// What the run checks already.
    checked: BTreeSet<Assumed>,
    /// Comparisons of extents are contents too where the ranges do not decide them, as expressions that are 0 or 1.
    pub truths: bool,
}

/// Declares in all frames a symbol that none of them has, with a range; `next` counts the names that were tried.
pub fn fresh_symbol(frames: &mut [&mut Frame], next: &mut usize, stem: &str, lo: i64, hi: i64) -> Dim {
    let name = loop {
        let name = format!("{stem}_{next}");
        *next += 1;
        if frames.iter().all(|f| !f.graph.symbols.0.contains_key(name.as_str())) {
            break name;
        }
    };
    let asked = frames.first_mut().and_then(|f| f.asked.remove(&name));
    let (lo, hi) = match asked.map(|r| (lo.max(r.lo), hi.min(r.hi))) {
        Some((lo, hi)) if lo <= hi => (lo, hi),
        _ => (lo, hi),
    };
    for f in frames {
        f.graph.symbols.declare(&name, lo, hi);
    }
    Dim::sym(&name)
}

impl Frame {
    /// An empty graph.
    pub fn new(name: &str, symbols: Symbols) -> Frame {
        Frame {
            graph: Graph::new(name, symbols),
            vals: vec![],
            scalars: HashMap::new(),
            asked: BTreeMap::new(),
            checked: BTreeSet::new(),
            truths: false,
        }
    }

    fn add(&mut self, ty: TensorType, known: Known, id: Option<ValueId>, loc: &Loc) -> V {
        self.vals.push(Val { ty, known, id, loc: loc.clone() });
        V(self.vals.len() as u32 - 1)
    }

    /// Adds an input of the graph.
    pub fn input(&mut self, name: &str, ty: TensorType) -> V {
        let id = self.graph.add_input(name, ty.clone());
        self.add(ty, Known::No, Some(id), &Loc::default())
    }

    /// Adds a constant, which joins the graph when it is used.
    pub fn constant(&mut self, t: Tensor, loc: &Loc) -> V {
        self.add(t.ty(), Known::Const(t), None, loc)
    }

    /// A rank-0 constant, rounded to `dtype`; equal ones are one value.
    pub fn scalar(&mut self, dtype: DType, v: f64, loc: &Loc) -> V {
        if let Some(v) = self.scalars.get(&(dtype, v.to_bits())) {
            return *v;
        }
        let n = if dtype.is_float() || dtype.is_complex() { Num::Float(v) } else { Num::Int(v as i128) };
        let made = self.constant(Tensor::scalar(dtype, n), loc);
        self.scalars.insert((dtype, v.to_bits()), made);
        made
    }

    /// Adds an integer tensor of known contents, row-major. `ty` has known extents that fit `dims`.
    pub fn contents(&mut self, ty: TensorType, dims: Vec<Dim>, loc: &Loc) -> V {
        let known: Option<Vec<i64>> = dims.iter().map(Dim::known).collect();
        match (known, ty.static_shape()) {
            (Some(k), Some(shape)) => {
                let num = |i: usize| if ty.dtype.is_float() { Num::Float(k[i] as f64) } else { Num::Int(k[i].into()) };
                let t = Tensor::build(ty.dtype, &shape, num);
                self.constant(t, loc)
            }
            _ => self.add(ty, Known::Dims(dims.into()), None, loc),
        }
    }

    /// Copies a value of an enclosing frame that needs no node there; `None` for one that must be captured.
    pub fn copy_known(&mut self, outer: &Frame, v: V) -> Option<V> {
        let val = &outer.vals[v.0 as usize];
        match val.known {
            Known::No => None,
            _ => Some(self.add(val.ty.clone(), val.known.clone(), None, &val.loc)),
        }
    }

    /// The type of a value.
    pub fn ty(&self, v: V) -> &TensorType {
        &self.vals[v.0 as usize].ty
    }

    /// The tensor a value always holds.
    pub fn const_of(&self, v: V) -> Option<&Tensor> {
        match &self.vals[v.0 as usize].known {
            Known::Const(t) => Some(t),
            _ => None,
        }
    }

    /// The elements of a small tensor as expressions, where they are known and whole numbers.
    pub fn dims_of(&self, v: V) -> Option<Vec<Dim>> {
        match &self.vals[v.0 as usize].known {
            Known::No => None,
            Known::Dims(d) => Some(d.to_vec()),
            Known::Const(t) if t.len() <= MAX_CONTENT && !t.dtype.is_complex() => (0..t.len())
                .map(|i| match t.get(i) {
                    Num::Int(x) => i64::try_from(x).ok().map(Dim::Known),
                    Num::Float(x) if x.trunc() == x && x.abs() < 1e15 => Some(Dim::Known(x as i64)),
                    _ => None,
                })
                .collect(),
            Known::Const(_) => None,
        }
    }

    /// The value in the graph; constants and contents join it now.
    pub fn materialize(&mut self, v: V) -> ValueId {
        let val = &self.vals[v.0 as usize];
        if let Some(id) = val.id {
            return id;
        }
        let (loc, ty) = (val.loc.clone(), val.ty.clone());
        let id = match &val.known {
            Known::Const(t) => self.graph.constant(t.clone(), &loc),
            Known::Dims(d) => {
                let flat = TensorType::known(DType::I64, &[d.len()]);
                let mut id = self.graph.push_typed(Op::DimValue { dims: d.to_vec() }, vec![], vec![flat], loc.clone())[0];
                if ty.rank() != 1 {
                    let shaped = TensorType::new(DType::I64, ty.shape.clone());
                    id = self.graph.push_typed(Op::Reshape { shape: ty.shape.clone() }, vec![id], vec![shaped], loc.clone())[0];
                }
                if ty.dtype != DType::I64 {
                    id = self.graph.push_typed(Op::Cast { to: ty.dtype }, vec![id], vec![ty.clone()], loc)[0];
                }
                id
            }
            // Built by `input` and `push`, which set the id.
            Known::No => unreachable!("a value without contents is in the graph"),
        };
        self.vals[v.0 as usize].id = Some(id);
        id
    }

    /// Notes the elements of an integer tensor of known extents that was read off by a node: they are known from here on.
    pub fn tell(&mut self, v: V, dims: &[Dim]) {
        let val = &mut self.vals[v.0 as usize];
        if !matches!(val.known, Known::Const(_)) {
            val.known = Known::Dims(dims.into());
        }
    }

    /// The place of a value in the graph, where it has one already.
    pub fn placed(&self, v: V) -> Option<ValueId> {
        self.vals[v.0 as usize].id
    }

    /// Names of the graph's inputs that `v` is computed from, in their order.
    pub fn inputs_behind(&self, v: V) -> Vec<String> {
        self.inputs_of(self.placed(v).into_iter().collect())
    }

    /// Names of the graph's inputs off which extents are read, in their order.
    pub fn inputs_read(&self) -> Vec<String> {
        let reads = self.graph.nodes().iter().filter(|n| !n.op.binds().is_empty() && matches!(n.op, Op::ReadDims(_)));
        self.inputs_of(reads.flat_map(|n| n.inputs.iter().copied()).collect())
    }

    /// Names of the inputs that values are computed from.
    fn inputs_of(&self, mut todo: Vec<ValueId>) -> Vec<String> {
        let mut seen = std::collections::BTreeSet::new();
        while let Some(id) = todo.pop() {
            if seen.insert(id)
                && let Some(node) = self.graph.def(id)
            {
                todo.extend(&node.inputs);
            }
        }
        let behind = self.graph.inputs.iter().filter(|id| seen.contains(id));
        behind.map(|id| self.graph.value(*id).name.to_string()).collect()
    }

    /// True where `v` compares extents with constants for equality: a test that the shapes of the inputs decide.
    pub fn is_extent_test(&self, v: V) -> bool {
        let defines = |id: ValueId| self.graph.def(id).map(|n| (&n.op, n.inputs.as_slice()));
        let mut at = self.vals[v.0 as usize].id;
        while let Some((Op::Reshape { .. } | Op::Cast { .. }, [x])) = at.and_then(defines) {
            at = Some(*x);
        }
        let Some((Op::Binary(BinaryOp::Eq), args)) = at.and_then(defines) else { return false };
        args.iter().all(|a| {
            let mut a = *a;
            while let Some((Op::Reshape { .. } | Op::Cast { .. }, [x])) = defines(a) {
                a = *x;
            }
            matches!(defines(a), Some((Op::DimValue { .. } | Op::Constant(_), _)))
        })
    }

    /// True where `v` is the position along `axis`, by the op that makes it.
    pub fn is_iota(&self, v: V, axis: usize) -> bool {
        let def = self.vals[v.0 as usize].id.and_then(|id| self.graph.def(id));
        matches!(def.map(|n| &n.op), Some(Op::Iota { axis: a, .. }) if *a == axis)
    }

    /// The value `i` where `v` is `i < 0 ? i + extent : i` under whatever shape, as programs write indices that may count from
    /// the end.
    pub fn wrapped_index(&self, v: V, extent: &Dim) -> Option<V> {
        let def = |id: ValueId| self.graph.def(id).map(|n| (&n.op, n.inputs.as_slice()));
        let peel = |mut id: ValueId| {
            while let Some((Op::Reshape { .. } | Op::Broadcast { .. }, [x])) = def(id) {
                id = *x;
            }
            id
        };
        let holds = |id: ValueId, want: i64| match def(peel(id)) {
            Some((Op::Constant(c), _)) => {
                let t = &self.graph.consts[c.index()];
                t.dtype.is_int() && (1..=1 << 16).contains(&t.len()) && (0..t.len()).all(|i| t.get(i) == Num::Int(want.into()))
            }
            _ => false,
        };
        let Some((Op::Select, [cond, end, i])) = def(peel(self.vals[v.0 as usize].id?)) else { return None };
        let negative = matches!(def(*cond), Some((Op::Binary(BinaryOp::Lt), [x, zero])) if x == i && holds(*zero, 0));
        let extent = extent.known()?;
        let raised = matches!(def(*end), Some((Op::Binary(BinaryOp::Add), [x, n])) if x == i && holds(*n, extent));
        let found = self.vals.iter().position(|val| val.id == Some(*i))?;
        (negative && raised).then_some(V(found as u32))
    }

    /// The elements of `to - from`, where `to` is `from` and known amounts together: a window at a place that the data decides.
    pub fn distance(&self, from: V, to: V) -> Option<Vec<Dim>> {
        let (from, to) = (self.vals[from.0 as usize].id?, self.vals[to.0 as usize].id?);
        let node = self.graph.def(to)?;
        let (Op::Binary(BinaryOp::Add), [a, b]) = (&node.op, node.inputs.as_slice()) else { return None };
        [(a, b), (b, a)].into_iter().find_map(|(x, by)| {
            let amounts = || self.dims_of(V(self.vals.iter().position(|v| v.id == Some(*by))? as u32));
            self.same(*x, from, MAX_SAME).then(amounts).flatten()
        })
    }

    /// True where two values are computed alike, `depth` operations deep at most.
    fn same(&self, a: ValueId, b: ValueId, depth: usize) -> bool {
        if a == b {
            return true;
        }
        let (Some(x), Some(y)) = (self.graph.def(a), self.graph.def(b)) else { return false };
        if let (Some(c), Some(d)) = (self.graph.const_of(a), self.graph.const_of(b)) {
            return c.dtype == d.dtype && c.shape == d.shape && c.bytes() == d.bytes();
        }
        let first = |n: &beiming_ir::graph::Node| n.outputs.len() == 1;
        depth > 0
            && x.op == y.op
            && first(x)
            && first(y)
            && x.inputs.len() == y.inputs.len()
            && x.inputs.iter().zip(&y.inputs).all(|(p, q)| self.same(*p, *q, depth - 1))
    }

    /// Names a value as the source model does, unless it has a name.
    pub fn name(&mut self, v: V, name: &str) {
        if let Some(id) = self.vals[v.0 as usize].id
            && self.graph.value(id).name.is_empty()
        {
            self.graph.value_mut(id).name = name.into();
        }
    }

    /// Adds an op, or its results where they are already known.
    pub fn emit(&mut self, op: Op, inputs: &[V], loc: &Loc) -> Result<Vec<V>, InferError> {
        let (types, assumed) = {
            let tys: Vec<&TensorType> = inputs.iter().map(|v| self.ty(*v)).collect();
            infer_assuming(&op, &tys, &self.graph)?
        };
        if let Some(folded) = self.fold(&op, inputs, &types, loc) {
            return Ok(folded);
        }
        self.check_when_run(assumed, loc);
        let args = inputs.iter().map(|v| self.materialize(*v)).collect();
        let ids = self.graph.push_typed(op, args, types.clone(), loc.clone());
        Ok(types.into_iter().zip(ids).map(|(ty, id)| self.add(ty, Known::No, Some(id), loc)).collect())
    }

    /// Has the run check what the types of an op take for granted, once each.
    fn check_when_run(&mut self, assumed: Vec<Assumed>, loc: &Loc) {
        for a in assumed {
            if !self.checked.insert(a.clone()) {
                continue;
            }
            let one = TensorType::known(DType::I64, &[1]);
            let what = self.contents(one.clone(), vec![a.what], loc);
            let what = self.materialize(what);
            let read = Op::ReadDims(ReadDims { dims: vec![a.limit], rule: a.rule });
            self.graph.push_typed(read, vec![what], vec![one], loc.clone());
        }
    }

    fn fold(&mut self, op: &Op, inputs: &[V], types: &[TensorType], loc: &Loc) -> Option<Vec<V>> {
        if let (Op::Reshape { .. }, [v]) = (op, inputs)
            && let (Some(t), Some(shape)) = (self.const_of(*v), types[0].static_shape())
        {
            // A window is shared whatever its size.
            let t = t.reshaped(&shape)?;
            return Some(vec![self.constant(t, loc)]);
        }
        let size = |t: &TensorType| t.bytes().known().map_or(usize::MAX, |b| usize::try_from(b).unwrap_or(usize::MAX));
        let result = types.iter().map(size).fold(0, usize::saturating_add);
        if result > FOLD_BYTES || matches!(op, Op::If(_) | Op::Loop(_) | Op::ReadDims(_)) {
            return None;
        }
        let args: Option<Vec<Tensor>> = inputs.iter().map(|v| self.const_of(*v).cloned()).collect();
        if let Some(args) = args {
            let given: usize = args.iter().map(|t| t.bytes().len()).sum();
            if given.saturating_add(result) > FOLD_BYTES || result > GROW_BYTES.max(given) {
                return None;
            }
            // An op that cannot be evaluated stays an op.
            let out = beiming_ir::eval::op(op, &args, &self.graph, &Default::default()).ok()?;
            return Some(out.into_iter().map(|t| self.constant(t, loc)).collect());
        }
        let [ty] = types else { return None };
        let count = ty.numel().known().and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= MAX_CONTENT)?;
        let args: Option<Vec<(TensorType, Vec<Dim>)>> =
            inputs.iter().map(|v| Some((self.ty(*v).clone(), self.dims_of(*v)?))).collect();
        let dims = content::fold(op, ty, &args?, &self.graph, self.truths)?;
        (dims.len() == count).then(|| vec![self.contents(ty.clone(), dims, loc)])
    }

    /// Replaces the inputs after the first `fixed` by `order`, adding those that are new: how the two regions of an `If` come
    /// to take the same captures. `have` names the captures the graph has, in the order of its inputs.
    pub fn align_captures(&mut self, fixed: usize, have: &[V], order: &[(V, TensorType)]) {
        let mut inputs = self.graph.inputs[..fixed].to_vec();
        for (v, ty) in order {
            inputs.push(match have.iter().position(|h| h == v) {
                Some(i) => self.graph.inputs[fixed + i],
                None => self.graph.add_input("", ty.clone()),
            });
        }
        for (i, v) in inputs.iter().enumerate() {
            self.graph.value_mut(*v).def = beiming_ir::graph::Def::Input(i as u32);
        }
        self.graph.inputs = inputs;
    }
}
