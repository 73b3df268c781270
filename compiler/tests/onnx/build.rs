//! Models built in memory, in few words.

use std::path::Path;

use beiming::import::onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, attribute_proto::AttributeType, tensor_shape_proto, type_proto,
};
use beiming::import::{ImportError, ImportOptions, onnx};
use beiming_ir::graph::Graph;
use bytes::Bytes;

/// An extent: `"3"` is a number, `"?"` is open, anything else a name.
fn dimension(d: &str) -> tensor_shape_proto::Dimension {
    use tensor_shape_proto::dimension::Value;
    let value = match d.parse::<i64>() {
        Ok(v) => Some(Value::DimValue(v)),
        Err(_) if d == "?" => None,
        Err(_) => Some(Value::DimParam(d.into())),
    };
    tensor_shape_proto::Dimension { value, denotation: None }
}

/// An input or output of type code `code`, with extents in the form `N,3,4`.
pub fn port(name: &str, code: i32, dims: &str) -> ValueInfoProto {
    let dim = dims.split(',').filter(|d| !d.is_empty()).map(dimension).collect();
    let tensor = type_proto::Tensor { elem_type: Some(code), shape: Some(TensorShapeProto { dim }) };
    let value = Some(type_proto::Value::TensorType(tensor));
    ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { value, denotation: None }), ..Default::default() }
}

/// A node. Inputs and outputs are separated by blanks; `_` is an absent one.
pub fn node(op: &str, inputs: &str, outputs: &str, attributes: Vec<AttributeProto>) -> NodeProto {
    let names = |s: &str| s.split_whitespace().map(|n| if n == "_" { String::new() } else { n.into() }).collect();
    NodeProto {
        op_type: Some(op.into()),
        name: Some(format!("the_{op}")),
        input: names(inputs),
        output: names(outputs),
        attribute: attributes,
        ..Default::default()
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: Some(name.into()), r#type: Some(kind as i32), ..Default::default() }
}

/// An integer attribute.
pub fn int(name: &str, v: i64) -> AttributeProto {
    AttributeProto { i: Some(v), ..attribute(name, AttributeType::Int) }
}

/// A list of integers.
pub fn ints(name: &str, v: &[i64]) -> AttributeProto {
    AttributeProto { ints: v.to_vec(), ..attribute(name, AttributeType::Ints) }
}

/// A string attribute.
pub fn string(name: &str, v: &str) -> AttributeProto {
    AttributeProto { s: Some(Bytes::from(v.to_string())), ..attribute(name, AttributeType::String) }
}

/// A graph attribute.
pub fn body(name: &str, g: GraphProto) -> AttributeProto {
    AttributeProto { g: Some(g), ..attribute(name, AttributeType::Graph) }
}

/// An f32 initializer.
pub fn f32s(name: &str, dims: &[i64], v: &[f32]) -> TensorProto {
    let raw: Vec<u8> = v.iter().flat_map(|x| x.to_le_bytes()).collect();
    TensorProto { data_type: Some(1), raw_data: Some(raw.into()), ..typed(name, dims) }
}

/// An i64 initializer in its typed field.
pub fn i64s(name: &str, dims: &[i64], v: &[i64]) -> TensorProto {
    TensorProto { data_type: Some(7), int64_data: v.to_vec(), ..typed(name, dims) }
}

fn typed(name: &str, dims: &[i64]) -> TensorProto {
    TensorProto { name: Some(name.into()), dims: dims.to_vec(), ..Default::default() }
}

/// A graph.
pub fn graph(
    inputs: Vec<ValueInfoProto>,
    initializer: Vec<TensorProto>,
    node: Vec<NodeProto>,
    output: Vec<ValueInfoProto>,
) -> GraphProto {
    GraphProto { name: Some("g".into()), input: inputs, initializer, node, output, ..Default::default() }
}

/// A model of opset 17.
pub fn model(g: GraphProto) -> ModelProto {
    let opset_import = vec![OperatorSetIdProto { domain: None, version: Some(17) }];
    ModelProto { ir_version: Some(8), opset_import, graph: Some(g), ..Default::default() }
}

/// A model of one f32 input `x` of shape `dims`, some nodes, and one f32 output `y`.
pub fn simple(dims: &str, constants: Vec<TensorProto>, nodes: Vec<NodeProto>) -> ModelProto {
    model(graph(vec![port("x", 1, dims)], constants, nodes, vec![port("y", 1, "")]))
}

/// Imports without options.
pub fn import(m: &ModelProto) -> Result<Graph, ImportError> {
    onnx::read_model(m, None, &ImportOptions::default())
}

/// Imports with a folder of external data.
pub fn import_at(m: &ModelProto, folder: &Path, allow_external_links: bool) -> Result<Graph, ImportError> {
    onnx::read_model(m, Some(folder), &ImportOptions { allow_external_links, ..ImportOptions::default() })
}
