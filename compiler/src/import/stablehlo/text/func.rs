//! Modules and functions, and what stands between them.

use std::sync::Arc;

use super::Parser;
use super::cursor::{Bad, Result};
use super::region::Argument;
use crate::import::stablehlo::syntax::{Attr, Attrs, Block, Function, Loc, Module, Type};

impl<'a> Parser<'a> {
    /// The whole text. What is wrong is in `problems`.
    pub fn file(&mut self) -> Module {
        let mut module = Module { name: self.empty.clone(), ..Module::default() };
        self.items(&mut module, false);
        module
    }

    /// Functions and other items up to the end of the text, or, inside a module, up to its brace.
    fn items(&mut self, module: &mut Module, inside: bool) {
        loop {
            let start = match self.c.peek() {
                0 if self.c.done() => return,
                b'}' if inside => return,
                _ => self.c.pos,
            };
            if let Err(e) = self.item(module) {
                self.recover(start, e);
            }
            if self.hopeless() {
                self.c.pos = self.c.src.len();
                return;
            }
        }
    }

    fn item(&mut self, module: &mut Module) -> Result<()> {
        self.c.space();
        let start = self.c.pos;
        match self.c.byte() {
            b'#' | b'!' => return self.alias_definition(),
            b'{' if self.c.src[start..].starts_with(b"{-#") => return self.read_resources(),
            // The label of a module's block, in the generic form.
            b'^' => {
                self.c.pos += 1;
                self.c.suffix()?;
                return self.c.expect(":");
            }
            b'"' => {
                let name = self.c.raw_string()?;
                match name {
                    b"builtin.module" => return self.generic_module(module),
                    b"func.func" => {
                        self.c.pos = start;
                        return self.generic_function(module);
                    }
                    _ => self.c.pos = start,
                }
            }
            _ => match self.c.peek_word() {
                "module" | "builtin.module" => {
                    self.c.word();
                    return self.module(module);
                }
                "func.func" | "func" => {
                    self.c.word();
                    let loc = self.place(start);
                    return self.function(module, loc);
                }
                _ => {}
            },
        }
        self.scope.clear();
        self.values.clear();
        let op = self.operation()?;
        module.others.push(op);
        Ok(())
    }

    /// `@name attributes {..} { .. }`.
    fn module(&mut self, module: &mut Module) -> Result<()> {
        if self.c.peek() == b'@' {
            module.name = self.symbol_name()?;
        }
        if self.c.keyword("attributes") {
            self.dict_into(&mut module.attrs)?;
        }
        self.module_body(module)?;
        self.maybe_loc()?;
        Ok(())
    }

    fn module_body(&mut self, module: &mut Module) -> Result<()> {
        self.c.space();
        let at = self.c.pos;
        self.c.expect("{")?;
        self.nested(|p| {
            p.items(module, true);
            Ok(())
        })?;
        if self.c.eat("}") || self.hopeless() {
            return Ok(());
        }
        Err(Bad { at, message: "the `}` that closes this is missing".into() })
    }

    /// `"builtin.module"() <{..}> ({ .. }) {..} : () -> ()`, after the name.
    fn generic_module(&mut self, module: &mut Module) -> Result<()> {
        self.c.expect("(")?;
        self.c.expect(")")?;
        let mut attrs = Attrs::new();
        if self.c.eat("<") {
            self.dict_into(&mut attrs)?;
            self.c.expect(">")?;
        }
        self.c.expect("(")?;
        self.module_body(module)?;
        self.c.expect(")")?;
        if self.c.peek() == b'{' {
            self.dict_into(&mut attrs)?;
        }
        self.c.expect(":")?;
        self.function_type()?;
        self.maybe_loc()?;
        if let Some(name) = attrs.remove("sym_name") {
            module.name = self.name_from(&name)?;
        }
        module.attrs.append(&mut attrs);
        Ok(())
    }

