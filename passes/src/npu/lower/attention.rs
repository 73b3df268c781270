//! Attention in one kernel: scores, softmax and weighted sum without a tensor of
//! all scores. A grid point is a block of queries; it goes over the keys block by block. The cube core multiplies queries with
//! keys, and weights with values; its vector cores, half of the queries each, do in between what is done to scores and keep
//! for every query the greatest score so far, the sum of the exponentials and the weighted sum, each scaled to that greatest
//! score. Scores, weights and products of a block pass through the workspace, which stays in L2; on cores with both units
//! (`coupled::attention`) they stay in the unified buffer.

use beiming_ir::kernel::{BufId, ExprId, Loop, Space, Stmt, VarId};
use beiming_ir::ops::{Arg, Op};
use beiming_ir::target::npu::{Generation, Npu};
use beiming_ir::types::{DType, Dim, TensorType};

use super::coupled;
use super::epilogue::{Epilogue, epilogue};
use super::fit;
use super::matmul::{clear, leave_to, multiply, rest, to_l0, to_l1};
use super::operands::{Side, materialise, param, side, transposed};
use super::softmax::Running;
use crate::lower::body::BodyCx;
use crate::lower::builder::{Call, KernelBuilder, Operand, repeat};
use crate::npu::capability;
use crate::npu::sync::RING;

/// Vector cores of a group.
pub const CORES: i64 = 2;
/// Widest head: a block of queries and one of keys lie in the operand buffers whole.
const WIDEST: i64 = 256;
/// Blocks of queries and keys, the best first.
const BLOCKS: [[i64; 2]; 8] = [[128, 128], [64, 128], [64, 64], [32, 128], [32, 64], [32, 32], [16, 32], [16, 16]];

/// An attention, looked over.
pub struct Plan<'a, 'p> {
    /// What is done to scores before the softmax.
    pub scores: Epilogue<'a, 'p>,
    /// Queries, keys, elements of a head, columns of the values.
    pub dims: [Dim; 4],
    /// The last two, rounded up to whole fractals.
    pub widths: [i64; 2],
    /// Extents of the batch.
    pub batch: Vec<Dim>,
    /// Type of the scores as multiplied, of the weights, of the result.
    pub dtypes: [DType; 3],
    /// Queries, keys, values.
    pub sides: [Side; 3],
    /// Type of queries and keys.
    pub operand: DType,
}

/// Where a block of queries stands.
pub struct Block {
    /// Rows and columns of a block of scores.
    pub extents: [i64; 2],
    /// Coordinates of the batch.
    pub batch: Vec<ExprId>,
    /// First query, and queries from there on.
    pub query: [ExprId; 2],
}

/// True for the anchors of an attention, in order.
pub fn takes(cx: &BodyCx, anchors: [usize; 3]) -> bool {
    let op = |n: usize| &cx.body.nodes[n].op;
    let [qk, sm, pv] = anchors;
    matches!((op(qk), op(pv)), (Op::MatMul { .. }, Op::MatMul { .. }))
        && matches!(op(sm), Op::Softmax { axis, log: false } if axis + 1 == cx.types[sm].rank())
        && cx.result() == Arg::Node(pv as u32)
        && weights_of(cx, pv) == Arg::Node(sm as u32)
}

/// The left operand of the second product, before conversions.
fn weights_of(cx: &BodyCx, pv: usize) -> Arg {
    let mut a = cx.body.nodes[pv].args[0];
    while let Arg::Node(n) = a
        && matches!(cx.body.nodes[n as usize].op, Op::Cast { .. })
    {
        a = cx.body.nodes[n as usize].args[0];
    }
    a
}

