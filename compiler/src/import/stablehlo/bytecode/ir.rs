//! The operations of an artifact. Regions are read with a stack of our own: how deep they nest is bounded, and nothing is
//! reserved for what an artifact only announces.

use std::sync::Arc;

use super::container::{Container, LAZY_REGIONS, NO_ARG_LOCATION, PROPERTIES, USE_ORDERS};
use super::cursor::{Cursor, Read, problem};
use super::names::{Kind, Names};
use super::pool::Pool;
use super::{function, legal};
use crate::import::stablehlo::syntax::{Attr, Attrs, Block, Function, Loc, Module, Operation, Problem, Type, Value};

/// How deep regions nest at most.
const DEEPEST: usize = 128;
/// After so many problems the rest of the artifact is not read.
const MOST_PROBLEMS: usize = 50;

/// The parts that an operation may have, as its mask says.
mod has {
    pub(super) const ATTRS: u8 = 1;
    pub(super) const RESULTS: u8 = 2;
    pub(super) const OPERANDS: u8 = 4;
    pub(super) const SUCCESSORS: u8 = 8;
    pub(super) const REGIONS: u8 = 16;
    pub(super) const USE_ORDERS: u8 = 32;
    pub(super) const PROPERTIES: u8 = 64;
}

/// The numbers that values have in a region: they go on from the region around it.
struct Scope {
    /// The first number.
    start: u64,
    /// How many the region announced.
    count: u64,
    /// Those that have been defined.
    values: Vec<Value>,
}

/// An operation whose regions are being read.
struct Open<'a> {
    kind: Kind,
    op: Operation,
    /// Regions that have not been started.
    regions: u64,
    /// The block being read, and the operations that remain in it.
    block: Block,
    ops: u64,
    /// Where the operation's regions are, when they are a section of their own: the rest of what was read before.
    resume: Option<Cursor<'a>>,
    /// Scopes below this one are not seen from inside.
    isolated: Option<usize>,
}

/// The reader of the operations.
pub(super) struct Reader<'a, 'p> {
    container: &'p Container<'a>,
    names: &'p Names,
    pool: &'p mut Pool<'a>,
    c: Cursor<'a>,
    scopes: Vec<Scope>,
    /// The first scope that is seen.
    visible: usize,
    stack: Vec<Open<'a>>,
    /// Types of the values of the function being read.
    values: Vec<Type>,
    module: Option<Module>,
    problems: Vec<Problem>,
}

impl<'a, 'p> Reader<'a, 'p> {
    pub(super) fn new(container: &'p Container<'a>, names: &'p Names, pool: &'p mut Pool<'a>) -> Self {
        Reader {
            container,
            names,
            pool,
            c: container.ir,
            scopes: vec![],
            visible: 0,
            stack: vec![],
            values: vec![],
            module: None,
            problems: vec![],
        }
    }

    /// Reads the module.
    pub(super) fn run(mut self) -> Result<Module, Vec<Problem>> {
        if let Err(p) = self.module() {
            self.problems.push(p);
        }
        match self.module {
            Some(module) if self.problems.is_empty() => Ok(module),
            _ if self.problems.is_empty() => Err(vec![problem("artifact", "there is no module in it")]),
            _ => Err(self.problems),
        }
    }

    fn module(&mut self) -> Read<()> {
        let (ops, args) = self.c.flagged()?;
        if ops != 1 || args {
            return Err(self.c.problem(format!("one module is expected, there are {ops} operations")));
        }
        self.operation()?;
        while let Some(open) = self.stack.last_mut() {
            if self.problems.len() >= MOST_PROBLEMS {
                return Ok(());
            }
            if open.ops > 0 {
                open.ops -= 1;
                self.operation()?;
            } else {
                self.end_region()?;
            }
        }
        self.c.finish("the operations")
    }

