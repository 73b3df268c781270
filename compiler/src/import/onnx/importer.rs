//! The walk over a model: names, scopes, functions, nodes. What each operator means is in `ops`.

use std::collections::HashMap;

use beiming_ir::graph::{Graph, Loc};
use beiming_ir::types::{Dim, Symbols, TensorType};

use super::super::error::{Clean, Code, ModelError, UnsupportedOp};
use super::super::fail::Fail;
use super::super::frame::{Frame, V, fresh_symbol};
use super::external::Folder;
use super::node::Cx;
use super::ops;
use super::proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto};
use super::sort;
use super::tensor::{self, TensorError};

/// Graphs and functions inside each other.
const MAX_DEPTH: usize = 48;

/// Nodes of functions and branches, counted as often as they are inlined.
const MAX_INLINED: usize = 500_000;

/// Diagnostics of one model; past this, more would only hide the first ones.
const MAX_DIAGNOSTICS: usize = 10_000;

impl From<TensorError> for Fail {
    fn from(e: TensorError) -> Fail {
        match e {
            TensorError::Invalid(e) => e.into(),
            TensorError::Unsupported(why) => Fail::Unsupported(why),
        }
    }
}

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub enum Slot {
    /// A value.
    Value(V),
    /// An optional argument that was not given.
    Absent,
    /// A value that could not be imported.
    Poisoned,
}

/// Names of a graph, a branch or a function.
struct Scope<'m> {
    names: HashMap<&'m str, Slot>,
    /// A function does not see the names around its call.
    isolated: bool,
}

/// A graph under construction and what it takes from the one around it.
struct Level<'m> {
    frame: Frame,
    scopes: Vec<Scope<'m>>,
    /// Values of the enclosing level that are inputs here, in order.
    captures: Vec<V>,
    /// Values of the enclosing level and what they are here.
    brought: HashMap<V, V>,
}

/// What a function body sees besides its inputs.
pub struct Env<'m> {
    opsets: HashMap<&'m str, i64>,
    attributes: HashMap<&'m str, &'m AttributeProto>,
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
pub struct Importer<'m> {
    functions: HashMap<(&'m str, &'m str, &'m str), &'m FunctionProto>,
    folder: Folder,
    levels: Vec<Level<'m>>,
    envs: Vec<Env<'m>>,
    active: Vec<*const FunctionProto>,
    depth: usize,
    inlined: usize,
    place: String,
    next_symbol: usize,
    /// What is wrong so far.
    pub errors: Vec<ModelError>,
    /// What is not supported so far.
    pub unsupported: Vec<UnsupportedOp>,
}

/// Operator-set versions by domain; `ai.onnx` is the empty domain.
pub fn opsets(imports: &[super::proto::OperatorSetIdProto]) -> HashMap<&str, i64> {
    imports.iter().map(|o| (if o.domain() == "ai.onnx" { "" } else { o.domain() }, o.version())).collect()
}