/// Lowers an attention into `dst`.
pub fn lower(cx: &mut BodyCx, npu: &Npu, anchors: [usize; 3], dst: Operand) -> Result<(), String> {
    let p = plan(cx, npu, anchors)?;
    let typical = |d: &Dim| cx.typical(d).max(1);
    let up = |n: i64| (n + 15) / 16 * 16;
    let (queries, keys) = (typical(&p.dims[0]), typical(&p.dims[1]));
    let heads: i64 = p.batch.iter().map(typical).product();
    let busy = |b: &[i64; 2]| heads * ((queries + b[0] - 1) / b[0]) >= i64::from(npu.cube_cores);
    let fits = |b: &&[i64; 2]| b[0] <= up(queries) && b[1] <= up(keys);
    // Blocks that leave no core idle first.
    let order = BLOCKS.iter().filter(|b| busy(b)).chain(BLOCKS.iter().filter(|b| !busy(b))).filter(fits).copied();
    let found = fit::one_of(cx, npu, fit::ATTENTION, &order.collect::<Vec<_>>(), &mut |b| {
        let mut tried = cx.clone();
        let call = if npu.core.cross_core {
            kernel(&mut tried, npu, &p, *b, dst)?
        } else {
            coupled::attention::kernel(&tried, &p, *b, dst)?
        };
        tried.call(call);
        Ok(tried)
    });
    let heads = p.widths.iter().any(|n| *n > WIDEST).then(|| format!("heads of {} and {} elements", p.dims[2], p.dims[3]));
    match (found, heads) {
        (Ok((_, made)), None) => *cx = made,
        (Ok(([bq, bk], _)), Some(heads)) => {
            return Err(format!(
                "{heads} leave room for blocks of {bq} queries x {bk} keys: scores of heads wider than {WIDEST} go to memory"
            ));
        }
        (Err(why), None) => return Err(why),
        (Err(why), Some(heads)) => return Err(format!("{heads}: {why}")),
    }
    Ok(())
}

fn plan<'a, 'p>(cx: &mut BodyCx<'a>, npu: &'p Npu, [qk, sm, pv]: [usize; 3]) -> Result<Plan<'a, 'p>, String> {
    let (first, last) = (cx.body.nodes[qk].clone(), cx.body.nodes[pv].clone());
    for arg in [first.args[0], first.args[1], last.args[1]] {
        materialise(cx, npu, arg)?;
    }
    let Arg::Node(scored) = cx.body.nodes[sm].args[0] else { return Err("a softmax of what is no score".into()) };
    let mut scores = epilogue(&cx.up_to(scored as usize), npu, qk, Arg::Node(scored), true)?;
    let shape = cx.types[qk].shape.clone();
    let rank = shape.len();
    let weight = cx.ty(last.args[0]).dtype;
    let operand = cx.ty(first.args[0]).dtype;
    for d in [operand, weight] {
        npu.core
            .cube_mode(d)
            .filter(|m| m.accumulator == DType::F32)
            .ok_or_else(|| format!("products of {d} are not written for the cube unit of {}", npu.name))?;
    }
    let out = cx.out().dtype;
    if !capability::moves(npu, out) || !capability::converts(npu, DType::F32, weight) && weight != DType::F32 {
        return Err(format!("weights of {weight} are not made by the vector unit of {}", npu.name));
    }
    let (queries, keys) = (shape[rank - 2].clone(), shape[rank - 1].clone());
    let from = cx.ty(first.args[0]).shape.clone();
    let (depth, columns) = (from[from.len() - 1].clone(), cx.types[pv].shape[rank - 1].clone());
    if keys.range(cx.symbols).lo < 1 {
        return Err("attention over what may be no keys".into());
    }
    let width = |d: &Dim| d.known().map(|n| (n + 15) / 16 * 16).filter(|n| *n > 0);
    let (Some(deep), Some(wide)) = (width(&depth), width(&columns)) else {
        return Err(format!("heads of {depth} and {columns} elements: a block of queries lies in the operand buffers whole"));
    };
    // Fractals of 32-bit elements are transposed on the way by one generation only.
    let across = |s: &Side, d: DType| !s.depth_inner && d.size() == 4 && npu.core.generation != Generation::V2201;
    let q = side(cx, first.args[0], &shape, &depth, true)?;
    if across(&q, operand) {
        return Err(format!("queries that the cube unit of {} would have to transpose on the way", npu.name));
    }
    let mut k = side(cx, first.args[1], &shape, &depth, false)?;
    if across(&k, operand) {
        k = transposed(cx, npu, first.args[1], k)?;
    }
    let mut v = side(cx, last.args[1], &cx.types[pv].shape, &keys, false)?;
    if across(&v, weight) {
        v = transposed(cx, npu, last.args[1], v)?;
    }
    // Weights lie in rows of whole blocks, as the scores they are made of.
    let block = (32 / weight.size()) as i64;
    scores.block = scores.block.max(block);
    if scores.block != block {
        return Err("scores that are made of elements narrower than the weights".into());
    }
    if npu.core.padded_copy {
        scores.pads(&keys)?;
    }
    let batch = shape[..rank - 2].to_vec();
    let (dims, dtypes) = ([queries, keys, depth, columns], [cx.types[qk].dtype, weight, out]);
    Ok(Plan { scores, dims, widths: [deep, wide], batch, dtypes, sides: [q, k, v], operand })
}