    /// Reads an operation up to its regions.
    fn operation(&mut self) -> Read<()> {
        let index = self.c.varint()?;
        let name = usize::try_from(index).ok().and_then(|i| self.names.get(i));
        let Some(name) = name else {
            return Err(self.c.problem(format!("operation name {index} is not in the table")));
        };
        let mask = self.c.byte()?;
        let loc = self.c.varint()?;
        let loc = Loc { line: 0, column: 0, name: self.pool.location(&self.c, loc)? };
        let mut attrs = if mask & has::ATTRS != 0 { self.dictionary()? } else { Attrs::new() };
        let mut inherent = Attrs::new();
        if mask & has::PROPERTIES != 0 {
            self.properties(name, &mut inherent)?;
        }
        let mut results = vec![];
        if mask & has::RESULTS != 0 {
            let n = self.c.count()?;
            results = (0..n).map(|_| self.pool.ty(&mut self.c)).collect::<Read<Vec<Type>>>()?;
        }
        let mut operands = vec![];
        if mask & has::OPERANDS != 0 {
            let n = self.c.count()?;
            operands = (0..n).map(|_| self.operand()).collect::<Read<Vec<Value>>>()?;
        }
        if mask & has::SUCCESSORS != 0 {
            return Err(self.c.problem(format!("`{}` branches to other blocks, which StableHLO does not have", name.full)));
        }
        let produced = if let Kind::Cast = name.kind {
            // Casts stand between dialects in mixed artifacts: the value is the same.
            if operands.len() != results.len() {
                return Err(self.c.problem(format!("a cast of {} values to {}", operands.len(), results.len())));
            }
            self.define_as(&operands)?;
            vec![]
        } else {
            results.iter().map(|ty| self.define(ty.clone())).collect::<Read<Vec<Value>>>()?
        };
        if mask & has::USE_ORDERS != 0 && self.container.version >= USE_ORDERS {
            self.use_orders(results.len())?;
        }
        let kind = name.kind;
        if let Some(message) = &name.unknown {
            self.problems.push(Problem { loc: loc.clone(), message: message.clone() });
        } else if let Kind::Vhlo(op) = kind {
            // Before there were properties, all attributes were in the dictionary.
            if inherent.is_empty() && !attrs.is_empty() {
                inherent = name.properties.iter().filter_map(|k| attrs.remove_entry(k)).collect();
            }
            if let Err(p) = legal::attributes(self.pool, op.name, &mut inherent) {
                self.problems.push(p);
            }
        }
        // Most operations have attributes of one kind alone.
        if attrs.is_empty() {
            attrs = inherent;
        } else {
            attrs.append(&mut inherent);
        }
        let op = Operation { name: name.full.clone(), operands, results: produced, attrs, regions: vec![], loc };
        let (regions, isolated) = if mask & has::REGIONS != 0 { self.c.flagged()? } else { (0, false) };
        if regions == 0 {
            return self.attach(kind, op);
        }
        if self.stack.len() == DEEPEST {
            return Err(self.c.problem(format!("regions nest deeper than {DEEPEST}")));
        }
        let mut open = Open { kind, op, regions, block: Block::default(), ops: 0, resume: None, isolated: None };
        if isolated {
            open.isolated = Some(std::mem::replace(&mut self.visible, self.scopes.len()));
            if self.container.version >= LAZY_REGIONS {
                let (id, body) = self.c.section()?;
                if id != 4 {
                    return Err(self.c.problem(format!("section {id} where regions are expected")));
                }
                open.resume = Some(std::mem::replace(&mut self.c, body));
            }
        }
        if let Kind::Function = kind {
            if self.stack.len() != 1 {
                return Err(self.c.problem("a function inside a function"));
            }
            self.values.clear();
        }
        self.stack.push(open);
        self.begin_region()
    }

