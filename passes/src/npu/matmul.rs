//! Matrix products on the cube unit: base tile, split over cores, and what they cost.
//!
//! A core works through base tiles of `bm x bn` results. For each it walks the depth in steps of `bk`: operands come from
//! global memory into L1 (MTE2, several steps a copy), from there into the operand buffers (MTE1), are multiplied into the
//! accumulators (cube), and the finished tile leaves through the fixpipe.

use beiming_ir::target::npu::{CubeMode, Npu};
use beiming_ir::types::DType;

use super::{Estimate, Pipes};

/// A product `[m, k] x [k, n]`, `batch` times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Product {
    /// Independent products.
    pub batch: usize,
    /// Rows.
    pub m: usize,
    /// Columns.
    pub n: usize,
    /// Depth.
    pub k: usize,
    /// Type of both operands.
    pub operand: DType,
    /// Type that is written.
    pub result: DType,
}

/// How base tiles are dealt to cores.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Split {
    /// Every core takes a block of rows and columns, the first number of cores along the rows. The last ones get what is left.
    Blocks(usize, usize),
    /// Base tiles are numbered and dealt out in runs of equal length.
    Runs,
}

/// A schedule.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Tile {
    /// Rows of a base tile.
    pub bm: usize,
    /// Columns of a base tile.
    pub bn: usize,
    /// Depth of a step.
    pub bk: usize,
    /// Distribution.
    pub split: Split,
    /// Cores used.
    pub cores: usize,
    /// Steps that one copy into L1 brings in.
    pub steps: usize,
    /// Copies into L1 go on while the core computes.
    pub double_buffer: bool,
}

/// A buffer that a schedule needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Need {
    /// Which.
    pub what: &'static str,
    /// Bytes it takes.
    pub bytes: usize,
    /// Bytes there are.
    pub capacity: usize,
}

/// Microseconds of a schedule; `None` where the cube unit lacks the type.
pub fn estimate(npu: &Npu, p: &Product, t: &Tile) -> Option<Estimate> {
    let mode = *npu.core.cube_mode(p.operand)?;
    let (busiest, mean) = tiles_of_a_core(p, t);
    let steps = p.k.div_ceil(t.bk) as f64;
    let step = pipes_of_a_step(npu, &mode, p, t);
    let out = (t.bm * t.bn * p.result.size()) as f64 / npu.core.l0c_to_gm;
    let each = |c: f64| c * steps * busiest;
    let pipes = Pipes {
        mte2: each(step.mte2),
        mte1: each(step.mte1),
        cube: each(step.cube),
        scalar: each(step.scalar),
        fixpipe: out * busiest,
        ..Pipes::default()
    };
    // The scalar unit runs ahead of the others through their queues.
    let core = if t.double_buffer { pipes.overlapped() } else { pipes.in_turns() };
    let each_once = (p.batch * (p.m * p.k + p.k * p.n)) as f64 * p.operand.size() as f64;
    let result = (p.batch * p.m * p.n * p.result.size()) as f64;
    let read = step.bytes * steps * mean * t.cores as f64;
    Some(Estimate::of(npu, pipes, core, mean / busiest, each_once + result, read))
}

/// One step of the depth on one core.
struct Step {
    mte2: f64,
    mte1: f64,
    cube: f64,
    scalar: f64,
    bytes: f64,
}

fn pipes_of_a_step(npu: &Npu, mode: &CubeMode, p: &Product, t: &Tile) -> Step {
    let size = p.operand.size();
    let (left, right) = ((t.bm * t.bk * size) as f64, (t.bk * t.bn * size) as f64);
    let rate = if t.double_buffer { npu.core.gm_to_l1_streaming } else { npu.core.gm_to_l1_alone };
    // Rows of the left operand are `steps` steps long in one copy, those of the right one a base tile wide.
    let full =
        |elements: usize| if (elements * size).is_multiple_of(npu.core.gm_align as usize) { 1.0 } else { npu.core.misaligned_nz };
    let (left_rate, right_rate) = (rate * full(t.bk * t.steps), rate * full(t.bn));
    let fractals = t.bm.div_ceil(16) * t.bn.div_ceil(16) * t.bk.div_ceil(mode.k0 as usize);
    Step {
        mte2: if t.double_buffer { left / left_rate + right / right_rate } else { (left + right) / rate },
        mte1: left / npu.core.l1_to_l0a + right / npu.core.l1_to_l0b + 2.0 * npu.core.load_start,
        cube: npu.core.mmad_start + fractals as f64 * f64::from(mode.k0) / f64::from(mode.k_per_cycle),
        scalar: npu.core.scalar_per_mmad,
        bytes: left + right,
    }
}

