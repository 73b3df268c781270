//! Tiles of contractions: which register tile, and how many rows and columns one grid point covers. The choice is made by the
//! cost model below over the target's numbers; nothing is timed, so the same model gives the same code everywhere.
//!
//! A contraction is `M x K` by `K x N`, repeated over a batch. A register tile of `mr x nr` accumulators runs over the whole
//! depth; the packed right operand is streamed a row of `nr` at a time, the left one read (or packed) `mr` at a time.

use std::sync::Arc;

use beiming_ir::ops::{Body, BodyNode, Op, Tile};
use beiming_ir::target::Target;
use egg::EGraph;

use crate::saturate::language::ENode;

/// Extents of a contraction as the tiler weighs them; symbolic ones at a typical value.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Extents {
    /// Independent products (batch, groups).
    pub batch: usize,
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Depth of the sum.
    pub k: usize,
    /// Bytes of an element of the operands.
    pub bytes: usize,
    /// The right operand is packed into rows of `nr` beforehand.
    pub packed: bool,
}

/// Cycles a register tile costs besides its depth loop: addresses, loading and storing accumulators.
const TILE_OVERHEAD: f64 = 30.0;
/// Cycles a grid point costs.
const POINT_OVERHEAD: f64 = 60.0;

/// Rules of the tile saturation, by the names that reports show.
const RULES: [&str; 3] = ["one more row", "one more vector", "another block"];
/// Rows of a register tile that are tried at most.
const MAX_ROWS: usize = 32;
/// Vectors of a register tile's columns that are tried at most.
const MAX_VECTORS: usize = 12;

/// A chosen tile and how it was found.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The tile.
    pub tile: Tile,
    /// Predicted cycles of one core.
    pub cycles: f64,
    /// Alternatives in the e-graph at the start and after every iteration.
    pub growth: Vec<usize>,
    /// New alternatives of every rule.
    pub hits: [usize; RULES.len()],
}

/// The cheapest legal tile, by saturation: an e-graph of one class whose nodes are the same op under different tiles. Each rule
/// makes a neighbouring tile, so the alternatives grow with the number of tiles and not with the loops they stand for.
pub fn choose(op: &Op, e: &Extents, target: &Target) -> Choice {
    let lanes = target.lanes(4);
    let body = Arc::new(Body { inputs: 0, nodes: vec![BodyNode { op: op.clone(), args: vec![] }] });
    let node = |tile| ENode::op(Op::Tiled { body: body.clone(), tile }, &[]);
    let tile = |mr: usize, nv: usize, mc: usize, nc: usize| Tile {
        mr: mr as u32,
        nr: (nv * lanes) as u32,
        mc: mc as u32,
        nc: nc as u32,
        kc: e.k.max(1) as u32,
    };
    let whole = |mr: usize, nv: usize| {
        let nr = nv * lanes;
        tile(mr, nv, e.m.div_ceil(mr).max(1) * mr, e.n.div_ceil(nr).max(1) * nr)
    };
    let legal = |mr: usize, nv: usize| {
        mr <= MAX_ROWS
            && nv <= MAX_VECTORS
            && fits_registers(mr, nv, target)
            && (nv == 1 || (nv - 1) * lanes < e.n)
            && (mr == 1 || mr <= e.m)
    };
    let mut graph = EGraph::<ENode, ()>::default();
    // One vector by one row always fits the registers.
    let first = whole(1, 1);
    let root = graph.add(node(first));
    let mut best = (cycles(e, &first, target), first);
    let mut choice = Choice { tile: first, cycles: 0.0, growth: vec![1], hits: [0; RULES.len()] };
    let mut fresh = vec![first];
    while !fresh.is_empty() {
        let mut next = vec![];
        for t in std::mem::take(&mut fresh) {
            let (mr, nv) = (t.mr as usize, t.nr as usize / lanes);
            let taller = legal(mr + 1, nv).then(|| whole(mr + 1, nv));
            let wider = legal(mr, nv + 1).then(|| whole(mr, nv + 1));
            let other = blocks(e, mr, nv * lanes, target).into_iter().map(|(mc, nc)| tile(mr, nv, mc, nc));
            let made = taller.map(|t| (0, t)).into_iter().chain(wider.map(|t| (1, t))).chain(other.map(|t| (2, t)));
            for (rule, tile) in made {
                let n = node(tile);
                if graph.lookup(n.clone()).is_some() {
                    continue;
                }
                let id = graph.add(n);
                graph.union(root, id);
                choice.hits[rule] += 1;
                let c = cycles(e, &tile, target);
                // Ties go to the smaller tile: the order of rules must not show.
                if c < best.0 || c == best.0 && tile < best.1 {
                    best = (c, tile);
                }
                // Blocks are leaves: rows and vectors grow from the whole product.
                if rule != 2 {
                    next.push(tile);
                }
            }
        }
        graph.rebuild();
        choice.growth.push(graph.total_size());
        fresh = next;
    }
    (choice.cycles, choice.tile) = best;
    choice
}

