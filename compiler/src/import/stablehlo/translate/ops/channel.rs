//! Values that come from or go to others: effects, kept in the order of the program. What this participant sends to itself it
//! has already.

use beiming_ir::ops::{Channel, ChannelKind, Op};
use beiming_ir::types::{DType, Dim, TensorType};

use super::super::cx::Cx;
use super::super::value::{Val, flatten};
use super::collective::{channel, pairs};
use super::{Row, any};
use crate::import::build::Build;
use crate::import::fail::{Fail, R, bad_arguments, unsupported};
use crate::import::stablehlo::syntax::{Attr, Block, Element, Operation, Type};

pub const OPS: &[Row] = &[
    any("stablehlo.infeed", infeed),
    any("stablehlo.outfeed", outfeed),
    any("stablehlo.recv", recv),
    any("stablehlo.send", send),
];

/// The arguments before the token.
fn values(cx: &Cx<'_, '_>) -> R<Vec<Val>> {
    match cx.args.split_last() {
        Some((Val::Token, values)) => Ok(values.to_vec()),
        _ => bad_arguments("its last argument must be a token"),
    }
}

/// The declared results before the token, over values still to come: their types, and how many each takes.
fn results(cx: &Cx<'_, '_>) -> R<(Vec<TensorType>, Vec<Type>)> {
    let mut declared = vec![];
    for i in 0..cx.op.results.len() {
        declared.push(cx.result_type(i)?.clone());
    }
    let Some(Type::Token) = declared.pop() else { return bad_arguments("its last result must be a token") };
    let mut types = vec![];
    declared.iter().try_for_each(|t| planes(t, &mut types))?;
    Ok((types, declared))
}

fn planes(ty: &Type, out: &mut Vec<TensorType>) -> R<()> {
    match ty {
        Type::Tuple(parts) => parts.iter().try_for_each(|p| planes(p, out)),
        Type::Tensor(t) => {
            let extent = |e: &Option<u64>| e.and_then(|e| i64::try_from(e).ok()).map(Dim::Known);
            let Some(shape) = t.shape.iter().map(extent).collect::<Option<Vec<Dim>>>() else {
                return unsupported("values of open extents that come from others");
            };
            let (dtype, n) = match &t.element {
                Element::Plain(DType::C64) => (DType::F32, 2),
                Element::Plain(DType::C128) => (DType::F64, 2),
                Element::Plain(d) => (*d, 1),
                Element::Index => (DType::I64, 1),
                Element::Quantized(q) => (q.storage, 1),
            };
            out.extend(std::iter::repeat_n(TensorType::new(dtype, shape), n));
            Ok(())
        }
        _ => bad_arguments("it gives tensors, tuples of them and a token"),
    }
}

/// The value of a declared type over graph values in order.
fn value(ty: &Type, from: &mut impl Iterator<Item = crate::import::frame::V>) -> Option<Val> {
    Some(match ty {
        Type::Tuple(parts) => Val::Tuple(parts.iter().map(|p| value(p, from)).collect::<Option<_>>()?),
        Type::Tensor(t) => match &t.element {
            Element::Plain(DType::C64 | DType::C128) => Val::Complex(from.next()?, from.next()?),
            Element::Quantized(q) => Val::Quantized(from.next()?, q.clone()),
            _ => Val::Plain(from.next()?),
        },
        _ => return None,
    })
}

/// Emits an effect after those before it, and gives its results and the token.
fn emit(cx: &mut Cx<'_, '_>, p: Channel, args: &[Val], declared: &[Type]) -> R<Vec<Val>> {
    let mut inputs = flatten(args);
    inputs.push(cx.walk.effect());
    let mut outs = cx.emit_all(Op::Channel(p), &inputs)?;
    cx.walk.set_effect(outs.pop());
    let mut outs = outs.into_iter();
    let vals: Option<Vec<Val>> = declared.iter().map(|t| value(t, &mut outs)).collect();
    Ok(vals.ok_or(Fail::Poisoned)?.into_iter().chain([Val::Token]).collect())
}

fn infeed(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    values(cx)?;
    let (results, declared) = results(cx)?;
    let config = cx.text_opt("infeed_config")?.unwrap_or("").to_string();
    emit(cx, Channel { host: true, config, results, ..Channel::new(ChannelKind::Infeed) }, &[], &declared)
}

fn outfeed(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let given = values(cx)?;
    let config = cx.text_opt("outfeed_config")?.unwrap_or("").to_string();
    emit(cx, Channel { host: true, config, ..Channel::new(ChannelKind::Outfeed) }, &given, &[])
}

fn send(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let given = values(cx)?;
    if to_itself(cx)? {
        let number = channel(cx)?;
        cx.walk.posted.insert(number, given);
        return Ok(vec![Val::Token]);
    }
    let p = Channel {
        channel: channel(cx)?,
        host: cx.flag("is_host_transfer")?,
        pairs: pairs(cx)?,
        ..Channel::new(ChannelKind::Send)
    };
    emit(cx, p, &given, &[])
}

fn recv(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    values(cx)?;
    let number = channel(cx)?;
    let (results, declared) = results(cx)?;
    if let Some(posted) = cx.walk.posted.remove(&number) {
        let types: Vec<TensorType> = flatten(&posted).into_iter().map(|v| cx.ty(v).clone()).collect();
        if types != results {
            return bad_arguments(format!("it receives other types on channel {number} than are sent there"));
        }
        return Ok(posted.into_iter().chain([Val::Token]).collect());
    }
    let (host, pairs) = (cx.flag("is_host_transfer")?, pairs(cx)?);
    emit(cx, Channel { channel: number, host, pairs, results, ..Channel::new(ChannelKind::Recv) }, &[], &declared)
}

/// Whether what is sent comes back: this function itself, outside of its regions, receives next on the channel, once, and neither
/// side is the host or another participant.
fn to_itself(cx: &Cx<'_, '_>) -> R<bool> {
    if cx.flag("is_host_transfer")? || !pairs(cx)?.iter().all(|p| p[..] == [0, 0]) {
        return Ok(false);
    }
    let number = channel(cx)?;
    let all = on_channel(&cx.function.body, number);
    let ops = &cx.function.body.ops;
    let place = |op: &Operation| ops.iter().position(|o| std::ptr::eq(o, op));
    Ok(match all[..] {
        [s, r] => {
            let own = |a: &Attr| a.ints().is_none_or(|p| p.iter().all(|m| *m == 0));
            let here = std::ptr::eq(s, cx.op) && &*r.name == "stablehlo.recv";
            let host = matches!(r.attrs.get("is_host_transfer"), Some(Attr::Bool(true) | Attr::Unit));
            here && !host && place(s).is_some() && place(r).is_some() && r.attrs.get("source_target_pairs").is_none_or(own)
        }
        _ => false,
    })
}

/// All that a block and its regions do on a channel, in order.
fn on_channel(block: &Block, number: i64) -> Vec<&Operation> {
    let mut out = vec![];
    for op in &block.ops {
        let handle = match op.attrs.get("channel_handle") {
            Some(Attr::Struct(_, fields)) => fields.get("handle"),
            _ => None,
        };
        let same = match handle {
            Some(Attr::Int(v, _)) => *v == number,
            _ => number == 0,
        };
        if same && matches!(&*op.name, "stablehlo.send" | "stablehlo.recv") {
            out.push(op);
        }
        op.regions.iter().for_each(|r| out.extend(on_channel(r, number)));
    }
    out
}
