//! Operations among participants. Programs run with one, so a group of one is this participant and sums are its own values;
//! what needs several is kept in the graph, and refused where it is to run.

use beiming_ir::graph::{Graph, RegionId};
use beiming_ir::ops::{BinaryOp, Collective, CollectiveKind, Op};
use beiming_ir::types::{DType, Dim, TensorType};

use super::super::cx::Cx;
use super::super::value::{Val, flatten};
use super::region::reducer;
use super::{Row, any, real};
use crate::import::build::Build;
use crate::import::error::Code;
use crate::import::fail::{Fail, R, bad_arguments, bad_attribute, unsupported};
use crate::import::frame::V;
use crate::import::stablehlo::syntax::{Attr, Element, Type};

pub const OPS: &[Row] = &[
    any("stablehlo.all_gather", gather),
    any("stablehlo.all_reduce", reduce),
    any("stablehlo.all_to_all", exchange),
    any("stablehlo.collective_broadcast", broadcast),
    any("stablehlo.collective_permute", permute),
    any("stablehlo.collective_reduce", reduce_to),
    any("stablehlo.cross-replica-sum", reduce),
    any("stablehlo.reduce_scatter", reduce_scatter),
    real("stablehlo.partition_id", identity),
    real("stablehlo.replica_id", identity),
];

/// Who takes part.
struct Members {
    groups: Vec<Vec<i64>>,
    /// The largest group; one where they are not listed, as all are one group then.
    most: i64,
}

impl Members {
    /// Whether there is nobody else in the group of participant 0.
    fn alone(&self) -> bool {
        self.most <= 1 || self.groups.iter().flatten().all(|m| *m == 0)
    }
}

/// The groups of an operation. Rows are filled up with -1.
fn members(cx: &Cx<'_, '_>) -> R<Members> {
    let groups: Vec<Vec<i64>> = match cx.attr("replica_groups") {
        None => vec![],
        Some(Attr::Struct(name, _)) if &**name == "replica_group_mesh_axes" => {
            return unsupported("groups by the axes of a mesh: the program does not say how many participants they have");
        }
        Some(a @ Attr::Dense(d)) => {
            let width = d.ty.shape.get(1).copied().flatten().and_then(|w| usize::try_from(w).ok()).unwrap_or(0);
            let rows = a.ints().unwrap_or_default();
            rows.chunks(width.max(1)).map(|g| g.iter().copied().filter(|m| *m >= 0).collect()).collect()
        }
        Some(_) => return Err(Fail::Invalid(Code::AttributeKind, "attribute `replica_groups` must be `dense<..>`".into())),
    };
    let groups: Vec<Vec<i64>> = groups.into_iter().filter(|g| !g.is_empty()).collect();
    let most = groups.iter().map(Vec::len).max().unwrap_or(1) as i64;
    Ok(Members { groups, most })
}

/// The number of a channel, 0 where there is none.
pub(super) fn channel(cx: &Cx<'_, '_>) -> R<i64> {
    let field = |a: &Attr| match a {
        Attr::Struct(_, fields) => match fields.get("handle") {
            Some(Attr::Int(v, _)) => Some(*v),
            _ => None,
        },
        _ => None,
    };
    match cx.attr("channel_handle") {
        None => Ok(0),
        Some(a) => field(a).map_or_else(|| bad_attribute("`channel_handle` must have an integer `handle`"), Ok),
    }
}

/// Emits the operation on the parts of one value.
fn emit(cx: &mut Cx<'_, '_>, m: &Members, size: i64, kind: CollectiveKind, x: &Val, root: Option<V>) -> R<Val> {
    let (channel, global) = (channel(cx)?, cx.flag("use_global_device_ids")?);
    let op = Op::Collective(Collective { kind, groups: m.groups.clone(), size, channel, global });
    let args: Vec<V> = flatten(std::slice::from_ref(x)).into_iter().chain(root).collect();
    let outs = cx.emit_all(op, &args)?;
    x.rebuilt(&mut outs.into_iter()).ok_or(Fail::Poisoned)
}