impl std::fmt::Display for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (t, growth) = (&self.tile, self.growth.iter().map(usize::to_string).collect::<Vec<_>>());
        write!(
            f,
            "tile {}x{} in blocks of {}x{}: {:.0} cycles, e-nodes {}",
            t.mr,
            t.nr,
            t.mc,
            t.nc,
            self.cycles,
            growth.join(" -> ")
        )?;
        RULES.iter().zip(self.hits).try_for_each(|(r, n)| write!(f, ", {r} {n}"))
    }
}

/// Accumulators, a row of the right operand, and what the left one needs.
pub fn fits_registers(mr: usize, nv: usize, target: &Target) -> bool {
    let left = if target.broadcast_from_memory { 1 } else { mr.div_ceil(4).max(1) };
    mr * nv + nv + left <= target.vector_registers as usize
}

/// Blocks worth weighing: all columns with a cache's worth of rows, or few columns with all rows.
fn blocks(e: &Extents, mr: usize, nr: usize, target: &Target) -> Vec<(usize, usize)> {
    let up = |x: usize, unit: usize| x.div_ceil(unit).max(1) * unit;
    let (m, n) = (up(e.m, mr), up(e.n, nr));
    let row_bytes = (e.k * e.bytes).max(1);
    let mut out = vec![];
    for cache in ["L1", "L2"] {
        let rows = (target.memory(cache) as usize / 2 / row_bytes).clamp(mr, m) / mr * mr;
        for cols in [nr, 2 * nr, 4 * nr, n] {
            out.push((rows.max(mr), cols.min(n)));
        }
    }
    for cols in [nr, 2 * nr, 4 * nr] {
        out.push((m, cols.min(n)));
    }
    // Enough points for every core, evenly.
    let per_core = up(e.m.div_ceil(target.cores as usize * 4), mr);
    out.push((per_core, n));
    out.sort_unstable();
    out.dedup();
    out
}

/// Cycles of one core for its share of the work.
pub fn cycles(e: &Extents, t: &Tile, target: &Target) -> f64 {
    let lanes = target.lanes(4);
    let (mr, nr, mc, nc) = (t.mr as usize, t.nr as usize, t.mc as usize, t.nc as usize);
    let (nv, k) = (nr / lanes, e.k as f64);
    let panels = e.n.div_ceil(nr);
    let panel_bytes = (e.k * nr * e.bytes) as u64;
    let row_tiles_in_block = mc.div_ceil(mr).max(1);

    // Where a row of the right operand comes from: the first tile of a block brings it near, the others find it there.
    let all_right = (e.n * e.k * e.bytes * if e.packed { 1 } else { e.batch }) as u64;
    let far = rate(target, all_right);
    let near = rate(target, panel_bytes + (mr * e.k * e.bytes) as u64);
    let row_bytes = (nr * e.bytes) as f64;

    let tile = |rows: usize| -> f64 {
        let fma = (rows * nv) as f64 / target.fma_per_cycle;
        // Each accumulator waits for itself; loads go two a cycle.
        let latency = f64::from(target.fma_latency);
        let loads = (nv + if target.broadcast_from_memory { rows } else { rows.div_ceil(4) }) as f64 / 2.0;
        let step = fma.max(latency).max(loads) + crowding(e, rows, target);
        let first = step.max(row_bytes / far);
        let other = step.max(row_bytes / near);
        let mean = (first + other * (row_tiles_in_block - 1) as f64) / row_tiles_in_block as f64;
        mean * k + TILE_OVERHEAD + (rows * nv * 3) as f64
    };
    let (full, rest) = (e.m / mr, e.m % mr);
    let mut one_panel = full as f64 * tile(mr);
    if rest > 0 {
        one_panel += tile(rest);
    }
    // The left operand passes once for every group of `nc` columns, from wherever all of it fits.
    let left_bytes = (e.m * e.k * e.bytes) as f64;
    let passes = if nc >= e.n { 1.0 } else { e.n.div_ceil(nc) as f64 };
    let left = passes * left_bytes / rate(target, left_bytes as u64) * 0.25;
    let pack = if target.broadcast_from_memory { 0.0 } else { passes * (e.m * e.k) as f64 };

    let points = e.batch * e.m.div_ceil(mc) * e.n.div_ceil(nc);
    let total = e.batch as f64 * (one_panel * panels as f64 + left + pack) + points as f64 * POINT_OVERHEAD;
    let cores = (target.cores as usize).min(points.max(1));
    let imbalance = points.div_ceil(cores) as f64 * cores as f64 / points as f64;
    // A few points a core let a disturbed core be helped out.
    let stiff = if target.cores > 1 && points < 4 * cores { 1.02 } else { 1.0 };
    total / cores as f64 * imbalance * stiff
}

