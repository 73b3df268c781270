//! Parts of tensors: slices, splits, joins, padding.

use beiming_ir::ops::{BinaryOp, Op, PadMode, Slice};
use beiming_ir::types::{DType, Dim};

use super::super::node::{Cx, R, axis_of, bad_arguments, bad_attribute, product, unsupported};
use super::{MANY, Row, row};
use crate::import::build::Build;
use crate::import::extents;
use crate::import::frame::V;

pub const OPS: &[Row] = &[
    row("Slice", &[1, 10, 11, 13], 5, slice),
    row("Split", &[1, 2, 11, 13, 18], 2, split),
    row("Concat", &[1, 4, 11, 13], MANY, concat),
    row("Pad", &[1, 2, 11, 13, 18, 19, 21, 23, 24, 25], 4, pad),
    row("CenterCropPad", &[18], 2, center_crop_pad),
];

/// A bound this far out means "to the end" of an extent that is not known: writers put such numbers for it.
const FAR: i64 = 1_000_000_000;

/// A start or end in elements from the front, before clamping: negative ones count from the end.
fn from_front(cx: &Cx<'_, '_>, at: &Dim, extent: &Dim) -> R<Dim> {
    let r = at.range(cx.symbols());
    if r.lo >= 0 {
        Ok(at.clone())
    } else if r.hi < 0 {
        Ok(extent.clone() + at.clone())
    } else {
        unsupported(format!("a bound `{at}` that may be negative or not, as the shapes of the inputs go"))
    }
}

/// `start`, number of elements, for bounds on an axis of `extent`.
fn bounds(cx: &Cx<'_, '_>, start: &Dim, end: &Dim, step: i64, extent: &Dim) -> R<(Dim, Dim)> {
    let zero = Dim::Known(0);
    let open = extent.known().is_none();
    let far = |d: &Dim| open && d.known().is_some_and(|v| v >= FAR);
    let near = |d: &Dim| open && d.known().is_some_and(|v| v <= -FAR);
    let (low, high) = if step > 0 { (zero.clone(), extent.clone()) } else { (Dim::Known(-1), extent.clone() - 1.into()) };
    let clamp = |at: &Dim| -> R<Dim> {
        if far(at) {
            return Ok(high.clone());
        }
        if near(at) {
            return Ok(low.clone());
        }
        let at = from_front(cx, at, extent)?;
        Ok(cx.min_dim(&cx.max_dim(&at, &low), &high))
    };
    let (s, e) = (clamp(start)?, clamp(end)?);
    let distance = if step > 0 { e - s.clone() } else { s.clone() - e };
    let len = cx.max_dim(&distance.ceil_div(&Dim::Known(step.saturating_abs())), &zero);
    // An empty slice may start anywhere; keep it inside.
    Ok((if len.is(0) { zero } else { s }, len))
}

fn slice(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let dims = cx.shape(x);
    let list = |i: usize, name: &str| -> R<Option<Vec<Dim>>> {
        if cx.since >= 10 {
            return cx.opt(i).map(|_| cx.dims(i)).transpose();
        }
        Ok(cx.int_list(name)?.map(|l| l.into_iter().map(Dim::from).collect()))
    };
    if cx.since >= 10 && (1..3).any(|i| cx.opt(i).is_some_and(|v| cx.top().dims_of(v).is_none())) {
        return Ok(vec![slice_by_data(cx, x)?]);
    }
    let (Some(starts), Some(ends)) = (list(1, "starts")?, list(2, "ends")?) else {
        return bad_attribute("starts or ends are missing");
    };
    let known = |i: usize, name: &str| if cx.since >= 10 { cx.opt(i).map(|_| cx.ints(i)).transpose() } else { cx.int_list(name) };
    let axes = known(3, "axes")?.unwrap_or((0..starts.len() as i64).collect());
    let steps = if cx.since >= 10 { known(4, "steps")? } else { None }.unwrap_or(vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()].iter().any(|n| *n != starts.len()) {
        return bad_arguments("starts, ends, axes and steps differ in length");
    }
    let mut s = Slice { start: vec![Dim::Known(0); dims.len()], len: dims.clone(), step: vec![1; dims.len()] };
    let mut seen = vec![];
    for i in 0..starts.len() {
        let axis = axis_of(axes[i], dims.len())?;
        if seen.contains(&axis) {
            return bad_arguments(format!("axis {axis} stands twice"));
        }
        seen.push(axis);
        if steps[i] == 0 {
            return bad_arguments(format!("the step of axis {axis} is 0"));
        }
        (s.start[axis], s.len[axis]) = bounds(cx, &starts[i], &ends[i], steps[i], &dims[axis])?;
        s.step[axis] = steps[i];
    }
    if s.len == dims && s.step.iter().all(|s| *s == 1) {
        return Ok(vec![x]);
    }
    Ok(vec![cx.emit(Op::Slice(s), &[x])?])
}

