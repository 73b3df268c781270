//! A module as lines of text that are the same for every encoding of a program: values numbered in the order of their
//! definition, lists of integers and constants in one form, no defaults, no locations.

use std::collections::HashMap;
use std::fmt::Write;

use beiming::import::stablehlo::syntax::{Attr, Attrs, Block, Dense, Function, Module, Operation, Type, Value};

/// The lines of a module.
pub fn lines(module: &Module) -> Vec<String> {
    let mut out = vec![format!("module {} {}", module.name, attrs("", &module.attrs))];
    for f in &module.functions {
        function(f, &mut out);
    }
    out.extend(module.others.iter().map(|op| format!("other {}", op.name)));
    out
}

fn function(f: &Function, out: &mut Vec<String>) {
    let list = |all: &[Attrs]| all.iter().map(|a| attrs("", a)).collect::<Vec<_>>().join(", ");
    out.push(format!("func {} public {} {}", f.name, f.public, attrs("func", &f.attrs)));
    out.push(format!("  args {}", list(&f.arg_attrs)));
    out.push(format!("  results {:?} {}", f.results, list(&f.result_attrs)));
    let mut names = HashMap::new();
    block(f, &f.body, &mut names, 1, out);
}

/// Gives values the next numbers.
fn define(f: &Function, values: &[Value], names: &mut HashMap<Value, usize>) -> String {
    let mut text = String::new();
    for v in values {
        let n = names.len();
        assert!(names.insert(*v, n).is_none(), "{v:?} is defined twice");
        write!(text, "%{n}: {} ", ty(&f.values[v.index()])).unwrap();
    }
    text
}

fn block(f: &Function, b: &Block, names: &mut HashMap<Value, usize>, depth: usize, out: &mut Vec<String>) {
    out.push(format!("{:1$}block {2}", "", 2 * depth, define(f, &b.args, names)));
    for op in &b.ops {
        let operands: Vec<String> = op.operands.iter().map(|v| format!("%{}", names[v])).collect();
        let results = define(f, &op.results, names);
        out.push(format!(
            "{:4$}{results}= {} {} {}",
            "",
            op.name,
            operands.join(" "),
            attrs(&op.name, &defaults_removed(op)),
            2 * depth
        ));
        for region in &op.regions {
            block(f, region, names, depth + 1, out);
        }
    }
}

/// Attributes less those that say what is meant without them. Another dialect's are its own affair: how an artifact encodes its
/// properties is not known.
fn defaults_removed(op: &Operation) -> Attrs {
    if op.name.starts_with("sdy.") {
        return Attrs::new();
    }
    let ones = ["window_strides", "lhs_dilation", "rhs_dilation", "base_dilations", "window_dilations"];
    let zeros = ["padding", "window_reversal"];
    let falses = [
        "has_side_effect",
        "indices_are_sorted",
        "unique_indices",
        "is_host_transfer",
        "is_stable",
        "use_global_device_ids",
        "has_dynamic_root",
    ];
    let all = |a: &Attr, want: i64| a.ints().is_some_and(|v| v.iter().all(|x| *x == want));
    let keep = |(name, a): &(&std::sync::Arc<str>, &Attr)| {
        let name: &str = name;
        let default = ones.contains(&name) && all(a, 1)
            || zeros.contains(&name) && all(a, 0)
            || falses.contains(&name) && matches!(a, Attr::Bool(false))
            || name == "lower" && &*op.name == "stablehlo.cholesky" && matches!(a, Attr::Bool(false))
            || name == "compare_type" && a.text() == Some("NOTYPE")
            || name == "precision_config" && matches!(a, Attr::Array(v) if v.iter().all(|p| p.text() == Some("DEFAULT")))
            || name == "api_version" && matches!(a, Attr::Int(1, _))
            || name == "version" && matches!(a, Attr::Int(0, _))
            || name == "dimension" && &*op.name == "stablehlo.sort" && matches!(a, Attr::Int(-1, _))
            || name == "channel_handle"
                && matches!(a, Attr::Struct(_, f) if op.name.contains("all_") && matches!(f.get("handle"), Some(Attr::Int(0, _))))
            || ["known_expanding_dimensions", "known_nonexpanding_dimensions", "called_computations", "output_operand_aliases"]
                .contains(&name)
                && a.ints().is_some_and(|v| v.is_empty())
            || ["backend_config", "infeed_config", "outfeed_config"].contains(&name) && a.text() == Some("");
        !default
    };
    op.attrs.iter().filter(keep).map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn attrs(op: &str, all: &Attrs) -> String {
    let mut text = String::from("{");
    for (k, v) in all {
        write!(text, "{k} = {}; ", attr(op, v)).unwrap();
    }
    text + "}"
}

fn attr(op: &str, a: &Attr) -> String {
    match a {
        Attr::Int(v, t) => format!("{v}: {}", ty(t)),
        Attr::Float(v, t) => format!("{:016x}: {}", v.to_bits(), ty(t)),
        Attr::Str(s) => format!("{:?}", String::from_utf8_lossy(s)),
        Attr::Type(t) => ty(t),
        Attr::Ints(v) => format!("{v:?}"),
        Attr::Array(v) => match a.ints() {
            Some(list) => format!("{list:?}"),
            None => format!("[{}]", v.iter().map(|a| attr(op, a)).collect::<Vec<_>>().join(", ")),
        },
        Attr::Dict(d) => attrs(op, d),
        Attr::Struct(name, fields) => {
            let fields = fields.iter().filter(|(_, v)| v.ints().is_none_or(|v| !v.is_empty()));
            format!("{name}{}", attrs(op, &fields.map(|(k, v)| (k.clone(), v.clone())).collect()))
        }
        Attr::Dense(d) => dense(d),
        // Of another dialect's attribute an artifact keeps the dialect alone.
        Attr::Other(text) => text.split('.').next().unwrap_or_default().into(),
        other => format!("{other:?}"),
    }
}

/// Type and bytes; one element where all are alike.
fn dense(d: &Dense) -> String {
    let size = d.values.dtype.size();
    let bytes = d.values.bytes();
    let alike = bytes.chunks(size).all(|c| c == &bytes[..size.min(bytes.len())]);
    let shown = if d.ty.shape.contains(&Some(0)) {
        &[]
    } else if alike {
        &bytes[..size]
    } else {
        bytes
    };
    let hex = shown.iter().fold(String::new(), |mut s, b| {
        write!(s, "{b:02x}").unwrap();
        s
    });
    format!("dense<{hex}> {:?} {:?}", d.values.dtype, d.ty)
}

fn ty(t: &Type) -> String {
    format!("{t:?}")
}
