//! Steps of training as the preview domain has them: the new values of parameters and of what their optimiser keeps.

use beiming_ir::ops::{BinaryOp, UnaryOp};

use super::super::node::{Cx, R, bad_arguments, bad_attribute};
use super::{MANY, Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] =
    &[row("Adagrad", &[1], MANY, adagrad), row("Adam", &[1], MANY, adam), row("Momentum", &[1], MANY, momentum)];

/// The inputs: rate, number of the step, and for every parameter its tensors, of which there are `kinds`.
fn parameters(cx: &Cx<'_, '_>, kinds: usize) -> R<(V, V, Vec<Vec<V>>)> {
    let all = cx.all()?;
    let [rate, step, rest @ ..] = &all[..] else { return bad_arguments("it needs a rate and the number of the step") };
    if rest.is_empty() || rest.len() % kinds != 0 {
        return bad_arguments(format!("its {} tensors are not {kinds} for every parameter", rest.len()));
    }
    let n = rest.len() / kinds;
    Ok((*rate, *step, (0..n).map(|i| (0..kinds).map(|k| rest[k * n + i]).collect()).collect()))
}

/// Results by kind, of every parameter one.
fn by_kind(rows: Vec<Vec<V>>) -> Vec<V> {
    let kinds = rows.first().map_or(0, Vec::len);
    (0..kinds).flat_map(|k| rows.iter().map(move |r| r[k])).collect()
}

/// `x * factor + gradient`.
fn regularised(cx: &mut Cx<'_, '_>, x: V, gradient: V, factor: f64) -> R {
    let t = cx.with(BinaryOp::Mul, x, factor)?;
    cx.binary(BinaryOp::Add, t, gradient)
}

/// `a * x + b * y`.
fn mixed(cx: &mut Cx<'_, '_>, a: f64, x: V, b: f64, y: V) -> R {
    let (x, y) = (cx.with(BinaryOp::Mul, x, a)?, cx.with(BinaryOp::Mul, y, b)?);
    cx.binary(BinaryOp::Add, x, y)
}

/// Where the step's number is above zero `later`, else `first`.
fn after_first(cx: &mut Cx<'_, '_>, step: V, later: V, first: V) -> R {
    let begun = cx.with(BinaryOp::Gt, step, 0.0)?;
    cx.select(begun, later, first)
}

fn adagrad(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (rate, step, rows) = parameters(cx, 3)?;
    let (decay, eps, norm) = (cx.float("decay_factor", 0.0)?, cx.float("epsilon", 1e-6)?, cx.float("norm_coefficient", 0.0)?);
    let mut out = vec![];
    for r in rows {
        let [x, g, h] = r[..] else { continue };
        let t = cx.cast(step, cx.dtype(x))?;
        let t = cx.with(BinaryOp::Mul, t, decay)?;
        let t = cx.with(BinaryOp::Add, t, 1.0)?;
        let rate = cx.cast(rate, cx.dtype(x))?;
        let rate = cx.binary(BinaryOp::Div, rate, t)?;
        let g = regularised(cx, x, g, norm)?;
        let square = cx.binary(BinaryOp::Mul, g, g)?;
        let h = cx.binary(BinaryOp::Add, h, square)?;
        let root = cx.unary(UnaryOp::Sqrt, h)?;
        let root = cx.with(BinaryOp::Add, root, eps)?;
        let d = cx.binary(BinaryOp::Mul, rate, g)?;
        let d = cx.binary(BinaryOp::Div, d, root)?;
        out.push(vec![cx.binary(BinaryOp::Sub, x, d)?, h]);
    }
    Ok(by_kind(out))
}

fn adam(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (rate, step, rows) = parameters(cx, 4)?;
    let (alpha, beta, eps) = (cx.float("alpha", 0.9)?, cx.float("beta", 0.999)?, cx.float("epsilon", 1e-6)?);
    let (norm, post) = (cx.float("norm_coefficient", 0.0)?, cx.float("norm_coefficient_post", 0.0)?);
    let mut out = vec![];
    for r in rows {
        let [x, g, v, h] = r[..] else { continue };
        let dtype = cx.dtype(x);
        let g = regularised(cx, x, g, norm)?;
        let v = mixed(cx, alpha, v, 1.0 - alpha, g)?;
        let square = cx.binary(BinaryOp::Mul, g, g)?;
        let h = mixed(cx, beta, h, 1.0 - beta, square)?;
        let root = cx.unary(UnaryOp::Sqrt, h)?;
        let root = cx.with(BinaryOp::Add, root, eps)?;
        // What the means still lack of their full size after so many steps.
        let t = cx.cast(step, dtype)?;
        let mut lacks = vec![];
        for base in [alpha, beta] {
            let base = cx.scalar(dtype, base);
            let power = cx.binary(BinaryOp::Pow, base, t)?;
            let one = cx.scalar(dtype, 1.0);
            lacks.push(cx.binary(BinaryOp::Sub, one, power)?);
        }
        let rate = cx.cast(rate, dtype)?;
        let second = cx.unary(UnaryOp::Sqrt, lacks[1])?;
        let adjusted = cx.binary(BinaryOp::Mul, rate, second)?;
        let adjusted = cx.binary(BinaryOp::Div, adjusted, lacks[0])?;
        let rate = after_first(cx, step, adjusted, rate)?;
        let d = cx.binary(BinaryOp::Div, v, root)?;
        let d = cx.binary(BinaryOp::Mul, rate, d)?;
        let x = cx.binary(BinaryOp::Sub, x, d)?;
        out.push(vec![cx.with(BinaryOp::Mul, x, 1.0 - post)?, v, h]);
    }
    Ok(by_kind(out))
}

fn momentum(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (rate, step, rows) = parameters(cx, 3)?;
    let (alpha, beta, norm) = (cx.float("alpha", 0.0)?, cx.float("beta", 0.0)?, cx.float("norm_coefficient", 0.0)?);
    let nesterov = match cx.string("mode", "standard")?.as_str() {
        "standard" => false,
        "nesterov" => true,
        m => return bad_attribute(format!("attribute `mode` is `{m}`; allowed are standard, nesterov")),
    };
    let mut out = vec![];
    for r in rows {
        let [x, g, v] = r[..] else { continue };
        let dtype = cx.dtype(x);
        let g = regularised(cx, x, g, norm)?;
        let (later, first) = (cx.scalar(dtype, beta), cx.scalar(dtype, 1.0));
        let share = after_first(cx, step, later, first)?;
        let old = cx.with(BinaryOp::Mul, v, alpha)?;
        let new = cx.binary(BinaryOp::Mul, g, share)?;
        let v = cx.binary(BinaryOp::Add, old, new)?;
        let d = if nesterov { mixed(cx, 1.0, g, alpha, v)? } else { v };
        let rate = cx.cast(rate, dtype)?;
        let d = cx.binary(BinaryOp::Mul, rate, d)?;
        out.push(vec![cx.binary(BinaryOp::Sub, x, d)?, v]);
    }
    Ok(by_kind(out))
}
