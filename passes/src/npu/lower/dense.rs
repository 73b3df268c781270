//! Arguments of an anchor as they have to lie in memory: row by row. One that does is read where it is; every other is computed
//! into a temporary before.

use beiming_ir::kernel::ExprId;
use beiming_ir::ops::Arg;
use beiming_ir::target::npu::Npu;
use beiming_ir::types::{Dim, TensorType};

use super::{movement, stream};
use crate::lower::body::BodyCx;
use crate::lower::builder::{KernelBuilder, Operand};
use crate::lower::inline::Inliner;

/// A dense value in memory.
#[derive(Clone)]
pub struct Dense {
    /// What it is bound to.
    pub operand: Operand,
    /// Shape of the parameter: flat.
    pub shape: Vec<Dim>,
    /// Address of the value's first element.
    pub base: Dim,
}

/// The value of `arg`, dense.
pub fn source(cx: &mut BodyCx, npu: &Npu, arg: Arg) -> Result<Dense, String> {
    if let Some(d) = plain(cx, arg)? {
        return Ok(d);
    }
    let ty = cx.ty(arg).clone();
    let operand = cx.temp(ty.clone());
    stream::lower(cx, npu, arg, operand)?;
    if let Arg::Node(n) = arg {
        cx.stored.insert(n, operand);
    }
    Ok(Dense { operand, shape: vec![ty.numel()], base: Dim::Known(0) })
}

/// The value of `arg` where it lies dense already.
fn plain(cx: &BodyCx, arg: Arg) -> Result<Option<Dense>, String> {
    let shape = cx.ty(arg).shape.clone();
    let mut kb = KernelBuilder::new(cx.symbols, &[]);
    let index: Vec<ExprId> = shape.iter().map(|d| kb.axis(d).1).collect();
    let Some((el, _)) = Inliner::new(cx).element(&mut kb, arg, &index)? else { return Ok(None) };
    let straight = kb.linear(&index, &shape);
    let (mut have, want) = (kb.affine(el.index[0]), kb.affine(straight));
    let base = std::mem::replace(&mut have.base, want.base.clone());
    if el.guard.is_some() || have != want {
        return Ok(None);
    }
    let operand = kb.operand(el.buffer.0).ok_or("a parameter that is bound to nothing")?;
    Ok(Some(Dense { operand, shape: kb.buffer(el.buffer).shape.clone(), base }))
}

/// The value of `arg` with its last two axes exchanged, in a temporary of the given shape.
pub fn turned(cx: &mut BodyCx, npu: &Npu, arg: Arg) -> Result<(Operand, Vec<Dim>), String> {
    let ty = cx.ty(arg).clone();
    let mut shape = ty.shape.clone();
    let last = shape.len().checked_sub(2).ok_or("a matrix of fewer than two axes")?;
    shape.swap(last, last + 1);
    let mut kb = KernelBuilder::new(cx.symbols, &[]);
    let at: Vec<ExprId> = shape.iter().map(|d| kb.axis(d).1).collect();
    let mut index = at.clone();
    index.swap(last, last + 1);
    let value = Inliner::new(cx).value(&mut kb, arg, &index)?;
    let dst = cx.temp(TensorType::new(ty.dtype, shape.clone()));
    let (_, done) = movement::run(cx, npu, &kb, &[value], &at, &shape, Some(dst))?;
    if done { Ok((dst, shape)) } else { Err("an operand of the product that is not turned round by a kernel".into()) }
}
