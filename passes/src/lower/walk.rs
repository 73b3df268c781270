//! The walk over a graph: slots for values, calls for nodes, kernels and weights shared where they are equal.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use beiming_ir::graph::{Def, Graph, Node, ValueId};
use beiming_ir::kernel::{Expr, Kernel};
use beiming_ir::ops::{Arg, Body, Op};
use beiming_ir::plan::{Launch, Panels, Plan, Port, Program, SlotId, Step, Weight};
use beiming_ir::target::npu::Npu;
use beiming_ir::target::{Family, Target};
use beiming_ir::types::{DType, Dim, Symbols, TensorType};

use super::body::BodyCx;
use super::builder::{Call, KernelBuilder, Operand};
use super::inline::Inliner;
use super::place::{self, Home, Storage};
use super::wanted::Wanted;
use super::{LowerError, LowerErrors, LowerOptions, LowerReport, OnHost, Untiled, families, state};

/// State of the walk over a model and its regions.
pub(super) struct Walk<'a> {
    pub target: &'a Target,
    pub symbols: &'a Symbols,
    in_order: bool,
    kernels: Vec<Kernel>,
    kernel_index: HashMap<u64, Vec<u32>>,
    weights: Vec<Weight>,
    weight_index: HashMap<WeightKey, u32>,
    /// Slots: type, and which storage they lie in (several views may share one).
    pub slots: Vec<(TensorType, usize)>,
    storages: Vec<Storage>,
    /// `(read, written)` storages of which the second may take the first one's memory.
    in_place: Vec<(usize, usize)>,
    pub errors: Vec<LowerError>,
    report: LowerReport,
    wanted: &'a Wanted,
}

/// Where a constant's bytes lie in this process, which is what makes two of them one.
type WeightKey = (usize, usize, DType, Option<Panels>);

/// Values of one graph.
pub(super) struct Scope<'g> {
    pub graph: &'g Graph,
    pub slots: Vec<Option<SlotId>>,
    /// Storage that a value is to be computed into.
    wanted: HashMap<ValueId, usize>,
    /// Next states of a loop, and the slot of the old one: computed over it where nothing reads the old one any more.
    pub states: HashMap<ValueId, SlotId>,
    /// Position of the node that is being lowered.
    pub at: usize,
}

