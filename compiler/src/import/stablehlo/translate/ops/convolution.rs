//! Convolutions in every order of axes, as core convolutions over channels-last data.

use beiming_ir::ops::{Conv, ConvTranspose, Op};
use beiming_ir::types::Dim;

use super::super::cx::{Cx, amounts, axes_in};
use super::super::value::Val;
use super::dot::accumulator;
use super::dynamic::amounts_of;
use super::elementwise::one;
use super::shape::padded;
use super::window::pads;
use super::{Row, in_order, real};
use crate::import::build::Build;
use crate::import::fail::{R, bad_arguments, bad_attribute, unsupported};
use crate::import::frame::V;
use crate::import::stablehlo::syntax::Attr;

pub const OPS: &[Row] = &[real("stablehlo.convolution", convolution), real("stablehlo.dynamic_conv", dynamic)];

/// The orders of axes: of data, weights and result, as batch and feature axis and the spatial ones.
struct Orders {
    data: (usize, usize, Vec<usize>),
    /// Input features, output features.
    weight: (usize, usize, Vec<usize>),
    result: (usize, usize, Vec<usize>),
}

fn orders(cx: &Cx<'_, '_>, rank: usize) -> R<Orders> {
    let Some(Attr::Struct(_, fields)) = cx.attr("dimension_numbers") else {
        return bad_attribute("attribute `dimension_numbers` is missing");
    };
    let axis = |name: &str| match fields.get(name) {
        Some(Attr::Int(i, _)) => Ok(axes_in(name, &[*i], rank)?[0]),
        _ => bad_attribute(format!("`dimension_numbers` lacks `{name}`")),
    };
    let list = |name: &str| axes_in(name, &fields.get(name).and_then(Attr::ints).unwrap_or_default(), rank);
    let order = |a: &str, b: &str, s: &str| {
        let o = (axis(a)?, axis(b)?, list(s)?);
        let mut all = [vec![o.0, o.1], o.2.clone()].concat();
        all.sort_unstable();
        if all.iter().enumerate().any(|(i, a)| i != *a) || all.len() != rank {
            return bad_attribute(format!("`{a}`, `{b}` and `{s}` do not name every axis once"));
        }
        R::Ok(o)
    };
    Ok(Orders {
        data: order("input_batch_dimension", "input_feature_dimension", "input_spatial_dimensions")?,
        weight: order("kernel_input_feature_dimension", "kernel_output_feature_dimension", "kernel_spatial_dimensions")?,
        result: order("output_batch_dimension", "output_feature_dimension", "output_spatial_dimensions")?,
    })
}

fn convolution(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let spatial = cx.rank(cx.plain(0)?).saturating_sub(2);
    let pads = pads(cx, spatial)?;
    one(convolve(cx, pads, None))
}

fn dynamic(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let flat = amounts_of(cx, 2)?;
    if flat.len() != 2 * cx.rank(cx.plain(0)?).saturating_sub(2) {
        return bad_arguments("its padding must hold a pair for each spatial axis");
    }
    let known: Option<Vec<i64>> = flat.iter().map(Dim::known).collect();
    match known {
        Some(k) => one(convolve(cx, k.chunks_exact(2).map(|p| (p[0], p[1])).collect(), None)),
        None => {
            // A convolution's own padding is known numbers.
            let mut around = Around::default();
            flat.chunks_exact(2).for_each(|p| around.add(&p[0], &p[1]));
            one(convolve(cx, vec![(0, 0); flat.len() / 2], Some(around)))
        }
    }
}

/// Zeros before and after each spatial axis.
#[derive(Default)]
struct Around {
    lo: Vec<Dim>,
    hi: Vec<Dim>,
}

impl Around {
    fn add(&mut self, lo: &Dim, hi: &Dim) {
        self.lo.push(lo.clone());
        self.hi.push(hi.clone());
    }
}

