//! What a body's lowering knows and makes. Every lowering (pointwise, reduction, contraction, ..) has the form
//! `fn lower(cx: &mut BodyCx, anchor, root: Arg, dst: Operand) -> Result<(), String>`: it appends the calls that compute the
//! body's value `root` (the anchor's own, or an elementwise function of it with the same shape: the epilogue) and store it, dense, in `dst`.
//!
//! One body usually becomes one call. Where it takes several (packing, a normalisation in two passes, a body outside the usual
//! classes) the calls run in order and pass values through temporaries: [`BodyCx::temp`] gives an [`Operand::Temp`] that a
//! later kernel binds with `KernelBuilder::param`; the planner places it in the arena for just that span.
//!
//! Constants: an input that the graph knows has [`Input::constant`]. One of a single element becomes an immediate in `inline`; a matrix
//! for `Mma` is taken from there, its rearrangement described by `Panels` and bound with `KernelBuilder::weight`, after which
//! nothing refers to the original and it is not written to the artifact.

use std::collections::BTreeMap;
use std::sync::Arc;

use beiming_ir::graph::{Graph, Node};
use beiming_ir::ops::{self, Arg, Body, BodyNode, Op, Tile};
use beiming_ir::target::Target;
use beiming_ir::tensor::Tensor;
use beiming_ir::types::{DType, Dim, Symbols, TensorType};

use super::builder::{Call, Operand};
use super::wanted::Wanted;

/// An input of a body.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    /// Its type.
    pub ty: TensorType,
    /// Its value, where the graph knows it.
    pub constant: Option<&'a Tensor>,
}

/// A body being lowered.
#[derive(Clone)]
pub struct BodyCx<'a> {
    /// The machine.
    pub target: &'a Target,
    /// Ranges of the symbols.
    pub symbols: &'a Symbols,
    /// Regions are folded step by step: [`super::LowerOptions::in_order`].
    pub in_order: bool,
    /// The graph of the node: its regions.
    pub graph: &'a Graph,
    /// The ops; a bare op is a body of one node.
    pub body: Arc<Body>,
    /// Tile chosen for the contraction, if any.
    pub tile: Option<Tile>,
    /// The inputs.
    pub inputs: Vec<Input<'a>>,
    /// Result type (the first) of each node.
    pub types: Vec<TensorType>,
    /// Result types of the whole.
    pub outputs: Vec<TensorType>,
    /// Temporaries, by `Operand::Temp`.
    pub temps: Vec<TensorType>,
    /// The calls made so far.
    pub calls: Vec<Call>,
    /// Nodes whose result an earlier call has left in a temporary; the inliner reads it there.
    pub stored: BTreeMap<u32, Operand>,
    /// Anchors that run as plain loops, and why they are not tiled.
    pub untiled: Vec<(usize, String)>,
    /// Tiles that are asked for.
    pub wanted: Option<&'a Wanted>,
}

