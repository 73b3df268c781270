//! Copies between host and device, planned: a step that reads a buffer finds it on its own side.
//!
//! Both sides lay their memory out alike, so a copy is a step that names one buffer. What lies where is followed by *cell*: the
//! slots of one place and size share one, as views or one after the other. A cell holds its contents on the host, on the device or
//! on both; reading on a side that lacks them copies first, writing leaves them on the writer's side alone. A slot that is written
//! again is taken to be written in part, so what it holds is brought over before; the first write of a slot makes all of it.
//!
//! Loops run their body from one known state: what the body writes is on the host at its start and end, what it only reads is where
//! it was or on both. Branches end with what they write on the host. Host steps stand between launches there anyway: conditions and
//! counters live on the host.

use std::collections::{BTreeMap, BTreeSet};

use beiming_ir::kernel::{Access, Kernel};
use beiming_ir::plan::{Launch, Place, Plan, Program, Side, SlotId, Step};

/// On which sides a cell's contents are.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct At {
    host: bool,
    device: bool,
}

impl At {
    fn on(self, side: Side) -> bool {
        if side == Side::Host { self.host } else { self.device }
    }

    fn only(side: Side) -> At {
        At { host: side == Side::Host, device: side == Side::Device }
    }
}

/// What holds whichever of two paths was taken. A cell that holds nothing after one of them is only read after the other, or written
/// anew.
fn meet(state: &mut [At], other: &[At]) {
    for (a, b) in state.iter_mut().zip(other) {
        *a = match (*a, *b) {
            (x, nothing) | (nothing, x) if nothing == At::default() => x,
            (x, y) => At { host: x.host && y.host, device: x.device && y.device },
        };
    }
}

/// Plans the copies of a program whose steps have none yet. Nothing changes where no kernel runs on the device.
pub fn run(program: &mut Program) {
    if program.kernels.iter().all(|k| k.side() == Side::Host) {
        return;
    }
    let cells = Cells::new(&program.plan);
    let mut state: Vec<At> = cells.places.iter().map(|p| start(*p)).collect();
    let holders = vec![None; cells.places.len()];
    let mut planner = Planner { kernels: &program.kernels, cells: &cells, written: BTreeSet::new(), holders };
    let mut steps = planner.list(&program.plan.steps, &mut state);
    for o in &program.plan.outputs {
        planner.read(o.slot, Side::Host, &mut state, &mut steps);
    }
    program.plan.steps = steps;
}

/// Inputs come to the host; weights are on both sides before the first step.
fn start(place: Place) -> At {
    match place {
        Place::Input(_) => At::only(Side::Host),
        Place::Weight(_) => At { host: true, device: true },
        Place::Output(_) | Place::Arena(_) => At::default(),
    }
}

/// Slots by the memory they share.
struct Cells {
    of: Vec<usize>,
    places: Vec<Place>,
    /// For each cell the others that share bytes of the arena with it.
    overlaps: Vec<Vec<usize>>,
}

impl Cells {
    fn new(plan: &Plan) -> Cells {
        let (mut of, mut places, mut spans) = (vec![], vec![], Vec::<(u64, u64)>::new());
        let mut known: BTreeMap<(u8, u64, String), usize> = BTreeMap::new();
        for s in &plan.slots {
            let bytes = s.ty.bytes();
            let key = match s.place {
                Place::Input(n) => (0, n.into(), String::new()),
                Place::Output(n) => (1, n.into(), String::new()),
                Place::Weight(n) => (2, n.into(), String::new()),
                Place::Arena(at) => (3, at, bytes.to_string()),
            };
            let cell = *known.entry(key).or_insert(places.len());
            if cell == places.len() {
                places.push(s.place);
                let from = if let Place::Arena(at) = s.place { at } else { 0 };
                spans.push((from, from.saturating_add(bytes.range(&plan.symbols).hi.max(0) as u64)));
            }
            of.push(cell);
        }
        let arena: Vec<usize> = (0..places.len()).filter(|&c| matches!(places[c], Place::Arena(_))).collect();
        let mut overlaps = vec![vec![]; places.len()];
        for &a in &arena {
            overlaps[a] =
                arena.iter().copied().filter(|&b| a != b && spans[a].0 < spans[b].1 && spans[b].0 < spans[a].1).collect();
        }
        Cells { of, places, overlaps }
    }
}

