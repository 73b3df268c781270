//! Which ops share a kernel.
//!
//! A group grows from its last op against the direction of the data: at most one *anchor* (a contraction, a reduction, a
//! normalisation), after it elementwise ops of the same shape, before it and beside it whatever can be computed at any index
//! (views, elementwise ops, gathers). A producer joins if nobody outside the group needs it, or if computing it again costs
//! less than reading it. Every class gets at most one group, the largest, so e-nodes grow linearly with the graph; extraction
//! weighs the groups against the bare ops.

use std::collections::{BTreeMap, BTreeSet};

use beiming_ir::ops::{BinaryOp, Op, UnaryOp};
use beiming_ir::types::TensorType;

use crate::cost::{self, CostModel};
use crate::saturate::group::{Dag, Role, role};

/// Most ops of a group with an anchor: past this, registers spill and kernels take long to compile.
const MAX_NODES: usize = 64;
/// Most ops of a group without one. These are long polynomials where they are many, of which few values live at a time.
const MAX_POINTWISE: usize = 256;
/// Most inputs of a group.
const MAX_INPUTS: usize = 24;
/// Most ops a group computes again although another kernel has them too.
const MAX_RECOMPUTED: usize = 4;
/// Convolutions read their data through a transpose up to this many channels (the first layer of a model); with more, the
/// strided reads of every tap cost more than one transposed copy.
const STEM_CHANNELS: i64 = 4;

/// An op of a group.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Nobody outside the group needs it.
    pub exclusive: bool,
    /// Feeds the anchor.
    pub before: bool,
    /// Feeds the result without the anchor between.
    pub after: bool,
    /// How many of its elements the kernel computes, repetitions counted.
    pub evaluations: f64,
}

/// A group under construction.
pub struct Group<'a> {
    dag: &'a Dag<'a>,
    model: &'a CostModel<'a>,
    root: usize,
    /// Ops by position in the graph.
    pub members: BTreeMap<usize, Member>,
    /// The anchor, once it has joined.
    pub anchor: Option<usize>,
    /// The anchor that is still to come, for which the path from it to the root is kept free.
    pledge: Option<usize>,
    /// Producers that stay outside, and why.
    pub refused: Vec<(usize, String)>,
    recomputed: usize,
}

