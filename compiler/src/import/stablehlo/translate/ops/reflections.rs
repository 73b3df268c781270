//! Factorisations by the reflections of Householder, of real and of complex matrices: `geqrf`, `geqp3`, `orgqr`, `ungqr`,
//! `ormqr`, `unmqr`, `gehrd`, `sytrd`, `hetrd`. A reflection is `1 - tau v v*` with `v` one at its first row; `v` stands below the diagonal.

use beiming_ir::ops::Op;
use beiming_ir::types::{DType, Dim};

use super::super::cx::Cx;
use super::super::math::{Ex, emit, value};
use super::super::value::{Val, flatten};
use super::lapack::{chosen, counted, fine, iterate, letter, put, size, told, vector};
use super::numbers::{Z, adjoint, diagonal, identity, val};
use crate::import::build::Build;
use crate::import::fail::{R, bad_arguments, bad_attribute};
use crate::import::frame::V;

/// The reflection that leaves of a column only its element in row `first`: that element (a real number), `tau` and `v`.
struct Reflection {
    beta: Ex,
    tau: Z,
    v: Z,
}

fn reflection(cx: &mut Cx<'_, '_>, column: &Z, i: &Ex, first: &Ex, rank: usize) -> R<Reflection> {
    let alpha = column.chosen(cx, &i.eq(first), rank, 0)?;
    let below = chosen(cx, &i.gt(first), &column.norm(), rank, 0)?;
    let flat = match &alpha.im {
        None => below.eq(0.0),
        Some(im) => below.eq(0.0).and(im.eq(0.0)),
    };
    let norm = (alpha.norm() + below).sqrt();
    let beta = flat.pick(&alpha.re, alpha.re.lt(0.0).pick(&norm, -&norm));
    let divisor = flat.pick(1.0, &beta);
    let tau = Z { re: (&beta - &alpha.re) / &divisor, im: alpha.im.as_ref().map(|a| -(a / &divisor)) };
    let tau = tau.within(&flat.not());
    // Where nothing is reflected the quotient does not matter.
    let pivot = Z { re: flat.pick(1.0, &alpha.re - &beta), im: alpha.im.as_ref().map(|a| flat.pick(0.0, a)) };
    let tail = column.over(&pivot).within(&flat.not());
    let one = i.eq(first);
    let v = tail.within(&i.gt(first));
    Ok(Reflection { beta, tau, v: Z { re: one.pick(1.0, v.re), im: v.im } })
}

/// `A` from the left by the adjoint of a reflection, in columns where `mask` holds.
fn from_left(cx: &mut Cx<'_, '_>, a: &Z, h: &Reflection, mask: &Ex, rank: usize) -> R<Z> {
    let w = h.v.conj().times(a).total(cx, rank, 0)?.within(mask);
    Ok(a.minus(&h.tau.conj().times(&h.v).times(&w)))
}

/// Places of numbers of `tau` in the state of a loop.
fn put_all(cx: &mut Cx<'_, '_>, taus: &[V], step: V, tau: &Z, k: usize) -> R<Vec<V>> {
    let parts: Vec<Ex> = std::iter::once(tau.re.clone()).chain(tau.im.clone()).collect();
    taus.iter().zip(parts).map(|(into, x)| put(cx, *into, step, &x, k)).collect()
}

fn empty(cx: &mut Cx<'_, '_>, a: &[V], k: usize) -> R<Vec<V>> {
    let (rank, dtype) = (cx.rank(a[0]), cx.dtype(a[0]));
    a.iter().map(|v| vector(cx, *v, rank, k, dtype)).collect()
}

/// `geqrf`: column by column.
pub fn geqrf(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let a = flatten(&[cx.val(0)?]);
    let (own, s) = (cx.dtype(a[0]), size(cx, a[0])?);
    let (q, taus) = upper(cx, &a, s.rows, s.columns)?;
    Ok(vec![val(cx, &q, own)?, val(cx, &taus, own)?])
}

