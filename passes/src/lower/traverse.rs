//! How a set of values walks over memory. A lowering names the values it will compute for every index of some shape; from a
//! trial run of the inliner this finds axes along which every address is linear: axes are split where a reshape splits them
//! (so no division is left in a loop) and joined where all operands run through them without a gap (so loops are long).

use std::collections::{BTreeSet, HashMap, HashSet};

use beiming_ir::kernel::{Expr, ExprId};
use beiming_ir::types::{DType, Dim};

use super::body::BodyCx;
use super::builder::{KernelBuilder, Operand};
use super::inline::Inliner;

/// An axis of iteration.
#[derive(Clone, PartialEq, Debug)]
pub struct Axis {
    /// Extent.
    pub extent: Dim,
    /// Which axes it may be joined with: those of the same role.
    pub role: u8,
}

/// One address that the values read.
#[derive(Clone, PartialEq, Debug)]
pub struct Read {
    /// The input, where it is one.
    pub operand: Option<Operand>,
    /// Element type.
    pub dtype: DType,
    /// Distance between neighbours along each axis; `None` where it is not constant.
    pub strides: Vec<Option<Dim>>,
    /// Address of the first element, less what is loaded.
    pub base: Dim,
    /// Whether what is loaded (an index of a gather) is part of the address.
    pub loaded: bool,
}

/// The chosen axes and what is read along them.
#[derive(Clone, Debug)]
pub struct Traversal {
    /// The shape that is walked over.
    pub shape: Vec<Dim>,
    /// Axes, outermost first; row-major, their product is that of the shape. None has extent one.
    pub axes: Vec<Axis>,
    /// Reads.
    pub reads: Vec<Read>,
    /// Number of arithmetic expressions computed for one element.
    pub ops: usize,
}

/// Computes the values wanted at an index of the walked shape.
pub type Values<'f> = dyn Fn(&mut Inliner, &mut KernelBuilder, &[ExprId]) -> Result<Vec<ExprId>, String> + 'f;

impl Traversal {
    /// Finds the axes for `values` over `shape`; `roles` has one entry an axis.
    pub fn find(cx: &BodyCx, shape: &[Dim], roles: &[u8], values: &Values) -> Result<Traversal, String> {
        let mut axes: Vec<Axis> =
            shape.iter().zip(roles).filter(|(d, _)| !d.is(1)).map(|(d, r)| Axis { extent: d.clone(), role: *r }).collect();
        // Every round splits an axis, and a split is undone by none; the bound is for odd reshapes only.
        for _ in 0..16 {
            let trial = Trial::run(cx, shape, &axes, values)?;
            let Some((at, inner)) = trial.split(&axes) else { break };
            let outer = axes[at].extent.floor_div(&inner);
            axes[at].extent = inner;
            axes.insert(at, Axis { extent: outer, role: axes[at].role });
        }
        let mut trial = Trial::run(cx, shape, &axes, values)?;
        while let Some(at) = trial.join(&axes) {
            let outer = axes.remove(at);
            axes[at].extent = outer.extent * axes[at].extent.clone();
            trial = Trial::run(cx, shape, &axes, values)?;
        }
        let reads = trial.reads(axes.len());
        Ok(Traversal { shape: shape.to_vec(), axes, reads, ops: trial.ops })
    }

    /// Elements of the walked shape from one position along an axis to the next.
    pub fn stride(&self, axis: usize) -> Dim {
        self.axes[axis + 1..].iter().fold(Dim::Known(1), |n, a| n * a.extent.clone())
    }

    /// Index in the walked shape for a position along the axes.
    pub fn index(&self, kb: &mut KernelBuilder, at: &[ExprId]) -> Vec<ExprId> {
        let extents: Vec<Dim> = self.axes.iter().map(|a| a.extent.clone()).collect();
        kb.reshape_index(at, &extents, &self.shape)
    }
}

/// One run of the inliner over given axes.
struct Trial<'a> {
    kb: KernelBuilder<'a>,
    vars: Vec<ExprId>,
    /// Addresses read: buffer and expression.
    addresses: Vec<(u32, ExprId)>,
    /// Variables that something other than an address looks at.
    pinned: HashSet<ExprId>,
    /// Everything reached.
    seen: BTreeSet<ExprId>,
    ops: usize,
}

