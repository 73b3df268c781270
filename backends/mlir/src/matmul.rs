//! Matrix products as `linalg.matmul` and `linalg.batch_matmul`.

use beiming_ir::tensor::Num;
use beiming_ir::types::DType;

use crate::build::{Builder, Val, Why};
use crate::cast::cast;
use crate::shape::{broadcast, reshape};

/// `[.., M, K] x [.., K, N] -> [.., M, N]` with elements of type `out`, to the shape `to`.
pub fn matmul<'c, 'b>(
    b: &Builder<'c, 'b>,
    x: &Val<'c, 'b>,
    y: &Val<'c, 'b>,
    out: DType,
    to: &[usize],
) -> Result<Val<'c, 'b>, Why> {
    // What is summed up in: floats in f32 at least, integers in the result's type.
    let sum = if out.is_float() && out.bits() < 32 { DType::F32 } else { out };
    let (mut x, mut y) = (x.clone(), y.clone());
    let fits = if sum.is_float() { x.dtype.bits() <= sum.bits() } else { x.dtype.is_signed_int() && y.dtype.is_signed_int() };
    if !fits {
        // The named ops extend both operands alike, as signed numbers; other signs are extended before.
        (x, y) = (cast(b, &x, sum)?, cast(b, &y, sum)?);
    }
    let (xr, yr) = (x.shape.len(), y.shape.len());
    let (m, k, n) = (x.shape[xr - 2], x.shape[xr - 1], y.shape[yr - 1]);
    let batch: usize = y.shape[..yr - 2].iter().product();
    let (name, shape) = if batch == 1 {
        // One right operand for all rows of the left one.
        let rows = x.shape[..xr - 1].iter().product();
        (x, y) = (reshape(b, &x, &[rows, k])?, reshape(b, &y, &[k, n])?);
        ("linalg.matmul", vec![rows, n])
    } else {
        let batches = &to[..to.len() - 2];
        let spread = |v: &Val<'c, 'b>, rows: usize, columns: usize| {
            let full: Vec<usize> = batches.iter().copied().chain([rows, columns]).collect();
            let v = broadcast(b, v, &full)?;
            reshape(b, &v, &[batches.iter().product(), rows, columns])
        };
        (x, y) = (spread(&x, m, k)?, spread(&y, k, n)?);
        ("linalg.batch_matmul", vec![batches.iter().product(), m, n])
    };
    let zero = if sum.is_float() { Num::Float(0.0) } else { Num::Int(0) };
    let init = b.fill(sum, &shape, zero)?;
    let maps = match shape.len() {
        2 => b.maps(3, &[&[0, 2], &[2, 1], &[0, 1]])?,
        _ => b.maps(4, &[&[0, 1, 3], &[0, 3, 2], &[0, 1, 2]])?,
    };
    let product = b.contract(name, [&x, &y], &init, &[("indexing_maps", maps)])?;
    cast(b, &reshape(b, &product, to)?, out)
}
