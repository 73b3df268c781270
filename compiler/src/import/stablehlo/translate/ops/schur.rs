//! General eigenvalues, `geev`, and Schur forms, `gees`: reflections to Hessenberg form, then steps of the QR method with
//! Wilkinson's shift until the subdiagonal is gone, in complex numbers of 64-bit parts; real forms are those of `real_schur`.

use beiming_ir::ops::{Op, ReduceOp};
use beiming_ir::types::DType;

use super::super::cx::Cx;
use super::super::math::complex::c;
use super::super::math::{Ex, emit, value};
use super::super::value::{Val, flatten};
use super::lapack::{chosen, counted, fine, iterate, iterate_while, letter, size, total, widened};
use super::numbers::{Z, adjoint, identity, product, val};
use super::parts::along;
use super::standard::Schur;
use super::{real_schur, reflections, standard};
use crate::import::build::Build;
use crate::import::fail::{R, bad_arguments, unsupported};
use crate::import::frame::V;

/// Most steps a row, as LAPACK allows.
const STEPS: usize = 30;

/// A subdiagonal element is nothing beside its neighbours from here on.
const NOTHING: f64 = f64::EPSILON;

/// The upper triangular matrix similar to `a`, and the unitary matrix that makes it so.
fn triangle(cx: &mut Cx<'_, '_>, a: &[V], n: usize) -> R<(Vec<V>, Vec<V>)> {
    let mut a = widened(cx, a)?;
    if a.len() == 1 {
        a.push(cx.full_like(a[0], 0.0)?);
    }
    let rank = cx.rank(a[0]);
    let (h, z) = hessenberg(cx, &a, n)?;
    if n < 2 {
        return Ok((h, z));
    }
    let state = [h, z].concat();
    let done = steps(cx, n, rank, &state)?;
    let (i, col) = (counted(cx, n, true), counted(cx, n, false));
    let t = Z::from(&done[..2]).within(&i.le(&col)).emit(cx)?;
    Ok((t, done[2..4].to_vec()))
}

/// The matrix in Hessenberg form that is similar to `a`, and the unitary matrix that makes it so.
fn hessenberg(cx: &mut Cx<'_, '_>, a: &[V], n: usize) -> R<(Vec<V>, Vec<V>)> {
    let rank = cx.rank(a[0]);
    let (h, taus) = reflections::hessenberg(cx, a, n)?;
    // The reflections stand one row lower than those of a triangle: moved up, they are the product's lower right block.
    let z = match n {
        0 | 1 => identity(cx, a, n, n)?,
        _ => {
            let axis = rank - 2;
            let block = |cx: &mut Cx<'_, '_>, v: V| {
                let v = cx.slice_axis(v, axis, 1.into(), (n - 1).into())?;
                cx.slice_axis(v, axis + 1, 0.into(), (n - 1).into())
            };
            let low = h.iter().map(|v| block(cx, *v)).collect::<R<Vec<V>>>()?;
            let q = reflections::columns(cx, &low, &taus, n - 1, n - 1, n - 1)?;
            framed(cx, &q, a, n)?
        }
    };
    let (i, col) = (counted(cx, n, true), counted(cx, n, false));
    Ok((Z::from(&h).within(&i.le(&col + 1.0)).emit(cx)?, z))
}

/// `[[1, 0], [0, q]]`.
fn framed(cx: &mut Cx<'_, '_>, q: &[V], like: &[V], n: usize) -> R<Vec<V>> {
    let eye = identity(cx, like, n, n)?;
    let rank = cx.rank(eye[0]);
    q.iter()
        .zip(eye)
        .map(|(q, e)| {
            let row = cx.slice_axis(e, rank - 2, 1.into(), (n - 1).into())?;
            let left = cx.slice_axis(row, rank - 1, 0.into(), 1.into())?;
            let low = cx.concat(&[left, *q], rank - 1)?;
            let top = cx.slice_axis(e, rank - 2, 0.into(), 1.into())?;
            cx.concat(&[top, low], rank - 2)
        })
        .collect()
}

