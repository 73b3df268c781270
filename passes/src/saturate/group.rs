//! From groups to e-nodes: walks the kernels from the outputs backwards, grows a group at each, and adds it to the class of its
//! last op as one `Fused` node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use beiming_ir::graph::Loc;
use beiming_ir::ops::{Arg, Body, BodyNode, Op};
use beiming_ir::types::TensorType;
use egg::Id;

use super::facts::{Eg, add_typed};
use super::language::{ENode, Head};
use super::rules::Promise;
use super::rules::fusion::{Group, carriers};
use crate::cost::CostModel;
use crate::report::{RuleUse, Unfused};

/// Names that a fused group lists; the rest is counted.
const MAX_NAMES: usize = 8;

/// What fusion does with an op.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// An input or a constant.
    Source,
    /// Moves elements by index arithmetic alone.
    View,
    /// Computes each element from those at the same position.
    Elementwise,
    /// Computes each element from positions that are data.
    Indexed,
    /// The one op of a kernel that shapes its loops.
    Anchor,
    /// A kernel, or several, of its own.
    Other,
}

/// What fusion does with `op`.
pub fn role(op: &Op) -> Role {
    match op {
        Op::Constant(_) => Role::Source,
        Op::Reshape { .. } | Op::Transpose { .. } | Op::Broadcast { .. } | Op::Slice(_) | Op::Reverse { .. } | Op::Pad { .. } => {
            Role::View
        }
        Op::Unary(_) | Op::Binary(_) | Op::Select | Op::Cast { .. } | Op::Bitcast { .. } => Role::Elementwise,
        Op::Gather { .. }
        | Op::GatherElements { .. }
        | Op::GatherNd { .. }
        | Op::GatherWindow(_)
        | Op::DynamicSlice { .. }
        | Op::Iota { .. }
        | Op::DimValue { .. } => Role::Indexed,
        Op::MatMul { .. }
        | Op::Conv(_)
        | Op::ConvTranspose(_)
        | Op::Pool(_)
        | Op::Reduce { .. }
        | Op::ArgReduce { .. }
        | Op::Cumulative(_)
        | Op::Softmax { .. }
        | Op::Norm { .. } => Role::Anchor,
        Op::Concat { .. }
        | Op::Scatter(_)
        | Op::Resize(_)
        | Op::TopK(_)
        | Op::Nms(_)
        | Op::NonZero { .. }
        | Op::ReadDims(_)
        | Op::Lstm(_)
        | Op::Gru(_)
        | Op::ReduceWith { .. }
        | Op::WindowReduce(_)
        | Op::SelectAndScatter(_)
        | Op::SortBy { .. }
        | Op::ScatterWindow(_)
        | Op::Collective(_)
        | Op::Channel(_)
        | Op::If(_)
        | Op::Loop(_)
        | Op::Fused(_)
        | Op::Tiled { .. } => Role::Other,
    }
}

/// The e-graph before fusion, where every class has one node: classes by position, in the order of the graph.
pub struct Dag<'a> {
    eg: &'a Eg,
    /// Arguments of each class, as positions, with repetition.
    pub children: Vec<Vec<usize>>,
    /// Users of each class, each once.
    pub users: Vec<Vec<usize>>,
    /// Classes that are results of the graph.
    pub output: Vec<bool>,
    /// For each class, the anchor whose kernel it would end.
    pub carrier: Vec<Option<usize>>,
    /// Results of ops that have several.
    several: Vec<bool>,
}