/// Window attributes of `dynamic_conv`, of which JAX has written one too many: where all are one number, that is the number.
fn window_list(cx: &Cx<'_, '_>, name: &str, n: usize) -> R<Vec<usize>> {
    let list = cx.ints_opt(name)?.unwrap_or_else(|| vec![1; n]);
    let same = list.windows(2).all(|w| w[0] == w[1]);
    if &*cx.op.name == "stablehlo.dynamic_conv" && list.len() > n && same {
        return amounts(name, &list[..n], 1);
    }
    amounts(name, &cx.ints_or(name, n, 1)?, 1)
}

fn convolve(cx: &mut Cx<'_, '_>, pads: Vec<(i64, i64)>, around: Option<Around>) -> R {
    let (mut x, mut w) = (cx.plain(0)?, cx.plain(1)?);
    let rank = cx.rank(x);
    let Some(n) = rank.checked_sub(2).filter(|_| cx.rank(w) == rank) else {
        return bad_arguments("data and weights must have one rank, of 2 or more");
    };
    let to = cx.result_dtype(0)?;
    let out = accumulator(cx, &mut x, &mut w, to)?;
    // Core convolutions give the type they take.
    (x, w) = (cx.cast(x, out)?, cx.cast(w, out)?);
    let o = orders(cx, rank)?;
    let strides = window_list(cx, "window_strides", n)?;
    let holes = window_list(cx, "lhs_dilation", n)?;
    let dilations = window_list(cx, "rhs_dilation", n)?;
    let reversed: Vec<bool> = cx.ints_or("window_reversal", n, 0)?.iter().map(|r| *r != 0).collect();
    let count =
        |cx: &Cx<'_, '_>, name: &str| Ok::<_, crate::import::fail::Fail>(amounts(name, &[cx.int_opt(name)?.unwrap_or(1)], 1)?[0]);
    let (features, batches) = (count(cx, "feature_group_count")?, count(cx, "batch_group_count")?);
    if features > 1 && batches > 1 {
        return bad_attribute("only one of `feature_group_count` and `batch_group_count` may exceed 1");
    }
    let x = cx.transpose(x, [vec![o.data.0], o.data.2.clone(), vec![o.data.1]].concat())?;
    let w = cx.transpose(w, [o.weight.2.clone(), vec![o.weight.0, o.weight.1]].concat())?;
    let x = if batches > 1 { batch_groups(cx, x, batches)? } else { x };
    let g = Geometry { strides, holes, dilations, pads, around, reversed, groups: features.max(batches) };
    let y = match cx.walk.as_written && to.is_float() {
        true => as_written(cx, x, w, g)?,
        false => channels_last(cx, x, w, g)?,
    };
    // [N, S.., O] to the declared order.
    let mut perm = vec![0; rank];
    (perm[o.result.0], perm[o.result.1]) = (0, rank - 1);
    for (i, a) in o.result.2.iter().enumerate() {
        perm[*a] = i + 1;
    }
    let y = cx.transpose(y, perm)?;
    cx.cast(y, to)
}

/// Groups of the batch become groups of channels: `[g*N, S.., C]` to `[N, S.., g*C]`.
fn batch_groups(cx: &mut Cx<'_, '_>, x: V, groups: usize) -> R {
    let shape = cx.shape(x);
    let rank = shape.len();
    let g = Dim::from(groups);
    let split = [&[g.clone(), shape[0].floor_div(&g)], &shape[1..]].concat();
    let x = cx.reshape(x, split)?;
    let x = cx.transpose(x, (1..rank).chain([0, rank]).collect())?;
    let mut joined = cx.shape(x)[..rank - 1].to_vec();
    joined.push(shape[rank - 1].clone() * g);
    cx.reshape(x, joined)
}

struct Geometry {
    strides: Vec<usize>,
    holes: Vec<usize>,
    dilations: Vec<usize>,
    pads: Vec<(i64, i64)>,
    /// Padding by numbers that only the run knows, instead of `pads`.
    around: Option<Around>,
    reversed: Vec<bool>,
    groups: usize,
}

