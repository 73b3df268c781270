//! Copies between host and device: random plans give the same results on two memories, with the copies planned, as on one without.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use beiming_ir::kernel::{Access, Buffer, Kernel, OnNpu, Space, Unit};
use beiming_ir::plan::{Launch, Origin, Place, Plan, Port, Program, Side, Slot, SlotId, Step};
use beiming_ir::target::Target;
use beiming_ir::types::{DType, Dim, TensorType};
use beiming_passes::transfer;
use proptest::prelude::*;

/// Slots: two inputs, two outputs, a weight, and the arena with views, reuse and overlaps.
const PLACES: [(Place, i64); 13] = [
    (Place::Input(0), 64),
    (Place::Input(1), 64),
    (Place::Output(0), 64),
    (Place::Output(1), 64),
    (Place::Weight(0), 64),
    (Place::Arena(0), 64),
    (Place::Arena(0), 64),
    (Place::Arena(64), 64),
    (Place::Arena(128), 64),
    (Place::Arena(64), 128),
    (Place::Arena(192), 64),
    (Place::Arena(256), 64),
    (Place::Arena(320), 64),
];

/// Kernels: side, and the access of the last of three parameters.
const KERNELS: [(Side, Access); 3] =
    [(Side::Host, Access::Write), (Side::Device, Access::Write), (Side::Device, Access::ReadWrite)];

fn program(steps: Vec<Step>) -> Program {
    let buffer =
        |access| Buffer { name: "b".into(), dtype: DType::U8, shape: vec![Dim::Known(64)], space: Space::Memory, access };
    let kernel = |&(side, access): &(Side, Access)| {
        let params = [Access::Read, Access::Read, access].map(buffer).to_vec();
        let npu = (side == Side::Device).then(|| OnNpu { unit: Unit::Vector, copies: vec![], workspace: None });
        Kernel { params, npu, ..Kernel::default() }
    };
    let slot = |&(place, n): &(Place, i64)| Slot { ty: TensorType::new(DType::U8, &[Dim::Known(n)]), place };
    let port = |name: &str, s| Port { name: name.into(), slot: SlotId(s) };
    Program {
        target: Target::host(),
        kernels: KERNELS.iter().map(kernel).collect(),
        weights: vec![],
        plan: Plan {
            inputs: vec![port("a", 0), port("b", 1)],
            outputs: vec![port("c", 2), port("d", 3)],
            slots: PLACES.iter().map(slot).collect(),
            arena: 384,
            steps,
            ..Plan::default()
        },
    }
}

fn hash(x: impl Hash) -> u64 {
    let mut h = DefaultHasher::new();
    x.hash(&mut h);
    h.finish()
}

/// A machine that knows which contents are defined; values are stand-ins for contents. `memories`: one, or one a side.
struct Machine {
    memories: Vec<BTreeMap<usize, u64>>,
    /// Defined cells, as one memory would have them.
    defined: BTreeSet<usize>,
    written: BTreeSet<SlotId>,
    /// Decides branches and numbers of iterations.
    choice: u64,
    copies: usize,
}

/// The first slot of the same place and size.
fn cell(s: SlotId) -> usize {
    let me = PLACES[s.index()];
    PLACES.iter().position(|p| *p == me).expect("it is in the table itself")
}

fn overlap(a: usize, b: usize) -> bool {
    match (PLACES[a], PLACES[b]) {
        ((Place::Arena(x), n), (Place::Arena(y), m)) => x < y + m as u64 && y < x + n as u64,
        _ => a == b,
    }
}

impl Machine {
    fn new(sides: usize, choice: u64) -> Machine {
        let mut memories = vec![BTreeMap::new(); sides];
        for (i, m) in memories.iter_mut().enumerate() {
            m.insert(4, 14);
            if i == 0 {
                m.extend([(0, 10), (1, 11)]);
            }
        }
        Machine { memories, defined: [0, 1, 4].into(), written: BTreeSet::new(), choice, copies: 0 }
    }

    fn memory(&mut self, side: Side) -> &mut BTreeMap<usize, u64> {
        let n = if self.memories.len() == 2 { side as usize } else { 0 };
        &mut self.memories[n]
    }

    fn read(&mut self, s: SlotId, side: Side) -> u64 {
        if !self.defined.contains(&cell(s)) {
            return 0;
        }
        self.memory(side).get(&cell(s)).copied().unwrap_or(999)
    }

    fn write(&mut self, s: SlotId, side: Side, value: u64, whole: bool) {
        let c = cell(s);
        // A slot that a launch writes again is written in part.
        let old = if !whole && self.written.contains(&s) { self.read(s, side) } else { 0 };
        self.written.insert(s);
        self.defined.retain(|d| !overlap(*d, c));
        self.defined.insert(c);
        for m in &mut self.memories {
            m.retain(|d, _| *d == c || !overlap(*d, c));
        }
        self.memory(side).insert(c, hash((value, old)));
    }

