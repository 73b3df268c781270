//! The LAPACK calls that JAX writes for a CPU, by what they compute: factorisations and decompositions of batches of matrices,
//! as loops of the graph. Names are `lapack_<type><routine>_ffi`.
//!
//! Eigenvalues and singular values come from rotations of Jacobi, half as many pairs at once as there are columns, in `f64`.
//! Not here: complex matrices but for `potrf` and `trsm`, general eigenvalues (`geev`), Hessenberg and Schur forms.

use beiming_ir::ops::{BinaryOp, Loop, Op, ReduceOp, TopK};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim, TensorType};

use super::super::cx::Cx;
use super::super::math::{Ex, emit, number, value};
use super::super::value::Val;
use super::Convert;
use super::linalg::{self, M, System};
use crate::import::build::Build;
use crate::import::fail::{R, bad_arguments, bad_attribute, unsupported};
use crate::import::frame::V;
use crate::import::stablehlo::syntax::Attr;

/// The converter of a call, by its target.
pub fn target(name: &str) -> Option<Convert> {
    let routine = name.strip_prefix("lapack_")?.trim_end_matches("_ffi");
    Some(match routine.get(1..)? {
        "potrf" => potrf,
        "trsm" => trsm,
        "getrf" => getrf,
        "geqrf" => geqrf,
        "orgqr" => orgqr,
        "syevd" => syevd,
        "gesdd" => gesdd,
        _ => return None,
    })
}

/// A letter among the call's own attributes.
fn letter(cx: &Cx<'_, '_>, name: &str) -> R<char> {
    let config = match cx.attr("mhlo.backend_config").or_else(|| cx.attr("backend_config")) {
        Some(Attr::Dict(d)) => d,
        _ => return bad_attribute("attribute `mhlo.backend_config` is missing"),
    };
    match config.get(name) {
        Some(Attr::Int(v, _)) => Ok(u8::try_from(*v).map_or('?', char::from)),
        _ => bad_attribute(format!("`{name}` of `mhlo.backend_config` must be an integer")),
    }
}

/// The status of a call that cannot fail: zeros of the result's type.
fn fine(cx: &mut Cx<'_, '_>, i: usize) -> R<Val> {
    let (dtype, shape) = (cx.result_dtype(i)?, cx.static_result(i)?);
    let zero = cx.scalar(dtype, 0.0);
    Ok(Val::Plain(cx.broadcast(zero, shape)?))
}

fn potrf(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let a = M::of(&cx.val(0)?)?;
    let lower = letter(cx, "uplo")? == 'L';
    let l = linalg::factor(cx, a, lower)?.val();
    let (Val::Plain(re) | Val::Complex(re, _)) = l else { return bad_arguments("it takes matrices") };
    // A matrix that is not positive leaves NaN.
    let rank = cx.rank(re);
    let bad = emit(cx, &[&value(re).is_nan()])?[0];
    let bad = cx.reduce(ReduceOp::Any, bad, vec![rank - 2, rank - 1], false)?;
    let to = cx.result_dtype(1)?;
    let info = cx.cast(bad, to)?;
    Ok(vec![l, Val::Plain(info)])
}

fn trsm(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (a, b) = (M::of(&cx.val(0)?)?, M::of(&cx.val(1)?)?);
    let transposed = match letter(cx, "trans_x")? {
        'N' => (false, false),
        'T' => (true, false),
        _ => (true, true),
    };
    let (left, lower) = (letter(cx, "side")? == 'L', letter(cx, "uplo")? == 'L');
    let s = System { left, lower, unit: letter(cx, "diag")? == 'U', transposed };
    Ok(vec![linalg::solve(cx, a, b, &s)?.val()])
}

/// Matrices under work: their number of axes, rows and columns.
struct Size {
    rank: usize,
    rows: usize,
    columns: usize,
}

fn size(cx: &Cx<'_, '_>, a: V) -> R<Size> {
    let rank = cx.rank(a);
    if rank < 2 {
        return bad_arguments("it takes matrices");
    }
    let rows = cx.extent(a, rank - 2, "the number of rows")?;
    Ok(Size { rank, rows, columns: cx.extent(a, rank - 1, "the number of columns")? })
}

