//! The border of a model: types of its inputs under the user's options, and its outputs.

use std::collections::{BTreeMap, BTreeSet};

use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{Dim, Range, Symbols, TensorType};

use super::super::error::{Clean, Code, ImportError, ModelError, UnsupportedOp};
use super::super::options::{DimOverride, ImportOptions};
use super::importer::{Fail, Importer, Slot};
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
}

/// Range of a dimension that nothing is said about. Later stages ask for an upper bound where they need one.
const ANY: Range = Range { lo: 1, hi: i64::MAX };

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
            }),
        }
    }
    if let Err(mut e) = apply(&mut inputs, options) {
        errors.append(&mut e);
    }
    let mut values = vec![];
    for (name, numbers) in &options.values {
        match value(&inputs, name, numbers) {
            Ok((i, t)) => {
                let (name, _) = inputs.remove(i);
                values.push((name, t));
            }
            Err(message) => errors.push(ModelError::new(Code::Option, message)),
        }
    }
    if !errors.is_empty() {
        return Err(ImportError::Invalid { errors, unsupported });
    }
    if !unsupported.is_empty() {
        return Err(ImportError::Unsupported { ops: unsupported });
    }
    let mut symbols = Symbols::default();
    for name in inputs.iter().flat_map(|(_, ty)| &ty.shape).flat_map(Dim::symbols) {
        let r = match options.dims.get(&*name) {
            Some(DimOverride::Range(lo, hi)) => Range { lo: *lo, hi: *hi },
            _ => ANY,
        };
        symbols.declare(&name, r.lo, r.hi);
    }
    Ok(Border { inputs, values, symbols })
}

/// Position of the input `name`, and the tensor of its type that holds `numbers`.
fn value(inputs: &[(&str, TensorType)], name: &str, numbers: &[f64]) -> Result<(usize, Tensor), String> {
    let shown = Clean(name);
    let Some((i, (_, ty))) = inputs.iter().enumerate().find(|(_, (n, _))| *n == name) else {
        return Err(format!("the model has no input `{shown}` to give a value to"));
    };
    let Some(shape) = ty.static_shape() else {
        return Err(format!("`{shown}` is {ty}; an input of unknown extents cannot have a value"));
    };
    let count: usize = shape.iter().product();
    if numbers.is_empty() || (numbers.len() != 1 && numbers.len() != count) || count > 1 << 20 {
        return Err(format!("`{shown}` is {ty}; {} numbers do not fit it", numbers.len()));
    }
    let at = |k: usize| numbers[if numbers.len() == 1 { 0 } else { k }];
    let num = |k: usize| if ty.dtype.is_float() { Num::Float(at(k)) } else { Num::Int(at(k) as i128) };
    Ok((i, Tensor::build(ty.dtype, &shape, num)))
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

/// Puts the user's shapes and dimensions in.
fn apply(inputs: &mut [(&str, TensorType)], options: &ImportOptions) -> Result<(), Vec<ModelError>> {
    let mut errors = vec![];
    let mut values: BTreeMap<String, Dim> = BTreeMap::new();
    for (name, d) in &options.dims {
        if let DimOverride::Is(d) = d {
            values.insert(name.clone(), d.clone());
        }
    }
    let mut fail = |message: String| errors.push(ModelError::new(Code::Option, message));
    for (name, shape) in &options.shapes {
        let Some((_, ty)) = inputs.iter_mut().find(|(n, _)| n == name) else {
            let names: Vec<String> = inputs.iter().map(|(n, _)| format!("`{}`", Clean(n))).collect();
            fail(format!("the model has no input `{}`; its inputs are {}", Clean(name), names.join(", ")));
            continue;
        };
        if shape.len() != ty.rank() {
            fail(format!("`{}` is {ty}, of rank {}; the given shape has {}", Clean(name), ty.rank(), shape.len()));
            continue;
        }
        for (have, want) in ty.shape.iter_mut().zip(shape) {
            match (have.clone(), want) {
                (Dim::Known(k), w) if !w.is(k) => fail(format!("`{}` has the fixed extent {k}, not {w}", Clean(name))),
                (Dim::Known(_), _) => {}
                (Dim::Expr(_), w) => {
                    // An extent of the model is a bare symbol: all inputs that share it get the value.
                    let symbol = have.to_string();
                    let bare = have.symbols().first().map_or(symbol, |s| s.to_string());
                    match values.get(&bare) {
                        Some(v) if v != w => {
                            fail(format!("`{}` would be both {v} and {w} (input `{}`)", Clean(&bare), Clean(name)));
                        }
                        _ => {
                            values.insert(bare, w.clone());
                        }
                    }
                }
            }
        }
    }
    let mut met: BTreeSet<String> = BTreeSet::new();
    for (_, ty) in inputs.iter_mut() {
        for d in &mut ty.shape {
            met.extend(d.symbols().iter().map(|s| s.to_string()));
            let shown = d.clone();
            *d = d.substitute(&|n| values.get(n).cloned());
            met.extend(d.symbols().iter().map(|s| s.to_string()));
            if d.known().is_some_and(|v| v < 0) {
                fail(format!("`{shown}` would be negative: {d}"));
            }
        }
    }
    for name in options.dims.keys().filter(|n| !met.contains(*n)) {
        let names: Vec<&str> = met.iter().map(String::as_str).collect();
        let known = if names.is_empty() { "it has none".to_string() } else { format!("it has {}", Clean(&names.join(", "))) };
        fail(format!("the model has no dimension `{}`; {known}", Clean(name)));
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
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
