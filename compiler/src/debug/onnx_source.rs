//! ONNX models, taken apart as ONNX: what is cut out is a model that other tools read too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use beiming_ir::graph::Graph;
use beiming_ir::tensor::Tensor;
use beiming_ir::types::{Symbols, TensorType};
use bytes::Bytes;

use super::source::{Cut, OpInfo, Source, border};
use super::{DebugError, Values};
use crate::import::onnx::proto::{self, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use crate::import::onnx::{self, parts};
use crate::import::{Code, ImportError, ImportOptions, ModelError};

/// Integers of at most this many elements and one axis are shapes, axes and the like: operators want them as constants.
const SMALL: usize = 64;

/// An ONNX model.
pub struct OnnxSource {
    model: ModelProto,
    options: ImportOptions,
    /// Position of every op among the model's nodes; constants are no ops.
    nodes: Vec<usize>,
    ops: Vec<OpInfo>,
    /// Initializers by name.
    constants: BTreeMap<String, TensorProto>,
    /// `Constant` nodes by the name of their value.
    constant_nodes: BTreeMap<String, usize>,
}

impl OnnxSource {
    /// Of a file, its external data included.
    ///
    /// # Errors
    /// [`DebugError::Import`] where file or options are refused.
    pub fn open(path: &Path, options: &ImportOptions) -> Result<OnnxSource, DebugError> {
        OnnxSource::new(parts::read_whole(path, options)?, options)
    }

    /// Of a file, if it is ONNX.
    ///
    /// # Errors
    /// As [`OnnxSource::open`], of a file that is.
    pub fn detect(path: &Path, options: &ImportOptions) -> Result<Option<OnnxSource>, DebugError> {
        OnnxSource::of_whole(parts::read_whole(path, options), options)
    }

    /// Of bytes, if they are ONNX. `folder` is where external data lies, if there may be any.
    ///
    /// # Errors
    /// As [`OnnxSource::detect`].
    pub fn detect_bytes(bytes: Bytes, folder: Option<&Path>, options: &ImportOptions) -> Result<Option<OnnxSource>, DebugError> {
        OnnxSource::of_whole(parts::decode_whole(bytes, folder, options), options)
    }

    fn of_whole(read: Result<ModelProto, ImportError>, options: &ImportOptions) -> Result<Option<OnnxSource>, DebugError> {
        match read {
            Ok(m) if m.graph.is_some() => OnnxSource::new(m, options).map(Some),
            Ok(_) => Ok(None),
            Err(ImportError::Invalid { errors, .. }) if errors.iter().all(|e| e.code == Code::NotOnnx) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Of a model whose weights are inside. Inputs that `options` gives a value become constants.
    ///
    /// # Errors
    /// As [`OnnxSource::open`].
    pub fn new(mut model: ModelProto, options: &ImportOptions) -> Result<OnnxSource, DebugError> {
        let mut options = options.clone();
        if !options.values.is_empty() {
            fix_values(&mut model, &mut options)?;
        }
        let invalid = |code, what: &str| DebugError::Import(ImportError::from(ModelError::new(code, what)));
        let graph = model.graph.as_ref().ok_or_else(|| invalid(Code::NoGraph, "the model has no graph"))?;
        let constants: BTreeMap<String, TensorProto> =
            graph.initializer.iter().map(|t| (t.name().to_string(), t.clone())).collect();
        let order = parts::order(&graph.node).map_err(|_| invalid(Code::Cycle, "nodes depend on each other in a cycle"))?;
        let constant = |n: &NodeProto| n.op_type() == "Constant" && matches!(n.domain(), "" | "ai.onnx");
        let sparse = graph.sparse_initializer.iter().filter_map(|s| s.values.as_ref().map(|v| v.name().to_string()));
        let sparse: BTreeSet<String> = sparse.collect();
        let (mut nodes, mut ops, mut constant_nodes) = (vec![], vec![], BTreeMap::new());
        for i in order {
            let n = &graph.node[i];
            if constant(n) {
                constant_nodes.extend(n.output.iter().map(|o| (o.clone(), i)));
                continue;
            }
            let outer = |x: &String| !constants.contains_key(x) && !constant_nodes.contains_key(x) && !sparse.contains(x);
            nodes.push(i);
            ops.push(OpInfo {
                name: n.name().into(),
                op: n.op_type().into(),
                place: format!("graph/node {i}"),
                inputs: parts::taken(n).into_iter().filter(outer).collect(),
                outputs: n.output.iter().filter(|o| !o.is_empty()).cloned().collect(),
            });
        }
        Ok(OnnxSource { options, nodes, ops, constants, constant_nodes, model })
    }

    fn graph(&self) -> &GraphProto {
        // `new` refuses models without one.
        self.model.graph.as_ref().expect("a model with a graph")
    }

    /// The ops as a model of their own. Values in `fixed` become constants.
    fn part(&self, keep: &[usize], inputs: &[(String, Tensor)], outputs: &[String], fixed: &BTreeSet<&str>) -> ModelProto {
        let all = self.graph();
        let mut node: Vec<NodeProto> = keep.iter().map(|i| all.node[self.nodes[*i]].clone()).collect();
        let used: BTreeSet<String> = node.iter().flat_map(parts::taken).collect();
        let own = used.iter().filter_map(|n| self.constants.get(n).cloned());
        let given = inputs.iter().filter(|(n, _)| fixed.contains(n.as_str())).map(|(n, t)| parts::message(n, t));
        let initializer = own.chain(given).collect();
        let needed: BTreeSet<usize> = used.iter().filter_map(|n| self.constant_nodes.get(n).copied()).collect();
        node.splice(0..0, needed.iter().map(|i| all.node[*i].clone()));
        let input = inputs.iter().filter(|(n, _)| !fixed.contains(n.as_str())).map(|(n, t)| typed(n, &t.ty())).collect();
        let sparse = |s: &&proto::SparseTensorProto| s.values.as_ref().is_some_and(|v| used.contains(v.name()));
        let graph = GraphProto {
            name: all.name.clone(),
            node,
            input,
            initializer,
            output: outputs.iter().map(|n| named(n)).collect(),
            sparse_initializer: all.sparse_initializer.iter().filter(sparse).cloned().collect(),
            ..GraphProto::default()
        };
        ModelProto {
            ir_version: self.model.ir_version,
            opset_import: self.model.opset_import.clone(),
            functions: self.model.functions.clone(),
            producer_name: Some("beiming".into()),
            graph: Some(graph),
            ..ModelProto::default()
        }
    }
}

impl Source for OnnxSource {
    fn ops(&self) -> &[OpInfo] {
        &self.ops
    }

    fn results(&self) -> Vec<String> {
        self.graph().output.iter().map(|o| o.name().to_string()).collect()
    }

    fn whole(&self, outputs: &[String]) -> Result<Graph, DebugError> {
        let model = self.onnx(outputs).unwrap_or_default();
        Ok(onnx::read_model(&model, None, &self.options)?)
    }

    fn inputs(&self) -> Result<(Vec<(String, TensorType)>, Symbols), DebugError> {
        Ok(parts::inputs(self.graph(), &self.options)?)
    }

    fn onnx(&self, outputs: &[String]) -> Option<ModelProto> {
        let mut model = self.model.clone();
        if let Some(g) = &mut model.graph {
            let declared: BTreeMap<String, ValueInfoProto> = g.output.drain(..).map(|o| (o.name().to_string(), o)).collect();
            g.output = outputs.iter().map(|n| declared.get(n).cloned().unwrap_or_else(|| named(n))).collect();
        }
        Some(model)
    }

    fn cut(&self, keep: &[usize], values: &Values) -> Result<Cut, DebugError> {
        let (inputs, outputs) = border(&self.ops, &self.results(), keep);
        let feed = |n: String| {
            let t = values.get(&n).ok_or_else(|| DebugError::Usage(format!("the reference has no value `{n}`")))?.clone();
            Ok((n, t))
        };
        let inputs = inputs.into_iter().map(feed).collect::<Result<Vec<_>, DebugError>>()?;
        let border: BTreeSet<&str> = self.graph().input.iter().map(|i| i.name()).collect();
        let small = |(n, t): &&(String, Tensor)| t.shape.len() <= 1 && t.len() <= SMALL && !border.contains(n.as_str());
        let fixed = |floats: bool| {
            let take = |x: &&(String, Tensor)| small(x) && (floats || x.1.dtype.is_int());
            inputs.iter().filter(take).map(|(n, _)| n.as_str()).collect::<BTreeSet<&str>>()
        };
        // Some operators want floats as constants too: scales, bounds. Where the ops are refused without, they get them so.
        let (few, more) = (fixed(false), fixed(true));
        let read = |fixed: &BTreeSet<&str>| {
            let mut model = self.part(keep, &inputs, &outputs, fixed);
            let graph = onnx::read_model(&model, None, &ImportOptions::default())?;
            // Other tools want outputs with types.
            if let Some(g) = &mut model.graph {
                let types = graph.outputs.iter().map(|v| graph.ty(*v));
                g.output = graph.output_names.iter().zip(types).map(|(n, t)| typed(n, t)).collect();
            }
            Ok((model, graph))
        };
        let (model, graph, fixed) = match read(&few) {
            Ok((m, g)) => (m, g, few),
            Err(e) => {
                let (m, g) = read(&more).map_err(|_: DebugError| e)?;
                (m, g, more)
            }
        };
        let inputs = inputs.iter().filter(|(n, _)| !fixed.contains(n.as_str())).cloned().collect();
        Ok(Cut { ops: keep.to_vec(), graph, inputs, outputs, onnx: Some(Box::new(model)) })
    }
}

/// Makes constants of the inputs that the options give a value.
fn fix_values(model: &mut ModelProto, options: &mut ImportOptions) -> Result<(), DebugError> {
    let Some(graph) = &mut model.graph else { return Ok(()) };
    for (name, t) in parts::fixed(graph, options)? {
        graph.input.retain(|i| i.name() != name);
        graph.initializer.push(parts::message(&name, &t));
    }
    options.values.clear();
    Ok(())
}

/// A value by its name alone: whoever reads the model infers its type.
fn named(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: Some(name.into()), ..ValueInfoProto::default() }
}

/// A value with its type; extents that are not known have their text as name.
fn typed(name: &str, ty: &TensorType) -> ValueInfoProto {
    use proto::tensor_shape_proto::{Dimension, dimension::Value};
    let dim = |d: &beiming_ir::types::Dim| {
        let value = d.known().map_or_else(|| Value::DimParam(d.to_string()), Value::DimValue);
        Dimension { value: Some(value), ..Dimension::default() }
    };
    let tensor = proto::type_proto::Tensor {
        elem_type: Some(parts::code(ty.dtype)),
        shape: Some(proto::TensorShapeProto { dim: ty.shape.iter().map(dim).collect() }),
    };
    let value = Some(proto::type_proto::Value::TensorType(tensor));
    let r#type = Some(proto::TypeProto { value, ..proto::TypeProto::default() });
    ValueInfoProto { name: Some(name.into()), r#type, ..ValueInfoProto::default() }
}
