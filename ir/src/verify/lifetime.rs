//! What memory holds when: a walk over the steps, without looking at how the planner came to its offsets.
//!
//! Slots of one place and size may be views of one *cell*, or follow each other in it. A step that writes a slot ruins every
//! other slot that shares bytes with it. A step that reads a slot needs it to hold, on every path, what was last written to it;
//! a slot that was not written itself is a view, and its cell must hold something; a slot without elements always holds all
//! of them. A result may take over the bytes of an argument of the same kernel call where the kernel reads each element no
//! later than it writes that element.

use std::collections::BTreeMap;

use super::plan::{most_bytes, step_place};
use super::{Report, in_place, sample};
use crate::kernel::Access;
use crate::plan::{Launch, Place, Program, SlotId, Step};
use crate::types::Dim;

/// What a slot holds.
#[derive(Clone, Copy, PartialEq)]
enum Content {
    /// Nothing was written to the slot itself.
    Unwritten,
    /// What was last written to it.
    Valid,
    /// In part, what was written to this slot.
    Ruined(SlotId),
}

/// What memory holds at one point.
#[derive(Clone, PartialEq)]
struct State {
    slots: Vec<Content>,
    /// Whether a cell holds all of something.
    cells: Vec<bool>,
}

impl State {
    /// What holds whichever of two paths was taken.
    fn meet(&mut self, o: &State) {
        for (a, b) in self.slots.iter_mut().zip(&o.slots) {
            *a = match (*a, *b) {
                (Content::Ruined(s), _) | (_, Content::Ruined(s)) => Content::Ruined(s),
                (Content::Valid, Content::Valid) => Content::Valid,
                _ => Content::Unwritten,
            };
        }
        self.cells.iter_mut().zip(&o.cells).for_each(|(a, b)| *a &= b);
    }
}

/// Checks a plan whose references are right.
pub(super) fn check(p: &Program, report: &mut Report) {
    let mut cells: BTreeMap<(u8, u64, [Option<i64>; 4]), usize> = BTreeMap::new();
    let mut spans: Vec<(Place, u64, u64)> = vec![];
    let (mut cell_of, mut members) = (vec![], vec![]);
    for (i, s) in p.plan.slots.iter().enumerate() {
        let (kind, n) = match s.place {
            Place::Input(n) => (0, u64::from(n)),
            Place::Output(n) => (1, u64::from(n)),
            Place::Arena(at) => (2, at),
            Place::Weight(n) => (3, u64::from(n)),
        };
        // The caller's memory and a weight are one cell whatever a slot calls them.
        let bytes = if kind == 2 { s.ty.bytes() } else { Dim::Known(0) };
        let cell = *cells.entry((kind, n, sample(&bytes, &bytes.symbols(), &p.plan.symbols))).or_insert(spans.len());
        if cell == spans.len() {
            let start = if kind == 2 { n } else { 0 };
            spans.push((s.place, start, start.saturating_add(most_bytes(s, &p.plan.symbols))));
            members.push(vec![]);
        }
        members[cell].push(i);
        cell_of.push(cell);
    }
    let overlaps = overlaps(&spans);
    let mut state = State {
        slots: vec![Content::Unwritten; cell_of.len()],
        cells: spans.iter().map(|s| matches!(s.0, Place::Input(_) | Place::Weight(_))).collect(),
    };
    let mut w = Walk { p, report, cell_of, members, overlaps, spans, quiet: false };
    w.list(&p.plan.steps, "", &mut state);
    for o in &p.plan.outputs {
        w.read(o.slot, &mut state, &format!("output `{}`", o.name));
    }
}

/// For every cell the others that share bytes of the arena with it: a sweep over the spans in order of their start.
fn overlaps(spans: &[(Place, u64, u64)]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> =
        (0..spans.len()).filter(|&i| matches!(spans[i].0, Place::Arena(_)) && spans[i].1 < spans[i].2).collect();
    order.sort_by_key(|&i| (spans[i].1, i));
    let mut out = vec![vec![]; spans.len()];
    let mut open: Vec<usize> = vec![];
    for i in order {
        open.retain(|&j| spans[j].2 > spans[i].1);
        for &j in &open {
            out[i].push(j);
            out[j].push(i);
        }
        open.push(i);
    }
    out
}

struct Walk<'a> {
    p: &'a Program,
    report: &'a mut Report,
    /// Cell of each slot.
    cell_of: Vec<usize>,
    /// Slots of each cell.
    members: Vec<Vec<usize>>,
    /// For each cell, the others that share bytes with it.
    overlaps: Vec<Vec<usize>>,
    spans: Vec<(Place, u64, u64)>,
    /// A trial pass over a loop body reports nothing.
    quiet: bool,
}