/// Lowers a model.
pub(super) fn program(graph: &Graph, target: &Target, options: &LowerOptions) -> Result<(Program, LowerReport), LowerErrors> {
    let mut symbols = Symbols::default();
    super::control::collect_symbols(graph, &mut symbols);
    let wanted = Wanted::new(options.tiles.clone());
    let mut w = Walk {
        target,
        symbols: &symbols,
        in_order: options.in_order,
        kernels: vec![],
        kernel_index: HashMap::new(),
        weights: vec![],
        weight_index: HashMap::new(),
        slots: vec![],
        storages: vec![],
        in_place: vec![],
        errors: vec![],
        report: LowerReport::default(),
        wanted: &wanted,
    };
    let inputs: Vec<SlotId> =
        graph.inputs.iter().enumerate().map(|(i, v)| w.new_slot(graph.ty(*v).clone(), Home::Input(i as u32))).collect();
    let outputs: Vec<SlotId> =
        graph.outputs.iter().enumerate().map(|(i, v)| w.new_slot(graph.ty(*v).clone(), Home::Output(i as u32))).collect();
    let wants: Vec<Option<SlotId>> = outputs.iter().map(|s| Some(*s)).collect();
    let valued = graph.valued_symbols().into_iter();
    let mut steps: Vec<Step> = valued.map(|(symbol, i)| Step::ReadDim { symbol, from: inputs[i] }).collect();
    let (body, got) = w.region(graph, &inputs, &wants);
    steps.extend(body);
    for (src, dst) in got.iter().zip(&outputs) {
        w.copy(*src, *dst, &mut steps);
    }
    let names: Vec<&str> = w.kernels.iter().map(|k| k.name.as_str()).collect();
    let error = |(kernel, why)| LowerError {
        node: Default::default(),
        op: "tile".into(),
        target: target.name.clone(),
        why: format!("`{kernel}`: {why}"),
        wants: vec![],
    };
    w.errors.extend(wanted.missed(&names).into_iter().map(error));
    if !w.errors.is_empty() {
        return Err(LowerErrors(w.errors));
    }
    let slot_storage: Vec<usize> = w.slots.iter().map(|s| s.1).collect();
    let placed = place::place(&w.storages, &slot_storage, &steps, &w.in_place, &symbols, options.reuse).map_err(|whys| {
        let wants = inputs_that_tell(graph);
        let error = |why| LowerError {
            node: Default::default(),
            op: "plan".into(),
            target: target.name.clone(),
            why,
            wants: wants.clone(),
        };
        LowerErrors(whys.into_iter().map(error).collect())
    })?;
    let port = |name: &Arc<str>, slot: &SlotId| Port { name: name.clone(), slot: *slot };
    let plan = Plan {
        inputs: graph.inputs.iter().zip(&inputs).map(|(v, s)| port(&graph.value(*v).name, s)).collect(),
        outputs: graph.output_names.iter().zip(&outputs).map(|(n, s)| port(n, s)).collect(),
        slots: w.slots.iter().map(|(ty, s)| beiming_ir::plan::Slot { ty: ty.clone(), place: placed.places[*s] }).collect(),
        arena: placed.arena,
        arena_without_reuse: placed.without_reuse,
        subnormals: Default::default(),
        steps,
        symbols: symbols.clone(),
    };
    Ok((Program { target: target.clone(), kernels: w.kernels, weights: w.weights, plan }, w.report))
}

/// Names of the inputs from whose values extents without a largest value are read.
fn inputs_that_tell(graph: &Graph) -> Vec<String> {
    let open = |n: &Node| match &n.op {
        Op::ReadDims(p) => p.bound().iter().any(|s| graph.symbols.range(s).hi > place::UNBOUNDED),
        _ => false,
    };
    let mut todo: Vec<ValueId> = graph.nodes().iter().filter(|n| open(n)).flat_map(|n| n.inputs.iter().copied()).collect();
    let mut behind = std::collections::BTreeSet::new();
    while let Some(v) = todo.pop() {
        if behind.insert(v)
            && let Some(n) = graph.def(v)
        {
            todo.extend(&n.inputs);
        }
    }
    graph.inputs.iter().filter(|v| behind.contains(v)).map(|v| graph.value(*v).name.to_string()).collect()
}

impl<'a> Walk<'a> {
    /// Types of the program's inputs, and of views of them.
    pub(super) fn input_types(&self) -> impl Iterator<Item = &TensorType> {
        self.slots.iter().filter(|(_, at)| matches!(self.storages[*at].home, Home::Input(_))).map(|(ty, _)| ty)
    }

    /// A slot in a storage of its own.
    fn new_slot(&mut self, ty: TensorType, home: Home) -> SlotId {
        self.storages.push(Storage { home, bytes: ty.bytes() });
        self.view(ty, self.storages.len() - 1)
    }

    /// A slot in the arena.
    pub fn fresh(&mut self, ty: TensorType) -> SlotId {
        self.new_slot(ty, Home::Arena)
    }

    /// A slot over an existing storage.
    fn view(&mut self, ty: TensorType, storage: usize) -> SlotId {
        self.slots.push((ty, storage));
        SlotId(self.slots.len() as u32 - 1)
    }

    /// Storage of a slot.
    pub fn storage(&self, s: SlotId) -> usize {
        self.slots[s.index()].1
    }

    /// Copies unless both are the same memory.
    pub fn copy(&mut self, src: SlotId, dst: SlotId, steps: &mut Vec<Step>) {
        if self.storage(src) != self.storage(dst) {
            steps.push(Step::Copy { src, dst });
        }
    }