/// The reflections that make a matrix upper triangular, below that triangle, and their `tau`.
pub fn upper(cx: &mut Cx<'_, '_>, a: &[V], rows: usize, columns: usize) -> R<(Vec<V>, Vec<V>)> {
    let (rank, planes, k) = (cx.rank(a[0]), a.len(), rows.min(columns));
    let taus = empty(cx, a, k)?;
    if k == 0 {
        return Ok((a.to_vec(), taus));
    }
    let done = iterate(cx, k, &[a, &taus].concat(), |cx, step, state| {
        let (i, c, j) = (counted(cx, rows, true), counted(cx, columns, false), value(step));
        let (a, taus) = state.split_at(planes);
        let a = Z::from(a);
        let column = a.chosen(cx, &c.eq(&j), rank, 1)?;
        reflected(cx, &a, &column, (&i, &c, &j), taus, step, k)
    })?;
    Ok((done[..planes].to_vec(), done[planes..].to_vec()))
}

/// The next state of a triangular factorisation at column `j`.
fn reflected(cx: &mut Cx<'_, '_>, a: &Z, column: &Z, (i, c, j): (&Ex, &Ex, &Ex), taus: &[V], step: V, k: usize) -> R<Vec<V>> {
    let rank = cx.rank(taus[0]) + 1;
    let h = reflection(cx, column, i, j, rank)?;
    let next = from_left(cx, a, &h, &c.gt(j), rank)?;
    let kept = Z::unless(&i.eq(j), &Z::real(h.beta.clone()), &Z::unless(&i.gt(j), &h.v, a));
    let mut out = Z::unless(&c.eq(j), &kept, &next).emit(cx)?;
    out.extend(put_all(cx, taus, step, &h.tau, k)?);
    Ok(out)
}

/// `geqp3`: before each reflection the longest column that is left comes first. The second argument is the order so far, of
/// which JAX fixes none.
pub fn geqp3(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let a = flatten(&[cx.val(0)?]);
    let (own, s) = (cx.dtype(a[0]), size(cx, a[0])?);
    let (rank, rows, columns, planes) = (s.rank, s.rows, s.columns, a.len());
    let k = rows.min(columns);
    let to = cx.result_dtype(1)?;
    let order = vector(cx, a[0], rank, columns, to)?;
    let numbers = counted(cx, columns, false) + 1.0;
    let numbers = emit(cx, &[&numbers])?[0];
    let numbers = cx.reshape(numbers, vec![columns.into()])?;
    let numbers = cx.cast(numbers, to)?;
    let order = cx.broadcast(numbers, cx.shape(order))?;
    let mut wide = cx.shape(order);
    wide.insert(rank - 2, 1.into());
    let order = cx.reshape(order, wide)?;
    let taus = empty(cx, &a, k)?;
    let done = if k == 0 {
        [a, vec![order], taus].concat()
    } else {
        iterate(cx, k, &[a, vec![order], taus].concat(), |cx, step, state| {
            let (i, c, j) = (counted(cx, rows, true), counted(cx, columns, false), value(step));
            let (a, order, taus) = (Z::from(&state[..planes]), value(state[planes]), &state[planes + 1..]);
            let lengths = chosen(cx, &i.ge(&j), &a.norm(), rank, 0)?;
            let rest = emit(cx, &[&c.ge(&j).pick(lengths, -1.0)])?[0];
            let p = value(cx.emit(Op::ArgReduce { max: true, axis: rank - 1, keep: true, last: false }, &[rest])?);
            let (at_j, at_p) = (c.eq(&j), c.eq(&p));
            let (mine, best) = (a.chosen(cx, &at_j, rank, 1)?, a.chosen(cx, &at_p, rank, 1)?);
            let a = Z::unless(&at_j, &best, &Z::unless(&at_p, &mine, &a));
            let pick = |mask: &Ex| emit_like(mask, &order);
            let (mine, first) = (pick(&at_j), pick(&at_p));
            let (mine, first) = (super::lapack::total(cx, &mine, rank, 1)?, super::lapack::total(cx, &first, rank, 1)?);
            let order = emit(cx, &[&at_j.pick(first, at_p.pick(mine, &order))])?[0];
            let mut next = reflected(cx, &a, &best, (&i, &c, &j), taus, step, k)?;
            next.insert(planes, order);
            Ok(next)
        })?
    };
    let flat = [cx.shape(done[0])[..rank - 2].to_vec(), vec![Dim::from(columns)]].concat();
    let order = cx.reshape(done[planes], flat)?;
    Ok(vec![val(cx, &done[..planes], own)?, Val::Plain(order), val(cx, &done[planes + 1..], own)?])
}

/// Numbers where a mask holds.
fn emit_like(mask: &Ex, numbers: &Ex) -> Ex {
    mask.pick(numbers, 0.0)
}