impl Walk<'_> {
    fn list(&mut self, steps: &[Step], path: &str, state: &mut State) {
        for (i, s) in steps.iter().enumerate() {
            self.step(s, &step_place(path, i, s), state);
        }
    }

    fn step(&mut self, s: &Step, at: &str, state: &mut State) {
        match s {
            Step::Launch(l) => self.launch(l, at, state),
            Step::Host { args, results, .. } => {
                args.iter().for_each(|a| self.read(*a, state, at));
                for (i, r) in results.iter().enumerate() {
                    let shared = args.iter().chain(&results[..i]).find(|a| self.shares(**a, *r));
                    if let Some(a) = shared {
                        self.add(at, format!("writes slot s{}, which shares memory with slot s{}", r.0, a.0));
                    }
                    self.write(*r, state);
                }
            }
            Step::Copy { src, dst } => {
                self.read(*src, state, at);
                if self.shares(*src, *dst) && self.cell_of[src.index()] != self.cell_of[dst.index()] {
                    self.add(at, format!("copies slot s{} to slot s{}, which shares memory with it", src.0, dst.0));
                }
                self.write(*dst, state);
            }
            Step::Transfer { slot, .. } => self.read(*slot, state, at),
            Step::Store { src, dst, at: row } => {
                self.read(*src, state, at);
                self.read(*row, state, at);
                if self.shares(*src, *dst) || self.shares(*row, *dst) {
                    self.add(at, format!("stores into slot s{}, which shares memory with what it reads", dst.0));
                }
                self.write(*dst, state);
            }
            Step::ReadDim { from, .. } => self.read(*from, state, at),
            Step::If { cond, then, otherwise } => {
                self.read(*cond, state, at);
                let mut other = state.clone();
                self.list(then, &format!("{at} then"), state);
                self.list(otherwise, &format!("{at} else"), &mut other);
                state.meet(&other);
            }
            Step::Loop { trip, cond, iteration, body, .. } => self.repeat([*trip, *cond, *iteration], body, at, state),
        }
    }

    fn repeat(&mut self, [trip, cond, iteration]: [SlotId; 3], body: &[Step], at: &str, state: &mut State) {
        // What holds at the start of every iteration: content only degrades from pass to pass, so this ends.
        let mut entry = state.clone();
        let quiet = std::mem::replace(&mut self.quiet, true);
        loop {
            let mut pass = entry.clone();
            self.write(iteration, &mut pass);
            self.list(body, at, &mut pass);
            let before = entry.clone();
            entry.meet(&pass);
            if entry == before {
                break;
            }
        }
        self.quiet = quiet;
        self.read(trip, &mut entry, at);
        self.read(cond, &mut entry, at);
        let mut after = entry.clone();
        self.write(iteration, &mut after);
        self.list(body, at, &mut after);
        *state = entry;
        // Rows are stored in every iteration; with none, the buffer has no rows.
        for s in body {
            if let Step::Store { dst, .. } = s {
                let cell = self.cell_of[dst.index()];
                state.slots[dst.index()] = after.slots[dst.index()];
                state.cells[cell] = after.cells[cell];
            }
        }
    }

    fn launch(&mut self, l: &Launch, at: &str, state: &mut State) {
        let k = &self.p.kernels[l.kernel as usize];
        let args = || l.args.iter().zip(&k.params).enumerate();
        for (_, (s, b)) in args() {
            if b.access != Access::Write {
                self.read(*s, state, at);
            }
        }
        for (i, (s, b)) in args() {
            if b.access == Access::Read {
                continue;
            }
            for (j, (o, other)) in args() {
                if i == j || !self.shares(*s, *o) || j < i && other.access != Access::Read {
                    continue;
                }
                let (mine, theirs) = (self.spans[self.cell_of[s.index()]], self.spans[self.cell_of[o.index()]]);
                if other.access != Access::Read {
                    self.add(at, format!("slots s{} and s{}, which the kernel writes, share memory", s.0, o.0));
                } else if mine.1 != theirs.1 || b.dtype.size() != other.dtype.size() || !in_place::is_safe(k, j, i) {
                    let m = format!(
                        "writes slot s{} over slot s{}, but kernel `{}` may read `%{}` after it wrote `%{}` there",
                        s.0, o.0, k.name, other.name, b.name
                    );
                    self.add(at, m);
                }
            }
        }
        for (_, (s, b)) in args() {
            if b.access != Access::Read {
                self.write(*s, state);
            }
        }
    }

    /// Do two slots share bytes?
    fn shares(&self, a: SlotId, b: SlotId) -> bool {
        let (a, b) = (self.cell_of[a.index()], self.cell_of[b.index()]);
        let empty = matches!(self.spans[a].0, Place::Arena(_)) && self.spans[a].1 == self.spans[a].2;
        !empty && (a == b || self.overlaps[a].contains(&b))
    }

    fn read(&mut self, s: SlotId, state: &mut State, at: &str) {
        if most_bytes(&self.p.plan.slots[s.index()], &self.p.plan.symbols) == 0 {
            return;
        }
        match state.slots[s.index()] {
            Content::Valid => return,
            Content::Unwritten if state.cells[self.cell_of[s.index()]] => return,
            Content::Unwritten => self.add(at, format!("reads slot s{}, which is not written before", s.0)),
            Content::Ruined(by) => {
                self.add(at, format!("reads slot s{}, whose memory slot s{} has overwritten", s.0, by.0));
            }
        }
        if !self.quiet {
            // Once is enough.
            state.slots[s.index()] = Content::Valid;
        }
    }

    fn write(&mut self, s: SlotId, state: &mut State) {
        let cell = self.cell_of[s.index()];
        for &c in std::iter::once(&cell).chain(&self.overlaps[cell]) {
            state.cells[c] = c == cell;
            for &o in &self.members[c] {
                if state.slots[o] == Content::Valid {
                    state.slots[o] = Content::Ruined(s);
                }
            }
        }
        state.slots[s.index()] = Content::Valid;
    }

    fn add(&mut self, at: &str, message: String) {
        if !self.quiet {
            self.report.add(at, message);
        }
    }
}
