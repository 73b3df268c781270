//! Values between pixels: regions sampled to one size (`RoiAlign`), and convolutions whose taps are displaced (`DeformConv`). Pixels
//! lie side by side, `[P, C]`; a position has two neighbours an axis, each read by a gather of whole pixels.

use beiming_ir::ops::{BinaryOp, Loop, Op, ReduceOp, UnaryOp};
use beiming_ir::tensor::Tensor;
use beiming_ir::types::{DType, Dim, TensorType};

use super::super::node::{Cx, R, bad_arguments, bad_attribute, unsupported};
use super::conv::{Window, channels_first};
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] = &[row("RoiAlign", &[10, 16, 22], 3, roi_align), row("DeformConv", &[19, 22], 5, deform_conv)];

/// A neighbour along one axis: its index (`i64`), its weight, and whether it is inside, where that matters.
#[derive(Clone, Copy)]
struct Tap {
    at: V,
    weight: V,
    inside: Option<V>,
}

/// The neighbours of the positions `p` on an axis of `extent`. Positions beyond an end are moved to it; with `zeros` they stay, and
/// neighbours outside count as nothing.
fn taps(cx: &mut Cx<'_, '_>, p: V, extent: &Dim, zeros: bool) -> R<[Tap; 2]> {
    let last = cx.dim_scalar(extent.clone() - 1.into());
    let last = cx.cast(last, cx.dtype(p))?;
    let clamp = |cx: &mut Cx<'_, '_>, x: V| -> R {
        let x = cx.with(BinaryOp::Max, x, 0.0)?;
        cx.binary(BinaryOp::Min, x, last)
    };
    let p = if zeros { p } else { clamp(cx, p)? };
    let low = cx.unary(UnaryOp::Floor, p)?;
    let far = cx.binary(BinaryOp::Sub, p, low)?;
    let one = cx.scalar_like(p, 1.0);
    let near = cx.binary(BinaryOp::Sub, one, far)?;
    let high = cx.with(BinaryOp::Add, low, 1.0)?;
    let mut tap = |i: V, weight: V| -> R<Tap> {
        let inside = match zeros {
            true => {
                let ends = [cx.with(BinaryOp::Ge, i, 0.0)?, cx.binary(BinaryOp::Le, i, last)?];
                Some(cx.binary(BinaryOp::And, ends[0], ends[1])?)
            }
            false => None,
        };
        let i = clamp(cx, i)?;
        Ok(Tap { at: cx.cast(i, DType::I64)?, weight, inside })
    };
    Ok([tap(low, near)?, tap(high, far)?])
}

/// The pixels at `y` and `x` of images of `width`, the first pixel of each at `base`, weighed and joined (added, or the largest):
/// the positions' shape with the channels behind.
fn blend(cx: &mut Cx<'_, '_>, pixels: V, base: V, width: &Dim, [y, x]: [[Tap; 2]; 2], join: BinaryOp) -> R {
    let width = cx.dim_scalar(width.clone());
    let mut total = None;
    for a in &y {
        let line = cx.binary(BinaryOp::Mul, a.at, width)?;
        let line = cx.binary(BinaryOp::Add, line, base)?;
        for b in &x {
            let at = cx.binary(BinaryOp::Add, line, b.at)?;
            let rank = cx.rank(at);
            let mut value = cx.emit(Op::Gather { axis: 0 }, &[pixels, at])?;
            if let (Some(i), Some(j)) = (a.inside, b.inside) {
                let inside = cx.binary(BinaryOp::And, i, j)?;
                let inside = cx.unsqueeze(inside, rank)?;
                let zero = cx.scalar_like(value, 0.0);
                value = cx.select(inside, value, zero)?;
            }
            let weight = cx.binary(BinaryOp::Mul, a.weight, b.weight)?;
            let weight = cx.unsqueeze(weight, rank)?;
            value = cx.binary(BinaryOp::Mul, value, weight)?;
            total = Some(match total {
                Some(sum) => cx.binary(join, sum, value)?,
                None => value,
            });
        }
    }
    total.map_or_else(|| bad_arguments("a position has no neighbours"), Ok)
}

