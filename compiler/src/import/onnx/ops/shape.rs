//! Shapes: reading them, and giving a tensor another one.

use beiming_ir::ops::{BinaryOp, ReduceOp};
use beiming_ir::types::Dim;

use super::super::node::{Cx, R, axes_of, axis_of, bad_arguments, bad_attribute, product, unsupported};
use super::{Row, row};
use crate::import::build::Build;
use crate::import::extents;
use crate::import::frame::V;

/// Versions of the ops that only gain element types.
const VIEWS: &[i64] = &[1, 11, 13, 21, 23, 24, 25];

pub const OPS: &[Row] = &[
    row("Shape", &[1, 13, 15, 19, 21, 23, 24, 25], 1, shape),
    row("Size", &[1, 13, 19, 21, 23, 24, 25], 1, size),
    row("Reshape", &[1, 5, 13, 14, 19, 21, 23, 24, 25], 2, reshape),
    row("Flatten", &[1, 9, 11, 13, 21, 23, 24, 25], 1, flatten),
    row("Squeeze", VIEWS, 2, squeeze),
    row("Unsqueeze", VIEWS, 2, unsqueeze),
    row("Transpose", &[1, 13, 21, 23, 24, 25], 1, transpose),
    row("Expand", &[8, 13], 2, expand),
    row("Tile", &[1, 6, 13], 2, tile),
    row("Identity", &[1, 13, 14, 16, 19, 21, 23, 24, 25], 1, |cx| Ok(vec![cx.input(0)?])),
];

fn shape(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let dims = cx.shape(x);
    let rank = dims.len() as i64;
    let at = |i: i64| if i < 0 { i + rank } else { i }.clamp(0, rank) as usize;
    let (start, end) = (at(cx.int("start", 0)?), at(cx.int("end", rank)?));
    Ok(vec![cx.dim_vector(dims[start.min(end)..end].to_vec())])
}

fn size(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let n = product(&cx.shape(cx.input(0)?));
    Ok(vec![cx.dim_scalar(n)])
}

fn reshape(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let allow_zero = cx.since >= 14 && cx.flag("allowzero", false)?;
    if cx.since >= 5
        && let Some(given) = cx.told_by_data(1)?
    {
        return Ok(vec![reshape_by_data(cx, x, given, allow_zero)?]);
    }
    let target =
        if cx.since >= 5 { cx.dims(1)? } else { cx.int_list("shape")?.unwrap_or_default().into_iter().map(Dim::from).collect() };
    let have = cx.shape(x);
    let mut out = vec![];
    let mut open = None;
    for (i, d) in target.iter().enumerate() {
        match d.known() {
            Some(0) if !allow_zero => match have.get(i) {
                Some(h) => out.push(h.clone()),
                None => {
                    return bad_arguments(format!("its shape copies axis {i} (by a 0), but the data has rank {}", have.len()));
                }
            },
            Some(-1) if open.is_some() => return bad_arguments("its shape holds -1 twice".to_string()),
            Some(-1) => {
                open = Some(i);
                out.push(1.into());
            }
            Some(v) if v < 0 => return bad_arguments(format!("its shape holds {v}; allowed are extents, 0 and one -1")),
            _ => out.push(d.clone()),
        }
    }
    if let Some(i) = open {
        let (total, rest) = (product(&have), product(&out));
        if rest.is(0) {
            return bad_arguments("its shape holds both 0 and -1, which leaves the -1 open".to_string());
        }
        if let (Some(t), Some(r)) = (total.known(), rest.known())
            && t % r != 0
        {
            return bad_arguments(format!("{t} elements do not fit a shape whose known extents multiply to {r}"));
        }
        out[i] = total.floor_div(&rest);
    }
    Ok(vec![cx.reshape(x, out)?])
}

/// A reshape to extents that only the run knows, among which may be zeros (copied from the data) and one -1.
fn reshape_by_data(cx: &mut Cx<'_, '_>, x: V, given: V, allow_zero: bool) -> R {
    let have = cx.shape(x);
    let total = product(&have);
    let rank = cx.extent(given, 0, "the number of extents")?;
    let mut want = given;
    if !allow_zero {
        let copied = cx.dim_vector((0..rank).map(|i| have.get(i).cloned().unwrap_or_default()).collect());
        let zero = cx.with(BinaryOp::Eq, want, 0.0)?;
        want = cx.select(zero, copied, want)?;
    }
    if rank > 0 {
        let open = cx.with(BinaryOp::Eq, want, -1.0)?;
        let one = cx.scalar_like(want, 1.0);
        let rest = cx.select(open, one, want)?;
        let rest = cx.reduce(ReduceOp::Prod, rest, vec![0], true)?;
        let whole = cx.dim_scalar(total.clone());
        let left = cx.binary(BinaryOp::Div, whole, rest)?;
        want = cx.select(open, left, want)?;
    }
    let r = total.range(cx.symbols());
    let mut shape = extents::read(cx, want, &[], |_| (0, if r.lo > 0 { r.hi } else { i64::MAX }))?;
    extents::expect_equal(cx, &product(&shape), &total)?;
    if r.lo > 0
        && let Some(last) = shape.iter().rposition(|d| d.known().is_none())
    {
        // What has been checked, said so that sizes are bounded by that of the data.
        shape[last] = 1.into();
        shape[last] = total.floor_div(&product(&shape));
    }
    cx.reshape(x, shape)
}

