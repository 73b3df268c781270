//! Products of quantised numbers in the form that a cube unit takes. Importers spell them as their standards do: numbers of 8 bits,
//! widened, less a zero point, multiplied as i32, or scaled to floats and multiplied as those. With constant weights on the right
//! both become one product of i8 in i32 and what has to follow it, which is fused behind it:
//!
//! ```text
//! sum (x - z) w                      =  sum x w  -  z sum w
//! sum (x - z) sx (w - zw) sw         = (sum x (w - zw)  -  z sum (w - zw)) sx sw
//! ```
//!
//! `sum w` is a constant row, and numbers of 0 to 255 are moved to -128 to 127 first, which is another zero point. Whole numbers stay
//! exact; the scaled form is rounded less often than the one it replaces, so it is taken where reassociation is allowed.
//!
//! Where results do not leave the accumulators through a fixpipe (310P), the product is one of f16 in f32, taken where every sum is
//! certainly a whole number below 2^24: it is then exact in any order.

use std::collections::BTreeMap;

use beiming_ir::eval::{self, Dims};
use beiming_ir::graph::{Graph, Loc, Node, ValueId};
use beiming_ir::ops::{BinaryOp, Op};
use beiming_ir::target::npu::Npu;
use beiming_ir::target::{Family, Target};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::DType;

use crate::rebuild::Rebuild;
use crate::{PassError, dce};

/// Whole numbers up to here are exact in f32.
const EXACT_IN_F32: i64 = 1 << 24;

/// Numbers of 8 bits, less a zero point, times a scale.
struct Left {
    x: ValueId,
    /// One number for all, or one a row.
    zero: Option<ValueId>,
    /// See `zero`.
    scale: Option<ValueId>,
}

/// The other side.
enum Right {
    /// Whole numbers that i8 holds, `[k, n]`, and their factors, one a column.
    Weights(Tensor, Option<Tensor>),
    /// Numbers of 8 bits without a zero point.
    Value(ValueId),
}

struct Product {
    left: Left,
    right: Right,
    out: DType,
}

/// The graph with quantised products as the cube unit of `target` multiplies them; the same graph for other targets.
pub fn run(graph: Graph, target: &Target, reassociate: bool) -> Result<Graph, PassError> {
    let npu = match target.family {
        Family::Ascend => Npu::by_name(&target.name),
        _ => None,
    };
    let Some(npu) = npu.filter(|n| n.core.cube_mode(DType::I8).is_some()) else { return Ok(graph) };
    let products = graph.nodes().iter().filter_map(|n| Some((*n.outputs.first()?, product(&graph, n, &npu, reassociate)?)));
    let products: BTreeMap<ValueId, Product> = products.collect();
    if products.is_empty() {
        return Ok(graph);
    }
    let mut r = Rebuild::new(&graph);
    for node in graph.nodes() {
        let Some((out, p)) = node.outputs.first().and_then(|v| Some((*v, products.get(v)?))) else {
            r.copy(node)?;
            continue;
        };
        let fail = |source| PassError::Infer { node: node.loc.name.to_string(), source };
        let (x, zero, scale) = (r.get(p.left.x)?, mapped(&r, p.left.zero)?, mapped(&r, p.left.scale)?);
        let right = match &p.right {
            Right::Value(v) => Some(r.get(*v)?),
            Right::Weights(..) => None,
        };
        let known = p.left.zero.and_then(|z| constant(&graph, z)).filter(|t| t.len() == 1).map(|t| t.to_i64()[0]);
        let mut e = Emit { r: &mut r, loc: &node.loc };
        let v = match &p.right {
            Right::Weights(w, s) if npu.core.fixpipe => e.in_i8(x, zero, known, w, scale.zip(s.as_ref()), p.out),
            Right::Weights(w, s) => e.in_f16(x, zero, w, scale.zip(s.as_ref()), p.out),
            Right::Value(_) => e.op(Op::MatMul { out: p.out }, &[x, right.unwrap_or(x)]),
        };
        r.set(out, v.map_err(fail)?);
    }
    dce::run(&r.finish()?)
}

fn mapped(r: &Rebuild, v: Option<ValueId>) -> Result<Option<ValueId>, PassError> {
    v.map(|v| r.get(v)).transpose()
}

