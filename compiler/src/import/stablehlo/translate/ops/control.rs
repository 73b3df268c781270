//! Control flow: calls, branches, loops, tuples. A condition known at import takes its branch; otherwise branches and bodies
//! become regions whose captures are explicit inputs.

use beiming_ir::ops::{BinaryOp, If, Loop, Op};
use beiming_ir::types::{DType, Dim, TensorType};

use super::super::cx::Cx;
use super::super::value::{Val, flatten, rebuild};
use super::super::walk::Walk;
use super::{Row, any};
use crate::import::build::Build;
use crate::import::error::{Clean, Code};
use crate::import::fail::{Fail, R, SETTLE, bad_arguments, unsupported};
use crate::import::frame::V;
use crate::import::stablehlo::syntax::{Block, Operation, Value};

pub const OPS: &[Row] = &[
    any("func.call", call),
    any("stablehlo.after_all", after_all),
    any("stablehlo.async_done", async_done),
    any("stablehlo.async_start", async_start),
    any("stablehlo.case", case),
    any("stablehlo.composite", composite),
    any("stablehlo.get_tuple_element", get_tuple_element),
    any("stablehlo.if", branch),
    any("stablehlo.optimization_barrier", barrier),
    any("stablehlo.tuple", tuple),
    any("stablehlo.while", while_loop),
];

fn barrier(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    Ok(cx.args.clone())
}

/// What may happen meanwhile happens at once; a future is the tuple of its results.
fn async_start(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let block = cx.block(0)?;
    let args = if block.args.is_empty() { vec![] } else { cx.args.clone() };
    Ok(vec![Val::Tuple(cx.walk.block(block, &args)?)])
}

fn async_done(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    match cx.val(0)? {
        Val::Tuple(results) => Ok(results),
        other => bad_arguments(format!("it takes a future, not {}", other.kind())),
    }
}

fn after_all(_: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    Ok(vec![Val::Token])
}

fn tuple(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    Ok(vec![Val::Tuple(cx.args.clone())])
}

fn get_tuple_element(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let index = cx.int("index")?;
    match cx.val(0)? {
        Val::Tuple(parts) => match usize::try_from(index).ok().and_then(|i| parts.get(i)) {
            Some(p) => Ok(vec![p.clone()]),
            None => bad_arguments(format!("the tuple has no part {index}")),
        },
        other => bad_arguments(format!("it takes a tuple, not {}", other.kind())),
    }
}

fn inline(cx: &mut Cx<'_, '_>, name: &str) -> R<Vec<Val>> {
    let Some(f) = cx.walk.find(name) else {
        return Err(Fail::Invalid(Code::Undefined, format!("the module has no function @{}", Clean(name))));
    };
    let args = cx.args.clone();
    cx.walk.call(f, &args)
}

fn call(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let name = cx.text("callee")?;
    inline(cx, name)
}

fn composite(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let name = cx.text("decomposition")?;
    inline(cx, name)
}

/// A scalar that is known while the graph is built.
fn known_scalar(walk: &Walk<'_>, v: V) -> Option<i64> {
    walk.top().dims_of(v)?.first()?.known()
}

fn branch(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let cond = cx.plain(0)?;
    let (yes, no) = (cx.block(0)?, cx.block(1)?);
    if let Some(c) = known_scalar(cx.walk, cond) {
        return cx.walk.block(if c != 0 { yes } else { no }, &[]);
    }
    let effects = cx.walk.has_effects(&[yes, no]);
    select_branch(cx, cond, effects, &mut |walk| walk.block(yes, &[]), &mut |walk| walk.block(no, &[]))
}

