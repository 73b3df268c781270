//! What a kernel costs on an Ascend NPU, predicted from the chip's numbers alone.
//!
//! A core's units ("pipes") work side by side on different tiles of one kernel. [`Pipes`] counts the cycles each is busy on the
//! busiest core; [`Pipes::cycles`] puts them together: with double buffering the slowest pipe decides, without it the ones that
//! wait for each other add up. On top come bandwidths that all cores share (memory, L2) and the launch.
//!
//! The same model chooses tiles ([`matmul::choose`]) and is held against published measurements in `tests/anchors.rs`; no
//! constant is fitted to a row of that table other than those which `ir::target::npu` says are derived.

pub mod account;
pub mod attention;
pub mod capability;
pub mod integers;
pub mod join;
pub mod legal;
pub mod lower;
pub mod matmul;
pub mod roof;
pub mod streaming;
pub mod sync;

use beiming_ir::target::npu::Npu;

/// Cycles the units of the busiest core are occupied.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Pipes {
    /// Global memory to L1 or to the unified buffer.
    pub mte2: f64,
    /// L1 to the operand buffers.
    pub mte1: f64,
    /// Unified buffer to global memory.
    pub mte3: f64,
    /// Matrix instructions.
    pub cube: f64,
    /// Vector instructions.
    pub vector: f64,
    /// Accumulators to global memory.
    pub fixpipe: f64,
    /// Addresses, loops, issue.
    pub scalar: f64,
}

/// What decides a kernel's time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs)]
pub enum Bound {
    Mte2,
    Mte1,
    Mte3,
    Cube,
    Vector,
    Fixpipe,
    Scalar,
    /// Memory bandwidth of the chip.
    Memory,
    /// L2 bandwidth of the chip.
    L2,
    /// The launch itself.
    Launch,
}

impl Bound {
    /// Name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Bound::Mte2 => "MTE2",
            Bound::Mte1 => "MTE1",
            Bound::Mte3 => "MTE3",
            Bound::Cube => "cube",
            Bound::Vector => "vector",
            Bound::Fixpipe => "fixpipe",
            Bound::Scalar => "scalar",
            Bound::Memory => "memory",
            Bound::L2 => "L2",
            Bound::Launch => "launch",
        }
    }
}

impl Pipes {
    /// The pipes by name, in a fixed order.
    pub fn named(&self) -> [(Bound, f64); 7] {
        [
            (Bound::Mte2, self.mte2),
            (Bound::Mte1, self.mte1),
            (Bound::Mte3, self.mte3),
            (Bound::Cube, self.cube),
            (Bound::Vector, self.vector),
            (Bound::Fixpipe, self.fixpipe),
            (Bound::Scalar, self.scalar),
        ]
    }

    /// Cycles with everything overlapped, and the pipe that decides.
    pub fn overlapped(&self) -> (f64, Bound) {
        self.named().into_iter().fold((0.0, Bound::Launch), |best, (b, c)| if c > best.0 { (c, b) } else { best })
    }

    /// Cycles where one buffer serves each copy: copies in, loads and copies out take turns, and only the arithmetic units, fed
    /// through queues of instructions, run beside them.
    pub fn in_turns(&self) -> (f64, Bound) {
        let copies = self.mte2 + self.mte1 + self.mte3 + self.fixpipe;
        let (other, which) = Pipes { mte2: 0.0, mte1: 0.0, mte3: 0.0, fixpipe: 0.0, ..*self }.overlapped();
        if copies < other {
            return (other, which);
        }
        let (_, slowest) = Pipes { cube: 0.0, vector: 0.0, scalar: 0.0, ..*self }.overlapped();
        (copies, slowest)
    }
}

/// A predicted kernel.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Estimate {
    /// Microseconds, launch included.
    pub us: f64,
    /// Cycles of the busiest core's pipes.
    pub pipes: Pipes,
    /// What decides.
    pub bound: Bound,
    /// Mean load of the cores over that of the busiest, 0 to 1.
    pub balance: f64,
    /// Bytes moved between the chip and its memory.
    pub memory_bytes: f64,
}

impl Estimate {
    /// Puts a core's cycles, shared bandwidths and the launch together.
    fn of(npu: &Npu, pipes: Pipes, core: (f64, Bound), balance: f64, memory_bytes: f64, l2_bytes: f64) -> Estimate {
        let memory = memory_bytes / npu.stream_bytes_per_cycle();
        let l2 = npu.l2_tbps.map_or(0.0, |t| l2_bytes * npu.clock_mhz / (t * 1e6));
        let (mut cycles, mut bound) = core;
        for (c, b) in [(memory, Bound::Memory), (l2, Bound::L2)] {
            if c > cycles {
                (cycles, bound) = (c, b);
            }
        }
        let us = npu.us(cycles);
        if npu.core.launch_us > us {
            bound = Bound::Launch;
        }
        Estimate { us: us + npu.core.launch_us, pipes, bound, balance, memory_bytes }
    }
}