/// What it is computed in.
fn wide(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

/// Regions of an image, as `RoiAlign` samples them. Lists hold the rows' (y) and the columns' (x) part.
struct Regions {
    pixels: V,
    /// The first pixel of each region's image.
    base: V,
    extents: [Dim; 2],
    /// Where each bin starts, `[R, PH, 1, 1, 1]` and `[R, 1, 1, PW, 1]`.
    starts: [V; 2],
    /// The size of a bin, `[R, 1, 1, 1, 1]`.
    bins: [V; 2],
    join: BinaryOp,
}

/// Samples `number` (of `counts`) of every bin: the positions' shape with the channels behind. Those outside the image are zero.
fn sample(cx: &mut Cx<'_, '_>, r: &Regions, number: [V; 2], counts: [V; 2]) -> R {
    let mut axes = vec![];
    let mut inside = None;
    for a in 0..2 {
        let middle = cx.with(BinaryOp::Add, number[a], 0.5)?;
        let part = cx.binary(BinaryOp::Mul, middle, r.bins[a])?;
        let part = cx.binary(BinaryOp::Div, part, counts[a])?;
        let p = cx.binary(BinaryOp::Add, r.starts[a], part)?;
        let extent = cx.dim_scalar(r.extents[a].clone());
        let extent = cx.cast(extent, cx.dtype(p))?;
        let ends = [cx.with(BinaryOp::Ge, p, -1.0)?, cx.binary(BinaryOp::Le, p, extent)?];
        let within = cx.binary(BinaryOp::And, ends[0], ends[1])?;
        inside = Some(match inside {
            Some(other) => cx.binary(BinaryOp::And, other, within)?,
            None => within,
        });
        axes.push(taps(cx, p, &r.extents[a], false)?);
    }
    let value = blend(cx, r.pixels, r.base, &r.extents[1], [axes[0], axes[1]], r.join)?;
    let Some(inside) = inside else { return Ok(value) };
    let inside = cx.unsqueeze(inside, 5)?;
    let zero = cx.scalar_like(value, 0.0);
    cx.select(inside, value, zero)
}

/// Data `[N, C, H, W]`, regions `[R, 4]` as `x1, y1, x2, y2`, the image of each `[R]`: `[R, C, PH, PW]`.
fn roi_align(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, rois, images) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let [batch, channels, height, width]: [Dim; 4] =
        cx.shape(x).try_into().or_else(|_| bad_arguments("its data must have rank 4"))?;
    if cx.rank(rois) != 2 || cx.rank(images) != 1 {
        return bad_arguments(format!("its regions are {} and their images {}", cx.ty(rois), cx.ty(images)));
    }
    let half = match cx.string("coordinate_transformation_mode", "half_pixel")?.as_str() {
        _ if cx.since < 16 => false,
        "half_pixel" => true,
        "output_half_pixel" => false,
        m => {
            return bad_attribute(format!(
                "attribute `coordinate_transformation_mode` is `{m}`; allowed are half_pixel, output_half_pixel"
            ));
        }
    };
    let (join, reduce) = match cx.string("mode", "avg")?.as_str() {
        "avg" => (BinaryOp::Add, ReduceOp::Mean),
        // The largest of the weighed pixels, not of the samples: so the standard's operator is computed.
        "max" => (BinaryOp::Max, ReduceOp::Max),
        m => return bad_attribute(format!("attribute `mode` is `{m}`; allowed are avg, max")),
    };
    let size = [cx.int("output_height", 1)?, cx.int("output_width", 1)?];
    let ratio = cx.int("sampling_ratio", 0)?;
    if size.iter().any(|s| *s < 1) || ratio < 0 {
        return bad_attribute(format!("a result of {size:?} and a sampling ratio of {ratio}"));
    }
    let (kind, float) = (cx.dtype(x), wide(cx.dtype(x)));
    let pixels = cx.cast(x, float)?;
    let pixels = cx.transpose(pixels, vec![0, 2, 3, 1])?;
    let pixels = cx.reshape(pixels, vec![batch * height.clone() * width.clone(), channels])?;
    let count = cx.shape(rois)[0].clone();
    let images = cx.cast(images, DType::I64)?;
    let images = cx.reshape(images, vec![count.clone(), 1.into(), 1.into(), 1.into(), 1.into()])?;
    let plane = cx.dim_scalar(height.clone() * width.clone());
    let base = cx.binary(BinaryOp::Mul, images, plane)?;
    let rois = cx.cast(rois, float)?;
    let scale = cx.float("spatial_scale", 1.0)?;
    let rois = cx.with(BinaryOp::Mul, rois, scale)?;
    let rois = if half { cx.with(BinaryOp::Sub, rois, 0.5)? } else { rois };
    let (mut starts, mut bins) = (vec![], vec![]);
    for a in 0..2 {
        let mut corner = |k: i64| -> R {
            let v = cx.slice_axis(rois, 1, k.into(), 1.into())?;
            cx.reshape(v, vec![count.clone(), 1.into(), 1.into(), 1.into(), 1.into()])
        };
        let (start, end) = (corner(1 - a)?, corner(3 - a)?);
        let mut length = cx.binary(BinaryOp::Sub, end, start)?;
        if !half {
            length = cx.with(BinaryOp::Max, length, 1.0)?;
        }
        let axis = 1 + 2 * a as usize;
        let bin = cx.with(BinaryOp::Div, length, size[a as usize] as f64)?;
        let number = cx.line(float, size[a as usize].into(), axis, 5)?;
        let before = cx.binary(BinaryOp::Mul, number, bin)?;
        starts.push(cx.binary(BinaryOp::Add, start, before)?);
        bins.push(bin);
    }
    let r = Regions { pixels, base, extents: [height, width], starts: [starts[0], starts[1]], bins: [bins[0], bins[1]], join };
    let y = match ratio {
        0 => adaptive(cx, &r)?,
        _ => {
            let number = [cx.line(float, ratio.into(), 2, 5)?, cx.line(float, ratio.into(), 4, 5)?];
            let counts = [cx.scalar(float, ratio as f64); 2];
            let y = sample(cx, &r, number, counts)?;
            cx.reduce(reduce, y, vec![2, 4], false)?
        }
    };
    let y = cx.transpose(y, vec![0, 3, 1, 2])?;
    Ok(vec![cx.cast(y, kind)?])
}

