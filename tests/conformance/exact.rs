//! What a program gives with every float an `f64`: what its narrower results ought to be. Where a result is off the numbers that
//! a suite expects, this tells which of the two is nearer; the expected ones were computed with roundings of their own.

use beiming_ir::eval;
use beiming_ir::graph::{Graph, Loc};
use beiming_ir::ops::Op;
use beiming_ir::tensor::Tensor;
use beiming_ir::types::{DType, TensorType};

/// The outputs of a program over `f64`; `None` where it cannot be made of wider numbers, as one that looks at their bits.
pub fn outputs(g: &Graph, inputs: &[Tensor]) -> Option<Vec<Tensor>> {
    let inputs: Vec<Tensor> = inputs.iter().map(tensor).collect();
    eval::graph(&graph(g)?, &inputs).ok()
}

fn dtype(d: DType) -> DType {
    if d.is_float() { DType::F64 } else { d }
}

fn tensor(t: &Tensor) -> Tensor {
    if t.dtype.is_float() { Tensor::from_f64(DType::F64, &t.shape, &t.to_f64()) } else { t.clone() }
}

/// The same graph, value by value.
fn graph(g: &Graph) -> Option<Graph> {
    let mut out = Graph::new("", g.symbols.clone());
    out.consts = g.consts.iter().map(tensor).collect();
    out.regions = g.regions.iter().map(graph).collect::<Option<_>>()?;
    let wide = |t: &TensorType| TensorType { dtype: dtype(t.dtype), shape: t.shape.clone() };
    let mut inputs = g.inputs.iter().peekable();
    let mut add_inputs = |out: &mut Graph, before: u32| {
        while let Some(v) = inputs.next_if(|v| v.0 < before) {
            out.add_input("", wide(g.ty(*v)));
        }
    };
    for n in g.nodes() {
        add_inputs(&mut out, n.outputs.first().map_or(0, |v| v.0));
        let op = match &n.op {
            Op::Bitcast { .. } => return None,
            Op::Cast { to } => Op::Cast { to: dtype(*to) },
            Op::MatMul { out } => Op::MatMul { out: dtype(*out) },
            Op::Iota { dtype: d, shape, axis } => Op::Iota { dtype: dtype(*d), shape: shape.clone(), axis: *axis },
            op => op.clone(),
        };
        let types = n.outputs.iter().map(|v| wide(g.ty(*v))).collect();
        out.push_typed(op, n.inputs.clone(), types, Loc::default());
    }
    add_inputs(&mut out, u32::MAX);
    for v in &g.outputs {
        out.add_output("", *v);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use beiming_ir::ops::BinaryOp;
    use beiming_ir::types::Symbols;

    #[test]
    fn floats_are_wide_and_values_stay_in_place() {
        let mut g = Graph::new("", Symbols::default());
        let x = g.add_input("x", TensorType::scalar(DType::F32));
        let y = g.push1(Op::Binary(BinaryOp::Add), &[x, x], &Loc::default()).unwrap();
        let z = g.add_input("z", TensorType::scalar(DType::F32));
        let s = g.push1(Op::Binary(BinaryOp::Mul), &[y, z], &Loc::default()).unwrap();
        g.add_output("s", s);
        let third = Tensor::from_f64(DType::F32, &[], &[1.0 / 3.0]);
        let out = outputs(&g, &[third.clone(), third.clone()]).unwrap();
        assert_eq!((out[0].dtype, out[0].to_f64()[0]), (DType::F64, 2.0 * third.to_f64()[0] * third.to_f64()[0]));
        let bits = g.push1(Op::Bitcast { to: DType::I32 }, &[s], &Loc::default()).unwrap();
        g.add_output("bits", bits);
        assert!(outputs(&g, &[third.clone(), third]).is_none());
    }
}
