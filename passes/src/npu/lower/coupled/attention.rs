//! Attention on cores with both units. Scores come from the accumulators to the unified buffer, become weights there, and go on
//! to L1 in fractals; so do queries, keys and values, which come from global memory row by row. One unit waits for the other
//! block by block, and nothing of a block passes through global memory.

use beiming_ir::kernel::{BufId, ExprId, Loop, Space};
use beiming_ir::types::{DType, Dim};

use super::fractals::{Edge, SIDE, accumulators, bring, put_together, take_apart};
use crate::lower::body::BodyCx;
use crate::lower::builder::{Call, KernelBuilder, Operand, repeat};
use crate::npu::lower::attention::{Keys, Plan, begin, finish};
use crate::npu::lower::epilogue::Value;
use crate::npu::lower::matmul::{clear, multiply, to_l0};
use crate::npu::lower::operands::{Side, param};
use crate::npu::lower::softmax::Running;

/// One attempt, with blocks of `bq` queries and `bk` keys.
pub fn kernel(cx: &BodyCx, p: &Plan, [bq, bk]: [i64; 2], dst: Operand) -> Result<Call, String> {
    let [queries, keys, depth, columns] = &p.dims;
    let ([deep, wide], [score, weight, _]) = (p.widths, p.dtypes);
    let (mut kb, block, Keys { var, first: key, left: keys_left }) = begin(cx, p, [bq, bk]);
    let kb = &mut kb;
    let (batch, [row, rows_left]) = (&block.batch[..], block.query);
    let count = kb.min_dim(rows_left, &Dim::Known(bq));
    let (zero, all_deep, all_wide) = (kb.int(0), kb.dim(depth), kb.dim(columns));

    let mut running = Running { cx, p, block: &block, keys: [key, keys_left], cores: 1, locals: None };
    let mut statements = running.begin(kb)?;
    let mut body = vec![];
    let edge = |left: ExprId, all: &Dim, most: i64| Edge { most, left, whole: all.known().is_some_and(|n| n % most == 0) };
    let sides = |s: &Side, outer: Edge, deep: Edge| if s.depth_inner { [outer, deep] } else { [deep, outer] };
    let [q, k, v] = &p.sides;

    let (from, first) = (param(kb, q, p.operand), q.first(kb, batch, row, zero));
    let edges = sides(q, edge(rows_left, queries, bq), edge(all_deep, depth, deep));
    let q1 = bring(kb, q, from, first, edges, ["q", "qz", "q1"], &mut statements);
    let q2 = local(kb, "q2", p.operand, [bq, deep], Space::L0A);
    statements.push(to_l0(kb, q2, q1, [bq, deep], zero, !q.depth_inner, true));

    let (from, first) = (param(kb, k, p.operand), k.first(kb, batch, key, zero));
    let edges = sides(k, edge(keys_left, keys, bk), edge(all_deep, depth, deep));
    let k1 = bring(kb, k, from, first, edges, ["k", "kz", "k1"], &mut body);
    let k2 = local(kb, "k2", p.operand, [deep, bk], Space::L0B);
    let scored = local(kb, "scored", DType::F32, [bq, bk], Space::L0C);
    body.extend([
        to_l0(kb, k2, k1, [deep, bk], zero, k.depth_inner, false),
        clear(kb, scored, [bq, bk]),
        multiply(kb, scored, [q2, k2], [bq, bk, deep]),
    ]);
    let tile = accumulators(kb, scored, score, [bq, bk], ["sz", "rounded"], &mut body);
    let (made, weights) = running.weights(kb, &Value::Fractals { tile, from: zero, apart: bq * SIDE })?;
    body.extend(made);
    let w1 = take_apart(kb, weights, ["wz", "w1"], [bq, bk], count, &mut body);

    let (from, first) = (param(kb, v, weight), v.first(kb, batch, zero, key));
    let edges = sides(v, edge(all_wide, columns, wide), edge(keys_left, keys, bk));
    let v1 = bring(kb, v, from, first, edges, ["v", "vz", "v1"], &mut body);
    let w2 = local(kb, "w2", weight, [bq, bk], Space::L0A);
    let v2 = local(kb, "v2", weight, [bk, wide], Space::L0B);
    let summed = local(kb, "summed", DType::F32, [bq, wide], Space::L0C);
    body.extend([
        to_l0(kb, w2, w1, [bq, bk], zero, false, true),
        to_l0(kb, v2, v1, [bk, wide], zero, v.depth_inner, false),
        clear(kb, summed, [bq, wide]),
        multiply(kb, summed, [w2, v2], [bq, wide, bk]),
    ]);
    let tile = accumulators(kb, summed, DType::F32, [bq, wide], ["oz", ""], &mut body);
    let part = put_together(kb, tile, "part", [bq, wide], count, &mut body);
    body.extend(running.sum_here(kb, part)?);

    let blocks = kb.dim(&keys.ceil_div(&Dim::Known(bk)));
    statements.push(repeat(var, blocks, Loop::Serial, body));
    statements.extend(running.end(kb, dst)?);
    let done = std::mem::replace(kb, KernelBuilder::new(cx.symbols, &[]));
    Ok(finish(cx, p, done, [bq, bk], statements))
}

fn local(kb: &mut KernelBuilder, name: &str, d: DType, [r, c]: [i64; 2], space: Space) -> BufId {
    kb.local(name, d, &[r as usize, c as usize], space)
}
