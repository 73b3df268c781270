//! Parts of matrices under work at positions that only the run knows, and diagonals: what a factorisation reads and writes of a
//! matrix that it otherwise leaves where it lies.

use beiming_ir::ops::{Op, Slice};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim};

use super::super::cx::Cx;
use super::super::math::{Ex, emit, value};
use super::gather::overwrite;
use crate::import::build::Build;
use crate::import::fail::R;
use crate::import::frame::V;

/// The position of a row and a column in every matrix of a batch: `i64[rank]`. Both are `i64` scalars, or one of them a number.
fn corner(cx: &mut Cx<'_, '_>, rank: usize, row: &Ex, column: &Ex) -> R {
    let mut unit = |axis: usize| value(cx.constant(Tensor::build(DType::I64, &[rank], |i| Num::Int((i == axis).into()))));
    let at = unit(rank - 2) * row + unit(rank - 1) * column;
    Ok(emit(cx, &[&at])?[0])
}

/// `size` rows and columns from a row and a column on.
pub fn part(cx: &mut Cx<'_, '_>, a: V, (row, column): (&Ex, &Ex), size: (usize, usize)) -> R<Ex> {
    let rank = cx.rank(a);
    let at = corner(cx, rank, row, column)?;
    let mut shape = cx.shape(a);
    shape[rank - 2] = Dim::from(size.0);
    shape[rank - 1] = Dim::from(size.1);
    Ok(value(cx.emit(Op::DynamicSlice { shape }, &[a, at])?))
}

/// The matrix with other numbers from a row and a column on, which must leave room for them.
pub fn with_part(cx: &mut Cx<'_, '_>, a: V, (row, column): (&Ex, &Ex), new: &Ex) -> R {
    let at = corner(cx, cx.rank(a), row, column)?;
    let new = emit(cx, &[new])?[0];
    overwrite(cx, a, at, new)
}

/// `[.., 1, n]`: the elements down from `(row, column)` along the diagonal.
pub fn along(cx: &mut Cx<'_, '_>, a: V, (row, column): (usize, usize), n: usize) -> R<Ex> {
    let rank = cx.rank(a);
    let (rows, columns) = (cx.extent(a, rank - 2, "the number of rows")?, cx.extent(a, rank - 1, "the number of columns")?);
    let lead = cx.shape(a)[..rank - 2].to_vec();
    let flat = cx.reshape(a, [&lead[..], &[Dim::from(rows * columns)]].concat())?;
    let mut s = Slice { start: vec![0.into(); rank - 1], len: cx.shape(flat), step: vec![1; rank - 1] };
    s.start[rank - 2] = Dim::from(row * columns + column);
    s.len[rank - 2] = Dim::from(n);
    s.step[rank - 2] = columns as i64 + 1;
    let d = cx.emit(Op::Slice(s), &[flat])?;
    Ok(value(cx.reshape(d, [&lead[..], &[1.into(), Dim::from(n)]].concat())?))
}
