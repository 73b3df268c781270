//! Operations: their results, the generic form, and what every form shares.

use std::sync::Arc;

use super::Parser;
use super::cursor::{Bad, Result};
use super::forms;
use super::scope::WRONG;
use crate::import::stablehlo::syntax::{Attrs, Block, Operation, Type, Value};

/// More results than these in a pack are a mistake.
const MAX_PACK: u32 = 1 << 16;

/// The parts of an operation as they are read.
#[derive(Default)]
pub(super) struct Draft {
    pub operands: Vec<Value>,
    /// Where each operand is written.
    pub operands_at: Vec<usize>,
    /// What the operation says about the types of its operands.
    pub operand_types: Vec<Type>,
    pub results: Vec<Type>,
    pub attrs: Attrs,
    pub regions: Vec<Block>,
    /// A location that stands before the end.
    pub loc: Option<Arc<str>>,
}

/// Names of results: the name, how many values, and where.
type Names<'a> = Vec<(&'a [u8], u32, usize)>;

impl<'a> Parser<'a> {
    /// One operation, to the end of its location.
    pub fn operation(&mut self) -> Result<Operation> {
        self.c.space();
        let mut loc = self.place(self.c.pos);
        let names = if self.c.byte() == b'%' { self.result_names()? } else { vec![] };
        let first = self.values.len();
        let count: usize = names.iter().map(|n| n.1 as usize).sum();
        self.values.resize(first + count, Type::None);
        let (name, draft) = match self.after_results() {
            Ok(read) => read,
            Err(e) => {
                // Nothing refers to the values of an operation that is dropped.
                self.values.truncate(first);
                for (name, count, at) in names {
                    // Whether it hides another is not to be said about an operation that is wrong anyway.
                    let _ = self.scope.define(name, WRONG, count, at);
                }
                return Err(e);
            }
        };
        let results = self.define_results(&names, first, count, draft.results)?;
        loc.name = match draft.loc {
            Some(name) => name,
            None => self.maybe_loc()?,
        };
        Ok(Operation { name, operands: draft.operands, results, attrs: draft.attrs, regions: draft.regions, loc })
    }

