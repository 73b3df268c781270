//! A module as text, without what an encoding is free in: places in the source, the numbers of values, defaults.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};

use beiming::import::stablehlo::syntax::{Attr, Attrs, Block, Function, Module, Value};

/// The module as text.
pub fn dump(module: &Module) -> String {
    let mut out = format!("module @{} {}\n", module.name, attrs("", &module.attrs));
    for f in &module.functions {
        let results: Vec<String> = f.results.iter().zip(&f.result_attrs).map(|(t, a)| format!("{t} {}", attrs("", a))).collect();
        let given: Vec<String> = f.arg_attrs.iter().map(|a| attrs("", a)).collect();
        let _ = writeln!(out, "func {} @{} {given:?} -> {results:?} {}", f.public, f.name, attrs("func.func", &f.attrs));
        let mut d = Dump { function: f, numbers: HashMap::new(), out: &mut out };
        d.block(&f.body, 1);
    }
    for op in &module.others {
        let _ = writeln!(out, "{} {}", op.name, attrs(&op.name, &op.attrs));
    }
    out
}

struct Dump<'a> {
    function: &'a Function,
    numbers: HashMap<Value, usize>,
    out: &'a mut String,
}

impl Dump<'_> {
    fn value(&mut self, v: Value) -> String {
        let next = self.numbers.len();
        let n = *self.numbers.entry(v).or_insert(next);
        format!("%{n}: {}", self.function.values[v.index()])
    }

    fn values(&mut self, vs: &[Value]) -> String {
        vs.iter().map(|v| self.value(*v)).collect::<Vec<_>>().join(", ")
    }

    fn block(&mut self, block: &Block, depth: usize) {
        let pad = "  ".repeat(depth);
        let args = self.values(&block.args);
        let _ = writeln!(self.out, "{pad}({args})");
        for op in &block.ops {
            let (results, operands) = (self.values(&op.results), self.values(&op.operands));
            let _ = writeln!(self.out, "{pad}{results} = {} {operands} {}", op.name, attrs(&op.name, &op.attrs));
            for region in &op.regions {
                self.block(region, depth + 1);
            }
        }
    }
}

/// Attributes that say what is so without them: the operation (empty for every one), the attribute, its value.
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("stablehlo.custom_call", "api_version", "Int(1 : i32)"),
    ("stablehlo.custom_call", "backend_config", "Str(\"\")"),
    ("stablehlo.custom_call", "called_computations", "Array()"),
    ("stablehlo.custom_call", "has_side_effect", "Bool(false)"),
    ("stablehlo.infeed", "infeed_config", "Str(\"\")"),
    // The generic form leaves empty lists of dimensions out.
    ("dot", "lhs_batching_dimensions", "Ints([])"),
    ("dot", "lhs_contracting_dimensions", "Ints([])"),
    ("dot", "rhs_batching_dimensions", "Ints([])"),
    ("dot", "rhs_contracting_dimensions", "Ints([])"),
];

fn attrs(op: &str, all: &Attrs) -> String {
    let mut out = String::from("{");
    for (name, a) in all {
        let text = attr(a);
        if !DEFAULTS.contains(&(op, &**name, &*text)) {
            let _ = write!(out, "{name} = {text}; ");
        }
    }
    out + "}"
}

fn attr(a: &Attr) -> String {
    match a {
        Attr::Int(i, t) if t.to_string() == "i64" => format!("Int({i})"),
        Attr::Int(i, t) => format!("Int({i} : {t})"),
        Attr::Float(x, t) => format!("Float({:x} : {t})", x.to_bits()),
        Attr::Str(s) => format!("Str({:?})", String::from_utf8_lossy(s)),
        Attr::Type(t) => format!("Type({t})"),
        Attr::Array(list) => format!("Array({})", list.iter().map(attr).collect::<Vec<_>>().join(", ")),
        Attr::Dict(d) => format!("Dict({})", attrs("", d)),
        Attr::Struct(name, fields) => format!("{name}<{}>", attrs(name, fields)),
        Attr::Dense(d) => {
            let mut h = DefaultHasher::new();
            d.values.bytes().hash(&mut h);
            format!("Dense({} {:?} {:x})", d.ty, d.values.shape, h.finish())
        }
        other => format!("{other:?}"),
    }
}