/// A slice of which only the run knows the bounds.
fn slice_by_data(cx: &mut Cx<'_, '_>, x: V) -> R {
    let dims = cx.shape(x);
    let mut bound = vec![];
    for i in 1..3 {
        let v = cx.input(i)?;
        bound.push(cx.cast(v, DType::I64)?);
    }
    let count = cx.extent(bound[0], 0, "the number of starts")?;
    let axes = cx.opt(3).map(|_| cx.ints(3)).transpose()?.unwrap_or((0..count as i64).collect());
    let steps = cx.opt(4).map(|_| cx.ints(4)).transpose()?.unwrap_or(vec![1; count]);
    if cx.extent(bound[1], 0, "the number of ends")? != count || axes.len() != count || steps.len() != count {
        return bad_arguments("starts, ends, axes and steps differ in length");
    }
    let axes = axes.iter().map(|a| axis_of(*a, dims.len())).collect::<R<Vec<_>>>()?;
    if let Some((i, axis)) = axes.iter().enumerate().find(|(i, a)| axes[..*i].contains(a)) {
        return bad_arguments(format!("axis {axis} stands twice, the second time at {i}"));
    }
    if let Some(i) = steps.iter().position(|s| *s == 0) {
        return bad_arguments(format!("the step of axis {} is 0", axes[i]));
    }
    // Bounds from the front, clamped: going back, the end lies before the first element.
    let own: Vec<Dim> = axes.iter().map(|a| dims[*a].clone()).collect();
    let back = |s: &i64| Dim::from(if *s < 0 { -1 } else { 0 });
    let extent = cx.dim_vector(own.clone());
    let low = cx.dim_vector(steps.iter().map(back).collect());
    let high = cx.dim_vector(own.iter().zip(&steps).map(|(n, s)| n.clone() + back(s)).collect());
    for v in &mut bound {
        let wrapped = cx.binary(BinaryOp::Add, *v, extent)?;
        let negative = cx.with(BinaryOp::Lt, *v, 0.0)?;
        let at = cx.select(negative, wrapped, *v)?;
        let at = cx.binary(BinaryOp::Max, at, low)?;
        *v = cx.binary(BinaryOp::Min, at, high)?;
    }
    let sign = cx.dim_vector(steps.iter().map(|s| s.signum().into()).collect());
    let size = cx.dim_vector(steps.iter().map(|s| s.saturating_abs().into()).collect());
    let distance = cx.binary(BinaryOp::Sub, bound[1], bound[0])?;
    let distance = cx.binary(BinaryOp::Mul, distance, sign)?;
    let up = cx.binary(BinaryOp::Add, distance, size)?;
    let up = cx.with(BinaryOp::Sub, up, 1.0)?;
    let len = cx.binary(BinaryOp::Div, up, size)?;
    let len = cx.with(BinaryOp::Max, len, 0.0)?;
    // An empty slice of an empty axis starts nowhere.
    let start = cx.with(BinaryOp::Max, bound[0], 0.0)?;
    let most: Vec<i64> = own.iter().map(|d| d.range(cx.symbols()).hi).collect();
    let start = extents::read(cx, start, &[], |i| (0, most[i]))?;
    let len = extents::read(cx, len, &[], |i| (0, most[i]))?;
    let mut s = Slice { start: vec![Dim::Known(0); dims.len()], len: dims.clone(), step: vec![1; dims.len()] };
    for (i, axis) in axes.into_iter().enumerate() {
        (s.start[axis], s.len[axis], s.step[axis]) = (start[i].clone(), len[i].clone(), steps[i]);
    }
    cx.emit(Op::Slice(s), &[x])
}

fn split(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let axis = axis_of(cx.int("axis", 0)?, cx.rank(x))?;
    let extent = cx.shape(x)[axis].clone();
    let given = if cx.since >= 13 {
        let hi = extent.range(cx.symbols()).hi;
        cx.opt(1).map(|_| cx.extents(1, |_| (0, hi))).transpose()?
    } else {
        cx.int_list("split")?.map(|l| l.into_iter().map(Dim::from).collect())
    };
    let parts = match given {
        Some(p) => p,
        None => {
            let n = match cx.int_opt("num_outputs")?.filter(|_| cx.since >= 18) {
                Some(n) => n,
                None => cx.node.output.len() as i64,
            };
            if n < 1 || n as usize != cx.node.output.len() {
                return bad_attribute(format!("attribute `num_outputs` is {n}, but the node has {}", cx.node.output.len()));
            }
            let chunk = extent.ceil_div(&Dim::from(n));
            let mut parts = vec![chunk.clone(); n as usize - 1];
            parts.push(extent.clone() - chunk * Dim::from(n - 1));
            parts
        }
    };
    if parts.len() != cx.node.output.len() {
        return bad_arguments(format!("{} parts for {} outputs", parts.len(), cx.node.output.len()));
    }
    let total = parts.iter().fold(Dim::Known(0), |a, p| a + p.clone());
    if (total.clone() - extent.clone()).known().is_some_and(|d| d != 0) || parts.iter().any(|p| p.known().is_some_and(|v| v < 0))
    {
        return bad_arguments(format!("the parts {} do not make up the extent {extent}", total));
    }
    extents::expect_equal(cx, &total, &extent)?;
    let mut at = Dim::Known(0);
    let mut out = vec![];
    for p in parts {
        out.push(cx.slice_axis(x, axis, at.clone(), p.clone())?);
        at = at + p;
    }
    Ok(out)
}