impl<'a> Trial<'a> {
    fn run(cx: &BodyCx<'a>, shape: &[Dim], axes: &[Axis], values: &Values) -> Result<Trial<'a>, String> {
        let extents: Vec<Dim> = axes.iter().map(|a| a.extent.clone()).collect();
        let mut kb = KernelBuilder::new(cx.symbols, &extents);
        let vars = kb.grid.clone();
        let at = kb.reshape_index(&vars, &extents, shape);
        let roots = values(&mut Inliner::new(cx), &mut kb, &at)?;
        let mut t = Trial { kb, vars, addresses: vec![], pinned: HashSet::new(), seen: BTreeSet::new(), ops: 0 };
        for r in roots {
            t.visit(r);
        }
        Ok(t)
    }

    /// Walks an expression that is a value (not an address).
    fn visit(&mut self, root: ExprId) {
        let mut stack = vec![root];
        while let Some(e) = stack.pop() {
            if !self.seen.insert(e) {
                continue;
            }
            match self.kb.expr(e).clone() {
                Expr::Const(_) | Expr::Dim(_) => {}
                Expr::Var(_) => {
                    self.pinned.insert(e);
                }
                Expr::Load(el, other) => {
                    for i in &el.index {
                        self.addresses.push((el.buffer.0, *i));
                        for (atom, _) in self.kb.affine(*i).terms {
                            if !self.vars.contains(&atom) {
                                stack.push(atom);
                            }
                        }
                    }
                    stack.extend(el.guard.iter().chain(&other));
                }
                Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => {
                    self.ops += 1;
                    stack.push(a);
                }
                Expr::Binary(_, a, b) => {
                    self.ops += 1;
                    stack.extend([a, b]);
                }
                Expr::Select(c, a, b) => {
                    self.ops += 1;
                    stack.extend([c, a, b]);
                }
            }
        }
    }

    /// An axis that some quotient or remainder splits, and the extent of its inner part.
    fn split(&self, axes: &[Axis]) -> Option<(usize, Dim)> {
        let mut best: Option<(usize, Dim)> = None;
        for e in &self.seen {
            let Some((x, d, _)) = self.kb.atoms.get(e).and_then(|a| a.part.clone()) else { continue };
            let Some(at) = self.vars.iter().position(|v| *v == x) else { continue };
            let extent = &axes[at].extent;
            let outer = extent.floor_div(&d);
            if outer.clone() * d.clone() == *extent && !outer.is(1) && best.is_none() {
                best = Some((at, d));
            }
        }
        best
    }

    /// An axis that can be joined with the next one.
    fn join(&self, axes: &[Axis]) -> Option<usize> {
        (1..axes.len()).map(|v| v - 1).find(|&u| {
            let v = u + 1;
            axes[u].role == axes[v].role
                && !self.pinned.contains(&self.vars[u])
                && !self.pinned.contains(&self.vars[v])
                && self.addresses.iter().all(|(_, e)| {
                    let a = self.kb.affine(*e);
                    a.coefficient(self.vars[u]) == a.coefficient(self.vars[v]) * axes[v].extent.clone()
                })
        })
    }

    fn reads(&self, axes: usize) -> Vec<Read> {
        let mut out: Vec<Read> = vec![];
        let mut inner: HashMap<ExprId, HashSet<ExprId>> = HashMap::new();
        for (buffer, e) in &self.addresses {
            let a = self.kb.affine(*e);
            let mut irregular: HashSet<ExprId> = HashSet::new();
            let mut loaded = false;
            for (atom, _) in &a.terms {
                if !self.vars.contains(atom) {
                    loaded = true;
                    irregular.extend(inner.entry(*atom).or_insert_with(|| self.vars_of(*atom)).iter());
                }
            }
            let strides = (0..axes).map(|i| (!irregular.contains(&self.vars[i])).then(|| a.coefficient(self.vars[i]))).collect();
            let r = Read {
                operand: self.kb.operand(*buffer),
                dtype: self.kb.kernel.params[*buffer as usize].dtype,
                strides,
                base: a.base.clone(),
                loaded,
            };
            if !out.contains(&r) {
                out.push(r);
            }
        }
        out
    }

    fn vars_of(&self, root: ExprId) -> HashSet<ExprId> {
        let (mut stack, mut seen, mut vars) = (vec![root], HashSet::new(), HashSet::new());
        while let Some(e) = stack.pop() {
            if !seen.insert(e) {
                continue;
            }
            match self.kb.expr(e) {
                Expr::Const(_) | Expr::Dim(_) => {}
                Expr::Var(_) => {
                    vars.insert(e);
                }
                Expr::Load(el, other) => stack.extend(el.index.iter().chain(&el.guard).chain(other)),
                Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => stack.push(*a),
                Expr::Binary(_, a, b) => stack.extend([*a, *b]),
                Expr::Select(c, a, b) => stack.extend([*c, *a, *b]),
            }
        }
        vars
    }
}
