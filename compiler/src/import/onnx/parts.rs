//! What tools that take models apart ask of the importer: a model with its weights inside, the order of its nodes, and the
//! values that each takes.

use std::path::Path;

use beiming_ir::tensor::Tensor;
use beiming_ir::types::{DType, Symbols, TensorType};
use bytes::Bytes;
use prost::Message;

use super::external::{self, Folder};
use super::proto::{GraphProto, ModelProto, NodeProto, TensorProto};
use super::{ImportError, sort, tensor};
use crate::import::{Code, ImportOptions, ModelError};

/// Reads a model from a file, with external data put inside.
///
/// # Errors
/// As [`super::read`], for the file and its external data.
pub fn read_whole(path: &Path, options: &ImportOptions) -> Result<ModelProto, ImportError> {
    let io = |source| ImportError::Io { path: path.to_path_buf(), source };
    let file = std::fs::File::open(path).map_err(io)?;
    decode_whole(external::map(&file).map_err(io)?, path.parent(), options)
}

/// As [`read_whole`], of bytes. `folder` is where external data lies, if there may be any.
///
/// # Errors
/// As [`read_whole`].
pub fn decode_whole(bytes: Bytes, folder: Option<&Path>, options: &ImportOptions) -> Result<ModelProto, ImportError> {
    let mut model = ModelProto::decode(bytes).map_err(|e| ModelError::new(Code::NotOnnx, format!("not an ONNX model: {e}")))?;
    let mut folder = Folder::new(folder, options.allow_external_links);
    model.graph.iter_mut().try_for_each(|g| inline(g, &mut folder))?;
    for n in model.functions.iter_mut().flat_map(|f| &mut f.node) {
        inline_node(n, &mut folder)?;
    }
    Ok(model)
}

/// The depth of the recursion is bounded by the protobuf decoder's.
fn inline(g: &mut GraphProto, folder: &mut Folder) -> Result<(), ModelError> {
    let sparse = g.sparse_initializer.iter_mut().flat_map(|s| s.values.iter_mut().chain(s.indices.iter_mut()));
    g.initializer.iter_mut().chain(sparse).try_for_each(|t| tensor::inline(t, folder))?;
    g.node.iter_mut().try_for_each(|n| inline_node(n, folder))
}

fn inline_node(n: &mut NodeProto, folder: &mut Folder) -> Result<(), ModelError> {
    for a in &mut n.attribute {
        a.t.iter_mut().chain(&mut a.tensors).try_for_each(|t| tensor::inline(t, folder))?;
        a.g.iter_mut().chain(&mut a.graphs).try_for_each(|g| inline(g, folder))?;
    }
    Ok(())
}

/// Positions of the nodes in an order in which they can run.
///
/// # Errors
/// The positions of nodes on a cycle.
pub fn order(nodes: &[NodeProto]) -> Result<Vec<usize>, Vec<usize>> {
    sort::order(nodes)
}

/// Names of the values that a node takes, those that its subgraphs take from around it among them; absent ones left out.
pub fn taken(n: &NodeProto) -> Vec<String> {
    let mut names: Vec<&str> = n.input.iter().map(String::as_str).filter(|n| !n.is_empty()).collect();
    sort::subgraphs(n).for_each(|g| sort::free_names(g, &mut names));
    names.into_iter().filter(|n| !n.is_empty()).map(String::from).collect()
}

/// The ONNX code of an element type.
pub fn code(d: DType) -> i32 {
    tensor::code(d)
}

/// The inputs that the options give a value, with that value.
///
/// # Errors
/// As [`super::read`], for the inputs.
pub fn fixed(g: &GraphProto, options: &ImportOptions) -> Result<Vec<(String, Tensor)>, ImportError> {
    Ok(super::border::inputs(g, options)?.values.into_iter().map(|(n, t)| (n.to_string(), t)).collect())
}

/// The inputs of a graph as the options have them, and the ranges of their symbols.
///
/// # Errors
/// As [`super::read`], for the inputs.
pub fn inputs(g: &GraphProto, options: &ImportOptions) -> Result<(Vec<(String, TensorType)>, Symbols), ImportError> {
    let border = super::border::inputs(g, options)?;
    Ok((border.inputs.into_iter().map(|(n, ty)| (n.to_string(), ty)).collect(), border.symbols))
}

/// A tensor as a message, its elements as raw bytes. Types that pack several elements into a byte are packed.
pub fn message(name: &str, t: &Tensor) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: t.shape.iter().map(|d| *d as i64).collect(),
        data_type: Some(tensor::code(t.dtype)),
        raw_data: Some(tensor::pack(t).into()),
        ..TensorProto::default()
    }
}
