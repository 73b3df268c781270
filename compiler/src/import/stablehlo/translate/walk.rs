//! The walk over a module: scopes of values, calls, regions, diagnostics. What each operation means is in `ops`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use beiming_ir::graph::{Graph, Loc, ValueId};
use beiming_ir::tensor::Tensor;
use beiming_ir::types::{Dim, Symbols, TensorType};

use super::super::syntax::{Block, Function, Module, Operation, Value};
use super::cx::Cx;
use super::learn::Learned;
use super::ops;
use super::value::{Val, flatten};
use super::{Check, Settings};
use crate::import::error::{Clean, Code, ModelError, UnsupportedOp};
use crate::import::fail::{Fail, R, unsupported};
use crate::import::frame::{Frame, V, fresh_symbol};

/// Calls and regions inside each other.
const MAX_DEPTH: usize = 48;

/// Operations of functions and regions, counted as often as they are inlined.
const MAX_INLINED: usize = 2_000_000;

/// Diagnostics of one model; past this, more would only hide the first ones.
const MAX_DIAGNOSTICS: usize = 10_000;

/// What a value of the program stands for.
#[derive(Clone, Debug)]
enum Slot {
    /// Nothing yet.
    Undefined,
    /// It could not be translated.
    Poisoned,
    /// A value of the level with this serial number.
    Is(u32, Val),
}

/// The values of one function being inlined; regions number on from their surroundings.
struct Scope<'m> {
    function: &'m Function,
    slots: Vec<Slot>,
}

/// A graph under construction and what it takes from the one around it.
pub(super) struct Level {
    serial: u32,
    pub(super) frame: Frame,
    /// Values of the enclosing level that are inputs here, in order.
    pub(super) captures: Vec<V>,
    /// Values of the enclosing level and what they are here.
    brought: HashMap<V, V>,
    /// The token of the last effect, or of those around it; none before the first.
    pub(super) effect: Option<V>,
}

/// A finished region.
pub struct Region {
    /// Its graph: the given inputs, then the captures.
    pub frame: Frame,
    /// Values of the enclosing frame that it takes, in the order of its inputs.
    pub captures: Vec<V>,
    /// Types of its results.
    pub results: Vec<TensorType>,
}

/// The walk.
pub struct Walk<'m> {
    functions: HashMap<&'m str, &'m Function>,
    pub(super) levels: Vec<Level>,
    scopes: Vec<Scope<'m>>,
    depth: usize,
    inlined: usize,
    next_symbol: usize,
    next_serial: u32,
    /// What the caller wants besides the graph.
    pub settings: Settings,
    /// Arithmetic is done step by step as it is written: [`crate::import::ImportOptions::as_written`].
    pub as_written: bool,
    /// Comparisons of extents that the ranges do not decide, by result: what shape assertions are about.
    pub comparisons: BTreeMap<V, (beiming_ir::ops::BinaryOp, Dim, Dim)>,
    /// What was met about the symbols of the inputs and was not known; the translation starts again with it.
    pub learned: Learned,
    /// Inputs that may be read as extents.
    pub valuable: Vec<(ValueId, Arc<str>)>,
    /// Values sent to this participant itself and not yet received, by channel.
    pub posted: BTreeMap<i64, Vec<Val>>,
    /// Assertions of the program about its own results.
    pub checks: Vec<Check>,
    /// Constants that became inputs, in the order of those inputs.
    pub lifted: Vec<Tensor>,
    /// What is wrong so far.
    pub errors: Vec<ModelError>,
    /// What is not supported so far.
    pub unsupported: Vec<UnsupportedOp>,
}

impl<'m> Walk<'m> {
    /// A walk over `module` that has not begun.
    pub fn new(module: &'m Module, symbols: Symbols, settings: Settings) -> Walk<'m> {
        let functions = module.functions.iter().map(|f| (&*f.name, f)).collect();
        let mut walk = Walk {
            functions,
            levels: vec![],
            scopes: vec![],
            depth: 0,
            inlined: 0,
            next_symbol: 0,
            next_serial: 0,
            settings,
            as_written: false,
            comparisons: BTreeMap::new(),
            learned: Learned::default(),
            valuable: vec![],
            posted: BTreeMap::new(),
            checks: vec![],
            lifted: vec![],
            errors: vec![],
            unsupported: vec![],
        };
        walk.push_level(Frame::new(&module.name, symbols));
        walk
    }

    fn push_level(&mut self, mut frame: Frame) {
        frame.truths = true;
        self.next_serial += 1;
        self.levels.push(Level { serial: self.next_serial, frame, captures: vec![], brought: HashMap::new(), effect: None });
    }

    /// The graph, once everything is translated.
    pub fn finish(mut self) -> Graph {
        self.levels.swap_remove(0).frame.graph
    }

    /// The frame being filled.
    pub fn frame(&mut self) -> &mut Frame {
        let top = self.levels.len() - 1;
        &mut self.levels[top].frame
    }

    /// The frame being filled, to read.
    pub fn top(&self) -> &Frame {
        &self.levels[self.levels.len() - 1].frame
    }

    /// True outside of regions.
    pub fn outermost(&self) -> bool {
        self.levels.len() == 1
    }

    /// The function being translated.
    pub fn function(&self) -> Option<&'m Function> {
        self.scopes.last().map(|s| s.function)
    }

