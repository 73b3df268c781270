//! Convolutions with their output positions as rows of a matrix: the body is written anew with a product, or the convolution
//! itself, whose result has two axes behind the batch, and what follows it elementwise over the same axes. Memory is the same.

use std::sync::Arc;

use beiming_ir::ops::{Arg, Body, BodyNode, Op};
use beiming_ir::types::{Dim, TensorType};

use crate::lower::body::BodyCx;

/// The body with the convolution `anchor` as a product, and where that is; `None` for a window that is more than a product.
/// Rows are output positions of all images, the depth input channels.
pub fn as_product<'a>(cx: &BodyCx<'a>, anchor: usize) -> Option<(BodyCx<'a>, usize)> {
    let node = &cx.body.nodes[anchor];
    let Op::Conv(c) = &node.op else { return None };
    let (x, w, y) = (cx.ty(node.args[0]), cx.ty(node.args[1]), &cx.types[anchor]);
    let spatial = c.strides.len();
    let one = w.shape[..spatial].iter().all(|d| d.is(1)) && c.strides.iter().all(|s| *s == 1);
    if c.groups != 1 || !one || c.pads.iter().any(|p| *p != (0, 0)) {
        return None;
    }
    let rows = product_of(&x.shape[..=spatial]);
    let (depth, columns) = (w.shape[spatial].clone(), w.shape[spatial + 1].clone());
    let at = anchor as u32;
    let reshape = |shape: &[Dim], arg: Arg, of: &TensorType| {
        (BodyNode { op: Op::Reshape { shape: shape.to_vec() }, args: vec![arg] }, TensorType::new(of.dtype, shape.to_vec()))
    };
    let head = vec![
        reshape(&[rows.clone(), depth.clone()], node.args[0], x),
        reshape(&[depth, columns.clone()], node.args[1], w),
        (
            BodyNode { op: Op::MatMul { out: y.dtype }, args: vec![Arg::Node(at), Arg::Node(at + 1)] },
            TensorType::new(y.dtype, vec![rows, columns]),
        ),
    ];
    Some((in_place_of(cx, anchor, head, &[0, spatial + 1]), anchor + 2))
}

/// The body with the result of the convolution `anchor` as a matrix an image: rows are output positions. `None` for windows
/// whose groups of channels do not mix.
pub fn as_rows<'a>(cx: &BodyCx<'a>, anchor: usize) -> Option<BodyCx<'a>> {
    let node = &cx.body.nodes[anchor];
    let Op::Conv(c) = &node.op else { return None };
    if c.groups != 1 {
        return None;
    }
    let y = &cx.types[anchor];
    let last = y.rank() - 1;
    let shape = vec![y.shape[0].clone(), product_of(&y.shape[1..last]), y.shape[last].clone()];
    let head = vec![(node.clone(), TensorType::new(y.dtype, shape))];
    Some(in_place_of(cx, anchor, head, &[0, 1, last]))
}

fn product_of(shape: &[Dim]) -> Dim {
    shape.iter().fold(Dim::Known(1), |n, d| n * d.clone())
}

/// The body with the nodes `head` in place of `anchor`; the last of them has its value with axes put together: from each of
/// `first` to the next one. What follows elementwise has the same axes; where it cannot have them, the value's own come back.
fn in_place_of<'a>(cx: &BodyCx<'a>, anchor: usize, head: Vec<(BodyNode, TensorType)>, first: &[usize]) -> BodyCx<'a> {
    let mut new = Rewritten { nodes: cx.body.nodes[..anchor].to_vec(), types: cx.types[..anchor].to_vec() };
    new.extend(head);
    let before = new.clone();
    let new = follow(cx, anchor, new, first).unwrap_or_else(|| apart(cx, anchor, before));
    let body = Arc::new(Body { inputs: cx.body.inputs, nodes: new.nodes });
    BodyCx { body, types: new.types, ..cx.clone() }
}

