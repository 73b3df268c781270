//! Sibling matmuls: products of one value with several constants (the projections of an attention layer) become one product
//! with the constants side by side, and slices of its result. One pass over the common argument instead of several, and wider
//! rows for the tiler.
//!
//! Only where every result goes on through views alone, which read a slice as they read the whole; an epilogue behind a slice
//! would be a kernel more.

use std::collections::BTreeMap;

use beiming_ir::graph::{Graph, Node, NodeId, ValueId};
use beiming_ir::ops::{BinaryOp, Op, Slice};
use beiming_ir::target::Target;
use beiming_ir::tensor::{Data, Tensor};
use beiming_ir::types::{DType, Dim, TensorType};

use crate::PassError;
use crate::cost::CostModel;
use crate::rebuild::Rebuild;

/// One product of a family.
struct Sibling<'a> {
    /// Stored weights, `[K, N]`, or `[N, K]` behind a transpose.
    weights: &'a Tensor,
    bias: Option<&'a Tensor>,
    /// The value that the slice replaces: the product, or the product with its bias.
    result: ValueId,
    columns: usize,
}

/// What makes products siblings: argument, result type, whether the weights are stored turned, whether there is a bias.
type Family = (ValueId, DType, bool, bool);

/// The graph with sibling products merged where the cost model of `target` says that it pays.
pub fn run(graph: &Graph, target: &Target) -> Result<Graph, PassError> {
    let users = users(graph);
    let mut families: BTreeMap<Family, Vec<Sibling>> = BTreeMap::new();
    for node in graph.nodes() {
        if let Some((family, sibling)) = sibling(graph, node, &users) {
            families.entry(family).or_default().push(sibling);
        }
    }
    families.retain(|f, s| s.len() > 1 && pays(graph, target, f, s));
    if families.is_empty() {
        return Ok(graph.clone());
    }
    // A family is written where its first member stood; the argument is computed by then.
    let mut replaced: BTreeMap<ValueId, (Family, usize)> = BTreeMap::new();
    for (family, siblings) in &families {
        replaced.extend(siblings.iter().enumerate().map(|(i, s)| (s.result, (*family, i))));
    }
    let mut merged: BTreeMap<Family, ValueId> = BTreeMap::new();
    let mut r = Rebuild::new(graph);
    for node in graph.nodes() {
        let Some((family, i)) = replaced.get(&node.outputs[0]) else {
            r.copy(node)?;
            continue;
        };
        let siblings = &families[family];
        let fail = |source| PassError::Infer { node: node.loc.name.to_string(), source };
        let whole = match merged.get(family) {
            Some(v) => *v,
            None => {
                let v = emit(&mut r, family, siblings, node)?;
                merged.insert(*family, v);
                v
            }
        };
        let ty = r.new.ty(whole).clone();
        let mut start = vec![Dim::from(0); ty.rank()];
        let mut len = ty.shape.clone();
        let last = ty.rank() - 1;
        start[last] = siblings[..*i].iter().map(|s| s.columns).sum::<usize>().into();
        len[last] = siblings[*i].columns.into();
        let slice = Op::Slice(Slice { start, len, step: vec![1; ty.rank()] });
        let v = r.push1(slice, &[whole], &node.loc).map_err(fail)?;
        r.set(node.outputs[0], v);
    }
    crate::dce::run(&r.finish()?)
}

fn users(g: &Graph) -> Vec<Vec<NodeId>> {
    let mut users = vec![vec![]; g.values().len()];
    for (i, node) in g.nodes().iter().enumerate() {
        for v in &node.inputs {
            users[v.index()].push(NodeId(i as u32));
        }
    }
    users
}

fn sibling<'a>(g: &'a Graph, node: &Node, users: &[Vec<NodeId>]) -> Option<(Family, Sibling<'a>)> {
    let Op::MatMul { out } = node.op else { return None };
    let w = node.inputs[1];
    let (stored, turned) = match g.def(w) {
        Some(n) if n.op == (Op::Transpose { perm: vec![1, 0] }) => (n.inputs[0], true),
        _ => (w, false),
    };
    let weights = g.const_of(stored).filter(|t| t.shape.len() == 2)?;
    if users[w.index()].len() != 1 || users[stored.index()].len() != 1 {
        return None;
    }
    let columns = weights.shape[usize::from(!turned)];
    let product = node.outputs[0];
    let (mut result, mut bias) = (product, None);
    if let [only] = users[product.index()][..]
        && let Node { op: Op::Binary(BinaryOp::Add), inputs, outputs, .. } = g.node(only)
        && let Some(b) = inputs.iter().find_map(|v| g.const_of(*v)).filter(|b| b.shape == [columns])
        && g.ty(outputs[0]) == g.ty(product)
    {
        (result, bias) = (outputs[0], Some(b));
    }
    let views =
        users[result.index()].iter().all(|u| matches!(g.node(*u).op, Op::Reshape { .. } | Op::Transpose { .. } | Op::Slice(_)));
    if g.outputs.contains(&result) || users[result.index()].is_empty() || !views {
        return None;
    }
    Some(((node.inputs[0], out, turned, bias.is_some()), Sibling { weights, bias, result, columns }))
}

