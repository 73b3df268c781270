//! One tile of a group: what a core does at a grid point, without the loops around it. The program form of AscendNPU-IR's compiler:
//! the tile comes from global memory into a local buffer, is computed as a whole, and goes back, so that compiler cuts nothing and
//! says whether the tile fits into the unified buffer.

use beiming_ir::graph::{Graph, Node};
use beiming_ir::ops::{Body, BodyNode, Op};
use beiming_ir::types::TensorType;
use melior::Context;
use melior::ir::r#type::{IntegerType, MemRefType};
use melior::ir::{Attribute, Block, Module, Type, Value};

use crate::build::{Builder, Val, Why, element, tensor};
use crate::emit::{Refusal, attribute, body, finish, inlined, steps};
use crate::shape::known;

/// The extents of a tile: rows of neighbouring elements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tile {
    /// Rows; `None` where the tensor is one line.
    pub rows: Option<usize>,
    /// Elements of a row.
    pub width: usize,
}

/// The arguments that say which program of how many this is: AscendNPU-IR's compiler wants six numbers.
const PROGRAM: usize = 6;

fn refuse(op: &str) -> impl Fn(Why) -> Refusal {
    move |why| Refusal::Unsupported { op: op.into(), why }
}

/// The module of one tile of a node.
pub fn build<'c>(context: &'c Context, graph: &Graph, n: &Node, name: &str, tile: Tile) -> Result<Module<'c>, Refusal> {
    let wrong = refuse("tile");
    let full = known(&graph.ty(n.outputs[0]).shape).map_err(&wrong)?;
    let cut = Cut::new(&full, tile).map_err(&wrong)?;
    let own = match body(&n.op) {
        Some(b) => b.clone(),
        None => Body {
            inputs: n.inputs.len() as u32,
            nodes: vec![BodyNode {
                op: n.op.clone(),
                args: (0..n.inputs.len()).map(|k| beiming_ir::ops::Arg::Input(k as u32)).collect(),
            }],
        },
    };
    let nodes = own.nodes.iter().map(|x| Ok(BodyNode { op: cut.op(&x.op)?, args: x.args.clone() }));
    let cut_body = Body { inputs: own.inputs, nodes: nodes.collect::<Result<_, Why>>().map_err(&wrong)? };
    let types = n.inputs.iter().map(|v| cut.ty(graph.ty(*v))).collect::<Result<Vec<_>, _>>().map_err(&wrong)?;
    let memory = |t: &TensorType| -> Result<Type<'c>, Why> {
        let shape: Vec<i64> = known(&t.shape)?.iter().map(|&d| d as i64).collect();
        Ok(MemRefType::contiguous(element(context, t.dtype)?, &shape, None).into())
    };
    let result = cut.ty(graph.ty(n.outputs[0])).map_err(&wrong)?;
    let taken: Vec<usize> = (0..n.inputs.len()).filter(|&k| inlined(graph, n, k).is_none()).collect();
    let mut inputs = taken.iter().map(|&k| memory(&types[k])).collect::<Result<Vec<_>, _>>().map_err(&wrong)?;
    inputs.push(memory(&result).map_err(&wrong)?);
    inputs.extend([Type::from(IntegerType::new(context, 32)); PROGRAM]);
    let at = melior::ir::Location::unknown(context);
    let block = Block::new(&inputs.iter().map(|t| (*t, at)).collect::<Vec<_>>());
    {
        let b = Builder::new(context, &block);
        let mut args = vec![];
        for (k, t) in types.iter().enumerate() {
            let shape = known(&t.shape).map_err(&wrong)?;
            let value = match (inlined(graph, n, k), taken.iter().position(|x| *x == k)) {
                (Some(c), _) => b.splat(t.dtype, &shape, c.get(0)),
                (None, Some(p)) => local(&b, p, t, inputs[p]),
                (None, None) => Err("an argument that is none".into()),
            };
            args.push((value.map_err(&wrong)?, graph.const_of(n.inputs[k])));
        }
        let last = steps(&b, graph, &cut_body, &args)?;
        let unit = Attribute::unit(context);
        let to = b.raw_argument(taken.len()).map_err(&wrong)?;
        b.op("bufferization.materialize_in_destination", &[last.value, to], None, &[("writable", unit)], vec![])
            .map_err(&wrong)?;
        b.op("func.return", &[], None, &[], vec![]).map_err(&wrong)?;
    }
    let marks = [
        attribute(context, "global_kernel", "\"local\"")?,
        attribute(context, "mix_mode", "\"aiv\"")?,
        attribute(context, "parallel_mode", "\"simd\"")?,
    ];
    finish(context, name, (&inputs, &[]), &marks, block)
}

