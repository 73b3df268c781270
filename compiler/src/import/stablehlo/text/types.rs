//! Types: tensors, tuples, tokens, functions, element types, quantized types.

use std::sync::Arc;

use beiming_ir::types::DType;

use super::Parser;
use super::cursor::Result;
use crate::import::stablehlo::syntax::{Attr, Element, Quantized, TensorType, Type};

/// Ranks beyond this are not programs.
const MAX_RANK: usize = 64;

/// The element type of an MLIR name. Floats narrower than a byte and `i1` live in a byte each.
pub(super) fn dtype(name: &str) -> Option<DType> {
    Some(match name {
        "i1" => DType::Bool,
        "i2" | "si2" => DType::I2,
        "i4" | "si4" => DType::I4,
        "i8" | "si8" => DType::I8,
        "i16" | "si16" => DType::I16,
        "i32" | "si32" => DType::I32,
        "i64" | "si64" => DType::I64,
        "ui2" => DType::U2,
        "ui4" => DType::U4,
        "ui8" => DType::U8,
        "ui16" => DType::U16,
        "ui32" => DType::U32,
        "ui64" => DType::U64,
        "f16" => DType::F16,
        "bf16" => DType::BF16,
        "f32" => DType::F32,
        "f64" => DType::F64,
        "f8E8M0FNU" => DType::F8E8M0,
        // The other small floats go by their own names, with or without the suffix for "finite".
        small if small.starts_with(['f']) && small.contains('E') => {
            let lower = small.to_ascii_lowercase();
            let short = lower.strip_suffix("fn").unwrap_or(&lower);
            DType::ALL
                .into_iter()
                .find(|d| d.name() == lower)
                .or_else(|| DType::ALL.into_iter().find(|d| d.name() == short && d.bits() < 8))?
        }
        _ => return None,
    })
}

impl<'a> Parser<'a> {
    /// Any type.
    pub fn ty(&mut self) -> Result<Type> {
        self.nested(Self::ty_here)
    }

    fn ty_here(&mut self) -> Result<Type> {
        match self.c.peek() {
            b'(' => return self.function_type().map(|(a, r)| Type::Function(a, r)),
            b'!' => return self.bang_type(),
            _ => {}
        }
        let at = self.c.pos;
        let word = self.c.word();
        match word {
            "tensor" => self.tensor_body().map(Type::Tensor),
            "tuple" => {
                self.c.expect("<")?;
                let mut parts = vec![];
                if !self.c.eat(">") {
                    loop {
                        parts.push(self.ty()?);
                        if !self.c.eat(",") {
                            break;
                        }
                    }
                    self.c.expect(">")?;
                }
                Ok(Type::Tuple(parts))
            }
            "none" => Ok(Type::None),
            "memref" | "vector" => {
                self.c.expect("<")?;
                self.c.skip_balanced(b'>')?;
                Ok(Type::Other(self.text(at)))
            }
            "tf32" | "f80" | "f128" => Ok(Type::Other(word.into())),
            _ => {
                self.c.pos = at;
                if is_element_word(word) { self.element().map(Type::Scalar) } else { self.c.expected("a type") }
            }
        }
    }

    /// True where a type stands next that is no word of another meaning: used by attributes.
    pub fn at_type(&mut self) -> bool {
        match self.c.peek() {
            b'!' | b'(' => true,
            _ => {
                let w = self.c.peek_word();
                matches!(w, "tensor" | "tuple" | "none" | "memref" | "vector" | "tf32" | "f80" | "f128") || is_element_word(w)
            }
        }
    }

    /// `!dialect.type<..>`, an alias, or the spelling `!dialect<type ..>`.
    fn bang_type(&mut self) -> Result<Type> {
        let at = self.c.pos;
        self.c.pos += 1;
        let word = self.c.word();
        match word {
            "" => self.c.expected("the name of a type"),
            "stablehlo.token" | "mhlo.token" => Ok(Type::Token),
            "stablehlo.future" => {
                self.c.expect("<")?;
                let mut parts = vec![];
                loop {
                    parts.push(self.ty()?);
                    if !self.c.eat(",") {
                        break;
                    }
                }
                self.c.expect(">")?;
                Ok(Type::Future(parts))
            }
            "quant.uniform" => {
                self.c.pos = at;
                self.element().map(Type::Scalar)
            }
            w if w.starts_with("stablehlo.") => {
                self.c.pos = at;
                self.c.bad(format!("`!{w}` is no type of StableHLO; those are `!stablehlo.token` and `!stablehlo.future<..>`"))
            }
            w if w.contains('.') => {
                if self.c.byte() == b'<' {
                    self.c.pos += 1;
                    self.c.skip_balanced(b'>')?;
                }
                Ok(Type::Other(self.text(at)))
            }
            w => {
                if self.c.byte() == b'<' {
                    self.c.pos += 1;
                    self.c.skip_balanced(b'>')?;
                    return Ok(Type::Other(self.text(at)));
                }
                self.type_alias(w, at)
            }
        }
    }

