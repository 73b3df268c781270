//! Gathers and scatters of windows. A gather is an index computation of the inliner; a scatter copies the data and applies the
//! updates. Updates that can meet run in one grid point, one after the other; axes along which they cannot (those that no
//! index moves, batch axes, all where the indices are unique) are the grid and the lanes.

use beiming_ir::graph::Graph;
use beiming_ir::kernel::{Access, Element, ExprId, Loop, Space, Stmt};
use beiming_ir::ops::{Arg, GatherWindow, Op, WindowDims};
use beiming_ir::types::{DType, Dim};

use super::body::BodyCx;
use super::builder::{KernelBuilder, Operand, repeat, store};
use super::fold_region::reducer;
use super::inline::Inliner;
use super::pointwise;
use super::region::{self, Simple};

/// Lanes of a block where a single free axis is shared out over the cores.
const BLOCK: i64 = 64;

/// The starts that index vectors name, in the order of the map, for a position in the windows tensor.
fn starts(
    inl: &mut Inliner,
    kb: &mut KernelBuilder,
    d: &WindowDims,
    indices: Arg,
    at: &[ExprId],
    guard: Option<ExprId>,
) -> Result<Vec<ExprId>, String> {
    let lead = d.lead(at.len());
    let whole: Vec<ExprId> = lead.iter().map(|a| at[*a]).collect();
    let rank = inl.cx.ty(indices).rank();
    let mut out = vec![];
    for k in 0..d.map.len() {
        let mut index = whole.clone();
        if d.index_dim < rank {
            index.insert(d.index_dim, kb.int(k as i64));
        }
        let i = inl.guarded(kb, indices, &index, guard)?;
        out.push(region::index(kb, i));
    }
    Ok(out)
}

/// Position in the data: starts, batch coordinates and the place in the window together.
fn place(kb: &mut KernelBuilder, d: &WindowDims, rank: usize, starts: &[ExprId], at: &[ExprId]) -> Vec<ExprId> {
    let mut out = vec![kb.int(0); rank];
    for (a, s) in d.map.iter().zip(starts) {
        out[*a] = *s;
    }
    let lead = d.lead(at.len());
    for (a, i) in d.data_batch.iter().zip(&d.indices_batch) {
        if let Some(l) = d.lead_of(*i) {
            out[*a] = at[lead[l]];
        }
    }
    for (a, o) in d.kept(rank).into_iter().zip(&d.offsets) {
        out[a] = kb.add(out[a], at[*o]);
    }
    out
}

/// The value of a `GatherWindow` at an index of its result.
pub fn value(
    inl: &mut Inliner,
    kb: &mut KernelBuilder,
    p: &GatherWindow,
    args: &[Arg],
    index: &[ExprId],
    guard: Option<ExprId>,
) -> Result<ExprId, String> {
    let data = inl.cx.ty(args[0]).shape.clone();
    let mut starts = starts(inl, kb, &p.dims, args[1], index, guard)?;
    for (s, a) in starts.iter_mut().zip(&p.dims.map) {
        let room = data[*a].clone() - p.sizes[*a].clone() + Dim::Known(1);
        *s = if room.is(1) { kb.int(0) } else { kb.clamp_index(*s, &room) };
    }
    let at = place(kb, &p.dims, data.len(), &starts, index);
    inl.guarded(kb, args[0], &at, guard)
}

