//! Operands of a product: elements of inputs seen through views, with dense rows along one of their two axes. What is computed
//! inside the group is computed before, into temporaries.

use beiming_ir::kernel::{Access, BufId, Expr, ExprId};
use beiming_ir::ops::{Arg, BinaryOp, Op};
use beiming_ir::target::npu::Npu;
use beiming_ir::tensor::Tensor;
use beiming_ir::types::{DType, Dim};

use super::{dense, stream};
use crate::lower::body::BodyCx;
use crate::lower::builder::{KernelBuilder, Operand};
use crate::lower::inline::Inliner;

/// Most elements from one row of an operand to the next: a field of 16 bits.
pub const WIDEST_ROW: i64 = 65535;

/// One operand: where its elements are.
#[derive(Clone)]
pub struct Side {
    /// What the parameter is bound to.
    pub operand: Operand,
    /// Its extents.
    pub shape: Vec<Dim>,
    /// Constant of this kernel's own, in place of the operand.
    pub weight: Option<Tensor>,
    /// Distance between neighbours along each batch axis of the result.
    pub batch: Vec<Dim>,
    /// Batch axes some of whose neighbours share elements: the axis, how many do, the distance from one such group to the next.
    pub shared: Vec<(usize, Dim, Dim)>,
    /// Place of the first element.
    pub base: Dim,
    /// Distance between rows as they lie in memory.
    pub pitch: Dim,
    /// The depth runs along the rows of memory (for the left operand: not transposed; for the right one: transposed).
    pub depth_inner: bool,
}

impl Side {
    /// Address of the element at the given coordinates of the batch, row (left operand) or column, and depth.
    pub fn first(&self, kb: &mut KernelBuilder, batch: &[ExprId], outer: ExprId, depth: ExprId) -> ExprId {
        let mut first = kb.dim(&self.base);
        for (x, c) in batch.iter().zip(&self.batch) {
            let term = kb.scale(*x, c);
            first = kb.add(first, term);
        }
        for (axis, group, c) in &self.shared {
            let number = kb.quotient(batch[*axis], group);
            let term = kb.scale(number, c);
            first = kb.add(first, term);
        }
        let (outer_pitch, depth_pitch) =
            if self.depth_inner { (self.pitch.clone(), Dim::Known(1)) } else { (Dim::Known(1), self.pitch.clone()) };
        for (x, p) in [(outer, &outer_pitch), (depth, &depth_pitch)] {
            let term = kb.scale(x, p);
            first = kb.add(first, term);
        }
        first
    }
}

/// Computes an argument into a temporary where it is not an element of an input seen through views.
pub fn materialise(cx: &mut BodyCx, npu: &Npu, arg: Arg) -> Result<(), String> {
    let Arg::Node(node) = arg else { return Ok(()) };
    if cx.stored.contains_key(&node) {
        return Ok(());
    }
    let mut kb = KernelBuilder::new(cx.symbols, &[]);
    let index: Vec<ExprId> = cx.ty(arg).shape.iter().map(|d| kb.axis(d).1).collect();
    let batch = &index[..index.len().saturating_sub(2)];
    if let Some((el, _)) = Inliner::new(cx).element(&mut kb, arg, &index)?
        && el.guard.is_none()
        && kb.affine(el.index[0]).terms.iter().all(|(a, _)| index.contains(a) || group(&kb, *a, batch).is_some())
    {
        return Ok(());
    }
    let dst = cx.temp(cx.ty(arg).clone());
    stream::lower(cx, npu, arg, dst)?;
    cx.stored.insert(node, dst);
    Ok(())
}

/// The axis and the number of neighbours of `axis / neighbours`: heads of keys and values that several heads of queries share.
fn group(kb: &KernelBuilder, atom: ExprId, axes: &[ExprId]) -> Option<(usize, Dim)> {
    let Expr::Binary(BinaryOp::Div, x, by) = kb.expr(atom) else { return None };
    let axis = axes.iter().position(|a| a == x)?;
    let by = kb.affine(*by);
    by.terms.is_empty().then_some((axis, by.base))
}

