//! Memory planning: every buffer that is not the caller's gets an offset in one arena. Two buffers share bytes where their
//! lives do not overlap, and a result takes over the memory of an argument that dies as it is written.
//!
//! A life is an interval of step numbers, counted through nested step lists. A buffer used inside and outside a loop lives for
//! the whole loop: what an iteration leaves must still be there in the next. Sizes are taken at the largest values of the
//! symbols, so that one arena serves every shape in range.

use std::sync::Arc;

use beiming_ir::plan::{Place, SlotId, Step};
use beiming_ir::types::{Dim, Symbols};

/// Whose memory a storage is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Home {
    /// The caller's, the n-th input.
    Input(u32),
    /// The caller's, the n-th output.
    Output(u32),
    /// The n-th weight.
    Weight(u32),
    /// The arena.
    Arena,
}

/// Memory that one or more slots lie in.
#[derive(Clone, Debug)]
pub struct Storage {
    /// Whose.
    pub home: Home,
    /// Size.
    pub bytes: Dim,
}

/// The layout.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Place of each storage.
    pub places: Vec<Place>,
    /// Bytes of the arena.
    pub arena: u64,
    /// Bytes if no two storages shared any.
    pub without_reuse: u64,
}

/// Alignment of every buffer: a cache line, and the widest vector.
const ALIGN: u64 = 64;
/// More than this is not a size but a symbol without a bound.
const MOST: i64 = 1 << 46;
/// A symbol that may be larger than this has no range to speak of.
pub const UNBOUNDED: i64 = 1 << 32;

/// Life of a storage.
#[derive(Clone, Debug, Default)]
struct Life {
    first: usize,
    last: usize,
    /// Loops around the first use, as far as later uses share them.
    path: Vec<usize>,
    used: bool,
    /// Written by steps other than launches: a loop's state, a stacked result.
    shared: bool,
}

/// Lays out `storages`; `slots` says which one each slot lies in. `in_place` lists `(read, written)` storages of which the second may
/// take the memory of the first. Errors name the symbols without a bound.
///
/// Offsets are given greedily, the largest first, each at the lowest free place (quadratic only in buffers alive together).
pub fn place(
    storages: &[Storage],
    slots: &[usize],
    steps: &[Step],
    in_place: &[(usize, usize)],
    symbols: &Symbols,
    reuse: bool,
) -> Result<Placed, Vec<String>> {
    let sizes = sizes(storages, symbols)?;
    let mut walk =
        Lives { slots, lives: vec![Life::default(); storages.len()], loops: vec![], path: vec![], until: vec![], now: 0 };
    walk.walk(steps);
    let mut lives = walk.finish();

    // Join results with the arguments they take over.
    let mut owner: Vec<usize> = (0..storages.len()).collect();
    let find = |owner: &[usize], mut i: usize| {
        while owner[i] != i {
            i = owner[i];
        }
        i
    };
    for &(read, written) in in_place.iter().filter(|_| reuse) {
        let (r, w) = (find(&owner, read), find(&owner, written));
        let arena = storages[read].home == Home::Arena && storages[written].home == Home::Arena;
        let dies = lives[r].last == lives[w].first && !lives[w].shared && w == written;
        if arena && dies && r != w && sizes[written] <= sizes[r] && lives[r].used && lives[w].used {
            owner[w] = r;
            lives[r].last = lives[w].last;
        }
    }

    let mut order: Vec<usize> =
        (0..storages.len()).filter(|&i| storages[i].home == Home::Arena && owner[i] == i && lives[i].used).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(sizes[i]), lives[i].first, i));
    let mut offsets = vec![0u64; storages.len()];
    let mut done: Vec<usize> = vec![];
    let mut arena = 0u64;
    for &i in &order {
        let mut taken: Vec<(u64, u64)> = done
            .iter()
            .filter(|&&j| !reuse || (lives[j].first <= lives[i].last && lives[i].first <= lives[j].last))
            .map(|&j| (offsets[j], offsets[j] + sizes[j]))
            .collect();
        taken.sort_unstable();
        // The smallest gap that is large enough; else the end.
        let (mut end, mut best) = (0u64, None::<(u64, u64)>);
        for (from, to) in taken {
            if from >= end + sizes[i] && best.is_none_or(|(gap, _)| from - end < gap) {
                best = Some((from - end, end));
            }
            end = end.max(to);
        }
        offsets[i] = best.map_or(end, |b| b.1);
        arena = arena.max(offsets[i] + sizes[i]);
        done.push(i);
    }
    let without_reuse = (0..storages.len()).filter(|&i| storages[i].home == Home::Arena && lives[i].used).map(|i| sizes[i]).sum();
    let places = (0..storages.len())
        .map(|i| match storages[i].home {
            Home::Input(n) => Place::Input(n),
            Home::Output(n) => Place::Output(n),
            Home::Weight(n) => Place::Weight(n),
            Home::Arena => Place::Arena(offsets[find(&owner, i)]),
        })
        .collect();
    Ok(Placed { places, arena, without_reuse })
}