/// Steps of the QR method over `(h, z)` until nothing is left below any diagonal of the batch.
fn steps(cx: &mut Cx<'_, '_>, n: usize, rank: usize, state: &[V]) -> R<Vec<V>> {
    iterate_while(cx, STEPS * n, state, |cx, number, state| step(cx, n, rank, number, state))
}

/// One step: whether more are needed, and the next state.
fn step(cx: &mut Cx<'_, '_>, n: usize, rank: usize, number: V, state: &[V]) -> R<Vec<V>> {
    let (i, col) = (counted(cx, n, true), counted(cx, n, false));
    let h = Z::from(&state[..2]);
    let (main, sub) = (i.eq(&col), i.eq(&col + 1.0));
    // The element that decides whether the matrix falls apart there, and the two beside it, by the row of the first.
    let lengths = emit(cx, &[&h.abs()])?[0];
    let lengths = value(lengths);
    let here = chosen(cx, &main, &lengths, rank, 1)?;
    let above = chosen(cx, &main, &lengths, rank, 0)?;
    let above = chosen(cx, &sub, &above, rank, 1)?;
    let below = chosen(cx, &sub, &lengths, rank, 1)?;
    let alive = below.gt((here + above) * NOTHING);
    let kept = emit(
        cx,
        &[
            &sub.and(alive.not()).pick(0.0, &h.re),
            &sub.and(alive.not()).pick(0.0, h.im.as_ref().unwrap_or(&h.re)),
            &alive.pick(&i, 0.0).cast(DType::I64),
        ],
    )?;
    let h = Z::from(&kept[..2]);
    let last = cx.reduce(ReduceOp::Max, kept[2], vec![rank - 2], true)?;
    let any = cx.with(beiming_ir::ops::BinaryOp::Gt, last, 0.0)?;
    let rank_all = cx.rank(any);
    let more = cx.reduce(ReduceOp::Any, any, (0..rank_all).collect(), false)?;
    let last = value(last);
    let shift = shift(cx, &h, &last, &i, &col, rank, number)?;
    let shifted = Z {
        re: main.pick(&h.re - &shift.re, &h.re),
        im: h.im.as_ref().map(|im| main.pick(im - shift.im.as_ref().unwrap_or(im), im)),
    };
    let shifted = shifted.emit(cx)?;
    let eye = identity(cx, &shifted, n, n)?;
    let chain = iterate(cx, n - 1, &[shifted, eye].concat(), |cx, k, state| rotate(cx, n, rank, k, state))?;
    let back = adjoint(cx, &chain[2..4])?;
    let next = product(cx, &chain[..2], &back)?;
    let (next, shift_im) = (Z::from(&next), shift.im.clone());
    let next = Z {
        re: main.pick(&next.re + &shift.re, &next.re),
        im: next.im.as_ref().zip(shift_im.as_ref()).map(|(im, s)| main.pick(im + s, im)),
    };
    // Below the subdiagonal there is rounding only.
    let next = next.within(&i.le(&col + 1.0)).emit(cx)?;
    let z = product(cx, &state[2..4], &back)?;
    Ok([vec![more], next, z].concat())
}

