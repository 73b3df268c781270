//! The LAPACK calls that JAX writes for a CPU, by what they compute: factorisations and decompositions of batches of matrices,
//! as loops of the graph. Names are `lapack_<type><routine>_ffi`, but for one of JAX's own.
//!
//! Eigenvalues of Hermitian matrices and singular values come from rotations of Jacobi, half as many pairs at once as there are
//! columns, in `f64`. Reflections, tridiagonal systems and general eigenvalues have files of their own.

use beiming_ir::ops::{BinaryOp, Loop, Op, ReduceOp, TopK};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim, TensorType};

use super::super::cx::Cx;
use super::super::math::{Ex, emit, number, value};
use super::super::value::{Val, flatten};
use super::linalg::{self, M, System};
use super::numbers::{self, Z, val};
use super::parts::along;
use super::{Convert, reflections, schur, tridiagonal};
use crate::import::build::Build;
use crate::import::fail::{R, bad_arguments, bad_attribute, unsupported};
use crate::import::frame::V;
use crate::import::stablehlo::syntax::{Attr, Element};

/// The converter of a call, by its target.
pub fn target(name: &str) -> Option<Convert> {
    if name == "tridiagonal_solve_perturbed_ffi" {
        return Some(tridiagonal::perturbed);
    }
    let routine = name.strip_prefix("lapack_")?.trim_end_matches("_ffi");
    Some(match routine.get(1..)? {
        "potrf" => potrf,
        "trsm" => trsm,
        "getrf" => getrf,
        "gtsv" => tridiagonal::gtsv,
        "geqrf" => reflections::geqrf,
        "geqp3" => reflections::geqp3,
        "orgqr" | "ungqr" => reflections::orgqr,
        "ormqr" | "unmqr" => reflections::ormqr,
        "gehrd" => reflections::gehrd,
        "sytrd" | "hetrd" => reflections::sytrd,
        "syevd" | "heevd" => syevd,
        "gesdd" | "gesvd" => gesdd,
        "geev" => schur::geev,
        "gees" => schur::gees,
        _ => return None,
    })
}

/// One of the call's own attributes.
fn own<'m>(cx: &Cx<'_, 'm>, name: &str) -> R<Option<&'m Attr>> {
    match cx.attr("mhlo.backend_config").or_else(|| cx.attr("backend_config")) {
        Some(Attr::Dict(d)) => Ok(d.get(name)),
        _ => bad_attribute("attribute `mhlo.backend_config` is missing"),
    }
}

/// A letter among the call's own attributes.
pub fn letter(cx: &Cx<'_, '_>, name: &str) -> R<char> {
    match own(cx, name)? {
        Some(Attr::Int(v, _)) => Ok(u8::try_from(*v).map_or('?', char::from)),
        _ => bad_attribute(format!("`{name}` of `mhlo.backend_config` must be an integer")),
    }
}

/// What is true or false among the call's own attributes.
pub fn told(cx: &Cx<'_, '_>, name: &str) -> R<bool> {
    match own(cx, name)? {
        Some(Attr::Bool(b)) => Ok(*b),
        _ => bad_attribute(format!("`{name}` of `mhlo.backend_config` must be true or false")),
    }
}

