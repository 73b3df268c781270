//! The real Schur form but for its blocks of two rows: steps of the QR method with two shifts at once, in real numbers, until no
//! larger block is left. Where a matrix falls apart, what the shifts are, and where a step begins is decided as LAPACK's `dlahqr`
//! does it, so that eigenvalues come in its order. Each matrix of a batch has a block of its own under work; a step passes along
//! the diagonals of all of them together.

use beiming_ir::ops::{BinaryOp, Cumulative, Op, PadMode, ReduceOp};
use beiming_ir::types::{DType, Dim};

use super::super::cx::Cx;
use super::super::math::{Ex, emit, value};
use super::lapack::{chosen, counted, flipped, iterate_as_often, iterate_while};
use super::parts::{along, part, with_part};
use crate::import::build::Build;
use crate::import::fail::R;
use crate::import::frame::V;

/// Rows and columns of zeros before a matrix, and before and behind it together, so that every element has neighbours.
const BEFORE: usize = 2;
const AROUND: usize = 4;

/// Steps a row, and the fewest rows for which that is the limit: LAPACK's, there of each matrix alone.
const STEPS: usize = 30;
const LEAST: usize = 10;

/// An element is nothing beside its neighbours from here on.
const NOTHING: f64 = f64::EPSILON;

/// What similarity by rotations has made of a matrix.
pub struct Reduced {
    /// Blocks of one and two rows and what stands above them: `[.., n, n]`. Below the blocks there is what counts as nothing.
    pub h: V,
    /// The vectors that were given, turned likewise.
    pub z: Option<V>,
    /// Rows that are the second of a block: `bool[.., 1, n]`.
    pub second: V,
    /// `i64[.., 1, 1]`: zero, or the number of the row, counted from one, at which there were too many steps.
    pub failed: V,
}

/// The extents of the value under work: a matrix with its zeros around it and what made it so, both transposed and side by side,
/// as a reflection of columns then changes whole rows of it.
#[derive(Clone, Copy)]
struct Work {
    /// Rows of the matrix.
    n: usize,
    /// Axes.
    rank: usize,
    /// Rows.
    rows: usize,
    /// Columns.
    columns: usize,
}

/// The block that a step passes, in each matrix; rows are those of the value under work.
struct Step {
    /// The last row; zero where no block is left.
    last: V,
    /// The first row.
    first: V,
    /// The row where the step begins.
    begin: V,
    /// Three numbers that the first reflection leaves only one of.
    v: [V; 3],
}

/// Takes a Hessenberg matrix of `n` rows apart.
pub fn reduced(cx: &mut Cx<'_, '_>, h: V, z: Option<V>, n: usize) -> R<Reduced> {
    let (rank, rows) = (cx.rank(h), n + AROUND);
    let w = Work { n, rank, rows, columns: if z.is_some() { rows + n } else { rows } };
    let t = w.joined(cx, h, z)?;
    let lead = cx.shape(h)[..rank - 2].to_vec();
    let of_each = [&lead[..], &[1.into(), 1.into()]].concat();
    let none = cx.scalar(DType::I64, 0.0);
    let none = cx.broadcast(none, of_each)?;
    let all = cx.scalar(DType::Bool, 1.0);
    let all = cx.broadcast(all, [&lead[..], &[1.into(), Dim::from(n)]].concat())?;
    let done = iterate_while(cx, STEPS * n.max(LEAST), &[t, all, none, none], |cx, _, s| w.round(cx, s))?;
    let block = |cx: &mut Cx<'_, '_>, column: usize| {
        let v = cx.slice_axis(done[0], rank - 2, BEFORE.into(), n.into())?;
        let v = cx.slice_axis(v, rank - 1, column.into(), n.into())?;
        flipped(cx, v, rank)
    };
    let (h, z) = (block(cx, BEFORE)?, z.map(|_| block(cx, rows)).transpose()?);
    let failed = value(done[2]);
    let failed = emit(cx, &[&failed.gt(0.0).pick(&failed + (1.0 - BEFORE as f64), 0.0)])?[0];
    Ok(Reduced { h, z, second: done[1], failed })
}

/// The largest along the columns' axis.
fn largest(cx: &mut Cx<'_, '_>, e: &Ex, rank: usize) -> R<Ex> {
    let v = emit(cx, &[e])?[0];
    Ok(value(cx.reduce(ReduceOp::Max, v, vec![rank - 1], true)?))
}

