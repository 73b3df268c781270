//! Ops that move elements: reshapes as `tensor.collapse_shape` and `tensor.expand_shape`, numpy's broadcast as `linalg.broadcast`.

use beiming_ir::ops::{PadMode, Slice};
use beiming_ir::tensor::Num;
use beiming_ir::types::Dim;
use melior::ir::Type;

use crate::build::{Builder, Val, Why, element};

/// Known extents.
pub fn known(shape: &[Dim]) -> Result<Vec<usize>, Why> {
    let one = |d: &Dim| d.known().and_then(|v| usize::try_from(v).ok()).ok_or_else(|| format!("the extent `{d}` is not known"));
    shape.iter().map(one).collect()
}

/// Lists of neighbouring `long` axes whose product is each `short` axis; `None` where there are none.
fn groups(long: &[usize], short: &[usize]) -> Option<Vec<Vec<usize>>> {
    if long.contains(&0) {
        return (long == short).then(|| (0..long.len()).map(|a| vec![a]).collect());
    }
    let (mut out, mut at) = (vec![], 0);
    for &want in short {
        let (mut group, mut have) = (vec![], 1);
        while group.is_empty() || have < want {
            have *= long.get(at)?;
            group.push(at);
            at += 1;
        }
        if have != want {
            return None;
        }
        out.push(group);
    }
    // Axes of one element at the end belong to the last group; a scalar has none, and takes them all.
    if long[at..].iter().any(|&d| d != 1) {
        return None;
    }
    match out.last_mut() {
        Some(last) => last.extend(at..long.len()),
        None => return Some(out),
    }
    Some(out)
}

fn collapse<'c, 'b>(b: &Builder<'c, 'b>, x: &Val<'c, 'b>, to: &[usize], g: &[Vec<usize>]) -> Result<Val<'c, 'b>, Why> {
    b.make("tensor.collapse_shape", &[x], x.dtype, to, &[b.reassociation(g)], vec![])
}

fn expand<'c, 'b>(b: &Builder<'c, 'b>, x: &Val<'c, 'b>, to: &[usize], g: &[Vec<usize>]) -> Result<Val<'c, 'b>, Why> {
    let shape = b.i64s(to.iter().map(|&d| d as i64));
    b.make("tensor.expand_shape", &[x], x.dtype, to, &[b.reassociation(g), ("static_output_shape", shape)], vec![])
}

/// The same elements in row-major order under another shape.
pub fn reshape<'c, 'b>(b: &Builder<'c, 'b>, x: &Val<'c, 'b>, to: &[usize]) -> Result<Val<'c, 'b>, Why> {
    if x.shape == to {
        return Ok(x.clone());
    }
    if x.shape.len() > to.len()
        && let Some(g) = groups(&x.shape, to)
    {
        return collapse(b, x, to, &g);
    }
    if x.shape.len() < to.len()
        && let Some(g) = groups(to, &x.shape)
    {
        return expand(b, x, to, &g);
    }
    let all = |rank: usize| [(0..rank).collect::<Vec<_>>()];
    if x.shape.contains(&0) {
        return b.empty(x.dtype, to);
    }
    let flat = if x.shape.len() > 1 { collapse(b, x, &[x.len()], &all(x.shape.len()))? } else { reshape(b, x, &[x.len()])? };
    if to.len() > 1 { expand(b, &flat, to, &all(to.len())) } else { reshape(b, &flat, to) }
}

/// Numpy's broadcast.
pub fn broadcast<'c, 'b>(b: &Builder<'c, 'b>, x: &Val<'c, 'b>, to: &[usize]) -> Result<Val<'c, 'b>, Why> {
    if x.shape == to {
        return Ok(x.clone());
    }
    let before = to.len().checked_sub(x.shape.len()).ok_or_else(|| format!("{:?} does not broadcast to {to:?}", x.shape))?;
    let added = |a: usize| a < before || (x.shape[a - before] == 1 && to[a] != 1);
    let kept: Vec<usize> = (0..to.len()).filter(|&a| !added(a)).map(|a| to[a]).collect();
    let axes: Vec<i64> = (0..to.len()).filter(|&a| added(a)).map(|a| a as i64).collect();
    let x = reshape(b, x, &kept)?;
    if axes.is_empty() {
        return Ok(x);
    }
    into(b, "linalg.broadcast", &x, to, ("dimensions", axes))
}

/// Result axis `i` is axis `perm[i]` of `x`.
pub fn transpose<'c, 'b>(b: &Builder<'c, 'b>, x: &Val<'c, 'b>, perm: &[usize]) -> Result<Val<'c, 'b>, Why> {
    let to: Vec<usize> = perm.iter().map(|&p| x.shape[p]).collect();
    // Nothing moves where only axes of one element change their place.
    let long = |p: &&usize| x.shape[**p] != 1;
    if perm.iter().filter(long).is_sorted() {
        return reshape(b, x, &to);
    }
    into(b, "linalg.transpose", x, &to, ("permutation", perm.iter().map(|&p| p as i64).collect()))
}

