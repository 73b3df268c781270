//! Elementwise groups on the vector unit: a tile of every operand comes in, one instruction after another works on whole tiles,
//! the result goes out. Operands that are broadcast are spread on the way; views cost addresses only.
//!
//! Two forms of tiles. *Lines*: a run of the innermost axis. *Rows*: several whole rows of a short innermost axis, each padded to
//! blocks of 32 bytes in the unified buffer.

use std::collections::HashMap;

use beiming_ir::kernel::{Access, Expr, ExprId};
use beiming_ir::ops::Arg;
use beiming_ir::target::npu::Npu;
use beiming_ir::types::{DType, Dim};

use super::boxes::{self, Cut, Settler};
use super::fit;
use super::movement::{self, Moved};
use super::program::Program;
use super::slots;
use super::tile::BLOCK;
use super::translate::{Translator, widens};
use super::writer::{Geometry, WHOLE_REPEATS, Writer, compares, loads_of, source};
use crate::lower::body::BodyCx;
use crate::lower::builder::{Call, KernelBuilder, Operand};
use crate::lower::inline::Inliner;
use crate::lower::traverse::Traversal;
use crate::npu::capability;

/// Most elements of a tile: longer copies gain nothing.
const LONGEST: i64 = 16384;
/// Fewest elements of a tile, unless there are no more: a copy of fewer does not reach half of the bandwidth.
const SHORTEST: i64 = 2048;

/// Lowers the value `root` into `dst`.
pub fn lower(cx: &mut BodyCx, npu: &Npu, root: Arg, dst: Operand) -> Result<(), String> {
    let ty = cx.ty(root).clone();
    let walk = Traversal::find(cx, &ty.shape, &vec![0; ty.rank()], &|inl, kb, index| {
        let out = kb.param(dst, ty.dtype, &[ty.numel()], Access::Write);
        let at = kb.linear(index, &ty.shape);
        Ok(vec![inl.value(kb, root, index)?, kb.load(out, &[at])])
    })?;
    for cut in cuts(cx, root, &walk)? {
        part(cx, npu, root, dst, &walk, &cut)?;
    }
    Ok(())
}

/// The boxes of the result in which no element's origin depends on its position.
fn cuts(cx: &BodyCx, root: Arg, walk: &Traversal) -> Result<Vec<Cut>, String> {
    let extent: Vec<Dim> = walk.axes.iter().map(|a| a.extent.clone()).collect();
    let mut open = vec![Cut { start: vec![Dim::Known(0); extent.len()], extent }];
    let mut done = vec![];
    while let Some(c) = open.pop() {
        let (mut kb, at, value) = values(cx, root, walk, &c)?;
        let Some((axis, place)) = Settler::new(&mut kb).cut(value, &at)? else {
            done.push(c);
            continue;
        };
        let rest = c.extent[axis].clone() - place.clone();
        if !kb.at_least(&place, 1) || !kb.at_least(&rest, 1) {
            return Err("parts whose extents only a run tells are not cut out for the vector unit".into());
        }
        let (mut low, mut high) = (c.clone(), c);
        high.start[axis] = high.start[axis].clone() + place.clone();
        high.extent[axis] = rest;
        low.extent[axis] = place;
        open.extend([high, low]);
        if open.len() + done.len() > boxes::MOST {
            return Err(format!("more than {} parts with conditions of their own", boxes::MOST));
        }
    }
    Ok(done)
}

/// The value in a box, with indices along the axes that are as yet without a value.
fn values<'a>(
    cx: &BodyCx<'a>,
    root: Arg,
    walk: &Traversal,
    cut: &Cut,
) -> Result<(KernelBuilder<'a>, Vec<ExprId>, ExprId), String> {
    let mut kb = KernelBuilder::new(cx.symbols, &[]);
    let at: Vec<ExprId> = cut.extent.iter().map(|d| kb.axis(d).1).collect();
    let places: Vec<ExprId> = at.iter().zip(&cut.start).map(|(a, s)| kb.offset(*a, s)).collect();
    let index = walk.index(&mut kb, &places);
    let value = Inliner::new(cx).value(&mut kb, root, &index)?;
    let value = Settler::new(&mut kb).value(value);
    Ok((kb, at, value))
}

