//! Convolutions of one tap as products on the cube unit: rows are output positions, the depth input channels. The body is written
//! anew with the product in the convolution's place; memory is the same.

use std::sync::Arc;

use beiming_ir::ops::{Arg, Body, BodyNode, Op};
use beiming_ir::types::{Dim, TensorType};

use crate::lower::body::BodyCx;

/// Nodes that take the place of one.
const MORE: u32 = 3;

/// The body with the convolution `anchor` as a product, and where that is; `None` for a window that is more than a product.
pub fn as_product<'a>(cx: &BodyCx<'a>, anchor: usize) -> Option<(BodyCx<'a>, usize)> {
    let node = &cx.body.nodes[anchor];
    let Op::Conv(c) = &node.op else { return None };
    let (x, w, y) = (cx.ty(node.args[0]), cx.ty(node.args[1]), &cx.types[anchor]);
    let spatial = c.strides.len();
    let one = w.shape[..spatial].iter().all(|d| d.is(1)) && c.strides.iter().all(|s| *s == 1);
    if c.groups != 1 || !one || c.pads.iter().any(|p| *p != (0, 0)) {
        return None;
    }
    let rows = x.shape[..=spatial].iter().fold(Dim::Known(1), |n, d| n * d.clone());
    let (depth, columns) = (w.shape[spatial].clone(), w.shape[spatial + 1].clone());
    let at = anchor as u32;
    let reshape =
        |shape: &[Dim], arg: Arg| (BodyNode { op: Op::Reshape { shape: shape.to_vec() }, args: vec![arg] }, shape.to_vec());
    let (left, left_shape) = reshape(&[rows.clone(), depth.clone()], node.args[0]);
    let (right, right_shape) = reshape(&[depth, columns.clone()], node.args[1]);
    let product = BodyNode { op: Op::MatMul { out: y.dtype }, args: vec![Arg::Node(at), Arg::Node(at + 1)] };
    let (back, _) = reshape(&y.shape, Arg::Node(at + 2));
    let mut nodes = cx.body.nodes[..anchor].to_vec();
    nodes.extend([left, right, product, back]);
    for n in &cx.body.nodes[anchor + 1..] {
        let args = n.args.iter().map(|a| match a {
            Arg::Node(i) if *i >= at => Arg::Node(i + MORE),
            a => *a,
        });
        nodes.push(BodyNode { op: n.op.clone(), args: args.collect() });
    }
    let mut types = cx.types[..anchor].to_vec();
    types.push(TensorType::new(x.dtype, left_shape));
    types.push(TensorType::new(w.dtype, right_shape));
    types.push(TensorType::new(y.dtype, vec![rows, columns]));
    types.extend(cx.types[anchor..].iter().cloned());
    let body = Arc::new(Body { inputs: cx.body.inputs, nodes });
    Some((BodyCx { body, types, ..cx.clone() }, anchor + 2))
}