struct Planner<'a> {
    kernels: &'a [Kernel],
    cells: &'a Cells,
    written: BTreeSet<SlotId>,
    /// By cell, the slot that was written last: slots of equal size lie at one place one after the other.
    holders: Vec<Option<SlotId>>,
}

impl Planner<'_> {
    fn list(&mut self, steps: &[Step], state: &mut Vec<At>) -> Vec<Step> {
        let mut out = vec![];
        for s in steps {
            self.step(s, state, &mut out);
        }
        out
    }

    fn step(&mut self, s: &Step, state: &mut Vec<At>, out: &mut Vec<Step>) {
        match s {
            Step::Launch(l) => self.launch(l, state, out),
            Step::If { cond, then, otherwise } => {
                self.read(*cond, Side::Host, state, out);
                let touched = written_in([then, otherwise].into_iter().flatten(), self.kernels);
                let mut other = state.clone();
                let holders = self.holders.clone();
                let mut branches = [self.list(then, state), vec![]];
                self.to_host(&touched, state, &mut branches[0]);
                self.holders = holders;
                branches[1] = self.list(otherwise, &mut other);
                self.to_host(&touched, &mut other, &mut branches[1]);
                meet(state, &other);
                let [then, otherwise] = branches;
                out.push(Step::If { cond: *cond, then, otherwise });
                return;
            }
            Step::Loop { trip, cond, iteration, trips, body } => {
                self.read(*trip, Side::Host, state, out);
                self.read(*cond, Side::Host, state, out);
                let touched = written_in(body, self.kernels);
                self.to_host(&touched, state, out);
                for s in &touched {
                    // Cells that share bytes keep what they hold: which of them the next iteration finds alive is its business.
                    state[self.cells.of[s.index()]] = At::only(Side::Host);
                    // A second iteration writes it again.
                    self.written.insert(*s);
                }
                self.read_only(body, &touched, state, out);
                self.write(*iteration, Side::Host, state);
                let start = state.clone();
                let mut body = self.list(body, state);
                self.to_host(&touched, state, &mut body);
                self.read(*cond, Side::Host, state, &mut body);
                // The body may not run at all, and ends as it began but for copies made on the way.
                meet(state, &start);
                let (trip, cond, iteration) = (*trip, *cond, *iteration);
                out.push(Step::Loop { trip, cond, iteration, trips: trips.clone(), body });
                return;
            }
            Step::Host { args, results, .. } => {
                args.iter().for_each(|a| self.read(*a, Side::Host, state, out));
                results.iter().for_each(|r| self.write_on(*r, Side::Host, state, out));
            }
            Step::Copy { src, dst } => {
                self.read(*src, Side::Host, state, out);
                self.write(*dst, Side::Host, state);
            }
            Step::Store { src, dst, at } => {
                self.read(*src, Side::Host, state, out);
                self.read(*at, Side::Host, state, out);
                self.write_on(*dst, Side::Host, state, out);
            }
            Step::ReadDim { from, .. } => self.read(*from, Side::Host, state, out),
            // The program has none yet.
            Step::Transfer { .. } => {}
        }
        out.push(s.clone());
    }

    fn launch(&mut self, l: &Launch, state: &mut [At], out: &mut Vec<Step>) {
        let k = &self.kernels[l.kernel as usize];
        let side = k.side();
        for (a, p) in l.args.iter().zip(&k.params) {
            if p.access != Access::Write {
                self.read(*a, side, state, out);
            }
        }
        for (a, p) in l.args.iter().zip(&k.params) {
            if p.access != Access::Read {
                self.write_on(*a, side, state, out);
            }
        }
    }

    /// Copies a buffer to a side that lacks it.
    fn read(&self, s: SlotId, side: Side, state: &mut [At], out: &mut Vec<Step>) {
        let at = &mut state[self.cells.of[s.index()]];
        if !at.on(side) && at.on(side.other()) {
            out.push(Step::Transfer { slot: s, to: side });
            *at = At { host: true, device: true };
        }
    }

    /// A write, perhaps of a part only: then the rest is brought over before.
    fn write_on(&mut self, s: SlotId, side: Side, state: &mut [At], out: &mut Vec<Step>) {
        if self.written.contains(&s) {
            self.read(s, side, state, out);
        }
        self.write(s, side, state);
    }

    fn write(&mut self, s: SlotId, side: Side, state: &mut [At]) {
        self.written.insert(s);
        self.alone(s, side, state);
    }

    /// The contents are on one side from now on, and those of other cells in these bytes nowhere.
    fn alone(&mut self, s: SlotId, side: Side, state: &mut [At]) {
        let cell = self.cells.of[s.index()];
        state[cell] = At::only(side);
        self.holders[cell] = Some(s);
        self.cells.overlaps[cell].iter().for_each(|&o| state[o] = At::default());
    }

    /// What lies in the memory of these slots, whichever slot it belongs to by now.
    fn to_host(&self, slots: &BTreeSet<SlotId>, state: &mut [At], out: &mut Vec<Step>) {
        for s in slots {
            let holder = self.holders[self.cells.of[s.index()]].unwrap_or(*s);
            self.read(holder, Side::Host, state, out);
        }
    }

    /// Before a loop: what its body reads on the device and does not write is copied once, not in every iteration.
    fn read_only(&self, body: &[Step], touched: &BTreeSet<SlotId>, state: &mut [At], out: &mut Vec<Step>) {
        let written: BTreeSet<usize> = touched.iter().map(|s| self.cells.of[s.index()]).collect();
        let disturbed = |c: usize| written.contains(&c) || self.cells.overlaps[c].iter().any(|o| written.contains(o));
        for_launches(body, &mut |l| {
            let side = self.kernels[l.kernel as usize].side();
            for a in l.args.iter().filter(|a| !disturbed(self.cells.of[a.index()])) {
                self.read(*a, side, state, out);
            }
        });
    }
}

