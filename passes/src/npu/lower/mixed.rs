//! A product with what follows it elementwise in one kernel: the cube core leaves base tile after base tile in its workspace,
//! which stays in L2, and its vector cores take half of the rows each from there through the epilogue (bias, activation,
//! residual, conversion) to the result. While they work on one tile the cube core fills the next.

use beiming_ir::kernel::{BufId, ExprId, Loop, Space, Stmt};
use beiming_ir::ops::{Arg, BinaryOp, Op};
use beiming_ir::target::npu::Npu;
use beiming_ir::types::{DType, Dim, TensorType};

use super::epilogue::{Epilogue, Part, Value, epilogue};
use super::fit::{self, Made};
use super::matmul::{Place, Plan, accumulate, leave_to, plan};
use crate::lower::body::BodyCx;
use crate::lower::builder::{KernelBuilder, Operand, repeat};
use crate::npu::sync::RING;

/// Vector cores of a group.
const CORES: i64 = 2;

/// True where all that follows the product is a conversion that the fixpipe does on the way out.
pub fn converts(cx: &BodyCx, anchor: usize) -> bool {
    let [.., last] = &cx.body.nodes[..] else { return false };
    let (from, to) = (cx.types[anchor].dtype, cx.out().dtype);
    matches!(last.op, Op::Cast { .. })
        && last.args == [Arg::Node(anchor as u32)]
        && from == DType::F32
        && matches!(to, DType::F16 | DType::BF16)
}

/// Lowers a product and what follows it into `dst`, in one kernel.
pub fn lower(cx: &mut BodyCx, npu: &Npu, anchor: usize, dst: Operand) -> Result<(), String> {
    if !npu.core.cross_core {
        return Err(format!("{} has no vector cores beside its cube cores", npu.name));
    }
    fit::product(cx, npu, &mut |cx, want| attempt(cx, npu, anchor, dst, want))
}

/// One attempt, with the base tile `want` or the one that is chosen.
fn attempt<'n>(cx: &mut BodyCx, npu: &'n Npu, anchor: usize, dst: Operand, want: Option<[i64; 3]>) -> Result<Made<'n>, String> {
    let root = cx.result();
    let p = plan(cx, npu, anchor, cx.types[anchor].dtype, want)?;
    let e = epilogue(cx, npu, anchor, root, false)?;
    e.pads(&p.dims[1])?;
    let (bm, bn) = (p.tile.bm, p.tile.bn);
    let room = i64::from(npu.core.ub);
    // Where there is no room for one the kernel is made all the same: whether it fits is seen on it.
    let rows = e.rows(room, bn).min(bm / CORES).clamp(1, 4095);
    let mut kb = KernelBuilder::new(cx.symbols, &p.grid());
    let (place, mut statements) = accumulate(&mut kb, &p);
    let tile = kb.local("c", e.value, &[(bm * bn) as usize], Space::Memory);
    let zero = kb.int(0);
    let (count, columns) = (kb.min_dim(place.left[0], &Dim::Known(bm)), kb.int(bn));
    // Whole rows of the tile: what lies behind the last column is zero.
    statements.push(leave_to(&mut kb, place.acc, tile, [count, columns], [bm, bn], zero, &Dim::Known(bn)));
    statements.push(on_vector_cores(cx, &mut kb, &p, &e, &place, tile, rows, dst)?);
    let bytes = ((bm * bn) as u64 * e.value.size() as u64).next_multiple_of(512) * u64::from(RING);
    let bytes = bytes * u64::from(npu.cube_cores);
    let workspace = cx.temp(TensorType::new(DType::U8, vec![Dim::Known(bytes as i64)]));
    kb.workspace(workspace, bytes);
    let (ops, flops) = super::stream::computed(cx, root);
    let name = crate::lower::name::kernel(cx, &[p.tile_name()]);
    let flops = flops + p.flops(cx);
    cx.call(kb.finish(name, ops, statements, flops));
    // One copy of what two are counted of.
    let least = e.bits() / 2;
    Ok(p.made(npu, move |[_, bn, _]| bn * least <= room * 8))
}

/// Half of a base tile's rows on each vector core, some at a time.
#[allow(clippy::too_many_arguments)]
fn on_vector_cores(
    cx: &BodyCx,
    kb: &mut KernelBuilder,
    p: &Plan,
    e: &Epilogue,
    place: &Place,
    tile: BufId,
    rows: i64,
    dst: Operand,
) -> Result<Stmt, String> {
    let (bm, bn) = (p.tile.bm, p.tile.bn);
    let half = bm / CORES;
    let (core_var, core) = kb.axis(&Dim::Known(CORES));
    let mine = kb.scale(core, &Dim::Known(half));
    // Rows of this core, counted from the tile's first.
    let left = {
        let minus = kb.scale(mine, &Dim::Known(-1));
        let left = kb.add(place.left[0], minus);
        kb.min_dim(left, &Dim::Known(half))
    };
    let (round_var, round) = kb.axis(&Dim::Known(((half + rows - 1) / rows).max(2)));
    let by = kb.scale(round, &Dim::Known(rows));
    let within = kb.add(mine, by);
    let count = {
        let minus = kb.scale(by, &Dim::Known(-1));
        let left = kb.add(left, minus);
        kb.min_dim(left, &Dim::Known(rows))
    };
    let rounds = {
        let up = kb.offset(left, &Dim::Known(rows - 1));
        let by = kb.int(rows);
        kb.binary(BinaryOp::Div, up, by)
    };
    let columns = kb.min_dim(place.left[1], &Dim::Known(bn));
    let start: Vec<ExprId> = {
        let row = kb.add(place.start[0], within);
        place.batch.iter().copied().chain([row, place.start[1]]).collect()
    };
    let whole = p.dims[1].known().is_some_and(|n| n % bn == 0);
    let part = Part { rows: (count, rows), columns: (columns, bn), whole, fixed: false, start };
    let from = kb.scale(within, &Dim::Known(bn));
    let body = part.write(cx, kb, e, &Value::Rows { tile, from, pitch: bn }, dst)?;
    let inner = repeat(round_var, rounds, Loop::Serial, body);
    let cores = kb.int(CORES);
    Ok(repeat(core_var, cores, Loop::Cores, vec![inner]))
}
