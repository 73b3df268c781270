//! Contractions: matrix products, convolutions and pooling, with the fused elementwise ops on their results.
//!
//! `gemm` builds the tiled loops for everything that is a product of matrices; `matmul` and `conv` say what its rows, columns
//! and depth are; `depthwise` and `pool` work on windows channel by channel, with channels on the vector lanes.

mod conv;
mod depthwise;
mod gemm;
mod matmul;
mod product;
mod source;
mod stem;
#[cfg(test)]
mod tests;
mod window;

use beiming_ir::ops::{Op, Tile};
use beiming_ir::types::DType;

use super::body::BodyCx;

/// Lowers a body whose anchor is a contraction or a pooling.
pub fn lower(cx: &mut BodyCx) -> Result<(), String> {
    let anchor = cx.anchor().ok_or("a contraction without an anchor")?;
    match cx.body.nodes[anchor].op.clone() {
        Op::MatMul { .. } => matmul::lower(cx, anchor),
        Op::Conv(c) if depthwise::applies(cx, anchor, &c) => depthwise::lower(cx, anchor, &c),
        Op::Conv(c) => conv::lower(cx, anchor, &c),
        Op::ConvTranspose(c) => conv::lower_transposed(cx, anchor, &c),
        Op::Pool(p) => window::lower_pool(cx, anchor, &p),
        op => Err(format!("`{}` is not a contraction", op.name())),
    }
}

/// True for a contraction that the plain form does best: every sum is over a run of memory, and there are too few to repack for.
pub fn runs_along_depth(cx: &BodyCx, anchor: usize) -> bool {
    matches!(cx.body.nodes[anchor].op, Op::MatMul { .. }) && matmul::runs_along_depth(cx, anchor) == Ok(true)
}

/// Name of a kernel; see `name` for the grammar.
fn label(cx: &BodyCx, kind: &str, tile: Option<(Tile, DType)>) -> String {
    let mut details = vec![];
    if kind == "copy" {
        details.push("copy".to_string());
    }
    if let Some((t, acc)) = tile {
        details.extend([acc.name().to_string(), format!("t{}x{}x{}", t.mr, t.nr, t.kc)]);
    }
    super::name::kernel(cx, &details)
}
