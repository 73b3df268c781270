//! Reductions of windows and sorting.

use beiming_ir::ops::{BinaryOp, Cumulative, Op, Pool, PoolKind, ReduceOp, SelectAndScatter, WindowReduce};
use beiming_ir::types::Dim;

use super::super::cx::{Cx, amounts};
use super::super::value::{Val, flatten, rebuild};
use super::region::{data_and_inits, is_identity, known_function, reducer, reduction, scalars};
use super::{Row, any, real};
use crate::import::build::Build;
use crate::import::fail::{Fail, R, bad_arguments, bad_attribute};
use crate::import::frame::V;

pub const OPS: &[Row] = &[
    any("stablehlo.reduce_window", reduce_window),
    any("stablehlo.sort", sort),
    real("stablehlo.select_and_scatter", select_and_scatter),
];

/// Amounts before and after, one pair an axis: a flat list of twice the rank.
pub fn pads(cx: &Cx<'_, '_>, rank: usize) -> R<Vec<(i64, i64)>> {
    let flat = cx.ints_or("padding", 2 * rank, 0)?;
    if flat.iter().any(|p| p.unsigned_abs() > 1 << 48) {
        return bad_attribute("`padding` is past 2^48");
    }
    Ok(flat.chunks_exact(2).map(|p| (p[0], p[1])).collect())
}

fn positive(cx: &Cx<'_, '_>, name: &str, rank: usize) -> R<Vec<usize>> {
    amounts(name, &cx.ints_or(name, rank, 1)?, 1)
}

/// The geometry of windows, one entry an axis.
struct Windows {
    window: Vec<usize>,
    strides: Vec<usize>,
    base_dilations: Vec<usize>,
    window_dilations: Vec<usize>,
    pads: Vec<(i64, i64)>,
}

impl Windows {
    /// True where an axis is left as it is.
    fn plain(&self, i: usize) -> bool {
        self.window[i] == 1 && self.strides[i] == 1 && self.base_dilations[i] == 1 && self.pads[i] == (0, 0)
    }
}

fn reduce_window(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let all = cx.args.clone();
    let (data, inits) = data_and_inits(&all)?;
    let block = cx.block(0)?;
    let rank = cx.shape_of(&data[0])?.len();
    let w = Windows {
        window: positive(cx, "window_dimensions", rank)?,
        strides: positive(cx, "window_strides", rank)?,
        base_dilations: positive(cx, "base_dilations", rank)?,
        window_dilations: positive(cx, "window_dilations", rank)?,
        pads: pads(cx, rank)?,
    };
    if let ([Val::Plain(x)], [Val::Plain(init)], Some(f)) = (data, inits, known_function(block))
        && let Some(op) = reduction(f, cx.dtype(*x))
        && is_identity(cx, *init, op)
        && !cx.stepwise(f, *x)
    {
        if let Some(op) = running(cx, *x, &w, op) {
            return Ok(vec![Val::Plain(cx.emit(Op::Cumulative(op), &[*x])?)]);
        }
        if let Some(v) = pooled(cx, *x, &w, op)? {
            return Ok(vec![Val::Plain(v)]);
        }
    }
    if rank == 0 {
        // The one element is its own window.
        let mut args = all.clone();
        args.rotate_left(data.len());
        return cx.walk.block(block, &args);
    }
    let region = reducer(cx, block, data)?;
    let op = WindowReduce {
        window: w.window,
        strides: w.strides,
        base_dilations: w.base_dilations,
        window_dilations: w.window_dilations,
        pads: w.pads,
        region,
    };
    let outs = cx.emit_all(Op::WindowReduce(op), &flatten(&all))?;
    rebuild(data, &outs).ok_or(Fail::Poisoned)
}

/// Windows that reach from one end of an axis to each element: a running reduction.
fn running(cx: &Cx<'_, '_>, x: V, w: &Windows, op: ReduceOp) -> Option<Cumulative> {
    if !matches!(op, ReduceOp::Sum | ReduceOp::Prod | ReduceOp::Max | ReduceOp::Min) {
        return None;
    }
    let open: Vec<usize> = (0..w.window.len()).filter(|i| !w.plain(*i)).collect();
    let [axis] = open[..] else { return None };
    let n = cx.shape(x)[axis].known()?;
    let dense = w.strides[axis] == 1 && w.base_dilations[axis] == 1 && w.window_dilations[axis] == 1;
    if !dense || w.window[axis] as i64 != n {
        return None;
    }
    let reverse = match w.pads[axis] {
        (lo, 0) if lo == n - 1 => false,
        (0, hi) if hi == n - 1 => true,
        _ => return None,
    };
    Some(Cumulative { op, axis, exclusive: false, reverse })
}

