//! Scatter: the data is copied, then the updates are applied in order. Updates that can meet at one element run in one grid
//! point, one after the other; what cannot meet (other coordinates, elements of a slice) is the grid and the lanes.

use beiming_ir::kernel::{Access, Element, ExprId, Loop, Stmt};
use beiming_ir::ops::{BinaryOp, Op, ScatterMode};
use beiming_ir::types::{DType, Dim};

use super::body::BodyCx;
use super::builder::{KernelBuilder, Operand, repeat};
use super::inline::Inliner;
use super::pointwise;

/// Lowers `Scatter`; there is no epilogue.
pub fn lower(cx: &mut BodyCx, anchor: usize, dst: Operand) -> Result<(), String> {
    let node = cx.body.nodes[anchor].clone();
    let Op::Scatter(s) = &node.op else { return Err("not a scatter".into()) };
    let data = cx.ty(node.args[0]).clone();
    let indices = cx.ty(node.args[1]).shape.clone();
    pointwise::lower(cx, node.args[0], dst)?;
    if data.shape.iter().chain(&indices).any(|d| d.is(0)) {
        return Ok(());
    }
    // Axes of the updates: those in order (serial), and those that cannot meet.
    let (serial, free): (Vec<Dim>, Vec<Dim>) = match s.mode {
        ScatterMode::Elements { axis } => {
            let free = indices.iter().enumerate().filter(|(a, _)| *a != axis).map(|(_, d)| d.clone()).collect();
            (vec![indices[axis].clone()], free)
        }
        ScatterMode::Nd => {
            let (tuples, k) = tuples(&indices)?;
            (tuples.to_vec(), data.shape[k..].to_vec())
        }
    };
    let (grid, lanes) = match free.split_last() {
        Some((last, outer)) => (outer.to_vec(), Some(last.clone())),
        None => (vec![], None),
    };
    let updates = cx.ty(node.args[2]).numel();
    let call = {
        let mut kb = KernelBuilder::new(cx.symbols, &grid);
        let mut inl = Inliner::new(cx);
        let mut loops = vec![];
        let mut order = vec![];
        for d in &serial {
            let (var, i) = kb.axis(d);
            loops.push((var, kb.dim(d), Loop::Serial));
            order.push(i);
        }
        let mut apart = kb.grid.clone();
        if let Some(d) = &lanes {
            let (var, i) = kb.axis(d);
            loops.push((var, kb.dim(d), Loop::Vector));
            apart.push(i);
        }
        let (at, guard, from) = match s.mode {
            ScatterMode::Elements { axis } => {
                let mut index = apart.clone();
                index.insert(axis, order[0]);
                let i = inl.value(&mut kb, node.args[1], &index)?;
                let (i, guard) = named(&mut kb, i, &data.shape[axis], None);
                let mut at = index.clone();
                at[axis] = i;
                (at, guard, index)
            }
            ScatterMode::Nd => {
                let (_, k) = tuples(&indices)?;
                let (mut at, mut guard) = (vec![], None);
                for (a, extent) in data.shape[..k].iter().enumerate() {
                    let mut index = order.clone();
                    index.push(kb.int(a as i64));
                    let i = inl.value(&mut kb, node.args[1], &index)?;
                    let (i, g) = named(&mut kb, i, extent, guard);
                    at.push(i);
                    guard = g;
                }
                at.extend(&apart);
                let mut from = order.clone();
                from.extend(&apart);
                (at, guard, from)
            }
        };
        let value = inl.value(&mut kb, node.args[2], &from)?;
        let out = kb.param(dst, data.dtype, &[data.numel()], Access::ReadWrite);
        let to = kb.linear(&at, &data.shape);
        let mut body = vec![Stmt::Vector { dst: Element { buffer: out, index: vec![to], guard }, value, reduce: s.reduce }];
        for (var, count, kind) in loops.into_iter().rev() {
            body = vec![repeat(var, count, kind, body)];
        }
        kb.finish(super::name::kernel(cx, &[]), cx.op_names(), body, updates)
    };
    cx.call(call);
    Ok(())
}

/// Axes of the tuples, and how many axes of the data one names.
fn tuples(indices: &[Dim]) -> Result<(&[Dim], usize), String> {
    let (last, outer) = indices.split_last().ok_or("scatter needs indices of rank one or more")?;
    let k = last.known().ok_or("scatter needs a known number of indices in a tuple")?;
    Ok((outer, k as usize))
}

/// The position that a loaded index names in an axis, and the condition under which there is such.
fn named(kb: &mut KernelBuilder, i: ExprId, extent: &Dim, guard: Option<ExprId>) -> (ExprId, Option<ExprId>) {
    let i = kb.cast(DType::I64, i);
    let (zero, n) = (kb.int(0), kb.dim(extent));
    let negative = kb.binary(BinaryOp::Lt, i, zero);
    let from_end = kb.binary(BinaryOp::Add, i, n);
    let i = kb.select(negative, from_end, i);
    let inside = kb.inside(i, extent);
    let guard = kb.and(guard, inside);
    (i, guard)
}