/// `trips` rounds of `body` over a state: it gets the number of the round and the state, and gives the next state.
pub fn iterate(
    cx: &mut Cx<'_, '_>,
    trips: usize,
    state: &[V],
    body: impl FnOnce(&mut Cx<'_, '_>, V, &[V]) -> R<Vec<V>>,
) -> R<Vec<V>> {
    let own = state.iter().map(|v| cx.ty(*v).clone());
    let types: Vec<TensorType> =
        [TensorType::scalar(DType::I64), TensorType::scalar(DType::Bool)].into_iter().chain(own).collect();
    let (op, function, loc) = (cx.op, cx.function, cx.loc.clone());
    let region = cx.walk.region("body", &types, |walk, formals| {
        let mut inner = Cx { walk, op, function, args: vec![], loc };
        let next = body(&mut inner, formals[0], &formals[2..])?;
        Ok(std::iter::once(formals[1]).chain(next).collect())
    })?;
    let trips = Dim::from(trips);
    let (trip, go) = (cx.dim_scalar(trips.clone()), cx.scalar(DType::Bool, 1.0));
    let id = cx.frame().graph.add_region(region.frame.graph);
    let args: Vec<V> = [trip, go].into_iter().chain(state.iter().copied()).chain(region.captures).collect();
    cx.emit_all(Op::Loop(Loop { body: id, state: state.len(), trips }), &args)
}

/// `0, 1, ..` down the rows (`[n, 1]`) or along the columns (`[1, n]`).
pub fn counted(cx: &mut Cx<'_, '_>, n: usize, down: bool) -> Ex {
    let shape = if down { [n, 1] } else { [1, n] };
    value(cx.constant(Tensor::build(DType::I64, &shape, |i| Num::Int(i as i128))))
}

/// The sum along the rows' axis (0) or the columns' (1), which stays with extent one.
pub fn total(cx: &mut Cx<'_, '_>, e: &Ex, rank: usize, side: usize) -> R<Ex> {
    let v = emit(cx, &[e])?[0];
    Ok(value(cx.reduce(ReduceOp::Sum, v, vec![rank - 2 + side], true)?))
}

/// The elements of `x` where `mask` holds, one a row or column, the others left out of the sum.
pub fn chosen(cx: &mut Cx<'_, '_>, mask: &Ex, x: &Ex, rank: usize, side: usize) -> R<Ex> {
    total(cx, &mask.pick(x, 0.0), rank, side)
}

/// A vector beside the matrices' batch axes, of one kind of number.
fn vector(cx: &mut Cx<'_, '_>, like: V, rank: usize, n: usize, dtype: DType) -> R {
    let mut shape = cx.shape(like)[..rank - 2].to_vec();
    shape.push(Dim::from(n));
    let zero = cx.scalar(dtype, 0.0);
    cx.broadcast(zero, shape)
}

/// `[.., n]` with `at` of the n-th set to a number of `[.., 1, 1]`.
fn put(cx: &mut Cx<'_, '_>, into: V, j: V, x: &Ex, n: usize) -> R {
    let x = emit(cx, &[x])?[0];
    let mut shape = cx.shape(x);
    shape.pop();
    let x = cx.reshape(x, shape)?;
    let places = value(cx.constant(Tensor::build(DType::I64, &[n], |i| Num::Int(i as i128))));
    let e = places.eq(value(j)).pick(value(x), value(into));
    Ok(emit(cx, &[&e])?[0])
}

/// Factors with rows exchanged: column by column, the largest element of the rest of the column is the pivot.
fn getrf(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let a = cx.plain(0)?;
    let Size { rank, rows, columns } = size(cx, a)?;
    let k = rows.min(columns);
    let to = cx.result_dtype(1)?;
    let pivots = vector(cx, a, rank, k, to)?;
    if k == 0 {
        return Ok(vec![Val::Plain(a), Val::Plain(pivots), fine(cx, 2)?]);
    }
    let done = iterate(cx, k, &[a, pivots], |cx, step, state| {
        let (i, c, j) = (counted(cx, rows, true), counted(cx, columns, false), value(step));
        let a = value(state[0]);
        let column = chosen(cx, &c.eq(&j), &a, rank, 1)?;
        let rest = emit(cx, &[&i.ge(&j).pick(column.abs(), -1.0)])?[0];
        let p = cx.emit(Op::ArgReduce { max: true, axis: rank - 2, keep: true, last: false }, &[rest])?;
        let p = value(p);
        let (at_j, at_p) = (i.eq(&j), i.eq(&p));
        let (row_j, row_p) = (chosen(cx, &at_j, &a, rank, 0)?, chosen(cx, &at_p, &a, rank, 0)?);
        let (first, pivot) = (chosen(cx, &at_j, &column, rank, 0)?, chosen(cx, &at_p, &column, rank, 0)?);
        let swapped = at_j.pick(&row_p, at_p.pick(&row_j, &a));
        let column = at_j.pick(&pivot, at_p.pick(&first, &column));
        let l = i.gt(&j).and(pivot.ne(0.0)).pick(&column / &pivot, 0.0);
        let next = swapped - &l * c.gt(&j).pick(&row_p, 0.0);
        let next = c.eq(&j).and(i.gt(&j)).pick(&l, next);
        let next = emit(cx, &[&next])?[0];
        let number = (p + 1.0).cast(to);
        Ok(vec![next, put(cx, state[1], step, &number, k)?])
    })?;
    Ok(vec![Val::Plain(done[0]), Val::Plain(done[1]), fine(cx, 2)?])
}