/// A divisor that is not zero.
fn divisor(e: &Ex) -> Ex {
    e.eq(0.0).pick(1.0, e)
}

impl Work {
    fn joined(&self, cx: &mut Cx<'_, '_>, h: V, z: Option<V>) -> R {
        let (rank, zero) = (self.rank, cx.scalar_like(h, 0.0));
        let mut parts = vec![];
        for (m, beside) in [(Some(h), BEFORE), (z, 0)] {
            let Some(m) = m else { continue };
            let m = flipped(cx, m, rank)?;
            let mut lo = vec![Dim::from(0); rank];
            lo[rank - 2] = BEFORE.into();
            lo[rank - 1] = beside.into();
            // As many behind as before.
            parts.push(cx.emit(Op::Pad { hi: lo.clone(), lo, mode: PadMode::Constant }, &[m, zero])?);
        }
        cx.concat(&parts, rank - 1)
    }

    /// For every row of the matrix the element that stands `down` and `right` of its diagonal: `[.., 1, n]`.
    fn beside(&self, cx: &mut Cx<'_, '_>, t: V, down: isize, right: isize) -> R<Ex> {
        let at = |by: isize| BEFORE.saturating_add_signed(by);
        along(cx, t, (at(right), at(down)), self.n)
    }

    /// The numbers of the rows: `[1, n]`.
    fn places(&self, cx: &mut Cx<'_, '_>) -> Ex {
        counted(cx, self.n, false) + BEFORE as f64
    }

    /// One round over the state (value under work, rows joined to those before, last row under work, steps since that was reached):
    /// whether a step was needed, and the next state.
    fn round(&self, cx: &mut Cx<'_, '_>, state: &[V]) -> R<Vec<V>> {
        let (t, k) = (state[0], self.places(cx));
        let joined = self.joined_rows(cx, t, state[1])?;
        let begins = emit(cx, &[&value(joined).pick(0.0, &k)])?[0];
        let running = Cumulative { op: ReduceOp::Max, axis: self.rank - 1, exclusive: false, reverse: false };
        let begins = value(cx.emit(Op::Cumulative(running), &[begins])?);
        let last = largest(cx, &(&k - &begins).ge(2.0).pick(&k, 0.0), self.rank)?;
        let first = chosen(cx, &k.eq(&last), &begins, self.rank, 1)?;
        let tries = last.eq(value(state[2])).pick(value(state[3]) + 1.0, 1.0);
        let [last, first, tries] = <[V; 3]>::try_from(emit(cx, &[&last, &first, &tries])?).unwrap_or([t; 3]);
        let shift = self.shift(cx, t, (&value(last), &value(first), &value(tries)))?;
        let step = self.step(cx, t, (last, first), &shift)?;
        let any = emit(cx, &[&value(last).gt(0.0)])?[0];
        let more = cx.reduce(ReduceOp::Any, any, (0..self.rank).collect(), false)?;
        let next = self.passed(cx, t, &step)?;
        Ok(vec![more, next, joined, last, tries])
    }

    /// The rows that are still joined to those before them (criterion of Ahues and Tisseur).
    fn joined_rows(&self, cx: &mut Cx<'_, '_>, t: V, so_far: V) -> R {
        let mut h = |down, right| self.beside(cx, t, down, right);
        let (a, b, c, d) = (h(-1, -1)?, h(-1, 0)?, h(0, -1)?, h(0, 0)?);
        let around = h(-1, -2)?.abs() + h(1, 0)?.abs();
        let sum = a.abs() + d.abs();
        let sum = sum.eq(0.0).pick(around, &sum);
        let gap = (&a - &d).abs();
        let (more, less) = (c.abs().max(b.abs()), c.abs().min(b.abs()));
        let (large, small) = (d.abs().max(&gap), d.abs().min(&gap));
        let scale = &large + &more;
        let least = f64::MIN_POSITIVE * (self.n as f64 / NOTHING);
        let both = (&less * (&more / &scale)).le((&small * (&large / &scale) * NOTHING).max(least));
        let apart = c.abs().le(&sum * NOTHING).and(both);
        // What is no number is taken apart as well.
        let joined = value(so_far).and(c.abs().gt(least)).and(apart.not());
        Ok(emit(cx, &[&joined])?[0])
    }