    /// The attributes of an operation: a dictionary.
    fn dictionary(&mut self) -> Read<Attrs> {
        match self.pool.attr(&mut self.c)? {
            Attr::Dict(attrs) => Ok(attrs),
            _ => Err(self.c.problem("the attributes of an operation are no dictionary")),
        }
    }

    /// The properties of an operation: references to attributes, one for each that the table of operations lists.
    fn properties(&mut self, name: &super::names::Name, inherent: &mut Attrs) -> Read<()> {
        let index = self.c.varint()?;
        let found = usize::try_from(index).ok().and_then(|i| self.container.properties.get(i));
        let Some(mut c) = found.copied().filter(|_| self.container.version >= PROPERTIES) else {
            return Err(self.c.problem(format!("properties {index} of {}", self.container.properties.len())));
        };
        if name.unknown.is_some() {
            return Ok(());
        }
        match name.kind {
            Kind::Vhlo(_) if !name.registered => {
                // A writer that did not know the operation wrote one dictionary.
                if let Attr::Dict(mut all) = self.pool.attr(&mut c)? {
                    inherent.append(&mut all);
                }
            }
            Kind::Vhlo(_) | Kind::Function => {
                for property in &name.properties {
                    inherent.insert(property.clone(), self.pool.attr(&mut c)?);
                }
                c.finish("the properties of an operation")
                    .map_err(|p| problem(format!("{}, `{}`", p.loc.name, name.full), p.message))?;
            }
            Kind::Module => {
                for property in &name.properties {
                    let (index, present) = c.flagged()?;
                    if present {
                        inherent.insert(property.clone(), self.pool.attr_at(&c, index)?);
                    }
                }
            }
            // Other dialects encode their properties as they like.
            Kind::Cast | Kind::Other => {}
        }
        Ok(())
    }

    /// The value that the cursor refers to.
    fn operand(&mut self) -> Read<Value> {
        let id = self.c.varint()?;
        let seen = &self.scopes[self.visible..];
        let after = seen.partition_point(|s| s.start <= id);
        let value = after.checked_sub(1).and_then(|i| {
            let scope = &seen[i];
            scope.values.get(usize::try_from(id - scope.start).ok()?)
        });
        value.copied().ok_or_else(|| self.c.problem(format!("value {id} is used before it is defined")))
    }

    /// Gives a new value the next number of the innermost region.
    fn define(&mut self, ty: Type) -> Read<Value> {
        let value = u32::try_from(self.values.len()).map(Value).map_err(|_| self.c.problem("more values than can be counted"))?;
        self.values.push(ty);
        self.define_as(&[value])?;
        Ok(value)
    }

    /// Gives known values the next numbers.
    fn define_as(&mut self, values: &[Value]) -> Read<()> {
        let problem = self.c.problem("more values than the region announced");
        if values.is_empty() {
            return Ok(());
        }
        match self.scopes.last_mut() {
            Some(scope) if scope.count - scope.values.len() as u64 >= values.len() as u64 => {
                scope.values.extend_from_slice(values);
                Ok(())
            }
            _ => Err(problem),
        }
    }

    /// The orders in which values are used, which matter to nobody here.
    fn use_orders(&mut self, values: usize) -> Read<()> {
        let n = if values > 1 { self.c.count()? } else { 1 };
        for _ in 0..n {
            if values > 1 {
                self.c.varint()?;
            }
            let (uses, _) = self.c.flagged()?;
            if uses > self.c.left() as u64 {
                return Err(self.c.problem(format!("{uses} uses of a value")));
            }
            for _ in 0..uses {
                self.c.varint()?;
            }
        }
        Ok(())
    }

