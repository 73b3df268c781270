//! Resampling inside the inliner: a value is a weighted sum of a few values of the argument along each resampled axis. Where
//! the extents are known the positions and weights are tables, made here; where they are symbolic they are computed in the
//! kernel by the same formulas. Enlarging by a whole factor with the nearest element is a plain division of the index.

use beiming_ir::kernel::ExprId;
use beiming_ir::ops::{BinaryOp, Coord, Nearest, Resize, ResizeMode, UnaryOp};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim};

use super::builder::KernelBuilder;
use super::inline::Inliner;

/// Positions along one axis: `(position, weight)` each; a weight of `None` is one.
struct Taps {
    taps: Vec<(ExprId, Option<ExprId>)>,
    /// False outside the region, where the value is the extrapolation value.
    inside: Option<ExprId>,
}

/// The value of node `n`, a `Resize`, at `index`.
pub fn value(
    inl: &mut Inliner,
    kb: &mut KernelBuilder,
    n: usize,
    r: &Resize,
    index: &[ExprId],
    guard: Option<ExprId>,
) -> Result<ExprId, String> {
    let arg = inl.cx.body.nodes[n].args[0];
    let from = inl.cx.ty(arg).clone();
    let to = inl.cx.types[n].shape.clone();
    let acc = match from.dtype {
        DType::F64 | DType::I64 | DType::U64 | DType::I32 | DType::U32 => DType::F64,
        _ => DType::F32,
    };
    let axes: Vec<Taps> = (0..to.len())
        .map(|a| {
            let axis = Axis { r, axis: a, from: &from.shape[a], to: &to[a], acc };
            axis.taps(kb, index[a])
        })
        .collect::<Result<_, _>>()?;
    let inside = axes.iter().fold(None, |g, t| kb.and(g, t.inside));
    let weighted = axes.iter().any(|t| t.taps.iter().any(|x| x.1.is_some()));
    let mut sum: Option<ExprId> = None;
    // Every combination of one tap an axis, the last axis fastest.
    let count: usize = axes.iter().map(|t| t.taps.len()).product();
    for c in 0..count {
        let (mut rest, mut at, mut weight) = (c, vec![], None);
        for t in axes.iter().rev() {
            let (i, w) = t.taps[rest % t.taps.len()];
            rest /= t.taps.len();
            at.push(i);
            weight = match (weight, w) {
                (Some(a), Some(b)) => Some(kb.binary(BinaryOp::Mul, a, b)),
                (a, b) => a.or(b),
            };
        }
        at.reverse();
        let mut v = inl.guarded(kb, arg, &at, guard)?;
        if weighted {
            v = kb.cast(acc, v);
        }
        if let Some(w) = weight {
            v = kb.binary(BinaryOp::Mul, w, v);
        }
        sum = Some(match sum {
            Some(s) => kb.binary(BinaryOp::Add, s, v),
            None => v,
        });
    }
    let mut v = sum.ok_or("a resize without taps")?;
    if weighted && from.dtype.int_range().is_some() {
        // Integers round to nearest even; the conversion saturates.
        v = kb.unary(UnaryOp::Round, v);
    }
    v = kb.cast(from.dtype, v);
    if let Some(c) = inside {
        let outside = kb.number(from.dtype, r.extrapolation.get());
        v = kb.select(c, v, outside);
    }
    Ok(v)
}

/// One axis of a resize.
struct Axis<'r> {
    r: &'r Resize,
    axis: usize,
    from: &'r Dim,
    to: &'r Dim,
    acc: DType,
}