    pub fn fail(&mut self, node: &Node, why: String) {
        let error =
            LowerError { node: node.loc.clone(), op: node.op.name(), target: self.target.name.clone(), why, wants: vec![] };
        self.errors.push(error);
    }

    /// Lowers a graph whose inputs lie in `inputs`. Results are computed into the wanted slots where that can be; the slots they
    /// really lie in are returned with the steps.
    pub fn region(&mut self, graph: &Graph, inputs: &[SlotId], wants: &[Option<SlotId>]) -> (Vec<Step>, Vec<SlotId>) {
        self.region_with(graph, inputs, wants, HashMap::new())
    }

    /// As `region`, with the next states of a loop and the slots of the old ones.
    pub fn region_with(
        &mut self,
        graph: &Graph,
        inputs: &[SlotId],
        wants: &[Option<SlotId>],
        states: HashMap<ValueId, SlotId>,
    ) -> (Vec<Step>, Vec<SlotId>) {
        let slots = vec![None; graph.values().len()];
        let mut scope = Scope { graph, slots, wanted: HashMap::new(), states, at: 0 };
        for (v, s) in graph.inputs.iter().zip(inputs) {
            scope.slots[v.index()] = Some(*s);
        }
        for (v, want) in graph.outputs.iter().zip(wants) {
            let Some(want) = want else { continue };
            // Through relabelings to the node that computes the value.
            let mut at = *v;
            while let Def::Node(n, 0) = graph.value(at).def
                && let Op::Reshape { .. } = graph.node(n).op
            {
                at = graph.node(n).inputs[0];
            }
            let computed = graph.def(at).is_some_and(|n| !matches!(n.op, Op::Constant(_)));
            if computed && !scope.wanted.contains_key(&at) {
                scope.wanted.insert(at, self.storage(*want));
            }
        }
        let mut steps = vec![];
        for (at, node) in graph.nodes().iter().enumerate() {
            scope.at = at;
            self.node(&mut scope, node, &mut steps);
        }
        let outputs = graph.outputs.iter().map(|v| self.value(&mut scope, *v)).collect();
        (steps, outputs)
    }

    /// The slot a value lies in; constants get theirs when first asked for.
    pub fn value(&mut self, scope: &mut Scope, v: ValueId) -> SlotId {
        if let Some(s) = scope.slots[v.index()] {
            return s;
        }
        let slot = match scope.graph.const_of(v) {
            Some(t) => self.weight(Weight { source: t.clone(), panels: None }),
            // Only after an error: the node that should define it could not be lowered.
            None => self.fresh(scope.graph.ty(v).clone()),
        };
        scope.slots[v.index()] = Some(slot);
        slot
    }

    /// The slot for a node's result: the wanted one, or one in the arena.
    pub fn result(&mut self, scope: &mut Scope, v: ValueId) -> SlotId {
        let ty = scope.graph.ty(v).clone();
        let slot = match scope.wanted.get(&v) {
            Some(&storage) => self.view(ty, storage),
            None => self.fresh(ty),
        };
        scope.slots[v.index()] = Some(slot);
        slot
    }

    fn weight(&mut self, w: Weight) -> SlotId {
        let ty = w.ty();
        let bytes = w.source.bytes();
        let key = (bytes.as_ptr() as usize, bytes.len(), w.source.dtype, w.panels);
        // Small tables are often equal without being the same memory.
        let same = |o: &Weight| {
            o.panels == w.panels
                && o.source.dtype == w.source.dtype
                && o.source.bytes().len() == bytes.len()
                && o.source.bytes() == bytes
        };
        let index = match self.weight_index.get(&key) {
            Some(i) => *i,
            None => match self.weights.iter().position(|o| bytes.len() <= 4096 && same(o)) {
                Some(i) => i as u32,
                None => {
                    // The program keeps these bytes, so the address stays theirs.
                    self.weights.push(w.clone());
                    self.weight_index.insert(key, self.weights.len() as u32 - 1);
                    self.weights.len() as u32 - 1
                }
            },
        };
        self.new_slot(ty, Home::Weight(index))
    }

