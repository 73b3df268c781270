//! What the page shows: steps and the values between them, buffers over time, kernels, weights.

use std::collections::{BTreeMap, BTreeSet};

use beiming_runtime::dims::Dims;
use beiming_runtime::format::container::Artifact;
use beiming_runtime::format::manifest::{HostOp, Manifest, Place, Side, Step};
use serde_json::{Value, json};

use super::Measured;
use super::layout::layout;
use super::sources::Sources;
use crate::debug::DebugError;
use crate::explanation::Explanation;

/// A box of the picture: an input, a step, an output.
struct Node {
    kind: &'static str,
    title: String,
    kernel: Option<u32>,
    /// The branch or loop it stands in.
    within: String,
    reads: Vec<u32>,
    writes: Vec<u32>,
    flops: f64,
    bytes: f64,
}

/// A buffer of the arena while it holds one value.
struct Life {
    slot: u32,
    offset: u64,
    bytes: u64,
    from: usize,
    to: usize,
}

/// Everything, as JSON.
pub fn collect(artifact: &Artifact, sources: &Sources, measured: Option<&Measured>) -> Result<Value, DebugError> {
    let (times, threads) = (measured.map(|m| m.times.as_slice()), measured.map(|m| m.threads));
    let m = artifact.manifest()?;
    // An artifact of another version has another report; the page then shows what the manifest says.
    let explanation: Explanation = artifact.section("report").and_then(|r| serde_json::from_slice(r).ok()).unwrap_or_default();
    let size = Sizes::new(&m);
    let mut nodes: Vec<Node> = m.inputs.iter().map(|p| border("input", &p.name, vec![], vec![p.slot])).collect();
    walk(&m, &m.steps, "", &size, &mut nodes);
    let steps = m.inputs.len()..nodes.len();
    nodes.extend(m.outputs.iter().map(|p| border("output", &p.name, vec![p.slot], vec![])));
    let (edges, lives) = flow(&m, &nodes, &size);
    let pairs: Vec<(usize, usize)> = edges.iter().map(|e| (e.0, e.1)).collect();
    let picture = layout(nodes.len(), &pairs);
    let mut users: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (i, n) in nodes.iter().enumerate() {
        n.reads.iter().for_each(|s| users.entry(*s).or_default().push(i));
    }
    let measured = |i: usize| {
        let list = times?;
        let t = list.get(i.checked_sub(steps.start)?).filter(|_| list.len() == steps.len())?;
        Some(t.ns as f64 / 1e3)
    };
    let slot_type = |s: u32| m.slots.get(s as usize).map_or_else(String::new, |s| format!("{}[{}]", s.dtype, s.shape.join(", ")));
    let made = |i: usize| i.checked_sub(steps.start).and_then(|i| sources.made(i));
    let node = |(i, n): (usize, &Node)| {
        let mut doc = json!({
            "kind": n.kind, "title": n.title, "kernel": n.kernel, "within": n.within,
            "group": group(&explanation, n, &m, sources),
            "reads": n.reads, "writes": n.writes, "flops": n.flops, "bytes": n.bytes, "us": measured(i),
        });
        if let (Some(Value::Object(made)), Some(doc)) = (made(i), doc.as_object_mut()) {
            doc.extend(made);
        }
        doc
    };
    let kernel = |(i, k): (usize, &beiming_runtime::format::manifest::Kernel)| {
        let name = k.symbol.split_once('_').map_or(k.symbol.as_str(), |x| x.1);
        json!({
            "name": name, "symbol": k.symbol, "scratch": k.scratch, "grid": k.grid,
            "ops": sources.ops(i), "tile": tile(name),
            "forms": sources.forms(i), "device": k.device.is_some(),
        })
    };
    let weight = |(i, s): (usize, &beiming_runtime::format::manifest::Slot)| {
        let Place::Weight(w) = s.place else { return None };
        let bytes = m.weights.get(w as usize).map_or(0, |w| w.bytes);
        Some(json!({ "slot": i, "bytes": bytes, "users": users.get(&(i as u32)) }))
    };
    let life = |l: &Life| json!([l.slot, l.offset, l.bytes, l.from, l.to]);
    Ok(json!({
        "model": m.model, "compiler": m.compiler,
        "target": { "name": m.target.name, "triple": m.target.triple, "cpu": m.target.cpu },
        "symbols": m.symbols.iter().map(|(n, r)| json!([n, r.lo, (r.hi != i64::MAX).then_some(r.hi)])).collect::<Vec<_>>(),
        "slots": (0..m.slots.len() as u32).map(slot_type).collect::<Vec<_>>(),
        "nodes": nodes.iter().enumerate().map(node).collect::<Vec<_>>(),
        "edges": edges,
        "layout": picture,
        "groups": explanation.groups, "unfused": explanation.optimizer.unfused,
        "kernels": m.kernels.iter().enumerate().map(kernel).collect::<Vec<_>>(),
        "arena": { "bytes": m.arena, "without_reuse": m.arena_without_reuse, "lives": lives.iter().map(life).collect::<Vec<_>>() },
        "weights": m.slots.iter().enumerate().filter_map(weight).collect::<Vec<_>>(),
        "whole": sources.whole(), "project": sources.project()?,
        "measured": times.is_some(), "cores": sources.cores, "threads": threads,
    }))
}

