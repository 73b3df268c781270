//! Scans: a function that takes a carry along one axis, as a loop of the graph.

use beiming_ir::ops::{Loop, Op};
use beiming_ir::types::{DType, Dim, TensorType};

use super::super::cx::Cx;
use super::super::value::{Val, flatten, rebuild};
use super::{Row, any};
use crate::import::build::Build;
use crate::import::fail::{Fail, R, SETTLE, bad_arguments, bad_attribute, unsupported};
use crate::import::frame::V;

pub const OPS: &[Row] = &[any("chlo.scan", scan)];

/// `(inputs.., inits..) -> (outputs.., carries..)`. The body takes a slice of each input and the carries, and gives a slice of
/// each output and the next carries; slices lack the scanned axis.
fn scan(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let body = cx.block(0)?;
    let segments = cx.ints("operandSegmentSizes")?;
    let count = match segments[..] {
        [inputs, inits] if inputs >= 0 && inits >= 0 && inputs as usize + inits as usize == cx.args.len() => inputs as usize,
        _ => return bad_attribute(format!("`operandSegmentSizes` {segments:?} does not divide its {} operands", cx.args.len())),
    };
    let (inputs, inits) = (cx.args[..count].to_vec(), cx.args[count..].to_vec());
    let (axis, trips) = extent(cx, &inputs)?;
    let reverse = cx.flag("is_reverse")?;
    let state = flatten(&inits);
    let own = state.iter().map(|v| cx.ty(*v).clone());
    let types: Vec<TensorType> =
        [TensorType::scalar(DType::I64), TensorType::scalar(DType::Bool)].into_iter().chain(own).collect();
    let (op, function, loc) = (cx.op, cx.function, cx.loc.clone());
    let mut like = vec![];
    let region = cx.walk.region("body", &types, |walk, formals| {
        let mut inner = Cx { walk, op, function, args: vec![], loc };
        let mut at = formals[0];
        if reverse {
            let last = inner.dim_scalar(trips.clone() - 1.into());
            at = inner.binary(beiming_ir::ops::BinaryOp::Sub, last, at)?;
        }
        let mut args = vec![];
        for x in &inputs {
            let here = inner.walk.captured(x)?;
            args.push(inner.map(&here, |cx, v| cx.emit(Op::Gather { axis }, &[v, at]))?);
        }
        args.extend(rebuild(&inits, &formals[2..]).ok_or(Fail::Poisoned)?);
        let results = inner.walk.block(body, &args)?;
        let Some(outputs) = results.len().checked_sub(inits.len()) else {
            return bad_arguments(format!("its body gives {} values for {} carries", results.len(), inits.len()));
        };
        let (outs, next) = results.split_at(outputs);
        if !next.iter().zip(&inits).all(|(a, b)| a.same_structure(b)) {
            return bad_arguments("its body gives values of other kinds than the carries");
        }
        like = outs.to_vec();
        Ok(std::iter::once(formals[1]).chain(flatten(next)).chain(flatten(outs)).collect())
    })?;
    for (i, (before, after)) in types[2..].iter().zip(&region.results[1..]).enumerate() {
        if before != after {
            return unsupported(format!("its carry {i} changes its type from {before} to {after}; {SETTLE}"));
        }
    }
    let (trip, go) = (cx.dim_scalar(trips.clone()), cx.scalar(DType::Bool, 1.0));
    let id = cx.frame().graph.add_region(region.frame.graph);
    let args: Vec<V> = [trip, go].into_iter().chain(state.iter().copied()).chain(region.captures).collect();
    let done = cx.emit_all(Op::Loop(Loop { body: id, state: state.len(), trips }), &args)?;
    let (carries, stacked) = done.split_at(state.len());
    let mut outputs = rebuild(&like, stacked).ok_or(Fail::Poisoned)?;
    for x in &mut outputs {
        *x = cx.map(x, |cx, v| {
            let v = if reverse { cx.emit(Op::Reverse { axes: vec![0] }, &[v])? } else { v };
            let rank = cx.rank(v);
            if axis >= rank {
                return bad_arguments(format!(
                    "its body gives slices of rank {}, which have no axis {axis} to stack on",
                    rank - 1
                ));
            }
            let perm = (1..=axis).chain([0]).chain(axis + 1..rank).collect();
            cx.transpose(v, perm)
        })?;
    }
    outputs.extend(rebuild(&inits, carries).ok_or(Fail::Poisoned)?);
    Ok(outputs)
}

/// The scanned axis and its extent, which without inputs an attribute says.
fn extent(cx: &Cx<'_, '_>, inputs: &[Val]) -> R<(usize, Dim)> {
    let Some(first) = inputs.first() else {
        return match (usize::try_from(cx.int("dimension")?), cx.int("scan_dim_size")?) {
            (Ok(axis), n) if n >= 0 => Ok((axis, Dim::from(n))),
            _ => bad_attribute("`dimension` and `scan_dim_size` must not be negative"),
        };
    };
    let shape = cx.shape_of(first)?;
    let axis = cx.axis("dimension", shape.len())?;
    for x in inputs {
        if cx.shape_of(x)?.get(axis) != Some(&shape[axis]) {
            return bad_arguments(format!("its inputs differ in axis {axis}, along which they are scanned"));
        }
    }
    Ok((axis, shape[axis].clone()))
}