/// An `If` over two ways to give values of the same structure and types. With `effects` a token goes through it.
fn select_branch<'m>(
    cx: &mut Cx<'_, 'm>,
    cond: V,
    effects: bool,
    yes: &mut dyn FnMut(&mut Walk<'m>) -> R<Vec<Val>>,
    no: &mut dyn FnMut(&mut Walk<'m>) -> R<Vec<Val>>,
) -> R<Vec<Val>> {
    let (mut like, mut other) = (vec![], vec![]);
    let before = if effects { Some(cx.walk.effect()) } else { None };
    let mut then_side = cx.walk.region("then", &[], |walk, _| {
        walk.with_effect(before, |walk| {
            like = yes(walk)?;
            Ok(flatten(&like))
        })
    })?;
    let mut else_side = cx.walk.region("else", &[], |walk, _| {
        walk.with_effect(before, |walk| {
            other = no(walk)?;
            Ok(flatten(&other))
        })
    })?;
    let same = like.len() == other.len() && like.iter().zip(&other).all(|(a, b)| a.same_structure(b));
    if !same {
        return bad_arguments("its branches give different kinds of values");
    }
    for (a, b) in then_side.results.iter().zip(&else_side.results) {
        if a != b {
            return unsupported(format!("its branches give different types, {a} and {b}; {SETTLE}"));
        }
    }
    let mut captures = then_side.captures.clone();
    captures.extend(else_side.captures.iter().filter(|v| !then_side.captures.contains(v)));
    let order: Vec<(V, TensorType)> = captures.iter().map(|v| (*v, cx.ty(*v).clone())).collect();
    for side in [&mut then_side, &mut else_side] {
        side.frame.align_captures(0, &side.captures, &order);
    }
    if then_side.results.is_empty() {
        return Ok(like);
    }
    let graph = &mut cx.frame().graph;
    let then_region = graph.add_region(then_side.frame.graph);
    let else_region = graph.add_region(else_side.frame.graph);
    let args: Vec<V> = std::iter::once(cond).chain(captures).collect();
    let mut outs = cx.emit_all(Op::If(If { then_region, else_region }), &args)?;
    if effects {
        cx.walk.set_effect(outs.pop());
    }
    rebuild(&like, &outs).ok_or(Fail::Poisoned)
}

/// The last branch is also for every index that is out of range.
fn case(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let index = cx.plain(0)?;
    let blocks: &[Block] = &cx.op.regions;
    let Some(last) = blocks.len().checked_sub(1) else { return bad_arguments("it has no branches") };
    if let Some(i) = known_scalar(cx.walk, index) {
        let i = usize::try_from(i).unwrap_or(last).min(last);
        return cx.walk.block(&blocks[i], &[]);
    }
    nested_case(cx, index, blocks, 0)
}

fn nested_case<'m>(cx: &mut Cx<'_, 'm>, index: V, blocks: &'m [Block], from: usize) -> R<Vec<Val>> {
    let (op, function, loc) = (cx.op, cx.function, cx.loc.clone());
    match blocks.len() - from {
        1 => cx.walk.block(&blocks[from], &[]),
        _ => {
            let here = cx.scalar(cx.dtype(index), from as f64);
            let cond = cx.binary(BinaryOp::Eq, index, here)?;
            let effects = cx.walk.has_effects(&blocks[from..].iter().collect::<Vec<_>>());
            select_branch(cx, cond, effects, &mut |walk| walk.block(&blocks[from], &[]), &mut |walk| {
                // Everything but the index of the branch is found again through the walk.
                let index = if from + 2 < blocks.len() { walk.capture(index)? } else { index };
                let mut inner = Cx { walk, op, function, args: vec![], loc: loc.clone() };
                nested_case(&mut inner, index, blocks, from + 1)
            })
        }
    }
}

/// The positions of the state that the body gives back as it got it.
fn invariant(body: &Block) -> Vec<bool> {
    let returned: &[Value] = body.ops.last().map_or(&[], |op| &op.operands);
    body.args.iter().enumerate().map(|(i, a)| returned.get(i) == Some(a)).collect()
}

/// A loop whose number of iterations the operations say: `i < limit` with `i` raised by a constant each time.
struct Counter {
    /// The state value that counts.
    state: usize,
    /// The other side of the comparison.
    limit: Value,
    step: i64,
    inclusive: bool,
}

fn constant_of(op: &Operation) -> Option<i64> {
    match (&*op.name, op.attrs.get("value")?) {
        ("stablehlo.constant", crate::import::stablehlo::syntax::Attr::Dense(d))
            if d.values.len() == 1 && d.values.dtype.is_int() =>
        {
            d.values.to_i64().first().copied()
        }
        _ => None,
    }
}

fn counter(cond: &Block, body: &Block) -> Option<Counter> {
    let (ret, before) = cond.ops.split_last()?;
    let [result] = ret.operands[..] else { return None };
    let compare = before.iter().find(|op| op.results == [result] && &*op.name == "stablehlo.compare")?;
    let [a, b] = compare.operands[..] else { return None };
    let direction = compare.attrs.get("comparison_direction")?.text()?;
    let (i, limit, inclusive) = match direction {
        "LT" => (a, b, false),
        "LE" => (a, b, true),
        "GT" => (b, a, false),
        "GE" => (b, a, true),
        _ => return None,
    };
    let state = cond.args.iter().position(|v| *v == i)?;
    let next = *body.ops.last()?.operands.get(state)?;
    let add = body.ops.iter().find(|op| op.results == [next] && &*op.name == "stablehlo.add")?;
    let [x, y] = add.operands[..] else { return None };
    let by = match body.args[state] {
        v if v == x => y,
        v if v == y => x,
        _ => return None,
    };
    let step = body.ops.iter().find(|op| op.results == [by]).and_then(constant_of);
    Some(Counter { state, limit, step: step.unwrap_or(0), inclusive })
}

