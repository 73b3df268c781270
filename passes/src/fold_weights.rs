//! Weight folding: a multiplication or addition of per-channel constants behind a convolution or matmul (a batch
//! normalisation, mostly) goes into the weights and the bias. Products are then rounded in another order, so this runs only
//! where reassociation is allowed.

use beiming_ir::graph::{Graph, Loc, Node, ValueId};
use beiming_ir::ops::{BinaryOp, Op};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::DType;

use crate::rebuild::Rebuild;
use crate::{PassError, dce};

/// One factor for all channels is folded into weights up to this size: it saves one multiplication an element of the result,
/// which is less than a copy of large weights is worth.
const MAX_SCALED: usize = 1 << 20;

/// A contraction with constant weights, and the bias that was added to it.
#[derive(Clone)]
struct Linear {
    op: Op,
    data: ValueId,
    /// The stored weights.
    weights: Tensor,
    /// Order in which the op sees the axes of `weights`, where a transpose stands between.
    perm: Option<Vec<usize>>,
    bias: Option<Tensor>,
    loc: Loc,
}

/// The graph with per-channel constants folded into weights. Dead code is left out.
pub fn run(graph: &Graph) -> Result<Graph, PassError> {
    let uses = graph.use_counts();
    let mut r = Rebuild::new(graph);
    // What an old value is as a linear op, while nothing else but the next op uses it.
    let mut linear: Vec<Option<Linear>> = vec![None; graph.values().len()];
    for node in graph.nodes() {
        let out = node.outputs[0];
        if let Some(l) = contraction(graph, &r, node, &uses)? {
            linear[out.index()] = Some(l);
        } else if let Some(l) = absorbed(graph, node, &linear, &uses) {
            let v = emit(&mut r, &l).map_err(|source| PassError::Infer { node: node.loc.name.to_string(), source })?;
            // The type may only differ where the constant had more axes than the result.
            if r.new.ty(v) == graph.ty(out) {
                r.set(out, v);
                linear[out.index()] = Some(l);
                continue;
            }
        }
        r.copy(node)?;
    }
    dce::run(&r.finish()?)
}

/// A contraction whose weights are a constant that nothing else uses.
fn contraction(g: &Graph, r: &Rebuild, node: &Node, uses: &[u32]) -> Result<Option<Linear>, PassError> {
    let plain = match &node.op {
        Op::MatMul { .. } => g.ty(node.inputs[1]).rank() == 2,
        Op::Conv(_) => true,
        Op::ConvTranspose(c) => c.groups == 1,
        _ => false,
    };
    if !plain || uses[node.inputs[1].index()] != 1 {
        return Ok(None);
    }
    let (source, perm) = match g.def(node.inputs[1]).map(|n| (&n.op, n)) {
        Some((Op::Transpose { perm }, n)) if uses[n.inputs[0].index()] == 1 => (n.inputs[0], Some(perm.clone())),
        _ => (node.inputs[1], None),
    };
    let Some(weights) = g.const_of(source).filter(|w| w.dtype == g.ty(node.outputs[0]).dtype && w.dtype.is_float()) else {
        return Ok(None);
    };
    let (op, data, weights, loc) = (node.op.clone(), r.get(node.inputs[0])?, weights.clone(), node.loc.clone());
    Ok(Some(Linear { op, data, weights, perm, bias: None, loc }))
}

/// `node` as part of the linear op before it.
fn absorbed(g: &Graph, node: &Node, linear: &[Option<Linear>], uses: &[u32]) -> Option<Linear> {
    let Op::Binary(op) = node.op else { return None };
    let [x, y] = node.inputs[..] else { return None };
    let swaps = matches!(op, BinaryOp::Mul | BinaryOp::Add);
    let (value, constant) = match (g.const_of(x), g.const_of(y)) {
        (None, Some(c)) => (x, c),
        (Some(c), None) if swaps => (y, c),
        _ => return None,
    };
    if uses[value.index()] != 1 {
        return None;
    }
    let mut l = linear[value.index()].clone()?;
    let channels = usize::try_from(g.ty(value).shape.last()?.known()?).ok()?;
    let c = per_channel(constant, channels)?;
    let number = |f: &dyn Fn(f64) -> f64| -> Vec<f64> { c.iter().map(|v| f(*v)).collect() };
    match op {
        BinaryOp::Mul | BinaryOp::Div => {
            let factor = if op == BinaryOp::Mul { c.clone() } else { number(&|v| 1.0 / v) };
            let uniform = factor.iter().all(|f| *f == factor[0]);
            if factor.iter().any(|f| !f.is_finite()) || uniform && l.weights.bytes().len() > MAX_SCALED {
                return None;
            }
            let last = l.weights.shape.len() - 1;
            let axis = l.perm.as_ref().map_or(last, |p| p[last]);
            l.weights = scaled(&l.weights, axis, &factor)?;
            l.bias = match &l.bias {
                Some(b) => Some(scaled(b, 0, &factor)?),
                None => None,
            };
        }
        BinaryOp::Add | BinaryOp::Sub => {
            // A lone bias is an epilogue as it stands, but a factor may follow.
            let before = l.bias.as_ref().map(Tensor::to_f64);
            let sign = if op == BinaryOp::Sub { -1.0 } else { 1.0 };
            let sum = |i: usize| before.as_ref().map_or(0.0, |b| b[i]) + sign * c[i];
            l.bias = Some(Tensor::build(constant.dtype, &[channels], |i| Num::Float(sum(i))));
        }
        _ => return None,
    }
    Some(l)
}

