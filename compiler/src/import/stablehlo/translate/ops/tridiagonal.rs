//! Tridiagonal systems, `gtsv` and `tridiagonal_solve_perturbed`: row by row with the larger of two rows as pivot, then back from the last.

use beiming_ir::ops::ReduceOp;
use beiming_ir::types::{DType, Dim};

use super::super::cx::Cx;
use super::super::math::{Ex, emit, value};
use super::super::value::{Val, flatten};
use super::lapack::{Size, counted, fine, iterate, size};
use super::numbers::{Z, val};
use crate::import::build::Build;
use crate::import::fail::{R, bad_arguments};
use crate::import::frame::V;

/// A diagonal `[.., n]` as the column `[.., n, 1]`, moved up by `skip` places with zeros behind.
fn column(cx: &mut Cx<'_, '_>, x: &[V], skip: usize) -> R<Vec<V>> {
    x.iter()
        .map(|v| {
            let axis = cx.rank(*v) - 1;
            let n = cx.extent(*v, axis, "the length of a diagonal")?;
            let kept = cx.slice_axis(*v, axis, skip.into(), (n - skip.min(n)).into())?;
            let mut zeros = cx.shape(*v);
            zeros[axis] = Dim::from(skip.min(n));
            let zero = cx.scalar_like(*v, 0.0);
            let zeros = cx.broadcast(zero, zeros)?;
            let moved = if skip == 0 { *v } else { cx.concat(&[kept, zeros], axis)? };
            let mut shape = cx.shape(moved);
            shape.push(1.into());
            cx.reshape(moved, shape)
        })
        .collect()
}

/// `gtsv`: the diagonals after elimination and the solutions.
pub fn gtsv(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let mut out = solved(cx, false)?;
    out.push(fine(cx, 4)?);
    Ok(out)
}

/// JAX's own call for systems that may be singular: pivots that are nothing beside the largest element of the triangle are made
/// that small instead. Its result is the solutions alone.
pub fn perturbed(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    Ok(solved(cx, true)?.split_off(3))
}

/// The pivots `d` of the triangle with the diagonals `all`, none of them nearer to zero than rounding of the largest element.
fn away_from_zero(cx: &mut Cx<'_, '_>, d: &[V], all: &[Vec<V>]) -> R<Vec<V>> {
    let (rank, dtype) = (cx.rank(d[0]), cx.dtype(d[0]));
    let mut most = None;
    for v in all {
        let length = emit(cx, &[&Z::from(v).abs()])?[0];
        let largest = value(cx.reduce(ReduceOp::Max, length, vec![rank - 2], true)?);
        most = Some(most.map_or_else(|| largest.clone(), |m: Ex| m.max(&largest)));
    }
    let d = Z::from(d);
    let (eps, least) =
        if dtype == DType::F64 { (f64::EPSILON, f64::MIN_POSITIVE) } else { (f32::EPSILON.into(), f32::MIN_POSITIVE.into()) };
    let tiny = most.map_or_else(|| d.abs(), |m| (m * eps).max(least));
    let small = d.abs().lt(&tiny);
    let re = small.pick(d.re.lt(0.0).pick(-&tiny, &tiny), &d.re);
    Z { re, im: d.im.map(|im| small.pick(0.0, im)) }.emit(cx)
}