/// An argument, copied into a local buffer.
fn local<'c, 'b>(b: &Builder<'c, 'b>, position: usize, t: &TensorType, ty: Type<'c>) -> Result<Val<'c, 'b>, Why> {
    let from = b.raw_argument(position)?;
    let buffer: Value<'c, 'b> =
        b.op("memref.alloc", &[], Some(ty), &[b.segments(&[0, 0])], vec![])?.ok_or("memref.alloc has no result")?;
    b.op("memref.copy", &[from, buffer], None, &[], vec![])?;
    let shape = known(&t.shape)?;
    let unit = Attribute::unit(b.context);
    let marks = [("restrict", unit), ("writable", unit)];
    let value = b.op("bufferization.to_tensor", &[buffer], Some(tensor(b.context, t.dtype, &shape)?), &marks, vec![])?;
    Ok(Val { value: value.ok_or("bufferization.to_tensor has no result")?, dtype: t.dtype, shape })
}

/// How the axes of a group's result become the rows and the width of a tile.
struct Cut {
    full: Vec<usize>,
    /// Axes from here on are the width; of a line, all are.
    at: usize,
    tile: Tile,
}

impl Cut {
    fn new(full: &[usize], tile: Tile) -> Result<Cut, Why> {
        let at = match tile.rows {
            None => Some(0),
            Some(_) => (0..=full.len()).rev().find(|&a| full[a..].iter().product::<usize>() == tile.width),
        };
        let at = at.ok_or_else(|| format!("no last axes of {full:?} make rows of {}", tile.width))?;
        Ok(Cut { full: full.to_vec(), at, tile })
    }

    /// The part of an argument that a tile needs.
    fn ty(&self, t: &TensorType) -> Result<TensorType, Why> {
        let shape = known(&t.shape)?;
        let before = self.full.len().checked_sub(shape.len()).ok_or("an argument of more axes than the result")?;
        let shape = [vec![1; before], shape].concat();
        let part = |have: &[usize], all: &[usize], tile: usize| {
            if have.iter().all(|&d| d == 1) && (tile == 1 || all.iter().product::<usize>() != 1) {
                Ok(1)
            } else if have == all {
                Ok(tile)
            } else {
                Err(format!("an argument {shape:?} repeats within the rows or the width of {:?}", self.full))
            }
        };
        let width = part(&shape[self.at..], &self.full[self.at..], self.tile.width)?;
        let rows = match self.tile.rows {
            Some(r) => vec![part(&shape[..self.at], &self.full[..self.at], r)?],
            None => vec![],
        };
        Ok(TensorType::known(t.dtype, &[rows, vec![width]].concat()))
    }

    /// The op on a tile.
    fn op(&self, op: &Op) -> Result<Op, Why> {
        // The one axis of the width that is not of one element, or the axes from `axis` on that are the width.
        let along = |axis: usize| self.tile.rows.is_some() && self.full[axis..].iter().product::<usize>() == self.tile.width;
        match op {
            Op::Unary(_) | Op::Binary(_) | Op::Select | Op::Cast { .. } | Op::Bitcast { .. } => Ok(op.clone()),
            Op::Softmax { axis, log } if along(*axis) && self.full[*axis] == self.tile.width => {
                Ok(Op::Softmax { axis: 1, log: *log })
            }
            Op::Norm { kind, axis, eps } if along(*axis) => Ok(Op::Norm { kind: *kind, axis: 1, eps: *eps }),
            op => Err(format!("`{}` is not cut into rows", op.name())),
        }
    }
}