/// A node as a product of quantised numbers.
fn product(g: &Graph, node: &Node, npu: &Npu, reassociate: bool) -> Option<Product> {
    let (Op::MatMul { out }, [a, b]) = (&node.op, &node.inputs[..]) else { return None };
    let out = *out;
    let (left, right) = match out {
        DType::I32 => {
            let (x, zero) = whole(g, *a)?;
            let left = Left { x, zero, scale: None };
            match whole(g, *b) {
                Some((w, None)) if constant(g, *b).is_none() => {
                    // Without constants nothing is known of sums: only what needs none.
                    let plain = left.zero.is_none() && [x, w].iter().all(|v| g.ty(*v).dtype == DType::I8);
                    return (plain && npu.core.fixpipe).then_some(Product { left, right: Right::Value(w), out });
                }
                _ => (left, (constant(g, *b)?, None)),
            }
        }
        DType::F32 | DType::F16 if reassociate => {
            let (x, zero, scale) = scaled(g, *a)?;
            let (w, s) = factors(g, *b).and_then(|(w, s)| Some((w, columns(&s)?))).or_else(|| recovered(&constant(g, *b)?))?;
            (Left { x, zero, scale: Some(scale) }, (w, Some(s)))
        }
        _ => return None,
    };
    let (w, s) = right;
    let most = largest_sum(&w)?;
    // Of a zero point and of the move by 128 together, in i32; of differences of 8-bit numbers in f32.
    let holds = if npu.core.fixpipe { most < i64::from(i32::MAX) / 512 } else { most * 255 <= EXACT_IN_F32 };
    holds.then_some(Product { left, right: Right::Weights(w, s), out })
}

/// The largest sum of magnitudes in a column of `[k, n]`; `None` for what are no whole numbers that i8 holds.
fn largest_sum(w: &Tensor) -> Option<i64> {
    let [k, n] = w.shape[..] else { return None };
    let values = w.to_f64();
    if k == 0 || n == 0 || values.iter().any(|v| v.fract() != 0.0 || !(-128.0..=127.0).contains(v)) {
        return None;
    }
    let sum = |j: usize| (0..k).map(|i| values[i * n + j].abs() as i64).sum::<i64>();
    (0..n).map(sum).max()
}

/// `x` or `x - zero` of numbers of 8 bits, widened to i32 or f32.
fn whole(g: &Graph, v: ValueId) -> Option<(ValueId, Option<ValueId>)> {
    let n = g.def(v)?;
    match (&n.op, &n.inputs[..]) {
        (Op::Cast { to: DType::I32 | DType::F32 }, [x]) => match g.ty(*x).dtype {
            DType::I8 | DType::U8 => Some((*x, None)),
            DType::I32 => whole(g, *x),
            _ => None,
        },
        (Op::Binary(BinaryOp::Sub), [a, z]) => {
            let (x, None) = whole(g, *a)? else { return None };
            (g.ty(x).shape == g.ty(v).shape && a_row(g, *z) && of_8_bits(g, *z)).then_some((x, Some(*z)))
        }
        _ => None,
    }
}

/// `(x - zero) * scale`, in f32 or rounded to f16 from there.
fn scaled(g: &Graph, v: ValueId) -> Option<(ValueId, Option<ValueId>, ValueId)> {
    let n = g.def(v)?;
    match (&n.op, &n.inputs[..]) {
        (Op::Cast { to: DType::F16 }, [x]) if g.ty(*x).dtype == DType::F32 => scaled(g, *x),
        (Op::Binary(BinaryOp::Mul), [a, s]) => {
            let (x, zero) = whole(g, *a)?;
            (g.ty(x).shape == g.ty(v).shape && g.ty(*s).dtype == DType::F32 && a_row(g, *s)).then_some((x, zero, *s))
        }
        _ => None,
    }
}

/// One number for all, or one a row.
fn a_row(g: &Graph, v: ValueId) -> bool {
    g.ty(v).shape.last().is_none_or(|d| d.is(1))
}

/// True for numbers of 8 bits, however they were converted and shaped since.
fn of_8_bits(g: &Graph, mut v: ValueId) -> bool {
    loop {
        if matches!(g.ty(v).dtype, DType::I8 | DType::U8) {
            return true;
        }
        match g.def(v) {
            Some(n) if matches!(n.op, Op::Cast { .. } | Op::Reshape { .. } | Op::Broadcast { .. }) => v = n.inputs[0],
            // Folded already.
            _ => {
                return g
                    .const_of(v)
                    .is_some_and(|t| t.to_f64().iter().all(|z| z.fract() == 0.0 && (-128.0..=255.0).contains(z)));
            }
        }
    }
}

