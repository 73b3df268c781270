//! Blocks of two rows of a real Schur form in standard form, as LAPACK's `dlanv2` brings them there: one whose eigenvalues are real
//! becomes upper triangular; one with a pair of conjugate ones gets equal elements on the diagonal and others of different signs.

use super::super::cx::Cx;
use super::super::math::complex::c as complex;
use super::super::math::{Ex, emit, value};
use super::lapack::{counted, flipped};
use super::numbers::product;
use super::parts::along;
use super::real_schur::Reduced;
use crate::import::build::Build;
use crate::import::fail::R;
use crate::import::frame::V;

/// A real Schur form.
pub struct Schur {
    /// `[.., n, n]`.
    pub t: V,
    /// The vectors, if any were given.
    pub z: Option<V>,
    /// Real parts of the eigenvalues: `[.., n]`.
    pub re: V,
    /// Imaginary parts; that of the first of a pair is positive.
    pub im: V,
}

/// `[[a, b], [c, d]]` and the rotation with `cos` and `sin` that brought it there.
#[derive(Clone)]
struct Block {
    a: Ex,
    b: Ex,
    c: Ex,
    d: Ex,
    cos: Ex,
    sin: Ex,
}

impl Block {
    /// This one where the mask holds, else the other.
    fn where_else(self, mask: &Ex, o: Block) -> Block {
        let pick = |x: Ex, y: Ex| mask.pick(x, y);
        Block {
            a: pick(self.a, o.a),
            b: pick(self.b, o.b),
            c: pick(self.c, o.c),
            d: pick(self.d, o.d),
            cos: pick(self.cos, o.cos),
            sin: pick(self.sin, o.sin),
        }
    }
}

/// One where it is zero.
fn divisor(e: &Ex) -> Ex {
    e.eq(0.0).pick(1.0, e)
}

/// The standard form of a block.
fn standard(a: &Ex, b: &Ex, c: &Ex, d: &Ex) -> Block {
    let (zero, one) = (a * 0.0, a * 0.0 + 1.0);
    let differ = b.is_negative().xor(c.is_negative());
    let gap = a - d;
    let half = &gap * 0.5;
    let (more, less) = (b.abs().max(c.abs()), b.abs().min(c.abs()));
    let less = differ.pick(-&less, &less);
    let scale = divisor(&half.abs().max(&more));
    let inner = (&half / &scale) * &half + (&more / &scale) * &less;
    // Eigenvalues that are real and apart: the rotation that leaves nothing below the diagonal.
    let root = divisor(&(&half + (scale.sqrt() * inner.max(0.0).sqrt()).with_sign(&half)));
    let length = complex(c.clone(), root.clone()).abs();
    let real =
        Block { a: d + &root, b: b - c, c: zero.clone(), d: d - (&more / &root) * &less, cos: &root / &length, sin: c / &length };
    let same = Block { a: a.clone(), b: b.clone(), c: c.clone(), d: d.clone(), cos: one.clone(), sin: zero.clone() };
    let lower = Block { a: d.clone(), b: -c, c: zero.clone(), d: a.clone(), cos: zero, sin: one };
    let keeps = c.eq(0.0).or(b.ne(0.0).and(gap.eq(0.0)).and(differ));
    let other = real.where_else(&inner.ge(4.0 * f64::EPSILON), level(a, b, c, d));
    same.where_else(&keeps, lower.where_else(&b.eq(0.0), other))
}