impl<'a> Group<'a> {
    /// The largest group that ends with `root`. `demanded` are the values that other kernels read from memory.
    pub fn grow(dag: &'a Dag<'a>, model: &'a CostModel<'a>, root: usize, demanded: &BTreeSet<usize>) -> Group<'a> {
        let evaluations = model.numel(dag.ty(root));
        let first = Member { exclusive: true, before: false, after: true, evaluations };
        let is_anchor = dag.role(root) == Role::Anchor;
        let mut g = Group {
            dag,
            model,
            root,
            members: BTreeMap::from([(root, first)]),
            anchor: is_anchor.then_some(root),
            pledge: if is_anchor { Some(root) } else { dag.carrier[root] },
            refused: vec![],
            recomputed: 0,
        };
        let mut candidates: BTreeSet<usize> = dag.children[root].iter().copied().collect();
        // Latest first: when a producer's turn comes, all its users that will be in the group are.
        while let Some(p) = candidates.pop_last() {
            match g.admit(p, demanded) {
                Ok(m) => {
                    g.members.insert(p, m);
                    if dag.role(p) == Role::Anchor {
                        g.anchor = Some(p);
                    }
                    candidates.extend(dag.children[p].iter().filter(|c| !g.members.contains_key(c)));
                }
                Err(why) => g.refused.push((p, why)),
            }
        }
        g
    }

    /// Whether producer `p` joins.
    fn admit(&mut self, p: usize, demanded: &BTreeSet<usize>) -> Result<Member, String> {
        let dag = self.dag;
        let role = dag.role(p);
        if matches!(role, Role::Source | Role::Other) {
            return Err(format!("`{}` is a kernel of its own", dag.name(p)));
        }
        let users: Vec<(usize, Member)> = dag.users[p].iter().filter_map(|u| Some((*u, *self.members.get(u)?))).collect();
        let anchors = |u: usize| self.anchor == Some(u);
        let before = users.iter().any(|(u, m)| anchors(*u) || m.before);
        let after = users.iter().any(|(u, m)| !anchors(*u) && m.after);
        // Before the anchor and after it are two passes over the data.
        let passes = if before && after { 2.0 } else { 1.0 };
        let member = Member {
            exclusive: !dag.output[p] && users.len() == dag.users[p].len() && users.iter().all(|u| u.1.exclusive),
            before,
            after,
            evaluations: passes * users.iter().map(|(u, m)| self.evaluations(p, *u, m)).fold(0.0, f64::max),
        };
        let anchored = self.pledge.is_some() || role == Role::Anchor;
        let most = if anchored { MAX_NODES } else { MAX_POINTWISE };
        if self.members.len() >= most || self.inputs_with(p) > MAX_INPUTS {
            return Err("the kernel is large enough".into());
        }
        if role == Role::Anchor {
            self.admit_anchor(p, &member)?;
            return Ok(member);
        }
        if let (true, Some(a)) = (member.before, self.anchor) {
            self.admit_before(p, a, role)?;
        }
        if !member.exclusive {
            self.admit_shared(p, role, demanded)?;
        }
        if let Some(q) = dag.carrier[p] {
            if self.pledge.is_some_and(|a| a != q) || member.before {
                return Err("two anchors: it ends the kernel of the other".into());
            }
            self.path_is_free(p)?;
            self.pledge = Some(q);
        }
        self.worth_repeating(p, role, &member)?;
        if !member.exclusive && role == Role::Elementwise {
            self.recomputed += 1;
        }
        Ok(member)
    }

    fn admit_anchor(&self, p: usize, member: &Member) -> Result<(), String> {
        if self.pledge.is_some_and(|a| a != p) {
            return Err("two anchors".into());
        }
        if !member.exclusive {
            return Err(self.dag.shared(p));
        }
        self.path_is_free(p)
    }

    /// Everything in the group that depends on `p` is elementwise and has its shape, so the anchor's result is used where it
    /// is made.
    fn path_is_free(&self, p: usize) -> Result<(), String> {
        let shape = &self.dag.ty(p).shape;
        let mut reached = BTreeSet::from([p]);
        for &m in self.members.keys() {
            if m > p && self.dag.children[m].iter().any(|c| reached.contains(c)) {
                if self.dag.role(m) != Role::Elementwise {
                    return Err(format!("`{}` is on the path of the anchor's result", self.dag.name(m)));
                }
                if self.dag.ty(m).shape != *shape {
                    return Err("the anchor's result is broadcast".into());
                }
                reached.insert(m);
            }
        }
        Ok(())
    }

    /// What an anchor reads through: contractions only views, which packing follows; windows nothing; rows anything.
    fn admit_before(&self, p: usize, anchor: usize, role: Role) -> Result<(), String> {
        let op = self.dag.op(p);
        match self.dag.op(anchor) {
            Op::MatMul { .. } => match op {
                Op::Transpose { .. } | Op::Slice(_) | Op::Broadcast { .. } | Op::Reshape { .. } => Ok(()),
                _ => Err("a contraction reads its arguments through views only".into()),
            },
            Op::Conv(_) => match op {
                Op::Transpose { .. }
                    if self.dag.ty(p).shape.last().and_then(|c| c.known()).is_some_and(|c| c <= STEM_CHANNELS) =>
                {
                    Ok(())
                }
                _ => Err("a convolution reads its data directly".into()),
            },
            Op::ConvTranspose(_) | Op::Pool(_) => Err("a window reads its data directly".into()),
            _ if role == Role::View || role == Role::Elementwise || role == Role::Indexed => Ok(()),
            _ => Err("not before an anchor".into()),
        }
    }

    /// Producers that others need too: free to compute again, or cheap and no more to read than their result.
    fn admit_shared(&self, p: usize, role: Role, demanded: &BTreeSet<usize>) -> Result<(), String> {
        let dag = self.dag;
        let shared = || Err(dag.shared(p));
        let into_matmul = self.anchor.is_some_and(|a| matches!(dag.op(a), Op::MatMul { .. }));
        match dag.op(p) {
            Op::Iota { .. } | Op::DimValue { .. } => Ok(()),
            // It is in memory whatever this group does.
            _ if dag.output[p] || demanded.contains(&p) => shared(),
            // An alias in memory; looking through it gains something only where another view follows.
            Op::Reshape { .. } if dag.role(dag.children[p][0]) == Role::View => Ok(()),
            Op::Reshape { .. } | Op::Pad { .. } => shared(),
            Op::Transpose { perm } if perm.last() != perm.iter().max() && !into_matmul => shared(),
            _ if role == Role::View => Ok(()),
            op if role == Role::Elementwise => {
                let expensive = match op {
                    Op::Unary(u) => cost::is_transcendental(*u) || matches!(u, UnaryOp::Sqrt | UnaryOp::Rsqrt | UnaryOp::Recip),
                    Op::Binary(b) => matches!(b, BinaryOp::Div | BinaryOp::Pow | BinaryOp::Mod | BinaryOp::Rem | BinaryOp::Atan2),
                    _ => false,
                };
                let bytes = |t: &TensorType| self.model.bytes(t);
                let own = bytes(dag.ty(p));
                let read: f64 = dag.children[p].iter().map(|c| bytes(dag.ty(*c))).sum();
                // A small part more than the result: scalars and rows that are broadcast.
                if expensive || dag.carrier[p].is_some() || self.recomputed >= MAX_RECOMPUTED || read > own * 1.1 + 256.0 {
                    return shared();
                }
                Ok(())
            }
            _ => shared(),
        }
    }

    /// A small producer that is broadcast would be computed once an element of the result; a kernel of its own may cost less.
    fn worth_repeating(&self, p: usize, role: Role, m: &Member) -> Result<(), String> {
        let ty = self.dag.ty(p);
        let once = self.model.numel(ty);
        if role != Role::Elementwise || m.evaluations <= 1.5 * once {
            return Ok(());
        }
        let again = (m.evaluations - once) * self.model.element_seconds(self.dag.op(p), ty) / self.model.cores();
        let bytes = 2.0 * self.model.bytes(ty);
        let separate = self.model.launch() + self.model.traffic(bytes, bytes);
        if again > separate { Err("it is needed more than once: computing it once costs less".into()) } else { Ok(()) }
    }

    /// How often `u` makes the kernel compute elements of `p`.
    fn evaluations(&self, p: usize, u: usize, m: &Member) -> f64 {
        if self.anchor == Some(u) { self.model.numel(self.dag.ty(p)) } else { m.evaluations }
    }

    /// Arguments of the group with `p`. Constants of one element are no arguments: they become immediates.
    fn inputs_with(&self, p: usize) -> usize {
        let immediate = |c: usize| matches!(self.dag.op(c), Op::Constant(_)) && self.dag.ty(c).numel().is(1);
        let outside = |c: &&usize| !self.members.contains_key(c) && **c != p && !immediate(**c);
        let all = self.members.keys().chain([&p]).flat_map(|m| &self.dag.children[*m]);
        all.filter(outside).collect::<BTreeSet<_>>().len()
    }

    /// Reshapes of what comes from memory are aliases there; they leave the group, so that the anchor sees plain arguments.
    pub fn peel(&mut self) {
        let reshapes: Vec<usize> =
            self.members.keys().copied().filter(|m| matches!(self.dag.op(*m), Op::Reshape { .. })).collect();
        for m in reshapes {
            if m != self.root && !self.dag.children[m].iter().any(|c| self.members.contains_key(c)) {
                self.members.remove(&m);
            }
        }
    }
}

