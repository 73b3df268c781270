//! What is known of every e-class: its type, from the same `infer` that the verifier calls; the constant it holds; where it
//! comes from. And the few ways in which rules look at and add to the e-graph.

use beiming_ir::graph::{ConstId, Graph, Loc};
use beiming_ir::ops::{self, Op};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim, TensorType};
use egg::{Analysis, DidMerge, EGraph, Id};

use super::language::{ENode, Head};
use super::source::{self, Sources};
use crate::rebuild::Consts;
use crate::{fold, identities, layout};

/// Constants up to this size are turned around on the spot where a rule moves a transpose over them.
pub const SMALL_CONSTANT: usize = 256 << 10;

/// The e-graph of a graph.
pub type Eg = EGraph<ENode, Facts>;

/// Shared by the whole e-graph.
pub struct Facts {
    /// Constants, regions and symbols; the nodes are in the e-graph.
    pub shell: Graph,
    consts: Consts,
    /// Where nodes that are added now come from.
    loc: Loc,
    /// The class that a rule is applied to now.
    root: Option<Id>,
    sources: Sources,
    /// Type of the node that is added now.
    pending: Option<TensorType>,
    /// The first join of two classes of different types: a fault of a rule, which stops the saturation.
    pub fault: Option<String>,
}

/// Known of one class.
#[derive(Clone, Debug)]
pub struct Data {
    /// Type.
    pub ty: TensorType,
    /// The constant all its nodes stand for.
    pub constant: Option<ConstId>,
    /// The one value of all elements of a constant.
    pub splat: Option<SplatValue>,
    /// Source.
    pub loc: Loc,
}

/// A number that compares by its bits.
#[derive(Clone, Copy, Debug)]
pub struct SplatValue(pub Num);

impl Facts {
    /// Facts over the constants, regions and symbols of a graph.
    pub fn new(graph: &Graph) -> Facts {
        let mut shell = Graph::new(&graph.name, graph.symbols.clone());
        shell.regions = graph.regions.clone();
        let (loc, sources) = (Loc::default(), Sources::default());
        Facts { shell, consts: Consts::default(), loc, root: None, sources, pending: None, fault: None }
    }

    /// Nodes that are added from here on come from `loc`.
    pub fn come_from(&mut self, loc: &Loc) {
        self.loc = loc.clone();
    }

    /// Rules are applied to `root` from here on; what they add comes from it.
    pub fn apply_to(&mut self, root: Id, loc: &Loc) {
        self.come_from(loc);
        self.root = Some(root);
    }

    /// The class that a rule is applied to.
    pub fn root(&self) -> Option<Id> {
        self.root
    }

    /// Where nodes that are added now come from.
    pub fn loc(&self) -> &Loc {
        &self.loc
    }

    /// Sources of single nodes.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    fn infer(&self, op: &Op, args: &[&TensorType]) -> Option<Vec<TensorType>> {
        ops::infer(op, args, &self.shell).ok()
    }
}

impl Analysis<ENode> for Facts {
    type Data = Data;

    fn make(eg: &mut Eg, node: &ENode, id: Id) -> Data {
        if let Some((op, loc)) = source::of(eg, node) {
            eg.analysis.sources.insert(id, op, loc);
        }
        let constant = match &node.head {
            Head::Op(op, 0) => match **op {
                Op::Constant(c) => Some(c),
                _ => None,
            },
            _ => None,
        };
        // Every node is added through `add` below, which has inferred its type already. Data never changes afterwards, so egg
        // has no reason to make it again.
        let ty = eg.analysis.pending.take().unwrap_or_else(|| TensorType::scalar(DType::Bool));
        let table = &eg.analysis.shell.consts;
        let splat = constant.and_then(|c| table.get(c.index())).and_then(identities::splat_of).map(SplatValue);
        Data { ty, constant, splat, loc: eg.analysis.loc.clone() }
    }

    fn merge(&mut self, a: &mut Data, b: Data) -> DidMerge {
        if a.ty != b.ty && self.fault.is_none() {
            self.fault = Some(format!("a value of type {} was joined with one of type {}", a.ty, b.ty));
        }
        if a.constant.is_none() {
            a.constant = b.constant;
            a.splat = b.splat;
        }
        if a.loc.name.is_empty() {
            a.loc = b.loc;
        }
        // Nothing is derived upwards from these facts, so no parent needs another look.
        DidMerge(false, false)
    }
}

/// Adds result `n` of an op; `None` where the op does not fit its arguments.
pub fn add_result(eg: &mut Eg, op: std::sync::Arc<Op>, n: u32, children: &[Id]) -> Option<Id> {
    let node = ENode { head: Head::Op(op, n), children: children.iter().map(|c| eg.find(*c)).collect() };
    if let Some(id) = eg.lookup(node.clone()) {
        return Some(id);
    }
    let Head::Op(op, _) = &node.head else { return None };
    let ty = {
        let args: Vec<&TensorType> = children.iter().map(|c| &eg[*c].data.ty).collect();
        eg.analysis.infer(op, &args)?.into_iter().nth(n as usize)?
    };
    Some(add_typed(eg, node, ty))
}

