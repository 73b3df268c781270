//! The border of a program: its arguments as inputs of the graph, its results as outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use beiming_ir::graph::Loc;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim, Range, Symbols, TensorType};

use super::super::syntax::{Attrs, Element, Function, Quantized, Type};
use super::Known;
use super::value::Val;
use super::walk::Walk;
use crate::import::border as common;
use crate::import::error::{Code, ImportError, ModelError, UnsupportedOp};
use crate::import::fail::Fail;
use crate::import::options::{DimOverride, ImportOptions};

/// What an argument is.
enum Form {
    Plain,
    Complex,
    Quantized(Arc<Quantized>),
    Tuple(usize),
    Token,
}

/// The arguments of the entry function.
pub struct Inputs {
    /// In order; the parts of a tuple follow it.
    forms: Vec<Form>,
    args: usize,
    /// Inputs of the graph: name, type, and the value the user gave.
    planes: Vec<(String, TensorType, Option<Tensor>)>,
    /// How many of the first inputs may be extents: scalars before all others, as JAX passes them.
    leading: usize,
    /// Those that are read as extents.
    valued: BTreeSet<Arc<str>>,
    /// What the user says that extents are.
    fixed: BTreeMap<String, Dim>,
    /// Ranges of the symbols.
    pub symbols: Symbols,
    /// Ranges for symbols that are yet to be made.
    pub made: BTreeMap<String, Range>,
}

impl Inputs {
    /// The inputs that the arguments of `f` are, under the user's options.
    pub fn of(f: &Function, options: &ImportOptions, known: &Known) -> Result<Inputs, ImportError> {
        let mut all = Inputs {
            forms: vec![],
            args: f.body.args.len(),
            planes: vec![],
            leading: 0,
            valued: known.valued.clone(),
            fixed: BTreeMap::new(),
            symbols: Symbols::default(),
            made: BTreeMap::new(),
        };
        let (mut errors, mut unsupported, mut bounds) = (vec![], vec![], vec![]);
        let mut used = BTreeSet::new();
        // A program for several platforms is told first which one it runs on. Where that is known, the others count from 0.
        let told = text(f.arg_attrs.first(), "jax.global_constant") == Some("_platform_index");
        let platform = known.platform.filter(|_| told);
        for (i, v) in f.body.args.iter().enumerate() {
            let name = match platform {
                Some(_) if i == 0 => "platform".to_string(),
                _ => {
                    let number = i - usize::from(platform.is_some());
                    argument_name(f.arg_attrs.get(i), f.body.names.get(i), number, &mut used)
                }
            };
            let Some(ty) = f.values.get(v.index()) else {
                errors.push(ModelError::new(Code::BorderType, format!("argument {i} has no type")));
                continue;
            };
            if let Err(f) = all.add(&name, ty, &mut bounds) {
                match f {
                    Fail::Invalid(code, message) => errors.push(ModelError::new(code, message)),
                    Fail::Unsupported(why) | Fail::Wants(why, _) => unsupported.push(UnsupportedOp {
                        name,
                        op: "argument".into(),
                        domain: "func".into(),
                        opset: 0,
                        place: format!("@main/{i}"),
                        why,
                        wants: vec![],
                    }),
                    Fail::Poisoned => {}
                }
            }
        }
        let substitute = |d: &Dim| d.substitute(&|n| known.extents.iter().find(|(k, _)| &**k == n).map(|(_, d)| d.clone()));
        for d in all.planes.iter_mut().flat_map(|(_, ty, _)| &mut ty.shape) {
            *d = substitute(d);
        }
        let mut inputs: Vec<(&str, TensorType)> = all.planes.iter().map(|(n, ty, _)| (n.as_str(), ty.clone())).collect();
        let scalar = |ty: &TensorType| *ty == TensorType::scalar(DType::I64);
        all.leading = all.planes.iter().take_while(|(_, ty, _)| scalar(ty)).count();
        let may_be: Vec<&str> = all.planes[..all.leading].iter().map(|(n, ..)| n.as_str()).collect();
        let settled = common::settle(&mut inputs, options, &may_be, &mut errors);
        if !errors.is_empty() {
            return Err(ImportError::Invalid { errors, unsupported });
        }
        if !unsupported.is_empty() {
            return Err(ImportError::Unsupported { ops: unsupported });
        }
        all.symbols = settled.symbols;
        all.made = settled.made;
        for name in &all.valued {
            let r = common::range(name, options);
            all.symbols.declare(name, r.lo, r.hi);
        }
        all.fixed = options
            .dims
            .iter()
            .filter_map(|(n, d)| if let DimOverride::Is(d) = d { Some((n.clone(), d.clone())) } else { None })
            .collect();
        for (name, hi) in bounds {
            if let Some(r) = all.symbols.0.get_mut(name.as_str()) {
                r.hi = r.hi.min(hi);
            }
        }
        let types: Vec<TensorType> = inputs.into_iter().map(|(_, ty)| ty).collect();
        for (plane, ty) in all.planes.iter_mut().zip(types) {
            plane.1 = ty;
        }
        for (i, t) in settled.values {
            all.planes[i].2 = Some(t);
        }
        if let (Some(index), Some((_, ty, value @ None))) = (platform, all.planes.first_mut())
            && ty.rank() == 0
        {
            *value = Some(Tensor::build(ty.dtype, &[], |_| Num::Int(index.into())));
        }
        Ok(all)
    }