/// The eigenvalue of the last block of two rows that is alive which is nearer to its last element.
fn shift(cx: &mut Cx<'_, '_>, h: &Z, last: &Ex, i: &Ex, col: &Ex, rank: usize, number: V) -> R<Z> {
    let before = last - 1.0;
    let mut at = |row: &Ex, column: &Ex| {
        let r = h.chosen(cx, &i.eq(row), rank, 0)?;
        r.chosen(cx, &col.eq(column), rank, 1)
    };
    let (a, b) = (at(&before, &before)?, at(&before, last)?);
    let (g, d) = (at(last, &before)?, at(last, last)?);
    let pair = |z: &Z| c(z.re.clone(), z.im.clone().unwrap_or_else(|| &z.re * 0.0));
    let (a, b, g, d) = (pair(&a), pair(&b), pair(&g), pair(&d));
    let half = c((&a.re - &d.re) * 0.5, (&a.im - &d.im) * 0.5);
    let root = half.times(&half).plus(&b.times(&g)).sqrt();
    // d - bg / (half + sign root), with the sign that does not cancel.
    let along = (&half.re * &root.re + &half.im * &root.im).ge(0.0);
    let den = c(along.pick(&half.re + &root.re, &half.re - &root.re), along.pick(&half.im + &root.im, &half.im - &root.im));
    let none = den.re.eq(0.0).and(den.im.eq(0.0));
    let q = b.times(&g).over(&c(none.pick(1.0, &den.re), den.im.clone()));
    let near = d.minus(&q);
    // Every tenth step another shift breaks cycles.
    let odd = (value(number).join(beiming_ir::ops::BinaryOp::Rem, 10.0)).eq(9.0);
    let far = &d.re + g.abs() * 0.75;
    Ok(Z { re: odd.pick(far, near.re), im: Some(odd.pick(&d.im, near.im)) })
}

/// The rotation of rows `k` and `k + 1` that makes the element below the diagonal vanish.
fn rotate(cx: &mut Cx<'_, '_>, n: usize, rank: usize, k: V, state: &[V]) -> R<Vec<V>> {
    let (i, col, k) = (counted(cx, n, true), counted(cx, n, false), value(k));
    let (r, g) = (Z::from(&state[..2]), Z::from(&state[2..4]));
    let (here, next) = (i.eq(&k), i.eq(&k + 1.0));
    let (row0, row1) = (r.chosen(cx, &here, rank, 0)?, r.chosen(cx, &next, rank, 0)?);
    let (x, y) = (row0.chosen(cx, &col.eq(&k), rank, 1)?, row1.chosen(cx, &col.eq(&k), rank, 1)?);
    let length = (x.norm() + y.norm()).sqrt();
    let none = y.norm().eq(0.0);
    let divisor = none.pick(1.0, &length);
    let one = Z::real(&length * 0.0 + 1.0);
    let zero = Z::real(&length * 0.0);
    let (a, b) = (Z::unless(&none, &one, &x.scaled(&(1.0 / &divisor))), Z::unless(&none, &zero, &y.scaled(&(1.0 / &divisor))));
    let mut out = vec![];
    for (m, rows) in [(&r, Some((row0, row1))), (&g, None)] {
        let (m0, m1) = match rows {
            Some(p) => p,
            None => (m.chosen(cx, &here, rank, 0)?, m.chosen(cx, &next, rank, 0)?),
        };
        let n0 = a.conj().times(&m0).plus(&b.conj().times(&m1));
        let n1 = a.times(&m1).minus(&b.times(&m0));
        out.extend(Z::unless(&here, &n0, &Z::unless(&next, &n1, m)).emit(cx)?);
    }
    Ok(out)
}

/// `gees`: the triangle (of a real matrix with blocks of two rows), the vectors and the eigenvalues (of a real matrix as two lists).
pub fn gees(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let a = flatten(&[cx.val(0)?]);
    if letter(cx, "sort")? != 'N' {
        return unsupported("eigenvalues in an order of the caller's");
    }
    let (own, s) = (cx.dtype(a[0]), size(cx, a[0])?);
    if a.len() == 1 {
        let wanted = letter(cx, "mode")? == 'V';
        let (form, failed) = real(cx, a[0], s.rows, wanted)?;
        let z = match form.z {
            Some(z) => val(cx, &[z], own)?,
            None => fine(cx, 1)?,
        };
        let (t, re, im) = (val(cx, &[form.t], own)?, val(cx, &[form.re], own)?, val(cx, &[form.im], own)?);
        let to = cx.result_dtype(5)?;
        let failed = cx.cast(failed, to)?;
        let failed = cx.reshape(failed, cx.static_result(5)?)?;
        return Ok(vec![t, z, re, im, fine(cx, 4)?, Val::Plain(failed)]);
    }
    let (t, z) = triangle(cx, &a, s.rows)?;
    let w = eigenvalues(cx, &t, s.rows)?;
    Ok(vec![val(cx, &t, own)?, val(cx, &z, own)?, val(cx, &w, own)?, fine(cx, 3)?, fine(cx, 4)?])
}