/// As many samples of a bin as it has pixels: the regions say how many at run time, so a loop takes one after the other.
fn adaptive(cx: &mut Cx<'_, '_>, r: &Regions) -> R {
    let float = cx.dtype(r.bins[0]);
    let (mut counts, mut most) = (vec![], vec![]);
    for a in 0..2 {
        let n = cx.unary(UnaryOp::Ceil, r.bins[a])?;
        let n = cx.with(BinaryOp::Max, n, 0.0)?;
        let whole = cx.cast(n, DType::I64)?;
        let largest = cx.reduce(ReduceOp::Max, whole, (0..5).collect(), false)?;
        most.push(cx.with(BinaryOp::Max, largest, 0.0)?);
        counts.push(n);
    }
    let trip = cx.binary(BinaryOp::Mul, most[0], most[1])?;
    let (rows, columns) = (cx.shape(r.starts[0]), cx.shape(r.starts[1]));
    let channels = cx.shape(r.pixels)[1].clone();
    let zero = cx.scalar(float, 0.0);
    let start = cx.broadcast(zero, vec![rows[0].clone(), rows[1].clone(), 1.into(), columns[3].clone(), 1.into(), channels])?;
    let inputs = [("", TensorType::scalar(DType::I64)), ("", TensorType::scalar(DType::Bool)), ("joined", cx.ty(start).clone())];
    let (body, captures) = cx.region("samples", &inputs, |cx, v| {
        let across = cx.capture(most[1]);
        let counts = [cx.capture(counts[0]), cx.capture(counts[1])];
        let r = Regions {
            pixels: cx.capture(r.pixels),
            base: cx.capture(r.base),
            extents: r.extents.clone(),
            starts: [cx.capture(r.starts[0]), cx.capture(r.starts[1])],
            bins: [cx.capture(r.bins[0]), cx.capture(r.bins[1])],
            join: r.join,
        };
        let number = [cx.binary(BinaryOp::Div, v[0], across)?, cx.binary(BinaryOp::Rem, v[0], across)?];
        let number = [cx.cast(number[0], float)?, cx.cast(number[1], float)?];
        let value = sample(cx, &r, number, counts)?;
        let joined = cx.binary(r.join, v[2], value)?;
        let first = cx.with(BinaryOp::Eq, v[0], 0.0)?;
        let joined = cx.select(first, value, joined)?;
        // Other regions may have more samples than this one.
        let has = [cx.binary(BinaryOp::Lt, number[0], counts[0])?, cx.binary(BinaryOp::Lt, number[1], counts[1])?];
        let has = cx.binary(BinaryOp::And, has[0], has[1])?;
        let has = cx.unsqueeze(has, 5)?;
        Ok(vec![v[1], cx.select(has, joined, v[2])?])
    })?;
    let go = cx.scalar(DType::Bool, 1.0);
    let trips = cx.im.fresh_symbol("samples", 0, i64::MAX);
    let args: Vec<V> = [trip, go, start].into_iter().chain(captures).collect();
    let mut y = cx.emit(Op::Loop(Loop { body, state: 1, trips }), &args)?;
    if r.join == BinaryOp::Add {
        let n = cx.binary(BinaryOp::Mul, counts[0], counts[1])?;
        let n = cx.with(BinaryOp::Max, n, 1.0)?;
        let n = cx.unsqueeze(n, 5)?;
        y = cx.binary(BinaryOp::Div, y, n)?;
    }
    let shape = cx.shape(y);
    cx.reshape(y, vec![shape[0].clone(), shape[1].clone(), shape[3].clone(), shape[5].clone()])
}