/// Base tiles of the busiest core, and their mean over the cores in use.
fn tiles_of_a_core(p: &Product, t: &Tile) -> (f64, f64) {
    let (rows, columns) = (p.m.div_ceil(t.bm), p.n.div_ceil(t.bn));
    let all = (p.batch * rows * columns) as f64;
    let busiest = match t.split {
        Split::Blocks(along_m, along_n) => p.batch * rows.div_ceil(along_m) * columns.div_ceil(along_n),
        Split::Runs => (p.batch * rows * columns).div_ceil(t.cores),
    };
    (busiest as f64, all / t.cores as f64)
}

/// The buffers a schedule needs, each with its capacity.
pub fn needs(npu: &Npu, p: &Product, t: &Tile) -> [Need; 4] {
    let size = p.operand.size();
    let copies = if t.double_buffer { 2 } else { 1 };
    [
        Need { what: "L0A, two steps of the left operand", bytes: 2 * t.bm * t.bk * size, capacity: npu.core.l0a as usize },
        Need { what: "L0B, two steps of the right operand", bytes: 2 * t.bk * t.bn * size, capacity: npu.core.l0b as usize },
        Need { what: "L0C, the accumulators", bytes: t.bm * t.bn * 4, capacity: npu.core.l0c as usize },
        Need {
            what: "L1, both operands of a copy",
            bytes: copies * t.steps * (t.bm + t.bn) * t.bk * size,
            capacity: npu.core.l1 as usize,
        },
    ]
}

/// True where every buffer of a schedule fits.
pub fn fits(npu: &Npu, p: &Product, t: &Tile) -> bool {
    needs(npu, p, t).iter().all(|n| n.bytes <= n.capacity)
}

/// The fastest schedule that fits, and what it costs; `None` where the cube unit lacks the type. Of equally fast ones the
/// largest base tile wins, which moves the fewest bytes.
pub fn choose(npu: &Npu, p: &Product) -> Option<(Tile, Estimate)> {
    let mut best: Option<(Tile, Estimate)> = None;
    for [bm, bn, bk] in base_tiles(npu, p)? {
        let Some(t) = widest_copy(npu, p, [bm, bn, bk]) else { continue };
        let Some(e) = estimate(npu, p, &t) else { continue };
        let better = best
            .as_ref()
            .is_none_or(|(b, old)| (e.us, std::cmp::Reverse(bm * bn), bk) < (old.us, std::cmp::Reverse(b.bm * b.bn), b.bk));
        if better {
            best = Some((t, e));
        }
    }
    best
}

/// The base tiles that there are for a product, whether they fit or not, the smallest first: rows, columns, depth. `None` where
/// the cube unit lacks the type.
pub fn base_tiles(npu: &Npu, p: &Product) -> Option<impl Iterator<Item = [usize; 3]>> {
    let k0 = npu.core.cube_mode(p.operand)?.k0 as usize;
    let sides = |n: usize| (16..=512).step_by(16).take_while(move |b| *b < n + 16);
    let (m, n) = (p.m, p.n);
    let depths = move |bm, bn| [k0, 2 * k0, 4 * k0, 8 * k0, 16 * k0].map(|bk| [bm, bn, bk]);
    Some(sides(m).flat_map(move |bm| sides(n).flat_map(move |bn| depths(bm, bn))))
}

/// The schedule of a base tile whose copies into L1 are the longest that fit twice; `None` where it does not fit.
pub fn widest_copy(npu: &Npu, p: &Product, [bm, bn, bk]: [usize; 3]) -> Option<Tile> {
    let tiles = p.batch * p.m.div_ceil(bm) * p.n.div_ceil(bn);
    let cores = tiles.min(npu.cube_cores as usize).max(1);
    let with = |steps| Tile { bm, bn, bk, split: Split::Runs, cores, steps, double_buffer: true };
    let one = with(1);
    if !fits(npu, p, &one) {
        return None;
    }
    let most = p.k.div_ceil(bk).max(1);
    let mut steps = 1;
    while steps * 2 <= most && fits(npu, p, &with(steps * 2)) {
        steps *= 2;
    }
    Some(with(steps))
}
