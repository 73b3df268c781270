//! What selection means. The arguments have passed `infer`.

use std::cmp::Ordering;

use super::super::index;
use super::{Nms, TopK};
use crate::eval::{Ctx, EvalError};
use crate::tensor::{Num, Tensor};
use crate::types::{DType, Dim};

/// Order of numbers, NaN last; zeros of either sign are equal.
fn order(a: Num, b: Num) -> Ordering {
    match (a, b) {
        (Num::Int(a), Num::Int(b)) => a.cmp(&b),
        _ => {
            let (a, b) = (a.to_f64(), b.to_f64());
            a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
        }
    }
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_topk(p: &TopK, args: &[Tensor], ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let (x, k) = (&args[0], ctx.extent(&p.k)?);
    let n = x.shape[p.axis];
    if k > n {
        return EvalError::fail(format!("k is {k}, more than the {n} of axis {}", p.axis));
    }
    let mut shape = x.shape.clone();
    shape[p.axis] = k;
    let mut values = index::zeroed(x.dtype, &shape)?;
    let mut indices = index::zeroed(DType::I64, &shape)?;
    let (inner, size) = (index::strides(&x.shape)[p.axis], x.dtype.size());
    let outer = if x.is_empty() { 0 } else { x.len() / (n * inner) };
    for (o, i) in (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))) {
        let at = |j: usize| (o * n + j) * inner + i;
        let lane: Vec<Num> = (0..n).map(|j| x.get(at(j))).collect();
        let mut best: Vec<usize> = (0..n).collect();
        // The sort is stable, so equal elements stay in the order of their positions.
        best.sort_by(|&a, &b| if p.largest { order(lane[b], lane[a]) } else { order(lane[a], lane[b]) });
        for (j, &from) in best.iter().take(k).enumerate() {
            let (to, first) = ((o * k + j) * inner + i, at(from) * size);
            values[to * size..(to + 1) * size].copy_from_slice(&x.bytes()[first..first + size]);
            indices[to * 8..(to + 1) * 8].copy_from_slice(&(from as i64).to_le_bytes());
        }
    }
    Ok(vec![index::tensor(x.dtype, &shape, values)?, index::tensor(DType::I64, &shape, indices)?])
}

/// A box by the ends of its spans.
struct Corners {
    y: (f32, f32),
    x: (f32, f32),
}

impl Corners {
    fn of(b: &[f32], center: bool) -> Corners {
        let span = |mid: f32, size: f32| (mid - size / 2.0, mid + size / 2.0);
        let sorted = |a: f32, b: f32| if a >= b { (b, a) } else { (a, b) };
        if center {
            Corners { y: span(b[1], b[3]), x: span(b[0], b[2]) }
        } else {
            Corners { y: sorted(b[0], b[2]), x: sorted(b[1], b[3]) }
        }
    }

    fn area(&self) -> f32 {
        (self.x.1 - self.x.0) * (self.y.1 - self.y.0)
    }

    /// True where intersection over union exceeds `iou`. Boxes without area overlap nothing.
    fn overlaps(&self, o: &Corners, iou: f32) -> bool {
        let common = Corners { y: (self.y.0.max(o.y.0), self.y.1.min(o.y.1)), x: (self.x.0.max(o.x.0), self.x.1.min(o.x.1)) };
        if common.y.1 <= common.y.0 || common.x.1 <= common.x.0 || common.area() <= 0.0 {
            return false;
        }
        let union = self.area() + o.area() - common.area();
        self.area() > 0.0 && o.area() > 0.0 && union > 0.0 && common.area() / union > iou
    }
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_nms(p: &Nms, args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let floats = |x: &Tensor| x.to_f64().into_iter().map(|v| v as f32).collect::<Vec<f32>>();
    let (boxes, scores) = (floats(&args[0]), floats(&args[1]));
    let max_out = usize::try_from(args[2].get(0).to_i128().max(0)).unwrap_or(usize::MAX);
    let (iou, threshold) = (args[3].get(0).to_f64() as f32, args[4].get(0).to_f64() as f32);
    let [batches, classes, n] = args[1].shape[..] else {
        return EvalError::fail("scores must have three axes");
    };
    let mut rows: Vec<i64> = vec![];
    for (b, c) in (0..batches).flat_map(|b| (0..classes).map(move |c| (b, c))) {
        let score = |i: usize| scores[(b * classes + c) * n + i];
        let mut candidates: Vec<usize> = (0..n).filter(|&i| score(i) > threshold).collect();
        // Stable, and without NaN, which exceeds no threshold.
        candidates.sort_by(|&i, &j| score(j).partial_cmp(&score(i)).unwrap_or(Ordering::Equal));
        let mut kept: Vec<Corners> = vec![];
        for i in candidates {
            let this = Corners::of(&boxes[(b * n + i) * 4..][..4], p.center);
            if kept.len() < max_out && !kept.iter().any(|k| this.overlaps(k, iou)) {
                kept.push(this);
                rows.extend([b as i64, c as i64, i as i64]);
            }
        }
    }
    let count = rows.len() / 3;
    Ok(vec![Tensor::i64(&[count, 3], &rows), Tensor::i64(&[], &[count as i64])])
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_nonzero(_count: &Dim, args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let x = &args[0];
    let mut found: Vec<Vec<i64>> = vec![vec![]; x.shape.len()];
    let (mut i, mut count) = (0, 0);
    index::for_each(&x.shape, |at| {
        let zero = match x.get(i) {
            Num::Int(v) => v == 0,
            Num::Float(v) => v == 0.0,
            Num::Complex(re, im) => re == 0.0 && im == 0.0,
        };
        if !zero {
            found.iter_mut().zip(at).for_each(|(row, a)| row.push(*a as i64));
            count += 1;
        }
        i += 1;
        Ok(())
    })?;
    Ok(vec![Tensor::i64(&[x.shape.len(), count], &found.concat()), Tensor::i64(&[], &[count as i64])])
}
