//! Extents that only a value tells. Where an operator needs the elements of an integer tensor as dimensions and no shape settles them,
//! the run reads them: they become symbols, and the value's contents are known from there on. What is taken for granted about values
//! and extents is checked by the run in the same way.

use beiming_ir::ops::{BinaryOp, DimRule, Op, ReadDims, infer, same_extent};
use beiming_ir::types::{DType, Dim, TensorType};

use super::build::Build;
use super::fail::{R, bad_arguments, unsupported};
use super::frame::V;

/// Largest value that is taken for an extent: far above any memory, far below where arithmetic saturates.
const MOST: i64 = 1 << 48;

/// Most extents read off one value.
const MAX_READ: i64 = 64;

/// `v` as a vector of `i64`, and how many elements it has.
fn vector(cx: &mut impl Build, v: V) -> R<(V, usize)> {
    let count = cx.ty(v).numel().known().filter(|n| (0..=MAX_READ).contains(n));
    let Some(count) = count.and_then(|n| usize::try_from(n).ok()) else {
        return unsupported(format!("extents that a value of type {} tells; at most {MAX_READ} can be read", cx.ty(v)));
    };
    let v = match cx.dtype(v) {
        // What is past the range of `i64` stays past every extent.
        DType::U64 => cx.with(BinaryOp::Min, v, (1u64 << 62) as f64)?,
        _ => v,
    };
    let v = cx.cast(v, DType::I64)?;
    Ok((cx.reshape(v, vec![count.into()])?, count))
}

/// The elements of `v` as dimensions. Where `known` has a number that is one; the others are symbols of their own, in the range
/// that `range` gives for each element. A value that has been read is known: asked again it gives the same.
pub fn read(cx: &mut impl Build, v: V, known: &[Option<Dim>], range: impl Fn(usize) -> (i64, i64)) -> R<Vec<Dim>> {
    if let Some(dims) = cx.top().dims_of(v) {
        return Ok(dims);
    }
    let (flat, count) = vector(cx, v)?;
    let stem = stem(cx);
    let (mut symbols, mut dims) = (vec![], vec![]);
    for i in 0..count {
        let number = known.get(i).and_then(|d| d.as_ref()?.known());
        let (lo, hi) = number.map_or_else(|| range(i), |n| (n, n));
        let symbol = cx.fresh_symbol(&stem, lo.max(0), hi.clamp(lo.max(0), MOST));
        dims.push(number.map_or_else(|| symbol.clone(), Dim::Known));
        symbols.push(symbol);
    }
    cx.emit(Op::ReadDims(ReadDims { dims: symbols, rule: DimRule::Bind }), &[flat])?;
    cx.frame().tell(v, &dims);
    Ok(dims)
}

/// The single element of `v` as a dimension.
pub fn read_one(cx: &mut impl Build, v: V, lo: i64, hi: i64) -> R<Dim> {
    match read(cx, v, &[], |_| (lo, hi))?.as_slice() {
        [d] => Ok(d.clone()),
        d => unsupported(format!("a number that is {} numbers", d.len())),
    }
}

/// The elements of `v` as dimensions that may be negative: differences of symbols.
pub fn read_signed(cx: &mut impl Build, v: V) -> R<Vec<Dim>> {
    if let Some(dims) = cx.top().dims_of(v) {
        return Ok(dims);
    }
    let (flat, _) = vector(cx, v)?;
    let more = cx.with(BinaryOp::Max, flat, 0.0)?;
    let less = cx.with(BinaryOp::Min, flat, 0.0)?;
    let zero = cx.scalar(DType::I64, 0.0);
    let less = cx.binary(BinaryOp::Sub, zero, less)?;
    let (more, less) = (read(cx, more, &[], |_| (0, MOST))?, read(cx, less, &[], |_| (0, MOST))?);
    let dims: Vec<Dim> = more.into_iter().zip(less).map(|(a, b)| a - b).collect();
    cx.frame().tell(v, &dims);
    Ok(dims)
}

/// What the symbols of an operator are called: `stablehlo.dynamic_iota` reads `dynamic_iota_0`.
fn stem(cx: &impl Build) -> String {
    let op = cx.loc().op.rsplit('.').next().unwrap_or_default();
    if op.is_empty() { "extent".into() } else { op.to_lowercase() }
}