/// Maxima and sums over windows of one to three neighbouring axes, as a pool over channels-last data.
fn pooled(cx: &mut Cx<'_, '_>, x: V, w: &Windows, op: ReduceOp) -> R<Option<V>> {
    let shape = cx.shape(x);
    let open: Vec<usize> = (0..shape.len()).filter(|i| !w.plain(*i)).collect();
    let (Some(first), Some(last)) = (open.first().copied(), open.last().copied()) else { return Ok(None) };
    let spatial: Vec<usize> = (first..=last).collect();
    let float = cx.dtype(x).is_float();
    let taps: usize = spatial.iter().map(|i| w.window[*i]).product();
    let kind = match op {
        ReduceOp::Max if float => PoolKind::Max,
        ReduceOp::Sum if float && cx.dtype(x).bits() >= 32 => PoolKind::Avg { padded: true },
        _ => return Ok(None),
    };
    // The core op wants every window to have an element, and pads that a window cannot lie in.
    let sound = spatial.iter().all(|i| {
        let span = ((w.window[*i] - 1) * w.window_dilations[*i]) as i64;
        let (lo, hi) = w.pads[*i];
        w.base_dilations[*i] == 1 && (0..=span).contains(&lo) && (0..=span).contains(&hi)
    });
    let dense = spatial.iter().all(|i| w.window_dilations[*i] == 1 || w.pads[*i] == (0, 0));
    let fits = spatial.iter().all(|i| {
        shape[*i].known().is_some_and(|e| e + w.pads[*i].0 + w.pads[*i].1 > ((w.window[*i] - 1) * w.window_dilations[*i]) as i64)
    });
    if spatial.len() > 3 || !sound || !dense || !fits {
        return Ok(None);
    }
    // Batch, windows, channels; the last batch axis serves as channels where there are none.
    let (before, after): (Vec<usize>, Vec<usize>) = ((0..first).collect(), (last + 1..shape.len()).collect());
    let (batch, channels) = match (after.is_empty(), before.split_last()) {
        (true, Some((c, rest))) => (rest.to_vec(), vec![*c]),
        _ => (before, after),
    };
    let order = [batch.as_slice(), &spatial, &channels].concat();
    let product = |axes: &[usize]| axes.iter().fold(Dim::from(1), |a, i| a * shape[*i].clone());
    let v = cx.transpose(x, order.clone())?;
    let mut flat = vec![product(&batch)];
    flat.extend(spatial.iter().map(|i| shape[*i].clone()));
    flat.push(product(&channels));
    let v = cx.reshape(v, flat)?;
    let pick = |l: &[usize]| spatial.iter().map(|i| l[*i]).collect::<Vec<_>>();
    let pool = Pool {
        kind,
        window: pick(&w.window),
        strides: pick(&w.strides),
        dilations: pick(&w.window_dilations),
        pads: spatial.iter().map(|i| w.pads[*i]).collect(),
        ceil: false,
    };
    let mut v = cx.emit(Op::Pool(pool), &[v])?;
    if op == ReduceOp::Sum {
        v = cx.with(BinaryOp::Mul, v, taps as f64)?;
    }
    let out = cx.shape(v);
    let mut full: Vec<Dim> = batch.iter().map(|i| shape[*i].clone()).collect();
    full.extend_from_slice(&out[1..=spatial.len()]);
    full.extend(channels.iter().map(|i| shape[*i].clone()));
    let v = cx.reshape(v, full)?;
    let back = (0..order.len()).map(|a| order.iter().position(|o| *o == a).unwrap_or(a)).collect();
    Ok(Some(cx.transpose(v, back)?))
}

fn sort(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let block = cx.block(0)?;
    let data = cx.args.clone();
    let Some(first) = data.first() else { return bad_arguments("it has no arguments") };
    let rank = cx.shape_of(first)?.len();
    let axis = match cx.int_opt("dimension")?.unwrap_or(-1) {
        d if (-(rank as i64)..rank as i64).contains(&d) => d.rem_euclid(rank as i64) as usize,
        d => return bad_attribute(format!("dimension {d} of a tensor of rank {rank}")),
    };
    // The comparator gets (a, b) of each argument: of each graph value the core op gives the same pair.
    let like: Vec<Val> = data.iter().flat_map(|v| [v.clone(), v.clone()]).collect();
    let mut order = vec![];
    let mut base = 0;
    for v in &data {
        let n = flatten(std::slice::from_ref(v)).len();
        for side in 0..2 {
            order.extend((0..n).map(|k| base + 2 * k + side));
        }
        base += 2 * n;
    }
    let region = scalars(cx, block, &like, Some(&order))?;
    let op = Op::SortBy { axis, stable: cx.flag("is_stable")?, region };
    let outs = cx.emit_all(op, &flatten(&data))?;
    rebuild(&data, &outs).ok_or(Fail::Poisoned)
}

fn select_and_scatter(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (select, scatter) = (cx.block(0)?, cx.block(1)?);
    let (x, source, init) = (cx.plain(0)?, cx.plain(1)?, cx.plain(2)?);
    let rank = cx.rank(x);
    let (window, strides) = (positive(cx, "window_dimensions", rank)?, positive(cx, "window_strides", rank)?);
    let pads = pads(cx, rank)?;
    let pair = [Val::Plain(x), Val::Plain(x)];
    let select = scalars(cx, select, &pair, None)?;
    let scatter = scalars(cx, scatter, &pair, None)?;
    let op = SelectAndScatter { window, strides, pads, select, scatter };
    Ok(vec![Val::Plain(cx.emit(Op::SelectAndScatter(op), &[x, source, init])?)])
}
