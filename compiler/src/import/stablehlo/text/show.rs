//! Types as MLIR writes them, for messages.

use std::fmt;

use beiming_ir::types::DType;

use crate::import::stablehlo::syntax::{Element, Quantized, TensorType, Type};

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Tensor(t) => write!(f, "{t}"),
            Type::Tuple(parts) => list(f, "tuple<", parts, ">"),
            Type::Token => f.write_str("!stablehlo.token"),
            Type::Function(args, results) => {
                list(f, "(", args, ") -> ")?;
                list(f, "(", results, ")")
            }
            Type::Future(parts) => list(f, "!stablehlo.future<", parts, ">"),
            Type::Scalar(e) => write!(f, "{e}"),
            Type::None => f.write_str("none"),
            Type::Other(text) => f.write_str(text),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, open: &str, types: &[Type], close: &str) -> fmt::Result {
    f.write_str(open)?;
    for (i, t) in types.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{t}")?;
    }
    f.write_str(close)
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tensor<")?;
        for extent in &self.shape {
            match extent {
                Some(n) => write!(f, "{n}x")?,
                None => f.write_str("?x")?,
            }
        }
        write!(f, "{}", self.element)?;
        if !self.bounds.is_empty() {
            f.write_str(", #stablehlo.bounds<")?;
            for (i, b) in self.bounds.iter().enumerate() {
                let comma = if i > 0 { ", " } else { "" };
                match b {
                    Some(n) => write!(f, "{comma}{n}")?,
                    None => write!(f, "{comma}?")?,
                }
            }
            f.write_str(">")?;
        }
        f.write_str(">")
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::Plain(d) => f.write_str(&name(*d)),
            Element::Index => f.write_str("index"),
            Element::Quantized(q) => write!(f, "{q}"),
        }
    }
}

impl fmt::Display for Quantized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let storage = name(self.storage).replace("ui", "u");
        write!(f, "!quant.uniform<{storage}<{}:{}>:{}", self.min, self.max, name(self.expressed))?;
        let mut pairs = self.scales.iter().map(|s| float(f64::from_bits(*s))).zip(&self.zero_points);
        match (self.axis, pairs.next()) {
            (None, Some((scale, zero))) => write!(f, ", {scale}:{zero}>"),
            (axis, first) => {
                write!(f, ":{}, {{", axis.unwrap_or(0))?;
                for (i, (scale, zero)) in first.into_iter().chain(pairs).enumerate() {
                    write!(f, "{}{scale}:{zero}", if i > 0 { "," } else { "" })?;
                }
                f.write_str("}>")
            }
        }
    }
}

/// A float as MLIR writes it: with a point.
fn float(x: f64) -> String {
    let text = format!("{x:e}");
    if text.contains('.') { text } else { text.replace('e', ".0e") }
}

/// The MLIR name of an element type.
fn name(d: DType) -> String {
    match d {
        DType::Bool => "i1".into(),
        DType::C64 => "complex<f32>".into(),
        DType::C128 => "complex<f64>".into(),
        DType::F8E8M0 => "f8E8M0FNU".into(),
        d if d.is_signed_int() => format!("i{}", d.bits()),
        d if d.is_unsigned_int() => format!("ui{}", d.bits()),
        d if d.size() == 1 => {
            // f8e4m3fn is written f8E4M3FN: all but the first letter in capitals; types below 8 bits are all finite.
            let upper = d.name()[1..].to_ascii_uppercase();
            let finite = if d.bits() < 8 && !upper.ends_with("FN") { "FN" } else { "" };
            format!("f{upper}{finite}")
        }
        d => d.name().into(),
    }
}