    fn node(&mut self, scope: &mut Scope, node: &Node, steps: &mut Vec<Step>) {
        match &node.op {
            Op::Constant(_) => {}
            Op::If(_) | Op::Loop(_) | Op::TopK(_) | Op::Nms(_) | Op::NonZero { .. } | Op::ReadDims(_) => {
                self.control(scope, node, steps)
            }
            Op::Collective(p) => self.refuse(scope, node, p.refusal()),
            Op::Channel(p) => self.refuse(scope, node, p.refusal()),
            _ => self.body(scope, node, steps),
        }
    }

    /// Records why a node does not run; its results get slots, so that what comes after it is looked at too.
    fn refuse(&mut self, scope: &mut Scope, node: &Node, why: String) {
        self.fail(node, why);
        for v in &node.outputs {
            self.result(scope, *v);
        }
    }

    fn body(&mut self, scope: &mut Scope, node: &Node, steps: &mut Vec<Step>) {
        // Nothing computes results without elements.
        if node.outputs.iter().all(|v| scope.graph.ty(*v).numel().is(0)) {
            for v in &node.outputs {
                self.result(scope, *v);
            }
            return;
        }
        let npu = match self.target.family {
            Family::Ascend => Npu::by_name(&self.target.name),
            Family::Cpu => None,
        };
        let made = BodyCx::new(self.target, self.symbols, scope.graph, node).and_then(|mut cx| {
            cx.wanted = Some(self.wanted);
            cx.in_order = self.in_order;
            if let Some(n) = relabels(&cx) {
                return Ok((cx, Some(n)));
            }
            if let Some(npu) = &npu {
                // What the NPU takes is lowered for it whole; nothing is left of an attempt that was given up.
                let mut tried = cx.clone();
                match crate::npu::lower::lower(&mut tried, npu) {
                    Ok(()) => return Ok((tried, None)),
                    Err(why) => self.report.on_host.push(OnHost { node: node.loc.clone(), ops: cx.op_names(), why }),
                }
            }
            families::lower(&mut cx)?;
            Ok((cx, None))
        });
        match made {
            Err(why) => self.fail(node, why),
            Ok((cx, Some(n))) => {
                let from = self.value(scope, node.inputs[n as usize]);
                let ty = cx.out().clone();
                let v = node.outputs[0];
                let storage = self.storage(from);
                scope.slots[v.index()] = Some(self.view(ty, storage));
            }
            Ok((cx, None)) => {
                let untiled = |(anchor, why): &(usize, String)| {
                    let op = cx.body.nodes[*anchor].op.name();
                    Untiled { node: node.loc.clone(), op, why: why.clone() }
                };
                self.report.untiled.extend(cx.untiled.iter().map(untiled));
                self.calls(scope, node, cx, steps)
            }
        }
    }