    /// Starts the next region of the innermost open operation.
    fn begin_region(&mut self) -> Read<()> {
        let blocks = self.c.varint()?;
        if blocks > 1 {
            return Err(self.c.problem(format!("a region of {blocks} blocks; StableHLO has one in each")));
        }
        let mut block = Block::default();
        let mut ops = 0;
        let start = match self.scopes.get(self.visible..).and_then(<[Scope]>::last) {
            Some(s) => s.start.checked_add(s.count).ok_or_else(|| self.c.problem("more values than can be counted"))?,
            None => 0,
        };
        let count = if blocks == 1 { self.c.varint()? } else { 0 };
        self.scopes.push(Scope { start, count, values: vec![] });
        if blocks == 1 {
            let args;
            (ops, args) = self.c.flagged()?;
            if ops > self.c.left() as u64 {
                return Err(self.c.problem(format!("a block of {ops} operations")));
            }
            if args {
                (block.args, block.names) = self.arguments()?;
            }
        }
        if let Some(open) = self.stack.last_mut() {
            open.regions -= 1;
            (open.block, open.ops) = (block, ops);
        }
        Ok(())
    }

    /// The arguments of a block.
    fn arguments(&mut self) -> Read<(Vec<Value>, Vec<Arc<str>>)> {
        let n = self.c.count()?;
        let (mut args, mut names) = (Vec::with_capacity(n), vec![]);
        for _ in 0..n {
            let ty = if self.container.version >= NO_ARG_LOCATION {
                let (ty, located) = self.c.flagged()?;
                if located {
                    let loc = self.c.varint()?;
                    names.resize(args.len(), "".into());
                    names.push(self.pool.location(&self.c, loc)?);
                }
                self.pool.ty_at(&self.c, ty)?
            } else {
                let ty = self.pool.ty(&mut self.c)?;
                self.c.varint()?;
                ty
            };
            args.push(self.define(ty)?);
        }
        if self.container.version >= USE_ORDERS && self.c.byte()? != 0 {
            self.use_orders(n)?;
        }
        Ok((args, names))
    }

    /// Ends a region; with the last one its operation.
    fn end_region(&mut self) -> Read<()> {
        self.scopes.pop();
        let Some(open) = self.stack.last_mut() else { return Ok(()) };
        let block = std::mem::take(&mut open.block);
        open.op.regions.push(block);
        if open.regions > 0 {
            return self.begin_region();
        }
        let Some(open) = self.stack.pop() else { return Ok(()) };
        if let Some(visible) = open.isolated {
            self.visible = visible;
        }
        if let Some(resume) = open.resume {
            self.c.finish("regions")?;
            self.c = resume;
        }
        self.attach(open.kind, open.op)
    }

    /// Puts a finished operation where it belongs.
    fn attach(&mut self, kind: Kind, mut op: Operation) -> Read<()> {
        match (kind, self.stack.len()) {
            (Kind::Module, 0) => {
                let mut module = self.module.take().unwrap_or_default();
                if let Some(Attr::Str(name)) = op.attrs.remove("sym_name") {
                    module.name = String::from_utf8_lossy(&name).into();
                }
                op.attrs.remove("sym_visibility");
                module.attrs = op.attrs;
                self.module = Some(module);
            }
            (_, 0) => return Err(self.c.problem(format!("`{}` where a module is expected", op.name))),
            (Kind::Module, _) => return Err(self.c.problem("a module inside a module")),
            (Kind::Function, 1) => {
                let values = std::mem::take(&mut self.values);
                match function::build(op, values) {
                    Ok(f) => self.functions().push(f),
                    Err(p) => self.problems.push(p),
                }
            }
            (Kind::Function, _) => return Err(self.c.problem("a function inside a function")),
            (Kind::Cast, _) => {}
            (_, 1) => self.module.get_or_insert_default().others.push(op),
            (_, depth) => {
                if &*op.name == "stablehlo.return" && depth == 2 {
                    op.name = "func.return".into();
                }
                if let Some(open) = self.stack.last_mut() {
                    open.block.ops.push(op);
                }
            }
        }
        Ok(())
    }

    fn functions(&mut self) -> &mut Vec<Function> {
        &mut self.module.get_or_insert_default().functions
    }
}