/// Lowers a box.
fn part(cx: &mut BodyCx, npu: &Npu, root: Arg, dst: Operand, walk: &Traversal, cut: &Cut) -> Result<(), String> {
    let (kb, at, value) = values(cx, root, walk, cut)?;
    let loads = loads_of(&kb, value);
    let alone = matches!(kb.expr(value), Expr::Load(..)) && cut.extent.iter().zip(&walk.axes).all(|(d, a)| *d == a.extent);
    let (moved, whole) = movement::run(cx, npu, &kb, &loads, &at, &cut.extent, alone.then_some(dst))?;
    if whole {
        return Ok(());
    }
    let task = Task { root, dst, walk, cut, moved };
    // A first round with any tile finds out what a tile needs.
    let mut needs = None;
    attempt(cx, npu, &task, &mut |bits, sizes| {
        needs = Some((bits, sizes));
        None
    })?;
    let (bits, sizes) = needs.ok_or("a group that computes nothing")?;
    let shape = geometry(cx, npu, cut, bits, sizes, true);
    let mut made = attempt(cx, npu, &task, &mut |_, _| Some(&shape));
    if made.is_err() && shape.rows.is_some() {
        // Rows that lie in an order that no copy of several follows, one by one.
        let lines = geometry(cx, npu, cut, bits, sizes, false);
        made = attempt(cx, npu, &task, &mut |_, _| Some(&lines));
    }
    let call = made?.ok_or("a group that computes nothing")?;
    if shape.most == WHOLE_REPEATS {
        fit::smallest(&call, npu, &[shape.most], fit::ELEMENTS)?;
    }
    cx.call(call);
    Ok(())
}

/// What a kernel is to compute.
struct Task<'t> {
    root: Arg,
    dst: Operand,
    walk: &'t Traversal,
    cut: &'t Cut,
    moved: Moved,
}

fn geometry(cx: &BodyCx, npu: &Npu, cut: &Cut, bits: i64, (narrowest, widest): (usize, usize), by_rows: bool) -> Geometry {
    let width = cut.extent.last().cloned().unwrap_or(Dim::Known(1));
    let room = i64::from(npu.core.ub) * 8 / bits.max(1) / WHOLE_REPEATS * WHOLE_REPEATS;
    // Where there is no room for the smallest tile its kernel tells what is too large.
    let room = room.max(WHOLE_REPEATS);
    let all: i64 = cut.extent.iter().map(|d| cx.typical(d).max(1)).product();
    let share = all.div_euclid(i64::from(npu.vector_cores)) + 1;
    let most = (share.clamp(SHORTEST, LONGEST).min(room) as usize).next_multiple_of(WHOLE_REPEATS as usize) as i64;
    let most = most.min(room);
    let block = (BLOCK / narrowest) as i64;
    let rows = cut.extent.len().checked_sub(2).map(|i| cut.extent[i].clone());
    if let (Some(all_rows), Some(w)) = (rows, width.known()) {
        let pitch = (w.max(1) as usize).next_multiple_of(block as usize) as i64;
        // One copy pads a row by less than a block, in the widest type as in the narrowest.
        let padded = (pitch - w.max(1)) * (widest as i64) < BLOCK as i64;
        if by_rows && w > 0 && pitch * 4 <= most && padded {
            let r = (most / pitch).min(cx.typical(&all_rows).max(1)).min(4095);
            let most = ((r * pitch) as usize).next_multiple_of(WHOLE_REPEATS as usize) as i64;
            return Geometry { width, rows: Some((r, all_rows)), pitch, most };
        }
    }
    Geometry { width, rows: None, pitch: most, most }
}

