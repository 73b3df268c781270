//! The border of a model: types of its inputs under the user's options; shared by the importers.

use std::collections::{BTreeMap, BTreeSet};

use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{Dim, Range, Symbols, TensorType};

use super::error::{Clean, Code, ModelError};
use super::options::{DimOverride, ImportOptions};

/// Range of a dimension that nothing is said about. Later stages ask for an upper bound where they need one.
const ANY: Range = Range { lo: 1, hi: i64::MAX };

/// What the user's options make of a model's inputs.
pub struct Settled {
    /// Inputs to which the user gave values, by position.
    pub values: Vec<(usize, Tensor)>,
    /// Ranges of the symbols in the types of the others.
    pub symbols: Symbols,
    /// Ranges for dimensions that no input has and that the import may yet make: extents that only the run knows.
    pub made: BTreeMap<String, Range>,
}

/// Range of the symbol `name`, which the user may give.
pub fn range(name: &str, options: &ImportOptions) -> Range {
    match options.dims.get(name) {
        Some(DimOverride::Range(lo, hi)) => Range { lo: *lo, hi: *hi },
        _ => ANY,
    }
}

/// Puts the user's shapes, dimensions and values in; what does not fit is added to `errors`. `valued` are inputs whose values may
/// be extents, and which may therefore be named as dimensions.
pub fn settle(
    inputs: &mut [(&str, TensorType)],
    options: &ImportOptions,
    valued: &[&str],
    errors: &mut Vec<ModelError>,
) -> Settled {
    let mut made = BTreeMap::new();
    if let Err(mut e) = apply(inputs, options, valued, &mut made) {
        errors.append(&mut e);
    }
    let mut values = vec![];
    for (name, numbers) in &options.values {
        match value(inputs, name, numbers) {
            Ok(v) => values.push(v),
            Err(message) => errors.push(ModelError::new(Code::Option, message)),
        }
    }
    for (name, t) in &options.bind {
        match bound(inputs, name, t) {
            Ok(i) if values.iter().all(|(k, _)| *k != i) => values.push((i, t.clone())),
            Ok(_) => errors.push(ModelError::new(Code::Option, format!("`{}` is given a value twice", Clean(name)))),
            Err(message) => errors.push(ModelError::new(Code::Option, message)),
        }
    }
    let mut symbols = Symbols::default();
    let open = inputs.iter().enumerate().filter(|(i, _)| values.iter().all(|(k, _)| k != i));
    for name in open.flat_map(|(_, (_, ty))| &ty.shape).flat_map(Dim::symbols) {
        let r = range(&name, options);
        symbols.declare(&name, r.lo, r.hi);
    }
    Settled { values, symbols, made }
}

/// Position of the input `name`, which `t` fits.
fn bound(inputs: &[(&str, TensorType)], name: &str, t: &Tensor) -> Result<usize, String> {
    let shown = Clean(name);
    let Some((i, (_, ty))) = inputs.iter().enumerate().find(|(_, (n, _))| *n == name) else {
        let names: Vec<String> = inputs.iter().take(8).map(|(n, _)| format!("`{}`", Clean(n))).collect();
        let more = if inputs.len() > names.len() { ", .." } else { "" };
        return Err(format!("the model has no input `{shown}` to bind; its inputs are {}{more}", names.join(", ")));
    };
    let fits = ty.dtype == t.dtype
        && ty.rank() == t.shape.len()
        && ty.shape.iter().zip(&t.shape).all(|(d, e)| d.known().is_none_or(|k| k == *e as i64));
    if fits { Ok(i) } else { Err(format!("`{shown}` is {ty}, and cannot be bound to {}", t.ty())) }
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

/// Whether a dimension may be one that an import makes: those end in a number.
fn may_be_made(name: &str) -> bool {
    let number = |n: &str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
    name.rsplit_once('_').is_some_and(|(stem, n)| !stem.is_empty() && number(n))
}

/// What is said of dimensions that the import has not made.
pub fn not_made(left: &BTreeMap<String, Range>) -> Vec<ModelError> {
    left.keys().map(|n| ModelError::new(Code::Option, format!("the model has no dimension `{}`", Clean(n)))).collect()
}

/// Puts the user's shapes and dimensions in.
fn apply(
    inputs: &mut [(&str, TensorType)],
    options: &ImportOptions,
    valued: &[&str],
    made: &mut BTreeMap<String, Range>,
) -> Result<(), Vec<ModelError>> {
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
    let mut met: BTreeSet<String> = valued.iter().map(|n| n.to_string()).collect();
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
    for (name, d) in options.dims.iter().filter(|(n, _)| !met.contains(*n)) {
        if let (DimOverride::Range(lo, hi), true) = (d, may_be_made(name)) {
            made.insert(name.clone(), Range { lo: *lo, hi: *hi });
            continue;
        }
        let names: Vec<&str> = met.iter().map(String::as_str).collect();
        let known = if names.is_empty() { "it has none".to_string() } else { format!("it has {}", Clean(&names.join(", "))) };
        fail(format!("the model has no dimension `{}`; {known}", Clean(name)));
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}