/// Has the run check that the elements of `v` are `want`.
pub fn expect(cx: &mut impl Build, v: V, want: &[Dim]) -> R<()> {
    check(cx, v, want, DimRule::Equal)
}

/// Has the run check that no element of `v` is more than `most` has in its place.
pub fn expect_within(cx: &mut impl Build, v: V, most: &[Dim]) -> R<()> {
    check(cx, v, most, DimRule::AtMost)
}

fn check(cx: &mut impl Build, v: V, dims: &[Dim], rule: DimRule) -> R<()> {
    let (flat, _) = vector(cx, v)?;
    cx.emit(Op::ReadDims(ReadDims { dims: dims.to_vec(), rule }), &[flat])?;
    Ok(())
}

/// Has the run check that two dimensions are equal, where nothing shows it before.
pub fn expect_equal(cx: &mut impl Build, got: &Dim, want: &Dim) -> R<()> {
    if same_extent(got, want, cx.symbols()) {
        return Ok(());
    }
    if got.known().is_some() && want.known().is_some() {
        return bad_arguments(format!("an extent is {got}, and must be {want}"));
    }
    let got = cx.dim_vector(vec![got.clone()]);
    expect(cx, got, std::slice::from_ref(want))
}

/// Has the run check that one dimension is at most another, where the ranges do not show it.
pub fn expect_at_most(cx: &mut impl Build, got: &Dim, most: &Dim) -> R<()> {
    if (most.clone() - got.clone()).range(cx.symbols()).lo >= 0 {
        return Ok(());
    }
    let got = cx.dim_vector(vec![got.clone()]);
    expect_within(cx, got, std::slice::from_ref(most))
}

/// Makes an axis as long as `extent`, where only the run tells whether it has one position, to be repeated, or `extent` already. Where
/// `extent` is a number this leaves both the repeating and the check to the broadcast that follows.
pub fn stretch(cx: &mut impl Build, x: V, axis: usize, extent: &Dim) -> R {
    let have = cx.shape(x)[axis].clone();
    if have == *extent || have.is(1) {
        return Ok(x);
    }
    if extent.known().is_some() {
        return Ok(x);
    }
    // One, or what it has to be.
    let (own, wide) = (cx.dim_vector(vec![have.clone()]), cx.dim_vector(vec![extent.clone()]));
    let one = cx.with(BinaryOp::Eq, own, 1.0)?;
    let right = cx.select(one, wide, own)?;
    expect(cx, right, std::slice::from_ref(extent))?;
    let at = cx.emit(Op::Iota { dtype: DType::I64, shape: vec![extent.clone()], axis: 0 }, &[])?;
    let last = cx.dim_scalar(have - 1.into());
    let at = cx.binary(BinaryOp::Min, at, last)?;
    cx.emit(Op::Gather { axis }, &[x, at])
}

/// How many pairs of extents one op may need to be equal without anything showing it.
const MAX_PAIRS: usize = 16;

/// The arguments of an op that takes extents to be equal of which nothing shows it: each pair is checked by the run, and what has the
/// one extent gets the other. `None` where that is not all that is wrong, or such pairs are not for the run to check.
pub fn made_to_fit<B: Build>(cx: &mut B, op: &Op, args: &[V]) -> R<Option<Vec<V>>> {
    let mut types: Vec<TensorType> = args.iter().map(|v| cx.ty(*v).clone()).collect();
    let mut pairs = vec![];
    while let Err(e) = infer(op, &types.iter().collect::<Vec<_>>(), &cx.top().graph) {
        let Some((a, b)) = e.unequal.map(|p| *p) else { return Ok(None) };
        if pairs.len() == MAX_PAIRS || !cx.unequal(&a, &b) {
            return Ok(None);
        }
        // Where no argument has the second, the op itself says it.
        let has = |d: &Dim| types.iter().any(|t| t.shape.contains(d));
        let (from, to) = if has(&b) { (b, a) } else { (a, b) };
        types.iter_mut().flat_map(|t| t.shape.iter_mut()).filter(|d| **d == from).for_each(|d| *d = to.clone());
        pairs.push((from, to));
    }
    for (a, b) in &pairs {
        expect_equal(cx, a, b)?;
    }
    args.iter().zip(types).map(|(v, ty)| cx.reshape(*v, ty.shape.to_vec())).collect::<R<_>>().map(Some)
}
