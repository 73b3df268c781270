//! Attributes: numbers, strings, symbols, lists, dictionaries, types, constants, and those of dialects.

use std::sync::Arc;

use super::Parser;
use super::cursor::{Bad, Result};
use crate::import::stablehlo::syntax::{Attr, Attrs, Element, Type};
use beiming_ir::types::DType;

/// `i64`, what an integer without a type has.
pub(super) const I64: Type = Type::Scalar(Element::Plain(DType::I64));
/// `i32`.
pub(super) const I32: Type = Type::Scalar(Element::Plain(DType::I32));
const I1: Type = Type::Scalar(Element::Plain(DType::Bool));
/// `f64`, what a float without a type has.
pub(super) const F64: Type = Type::Scalar(Element::Plain(DType::F64));

impl<'a> Parser<'a> {
    /// Any attribute.
    pub fn attr(&mut self) -> Result<Attr> {
        self.nested(Self::attr_here)
    }

    fn attr_here(&mut self) -> Result<Attr> {
        self.nodes += 1;
        match self.c.peek() {
            b'"' => {
                let s = self.c.string()?;
                let s: Arc<[u8]> = s.as_ref().into();
                if self.c.eat(":") {
                    self.ty()?;
                }
                Ok(Attr::Str(s))
            }
            b'@' => self.symbol().map(Attr::Symbol),
            b'[' => {
                self.c.pos += 1;
                let mut list = vec![];
                if self.c.eat("]") {
                    return Ok(Attr::Array(list));
                }
                loop {
                    list.push(self.attr()?);
                    if !self.c.eat(",") {
                        break;
                    }
                }
                self.c.expect("]")?;
                Ok(Attr::Array(list))
            }
            b'{' => {
                let mut attrs = Attrs::new();
                self.dict_into(&mut attrs)?;
                Ok(Attr::Dict(attrs))
            }
            b'#' => self.hash_attr(),
            b'-' | b'0'..=b'9' => self.number(),
            _ => self.word_attr(),
        }
    }

    fn word_attr(&mut self) -> Result<Attr> {
        let at = self.c.pos;
        match self.c.peek_word() {
            "true" | "false" => {
                let value = self.c.word() == "true";
                if self.c.eat(":") {
                    self.typed_bool()?;
                }
                Ok(Attr::Bool(value))
            }
            "unit" => {
                self.c.word();
                Ok(Attr::Unit)
            }
            "dense" => {
                self.c.word();
                self.dense().map(Attr::Dense)
            }
            "dense_resource" => {
                self.c.word();
                self.dense_resource().map(Attr::Dense)
            }
            "array" => {
                self.c.word();
                self.array_attr()
            }
            "loc" => {
                self.loc()?;
                Ok(Attr::Other(self.text(at)))
            }
            word @ ("affine_map" | "affine_set" | "strided" | "opaque" | "distinct") => {
                self.c.word();
                if word == "distinct" && self.c.eat("[") {
                    self.c.skip_balanced(b']')?;
                }
                self.c.expect("<")?;
                self.c.skip_balanced(b'>')?;
                Ok(Attr::Other(self.text(at)))
            }
            "sparse" => self.c.bad("sparse constants are not supported; dense and dense_resource constants are"),
            _ if self.at_type() => self.ty().map(Attr::Type),
            _ => self.c.expected("an attribute"),
        }
    }

    fn typed_bool(&mut self) -> Result<()> {
        let at = self.c.pos;
        if self.ty()? == I1 { Ok(()) } else { Err(Bad { at, message: "`true` and `false` have the type i1".into() }) }
    }

    /// `@name`, `@"name"`, `@outer::@inner`.
    pub fn symbol(&mut self) -> Result<Arc<str>> {
        let first = self.symbol_name()?;
        if self.c.peek() != b':' || !self.c.src[self.c.pos..].starts_with(b"::@") {
            return Ok(first);
        }
        let mut path = first.to_string();
        while self.c.eat("::@") {
            self.c.pos -= 1;
            path.push_str("::");
            path.push_str(&self.symbol_name()?);
        }
        Ok(path.into())
    }

    /// `@name` or `@"name"`.
    pub fn symbol_name(&mut self) -> Result<Arc<str>> {
        self.c.expect("@")?;
        if self.c.byte() == b'"' {
            let at = self.c.pos;
            let s = self.c.string()?;
            return match std::str::from_utf8(&s) {
                Ok(s) => Ok(self.intern(s)),
                Err(_) => Err(Bad { at, message: "a symbol's name must be UTF-8".into() }),
            };
        }
        let at = self.c.pos;
        let word = self.c.word();
        if word.is_empty() || self.c.src.get(at).is_none_or(|b| b.is_ascii_whitespace()) {
            self.c.pos = at;
            return self.c.expected("a symbol's name");
        }
        Ok(self.intern(word))
    }

