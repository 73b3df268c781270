//! Kernels that go over rows: a *row* is all elements along the reduced axes for one position of the kept ones. Reductions,
//! softmax, normalisations and the plain form of every contraction are sweeps over a row with a few registers.
//!
//! Two shapes of loops serve all of them. *Along*: the lanes run along the row (the innermost reduced axis), a register is one
//! element. *Across*: the lanes run over neighbouring rows (a kept axis), a register holds one element a row, and the sweep
//! over the row is serial. Which one is a matter of where memory is contiguous, and is decided by cost.

use beiming_ir::kernel::{BufId, ExprId, Loop, Space, Stmt, VarId};
use beiming_ir::types::{DType, Dim};

use super::body::BodyCx;
use super::builder::{Call, KernelBuilder, repeat};
use super::inline::Inliner;
use super::pointwise::GRAIN;
use super::traverse::Traversal;

/// Role of a kept axis in a [`Traversal`].
pub const KEPT: u8 = 0;
/// Role of a reduced axis.
pub const REDUCED: u8 = 1;

/// The role of each of `rank` axes: `REDUCED` where `reduced` says so.
pub fn roles(rank: usize, reduced: impl Fn(usize) -> bool) -> Vec<u8> {
    (0..rank).map(|a| if reduced(a) { REDUCED } else { KEPT }).collect()
}

/// How the lanes run.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Lanes {
    /// Along this reduced axis, or not at all.
    Along(Option<usize>),
    /// Across this kept axis, so many rows at a time.
    Across { axis: usize, width: usize },
}

/// Loops over a traversal with kept and reduced axes.
pub struct Rows<'w> {
    walk: &'w Traversal,
    lanes: Lanes,
    /// Kept axes outermost first with the rows a grid point takes (`None`: one, on the grid; `Some(b)`: blocks of b).
    kept: Vec<(usize, Option<i64>)>,
    reduced: Vec<usize>,
}

/// A place in a sweep.
pub struct Point {
    /// Index in the walked shape; zero along reduced axes outside a sweep.
    pub index: Vec<ExprId>,
    /// Index into a register.
    pub lane: ExprId,
    /// Holds where the row exists; `None`: always.
    pub guard: Option<ExprId>,
    /// Position within the row, row-major, for a panel that holds it.
    pub place: ExprId,
}

/// A kernel of rows under construction.
pub struct RowKernel<'r, 'c, 'a> {
    /// The kernel.
    pub kb: KernelBuilder<'a>,
    /// The body.
    pub inl: Inliner<'c, 'a>,
    rows: &'r Rows<'r>,
    /// Position along every axis, kept ones set.
    at: Vec<ExprId>,
    /// First row of the block, across.
    start: ExprId,
}