impl<'m> Importer<'m> {
    /// A walk over `model` that has not begun.
    pub fn new(model: &'m ModelProto, folder: Folder, symbols: Symbols) -> Importer<'m> {
        let functions = model.functions.iter().map(|f| ((f.domain(), f.name(), f.overload()), f)).collect();
        let name = model.graph.as_ref().map_or("", |g| g.name());
        let scope = Scope { names: HashMap::new(), isolated: true };
        let level = Level { frame: Frame::new(name, symbols), scopes: vec![scope], captures: vec![], brought: HashMap::new() };
        Importer {
            functions,
            folder,
            levels: vec![level],
            envs: vec![Env { opsets: opsets(&model.opset_import), attributes: HashMap::new() }],
            active: vec![],
            depth: 0,
            inlined: 0,
            place: "graph".into(),
            next_symbol: 0,
            errors: vec![],
            unsupported: vec![],
        }
    }

    /// The graph, once everything is imported.
    pub fn finish(mut self) -> Graph {
        let level = self.levels.swap_remove(0);
        level.frame.graph
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

    /// A symbol that nothing else uses, with a range; for extents that only the run knows.
    pub fn fresh_symbol(&mut self, stem: &str, lo: i64, hi: i64) -> Dim {
        let mut frames: Vec<&mut Frame> = self.levels.iter_mut().map(|l| &mut l.frame).collect();
        fresh_symbol(&mut frames, &mut self.next_symbol, stem, lo, hi)
    }

    /// Reads a tensor.
    pub fn tensor(&mut self, t: &super::proto::TensorProto) -> Result<beiming_ir::tensor::Tensor, Fail> {
        Ok(tensor::read(t, &mut self.folder)?)
    }

    /// Reads a sparse tensor as a dense one.
    pub fn sparse(&mut self, t: &super::proto::SparseTensorProto) -> Result<beiming_ir::tensor::Tensor, Fail> {
        Ok(tensor::read_sparse(t, &mut self.folder)?)
    }

    /// The value of an attribute that refers to one of the enclosing function's.
    pub fn outer_attribute(&self, name: &str) -> Option<&'m AttributeProto> {
        self.envs.last()?.attributes.get(name).copied()
    }

    /// Version of a domain where the walk is.
    pub fn opset(&self, domain: &str) -> Option<i64> {
        self.envs.last()?.opsets.get(domain).copied()
    }

    /// Defines a name in the innermost scope.
    pub fn define(&mut self, name: &'m str, slot: Slot, loc: &Loc) {
        if name.is_empty() {
            return;
        }
        let top = self.levels.len() - 1;
        let level = &mut self.levels[top];
        if let Slot::Value(v) = slot {
            level.frame.name(v, name);
        }
        let last = level.scopes.len() - 1;
        if level.scopes[last].names.insert(name, slot).is_some() {
            let message = format!("the name `{}` is defined twice", Clean(name));
            self.error(Code::Duplicate, loc, message);
        }
    }

    /// What a name stands for here; a value of an enclosing graph is brought in as a capture.
    pub fn lookup(&mut self, name: &str) -> Option<Slot> {
        self.lookup_at(self.levels.len() - 1, name)
    }

    fn lookup_at(&mut self, at: usize, name: &str) -> Option<Slot> {
        for s in self.levels[at].scopes.iter().rev() {
            if let Some(slot) = s.names.get(name) {
                return Some(*slot);
            }
            if s.isolated {
                return None;
            }
        }
        let outer = match self.lookup_at(at.checked_sub(1)?, name)? {
            Slot::Value(v) => v,
            other => return Some(other),
        };
        Some(Slot::Value(self.bring(at, outer, name)))
    }

    /// The value in level `at` of a value of the level around it; `at` is not the outermost.
    fn bring(&mut self, at: usize, outer: V, name: &str) -> V {
        let (around, inside) = self.levels.split_at_mut(at);
        let (around, level) = (&around[at - 1], &mut inside[0]);
        if let Some(v) = level.brought.get(&outer) {
            return *v;
        }
        let v = match level.frame.copy_known(&around.frame, outer) {
            Some(v) => v,
            None => {
                level.captures.push(outer);
                level.frame.input(name, around.frame.ty(outer).clone())
            }
        };
        level.brought.insert(outer, v);
        v
    }

    /// Records an error.
    pub fn error(&mut self, code: Code, loc: &Loc, message: String) {
        if self.errors.len() < MAX_DIAGNOSTICS {
            self.errors.push(ModelError { code, loc: loc.clone(), message });
        }
    }

    fn unsupported(&mut self, loc: &Loc, domain: &str, why: String, wants: Vec<String>) {
        if self.unsupported.len() < MAX_DIAGNOSTICS {
            let opset = self.opset(domain).unwrap_or(0);
            let (name, op, place) = (loc.name.to_string(), loc.op.to_string(), loc.place.to_string());
            self.unsupported.push(UnsupportedOp { name, op, domain: domain.to_string(), opset, place, why, wants });
        }
    }

    fn fail(&mut self, loc: &Loc, domain: &str, f: Fail) {
        match f {
            Fail::Unsupported(why) => {
                // What is not known may be an extent that the run reads off an input.
                let open = why.contains("not known");
                let wants = self.levels.first().filter(|_| open).map_or(vec![], |l| l.frame.inputs_read());
                self.unsupported(loc, domain, why, wants);
            }
            Fail::Wants(why, v) => {
                let wants = self.levels.last().map_or(vec![], |l| l.frame.inputs_behind(v));
                self.unsupported(loc, domain, why, wants);
            }
            Fail::Invalid(code, message) => self.error(code, loc, message),
            Fail::Poisoned => {}
        }
    }

    /// Records what is wrong with an item that is not a node.
    pub fn fail_item(&mut self, what: &str, name: &str, f: Fail) {
        let loc = Loc::new(name, what, self.place.as_str());
        self.fail(&loc, "", f);
    }

    /// Defines the initializers of a graph. Those named in `skip` are defined already.
    pub fn initializers(&mut self, g: &'m GraphProto) {
        let loc = Loc { place: self.place.as_str().into(), ..Loc::default() };
        let dense = g.initializer.iter().map(|t| (t.name(), Ok(t)));
        let sparse = g.sparse_initializer.iter().map(|s| (s.values.as_ref().map_or("", |v| v.name()), Err(s)));
        for (name, t) in dense.chain(sparse) {
            let t = match t {
                Ok(t) => self.tensor(t),
                Err(s) => self.sparse(s),
            };
            let slot = match t {
                Ok(t) => {
                    let loc = Loc::new(name, "", loc.place.clone());
                    Slot::Value(self.frame().constant(t, &loc))
                }
                Err(f) => {
                    self.fail_item("initializer", name, f);
                    Slot::Poisoned
                }
            };
            self.define(name, slot, &loc);
        }
    }

    /// Imports nodes into the innermost scope.
    pub fn nodes(&mut self, nodes: &'m [NodeProto]) -> Result<(), Fail> {
        if self.depth == MAX_DEPTH {
            return Err(Fail::Invalid(Code::Limit, format!("graphs and functions are nested more than {MAX_DEPTH} deep")));
        }
        if self.depth > 0 {
            self.inlined = self.inlined.saturating_add(nodes.len());
            if self.inlined > MAX_INLINED {
                return Err(Fail::Invalid(Code::Limit, format!("inlined functions and branches exceed {MAX_INLINED} nodes")));
            }
        }
        self.depth += 1;
        match sort::order(nodes) {
            Ok(order) => {
                for i in order {
                    self.node(i, &nodes[i]);
                }
            }
            Err(stuck) => {
                let loc = self.loc(stuck[0], &nodes[stuck[0]]);
                let message =
                    format!("{} node(s) depend on each other in a cycle, this one among them or behind it", stuck.len());
                self.error(Code::Cycle, &loc, message);
                for n in nodes {
                    self.poison(n, &loc);
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn loc(&self, i: usize, n: &NodeProto) -> Loc {
        Loc::new(n.name(), n.op_type(), format!("{}/node {i}", self.place))
    }

    fn poison(&mut self, n: &'m NodeProto, loc: &Loc) {
        for o in &n.output {
            self.define(o, Slot::Poisoned, loc);
        }
    }

    fn node(&mut self, i: usize, n: &'m NodeProto) {
        let loc = self.loc(i, n);
        let domain = if n.domain() == "ai.onnx" { "" } else { n.domain() };
        let outer = self.place.len();
        self.place.push_str(&format!("/node {i}"));
        let result = self.convert(n, domain, &loc);
        self.place.truncate(outer);
        match result {
            Ok(outs) => {
                for (k, name) in n.output.iter().enumerate() {
                    match outs.get(k) {
                        Some(v) => self.define(name, Slot::Value(*v), &loc),
                        None if name.is_empty() => {}
                        None => {
                            self.unsupported(&loc, domain, format!("its output {k}, `{}`, is not computed", Clean(name)), vec![]);
                            self.define(name, Slot::Poisoned, &loc);
                        }
                    }
                }
            }
            Err(f) => {
                self.fail(&loc, domain, f);
                self.poison(n, &loc);
            }
        }
    }

    fn convert(&mut self, n: &'m NodeProto, domain: &'m str, loc: &Loc) -> Result<Vec<V>, Fail> {
        let function = self.functions.get(&(n.domain(), n.op_type(), n.overload())).copied();
        // An unknown operator is reported even where its arguments could not be imported.
        let known = match function {
            Some(_) => None,
            None => Some(self.operator(n, domain)?),
        };
        let mut ins = Vec::with_capacity(n.input.len());
        let mut poisoned = false;
        for name in &n.input {
            ins.push(match self.input_slot(name)? {
                Slot::Value(v) => Some(v),
                Slot::Absent => None,
                Slot::Poisoned => {
                    poisoned = true;
                    None
                }
            });
        }
        if poisoned {
            return Err(Fail::Poisoned);
        }
        while ins.last().is_some_and(Option::is_none) {
            ins.pop();
        }
        match (function, known) {
            (Some(f), _) => self.call(f, n, &ins),
            (None, Some((row, since))) => {
                let mut cx = Cx { im: self, node: n, since, ins, loc: loc.clone() };
                cx.check_inputs(row)?;
                (row.convert)(&mut cx)
            }
            (None, None) => Err(Fail::Poisoned),
        }
    }

    fn input_slot(&mut self, name: &str) -> Result<Slot, Fail> {
        if name.is_empty() {
            return Ok(Slot::Absent);
        }
        self.lookup(name).ok_or_else(|| Fail::Invalid(Code::Undefined, format!("nothing defines its input `{}`", Clean(name))))
    }

    /// The table row of an operator and the version of it that the model's operator set means.
    fn operator(&self, n: &NodeProto, domain: &str) -> Result<(&'static ops::Row, i64), Fail> {
        let op = Clean(n.op_type());
        let Some(opset) = self.opset(domain) else {
            let message = format!("the model imports no operator set of domain `{}`", Clean(domain));
            return Err(if domain.is_empty() { Fail::Invalid(Code::Opset, message) } else { Fail::Unsupported(message) });
        };
        let Some(row) = ops::find(domain, n.op_type()) else {
            return Err(Fail::Unsupported("the operator is not supported".into()));
        };
        match row.since.iter().rev().find(|s| **s <= opset) {
            Some(since) => Ok((row, *since)),
            None => Err(Fail::Invalid(Code::Opset, format!("{op} came with opset {}, the model has {opset}", row.since[0]))),
        }
    }

    /// Inlines a call of one of the model's functions.
    fn call(&mut self, f: &'m FunctionProto, n: &'m NodeProto, ins: &[Option<V>]) -> Result<Vec<V>, Fail> {
        if self.active.contains(&std::ptr::from_ref(f)) {
            return Err(Fail::Invalid(Code::Limit, format!("function `{}` calls itself", Clean(f.name()))));
        }
        if ins.len() > f.input.len() || n.output.len() > f.output.len() {
            let (i, o) = (f.input.len(), f.output.len());
            return Err(Fail::Invalid(Code::Missing, format!("function `{}` takes {i} inputs and gives {o}", Clean(f.name()))));
        }
        let mut attributes: HashMap<&'m str, &'m AttributeProto> = f.attribute_proto.iter().map(|a| (a.name(), a)).collect();
        for a in &n.attribute {
            let value = if a.ref_attr_name().is_empty() { Some(a) } else { self.outer_attribute(a.ref_attr_name()) };
            if let Some(value) = value {
                attributes.insert(a.name(), value);
            }
        }
        let mut env = Env { opsets: opsets(&f.opset_import), attributes };
        if env.opsets.is_empty()
            && let Some(outer) = self.envs.last()
        {
            env.opsets = outer.opsets.clone();
        }
        self.envs.push(env);
        self.active.push(f);
        let inputs = f
            .input
            .iter()
            .enumerate()
            .map(|(i, name)| (name.as_str(), ins.get(i).copied().flatten().map_or(Slot::Absent, Slot::Value)));
        let outputs = f.output.iter().map(String::as_str).take(n.output.len()).collect::<Vec<_>>();
        let outer = self.place.len();
        self.place.push_str(&format!("/function {}", Clean(f.name())));
        let result = self.scoped(inputs.collect(), true, None, &f.node, &outputs);
        self.place.truncate(outer);
        self.active.pop();
        self.envs.pop();
        result
    }

    /// Imports nodes in a new scope of the current frame and gives the values of `outputs`.
    fn scoped(
        &mut self,
        inputs: Vec<(&'m str, Slot)>,
        isolated: bool,
        constants: Option<&'m GraphProto>,
        nodes: &'m [NodeProto],
        outputs: &[&'m str],
    ) -> Result<Vec<V>, Fail> {
        let top = self.levels.len() - 1;
        self.levels[top].scopes.push(Scope { names: HashMap::new(), isolated });
        for (name, slot) in inputs {
            self.define(name, slot, &Loc::default());
        }
        if let Some(g) = constants {
            self.initializers(g);
        }
        let result = self.nodes(nodes).and_then(|()| {
            outputs
                .iter()
                .map(|name| match self.lookup(name) {
                    Some(Slot::Value(v)) => Ok(v),
                    Some(Slot::Poisoned) => Err(Fail::Poisoned),
                    Some(Slot::Absent) => Err(Fail::Invalid(Code::Missing, "an absent value cannot be an output".into())),
                    None => Err(Fail::Invalid(Code::Undefined, format!("nothing defines the output `{}`", Clean(name)))),
                })
                .collect()
        });
        self.levels[top].scopes.pop();
        result
    }

    /// Imports a subgraph into the current frame: the taken branch of an `If` whose condition is known, an unrolled body.
    pub fn inline(&mut self, label: &str, g: &'m GraphProto, inputs: &[V]) -> Result<Vec<V>, Fail> {
        let named = g.input.iter().zip(inputs).map(|(i, v)| (i.name(), Slot::Value(*v))).collect();
        let outputs: Vec<&str> = g.output.iter().map(|o| o.name()).collect();
        let outer = self.place.len();
        self.place.push_str(&format!("/{label}"));
        let result = self.scoped(named, false, Some(g), &g.node, &outputs);
        self.place.truncate(outer);
        result
    }

    /// Builds a region: `body` gets its inputs, of the given types, emits into the new frame and gives the results.
    pub fn region(
        &mut self,
        label: &str,
        inputs: &[(&str, TensorType)],
        body: impl FnOnce(&mut Self, &[V]) -> Result<Vec<V>, Fail>,
    ) -> Result<Region, Fail> {
        let symbols = self.top().graph.symbols.clone();
        let mut frame = Frame::new(&format!("{}/{label}", self.place), symbols);
        let formals: Vec<V> = inputs.iter().map(|(name, ty)| frame.input(name, ty.clone())).collect();
        let scope = Scope { names: HashMap::new(), isolated: false };
        self.levels.push(Level { frame, scopes: vec![scope], captures: vec![], brought: HashMap::new() });
        let result = body(self, &formals);
        let Some(level) = self.levels.pop() else { return Err(Fail::Poisoned) };
        let mut frame = level.frame;
        let outs = result?;
        let results = outs.iter().map(|v| frame.ty(*v).clone()).collect();
        for v in &outs {
            let id = frame.materialize(*v);
            let name = frame.graph.value(id).name.clone();
            frame.graph.add_output(&name, id);
        }
        Ok(Region { frame, captures: level.captures, results })
    }

    /// A value of the enclosing frame inside the region being built.
    pub fn capture(&mut self, outer: V) -> V {
        self.bring(self.levels.len() - 1, outer, "")
    }
}