    /// `{a = 1, "b c" = 2, d}`: adds to `attrs`.
    pub fn dict_into(&mut self, attrs: &mut Attrs) -> Result<()> {
        self.c.expect("{")?;
        if self.c.eat("}") {
            return Ok(());
        }
        loop {
            self.c.space();
            let at = self.c.pos;
            let name = if self.c.byte() == b'"' {
                let s = self.c.string()?;
                self.name_of(&s)
            } else {
                let w = self.c.word();
                if w.is_empty() {
                    return self.c.expected("the name of an attribute");
                }
                self.intern(w)
            };
            let value = if self.c.eat("=") { self.attr()? } else { Attr::Unit };
            if attrs.insert(name.clone(), value).is_some() {
                return Err(Bad { at, message: format!("the attribute `{name}` stands twice") });
            }
            if !self.c.eat(",") {
                break;
            }
        }
        self.c.expect("}")
    }

    /// A number, with its type where one follows.
    fn number(&mut self) -> Result<Attr> {
        let at = self.c.pos;
        let lit = self.c.number_text()?;
        let ty = if self.c.eat(":") { self.ty()? } else { lit.default_type() };
        let wrong = |what: &str| Err(Bad { at, message: format!("`{}` is no {what}", lit.text) });
        match &ty {
            Type::Scalar(Element::Plain(d)) if d.is_float() => match lit.float(*d) {
                Some(x) => Ok(Attr::Float(x, ty)),
                None => wrong(&format!("value of type {d}")),
            },
            Type::Scalar(Element::Plain(d)) if d.is_int() || *d == DType::Bool => match lit.int(*d) {
                // Beyond the signed range the bits are kept: the type tells.
                Some(i) => Ok(Attr::Int(i as i64, ty)),
                None => wrong(&format!("value of type {d}")),
            },
            Type::Scalar(Element::Index) => match lit.int(DType::I64) {
                Some(i) => Ok(Attr::Int(i as i64, ty)),
                None => wrong("index"),
            },
            _ => wrong("value of this type"),
        }
    }

    /// What follows `array`: `<i64: 1, 2>`, `<i64>`, `<i1: true>`, `<f32: 1.0>`.
    fn array_attr(&mut self) -> Result<Attr> {
        self.c.expect("<")?;
        let at = self.c.pos;
        let Type::Scalar(Element::Plain(dtype)) = self.ty()? else {
            return Err(Bad { at, message: "an array has elements of an integer or float type".into() });
        };
        if self.c.eat(">") {
            return Ok(Attr::Ints(vec![]));
        }
        self.c.expect(":")?;
        let (mut ints, mut floats) = (vec![], vec![]);
        loop {
            self.c.space();
            let at = self.c.pos;
            let word = self.c.peek_word();
            if dtype == DType::Bool && matches!(word, "true" | "false") {
                ints.push(i64::from(self.c.word() == "true"));
            } else {
                let lit = self.c.number_text()?;
                let bad = || Bad { at, message: format!("`{}` is no value of type {dtype}", lit.text) };
                if dtype.is_float() {
                    floats.push(Attr::Float(lit.float(dtype).ok_or_else(bad)?, Type::Scalar(Element::Plain(dtype))));
                } else {
                    ints.push(lit.int(dtype).ok_or_else(bad)? as i64);
                }
            }
            if !self.c.eat(",") {
                break;
            }
        }
        self.c.expect(">")?;
        Ok(if dtype.is_float() { Attr::Array(floats) } else { Attr::Ints(ints) })
    }

    /// `[1, 2]` or `[1]`: integers alone.
    pub fn int_list(&mut self) -> Result<Vec<i64>> {
        self.c.expect("[")?;
        let mut list = vec![];
        if self.c.eat("]") {
            return Ok(list);
        }
        loop {
            list.push(match self.c.peek_word() {
                "true" | "false" => i64::from(self.c.word() == "true"),
                _ => self.c.integer()?,
            });
            if !self.c.eat(",") {
                break;
            }
        }
        self.c.expect("]")?;
        Ok(list)
    }

    /// A list of integers as operations write it: `[1, 2]`, or the attribute `array<i64: 1, 2>` in its place.
    pub fn ints_attr(&mut self) -> Result<Attr> {
        if self.c.peek() == b'[' { self.int_list().map(Attr::Ints) } else { self.attr() }
    }

    /// A decimal number as a double.
    pub fn double(&mut self) -> Result<f64> {
        self.c.space();
        let at = self.c.pos;
        let lit = self.c.number_text()?;
        let value = if lit.is_decimal_int() { lit.text.parse().ok() } else { lit.float(DType::F64) };
        value.ok_or_else(|| Bad { at, message: format!("`{}` is no value of type f64", lit.text) })
    }
}

impl super::number::Literal<'_> {
    /// The type of a number without one: f64, or i64.
    fn default_type(&self) -> Type {
        if self.is_float() { F64 } else { I64 }
    }
}