impl<'a> Dag<'a> {
    /// The graph in `eg`, freshly loaded.
    pub fn new(eg: &'a Eg, outputs: &[Id]) -> Dag<'a> {
        let n = eg.number_of_classes();
        let mut dag = Dag {
            eg,
            children: vec![vec![]; n],
            users: vec![vec![]; n],
            output: vec![false; n],
            carrier: vec![],
            several: vec![false; n],
        };
        for o in outputs {
            dag.output[usize::from(*o)] = true;
        }
        for i in 0..n {
            let node = dag.node(i);
            let children: Vec<usize> = node.children.iter().map(|c| usize::from(*c)).collect();
            dag.several[i] = match &node.head {
                Head::Op(op, k) => {
                    *k > 0 || eg.lookup(ENode { head: Head::Op(op.clone(), 1), children: node.children.clone() }).is_some()
                }
                Head::Input(_) => false,
            };
            for &c in &children {
                if dag.users[c].last() != Some(&i) {
                    dag.users[c].push(i);
                }
            }
            dag.children[i] = children;
        }
        dag.carrier = carriers(&dag);
        dag
    }

    /// Number of classes.
    pub(crate) fn len(&self) -> usize {
        self.children.len()
    }

    fn node(&self, i: usize) -> &ENode {
        &self.eg[Id::from(i)].nodes[0]
    }

    /// The op of a class; the graph's inputs count as a reshape of nothing, which no question below reaches.
    pub fn op(&self, i: usize) -> &Op {
        const INPUT: &Op = &Op::Select;
        match &self.node(i).head {
            Head::Op(op, _) => op,
            Head::Input(_) => INPUT,
        }
    }

    /// What fusion does with a class.
    pub fn role(&self, i: usize) -> Role {
        match &self.node(i).head {
            Head::Input(_) => Role::Source,
            Head::Op(..) if self.several[i] => Role::Other,
            Head::Op(op, _) => role(op),
        }
    }

    /// Type of a class.
    pub fn ty(&self, i: usize) -> &TensorType {
        &self.eg[Id::from(i)].data.ty
    }

    fn loc(&self, i: usize) -> &Loc {
        &self.eg[Id::from(i)].data.loc
    }

    /// Name of the op, with that of the model's node where it has one.
    pub fn name(&self, i: usize) -> String {
        let (op, loc) = (self.op(i).name(), self.loc(i));
        if loc.name.is_empty() { op } else { format!("{op} {}", loc.name) }
    }

    /// Why a class with several users stays outside.
    pub fn shared(&self, i: usize) -> String {
        match (self.output[i], self.users[i].len()) {
            (true, _) => "it is an output".into(),
            (false, 1) => "its user is computed more than once".into(),
            (false, n) => format!("it has {n} uses"),
        }
    }
}

/// What a walk found: the groups to add, and what to report.
struct Plan {
    groups: Vec<(usize, Body, Vec<usize>, Loc)>,
    uses: BTreeMap<&'static str, usize>,
    unfused: Vec<Unfused>,
}

/// Adds a `Fused` node for every kernel of several ops. Returns what was done and which edges between kernels are left.
pub fn apply(eg: &mut Eg, outputs: &[Id], model: &CostModel) -> (Vec<RuleUse>, Vec<Unfused>) {
    let plan = plan(&Dag::new(eg, outputs), model);
    for (root, body, inputs, loc) in plan.groups {
        let root = Id::from(root);
        let ty = eg[root].data.ty.clone();
        let inputs: Vec<Id> = inputs.into_iter().map(Id::from).collect();
        eg.analysis.come_from(&loc);
        let fused = add_typed(eg, ENode::op(Op::Fused(Arc::new(body)), &inputs), ty);
        eg.union(root, fused);
        // The group stands for the class from here on, and so does its list of names.
        let root = eg.find(root);
        eg[root].data.loc = loc;
    }
    let uses = plan.uses.into_iter().map(|(name, hits)| RuleUse { name, promise: Promise::Exact, hits, refused: 0 });
    (uses.collect(), plan.unfused)
}

fn plan(dag: &Dag, model: &CostModel) -> Plan {
    let mut plan = Plan { groups: vec![], uses: BTreeMap::new(), unfused: vec![] };
    let mut demanded: BTreeSet<usize> = (0..dag.len()).filter(|i| dag.output[*i]).collect();
    let mut open = demanded.clone();
    while let Some(root) = open.pop_last() {
        // Reshapes are aliases; the other bare roots have nothing to join.
        let bare = matches!(dag.role(root), Role::Source | Role::Other) || matches!(dag.op(root), Op::Reshape { .. });
        let mut inputs = dag.children[root].clone();
        if !bare {
            let mut group = Group::grow(dag, model, root, &demanded);
            group.peel();
            report(dag, &group, root, &mut plan.unfused);
            if group.members.len() > 1 {
                count(&mut plan.uses, &group, root);
                let (body, from) = body(dag, &group);
                inputs = from.clone();
                plan.groups.push((root, body, from, joined_loc(dag, &group)));
            }
        }
        for c in inputs {
            if dag.role(c) != Role::Source && demanded.insert(c) {
                open.insert(c);
            }
        }
    }
    plan
}

/// Edges into the group that are left between kernels.
fn report(dag: &Dag, group: &Group, root: usize, unfused: &mut Vec<Unfused>) {
    for (p, why) in &group.refused {
        if dag.role(*p) != Role::Source && !matches!(dag.op(*p), Op::Reshape { .. }) {
            unfused.push(Unfused { producer: dag.name(*p), consumer: dag.name(root), why: why.clone() });
        }
    }
}
fn count(uses: &mut BTreeMap<&'static str, usize>, group: &Group, root: usize) {
    for (i, m) in group.members.iter().filter(|(i, _)| **i != root) {
        let rule = match group.anchor {
            _ if !m.exclusive => "fuse-again",
            Some(a) if *i == a => "fuse-anchor",
            Some(_) if m.before => "fuse-prologue",
            Some(_) => "fuse-epilogue",
            None => "fuse-pointwise",
        };
        *uses.entry(rule).or_default() += 1;
    }
}

fn body(dag: &Dag, group: &Group) -> (Body, Vec<usize>) {
    let mut inputs: Vec<usize> = vec![];
    let mut place: BTreeMap<usize, u32> = BTreeMap::new();
    let mut nodes = vec![];
    for &m in group.members.keys() {
        let args = dag.children[m].iter().map(|c| match place.get(c) {
            Some(n) => Arg::Node(*n),
            None => {
                let at = inputs.iter().position(|i| i == c).unwrap_or_else(|| {
                    inputs.push(*c);
                    inputs.len() - 1
                });
                Arg::Input(at as u32)
            }
        });
        let args = args.collect();
        place.insert(m, nodes.len() as u32);
        nodes.push(BodyNode { op: dag.op(m).clone(), args });
    }
    (Body { inputs: inputs.len() as u32, nodes }, inputs)
}

/// Names of the group's ops, joined, and the source of each.
fn joined_loc(dag: &Dag, group: &Group) -> Loc {
    let join = |pick: &dyn Fn(&Loc) -> Arc<str>| -> Arc<str> {
        let mut names: Vec<Arc<str>> = vec![];
        for m in group.members.keys() {
            let name = pick(dag.loc(*m));
            if !name.is_empty() && !names.contains(&name) {
                names.push(name);
            }
        }
        let more = names.len().saturating_sub(MAX_NAMES);
        let mut s = names[..names.len() - more].join("+");
        if more > 0 {
            s.push_str(&format!("+{more} more"));
        }
        s.into()
    };
    // A member that a rule wrote has a part of its own.
    let part = |m: &usize| dag.loc(*m).parts.first().unwrap_or(dag.loc(*m)).clone();
    let parts = group.members.keys().map(|m| Loc { parts: Arc::default(), ..part(m) }).collect();
    Loc { parts, ..Loc::new(join(&|l| l.name.clone()), join(&|l| l.op.clone()), join(&|l| l.place.clone())) }
}