/// Reflections of Householder, column by column; the reflectors stand below the triangle.
fn geqrf(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let a = cx.plain(0)?;
    let Size { rank, rows, columns } = size(cx, a)?;
    let k = rows.min(columns);
    let own = cx.dtype(a);
    let taus = vector(cx, a, rank, k, own)?;
    if k == 0 {
        return Ok(vec![Val::Plain(a), Val::Plain(taus)]);
    }
    let done = iterate(cx, k, &[a, taus], |cx, step, state| {
        let (i, c, j) = (counted(cx, rows, true), counted(cx, columns, false), value(step));
        let a = value(state[0]);
        let column = chosen(cx, &c.eq(&j), &a, rank, 1)?;
        let alpha = chosen(cx, &i.eq(&j), &column, rank, 0)?;
        let below = chosen(cx, &i.gt(&j), &column.square(), rank, 0)?;
        let norm = (alpha.square() + &below).sqrt();
        let flat = below.eq(0.0);
        let beta = flat.pick(&alpha, alpha.lt(0.0).pick(&norm, -&norm));
        let tau = flat.pick(0.0, (&beta - &alpha) / &beta);
        let tail = flat.pick(0.0, &column / (&alpha - &beta));
        let v = i.eq(&j).pick(1.0, i.gt(&j).pick(&tail, 0.0));
        let w = total(cx, &(&v * &a), rank, 0)?;
        let next = &a - (&tau * &v) * c.gt(&j).pick(&w, 0.0);
        let kept = i.eq(&j).pick(&beta, i.gt(&j).pick(&v, &a));
        let next = emit(cx, &[&c.eq(&j).pick(kept, next)])?[0];
        Ok(vec![next, put(cx, state[1], step, &tau, k)?])
    })?;
    Ok(vec![Val::Plain(done[0]), Val::Plain(done[1])])
}

/// The first columns of the product of the reflections, from the last to the first.
fn orgqr(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (a, taus) = (cx.plain(0)?, cx.plain(1)?);
    let Size { rank, rows, columns } = size(cx, a)?;
    let k = cx.extent(taus, cx.rank(taus) - 1, "the number of reflections")?;
    let own = cx.dtype(a);
    let eye = Tensor::build(own, &[rows, columns], |i| Num::Float(f64::from(i / columns.max(1) == i % columns.max(1))));
    let eye = cx.constant(eye);
    let eye = cx.broadcast(eye, cx.shape(a))?;
    if k == 0 || columns == 0 {
        return Ok(vec![Val::Plain(eye)]);
    }
    let mut flat = cx.shape(taus);
    flat.insert(rank - 2, 1.into());
    let taus = cx.reshape(taus, flat)?;
    let done = iterate(cx, k, &[eye, a, taus], |cx, step, state| {
        let (i, c) = (counted(cx, rows, true), counted(cx, columns, false));
        let places = counted(cx, k, false);
        let j = (k - 1) as f64 - value(step);
        let (q, a) = (value(state[0]), value(state[1]));
        let column = chosen(cx, &c.eq(&j), &a, rank, 1)?;
        let tau = chosen(cx, &places.eq(&j), &value(state[2]), rank, 1)?;
        let v = i.eq(&j).pick(1.0, i.gt(&j).pick(&column, 0.0));
        let w = total(cx, &(&v * &q), rank, 0)?;
        let q = &q - (tau * v) * w;
        Ok(vec![emit(cx, &[&q])?[0], state[1], state[2]])
    })?;
    Ok(vec![Val::Plain(done[0])])
}

