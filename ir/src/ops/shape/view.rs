//! Copies of strided views. Transposition, broadcast, slicing and reversal all say: element `(i, j, ..)` of the result is element
//! `offset + i*s0 + j*s1 + ..` of the argument.
//!
//! Weights of hundreds of megabytes go through here at compile time, so elements move as whole units of their size, runs of
//! neighbours move at once, and a transposition goes in square blocks that stay in cache.

use super::super::index;
use crate::eval::EvalError;
use crate::tensor::Tensor;

/// Edge of a block of a transposition, in elements: 32 rows of 32 elements of 8 bytes are half of a small L1 cache.
const BLOCK: usize = 32;

/// A view of a tensor's elements.
pub(super) struct View {
    /// Element of the argument that the first element of the result is.
    pub offset: i128,
    /// Extent and stride of each axis of the result, in elements.
    pub axes: Vec<(usize, i128)>,
}

/// An axis of a copy: extent, stride in the source, stride in the destination.
#[derive(Clone, Copy)]
struct Axis {
    len: usize,
    src: isize,
    dst: usize,
}

impl View {
    /// The elements of `shape` in order.
    pub fn of(shape: &[usize]) -> View {
        let axes = shape.iter().zip(index::strides(shape)).map(|(&n, s)| (n, s as i128)).collect();
        View { offset: 0, axes }
    }

    /// Copies the viewed elements of `x` into a tensor. An error where the view leaves `x` or memory does not suffice.
    pub fn copy(&self, x: &Tensor) -> Result<Tensor, EvalError> {
        let shape: Vec<usize> = self.axes.iter().map(|a| a.0).collect();
        let mut out = index::zeroed(x.dtype, &shape)?;
        if !out.is_empty() {
            let far = |keep: fn(i128) -> bool| {
                let reach = self.axes.iter().map(|&(n, s)| s * (n as i128 - 1)).filter(|r| keep(*r));
                self.offset + reach.sum::<i128>()
            };
            let (lo, hi) = (far(|r| r < 0), far(|r| r > 0));
            if lo < 0 || hi >= x.len() as i128 {
                return EvalError::fail(format!("elements {lo}..={hi} of an argument of {} elements are asked for", x.len()));
            }
            // All positions lie within the argument, so the strides of axes longer than one fit its length.
            let axes = self.merged();
            let offset = self.offset as usize;
            match x.dtype.size() {
                1 => copy::<1>(x.bytes(), offset, &axes, &mut out),
                2 => copy::<2>(x.bytes(), offset, &axes, &mut out),
                4 => copy::<4>(x.bytes(), offset, &axes, &mut out),
                8 => copy::<8>(x.bytes(), offset, &axes, &mut out),
                _ => copy::<16>(x.bytes(), offset, &axes, &mut out),
            }
        }
        index::tensor(x.dtype, &shape, out)
    }

    /// The axes without those of extent one, neighbours joined where one stride goes through both.
    fn merged(&self) -> Vec<Axis> {
        let mut out: Vec<Axis> = vec![];
        let mut dst = 1;
        for &(len, stride) in self.axes.iter().rev().filter(|a| a.0 != 1) {
            let src = stride as isize;
            match out.last_mut() {
                Some(inner) if inner.src.checked_mul(inner.len as isize) == Some(src) => inner.len *= len,
                _ => out.push(Axis { len, src, dst }),
            }
            dst *= len;
        }
        out.reverse();
        out
    }
}

fn copy<const E: usize>(src: &[u8], offset: usize, axes: &[Axis], dst: &mut [u8]) {
    let (src, _) = src.as_chunks::<E>();
    let (dst, _) = dst.as_chunks_mut::<E>();
    let Some((&row, outer)) = axes.split_last() else {
        dst[0] = src[offset];
        return;
    };
    // The axis along which the source is walked in the smallest steps, where that is not the row itself.
    let near = (0..outer.len()).filter(|&i| outer[i].src != 0).min_by_key(|&i| outer[i].src.unsigned_abs());
    let near = near.filter(|&i| outer[i].src.unsigned_abs() < row.src.unsigned_abs());
    let one = Axis { len: 1, src: 0, dst: 0 };
    let column = near.map_or(one, |i| outer[i]);
    let rest: Vec<Axis> = (0..outer.len()).filter(|i| Some(*i) != near).map(|i| outer[i]).collect();
    let mut at = vec![0; rest.len()];
    let (mut s, mut d) = (offset as isize, 0);
    loop {
        block(src, s, dst, d, column, row);
        // The next position of the remaining axes.
        let mut axis = rest.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            let a = rest[axis];
            at[axis] += 1;
            s += a.src;
            d += a.dst;
            if at[axis] < a.len {
                break;
            }
            at[axis] = 0;
            s -= a.src * a.len as isize;
            d -= a.dst * a.len;
        }
    }
}

/// Copies the plane that `column` and `row` span, from `s` to `d`.
fn block<const E: usize>(src: &[[u8; E]], s: isize, dst: &mut [[u8; E]], d: usize, column: Axis, row: Axis) {
    let (step_c, step_r) = if column.len > 1 { (BLOCK, BLOCK) } else { (1, row.len) };
    for c0 in (0..column.len).step_by(step_c) {
        for r0 in (0..row.len).step_by(step_r) {
            let n = step_r.min(row.len - r0);
            for c in c0..(c0 + step_c).min(column.len) {
                let from = s + c as isize * column.src + r0 as isize * row.src;
                let to = d + c * column.dst + r0;
                let out = &mut dst[to..to + n];
                match row.src {
                    0 => out.fill(src[from as usize]),
                    1 => out.copy_from_slice(&src[from as usize..from as usize + n]),
                    step => {
                        for (i, o) in out.iter_mut().enumerate() {
                            *o = src[(from + i as isize * step) as usize];
                        }
                    }
                }
            }
        }
    }
}

/// Copies by a table for each axis: result position `j` of an axis is argument position `table[j]`, or, where that is `None`
/// along any axis, the bytes of `fill`.
pub(in super::super) fn copy_by_tables(x: &Tensor, tables: &[Vec<Option<usize>>], fill: &[u8]) -> Result<Tensor, EvalError> {
    let shape: Vec<usize> = tables.iter().map(Vec::len).collect();
    let size = x.dtype.size();
    let strides = index::strides(&x.shape);
    let mut out = index::zeroed(x.dtype, &shape)?;
    let mut to = 0;
    index::for_each(&shape, |at| {
        let mut from = Some(0);
        for ((table, &i), stride) in tables.iter().zip(at).zip(&strides) {
            from = from.zip(table[i]).map(|(sum, j)| sum + j * stride);
        }
        let bytes = match from {
            Some(i) => x.bytes().get(i * size..(i + 1) * size),
            None => fill.get(..size),
        };
        let bytes = bytes.ok_or_else(|| EvalError("an element outside the argument is asked for".into()))?;
        out[to..to + size].copy_from_slice(bytes);
        to += size;
        Ok(())
    })?;
    index::tensor(x.dtype, &shape, out)
}