impl<'a> BodyCx<'a> {
    /// The body of a node. Errors where a node inside the body does not type.
    pub fn new(target: &'a Target, symbols: &'a Symbols, graph: &'a Graph, node: &'a Node) -> Result<BodyCx<'a>, String> {
        let inputs: Vec<Input<'a>> =
            node.inputs.iter().map(|v| Input { ty: graph.ty(*v).clone(), constant: graph.const_of(*v) }).collect();
        let outputs: Vec<TensorType> = node.outputs.iter().map(|v| graph.ty(*v).clone()).collect();
        let (body, tile) = match &node.op {
            Op::Fused(b) => (b.clone(), None),
            Op::Tiled { body, tile } => (body.clone(), Some(*tile)),
            op => {
                let args = (0..inputs.len() as u32).map(Arg::Input).collect();
                let n = BodyNode { op: op.clone(), args };
                (Arc::new(Body { inputs: inputs.len() as u32, nodes: vec![n] }), None)
            }
        };
        let mut types: Vec<TensorType> = Vec::with_capacity(body.nodes.len());
        for (i, n) in body.nodes.iter().enumerate() {
            if i + 1 == body.nodes.len() {
                types.push(outputs.first().cloned().ok_or("a node without results")?);
                break;
            }
            let args: Vec<&TensorType> = n
                .args
                .iter()
                .map(|a| match a {
                    Arg::Input(k) => inputs.get(*k as usize).map(|x| &x.ty),
                    Arg::Node(k) => types.get(*k as usize),
                })
                .collect::<Option<_>>()
                .ok_or("a body refers to an argument it does not have")?;
            let ty = ops::infer(&n.op, &args, graph).map_err(|e| e.to_string())?;
            types.push(ty.into_iter().next().ok_or("an op without results")?);
        }
        Ok(BodyCx {
            target,
            symbols,
            in_order: false,
            graph,
            body,
            tile,
            inputs,
            types,
            outputs,
            temps: vec![],
            calls: vec![],
            stored: BTreeMap::new(),
            untiled: vec![],
            wanted: None,
        })
    }

    /// The same body cut off after node `last`, whose value is then the result.
    pub fn up_to(&self, last: usize) -> BodyCx<'a> {
        let nodes = self.body.nodes[..=last].to_vec();
        BodyCx {
            body: Arc::new(Body { inputs: self.body.inputs, nodes }),
            types: self.types[..=last].to_vec(),
            outputs: vec![self.types[last].clone()],
            ..self.clone()
        }
    }

    /// Type of an argument.
    pub fn ty(&self, a: Arg) -> &TensorType {
        match a {
            Arg::Input(n) => &self.inputs[n as usize].ty,
            Arg::Node(n) => &self.types[n as usize],
        }
    }

    /// The value the body computes.
    pub fn result(&self) -> Arg {
        Arg::Node(self.body.nodes.len() as u32 - 1)
    }

    /// Type of the first result.
    pub fn out(&self) -> &TensorType {
        &self.outputs[0]
    }

    /// Position of the one node that is neither a view nor elementwise.
    pub fn anchor(&self) -> Option<usize> {
        (0..self.body.nodes.len()).find(|i| is_anchor(&self.body.nodes[*i].op) && !self.stored.contains_key(&(*i as u32)))
    }

    /// Elements of a native vector of `dtype`.
    pub fn lanes(&self, dtype: DType) -> usize {
        self.target.lanes(dtype.size())
    }

    /// A temporary of the given type.
    pub fn temp(&mut self, ty: TensorType) -> Operand {
        self.temps.push(ty);
        Operand::Temp(self.temps.len() as u32 - 1)
    }

    /// Number of elements of a temporary; zero for another operand.
    pub fn temp_numel(&self, o: Operand) -> Dim {
        match o {
            Operand::Temp(n) => self.temps[n as usize].numel(),
            _ => Dim::Known(0),
        }
    }

    /// Appends a call.
    pub fn call(&mut self, mut call: Call) {
        call.origins.settle(self.anchor());
        self.calls.push(call);
    }

    /// A value to weigh choices by, for an extent that may be symbolic.
    pub fn typical(&self, d: &Dim) -> i64 {
        typical(d, self.symbols)
    }

    /// Names of the ops in order, for the kernel's header comment.
    pub fn op_names(&self) -> Vec<String> {
        self.body.nodes.iter().map(|n| n.op.name()).collect()
    }

    /// Arithmetic operations of the elementwise nodes (views are free).
    pub fn elementwise_flops(&self) -> Dim {
        let each = self.body.nodes.iter().zip(&self.types).filter(|(n, _)| n.op.is_elementwise());
        each.fold(Dim::Known(0), |a, (_, t)| a + t.numel())
    }
}

/// The value of an extent where every symbol has a middling value of its range.
pub fn typical(d: &Dim, symbols: &Symbols) -> i64 {
    let middling = |name: &str| {
        let r = symbols.range(name);
        Some(r.lo.max(r.hi.min(128)))
    };
    d.eval(&middling).unwrap_or(128)
}

/// Ops that a body holds at most one of: the rest are views and elementwise.
pub fn is_anchor(op: &Op) -> bool {
    matches!(
        op,
        Op::MatMul { .. }
            | Op::Conv(_)
            | Op::ConvTranspose(_)
            | Op::Pool(_)
            | Op::Reduce { .. }
            | Op::ArgReduce { .. }
            | Op::Softmax { .. }
            | Op::Norm { .. }
            | Op::Cumulative(_)
            | Op::Scatter(_)
            | Op::ScatterWindow(_)
            | Op::ReduceWith { .. }
            | Op::WindowReduce(_)
            | Op::SelectAndScatter(_)
            | Op::SortBy { .. }
            | Op::Lstm(_)
            | Op::Gru(_)
    )
}
