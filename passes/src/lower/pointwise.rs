//! Bodies without an anchor: one loop nest over the result. The loops follow memory (see `traverse`), the innermost is a vector
//! loop along the axis that makes the accesses cheapest, and a grid point is large enough to be worth starting.

use beiming_ir::kernel::{Access, ExprId, Loop, Stmt};
use beiming_ir::ops::{Arg, Op};
use beiming_ir::types::Dim;

use super::body::BodyCx;
use super::builder::{KernelBuilder, Operand, repeat, store};
use super::inline::Inliner;
use super::traverse::Traversal;

/// Elements of a grid point, about: a few microseconds of streaming.
pub(super) const GRAIN: i64 = 8192;

/// Lowers the value `root` into `dst`.
pub fn lower(cx: &mut BodyCx, root: Arg, dst: Operand) -> Result<(), String> {
    let shape = cx.ty(root).shape.clone();
    if let Arg::Node(n) = root
        && let Op::Concat { axis } = cx.body.nodes[n as usize].op
        && !cx.stored.contains_key(&n)
    {
        // A joined result: each part is written to its place by a nest of its own.
        let mut start = Dim::Known(0);
        let args = cx.body.nodes[n as usize].args.clone();
        for part in args {
            let extent = cx.ty(part).shape[axis].clone();
            let place = Place { shape: shape.clone(), offset: Some((axis, start.clone())) };
            nest(cx, part, dst, &place)?;
            start = start + extent;
        }
        return Ok(());
    }
    nest(cx, root, dst, &Place { shape, offset: None })
}

/// Where a value lands in the result.
struct Place {
    /// Shape of the whole result.
    shape: Vec<Dim>,
    /// Axis and first position of the part.
    offset: Option<(usize, Dim)>,
}

impl Place {
    fn address(&self, kb: &mut KernelBuilder, index: &[ExprId]) -> ExprId {
        let mut at = index.to_vec();
        if let Some((axis, start)) = &self.offset {
            at[*axis] = kb.offset(at[*axis], start);
        }
        kb.linear(&at, &self.shape)
    }
}

fn nest(cx: &mut BodyCx, value: Arg, dst: Operand, place: &Place) -> Result<(), String> {
    let ty = cx.ty(value).clone();
    let total = place.shape.iter().fold(Dim::Known(1), |a, d| a * d.clone());
    let dtype = ty.dtype;
    // The result's address takes part in finding the axes: as a read of a buffer of its own.
    let walk = Traversal::find(cx, &ty.shape, &vec![0; ty.rank()], &|inl, kb, index| {
        let out = kb.param(dst, dtype, std::slice::from_ref(&total), Access::Write);
        let at = place.address(kb, index);
        Ok(vec![inl.value(kb, value, index)?, kb.load(out, &[at])])
    })?;
    let order = schedule(cx, &walk, dst);
    let grid: Vec<Dim> = order.iter().filter_map(|l| l.blocks(&walk)).collect();

    let mut kb = KernelBuilder::new(cx.symbols, &grid);
    let mut blocks = kb.grid.clone().into_iter();
    let zero = kb.int(0);
    let mut at = vec![zero; walk.axes.len()];
    let mut loops = vec![];
    for l in &order {
        let extent = &walk.axes[l.axis].extent;
        let block = l.blocks(&walk).and_then(|_| blocks.next());
        let (start, count) = match (block, l.block) {
            (Some(g), Some(1)) => {
                at[l.axis] = g;
                continue;
            }
            (Some(g), Some(b)) => {
                let start = kb.scale(g, &Dim::Known(b));
                let left = kb.scale(start, &Dim::Known(-1));
                let left = kb.offset(left, extent);
                (Some(start), if divides(extent, b) { kb.int(b) } else { kb.min_dim(left, &Dim::Known(b)) })
            }
            _ => (None, kb.dim(extent)),
        };
        let span = l.block.map_or(extent.clone(), Dim::Known);
        let (var, i) = kb.axis(&span);
        at[l.axis] = match start {
            Some(s) => {
                let x = kb.add(s, i);
                kb.bounded(x, extent)
            }
            None => i,
        };
        loops.push((var, count));
    }
    let index = walk.index(&mut kb, &at);
    let out = kb.param(dst, dtype, &[total], Access::Write);
    let to = place.address(&mut kb, &index);
    let v = Inliner::new(cx).value(&mut kb, value, &index)?;
    let mut body: Vec<Stmt> = vec![store(out, &[to], v)];
    for (n, (var, count)) in loops.into_iter().rev().enumerate() {
        body = vec![repeat(var, count, if n == 0 { Loop::Vector } else { Loop::Serial }, body)];
    }
    let flops = cx.elementwise_flops();
    let name = super::name::kernel(cx, &[]);
    let mut call = kb.finish(name, cx.op_names(), body, flops);
    if place.offset.is_none() {
        call.in_place = in_place(&walk, &call, dst, dtype.size());
    }
    cx.call(call);
    Ok(())
}