/// For every value, the anchor whose kernel it would end if it were materialised.
pub fn carriers(dag: &Dag) -> Vec<Option<usize>> {
    let mut carrier: Vec<Option<usize>> = vec![None; dag.len()];
    for p in 0..dag.len() {
        if dag.role(p) != Role::Elementwise {
            continue;
        }
        let anchors = dag.children[p].iter().filter_map(|&c| {
            let q = if dag.role(c) == Role::Anchor { Some(c) } else { carrier[c] }?;
            let mut budget = 64;
            (dag.ty(c).shape == dag.ty(p).shape && leads_only_to(dag, c, p, &mut budget)).then_some(q)
        });
        // A contraction has more to gain from an epilogue than a reduction; of equals the later, whose result is still warm.
        carrier[p] = anchors.max_by_key(|q| (role(dag.op(*q)) == Role::Anchor && is_contraction(dag.op(*q)), *q));
    }
    carrier
}

fn is_contraction(op: &Op) -> bool {
    matches!(op, Op::MatMul { .. } | Op::Conv(_) | Op::ConvTranspose(_))
}

/// Every use of `c` is `p`, or an elementwise op of the same shape all of whose uses lead there.
fn leads_only_to(dag: &Dag, c: usize, p: usize, budget: &mut usize) -> bool {
    if dag.output[c] || *budget == 0 {
        return false;
    }
    *budget -= 1;
    dag.users[c].iter().all(|&u| {
        let inside = u < p && dag.role(u) == Role::Elementwise && dag.ty(u).shape == dag.ty(p).shape;
        u == p || (inside && leads_only_to(dag, u, p, budget))
    })
}