/// Adds a node whose type is known.
pub fn add_typed(eg: &mut Eg, node: ENode, ty: TensorType) -> Id {
    eg.analysis.pending = Some(ty);
    let id = eg.add(node);
    eg.analysis.pending = None;
    id
}

/// Adds an op of one result; `None` where it does not fit its arguments.
pub fn add(eg: &mut Eg, op: Op, children: &[Id]) -> Option<Id> {
    add_result(eg, std::sync::Arc::new(op), 0, children)
}

/// Adds a constant.
pub fn add_constant(eg: &mut Eg, t: &Tensor) -> Id {
    let facts = &mut eg.analysis;
    let c = facts.consts.intern(&mut facts.shell.consts, t);
    add_typed(eg, ENode::op(Op::Constant(c), &[]), t.ty())
}

/// Adds a scalar constant of a float type.
pub fn add_scalar(eg: &mut Eg, dtype: DType, v: f64) -> Id {
    add_constant(eg, &Tensor::scalar(dtype, Num::Float(v)))
}

/// Adds `x` under another shape; what `x` is a reshape of is used where that is known, and nothing where the shape is the same.
/// A constant is a constant under any shape.
pub fn add_reshape(eg: &mut Eg, shape: Vec<Dim>, x: Id) -> Option<Id> {
    if ty(eg, x).shape == shape {
        return Some(x);
    }
    let sources = find_all(eg, x, |op, c| matches!(op, Op::Reshape { .. }).then(|| c[0]));
    if let Some(same) = sources.iter().find(|s| ty(eg, **s).shape == shape) {
        return Some(*same);
    }
    if let Some(t) = constant(eg, x) {
        let to = TensorType::new(t.dtype, shape).static_shape()?;
        let t = t.reshaped(&to)?;
        return Some(add_constant(eg, &t));
    }
    add(eg, Op::Reshape { shape }, &[sources.first().copied().unwrap_or(x)])
}

/// Adds `x` with its axes in another order; nothing where the order is the same, a reshape where only axes of extent one move.
pub fn add_transpose(eg: &mut Eg, perm: &[usize], x: Id) -> Option<Id> {
    if layout::is_identity(perm) {
        return Some(x);
    }
    let shape = &eg[x].data.ty.shape;
    if layout::is_relabeling(perm, shape) {
        let shape = layout::permute(perm, shape);
        return add_reshape(eg, shape, x);
    }
    let undone = |op: &Op, c: &[Id]| match op {
        Op::Transpose { perm: q } if layout::is_identity(&layout::compose(perm, q)) => Some(c[0]),
        _ => None,
    };
    if let Some(source) = find(eg, x, undone) {
        return Some(source);
    }
    if let Some(t) = constant(eg, x).filter(|t| t.bytes().len() <= SMALL_CONSTANT) {
        let t = fold::transpose(t, perm)?;
        return Some(add_constant(eg, &t));
    }
    add(eg, Op::Transpose { perm: perm.to_vec() }, &[x])
}

/// Adds `x` with leading axes of extent one, up to `rank`.
pub fn add_rank(eg: &mut Eg, x: Id, rank: usize) -> Option<Id> {
    let shape = &eg[x].data.ty.shape;
    let missing = rank.checked_sub(shape.len())?;
    if missing == 0 {
        return Some(x);
    }
    let shape = std::iter::repeat_n(1.into(), missing).chain(shape.iter().cloned()).collect();
    add_reshape(eg, shape, x)
}

/// Type of a class.
pub fn ty(eg: &Eg, id: Id) -> &TensorType {
    &eg[id].data.ty
}

/// The one value of all elements, as a number.
pub fn splat(eg: &Eg, id: Id) -> Option<f64> {
    eg[id].data.splat.map(|s| s.0.to_f64())
}

/// The constant a class holds.
pub fn constant(eg: &Eg, id: Id) -> Option<&Tensor> {
    eg[id].data.constant.and_then(|c| eg.analysis.shell.consts.get(c.index()))
}

/// What `pick` finds in the nodes of a class, in their order.
pub fn find_all<T>(eg: &Eg, id: Id, pick: impl Fn(&Op, &[Id]) -> Option<T>) -> Vec<T> {
    eg[id].nodes.iter().filter_map(|n| pick(n.as_op()?, &n.children)).collect()
}

/// The first that `pick` finds in the nodes of a class.
pub fn find<T>(eg: &Eg, id: Id, pick: impl Fn(&Op, &[Id]) -> Option<T>) -> Option<T> {
    eg[id].nodes.iter().find_map(|n| pick(n.as_op()?, &n.children))
}
