//! Reading ONNX.
//!
//! `read` maps the file and decodes the protobuf; tensors stay windows into the map. `border` settles the types of the
//! inputs under the user's options. `importer` walks the nodes in order, with one small converter an operator (`ops`), which
//! emits core ops into a [frame](super::frame), which folds constants and shape arithmetic as it goes, so that what ONNX
//! passes as tensors (shapes, axes, pads) arrives where the IR wants it: in payloads, as dimension expressions.

mod border;
mod external;
mod importer;
mod node;
mod ops;
pub mod parts;
pub mod proto;
mod sort;
mod tensor;

use std::path::Path;

use beiming_ir::graph::Graph;
use bytes::Bytes;
use prost::Message;

use super::{Code, ImportError, ImportOptions, ModelError};
use importer::{Importer, Slot};

/// First and last version of the standard operator set that is understood. (Versions before 7 are old; what they share with
/// 7 is read, a few operators of them are reported.)
pub const OPSETS: std::ops::RangeInclusive<i64> = 1..=28;

/// Maps a whole file.
pub(super) use external::map;

/// Reads a model from a file. External data is looked for in the file's folder.
pub fn read(path: &Path, options: &ImportOptions) -> Result<Graph, ImportError> {
    let bytes = super::mapped::file(path)?;
    read_bytes(bytes, Some(path.parent().unwrap_or(Path::new("."))), options)
}

/// Reads a model from memory. `folder` holds external data, if there may be any.
pub fn read_bytes(bytes: Bytes, folder: Option<&Path>, options: &ImportOptions) -> Result<Graph, ImportError> {
    let size = bytes.len();
    let model = proto::ModelProto::decode(bytes).map_err(|e| {
        let message = format!("not an ONNX model, or cut off ({size} bytes): {e}");
        ModelError::new(Code::NotOnnx, message)
    })?;
    read_model(&model, folder, options)
}

/// Reads a decoded model. `folder` holds external data, if there may be any.
pub fn read_model(model: &proto::ModelProto, folder: Option<&Path>, options: &ImportOptions) -> Result<Graph, ImportError> {
    let Some(graph) = &model.graph else {
        return Err(ModelError::new(Code::NoGraph, "the model has no graph").into());
    };
    let opset = importer::opsets(&model.opset_import).get("").copied();
    if let Some(v) = opset.filter(|v| !OPSETS.contains(v)) {
        let (lo, hi) = (OPSETS.start(), OPSETS.end());
        return Err(ModelError::new(Code::Opset, format!("the model uses opset {v}; understood are {lo} to {hi}")).into());
    }
    let border = border::inputs(graph, options)?;
    let folder = external::Folder::new(folder, options.allow_external_links);
    let mut im = Importer::new(model, folder, border.symbols);
    im.frame().asked = border.made;
    for (name, ty) in border.inputs {
        let v = im.frame().input(name, ty);
        im.define(name, Slot::Value(v), &Default::default());
    }
    for (name, t) in border.values {
        let v = im.frame().constant(t, &Default::default());
        im.define(name, Slot::Value(v), &Default::default());
    }
    im.initializers(graph);
    if let Err(f) = im.nodes(&graph.node) {
        im.fail_item("graph", graph.name(), f);
    }
    border::outputs(&mut im, graph);
    if im.errors.is_empty() && im.unsupported.is_empty() {
        im.errors = super::border::not_made(&im.frame().asked);
    }
    if im.errors.is_empty() && im.unsupported.is_empty() {
        return Ok(im.finish());
    }
    if im.errors.is_empty() {
        return Err(ImportError::Unsupported { ops: im.unsupported });
    }
    Err(ImportError::Invalid { errors: im.errors, unsupported: im.unsupported })
}

/// Names of the operators of the standard that are supported, sorted.
pub fn supported_ops() -> Vec<&'static str> {
    ops::names()
}

/// Reads a tensor from a decoded message, such as the `.pb` files of the ONNX test suites hold.
pub fn read_tensor(t: &proto::TensorProto) -> Result<beiming_ir::tensor::Tensor, ImportError> {
    match tensor::read(t, &mut external::Folder::new(None, false)) {
        Ok(t) => Ok(t),
        Err(tensor::TensorError::Invalid(e)) => Err(e.into()),
        Err(tensor::TensorError::Unsupported(why)) => {
            let (name, op, place) = (t.name().to_string(), "tensor".to_string(), String::new());
            Err(ImportError::Unsupported {
                ops: vec![super::UnsupportedOp { name, op, domain: "".into(), opset: 0, place, why, wants: vec![] }],
            })
        }
    }
}
