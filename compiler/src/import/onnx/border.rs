//! The border of a model: types of its inputs under the user's options, and its outputs.

use std::collections::{BTreeMap, BTreeSet};

use beiming_ir::tensor::Tensor;
use beiming_ir::types::{Dim, Range, Symbols, TensorType};

use super::super::border::settle;
use super::super::error::{Clean, Code, ImportError, ModelError, UnsupportedOp};
use super::super::fail::Fail;
use super::super::options::ImportOptions;
use super::importer::{Importer, Slot};
use super::proto::{GraphProto, ValueInfoProto, tensor_shape_proto::dimension, type_proto};
use super::tensor::{self, TensorError};

/// The inputs that a run has to give, and the symbols of their types.
pub struct Border<'m> {
    /// Names and types in order.
    pub inputs: Vec<(&'m str, TensorType)>,
    /// Inputs to which the user gave values.
    pub values: Vec<(&'m str, Tensor)>,
    /// Ranges of the symbols.
    pub symbols: Symbols,
    /// Ranges for symbols that are yet to be made.
    pub made: BTreeMap<String, Range>,
}

/// Types of the inputs that are not initializers.
pub fn inputs<'m>(g: &'m GraphProto, options: &ImportOptions) -> Result<Border<'m>, ImportError> {
    let constant: BTreeSet<&str> = g.initializer.iter().map(|t| t.name()).collect();
    let mut errors = vec![];
    let mut unsupported = vec![];
    let mut inputs = vec![];
    for i in g.input.iter().filter(|i| !constant.contains(i.name())) {
        match declared(i) {
            Ok(ty) => inputs.push((i.name(), ty)),
            Err(TensorError::Invalid(e)) => errors.push(e),
            Err(TensorError::Unsupported(why)) => unsupported.push(UnsupportedOp {
                name: i.name().into(),
                op: "graph input".into(),
                domain: String::new(),
                opset: 0,
                place: "graph".into(),
                why,
                wants: vec![],
            }),
        }
    }
    let settled = settle(&mut inputs, options, &[], &mut errors);
    let mut fixed: BTreeMap<usize, Tensor> = settled.values.into_iter().collect();
    let mut values = vec![];
    let mut open = vec![];
    for (i, (name, ty)) in inputs.into_iter().enumerate() {
        match fixed.remove(&i) {
            Some(t) => values.push((name, t)),
            None => open.push((name, ty)),
        }
    }
    if !errors.is_empty() {
        return Err(ImportError::Invalid { errors, unsupported });
    }
    if !unsupported.is_empty() {
        return Err(ImportError::Unsupported { ops: unsupported });
    }
    Ok(Border { inputs: open, values, symbols: settled.symbols, made: settled.made })
}

/// The type an input has in the model. Unnamed extents get the name `input_dI`.
fn declared(i: &ValueInfoProto) -> Result<TensorType, TensorError> {
    let name = Clean(i.name());
    let bad = |why: String| TensorError::Invalid(ModelError::new(Code::BorderType, format!("input `{name}` {why}")));
    let t = match i.r#type.as_ref().and_then(|t| t.value.as_ref()) {
        Some(type_proto::Value::TensorType(t)) => t,
        Some(_) => return Err(TensorError::Unsupported("inputs that are not tensors".into())),
        None => return Err(bad("has no type".into())),
    };
    let dtype = tensor::dtype(t.elem_type())?;
    let Some(shape) = &t.shape else { return Err(TensorError::Unsupported("inputs of unknown rank".into())) };
    let mut dims = vec![];
    for (axis, d) in shape.dim.iter().enumerate() {
        let open = || Dim::sym(&format!("{}_d{axis}", i.name()));
        dims.push(match &d.value {
            // Many writers put -1 for an open extent.
            None | Some(dimension::Value::DimValue(-1)) => open(),
            Some(dimension::Value::DimValue(v)) if *v < 0 => {
                let message = format!("input `{name}` has the negative extent {v}");
                return Err(ModelError::new(Code::Dimension, message).into());
            }
            Some(dimension::Value::DimValue(v)) => Dim::Known(*v),
            // Some writers name every open extent alike, which does not make them equal.
            Some(dimension::Value::DimParam(p)) if matches!(p.as_str(), "" | "?" | "-1" | "None") => open(),
            Some(dimension::Value::DimParam(p)) => Dim::sym(p),
        });
    }
    let known: Vec<i64> = dims.iter().filter_map(Dim::known).collect();
    tensor::extents(&known).map_err(|e| ModelError::new(e.code, format!("input `{name}`: {}", e.message)))?;
    Ok(TensorType { dtype, shape: dims })
}

/// Puts the outputs in place.
pub fn outputs(im: &mut Importer<'_>, g: &GraphProto) {
    if g.output.is_empty() {
        im.fail_item("graph", g.name(), Fail::Invalid(Code::BorderType, "the graph has no outputs".into()));
    }
    for o in &g.output {
        let name = o.name();
        let v = match im.lookup(name) {
            Some(Slot::Value(v)) => v,
            Some(_) => continue,
            None => {
                let f = Fail::Invalid(Code::Undefined, "nothing defines it".into());
                im.fail_item("graph output", name, f);
                continue;
            }
        };
        let declared = match o.r#type.as_ref().and_then(|t| t.value.as_ref()) {
            Some(type_proto::Value::TensorType(t)) => tensor::dtype(t.elem_type()).ok(),
            _ => None,
        };
        let have = im.top().ty(v).dtype;
        if let Some(want) = declared.filter(|w| *w != have) {
            let f = Fail::Invalid(Code::BorderType, format!("it is declared as {want}, but its value is {have}"));
            im.fail_item("graph output", name, f);
            continue;
        }
        let frame = im.frame();
        let id = frame.materialize(v);
        if frame.graph.value(id).name.is_empty() {
            frame.graph.value_mut(id).name = name.into();
        }
        frame.graph.add_output(name, id);
    }
}