    fn calls(&mut self, scope: &mut Scope, node: &Node, cx: BodyCx, steps: &mut Vec<Step>) {
        let mut results: Vec<SlotId> = vec![];
        for (k, v) in node.outputs.iter().enumerate() {
            let state = scope.states.get(v).copied().filter(|s| self.over_state(scope, node, &cx.calls, k as u32, *s));
            if state.is_some() {
                scope.slots[v.index()] = state;
            }
            results.push(state.unwrap_or_else(|| self.result(scope, *v)));
        }
        let temps: Vec<SlotId> = cx.temps.iter().map(|t| self.fresh(t.clone())).collect();
        for call in cx.calls {
            let args: Vec<SlotId> = call
                .args
                .iter()
                .map(|a| match a {
                    Operand::Input(n) => self.value(scope, node.inputs[*n as usize]),
                    Operand::Output(n) => results[*n as usize],
                    Operand::Temp(n) => temps[*n as usize],
                    Operand::Weight(n) => self.weight(call.weights[*n as usize].clone()),
                })
                .collect();
            if state::copies_to_itself(&call.kernel, &args) {
                continue;
            }
            for &(read, written) in &call.in_place {
                let r = self.storage(args[read]);
                // Every argument that lies in the memory read must be one that may be overwritten.
                let safe = (0..args.len()).all(|i| self.storage(args[i]) != r || call.in_place.contains(&(i, written)));
                if safe {
                    self.in_place.push((r, self.storage(args[written])));
                }
            }
            let launch = self.launch(call, args, node, &cx.body);
            steps.push(Step::Launch(launch));
        }
    }

    fn launch(&mut self, call: Call, args: Vec<SlotId>, node: &Node, body: &Body) -> Launch {
        let mut seen = vec![];
        let mut bytes = Dim::Known(0);
        for a in &args {
            if !seen.contains(&self.storage(*a)) {
                seen.push(self.storage(*a));
                bytes = bytes + self.slots[a.index()].0.bytes();
            }
        }
        let kernel = self.kernel(call.kernel);
        let (name, origin) = (node.loc.label().clone(), call.origins.of_node(body, node));
        Launch { kernel, args, dims: call.dims, grid: call.grid, name, flops: call.flops, bytes, origin }
    }

    /// The index of a kernel, shared with one that does the same under another name.
    fn kernel(&mut self, mut k: Kernel) -> u32 {
        let mut h = DefaultHasher::new();
        (k.params.len(), k.exprs.len(), k.vars, k.body.len(), &k.grid).hash(&mut h);
        let candidates = self.kernel_index.entry(h.finish()).or_default();
        let same = |o: &Kernel| {
            o.params == k.params
                && o.locals == k.locals
                && o.grid == k.grid
                && o.exprs == k.exprs
                && o.body == k.body
                && o.npu == k.npu
        };
        if let Some(&i) = candidates.iter().find(|&&i| same(&self.kernels[i as usize])) {
            return i;
        }
        // Another kernel of this name: number them.
        let taken = |name: &str| self.kernels.iter().any(|o| o.name == name);
        if taken(&k.name) {
            let free = (2..).map(|n| format!("{}_{n}", k.name)).find(|n| !taken(n));
            k.name = free.unwrap_or_default();
        }
        candidates.push(self.kernels.len() as u32);
        self.kernels.push(k);
        self.kernels.len() as u32 - 1
    }
}

/// The input whose elements the result has in the same order, where the body does nothing else.
fn relabels(cx: &BodyCx) -> Option<u32> {
    let views = |op: &Op| {
        matches!(
            op,
            Op::Reshape { .. } | Op::Transpose { .. } | Op::Broadcast { .. } | Op::Slice(_) | Op::Concat { .. } | Op::Cast { .. }
        ) || matches!(op, Op::Pad { .. } | Op::Reverse { .. } | Op::Bitcast { .. })
    };
    if !cx.body.nodes.iter().all(|n| views(&n.op)) || cx.outputs.len() != 1 {
        return None;
    }
    let mut kb = KernelBuilder::new(cx.symbols, &cx.out().shape);
    let index = kb.grid.clone();
    let v = Inliner::new(cx).value(&mut kb, cx.result(), &index).ok()?;
    let Expr::Load(el, _) = kb.expr(v).clone() else { return None };
    let straight = kb.linear(&index, &cx.out().shape);
    let Some(Operand::Input(n)) = kb.operand(el.buffer.0) else { return None };
    let from = cx.ty(Arg::Input(n));
    let whole = from.numel() == cx.out().numel() && from.dtype == cx.out().dtype;
    (el.guard.is_none() && el.index == [straight] && whole).then_some(n)
}
