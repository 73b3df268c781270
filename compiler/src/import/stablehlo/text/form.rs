//! Reading an operation by its form.

use super::Parser;
use super::attr::{F64, I32, I64};
use super::cursor::{Bad, Result};
use super::forms::Part;
use super::op::Draft;
use crate::import::stablehlo::syntax::{Attr, Element, Type};
use beiming_ir::types::DType;

impl<'a> Parser<'a> {
    /// Reads what follows the name of an operation.
    pub fn form(&mut self, form: &'static [Part], draft: &mut Draft) -> Result<()> {
        for part in form {
            self.part(part, draft)?;
        }
        Ok(())
    }

    fn part(&mut self, part: &'static Part, draft: &mut Draft) -> Result<()> {
        match part {
            Part::Mark(m) => self.c.expect(m),
            Part::Word(w) => self.c.expect_keyword(w),
            Part::Operand => self.operand(draft),
            Part::Operands => {
                if self.c.peek() == b'%' {
                    self.operands(draft)?;
                }
                Ok(())
            }
            Part::Leading => {
                while self.c.peek() == b'%' {
                    self.operand(draft)?;
                    self.c.expect(",")?;
                }
                Ok(())
            }
            Part::Attrs => {
                if self.c.peek() == b'{' {
                    self.dict_into(&mut draft.attrs)?;
                }
                Ok(())
            }
            Part::Int(name) => {
                let i = self.c.integer()?;
                self.set(draft, name, Attr::Int(i, I64))
            }
            Part::Int32(name) => {
                let i = self.c.integer()?;
                self.set(draft, name, Attr::Int(i, I32))
            }
            Part::Ints(name) => {
                let list = self.ints_attr()?;
                self.set(draft, name, list)
            }
            Part::Enum(name) => {
                let e = self.enumerator()?;
                self.set(draft, name, e)
            }
            Part::Text(name) => {
                let s = self.c.string()?;
                self.set(draft, name, Attr::Str(s.as_ref().into()))
            }
            Part::Flag(name) => {
                let word = self.c.peek_word();
                if !matches!(word, "true" | "false") {
                    return self.c.expected("`true` or `false`");
                }
                self.c.word();
                self.set(draft, name, Attr::Bool(word == "true"))
            }
            Part::Real(name) => {
                let x = self.double()?;
                self.set(draft, name, Attr::Float(x, F64))
            }
            Part::Unsigned(name) => {
                self.c.space();
                let at = self.c.pos;
                let bits = self.c.number_text()?.int(DType::U64);
                let bits = bits.ok_or_else(|| Bad { at, message: "the integer does not fit 64 bits".into() })?;
                self.set(draft, name, Attr::Int(bits as i64, Type::Scalar(Element::Plain(DType::U64))))
            }
            Part::Target(name) => {
                let s = self.symbol_name()?;
                self.set(draft, name, Attr::Str(s.as_bytes().into()))
            }
            Part::Maybe(parts) => {
                let Some((first, rest)) = parts.split_first() else { return Ok(()) };
                let here = match first {
                    Part::Mark(m) => self.c.eat(m),
                    Part::Word(w) => self.c.keyword(w),
                    _ => false,
                };
                if here { self.form(rest, draft) } else { Ok(()) }
            }
            Part::Kept(name, before, after) => {
                self.c.space();
                let start = self.c.pos;
                let close = match self.c.byte() {
                    b'<' => b'>',
                    b'[' => b']',
                    b'{' => b'}',
                    _ => return self.c.expected("`<`, `[` or `{`"),
                };
                self.c.pos += 1;
                self.c.skip_balanced(close)?;
                let text = format!("{before}{}{after}", self.text(start));
                self.set(draft, name, Attr::Other(text.into()))
            }
            Part::Body => {
                let args = self.arguments()?;
                let block = self.region(&args)?;
                draft.regions.push(block);
                Ok(())
            }
            Part::Then(parts) => self.form(parts, draft),
            Part::Own(read) => read(self, draft),
            Part::Signature => {
                (draft.operand_types, draft.results) = self.function_type()?;
                Ok(())
            }
            Part::Same | Part::Select | Part::Complex | Part::Tuple => self.short_types(part, draft),
            Part::Each => {
                draft.operand_types = self.types()?;
                draft.results = draft.operand_types.clone();
                Ok(())
            }
            Part::Arrow => {
                draft.operand_types = self.types()?;
                self.c.expect("->")?;
                draft.results = self.result_types()?;
                Ok(())
            }
            Part::Types => {
                let types = self.types()?;
                // `a, b : t` says the type of both.
                let each = types.len() == 1;
                draft.operand_types = if each { vec![types[0].clone(); draft.operands.len()] } else { types };
                Ok(())
            }
            Part::Results => {
                draft.results = self.result_types()?;
                Ok(())
            }
        }
    }

    /// Types that are said once for several values.
    fn short_types(&mut self, part: &Part, draft: &mut Draft) -> Result<()> {
        self.c.space();
        let at = self.c.pos;
        let first = self.ty()?;
        let n = draft.operands.len();
        let bad = |message: &str| Err(Bad { at, message: message.into() });
        match (part, first) {
            (_, Type::Function(args, results)) if !matches!(part, Part::Tuple) => {
                draft.operand_types = args;
                draft.results = results;
            }
            // One type for any number of operands only where it is small: a form with a long type has few.
            (Part::Same, ty) if n > 3 && ty != Type::Token => return bad("expected `!stablehlo.token`"),
            (Part::Same, ty) => {
                draft.operand_types = vec![ty.clone(); n];
                draft.results = vec![ty];
            }
            (Part::Select, pred) => {
                self.c.expect(",")?;
                let ty = self.ty()?;
                draft.operand_types = vec![pred, ty.clone(), ty.clone()];
                draft.results = vec![ty];
            }
            (Part::Complex, Type::Tensor(t)) => {
                let part = match t.element {
                    Element::Plain(DType::C64) => DType::F32,
                    Element::Plain(DType::C128) => DType::F64,
                    _ => return bad("expected a tensor of complex elements"),
                };
                let mut real = t.clone();
                real.element = Element::Plain(part);
                draft.operand_types = vec![Type::Tensor(real); n];
                draft.results = vec![Type::Tensor(t)];
            }
            (Part::Complex, _) => return bad("expected a tensor of complex elements"),
            (_, Type::Tuple(parts)) => {
                draft.operand_types = parts.clone();
                draft.results = vec![Type::Tuple(parts)];
            }
            _ => return bad("expected a tuple type"),
        }
        Ok(())
    }

    /// Types with commas between.
    pub fn types(&mut self) -> Result<Vec<Type>> {
        let mut types = vec![];
        loop {
            types.push(self.ty()?);
            if !self.c.eat(",") {
                return Ok(types);
            }
        }
    }

    /// The bare name of an enumerator, or its attribute.
    pub fn enumerator(&mut self) -> Result<Attr> {
        if self.c.peek() == b'#' {
            return self.attr();
        }
        let word = self.c.word();
        if word.is_empty() { self.c.expected("an enumerator") } else { Ok(Attr::Enum(self.intern(word))) }
    }

    /// Sets an attribute that the form itself has.
    pub fn set(&mut self, draft: &mut Draft, name: &'static str, value: Attr) -> Result<()> {
        let key = self.intern(name);
        if draft.attrs.insert(key, value).is_some() {
            return self.c.bad(format!("the attribute `{name}` stands twice"));
        }
        Ok(())
    }
}