impl Axis<'_> {
    fn region(&self) -> (f64, f64) {
        self.r.roi.get(self.axis).map_or((0.0, 1.0), |p| (p.0.get(), p.1.get()))
    }

    fn scale(&self) -> Option<f64> {
        self.r.scales[self.axis].map(|s| s.get())
    }

    fn taps(&self, kb: &mut KernelBuilder, j: ExprId) -> Result<Taps, String> {
        let whole = self.r.coord != Coord::TfCropAndResize || self.region() == (0.0, 1.0);
        let same = self.scale().is_none_or(|s| (s - 1.0).abs() <= 1e-9);
        if self.from == self.to && same && whole {
            return Ok(Taps { taps: vec![(j, None)], inside: None });
        }
        if let Some(f) = self.whole_factor() {
            return Ok(Taps { taps: vec![(kb.quotient(j, &Dim::Known(f)), None)], inside: None });
        }
        match (self.from.known(), self.to.known()) {
            (Some(from), Some(to)) => Ok(self.tables(kb, j, from, to)),
            _ => self.computed(kb, j),
        }
    }

    /// The factor `f` where every result position `j` takes the element `j / f`.
    fn whole_factor(&self) -> Option<i64> {
        let ResizeMode::Nearest(_) = self.r.mode else { return None };
        if let (Some(from), Some(to)) = (self.from.known(), self.to.known()) {
            let f = to.checked_div(from).filter(|f| *f >= 1 && from * f == to)?;
            let m = Meaning::new(self, from as f64, to as f64);
            return (0..to).all(|j| m.nearest(j as f64) == Some((j / f) as f64)).then_some(f);
        }
        // Of these maps only the clamping at the end depends on the extent, so a few extents show them all.
        let local = matches!(self.r.coord, Coord::HalfPixel | Coord::Asymmetric | Coord::TfHalfPixelForNn);
        let f = self.scale().map_or_else(|| self.to.floor_div(self.from).known(), |s| Some(s as i64))?;
        let exact = self.scale().is_none_or(|s| s == f as f64) && f >= 1 && *self.to == self.from.clone() * Dim::Known(f);
        let shown = |from: i64| {
            let m = Meaning::new(self, from as f64, (from * f) as f64);
            (0..from * f).all(|j| m.nearest(j as f64) == Some((j / f) as f64))
        };
        (local && exact && [1, 2, 3, 64].into_iter().all(shown)).then_some(f)
    }

    fn tables(&self, kb: &mut KernelBuilder, j: ExprId, from: i64, to: i64) -> Taps {
        let m = Meaning::new(self, from as f64, to as f64);
        let rows: Vec<Option<Vec<(f64, f64)>>> = (0..to)
            .map(|j| match self.r.mode {
                ResizeMode::Nearest(_) => m.nearest(j as f64).map(|i| vec![(i, 1.0)]),
                _ => m.taps(j as f64),
            })
            .collect();
        let count = rows.iter().flatten().map(Vec::len).max().unwrap_or(1);
        let extent = to as usize;
        let mut taps = vec![];
        for t in 0..count {
            let tap = |j: usize| rows[j].as_ref().and_then(|r| r.get(t)).copied().unwrap_or((0.0, 0.0));
            let places = Tensor::build(DType::I64, &[extent], |j| Num::Int(tap(j).0 as i128));
            let buffer = kb.weight(places, None);
            let i = kb.load(buffer, &[j]);
            kb.assume(i, Dim::Known(0), Dim::Known(from - 1));
            let weight = (!matches!(self.r.mode, ResizeMode::Nearest(_))).then(|| {
                let buffer = kb.weight(Tensor::build(self.acc, &[extent], |j| Num::Float(tap(j).1)), None);
                kb.load(buffer, &[j])
            });
            taps.push((i, weight));
        }
        let inside = rows.iter().any(Option::is_none).then(|| {
            let buffer = kb.weight(Tensor::build(DType::Bool, &[extent], |j| Num::Int(rows[j].is_some().into())), None);
            kb.load(buffer, &[j])
        });
        Taps { taps, inside }
    }

    /// Positions and weights in the kernel's own arithmetic, in `f64`.
    fn computed(&self, kb: &mut KernelBuilder, j: ExprId) -> Result<Taps, String> {
        let m = Symbolic::new(kb, self);
        let j = kb.cast(DType::F64, j);
        let (x, inside) = m.coordinate(kb, self, j);
        if let ResizeMode::Nearest(rounding) = self.r.mode {
            let half = kb.number(DType::F64, 0.5);
            let i = match rounding {
                Nearest::RoundPreferFloor => {
                    let v = kb.binary(BinaryOp::Sub, x, half);
                    kb.unary(UnaryOp::Ceil, v)
                }
                Nearest::RoundPreferCeil => {
                    let v = kb.binary(BinaryOp::Add, x, half);
                    kb.unary(UnaryOp::Floor, v)
                }
                Nearest::Floor => kb.unary(UnaryOp::Floor, x),
                Nearest::Ceil => kb.unary(UnaryOp::Ceil, x),
            };
            return Ok(Taps { taps: vec![(self.position(kb, i), None)], inside });
        }
        let stretch = match (self.r.antialias, self.scale()) {
            (false, _) => 1.0,
            (true, Some(s)) => s.min(1.0),
            (true, None) => return Err("resize with antialiasing needs known extents or a known scale".into()),
        };
        let one = kb.number(DType::F64, 1.0);
        let up = kb.unary(UnaryOp::Ceil, x);
        let base = kb.binary(BinaryOp::Sub, up, one);
        let ratio = kb.binary(BinaryOp::Sub, x, base);
        let mut places = vec![];
        let mut weights = vec![];
        for i in offsets(&self.r.mode, stretch) {
            let i = kb.number(DType::F64, i);
            let p = kb.binary(BinaryOp::Add, base, i);
            let d = kb.binary(BinaryOp::Sub, i, ratio);
            let s = kb.number(DType::F64, stretch);
            let d = kb.binary(BinaryOp::Mul, d, s);
            let mut w = self.filter(kb, d);
            if self.r.exclude_outside {
                let zero = kb.number(DType::F64, 0.0);
                let low = kb.binary(BinaryOp::Ge, p, zero);
                let high = kb.binary(BinaryOp::Le, p, m.last);
                let in_range = kb.both(low, high);
                w = kb.select(in_range, w, zero);
            }
            places.push(self.position(kb, p));
            weights.push(w);
        }
        if self.r.antialias || self.r.exclude_outside {
            let mut sum = weights[0];
            for w in &weights[1..] {
                sum = kb.binary(BinaryOp::Add, sum, *w);
            }
            let zero = kb.number(DType::F64, 0.0);
            let none = kb.binary(BinaryOp::Eq, sum, zero);
            let sum = kb.select(none, one, sum);
            for w in &mut weights {
                *w = kb.binary(BinaryOp::Div, *w, sum);
            }
        }
        let taps = places.into_iter().zip(weights).map(|(p, w)| (p, Some(kb.cast(self.acc, w)))).collect();
        Ok(Taps { taps, inside })
    }

    /// A coordinate as a position in the argument.
    fn position(&self, kb: &mut KernelBuilder, x: ExprId) -> ExprId {
        let i = kb.cast(DType::I64, x);
        kb.clamp_index(i, self.from)
    }

    fn filter(&self, kb: &mut KernelBuilder, d: ExprId) -> ExprId {
        let d = kb.unary(UnaryOp::Abs, d);
        let mut num = |v: f64| kb.number(DType::F64, v);
        let (zero, one, two) = (num(0.0), num(1.0), num(2.0));
        let ResizeMode::Cubic(a) = self.r.mode else {
            let v = kb.binary(BinaryOp::Sub, one, d);
            return kb.binary(BinaryOp::Max, v, zero);
        };
        let a = a.get();
        let poly = |kb: &mut KernelBuilder, c: [f64; 4]| {
            let mut v = kb.number(DType::F64, c[0]);
            for k in &c[1..] {
                let k = kb.number(DType::F64, *k);
                let m = kb.binary(BinaryOp::Mul, v, d);
                v = kb.binary(BinaryOp::Add, m, k);
            }
            v
        };
        let near = poly(kb, [a + 2.0, -(a + 3.0), 0.0, 1.0]);
        let far = poly(kb, [a, -5.0 * a, 8.0 * a, -4.0 * a]);
        let is_far = kb.binary(BinaryOp::Lt, d, two);
        let far = kb.select(is_far, far, zero);
        let is_near = kb.binary(BinaryOp::Le, d, one);
        kb.select(is_near, near, far)
    }
}