    /// `(..) -> ..`: the arguments and the results.
    pub fn function_type(&mut self) -> Result<(Vec<Type>, Vec<Type>)> {
        let args = self.type_list()?;
        self.c.expect("->")?;
        Ok((args, self.result_types()?))
    }

    /// One type, or any number in parentheses.
    pub fn result_types(&mut self) -> Result<Vec<Type>> {
        if self.c.peek() != b'(' {
            return Ok(vec![self.ty()?]);
        }
        // `((a) -> b)` is one function type in parentheses, and that is also what a list of one is.
        self.type_list()
    }

    /// Types in parentheses.
    fn type_list(&mut self) -> Result<Vec<Type>> {
        self.c.expect("(")?;
        let mut types = vec![];
        if self.c.eat(")") {
            return Ok(types);
        }
        loop {
            types.push(self.ty()?);
            if !self.c.eat(",") {
                break;
            }
        }
        self.c.expect(")")?;
        Ok(types)
    }

    /// A tensor type.
    pub fn tensor(&mut self) -> Result<TensorType> {
        self.c.space();
        let at = self.c.pos;
        match self.ty()? {
            Type::Tensor(t) => Ok(t),
            _ => {
                self.c.pos = at;
                self.c.expected("a tensor type")
            }
        }
    }

    /// What follows `tensor`.
    fn tensor_body(&mut self) -> Result<TensorType> {
        self.c.expect("<")?;
        let mut shape = vec![];
        loop {
            match self.c.peek() {
                b'?' => {
                    self.c.pos += 1;
                    shape.push(None);
                }
                b'*' => return self.c.bad("a tensor without rank; every tensor must have one, though its extents may be `?`"),
                b'0'..=b'9' => {
                    let at = self.c.pos;
                    let extent = self.c.integer()?;
                    if self.c.byte() != b'x' {
                        self.c.pos = at;
                        return self.c.bad("expected `x` after an extent");
                    }
                    // Extents beyond i64 failed in `integer`; there is no sign.
                    shape.push(Some(extent as u64));
                }
                _ => break,
            }
            if !self.c.eat("x") {
                return self.c.expected("`x` after an extent");
            }
            if shape.len() > MAX_RANK {
                return self.c.bad(format!("more than {MAX_RANK} axes"));
            }
        }
        let element = self.element()?;
        let mut bounds = vec![];
        if self.c.eat(",") {
            bounds = self.encoding(shape.len())?;
        }
        self.c.expect(">")?;
        Ok(TensorType { shape, bounds, element })
    }

    /// What may stand after the element type: upper bounds of dynamic extents.
    fn encoding(&mut self, rank: usize) -> Result<Vec<Option<u64>>> {
        self.c.space();
        let at = self.c.pos;
        let attr = self.attr()?;
        let Attr::Struct(name, fields) = &attr else {
            self.c.pos = at;
            return self.c.bad("an encoding that is not known; known is `#stablehlo.bounds<..>`");
        };
        let Some(Attr::Array(list)) = fields.get("bounds").filter(|_| &**name == "type_extensions") else {
            self.c.pos = at;
            return self.c.bad("an encoding that is not known; known is `#stablehlo.bounds<..>`");
        };
        let bounds: Vec<Option<u64>> =
            list.iter().map(|a| if let Attr::Int(i, _) = a { u64::try_from(*i).ok() } else { None }).collect();
        if bounds.len() != rank {
            self.c.pos = at;
            return self.c.bad(format!("{} bounds for {rank} axes", bounds.len()));
        }
        Ok(bounds)
    }