    /// `%a, %b:2 =`.
    fn result_names(&mut self) -> Result<Names<'a>> {
        let mut names = vec![];
        let mut total = 0u32;
        loop {
            self.c.expect("%")?;
            let at = self.c.pos - 1;
            let name = self.c.suffix()?;
            let mut count = 1;
            if self.c.eat(":") {
                let n = self.c.integer()?;
                count = u32::try_from(n).ok().filter(|n| *n > 0 && *n <= MAX_PACK).unwrap_or(0);
                if count == 0 {
                    return Err(Bad { at, message: format!("a pack of {n} results; 1 to {MAX_PACK} are allowed") });
                }
            }
            total = total.saturating_add(count);
            if total > MAX_PACK {
                return Err(Bad { at, message: format!("more than {MAX_PACK} results") });
            }
            names.push((name, count, at));
            if !self.c.eat(",") {
                break;
            }
        }
        self.c.expect("=")?;
        Ok(names)
    }

    /// Gives the results their types and names.
    fn define_results(&mut self, names: &Names<'a>, first: usize, count: usize, types: Vec<Type>) -> Result<Vec<Value>> {
        if !names.is_empty() && count != types.len() {
            self.values.truncate(first);
            for (name, count, at) in names {
                let _ = self.scope.define(name, WRONG, *count, *at);
            }
            return Err(Bad { at: names[0].2, message: format!("{count} results are named, the operation has {}", types.len()) });
        }
        let mut from = first;
        if names.is_empty() {
            from = self.values.len();
            self.values.extend(types);
            return Ok((from..self.values.len()).map(|i| Value(i as u32)).collect());
        }
        for (slot, ty) in self.values[first..].iter_mut().zip(types) {
            *slot = ty;
        }
        for (name, count, at) in names {
            self.scope.define(name, Value(from as u32), *count, *at)?;
            from += *count as usize;
        }
        Ok((first..from).map(|i| Value(i as u32)).collect())
    }

    /// What follows the `=`: name and parts, all but the location.
    fn after_results(&mut self) -> Result<(Arc<str>, Draft)> {
        let mut draft = Draft::default();
        self.c.space();
        let at = self.c.pos;
        let name = if self.c.byte() == b'"' {
            let raw = self.c.string()?;
            let name = self.name_of(&raw);
            self.generic(&mut draft)?;
            name
        } else {
            let word = self.c.word();
            let full = self.full_name(word);
            let Some(form) = forms::find(&full) else {
                self.c.pos = at;
                if word.is_empty() {
                    return self.c.expected("an operation");
                }
                return self.c.bad(format!(
                    "`{word}` is not an operation with a form of its own; any operation is read in the generic form, \
                     `\"{word}\"(%operands) <{{attributes}}> : (types) -> types`"
                ));
            };
            // Operations of either form may stand everywhere, also `stablehlo.constant() <{..}> : () -> ..`.
            self.form(form, &mut draft)?;
            full
        };
        self.check(at, &name, &draft)?;
        Ok((name, draft))
    }

    /// The name with its dialect: inside functions `func.` may be left out.
    fn full_name(&mut self, word: &'a str) -> Arc<str> {
        match word {
            "return" if self.scope.inside_region() => self.intern("stablehlo.return"),
            "return" => self.intern("func.return"),
            "call" => self.intern("func.call"),
            _ => self.intern(word),
        }
    }

    /// The generic form, from the operands on.
    pub fn generic(&mut self, draft: &mut Draft) -> Result<()> {
        self.c.expect("(")?;
        if !self.c.eat(")") {
            self.operands(draft)?;
            self.c.expect(")")?;
        }
        if self.c.peek() == b'[' {
            return self.c.bad("successors are not supported: every region has one block");
        }
        if self.c.eat("<") {
            self.dict_into(&mut draft.attrs)?;
            self.c.expect(">")?;
        }
        if self.c.eat("(") {
            loop {
                let block = self.region(&[])?;
                draft.regions.push(block);
                if !self.c.eat(",") {
                    break;
                }
            }
            self.c.expect(")")?;
        }
        if self.c.peek() == b'{' {
            self.dict_into(&mut draft.attrs)?;
        }
        self.c.expect(":")?;
        (draft.operand_types, draft.results) = self.function_type()?;
        Ok(())
    }

    /// One value or more, with commas between.
    pub fn operands(&mut self, draft: &mut Draft) -> Result<()> {
        loop {
            self.operand(draft)?;
            if !self.c.eat(",") {
                return Ok(());
            }
        }
    }

    /// One value.
    pub fn operand(&mut self, draft: &mut Draft) -> Result<()> {
        self.c.space();
        draft.operands_at.push(self.c.pos);
        let value = self.value()?;
        draft.operands.push(value);
        Ok(())
    }

    /// `%name` or `%name#1`.
    pub fn value(&mut self) -> Result<Value> {
        if self.c.peek() != b'%' {
            return self.c.expected("a value");
        }
        let at = self.c.pos;
        self.c.pos += 1;
        let name = self.c.suffix()?;
        let mut index = None;
        if self.c.byte() == b'#' {
            self.c.pos += 1;
            let digits = self.c.digits();
            let n = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok());
            index = Some(n.ok_or(Bad { at, message: "expected the number of a value after `#`".into() })?);
        }
        self.scope.find(name, index, at)
    }

    /// A new value.
    pub fn new_value(&mut self, ty: Type) -> Value {
        self.values.push(ty);
        Value((self.values.len() - 1) as u32)
    }

    /// The type of a value; `None` where its definition was wrong.
    pub fn type_of(&self, v: Value) -> Option<&Type> {
        self.values.get(v.index())
    }

    /// What an operation says about its operands must be so.
    fn check(&self, at: usize, name: &str, draft: &Draft) -> Result<()> {
        if draft.operands.len() != draft.operand_types.len() {
            let (n, types) = (draft.operands.len(), draft.operand_types.len());
            return Err(Bad { at, message: format!("`{name}` has {n} operands and {types} types of operands") });
        }
        for (i, (v, said)) in draft.operands.iter().zip(&draft.operand_types).enumerate() {
            let Some(ty) = self.type_of(*v) else { continue };
            if ty != said {
                let at = draft.operands_at.get(i).copied().unwrap_or(at);
                return Err(Bad { at, message: format!("this value has the type {ty}, not {said}") });
            }
        }
        Ok(())
    }
}
