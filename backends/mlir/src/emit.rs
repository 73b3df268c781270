//! A graph's groups, one function and one module each.

use beiming_ir::graph::{Graph, Node};
use beiming_ir::ops::{self, Body, Op};
use beiming_ir::tensor::Tensor;
use beiming_ir::types::TensorType;
use melior::Context;
use melior::dialect::{DialectHandle, DialectRegistry};
use melior::ir::attribute::{StringAttribute, TypeAttribute};
use melior::ir::block::BlockLike;
use melior::ir::operation::{OperationBuilder, OperationLike, OperationPrintingFlags};
use melior::ir::r#type::FunctionType;
use melior::ir::{Attribute, Block, Identifier, Location, Module, Region, RegionLike, Type};
use std::cell::RefCell;
use std::rc::Rc;
use thiserror::Error;

use crate::build::{Builder, Val, tensor};
use crate::ops::{Arg, op};
use crate::product::Product;
use crate::shape::known;
use crate::tile::{self, Tile};

/// Why a group has no module.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Refusal {
    /// An op that is not expressed.
    #[error("`{op}`: {why}")]
    Unsupported {
        /// The op.
        op: String,
        /// The reason.
        why: String,
    },
    /// What was built is not valid: our fault.
    #[error("MLIR's verifier refuses what was built for this group: {0}")]
    Invalid(String),
}

/// One node of the optimised graph that computes something.
#[derive(Clone, Debug)]
pub struct Group {
    /// Position among the graph's nodes that are no constants, the bodies of control flow after their node: the order of
    /// `explain`'s groups.
    pub index: usize,
    /// The model's nodes in it.
    pub nodes: String,
    /// Its ops, in order.
    pub ops: Vec<String>,
    /// The function: an identifier.
    pub name: String,
    /// A verified module of one function, printed; or why there is none.
    pub text: Result<String, Refusal>,
    /// The same of one tile, where one was asked for.
    pub tile: Option<Result<String, Refusal>>,
    /// Modules of its distinct matrix products, each alone.
    pub products: Vec<Result<String, Refusal>>,
}

/// A context that knows the dialects of this form, and lets others' attributes be.
pub fn context() -> Context {
    let registry = DialectRegistry::new();
    DialectHandle::func().insert_dialect(&registry);
    DialectHandle::arith().insert_dialect(&registry);
    DialectHandle::linalg().insert_dialect(&registry);
    DialectHandle::tensor().insert_dialect(&registry);
    DialectHandle::memref().insert_dialect(&registry);
    // SAFETY: the handles are statics of MLIR's.
    let more = unsafe { [mlir_sys::mlirGetDialectHandle__math__(), mlir_sys::mlirGetDialectHandle__bufferization__()] };
    // SAFETY: as above.
    more.into_iter().for_each(|h| unsafe { DialectHandle::from_raw(h) }.insert_dialect(&registry));
    let context = Context::new_with_registry(&registry, false);
    context.load_all_available_dialects();
    context.set_allow_unregistered_dialects(true);
    context
}

/// Every group of an optimised graph, and of the regions of its control flow. Nodes that only rename a buffer, and control flow
/// itself, are left out. `tile` gives the tile of the group at a position, where one is wanted.
pub fn groups(graph: &Graph, tile: &dyn Fn(usize) -> Option<Tile>) -> Vec<Group> {
    let (context, mut next, mut out) = (context(), 0, vec![]);
    collect(&context, graph, tile, &mut next, &mut out);
    out
}

