//! Einstein summation: each pair of operands becomes one batched matrix product over transposed and merged axes.

use beiming_ir::ops::{BinaryOp, Op, ReduceOp, Slice};
use beiming_ir::types::Dim;

use super::super::node::{Cx, R, bad_arguments, bad_attribute, product, unsupported};
use super::{MANY, Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] = &[row("Einsum", &[12, 28], MANY, einsum)];

/// A tensor with a label for each axis. Letters stand for themselves, numbers below 64 for axes of the ellipsis.
#[derive(Clone)]
struct Term {
    v: V,
    labels: Vec<u32>,
}

/// Labels of one term of the equation; `None` for the ellipsis.
fn parse(term: &str) -> R<Vec<Option<u32>>> {
    let mut out = vec![];
    let mut rest = term;
    while let Some(c) = rest.chars().next() {
        if let Some(r) = rest.strip_prefix("...") {
            if out.contains(&None) {
                return bad_attribute(format!("the term `{term}` of the equation holds `...` twice"));
            }
            out.push(None);
            rest = r;
        } else if c.is_ascii_alphabetic() {
            out.push(Some(c as u32));
            rest = &rest[1..];
        } else {
            return bad_attribute(format!("the term `{term}` of the equation holds `{}`", c.escape_default()));
        }
    }
    Ok(out)
}

fn einsum(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let args = cx.all()?;
    let equation: String = cx.string("equation", "")?.chars().filter(|c| !c.is_whitespace()).collect();
    let (left, right) = match equation.split_once("->") {
        Some((l, r)) => (l, Some(r)),
        None => (equation.as_str(), None),
    };
    let parsed = left.split(',').map(parse).collect::<R<Vec<_>>>()?;
    if parsed.len() != args.len() {
        return bad_attribute(format!("the equation has {} terms for {} inputs", parsed.len(), args.len()));
    }
    // The ellipsis stands for as many axes as its widest term has left over; narrower ones are aligned at the right.
    let mut width = 0;
    for (p, v) in parsed.iter().zip(&args) {
        let letters = p.iter().flatten().count();
        let rank = cx.rank(*v);
        if letters > rank || (letters < rank && !p.contains(&None)) {
            return bad_arguments(format!("a term of {letters} labels for an input of rank {rank}"));
        }
        width = width.max(rank - letters);
    }
    let mut terms = vec![];
    for (p, v) in parsed.iter().zip(&args) {
        let mine = cx.rank(*v) - p.iter().flatten().count();
        let labels = p.iter().flat_map(|l| match l {
            Some(l) => vec![*l],
            None => (width - mine..width).map(|i| i as u32).collect(),
        });
        terms.push(Term { v: *v, labels: labels.collect() });
    }
    let ellipsis: Vec<u32> = (0..width as u32).collect();
    let wanted: Vec<u32> = match right {
        Some(r) => parse(r)?.into_iter().flat_map(|l| l.map_or(ellipsis.clone(), |l| vec![l])).collect(),
        None => {
            let mut all: Vec<u32> = parsed.iter().flatten().flatten().copied().collect();
            all.sort_unstable();
            let once = all.iter().filter(|l| all.iter().filter(|k| k == l).count() == 1);
            ellipsis.iter().chain(once).copied().collect()
        }
    };
    let mut sorted = wanted.clone();
    sorted.sort_unstable();
    if sorted.windows(2).any(|w| w[0] == w[1]) || wanted.iter().any(|l| !terms.iter().any(|t| t.labels.contains(l))) {
        return bad_attribute("the result of the equation repeats a label, or has one that no term has".to_string());
    }
    for t in &mut terms {
        diagonal(cx, t)?;
    }
    drop_ones(cx, &mut terms, &wanted)?;
    let mut rest = terms.into_iter();
    let Some(mut acc) = rest.next() else { return bad_arguments("it has no inputs") };
    let rest: Vec<Term> = rest.collect();
    for i in 0..=rest.len() {
        let keep = |l: &u32| wanted.contains(l) || rest[i..].iter().any(|t| t.labels.contains(l));
        sum_out(cx, &mut acc, &keep)?;
        let Some(next) = rest.get(i) else { break };
        let mut next = next.clone();
        let later = |l: &u32| wanted.contains(l) || rest[i + 1..].iter().any(|t| t.labels.contains(l));
        let labels = acc.labels.clone();
        sum_out(cx, &mut next, &|l| later(l) || labels.contains(l))?;
        acc = combine(cx, &acc, &next, &later)?;
    }
    let mut perm = vec![];
    let mut shape = vec![];
    for l in &wanted {
        match acc.labels.iter().position(|k| k == l) {
            Some(p) => {
                perm.push(p);
                shape.push(cx.shape(acc.v)[p].clone());
            }
            // An axis of extent 1 that was dropped.
            None => shape.push(1.into()),
        }
    }
    let y = cx.transpose(acc.v, perm)?;
    Ok(vec![cx.reshape(y, shape)?])
}