    fn steps(&mut self, steps: &[Step]) {
        for s in steps {
            match s {
                Step::Launch(l) => {
                    let (side, access) = KERNELS[l.kernel as usize];
                    let mut v = vec![self.read(l.args[0], side), self.read(l.args[1], side), l.flops.known().unwrap_or(0) as u64];
                    if access == Access::ReadWrite {
                        v.push(self.read(l.args[2], side));
                    }
                    self.write(l.args[2], side, hash(v), false);
                }
                Step::Copy { src, dst } => {
                    let v = self.read(*src, Side::Host);
                    self.write(*dst, Side::Host, v, true);
                }
                Step::Transfer { slot, to } => {
                    self.copies += 1;
                    if let Some(v) = self.memory(to.other()).get(&cell(*slot)).copied() {
                        self.memory(*to).insert(cell(*slot), v);
                    }
                }
                Step::If { cond, then, otherwise } => {
                    let taken = hash((self.read(*cond, Side::Host), self.choice)).is_multiple_of(2);
                    self.steps(if taken { then } else { otherwise });
                }
                Step::Loop { cond, iteration, body, .. } => {
                    let trips = hash((self.read(*cond, Side::Host), self.choice)) % 4;
                    for i in 0..trips {
                        self.write(*iteration, Side::Host, i, true);
                        self.steps(body);
                    }
                }
                _ => unreachable!("no other step is generated"),
            }
        }
    }
}

fn written(s: u32) -> SlotId {
    // Neither inputs nor the weight; the counter of loops, the last slot, is theirs.
    SlotId([2, 3, 5, 6, 7, 8, 9, 10, 11][s as usize % 9])
}

fn steps(depth: u32) -> BoxedStrategy<Vec<Step>> {
    let launch = (0..3u32, 0..13u32, 0..13u32, 0..9u32, 0..1000i64).prop_map(|(kernel, a, b, c, id)| {
        Step::Launch(Launch {
            kernel,
            args: vec![SlotId(a), SlotId(b), written(c)],
            dims: vec![],
            grid: Dim::Known(1),
            name: "".into(),
            flops: Dim::Known(id),
            bytes: Dim::Known(0),
            origin: Origin::default(),
        })
    });
    let copy = (0..13u32, 0..9u32).prop_map(|(a, b)| Step::Copy { src: SlotId(a), dst: written(b) });
    if depth == 0 {
        return prop::collection::vec(prop_oneof![4 => launch, 1 => copy], 0..8).boxed();
    }
    let inner = move || steps(depth - 1);
    let branch = (0..13u32, inner(), inner()).prop_map(|(c, then, otherwise)| Step::If { cond: SlotId(c), then, otherwise });
    let repeat = (0..13u32, inner()).prop_map(|(c, body)| Step::Loop {
        trip: SlotId(c),
        cond: SlotId(c),
        iteration: SlotId(12),
        trips: None,
        body,
    });
    prop::collection::vec(prop_oneof![8 => launch, 1 => copy, 1 => branch, 1 => repeat], 0..10).boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn two_memories_give_what_one_gives(list in steps(2), choice in 0..64u64) {
        let mut p = program(list.clone());
        transfer::run(&mut p);
        let (mut one, mut two) = (Machine::new(1, choice), Machine::new(2, choice));
        one.steps(&list);
        two.steps(&p.plan.steps);
        for out in [SlotId(2), SlotId(3)] {
            prop_assert_eq!(one.read(out, Side::Host), two.read(out, Side::Host), "output {}: {:#?}", out.0, p.plan.steps);
        }
    }
}

fn launch(kernel: u32, args: [u32; 3]) -> Step {
    Step::Launch(Launch {
        kernel,
        args: args.map(SlotId).to_vec(),
        dims: vec![],
        grid: Dim::Known(1),
        name: "".into(),
        flops: Dim::Known(0),
        bytes: Dim::Known(0),
        origin: Origin::default(),
    })
}

fn planned(steps: Vec<Step>) -> Vec<(u32, Side)> {
    let mut p = program(steps);
    transfer::run(&mut p);
    let of = |s: &Step| match s {
        Step::Transfer { slot, to } => Some((slot.0, *to)),
        _ => None,
    };
    p.plan.steps.iter().filter_map(of).collect()
}

/// No copy is made that nobody needs.
#[test]
fn copies_are_made_once_and_where_needed() {
    use Side::{Device, Host};
    // Only the device: inputs there, outputs back, nothing between.
    let chain = vec![launch(1, [0, 1, 5]), launch(1, [5, 4, 7]), launch(1, [5, 7, 2]), launch(1, [7, 0, 3])];
    assert_eq!(planned(chain), [(0, Device), (1, Device), (2, Host), (3, Host)]);
    // A host step in the middle; what lay in its result's memory before is not brought over.
    let middle = vec![launch(1, [0, 0, 5]), launch(0, [5, 5, 7]), launch(1, [7, 5, 2]), launch(0, [0, 0, 3])];
    assert_eq!(planned(middle), [(0, Device), (5, Host), (7, Device), (2, Host)]);
    // Only the host.
    assert_eq!(planned(vec![launch(0, [0, 1, 2]), launch(0, [0, 4, 3])]), []);
    // What a loop only reads is copied before it.
    let body = vec![launch(1, [0, 1, 5])];
    let repeat = Step::Loop { trip: SlotId(1), cond: SlotId(1), iteration: SlotId(12), trips: None, body };
    assert_eq!(planned(vec![repeat])[..2], [(0, Device), (1, Device)]);
}