    fn add(&mut self, name: &str, ty: &Type, bounds: &mut Vec<(String, i64)>) -> Result<(), Fail> {
        let t = match ty {
            Type::Tensor(t) => t,
            Type::Token => {
                self.forms.push(Form::Token);
                return Ok(());
            }
            // A future is the tuple of its results.
            Type::Tuple(parts) | Type::Future(parts) => {
                self.forms.push(Form::Tuple(parts.len()));
                return parts.iter().enumerate().try_for_each(|(k, p)| self.add(&format!("{name}.{k}"), p, bounds));
            }
            _ => return Err(Fail::Unsupported("arguments that are no tensors, tuples, futures or tokens".into())),
        };
        let mut shape = vec![];
        for (axis, e) in t.shape.iter().enumerate() {
            shape.push(match e {
                Some(e) => match i64::try_from(*e) {
                    Ok(e) => Dim::Known(e),
                    Err(_) => return Err(Fail::Invalid(Code::Dimension, format!("argument `{name}`: extent {e} is too large"))),
                },
                None => {
                    let symbol = format!("{name}_d{axis}");
                    if let Some(hi) = t.bounds.get(axis).copied().flatten().and_then(|b| i64::try_from(b).ok()) {
                        bounds.push((symbol.clone(), hi));
                    }
                    Dim::sym(&symbol)
                }
            });
        }
        let (form, dtype) = match &t.element {
            Element::Plain(DType::C64) => (Form::Complex, DType::F32),
            Element::Plain(DType::C128) => (Form::Complex, DType::F64),
            Element::Plain(d) => (Form::Plain, *d),
            Element::Index => (Form::Plain, DType::I64),
            Element::Quantized(q) => (Form::Quantized(q.clone()), q.storage),
        };
        let ty = TensorType { dtype, shape };
        match form {
            Form::Complex => {
                for part in ["real", "imag"] {
                    self.planes.push((format!("{name}.{part}"), ty.clone(), None));
                }
            }
            _ => self.planes.push((name.to_string(), ty, None)),
        }
        self.forms.push(form);
        Ok(())
    }