fn concat(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let parts = cx.all()?;
    let Some(axis) = cx.int_opt("axis")?.or((cx.since < 4).then_some(1)) else {
        return bad_attribute("attribute `axis` is missing");
    };
    let axis = axis_of(axis, cx.rank(parts[0]))?;
    Ok(vec![cx.concat(&parts, axis)?])
}

fn pad(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    let pads: Vec<Dim> = if cx.since >= 11 {
        let v = cx.input(1)?;
        extents::read_signed(cx, v)?
    } else {
        let name = if cx.since >= 2 { "pads" } else { "paddings" };
        cx.int_list(name)?.unwrap_or_default().into_iter().map(Dim::from).collect()
    };
    let axes = match cx.opt(3) {
        Some(_) if cx.since >= 18 => cx.ints(3)?.iter().map(|a| axis_of(*a, rank)).collect::<R<Vec<_>>>()?,
        _ => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return bad_arguments(format!("{} pads for {} axes; each takes two", pads.len(), axes.len()));
    }
    let mode = match cx.string("mode", "constant")?.as_str() {
        "constant" => PadMode::Constant,
        "reflect" => PadMode::Reflect,
        "edge" => PadMode::Edge,
        "wrap" => PadMode::Wrap,
        m => return bad_attribute(format!("attribute `mode` is `{m}`; allowed are constant, reflect, edge, wrap")),
    };
    let (mut lo, mut hi) = (vec![Dim::Known(0); rank], vec![Dim::Known(0); rank]);
    let own = cx.shape(x);
    for (i, axis) in axes.iter().enumerate() {
        lo[*axis] = pads[i].clone();
        hi[*axis] = pads[axes.len() + i].clone();
        let crops = |d: &Dim| d.known().is_none() && d.range(cx.symbols()).lo < 0;
        if crops(&lo[*axis]) || crops(&hi[*axis]) {
            // More may be cropped than there is.
            let left = own[*axis].clone() + lo[*axis].clone() + hi[*axis].clone();
            extents::expect_at_most(cx, &(Dim::from(0) - left), &0.into())?;
        }
    }
    if lo.iter().chain(&hi).all(|d| d.is(0)) {
        return Ok(vec![x]);
    }
    let value = match cx.opt(2) {
        Some(v) if cx.since >= 11 && !product(&cx.shape(v)).is(0) => {
            let v = cx.cast(v, cx.dtype(x))?;
            cx.reshape(v, vec![])?
        }
        _ => {
            let v = if cx.since < 11 { cx.float("value", 0.0)? } else { 0.0 };
            cx.scalar_like(x, v)
        }
    };
    Ok(vec![cx.emit(Op::Pad { lo, hi, mode }, &[x, value])?])
}

fn center_crop_pad(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    let want = cx.dims(1)?;
    let axes = match cx.int_list("axes")? {
        Some(a) => a.iter().map(|a| axis_of(*a, rank)).collect::<R<Vec<_>>>()?,
        None => (0..rank).collect(),
    };
    if want.len() != axes.len() {
        return bad_arguments(format!("{} extents for {} axes", want.len(), axes.len()));
    }
    let dims = cx.shape(x);
    let (mut lo, mut hi) = (vec![Dim::Known(0); rank], vec![Dim::Known(0); rank]);
    for (axis, w) in axes.into_iter().zip(want) {
        let (Some(have), Some(want)) = (dims[axis].known(), w.known()) else {
            return unsupported(format!("axis {axis} of an extent that is not known"));
        };
        let less = (want - have).unsigned_abs() as i64;
        // The odd element goes to the end when padding; a crop starts at the rounded-down half.
        let (before, after) = (less / 2, less - less / 2);
        (lo[axis], hi[axis]) = if want >= have { (before.into(), after.into()) } else { ((-before).into(), (-after).into()) };
    }
    let zero = cx.scalar_like(x, 0.0);
    Ok(vec![cx.emit(Op::Pad { lo, hi, mode: PadMode::Constant }, &[x, zero])?])
}
