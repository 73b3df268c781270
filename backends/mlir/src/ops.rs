//! Which family an op belongs to, and the ops that have no form here.

use beiming_ir::ops::Op;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::TensorType;

use crate::build::{Builder, Val, Why};
use crate::cast::cast;
use crate::conv::conv;
use crate::elementwise::{binary, select, unary};
use crate::gather::gather;
use crate::matmul::matmul;
use crate::reduce::{norm, reduce, softmax};
use crate::shape::{at, broadcast, concat, known, pad, reshape, slice, transpose};

/// An argument: a tensor, and its contents where it is a constant.
pub type Arg<'a, 'c, 'b> = (Val<'c, 'b>, Option<&'a Tensor>);

/// Appends `op`; its result is of type `ty`.
pub fn op<'c, 'b>(b: &Builder<'c, 'b>, op: &Op, args: &[Arg<'_, 'c, 'b>], ty: &TensorType) -> Result<Val<'c, 'b>, Why> {
    let to = known(&ty.shape)?;
    let missing = || "an argument is missing".to_string();
    let x = || args.first().map(|a| &a.0).ok_or_else(missing);
    let y = || args.get(1).map(|a| &a.0).ok_or_else(missing);
    let spread = |n: usize| match args.get(n).ok_or_else(missing)? {
        (x, Some(c)) if c.len() == 1 => b.splat(x.dtype, &to, c.get(0)),
        (x, _) => broadcast(b, x, &to),
    };
    match op {
        Op::Unary(u) => unary(b, *u, x()?),
        Op::Binary(p) => binary(b, *p, &spread(0)?, &spread(1)?),
        Op::Select => select(b, &spread(0)?, &spread(1)?, &spread(2)?),
        Op::Cast { to } => cast(b, x()?, *to),
        Op::Bitcast { to } if x()?.dtype.is_float() || to.is_float() => b.map("arith.bitcast", &[x()?], *to),
        Op::Bitcast { to } => Ok(Val { dtype: *to, ..x()?.clone() }),
        Op::MatMul { out } => matmul(b, x()?, y()?, *out, &to),
        Op::Conv(p) => conv(b, p, x()?, y()?, &to),
        Op::Reduce { op, axes, keep } => reduce(b, *op, x()?, axes, *keep),
        Op::Softmax { axis, log } => softmax(b, x()?, *axis, *log),
        Op::Norm { kind, axis, eps } => norm(b, x()?, *kind, *axis, eps.get()),
        Op::Reshape { .. } => reshape(b, x()?, &to),
        Op::Transpose { perm } => transpose(b, x()?, perm),
        Op::Broadcast { .. } => broadcast(b, x()?, &to),
        Op::Slice(p) => slice(b, x()?, p),
        Op::Concat { axis } => concat(b, &args.iter().map(|a| &a.0).collect::<Vec<_>>(), *axis),
        Op::Pad { lo, hi, mode } => pad(b, x()?, (lo, hi), *mode, args.get(1).and_then(|a| a.1).map(|t| t.get(0))),
        Op::Gather { axis } => match args.get(1).and_then(|a| a.1).filter(|t| t.shape.is_empty()) {
            Some(i) => at(b, x()?, *axis, place(i.get(0), x()?.shape[*axis])),
            None => gather(b, x()?, y()?, *axis),
        },
        _ => Err("the op has no form in linalg, tensor, arith or math that is written here".into()),
    }
}

/// The position that an index means: negative ones count from the end, what is out of range is brought into it.
fn place(i: Num, extent: usize) -> usize {
    let (i, extent) = (i.to_i128(), extent as i128);
    let i = if i < 0 { i + extent } else { i };
    i.clamp(0, (extent - 1).max(0)) as usize
}