    /// Adds the inputs to the graph and gives the arguments.
    pub fn define(self, walk: &mut Walk<'_>) -> Vec<Val> {
        let (leading, valued, fixed) = (self.leading, self.valued, self.fixed);
        let mut planes = self.planes.into_iter().enumerate().map(|(i, (name, ty, value))| {
            if let Some(t) = value {
                return walk.frame().constant(t, &Loc::default());
            }
            let v = walk.frame().input(&name, ty.clone());
            let name: Arc<str> = name.into();
            if i < leading
                && let Some(id) = walk.frame().placed(v)
            {
                walk.valuable.push((id, name.clone()));
            }
            match valued.contains(&name) {
                true => {
                    let extent = Dim::sym(&name).substitute(&|n| fixed.get(n).cloned());
                    walk.frame().contents(ty, vec![extent], &Loc::default())
                }
                false => v,
            }
        });
        let mut forms = self.forms.into_iter();
        fn next(forms: &mut dyn Iterator<Item = Form>, planes: &mut dyn Iterator<Item = crate::import::frame::V>) -> Option<Val> {
            Some(match forms.next()? {
                Form::Plain => Val::Plain(planes.next()?),
                Form::Complex => Val::Complex(planes.next()?, planes.next()?),
                Form::Quantized(q) => Val::Quantized(planes.next()?, q),
                Form::Tuple(n) => Val::Tuple((0..n).map(|_| next(forms, planes)).collect::<Option<_>>()?),
                Form::Token => Val::Token,
            })
        }
        (0..self.args).map_while(|_| next(&mut forms, &mut planes)).collect()
    }
}

/// The text of an attribute of an argument or result.
fn text<'a>(attrs: Option<&'a Attrs>, name: &str) -> Option<&'a str> {
    attrs?.get(name)?.text().filter(|t| !t.is_empty())
}

/// The name that the producer gave an argument, or `argN`; names are distinct.
fn argument_name(attrs: Option<&Attrs>, located: Option<&Arc<str>>, i: usize, used: &mut BTreeSet<String>) -> String {
    let given = ["jax.arg_info", "tf_saved_model.index_path", "mhlo.parameter_name"].iter().find_map(|n| text(attrs, n));
    let given = given.or(located.map(|n| &**n).filter(|n| is_name(n)));
    let name = given.map_or_else(|| format!("arg{i}"), str::to_string);
    if used.insert(name.clone()) {
        return name;
    }
    let name = format!("{name}#{i}");
    used.insert(name.clone());
    name
}

/// A location that names the thing, and is not a place in a file.
fn is_name(location: &str) -> bool {
    let mut parts = location.rsplitn(3, ':');
    let number = |p: Option<&str>| p.is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    let place = number(parts.next()) && number(parts.next()) && parts.next().is_some();
    !location.is_empty() && !place
}

/// Puts the results of the entry function in place.
pub fn outputs(walk: &mut Walk<'_>, f: &Function, results: &[Val]) {
    let several = results.len() > 1;
    let mut used = BTreeSet::new();
    for (i, val) in results.iter().enumerate() {
        let given = text(f.result_attrs.get(i), "jax.result_info").map(str::to_string);
        let mut name = given.unwrap_or_else(|| if several { format!("result{i}") } else { "result".into() });
        if !used.insert(name.clone()) {
            name = format!("{name}#{i}");
            used.insert(name.clone());
        }
        output(walk, &name, val);
    }
    // What was done besides is a result too: nothing else needs the last of its tokens.
    if let Some(token) = walk.take_effect() {
        let id = walk.frame().materialize(token);
        walk.frame().graph.add_output("effects", id);
    }
}

fn output(walk: &mut Walk<'_>, name: &str, val: &Val) {
    let mut add = |name: &str, v| {
        let frame = walk.frame();
        let id = frame.materialize(v);
        frame.graph.add_output(name, id);
    };
    match val {
        Val::Plain(v) | Val::Quantized(v, _) => add(name, *v),
        Val::Complex(re, im) => {
            add(&format!("{name}.real"), *re);
            add(&format!("{name}.imag"), *im);
        }
        Val::Tuple(parts) => parts.iter().enumerate().for_each(|(k, p)| output(walk, &format!("{name}.{k}"), p)),
        Val::Token => {}
    }
}
