//! Non-maximum suppression, as ONNX `NonMaxSuppression` defines it.

use std::cmp::Ordering;

use super::{Array, floats};

/// A box by its corners and area.
struct Rect {
    y1: f32,
    x1: f32,
    y2: f32,
    x2: f32,
    area: f32,
}

/// For each batch and class: boxes in order of falling score (ties by lower index) that score more than `score` and overlap
/// none chosen before by more than `iou` (intersection over union), at most `max_out`. Rows `(batch, class, box)`.
///
/// `boxes` are f32 `[B, N, 4]`, corners in any order or `(x, y, width, height)` of the centre; `scores` f32 `[B, C, N]`.
/// The error says which shape is wrong.
pub fn nms(boxes: Array, scores: Array, max_out: i64, iou: f32, score: f32, center: bool) -> Result<Vec<[i64; 3]>, String> {
    let (&[batches, n, four], &[score_batches, classes, m]) = (boxes.shape, scores.shape) else {
        return Err("boxes and scores must have three axes".into());
    };
    if four != 4 || batches != score_batches || n != m {
        return Err(format!("boxes have the shape {:?} and scores {:?}", boxes.shape, scores.shape));
    }
    let (coords, scores) = (floats(boxes.data), floats(scores.data));
    if coords.len() != boxes.shape.iter().product::<usize>() || scores.len() != batches * classes * n {
        return Err("a buffer has the wrong size".into());
    }
    let limit = usize::try_from(max_out).unwrap_or(0);
    let mut out = vec![];
    if limit == 0 || n == 0 {
        return Ok(out);
    }
    let mut order: Vec<usize> = vec![];
    let mut chosen: Vec<usize> = vec![];
    for (b, coords) in coords.chunks_exact(n * 4).enumerate() {
        let rects: Vec<Rect> = coords.chunks_exact(4).map(|c| rect(c, center)).collect();
        for c in 0..classes {
            let scores = &scores[(b * classes + c) * n..][..n];
            order.clear();
            order.extend((0..n).filter(|&i| scores[i] > score));
            // Stable, and without NaN: it exceeds no threshold.
            order.sort_by(|&i, &j| scores[j].partial_cmp(&scores[i]).unwrap_or(Ordering::Equal));
            chosen.clear();
            for &i in &order {
                if chosen.len() == limit {
                    break;
                }
                if !chosen.iter().any(|&j| overlap(&rects[i], &rects[j], iou)) {
                    chosen.push(i);
                    out.push([b as i64, c as i64, i as i64]);
                }
            }
        }
    }
    Ok(out)
}

fn rect(c: &[f32], center: bool) -> Rect {
    let (y1, x1, y2, x2) = if center {
        let (x, y, w, h) = (c[0], c[1], c[2] / 2.0, c[3] / 2.0);
        (y - h, x - w, y + h, x + w)
    } else {
        (c[0].min(c[2]), c[1].min(c[3]), c[0].max(c[2]), c[1].max(c[3]))
    };
    Rect { y1, x1, y2, x2, area: (y2 - y1) * (x2 - x1) }
}

/// Whether intersection over union exceeds `iou`. A box without area overlaps nothing.
fn overlap(a: &Rect, b: &Rect, iou: f32) -> bool {
    let h = a.y2.min(b.y2) - a.y1.max(b.y1);
    let w = a.x2.min(b.x2) - a.x1.max(b.x1);
    let both = h * w;
    let union = a.area + b.area - both;
    h > 0.0 && w > 0.0 && both > 0.0 && a.area > 0.0 && b.area > 0.0 && union > 0.0 && both / union > iou
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::format::DType;

    fn bytes(v: &[f32]) -> Vec<u8> {
        v.iter().flat_map(|x| x.to_ne_bytes()).collect()
    }

    /// The example of the ONNX operator's page, and its variations.
    #[test]
    fn suppression() {
        let corners: [f32; 24] = [
            0.0, 0.0, 1.0, 1.0, 0.0, 0.1, 1.0, 1.1, 0.0, -0.1, 1.0, 0.9, //
            0.0, 10.0, 1.0, 11.0, 0.0, 10.1, 1.0, 11.1, 0.0, 100.0, 1.0, 101.0,
        ];
        let mut flipped = corners;
        for b in flipped.chunks_exact_mut(4) {
            b.swap(0, 2);
        }
        let centers: Vec<f32> =
            corners.chunks_exact(4).flat_map(|c| [(c[1] + c[3]) / 2.0, (c[0] + c[2]) / 2.0, c[3] - c[1], c[2] - c[0]]).collect();
        let scores = [0.9, 0.75, 0.6, 0.95, 0.5, 0.3f32];
        for (boxes, center) in [(&corners[..], false), (&flipped[..], false), (&centers[..], true)] {
            for (max_out, iou, score, expected) in [
                (3, 0.5, 0.0, vec![3, 0, 5]),
                (2, 0.5, 0.0, vec![3, 0]),
                (30, 0.5, 0.4, vec![3, 0]),
                (30, 1.0, 0.0, vec![3, 0, 1, 2, 4, 5]),
                (0, 0.5, 0.0, vec![]),
                (-1, 0.5, 0.0, vec![]),
                (3, 0.5, 0.95, vec![]),
                (30, -0.5, 0.0, vec![3, 0, 5]),
            ] {
                let (b, s) = (bytes(boxes), bytes(&scores));
                let b = Array { dtype: DType::F32, shape: &[1, 6, 4], data: &b };
                let s = Array { dtype: DType::F32, shape: &[1, 1, 6], data: &s };
                let got: Vec<i64> = nms(b, s, max_out, iou, score, center).unwrap().iter().map(|r| r[2]).collect();
                assert_eq!(got, expected, "max {max_out}, iou {iou}, score {score}, center {center}");
            }
        }
    }

    #[test]
    fn batches_classes_ties_and_nan() {
        let boxes = bytes(&[0.0, 0.0, 1.0, 1.0, 5.0, 5.0, 6.0, 6.0].repeat(2));
        let scores = bytes(&[0.5, 0.5, f32::NAN, 0.1, 0.2, 0.3, 0.0, f32::NEG_INFINITY]);
        let b = Array { dtype: DType::F32, shape: &[2, 2, 4], data: &boxes };
        let s = Array { dtype: DType::F32, shape: &[2, 2, 2], data: &scores };
        let got = nms(b, s, 5, 0.5, -1.0, false).unwrap();
        assert_eq!(got, [[0, 0, 0], [0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 0, 0], [1, 1, 0]]);
        // Zeros of either sign are a tie; boxes without area stay.
        let (flat, zeros) = (bytes(&[0.0; 8]), bytes(&[-0.0, 0.0]));
        let b1 = Array { shape: &[1, 2, 4], data: &flat, ..b };
        let got = nms(b1, Array { shape: &[1, 1, 2], data: &zeros, ..s }, 5, 0.0, -1.0, false).unwrap();
        assert_eq!(got, [[0, 0, 0], [0, 0, 1]]);
        assert!(nms(b, Array { shape: &[2, 2, 3], ..s }, 5, 0.5, 0.0, false).is_err());
        let none = Array { dtype: DType::F32, shape: &[0, 2, 4], data: &[] };
        assert_eq!(nms(none, Array { shape: &[0, 2, 2], data: &[], ..s }, 5, 0.5, 0.0, false).unwrap(), [[0; 3]; 0]);
    }
}
