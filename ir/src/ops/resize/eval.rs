//! What resampling means. Every axis is resampled by itself, one after the other, in `f64`; the result is rounded at the end.
//! The argument has passed `infer`.

use super::super::{index, shape::copy_by_tables};
use super::{Coord, Nearest, Resize, ResizeMode};
use crate::eval::{Ctx, EvalError};
use crate::num::encode;
use crate::tensor::{Num, Tensor};
use crate::types::DType;

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_resize(p: &Resize, args: &[Tensor], ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let (x, to) = (&args[0], ctx.shape(&p.shape)?);
    if to.contains(&0) {
        return Ok(vec![index::tensor(x.dtype, &to, vec![])?]);
    }
    if x.is_empty() {
        return EvalError::fail(format!("a tensor of shape {:?} has nothing to resample to {to:?}", x.shape));
    }
    let axes: Vec<Axis> = (0..to.len()).map(|axis| Axis::new(p, axis, x.shape[axis], to[axis])).collect();
    let fill = p.extrapolation.get();
    if let ResizeMode::Nearest(rounding) = p.mode {
        let mut bytes = vec![];
        encode(x.dtype, converted(x.dtype, fill), &mut bytes);
        let tables: Vec<_> = axes.iter().map(|a| (0..a.to).map(|j| a.nearest(j, rounding)).collect()).collect();
        return Ok(vec![copy_by_tables(x, &tables, &bytes)?]);
    }
    let (mut values, mut shape) = (x.to_f64(), x.shape.clone());
    for (axis, a) in axes.iter().enumerate() {
        if a.copied {
            continue;
        }
        shape[axis] = a.to;
        let mut out = index::zeros(&shape)?;
        let inner: usize = shape[axis + 1..].iter().product();
        for j in 0..a.to {
            let taps = a.taps(j, p);
            for o in 0..shape[..axis].iter().product() {
                let place = &mut out[(o * a.to + j) * inner..][..inner];
                let Some(taps) = &taps else {
                    place.fill(fill);
                    continue;
                };
                for &(i, weight) in taps {
                    let from = &values[(o * a.from + i) * inner..][..inner];
                    place.iter_mut().zip(from).for_each(|(sum, v)| *sum += weight * v);
                }
            }
        }
        values = out;
    }
    Ok(vec![index::rounded(x.dtype, &to, values.into_iter().map(|v| converted(x.dtype, v)))?])
}

/// Integers are rounded to nearest even and saturate.
fn converted(dtype: DType, v: f64) -> Num {
    match dtype.int_range() {
        Some((lo, hi)) => Num::Int((v.round_ties_even() as i128).clamp(lo, hi)),
        None => Num::Float(v),
    }
}

/// How one axis is resampled.
struct Axis {
    from: usize,
    to: usize,
    scale: f64,
    /// The extent before it was rounded to an integer.
    width: f64,
    coord: Coord,
    region: (f64, f64),
    copied: bool,
}

impl Axis {
    fn new(p: &Resize, axis: usize, from: usize, to: usize) -> Axis {
        let scale = p.scales[axis].map_or(to as f64 / from as f64, |s| s.get());
        let width = p.scales[axis].map_or(to as f64, |s| s.get() * from as f64);
        let region = p.roi.get(axis).map_or((0.0, 1.0), |r| (r.0.get(), r.1.get()));
        let whole = p.coord != Coord::TfCropAndResize || region == (0.0, 1.0);
        let copied = from == to && (scale - 1.0).abs() <= 1e-9 && whole;
        Axis { from, to, scale, width, coord: p.coord, region, copied }
    }

    /// The coordinate in the argument of result position `j`; `None` outside the region.
    fn coordinate(&self, j: usize) -> Option<f64> {
        let (j, last) = (j as f64, self.from as f64 - 1.0);
        let half_pixel = (j + 0.5) / self.scale - 0.5;
        Some(match self.coord {
            Coord::HalfPixel => half_pixel,
            // The centre of the argument goes to the centre of the rounded result.
            Coord::HalfPixelSymmetric => self.from as f64 / 2.0 * (1.0 - self.to as f64 / self.width) + half_pixel,
            Coord::PytorchHalfPixel if self.width == 1.0 => -0.5,
            Coord::PytorchHalfPixel => half_pixel,
            Coord::AlignCorners if self.width == 1.0 => 0.0,
            Coord::AlignCorners => j * last / (self.width - 1.0),
            Coord::Asymmetric => j / self.scale,
            Coord::TfHalfPixelForNn => (j + 0.5) / self.scale,
            Coord::TfCropAndResize => {
                let (start, end) = self.region;
                let step = if self.width == 1.0 { 0.5 } else { j / (self.width - 1.0) };
                let x = start * last + step * (end - start) * last;
                return (x >= 0.0 && x <= last).then_some(x);
            }
        })
    }

    /// The argument position nearest to result position `j`; `None` outside the region.
    fn nearest(&self, j: usize, rounding: Nearest) -> Option<usize> {
        if self.copied {
            return Some(j);
        }
        let x = self.coordinate(j)?;
        let i = match rounding {
            Nearest::RoundPreferFloor => (x - 0.5).ceil(),
            Nearest::RoundPreferCeil => (x + 0.5).floor(),
            Nearest::Floor => x.floor(),
            Nearest::Ceil => x.ceil(),
        };
        Some(i.clamp(0.0, self.from as f64 - 1.0) as usize)
    }

    /// The argument positions that result position `j` sums, with their weights; `None` outside the region.
    fn taps(&self, j: usize, p: &Resize) -> Option<Vec<(usize, f64)>> {
        let x = self.coordinate(j)?;
        // The neighbour to the left, and the distance from it, in (0, 1].
        let base = x.ceil() - 1.0;
        let ratio = x - base;
        // Shrinking with antialiasing stretches the filter.
        let stretch = if p.antialias { self.scale.min(1.0) } else { 1.0 };
        let (reach, kernel): (f64, Box<dyn Fn(f64) -> f64>) = match p.mode {
            ResizeMode::Cubic(a) => (2.0, Box::new(move |d| cubic(d, a.get()))),
            _ => (1.0, Box::new(|d| (1.0 - d.abs()).max(0.0))),
        };
        let first = (-reach / stretch).floor() + 1.0;
        let mut taps: Vec<(f64, f64)> = vec![];
        let mut i = first;
        while i <= 1.0 - first {
            taps.push((base + i, kernel((i - ratio) * stretch)));
            i += 1.0;
        }
        if p.antialias {
            normalise(&mut taps);
        }
        let last = self.from as f64 - 1.0;
        if p.exclude_outside {
            taps.iter_mut().filter(|t| t.0 < 0.0 || t.0 > last).for_each(|t| t.1 = 0.0);
            normalise(&mut taps);
        }
        Some(taps.into_iter().map(|(i, weight)| (i.clamp(0.0, last) as usize, weight)).collect())
    }
}

/// Makes the weights sum to one, unless they sum to zero.
fn normalise(taps: &mut [(f64, f64)]) {
    let sum: f64 = taps.iter().map(|t| t.1).sum();
    if sum != 0.0 {
        taps.iter_mut().for_each(|t| t.1 /= sum);
    }
}

/// Keys' cubic convolution kernel with coefficient `a`, at distance `d`.
fn cubic(d: f64, a: f64) -> f64 {
    let d = d.abs();
    if d <= 1.0 {
        ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    } else if d < 2.0 {
        ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
    } else {
        0.0
    }
}
