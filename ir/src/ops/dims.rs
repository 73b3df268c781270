//! The dimension expressions in an op's payload, as one list: to substitute symbols, or to see which an op depends on.

use std::sync::Arc;

use super::{Body, BodyNode, Channel, GatherWindow, Loop, Nms, Op, ReadDims, Resize, Slice, TopK};
use crate::types::{Dim, TensorType};

impl Op {
    /// The op with every dimension of its payload replaced by `f` of it; regions are not entered.
    pub fn map_dims(&self, f: &dyn Fn(&Dim) -> Dim) -> Op {
        let all = |v: &[Dim]| v.iter().map(f).collect::<Vec<_>>();
        match self {
            Op::DimValue { dims } => Op::DimValue { dims: all(dims) },
            Op::Iota { dtype, shape, axis } => Op::Iota { dtype: *dtype, shape: all(shape), axis: *axis },
            Op::Reshape { shape } => Op::Reshape { shape: all(shape) },
            Op::Broadcast { shape } => Op::Broadcast { shape: all(shape) },
            Op::Slice(s) => Op::Slice(Slice { start: all(&s.start), len: all(&s.len), step: s.step.clone() }),
            Op::DynamicSlice { shape } => Op::DynamicSlice { shape: all(shape) },
            Op::Pad { lo, hi, mode } => Op::Pad { lo: all(lo), hi: all(hi), mode: *mode },
            Op::Resize(r) => Op::Resize(Resize { shape: all(&r.shape), ..r.clone() }),
            Op::TopK(t) => Op::TopK(TopK { k: f(&t.k), ..t.clone() }),
            Op::Nms(n) => Op::Nms(Nms { count: f(&n.count), ..n.clone() }),
            Op::NonZero { count } => Op::NonZero { count: f(count) },
            Op::ReadDims(p) => Op::ReadDims(ReadDims { dims: all(&p.dims), ..p.clone() }),
            Op::GatherWindow(p) => Op::GatherWindow(GatherWindow { sizes: all(&p.sizes), ..p.clone() }),
            Op::Loop(l) => Op::Loop(Loop { trips: f(&l.trips), ..l.clone() }),
            Op::Channel(p) => {
                let results = p.results.iter().map(|t| TensorType::new(t.dtype, all(&t.shape))).collect();
                Op::Channel(Channel { results, ..p.clone() })
            }
            Op::Fused(body) => Op::Fused(map_body(body, f)),
            Op::Tiled { body, tile } => Op::Tiled { body: map_body(body, f), tile: *tile },
            Op::Constant(_)
            | Op::Unary(_)
            | Op::Binary(_)
            | Op::Select
            | Op::Cast { .. }
            | Op::Bitcast { .. }
            | Op::MatMul { .. }
            | Op::Conv(_)
            | Op::ConvTranspose(_)
            | Op::Pool(_)
            | Op::Reduce { .. }
            | Op::ArgReduce { .. }
            | Op::Cumulative(_)
            | Op::Softmax { .. }
            | Op::Norm { .. }
            | Op::Transpose { .. }
            | Op::Concat { .. }
            | Op::Reverse { .. }
            | Op::Gather { .. }
            | Op::GatherElements { .. }
            | Op::GatherNd { .. }
            | Op::Scatter(_)
            | Op::Lstm(_)
            | Op::Gru(_)
            | Op::ScatterWindow(_)
            | Op::ReduceWith { .. }
            | Op::WindowReduce(_)
            | Op::SelectAndScatter(_)
            | Op::SortBy { .. }
            | Op::Collective(_)
            | Op::If(_) => self.clone(),
        }
    }
}

fn map_body(body: &Body, f: &dyn Fn(&Dim) -> Dim) -> Arc<Body> {
    let nodes = body.nodes.iter().map(|n| BodyNode { op: n.op.map_dims(f), args: n.args.clone() }).collect();
    Arc::new(Body { inputs: body.inputs, nodes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Arg;

    #[test]
    fn dims_of_fused_bodies_are_mapped() {
        let n = Dim::sym("N");
        let node = BodyNode { op: Op::Reshape { shape: vec![n.clone(), 4.into()] }, args: vec![Arg::Input(0)] };
        let op = Op::Fused(Arc::new(Body { inputs: 1, nodes: vec![node] }));
        let known = op.map_dims(&|d| d.substitute(&|_| Some(3.into())));
        let Op::Fused(body) = known else { panic!("still a group") };
        assert_eq!(body.nodes[0].op, Op::Reshape { shape: vec![3.into(), 4.into()] });
    }
}