    /// Both shifts of a step, as real and (positive) imaginary part: the eigenvalues of the last two rows, and of two that are real
    /// twice that which is nearer to the last element. Every tenth step another pair breaks cycles.
    fn shift(&self, cx: &mut Cx<'_, '_>, t: V, (last, first, tries): (&Ex, &Ex, &Ex)) -> R<[Ex; 2]> {
        let (k, rank) = (self.places(cx), self.rank);
        let mut h = |down, right| self.beside(cx, t, down, right);
        let (a, b, c, d) = (h(-1, -1)?, h(-1, 0)?, h(0, -1)?, h(0, 0)?);
        let mut at = |row: &Ex, e: &Ex| chosen(cx, &k.eq(row), e, rank, 1);
        let at_top = tries.join(BinaryOp::Rem, 20.0).eq(10.0);
        let size = c.abs();
        let size = at(&at_top.pick(first + 1.0, last), &size)? + at(&at_top.pick(first + 2.0, last - 1.0), &size)?;
        let other = &size * 0.75 + at(&at_top.pick(first, last), &d)?;
        let odd = tries.join(BinaryOp::Rem, 10.0).eq(0.0);
        let h11 = odd.pick(&other, at(last, &a)?);
        let h12 = odd.pick(&size * -0.4375, at(last, &b)?);
        let h21 = odd.pick(&size, at(last, &c)?);
        let h22 = odd.pick(&other, at(last, &d)?);
        let scale = divisor(&(h11.abs() + h12.abs() + h21.abs() + h22.abs()));
        let (h11, h12, h21, h22) = (h11 / &scale, h12 / &scale, h21 / &scale, h22 / &scale);
        let mean = (&h11 + &h22) * 0.5;
        let det = (&h11 - &mean) * (&h22 - &mean) - h12 * h21;
        let (root, pair) = (det.abs().sqrt(), det.ge(0.0));
        let (above, below) = (&mean + &root, &mean - &root);
        let near = (&above - &h22).abs().le((&below - &h22).abs()).pick(above, below);
        let v = emit(cx, &[&(pair.pick(mean, near) * &scale), &pair.pick(root * &scale, 0.0)])?;
        Ok([value(v[0]), value(v[1])])
    }

    /// The step with these shifts: it begins as low as two small elements below the diagonal allow.
    fn step(&self, cx: &mut Cx<'_, '_>, t: V, (last, first): (V, V), [re, im]: &[Ex; 2]) -> R<Step> {
        let (k, rank) = (self.places(cx), self.rank);
        let mut h = |down, right| self.beside(cx, t, down, right);
        let (above, left, here, right) = (h(-1, -1)?, h(0, -1)?, h(0, 0)?, h(0, 1)?);
        let (low, next, low_next) = (h(1, 0)?, h(1, 1)?, h(2, 1)?);
        let own = &here - re;
        let scale = divisor(&(own.abs() + im.abs() + low.abs()));
        let low = &low / &scale;
        let v = [&low * &right + &own * (&own / &scale) + im * (im / &scale), &low * (&own + (&next - re)), &low * &low_next];
        let scale = divisor(&(v[0].abs() + v[1].abs() + v[2].abs()));
        let v = v.map(|x| x / &scale);
        let small = left.abs() * (v[1].abs() + v[2].abs());
        let small = small.le(v[0].abs() * (above.abs() + here.abs() + next.abs()) * NOTHING);
        let (l, f) = (value(last), value(first));
        let may = k.ge(&f).and(k.le(&l - 2.0)).and(k.eq(&f).or(small));
        let begin = largest(cx, &may.pick(&k, 0.0), rank)?;
        let begin = emit(cx, &[&begin])?[0];
        let mut of_begin = |e: &Ex| -> R {
            let e = chosen(cx, &k.eq(value(begin)), e, rank, 1)?;
            Ok(emit(cx, &[&e])?[0])
        };
        let v = [of_begin(&v[0])?, of_begin(&v[1])?, of_begin(&v[2])?];
        Ok(Step { last, first, begin, v })
    }