fn while_loop(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (cond, body) = (cx.block(0)?, cx.block(1)?);
    let init = cx.args.clone();
    if cond.args.len() != init.len() || body.args.len() != init.len() {
        return bad_arguments(format!("its regions do not take the {} values of its state", init.len()));
    }
    // State that does not change is a capture: it is not copied in each iteration.
    let fixed: Vec<bool> = invariant(body).iter().zip(&init).map(|(same, v)| *same || matches!(v, Val::Token)).collect();
    let moving: Vec<Val> = init.iter().zip(&fixed).filter(|(_, f)| !**f).map(|(v, _)| v.clone()).collect();
    let effects = cx.walk.has_effects(&[body]);
    if cx.walk.has_effects(&[cond]) {
        return unsupported("values that come from or go to others in the condition of a loop");
    }
    let mut state = flatten(&moving);
    let enters = scalar_bool(cx.walk.block(cond, &init)?)?;
    let trips = counter(cond, body).and_then(|c| trip_count(cx, &c, &init, &fixed, cond));
    if known_scalar(cx.walk, enters) == Some(0) {
        return Ok(init);
    }
    let values = state.len();
    if effects {
        state.push(cx.walk.effect());
    }
    let types: Vec<TensorType> = state.iter().map(|v| cx.ty(*v).clone()).collect();
    let all = std::iter::once(TensorType::scalar(DType::I64)).chain([TensorType::scalar(DType::Bool)]).chain(types.clone());
    let all: Vec<TensorType> = all.collect();
    let home = cx.loc.clone();
    let region = cx.walk.region("body", &all, |walk, formals| {
        let mut inner = rebuild(&moving, &formals[2..2 + values]).ok_or(Fail::Poisoned)?.into_iter();
        if effects {
            walk.set_effect(Some(formals[2 + values]));
        }
        let mut args = vec![];
        for (val, fixed) in init.iter().zip(&fixed) {
            args.push(if *fixed { walk.captured(val)? } else { inner.next().ok_or(Fail::Poisoned)? });
        }
        let next = walk.block(body, &args)?;
        if next.len() != args.len() || !next.iter().zip(&args).all(|(a, b)| a.same_structure(b)) {
            return bad_arguments("its body gives values of other kinds than the state");
        }
        let go = match &trips {
            Some(_) => formals[1],
            None => scalar_bool(walk.block(cond, &next)?)?,
        };
        let changed: Vec<Val> = next.iter().zip(&fixed).filter(|(_, f)| !**f).map(|(v, _)| v.clone()).collect();
        Ok(std::iter::once(go).chain(flatten(&changed)).chain(walk.take_effect()).collect())
    })?;
    cx.loc = home;
    for (i, (before, after)) in types.iter().zip(&region.results[1..]).enumerate() {
        if before != after {
            return unsupported(format!("its state {i} changes its type from {before} to {after} in the loop; {SETTLE}"));
        }
    }
    let (trip, enters, trips) = match trips {
        Some(n) => (cx.dim_scalar(n.clone()), cx.scalar(DType::Bool, 1.0), n),
        None => (cx.dim_scalar(i64::MAX.into()), enters, cx.walk.fresh_symbol("trips", 0, i64::MAX)),
    };
    let id = cx.frame().graph.add_region(region.frame.graph);
    let args: Vec<V> = [trip, enters].into_iter().chain(state).chain(region.captures).collect();
    let mut outs = cx.emit_all(Op::Loop(Loop { body: id, state: types.len(), trips }), &args)?;
    if effects {
        cx.walk.set_effect(outs.pop());
    }
    let mut outs = rebuild(&moving, &outs).ok_or(Fail::Poisoned)?.into_iter();
    Ok(init.iter().zip(&fixed).map_while(|(v, fixed)| if *fixed { Some(v.clone()) } else { outs.next() }).collect())
}

fn scalar_bool(vals: Vec<Val>) -> R {
    match vals.as_slice() {
        [Val::Plain(v)] => Ok(*v),
        _ => bad_arguments("a condition must be one boolean"),
    }
}

/// The number of iterations of a counting loop, where its start and its limit are known.
fn trip_count(cx: &mut Cx<'_, '_>, c: &Counter, init: &[Val], fixed: &[bool], cond: &Block) -> Option<Dim> {
    let one = |cx: &Cx<'_, '_>, v: &Val| match v {
        Val::Plain(v) => cx.top().dims_of(*v)?.first().cloned(),
        _ => None,
    };
    let start = one(cx, &init[c.state])?;
    let limit = match cond.args.iter().position(|v| *v == c.limit) {
        Some(k) if fixed[k] => one(cx, &init[k])?,
        Some(_) => return None,
        None => {
            let v = cx.walk.value(c.limit).ok()?;
            one(cx, &v)?
        }
    };
    if c.step <= 0 {
        return None;
    }
    let limit = if c.inclusive { limit + 1.into() } else { limit };
    let n = (limit - start).ceil_div(&c.step.into());
    Some(cx.max_dim(&n, &0.into()))
}