/// `[N, S.., C] x [K.., C/groups, O] -> [N, S'.., O]`.
fn channels_last(cx: &mut Cx<'_, '_>, x: V, w: V, g: Geometry) -> R {
    let n = g.strides.len();
    let (mut x, mut w, mut g) = (x, w, g);
    if n > 3 {
        return unsupported(format!("convolution over {n} spatial axes; up to 3 are supported"));
    }
    if n == 0 {
        // A product of matrices, written as a convolution with a window of one tap.
        let (xs, ws) = (cx.shape(x), cx.shape(w));
        x = cx.reshape(x, vec![xs[0].clone(), 1.into(), xs[1].clone()])?;
        w = cx.reshape(w, vec![1.into(), ws[0].clone(), ws[1].clone()])?;
        g = Geometry {
            strides: vec![1],
            holes: vec![1],
            dilations: vec![1],
            pads: vec![(0, 0)],
            around: None,
            reversed: vec![false],
            groups: g.groups,
        };
        let y = channels_last(cx, x, w, g)?;
        let shape = cx.shape(y);
        return cx.reshape(y, vec![shape[0].clone(), shape[2].clone()]);
    }
    let taps: Option<Vec<i64>> = cx.shape(w)[..n].iter().map(Dim::known).collect();
    if g.around.is_none()
        && let Some(taps) = taps
        && let Some((op, flip)) = transposed(&g, &taps)
    {
        let w = reverse(cx, w, &flip)?;
        return cx.emit(Op::ConvTranspose(op), &[x, w]);
    }
    let w = reverse(cx, w, &g.reversed)?;
    if g.holes.iter().any(|h| *h > 1) || g.around.is_some() {
        let around = g.around.unwrap_or_else(|| Around { lo: vec![0.into(); n], hi: vec![0.into(); n] });
        x = widened(cx, x, &g.holes, around)?;
    }
    let op = Conv { strides: g.strides, dilations: g.dilations, pads: g.pads, groups: g.groups };
    cx.emit(Op::Conv(op), &[x, w])
}

/// Data `[N, S.., C]` with holes between its elements and zeros around them.
fn widened(cx: &mut Cx<'_, '_>, x: V, holes: &[usize], around: Around) -> R {
    let zero = cx.scalar_like(x, 0.0);
    let spatial = |inner: Vec<Dim>| [vec![Dim::from(0)], inner, vec![Dim::from(0)]].concat();
    let between = spatial(holes.iter().map(|h| Dim::from(h - 1)).collect());
    padded(cx, x, zero, &spatial(around.lo), &spatial(around.hi), &between)
}

/// As [`channels_last`], with every product and sum by itself.
fn as_written(cx: &mut Cx<'_, '_>, x: V, w: V, g: Geometry) -> R {
    let around = g.around.unwrap_or_else(|| {
        let mut around = Around::default();
        g.pads.iter().for_each(|(lo, hi)| around.add(&(*lo).into(), &(*hi).into()));
        around
    });
    let x = widened(cx, x, &g.holes, around)?;
    let windows = in_order::Windows { strides: &g.strides, dilations: &g.dilations, reversed: &g.reversed };
    in_order::convolve(cx, x, w, g.groups, &windows)
}

fn reverse(cx: &mut Cx<'_, '_>, w: V, which: &[bool]) -> R {
    let axes: Vec<usize> = (0..which.len()).filter(|i| which[*i]).collect();
    if axes.is_empty() { Ok(w) } else { cx.emit(Op::Reverse { axes }, &[w]) }
}

/// A convolution over data with holes is a transposed convolution with the window the other way round: what its gradient is.
fn transposed(g: &Geometry, taps: &[i64]) -> Option<(ConvTranspose, Vec<bool>)> {
    if g.groups != 1 || g.holes.iter().all(|h| *h == 1) || g.strides.iter().any(|s| *s != 1) {
        return None;
    }
    let mut pads = vec![];
    for (i, k) in taps.iter().enumerate() {
        let span = g.dilations[i] as i64 * (k - 1);
        let (lo, hi) = (span - g.pads[i].0, span - g.pads[i].1);
        if lo < 0 || hi < 0 {
            return None;
        }
        pads.push((lo, hi));
    }
    let op =
        ConvTranspose { strides: g.holes.clone(), dilations: g.dilations.clone(), pads, extra: vec![0; taps.len()], groups: 1 };
    Some((op, g.reversed.iter().map(|r| !r).collect()))
}
