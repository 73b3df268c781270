//! What the compiler decided and why, as data: written into the artifact, printed by `beiming explain`. No times and no
//! addresses, so that it is the same every time.

pub mod npu;

use std::collections::BTreeMap;

use beiming_ir::graph::{Graph, Node};
use beiming_ir::ops::{Arg, Body, Op};
use beiming_ir::plan::{Program, Step};
use beiming_ir::target::Target;
use beiming_ir::types::TensorType;
use beiming_passes::Report;
use beiming_passes::cost::CostModel;
use beiming_passes::lower::LowerReport;
use serde::{Deserialize, Serialize};

/// The decisions for one model.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Explanation {
    /// Target the decisions are for.
    pub target: String,
    /// What the optimiser did.
    pub optimizer: Optimizer,
    /// What runs, in order; the bodies of control flow after their node.
    pub groups: Vec<Group>,
    /// Contractions that run as plain loops.
    pub untiled: Vec<Untiled>,
    /// On an NPU: what runs on the CPU nevertheless.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_host: Vec<OnHost>,
    /// On an NPU: its kernels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub npu: Vec<npu::NpuKernel>,
    /// Memory for intermediate values.
    pub arena: Arena,
}

/// A group that runs on the CPU although the target is an NPU.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct OnHost {
    /// Names of the model's nodes.
    pub nodes: String,
    /// Its ops.
    pub ops: Vec<String>,
    /// What the chip, or the lowering for it, lacks.
    pub why: String,
}

/// What the optimiser did.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Optimizer {
    /// Nodes as imported.
    pub nodes_before: usize,
    /// Nodes after rewriting and fusion.
    pub nodes_after: usize,
    /// Saturations in the order they ran.
    pub saturations: Vec<Saturation>,
    /// Edges between two kernels, and why they were not fused.
    pub unfused: Vec<Unfused>,
}

/// One saturation.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Saturation {
    /// Graph or region.
    pub graph: String,
    /// `rewrite` or `fuse`.
    pub stage: String,
    /// Why it stopped.
    pub stop: String,
    /// E-nodes at the start and after every iteration.
    pub growth: Vec<usize>,
    /// Predicted microseconds before and after.
    pub predicted_us: (f64, f64),
    /// Rules that found something.
    pub rules: Vec<Rule>,
}

/// A rule that found something.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Rule {
    /// Name.
    pub name: String,
    /// `Exact` or `Reassociates`.
    pub promise: String,
    /// Applications that added something.
    pub hits: usize,
    /// Results turned away.
    pub refused: usize,
}

/// An edge that is not fused.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Unfused {
    /// Producer.
    pub producer: String,
    /// Consumer.
    pub consumer: String,
    /// Why.
    pub why: String,
}

/// A node of the optimised graph: one kernel, or several, or none for an alias.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Group {
    /// Names of the model's nodes.
    pub nodes: String,
    /// Core ops in it, in order.
    pub ops: Vec<String>,
    /// Result types.
    pub results: Vec<String>,
    /// Predicted microseconds.
    pub predicted_us: f64,
    /// What the time is spent on: `compute`, `memory`, `launch` or `free`.
    pub bound: String,
    /// Arithmetic operations of contractions.
    pub flops: f64,
    /// Bytes moved.
    pub bytes: f64,
    /// Bytes that its ops would move if each were a kernel of its own.
    #[serde(default)]
    pub unfused_bytes: f64,
    /// Kernels that carry it out. Their names tell the tile.
    pub kernels: Vec<String>,
}

/// A contraction that runs as plain loops.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Untiled {
    /// Names of the model's nodes in its group.
    pub nodes: String,
    /// The contraction.
    pub op: String,
    /// Why it is not tiled.
    pub why: String,
}

/// Memory for intermediate values.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Arena {
    /// Bytes.
    pub bytes: u64,
    /// Bytes if every buffer had its own.
    pub without_reuse: u64,
}

impl From<&Report> for Optimizer {
    fn from(r: &Report) -> Optimizer {
        let rule = |r: &beiming_passes::report::RuleUse| Rule {
            name: r.name.into(),
            promise: format!("{:?}", r.promise),
            hits: r.hits,
            refused: r.refused,
        };
        let saturation = |s: &beiming_passes::report::Saturation| Saturation {
            graph: s.graph.clone(),
            stage: s.stage.into(),
            stop: s.stop.to_string(),
            growth: s.growth.clone(),
            predicted_us: (micros(s.cost_before), micros(s.cost_after)),
            rules: s.rules.iter().map(rule).collect(),
        };
        let unfused = |u: &beiming_passes::report::Unfused| Unfused {
            producer: u.producer.clone(),
            consumer: u.consumer.clone(),
            why: u.why.clone(),
        };
        Optimizer {
            nodes_before: r.nodes_before,
            nodes_after: r.nodes_after,
            saturations: r.saturations.iter().map(saturation).collect(),
            unfused: r.unfused.iter().map(unfused).collect(),
        }
    }
}