/// The diagonals after elimination, in the order of the arguments, and the solutions. That order is below (its first element
/// unused), main, above (its last unused), and the right sides.
fn solved(cx: &mut Cx<'_, '_>, perturbed: bool) -> R<Vec<Val>> {
    let args: Vec<Vec<V>> = (0..4).map(|i| R::Ok(flatten(&[cx.val(i)?]))).collect::<R<_>>()?;
    let (planes, own) = (args[0].len(), cx.dtype(args[0][0]));
    let Size { rank, rows: n, .. } = size(cx, args[3][0])?;
    let fits = |v: &Vec<V>| v.len() == planes && cx.rank(v[0]) + 1 == rank;
    if !args[..3].iter().all(fits) || args[3].len() != planes {
        return bad_arguments("it takes three diagonals and right sides of one kind");
    }
    if n == 0 {
        return Ok(vec![cx.val(0)?, cx.val(1)?, cx.val(2)?, cx.val(3)?]);
    }
    let (dl, d, du) = (column(cx, &args[0], 1)?, column(cx, &args[1], 0)?, column(cx, &args[2], 0)?);
    let du2: Vec<V> = d.iter().map(|v| cx.full_like(*v, 0.0)).collect::<R<_>>()?;
    let state = [dl, d, du, du2, args[3].clone()].concat();
    let part = |state: &[V], k: usize| Z::from(&state[k * planes..(k + 1) * planes]);
    let forward = |cx: &mut Cx<'_, '_>, step: V, state: &[V]| {
        let (i, k) = (counted(cx, n, true), value(step));
        let (here, next) = (i.eq(&k), i.eq(&k + 1.0));
        let (dl, d, du, du2, b) = (part(state, 0), part(state, 1), part(state, 2), part(state, 3), part(state, 4));
        let at = |cx: &mut Cx<'_, '_>, z: &Z, m: &Ex| z.chosen(cx, m, rank, 0);
        let (below, pivot, above) = (at(cx, &dl, &here)?, at(cx, &d, &here)?, at(cx, &du, &here)?);
        let (d1, du1) = (at(cx, &d, &next)?, at(cx, &du, &next)?);
        let (b0, b1) = (at(cx, &b, &here)?, at(cx, &b, &next)?);
        let keep = pivot.abs().ge(below.abs());
        let (large, small) = (Z::unless(&keep, &pivot, &below), Z::unless(&keep, &below, &pivot));
        let none = large.norm().eq(0.0);
        let divisor = Z { re: none.pick(1.0, &large.re), im: large.im.clone() };
        let factor = small.over(&divisor);
        // The rows as they stand after an exchange, and what the second one loses.
        let (second, first_above) = (Z::unless(&keep, &d1, &above), Z::unless(&keep, &above, &d1));
        let zero = du1.scaled(&(du1.re.clone() * 0.0));
        let (first_far, second_above) = (Z::unless(&keep, &zero, &du1), Z::unless(&keep, &du1, &zero));
        let (right0, right1) = (Z::unless(&keep, &b0, &b1), Z::unless(&keep, &b1, &b0));
        let new_d = Z::unless(&here, &large, &Z::unless(&next, &second.minus(&factor.times(&first_above)), &d));
        let left_above = second_above.minus(&factor.times(&first_far));
        let new_du = Z::unless(&here, &first_above, &Z::unless(&next, &left_above, &du));
        let new_du2 = Z::unless(&here, &first_far, &du2);
        let new_b = Z::unless(&here, &right0, &Z::unless(&next, &right1.minus(&factor.times(&right0)), &b));
        let mut out = state[..planes].to_vec();
        for z in [new_d, new_du, new_du2, new_b] {
            out.extend(z.emit(cx)?);
        }
        Ok(out)
    };
    let mut state = if n == 1 { state } else { iterate(cx, n - 1, &state, forward)? };
    if perturbed {
        let upper: Vec<Vec<V>> = (1..4).map(|k| state[k * planes..(k + 1) * planes].to_vec()).collect();
        let pivots = away_from_zero(cx, &upper[0], &upper)?;
        state.splice(planes..2 * planes, pivots);
    }
    let back = |cx: &mut Cx<'_, '_>, step: V, state: &[V]| {
        let i = counted(cx, n, true);
        let k = (n - 1) as f64 - value(step);
        let (d, du, du2, x) = (part(state, 1), part(state, 2), part(state, 3), part(state, 4));
        let here = i.eq(&k);
        let at = |cx: &mut Cx<'_, '_>, z: &Z, m: &Ex| z.chosen(cx, m, rank, 0);
        let (d, du, du2) = (at(cx, &d, &here)?, at(cx, &du, &here)?, at(cx, &du2, &here)?);
        let own = at(cx, &x, &here)?;
        let (x1, x2) = (at(cx, &x, &i.eq(&k + 1.0))?, at(cx, &x, &i.eq(&k + 2.0))?);
        let solved = own.minus(&du.times(&x1)).minus(&du2.times(&x2)).over(&d);
        Ok([state[..4 * planes].to_vec(), Z::unless(&here, &solved, &x).emit(cx)?].concat())
    };
    let done = iterate(cx, n, &state, back)?;
    let mut out = vec![];
    for (k, like) in [(3, 0), (1, 1), (2, 2)] {
        let shape = cx.shape(args[like][0]);
        let flat: Vec<V> = done[k * planes..(k + 1) * planes].iter().map(|v| cx.reshape(*v, shape.clone())).collect::<R<_>>()?;
        out.push(val(cx, &flat, own)?);
    }
    out.push(val(cx, &done[4 * planes..], own)?);
    Ok(out)
}