/// The group of ops that a launch carries out. One node of the model may have become several groups, which share its name: the
/// kernel's ops tell them apart or, where only its name is known, the op that the name starts with.
fn group(e: &Explanation, n: &Node, m: &Manifest, sources: &Sources) -> Option<usize> {
    let kernel = n.kernel? as usize;
    let name = m.kernels.get(kernel)?.symbol.split_once('_')?.1;
    let ops = sources.ops(kernel);
    let fit = |ops_of: &[String]| {
        let same = ops.is_some_and(|o| *o == *ops_of);
        let starts = ops_of.iter().any(|o| name.strip_prefix(o.as_str()).is_some_and(|r| r.starts_with('_')));
        2 * usize::from(same) + usize::from(starts)
    };
    let of_name = e.groups.iter().enumerate().filter(|(_, g)| g.nodes == n.title && !g.kernels.is_empty());
    // The first of those that fit best.
    of_name.max_by_key(|(i, g)| (fit(&g.ops), std::cmp::Reverse(*i))).map(|(i, _)| i)
}

fn border(kind: &'static str, name: &str, reads: Vec<u32>, writes: Vec<u32>) -> Node {
    Node { kind, title: name.into(), kernel: None, within: String::new(), reads, writes, flops: 0.0, bytes: 0.0 }
}

/// The steps, those of branches and loops after their own.
fn walk(m: &Manifest, list: &[Step], within: &str, size: &Sizes<'_>, out: &mut Vec<Node>) {
    for s in list {
        let mut n = border("step", "", vec![], vec![]);
        n.within = within.into();
        let mut inner: Vec<(&str, &[Step])> = vec![];
        match s {
            Step::Launch { kernel, args, name, flops, bytes, .. } => {
                let params = m.kernels.get(*kernel as usize).map_or(&[][..], |k| &k.params);
                for (a, p) in args.iter().zip(params) {
                    if p.write { n.writes.push(*a) } else { n.reads.push(*a) }
                }
                (n.kind, n.title, n.kernel) = ("kernel", name.clone(), Some(*kernel));
                (n.flops, n.bytes) = (size.value(flops) as f64, size.value(bytes) as f64);
            }
            Step::Host { op, args, results, name } => {
                let what = match op {
                    HostOp::TopK { .. } => "top k",
                    HostOp::Nms { .. } => "non-maximum suppression",
                    HostOp::NonZero { .. } => "non-zero",
                    HostOp::ReadDims { .. } => "read extents",
                };
                (n.kind, n.title) = ("host", if name.is_empty() { what.into() } else { format!("{what}: {name}") });
                (n.reads, n.writes) = (args.clone(), results.clone());
            }
            Step::Copy { src, dst } => (n.title, n.reads, n.writes) = ("copy".into(), vec![*src], vec![*dst]),
            Step::Transfer { slot, to } => {
                let to = if *to == Side::Device { "device" } else { "host" };
                (n.title, n.reads, n.writes) = (format!("to the {to}"), vec![*slot], vec![*slot]);
            }
            Step::Store { src, dst, at } => (n.title, n.reads, n.writes) = ("store".into(), vec![*src, *at], vec![*dst]),
            Step::ReadDim { symbol, from } => (n.title, n.reads) = (format!("read {symbol}"), vec![*from]),
            Step::If { cond, then, otherwise } => {
                (n.title, n.reads) = ("if".into(), vec![*cond]);
                inner = vec![("then", then), ("else", otherwise)];
            }
            Step::Loop { trip, cond, iteration, body, .. } => {
                (n.title, n.reads, n.writes) = ("loop".into(), vec![*trip, *cond], vec![*iteration]);
                inner = vec![("loop", body)];
            }
        }
        out.push(n);
        for (label, steps) in inner {
            let at = if within.is_empty() { label.to_string() } else { format!("{within} / {label}") };
            walk(m, steps, &at, size, out);
        }
    }
}

