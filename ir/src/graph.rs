//! The tensor graph: a typed arena of nodes in execution order. A node's arguments point backwards, so a graph has no
//! cycles; a region (a branch, a loop body, a reducer) is a graph of its own that sees only its own inputs.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::ops::Op;
use crate::tensor::Tensor;
use crate::types::{DType, Symbols, TensorType};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);
        impl $name {
            /// Position in its arena.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}
pub(crate) use id;

id!(/// A node of one graph.
    NodeId);
id!(/// A value of one graph.
    ValueId);
id!(/// An entry of one graph's table of constants.
    ConstId);
id!(/// An entry of one graph's table of regions.
    RegionId);

/// Where a node comes from in the user's model; shown in every diagnostic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Loc {
    /// Name of the source node; several, joined by `+`, after fusion. May be empty.
    pub name: Arc<str>,
    /// Source operator, for example `Conv`. May be empty.
    pub op: Arc<str>,
    /// Place in the source, for example `graph/node 17` or `file.mlir:3:5`. May be empty.
    pub place: Arc<str>,
    /// Of a fused group, the source of each of its ops in order; of another node that a rewrite made for its neighbour's sake, the
    /// source of the op it stands for; else empty. The text form leaves it out.
    pub parts: Arc<[Loc]>,
}

impl Loc {
    /// True where nothing is known of the node itself.
    pub fn is_empty(&self) -> bool {
        self.name.is_empty() && self.op.is_empty() && self.place.is_empty()
    }

    /// A source of its own, not a group's.
    pub fn new(name: impl Into<Arc<str>>, op: impl Into<Arc<str>>, place: impl Into<Arc<str>>) -> Loc {
        Loc { name: name.into(), op: op.into(), place: place.into(), parts: Arc::default() }
    }
}

impl Loc {
    /// What reports call the node: its name, or its place where the source has none.
    pub fn label(&self) -> &Arc<str> {
        if self.name.is_empty() { &self.place } else { &self.name }
    }
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Node {
    /// The operation and its attributes.
    pub op: Op,
    /// Arguments.
    pub inputs: Vec<ValueId>,
    /// Results, one or more.
    pub outputs: Vec<ValueId>,
    /// Source.
    pub loc: Loc,
}

/// Who defines a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Def {
    /// The graph's n-th input.
    Input(u32),
    /// The n-th result of a node.
    Node(NodeId, u32),
}

/// A value.
#[derive(Clone, Debug)]
pub struct Value {
    /// Element type and shape.
    pub ty: TensorType,
    /// Definition.
    pub def: Def,
    /// Name in the source model; what `--inputs` and `--outputs` use at the border of a model. May be empty.
    pub name: Arc<str>,
}

/// A graph: a model, or a region of a control-flow op.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Name, for messages only.
    pub name: Arc<str>,
    /// Ranges of the symbols in the types. The extents of the inputs give their values; see [`Graph::valued_symbols`] for
    /// those of which no extent does, and [`Op::binds`] for those that nodes give values to.
    pub symbols: Symbols,
    /// Inputs in order; each is a value defined by `Def::Input`.
    pub inputs: Vec<ValueId>,
    /// Outputs in order.
    pub outputs: Vec<ValueId>,
    /// Names of the outputs: an output may be an input or appear twice, so the names are kept apart.
    pub output_names: Vec<Arc<str>>,
    /// Constants, by `Op::Constant`.
    pub consts: Vec<Tensor>,
    /// Regions, by control-flow ops.
    pub regions: Vec<Graph>,
    nodes: Vec<Node>,
    values: Vec<Value>,
}

impl Graph {
    /// An empty graph.
    pub fn new(name: &str, symbols: Symbols) -> Graph {
        Graph { name: name.into(), symbols, ..Graph::default() }
    }

    /// Adds an input.
    pub fn add_input(&mut self, name: &str, ty: TensorType) -> ValueId {
        let v = ValueId(self.values.len() as u32);
        self.values.push(Value { ty, def: Def::Input(self.inputs.len() as u32), name: name.into() });
        self.inputs.push(v);
        v
    }