impl<'w> Rows<'w> {
    /// Chooses the loops. `serial`: the sweep's order counts, so no lanes along the row.
    pub fn choose(cx: &BodyCx, walk: &'w Traversal, dtype: DType, serial: bool) -> Rows<'w> {
        let of = |role| (0..walk.axes.len()).filter(move |&i| walk.axes[i].role == role);
        let (kept, reduced): (Vec<usize>, Vec<usize>) = (of(KEPT).collect(), of(REDUCED).collect());
        let typical: Vec<f64> = walk.axes.iter().map(|a| cx.typical(&a.extent).max(1) as f64).collect();
        let lanes = cx.lanes(dtype) as f64;
        let row: f64 = reduced.iter().map(|&a| typical[a]).product();
        // Reads that move within a row are made for every element, the others (epilogue) once a row.
        let cost = |v: usize| {
            let per_vector: f64 = walk
                .reads
                .iter()
                .map(|r| {
                    let each = match &r.strides[v] {
                        Some(s) if s.is(0) => 0.1,
                        Some(s) if s.is(1) => 1.0,
                        _ => lanes.min(typical[v]) * 0.75,
                    };
                    let inner = reduced.iter().any(|&a| !matches!(&r.strides[a], Some(s) if s.is(0)));
                    if inner { each } else { each / row.max(1.0) }
                })
                .sum();
            let vectors = (typical[v] / lanes).ceil() / typical[v];
            // Lanes along a row are added up at its end; across, nothing is.
            let end = if walk.axes[v].role == REDUCED { 6.0 / row.max(1.0) } else { 0.0 };
            vectors * (1.0 + walk.ops as f64 * 0.5 + per_vector) + end
        };
        let mut best: Option<usize> = None;
        for v in (0..walk.axes.len()).rev() {
            let candidate = if serial { walk.axes[v].role == KEPT } else { true };
            // Only the innermost axis of the row may run along the lanes: the sweep stays in order.
            let candidate = candidate && (walk.axes[v].role == KEPT || reduced.last() == Some(&v));
            if candidate && best.is_none_or(|b| cost(v) < cost(b) * 0.999) {
                best = Some(v);
            }
        }
        let lanes = match best {
            Some(v) if walk.axes[v].role == KEPT => {
                Lanes::Across { axis: v, width: width(&walk.axes[v].extent, row, cx.lanes(dtype), cx) }
            }
            v => Lanes::Along(if serial { None } else { v }),
        };
        let mut inside = match lanes {
            Lanes::Across { width, .. } => row * width as f64,
            Lanes::Along(_) => row,
        } as i64;
        let mut levels = vec![];
        for &a in kept.iter().rev() {
            if matches!(lanes, Lanes::Across { axis, .. } if axis == a) {
                continue;
            }
            let room = (GRAIN / inside.max(1)).max(1);
            let extent = typical[a] as i64;
            let block = if room == 1 { None } else { Some(if extent <= room + room / 2 { extent.max(1) } else { room }) };
            levels.push((a, block));
            inside = inside.saturating_mul(block.unwrap_or(extent).max(1));
        }
        levels.reverse();
        Rows { walk, lanes, kept: levels, reduced }
    }

    /// True when lanes run along the row.
    pub fn along(&self) -> bool {
        matches!(self.lanes, Lanes::Along(_))
    }

    /// Elements of a panel that holds one row; `None` where rows have no bound or are too long to be near, or lanes run across.
    pub fn panel(&self, cx: &BodyCx) -> Option<usize> {
        const LONGEST: i64 = 1 << 15;
        if !self.along() {
            return None;
        }
        let n = self.reduced.iter().fold(Dim::Known(1), |a, &i| a * self.walk.axes[i].extent.clone());
        let most = n.range(cx.symbols).hi;
        (most <= LONGEST).then_some(most.max(1) as usize)
    }

    fn blocks(&self, axis: usize, block: Option<i64>) -> Dim {
        let extent = &self.walk.axes[axis].extent;
        block.map_or(extent.clone(), |b| extent.ceil_div(&Dim::Known(b)))
    }

    /// Builds the kernel. `f` makes the statements for one row (or one vector of rows).
    pub fn build<'c, 'a>(
        &self,
        cx: &'c BodyCx<'a>,
        name: String,
        flops: Dim,
        f: &mut dyn FnMut(&mut RowKernel<'_, 'c, 'a>) -> Result<Vec<Stmt>, String>,
    ) -> Result<Call, String> {
        let mut grid: Vec<Dim> = self.kept.iter().map(|(a, b)| self.blocks(*a, *b)).collect();
        if let Lanes::Across { axis, width } = self.lanes {
            grid.push(self.walk.axes[axis].extent.ceil_div(&Dim::from(width)));
        }
        grid.retain(|d| !d.is(1));
        let mut kb = KernelBuilder::new(cx.symbols, &grid);
        let mut coordinates = kb.grid.clone().into_iter();
        let zero = kb.int(0);
        let mut next = |n: &Dim| if n.is(1) { zero } else { coordinates.next().unwrap_or(zero) };
        let mut at = vec![zero; self.walk.axes.len()];
        let mut loops: Vec<(VarId, ExprId)> = vec![];
        for (a, block) in &self.kept {
            let extent = &self.walk.axes[*a].extent;
            let g = next(&self.blocks(*a, *block));
            at[*a] = match block {
                None => g,
                Some(b) => {
                    let first = kb.scale(g, &Dim::Known(*b));
                    let left = kb.scale(first, &Dim::Known(-1));
                    let left = kb.offset(left, extent);
                    let even = extent.floor_div(&Dim::Known(*b)) * Dim::Known(*b) == *extent;
                    let count = if even { kb.int(*b) } else { kb.min_dim(left, &Dim::Known(*b)) };
                    let (var, i) = kb.axis(&Dim::Known(*b));
                    loops.push((var, count));
                    let x = kb.add(first, i);
                    kb.bounded(x, extent)
                }
            };
        }
        let start = match self.lanes {
            Lanes::Across { axis, width } => {
                let g = next(&self.walk.axes[axis].extent.ceil_div(&Dim::from(width)));
                kb.scale(g, &Dim::from(width))
            }
            Lanes::Along(_) => zero,
        };
        let mut k = RowKernel { kb, inl: Inliner::new(cx), rows: self, at, start };
        let mut body = f(&mut k)?;
        for (var, count) in loops.into_iter().rev() {
            body = vec![repeat(var, count, Loop::Serial, body)];
        }
        Ok(k.kb.finish(name, cx.op_names(), body, flops))
    }
}

/// Rows taken side by side: all of them if few, else whole vectors that divide their number if there are such. Long rows are
/// shared out in narrower bundles, so that there is work for every core.
fn width(extent: &Dim, row: f64, lanes: usize, cx: &BodyCx) -> usize {
    let most = extent.range(cx.symbols).hi;
    let dividing = |w: &usize| extent.known().is_some_and(|n| n % *w as i64 == 0 && n > *w as i64);
    let whole = (1..=4).rev().map(|n| n * lanes).find(dividing);
    if (0..=6 * lanes as i64).contains(&most) {
        let large = row * most as f64 > 4.0 * GRAIN as f64;
        return whole.filter(|_| large).unwrap_or(most.max(1) as usize);
    }
    whole.unwrap_or(4 * lanes)
}

/// Makes the statements at a point.
pub type At<'f, 'r, 'c, 'a> = dyn FnMut(&mut RowKernel<'r, 'c, 'a>, &Point) -> Result<Vec<Stmt>, String> + 'f;

impl<'r, 'c, 'a> RowKernel<'r, 'c, 'a> {
    /// A register: one element a row.
    pub fn register(&mut self, name: &str, dtype: DType) -> BufId {
        let n = match self.rows.lanes {
            Lanes::Across { width, .. } => width,
            Lanes::Along(_) => 1,
        };
        self.kb.local(name, dtype, &[n], Space::Register)
    }

    /// Statements once a row.
    pub fn once(&mut self, f: &mut At<'_, 'r, 'c, 'a>) -> Result<Vec<Stmt>, String> {
        let at = self.at.clone();
        self.lanes(at, f)
    }

    /// Statements for every element of the row, in order where no lanes run along it.
    pub fn sweep(&mut self, f: &mut At<'_, 'r, 'c, 'a>) -> Result<Vec<Stmt>, String> {
        let rows = self.rows;
        let mut at = self.at.clone();
        let mut loops = vec![];
        for &a in &rows.reduced {
            let extent = &rows.walk.axes[a].extent;
            let (var, i) = self.kb.axis(extent);
            at[a] = i;
            loops.push((var, self.kb.dim(extent), if rows.lanes == Lanes::Along(Some(a)) { Loop::Vector } else { Loop::Serial }));
        }
        let mut body = self.lanes(at, f)?;
        for (var, count, kind) in loops.into_iter().rev() {
            body = vec![repeat(var, count, kind, body)];
        }
        Ok(body)
    }

    fn lanes(&mut self, mut at: Vec<ExprId>, f: &mut At<'_, 'r, 'c, 'a>) -> Result<Vec<Stmt>, String> {
        let rows = self.rows;
        let extents: Vec<Dim> = rows.reduced.iter().map(|&a| rows.walk.axes[a].extent.clone()).collect();
        let inner: Vec<ExprId> = rows.reduced.iter().map(|&a| at[a]).collect();
        let place = self.kb.linear(&inner, &extents);
        match rows.lanes {
            Lanes::Along(_) => {
                let index = rows.walk.index(&mut self.kb, &at);
                let lane = self.kb.int(0);
                f(self, &Point { index, lane, guard: None, place })
            }
            Lanes::Across { axis, width } => {
                let extent = &rows.walk.axes[axis].extent;
                let (var, lane) = self.kb.axis(&Dim::from(width));
                at[axis] = self.kb.add(self.start, lane);
                let guard = self.kb.below(at[axis], extent);
                let index = rows.walk.index(&mut self.kb, &at);
                let body = f(self, &Point { index, lane, guard, place })?;
                let count = self.kb.int(width as i64);
                Ok(vec![repeat(var, count, Loop::Vector, body)])
            }
        }
    }
}
