//! A model that can be taken apart.

use std::collections::BTreeSet;

use beiming_ir::graph::Graph;
use beiming_ir::tensor::Tensor;
use beiming_ir::types::{Symbols, TensorType};
use serde::Serialize;

use super::{DebugError, Values};
use crate::import::onnx::proto::ModelProto;

/// An op of a model.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct OpInfo {
    /// Name of the node; may be empty.
    pub name: String,
    /// The operator.
    pub op: String,
    /// Where it stands in the model.
    pub place: String,
    /// Values it takes that are no constants, those taken by its subgraphs among them.
    #[serde(skip)]
    pub inputs: Vec<String>,
    /// Values it gives.
    pub outputs: Vec<String>,
}

impl OpInfo {
    /// How to call it: `Conv conv_3 (graph/node 17)`.
    pub fn title(&self) -> String {
        let mut s = self.op.clone();
        if !self.name.is_empty() {
            s += &format!(" `{}`", self.name);
        }
        if !self.place.is_empty() {
            s += &format!(" ({})", self.place);
        }
        s
    }
}

/// Some ops of a model, alone.
pub struct Cut {
    /// Which, by position in [`Source::ops`].
    pub ops: Vec<usize>,
    /// What is compiled.
    pub graph: Graph,
    /// The values it takes from around it.
    pub inputs: Vec<(String, Tensor)>,
    /// The values that are wanted of it, in the order of the graph's outputs.
    pub outputs: Vec<String>,
    /// As an ONNX model, where it was one.
    pub onnx: Option<Box<ModelProto>>,
}

/// A model that can be taken apart. Names of values are unique.
pub trait Source {
    /// Its ops in an order in which they can run.
    fn ops(&self) -> &[OpInfo];

    /// Names of its outputs.
    fn results(&self) -> Vec<String>;

    /// The model with these values as its outputs.
    ///
    /// # Errors
    /// [`DebugError::Import`] where the model, or a value of a kind that cannot be an output, is refused.
    fn whole(&self, outputs: &[String]) -> Result<Graph, DebugError>;

    /// As [`Source::whole`], in ONNX; `None` where the model is none.
    fn onnx(&self, outputs: &[String]) -> Option<ModelProto>;

    /// The given ops alone, in ascending order, with everything they take from around them fed from `values`. Its outputs are
    /// what others use of theirs, or the model gives.
    ///
    /// # Errors
    /// [`DebugError::Usage`] where a value is missing, [`DebugError::Import`] where the ops alone are no valid model.
    fn cut(&self, keep: &[usize], values: &Values) -> Result<Cut, DebugError>;

    /// Its inputs and the ranges of their symbols.
    ///
    /// # Errors
    /// [`DebugError::Import`] where they have no usable type.
    fn inputs(&self) -> Result<(Vec<(String, TensorType)>, Symbols), DebugError>;

    /// Every value that an op gives and that can be an output.
    fn all(&self) -> Vec<String> {
        self.ops().iter().flat_map(|o| o.outputs.iter().cloned()).collect()
    }
}

/// Values that `keep` takes from around it and those that are wanted of it, each once, in order.
pub(super) fn border(ops: &[OpInfo], results: &[String], keep: &[usize]) -> (Vec<String>, Vec<String>) {
    let kept: BTreeSet<usize> = keep.iter().copied().collect();
    let made: BTreeSet<&str> = keep.iter().flat_map(|i| ops[*i].outputs.iter().map(String::as_str)).collect();
    let around = (0..ops.len()).filter(|i| !kept.contains(i)).flat_map(|i| ops[i].inputs.iter());
    let wanted: BTreeSet<&str> = around.chain(results).map(String::as_str).collect();
    let mut seen = BTreeSet::new();
    let inputs = keep.iter().flat_map(|i| &ops[*i].inputs).filter(|n| !made.contains(n.as_str()) && seen.insert(n.as_str()));
    let inputs = inputs.cloned().collect();
    let outputs = keep.iter().flat_map(|i| &ops[*i].outputs).filter(|n| wanted.contains(n.as_str())).cloned().collect();
    (inputs, outputs)
}
