//! Weights as the program has them: their type and bytes after packing.

use crate::plan::{Panels, Weight};
use crate::tensor::Data;
use crate::types::TensorType;

impl Weight {
    /// Type of the packed weight.
    pub fn ty(&self) -> TensorType {
        match &self.panels {
            None => self.source.ty(),
            Some(p) => TensorType::known(self.source.dtype, &p.shape()),
        }
    }

    /// Bytes of the packed weight; a window of the source where nothing is rearranged. `None` where the panels reach past it.
    pub fn data(&self) -> Option<Data> {
        let Some(p) = &self.panels else { return Some(self.source.data.clone()) };
        let size = self.source.dtype.size();
        let bytes = self.source.bytes();
        let last = |n: usize, s: usize| n.checked_sub(1).map_or(Some(0), |n| n.checked_mul(s));
        let reach = [last(p.batch, p.batch_stride)?, last(p.rows, p.row_stride)?, last(p.cols, p.col_stride)?];
        let end = reach.iter().try_fold(p.offset, |a, b| a.checked_add(*b))?.checked_add(1)?.checked_mul(size)?;
        let empty = p.batch == 0 || p.rows == 0 || p.cols == 0;
        if !empty && end > bytes.len() {
            return None;
        }
        let mut out = vec![0u8; p.shape().iter().try_fold(size, |a, b| a.checked_mul(*b))?];
        if !empty {
            match size {
                1 => fill::<1>(p, bytes, &mut out),
                2 => fill::<2>(p, bytes, &mut out),
                4 => fill::<4>(p, bytes, &mut out),
                8 => fill::<8>(p, bytes, &mut out),
                _ => fill::<16>(p, bytes, &mut out),
            }
        }
        Some(out.into())
    }
}

/// Rows of a block: a transposed source is read along its rows, a few columns at a time, so that lines of cache are used whole.
const BLOCK: usize = 16;

fn fill<const S: usize>(p: &Panels, from: &[u8], to: &mut [u8]) {
    let panel_bytes = p.rows * p.nr * S;
    for (number, panel) in to.chunks_exact_mut(panel_bytes).enumerate() {
        let (b, first) = (number / p.cols.div_ceil(p.nr), number % p.cols.div_ceil(p.nr) * p.nr);
        let width = p.nr.min(p.cols - first);
        let base = p.offset + b * p.batch_stride + first * p.col_stride;
        for k0 in (0..p.rows).step_by(BLOCK) {
            for r in 0..width {
                for k in k0..p.rows.min(k0 + BLOCK) {
                    let at = (base + k * p.row_stride + r * p.col_stride) * S;
                    let dst = (k * p.nr + r) * S;
                    panel[dst..dst + S].copy_from_slice(&from[at..at + S]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;

    #[test]
    fn panels_follow_their_definition() {
        let source = Tensor::f32(&[2, 5, 37], &(0..370).map(|x| x as f32).collect::<Vec<_>>());
        for (rows, cols, row_stride, col_stride) in [(5, 37, 37, 1), (37, 5, 1, 37)] {
            let p = Panels { batch: 2, rows, cols, nr: 16, offset: 0, batch_stride: 185, row_stride, col_stride };
            let w = Weight { source: source.clone(), panels: Some(p) };
            let t = Tensor::new(source.dtype, p.shape().to_vec(), w.data().unwrap()).unwrap();
            let want = |b: usize, q: usize, k: usize, r: usize| {
                let c = q * 16 + r;
                if c < cols { (b * 185 + k * row_stride + c * col_stride) as f64 } else { 0.0 }
            };
            let [nb, np, nk, nr] = p.shape();
            let got = t.to_f64();
            for (i, got) in got.into_iter().enumerate() {
                let (b, q, k, r) = (i / (np * nk * nr), i / (nk * nr) % np, i / nr % nk, i % nr);
                assert_eq!(got, want(b, q, k, r));
            }
            assert_eq!(nb, 2);
        }
    }

    #[test]
    fn panels_past_the_end_are_refused() {
        let p = Panels { batch: 1, rows: 4, cols: 4, nr: 4, offset: 1, batch_stride: 0, row_stride: 4, col_stride: 1 };
        let w = Weight { source: Tensor::f32(&[16], &[0.0; 16]), panels: Some(p) };
        assert!(w.data().is_none());
    }
}