/// A constant matrix as whole numbers and their scales, both of its shape.
fn factors(g: &Graph, v: ValueId) -> Option<(Tensor, Tensor)> {
    let n = g.def(v)?;
    match (&n.op, &n.inputs[..]) {
        (Op::Cast { to: DType::F16 }, [x]) if g.ty(*x).dtype == DType::F32 => factors(g, *x),
        (op @ (Op::Transpose { .. } | Op::Reshape { .. }), [x]) => {
            let (w, s) = factors(g, *x)?;
            Some((run_op(g, op, &[w])?, run_op(g, op, &[s])?))
        }
        (Op::Binary(BinaryOp::Mul), [w, s]) => {
            let (w, s) = (constant(g, *w)?, constant(g, *s)?);
            let spread = Op::Broadcast { shape: g.ty(v).shape.clone() };
            Some((run_op(g, &spread, &[w])?, run_op(g, &spread, &[s])?))
        }
        _ => None,
    }
}

/// The scales of columns, where they are that, one for each.
fn columns(s: &Tensor) -> Option<Tensor> {
    let [k, n] = s.shape[..] else { return None };
    let v = s.to_f64();
    let same = (0..k * n).all(|i| v[i] == v[i % n] && v[i].is_finite());
    (k > 0 && same).then(|| Tensor::from_f64(DType::F32, &[n], &v[..n]))
}

/// A constant matrix of f32 that was quantised and has been multiplied out since: whole numbers and a scale for every column whose
/// products, rounded to f32, are the very elements.
fn recovered(t: &Tensor) -> Option<(Tensor, Tensor)> {
    let [k, n] = t.shape[..] else { return None };
    if t.dtype != DType::F32 || k == 0 {
        return None;
    }
    let values: Vec<f32> = t.to_f64().into_iter().map(|v| v as f32).collect();
    let (mut whole, mut scales) = (vec![0.0; k * n], vec![1.0f32; n]);
    for j in 0..n {
        let column = || (0..k).map(|i| values[i * n + j]);
        let most = column().fold(0.0, |m: f32, v| if v.is_finite() { m.max(v.abs()) } else { f32::INFINITY });
        if most == 0.0 {
            continue;
        }
        // The largest element is some whole number times the scale, which that quotient misses by its last bit at most.
        let near = |q: u32| {
            let bits = ((f64::from(most) / f64::from(q)) as f32).to_bits();
            [bits, bits + 1, bits.saturating_sub(1)].map(f32::from_bits)
        };
        let of = |v: f32, s: f32| (f64::from(v) / f64::from(s)).round() as f32;
        let holds = |s: &f32| column().all(|v| (-128.0..=127.0).contains(&of(v, *s)) && of(v, *s) * s == v);
        let s = (1..=128).flat_map(near).find(|s| s.is_normal() && holds(s))?;
        scales[j] = s;
        column().enumerate().for_each(|(i, v)| whole[i * n + j] = f64::from(of(v, s)));
    }
    Some((Tensor::from_f64(DType::F32, &[k, n], &whole), Tensor::f32(&[n], &scales)))
}

/// The value of what is made of constants.
fn constant(g: &Graph, v: ValueId) -> Option<Tensor> {
    if let Some(t) = g.const_of(v) {
        return Some(t.clone());
    }
    let n = g.def(v)?;
    if !matches!(n.op, Op::Cast { .. } | Op::Binary(_) | Op::Reshape { .. } | Op::Broadcast { .. } | Op::Transpose { .. }) {
        return None;
    }
    let args: Vec<Tensor> = n.inputs.iter().map(|v| constant(g, *v)).collect::<Option<_>>()?;
    run_op(g, &n.op, &args)
}

fn run_op(g: &Graph, op: &Op, args: &[Tensor]) -> Option<Tensor> {
    eval::op(op, args, g, &Dims::new()).ok()?.pop()
}

/// Writes a product.
struct Emit<'r, 'g> {
    r: &'r mut Rebuild<'g>,
    loc: &'r Loc,
}

type Made = Result<ValueId, beiming_ir::ops::InferError>;

impl Emit<'_, '_> {
    fn op(&mut self, op: Op, args: &[ValueId]) -> Made {
        self.r.push1(op, args, self.loc)
    }

    fn binary(&mut self, op: BinaryOp, a: ValueId, b: ValueId) -> Made {
        self.op(Op::Binary(op), &[a, b])
    }

    fn cast(&mut self, to: DType, v: ValueId) -> Made {
        if self.r.new.ty(v).dtype == to { Ok(v) } else { self.op(Op::Cast { to }, &[v]) }
    }

    fn number(&mut self, dtype: DType, x: i64) -> ValueId {
        let value = if dtype.is_float() { Num::Float(x as f64) } else { Num::Int(x.into()) };
        self.r.constant(&Tensor::scalar(dtype, value), self.loc)
    }