/// Partners of each column in each round of a tournament: every pair meets once. With an odd number one column rests.
fn tournament(n: usize) -> (usize, Vec<usize>) {
    let m = n + n % 2;
    let rounds = m - 1;
    let mut table = vec![0; rounds * n];
    for r in 0..rounds {
        for i in 0..n {
            let partner = if i == m - 1 {
                // The one that stays meets whoever would meet itself.
                (0..m - 1).find(|x| (2 * x) % (m - 1) == r).unwrap_or(i)
            } else {
                let p = (r + (m - 1) - i) % (m - 1);
                if p == i { m - 1 } else { p }
            };
            table[r * n + i] = if partner < n { partner } else { i };
        }
    }
    (rounds, table)
}

/// The rotations of one round that make the partners' elements of a symmetric matrix vanish: `[.., n, n]`.
fn rotations(cx: &mut Cx<'_, '_>, g: V, n: usize, rank: usize, step: V) -> R {
    let (rounds, partners) = tournament(n);
    let table = cx.constant(Tensor::build(DType::I64, &[rounds, n], |i| Num::Int(partners[i] as i128)));
    let round = cx.with(BinaryOp::Rem, step, rounds as f64)?;
    let q = cx.emit(Op::Gather { axis: 0 }, &[table, round])?;
    let q = value(cx.reshape(q, vec![Dim::from(n), 1.into()])?);
    let (i, c, g) = (counted(cx, n, true), counted(cx, n, false), value(g));
    let (own, other) = (i.eq(&c), q.eq(&c));
    let mine = chosen(cx, &own, &g, rank, 1)?;
    let across = chosen(cx, &own, &g, rank, 0)?;
    let theirs = chosen(cx, &other, &across, rank, 1)?;
    let shared = chosen(cx, &other, &g, rank, 1)?;
    let none = shared.eq(0.0).or(q.eq(&i));
    let tau = (theirs - mine) / (none.pick(1.0, shared) * 2.0);
    let side = tau.eq(0.0).pick(i.lt(&q).pick(1.0, number(-1.0)), tau.sign());
    let t = none.pick(0.0, side / (tau.abs() + (tau.square() + 1.0).sqrt()));
    let cos = 1.0 / (t.square() + 1.0).sqrt();
    let sin = &t * &cos;
    let j = own.pick(cos, other.pick(sin, 0.0));
    Ok(emit(cx, &[&j])?[0])
}

fn sweeps(n: usize) -> usize {
    8 + n.ilog2() as usize
}

fn product(cx: &mut Cx<'_, '_>, a: V, b: V) -> R {
    cx.emit(Op::MatMul { out: DType::F64 }, &[a, b])
}

pub fn flipped(cx: &mut Cx<'_, '_>, a: V, rank: usize) -> R {
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(rank - 2, rank - 1);
    cx.transpose(a, perm)
}

/// The columns of a matrix in another order.
fn columns_at(cx: &mut Cx<'_, '_>, a: V, order: V, rank: usize) -> R {
    let mut shape = cx.shape(order);
    shape.insert(rank - 2, 1.into());
    let order = cx.reshape(order, shape)?;
    let order = cx.broadcast(order, cx.shape(a))?;
    cx.emit(Op::GatherElements { axis: rank - 1 }, &[a, order])
}

fn eye(cx: &mut Cx<'_, '_>, like: V, n: usize, rank: usize) -> R {
    let t = Tensor::build(DType::F64, &[n, n], |i| Num::Float(f64::from(i / n == i % n)));
    let t = cx.constant(t);
    let mut shape = cx.shape(like)[..rank - 2].to_vec();
    shape.extend([Dim::from(n), Dim::from(n)]);
    cx.broadcast(t, shape)
}