/// The values of a constant that spans only the last axis, one a channel.
fn per_channel(t: &Tensor, channels: usize) -> Option<Vec<f64>> {
    let (last, lead) = t.shape.split_last().map_or((1, &[][..]), |(l, rest)| (*l, rest));
    if lead.iter().any(|d| *d != 1) || (last != 1 && last != channels) || t.is_empty() {
        return None;
    }
    let v = t.to_f64();
    Some(if last == 1 { vec![v[0]; channels] } else { v })
}

/// `t` with every slice along `axis` times its factor.
fn scaled(t: &Tensor, axis: usize, factor: &[f64]) -> Option<Tensor> {
    if t.shape.get(axis) != Some(&factor.len()) {
        return None;
    }
    let inner: usize = t.shape[axis + 1..].iter().product();
    let at = |i: usize| factor[i / inner % factor.len()];
    if t.dtype != DType::F32 {
        return Some(Tensor::build(t.dtype, &t.shape, |i| Num::Float(t.get(i).to_f64() * at(i))));
    }
    let mut bytes = Vec::with_capacity(t.bytes().len());
    for (i, b) in t.bytes().chunks_exact(4).enumerate() {
        let v = f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])) * at(i);
        bytes.extend((v as f32).to_le_bytes());
    }
    Tensor::new(t.dtype, t.shape.clone(), bytes.into())
}

fn emit(r: &mut Rebuild, l: &Linear) -> Result<ValueId, beiming_ir::ops::InferError> {
    let mut w = r.constant(&l.weights, &l.loc);
    if let Some(perm) = &l.perm {
        w = r.push1(Op::Transpose { perm: perm.clone() }, &[w], &l.loc)?;
    }
    let y = r.push1(l.op.clone(), &[l.data, w], &l.loc)?;
    let Some(bias) = &l.bias else { return Ok(y) };
    let b = r.constant(bias, &l.loc);
    r.push1(Op::Binary(BinaryOp::Add), &[y, b], &l.loc)
}

#[cfg(test)]
mod tests {
    use super::*;
    use beiming_ir::eval;
    use beiming_ir::ops::Conv;
    use beiming_ir::types::{Symbols, TensorType};

    fn wave(shape: &[usize]) -> Tensor {
        Tensor::build(DType::F32, shape, |i| Num::Float(((i * 37 % 101) as f64 - 50.0) / 40.0))
    }

    fn check(g: &Graph, nodes: usize) {
        let h = run(g).unwrap();
        let left = h.nodes().iter().filter(|n| !matches!(n.op, Op::Constant(_) | Op::Transpose { .. })).count();
        assert_eq!(left, nodes, "{h:#?}");
        let x: Vec<Tensor> = g.inputs.iter().map(|v| wave(&g.ty(*v).static_shape().unwrap())).collect();
        let (want, got) = (eval::graph(g, &x).unwrap(), eval::graph(&h, &x).unwrap());
        for (a, b) in want[0].to_f64().into_iter().zip(got[0].to_f64()) {
            assert!((a - b).abs() <= 1e-5 * a.abs().max(1.0), "{a} became {b}");
        }
    }

    #[test]
    fn batch_norm_goes_into_a_convolution() {
        let mut g = Graph::new("bn", Symbols::default());
        let at = Loc::default();
        let x = g.add_input("x", TensorType::known(DType::F32, &[1, 5, 5, 4]));
        let conv = Conv { strides: vec![1, 1], dilations: vec![1, 1], pads: vec![(1, 1), (1, 1)], groups: 2 };
        let w = g.constant(wave(&[3, 3, 2, 6]), &at);
        let mut y = g.push1(Op::Conv(conv), &[x, w], &at).unwrap();
        for (op, shape) in
            [(BinaryOp::Add, vec![6]), (BinaryOp::Sub, vec![1, 1, 6]), (BinaryOp::Mul, vec![1, 1, 1, 6]), (BinaryOp::Add, vec![])]
        {
            let c = g.constant(wave(&shape), &at);
            y = g.push1(Op::Binary(op), &[y, c], &at).unwrap();
        }
        let zero = g.constant(Tensor::scalar(DType::F32, Num::Float(0.0)), &at);
        let y = g.push1(Op::Binary(BinaryOp::Max), &[y, zero], &at).unwrap();
        g.add_output("y", y);
        check(&g, 3);
    }

    #[test]
    fn scale_goes_into_turned_weights() {
        let mut g = Graph::new("linear", Symbols::default());
        let at = Loc::default();
        let x = g.add_input("x", TensorType::known(DType::F32, &[2, 3, 4]));
        let w = g.constant(wave(&[5, 4]), &at);
        let w = g.push1(Op::Transpose { perm: vec![1, 0] }, &[w], &at).unwrap();
        let y = g.push1(Op::MatMul { out: DType::F32 }, &[x, w], &at).unwrap();
        let c = g.constant(wave(&[5]), &at);
        let y = g.push1(Op::Binary(BinaryOp::Mul), &[c, y], &at).unwrap();
        g.add_output("y", y);
        check(&g, 1);
    }

    #[test]
    fn a_value_with_other_uses_stays() {
        let mut g = Graph::new("shared", Symbols::default());
        let at = Loc::default();
        let x = g.add_input("x", TensorType::known(DType::F32, &[3, 4]));
        let w = g.constant(wave(&[4, 5]), &at);
        let y = g.push1(Op::MatMul { out: DType::F32 }, &[x, w], &at).unwrap();
        let c = g.constant(wave(&[5]), &at);
        let z = g.push1(Op::Binary(BinaryOp::Mul), &[y, c], &at).unwrap();
        let z = g.push1(Op::Binary(BinaryOp::Add), &[z, y], &at).unwrap();
        g.add_output("y", z);
        check(&g, 3);
    }
}