/// Ways of a set of the nearest cache on the machines at hand.
const WAYS: usize = 8;
/// Extra cycles a step of the depth takes for each pair of rows too many in one set: measured 4.4 at 5 rows too many, 2.2 at 4,
/// 44 at 14 (`128 x 768 x 3072`, AVX-512).
const CROWDED: f64 = 0.22;

/// Rows read in place whose distance is a multiple of a large power of two fall into few sets of the cache and push each other
/// out.
fn crowding(e: &Extents, rows: usize, target: &Target) -> f64 {
    let stride = e.k * e.bytes / 64;
    let sets = target.memory("L1") as usize / (64 * WAYS);
    if !target.broadcast_from_memory || sets == 0 || stride * 64 != e.k * e.bytes {
        return 0.0;
    }
    let distinct = sets / gcd(stride.max(1), sets);
    let too_many = rows.div_ceil(distinct.max(1)).saturating_sub(WAYS) as f64;
    CROWDED * too_many * too_many
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Bytes a cycle from the nearest memory that holds `bytes` in half its size.
fn rate(target: &Target, bytes: u64) -> f64 {
    target.memories.iter().find(|m| bytes <= m.bytes / 2).map_or(1.0, |m| m.bytes_per_cycle)
}

#[cfg(test)]
mod tests {
    use beiming_ir::types::DType;

    use super::*;

    fn extents(m: usize, n: usize, k: usize) -> Extents {
        Extents { batch: 1, m, n, k, bytes: 4, packed: true }
    }

    fn tile_of(e: &Extents, target: &Target) -> Tile {
        choose(&Op::MatMul { out: DType::F32 }, e, target).tile
    }

    #[test]
    fn alternatives_grow_linearly() {
        let c = choose(&Op::MatMul { out: DType::F32 }, &extents(3136, 256, 64), &Target::x86_64_v4());
        assert!(*c.growth.last().unwrap() < 3000 && c.hits.iter().all(|h| *h > 0), "{c}");
    }

    #[test]
    fn tiles_are_legal_and_cover() {
        for target in [Target::x86_64_v3(), Target::x86_64_v4(), Target::kunpeng920()] {
            for (m, n, k) in [(1, 1, 1), (1, 1000, 2048), (128, 768, 768), (12544, 64, 147), (49, 512, 4608), (7, 3, 0)] {
                let t = tile_of(&extents(m, n, k), &target);
                assert!(fits_registers(t.mr as usize, t.nr as usize / target.lanes(4), &target), "{t:?}");
                assert_eq!(t.mc % t.mr, 0, "{t:?}");
                assert_eq!(t.nc % t.nr, 0, "{t:?}");
            }
        }
    }

    /// Weights that come from main memory are read once by the first row tile, which must not wait for them.
    #[test]
    fn weights_beyond_the_caches_take_narrow_tall_tiles() {
        let t = tile_of(&extents(128, 50257, 768), &Target::x86_64_v4());
        assert!(t.mr >= 20 && t.nr == 16, "{t:?}");
    }

    #[test]
    fn one_row_takes_many_columns() {
        let t = tile_of(&extents(1, 4096, 1024), &Target::x86_64_v4());
        assert!(t.mr == 1 && t.nr >= 64, "{t:?}");
    }

    #[test]
    fn large_products_fill_the_accumulators() {
        let t = tile_of(&extents(512, 768, 768), &Target::x86_64_v4());
        assert!(t.mr * t.nr / 16 >= 20, "{t:?}");
        let t = tile_of(&extents(512, 768, 768), &Target::kunpeng920());
        assert!(t.mr * t.nr / 4 >= 20, "{t:?}");
    }
}