fn flatten(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let dims = cx.shape(x);
    let axis = cx.int("axis", 1)?;
    let axis = if axis == dims.len() as i64 { dims.len() } else { axis_of(axis, dims.len())? };
    Ok(vec![cx.reshape(x, vec![product(&dims[..axis]), product(&dims[axis..])])?])
}

fn axes(cx: &Cx<'_, '_>) -> R<Option<Vec<i64>>> {
    if cx.since >= 13 { cx.opt(1).map(|_| cx.ints(1)).transpose() } else { cx.int_list("axes") }
}

fn squeeze(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let dims = cx.shape(x);
    let drop = match axes(cx)? {
        Some(a) => axes_of(&a, dims.len())?,
        None if dims.iter().any(|d| d.known().is_none()) => {
            return unsupported("dropping every axis of extent 1 while some extents are not known; give the axes");
        }
        None => (0..dims.len()).filter(|i| dims[*i].is(1)).collect(),
    };
    if let Some(i) = drop.iter().find(|i| dims[**i].known().is_some_and(|d| d != 1)) {
        return bad_arguments(format!("axis {i} has extent {}; only axes of extent 1 can be dropped", dims[*i]));
    }
    let kept = dims.into_iter().enumerate().filter(|(i, _)| !drop.contains(i)).map(|(_, d)| d).collect();
    Ok(vec![cx.reshape(x, kept)?])
}

fn unsqueeze(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let Some(list) = axes(cx)? else { return bad_attribute("the axes are missing") };
    let rank = cx.rank(x) + list.len();
    let new = axes_of(&list, rank)?;
    let mut old = cx.shape(x).into_iter();
    let dims = (0..rank).map(|i| if new.contains(&i) { 1.into() } else { old.next().unwrap_or_default() }).collect();
    Ok(vec![cx.reshape(x, dims)?])
}

fn transpose(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    let perm = match cx.int_list("perm")? {
        None => (0..rank).rev().collect(),
        Some(list) => {
            let perm = list.iter().map(|a| axis_of(*a, rank)).collect::<R<Vec<_>>>()?;
            let mut seen = perm.clone();
            seen.sort_unstable();
            if seen != (0..rank).collect::<Vec<_>>() {
                return bad_attribute(format!("attribute `perm` is {list:?}; it must name each of {rank} axes once"));
            }
            perm
        }
    };
    Ok(vec![cx.transpose(x, perm)?])
}

/// Bidirectional broadcast: an extent of 1 in the wanted shape keeps the argument's.
fn expand(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let mut have = cx.shape(x);
    if let Some(given) = cx.told_by_data(1)? {
        return Ok(vec![expand_by_data(cx, x, given)?]);
    }
    let mut want = cx.dims(1)?;
    if let Some(d) = want.iter().find(|d| d.known().is_some_and(|v| v < 0)) {
        return bad_arguments(format!("its shape holds {d}"));
    }
    while want.len() < have.len() {
        want.insert(0, 1.into());
    }
    while have.len() < want.len() {
        have.insert(0, 1.into());
    }
    for (w, h) in want.iter_mut().zip(&have) {
        if w.is(1) {
            *w = h.clone();
        }
    }
    Ok(vec![cx.broadcast(x, want)?])
}

/// As [`expand`], to extents that only the run knows.
fn expand_by_data(cx: &mut Cx<'_, '_>, x: V, given: V) -> R {
    let count = cx.extent(given, 0, "the number of extents")?;
    let rank = count.max(cx.rank(x));
    let mut have = vec![Dim::from(1); rank - cx.rank(x)];
    have.extend(cx.shape(x));
    let leading = cx.dim_vector(vec![1.into(); rank - count]);
    let want = cx.concat(&[leading, given], 0)?;
    let own = cx.dim_vector(have.clone());
    let one = cx.with(BinaryOp::Eq, want, 1.0)?;
    let want = cx.select(one, own, want)?;
    // An extent other than one stays.
    let fixed: Vec<Option<Dim>> = have.iter().map(|d| d.known().filter(|k| *k != 1).map(Dim::from)).collect();
    let shape = extents::read(cx, want, &fixed, |_| (0, i64::MAX))?;
    let mut x = cx.reshape(x, have)?;
    for (axis, extent) in shape.iter().enumerate() {
        x = extents::stretch(cx, x, axis, extent)?;
    }
    cx.broadcast(x, shape)
}

/// Each repeated axis becomes two, `[repeats, extent]`, of which the first is broadcast.
fn tile(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let dims = cx.shape(x);
    let repeats = if cx.since >= 6 { cx.extents(1, |_| (0, i64::MAX))? } else { return unsupported("Tile of opset 1") };
    if repeats.len() != dims.len() {
        return bad_arguments(format!("it has {} repeats for data of rank {}", repeats.len(), dims.len()));
    }
    let (mut split, mut wide, mut merged) = (vec![], vec![], vec![]);
    for (d, r) in dims.iter().zip(&repeats) {
        if r.known().is_some_and(|v| v < 0) {
            return bad_arguments(format!("it repeats an axis {r} times"));
        }
        if !r.is(1) {
            split.push(1.into());
            wide.push(r.clone());
        }
        split.push(d.clone());
        wide.push(d.clone());
        merged.push(r.clone() * d.clone());
    }
    let t = cx.reshape(x, split)?;
    let t = cx.broadcast(t, wide)?;
    Ok(vec![cx.reshape(t, merged)?])
}