/// One round: without a geometry it only says how many bits of unified buffer an element of the tile takes, and the sizes of
/// the narrowest and the widest type.
fn attempt<'g>(
    cx: &BodyCx,
    npu: &Npu,
    task: &Task,
    choose: &mut dyn FnMut(i64, (usize, usize)) -> Option<&'g Geometry>,
) -> Result<Option<Call>, String> {
    let Task { root, dst, walk, cut, moved } = task;
    let ty = cx.ty(*root).clone();
    let extents = &cut.extent;
    let n = extents.len();
    let (kb, at, value) = values(cx, *root, walk, cut)?;
    let loads = loads_of(&kb, value);
    let mut program = Program::new(npu);
    let operands: HashMap<ExprId, usize> = loads.iter().enumerate().map(|(i, e)| (*e, i)).collect();
    let widen = widens(&kb, value);
    let result = Translator { kb: &kb, program: &mut program, operands: &operands, widen, memo: HashMap::new() }.stored(value)?;
    let slots = slots::assign(&program, result);
    let (mut narrowest, mut widest) = (ty.dtype.size(), ty.dtype.size());
    let mut bits = 2 * 8 * ty.dtype.size() as i64;
    for e in &loads {
        let dtype = kb.dtype(*e);
        if !capability::moves(npu, dtype) {
            return Err(format!("{dtype} does not go through the unified buffer of {}", npu.name));
        }
        (narrowest, widest) = (narrowest.min(dtype.size()), widest.max(dtype.size()));
        bits += 2 * 8 * dtype.size() as i64;
    }
    if !capability::moves(npu, ty.dtype) {
        return Err(format!("{} does not go through the unified buffer of {}", ty.dtype, npu.name));
    }
    bits += slots.scratch.iter().map(|d| if *d == DType::Bool { 1 } else { 8 * d.size() as i64 }).sum::<i64>();
    let Some(g) = choose(bits, (narrowest, widest)) else { return Ok(None) };

    // The grid: every outer axis, and blocks of the one that tiles cut.
    let along = if g.rows.is_some() { n.checked_sub(2) } else { n.checked_sub(1) };
    let step = g.rows.as_ref().map_or(g.most, |r| r.0);
    let mut grid: Vec<Dim> = extents[..along.unwrap_or(0)].to_vec();
    if let Some(c) = along {
        grid.push(extents[c].ceil_div(&Dim::Known(step)));
    }
    let mut real = KernelBuilder::new(cx.symbols, &grid);
    let kb2 = &mut real;
    let zero = kb2.int(0);
    let mut start = vec![zero; n];
    let coordinates = kb2.grid.clone();
    for (a, c) in coordinates.iter().enumerate() {
        start[a] = if Some(a) == along { kb2.scale(*c, &Dim::Known(step)) } else { *c };
    }
    let left = |kb: &mut KernelBuilder, a: usize| {
        let minus = kb.scale(start[a], &Dim::Known(-1));
        kb.offset(minus, &extents[a])
    };
    let mut sources = vec![];
    for e in &loads {
        sources.push(source(cx, &kb, kb2, *e, &at, &start, g, moved)?);
    }
    let out = kb2.param(*dst, ty.dtype, &[ty.numel()], Access::Write);
    let mut w = Writer { g, kb: kb2, body: vec![] };
    // Rows and elements of this tile.
    let rows = match (&g.rows, along) {
        (Some((r, _)), Some(c)) => {
            let l = left(w.kb, c);
            Some((w.kb.min_dim(l, &Dim::Known(*r)), *r))
        }
        _ => None,
    };
    let count = match (rows, along) {
        (Some(_), _) => w.kb.dim(&g.width),
        (None, Some(c)) => {
            let l = left(w.kb, c);
            w.kb.min_dim(l, &Dim::Known(g.most))
        }
        (None, None) => w.kb.int(1),
    };
    let (first, rows_apart) = {
        let places: Vec<ExprId> = start.iter().zip(&cut.start).map(|(a, s)| w.kb.offset(*a, s)).collect();
        let index = walk.index(w.kb, &places);
        (w.kb.linear(&index, &ty.shape), n.checked_sub(2).map(|a| walk.stride(a)))
    };
    let extent = w.extent(rows, count, compares(&program));
    let mut tiles = vec![];
    for (i, s) in sources.iter().enumerate() {
        // A copy is made for the op that reads.
        let around = w.kb.come_from(kb.node_of(loads[i]).flatten());
        tiles.push(w.bring(&i.to_string(), s, &extent));
        w.kb.come_from(around);
    }
    let y = w.tile("y", ty.dtype);
    w.run(&program, &slots, &tiles, result, y, "", &extent);
    w.copy_out_apart(y, out, first, &extent, rows_apart.unwrap_or_else(|| g.width.clone()));
    let body = std::mem::take(&mut w.body);
    let (ops, flops) = computed(cx, *root);
    let from: Vec<DType> = sources.iter().map(|s| s.dtype).collect();
    let name = crate::lower::name::map(cx, &[format!("t{}", tile_name(g))], &from, ty.dtype, &ops);
    Ok(Some(real.finish(name, ops, body, flops)))
}

/// The ops that `root` is made of down to what earlier kernels have left, and their arithmetic.
pub fn computed(cx: &BodyCx, root: Arg) -> (Vec<String>, Dim) {
    let nodes = &cx.body.nodes;
    let mut needed = vec![false; nodes.len()];
    let mut stack = vec![root];
    while let Some(a) = stack.pop() {
        if let Arg::Node(n) = a
            && !cx.stored.contains_key(&n)
            && !std::mem::replace(&mut needed[n as usize], true)
        {
            stack.extend(&nodes[n as usize].args);
        }
    }
    let ops = (0..nodes.len()).filter(|n| needed[*n]);
    let flops = ops.clone().filter(|n| nodes[*n].op.is_elementwise()).fold(Dim::Known(0), |sum, n| sum + cx.types[n].numel());
    (ops.map(|n| nodes[n].op.name()).collect(), flops)
}

fn tile_name(g: &Geometry) -> String {
    match &g.rows {
        Some((r, _)) => format!("{r}x{}", g.width.known().unwrap_or(g.pitch)),
        None => g.most.to_string(),
    }
}