    /// The symbols that are the value of an input, with the position of that input: no extent of an input gives their value, and
    /// an `i64[]` input has their name. (Programs that take their extents as arguments have such.)
    pub fn valued_symbols(&self) -> Vec<(Arc<str>, usize)> {
        let extents = self.inputs.iter().flat_map(|v| &self.ty(*v).shape);
        let given: BTreeSet<Arc<str>> =
            extents.filter_map(|d| d.solve(d.eval(&|_| Some(1))?)).map(|(symbol, _)| symbol).collect();
        let scalar = TensorType::scalar(DType::I64);
        self.inputs
            .iter()
            .enumerate()
            .filter(|(_, v)| *self.ty(**v) == scalar)
            .map(|(i, v)| (self.value(*v).name.clone(), i))
            .filter(|(name, _)| self.symbols.0.contains_key(name) && !given.contains(name))
            .collect()
    }

    /// Marks a value as the next output.
    pub fn add_output(&mut self, name: &str, v: ValueId) {
        self.outputs.push(v);
        self.output_names.push(name.into());
    }

    /// Adds a node whose result types are already known; `verify` holds them against `infer`. Prefer [`Graph::push`].
    pub fn push_typed(&mut self, op: Op, inputs: Vec<ValueId>, types: Vec<TensorType>, loc: Loc) -> Vec<ValueId> {
        let id = NodeId(self.nodes.len() as u32);
        let mut outputs = Vec::with_capacity(types.len());
        for (i, ty) in types.into_iter().enumerate() {
            outputs.push(ValueId(self.values.len() as u32));
            self.values.push(Value { ty, def: Def::Node(id, i as u32), name: "".into() });
        }
        self.nodes.push(Node { op, inputs, outputs: outputs.clone(), loc });
        outputs
    }

    /// Adds a node; its result types come from `infer`.
    pub fn push(&mut self, op: Op, inputs: &[ValueId], loc: &Loc) -> Result<Vec<ValueId>, crate::ops::InferError> {
        let types = {
            let tys: Vec<&TensorType> = inputs.iter().map(|v| self.ty(*v)).collect();
            crate::ops::infer(&op, &tys, self)?
        };
        Ok(self.push_typed(op, inputs.to_vec(), types, loc.clone()))
    }

    /// Adds a node with one result.
    pub fn push1(&mut self, op: Op, inputs: &[ValueId], loc: &Loc) -> Result<ValueId, crate::ops::InferError> {
        Ok(self.push(op, inputs, loc)?[0])
    }

    /// Adds a constant and the node that yields it.
    pub fn constant(&mut self, t: Tensor, loc: &Loc) -> ValueId {
        let ty = t.ty();
        self.consts.push(t);
        let op = Op::Constant(ConstId(self.consts.len() as u32 - 1));
        self.push_typed(op, vec![], vec![ty], loc.clone())[0]
    }

    /// Adds a region.
    pub fn add_region(&mut self, g: Graph) -> RegionId {
        self.regions.push(g);
        RegionId(self.regions.len() as u32 - 1)
    }

    /// Type of a value.
    pub fn ty(&self, v: ValueId) -> &TensorType {
        &self.values[v.index()].ty
    }

    /// A value.
    pub fn value(&self, v: ValueId) -> &Value {
        &self.values[v.index()]
    }

    /// A value, to be named.
    pub fn value_mut(&mut self, v: ValueId) -> &mut Value {
        &mut self.values[v.index()]
    }

    /// All values in definition order.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The source of a node, to be said anew.
    pub fn loc_mut(&mut self, n: NodeId) -> &mut Loc {
        &mut self.nodes[n.index()].loc
    }

    /// A node.
    pub fn node(&self, n: NodeId) -> &Node {
        &self.nodes[n.index()]
    }

    /// All nodes in execution order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node that defines `v`; `None` for an input.
    pub fn def(&self, v: ValueId) -> Option<&Node> {
        match self.value(v).def {
            Def::Node(n, _) => Some(self.node(n)),
            Def::Input(_) => None,
        }
    }

    /// The tensor `v` always holds, if a `Constant` defines it.
    pub fn const_of(&self, v: ValueId) -> Option<&Tensor> {
        match self.def(v)?.op {
            Op::Constant(c) => self.consts.get(c.index()),
            _ => None,
        }
    }

    /// A region.
    pub fn region(&self, r: RegionId) -> &Graph {
        &self.regions[r.index()]
    }

    /// For every value, how many arguments and outputs refer to it.
    pub fn use_counts(&self) -> Vec<u32> {
        let mut n = vec![0; self.values.len()];
        for v in self.nodes.iter().flat_map(|n| &n.inputs).chain(&self.outputs) {
            n[v.index()] += 1;
        }
        n
    }
}