fn for_launches(steps: &[Step], f: &mut impl FnMut(&Launch)) {
    for s in steps {
        match s {
            Step::Launch(l) => f(l),
            Step::If { then, otherwise, .. } => {
                for_launches(then, f);
                for_launches(otherwise, f);
            }
            Step::Loop { body, .. } => for_launches(body, f),
            _ => {}
        }
    }
}

/// Slots that steps write, nested ones too.
fn written_in<'a>(steps: impl IntoIterator<Item = &'a Step>, kernels: &[Kernel]) -> BTreeSet<SlotId> {
    let mut found = BTreeSet::new();
    for s in steps {
        match s {
            Step::Launch(l) => {
                let params = l.args.iter().zip(&kernels[l.kernel as usize].params);
                found.extend(params.filter(|(_, p)| p.access != Access::Read).map(|(a, _)| *a));
            }
            Step::Host { results, .. } => found.extend(results),
            Step::Copy { dst, .. } | Step::Store { dst, .. } => {
                found.insert(*dst);
            }
            Step::If { then, otherwise, .. } => found.extend(written_in([then, otherwise].into_iter().flatten(), kernels)),
            Step::Loop { iteration, body, .. } => {
                found.insert(*iteration);
                found.extend(written_in(body, kernels));
            }
            Step::Transfer { .. } | Step::ReadDim { .. } => {}
        }
    }
    found
}
