//! Programs: weights, symbols, slots and ports; then every step, and what memory holds when.

use std::collections::BTreeSet;

use super::{Finding, Report, lifetime, steps, symbol_ranges};
use crate::plan::{Panels, Place, Program, Slot, SlotId, Step, Weight};
use crate::tensor::numel;
use crate::types::Symbols;

/// Alignment of arena buffers.
const ALIGN: u64 = 64;

/// Everything that is wrong with a program, but for its kernels by themselves.
pub(super) fn check(p: &Program) -> Vec<Finding> {
    let mut report = Report::new("program".into());
    let mut names = BTreeSet::new();
    for k in p.kernels.iter().filter(|k| !names.insert(&k.name)) {
        report.add(&format!("kernel `{}`", k.name), "another kernel has the same name");
    }
    for (i, w) in p.weights.iter().enumerate() {
        if let Err(m) = weight(w) {
            report.add(&format!("weight {i}"), m);
        }
    }
    symbol_ranges(&p.plan.symbols, &mut report);
    ports(p, &mut report);
    for (i, s) in p.plan.slots.iter().enumerate() {
        if let Err(m) = slot(p, s) {
            report.add(&format!("slot s{i}"), m);
        }
    }
    references(p, &p.plan.steps, "", (0, 0), &mut report);
    // What follows relies on the references.
    if report.found.is_empty() {
        steps::check(p, &mut report);
        lifetime::check(p, &mut report);
    }
    report.found
}

fn weight(w: &Weight) -> Result<(), String> {
    let t = &w.source;
    let want = numel(&t.shape).and_then(|n| n.checked_mul(t.dtype.size()));
    if want != Some(t.bytes().len()) {
        return Err(format!("{} bytes for {}{:?}", t.bytes().len(), t.dtype, t.shape));
    }
    let Some(p) = &w.panels else { return Ok(()) };
    if p.nr == 0 {
        return Err("panels of no columns".into());
    }
    let Panels { batch, rows, cols, offset, batch_stride, row_stride, col_stride, .. } = *p;
    if batch == 0 || rows == 0 || cols == 0 {
        return Ok(());
    }
    let last = [(batch, batch_stride), (rows, row_stride), (cols, col_stride)]
        .into_iter()
        .try_fold(offset, |at, (n, stride)| at.checked_add((n - 1).checked_mul(stride)?));
    match last {
        Some(at) if at < t.len() => Ok(()),
        _ => Err(format!("its panels read past the {} elements of the source", t.len())),
    }
}

fn ports(p: &Program, report: &mut Report) {
    let plan = &p.plan;
    for (word, ports) in [("input", &plan.inputs), ("output", &plan.outputs)] {
        let mut names = BTreeSet::new();
        for (i, port) in ports.iter().enumerate() {
            let place = format!("{word} {i} `{}`", port.name);
            if !names.insert(&port.name) {
                report.add(&place, format!("another {word} has the same name"));
            }
            let want = if word == "input" { Place::Input(i as u32) } else { Place::Output(i as u32) };
            match plan.slots.get(port.slot.index()) {
                None => report.add(&place, format!("slot s{} does not exist", port.slot.0)),
                Some(s) if s.place != want => {
                    report.add(&place, format!("lies in slot s{}, whose place is {:?}, not {want:?}", port.slot.0, s.place));
                }
                Some(_) => {}
            }
        }
    }
}

/// Most bytes a slot has at any value of its symbols in range.
pub(super) fn most_bytes(s: &Slot, symbols: &Symbols) -> u64 {
    s.ty.bytes().range(symbols).hi.max(0) as u64
}