fn collect(context: &Context, graph: &Graph, tile: &dyn Fn(usize) -> Option<Tile>, next: &mut usize, out: &mut Vec<Group>) {
    for n in graph.nodes() {
        if matches!(n.op, Op::Constant(_)) {
            continue;
        }
        let index = *next;
        *next += 1;
        if let Op::If(_) | Op::Loop(_) = n.op {
            n.op.regions().into_iter().for_each(|r| collect(context, graph.region(r), tile, next, out));
            continue;
        }
        if matches!(n.op, Op::Reshape { .. }) {
            continue;
        }
        let ops: Vec<String> = match body(&n.op) {
            Some(b) => b.nodes.iter().map(|x| x.op.name()).collect(),
            None => vec![n.op.name()],
        };
        let name = name(index, &ops);
        let mut products = vec![];
        let text = printed(context, false, || {
            let module = build(context, graph, n, &name)?;
            products = Product::all(context, &module);
            Ok(module)
        });
        let products = products.iter().map(|p| printed(context, false, || p.module(context, &name))).collect();
        // The syntax of `bufferization.to_tensor` has changed between versions of MLIR; the generic form of it has not.
        let tile = tile(index).map(|t| printed(context, true, || tile::build(context, graph, n, &name, t)));
        out.push(Group { index, nodes: n.loc.label().to_string(), ops, name, text, tile, products });
    }
}

pub(crate) fn body(op: &Op) -> Option<&Body> {
    match op {
        Op::Fused(b) | Op::Tiled { body: b, .. } => Some(b),
        _ => None,
    }
}

/// `g7_matmul_add_max`, cut where it gets long.
fn name(index: usize, ops: &[String]) -> String {
    let mut name = format!("g{index}");
    for op in ops {
        if name.len() + op.len() > 60 {
            name += "_more";
            break;
        }
        name.push('_');
        name += op;
    }
    name
}

/// A module as text, verified before.
fn printed<'c>(
    context: &'c Context,
    generic: bool,
    build: impl FnOnce() -> Result<Module<'c>, Refusal>,
) -> Result<String, Refusal> {
    let diagnostics = Rc::new(RefCell::new(vec![]));
    let heard = diagnostics.clone();
    let id = context.attach_diagnostic_handler(move |d| {
        heard.borrow_mut().push(d.to_string());
        true
    });
    let result = build().and_then(|module| {
        let op = module.as_operation();
        let text = match generic {
            true => op.to_string_with_flags(OperationPrintingFlags::new().print_generic_operation_form()).map(|t| t + "\n"),
            false => Ok(op.to_string()),
        };
        let text = text.map_err(|e| Refusal::Invalid(e.to_string()))?;
        if op.verify() { Ok(text) } else { Err(Refusal::Invalid(text)) }
    });
    context.detach_diagnostic_handler(id);
    result.map_err(|e| match e {
        Refusal::Invalid(what) => Refusal::Invalid(format!("{}\n{what}", diagnostics.borrow().join("; "))),
        e => e,
    })
}

/// The contents of an input that is a constant of one element: part of the function instead of an argument.
pub(crate) fn inlined<'g>(graph: &'g Graph, n: &Node, k: usize) -> Option<&'g Tensor> {
    graph.const_of(n.inputs[k]).filter(|t| t.len() == 1)
}

fn build<'c>(context: &'c Context, graph: &Graph, n: &Node, name: &str) -> Result<Module<'c>, Refusal> {
    let unsupported = |op: &str| {
        let op = op.to_string();
        move |why: String| Refusal::Unsupported { op: op.clone(), why }
    };
    let signature = unsupported("arguments");
    let ty = |t: &TensorType| -> Result<Type<'c>, Refusal> {
        known(&t.shape).and_then(|s| tensor(context, t.dtype, &s)).map_err(&signature)
    };
    if n.outputs.len() != 1 {
        return Err(unsupported(&n.op.name())("a group of several results".into()));
    }
    let at = Location::unknown(context);
    let taken: Vec<usize> = (0..n.inputs.len()).filter(|&k| inlined(graph, n, k).is_none()).collect();
    let inputs = taken.iter().map(|&k| ty(graph.ty(n.inputs[k]))).collect::<Result<Vec<_>, _>>()?;
    let result = ty(graph.ty(n.outputs[0]))?;
    let block = Block::new(&inputs.iter().map(|t| (*t, at)).collect::<Vec<_>>());
    {
        let b = Builder::new(context, &block);
        let mut args: Vec<Arg> = vec![];
        for k in 0..n.inputs.len() {
            let t = graph.ty(n.inputs[k]);
            let shape = known(&t.shape).map_err(&signature)?;
            let value = match (inlined(graph, n, k), taken.iter().position(|x| *x == k)) {
                (None, Some(position)) => b.argument(position, t.dtype, &shape),
                (Some(c), _) => b.splat(t.dtype, &shape, c.get(0)),
                (None, None) => Err("an argument that is none".into()),
            };
            args.push((value.map_err(&signature)?, graph.const_of(n.inputs[k])));
        }
        let last = match body(&n.op) {
            Some(body) => steps(&b, graph, body, &args)?,
            None => op(&b, &n.op, &args, graph.ty(n.outputs[0])).map_err(unsupported(&n.op.name()))?,
        };
        b.op("func.return", &[last.value], None, &[], vec![]).map_err(unsupported("return"))?;
    }
    finish(context, name, (&inputs, &[result]), &[], block)
}