/// `orgqr`, `ungqr`: the first columns of the product of the reflections, from the last to the first.
pub fn orgqr(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (a, taus) = (flatten(&[cx.val(0)?]), flatten(&[cx.val(1)?]));
    let own = cx.dtype(a[0]);
    let s = size(cx, a[0])?;
    let q = columns(cx, &a, &taus, s.rows, s.columns, s.columns)?;
    Ok(vec![val(cx, &q, own)?])
}

/// `wanted` columns of the product of the reflections below the diagonal of `[rows, given]`.
pub fn columns(cx: &mut Cx<'_, '_>, a: &[V], taus: &[V], rows: usize, given: usize, wanted: usize) -> R<Vec<V>> {
    let eye = identity(cx, a, rows, wanted)?;
    applied(cx, a, taus, eye, (rows, given), false)
}

/// The product of the reflections below the diagonal of `[rows, given]`, or its adjoint, times `c`: from the last to the first, or
/// the other way.
fn applied(cx: &mut Cx<'_, '_>, a: &[V], taus: &[V], c: Vec<V>, (rows, given): (usize, usize), adjoint: bool) -> R<Vec<V>> {
    let (rank, planes) = (cx.rank(a[0]), a.len());
    let k = cx.extent(taus[0], cx.rank(taus[0]) - 1, "the number of reflections")?;
    let width = cx.extent(c[0], rank - 1, "the number of columns")?;
    if k == 0 || width == 0 || rows == 0 {
        return Ok(c);
    }
    let mut flat = cx.shape(taus[0]);
    flat.insert(rank - 2, 1.into());
    let taus = taus.iter().map(|t| cx.reshape(*t, flat.clone())).collect::<R<Vec<V>>>()?;
    let done = iterate(cx, k, &[c, a.to_vec(), taus].concat(), |cx, step, state| {
        let (i, c) = (counted(cx, rows, true), counted(cx, given, false));
        let places = counted(cx, k, false);
        let j = if adjoint { value(step) } else { (k - 1) as f64 - value(step) };
        let (q, a, taus) = (Z::from(&state[..planes]), Z::from(&state[planes..2 * planes]), Z::from(&state[2 * planes..]));
        let column = a.chosen(cx, &c.eq(&j), rank, 1)?.within(&i.gt(&j));
        let tau = taus.chosen(cx, &places.eq(&j), rank, 1)?;
        let tau = if adjoint { tau.conj() } else { tau };
        let v = Z { re: i.eq(&j).pick(1.0, column.re), im: column.im };
        let w = v.conj().times(&q).total(cx, rank, 0)?;
        let next = q.minus(&tau.times(&v).times(&w));
        Ok([next.emit(cx)?, state[planes..].to_vec()].concat())
    })?;
    Ok(done[..planes].to_vec())
}

/// `ormqr`, `unmqr`: a matrix times the product of the reflections or its adjoint, from either side.
pub fn ormqr(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let [a, taus, c] = [0, 1, 2].map(|i| cx.val(i).map(|v| flatten(&[v])));
    let (a, taus, c) = (a?, taus?, c?);
    let (own, s) = (cx.dtype(a[0]), size(cx, a[0])?);
    let (left, transposed) = (told(cx, "left")?, told(cx, "transpose")?);
    // C Q is the adjoint of Q* C*.
    let c = if left { c } else { adjoint(cx, &c)? };
    let rows = cx.extent(c[0], s.rank - 2, "the length of what is reflected")?;
    if c.len() != a.len() || taus.len() != a.len() || cx.rank(c[0]) != s.rank || rows != s.rows {
        return bad_arguments("it takes reflections and a matrix of their length, of one kind");
    }
    let q = applied(cx, &a, &taus, c, (s.rows, s.columns), transposed == left)?;
    let q = if left { q } else { adjoint(cx, &q)? };
    Ok(vec![val(cx, &q, own)?])
}