    /// A function of the module.
    pub fn find(&self, name: &str) -> Option<&'m Function> {
        self.functions.get(name).copied()
    }

    /// A symbol that nothing else uses, with a range; for extents that only the run knows.
    pub fn fresh_symbol(&mut self, stem: &str, lo: i64, hi: i64) -> Dim {
        let mut frames: Vec<&mut Frame> = self.levels.iter_mut().map(|l| &mut l.frame).collect();
        fresh_symbol(&mut frames, &mut self.next_symbol, stem, lo, hi)
    }

    // Diagnostics.

    /// Records an error.
    pub fn error(&mut self, code: Code, loc: &Loc, message: String) {
        if self.errors.len() < MAX_DIAGNOSTICS {
            self.errors.push(ModelError { code, loc: loc.clone(), message });
        }
    }

    /// Records why something was not translated.
    pub fn fail(&mut self, loc: &Loc, f: Fail) {
        match f {
            Fail::Unsupported(why) | Fail::Wants(why, _) if self.unsupported.len() < MAX_DIAGNOSTICS => {
                let (domain, op) = loc.op.split_once('.').unwrap_or(("", &loc.op));
                let (name, place) = (loc.name.to_string(), loc.place.to_string());
                self.unsupported.push(UnsupportedOp {
                    name,
                    op: op.into(),
                    domain: domain.into(),
                    opset: 0,
                    place,
                    why,
                    wants: vec![],
                });
            }
            Fail::Invalid(code, message) => self.error(code, loc, message),
            Fail::Unsupported(_) | Fail::Wants(..) | Fail::Poisoned => {}
        }
    }

    // Values.

    fn set(&mut self, v: Value, slot: Slot) -> R<()> {
        let place = self.scopes.last_mut().and_then(|s| s.slots.get_mut(v.index()));
        let Some(place) = place else {
            return Err(Fail::Invalid(Code::Undefined, format!("value {} is outside of its function", v.0)));
        };
        *place = slot;
        Ok(())
    }

    /// Defines a value as one of the frame being filled.
    pub fn define(&mut self, v: Value, val: Val) -> R<()> {
        let serial = self.levels[self.levels.len() - 1].serial;
        self.set(v, Slot::Is(serial, val))
    }

    /// What a value stands for here; one of an enclosing graph is brought in as a capture.
    pub fn value(&mut self, v: Value) -> R<Val> {
        let slot = self.scopes.last().and_then(|s| s.slots.get(v.index())).cloned();
        match slot {
            Some(Slot::Is(serial, val)) => match self.levels.iter().position(|l| l.serial == serial) {
                Some(home) => self.bring(home, val),
                None => Err(Fail::Invalid(Code::Undefined, "it uses a value of a region that it is not in".into())),
            },
            Some(Slot::Poisoned) => Err(Fail::Poisoned),
            Some(Slot::Undefined) | None => Err(Fail::Invalid(Code::Undefined, "it uses a value before its definition".into())),
        }
    }

    /// Brings a value of level `home` into the innermost one.
    fn bring(&mut self, home: usize, val: Val) -> R<Val> {
        let mut planes = flatten(std::slice::from_ref(&val));
        for at in home + 1..self.levels.len() {
            let (around, inside) = self.levels.split_at_mut(at);
            let (around, level) = (&around[at - 1], &mut inside[0]);
            for v in &mut planes {
                let outer = *v;
                *v = match level.brought.get(&outer) {
                    Some(v) => *v,
                    None => {
                        let inner = match level.frame.copy_known(&around.frame, outer) {
                            Some(v) => v,
                            None => {
                                level.captures.push(outer);
                                level.frame.input("", around.frame.ty(outer).clone())
                            }
                        };
                        level.brought.insert(outer, inner);
                        inner
                    }
                };
            }
        }
        val.rebuilt(&mut planes.into_iter()).ok_or(Fail::Poisoned)
    }

    /// A value of the enclosing frame inside the region being built.
    pub fn capture(&mut self, outer: V) -> R<V> {
        match self.captured(&Val::Plain(outer))? {
            Val::Plain(v) => Ok(v),
            _ => Err(Fail::Poisoned),
        }
    }

    /// A value of the enclosing frame inside the region being built.
    pub fn captured(&mut self, outer: &Val) -> R<Val> {
        self.bring(self.levels.len() - 2, outer.clone())
    }

    // The walk itself.

    /// Calls a function with arguments of the frame being filled: its body is inlined.
    pub fn call(&mut self, f: &'m Function, args: &[Val]) -> R<Vec<Val>> {
        if self.scopes.iter().any(|s| std::ptr::eq(s.function, f)) {
            return Err(Fail::Invalid(Code::Limit, format!("function @{} calls itself", Clean(&f.name))));
        }
        if f.body.ops.is_empty() {
            return Err(Fail::Unsupported(format!("function @{} has no body", Clean(&f.name))));
        }
        self.scopes.push(Scope { function: f, slots: vec![Slot::Undefined; f.values.len()] });
        let result = self.block(&f.body, args);
        self.scopes.pop();
        result
    }

    /// Inlines a block into the frame being filled and gives what it returns.
    pub fn block(&mut self, block: &'m Block, args: &[Val]) -> R<Vec<Val>> {
        if self.depth == MAX_DEPTH {
            return Err(Fail::Invalid(Code::Limit, format!("calls and regions are nested more than {MAX_DEPTH} deep")));
        }
        self.inlined = self.inlined.saturating_add(block.ops.len());
        if self.inlined > MAX_INLINED {
            return Err(Fail::Invalid(Code::Limit, format!("inlined functions and regions exceed {MAX_INLINED} operations")));
        }
        if block.args.len() != args.len() {
            let (want, got) = (block.args.len(), args.len());
            return Err(Fail::Invalid(Code::Arguments, format!("a function or region of {want} arguments gets {got}")));
        }
        for (v, val) in block.args.iter().zip(args) {
            self.define(*v, val.clone())?;
        }
        self.depth += 1;
        let result = self.operations(block);
        self.depth -= 1;
        result
    }

    fn operations(&mut self, block: &'m Block) -> R<Vec<Val>> {
        for (i, op) in block.ops.iter().enumerate() {
            if matches!(&*op.name, "stablehlo.return" | "func.return" | "return") {
                return op.operands.iter().map(|v| self.value(*v)).collect();
            }
            self.operation(i, op)?;
        }
        Err(Fail::Invalid(Code::Missing, "a function or region does not end in `return`".into()))
    }

    /// Where an operation stands.
    pub fn loc(&self, i: usize, op: &Operation) -> Loc {
        let function = self.function().map_or("", |f| &*f.name);
        let place = match op.loc.line {
            0 => format!("@{function}/{i}"),
            line => format!("{line}:{}", op.loc.column),
        };
        Loc::new(op.loc.name.clone(), op.name.clone(), place)
    }

    fn operation(&mut self, i: usize, op: &'m Operation) -> R<()> {
        let loc = self.loc(i, op);
        let slots: Vec<Slot> = match self.convert(op, &loc) {
            Ok(vals) if vals.len() == op.results.len() => {
                let serial = self.levels[self.levels.len() - 1].serial;
                vals.into_iter().map(|v| Slot::Is(serial, v)).collect()
            }
            Ok(vals) => {
                let message = format!("it has {} results, not {}", vals.len(), op.results.len());
                self.fail(&loc, Fail::Invalid(Code::Arguments, message));
                vec![Slot::Poisoned; op.results.len()]
            }
            Err(f) => {
                self.fail(&loc, f);
                vec![Slot::Poisoned; op.results.len()]
            }
        };
        op.results.iter().zip(slots).try_for_each(|(v, slot)| self.set(*v, slot))
    }

    fn convert(&mut self, op: &'m Operation, loc: &Loc) -> R<Vec<Val>> {
        // An unknown operation is reported even where its arguments could not be translated.
        ops::known(&op.name)?;
        ops::arity::check(&op.name, op.operands.len())?;
        let args = op.operands.iter().map(|v| self.value(*v)).collect::<R<Vec<_>>>()?;
        let function = self.function().ok_or(Fail::Poisoned)?;
        let mut cx = Cx { walk: self, op, function, args, loc: loc.clone() };
        let convert = ops::find(&cx)?;
        convert(&mut cx)
    }

    /// Builds a region: `body` gets its inputs, of the given types, emits into the new frame and gives the results.
    pub fn region(&mut self, label: &str, inputs: &[TensorType], body: impl FnOnce(&mut Self, &[V]) -> R<Vec<V>>) -> R<Region> {
        let symbols = self.top().graph.symbols.clone();
        let mut frame = Frame::new(label, symbols);
        let formals: Vec<V> = inputs.iter().map(|ty| frame.input("", ty.clone())).collect();
        self.push_level(frame);
        let result = body(self, &formals);
        let Some(level) = self.levels.pop() else { return Err(Fail::Poisoned) };
        let mut frame = level.frame;
        let outs = result?;
        if level.effect.is_some() {
            return unsupported("values that come from or go to others inside of a scalar function or a loop's condition");
        }
        let results = outs.iter().map(|v| frame.ty(*v).clone()).collect();
        for v in &outs {
            let id = frame.materialize(*v);
            frame.graph.add_output("", id);
        }
        Ok(Region { frame, captures: level.captures, results })
    }
}