/// Distances of the taps from the neighbour to the left.
fn offsets(mode: &ResizeMode, stretch: f64) -> Vec<f64> {
    let reach = if let ResizeMode::Cubic(_) = mode { 2.0 } else { 1.0 };
    let first = (-reach / stretch).floor() as i64 + 1;
    (first..=1 - first).map(|i| i as f64).collect()
}

/// The map of one axis of known extents; the formulas are ONNX's.
struct Meaning<'r> {
    r: &'r Resize,
    from: f64,
    to: f64,
    scale: f64,
    width: f64,
    region: (f64, f64),
}

impl<'r> Meaning<'r> {
    fn new(a: &Axis<'r>, from: f64, to: f64) -> Meaning<'r> {
        let scale = a.scale().unwrap_or(to / from);
        let width = a.scale().map_or(to, |s| s * from);
        Meaning { r: a.r, from, to, scale, width, region: a.region() }
    }

    fn coordinate(&self, j: f64) -> Option<f64> {
        let last = self.from - 1.0;
        let half_pixel = (j + 0.5) / self.scale - 0.5;
        Some(match self.r.coord {
            Coord::HalfPixel => half_pixel,
            Coord::HalfPixelSymmetric => self.from / 2.0 * (1.0 - self.to / self.width) + half_pixel,
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

    fn nearest(&self, j: f64) -> Option<f64> {
        let x = self.coordinate(j)?;
        let i = match self.r.mode {
            ResizeMode::Nearest(Nearest::RoundPreferFloor) => (x - 0.5).ceil(),
            ResizeMode::Nearest(Nearest::RoundPreferCeil) => (x + 0.5).floor(),
            ResizeMode::Nearest(Nearest::Ceil) => x.ceil(),
            _ => x.floor(),
        };
        Some(i.clamp(0.0, self.from - 1.0))
    }

    fn taps(&self, j: f64) -> Option<Vec<(f64, f64)>> {
        let x = self.coordinate(j)?;
        let base = x.ceil() - 1.0;
        let stretch = if self.r.antialias { self.scale.min(1.0) } else { 1.0 };
        let last = self.from - 1.0;
        let mut taps: Vec<(f64, f64)> = offsets(&self.r.mode, stretch)
            .into_iter()
            .map(|i| {
                let d = ((i - (x - base)) * stretch).abs();
                let w = match self.r.mode {
                    ResizeMode::Cubic(a) if d <= 1.0 => ((a.get() + 2.0) * d - (a.get() + 3.0)) * d * d + 1.0,
                    ResizeMode::Cubic(a) if d < 2.0 => ((d - 5.0) * d + 8.0) * d * a.get() - 4.0 * a.get(),
                    ResizeMode::Cubic(_) => 0.0,
                    _ => (1.0 - d).max(0.0),
                };
                (base + i, w)
            })
            .collect();
        let normalise = |taps: &mut Vec<(f64, f64)>| {
            let sum: f64 = taps.iter().map(|t| t.1).sum();
            taps.iter_mut().filter(|_| sum != 0.0).for_each(|t| t.1 /= sum);
        };
        if self.r.antialias {
            normalise(&mut taps);
        }
        if self.r.exclude_outside {
            taps.iter_mut().filter(|t| t.0 < 0.0 || t.0 > last).for_each(|t| t.1 = 0.0);
            normalise(&mut taps);
        }
        Some(taps.into_iter().map(|(i, w)| (i.clamp(0.0, last), w)).collect())
    }
}

/// The same for symbolic extents: numbers of the kernel.
struct Symbolic {
    last: ExprId,
    scale: ExprId,
    width: ExprId,
    from: ExprId,
    to: ExprId,
}

impl Symbolic {
    fn new(kb: &mut KernelBuilder, a: &Axis) -> Symbolic {
        let mut float = |d: &Dim| {
            let d = kb.dim(d);
            kb.cast(DType::F64, d)
        };
        let (from, to) = (float(a.from), float(a.to));
        let last = float(&(a.from.clone() - Dim::Known(1)));
        let (scale, width) = match a.scale() {
            Some(s) => {
                let s = kb.number(DType::F64, s);
                (s, kb.binary(BinaryOp::Mul, s, from))
            }
            None => (kb.binary(BinaryOp::Div, to, from), to),
        };
        Symbolic { last, scale, width, from, to }
    }

    fn coordinate(&self, kb: &mut KernelBuilder, a: &Axis, j: ExprId) -> (ExprId, Option<ExprId>) {
        use BinaryOp::{Add, Div, Eq, Ge, Le, Mul, Sub};
        let (half, one) = (kb.number(DType::F64, 0.5), kb.number(DType::F64, 1.0));
        let shifted = kb.binary(Add, j, half);
        let centre = kb.binary(Div, shifted, self.scale);
        let half_pixel = kb.binary(Sub, centre, half);
        let single = kb.binary(Eq, self.width, one);
        let steps = kb.binary(Sub, self.width, one);
        let x = match a.r.coord {
            Coord::HalfPixel => half_pixel,
            Coord::HalfPixelSymmetric => {
                let q = kb.binary(Div, self.to, self.width);
                let d = kb.binary(Sub, one, q);
                let middle = kb.binary(Mul, self.from, half);
                let shift = kb.binary(Mul, middle, d);
                kb.binary(Add, shift, half_pixel)
            }
            Coord::PytorchHalfPixel => {
                let minus = kb.number(DType::F64, -0.5);
                kb.select(single, minus, half_pixel)
            }
            Coord::AlignCorners => {
                let p = kb.binary(Mul, j, self.last);
                let v = kb.binary(Div, p, steps);
                let zero = kb.number(DType::F64, 0.0);
                kb.select(single, zero, v)
            }
            Coord::Asymmetric => kb.binary(Div, j, self.scale),
            Coord::TfHalfPixelForNn => centre,
            Coord::TfCropAndResize => {
                let (start, end) = a.region();
                let q = kb.binary(Div, j, steps);
                let step = kb.select(single, half, q);
                let (start, span) = (kb.number(DType::F64, start), kb.number(DType::F64, end - start));
                let first = kb.binary(Mul, start, self.last);
                let part = kb.binary(Mul, step, span);
                let part = kb.binary(Mul, part, self.last);
                let x = kb.binary(Add, first, part);
                let zero = kb.number(DType::F64, 0.0);
                let low = kb.binary(Ge, x, zero);
                let high = kb.binary(Le, x, self.last);
                return (x, Some(kb.both(low, high)));
            }
        };
        (x, None)
    }
}