/// Takes the diagonal where a term has a label twice.
fn diagonal(cx: &mut Cx<'_, '_>, t: &mut Term) -> R<()> {
    while let Some((i, j)) =
        (0..t.labels.len()).flat_map(|i| (i + 1..t.labels.len()).map(move |j| (i, j))).find(|(i, j)| t.labels[*i] == t.labels[*j])
    {
        let n = cx.extent(t.v, i, "the extent of a repeated label")?;
        if cx.extent(t.v, j, "the extent of a repeated label")? != n {
            return bad_arguments("the extents of a repeated label differ");
        }
        let mut perm: Vec<usize> = (0..t.labels.len()).filter(|a| *a != i && *a != j).collect();
        t.labels = perm.iter().map(|a| t.labels[*a]).chain([t.labels[i]]).collect();
        perm.extend([i, j]);
        let v = cx.transpose(t.v, perm)?;
        let mut shape = cx.shape(v);
        shape.truncate(shape.len() - 2);
        shape.push((n * n).into());
        let v = cx.reshape(v, shape.clone())?;
        let rank = shape.len();
        let mut s = Slice { start: vec![Dim::Known(0); rank], len: shape, step: vec![1; rank] };
        s.len[rank - 1] = n.into();
        s.step[rank - 1] = n as i64 + 1;
        t.v = cx.emit(Op::Slice(s), &[v])?;
    }
    Ok(())
}

/// Drops axes of extent 1 that broadcast against a larger extent of the same label elsewhere, or that vanish anyway.
fn drop_ones(cx: &mut Cx<'_, '_>, terms: &mut [Term], wanted: &[u32]) -> R<()> {
    for k in 0..terms.len() {
        let dims = cx.shape(terms[k].v);
        let larger =
            |l: &u32| terms.iter().any(|t| t.labels.iter().position(|m| m == l).is_some_and(|p| !cx.shape(t.v)[p].is(1)));
        let labels = &terms[k].labels;
        let gone: Vec<bool> = labels.iter().zip(&dims).map(|(l, d)| d.is(1) && (larger(l) || !wanted.contains(l))).collect();
        if gone.contains(&true) {
            let kept = |v: bool| !v;
            let shape = dims.iter().zip(&gone).filter(|(_, g)| kept(**g)).map(|(d, _)| d.clone()).collect();
            let labels = labels.iter().zip(&gone).filter(|(_, g)| kept(**g)).map(|(l, _)| *l).collect();
            terms[k] = Term { v: cx.reshape(terms[k].v, shape)?, labels };
        }
    }
    Ok(())
}

/// Sums over the labels that nothing needs any more.
fn sum_out(cx: &mut Cx<'_, '_>, t: &mut Term, keep: &dyn Fn(&u32) -> bool) -> R<()> {
    let axes: Vec<usize> = (0..t.labels.len()).filter(|i| !keep(&t.labels[*i])).collect();
    t.v = cx.reduce(ReduceOp::Sum, t.v, axes, false)?;
    t.labels.retain(|l| keep(l));
    Ok(())
}

/// One product: labels of both that are kept become batches, the others of both are contracted.
fn combine(cx: &mut Cx<'_, '_>, a: &Term, b: &Term, keep: &dyn Fn(&u32) -> bool) -> R<Term> {
    let shared = |l: &&u32| b.labels.contains(l);
    let batch: Vec<u32> = a.labels.iter().filter(shared).filter(|l| keep(l)).copied().collect();
    let inner: Vec<u32> = a.labels.iter().filter(shared).filter(|l| !keep(l)).copied().collect();
    let rows: Vec<u32> = a.labels.iter().filter(|l| !b.labels.contains(l)).copied().collect();
    let columns: Vec<u32> = b.labels.iter().filter(|l| !a.labels.contains(l)).copied().collect();
    let extent = |cx: &Cx<'_, '_>, l: &u32| -> Dim {
        let of = |t: &Term| t.labels.iter().position(|k| k == l).map(|p| cx.shape(t.v)[p].clone());
        match (of(a), of(b)) {
            (Some(x), Some(y)) => {
                if x.known().is_some() {
                    x
                } else {
                    y
                }
            }
            (x, y) => x.or(y).unwrap_or_default(),
        }
    };
    let extents = |cx: &Cx<'_, '_>, ls: &[u32]| ls.iter().map(|l| extent(cx, l)).collect::<Vec<Dim>>();
    let (bd, id, rd, cd) = (extents(cx, &batch), extents(cx, &inner), extents(cx, &rows), extents(cx, &columns));
    let arranged = |cx: &mut Cx<'_, '_>, t: &Term, order: [&[u32]; 3]| -> R {
        let perm: Vec<usize> = order.iter().copied().flatten().filter_map(|l| t.labels.iter().position(|k| k == l)).collect();
        if perm.len() != t.labels.len() {
            return unsupported("labels that cannot be arranged");
        }
        cx.transpose(t.v, perm)
    };
    let x = arranged(cx, a, [&batch, &rows, &inner])?;
    let y = arranged(cx, b, [&batch, &inner, &columns])?;
    let ones = |n: usize| vec![Dim::from(1); n];
    let joined = if inner.is_empty() {
        let x = cx.reshape(x, [bd.clone(), rd.clone(), ones(cd.len())].concat())?;
        let y = cx.reshape(y, [bd.clone(), ones(rd.len()), cd.clone()].concat())?;
        cx.binary(BinaryOp::Mul, x, y)?
    } else {
        let out = cx.dtype(x);
        let x = cx.reshape(x, [bd.clone(), vec![product(&rd), product(&id)]].concat())?;
        let y = cx.reshape(y, [bd.clone(), vec![product(&id), product(&cd)]].concat())?;
        cx.emit(Op::MatMul { out }, &[x, y])?
    };
    let v = cx.reshape(joined, [bd, rd, cd].concat())?;
    Ok(Term { v, labels: [batch, rows, columns].concat() })
}