/// A named attribute from its text.
pub(crate) fn attribute<'c>(context: &'c Context, name: &str, text: &str) -> Result<(Identifier<'c>, Attribute<'c>), Refusal> {
    let value = Attribute::parse(context, text).ok_or_else(|| Refusal::Invalid(format!("the attribute {text}")))?;
    Ok((Identifier::new(context, name), value))
}

/// A module of one function, marked as a kernel.
pub(crate) fn finish<'c>(
    context: &'c Context,
    name: &str,
    (inputs, results): (&[Type<'c>], &[Type<'c>]),
    marks: &[(Identifier<'c>, Attribute<'c>)],
    body: Block<'c>,
) -> Result<Module<'c>, Refusal> {
    let region = Region::new();
    region.append_block(body);
    let ty = TypeAttribute::new(FunctionType::new(context, inputs, results).into());
    let named = |n: &str, a: Attribute<'c>| (Identifier::new(context, n), a);
    let mut attributes = vec![named("sym_name", StringAttribute::new(context, name).into()), named("function_type", ty.into())];
    attributes.push(attribute(context, "hacc.entry", "unit")?);
    attributes.push(attribute(context, "hacc.function_kind", "#hacc.function_kind<DEVICE>")?);
    attributes.extend(marks);
    let at = Location::unknown(context);
    let function = OperationBuilder::new("func.func", at).add_attributes(&attributes).add_regions([region]).build();
    let module = Module::new(at);
    module.body().append_operation(function.map_err(|e| Refusal::Invalid(e.to_string()))?);
    Ok(module)
}

/// The ops of a group, one after the other.
pub(crate) fn steps<'c, 'b>(
    b: &Builder<'c, 'b>,
    graph: &Graph,
    body: &Body,
    args: &[Arg<'_, 'c, 'b>],
) -> Result<Val<'c, 'b>, Refusal> {
    let mut values: Vec<(Val<'c, 'b>, TensorType)> = vec![];
    for node in &body.nodes {
        let wrong = |why: String| Refusal::Unsupported { op: node.op.name(), why };
        let mut of = vec![];
        for a in &node.args {
            let found = match *a {
                ops::Arg::Input(k) => args.get(k as usize).cloned(),
                ops::Arg::Node(k) => values.get(k as usize).map(|v| (v.0.clone(), None)),
            };
            of.push(found.ok_or_else(|| wrong(format!("{a:?} is not before it")))?);
        }
        let types: Vec<TensorType> = of.iter().map(|a| TensorType::known(a.0.dtype, &a.0.shape)).collect();
        let ty = ops::infer(&node.op, &types.iter().collect::<Vec<_>>(), graph).map_err(|e| wrong(e.to_string()))?;
        let ty = ty.into_iter().next().ok_or_else(|| wrong("no result".into()))?;
        values.push((op(b, &node.op, &of, &ty).map_err(wrong)?, ty));
    }
    let last = values.pop().ok_or_else(|| Refusal::Unsupported { op: "group".into(), why: "it is empty".into() })?;
    Ok(last.0)
}