    /// An element type.
    pub fn element(&mut self) -> Result<Element> {
        self.c.space();
        let at = self.c.pos;
        if self.c.byte() == b'!' {
            if self.c.eat("!quant.uniform") {
                return self.quantized().map(|q| Element::Quantized(Arc::new(q)));
            }
            self.c.pos += 1;
            let word = self.c.word();
            if !word.contains('.')
                && let Type::Scalar(e) = self.type_alias(word, at)?
            {
                return Ok(e);
            }
            self.c.pos = at;
            return self.c.expected("an element type");
        }
        let word = self.c.word();
        match word {
            "index" => Ok(Element::Index),
            "complex" => {
                self.c.expect("<")?;
                let part = self.c.word();
                let whole = match part {
                    "f32" => DType::C64,
                    "f64" => DType::C128,
                    _ => {
                        self.c.pos = at;
                        return self.c.bad(format!("complex<{part}> is not supported; complex<f32> and complex<f64> are"));
                    }
                };
                self.c.expect(">")?;
                Ok(Element::Plain(whole))
            }
            w => match dtype(w) {
                Some(d) => Ok(Element::Plain(d)),
                None if is_element_word(w) => {
                    self.c.pos = at;
                    self.c.bad(format!("elements of type {w} are not supported"))
                }
                None => {
                    self.c.pos = at;
                    self.c.expected("an element type")
                }
            },
        }
    }

    /// What follows `!quant.uniform`: `<i8<-8:7>:f32, 0.5:2>`, `<i8:f32:1, {0.5:2, 0.25}>`.
    fn quantized(&mut self) -> Result<Quantized> {
        self.c.expect("<")?;
        let at = self.c.pos;
        let name = self.c.word();
        // `u8` is how the quant dialect writes `ui8`.
        let spelled =
            if name.starts_with('u') && !name.starts_with("ui") { format!("ui{}", &name[1..]) } else { name.to_owned() };
        let Some((storage, (lo, hi))) = dtype(&spelled).filter(|d| d.is_int()).and_then(|d| Some((d, d.int_range()?))) else {
            self.c.pos = at;
            return self
                .c
                .bad(format!("`{name}` cannot store quantized elements; i2, i4, i8, i16, i32 and their unsigned forms can"));
        };
        // Storage is at most 64 bits signed or, for u64, cut: no producer has it.
        let (mut min, mut max) = (lo as i64, i64::try_from(hi).unwrap_or(i64::MAX));
        if self.c.eat("<") {
            min = self.c.integer()?;
            self.c.expect(":")?;
            max = self.c.integer()?;
            self.c.expect(">")?;
            if min > max || i128::from(min) < lo || i128::from(max) > hi {
                self.c.pos = at;
                return self.c.bad(format!("the range {min}:{max} does not fit {name}"));
            }
        }
        self.c.expect(":")?;
        let at = self.c.pos;
        let Some(expressed) = dtype(self.c.word()).filter(|d| d.is_float()) else {
            self.c.pos = at;
            return self.c.expected("the float type that is quantized");
        };
        let mut axis = None;
        if self.c.eat(":") {
            let at = self.c.pos;
            if self.c.eat("{") {
                self.c.pos = at;
                return self.c.bad("sub-channel quantization is not supported; per-tensor and per-axis quantization are");
            }
            let Ok(a) = usize::try_from(self.c.integer()?) else {
                self.c.pos = at;
                return self.c.bad("a negative axis");
            };
            axis = Some(a);
        }
        self.c.expect(",")?;
        let (mut scales, mut zero_points) = (vec![], vec![]);
        let list = axis.is_some();
        if list {
            self.c.expect("{")?;
        }
        loop {
            scales.push(self.double()?.to_bits());
            zero_points.push(if self.c.eat(":") { self.c.integer()? } else { 0 });
            if !list || !self.c.eat(",") {
                break;
            }
        }
        if list {
            self.c.expect("}")?;
        }
        self.c.expect(">")?;
        Ok(Quantized { storage, min, max, expressed, axis, scales, zero_points })
    }
}

/// True for `i32`, `ui8`, `f8E4M3FN`, `bf16`, `index`, `complex`: what names an element type, supported or not.
fn is_element_word(w: &str) -> bool {
    if matches!(w, "index" | "complex" | "bf16" | "tf32") {
        return true;
    }
    let int = w.strip_prefix("ui").or_else(|| w.strip_prefix("si")).or_else(|| w.strip_prefix('i'));
    if let Some(n) = int.filter(|n| !n.is_empty()) {
        return n.bytes().all(|b| b.is_ascii_digit());
    }
    w.strip_prefix('f')
        .is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit()) && n.bytes().all(|b| b.is_ascii_alphanumeric()))
}