    /// The value after a step: reflections of three rows and columns, each of which moves what stands too low by one row.
    fn passed(&self, cx: &mut Cx<'_, '_>, t: V, s: &Step) -> R {
        let every: Vec<usize> = (0..self.rank).collect();
        let begin = value(s.last).gt(0.0).pick(value(s.begin), self.rows as f64);
        let begin = emit(cx, &[&begin])?[0];
        let from = cx.reduce(ReduceOp::Min, begin, every.clone(), false)?;
        let to = cx.reduce(ReduceOp::Max, s.last, every, false)?;
        let trips = cx.binary(BinaryOp::Sub, to, from)?;
        // What a loop reads it carries.
        let state = [t, from, s.last, s.first, s.begin, s.v[0], s.v[1], s.v[2]];
        let done = iterate_as_often(cx, trips, self.n, &state, |cx, number, state| {
            let k = emit(cx, &[&(value(number) + value(state[1]))])?[0];
            let s = Step { last: state[2], first: state[3], begin: state[4], v: [state[5], state[6], state[7]] };
            let t = self.reflected(cx, state[0], &value(k), &s)?;
            Ok([&[t], &state[1..]].concat())
        })?;
        Ok(done[0])
    }

    /// One reflection, of rows and columns from `k` on.
    fn reflected(&self, cx: &mut Cx<'_, '_>, t: V, k: &Ex, s: &Step) -> R {
        let (begin, first, last) = (value(s.begin), value(s.first), value(s.last));
        let (begins, active) = (begin.eq(k), begin.le(k).and(last.gt(k)));
        let before = k - 1.0;
        let mut x = vec![];
        for i in 0..3 {
            let low = part(cx, t, (&before, &(k + i as f64)), (1, 1))?;
            x.push(begins.pick(value(s.v[i]), low));
        }
        // A block's last reflection is of two rows.
        let x3 = last.gt(k + 1.0).pick(&x[2], 0.0);
        let flat = (x[1].abs() + x3.abs()).eq(0.0);
        let scale = divisor(&(x[0].abs() + x[1].abs() + x3.abs()));
        let length = ((&x[0] / &scale).square() + (&x[1] / &scale).square() + (&x3 / &scale).square()).sqrt() * &scale;
        let beta = flat.pick(&x[0], x[0].lt(0.0).pick(&length, -&length));
        let moved = active.and(flat.not());
        let tau = moved.pick((&beta - &x[0]) / flat.pick(1.0, &beta), 0.0);
        let pivot = flat.pick(1.0, &x[0] - &beta);
        let scalars = emit(cx, &[&beta, &tau, &(&x[1] / &pivot), &(&x3 / &pivot)])?;
        let [beta, tau, v2, v3] = [0, 1, 2, 3].map(|i: usize| value(scalars[i]));
        // Of rows: columns of the value.
        let mut row = vec![];
        for i in 0..3 {
            row.push(part(cx, t, (&(k * 0.0), &(k + i as f64)), (self.rows, 1))?);
        }
        let w = &tau * (&row[0] + &v2 * &row[1] + &v3 * &row[2]);
        let w = value(emit(cx, &[&w])?[0]);
        let (i, c) = (counted(cx, self.rows, true), counted(cx, 3, false));
        let v = c.eq(0.0).pick(1.0, c.eq(1.0).pick(&v2, &v3));
        let own = part(cx, t, (&(k * 0.0), k), (self.rows, 3))?;
        // The column before is known: the reflected one, or where a step begins within a block its element that is left.
        let known = begins.pick(first.lt(k).pick(1.0 - &tau, 1.0) * &own, c.eq(0.0).pick(&beta, 0.0));
        let next = i.ge(k).pick(&own - w * v, i.eq(&before).and(&active).pick(known, &own));
        let t = with_part(cx, t, (&(k * 0.0), k), &next)?;
        // Of columns: rows of the value, but for rows of the matrix below the block.
        let mut column = vec![];
        for i in 0..3 {
            column.push(part(cx, t, (&(k + i as f64), &(k * 0.0)), (1, self.columns))?);
        }
        let c = counted(cx, self.columns, false);
        let inside = c.le(&last).or(c.ge(self.rows as f64));
        let u = &tau * (&column[0] + &v2 * &column[1] + &v3 * &column[2]);
        let u = value(emit(cx, &[&inside.pick(u, 0.0)])?[0]);
        let i = counted(cx, 3, true);
        let v = i.eq(0.0).pick(1.0, i.eq(1.0).pick(v2, v3));
        let own = part(cx, t, (k, &(k * 0.0)), (3, self.columns))?;
        with_part(cx, t, (k, &(k * 0.0)), &(own - u * v))
    }
}