/// Extents with every symbol at its largest value.
struct Sizes<'a> {
    m: &'a Manifest,
}

impl Sizes<'_> {
    fn new(m: &Manifest) -> Sizes<'_> {
        Sizes { m }
    }

    /// Zero where it has no value.
    fn value(&self, text: &str) -> i64 {
        if let Ok(v) = text.parse() {
            return v;
        }
        let mut dims = Dims::default();
        let Ok(id) = dims.intern(text) else { return 0 };
        let most = |n: &String| self.m.symbols.get(n).map(|r| r.hi);
        let values: Vec<Option<i64>> = dims.symbols().iter().map(most).collect();
        dims.eval(id, &values).unwrap_or(0)
    }

    fn bytes(&self, slot: u32) -> u64 {
        let Some(s) = self.m.slots.get(slot as usize) else { return 0 };
        let n = s.shape.iter().fold(1i64, |a, d| a.saturating_mul(self.value(d).max(0)));
        n.saturating_mul(s.dtype.size() as i64) as u64
    }
}

/// Where values come from: `(from, to, slot)` for every argument, by the memory that both name; and the lives of the buffers.
fn flow(m: &Manifest, nodes: &[Node], size: &Sizes<'_>) -> (Vec<(usize, usize, u32)>, Vec<Life>) {
    let place = |s: u32| m.slots.get(s as usize).map(|s| s.place);
    // What was written last, by place; the arena's by offset.
    let mut border: BTreeMap<(u8, u32), usize> = BTreeMap::new();
    let mut lives: Vec<Life> = vec![];
    let mut current: Vec<usize> = vec![];
    let mut edges = vec![];
    let mut seen = BTreeSet::new();
    for (i, n) in nodes.iter().enumerate() {
        for s in &n.reads {
            let from = match place(*s) {
                Some(Place::Arena(at)) => {
                    let holds = |l: &&usize| (lives[**l].offset..lives[**l].offset + lives[**l].bytes.max(1)).contains(&at);
                    let found = current.iter().rev().find(holds).copied();
                    found.map(|l| {
                        lives[l].to = i;
                        lives[l].from
                    })
                }
                Some(Place::Input(k)) => border.get(&(0, k)).copied(),
                Some(Place::Output(k)) => border.get(&(1, k)).copied(),
                Some(Place::Weight(_)) | None => None,
            };
            if let Some(from) = from.filter(|f| *f != i)
                && seen.insert((from, i, *s))
            {
                edges.push((from, i, *s));
            }
        }
        for s in &n.writes {
            match place(*s) {
                Some(Place::Arena(offset)) => {
                    let bytes = size.bytes(*s);
                    // A step that writes a part of a buffer it has written before (a store, one kernel of several) adds to it.
                    let same = current.iter().find(|l| lives[**l].offset == offset && lives[**l].slot == *s).copied();
                    if let Some(l) = same.filter(|l| lives[*l].from < i && !nodes[i].reads.contains(s)) {
                        edges.push((lives[l].from, i, *s));
                    }
                    let end = offset + bytes;
                    // What this step reads and writes in place ends where the new value begins.
                    for l in &current {
                        let l = &mut lives[*l];
                        if l.offset < end && offset < l.offset + l.bytes {
                            l.to = l.to.min(i.saturating_sub(1)).max(l.from);
                        }
                    }
                    current.retain(|l| lives[*l].offset >= end || lives[*l].offset + lives[*l].bytes <= offset);
                    current.push(lives.len());
                    lives.push(Life { slot: *s, offset, bytes, from: i, to: i });
                }
                Some(Place::Input(k)) => drop(border.insert((0, k), i)),
                Some(Place::Output(k)) => drop(border.insert((1, k), i)),
                _ => {}
            }
        }
    }
    (edges, lives)
}

/// The tile that stands in a kernel's name: `t8x32x768`.
fn tile(name: &str) -> Option<String> {
    let is_tile = |p: &&str| {
        let rest = p.strip_prefix('t').unwrap_or_default();
        rest.contains('x') && rest.split('x').all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    name.split('_').find(is_tile).map(|p| p[1..].replace('x', " × "))
}