fn pays(g: &Graph, target: &Target, family: &Family, siblings: &[Sibling]) -> bool {
    let model = CostModel { target, symbols: &g.symbols };
    let x = g.ty(family.0);
    let Some(k) = x.shape.last().cloned() else { return false };
    let cost = |columns: usize| {
        let w = TensorType::new(siblings[0].weights.dtype, vec![k.clone(), columns.into()]);
        let shape: Vec<Dim> = x.shape[..x.rank() - 1].iter().cloned().chain([columns.into()]).collect();
        let out = TensorType::new(family.1, shape);
        model.op(&Op::MatMul { out: family.1 }, &[x, &w], &[out], g).seconds
    };
    let apart: f64 = siblings.iter().map(|s| cost(s.columns)).sum();
    cost(siblings.iter().map(|s| s.columns).sum()) < apart
}

/// The product with all weights side by side, and its bias.
fn emit(r: &mut Rebuild, family: &Family, siblings: &[Sibling], node: &Node) -> Result<ValueId, PassError> {
    let (x, out, turned, _) = *family;
    let fail = |source| PassError::Infer { node: node.loc.name.to_string(), source };
    let data = r.get(x)?;
    let parts: Vec<&Tensor> = siblings.iter().map(|s| s.weights).collect();
    let weights = side_by_side(&parts, usize::from(!turned))
        .ok_or_else(|| PassError::Malformed(format!("`{}`: products of one value disagree about its extent", node.loc.name)))?;
    let mut w = r.constant(&weights, &node.loc);
    if turned {
        w = r.push1(Op::Transpose { perm: vec![1, 0] }, &[w], &node.loc).map_err(fail)?;
    }
    let y = r.push1(Op::MatMul { out }, &[data, w], &node.loc).map_err(fail)?;
    let biases: Vec<&Tensor> = siblings.iter().filter_map(|s| s.bias).collect();
    if biases.is_empty() {
        return Ok(y);
    }
    let bias = side_by_side(&biases, 0)
        .ok_or_else(|| PassError::Malformed(format!("`{}`: biases of different types", node.loc.name)))?;
    let b = r.constant(&bias, &node.loc);
    r.push1(Op::Binary(BinaryOp::Add), &[y, b], &node.loc).map_err(fail)
}

/// Constants joined along `axis`, 0 or the last. `None` where they do not fit.
fn side_by_side(parts: &[&Tensor], axis: usize) -> Option<Tensor> {
    let first = parts.first()?;
    let mut shape = first.shape.clone();
    shape[axis] = parts.iter().map(|p| p.shape[axis]).sum();
    let rows: usize = first.shape[..axis].iter().product();
    let mut bytes = Vec::with_capacity(parts.iter().map(|p| p.bytes().len()).sum());
    for row in 0..rows {
        for p in parts {
            let fits = p.dtype == first.dtype
                && p.shape[..axis] == first.shape[..axis]
                && p.shape[axis + 1..] == first.shape[axis + 1..];
            if !fits {
                return None;
            }
            let n = p.bytes().len() / rows;
            bytes.extend_from_slice(&p.bytes()[row * n..(row + 1) * n]);
        }
    }
    Tensor::new(first.dtype, shape, Data::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use beiming_ir::eval;
    use beiming_ir::graph::Loc;
    use beiming_ir::tensor::Num;
    use beiming_ir::types::Symbols;

    fn wave(shape: &[usize], k: usize) -> Tensor {
        Tensor::build(DType::F32, shape, |i| Num::Float(((i * k % 101) as f64 - 50.0) / 40.0))
    }

    fn projections(turned: bool, bias: bool) -> Graph {
        let mut g = Graph::new("qkv", Symbols::default());
        let at = Loc::default();
        let x = g.add_input("x", TensorType::known(DType::F32, &[1, 6, 8]));
        for (i, n) in [8usize, 8, 4].into_iter().enumerate() {
            let t = wave(&if turned { [n, 8] } else { [8, n] }, 37 + i);
            let mut w = g.constant(t, &at);
            if turned {
                w = g.push1(Op::Transpose { perm: vec![1, 0] }, &[w], &at).unwrap();
            }
            let mut y = g.push1(Op::MatMul { out: DType::F32 }, &[x, w], &at).unwrap();
            if bias {
                let b = g.constant(wave(&[n], 11 + i), &at);
                y = g.push1(Op::Binary(BinaryOp::Add), &[b, y], &at).unwrap();
            }
            let y = g.push1(Op::Reshape { shape: vec![1.into(), 6.into(), 2.into(), (n / 2).into()] }, &[y], &at).unwrap();
            let y = g.push1(Op::Transpose { perm: vec![0, 2, 1, 3] }, &[y], &at).unwrap();
            g.add_output(&format!("y{i}"), y);
        }
        g
    }

    #[test]
    fn projections_become_one_product() {
        for (turned, bias) in [(false, false), (true, false), (false, true), (true, true)] {
            let g = projections(turned, bias);
            let h = run(&g, &Target::x86_64_v4()).unwrap();
            assert_eq!(h.nodes().iter().filter(|n| matches!(n.op, Op::MatMul { .. })).count(), 1);
            let x = [wave(&[1, 6, 8], 17)];
            let (want, got) = (eval::graph(&g, &x).unwrap(), eval::graph(&h, &x).unwrap());
            for (a, b) in want.iter().zip(&got) {
                assert_eq!((a.ty(), a.bytes()), (b.ty(), b.bytes()), "turned {turned}, bias {bias}");
            }
        }
    }
}