/// The real Schur form of a matrix, in 64 bits, and the number of the row at which each failed, counted from one.
fn real(cx: &mut Cx<'_, '_>, a: V, n: usize, vectors: bool) -> R<(Schur, V)> {
    let wide = widened(cx, &[a])?;
    let (h, z) = hessenberg(cx, &wide, n)?;
    let z = vectors.then_some(z[0]);
    if n > 1 {
        let r = real_schur::reduced(cx, h[0], z, n)?;
        return Ok((standard::form(cx, &r, n)?, r.failed));
    }
    let rank = cx.rank(a);
    let re = cx.reduce(ReduceOp::Sum, h[0], vec![rank - 1], false)?;
    let (im, none) = (cx.full_like(re, 0.0)?, cx.scalar(DType::I64, 0.0));
    let failed = cx.broadcast(none, cx.shape(a)[..rank - 2].to_vec())?;
    Ok((Schur { t: h[0], z, re, im }, failed))
}

/// [`triangle`] of a real matrix, from its real form: blocks of two rows are split by one rotation each, `[[b, iw], [iw, b]]` for
/// eigenvalues with the imaginary parts `w` and `-w`.
fn split(cx: &mut Cx<'_, '_>, a: V, n: usize) -> R<(Vec<V>, Vec<V>)> {
    let (form, _) = real(cx, a, n, true)?;
    let Some(z) = form.z else { return bad_arguments("a form without vectors") };
    let rank = cx.rank(a);
    let mut wide = cx.shape(form.im);
    wide.insert(rank - 2, 1.into());
    let im = value(cx.reshape(form.im, wide.clone())?);
    // The element right of the diagonal, by the row of the first of two.
    let right = along(cx, form.t, (0, 1), n - 1)?;
    let (right, zero) = (emit(cx, &[&right])?[0], cx.scalar(DType::F64, 0.0));
    wide[rank - 1] = 1.into();
    let none = cx.broadcast(zero, wide)?;
    let first = value(cx.concat(&[right, none], rank - 1)?);
    let length = complex_abs(&first, &im);
    let (i, col) = (counted(cx, n, true), counted(cx, n, false));
    let turns = im.gt(0.0);
    let cos = emit(cx, &[&turns.pick(&first / &length, 0.0), &turns.pick(&im / &length, 0.0)])?;
    // The second of two has what the first has.
    let mut both = vec![];
    for v in cos {
        let kept = cx.slice_axis(v, rank - 1, 0.into(), (n - 1).into())?;
        let moved = value(cx.concat(&[none, kept], rank - 1)?);
        both.push((value(v), moved));
    }
    let (cos, sin) = (&both[0], &both[1]);
    let alone = (&sin.0 + &sin.1).eq(0.0);
    let turn = [
        i.eq(&col).pick(alone.pick(1.0, &cos.0 + &cos.1), 0.0),
        i.eq(&col + 1.0).pick(&sin.0, col.eq(&i + 1.0).pick(&sin.1, 0.0)),
    ];
    let turn = emit(cx, &[&turn[0], &turn[1]])?;
    let zero = cx.full_like(z, 0.0)?;
    let back = adjoint(cx, &turn)?;
    let t = product(cx, &[form.t, zero], &turn)?;
    let t = product(cx, &back, &t)?;
    let t = Z::from(&t).within(&i.le(&col)).emit(cx)?;
    Ok((t, product(cx, &[z, zero], &turn)?))
}

/// The length of a complex number, one where it is zero.
fn complex_abs(re: &Ex, im: &Ex) -> Ex {
    let length = c(re.clone(), im.clone()).abs();
    length.eq(0.0).pick(1.0, length)
}

/// The diagonal: `[.., n]`.
fn eigenvalues(cx: &mut Cx<'_, '_>, t: &[V], n: usize) -> R<Vec<V>> {
    t.iter().map(|v| super::numbers::diagonal(cx, *v, n, 0)).collect()
}