    /// `public @name(..) -> .. attributes {..} { .. }`, after `func.func`.
    fn function(&mut self, module: &mut Module, mut loc: Loc) -> Result<()> {
        self.scope.clear();
        self.values.clear();
        let mut public = true;
        if matches!(self.c.peek_word(), "public" | "private" | "nested") {
            public = self.c.word() == "public";
        }
        self.c.space();
        let at = self.c.pos;
        let name = self.symbol_name()?;
        self.once(&name, at);
        let (mut args, mut arg_attrs): (Vec<Argument>, Vec<Attrs>) = (vec![], vec![]);
        let mut names = vec![];
        self.c.expect("(")?;
        if !self.c.eat(")") {
            loop {
                let arg = match self.c.peek() {
                    b'%' => self.argument()?,
                    _ => (b"".as_slice(), self.ty()?, self.c.pos),
                };
                let mut attrs = Attrs::new();
                if self.c.peek() == b'{' {
                    self.dict_into(&mut attrs)?;
                }
                names.push(self.maybe_loc()?);
                args.push(arg);
                arg_attrs.push(attrs);
                if !self.c.eat(",") {
                    break;
                }
            }
            self.c.expect(")")?;
        }
        let (results, result_attrs) = if self.c.eat("->") { self.function_results()? } else { (vec![], vec![]) };
        let mut attrs = Attrs::new();
        if self.c.keyword("attributes") {
            self.dict_into(&mut attrs)?;
        }
        let mut body = if self.c.peek() == b'{' && !self.c.src[self.c.pos..].starts_with(b"{-#") {
            self.region(&args)?
        } else {
            Block { args: args.into_iter().map(|(_, ty, _)| self.new_value(ty)).collect(), ..Block::default() }
        };
        body.names = names;
        loc.name = self.maybe_loc()?;
        let values = std::mem::take(&mut self.values);
        module.functions.push(Function { name, public, arg_attrs, results, result_attrs, attrs, body, values, loc });
        Ok(())
    }

    /// One type, or types in parentheses, each with its attributes.
    fn function_results(&mut self) -> Result<(Vec<Type>, Vec<Attrs>)> {
        if self.c.peek() != b'(' {
            return Ok((vec![self.ty()?], vec![Attrs::new()]));
        }
        self.c.pos += 1;
        let (mut types, mut all) = (vec![], vec![]);
        if self.c.eat(")") {
            return Ok((types, all));
        }
        loop {
            types.push(self.ty()?);
            let mut attrs = Attrs::new();
            if self.c.peek() == b'{' {
                self.dict_into(&mut attrs)?;
            }
            all.push(attrs);
            if !self.c.eat(",") {
                break;
            }
        }
        self.c.expect(")")?;
        Ok((types, all))
    }

    /// `"func.func"() <{function_type = .., sym_name = ..}> ({ .. })`.
    fn generic_function(&mut self, module: &mut Module) -> Result<()> {
        let at = self.c.pos;
        self.scope.clear();
        self.values.clear();
        let mut op = self.operation()?;
        let values = std::mem::take(&mut self.values);
        let bad = |message: &str| Bad { at, message: message.into() };
        let Some(Attr::Type(Type::Function(args, results))) = op.attrs.remove("function_type") else {
            return Err(bad("a function needs its `function_type`"));
        };
        let name = op.attrs.remove("sym_name").ok_or_else(|| bad("a function needs its `sym_name`"))?;
        let name = self.name_from(&name)?;
        self.once(&name, at);
        let public = match op.attrs.remove("sym_visibility") {
            None => true,
            Some(v) => v.text() == Some("public"),
        };
        let mut each = |key: &str, n: usize| match op.attrs.remove(key) {
            None => Ok(vec![Attrs::new(); n]),
            Some(Attr::Array(list)) if list.len() == n => {
                Ok(list.into_iter().map(|a| if let Attr::Dict(d) = a { d } else { Attrs::new() }).collect())
            }
            Some(_) => Err(Bad { at, message: format!("`{key}` must be a list of {n} dictionaries") }),
        };
        let arg_attrs = each("arg_attrs", args.len())?;
        let result_attrs = each("res_attrs", results.len())?;
        if op.regions.len() != 1 {
            return Err(bad("a function has one region"));
        }
        let mut function = Function {
            name,
            public,
            arg_attrs,
            results,
            result_attrs,
            attrs: op.attrs,
            body: op.regions.remove(0),
            values,
            loc: op.loc,
        };
        let body = &mut function.body;
        if body.args.is_empty() && body.ops.is_empty() {
            function.values = args;
            body.args = (0..function.values.len()).map(|i| crate::import::stablehlo::syntax::Value(i as u32)).collect();
        } else if body.args.iter().map(|v| function.values.get(v.index())).ne(args.iter().map(Some)) {
            return Err(bad("the arguments of the block are not those of `function_type`"));
        }
        module.functions.push(function);
        Ok(())
    }

    /// A function's name stands once.
    fn once(&mut self, name: &Arc<str>, at: usize) {
        if !self.functions.insert(name.clone()) {
            self.report(Bad { at, message: format!("the function @{name} is defined twice") });
        }
    }

    /// A name that is given as an attribute.
    fn name_from(&mut self, attr: &Attr) -> Result<Arc<str>> {
        match attr.text() {
            Some(s) => Ok(self.intern(s)),
            None => self.c.bad("a name must be a string"),
        }
    }
}
