//! Einstein sums, as older producers write them: sums along the axes that one side has alone, then one product.

use beiming_ir::ops::{BinaryOp, Op, ReduceOp};
use beiming_ir::types::DType;

use super::super::cx::Cx;
use super::super::value::Val;
use super::complex::product;
use super::dot::{Axes, contract};
use super::{Row, any};
use crate::import::build::Build;
use crate::import::error::Clean;
use crate::import::fail::{R, bad_arguments, bad_attribute};
use crate::import::frame::V;

pub const OPS: &[Row] = &[any("stablehlo.einsum", binary), any("stablehlo.unary_einsum", unary)];

/// The axes of a tensor by name: letters, and for those that `...` stands for characters of no alphabet, counted from the last.
type Labels = Vec<char>;

/// First name of the axes under `...`.
const ELLIPSIS: u32 = 0xE000;

/// The names of the axes of the arguments and of the result.
fn labels(cx: &Cx<'_, '_>) -> R<(Vec<Labels>, Labels)> {
    let config = cx.text("einsum_config")?;
    let wrong = |why: &str| bad_attribute(format!("einsum `{}`: {why}", Clean(config)));
    let Some((from, to)) = config.split_once("->") else { return wrong("`->` is missing") };
    let from: Vec<&str> = from.split(',').map(str::trim).collect();
    if from.len() != cx.args.len() {
        return wrong(&format!("{} sides for {} arguments", from.len(), cx.args.len()));
    }
    let mut most = 0;
    let mut sides = vec![];
    for (text, x) in from.iter().zip(&cx.args) {
        let rank = cx.shape_of(x)?.len();
        let letters = text.replace("...", "").chars().count();
        let rest = match text.contains("...") {
            true => rank.saturating_sub(letters),
            false => 0,
        };
        if letters + rest != rank {
            return wrong(&format!("{letters} letters for a tensor of rank {rank}"));
        }
        most = most.max(rest);
        sides.push(named(text, rest));
    }
    let to = named(to.trim(), most);
    let every = || sides.iter().flatten().chain(&to);
    let sound = |c: &char| c.is_ascii_alphabetic() || *c as u32 >= ELLIPSIS;
    if !every().all(sound) || to.iter().any(|c| !sides.iter().flatten().any(|s| s == c)) {
        return wrong("axes are named by letters, those of the result by letters of the sides");
    }
    if (1..to.len()).any(|i| to[..i].contains(&to[i])) {
        return wrong("the result names an axis twice");
    }
    Ok((sides, to))
}

/// A side with `...` spelled out as `rest` axes.
fn named(text: &str, rest: usize) -> Labels {
    let spelled = (0..rest as u32).rev().filter_map(|i| char::from_u32(ELLIPSIS + i));
    match text.split_once("...") {
        Some((a, b)) => a.chars().chain(spelled).chain(b.chars()).collect(),
        None => text.chars().collect(),
    }
}

/// Takes diagonals where a name stands twice, and sums along the axes that are not kept.
fn prepared(cx: &mut Cx<'_, '_>, x: &Val, names: &mut Labels, keep: &dyn Fn(char) -> bool) -> R<Val> {
    let mut x = x.clone();
    while let Some((i, j)) = (1..names.len()).find_map(|j| Some((names[..j].iter().position(|c| *c == names[j])?, j))) {
        x = cx.map(&x, |cx, v| diagonal(cx, v, i, j))?;
        names.remove(j);
    }
    let gone: Vec<usize> = (0..names.len()).filter(|i| !keep(names[*i])).collect();
    names.retain(|c| keep(*c));
    cx.map(&x, |cx, v| cx.reduce(ReduceOp::Sum, v, gone.clone(), false))
}

/// The elements at equal positions of two axes, along the first.
fn diagonal(cx: &mut Cx<'_, '_>, v: V, i: usize, j: usize) -> R {
    let shape = cx.shape(v);
    if shape[i] != shape[j] {
        return bad_arguments(format!("a diagonal of axes of extents {} and {}", shape[i], shape[j]));
    }
    let count = |cx: &mut Cx<'_, '_>, axis| cx.emit(Op::Iota { dtype: DType::I64, shape: shape.clone(), axis }, &[]);
    let (a, b) = (count(cx, i)?, count(cx, j)?);
    let on = cx.binary(BinaryOp::Eq, a, b)?;
    let zero = cx.scalar_like(v, 0.0);
    let kept = cx.emit(Op::Select, &[on, v, zero])?;
    cx.reduce(ReduceOp::Sum, kept, vec![j], false)
}

/// Brings named axes to the order of the result.
fn ordered(cx: &mut Cx<'_, '_>, x: &Val, names: &[char], to: &[char]) -> R<Val> {
    let perm: Option<Vec<usize>> = to.iter().map(|c| names.iter().position(|n| n == c)).collect();
    match perm {
        Some(p) if p.len() == names.len() => cx.map(x, |cx, v| cx.transpose(v, p.clone())),
        _ => bad_attribute("the sides do not hold every axis of the result"),
    }
}

fn unary(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (mut sides, to) = labels(cx)?;
    let x = cx.val(0)?;
    let x = prepared(cx, &x, &mut sides[0], &|c| to.contains(&c))?;
    Ok(vec![ordered(cx, &x, &sides[0], &to)?])
}

fn binary(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (sides, to) = labels(cx)?;
    let [mut a, mut b] = [sides[0].clone(), sides[1].clone()];
    let (x, y) = (cx.val(0)?, cx.val(1)?);
    let x = prepared(cx, &x, &mut a, &|c| to.contains(&c) || sides[1].contains(&c))?;
    let y = prepared(cx, &y, &mut b, &|c| to.contains(&c) || sides[0].contains(&c))?;
    let shared: Labels = a.iter().copied().filter(|c| b.contains(c)).collect();
    let (batch, sum): (Labels, Labels) = shared.into_iter().partition(|c| to.contains(c));
    let at = |names: &Labels, of: &Labels| of.iter().filter_map(|c| names.iter().position(|n| n == c)).collect();
    let axes = Axes { batch: [at(&a, &batch), at(&b, &batch)], contract: [at(&a, &sum), at(&b, &sum)] };
    let dtype = cx.result_dtype(0)?;
    let z = match (&x, &y) {
        (Val::Plain(x), Val::Plain(y)) => Val::Plain(contract(cx, *x, *y, &axes, dtype)?),
        (Val::Complex(..), Val::Complex(..)) => product(cx, &x, &y, &axes, dtype)?,
        _ => return bad_arguments(format!("a product of {} and {}", x.kind(), y.kind())),
    };
    let free = |names: &Labels| names.iter().copied().filter(|c| !batch.contains(c) && !sum.contains(c)).collect::<Labels>();
    let names = [batch.clone(), free(&a), free(&b)].concat();
    Ok(vec![ordered(cx, &z, &names, &to)?])
}
