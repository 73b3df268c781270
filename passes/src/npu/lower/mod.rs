//! Lowering for an Ascend NPU: fused groups of the graph as kernels of the same IR as the CPU's, with buffers in the memories of
//! a core. Every statement is one instruction of Ascend C or one copy; `sync` then makes the order between the pipes explicit.
//!
//! A group is taken by its family (`stream`: elementwise, `rows`: softmax, normalisations and reductions along rows,
//! `matmul`: products, `conv`: convolutions as products, `mixed`: with what follows them, `coupled`: on cores with both units, `attention`) or refused with the
//! reason; what is refused runs on the host's CPU in the same plan.

mod attention;
mod boxes;
mod conv;
mod coupled;
mod dense;
mod epilogue;
mod fit;
mod gather;
mod lines;
mod matmul;
mod mixed;
mod movement;
mod operands;
mod pointwise;
pub mod program;
mod rows;
pub mod slots;
mod softmax;
mod stream;
mod tile;
mod translate;
mod turn;
mod window;
mod writer;

pub use writer::WHOLE_REPEATS;

use beiming_ir::ops::{Arg, Op};
use beiming_ir::target::npu::Npu;
use beiming_ir::types::Dim;

use super::account::account;
use super::{legal, sync};
use crate::lower::body::{BodyCx, is_anchor};
use crate::lower::builder::{Call, Operand};

/// Lowers a node's body to NPU kernels. The error says what the chip or this lowering lacks.
pub fn lower(cx: &mut BodyCx, npu: &Npu) -> Result<(), String> {
    if cx.outputs.len() != 1 {
        return Err("groups with several results are not tiled for the NPU".into());
    }
    let anchors: Vec<usize> = (0..cx.body.nodes.len()).filter(|&i| is_anchor(&cx.body.nodes[i].op)).collect();
    match anchors[..] {
        [] => stream::lower(cx, npu, cx.result(), Operand::Output(0))?,
        [a] if rows::takes(&cx.body.nodes[a].op) && !across(cx, a) => rows::lower(cx, npu, a, Operand::Output(0))?,
        [a] if matches!(cx.body.nodes[a].op, Op::MatMul { .. }) => either(cx, npu, a)?,
        [a] if window::takes(&cx.body.nodes[a].op) => windowed(cx, npu, a)?,
        [a, b, c] if attention::takes(cx, [a, b, c]) => attention::lower(cx, npu, [a, b, c], Operand::Output(0))?,
        [a, ..] => return Err(format!("`{}` is not tiled for the NPU yet", cx.body.nodes[a].op.name())),
    }
    cx.calls.iter_mut().try_for_each(|call| finish(call, npu))
}

/// The order between pipes and cores, and whether the kernel fits the chip.
fn finish(call: &mut Call, npu: &Npu) -> Result<(), String> {
    finish_tile(call, npu, None)
}

/// The same; `tiles`: what is said of other tiles where this one does not fit.
fn finish_tile(call: &mut Call, npu: &Npu, tiles: Option<&str>) -> Result<(), String> {
    if !npu.core.padded_copy && !lines::apart(&call.kernel) {
        lines::on_one_core(&mut call.kernel);
        call.grid = Dim::Known(1);
    }
    sync::run(&mut call.kernel, npu)?;
    match tiles {
        Some(text) => legal::check_tile(&call.kernel, npu, text),
        None => legal::check(&call.kernel, npu),
    }
}

/// True where a body of two products around a softmax becomes one kernel.
pub fn takes_attention(cx: &BodyCx, npu: &Npu) -> bool {
    let anchors: Vec<usize> = (0..cx.body.nodes.len()).filter(|&i| is_anchor(&cx.body.nodes[i].op)).collect();
    let [a, b, c] = anchors[..] else { return false };
    let mut tried = cx.clone();
    attention::takes(cx, [a, b, c]) && attention::lower(&mut tried, npu, [a, b, c], Operand::Output(0)).is_ok()
}