/// An op of `linalg` that writes the elements of `x` into a new tensor.
fn into<'c, 'b>(
    b: &Builder<'c, 'b>,
    name: &str,
    x: &Val<'c, 'b>,
    to: &[usize],
    (attribute, axes): (&str, Vec<i64>),
) -> Result<Val<'c, 'b>, Why> {
    let out = b.empty(x.dtype, to)?;
    let ty = element(b.context, x.dtype)?;
    let region = b.region(&[ty, ty], |b, a| b.yield_(a[0]))?;
    b.make(name, &[x, &out], x.dtype, to, &[(attribute, b.i64s(axes))], vec![region])
}

/// A part of `x` by starts, lengths and steps, each positive.
fn part<'c, 'b>(b: &Builder<'c, 'b>, x: &Val<'c, 'b>, at: &[usize], len: &[usize], step: &[i64]) -> Result<Val<'c, 'b>, Why> {
    let i64s = |v: &[usize]| b.i64s(v.iter().map(|&d| d as i64));
    let attributes = [
        ("static_offsets", i64s(at)),
        ("static_sizes", i64s(len)),
        ("static_strides", b.i64s(step.iter().copied())),
        b.segments(&[1, 0, 0, 0]),
    ];
    b.make("tensor.extract_slice", &[x], x.dtype, len, &attributes, vec![])
}

/// A static slice.
pub fn slice<'c, 'b>(b: &Builder<'c, 'b>, x: &Val<'c, 'b>, p: &Slice) -> Result<Val<'c, 'b>, Why> {
    let (at, len) = (known(&p.start)?, known(&p.len)?);
    if p.step.iter().zip(&len).any(|(s, n)| *s < 1 && *n > 1) {
        return Err("a slice that goes backwards has no form in tensor".into());
    }
    let step: Vec<i64> = p.step.iter().map(|s| (*s).max(1)).collect();
    part(b, x, &at, &len, &step)
}

/// The elements at one position of an axis, which vanishes.
pub fn at<'c, 'b>(b: &Builder<'c, 'b>, x: &Val<'c, 'b>, axis: usize, position: usize) -> Result<Val<'c, 'b>, Why> {
    let (mut start, mut len) = (vec![0; x.shape.len()], x.shape.clone());
    (start[axis], len[axis]) = (position, 1);
    let row = part(b, x, &start, &len, &vec![1; len.len()])?;
    len.remove(axis);
    reshape(b, &row, &len)
}

/// Tensors joined along an axis.
pub fn concat<'c, 'b>(b: &Builder<'c, 'b>, parts: &[&Val<'c, 'b>], axis: usize) -> Result<Val<'c, 'b>, Why> {
    let first = parts.first().ok_or("nothing to join")?;
    let mut to = first.shape.clone();
    to[axis] = parts.iter().map(|p| p.shape[axis]).sum();
    b.make("tensor.concat", parts, first.dtype, &to, &[("dim", b.i64(axis as i64))], vec![])
}

/// Padding by a constant number; negative amounts crop first.
pub fn pad<'c, 'b>(
    b: &Builder<'c, 'b>,
    x: &Val<'c, 'b>,
    amounts: (&[Dim], &[Dim]),
    mode: PadMode,
    value: Option<Num>,
) -> Result<Val<'c, 'b>, Why> {
    if mode != PadMode::Constant {
        return Err(format!("padding of kind {mode:?} has no form in tensor"));
    }
    let value = value.ok_or("padding by a number that is not a constant")?;
    let amount = |d: &Dim| d.known().ok_or_else(|| format!("the amount `{d}` is not known"));
    let lo = amounts.0.iter().map(amount).collect::<Result<Vec<_>, _>>()?;
    let hi = amounts.1.iter().map(amount).collect::<Result<Vec<_>, _>>()?;
    pad_known(b, x, &lo, &hi, value)
}

/// [`pad`] by known amounts.
pub fn pad_known<'c, 'b>(b: &Builder<'c, 'b>, x: &Val<'c, 'b>, lo: &[i64], hi: &[i64], value: Num) -> Result<Val<'c, 'b>, Why> {
    let cut = |v: i64| (-v).max(0) as usize;
    let left: Option<Vec<usize>> = (0..lo.len()).map(|a| x.shape[a].checked_sub(cut(lo[a]) + cut(hi[a]))).collect();
    let left = left.ok_or("padding that crops more than there is")?;
    let start: Vec<usize> = lo.iter().map(|v| cut(*v)).collect();
    let x = &if left == x.shape { x.clone() } else { part(b, x, &start, &left, &vec![1; left.len()])? };
    if lo.iter().chain(hi).all(|a| *a <= 0) {
        return Ok(x.clone());
    }
    let to: Vec<usize> = (0..lo.len()).map(|a| x.shape[a] + (lo[a].max(0) + hi[a].max(0)) as usize).collect();
    let dtype = x.dtype;
    let region = b.region(&vec![Type::index(b.context); to.len()], |b, _| {
        b.op("tensor.yield", &[b.scalar(dtype, value)?], None, &[], vec![]).map(|_| ())
    })?;
    let attributes = [
        ("static_low", b.i64s(lo.iter().map(|v| (*v).max(0)))),
        ("static_high", b.i64s(hi.iter().map(|v| (*v).max(0)))),
        b.segments(&[1, 0, 0]),
    ];
    b.make("tensor.pad", &[x], dtype, &to, &attributes, vec![region])
}