/// What similarity by reflections makes of a square matrix: zeros below the first subdiagonal, where the reflections stand, and
/// their `tau`.
pub fn hessenberg(cx: &mut Cx<'_, '_>, a: &[V], n: usize) -> R<(Vec<V>, Vec<V>)> {
    let (rank, planes, k) = (cx.rank(a[0]), a.len(), n.saturating_sub(1));
    let taus = empty(cx, a, k)?;
    if k == 0 {
        return Ok((a.to_vec(), taus));
    }
    let done = iterate(cx, k, &[a, &taus].concat(), |cx, step, state| {
        let (i, c, j) = (counted(cx, n, true), counted(cx, n, false), value(step));
        let first = &j + 1.0;
        let (a, taus) = state.split_at(planes);
        let a = Z::from(a);
        let column = a.chosen(cx, &c.eq(&j), rank, 1)?;
        let h = reflection(cx, &column, &i, &first, rank)?;
        let row = h.v.turned(cx, rank)?;
        // Reflections so far stand in earlier columns, which the right side does not meet.
        let w = a.times(&row).total(cx, rank, 1)?;
        let right = a.minus(&h.tau.times(&w).times(&row.conj()));
        let both = from_left(cx, &right, &h, &c.gt(&j), rank)?;
        let kept = Z::unless(&i.eq(&first), &Z::real(h.beta.clone()), &Z::unless(&i.gt(&first), &h.v, &a));
        let mut out = Z::unless(&c.eq(&j), &kept, &Z::unless(&c.gt(&j), &both, &a)).emit(cx)?;
        out.extend(put_all(cx, taus, step, &h.tau, k)?);
        Ok(out)
    })?;
    Ok((done[..planes].to_vec(), done[planes..].to_vec()))
}

/// `gehrd` of a whole matrix.
pub fn gehrd(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let a = flatten(&[cx.val(0)?]);
    let (own, s) = (cx.dtype(a[0]), size(cx, a[0])?);
    let (h, taus) = hessenberg(cx, &a, s.rows)?;
    Ok(vec![val(cx, &h, own)?, val(cx, &taus, own)?, fine(cx, 2)?])
}

/// The matrix of which one triangle is given, whole: the other one is its adjoint.
pub fn hermitian(cx: &mut Cx<'_, '_>, a: &[V], n: usize, lower: bool) -> R<Vec<V>> {
    let rank = cx.rank(a[0]);
    let (i, c) = (counted(cx, n, true), counted(cx, n, false));
    let own = Z::from(a);
    let mirror = own.conj().turned(cx, rank)?;
    let inside = if lower { i.gt(&c) } else { i.lt(&c) };
    let mut whole = Z::unless(&inside, &own, &mirror);
    whole.re = i.eq(&c).pick(&own.re, whole.re);
    whole.im = whole.im.map(|im| i.eq(&c).pick(0.0, im));
    whole.emit(cx)
}

/// The tensor with the order of its last `count` axes reversed.
fn turned(cx: &mut Cx<'_, '_>, x: &[V], count: usize) -> R<Vec<V>> {
    x.iter()
        .map(|v| {
            let rank = cx.rank(*v);
            cx.emit(Op::Reverse { axes: (rank - count..rank).collect() }, &[*v])
        })
        .collect()
}

/// `sytrd`, `hetrd`. LAPACK reduces an upper triangle from its last column on, so it is the lower one with rows and columns in
/// reverse order, and so are all results.
pub fn sytrd(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let a = flatten(&[cx.val(0)?]);
    let (own, s) = (cx.dtype(a[0]), size(cx, a[0])?);
    let n = s.rows;
    let upper = match letter(cx, "uplo")? {
        'L' => false,
        'U' => true,
        other => return bad_attribute(format!("`uplo` is `{other}`, not U or L")),
    };
    let first = if upper { turned(cx, &a, 2)? } else { a.clone() };
    let whole = hermitian(cx, &first, n, true)?;
    let (h, taus) = hessenberg(cx, &whole, n)?;
    let (d, e) = (diagonal(cx, h[0], n, 0)?, diagonal(cx, h[0], n.saturating_sub(1), 1)?);
    let (i, c) = (counted(cx, n, true), counted(cx, n, false));
    let mut kept = Z::unless(&i.ge(&c), &Z::from(&h), &Z::from(&first)).emit(cx)?;
    let (mut lists, mut taus) = (vec![d, e], taus);
    if upper {
        kept = turned(cx, &kept, 2)?;
        lists = turned(cx, &lists, 1)?;
        taus = turned(cx, &taus, 1)?;
    }
    let dtype: DType = own;
    Ok(vec![val(cx, &kept, dtype)?, Val::Plain(lists[0]), Val::Plain(lists[1]), val(cx, &taus, dtype)?, fine(cx, 4)?])
}
