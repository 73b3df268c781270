//! Elementwise groups on the vector unit: a tile of every operand comes in, one instruction after another works on whole tiles,
//! the result goes out. Operands that are broadcast are spread on the way; views cost addresses only.
//!
//! Two forms of tiles. *Lines*: a run of the innermost axis. *Rows*: several whole rows of a short innermost axis, each padded to
//! blocks of 32 bytes in the unified buffer.

use std::collections::HashMap;

use beiming_ir::kernel::{Access, ExprId};
use beiming_ir::ops::Arg;
use beiming_ir::target::npu::Npu;
use beiming_ir::types::{DType, Dim};

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
    // A first round with any tile finds out what a tile needs.
    let mut needs = None;
    attempt(cx, npu, root, dst, &walk, &mut |bits, sizes| {
        needs = Some((bits, sizes));
        None
    })?;
    let (bits, sizes) = needs.ok_or("a group that computes nothing")?;
    let shape = geometry(cx, npu, &walk, bits, sizes)?;
    let call = attempt(cx, npu, root, dst, &walk, &mut |_, _| Some(&shape))?.ok_or("a group that computes nothing")?;
    cx.call(call);
    Ok(())
}

fn geometry(
    cx: &BodyCx,
    npu: &Npu,
    walk: &Traversal,
    bits: i64,
    (narrowest, widest): (usize, usize),
) -> Result<Geometry, String> {
    let width = walk.axes.last().map_or(Dim::Known(1), |a| a.extent.clone());
    let room = i64::from(npu.core.ub) * 8 / bits.max(1) / WHOLE_REPEATS * WHOLE_REPEATS;
    if room < WHOLE_REPEATS {
        return Err(format!("{} bits of unified buffer an element leave no room for a tile on {}", bits, npu.name));
    }
    let all: i64 = walk.axes.iter().map(|a| cx.typical(&a.extent).max(1)).product();
    let share = all.div_euclid(i64::from(npu.vector_cores)) + 1;
    let most = (share.clamp(SHORTEST, LONGEST).min(room) as usize).next_multiple_of(WHOLE_REPEATS as usize) as i64;
    let most = most.min(room);
    let block = (BLOCK / narrowest) as i64;
    let rows = walk.axes.len().checked_sub(2).map(|i| walk.axes[i].extent.clone());
    if let (Some(all_rows), Some(w)) = (rows, width.known()) {
        let pitch = (w.max(1) as usize).next_multiple_of(block as usize) as i64;
        // One copy pads a row by less than a block, in the widest type as in the narrowest.
        let padded = (pitch - w.max(1)) * (widest as i64) < BLOCK as i64;
        if w > 0 && pitch * 4 <= most && padded {
            let r = (most / pitch).min(cx.typical(&all_rows).max(1)).min(4095);
            let most = ((r * pitch) as usize).next_multiple_of(WHOLE_REPEATS as usize) as i64;
            return Ok(Geometry { width, rows: Some((r, all_rows)), pitch, most });
        }
    }
    Ok(Geometry { width, rows: None, pitch: most, most })
}

/// One round: without a geometry it only says how many bits of unified buffer an element of the tile takes, and the sizes of
/// the narrowest and the widest type.
fn attempt<'g>(
    cx: &BodyCx,
    npu: &Npu,
    root: Arg,
    dst: Operand,
    walk: &Traversal,
    choose: &mut dyn FnMut(i64, (usize, usize)) -> Option<&'g Geometry>,
) -> Result<Option<Call>, String> {
    let ty = cx.ty(root).clone();
    let n = walk.axes.len();
    // Indices along the axes, as yet without a value: the addresses' coefficients are read off them.
    let mut kb = KernelBuilder::new(cx.symbols, &[]);
    let at: Vec<ExprId> = walk.axes.iter().map(|a| kb.axis(&a.extent).1).collect();
    let index = walk.index(&mut kb, &at);
    let value = Inliner::new(cx).value(&mut kb, root, &index)?;
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
    let cut = if g.rows.is_some() { n.checked_sub(2) } else { n.checked_sub(1) };
    let step = g.rows.as_ref().map_or(g.most, |r| r.0);
    let mut grid: Vec<Dim> = walk.axes[..cut.unwrap_or(0)].iter().map(|a| a.extent.clone()).collect();
    if let Some(c) = cut {
        grid.push(walk.axes[c].extent.ceil_div(&Dim::Known(step)));
    }
    let mut real = KernelBuilder::new(cx.symbols, &grid);
    let kb2 = &mut real;
    let zero = kb2.int(0);
    let mut start = vec![zero; n];
    let coordinates = kb2.grid.clone();
    for (a, c) in coordinates.iter().enumerate() {
        start[a] = if Some(a) == cut { kb2.scale(*c, &Dim::Known(step)) } else { *c };
    }
    let left = |kb: &mut KernelBuilder, a: usize| {
        let minus = kb.scale(start[a], &Dim::Known(-1));
        kb.offset(minus, &walk.axes[a].extent)
    };
    let mut sources = vec![];
    for e in &loads {
        sources.push(source(cx, &kb, kb2, *e, &at, &start, g)?);
    }
    let out = kb2.param(dst, ty.dtype, &[ty.numel()], Access::Write);
    let mut w = Writer { g, kb: kb2, body: vec![] };
    // Rows and elements of this tile.
    let rows = match (&g.rows, cut) {
        (Some((r, _)), Some(c)) => {
            let l = left(w.kb, c);
            Some((w.kb.min_dim(l, &Dim::Known(*r)), *r))
        }
        _ => None,
    };
    let count = match (rows, cut) {
        (Some(_), _) => w.kb.dim(&g.width),
        (None, Some(c)) => {
            let l = left(w.kb, c);
            w.kb.min_dim(l, &Dim::Known(g.most))
        }
        (None, None) => w.kb.int(1),
    };
    let first = {
        let index = walk.index(w.kb, &start);
        w.kb.linear(&index, &ty.shape)
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
    w.copy_out(y, out, first, &extent);
    let body = std::mem::take(&mut w.body);
    let (ops, flops) = computed(cx, root);
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