/// A product and what follows it: in one kernel where that can be, else what follows in a kernel of its own.
fn product(cx: &mut BodyCx, npu: &Npu, anchor: usize) -> Result<(), String> {
    let (result, own) = (cx.result(), Arg::Node(anchor as u32));
    if result == own || mixed::converts(cx, anchor) {
        return matmul::lower(cx, npu, anchor, result, Operand::Output(0));
    }
    let mut together = cx.clone();
    let lower_together = if npu.core.cross_core {
        mixed::lower(&mut together, npu, anchor, Operand::Output(0))
    } else {
        coupled::lower(&mut together, npu, anchor, result, Operand::Output(0))
    };
    if lower_together.is_ok() && predicted(&together, npu).is_some() {
        *cx = together;
        return Ok(());
    }
    let dst = cx.temp(cx.types[anchor].clone());
    matmul::lower(cx, npu, anchor, own, dst)?;
    cx.stored.insert(anchor as u32, dst);
    stream::lower(cx, npu, result, Operand::Output(0))
}

/// A product on the cube unit, or on the vector unit where that one does not take it.
fn either(cx: &mut BodyCx, npu: &Npu, anchor: usize) -> Result<(), String> {
    let mut tried = cx.clone();
    match product(&mut tried, npu, anchor) {
        Ok(()) => *cx = tried,
        Err(why) => before(cx, npu, anchor, window::lower).map_err(|_| why)?,
    }
    Ok(())
}

/// How much faster the vector unit must be predicted to be: less than this the model does not tell apart.
const CLEARLY: f64 = 1.1;

/// A window: as a product on the cube unit where it is one, and where the model says that this is faster; else on the vector unit.
fn windowed(cx: &mut BodyCx, npu: &Npu, anchor: usize) -> Result<(), String> {
    // A tile that was asked for is to be seen.
    let asked = |cx: &BodyCx| cx.calls.iter().any(|c| cx.wanted.is_some_and(|w| w.made(&c.kernel.name)));
    let mut cube = Ok(());
    if let Some((mut alike, product_at)) = pointwise::as_product(cx, anchor) {
        cube = product(&mut alike, npu, product_at);
        if cube.is_ok() {
            *cx = alike;
            return Ok(());
        }
    }
    let mut on_vector = cx.clone();
    let possible = before(&mut on_vector, npu, anchor, window::lower);
    if let Some(mut on_cube) = pointwise::as_rows(cx, anchor) {
        cube = product(&mut on_cube, npu, anchor);
        if cube.is_ok()
            && let Some(there) = predicted(&on_cube, npu)
            && (possible.is_err()
                || asked(&on_cube)
                || !asked(&on_vector) && predicted(&on_vector, npu).is_none_or(|here| there <= here * CLEARLY))
        {
            *cx = on_cube;
            return Ok(());
        }
    }
    *cx = on_vector;
    possible.map_err(|why| match cube {
        Err(other) => format!("on the cube unit: {other}\non the vector unit: {why}"),
        Ok(()) => why,
    })
}

/// Microseconds of the calls made so far, launches included; `None` where one does not fit the chip.
fn predicted(cx: &BodyCx, npu: &Npu) -> Option<f64> {
    let each = |call: &Call| {
        let mut call = call.clone();
        finish(&mut call, npu).ok()?;
        let value = |name: &str| {
            let at = call.kernel.symbols.iter().position(|s| &**s == name)?;
            Some(cx.typical(&call.dims[at]))
        };
        Some(account(&call.kernel, npu, &value)?.estimate.us)
    };
    cx.calls.iter().try_fold(0.0, |sum, c| Some(sum + each(c)?))
}

/// True for a reduction whose axes are not the innermost ones, or over one element.
fn across(cx: &BodyCx, anchor: usize) -> bool {
    let node = &cx.body.nodes[anchor];
    let Op::Reduce { axes, .. } = &node.op else { return false };
    let shape = &cx.ty(node.args[0]).shape;
    let innermost = (0..shape.len()).rev().find(|a| !shape[*a].is(1));
    axes.iter().all(|a| shape[*a].is(1)) || innermost.is_none_or(|a| !axes.contains(&a))
}

/// An anchor by `lower`, and what follows it in a kernel of its own.
fn before(
    cx: &mut BodyCx,
    npu: &Npu,
    anchor: usize,
    lower: impl FnOnce(&mut BodyCx, &Npu, usize, Operand) -> Result<(), String>,
) -> Result<(), String> {
    let result = cx.result();
    if result == Arg::Node(anchor as u32) {
        return lower(cx, npu, anchor, Operand::Output(0));
    }
    let dst = cx.temp(cx.types[anchor].clone());
    lower(cx, npu, anchor, dst)?;
    cx.stored.insert(anchor as u32, dst);
    stream::lower(cx, npu, result, Operand::Output(0))
}