/// Largest sizes, rounded up to the alignment.
fn sizes(storages: &[Storage], symbols: &Symbols) -> Result<Vec<u64>, Vec<String>> {
    let mut open: Vec<Arc<str>> = vec![];
    let mut errors: Vec<String> = vec![];
    let mut out = vec![];
    for s in storages {
        let most = s.bytes.range(symbols).hi;
        if s.home == Home::Arena && !(0..MOST).contains(&most) {
            let unbounded: Vec<_> = s.bytes.symbols().into_iter().filter(|n| symbols.range(n).hi > UNBOUNDED).collect();
            if unbounded.is_empty() {
                errors.push(format!(
                    "a buffer of {} bytes can grow past {MOST} bytes: narrow the ranges of its dimensions with `--dim`",
                    s.bytes
                ));
            }
            open.extend(unbounded);
        }
        out.push((most.clamp(0, MOST) as u64).next_multiple_of(ALIGN));
    }
    open.sort();
    open.dedup();
    if !open.is_empty() {
        let names: Vec<String> = open.iter().map(|n| format!("`{n}`")).collect();
        let flags: Vec<String> = open.iter().map(|n| format!("--dim {n}=1..64")).collect();
        errors.insert(
            0,
            format!(
                "memory is laid out for the largest shapes, and {} has no largest value: give a range, as in `{}`, or fix the inputs with `--shape`",
                names.join(", "),
                flags.join(" ")
            ),
        );
    }
    if errors.is_empty() { Ok(out) } else { Err(errors) }
}

struct Lives<'a> {
    slots: &'a [usize],
    lives: Vec<Life>,
    /// First and last step of each loop.
    loops: Vec<(usize, usize)>,
    /// Loops around the current step.
    path: Vec<usize>,
    /// Storages that live to the end of a loop.
    until: Vec<(usize, usize)>,
    now: usize,
}

impl Lives<'_> {
    fn walk(&mut self, steps: &[Step]) {
        for s in steps {
            self.now += 1;
            match s {
                Step::Launch(l) => {
                    for a in &l.args {
                        self.touch(*a);
                    }
                }
                Step::Host { args, results, .. } => {
                    args.iter().for_each(|a| self.touch(*a));
                    results.iter().for_each(|a| self.write(*a));
                }
                Step::Copy { src, dst } => {
                    self.touch(*src);
                    self.write(*dst);
                }
                Step::Transfer { slot, .. } => self.touch(*slot),
                Step::Store { src, dst, at } => {
                    self.touch(*src);
                    self.touch(*at);
                    self.write(*dst);
                }
                Step::ReadDim { from, .. } => self.touch(*from),
                Step::If { cond, then, otherwise } => {
                    self.touch(*cond);
                    self.walk(then);
                    self.walk(otherwise);
                }
                Step::Loop { trip, cond, iteration, body, .. } => {
                    // The runtime reads and writes these between iterations: they live as long as the loop.
                    let header = [*trip, *cond, *iteration];
                    header.iter().for_each(|a| self.write(*a));
                    let id = self.loops.len();
                    self.loops.push((self.now, 0));
                    self.path.push(id);
                    self.walk(body);
                    self.path.pop();
                    self.now += 1;
                    self.loops[id].1 = self.now;
                    header.iter().for_each(|a| self.touch(*a));
                }
            }
        }
    }

    fn write(&mut self, s: SlotId) {
        self.touch(s);
        self.lives[self.slots[s.index()]].shared = true;
    }

    fn touch(&mut self, s: SlotId) {
        let life = &mut self.lives[self.slots[s.index()]];
        if !life.used {
            *life = Life { first: self.now, last: self.now, path: self.path.clone(), used: true, shared: life.shared };
            return;
        }
        life.last = life.last.max(self.now);
        let common = life.path.iter().zip(&self.path).take_while(|(a, b)| a == b).count();
        if let Some(l) = life.path.get(common) {
            // Born inside a loop that it outlives: it must not be overwritten in the next iteration before its birth.
            life.first = life.first.min(self.loops[*l].0);
        }
        life.path.truncate(common);
        if let Some(l) = self.path.get(common) {
            // Used inside a loop that it is older than: alive to the loop's end, which is known once it has been walked.
            self.until.push((self.slots[s.index()], *l));
        }
    }

    fn finish(mut self) -> Vec<Life> {
        for (s, l) in self.until {
            self.lives[s].last = self.lives[s].last.max(self.loops[l].1);
        }
        self.lives
    }
}