/// Holds a result against its declared shape.
fn declared(cx: &Cx<'_, '_>, i: usize, got: &Val) -> R<()> {
    let (Some(declared), shape) = (cx.result_shape(i)?, cx.shape_of(got)?) else { return Ok(()) };
    if declared != shape && shape.iter().all(|d| d.known().is_some()) {
        let show = |shape: &[Dim]| shape.iter().map(Dim::to_string).collect::<Vec<_>>().join("x");
        let (got, want) = (show(&shape), show(&declared));
        return bad_arguments(format!("its result {i} has the shape {got}, but is declared with {want}"));
    }
    Ok(())
}

/// Each value by itself: `f` gives what becomes of the n-th.
fn each(cx: &mut Cx<'_, '_>, f: impl Fn(&mut Cx<'_, '_>, usize, &Val) -> R<Val>) -> R<Vec<Val>> {
    let args = cx.args.clone();
    let results = cx.op.results.len();
    if args.len() < results {
        return bad_arguments(format!("it has {} arguments and {results} results", args.len()));
    }
    let mut out = vec![];
    for (i, x) in args.iter().take(results).enumerate() {
        let y = f(cx, i, x)?;
        declared(cx, i, &y)?;
        out.push(y);
    }
    Ok(out)
}

/// How often one known extent goes into another, where it does.
fn ratio(whole: &Dim, part: &Dim) -> Option<i64> {
    match (whole.known()?, part.known()?) {
        (w, p) if p > 0 && w % p == 0 && w > 0 => Some(w / p),
        _ => None,
    }
}

/// The participants of a group that the declared extent of result `i` along an axis tells, be it longer or shorter than that of
/// the argument; as many as are listed where it does not tell. A number may stand for several participants (partitions of a
/// replica), which the program does not say elsewhere.
fn told(cx: &Cx<'_, '_>, m: &Members, i: usize, x: &Val, axis: usize, grows: bool) -> R<i64> {
    let (shape, declared) = (cx.shape_of(x)?, cx.result_shape(i)?);
    let (Some(before), Some(after)) = (shape.get(axis), declared.as_ref().and_then(|d| d.get(axis))) else { return Ok(m.most) };
    let n = if grows { ratio(after, before) } else { ratio(before, after) };
    Ok(n.filter(|n| n % m.most == 0).unwrap_or(m.most))
}

fn gather(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let m = members(cx)?;
    each(cx, |cx, i, x| {
        let axis = cx.axis("all_gather_dim", cx.shape_of(x)?.len())?;
        match told(cx, &m, i, x, axis, true)? {
            1 => Ok(x.clone()),
            n if m.alone() && n == m.most => Ok(x.clone()),
            n => emit(cx, &m, n, CollectiveKind::Gather { axis }, x, None),
        }
    })
}

fn exchange(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (m, count) = (members(cx)?, cx.int("split_count")?);
    each(cx, |cx, _, x| {
        let rank = cx.shape_of(x)?.len();
        let (split, concat) = (cx.axis("split_dimension", rank)?, cx.axis("concat_dimension", rank)?);
        match m.alone() && count == 1 {
            true => Ok(x.clone()),
            false => emit(cx, &m, count, CollectiveKind::Exchange { split, concat }, x, None),
        }
    })
}

/// The value in the type that the reducer computes in, which may be wider than its own.
fn widened(cx: &mut Cx<'_, '_>, x: &Val) -> R<Val> {
    let arg = cx.op.regions.first().and_then(|b| b.args.first()).and_then(|v| cx.function.values.get(v.index()));
    match (x, arg) {
        (Val::Plain(v), Some(Type::Tensor(t))) => match t.element {
            Element::Plain(d) if d != cx.dtype(*v) && d != DType::C64 && d != DType::C128 => Ok(Val::Plain(cx.cast(*v, d)?)),
            _ => Ok(x.clone()),
        },
        _ => Ok(x.clone()),
    }
}

