//! Building a graph from an old one: values are mapped, constants and equal nodes are shared, regions come along.

use std::collections::HashMap;

use beiming_ir::graph::{ConstId, Graph, Loc, Node, RegionId, ValueId};
use beiming_ir::ops::{InferError, Op};
use beiming_ir::tensor::Tensor;
use beiming_ir::types::{DType, TensorType};

use crate::PassError;

/// Constants up to this size are shared by content; larger ones when they are the same bytes in memory.
const SHARE_BY_CONTENT: usize = 4096;

/// Finds constants that are already in a table.
#[derive(Default)]
pub(crate) struct Consts {
    small: HashMap<(DType, Vec<usize>, Vec<u8>), ConstId>,
    large: HashMap<(DType, Vec<usize>, usize), ConstId>,
}

impl Consts {
    /// The entry of `table` that equals `t`, added if there is none.
    pub fn intern(&mut self, table: &mut Vec<Tensor>, t: &Tensor) -> ConstId {
        let mut add = || {
            table.push(t.clone());
            ConstId(table.len() as u32 - 1)
        };
        let bytes = t.bytes();
        if bytes.len() <= SHARE_BY_CONTENT {
            *self.small.entry((t.dtype, t.shape.clone(), bytes.to_vec())).or_insert_with(&mut add)
        } else {
            // The table keeps the bytes alive, so an address is not used twice.
            *self.large.entry((t.dtype, t.shape.clone(), bytes.as_ptr() as usize)).or_insert_with(&mut add)
        }
    }
}

/// A new graph under construction from an old one.
pub(crate) struct Rebuild<'a> {
    /// The graph that is read.
    pub old: &'a Graph,
    /// The graph that grows.
    pub new: Graph,
    map: Vec<Option<ValueId>>,
    consts: Consts,
    const_values: HashMap<ConstId, ValueId>,
    regions: HashMap<RegionId, RegionId>,
    seen: HashMap<(Op, Vec<ValueId>), Vec<ValueId>>,
}

impl<'a> Rebuild<'a> {
    /// An empty graph with the inputs of `old`.
    pub fn new(old: &'a Graph) -> Rebuild<'a> {
        let mut r = Rebuild::without_inputs(old);
        for &v in &old.inputs {
            let n = r.new.add_input(&old.value(v).name, old.ty(v).clone());
            r.map[v.index()] = Some(n);
        }
        r
    }

    /// An empty graph whose inputs the caller adds and maps.
    pub fn without_inputs(old: &'a Graph) -> Rebuild<'a> {
        Rebuild {
            old,
            new: Graph::new(&old.name, old.symbols.clone()),
            map: vec![None; old.values().len()],
            consts: Consts::default(),
            const_values: HashMap::new(),
            regions: HashMap::new(),
            seen: HashMap::new(),
        }
    }

    /// What became of an old value.
    pub fn get(&self, v: ValueId) -> Result<ValueId, PassError> {
        self.map[v.index()].ok_or_else(|| PassError::Malformed(format!("value {} is used before it is defined", v.0)))
    }

    /// What became of a node's arguments.
    pub fn inputs(&self, node: &Node) -> Result<Vec<ValueId>, PassError> {
        node.inputs.iter().map(|v| self.get(*v)).collect()
    }

    /// Says what became of an old value; its name moves along if the new value has none.
    pub fn set(&mut self, old: ValueId, new: ValueId) {
        self.map[old.index()] = Some(new);
        let name = &self.old.value(old).name;
        if !name.is_empty() && self.new.value(new).name.is_empty() {
            self.new.value_mut(new).name = name.clone();
        }
    }

    /// A constant; equal ones are the same value.
    pub fn constant(&mut self, t: &Tensor, loc: &Loc) -> ValueId {
        let id = self.consts.intern(&mut self.new.consts, t);
        if let Some(v) = self.const_values.get(&id) {
            return *v;
        }
        let v = self.new.push_typed(Op::Constant(id), vec![], vec![t.ty()], loc.clone())[0];
        self.const_values.insert(id, v);
        v
    }

    /// Adds a node over new values; an equal node is used again.
    pub fn push(&mut self, op: Op, inputs: &[ValueId], loc: &Loc) -> Result<Vec<ValueId>, InferError> {
        if let Some(v) = self.seen.get(&(op.clone(), inputs.to_vec())) {
            return Ok(v.clone());
        }
        let v = self.new.push(op.clone(), inputs, loc)?;
        self.seen.insert((op, inputs.to_vec()), v.clone());
        Ok(v)
    }

    /// The first result of a node that is there already.
    pub fn existing(&self, op: &Op, inputs: &[ValueId]) -> Option<ValueId> {
        self.seen.get(&(op.clone(), inputs.to_vec())).and_then(|v| v.first().copied())
    }

    /// Adds a node with one result.
    pub fn push1(&mut self, op: Op, inputs: &[ValueId], loc: &Loc) -> Result<ValueId, InferError> {
        Ok(self.push(op, inputs, loc)?[0])
    }

    /// Brings a region of the old graph along.
    fn region(&mut self, r: RegionId) -> RegionId {
        let (old, new) = (self.old, &mut self.new);
        *self.regions.entry(r).or_insert_with(|| new.add_region(old.region(r).clone()))
    }

    /// Copies a node of the old graph, constants and regions included.
    pub fn copy(&mut self, node: &Node) -> Result<(), PassError> {
        let inputs = self.inputs(node)?;
        self.copy_with(node, inputs)
    }

    /// Copies a node with other arguments of the same types.
    pub fn copy_with(&mut self, node: &Node, inputs: Vec<ValueId>) -> Result<(), PassError> {
        let op = match &node.op {
            Op::Constant(c) => {
                let t = self.old.consts.get(c.index()).ok_or_else(|| PassError::Malformed(format!("no constant {}", c.0)))?;
                let v = self.constant(t, &node.loc);
                self.set(node.outputs[0], v);
                return Ok(());
            }
            op => op.map_regions(&mut |r| self.region(r)),
        };
        let key = (op, inputs);
        let outputs = match self.seen.get(&key) {
            Some(v) => v.clone(),
            None => {
                let types: Vec<TensorType> = node.outputs.iter().map(|v| self.old.ty(*v).clone()).collect();
                let v = self.new.push_typed(key.0.clone(), key.1.clone(), types, node.loc.clone());
                self.seen.insert(key, v.clone());
                v
            }
        };
        for (old, new) in node.outputs.iter().zip(outputs) {
            self.set(*old, new);
        }
        Ok(())
    }

    /// The new graph, with the outputs of the old one.
    pub fn finish(mut self) -> Result<Graph, PassError> {
        for (v, name) in self.old.outputs.iter().zip(&self.old.output_names) {
            let n = self.get(*v)?;
            self.new.add_output(name, n);
        }
        Ok(self.new)
    }
}