/// Where the elements of an operand are; an error where its rows are not dense.
pub fn side(cx: &BodyCx, arg: Arg, result: &[Dim], k: &Dim, left: bool) -> Result<Side, String> {
    let shape = cx.ty(arg).shape.clone();
    let (rank, batch) = (shape.len(), result.len() - 2);
    let mut kb = KernelBuilder::new(cx.symbols, &[]);
    let zero = kb.int(0);
    let axes: Vec<ExprId> = result[..batch].iter().map(|d| kb.axis(d).1).collect();
    let outer = kb.axis(&if left { result[batch].clone() } else { result[batch + 1].clone() }).1;
    let depth = kb.axis(k).1;
    let mut index: Vec<ExprId> = vec![];
    for (a, d) in shape[..rank - 2].iter().enumerate() {
        let at = batch - (rank - 2) + a;
        index.push(if d.is(1) {
            zero
        } else if *d == result[at] {
            axes[at]
        } else {
            return Err("a product that may broadcast, which only its run will tell".into());
        });
    }
    index.extend(if left { [outer, depth] } else { [depth, outer] });
    let element = Inliner::new(cx).element(&mut kb, arg, &index)?;
    let Some((el, _)) = element.filter(|(el, _)| el.guard.is_none()) else {
        return Err("an operand of the product that is no plain element".into());
    };
    let address = kb.affine(el.index[0]);
    let mut shared = vec![];
    for (a, c) in address.terms.iter().filter(|(a, _)| !axes.contains(a) && *a != outer && *a != depth) {
        let (axis, by) = group(&kb, *a, &axes).ok_or("an operand of the product that is read by computed positions")?;
        shared.push((axis, by, c.clone()));
    }
    let (along_outer, along_depth) = (address.coefficient(outer), address.coefficient(depth));
    let single = |d: &Dim, e: &Dim| d.is(1) || e.is(1);
    let extent = if left { &result[batch] } else { &result[batch + 1] };
    let (depth_inner, pitch) = if single(&along_depth, k) && !(k.is(1) && along_outer.is(1) && !left) {
        (true, along_outer)
    } else if single(&along_outer, extent) {
        (false, along_depth)
    } else {
        return Err("an operand of the product whose rows are not dense".into());
    };
    // A single row has any pitch.
    let pitch = if pitch.is(0) { Dim::Known(1) } else { pitch };
    let r = pitch.range(cx.symbols);
    if r.lo < 0 || r.hi > WIDEST_ROW {
        return Err(format!("rows {pitch} elements apart: the copy into L1 counts up to {WIDEST_ROW}"));
    }
    Ok(Side {
        operand: kb.operand(el.buffer.0).ok_or("a parameter that is bound to nothing")?,
        shape: kb.buffer(el.buffer).shape.clone(),
        weight: None,
        batch: axes.iter().map(|a| address.coefficient(*a)).collect(),
        shared,
        base: address.base,
        pitch,
        depth_inner,
    })
}

/// A right operand the other way round: a constant when the program is made, another one by a kernel before.
pub fn transposed(cx: &mut BodyCx, npu: &Npu, arg: Arg, side: Side) -> Result<Side, String> {
    let constant = match arg {
        Arg::Input(i) => cx.inputs[i as usize].constant,
        // A relabeling of a constant: a convolution's weight as a matrix.
        Arg::Node(n) => match (&cx.body.nodes[n as usize].op, &cx.body.nodes[n as usize].args[..]) {
            (Op::Reshape { .. }, [Arg::Input(i)]) => cx.inputs[*i as usize].constant,
            _ => None,
        },
    };
    let shape = cx.ty(arg).static_shape().filter(|s| s.len() == 2);
    let (Some(constant), Some(shape)) = (constant, shape) else {
        let (operand, shape) = dense::turned(cx, npu, arg)?;
        let axes = side.batch.len();
        let mut batch = vec![Dim::Known(0); axes];
        let mut stride = Dim::Known(1);
        for (i, d) in shape.iter().rev().enumerate() {
            if i >= 2 && !d.is(1) {
                batch[axes + 1 - i] = stride.clone();
            }
            stride = stride * d.clone();
        }
        let pitch = shape.last().cloned().unwrap_or(Dim::Known(1));
        return Ok(Side {
            operand,
            shape: vec![stride],
            weight: None,
            batch,
            shared: vec![],
            base: Dim::Known(0),
            pitch,
            depth_inner: true,
        });
    };
    let [k, n] = shape[..] else { return Err("a matrix of other than two axes".into()) };
    let turned = Tensor::build(constant.dtype, &[n, k], |i| constant.get(i % k * n + i / k));
    Ok(Side {
        operand: Operand::Weight(0),
        shape: vec![Dim::from(n), Dim::from(k)],
        weight: Some(turned),
        pitch: Dim::from(k),
        depth_inner: true,
        ..side
    })
}

/// The parameter of an operand.
pub fn param(kb: &mut KernelBuilder, s: &Side, dtype: DType) -> BufId {
    match &s.weight {
        Some(t) => {
            let flat = t.reshaped(&[t.len()]).unwrap_or_else(|| t.clone());
            kb.weight(flat, None)
        }
        None => kb.param(s.operand, dtype, &s.shape, Access::Read),
    }
}