/// Nodes and their types.
#[derive(Clone)]
struct Rewritten {
    nodes: Vec<BodyNode>,
    types: Vec<TensorType>,
}

impl Rewritten {
    fn push(&mut self, node: BodyNode, ty: TensorType) -> Arg {
        self.nodes.push(node);
        self.types.push(ty);
        Arg::Node(self.nodes.len() as u32 - 1)
    }

    fn extend(&mut self, more: Vec<(BodyNode, TensorType)>) {
        more.into_iter().for_each(|(n, t)| _ = self.push(n, t));
    }
}

/// What follows the anchor, over its new axes; `None` where that is not elementwise on its value.
fn follow(cx: &BodyCx, anchor: usize, mut new: Rewritten, first: &[usize]) -> Option<Rewritten> {
    let shape = &cx.types[anchor].shape;
    // Each old node's place, and whether its value depends on the anchor's.
    let mut places: Vec<(Arg, bool)> = (0..anchor).map(|n| (Arg::Node(n as u32), false)).collect();
    places.push((Arg::Node(new.nodes.len() as u32 - 1), true));
    for (n, node) in cx.body.nodes.iter().enumerate().skip(anchor + 1) {
        let of = |a: Arg| match a {
            Arg::Node(i) => places[i as usize],
            input => (input, false),
        };
        let depends = node.args.iter().any(|a| of(*a).1);
        if depends && (!node.op.is_elementwise() || cx.types[n].shape != *shape) {
            return None;
        }
        let mut args = vec![];
        for a in &node.args {
            let (mut place, moved) = of(*a);
            if depends && !moved {
                let ty = cx.ty(*a);
                let to = together(&ty.shape, shape, first)?;
                if to != ty.shape && ty.rank() > 1 {
                    let reshape = BodyNode { op: Op::Reshape { shape: to.clone() }, args: vec![place] };
                    place = new.push(reshape, TensorType::new(ty.dtype, to));
                }
            }
            args.push(place);
        }
        let ty = &cx.types[n];
        let own = if depends { together(&ty.shape, shape, first)? } else { ty.shape.clone() };
        let at = new.push(BodyNode { op: node.op.clone(), args }, TensorType::new(ty.dtype, own));
        places.push((at, depends));
    }
    // The result is the last node: it must be of the anchor.
    places.last().is_some_and(|p| p.1).then_some(new)
}

/// Shape of what is spread over `whole`, with axes put together from each of `first` to the next; `None` where it has some of
/// them and not the others.
fn together(shape: &[Dim], whole: &[Dim], first: &[usize]) -> Option<Vec<Dim>> {
    let missing = whole.len().checked_sub(shape.len())?;
    let of = |a: usize| if a < missing { Dim::Known(1) } else { shape[a - missing].clone() };
    let ends = first.iter().skip(1).copied().chain([whole.len()]);
    first
        .iter()
        .zip(ends)
        .map(|(a, b)| {
            if (*a..b).all(|i| of(i).is(1)) {
                Some(Dim::Known(1))
            } else if (*a..b).all(|i| of(i) == whole[i]) {
                Some(product_of(&whole[*a..b]))
            } else {
                None
            }
        })
        .collect()
}

/// The anchor's value under its own axes, and what follows as it was.
fn apart(cx: &BodyCx, anchor: usize, mut new: Rewritten) -> Rewritten {
    let y = &cx.types[anchor];
    let more = (new.nodes.len() - anchor) as u32;
    let value = Arg::Node(new.nodes.len() as u32 - 1);
    new.push(BodyNode { op: Op::Reshape { shape: y.shape.clone() }, args: vec![value] }, y.clone());
    for (n, node) in cx.body.nodes.iter().enumerate().skip(anchor + 1) {
        let args = node.args.iter().map(|a| match a {
            Arg::Node(i) if *i >= anchor as u32 => Arg::Node(i + more),
            a => *a,
        });
        new.push(BodyNode { op: node.op.clone(), args: args.collect() }, cx.types[n].clone());
    }
    new
}