/// A convolution whose taps are moved by offsets, and weighed by a mask. In the comments: `O` groups of offsets, `K` taps, `P` and `Q`
/// the result's extents, `G` groups of channels.
fn deform_conv(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, w, offset) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    if cx.rank(x) != 4 || cx.rank(w) != 4 || cx.rank(offset) != 4 {
        return unsupported(format!("data {}: only two spatial axes are supported", cx.ty(x)));
    }
    let kernel = [cx.extent(w, 2, "the extent of the kernel")?, cx.extent(w, 3, "the extent of the kernel")?];
    let window = Window::read(cx, 2, Some(kernel.to_vec()))?;
    let [batch, _, height, width]: [Dim; 4] = cx.shape(x).try_into().or_else(|_| bad_arguments("its data must have rank 4"))?;
    let pads = window.pads(cx, &[height.clone(), width.clone()])?;
    let (channels, outputs) = (cx.extent(x, 1, "the number of channels")?, cx.extent(w, 0, "the number of channels")?);
    let (groups, moved) = (cx.int("group", 1)?, cx.int("offset_group", 1)?);
    let fits = |n: i64, of: usize| n >= 1 && of.is_multiple_of(n as usize);
    if !fits(groups, channels) || !fits(groups, outputs) || !fits(moved, channels) {
        return bad_attribute(format!("{groups} groups and {moved} groups of offsets, for {channels} and {outputs} channels"));
    }
    let (groups, moved, count) = (groups as usize, moved as usize, kernel[0] * kernel[1]);
    let [_, given, p, q]: [Dim; 4] = cx.shape(offset).try_into().or_else(|_| bad_arguments("its offsets must have rank 4"))?;
    if given != Dim::from(2 * moved * count) {
        return bad_arguments(format!("its offsets are {}, for {moved} groups of {count} taps", cx.ty(offset)));
    }
    let (kind, float) = (cx.dtype(x), wide(cx.dtype(x)));
    let each = channels / moved;
    // [N, O, C/O, H*W] to pixels [N*O*H*W, C/O].
    let plane = height.clone() * width.clone();
    let pixels = cx.cast(x, float)?;
    let pixels = cx.reshape(pixels, vec![batch.clone(), moved.into(), each.into(), plane.clone()])?;
    let pixels = cx.transpose(pixels, vec![0, 1, 3, 2])?;
    let images = batch.clone() * moved.into();
    let pixels = cx.reshape(pixels, vec![images.clone() * plane.clone(), each.into()])?;
    let base = cx.line(DType::I64, images, 0, 1)?;
    let plane = cx.dim_scalar(plane);
    let base = cx.binary(BinaryOp::Mul, base, plane)?;
    let base = cx.reshape(base, vec![batch.clone(), moved.into(), 1.into(), 1.into(), 1.into()])?;
    // Positions [N, O, K, P, Q].
    let offset = cx.cast(offset, float)?;
    let offset = cx.reshape(offset, vec![batch.clone(), moved.into(), count.into(), 2.into(), p.clone(), q.clone()])?;
    let mut axes = vec![];
    for (a, extent) in [&height, &width].into_iter().enumerate() {
        let by = cx.slice_axis(offset, 3, a.into(), 1.into())?;
        let by = cx.reshape(by, vec![batch.clone(), moved.into(), count.into(), p.clone(), q.clone()])?;
        let (places, pad) = ([&p, &q][a].clone(), &pads[a]);
        let room = extent.clone() + pad.0.clone() + pad.1.clone() - window.span(a).into();
        let expected = room.floor_div(&window.strides[a].into()) + 1.into();
        if places.known().zip(expected.known()).is_some_and(|(a, b)| a != b) {
            return bad_arguments(format!("its offsets are {}, but the result's extent {a} is {expected}", cx.ty(offset)));
        }
        let first = cx.line(DType::I64, places, 3 + a, 5)?;
        let first = cx.with(BinaryOp::Mul, first, window.strides[a] as f64)?;
        let pad = cx.dim_scalar(pad.0.clone());
        let first = cx.binary(BinaryOp::Sub, first, pad)?;
        let tap = |k: usize| (if a == 0 { k / kernel[1] } else { k % kernel[1] }) * window.dilations[a];
        let taps_at: Vec<i64> = (0..count).map(|k| tap(k) as i64).collect();
        let tap = cx.constant(Tensor::i64(&[1, 1, count, 1, 1], &taps_at));
        let at = cx.binary(BinaryOp::Add, first, tap)?;
        let at = cx.cast(at, float)?;
        let at = cx.binary(BinaryOp::Add, at, by)?;
        axes.push(taps(cx, at, extent, true)?);
    }
    let mut columns = blend(cx, pixels, base, &width, [axes[0], axes[1]], BinaryOp::Add)?;
    if let Some(mask) = cx.opt(4) {
        let mask = cx.cast(mask, float)?;
        let mask = cx.reshape(mask, vec![batch.clone(), moved.into(), count.into(), p.clone(), q.clone(), 1.into()])?;
        columns = cx.binary(BinaryOp::Mul, columns, mask)?;
    }
    // [N, O, K, P, Q, C/O] to [G, N*P*Q, C/G * K], the weights to [G, C/G * K, outputs/G].
    let (lines, length) = (batch.clone() * p.clone() * q.clone(), channels / groups * count);
    let columns = cx.transpose(columns, vec![0, 3, 4, 1, 5, 2])?;
    let columns = cx.reshape(columns, vec![lines, groups.into(), length.into()])?;
    let columns = cx.transpose(columns, vec![1, 0, 2])?;
    let w = cx.cast(w, float)?;
    let w = cx.reshape(w, vec![groups.into(), (outputs / groups).into(), length.into()])?;
    let w = cx.transpose(w, vec![0, 2, 1])?;
    let y = cx.emit(Op::MatMul { out: float }, &[columns, w])?;
    let y = cx.transpose(y, vec![1, 0, 2])?;
    let mut y = cx.reshape(y, vec![batch, p, q, outputs.into()])?;
    if let Some(bias) = cx.opt(3) {
        let bias = cx.cast(bias, float)?;
        y = cx.binary(BinaryOp::Add, y, bias)?;
    }
    let y = channels_first(cx, y)?;
    Ok(vec![cx.cast(y, kind)?])
}