/// A block whose eigenvalues are complex or nearly equal, its diagonal made equal.
fn level(a: &Ex, b: &Ex, c: &Ex, d: &Ex) -> Block {
    let (sum, gap) = (b + c, a - d);
    let length = divisor(&complex(sum.clone(), gap.clone()).abs());
    let cos = ((sum.abs() / &length + 1.0) * 0.5).sqrt();
    let sin = &gap * 0.5 / (&length * &cos);
    let sin = sum.is_negative().pick(&sin, -&sin);
    let (a1, b1) = (a * &cos + b * &sin, b * &cos - a * &sin);
    let (c1, d1) = (c * &cos + d * &sin, d * &cos - c * &sin);
    let (b, c) = (&b1 * &cos + &d1 * &sin, &c1 * &cos - &a1 * &sin);
    let mean = ((&a1 * &cos + &c1 * &sin) + (&d1 * &cos - &b1 * &sin)) * 0.5;
    let zero = &mean * 0.0;
    let plain = Block { a: mean.clone(), b: b.clone(), c: c.clone(), d: mean.clone(), cos: cos.clone(), sin: sin.clone() };
    let lower = Block { b: -&c, c: zero.clone(), cos: -&sin, sin: cos.clone(), ..plain.clone() };
    // Signs that agree: the eigenvalues are real after all.
    let (root_b, root_c) = (b.abs().sqrt(), c.abs().sqrt());
    let apart = (&root_b * &root_c).with_sign(&c);
    let size = divisor(&(&b + &c).abs().sqrt());
    let (cos1, sin1) = (root_b / &size, root_c / &size);
    let real = Block {
        a: &mean + &apart,
        b: &b - &c,
        c: zero,
        d: &mean - &apart,
        cos: &cos * &cos1 - &sin * &sin1,
        sin: &cos * &sin1 + &sin * &cos1,
    };
    let keeps = c.eq(0.0).or(b.ne(0.0).and(b.is_negative().xor(c.is_negative())));
    plain.where_else(&keeps, lower.where_else(&b.eq(0.0), real))
}

/// The Schur form of a matrix of `n` rows, at least two, that is taken apart.
pub fn form(cx: &mut Cx<'_, '_>, r: &Reduced, n: usize) -> R<Schur> {
    let rank = cx.rank(r.h);
    let list = [&cx.shape(r.h)[..rank - 2], &[n.into()]].concat();
    let mut h = |row, column| along(cx, r.h, (row, column), n - 1);
    let (a, b, c, d) = (h(0, 0)?, h(0, 1)?, h(1, 0)?, h(1, 1)?);
    let s = standard(&a, &b, &c, &d);
    let second = cx.slice_axis(r.second, rank - 1, 1.into(), (n - 1).into())?;
    let paired = value(second);
    let im = s.c.eq(0.0).pick(0.0, s.b.abs().sqrt() * s.c.abs().sqrt());
    let ones = &a * 0.0 + 1.0;
    // Of every pair, by the row of its first and by that of its second: `[.., 1, n]`, zero for other rows.
    let parts = [&s.a, &s.b, &s.c, &s.d, &s.cos, &s.sin, &im, &ones].map(|e| paired.pick(e, 0.0));
    let parts = emit(cx, &parts.each_ref())?;
    let (mut firsts, mut seconds) = (vec![], vec![]);
    for v in parts {
        let gap = cx.slice_axis(v, rank - 1, 0.into(), 1.into())?;
        let gap = cx.full_like(gap, 0.0)?;
        firsts.push(value(cx.concat(&[v, gap], rank - 1)?));
        seconds.push(value(cx.concat(&[gap, v], rank - 1)?));
    }
    let (i, c) = (counted(cx, n, true), counted(cx, n, false));
    let (main, below, above) = (i.eq(&c), i.eq(&c + 1.0), c.eq(&i + 1.0));
    let alone = (&firsts[7] + &seconds[7]).eq(0.0);
    let cos = alone.pick(1.0, &firsts[4] + &seconds[4]);
    let turn = main.pick(cos, below.pick(&firsts[5], above.pick(-&seconds[5], 0.0)));
    let turn = emit(cx, &[&turn])?;
    let back = flipped(cx, turn[0], rank)?;
    let right = product(cx, &[r.h], &turn)?;
    let t = value(product(cx, &[back], &right)?[0]);
    let t = main.and(alone.not()).pick(&firsts[0] + &seconds[3], &t);
    let t = above.and(seconds[7].gt(0.0)).pick(&seconds[1], t);
    let t = i.gt(&c).pick(below.pick(&firsts[2], 0.0), t);
    let im = &firsts[6] - &seconds[6];
    let [t, im] = <[V; 2]>::try_from(emit(cx, &[&t, &im])?).unwrap_or([r.h; 2]);
    let z = match r.z {
        Some(z) => Some(product(cx, &[z], &turn)?[0]),
        None => None,
    };
    let re = along(cx, t, (0, 0), n)?;
    let re = emit(cx, &[&re])?[0];
    Ok(Schur { t, z, re: cx.reshape(re, list.clone())?, im: cx.reshape(im, list)? })
}