/// Microseconds, rounded to a nanosecond: what a prediction is good for, and short in JSON.
fn micros(seconds: f64) -> f64 {
    (seconds * 1e9).round() / 1e3
}

impl Explanation {
    /// Of an optimised graph, before lowering; [`Explanation::lowered`] adds the kernels.
    pub fn new(optimizer: Optimizer, graph: &Graph, target: &Target) -> Explanation {
        let mut groups = vec![];
        collect(graph, target, &mut groups);
        Explanation {
            target: target.name.clone(),
            optimizer,
            groups,
            untiled: vec![],
            on_host: vec![],
            npu: vec![],
            arena: Arena::default(),
        }
    }

    /// Adds what lowering made of it.
    pub fn lowered(&mut self, program: &Program, report: &LowerReport) {
        let untiled =
            |u: &beiming_passes::lower::Untiled| Untiled { nodes: u.node.name.to_string(), op: u.op.clone(), why: u.why.clone() };
        self.untiled = report.untiled.iter().map(untiled).collect();
        let on_host =
            |o: &beiming_passes::lower::OnHost| OnHost { nodes: o.node.name.to_string(), ops: o.ops.clone(), why: o.why.clone() };
        self.npu = npu::kernels(program);
        self.on_host = report.on_host.iter().map(on_host).collect();
        self.arena = Arena { bytes: program.plan.arena, without_reuse: program.plan.arena_without_reuse };
        let mut kernels: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        launches(program, &program.plan.steps, &mut kernels);
        // An alias may have the name of the kernel it stems from; it becomes nothing itself.
        for g in self.groups.iter_mut().filter(|g| g.predicted_us > 0.0) {
            g.kernels = kernels.get(g.nodes.as_str()).map_or(vec![], |k| k.iter().map(ToString::to_string).collect());
        }
    }
}

fn collect(graph: &Graph, target: &Target, out: &mut Vec<Group>) {
    let model = CostModel { target, symbols: &graph.symbols };
    for n in graph.nodes() {
        if matches!(n.op, Op::Constant(_)) {
            continue;
        }
        let inputs: Vec<_> = n.inputs.iter().map(|v| graph.ty(*v)).collect();
        let results: Vec<_> = n.outputs.iter().map(|v| graph.ty(*v).clone()).collect();
        let cost = model.op(&n.op, &inputs, &results, graph);
        out.push(Group {
            nodes: n.loc.label().to_string(),
            ops: ops(n),
            results: results.iter().map(ToString::to_string).collect(),
            predicted_us: micros(cost.seconds),
            bound: format!("{:?}", cost.bound).to_lowercase(),
            flops: cost.flops.round(),
            bytes: cost.bytes.round(),
            unfused_bytes: unfused(&model, &n.op, &inputs, graph).unwrap_or(cost.bytes).round(),
            kernels: vec![],
        });
        // A scalar function is part of its op's kernel, not a group.
        let regions = if matches!(n.op, Op::If(_) | Op::Loop(_)) { n.op.regions() } else { vec![] };
        regions.into_iter().for_each(|r| collect(graph.region(r), target, out));
    }
}

/// Bytes that the ops of a fused group would move one by one: each reads its arguments and writes its result. Reshapes are aliases.
fn unfused(model: &CostModel<'_>, op: &Op, inputs: &[&TensorType], graph: &Graph) -> Option<f64> {
    let (Op::Fused(body) | Op::Tiled { body, .. }) = op else { return None };
    let mut types: Vec<TensorType> = vec![];
    let mut total = 0.0;
    for node in &body.nodes {
        let arg = |a: &Arg| match a {
            Arg::Input(i) => inputs.get(*i as usize).copied(),
            Arg::Node(n) => types.get(*n as usize),
        };
        let args: Vec<&TensorType> = node.args.iter().filter_map(arg).collect();
        let ty = beiming_ir::ops::infer(&node.op, &args, graph).ok()?.into_iter().next()?;
        total += model.op(&node.op, &args, std::slice::from_ref(&ty), graph).bytes;
        types.push(ty);
    }
    Some(total)
}

/// Names of the ops in a node; what feeds only index arithmetic or the anchor comes first, as the group has it.
fn ops(n: &Node) -> Vec<String> {
    let body = |b: &Body| b.nodes.iter().map(|x| x.op.name()).collect();
    match &n.op {
        Op::Fused(b) => body(b),
        Op::Tiled { body: b, .. } => body(b),
        op => vec![op.name()],
    }
}

/// Kernels by the name of their launch, in order, each once.
fn launches<'a>(program: &'a Program, steps: &'a [Step], out: &mut BTreeMap<&'a str, Vec<&'a str>>) {
    for s in steps {
        match s {
            Step::Launch(l) => {
                let name = program.kernels.get(l.kernel as usize).map_or("", |k| k.name.as_str());
                let list = out.entry(&l.name).or_default();
                if !list.contains(&name) {
                    list.push(name);
                }
            }
            Step::If { then, otherwise, .. } => {
                launches(program, then, out);
                launches(program, otherwise, out);
            }
            Step::Loop { body, .. } => launches(program, body, out),
            _ => {}
        }
    }
}