/// Eigenvalues of a symmetric matrix in ascending order, and its eigenvectors as columns.
fn syevd(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let a = cx.plain(0)?;
    let Size { rank, rows: n, .. } = size(cx, a)?;
    let own = cx.dtype(a);
    if n == 0 {
        let w = vector(cx, a, rank, 0, own)?;
        return Ok(vec![Val::Plain(a), Val::Plain(w), fine(cx, 2)?]);
    }
    let wide = cx.cast(a, DType::F64)?;
    let mirror = flipped(cx, wide, rank)?;
    let (i, c) = (counted(cx, n, true), counted(cx, n, false));
    let inside = if letter(cx, "uplo")? == 'L' { i.ge(&c) } else { i.le(&c) };
    let symmetric = emit(cx, &[&inside.pick(value(wide), value(mirror))])?[0];
    let vectors = eye(cx, a, n, rank)?;
    let rounds = if n == 1 { 0 } else { tournament(n).0 * sweeps(n) };
    let done = if rounds == 0 {
        vec![symmetric, vectors]
    } else {
        iterate(cx, rounds, &[symmetric, vectors], |cx, step, state| {
            let j = rotations(cx, state[0], n, rank, step)?;
            let back = flipped(cx, j, rank)?;
            let right = product(cx, state[0], j)?;
            Ok(vec![product(cx, back, right)?, product(cx, state[1], j)?])
        })?
    };
    let (i, c) = (counted(cx, n, true), counted(cx, n, false));
    let w = emit(cx, &[&i.eq(&c).pick(value(done[0]), 0.0)])?[0];
    let w = cx.reduce(ReduceOp::Sum, w, vec![rank - 1], false)?;
    let sorted = cx.emit_all(Op::TopK(TopK { k: Dim::from(n), axis: rank - 2, largest: false }), &[w])?;
    let vectors = columns_at(cx, done[1], sorted[1], rank)?;
    let (vectors, w) = (cx.cast(vectors, own)?, cx.cast(sorted[0], own)?);
    Ok(vec![Val::Plain(vectors), Val::Plain(w), fine(cx, 2)?])
}

/// Singular values in descending order and both sides' vectors, by rotations of the columns until they are orthogonal.
/// The vectors of vanishing singular values are zero.
fn gesdd(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let a = cx.plain(0)?;
    let Size { rank, rows, columns } = size(cx, a)?;
    let own = cx.dtype(a);
    let full = letter(cx, "mode")? == 'A';
    if rows == 0 || columns == 0 || full && rows != columns {
        return unsupported(format!("all singular vectors of {rows} x {columns} matrices; ask for full_matrices=False"));
    }
    let wide = cx.cast(a, DType::F64)?;
    let tall = rows >= columns;
    let b = if tall { wide } else { flipped(cx, wide, rank)? };
    let n = rows.min(columns);
    let v = eye(cx, a, n, rank)?;
    let rounds = if n == 1 { 0 } else { tournament(n).0 * sweeps(n) };
    let done = if rounds == 0 {
        vec![b, v]
    } else {
        iterate(cx, rounds, &[b, v], |cx, step, state| {
            let back = flipped(cx, state[0], rank)?;
            let gram = product(cx, back, state[0])?;
            let j = rotations(cx, gram, n, rank, step)?;
            Ok(vec![product(cx, state[0], j)?, product(cx, state[1], j)?])
        })?
    };
    let b = value(done[0]);
    let lengths = total(cx, &b.square(), rank, 0)?.sqrt();
    let left = lengths.eq(0.0).pick(0.0, &b / &lengths);
    let v = emit(cx, &[&lengths, &left])?;
    let shape = [cx.shape(a)[..rank - 2].to_vec(), vec![Dim::from(n)]].concat();
    let lengths = cx.reshape(v[0], shape)?;
    let sorted = cx.emit_all(Op::TopK(TopK { k: Dim::from(n), axis: rank - 2, largest: true }), &[lengths])?;
    let left = columns_at(cx, v[1], sorted[1], rank)?;
    let right = columns_at(cx, done[1], sorted[1], rank)?;
    let (u, v) = if tall { (left, right) } else { (right, left) };
    let vt = flipped(cx, v, rank)?;
    let parts = [sorted[0], u, vt].map(|x| cx.cast(x, own));
    let [s, u, vt] = parts;
    Ok(vec![Val::Plain(a), Val::Plain(s?), Val::Plain(u?), Val::Plain(vt?), fine(cx, 4)?])
}

#[cfg(test)]
mod tests {
    use super::tournament;

    #[test]
    fn every_pair_meets_once() {
        for n in 2..12 {
            let (rounds, table) = tournament(n);
            let mut met = vec![0; n * n];
            for r in 0..rounds {
                for i in 0..n {
                    let p = table[r * n + i];
                    assert_eq!(table[r * n + p], i, "{n} columns, round {r}");
                    met[i * n + p] += usize::from(p != i);
                }
            }
            assert!((0..n * n).all(|k| met[k] == usize::from(k / n != k % n)), "{n} columns");
        }
    }
}