    /// In i8, with what the zero point takes away behind the product. `known`: the zero point's value.
    fn in_i8(
        &mut self,
        x: ValueId,
        zero: Option<ValueId>,
        known: Option<i64>,
        w: &Tensor,
        scale: Option<(ValueId, &Tensor)>,
        out: DType,
    ) -> Made {
        let moved = if self.r.new.ty(x).dtype == DType::U8 { 128 } else { 0 };
        let x = if moved == 0 {
            x
        } else {
            // f16 holds all of these numbers.
            let wide = self.cast(DType::F16, x)?;
            let by = self.number(DType::F16, moved);
            let less = self.binary(BinaryOp::Sub, wide, by)?;
            self.cast(DType::I8, less)?
        };
        let (k, n) = (w.shape[0], w.shape[1]);
        let values = w.to_i64();
        let sums: Vec<i64> = (0..n).map(|j| (0..k).map(|i| values[i * n + j]).sum()).collect();
        let weights = Tensor::build(DType::I8, &w.shape, |i| Num::Int(values[i].into()));
        let weights = self.r.constant(&weights, self.loc);
        let mut y = self.op(Op::MatMul { out: DType::I32 }, &[x, weights])?;
        let row = |by: i64| Tensor::build(DType::I32, &[n], |j| Num::Int((by * sums[j]).into()));
        match (zero, known) {
            (Some(zero), None) => {
                let mut z = self.cast(DType::I32, zero)?;
                if moved != 0 {
                    let by = self.number(DType::I32, moved);
                    z = self.binary(BinaryOp::Sub, z, by)?;
                }
                let sums = self.r.constant(&row(1), self.loc);
                let less = self.binary(BinaryOp::Mul, z, sums)?;
                y = self.binary(BinaryOp::Sub, y, less)?;
            }
            (None, _) | (_, Some(_)) => {
                let z = known.unwrap_or(0) - moved;
                if z != 0 {
                    let less = self.r.constant(&row(z), self.loc);
                    y = self.binary(BinaryOp::Sub, y, less)?;
                }
            }
        }
        let Some(scale) = scale else { return Ok(y) };
        let y = self.cast(DType::F32, y)?;
        self.scaled(y, scale, out)
    }

    /// In f16, accumulated in f32.
    fn in_f16(&mut self, x: ValueId, zero: Option<ValueId>, w: &Tensor, scale: Option<(ValueId, &Tensor)>, out: DType) -> Made {
        let mut x = self.cast(DType::F16, x)?;
        if let Some(z) = zero {
            let z = self.cast(DType::F16, z)?;
            x = self.binary(BinaryOp::Sub, x, z)?;
        }
        let weights = Tensor::from_f64(DType::F16, &w.shape, &w.to_f64());
        let weights = self.r.constant(&weights, self.loc);
        let y = self.op(Op::MatMul { out: DType::F32 }, &[x, weights])?;
        match scale {
            Some(scale) => self.scaled(y, scale, out),
            None => self.cast(out, y),
        }
    }

    fn scaled(&mut self, y: ValueId, (left, columns): (ValueId, &Tensor), out: DType) -> Made {
        let columns = self.r.constant(columns, self.loc);
        let by = self.binary(BinaryOp::Mul, left, columns)?;
        let y = self.binary(BinaryOp::Mul, y, by)?;
        self.cast(out, y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantised_columns_are_recovered() {
        let (k, n) = (37usize, 5usize);
        let q = |i: usize| ((i * 97 + 13) % 256) as f32 - 128.0;
        let s = [0.013f32, 1.0e-4, 3.3, 0.25, 7.77e-3];
        let of = |f: &dyn Fn(usize) -> f32| Tensor::f32(&[k, n], &(0..k * n).map(f).collect::<Vec<_>>());
        let t = of(&|i| q(i) * s[i % n]);
        let (w, scales) = recovered(&t).expect("whole numbers times scales");
        let (w, scales) = (w.to_f64(), scales.to_f64());
        for (i, v) in t.to_f64().into_iter().enumerate() {
            assert_eq!(f64::from(w[i] as f32 * scales[i % n] as f32), v, "element {i}");
            assert!(w[i].fract() == 0.0 && (-128.0..=127.0).contains(&w[i]));
        }
        // Zeros have any scale; what is no product of such numbers has none.
        assert!(recovered(&of(&|_| 0.0)).is_some());
        assert!(recovered(&of(&|i| (i as f32 * 0.37).sin())).is_none());
        assert!(recovered(&of(&|i| if i == 7 { f32::NAN } else { 1.0 })).is_none());
        assert!(recovered(&of(&|i| if i == 7 { f32::INFINITY } else { 1.0 })).is_none());
    }
}