fn slot(p: &Program, s: &Slot) -> Result<(), String> {
    let plan = &p.plan;
    crate::ops::check_extents(&s.ty, &plan.symbols).map_err(|e| e.message)?;
    match s.place {
        Place::Input(n) if n as usize >= plan.inputs.len() => Err(format!("input {n} does not exist")),
        Place::Output(n) if n as usize >= plan.outputs.len() => Err(format!("output {n} does not exist")),
        Place::Weight(n) => match p.weights.get(n as usize) {
            None => Err(format!("weight {n} does not exist")),
            Some(w) => {
                let elements = w.panels.map_or(w.source.len(), |p| p.shape().iter().product());
                if w.source.dtype != s.ty.dtype || !s.ty.numel().is(elements as i64) {
                    return Err(format!("{} does not fit weight {n}: {elements} elements of {}", s.ty, w.source.dtype));
                }
                Ok(())
            }
        },
        Place::Arena(at) => {
            if at % ALIGN != 0 {
                return Err(format!("arena offset {at} is not a multiple of {ALIGN}"));
            }
            let most = s.ty.bytes().range(&plan.symbols).hi;
            if most == i64::MAX {
                return Err(format!("the size of {} has no upper bound", s.ty));
            }
            match at.checked_add(most.max(0) as u64) {
                Some(end) if end <= plan.arena => Ok(()),
                _ => Err(format!("{most} bytes at arena offset {at} end past the arena of {} bytes", plan.arena)),
            }
        }
        _ => Ok(()),
    }
}

/// Calls `f` with every slot a step names itself (not the steps within it).
pub(super) fn for_slots(s: &Step, mut f: impl FnMut(SlotId)) {
    match s {
        Step::Launch(l) => l.args.iter().for_each(|s| f(*s)),
        Step::Host { args, results, .. } => args.iter().chain(results).for_each(|s| f(*s)),
        Step::Copy { src, dst } => [src, dst].into_iter().for_each(|s| f(*s)),
        Step::Transfer { slot, .. } => f(*slot),
        Step::Store { src, dst, at } => [src, dst, at].into_iter().for_each(|s| f(*s)),
        Step::ReadDim { from, .. } => f(*from),
        Step::If { cond, .. } => f(*cond),
        Step::Loop { trip, cond, iteration, .. } => [trip, cond, iteration].into_iter().for_each(|s| f(*s)),
    }
}

/// The place of a step in messages.
pub(super) fn step_place(path: &str, i: usize, s: &Step) -> String {
    let name = match s {
        Step::Launch(l) => &*l.name,
        Step::Host { name, .. } => name,
        _ => "",
    };
    let at = if path.is_empty() { format!("step {i}") } else { format!("{path}.{i}") };
    if name.is_empty() { at } else { format!("{at} ({name})") }
}

/// Deepest nesting of steps.
const MAX_NEST: usize = 64;
/// Deepest nesting of loops: their bodies are walked several times over.
const MAX_LOOPS: usize = 8;

fn references(p: &Program, list: &[Step], path: &str, (depth, loops): (usize, usize), report: &mut Report) {
    if depth > MAX_NEST || loops > MAX_LOOPS {
        report.add(path, format!("steps are nested more than {MAX_NEST} deep, or loops more than {MAX_LOOPS}"));
        return;
    }
    for (i, s) in list.iter().enumerate() {
        let place = step_place(path, i, s);
        for_slots(s, |slot| {
            if slot.index() >= p.plan.slots.len() {
                report.add(&place, format!("slot s{} does not exist; the plan has {}", slot.0, p.plan.slots.len()));
            }
        });
        match s {
            Step::Launch(l) if l.kernel as usize >= p.kernels.len() => {
                report.add(&place, format!("kernel {} does not exist; the program has {}", l.kernel, p.kernels.len()));
            }
            Step::If { then, otherwise, .. } => {
                references(p, then, &format!("{place} then"), (depth + 1, loops), report);
                references(p, otherwise, &format!("{place} else"), (depth + 1, loops), report);
            }
            Step::Loop { body, .. } => references(p, body, &place, (depth + 1, loops + 1), report),
            _ => {}
        }
    }
}