/// The status of a call that cannot fail: zeros of the result's type.
pub fn fine(cx: &mut Cx<'_, '_>, i: usize) -> R<Val> {
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
pub struct Size {
    /// Axes.
    pub rank: usize,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

pub fn size(cx: &Cx<'_, '_>, a: V) -> R<Size> {
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
    let most = cx.dim_scalar(Dim::from(trips));
    repeated(cx, most, Dim::from(trips), state, body)
}

/// As many rounds of `body` as `trips` says, an `i64` scalar: at most `most`, and none where it is negative.
pub fn iterate_as_often(
    cx: &mut Cx<'_, '_>,
    trips: V,
    most: usize,
    state: &[V],
    body: impl FnOnce(&mut Cx<'_, '_>, V, &[V]) -> R<Vec<V>>,
) -> R<Vec<V>> {
    let number = cx.walk.fresh_symbol("trips", 0, most as i64);
    repeated(cx, trips, number, state, body)
}

/// A loop that nothing ends early: `most` rounds, of which `trips` is the number.
pub fn repeated(
    cx: &mut Cx<'_, '_>,
    most: V,
    trips: Dim,
    state: &[V],
    body: impl FnOnce(&mut Cx<'_, '_>, V, &[V]) -> R<Vec<V>>,
) -> R<Vec<V>> {
    looped(cx, most, trips, state, |cx, formals| {
        let next = body(cx, formals[0], &formals[2..])?;
        Ok(std::iter::once(formals[1]).chain(next).collect())
    })
}

/// At most `most` rounds of `body`, which gives before the next state whether there is more to do.
pub fn iterate_while(
    cx: &mut Cx<'_, '_>,
    most: usize,
    state: &[V],
    body: impl FnOnce(&mut Cx<'_, '_>, V, &[V]) -> R<Vec<V>>,
) -> R<Vec<V>> {
    let trips = cx.walk.fresh_symbol("trips", 0, most as i64);
    let most = cx.dim_scalar(Dim::from(most));
    looped(cx, most, trips, state, |cx, formals| body(cx, formals[0], &formals[2..]))
}

/// A loop whose body gets the number of the round, whether it goes on, and the state.
fn looped(
    cx: &mut Cx<'_, '_>,
    most: V,
    trips: Dim,
    state: &[V],
    body: impl FnOnce(&mut Cx<'_, '_>, &[V]) -> R<Vec<V>>,
) -> R<Vec<V>> {
    let own = state.iter().map(|v| cx.ty(*v).clone());
    let types: Vec<TensorType> =
        [TensorType::scalar(DType::I64), TensorType::scalar(DType::Bool)].into_iter().chain(own).collect();
    let (op, function, loc) = (cx.op, cx.function, cx.loc.clone());
    let region =
        cx.walk.region("body", &types, |walk, formals| body(&mut Cx { walk, op, function, args: vec![], loc }, formals))?;
    let go = cx.scalar(DType::Bool, 1.0);
    let id = cx.frame().graph.add_region(region.frame.graph);
    let args: Vec<V> = [most, go].into_iter().chain(state.iter().copied()).chain(region.captures).collect();
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
pub fn vector(cx: &mut Cx<'_, '_>, like: V, rank: usize, n: usize, dtype: DType) -> R {
    let mut shape = cx.shape(like)[..rank - 2].to_vec();
    shape.push(Dim::from(n));
    let zero = cx.scalar(dtype, 0.0);
    cx.broadcast(zero, shape)
}

/// `[.., n]` with `at` of the n-th set to a number of `[.., 1, 1]`.
pub fn put(cx: &mut Cx<'_, '_>, into: V, j: V, x: &Ex, n: usize) -> R {
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
    let a = flatten(&[cx.val(0)?]);
    let Size { rank, rows, columns } = size(cx, a[0])?;
    let (k, planes, own) = (rows.min(columns), a.len(), cx.dtype(a[0]));
    let to = cx.result_dtype(1)?;
    let pivots = vector(cx, a[0], rank, k, to)?;
    if k == 0 {
        return Ok(vec![cx.val(0)?, Val::Plain(pivots), fine(cx, 2)?]);
    }
    let done = iterate(cx, k, &[a, vec![pivots]].concat(), |cx, step, state| {
        let (i, c, j) = (counted(cx, rows, true), counted(cx, columns, false), value(step));
        let a = Z::from(&state[..planes]);
        let column = a.chosen(cx, &c.eq(&j), rank, 1)?;
        // LAPACK measures complex numbers by the sum of their parts.
        let length = column.im.as_ref().map_or_else(|| column.re.abs(), |im| column.re.abs() + im.abs());
        let rest = emit(cx, &[&i.ge(&j).pick(length, -1.0)])?[0];
        let p = cx.emit(Op::ArgReduce { max: true, axis: rank - 2, keep: true, last: false }, &[rest])?;
        let p = value(p);
        let (at_j, at_p) = (i.eq(&j), i.eq(&p));
        let (row_j, row_p) = (a.chosen(cx, &at_j, rank, 0)?, a.chosen(cx, &at_p, rank, 0)?);
        let (first, pivot) = (column.chosen(cx, &at_j, rank, 0)?, column.chosen(cx, &at_p, rank, 0)?);
        let swapped = Z::unless(&at_j, &row_p, &Z::unless(&at_p, &row_j, &a));
        let column = Z::unless(&at_j, &pivot, &Z::unless(&at_p, &first, &column));
        let l = column.over(&pivot).within(&i.gt(&j).and(pivot.norm().ne(0.0)));
        let next = swapped.minus(&l.times(&row_p.within(&c.gt(&j))));
        let mut next = Z::unless(&c.eq(&j).and(i.gt(&j)), &l, &next).emit(cx)?;
        let number = (p + 1.0).cast(to);
        next.push(put(cx, state[planes], step, &number, k)?);
        Ok(next)
    })?;
    Ok(vec![val(cx, &done[..planes], own)?, Val::Plain(done[planes]), fine(cx, 2)?])
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

/// Rotations of every row with its partner, the adjoint of what turns the columns of a Hermitian matrix.
struct Rotations {
    /// The partners: `i64[n]`.
    partners: V,
    /// What is kept of a row: `[.., n, 1]`.
    cos: Ex,
    /// What is added of its partner.
    sin: Z,
}

impl Rotations {
    /// Those that make the elements of a Hermitian matrix which rows share with their partners vanish, by these and by the diagonal.
    fn of(cx: &mut Cx<'_, '_>, partners: V, mine: &Ex, shared: &Z) -> R<Rotations> {
        let n = cx.extent(partners, 0, "the number of rows")?;
        let q = value(cx.reshape(partners, vec![Dim::from(n), 1.into()])?);
        let mine = emit(cx, &[mine])?;
        let theirs = value(rows_at(cx, &mine, partners)?[0]);
        let (i, mine) = (counted(cx, n, true), value(mine[0]));
        // A complex element is turned to the real axis first: the rotation is real but for that phase.
        let (length, phase) = match &shared.im {
            None => (shared.re.clone(), Z::real(shared.re.clone() * 0.0 + 1.0)),
            Some(im) => {
                let length = shared.abs();
                let divisor = length.eq(0.0).pick(1.0, &length);
                (length, Z { re: &shared.re / &divisor, im: Some(im / &divisor) })
            }
        };
        let none = length.eq(0.0).or(q.eq(&i));
        let tau = (theirs - mine) / (none.pick(1.0, length) * 2.0);
        let side = tau.eq(0.0).pick(i.lt(&q).pick(1.0, number(-1.0)), tau.sign());
        let t = none.pick(0.0, side / (tau.abs() + (tau.square() + 1.0).sqrt()));
        let cos = 1.0 / (t.square() + 1.0).sqrt();
        let sin = phase.scaled(&(&t * &cos)).emit(cx)?;
        let sin = Z::from(&rows_at(cx, &sin, partners)?).conj().emit(cx)?;
        let cos = emit(cx, &[&cos])?[0];
        Ok(Rotations { partners, cos: value(cos), sin: Z::from(&sin) })
    }

    /// The rows of a matrix turned.
    fn turn(&self, cx: &mut Cx<'_, '_>, a: &[V]) -> R<Vec<V>> {
        let theirs = Z::from(&rows_at(cx, a, self.partners)?);
        Z::from(a).scaled(&self.cos).plus(&self.sin.times(&theirs)).emit(cx)
    }

    /// The columns of a matrix turned: what [`Rotations::turn`] makes of its adjoint's rows.
    fn turn_columns(&self, cx: &mut Cx<'_, '_>, a: &[V]) -> R<Vec<V>> {
        let axis = cx.rank(a[0]) - 1;
        let theirs = a.iter().map(|v| cx.emit(Op::Gather { axis }, &[*v, self.partners])).collect::<R<Vec<V>>>()?;
        let (cos, sin) = (emit(cx, &[&self.cos])?, self.sin.conj().emit(cx)?);
        // A column of numbers lies as a row of them does.
        let mut across = |v: &V| {
            let mut shape = cx.shape(*v);
            shape.swap(axis - 1, axis);
            cx.reshape(*v, shape)
        };
        let cos = value(across(&cos[0])?);
        let sin = sin.iter().map(across).collect::<R<Vec<V>>>()?;
        Z::from(a).scaled(&cos).plus(&Z::from(&sin).times(&Z::from(&theirs))).emit(cx)
    }
}

/// Rows in another order.
fn rows_at(cx: &mut Cx<'_, '_>, a: &[V], order: V) -> R<Vec<V>> {
    let axis = cx.rank(a[0]) - 2;
    a.iter().map(|v| cx.emit(Op::Gather { axis }, &[*v, order])).collect()
}

/// Rounds of a tournament over a state of `n` rows until for a whole one nothing was above `enough`. A round gets the partners and
/// the state, and gives the sizes of what it made vanish and the next state.
fn tournaments(
    cx: &mut Cx<'_, '_>,
    n: usize,
    enough: f64,
    state: &[V],
    round: impl FnOnce(&mut Cx<'_, '_>, V, &[V]) -> R<(Ex, Vec<V>)>,
) -> R<Vec<V>> {
    if n < 2 {
        return Ok(state.to_vec());
    }
    let (rounds, partners) = tournament(n);
    let worst = cx.scalar(DType::F64, 0.0);
    let done = iterate_while(cx, rounds * sweeps(n), &[&[worst], state].concat(), |cx, step, state| {
        let table = cx.constant(Tensor::build(DType::I64, &[rounds, n], |i| Num::Int(partners[i] as i128)));
        let place = cx.with(BinaryOp::Rem, step, rounds as f64)?;
        let partners = cx.emit(Op::Gather { axis: 0 }, &[table, place])?;
        let (sizes, next) = round(cx, partners, &state[1..])?;
        let sizes = emit(cx, &[&sizes])?[0];
        let all = (0..cx.rank(sizes)).collect();
        let worst = value(cx.reduce(ReduceOp::Max, sizes, all, false)?);
        let place = value(place);
        let worst = worst.max(place.eq(0.0).pick(0.0, value(state[0])));
        let more = place.lt((rounds - 1) as f64).or(worst.gt(enough));
        Ok([emit(cx, &[&more, &worst])?, next].concat())
    })?;
    Ok(done[1..].to_vec())
}

/// What rounding to a type, and sums of `n` numbers, leave of one.
fn rounding(own: DType, n: usize) -> f64 {
    match own {
        DType::F64 => f64::EPSILON * n as f64,
        _ => f64::from(f32::EPSILON) / 64.0,
    }
}

fn sweeps(n: usize) -> usize {
    8 + n.ilog2() as usize
}

pub fn flipped(cx: &mut Cx<'_, '_>, a: V, rank: usize) -> R {
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(rank - 2, rank - 1);
    cx.transpose(a, perm)
}

/// The columns of a matrix in another order.
fn columns_at(cx: &mut Cx<'_, '_>, a: &[V], order: V, rank: usize) -> R<Vec<V>> {
    let mut shape = cx.shape(order);
    shape.insert(rank - 2, 1.into());
    let order = cx.reshape(order, shape)?;
    let order = cx.broadcast(order, cx.shape(a[0]))?;
    a.iter().map(|v| cx.emit(Op::GatherElements { axis: rank - 1 }, &[*v, order])).collect()
}

/// Matrices with parts of 64 bits.
pub fn widened(cx: &mut Cx<'_, '_>, a: &[V]) -> R<Vec<V>> {
    a.iter().map(|v| cx.cast(*v, DType::F64)).collect()
}

/// Eigenvalues of a symmetric or Hermitian matrix in ascending order, and its eigenvectors as columns.
fn syevd(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let a = flatten(&[cx.val(0)?]);
    let Size { rank, rows: n, .. } = size(cx, a[0])?;
    let own = cx.dtype(a[0]);
    if n == 0 {
        let w = vector(cx, a[0], rank, 0, own)?;
        return Ok(vec![cx.val(0)?, Val::Plain(w), fine(cx, 2)?]);
    }
    let lower = letter(cx, "uplo")? == 'L';
    let wide = widened(cx, &a)?;
    let whole = reflections::hermitian(cx, &wide, n, lower)?;
    let (vectors, planes) = (numbers::identity(cx, &wide, n, n)?, a.len());
    // The vectors are turned as rows.
    let done = tournaments(cx, n, rounding(own, n), &[whole, vectors].concat(), |cx, partners, state| {
        let (g, vectors) = state.split_at(planes);
        let down = [&cx.shape(g[0])[..rank - 1], &[1.into()]].concat();
        let mine = along(cx, g[0], (0, 0), n)?;
        let mine = emit(cx, &[&mine])?[0];
        let mine = value(cx.reshape(mine, down.clone())?);
        let places = cx.reshape(partners, vec![n.into(), 1.into()])?;
        let places = cx.broadcast(places, down)?;
        let shared = g.iter().map(|v| cx.emit(Op::GatherElements { axis: rank - 1 }, &[*v, places])).collect::<R<Vec<V>>>()?;
        let shared = Z::from(&shared);
        let j = Rotations::of(cx, partners, &mine, &shared)?;
        let rows = j.turn(cx, g)?;
        let next = [j.turn_columns(cx, &rows)?, j.turn(cx, vectors)?].concat();
        let length = emit(cx, &[&mine.abs()])?[0];
        let most = value(cx.reduce(ReduceOp::Max, length, vec![rank - 2], true)?);
        let itself = counted(cx, n, true).eq(value(places));
        let sizes = itself.pick(0.0, shared.abs() / most.eq(0.0).pick(1.0, &most));
        Ok((sizes, next))
    })?;
    let w = numbers::diagonal(cx, done[0], n, 0)?;
    let sorted = cx.emit_all(Op::TopK(TopK { k: Dim::from(n), axis: rank - 2, largest: false }), &[w])?;
    let vectors = numbers::adjoint(cx, &done[planes..])?;
    let vectors = columns_at(cx, &vectors, sorted[1], rank)?;
    let w = cx.cast(sorted[0], own)?;
    Ok(vec![val(cx, &vectors, own)?, Val::Plain(w), fine(cx, 2)?])
}

/// Singular values in descending order and both sides' vectors, by rotations of the columns until they are orthogonal.
/// The vectors of vanishing singular values complete the others.
fn gesdd(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let a = flatten(&[cx.val(0)?]);
    let Size { rank, rows, columns } = size(cx, a[0])?;
    let (own, planes) = (cx.dtype(a[0]), a.len());
    let mode = letter(cx, "mode")?;
    if rows == 0 || columns == 0 {
        return unsupported(format!("singular values of {rows} x {columns} matrices"));
    }
    let wide = widened(cx, &a)?;
    let tall = rows >= columns;
    // Columns are turned as rows of the adjoint.
    let b = if tall { numbers::adjoint(cx, &wide)? } else { wide };
    let (n, m) = (rows.min(columns), rows.max(columns));
    let v = numbers::identity(cx, &b, n, n)?;
    let done = tournaments(cx, n, rounding(own, m), &[b, v].concat(), |cx, partners, state| {
        let (b, v) = state.split_at(planes);
        let (own, theirs) = (Z::from(b), Z::from(&rows_at(cx, b, partners)?));
        let mine = total(cx, &own.norm(), rank, 1)?;
        let shared = own.times(&theirs.conj()).total(cx, rank, 1)?;
        let j = Rotations::of(cx, partners, &mine, &shared)?;
        let next = [j.turn(cx, b)?, j.turn(cx, v)?].concat();
        let mine = emit(cx, &[&mine])?;
        let theirs = value(rows_at(cx, &mine, partners)?[0]);
        let both = value(mine[0]).sqrt() * theirs.sqrt();
        let itself = counted(cx, n, true).eq(value(cx.reshape(partners, vec![n.into(), 1.into()])?));
        Ok((itself.or(both.eq(0.0)).pick(0.0, shared.abs() / both), next))
    })?;
    let (b, right) = (numbers::adjoint(cx, &done[..planes])?, numbers::adjoint(cx, &done[planes..])?);
    let b = Z::from(&b);
    let lengths = total(cx, &b.norm(), rank, 0)?.sqrt();
    let zero = lengths.eq(0.0);
    let left = b.over(&Z::real(zero.pick(1.0, &lengths))).emit(cx)?;
    let lengths = emit(cx, &[&lengths])?[0];
    let shape = [cx.shape(a[0])[..rank - 2].to_vec(), vec![Dim::from(n)]].concat();
    let lengths = cx.reshape(lengths, shape)?;
    let sorted = cx.emit_all(Op::TopK(TopK { k: Dim::from(n), axis: rank - 2, largest: true }), &[lengths])?;
    let left = columns_at(cx, &left, sorted[1], rank)?;
    let right = columns_at(cx, &right, sorted[1], rank)?;
    let wanted = if mode == 'A' { m } else { n };
    let left = if mode == 'N' { left } else { completed(cx, &left, sorted[0], (m, n, wanted))? };
    let (u, v) = if tall { (left, right) } else { (right, left) };
    let vt = numbers::adjoint(cx, &v)?;
    let (u, vt) = match mode {
        // Nothing reads them.
        'N' => (zeros(cx, 2)?, zeros(cx, 3)?),
        _ => (val(cx, &u, own)?, val(cx, &vt, own)?),
    };
    let s = cx.cast(sorted[0], own)?;
    Ok(vec![cx.val(0)?, Val::Plain(s), u, vt, fine(cx, 4)?])
}

/// Zeros of a result's type.
fn zeros(cx: &mut Cx<'_, '_>, i: usize) -> R<Val> {
    let plane = fine(cx, i)?;
    let complex = matches!(cx.result_tensor(i)?.element, Element::Plain(DType::C64 | DType::C128));
    Ok(match (plane, complex) {
        (Val::Plain(v), true) => Val::Complex(v, v),
        (v, _) => v,
    })
}

/// Orthonormal columns with more of them: those of the reflections that make the given ones a triangle, which are the given ones
/// themselves but for their sign, and complete them where they are zero.
fn completed(cx: &mut Cx<'_, '_>, left: &[V], lengths: V, (m, n, wanted): (usize, usize, usize)) -> R<Vec<V>> {
    let rank = cx.rank(left[0]);
    let (r, taus) = reflections::upper(cx, left, m, n)?;
    let q = reflections::columns(cx, &r, &taus, m, n, wanted)?;
    let mut shape = cx.shape(lengths);
    shape.insert(rank - 2, 1.into());
    let lengths = cx.reshape(lengths, shape)?;
    let mut known = vec![];
    for v in left.iter().chain([&lengths]) {
        let rows = cx.extent(*v, rank - 2, "the number of rows")?;
        let mut more = cx.shape(*v);
        more[rank - 1] = Dim::from(wanted - n);
        let zero = cx.scalar(DType::F64, 0.0);
        let none = cx.broadcast(zero, more)?;
        known.push(if wanted == n || rows == 0 { *v } else { cx.concat(&[*v, none], rank - 1)? });
    }
    let (lengths, left) = (value(known[left.len()]), Z::from(&known[..left.len()]));
    Z::unless(&lengths.gt(0.0), &left, &Z::from(&q)).emit(cx)
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