/// `geev`: eigenvalues (of a real matrix as two lists), left and right vectors of length one.
pub fn geev(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let a = flatten(&[cx.val(0)?]);
    let (own, s, real) = (cx.dtype(a[0]), size(cx, a[0])?, a.len() == 1);
    let n = s.rows;
    let (left, right) = (letter(cx, "compute_left")? == 'V', letter(cx, "compute_right")? == 'V');
    let (t, z) = if real && n > 1 { split(cx, a[0], n)? } else { triangle(cx, &a, n)? };
    let w = eigenvalues(cx, &t, n)?;
    let vr = if right { vectors(cx, &t, &z, n, s.rank)? } else { z.clone() };
    let vl = match left {
        true => {
            // Left vectors are right ones of the adjoint: of T* turned about both diagonals, which is a triangle again.
            let turn = |cx: &mut Cx<'_, '_>, m: &[V], axes: Vec<usize>| {
                m.iter().map(|v| cx.emit(Op::Reverse { axes: axes.clone() }, &[*v])).collect::<R<Vec<V>>>()
            };
            let rank = s.rank;
            let back = adjoint(cx, &t)?;
            let about = turn(cx, &back, vec![rank - 2, rank - 1])?;
            let z = turn(cx, &z, vec![rank - 1])?;
            let v = vectors(cx, &about, &z, n, rank)?;
            turn(cx, &v, vec![rank - 1])?
        }
        false => z,
    };
    let mut out = match real {
        true => w.iter().map(|v| Ok(Val::Plain(cx.cast(*v, own)?))).collect::<R<Vec<Val>>>()?,
        false => vec![val(cx, &w, own)?],
    };
    out.push(val(cx, &vl, own)?);
    out.push(val(cx, &vr, own)?);
    let at = out.len();
    out.push(fine(cx, at)?);
    Ok(out)
}

/// The vectors of a triangle by going back from the diagonal, all at once, turned by `z` and made of length one.
fn vectors(cx: &mut Cx<'_, '_>, t: &[V], z: &[V], n: usize, rank: usize) -> R<Vec<V>> {
    let x = identity(cx, t, n, n)?;
    let state = [x, t.to_vec()].concat();
    let done = match n {
        0 | 1 => state,
        _ => iterate(cx, n - 1, &state, |cx, step, state| {
            let (i, col) = (counted(cx, n, true), counted(cx, n, false));
            let k = (n - 2) as f64 - value(step);
            let (x, t) = (Z::from(&state[..2]), Z::from(&state[2..4]));
            let row = t.chosen(cx, &i.eq(&k), rank, 0)?;
            let own = row.chosen(cx, &col.eq(&k), rank, 1)?;
            // Elements of the row right of the diagonal against the rows that are done.
            let coefficients = row.within(&col.gt(&k)).emit(cx)?;
            let sums = product(cx, &coefficients, &state[..2])?;
            let roots = t.chosen(cx, &i.eq(&col), rank, 0)?;
            let gap = own.minus(&roots);
            // Equal eigenvalues: a small gap instead of none.
            let size = total(cx, &t.norm(), rank, 0)?;
            let size = (total(cx, &size, rank, 1)?.sqrt() * NOTHING).max(f64::MIN_POSITIVE);
            let none = gap.norm().lt(size.square()).or(gap.norm().eq(0.0));
            let gap = Z { re: none.pick(&size, &gap.re), im: gap.im.as_ref().map(|g| none.pick(0.0, g)) };
            let found = Z::from(&sums).over(&gap);
            let found = Z { re: -&found.re, im: found.im.as_ref().map(|f| -f) }.within(&col.gt(&k));
            let unless = Z::unless(&i.eq(&k).and(col.gt(&k)), &found, &x).emit(cx)?;
            Ok([unless, state[2..].to_vec()].concat())
        })?,
    };
    let v = product(cx, z, &done[..2])?;
    let v = Z::from(&v);
    let length = total(cx, &v.norm(), rank, 0)?.sqrt();
    v.scaled(&(1.0 / length)).emit(cx)
}