/// A loop over an axis: whole (`None`), or in blocks, each a grid point.
#[derive(Clone, Copy, Debug)]
struct Level {
    axis: usize,
    block: Option<i64>,
}

impl Level {
    fn blocks(&self, walk: &Traversal) -> Option<Dim> {
        let b = self.block?;
        Some(walk.axes[self.axis].extent.ceil_div(&Dim::Known(b)))
    }
}

fn divides(extent: &Dim, b: i64) -> bool {
    extent.floor_div(&Dim::Known(b)) * Dim::Known(b) == *extent
}

/// Loops from the outermost to the vector loop.
fn schedule(cx: &BodyCx, walk: &Traversal, dst: Operand) -> Vec<Level> {
    let n = walk.axes.len();
    if n == 0 {
        return vec![];
    }
    let typical: Vec<i64> = walk.axes.iter().map(|a| cx.typical(&a.extent).max(1)).collect();
    let dtype = walk.reads.iter().find(|r| r.operand == Some(dst)).map_or(4, |r| r.dtype.size());
    let lanes = cx.target.lanes(dtype) as f64;
    // Cost of the whole nest when `v` runs along the lanes.
    let cost = |v: usize| {
        let vectors = (typical[v] as f64 / lanes).ceil() / typical[v] as f64;
        let access: f64 = walk
            .reads
            .iter()
            .map(|r| match &r.strides[v] {
                Some(s) if s.is(0) => 0.1,
                Some(s) if s.is(1) => 1.0,
                // Lanes far apart are moved one by one; stores more slowly than loads.
                _ => lanes.min(typical[v] as f64) * if r.operand == Some(dst) { 1.25 } else { 0.75 },
            })
            .sum();
        vectors * (1.0 + walk.ops as f64 * 0.5 + access)
    };
    let mut vector = n - 1;
    for v in (0..n).rev() {
        if cost(v) < cost(vector) * 0.999 {
            vector = v;
        }
    }
    let mut order: Vec<usize> = (0..n).filter(|&a| a != vector).collect();
    // A read that is contiguous along another axis brings in whole lines across the lanes: that axis comes next to the vector
    // loop, and the lanes go in short blocks, so that the lines are used up while they are near.
    let crossing = walk.reads.iter().find_map(|r| {
        let strided = !matches!(&r.strides[vector], Some(s) if s.is(0) || s.is(1));
        strided.then(|| (0..n).find(|&a| a != vector && matches!(&r.strides[a], Some(s) if s.is(1)))).flatten()
    });
    if let Some(a) = crossing {
        order.retain(|&x| x != a);
        order.push(a);
    }
    order.push(vector);
    let mut out = vec![];
    let mut inside = 1i64;
    for (i, &axis) in order.iter().enumerate().rev() {
        let is_vector = i + 1 == order.len();
        let extent = typical[axis];
        let room = if is_vector && crossing.is_some() { 4 * lanes as i64 } else { (GRAIN / inside).max(1) };
        // A remainder of less than half a grain stays with the block before it.
        let block = if extent <= room + room / 2 {
            None
        } else {
            let even = extent.div_euclid(room).max(1);
            let b = (extent + even - 1) / even;
            Some(if is_vector { (b as usize).next_multiple_of(lanes as usize) as i64 } else { b })
        };
        let symbolic = walk.axes[axis].extent.known().is_none();
        let block = match block {
            // An extent known only at run time goes in blocks of the grain, whatever it will be.
            None if symbolic && inside * extent * 4 > GRAIN && i == 0 => Some(room.max(1)),
            b => b.filter(|b| walk.axes[axis].extent.known().is_none_or(|e| e > *b)),
        };
        out.push(Level { axis, block });
        inside = inside.saturating_mul(block.unwrap_or(extent)).max(1);
    }
    out.reverse();
    out
}

/// Inputs that the result may overwrite.
fn in_place(walk: &Traversal, call: &super::builder::Call, dst: Operand, size: usize) -> Vec<(usize, usize)> {
    let Some(to) = walk.reads.iter().find(|r| r.operand == Some(dst)) else { return vec![] };
    let Some(written) = call.args.iter().position(|a| *a == dst) else { return vec![] };
    let same = |a: &Operand| {
        let mut of = walk.reads.iter().filter(|r| r.operand == Some(*a)).peekable();
        of.peek().is_some() && of.all(|r| !r.loaded && r.strides == to.strides && r.base == to.base && r.dtype.size() == size)
    };
    let fits = |i: usize| call.kernel.params[i].shape == call.kernel.params[written].shape;
    (0..call.args.len())
        .filter(|&i| i != written && matches!(call.args[i], Operand::Input(_)) && same(&call.args[i]) && fits(i))
        .map(|i| (i, written))
        .collect()
}