/// The loop over blocks of keys.
pub struct Keys {
    /// Its variable.
    pub var: VarId,
    /// First key of a block.
    pub first: ExprId,
    /// Keys from there on.
    pub left: ExprId,
}

/// A kernel with a block of `bq` queries a grid point: where that stands, and its way over blocks of `bk` keys.
pub fn begin<'a>(cx: &BodyCx<'a>, p: &Plan, [bq, bk]: [i64; 2]) -> (KernelBuilder<'a>, Block, Keys) {
    let [queries, keys, ..] = &p.dims;
    let mut grid = p.batch.clone();
    grid.push(queries.ceil_div(&Dim::Known(bq)));
    let mut kb = KernelBuilder::new(cx.symbols, &grid);
    let at = kb.grid.clone();
    let (batch, tiles) = at.split_at(p.batch.len());
    let row = kb.scale(tiles[0], &Dim::Known(bq));
    let rows_left = rest(&mut kb, row, queries);
    let (var, step) = kb.axis(&keys.ceil_div(&Dim::Known(bk)));
    let first = kb.scale(step, &Dim::Known(bk));
    let left = rest(&mut kb, first, keys);
    (kb, Block { extents: [bq, bk], batch: batch.to_vec(), query: [row, rows_left] }, Keys { var, first, left })
}