/// The reducer of one value: the operation's region, or a sum where it has none.
fn function(cx: &mut Cx<'_, '_>, x: &Val) -> R<RegionId> {
    if !cx.op.regions.is_empty() {
        let block = cx.block(0)?;
        return reducer(cx, block, std::slice::from_ref(x));
    }
    let mut sum = Graph::new("scalars", cx.symbols().clone());
    let types: Vec<TensorType> = flatten(std::slice::from_ref(x)).into_iter().map(|v| TensorType::scalar(cx.dtype(v))).collect();
    let values: Vec<_> = types.iter().chain(&types).map(|t| sum.add_input("", t.clone())).collect();
    let (total, one) = values.split_at(types.len());
    for (a, b) in total.iter().zip(one) {
        let s = sum.push1(Op::Binary(BinaryOp::Add), &[*a, *b], &cx.loc);
        sum.add_output("", s.map_err(|e| Fail::Invalid(Code::Arguments, e.to_string()))?);
    }
    Ok(cx.frame().graph.add_region(sum))
}

fn reduce(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let m = members(cx)?;
    each(cx, |cx, _, x| {
        let x = widened(cx, x)?;
        if m.alone() {
            return Ok(x);
        }
        let region = function(cx, &x)?;
        emit(cx, &m, m.most, CollectiveKind::Reduce { region }, &x, None)
    })
}

fn reduce_scatter(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let m = members(cx)?;
    each(cx, |cx, i, x| {
        let x = widened(cx, x)?;
        let axis = cx.axis("scatter_dimension", cx.shape_of(&x)?.len())?;
        let n = told(cx, &m, i, &x, axis, false)?;
        if m.alone() && n == 1 {
            return Ok(x);
        }
        let region = function(cx, &x)?;
        emit(cx, &m, n, CollectiveKind::ReduceScatter { axis, region }, &x, None)
    })
}

/// The argument after the values, which says who gives or gets the result.
fn root(cx: &Cx<'_, '_>) -> R<Option<V>> {
    let values = cx.op.results.len();
    if cx.args.len() > values { cx.plain(values).map(Some) } else { Ok(None) }
}

fn reduce_to(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (m, to) = (members(cx)?, root(cx)?);
    each(cx, |cx, _, x| {
        let x = widened(cx, x)?;
        if m.alone() {
            return Ok(x);
        }
        let region = function(cx, &x)?;
        emit(cx, &m, m.most, CollectiveKind::ReduceTo { region, root: to.is_some() }, &x, to)
    })
}

fn broadcast(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (m, from) = (members(cx)?, root(cx)?);
    each(cx, |cx, _, x| match m.alone() {
        true => Ok(x.clone()),
        false => emit(cx, &m, m.most, CollectiveKind::Broadcast { root: from.is_some() }, x, from),
    })
}

/// Pairs of source and target.
pub(super) fn pairs(cx: &Cx<'_, '_>) -> R<Vec<Vec<i64>>> {
    let flat = cx.ints_opt("source_target_pairs")?.unwrap_or_default();
    if flat.len() % 2 == 1 {
        return bad_attribute("`source_target_pairs` must be pairs");
    }
    Ok(flat.chunks(2).map(<[i64]>::to_vec).collect())
}

/// Nobody sends to this participant unless it does itself.
fn permute(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    if cx.attr("source_target_pairs").is_none() {
        return Err(Fail::Invalid(Code::Missing, "attribute `source_target_pairs` is missing".into()));
    }
    let groups = pairs(cx)?;
    let several = groups.iter().flatten().any(|p| *p > 0);
    each(cx, |cx, _, x| match groups.is_empty() {
        _ if several => {
            let size = groups.iter().flatten().max().map_or(1, |m| m.saturating_add(1));
            emit(cx, &Members { groups: groups.clone(), most: size }, size, CollectiveKind::Permute, x, None)
        }
        false => Ok(x.clone()),
        true => cx.map(x, |cx, v| cx.full_like(v, 0.0)),
    })
}

fn identity(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let to = cx.result_dtype(0)?;
    Ok(vec![Val::Plain(cx.scalar(to, 0.0))])
}