/// Lowers `ScatterWindow`; there is no epilogue.
pub fn scatter(cx: &mut BodyCx, anchor: usize) -> Result<(), String> {
    let node = cx.body.nodes[anchor].clone();
    let Op::ScatterWindow(p) = &node.op else { return Err("not a scatter of windows".into()) };
    let region = region::find(cx, p.region)?;
    let n = node.args.len() / 2;
    let (data, updates) = (cx.ty(node.args[0]).clone(), cx.ty(node.args[n + 1]).clone());
    for k in 0..n {
        pointwise::lower(cx, node.args[k], Operand::Output(k as u32))?;
    }
    if data.shape.iter().chain(&updates.shape).any(|d| d.is(0)) {
        return Ok(());
    }
    let d = &p.dims;
    let (lead, kept) = (d.lead(updates.rank()), d.kept(data.rank()));
    let batch: Vec<usize> = d.indices_batch.iter().filter_map(|i| d.lead_of(*i)).map(|l| lead[l]).collect();
    let apart = |a: usize| match d.offsets.iter().position(|o| *o == a) {
        Some(w) => !d.map.contains(&kept[w]),
        None => batch.contains(&a),
    };
    let free: Vec<usize> = (0..updates.rank()).filter(|a| p.unique || apart(*a)).collect();
    let several = n > 1;
    // Lanes hold one value each; tuples go one by one.
    let lanes = if several { None } else { free.last().copied() };
    let outer: Vec<usize> = free.iter().copied().filter(|a| Some(*a) != lanes).collect();
    let mut grid: Vec<Dim> = outer.iter().map(|a| updates.shape[*a].clone()).collect();
    let block = lanes.filter(|a| grid.is_empty() && updates.shape[*a].range(cx.symbols).lo > BLOCK);
    if let Some(a) = block {
        grid.push(updates.shape[a].ceil_div(&Dim::Known(BLOCK)));
    }
    let call = {
        let mut kb = KernelBuilder::new(cx.symbols, &grid);
        let mut inl = Inliner::new(cx);
        let zero = kb.int(0);
        let mut at = vec![zero; updates.rank()];
        for (a, g) in outer.iter().zip(kb.grid.clone()) {
            at[*a] = g;
        }
        let mut loops = vec![];
        for a in (0..updates.rank()).filter(|a| !free.contains(a)) {
            let (var, i) = kb.axis(&updates.shape[a]);
            loops.push((var, kb.dim(&updates.shape[a]), Loop::Serial));
            at[a] = i;
        }
        let mut exists = None;
        if let Some(a) = lanes {
            let extent = if block.is_some() { Dim::Known(BLOCK) } else { updates.shape[a].clone() };
            let (var, i) = kb.axis(&extent);
            loops.push((var, kb.dim(&extent), Loop::Vector));
            at[a] = i;
            if block.is_some() {
                let first = kb.scale(kb.grid[0], &Dim::Known(BLOCK));
                at[a] = kb.add(first, i);
                exists = kb.below(at[a], &updates.shape[a]);
            }
        }
        // An index vector is the same for all lanes unless they run over index vectors.
        let of_lane = lanes.is_some_and(|a| !d.offsets.contains(&a));
        let starts = starts(&mut inl, &mut kb, d, node.args[n], &at, if of_lane { exists } else { None })?;
        let to = place(&mut kb, d, data.rank(), &starts, &at);
        let mut guard = exists;
        for (a, i) in to.iter().enumerate() {
            let inside = kb.inside(*i, &data.shape[a]);
            guard = kb.and(guard, inside);
        }
        let to = kb.linear(&to, &data.shape);
        let mut body = apply(cx, &mut kb, &mut inl, region, &node.args, (&at, to, guard))?;
        for (var, count, kind) in loops.into_iter().rev() {
            body = vec![repeat(var, count, kind, body)];
        }
        kb.finish(super::name::kernel(cx, &[]), cx.op_names(), body, updates.numel() * Dim::from(n))
    };
    cx.call(call);
    Ok(())
}

/// The statements that apply the update at `at` to the element `to` of every result.
fn apply(
    cx: &BodyCx,
    kb: &mut KernelBuilder,
    inl: &mut Inliner,
    region: &Graph,
    args: &[Arg],
    (at, to, guard): (&[ExprId], ExprId, Option<ExprId>),
) -> Result<Vec<Stmt>, String> {
    let n = args.len() / 2;
    let types: Vec<DType> = cx.outputs.iter().map(|t| t.dtype).collect();
    let outs: Vec<_> =
        (0..n).map(|k| kb.param(Operand::Output(k as u32), types[k], &[cx.outputs[k].numel()], Access::ReadWrite)).collect();
    let target = |k: usize| Element { buffer: outs[k], index: vec![to], guard };
    let mut news = vec![];
    for k in 0..n {
        news.push(inl.guarded(kb, args[n + 1 + k], at, guard)?);
    }
    let plain = match region::simple(region) {
        Some(Simple::Second) => Some(None),
        Some(Simple::Binary(op)) => reducer(cx, op, types[0]).map(|r| Some(r.1)),
        None => None,
    };
    if let Some(reduce) = plain {
        return Ok(vec![Stmt::Vector { dst: target(0), value: news[0], reduce }]);
    }
    let mut values = vec![];
    for k in 0..n {
        let other = kb.number(types[k], 0.0);
        values.push(kb.load_if(outs[k], &[to], guard, other));
    }
    values.extend(news);
    let results = region::call(kb, region, &values)?;
    if n == 1 {
        return Ok(vec![Stmt::Vector { dst: target(0), value: results[0], reduce: None }]);
    }
    let zero = kb.int(0);
    let next: Vec<_> = types.iter().map(|d| kb.local("next", *d, &[1], Space::Register)).collect();
    let mut all: Vec<Stmt> = next.iter().zip(&results).map(|(b, v)| store(*b, &[zero], *v)).collect();
    for (k, b) in next.iter().enumerate() {
        let v = kb.load(*b, &[zero]);
        all.push(Stmt::Vector { dst: target(k), value: v, reduce: None });
    }
    Ok(all)
}