/// One attempt, with blocks of `bq` queries and `bk` keys.
fn kernel(cx: &mut BodyCx, npu: &Npu, p: &Plan, [bq, bk]: [i64; 2], dst: Operand) -> Result<Call, String> {
    let [queries, keys, depth, columns] = &p.dims;
    let [deep, wide] = p.widths;
    let (mut kb, block, Keys { var, first: key, left: keys_left }) = begin(cx, p, [bq, bk]);
    let kb = &mut kb;
    let (batch, [row, rows_left]) = (&block.batch[..], block.query);

    let [q, k, v] = &p.sides;
    let [score, weight, _] = p.dtypes;
    let size = |n: i64| n as usize;
    let lies = |s: &Side, outer: i64, deep: i64| if s.depth_inner { [outer, deep] } else { [deep, outer] };
    let local = |kb: &mut KernelBuilder, name: &str, d: DType, [r, c]: [i64; 2], space: Space| {
        kb.local(name, d, &[size(r), size(c)], space)
    };
    let q1 = local(kb, "q1", p.operand, lies(q, bq, deep), Space::L1);
    let k1 = local(kb, "k1", p.operand, lies(k, bk, deep), Space::L1);
    let p1 = local(kb, "p1", weight, [bq, bk], Space::L1);
    let v1 = local(kb, "v1", weight, lies(v, wide, bk), Space::L1);
    let q2 = local(kb, "q2", p.operand, [bq, deep], Space::L0A);
    let k2 = local(kb, "k2", p.operand, [deep, bk], Space::L0B);
    let p2 = local(kb, "p2", weight, [bq, bk], Space::L0A);
    let v2 = local(kb, "v2", weight, [bk, wide], Space::L0B);
    let scored = local(kb, "scored", DType::F32, [bq, bk], Space::L0C);
    let summed = local(kb, "summed", DType::F32, [bq, wide], Space::L0C);
    let mut bytes = 0;
    let mut between = |kb: &mut KernelBuilder, name: &str, d: DType, n: i64| -> BufId {
        bytes += (size(n) * d.size()).next_multiple_of(512) as u64 * u64::from(RING);
        kb.local(name, d, &[size(n)], Space::Memory)
    };
    let s = between(kb, "s", score, bq * bk);
    let w = between(kb, "w", weight, bq * bk);
    let o = between(kb, "o", DType::F32, bq * wide);

    let zero = kb.int(0);
    let whole = |d: &Dim, by: i64| d.known().is_some_and(|n| n % by == 0);
    let bring = |kb: &mut KernelBuilder,
                 s: &Side,
                 d: DType,
                 to: BufId,
                 outer: (ExprId, ExprId, &Dim, i64),
                 deep: (ExprId, ExprId, &Dim, i64)| {
        let from = param(kb, s, d);
        let first = s.first(kb, batch, outer.0, deep.0);
        let limits = [(outer.1, whole(outer.2, outer.3)), (deep.1, whole(deep.2, deep.3))];
        let (extents, limits) =
            if s.depth_inner { ([outer.3, deep.3], limits) } else { ([deep.3, outer.3], [limits[1], limits[0]]) };
        let filled = extents.map(|e| kb.int(e));
        to_l1(kb, to, from, first, &s.pitch, extents, filled, limits)
    };
    let (all_deep, all_wide) = (kb.dim(depth), kb.dim(columns));
    let bring_q = bring(kb, q, p.operand, q1, (row, rows_left, queries, bq), (zero, all_deep, depth, deep));
    let bring_k = bring(kb, k, p.operand, k1, (key, keys_left, keys, bk), (zero, all_deep, depth, deep));
    let bring_v = bring(kb, v, weight, v1, (zero, all_wide, columns, wide), (key, keys_left, keys, bk));
    let bring_w = {
        let filled = [bq, bk].map(|e| kb.int(e));
        let limits = [(rows_left, whole(queries, bq)), (keys_left, whole(keys, bk))];
        to_l1(kb, p1, w, zero, &Dim::Known(bk), [bq, bk], filled, limits)
    };
    let count = kb.min_dim(rows_left, &Dim::Known(bq));
    let (all_keys, all_columns) = (kb.int(bk), kb.int(wide));

    let mut running = Running { cx, p, block: &block, keys: [key, keys_left], cores: CORES, locals: None };
    let mut statements = running.begin(kb)?;
    let softmax = running.scores(kb, s, w)?;
    let sum = running.sum(kb, o)?;
    let end = running.end(kb, dst)?;
    let mut body = vec![
        bring_k,
        to_l0(kb, q2, q1, [bq, deep], zero, !q.depth_inner, true),
        to_l0(kb, k2, k1, [deep, bk], zero, k.depth_inner, false),
        clear(kb, scored, [bq, bk]),
        multiply(kb, scored, [q2, k2], [bq, bk, deep]),
        leave_to(kb, scored, s, [count, all_keys], [bq, bk], zero, &Dim::Known(bk)),
    ];
    body.extend(softmax);
    body.extend([
        bring_v,
        bring_w,
        to_l0(kb, p2, p1, [bq, bk], zero, false, true),
        to_l0(kb, v2, v1, [bk, wide], zero, v.depth_inner, false),
        clear(kb, summed, [bq, wide]),
        multiply(kb, summed, [p2, v2], [bq, wide, bk]),
        leave_to(kb, summed, o, [count, all_columns], [bq, wide], zero, &Dim::Known(wide)),
    ]);
    body.extend(sum);
    let blocks = kb.dim(&keys.ceil_div(&Dim::Known(bk)));
    statements.extend([bring_q, repeat(var, blocks, Loop::Serial, body)]);
    statements.extend(end);
    let bytes = bytes * u64::from(npu.cube_cores);
    let workspace = cx.temp(TensorType::new(DType::U8, vec![Dim::Known(bytes as i64)]));
    kb.workspace(workspace, bytes);
    let done = std::mem::replace(kb, KernelBuilder::new(cx.symbols, &[]));
    Ok(finish(cx, p, done, [bq, bk], statements))
}

/// The finished kernel.
pub fn finish(cx: &BodyCx, p: &Plan, kb: KernelBuilder, [bq, bk]: [i64; 2], statements: Vec<Stmt>) -> Call {
    let [queries, keys, depth, columns] = &p.dims;
    let (ops, flops) = super::stream::computed(cx, cx.result());
    let name = crate::lower::name::kernel(cx, &["attention".into(), format!("t{bq}x{bk}x{}", p.widths[0])]);
    let all = p.batch.iter().fold(queries.clone() * keys.clone(), |a, d| a * d.clone());
    let flops = flops + all * (depth.clone() + columns.clone() + Dim::Known(4)) * Dim::Known(2);
    kb.finish(name, ops, statements, flops)
}
