//! Functions of an artifact.

use super::cursor::{Read, problem};
use crate::import::stablehlo::syntax::{Attr, Attrs, Function, Operation, Type};

/// Makes a function of the operation that is one. `values` are the types of all values in it.
pub(super) fn build(mut op: Operation, values: Vec<Type>) -> Read<Function> {
    let Some(Attr::Str(name)) = op.attrs.remove("sym_name") else {
        return Err(problem(&*op.loc.name, "a function has no name"));
    };
    let name = String::from_utf8_lossy(&name);
    let wrong = |what: &str| problem(format!("artifact, function `{name}`"), what);
    let Some(Attr::Type(Type::Function(inputs, results))) = op.attrs.remove("function_type") else {
        return Err(wrong("it has no function type"));
    };
    let public = match op.attrs.remove("sym_visibility") {
        Some(Attr::Str(v)) => &*v != b"private" && &*v != b"nested",
        _ => true,
    };
    let arg_attrs = dictionaries(op.attrs.remove("arg_attrs"), inputs.len()).ok_or_else(|| wrong("odd argument attributes"))?;
    let result_attrs = dictionaries(op.attrs.remove("res_attrs"), results.len()).ok_or_else(|| wrong("odd result attributes"))?;
    let body = match (op.regions.len(), op.regions.pop()) {
        (1, Some(block)) => block,
        _ => return Err(wrong("it does not have one body")),
    };
    let declaration = body.args.is_empty() && body.ops.is_empty();
    let fits = body.args.len() == inputs.len() && body.args.iter().zip(&inputs).all(|(v, ty)| values.get(v.index()) == Some(ty));
    if !declaration && !fits {
        return Err(wrong("the arguments of its body are not those of its type"));
    }
    Ok(Function { name: (*name).into(), public, arg_attrs, results, result_attrs, attrs: op.attrs, body, values, loc: op.loc })
}

/// Attributes of arguments or results: a list of dictionaries, or nothing; empty ones for all where nothing is said.
fn dictionaries(attr: Option<Attr>, n: usize) -> Option<Vec<Attrs>> {
    match attr {
        None => Some(vec![Attrs::new(); n]),
        Some(Attr::Array(list)) if list.is_empty() => Some(vec![Attrs::new(); n]),
        Some(Attr::Array(list)) if list.len() == n => {
            list.into_iter().map(|a| if let Attr::Dict(d) = a { Some(d) } else { None }).collect()
        }
        _ => None,
    }
}
